//! Whether the capacities that studies report hold in the steady state.
//!
//! A deployment is drawn at random and studied as the command line studies it. The truth are runs of 300,000 requests
//! with seeds that no study uses, drawn at the rate as it is: their arrivals keep their luck. A reported capacity holds if
//! two of three such runs at it are stable and meet the SLO; the true capacity of a seed is found by bisection, and
//! the truth is the middle one of three seeds.

use plimsoll_core::cluster::Simulation;
use plimsoll_core::curve::{Curve, CurvePlan, CurveStudy, run_trial};
use plimsoll_core::engine::Mode;
use plimsoll_core::random::{Purpose, Seed, Stream};
use plimsoll_core::report::{Collector, Report, ReportSettings, Verdict};
use plimsoll_core::scenario::{AcceleratorChoice, LengthSettings, ModelChoice, ResolvedScenario, Scenario};
use plimsoll_core::study::{Ask, Study};
use plimsoll_core::workload::Source;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Seeds of the truth.
const SEEDS: [u64; 3] = [777, 778, 779];
/// Requests of a run of the truth.
const REQUESTS: u32 = 300_000;
/// Steps of the bisection between nine tenths of the reported capacity and eleven: to two thousandths.
const STEPS: u32 = 7;
/// Threads, each with a deployment.
const THREADS: usize = 2;
/// Points of a curve that are compared with the truth: those next to the capacity, where it is hardest.
const POINTS: usize = 6;

/// Limits of the table.
const LEAST_HOLDING: f64 = 0.95;
const LEAST_COVERED: f64 = 0.9;
const MEDIAN_ERROR: [f64; 2] = [-1.5, 0.3];
const ERRORS: [f64; 2] = [-4.0, 1.0];
const POINT_ERROR: f64 = 0.02;
const TTFT_ERROR: f64 = 0.05;
const TTFT_ERROR_MS: f64 = 5.0;

/// How many deployments, and from which seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Seed of the deployments.
    pub seed: u64,
    /// How many.
    pub count: usize,
}

impl Options {
    /// Reads `[--seed S] [-n N]`.
    ///
    /// # Errors
    /// In words, where something else is given.
    pub fn parse(arguments: &[String]) -> Result<Self, String> {
        let mut options = Self { seed: 1, count: 40 };
        let mut rest = arguments.iter();
        while let Some(flag) = rest.next() {
            let value = rest.next().ok_or_else(|| format!("{flag} needs a number"))?;
            let is_number = || format!("{flag} needs a number, not {value}");
            match flag.as_str() {
                "--seed" => options.seed = value.parse().map_err(|_| is_number())?,
                "-n" => options.count = value.parse().map_err(|_| is_number())?,
                _ => return Err(format!("there is no option {flag}; there are --seed S and -n N")),
            }
        }
        Ok(options)
    }
}

/// A deployment with a workload and a goal, and what it is called in the table.
pub struct Deployment {
    /// Model, accelerators, lengths and limits.
    pub name: String,
    /// The same, resolved.
    pub scenario: ResolvedScenario,
}

