//! Recorded requests and their replay, at their own pace or at another rate.

use super::{PrefixTree, Request, RequestSource};
use crate::numeric::sort_by_key;
use crate::scenario::TraceChoice;
use crate::time::{SimTime, truncate};
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// A recorded workload.
#[derive(Debug, Clone, PartialEq)]
pub struct Trace {
    /// Requests by arrival; equal arrivals keep the order of the file.
    requests: Vec<Request>,
    /// The prefixes they share.
    prefixes: PrefixTree,
    /// Names of the SLO classes; [`Request::slo_class`] is an index; entry 0 is the unnamed class.
    classes: Vec<String>,
    /// Names of the tenants; [`Request::tenant`] is an index; entry 0 is the unnamed tenant.
    tenants: Vec<String>,
    /// Which turn of which conversation a request is, by its number; others are requests of their own.
    turns: BTreeMap<u32, RecordedTurn>,
}

/// A turn of a recorded conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RecordedTurn {
    /// Number of the conversation.
    pub session: u32,
    /// Position in it, as recorded.
    pub round: u32,
}

impl Trace {
    /// A trace of these requests; they are put in order of arrival, equal ones in the order given.
    #[must_use]
    pub fn new(mut requests: Vec<Request>, prefixes: PrefixTree, classes: Vec<String>, tenants: Vec<String>) -> Self {
        sort_by_key(&mut requests, |request| [request.arrive.0, 0]);
        Self { requests, prefixes, classes, tenants, turns: BTreeMap::new() }
    }

    /// The same trace, with the requests that are turns of conversations, by their number.
    #[must_use]
    pub fn in_sessions(self, turns: BTreeMap<u32, RecordedTurn>) -> Self {
        Self { turns, ..self }
    }

    /// Which turns of which conversations the requests are, by their number.
    #[must_use]
    pub fn turns(&self) -> &BTreeMap<u32, RecordedTurn> {
        &self.turns
    }

    /// Requests by arrival.
    #[must_use]
    pub fn requests(&self) -> &[Request] {
        &self.requests
    }

    /// The prefixes they share.
    #[must_use]
    pub fn prefixes(&self) -> &PrefixTree {
        &self.prefixes
    }

    /// The part of the trace that a scenario replays.
    #[must_use]
    pub fn chosen(self: &Arc<Self>, choice: &TraceChoice) -> Arc<Self> {
        match choice.window_s {
            Some(window) => Arc::new(self.window(window)),
            None => Arc::clone(self),
        }
    }

    /// The requests from `start_s` to before `end_s` seconds after the first arrival, moved so that the window begins
    /// at time zero; deadlines move along, and requests keep their numbers.
    #[must_use]
    pub fn window(&self, [start_s, end_s]: [f64; 2]) -> Self {
        let (start, inside) = self.inside([start_s, end_s]);
        let moved = |request: &Request| {
            let deadline = request.deadline.0;
            let deadline = if deadline > 0 { SimTime((deadline - start).max(1)) } else { SimTime::ZERO };
            Request { arrive: SimTime(request.arrive.0 - start), deadline, ..*request }
        };
        let requests = inside.iter().map(moved).collect();
        Self::new(requests, self.prefixes.clone(), self.classes.clone(), self.tenants.clone())
            .in_sessions(self.turns.clone())
    }

    /// The time at which a window begins, and the requests in it.
    fn inside(&self, [start_s, end_s]: [f64; 2]) -> (i64, &[Request]) {
        let zero = self.requests.first().map_or(0, |request| request.arrive.0);
        let [start, end] = [start_s, end_s].map(|seconds| zero.saturating_add(truncate(seconds * 1e6)));
        let [first, last] = [start, end].map(|time| self.requests.partition_point(|request| request.arrive.0 < time));
        (start, self.requests.get(first..last).unwrap_or_default())
    }

    /// Names of the SLO classes by index; entry 0 is the unnamed class.
    #[must_use]
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// Names of the tenants by index; entry 0 is the unnamed tenant.
    #[must_use]
    pub fn tenants(&self) -> &[String] {
        &self.tenants
    }

    /// Requests per second as recorded; none if they span no time. This is the ×1 of a replay at a rate.
    #[must_use]
    pub fn request_rate(&self) -> Option<f64> {
        rate(&self.requests)
    }

    /// The same of the part of the trace that a scenario replays.
    #[must_use]
    pub fn chosen_rate(&self, choice: &TraceChoice) -> Option<f64> {
        rate(choice.window_s.map_or(&self.requests, |window| self.inside(window).1))
    }

    /// Requests per second at which the first `num_requests` come where the trace is replayed at `request_rate`.
    ///
    /// A trace whose rate drifts offers its beginning at another rate than the whole.
    #[must_use]
    pub fn offered_rate(&self, request_rate: f64, num_requests: u32) -> f64 {
        let replayed = &self.requests[..self.requests.len().min(num_requests as usize)];
        rate(replayed).zip(self.request_rate()).map_or(request_rate, |(part, whole)| request_rate * (part / whole))
    }

