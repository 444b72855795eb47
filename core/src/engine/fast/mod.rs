//! The engine that skips: the same bytes as the plain one, in time that does not grow with the batch.
//!
//! - A decoding request is not touched while it decodes: its position is the distance to a counter of decode steps,
//!   its completion stands on a wheel over that counter, its next block in a count per residue of the counter.
//! - A *regular* step serves everybody it should; it costs as much as the prompts it works on ([`regular`]).
//! - A run of steps in which nothing but the counter changes is a *window*, executed at once ([`window`],
//!   engine specification 9).
//! - A step in which the budget or the blocks run short is walked in list order, as the specification words it
//!   ([`irregular`]); so are all steps that are in no window where there is a CPU tier ([`tiered`]).

mod apart;
mod arrivals;
mod fills;
mod irregular;
mod leaving;
mod outlook;
mod pool;
mod queue;
mod regular;
mod slots;
mod tiered;
mod window;

use super::due::Due;
use super::gaps::Gaps;
use super::limits;
use super::marks::Marks;
use crate::latency::{Joining, LatencyModel, StepItem, WorkSums};
use crate::numeric::{product, sort_by_key};
use crate::observation::{Event, Fate, Observer, QueueSample, ReplicaTotals, RequestRecord};
use crate::scenario::EngineConfig;
use crate::time::SimTime;
use crate::workload::{Outcome, PrefixTree, Request};
use alloc::boxed::Box;
use alloc::collections::{BinaryHeap, VecDeque};
use alloc::vec::Vec;
use core::cmp::Reverse;
use fills::Wheel;
use pool::Pool;
use queue::Queue;
use slots::{NONE, Phase, Slots};
use tiered::Tiered;

/// One replica that skips what repeats.
pub(super) struct Fast {
    config: EngineConfig,
    latency: LatencyModel,
    joining: Joining,
    output_overhead: i64,
    final_overhead: i64,
    clock: i64,
    /// When the pending step starts.
    next_step: Option<i64>,
    /// When requests get into the queue, in which order at equal times, and their slots.
    enqueueing: BinaryHeap<Reverse<(i64, u64, u32)>>,
    sequence: u64,
    /// Deadline, slot and serial of requests with a deadline; entries of settled ones are stale.
    deadlines: BinaryHeap<Reverse<(i64, u64, u32, u32)>>,
    slots: Slots,
    queue: Queue,
    /// Requests that came while a step was running whose successor was planned already; in no queue yet.
    late: Vec<u32>,
    /// Requests working on their prompt, in order of admission.
    prefilling: Vec<u32>,
    num_decoding: u32,
    /// Decode steps so far.
    tick: u64,
    /// Sum of the positions of all decoding requests.
    pos_sum: u64,
    /// How many decoding requests take a block at ticks of each residue modulo the block size.
    growth: Vec<u32>,
    growth_at: usize,
    /// Requests that fill blocks with an identity, by the residue of the ticks at which they do.
    fills: Wheel,
    due: Due,
    pool: Pool,
    /// All blocks, instead of the pool, where there is host memory behind them.
    tiered: Option<Box<Tiered>>,
    gaps: Gaps,
    /// Time of steps with prompts alone since the last one with decodes, and who has had the first token in them.
    apart_time: i64,
    joined: Vec<u32>,
    totals: ReplicaTotals,
    work: WorkSums,
    produced: u64,
    /// Slots of requests that reached the replica and are not on their way into the queue yet, with the time they did.
    inbox: VecDeque<(u32, i64)>,
    last_arrival: i64,
    /// What a closed-loop source has not been told yet.
    outcomes: Option<Vec<Outcome>>,
    /// If a part of the run is to be told.
    marks: Option<Marks>,
    /// Scratch: prefill items of the step.
    items: Vec<StepItem>,
    /// Scratch: requests that finish in the step.
    finished: Vec<(u64, u32)>,
}