/// The deployment with this number of a seed.
///
/// Every quantity is drawn by itself from a few values that people use.
///
/// # Panics
/// If the catalogue has lost one of the models or accelerators; a test resolves them all.
#[must_use]
pub fn deployment(seed: u64, number: u32) -> Deployment {
    const MODELS: [(&str, &str, u32); 5] = [
        ("meta-llama/llama-3.1-8b-instruct", "H100", 1),
        ("meta-llama/llama-3.1-8b-instruct", "L40S", 1),
        ("qwen/qwen3-14b", "H100", 1),
        ("meta-llama/llama-3.3-70b-instruct", "H100", 4),
        ("qwen/qwen2.5-7b-instruct", "A100-80", 1),
    ];
    const LENGTHS: [(u32, u32); 6] = [(128, 128), (512, 512), (1024, 128), (2048, 256), (256, 1024), (4000, 500)];
    let mut stream = Stream::new(Seed { seed, replicate: number }, Purpose::Arrivals);
    let mut place = |count: usize| ((stream.open_unit() * count as f64) as usize).min(count - 1);
    let (model, accelerator, parallel) = MODELS[place(MODELS.len())];
    let (input, output) = LENGTHS[place(LENGTHS.len())];
    let max_num_seqs = [64, 256, 512][place(3)];
    let batched = [2048, 8192][place(2)];
    let ttft_ms = [500.0, 2000.0][place(2)];
    let tpot_ms = [30.0, 60.0, 100.0][place(3)];
    let lengths = |mean: u32| LengthSettings::Normal {
        mean: f64::from(mean),
        std_dev: f64::from(mean / 2),
        min: 2,
        max: mean * 10,
    };
    let mut scenario = Scenario::default();
    scenario.deployment.model = ModelChoice::Id(model.into());
    scenario.deployment.accelerator = Some(AcceleratorChoice::Id(accelerator.into()));
    scenario.deployment.tensor_parallel_size = Some(parallel);
    (scenario.workload.input_tokens, scenario.workload.output_tokens) = (lengths(input), lengths(output));
    scenario.engine.max_num_seqs = Some(max_num_seqs);
    scenario.engine.max_num_batched_tokens = Some(batched);
    (scenario.slo.ttft_ms, scenario.slo.tpot_ms) = (Some(ttft_ms), Some(tpot_ms));
    let short = model.rsplit('/').next().unwrap_or(model);
    let name = format!(
        "{short:22} {accelerator:7} ×{parallel} {input:>4}/{output:<4} seqs {max_num_seqs:3} TTFT {ttft_ms:4} TPOT {tpot_ms:3}"
    );
    let resolved = scenario.resolve(plimsoll_configs::catalog()).expect("all of these are in the catalogue").value;
    Deployment { name, scenario: resolved }
}

/// The report of one run, as `plimsoll run` makes it.
#[must_use]
pub fn truth(scenario: &ResolvedScenario, rate: f64, num_requests: u32, seed: u64) -> Report {
    let horizon = scenario.engine.horizon;
    let source = Source::new(&scenario.workload, None, rate, num_requests, (seed, 0), horizon);
    let mut settings = ReportSettings::new(scenario);
    (settings.classes, settings.tenants) = (source.classes().to_vec(), source.tenants().to_vec());
    let mut collector = Collector::streaming(settings);
    let source = source.behind(scenario.client, scenario.cluster.num_replicas);
    let mut simulation =
        Simulation::new(&scenario.cluster, scenario.engine, scenario.latency.clone(), source, Mode::Fast);
    while !simulation.run_for(u64::MAX, &mut collector) {}
    let totals = simulation.finish(&mut collector);
    Report::new(collector, &totals)
}

fn meets(report: &Report) -> bool {
    report.verdict == Verdict::Stable && report.slo.is_met
}

/// The settled curve of a scenario, on this thread.
#[must_use]
pub fn studied(scenario: &ResolvedScenario) -> Curve {
    let mut study = CurveStudy::new(scenario, CurvePlan::settled(&scenario.curve), None);
    while let Ask::Trial(trial) = study.ask() {
        study.tell(&trial, run_trial(scenario, None, &trial));
    }
    study.snapshot()
}

/// What is found out about one deployment.
struct Row {
    text: String,
    holds: bool,
    /// In percent of the truth; none without a reported capacity.
    error: Option<f64>,
    is_covered: bool,
    points: usize,
    /// Those of them that are beyond the limits.
    beyond: usize,
    /// The largest errors of the points, in percent of the truth: TPOT, E2E, throughput and TTFT.
    worst: [f64; 4],
}

