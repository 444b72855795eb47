//! Skipping calls changes no byte under vLLM's rules, and no decision.

use super::case::{Case, assert_met, runner, vllm_case};
use plimsoll_core::engine::Mode;
use plimsoll_core::observation::{Fate, JumpCounts, Observer, Plan, QueueSample, ReplicaTotals, RequestRecord};
use plimsoll_core::scenario::{Batching, QueueOrder, Rules};
use proptest::test_runner::TestCaseError;
use std::cell::RefCell;
use std::collections::BTreeMap;

/// More calls than any of the cases takes.
const MOST_CALLS: usize = 100_000;

/// Everything a run tells, decisions included.
#[derive(Debug, Default, PartialEq)]
pub struct Told {
    pub records: Vec<RequestRecord>,
    pub samples: Vec<QueueSample>,
    pub plans: Vec<Plan>,
    pub totals: ReplicaTotals,
}

impl Observer for Told {
    fn settled(&mut self, record: &RequestRecord) {
        self.records.push(*record);
    }

    fn enqueued(&mut self, sample: &QueueSample) {
        self.samples.push(*sample);
    }

    fn planned(&mut self, plan: &Plan) {
        assert!(self.plans.len() < MOST_CALLS, "a run does not end");
        self.plans.push(plan.clone());
    }

    fn wants_plans(&self) -> bool {
        true
    }
}

pub fn run(case: &Case, mode: Mode, slice: u64) -> Told {
    let mut told = Told::default();
    let mut simulation = case.simulation(mode);
    while !simulation.run_for(slice, &mut told) {}
    told.totals = simulation.finish(&mut told).total;
    told
}

/// Each admission has at least the share of the prompt that is given, up to a block and but for the last token, and more
/// only where that was found. Whether some share was given, whether more was found, and whether some was given to a request
/// that had been preempted.
fn check_given(case: &Case, ratio: f64, plans: &[Plan]) -> Result<[bool; 3], TestCaseError> {
    let mut met = [false; 3];
    let size = case.engine.block_size;
    if ratio == 0.0 || !case.engine.enable_prefix_caching {
        return Ok(met);
    }
    for plan in plans {
        let admitted = plan.admitted.iter().map(|admitted| (admitted, false));
        for ((id, cached), is_resumed) in admitted.chain(plan.resumed.iter().map(|resumed| (resumed, true))) {
            let request = case.requests.iter().find(|request| request.id == *id);
            let prompt = request.map_or(0, |request| request.input_tokens);
            let most = (prompt - 1) / size * size;
            let share = ratio * f64::from(prompt);
            proptest::prop_assert!(f64::from(*cached) > share - f64::from(size) || *cached >= most);
            let is_more = f64::from(*cached) >= share + f64::from(size);
            proptest::prop_assert!(!is_more || is_resumed || case.prefixes.len() > 1);
            met[0] |= *cached > 0 && !is_more;
            met[1] |= is_more;
            met[2] |= is_resumed && *cached > 0 && !is_more;
        }
    }
    Ok(met)
}

/// How many cases at least must meet what could go wrong.
const LEAST: [(&str, u32); 19] = [
    ("window of 8 steps or more", 1_000),
    ("window that evicts", 100),
    ("window that fills", 40),
    ("preemption", 500),
    ("hit", 500),
    ("hit after preemption", 100),
    ("given share", 500),
    ("given share, more found", 200),
    ("given share after preemption", 100),
    ("asynchronous with preemption", 200),
    ("V0 with preemption", 100),
    ("priority with preemption", 100),
    ("call that only preempts", 20),
    ("preempted with the last token on its way", 20),
    ("several chunks at once", 500),
    ("length cap", 100),
    ("drop", 100),
    ("timeout", 100),
    ("horizon cut", 100),
];

#[test]
fn both_modes_decide_alike_and_give_the_same_bytes() {
    let met = RefCell::new(BTreeMap::<&str, u32>::new());
    let strategy = (vllm_case(), proptest::prop_oneof![proptest::strategy::Just(u64::MAX), 1..50u64]);
    runner(2_500)
        .run(&strategy, |(case, slice)| {
            let step = run(&case, Mode::Step, u64::MAX);
            let mut fast = run(&case, Mode::Fast, slice);
            let jumps = std::mem::take(&mut fast.totals.jumps);
            proptest::prop_assert_eq!(step.totals.jumps, JumpCounts::default());
            for (step, fast) in step.plans.iter().zip(&fast.plans) {
                proptest::prop_assert_eq!(step, fast);
            }
            proptest::prop_assert_eq!(step.plans.len(), fast.plans.len());
            proptest::prop_assert_eq!(&step.records, &fast.records);
            proptest::prop_assert_eq!(&step.samples, &fast.samples);
            proptest::prop_assert_eq!(&step.totals, &fast.totals);

            let Rules::VllmV1(rules) = case.engine.rules else { return Ok(()) };
            let has_given = check_given(&case, rules.prefix_hit_ratio, &step.plans)?;
            let mut seen = met.borrow_mut();
            let mut meet = |what: &'static str, is_met: bool| *seen.entry(what).or_default() += u32::from(is_met);
            let any = |is_met: fn(&Plan) -> bool| step.plans.iter().any(is_met);
            let fate = |fate: Fate| step.records.iter().any(|record| record.fate == fate);
            meet("window of 8 steps or more", jumps.long_windows > 0);
            meet("window that evicts", jumps.evicting_windows > 0);
            meet("window that fills", jumps.filling_windows > 0);
            meet("preemption", step.totals.preemptions > 0);
            meet("hit", step.totals.prefix_cache.hit_tokens > 0);
            meet("hit after preemption", step.totals.prefix_cache.resumed_hit_tokens > 0);
            meet("given share", has_given[0]);
            meet("given share, more found", has_given[1]);
            meet("given share after preemption", has_given[2]);
            meet("asynchronous with preemption", rules.batching == Batching::Async && step.totals.preemptions > 0);
            meet("V0 with preemption", rules.batching == Batching::V0 && step.totals.preemptions > 0);
            meet("priority with preemption", rules.order == QueueOrder::Priority && step.totals.preemptions > 0);
            meet("call that only preempts", any(|plan| plan.scheduled.is_empty() && !plan.preempted.is_empty()));
            let is_late = |record: &RequestRecord| {
                let plan = step.plans.iter().find(|plan| plan.finished_before.contains(&record.request.id));
                plan.is_some_and(|plan| {
                    let before = step.plans.iter().take_while(|other| other.call < plan.call);
                    before.last().is_some_and(|last| last.preempted.contains(&record.request.id))
                })
            };
            meet("preempted with the last token on its way", step.records.iter().any(is_late));
            meet(
                "several chunks at once",
                any(|plan| plan.scheduled.iter().filter(|part| part.tokens > 1).count() > 1),
            );
            meet("length cap", fate(Fate::LengthCapped));
            meet("drop", fate(Fate::Dropped));
            meet("timeout", fate(Fate::TimedOut));
            meet("horizon cut", fate(Fate::StillRunning) || fate(Fate::StillQueued));
            Ok(())
        })
        .unwrap_or_else(|failure| panic!("{failure}"));
    assert_met(&met.into_inner(), &LEAST);
}
