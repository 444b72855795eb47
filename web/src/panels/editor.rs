//! The editor: every section of the scenario, collapsed on a phone.

use super::deployment::{ClusterPanel, DeploymentPanel, EnginePanel};
use super::workload::{SloPanel, WorkloadPanel};
use crate::components::problems::Problems;
use crate::page::page;
use crate::state::fields;
use leptos::prelude::*;
use plimsoll_core::diagnostic::{Diagnostic, Severity};

/// Paths that some control shows by itself.
fn has_control(path: &str) -> bool {
    let numbers = fields::ENGINE
        .iter()
        .chain(&fields::CLUSTER)
        .chain(&fields::WORKLOAD)
        .chain(&fields::PREFIX)
        .chain(&fields::SLO);
    let others = [
        "deployment.model",
        "deployment.accelerator",
        "deployment.tensor_parallel_size",
        "latency",
        "engine.kv_cache_dtype",
        "engine.scheduler",
        "cluster.routing.policy",
        "cluster.admission.policy",
        "workload.trace",
    ];
    path == "slo"
        || numbers
            .map(|field| field.path)
            .chain(others)
            .any(|known| path == known || path.strip_prefix(known).is_some_and(|rest| rest.starts_with(['.', '['])))
}

/// The scenario's sections.
#[component]
pub fn Editor() -> impl IntoView {
    let page = page();
    let is_wide = web_sys::window()
        .and_then(|window| window.match_media("(min-width: 60rem)").ok().flatten())
        .is_none_or(|query| query.matches());
    let elsewhere = Signal::derive(move || {
        page.diagnostics.with(|all| {
            all.iter()
                .filter(|diagnostic| diagnostic.severity != Severity::Note && !has_control(&diagnostic.path))
                .cloned()
                .collect::<Vec<Diagnostic>>()
        })
    });
    view! {
        <details class="editor" open=is_wide data-testid="editor">
            <summary>"Scenario"</summary>
            <form aria-label="Scenario" on:submit=|event| event.prevent_default()>
                <Problems id="scenario-problems".into() problems=elsewhere />
                <details class="section" open=true>
                    <summary><h2>"Deployment"</h2></summary>
                    <DeploymentPanel />
                </details>
                <details class="section" open=true data-testid="cluster">
                    <summary><h2>"Cluster"</h2></summary>
                    <ClusterPanel />
                </details>
                <details class="section" open=true>
                    <summary><h2>"Workload"</h2></summary>
                    <WorkloadPanel />
                </details>
                <details class="section" open=true>
                    <summary><h2>"SLO"</h2></summary>
                    <SloPanel />
                </details>
                <details class="section" open=true>
                    <summary><h2>"Engine settings"</h2></summary>
                    <EnginePanel />
                </details>
            </form>
        </details>
    }
}
