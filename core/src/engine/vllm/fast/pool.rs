//! The KV blocks of a replica under vLLM's rules, without naming most of them.
//!
//! Only blocks whose content somebody could ask for again are identified: those inside a shared prefix, those of an
//! output that comes back in prompts, and those of a request that was preempted and will come back.
//! All others are interchangeable, whether they have a key or not, so they are counted, and the free queue is a queue of
//! runs (scheduler specification A4, A5, B).

mod chain;
mod keys;
mod tables;

use crate::workload::{PrefixId, PrefixTree};
use alloc::vec::Vec;
use chain::Chain;
use keys::{Carriers, PrivateRange};

/// No node, no key, no range.
pub(super) const NONE: u32 = u32::MAX;

/// A run of anonymous blocks in the free queue, or one identified block, free or held.
#[derive(Debug, Clone, Copy)]
struct Node {
    /// Neighbours in the free queue.
    previous: u32,
    next: u32,
    /// Neighbours among the blocks that carry its key.
    older: u32,
    newer: u32,
    /// Requests that hold it; identified blocks only.
    refs: u32,
    /// Blocks of the run; 1 for an identified block.
    count: u32,
    /// Its key; [`NONE`] for a run of anonymous blocks.
    key: u32,
    /// The range of private keys it belongs to; [`NONE`] for keys of shared prefixes.
    range: u32,
}

/// What a lookup found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hits {
    /// Leading blocks that are cached.
    pub blocks: u32,
    /// How many of them are free.
    pub free: u32,
}

/// All that decides what a lookup finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Question {
    identity: Identity,
    known: u32,
    range: Option<u32>,
    changes: u64,
}

/// Which blocks of a request are identified: those of its prompt and of its output that others share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    /// The deepest prefix that its prompt shares.
    pub prefix: PrefixId,
    /// The deepest prefix that prompt and output share; [`PrefixId::NONE`] where it says no more.
    pub output_prefix: PrefixId,
    /// Length of the prompt, tokens.
    pub prompt_tokens: u32,
}

impl Identity {
    /// Whether others share anything of the request.
    #[inline]
    pub(super) fn is_shared(self) -> bool {
        self.prefix != PrefixId::NONE
    }

    /// The deepest prefix that the request shares.
    pub(super) fn deepest(self) -> PrefixId {
        if self.output_prefix == PrefixId::NONE { self.prefix } else { self.output_prefix }
    }
}

/// A request's place in the pool.
#[derive(Debug, Clone, Default)]
pub(super) struct Holding {
    /// Its leading blocks, if it holds a chain.
    chain: Option<u32>,
    /// The identified blocks behind, in order, as far as they have a key.
    nodes: Vec<u32>,
    /// Blocks held in all.
    blocks: u32,
    /// Its private keys, once it has been preempted.
    range: Option<u32>,
}

impl Holding {
    /// Sets the number of blocks; those taken in decode steps are counted by the batch until somebody asks.
    pub(super) fn set_blocks(&mut self, blocks: u32) {
        self.blocks = blocks;
    }

    /// These identified blocks and so many others.
    pub(super) fn of(nodes: Vec<u32>, others: u32) -> Self {
        Self { blocks: nodes.len() as u32 + others, nodes, ..Self::default() }
    }

    /// Blocks held.
    pub(super) fn blocks(&self) -> u32 {
        self.blocks
    }
}

/// All KV blocks of a replica.
#[derive(Debug)]
pub(super) struct Pool {
    block_size: u32,
    usable: u32,
    is_caching: bool,
    free: u32,
    nodes: Vec<Node>,
    spare_nodes: Vec<u32>,
    head: u32,
    tail: u32,
    /// By key, the identified blocks that carry it.
    index: Vec<Carriers>,
    /// First key of each node of the prefix tree.
    prefix_keys: Vec<u32>,
    chains: Vec<Chain>,
    spare_chains: Vec<u32>,
    /// The latest chain of each node of the prefix tree; [`NONE`] if nobody holds it.
    chain_of: Vec<u32>,
    ranges: Vec<PrivateRange>,
    spare_ranges: Vec<u32>,
    /// Scratch: the keys of a request's identified blocks, in order.
    keys: Vec<u32>,
    /// Scratch: the chain a lookup found.
    found_chain: Option<u32>,
    /// Scratch: the blocks a lookup found, those of the chain left out.
    found: Vec<u32>,
    /// What the last lookup was for, and what it found: the front of the queue is looked up again and again.
    asked: Option<Question>,
    hits: Hits,
    /// Grows with every change that may change what a lookup finds.
    changes: u64,
    pub(super) claimed: u64,
    pub(super) taken: u64,
    /// Keys lost by taking blocks.
    pub(super) evictions: u64,
}

