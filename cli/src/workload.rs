//! The workload that flags and files ask for.

use crate::arguments::{ArrivalName, ScenarioArguments};
use crate::input::{Purpose, accept, read_text, set};
use crate::origin::Origin;
use crate::output::{Failure, file_failure};
use plimsoll_core::catalog::{Catalog, meant};
use plimsoll_core::diagnostic::Diagnostic;
use plimsoll_core::scenario::{
    ArrivalSettings, ClosedLoopSettings, LengthSettings, Scenario, TraceChoice, WorkloadSettings,
};
use plimsoll_core::workload::Trace;
use plimsoll_formats::{
    ServeGenChoice, ServeGenFile, Words, servegen_clients, trace_from_bytes, workload_spec_from_yaml,
};
use std::fs;
use std::path::Path;
use std::sync::Arc;

pub fn workload(
    arguments: &ScenarioArguments,
    catalog: &Catalog,
    purpose: Purpose,
    scenario: &mut Scenario,
    diagnostics: &mut Vec<Diagnostic>,
    origins: &mut Vec<Origin>,
) -> Result<(), Failure> {
    if let Some(path) = arguments.workload_spec.as_deref().filter(|path| !path.is_empty()) {
        return specified(Path::new(path), arguments, purpose, scenario, diagnostics, origins);
    }
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
            workload.prefix_hit_ratio = standard.prefix_hit_ratio;
            workload.trace = None;
            workload.clients.clear();
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
                let message = format!("workload {name} is not known ({})", meant(name, names));
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
    set(&mut workload.prefix_hit_ratio, arguments.prefix_hit_ratio);
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
        (Some(ArrivalName::Weibull), cv) => workload.arrival = ArrivalSettings::Weibull { cv: cv.unwrap_or(1.0) },
        (Some(ArrivalName::Constant | ArrivalName::Poisson), Some(_)) => {
            return Err(file_failure(
                "--arrival-cv",
                "only gamma and weibull arrivals have a coefficient of variation",
            ));
        }
        (None, None) => {}
    }
    users(arguments, scenario, diagnostics)
}

/// `--concurrency` and `--think-time-ms`: users who wait for their answers instead of a rate.
fn users(
    arguments: &ScenarioArguments,
    scenario: &mut Scenario,
    diagnostics: &mut Vec<Diagnostic>,
) -> Result<(), Failure> {
    let workload = &mut scenario.workload;
    let think_time_us = match arguments.think_time_ms {
        Some(millis) if !(0.0..=1e12).contains(&millis) => {
            return Err(file_failure("--think-time-ms", &format!("{millis} is no number of milliseconds from 0 on")));
        }
        // The bounds were checked.
        millis => millis.map(|millis| (millis * 1000.0) as u64),
    };
    if let Some(concurrency) = arguments.concurrency {
        if concurrency > 0 && arguments.rate.is_some() {
            return Err(file_failure(
                "--concurrency",
                "users who wait have no rate; give one of --rate and --concurrency",
            ));
        }
        let think_time_us = think_time_us.unwrap_or(0);
        workload.closed_loop = (concurrency > 0).then_some(ClosedLoopSettings { concurrency, think_time_us });
    } else if let (Some(users), Some(think_time_us)) = (&mut workload.closed_loop, think_time_us) {
        users.think_time_us = think_time_us;
    } else if think_time_us.is_some_and(|think_time| think_time > 0) {
        let message = "the flag has no effect without users who think";
        let hint = "give --concurrency";
        diagnostics.push(Diagnostic::warning("flag-not-used", "--think-time-ms", message).with_hint(hint));
    }
    if workload.closed_loop.is_some() && !workload.clients.is_empty() {
        let message = "the flag has no effect, the scenario has clients of its own";
        let hint = "use --workload distribution";
        diagnostics.push(Diagnostic::warning("flag-not-used", "--concurrency", message).with_hint(hint));
        workload.closed_loop = None;
    }
    if workload.closed_loop.is_some() && arguments.timeout.is_some_and(|seconds| seconds < 0.0) {
        // Users give up after 300 s where nothing is said; the longest patience there is stands for never.
        workload.timeout_s = Some(1e9);
    }
    Ok(())
}

