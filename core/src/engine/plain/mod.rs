//! The engine one step at a time, exactly as the engine specification words it: the oracle.
//!
//! It walks every list, keeps every gap and every block, and skips nothing.
//! Section numbers in comments are those of the engine specification.

mod block_store;
mod kinds;
mod live;
mod outlook;
mod part;
mod tables;

use self::block_store::BlockStore;
use self::kinds::{Kind, Pass};
use self::live::Live;
use self::part::Part;
use super::order::{self, QueueKey};
use crate::latency::{Joining, LatencyModel, MAX_STEP, StepItem, WorkSums};
use crate::numeric::{sort_by_key, sort_few};
use crate::observation::{Event, Fate, Observer, QueueSample, ReplicaTotals};
use crate::scenario::EngineConfig;
use crate::time::SimTime;
use crate::workload::{Outcome, PrefixTree, Request};
use alloc::collections::{BTreeMap, BinaryHeap, VecDeque};
use alloc::vec::Vec;
use core::cmp::Reverse;

/// One replica, one step at a time.
pub(super) struct Plain {
    config: EngineConfig,
    latency: LatencyModel,
    clock: i64,
    sequence: u64,
    events: BinaryHeap<Reverse<(i64, u8, u64, Kind)>>,
    live: Vec<Live>,
    waiting: VecDeque<usize>,
    /// Came while a step was running whose successor was planned already; cannot be admitted yet.
    late: Vec<usize>,
    running: Vec<usize>,
    step_pending: bool,
    store: BlockStore,
    totals: ReplicaTotals,
    gaps: BTreeMap<i64, u64>,
    work: WorkSums,
    produced: u64,
    /// What a closed-loop source has not been told yet.
    outcomes: Option<Vec<Outcome>>,
    /// If only a part of the run is to be told.
    part: Option<Part>,
}

impl Plain {
    pub(super) fn new(config: EngineConfig, latency: LatencyModel) -> Self {
        let tier = config.cpu_tier.filter(|_| config.enable_prefix_caching);
        Self {
            store: BlockStore::new(config.num_blocks, config.block_size, config.enable_prefix_caching, tier),
            config,
            latency,
            clock: 0,
            sequence: 0,
            events: BinaryHeap::new(),
            live: Vec::new(),
            waiting: VecDeque::new(),
            late: Vec::new(),
            running: Vec::new(),
            step_pending: false,
            totals: ReplicaTotals::default(),
            gaps: BTreeMap::new(),
            work: WorkSums::default(),
            produced: 0,
            outcomes: None,
            part: None,
        }
    }

    /// [`super::Engine::submit`].
    pub(super) fn submit(&mut self, request: Request, time: i64) -> i64 {
        let live = self.live.len();
        self.live.push(Live::new(request));
        self.push(time, Kind::Arrive(live));
        time
    }

    /// [`super::Engine::outcomes`].
    pub(super) fn outcomes(&mut self) -> &mut Option<Vec<Outcome>> {
        &mut self.outcomes
    }

    /// [`super::Engine::next_event`].
    pub(super) fn next_event(&self) -> i64 {
        self.events.peek().map_or(i64::MAX, |Reverse((time, ..))| *time)
    }

    /// [`super::Engine::advance`].
    pub(super) fn advance<O: Observer>(
        &mut self,
        limit: i64,
        max_steps: u64,
        prefixes: &PrefixTree,
        observer: &mut O,
    ) -> bool {
        let limit = limit.min(self.config.horizon.0.saturating_add(1));
        let stop_at = self.totals.steps.saturating_add(max_steps);
        while self.next_event() < limit {
            if self.totals.steps >= stop_at || self.outcomes.as_ref().is_some_and(|news| !news.is_empty()) {
                return false;
            }
            self.process_next(prefixes, observer);
        }
        true
    }