/// What stopped the admission of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    /// Somebody did not fit, or was preempted.
    KvBlocks,
    /// The batch, the budget or the queue came to an end.
    Other,
}

impl Fast {
    pub(super) fn new(config: EngineConfig, latency: LatencyModel) -> Self {
        let tier = config.cpu_tier.filter(|_| config.enable_prefix_caching);
        Self {
            output_overhead: latency.output_overhead(),
            final_overhead: latency.final_overhead(),
            joining: latency.joining(),
            latency,
            clock: 0,
            next_step: None,
            enqueueing: BinaryHeap::new(),
            sequence: 0,
            deadlines: BinaryHeap::new(),
            slots: Slots::new(),
            queue: Queue::new(config.scheduler, config.priority),
            late: Vec::new(),
            prefilling: Vec::new(),
            num_decoding: 0,
            tick: 0,
            pos_sum: 0,
            growth: alloc::vec![0; config.block_size as usize],
            growth_at: 0,
            fills: Wheel::new(config.block_size),
            due: Due::new(),
            pool: Pool::new(config.num_blocks, config.block_size, config.enable_prefix_caching),
            tiered: tier.map(|tier| Box::new(Tiered::new(&config, tier))),
            gaps: Gaps::new(),
            apart_time: 0,
            joined: Vec::new(),
            totals: ReplicaTotals::default(),
            work: WorkSums::default(),
            produced: 0,
            inbox: VecDeque::new(),
            last_arrival: 0,
            outcomes: None,
            marks: None,
            items: Vec::new(),
            finished: Vec::new(),

            config,
        }
    }

    /// [`crate::engine::Engine::advance`].
    #[inline(never)]
    pub(super) fn advance<O: Observer>(
        &mut self,
        limit: i64,
        max_steps: u64,
        prefixes: &PrefixTree,
        observer: &mut O,
    ) -> bool {
        let stop_at = self.totals.steps.saturating_add(max_steps);
        let limit = limit.min(self.config.horizon.0.saturating_add(1));
        loop {
            self.receive(observer);
            let enqueue = self.next_enqueueing();
            let timeout = self.next_deadline();
            let step = self.next_step.unwrap_or(i64::MAX);
            if enqueue.min(timeout).min(step) >= limit {
                return true;
            }
            if self.totals.steps >= stop_at || self.outcomes.as_ref().is_some_and(|news| !news.is_empty()) {
                return false;
            }
            // Kinds rank enqueue, step, timeout at equal times.
            if enqueue <= step && enqueue <= timeout {
                let Some(Reverse((_, _, slot))) = self.enqueueing.pop() else { return true };
                self.clock = self.clock.max(enqueue);
                self.enqueue(slot, enqueue, observer);
            } else if step <= timeout {
                self.clock = self.clock.max(step);
                let until = enqueue.min(limit).saturating_sub(1).min(timeout);
                self.step(step, until, stop_at, prefixes, observer);
            } else {
                self.clock = self.clock.max(timeout);
                self.time_out(timeout, prefixes, observer);
            }
        }
    }

