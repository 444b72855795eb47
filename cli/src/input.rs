//! From arguments and files to a scenario, its catalogue and its trace.

use crate::arguments::{ArrivalName, ScenarioArguments};
use crate::output::{Failure, file_failure, tell, tell_line};
use plimsoll_core::catalog::Catalog;
use plimsoll_core::diagnostic::{Checked, Diagnostic, Severity, Warned};
use plimsoll_core::scenario::{
    AcceleratorChoice, ArrivalSettings, LatencyModelChoice, LengthSettings, ModelChoice, ResolvedScenario, Scenario,
    TraceChoice,
};
use plimsoll_core::workload::Trace;
use plimsoll_formats::{
    accelerator_from_text, coefficients_from_yaml, model_from_hf_config, scenario_from_json, scenario_from_yaml,
    scenario_remarks, trace_from_csv,
};
use std::borrow::Cow;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

/// What a scenario is read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// One run at the scenario's own rate.
    Run,
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
    let mut diagnostics = arguments.later.diagnostics().to_vec();
    if diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error) {
        tell(&diagnostics, None, arguments.log);
        return Err(Failure::Invalid);
    }
    let catalog = catalog(arguments)?;
    let mut scenario = match &arguments.file {
        Some(file) => scenario_file(file, arguments, &mut diagnostics)?,
        None => defaults(purpose),
    };
    if arguments.file.is_none() && arguments.model.is_none() {
        tell_line("error: neither a scenario nor --model is given");
        tell_line("try: plimsoll run default, or plimsoll run --model meta-llama/llama-3.1-8b-instruct");
        return Err(Failure::Invalid);
    }
    deployment(arguments, &mut scenario, &mut diagnostics)?;
    engine(arguments, &mut scenario, &mut diagnostics);
    workload(arguments, &catalog, &mut scenario, &mut diagnostics)?;
    slo(arguments, &mut scenario);
    adjust(&mut scenario);
    let trace = trace(arguments, &mut scenario, purpose, &mut diagnostics)?;
    without_effect(arguments, purpose, trace.is_some(), &mut diagnostics);

    match scenario.resolve(&catalog) {
        Ok(Warned { value, diagnostics: found }) => {
            diagnostics.extend(found);
            tell(&diagnostics, None, arguments.log);
            Ok(Input { scenario, resolved: value, trace, diagnostics })
        }
        Err(found) => {
            diagnostics.extend(found);
            tell(&diagnostics, None, arguments.log);
            Err(Failure::Invalid)
        }
    }
}

/// What the flags refine when no file is given: the reference's defaults, not the page's.
fn defaults(purpose: Purpose) -> Scenario {
    let mut scenario = Scenario::default();
    scenario.deployment.accelerator = None;
    scenario.deployment.tensor_parallel_size = None;
    scenario.engine.gpu_memory_utilization = None;
    scenario.latency.model = LatencyModelChoice::Auto;
    scenario.workload.num_requests = 100;
    scenario.workload.arrival = match purpose {
        Purpose::Run => ArrivalSettings::Constant,
        Purpose::Curve => ArrivalSettings::Poisson,
    };
    scenario
}

fn scenario_file(
    file: &str,
    arguments: &ScenarioArguments,
    diagnostics: &mut Vec<Diagnostic>,
) -> Result<Scenario, Failure> {
    if file != "-"
        && !Path::new(file).exists()
        && let Some(scenario) = plimsoll_configs::scenario(file)
    {
        return Ok(scenario);
    }
    let text = if file == "-" {
        let mut text = String::new();
        std::io::stdin()
            .read_to_string(&mut text)
            .map_err(|error| file_failure("standard input", &error.to_string()))?;
        text
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
    Ok(scenario)
}

fn read_text(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|error| file_failure(&path.display().to_string(), &error.to_string()))
}