    /// Processes exactly one event, unless it lies beyond the horizon.
    pub(super) fn process_next<O: Observer>(&mut self, prefixes: &PrefixTree, observer: &mut O) {
        if self.next_event() > self.config.horizon.0 {
            return;
        }
        let Some(Reverse((time, _, _, kind))) = self.events.pop() else { return };
        if let Kind::Timeout(live) = kind
            && self.live[live].is_settled
        {
            return;
        }
        self.clock = self.clock.max(time);
        match kind {
            Kind::Arrive(live) => self.arrive(live, time, observer),
            Kind::Enqueue(live) => self.enqueue(live, time, observer),
            Kind::Step => self.step(time, prefixes, observer),
            Kind::Left => {}
            Kind::Timeout(live) => self.time_out(live, time, observer),
        }
    }

    fn num_waiting(&self) -> usize {
        self.waiting.len() + self.late.len()
    }

    pub(super) fn steps(&self) -> u64 {
        self.totals.steps
    }

    pub(super) fn finish<O: Observer>(mut self, observer: &mut O) -> ReplicaTotals {
        let mut left: Vec<Live> = self.live.drain(..).filter(|live| !live.is_settled).collect();
        sort_by_key(&mut left, |live| [live.request.id.into(), 0]);
        for live in left {
            let fate = match (live.is_running, live.is_enqueued) {
                (true, _) => Fate::StillRunning,
                (false, true) => Fate::StillQueued,
                (false, false) => Fate::InPipeline,
            };
            observer.settled(&live.record(fate, self.clock));
        }
        let mut totals = core::mem::take(&mut self.totals);
        totals.still_queued = self.num_waiting() as u64;
        totals.still_running = self.running.len() as u64;
        totals.cache_hits = self.store.hits;
        totals.cache_misses = self.store.misses;
        [totals.tier_mirrored, totals.tier_evicted, totals.tier_misses] = self.store.tier_counts();
        totals.end = SimTime(self.clock).min(self.config.horizon);
        self.restrict(&mut totals);
        totals.gaps = self.gaps.into_iter().collect();
        totals.time_shares = self.latency.time_shares(&self.work, totals.busy);
        totals
    }

