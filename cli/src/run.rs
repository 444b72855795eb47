//! `plimsoll run`: one simulation and its metrics.

use crate::arguments::{LogLevel, RunArguments, TraceLevel};
use crate::decisions;
use crate::input::{self, Input, Purpose};
use crate::log::{EventLog, Watcher};
use crate::output::{Document, Failure, file_failure, tell, tell_line, tell_resolution, verdict_name, write_json};
use crate::recording::RecordingFiles;
use indicatif::{ProgressBar, ProgressStyle};
use plimsoll_core::cluster::{ClusterTotals, Simulation};
use plimsoll_core::diagnostic::Diagnostic;
use plimsoll_core::engine::Mode;
use plimsoll_core::observation::RequestRecord;
use plimsoll_core::report::{ClientReport, Collector, Decision, FitnessWeights, Report, ReportSettings, Verdict};
use plimsoll_core::scenario::{Loads, ResolvedScenario, Rules};
use plimsoll_core::time::SimTime;
use plimsoll_core::workload::Source;
use serde::Serialize;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// Steps between two redraws of the progress bar.
const SLICE: u64 = 200_000;

/// Simulates and prints.
pub fn run(arguments: &RunArguments) -> Result<(), Failure> {
    run_for(arguments, Purpose::Run, Vec::new())
}

/// Simulates a run of this purpose and prints; `remarks` come before what the inputs give cause to.
pub fn run_for(arguments: &RunArguments, purpose: Purpose, mut remarks: Vec<Diagnostic>) -> Result<(), Failure> {
    tell(&remarks, None, arguments.scenario.log);
    let mut input = input::read(&arguments.scenario, purpose, |_| {})?;
    remarks.append(&mut input.diagnostics);
    input.diagnostics = remarks;
    // A run can take long; that its results have nowhere to go must be known before it.
    let mut results = arguments.results_path.as_deref().map(ResultsFile::create).transpose()?;
    let mut decisions = arguments.decisions_path.as_deref().map(ResultsFile::create).transpose()?;
    let recording = RecordingFiles::create(arguments)?;
    let weights = FitnessWeights::parse(arguments.fitness_weights.as_deref().unwrap_or_default(), "--fitness-weights")
        .map_err(|problems| {
            tell(&problems, None, arguments.scenario.log);
            Failure::Invalid
        })?;
    let unused = without_trace(arguments);
    tell(&unused, None, arguments.scenario.log);
    input.diagnostics.extend(unused);
    tell_resolution(&input.resolved, arguments.scenario.log);
    let Simulated { mut report, decisions: made, records, source } = simulated(&input, arguments);
    report.fitness = weights.evaluate(&report);
    if matches!(input.resolved.engine.rules, Rules::VllmV1(_)) {
        report.summary.cut_off_requests = report.cut_off_requests;
    }
    let resolved = &input.resolved;
    report.client_side = ClientReport::new(&records, source.details(), &resolved.workload, &resolved.slo);
    if let Some(files) = &recording {
        files.write(&input, arguments, &records, &source)?;
    }
    if let Some(file) = &mut decisions {
        let written = decisions::write(&mut file.out, &made).and_then(|()| file.out.flush());
        written.map_err(|error| file_failure(&file.shown, &error.to_string()))?;
    }
    for warning in [cut_off(&report), unsteady(&report, input.trace.is_some())].into_iter().flatten() {
        tell(std::slice::from_ref(&warning), None, arguments.scenario.log);
        input.diagnostics.push(warning);
    }

    if let Some(remark) = beyond_logs(&input) {
        tell(std::slice::from_ref(&remark), None, arguments.scenario.log);
        input.diagnostics.push(remark);
    }

    let mut out = BufWriter::new(io::stdout().lock());
    if arguments.json {
        #[derive(Serialize)]
        struct Result<'a> {
            report: &'a Report,
        }
        let mut shown = report.clone();
        shown.summary.requests.clear();
        let result = Result { report: &shown };
        write_json(&mut out, &Document::new(&input.scenario, &input.resolved, &input.diagnostics, result))?;
    } else {
        print(&mut out, &report, arguments.summarize_trace)?;
    }
    if let Some(results) = &mut results {
        results.write(&report)?;
    }
    if arguments.require_slo && !report.slo.is_met {
        tell_line(format_args!("error: the SLO is not met (attainment {:.4})", report.slo.slo_attainment));
        return Err(Failure::NotMet);
    }
    Ok(())
}

