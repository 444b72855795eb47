//! vLLM's rules one call at a time, exactly as the scheduler specification words them: the oracle.
//!
//! It walks every list, keeps every gap and every block, and skips nothing.
//! Letters and numbers in comments are those of the scheduler specification.

mod live;
mod outlook;
mod pass;
mod store;

use self::live::Live;
use self::store::Store;
use super::groups::Groups;
use super::limits;
use crate::engine::marks::Marks;
use crate::latency::{LatencyModel, WorkSums};
use crate::numeric::sort_by_key;
use crate::observation::{Event, Fate, Observer, QueueSample, ReplicaTotals};
use crate::scenario::{Batching, EngineConfig, VllmRules};
use crate::time::SimTime;
use crate::workload::{Outcome, PrefixTree, Request};
use alloc::collections::{BTreeMap, BinaryHeap, VecDeque};
use alloc::vec::Vec;
use core::cmp::Reverse;

/// What an event does; the order of the variants is that at equal times (engine specification 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Arrive(usize),
    Enqueue(usize),
    Call,
    Timeout(usize),
}

impl Kind {
    fn rank(self) -> u8 {
        match self {
            Kind::Arrive(_) => 0,
            Kind::Enqueue(_) => 1,
            Kind::Call => 2,
            Kind::Timeout(_) => 5,
        }
    }
}

/// A planned step whose output is not processed yet; nobody takes part in an empty one.
#[derive(Debug, Default)]
struct Step {
    duration: i64,
    /// Request, tokens, whether it samples.
    parts: Vec<(usize, u32, bool)>,
}

/// One replica, one call at a time.
pub(in crate::engine) struct Plain {
    config: EngineConfig,
    rules: VllmRules,
    /// Planned steps beside the one that runs: 1 if asynchronous, else 0.
    lag: usize,
    latency: LatencyModel,
    clock: i64,
    sequence: u64,
    events: BinaryHeap<Reverse<(i64, u8, u64, Kind)>>,
    live: Vec<Live>,
    waiting: VecDeque<usize>,
    running: Vec<usize>,
    /// Steps planned and not processed, the oldest first.
    pipeline: VecDeque<Step>,
    call_pending: bool,
    calls: u64,
    store: Store,
    totals: ReplicaTotals,
    gaps: BTreeMap<i64, u64>,
    work: WorkSums,
    produced: u64,
    /// Who has finished since the last call, if anybody wants to know.
    finished: Vec<u32>,
    /// What a closed-loop source has not been told yet.
    outcomes: Option<Vec<Outcome>>,
    marks: Option<Marks>,
    /// Arrival and gaps of each completed request, if only a part of the run is to be told.
    measured: Vec<(i64, Vec<i64>)>,
}

impl Plain {
    pub(in crate::engine) fn new(config: EngineConfig, rules: VllmRules, latency: LatencyModel) -> Self {
        Self {
            store: Store::new(config.num_blocks, Groups::of(&config, &rules), config.enable_prefix_caching),
            config,
            rules,
            lag: usize::from(rules.batching == Batching::Async),
            latency,
            clock: 0,
            sequence: 0,
            events: BinaryHeap::new(),
            live: Vec::new(),
            waiting: VecDeque::new(),
            running: Vec::new(),
            pipeline: VecDeque::new(),
            call_pending: false,
            calls: 0,
            totals: ReplicaTotals::default(),
            gaps: BTreeMap::new(),
            work: WorkSums::default(),
            produced: 0,
            finished: Vec::new(),
            outcomes: None,
            marks: None,
            measured: Vec::new(),
        }
    }

    /// [`crate::engine::Engine::submit`].
    pub(in crate::engine) fn submit(&mut self, request: Request, time: i64) -> i64 {
        let live = self.live.len();
        self.live.push(Live::new(request));
        self.push(time, Kind::Arrive(live));
        time
    }

    /// [`crate::engine::Engine::outcomes`].
    pub(in crate::engine) fn outcomes(&mut self) -> &mut Option<Vec<Outcome>> {
        &mut self.outcomes
    }

    /// [`crate::engine::Engine::next_event`].
    pub(in crate::engine) fn next_event(&self) -> i64 {
        self.events.peek().map_or(i64::MAX, |Reverse((time, ..))| *time)
    }

    /// [`crate::engine::Engine::advance`].
    pub(in crate::engine) fn advance<O: Observer>(
        &mut self,
        limit: i64,
        max_steps: u64,
        prefixes: &PrefixTree,
        observer: &mut O,
    ) -> bool {
        let limit = limit.min(self.config.horizon.0.saturating_add(1));
        let stop_at = self.calls.saturating_add(max_steps);
        while self.next_event() < limit {
            if self.calls >= stop_at || self.outcomes.as_ref().is_some_and(|news| !news.is_empty()) {
                return false;
            }
            self.process_next(prefixes, observer);
        }
        true
    }

