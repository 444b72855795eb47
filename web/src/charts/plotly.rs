//! Plotly in the page: loaded when first needed, redrawn with small figures, timed.

use super::figure::{Figure, Theme};
use crate::worker::browser::{address, words};
use js_sys::{Function, JSON, Promise, Reflect};
use std::cell::RefCell;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{HtmlElement, HtmlScriptElement};

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = Plotly, js_name = react, catch)]
    fn plotly_react(
        element: &HtmlElement,
        data: &JsValue,
        layout: &JsValue,
        config: &JsValue,
    ) -> Result<Promise, JsValue>;

    #[wasm_bindgen(js_namespace = Plotly, js_name = animate, catch)]
    fn plotly_animate(element: &HtmlElement, frame: &JsValue, options: &JsValue) -> Result<Promise, JsValue>;

    /// What Plotly makes of an element once it has drawn there.
    type Graph;

    #[wasm_bindgen(method, catch)]
    fn on(this: &Graph, event: &str, listener: &Function) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(js_namespace = performance, js_name = mark, catch)]
    fn performance_mark(name: &str, options: &JsValue) -> Result<JsValue, JsValue>;
}

/// Which result is to be drawn, so that its drawing can be timed.
#[derive(Debug, Default)]
pub struct Redraws {
    job: u64,
    mark: Option<&'static str>,
}

impl Redraws {
    /// A result is about to be drawn; `mark` is set when the charts stand.
    pub fn begin(&mut self, job: u64, mark: &'static str) {
        self.job = job;
        self.mark = Some(mark);
    }

    /// The charts show the result of this study.
    pub fn drawn(&mut self, job: u64) {
        if job >= self.job
            && let Some(name) = self.mark.take()
        {
            mark(name, Some(self.job));
        }
    }
}

/// Sets a mark on the browser's timeline; what it measures is measured from outside the page.
pub fn mark(name: &str, job: Option<u64>) {
    let options = js_sys::Object::new();
    if let Some(job) = job {
        let detail = js_sys::Object::new();
        // Setting a property of a fresh plain object cannot fail.
        #[expect(clippy::cast_precision_loss, reason = "jobs count from one")]
        let _ = Reflect::set(&detail, &"job".into(), &JsValue::from_f64(job as f64));
        let _ = Reflect::set(&options, &"detail".into(), &detail);
    }
    // A browser without marks shows the page all the same.
    let _ = performance_mark(name, &options);
}

thread_local! {
    static LOADING: RefCell<Option<Promise>> = const { RefCell::new(None) };
}

/// Loads the library once; a failed attempt can be repeated.
///
/// # Errors
/// In words, when the file cannot be had.
pub async fn load() -> Result<(), String> {
    let pending = LOADING.with_borrow_mut(|loading| match loading {
        Some(promise) => Ok(promise.clone()),
        None => inject().inspect(|promise| *loading = Some(promise.clone())),
    })?;
    match JsFuture::from(pending).await {
        Ok(_) => Ok(()),
        Err(_) => {
            LOADING.with_borrow_mut(|loading| *loading = None);
            Err("the chart library could not be loaded".into())
        }
    }
}

fn inject() -> Result<Promise, String> {
    let source = address("plimsoll-plotly")?;
    let document = web_sys::window().and_then(|window| window.document()).ok_or("this page has no document")?;
    let script: HtmlScriptElement = document.create_element("script").map_err(|error| words(&error))?.unchecked_into();
    script.set_src(&source);
    let head = document.head().ok_or("this page has no head")?;
    Ok(Promise::new(&mut |resolve: Function, reject: Function| {
        script.set_onload(Some(&resolve));
        script.set_onerror(Some(&reject));
        if head.append_child(&script).is_err() {
            let _ = reject.call0(&JsValue::NULL);
        }
    }))
}

/// Draws a figure or changes the one that stands; waits until Plotly has redrawn.
///
/// # Errors
/// In words, when Plotly refuses.
pub async fn react(element: &HtmlElement, figure: &Figure) -> Result<(), String> {
    let parsed = JSON::parse(&figure.whole().to_string()).map_err(|error| words(&error))?;
    let part = |name: &str| Reflect::get(&parsed, &name.into()).unwrap_or(JsValue::UNDEFINED);
    let redrawn =
        plotly_react(element, &part("data"), &part("layout"), &part("config")).map_err(|error| words(&error))?;
    // Resolved behind `plotly_afterplot`, also where nothing had to be redrawn and no event comes.
    JsFuture::from(redrawn).await.map(|_| ()).map_err(|error| words(&error))
}

/// Gives a figure that stands other points; a listener of [`on_moved`] is told when Plotly has redrawn.
/// The promise is kept when the points have moved, or broken where a newer curve has come before, which is no trouble.
///
/// # Errors
/// In words, when Plotly refuses.
pub fn animate(element: &HtmlElement, figure: &Figure) -> Result<Promise, String> {
    const AT_ONCE: &str = r#"{"mode":"immediate","transition":{"duration":0},"frame":{"duration":0,"redraw":false}}"#;
    let parse = |text: &str| JSON::parse(text).map_err(|error| words(&error));
    let (motion, options) = (parse(&figure.motion().to_string())?, parse(AT_ONCE)?);
    let moved = plotly_animate(element, &motion, &options).map_err(|error| words(&error))?;
    let heard = moved.clone();
    // A broken promise that nobody hears of is an error of the page.
    leptos::task::spawn_local(async move { ended(heard).await });
    Ok(moved)
}

/// Waits until points have moved, or others have taken their place.
pub async fn ended(moved: Promise) {
    let _ = JsFuture::from(moved).await;
}

/// Calls the listener after each redraw of an animation; the figure must stand.
///
/// # Errors
/// In words, when Plotly refuses.
pub fn on_moved(element: &HtmlElement, listener: &Function) -> Result<(), String> {
    let graph: &Graph = element.unchecked_ref();
    graph.on("plotly_transitioned", listener).map(|_| ()).map_err(|error| words(&error))
}

/// Colours from the page's style tokens.
#[must_use]
pub fn theme() -> Theme {
    let style = web_sys::window().and_then(|window| {
        let root = window.document()?.document_element()?;
        window.get_computed_style(&root).ok().flatten()
    });
    let token = |name: &str| {
        style.as_ref().and_then(|style| style.get_property_value(name).ok()).unwrap_or_default().trim().to_owned()
    };
    Theme {
        text: token("--text"),
        quiet: token("--text-quiet"),
        grid: token("--chart-grid"),
        series: [token("--chart-main"), token("--chart-second"), token("--chart-companion")],
        band: token("--chart-band"),
        surface: token("--surface"),
    }
}
