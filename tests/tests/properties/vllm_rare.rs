//! Turns of vLLM's rules that chance hardly takes: who is admitted by which call with how many cached tokens, by hand.
//!
//! Steps take 10 ms and blocks hold 4 tokens, as in [`super::vllm_directed`].
//! Call `i` plans step `i`: synchronously the calls of a busy replica are 10 ms apart from the first arrival on, and
//! asynchronously calls 0 and 1 come at the first arrival and the others 10 ms apart, but after a call that plans nothing.

use super::case::Case;
use super::directed::{routed, score};
use super::vllm::{Told, run as run_mode};
use super::vllm_directed::case;
use plimsoll_core::engine::{Engine, Mode};
use plimsoll_core::observation::{Fate, JumpCounts, Plan};
use plimsoll_core::scenario::{Batching, QueueOrder, Rules, VllmRules};
use plimsoll_core::time::SimTime;
use plimsoll_core::workload::{PrefixId, PrefixTree};

/// What both modes tell.
fn run(case: &Case) -> Told {
    let step = run_mode(case, Mode::Step, u64::MAX);
    let mut fast = run_mode(case, Mode::Fast, u64::MAX);
    fast.totals.jumps = JumpCounts::default();
    assert_eq!(fast, step);
    step
}

/// Call, id and cached tokens of every admission, those after a preemption too.
fn admissions(told: &Told) -> Vec<(u64, u32, u32)> {
    let of_plan = |plan: &Plan| {
        let all: Vec<_> =
            plan.admitted.iter().chain(&plan.resumed).map(|(id, cached)| (plan.call, *id, *cached)).collect();
        all
    };
    told.plans.iter().flat_map(of_plan).collect()
}

/// The call that preempts, and whom, in order.
fn preemptions(told: &Told) -> Vec<(u64, u32)> {
    told.plans.iter().flat_map(|plan| plan.preempted.iter().map(|id| (plan.call, *id))).collect()
}

/// The rules of release 0.32 with priorities, of each request in order of ids.
fn by_priority(case: &mut Case, batching: Batching, priorities: &[i32]) {
    let rules = VllmRules { batching, order: QueueOrder::Priority, does_pass_go_on: false, ..VllmRules::default() };
    case.engine.rules = Rules::VllmV1(rules);
    for (request, priority) in case.requests.iter_mut().zip(priorities) {
        request.priority = *priority;
    }
}

/// The prompt and the first answer tokens of request `first` are the first `tokens` tokens of the prompt of `second`.
fn answer_comes_back(case: &mut Case, first: usize, second: usize, tokens: u32) {
    let prompt = case.requests[first].input_tokens;
    let prefix = case.prefixes.extend(PrefixId::NONE, prompt);
    let longer = case.prefixes.extend(prefix, tokens - prompt);
    (case.requests[first].prefix, case.requests[first].output_prefix) = (prefix, longer);
    case.requests[second].prefix = longer;
}

/// B4, D3 before D4: 4 tokens and the first 4 answers fill two blocks, the second with the last token that is stored. It
/// has its key when the request finishes, though asynchronously no step behind has published it.
#[test]
fn the_last_block_of_a_finished_request_can_be_found() {
    for batching in [Batching::Sync, Batching::Async, Batching::V0] {
        let mut case = case(10, batching, &[(0, 4, 5), (100_000, 12, 1)]);
        answer_comes_back(&mut case, 0, 1, 8);
        let told = run(&case);
        let cached: Vec<u32> = admissions(&told).iter().map(|(_, _, cached)| *cached).collect();
        assert_eq!(cached, [0, 8], "{batching:?}");
    }
}

