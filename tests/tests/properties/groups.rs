//! Where layers keep different parts of a sequence, skipping calls changes no byte either, and blocks obey laws.

use super::case::{Case, assert_met, runner, vllm_case};
use super::cluster::cluster;
use super::vllm::{Told, run};
use plimsoll_core::engine::Mode;
use plimsoll_core::observation::{Fate, Plan};
use plimsoll_core::scenario::{Batching, EngineConfig, GroupKind, GroupRun, KvGroups, QueueOrder, Retention, Rules};
use proptest::prelude::*;
use std::cell::RefCell;
use std::collections::BTreeMap;

/// Groups on blocks of `size` tokens.
fn runs(size: u32) -> impl Strategy<Value = Vec<GroupRun>> {
    let run = move |kind: GroupKind, times: u32, count: u32| GroupRun { kind, block_size: size * times, count };
    let full = move || (1..=2u32).prop_map(move |count| run(GroupKind::Full, 1, count));
    let window = move || {
        let windows = prop_oneof![2..(2 * size + 3), 2..160u32];
        (windows, 1..4u32).prop_map(move |(window, count)| run(GroupKind::Sliding { window }, 1, count))
    };
    let state = move || {
        (any::<bool>(), 1..4u32)
            .prop_map(move |(exports_checkpoint, count)| run(GroupKind::State { exports_checkpoint }, 1, count))
    };
    let chunked = move || {
        (1..12u32, 1..3u32).prop_map(move |(times, count)| run(GroupKind::Chunked { chunk: times * size }, 1, count))
    };
    let wide = move || (2..4u32).prop_map(move |times| run(GroupKind::Full, times, 1));
    prop_oneof![
        3 => (full(), window()).prop_map(|(full, window)| vec![full, window]),
        3 => (state(), full()).prop_map(|(state, full)| vec![state, full]),
        2 => (full(), chunked()).prop_map(|(full, chunked)| vec![full, chunked]),
        1 => window().prop_map(|window| vec![window]),
        1 => state().prop_map(|state| vec![state]),
        1 => (wide(), window(), window()).prop_map(|(wide, one, other)| vec![wide, one, other]),
        1 => (window(), full(), state()).prop_map(|(window, full, state)| vec![window, full, state]),
        1 => (wide(), state()).prop_map(|(wide, state)| vec![wide, state]),
    ]
}

/// Most blocks that a sequence of so many tokens may hold in each group of a run, by the specification's section on what a
/// server reckons with.
fn most_blocks(run: &GroupRun, engine: &EngineConfig, tokens: u32) -> u32 {
    let batches = match engine.rules {
        Rules::VllmV1(rules) if rules.batching == Batching::Async => 2,
        _ => 1,
    };
    let in_flight = engine.max_num_batched_tokens * batches;
    let places = tokens.div_ceil(run.block_size);
    match run.kind {
        GroupKind::Full => places,
        GroupKind::Sliding { window } => places.min((window - 1 + in_flight).div_ceil(run.block_size) + 1),
        GroupKind::Chunked { chunk } => places.min((chunk + in_flight).div_ceil(run.block_size)),
        GroupKind::State { .. } if !engine.enable_prefix_caching => 1,
        // More than the server reckons with while a step in flight reads the state before, or exports one.
        GroupKind::State { exports_checkpoint } => {
            let is_every_kept =
                matches!(engine.rules, Rules::VllmV1(rules) if rules.groups.retention == Retention::Every);
            let exported = u32::from(exports_checkpoint);
            places.min(1 + batches + exported + if is_every_kept { exported * (batches - 1) } else { 0 })
        }
    }
}

