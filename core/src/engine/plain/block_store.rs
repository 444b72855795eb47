//! The paged KV store, block by block, as the KV specification words it (sections 1–6).
//!
//! Slow and literal on purpose: it is the oracle the fast store is compared with.

use crate::engine::identity::{Identities, Key, TokenRun, push_run, runs};
use crate::engine::recency::Recency;
use crate::scenario::CpuTierConfig;
use crate::time::truncate;
use crate::workload::{PrefixTree, Request};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

#[derive(Debug, Clone, Default)]
struct Block {
    tokens: Vec<TokenRun>,
    fill: u32,
    refs: u32,
    key: Option<Key>,
}

/// The prefix cache in host memory.
#[derive(Debug)]
struct CpuTier {
    config: CpuTierConfig,
    order: Recency,
    transfer: i64,
    mirrored: u64,
    evicted: u64,
    misses: u64,
}

/// A request's place in the store.
#[derive(Debug, Clone, Default)]
pub(super) struct Holding {
    held: Vec<u32>,
}

impl Holding {
    /// Blocks held.
    pub(super) fn len(&self) -> u32 {
        self.held.len() as u32
    }
}

/// All blocks of a replica.
#[derive(Debug)]
pub(super) struct BlockStore {
    block_size: u32,
    num_blocks: usize,
    is_caching: bool,
    /// Those that were taken at least once; the others come first on the free list, as nothing is put in front.
    blocks: Vec<Block>,
    /// The rest of the free list.
    free: Recency,
    index: BTreeMap<Key, u32>,
    identities: Identities,
    tier: Option<CpuTier>,
    pub(super) hits: u64,
    pub(super) misses: u64,
}

impl BlockStore {
    pub(super) fn new(num_blocks: u32, block_size: u32, is_caching: bool, tier: Option<CpuTierConfig>) -> Self {
        Self {
            block_size,
            num_blocks: num_blocks as usize,
            is_caching,
            blocks: Vec::new(),
            free: Recency::new(),
            index: BTreeMap::new(),
            identities: Identities::default(),
            tier: tier.map(|config| CpuTier {
                config,
                order: Recency::new(),
                transfer: 0,
                mirrored: 0,
                evicted: 0,
                misses: 0,
            }),
            hits: 0,
            misses: 0,
        }
    }

    pub(super) fn used(&self) -> u64 {
        (self.blocks.len() - self.free.len()) as u64
    }

    fn num_free(&self) -> usize {
        self.num_blocks - self.used() as usize
    }

    /// Cached leading blocks of the prompt.
    pub(super) fn lookup(&mut self, request: &Request, prefixes: &PrefixTree) -> Vec<u32> {
        let mut found = Vec::new();
        if !self.is_caching {
            return found;
        }
        let mut key = None;
        for index in 0..request.input_tokens / self.block_size {
            let next = self.identities.of_block(key, request, prefixes, index * self.block_size, self.block_size);
            match self.index.get(&next) {
                Some(block) => found.push(*block),
                None => break,
            }
            key = Some(next);
        }
        found
    }

    /// How many leading full blocks of a prompt have keys that `is_known`.
    pub(super) fn count_leading(
        &mut self,
        request: &Request,
        prefixes: &PrefixTree,
        is_known: impl Fn(u32) -> bool,
    ) -> u32 {
        let mut key = None;
        for index in 0..request.input_tokens / self.block_size {
            let next = self.identities.of_block(key, request, prefixes, index * self.block_size, self.block_size);
            if !is_known(next) {
                return index;
            }
            key = Some(next);
        }
        request.input_tokens / self.block_size
    }

    /// The keys in the index, ascending; none without prefix caching.
    pub(super) fn copy_index(&self, copy: &mut Vec<Key>) {
        copy.clear();
        if self.is_caching {
            copy.extend(self.index.keys());
        }
    }

