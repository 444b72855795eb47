//! The named workloads of the benchmark.
//!
//! All serve llama-3.1-8b-instruct on one H100 per replica: 512 ± 256 input and output tokens, poisson arrivals of 20
//! requests per second and replica. The clusters serve the black-box workload behind `least-loaded`, or behind
//! `weighted` with its two weights.
//! A run goes from the generator to the finished report with exact percentiles.
//!
//! `fit` is no simulation of a scenario but a search: each of its evaluations replays a log of 100 such requests at 6 per
//! second with other coefficients of the default model, and sums up how far the latencies are from the logged ones.
//!
//! `curve` and `curve-delayed` are whole studies of the curve of the default scenario, with fitted coefficients and without
//! and with the delays of a client.
//! `tpe` and `gaussian-process` ask for so many points in 11 dimensions when they know more than they look at, and evaluate
//! nothing worth mentioning.

use plimsoll_core::calibrate::{Calibration, ClientEffects, Deployment, FitSettings, FittedModel, Replay, prior};
use plimsoll_core::cluster::simulate;
use plimsoll_core::curve::{CurvePlan, CurveStudy, run_trial};
use plimsoll_core::engine::Mode;
use plimsoll_core::latency::LatencyModel;
use plimsoll_core::measurement::{ArrivalSource, LogFormat, MeasuredDeployment, MeasuredRequest, Measurement};
use plimsoll_core::report::{Collector, Report, ReportSettings};
use plimsoll_core::scenario::{
    AcceleratorChoice, LatencyFit, LatencyModelChoice, LengthSettings, ModelChoice, PrefixSettings, ResolvedScenario,
    RoutingPolicy, Rules, VllmRules,
};
use plimsoll_core::search::{GaussianProcess, Minimizer, RandomSearch, Tpe};
use plimsoll_core::study::{Ask, Study};
use plimsoll_core::time::SimTime;
use plimsoll_core::workload::{Generator, RequestSource};
use serde::Serialize;

/// The workloads in the order in which they are measured.
pub const NAMES: [&str; 15] = [
    "blackbox",
    "trained-physics",
    "roofline",
    "prefix",
    "kv-pressure",
    "blackbox-vllm",
    "trained-physics-vllm",
    "prefix-vllm",
    "kv-pressure-vllm",
    "cluster-8",
    "cluster-64",
    "cluster-256",
    "weighted-8",
    "weighted-64",
    "weighted-256",
];

/// Ends the names of workloads that are those of the same name without it, under vLLM's rules with its newest defaults
/// (asynchronous scheduling), all limits being the same.
pub const VLLM: &str = "-vllm";

/// Draws the requests of `blackbox` and nothing else; not among [`NAMES`], as nothing is simulated.
pub const GENERATOR: &str = "generator";

/// Fits a log of [`LOGGED_REQUESTS`] requests; not among [`NAMES`], as its figure is evaluations per second.
pub const FIT: &str = "fit";

/// Whole studies of a curve; not among [`NAMES`], as they decide themselves how many requests they simulate.
pub const CURVES: [&str; 2] = ["curve", "curve-delayed"];

/// Searches whose next point rests on all before it; not among [`NAMES`], as nothing is simulated.
pub const SEARCHES: [&str; 2] = ["tpe", "gaussian-process"];

/// Coefficients that these search: as many as the default model has.
const NUM_SEARCHED: usize = 11;

/// Points that these know beforehand: more than they look at.
const NUM_KNOWN: usize = 2000;

/// Coefficients of the calibrated roofline as a fit of an 8B on an H100 gives them.
const FITTED: ([f64; 3], [f64; 8]) = ([9000.0, 2.0, 0.0], [3000.0, 40.0, 7000.0, 30.0, 0.06, 3e-4, 0.0, 1500.0]);

/// What its clients add.
const DELAYS: ClientEffects = ClientEffects { idle_delay_us: 2000.0, busy_delay_us: 80.0 };

/// Requests of the log that [`FIT`] fits, so that many of its requests are one evaluation.
pub const LOGGED_REQUESTS: u32 = 100;

/// Requests per second of that log.
const LOGGED_RATE: f64 = 6.0;

/// Offered requests per second and replica.
const REQUEST_RATE: f64 = 20.0;

/// Blocks with which a request is preempted 0.2 to 0.5 times on average; a test holds it there.
const PRESSED_BLOCKS: u32 = 5000;

/// What one run simulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Offered requests.
    pub requests: u64,
    /// Engine steps, skipped ones included.
    pub steps: u64,
    /// Preemptions.
    pub preemptions: u64,
}

