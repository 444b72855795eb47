//! The source of a resolved workload, whatever it is made of.

use super::generator::mean_unit_gap;
use super::{
    ConversationSource, Delayed, FrontEnd, Generator, Mix, Outcome, PrefixTree, Request, RequestDetail, RequestSource,
    Trace, TraceSource,
};
use crate::latency::ClientEffects;
use crate::random::Seed;
use crate::scenario::{ClientSettings, WorkloadSettings};
use crate::time::SimTime;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;

/// Requests drawn or replayed.
#[derive(Debug, Clone)]
pub enum Source {
    /// One kind of request at a rate.
    Drawn(Box<Generator>),
    /// Several clients, conversations or users.
    Mixed(Box<Mix>),
    /// A recorded trace.
    Replayed(TraceSource),
    /// A recorded trace whose conversations wait for their answers.
    Conversed(Box<ConversationSource>),
    /// Any of these behind a front end that delays requests.
    Delayed(Box<Delayed>),
}

/// Requests per second of a mix whose pace is looked at: slow, so that rounding to microseconds is nothing.
const UNIT_RATE: f64 = 1e-3;

/// What the unnamed class and the unnamed tenant are called where there are no others.
static UNNAMED: [String; 1] = [String::new()];

impl Source {
    /// The requests of a run: `num_requests` of them at `request_rate` per second.
    ///
    /// A trace replaces all else. `horizon` is the last tick at which something may arrive.
    #[must_use]
    pub fn new(
        workload: &WorkloadSettings,
        trace: Option<&Arc<Trace>>,
        request_rate: f64,
        num_requests: u32,
        (seed, replicate): (u64, u32),
        horizon: SimTime,
    ) -> Self {
        if let Some(trace) = trace {
            return Self::Replayed(TraceSource::at_rate(Arc::clone(trace), request_rate, num_requests));
        }
        if workload.clients.is_empty() && workload.closed_loop.is_none() {
            return Self::Drawn(Box::new(Generator::new(workload, request_rate, num_requests, seed, replicate)));
        }
        Self::Mixed(Box::new(Mix::new(workload, request_rate, num_requests, seed, replicate, horizon)))
    }

    /// The rate to draw with so that `num_requests` arrivals come at `request_rate` per second on average.
    ///
    /// Arrivals drawn at a rate come at it up to 1/√n, which a run of 2,000 requests cannot tell from another load: of a
    /// Poisson process 2 %. With one factor on all gaps they are the same arrivals at exactly the rate; a Poisson process
    /// is then one of which the end is given.
    ///
    /// Only gaps of which a rate is all that is known can be stretched so: not those of users and sessions, which have
    /// think times, nor windows of time. For these it is `request_rate` itself.
    #[must_use]
    pub fn drawn_rate(
        workload: &WorkloadSettings,
        request_rate: f64,
        num_requests: u32,
        (seed, replicate): (u64, u32),
    ) -> f64 {
        let is_free = |client: &ClientSettings| {
            client.session.is_none() && client.closed_loop.is_none() && client.active.is_empty()
        };
        let mean_gap = if workload.closed_loop.is_some() || !workload.clients.iter().all(is_free) {
            1.0
        } else if workload.clients.is_empty() {
            mean_unit_gap(&workload.arrival, num_requests, Seed { seed, replicate })
        } else {
            let mut mix = Mix::new(workload, UNIT_RATE, num_requests, seed, replicate, SimTime::MAX);
            let last = core::iter::from_fn(|| mix.next_request()).last();
            last.map_or(1.0, |request| request.arrive.as_seconds() * UNIT_RATE / f64::from(num_requests))
        };
        request_rate * mean_gap
    }

    /// The requests of a run at the workload's own pace, replicate 0.
    #[must_use]
    pub fn of_run(workload: &WorkloadSettings, trace: Option<&Arc<Trace>>, seed: u64, horizon: SimTime) -> Self {
        if let Some(trace) = trace {
            let choice = workload.trace.as_ref();
            let scale = choice.and_then(|choice| choice.rate_scale).unwrap_or(1.0);
            return match choice.and_then(|choice| choice.think_time) {
                Some(think_time) => {
                    Self::Conversed(Box::new(ConversationSource::new(Arc::clone(trace), think_time, scale, seed)))
                }
                None => Self::Replayed(TraceSource::scaled(Arc::clone(trace), scale)),
            };
        }
        Self::new(workload, None, workload.request_rate, workload.num_requests, (seed, 0), horizon)
    }

