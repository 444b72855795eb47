//! A measured run offered again, to the simulated engine.

use crate::cluster::Simulation;
use crate::engine::{Mode, blocks_alone};
use crate::latency::{ClientEffects, LatencyModel};
use crate::measurement::{ClientLoad, Measurement, RequestLatency, RunFigures};
use crate::observation::{Observer, QueueSample, RequestRecord};
use crate::scenario::{Batching, ClusterConfig, EngineConfig, Rules, VllmRules};
use crate::time::SimTime;
use crate::workload::{FrontEnd, Outcome, PrefixTree, Request, RequestSource};
use alloc::collections::BinaryHeap;
use alloc::vec::Vec;
use core::cmp::Reverse;

/// The requests of a run as its client offered them.
///
/// Without a cap a request is sent when it was sent. With a cap the client is a closed loop: a request is sent when it
/// was wanted, or when one of the earlier ones has ended, whichever is later; the simulated server decides the second.
/// A cap that the log does not state is found in it ([`ClientLoad::of`]).
#[derive(Debug, Clone)]
pub struct Replay {
    requests: Vec<Request>,
    max_concurrency: Option<u32>,
    prefixes: PrefixTree,
    /// Tokens of the largest request, which was served and so fits into the memory, whatever is thought of it.
    largest: u64,
}

/// What the simulated server made of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Prediction {
    /// Latencies in the order of the measurement; absent for requests that were not served.
    pub latencies: Vec<RequestLatency>,
    /// First send to last completion, seconds.
    pub span_s: f64,
    /// Steps that were simulated, a measure of the work.
    pub steps: u64,
}

impl Prediction {
    /// The figures of the run.
    #[must_use]
    pub fn figures(&self) -> RunFigures {
        RunFigures::of_requests(self.latencies.iter().copied(), self.span_s)
    }
}

impl Replay {
    /// Of the first `max_requests` requests of a run.
    #[must_use]
    pub fn new(run: &Measurement, max_requests: usize) -> Self {
        let load = ClientLoad::of(run);
        let max_concurrency = load.cap;
        // A closed loop of users without a rate wants every request at once.
        let is_paced = load.is_found || run.load.request_rate.is_some_and(f64::is_finite);
        let requests = run.requests.iter().take(max_requests).enumerate().map(|(index, request)| {
            let arrive = match max_concurrency {
                None => request.send,
                Some(_) if is_paced => request.arrive,
                Some(_) => SimTime::ZERO,
            };
            Request::plain(index as u32, arrive, request.input_tokens.max(1), request.output_tokens)
        });
        let mut requests: Vec<Request> = requests.collect();
        requests.sort_by_key(|request| request.arrive);
        let tokens = |request: &Request| u64::from(request.input_tokens) + u64::from(request.output_tokens);
        let largest = requests.iter().map(tokens).max().unwrap_or(0);
        Self { requests, max_concurrency, prefixes: PrefixTree::new(), largest }
    }

    /// Requests that are offered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.requests.len()
    }

    /// Whether nothing is offered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// Serves the run.
    #[must_use]
    pub fn run(&self, engine: EngineConfig, latency: &LatencyModel, client: ClientEffects) -> Prediction {
        // One block is the server's own.
        let least = blocks_alone(&engine, self.largest).saturating_add(1);
        let num_blocks = engine.num_blocks.max(u32::try_from(least).unwrap_or(u32::MAX));
        let rules = match (engine.rules, Batching::of_fit(latency)) {
            (Rules::VllmV1(rules), Some(batching)) => Rules::VllmV1(VllmRules { batching, ..rules }),
            (rules, _) => rules,
        };
        let engine = EngineConfig { num_blocks, rules, ..engine };
        let mut observer =
            Latencies { found: self.requests.iter().map(|_| None).collect(), first: i64::MAX, last: i64::MIN };
        let source = Client::new(self, client);
        let cluster = ClusterConfig::single();
        let simulation = Simulation::new(&cluster, engine, latency.clone(), source, Mode::Fast);
        let mut simulation = simulation.ignoring_gaps();
        while !simulation.run_for(u64::MAX, &mut observer) {}
        let totals = simulation.finish(&mut observer);
        let unserved = RequestLatency { ttft: None, e2e: None, output_tokens: 0 };
        Prediction {
            latencies: observer.found.into_iter().map(|found| found.unwrap_or(unserved)).collect(),
            span_s: (observer.last.saturating_sub(observer.first)).max(0) as f64 / 1e6,
            steps: totals.total.steps,
        }
    }
}

