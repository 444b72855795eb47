//! Steps in which the budget or the blocks run short: the running list is walked as the specification words it.

use super::Fast;
use super::slots::NONE;
use crate::engine::fast::slots::Phase;
use crate::latency::StepItem;
use crate::observation::{Event, Observer};
use crate::time::SimTime;
use crate::workload::PrefixTree;

impl Fast {
    /// Executes one step in list order (engine specification 5.1).
    pub(super) fn irregular_step<O: Observer>(&mut self, now: i64, prefixes: &PrefixTree, observer: &mut O) {
        let mut budget = self.config.max_num_batched_tokens;
        let (mut decoding, mut pos_sum) = (0, 0u64);
        let mut preempted = false;
        self.items.clear();
        let mut at = self.slots.first;
        while at != NONE && budget > 0 {
            let entry = self.slots.get(at);
            let (need, blocks) = if entry.phase == Phase::Prefill {
                let need = self.chunk(entry.request.input_tokens - entry.pos, budget);
                let size = self.config.block_size;
                (need, (entry.pos + need).div_ceil(size) - entry.pos.div_ceil(size))
            } else {
                (1, u32::from(entry.growth as usize == self.growth_at))
            };
            if !self.secure(at, blocks, now, &mut preempted, prefixes, observer) {
                break;
            }
            budget -= need;
            let tick = self.tick;
            let entry = self.slots.get_mut(at);
            if entry.phase == Phase::Prefill {
                let prompt = entry.prompt();
                let range = [entry.pos, entry.pos + need];
                self.pool.store(prompt, &mut entry.holding, prefixes, range, false);
                self.items.push(StepItem { tokens: need, pos: entry.pos, input_tokens: prompt.tokens });
                entry.pos += need;
            } else {
                pos_sum += u64::from(entry.decode_pos(tick));
                decoding += 1;
                self.pool.take_many(blocks);
                self.fill_if_due(at, prefixes);
            }
            at = self.slots.get(at).next;
        }
        self.finish_step(now, budget, preempted, decoding, pos_sum, prefixes, observer);
    }

    /// Preempts from the back of the list until `blocks` blocks are free; false if that took the request itself.
    pub(super) fn secure<O: Observer>(
        &mut self,
        slot: u32,
        blocks: u32,
        now: i64,
        preempted: &mut bool,
        prefixes: &PrefixTree,
        observer: &mut O,
    ) -> bool {
        while blocks > self.pool.free() {
            *preempted = true;
            let victim = self.slots.last;
            self.preempt(victim, now, prefixes, observer);
            if victim == slot {
                return false;
            }
        }
        true
    }

    pub(super) fn preempt<O: Observer>(&mut self, victim: u32, now: i64, prefixes: &PrefixTree, observer: &mut O) {
        self.leave_batch(victim);
        let entry = self.slots.get_mut(victim);
        let stored = match entry.phase {
            Phase::Prefill => entry.pos,
            // A fully cached prompt was admitted without holding its blocks.
            _ if entry.base > 0 => 0,
            _ => entry.request.input_tokens,
        };
        if let Some(tiered) = &mut self.tiered {
            tiered.release(victim, entry.admission, &entry.request, false);
        } else {
            let prompt = entry.prompt();
            self.pool.release_for_later(prompt, &mut entry.holding, prefixes, stored);
        }
        entry.phase = Phase::Waiting;
        entry.pos = 0;
        self.totals.preemptions += 1;
        if observer.wants_events() {
            observer.event(&Event::Preempt { time: SimTime(now), id: entry.request.id });
        }
        self.queue.push(victim, true, &self.slots);
    }

    /// The budget served only the first `decoding` of the decoding requests; the others miss this step.
    pub(super) fn advance_partly(&mut self, duration: i64, decoding: u32) {
        let index = self.gaps.next_index();
        self.gaps.add(duration + self.output_overhead, 1, decoding);
        self.pos_sum += u64::from(decoding);
        let (mut seen, mut at) = (0, self.slots.first);
        while at != NONE {
            let entry = self.slots.get(at);
            let next = entry.next;
            if entry.phase == Phase::Decode {
                seen += 1;
                if seen > decoding {
                    let is_filling = self.slots.get(at).is_filling;
                    self.forget_finish(at);
                    let size = self.config.block_size;
                    let entry = self.slots.get_mut(at);
                    entry.start += 1;
                    entry.finish += 1;
                    entry.growth = if entry.growth + 1 == size { 0 } else { entry.growth + 1 };
                    entry.missed_time += duration;
                    entry.participation.leave(index);
                    entry.participation.join(index + 1);
                    self.expect_finish(at);
                    if is_filling {
                        self.resume_fills(at);
                    }
                }
            }
            at = next;
        }
        self.advance_tick();
    }

    /// The decode items of this step when not all decoding requests were served: the first ones, in list order.
    pub(super) fn served_items(&self) -> impl Iterator<Item = StepItem> + '_ {
        let prompts: u32 = self.items.iter().map(|item| item.tokens).sum();
        let served = self.config.max_num_batched_tokens.saturating_sub(prompts) as usize;
        self.decode_items(self.tick).take(served)
    }
}
