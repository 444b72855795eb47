//! The reference cases in a browser: the same bytes as natively.
#![cfg(target_arch = "wasm32")]

mod golden_cases;

use plimsoll_tests::golden::digest;
use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};

wasm_bindgen_test_configure!(run_in_browser);

#[wasm_bindgen_test]
fn the_reports_have_the_recorded_bytes() {
    let cases = golden_cases::cases();
    let digest = digest(cases.iter(), plimsoll_configs::catalog());
    assert_eq!(digest, Ok(golden_cases::DIGEST));
}