/// The client: its next request and its free slots.
struct Client<'a> {
    plan: &'a Replay,
    next: usize,
    /// When each free slot became free; empty without a cap.
    free: BinaryHeap<Reverse<i64>>,
    effects: ClientEffects,
    front_end: FrontEnd,
}

impl<'a> Client<'a> {
    fn new(plan: &'a Replay, effects: ClientEffects) -> Self {
        let slots = plan.max_concurrency.unwrap_or(0) as usize;
        let free = core::iter::repeat_n(Reverse(i64::MIN), slots.min(plan.requests.len())).collect();
        Self { plan, next: 0, free, effects, front_end: FrontEnd::new(effects, 1) }
    }
}

impl RequestSource for Client<'_> {
    fn next_request(&mut self) -> Option<Request> {
        let request = *self.plan.requests.get(self.next)?;
        if !self.is_closed_loop() {
            self.next += 1;
            return Some(request);
        }
        let arrive = self.next_arrival()?;
        self.free.pop();
        self.next += 1;
        Some(self.front_end.passed(Request { arrive, ..request }))
    }

    fn prefixes(&self) -> &PrefixTree {
        &self.plan.prefixes
    }

    fn is_closed_loop(&self) -> bool {
        self.plan.max_concurrency.is_some() || !self.effects.is_none()
    }

    /// When the next request is sent.
    fn next_arrival(&self) -> Option<SimTime> {
        let wanted = self.plan.requests.get(self.next)?.arrive;
        match self.plan.max_concurrency {
            Some(_) => self.free.peek().map(|Reverse(free)| wanted.max(SimTime(*free))),
            None => Some(wanted),
        }
    }

    fn settled(&mut self, outcome: &Outcome) {
        self.front_end.ended(outcome.end);
        if self.plan.max_concurrency.is_some() {
            self.free.push(Reverse(outcome.end.0.saturating_add(1)));
        }
    }
}

/// Latencies by request.
struct Latencies {
    found: Vec<Option<RequestLatency>>,
    first: i64,
    last: i64,
}

impl Observer for Latencies {
    fn enqueued(&mut self, _sample: &QueueSample) {}

