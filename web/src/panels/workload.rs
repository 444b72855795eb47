//! What arrives and what must hold.

use super::choice::ChoiceControl;
use super::number::NumberControl;
use crate::commands::Command;
use crate::components::icon::{CLOSE, Icon, OPEN};
use crate::components::problems::Problems;
use crate::components::segmented::{Segment, Segmented};
use crate::page::{Step, page};
use crate::state::fields;
use leptos::prelude::*;
use plimsoll_protocol::Edit;

/// Presets, lengths, arrivals, or a trace.
#[component]
pub fn WorkloadPanel() -> impl IntoView {
    let page = page();
    let trace = Memo::new(move |_| {
        let name = page.desk.with(|desk| desk.choice("workload.trace").to_owned());
        (!name.is_empty()).then_some(name)
    });
    let num_clients = Memo::new(move |_| page.desk.with(|desk| desk.num_clients));
    let is_idle = move || trace.get().is_some() || num_clients.get() > 0;
    view! {
        <ChoiceControl path="workload" name="preset" legend="Preset" />
        <div class="control">
            {move || match trace.get() {
                Some(name) => view! {
                    <p class="chip">
                        <span>"Replaying " <strong>{name}</strong> " at every rate"</span>
                        <button
                            type="button"
                            class="quiet"
                            aria-label="Stop replaying the trace"
                            on:click=move |_| page.choose("workload.trace", "")
                        >
                            <Icon path=CLOSE />
                        </button>
                    </p>
                }.into_any(),
                None => view! {
                    <button type="button" on:click=move |_| super::frame::run(page, Command::OpenFile)>
                        <Icon path=OPEN /> "Open a trace"
                    </button>
                }.into_any(),
            }}
            <p class="help">"Or drop a file anywhere on the page. It is read here and goes nowhere."</p>
            <Problems id="trace-problems".into() problems=Signal::derive(move || page.problems("workload.trace")) />
        </div>
        {move || (num_clients.get() > 0 && trace.get().is_none()).then(|| view! {
            <p class="chip">
                {move || format!("A mix of {} clients brings its own lengths, arrivals and prefixes.", num_clients.get())}
            </p>
        })}
        <fieldset disabled=is_idle class:muted=is_idle data-testid="workload-numbers">
            {fields::WORKLOAD.into_iter().map(|field| view! { <NumberControl field=field /> }).collect_view()}
            <details class="more">
                <summary>"Shared prefixes"</summary>
                {fields::PREFIX.into_iter().map(|field| view! { <NumberControl field=field /> }).collect_view()}
            </details>
        </fieldset>
        <NumberControl field=fields::PREFIX_HIT_RATIO />
    }
}

/// Limits a deployment must keep.
#[component]
pub fn SloPanel() -> impl IntoView {
    let page = page();
    let percentile = Memo::new(move |_| {
        page.desk.with(|desk| desk.number("slo.percentile").map_or_else(String::new, |p| p.to_string()))
    });
    let segments: Vec<Segment> = ["50", "90", "95", "99"]
        .into_iter()
        .map(|id| Segment { id: id.into(), label: format!("p{id}"), obstacle: String::new() })
        .collect();
    view! {
        <Segmented
            name="slo-percentile"
            legend="Limits hold at"
            segments=Signal::stored(segments)
            value=percentile
            on_choose=move |id| {
                let value = id.parse::<u32>().ok().map(f64::from);
                page.edit("slo.percentile", Step::Deliberate, Edit::Number { path: "slo.percentile".into(), value });
            }
        />
        {fields::SLO.into_iter().map(|field| view! { <NumberControl field=field /> }).collect_view()}
        <Problems id="slo-problems".into() problems=Signal::derive(move || page.diagnostics.with(|all| {
            all.iter().filter(|diagnostic| diagnostic.path == "slo").cloned().collect()
        })) />
    }
}
