//! Many replicas behind one door: admission, routing, and the shared clock (cluster specification).
//!
//! Every run goes through arrival → admission → routing → replica, also one of a single replica.
//! Cluster events come in order of (time, kind, sequence), before any event of a replica at the same time.
//! Replicas influence each other only through the policies, so between two looks of a policy each runs on its own:
//! [`Mode::Fast`] runs each as far ahead as nobody looks, [`Mode::Step`] takes one event at a time as the specification
//! words it. They give the same bytes.

mod admission;
mod min_tree;
mod replicas;
mod routing;
mod snapshot;
mod tap;

use crate::engine::{BlockTables, Engine, Mode};
use crate::latency::LatencyModel;
use crate::numeric::sort_by_key;
use crate::observation::{
    AdmissionDecision, Candidate, Event, Fate, Observer, ReplicaTotals, RequestRecord, RoutingDecision,
};
use crate::scenario::{ClusterConfig, EngineConfig};
use crate::time::{LAST_TICK, SimTime};
use crate::workload::{Outcome, Request, RequestSource};
use admission::Admission;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use replicas::{Currency, Replicas};
use routing::{Choice, Router, View};
use snapshot::{CacheView, Snapshots};

/// Requests routed before the replicas are run, per replica, where nobody looks at them.
const ROUTED_AHEAD: usize = 32;
/// Most requests routed before the replicas are run.
const MAX_ROUTED_AHEAD: usize = 4096;

/// What a cluster counted over a run.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ClusterTotals {
    /// All replicas together: sums, and the largest end and KV peak.
    pub total: ReplicaTotals,
    /// Each replica, by index.
    pub replicas: Vec<ReplicaTotals>,
}

impl ClusterTotals {
    /// The totals of these replicas.
    #[must_use]
    pub fn new(replicas: Vec<ReplicaTotals>) -> Self {
        let mut each = replicas.iter();
        let mut total = each.next().cloned().unwrap_or_default();
        each.for_each(|replica| total.add(replica));
        Self { total, replicas }
    }
}

/// A cluster serving one source of requests, resumable.
pub struct Simulation<S> {
    source: S,
    upcoming: Option<Request>,
    is_exhausted: bool,
    config: ClusterConfig,
    horizon: i64,
    mode: Mode,
    num_blocks: u32,
    /// Requests with an admission decision to come, by its time.
    deciding: VecDeque<(i64, Request)>,
    /// Requests with a routing decision to come, by its time.
    admitted: VecDeque<(i64, Request)>,
    admission: Admission,
    router: Router,
    snapshots: Snapshots,
    caches: CacheView,
    replicas: Replicas,
    currency: Currency,
    /// How many candidates of each routing decision are told, if decisions are told.
    traced: Option<u32>,
    routed_ahead: usize,
    is_looking_at_caches: bool,
    is_closed_loop: bool,
    /// Neither decision takes time, and no policy looks at a replica.
    is_direct: bool,
}

/// What happens next in front of the replicas; the order of the variants is that at equal times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Arrival,
    Admission,
    Routing,
}

impl<S: RequestSource> Simulation<S> {
    /// A simulation at time zero.
    ///
    /// It ends after 2·10¹⁷ µs, whatever its horizon.
    pub fn new(
        cluster: &ClusterConfig,
        mut engine: EngineConfig,
        latency: LatencyModel,
        source: S,
        mode: Mode,
    ) -> Self {
        engine.horizon = engine.horizon.min(SimTime(LAST_TICK));
        let count = cluster.num_replicas.max(1) as usize;
        let router = Router::new(cluster, &engine);
        let needs = router.needs();
        let (interval, delay) = (cluster.snapshot_refresh_interval.0, cluster.cache_signal_delay.0);
        let is_closed_loop = source.is_closed_loop();
        let currency = if (needs.blocks && interval == 0) || (needs.caches && delay == 0) {
            Currency::Everything
        } else if needs.counts || needs.blocks || is_closed_loop {
            Currency::Counts
        } else {
            Currency::Any
        };
        let engines = (1..count).map(|_| Engine::new(engine, latency.clone(), mode)).collect();
        let mut engines: Vec<Engine> = engines;
        engines.push(Engine::new(engine, latency, mode));
        if is_closed_loop {
            engines.iter_mut().for_each(|engine| *engine.outcomes() = Some(Vec::new()));
        }
        Self {
            source,
            upcoming: None,
            is_exhausted: false,
            config: cluster.clone(),
            horizon: engine.horizon.0,
            mode,
            num_blocks: engine.num_blocks,
            deciding: VecDeque::new(),
            admitted: VecDeque::new(),
            admission: Admission::new(cluster.admission),
            snapshots: Snapshots::new(count, interval, router.ranking()),
            router,
            caches: CacheView::new(count, delay),
            replicas: Replicas::new(engines, currency),
            currency,
            traced: None,
            routed_ahead: 0,
            is_looking_at_caches: needs.caches,
            is_closed_loop,
            is_direct: currency == Currency::Any
                && !needs.caches
                && cluster.admission_latency == SimTime(0)
                && cluster.routing_latency == SimTime(0),
        }
    }

