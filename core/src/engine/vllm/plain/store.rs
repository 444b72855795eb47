//! The KV blocks, one by one, as the scheduler specification words them (A4, A5, B).
//!
//! Slow and literal on purpose: it is the oracle the fast pool is compared with.

use crate::engine::identity::{Identities, Key};
use crate::engine::recency::Recency;
use crate::workload::{PrefixTree, Request};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// A request's blocks, in order.
#[derive(Debug, Clone, Default)]
pub(super) struct Holding {
    held: Vec<u32>,
    /// How many leading ones have a key.
    published: u32,
    /// The keys of its sequence as far as they were asked for.
    keys: Vec<Key>,
}

impl Holding {
    /// Blocks held.
    pub(super) fn len(&self) -> u32 {
        self.held.len() as u32
    }
}

/// What an allocation is for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Need<'a> {
    /// Tokens it has computed, those of `hits` not among them.
    pub computed: u32,
    /// Tokens it is about to compute.
    pub tokens: u32,
    /// Tokens whose content is known.
    pub known: u32,
    /// Cached blocks that come first.
    pub hits: &'a [u32],
    /// Blocks that must stay free.
    pub reserved: u32,
    /// Tokens that must fit, now or later.
    pub whole: u32,
}

/// All blocks of a replica.
#[derive(Debug)]
pub(super) struct Store {
    block_size: u32,
    usable: u32,
    is_caching: bool,
    refs: Vec<u32>,
    keys: Vec<Option<Key>>,
    /// The free queue: those put in front, the last one first; those never taken; those put at the back.
    front: Vec<u32>,
    back: Recency,
    /// Blocks by key, in the order they got it.
    index: BTreeMap<Key, Vec<u32>>,
    identities: Identities,
    pub(super) claimed: u64,
    pub(super) taken: u64,
}

impl Store {
    pub(super) fn new(num_blocks: u32, block_size: u32, is_caching: bool) -> Self {
        Self {
            block_size,
            // One block is the server's own.
            usable: num_blocks.saturating_sub(1),
            is_caching,
            refs: Vec::new(),
            keys: Vec::new(),
            front: Vec::new(),
            back: Recency::new(),
            index: BTreeMap::new(),
            identities: Identities::default(),
            claimed: 0,
            taken: 0,
        }
    }

    pub(super) fn free(&self) -> u32 {
        self.usable - self.refs.len() as u32 + self.front.len() as u32 + self.back.len() as u32
    }

    pub(super) fn used(&self) -> u32 {
        self.usable - self.free()
    }

    /// B1.
    fn take(&mut self) -> Option<u32> {
        let block = if let Some(block) = self.front.pop() {
            block
        } else if (self.refs.len() as u32) < self.usable {
            self.refs.push(0);
            self.keys.push(None);
            self.refs.len() as u32 - 1
        } else {
            self.back.take_oldest()?
        };
        if let Some(key) = self.keys[block as usize].take()
            && let Some(blocks) = self.index.get_mut(&key)
        {
            blocks.retain(|other| *other != block);
            if blocks.is_empty() {
                self.index.remove(&key);
            }
        }
        self.refs[block as usize] = 1;
        self.taken += 1;
        Some(block)
    }

    /// The key of a full block of the request's sequence (A5).
    fn key(&mut self, holding: &mut Holding, request: &Request, prefixes: &PrefixTree, index: u32) -> Key {
        while holding.keys.len() as u32 <= index {
            let from = holding.keys.len() as u32 * self.block_size;
            let before = holding.keys.last().copied();
            holding.keys.push(self.identities.of_block(before, request, prefixes, from, self.block_size));
        }
        holding.keys[index as usize]
    }

    /// B2: cached leading blocks of the first `known` tokens, the last one left out.
    pub(super) fn lookup(
        &mut self,
        holding: &mut Holding,
        request: &Request,
        prefixes: &PrefixTree,
        known: u32,
    ) -> Vec<u32> {
        let mut found = Vec::new();
        if self.is_caching {
            for index in 0..known.saturating_sub(1) / self.block_size {
                let key = self.key(holding, request, prefixes, index);
                match self.index.get(&key).and_then(|blocks| blocks.first()) {
                    Some(block) => found.push(*block),
                    None => break,
                }
            }
        }
        found
    }

    /// B3.
    pub(super) fn allocate(
        &mut self,
        holding: &mut Holding,
        request: &Request,
        prefixes: &PrefixTree,
        need: Need<'_>,
    ) -> bool {
        let size = self.block_size;
        let hits = need.hits.len() as u32;
        let start = need.computed + hits * size;
        let held = holding.len() + hits;
        let from_free = need.hits.iter().filter(|block| self.refs[**block as usize] == 0).count() as u32;
        let whole = need.whole.div_ceil(size).saturating_sub(held);
        let blocks = (start + need.tokens).div_ceil(size).saturating_sub(held);
        if u64::from(whole.max(blocks)) + u64::from(from_free) + u64::from(need.reserved) > u64::from(self.free()) {
            return false;
        }
        for block in need.hits {
            if self.refs[*block as usize] == 0 {
                self.back.remove(*block);
            }
            self.refs[*block as usize] += 1;
            holding.held.push(*block);
            self.claimed += 1;
        }
        if hits > 0 {
            holding.published = hits;
        }
        for _ in 0..blocks {
            let Some(block) = self.take() else { break };
            holding.held.push(block);
        }
        self.publish(holding, request, prefixes, (start + need.tokens).min(need.known));
        true
    }

