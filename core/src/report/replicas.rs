//! The replicas of a cluster, one by one.

use super::collector::ReplicaSamples;
use super::summary::{Asked, gap_summary, kv_report, summarize};
use super::{KvReport, SummaryJson};
use crate::observation::ReplicaTotals;
use alloc::format;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// An average queue this many times as long as that of all replicas is blocked.
const BLOCKED: f64 = 2.0;

/// One replica of a run.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ReplicaReport {
    /// The reference's summary.
    pub summary: SummaryJson,
    /// Its KV cache.
    pub kv: KvReport,
    /// Steps executed.
    pub steps: u64,
    /// Mean batch size over steps.
    pub mean_running: f64,
    /// Mean queue length over steps.
    pub mean_waiting: f64,
    /// Share of the run's time it was busy, 0–1.
    pub busy_ratio: f64,
}

/// Reports of all replicas of a run that ended at `end`.
pub(super) fn replica_reports(
    totals: &[ReplicaTotals],
    samples: Vec<ReplicaSamples>,
    end: i64,
    num_blocks: u32,
    asked: &Asked,
) -> Vec<ReplicaReport> {
    let report = |(index, (totals, mut samples)): (usize, (&ReplicaTotals, ReplicaSamples))| {
        let stats = |samples: &mut crate::numeric::Samples| asked.stats(&samples.summarize(&asked.percentiles), 1.0);
        let (ttft, e2e, delay) = (stats(&mut samples.ttft), stats(&mut samples.e2e), stats(&mut samples.delay));
        let itl = asked.stats(&gap_summary(totals, &asked.percentiles), 1.0);
        let whole = (totals.busy as f64).max(end as f64);
        ReplicaReport {
            summary: SummaryJson {
                instance_id: format!("instance_{index}"),
                ..summarize(totals, &ttft, &itl, &e2e, &delay)
            },
            kv: kv_report(core::slice::from_ref(totals), num_blocks),
            steps: totals.steps,
            mean_running: per_step(totals.running_sum, totals.steps),
            mean_waiting: per_step(totals.waiting_sum, totals.steps),
            busy_ratio: if whole > 0.0 { totals.busy as f64 / whole } else { 0.0 },
        }
    };
    totals.iter().zip(samples).enumerate().map(report).collect()
}

pub(super) fn per_step(sum: u64, steps: u64) -> f64 {
    if steps == 0 { 0.0 } else { sum as f64 / steps as f64 }
}

/// Replicas whose queue was more than twice as long as the average one (metrics specification 4); never fires with two.
pub(super) fn count_blocked(totals: &[ReplicaTotals]) -> u64 {
    if totals.len() < 2 {
        return 0;
    }
    let averages = || totals.iter().map(|replica| per_step(replica.waiting_sum, replica.steps));
    let mean = averages().sum::<f64>() / totals.len() as f64;
    if mean > 0.0 { averages().filter(|average| *average > BLOCKED * mean).count() as u64 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replica_with_more_than_twice_the_average_queue_is_blocked() {
        let replica = |waiting_sum: u64, steps: u64| ReplicaTotals { waiting_sum, steps, ..ReplicaTotals::default() };
        // Averages 9, 1, 0 of mean 10/3; the idle replica counts with 0.
        assert_eq!(count_blocked(&[replica(18, 2), replica(4, 4), replica(0, 0)]), 1);
        assert_eq!(count_blocked(&[replica(18, 2), replica(0, 0)]), 0, "exactly twice");
        assert_eq!(count_blocked(&[replica(0, 5), replica(0, 5), replica(0, 5)]), 0);
        assert_eq!(count_blocked(&[replica(18, 2)]), 0);
    }
}
