//! The KV blocks of a replica with a second prefix cache in host memory (KV specification 6).
//!
//! Host memory keeps every full block that anybody ever ran with, so here each block has its identity, unlike in
//! [`super::pool`]. Blocks are taken, filled and returned one by one in list order, but only when that happens: tokens
//! that decode steps add to a block are not followed, nor what host memory is told in each step ([`mirror`]).

mod keys;
mod mirror;
mod steps;

use super::fills::Wheel;
use super::slots::Slots;
use crate::engine::recency::Recency;
use crate::numeric::sort_by_key;
use crate::scenario::{CpuTierConfig, EngineConfig};
use crate::workload::{PrefixTree, Request};
use alloc::vec::Vec;
use keys::{Keys, Piece};
use mirror::Mirror;

/// No key, no block.
const NONE: u32 = u32::MAX;

/// Who holds a block, and its identity once it is full.
#[derive(Debug, Clone, Copy)]
struct Block {
    refs: u32,
    key: u32,
}

/// All blocks that were ever taken.
#[derive(Debug, Default)]
struct Blocks(Vec<Block>);

impl Blocks {
    #[inline]
    fn key(&self, block: u32) -> u32 {
        self.0[block as usize].key
    }
}

/// A prompt: whose it is, and what it begins with.
#[derive(Clone, Copy)]
pub(super) struct Prompt<'a> {
    pub slot: u32,
    pub request: &'a Request,
    pub tree: &'a PrefixTree,
}

/// A request's place in the store.
#[derive(Debug, Clone, Default)]
struct Holding {
    held: Vec<u32>,
    /// Tokens in the last block, without those that decode steps have added to it since it was taken.
    fill: u32,
    /// What these tokens are.
    pieces: Vec<Piece>,
    /// The keys of its own blocks, behind those of its shared prefix; they stay with it through preemptions.
    own: Vec<u32>,
    /// Leading blocks that the mirror has seen.
    mirrored: usize,
}

impl Holding {
    /// How many leading blocks the mirror need not look at again.
    fn passed(&self, blocks: &Blocks) -> usize {
        let is_open = self.held.last().is_some_and(|block| blocks.key(*block) == NONE);
        self.held.len() - usize::from(is_open)
    }

    /// Room in the last block.
    fn room(&self, block_size: u32) -> u32 {
        if self.held.is_empty() { 0 } else { block_size - self.fill }
    }

    fn append(&mut self, start: u32, count: u32) {
        match self.pieces.last_mut() {
            Some((last, length)) if *last + *length == start => *length += count,
            _ => self.pieces.push((start, count)),
        }
        self.fill += count;
    }
}

/// All KV blocks of a replica, and host memory.
#[derive(Debug)]
pub(super) struct Tiered {
    block_size: u32,
    num_blocks: u32,
    /// Those that were taken at least once; the others come first on the free list, as nothing is put in front.
    blocks: Blocks,
    /// The rest of the free list.
    free: Recency,
    keys: Keys,
    mirror: Mirror,
    /// By slot.
    holdings: Vec<Holding>,
    /// Decoding requests by the residue of the ticks at which they take a block.
    takers: Wheel,
    /// Slots that may have got keys in the present step.
    changed: Vec<u32>,
    /// Scratch: keys of a prompt.
    prompt_keys: Vec<u32>,
    hits: u64,
    misses: u64,
    evictions: u64,
}

impl Tiered {
    pub(super) fn new(config: &EngineConfig, tier: CpuTierConfig) -> Self {
        Self {
            block_size: config.block_size,
            num_blocks: config.num_blocks,
            blocks: Blocks::default(),
            free: Recency::new(),
            keys: Keys::new(config.block_size),
            mirror: Mirror::new(tier, config.block_size),
            holdings: Vec::new(),
            takers: Wheel::new(config.block_size),
            changed: Vec::new(),
            prompt_keys: Vec::new(),
            hits: 0,
            misses: 0,
            evictions: 0,
        }
    }