    /// The same simulation with each decision told to the observer, and of each routing decision the best `candidates`
    /// replicas; to be called before the first run.
    #[must_use]
    pub fn tracing(mut self, candidates: u32) -> Self {
        self.traced = Some(candidates);
        self.router.tell_scores();
        if candidates > 0 {
            let seen = if self.snapshots.are_fresh() { Currency::Everything } else { Currency::Counts };
            self.currency = self.currency.max(seen);
            self.replicas.require(self.currency);
        }
        self
    }

    /// The same simulation without the counts of single gaps, which take memory by their length; to be called before
    /// the first run.
    #[must_use]
    pub fn ignoring_gaps(mut self) -> Self {
        self.replicas.engines.iter_mut().for_each(Engine::ignore_gaps);
        self
    }

    /// The same simulation with what [`Simulation::finish_from`] needs for a start no later than the enqueueing of the
    /// first `num_starts` requests, of a run that no horizon cuts; it takes memory by its length. To be called before the
    /// first run.
    #[must_use]
    pub fn measuring(mut self, num_starts: u32) -> Self {
        self.replicas.engines.iter_mut().for_each(|engine| engine.measure(num_starts as usize));
        self
    }

    /// Runs until about `max_steps` engine steps were made or nothing is left to do; whether it is finished.
    pub fn run_for<O: Observer>(&mut self, max_steps: u64, observer: &mut O) -> bool {
        let mut budget = max_steps;
        match self.mode {
            #[cfg(feature = "oracle")]
            Mode::Step => self.walk(&mut budget, observer),
            Mode::Fast if self.is_closed_loop => self.skip_closed(&mut budget, observer),
            Mode::Fast => self.skip(&mut budget, observer),
        }
    }

    /// One event at a time (cluster specification 1).
    #[cfg(feature = "oracle")]
    fn walk<O: Observer>(&mut self, budget: &mut u64, observer: &mut O) -> bool {
        while *budget > 0 {
            let cluster = self.next_event();
            let (replica, time) = self.replicas.earliest();
            match cluster {
                Some((at, kind)) if at <= time => {
                    self.replicas.flush(observer);
                    if kind != Kind::Arrival {
                        self.renew(at);
                    }
                    self.execute(kind, at, observer);
                }
                _ if time > self.horizon || time == i64::MAX => return true,
                _ => {
                    let (prefixes, snapshots) = (self.source.prefixes(), &mut self.snapshots);
                    self.replicas.process_next(replica, budget, prefixes, snapshots, observer);
                    self.replicas.tell_outcomes(replica, &mut self.source);
                }
            }
        }
        false
    }

