//! The decision trace of a run and its summary (cluster specification 9).

use crate::observation::{AdmissionDecision, RoutingDecision};
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// A decision, in the order in which they were made.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// Somebody was let in or refused.
    Admission(AdmissionDecision),
    /// Somebody was sent to a replica.
    Routing(RoutingDecision),
}

/// What the decisions of a run came to.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct TraceSummary {
    /// Admission decisions.
    pub total_decisions: u64,
    /// Requests let in.
    pub admitted: u64,
    /// Requests refused.
    pub rejected: u64,
    /// Requests routed to each replica, by index.
    pub targets: Vec<u64>,
    /// Mean over routing decisions of the best candidate's score less that of the chosen one; 0 if candidates were not
    /// recorded.
    pub mean_regret: f64,
    /// Largest of these differences.
    pub max_regret: f64,
}

impl TraceSummary {
    /// How many replicas were sent anything.
    #[must_use]
    pub fn unique_targets(&self) -> usize {
        self.targets.iter().filter(|count| **count > 0).count()
    }
}

/// Counts decisions as they are told.
#[derive(Debug, Clone, Default)]
pub(super) struct Counter {
    summary: TraceSummary,
    regret_sum: f64,
}

impl Counter {
    pub(super) fn admission(&mut self, decision: &AdmissionDecision) {
        self.summary.total_decisions += 1;
        let is_admitted = decision.refused.is_none();
        self.summary.admitted += u64::from(is_admitted);
        self.summary.rejected += u64::from(!is_admitted);
    }

    pub(super) fn routing(&mut self, decision: &RoutingDecision) {
        let replica = decision.replica as usize;
        if replica >= self.summary.targets.len() {
            self.summary.targets.resize(replica + 1, 0);
        }
        self.summary.targets[replica] += 1;
        let regret = decision.regret.unwrap_or(0.0);
        self.regret_sum += regret;
        self.summary.max_regret = self.summary.max_regret.max(regret);
    }

    /// The summary of a run of so many replicas; none if nothing was told.
    pub(super) fn summary(mut self, num_replicas: usize) -> Option<TraceSummary> {
        if self.summary.total_decisions == 0 {
            return None;
        }
        self.summary.targets.resize(num_replicas.max(self.summary.targets.len()), 0);
        let routed: u64 = self.summary.targets.iter().sum();
        if routed > 0 {
            self.summary.mean_regret = self.regret_sum / routed as f64;
        }
        Some(self.summary)
    }
}
