//! A measured run offered again, to the simulated engine.

use crate::cluster::simulate;
use crate::engine::Mode;
use crate::latency::LatencyModel;
use crate::measurement::{Measurement, RequestLatency, RunFigures};
use crate::observation::{Observer, QueueSample, RequestRecord};
use crate::scenario::{ClusterConfig, EngineConfig};
use crate::time::SimTime;
use crate::workload::{Outcome, PrefixId, PrefixTree, Request, RequestSource};
use alloc::collections::BinaryHeap;
use alloc::vec::Vec;
use core::cmp::Reverse;
use serde::{Deserialize, Serialize};

/// The requests of a run as its client offered them.
///
/// Without a cap a request is sent when it was sent. With a cap the client is a closed loop: a request is sent when it
/// was wanted, or when one of the earlier ones has ended, whichever is later; the simulated server decides the second.
#[derive(Debug, Clone)]
pub struct Replay {
    requests: Vec<Request>,
    max_concurrency: Option<u32>,
    prefixes: PrefixTree,
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
        let max_concurrency = run.load.max_concurrency;
        // A closed loop of users without a rate wants every request at once.
        let is_paced = run.load.request_rate.is_some_and(f64::is_finite);
        let requests = run.requests.iter().take(max_requests).enumerate().map(|(index, request)| Request {
            id: index as u32,
            arrive: match max_concurrency {
                None => request.send,
                Some(_) if is_paced => request.arrive,
                Some(_) => SimTime::ZERO,
            },
            input_tokens: request.input_tokens.max(1),
            output_tokens: request.output_tokens,
            answer_limit: request.output_tokens,
            deadline: SimTime::ZERO,
            prefix: PrefixId::NONE,
            output_prefix: PrefixId::NONE,
            slo_class: 0,
            tenant: 0,
        });
        let mut requests: Vec<Request> = requests.collect();
        requests.sort_by_key(|request| request.arrive);
        Self { requests, max_concurrency, prefixes: PrefixTree::new() }
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
    ///
    /// `client.first_token_lead`: share of a decode step of the requests that were running when a request came, by which its
    /// first token reaches the client before the step's end. A server that runs prompts in a pass of their own may give
    /// out their tokens before the decode pass behind it; the simulated step is both passes, so the lead is taken off
    /// the TTFT afterwards and changes nothing else.
    /// `client.idle_delay_us`: what a request that finds the server idle waits in addition.
    #[must_use]
    pub fn run(&self, engine: EngineConfig, latency: &LatencyModel, client: ClientEffects) -> Prediction {
        let mut observer = Latencies {
            found: self.requests.iter().map(|_| None).collect(),
            first: i64::MAX,
            last: i64::MIN,
            running: alloc::vec![0; self.requests.len()],
            enqueued: 0,
        };
        let totals =
            simulate(&ClusterConfig::single(), engine, latency.clone(), Client::new(self), Mode::Fast, &mut observer);
        self.apply(client, &mut observer, latency);
        let unserved = RequestLatency { ttft: None, e2e: None, output_tokens: 0 };
        Prediction {
            latencies: observer.found.into_iter().map(|found| found.unwrap_or(unserved)).collect(),
            span_s: (observer.last.saturating_sub(observer.first)).max(0) as f64 / 1e6,
            steps: totals.total.steps,
        }
    }
}

impl Replay {
    fn apply(&self, client: ClientEffects, observer: &mut Latencies, latency: &LatencyModel) {
        let tokens = |request: &Request| u64::from(request.input_tokens) + u64::from(request.output_tokens) / 2;
        let context = self.requests.iter().map(tokens).sum::<u64>() / self.requests.len().max(1) as u64;
        for (request, running) in self.requests.iter().zip(&observer.running) {
            let Some(Some(found)) = observer.found.get_mut(request.id as usize) else { continue };
            if *running == 0 {
                found.ttft = found.ttft.map(|ttft| ttft + client.idle_delay_us);
                found.e2e = found.e2e.map(|e2e| e2e + client.idle_delay_us);
            } else if client.first_token_lead > 0.0
                && let Some(step) = latency.decode_stepper(*running).step_time(u64::from(*running) * context)
            {
                found.ttft = found.ttft.map(|ttft| (ttft - client.first_token_lead * step as f64).max(0.0));
            }
        }
    }
}

/// What a client sees that a simulated step does not have.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClientEffects {
    /// Share of a decode step by which first tokens come before the end of their step, 0–1.
    pub first_token_lead: f64,
    /// What a request that finds the server idle waits in addition, microseconds.
    pub idle_delay_us: f64,
}

/// The client: its next request and its free slots.
struct Client<'a> {
    plan: &'a Replay,
    next: usize,
    /// When each free slot became free; empty without a cap.
    free: BinaryHeap<Reverse<i64>>,
}

impl<'a> Client<'a> {
    fn new(plan: &'a Replay) -> Self {
        let slots = plan.max_concurrency.unwrap_or(0) as usize;
        let free = core::iter::repeat_n(Reverse(i64::MIN), slots.min(plan.requests.len())).collect();
        Self { plan, next: 0, free }
    }
}

impl RequestSource for Client<'_> {
    fn next_request(&mut self) -> Option<Request> {
        let mut request = *self.plan.requests.get(self.next)?;
        if self.plan.max_concurrency.is_some() {
            let Reverse(free) = self.free.pop()?;
            request.arrive = request.arrive.max(SimTime(free));
        }
        self.next += 1;
        Some(request)
    }

    fn prefixes(&self) -> &PrefixTree {
        &self.plan.prefixes
    }

    fn is_closed_loop(&self) -> bool {
        self.plan.max_concurrency.is_some()
    }

    fn next_arrival(&self) -> Option<SimTime> {
        let request = self.plan.requests.get(self.next)?;
        let Reverse(free) = self.free.peek()?;
        Some(request.arrive.max(SimTime(*free)))
    }

    fn settled(&mut self, outcome: &Outcome) {
        self.free.push(Reverse(outcome.end.0.saturating_add(1)));
    }
}

/// Latencies by request.
struct Latencies {
    found: Vec<Option<RequestLatency>>,
    first: i64,
    last: i64,
    /// How many requests were running when each was enqueued, in the order of enqueueing.
    running: Vec<u32>,
    enqueued: usize,
}

impl Observer for Latencies {
    fn enqueued(&mut self, sample: &QueueSample) {
        if let Some(slot) = self.running.get_mut(self.enqueued) {
            *slot = sample.running;
        }
        self.enqueued += 1;
    }

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
    use crate::measurement::{LogFormat, MeasuredDeployment, MeasuredRequest};

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
        // All three are enqueued while at most one runs; half of its step is taken off the TTFT only.
        let client = ClientEffects { first_token_lead: 0.5, idle_delay_us: 700.0 };
        let early = Replay::new(&run(&[0, 1, 2], None), 10).run(engine, &latency, client);
        // The first found the server idle.
        assert_eq!(early.latencies[0].e2e, Some(30_700.0));
        assert_eq!(early.latencies[1].ttft, open.latencies[1].ttft.map(|ttft| ttft - 5000.0));
        assert_eq!(early.latencies[1].e2e, open.latencies[1].e2e);
        let first_two = Replay::new(&run(&[0, 1, 2], None), 2);
        assert_eq!(first_two.len(), 2);
    }
}