    #[inline]
    pub(super) fn free(&self) -> u32 {
        self.num_blocks - self.used()
    }

    #[inline]
    pub(super) fn used(&self) -> u32 {
        (self.blocks.0.len() - self.free.len()) as u32
    }

    /// Index entries deleted by taking blocks.
    pub(super) fn evictions(&self) -> u64 {
        self.evictions
    }

    /// Blocks claimed and taken, and failed reloads.
    pub(super) fn cache_counts(&self) -> [u64; 3] {
        [self.hits, self.misses, self.mirror.misses]
    }

    /// Entries of host memory.
    pub(super) fn stored_and_evicted(&self) -> [u64; 2] {
        [self.mirror.stored, self.mirror.evicted]
    }

    /// Latency of reloads that the step has to bear that they were made for, µs. Only prompts reload: there is never any
    /// left between two steps.
    pub(super) fn take_transfer(&mut self) -> i64 {
        core::mem::take(&mut self.mirror.transfer)
    }

    fn holding(&mut self, slot: u32) -> &mut Holding {
        if self.holdings.len() <= slot as usize {
            self.holdings.resize_with(slot as usize + 1, Holding::default);
        }
        &mut self.holdings[slot as usize]
    }

    /// Cached leading blocks of the prompt (KV specification 3).
    pub(super) fn lookup(&mut self, prompt: Prompt<'_>) -> Vec<u32> {
        self.name_prompt(prompt);
        let found = self.prompt_keys.iter().map(|key| self.keys.states[*key as usize].block);
        found.take_while(|block| *block != NONE).collect()
    }

    /// Writes down the keys of a prompt.
    fn name_prompt(&mut self, Prompt { slot, request, tree }: Prompt<'_>) {
        self.holding(slot);
        self.keys.of_prompt(request, &self.holdings[slot as usize], tree, &mut self.prompt_keys);
    }

    /// Cached leading blocks of a new request's prompt, by the index or by a copy of it.
    pub(super) fn count_leading(&mut self, request: &Request, tree: &PrefixTree, copy: Option<&[u32]>) -> u32 {
        self.keys.of_prompt(request, &Holding::default(), tree, &mut self.prompt_keys);
        let is_known = |key: &&u32| match copy {
            Some(copy) => copy.get(**key as usize).is_some_and(|block| *block != NONE),
            None => self.keys.states[**key as usize].block != NONE,
        };
        self.prompt_keys.iter().take_while(is_known).count() as u32
    }

    /// Copies the index, for [`Tiered::count_leading`].
    pub(super) fn copy_index(&self, copy: &mut Vec<u32>) {
        copy.clear();
        copy.extend(self.keys.states.iter().map(|state| state.block));
    }

    /// Allocates for positions `[from, to)` of a prompt, with the help of host memory (KV specification 6).
    pub(super) fn allocate(&mut self, prompt: Prompt<'_>, [from, to]: [u32; 2], hits: &[u32]) -> bool {
        if self.allocate_here(prompt, [from, to], hits) {
            return true;
        }
        if !self.reload(prompt) {
            self.mirror.misses += 1;
            return false;
        }
        let again = self.lookup(prompt);
        let start = again.len() as u32 * self.block_size;
        if start <= from {
            return self.allocate_here(prompt, [from, to], hits);
        }
        let slot = prompt.slot;
        let before = self.holding(slot).held.len();
        let first = if before == 0 { 0 } else { from.div_ceil(self.block_size) as usize };
        let reaches = start >= to;
        let last = if reaches { (to.div_ceil(self.block_size) as usize).min(again.len()) } else { again.len() };
        let state = (self.hits, self.holding(slot).fill, self.holding(slot).pieces.clone());
        for block in again.get(first..last).unwrap_or_default() {
            self.claim(slot, *block);
        }
        if reaches || self.allocate_here(prompt, [start, to], &again) {
            return true;
        }
        while self.holding(slot).held.len() > before {
            if let Some(block) = self.holding(slot).held.pop() {
                self.drop_reference(block);
            }
        }
        let holding = &mut self.holdings[slot as usize];
        (self.hits, holding.fill, holding.pieces) = state;
        false
    }