    pub(super) fn audit(&self) -> Result<(), &'static str> {
        self.store.audit(self.live.iter().map(|live| &live.holding))
    }

    pub(super) fn clock(&self) -> SimTime {
        SimTime(self.clock)
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

    /// Section 4.
    fn enqueue<O: Observer>(&mut self, live: usize, now: i64, observer: &mut O) {
        let config = self.config;
        let entry = &mut self.live[live];
        let request = entry.request;
        if super::limits::is_dropped(&request, &config, &mut entry.answer_limit) {
            self.totals.dropped += 1;
            self.settle(live, Fate::Dropped, now, observer);
            self.sample(now, observer);
            return;
        }
        self.totals.input_tokens += u64::from(request.input_tokens);
        let deadline = request.deadline.0;
        if deadline > 0 && deadline <= now {
            self.totals.timed_out += 1;
            self.settle(live, Fate::TimedOut, now, observer);
            self.sample(now, observer);
            return;
        }
        self.live[live].is_enqueued = true;
        if self.latency.joining() == Joining::StepAfterNext && !self.running.is_empty() {
            self.late.push(live);
        } else {
            self.waiting.push_back(live);
        }
        if deadline > 0 && deadline <= config.horizon.0 {
            self.push(deadline, Kind::Timeout(live));
        }
        if observer.wants_events() {
            observer.event(&Event::Enqueue { time: SimTime(now), id: request.id });
        }
        self.sample(now, observer);
        if !self.step_pending {
            self.push(now, Kind::Step);
            self.step_pending = true;
        }
    }

    fn sample<O: Observer>(&mut self, now: i64, observer: &mut O) {
        self.mark(now);
        observer.enqueued(&QueueSample {
            time: SimTime(now),
            waiting: self.num_waiting() as u32,
            running: self.running.len() as u32,
            used_blocks: self.store.used() as u32,
            output_tokens: self.produced,
        });
    }

    /// Section 5.
    fn step<O: Observer>(&mut self, now: i64, prefixes: &PrefixTree, observer: &mut O) {
        if self.running.is_empty() {
            self.waiting.extend(self.late.drain(..));
        }
        if self.running.is_empty() && self.waiting.is_empty() {
            self.step_pending = false;
            return;
        }
        self.sort_waiting(now);
        let is_apart = self.latency.joining() == Joining::OwnSteps;
        let mut budget = self.config.max_num_batched_tokens;
        let pass = if is_apart { Pass::Prompts } else { Pass::All };
        let mut preempted = self.running_pass(pass, now, &mut budget, prefixes, observer);
        let is_full = self.admission_pass(now, &mut budget, preempted, prefixes, observer);
        let is_served = |live: &usize| self.live[*live].tokens > 0 || self.live[*live].target.is_some();
        if is_apart && !self.running.iter().any(is_served) {
            let mut unlimited = u32::MAX;
            preempted |= self.running_pass(Pass::Decodes, now, &mut unlimited, prefixes, observer);
        }

        self.totals.steps += 1;
        self.totals.waiting_sum += self.num_waiting() as u64;
        self.totals.running_sum += self.running.len() as u64;
        let limiter = match (self.waiting.is_empty(), preempted || is_full) {
            (true, _) => &mut self.totals.limiters.none,
            (false, true) => &mut self.totals.limiters.kv_blocks,
            (false, false) if self.running.len() >= self.config.max_num_seqs as usize => {
                &mut self.totals.limiters.max_num_seqs
            }
            (false, false) => &mut self.totals.limiters.max_num_batched_tokens,
        };
        *limiter += 1;
        self.totals.limiters.steps += 1;

        let items: Vec<StepItem> = self
            .running
            .iter()
            .map(|live| &self.live[*live])
            .filter(|live| live.tokens > 0)
            .map(|live| StepItem { tokens: live.tokens, pos: live.pos, input_tokens: live.request.input_tokens })
            .collect();
        let duration = self.latency.step_time(&items).saturating_add(self.store.take_transfer()).clamp(1, MAX_STEP);
        self.count_work(&items, duration);
        self.progress(now, duration, observer);
        let used = self.store.used();
        self.totals.kv_peak = self.totals.kv_peak.max(used);
        self.totals.kv_integral += u128::from(used) * duration.unsigned_abs() as u128;
        self.totals.busy += duration.unsigned_abs();
        let (store, live) = (&mut self.store, &self.live);
        store.mirror(self.running.iter().map(|at| &live[*at].holding));
        if observer.wants_events() {
            observer.event(&Event::Step {
                time: SimTime(now),
                steps: 1,
                duration: SimTime(duration),
                running: self.running.len() as u32,
                waiting: self.num_waiting() as u32,
                used_blocks: [u32::try_from(used).unwrap_or(u32::MAX); 2],
            });
        }
        self.complete(now, duration, prefixes, observer);
        self.waiting.extend(self.late.drain(..));

        self.step_pending = !self.running.is_empty() || !self.waiting.is_empty();
        if self.step_pending {
            self.push(now + duration, Kind::Step);
        }
    }

    fn sort_waiting(&mut self, now: i64) {
        let config = self.config;
        if config.scheduler == crate::scenario::SchedulerPolicy::Fcfs {
            return;
        }
        let live = &self.live;
        let key = |at: &usize| {
            let request = &live[*at].request;
            QueueKey {
                priority: order::priority(config.priority, request.arrive.0, now),
                input_tokens: request.input_tokens,
                arrive: request.arrive.0,
                id: request.id,
            }
        };
        // Nearly in order: it was sorted a step ago.
        let waiting = self.waiting.make_contiguous();
        sort_few(waiting, |left, right| order::compare(config.scheduler, &key(left), &key(right)));
    }

    /// Section 5.1; whether somebody was preempted.
    fn running_pass<O: Observer>(
        &mut self,
        pass: Pass,
        now: i64,
        budget: &mut u32,
        prefixes: &PrefixTree,
        observer: &mut O,
    ) -> bool {
        let EngineConfig { long_prefill_token_threshold: threshold, max_model_len, .. } = self.config;
        for at in 0..self.running.len() {
            let live = self.running[at];
            self.live[live].tokens = 0;
        }
        let mut preempted = false;
        let mut at = 0;
        while at < self.running.len() {
            if *budget == 0 {
                break;
            }
            let live = self.running[at];
            let entry = &mut self.live[live];
            let Request { input_tokens, output_tokens, .. } = entry.request;
            let pos = entry.pos;
            if pass == if pos < input_tokens { Pass::Decodes } else { Pass::Prompts } {
                at += 1;
                continue;
            }
            let need = if pos < input_tokens {
                let need = input_tokens - pos;
                let need = if threshold > 0 && threshold < need { threshold } else { need };
                need.min(*budget)
            } else if output_tokens > 0 {
                if max_model_len > 0 && pos + 1 > max_model_len - 1 {
                    at += 1;
                    continue;
                }
                1
            } else {
                at += 1;
                continue;
            };
            if !self.secure(live, need, now, &mut preempted, prefixes, observer) {
                break;
            }
            *budget -= need;
            self.live[live].tokens = need;
            at += 1;
        }
        preempted
    }

    fn secure<O: Observer>(
        &mut self,
        live: usize,
        count: u32,
        now: i64,
        preempted: &mut bool,
        prefixes: &PrefixTree,
        observer: &mut O,
    ) -> bool {
        loop {
            let entry = &mut self.live[live];
            let pos = entry.pos;
            let range = [pos, pos + count];
            if self.store.allocate(&mut entry.holding, &entry.request, prefixes, pos, range, &[]) {
                return true;
            }
            *preempted = true;
            let Some(victim) = self.running.pop() else { return false };
            let entry = &mut self.live[victim];
            self.produced -= entry.produced();
            entry.is_running = false;
            entry.pos = 0;
            entry.gaps.clear();
            entry.apart_time = 0;
            entry.has_first_token = false;
            self.store.release(&mut entry.holding);
            if observer.wants_events() {
                observer.event(&Event::Preempt { time: SimTime(now), id: entry.request.id });
            }
            self.waiting.push_front(victim);
            self.totals.preemptions += 1;
            if victim == live {
                return false;
            }
        }
    }

    /// Section 5.2; whether KV blocks ended it.
    fn admission_pass<O: Observer>(
        &mut self,
        now: i64,
        budget: &mut u32,
        preempted: bool,
        prefixes: &PrefixTree,
        observer: &mut O,
    ) -> bool {
        let EngineConfig { long_prefill_token_threshold: threshold, block_size, max_num_seqs, .. } = self.config;
        while self.running.len() < max_num_seqs as usize && *budget > 0 && !preempted {
            let Some(live) = self.waiting.front().copied() else { break };
            let entry = &mut self.live[live];
            let hits = self.store.lookup(&entry.request, prefixes);
            let start = hits.len() as u32 * block_size;
            let need = entry.request.input_tokens - start;
            let need = if threshold > 0 && threshold < need { threshold } else { need };
            let need = need.min(*budget);
            let range = [start, start + need];
            if !self.store.allocate(&mut entry.holding, &entry.request, prefixes, entry.pos, range, &hits) {
                return true;
            }
            self.waiting.pop_front();
            self.running.push(live);
            entry.is_running = true;
            entry.tokens = need;
            entry.target = Some(start + need);
            entry.scheduling_delay = Some(now - entry.request.arrive.0);
            *budget -= need;
            if observer.wants_events() {
                observer.event(&Event::Admit { time: SimTime(now), id: entry.request.id, cached_tokens: start });
            }
        }
        false
    }

    fn count_work(&mut self, items: &[StepItem], duration: i64) {
        let prefill: Vec<StepItem> = items.iter().copied().filter(|item| item.is_prefill()).collect();
        let decodes = (items.len() - prefill.len()) as u32;
        let pos_sum = items.iter().filter(|item| !item.is_prefill()).map(|item| u64::from(item.pos)).sum();
        self.latency.count_work(&mut self.work, decodes, pos_sum, &prefill, duration);
    }

    /// Section 5.3.
    fn progress<O: Observer>(&mut self, now: i64, duration: i64, observer: &mut O) {
        let overhead = self.latency.output_overhead();
        let is_apart = self.latency.joining() == Joining::OwnSteps;
        for at in 0..self.running.len() {
            let live = self.running[at];
            let entry = &mut self.live[live];
            if entry.pos < entry.request.input_tokens {
                match entry.target.take() {
                    Some(target) => entry.pos = target,
                    None => entry.pos += entry.tokens,
                }
            } else if entry.tokens > 0 {
                entry.pos += 1;
                entry.gaps.push(core::mem::take(&mut entry.apart_time) + duration + overhead);
                self.produced += 1;
            } else if is_apart {
                entry.apart_time += duration;
            }
            entry.target = None;
            if entry.pos == entry.request.input_tokens && !entry.has_first_token {
                entry.has_first_token = true;
                entry.ttft = Some(now + duration + overhead - entry.request.arrive.0);
                self.produced += u64::from(entry.request.output_tokens > 0);
                if observer.wants_events() {
                    observer.event(&Event::FirstToken { time: SimTime(now + duration), id: entry.request.id });
                }
            }
        }
    }

    /// Section 5.4.
    fn complete<O: Observer>(&mut self, now: i64, duration: i64, prefixes: &PrefixTree, observer: &mut O) {
        let max_model_len = self.config.max_model_len;
        let mut staying = Vec::with_capacity(self.running.len());
        for live in core::mem::take(&mut self.running) {
            let entry = &mut self.live[live];
            let Request { input_tokens, output_tokens, .. } = entry.request;
            let fate = if entry.pos >= input_tokens + output_tokens.max(1) - 1 {
                let range = [entry.pos, entry.pos + 1];
                if output_tokens > 0
                    && !self.store.allocate(&mut entry.holding, &entry.request, prefixes, entry.pos, range, &[])
                {
                    self.totals.kv_allocation_failures += 1;
                }
                Fate::Completed
            } else if max_model_len > 0 && entry.pos >= max_model_len - 1 {
                self.totals.length_capped += 1;
                Fate::LengthCapped
            } else {
                staying.push(live);
                continue;
            };
            self.store.release(&mut entry.holding);
            if let Some(outcomes) = &mut self.outcomes {
                let context_tokens = Some(entry.pos - input_tokens);
                outcomes.push(Outcome { id: entry.request.id, end: SimTime(now + duration), context_tokens });
            }
            self.push(now + duration, Kind::Left);
            self.record(live, fate, now, observer);
        }
        self.running = staying;
    }

    fn record<O: Observer>(&mut self, live: usize, fate: Fate, now: i64, observer: &mut O) {
        let entry = &self.live[live];
        let final_overhead = if entry.request.output_tokens > 0 { self.latency.final_overhead() } else { 0 };
        let record = entry.completed_record(fate, now, final_overhead);
        match &mut self.part {
            Some(part) => part.requests.push((entry.request.arrive.0, entry.gaps.clone())),
            None => entry.gaps.iter().for_each(|gap| *self.gaps.entry(*gap).or_default() += 1),
        }
        self.totals.completed += 1;
        self.totals.output_tokens += u64::from(record.produced_tokens);
        if observer.wants_events() {
            observer.event(&Event::Complete { time: SimTime(now), id: record.request.id });
        }
        let entry = &mut self.live[live];
        entry.is_settled = true;
        entry.gaps = Vec::new();
        observer.settled(&record);
    }

    /// Section 6.
    fn time_out<O: Observer>(&mut self, live: usize, now: i64, observer: &mut O) {
        self.totals.timed_out += 1;
        let entry = &mut self.live[live];
        self.store.release(&mut entry.holding);
        if entry.is_running {
            self.running.retain(|other| *other != live);
        } else {
            self.waiting.retain(|other| *other != live);
            self.late.retain(|other| *other != live);
        }
        if observer.wants_events() {
            observer.event(&Event::Timeout { time: SimTime(now), id: entry.request.id });
        }
        self.settle(live, Fate::TimedOut, now, observer);
        if self.running.is_empty() && !self.step_pending && !self.waiting.is_empty() {
            self.push(now, Kind::Step);
            self.step_pending = true;
        }
    }

    fn settle<O: Observer>(&mut self, live: usize, fate: Fate, now: i64, observer: &mut O) {
        let entry = &mut self.live[live];
        entry.is_settled = true;
        if let Some(outcomes) = &mut self.outcomes {
            outcomes.push(Outcome { id: entry.request.id, end: SimTime(now), context_tokens: None });
        }
        if observer.wants_events() && fate == Fate::Dropped {
            observer.event(&Event::Drop { time: SimTime(now), id: entry.request.id });
        }
        observer.settled(&entry.record(fate, now));
    }
}
