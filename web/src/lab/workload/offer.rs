//! A file that may become the workload: looked at first, taken over in one click.

use super::start::START;
use crate::components::icon::{CLOSE, Icon, OPEN};
use crate::components::problems::{Problems, sentence};
use crate::lab::crew::Heard;
use crate::lab::fields::NumberField;
use crate::lab::state::{Lab, lab};
use crate::view_model::format::{self, Unit};
use crate::worker::pool::Slot;
use leptos::prelude::*;
use plimsoll_core::diagnostic::Diagnostic;
use plimsoll_core::scenario::TraceChoice;
use plimsoll_protocol::lab::{LabOutcome, LabSpec};
use plimsoll_protocol::view::Tab;
use plimsoll_protocol::{Failure, FileContent, encode};
use wasm_bindgen::prelude::*;
use web_sys::{Blob, File, HtmlElement};

/// What a file offers.
#[derive(Debug, Clone, PartialEq)]
pub enum Offer {
    /// A trace to replay.
    Trace {
        /// Its file's name.
        name: String,
        /// Its bytes.
        file: Blob,
        /// Its hash.
        hash: String,
        /// Requests in it.
        num_requests: u64,
        /// First to last arrival, seconds.
        span_s: f64,
    },
    /// A workload of its own.
    Workload {
        /// Its file's name.
        name: String,
        /// It as JSON.
        workload: String,
    },
}

/// The file being looked at, and how much of it.
#[derive(Clone, Copy)]
pub struct Offers {
    /// The file; none for the scenario's own workload.
    pub offer: RwSignal<Option<Offer>, LocalStorage>,
    /// First and last second of the trace's part.
    window: RwSignal<[Option<f64>; 2]>,
    /// Factor on the trace's own rate.
    rate_scale: RwSignal<Option<f64>>,
    /// Notes on it, or why it is none.
    problems: RwSignal<Vec<Diagnostic>>,
}

impl Offers {
    /// Nothing is offered.
    #[must_use]
    pub fn new() -> Self {
        Self {
            offer: RwSignal::new_local(None),
            window: RwSignal::new([None; 2]),
            rate_scale: RwSignal::new(None),
            problems: RwSignal::new(Vec::new()),
        }
    }

    /// The part of the trace that is looked at; none unless a trace is.
    #[must_use]
    pub fn choice(&self) -> Option<TraceChoice> {
        let [start, end] = self.window.get();
        let rate_scale = self.rate_scale.get();
        self.offer.with(|offer| match offer {
            Some(Offer::Trace { name, hash, span_s, .. }) => Some(TraceChoice {
                name: name.clone(),
                hash: hash.clone(),
                // Just behind the last arrival, which an open end includes.
                window_s: (start.is_some() || end.is_some())
                    .then(|| [start.unwrap_or(0.0), end.unwrap_or(span_s + 1.0)]),
                rate_scale,
                ..TraceChoice::default()
            }),
            _ => None,
        })
    }

    /// The workload that is looked at, as JSON; none unless a specification is.
    #[must_use]
    pub fn workload(&self) -> Option<String> {
        self.offer.with(|offer| match offer {
            Some(Offer::Workload { workload, .. }) => Some(workload.clone()),
            _ => None,
        })
    }

    fn clear(&self) {
        self.offer.set(None);
        self.window.set([None; 2]);
        self.rate_scale.set(None);
        self.problems.set(Vec::new());
    }

    /// Looks at files somebody gave.
    fn take(self, lab: Lab, files: &[File]) {
        self.clear();
        if files.len() > 1 && files.iter().any(|file| file.name().starts_with("chunk-")) {
            self.take_folder(lab, files);
        } else if let Some(file) = files.first() {
            self.read(lab, &file.name(), file);
        }
    }

    /// Has a file read and says what is in it.
    fn read(self, lab: Lab, name: &str, file: &Blob) {
        let (own_name, own_file) = (name.to_owned(), file.clone());
        let hear = move |result: Result<(FileContent, Vec<Diagnostic>), Failure>| match result {
            Ok((content, notes)) => {
                self.problems.set(placed(notes));
                let name = own_name;
                match content {
                    FileContent::Trace { hash, num_requests, span_s, .. } => {
                        self.offer.set(Some(Offer::Trace { name, file: own_file, hash, num_requests, span_s }));
                    }
                    FileContent::Workload { workload } => self.offer.set(Some(Offer::Workload { name, workload })),
                    FileContent::Scenario { scenario } => {
                        lab.page(|page| page.apply("", &scenario, &format!("Opened the scenario {name}.")));
                    }
                    FileContent::Model { id, model } => {
                        lab.page(|page| page.apply("deployment.model", &model, &format!("The model is now {id}.")));
                    }
                }
            }
            Err(failure) => self.problems.set(placed(failure.into_problems())),
        };
        if let Some(crew) = lab.crew.get_untracked() {
            crew.read_file(name, file, hear);
        }
    }

    /// Has the files of a ServeGen folder read as one.
    fn take_folder(self, lab: Lab, files: &[File]) {
        let parts = js_sys::Array::new();
        let mut named = Vec::new();
        for file in files {
            parts.push(file);
            named.push((file.name(), file.size() as u64));
        }
        let Ok(joined) = Blob::new_with_blob_sequence(&parts) else { return };
        let hear = move |heard: Heard| match heard {
            Heard::Answer(LabOutcome::Workload { workload, diagnostics }) => {
                self.problems.set(placed(diagnostics));
                self.offer.set(Some(Offer::Workload { name: "the ServeGen folder".to_owned(), workload }));
            }
            Heard::Failed(failure) => self.problems.set(placed(failure.into_problems())),
            Heard::Answer(_) | Heard::Progress(..) | Heard::Update(_) => {}
        };
        let spec = LabSpec::ServeGen { files: named };
        lab.crew.with_untracked(|crew| {
            crew.iter().for_each(|crew| crew.ask(Slot::File, spec.clone(), Some(&joined), hear))
        });
    }

