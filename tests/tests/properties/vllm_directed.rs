//! Runs under vLLM's rules whose outcome is derived by hand, in both modes.

use super::case::{Case, Timing, Told};
use plimsoll_core::engine::Mode;
use plimsoll_core::observation::{Fate, JumpCounts};
use plimsoll_core::scenario::{Batching, EngineConfig, Rules, VllmRules};
use plimsoll_core::time::SimTime;
use plimsoll_core::workload::{PrefixTree, Request};

/// Steps of 10 ms, blocks of 4 tokens; requests by arrival in µs, prompt and answer.
pub fn case(num_blocks: u32, batching: Batching, sizes: &[(i64, u32, u32)]) -> Case {
    let requests = (0..).zip(sizes).map(|(id, (arrive, input_tokens, output_tokens))| Request {
        answer_limit: 0,
        ..Request::plain(id, SimTime(*arrive), *input_tokens, *output_tokens)
    });
    Case {
        engine: EngineConfig {
            block_size: 4,
            max_num_batched_tokens: 16,
            max_num_seqs: 8,
            rules: Rules::VllmV1(VllmRules { batching, ..VllmRules::default() }),
            ..EngineConfig::new(num_blocks)
        },
        timing: Timing::Blackbox { alpha: [0.0; 3], beta: [10_000.0, 0.0, 0.0] },
        requests: requests.collect(),
        prefixes: PrefixTree::new(),
    }
}

/// What both modes tell.
fn run(case: &Case) -> Told {
    let step = case.run(Mode::Step, u64::MAX);
    let mut fast = case.run(Mode::Fast, u64::MAX);
    fast.totals.jumps = JumpCounts::default();
    assert_eq!(fast, step);
    step
}

/// TTFT and E2E of each request in milliseconds, by id.
fn latencies(told: &Told) -> Vec<[i64; 2]> {
    let mut records = told.records.clone();
    records.sort_by_key(|record| record.request.id);
    let ms = |time: Option<SimTime>| time.map_or(-1, |time| time.0 / 1_000);
    records.iter().map(|record| [ms(record.ttft), ms(record.e2e)]).collect()
}

/// Three requests, 8 blocks less the server's own one. The tables of the calls stand in `docs/scheduling.md`.
const THREE: [(i64, u32, u32); 3] = [(0, 8, 6), (0, 7, 6), (5_000, 4, 4)];

/// Tokens of `c` at 20, 70, 80 and 90 ms: it is preempted by the call at 20 and resumes with the one at 60.
#[test]
fn a_victim_keeps_its_first_token_and_its_stall_is_one_gap() {
    let told = run(&case(8, Batching::Sync, &THREE));
    assert_eq!(latencies(&told), [[10, 60], [10, 60], [15, 85]]);
    assert_eq!(told.totals.gaps, [(10_000, 12), (50_000, 1)]);
    let totals = &told.totals;
    assert_eq!((totals.steps, totals.preemptions, totals.kv_peak), (9, 1, 7));
    // After each of the nine calls: 2 3 2 2 2 2 1 1 1 run, one waits in the third to the sixth, 4 6 6 6 6 7 2 2 2 blocks
    // are in use.
    assert_eq!((totals.running_sum, totals.waiting_sum), (16, 4));
    assert_eq!((totals.kv_integral, totals.busy), (41 * 10_000, 90_000));
    // The third call preempts, and the three behind it refuse the one that waits.
    assert_eq!((totals.limiters.kv_blocks, totals.limiters.none), (4, 5));
}

/// Tokens of `c` at 30, 70, 80 and 90 ms: planned at 10, the first is on its way when the call at 20 preempts `c`, and comes.
#[test]
fn a_token_that_was_on_its_way_reaches_a_victim() {
    let told = run(&case(8, Batching::Async, &THREE));
    assert_eq!(latencies(&told), [[10, 60], [10, 60], [25, 85]]);
    assert_eq!(told.totals.gaps, [(10_000, 12), (40_000, 1)]);
    assert_eq!((told.totals.steps, told.totals.preemptions), (9, 1));
}

/// One more block: now the call at 40 preempts `c` when its last token but one is on its way, and it finds its first block.
#[test]
fn a_victim_resumes_with_what_is_left_of_its_blocks() {
    let told = run(&case(9, Batching::Async, &THREE));
    assert_eq!(latencies(&told), [[10, 60], [10, 60], [25, 65]]);
    assert_eq!(told.totals.gaps, [(10_000, 12), (20_000, 1)]);
    let cache = &told.totals.prefix_cache;
    assert_eq!((cache.resumed_queried_tokens, cache.resumed_hit_tokens), (7, 4));
}