    /// Allocates for positions `[from, to)`, with the CPU tier if there is one.
    pub(super) fn allocate(
        &mut self,
        holding: &mut Holding,
        request: &Request,
        prefixes: &PrefixTree,
        pos: u32,
        range: [u32; 2],
        hits: &[u32],
    ) -> bool {
        if self.allocate_here(holding, request, prefixes, pos, range, hits) {
            return true;
        }
        if self.tier.is_none() {
            return false;
        }
        if !self.reload(request, prefixes) {
            if let Some(tier) = &mut self.tier {
                tier.misses += 1;
            }
            return false;
        }
        let [from, to] = range;
        let again = self.lookup(request, prefixes);
        let start = again.len() as u32 * self.block_size;
        if start <= from {
            return self.allocate_here(holding, request, prefixes, pos, range, hits);
        }
        let first = if holding.held.is_empty() { 0 } else { from.div_ceil(self.block_size) as usize };
        let reaches = start >= to;
        let last = if reaches { (to.div_ceil(self.block_size) as usize).min(again.len()) } else { again.len() };
        let before = holding.held.len();
        let hits_before = self.hits;
        for block in again.get(first..last).unwrap_or_default() {
            self.claim(holding, *block);
        }
        if reaches {
            return true;
        }
        if self.allocate_here(holding, request, prefixes, pos, [start, to], &again) {
            return true;
        }
        while holding.held.len() > before {
            if let Some(block) = holding.held.pop() {
                self.drop_reference(block);
            }
        }
        self.hits = hits_before;
        false
    }

    fn allocate_here(
        &mut self,
        holding: &mut Holding,
        request: &Request,
        prefixes: &PrefixTree,
        pos: u32,
        [from, to]: [u32; 2],
        hits: &[u32],
    ) -> bool {
        let size = self.block_size;
        let in_prompt = pos < request.input_tokens;
        let count = to - from;
        let last_fill = holding.held.last().map(|block| self.blocks[*block as usize].fill);
        let room = last_fill.map_or(0, |fill| if fill > 0 && fill < size { size - fill } else { 0 });
        if in_prompt {
            let want = (count - room.min(count)).div_ceil(size) as usize;
            let from_free = hits.iter().filter(|block| self.blocks[**block as usize].refs == 0).count();
            if want + from_free > self.num_free() {
                return false;
            }
        } else if self.num_free() == 0 && last_fill.is_none_or(|fill| fill == size) {
            return false;
        }
        let mut at = from;
        while at < to {
            if holding.held.is_empty() {
                for block in hits {
                    self.claim(holding, *block);
                }
            }
            let last = holding.held.last().copied();
            let fill = last.map_or(0, |block| self.blocks[block as usize].fill);
            if let Some(last) = last.filter(|_| fill > 0 && fill < size) {
                let take = (size - fill).min(to - at);
                let tokens = runs(request, prefixes, at, take);
                self.append(last, &tokens, take);
                at += take;
                if self.blocks[last as usize].fill == size {
                    self.register(holding, holding.held.len() - 1);
                }
                continue;
            }
            for _ in 0..(to - at).div_ceil(size) {
                let Some(block) = self.take() else { return false };
                let take = size.min(to - at);
                let tokens = runs(request, prefixes, at, take);
                self.append(block, &tokens, take);
                self.blocks[block as usize].refs = 1;
                self.misses += 1;
                holding.held.push(block);
                at += take;
                if in_prompt && take == size {
                    self.register(holding, holding.held.len() - 1);
                }
            }
        }
        true
    }

    /// Gives back everything the request holds, last block first.
    pub(super) fn release(&mut self, holding: &mut Holding) {
        while let Some(block) = holding.held.pop() {
            self.drop_reference(block);
        }
    }

