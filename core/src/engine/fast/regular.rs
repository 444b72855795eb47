//! Steps in which everybody gets what they should.

use super::{Fast, Stop};
use crate::engine::fast::slots::Phase;
use crate::latency::{Joining, MAX_STEP, StepItem};
use crate::observation::{Event, Observer};
use crate::scenario::EngineConfig;
use crate::time::SimTime;
use crate::workload::PrefixTree;
use alloc::vec::Vec;

impl Fast {
    /// Executes a step that serves every decoding request, and prompts behind them in order; false, and nothing
    /// done, if the budget or the blocks run short or the order of the list matters.
    pub(super) fn regular_step<O: Observer>(&mut self, now: i64, prefixes: &PrefixTree, observer: &mut O) -> bool {
        let EngineConfig { max_num_batched_tokens, .. } = self.config;
        let grown = if self.num_decoding > 0 { self.growth[self.growth_at] } else { 0 };
        if self.num_decoding > max_num_batched_tokens || grown > self.pool.free() || !self.prompts_come_last() {
            return false;
        }
        let mut budget = max_num_batched_tokens - self.num_decoding;
        if !self.prompts_fit(budget, self.pool.free() - grown) {
            return false;
        }

        // The running pass: decodes first, then prompts in order.
        self.pool.take_many(grown);
        self.fill_blocks(self.growth_at, prefixes);
        self.items.clear();
        budget = self.continue_prompts(budget, prefixes);
        let decoding = self.num_decoding;
        self.finish_step(now, budget, false, decoding, self.pos_sum, prefixes, observer);
        true
    }

    /// The next chunks of the prompts in progress, which fit; the budget that is left.
    pub(super) fn continue_prompts(&mut self, mut budget: u32, prefixes: &PrefixTree) -> u32 {
        for at in 0..self.prefilling.len() {
            let slot = self.prefilling[at];
            let entry = self.slots.get(slot);
            let need = self.chunk(entry.request.input_tokens - entry.pos, budget);
            if need == 0 {
                break;
            }
            budget -= need;
            let entry = self.slots.get_mut(slot);
            let prompt = entry.prompt();
            let range = [entry.pos, entry.pos + need];
            self.pool.store(prompt, &mut entry.holding, prefixes, range, false);
            self.items.push(StepItem { tokens: need, pos: entry.pos, input_tokens: prompt.tokens });
            entry.pos += need;
        }
        budget
    }

    /// Admission, duration, progress and completion of a step whose running pass is done: `decoding` requests decode,
    /// at positions that sum to `pos_sum`.
    #[allow(clippy::too_many_arguments, reason = "the state of one step between two of its phases")]
    pub(super) fn finish_step<O: Observer>(
        &mut self,
        now: i64,
        budget: u32,
        preempted: bool,
        decoding: u32,
        pos_sum: u64,
        prefixes: &PrefixTree,
        observer: &mut O,
    ) {
        let stop = if preempted { Stop::KvBlocks } else { self.admission_pass(now, budget, prefixes, observer) };
        self.end_step(now, stop, decoding, pos_sum, prefixes, observer);
    }

    /// Duration, progress and completion of a step whose batch is formed.
    pub(super) fn end_step<O: Observer>(
        &mut self,
        now: i64,
        stop: Stop,
        decoding: u32,
        pos_sum: u64,
        prefixes: &PrefixTree,
        observer: &mut O,
    ) {
        self.count_step(1, stop);
        let duration = if decoding == 0 && self.items.is_empty() {
            self.latency.step_time(&[])
        } else {
            self.latency
                .mixed_step_time(decoding, pos_sum, &self.items)
                .unwrap_or_else(|| self.strict_mixed_step(decoding == self.num_decoding))
        };
        let transfer = self.tiered.as_mut().map_or(0, |tiered| tiered.take_transfer());
        let duration = duration.saturating_add(transfer).min(MAX_STEP);
        self.latency.count_work(&mut self.work, decoding, pos_sum, &self.items, duration);
        let end = now + duration;

        // Progress: those who decoded, then those who finished their prompt.
        self.count_usage(duration);
        self.produced += u64::from(decoding);
        if self.joining == Joining::OwnSteps {
            self.advance_apart(duration, decoding, end);
        } else if self.num_decoding > 0 {
            if decoding == self.num_decoding {
                self.gaps.add(duration + self.output_overhead, 1, decoding);
                self.advance_tick();
                self.pos_sum += u64::from(decoding);
            } else {
                self.advance_partly(duration, decoding);
            }
            self.collect_due();
        }
        self.finish_prompts(end, prefixes, observer);
        if let Some(tiered) = &mut self.tiered {
            tiered.pass(&self.slots);
        }
        if observer.wants_events() {
            observer.event(&Event::Step {
                time: SimTime(now),
                steps: 1,
                duration: SimTime(duration),
                running: self.num_running(),
                waiting: self.num_waiting(),
                used_blocks: [self.used_blocks(); 2],
            });
        }
        self.complete(now, duration, prefixes, observer);
    }

