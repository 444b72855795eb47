//! Servers whose prompts do not join the next step of the running batch ([`crate::latency::Joining`]).

use super::slots::{NONE, Phase};
use super::{Fast, Stop};
use crate::latency::StepItem;
use crate::observation::Observer;
use crate::workload::PrefixTree;

impl Fast {
    /// A step planned before the late requests came, behind which they may be admitted; where nobody runs, they are
    /// admitted at once.
    #[cold]
    pub(super) fn step_with_late<O: Observer>(
        &mut self,
        now: i64,
        stop_at: u64,
        prefixes: &PrefixTree,
        observer: &mut O,
    ) {
        let is_planned = self.num_running() > 0;
        if is_planned {
            self.step_now(now, now, stop_at, prefixes, observer);
        }
        for slot in core::mem::take(&mut self.late) {
            self.queue.push(slot, false, &self.slots);
        }
        if !is_planned {
            self.step_now(now, now, stop_at, prefixes, observer);
        }
    }

    /// A step of prompts alone if there is one, else one of decodes alone, which no budget limits.
    pub(super) fn step_apart<O: Observer>(&mut self, now: i64, prefixes: &PrefixTree, observer: &mut O) {
        let mut budget = self.config.max_num_batched_tokens;
        let mut preempted = false;
        self.items.clear();
        if self.prompts_fit(budget, self.pool.free()) {
            budget = self.continue_prompts(budget, prefixes);
        } else {
            self.walk_prompts(&mut budget, now, &mut preempted, prefixes, observer);
        }
        let stop = if preempted { Stop::KvBlocks } else { self.admission_pass(now, budget, prefixes, observer) };
        let is_done = |slot: &u32| self.slots.get(*slot).pos == self.slots.get(*slot).request.input_tokens;
        if !self.items.is_empty() || self.prefilling.iter().any(is_done) {
            self.end_step(now, stop, 0, 0, prefixes, observer);
            return;
        }
        let at = self.growth_at;
        let grown = self.growth[at];
        if self.num_decoding > 0 && grown <= self.pool.free() && !self.are_fills_in_doubt(at, prefixes) {
            self.pool.take_many(grown);
            self.fill_blocks(at, prefixes);
        } else {
            self.walk_decodes(now, &mut preempted, prefixes, observer);
        }
        let stop = if preempted { Stop::KvBlocks } else { stop };
        self.end_step(now, stop, self.num_decoding, self.pos_sum, prefixes, observer);
    }

    /// Prompts in list order where blocks run short.
    fn walk_prompts<O: Observer>(
        &mut self,
        budget: &mut u32,
        now: i64,
        preempted: &mut bool,
        prefixes: &PrefixTree,
        observer: &mut O,
    ) {
        let size = self.config.block_size;
        let mut at = self.slots.first;
        while at != NONE && *budget > 0 {
            let entry = self.slots.get(at);
            if entry.phase == Phase::Prefill {
                let need = self.chunk(entry.request.input_tokens - entry.pos, *budget);
                let blocks = (entry.pos + need).div_ceil(size) - entry.pos.div_ceil(size);
                if !self.secure(at, blocks, now, preempted, prefixes, observer) {
                    break;
                }
                *budget -= need;
                let entry = self.slots.get_mut(at);
                let prompt = entry.prompt();
                self.pool.store(prompt, &mut entry.holding, prefixes, [entry.pos, entry.pos + need], false);
                self.items.push(StepItem { tokens: need, pos: entry.pos, input_tokens: prompt.tokens });
                entry.pos += need;
            }
            at = self.slots.get(at).next;
        }
    }

    /// Decodes in list order where blocks run short; those that are left all decode.
    fn walk_decodes<O: Observer>(&mut self, now: i64, preempted: &mut bool, prefixes: &PrefixTree, observer: &mut O) {
        let mut at = self.slots.first;
        while at != NONE {
            let entry = self.slots.get(at);
            if entry.phase == Phase::Decode {
                let blocks = u32::from(entry.growth as usize == self.growth_at);
                if !self.secure(at, blocks, now, preempted, prefixes, observer) {
                    break;
                }
                self.pool.take_many(blocks);
                self.fill_if_due(at, prefixes);
            }
            at = self.slots.get(at).next;
        }
    }

    /// Progress of a step of decodes alone (`decoding` is all of them) or of prompts alone (0).
    ///
    /// A step of prompts lengthens the next gap of those who decode, and of nobody else.
    pub(super) fn advance_apart(&mut self, duration: i64, decoding: u32, end: i64) {
        if decoding == 0 {
            self.apart_time += duration;
            return;
        }
        let before = decoding - self.joined.len() as u32;
        if before > 0 {
            self.gaps.add(self.apart_time + duration + self.output_overhead, 1, before);
        }
        let since = self.gaps.next_index();
        for slot in self.joined.drain(..) {
            let entry = self.slots.get_mut(slot);
            entry.participation.join(since);
            let gap = end - entry.first_token_end + self.output_overhead;
            self.gaps.add_own(&mut entry.participation, gap);
        }
        self.apart_time = 0;
        self.advance_tick();
        self.pos_sum += u64::from(decoding);
        self.collect_due();
    }
}
