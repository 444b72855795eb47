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
        let zero = self.requests.first().map_or(0, |request| request.arrive.0);
        let (start, end) = (zero.saturating_add(truncate(start_s * 1e6)), zero.saturating_add(truncate(end_s * 1e6)));
        let is_inside = |request: &&Request| (start..end).contains(&request.arrive.0);
        let moved = |request: &Request| {
            let deadline = request.deadline.0;
            let deadline = if deadline > 0 { SimTime((deadline - start).max(1)) } else { SimTime::ZERO };
            Request { arrive: SimTime(request.arrive.0 - start), deadline, ..*request }
        };
        let requests = self.requests.iter().filter(is_inside).map(moved).collect();
        Self::new(requests, self.prefixes.clone(), self.classes.clone(), self.tenants.clone())
            .in_sessions(self.turns.clone())
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

    /// Requests per second as recorded, over the first `num_requests`; none if they span no time.
    ///
    /// From the first to the last arrival there are one fewer gaps than requests.
    #[must_use]
    pub fn request_rate(&self, num_requests: u32) -> Option<f64> {
        let used = &self.requests[..self.requests.len().min(num_requests as usize)];
        let span = used.last()?.arrive.0.checked_sub(used.first()?.arrive.0)?;
        (span > 0).then(|| (used.len() - 1) as f64 / (span as f64 / 1e6))
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

    /// Replays the first `num_requests` with arrival times scaled so that they come at `request_rate` per second.
    ///
    /// Arrivals are scaled about time zero and truncated to the microsecond; the span from arrival to deadline is the
    /// client's and stays. A trace that spans no time is replayed as recorded (definitions 10).
    #[must_use]
    pub fn at_rate(trace: Arc<Trace>, request_rate: f64, num_requests: u32) -> Self {
        let end = trace.requests.len().min(num_requests as usize);
        let stretch = trace.request_rate(num_requests).map(|recorded| recorded / request_rate).filter(|&s| s != 1.0);
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
        assert_eq!(trace.request_rate(u32::MAX), Some(1.0));
        let mut source = TraceSource::at_rate(Arc::clone(&trace), 4.0, u32::MAX);
        let requests: Vec<Request> = core::iter::from_fn(|| source.next_request()).collect();
        assert_eq!(requests.iter().map(|r| r.arrive.0).collect::<Vec<_>>(), [250_000, 750_000, 750_000]);
        assert_eq!(requests.iter().map(|r| r.deadline.0).collect::<Vec<_>>(), [1_750_000, 0, 0]);
        let mut same = TraceSource::at_rate(Arc::clone(&trace), 1.0, u32::MAX);
        assert_eq!(core::iter::from_fn(|| same.next_request()).collect::<Vec<_>>(), trace.requests());
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