/// The file of `--results-path`, open for writing.
struct ResultsFile {
    shown: String,
    out: BufWriter<File>,
}

impl ResultsFile {
    fn create(path: &Path) -> Result<Self, Failure> {
        let shown = path.display().to_string();
        let file = File::create(path).map_err(|error| file_failure(&shown, &error.to_string()))?;
        Ok(Self { shown, out: BufWriter::new(file) })
    }

    fn write(&mut self, report: &Report) -> Result<(), Failure> {
        write_json(&mut self.out, &report.summary).map_err(|failure| match failure {
            Failure::Output(error) => file_failure(&self.shown, &error.to_string()),
            other => other,
        })
    }
}

/// The warning that the figures of a run are no steady state, unless they are one.
fn unsteady(report: &Report, is_trace: bool) -> Option<Diagnostic> {
    let (message, hint) = match report.verdict {
        Verdict::Stable => return None,
        Verdict::Undecided => (
            "the run is too short to tell whether the load is sustained",
            "give more requests before relying on the latencies",
        ),
        Verdict::Backlogged => (
            "a backlog came and went, so the latencies depend on the length of the run",
            "give more requests, or lower the load",
        ),
        Verdict::Overloaded => (
            "the deployment cannot keep up, so the latencies grow with the length of the run",
            "lower the load, or find what is sustained with plimsoll curve",
        ),
    };
    let path = if is_trace { "workload.trace" } else { "workload.request_rate" };
    Some(Diagnostic::warning("not-steady", path, message).with_hint(hint))
}

/// The warning that the end of the run cut requests off, so that the figures are those of the others.
fn cut_off(report: &Report) -> Option<Diagnostic> {
    let cut_off = report.cut_off_requests;
    let plural = if cut_off == 1 { "" } else { "s" };
    let message =
        format!("the end of the run cut off {cut_off} request{plural}; every mean and percentile is of the others");
    let hint = "give a later --horizon, or none, before relying on them";
    (cut_off > 0).then(|| Diagnostic::warning("requests-cut-off", "horizon_us", message).with_hint(hint))
}

/// The remark that the load is not among those that the fit was made of.
fn beyond_logs(input: &Input) -> Option<Diagnostic> {
    let resolved = &input.resolved;
    let users = resolved.workload.closed_loop.as_ref().map(|users| Loads::Users([users.concurrency; 2]));
    let rate = match &input.trace {
        Some(trace) => trace.request_rate(),
        None => Some(resolved.workload.request_rate),
    };
    let loads = users.or_else(|| Loads::of_rates(rate.into_iter()))?;
    resolved.calibrated_on.as_ref()?.load_remark(loads, resolved.cluster.num_replicas)
}

/// Warns of flags that look at decisions where none are kept.
fn without_trace(arguments: &RunArguments) -> Vec<Diagnostic> {
    let flags = [
        ("--counterfactual-k", arguments.counterfactual_k > 0),
        ("--summarize-trace", arguments.summarize_trace),
        ("--decisions-path", arguments.decisions_path.is_some()),
    ];
    let given = flags.into_iter().filter(|(_, is_given)| *is_given && arguments.trace_level == TraceLevel::None);
    let warning = |(flag, _)| {
        Diagnostic::warning("flag-not-used", flag, "the flag has no effect, no decisions are kept")
            .with_hint("use --trace-level decisions")
    };
    given.map(warning).collect()
}

/// A run and what is left of it.
struct Simulated {
    report: Report,
    decisions: Vec<Decision>,
    /// Empty unless the run is recorded or clients have networks.
    records: Vec<RequestRecord>,
    source: Source,
}

fn simulated(input: &Input, arguments: &RunArguments) -> Simulated {
    let scenario = &input.resolved;
    let source = Source::of_run(&scenario.workload, input.trace.as_ref(), scenario.seed, scenario.engine.horizon);
    let mut settings = ReportSettings::new(scenario);
    settings.classes = source.classes().to_vec();
    settings.tenants = source.tenants().to_vec();
    let num_requests = match &input.trace {
        Some(trace) => trace.requests().len() as u64,
        None => u64::from(scenario.workload.num_requests),
    };
    let is_recorded = arguments.trace_output.is_some() || scenario.workload.has_networks();
    let keeps_records = arguments.results_path.is_some() || is_recorded;
    let collector = if keeps_records { Collector::detailed(settings) } else { Collector::streaming(settings) };
    let keeps_decisions = arguments.decisions_path.is_some();
    let collector = if keeps_decisions { collector.keeping_decisions() } else { collector };
    let wants_events = arguments.scenario.log <= LogLevel::Debug;
    let mut watcher = Watcher {
        collector,
        bar: if wants_events { ProgressBar::hidden() } else { bar(num_requests) },
        events: wants_events.then(EventLog::default),
    };
    let source = if is_recorded { source.with_details() } else { source };
    let (totals, source) = simulate(input, arguments, source, &mut watcher);
    watcher.bar.finish_and_clear();
    let decisions = watcher.collector.take_decisions();
    let records = if is_recorded { watcher.collector.records().to_vec() } else { Vec::new() };
    Simulated { report: Report::new(watcher.collector, &totals), decisions, records, source }
}

