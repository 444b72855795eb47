//! Skipping steps changes no byte (engine specification 9).

use super::case::{Told, case, runner};
use plimsoll_core::cluster::ClusterTotals;
use plimsoll_core::engine::Mode;
use plimsoll_core::observation::{Fate, JumpCounts, RequestRecord};
use plimsoll_core::report::{Collector, Report, ReportSettings};
use plimsoll_core::scenario::Slo;
use std::cell::RefCell;

/// How many cases met what.
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
    tiered: Tiered,
}

/// Of those with a CPU tier in which the fast engine has skipped.
#[derive(Debug, Default)]
struct Tiered {
    cases: u32,
    overflow: u32,
    failed_reload: u32,
    waiting: u32,
    full_batch: u32,
    preemption: u32,
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
    runner(2_500)
        .run(&strategy, |(case, slice)| {
            let step = case.run(Mode::Step, u64::MAX);
            let mut fast = case.run(Mode::Fast, slice);
            let jumps = std::mem::take(&mut fast.totals.jumps);

            let mut seen = coverage.borrow_mut();
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
            if case.engine.cpu_tier.is_some() && case.engine.enable_prefix_caching && jumps.windows > 0 {
                let (totals, tiered) = (&step.totals, &mut seen.tiered);
                tiered.cases += 1;
                tiered.overflow += u32::from(totals.tier_evicted > 0);
                tiered.failed_reload += u32::from(totals.tier_misses > 0);
                tiered.waiting += u32::from(totals.waiting_sum > 0);
                tiered.full_batch += u32::from(totals.limiters.max_num_seqs > 0);
                tiered.preemption += u32::from(totals.preemptions > 0);
            }
            drop(seen);

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
    let of = |per_2000: u32| seen.cases * per_2000 / 2_000;
    assert!(seen.long_windows >= of(1_000), "{seen:?}");
    for (count, what) in [
        (seen.preemption, "preemption"),
        (seen.eviction_in_window, "eviction inside a window"),
        (seen.max_model_len, "max_model_len"),
        (seen.timeout, "timeout"),
        (seen.horizon_cut, "horizon cut"),
        (seen.chunking, "chunking"),
        (seen.tiered.cases, "a CPU tier"),
        (seen.tiered.overflow, "a CPU tier that overflows"),
        (seen.tiered.failed_reload, "a CPU tier that has nothing to reload"),
        (seen.tiered.waiting, "a CPU tier and a queue"),
        (seen.tiered.full_batch, "a CPU tier and a full batch"),
        (seen.tiered.preemption, "a CPU tier and preemption"),
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
