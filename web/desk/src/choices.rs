//! What the editor's pickers have chosen and offer.

use plimsoll_core::catalog::{Catalog, WorkloadPreset};
use plimsoll_core::scenario::{
    AcceleratorChoice, AdmissionPolicy, Choice, LatencyModelChoice, ModelChoice, RoutingPolicy, Scenario, Scheduling,
    SchedulingPolicy, WorkloadSettings,
};

/// One picker.
pub struct Picker {
    /// Field path, as diagnostics name it.
    pub path: &'static str,
    /// What is chosen, as its picker shows it.
    pub get: fn(&Scenario) -> String,
    /// Chooses; what is no choice changes nothing.
    pub set: fn(&mut Scenario, &str),
}

impl Picker {
    /// The picker of this path.
    #[must_use]
    pub fn of(path: &str) -> Option<&'static Self> {
        PICKERS.iter().find(|picker| picker.path == path)
    }
}

const LATENCY_MODELS: [(&str, LatencyModelChoice); 7] = [
    ("auto", LatencyModelChoice::Auto),
    ("blackbox", LatencyModelChoice::Blackbox),
    ("calibrated", LatencyModelChoice::Calibrated),
    ("measured-roofline", LatencyModelChoice::MeasuredRoofline),
    ("quadratic", LatencyModelChoice::Quadratic),
    ("roofline", LatencyModelChoice::Roofline),
    ("trained-physics", LatencyModelChoice::TrainedPhysics),
];

const SCHEDULERS: [(&str, SchedulingPolicy); 5] = [
    ("fcfs", SchedulingPolicy::Fcfs),
    ("priority", SchedulingPolicy::Priority),
    ("priority-fcfs", SchedulingPolicy::PriorityFcfs),
    ("sjf", SchedulingPolicy::Sjf),
    ("reverse-priority", SchedulingPolicy::ReversePriority),
];

const SCHEDULINGS: [(&str, Scheduling); 2] = [("vllm-v1", Scheduling::VllmV1), ("reference", Scheduling::Reference)];

/// A switch that may be left to the server's version.
const SWITCHES: [(&str, Option<bool>); 3] = [("", None), ("true", Some(true)), ("false", Some(false))];

const ROUTINGS: [(&str, RoutingPolicy); 5] = [
    ("round-robin", RoutingPolicy::RoundRobin),
    ("least-loaded", RoutingPolicy::LeastLoaded),
    ("weighted", RoutingPolicy::Weighted),
    ("prefix-affinity", RoutingPolicy::PrefixAffinity),
    ("always-busiest", RoutingPolicy::AlwaysBusiest),
];

const ADMISSIONS: [(&str, AdmissionPolicy); 3] = [
    ("always-admit", AdmissionPolicy::AlwaysAdmit),
    ("token-bucket", AdmissionPolicy::TokenBucket),
    ("reject-all", AdmissionPolicy::RejectAll),
];

/// The id of a value in its table.
fn id_of<T: PartialEq>(table: &[(&str, T)], value: &T) -> String {
    table.iter().find(|(_, known)| known == value).map_or_else(String::new, |(id, _)| (*id).to_owned())
}

/// Sets what an id stands for; an unknown one changes nothing.
fn choose<T: Copy>(table: &[(&str, T)], id: &str, field: &mut T) {
    if let Some((_, value)) = table.iter().find(|(known, _)| *known == id) {
        *field = *value;
    }
}

