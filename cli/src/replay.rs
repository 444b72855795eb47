//! `plimsoll replay`: what a recorded trace offered, served by a simulated deployment.

use crate::arguments::{LogLevel, ReplayArguments, ScenarioArguments, SessionMode};
use crate::input::{Purpose, read_text};
use crate::output::{Failure, file_failure, tell, tell_line};
use crate::recording::header_beside;
use crate::run::run_for;
use plimsoll_core::diagnostic::Diagnostic;
use plimsoll_core::scenario::ThinkTime;
use plimsoll_formats::trace::{TraceHeader, TraceServer, trace_header_from_yaml};
use std::path::Path;

/// Replays and prints.
pub fn replay(mut arguments: ReplayArguments) -> Result<(), Failure> {
    let scenario = &mut arguments.run.scenario;
    let header = match &arguments.header {
        Some(path) => Some(header(path, scenario.log)?),
        None => {
            let beside = header_beside(&arguments.trace);
            let is_there = beside != arguments.trace && beside.is_file();
            is_there.then(|| header(&beside, scenario.log)).transpose()?
        }
    };
    let mut remarks = replaced(scenario);
    scenario.workload_traces_filepath = Some(arguments.trace);
    if let Some(header) = &header
        && scenario.file.is_none()
        && scenario.serve.is_none()
    {
        as_recorded(scenario, &header.server);
        remarks.extend(rules_not_recorded(scenario));
    }
    let (mean, deviation) = (scenario.think_time_ms.take(), arguments.think_time_stdev_ms);
    let think_time = match (arguments.session_mode, mean) {
        (SessionMode::ClosedLoop, mean) => Some(think_time(mean, deviation)?),
        (SessionMode::OpenLoop, None) => None,
        (SessionMode::OpenLoop, Some(_)) => {
            let message = "the flag has no effect, every turn arrives when it was recorded";
            let hint = "use --session-mode closed-loop";
            remarks.push(Diagnostic::warning("flag-not-used", "--think-time-ms", message).with_hint(hint));
            None
        }
    };
    run_for(&arguments.run, Purpose::Replay(think_time), remarks)
}

fn think_time(mean: Option<f64>, deviation: Option<f64>) -> Result<ThinkTime, Failure> {
    let micros = |flag: &str, millis: f64| match millis {
        0.0..=1e12 => Ok(millis * 1000.0),
        _ => Err(file_failure(flag, &format!("{millis} is no number of milliseconds from 0 on"))),
    };
    let Some(mean) = mean else { return Ok(ThinkTime::Recorded) };
    let mean_us = micros("--think-time-ms", mean)?;
    Ok(match deviation {
        Some(deviation) => ThinkTime::Lognormal { mean_us, std_dev_us: micros("--think-time-stdev-ms", deviation)? },
        // The bounds were checked.
        None => ThinkTime::Constant { value_us: mean_us as u64 },
    })
}

fn header(path: &Path, log: LogLevel) -> Result<TraceHeader, Failure> {
    let text = read_text(path)?;
    let read = trace_header_from_yaml(&text, &path.display().to_string()).map_err(|problems| {
        tell(&problems, Some(&text), log);
        Failure::Invalid
    })?;
    tell(&read.diagnostics, Some(&text), log);
    if log <= LogLevel::Warn {
        tell_line(format_args!("note: the server is described by {}", path.display()));
    }
    Ok(read.value)
}

/// Fills in the server that was recorded where no flag says another.
fn as_recorded(scenario: &mut ScenarioArguments, server: &TraceServer) {
    if scenario.model.is_none() && !server.model.is_empty() {
        scenario.model = Some(server.model.clone());
    }
    scenario.tp = scenario.tp.or(server.tensor_parallel);
    scenario.max_num_running_reqs = scenario.max_num_running_reqs.or(server.max_num_seqs);
    scenario.block_size_in_tokens = scenario.block_size_in_tokens.or(server.block_size);
    scenario.max_model_len = scenario.max_model_len.or(server.max_model_len);
    // Given blocks win over the share of the memory they came from.
    if scenario.total_kv_blocks.is_none() {
        scenario.gpu_memory_utilization = scenario.gpu_memory_utilization.or(server.gpu_memory_utilization);
    }
}

/// No header says whose rules a server followed, of which release, and in which order its queue stood: what is taken for
/// granted of them is told, unless flags say all.
fn rules_not_recorded(scenario: &ScenarioArguments) -> Option<Diagnostic> {
    let flags = [
        ("--scheduling", scenario.scheduling.is_some()),
        ("--vllm-version", scenario.vllm_version.is_some()),
        ("--scheduling-policy", scenario.scheduler.is_some()),
    ];
    let open: Vec<&str> = flags.iter().filter(|(_, is_given)| !is_given).map(|(flag, _)| *flag).collect();
    let message = "a header does not say by whose rules, by which release and in which order the queue was served; what no flag says is that of the newest vLLM";
    (!open.is_empty()).then(|| {
        Diagnostic::warning("rules-not-recorded", open.join(", "), message)
            .with_hint("give the flags, or the scenario that was recorded")
    })
}

/// Takes out the flags that ask for another workload, with a warning for each.
fn replaced(scenario: &mut ScenarioArguments) -> Vec<Diagnostic> {
    let flags = [
        ("--workload", scenario.workload.take().is_some_and(|name| name != "traces")),
        ("--workload-spec", scenario.workload_spec.take().is_some_and(|path| !path.is_empty())),
        ("--workload-traces-filepath", scenario.workload_traces_filepath.take().is_some()),
        ("--concurrency", scenario.concurrency.take().is_some_and(|users| users > 0)),
    ];
    let message = "the flag has no effect, a recorded trace is replayed";
    let warning = |flag| Diagnostic::warning("flag-not-used", flag, message).with_hint("use plimsoll run");
    flags.into_iter().filter(|(_, is_given)| *is_given).map(|(flag, _)| warning(flag)).collect()
}
