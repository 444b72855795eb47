//! Cases that chance does not make, in both modes.

use super::case::{Case, Timing};
use super::cluster::{Heard, run};
use plimsoll_core::engine::Mode;
use plimsoll_core::observation::JumpCounts;
use plimsoll_core::scenario::{ClusterConfig, CpuTierConfig, EngineConfig, RoutingConfig, ScorerName, ScorerWeight};
use plimsoll_core::time::SimTime;
use plimsoll_core::workload::{PrefixId, PrefixTree, Request};

/// Blocks of 4 tokens, steps of 1,000 µs and 10 µs per prompt token, requests that share what the first `shared` tokens
/// of the one prefix are.
fn case(num_blocks: u32, tier_blocks: u32, shared: u32, sizes: &[(i64, u32, u32)]) -> Case {
    let mut prefixes = PrefixTree::new();
    let prefix = prefixes.extend(PrefixId::NONE, shared);
    let requests = (0..).zip(sizes).map(|(id, (arrive, input_tokens, output_tokens))| Request {
        answer_limit: 0,
        prefix,
        ..Request::plain(id, SimTime(*arrive), *input_tokens, *output_tokens)
    });
    Case {
        engine: EngineConfig {
            block_size: 4,
            max_num_seqs: 8,
            max_num_batched_tokens: 64,
            cpu_tier: Some(CpuTierConfig { num_blocks: tier_blocks, tokens_per_us: 0.5, base_latency: SimTime(100) }),
            ..EngineConfig::new(num_blocks)
        },
        timing: Timing::Blackbox { alpha: [0.0; 3], beta: [1_000.0, 10.0, 0.0] },
        requests: requests.collect(),
        prefixes,
    }
}

/// More blocks and more host memory than there is memory: they are made when they are first taken.
#[test]
fn a_thousand_million_blocks_cost_nothing_until_they_are_taken() {
    let case = case(1_000_000_000, 1_000_000_000, 16, &[(0, 20, 30), (0, 24, 9), (90_000, 20, 5)]);
    let step = case.run(Mode::Step, u64::MAX);
    let mut fast = case.run(Mode::Fast, u64::MAX);
    assert!(std::mem::take(&mut fast.totals.jumps).long_windows > 0);
    assert_eq!(fast, step);
    // The second and the third find the 16 shared tokens of the first in four blocks. By hand: 20 + 30 tokens fill 12 blocks and begin
    // one, of the second 24 + 9 fill 8 and begin one, of the third 20 + 5 fill 6 and begin one; what host memory holds is
    // what is full before the last token: 12 + 8 + 6, but each of the four shared ones once.
    assert_eq!((step.totals.completed, step.totals.cache_hits), (3, 2 * 4));
    assert_eq!((step.totals.tier_mirrored, step.totals.tier_evicted), (12 + 8 + 6 - 2 * 4, 0));
    assert_eq!(step.totals.jumps, JumpCounts::default());
}

/// A request waits for one block. The one that decodes fills a block of the waiting prompt, and in that step alone the
/// prompt needs no more than is free: in the next the other has finished, or taken another block.
#[test]
fn a_block_that_is_filled_lets_in_whoever_waits_for_it_in_the_same_step() {
    for (num_blocks, output_tokens, failures) in [(11, 5, 2), (12, 5, 1), (11, 6, 1)] {
        let mut case = case(num_blocks, 1, 4, &[(0, 4, output_tokens), (2_500, 44, 1)]);
        case.engine.cpu_tier = None;
        let first = &mut case.requests[0];
        // The answer's first four tokens come back behind the prompt's four.
        first.output_prefix = case.prefixes.extend(first.prefix, 4);
        case.requests[1].prefix = first.output_prefix;

        let step = case.run(Mode::Step, u64::MAX);
        let mut fast = case.run(Mode::Fast, u64::MAX);
        fast.totals.jumps = JumpCounts::default();
        assert_eq!(fast, step, "{num_blocks} blocks, {output_tokens} tokens");
        // By hand: the first is done with its prompt at 1,040 and decodes from positions 4, 5, 6 and 7 in steps of a
        // millisecond. The second comes in the second of these and needs 11 blocks less those it finds. In the third it
        // finds one and 2 of the blocks are held, in the fourth it finds two: 9 of 9 that are free, where there are 11.
        let delay = if num_blocks == 11 { 4_040 - 2_500 } else { 3_040 - 2_500 };
        let second = step.records.iter().find(|record| record.request.id == 1).expect("both are told");
        assert_eq!(second.scheduling_delay, Some(SimTime(delay)));
        // Nothing is free for the last token of the second, nor for that of the first where both end in one step.
        assert_eq!(step.totals.kv_allocation_failures, failures);
    }
}

