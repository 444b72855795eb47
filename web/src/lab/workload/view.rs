//! The workload's tab on the screen.

use super::model;
use super::offer::{OfferPanel, Offers};
use crate::components::problems::Problems;
use crate::lab::bars::BarChart;
use crate::lab::crew::Heard;
use crate::lab::fields::{NumberField, RateField};
use crate::lab::state::lab;
use crate::view_model::format::{self, Unit};
use crate::worker::pool::Slot;
use leptos::prelude::*;
use plimsoll_core::diagnostic::Diagnostic;
use plimsoll_core::report::ClientPreview;
use plimsoll_protocol::lab::{LabOutcome, LabSpec, PreviewSpec, Previewed};
use plimsoll_protocol::view::Tab;

/// Requests drawn unless somebody asks for another number.
const NUM_REQUESTS: f64 = 10_000.0;

/// What the scenario's workload will generate.
#[component]
pub fn WorkloadView() -> impl IntoView {
    let lab = lab();
    let num_requests = RwSignal::new(NUM_REQUESTS);
    let shown: RwSignal<Option<Previewed>> = RwSignal::new(None);
    let problems: RwSignal<Vec<Diagnostic>> = RwSignal::new(Vec::new());
    let offers = Offers::new(lab);
    Effect::new(move |_| {
        let rate = lab.request_rate();
        let num_requests = num_requests.get() as u32;
        let scene = lab.scene.get();
        if !lab.is_open(Tab::Workload) || scene.scenario.is_empty() || lab.traces.is_coming(lab) {
            return;
        }
        let (workload, trace) = (offers.workload(), offers.choice(lab));
        // A trace that is looked at goes at its own pace.
        let request_rate = rate.map(|(rate, _)| rate).filter(|_| trace.is_none());
        if request_rate.is_none() && trace.is_none() {
            return;
        }
        let spec = PreviewSpec { scenario: scene.scenario, workload, trace, request_rate, num_requests };
        let hear = move |heard: Heard| match heard {
            Heard::Answer(LabOutcome::Preview(previewed)) => {
                problems.set(Vec::new());
                shown.set(Some(*previewed));
            }
            Heard::Failed(failure) => problems.set(failure.into_problems()),
            Heard::Answer(_) | Heard::Progress(..) | Heard::Update(_) => {}
        };
        lab.crew.with(|crew| {
            crew.iter().for_each(|crew| crew.ask_next(Slot::Preview, LabSpec::Preview(spec.clone()), hear))
        });
    });
    let of = move |part: fn(&Previewed) -> model::Bars| {
        Signal::derive(move || shown.with(|shown| shown.as_ref().map(part).unwrap_or_default()))
    };
    let input = of(|previewed| model::length_bars(&previewed.preview.input_tokens));
    let output = of(|previewed| model::length_bars(&previewed.preview.output_tokens));
    let rate = of(|previewed| model::rate_bars(&previewed.preview.arrivals, previewed.preview.asked_rate));
    let figures = move |part: fn(&Previewed) -> Vec<(&'static str, String)>| {
        Signal::derive(move || shown.with(|shown| shown.as_ref().map(part).unwrap_or_default()))
    };
    view! {
        <section class="lab-head" aria-label="Workload">
            <div class="summary" aria-live="polite" data-testid="workload-summary">
                <h2>{move || shown.with(|shown| shown.as_ref().map_or_else(|| "Waiting for the capacity …".to_owned(), |previewed| model::summary(&previewed.preview)))}</h2>
                <p>{move || shown.with(|shown| shown.as_ref().map(|previewed| crate::components::problems::sentence(&previewed.words.join(", "))))}</p>
                <p>{move || shown.with(|shown| shown.as_ref().and_then(|previewed| {
                    model::prefix_words(&previewed.preview.prefix, previewed.preview.num_requests)
                }))}</p>
            </div>
            <div class="fields">
                // A part of a trace that is looked at goes at its own pace.
                <div hidden=move || offers.choice(lab).is_some()><RateField id="workload-rate" /></div>
                <NumberField
                    label="Requests drawn"
                    id="workload-requests"
                    unit=Unit::Count
                    range=[1.0, 1e6]
                    is_whole=true
                    value=num_requests
                    on_change=move |count| num_requests.set(count.unwrap_or(NUM_REQUESTS))
                    note=Signal::stored("Drawn with the scenario's seed.".to_owned())
                />
            </div>
            <Problems id="workload-problems".into() problems=problems />
            <OfferPanel offers=offers />
        </section>
        <div class="charts pair">
            <BarChart title="Input tokens" id="input-tokens" bars=input figures=figures(|previewed| model::length_figures(&previewed.preview.input_tokens)) />
            <BarChart title="Output tokens" id="output-tokens" bars=output figures=figures(|previewed| model::length_figures(&previewed.preview.output_tokens)) />
            <BarChart title="Arrivals" id="arrivals" bars=rate figures=Signal::stored(Vec::new()) />
            {move || shown.with(|shown| shown.as_ref().filter(|previewed| !previewed.preview.clients.is_empty()).map(|previewed| view! {
                <Clients clients=previewed.preview.clients.clone() />
            }))}
        </div>
    }
}

/// What each client of a mix sends.
#[component]
fn Clients(clients: Vec<ClientPreview>) -> impl IntoView {
    let total: u64 = clients.iter().map(|client| client.num_requests).sum();
    view! {
        <section class="chart" aria-labelledby="clients-title" data-testid="clients">
            <header><h3 id="clients-title">"Clients"</h3></header>
            <div class="table" tabindex="0" role="region" aria-label="Table: clients">
                <table>
                    <thead><tr>
                        <th scope="col">"client"</th>
                        <th scope="col">"class, tenant"</th>
                        <th scope="col">"requests"</th>
                        <th scope="col">"share"</th>
                        <th scope="col">"mean input (tokens)"</th>
                        <th scope="col">"mean output (tokens)"</th>
                    </tr></thead>
                    <tbody>
                        {clients.into_iter().enumerate().map(|(index, client)| {
                            let name = if client.id.is_empty() { format!("client {}", index + 1) } else { client.id };
                            let group = [client.slo_class, client.tenant].into_iter().filter(|name| !name.is_empty());
                            view! {
                                <tr>
                                    <th scope="row">{name}</th>
                                    <td>{group.collect::<Vec<_>>().join(", ")}</td>
                                    <td>{format::grouped(client.num_requests as f64)}</td>
                                    <td>{format::percent(client.num_requests as f64 / total.max(1) as f64)}</td>
                                    <td>{format::grouped(client.mean_input_tokens.round())}</td>
                                    <td>{format::grouped(client.mean_output_tokens.round())}</td>
                                </tr>
                            }
                        }).collect_view()}
                    </tbody>
                </table>
            </div>
        </section>
    }
}
