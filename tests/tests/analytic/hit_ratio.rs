//! A share of cached prompt tokens that is given, against closed forms.

use super::{blackbox, engine, run};
use plimsoll_configs::catalog;
use plimsoll_core::cluster::simulate;
use plimsoll_core::engine::Mode;
use plimsoll_core::observation::ReplicaTotals;
use plimsoll_core::report::{Collector, Report, ReportSettings};
use plimsoll_core::scenario::{EngineConfig, LengthSettings, Rules, Scenario, VllmRules, WorkloadSettings};
use plimsoll_core::time::SimTime;
use plimsoll_core::workload::{Generator, PrefixId, PrefixTree, Request, RequestSource, Source, Trace, TraceSource};
use std::sync::Arc;

fn given(prefix_hit_ratio: f64, block_size: u32) -> EngineConfig {
    let rules = Rules::VllmV1(VllmRules { prefix_hit_ratio, ..VllmRules::default() });
    EngineConfig { block_size, rules, max_num_batched_tokens: 16_384, num_blocks: 100_000, ..engine() }
}

/// TTFT and E2E in microseconds of one request, and the totals; the same in both modes.
fn alone(engine: EngineConfig, prompt: u32, answer: u32) -> ([i64; 2], ReplicaTotals) {
    let [step, fast] = [Mode::Step, Mode::Fast].map(|mode| {
        let request = Request::plain(0, SimTime::ZERO, prompt, answer);
        let names = || vec![String::new()];
        let trace = Trace::new(vec![request], PrefixTree::new(), names(), names());
        let latency = blackbox([100.0, 1.0, 10.0], [1000.0, 10.0, 5.0]);
        let (log, totals) = run(engine, latency, TraceSource::new(Arc::new(trace)), mode);
        ([log.records[0].ttft, log.records[0].e2e].map(|time| time.expect("it completes").0), totals)
    });
    assert_eq!(step.0, fast.0);
    assert_eq!(step.1.prefix_cache, fast.1.prefix_cache);
    fast
}

/// Queueing 100 + 1 a prompt token, a step 1,000 + 10 a token that is computed, 10 on each token; decode steps 1,005.
#[test]
fn half_of_a_lone_prompt_costs_what_the_other_half_does() {
    for (ratio, computed) in [(0.0, 8192), (0.5, 4096), (0.25, 6144), (1.0, 16)] {
        let ([ttft, e2e], totals) = alone(given(ratio, 16), 8192, 3);
        assert_eq!(ttft, 100 + 8192 + 1000 + 10 * computed + 10, "ratio {ratio}");
        assert_eq!(e2e - ttft, 2 * (1005 + 10), "ratio {ratio}");
        let cache = &totals.prefix_cache;
        assert_eq!((cache.queried_tokens, cache.hit_tokens), (8192, 8192 - computed as u64), "ratio {ratio}");
        // In blocks: 512 of the prompt and one of the answer, those that are given as if they had been found.
        let hits = (8192 - computed as u64) / 16;
        assert_eq!((totals.cache_hits, totals.cache_misses), (hits, 513 - hits), "ratio {ratio}");
        assert_eq!(totals.kv_peak, 513, "what is given lies in the memory, ratio {ratio}");
    }
}

/// The uncached half of 8,192 tokens takes two steps of 2,048 instead of four.
#[test]
fn chunks_begin_behind_what_is_given() {
    for (ratio, steps) in [(0.0, 4), (0.5, 2)] {
        let engine = EngineConfig { max_num_batched_tokens: 2048, ..given(ratio, 16) };
        let ([ttft, _], totals) = alone(engine, 8192, 1);
        assert_eq!((totals.steps, ttft), (steps, 100 + 8192 + steps as i64 * (1000 + 20_480) + 10), "ratio {ratio}");
    }
}

/// The last token is always computed, and blocks are whole.
#[test]
fn a_prompt_of_a_block_has_nothing_cached() {
    for (prompt, hits) in [(15, 0), (16, 0), (17, 16), (32, 16), (33, 32)] {
        assert_eq!(alone(given(1.0, 16), prompt, 1).1.prefix_cache.hit_tokens, hits, "{prompt} tokens");
    }
}

