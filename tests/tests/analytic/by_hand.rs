//! The worked examples of the engine specification, section 8, in both modes.

use super::{blackbox, engine, run};
use plimsoll_core::cluster::ClusterTotals;
use plimsoll_core::engine::Mode;
use plimsoll_core::observation::{ReplicaTotals, RequestRecord};
use plimsoll_core::report::{Collector, Report, ReportSettings};
use plimsoll_core::scenario::{EngineConfig, PriorityPolicy, Slo};
use plimsoll_core::time::SimTime;
use plimsoll_core::workload::{PrefixId, PrefixTree, Request, Trace, TraceSource};
use std::sync::Arc;

/// Arrival, prompt, output, microseconds and tokens.
type Offered = (i64, u32, u32);

/// What is expected: per request delay, TTFT and E2E; end, output tokens, mean ITL in microseconds.
struct Expected<'a> {
    requests: &'a [(Option<i64>, Option<i64>, Option<i64>)],
    end: i64,
    output: u64,
    itl: f64,
}

struct Example {
    engine: EngineConfig,
    alpha: [f64; 3],
    requests: Vec<Request>,
    prefixes: PrefixTree,
}

fn example(offered: &[Offered]) -> Example {
    let request = |(id, &(arrive, input_tokens, output_tokens)): (usize, &Offered)| {
        Request::plain(id as u32, SimTime(arrive), input_tokens, output_tokens)
    };
    let requests = offered.iter().enumerate().map(request).collect();
    Example { engine: engine(), alpha: [100.0, 1.0, 10.0], requests, prefixes: PrefixTree::new() }
}

impl Example {
    fn with(mut self, change: impl FnOnce(&mut EngineConfig)) -> Self {
        change(&mut self.engine);
        self
    }

    fn run(&self, mode: Mode) -> (Vec<RequestRecord>, ReplicaTotals) {
        let names = vec![String::new()];
        let trace = Trace::new(self.requests.clone(), self.prefixes.clone(), names.clone(), names);
        let latency = blackbox(self.alpha, [1000.0, 10.0, 5.0]);
        let (log, totals) = run(self.engine, latency, TraceSource::new(Arc::new(trace)), mode);
        (log.records, totals)
    }

    /// Compares both modes with what is expected; gives the totals for what is special to an example.
    fn gives(&self, number: u32, expected: &Expected<'_>) -> ReplicaTotals {
        let [_, fast] = [Mode::Step, Mode::Fast].map(|mode| {
            let (records, totals) = self.run(mode);
            let seen: Vec<_> = records
                .iter()
                .map(|r| (r.scheduling_delay.map(|t| t.0), r.ttft.map(|t| t.0), r.e2e.map(|t| t.0)))
                .collect();
            assert_eq!(seen, expected.requests, "example {number}, {mode:?}");
            assert_eq!(
                (totals.end.0, totals.output_tokens),
                (expected.end, expected.output),
                "example {number}, {mode:?}"
            );
            let (sum, count) = totals
                .gaps
                .iter()
                .fold((0, 0), |(sum, count), &(value, times)| (sum + value * times as i64, count + times));
            let itl = if count == 0 { 0.0 } else { sum as f64 / count as f64 };
            // The examples print five decimals of a millisecond.
            assert!((itl - expected.itl).abs() < 0.01, "example {number}, {mode:?}: ITL {itl}");
            totals
        });
        fast
    }
}

fn all(delay: i64, ttft: i64, e2e: i64) -> (Option<i64>, Option<i64>, Option<i64>) {
    (Some(delay), Some(ttft), Some(e2e))
}

#[test]
fn a_single_request() {
    let one = |n: u32| example(&[(0, 5, n)]);
    // Queueing 100 + 5; prompt step 1000 + 5·10 and two decode steps of 1000 + 5; 10 on each token.
    one(3).gives(1, &Expected { requests: &[all(105, 1165, 3195)], end: 3165, output: 3, itl: 1015.0 });
    one(1).gives(2, &Expected { requests: &[all(105, 1165, 1165)], end: 1155, output: 1, itl: 0.0 });
    one(0).gives(3, &Expected { requests: &[all(105, 1165, 1165)], end: 1155, output: 0, itl: 0.0 });
}

#[test]
fn requests_that_meet() {
    let requests = [all(105, 1215, 3255), all(105, 1215, 3255)];
    example(&[(0, 5, 3), (0, 5, 3)]).gives(4, &Expected { requests: &requests, end: 3225, output: 6, itl: 1020.0 });
    let requests = [all(105, 1165, 3260), all(1155, 2230, 4265)];
    example(&[(0, 5, 3), (0, 6, 3)]).gives(5, &Expected { requests: &requests, end: 4235, output: 6, itl: 1032.5 });
    let requests = [all(105, 1165, 3195), all(2665, 3725, 5755)];
    example(&[(0, 5, 3), (500, 5, 3)])
        .with(|engine| engine.max_num_seqs = 1)
        .gives(6, &Expected { requests: &requests, end: 6225, output: 6, itl: 1015.0 });
    let requests = [all(105, 1165, 1165), all(105, 1165, 1165)];
    example(&[(0, 5, 1), (600, 5, 1)]).gives(10, &Expected { requests: &requests, end: 1755, output: 2, itl: 0.0 });
}