fn simulate(input: &Input, arguments: &RunArguments, source: Source, watcher: &mut Watcher) -> (ClusterTotals, Source) {
    // Every step is an event of the log, so nothing is skipped while it is written.
    let mode = if arguments.step || watcher.events.is_some() { Mode::Step } else { Mode::Fast };
    let ResolvedScenario { cluster, engine, latency, .. } = &input.resolved;
    let source = source.behind(input.resolved.client, cluster.num_replicas);
    let mut simulation = Simulation::new(cluster, *engine, latency.clone(), source, mode);
    if arguments.trace_level == TraceLevel::Decisions {
        simulation = simulation.tracing(arguments.counterfactual_k);
    }
    while !simulation.run_for(SLICE, watcher) {
        let clock = simulation.clock();
        if let Some(log) = &mut watcher.events {
            log.print_until(clock);
        }
    }
    let finished = simulation.finish_with_source(watcher);
    if let Some(log) = &mut watcher.events {
        log.print_until(SimTime::MAX);
    }
    finished
}

/// A bar on standard error; invisible where that is no terminal.
fn bar(num_requests: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {human_pos}/{human_len} requests, {eta} left");
    ProgressBar::new(num_requests).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// Prints the reference's blocks in the reference's order (metrics specification 2 and 3), then one of our own.
fn print(out: &mut impl Write, report: &Report, summarizes_trace: bool) -> Result<(), Failure> {
    let mut summary = report.summary.clone();
    summary.requests.clear();
    for replica in &report.replicas {
        writeln!(out, "=== Simulation Metrics ===")?;
        write_json(out, &replica.summary)?;
    }
    writeln!(out, "=== Simulation Metrics ===")?;
    write_json(out, &summary)?;
    if let Some(fitness) = &report.fitness {
        writeln!(out, "=== Fitness Evaluation ===")?;
        writeln!(out, "Score: {:.6}", fitness.score)?;
        for component in &fitness.components {
            writeln!(out, "  {}: {:.6}", component.key, component.value)?;
        }
    }
    let counters = &report.anomalies;
    if counters.is_any() {
        writeln!(out, "=== Anomaly Counters ===")?;
        writeln!(out, "Priority Inversions: {}", counters.priority_inversions)?;
        writeln!(out, "HOL Blocking Events: {}", counters.hol_blocking_events)?;
        writeln!(out, "Rejected Requests (Admission): {}", counters.rejected_requests)?;
        for class in &counters.rejected_by_class {
            writeln!(out, "  Shed ({}): {}", class.name, class.requests)?;
        }
        writeln!(out, "Dropped Unservable: {}", counters.dropped_unservable)?;
        writeln!(out, "Length-Capped Requests: {}", counters.length_capped_requests)?;
    }
    let kv = &report.kv;
    if kv.preemption_rate > 0.0 || kv.cache_hit_rate > 0.0 || kv.thrashing_rate > 0.0 {
        writeln!(out, "=== KV Cache Metrics ===")?;
        writeln!(out, "Preemption Rate: {:.4}", kv.preemption_rate)?;
        writeln!(out, "Cache Hit Rate: {:.4}", kv.cache_hit_rate)?;
        if let Some(rate) = kv.prefix_cache_hit_rate {
            writeln!(out, "Prefix Cache Hit Rate (tokens, as vLLM): {rate:.4}")?;
        }
        writeln!(out, "KV Thrashing Rate: {:.4}", kv.thrashing_rate)?;
    }
    if report.classes.len() > 1 {
        writeln!(out, "=== Per-SLO Metrics ===")?;
        for class in &report.classes {
            writeln!(out, "{}:", class.name)?;
            for (name, values) in [("TTFT", &class.ttft), ("E2E", &class.e2e)] {
                writeln!(out, "  {name}: mean={:.2} p99={:.2} (n={})", values.mean, values.p99, values.count)?;
            }
            let slo = &class.slo;
            let judged = slo.attaining_requests + slo.missing_requests;
            writeln!(out, "  SLO Attainment: {:.4} (n={judged})", slo.slo_attainment)?;
        }
    } else if !report.tenants.is_empty() {
        writeln!(out, "=== Per-Tenant Metrics ===")?;
    }
    for tenant in &report.tenants {
        let name = if tenant.name.is_empty() { "(unnamed)" } else { &tenant.name };
        writeln!(out, "tenant {name}: {} requests, {} tokens", tenant.completed_requests, tenant.output_tokens)?;
    }
    if let Some(index) = report.jain_fairness {
        writeln!(out, "Jain Fairness Index: {index:.4}")?;
    }
    if let Some(client) = &report.client_side {
        writeln!(out, "=== Client-Side Metrics ===")?;
        for (name, values) in [("TTFT", &client.ttft), ("E2E", &client.e2e)] {
            writeln!(out, "{name:<4} ms: mean={:.2} p95={:.2} p99={:.2}", values.mean, values.p95, values.p99)?;
        }
    }
    if let Some(summary) = report.trace_summary.as_ref().filter(|_| summarizes_trace) {
        decisions::print_summary(out, summary)?;
    }
    print_own(out, report)?;
    out.flush()?;
    Ok(())
}

/// Prints what the reference does not tell: whether the figures are a steady state, the SLO, and what binds.
fn print_own(out: &mut impl Write, report: &Report) -> Result<(), Failure> {
    writeln!(out, "=== Load, SLO and Bottlenecks ===")?;
    let remark = match report.verdict {
        Verdict::Stable => "",
        Verdict::Undecided => " (too short to tell; latencies are no steady state)",
        Verdict::Backlogged => " (a backlog came and went; latencies are no steady state)",
        Verdict::Overloaded => " (the backlog grows; latencies are no steady state)",
    };
    let cut_off = report.cut_off_requests;
    let survivors = if cut_off > 0 { " (without those cut off)" } else { "" };
    if cut_off > 0 {
        let verb = if cut_off == 1 { "request was" } else { "requests were" };
        writeln!(out, "Cut Off: {cut_off} {verb} not done when the run ended; latencies are those of the others")?;
    }
    writeln!(out, "Verdict: {}{remark}", verdict_name(report.verdict))?;
    for (name, values) in [("TTFT", &report.ttft), ("TPOT", &report.tpot), ("ITL", &report.itl), ("E2E", &report.e2e)] {
        if values.count == 0 {
            writeln!(out, "{name:<4} ms: none")?;
            continue;
        }
        writeln!(
            out,
            "{name:<4} ms: mean={:.2} p50={:.2} p95={:.2} p99={:.2}{survivors}",
            values.mean, values.p50, values.p95, values.p99
        )?;
    }
    let slo = &report.slo;
    // Who was cut off may have missed it.
    let is_met = match (slo.is_met, cut_off) {
        (true, 0) => "met",
        (true, _) => "met by those that were done",
        (false, _) => "not met",
    };
    writeln!(out, "SLO Attainment: {:.4} ({is_met}){survivors}", slo.slo_attainment)?;
    writeln!(out, "Goodput: {:.3} requests/s{survivors}", slo.goodput_requests_per_sec)?;
    writeln!(out, "KV Cache Usage: mean {:.4}, peak {:.4}", report.kv.usage_mean, report.kv.usage_peak)?;
    if report.in_pipeline > 0 {
        writeln!(out, "In Pipeline: {} requests on their way at the end", report.in_pipeline)?;
    }
    writeln!(out, "Batch: {:.2} requests running, {:.2} waiting", report.mean_running, report.mean_waiting)?;
    let limiters = &report.limiters;
    writeln!(out, "What stopped admission, share of the steps:")?;
    for (name, ratio) in [
        ("nothing", limiters.none),
        ("max_num_seqs", limiters.max_num_seqs),
        ("max_num_batched_tokens", limiters.max_num_batched_tokens),
        ("KV blocks", limiters.kv_blocks),
    ] {
        writeln!(out, "  {name:<24} {:>6.2}%", ratio * 100.0)?;
    }
    writeln!(out, "Where the time went, share of the run:")?;
    for share in &report.time_shares {
        writeln!(out, "  {:<24} {:>6.2}%", share.name, share.ratio * 100.0)?;
    }
    Ok(())
}
