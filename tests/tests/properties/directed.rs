//! Cases that chance does not make, in both modes.

use super::case::{Case, Timing};
use plimsoll_core::engine::Mode;
use plimsoll_core::observation::JumpCounts;
use plimsoll_core::scenario::{CpuTierConfig, EngineConfig};
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
