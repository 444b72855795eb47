//! Steps of a replica with host memory: windows, and all others in list order.

use super::{NONE, Prompt, Tiered};
use crate::engine::fast::slots::{Phase, Slots};
use crate::engine::fast::{Fast, Stop};
use crate::latency::{Joining, StepItem};
use crate::numeric::sort_by_key;
use crate::observation::Observer;
use crate::workload::PrefixTree;
use alloc::vec::Vec;

impl Tiered {
    /// The residue of the ticks at which a request that begins to decode at residue `now` takes blocks.
    pub(in crate::engine::fast) fn first_growth(&mut self, slot: u32, now: u32) -> u32 {
        let size = self.block_size;
        (now + self.holding(slot).room(size)) % size
    }

    /// A request decodes from now on.
    pub(in crate::engine::fast) fn start_decoding(&mut self, slot: u32, growth: u32) {
        self.takers.insert(growth as usize, slot);
    }

    /// A request decodes no longer, or takes its blocks at other ticks.
    pub(in crate::engine::fast) fn stop_decoding(&mut self, slot: u32, growth: u32) {
        self.takers.remove(growth as usize, slot);
    }

    /// Those who take or fill a block in a decode step do so, in list order.
    pub(in crate::engine::fast) fn decode_all(&mut self, at: u32, tick: u64, slots: &Slots, tree: &PrefixTree) {
        let mut busy: Vec<u32> = self.takers.of(at as usize).to_vec();
        if self.block_size > 1 {
            busy.extend(self.takers.of(((at + 1) % self.block_size) as usize));
        }
        sort_by_key(&mut busy, |slot| [slots.get(*slot).admission as i64, 0]);
        for slot in busy {
            self.decode(slot, at, tick, slots, tree);
        }
    }

    /// A decode step of one request, which has room for the token or finds a free block.
    pub(in crate::engine::fast) fn decode(&mut self, slot: u32, at: u32, tick: u64, slots: &Slots, tree: &PrefixTree) {
        let entry = slots.get(slot);
        if entry.growth == at {
            self.take_for(slot, entry.decode_pos(tick), 1);
        } else if entry.growth == (at + 1) % self.block_size {
            self.fill(slot, slots, tree);
            self.changed.push(slot);
        }
    }

    /// The tokens that fill the last block of a request were added one by one.
    fn fill(&mut self, slot: u32, slots: &Slots, tree: &PrefixTree) {
        let request = &slots.get(slot).request;
        let size = self.block_size;
        let holding = self.holding(slot);
        let end = holding.pieces.last().map_or(0, |(start, count)| start + count);
        holding.append(end.max(request.input_tokens), size - holding.fill);
        self.register(Prompt { slot, request, tree });
    }

    /// Room for the last token of a request that has finished, which nobody will read (engine specification 5.4,
    /// remark); whether there was.
    pub(in crate::engine::fast) fn store_last(
        &mut self,
        slot: u32,
        [at, pos]: [u32; 2],
        slots: &Slots,
        tree: &PrefixTree,
    ) -> bool {
        let entry = slots.get(slot);
        if entry.growth == at {
            return self.grow(slot, pos);
        }
        if entry.growth == (at + 1) % self.block_size {
            self.fill(slot, slots, tree);
        }
        true
    }
}

impl Fast {
    /// One step in list order (engine specification 5.1 to 5.5).
    pub(in crate::engine::fast) fn tiered_step<O: Observer>(
        &mut self,
        now: i64,
        prefixes: &PrefixTree,
        observer: &mut O,
    ) {
        let is_apart = self.joining == Joining::OwnSteps;
        let mut budget = self.config.max_num_batched_tokens;
        let mut preempted = false;
        self.items.clear();
        let first = if is_apart { Some(Phase::Prefill) } else { None };
        let mut served = self.tiered_pass(first, &mut budget, now, &mut preempted, prefixes, observer);
        let mut stop = if preempted { Stop::KvBlocks } else { self.tiered_admission(now, budget, prefixes, observer) };
        let is_done = |slot: &u32| self.slots.get(*slot).pos == self.slots.get(*slot).request.input_tokens;
        if is_apart && self.items.is_empty() && !self.prefilling.iter().any(is_done) {
            let mut unlimited = u32::MAX;
            served = self.tiered_pass(Some(Phase::Decode), &mut unlimited, now, &mut preempted, prefixes, observer);
            stop = if preempted { Stop::KvBlocks } else { stop };
        }
        let [decoding, pos_sum] = served;
        self.end_step(now, stop, decoding as u32, pos_sum, prefixes, observer);
    }

