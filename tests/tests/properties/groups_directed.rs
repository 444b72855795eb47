//! The worked examples of the life of blocks, in both modes: `docs/memory.md` has the tables.

use super::case::{Case, Timing};
use super::vllm::{Told, run as tell};
use plimsoll_core::engine::Mode;
use plimsoll_core::observation::{Fate, JumpCounts};
use plimsoll_core::scenario::{
    Batching, EngineConfig, GroupKind, GroupRun, KvGroups, QueueOrder, Retention, Rules, VllmRules,
};
use plimsoll_core::time::SimTime;
use plimsoll_core::workload::{PrefixId, PrefixTree, Request};

const FULL: GroupKind = GroupKind::Full;
const STATE: GroupKind = GroupKind::State { exports_checkpoint: false };
const EXPORTED: GroupKind = GroupKind::State { exports_checkpoint: true };

/// One group of each kind on blocks of `size` tokens, steps of 10 ms planned synchronously.
fn case(kinds: &[GroupKind], size: u32, retention: Retention, requests: Vec<Request>) -> Case {
    let runs: Vec<GroupRun> = kinds.iter().map(|kind| GroupRun { kind: *kind, block_size: size, count: 1 }).collect();
    let mut groups = KvGroups::new(&runs).expect("one of each kind");
    groups.retention = retention;
    let rules = VllmRules { batching: Batching::Sync, order: QueueOrder::Fcfs, groups, ..VllmRules::default() };
    Case {
        engine: EngineConfig {
            block_size: size,
            max_num_batched_tokens: 2048,
            rules: Rules::VllmV1(rules),
            ..EngineConfig::new(2000)
        },
        timing: Timing::Blackbox { alpha: [0.0; 3], beta: [10_000.0, 0.0, 0.0] },
        requests,
        prefixes: PrefixTree::new(),
    }
}

/// What both modes tell.
fn run(case: &Case) -> Told {
    let step = tell(case, Mode::Step, u64::MAX);
    let mut fast = tell(case, Mode::Fast, u64::MAX);
    fast.totals.jumps = JumpCounts::default();
    assert_eq!(fast, step);
    step
}

/// Blocks in use after the steps that have computed so many tokens of the only request.
fn used(case: &Case, tokens: &[u32]) -> Vec<u32> {
    let told = run(case);
    let after = |wanted: &u32| {
        let is_it = |plan: &&plimsoll_core::observation::Plan| {
            plan.scheduled.first().is_some_and(|part| part.computed + part.tokens == *wanted)
        };
        told.plans.iter().find(is_it).map_or(u32::MAX, |plan| plan.used_blocks)
    };
    tokens.iter().map(after).collect()
}

fn alone(input_tokens: u32, output_tokens: u32) -> Vec<Request> {
    vec![Request { answer_limit: 0, ..Request::plain(0, SimTime::ZERO, input_tokens, output_tokens) }]
}

/// Of a window of 64 tokens stays what the next token looks back to, and what the step before needed until the next one
/// begins. Blocks of the full and of the sliding layers: 6 + 6, 12 + 10, 13 + 5, 13 + 5, 13 + 4, 14 + 5, 14 + 4, 15 + 4.
#[test]
fn blocks_that_have_left_a_window_come_back_with_the_next_step() {
    let mut case = case(&[FULL, GroupKind::Sliding { window: 64 }], 16, Retention::Boundaries, alone(200, 42));
    case.engine.max_num_batched_tokens = 96;
    let tokens = [96, 192, 200, 201, 208, 216, 224, 240];
    assert_eq!(used(&case, &tokens), [12, 22, 18, 18, 17, 19, 18, 19]);
}

/// Full and chunked layers: 6 + 6, 12 + 8, 13 + 1, 16 + 4, 16 + 4, 17 + 1.
#[test]
fn a_chunk_comes_back_as_a_whole_when_the_next_begins() {
    let mut case = case(&[FULL, GroupKind::Chunked { chunk: 64 }], 16, Retention::Boundaries, alone(200, 60));
    case.engine.max_num_batched_tokens = 96;
    assert_eq!(used(&case, &[96, 192, 200, 255, 256, 257]), [12, 20, 14, 20, 20, 18]);
}

/// Full layers and states in blocks of 64: 2 + 1, 4 + 2, 5 + 2, 5 + 1, 5 + 1, 6 + 2, 6 + 1, 7 + 2; without prefix caching
/// the state stays where it is, and chunks of a prompt end where the budget does.
#[test]
fn a_state_moves_to_a_new_block_and_leaves_the_old_one_a_step_later() {
    let mut case = case(&[FULL, STATE], 64, Retention::Boundaries, alone(300, 90));
    case.engine.max_num_batched_tokens = 128;
    let tokens = [128, 256, 300, 301, 320, 321, 384, 385];
    assert_eq!(used(&case, &tokens), [3, 6, 7, 6, 6, 8, 7, 9]);
    case.engine.enable_prefix_caching = false;
    assert_eq!(used(&case, &tokens), [3, 5, 6, 6, 6, 7, 7, 8]);
}

