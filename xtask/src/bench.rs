//! `cargo xtask bench`: how fast the simulator is, natively, in WebAssembly and in the page.
//!
//! The workloads and what counts as a request or a step are defined in `tests/src/bench.rs`. Each measurement is a process of
//! its own: it starts from an empty heap, and its peak memory is that of one run.

mod against;
mod page;
mod runner;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde::Serialize;

use crate::repository::Repository;
use runner::{Runner, Sample};

/// Runs per workload and target; the median is robust against one run that the machine disturbed.
const NUM_RUNS: usize = 5;
/// Pairs of the scaling measurement.
const NUM_PAIRS: usize = 7;
/// Searches whose next points rest on all before, as `tests/src/bench.rs` has them.
const SEARCHES: [&str; 2] = ["tpe", "gaussian-process"];
/// Points that they are asked for, two at a time.
const NUM_ASKED: u64 = 40;
/// Requests of the log that `fit` fits, as `tests/src/bench.rs` has it.
const LOGGED_REQUESTS: u64 = 100;
/// The larger run of a scaling pair has this many times the requests.
const SCALING_FACTOR: u64 = 10;

/// What to measure.
#[derive(Args)]
pub struct Options {
    /// Also write the figures to this file.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Measure the page in Chromium over the built site instead.
    #[arg(long)]
    page: bool,
    /// Time the default curve of this revision and of the working tree in turn instead.
    #[arg(long, value_name = "REV", conflicts_with = "page")]
    against: Option<String>,
    /// Simulated requests per run.
    #[arg(long, default_value_t = 1_000_000)]
    requests: u64,
    /// Measure only the workloads whose name contains one of these words; `generator`, `fit`, `ask`, `curve`, `scaling` and
    /// `memory` count as such.
    workloads: Vec<String>,
}

/// Everything measured, as written to the file.
#[derive(Default, Serialize)]
struct Figures {
    entries: Vec<Entry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    routing: Vec<RoutingCost>,
    #[serde(skip_serializing_if = "Option::is_none")]
    generator: Option<Drawn>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fit: Vec<Evaluated>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ask: Vec<Asked>,
    #[serde(skip_serializing_if = "Option::is_none")]
    curve: Option<DelayedCurve>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scaling: Option<Scaling>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    memory: Vec<Memory>,
    #[serde(skip_serializing_if = "Option::is_none")]
    page: Option<serde_json::Value>,
}

/// The speed of one workload on one target.
#[derive(Serialize)]
struct Entry {
    name: String,
    target: &'static str,
    requests_per_s: f64,
    steps_per_s: f64,
    preemptions_per_request: f64,
}

/// What a request costs in clusters of two sizes behind the same policy, natively.
#[derive(Debug, PartialEq, Serialize)]
struct RoutingCost {
    policy: String,
    replicas: [u32; 2],
    nanoseconds_per_request: [f64; 2],
}

/// How fast requests are drawn when nobody serves them, natively.
#[derive(Serialize)]
struct Drawn {
    requests: u64,
    requests_per_s: f64,
}

/// How fast candidates of a calibration are evaluated on one core: each replays the whole log and gives its loss.
#[derive(Serialize)]
struct Evaluated {
    target: &'static str,
    logged_requests: u64,
    evaluations: u64,
    evaluations_per_s: f64,
}

/// How long a search that rests on all points before it takes to ask for the next two, on average once it knows all that
/// it looks at.
#[derive(Serialize)]
struct Asked {
    search: &'static str,
    target: &'static str,
    milliseconds: f64,
}

/// What a fit whose clients come later while the server is busy costs the whole curve of a scenario, on one core natively.
#[derive(Serialize)]
struct DelayedCurve {
    /// Without the clients' delays and with them.
    seconds: [f64; 2],
    ratio: f64,
}

/// How the time grows with the number of requests.
#[derive(Serialize)]
struct Scaling {
    requests: [u64; 2],
    median_time_ratio: f64,
}

/// What one long run of a workload needs at its largest.
#[derive(Serialize)]
struct Memory {
    name: String,
    requests: u64,
    peak_bytes: u64,
}

/// Measures and prints; writes the file if asked to.
///
/// # Errors
/// When a program does not build or run, or no workload has such a name.
pub fn run(repository: &Repository, options: &Options) -> Result<()> {
    if let Some(revision) = &options.against {
        return against::run(repository, revision);
    }
    let figures = if options.page {
        Figures { page: Some(page::measure(repository)?), ..Figures::default() }
    } else {
        simulator(repository, options)?
    };
    if let Some(file) = &options.json {
        let text = serde_json::to_string_pretty(&figures)?;
        fs::write(file, text + "\n").with_context(|| format!("could not write {}", file.display()))?;
    }
    figures.page.as_ref().map_or(Ok(()), page::hold)
}