/// The value of a checked reader, its warnings added to the others.
fn accept<T>(
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
        deployment.engine_version = (!version.is_empty()).then(|| version.clone());
    }
    if let Some(folder) = arguments.model_config_folder.as_deref().filter(|folder| !folder.as_os_str().is_empty()) {
        let text = read_text(&folder.join("config.json"))?;
        let name = match &deployment.model {
            ModelChoice::Id(id) => id.clone(),
            ModelChoice::Custom(spec) => spec.id.clone(),
        };
        let spec = accept(model_from_hf_config(&text, &name), &text, arguments, diagnostics)?;
        deployment.model = ModelChoice::Custom(Box::new(spec));
    }
    if let Some(path) = arguments.hardware_config.as_deref().filter(|path| !path.as_os_str().is_empty()) {
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

/// Sets a field if its flag is given.
fn set<T: Copy>(field: &mut T, flag: Option<T>) {
    if let Some(value) = flag {
        *field = value;
    }
}

fn engine(arguments: &ScenarioArguments, scenario: &mut Scenario, diagnostics: &mut Vec<Diagnostic>) {
    let engine = &mut scenario.engine;
    set(&mut engine.max_num_seqs, arguments.max_num_running_reqs);
    set(&mut engine.max_num_batched_tokens, arguments.max_num_scheduled_tokens);
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
    if arguments.kv_offload_threshold.is_some() {
        diagnostics.push(Diagnostic::warning("flag-not-used", "--kv-offload-threshold", "the flag has no effect"));
    }
    if let Some(horizon) = arguments.horizon {
        // A horizon that is not positive is refused with the other limits.
        scenario.horizon_us = if horizon == i64::MAX { None } else { Some(u64::try_from(horizon).unwrap_or(0)) };
    }
}

fn workload(
    arguments: &ScenarioArguments,
    catalog: &Catalog,
    scenario: &mut Scenario,
    diagnostics: &mut Vec<Diagnostic>,
) -> Result<(), Failure> {
    let workload = &mut scenario.workload;
    let asks_for_trace = matches!(arguments.workload.as_deref(), None | Some("traces"));
    let mut takes_lengths = !(asks_for_trace && arguments.workload_traces_filepath.is_some());
    match arguments.workload.as_deref() {
        None => {}
        Some("distribution") => {
            let standard = Scenario::default().workload;
            workload.input_tokens = standard.input_tokens;
            workload.output_tokens = standard.output_tokens;
            workload.prefix = standard.prefix;
            workload.trace = None;
        }
        Some("traces") => {
            takes_lengths = false;
            if arguments.workload_traces_filepath.is_none() {
                return Err(file_failure("--workload traces", "give the file with --workload-traces-filepath"));
            }
        }
        Some(name) => match catalog.preset(name) {
            Some(preset) => {
                workload.apply_preset(preset);
                takes_lengths = false;
            }
            None => {
                let mut names: Vec<&str> = catalog.presets.iter().map(|preset| preset.id.as_str()).collect();
                names.extend(["distribution", "traces"]);
                let message = format!("workload {name} is not known (valid are {})", names.join(", "));
                return Err(file_failure("--workload", &message));
            }
        },
    }
    let lengths = [
        ("--prefix-tokens", arguments.prefix_tokens.is_some()),
        ("--prompt-tokens", arguments.prompt_tokens.is_some()),
        ("--prompt-tokens-stdev", arguments.prompt_tokens_stdev.is_some()),
        ("--prompt-tokens-min", arguments.prompt_tokens_min.is_some()),
        ("--prompt-tokens-max", arguments.prompt_tokens_max.is_some()),
        ("--output-tokens", arguments.output_tokens.is_some()),
        ("--output-tokens-stdev", arguments.output_tokens_stdev.is_some()),
        ("--output-tokens-min", arguments.output_tokens_min.is_some()),
        ("--output-tokens-max", arguments.output_tokens_max.is_some()),
    ];
    if takes_lengths {
        set(&mut workload.prefix.tokens, arguments.prefix_tokens);
        workload.input_tokens = lengths_with(
            &workload.input_tokens,
            arguments.prompt_tokens,
            arguments.prompt_tokens_stdev,
            arguments.prompt_tokens_min,
            arguments.prompt_tokens_max,
        );
        workload.output_tokens = lengths_with(
            &workload.output_tokens,
            arguments.output_tokens,
            arguments.output_tokens_stdev,
            arguments.output_tokens_min,
            arguments.output_tokens_max,
        );
    } else {
        for (flag, _) in lengths.into_iter().filter(|(_, is_given)| *is_given) {
            let message = "the flag has no effect, the workload has lengths of its own";
            diagnostics
                .push(Diagnostic::warning("flag-not-used", flag, message).with_hint("use --workload distribution"));
        }
    }
    set(&mut workload.prefix.groups, arguments.prefix_groups);
    set(&mut workload.prefix.share_ratio, arguments.prefix_share_ratio);
    set(&mut workload.request_rate, arguments.rate);
    set(&mut workload.num_requests, arguments.num_requests);
    set(&mut scenario.seed, arguments.seed);
    if let Some(seconds) = arguments.timeout {
        workload.timeout_s = (seconds >= 0.0 || seconds.is_nan()).then_some(seconds);
    }
    match (arguments.arrival, arguments.arrival_cv) {
        (Some(ArrivalName::Constant), None) => workload.arrival = ArrivalSettings::Constant,
        (Some(ArrivalName::Poisson), None) => workload.arrival = ArrivalSettings::Poisson,
        (Some(ArrivalName::Gamma) | None, Some(cv)) => workload.arrival = ArrivalSettings::Gamma { cv },
        (Some(ArrivalName::Gamma), None) => workload.arrival = ArrivalSettings::Gamma { cv: 1.0 },
        (Some(ArrivalName::Constant | ArrivalName::Poisson), Some(_)) => {
            return Err(file_failure("--arrival-cv", "only gamma arrivals have a coefficient of variation"));
        }
        (None, None) => {}
    }
    Ok(())
}

/// Warns of flags that set what the scenario has but the command does not look at.
fn without_effect(arguments: &ScenarioArguments, purpose: Purpose, is_trace: bool, diagnostics: &mut Vec<Diagnostic>) {
    let rate = ("--rate", arguments.rate.is_some());
    let num_requests = ("--num-requests", arguments.num_requests.is_some());
    let mut warn = |(flag, is_given): (&str, bool), message: &str, hint: &str| {
        if is_given {
            let message = format!("the flag has no effect, {message}");
            diagnostics.push(Diagnostic::warning("flag-not-used", flag, message).with_hint(hint));
        }
    };
    match purpose {
        Purpose::Curve => {
            let horizon = ("--horizon", arguments.horizon.is_some_and(|horizon| horizon != i64::MAX));
            warn(rate, "a curve goes over many rates", "set the axis with --range LOW:HIGH");
            warn(num_requests, "a curve chooses the length of its runs", "use --requests-per-run");
            warn(horizon, "every run of a curve goes to its end", "use --requests-per-run");
        }
        Purpose::Run if is_trace => {
            warn(rate, "a trace is replayed at its own pace", "plimsoll curve replays it at other rates");
            warn(num_requests, "every request of the trace is replayed", "cut the file, or use --horizon");
        }
        Purpose::Run => {}
    }
    if is_trace {
        for flag in [
            ("--arrival", arguments.arrival.is_some()),
            ("--arrival-cv", arguments.arrival_cv.is_some()),
            ("--timeout", arguments.timeout.is_some()),
            ("--prefix-groups", arguments.prefix_groups.is_some()),
            ("--prefix-share-ratio", arguments.prefix_share_ratio.is_some()),
        ] {
            warn(flag, "the trace says when requests come and what they are", "leave it out");
        }
    }
}

/// A length distribution with the given parts replaced.
fn lengths_with(
    lengths: &LengthSettings,
    mean: Option<f64>,
    std_dev: Option<f64>,
    min: Option<u32>,
    max: Option<u32>,
) -> LengthSettings {
    if mean.is_none() && std_dev.is_none() && min.is_none() && max.is_none() {
        return lengths.clone();
    }
    match *lengths {
        LengthSettings::Normal { mean: m, std_dev: s, min: low, max: high } => LengthSettings::Normal {
            mean: mean.unwrap_or(m),
            std_dev: std_dev.unwrap_or(s),
            min: min.unwrap_or(low),
            max: max.unwrap_or(high),
        },
        LengthSettings::Lognormal { mean: m, std_dev: s, min: low, max: high } => LengthSettings::Lognormal {
            mean: mean.unwrap_or(m),
            std_dev: std_dev.unwrap_or(s),
            min: min.unwrap_or(low),
            max: max.unwrap_or(high),
        },
        ref other => LengthSettings::Normal {
            mean: mean.unwrap_or(other.mean()),
            std_dev: std_dev.unwrap_or(other.std_dev()),
            min: min.unwrap_or(1),
            max: max.unwrap_or(7000.max(other.usual_maximum() as u32)),
        },
    }
}

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
}

