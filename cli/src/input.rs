//! From arguments and files to a scenario, its catalogue and its trace.

use crate::arguments::ScenarioArguments;
use crate::origin::{Origin, tell_found};
use crate::output::{Failure, file_failure, tell, tell_line};
use crate::policies;
use crate::serve;
use crate::workload::{trace, without_effect, workload};
use plimsoll_core::catalog::Catalog;
use plimsoll_core::diagnostic::{Checked, Diagnostic, Warned};
use plimsoll_core::scenario::{
    AcceleratorChoice, ArrivalSettings, ClassSlo, EngineSettings, LatencyModelChoice, ModelChoice, ResolvedScenario,
    Scenario, ThinkTime,
};
use plimsoll_core::workload::Trace;
use plimsoll_formats::{
    ModelFiles, Words, accelerator_from_text, coefficients_from_yaml, fit_from_yaml, model_from_files,
    scenario_from_json, scenario_from_yaml, scenario_remarks,
};
use std::borrow::Cow;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

/// What a scenario is read for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Purpose {
    /// One run at the scenario's own rate.
    Run,
    /// One run of a recorded trace, with this think time of its conversations.
    Replay(Option<ThinkTime>),
    /// Many runs, at rates and of lengths that the study chooses.
    Curve,
}

/// A scenario that can be run, and what was said on the way.
pub struct Input {
    pub scenario: Scenario,
    pub resolved: ResolvedScenario,
    pub trace: Option<Arc<Trace>>,
    /// Notes and warnings.
    pub diagnostics: Vec<Diagnostic>,
}

/// Reads and resolves what the arguments ask for; every problem is told on standard error.
///
/// `adjust` has the last word over the scenario.
pub fn read(
    arguments: &ScenarioArguments,
    purpose: Purpose,
    adjust: impl FnOnce(&mut Scenario),
) -> Result<Input, Failure> {
    let mut diagnostics = Vec::new();
    let catalog = catalog(arguments)?;
    let mut origins = Vec::new();
    let mut scenario = match &arguments.file {
        Some(file) => scenario_file(file, arguments, &mut diagnostics, &mut origins)?,
        None => defaults(purpose),
    };
    let is_stated = arguments.model.is_some() || arguments.fit.is_some() || arguments.serve.is_some();
    if arguments.file.is_none() && !is_stated {
        tell_line("error: neither a scenario nor --model is given");
        tell_line("try: plimsoll run default, or plimsoll run --model meta-llama/llama-3.1-8b-instruct");
        return Err(Failure::Invalid);
    }
    fit(arguments, &catalog, &mut scenario)?;
    serve::apply(arguments, &catalog, &mut scenario, &mut diagnostics)?;
    deployment(arguments, &mut scenario, &mut diagnostics)?;
    policies::apply(arguments, &mut scenario, &mut origins)?;
    engine(arguments, &mut scenario, &mut diagnostics);
    workload(arguments, &catalog, purpose, &mut scenario, &mut diagnostics, &mut origins)?;
    slo(arguments, &mut scenario);
    adjust(&mut scenario);
    let trace = trace(arguments, &mut scenario, purpose, &mut diagnostics)?;
    without_effect(arguments, purpose, trace.is_some(), &mut diagnostics);

    let resolved = match purpose {
        // Users who all wait for their answers have a curve over their number.
        Purpose::Curve if scenario.workload.users().is_some() => scenario.resolve(&catalog),
        Purpose::Curve => scenario.resolve_for_curve(&catalog),
        Purpose::Run | Purpose::Replay(_) => scenario.resolve(&catalog),
    };
    match resolved {
        Ok(Warned { value, diagnostics: found }) => {
            diagnostics.extend(found);
            tell_found(&diagnostics, &origins, &scenario, arguments.log);
            Ok(Input { scenario, resolved: value, trace, diagnostics })
        }
        Err(found) => {
            diagnostics.extend(found);
            tell_found(&diagnostics, &origins, &scenario, arguments.log);
            Err(Failure::Invalid)
        }
    }
}

