//! Small shared types of reports and curves.

use alloc::string::String;
use serde::{Deserialize, Serialize};

/// Whether a load was sustained (definitions 3), best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The number in system has settled.
    Stable,
    /// Too few requests or too short a window to tell.
    Undecided,
    /// A backlog came and went, or shrinks.
    Backlogged,
    /// The backlog grows through the measured window.
    Overloaded,
}

/// Share of steps in which somebody waited and admission stopped, by the reason; 0–1 of all steps.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct LimiterShares {
    /// Nobody waited.
    pub none: f64,
    /// `max_num_seqs` stopped admission.
    pub max_num_seqs: f64,
    /// The token budget stopped admission.
    pub max_num_batched_tokens: f64,
    /// KV blocks stopped admission.
    pub kv_blocks: f64,
}

/// A share of a run's time by what it was spent on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TimeShare {
    /// Term of the latency model, or `idle`.
    pub name: String,
    /// Share of the run's time, 0–1.
    pub ratio: f64,
}