fn row(number: usize, deployment: &Deployment) -> Row {
    let Deployment { name, scenario } = deployment;
    let curve = studied(scenario);
    let found = curve.capacity.filter(|found| found.is_settled && found.request_rate > 0.0);
    let Some(found) = found else {
        // Right only if even a hundredth of a request per second misses.
        let holds = !meets(&truth(scenario, 0.01, 2000, SEEDS[0]));
        let word = if holds { "rightly" } else { "WRONGLY" };
        let text = format!("{number:2} {name}: no capacity reported, {word}");
        return Row { text, holds, error: None, is_covered: holds, points: 0, beyond: 0, worst: [0.0; 4] };
    };
    let rate = found.request_rate;
    let holds = SEEDS.iter().filter(|seed| meets(&truth(scenario, rate, REQUESTS, **seed))).count() >= 2;
    let mut truths = SEEDS.map(|seed| {
        let (mut low, mut high) = (rate * 0.9, rate * 1.1);
        for _ in 0..STEPS {
            let middle = (low + high) / 2.0;
            if meets(&truth(scenario, middle, REQUESTS, seed)) {
                low = middle;
            } else {
                high = middle;
            }
        }
        (low + high) / 2.0
    });
    truths.sort_unstable_by(f64::total_cmp);
    let error = 100.0 * (rate / truths[1] - 1.0);
    let is_covered = (found.band[0]..=found.band[1]).contains(&truths[1]);
    let stable = curve.points.iter().rev().filter(|point| point.verdict == Verdict::Stable).take(POINTS);
    let (mut points, mut beyond) = (0, String::new());
    let (mut num_beyond, mut worst) = (0, [0.0f64; 4]);
    for point in stable {
        let report = truth(scenario, point.request_rate, REQUESTS, SEEDS[0]);
        let is_within = |found: f64, truth: f64, tolerance: f64| (found - truth).abs() <= tolerance * truth;
        let (ttft, true_ttft) = (point.ttft.p95.mid, report.ttft.p95);
        let checks = [
            ("TPOT", is_within(point.tpot.p95.mid, report.tpot.p95, POINT_ERROR)),
            ("E2E", is_within(point.e2e.p95.mid, report.e2e.p95, POINT_ERROR)),
            ("throughput", is_within(point.request_throughput.mid, point.request_rate, POINT_ERROR)),
            ("TTFT", is_within(ttft, true_ttft, TTFT_ERROR) || (ttft - true_ttft).abs() <= TTFT_ERROR_MS),
        ];
        let pairs = [
            (point.tpot.p95.mid, report.tpot.p95),
            (point.e2e.p95.mid, report.e2e.p95),
            (point.request_throughput.mid, point.request_rate),
            (ttft, true_ttft),
        ];
        for (worst, (found, truth)) in worst.iter_mut().zip(pairs) {
            *worst = worst.max(100.0 * (found / truth - 1.0).abs());
        }
        points += 1;
        let wrong: Vec<&str> = checks.iter().filter(|(_, is_right)| !is_right).map(|(name, _)| *name).collect();
        if !wrong.is_empty() {
            num_beyond += 1;
            beyond += &format!("; {} beyond at {:.3}", wrong.join(", "), point.request_rate);
        }
    }
    let text = format!(
        "{number:2} {name}: reported {rate:8.3}, true {:8.3} ({error:+5.2} %), band {:.3} to {:.3}{}, {}{beyond}",
        truths[1],
        found.band[0],
        found.band[1],
        if is_covered { "" } else { " MISSES IT" },
        if holds { "holds" } else { "DOES NOT HOLD" },
    );
    Row { text, holds, error: Some(error), is_covered, points, beyond: num_beyond, worst }
}

/// Prints a row a deployment and the four rows of accuracy; whether all are within the limits.
#[must_use]
pub fn print(options: Options) -> bool {
    let next = AtomicUsize::new(0);
    let rows: Mutex<Vec<Row>> = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= options.count {
                        break;
                    }
                    let row = row(number, &deployment(options.seed, number as u32));
                    println!("{}", row.text);
                    rows.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(row);
                }
            });
        }
    });
    let rows = rows.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    summed(&rows)
}