    /// The running pass over those of one phase, or all; how many decode, and the sum of their positions.
    fn tiered_pass<O: Observer>(
        &mut self,
        phase: Option<Phase>,
        budget: &mut u32,
        now: i64,
        preempted: &mut bool,
        prefixes: &PrefixTree,
        observer: &mut O,
    ) -> [u64; 2] {
        let (mut decoding, mut pos_sum) = (0, 0);
        let mut at = self.slots.first;
        while at != NONE && *budget > 0 {
            let entry = self.slots.get(at);
            if phase.is_none_or(|phase| phase == entry.phase) {
                let is_prompt = entry.phase == Phase::Prefill;
                let pos = if is_prompt { entry.pos } else { entry.decode_pos(self.tick) };
                let input_tokens = entry.request.input_tokens;
                let need = if is_prompt { self.chunk(input_tokens - pos, *budget) } else { 1 };
                if !self.tiered_secure(at, [pos, pos + need], now, preempted, prefixes, observer) {
                    break;
                }
                *budget -= need;
                if is_prompt {
                    self.items.push(StepItem { tokens: need, pos, input_tokens });
                    self.slots.get_mut(at).pos += need;
                } else {
                    decoding += 1;
                    pos_sum += u64::from(pos);
                }
            }
            at = self.slots.get(at).next;
        }
        [decoding, pos_sum]
    }

    /// Allocates, and preempts from the back of the list until that succeeds; false if it took the request itself.
    fn tiered_secure<O: Observer>(
        &mut self,
        slot: u32,
        range: [u32; 2],
        now: i64,
        preempted: &mut bool,
        prefixes: &PrefixTree,
        observer: &mut O,
    ) -> bool {
        while !self.tiered_allocate(slot, range, prefixes) {
            *preempted = true;
            let victim = self.slots.last;
            self.preempt(victim, now, prefixes, observer);
            if victim == slot {
                return false;
            }
        }
        true
    }

    fn tiered_allocate(&mut self, slot: u32, range: [u32; 2], prefixes: &PrefixTree) -> bool {
        let Some(tiered) = &mut self.tiered else { return false };
        let entry = self.slots.get(slot);
        if entry.phase == Phase::Prefill {
            tiered.changed.push(slot);
            return tiered.allocate(Prompt { slot, request: &entry.request, tree: prefixes }, range, &[]);
        }
        let at = self.growth_at as u32;
        if entry.growth != at {
            tiered.decode(slot, at, self.tick, &self.slots, prefixes);
            return true;
        }
        tiered.grow(slot, range[0])
    }

    /// Engine specification 5.2.
    fn tiered_admission<O: Observer>(
        &mut self,
        now: i64,
        mut budget: u32,
        prefixes: &PrefixTree,
        observer: &mut O,
    ) -> Stop {
        while self.num_running() < self.config.max_num_seqs && budget > 0 {
            let Some(slot) = self.queue.front(&mut self.slots) else { break };
            let request = self.slots.get(slot).request;
            let prompt = Prompt { slot, request: &request, tree: prefixes };
            let Some(hits) = self.tiered.as_mut().map(|tiered| tiered.lookup(prompt)) else { break };
            let start = hits.len() as u32 * self.config.block_size;
            let need = self.chunk(request.input_tokens - start, budget);
            let Some(tiered) = &mut self.tiered else { break };
            if !tiered.allocate(prompt, [start, start + need], &hits) {
                return Stop::KvBlocks;
            }
            tiered.changed.push(slot);
            budget -= need;
            self.slots.get_mut(slot).base = 0;
            self.admit(slot, [start, need], now, observer);
        }
        Stop::Other
    }
}
