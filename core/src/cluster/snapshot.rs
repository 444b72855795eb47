//! What the policies see of the replicas, fresh or stale (cluster specification 3).

use super::min_tree::MinTree;
use super::routing::AloneScore;
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

/// Which replica is looked for, by effective load if nothing else is said.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Ranking {
    /// None.
    Unranked,
    /// The one with the smallest.
    Smallest,
    /// The one with the largest.
    Largest,
    /// The one with the highest score instead.
    Best(AloneScore),
}

impl Ranking {
    /// A number that is smaller the earlier a replica comes.
    #[inline]
    fn key(&self, snapshot: &Snapshot) -> i64 {
        match self {
            Self::Unranked => 0,
            Self::Smallest => snapshot.effective_load() as i64,
            Self::Largest => -(snapshot.effective_load() as i64),
            // The bits of doubles that are not negative are in the order of their values.
            Self::Best(score) => -(score.of(snapshot).to_bits() as i64),
        }
    }
}

/// All replicas as the policies see them.
#[derive(Debug)]
pub(super) struct Snapshots {
    all: Vec<Snapshot>,
    ranking: Ranking,
    /// Keys of the ranking.
    ranked: MinTree,
    /// Age at which loads are renewed; 0 = always fresh.
    interval: i64,
    renewed: i64,
}

impl Snapshots {
    pub(super) fn new(num_replicas: usize, interval: i64, ranking: Ranking) -> Self {
        let idle = Snapshot::default();
        Self {
            all: alloc::vec![idle; num_replicas],
            ranked: MinTree::new(num_replicas, ranking.key(&idle)),
            ranking,
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
        if self.ranking != Ranking::Unranked {
            self.ranked.set(replica, self.ranking.key(&snapshot));
        }
    }

    /// The replica that comes first in the ranking; the lowest index among equals.
    #[inline]
    pub(super) fn ranked_first(&self) -> usize {
        self.ranked.first()
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