    /// Each replica as far as nobody looks.
    fn skip<O: Observer>(&mut self, budget: &mut u64, observer: &mut O) -> bool {
        if self.is_direct && self.traced.is_none() && !observer.wants_events() {
            return self.skip_directly(budget, observer);
        }
        while let Some((now, kind)) = self.next_event() {
            let is_renewing = kind != Kind::Arrival && self.is_renewing(now);
            let is_looked_at = match self.currency {
                Currency::Any => self.routed_ahead >= self.routed_at_once(),
                Currency::Counts | Currency::Everything => kind == Kind::Routing,
            };
            let (prefixes, snapshots) = (self.source.prefixes(), &mut self.snapshots);
            if is_renewing {
                if !self.replicas.catch_up_all(now, budget, prefixes, snapshots, observer) {
                    return false;
                }
                self.renew(now);
            } else if is_looked_at {
                if !self.replicas.catch_up(now, budget, prefixes, snapshots, observer) {
                    return false;
                }
                self.routed_ahead = 0;
            }
            self.execute(kind, now, observer);
        }
        let (prefixes, snapshots) = (self.source.prefixes(), &mut self.snapshots);
        let end = self.horizon.saturating_add(1);
        self.replicas.catch_up_all(end, budget, prefixes, snapshots, observer)
    }

    /// [`Simulation::skip`] where a request reaches its replica when it arrives, and nobody looks or is told on its way: all
    /// that counts of the decisions is their order, which is that of the arrivals.
    #[inline]
    fn skip_directly<O: Observer>(&mut self, budget: &mut u64, observer: &mut O) -> bool {
        while let Some(request) = self.peek_upcoming() {
            let now = request.arrive.0;
            if self.routed_ahead >= self.routed_at_once() {
                let (prefixes, snapshots) = (self.source.prefixes(), &mut self.snapshots);
                if !self.replicas.catch_up(now, budget, prefixes, snapshots, observer) {
                    return false;
                }
                self.routed_ahead = 0;
            }
            self.upcoming = None;
            if self.admits(&request, now, observer) {
                self.route(request, now, observer);
            }
        }
        let (prefixes, snapshots) = (self.source.prefixes(), &mut self.snapshots);
        let end = self.horizon.saturating_add(1);
        self.replicas.catch_up_all(end, budget, prefixes, snapshots, observer)
    }

    /// Requests routed before the replicas are run.
    #[inline]
    fn routed_at_once(&self) -> usize {
        (ROUTED_AHEAD * self.replicas.len()).min(MAX_ROUTED_AHEAD)
    }

    /// Each replica as far as nobody looks and no other may have news for the source, which may answer them with an
    /// arrival at once.
    fn skip_closed<O: Observer>(&mut self, budget: &mut u64, observer: &mut O) -> bool {
        loop {
            let event = self.next_event();
            let now = event.map_or(self.horizon.saturating_add(1), |(now, _)| now);
            let (prefixes, snapshots) = (self.source.prefixes(), &mut self.snapshots);
            if let Some(replica) = self.replicas.catch_up_first(now, budget, prefixes, snapshots, observer) {
                self.replicas.tell_outcomes(replica, &mut self.source);
                if *budget == 0 {
                    return false;
                }
                continue;
            }
            let (prefixes, snapshots) = (self.source.prefixes(), &mut self.snapshots);
            let Some((now, kind)) = event else {
                return self.replicas.catch_up_all(now, budget, prefixes, snapshots, observer);
            };
            self.replicas.flush(observer);
            if kind != Kind::Arrival && self.is_renewing(now) {
                let (prefixes, snapshots) = (self.source.prefixes(), &mut self.snapshots);
                if !self.replicas.catch_up_all(now, budget, prefixes, snapshots, observer) {
                    return false;
                }
                self.renew(now);
            }
            self.execute(kind, now, observer);
        }
    }

    /// Whether a snapshot list built at `now` is read anew, in part or as a whole.
    #[inline]
    fn is_renewing(&self, now: i64) -> bool {
        (self.currency != Currency::Any && self.snapshots.are_due(now))
            || (self.is_looking_at_caches && self.caches.are_due(now))
    }

    /// Reads anew what is due at `now`; everything before `now` has happened.
    #[inline]
    fn renew(&mut self, now: i64) {
        if self.currency != Currency::Any && self.snapshots.are_due(now) {
            self.replicas.read_all(&mut self.snapshots);
            self.snapshots.renew(now);
        }
        if self.is_looking_at_caches && self.caches.are_due(now) {
            self.caches.renew(now, &self.replicas.engines);
        }
    }

