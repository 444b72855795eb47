//! `always-busiest`: the largest effective load. Pathological, for comparison.

use super::Choice;
use crate::cluster::snapshot::Snapshots;
use crate::observation::RoutingReason;

#[derive(Debug)]
pub(in crate::cluster) struct AlwaysBusiest;

impl AlwaysBusiest {
    #[inline]
    pub(super) fn choose(&self, snapshots: &Snapshots) -> Choice {
        let replica = snapshots.ranked_first();
        Choice { replica, reason: RoutingReason::AlwaysBusiest(snapshots.all()[replica].effective_load()) }
    }
}
