//! Anomaly counters (metrics specification 4).

use crate::time::SimTime;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Things that should not happen, counted; printed if any is above zero.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AnomalyCounters {
    /// Pairs in which the earlier request took more than twice as long as the later one, within a replica and an SLO
    /// class.
    pub priority_inversions: u64,
    /// Replicas whose queue was more than twice as long as the average one.
    pub hol_blocking_events: u64,
    /// Requests refused by the admission policy.
    pub rejected_requests: u64,
    /// The same by SLO class, classes that lost nobody left out; the unnamed class is `standard`.
    pub rejected_by_class: Vec<RejectedClass>,
    /// Requests dropped because they could never fit.
    pub dropped_unservable: u64,
    /// Requests cut by `max_model_len`.
    pub length_capped_requests: u64,
}

/// Requests of one SLO class that were refused.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RejectedClass {
    /// Name; the unnamed class is `standard`.
    pub name: String,
    /// How many.
    pub requests: u64,
}

impl AnomalyCounters {
    /// Whether there is anything to tell.
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.priority_inversions
            + self.hol_blocking_events
            + self.rejected_requests
            + self.dropped_unservable
            + self.length_capped_requests
            > 0
    }
}

/// A completed request, as far as inversions look at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Finished {
    pub(super) replica: u32,
    pub(super) arrive: SimTime,
    pub(super) id: u32,
    pub(super) e2e: SimTime,
}

/// Pairs (i earlier, j later) of a replica with E2E of i more than twice that of j; order is by arrival, then number.
///
/// # Cost
/// n log n in the number of requests.
pub(super) fn count_inversions(finished: &mut [Finished]) -> u64 {
    finished.sort_unstable_by_key(|f| (f.replica, f.arrive, f.id));
    finished.chunk_by(|left, right| left.replica == right.replica).map(inversions_of_one).sum()
}

fn inversions_of_one(finished: &[Finished]) -> u64 {
    let mut times: Vec<i64> = finished.iter().map(|f| f.e2e.0).collect();
    times.sort_unstable();
    times.dedup();
    // A Fenwick tree over the distinct times: how many earlier requests took at most that long.
    let mut tree = alloc::vec![0u64; times.len() + 1];
    let mut inversions = 0;
    for (earlier, request) in finished.iter().enumerate() {
        let bound = request.e2e.0.saturating_mul(2);
        let mut node = times.partition_point(|&t| t <= bound);
        let mut within = 0;
        while node > 0 {
            within += tree[node];
            node &= node - 1;
        }
        inversions += earlier as u64 - within;
        let mut node = times.partition_point(|&t| t < request.e2e.0) + 1;
        while node < tree.len() {
            tree[node] += 1;
            node += node & node.wrapping_neg();
        }
    }
    inversions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inversions_are_the_pairs_of_the_definition() {
        let mut state = 7u32;
        let mut draw = |below: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) % below
        };
        for n in [0, 1, 2, 50, 300] {
            let mut all: Vec<Finished> = (0..n)
                .map(|id| Finished {
                    replica: draw(3),
                    arrive: SimTime(i64::from(draw(40))),
                    id,
                    e2e: SimTime(i64::from(draw(1000))),
                })
                .collect();
            let mut by_pairs = 0;
            for i in &all {
                for j in &all {
                    let is_earlier = i.replica == j.replica && (i.arrive, i.id) < (j.arrive, j.id);
                    by_pairs += u64::from(is_earlier && i.e2e.0 as f64 > 2.0 * j.e2e.0 as f64);
                }
            }
            assert_eq!(count_inversions(&mut all), by_pairs);
        }
    }
}