    /// KV specification 4, prompt mode.
    fn allocate_here(&mut self, prompt: Prompt<'_>, [from, to]: [u32; 2], hits: &[u32]) -> bool {
        let size = self.block_size;
        let slot = prompt.slot;
        let room = self.holding(slot).room(size);
        let from_free = hits.iter().filter(|block| self.blocks.0[**block as usize].refs == 0).count() as u32;
        if (to - from).saturating_sub(room).div_ceil(size) + from_free > self.free() {
            return false;
        }
        if from == to {
            return true;
        }
        if self.holdings[slot as usize].held.is_empty() {
            for block in hits {
                self.claim(slot, *block);
            }
        }
        let mut at = from;
        let count = room.min(to - at);
        if count > 0 {
            self.holdings[slot as usize].append(at, count);
            at += count;
            if count == room {
                self.register(prompt);
            }
        }
        while at < to {
            let count = size.min(to - at);
            self.take_for(slot, at, count);
            at += count;
            if count == size {
                self.register(prompt);
            }
        }
        true
    }

    /// A decoding request whose blocks are full takes one for its token at `pos`; false if none is free.
    ///
    /// Host memory is asked then (KV specification 6), but has no block either to reload anything into.
    fn grow(&mut self, slot: u32, pos: u32) -> bool {
        let is_free = self.free() > 0;
        if is_free {
            self.take_for(slot, pos, 1);
        } else {
            self.mirror.misses += 1;
        }
        is_free
    }

    /// A request takes a block for `count` tokens from `start` on.
    fn take_for(&mut self, slot: u32, start: u32, count: u32) {
        let block = self.take();
        self.blocks.0[block as usize].refs = 1;
        self.misses += 1;
        let holding = &mut self.holdings[slot as usize];
        holding.held.push(block);
        holding.fill = 0;
        holding.pieces.clear();
        holding.append(start, count);
    }

    /// KV specification 2, for callers that know that a block is free.
    fn take(&mut self) -> u32 {
        if self.blocks.0.len() < self.num_blocks as usize {
            self.blocks.0.push(Block { refs: 0, key: NONE });
            return self.blocks.0.len() as u32 - 1;
        }
        let block = self.free.take_oldest().unwrap_or_default();
        let key = core::mem::replace(&mut self.blocks.0[block as usize].key, NONE);
        if key != NONE {
            let state = &mut self.keys.states[key as usize];
            state.block = NONE;
            state.carriers -= 1;
            self.keys.reuse_if_unused(key);
            self.evictions += 1;
        }
        block
    }

    fn claim(&mut self, slot: u32, block: u32) {
        let entry = &mut self.blocks.0[block as usize];
        if entry.refs == 0 {
            self.free.remove(block);
        }
        entry.refs += 1;
        self.hits += 1;
        let holding = &mut self.holdings[slot as usize];
        holding.held.push(block);
        holding.fill = self.block_size;
        holding.pieces.clear();
    }

    fn drop_reference(&mut self, block: u32) {
        let entry = &mut self.blocks.0[block as usize];
        entry.refs -= 1;
        if entry.refs == 0 {
            self.free.touch(block);
        }
    }

    /// The last block of a request is full: it gets its key and enters the index.
    fn register(&mut self, Prompt { slot, request, tree }: Prompt<'_>) {
        let holding = &mut self.holdings[slot as usize];
        let [before @ .., block] = &holding.held[..] else { return };
        let (before, block) = (before.last().map_or(NONE, |block| self.blocks.key(*block)), *block);
        let pieces = core::mem::take(&mut holding.pieces);
        let key = self.keys.of_block(request, holding, tree, before, &pieces);
        holding.pieces = pieces;
        self.give_key(block, key);
    }