    /// The next event in front of the replicas, if there is one within the horizon.
    #[inline]
    fn next_event(&mut self) -> Option<(i64, Kind)> {
        if self.is_closed_loop {
            let arrival = self.source.next_arrival().map_or(i64::MAX, |arrival| arrival.0);
            return self.first_of(arrival);
        }
        let arrival = self.peek_upcoming().map_or(i64::MAX, |request| request.arrive.0);
        self.first_of(arrival)
    }

    /// The next request of a source that knows all of them beforehand, if it arrives within the horizon.
    #[inline]
    fn peek_upcoming(&mut self) -> Option<Request> {
        if self.upcoming.is_none() && !self.is_exhausted {
            self.upcoming = self.source.next_request().filter(|request| request.arrive.0 <= self.horizon);
            self.is_exhausted = self.upcoming.is_none();
        }
        self.upcoming
    }

    /// The first of the next arrival, admission and routing, if it is within the horizon.
    #[inline]
    fn first_of(&self, arrival: i64) -> Option<(i64, Kind)> {
        let admission = self.deciding.front().map_or(i64::MAX, |(time, _)| *time);
        let routing = self.admitted.front().map_or(i64::MAX, |(time, _)| *time);
        let (time, kind) = if arrival <= admission && arrival <= routing {
            (arrival, Kind::Arrival)
        } else if admission <= routing {
            (admission, Kind::Admission)
        } else {
            (routing, Kind::Routing)
        };
        (time <= self.horizon && time < i64::MAX).then_some((time, kind))
    }

    #[inline]
    fn execute<O: Observer>(&mut self, kind: Kind, now: i64, observer: &mut O) {
        match kind {
            Kind::Arrival => {
                let next = if self.is_closed_loop { self.source.next_request() } else { self.upcoming.take() };
                if let Some(request) = next {
                    self.deciding.push_back((now.saturating_add(self.config.admission_latency.0), request));
                }
            }
            Kind::Admission => {
                if let Some((_, request)) = self.deciding.pop_front()
                    && self.admits(&request, now, observer)
                {
                    self.admitted.push_back((now.saturating_add(self.config.routing_latency.0), request));
                }
            }
            Kind::Routing => {
                if let Some((_, request)) = self.admitted.pop_front() {
                    self.route(request, now, observer);
                }
            }
        }
    }

    /// Whether a request is let in; of one that is not this is the end.
    #[inline]
    fn admits<O: Observer>(&mut self, request: &Request, now: i64, observer: &mut O) -> bool {
        let refused = self.admission.refuse(request, now);
        if self.traced.is_some() {
            observer.admission(&AdmissionDecision { id: request.id, time: SimTime(now), refused });
        }
        if refused.is_none() {
            return true;
        }
        if observer.wants_events() {
            observer.event(&Event::Reject { time: SimTime(now), id: request.id });
        }
        observer.settled(&RequestRecord::unserved(*request, Fate::Rejected, SimTime(now)));
        if self.is_closed_loop {
            self.source.settled(&Outcome { id: request.id, end: SimTime(now), context_tokens: None });
        }
        false
    }

    #[inline]
    fn route<O: Observer>(&mut self, request: Request, now: i64, observer: &mut O) {
        let mut view = View {
            snapshots: &self.snapshots,
            caches: &self.caches,
            engines: &mut self.replicas.engines,
            prefixes: self.source.prefixes(),
        };
        let choice = self.router.choose(&request, &mut view);
        if let Some(count) = self.traced {
            observer.routing(&self.decision(&request, now, choice, count));
        }
        if self.replicas.len() > 1 && observer.wants_events() {
            observer.event(&Event::Route { time: SimTime(now), id: request.id, replica: choice.replica as u32 });
        }
        self.routed_ahead += 1;
        self.replicas.submit(choice.replica, request, now, &mut self.snapshots);
    }

