//! The pooled inter-token gaps of completed requests, counted by value.
//!
//! A gap counts only when its request completes, but almost all do: so every decode step is counted at once for the
//! whole batch, and what a request took part in is subtracted if it does not complete.
//! For that, the steps that running requests took part in are kept in a log.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// Values below this are counted in a plain array; larger gaps (four seconds and more) are rare.
const DENSE_LIMIT: i64 = 1 << 22;
/// Entries after which the log is cut behind the oldest running request.
const TRIM_EVERY: usize = 1 << 16;

/// Steps of one duration.
#[derive(Debug, Clone, Copy)]
struct Entry {
    gap: i64,
    steps: u64,
}

/// Gap counts and the log of recent steps.
#[derive(Debug, Default)]
pub(super) struct Gaps {
    dense: Vec<u64>,
    sparse: BTreeMap<i64, u64>,
    log: Vec<Entry>,
    /// Log entries cut off in front.
    trimmed: u64,
    trim_at: usize,
}

impl Gaps {
    pub(super) fn new() -> Self {
        Self { trim_at: TRIM_EVERY, ..Self::default() }
    }

    /// Place in the log of the next step.
    #[inline]
    pub(super) fn next_index(&self) -> u64 {
        self.trimmed + self.log.len() as u64
    }

    /// `steps` steps in which `count` requests decoded, `gap` apart.
    #[inline]
    pub(super) fn add(&mut self, gap: i64, steps: u64, count: u64) {
        self.log.push(Entry { gap, steps });
        *self.slot(gap) += steps * count;
    }

    /// Takes back the gaps of a request that joined at `since` and does not complete, but for those it missed.
    pub(super) fn take_back(&mut self, since: u64, missed: &[u64]) {
        let first = (since - self.trimmed) as usize;
        for at in first..self.log.len() {
            let Entry { gap, steps } = self.log[at];
            *self.slot(gap) -= steps;
        }
        for index in missed {
            let Entry { gap, steps } = self.log[(index - self.trimmed) as usize];
            *self.slot(gap) += steps;
        }
    }

    /// Whether the log has grown enough to be worth cutting.
    #[inline]
    pub(super) fn wants_trim(&self) -> bool {
        self.log.len() >= self.trim_at
    }

    /// Forgets the steps before `oldest`, the first one a running request took part in.
    pub(super) fn trim(&mut self, oldest: u64) {
        let count = (oldest - self.trimmed) as usize;
        self.log.drain(..count);
        self.trimmed = oldest;
        self.trim_at = TRIM_EVERY.max(2 * self.log.len());
    }

    /// The counts by ascending value.
    pub(super) fn into_counts(self) -> Vec<(i64, u64)> {
        let dense = self.dense.into_iter().enumerate().filter(|(_, count)| *count > 0);
        dense
            .map(|(gap, count)| (gap as i64, count))
            .chain(self.sparse.into_iter().filter(|(_, count)| *count > 0))
            .collect()
    }

    #[inline]
    fn slot(&mut self, gap: i64) -> &mut u64 {
        let at = gap as usize;
        if at < self.dense.len() {
            return &mut self.dense[at];
        }
        self.grow(gap)
    }

    #[cold]
    fn grow(&mut self, gap: i64) -> &mut u64 {
        if !(0..DENSE_LIMIT).contains(&gap) {
            return self.sparse.entry(gap).or_default();
        }
        let at = gap as usize;
        self.dense.resize((at + 1).next_power_of_two(), 0);
        &mut self.dense[at]
    }
}
