//! The page as a whole.

use crate::commands::Command;
use crate::components::segmented::{Segment, Segmented};
use crate::controller::Controller;
use crate::page::Page;
use crate::panels::answer::Answer;
use crate::panels::bottleneck::BottleneckPanel;
use crate::panels::charts::ChartsPanel;
use crate::panels::dialogs::Dialogs;
use crate::panels::editor::Editor;
use crate::panels::frame::{self, DropZone, Footer, Header, Progress, Toasts};
use crate::panels::lab::LabPanel;
use crate::panels::memory::MemoryPanel;
use leptos::prelude::*;
use plimsoll_protocol::view::{Percentile, Tab};
use wasm_bindgen::JsCast;
use web_sys::HtmlElement;

/// Puts the page in place of the text that stood there while it loaded.
pub fn mount() {
    frame::apply_theme();
    if let Some(shell) = web_sys::window().and_then(|window| window.document()?.get_element_by_id("plimsoll-shell")) {
        shell.remove();
    }
    leptos::mount::mount_to_body(App);
}

/// The page.
#[component]
pub fn App() -> impl IntoView {
    let page = Page::open();
    provide_context(page);
    leptos::task::spawn_local(async move {
        match Controller::start(page).await {
            Ok(controller) => page.attach(controller),
            Err(reason) => page.trouble.set(Some(reason)),
        }
    });
    listen(page);
    view! {
        <DropZone>
            <Header />
            <main>
                <Answer />
                <Results />
                <Editor />
            </main>
            <Footer />
            <Toasts />
            <Dialogs />
        </DropZone>
    }
}

/// Tabs and what they hold.
#[component]
fn Results() -> impl IntoView {
    let page = crate::page::page();
    let tab = Memo::new(move |_| page.view.with(|view| view.tab));
    let percentile = Memo::new(move |_| page.view.with(|view| view.percentile.id().to_owned()));
    let percentiles = Memo::new(move |_| {
        let slo = page.desk.with(|desk| desk.number("slo.percentile")).unwrap_or_default();
        Percentile::ALL
            .into_iter()
            // The percentile of the SLO stands first and not again under its own name.
            .filter(|percentile| *percentile == Percentile::Slo || percentile.label(slo) != Percentile::Slo.label(slo))
            .map(|percentile| Segment {
                id: percentile.id().to_owned(),
                label: match percentile {
                    Percentile::Slo => format!("{} (SLO)", percentile.label(slo)),
                    other => other.label(slo),
                },
                obstacle: String::new(),
            })
            .collect::<Vec<_>>()
    });
    let choose = move |tab: Tab| page.look(|view| view.tab = tab);
    view! {
        <section class="results" aria-label="Results">
            <div class="toolbar">
                <div role="tablist" aria-label="Results">
                    {Tab::ALL
                        .into_iter()
                        .enumerate()
                        .map(|(index, own)| view! {
                            <button
                                type="button"
                                role="tab"
                                id=format!("tab-{}", own.id())
                                aria-controls="tab-panel"
                                aria-selected=move || (tab.get() == own).to_string()
                                tabindex=move || if tab.get() == own { "0" } else { "-1" }
                                on:click=move |_| choose(own)
                                on:keydown=move |event| {
                                    let count = Tab::ALL.len();
                                    let next = match event.key().as_str() {
                                        "ArrowRight" => (index + 1) % count,
                                        "ArrowLeft" => (index + count - 1) % count,
                                        "Home" => 0,
                                        "End" => count - 1,
                                        _ => return,
                                    };
                                    event.prevent_default();
                                    if let Some(next) = Tab::ALL.get(next) {
                                        choose(*next);
                                        focus(&format!("tab-{}", next.id()));
                                    }
                                }
                            >
                                {own.label()}
                            </button>
                        })
                        .collect_view()}
                </div>
                <Progress />
                <div hidden=move || tab.get().is_of_lab()>
                <Segmented
                    name="percentile"
                    legend="Statistic shown"
                    is_legend_hidden=true
                    segments=percentiles
                    value=percentile
                    on_choose=move |id| {
                        if let Some(percentile) = Percentile::from_id(&id) {
                            page.look(|view| view.percentile = percentile);
                        }
                    }
                />
                </div>
            </div>
            <div id="tab-panel" role="tabpanel" aria-labelledby=move || format!("tab-{}", tab.get().id())>
                {move || match tab.get() {
                    Tab::Curves => view! { <ChartsPanel /> }.into_any(),
                    Tab::Bottleneck => view! { <BottleneckPanel /> }.into_any(),
                    Tab::Memory => view! { <MemoryPanel /> }.into_any(),
                    Tab::Workload | Tab::Run | Tab::Calibrate => ().into_any(),
                }}
                <LabPanel />
            </div>
        </section>
    }
}

/// Shortcuts, back and forward, and the system's colours.
fn listen(page: Page) {
    let keys = window_event_listener(leptos::ev::keydown, move |event| {
        if event.default_prevented() || event.alt_key() {
            return;
        }
        let command =
            Command::of_key(&event.key(), event.ctrl_key() || event.meta_key(), event.shift_key(), is_typing());
        if let Some(command) = command {
            if command != Command::Stop {
                event.prevent_default();
            }
            frame::run(page, command);
        }
    });
    let back = window_event_listener(leptos::ev::popstate, move |_| page.follow_address());
    let hash = window_event_listener(leptos::ev::hashchange, move |_| page.follow_address());
    on_cleanup(move || {
        keys.remove();
        back.remove();
        hash.remove();
    });
    let query = web_sys::window().and_then(|window| window.match_media("(prefers-color-scheme: dark)").ok().flatten());
    if let Some(query) = query {
        let changed = wasm_bindgen::closure::Closure::<dyn Fn()>::new(move || page.theme.update(|theme| *theme += 1));
        let _ = query.add_event_listener_with_callback("change", changed.as_ref().unchecked_ref());
        let kept = StoredValue::new_local(changed);
        on_cleanup(move || {
            kept.with_value(|changed| {
                let _ = query.remove_event_listener_with_callback("change", changed.as_ref().unchecked_ref());
            });
        });
    }
}

/// Whether the focus is in a field where keys write text.
fn is_typing() -> bool {
    let active = web_sys::window().and_then(|window| window.document()?.active_element());
    active.is_some_and(|element| match element.tag_name().as_str() {
        "TEXTAREA" | "SELECT" => true,
        "INPUT" => !matches!(element.get_attribute("type").as_deref(), Some("range" | "checkbox" | "radio" | "file")),
        _ => false,
    })
}

fn focus(id: &str) {
    let element = web_sys::window().and_then(|window| window.document()?.get_element_by_id(id));
    if let Some(element) = element.and_then(|element| element.dyn_into::<HtmlElement>().ok()) {
        // An element that cannot take the focus leaves it where it was.
        let _ = element.focus();
    }
}
