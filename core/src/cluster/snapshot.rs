//! What the policies see of the replicas, fresh or stale (cluster specification 3).

use super::min_tree::MinTree;
use crate::engine::{CachedPrefixes, Engine, Load};
use crate::workload::{PrefixTree, Request};
use alloc::vec::Vec;

/// One replica as the policies see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Snapshot {
    pub(super) load: Load,
    /// Requests routed to it and not finished; always fresh.
    pub(super) in_flight: u32,
}

impl Snapshot {
    /// Q + S + I: a request in queue or batch counts twice, one on its way once.
    #[inline]
    pub(super) fn effective_load(&self) -> u64 {
        u64::from(self.load.waiting) + u64::from(self.load.running) + u64::from(self.in_flight)
    }
}

/// Which replica is looked for by effective load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ranking {
    /// None.
    Unranked,
    /// The one with the smallest.
    Smallest,
    /// The one with the largest.
    Largest,
}

/// All replicas as the policies see them.
#[derive(Debug)]
pub(super) struct Snapshots {
    all: Vec<Snapshot>,
    ranking: Ranking,
    /// Effective loads, negative where the largest is looked for.
    by_load: MinTree,
    /// Age at which loads are renewed; 0 = always fresh.
    interval: i64,
    renewed: i64,
}

impl Snapshots {
    pub(super) fn new(num_replicas: usize, interval: i64, ranking: Ranking) -> Self {
        Self {
            all: alloc::vec![Snapshot::default(); num_replicas],
            ranking,
            by_load: MinTree::new(num_replicas, 0),
            interval,
            renewed: 0,
        }
    }

    /// By index.
    pub(super) fn all(&self) -> &[Snapshot] {
        &self.all
    }

    /// Whether loads are read at every change rather than from time to time.
    #[inline]
    pub(super) fn are_fresh(&self) -> bool {
        self.interval == 0
    }

    /// Whether a list built at `now` reads the loads anew.
    #[inline]
    pub(super) fn are_due(&self, now: i64) -> bool {
        self.interval > 0 && now - self.renewed >= self.interval
    }

    /// All loads were read at `now`.
    pub(super) fn renew(&mut self, now: i64) {
        self.renewed = now;
    }

    #[inline]
    pub(super) fn set(&mut self, replica: usize, snapshot: Snapshot) {
        self.all[replica] = snapshot;
        let load = snapshot.effective_load() as i64;
        match self.ranking {
            Ranking::Unranked => {}
            Ranking::Smallest => self.by_load.set(replica, load),
            Ranking::Largest => self.by_load.set(replica, -load),
        }
    }

    /// The replica at the asked end of the effective loads; the lowest index among equals.
    #[inline]
    pub(super) fn ranked_first(&self) -> usize {
        self.by_load.first()
    }
}

/// The prefix caches as the scorers see them.
#[derive(Debug)]
pub(super) struct CacheView {
    /// Age at which the copies are renewed; 0 = no copies, always fresh.
    delay: i64,
    renewed: i64,
    copies: Vec<CachedPrefixes>,
}

impl CacheView {
    /// Empty copies, or none without a delay.
    pub(super) fn new(num_replicas: usize, delay: i64) -> Self {
        let count = if delay > 0 { num_replicas } else { 0 };
        Self { delay, renewed: 0, copies: alloc::vec![CachedPrefixes::default(); count] }
    }

    #[inline]
    pub(super) fn are_fresh(&self) -> bool {
        self.delay == 0
    }

    /// Whether a snapshot list built at `now` renews the copies.
    #[inline]
    pub(super) fn are_due(&self, now: i64) -> bool {
        self.delay > 0 && now - self.renewed >= self.delay
    }

    pub(super) fn renew(&mut self, now: i64, engines: &[Engine]) {
        self.renewed = now;
        for (copy, engine) in self.copies.iter_mut().zip(engines) {
            engine.copy_cached_prefixes(copy);
        }
    }

    /// Leading blocks of the prompt that each replica has cached, into `blocks`.
    pub(super) fn count(&self, engines: &mut [Engine], request: &Request, tree: &PrefixTree, blocks: &mut Vec<u32>) {
        blocks.clear();
        if self.are_fresh() {
            blocks.extend(engines.iter_mut().map(|engine| engine.cached_blocks(request, tree)));
        } else {
            let pairs = engines.iter_mut().zip(&self.copies);
            blocks.extend(pairs.map(|(engine, copy)| engine.cached_blocks_in(copy, request, tree)));
        }
    }
}