/// All pickers of the editor.
pub const PICKERS: &[Picker] = &[
    Picker {
        path: "deployment.model",
        get: |s| match &s.deployment.model {
            ModelChoice::Id(id) => id.clone(),
            ModelChoice::Custom(spec) => format!("{} (own)", spec.id),
        },
        set: |s, id| {
            s.deployment.model = ModelChoice::Id(id.to_owned());
            s.forget_coefficients_version();
        },
    },
    Picker {
        path: "deployment.accelerator",
        get: |s| match &s.deployment.accelerator {
            None => "default of the model".to_owned(),
            Some(AcceleratorChoice::Id(id)) => id.clone(),
            Some(AcceleratorChoice::Custom(spec)) => format!("{} (own)", spec.id),
        },
        set: |s, id| s.deployment.accelerator = Some(AcceleratorChoice::Id(id.to_owned())),
    },
    Picker {
        path: "deployment.tensor_parallel_size",
        get: |s| s.deployment.tensor_parallel_size.map_or_else(String::new, |size| size.to_string()),
        set: |s, id| s.deployment.tensor_parallel_size = id.parse().ok(),
    },
    Picker {
        path: "latency.model",
        get: |s| id_of(&LATENCY_MODELS, &s.latency.model),
        set: |s, id| choose(&LATENCY_MODELS, id, &mut s.latency.model),
    },
    Picker {
        path: "engine.kv_cache_dtype",
        get: |s| s.engine.kv_cache_dtype.clone().unwrap_or_default(),
        set: |s, id| s.engine.kv_cache_dtype = (!id.is_empty()).then(|| id.to_owned()),
    },
    Picker {
        path: "engine.scheduler",
        get: |s| id_of(&SCHEDULERS, &s.engine.scheduler),
        set: |s, id| choose(&SCHEDULERS, id, &mut s.engine.scheduler),
    },
    Picker {
        path: "engine.scheduling",
        get: |s| id_of(&SCHEDULINGS, &s.engine.scheduling),
        set: |s, id| choose(&SCHEDULINGS, id, &mut s.engine.scheduling),
    },
    Picker {
        path: "deployment.server_version",
        get: |s| s.deployment.server_version.clone().unwrap_or_default(),
        set: |s, id| s.deployment.server_version = (!id.is_empty()).then(|| id.to_owned()),
    },
    Picker {
        path: "engine.async_scheduling",
        get: |s| id_of(&SWITCHES, &s.engine.async_scheduling),
        set: |s, id| choose(&SWITCHES, id, &mut s.engine.async_scheduling),
    },
    Picker {
        path: "engine.scheduler_reserve_full_isl",
        get: |s| id_of(&SWITCHES, &s.engine.scheduler_reserve_full_isl),
        set: |s, id| choose(&SWITCHES, id, &mut s.engine.scheduler_reserve_full_isl),
    },
    Picker {
        path: "cluster.routing.policy",
        get: |s| id_of(&ROUTINGS, &s.cluster.routing.policy),
        set: |s, id| choose(&ROUTINGS, id, &mut s.cluster.routing.policy),
    },
    Picker {
        path: "cluster.admission.policy",
        get: |s| id_of(&ADMISSIONS, &s.cluster.admission.policy),
        set: |s, id| choose(&ADMISSIONS, id, &mut s.cluster.admission.policy),
    },
    Picker {
        path: "engine.enable_prefix_caching",
        get: |s| s.engine.enable_prefix_caching.to_string(),
        set: |s, id| s.engine.enable_prefix_caching = id == "true",
    },
    Picker {
        path: "workload",
        get: |s| {
            let found = plimsoll_configs::catalog().presets.iter().find(|preset| is_from(&s.workload, preset));
            found.map_or_else(String::new, |preset| preset.id.clone())
        },
        set: |s, id| {
            if let Some(preset) = plimsoll_configs::catalog().preset(id) {
                s.workload.apply_preset(preset);
            }
        },
    },
    Picker {
        path: "workload.trace",
        get: |s| s.workload.trace.as_ref().map_or_else(String::new, |trace| trace.name.clone()),
        // A trace is chosen by opening its file.
        set: |s, _| s.workload.trace = None,
    },
];

/// What the picker of a long list offers; empty for a field without one.
#[must_use]
pub fn choices(scenario: &Scenario, path: &str) -> Vec<Choice> {
    let catalog = plimsoll_configs::catalog();
    match path {
        "deployment.model" => scenario.model_choices(catalog),
        "deployment.accelerator" => scenario.accelerator_choices(catalog),
        _ => Vec::new(),
    }
}

/// What the pickers of short lists offer, by field.
#[must_use]
pub fn offers(scenario: &Scenario) -> Vec<(String, Vec<Choice>)> {
    let catalog = plimsoll_configs::catalog();
    let preset = |preset: &WorkloadPreset| Choice {
        id: preset.id.clone(),
        label: preset.id.clone(),
        is_available: true,
        reason: String::new(),
    };
    vec![
        ("deployment.tensor_parallel_size".to_owned(), scenario.tensor_parallel_choices(catalog)),
        ("latency.model".to_owned(), scenario.latency_model_choices(catalog)),
        ("workload".to_owned(), catalog.presets.iter().map(preset).collect()),
    ]
}

/// Where a choice of model or accelerator fits only at another parallelism, takes that one and says so.
pub fn take_other_parallelism(scenario: &mut Scenario, catalog: &Catalog) -> Option<String> {
    let present = scenario.deployment.tensor_parallel_size?.to_string();
    let choices = scenario.tensor_parallel_choices(catalog);
    if choices.iter().any(|choice| choice.id == present && choice.is_available) {
        return None;
    }
    let size = choices.into_iter().find(|choice| choice.is_available)?.id.parse().ok()?;
    scenario.deployment.tensor_parallel_size = Some(size);
    Some(format!("It does not fit at tensor_parallel_size {present}, so that is {size} now."))
}

/// Whether the lengths are exactly those of a preset.
fn is_from(workload: &WorkloadSettings, preset: &WorkloadPreset) -> bool {
    let mut applied = workload.clone();
    applied.apply_preset(preset);
    applied == *workload
}
