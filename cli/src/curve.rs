//! `plimsoll curve`: latency and throughput over request rate, saturation point and capacity; over users where they wait
//! for their answers.

use crate::arguments::{CurveArguments, LogLevel};
use crate::input::{self, Input, Purpose};
use crate::output::{Document, Failure, file_failure, tell, tell_line, tell_resolution, verdict_name, write_json};
use crate::users;
use indicatif::{ProgressBar, ProgressStyle};
use plimsoll_core::curve::{
    Capacity, Curve, CurvePlan, CurvePoint, CurveStudy, CurveTrial, Limiter, TrialBuffers, run_trial_in,
};
use plimsoll_core::numeric::rounded_down;
use plimsoll_core::report::Verdict;
use plimsoll_core::scenario::{Loads, Scenario};
use plimsoll_core::study::{Ask, Study};
use serde::Serialize;
use std::cell::RefCell;
use std::io::{self, BufWriter, Write};
use std::num::NonZero;
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;

thread_local! {
    /// What the runs of a worker hand on.
    static BUFFERS: RefCell<TrialBuffers> = RefCell::default();
}

/// Studies and prints.
pub fn curve(arguments: &CurveArguments) -> Result<(), Failure> {
    let mut input = input::read(&arguments.scenario, Purpose::Curve, |scenario| adjust(arguments, scenario))?;
    tell_resolution(&input.resolved, arguments.scenario.log);
    let jobs = match arguments.jobs {
        Some(jobs) => usize::from(jobs),
        None => thread::available_parallelism().map_or(1, NonZero::get),
    };
    if input.resolved.workload.users().is_some() {
        return users::curve(arguments, &mut input, jobs);
    }
    if arguments.require_users.is_some() {
        return Err(file_failure("--require-users", "the workload has a rate; use --require-rate, or --concurrency"));
    }
    let settings = &input.resolved.curve;
    let recorded_rate = input.trace.as_ref().and_then(|trace| trace.request_rate());
    let study = CurveStudy::new(&input.resolved, CurvePlan::full(settings), recorded_rate);
    let run = |trial: &CurveTrial| {
        BUFFERS.with_borrow_mut(|buffers| run_trial_in(buffers, &input.resolved, input.trace.as_ref(), trial))
    };
    let study = studied(study, jobs, run, |_| None);
    if arguments.scenario.log <= LogLevel::Warn
        && let Some(found) = study.snapshot().capacity.filter(|found| found.request_rate > 0.0)
    {
        tell_line(format_args!(
            "settling: short runs have the capacity near {:.4} requests/s",
            rounded_down(found.request_rate, 4)
        ));
    }
    let mut is_told = arguments.scenario.log > LogLevel::Warn;
    let settled = |study: &CurveStudy| {
        // Asked only until there is an answer: it goes through all outcomes so far.
        if is_told {
            return None;
        }
        let found = study.settled_capacity().filter(|found| found.request_rate > 0.0)?;
        is_told = true;
        Some(format!("settled: the capacity is {:.4} requests/s", rounded_down(found.request_rate, 4)))
    };
    let curve = studied(study.refined(CurvePlan::settled(settings)), jobs, run, settled).snapshot();
    remark_loads(&mut input, arguments.scenario.log, curve.answered());

    let mut out = BufWriter::new(io::stdout().lock());
    if arguments.json {
        #[derive(Serialize)]
        struct Result<'a> {
            curve: &'a Curve,
        }
        let result = Result { curve: &curve };
        write_json(&mut out, &Document::new(&input.scenario, &input.resolved, &input.diagnostics, result))?;
    } else {
        print(&mut out, &input.scenario, &curve)?;
    }
    if let Some(required) = arguments.require_rate {
        let capacity = curve.capacity.map_or(0.0, |capacity| capacity.request_rate);
        if required.is_nan() || capacity < required {
            tell_line(format_args!(
                "error: the capacity under the SLO is {capacity} requests/s, {required} are required"
            ));
            return Err(Failure::NotMet);
        }
    }
    Ok(())
}

fn adjust(arguments: &CurveArguments, scenario: &mut Scenario) {
    let curve = &mut scenario.curve;
    for (field, flag) in [
        (&mut curve.num_rates, arguments.rates),
        (&mut curve.num_seeds, arguments.seeds),
        (&mut curve.num_requests, arguments.requests_per_run),
    ] {
        if let Some(value) = flag {
            *field = value;
        }
    }
    curve.range_per_s = arguments.range.or(curve.range_per_s);
}

