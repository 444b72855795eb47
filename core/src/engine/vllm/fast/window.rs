//! Runs of calls at once that serve the same requests with a token each.

use super::{Fast, Stop};
use crate::latency::{DecodeStepper, MAX_STEP, StepItem};
use crate::numeric::product;
use crate::observation::{Event, Observer};
use crate::time::SimTime;
use crate::workload::PrefixTree;
use alloc::vec::Vec;

/// How far a window has come.
struct Progress {
    steps: u64,
    /// Call of the next step, and of the last one.
    next: i64,
    start: i64,
    /// Length of the last step, and of the one before the next.
    duration: i64,
    queued: i64,
    /// Sum of all lengths.
    busy: i64,
    integral: u128,
    /// Residue of the next tick.
    at: usize,
}

/// Blocks while a leg of a window is made.
struct Blocks {
    /// Free ones at its beginning, and those of them that its steps have taken, if they are only counted.
    free: u32,
    taken: u32,
    used: u64,
}

impl Fast {
    /// Whether only decode steps without admission lie ahead.
    ///
    /// The caller has checked that nobody works on a prompt. "Does not fit" cannot be undone within a window: a hit that
    /// is evicted is a block more to be taken and one less to be taken out of the free queue, and the free blocks become
    /// fewer.
    #[inline]
    pub(super) fn can_skip(&mut self, prefixes: &PrefixTree) -> bool {
        let config = &self.config;
        if self.num_decoding > config.max_num_batched_tokens && !self.is_apart {
            return false;
        }
        let budget = config.max_num_batched_tokens - if self.is_apart { 0 } else { self.num_decoding };
        if self.num_running() >= config.max_num_seqs || budget == 0 {
            return true;
        }
        self.queue.is_empty() || self.front_waits(budget, prefixes)
    }

    /// Whether the front of the queue does not fit into such a step.
    #[inline(never)]
    fn front_waits(&mut self, budget: u32, prefixes: &PrefixTree) -> bool {
        let Some(front) = self.queue.front(&mut self.slots) else { return true };
        if self.fills.ticks_until_next(self.growth_at) == 1 {
            // Requests are admitted behind the fills of a step: one of them may be what the front waits for.
            return false;
        }
        // Blocks that this step takes first are no longer free for the front.
        let threshold = self.threshold();
        let chunk = self.fitting_chunk(front, budget, threshold, prefixes);
        let is_budget_short = chunk.is_some_and(|chunk| chunk.tokens == 0);
        if let Some(lives) = &mut self.lives {
            lives.is_budget_short = is_budget_short;
            if lives.front_asks == 0 && lives.touches.ticks_until_next(self.tick) == 1 {
                // So it is with blocks that get keys or come back.
                return false;
            }
        }
        chunk.is_none() || is_budget_short
    }