    /// So many of the blocks taken last stand for blocks that would have been found.
    pub(super) fn count_as_claimed(&mut self, blocks: u32) {
        self.taken -= u64::from(blocks);
        self.claimed += u64::from(blocks);
    }

    /// B4.
    pub(super) fn publish(&mut self, holding: &mut Holding, request: &Request, prefixes: &PrefixTree, tokens: u32) {
        if !self.is_caching {
            return;
        }
        for index in holding.published..tokens / self.block_size {
            let key = self.key(holding, request, prefixes, index);
            let block = holding.held[index as usize];
            self.keys[block as usize] = Some(key);
            self.index.entry(key).or_default().push(block);
        }
        holding.published = holding.published.max(tokens / self.block_size);
    }

    /// B5.
    pub(super) fn release(&mut self, holding: &mut Holding) {
        let (mut without, mut with) = (Vec::new(), Vec::new());
        while let Some(block) = holding.held.pop() {
            let refs = &mut self.refs[block as usize];
            *refs -= 1;
            if *refs == 0 {
                let is_keyed = self.keys[block as usize].is_some();
                if is_keyed { &mut with } else { &mut without }.push(block);
            }
        }
        self.front.extend(without.into_iter().rev());
        for block in with {
            self.back.touch(block);
        }
        holding.published = 0;
    }

    /// The keys that some block has, ascending.
    pub(super) fn copy_index(&self, copy: &mut Vec<Key>) {
        copy.clear();
        copy.extend(self.index.keys());
    }

    /// How many leading full blocks of a new prompt have keys that `is_known`, the block of its last token left out.
    pub(super) fn count_leading(
        &mut self,
        request: &Request,
        prefixes: &PrefixTree,
        is_known: impl Fn(u32) -> bool,
    ) -> u32 {
        let mut holding = Holding::default();
        let most = if self.is_caching { request.input_tokens.saturating_sub(1) / self.block_size } else { 0 };
        (0..most).take_while(|index| is_known(self.key(&mut holding, request, prefixes, *index))).count() as u32
    }

    /// [`Store::count_leading`] of what is cached now.
    pub(super) fn count_cached(&mut self, request: &Request, prefixes: &PrefixTree) -> u32 {
        self.lookup(&mut Holding::default(), request, prefixes, request.input_tokens).len() as u32
    }

    /// Blocks that somebody holds and blocks in the free queue, counted in the tables.
    pub(super) fn count<'a>(&self, holdings: impl Iterator<Item = &'a Holding>) -> [u32; 2] {
        let mut is_held = alloc::vec![false; self.refs.len()];
        for block in holdings.flat_map(|holding| &holding.held) {
            is_held[*block as usize] = true;
        }
        [is_held.iter().filter(|is_held| **is_held).count() as u32, self.free()]
    }

    /// Recomputes what must always hold from the tables.
    pub(super) fn audit<'a>(&self, holdings: impl Iterator<Item = &'a Holding>) -> Result<(), &'static str> {
        let mut refs = alloc::vec![0u32; self.refs.len()];
        for holding in holdings {
            for (at, block) in holding.held.iter().enumerate() {
                refs[*block as usize] += 1;
                if self.keys[*block as usize].is_some() != ((at as u32) < holding.published) {
                    return Err("a block has a key that is not published, or none that is");
                }
            }
        }
        if refs != self.refs {
            return Err("references differ from the block tables");
        }
        let mut is_free = alloc::vec![false; self.refs.len()];
        self.front.iter().for_each(|block| is_free[*block as usize] = true);
        (0..refs.len()).filter(|block| self.back.contains(*block as u32)).for_each(|block| is_free[block] = true);
        if is_free.iter().zip(&refs).any(|(is_free, refs)| *is_free != (*refs == 0)) {
            return Err("the free queue is not the set of unreferenced blocks");
        }
        let keyed = self.keys.iter().filter(|key| key.is_some()).count();
        let listed: usize = self.index.values().map(Vec::len).sum();
        let is_sound = |(key, blocks): (&Key, &Vec<u32>)| {
            !blocks.is_empty() && blocks.iter().all(|block| self.keys[*block as usize] == Some(*key))
        };
        if keyed != listed || !self.index.iter().all(is_sound) {
            return Err("an index entry points elsewhere");
        }
        Ok(())
    }
}
