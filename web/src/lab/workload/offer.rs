//! A file that may become the workload: looked at first, taken over in one click.

use super::start::START;
use crate::components::icon::{CLOSE, Icon, OPEN};
use crate::components::problems::{Problems, placed, sentence};
use crate::lab::crew::Heard;
use crate::lab::fields::{FolderButton, NumberField};
use crate::lab::intake::{Given, is_chunk};
use crate::lab::state::{Lab, lab};
use crate::lab::traces::Known;
use crate::view_model::format::{self, Unit, model_taken};
use crate::worker::pool::Slot;
use leptos::prelude::*;
use plimsoll_core::diagnostic::Diagnostic;
use plimsoll_core::scenario::{Scenario, TraceChoice};
use plimsoll_protocol::lab::{LabOutcome, LabSpec};
use plimsoll_protocol::view::Tab;
use plimsoll_protocol::{Failure, FileContent, decode, encode};
use wasm_bindgen::prelude::*;
use web_sys::{Blob, File, HtmlElement};

/// Latest second of a trace that can be named.
const OPEN_END: f64 = 1e9;

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
    },
    /// A workload of its own.
    Workload {
        /// Its file's name.
        name: String,
        /// It as JSON.
        workload: String,
    },
}

/// The part of a trace that is looked at.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Part {
    /// First and last second.
    window: [Option<f64>; 2],
    /// Factor on the trace's own rate.
    rate_scale: Option<f64>,
}

/// The file being looked at, and how much of it; without a file, the trace that the scenario replays.
#[derive(Clone, Copy)]
pub struct Offers {
    /// The file; none for the scenario's own workload.
    pub offer: RwSignal<Option<Offer>, LocalStorage>,
    /// The trace that the scenario replays.
    applied: Memo<Option<TraceChoice>>,
    /// What the user changed of the part that is looked at.
    changed: RwSignal<Option<Part>>,
    /// Notes on it, or why it is none.
    problems: RwSignal<Vec<Diagnostic>>,
}

impl Offers {
    /// Nothing is offered.
    #[must_use]
    pub fn new(lab: Lab) -> Self {
        let applied = Memo::new(move |_| {
            let scenario = lab.scene.with(|scene| (!scene.trace.is_empty()).then(|| scene.scenario.clone()))?;
            decode::<Scenario>(&scenario).ok()?.workload.trace
        });
        let offers = Self {
            offer: RwSignal::new_local(None),
            applied,
            changed: RwSignal::new(None),
            problems: RwSignal::new(Vec::new()),
        };
        // What was looked at is the scenario's now, or changes were changes of what stood there.
        Effect::new(move |_| {
            let applied = offers.applied.get();
            if offers.offer.with_untracked(Option::is_none) || offers.is_of(applied.as_ref()) {
                offers.clear();
            }
        });
        offers
    }

    /// Whether the trace that is looked at is this one.
    fn is_of(&self, trace: Option<&TraceChoice>) -> bool {
        self.offer.with_untracked(|offer| match (offer, trace) {
            (Some(Offer::Trace { hash, .. }), Some(trace)) => *hash == trace.hash,
            _ => false,
        })
    }

    /// The trace that is looked at as it stands, before the user changed its part.
    fn whole(&self) -> Option<TraceChoice> {
        self.offer.with(|offer| match offer {
            Some(Offer::Trace { name, hash, .. }) => {
                Some(TraceChoice { name: name.clone(), hash: hash.clone(), ..TraceChoice::default() })
            }
            Some(Offer::Workload { .. }) => None,
            None => self.applied.get(),
        })
    }

    /// The part of it that is looked at.
    fn part(&self) -> Part {
        self.changed.get().unwrap_or_else(|| {
            let whole = self.whole().unwrap_or_default();
            Part { window: whole.window_s.map_or([None; 2], |window| window.map(Some)), rate_scale: whole.rate_scale }
        })
    }

