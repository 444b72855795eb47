//! Which replica serves a request (cluster specification 5): one file per policy.

mod always_busiest;
mod least_loaded;
mod prefix_affinity;
mod recency;
mod record;
mod round_robin;
mod scorer;
mod weighted;

use super::snapshot::{CacheView, Ranking, Snapshots};
use crate::engine::Engine;
use crate::observation::RoutingReason;
use crate::scenario::{ClusterConfig, EngineConfig, RoutingConfig};
use crate::workload::{PrefixTree, Request};
use always_busiest::AlwaysBusiest;
use least_loaded::LeastLoaded;
use prefix_affinity::PrefixAffinity;
use round_robin::RoundRobin;
pub(super) use scorer::AloneScore;
use weighted::Weighted;

/// A routing policy and its state.
#[derive(Debug)]
pub(super) enum Router {
    RoundRobin(RoundRobin),
    LeastLoaded(LeastLoaded),
    Weighted(Weighted),
    PrefixAffinity(PrefixAffinity),
    AlwaysBusiest(AlwaysBusiest),
}

/// What a router may look at.
pub(super) struct View<'a> {
    pub(super) snapshots: &'a Snapshots,
    pub(super) caches: &'a CacheView,
    pub(super) engines: &'a mut [Engine],
    pub(super) prefixes: &'a PrefixTree,
}

/// A replica and what spoke for it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Choice {
    pub(super) replica: usize,
    pub(super) reason: RoutingReason,
}

/// Which facts a router rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Needs {
    /// Requests waiting, running or in flight.
    pub(super) counts: bool,
    /// KV blocks in use.
    pub(super) blocks: bool,
    /// Prefix caches.
    pub(super) caches: bool,
}

impl Router {
    pub(super) fn new(cluster: &ClusterConfig, engine: &EngineConfig) -> Self {
        match &cluster.routing {
            RoutingConfig::RoundRobin => Self::RoundRobin(RoundRobin::default()),
            RoutingConfig::LeastLoaded => Self::LeastLoaded(LeastLoaded),
            RoutingConfig::AlwaysBusiest => Self::AlwaysBusiest(AlwaysBusiest),
            RoutingConfig::PrefixAffinity => {
                Self::PrefixAffinity(PrefixAffinity::new(cluster.num_replicas as usize, engine.block_size))
            }
            RoutingConfig::Weighted(scorers) => {
                Self::Weighted(Weighted::new(scorers, cluster.num_replicas as usize, engine))
            }
        }
    }

    pub(super) fn needs(&self) -> Needs {
        match self {
            Self::RoundRobin(_) => Needs::default(),
            Self::LeastLoaded(_) | Self::AlwaysBusiest(_) | Self::PrefixAffinity(_) => {
                Needs { counts: true, ..Needs::default() }
            }
            Self::Weighted(policy) => policy.needs(),
        }
    }

    /// The order in which the snapshots are to be kept for it.
    pub(super) fn ranking(&self) -> Ranking {
        match self {
            Self::LeastLoaded(_) | Self::PrefixAffinity(_) => Ranking::Smallest,
            Self::AlwaysBusiest(_) => Ranking::Largest,
            Self::Weighted(policy) => policy.ranking(),
            Self::RoundRobin(_) => Ranking::Unranked,
        }
    }

    #[inline]
    pub(super) fn choose(&mut self, request: &Request, view: &mut View<'_>) -> Choice {
        match self {
            Self::RoundRobin(policy) => policy.choose(view.engines.len()),
            Self::LeastLoaded(policy) => policy.choose(view.snapshots),
            Self::AlwaysBusiest(policy) => policy.choose(view.snapshots),
            Self::Weighted(policy) => policy.choose(request, view),
            Self::PrefixAffinity(policy) => policy.choose(request, view),
        }
    }

    /// Lets every choice tell the scores of all replicas from now on.
    pub(super) fn tell_scores(&mut self) {
        if let Self::Weighted(policy) = self {
            policy.tell_scores();
        }
    }

    /// The scores of the last choice, by replica; empty unless the policy is weighted and was asked to tell them.
    pub(super) fn scores(&self) -> &[f64] {
        match self {
            Self::Weighted(policy) => policy.scores(),
            _ => &[],
        }
    }
}
