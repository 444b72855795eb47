//! Recorded conversations whose later turns wait for the answers before them (workload specification 8).

use super::{Outcome, PrefixTree, Request, RequestSource, Trace};
use crate::numeric::sort_by_key;
use crate::random::{Purpose, Seed, Stream};
use crate::scenario::ThinkTime;
use crate::time::{SimTime, truncate};
use alloc::collections::{BTreeMap, BinaryHeap};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cmp::Reverse;

/// Replays a trace in a closed loop: the first turn of each conversation arrives when it was recorded, every later one
/// a think time after the answer before it. Requests of no conversation arrive when they were recorded.
///
/// Whoever gives up or is turned away does not come back.
#[derive(Debug, Clone)]
pub struct ConversationSource {
    trace: Arc<Trace>,
    think_time: ThinkTime,
    /// Factor on recorded arrivals; think times and patience are the client's and stay.
    stretch: f64,
    /// Positions of the requests whose arrival is known beforehand, in their order.
    openings: Vec<u32>,
    next: usize,
    /// The turn after each one, by position; its own position where there is none.
    following: Vec<u32>,
    /// Later turns whose arrival is known, by time.
    due: BinaryHeap<Reverse<(i64, u32)>>,
    /// Position of each request whose outcome decides what comes next, by number.
    in_flight: BTreeMap<u32, u32>,
    seed: Seed,
}

impl ConversationSource {
    /// Replays the whole trace with its opening turns at `rate_scale` times the recorded rate.
    #[must_use]
    pub fn new(trace: Arc<Trace>, think_time: ThinkTime, rate_scale: f64, seed: u64) -> Self {
        let requests = trace.requests();
        let mut sessions: BTreeMap<u32, Vec<(u32, u32)>> = BTreeMap::new();
        let mut openings = Vec::new();
        for (position, request) in (0u32..).zip(requests) {
            match trace.turns().get(&request.id) {
                Some(turn) => sessions.entry(turn.session).or_default().push((turn.round, position)),
                None => openings.push(position),
            }
        }
        let mut following: Vec<u32> = (0..requests.len() as u32).collect();
        for turns in sessions.values_mut() {
            sort_by_key(turns, |(round, position)| [(*round).into(), (*position).into()]);
            openings.extend(turns.first().map(|(_, position)| *position));
            for pair in turns.windows(2) {
                following[pair[0].1 as usize] = pair[1].1;
            }
        }
        sort_by_key(&mut openings, |position| [(*position).into(), 0]);
        Self {
            trace,
            think_time,
            stretch: 1.0 / rate_scale,
            openings,
            next: 0,
            following,
            due: BinaryHeap::new(),
            in_flight: BTreeMap::new(),
            seed: Seed { seed, replicate: 0 },
        }
    }

    /// The trace.
    #[must_use]
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    fn recorded(&self, position: u32) -> Option<&Request> {
        self.trace.requests().get(position as usize)
    }

    /// The next request whose arrival is known beforehand, and that arrival.
    fn opening(&self) -> Option<(i64, u32)> {
        let position = *self.openings.get(self.next)?;
        let arrive = self.recorded(position)?.arrive.0;
        Some((if self.stretch == 1.0 { arrive } else { truncate(arrive as f64 * self.stretch) }, position))
    }

    /// From the answer of the turn at `before` to the turn at `position`.
    fn thinks(&self, before: u32, position: u32) -> i64 {
        match self.think_time {
            ThinkTime::Constant { value_us } => i64::try_from(value_us).unwrap_or(i64::MAX),
            ThinkTime::Recorded => match (self.recorded(before), self.recorded(position)) {
                (Some(before), Some(after)) => after.arrive.0.saturating_sub(before.arrive.0).max(0),
                _ => 0,
            },
            ThinkTime::Lognormal { mean_us, std_dev_us } => {
                let ratio = std_dev_us / mean_us;
                let variance = libm::log1p(ratio * ratio);
                // A stream of its own for each turn: when it thinks depends on nothing else.
                let normal = Stream::of_part(self.seed, Purpose::ThinkTime, u64::from(position) + 1).normal();
                truncate(mean_us * libm::exp(libm::sqrt(variance) * normal - variance / 2.0))
            }
        }
    }
}

impl RequestSource for ConversationSource {
    fn next_request(&mut self) -> Option<Request> {
        let opening = self.opening();
        let (arrive, position) = match self.due.peek() {
            Some(Reverse(turn)) if opening.is_none_or(|opening| *turn < opening) => {
                let turn = *turn;
                self.due.pop();
                turn
            }
            _ => {
                self.next += 1;
                opening?
            }
        };
        let mut request = *self.recorded(position)?;
        let patience = request.deadline.0.saturating_sub(request.arrive.0);
        request.arrive = SimTime(arrive);
        if request.deadline.0 > 0 {
            request.deadline = SimTime(arrive.saturating_add(patience).max(1));
        }
        if self.following.get(position as usize).is_some_and(|next| *next != position) {
            self.in_flight.insert(request.id, position);
        }
        Some(request)
    }