/// Runs a workload with this many requests; none if there is no such workload.
#[must_use]
pub fn run(name: &str, num_requests: u32) -> Option<Counts> {
    if name == FIT {
        let evaluations = fit(&logged_run()?, u64::from(num_requests / LOGGED_REQUESTS).max(1));
        return Some(Counts { requests: evaluations * u64::from(LOGGED_REQUESTS), steps: 0, preemptions: 0 });
    }
    if CURVES.contains(&name) {
        return Some(curve(if name == CURVES[0] { ClientEffects::default() } else { DELAYS }));
    }
    if SEARCHES.contains(&name) {
        return Some(Counts { requests: asked(name, num_requests), steps: 0, preemptions: 0 });
    }
    let scenario = resolved(if name == GENERATOR { NAMES[0] } else { name })?;
    let mut source = Generator::new(&scenario.workload, scenario.workload.request_rate, num_requests, scenario.seed, 0);
    if name == GENERATOR {
        let requests = core::iter::from_fn(|| source.next_request()).map(core::hint::black_box).count() as u64;
        return Some(Counts { requests, steps: 0, preemptions: 0 });
    }
    let mut collector = Collector::streaming(ReportSettings::new(&scenario));
    let totals = simulate(&scenario.cluster, scenario.engine, scenario.latency, source, Mode::Fast, &mut collector);
    let report = Report::new(collector, &totals);
    Some(Counts { requests: u64::from(num_requests), steps: report.steps, preemptions: totals.total.preemptions })
}

fn resolved(name: &str) -> Option<ResolvedScenario> {
    let (name, is_vllm) = name.strip_suffix(VLLM).map_or((name, false), |name| (name, true));
    let mut scenario = crate::base_1();
    scenario.deployment.model = ModelChoice::Id("meta-llama/llama-3.1-8b-instruct".into());
    scenario.deployment.accelerator = Some(AcceleratorChoice::Id("H100".into()));
    scenario.deployment.tensor_parallel_size = Some(1);
    let lengths = LengthSettings::Normal { mean: 512.0, std_dev: 256.0, min: 2, max: 7000 };
    scenario.workload.input_tokens = lengths.clone();
    scenario.workload.output_tokens = lengths;
    scenario.workload.request_rate = REQUEST_RATE;
    scenario.latency.model = LatencyModelChoice::Blackbox;
    // Not naming it keeps the blocks of the coefficient row.
    scenario.engine.gpu_memory_utilization = None;
    match name {
        "blackbox" => {}
        "trained-physics" => scenario.latency.model = LatencyModelChoice::TrainedPhysics,
        "roofline" => scenario.latency.model = LatencyModelChoice::Roofline,
        "prefix" => scenario.workload.prefix = PrefixSettings { tokens: 1024, groups: 20, share_ratio: 0.8 },
        "kv-pressure" => scenario.engine.num_gpu_blocks = Some(PRESSED_BLOCKS),
        _ => {
            let (policy, num_replicas) = name.split_once('-')?;
            let num_replicas = num_replicas.parse().ok()?;
            scenario.cluster.num_replicas = num_replicas;
            scenario.cluster.routing.policy = match policy {
                "cluster" => RoutingPolicy::LeastLoaded,
                "weighted" => RoutingPolicy::Weighted,
                _ => return None,
            };
            scenario.workload.request_rate = REQUEST_RATE * f64::from(num_replicas);
        }
    }
    let mut resolved =
        scenario.resolve(plimsoll_configs::catalog()).expect("every workload resolves; a test runs them").value;
    if is_vllm {
        resolved.engine.rules = Rules::VllmV1(VllmRules::default());
    }
    Some(resolved)
}

/// What the log of a server with other coefficients than expected would hold.
fn logged_run() -> Option<Measurement> {
    let scenario = resolved(NAMES[0])?;
    let mut run = Measurement::new(FIT, LogFormat::VllmBench);
    run.deployment = MeasuredDeployment {
        model: Some("meta-llama/llama-3.1-8b-instruct".into()),
        accelerator: Some("H100".into()),
        tensor_parallel_size: Some(1),
        ..MeasuredDeployment::default()
    };
    run.arrivals = ArrivalSource::Recorded;
    let mut source = Generator::new(&scenario.workload, LOGGED_RATE, LOGGED_REQUESTS, scenario.seed, 0);
    let requests = core::iter::from_fn(|| source.next_request()).map(|request| MeasuredRequest {
        arrive: request.arrive,
        send: request.arrive,
        input_tokens: request.input_tokens,
        output_tokens: request.output_tokens,
        ttft: None,
        e2e: None,
        session: None,
        gaps: 0..0,
    });
    run.requests = requests.collect();
    let server = LatencyModel::calibrated(&FITTED.0, &FITTED.1).ok()?;
    let served = Replay::new(&run, usize::MAX).run(scenario.engine, &server, DELAYS);
    for (request, latency) in run.requests.iter_mut().zip(&served.latencies) {
        request.ttft = latency.ttft.map(|ttft| SimTime(ttft as i64));
        request.e2e = latency.e2e.map(|e2e| SimTime(e2e as i64));
    }
    Some(run)
}

