//! Runs of equal steps at once (engine specification 9).

use super::{Fast, Stop};
use crate::latency::{DecodeStepper, Joining, StepItem};
use crate::numeric::product;
use crate::observation::{Event, Observer};
use crate::time::SimTime;
use crate::workload::PrefixTree;
use alloc::vec::Vec;

impl Fast {
    /// Whether only decode steps without admission lie ahead: conditions 1, 2 and 5 of 9.1.
    ///
    /// The caller has checked that nobody works on a prompt.
    pub(super) fn can_skip(&mut self, prefixes: &PrefixTree) -> bool {
        let config = &self.config;
        let is_apart = self.joining == Joining::OwnSteps;
        if self.num_decoding > config.max_num_batched_tokens && !is_apart {
            return false;
        }
        let budget = config.max_num_batched_tokens - if is_apart { 0 } else { self.num_decoding };
        if self.num_decoding >= config.max_num_seqs || budget == 0 {
            return true;
        }
        let Some(front) = self.queue.front(&mut self.slots) else { return true };
        if self.tiered.is_some() {
            // Where the front does not fit, the CPU tier is asked again in each step, and what comes of it is counted.
            return false;
        }
        if self.fills.ticks_until_next(self.growth_at) == 1 {
            // Requests are admitted behind the fills of a step: one of them may be what the front waits for.
            return false;
        }
        let entry = self.slots.get(front);
        let prompt = entry.prompt();
        let hits = self.pool.lookup(prompt, &entry.holding, prefixes);
        let start = hits.blocks * config.block_size;
        let need = self.chunk(prompt.tokens - start, budget);
        if self.pool.fits(start, start + need, hits.free) {
            return false;
        }
        // "Does not fit" is final if it holds without the free hits, or if nothing would cut even the whole prompt:
        // otherwise the eviction of a hit could make a cut rest fit, so the question is asked again at the next step.
        self.chunk(prompt.tokens, budget) == prompt.tokens || !self.pool.fits(start, start + need, 0)
    }

    /// How many of `need` prompt tokens fit into a step.
    #[inline]
    pub(super) fn chunk(&self, need: u32, budget: u32) -> u32 {
        let threshold = self.config.long_prefill_token_threshold;
        let need = if threshold > 0 && threshold < need { threshold } else { need };
        need.min(budget)
    }

