//! The KV blocks of a replica, without naming most of them.
//!
//! Only blocks whose content somebody could ask for again have an identity: prompt blocks inside a shared prefix,
//! full blocks of an output that comes back in prompts, and the prompt blocks of a request that was preempted and will
//! come back.
//! All others are interchangeable, so they are counted, and the free list is a list of runs: a free run of
//! anonymous blocks is one node however long it is (engine specification 9.3).
//!
//! Order is that of the KV specification throughout: blocks are taken from the front, which deletes the index entry
//! of the key they carry even where it points to a newer block; they return to the back, last block first.

mod chain;
mod keys;
mod tables;

use crate::workload::{PrefixId, PrefixTree};
use alloc::vec::Vec;
use chain::Chain;
use keys::PrivateRange;

/// No node, no key, no range.
const NONE: u32 = u32::MAX;

/// A run of anonymous blocks on the free list, or one identified block, free or held.
#[derive(Debug, Clone, Copy)]
struct Node {
    previous: u32,
    next: u32,
    /// Requests that hold it; identified blocks only.
    refs: u32,
    /// Blocks of the run; 1 for an identified block.
    count: u32,
    /// Place of its entry in the index; [`NONE`] while it is anonymous or not yet full.
    key: u32,
    /// The range of private keys it belongs to; [`NONE`] for keys of shared prefixes.
    range: u32,
}

/// What a lookup found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hits {
    /// Leading blocks of the prompt that are cached.
    pub blocks: u32,
    /// How many of them are free.
    pub free: u32,
}

/// A request's place in the pool.
#[derive(Debug, Clone, Default)]
pub(super) struct Holding {
    /// Its leading blocks, if it holds a chain.
    chain: Option<u32>,
    /// The identified blocks behind, in order.
    nodes: Vec<u32>,
    /// Blocks held in all.
    blocks: u32,
    /// Its private keys, once it has been preempted.
    range: Option<u32>,
}

impl Holding {
    /// Whether it holds no block.
    pub(super) fn is_empty(&self) -> bool {
        self.blocks == 0
    }

    /// Sets the number of blocks; those taken in decode steps are counted by the batch until somebody asks.
    pub(super) fn set_blocks(&mut self, blocks: u32) {
        self.blocks = blocks;
    }
}

/// Which prompt blocks of a request are identified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Prompt {
    /// Its deepest shared prefix.
    pub prefix: PrefixId,
    /// Its length, tokens.
    pub tokens: u32,
}

/// All KV blocks of a replica.
#[derive(Debug)]
pub(super) struct Pool {
    block_size: u32,
    num_blocks: u32,
    is_caching: bool,
    free: u32,
    nodes: Vec<Node>,
    spare_nodes: Vec<u32>,
    head: u32,
    tail: u32,
    /// Key → identified block.
    index: Vec<u32>,
    /// Key → blocks that carry it, the one of the index among them if there is one.
    carriers: Vec<u32>,
    /// First key of each node of the prefix tree.
    prefix_keys: Vec<u32>,
    chains: Vec<Chain>,
    spare_chains: Vec<u32>,
    /// The latest chain of each node of the prefix tree; [`NONE`] if nobody holds it.
    chain_of: Vec<u32>,
    /// Index entries of held blocks that were overwritten or deleted: each may break a chain.
    rewrites: u64,
    ranges: Vec<PrivateRange>,
    spare_ranges: Vec<u32>,
    /// Scratch: the keys of a prompt's identified blocks, in order.
    keys: Vec<u32>,
    /// Scratch: the chain a lookup found.
    found_chain: Option<u32>,
    /// Scratch: the blocks a lookup found, those of the chain left out.
    found: Vec<u32>,
    pub(super) hits: u64,
    pub(super) misses: u64,
    /// Index entries deleted by taking blocks.
    pub(super) evictions: u64,
}

impl Pool {
    pub(super) fn new(num_blocks: u32, block_size: u32, is_caching: bool) -> Self {
        let mut pool = Self {
            block_size,
            num_blocks,
            is_caching,
            free: 0,
            nodes: Vec::new(),
            spare_nodes: Vec::new(),
            head: NONE,
            tail: NONE,
            index: Vec::new(),
            carriers: Vec::new(),
            prefix_keys: Vec::new(),
            chains: Vec::new(),
            spare_chains: Vec::new(),
            chain_of: Vec::new(),
            rewrites: 0,
            ranges: Vec::new(),
            spare_ranges: Vec::new(),
            keys: Vec::new(),
            found_chain: None,
            found: Vec::new(),
            hits: 0,
            misses: 0,
            evictions: 0,
        };
        pool.give_back(num_blocks);
        pool
    }

