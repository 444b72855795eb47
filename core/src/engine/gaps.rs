//! The pooled inter-token gaps of completed requests, counted by value.
//!
//! A gap counts only when its request completes, but almost all do: so every decode step is counted at once for the
//! whole batch, and what a request took part in is subtracted if it does not complete.
//! For that, the steps that running requests took part in are kept in a log.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// Values below this are counted in a plain array. Larger gaps (an eighth of a second and more) are few: steps that long,
/// and the stalls of preempted requests, one of which would make the array a hundred times as large as all others need.
const DENSE_LIMIT: i64 = 1 << 17;
/// Entries after which the log is cut behind the oldest running request.
const TRIM_EVERY: usize = 1 << 16;

/// Entries counted together: the counts of one gap and the next lie far apart in memory, and looked up one after the
/// other they wait for each other.
const COUNT_EVERY: usize = 128;

/// Steps of one duration and the requests that decoded in them.
#[derive(Debug, Clone, Copy)]
struct Entry {
    gap: i64,
    steps: u32,
    requests: u32,
}

/// The steps in which a request got tokens other than its first.
#[derive(Debug, Clone)]
pub(super) struct Participation {
    /// Place in the log from which on it takes part in every step; [`NOWHERE`] = in none at present.
    since: u64,
    /// Where it took part before: log entries, the last one excluded.
    earlier: Vec<[u64; 2]>,
    /// Gaps that it had alone.
    own: Vec<i64>,
}

/// No place in the log.
const NOWHERE: u64 = u64::MAX;

impl Participation {
    pub(super) const fn new() -> Self {
        Self { since: NOWHERE, earlier: Vec::new(), own: Vec::new() }
    }

    /// As of a request that has got nothing yet.
    #[inline]
    pub(super) fn clear(&mut self) {
        self.since = NOWHERE;
        self.earlier.clear();
        self.own.clear();
    }

    /// It takes part in the step of this place in the log and in all that follow.
    #[inline]
    pub(super) fn join(&mut self, index: u64) {
        self.since = index;
    }

    /// It takes part in the steps before this place in the log and in none from there on.
    pub(super) fn leave(&mut self, index: u64) {
        let since = core::mem::replace(&mut self.since, NOWHERE);
        if since < index {
            self.earlier.push([since, index]);
        }
    }

    /// The first place in the log that matters to it.
    pub(super) fn first(&self) -> u64 {
        self.earlier.first().map_or(self.since, |[first, _]| *first)
    }

    /// Its runs of log entries in a log that ends at `end`.
    fn runs(&self, end: u64) -> impl Iterator<Item = [u64; 2]> + '_ {
        let last = (self.since < end).then_some([self.since, end]);
        self.earlier.iter().copied().chain(last)
    }
}

/// What completed requests took part in, each with the arrival of its request.
#[derive(Debug, Default)]
struct Completed {
    /// Runs of log entries.
    runs: Vec<(i64, [u32; 2])>,
    own: Vec<(i64, i64)>,
}

/// Gap counts and the log of recent steps.
#[derive(Debug, Default)]
pub(super) struct Gaps {
    dense: Vec<u64>,
    sparse: BTreeMap<i64, u64>,
    log: Vec<Entry>,
    /// Log entries that stand in the counts already.
    counted: usize,
    /// Log entries cut off in front.
    trimmed: u64,
    trim_at: usize,
    is_off: bool,
    /// Of all completed requests, if requests are told apart; then the log is never cut.
    completed: Option<Completed>,
}

impl Gaps {
    pub(super) fn new() -> Self {
        Self { trim_at: TRIM_EVERY, ..Self::default() }
    }

    /// Counts nothing from now on; to be called before anything is counted.
    pub(super) fn switch_off(&mut self) {
        self.is_off = true;
    }

    /// Keeps from now on what [`Gaps::take_back_before`] needs; to be called before anything is counted.
    pub(super) fn tell_requests_apart(&mut self) {
        self.completed = Some(Completed::default());
        self.trim_at = usize::MAX;
    }

    /// Place in the log of the next step.
    #[inline]
    pub(super) fn next_index(&self) -> u64 {
        self.trimmed + self.log.len() as u64
    }

