//! The front end between clients and queue: who is in flight, and how long the next one is held up.

use super::{Outcome, Request, RequestSource, Source};
use crate::latency::ClientEffects;
use crate::time::SimTime;
use alloc::vec::Vec;

/// Delays requests by who else is in flight when they are sent.
///
/// Whoever drives it tells it every request in the order of sending, and every end before the first request sent after
/// it. Requests leave in the order in which they come.
#[derive(Debug, Clone)]
pub struct FrontEnd {
    effects: ClientEffects,
    /// Front ends side by side, one for each replica, which share the requests evenly.
    num_replicas: usize,
    /// Requests sent whose end was not before the last send, and the ends since.
    in_flight: usize,
    ends: Vec<i64>,
    last_left: i64,
}

impl FrontEnd {
    /// Nobody in flight.
    #[must_use]
    pub fn new(effects: ClientEffects, num_replicas: u32) -> Self {
        let num_replicas = num_replicas.max(1) as usize;
        Self { effects, num_replicas, in_flight: 0, ends: Vec::new(), last_left: i64::MIN }
    }

    /// A request that is sent, with the time it is held up.
    #[must_use]
    pub fn passed(&mut self, request: Request) -> Request {
        let send = request.arrive.0;
        let before = self.ends.len();
        self.ends.retain(|end| *end > send);
        self.in_flight = self.in_flight.saturating_sub(before - self.ends.len());
        let left = send.saturating_add(self.effects.delay(self.in_flight / self.num_replicas)).max(self.last_left);
        self.last_left = left;
        self.in_flight += 1;
        Request { front_end_us: u32::try_from(left - send).unwrap_or(u32::MAX), ..request }
    }

    /// A request has ended at this time.
    pub fn ended(&mut self, end: SimTime) {
        self.ends.push(end.0);
    }
}

/// A source behind a front end; what it sends is known one request ahead.
#[derive(Debug, Clone)]
pub struct Delayed {
    source: Source,
    front_end: FrontEnd,
    /// The next request of an open source.
    next: Option<Request>,
}

impl Delayed {
    pub(super) fn new(mut source: Source, front_end: FrontEnd) -> Self {
        let next = if source.is_closed_loop() { None } else { source.next_request() };
        Self { source, front_end, next }
    }

    pub(super) fn source(&self) -> &Source {
        &self.source
    }

    pub(super) fn next_request(&mut self) -> Option<Request> {
        let request = if self.source.is_closed_loop() {
            self.source.next_request()
        } else {
            let following = self.source.next_request();
            core::mem::replace(&mut self.next, following)
        };
        request.map(|request| self.front_end.passed(request))
    }

    pub(super) fn next_arrival(&self) -> Option<SimTime> {
        if self.source.is_closed_loop() { self.source.next_arrival() } else { self.next.map(|next| next.arrive) }
    }

    pub(super) fn settled(&mut self, outcome: &Outcome) {
        self.front_end.ended(outcome.end);
        if self.source.is_closed_loop() {
            self.source.settled(outcome);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(arrive: i64) -> Request {
        Request::plain(0, SimTime(arrive), 1, 1)
    }

    #[test]
    fn requests_are_held_up_by_those_in_flight_and_keep_their_order() {
        let mut front_end = FrontEnd::new(ClientEffects { idle_delay_us: 700.0, busy_delay_us: 100.0 }, 1);
        let mut passed = |arrive, ends: &[i64]| {
            ends.iter().for_each(|end| front_end.ended(SimTime(*end)));
            front_end.passed(request(arrive)).front_end_us
        };
        assert_eq!(passed(0, &[]), 700);
        // Behind one other it would leave at 110, but the first leaves at 700.
        assert_eq!(passed(10, &[]), 690);
        assert_eq!(passed(1000, &[]), 200);
        // One has ended at 1900, one ends later than the send.
        assert_eq!(passed(2000, &[1900, 2500]), 200);
        assert_eq!(passed(9000, &[2600, 2700]), 700);
        // Two replicas: two in flight are one for each, one is none.
        let mut front_end = FrontEnd::new(ClientEffects { idle_delay_us: 700.0, busy_delay_us: 100.0 }, 2);
        let delays = [0, 1000, 2000].map(|arrive| front_end.passed(request(arrive)).front_end_us);
        assert_eq!(delays, [700, 700, 100]);
    }
}