/// The scenarios of vLLM's rules with groups of several kinds, in a memory as scarce for them.
pub fn grouped_case() -> impl Strategy<Value = Case> {
    let retention = prop_oneof![4 => Just(Retention::Boundaries), 1 => Just(Retention::Every)];
    vllm_case().prop_flat_map(|case| (runs(case.engine.block_size), Just(case))).prop_flat_map(move |(runs, case)| {
        (retention.clone(), Just(runs), Just(case)).prop_map(|(retention, runs, mut case)| {
            let mut groups = KvGroups::new(&runs).expect("few kinds");
            groups.retention = retention;
            let engine = &mut case.engine;
            let tokens = case.requests.iter().map(|request| request.input_tokens + request.output_tokens);
            let longest = tokens.max().unwrap_or(1);
            let of = |engine: &EngineConfig, tokens: u32| -> u32 {
                runs.iter().map(|run| run.count * most_blocks(run, engine, tokens)).sum()
            };
            let room = f64::from(engine.num_blocks - 1) / f64::from(longest.div_ceil(engine.block_size));
            let blocks = (f64::from(of(engine, longest)) * room) as u32;
            engine.num_blocks = blocks.max(of(engine, engine.max_model_len)) + 1;
            engine.block_size = groups.alignment().expect("small blocks");
            if let Rules::VllmV1(rules) = &mut engine.rules {
                rules.groups = groups;
            }
            case
        })
    })
}

/// How many cases at least must meet what could go wrong.
const LEAST: [(&str, u32); 16] = [
    ("window of 8 steps or more", 500),
    ("preemption", 300),
    ("hit", 300),
    ("hit after preemption", 60),
    ("given share", 100),
    ("asynchronous with preemption", 100),
    ("V0 with preemption", 50),
    ("priority with preemption", 50),
    ("several chunks at once", 300),
    ("without prefix caching", 60),
    ("sliding window", 400),
    ("chunks", 150),
    ("states", 300),
    ("blocks of several sizes", 100),
    ("blocks come back while all decode", 300),
    ("timeout", 50),
];

/// The groups of a case.
fn groups_of(case: &Case) -> KvGroups {
    match case.engine.rules {
        Rules::VllmV1(rules) => rules.groups,
        Rules::Reference => KvGroups::default(),
    }
}

/// Whether more blocks are free after a call than before it, though it only gave tokens to those who decode.
fn gives_back(plan: &Plan) -> bool {
    plan.free_blocks > plan.free_before
        && plan.preempted.is_empty()
        && plan.scheduled.iter().all(|part| part.tokens == 1)
}

