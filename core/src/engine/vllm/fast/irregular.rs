//! Calls in which the budget or the blocks run short: the running list is walked as the specification words it; and
//! servers whose steps hold prompts or decodes, never both.

use super::slots::{NONE, Phase};
use super::{Fast, Planned, Stop};
use crate::latency::StepItem;
use crate::observation::Observer;
use crate::scenario::QueueOrder;
use crate::workload::PrefixTree;
use alloc::vec::Vec;

/// A running pass while it is made.
struct Walk {
    budget: u32,
    threshold: u32,
    /// Decoding requests that were served together, and the sum of their positions.
    decoding: u32,
    pos_sum: u64,
    /// The others that were served: slot, tokens, position, in batch order.
    served: Vec<(u32, u32, u32)>,
    preempted: Vec<u32>,
}

impl Fast {
    /// Plans a step in list order (scheduler specification C2).
    pub(super) fn plan_irregular<O: Observer>(&mut self, now: i64, prefixes: &PrefixTree, observer: &mut O) -> Planned {
        let mut walk = self.walk(self.config.max_num_batched_tokens);
        let first = if self.decodes_go_together() {
            self.serve_decodes(&mut walk, now, prefixes, observer);
            self.prefilling.first().copied().unwrap_or(NONE)
        } else {
            self.slots.first
        };
        self.walk_running(&mut walk, first, None, now, prefixes, observer);
        self.end_walk(walk, now, prefixes, observer)
    }

    /// Whether all decoding requests stand before all prompts, and it is the blocks alone that may run short for them;
    /// nobody misses a step in this order.
    fn decodes_go_together(&self) -> bool {
        self.rules.order == QueueOrder::Fcfs
            && self.lives.is_none()
            && self.num_decoding > 0
            && self.num_decoding <= self.config.max_num_batched_tokens
            && self.fills.ticks_until_next(self.growth_at) > 1
            && self.prompts_come_last()
    }

    /// Serves all decoding requests as [`Fast::walk_running`] does, but those that it preempts.
    ///
    /// Blocks are taken in list order and victims come from its end, so it is their number that decides: whoever takes the
    /// last free block is followed by the loss of the last in the list, until everybody who is left has one, or whoever
    /// needs one is the last.
    fn serve_decodes<O: Observer>(&mut self, walk: &mut Walk, now: i64, prefixes: &PrefixTree, observer: &mut O) {
        let mut needed = self.growth[self.growth_at];
        loop {
            let taken = needed.min(self.pool.free());
            self.pool.take_many(taken);
            needed -= taken;
            if needed == 0 {
                break;
            }
            let victim = self.slots.last;
            let entry = self.slots.get(victim);
            needed -= u32::from(entry.phase == Phase::Decode && entry.growth as usize == self.growth_at);
            walk.preempted.push(entry.request.id);
            self.preempt(victim, now, prefixes, observer);
        }
        if observer.wants_plans() {
            self.plans.all(&self.slots, [self.tick, self.calls], &[], [true, false]);
        }
        walk.budget -= self.num_decoding;
        (walk.decoding, walk.pos_sum) = (self.num_decoding, self.pos_sum);
    }