    /// Makes the calls that happen no later than `until`, at most `max_calls`, up to and including the one in which
    /// somebody gets a last token; false, and nothing done, if blocks run short in the first.
    #[inline(never)]
    pub(super) fn window<O: Observer>(
        &mut self,
        now: i64,
        until: i64,
        max_calls: u64,
        prefixes: &PrefixTree,
        observer: &mut O,
    ) -> bool {
        let decoding = u64::from(self.num_decoding);
        let is_spent = !self.is_apart && self.num_decoding == self.config.max_num_batched_tokens;
        let is_full = self.num_running() >= self.config.max_num_seqs || is_spent;
        let mut most = max_calls.min(self.due.ticks_until_next(self.tick));
        // Up to and including the step of a fill; up to the step before if that may admit.
        let until_fill = self.fills.ticks_until_next(self.growth_at);
        if until_fill <= most {
            let may_admit = !is_full && !self.queue.is_empty();
            most = until_fill - u64::from(until_fill > 1 && may_admit);
        }
        let mut enough = u32::MAX;
        if let Some(lives) = &self.lives
            && !is_full
            && !self.queue.is_empty()
        {
            if lives.front_asks > 0 {
                enough = lives.front_asks;
            } else {
                // With each touch blocks may come back or be found.
                most = most.min(lives.touches.ticks_until_next(self.tick) - 1);
            }
        }
        // Those who leave before the second call make room for those who wait.
        let is_release = !self.leaving[0].is_empty();
        if is_release && self.num_waiting() > 0 {
            most = 1;
        }
        let stepper = self.latency.decode_stepper(self.num_decoding);
        let first_pos_sum = self.pos_sum;
        let counts_each =
            !self.latency.is_window_uniform(self.num_decoding, first_pos_sum, first_pos_sum + decoding * (most - 1));
        let evictions = self.pool.evictions;
        let used_before = self.pool.used();
        let mut progress = Progress {
            steps: 0,
            next: now,
            start: now,
            duration: 0,
            queued: self.queued,
            busy: 0,
            integral: 0,
            at: self.growth_at,
        };
        let mut leg = if is_release { 1 } else { most };
        loop {
            self.run(&stepper, &mut progress, (leg, enough), until, counts_each, prefixes, observer);
            if progress.steps == 0 {
                return false;
            }
            if leg == most || progress.steps < leg || progress.next > until {
                break;
            }
            self.process(progress.next, prefixes, observer);
            if observer.wants_plans() {
                self.plans.processed(self.pool.free());
            }
            leg = most;
        }
        self.end_fresh();
        let Progress { steps, next, start, duration, queued, busy, integral, at } = progress;
        if !counts_each {
            self.latency.count_window(&mut self.work, self.num_decoding, first_pos_sum, steps, busy);
        }
        if steps == until_fill {
            let residue = if at == 0 { self.growth.len() - 1 } else { at - 1 };
            self.fill_blocks(residue, self.tick + steps - 1, prefixes);
        }
        self.tick += steps;
        self.growth_at = at;
        self.pos_sum += steps * decoding;
        self.produced += steps * decoding;
        self.calls += steps;
        self.clock = self.clock.max(start);
        self.totals.kv_integral += integral;
        self.totals.busy += busy.unsigned_abs();
        let has_evicted = self.pool.evictions > evictions;
        let jumps = &mut self.totals.jumps;
        jumps.windows += u64::from(steps >= 2);
        jumps.long_windows += u64::from(steps >= 8);
        jumps.filling_windows += u64::from(steps >= 2 && steps == until_fill);
        jumps.evicting_windows += u64::from(steps >= 2 && has_evicted);
        if observer.wants_events() {
            observer.event(&Event::Step {
                time: SimTime(now),
                steps,
                duration: SimTime(busy),
                running: self.num_running(),
                waiting: self.num_waiting(),
                used_blocks: [used_before, self.pool.used()],
            });
        }
        self.next_call = Some(next);
        let end = if self.lag > 0 {
            self.queued = queued;
            next + duration
        } else {
            next
        };
        self.collect_due();
        self.settle_finished(end);
        true
    }

