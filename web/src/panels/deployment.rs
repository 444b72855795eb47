//! What is served, on what, with which engine settings.

use super::choice::{ChoiceControl, ListControl, SelectControl};
use super::number::NumberControl;
use crate::components::problems::Problems;
use crate::page::{Dialog, page};
use crate::state::fields;
use leptos::prelude::*;

/// Number types of cached keys and values on offer; the empty one leaves it to the catalogue.
const KV_DTYPES: [(&str, &str); 3] = [("", "auto"), ("fp8", "fp8"), ("bfloat16", "bf16")];

/// Whose rules replicas follow.
const SCHEDULINGS: [(&str, &str); 2] =
    [("vllm-v1", "vllm-v1: vLLM's own"), ("reference", "reference: reference simulator's")];

/// Releases on offer; the empty one is the newest, and any other can come with a file or a link.
const VERSIONS: [(&str, &str); 27] = [
    ("", "newest known"),
    ("0.33", "0.33"),
    ("0.32", "0.32"),
    ("0.31", "0.31"),
    ("0.30", "0.30"),
    ("0.29", "0.29"),
    ("0.28", "0.28"),
    ("0.27", "0.27"),
    ("0.26", "0.26"),
    ("0.25", "0.25"),
    ("0.24", "0.24"),
    ("0.23", "0.23"),
    ("0.22", "0.22"),
    ("0.21", "0.21"),
    ("0.20", "0.20"),
    ("0.19", "0.19"),
    ("0.18", "0.18"),
    ("0.17", "0.17"),
    ("0.16", "0.16"),
    ("0.15", "0.15"),
    ("0.14", "0.14"),
    ("0.13", "0.13"),
    ("0.12", "0.12"),
    ("0.11", "0.11"),
    ("0.10", "0.10"),
    ("0.9", "0.9"),
    ("0.8.5", "0.8.5"),
];

/// A switch that may be left to the server's version.
const SWITCH: [(&str, &str); 3] = [("", "default of the version"), ("true", "on"), ("false", "off")];

/// Orders of the waiting queue on offer.
const SCHEDULERS: [(&str, &str); 5] = [
    ("fcfs", "fcfs: first come, first served"),
    ("priority", "priority: lowest value first"),
    ("priority-fcfs", "priority-fcfs (reference)"),
    ("sjf", "sjf: shortest first (reference)"),
    ("reverse-priority", "reverse-priority (reference)"),
];

/// Who gets a request.
const ROUTINGS: [(&str, &str); 5] = [
    ("round-robin", "round-robin: each in turn"),
    ("least-loaded", "least-loaded: fewest requests"),
    ("weighted", "weighted: by memory and load"),
    ("prefix-affinity", "prefix-affinity: by shared prefix"),
    ("always-busiest", "always-busiest (pathological)"),
];

/// Who is let in.
const ADMISSIONS: [(&str, &str); 3] = [
    ("always-admit", "always-admit: everybody"),
    ("token-bucket", "token-bucket: while its tokens last"),
    ("reject-all", "reject-all (pathological)"),
];

/// Model, accelerator, parallelism and latency model.
#[component]
pub fn DeploymentPanel() -> impl IntoView {
    let page = page();
    view! {
        <div class="row">
            <button type="button" on:click=move |_| page.dialog.set(Some(Dialog::ServeLine))>"Paste a vllm serve line"</button>
        </div>
        <ListControl
            path="deployment.model"
            id="model"
            label="Model"
            help="Search the catalogue, or paste a config.json of your own."
        />
        <div class="row">
            <button type="button" on:click=move |_| page.dialog.set(Some(Dialog::Config))>"Paste config.json"</button>
        </div>
        <ListControl
            path="deployment.accelerator"
            id="accelerator"
            label="Accelerator"
            help="GPUs with measured efficiencies first; others are extrapolated."
        />
        <div class="row">
            <button type="button" on:click=move |_| page.dialog.set(Some(Dialog::Accelerator))>"Define your own"</button>
        </div>
        <ChoiceControl path="deployment.tensor_parallel_size" name="tensor-parallel-size" legend="tensor_parallel_size" />
        <Problems
            id="tensor-parallel-size-problems".into()
            problems=Signal::derive(move || page.problems("deployment.tensor_parallel_size"))
        />
        <ChoiceControl path="latency.model" name="latency-model" legend="Latency model" />
        <Problems id="latency-problems".into() problems=Signal::derive(move || page.problems("latency")) />
    }
}

/// Replicas and the policies in front of them.
#[component]
pub fn ClusterPanel() -> impl IntoView {
    let [num_replicas, bucket @ ..] = fields::CLUSTER;
    view! {
        <NumberControl field=num_replicas />
        <SelectControl
            path="cluster.routing.policy"
            id="routing-policy"
            label="Routing"
            help="Which replica serves a request."
            options=&ROUTINGS
        />
        <SelectControl
            path="cluster.admission.policy"
            id="admission-policy"
            label="Admission"
            help="Who is let in; refused requests do not count as load."
            options=&ADMISSIONS
        />
        <details class="more">
            <summary>"Token bucket"</summary>
            {bucket.into_iter().map(|field| view! { <NumberControl field=field /> }).collect_view()}
        </details>
    }
}

/// Settings under the server's own names.
#[component]
pub fn EnginePanel() -> impl IntoView {
    let page = page();
    let [max_num_seqs, max_num_batched_tokens, gpu_memory_utilization, rest @ ..] = fields::ENGINE;
    view! {
        <SelectControl
            path="engine.scheduling"
            id="scheduling"
            label="Scheduling rules"
            help="Whose decisions a replica repeats."
            options=&SCHEDULINGS
        />
        <SelectControl
            path="deployment.server_version"
            id="server-version"
            label="vLLM version"
            help="Its defaults and rules; trained coefficients are those nearest to it."
            options=&VERSIONS
        />
        <NumberControl field=max_num_seqs />
        <NumberControl field=max_num_batched_tokens />
        <NumberControl field=gpu_memory_utilization />
        <div class="control check">
            <label>
                <input
                    type="checkbox"
                    prop:checked=move || page.desk.with(|desk| desk.choice("engine.enable_prefix_caching") == "true")
                    on:change=move |event| {
                        page.choose("engine.enable_prefix_caching", if event_target_checked(&event) { "true" } else { "false" });
                    }
                />
                "enable_prefix_caching"
            </label>
            <p class="help">"Keep finished prompts and reuse what new ones share with them."</p>
        </div>
        <details class="more">
            <summary>"More engine settings"</summary>
            {rest.into_iter().map(|field| view! { <NumberControl field=field /> }).collect_view()}
            <SelectControl
                path="engine.kv_cache_dtype"
                id="kv-cache-dtype"
                label="kv_cache_dtype"
                help="Type of cached keys and values; a narrower one fits more tokens."
                options=&KV_DTYPES
            />
            <SelectControl
                path="engine.scheduler"
                id="scheduler"
                label="Scheduler"
                help="Order of the waiting queue."
                options=&SCHEDULERS
            />
            <SelectControl
                path="engine.async_scheduling"
                id="async-scheduling"
                label="async_scheduling"
                help="Plan a step while the one before it runs."
                options=&SWITCH
            />
            <SelectControl
                path="engine.scheduler_reserve_full_isl"
                id="scheduler-reserve-full-isl"
                label="scheduler_reserve_full_isl"
                help="Admit a request only when all of it fits."
                options=&SWITCH
            />
        </details>
    }
}