    /// A routing decision as it is recorded (cluster specification 9).
    fn decision(&self, request: &Request, now: i64, choice: Choice, count: u32) -> RoutingDecision {
        let scores = self.router.scores();
        // A difference: the negative of no load would be written as -0.
        let score = |replica: usize, load: u64| scores.get(replica).copied().unwrap_or(0.0 - load as f64);
        let mut candidates: Vec<Candidate> = Vec::new();
        let mut regret = None;
        if count > 0 {
            let seen = self.snapshots.all().iter().enumerate();
            let mut chosen = 0.0;
            for (replica, snapshot) in seen {
                let candidate = Candidate {
                    replica: replica as u32,
                    score: score(replica, snapshot.effective_load()),
                    waiting: snapshot.load.waiting,
                    running: snapshot.load.running,
                    in_flight: snapshot.in_flight,
                    used_blocks: snapshot.load.used_blocks,
                    free_blocks: self.num_blocks - snapshot.load.used_blocks,
                };
                if replica == choice.replica {
                    chosen = candidate.score;
                }
                let place = candidates.partition_point(|better| {
                    let by_text = || crate::engine::compare_as_text(better.replica, candidate.replica);
                    candidate.score.total_cmp(&better.score).then_with(by_text).is_lt()
                });
                if place < count as usize {
                    candidates.truncate(count as usize - 1);
                    candidates.insert(place, candidate);
                }
            }
            regret = candidates.first().map(|best| (best.score - chosen).max(0.0));
        }
        RoutingDecision {
            id: request.id,
            time: SimTime(now),
            replica: choice.replica as u32,
            reason: choice.reason,
            scores: scores.to_vec(),
            candidates,
            regret,
        }
    }

    /// Settles the requests that are left and gives the totals.
    pub fn finish<O: Observer>(self, observer: &mut O) -> ClusterTotals {
        self.finish_with_source(observer).0
    }

    /// The same of a simulation that is [`Simulation::measuring`], with some of the totals those of the part from `start`
    /// on: gaps are those of requests that arrived then or later; of each replica the steps with their time and what
    /// stopped admission, preemptions and the use of its cache are those of the steps that began between the first
    /// request it was given from `start` on and the last one, whose distance is [`ReplicaTotals::span`].
    pub fn finish_from<O: Observer>(mut self, start: SimTime, observer: &mut O) -> ClusterTotals {
        self.replicas.engines.iter_mut().for_each(|engine| engine.measure_from(start));
        self.finish(observer)
    }

    /// As [`Simulation::finish`], and the source with what it knows of the requests it gave out.
    pub fn finish_with_source<O: Observer>(self, observer: &mut O) -> (ClusterTotals, S) {
        let totals = ClusterTotals::new(self.replicas.finish(observer));
        let on_their_way = self.deciding.into_iter().chain(self.admitted);
        let mut left: Vec<Request> = on_their_way.map(|(_, request)| request).collect();
        sort_by_key(&mut left, |request| [request.id.into(), 0]);
        for request in left {
            observer.settled(&RequestRecord::unserved(request, Fate::InPipeline, totals.total.end));
        }
        (totals, self.source)
    }

    /// Where its requests come from.
    pub fn source(&self) -> &S {
        &self.source
    }

    /// The simulated time up to which every replica has come.
    pub fn clock(&self) -> SimTime {
        self.replicas.engines.iter().map(Engine::clock).min().unwrap_or(SimTime::ZERO)
    }

    /// Recomputes the invariants of the KV caches from their tables (KV specification 5); for tests.
    ///
    /// # Errors
    /// Names the broken invariant.
    pub fn audit(&mut self) -> Result<(), &'static str> {
        self.replicas.engines.iter_mut().try_for_each(Engine::audit)
    }

    /// What the block tables of each replica say after the last processed event; for tests.
    pub fn block_tables(&mut self) -> Vec<BlockTables> {
        let prefixes = self.source.prefixes();
        self.replicas.engines.iter_mut().map(|engine| engine.block_tables(prefixes)).collect()
    }
}

/// Runs a whole simulation at once.
pub fn simulate<S: RequestSource, O: Observer>(
    cluster: &ClusterConfig,
    engine: EngineConfig,
    latency: LatencyModel,
    source: S,
    mode: Mode,
    observer: &mut O,
) -> ClusterTotals {
    let mut simulation = Simulation::new(cluster, engine, latency, source, mode);
    while !simulation.run_for(u64::MAX, observer) {}
    simulation.finish(observer)
}