    /// Plans a step of prompts alone if there is one, else one of decodes alone, which no budget limits.
    pub(super) fn plan_apart<O: Observer>(&mut self, now: i64, prefixes: &PrefixTree, observer: &mut O) -> Planned {
        let threshold = self.threshold();
        let mut budget = self.config.max_num_batched_tokens;
        self.items.clear();
        let mut planned = if self.prompts_fit(budget, threshold, self.pool.free()) {
            budget = self.continue_prompts(budget, threshold, prefixes);
            if observer.wants_plans() {
                self.plans.all(&self.slots, [self.tick, self.calls], &self.items, [false, true]);
            }
            let stop = self.waiting_pass(now, budget, threshold, prefixes, observer);
            Planned { stop, has_preempted: false, decoding: 0, pos_sum: 0 }
        } else {
            let mut walk = self.walk(budget);
            self.walk_running(&mut walk, self.slots.first, Some(Phase::Prefill), now, prefixes, observer);
            self.end_walk(walk, now, prefixes, observer)
        };
        if !self.items.is_empty() || self.num_decoding == 0 {
            return planned;
        }
        let grown = self.grown();
        if grown <= self.pool.free() && !self.rejoining.iter().any(|slot| self.slots.get(*slot).is_filling) {
            if self.lives.is_some() {
                self.touch_all(0, u32::MAX, prefixes);
            } else {
                self.pool.take_many(grown);
                self.fill_blocks(self.growth_at, self.tick, prefixes);
            }
            if observer.wants_plans() {
                self.plans.all(&self.slots, [self.tick, self.calls], &[], [true, false]);
            }
            (planned.decoding, planned.pos_sum) = (self.num_decoding, self.pos_sum);
            return planned;
        }
        let mut walk = self.walk(u32::MAX);
        self.walk_running(&mut walk, self.slots.first, Some(Phase::Decode), now, prefixes, observer);
        let has_preempted = planned.has_preempted || !walk.preempted.is_empty();
        let stop = if has_preempted { Stop::KvBlocks } else { planned.stop };
        let decoding = walk.served.len() as u32;
        let pos_sum = walk.served.iter().map(|(_, _, pos)| u64::from(*pos)).sum();
        if observer.wants_plans() {
            self.plans.served(&self.slots, &walk.served);
            self.plans.preempted(&walk.preempted);
        }
        Planned { stop, has_preempted, decoding, pos_sum }
    }

    fn walk(&self, budget: u32) -> Walk {
        Walk { budget, threshold: self.threshold(), decoding: 0, pos_sum: 0, served: Vec::new(), preempted: Vec::new() }
    }

    /// The waiting pass behind a walked running pass, and what both have planned.
    fn end_walk<O: Observer>(&mut self, walk: Walk, now: i64, prefixes: &PrefixTree, observer: &mut O) -> Planned {
        self.items.clear();
        let Walk { mut decoding, mut pos_sum, .. } = walk;
        for (slot, tokens, pos) in walk.served.iter().copied() {
            let entry = self.slots.get(slot);
            if entry.phase == Phase::Prefill {
                self.items.push(StepItem { tokens, pos, input_tokens: entry.target });
            } else {
                decoding += 1;
                pos_sum += u64::from(pos);
            }
        }
        if observer.wants_plans() {
            self.plans.served(&self.slots, &walk.served);
            self.plans.preempted(&walk.preempted);
        }
        let has_preempted = !walk.preempted.is_empty();
        let stop = if has_preempted {
            Stop::KvBlocks
        } else {
            self.waiting_pass(now, walk.budget, walk.threshold, prefixes, observer)
        };
        Planned { stop, has_preempted, decoding, pos_sum }
    }

    /// Serves those of the running list from a place on who are in this phase, or all.
    fn walk_running<O: Observer>(
        &mut self,
        walk: &mut Walk,
        first: u32,
        only: Option<Phase>,
        now: i64,
        prefixes: &PrefixTree,
        observer: &mut O,
    ) {
        let mut at = first;
        while at != NONE && walk.budget > 0 {
            let entry = self.slots.get(at);
            let phase = entry.phase;
            if phase == Phase::Leaving || only.is_some_and(|only| only != phase) {
                at = entry.next;
                continue;
            }
            let (tokens, pos) = if phase == Phase::Prefill {
                let pos = entry.pos;
                (self.ask(at, walk.threshold, walk.budget), pos)
            } else {
                (1, entry.decode_pos(self.tick))
            };
            let mut next = self.slots.get(at).next;
            if tokens == 0 {
                at = next;
                continue;
            }
            let blocks = if self.lives.is_some() {
                let is_changed = phase == Phase::Prefill || self.is_touched(at);
                if is_changed {
                    self.drop_skipped(at, pos, prefixes);
                }
                if is_changed { self.blocks_of(at, pos, tokens) } else { 0 }
            } else if phase == Phase::Prefill {
                self.blocks_for(pos, tokens)
            } else {
                u32::from(self.slots.get(at).growth as usize == self.growth_at)
            };
            if self.secure(at, blocks, walk, &mut next, now, prefixes, observer) {
                self.serve(at, tokens, pos, blocks, prefixes);
                walk.budget -= tokens;
                walk.served.push((at, tokens, pos));
                next = self.slots.get(at).next;
            } else if self.rules.order == QueueOrder::Fcfs || !self.rules.does_pass_go_on {
                return;
            }
            at = next;
        }
    }