    /// Processes exactly one event, unless it lies beyond the horizon.
    pub(in crate::engine) fn process_next<O: Observer>(&mut self, prefixes: &PrefixTree, observer: &mut O) {
        if self.next_event() > self.config.horizon.0 {
            return;
        }
        let Some(Reverse((time, _, _, kind))) = self.events.pop() else { return };
        if let Kind::Timeout(live) = kind
            && (self.live[live].is_settled || self.live[live].is_finishing)
        {
            return;
        }
        self.clock = self.clock.max(time);
        match kind {
            Kind::Arrive(live) => self.arrive(live, time, observer),
            Kind::Enqueue(live) => self.enqueue(live, time, observer),
            Kind::Call => self.call(time, prefixes, observer),
            Kind::Timeout(live) => self.time_out(live, time, observer),
        }
    }

    pub(in crate::engine) fn steps(&self) -> u64 {
        self.calls
    }

    pub(in crate::engine) fn finish<O: Observer>(mut self, observer: &mut O) -> ReplicaTotals {
        let mut left: Vec<Live> = self.live.drain(..).filter(|live| !live.is_settled).collect();
        sort_by_key(&mut left, |live| [live.request.id.into(), 0]);
        for live in left {
            let fate = match (live.is_running, live.is_enqueued) {
                (true, _) => Fate::StillRunning,
                (false, true) => Fate::StillQueued,
                (false, false) => Fate::InPipeline,
            };
            observer.settled(&live.record(fate, self.clock, self.latency.output_overhead()));
        }
        let mut totals = core::mem::take(&mut self.totals);
        totals.still_queued = self.waiting.len() as u64;
        totals.still_running = self.running.len() as u64;
        totals.cache_hits = self.store.claimed;
        totals.cache_misses = self.store.taken;
        totals.end = SimTime(self.clock).min(self.config.horizon);
        if let Some(marks) = &self.marks {
            let measured = self.measured.iter().filter(|(arrive, _)| *arrive >= marks.start);
            measured.flat_map(|(_, gaps)| gaps).for_each(|gap| *self.gaps.entry(*gap).or_default() += 1);
            marks.restrict(&mut totals, &mut self.work);
        }
        totals.gaps = self.gaps.into_iter().collect();
        totals.time_shares = self.latency.time_shares(&self.work, totals.busy);
        totals
    }

    fn push(&mut self, time: i64, kind: Kind) {
        self.events.push(Reverse((time, kind.rank(), self.sequence, kind)));
        self.sequence += 1;
    }

    fn arrive<O: Observer>(&mut self, live: usize, now: i64, observer: &mut O) {
        let request = self.live[live].request;
        if observer.wants_events() {
            observer.event(&Event::Arrive { time: SimTime(now), id: request.id });
        }
        let queueing = self.latency.queueing(request.input_tokens);
        let time = now.saturating_add(queueing).saturating_add(i64::from(request.front_end_us));
        self.push(time, Kind::Enqueue(live));
    }

    /// F, and deadlines (engine specification 4).
    fn enqueue<O: Observer>(&mut self, live: usize, now: i64, observer: &mut O) {
        let request = self.live[live].request;
        let deadline = request.deadline.0;
        let answer_tokens = limits::answer_tokens(&request, &self.config, self.store.groups());
        match answer_tokens {
            None => {
                self.totals.dropped += 1;
                self.settle_unserved(live, Fate::Dropped, now, observer);
            }
            Some(answer_tokens) => {
                self.totals.input_tokens += u64::from(request.input_tokens);
                if deadline > 0 && deadline <= now {
                    self.totals.timed_out += 1;
                    self.settle_unserved(live, Fate::TimedOut, now, observer);
                } else {
                    let order = self.sequence;
                    let entry = &mut self.live[live];
                    (entry.answer_tokens, entry.order, entry.is_enqueued) = (answer_tokens, order, true);
                    self.waiting.push_back(live);
                    if deadline > 0 && deadline <= self.config.horizon.0 {
                        self.push(deadline, Kind::Timeout(live));
                    }
                    if observer.wants_events() {
                        observer.event(&Event::Enqueue { time: SimTime(now), id: request.id });
                    }
                    if !self.call_pending {
                        self.push(now, Kind::Call);
                        self.call_pending = true;
                    }
                }
            }
        }
        self.mark(now);
        observer.enqueued(&QueueSample {
            time: SimTime(now),
            waiting: self.waiting.len() as u32,
            running: self.running.len() as u32,
            used_blocks: self.store.used(),
            output_tokens: self.produced,
        });
    }