#[test]
fn both_modes_decide_alike_and_give_the_same_bytes_with_several_groups() {
    let met = RefCell::new(BTreeMap::<&str, u32>::new());
    let strategy = (grouped_case(), prop_oneof![Just(u64::MAX), 1..50u64]);
    runner(1_200)
        .run(&strategy, |(case, slice)| {
            let step = run(&case, Mode::Step, u64::MAX);
            let mut fast = run(&case, Mode::Fast, slice);
            let jumps = std::mem::take(&mut fast.totals.jumps);
            for (step, fast) in step.plans.iter().zip(&fast.plans) {
                prop_assert_eq!(step, fast);
            }
            prop_assert_eq!(step.plans.len(), fast.plans.len());
            prop_assert_eq!(&step.records, &fast.records);
            prop_assert_eq!(&step.samples, &fast.samples);
            prop_assert_eq!(&step.totals, &fast.totals);

            let Rules::VllmV1(rules) = case.engine.rules else { return Ok(()) };
            let has = |is_kind: fn(&GroupKind) -> bool| rules.groups.runs().any(|run| is_kind(&run.kind));
            let sizes: Vec<u32> = rules.groups.runs().map(|run| run.block_size).collect();
            let totals = &step.totals;
            let mut seen = met.borrow_mut();
            let mut meet = |what: &'static str, is_met: bool| *seen.entry(what).or_default() += u32::from(is_met);
            meet("window of 8 steps or more", jumps.long_windows > 0);
            meet("preemption", totals.preemptions > 0);
            meet("hit", rules.prefix_hit_ratio == 0.0 && totals.prefix_cache.hit_tokens > 0);
            let resumed = totals.prefix_cache.resumed_hit_tokens;
            meet("hit after preemption", rules.prefix_hit_ratio == 0.0 && resumed > 0);
            meet("given share", rules.prefix_hit_ratio > 0.0 && totals.prefix_cache.hit_tokens > 0);
            meet("asynchronous with preemption", rules.batching == Batching::Async && totals.preemptions > 0);
            meet("V0 with preemption", rules.batching == Batching::V0 && totals.preemptions > 0);
            let is_by_priority = rules.order == QueueOrder::Priority;
            meet("priority with preemption", is_by_priority && totals.preemptions > 0);
            let is_crowded = |plan: &Plan| plan.scheduled.iter().filter(|part| part.tokens > 1).count() > 1;
            meet("several chunks at once", step.plans.iter().any(is_crowded));
            meet("without prefix caching", !case.engine.enable_prefix_caching);
            meet("sliding window", has(|kind| matches!(kind, GroupKind::Sliding { .. })));
            meet("chunks", has(|kind| matches!(kind, GroupKind::Chunked { .. })));
            meet("states", has(|kind| matches!(kind, GroupKind::State { .. })));
            meet("blocks of several sizes", sizes.iter().any(|size| *size != sizes[0]));
            meet("blocks come back while all decode", step.plans.iter().any(gives_back));
            meet("timeout", step.records.iter().any(|record| record.fate == Fate::TimedOut));
            Ok(())
        })
        .unwrap_or_else(|failure| panic!("{failure}"));
    assert_met(&met.into_inner(), &LEAST);
}

/// What the tables of both engines say, call by call: they agree, no request holds more than a server reckons with, and
/// what is held and what is free make all blocks but the server's own; in the end all are back.
#[test]
fn no_block_is_lost_and_nobody_holds_more_than_the_server_reckons_with() {
    runner(400)
        .run(&grouped_case(), |case| {
            let groups = groups_of(&case);
            let most = |tokens: u32| -> u32 {
                groups.runs().map(|run| run.count * most_blocks(&run, &case.engine, tokens)).sum()
            };
            for mode in [Mode::Step, Mode::Fast] {
                let mut told = Told::default();
                let mut simulation = case.simulation(mode);
                loop {
                    let is_finished = simulation.run_for(1, &mut told);
                    prop_assert_eq!(simulation.audit(), Ok(()));
                    let tables = &simulation.block_tables()[0];
                    prop_assert_eq!(tables.used + tables.free, case.engine.num_blocks - 1);
                    for (id, held) in &tables.held {
                        let request = &case.requests[*id as usize];
                        let tokens = request.input_tokens + request.output_tokens.max(1);
                        prop_assert!(*held <= most(tokens), "request {} holds {} of {}", id, held, most(tokens));
                    }
                    if is_finished {
                        let is_over = tables.held.is_empty();
                        prop_assert!(!is_over || tables.used == 0, "{} blocks are not back", tables.used);
                        break;
                    }
                }
            }
            Ok(())
        })
        .unwrap_or_else(|failure| panic!("{failure}"));
}

/// Clusters whose routers look at what is cached and at how many blocks are used: they see the same in both modes.
#[test]
fn clusters_see_the_same_with_several_groups() {
    let slice = prop_oneof![Just(u64::MAX), 1..50u64];
    runner(400)
        .run(&(grouped_case(), cluster(), slice), |(case, cluster, slice)| {
            let step = super::cluster::run(&case, &cluster, Mode::Step, u64::MAX, None);
            let fast = super::cluster::run(&case, &cluster, Mode::Fast, slice, None);
            prop_assert_eq!(&step.routings, &fast.routings);
            prop_assert_eq!(step, fast);
            Ok(())
        })
        .unwrap_or_else(|failure| panic!("{failure}"));
}