    /// Goes on with a window until `most` steps are made, or the next call is later than `until`, lacks blocks, or has
    /// `enough` for the front of the queue.
    #[inline]
    #[allow(clippy::too_many_arguments, reason = "the state of one window between its legs")]
    fn run<O: Observer>(
        &mut self,
        stepper: &DecodeStepper,
        progress: &mut Progress,
        (most, enough): (u64, u32),
        until: i64,
        counts_each: bool,
        prefixes: &PrefixTree,
        observer: &mut O,
    ) {
        let decoding = u64::from(self.num_decoding);
        let first = progress.steps;
        let mut blocks = Blocks { free: self.pool.free(), taken: 0, used: self.pool.used().into() };
        let Progress { mut steps, mut next, mut start, mut duration, mut queued, mut at, .. } = *progress;
        let (mut busy, mut integral) = (0i64, 0u128);
        // Asynchronously the next call comes when the step before has ended.
        let is_lagging = self.lag > 0;
        if let DecodeStepper::Constant(constant) = *stepper {
            let constant = constant.clamp(1, MAX_STEP);
            // Fewer than 2³² blocks over fewer than 2³² steps.
            let mut used_sum = 0u64;
            while steps < most && next <= until {
                if !self.get_blocks(&mut blocks, (steps, at), enough, prefixes) {
                    break;
                }
                used_sum += blocks.used;
                start = next;
                next += if is_lagging { queued } else { constant };
                queued = constant;
                at += 1;
                if at == self.growth.len() {
                    at = 0;
                }
                steps += 1;
                if observer.wants_plans() {
                    self.tell_step(steps - 1, start, blocks.taken, observer);
                }
            }
            let made = steps - first;
            if made > 0 {
                duration = constant;
                busy = constant * made as i64;
                integral = product(used_sum, constant.unsigned_abs());
                self.gaps.add(constant + self.output_overhead, made, self.num_decoding);
            }
        } else {
            while steps < most && next <= until {
                if !self.get_blocks(&mut blocks, (steps, at), enough, prefixes) {
                    break;
                }
                let pos_sum = self.pos_sum + steps * decoding;
                duration = stepper.step_time(pos_sum).unwrap_or_else(|| self.strict_decode_step(steps));
                duration = duration.clamp(1, MAX_STEP);
                if counts_each {
                    self.latency.count_work(&mut self.work, self.num_decoding, pos_sum, &[], duration);
                }
                integral += product(blocks.used, duration.unsigned_abs());
                busy += duration;
                self.gaps.add(duration + self.output_overhead, 1, self.num_decoding);
                start = next;
                next += if is_lagging { queued } else { duration };
                queued = duration;
                at += 1;
                if at == self.growth.len() {
                    at = 0;
                }
                steps += 1;
                if observer.wants_plans() {
                    self.tell_step(steps - 1, start, blocks.taken, observer);
                }
            }
        }
        if steps > first {
            self.pool.take_many(blocks.taken);
            self.totals.kv_peak = self.totals.kv_peak.max(blocks.used);
            let is_full = self.num_running() >= self.config.max_num_seqs
                || (!self.is_apart && self.num_decoding == self.config.max_num_batched_tokens);
            let is_other = is_full || self.lives.as_ref().is_some_and(|lives| lives.is_budget_short);
            self.count_step(steps - first, if is_other { Stop::Other } else { Stop::KvBlocks });
        }
        let (busy, integral) = (progress.busy + busy, progress.integral + integral);
        *progress = Progress { steps, next, start, duration, queued, busy, integral, at };
    }

    /// The blocks of the step of a window that is `ahead` of its first, at the residue `at`; false if they run short, or
    /// the front of the queue has `enough`.
    #[inline]
    fn get_blocks(
        &mut self,
        blocks: &mut Blocks,
        (ahead, at): (u64, usize),
        enough: u32,
        prefixes: &PrefixTree,
    ) -> bool {
        if self.lives.is_some() {
            let is_served = self.touch_all(ahead, enough, prefixes);
            if is_served {
                blocks.used = self.pool.used().into();
                self.totals.kv_peak = self.totals.kv_peak.max(blocks.used);
            }
            return is_served;
        }
        let grown = self.growth[at];
        let is_served = grown <= blocks.free - blocks.taken;
        if is_served {
            blocks.taken += grown;
            blocks.used += u64::from(grown);
        }
        is_served
    }

    /// Writes down one call of a window, `ahead` calls from its first, with so many blocks taken in it so far.
    #[cold]
    fn tell_step<O: Observer>(&mut self, ahead: u64, now: i64, taken: u32, observer: &mut O) {
        self.plans.all(&self.slots, [self.tick + ahead, self.calls], &[], [true, false]);
        let counts = [self.num_running(), self.num_waiting(), self.pool.free() - taken, self.pool.used() + taken];
        self.plans.tell(self.calls + ahead, now, counts, observer);
        self.plans.processed(self.pool.free() - taken);
    }

    /// The plain step time `ahead` steps from now, where the aggregate leaves doubt.
    #[cold]
    fn strict_decode_step(&self, ahead: u64) -> i64 {
        let items: Vec<StepItem> = self.decode_items(self.tick + ahead).collect();
        self.latency.step_time(&items)
    }
}