    /// First to last arrival of the trace, seconds, where it has been read here.
    fn known(&self, lab: Lab) -> Option<Known> {
        self.whole().and_then(|whole| lab.traces.get(&whole.hash))
    }

    /// The part of a trace that is looked at; none while the scenario's own workload is.
    #[must_use]
    pub fn choice(&self, lab: Lab) -> Option<TraceChoice> {
        let whole = self.whole()?;
        let part = self.part();
        let [start, end] = part.window;
        // Just behind the last arrival, which an open end includes.
        let last = self.known(lab).map_or(OPEN_END, |known| known.span_s + 1.0);
        let window_s = (start.is_some() || end.is_some()).then(|| [start.unwrap_or(0.0), end.unwrap_or(last)]);
        let choice = TraceChoice { window_s, rate_scale: part.rate_scale, ..whole.clone() };
        let is_other = self.offer.with(Option::is_some) || choice != whole;
        is_other.then_some(choice)
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
        self.changed.set(None);
        self.problems.set(Vec::new());
    }

    fn change(&self, change: impl FnOnce(&mut Part)) {
        let mut part = untrack(|| self.part());
        change(&mut part);
        self.changed.set(Some(part));
    }

    /// Looks at files somebody gave: those of a ServeGen folder as one, of others the first.
    fn take(self, lab: Lab, given: &Given) {
        self.clear();
        let chunks: Vec<File> = given.files.iter().filter(|file| is_chunk(&file.name())).cloned().collect();
        if !chunks.is_empty() {
            return self.take_folder(lab, &chunks);
        }
        let Some(first) = given.files.first() else { return };
        if given.files.len() > 1 {
            let text = format!("One workload at a time: {} is looked at, the other files are not.", first.name());
            lab.page(|page| page.say(&text));
        }
        self.read(lab, &first.name(), first);
    }

    /// Has a file read and says what is in it.
    fn read(self, lab: Lab, name: &str, file: &Blob) {
        let (own_name, own_file) = (name.to_owned(), file.clone());
        let hear = move |result: Result<(FileContent, Vec<Diagnostic>), Failure>| match result {
            Ok((content, notes)) => {
                self.problems.set(placed(notes));
                let name = own_name;
                match content {
                    FileContent::Trace { hash, .. } => {
                        self.offer.set(Some(Offer::Trace { name, file: own_file, hash }));
                    }
                    FileContent::Workload { workload } => self.offer.set(Some(Offer::Workload { name, workload })),
                    FileContent::Scenario { scenario } => {
                        lab.page(|page| page.apply("", &scenario, &format!("Opened the scenario {name}.")));
                    }
                    FileContent::Model { id, model, parameters } => {
                        let said = model_taken(&id, parameters);
                        lab.page(|page| page.apply("deployment.model", &model, &said));
                    }
                }
            }
            Err(failure) => self.problems.set(placed(failure.into_problems())),
        };
        lab.traces.read(lab, name, file, hear);
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
        lab.with_crew(move |crew| crew.ask(Slot::Folder, spec, Some(&joined), hear));
    }

    /// Makes what is looked at the scenario's workload.
    fn apply(self, lab: Lab) {
        let choice = untrack(|| self.choice(lab)).and_then(|choice| encode(&choice).ok()).unwrap_or_default();
        match self.offer.get_untracked() {
            Some(Offer::Trace { name, file, .. }) => {
                lab.page(|page| page.keep(&file, &name, &choice, &format!("Replaying {name}.")));
                if self.is_of(self.applied.get_untracked().as_ref()) {
                    self.clear();
                }
            }
            Some(Offer::Workload { name, workload }) => {
                lab.page(|page| page.apply("workload", &workload, &format!("The workload is now that of {name}.")));
                self.clear();
            }
            None => lab.page(|page| page.apply("workload.trace", &choice, "Another part of the trace is replayed.")),
        }
    }
}