/// E3 and D3: `b` holds 2 of 3 blocks and stands before `c`, which has 1. The fifth call behind the first, at 40 ms, lacks a
/// block for `b`, which is its own victim and ends the pass: nothing is planned. So all of `c` is known when the next call, at
/// 50 ms, plans its token 3; it fills the first block, which has its key at once, and `d` finds it in the same call.
/// The blocks of `d` and `c` are those that `b` has lost, so `b` finds nothing when `c` has left with call 9.
#[test]
fn a_request_that_missed_a_step_fills_a_block_that_is_found_in_the_same_call() {
    let mut case = case(4, Batching::Async, &[(0, 4, 6), (1_000, 1, 5), (45_000, 8, 1)]);
    by_priority(&mut case, Batching::Async, &[2, 1, 0]);
    answer_comes_back(&mut case, 1, 2, 4);
    let told = run(&case);
    assert_eq!(preemptions(&told), [(5, 0)]);
    assert!(told.plans[5].scheduled.is_empty());
    assert_eq!(admissions(&told), [(0, 0, 0), (2, 1, 0), (6, 2, 4), (9, 0, 0)]);
}

/// As above behind an `a` that is served, so that the calls stay 10 ms apart. `c` goes on with call 6, at 50 ms, fills its block
/// and gives up at 55 ms: the block stays cached, and `d` finds it at 60 ms.
#[test]
fn a_request_that_gives_up_behind_a_missed_step_leaves_what_it_has_filled() {
    let mut case = case(6, Batching::Async, &[(0, 1, 8), (0, 4, 6), (1_000, 1, 8), (57_000, 8, 1)]);
    by_priority(&mut case, Batching::Async, &[0, 2, 1, 0]);
    answer_comes_back(&mut case, 2, 3, 4);
    case.requests[2].deadline = SimTime(55_000);
    let told = run(&case);
    assert_eq!(preemptions(&told), [(5, 1)]);
    assert_eq!(admissions(&told), [(0, 0, 0), (0, 1, 0), (2, 2, 0), (7, 3, 4), (9, 1, 4)]);
}

/// `a`, `b`, `c` and `d` hold 2, 1, 1 and 1 of 5 blocks. Call 6 lacks one for `b`, its own victim, and call 7 gives that to
/// `a` and lacks one for `c`, its own victim too: `d` misses both. Its last token comes out between them and fills its
/// block, which is cached from then on. It gives up at 65 ms, and `e` finds the block at 70 ms.
#[test]
fn what_comes_out_while_a_request_misses_steps_is_cached() {
    let sizes = [(0, 2, 9), (1_000, 1, 6), (11_000, 2, 5), (21_000, 3, 9), (67_000, 8, 1)];
    let mut case = case(6, Batching::Async, &sizes);
    by_priority(&mut case, Batching::Async, &[0, 3, 2, 1, 0]);
    answer_comes_back(&mut case, 3, 4, 4);
    case.requests[3].deadline = SimTime(65_000);
    let told = run(&case);
    assert_eq!(preemptions(&told), [(6, 1), (7, 2)]);
    let resumed = [(10, 2, 0), (10, 1, 0)];
    let admitted = [(0, 0, 0), (2, 1, 0), (3, 2, 0), (4, 3, 0), (8, 4, 4)];
    assert_eq!(admissions(&told), [&admitted[..], &resumed[..]].concat());
}

/// B5 of a victim: `z` leaves one cached block. The prompt of `p` has 7 of its 20 tokens in 2 of 5 blocks, and 7 more need two
/// where that one is free: it is its own victim. Its second block has no key and is the next one taken, so `d` takes that,
/// and `e` finds what `z` has left.
#[test]
fn the_blocks_of_a_victim_without_a_key_are_taken_before_cached_ones() {
    let sizes = [(0, 4, 1), (0, 1, 6), (0, 1, 6), (1_000, 20, 1), (25_000, 3, 1), (25_000, 8, 1)];
    let mut case = case(6, Batching::Sync, &sizes);
    by_priority(&mut case, Batching::Sync, &[0, 0, 0, 2, 0, 0]);
    if let Rules::VllmV1(rules) = &mut case.engine.rules {
        rules.reserve_full_isl = false;
    }
    case.engine.max_num_batched_tokens = 9;
    let prefix = case.prefixes.extend(PrefixId::NONE, 4);
    (case.requests[0].prefix, case.requests[5].prefix) = (prefix, prefix);
    let told = run(&case);
    assert_eq!(preemptions(&told), [(2, 3)]);
    assert_eq!(admissions(&told), [(0, 0, 0), (0, 1, 0), (0, 2, 0), (1, 3, 0), (3, 4, 0), (3, 5, 4), (6, 3, 0)]);
}

