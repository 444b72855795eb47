//! What is served, on what, with which engine settings.

use super::number::NumberControl;
use crate::components::combobox::{Combobox, Entry};
use crate::components::problems::Problems;
use crate::components::segmented::{Segment, Segmented};
use crate::page::{Dialog, Step, page};
use crate::state::fields;
use leptos::prelude::*;
use plimsoll_core::scenario::{AcceleratorChoice, Choice, LatencyModelChoice, ModelChoice, SchedulerPolicy};

/// Number types of cached keys and values on offer; the empty one leaves it to the catalogue.
const KV_DTYPES: [(&str, &str); 3] = [("", "auto"), ("fp8", "fp8"), ("bfloat16", "bf16")];

/// Model, accelerator, parallelism and latency model.
#[component]
pub fn DeploymentPanel() -> impl IntoView {
    let page = page();
    let model = Memo::new(move |_| {
        page.scenario.with(|scenario| match &scenario.deployment.model {
            ModelChoice::Id(id) => id.clone(),
            ModelChoice::Custom(spec) => format!("{} (own)", spec.id),
        })
    });
    let accelerator = Memo::new(move |_| {
        page.scenario.with(|scenario| match &scenario.deployment.accelerator {
            None => "default of the model".to_owned(),
            Some(AcceleratorChoice::Id(id)) => id.clone(),
            Some(AcceleratorChoice::Custom(spec)) => format!("{} (own)", spec.id),
        })
    });
    let size = Memo::new(move |_| {
        page.scenario
            .with(|scenario| scenario.deployment.tensor_parallel_size.map_or_else(String::new, |size| size.to_string()))
    });
    // What is on offer depends on the deployment alone, so that a moved slider does not ask the catalogue.
    let deployment = Memo::new(move |_| {
        page.scenario.with(|scenario| (scenario.deployment.clone(), scenario.engine.clone(), scenario.latency.clone()))
    });
    let sizes = Memo::new(move |_| {
        deployment.track();
        page.scenario.with_untracked(|scenario| {
            scenario.tensor_parallel_choices(plimsoll_configs::catalog()).into_iter().map(segment).collect::<Vec<_>>()
        })
    });
    let latency_models = Memo::new(move |_| {
        deployment.track();
        page.scenario.with_untracked(|scenario| {
            scenario.latency_model_choices(plimsoll_configs::catalog()).into_iter().map(segment).collect::<Vec<_>>()
        })
    });
    let latency_model = Memo::new(move |_| {
        page.scenario.with(|scenario| {
            match scenario.latency.model {
                LatencyModelChoice::Auto => "auto",
                LatencyModelChoice::Blackbox => "blackbox",
                LatencyModelChoice::Roofline => "roofline",
                LatencyModelChoice::TrainedPhysics => "trained-physics",
            }
            .to_owned()
        })
    });
    view! {
        <Combobox
            id="model"
            label="Model"
            help="Search the catalogue, or paste a config.json of your own."
            value=model
            entries=move || page.scenario.with_untracked(|scenario| entries(scenario.model_choices(plimsoll_configs::catalog())))
            on_choose=move |id| {
                page.edit("deployment.model", Step::Deliberate, |scenario| {
                    scenario.deployment.model = ModelChoice::Id(id.clone());
                    scenario.deployment.engine_version = None;
                });
                take_other_parallelism(page);
            }
        />
        <Problems id="model-problems".into() problems=Signal::derive(move || page.problems("deployment.model")) />
        <div class="row">
            <button type="button" on:click=move |_| page.dialog.set(Some(Dialog::Config))>"Paste config.json"</button>
        </div>
        <Combobox
            id="accelerator"
            label="Accelerator"
            help="GPUs with measured efficiencies first; others are extrapolated."
            value=accelerator
            entries=move || page.scenario.with_untracked(|scenario| entries(scenario.accelerator_choices(plimsoll_configs::catalog())))
            on_choose=move |id| {
                page.edit("deployment.accelerator", Step::Deliberate, |scenario| {
                    scenario.deployment.accelerator = Some(AcceleratorChoice::Id(id.clone()));
                });
                take_other_parallelism(page);
            }
        />
        <Problems id="accelerator-problems".into() problems=Signal::derive(move || page.problems("deployment.accelerator")) />
        <div class="row">
            <button type="button" on:click=move |_| page.dialog.set(Some(Dialog::Accelerator))>"Define your own"</button>
        </div>
        <Segmented
            name="tensor-parallel-size"
            legend="tensor_parallel_size"
            segments=sizes
            value=size
            on_choose=move |id| page.edit("deployment.tensor_parallel_size", Step::Deliberate, |scenario| {
                scenario.deployment.tensor_parallel_size = id.parse().ok();
            })
        />
        <Problems
            id="tensor-parallel-size-problems".into()
            problems=Signal::derive(move || page.problems("deployment.tensor_parallel_size"))
        />
        <Segmented
            name="latency-model"
            legend="Latency model"
            segments=latency_models
            value=latency_model
            on_choose=move |id| page.edit("latency.model", Step::Deliberate, |scenario| {
                scenario.latency.model = match id.as_str() {
                    "auto" => LatencyModelChoice::Auto,
                    "blackbox" => LatencyModelChoice::Blackbox,
                    "roofline" => LatencyModelChoice::Roofline,
                    _ => LatencyModelChoice::TrainedPhysics,
                };
            })
        />
        <Problems id="latency-problems".into() problems=Signal::derive(move || page.problems("latency")) />
    }
}

