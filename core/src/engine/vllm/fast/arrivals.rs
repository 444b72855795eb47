//! How requests that reach the replica come into the queue.

use super::Fast;
use crate::engine::marks::Marks;
use crate::observation::{Event, Observer};
use crate::time::SimTime;
use crate::workload::Request;
use core::cmp::Reverse;

impl Fast {
    /// [`crate::engine::Engine::submit`].
    #[inline]
    pub(in crate::engine) fn submit(&mut self, request: Request, time: i64) -> i64 {
        let enqueue = self.enqueue_time(&request, time);
        let slot = self.slots.insert(request);
        self.inbox.push_back((slot, time));
        enqueue
    }

    /// Takes arrivals from the inbox until the next enqueueing is known: none can come before the arrival of a
    /// request that is not taken yet.
    #[inline]
    pub(super) fn receive<O: Observer>(&mut self, observer: &mut O) {
        while let Some(&(slot, arrive)) = self.inbox.front() {
            if self.next_enqueueing() < arrive {
                return;
            }
            self.inbox.pop_front();
            self.last_arrival = self.last_arrival.max(arrive);
            let request = &self.slots.get(slot).request;
            if observer.wants_events() {
                observer.event(&Event::Arrive { time: SimTime(arrive), id: request.id });
            }
            let time = self.enqueue_time(request, arrive);
            self.enqueueing.push(Reverse((time, self.sequence, slot)));
            self.sequence += 1;
        }
    }

    /// When the next request gets into the queue, of those taken from the inbox.
    #[inline]
    pub(super) fn next_enqueueing(&self) -> i64 {
        self.enqueueing.peek().map_or(i64::MAX, |Reverse((time, ..))| *time)
    }

    #[inline]
    fn enqueue_time(&self, request: &Request, arrive: i64) -> i64 {
        arrive
            .saturating_add(self.latency.queueing(request.input_tokens))
            .saturating_add(i64::from(request.front_end_us))
    }

    /// [`crate::engine::Engine::measure`].
    pub(in crate::engine) fn measure(&mut self, num_starts: usize) {
        self.marks = Some(Marks::new(num_starts));
        self.gaps.tell_requests_apart();
    }

    /// [`crate::engine::Engine::measure_from`].
    pub(in crate::engine) fn measure_from(&mut self, start: SimTime) {
        if let Some(marks) = &mut self.marks {
            marks.start = start.0;
        }
    }

    /// A request is enqueued.
    #[inline]
    pub(super) fn mark(&mut self, now: i64) {
        let is_last = self.inbox.is_empty() && self.enqueueing.is_empty();
        let cache = [self.pool.claimed, self.pool.taken, 0];
        if let Some(marks) = self.marks.as_mut().filter(|marks| marks.wants(is_last)) {
            marks.set(now, &self.totals, cache, &self.work);
        }
    }
}