/// B2 of a prompt that ends inside its prefix: `b` finds one block of the two that `a` holds, and takes one.
#[test]
fn a_prompt_that_ends_inside_its_prefix_finds_a_part_of_what_others_hold() {
    let mut case = case(20, Batching::Sync, &[(0, 12, 1), (15_000, 12, 5), (25_000, 6, 2)]);
    let prefix = case.prefixes.extend(PrefixId::NONE, 8);
    case.requests.iter_mut().for_each(|request| request.prefix = prefix);
    let told = run(&case);
    // The first is gone when the second comes at 15 ms, which is then call 2 after one that planned nothing.
    assert_eq!(admissions(&told), [(0, 0, 0), (2, 1, 8), (3, 2, 4)]);
    // Three blocks of the second, a fourth for its decode step, and one of the third.
    assert_eq!((told.plans[2].used_blocks, told.plans[3].used_blocks), (3, 5));
}

/// `v` computes 8 of 24 tokens, then lacks one of 4 blocks and is its own victim. It gives up at 25 ms and leaves two cached
/// blocks of its own, which nobody can find again. `w` fares alike with call 4: it has 6 tokens, lacks two of 4 blocks, and
/// finds with call 5 the one block it had filled.
#[test]
fn a_victim_does_not_find_what_another_victim_has_left() {
    let sizes = [(0, 8, 8), (0, 1, 3), (0, 1, 3), (0, 24, 1), (21_000, 24, 1), (21_000, 11, 2)];
    let mut case = case(11, Batching::Sync, &sizes);
    by_priority(&mut case, Batching::Sync, &[0, 0, 0, 5, 5, 0]);
    if let Rules::VllmV1(rules) = &mut case.engine.rules {
        rules.reserve_full_isl = false;
    }
    case.engine.max_num_batched_tokens = 18;
    case.requests[3].deadline = SimTime(25_000);
    let told = run(&case);
    assert_eq!(preemptions(&told), [(1, 3), (4, 4)]);
    assert_eq!(admissions(&told), [(0, 0, 0), (0, 1, 0), (0, 2, 0), (0, 3, 0), (3, 5, 0), (3, 4, 0), (5, 4, 4)]);
}

/// `c` decodes in 2 of 10 blocks, and `d` needs 10 less those it finds: 9 of the 8 that are free, until the step that is
/// planned at 40 ms fills the second block of `c`.
fn waits_for_a_fill(more: &[(i64, u32, u32)]) -> Case {
    let mut case = case(11, Batching::Sync, &[&[(0, 4, 6), (15_000, 40, 1)], more].concat());
    // So that the prompt has not come to its last blocks when `c` takes a third one.
    case.engine.max_num_batched_tokens = 9;
    answer_comes_back(&mut case, 0, 1, 8);
    case
}

/// G 5: neither does a window reach over that step, nor does one begin with it.
#[test]
fn a_block_that_is_filled_lets_in_whoever_waits_for_it_in_the_same_call() {
    let told = run(&waits_for_a_fill(&[]));
    assert_eq!(admissions(&told), [(0, 0, 0), (4, 1, 8)]);
}

/// A router looks at 16 ms, when one waits at the first replica, and at 45 ms, when that one has been let in.
#[test]
fn a_router_sees_that_a_filled_block_has_let_somebody_in_under_vllm_s_rules() {
    let case = waits_for_a_fill(&[(16_000, 4, 2), (45_000, 4, 2)]);
    let scores: Vec<Vec<f64>> = routed(&case).routings.into_iter().map(|decision| decision.scores).collect();
    assert_eq!(scores, [[score(0); 2], [score(0); 2], [score(1), score(0)], [score(0); 2]]);
}

/// Two decode in a batch of two and the third waits: at 30 ms the second takes the last of 4 blocks, and at 50 ms the first needs
/// one. A router that looks at 45 and 55 ms sees one waiting, and two.
#[test]
fn a_router_sees_that_somebody_was_preempted_under_vllm_s_rules() {
    let sizes = [(0, 4, 12), (15_000, 4, 12), (26_000, 4, 2), (45_000, 4, 2), (55_000, 4, 2)];
    let mut case = case(5, Batching::Sync, &sizes);
    case.engine.max_num_seqs = 2;
    let heard = routed(&case);
    let scores: Vec<Vec<f64>> = heard.routings.into_iter().map(|decision| decision.scores).collect();
    let quiet = [score(0); 2];
    assert_eq!(scores, [quiet, quiet, quiet, [score(1), score(0)], [score(2), score(0)]]);
    assert!(heard.totals.total.preemptions > 0);
}