/// What the flags refine when no file is given: the model's own deployment and the reference's workload, not the page's.
fn defaults(purpose: Purpose) -> Scenario {
    let mut scenario = Scenario::default();
    scenario.deployment.accelerator = None;
    scenario.deployment.tensor_parallel_size = None;
    scenario.latency.model = LatencyModelChoice::Auto;
    scenario.workload.num_requests = 100;
    scenario.workload.arrival = match purpose {
        Purpose::Run | Purpose::Replay(_) => ArrivalSettings::Constant,
        Purpose::Curve => ArrivalSettings::Poisson,
    };
    scenario
}

fn scenario_file(
    file: &str,
    arguments: &ScenarioArguments,
    diagnostics: &mut Vec<Diagnostic>,
    origins: &mut Vec<Origin>,
) -> Result<Scenario, Failure> {
    if file != "-"
        && !Path::new(file).exists()
        && let Some(scenario) = plimsoll_configs::scenario(file)
    {
        return Ok(scenario);
    }
    let text = if file == "-" {
        read_standard_input()?
    } else {
        read_text(Path::new(file)).inspect_err(|_| {
            let ids: Vec<&str> = plimsoll_configs::scenarios().iter().map(|entry| entry.id.as_str()).collect();
            tell_line(format_args!("ready scenarios are {}", ids.join(", ")));
        })?
    };
    let is_json = file.ends_with(".json") || text.trim_start().starts_with('{');
    let read = if is_json { scenario_from_json(&text, file) } else { scenario_from_yaml(&text, file) };
    let scenario = read.map_err(|problems| {
        tell(&problems, Some(&text), arguments.log);
        Failure::Invalid
    })?;
    diagnostics.extend(scenario_remarks(&text, file));
    origins.push(Origin::new(file, text, Words::Scenario, &scenario));
    Ok(scenario)
}

pub fn read_standard_input() -> Result<String, Failure> {
    let mut text = String::new();
    let read = std::io::stdin().read_to_string(&mut text);
    read.map(|_| text).map_err(|error| file_failure("standard input", &error.to_string()))
}

pub fn read_text(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|error| file_failure(&path.display().to_string(), &error.to_string()))
}

/// The value of a checked reader, its warnings added to the others.
pub fn accept<T>(
    checked: Checked<T>,
    text: &str,
    arguments: &ScenarioArguments,
    diagnostics: &mut Vec<Diagnostic>,
) -> Result<T, Failure> {
    match checked {
        Ok(warned) => {
            diagnostics.extend(warned.diagnostics);
            Ok(warned.value)
        }
        Err(problems) => {
            tell(&problems, Some(text), arguments.log);
            Err(Failure::Invalid)
        }
    }
}

fn catalog(arguments: &ScenarioArguments) -> Result<Cow<'static, Catalog>, Failure> {
    let built_in = plimsoll_configs::catalog();
    let Some(path) = &arguments.defaults_filepath else { return Ok(Cow::Borrowed(built_in)) };
    let text = read_text(path)?;
    match coefficients_from_yaml(&text, &path.display().to_string()) {
        Ok(tables) => Ok(Cow::Owned(tables.over(built_in))),
        Err(problems) => {
            tell(&problems, Some(&text), arguments.log);
            Err(Failure::Invalid)
        }
    }
}

/// Puts a fit and its server into the scenario; flags may still change both.
fn fit(arguments: &ScenarioArguments, catalog: &Catalog, scenario: &mut Scenario) -> Result<(), Failure> {
    let Some(path) = &arguments.fit else { return Ok(()) };
    let text = read_text(path)?;
    let file = fit_from_yaml(&text, &path.display().to_string()).map_err(|problems| {
        tell(&problems, Some(&text), arguments.log);
        Failure::Invalid
    })?;
    file.fit().apply(scenario, catalog, &file.deployment, file.calibrated_on);
    Ok(())
}