/// Searches with so many evaluations; how many there were.
fn fit(run: &Measurement, budget: u64) -> u64 {
    let catalog = plimsoll_configs::catalog();
    let deployment = Deployment::guess(catalog, &run.deployment);
    let settings = FitSettings { budget, ..FitSettings::default() };
    let space = prior(FittedModel::Calibrated, &deployment, catalog);
    let mut study = Calibration::new(vec![(run.clone(), deployment)], space, settings);
    let problem = study.problem();
    while let Ask::Trial(candidate) = study.ask() {
        study.tell(&candidate, problem.loss(&candidate.point));
    }
    study.progress().0
}

/// The curve of the default scenario with a fit whose clients are such.
fn curve(client: ClientEffects) -> Counts {
    let mut scenario = crate::base_1();
    scenario.latency.model = LatencyModelChoice::Calibrated;
    let (alpha, beta) = (FITTED.0.to_vec(), FITTED.1.to_vec());
    scenario.latency.fit = Some(LatencyFit { alpha, beta, client, ..LatencyFit::default() });
    let resolved = scenario.resolve(plimsoll_configs::catalog()).expect("the fit is complete; a test runs it").value;
    let mut study = CurveStudy::new(&resolved, CurvePlan::full(&resolved.curve), None);
    let mut requests = 0;
    while let Ask::Trial(trial) = study.ask() {
        requests += u64::from(trial.num_requests);
        let sample = run_trial(&resolved, None, &trial);
        study.tell(&trial, sample);
    }
    Counts { requests, steps: 0, preemptions: 0 }
}

/// Asks a search that knows enough for so many points; how many there were.
fn asked(name: &str, num_points: u32) -> u64 {
    let mut uniform = RandomSearch::new(NUM_SEARCHED, 1);
    let known = core::iter::from_fn(|| match uniform.ask() {
        Ask::Trial(candidate) => Some(candidate.point),
        Ask::Wait | Ask::Done => None,
    });
    let known = known.take(NUM_KNOWN).collect();
    // Each looks at some points of its own before the first that rests on what it knows.
    let (mut search, num_own) = match name {
        "tpe" => (Minimizer::Tpe(Tpe::new(NUM_SEARCHED, 1).beginning_at(known)), 10),
        _ => (Minimizer::GaussianProcess(GaussianProcess::new(NUM_SEARCHED, 1).beginning_at(known)), 2 * NUM_SEARCHED),
    };
    let before = (NUM_KNOWN + num_own) as u64;
    let mut found = 0;
    search.minimize(before + u64::from(num_points), |point| {
        found += 1;
        point.iter().map(|x| (x - 0.3) * (x - 0.3)).sum()
    });
    found - before
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_workload_runs_and_only_one_preempts() {
        for name in NAMES {
            let counts = run(name, 2000).expect("it is in the list");
            assert!(counts.steps > 2000, "{name}: {counts:?}");
            let per_request = counts.preemptions as f64 / counts.requests as f64;
            let expected = if name.starts_with("kv-pressure") { 0.2..=0.5 } else { 0.0..=0.0 };
            assert!(expected.contains(&per_request), "{name}: {per_request} preemptions per request");
        }
        assert_eq!(run(GENERATOR, 2000), Some(Counts { requests: 2000, steps: 0, preemptions: 0 }));
        assert_eq!(run("no such workload", 1), None);
        for name in SEARCHES {
            assert_eq!(run(name, 4), Some(Counts { requests: 4, steps: 0, preemptions: 0 }));
        }
        let curves = CURVES.map(|name| run(name, 1).expect("it is in the list").requests);
        assert!(curves.iter().all(|requests| *requests > 50_000), "{curves:?}");
        assert_eq!(run(FIT, 2000), Some(Counts { requests: 2000, steps: 0, preemptions: 0 }));
    }

    #[test]
    fn the_fitted_log_is_served_whole_and_keeps_a_batch_busy() {
        let run = logged_run().expect("the server has coefficients");
        assert_eq!(run.requests.len(), LOGGED_REQUESTS as usize);
        let spans: Vec<(i64, i64)> = run
            .requests
            .iter()
            .map(|request| (request.send.0, request.send.0 + request.e2e.expect("it is served").0))
            .collect();
        let last = spans.iter().map(|span| span.1).max().expect("there are requests");
        let in_flight = spans.iter().map(|(send, end)| end - send).sum::<i64>() as f64 / last as f64;
        assert!((10.0..60.0).contains(&in_flight), "{in_flight} requests in flight on average");
    }
}
