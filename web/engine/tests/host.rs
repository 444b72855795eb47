//! A conversation with the host, natively; `wasm_host` holds it to the same bytes in a browser.
#![cfg(not(target_arch = "wasm32"))]

mod talk;

#[test]
fn the_conversation_has_the_recorded_bytes() {
    let texts = talk::conversation();
    assert_eq!(talk::digest(&texts), talk::DIGEST, "the digest is recorded in talk/mod.rs; {texts:#?}");
}
