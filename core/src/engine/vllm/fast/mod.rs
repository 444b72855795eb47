//! The engine that skips, under vLLM's rules: the same bytes as the plain one, in time that does not grow with the batch.
//!
//! It is built as the reference's: a decoding request is not touched while it decodes, since its position is the distance
//! to a counter of decode steps; a *regular* call gives everybody what they should get and costs as much as the prompts it
//! works on ([`regular`]); a run of calls that change nothing but the counter is a *window*, made at once ([`window`]); a
//! call in which the budget or the blocks run short is walked in list order ([`irregular`]).
//!
//! All of its state is that after the last call, as if what was planned had been computed.
//! Asynchronous scheduling then shows in three places alone: when the next call is, when a finished request leaves, and
//! when the block that a decode step fills gets its key, each one call later.

mod arrivals;
mod fills;
mod grouped;
mod irregular;
mod leaving;
mod life;
mod outlook;
mod plans;
mod pool;
mod queue;
mod regular;
mod slots;
mod window;

use super::groups::Groups;
use super::limits;
use crate::engine::due::Due;
use crate::engine::gaps::Gaps;
use crate::engine::marks::Marks;
use crate::latency::{LatencyModel, StepItem, WorkSums};
use crate::numeric::product;
use crate::observation::{Event, Fate, Observer, QueueSample};
use crate::scenario::{Batching, EngineConfig, VllmRules};
use crate::time::SimTime;
use crate::workload::{Outcome, PrefixTree};
use alloc::boxed::Box;
use alloc::collections::{BinaryHeap, VecDeque};
use alloc::vec::Vec;
use core::cmp::Reverse;
use fills::Wheel;
use life::Lives;
use pool::Pool;
use queue::Queue;
use slots::{NONE, Phase, Slots};

/// One replica that skips what repeats.
pub(in crate::engine) struct Fast {
    config: EngineConfig,
    rules: VllmRules,
    /// Planned steps beside the one that runs: 1 if asynchronous, else 0.
    lag: u32,
    is_apart: bool,
    reserved_blocks: u32,
    latency: LatencyModel,
    output_overhead: i64,
    final_overhead: i64,
    clock: i64,
    next_call: Option<i64>,
    calls: u64,
    /// Length of the step that the last call planned, if that waits for the one that runs; else 0.
    queued: i64,
    /// When requests get into the queue, in which order at equal times, and their slots.
    enqueueing: BinaryHeap<Reverse<(i64, u64, u32)>>,
    sequence: u64,
    /// Deadline, slot and serial of requests with a deadline; entries of settled ones are stale.
    deadlines: BinaryHeap<Reverse<(i64, u64, u32, u32)>>,
    slots: Slots,
    queue: Queue,
    /// Requests working on a prompt, in order of admission.
    prefilling: Vec<u32>,
    num_decoding: u32,
    /// Requests whose last token was planned by the call before the last one, and by the last one, in batch order.
    leaving: [Vec<u32>; 2],
    num_leaving: u32,
    /// Of these, those that were preempted.
    num_ghosts: u32,
    /// Decode steps so far.
    tick: u64,
    /// Sum of the positions of all decoding requests.
    pos_sum: u64,
    /// How many decoding requests take a block at ticks of each residue modulo the block size.
    growth: Vec<u32>,
    growth_at: usize,
    /// Requests that fill blocks others may ask for, by the residue of the ticks at which those get a key.
    fills: Wheel,
    due: Due,
    pool: Pool,
    groups: Groups,
    /// The blocks of requests where not all layers keep all tokens; the pool counts those of the others.
    lives: Option<Box<Lives>>,
    gaps: Gaps,
    /// Time of steps of prompts alone since the last one with decodes.
    apart_time: i64,
    /// Decoding requests that took no part in the last step, or had their first token in a step of prompts alone.
    rejoining: Vec<u32>,
    totals: crate::observation::ReplicaTotals,
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
    /// Scratch: requests that get their last token in the step.
    finished: Vec<(u64, u32)>,
    plans: plans::Recorder,
}

/// What stopped the admission of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    /// Somebody did not fit, or was preempted.
    KvBlocks,
    /// The batch, the budget or the queue came to an end.
    Other,
}

/// A step as far as it is planned.
#[derive(Debug, Clone, Copy)]
struct Planned {
    stop: Stop,
    has_preempted: bool,
    /// Decoding requests that take part, and the sum of their positions.
    decoding: u32,
    pos_sum: u64,
}

