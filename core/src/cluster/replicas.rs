//! The replicas, each run as far as somebody needs it.

use super::min_tree::MinTree;
use super::snapshot::{Snapshot, Snapshots};
use super::tap::{SampleMerger, Tap};
use crate::engine::Engine;
use crate::observation::{Observer, ReplicaTotals};
use crate::workload::{PrefixTree, Request, RequestSource};
use alloc::vec::Vec;

/// What must be true of a replica when a policy looks at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Currency {
    /// Nobody looks.
    Any,
    /// Its counts are those of now; its steps may lag as long as they change no count.
    Counts,
    /// Everything before now has happened.
    Everything,
}

pub(super) struct Replicas {
    pub(super) engines: Vec<Engine>,
    in_flight: Vec<u32>,
    samples: SampleMerger,
    currency: Currency,
    /// Until when each need not be looked at.
    due: MinTree,
}

impl Replicas {
    pub(super) fn new(engines: Vec<Engine>, currency: Currency) -> Self {
        let count = engines.len();
        Self {
            engines,
            in_flight: alloc::vec![0; count],
            samples: SampleMerger::new(count),
            currency,
            due: MinTree::new(count, i64::MAX),
        }
    }

    /// Keeps the replicas so current from now on; nothing has happened yet.
    pub(super) fn require(&mut self, currency: Currency) {
        self.currency = currency;
    }

    pub(super) fn len(&self) -> usize {
        self.engines.len()
    }

    #[inline]
    fn snapshot(&self, replica: usize) -> Snapshot {
        Snapshot { load: self.engines[replica].load(), in_flight: self.in_flight[replica] }
    }

    /// Reads all loads.
    pub(super) fn read_all(&self, snapshots: &mut Snapshots) {
        for replica in 0..self.engines.len() {
            snapshots.set(replica, self.snapshot(replica));
        }
    }

    /// Tells the policies what has changed about one replica.
    #[inline]
    fn read(&self, replica: usize, snapshots: &mut Snapshots) {
        if self.currency == Currency::Any {
            return;
        }
        let snapshot = if snapshots.are_fresh() {
            self.snapshot(replica)
        } else {
            Snapshot { in_flight: self.in_flight[replica], ..snapshots.all()[replica] }
        };
        snapshots.set(replica, snapshot);
    }

    /// A request goes to `replica` at `now`.
    #[inline]
    pub(super) fn submit(&mut self, replica: usize, request: Request, now: i64, snapshots: &mut Snapshots) {
        self.in_flight[replica] += 1;
        let enqueue = self.engines[replica].submit(request, now);
        self.due.set(replica, self.due.get(replica).min(enqueue));
        self.read(replica, snapshots);
    }

    /// Runs the replicas so far that they can be looked at at `limit`, all events before it done that matter; false if
    /// the budget of steps is used up before.
    pub(super) fn catch_up<O: Observer>(
        &mut self,
        limit: i64,
        budget: &mut u64,
        prefixes: &PrefixTree,
        snapshots: &mut Snapshots,
        observer: &mut O,
    ) -> bool {
        while self.due.smallest() < limit {
            if *budget == 0 {
                return false;
            }
            let replica = self.due.first();
            self.advance(replica, limit, budget, prefixes, snapshots, observer);
        }
        self.flush(observer);
        true
    }

    /// Runs the replica that may have news first until it has or comes to `limit` or to where another may have some;
    /// false if none has anything to do before `limit`. Gives the replica.
    pub(super) fn catch_up_first<O: Observer>(
        &mut self,
        limit: i64,
        budget: &mut u64,
        prefixes: &PrefixTree,
        snapshots: &mut Snapshots,
        observer: &mut O,
    ) -> Option<usize> {
        let (replica, due) = (self.due.first(), self.due.smallest());
        if due >= limit {
            return None;
        }
        self.due.set(replica, i64::MAX);
        let others = self.due.smallest().max(due + 1);
        self.advance(replica, limit.min(others), budget, prefixes, snapshots, observer);
        Some(replica)
    }

