//! How requests come from their source into the queue.

use super::Fast;
use crate::observation::{Event, Observer};
use crate::workload::{Request, RequestSource};
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
    /// Takes arrivals from the source until the next enqueueing is known: none can come before the arrival of a
    /// request that is not taken yet.
    #[inline]
    pub(super) fn receive<S: RequestSource, O: Observer>(&mut self, source: &mut S, observer: &mut O) {
        loop {
            if self.upcoming.is_none() {
                if self.is_exhausted {
                    return;
                }
                self.upcoming = source.next_request().filter(|request| request.arrive <= self.config.horizon);
                self.is_exhausted = self.upcoming.is_none();
            }
            let Some(request) = self.upcoming else { return };
            if self.enqueueing.peek().is_some_and(|Reverse(next)| next.time < request.arrive.0) {
                return;
            }
            self.upcoming = None;
            self.arrive(request, observer);
        }
    }

    /// Tells a closed-loop source what is new and takes the arrivals up to `next`, the tick of what happens next
    /// otherwise; gives the first arrival that is not taken, as far as is known.
    pub(super) fn receive_closed<S: RequestSource, O: Observer>(
        &mut self,
        source: &mut S,
        next: i64,
        observer: &mut O,
    ) -> i64 {
        for outcome in self.outcomes.iter_mut().flat_map(|outcomes| outcomes.drain(..)) {
            source.settled(&outcome);
        }
        loop {
            let arrival = source.next_arrival().map_or(i64::MAX, |arrival| arrival.0);
            let enqueue = self.enqueueing.peek().map_or(i64::MAX, |Reverse(first)| first.time);
            if arrival > next.min(enqueue).min(self.config.horizon.0) {
                return arrival;
            }
            let Some(request) = source.next_request() else { return i64::MAX };
            self.arrive(request, observer);
        }
    }

    fn arrive<O: Observer>(&mut self, request: Request, observer: &mut O) {
        self.last_arrival = self.last_arrival.max(request.arrive.0);
        if observer.wants_events() {
            observer.event(&Event::Arrive { time: request.arrive, id: request.id });
        }
        let time = request.arrive.0.saturating_add(self.latency.queueing(request.input_tokens));
        self.enqueueing.push(Reverse(Enqueueing { time, sequence: self.sequence, request }));
        self.sequence += 1;
    }
}