    /// `steps` steps in which `requests` requests decoded, `gap` apart.
    #[inline]
    pub(super) fn add(&mut self, gap: i64, steps: u64, requests: u32) {
        if self.is_off {
            return;
        }
        // A request has fewer than 2³² output tokens, so a run of steps in which none finishes is shorter still.
        self.log.push(Entry { gap, steps: steps as u32, requests });
        if self.log.len() - self.counted >= COUNT_EVERY {
            self.count();
        }
    }

    /// A gap of one request alone, which stands in no log.
    pub(super) fn add_own(&mut self, participation: &mut Participation, gap: i64) {
        if !self.is_off {
            *self.slot(gap) += 1;
            participation.own.push(gap);
        }
    }

    /// Takes back all gaps of a request that does not complete, or not now.
    pub(super) fn take_back(&mut self, participation: &mut Participation) {
        if !self.is_off {
            self.count();
            for gap in &participation.own {
                *self.slot(*gap) -= 1;
            }
            for [from, to] in participation.runs(self.next_index()) {
                for at in from - self.trimmed..to - self.trimmed {
                    let Entry { gap, steps, .. } = self.log[at as usize];
                    *self.slot(gap) -= u64::from(steps);
                }
            }
        }
        participation.clear();
    }

    /// A request that arrived at `arrive` is complete.
    #[inline]
    pub(super) fn completed(&mut self, arrive: i64, participation: &Participation) {
        let end = self.next_index();
        if let Some(completed) = &mut self.completed {
            // A log that is never cut has fewer than 2³² entries, or else no memory holds it.
            let runs = participation.runs(end).map(|run| (arrive, run.map(|at| at as u32)));
            completed.runs.extend(runs);
            completed.own.extend(participation.own.iter().map(|gap| (arrive, *gap)));
        }
    }

    /// Takes back the gaps of the completed requests that arrived before `start`.
    #[inline(never)]
    pub(super) fn take_back_before(&mut self, start: i64) {
        self.count();
        // By log entry, how many of them begin there less how many have ended.
        let mut changes: Vec<i64> = alloc::vec![0; self.log.len() + 1];
        let Completed { runs, own } = self.completed.take().unwrap_or_default();
        for (_, gap) in own.into_iter().filter(|(arrive, _)| *arrive < start) {
            *self.slot(gap) -= 1;
        }
        for (_, [from, to]) in runs.into_iter().filter(|(arrive, _)| *arrive < start) {
            changes[from as usize] += 1;
            changes[to as usize] -= 1;
        }
        let mut requests = 0;
        for (at, change) in changes.into_iter().enumerate().take(self.log.len()) {
            requests += change;
            let Entry { gap, steps, .. } = self.log[at];
            *self.slot(gap) -= u64::from(steps) * requests as u64;
        }
    }

    /// Whether the log has grown enough to be worth cutting.
    #[inline]
    pub(super) fn wants_trim(&self) -> bool {
        self.log.len() >= self.trim_at
    }

    /// Forgets the steps before `oldest`, the first one a running request took part in.
    pub(super) fn trim(&mut self, oldest: u64) {
        self.count();
        let first = (oldest - self.trimmed) as usize;
        self.log.drain(..first);
        self.counted = self.log.len();
        self.trimmed = oldest;
        self.trim_at = TRIM_EVERY.max(2 * self.log.len());
    }

    /// The counts by ascending value.
    pub(super) fn into_counts(mut self) -> Vec<(i64, u64)> {
        self.count();
        let dense = self.dense.into_iter().enumerate().filter(|(_, count)| *count > 0);
        dense
            .map(|(gap, count)| (gap as i64, count))
            .chain(self.sparse.into_iter().filter(|(_, count)| *count > 0))
            .collect()
    }

    /// Brings the counts up to the log.
    fn count(&mut self) {
        for at in self.counted..self.log.len() {
            let Entry { gap, steps, requests } = self.log[at];
            *self.slot(gap) += u64::from(steps) * u64::from(requests);
        }
        self.counted = self.log.len();
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
