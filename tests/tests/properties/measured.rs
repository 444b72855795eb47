//! Laws of a part of a run that is told alone ([`Simulation::finish_from`]).

use super::case::{Case, case, runner, vllm_case};
use super::groups::grouped_case;
use plimsoll_core::cluster::{ClusterTotals, Simulation};
use plimsoll_core::engine::Mode;
use plimsoll_core::observation::{Event, Fate, JumpCounts, Observer, QueueSample, RequestRecord};
use plimsoll_core::scenario::ClusterConfig;
use plimsoll_core::time::SimTime;
use proptest::prelude::Strategy;
use std::cell::RefCell;

/// What is counted anew from the outside.
#[derive(Debug, Default)]
struct Seen {
    records: Vec<RequestRecord>,
    samples: Vec<QueueSample>,
    /// Start and length of each step.
    steps: Vec<(i64, i64)>,
    preemptions: Vec<i64>,
}

impl Observer for Seen {
    fn settled(&mut self, record: &RequestRecord) {
        self.records.push(*record);
    }

    fn enqueued(&mut self, sample: &QueueSample) {
        self.samples.push(*sample);
    }

    fn event(&mut self, event: &Event) {
        match *event {
            Event::Step { time, duration, steps: 1, .. } => self.steps.push((time.0, duration.0)),
            Event::Preempt { time, .. } => self.preemptions.push(time.0),
            _ => {}
        }
    }

    fn wants_events(&self) -> bool {
        true
    }
}

/// The run from the arrival of the request at `part` of all on.
fn measured(case: &Case, num_replicas: u32, mode: Mode, part: f64) -> (Seen, SimTime, ClusterTotals) {
    let cluster = ClusterConfig { num_replicas, ..ClusterConfig::single() };
    let mut simulation = Simulation::new(&cluster, case.engine, case.timing.build(1.0), case.source(), mode)
        .measuring((part * case.requests.len() as f64) as u32 + 2);
    let mut seen = Seen::default();
    while !simulation.run_for(u64::MAX, &mut seen) {}
    let at = (part * case.requests.len() as f64) as usize;
    let start = case.requests.get(at).map_or(SimTime::ZERO, |request| request.arrive);
    let mut totals = simulation.finish_from(start, &mut seen);
    totals.total.jumps = JumpCounts::default();
    totals.replicas.iter_mut().for_each(|replica| replica.jumps = JumpCounts::default());
    (seen, start, totals)
}

#[test]
fn a_part_of_a_run_is_what_a_count_from_outside_gives_in_both_modes() {
    check_part(case());
}

#[test]
fn a_part_of_a_run_under_vllm_s_rules_is_what_a_count_from_outside_gives_in_both_modes() {
    check_part(vllm_case());
}

#[test]
fn a_part_of_a_run_with_several_groups_is_what_a_count_from_outside_gives_in_both_modes() {
    check_part(grouped_case());
}

fn check_part(cases: impl Strategy<Value = Case>) {
    // How many cases have gaps on either side of the start, and steps before it.
    let divided = RefCell::new((0, 0));
    runner(600)
        .run(&(cases, 0.0..1.0f64), |(mut case, part)| {
            case.engine.horizon = SimTime::MAX;
            let (seen, start, totals) = measured(&case, 1, Mode::Step, part);
            let (_, _, fast) = measured(&case, 1, Mode::Fast, part);
            proptest::prop_assert_eq!(&totals, &fast);
            let totals = totals.total;

            let is_complete = |record: &&RequestRecord| matches!(record.fate, Fate::Completed | Fate::LengthCapped);
            let gaps = |is_inside: &dyn Fn(&RequestRecord) -> bool| {
                let records = seen.records.iter().filter(is_complete).filter(|record| is_inside(record));
                records
                    .fold((0, 0), |(sum, count), record| (sum + record.gap_sum.0, count + u64::from(record.num_gaps)))
            };
            let counted = totals
                .gaps
                .iter()
                .fold((0, 0), |(sum, count), (gap, times)| (sum + gap * *times as i64, count + times));
            proptest::prop_assert_eq!(counted, gaps(&|record| record.request.arrive >= start));

            let inside = seen.samples.iter().map(|sample| sample.time.0).filter(|time| *time >= start.0);
            let (first, last) = (inside.clone().min().unwrap_or(0), inside.max().unwrap_or(0));
            let is_inside = |time: i64| time >= first && time < last;
            let steps: Vec<i64> =
                seen.steps.iter().filter(|(time, _)| is_inside(*time)).map(|(_, duration)| *duration).collect();
            proptest::prop_assert_eq!(totals.span as i64, last - first);
            proptest::prop_assert_eq!(totals.limiters.steps, steps.len() as u64);
            proptest::prop_assert_eq!(totals.busy as i64, steps.iter().sum::<i64>());
            let preemptions = seen.preemptions.iter().filter(|time| is_inside(**time)).count();
            proptest::prop_assert_eq!(totals.preemptions, preemptions as u64);
            let limiters = totals.limiters;
            let by_reason =
                limiters.none + limiters.max_num_seqs + limiters.max_num_batched_tokens + limiters.kv_blocks;
            proptest::prop_assert_eq!(by_reason, limiters.steps);

            let mut divided = divided.borrow_mut();
            divided.0 += u32::from(counted.1 > 0 && gaps(&|record| record.request.arrive < start).1 > 0);
            divided.1 += u32::from(!steps.is_empty() && seen.steps.iter().any(|(time, _)| *time < first));
            Ok(())
        })
        .unwrap_or_else(|failure| panic!("{failure}"));
    let (gaps, steps) = divided.into_inner();
    assert!(gaps >= 150 && steps >= 150, "{gaps} cases with gaps on both sides, {steps} with steps");
}

#[test]
fn a_part_of_a_cluster_s_run_is_the_same_in_both_modes() {
    check_part_of_cluster(case());
    check_part_of_cluster(vllm_case());
}

fn check_part_of_cluster(cases: impl Strategy<Value = Case>) {
    runner(200)
        .run(&(cases, 0.0..1.0f64), |(mut case, part)| {
            case.engine.horizon = SimTime::MAX;
            let (seen, start, totals) = measured(&case, 3, Mode::Step, part);
            let (_, _, fast) = measured(&case, 3, Mode::Fast, part);
            proptest::prop_assert_eq!(&totals, &fast);
            let is_inside = |record: &&RequestRecord| {
                record.request.arrive >= start && matches!(record.fate, Fate::Completed | Fate::LengthCapped)
            };
            let sum: i64 = seen.records.iter().filter(is_inside).map(|record| record.gap_sum.0).sum();
            let counted: i64 = totals.total.gaps.iter().map(|(gap, times)| gap * *times as i64).sum();
            proptest::prop_assert_eq!(counted, sum);
            Ok(())
        })
        .unwrap_or_else(|failure| panic!("{failure}"));
}
