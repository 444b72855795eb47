//! What arrives and what must hold.

use super::number::NumberControl;
use crate::commands::Command;
use crate::components::icon::{CLOSE, Icon, OPEN};
use crate::components::problems::Problems;
use crate::components::segmented::{Segment, Segmented};
use crate::page::{Step, page};
use crate::state::fields;
use leptos::prelude::*;
use plimsoll_core::catalog::WorkloadPreset;
use plimsoll_core::scenario::WorkloadSettings;

/// Presets, lengths, arrivals, or a trace.
#[component]
pub fn WorkloadPanel() -> impl IntoView {
    let page = page();
    let presets = &plimsoll_configs::catalog().presets;
    let preset = Memo::new(move |_| {
        page.scenario.with(|scenario| {
            let found = presets.iter().find(|preset| is_from(&scenario.workload, preset));
            found.map_or_else(String::new, |preset| preset.id.clone())
        })
    });
    let segments: Vec<Segment> = presets
        .iter()
        .map(|preset| Segment { id: preset.id.clone(), label: preset.id.clone(), obstacle: String::new() })
        .collect();
    let trace =
        Memo::new(move |_| page.scenario.with(|scenario| scenario.workload.trace.clone().map(|trace| trace.name)));
    view! {
        <Segmented
            name="preset"
            legend="Preset"
            segments=Signal::stored(segments)
            value=preset
            on_choose=move |id| {
                if let Some(preset) = plimsoll_configs::catalog().preset(&id) {
                    page.edit("workload", Step::Deliberate, |scenario| scenario.workload.apply_preset(preset));
                }
            }
        />
        <div class="control">
            {move || match trace.get() {
                Some(name) => view! {
                    <p class="chip">
                        <span>"Replaying " <strong>{name}</strong> " at every rate"</span>
                        <button
                            type="button"
                            class="quiet"
                            aria-label="Stop replaying the trace"
                            on:click=move |_| page.edit("workload.trace", Step::Deliberate, |scenario| scenario.workload.trace = None)
                        >
                            <Icon path=CLOSE />
                        </button>
                    </p>
                }.into_any(),
                None => view! {
                    <button type="button" on:click=move |_| super::frame::run(page, Command::OpenFile)>
                        <Icon path=OPEN /> "Open a trace (CSV)"
                    </button>
                }.into_any(),
            }}
            <p class="help">"Or drop a file anywhere on the page. It is read here and goes nowhere."</p>
            <Problems id="trace-problems".into() problems=Signal::derive(move || page.problems("workload.trace")) />
        </div>
        <div class:muted=move || trace.get().is_some()>
            {fields::WORKLOAD.into_iter().map(|field| view! { <NumberControl field=field /> }).collect_view()}
            <details class="more">
                <summary>"Shared prefixes"</summary>
                {fields::PREFIX.into_iter().map(|field| view! { <NumberControl field=field /> }).collect_view()}
            </details>
        </div>
    }
}

/// Limits a deployment must keep.
#[component]
pub fn SloPanel() -> impl IntoView {
    let page = page();
    let percentile = Memo::new(move |_| page.scenario.with(|scenario| format!("{}", scenario.slo.percentile)));
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
            on_choose=move |id| page.edit("slo.percentile", Step::Deliberate, |scenario| {
                if let Ok(percentile) = id.parse() {
                    scenario.slo.percentile = percentile;
                }
            })
        />
        {fields::SLO.into_iter().map(|field| view! { <NumberControl field=field /> }).collect_view()}
        <Problems id="slo-problems".into() problems=Signal::derive(move || page.diagnostics.with(|all| {
            all.iter().filter(|diagnostic| diagnostic.path == "slo").cloned().collect()
        })) />
    }
}

/// Whether the lengths are exactly those of a preset.
fn is_from(workload: &WorkloadSettings, preset: &WorkloadPreset) -> bool {
    let mut applied = workload.clone();
    applied.apply_preset(preset);
    applied == *workload
}