    #[inline]
    pub(super) fn free(&self) -> u32 {
        self.free
    }

    #[inline]
    pub(super) fn used(&self) -> u32 {
        self.num_blocks - self.free
    }

    /// Finds the cached leading blocks of a prompt, for [`Pool::store`].
    pub(super) fn lookup(&mut self, prompt: Prompt, holding: &Holding, tree: &PrefixTree) -> Hits {
        self.found.clear();
        self.found_chain = None;
        if !self.is_caching || (prompt.prefix == PrefixId::NONE && holding.range.is_none()) {
            return Hits { blocks: 0, free: 0 };
        }
        let shared = self.shared_blocks(prompt, tree);
        self.found_chain = self.whole_chain(prompt.prefix, shared);
        let chained = if self.found_chain.is_some() { shared } else { 0 };
        let mut free = 0;
        if chained == 0 || holding.range.is_some() {
            self.collect_keys(prompt, holding, tree);
            for key in &self.keys[chained as usize..] {
                let node = self.index[*key as usize];
                if node == NONE {
                    break;
                }
                free += u32::from(self.nodes[node as usize].refs == 0);
                self.found.push(node);
            }
        }
        Hits { blocks: chained + self.found.len() as u32, free }
    }

    /// Copies the index, for [`Pool::count_leading`].
    pub(super) fn copy_index(&self, copy: &mut Vec<u32>) {
        copy.clone_from(&self.index);
    }

    /// How many leading blocks of a new prompt a copy of the index knows.
    pub(super) fn count_leading(&mut self, prompt: Prompt, tree: &PrefixTree, copy: &[u32]) -> u32 {
        self.keys.clear();
        if self.is_caching && prompt.prefix != PrefixId::NONE {
            self.collect_keys(prompt, &Holding::default(), tree);
        }
        let is_known = |key: &&u32| copy.get(**key as usize).is_some_and(|node| *node != NONE);
        self.keys.iter().take_while(is_known).count() as u32
    }

    /// Whether blocks for prompt positions `[from, to)` can be had, `free_hits` of the found ones being free.
    #[inline]
    pub(super) fn fits(&self, from: u32, to: u32, free_hits: u32) -> bool {
        to.div_ceil(self.block_size) - from.div_ceil(self.block_size) + free_hits <= self.free
    }

    /// Stores prompt positions `[from, to)`; with `claims`, the blocks of the last lookup come first.
    ///
    /// The caller has checked that they fit. Nothing is done, not even claimed, for an empty range.
    pub(super) fn store(
        &mut self,
        prompt: Prompt,
        holding: &mut Holding,
        tree: &PrefixTree,
        [from, to]: [u32; 2],
        claims: bool,
    ) {
        if from == to {
            return;
        }
        if claims {
            self.claim_found(prompt, holding, tree);
        }
        let last = to.div_ceil(self.block_size);
        // Nothing left that has an identity.
        if !self.is_caching || (holding.range.is_none() && (prompt.prefix == PrefixId::NONE || holding.chain.is_some()))
        {
            self.take_many(last - holding.blocks);
            holding.blocks = last;
            return;
        }
        self.collect_keys(prompt, holding, tree);
        let identified = self.keys.len() as u32;
        let full = to / self.block_size;
        // The block that an earlier chunk left partial comes first: it is entered before any other is taken.
        if let Some(index) = holding.blocks.checked_sub(1)
            && index < identified
            && index < full
            && index >= self.chained(holding)
            && let Some(&node) = holding.nodes.get((index - self.chained(holding)) as usize)
            && self.nodes[node as usize].key == NONE
        {
            self.register(node, index, holding.range, prompt, tree);
        }
        while holding.blocks < last && holding.blocks < identified {
            let index = holding.blocks;
            self.take_many(1);
            let node = self.new_node(1);
            self.nodes[node as usize].refs = 1;
            holding.nodes.push(node);
            holding.blocks += 1;
            if index < full {
                self.register(node, index, holding.range, prompt, tree);
            }
        }
        self.take_many(last - holding.blocks);
        holding.blocks = last;
    }

    /// Takes `count` blocks from the front of the free list for somebody who needs no identity.
    ///
    /// The caller has checked that so many are free.
    pub(super) fn take_many(&mut self, count: u32) {
        self.misses += u64::from(count);
        self.free -= count;
        let mut left = count;
        while left > 0 {
            let head = self.head;
            let node = &mut self.nodes[head as usize];
            if node.count > left {
                node.count -= left;
                return;
            }
            left -= node.count;
            let (key, range) = (node.key, node.range);
            if key != NONE {
                self.rewrites += u64::from(self.index[key as usize] != head);
                self.index[key as usize] = NONE;
                self.evictions += 1;
                self.forget_key(key, range);
            }
            self.unlink(head);
            self.spare_nodes.push(head);
        }
    }