fn simulator(repository: &Repository, options: &Options) -> Result<Figures> {
    let is_chosen =
        |name: &str| options.workloads.is_empty() || options.workloads.iter().any(|word| name.contains(word.as_str()));
    let native = Runner::native(repository)?;
    let wasm = Runner::wasm(repository)?;
    let workloads = native.workloads()?;
    let mut figures = Figures::default();
    println!(
        "\n{:<16} {:<7} {:>12} {:>12} {:>8}  {:>12}  wasm/native",
        "workload", "target", "requests/s", "steps/s", "runs", "preemptions"
    );
    for name in workloads.iter().filter(|name| is_chosen(name)) {
        // The two take turns, so that a busy machine slows both alike.
        let mut samples = [Vec::new(), Vec::new()];
        for _ in 0..NUM_RUNS {
            samples[0].push(native.measure(name, options.requests)?);
            samples[1].push(wasm.measure(name, options.requests)?);
        }
        ensure!(
            samples.iter().flatten().all(|sample| sample.has_counts_of(&samples[0][0])),
            "{name}: runs of the same workload differ in what they counted"
        );
        let native = entry(name, "native", &samples[0]);
        let wasm = entry(name, "wasm", &samples[1]);
        let share = wasm.requests_per_s / native.requests_per_s;
        print(&native, String::new());
        print(&wasm, format!("{share:.2}"));
        figures.entries.extend([native, wasm]);
    }
    figures.routing = routing_costs(&figures.entries);
    for RoutingCost { policy, replicas, nanoseconds_per_request: [few, many] } in &figures.routing {
        println!(
            "routing: {policy} takes {few:.0} ns per request with {} replicas and {many:.0} with {}, {:.2} times as long",
            replicas[0],
            replicas[1],
            many / few
        );
    }
    if is_chosen("generator") {
        let drawn = drawn(&native, options.requests)?;
        println!("generator: {:.0} requests/s are drawn where nobody serves them", drawn.requests_per_s);
        figures.generator = Some(drawn);
    }
    if is_chosen("fit") {
        figures.fit =
            vec![evaluated(&native, "native", options.requests)?, evaluated(&wasm, "wasm", options.requests)?];
        for Evaluated { target, logged_requests, evaluations_per_s, .. } in &figures.fit {
            println!(
                "fit: {evaluations_per_s:.0} evaluations/s per worker of a log of {logged_requests} requests, {target}"
            );
        }
    }
    if is_chosen("ask") {
        let page = Runner::page(repository)?;
        for search in SEARCHES {
            for (target, runner) in [("native", &native), ("page", &page)] {
                let milliseconds = ask_time(runner, search)?;
                println!(
                    "ask: {search} takes {milliseconds:.1} ms for the next two points when it knows all it looks at, {target}"
                );
                figures.ask.push(Asked { search, target, milliseconds });
            }
        }
    }
    if is_chosen("curve") {
        let curve = delayed_curve(&native)?;
        let DelayedCurve { seconds: [without, with], ratio } = curve;
        println!(
            "curve: {without:.3} s in full on one core, {with:.3} s where clients are delayed, {ratio:.2} times as long"
        );
        figures.curve = Some(curve);
    }
    if is_chosen("scaling") {
        let scaling = scaling(&native, options.requests)?;
        println!(
            "scaling: {} times the requests take {:.2} times as long (median of {NUM_PAIRS} pairs of {} and {})",
            SCALING_FACTOR, scaling.median_time_ratio, scaling.requests[0], scaling.requests[1]
        );
        figures.scaling = Some(scaling);
    }
    if is_chosen("memory") {
        figures.memory = memory(&native, &workloads, options.requests)?;
        for Memory { name, requests, peak_bytes } in &figures.memory {
            println!("memory: {requests} requests of {name} need {:.1} MB", *peak_bytes as f64 / 1e6);
        }
    }
    let has_measured = !figures.entries.is_empty()
        || figures.generator.is_some()
        || !figures.fit.is_empty()
        || !figures.ask.is_empty()
        || figures.curve.is_some()
        || figures.scaling.is_some()
        || !figures.memory.is_empty();
    ensure!(has_measured, "no workload has a name that contains {:?}; there are {workloads:?}", options.workloads);
    Ok(figures)
}

fn entry(name: &str, target: &'static str, samples: &[Sample]) -> Entry {
    let seconds = median(samples.iter().map(|sample| sample.seconds).collect());
    let first = &samples[0];
    Entry {
        name: name.to_owned(),
        target,
        requests_per_s: first.requests as f64 / seconds,
        steps_per_s: first.steps as f64 / seconds,
        preemptions_per_request: first.preemptions as f64 / first.requests as f64,
    }
}

/// Neighboring sizes of the clusters that were measured natively, whose names end in the number of replicas.
fn routing_costs(entries: &[Entry]) -> Vec<RoutingCost> {
    let of_cluster = |entry: &Entry| {
        let (policy, replicas) = entry.name.rsplit_once('-')?;
        let replicas: u32 = replicas.parse().ok().filter(|_| entry.target == "native")?;
        Some((policy.to_owned(), replicas, 1e9 / entry.requests_per_s))
    };
    let clusters: Vec<(String, u32, f64)> = entries.iter().filter_map(of_cluster).collect();
    let pairs = clusters.windows(2).filter(|pair| pair[0].0 == pair[1].0);
    pairs
        .map(|pair| RoutingCost {
            policy: pair[0].0.clone(),
            replicas: [pair[0].1, pair[1].1],
            nanoseconds_per_request: [pair[0].2, pair[1].2],
        })
        .collect()
}

