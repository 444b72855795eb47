//! A replica's counts when requests were enqueued, so that a part of its run can be told apart.

use crate::latency::WorkSums;
use crate::observation::{LimiterCounts, PrefixCacheCounts, ReplicaTotals};
use alloc::vec::Vec;

/// Most marks that memory is set aside for beforehand.
const MAX_RESERVED: usize = 2048;

/// The marks of a run, and where the part of it begins that is told.
#[derive(Debug)]
pub(super) struct Marks {
    /// Tick from which on requests and steps count; 0 = the whole run.
    pub(super) start: i64,
    /// Where the part may begin: at one of so many requests.
    num_starts: usize,
    marks: Vec<Mark>,
}

/// What was counted before a request was enqueued.
#[derive(Debug, Clone, Copy, Default)]
struct Mark {
    time: i64,
    limiters: LimiterCounts,
    busy: u64,
    preemptions: u64,
    prefix_cache: PrefixCacheCounts,
    /// Hits, misses and failed reloads of the prefix cache.
    cache: [u64; 3],
    work: WorkSums,
}

impl Marks {
    /// Marks for a part that begins at one of the first `num_starts` requests.
    pub(super) fn new(num_starts: usize) -> Self {
        Self { start: 0, num_starts, marks: Vec::with_capacity(num_starts.min(MAX_RESERVED)) }
    }

    /// Whether a request's mark is needed: the part may begin there, or end, as `is_last` does not deny.
    #[inline]
    pub(super) fn wants(&self, is_last: bool) -> bool {
        self.marks.len() < self.num_starts || is_last
    }

    /// A request is enqueued at `time`; no step that begins then or later is counted yet.
    #[inline(never)]
    pub(super) fn set(&mut self, time: i64, totals: &ReplicaTotals, cache: [u64; 3], work: &WorkSums) {
        let ReplicaTotals { limiters, busy, preemptions, prefix_cache, .. } = *totals;
        self.marks.push(Mark { time, limiters, busy, preemptions, prefix_cache, cache, work: *work });
    }

    /// Leaves in `totals` and `work` only what was counted between the first request that was enqueued from the start
    /// on and the last one: steps with what they took and what stopped admission, preemptions, and use of the cache.
    #[inline(never)]
    pub(super) fn restrict(&self, totals: &mut ReplicaTotals, work: &mut WorkSums) {
        let first = self.marks.partition_point(|mark| mark.time < self.start);
        let (from, to) = match (self.marks.get(first), self.marks.last()) {
            (Some(from), Some(to)) => (*from, *to),
            _ => Default::default(),
        };
        totals.span = (to.time - from.time).unsigned_abs();
        totals.busy = to.busy - from.busy;
        totals.preemptions = to.preemptions - from.preemptions;
        totals.prefix_cache = to.prefix_cache.since(&from.prefix_cache);
        let [hits, misses, tier_misses] = [0, 1, 2].map(|at| to.cache[at] - from.cache[at]);
        (totals.cache_hits, totals.cache_misses, totals.tier_misses) = (hits, misses, tier_misses);
        totals.limiters = to.limiters.since(&from.limiters);
        *work = to.work.since(&from.work);
    }
}