/// Runs the study's trials on several threads and gives it back.
///
/// The study decides from which outcomes it knows, not from their order, so the curve is the same for any number of
/// threads. What `news` finds after an outcome is told at once.
pub fn studied<S: Study>(
    mut study: S,
    jobs: usize,
    run: impl Fn(&S::Trial) -> S::Outcome + Sync,
    mut news: impl FnMut(&S) -> Option<String>,
) -> S
where
    S::Trial: Send,
    S::Outcome: Send,
{
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} runs, {elapsed}");
    let bar = ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let (to_workers, trials) = mpsc::channel::<S::Trial>();
    let (to_study, outcomes) = mpsc::channel::<(S::Trial, S::Outcome)>();
    let trials = Mutex::new(trials);
    thread::scope(|scope| {
        for _ in 0..jobs {
            let (trials, to_study, run) = (&trials, to_study.clone(), &run);
            scope.spawn(move || {
                loop {
                    // The guard is dropped before the trial runs, so that others can take the next one.
                    let next = trials.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok(trial) = next else { break };
                    let outcome = run(&trial);
                    if to_study.send((trial, outcome)).is_err() {
                        break;
                    }
                }
            });
        }
        // Only the workers hold senders now, so a dead pool ends the wait below.
        drop(to_study);
        let mut outstanding = 0usize;
        loop {
            // No more trials are handed out than there are threads: what is asked later rests on more outcomes.
            while outstanding < jobs {
                let Ask::Trial(trial) = study.ask() else { break };
                if to_workers.send(trial).is_err() {
                    break;
                }
                outstanding += 1;
            }
            if outstanding == 0 {
                break;
            }
            let Ok((trial, outcome)) = outcomes.recv() else { break };
            outstanding -= 1;
            study.tell(&trial, outcome);
            let (done, total) = study.progress();
            bar.set_length(total);
            bar.set_position(done);
            if let Some(line) = news(&study) {
                bar.suspend(|| tell_line(format_args!("{line}")));
            }
        }
        drop(to_workers);
    });
    bar.finish_and_clear();
    study
}

/// Headings of what is told of a point, after the column of its load.
pub fn headings(percentile: f64) -> String {
    let p = format!("p{percentile}");
    format!(
        "{:>10} {:>10} {:>10} {:>12} {:>12} {:>12} {:>12} {:>8}  verdict",
        "served/s",
        "tokens/s",
        "goodput/s",
        format!("TTFT {p} ms"),
        format!("TPOT {p} ms"),
        format!("ITL {p} ms"),
        format!("E2E {p} ms"),
        "attained"
    )
}

/// What is told of a point under [`headings`].
pub fn cells(point: &CurvePoint, latency: impl Fn(f64) -> String) -> String {
    // Who attains in an overload is decided by how long it lasts.
    let settled = |cell: String| if point.verdict == Verdict::Overloaded { "–".into() } else { cell };
    format!(
        "{:>10.3} {:>10.0} {:>10} {:>12} {:>12} {:>12} {:>12} {:>8}  {}{}{}",
        point.request_throughput.mid,
        point.output_token_throughput.mid,
        settled(format!("{:.3}", point.goodput.mid)),
        latency(point.ttft.slo.mid),
        latency(point.tpot.slo.mid),
        latency(point.itl.slo.mid),
        latency(point.e2e.slo.mid),
        settled(format!("{:.1}%", point.attainment.mid * 100.0)),
        verdict_name(point.verdict),
        if point.meets_slo { ", meets the SLO" } else { "" },
        if point.is_settled || point.verdict != Verdict::Stable { "" } else { " (short runs)" }
    )
}