impl Pool {
    pub(super) fn new(num_blocks: u32, block_size: u32, is_caching: bool) -> Self {
        // One block is the server's own.
        let usable = num_blocks.saturating_sub(1);
        let mut pool = Self {
            block_size,
            usable,
            is_caching,
            free: 0,
            nodes: Vec::new(),
            spare_nodes: Vec::new(),
            head: NONE,
            tail: NONE,
            index: Vec::new(),
            prefix_keys: Vec::new(),
            chains: Vec::new(),
            spare_chains: Vec::new(),
            chain_of: Vec::new(),
            ranges: Vec::new(),
            spare_ranges: Vec::new(),
            keys: Vec::new(),
            found_chain: None,
            found: Vec::new(),
            asked: None,
            hits: Hits { blocks: 0, free: 0 },
            changes: 0,
            claimed: 0,
            taken: 0,
            evictions: 0,
        };
        pool.put_back(usable);
        pool
    }

    #[inline]
    pub(super) fn free(&self) -> u32 {
        self.free
    }

    #[inline]
    pub(super) fn used(&self) -> u32 {
        self.usable - self.free
    }

    /// Finds the cached leading blocks of the first `known` tokens, the block of the last one left out (B2), for
    /// [`Pool::claim_found`].
    #[inline]
    pub(super) fn lookup(&mut self, identity: Identity, holding: &Holding, tree: &PrefixTree, known: u32) -> Hits {
        if !self.is_caching || (identity.prefix == PrefixId::NONE && holding.range.is_none()) {
            return Hits { blocks: 0, free: 0 };
        }
        let question = Question { identity, known, range: holding.range, changes: self.changes };
        if self.asked != Some(question) {
            self.hits = self.find(identity, holding, tree, known);
            self.asked = Some(question);
        }
        self.hits
    }

    /// [`Pool::lookup`] where something may be found.
    #[inline(never)]
    fn find(&mut self, identity: Identity, holding: &Holding, tree: &PrefixTree, known: u32) -> Hits {
        self.found.clear();
        self.found_chain = None;
        let most = known.saturating_sub(1) / self.block_size;
        let shared = self.prompt_blocks(identity, tree);
        let mut chained = 0;
        if shared > 0 && shared <= most {
            self.found_chain = self.whole_chain(identity.prefix, shared);
            chained = if self.found_chain.is_some() { shared } else { 0 };
        }
        let mut free = 0;
        let most = most.min(self.identified_blocks(identity, holding, tree));
        if chained < most {
            self.collect_keys(identity, holding, tree, most);
            for key in &self.keys[chained as usize..] {
                let node = self.index[*key as usize].oldest;
                if node == NONE {
                    break;
                }
                free += u32::from(self.nodes[node as usize].refs == 0);
                self.found.push(node);
            }
        }
        Hits { blocks: chained + self.found.len() as u32, free }
    }

    /// Takes `count` blocks from the front of the free queue (B1).
    ///
    /// The caller has checked that so many are free.
    #[inline]
    pub(super) fn take_many(&mut self, count: u32) {
        if count == 0 {
            return;
        }
        self.taken += u64::from(count);
        self.free -= count;
        // Most of the time one run of anonymous blocks is longer than what is taken.
        match self.nodes.get_mut(self.head as usize) {
            Some(head) if head.count > count => head.count -= count,
            _ => self.take_runs(count),
        }
    }

    /// [`Pool::take_many`] where the first run is used up.
    #[inline(never)]
    fn take_runs(&mut self, count: u32) {
        let mut left = count;
        while left > 0 {
            let head = self.head;
            let node = &mut self.nodes[head as usize];
            if node.count > left {
                node.count -= left;
                return;
            }
            left -= node.count;
            if node.key != NONE {
                self.evictions += 1;
                self.forget_key(head);
            }
            self.unlink(head);
            self.spare_nodes.push(head);
        }
    }

    /// So many of the blocks taken last stand for blocks that would have been found.
    #[inline]
    pub(super) fn count_as_claimed(&mut self, blocks: u32) {
        self.taken -= u64::from(blocks);
        self.claimed += u64::from(blocks);
    }

    /// A request takes so many more blocks.
    #[inline]
    pub(super) fn extend(&mut self, holding: &mut Holding, count: u32) {
        self.take_many(count);
        holding.blocks += count;
    }

    /// Gives the blocks that hold the first `tokens` tokens of a request their keys, as far as others may ask for them
    /// (B4). Keys of its own are given when it is preempted: before, nobody asks.
    #[inline]
    pub(super) fn publish(&mut self, identity: Identity, holding: &mut Holding, tree: &PrefixTree, tokens: u32) {
        if identity.prefix == PrefixId::NONE {
            return;
        }
        let full = (tokens / self.block_size).min(self.tree_blocks(identity, tree));
        self.name(identity, holding, tree, full);
    }

