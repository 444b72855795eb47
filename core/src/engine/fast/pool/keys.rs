//! Identities of blocks: places in the index, for shared prefixes and for requests that were preempted.

use super::{Holding, NONE, Pool, Prompt};
use crate::workload::{PrefixId, PrefixTree};

/// Keys of one preempted request.
#[derive(Debug, Clone, Copy)]
pub(super) struct PrivateRange {
    pub(super) first_key: u32,
    /// How many keys it has room for.
    pub(super) count: u32,
    /// Blocks that still carry one of its keys.
    pub(super) nodes: u32,
    /// Whether its request is gone, so that the keys may be used again once no block carries one.
    pub(super) is_retired: bool,
}

impl Pool {
    /// Full blocks of a prompt that lie inside its shared prefix.
    #[inline]
    pub(super) fn shared_blocks(&self, prompt: Prompt, tree: &PrefixTree) -> u32 {
        if !self.is_caching || prompt.prefix == PrefixId::NONE {
            return 0;
        }
        tree.tokens(prompt.prefix).min(prompt.tokens) / self.block_size
    }

    /// The keys of a prompt's identified blocks, in order, into `keys`.
    pub(super) fn collect_keys(&mut self, prompt: Prompt, holding: &Holding, tree: &PrefixTree) {
        self.keys.clear();
        let shared = self.shared_blocks(prompt, tree);
        if shared > 0 {
            self.enter_prefixes(tree);
            // From the deepest segment to the root, each fills the places of the blocks that end in it.
            self.keys.resize(shared as usize, NONE);
            let mut node = prompt.prefix;
            let mut end = shared;
            while end > 0 {
                let parent = tree.parent(node);
                let start = tree.tokens(parent) / self.block_size;
                let first_key = self.prefix_keys[node.0 as usize];
                for index in start..end {
                    self.keys[index as usize] = first_key + (index - start);
                }
                end = end.min(start);
                node = parent;
            }
        }
        if let Some(range) = holding.range {
            let own = prompt.tokens / self.block_size - shared;
            let first_key = self.ranges[range as usize].first_key;
            self.keys.extend(first_key..first_key + own);
        }
    }

    /// Gives keys to prefixes that have come up since the last time.
    pub(super) fn enter_prefixes(&mut self, tree: &PrefixTree) {
        while self.prefix_keys.len() < tree.len() {
            let node = PrefixId(self.prefix_keys.len() as u32);
            let start = tree.tokens(tree.parent(node)) / self.block_size;
            let count = tree.tokens(node) / self.block_size - start;
            let first_key = self.index.len() as u32;
            self.add_keys(count);
            self.prefix_keys.push(first_key);
            self.chain_of.push(NONE);
        }
    }

    /// Whether a block carries the key of the next one that decode steps fill for an output that ends in `prefix`.
    pub(in crate::engine::fast) fn is_carried(
        &mut self,
        prefix: PrefixId,
        holding: &Holding,
        tree: &PrefixTree,
    ) -> bool {
        let index = self.chained(holding) + holding.nodes.len() as u32;
        let key = self.key_at(prefix, index, tree);
        self.carriers[key as usize] > 0
    }

    /// Decode steps have filled the first anonymous block of a request whose output ends in `prefix`; how many are
    /// identified now.
    pub(in crate::engine::fast) fn fill(&mut self, prefix: PrefixId, holding: &mut Holding, tree: &PrefixTree) -> u32 {
        let index = self.chained(holding) + holding.nodes.len() as u32;
        let key = self.key_at(prefix, index, tree);
        let node = self.new_node(1);
        self.nodes[node as usize].refs = 1;
        self.give_key(node, key);
        holding.nodes.push(node);
        index + 1
    }

    /// The key of a block inside a prefix.
    pub(super) fn key_at(&mut self, prefix: PrefixId, index: u32, tree: &PrefixTree) -> u32 {
        self.enter_prefixes(tree);
        let mut node = prefix;
        loop {
            let parent = tree.parent(node);
            let start = tree.tokens(parent) / self.block_size;
            if index >= start {
                return self.prefix_keys[node.0 as usize] + (index - start);
            }
            node = parent;
        }
    }

    /// Enters a block that has become full.
    pub(super) fn register(&mut self, node: u32, index: u32, range: Option<u32>, prompt: Prompt, tree: &PrefixTree) {
        let shared = self.shared_blocks(prompt, tree);
        let (key, range) = match range {
            Some(range) if index >= shared => (self.ranges[range as usize].first_key + (index - shared), range),
            _ => (self.keys[index as usize], NONE),
        };
        self.nodes[node as usize].range = range;
        self.give_key(node, key);
        if range != NONE {
            self.ranges[range as usize].nodes += 1;
        }
    }

    pub(super) fn give_key(&mut self, node: u32, key: u32) {
        self.nodes[node as usize].key = key;
        self.rewrites += u64::from(self.index[key as usize] != NONE);
        self.index[key as usize] = node;
        self.carriers[key as usize] += 1;
    }

    pub(super) fn add_keys(&mut self, count: u32) {
        let keys = self.index.len() + count as usize;
        self.index.resize(keys, NONE);
        self.carriers.resize(keys, 0);
    }

    /// One block fewer carries this key of this range.
    pub(super) fn forget_key(&mut self, key: u32, range: u32) {
        self.carriers[key as usize] -= 1;
        if range != NONE {
            self.ranges[range as usize].nodes -= 1;
            self.reuse_if_unused(range);
        }
    }

    pub(super) fn reuse_if_unused(&mut self, range: u32) {
        let PrivateRange { nodes, is_retired, .. } = self.ranges[range as usize];
        if is_retired && nodes == 0 {
            self.spare_ranges.push(range);
        }
    }

    pub(super) fn new_range(&mut self, count: u32) -> u32 {
        // A few looks, not a search: a range that does not fit now will fit another request.
        let recent = self.spare_ranges.len().saturating_sub(8);
        let fits = |range: &u32| self.ranges[*range as usize].count >= count;
        if let Some(at) = self.spare_ranges[recent..].iter().position(fits) {
            let range = self.spare_ranges.swap_remove(recent + at);
            let PrivateRange { first_key, count: room, .. } = self.ranges[range as usize];
            self.index[first_key as usize..(first_key + room) as usize].fill(NONE);
            self.ranges[range as usize].is_retired = false;
            return range;
        }
        let first_key = self.index.len() as u32;
        self.add_keys(count);
        self.ranges.push(PrivateRange { first_key, count, nodes: 0, is_retired: false });
        self.ranges.len() as u32 - 1
    }
}
