//! Where the lab stands: loads it when its first tab is opened, and gives it what it needs of the page.

use crate::controller::Controller;
use crate::page::{Page, page};
use crate::state::queue::{Asked, Step};
use crate::worker::browser::{address, object, words};
use js_sys::{Array, Function, Object, Promise};
use leptos::html;
use leptos::prelude::*;
use plimsoll_core::curve::{Capacity, Curve};
use plimsoll_protocol::Edit;
use plimsoll_protocol::view::Tab;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{Blob, HtmlElement};

#[wasm_bindgen]
extern "C" {
    /// The browser's own dynamic import.
    #[wasm_bindgen(js_name = import)]
    fn dynamic_import(address: &str) -> Promise;

    /// The lab's module, as its glue exports it.
    type LabModule;
    #[wasm_bindgen(method, catch, js_name = default)]
    async fn start(this: &LabModule, options: &Object) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn mount(this: &LabModule, element: &HtmlElement, bridge: &Object) -> Result<(), JsValue>;
    #[wasm_bindgen(method)]
    fn show(this: &LabModule, tab: &str);
    #[wasm_bindgen(method)]
    fn open(this: &LabModule, files: &Array);
}

/// Where the lab is.
#[derive(Clone)]
enum Stage {
    Absent,
    Loading,
    Failed(String),
    Here,
}

/// The lab's place on the page; empty until one of its tabs is opened.
#[component]
pub fn LabPanel() -> impl IntoView {
    let page = page();
    let place: NodeRef<html::Div> = NodeRef::new();
    let stage = RwSignal::new(Stage::Absent);
    let module: StoredValue<Option<LabModule>, LocalStorage> = StoredValue::new_local(None);
    let num_attempts = StoredValue::new(0_u32);
    let tab = Memo::new(move |_| page.view.with(|view| view.tab));
    let load = move || {
        let Some(element) = place.get_untracked() else { return };
        stage.set(Stage::Loading);
        num_attempts.update_value(|count| *count += 1);
        let attempt = num_attempts.get_value();
        leptos::task::spawn_local(async move {
            // A lab that broke down leaves nothing behind that a second one could stumble over.
            element.set_inner_html("");
            match bring(&element, page, stage, attempt).await {
                Ok(lab) => {
                    module.set_value(Some(lab));
                    stage.set(Stage::Here);
                }
                Err(reason) => stage.set(Stage::Failed(reason)),
            }
        });
    };
    Effect::new(move |_| {
        let is_wanted = tab.get().is_of_lab() || page.for_lab.with(|files| !files.is_empty());
        if is_wanted && matches!(stage.get_untracked(), Stage::Absent) {
            load();
        }
    });
    Effect::new(move |_| {
        let tab = tab.get();
        if matches!(stage.get(), Stage::Here) {
            module.with_value(|lab| lab.iter().for_each(|lab| lab.show(if tab.is_of_lab() { tab.id() } else { "" })));
        }
    });
    Effect::new(move |_| {
        let is_there = matches!(stage.get(), Stage::Here);
        if is_there && page.for_lab.with(|files| !files.is_empty()) {
            let files: Array = page.for_lab.get_untracked().into_iter().collect();
            page.for_lab.set(Vec::new());
            module.with_value(|lab| lab.iter().for_each(|lab| lab.open(&files)));
        }
    });
    view! {
        <div hidden=move || !tab.get().is_of_lab()>
            {move || match stage.get() {
                Stage::Loading => Some(view! { <p class="lab-status" role="status">"Loading this part of Plimsoll …"</p> }.into_any()),
                Stage::Failed(reason) => Some(view! {
                    <div class="lab-status" role="alert">
                        <p>{format!("This part of Plimsoll does not work at the moment: {reason}.")}</p>
                        <button type="button" on:click=move |_| load()>"Retry"</button>
                    </div>
                }.into_any()),
                Stage::Absent | Stage::Here => None,
            }}
            <div node_ref=place class="lab" hidden=move || !matches!(stage.get(), Stage::Here)></div>
        </div>
    }
}

