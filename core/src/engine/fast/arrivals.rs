//! How requests that reach the replica come into the queue.

use super::Fast;
use crate::observation::{Event, Observer};
use crate::time::SimTime;
use crate::workload::Request;
use core::cmp::Reverse;

/// A request on its way into the queue, by the time it gets there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Enqueueing {
    pub time: i64,
    pub sequence: u64,
    pub request: Request,
}

impl Ord for Enqueueing {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        (self.time, self.sequence).cmp(&(other.time, other.sequence))
    }
}

impl PartialOrd for Enqueueing {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Fast {
    /// [`crate::engine::Engine::submit`].
    #[inline]
    pub(in crate::engine) fn submit(&mut self, request: Request, time: i64) -> i64 {
        self.inbox.push_back((request, time));
        self.enqueue_time(&request, time)
    }

    /// Takes arrivals from the inbox until the next enqueueing is known: none can come before the arrival of a
    /// request that is not taken yet.
    #[inline]
    pub(super) fn receive<O: Observer>(&mut self, observer: &mut O) {
        while let Some(&(request, arrive)) = self.inbox.front() {
            if self.enqueueing.peek().is_some_and(|Reverse(next)| next.time < arrive) {
                return;
            }
            self.inbox.pop_front();
            self.last_arrival = self.last_arrival.max(arrive);
            if observer.wants_events() {
                observer.event(&Event::Arrive { time: SimTime(arrive), id: request.id });
            }
            let time = self.enqueue_time(&request, arrive);
            self.enqueueing.push(Reverse(Enqueueing { time, sequence: self.sequence, request }));
            self.sequence += 1;
        }
    }

    #[inline]
    fn enqueue_time(&self, request: &Request, arrive: i64) -> i64 {
        arrive.saturating_add(self.latency.queueing(request.input_tokens))
    }
}
