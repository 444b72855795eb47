//! The prefix cache in host memory (KV specification 6): which keys are in it, and the order of their last use.
//!
//! Every step uses every key of the running requests anew, in list order. So as long as only older ones are evicted,
//! their order among themselves does not matter: they are counted, and stand on the list only once nobody who runs
//! holds them, at the place where the last pass has put them.
//! Where a pass may evict a key that was used in the one before it, the whole order is written down and the pass is
//! walked as the specification words it.

use super::keys::Keys;
use super::{Blocks, Holding, NONE};
use crate::engine::fast::slots::Slots;
use crate::engine::recency::Recency;
use crate::numeric::sort_by_key;
use crate::scenario::CpuTierConfig;
use crate::time::truncate;
use alloc::vec::Vec;

/// Host memory.
#[derive(Debug)]
pub(super) struct Mirror {
    num_entries: u32,
    /// What a reloaded block costs, µs.
    per_block: i64,
    /// Entries that no running request holds, by last use; all entries if `is_listed`.
    list: Recency,
    is_listed: bool,
    len: u32,
    /// Admission and keys of requests that left the batch since the last pass, which had used them.
    left: Vec<(u64, u32)>,
    /// Keys reloaded since the last pass.
    reloaded: Vec<u32>,
    /// Latency of reloads since the last step, µs.
    pub(super) transfer: i64,
    pub(super) stored: u64,
    pub(super) evicted: u64,
    pub(super) misses: u64,
}

impl Mirror {
    pub(super) fn new(config: CpuTierConfig, block_size: u32) -> Self {
        Self {
            num_entries: config.num_blocks,
            per_block: config.base_latency.0 + truncate(libm::ceil(f64::from(block_size) / config.tokens_per_us)),
            list: Recency::new(),
            is_listed: false,
            len: 0,
            left: Vec::new(),
            reloaded: Vec::new(),
            transfer: 0,
            stored: 0,
            evicted: 0,
            misses: 0,
        }
    }

    /// A block was reloaded: its entry has been used, and the next step takes longer.
    pub(super) fn reload(&mut self, key: u32) {
        self.transfer += self.per_block;
        if self.is_listed {
            self.list.touch(key);
        } else {
            self.reloaded.push(key);
        }
    }

    /// A request leaves the batch.
    pub(super) fn leave(&mut self, admission: u64, holding: &Holding, blocks: &Blocks, keys: &mut Keys) {
        for block in &holding.held[..holding.mirrored] {
            let key = blocks.key(*block);
            if key != NONE {
                keys.states[key as usize].live -= 1;
                if !self.is_listed {
                    self.left.push((admission, key));
                }
            }
        }
    }

    /// Whether a pass would change nothing, if nobody who runs has got a key since the last one.
    #[inline]
    pub(super) fn is_idle(&self) -> bool {
        !self.is_listed && self.left.is_empty() && self.reloaded.is_empty()
    }

    /// The pass of a step; `changed` are the slots of requests that may have got keys since the last one, in list order.
    pub(super) fn pass(
        &mut self,
        changed: &[u32],
        slots: &Slots,
        holdings: &mut [Holding],
        blocks: &Blocks,
        keys: &mut Keys,
    ) {
        if !self.is_listed && !self.is_order_needed(changed, holdings, blocks, keys) {
            self.list_left(keys);
            for slot in changed {
                let holding = &mut holdings[*slot as usize];
                for at in holding.mirrored..holding.held.len() {
                    self.use_first(blocks.key(holding.held[at]), keys);
                }
                holding.mirrored = holding.passed(blocks);
            }
            return;
        }
        if !self.is_listed {
            self.list_all(slots, holdings, blocks, keys);
        }
        for (slot, _) in slots.running() {
            let holding = &mut holdings[slot as usize];
            for (at, block) in holding.held.iter().enumerate() {
                let key = blocks.key(*block);
                if key != NONE {
                    keys.states[key as usize].live += u32::from(at >= holding.mirrored);
                    self.store_if_missing(key, keys);
                    self.list.touch(key);
                }
            }
            holding.mirrored = holding.passed(blocks);
        }
        self.unlist(slots, holdings, blocks, keys);
    }