    /// A request of the running list takes its blocks and its part in the step.
    fn serve(&mut self, slot: u32, tokens: u32, pos: u32, blocks: u32, prefixes: &PrefixTree) {
        let calls = self.calls;
        if self.slots.get(slot).phase == Phase::Prefill {
            self.compute_chunk(slot, tokens, prefixes);
            return;
        }
        if self.is_touched(slot) {
            self.touch(slot, self.tick, prefixes);
        } else if self.lives.is_none() {
            self.pool.take_many(blocks);
            self.fill_if_due(slot, pos, prefixes);
        }
        self.slots.get_mut(slot).served = calls;
    }

    /// Preempts until `blocks` blocks are free; false if that took the request itself (C2c). `next` is who stands behind
    /// it.
    #[allow(clippy::too_many_arguments, reason = "the state of one call between two of its lines")]
    fn secure<O: Observer>(
        &mut self,
        slot: u32,
        blocks: u32,
        walk: &mut Walk,
        next: &mut u32,
        now: i64,
        prefixes: &PrefixTree,
        observer: &mut O,
    ) -> bool {
        while blocks > self.pool.free() {
            let victim = self.victim();
            *next = self.slots.get(slot).next;
            walk.preempted.push(self.slots.get(victim).request.id);
            if let Some(part) = walk.served.iter().position(|(other, ..)| *other == victim) {
                walk.budget += walk.served.remove(part).1;
            }
            self.preempt(victim, now, prefixes, observer);
            if victim == slot {
                return false;
            }
        }
        true
    }

    /// Who is preempted next.
    fn victim(&self) -> u32 {
        if self.rules.order == QueueOrder::Fcfs {
            return self.slots.last;
        }
        self.slots.running().max_by_key(|(_, slot)| slot.rank()).map_or(self.slots.last, |(slot, _)| slot)
    }

    /// The step serves only some of the decoding requests; the others miss it.
    pub(super) fn advance_partly(&mut self, now: i64, duration: i64, decoding: u32, end: i64) {
        let last_end = self.end_of_last_step(now) - self.apart_time;
        let calls = self.calls - 1;
        let size = self.config.block_size;
        let mut rejoined = Vec::new();
        let mut at = self.slots.first;
        while at != NONE {
            let entry = self.slots.get(at);
            let next = entry.next;
            if entry.phase == Phase::Decode {
                let is_served = entry.served == calls;
                if is_served && entry.is_rejoining {
                    rejoined.push(at);
                } else if !is_served {
                    let is_filling = entry.is_filling;
                    self.forget_finish(at);
                    self.miss(at, last_end);
                    let entry = self.slots.get_mut(at);
                    entry.start += 1;
                    entry.finish += 1;
                    entry.growth = if entry.growth + 1 == size { 0 } else { entry.growth + 1 };
                    if let Some(lives) = &mut self.lives {
                        lives.get(at).touch += 1;
                    }
                    self.expect_finish(at);
                    if is_filling {
                        self.resume_fills(at);
                    }
                }
            }
            at = next;
        }
        let before = decoding - rejoined.len() as u32;
        if before > 0 {
            self.gaps.add(self.apart_time + duration + self.output_overhead, 1, before);
        }
        self.apart_time = 0;
        self.rejoining.retain(|slot| !rejoined.contains(slot));
        rejoined.into_iter().for_each(|slot| self.rejoin(slot, end));
    }
}