/// Prints the four rows of accuracy; whether all are within the limits.
fn summed(rows: &[Row]) -> bool {
    if rows.is_empty() {
        println!("nothing measured");
        return false;
    }
    let share = |of: fn(&Row) -> bool| rows.iter().filter(|row| of(row)).count() as f64 / rows.len() as f64;
    let (holding, covered) = (share(|row| row.holds), share(|row| row.is_covered));
    let mut errors: Vec<f64> = rows.iter().filter_map(|row| row.error).collect();
    errors.sort_by(f64::total_cmp);
    let at = |place: usize| errors.get(place).copied().unwrap_or(0.0);
    let (least, median, most) = (at(0), at(errors.len() / 2), at(errors.len().saturating_sub(1)));
    let [points, beyond] =
        [|row: &Row| row.points, |row: &Row| row.beyond].map(|of| rows.iter().map(of).sum::<usize>());
    let is_right = [
        holding >= LEAST_HOLDING,
        (MEDIAN_ERROR[0]..=MEDIAN_ERROR[1]).contains(&median) && least >= ERRORS[0] && most <= ERRORS[1],
        beyond == 0,
        covered >= LEAST_COVERED,
    ];
    let words = is_right.map(|is_right| if is_right { "" } else { " BEYOND" });
    let [limits_of_hold, limits_of_cover] = [LEAST_HOLDING, LEAST_COVERED].map(|limit| limit * 100.0);
    println!("capacities that hold: {:.1} % (at least {limits_of_hold} %){}", holding * 100.0, words[0]);
    println!(
        "error of the capacity: median {median:+.2} % ({} to {:+}), {least:+.2} to {most:+.2} % ({} to {:+}){}",
        MEDIAN_ERROR[0], MEDIAN_ERROR[1], ERRORS[0], ERRORS[1], words[1]
    );
    println!(
        "stable points beyond {} % (TTFT {} % or {TTFT_ERROR_MS} ms): {beyond} of {points} (none){}",
        POINT_ERROR * 100.0,
        TTFT_ERROR * 100.0,
        words[2]
    );
    let worst = |at: usize| rows.iter().map(|row| row.worst[at]).fold(0.0, f64::max);
    println!(
        "largest error of a point: TPOT {:.2} %, E2E {:.2} %, throughput {:.2} %, TTFT {:.2} %",
        worst(0),
        worst(1),
        worst(2),
        worst(3)
    );
    println!("bands that cover the truth: {:.1} % (at least {limits_of_cover} %){}", covered * 100.0, words[3]);
    is_right.iter().all(|is_right| *is_right)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(holds: bool, error: f64, is_covered: bool, beyond: usize) -> Row {
        Row { text: String::new(), holds, error: Some(error), is_covered, points: 6, beyond, worst: [0.0; 4] }
    }

    #[test]
    fn each_limit_is_held() {
        let rows = |change: fn(&mut Vec<Row>)| {
            let mut rows: Vec<Row> = (0..20).map(|_| row(true, -0.8, true, 0)).collect();
            change(&mut rows);
            summed(&rows)
        };
        assert!(rows(|_| {}));
        assert!(rows(|rows| rows[0] = row(false, 0.9, false, 0)), "one of twenty may not hold");
        assert!(!rows(|rows| rows.iter_mut().take(2).for_each(|at| at.holds = false)));
        assert!(!rows(|rows| rows.iter_mut().take(3).for_each(|at| at.is_covered = false)));
        assert!(!rows(|rows| rows[3].error = Some(1.1)) && !rows(|rows| rows[3].error = Some(-4.1)));
        assert!(!rows(|rows| rows.iter_mut().for_each(|at| at.error = Some(-1.6))));
        assert!(!rows(|rows| rows[7].beyond = 1));
        assert!(!summed(&[]));
    }

    #[test]
    fn deployments_resolve_and_differ() {
        let names: std::collections::BTreeSet<String> = (0..60).map(|number| deployment(1, number).name).collect();
        assert!(names.len() > 40, "{}", names.len());
    }

    #[test]
    fn options_are_read() {
        let parse = |words: &[&str]| Options::parse(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
        assert_eq!(parse(&[]), Ok(Options { seed: 1, count: 40 }));
        assert_eq!(parse(&["--seed", "7", "-n", "3"]), Ok(Options { seed: 7, count: 3 }));
        assert!(parse(&["--seed"]).is_err() && parse(&["-n", "x"]).is_err() && parse(&["--what", "1"]).is_err());
    }
}