fn print(entry: &Entry, share: String) {
    println!(
        "{:<16} {:<7} {:>12.0} {:>12.0} {NUM_RUNS:>8}  {:>12.3}  {share}",
        entry.name, entry.target, entry.requests_per_s, entry.steps_per_s, entry.preemptions_per_request
    );
}

fn drawn(native: &Runner, requests: u64) -> Result<Drawn> {
    let mut seconds = Vec::new();
    for _ in 0..NUM_RUNS {
        seconds.push(native.measure("generator", requests)?.seconds);
    }
    Ok(Drawn { requests, requests_per_s: requests as f64 / median(seconds) })
}

fn evaluated(runner: &Runner, target: &'static str, requests: u64) -> Result<Evaluated> {
    let mut samples = Vec::new();
    for _ in 0..NUM_RUNS {
        samples.push(runner.measure("fit", requests)?);
    }
    let evaluations = samples[0].requests / LOGGED_REQUESTS;
    let seconds = median(samples.iter().map(|sample| sample.seconds).collect());
    Ok(Evaluated {
        target,
        logged_requests: LOGGED_REQUESTS,
        evaluations,
        evaluations_per_s: evaluations as f64 / seconds,
    })
}

fn ask_time(runner: &Runner, search: &str) -> Result<f64> {
    let mut seconds = Vec::new();
    for _ in 0..NUM_RUNS {
        seconds.push(runner.measure(search, NUM_ASKED)?.seconds);
    }
    Ok(median(seconds) * 1e3 * 2.0 / NUM_ASKED as f64)
}

fn delayed_curve(native: &Runner) -> Result<DelayedCurve> {
    let mut seconds = [Vec::new(), Vec::new()];
    for _ in 0..NUM_RUNS {
        // In turn, so that a busy machine slows both alike.
        seconds[0].push(native.measure("curve", 1)?.seconds);
        seconds[1].push(native.measure("curve-delayed", 1)?.seconds);
    }
    let seconds = seconds.map(median);
    Ok(DelayedCurve { seconds, ratio: seconds[1] / seconds[0] })
}

fn scaling(native: &Runner, requests: u64) -> Result<Scaling> {
    let few = requests / SCALING_FACTOR;
    let mut ratios = Vec::new();
    for pair in 0..NUM_PAIRS {
        // Alternating which comes first cancels a slow drift of the machine's speed.
        let (small, large) = if pair % 2 == 0 {
            let small = native.measure("blackbox", few)?;
            (small, native.measure("blackbox", requests)?)
        } else {
            let large = native.measure("blackbox", requests)?;
            (native.measure("blackbox", few)?, large)
        };
        ratios.push(large.seconds / small.seconds);
    }
    Ok(Scaling { requests: [few, requests], median_time_ratio: median(ratios) })
}

fn memory(native: &Runner, workloads: &[String], requests: u64) -> Result<Vec<Memory>> {
    let of = |name: &String| {
        let sample = native.measure(name, requests)?;
        let peak_bytes = sample.peak_bytes.context("this system does not tell a process its peak memory")?;
        Ok(Memory { name: name.clone(), requests, peak_bytes })
    };
    workloads.iter().map(of).collect()
}

/// The middle value of an odd number of measurements.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_ignores_one_disturbed_run() {
        assert_eq!(median(vec![3.0, 100.0, 1.0, 2.0, 2.5]), 2.5);
    }

    #[test]
    fn clusters_of_one_policy_are_compared() {
        let entry = |name: &str, target: &'static str, requests_per_s: f64| Entry {
            name: name.to_owned(),
            target,
            requests_per_s,
            steps_per_s: 0.0,
            preemptions_per_request: 0.0,
        };
        let entries = [
            entry("kv-pressure", "native", 1e6),
            entry("cluster-8", "native", 1e6),
            entry("cluster-8", "wasm", 5e5),
            entry("cluster-64", "native", 5e5),
            entry("weighted-8", "native", 1e6),
        ];
        let expected =
            RoutingCost { policy: "cluster".to_owned(), replicas: [8, 64], nanoseconds_per_request: [1000.0, 2000.0] };
        assert_eq!(routing_costs(&entries), [expected]);
    }

    #[test]
    fn an_entry_divides_counts_by_the_median_time() {
        let sample = |seconds| Sample { seconds, requests: 100, steps: 1000, preemptions: 25, peak_bytes: None };
        let entry = entry("x", "native", &[sample(1.0), sample(2.0), sample(9.0)]);
        assert_eq!((entry.requests_per_s, entry.steps_per_s, entry.preemptions_per_request), (50.0, 500.0, 0.25));
    }
}