    pub(super) fn finish<O: Observer>(mut self, observer: &mut O) -> ReplicaTotals {
        // Whoever sent these knows that they did not get here before the end.
        for (slot, _) in core::mem::take(&mut self.inbox) {
            self.slots.get_mut(slot).phase = Phase::Gone;
        }
        let mut left: Vec<RequestRecord> = Vec::new();
        for at in 0..self.slots.all().len() {
            let slot = self.slots.get_mut(at as u32);
            let fate = match slot.phase {
                Phase::Arriving => Fate::InPipeline,
                Phase::Waiting => Fate::StillQueued,
                Phase::Prefill | Phase::Decode => Fate::StillRunning,
                Phase::Gone => continue,
            };
            left.push(slot.record(fate, self.clock));
            if slot.phase == Phase::Decode {
                self.gaps.take_back(&mut slot.participation);
            }
        }
        self.totals.still_queued = u64::from(self.num_waiting());
        self.totals.still_running = u64::from(self.num_decoding) + self.prefilling.len() as u64;
        sort_by_key(&mut left, |record| [record.request.id.into(), 0]);
        // Arrivals are events too: the last one counts for the end of a run that the horizon cuts.
        let end = self.clock.max(self.last_arrival);
        for record in &mut left {
            record.settled_at = SimTime(end);
            observer.settled(record);
        }
        let cache = self.cache_counts();
        let mut totals = self.totals;
        [totals.cache_hits, totals.cache_misses, totals.tier_misses] = cache;
        if let Some(tiered) = &self.tiered {
            [totals.tier_mirrored, totals.tier_evicted] = tiered.stored_and_evicted();
        }
        totals.end = SimTime(end).min(self.config.horizon);
        if let Some(marks) = &self.marks {
            self.gaps.take_back_before(marks.start);
            marks.restrict(&mut totals, &mut self.work);
        }
        totals.gaps = self.gaps.into_counts();
        totals.time_shares = self.latency.time_shares(&self.work, totals.busy);
        totals
    }

