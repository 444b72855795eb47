//! The worker's wasm module: the simulator behind the protocol, and nothing of the page.
//!
//! `host` does the work and knows no browser; this file binds it to a worker's messages and clock.

#[cfg(feature = "files")]
mod files;
mod host;
#[cfg(feature = "files")]
mod lab;
#[cfg(feature = "files")]
mod serve_line;

pub use host::Host as JobHost;

#[cfg(target_arch = "wasm32")]
mod worker {
    use crate::host;
    use plimsoll_protocol::{Response, encode};
    use wasm_bindgen::prelude::*;

    #[wasm_bindgen]
    extern "C" {
        #[wasm_bindgen(js_name = postMessage)]
        fn post_message(message: &JsValue);
        #[wasm_bindgen(js_namespace = performance, js_name = now)]
        fn performance_now() -> f64;
    }

    /// The host as the worker's script calls it.
    #[wasm_bindgen]
    pub struct Host(host::Host);

    #[wasm_bindgen]
    impl Host {
        /// A host of this build.
        #[wasm_bindgen(constructor)]
        #[must_use]
        pub fn new(build: &str) -> Self {
            std::panic::set_hook(Box::new(|info| {
                // The instance is lost; the page replaces the worker and shows the text.
                let message = js_sys::Object::new();
                let _ = js_sys::Reflect::set(&message, &"panic".into(), &info.to_string().into());
                post_message(&message);
            }));
            Self(host::Host::new(build))
        }

        /// Takes a message in.
        pub fn receive(&mut self, text: &str, file: Option<Vec<u8>>) {
            self.0.receive(text, file.as_deref(), performance_now(), &mut post);
        }

        /// Works for a slice of time; whether there is more to do.
        pub fn run(&mut self) -> bool {
            self.0.run_slice(&performance_now, &mut post)
        }
    }

    fn post(response: &Response) {
        match encode(response) {
            Ok(text) => post_message(&text.into()),
            Err(failure) => {
                let refusal = Response::Refused { reason: failure.message };
                if let Ok(text) = encode(&refusal) {
                    post_message(&text.into());
                }
            }
        }
    }
}