/// Attainment by SLO class under the headings of the load, where classes have limits of their own.
pub fn class_table<'a>(
    out: &mut impl Write,
    points: impl Iterator<Item = (String, &'a CurvePoint)> + Clone,
) -> Result<(), Failure> {
    let mut names: Vec<&str> =
        points.clone().flat_map(|(_, point)| &point.classes).map(|class| class.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    if names.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nattained under the limits of each class (* = keeps them)")?;
    for (at, (load, point)) in points.enumerate() {
        if at == 0 {
            let headings: String = names.iter().map(|name| format!(" {name:>12}")).collect();
            writeln!(out, "{:>width$}{headings}", "", width = load.chars().count())?;
        }
        write!(out, "{load}")?;
        for name in &names {
            match point.classes.iter().find(|class| class.name == *name) {
                Some(class) => {
                    let mark = if class.meets_slo { '*' } else { ' ' };
                    write!(out, " {:>10.1}%{mark}", class.attainment.mid * 100.0)?;
                }
                None => write!(out, " {:>11} ", "–")?,
            }
        }
        writeln!(out)?;
    }
    Ok(())
}

/// Tells where the answers of a curve lie beyond the logs of its fit.
pub fn remark_loads(input: &mut Input, log: LogLevel, answered: Option<Loads>) {
    let on = input.resolved.calibrated_on.as_ref();
    let remark = on.zip(answered).and_then(|(on, loads)| on.load_remark(loads, input.resolved.cluster.num_replicas));
    if let Some(remark) = remark {
        tell(std::slice::from_ref(&remark), None, log);
        input.diagnostics.push(remark);
    }
}

fn print(out: &mut impl Write, scenario: &Scenario, curve: &Curve) -> Result<(), Failure> {
    if curve.num_requests > scenario.curve.num_requests {
        let planned = scenario.curve.num_requests;
        writeln!(out, "short runs have {} requests; {planned} would be too few to fill the batch", curve.num_requests)?;
    }
    let percentile = scenario.slo.percentile;
    writeln!(out, "{:>10} {}", "rate/s", headings(percentile))?;
    for point in &curve.points {
        // Latency without a steady state belongs to the length of the run, not to the deployment.
        let latency = |value: f64| match point.verdict {
            Verdict::Stable => format!("{value:.1}"),
            Verdict::Undecided | Verdict::Backlogged => format!("({value:.1})"),
            Verdict::Overloaded => "–".to_owned(),
        };
        writeln!(out, "{:>10.4} {}", point.request_rate, cells(point, latency))?;
    }
    class_table(out, curve.points.iter().map(|point| (format!("{:>10.4}", point.request_rate), point)))?;
    writeln!(out)?;
    if curve.points.iter().any(|point| matches!(point.verdict, Verdict::Undecided | Verdict::Backlogged)) {
        writeln!(out, "latencies in parentheses are no steady state: they depend on the length of the run")?;
    }
    if let Some(rate) = curve.recorded_rate {
        writeln!(out, "recorded rate of the trace: {rate:.4} requests/s")?;
    }
    writeln!(out, "saturation point: {}", rate_text(curve.saturation))?;
    writeln!(out, "capacity under the SLO: {}", rate_text(curve.capacity))?;
    if let Some(limiter) = curve.binding {
        let factor = curve.levers.iter().find(|(name, _)| *name == limiter).map_or(1.0, |(_, factor)| *factor);
        writeln!(
            out,
            "what binds: {} (relaxed, the capacity grows to at least {:.2} times)",
            limiter_name(limiter),
            rounded_down(factor, 2)
        )?;
    }
    out.flush()?;
    Ok(())
}

fn rate_text(capacity: Option<Capacity>) -> String {
    let Some(found) = capacity else { return "not found".into() };
    // Never more than is known to hold.
    let [rate, low] = [found.request_rate, found.band[0]].map(|rate| rounded_down(rate, 4));
    let high = found.band[1];
    // A rate at which the run was too short to tell has not failed.
    let is_undecided = found.next_failing_verdict == Some(Verdict::Undecided);
    match found.next_failing_rate {
        None if is_undecided => "not decided (the runs are too short to tell)".into(),
        None => format!("at least {rate:.4} requests/s (the highest rate of the axis still holds)"),
        Some(next) if is_undecided => format!(
            "at least {rate:.4} requests/s (not decided above: at {next:.4} the runs are too short to tell; {low:.4} to {high:.4})"
        ),
        Some(next) if rate <= 0.0 => format!("below {next:.4} requests/s (no rate of the axis holds)"),
        Some(next) => format!("{rate:.4} requests/s ({next:.4} fails; it lies between {low:.4} and {high:.4})"),
    }
}

fn limiter_name(limiter: Limiter) -> &'static str {
    match limiter {
        Limiter::MaxNumSeqs => "max_num_seqs",
        Limiter::MaxNumBatchedTokens => "max_num_batched_tokens",
        Limiter::KvBlocks => "KV blocks",
        Limiter::StepTime => "step time (compute and memory bandwidth)",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plimsoll_core::curve::{Band, LatencyBands};
    use plimsoll_core::report::LimiterShares;

    fn point(request_rate: f64, verdict: Verdict) -> CurvePoint {
        let latency = LatencyBands { slo: Band { mid: 77.7, ..Band::default() }, ..LatencyBands::default() };
        CurvePoint {
            request_rate,
            verdict,
            meets_slo: false,
            num_seeds: 1,
            is_settled: true,
            ttft: latency,
            tpot: latency,
            itl: latency,
            e2e: latency,
            request_throughput: Band::default(),
            output_token_throughput: Band::default(),
            goodput: Band::default(),
            attainment: Band::default(),
            classes: Vec::new(),
            mean_running: 0.0,
            mean_waiting: 0.0,
            kv_usage: 0.0,
            preemptions_per_request: 0.0,
            prefix_hit_ratio: 0.0,
            limiters: LimiterShares::default(),
            time_shares: Vec::new(),
        }
    }

    fn shown(points: Vec<CurvePoint>, request_rate: f64, next: f64) -> String {
        let verdict = points.iter().find(|point| point.request_rate.total_cmp(&next).is_eq()).map(|at| at.verdict);
        let found = Capacity {
            request_rate,
            next_failing_rate: Some(next).filter(|_| request_rate > 0.0 || verdict != Some(Verdict::Undecided)),
            next_failing_verdict: verdict,
            band: [request_rate; 2],
            is_final: true,
            is_settled: true,
        };
        let curve = Curve { points, saturation: Some(found), capacity: Some(found), ..Curve::default() };
        let mut out = Vec::new();
        print(&mut out, &Scenario::default(), &curve).expect("memory takes everything");
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn latencies_without_a_steady_state_are_marked() {
        let shown = shown(
            vec![
                point(1.0, Verdict::Stable),
                point(2.0, Verdict::Undecided),
                point(3.0, Verdict::Backlogged),
                point(4.0, Verdict::Overloaded),
            ],
            1.0,
            4.0,
        );
        let lines: Vec<&str> = shown.lines().collect();
        assert!(lines[1].contains(" 77.7 ") && !lines[1].contains('('), "{shown}");
        assert!(lines[2].contains("(77.7)") && lines[3].contains("(77.7)"), "{shown}");
        assert!(!lines[4].contains("77.7"), "{shown}");
        assert!(shown.contains("latencies in parentheses are no steady state"), "{shown}");
    }

    #[test]
    fn what_is_known_to_hold_is_not_rounded_up() {
        let shown = shown(vec![point(1.0, Verdict::Stable), point(1.5, Verdict::Overloaded)], 1.234_567, 1.5);
        assert!(shown.contains("SLO: 1.2345 requests/s (1.5000 fails; it lies between 1.2345 and 1.2346)"), "{shown}");
    }

    #[test]
    fn longer_runs_and_the_rate_of_a_trace_are_told() {
        let print = |curve: &Curve| {
            let mut out = Vec::new();
            print(&mut out, &Scenario::default(), curve).expect("memory takes everything");
            String::from_utf8(out).expect("UTF-8")
        };
        let longer = print(&Curve { num_requests: 16_000, recorded_rate: Some(2.5), ..Curve::default() });
        assert!(longer.contains("runs have 16000 requests; 2000 would be too few to fill the batch"), "{longer}");
        assert!(longer.contains("recorded rate of the trace: 2.5000 requests/s"), "{longer}");
        let planned = print(&Curve { num_requests: 2000, ..Curve::default() });
        assert!(!planned.contains("runs have") && !planned.contains("recorded"), "{planned}");
    }

    #[test]
    fn a_bound_that_was_not_decided_is_not_called_a_failure() {
        let points =
            || vec![point(1.0, Verdict::Stable), point(2.0, Verdict::Undecided), point(3.0, Verdict::Overloaded)];
        let undecided = shown(points(), 1.0, 2.0);
        assert!(undecided.contains("saturation point: at least 1.0000 requests/s (not decided above: at 2.0000"));
        assert!(!undecided.contains("fails"), "{undecided}");
        assert!(shown(points(), 1.0, 3.0).contains("1.0000 requests/s (3.0000 fails;"));
        assert!(shown(points(), 0.0, 2.0).contains("not decided (the runs are too short"));
    }
}
