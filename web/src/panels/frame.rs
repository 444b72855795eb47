//! What frames the page: title, commands, progress, messages, footer; and how commands are carried out.

use crate::commands::Command;
use crate::components::icon::{CLOSE, Icon, KEYS, LINK, OPEN, REDO, THEME, UNDO};
use crate::page::{Dialog, Page, page};
use crate::state::storage;
use js_sys::Array;
use leptos::html;
use leptos::prelude::*;
use plimsoll_protocol::Edit;
use std::time::Duration;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{DataTransfer, HtmlElement, HtmlInputElement};

/// How long a message stays.
const TOAST: Duration = Duration::from_secs(8);

/// Carries out a command.
pub fn run(page: Page, command: Command) {
    match command {
        Command::Undo => page.undo(),
        Command::Redo => page.redo(),
        Command::Stop => {
            page.with_controller(|controller| controller.stop(page));
        }
        Command::Reset => page.replace(Edit::Base, "Back to the default scenario."),
        Command::CopyLink => copy_link(page),
        Command::OpenFile => {
            let input = web_sys::window().and_then(|window| window.document()?.get_element_by_id("file"));
            if let Some(input) = input.and_then(|input| input.dyn_into::<HtmlElement>().ok()) {
                input.click();
            }
        }
        Command::NextTheme => next_theme(page),
        Command::ShowShortcuts => page.dialog.set(Some(Dialog::Shortcuts)),
    }
}

/// Sets the colours kept from an earlier visit.
pub fn apply_theme() {
    let root = web_sys::window().and_then(|window| window.document()?.document_element());
    if let Some(root) = root {
        let _ = match storage::theme() {
            Some(theme) => root.set_attribute("data-theme", &theme),
            None => root.remove_attribute("data-theme"),
        };
    }
}

/// Title and commands.
#[component]
pub fn Header() -> impl IntoView {
    let page = page();
    let can_undo = move || page.history.with(|history| history.can_undo());
    let can_redo = move || page.history.with(|history| history.can_redo());
    let button = move |command: Command, path: &'static str| {
        let keys = command.shortcuts().first().map(|shortcut| format!(" ({})", shortcut.text())).unwrap_or_default();
        view! {
            <button
                type="button"
                class=if command == Command::ShowShortcuts { "quiet for-keys" } else { "quiet" }
                aria-label=command.label()
                title=format!("{}{keys}", command.label())
                disabled=move || match command {
                    Command::Undo => !can_undo(),
                    Command::Redo => !can_redo(),
                    _ => false,
                }
                on:click=move |_| run(page, command)
            >
                <Icon path=path />
            </button>
        }
    };
    view! {
        <header class="masthead">
            <svg class="logo" viewBox="0 0 32 32" aria-hidden="true">
                <circle cx="16" cy="16" r="9" fill="none" stroke="currentColor" stroke-width="3" />
                <path d="M2 16h28" stroke="currentColor" stroke-width="3" />
            </svg>
            <h1>"Plimsoll"</h1>
            <p>"How much load can an LLM deployment carry?"</p>
            <nav aria-label="Commands">
                {button(Command::Undo, UNDO)}
                {button(Command::Redo, REDO)}
                {button(Command::OpenFile, OPEN)}
                {button(Command::CopyLink, LINK)}
                {button(Command::NextTheme, THEME)}
                {button(Command::ShowShortcuts, KEYS)}
                <button type="button" class="quiet text" on:click=move |_| run(page, Command::Reset)>"Reset"</button>
            </nav>
            <input
                id="file"
                type="file"
                class="visually-hidden"
                tabindex="-1"
                multiple=true
                aria-label="Open logs, a trace, a workload, a scenario or a config.json"
                accept=".log,.csv,.json,.jsonl,.txt,.yaml,.yml,text/csv,application/json"
                on:change=move |event| {
                    let input: HtmlInputElement = event_target(&event);
                    if let Some(files) = input.files() {
                        page.open_files(Array::from(&files).to_vec());
                    }
                    // So that the same file can be opened again.
                    input.set_value("");
                }
            />
        </header>
    }
}

/// How far work is that takes long, and the way to stop it. Keeps its room, so that nothing moves.
#[component]
pub fn Progress() -> impl IntoView {
    let page = page();
    view! {
        <div class="progress" role="status" data-testid="progress">
            {move || page.progress.get().map(|(done, total)| view! {
                <progress max=total.max(1).to_string() value=done.to_string() aria-label="Simulated runs"></progress>
                <span>{format!("{done} of {total} runs")}</span>
                <button type="button" on:click=move |_| run(page, Command::Stop)>"Stop"</button>
            })}
        </div>
    }
}