/// The slowest models that are accepted, prompts as long as they may be, a slow host, arrivals as late as a trace may
/// have them: nothing overflows, and the clock ends at 2·10¹⁷ µs in both modes.
#[test]
fn extreme_times_do_not_overflow() {
    let late = 100_000_000_000_000_000;
    // Its thousand steps of at least 1,000 s do not fit any more.
    let last = 2 * late - 1_000_000_000_000;
    let sizes = [(-late, 16_000_000, 300), (0, 70, 120_000), (1, 9, 20), (late, 16_777_216, 30), (last, 1, 1000)];
    for timing in [
        Timing::Blackbox { alpha: [1e9; 3], beta: [1e9; 3] },
        Timing::Quadratic { alpha: [1e9; 4], beta: [1e3; 15] },
        Timing::Calibrated { alpha: [1e9; 3], beta: [1e9, 1e9, 1e9, 1e9, 1e9, 1e9, 0.0, 1e9] },
    ] {
        let mut case = Case { timing, ..case(20_000_000, 100_000_000, 8, &sizes) };
        case.engine.block_size = 1024;
        case.engine.max_num_batched_tokens = 16_777_216;
        case.engine.cpu_tier =
            Some(CpuTierConfig { num_blocks: 100_000, tokens_per_us: 1e-6, base_latency: SimTime(4_294_967_295) });
        let step = case.run(Mode::Step, u64::MAX);
        let mut fast = case.run(Mode::Fast, u64::MAX);
        fast.totals.jumps = JumpCounts::default();
        assert_eq!(fast, step);
        assert!((last..=2 * late).contains(&step.totals.end.0), "{:?}", step.totals.end);
        assert_eq!((step.totals.completed, step.totals.still_running), (4, 1));
    }
}

/// A reloaded block closes a gap behind which everything is in memory: more of the prompt is found than the chunk has, and
/// only what the chunk has is claimed.
#[test]
fn a_chunk_claims_no_more_than_its_own_blocks_when_a_reload_finds_more() {
    let mut case = case(7, 100, 8, &[(0, 9, 1), (0, 17, 11), (0, 1, 6), (6_000, 20, 2)]);
    case.engine.long_prefill_token_threshold = 6;
    case.engine.horizon = SimTime(7_000);
    let long = case.prefixes.extend(case.requests[0].prefix, 8);
    for (request, prefix) in case.requests.iter_mut().skip(1).zip([long, PrefixId::NONE, long]) {
        request.prefix = prefix;
    }
    let step = case.run(Mode::Step, u64::MAX);
    let mut fast = case.run(Mode::Fast, u64::MAX);
    fast.totals.jumps = JumpCounts::default();
    assert_eq!(fast, step);
    // By hand, in chunks of 6 tokens. At 0 the second finds the first block of the first, and fills its own second before the
    // first fills one with the same content at 1,130: the index has the second block of the first request, which is
    // done at 2,220, and the third and fourth of the second. The one given back is taken at 4,230, when the third
    // request has decoded three tokens, so that at 6,230 the last finds one block in memory. One is free where tokens 4
    // to 9 need two; the second block is reloaded into it, and the third and fourth are found too. Three are claimed.
    assert_eq!((step.totals.cache_hits, step.totals.kv_peak, step.totals.preemptions), (1 + 3, 7, 0));
    let ends: Vec<i64> = step.records.iter().filter_map(|record| record.e2e).map(|end| end.0).collect();
    assert_eq!(ends, [2_220, 6_230]);
}

/// Two replicas of a router that prefers short queues: a request goes to the second only while one waits at the first.
pub fn routed(case: &Case) -> Heard {
    let scorer = ScorerWeight { name: ScorerName::LoadAware, weight: 1.0 };
    let routing = RoutingConfig::Weighted(vec![scorer]);
    let cluster = ClusterConfig { num_replicas: 2, routing, ..ClusterConfig::single() };
    let step = run(case, &cluster, Mode::Step, u64::MAX, Some(0));
    assert_eq!(run(case, &cluster, Mode::Fast, u64::MAX, Some(0)), step);
    step
}

/// The score of a replica where so many wait (cluster specification 5.1).
pub fn score(waiting: u32) -> f64 {
    0.5 * (1.0 - f64::from(waiting) / 128.0)
}

/// As above, with a router that looks twice meanwhile: at 2,600, where the third request finds one waiting and goes to the
/// other replica, and at 4,600, when the block that was filled in the step of 4,040 has let it in.
#[test]
fn a_router_sees_that_a_filled_block_has_let_somebody_in() {
    let mut case = case(11, 1, 4, &[(0, 4, 8), (2_500, 44, 1), (2_600, 4, 2), (4_600, 4, 2)]);
    case.engine.cpu_tier = None;
    case.requests[0].output_prefix = case.prefixes.extend(case.requests[0].prefix, 4);
    case.requests[1].prefix = case.requests[0].output_prefix;
    let scores: Vec<Vec<f64>> = routed(&case).routings.into_iter().map(|decision| decision.scores).collect();
    assert_eq!(scores, [[score(0); 2], [score(0); 2], [score(1), score(0)], [score(0); 2]]);
}

/// Two decode in a batch of two, and the third waits. By hand: prompts at 0 and, with a decode step, at 2,040; from 3,080 on both
/// decode, in four blocks of which the second request has two. At 4,500 nobody is done for a long time, but at 5,080 the
/// first needs a fifth block and the second is preempted: at 5,500 two wait.
#[test]
fn a_router_sees_that_somebody_was_preempted() {
    let mut case = case(4, 1, 0, &[(0, 4, 12), (1_500, 4, 12), (2_600, 4, 2), (4_500, 4, 2), (5_500, 4, 2)]);
    case.engine.cpu_tier = None;
    case.engine.max_num_seqs = 2;
    let heard = routed(&case);
    let scores: Vec<Vec<f64>> = heard.routings.into_iter().map(|decision| decision.scores).collect();
    let quiet = [score(0); 2];
    assert_eq!(scores, [quiet, quiet, quiet, [score(1), score(0)], [score(2), score(0)]]);
    assert!(heard.totals.total.preemptions > 0);
}