fn deployment(
    arguments: &ScenarioArguments,
    scenario: &mut Scenario,
    diagnostics: &mut Vec<Diagnostic>,
) -> Result<(), Failure> {
    let deployment = &mut scenario.deployment;
    if let Some(model) = &arguments.model {
        deployment.model = ModelChoice::Id(model.clone());
    }
    if let Some(hardware) = arguments.hardware.as_deref().filter(|id| !id.is_empty()) {
        deployment.accelerator = Some(AcceleratorChoice::Id(hardware.to_owned()));
    }
    if let Some(tp) = arguments.tp {
        deployment.tensor_parallel_size = (tp > 0).then_some(tp);
    }
    if let Some(version) = &arguments.vllm_version {
        deployment.server_version = (!version.is_empty()).then(|| version.clone());
    }
    if let Some(folder) = arguments.model_config_folder.as_deref() {
        let texts = ModelTexts::of_folder(folder)?;
        let name = match &deployment.model {
            ModelChoice::Id(id) => id.clone(),
            ModelChoice::Custom(spec) => spec.id.clone(),
        };
        let spec = accept(model_from_files(texts.files(), &name), &texts.config, arguments, diagnostics)?;
        deployment.model = ModelChoice::Custom(Box::new(spec));
    }
    if let Some(path) = arguments.hardware_config.as_deref() {
        let text = read_text(path)?;
        let wanted = match &deployment.accelerator {
            Some(AcceleratorChoice::Id(id)) => id.clone(),
            Some(AcceleratorChoice::Custom(spec)) => spec.id.clone(),
            None => String::new(),
        };
        let checked = accelerator_from_text(&text, &path.display().to_string(), &wanted);
        let spec = accept(checked, &text, arguments, diagnostics)?;
        deployment.accelerator = Some(AcceleratorChoice::Custom(Box::new(spec)));
    }
    if let Some(model) = arguments.latency_model {
        scenario.latency.model = model.into();
    }
    if arguments.alpha_coeffs.is_some() {
        scenario.latency.alpha.clone_from(&arguments.alpha_coeffs);
    }
    if arguments.beta_coeffs.is_some() {
        scenario.latency.beta.clone_from(&arguments.beta_coeffs);
    }
    Ok(())
}

/// What is read of a model's folder.
#[derive(Debug, Default)]
pub struct ModelTexts {
    /// `config.json`.
    pub config: String,
    /// `hf_quant_config.json`, if it is there.
    quantization: Option<String>,
    /// `model.safetensors.index.json`, if it is there.
    index: Option<String>,
}

impl ModelTexts {
    /// A config alone.
    pub fn of_config(config: String) -> Self {
        Self { config, ..Self::default() }
    }

    /// Reads the folder's config and what lies beside it.
    ///
    /// # Errors
    /// When the config cannot be read, or what is there besides.
    pub fn of_folder(folder: &Path) -> Result<Self, Failure> {
        let beside = |name: &str| {
            let path = folder.join(name);
            if path.exists() { read_text(&path).map(Some) } else { Ok(None) }
        };
        Ok(Self {
            config: read_text(&folder.join("config.json"))?,
            quantization: beside("hf_quant_config.json")?,
            index: beside("model.safetensors.index.json")?,
        })
    }

    /// The same for the readers.
    pub fn files(&self) -> ModelFiles<'_> {
        ModelFiles {
            quantization: self.quantization.as_deref(),
            index: self.index.as_deref(),
            ..ModelFiles::of_config(&self.config)
        }
    }
}

/// Sets a field if its flag is given.
pub fn set<T: Copy>(field: &mut T, flag: Option<T>) {
    if let Some(value) = flag {
        *field = value;
    }
}

