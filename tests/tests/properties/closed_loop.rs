//! A closed loop is the same in both modes, and never has more requests in flight than users.

use super::case::{Case, Told, case, runner, vllm_case};
use super::groups::grouped_case;
use plimsoll_core::cluster::Simulation;
use plimsoll_core::engine::Mode;
use plimsoll_core::observation::{Fate, RequestRecord};
use plimsoll_core::scenario::ClusterConfig;
use plimsoll_core::time::SimTime;
use plimsoll_core::workload::{Outcome, PrefixTree, Request, RequestSource};
use proptest::prelude::*;
use std::cell::RefCell;
use std::collections::BTreeMap;

/// The requests of a case, given out to users: each asks again some time after its request was settled.
struct Users {
    case: Case,
    /// Arrivals to come, by time and position in the case.
    coming: BTreeMap<(i64, usize), Request>,
    next: usize,
    thinks: i64,
    in_flight: u32,
    most_in_flight: u32,
}

impl Users {
    fn new(case: &Case, num_users: usize, thinks: i64) -> Self {
        let mut users =
            Self { case: case.clone(), coming: BTreeMap::new(), next: 0, thinks, in_flight: 0, most_in_flight: 0 };
        for user in 0..num_users {
            users.ask(thinks * user as i64 / num_users as i64);
        }
        users
    }

    fn ask(&mut self, arrive: i64) {
        let Some(mut request) = self.case.requests.get(self.next).copied() else { return };
        let patience = request.deadline.0 - request.arrive.0;
        if request.deadline > SimTime::ZERO {
            request.deadline = SimTime(arrive + patience);
        }
        request.arrive = SimTime(arrive);
        self.coming.insert((arrive, self.next), request);
        self.next += 1;
    }
}

impl RequestSource for Users {
    fn next_request(&mut self) -> Option<Request> {
        let (_, request) = self.coming.pop_first()?;
        self.in_flight += 1;
        self.most_in_flight = self.most_in_flight.max(self.in_flight);
        Some(request)
    }

    fn prefixes(&self) -> &PrefixTree {
        &self.case.prefixes
    }

    fn is_closed_loop(&self) -> bool {
        true
    }

    fn next_arrival(&self) -> Option<SimTime> {
        self.coming.first_key_value().map(|((arrive, _), _)| SimTime(*arrive))
    }

    fn settled(&mut self, outcome: &Outcome) {
        self.in_flight -= 1;
        self.ask(outcome.end.0 + self.thinks);
    }
}

fn run(case: &Case, users: Users, mode: Mode, slice: u64) -> Told {
    let mut told = Told::default();
    let mut simulation = Simulation::new(&ClusterConfig::single(), case.engine, case.timing.build(1.0), users, mode);
    while !simulation.run_for(slice, &mut told) {}
    told.totals = simulation.finish(&mut told).total;
    told.totals.jumps = Default::default();
    told
}

/// At most this many requests are between arrival and the tick that settled them.
fn most_in_flight(told: &Told) -> usize {
    let mut changes: Vec<(i64, i32)> = Vec::new();
    for record in &told.records {
        changes.push((record.request.arrive.0, 1));
        changes.push((record.settled_at.0.max(record.request.arrive.0), -1));
    }
    // At equal ticks the one that leaves was there first.
    changes.sort_unstable();
    let mut now = 0;
    changes
        .iter()
        .map(|(_, change)| {
            now += change;
            now
        })
        .max()
        .unwrap_or(0)
        .max(0) as usize
}

#[test]
fn both_modes_agree_in_a_closed_loop() {
    check_users(case());
}

#[test]
fn both_modes_agree_in_a_closed_loop_under_vllm_s_rules() {
    check_users(vllm_case());
}

#[test]
fn both_modes_agree_in_a_closed_loop_with_several_groups() {
    check_users(grouped_case());
}