    fn prefixes(&self) -> &PrefixTree {
        self.trace.prefixes()
    }

    fn is_closed_loop(&self) -> bool {
        true
    }

    fn next_arrival(&self) -> Option<SimTime> {
        let due = self.due.peek().map(|Reverse((time, _))| *time);
        let first = self.opening().map(|(time, _)| time).into_iter().chain(due).min();
        first.map(SimTime)
    }

    fn settled(&mut self, outcome: &Outcome) {
        let Some(position) = self.in_flight.remove(&outcome.id) else { return };
        let Some(&next) = self.following.get(position as usize) else { return };
        if outcome.context_tokens.is_some() {
            // Arrivals never go back, and what follows an answer follows its end.
            let arrive = outcome.end.0.saturating_add(self.thinks(position, next));
            self.due.push(Reverse((arrive, next)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::request;
    use crate::workload::RecordedTurn;
    use alloc::string::String;

    /// Requests 1, 4 and 2 are one conversation, request 3 stands alone, 5 and 6 are another.
    fn source(think_time: ThinkTime) -> ConversationSource {
        let requests = alloc::vec![
            request(1, 100, 0),
            request(3, 150, 0),
            request(5, 200, 900),
            request(6, 1000, 0),
            request(4, 2000, 2500),
            request(2, 9000, 0),
        ];
        let turn = |session, round| RecordedTurn { session, round };
        let turns = [(1, turn(7, 0)), (4, turn(7, 1)), (2, turn(7, 5)), (5, turn(8, 0)), (6, turn(8, 1))];
        let names = || alloc::vec![String::new()];
        let trace = Trace::new(requests, PrefixTree::new(), names(), names()).in_sessions(turns.into());
        ConversationSource::new(Arc::new(trace), think_time, 1.0, 42)
    }

    fn next(source: &mut ConversationSource) -> Option<(u32, i64, i64)> {
        let arrival = source.next_arrival();
        let request = source.next_request();
        assert_eq!(arrival, request.map(|request| request.arrive));
        request.map(|request| (request.id, request.arrive.0, request.deadline.0))
    }

    fn settle(source: &mut ConversationSource, id: u32, end: i64, context_tokens: Option<u32>) {
        source.settled(&Outcome { id, end: SimTime(end), context_tokens });
    }

    #[test]
    fn later_turns_wait_for_the_answer_and_the_recorded_gap() {
        let mut source = source(ThinkTime::Recorded);
        assert_eq!(next(&mut source), Some((1, 100, 0)));
        assert_eq!(next(&mut source), Some((3, 150, 0)));
        assert_eq!(next(&mut source), Some((5, 200, 900)));
        assert_eq!(next(&mut source), None, "all others wait");
        settle(&mut source, 3, 300, Some(2));
        settle(&mut source, 1, 400, Some(2));
        // 1,900 after the answer, with the same patience of 500.
        assert_eq!(next(&mut source), Some((4, 2300, 2800)));
        settle(&mut source, 5, 900, None);
        assert_eq!(next(&mut source), None, "who gave up does not come back");
        settle(&mut source, 4, 2600, Some(2));
        assert_eq!(next(&mut source), Some((2, 9600, 0)));
        settle(&mut source, 2, 9700, Some(2));
        assert_eq!(next(&mut source), None);
    }

    #[test]
    fn think_times_can_be_given() {
        let third = |think_time| {
            let mut source = source(think_time);
            assert_eq!([(); 3].map(|()| next(&mut source).map_or(0, |turn| turn.0)), [1, 3, 5]);
            settle(&mut source, 1, 400, Some(2));
            next(&mut source).map(|(_, arrive, _)| arrive - 400)
        };
        assert_eq!(third(ThinkTime::Constant { value_us: 30 }), Some(30));
        assert_eq!(third(ThinkTime::Lognormal { mean_us: 70.5, std_dev_us: 0.0 }), Some(70));
        let drawn = third(ThinkTime::Lognormal { mean_us: 1e6, std_dev_us: 1e6 });
        assert_eq!(drawn, third(ThinkTime::Lognormal { mean_us: 1e6, std_dev_us: 1e6 }));
        assert!(drawn.is_some_and(|time| time > 0 && time != 1_000_000), "{drawn:?}");
    }
}
