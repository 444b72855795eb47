//! What others may look at, and until when they need not look again.

use super::Fast;
use super::pool::{Holding, Prompt};
use super::slots::Phase;
use super::tiered;
use crate::engine::{BlockTables, Load};
use crate::workload::{Outcome, PrefixTree, Request};
use alloc::vec::Vec;

impl Fast {
    /// [`crate::engine::Engine::load`].
    #[inline]
    pub(in crate::engine) fn load(&self) -> Load {
        Load { waiting: self.num_waiting(), running: self.num_running(), used_blocks: self.used_blocks() }
    }

    /// [`crate::engine::Engine::outcomes`].
    #[inline]
    pub(in crate::engine) fn outcomes(&mut self) -> &mut Option<Vec<Outcome>> {
        &mut self.outcomes
    }

    /// [`crate::engine::Engine::ignore_gaps`].
    pub(in crate::engine) fn ignore_gaps(&mut self) {
        self.gaps.switch_off();
    }

    #[inline]
    pub(in crate::engine) fn steps(&self) -> u64 {
        self.totals.steps
    }

    /// [`crate::engine::Engine::next_event`].
    #[inline]
    pub(in crate::engine) fn next_event(&mut self) -> i64 {
        self.next_outside_steps().min(self.next_step.unwrap_or(i64::MAX))
    }

    /// A time before which nobody is enqueued and no deadline passes.
    #[inline]
    fn next_outside_steps(&mut self) -> i64 {
        let enqueue = self.next_enqueueing();
        // Nobody in the inbox gets into the queue before reaching the replica.
        let arrival = self.inbox.front().map_or(i64::MAX, |(_, time)| *time);
        enqueue.min(arrival).min(self.next_deadline())
    }

    /// [`crate::engine::Engine::block_tables`].
    pub(in crate::engine) fn block_tables(&mut self, prefixes: &PrefixTree) -> BlockTables {
        let mut tables = BlockTables::default();
        if let Some(tiered) = &mut self.tiered {
            for (at, slot) in (0..).zip(self.slots.all()) {
                let id = slot.request.id;
                if slot.phase == Phase::Waiting || slot.is_in_batch() {
                    tables.held.push((id, tiered.held(at)));
                }
                if slot.phase == Phase::Waiting {
                    let prompt = tiered::Prompt { slot: at, request: &slot.request, tree: prefixes };
                    tables.found.push((id, tiered.lookup(prompt).len() as u32));
                }
            }
            [tables.used, tables.free] = tiered.count();
            return tables;
        }
        self.count_decode_blocks();
        for slot in self.slots.all() {
            let id = slot.request.id;
            if matches!(slot.phase, Phase::Waiting | Phase::Prefill | Phase::Decode) {
                tables.held.push((id, slot.holding.blocks()));
            }
            if slot.phase == Phase::Waiting {
                tables.found.push((id, self.pool.lookup(slot.prompt(), &slot.holding, prefixes).blocks));
            }
        }
        [tables.used, tables.free] = self.pool.count(self.slots.all().iter().map(|slot| &slot.holding));
        tables
    }

    /// [`crate::engine::Engine::quiet_until`].
    ///
    /// While a batch only decodes, nobody leaves it before the first request is due, the steps until then are as many
    /// as it has tokens left, and none is shorter than the next one, as context only grows.
    pub(in crate::engine) fn quiet_until(&mut self, prefixes: &PrefixTree) -> i64 {
        let outside = self.next_outside_steps();
        let Some(step) = self.next_step.filter(|step| *step < outside) else { return outside };
        let is_settled = self.prefilling.is_empty() && self.late.is_empty();
        if !is_settled || self.num_decoding == 0 || !self.can_skip(prefixes) {
            return step;
        }
        let steps = self.due.ticks_until_next(self.tick);
        // A block that is filled may be the one that lets the front of the queue in.
        let until_fill = if self.queue.is_empty() { u64::MAX } else { self.fills.ticks_until_next(self.growth_at) };
        let steps = steps.min(until_fill);
        let most_blocks = u64::from(self.num_decoding) * (steps / u64::from(self.config.block_size) + 1);
        let Some(duration) = self.latency.decode_stepper(self.num_decoding).step_time(self.pos_sum) else {
            return step;
        };
        if most_blocks > u64::from(self.free_blocks()) {
            // Somebody may be preempted before.
            return step;
        }
        let quiet = duration.saturating_mul(steps.saturating_sub(1) as i64);
        step.saturating_add(quiet).min(outside)
    }

    /// [`crate::engine::Engine::cached_blocks`].
    pub(in crate::engine) fn cached_blocks(&mut self, request: &Request, prefixes: &PrefixTree) -> u32 {
        if let Some(tiered) = &mut self.tiered {
            return tiered.count_leading(request, prefixes, None);
        }
        let prompt = Prompt { prefix: request.prefix, tokens: request.input_tokens };
        self.pool.lookup(prompt, &Holding::default(), prefixes).blocks
    }

    /// [`crate::engine::Engine::copy_cached_prefixes`].
    pub(in crate::engine) fn copy_cached_prefixes(&self, copy: &mut Vec<u32>) {
        match &self.tiered {
            Some(tiered) => tiered.copy_index(copy),
            None => self.pool.copy_index(copy),
        }
    }

    /// [`crate::engine::Engine::cached_blocks_in`].
    pub(in crate::engine) fn cached_blocks_in(&mut self, copy: &[u32], request: &Request, tree: &PrefixTree) -> u32 {
        if let Some(tiered) = &mut self.tiered {
            return tiered.count_leading(request, tree, Some(copy));
        }
        let prompt = Prompt { prefix: request.prefix, tokens: request.input_tokens };
        self.pool.count_leading(prompt, tree, copy)
    }
}
