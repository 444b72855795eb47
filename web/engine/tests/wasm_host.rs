//! A conversation with the host in a browser: the same bytes as natively.
#![cfg(target_arch = "wasm32")]

mod talk;

use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};

wasm_bindgen_test_configure!(run_in_browser);

#[wasm_bindgen_test]
fn the_conversation_has_the_recorded_bytes() {
    assert_eq!(talk::digest(&talk::conversation()), talk::DIGEST);
}