    /// Engine specification 5.2.
    pub(super) fn admission_pass<O: Observer>(
        &mut self,
        now: i64,
        mut budget: u32,
        prefixes: &PrefixTree,
        observer: &mut O,
    ) -> Stop {
        while self.num_running() < self.config.max_num_seqs && budget > 0 {
            let Some(slot) = self.queue.front(&mut self.slots) else { break };
            let entry = self.slots.get(slot);
            let prompt = entry.prompt();
            let hits = self.pool.lookup(prompt, &entry.holding, prefixes);
            let cached = hits.blocks * self.config.block_size;
            let need = self.chunk(prompt.tokens - cached, budget);
            let range = [cached, cached + need];
            // An empty range needs no new block, but its hits count as if they were claimed (KV specification 4).
            if !self.pool.fits(range[0], range[1], hits.free) {
                return Stop::KvBlocks;
            }
            budget -= need;
            let entry = self.slots.get_mut(slot);
            self.pool.store(prompt, &mut entry.holding, prefixes, range, true);
            entry.base = if entry.holding.is_empty() { prompt.tokens } else { 0 };
            self.admit(slot, [cached, need], now, observer);
        }
        Stop::Other
    }

    /// The front of the queue gets into the batch, with `cached` tokens of its prompt and a chunk of `need` behind them.
    #[inline]
    pub(super) fn admit<O: Observer>(&mut self, slot: u32, [cached, need]: [u32; 2], now: i64, observer: &mut O) {
        self.queue.pop_front();
        let entry = self.slots.get_mut(slot);
        entry.phase = Phase::Prefill;
        entry.pos = cached + need;
        entry.scheduling_delay = Some(now - entry.request.arrive.0);
        if need > 0 {
            // In its first step its position still is 0, cached tokens or not.
            self.items.push(StepItem { tokens: need, pos: 0, input_tokens: entry.request.input_tokens });
        }
        if observer.wants_events() {
            observer.event(&Event::Admit { time: SimTime(now), id: entry.request.id, cached_tokens: cached });
        }
        self.slots.admit(slot);
        self.prefilling.push(slot);
    }

    /// Prompts that are finished become decodes; the step ends at `end`.
    fn finish_prompts<O: Observer>(&mut self, end: i64, prefixes: &PrefixTree, observer: &mut O) {
        let mut kept = 0;
        for at in 0..self.prefilling.len() {
            let slot = self.prefilling[at];
            let entry = self.slots.get(slot);
            if entry.pos == entry.request.input_tokens {
                self.first_token(slot, end, prefixes, observer);
            } else {
                self.prefilling[kept] = slot;
                kept += 1;
            }
        }
        self.prefilling.truncate(kept);
    }

    /// Whether all prompts in progress stand behind all decoding requests in the running list.
    fn prompts_come_last(&self) -> bool {
        let mut at = self.slots.last;
        for slot in self.prefilling.iter().rev() {
            if *slot != at {
                return false;
            }
            at = self.slots.get(at).previous;
        }
        true
    }

    /// Whether the prompts in progress get the blocks for their chunks.
    pub(super) fn prompts_fit(&self, mut budget: u32, mut free: u32) -> bool {
        let size = self.config.block_size;
        for slot in &self.prefilling {
            let entry = self.slots.get(*slot);
            let need = self.chunk(entry.request.input_tokens - entry.pos, budget);
            budget -= need;
            let blocks = (entry.pos + need).div_ceil(size) - entry.pos.div_ceil(size);
            if blocks > free {
                return false;
            }
            free -= blocks;
        }
        true
    }

    /// The plain step time, where the aggregate leaves doubt.
    #[cold]
    fn strict_mixed_step(&self, all_decode: bool) -> i64 {
        let mut items: Vec<StepItem> = self.items.clone();
        if all_decode {
            items.extend(self.decode_items(self.tick));
        } else {
            items.extend(self.served_items());
        }
        self.latency.step_time(&items)
    }
}
