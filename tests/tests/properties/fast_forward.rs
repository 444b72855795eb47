//! Skipping steps changes no byte (engine specification 9).

use super::case::{Told, case, runner};
use plimsoll_core::cluster::ClusterTotals;
use plimsoll_core::engine::Mode;
use plimsoll_core::observation::{Fate, JumpCounts, RequestRecord};
use plimsoll_core::report::{Collector, Report, ReportSettings};
use plimsoll_core::scenario::Slo;
use std::cell::RefCell;

/// How many cases met what, of those in which the modes run different engines: with a CPU tier, say, both walk.
#[derive(Debug, Default)]
struct Coverage {
    cases: u32,
    long_windows: u32,
    preemption: u32,
    eviction_in_window: u32,
    max_model_len: u32,
    timeout: u32,
    horizon_cut: u32,
    chunking: u32,
    filling_window: u32,
    doubtful_fill: u32,
}

/// The report of what was told, as the bytes a results file would have.
fn report_bytes(told: &Told) -> String {
    use plimsoll_core::observation::Observer;
    let mut collector = Collector::detailed(ReportSettings {
        slo: Slo::default(),
        slo_classes: Default::default(),
        priority: plimsoll_core::scenario::PriorityPolicy::SloBased,
        num_replicas: 1,
        num_blocks: 1000,
        time_share_names: &[],
        classes: Vec::new(),
        tenants: Vec::new(),
    });
    for sample in &told.samples {
        collector.enqueued(sample);
    }
    for record in &told.records {
        collector.settled(record);
    }
    serde_json::to_string(&Report::new(collector, &ClusterTotals::new(vec![told.totals.clone()])))
        .expect("a report is plain data")
}

#[test]
fn both_modes_give_the_same_bytes() {
    let coverage = RefCell::new(Coverage::default());
    let strategy = (case(), proptest::prop_oneof![proptest::strategy::Just(u64::MAX), 1..50u64]);
    // Enough that 2,000 of them count.
    runner(2_500)
        .run(&strategy, |(case, slice)| {
            let step = case.run(Mode::Step, u64::MAX);
            let mut fast = case.run(Mode::Fast, slice);
            let jumps = std::mem::take(&mut fast.totals.jumps);

            let (mut counted, mut ignored) = (coverage.borrow_mut(), Coverage::default());
            let is_skipping = case.simulation(Mode::Fast).engine_mode() == Mode::Fast;
            let seen = if is_skipping { &mut *counted } else { &mut ignored };
            let limit = match case.engine.long_prefill_token_threshold {
                0 => case.engine.max_num_batched_tokens,
                threshold => threshold.min(case.engine.max_num_batched_tokens),
            };
            let met = |fate: Fate| step.records.iter().any(|record| record.fate == fate);
            let is_cut = [Fate::StillQueued, Fate::StillRunning, Fate::InPipeline].into_iter().any(met);
            let shared = |prefix| case.prefixes.tokens(prefix);
            seen.cases += 1;
            seen.long_windows += u32::from(jumps.long_windows > 0);
            seen.eviction_in_window += u32::from(jumps.evicting_windows > 0);
            seen.filling_window += u32::from(jumps.filling_windows > 0);
            seen.doubtful_fill += u32::from(jumps.doubtful_fills > 0);
            seen.preemption += u32::from(step.totals.preemptions > 0);
            let cap = case.engine.max_model_len;
            let is_too_long = |record: &RequestRecord| {
                record.fate == Fate::Dropped && record.request.input_tokens + record.request.answer_limit.max(1) > cap
            };
            let is_capped = met(Fate::LengthCapped) || step.records.iter().any(is_too_long);
            seen.max_model_len += u32::from(cap > 0 && is_capped);
            seen.timeout += u32::from(met(Fate::TimedOut));
            seen.horizon_cut += u32::from(is_cut);
            seen.chunking += u32::from(step.records.iter().any(|record| {
                record.ttft.is_some() && record.request.input_tokens - shared(record.request.prefix) > limit
            }));
            drop(counted);

            proptest::prop_assert_eq!(step.totals.jumps, JumpCounts::default());
            proptest::prop_assert_eq!(&step.records, &fast.records);
            proptest::prop_assert_eq!(&step.samples, &fast.samples);
            proptest::prop_assert_eq!(&step.totals, &fast.totals);
            proptest::prop_assert_eq!(report_bytes(&step), report_bytes(&fast));
            Ok(())
        })
        .unwrap_or_else(|failure| panic!("{failure}"));

    let seen = coverage.into_inner();
    println!("{seen:?}");
    assert!(seen.cases >= 2_000, "too few cases compare two engines: {seen:?}");
    let of = |per_2000: u32| seen.cases * per_2000 / 2_000;
    assert!(seen.long_windows >= of(1_000), "{seen:?}");
    for (count, what) in [
        (seen.preemption, "preemption"),
        (seen.eviction_in_window, "eviction inside a window"),
        (seen.max_model_len, "max_model_len"),
        (seen.timeout, "timeout"),
        (seen.horizon_cut, "horizon cut"),
        (seen.chunking, "chunking"),
    ] {
        assert!(count >= of(100), "only {count} cases with {what}: {seen:?}");
    }
    for (count, what) in [
        (seen.filling_window, "a window that fills a block of an output that comes back"),
        (seen.doubtful_fill, "a fill with a key that another block carries"),
    ] {
        assert!(count >= of(40), "only {count} cases with {what}: {seen:?}");
    }
}