    /// One call of the scheduler, with the processing before it (E).
    fn call<O: Observer>(&mut self, now: i64, prefixes: &PrefixTree, observer: &mut O) {
        if self.pipeline.len() > self.lag
            && let Some(step) = self.pipeline.pop_front()
        {
            self.process(&step, now, prefixes, observer);
        }
        let running_step = if self.lag > 0 { self.pipeline.back().map_or(0, |step| step.duration) } else { 0 };
        let (step, has_preempted) = self.schedule(now, running_step, prefixes, observer);
        self.calls += 1;
        let is_idle = step.parts.is_empty() && self.pipeline.iter().all(|step| step.parts.is_empty());
        if is_idle && !has_preempted {
            self.pipeline.clear();
            self.call_pending = false;
            return;
        }
        let next = now + if self.lag > 0 { running_step } else { step.duration };
        self.pipeline.push_back(step);
        self.push(next, Kind::Call);
    }

    /// D.
    fn process<O: Observer>(&mut self, step: &Step, now: i64, prefixes: &PrefixTree, observer: &mut O) {
        for (live, tokens, samples) in step.parts.iter().copied() {
            let entry = &mut self.live[live];
            if entry.is_settled {
                continue;
            }
            entry.in_flight -= tokens;
            let is_stale = entry.stale > 0;
            if is_stale {
                entry.stale -= tokens;
            }
            if !samples {
                continue;
            }
            entry.answers += 1;
            if self.lag > 0 {
                entry.promised -= u32::from(!is_stale);
                if entry.is_running {
                    let tokens = entry.computed - entry.promised;
                    let known = entry.known();
                    self.store.publish(&mut entry.holding, &entry.request, prefixes, known, tokens);
                }
            }
            let entry = &mut self.live[live];
            if entry.answers >= entry.answer_tokens {
                self.store.release(&mut entry.holding);
                self.leave(live);
                self.complete(live, now, observer);
                if observer.wants_plans() {
                    self.finished.push(self.live[live].request.id);
                }
            }
        }
    }

    /// Takes a request out of the list it is in.
    fn leave(&mut self, live: usize) {
        if self.live[live].is_running {
            self.running.retain(|other| *other != live);
        } else {
            self.waiting.retain(|other| *other != live);
        }
    }

    fn complete<O: Observer>(&mut self, live: usize, now: i64, observer: &mut O) {
        let entry = &mut self.live[live];
        entry.is_settled = true;
        let final_overhead = if entry.request.output_tokens > 0 { self.latency.final_overhead() } else { 0 };
        let record = entry.completed_record(now, self.latency.output_overhead(), final_overhead);
        let gaps = core::mem::take(&mut entry.gaps);
        if self.marks.is_some() {
            self.measured.push((entry.request.arrive.0, gaps));
        } else {
            gaps.iter().for_each(|gap| *self.gaps.entry(*gap).or_default() += 1);
        }
        self.totals.completed += 1;
        let answer = SimTime(record.request.arrive.0 + record.e2e.unwrap_or_default().0);
        self.totals.last_answer = self.totals.last_answer.max(answer);
        self.totals.length_capped += u64::from(record.fate == Fate::LengthCapped);
        self.totals.output_tokens += u64::from(record.produced_tokens);
        if observer.wants_events() {
            observer.event(&Event::Complete { time: SimTime(now), id: record.request.id });
        }
        observer.settled(&record);
    }

    /// A deadline passes (engine specification 6); too late for a request whose last token is on its way.
    fn time_out<O: Observer>(&mut self, live: usize, now: i64, observer: &mut O) {
        self.totals.timed_out += 1;
        self.store.release(&mut self.live[live].holding);
        self.leave(live);
        if observer.wants_events() {
            observer.event(&Event::Timeout { time: SimTime(now), id: self.live[live].request.id });
        }
        self.settle_unserved(live, Fate::TimedOut, now, observer);
    }

    fn settle_unserved<O: Observer>(&mut self, live: usize, fate: Fate, now: i64, observer: &mut O) {
        let entry = &mut self.live[live];
        entry.is_settled = true;
        if let Some(outcomes) = &mut self.outcomes {
            outcomes.push(Outcome { id: entry.request.id, end: SimTime(now), context_tokens: None });
        }
        if observer.wants_events() && fate == Fate::Dropped {
            observer.event(&Event::Drop { time: SimTime(now), id: entry.request.id });
        }
        observer.settled(&entry.record(fate, now, self.latency.output_overhead()));
    }
}