fn check_users(cases: impl Strategy<Value = Case>) {
    let (asked_again, full) = (RefCell::new(0u32), RefCell::new(0u32));
    let thinks = prop_oneof![Just(0i64), 0..2_000i64, 0..3_000_000i64];
    let slices = prop_oneof![Just(u64::MAX), 1..50u64];
    runner(1_000)
        .run(&(cases, 1..12usize, thinks, slices), |(case, num_users, thinks, slice)| {
            let step = run(&case, Users::new(&case, num_users, thinks), Mode::Step, u64::MAX);
            let fast = run(&case, Users::new(&case, num_users, thinks), Mode::Fast, slice);
            prop_assert_eq!(&step.records, &fast.records);
            prop_assert_eq!(&step.samples, &fast.samples);
            prop_assert_eq!(&step.totals, &fast.totals);
            let most = most_in_flight(&step);
            prop_assert!(most <= num_users, "{} in flight with {} users", most, num_users);
            *asked_again.borrow_mut() += u32::from(step.records.len() > num_users);
            *full.borrow_mut() += u32::from(most == num_users);
            if case.engine.horizon == SimTime::MAX {
                // Everybody asks again until the list is empty.
                prop_assert_eq!(step.records.len(), case.requests.len());
                prop_assert!(step.records.iter().all(|record| record.fate != Fate::InPipeline));
            }
            Ok(())
        })
        .unwrap_or_else(|failure| panic!("{failure}"));
    assert!(asked_again.into_inner() > 400 && full.into_inner() > 400, "the cases are no closed loops");
}

/// What a client sees of a request: from its arrival to its last token as reported, or to when it was given up.
fn seen(told: &Told) -> Vec<[i64; 2]> {
    let is_over = |fate: Fate| !matches!(fate, Fate::StillRunning | Fate::StillQueued | Fate::InPipeline);
    let over = told.records.iter().filter(|record| is_over(record.fate));
    over.map(|record| {
        let arrive = record.request.arrive.0;
        [arrive, record.e2e.map_or(record.settled_at.0.max(arrive), |e2e| arrive + e2e.0)]
    })
    .collect()
}

/// Little's law as a law: with as many users as requests may be open, the time that clients wait is no more than users
/// have, and at no moment do more of them wait than there are.
#[test]
fn users_wait_for_what_their_clients_report_under_vllm_s_rules() {
    let (full, with_overhead) = (RefCell::new(0u32), RefCell::new(0u32));
    runner(1_000)
        .run(&(vllm_case(), 1..12usize, prop_oneof![Just(0i64), 0..2_000i64]), |(case, num_users, thinks)| {
            let told = run(&case, Users::new(&case, num_users, thinks), Mode::Fast, u64::MAX);
            let spans = seen(&told);
            let mut changes: Vec<(i64, i32)> = spans.iter().flat_map(|[from, to]| [(*from, 1), (*to, -1)]).collect();
            // At equal ticks the one that leaves was there first; one that is gone at once never waits.
            changes.sort_unstable();
            let (mut now, mut most) = (0, 0);
            for (_, change) in changes {
                now += change;
                most = most.max(now);
            }
            prop_assert!(most <= num_users as i32, "{} wait with {} users", most, num_users);
            let waited: i64 = spans.iter().map(|[from, to]| to - from).sum();
            let first = spans.iter().map(|[from, _]| *from).min().unwrap_or(0);
            let last = spans.iter().map(|[_, to]| *to).max().unwrap_or(0);
            prop_assert!(waited <= num_users as i64 * (last - first), "{} in {}", waited, last - first);
            // And so does the span that a report's rates are of.
            let answered: i64 = told.records.iter().filter_map(|record| record.e2e).map(|e2e| e2e.0).sum();
            let duration = told.totals.duration().0;
            prop_assert!(answered <= num_users as i64 * duration, "{} in {}", answered, duration);
            *full.borrow_mut() += u32::from(most == num_users as i32);
            let is_longer = |record: &RequestRecord| {
                record.e2e.is_some_and(|e2e| record.request.arrive.0 + e2e.0 > record.settled_at.0)
            };
            *with_overhead.borrow_mut() += u32::from(told.records.iter().any(is_longer));
            Ok(())
        })
        .unwrap_or_else(|failure| panic!("{failure}"));
    let (full, with_overhead) = (full.into_inner(), with_overhead.into_inner());
    assert!(
        full > 400 && with_overhead > 200,
        "{full} full, {with_overhead} whose clients wait longer than steps last"
    );
}
