//! Nothing is lost, nothing appears: requests, blocks, tokens, time.

use super::case::{Case, Told, case, runner, vllm_case};
use plimsoll_core::engine::Mode;
use plimsoll_core::observation::{Event, Fate, Observer, QueueSample, RequestRecord};
use plimsoll_core::time::SimTime;
use proptest::prelude::Strategy;
use proptest::prop_assert;
use proptest::prop_assert_eq;
use std::cell::RefCell;
use std::collections::BTreeMap;

/// Listens to everything and counts tokens for itself, from the log.
#[derive(Default)]
struct Auditor {
    told: Told,
    /// How many steps each step event stands for.
    windows: Vec<u64>,
    /// Latest time of an event that starts something.
    last: i64,
    went_back: bool,
}

impl Observer for Auditor {
    fn settled(&mut self, record: &RequestRecord) {
        self.told.records.push(*record);
    }

    fn enqueued(&mut self, sample: &QueueSample) {
        self.told.samples.push(*sample);
    }

    fn event(&mut self, event: &Event) {
        let time = match event {
            // Arrivals are read ahead, and a first token stands at the end of its step.
            Event::Reject { .. }
            | Event::Route { .. }
            | Event::Arrive { .. }
            | Event::FirstToken { .. }
            | Event::Complete { .. } => return,
            Event::Enqueue { time, .. }
            | Event::Drop { time, .. }
            | Event::Admit { time, .. }
            | Event::Preempt { time, .. }
            | Event::Step { time, .. }
            | Event::Timeout { time, .. } => time.0,
        };
        if let Event::Step { steps, .. } = event {
            self.windows.push(*steps);
        }
        self.went_back |= time < self.last;
        self.last = self.last.max(time);
    }

    fn wants_events(&self) -> bool {
        true
    }
}

#[test]
fn every_request_ends_once_and_times_add_up() {
    check_ends(case());
}

#[test]
fn every_request_ends_once_and_times_add_up_under_vllm_s_rules() {
    check_ends(vllm_case());
}

fn check_ends(cases: impl Strategy<Value = Case>) {
    runner(500)
        .run(&cases, |case| {
            for mode in [Mode::Step, Mode::Fast] {
                let Told { records, samples, totals } = case.run(mode, u64::MAX);
                let horizon = case.engine.horizon;
                let arrived: Vec<u32> = case
                    .requests
                    .iter()
                    .filter(|request| request.arrive <= horizon)
                    .map(|request| request.id)
                    .collect();
                let mut settled: Vec<u32> = records.iter().map(|record| record.request.id).collect();
                settled.sort_unstable();
                prop_assert_eq!(settled, arrived);

                let mut fates: BTreeMap<u8, u64> = BTreeMap::new();
                for record in &records {
                    *fates.entry(record.fate as u8).or_default() += 1;
                    let is_finished = matches!(record.fate, Fate::Completed | Fate::LengthCapped);
                    prop_assert_eq!(record.e2e.is_some(), is_finished);
                    if let Some(e2e) = record.e2e {
                        let ttft = record.ttft.expect("a finished request had a first token");
                        prop_assert!(SimTime::ZERO <= ttft && ttft <= e2e);
                        prop_assert!(record.scheduling_delay.is_some_and(|delay| delay <= ttft));
                    }
                    if record.fate == Fate::Completed {
                        prop_assert_eq!(record.produced_tokens, record.request.output_tokens);
                        prop_assert_eq!(record.num_gaps, record.request.output_tokens.saturating_sub(1));
                    }
                }
                let count = |fate: Fate| fates.get(&(fate as u8)).copied().unwrap_or(0);
                prop_assert_eq!(totals.completed, count(Fate::Completed) + count(Fate::LengthCapped));
                prop_assert_eq!(totals.length_capped, count(Fate::LengthCapped));
                prop_assert_eq!(totals.dropped, count(Fate::Dropped));
                prop_assert_eq!(totals.timed_out, count(Fate::TimedOut));
                prop_assert_eq!(totals.still_queued, count(Fate::StillQueued));
                prop_assert_eq!(totals.still_running, count(Fate::StillRunning));

                let produced: u64 = records.iter().map(|record| u64::from(record.produced_tokens)).sum();
                prop_assert_eq!(totals.output_tokens, produced);
                let gaps: u64 = records.iter().map(|record| u64::from(record.num_gaps)).sum();
                let gap_time: i64 = records.iter().map(|record| record.gap_sum.0).sum();
                prop_assert_eq!(totals.gaps.iter().map(|(_, count)| count).sum::<u64>(), gaps);
                prop_assert_eq!(totals.gaps.iter().map(|(gap, count)| gap * *count as i64).sum::<i64>(), gap_time);
                prop_assert!(totals.gaps.is_sorted() && totals.gaps.iter().all(|(gap, count)| *gap > 0 && *count > 0));

                let limiters = totals.limiters;
                prop_assert_eq!(limiters.steps, totals.steps);
                let reasons =
                    limiters.none + limiters.max_num_seqs + limiters.max_num_batched_tokens + limiters.kv_blocks;
                prop_assert_eq!(reasons, totals.steps);
                prop_assert!(totals.kv_peak <= u64::from(case.engine.num_blocks));
                prop_assert!(totals.kv_integral <= u128::from(totals.kv_peak) * u128::from(totals.busy));
                prop_assert!(totals.end <= horizon);
                prop_assert!(samples.is_sorted_by_key(|sample| sample.time));
            }
            Ok(())
        })
        .unwrap_or_else(|failure| panic!("{failure}"));
}