    /// Identifies the leading `count` blocks of a request, all of which can be.
    #[inline]
    fn name(&mut self, identity: Identity, holding: &mut Holding, tree: &PrefixTree, count: u32) {
        let named = self.chained(holding) + holding.nodes.len() as u32;
        if named < count {
            self.name_from(named, identity, holding, tree, count);
        }
    }

    /// [`Pool::name`] where the first `named` blocks are identified already.
    #[inline(never)]
    fn name_from(&mut self, named: u32, identity: Identity, holding: &mut Holding, tree: &PrefixTree, count: u32) {
        self.collect_keys(identity, holding, tree, count);
        let first_private = self.tree_blocks(identity, tree);
        for at in named..count {
            let range = if at >= first_private { holding.range.unwrap_or(NONE) } else { NONE };
            let node = self.identify(self.keys[at as usize], range);
            holding.nodes.push(node);
        }
    }

    /// Returns everything a request holds that will never come back; the blocks of its first `published` tokens have keys
    /// (B5).
    #[inline]
    pub(super) fn release_for_good(
        &mut self,
        identity: Identity,
        holding: &mut Holding,
        tree: &PrefixTree,
        published: u32,
    ) {
        let named = self.chained(holding) + holding.nodes.len() as u32;
        let keyed = if self.is_caching { published / self.block_size } else { 0 };
        self.put_front(holding.blocks - keyed);
        self.put_back(keyed - named);
        if named > 0 || holding.range.is_some() {
            self.release_named(identity, holding, tree);
        }
        holding.blocks = 0;
    }

    /// The identified blocks of [`Pool::release_for_good`].
    #[inline(never)]
    fn release_named(&mut self, identity: Identity, holding: &mut Holding, tree: &PrefixTree) {
        // Nobody will ask for its own blocks again: they become anonymous.
        let shared = (self.tree_blocks(identity, tree).saturating_sub(self.chained(holding))) as usize;
        while let Some(node) = holding.nodes.pop() {
            if holding.nodes.len() >= shared {
                self.forget_node(node);
            } else {
                self.drop_reference(node);
            }
        }
        self.release_chain(holding);
        if let Some(range) = holding.range.take() {
            self.retire(range);
        }
    }

    /// Returns everything a preempted request holds; the blocks of its first `published` tokens stay findable.
    ///
    /// `most`: tokens it may ever have.
    pub(super) fn release_for_later(
        &mut self,
        identity: Identity,
        holding: &mut Holding,
        tree: &PrefixTree,
        [published, most]: [u32; 2],
    ) {
        let keyed = if self.is_caching { published / self.block_size } else { 0 };
        let shared = self.tree_blocks(identity, tree);
        if holding.range.is_none() && keyed > shared {
            holding.range = Some(self.new_range(most / self.block_size - shared));
        }
        // The keys were given when the blocks filled up; only now does it matter.
        self.name(identity, holding, tree, keyed);
        self.put_front(holding.blocks - keyed);
        while let Some(node) = holding.nodes.pop() {
            self.drop_reference(node);
        }
        self.release_chain(holding);
        holding.blocks = 0;
    }

    /// Puts `count` anonymous blocks at the back of the free queue.
    #[inline]
    pub(super) fn put_back(&mut self, count: u32) {
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

    /// Puts `count` anonymous blocks before the front of the free queue.
    #[inline]
    pub(super) fn put_front(&mut self, count: u32) {
        if count == 0 {
            return;
        }
        self.free += count;
        if self.head != NONE && self.nodes[self.head as usize].key == NONE {
            self.nodes[self.head as usize].count += count;
            return;
        }
        let node = self.new_node(count);
        self.nodes[node as usize].next = self.head;
        if self.head == NONE {
            self.tail = node;
        } else {
            self.nodes[self.head as usize].previous = node;
        }
        self.head = node;
    }

    #[inline]
    pub(super) fn claim(&mut self, node: u32) {
        if self.nodes[node as usize].refs == 0 {
            self.unlink(node);
            self.free -= 1;
            self.changes += 1;
        }
        self.nodes[node as usize].refs += 1;
    }

    pub(super) fn drop_reference(&mut self, node: u32) {
        self.nodes[node as usize].refs -= 1;
        if self.nodes[node as usize].refs == 0 {
            self.free += 1;
            self.changes += 1;
            self.link_last(node);
        }
    }

    /// A held block nobody will ask for again returns as an anonymous one.
    pub(super) fn forget_node(&mut self, node: u32) {
        self.forget_key(node);
        self.nodes[node as usize].refs = 0;
        self.spare_nodes.push(node);
        self.put_back(1);
    }

    fn new_node(&mut self, count: u32) -> u32 {
        let fresh =
            Node { previous: NONE, next: NONE, older: NONE, newer: NONE, refs: 0, count, key: NONE, range: NONE };
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
