//! `least-loaded`: the smallest effective load.

use super::Choice;
use crate::cluster::snapshot::Snapshots;
use crate::observation::RoutingReason;

#[derive(Debug)]
pub(in crate::cluster) struct LeastLoaded;

impl LeastLoaded {
    #[inline]
    pub(super) fn choose(&self, snapshots: &Snapshots) -> Choice {
        let replica = snapshots.ranked_first();
        Choice { replica, reason: RoutingReason::LeastLoaded(snapshots.all()[replica].effective_load()) }
    }
}