    /// Executes the steps that start no later than `until`, at most `max_steps`, up to and including the one in which
    /// somebody finishes; false, and nothing done, if blocks run short in the first.
    #[inline(never)]
    pub(super) fn window<O: Observer>(
        &mut self,
        now: i64,
        until: i64,
        max_steps: u64,
        prefixes: &PrefixTree,
        observer: &mut O,
    ) -> bool {
        let decoding = u64::from(self.num_decoding);
        let max_steps = max_steps.min(self.due.ticks_until_next(self.tick));
        let is_spent = self.joining != Joining::OwnSteps && self.num_decoding == self.config.max_num_batched_tokens;
        let is_full = self.num_decoding >= self.config.max_num_seqs || is_spent;
        // Up to and including the step of a fill; up to the step before if that has to be walked, or may admit.
        let until_fill = self.fills.ticks_until_next(self.growth_at);
        let max_steps = if until_fill > max_steps {
            max_steps
        } else {
            let residue = (self.growth_at + until_fill as usize - 1) % self.growth.len();
            let may_admit = !is_full && !self.queue.is_empty();
            let is_next = until_fill > 1 && (may_admit || self.are_fills_in_doubt(residue, prefixes));
            until_fill - u64::from(is_next)
        };
        let stepper = self.latency.decode_stepper(self.num_decoding);
        let free = self.free_blocks();
        let mut taken = 0u32;
        let mut at = self.growth_at;
        let mut used = u64::from(self.used_blocks());
        let mut integral = 0u128;
        let (mut steps, mut start, mut duration) = (0u64, now, 0i64);
        let first_pos_sum = self.pos_sum;
        let counts_each = !self.latency.is_window_uniform(
            self.num_decoding,
            first_pos_sum,
            first_pos_sum + decoding * (max_steps - 1),
        );
        if let DecodeStepper::Constant(constant) = stepper {
            duration = constant;
            let mut next = now;
            // Fewer than 2³² blocks over fewer than 2³² steps.
            let mut used_sum = 0u64;
            while steps < max_steps && next <= until {
                let grown = self.growth[at];
                if grown > free - taken {
                    break;
                }
                taken += grown;
                used += u64::from(grown);
                used_sum += used;
                start = next;
                next += constant;
                at += 1;
                if at == self.growth.len() {
                    at = 0;
                }
                steps += 1;
            }
            if steps == 0 {
                return false;
            }
            integral = product(used_sum, constant.unsigned_abs());
            self.gaps.add(constant + self.output_overhead, steps, self.num_decoding);
        } else {
            let mut next = now;
            while steps < max_steps && next <= until {
                let grown = self.growth[at];
                if grown > free - taken {
                    break;
                }
                taken += grown;
                used += u64::from(grown);
                let pos_sum = first_pos_sum + steps * decoding;
                duration = match stepper.step_time(pos_sum) {
                    Some(duration) => duration,
                    None => self.strict_decode_step(steps),
                };
                if counts_each {
                    self.latency.count_work(&mut self.work, self.num_decoding, pos_sum, &[], duration);
                }
                integral += product(used, duration.unsigned_abs());
                self.gaps.add(duration + self.output_overhead, 1, self.num_decoding);
                start = next;
                next += duration;
                at += 1;
                if at == self.growth.len() {
                    at = 0;
                }
                steps += 1;
            }
            if steps == 0 {
                return false;
            }
        }
        let end = start + duration;
        if !counts_each {
            self.latency.count_window(&mut self.work, self.num_decoding, first_pos_sum, steps, end - now);
        }
        let evictions = self.evictions();
        let used_before = self.used_blocks();
        if let Some(tiered) = &mut self.tiered {
            let residues = (self.growth_at..self.growth.len()).chain((0..self.growth.len()).cycle());
            for (tick, at) in (self.tick..self.tick + steps).zip(residues) {
                tiered.decode_all(at as u32, tick, &self.slots, prefixes);
                tiered.pass(&self.slots);
            }
        } else {
            self.pool.take_many(taken);
        }
        if steps == until_fill {
            self.fill_blocks(if at == 0 { self.growth.len() - 1 } else { at - 1 }, prefixes);
        }
        self.tick += steps;
        self.growth_at = at;
        self.pos_sum += steps * decoding;
        self.produced += steps * decoding;
        self.clock = self.clock.max(start);
        self.totals.kv_integral += integral;
        self.totals.kv_peak = self.totals.kv_peak.max(used);
        self.totals.busy += (end - now).unsigned_abs();
        self.count_step(steps, if is_full { Stop::Other } else { Stop::KvBlocks });
        let has_evicted = self.evictions() > evictions;
        let jumps = &mut self.totals.jumps;
        jumps.windows += u64::from(steps >= 2);
        jumps.long_windows += u64::from(steps >= 8);
        jumps.filling_windows += u64::from(steps >= 2 && steps == until_fill);
        jumps.evicting_windows += u64::from(steps >= 2 && has_evicted);
        if observer.wants_events() {
            observer.event(&Event::Step {
                time: SimTime(now),
                steps,
                duration: SimTime(end - now),
                running: self.num_decoding,
                waiting: self.num_waiting(),
                used_blocks: [used_before, self.used_blocks()],
            });
        }
        self.collect_due();
        self.complete(start, duration, prefixes, observer);
        true
    }

    fn evictions(&self) -> u64 {
        self.tiered.as_ref().map_or(self.pool.evictions, |tiered| tiered.evictions())
    }

    /// The plain step time `ahead` steps from now, where the aggregate leaves doubt.
    #[cold]
    fn strict_decode_step(&self, ahead: u64) -> i64 {
        let items: Vec<StepItem> = self.decode_items(self.tick + ahead).collect();
        self.latency.step_time(&items)
    }
}