/// The trace that flags or scenario ask for; the scenario then names it by its content.
fn trace(
    arguments: &ScenarioArguments,
    scenario: &mut Scenario,
    purpose: Purpose,
    diagnostics: &mut Vec<Diagnostic>,
) -> Result<Option<Arc<Trace>>, Failure> {
    const FLAG: &str = "--workload-traces-filepath";
    let Some(path) = &arguments.workload_traces_filepath else {
        return match &scenario.workload.trace {
            None => Ok(None),
            Some(choice) => Err(file_failure(FLAG, &format!("the scenario replays {}; give the file", choice.name))),
        };
    };
    if arguments.workload.as_deref().is_some_and(|name| name != "traces") {
        let message = "the flag has no effect, another workload is asked for";
        diagnostics.push(Diagnostic::warning("flag-not-used", FLAG, message).with_hint("use --workload traces"));
        return Ok(None);
    }
    let shown = path.display().to_string();
    let bytes = fs::read(path).map_err(|error| file_failure(&shown, &error.to_string()))?;
    let text = String::from_utf8_lossy(&bytes);
    let trace = accept(trace_from_csv(&bytes, &shown), &text, arguments, diagnostics)?;
    let hash = trace.content_hash();
    if let Some(choice) = &scenario.workload.trace
        && !choice.hash.eq_ignore_ascii_case(&hash)
    {
        let message =
            format!("the scenario replays {} with content {}, this file has content {hash}", choice.name, choice.hash);
        return Err(file_failure(&shown, &message));
    }
    let name = path.file_name().map_or_else(|| shown.clone(), |name| name.to_string_lossy().into_owned());
    let declared = scenario.workload.trace.take();
    let window_s = declared.as_ref().and_then(|choice| choice.window_s);
    let rate_scale = declared.and_then(|choice| choice.rate_scale);
    let choice = TraceChoice { name, hash, window_s, rate_scale };
    let trace = Arc::new(trace).chosen(&choice);
    scenario.workload.trace = Some(choice);
    if trace.requests().is_empty() {
        return Err(file_failure(&shown, "no request arrives in the window that is to be replayed"));
    }
    if purpose == Purpose::Run
        && let Some(horizon) = scenario.horizon_us
    {
        let is_late = |arrive: i64| u64::try_from(arrive).is_ok_and(|arrive| arrive > horizon);
        let late = trace.requests().iter().filter(|request| is_late(request.arrive.0)).count();
        if late > 0 {
            let message = format!("{late} requests arrive after the horizon and are skipped");
            diagnostics.push(Diagnostic::warning("requests-after-horizon", shown, message));
        }
    }
    Ok(Some(trace))
}
