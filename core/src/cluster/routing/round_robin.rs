//! `round-robin`: each in turn.

use super::Choice;
use crate::observation::RoutingReason;

#[derive(Debug, Default)]
pub(in crate::cluster) struct RoundRobin {
    counter: u64,
}

impl RoundRobin {
    #[inline]
    pub(super) fn choose(&mut self, num_replicas: usize) -> Choice {
        let counter = self.counter;
        self.counter += 1;
        Choice { replica: (counter % num_replicas as u64) as usize, reason: RoutingReason::RoundRobin(counter) }
    }
}