/// Settings under the server's own names.
#[component]
pub fn EnginePanel() -> impl IntoView {
    let page = page();
    let [max_num_seqs, max_num_batched_tokens, gpu_memory_utilization, rest @ ..] = fields::ENGINE;
    let dtype =
        Memo::new(move |_| page.scenario.with(|scenario| scenario.engine.kv_cache_dtype.clone().unwrap_or_default()));
    let scheduler =
        Memo::new(move |_| page.scenario.with(|scenario| scheduler_id(scenario.engine.scheduler).to_owned()));
    view! {
        <NumberControl field=max_num_seqs />
        <NumberControl field=max_num_batched_tokens />
        <NumberControl field=gpu_memory_utilization />
        <div class="control check">
            <label>
                <input
                    type="checkbox"
                    prop:checked=move || page.scenario.with(|scenario| scenario.engine.enable_prefix_caching)
                    on:change=move |event| page.edit("engine.enable_prefix_caching", Step::Deliberate, |scenario| {
                        scenario.engine.enable_prefix_caching = event_target_checked(&event);
                    })
                />
                "enable_prefix_caching"
            </label>
            <p class="help">"Keep finished prompts and reuse what new ones share with them."</p>
        </div>
        <details class="more">
            <summary>"More engine settings"</summary>
            {rest.into_iter().map(|field| view! { <NumberControl field=field /> }).collect_view()}
            <div class="control">
                <label for="kv-cache-dtype">"kv_cache_dtype"</label>
                <select
                    id="kv-cache-dtype"
                    prop:value=dtype
                    on:change=move |event| {
                        let id = event_target_value(&event);
                        page.edit("engine.kv_cache_dtype", Step::Deliberate, |scenario| {
                            scenario.engine.kv_cache_dtype = (!id.is_empty()).then_some(id);
                        });
                    }
                >
                    {KV_DTYPES
                        .into_iter()
                        .map(|(id, label)| view! { <option value=id selected=move || dtype.get() == id>{label}</option> })
                        .collect_view()}
                </select>
                <p class="help">"Type of cached keys and values; a narrower one fits more tokens."</p>
                <Problems id="kv-cache-dtype-problems".into() problems=Signal::derive(move || page.problems("engine.kv_cache_dtype")) />
            </div>
            <div class="control">
                <label for="scheduler">"Scheduler"</label>
                <select
                    id="scheduler"
                    prop:value=scheduler
                    on:change=move |event| {
                        let id = event_target_value(&event);
                        page.edit("engine.scheduler", Step::Deliberate, |scenario| scenario.engine.scheduler = scheduler_of(&id));
                    }
                >
                    {[("fcfs", "first come, first served"), ("sjf", "shortest prompt first")]
                        .into_iter()
                        .map(|(id, label)| view! { <option value=id selected=move || scheduler.get() == id>{label}</option> })
                        .collect_view()}
                </select>
                <p class="help">"Order of the waiting queue."</p>
            </div>
        </details>
    }
}

/// Where the choice fits only at another parallelism, that one is taken and said.
fn take_other_parallelism(page: crate::page::Page) {
    let scenario = page.scenario.get_untracked();
    let catalog = plimsoll_configs::catalog();
    let choices = scenario.tensor_parallel_choices(catalog);
    let present = scenario.deployment.tensor_parallel_size.map_or_else(String::new, |size| size.to_string());
    let fits = present.is_empty() || choices.iter().any(|choice| choice.id == present && choice.is_available);
    if fits {
        return;
    }
    if let Some(size) = choices.into_iter().find(|choice| choice.is_available).and_then(|choice| choice.id.parse().ok())
    {
        page.edit("deployment.tensor_parallel_size", Step::Deliberate, |scenario| {
            scenario.deployment.tensor_parallel_size = Some(size);
        });
        page.say(format!("It does not fit at tensor_parallel_size {present}, so that is {size} now."));
    }
}

fn entries(choices: Vec<Choice>) -> Vec<Entry> {
    choices
        .into_iter()
        .map(|Choice { id, label, is_available, reason }| Entry { id, label, is_available, reason })
        .collect()
}

fn segment(choice: Choice) -> Segment {
    let obstacle = if choice.is_available { String::new() } else { choice.reason };
    Segment { id: choice.id, label: choice.label, obstacle }
}

fn scheduler_id(policy: SchedulerPolicy) -> &'static str {
    match policy {
        SchedulerPolicy::Sjf => "sjf",
        SchedulerPolicy::Fcfs | SchedulerPolicy::PriorityFcfs | SchedulerPolicy::ReversePriority => "fcfs",
    }
}

fn scheduler_of(id: &str) -> SchedulerPolicy {
    if id == "sjf" { SchedulerPolicy::Sjf } else { SchedulerPolicy::Fcfs }
}