/// C2c: of 12 tokens that call 3 may have, `v` gets the first and `a`, which lacks a block, the second. `v` is the victim and gives
/// its token back, so the prompt `p`, of which call 2 has computed 12 - 1 - 4 tokens, gets 11.
#[test]
fn the_token_of_a_victim_is_there_for_those_behind() {
    let mut case = case(10, Batching::Sync, &[(0, 20, 4), (11_000, 4, 8), (11_000, 18, 1)]);
    by_priority(&mut case, Batching::Sync, &[2, 0, 1]);
    if let Rules::VllmV1(rules) = &mut case.engine.rules {
        rules.reserve_full_isl = false;
    }
    case.engine.max_num_batched_tokens = 12;
    let told = run(&case);
    assert_eq!(preemptions(&told), [(3, 0)]);
    let parts = told.plans[3].scheduled.iter().map(|part| (part.id, part.tokens, part.computed));
    assert_eq!(parts.collect::<Vec<_>>(), [(1, 1, 4), (2, 11, 7)]);
}

/// C2 in list order: call 1 computes tokens 3 to 5 of the prompt `p`, then token 3 of `c`, and both fill a block with the
/// same content. That of `p` is the first, so it is what `d` finds with call 4, when `p` has left: one block leaves the
/// free queue with it, and one more is taken.
#[test]
fn a_prompt_that_stands_before_a_decode_has_its_key_first() {
    let mut case = case(21, Batching::Sync, &[(0, 12, 1), (0, 3, 12), (35_000, 8, 1)]);
    case.engine.long_prefill_token_threshold = 3;
    answer_comes_back(&mut case, 1, 0, 4);
    case.requests[2].prefix = case.requests[0].prefix;
    let told = run(&case);
    assert_eq!(admissions(&told), [(0, 0, 0), (0, 1, 0), (4, 2, 4)]);
    assert_eq!((told.plans[4].free_before, told.plans[4].free_blocks), (18, 16));
}

/// B4 in a call that preempts: with call 3 `a` takes a block that `v` loses, and `c` fills its first one. `v` gives up at 33 ms;
/// with call 4 `c` takes one of the two that are free, and `d`, which finds the other of `c`, the last.
#[test]
fn a_block_that_is_filled_in_a_call_that_preempts_is_found_by_the_next() {
    let mut case = case(6, Batching::Sync, &[(0, 2, 8), (0, 1, 8), (0, 7, 10), (35_000, 8, 1)]);
    answer_comes_back(&mut case, 1, 3, 4);
    case.requests[2].deadline = SimTime(33_000);
    let told = run(&case);
    assert_eq!(preemptions(&told), [(3, 2)]);
    assert_eq!(admissions(&told), [(0, 0, 0), (0, 1, 0), (0, 2, 0), (4, 3, 4)]);
}

/// The last call within the horizon of 55 ms is that of 50 ms, also where a driver asks for more.
#[test]
fn an_engine_does_not_pass_its_horizon() {
    for (batching, steps) in [(Batching::Sync, 6), (Batching::Async, 7)] {
        let mut case = case(50, batching, &[(0, 4, 100)]);
        case.engine.horizon = SimTime(55_000);
        for mode in [Mode::Step, Mode::Fast] {
            let mut engine = Engine::new(case.engine, case.timing.build(1.0), mode);
            let mut told = Told::default();
            engine.submit(case.requests[0], 0);
            assert!(engine.advance(i64::MAX, u64::MAX, &PrefixTree::new(), &mut told));
            let totals = engine.finish(&mut told);
            assert_eq!((totals.steps, totals.end, totals.still_running), (steps, SimTime(50_000), 1));
            assert_eq!(told.records[0].fate, Fate::StillRunning);
        }
    }
}
