//! The lab's entry in the browser: what the page calls once it has loaded this module.

#[cfg(target_arch = "wasm32")]
mod exports {
    use plimsoll_web::lab::{bridge::Bridge, state};
    use wasm_bindgen::prelude::*;
    use web_sys::HtmlElement;

    /// Puts the lab into an element of the page.
    #[wasm_bindgen]
    pub fn mount(element: HtmlElement, bridge: Bridge) {
        state::mount(element, bridge);
    }

    /// Shows a tab of the lab, or none.
    #[wasm_bindgen]
    pub fn show(tab: &str) {
        state::show(tab);
    }

    /// Takes files and folders the user gave.
    #[wasm_bindgen]
    pub fn open(given: Vec<JsValue>) {
        state::open(given);
    }
}

fn main() {
    #[cfg(not(target_arch = "wasm32"))]
    println!("The lab is a part of the page: `cargo xtask serve` builds and serves it.");
}
