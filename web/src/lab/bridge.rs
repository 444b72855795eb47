//! The page as the lab sees it: the object the page hands to `mount`, described in docs/worker-protocol.md.

use js_sys::Function;
use wasm_bindgen::prelude::*;
use web_sys::Blob;

#[wasm_bindgen]
extern "C" {
    /// What the page offers.
    #[derive(Debug)]
    pub type Bridge;

    /// The page's scenario as it is now.
    #[wasm_bindgen(method)]
    pub fn state(this: &Bridge) -> State;

    /// Has a function called now and whenever scenario, capacity or colours change.
    #[wasm_bindgen(method)]
    pub fn subscribe(this: &Bridge, listener: &Function);

    /// Puts a value, as JSON, at a path of the scenario, and says so; an empty path takes a whole scenario.
    #[wasm_bindgen(method)]
    pub fn apply(this: &Bridge, path: &str, text: &str, message: &str);

    /// Has the page's own workers read a trace, puts this choice of it into the scenario, and says so.
    #[wasm_bindgen(method)]
    pub fn keep(this: &Bridge, file: &Blob, name: &str, choice: &str, message: &str);

    /// The newest files the page's workers have read, oldest first.
    #[wasm_bindgen(method)]
    pub fn files(this: &Bridge) -> Vec<NamedFile>;

    /// Shows a passing message.
    #[wasm_bindgen(method)]
    pub fn say(this: &Bridge, text: &str);

    /// Opens a tab.
    #[wasm_bindgen(method)]
    pub fn show(this: &Bridge, tab: &str);

    /// Tells that the lab does not work any more, and why.
    #[wasm_bindgen(method)]
    pub fn broken(this: &Bridge, reason: &str);

    /// The page's scenario.
    #[derive(Debug)]
    pub type State;

    /// It as JSON; empty until it is known.
    #[wasm_bindgen(method, getter)]
    pub fn scenario(this: &State) -> String;

    /// Hash of the trace it replays, or empty.
    #[wasm_bindgen(method, getter)]
    pub fn trace(this: &State) -> String;

    /// Whether it can be simulated.
    #[wasm_bindgen(method, getter, js_name = isUsable)]
    pub fn is_usable(this: &State) -> bool;

    /// Its capacity, requests per second, as far as it is known.
    #[wasm_bindgen(method, getter)]
    pub fn capacity(this: &State) -> Option<f64>;

    /// Its saturation, requests per second, as far as it is known.
    #[wasm_bindgen(method, getter)]
    pub fn saturation(this: &State) -> Option<f64>;

    /// Whether a study has come to its end, so that nothing more is to be known of these.
    #[wasm_bindgen(method, getter, js_name = isStudied)]
    pub fn is_studied(this: &State) -> bool;

    /// A file with its name.
    #[derive(Debug)]
    pub type NamedFile;

    /// Its name.
    #[wasm_bindgen(method, getter)]
    pub fn name(this: &NamedFile) -> String;

    /// Its bytes.
    #[wasm_bindgen(method, getter)]
    pub fn file(this: &NamedFile) -> Blob;
}
