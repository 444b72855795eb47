//! The named workloads of the benchmark.
//!
//! All serve llama-3.1-8b-instruct on one H100 per replica: 512 ± 256 input and output tokens, poisson arrivals of 20
//! requests per second and replica. The clusters serve the black-box workload behind `least-loaded`, or behind
//! `weighted` with its two weights.
//! A run goes from the generator to the finished report with exact percentiles.

use plimsoll_core::cluster::simulate;
use plimsoll_core::engine::Mode;
use plimsoll_core::report::{Collector, Report, ReportSettings};
use plimsoll_core::scenario::{
    AcceleratorChoice, LatencyModelChoice, LengthSettings, ModelChoice, PrefixSettings, ResolvedScenario,
    RoutingPolicy, Scenario,
};
use plimsoll_core::workload::{Generator, RequestSource};
use serde::Serialize;

/// The workloads in the order in which they are measured.
pub const NAMES: [&str; 11] = [
    "blackbox",
    "trained-physics",
    "roofline",
    "prefix",
    "kv-pressure",
    "cluster-8",
    "cluster-64",
    "cluster-256",
    "weighted-8",
    "weighted-64",
    "weighted-256",
];

/// Draws the requests of `blackbox` and nothing else; not among [`NAMES`], as nothing is simulated.
pub const GENERATOR: &str = "generator";

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
    let mut scenario = Scenario::default();
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
    Some(scenario.resolve(plimsoll_configs::catalog()).expect("every workload resolves; a test runs them").value)
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
            let expected = if name == "kv-pressure" { 0.2..=0.5 } else { 0.0..=0.0 };
            assert!(expected.contains(&per_request), "{name}: {per_request} preemptions per request");
        }
        assert_eq!(run(GENERATOR, 2000), Some(Counts { requests: 2000, steps: 0, preemptions: 0 }));
        assert_eq!(run("no such workload", 1), None);
    }
}