/// `--workload-spec`: the specification replaces the workload; seed, count and horizon may be given explicitly.
fn specified(
    path: &Path,
    arguments: &ScenarioArguments,
    purpose: Purpose,
    scenario: &mut Scenario,
    diagnostics: &mut Vec<Diagnostic>,
    origins: &mut Vec<Origin>,
) -> Result<(), Failure> {
    let shown = path.display().to_string();
    let text = read_text(path)?;
    let mut spec = accept(workload_spec_from_yaml(&text, &shown), &text, arguments, diagnostics)?;
    if let Some(choice) = spec.servegen_data.take().filter(|_| spec.clients.is_empty()) {
        let files = servegen_files(path, &choice)?;
        spec.clients = accept(servegen_clients(&files, &choice), "", arguments, diagnostics)?;
    }
    let stated = Scenario {
        horizon_us: spec.horizon_us,
        seed: spec.seed.unwrap_or_default(),
        workload: spec.clone().into_workload(0),
        ..Scenario::default()
    };
    origins.push(Origin::new(&shown, text, Words::WorkloadSpec, &stated));
    if arguments.horizon.is_none() && spec.horizon_us.is_some() {
        scenario.horizon_us = spec.horizon_us;
    }
    scenario.seed = arguments.seed.or(spec.seed).unwrap_or(scenario.seed);
    spec.num_requests = arguments.num_requests.or(spec.num_requests);
    let limit = match (spec.num_requests, scenario.horizon_us) {
        // Each run of a curve has its own number of requests.
        (None, None) if purpose == Purpose::Curve => scenario.workload.num_requests,
        (None, None) => {
            let message = "the specification states neither num_requests nor a horizon, so it never ends; \
                           add one of them, or give --num-requests or --horizon";
            return Err(file_failure(&shown, message));
        }
        // The horizon ends it; more requests than this no run may have.
        (None, Some(_)) => 100_000_000,
        (Some(count), _) => count,
    };
    let WorkloadSettings { timeout_s, prefix_hit_ratio, .. } = scenario.workload;
    let prefix_hit_ratio = arguments.prefix_hit_ratio.unwrap_or(prefix_hit_ratio);
    scenario.workload = WorkloadSettings { timeout_s, prefix_hit_ratio, ..spec.into_workload(limit) };
    if let Some(seconds) = arguments.timeout {
        scenario.workload.timeout_s = Some(if seconds < 0.0 { 1e9 } else { seconds });
    }
    for (flag, is_given) in [
        ("--workload", arguments.workload.is_some()),
        ("--workload-traces-filepath", arguments.workload_traces_filepath.is_some()),
        ("--rate", arguments.rate.is_some()),
        ("--concurrency", arguments.concurrency.is_some_and(|users| users > 0)),
        ("--think-time-ms", arguments.think_time_ms.is_some_and(|millis| millis > 0.0)),
        ("--arrival", arguments.arrival.is_some()),
        ("--arrival-cv", arguments.arrival_cv.is_some()),
        ("--prefix-tokens", arguments.prefix_tokens.is_some()),
        ("--prefix-groups", arguments.prefix_groups.is_some()),
        ("--prefix-share-ratio", arguments.prefix_share_ratio.is_some()),
        ("--prompt-tokens", arguments.prompt_tokens.is_some()),
        ("--output-tokens", arguments.output_tokens.is_some()),
    ] {
        if is_given {
            let message = "the flag has no effect, the workload specification says it";
            diagnostics.push(Diagnostic::warning("flag-not-used", flag, message).with_hint("edit the specification"));
        }
    }
    Ok(())
}

/// The files of a ServeGen folder; a relative one is looked for beside the specification, then from here.
fn servegen_files(spec: &Path, choice: &ServeGenChoice) -> Result<Vec<ServeGenFile>, Failure> {
    let beside = spec.parent().unwrap_or(Path::new("")).join(&choice.path);
    let folder = if beside.is_dir() { beside } else { choice.path.clone().into() };
    let failed = |error: std::io::Error| file_failure(&folder.display().to_string(), &error.to_string());
    let mut files = Vec::new();
    for entry in fs::read_dir(&folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("chunk-") {
            let bytes = fs::read(entry.path()).map_err(failed)?;
            files.push(ServeGenFile { name, bytes });
        }
    }
    Ok(files)
}

/// Warns of flags that set what the scenario has but the command does not look at.
pub fn without_effect(
    arguments: &ScenarioArguments,
    purpose: Purpose,
    is_trace: bool,
    diagnostics: &mut Vec<Diagnostic>,
) {
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
            warn(
                ("--rate-scale", arguments.rate_scale.is_some()),
                "a curve goes over many rates",
                "set the axis with --range LOW:HIGH",
            );
            warn(horizon, "every run of a curve goes to its end", "use --requests-per-run");
        }
        Purpose::Run | Purpose::Replay(_) if is_trace => {
            warn(rate, "a trace is replayed at its own pace", "use --rate-scale, or plimsoll curve");
            warn(num_requests, "every request of the trace is replayed", "use --trace-window, or --horizon");
        }
        Purpose::Run | Purpose::Replay(_) => {}
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

/// The trace that flags or scenario ask for; the scenario then names it by its content.
pub fn trace(
    arguments: &ScenarioArguments,
    scenario: &mut Scenario,
    purpose: Purpose,
    diagnostics: &mut Vec<Diagnostic>,
) -> Result<Option<Arc<Trace>>, Failure> {
    const FLAG: &str = "--workload-traces-filepath";
    if arguments.workload_spec.as_deref().is_some_and(|path| !path.is_empty()) {
        return Ok(None);
    }
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
    let trace = accept(trace_from_bytes(&bytes, &shown), &text, arguments, diagnostics)?;
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
    let window_s = arguments.trace_window.or(declared.as_ref().and_then(|choice| choice.window_s));
    let rate_scale = arguments.rate_scale.or(declared.as_ref().and_then(|choice| choice.rate_scale));
    let think_time = match purpose {
        Purpose::Replay(think_time) => think_time,
        Purpose::Run | Purpose::Curve => declared.and_then(|choice| choice.think_time),
    };
    let choice = TraceChoice { name, hash, window_s, rate_scale, think_time };
    let trace = Arc::new(trace).chosen(&choice);
    scenario.workload.trace = Some(choice);
    if trace.requests().is_empty() {
        return Err(file_failure(&shown, "no request arrives in the window that is to be replayed"));
    }
    if purpose != Purpose::Curve
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