#[test]
fn time_never_goes_back_and_the_block_tables_stay_sound() {
    check_tables(case());
}

#[test]
fn time_never_goes_back_and_the_block_tables_stay_sound_under_vllm_s_rules() {
    check_tables(vllm_case());
}

fn check_tables(cases: impl Strategy<Value = Case>) {
    runner(300)
        .run(&cases, |case| {
            for mode in [Mode::Step, Mode::Fast] {
                let mut auditor = Auditor::default();
                let mut simulation = case.simulation(mode);
                let mut clock = simulation.clock();
                loop {
                    let is_finished = simulation.run_for(1, &mut auditor);
                    prop_assert_eq!(simulation.audit(), Ok(()));
                    prop_assert!(simulation.clock() >= clock);
                    clock = simulation.clock();
                    if is_finished {
                        break;
                    }
                }
                prop_assert!(!auditor.went_back);
                let totals = simulation.finish(&mut auditor).total;
                prop_assert_eq!(auditor.told.records.len(), case.run(mode, u64::MAX).records.len());
                if totals.still_queued + totals.still_running == 0 && totals.completed > 0 {
                    prop_assert!(totals.steps > 0);
                }
            }
            Ok(())
        })
        .unwrap_or_else(|failure| panic!("{failure}"));
}

#[test]
fn a_jump_leaves_the_block_tables_of_its_single_steps() {
    let met = RefCell::new(BTreeMap::<&str, u32>::new());
    runner(300)
        .run(&case(), |case| {
            let mut heard = Auditor::default();
            let mut whole = case.simulation(Mode::Fast);
            while !whole.run_for(u64::MAX, &mut heard) {}

            // Each call makes exactly one window whole, and as many single steps.
            let mut again = Auditor::default();
            let (mut fast, mut plain) = (case.simulation(Mode::Fast), case.simulation(Mode::Step));
            for (at, window) in heard.windows.iter().enumerate() {
                fast.run_for(*window, &mut again);
                plain.run_for(*window, &mut Told::default());
                prop_assert_eq!(&again.windows[..], &heard.windows[..=at]);
                if *window == 1 {
                    continue;
                }
                prop_assert_eq!(fast.audit(), Ok(()));
                prop_assert_eq!(plain.audit(), Ok(()));
                let tables = fast.block_tables();
                prop_assert_eq!(&tables, &plain.block_tables());

                let tables = &tables[0];
                prop_assert_eq!(tables.used + tables.free, case.engine.num_blocks);
                let mut seen = met.borrow_mut();
                let mut meet = |what: &'static str, is_met: bool| *seen.entry(what).or_default() += u32::from(is_met);
                meet("window of 8 steps or more", *window >= 8);
                meet("blocks held", *window >= 8 && tables.used > 0);
                meet("cached prefix", *window >= 8 && tables.cached.iter().any(|blocks| *blocks > 0));
                meet("queue that finds blocks", tables.found.iter().any(|(_, blocks)| *blocks > 0));
            }
            Ok(())
        })
        .unwrap_or_else(|failure| panic!("{failure}"));
    let met = met.into_inner();
    println!("{met:?}");
    assert!(met.len() == 4 && met.values().all(|count| *count >= 200), "{met:?}");
}