    /// A hash of everything that can change a result, as sixteen hexadecimal digits (FNV-1a, 64 bits).
    ///
    /// Names a trace by its content, so that a scenario can say which trace it means.
    #[must_use]
    pub fn content_hash(&self) -> String {
        let mut hash = Fnv::new();
        hash.word(self.requests.len() as u64);
        for request in &self.requests {
            hash.word(u64::from(request.id));
            hash.word(request.arrive.0 as u64);
            hash.word(u64::from(request.input_tokens) << 32 | u64::from(request.output_tokens));
            hash.word(u64::from(request.answer_limit));
            hash.word(request.deadline.0 as u64);
            hash.word(u64::from(request.prefix.0) << 32 | u64::from(request.output_prefix.0));
            hash.word(u64::from(request.slo_class) << 16 | u64::from(request.tenant));
        }
        for node in (0..self.prefixes.len() as u32).map(super::PrefixId) {
            hash.word(u64::from(self.prefixes.parent(node).0) << 32 | u64::from(self.prefixes.tokens(node)));
        }
        for name in self.classes.iter().chain(&self.tenants) {
            hash.word(name.len() as u64);
            hash.bytes(name.as_bytes());
        }
        for (id, turn) in &self.turns {
            hash.word(u64::from(*id));
            hash.word(u64::from(turn.session) << 32 | u64::from(turn.round));
        }
        alloc::format!("{:016x}", hash.0)
    }
}

/// From the first to the last arrival there are one fewer gaps than requests.
fn rate(requests: &[Request]) -> Option<f64> {
    let span = requests.last()?.arrive.0.checked_sub(requests.first()?.arrive.0)?;
    (span > 0).then(|| (requests.len() - 1) as f64 / (span as f64 / 1e6))
}

/// FNV-1a, 64 bits.
struct Fnv(u64);

impl Fnv {
    fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn bytes(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    fn word(&mut self, word: u64) {
        self.bytes(&word.to_le_bytes());
    }
}

/// Replays a trace; the trace itself is shared, never copied.
#[derive(Debug, Clone)]
pub struct TraceSource {
    trace: Arc<Trace>,
    next: usize,
    end: usize,
    /// Factor on times; none = as recorded, to the microsecond.
    stretch: Option<f64>,
}

impl TraceSource {
    /// Replays the whole trace as recorded.
    #[must_use]
    pub fn new(trace: Arc<Trace>) -> Self {
        let end = trace.requests.len();
        Self { trace, next: 0, end, stretch: None }
    }

    /// Replays the whole trace at `rate_scale` times its own rate.
    #[must_use]
    pub fn scaled(trace: Arc<Trace>, rate_scale: f64) -> Self {
        Self { stretch: Some(1.0 / rate_scale).filter(|&stretch| stretch != 1.0), ..Self::new(trace) }
    }

    /// The trace.
    #[must_use]
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// Replays the first `num_requests` with arrival times scaled so that the trace comes at `request_rate` per second.
    ///
    /// The factor is relative to the rate of all requests of the trace ([`Trace::request_rate`]), however many are
    /// replayed: at that rate a replay is as recorded, and runs of any length have the same arrivals.
    /// Arrivals are scaled about time zero and truncated to the microsecond; the span from arrival to deadline is the
    /// client's and stays. A trace that spans no time is replayed as recorded (definitions 10).
    #[must_use]
    pub fn at_rate(trace: Arc<Trace>, request_rate: f64, num_requests: u32) -> Self {
        let end = trace.requests.len().min(num_requests as usize);
        let stretch = trace.request_rate().map(|recorded| recorded / request_rate).filter(|&s| s != 1.0);
        Self { trace, next: 0, end, stretch }
    }
}

impl RequestSource for TraceSource {
    #[inline]
    fn next_request(&mut self) -> Option<Request> {
        if self.next >= self.end {
            return None;
        }
        let mut request = *self.trace.requests.get(self.next)?;
        self.next += 1;
        if let Some(stretch) = self.stretch {
            let patience = request.deadline.0.saturating_sub(request.arrive.0);
            request.arrive = SimTime(truncate(request.arrive.0 as f64 * stretch));
            if request.deadline.0 > 0 {
                request.deadline = SimTime(request.arrive.0.saturating_add(patience).max(1));
            }
        }
        Some(request)
    }

