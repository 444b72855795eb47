//! Which replicas were used least recently (scorer `no-hit-lru`).

use alloc::vec::Vec;

/// Replicas by last use.
#[derive(Debug)]
pub(super) struct Recency {
    /// Never used first, in index order, then by last use.
    order: Vec<usize>,
}

impl Recency {
    pub(super) fn new(num_replicas: usize) -> Self {
        Self { order: (0..num_replicas).collect() }
    }

    /// Replica `replica` was used.
    pub(super) fn touch(&mut self, replica: usize) {
        if let Some(place) = self.order.iter().position(|other| *other == replica) {
            self.order[place..].rotate_left(1);
        }
    }

    /// From 1 for the one not used for longest down to 0, each with its index.
    pub(super) fn scores(&self) -> impl Iterator<Item = (usize, f64)> + '_ {
        let last = self.order.len().saturating_sub(1);
        let score = move |rank: usize| if last == 0 { 1.0 } else { 1.0 - rank as f64 / last as f64 };
        self.order.iter().enumerate().map(move |(rank, replica)| (*replica, score(rank)))
    }
}