    fn give_key(&mut self, block: u32, key: u32) {
        self.blocks.0[block as usize].key = key;
        let state = &mut self.keys.states[key as usize];
        state.block = block;
        state.carriers += 1;
    }

    /// Brings what host memory knows of the prompt back to the free list; whether anything came.
    fn reload(&mut self, prompt: Prompt<'_>) -> bool {
        self.name_prompt(prompt);
        let prompt_keys = core::mem::take(&mut self.prompt_keys);
        let most = self.free();
        let mut reloaded = 0;
        for key in &prompt_keys {
            let state = self.keys.states[*key as usize];
            if state.block != NONE {
                continue;
            }
            if !state.is_mirrored || reloaded == most {
                break;
            }
            let block = self.take();
            self.give_key(block, *key);
            self.free.touch(block);
            self.mirror.reload(*key);
            reloaded += 1;
        }
        self.prompt_keys = prompt_keys;
        reloaded > 0
    }

    /// A request leaves the batch and gives back everything, last block first; for good, or to come back.
    pub(super) fn release(&mut self, slot: u32, admission: u64, request: &Request, is_for_good: bool) {
        self.holding(slot);
        let holding = &mut self.holdings[slot as usize];
        self.mirror.leave(admission, holding, &self.blocks, &mut self.keys);
        let mut held = core::mem::take(&mut holding.held);
        holding.fill = 0;
        holding.mirrored = 0;
        holding.pieces.clear();
        if is_for_good {
            self.keys.retire(request, &mut holding.own);
        }
        while let Some(block) = held.pop() {
            self.drop_reference(block);
        }
        self.holdings[slot as usize].held = held;
    }

    /// What host memory is told at the end of a step (KV specification 6).
    pub(super) fn pass(&mut self, slots: &Slots) {
        if self.changed.is_empty() && self.mirror.is_idle() {
            return;
        }
        let Self { mirror, changed, holdings, blocks, keys, .. } = self;
        changed.retain(|slot| slots.get(*slot).is_in_batch());
        sort_by_key(changed, |slot| [slots.get(*slot).admission as i64, 0]);
        changed.dedup();
        mirror.pass(changed, slots, holdings, blocks, keys);
        changed.clear();
    }

    /// Blocks that each slot holds.
    pub(super) fn held(&self, slot: u32) -> u32 {
        self.holdings.get(slot as usize).map_or(0, |holding| holding.held.len() as u32)
    }

    /// Blocks that somebody holds and blocks on the free list, counted in the tables.
    pub(super) fn count(&self) -> [u32; 2] {
        let mut is_held = alloc::vec![false; self.blocks.0.len()];
        for block in self.holdings.iter().flat_map(|holding| &holding.held) {
            is_held[*block as usize] = true;
        }
        let held = is_held.iter().filter(|is_held| **is_held).count() as u32;
        [held, self.num_blocks - self.blocks.0.len() as u32 + self.free.len() as u32]
    }

    /// The invariants of KV specification 5, recomputed from the block tables.
    pub(super) fn audit(&self) -> Result<(), &'static str> {
        let mut refs = alloc::vec![0u32; self.blocks.0.len()];
        for block in self.holdings.iter().flat_map(|holding| &holding.held) {
            refs[*block as usize] += 1;
        }
        let mut carriers = alloc::vec![0u32; self.keys.states.len()];
        for ((at, block), refs) in (0..).zip(&self.blocks.0).zip(refs) {
            if block.refs != refs {
                return Err("references differ from the block tables");
            }
            if self.free.contains(at) != (refs == 0) {
                return Err("the free list is not the set of unreferenced blocks");
            }
            if let Some(count) = carriers.get_mut(block.key as usize) {
                *count += 1;
            }
        }
        for ((key, state), carriers) in (0..).zip(&self.keys.states).zip(carriers) {
            if state.carriers != carriers {
                return Err("other blocks carry a key than counted");
            }
            if state.block != NONE && self.blocks.key(state.block) != key {
                return Err("an index entry points elsewhere");
            }
        }
        Ok(())
    }
}
