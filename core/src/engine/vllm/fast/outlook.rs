//! What others may look at, and until when they need not look again.

use super::super::groups::Kind;
use super::Fast;
use super::pool::{Holding, Identity};
use super::slots::Phase;
use crate::engine::{BlockTables, Load};
use crate::time::SimTime;
use crate::workload::{Outcome, PrefixId, PrefixTree, Request};
use alloc::vec::Vec;

impl Fast {
    /// [`crate::engine::Engine::load`].
    #[inline]
    pub(in crate::engine) fn load(&self) -> Load {
        Load { waiting: self.num_waiting(), running: self.num_running(), used_blocks: self.pool.used() }
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
        self.calls
    }

    pub(in crate::engine) fn clock(&self) -> SimTime {
        SimTime(self.clock)
    }

    /// [`crate::engine::Engine::next_event`].
    #[inline]
    pub(in crate::engine) fn next_event(&mut self) -> i64 {
        self.next_outside_calls().min(self.next_call.unwrap_or(i64::MAX))
    }

    /// A time before which nobody is enqueued and no deadline passes.
    #[inline]
    fn next_outside_calls(&mut self) -> i64 {
        let enqueue = self.next_enqueueing();
        // Nobody in the inbox gets into the queue before reaching the replica.
        let arrival = self.inbox.front().map_or(i64::MAX, |(_, time)| *time);
        enqueue.min(arrival).min(self.next_deadline())
    }

    /// [`crate::engine::Engine::quiet_until`].
    ///
    /// While a batch only decodes, nobody leaves it before the first request is due, the steps until then are as many
    /// as it has tokens left, and none is shorter than the next one, as context only grows.
    pub(in crate::engine) fn quiet_until(&mut self, prefixes: &PrefixTree) -> i64 {
        let outside = self.next_outside_calls();
        let Some(call) = self.next_call.filter(|call| *call < outside) else { return outside };
        let is_settled = self.prefilling.is_empty()
            && self.rejoining.is_empty()
            && self.apart_time == 0
            && self.leaving.iter().all(Vec::is_empty);
        if !is_settled || self.num_decoding == 0 || !self.can_skip(prefixes) {
            return call;
        }
        let steps = self.due.ticks_until_next(self.tick);
        // A block that is filled may be the one that lets the front of the queue in.
        let until_fill = if self.queue.is_empty() { u64::MAX } else { self.ticks_until_change() };
        let steps = steps.min(until_fill);
        let of_kind = |kind: &Kind| u64::from(kind.count) * (steps / u64::from(kind.block_size) + 1);
        let most_blocks = u64::from(self.num_decoding) * self.groups.kinds.iter().map(of_kind).sum::<u64>();
        let Some(duration) = self.latency.decode_stepper(self.num_decoding).step_time(self.pos_sum) else {
            return call;
        };
        if most_blocks > u64::from(self.pool.free()) {
            // Somebody may be preempted before.
            return call;
        }
        // Asynchronously all but the first of these calls may come earlier, behind a shorter step that was planned before. But
        // a request leaves two calls after the one that plans its last token, and a fill lets nobody in, since with it the
        // request takes its next block.
        let quiet = duration.saturating_mul(steps.saturating_sub(1) as i64);
        call.saturating_add(quiet).min(outside)
    }

    /// [`crate::engine::Engine::cached_blocks`].
    pub(in crate::engine) fn cached_blocks(&mut self, request: &Request, prefixes: &PrefixTree) -> u32 {
        if self.lives.is_some() {
            return self.count_grouped(request, prefixes, None);
        }
        self.pool.lookup(of_prompt(request), &Holding::default(), prefixes, request.input_tokens).blocks
    }

    /// [`crate::engine::Engine::copy_cached_prefixes`].
    pub(in crate::engine) fn copy_cached_prefixes(&self, copy: &mut Vec<u32>) {
        self.pool.copy_index(copy);
    }

    /// [`crate::engine::Engine::cached_blocks_in`].
    pub(in crate::engine) fn cached_blocks_in(&mut self, copy: &[u32], request: &Request, tree: &PrefixTree) -> u32 {
        if self.lives.is_some() {
            return self.count_grouped(request, tree, Some(copy));
        }
        self.pool.count_leading(of_prompt(request), tree, copy)
    }

    /// [`crate::engine::Engine::audit`].
    pub(in crate::engine) fn audit(&mut self) -> Result<(), &'static str> {
        if let Some(holding) = self.held_grouped() {
            return self.pool.audit(core::iter::once(&holding));
        }
        self.count_decode_blocks();
        self.pool.audit(self.slots.all().iter().map(|slot| &slot.holding))
    }

    /// [`crate::engine::Engine::block_tables`].
    pub(in crate::engine) fn block_tables(&mut self, prefixes: &PrefixTree) -> BlockTables {
        let mut tables = BlockTables::default();
        self.count_decode_blocks();
        if let Some(holding) = self.held_grouped() {
            self.tell_grouped_tables(&mut tables, prefixes);
            [tables.used, tables.free] = self.pool.count(core::iter::once(&holding));
            return tables;
        }
        for slot in self.slots.all() {
            let id = slot.request.id;
            if !matches!(slot.phase, Phase::Arriving | Phase::Gone) {
                tables.held.push((id, slot.holding.blocks()));
            }
            if slot.phase == Phase::Waiting && !slot.was_preempted {
                let hits = self.pool.lookup(slot.identity(prefixes), &slot.holding, prefixes, slot.known());
                tables.found.push((id, hits.blocks));
            }
        }
        [tables.used, tables.free] = self.pool.count(self.slots.all().iter().map(|slot| &slot.holding));
        tables
    }

    /// Tells each decoding request how many blocks it holds, which only the batch counts.
    fn count_decode_blocks(&mut self) {
        let (tick, size) = (self.tick, self.config.block_size);
        for at in 0..self.slots.all().len() as u32 {
            if self.slots.get(at).phase == Phase::Decode {
                let slot = self.slots.get_mut(at);
                slot.holding.set_blocks(slot.decode_pos(tick).div_ceil(size));
            }
        }
    }
}

/// The blocks of a new prompt that may be cached.
pub(super) fn of_prompt(request: &Request) -> Identity {
    Identity { prefix: request.prefix, output_prefix: PrefixId::NONE, prompt_tokens: request.input_tokens }
}
