//! Blocks that decode steps fill and whose content may come back in prompts.
//!
//! The output of a conversation's turn is part of the prompt of the next, so a block that holds it is identified once it
//! has a key (scheduler specification B4). It gets it when its request is planned with the block's last token, or
//! asynchronously, where that token is not known yet, with the token behind. So each such request gets one key at every
//! block size'th decode tick, the requests stand on a wheel over the residues of the tick, and a window ends with the step
//! of a fill.

use super::Fast;
use super::slots::Phase;
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

    fn insert(&mut self, residue: usize, slot: u32) {
        self.by_residue[residue].push(slot);
        self.count += 1;
    }

    fn remove(&mut self, residue: usize, slot: u32) {
        let slots = &mut self.by_residue[residue];
        if let Some(at) = slots.iter().position(|other| *other == slot) {
            slots.swap_remove(at);
            self.count -= 1;
        }
    }
}

impl Fast {
    /// The residue of the ticks at which a block that a request has filled gets its key: synchronously one before those
    /// at which it takes the next, asynchronously with these.
    #[inline]
    fn fill_residue(&self, slot: u32) -> usize {
        let growth = self.slots.get(slot).growth;
        if self.lag > 0 {
            return growth as usize;
        }
        (if growth == 0 { self.config.block_size - 1 } else { growth - 1 }) as usize
    }

    /// A request begins to decode; it is watched if blocks that it will fill may be asked for.
    #[inline]
    pub(super) fn watch_fills(&mut self, slot: u32, prefixes: &PrefixTree) {
        let entry = self.slots.get(slot);
        if entry.request.output_prefix == PrefixId::NONE || !self.config.enable_prefix_caching {
            return;
        }
        let identity = entry.identity(prefixes);
        let shared = prefixes.tokens(identity.output_prefix) / self.config.block_size;
        if identity.output_prefix != PrefixId::NONE && entry.target / self.config.block_size < shared {
            self.resume_fills(slot);
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

    /// Gives keys to what a request has stored up to its first `tokens` tokens.
    pub(super) fn publish(&mut self, slot: u32, tokens: u32, prefixes: &PrefixTree) {
        let entry = self.slots.get_mut(slot);
        let identity = entry.identity(prefixes);
        self.pool.publish(identity, &mut entry.holding, prefixes, tokens);
    }

    /// Gives keys to the blocks that get theirs in the step of `residue`, which serves everybody, in list order.
    #[inline]
    pub(super) fn fill_blocks(&mut self, residue: usize, tick: u64, prefixes: &PrefixTree) {
        if self.fills.count > 0 && !self.fills.by_residue[residue].is_empty() {
            self.fill_some(residue, tick, prefixes);
        }
    }

    /// [`Fast::fill_blocks`] where somebody fills one.
    #[inline(never)]
    fn fill_some(&mut self, residue: usize, tick: u64, prefixes: &PrefixTree) {
        let mut filling = core::mem::take(&mut self.fills.by_residue[residue]);
        sort_few(&mut filling, |a, b| self.slots.get(*a).admission.cmp(&self.slots.get(*b).admission));
        let before = filling.len() as u32;
        filling.retain(|slot| {
            let entry = self.slots.get(*slot);
            let tokens = self.published_with(*slot, entry.decode_pos(tick));
            self.publish(*slot, tokens, prefixes);
            self.goes_on_filling(*slot, tokens, prefixes)
        });
        self.fills.count -= before - filling.len() as u32;
        self.fills.by_residue[residue] = filling;
    }

    /// A call that is walked has served this decoding request at position `pos`; a block may get its key.
    pub(super) fn fill_if_due(&mut self, slot: u32, pos: u32, prefixes: &PrefixTree) {
        let entry = self.slots.get(slot);
        if !entry.is_filling {
            return;
        }
        let tokens = self.published_with(slot, pos);
        self.publish(slot, tokens, prefixes);
        if !self.goes_on_filling(slot, tokens, prefixes) {
            let residue = self.fill_residue(slot);
            self.fills.remove(residue, slot);
        }
    }

    /// Whether a request with keys up to its first `tokens` tokens fills more blocks that others may ask for.
    fn goes_on_filling(&mut self, slot: u32, tokens: u32, prefixes: &PrefixTree) -> bool {
        let size = self.config.block_size;
        let entry = self.slots.get_mut(slot);
        entry.is_filling = tokens / size < prefixes.tokens(entry.request.output_prefix) / size;
        entry.is_filling
    }

    /// Tokens with a key once a decoding request is planned at position `pos` (B3d).
    #[inline]
    pub(super) fn published_with(&self, slot: u32, pos: u32) -> u32 {
        // Who missed a step has no token on its way.
        if self.lag == 0 || self.slots.get(slot).is_rejoining { pos + 1 } else { pos }
    }

    /// Tokens with a key of a request in the running list that has computed `pos` tokens.
    #[inline]
    pub(super) fn published(&self, slot: u32, pos: u32) -> u32 {
        let entry = self.slots.get(slot);
        let is_behind = self.lag > 0 && entry.phase != Phase::Prefill && pos != entry.anchor;
        pos - u32::from(is_behind)
    }
}