/// Loads the lab into an element.
async fn bring(element: &HtmlElement, page: Page, stage: RwSignal<Stage>, attempt: u32) -> Result<LabModule, String> {
    // A browser remembers a module that failed by its address.
    let again = if attempt > 1 { format!("?attempt={attempt}") } else { String::new() };
    let document = web_sys::window().and_then(|window| window.document()).ok_or("this page has no document")?;
    let base = document.base_uri().ok().flatten().unwrap_or_default();
    let absolute = |name: &str| -> Result<String, String> {
        let found = web_sys::Url::new_with_base(&address(name)?, &base).map_err(|error| words(&error))?;
        Ok(format!("{}{again}", found.href()))
    };
    let (glue, wasm) = (absolute("plimsoll-lab-js")?, absolute("plimsoll-lab-wasm")?);
    let lab = JsFuture::from(dynamic_import(&glue)).await.map_err(|error| words(&error))?;
    let lab: LabModule = lab.unchecked_into();
    lab.start(&object(&[("module_or_path", &wasm.into())])).await.map_err(|error| words(&error))?;
    lab.mount(element, &bridge(page, stage)).map_err(|error| words(&error))?;
    Ok(lab)
}

/// What the lab may ask of the page; described in docs/worker-protocol.md.
fn bridge(page: Page, stage: RwSignal<Stage>) -> Object {
    let state = Closure::<dyn Fn() -> Object>::new(move || {
        let desk = page.desk.get_untracked();
        let rate = |capacity: Option<&Capacity>| capacity.map_or(JsValue::UNDEFINED, |found| found.request_rate.into());
        let (capacity, saturation, is_studied) = page.shown.with_untracked(|shown| {
            let curve = shown.as_ref().map(|shown| &shown.curve);
            let of = |part: fn(&Curve) -> Option<&Capacity>| rate(curve.and_then(part));
            (
                of(|curve| curve.capacity.as_ref()),
                of(|curve| curve.saturation.as_ref()),
                curve.is_some_and(|curve| curve.is_complete),
            )
        });
        object(&[
            ("scenario", &desk.scenario.as_str().into()),
            ("trace", &desk.trace.clone().unwrap_or_default().into()),
            ("isUsable", &desk.resolved.is_some().into()),
            ("capacity", &capacity),
            ("saturation", &saturation),
            ("isStudied", &is_studied.into()),
        ])
    });
    let subscribe = Closure::<dyn Fn(Function)>::new(move |listener: Function| {
        Effect::new(move |_| {
            page.desk.track();
            page.shown.track();
            page.theme.track();
            // What the listener throws is the lab's own affair and is told by its `broken`.
            let _ = listener.call0(&JsValue::NULL);
        });
    });
    let apply = Closure::<dyn Fn(String, String, String)>::new(move |path: String, text: String, message: String| {
        if path.is_empty() {
            page.replace(Edit::Scenario { text }, &message);
        } else {
            page.ask(Asked::by_control(&path.clone(), Step::Deliberate, Edit::Value { path, text }).saying(message));
        }
    });
    let keep = Closure::<dyn Fn(Blob, String, String, String)>::new(
        move |file: Blob, name: String, choice: String, message: String| {
            page.with_controller(|controller| controller.keep_trace(page, &name, &file, choice, message));
        },
    );
    let files = Closure::<dyn Fn() -> Array>::new(move || {
        let files = page.with_controller(Controller::files).unwrap_or_default();
        files.into_iter().map(|(name, file)| object(&[("name", &name.into()), ("file", &file)])).collect()
    });
    let say = Closure::<dyn Fn(String)>::new(move |text: String| page.say(text));
    let show = Closure::<dyn Fn(String)>::new(move |tab: String| {
        if let Some(tab) = Tab::from_id(&tab) {
            page.look(|view| view.tab = tab);
        }
    });
    let broken = Closure::<dyn Fn(String)>::new(move |reason: String| stage.set(Stage::Failed(reason)));
    object(&[
        ("state", &state.into_js_value()),
        ("subscribe", &subscribe.into_js_value()),
        ("apply", &apply.into_js_value()),
        ("keep", &keep.into_js_value()),
        ("files", &files.into_js_value()),
        ("say", &say.into_js_value()),
        ("show", &show.into_js_value()),
        ("broken", &broken.into_js_value()),
    ])
}