/// A passing message, and the offer to return to what a link has replaced.
#[component]
pub fn Toasts() -> impl IntoView {
    let page = page();
    let previous = RwSignal::new(storage::previous_session());
    Effect::new(move |_| {
        if page.toast.with(Option::is_some) {
            let shown = page.toast.get_untracked();
            set_timeout(
                move || {
                    if page.toast.get_untracked() == shown {
                        page.toast.set(None);
                    }
                },
                TOAST,
            );
        }
    });
    view! {
        <div class="toasts" role="status">
            {move || page.toast.get().map(|toast| view! {
                <p class="toast">
                    <span>{toast.text}</span>
                    {toast.has_undo.then(|| view! {
                        <button type="button" on:click=move |_| { page.toast.set(None); page.undo(); }>"Undo"</button>
                    })}
                    <button type="button" class="quiet" aria-label="Dismiss" on:click=move |_| page.toast.set(None)><Icon path=CLOSE /></button>
                </p>
            })}
            {move || previous.get().map(|session| view! {
                <p class="toast">
                    <span>"You opened a link. Your own last scenario is kept."</span>
                    <button
                        type="button"
                        on:click=move |_| {
                            page.replace(Edit::Link { fragment: session.clone() }, "Back to your own scenario.");
                            storage::forget_previous_session();
                            previous.set(None);
                        }
                    >"Return to it"</button>
                    <button
                        type="button"
                        class="quiet"
                        aria-label="Dismiss"
                        on:click=move |_| { storage::forget_previous_session(); previous.set(None); }
                    ><Icon path=CLOSE /></button>
                </p>
            })}
        </div>
    }
}

/// Where the data goes, and versions.
#[component]
pub fn Footer() -> impl IntoView {
    view! {
        <footer>
            <p>"Everything is computed in this tab; nothing is uploaded."</p>
            <p>
                {format!(
                    "Plimsoll {}, model version {}, protocol {}. A simulation, not a measurement: the badge beside the answer says what it rests on.",
                    env!("CARGO_PKG_VERSION"),
                    plimsoll_core::MODEL_VERSION,
                    plimsoll_protocol::PROTOCOL_VERSION,
                )}
            </p>
        </footer>
    }
}

/// Takes files dropped anywhere on the page.
#[component]
pub fn DropZone(children: Children) -> impl IntoView {
    let page = page();
    let is_over = RwSignal::new(false);
    let element: NodeRef<html::Div> = NodeRef::new();
    view! {
        <div
            node_ref=element
            class="page"
            class:dropping=move || is_over.get()
            on:dragover=move |event| {
                event.prevent_default();
                is_over.set(true);
            }
            on:dragleave=move |event| {
                let is_outside = event.related_target().is_none();
                if is_outside {
                    is_over.set(false);
                }
            }
            on:drop=move |event| {
                event.prevent_default();
                is_over.set(false);
                if let Some(data) = event.data_transfer() {
                    page.open_files(dropped(&data));
                }
            }
        >
            {children()}
        </div>
    }
}

/// What was dropped: files as such, folders as entries, which only this moment gives away.
fn dropped(data: &DataTransfer) -> Vec<JsValue> {
    let items = data.items();
    let given = |index| {
        let item = items.get(index)?;
        match item.webkit_get_as_entry() {
            // As a file, a folder could not be read.
            Ok(Some(entry)) if entry.is_directory() => Some(entry.into()),
            _ => item.get_as_file().ok()?.map(JsValue::from),
        }
    };
    (0..items.length()).filter_map(given).collect()
}

fn copy_link(page: Page) {
    let address = storage::address_with(&page.copied_link());
    let Some(clipboard) = web_sys::window().map(|window| window.navigator().clipboard()) else { return };
    leptos::task::spawn_local(async move {
        match JsFuture::from(clipboard.write_text(&address)).await {
            Ok(_) => page.say("The link to this very scenario and view is copied."),
            Err(_) => page.say("The browser does not let the page copy; the address bar holds the link."),
        }
    });
}

/// Goes through light, dark and the system's choice; the first click always changes what is seen.
fn next_theme(page: Page) {
    let is_system_dark = web_sys::window()
        .and_then(|window| window.match_media("(prefers-color-scheme: dark)").ok().flatten())
        .is_some_and(|query| query.matches());
    let (other, same) = if is_system_dark { ("light", "dark") } else { ("dark", "light") };
    let present = web_sys::window()
        .and_then(|window| window.document()?.document_element()?.get_attribute("data-theme"))
        .unwrap_or_default();
    let next = if present.is_empty() {
        other
    } else if present == other {
        same
    } else {
        ""
    };
    let root = web_sys::window().and_then(|window| window.document()?.document_element());
    if let Some(root) = root {
        let _ =
            if next.is_empty() { root.remove_attribute("data-theme") } else { root.set_attribute("data-theme", next) };
    }
    storage::set_theme(next);
    page.theme.update(|theme| *theme += 1);
    page.say(match next {
        "" => "Colors follow the system.".to_owned(),
        next => format!("{}{} colors.", next[..1].to_ascii_uppercase(), &next[1..]),
    });
}