/// Where files come in, and what is offered.
#[component]
pub fn OfferPanel(
    /// What is looked at.
    offers: Offers,
) -> impl IntoView {
    let lab = lab();
    Effect::new(move |_| {
        if let Some(given) = lab.take_files(Tab::Workload) {
            offers.take(lab, &given);
        }
    });
    let open = move |_| {
        let input = web_sys::window().and_then(|window| window.document()?.get_element_by_id("file"));
        if let Some(input) = input.and_then(|input| input.dyn_into::<HtmlElement>().ok()) {
            input.click();
        }
    };
    let is_offered = Memo::new(move |_| offers.offer.with(Option::is_some));
    let is_changed = Memo::new(move |_| is_offered.get() || offers.choice(lab).is_some());
    let words = move || match offers.offer.get() {
        Some(Offer::Trace { name, .. }) => Some(format!("Looking at {name}{}.", size(offers.known(lab)))),
        Some(Offer::Workload { name, .. }) => Some(format!("Looking at the workload of {name}.")),
        None => offers.applied.get().map(|trace| format!("Replaying {}{}.", trace.name, size(offers.known(lab)))),
    };
    let is_trace = Memo::new(move |_| offers.whole().is_some());
    let edge = move |index: usize| {
        move |seconds: Option<f64>| {
            offers.change(|part| part.window.iter_mut().skip(index).take(1).for_each(|edge| *edge = seconds));
        }
    };
    let [from, to] = [0, 1].map(|index| Signal::derive(move || offers.part().window.get(index).copied().flatten()));
    let end =
        Signal::derive(move || to.get().or_else(|| offers.known(lab).map(|known| known.span_s)).unwrap_or(f64::NAN));
    view! {
        <section class="offer" aria-label="Workload from a file" data-testid="offer">
            <div class="actions">
                <button type="button" on:click=open><Icon path=OPEN />"Open a trace or a specification"</button>
                <FolderButton label="Open a ServeGen folder" id="offer-folder" />
                <span class="help">"or drop it anywhere (CSV, JSONL, YAML)."</span>
            </div>
            <div class="actions starts">
                <span class="help">"Ready mixes:"</span>
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
                <div class="looked-at">
                    <div class="chip roomy">
                        <span>{sentence(&words)}</span>
                        {move || is_changed.get().then(|| view! {
                            <span class="actions in-line">
                                <button type="button" class="primary" on:click=move |_| offers.apply(lab)>
                                    {move || if is_offered.get() { "Use this workload" } else { "Use this part" }}
                                </button>
                                <button type="button" class="quiet" aria-label="Back to the scenario's workload" on:click=move |_| offers.clear()><Icon path=CLOSE /></button>
                            </span>
                        })}
                    </div>
                    {move || is_trace.get().then(|| view! {
                        <div class="fields">
                            <NumberField label="From" id="trace-from" unit=Unit::Seconds range=[0.0, OPEN_END] value=Signal::derive(move || from.get().unwrap_or(0.0)) on_change=edge(0) note=Signal::stored("Seconds after the first arrival.".to_owned()) />
                            <NumberField label="To" id="trace-to" unit=Unit::Seconds range=[0.001, OPEN_END] value=end on_change=edge(1) note=Signal::stored("Empty: to the end.".to_owned()) />
                            <NumberField label="Rate" id="trace-scale" unit=Unit::None range=[0.001, 1e6] value=Signal::derive(move || offers.part().rate_scale.unwrap_or(1.0)) on_change=move |scale| offers.change(|part| part.rate_scale = scale) note=Signal::stored("Times the recorded rate, at the trace's own pace; a curve replays it at every rate.".to_owned()) />
                        </div>
                    })}
                </div>
            })}
        </section>
    }
}

/// The size of a trace, in words; empty if it has not been read here.
fn size(known: Option<Known>) -> String {
    known.map_or_else(String::new, |known| {
        let count = format::grouped(known.num_requests as f64);
        format!(": {count} requests over {} s", format::number(known.span_s, 4))
    })
}