    /// Whether the pass may evict a key that the last one used.
    fn is_order_needed(&self, changed: &[u32], holdings: &[Holding], blocks: &Blocks, keys: &Keys) -> bool {
        let (mut missing, mut listed) = (0, 0);
        for slot in changed {
            let holding = &holdings[*slot as usize];
            for block in &holding.held[holding.mirrored..] {
                if let Some(state) = keys.states.get(blocks.key(*block) as usize) {
                    missing += u32::from(!state.is_mirrored);
                    listed += u32::from(state.is_mirrored && state.live == 0);
                }
            }
        }
        let evicted = (self.len + missing).saturating_sub(self.num_entries);
        // An entry that is about to be used may be evicted before and stored again, which evicts one more; and those
        // reloaded are not old.
        let settled = (self.list.len() as u32).saturating_sub(2 * listed + self.reloaded.len() as u32);
        evicted > 0 && evicted > settled
    }

    /// Puts what was used since the last pass, or in it by those who left, on the list.
    fn list_left(&mut self, keys: &Keys) {
        sort_by_key(&mut self.left, |(admission, _)| [*admission as i64, 0]);
        let is_free = |key: &u32| keys.states[*key as usize].live == 0;
        for key in self.left.drain(..).map(|(_, key)| key).chain(self.reloaded.drain(..)).filter(is_free) {
            self.list.touch(key);
        }
    }

    /// Puts everything on the list.
    fn list_all(&mut self, slots: &Slots, holdings: &[Holding], blocks: &Blocks, keys: &Keys) {
        for (slot, entry) in slots.running() {
            let holding = &holdings[slot as usize];
            let used = holding.held[..holding.mirrored].iter().map(|block| blocks.key(*block));
            self.left.extend(used.filter(|key| *key != NONE).map(|key| (entry.admission, key)));
        }
        sort_by_key(&mut self.left, |(admission, _)| [*admission as i64, 0]);
        for key in self.left.drain(..).map(|(_, key)| key).chain(self.reloaded.drain(..)) {
            debug_assert!(keys.states[key as usize].is_mirrored, "an entry that was used is there");
            self.list.touch(key);
        }
        self.is_listed = true;
    }

    /// Takes what running requests hold off the list, if all of it is there.
    fn unlist(&mut self, slots: &Slots, holdings: &[Holding], blocks: &Blocks, keys: &Keys) {
        let held = || {
            let held = slots.running().flat_map(|(slot, _)| &holdings[slot as usize].held);
            held.map(|block| blocks.key(*block)).filter(|key| *key != NONE)
        };
        if held().all(|key| keys.states[key as usize].is_mirrored) {
            held().for_each(|key| {
                self.list.remove(key);
            });
            self.is_listed = false;
        }
    }

    /// A running request uses a key for the first time.
    fn use_first(&mut self, key: u32, keys: &mut Keys) {
        if key == NONE {
            return;
        }
        let was_missing = self.store_if_missing(key, keys);
        let state = &mut keys.states[key as usize];
        if state.live == 0 && !was_missing {
            self.list.remove(key);
        }
        state.live += 1;
    }

    fn store_if_missing(&mut self, key: u32, keys: &mut Keys) -> bool {
        if keys.states[key as usize].is_mirrored {
            return false;
        }
        if self.len < self.num_entries {
            self.len += 1;
        } else if let Some(oldest) = self.list.take_oldest() {
            keys.states[oldest as usize].is_mirrored = false;
            keys.reuse_if_unused(oldest);
            self.evicted += 1;
        }
        keys.states[key as usize].is_mirrored = true;
        self.stored += 1;
        true
    }
}