    pub(super) fn audit(&mut self) -> Result<(), &'static str> {
        if let Some(tiered) = &self.tiered {
            return tiered.audit();
        }
        self.count_decode_blocks();
        self.pool.audit(self.slots.all().iter().map(|slot| &slot.holding))
    }

    /// Tells each decoding request how many blocks it holds, which only the batch counts.
    fn count_decode_blocks(&mut self) {
        let (tick, size) = (self.tick, self.config.block_size);
        for at in 0..self.slots.all().len() as u32 {
            if self.slots.get(at).phase == Phase::Decode {
                let slot = self.slots.get_mut(at);
                let blocks = (slot.decode_pos(tick) - slot.base).div_ceil(size);
                slot.holding.set_blocks(blocks);
            }
        }
    }

    pub(super) fn clock(&self) -> SimTime {
        SimTime(self.clock)
    }

    /// The earliest deadline of a live request.
    #[inline]
    fn next_deadline(&mut self) -> i64 {
        while let Some(Reverse((time, _, slot, serial))) = self.deadlines.peek().copied() {
            if self.slots.get(slot).serial == serial {
                return time;
            }
            self.deadlines.pop();
        }
        i64::MAX
    }

    /// Engine specification 4.
    #[inline(never)]
    fn enqueue<O: Observer>(&mut self, slot: u32, now: i64, observer: &mut O) {
        let request = &self.slots.get(slot).request;
        let mut answer_limit = request.answer_limit;
        let (id, deadline) = (request.id, request.deadline.0);
        let fate = if limits::is_dropped(request, &self.config, &mut answer_limit) {
            self.totals.dropped += 1;
            Some(Fate::Dropped)
        } else {
            self.totals.input_tokens += u64::from(request.input_tokens);
            let is_late = deadline > 0 && deadline <= now;
            self.totals.timed_out += u64::from(is_late);
            is_late.then_some(Fate::TimedOut)
        };
        if let Some(fate) = fate {
            if observer.wants_events() && fate == Fate::Dropped {
                observer.event(&Event::Drop { time: SimTime(now), id });
            }
            self.tell_outcome(id, now, None);
            observer.settled(&self.slots.get(slot).record(fate, now));
            self.slots.remove(slot);
        } else {
            self.slots.get_mut(slot).phase = Phase::Waiting;
            if self.joining == Joining::StepAfterNext && self.num_running() > 0 {
                self.late.push(slot);
            } else {
                self.queue.push(slot, false, &self.slots);
            }
            if deadline > 0 && deadline <= self.config.horizon.0 {
                self.deadlines.push(Reverse((deadline, self.sequence, slot, self.slots.get(slot).serial)));
                self.sequence += 1;
            }
            if observer.wants_events() {
                observer.event(&Event::Enqueue { time: SimTime(now), id });
            }
            self.next_step = Some(self.next_step.unwrap_or(now));
        }
        self.mark(now);
        observer.enqueued(&QueueSample {
            time: SimTime(now),
            waiting: self.num_waiting(),
            running: self.num_running(),
            used_blocks: self.used_blocks(),
            output_tokens: self.produced,
        });
    }

    #[inline]
    fn tell_outcome(&mut self, id: u32, end: i64, context_tokens: Option<u32>) {
        if let Some(outcomes) = &mut self.outcomes {
            outcomes.push(Outcome { id, end: SimTime(end), context_tokens });
        }
    }

    #[inline]
    fn num_running(&self) -> u32 {
        self.num_decoding + self.prefilling.len() as u32
    }

    #[inline]
    fn num_waiting(&self) -> u32 {
        (self.queue.len() + self.late.len()) as u32
    }

    #[inline]
    fn used_blocks(&self) -> u32 {
        self.tiered.as_ref().map_or_else(|| self.pool.used(), |tiered| tiered.used())
    }

    #[inline]
    fn free_blocks(&self) -> u32 {
        self.tiered.as_ref().map_or_else(|| self.pool.free(), |tiered| tiered.free())
    }

    /// One step, or as many equal ones as start no later than `until`.
    fn step<O: Observer>(&mut self, now: i64, until: i64, stop_at: u64, prefixes: &PrefixTree, observer: &mut O) {
        if self.late.is_empty() {
            self.step_now(now, until, stop_at, prefixes, observer);
        } else {
            self.step_with_late(now, stop_at, prefixes, observer);
        }
    }

    /// As [`Fast::step`], of those in batch and queue.
    fn step_now<O: Observer>(&mut self, now: i64, until: i64, stop_at: u64, prefixes: &PrefixTree, observer: &mut O) {
        if self.num_running() == 0 && self.queue.is_empty() {
            self.next_step = None;
            return;
        }
        // Within a step, fills go before or behind what is taken: list order decides where it matters.
        let is_walked = self.num_decoding > 0
            && self.fills.ticks_until_next(self.growth_at) == 1
            && self.are_fills_in_doubt(self.growth_at, prefixes);
        let is_settled = self.prefilling.is_empty() && self.apart_time == 0 && self.joined.is_empty();
        if !is_walked && is_settled && self.num_decoding > 0 && self.can_skip(prefixes) {
            let max_steps = stop_at - self.totals.steps;
            if self.window(now, until, max_steps, prefixes, observer) {
                return;
            }
        }
        self.totals.jumps.doubtful_fills += u64::from(is_walked);
        if self.tiered.is_some() {
            self.tiered_step(now, prefixes, observer);
        } else if self.joining == Joining::OwnSteps {
            self.step_apart(now, prefixes, observer);
        } else if is_walked || !self.regular_step(now, prefixes, observer) {
            self.irregular_step(now, prefixes, observer);
        }
    }

    /// Counts a step whose batch is formed.
    fn count_step(&mut self, steps: u64, stop: Stop) {
        self.totals.steps += steps;
        self.totals.waiting_sum += steps * u64::from(self.num_waiting());
        self.totals.running_sum += steps * u64::from(self.num_running());
        let limiters = &mut self.totals.limiters;
        limiters.steps += steps;
        if self.queue.is_empty() {
            limiters.none += steps;
        } else if stop == Stop::KvBlocks {
            limiters.kv_blocks += steps;
        } else if self.num_decoding + self.prefilling.len() as u32 >= self.config.max_num_seqs {
            limiters.max_num_seqs += steps;
        } else {
            limiters.max_num_batched_tokens += steps;
        }
    }

    /// Engine specification 5.7 for one step.
    #[inline]
    fn count_usage(&mut self, duration: i64) {
        let used = self.used_blocks();
        self.totals.kv_peak = self.totals.kv_peak.max(u64::from(used));
        self.totals.kv_integral += product(u64::from(used), duration.unsigned_abs());
        self.totals.busy += duration.unsigned_abs();
    }

    /// A request has finished its prompt in the step that ends at `end`.
    fn first_token<O: Observer>(&mut self, slot: u32, end: i64, prefixes: &PrefixTree, observer: &mut O) {
        let entry = self.slots.get_mut(slot);
        entry.first_token_end = end;
        entry.ttft = Some(end + self.output_overhead - entry.request.arrive.0);
        let Request { id, input_tokens, output_tokens, .. } = entry.request;
        if observer.wants_events() {
            observer.event(&Event::FirstToken { time: SimTime(end), id });
        }
        self.produced += u64::from(output_tokens > 0);
        let cap = self.config.max_model_len;
        let until_done = output_tokens.max(1) - 1;
        let until_capped = if cap > 0 { (cap - 1).saturating_sub(input_tokens) } else { u32::MAX };
        let steps = until_done.min(until_capped);
        let size = self.config.block_size;
        let finish = self.tick + u64::from(steps);
        let now = self.growth_at as u32;
        let entry = self.slots.get_mut(slot);
        entry.growth = match &mut self.tiered {
            Some(tiered) => tiered.first_growth(slot, now),
            None => {
                let growth = now + size - (input_tokens - entry.base) % size;
                if growth >= size { growth - size } else { growth }
            }
        };
        entry.phase = Phase::Decode;
        entry.start = self.tick;
        entry.finish = finish;
        entry.missed_time = 0;
        entry.participation.clear();
        entry.participation.join(self.gaps.next_index());
        self.num_decoding += 1;
        self.pos_sum += u64::from(input_tokens);
        if steps == 0 {
            self.finished.push((entry.admission, slot));
        } else {
            self.expect_finish(slot);
            if self.tiered.is_none() {
                self.watch_fills(slot, prefixes);
            }
            if self.joining == Joining::OwnSteps {
                self.joined.push(slot);
            }
        }
    }

    /// A decoding request stands in what the batch counts of it: its finish and its next block.
    #[inline]
    fn expect_finish(&mut self, slot: u32) {
        let entry = self.slots.get(slot);
        self.growth[entry.growth as usize] += 1;
        self.due.insert(entry.finish, slot);
        if let Some(tiered) = &mut self.tiered {
            tiered.start_decoding(slot, entry.growth);
        }
    }

    /// A decoding request stands no longer in what the batch counts of it: its finish and its next block.
    #[inline]
    fn forget_finish(&mut self, slot: u32) {
        self.forget_fills(slot);
        let entry = self.slots.get(slot);
        self.growth[entry.growth as usize] -= 1;
        self.due.remove(entry.finish, slot);
        if let Some(tiered) = &mut self.tiered {
            tiered.stop_decoding(slot, entry.growth);
        }
    }

    /// Moves the decode tick on by one.
    #[inline]
    fn advance_tick(&mut self) {
        self.tick += 1;
        let next = self.growth_at + 1;
        self.growth_at = if next == self.growth.len() { 0 } else { next };
    }

    /// Moves requests that have produced everything to the list of finished ones.
    #[inline]
    fn collect_due(&mut self) {
        let mut at = self.due.first(self.tick);
        while at != NONE {
            let slot = at;
            at = self.due.next(slot);
            let entry = self.slots.get(slot);
            if entry.finish == self.tick {
                let admission = entry.admission;
                self.forget_finish(slot);
                self.finished.push((admission, slot));
            }
        }
    }

    /// The items of the present decode batch at `tick`, in list order.
    fn decode_items(&self, tick: u64) -> impl Iterator<Item = StepItem> + '_ {
        self.slots.running().filter(|(_, slot)| slot.phase == Phase::Decode).map(move |(_, slot)| StepItem {
            tokens: 1,
            pos: slot.decode_pos(tick),
            input_tokens: slot.request.input_tokens,
        })
    }
}