/// A prompt of 1,224 tokens ends a step at 1,216, the last multiple of 64 below: a state can be found again only where a
/// step has ended. Where the step exports that state it takes a block more instead: 20 + 1 + 1.
#[test]
fn a_prompt_makes_two_steps_for_its_state_or_exports_it() {
    let chunks = |kind| {
        let told = run(&case(&[FULL, kind], 64, Retention::Boundaries, alone(1224, 2)));
        let first: Vec<[u32; 2]> =
            told.plans.iter().take(2).map(|plan| [plan.scheduled[0].tokens, plan.used_blocks]).collect();
        first
    };
    assert_eq!(chunks(STATE), [[1216, 20], [8, 22]]);
    assert_eq!(chunks(EXPORTED), [[1224, 22], [1, 21]]);
}

/// Of 3,000 tokens full layers need 188 blocks at once, and a window of 64 no more than 63 and the 96 of a step fill, and
/// one: 11. With a block less there is no way for the request; two windows' worth less would do if it came in parts.
#[test]
fn a_window_is_admitted_with_what_it_may_hold_instead_of_its_prompt() {
    let fate = |num_blocks| {
        let mut case = case(&[FULL, GroupKind::Sliding { window: 64 }], 16, Retention::Boundaries, alone(3000, 3));
        case.engine.max_num_batched_tokens = 96;
        case.engine.num_blocks = num_blocks;
        let told = run(&case);
        (told.records[0].fate, told.totals.kv_peak <= u64::from(num_blocks - 1))
    };
    assert_eq!(fate(188 + 11 + 1), (Fate::Completed, true));
    assert_eq!(fate(188 + 11).0, Fate::Dropped);
}

/// Tokens found by four prompts in turn that share 1,024 tokens and have 200 of their own.
fn four_prompts(kinds: &[GroupKind], size: u32, retention: Retention) -> Vec<u32> {
    let mut prefixes = PrefixTree::new();
    let prefix = prefixes.extend(PrefixId::NONE, 1024);
    let request = |id: u32| Request { prefix, ..Request::plain(id, SimTime(i64::from(id) * 1_000_000), 1224, 2) };
    let mut case = case(kinds, size, retention, (0..4).map(request).collect());
    case.prefixes = prefixes;
    run(&case).plans.iter().flat_map(|plan| &plan.admitted).map(|(_, cached)| *cached).collect()
}

/// Tokens found by the second turn of a conversation: 320 asked, 160 answered, 40 more asked.
fn next_turn(kinds: &[GroupKind], size: u32, retention: Retention) -> u32 {
    let mut prefixes = PrefixTree::new();
    let question = prefixes.extend(PrefixId::NONE, 320);
    let answer = prefixes.extend(question, 160);
    let first = Request { prefix: question, output_prefix: answer, ..Request::plain(0, SimTime::ZERO, 320, 160) };
    let second = Request { prefix: answer, ..Request::plain(1, SimTime(10_000_000), 520, 2) };
    let mut case = case(kinds, size, retention, vec![first, second]);
    case.prefixes = prefixes;
    run(&case).plans.iter().flat_map(|plan| &plan.admitted).find(|(id, _)| *id == 1).map_or(u32::MAX, |found| found.1)
}

/// A shared system prompt is computed twice before windows or states know where its users part, and a chat computes its last
/// answer again with every turn.
#[test]
fn windows_and_states_find_what_was_kept_for_them() {
    let window = [FULL, GroupKind::Sliding { window: 128 }];
    let state = [FULL, STATE];
    let (latest, every) = (Retention::Boundaries, Retention::Every);
    let from_second = [0, 1024, 1024, 1024];
    let from_third = [0, 0, 1024, 1024];
    let found = |kinds: &[GroupKind], size, retention| {
        (four_prompts(kinds, size, retention), next_turn(kinds, size, retention))
    };
    assert_eq!(found(&[FULL], 16, latest), (from_second.to_vec(), 464));
    assert_eq!(found(&[FULL], 64, latest), (from_second.to_vec(), 448));
    assert_eq!(found(&window, 16, latest), (from_third.to_vec(), 304));
    assert_eq!(found(&window, 16, every), (from_second.to_vec(), 464));
    assert_eq!(found(&state, 64, latest), (from_third.to_vec(), 256));
    assert_eq!(found(&state, 64, every), (from_third.to_vec(), 448));
}

/// The second prompt, which parts from the first after 1,024 tokens, makes a step more: 1,024, then to the last multiple of
/// 64, then the rest.
#[test]
fn a_prompt_ends_a_step_where_others_part_from_it() {
    let mut prefixes = PrefixTree::new();
    let prefix = prefixes.extend(PrefixId::NONE, 1024);
    let request = |id: u32| Request { prefix, ..Request::plain(id, SimTime(i64::from(id) * 1_000_000), 1224, 1) };
    let mut case = case(&[FULL, STATE], 64, Retention::Boundaries, (0..2).map(request).collect());
    case.prefixes = prefixes;
    let told = run(&case);
    let chunks = |id| -> Vec<u32> {
        let parts = told.plans.iter().flat_map(|plan| &plan.scheduled);
        parts.filter(|part| part.id == id).map(|part| part.tokens).collect()
    };
    assert_eq!((chunks(0), chunks(1)), (vec![1216, 8], vec![1024, 192, 8]));
}