    fn settled(&mut self, record: &RequestRecord) {
        let arrive = record.request.arrive.0;
        self.first = self.first.min(arrive);
        if let Some(e2e) = record.e2e {
            self.last = self.last.max(arrive.saturating_add(e2e.0));
        }
        if let Some(slot) = self.found.get_mut(record.request.id as usize) {
            *slot = Some(RequestLatency {
                ttft: record.ttft.map(|ttft| ttft.0 as f64),
                e2e: record.e2e.map(|e2e| e2e.0 as f64),
                output_tokens: record.produced_tokens,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calibrate::Deployment;
    use crate::calibrate::tests::catalog;
    use crate::measurement::{ArrivalSource, LogFormat, MeasuredDeployment, MeasuredRequest};

    fn run(arrivals_ms: &[i64], cap: Option<u32>) -> Measurement {
        let mut run = Measurement::new("f", LogFormat::VllmBench);
        run.requests = arrivals_ms
            .iter()
            .map(|at| MeasuredRequest {
                arrive: SimTime(at * 1000),
                send: SimTime(at * 1000),
                input_tokens: 100,
                output_tokens: 3,
                ttft: None,
                e2e: None,
                session: None,
                gaps: 0..0,
            })
            .collect();
        run.load.max_concurrency = cap;
        run.load.request_rate = Some(1.0);
        run
    }

    #[test]
    fn a_cap_makes_later_requests_wait_for_the_simulated_server() {
        // A step takes 10 ms whatever is in it, so a request of three tokens takes 30 ms.
        let latency = LatencyModel::blackbox(&[0.0; 3], &[10_000.0, 0.0, 0.0]).unwrap();
        let engine = Deployment::guess(&catalog(), &MeasuredDeployment::default()).engine;
        let open = Replay::new(&run(&[0, 1, 2], None), 10).run(engine, &latency, ClientEffects::default());
        // The second and third join at 10 ms.
        let ends: Vec<f64> = open.latencies.iter().filter_map(|latency| latency.e2e).collect();
        assert_eq!(ends, [30_000.0, 39_000.0, 38_000.0]);
        assert_eq!(open.span_s, 0.040);
        let closed = Replay::new(&run(&[0, 1, 2], Some(1)), 10).run(engine, &latency, ClientEffects::default());
        let ends: Vec<f64> = closed.latencies.iter().filter_map(|latency| latency.e2e).collect();
        // Each is sent when the one before has ended, a microsecond later.
        assert_eq!(ends, [30_000.0; 3]);
        assert_eq!(closed.span_s, 0.090_002);
        // The first finds nobody and waits 700 µs; the second and third stand behind one and two others, but still join
        // the step after the first's first.
        let client = ClientEffects { idle_delay_us: 700.0, busy_delay_us: 100.0 };
        let slow = Replay::new(&run(&[0, 1, 2], None), 10).run(engine, &latency, client);
        let ttfts: Vec<f64> = slow.latencies.iter().filter_map(|latency| latency.ttft).collect();
        assert_eq!(ttfts, [10_700.0, 19_700.0, 18_700.0]);
        let slow = Replay::new(&run(&[0, 40, 41], Some(1)), 10).run(engine, &latency, client);
        let ends: Vec<f64> = slow.latencies.iter().filter_map(|latency| latency.e2e).collect();
        assert_eq!(ends, [30_700.0; 3]);
        let first_two = Replay::new(&run(&[0, 1, 2], None), 2);
        assert_eq!(first_two.len(), 2);
    }

    #[test]
    fn a_cap_that_no_log_states_is_replayed_as_one() {
        let latency = LatencyModel::blackbox(&[0.0; 3], &[10_000.0, 0.0, 0.0]).unwrap();
        let engine = Deployment::guess(&catalog(), &MeasuredDeployment::default()).engine;
        let serve = |run: &Measurement| Replay::new(run, 100).run(engine, &latency, ClientEffects::default());
        // One request every 5 ms, of 30 ms each, one at a time; the measured server took 31.
        let wanted: Vec<i64> = (0..20).map(|at| 5 * at).collect();
        let stated = run(&wanted, Some(1));
        let mut found = run(&wanted, None);
        found.load.request_rate = None;
        found.arrivals = ArrivalSource::Recorded;
        for (at, request) in (0i64..).zip(&mut found.requests) {
            request.send = SimTime(31_000 * at);
            request.e2e = Some(SimTime(31_000));
        }
        assert_eq!(serve(&found), serve(&stated));
        // Sent as they were sent, they would have met nobody.
        found.arrivals = ArrivalSource::Derived;
        assert_ne!(serve(&found), serve(&stated));
    }

    #[test]
    fn a_request_that_was_served_fits_into_the_memory() {
        let mut run = run(&[0, 5], None);
        (run.requests[1].input_tokens, run.requests[1].output_tokens) = (100, 30);
        // Two blocks of 16 tokens hold none of 130; nine are as many as the largest request needs.
        let engine = Deployment::guess(&catalog(), &MeasuredDeployment::default()).engine;
        let small = EngineConfig { num_blocks: 2, ..engine };
        let latency = LatencyModel::blackbox(&[0.0; 3], &[10_000.0, 0.0, 0.0]).unwrap();
        let found = Replay::new(&run, 10).run(small, &latency, ClientEffects::default());
        assert!(found.latencies.iter().all(|latency| latency.e2e.is_some()));
    }
}
