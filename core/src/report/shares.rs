//! The two bottleneck tables (definitions 5).

use super::{LimiterShares, TimeShare};
use crate::observation::{LimiterCounts, ReplicaTotals};
use alloc::vec::Vec;

/// Share of all steps by what stopped admission while somebody waited.
#[must_use]
pub fn limiter_shares(counts: &LimiterCounts) -> LimiterShares {
    let share = |count: u64| if counts.steps == 0 { 0.0 } else { count as f64 / counts.steps as f64 };
    LimiterShares {
        none: share(counts.none),
        max_num_seqs: share(counts.max_num_seqs),
        max_num_batched_tokens: share(counts.max_num_batched_tokens),
        kv_blocks: share(counts.kv_blocks),
    }
}

/// Share of a run's time by the terms of the latency model, in their order, `idle` last; they add up to 1.
///
/// `span`: the time of all replicas together, microseconds.
///
/// The terms split the busy time in the proportion of what the model attributes to them, so that the truncation of
/// each step to whole microseconds does not show.
#[must_use]
pub fn time_shares(totals: &ReplicaTotals, span: f64, names: &[&str]) -> Vec<TimeShare> {
    let busy = totals.busy as f64;
    // The last step may reach beyond the last event, or a run may be cut inside one.
    let whole = busy.max(span);
    if whole <= 0.0 {
        return Vec::new();
    }
    let terms = totals.time_shares.iter().take(names.len());
    let attributed: f64 = terms.clone().sum();
    let scale = if attributed > 0.0 { busy / attributed / whole } else { 0.0 };
    let mut shares: Vec<TimeShare> =
        names.iter().zip(terms).map(|(&name, &time)| TimeShare { name: name.into(), ratio: time * scale }).collect();
    shares.push(TimeShare { name: "idle".into(), ratio: 1.0 - busy / whole });
    shares
}