fn engine(arguments: &ScenarioArguments, scenario: &mut Scenario, diagnostics: &mut Vec<Diagnostic>) {
    let engine = &mut scenario.engine;
    set(&mut engine.scheduling, arguments.scheduling.map(Into::into));
    engine.max_num_seqs = arguments.max_num_running_reqs.or(engine.max_num_seqs);
    engine.max_num_active_seqs = arguments.max_num_active_seqs.or(engine.max_num_active_seqs);
    engine.max_num_batched_tokens = arguments.max_num_scheduled_tokens.or(engine.max_num_batched_tokens);
    set(&mut engine.performance_mode, arguments.performance_mode.map(Into::into));
    engine.kv_cache_memory_bytes = arguments.kv_cache_memory_bytes.or(engine.kv_cache_memory_bytes);
    engine.long_prefill_token_threshold_adaptive |= arguments.long_prefill_token_threshold_adaptive;
    let switch = |on: bool, off: bool| (on || off).then_some(on);
    let given = switch(arguments.async_scheduling, arguments.no_async_scheduling);
    engine.async_scheduling = given.or(engine.async_scheduling);
    let given = switch(arguments.scheduler_reserve_full_isl, arguments.no_scheduler_reserve_full_isl);
    engine.scheduler_reserve_full_isl = given.or(engine.scheduler_reserve_full_isl);
    set(&mut engine.watermark, arguments.watermark);
    set(&mut engine.long_prefill_token_threshold, arguments.long_prefill_token_threshold);
    set(&mut engine.block_size, arguments.block_size_in_tokens);
    engine.max_model_len = arguments.max_model_len.or(engine.max_model_len);
    engine.num_gpu_blocks = arguments.total_kv_blocks.or(engine.num_gpu_blocks);
    engine.gpu_memory_utilization = arguments.gpu_memory_utilization.or(engine.gpu_memory_utilization);
    if arguments.kv_cache_dtype.is_some() {
        engine.kv_cache_dtype.clone_from(&arguments.kv_cache_dtype);
    }
    engine.enable_prefix_caching &= !arguments.no_enable_prefix_caching;
    set(&mut engine.scheduler, arguments.scheduler.map(Into::into));
    set(&mut engine.priority, arguments.priority_policy.map(Into::into));
    set(&mut engine.kv_cpu_blocks, arguments.kv_cpu_blocks);
    set(&mut engine.kv_transfer_base_latency_us, arguments.kv_transfer_base_latency);
    set(&mut engine.kv_transfer_bandwidth, arguments.kv_transfer_bandwidth);
    if engine.kv_cpu_blocks == 0 {
        transfer_without_tier(arguments, engine, diagnostics);
    }
    if arguments.kv_offload_threshold.is_some() {
        diagnostics.push(Diagnostic::warning("flag-not-used", "--kv-offload-threshold", "the flag has no effect"));
    }
    if let Some(horizon) = arguments.horizon {
        // A horizon that is not positive is refused with the other limits.
        scenario.horizon_us = if horizon == i64::MAX { None } else { Some(u64::try_from(horizon).unwrap_or(0)) };
    }
}

/// Warns of the speed of a transfer that there is nothing for, by flag or in a file.
fn transfer_without_tier(arguments: &ScenarioArguments, engine: &EngineSettings, diagnostics: &mut Vec<Diagnostic>) {
    let usual = Scenario::default().engine;
    let has_latency = engine.kv_transfer_base_latency_us != usual.kv_transfer_base_latency_us;
    let has_bandwidth = engine.kv_transfer_bandwidth != usual.kv_transfer_bandwidth;
    for (path, is_given) in [
        ("engine.kv_transfer_base_latency_us", has_latency || arguments.kv_transfer_base_latency.is_some()),
        ("engine.kv_transfer_bandwidth", has_bandwidth || arguments.kv_transfer_bandwidth.is_some()),
    ] {
        if is_given {
            let message = "there is no prefix cache in host memory, so nothing is transferred";
            let hint = "give --kv-cpu-blocks, or leave it out";
            diagnostics.push(Diagnostic::warning("setting-not-used", path, message).with_hint(hint));
        }
    }
}

/// One limit of an SLO class.
type ClassLimit = fn(&mut ClassSlo) -> &mut Option<f64>;

fn slo(arguments: &ScenarioArguments, scenario: &mut Scenario) {
    let slo = &mut scenario.slo;
    set(&mut slo.percentile, arguments.slo_percentile);
    set(&mut slo.attainment, arguments.slo_attainment);
    for (field, flag) in [
        (&mut slo.ttft_ms, arguments.slo_ttft_ms),
        (&mut slo.tpot_ms, arguments.slo_tpot_ms),
        (&mut slo.itl_ms, arguments.slo_itl_ms),
        (&mut slo.e2e_ms, arguments.slo_e2e_ms),
    ] {
        if let Some(limit) = flag {
            *field = (limit != 0.0).then_some(limit);
        }
    }
    let of_classes: [(ClassLimit, _); 3] = [
        (|class| &mut class.ttft_ms, &arguments.slo_class_ttft_ms),
        (|class| &mut class.tpot_ms, &arguments.slo_class_tpot_ms),
        (|class| &mut class.e2e_ms, &arguments.slo_class_e2e_ms),
    ];
    for (field, flags) in of_classes {
        for (class, limit) in flags {
            let limits = scenario.slo_classes.entry(class.clone()).or_default();
            *field(limits) = (*limit != 0.0).then_some(*limit);
        }
    }
}