    /// Lets a closed-loop source learn what became of requests.
    pub(super) fn tell_outcomes<S: RequestSource>(&mut self, replica: usize, source: &mut S) {
        for outcome in self.engines[replica].outcomes().iter_mut().flat_map(|outcomes| outcomes.drain(..)) {
            source.settled(&outcome);
        }
    }

    /// Runs all replicas to `limit`, every event before it done; false if the budget is used up before.
    pub(super) fn catch_up_all<O: Observer>(
        &mut self,
        limit: i64,
        budget: &mut u64,
        prefixes: &PrefixTree,
        snapshots: &mut Snapshots,
        observer: &mut O,
    ) -> bool {
        for replica in 0..self.engines.len() {
            while self.engines[replica].next_event() < limit {
                if *budget == 0 {
                    return false;
                }
                self.advance(replica, limit, budget, prefixes, snapshots, observer);
            }
        }
        self.flush(observer);
        true
    }

    fn advance<O: Observer>(
        &mut self,
        replica: usize,
        limit: i64,
        budget: &mut u64,
        prefixes: &PrefixTree,
        snapshots: &mut Snapshots,
        observer: &mut O,
    ) {
        self.turn(replica, budget, observer, |engine, budget, tap| {
            engine.advance(limit, budget, prefixes, tap);
        });
        let engine = &mut self.engines[replica];
        let due = match self.currency {
            Currency::Counts => engine.quiet_until(prefixes),
            Currency::Any | Currency::Everything => engine.next_event(),
        };
        self.due.set(replica, due);
        self.read(replica, snapshots);
    }

    /// Lets one engine work, its observations told as those of this replica and its steps taken from the budget.
    #[inline]
    fn turn<O: Observer>(
        &mut self,
        replica: usize,
        budget: &mut u64,
        observer: &mut O,
        work: impl FnOnce(&mut Engine, u64, &mut Tap<'_, O>),
    ) {
        let is_single = self.engines.len() == 1;
        if !is_single && observer.wants_events() {
            observer.turn_to(replica as u32);
        }
        let engine = &mut self.engines[replica];
        let before = engine.steps();
        let mut tap = Tap {
            observer,
            replica: replica as u32,
            in_flight: &mut self.in_flight[replica],
            samples: (!is_single).then_some(&mut self.samples),
        };
        work(engine, *budget, &mut tap);
        *budget = budget.saturating_sub(engine.steps() - before);
    }

    /// The replica whose next event is the earliest, and its time; the lowest index among equals.
    #[cfg(feature = "oracle")]
    pub(super) fn earliest(&mut self) -> (usize, i64) {
        let mut earliest = (0, i64::MAX);
        for (replica, engine) in self.engines.iter_mut().enumerate() {
            let time = engine.next_event();
            if time < earliest.1 {
                earliest = (replica, time);
            }
        }
        earliest
    }

    /// Processes exactly one event of one replica.
    #[cfg(feature = "oracle")]
    pub(super) fn process_next<O: Observer>(
        &mut self,
        replica: usize,
        budget: &mut u64,
        prefixes: &PrefixTree,
        snapshots: &mut Snapshots,
        observer: &mut O,
    ) {
        self.turn(replica, budget, observer, |engine, _, tap| engine.process_next(prefixes, tap));
        self.read(replica, snapshots);
    }

    /// Tells the queue samples so far.
    pub(super) fn flush<O: Observer>(&mut self, observer: &mut O) {
        self.samples.flush(observer);
    }

    /// Settles the requests that are left; the totals by replica.
    pub(super) fn finish<O: Observer>(mut self, observer: &mut O) -> Vec<ReplicaTotals> {
        self.flush(observer);
        let in_flight = self.in_flight.iter_mut();
        let mut totals = Vec::with_capacity(self.engines.len());
        for ((replica, engine), in_flight) in self.engines.into_iter().enumerate().zip(in_flight) {
            let mut tap = Tap { observer, replica: replica as u32, in_flight, samples: None };
            totals.push(engine.finish(&mut tap));
        }
        totals
    }
}
