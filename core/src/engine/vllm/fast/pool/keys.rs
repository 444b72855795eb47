//! Identities of blocks: keys of shared prefixes, and of requests that were preempted.

use super::{Holding, Identity, NONE, Pool};
use crate::workload::{PrefixId, PrefixTree};

/// The blocks that carry a key, in the order they got it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Carriers {
    pub(super) oldest: u32,
    pub(super) newest: u32,
}

impl Carriers {
    const NOBODY: Self = Self { oldest: NONE, newest: NONE };
}

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
    pub(in crate::engine::vllm::fast) fn prompt_blocks(&self, identity: Identity, tree: &PrefixTree) -> u32 {
        if !self.is_caching || identity.prefix == PrefixId::NONE {
            return 0;
        }
        tree.tokens(identity.prefix).min(identity.prompt_tokens) / self.block_size
    }

    /// Full blocks of a prompt and its output that lie inside what others share.
    #[inline]
    pub(super) fn tree_blocks(&self, identity: Identity, tree: &PrefixTree) -> u32 {
        self.shared_tokens(identity, tree) / self.block_size
    }

    /// Leading tokens of a prompt and its output that lie inside what others share.
    #[inline]
    pub(in crate::engine::vllm::fast) fn shared_tokens(&self, identity: Identity, tree: &PrefixTree) -> u32 {
        if !self.is_caching || identity.prefix == PrefixId::NONE {
            return 0;
        }
        if identity.output_prefix != PrefixId::NONE {
            return tree.tokens(identity.output_prefix);
        }
        tree.tokens(identity.prefix).min(identity.prompt_tokens)
    }

    /// Full blocks of a request that can be identified.
    #[inline]
    pub(super) fn identified_blocks(&self, identity: Identity, holding: &Holding, tree: &PrefixTree) -> u32 {
        let own = holding.range.map_or(0, |range| self.ranges[range as usize].count);
        self.tree_blocks(identity, tree) + own
    }

    /// The keys of a request's first `count` blocks, which are identified, into `keys`.
    pub(super) fn collect_keys(&mut self, identity: Identity, holding: &Holding, tree: &PrefixTree, count: u32) {
        self.keys.clear();
        let shared = self.tree_blocks(identity, tree).min(count);
        if shared > 0 {
            self.enter_prefixes(tree);
            // From the deepest segment to the root, each fills the places of the blocks that end in it.
            self.keys.resize(shared as usize, NONE);
            let mut node = identity.deepest();
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
        if let Some(range) = holding.range
            && count > shared
        {
            let first_key = self.ranges[range as usize].first_key;
            self.keys.extend(first_key..first_key + (count - shared));
        }
    }

    /// Gives keys to prefixes that have come up since the last time.
    pub(super) fn enter_prefixes(&mut self, tree: &PrefixTree) {
        while self.prefix_keys.len() < tree.len() {
            let node = PrefixId(self.prefix_keys.len() as u32);
            let start = tree.tokens(tree.parent(node)) / self.block_size;
            let count = tree.tokens(node) / self.block_size - start;
            let first_key = self.add_keys(count);
            self.prefix_keys.push(first_key);
            self.chain_of.push(NONE);
        }
    }

    /// A block that is full gets its key, behind those that carry it already.
    pub(super) fn give_key(&mut self, node: u32, key: u32, range: u32) {
        self.changes += 1;
        let carriers = &mut self.index[key as usize];
        let newest = core::mem::replace(&mut carriers.newest, node);
        if newest == NONE {
            carriers.oldest = node;
        } else {
            self.nodes[newest as usize].newer = node;
        }
        let entry = &mut self.nodes[node as usize];
        (entry.key, entry.range, entry.older, entry.newer) = (key, range, newest, NONE);
        if range != NONE {
            self.ranges[range as usize].nodes += 1;
        }
    }

    /// A block loses its key; others that carry it keep it.
    pub(super) fn forget_key(&mut self, node: u32) {
        self.changes += 1;
        let super::Node { older, newer, key, range, .. } = self.nodes[node as usize];
        let carriers = &mut self.index[key as usize];
        if older == NONE {
            carriers.oldest = newer;
        } else {
            self.nodes[older as usize].newer = newer;
        }
        if newer == NONE {
            carriers.newest = older;
        } else {
            self.nodes[newer as usize].older = older;
        }
        self.nodes[node as usize].key = NONE;
        if range != NONE {
            self.ranges[range as usize].nodes -= 1;
            self.reuse_if_unused(range);
        }
    }

    /// Makes room for so many keys; the first of them.
    pub(in crate::engine::vllm::fast) fn add_keys(&mut self, count: u32) -> u32 {
        let first_key = self.index.len() as u32;
        self.index.resize(self.index.len() + count as usize, Carriers::NOBODY);
        first_key
    }

    /// The block that has had a key for longest; [`NONE`] if no block has it.
    pub(in crate::engine::vllm::fast) fn oldest(&self, key: u32) -> u32 {
        self.index[key as usize].oldest
    }

    /// The key of an identified block.
    pub(in crate::engine::vllm::fast) fn key(&self, node: u32) -> u32 {
        self.nodes[node as usize].key
    }

    /// Whether nobody holds an identified block.
    pub(in crate::engine::vllm::fast) fn is_free(&self, node: u32) -> bool {
        self.nodes[node as usize].refs == 0
    }

    /// Whether blocks get keys.
    pub(in crate::engine::vllm::fast) fn is_caching(&self) -> bool {
        self.is_caching
    }

    /// A held block gets a key and with it an identity.
    pub(in crate::engine::vllm::fast) fn identify(&mut self, key: u32, range: u32) -> u32 {
        let node = self.new_node(1);
        self.nodes[node as usize].refs = 1;
        self.give_key(node, key, range);
        node
    }

    /// The first key of a range, and how many it has.
    pub(in crate::engine::vllm::fast) fn range(&self, range: u32) -> (u32, u32) {
        let PrivateRange { first_key, count, .. } = self.ranges[range as usize];
        (first_key, count)
    }

    /// The request of a range is gone.
    pub(in crate::engine::vllm::fast) fn retire(&mut self, range: u32) {
        self.ranges[range as usize].is_retired = true;
        self.reuse_if_unused(range);
    }

    pub(super) fn reuse_if_unused(&mut self, range: u32) {
        let PrivateRange { nodes, is_retired, .. } = self.ranges[range as usize];
        if is_retired && nodes == 0 {
            self.spare_ranges.push(range);
        }
    }

    pub(in crate::engine::vllm::fast) fn new_range(&mut self, count: u32) -> u32 {
        // A few looks, not a search: a range that does not fit now will fit another request.
        let recent = self.spare_ranges.len().saturating_sub(8);
        let fits = |range: &u32| self.ranges[*range as usize].count >= count;
        if let Some(at) = self.spare_ranges[recent..].iter().position(fits) {
            let range = self.spare_ranges.swap_remove(recent + at);
            self.ranges[range as usize].is_retired = false;
            return range;
        }
        let first_key = self.add_keys(count);
        self.ranges.push(PrivateRange { first_key, count, nodes: 0, is_retired: false });
        self.ranges.len() as u32 - 1
    }

    /// Copies which keys are known, for [`Pool::count_leading`].
    pub(in crate::engine::vllm::fast) fn copy_index(&self, copy: &mut alloc::vec::Vec<u32>) {
        copy.clear();
        copy.extend(self.index.iter().map(|carriers| carriers.oldest));
    }

    /// How many leading blocks of a new prompt a copy of the index knows, the block of its last token left out.
    pub(in crate::engine::vllm::fast) fn count_leading(
        &mut self,
        identity: Identity,
        tree: &PrefixTree,
        copy: &[u32],
    ) -> u32 {
        let most = identity.prompt_tokens.saturating_sub(1) / self.block_size;
        let most = most.min(self.prompt_blocks(identity, tree));
        self.collect_keys(identity, &Holding::default(), tree, most);
        let is_known = |key: &&u32| copy.get(**key as usize).is_some_and(|node| *node != NONE);
        self.keys.iter().take_while(is_known).count() as u32
    }
}
