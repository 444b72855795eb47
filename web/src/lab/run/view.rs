//! The run's tab on the screen.

use super::canvas::{Shown, Timeline};
use super::decisions::Decisions;
use super::replicas::Replicas;
use super::timeline::Pyramid;
use crate::components::problems::Problems;
use crate::lab::crew::Heard;
use crate::lab::fields::{MAX_SEED, NumberField, RateField};
use crate::lab::state::lab;
use crate::view_model::format::{self, Unit};
use crate::worker::pool::Slot;
use leptos::prelude::*;
use plimsoll_core::diagnostic::Diagnostic;
use plimsoll_core::report::Verdict;
use plimsoll_protocol::lab::{Figure, LabOutcome, LabSpec, RunSeen, RunSpec};
use plimsoll_protocol::view::Tab;
use std::sync::Arc;

/// Requests of a run, and candidates told of a decision, unless somebody asks for another number.
const NUM_REQUESTS: f64 = 2000.0;
const NUM_CANDIDATES: f64 = 4.0;

/// One run of the scenario.
#[component]
pub fn RunView() -> impl IntoView {
    let lab = lab();
    let num_requests = RwSignal::new(NUM_REQUESTS);
    let num_candidates = RwSignal::new(NUM_CANDIDATES);
    let seed: RwSignal<Option<f64>> = RwSignal::new(None);
    let shown: RwSignal<Option<Shown>> = RwSignal::new(None);
    let progress: RwSignal<Option<(u64, u64)>> = RwSignal::new(None);
    let problems: RwSignal<Vec<Diagnostic>> = RwSignal::new(Vec::new());
    Effect::new(move |_| {
        let Some((rate, _)) = lab.request_rate() else { return };
        let scene = lab.scene.get();
        let spec = RunSpec {
            scenario: scene.scenario,
            request_rate: rate,
            num_requests: num_requests.get() as u32,
            seed: seed.get().map(|seed| seed as u64),
            num_candidates: num_candidates.get() as u32,
        };
        if !lab.is_open(Tab::Run) || spec.scenario.is_empty() || lab.traces.is_coming(lab) {
            return;
        }
        let hear = move |heard: Heard| match heard {
            Heard::Progress(done, total) => progress.set(total.map(|total| (done, total))),
            Heard::Answer(LabOutcome::Run(seen)) => {
                progress.set(None);
                problems.set(Vec::new());
                let pyramid = Arc::new(Pyramid::new(&seen.requests));
                shown.set(Some(Shown { seen: Arc::from(seen), pyramid }));
            }
            Heard::Failed(failure) => {
                progress.set(None);
                problems.set(failure.into_problems());
            }
            Heard::Answer(_) | Heard::Update(_) => {}
        };
        lab.crew.with(|crew| crew.iter().for_each(|crew| crew.ask_next(Slot::Run, LabSpec::Run(spec.clone()), hear)));
    });
    let seen = Signal::derive(move || shown.with(|shown| shown.as_ref().map(|shown| Arc::clone(&shown.seen))));
    view! {
        <section class="lab-head" aria-label="Run">
            <div class="summary" data-testid="run-summary">
                <h2 aria-live="polite">{move || seen.with(|seen| seen.as_ref().map_or_else(|| "Waiting for the capacity …".to_owned(), |seen| summary(seen)))}</h2>
                <dl class="figures">
                    {move || seen.with(|seen| seen.as_ref().map(|seen| seen.figures.iter().map(|figure| view! {
                        <div>
                            <dt>{figure.name.clone()}{figure.is_of_survivors.then_some("*")}</dt>
                            <dd>{words(figure)}</dd>
                        </div>
                    }).collect_view()))}
                </dl>
                {move || seen.with(|seen| seen.as_ref().and_then(|seen| survivors(seen.cut_off))).map(|text| view! {
                    <p class="problem warning" data-testid="run-cut-off">{text}</p>
                })}
                <div class="progress left" role="status">
                    {move || progress.get().map(|(done, total)| view! {
                        <progress max=total.max(1).to_string() value=done.to_string() aria-label="Requests settled"></progress>
                        <span>{format!("{} of {} requests", format::grouped(done as f64), format::grouped(total as f64))}</span>
                        <button type="button" on:click=move |_| {
                            lab.crew.with_untracked(|crew| crew.iter().for_each(|crew| crew.stop(Slot::Run)));
                            progress.set(None);
                        }>"Stop"</button>
                    })}
                </div>
            </div>
            <div class="fields">
                <RateField id="run-rate" />
                <NumberField
                    label="Requests"
                    id="run-requests"
                    unit=Unit::Count
                    range=[1.0, 50_000.0]
                    is_whole=true
                    value=num_requests
                    on_change=move |count| num_requests.set(count.unwrap_or(NUM_REQUESTS))
                    note=Signal::stored("Up to 50,000.".to_owned())
                />
                <NumberField
                    label="Seed"
                    id="run-seed"
                    unit=Unit::None
                    range=[0.0, MAX_SEED]
                    is_whole=true
                    value=Signal::derive(move || seed.get().or_else(|| seen.with(|seen| seen.as_ref().map(|seen| seen.seed as f64))).unwrap_or_default())
                    on_change=move |new| seed.set(new)
                    note=Signal::stored("Empty the field for the scenario's.".to_owned())
                />
                <NumberField
                    label="Candidates"
                    id="run-candidates"
                    unit=Unit::Count
                    range=[0.0, 16.0]
                    is_whole=true
                    value=num_candidates
                    on_change=move |count| num_candidates.set(count.unwrap_or(NUM_CANDIDATES))
                    note=Signal::stored("Best replicas kept of each routing decision.".to_owned())
                />
            </div>
            <Problems id="run-problems".into() problems=problems />
        </section>
        <Replicas seen=seen />
        <Timeline shown=shown />
        <Decisions seen=seen />
    }
}

fn summary(seen: &RunSeen) -> String {
    let count = format::grouped(seen.requests.id.len() as f64);
    let end = format::number(seen.end_us as f64 / 1e6, 3);
    let verdict = match seen.verdict {
        Some(Verdict::Stable) => "the load is sustained",
        Some(Verdict::Backlogged) => "a backlog came and went",
        Some(Verdict::Overloaded) => "the deployment cannot keep up",
        Some(Verdict::Undecided) | None => "too short to tell whether the load is sustained",
    };
    let cut_off = match seen.cut_off {
        0 => String::new(),
        cut_off => format!(", {} of them cut off by its end", format::grouped(cut_off as f64)),
    };
    format!("{count} requests in {end} s of simulated time{cut_off}: {verdict}")
}

/// What the mark at a figure means, if there is one.
fn survivors(cut_off: u64) -> Option<String> {
    let whom = match cut_off {
        0 => return None,
        1 => "the request".to_owned(),
        count => format!("the {} requests", format::grouped(count as f64)),
    };
    Some(format!(
        "* Without {whom} that the end of the run cut off. A later horizon, or none, lets everybody be served."
    ))
}

fn words(figure: &Figure) -> String {
    match figure.unit.as_str() {
        "ms" => format::milliseconds(figure.value),
        "%" => format::percent(figure.value),
        "" if figure.value.fract() == 0.0 => format::grouped(figure.value),
        "" => format::number(figure.value, 3),
        unit => format!("{} {unit}", format::number(figure.value, 3)),
    }
}