impl Fast {
    pub(in crate::engine) fn new(config: EngineConfig, rules: VllmRules, latency: LatencyModel) -> Self {
        let groups = Groups::of(&config, &rules);
        Self {
            lives: (!rules.groups.is_empty()).then(|| Box::new(Lives::new(&groups))),
            groups,
            lag: u32::from(rules.batching == Batching::Async),
            is_apart: rules.batching == Batching::V0,
            reserved_blocks: limits::reserved_blocks(&config, &rules),
            output_overhead: latency.output_overhead(),
            final_overhead: latency.final_overhead(),
            latency,
            clock: 0,
            next_call: None,
            calls: 0,
            queued: 0,
            enqueueing: BinaryHeap::new(),
            sequence: 0,
            deadlines: BinaryHeap::new(),
            slots: Slots::new(),
            queue: Queue::new(rules.order),
            prefilling: Vec::new(),
            num_decoding: 0,
            leaving: [Vec::new(), Vec::new()],
            num_leaving: 0,
            num_ghosts: 0,
            tick: 0,
            pos_sum: 0,
            growth: alloc::vec![0; config.block_size as usize],
            growth_at: 0,
            fills: Wheel::new(config.block_size),
            due: Due::new(),
            pool: Pool::new(config.num_blocks, config.block_size, config.enable_prefix_caching),
            gaps: Gaps::new(),
            apart_time: 0,
            rejoining: Vec::new(),
            totals: Default::default(),
            work: WorkSums::default(),
            produced: 0,
            inbox: VecDeque::new(),
            last_arrival: 0,
            outcomes: None,
            marks: None,
            items: Vec::new(),
            finished: Vec::new(),
            plans: plans::Recorder::default(),
            config,
            rules,
        }
    }

    /// [`crate::engine::Engine::advance`].
    #[inline(never)]
    pub(in crate::engine) fn advance<O: Observer>(
        &mut self,
        limit: i64,
        max_steps: u64,
        prefixes: &PrefixTree,
        observer: &mut O,
    ) -> bool {
        let stop_at = self.calls.saturating_add(max_steps);
        let limit = limit.min(self.config.horizon.0.saturating_add(1));
        loop {
            self.receive(observer);
            let enqueue = self.next_enqueueing();
            let timeout = self.next_deadline();
            let call = self.next_call.unwrap_or(i64::MAX);
            if enqueue.min(timeout).min(call) >= limit {
                return true;
            }
            if self.calls >= stop_at || self.outcomes.as_ref().is_some_and(|news| !news.is_empty()) {
                return false;
            }
            // Kinds rank enqueue, call, timeout at equal times.
            if enqueue <= call && enqueue <= timeout {
                let Some(Reverse((_, _, slot))) = self.enqueueing.pop() else { return true };
                self.clock = self.clock.max(enqueue);
                self.enqueue(slot, enqueue, observer);
            } else if call <= timeout {
                self.clock = self.clock.max(call);
                let until = enqueue.min(limit).saturating_sub(1).min(timeout);
                self.call(call, until, stop_at, prefixes, observer);
            } else {
                self.clock = self.clock.max(timeout);
                self.time_out(timeout, prefixes, observer);
            }
        }
    }

    /// The earliest deadline of a request that can still time out.
    #[inline]
    fn next_deadline(&mut self) -> i64 {
        while let Some(Reverse((time, _, slot, serial))) = self.deadlines.peek().copied() {
            let entry = self.slots.get(slot);
            if entry.serial == serial && !matches!(entry.phase, Phase::Leaving | Phase::Ghost) {
                return time;
            }
            self.deadlines.pop();
        }
        i64::MAX
    }

    /// Scheduler specification F, and deadlines (engine specification 4).
    #[inline(never)]
    fn enqueue<O: Observer>(&mut self, slot: u32, now: i64, observer: &mut O) {
        let request = &self.slots.get(slot).request;
        let (id, deadline) = (request.id, request.deadline.0);
        let answer_tokens = limits::answer_tokens(request, &self.config, &self.groups);
        let fate = if answer_tokens.is_none() {
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
            observer.settled(&self.slots.get(slot).record(fate, now, self.output_overhead));
            self.slots.remove(slot);
        } else {
            let order = self.sequence;
            self.sequence += 1;
            let entry = self.slots.get_mut(slot);
            entry.phase = Phase::Waiting;
            entry.order = order;
            entry.answer_tokens = answer_tokens.unwrap_or(1);
            self.queue.push(slot, false, &self.slots);
            if deadline > 0 && deadline <= self.config.horizon.0 {
                self.deadlines.push(Reverse((deadline, order, slot, self.slots.get(slot).serial)));
            }
            if observer.wants_events() {
                observer.event(&Event::Enqueue { time: SimTime(now), id });
            }
            self.next_call = Some(self.next_call.unwrap_or(now));
        }
        self.mark(now);
        observer.enqueued(&QueueSample {
            time: SimTime(now),
            waiting: self.num_waiting(),
            running: self.num_running(),
            used_blocks: self.pool.used(),
            output_tokens: self.produced,
        });
    }

