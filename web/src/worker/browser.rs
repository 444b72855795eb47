//! The browser's part of the pool: fetches and compiles the engine once, makes workers from a blob.
//!
//! Classic workers from a blob start fastest and also live in sandboxed frames; each gets the compiled module posted.

use super::client::Port;
use super::pool::{Factory, WorkerId};
use js_sys::{Array, Object, Reflect, WebAssembly};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{Blob, BlobPropertyBag, ErrorEvent, HtmlMetaElement, MessageEvent, Response, Url, Worker};

const BOOTSTRAP: &str = include_str!("bootstrap.js");

/// Tells page and worker of one build from those of another.
pub const BUILD: &str = concat!(env!("CARGO_PKG_VERSION"), "/", env!("CARGO_PKG_NAME"));

/// Something a worker did.
pub enum Signal {
    /// It posted this text.
    Message(String),
    /// It stopped, with this message.
    Crash(String),
}

/// The engine as workers need it.
pub struct Engine {
    module: WebAssembly::Module,
    script_url: String,
}

/// Which form of the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// The simulator alone: loaded with the page.
    Simulator,
    /// With the readers of files, which are larger than the simulator: loaded when the first file is opened.
    Reader,
}

impl Engine {
    /// Fetches and compiles the engine whose addresses the page's head names.
    ///
    /// # Errors
    /// In words, when a file cannot be had or the browser refuses it.
    pub async fn load(form: Form) -> Result<Self, String> {
        let (glue, wasm) = match form {
            Form::Simulator => (address("plimsoll-engine-js")?, address("plimsoll-engine-wasm")?),
            Form::Reader => (address("plimsoll-reader-js")?, address("plimsoll-reader-wasm")?),
        };
        let window = web_sys::window().ok_or("this page has no window")?;
        // Both requests are under way before either is awaited.
        let (glue_request, wasm_request) = (window.fetch_with_str(&glue), window.fetch_with_str(&wasm));
        let glue: Response = fetched(glue_request, &glue).await?;
        let wasm: Response = fetched(wasm_request, &wasm).await?;
        let glue = await_js(glue.text().map_err(|error| words(&error))?).await?;
        let bytes = await_js(wasm.array_buffer().map_err(|error| words(&error))?).await?;
        let module: WebAssembly::Module = await_js(WebAssembly::compile(&bytes)).await?.unchecked_into();
        let parts = Array::of2(&glue, &JsValue::from_str(&format!("\n{BOOTSTRAP}")));
        let options = BlobPropertyBag::new();
        options.set_type("text/javascript");
        let blob = Blob::new_with_str_sequence_and_options(&parts, &options).map_err(|error| words(&error))?;
        let script_url = Url::create_object_url_with_blob(&blob).map_err(|error| words(&error))?;
        Ok(Self { module, script_url })
    }
}

/// Makes workers of an engine; what they do is reported to the listener.
pub struct BrowserFactory {
    engine: Engine,
    listener: std::rc::Rc<dyn Fn(WorkerId, Signal)>,
}

impl BrowserFactory {
    /// A factory whose workers report to this listener.
    pub fn new(engine: Engine, listener: std::rc::Rc<dyn Fn(WorkerId, Signal)>) -> Self {
        Self { engine, listener }
    }
}

impl Factory for BrowserFactory {
    type Port = BrowserPort;
    type Attachment = Blob;

    fn spawn(&mut self, id: WorkerId) -> Result<BrowserPort, String> {
        let worker = Worker::new(&self.engine.script_url)
            .map_err(|error| format!("the browser forbids workers here: {}", words(&error)))?;
        let listener = std::rc::Rc::clone(&self.listener);
        let on_message = Closure::<dyn Fn(MessageEvent)>::new(move |event: MessageEvent| {
            if let Some(text) = event.data().as_string() {
                listener(id, Signal::Message(text));
            } else if let Ok(panic) = Reflect::get(&event.data(), &"panic".into()) {
                listener(id, Signal::Crash(panic.as_string().unwrap_or_default()));
            }
        });
        let listener = std::rc::Rc::clone(&self.listener);
        let on_error = Closure::<dyn Fn(ErrorEvent)>::new(move |event: ErrorEvent| {
            event.prevent_default();
            listener(id, Signal::Crash(event.message()));
        });
        worker.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        worker.set_onerror(Some(on_error.as_ref().unchecked_ref()));
        let start = object(&[("module", self.engine.module.as_ref()), ("build", &BUILD.into())]);
        worker.post_message(&start).map_err(|error| words(&error))?;
        Ok(BrowserPort { worker, _on_message: on_message, _on_error: on_error })
    }
}

/// A worker with the closures it calls; dropped together when it is replaced.
pub struct BrowserPort {
    worker: Worker,
    _on_message: Closure<dyn Fn(MessageEvent)>,
    _on_error: Closure<dyn Fn(ErrorEvent)>,
}

impl Port<Blob> for BrowserPort {
    fn send(&self, text: &str, attachment: Option<&Blob>) {
        let text = JsValue::from_str(text);
        let message = match attachment {
            Some(file) => object(&[("text", &text), ("file", file)]),
            None => object(&[("text", &text)]),
        };
        // A worker that cannot be posted to reports its error by itself.
        let _ = self.worker.post_message(&message);
    }

    fn terminate(&self) {
        self.worker.set_onmessage(None);
        self.worker.set_onerror(None);
        self.worker.terminate();
    }
}

/// The address a `meta` element of the page's head names.
///
/// # Errors
/// When there is no such element.
pub fn address(name: &str) -> Result<String, String> {
    web_sys::window()
        .and_then(|window| window.document())
        .and_then(|document| document.query_selector(&format!("meta[name='{name}']")).ok().flatten())
        .and_then(|element| element.dyn_into::<HtmlMetaElement>().ok())
        .map(|meta| meta.content())
        .ok_or_else(|| format!("the page does not name its {name}"))
}

/// What a JavaScript error says.
#[must_use]
pub fn words(error: &JsValue) -> String {
    error
        .dyn_ref::<js_sys::Error>()
        .map(|error| String::from(error.message()))
        .or_else(|| error.as_string())
        .unwrap_or_else(|| "the browser gave no reason".into())
}

async fn fetched(request: js_sys::Promise, url: &str) -> Result<Response, String> {
    let response: Response = await_js(request).await?.unchecked_into();
    if response.ok() { Ok(response) } else { Err(format!("{url} answered {}", response.status())) }
}

async fn await_js(promise: js_sys::Promise) -> Result<JsValue, String> {
    JsFuture::from(promise).await.map_err(|error| words(&error))
}

/// A plain object with these properties.
#[must_use]
pub fn object(entries: &[(&str, &JsValue)]) -> Object {
    let object = Object::new();
    for (name, value) in entries {
        // Setting a property of a fresh plain object cannot fail.
        let _ = Reflect::set(&object, &JsValue::from_str(name), value);
    }
    object
}
