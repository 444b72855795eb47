//! The address bar and the browser's storage. Both may refuse (a sandboxed frame); the page works all the same.

use crate::page::{Page, Step};
use leptos::prelude::{GetUntracked, set_timeout};
use std::cell::RefCell;
use std::time::Duration;
use wasm_bindgen::JsValue;
use web_sys::Storage;

const SESSION: &str = "plimsoll.session";
const PREVIOUS: &str = "plimsoll.previous-session";
const THEME: &str = "plimsoll.theme";

/// How long the address waits for further edits; browsers refuse more than a few changes a second.
const REST: Duration = Duration::from_millis(300);

thread_local! {
    static PENDING: RefCell<Pending> = const { RefCell::new(Pending { is_waiting: false, step: Step::Drag }) };
}

struct Pending {
    is_waiting: bool,
    step: Step,
}

/// The fragment of the address, without `#`.
#[must_use]
pub fn fragment() -> String {
    let hash = web_sys::window().and_then(|window| window.location().hash().ok()).unwrap_or_default();
    hash.strip_prefix('#').unwrap_or(&hash).to_owned()
}

/// The whole address with this fragment.
#[must_use]
pub fn address_with(fragment: &str) -> String {
    let href = web_sys::window().and_then(|window| window.location().href().ok()).unwrap_or_default();
    let base = href.split('#').next().unwrap_or_default();
    if fragment.is_empty() { base.to_owned() } else { format!("{base}#{fragment}") }
}

/// Writes scenario and view to address and storage, once edits have rested.
pub fn remember(page: &Page, step: Step) {
    let is_new = PENDING.with_borrow_mut(|pending| {
        if step == Step::Deliberate {
            pending.step = step;
        }
        !core::mem::replace(&mut pending.is_waiting, true)
    });
    if is_new {
        let page = *page;
        set_timeout(move || write(&page), REST);
    }
}

fn write(page: &Page) {
    let step = PENDING.with_borrow_mut(|pending| {
        pending.is_waiting = false;
        core::mem::replace(&mut pending.step, Step::Drag)
    });
    if page.view.try_get_untracked().is_none() || page.is_blank() {
        return;
    }
    let link = page.link();
    if link != fragment()
        && let Some(history) = web_sys::window().and_then(|window| window.history().ok())
    {
        let address = address_with(&link);
        // A refusal leaves the address as it was; the link can still be copied.
        let _ = match step {
            Step::Drag => history.replace_state_with_url(&JsValue::NULL, "", Some(&address)),
            Step::Deliberate => history.push_state_with_url(&JsValue::NULL, "", Some(&address)),
        };
    }
    set(SESSION, &link);
}

/// The fragment of the last visit.
#[must_use]
pub fn last_session() -> Option<String> {
    get(SESSION).filter(|session| !session.is_empty())
}

/// Keeps the last visit's scenario aside before a link's takes its place.
pub fn keep_previous_session() {
    if let Some(session) = last_session().filter(|session| *session != fragment()) {
        set(PREVIOUS, &session);
    }
}

/// The scenario that a link's has replaced, if it is another.
#[must_use]
pub fn previous_session() -> Option<String> {
    get(PREVIOUS).filter(|session| !session.is_empty() && *session != fragment())
}

/// Forgets the scenario that a link's has replaced.
pub fn forget_previous_session() {
    if let Some(storage) = storage() {
        let _ = storage.remove_item(PREVIOUS);
    }
}

/// The chosen colours: `light`, `dark`, or none for the system's.
#[must_use]
pub fn theme() -> Option<String> {
    get(THEME).filter(|theme| theme == "light" || theme == "dark")
}

/// Keeps the chosen colours.
pub fn set_theme(theme: &str) {
    set(THEME, theme);
}

fn storage() -> Option<Storage> {
    web_sys::window()?.local_storage().ok().flatten()
}

fn get(key: &str) -> Option<String> {
    storage()?.get_item(key).ok().flatten()
}

fn set(key: &str, value: &str) {
    if let Some(storage) = storage() {
        // A full or forbidden storage costs the autosave, nothing else.
        let _ = storage.set_item(key, value);
    }
}
