//! `prefix-affinity`: the replica that was sent most of the prompt's beginning before.

use super::record::RoutedPrefixes;
use super::{Choice, View};
use crate::observation::RoutingReason;
use crate::workload::Request;

#[derive(Debug)]
pub(in crate::cluster) struct PrefixAffinity {
    routed: RoutedPrefixes,
}

impl PrefixAffinity {
    pub(super) fn new(num_replicas: usize, block_size: u32) -> Self {
        Self { routed: RoutedPrefixes::new(num_replicas, block_size) }
    }

    pub(super) fn choose(&mut self, request: &Request, view: &View<'_>) -> Choice {
        let matched = self.routed.match_prompt(request, view.prefixes);
        let longest = matched.iter().copied().max().unwrap_or(0);
        let replica = if longest == 0 {
            view.snapshots.ranked_first()
        } else {
            let loads = view.snapshots.all().iter().zip(matched).enumerate();
            let reaching = loads.filter(|(_, (_, matched))| **matched == longest);
            let lightest = reaching.min_by_key(|(_, (snapshot, _))| snapshot.effective_load());
            lightest.map_or(0, |(replica, _)| replica)
        };
        self.routed.record(replica, request);
        Choice { replica, reason: RoutingReason::PrefixAffinity(longest) }
    }
}