    /// The same behind the clients and front ends of so many replicas.
    #[must_use]
    pub fn behind(self, effects: ClientEffects, num_replicas: u32) -> Self {
        if effects.is_none() {
            return self;
        }
        Self::Delayed(Box::new(Delayed::new(self, FrontEnd::new(effects, num_replicas))))
    }

    /// The same, keeping what each request is; for a recording. Before [`Source::behind`].
    #[must_use]
    pub fn with_details(self) -> Self {
        match self {
            Self::Mixed(mix) => Self::Mixed(Box::new(mix.with_details())),
            other => other,
        }
    }

    /// What each request given out so far is, by id; empty where nothing is known or was asked for.
    #[must_use]
    pub fn details(&self) -> &[RequestDetail] {
        match self {
            Self::Mixed(mix) => mix.details(),
            Self::Delayed(delayed) => delayed.source().details(),
            Self::Drawn(_) | Self::Replayed(_) | Self::Conversed(_) => &[],
        }
    }

    /// The trace that is replayed, if one is.
    #[must_use]
    pub fn trace(&self) -> Option<&Trace> {
        match self {
            Self::Delayed(delayed) => delayed.source().trace(),
            Self::Drawn(_) | Self::Mixed(_) => None,
            Self::Replayed(source) => Some(source.trace()),
            Self::Conversed(source) => Some(source.trace()),
        }
    }

    /// Names of the SLO classes by index; entry 0 is the unnamed class.
    #[must_use]
    pub fn classes(&self) -> &[String] {
        match self {
            Self::Delayed(delayed) => delayed.source().classes(),
            Self::Drawn(_) => &UNNAMED,
            Self::Mixed(mix) => mix.classes(),
            Self::Replayed(source) => source.trace().classes(),
            Self::Conversed(source) => source.trace().classes(),
        }
    }

    /// Names of the tenants by index; entry 0 is the unnamed tenant.
    #[must_use]
    pub fn tenants(&self) -> &[String] {
        match self {
            Self::Delayed(delayed) => delayed.source().tenants(),
            Self::Drawn(_) => &UNNAMED,
            Self::Mixed(mix) => mix.tenants(),
            Self::Replayed(source) => source.trace().tenants(),
            Self::Conversed(source) => source.trace().tenants(),
        }
    }
}

impl RequestSource for Source {
    #[inline]
    fn next_request(&mut self) -> Option<Request> {
        match self {
            Self::Delayed(delayed) => delayed.next_request(),
            Self::Drawn(source) => source.next_request(),
            Self::Mixed(source) => source.next_request(),
            Self::Replayed(source) => source.next_request(),
            Self::Conversed(source) => source.next_request(),
        }
    }

    fn prefixes(&self) -> &PrefixTree {
        match self {
            Self::Delayed(delayed) => delayed.source().prefixes(),
            Self::Drawn(source) => source.prefixes(),
            Self::Mixed(source) => source.prefixes(),
            Self::Replayed(source) => source.prefixes(),
            Self::Conversed(source) => source.prefixes(),
        }
    }

    #[inline]
    fn is_closed_loop(&self) -> bool {
        match self {
            Self::Delayed(_) => true,
            Self::Mixed(source) => source.is_closed_loop(),
            Self::Conversed(source) => source.is_closed_loop(),
            Self::Drawn(_) | Self::Replayed(_) => false,
        }
    }

    fn next_arrival(&self) -> Option<SimTime> {
        match self {
            Self::Delayed(delayed) => delayed.next_arrival(),
            Self::Mixed(source) => source.next_arrival(),
            Self::Conversed(source) => source.next_arrival(),
            Self::Drawn(_) | Self::Replayed(_) => None,
        }
    }

    fn settled(&mut self, outcome: &Outcome) {
        match self {
            Self::Delayed(delayed) => delayed.settled(outcome),
            Self::Mixed(source) => source.settled(outcome),
            Self::Conversed(source) => source.settled(outcome),
            Self::Drawn(_) | Self::Replayed(_) => {}
        }
    }
}