    fn prefixes(&self) -> &PrefixTree {
        &self.trace.prefixes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::request;

    fn trace() -> Arc<Trace> {
        let requests =
            alloc::vec![request(0, 3_000_000, 0), request(1, 1_000_000, 2_500_000), request(2, 3_000_000, 0)];
        Arc::new(Trace::new(requests, PrefixTree::new(), alloc::vec![String::new()], alloc::vec![String::new()]))
    }

    #[test]
    fn requests_come_by_arrival_then_in_file_order() {
        let mut source = TraceSource::new(trace());
        let ids: Vec<u32> = core::iter::from_fn(|| source.next_request()).map(|r| r.id).collect();
        assert_eq!(ids, [1, 0, 2]);
    }

    #[test]
    fn a_rate_scales_arrivals_and_keeps_patience() {
        let trace = trace();
        assert_eq!(trace.request_rate(), Some(1.0));
        let mut source = TraceSource::at_rate(Arc::clone(&trace), 4.0, u32::MAX);
        let requests: Vec<Request> = core::iter::from_fn(|| source.next_request()).collect();
        assert_eq!(requests.iter().map(|r| r.arrive.0).collect::<Vec<_>>(), [250_000, 750_000, 750_000]);
        assert_eq!(requests.iter().map(|r| r.deadline.0).collect::<Vec<_>>(), [1_750_000, 0, 0]);
        let mut same = TraceSource::at_rate(Arc::clone(&trace), 1.0, u32::MAX);
        assert_eq!(core::iter::from_fn(|| same.next_request()).collect::<Vec<_>>(), trace.requests());
    }

    #[test]
    fn at_the_rate_of_the_window_a_replay_of_any_length_is_as_recorded() {
        // Ten requests per second, then, from second 1 on, one per second.
        let arrivals = (0..10).map(|i| i * 100_000).chain((1..=10).map(|i| i * 1_000_000));
        let requests = arrivals.enumerate().map(|(id, arrive)| request(id as u32, arrive, 0)).collect();
        let unnamed = || alloc::vec![String::new()];
        let whole = Arc::new(Trace::new(requests, PrefixTree::new(), unnamed(), unnamed()));
        assert_eq!(whole.request_rate(), Some(1.9), "19 gaps in 10 s");
        let choice = TraceChoice { window_s: Some([0.5, 9.5]), ..TraceChoice::default() };
        let part = whole.chosen(&choice);
        // At 0.5 to 0.9 s and at 1 to 9 s: 13 gaps in 8.5 s.
        assert_eq!((part.requests().len(), part.request_rate()), (14, Some(13.0 / 8.5)));
        assert_eq!(whole.chosen_rate(&choice), part.request_rate());
        assert_eq!(whole.chosen_rate(&TraceChoice::default()), Some(1.9));
        for num_requests in [3, 8, u32::MAX] {
            let mut source = TraceSource::at_rate(Arc::clone(&part), 13.0 / 8.5, num_requests);
            let replayed: Vec<Request> = core::iter::from_fn(|| source.next_request()).collect();
            assert_eq!(replayed, part.requests()[..part.requests().len().min(num_requests as usize)]);
        }
        // The first six come in 0.5 s.
        assert_eq!(part.offered_rate(13.0 / 8.5, 6), 10.0);
        assert_eq!(part.offered_rate(4.0, u32::MAX), 4.0);
        let backwards = TraceChoice { window_s: Some([2.0, 1.0]), ..TraceChoice::default() };
        assert_eq!(whole.chosen_rate(&backwards), None);
    }

    #[test]
    fn a_scale_of_the_rate_divides_times() {
        let requests = |scale| {
            core::iter::from_fn({
                let mut source = TraceSource::scaled(trace(), scale);
                move || source.next_request()
            })
        };
        assert_eq!(requests(2.0).map(|r| r.arrive.0).collect::<Vec<_>>(), [500_000, 1_500_000, 1_500_000]);
        assert_eq!(requests(1.0).collect::<Vec<_>>(), trace().requests());
    }

    #[test]
    fn a_window_is_cut_out_and_begins_at_zero() {
        let trace = trace();
        assert_eq!(
            trace.window([0.0, 2.0]).requests(),
            [Request { arrive: SimTime(0), deadline: SimTime(1_500_000), ..request(1, 0, 0) }]
        );
        let rest = trace.window([1.5, 2.1]);
        assert_eq!(
            rest.requests().iter().map(|r| (r.id, r.arrive.0)).collect::<Vec<_>>(),
            [(0, 500_000), (2, 500_000)]
        );
        assert!(trace.window([2.1, 9.0]).requests().is_empty());
    }

    #[test]
    fn the_hash_names_the_content() {
        let a = trace();
        let mut requests = a.requests().to_vec();
        requests[2].output_tokens += 1;
        let b = Trace::new(requests, PrefixTree::new(), a.classes().to_vec(), a.tenants().to_vec());
        assert_eq!(a.content_hash().len(), 16);
        assert_eq!(a.content_hash(), trace().content_hash());
        assert_ne!(a.content_hash(), b.content_hash());
    }
}
