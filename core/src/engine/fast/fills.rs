//! Blocks that decode steps fill and whose content may come back in prompts.
//!
//! The output of a conversation's turn is part of the prompt of the next, so a block that holds it has an identity
//! once it is full (engine specification 9.3, registration). Each such request fills one at every block size'th decode
//! tick, so the requests stand on a wheel over the residues of the tick, and a window ends with the step of a fill.
//! Within a step, the order of fills among the blocks that are taken matters only where another block carries the key
//! of one of them: taking that block deletes the entry. Such a step is walked in list order.

use super::Fast;
use crate::numeric::sort_few;
use crate::workload::{PrefixId, PrefixTree};
use alloc::vec::Vec;

/// Requests by the residue, modulo the block size, of the decode ticks that matter to them.
#[derive(Debug)]
pub(super) struct Wheel {
    by_residue: Vec<Vec<u32>>,
    count: u32,
}

impl Wheel {
    pub(super) fn new(block_size: u32) -> Self {
        Self { by_residue: alloc::vec![Vec::new(); block_size as usize], count: 0 }
    }

    /// Ticks from the one with residue `at` to the end of the first at which somebody stands.
    #[inline]
    pub(super) fn ticks_until_next(&self, at: usize) -> u64 {
        if self.count == 0 {
            return u64::MAX;
        }
        let (behind, ahead) = self.by_residue.split_at(at);
        ahead.iter().chain(behind).position(|slots| !slots.is_empty()).map_or(u64::MAX, |ticks| ticks as u64 + 1)
    }

    /// Those who stand at a residue, in any order.
    pub(super) fn of(&self, residue: usize) -> &[u32] {
        &self.by_residue[residue]
    }

    pub(super) fn insert(&mut self, residue: usize, slot: u32) {
        self.by_residue[residue].push(slot);
        self.count += 1;
    }

    pub(super) fn remove(&mut self, residue: usize, slot: u32) {
        let slots = &mut self.by_residue[residue];
        if let Some(at) = slots.iter().position(|other| *other == slot) {
            slots.swap_remove(at);
            self.count -= 1;
        }
    }
}

impl Fast {
    /// The residue of the ticks at which a request fills a block: one before those at which it takes the next.
    #[inline]
    fn fill_residue(&self, slot: u32) -> usize {
        let growth = self.slots.get(slot).growth;
        (if growth == 0 { self.config.block_size - 1 } else { growth - 1 }) as usize
    }

    /// How many blocks decode steps may leave with an identity: those of its prompt and of the output that comes back.
    /// None where nobody can ask for any of them.
    fn named_blocks(&self, slot: u32, prefixes: &PrefixTree) -> Option<u32> {
        let entry = self.slots.get(slot);
        let request = &entry.request;
        let size = self.config.block_size;
        // A block of one token is taken full, and only those that are filled later are entered (KV specification 4).
        // Who holds no block of its prompt, or has one that is its own alone, fills none that a prompt can name.
        let is_named = request.output_prefix != PrefixId::NONE
            && self.config.enable_prefix_caching
            && size > 1
            && entry.base == 0
            && prefixes.tokens(request.prefix) >= request.input_tokens;
        is_named.then(|| prefixes.tokens(request.output_prefix) / size)
    }

    /// A request begins to decode; it is watched if blocks that it will fill may be asked for again.
    #[inline]
    pub(super) fn watch_fills(&mut self, slot: u32, prefixes: &PrefixTree) {
        let full = self.slots.get(slot).request.input_tokens / self.config.block_size;
        if self.named_blocks(slot, prefixes).is_some_and(|named| full < named) {
            self.resume_fills(slot);
        }
    }

    /// The last token of an output, which no step reads, makes it `tokens` long with the prompt and fills a block.
    pub(super) fn fill_last(&mut self, slot: u32, tokens: u32, prefixes: &PrefixTree) {
        if self.named_blocks(slot, prefixes).is_some_and(|named| tokens / self.config.block_size <= named) {
            let entry = self.slots.get_mut(slot);
            self.pool.fill(entry.request.output_prefix, &mut entry.holding, prefixes);
        }
    }

    /// A request fills no more blocks, or others than thought.
    #[inline]
    pub(super) fn forget_fills(&mut self, slot: u32) {
        if core::mem::take(&mut self.slots.get_mut(slot).is_filling) {
            let residue = self.fill_residue(slot);
            self.fills.remove(residue, slot);
        }
    }

    /// The request goes on filling blocks, at the ticks of its present residue.
    pub(super) fn resume_fills(&mut self, slot: u32) {
        self.slots.get_mut(slot).is_filling = true;
        let residue = self.fill_residue(slot);
        self.fills.insert(residue, slot);
    }

    /// Whether a fill at the ticks of `residue` gives a block a key that another one carries.
    pub(super) fn are_fills_in_doubt(&mut self, residue: usize, prefixes: &PrefixTree) -> bool {
        let Self { fills, slots, pool, .. } = self;
        fills.by_residue[residue].iter().any(|slot| {
            let entry = slots.get(*slot);
            pool.is_carried(entry.request.output_prefix, &entry.holding, prefixes)
        })
    }

    /// Enters the blocks that the step of `residue` has filled, in list order.
    #[inline]
    pub(super) fn fill_blocks(&mut self, residue: usize, prefixes: &PrefixTree) {
        if self.fills.count == 0 || self.fills.by_residue[residue].is_empty() {
            return;
        }
        let mut filling = core::mem::take(&mut self.fills.by_residue[residue]);
        sort_few(&mut filling, |a, b| self.slots.get(*a).admission.cmp(&self.slots.get(*b).admission));
        let before = filling.len() as u32;
        filling.retain(|slot| self.fill_block(*slot, prefixes));
        self.fills.count -= before - filling.len() as u32;
        self.fills.by_residue[residue] = filling;
    }

    /// A step that is walked has served this decoding request; it may have filled a block.
    pub(super) fn fill_if_due(&mut self, slot: u32, prefixes: &PrefixTree) {
        let residue = self.growth_at;
        if self.slots.get(slot).is_filling && self.fill_residue(slot) == residue && !self.fill_block(slot, prefixes) {
            self.fills.remove(residue, slot);
        }
    }

    /// Enters the block that a request has filled; whether it will fill another.
    fn fill_block(&mut self, slot: u32, prefixes: &PrefixTree) -> bool {
        let entry = self.slots.get_mut(slot);
        let prefix = entry.request.output_prefix;
        let filled = self.pool.fill(prefix, &mut entry.holding, prefixes);
        entry.is_filling = filled < prefixes.tokens(prefix) / self.config.block_size;
        entry.is_filling
    }
}
