//! Decisions of the cluster: who was admitted, who went where, and what else could have been chosen.

use crate::time::SimTime;
use alloc::vec::Vec;
use core::fmt;

/// An admission decision (cluster specification 4 and 9).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AdmissionDecision {
    /// Which request.
    pub id: u32,
    /// When.
    pub time: SimTime,
    /// Why it was refused; none if it was admitted.
    pub refused: Option<AdmissionReason>,
}

/// Why a request was refused; its text form is that of the reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdmissionReason {
    /// The bucket held fewer tokens than the prompt has.
    InsufficientTokens,
    /// Nobody is admitted.
    RejectAll,
}

impl fmt::Display for AdmissionReason {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::InsufficientTokens => "insufficient tokens",
            Self::RejectAll => "reject-all",
        })
    }
}

/// A routing decision (cluster specification 5 and 9).
#[derive(Debug, Clone, PartialEq)]
pub struct RoutingDecision {
    /// Which request.
    pub id: u32,
    /// When.
    pub time: SimTime,
    /// The chosen replica.
    pub replica: u32,
    /// What spoke for it.
    pub reason: RoutingReason,
    /// Score of each replica, by index; empty unless the policy is weighted.
    pub scores: Vec<f64>,
    /// The best candidates, best first; as many as were asked for.
    pub candidates: Vec<Candidate>,
    /// Score of the best candidate less that of the chosen one, at least 0; none unless candidates were asked for.
    pub regret: Option<f64>,
}

/// What spoke for a replica; its text form is that of the reference.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RoutingReason {
    /// Its turn; the counter before it was raised.
    RoundRobin(u64),
    /// Its effective load was the smallest.
    LeastLoaded(u64),
    /// Its effective load was the largest.
    AlwaysBusiest(u64),
    /// Its score was the highest.
    Weighted(f64),
    /// It had so many leading blocks of the prompt on record.
    PrefixAffinity(u32),
}

impl fmt::Display for RoutingReason {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RoundRobin(counter) => write!(out, "round-robin[{counter}]"),
            Self::LeastLoaded(load) => write!(out, "least-loaded (load={load})"),
            Self::AlwaysBusiest(load) => write!(out, "always-busiest (load={load})"),
            Self::Weighted(score) => write!(out, "weighted-scoring (score={score:.3})"),
            Self::PrefixAffinity(blocks) => write!(out, "prefix-affinity (blocks={blocks})"),
        }
    }
}

/// A replica as the router saw it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// Its index.
    pub replica: u32,
    /// The policy's score, or the negative effective load where the policy has none.
    pub score: f64,
    /// Requests waiting.
    pub waiting: u32,
    /// Requests running.
    pub running: u32,
    /// Requests routed to it and not finished.
    pub in_flight: u32,
    /// KV blocks in use.
    pub used_blocks: u32,
    /// KV blocks free.
    pub free_blocks: u32,
}