/// Two prompts of 8 tokens, half of each given, on 5 blocks. By hand: `a` computes its other half at 0, `c` at 14. The call
/// at 28 preempts `c`, which has one token and needs a third block; `a` takes the fourth and the fifth, with which nothing
/// of `c` is left to be found, and leaves at 108. `c` then has the first of its blocks as it was given to it at first, and
/// computes the 5 known tokens behind it.
#[test]
fn a_victim_has_the_given_share_of_its_prompt_again() {
    let mut case = case(6, Batching::Sync, &[(0, 8, 10), (5_000, 8, 4)]);
    if let Rules::VllmV1(rules) = &mut case.engine.rules {
        rules.prefix_hit_ratio = 0.5;
    }
    // 1 ms more for each token of a prompt.
    case.timing = Timing::Blackbox { alpha: [0.0; 3], beta: [10_000.0, 1_000.0, 0.0] };
    let told = run(&case);
    // `a`: 14 ms, 14 with the prompt of `c`, then 8 steps of 10. `c`: 15 ms, and three tokens after 108.
    assert_eq!(latencies(&told), [[14, 108], [23, 138]]);
    assert_eq!(told.totals.preemptions, 1);
    let cache = &told.totals.prefix_cache;
    assert_eq!((cache.queried_tokens, cache.hit_tokens), (16, 8));
    assert_eq!((cache.resumed_queried_tokens, cache.resumed_hit_tokens), (9, 4));
}

/// By hand: prompts of `a` and `b` until 10 ms, that of `c` until 20, then all decode once. At 30 `b` needs a third block
/// and `c` is preempted with two answers; `a` and `b` go on until 70, since `c` would need two of the one block that is
/// free, and `c` computes six tokens until 80 and decodes until 90.
#[test]
fn steps_of_prompts_alone_are_gaps_of_those_who_decode() {
    let told = run(&case(8, Batching::V0, &THREE));
    assert_eq!(latencies(&told), [[10, 70], [10, 70], [15, 85]]);
    assert_eq!(told.totals.gaps, [(10_000, 10), (20_000, 2), (50_000, 1)]);
    assert_eq!((told.totals.steps, told.totals.preemptions), (9, 1));
}

/// Fates and counted tokens of requests, each of which is alone.
fn fates(case: &Case) -> Vec<(Fate, u32)> {
    let mut told = run(case);
    told.records.sort_by_key(|record| record.request.id);
    told.records.iter().map(|record| (record.fate, record.produced_tokens)).collect()
}

/// Eight blocks hold the 32 tokens of `max_model_len`.
#[test]
fn the_door_refuses_prompts_without_room_and_absurd_limits_and_cuts_the_rest() {
    let sizes =
        [(0, 32, 1), (100_000, 31, 5), (200_000, 8, 30), (800_000, 10, 22), (1_200_000, 8, 4), (1_300_000, 8, 4)];
    let mut case = case(9, Batching::Async, &sizes);
    case.engine.max_model_len = 32;
    // At the limit, and beyond it.
    case.requests[4].answer_limit = 32;
    case.requests[5].answer_limit = 33;
    assert_eq!(
        fates(&case),
        [
            (Fate::Dropped, 0),
            (Fate::LengthCapped, 1),
            (Fate::LengthCapped, 24),
            (Fate::Completed, 22),
            (Fate::Completed, 4),
            (Fate::Dropped, 0),
        ]
    );
}

/// Of a sequence that fills all blocks to the last token but one, which is never stored, nothing is in the way.
#[test]
fn without_a_model_length_the_door_refuses_what_would_not_fit_alone() {
    let case = case(9, Batching::Sync, &[(0, 8, 25), (1_000_000, 8, 26), (2_000_000, 32, 1), (3_000_000, 33, 1)]);
    assert_eq!(fates(&case), [(Fate::Completed, 25), (Fate::Dropped, 0), (Fate::Completed, 1), (Fate::Dropped, 0)]);
}

/// The step with the last token begins at 50 ms, and is planned then, or asynchronously at 40. A deadline at that tick
/// comes behind the call.
#[test]
fn a_deadline_is_too_late_once_the_last_token_is_planned() {
    for (batching, deadline, fate) in [
        (Batching::Sync, 45_000, Fate::TimedOut),
        (Batching::Sync, 50_000, Fate::Completed),
        (Batching::Async, 35_000, Fate::TimedOut),
        (Batching::Async, 40_000, Fate::Completed),
    ] {
        let mut case = case(8, batching, &[(0, 8, 6)]);
        case.requests[0].deadline = SimTime(deadline);
        let told = run(&case);
        assert_eq!(
            told.records.iter().map(|record| record.fate).collect::<Vec<_>>(),
            [fate],
            "{batching:?} {deadline}"
        );
    }
}