    /// Copies the keyed blocks of the running requests to the CPU tier.
    pub(super) fn mirror<'a>(&mut self, running: impl Iterator<Item = &'a Holding>) {
        let Some(tier) = &mut self.tier else { return };
        for holding in running {
            for block in &holding.held {
                let Some(key) = self.blocks[*block as usize].key else { continue };
                if !tier.order.contains(key) {
                    if tier.order.len() >= tier.config.num_blocks as usize {
                        tier.order.take_oldest();
                        tier.evicted += 1;
                    }
                    tier.mirrored += 1;
                }
                tier.order.touch(key);
            }
        }
    }

    /// Latency of reloads since the last call.
    pub(super) fn take_transfer(&mut self) -> i64 {
        self.tier.as_mut().map_or(0, |tier| core::mem::take(&mut tier.transfer))
    }

    /// Entries mirrored, evicted, and failed reloads.
    pub(super) fn tier_counts(&self) -> [u64; 3] {
        self.tier.as_ref().map_or([0; 3], |tier| [tier.mirrored, tier.evicted, tier.misses])
    }

    /// Brings what the CPU tier knows of the prompt back to the free list; whether anything came.
    fn reload(&mut self, request: &Request, prefixes: &PrefixTree) -> bool {
        let mut left = self.num_free();
        let mut reloaded = false;
        let mut key = None;
        for index in 0..request.input_tokens / self.block_size {
            let tokens = runs(request, prefixes, index * self.block_size, self.block_size);
            let next = self.identities.chain(key, tokens.clone());
            key = Some(next);
            if self.index.contains_key(&next) {
                continue;
            }
            if left == 0 || !self.tier.as_ref().is_some_and(|tier| tier.order.contains(next)) {
                break;
            }
            left -= 1;
            let Some(block) = self.take() else { break };
            self.append(block, &tokens, self.block_size);
            self.blocks[block as usize].key = Some(next);
            self.index.insert(next, block);
            self.free.touch(block);
            reloaded = true;
            if let Some(tier) = &mut self.tier {
                let per_block = libm::ceil(f64::from(self.block_size) / tier.config.tokens_per_us);
                tier.transfer += tier.config.base_latency.0 + truncate(per_block);
                tier.order.touch(next);
            }
        }
        reloaded
    }

    fn claim(&mut self, holding: &mut Holding, block: u32) {
        let entry = &mut self.blocks[block as usize];
        if entry.refs == 0 {
            self.free.remove(block);
        }
        entry.refs += 1;
        self.hits += 1;
        holding.held.push(block);
    }

    /// Takes the front of the free list; none if nothing is free, which callers rule out beforehand.
    fn take(&mut self) -> Option<u32> {
        if self.blocks.len() < self.num_blocks {
            self.blocks.push(Block::default());
            return Some(self.blocks.len() as u32 - 1);
        }
        let block = self.free.take_oldest()?;
        let entry = &mut self.blocks[block as usize];
        if let Some(key) = entry.key.take() {
            self.index.remove(&key);
        }
        entry.fill = 0;
        entry.tokens.clear();
        Some(block)
    }

    fn drop_reference(&mut self, block: u32) {
        let entry = &mut self.blocks[block as usize];
        entry.refs -= 1;
        if entry.refs == 0 {
            self.free.touch(block);
        }
    }

    fn append(&mut self, block: u32, runs: &[TokenRun], count: u32) {
        let entry = &mut self.blocks[block as usize];
        for run in runs {
            push_run(&mut entry.tokens, *run);
        }
        entry.fill += count;
    }

    /// Gives the full block at `at` its key and enters it into the index.
    fn register(&mut self, holding: &Holding, at: usize) {
        let before = at.checked_sub(1).and_then(|at| self.blocks[holding.held[at] as usize].key);
        let block = holding.held[at];
        let key = self.identities.chain(before, self.blocks[block as usize].tokens.clone());
        self.blocks[block as usize].key = Some(key);
        self.index.insert(key, block);
    }

    /// Blocks that somebody holds and blocks on the free list, counted in the tables.
    pub(super) fn count<'a>(&self, holdings: impl Iterator<Item = &'a Holding>) -> [u32; 2] {
        let mut is_held = alloc::vec![false; self.blocks.len()];
        for block in holdings.flat_map(|holding| &holding.held) {
            is_held[*block as usize] = true;
        }
        [is_held.iter().filter(|is_held| **is_held).count() as u32, self.num_free() as u32]
    }

    /// The invariants of KV specification 5, recomputed from the block tables.
    pub(super) fn audit<'a>(&self, holdings: impl Iterator<Item = &'a Holding>) -> Result<(), &'static str> {
        let mut refs = alloc::vec![0u32; self.blocks.len()];
        for holding in holdings {
            for (at, block) in holding.held.iter().enumerate() {
                refs[*block as usize] += 1;
                // A reload lets a request go on behind the block that its last chunk left partial (section 6).
                let is_last = at + 1 == holding.held.len() || self.tier.is_some();
                if !is_last && self.blocks[*block as usize].fill != self.block_size {
                    return Err("a partial block inside a list");
                }
            }
        }
        for (at, block) in self.blocks.iter().enumerate() {
            if block.refs != refs[at] {
                return Err("references differ from the block tables");
            }
            if self.free.contains(at as u32) != (block.refs == 0) {
                return Err("the free list is not the set of unreferenced blocks");
            }
        }
        for (key, block) in &self.index {
            let block = &self.blocks[*block as usize];
            if block.key != Some(*key) || block.fill != self.block_size {
                return Err("an index entry points elsewhere");
            }
        }
        Ok(())
    }
}