    /// Makes what is offered the scenario's workload.
    fn apply(self, lab: Lab) {
        match self.offer.get_untracked() {
            Some(Offer::Trace { name, file, num_requests, .. }) => {
                let choice = untrack(|| self.choice()).and_then(|choice| encode(&choice).ok()).unwrap_or_default();
                let message = format!("Replaying {name}, {} requests.", format::grouped(num_requests as f64));
                lab.page(|page| page.keep(&file, &name, &choice, &message));
            }
            Some(Offer::Workload { name, workload }) => {
                lab.page(|page| page.apply("workload", &workload, &format!("The workload is now that of {name}.")));
                self.clear();
            }
            None => {}
        }
    }
}

impl Default for Offers {
    fn default() -> Self {
        Self::new()
    }
}

/// Problems with their places in front, because nothing else on the tab shows them.
fn placed(problems: Vec<Diagnostic>) -> Vec<Diagnostic> {
    problems
        .into_iter()
        .map(|mut problem| {
            if !problem.path.is_empty() {
                problem.message = format!("{}: {}", problem.path, problem.message);
            }
            problem
        })
        .collect()
}

/// Where files come in, and what is offered.
#[component]
pub fn OfferPanel(
    /// What is looked at.
    offers: Offers,
) -> impl IntoView {
    let lab = lab();
    Effect::new(move |_| {
        let is_ready = lab.crew.with(Option::is_some) && lab.is_open(Tab::Workload);
        if is_ready && lab.files.with(|files| !files.is_empty()) {
            let files = lab.files.get_untracked();
            lab.files.set(Vec::new());
            offers.take(lab, &files);
        }
    });
    let open = move |_| {
        let input = web_sys::window().and_then(|window| window.document()?.get_element_by_id("file"));
        if let Some(input) = input.and_then(|input| input.dyn_into::<HtmlElement>().ok()) {
            input.click();
        }
    };
    let words = move || {
        offers.offer.with(|offer| {
            offer.as_ref().map(|offer| match offer {
                Offer::Trace { name, num_requests, span_s, .. } => format!(
                    "Looking at {name}: {} requests over {} s.",
                    format::grouped(*num_requests as f64),
                    format::number(*span_s, 4)
                ),
                Offer::Workload { name, .. } => format!("Looking at the workload of {name}."),
            })
        })
    };
    let is_trace = move || offers.offer.with(|offer| matches!(offer, Some(Offer::Trace { .. })));
    let edge = move |index: usize| {
        move |seconds: Option<f64>| {
            offers.window.update(|window| window.iter_mut().skip(index).take(1).for_each(|edge| *edge = seconds))
        }
    };
    let span = Signal::derive(move || {
        offers.offer.with(|offer| match offer {
            Some(Offer::Trace { span_s, .. }) => *span_s,
            _ => 0.0,
        })
    });
    view! {
        <section class="offer" aria-label="Workload from a file" data-testid="offer">
            <div class="row starts">
                <button type="button" on:click=open><Icon path=OPEN />"Open a trace or a specification"</button>
                <span class="help">"or drop it here (CSV, JSONL, YAML). Ready mixes:"</span>
                {START.into_iter().map(|(name, file, text)| view! {
                    <button type="button" class="quiet" on:click=move |_| {
                        let parts = js_sys::Array::of1(&JsValue::from_str(text));
                        if let Ok(blob) = Blob::new_with_str_sequence(&parts) {
                            offers.clear();
                            offers.read(lab, file, &blob);
                        }
                    }>{name}</button>
                }).collect_view()}
            </div>
            <Problems id="offer-problems".into() problems=offers.problems />
            {move || words().map(|words| view! {
                <div class="chip">
                    <span>{sentence(&words)}</span>
                    <span class="row">
                        <button type="button" class="primary" on:click=move |_| offers.apply(lab)>"Use this workload"</button>
                        <button type="button" class="quiet" aria-label="Back to the scenario's workload" on:click=move |_| offers.clear()><Icon path=CLOSE /></button>
                    </span>
                </div>
            })}
            {move || is_trace().then(|| view! {
                <div class="fields three">
                    <NumberField label="From" id="trace-from" unit=Unit::Seconds range=[0.0, 1e9] value=Signal::derive(move || offers.window.get()[0].unwrap_or(0.0)) on_change=edge(0) note=Signal::stored("Seconds after the first arrival.".to_owned()) />
                    <NumberField label="To" id="trace-to" unit=Unit::Seconds range=[0.001, 1e9] value=Signal::derive(move || offers.window.get()[1].unwrap_or_else(|| span.get())) on_change=edge(1) note=Signal::stored("Empty: to the end.".to_owned()) />
                    <NumberField label="Rate" id="trace-scale" unit=Unit::None range=[0.001, 1e6] value=Signal::derive(move || offers.rate_scale.get().unwrap_or(1.0)) on_change=move |scale| offers.rate_scale.set(scale) note=Signal::stored("Times the recorded rate, at the trace's own pace; a curve replays it at every rate.".to_owned()) />
                </div>
            })}
        </section>
    }
}