#[test]
fn a_shared_prefix() {
    let mut shared = example(&[(0, 33, 3), (50_000, 33, 3), (100_000, 40, 3)]);
    let prefix = shared.prefixes.extend(PrefixId::NONE, 32);
    shared.requests.iter_mut().for_each(|request| request.prefix = prefix);
    let requests = [all(133, 1473, 3503), all(133, 1153, 3183), all(140, 1230, 3260)];
    shared.gives(7, &Expected { requests: &requests, end: 103_230, output: 9, itl: 1015.0 });
}

#[test]
fn prompts_in_chunks() {
    let requests = [all(140, 3550, 5580)];
    let expected = Expected { requests: &requests, end: 5550, output: 3, itl: 1015.0 };
    example(&[(0, 40, 3)]).with(|engine| engine.max_num_batched_tokens = 16).gives(8, &expected);
    example(&[(0, 40, 3)]).with(|engine| engine.long_prefill_token_threshold = 16).gives(9, &expected);
    let requests = [all(105, 3175, 5225), all(2145, 6225, 8275), all(6215, 10_285, 12_315)];
    example(&[(0, 5, 3), (0, 5, 3), (0, 5, 3)])
        .with(|engine| engine.max_num_batched_tokens = 2)
        .gives(14, &Expected { requests: &requests, end: 12_285, output: 9, itl: 1021.67 });
}

#[test]
fn a_horizon_a_preemption_and_a_timeout() {
    let mut cut = example(&[(0, 8, 4), (3000, 8, 4), (4100, 8, 4)]).with(|engine| engine.horizon = SimTime(4000));
    cut.alpha = [0.0, 0.0, 0.0];
    // The third request would come after the horizon; nobody hears of it.
    let requests = [all(0, 1080, 4175), (Some(90), Some(1175), None)];
    let totals = cut.gives(11, &Expected { requests: &requests, end: 3090, output: 4, itl: 1031.67 });
    assert_eq!((totals.still_queued, totals.still_running), (0, 1));

    let requests = [all(104, 1194, 8324), all(6229, 7244, 14_354)];
    let tight = example(&[(0, 4, 8), (0, 4, 8)]).with(|engine| (engine.block_size, engine.num_blocks) = (4, 4));
    let totals = tight.gives(12, &Expected { requests: &requests, end: 14_274, output: 16, itl: 1017.14 });
    assert_eq!(totals.preemptions, 1);

    let mut patient = example(&[(0, 5, 9)]);
    patient.requests[0].deadline = SimTime(4000);
    let totals =
        patient.gives(13, &Expected { requests: &[(Some(105), Some(1165), None)], end: 4170, output: 0, itl: 0.0 });
    assert_eq!(totals.timed_out, 1);
}

/// Example 1 through the report: TPOT, attainment and goodput have their definitions' values.
#[test]
fn a_report_of_two_requests() {
    let pair = example(&[(0, 5, 3), (1_000_000, 5, 1)]);
    let settings = |tpot_ms: f64| ReportSettings {
        slo: Slo { ttft_ms: Some(2.0), tpot_ms: Some(tpot_ms), ..Slo::default() },
        slo_classes: Default::default(),
        priority: PriorityPolicy::Constant,
        num_replicas: 1,
        num_blocks: 1000,
        time_share_names: &["fixed", "prefill", "decode"],
        classes: Vec::new(),
        tenants: Vec::new(),
    };
    let report = |tpot_ms: f64| {
        let (records, totals) = pair.run(Mode::Fast);
        let mut collector = Collector::detailed(settings(tpot_ms));
        records.iter().for_each(|record| plimsoll_core::observation::Observer::settled(&mut collector, record));
        Report::new(collector, &ClusterTotals::new(vec![totals]))
    };
    let met = report(1.015);
    // (3195 − 1165)/2 = 1015 µs for the first; the second has one token, so no TPOT, which counts as zero.
    assert_eq!((met.tpot.count, met.tpot.mean, met.tpot.p95), (1, 1.015, 1.015));
    assert_eq!((met.slo.attaining_requests, met.slo.missing_requests), (2, 0));
    assert!(met.slo.is_met);
    assert_eq!(met.summary.vllm_estimated_duration_s, 1.001_155);
    assert_eq!(met.slo.goodput_requests_per_sec, 2.0 / 1.001_155);
    assert_eq!(met.summary.requests.len(), 2);
    assert_eq!((met.summary.requests[0].itl_ms, met.summary.requests[0].e2e_ms), (1.015, 3.195));
    assert_eq!(met.summary.itl_p90_ms, 1.015);
    let shares: f64 = met.time_shares.iter().map(|share| share.ratio).sum();
    assert!((shares - 1.0).abs() < 1e-12);
    // Four steps: 2 × 1050 and 2 × 1005 of 1,001,155 µs.
    assert!((met.time_shares[3].ratio - (1.0 - 4110.0 / 1_001_155.0)).abs() < 1e-12);
    let missed = report(1.014);
    assert_eq!((missed.slo.attaining_requests, missed.slo.slo_attainment), (1, 0.5));
    assert_eq!(missed.slo.slo_attainment_reference, 1.0);
    assert!(!missed.slo.is_met);
}