/// Seed 42, 2,000 requests a case. A prompt has its share up to a block; with fractions as good as drawn the sum over n
/// prompts is off by at most 4.9 · ½ · √n blocks (false alarm below 1e-6). Always rounding down would be off by n/2.
#[test]
fn a_run_has_the_share_that_is_given_at_every_block_size_and_length() {
    let num_requests = 2_000;
    let constant = |value| LengthSettings::Constant { value };
    let lengths = [
        constant(300),
        constant(1000),
        constant(4096),
        LengthSettings::Normal { mean: 900.0, std_dev: 400.0, min: 300, max: 7000 },
        LengthSettings::Lognormal { mean: 2000.0, std_dev: 3000.0, min: 300, max: 60_000 },
    ];
    for input_tokens in lengths {
        for block_size in [1, 8, 16, 32] {
            for ratio in [0.05, 0.3, 0.5, 0.777, 0.85] {
                let workload = WorkloadSettings {
                    input_tokens: input_tokens.clone(),
                    output_tokens: constant(1),
                    ..WorkloadSettings::default()
                };
                let mut source = Generator::new(&workload, 10.0, num_requests, 42, 0);
                let queried: u64 =
                    std::iter::from_fn(|| source.next_request()).map(|request| u64::from(request.input_tokens)).sum();
                let source = Generator::new(&workload, 10.0, num_requests, 42, 0);
                let latency = blackbox([0.0; 3], [1000.0, 0.0, 0.0]);
                let (_, totals) = run(given(ratio, block_size), latency, source, Mode::Fast);
                assert_eq!(totals.prefix_cache.queried_tokens, queried);
                let off = totals.prefix_cache.hit_tokens as f64 - ratio * queried as f64;
                let most = 4.9 * 0.5 * f64::from(num_requests).sqrt() * f64::from(block_size);
                assert!(off.abs() <= most, "{input_tokens:?}, blocks of {block_size}, ratio {ratio}: {off} tokens");
            }
        }
    }
}

/// The scenario of the page with 60 % cached: its report says 60 %, to a part in two hundred.
#[test]
fn a_report_shows_what_was_given() {
    let mut scenario = Scenario::default();
    scenario.workload.prefix_hit_ratio = 0.6;
    let resolved = scenario.resolve(catalog()).expect("it resolves").value;
    let source = Source::of_run(&resolved.workload, None, resolved.seed, resolved.engine.horizon);
    let mut collector = Collector::detailed(ReportSettings {
        slo: resolved.slo.clone(),
        slo_classes: Default::default(),
        priority: resolved.engine.priority,
        num_replicas: 1,
        num_blocks: resolved.engine.num_blocks,
        time_share_names: &[],
        classes: Vec::new(),
        tenants: Vec::new(),
    });
    let (cluster, engine) = (&resolved.cluster, resolved.engine);
    let totals = simulate(cluster, engine, resolved.latency, source, Mode::Fast, &mut collector);
    let rate = Report::new(collector, &totals).kv.prefix_cache_hit_rate.expect("tokens were queried");
    assert!((rate - 0.6).abs() < 0.003, "{rate}");
}

/// A prompt of 128 tokens, the first 64 of which both requests share: 4 blocks are found by the second one, and 2 or 6 are
/// given to both.
#[test]
fn whichever_is_more_counts_found_or_given() {
    for (ratio, computed, hits) in [(0.0, [128, 64], 4), (0.25, [96, 64], 2 + 4), (0.75, [32, 32], 6 + 6)] {
        let mut prefixes = PrefixTree::new();
        let prefix = prefixes.extend(PrefixId::NONE, 64);
        let request = |id, arrive| Request { prefix, ..Request::plain(id, SimTime(arrive), 128, 1) };
        let names = || vec![String::new()];
        let trace = Arc::new(Trace::new(vec![request(0, 0), request(1, 1_000_000)], prefixes, names(), names()));
        for mode in [Mode::Step, Mode::Fast] {
            let latency = blackbox([0.0; 3], [1000.0, 10.0, 5.0]);
            let (log, totals) = run(given(ratio, 16), latency, TraceSource::new(Arc::clone(&trace)), mode);
            let ttfts: Vec<_> = log.records.iter().map(|record| record.ttft.map(|time| time.0)).collect();
            assert_eq!(ttfts, computed.map(|tokens| Some(1000 + 10 * tokens)), "ratio {ratio}, {mode:?}");
            assert_eq!((totals.cache_hits, totals.cache_misses), (hits, 16 - hits), "ratio {ratio}, {mode:?}");
        }
    }
}