    #[inline]
    fn tell_outcome(&mut self, id: u32, end: i64, context_tokens: Option<u32>) {
        if let Some(outcomes) = &mut self.outcomes {
            outcomes.push(Outcome { id, end: SimTime(end), context_tokens });
        }
    }

    /// Length of the running list.
    #[inline]
    fn num_running(&self) -> u32 {
        self.num_decoding + self.prefilling.len() as u32 + self.num_leaving
    }

    /// Length of the waiting list.
    #[inline]
    fn num_waiting(&self) -> u32 {
        self.queue.len() + self.num_ghosts
    }

    /// When the step before the one that is planned at `now` ends.
    #[inline]
    fn end_of_last_step(&self, now: i64) -> i64 {
        now + self.queued
    }

    /// One call, or as many equal ones as happen no later than `until`.
    fn call<O: Observer>(&mut self, now: i64, until: i64, stop_at: u64, prefixes: &PrefixTree, observer: &mut O) {
        self.process(now, prefixes, observer);
        if observer.wants_plans() {
            self.plans.processed(self.pool.free());
        }
        self.end_fresh();
        let is_settled = self.prefilling.is_empty() && self.rejoining.is_empty() && self.apart_time == 0;
        if is_settled && self.num_decoding > 0 && self.can_skip(prefixes) {
            let max_steps = stop_at - self.calls;
            if self.window(now, until, max_steps, prefixes, observer) {
                return;
            }
        }
        let planned = if self.is_apart {
            self.plan_apart(now, prefixes, observer)
        } else if let Some(planned) = self.plan_regular(now, prefixes, observer) {
            planned
        } else {
            self.plan_irregular(now, prefixes, observer)
        };
        self.end_call(now, planned, prefixes, observer);
    }

    /// What was computed so far is there.
    #[inline]
    fn end_fresh(&mut self) {
        if let Some(lives) = &mut self.lives {
            lives.end_call();
        }
    }

    /// The long-prefill threshold of this call.
    #[inline]
    fn threshold(&self) -> u32 {
        if self.config.long_prefill_token_threshold == 0 {
            return 0;
        }
        limits::threshold(&self.config, &self.rules, self.num_running() + self.num_waiting())
    }

    /// Counts of `steps` steps of the present batch.
    #[inline]
    fn count_step(&mut self, steps: u64, stop: Stop) {
        self.totals.steps += steps;
        self.totals.waiting_sum += steps * u64::from(self.num_waiting());
        self.totals.running_sum += steps * u64::from(self.num_running());
        let is_full = self.num_running() >= self.config.max_num_seqs;
        let is_nobody_waiting = self.num_waiting() == 0;
        let limiters = &mut self.totals.limiters;
        limiters.steps += steps;
        if is_nobody_waiting {
            limiters.none += steps;
        } else if stop == Stop::KvBlocks {
            limiters.kv_blocks += steps;
        } else if is_full {
            limiters.max_num_seqs += steps;
        } else {
            limiters.max_num_batched_tokens += steps;
        }
    }

    #[inline]
    fn count_usage(&mut self, duration: i64) {
        let used = self.pool.used();
        self.totals.kv_peak = self.totals.kv_peak.max(u64::from(used));
        self.totals.kv_integral += product(u64::from(used), duration.unsigned_abs());
        self.totals.busy += duration.unsigned_abs();
    }

    /// A decoding request stands in what the batch counts of it: its finish and its next block.
    #[inline]
    fn expect_finish(&mut self, slot: u32) {
        let entry = self.slots.get(slot);
        self.growth[entry.growth as usize] += 1;
        self.due.insert(entry.finish, slot);
        if let Some(lives) = &mut self.lives {
            let touch = lives.get(slot).touch;
            lives.touches.insert(touch, slot);
        }
    }

    /// A decoding request stands no longer in what the batch counts of it.
    #[inline]
    fn forget_finish(&mut self, slot: u32) {
        self.forget_fills(slot);
        let entry = self.slots.get(slot);
        self.growth[entry.growth as usize] -= 1;
        self.due.remove(entry.finish, slot);
        if let Some(lives) = &mut self.lives {
            let touch = lives.get(slot).touch;
            lives.touches.remove(touch, slot);
        }
    }

    /// Moves the decode tick on by one.
    #[inline]
    fn advance_tick(&mut self) {
        self.tick += 1;
        let next = self.growth_at + 1;
        self.growth_at = if next == self.growth.len() { 0 } else { next };
    }

    /// Moves requests that get their last token at this tick to the list of finished ones.
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