    /// Returns everything a request holds that will never come back.
    pub(super) fn release_for_good(&mut self, prompt: Prompt, holding: &mut Holding, tree: &PrefixTree) {
        let chained = self.chained(holding);
        self.give_back(holding.blocks - chained - holding.nodes.len() as u32);
        if holding.range.is_none() {
            while let Some(node) = holding.nodes.pop() {
                self.drop_reference(node);
            }
        } else {
            // Nobody will ask for its own blocks again: they become anonymous.
            let shared = (self.shared_blocks(prompt, tree) - chained) as usize;
            while let Some(node) = holding.nodes.pop() {
                if holding.nodes.len() >= shared {
                    self.forget_node(node);
                } else {
                    self.drop_reference(node);
                }
            }
        }
        self.release_chain(holding);
        if let Some(range) = holding.range.take() {
            self.ranges[range as usize].is_retired = true;
            self.reuse_if_unused(range);
        }
        holding.blocks = 0;
    }

    /// Returns everything a preempted request holds; its full prompt blocks stay findable.
    ///
    /// `stored`: prompt tokens it holds, from the first one on.
    pub(super) fn release_for_later(&mut self, prompt: Prompt, holding: &mut Holding, tree: &PrefixTree, stored: u32) {
        if !self.is_caching {
            self.give_back(holding.blocks);
            holding.blocks = 0;
            return;
        }
        let chained = self.chained(holding);
        let shared = self.shared_blocks(prompt, tree);
        let full = stored / self.block_size;
        if holding.range.is_none() && full > shared {
            let range = self.new_range(prompt.tokens / self.block_size - shared);
            holding.range = Some(range);
            // The keys were entered when the blocks filled up; only now does it matter.
            for index in chained + holding.nodes.len() as u32..full {
                let node = self.new_node(1);
                self.nodes[node as usize].refs = 1;
                self.register(node, index, Some(range), prompt, tree);
                holding.nodes.push(node);
            }
        }
        self.give_back(holding.blocks - chained - holding.nodes.len() as u32);
        while let Some(node) = holding.nodes.pop() {
            if self.nodes[node as usize].key == NONE {
                self.forget_node(node);
            } else {
                self.drop_reference(node);
            }
        }
        self.release_chain(holding);
        holding.blocks = 0;
    }

    /// Puts `count` anonymous blocks at the back of the free list.
    pub(super) fn give_back(&mut self, count: u32) {
        if count == 0 {
            return;
        }
        self.free += count;
        if self.tail != NONE && self.nodes[self.tail as usize].key == NONE {
            self.nodes[self.tail as usize].count += count;
            return;
        }
        let node = self.new_node(count);
        self.link_last(node);
    }

    #[inline]
    fn claim(&mut self, node: u32) {
        if self.nodes[node as usize].refs == 0 {
            self.unlink(node);
            self.free -= 1;
        }
        self.nodes[node as usize].refs += 1;
    }

    fn drop_reference(&mut self, node: u32) {
        self.nodes[node as usize].refs -= 1;
        if self.nodes[node as usize].refs == 0 {
            self.free += 1;
            self.link_last(node);
        }
    }

    /// A held block nobody will ask for again returns as an anonymous one.
    fn forget_node(&mut self, node: u32) {
        let Node { key, range, .. } = self.nodes[node as usize];
        if key != NONE {
            if self.index[key as usize] == node {
                self.index[key as usize] = NONE;
            }
            self.forget_key(key, range);
        }
        self.nodes[node as usize].refs = 0;
        self.spare_nodes.push(node);
        self.give_back(1);
    }

    fn new_node(&mut self, count: u32) -> u32 {
        let fresh = Node { previous: NONE, next: NONE, refs: 0, count, key: NONE, range: NONE };
        if let Some(node) = self.spare_nodes.pop() {
            self.nodes[node as usize] = fresh;
            return node;
        }
        self.nodes.push(fresh);
        self.nodes.len() as u32 - 1
    }

    fn link_last(&mut self, node: u32) {
        self.nodes[node as usize].previous = self.tail;
        self.nodes[node as usize].next = NONE;
        if self.tail == NONE {
            self.head = node;
        } else {
            self.nodes[self.tail as usize].next = node;
        }
        self.tail = node;
    }

    fn unlink(&mut self, node: u32) {
        let Node { previous, next, .. } = self.nodes[node as usize];
        if previous == NONE {
            self.head = next;
        } else {
            self.nodes[previous as usize].next = next;
        }
        if next == NONE {
            self.tail = previous;
        } else {
            self.nodes[next as usize].previous = previous;
        }
    }
}
