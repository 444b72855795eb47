//! What the tables of the pool say, for tests.

use super::{Holding, NONE, Pool};

impl Pool {
    /// Blocks that somebody holds and blocks in the free queue, counted in the tables.
    pub(in crate::engine::vllm::fast) fn count<'a>(&self, holdings: impl Iterator<Item = &'a Holding>) -> [u32; 2] {
        let mut is_held = alloc::vec![false; self.nodes.len()];
        let mut anonymous = 0;
        for holding in holdings {
            let chain = holding.chain.map_or(&[][..], |chain| &self.chains[chain as usize].nodes);
            for node in chain.iter().chain(&holding.nodes) {
                is_held[*node as usize] = true;
            }
            anonymous += holding.blocks - (chain.len() + holding.nodes.len()) as u32;
        }
        let (mut free, mut at) = (0, self.head);
        while at != NONE {
            let node = &self.nodes[at as usize];
            free += node.count;
            at = node.next;
        }
        [anonymous + is_held.iter().filter(|is_held| **is_held).count() as u32, free]
    }

    /// What must always hold, recomputed from the tables.
    pub(in crate::engine::vllm::fast) fn audit<'a>(
        &self,
        holdings: impl Iterator<Item = &'a Holding>,
    ) -> Result<(), &'static str> {
        let mut refs = alloc::vec![0u32; self.nodes.len()];
        let mut holders = alloc::vec![0u32; self.chains.len()];
        let mut anonymous = 0;
        for holding in holdings {
            for node in &holding.nodes {
                refs[*node as usize] += 1;
            }
            if let Some(chain) = holding.chain {
                holders[chain as usize] += 1;
            }
            anonymous += holding.blocks - self.chained(holding) - holding.nodes.len() as u32;
        }
        for (chain, holders) in self.chains.iter().zip(holders) {
            if chain.holders != holders || (holders == 0 && !chain.nodes.is_empty()) {
                return Err("a chain has other holders than counted");
            }
            for node in &chain.nodes {
                refs[*node as usize] += 1;
            }
        }
        let mut free = 0;
        let mut is_listed = alloc::vec![false; self.nodes.len()];
        let (mut at, mut previous) = (self.head, NONE);
        while at != NONE {
            let node = &self.nodes[at as usize];
            if node.previous != previous || core::mem::replace(&mut is_listed[at as usize], true) {
                return Err("the free queue is not a list");
            }
            free += node.count;
            (previous, at) = (at, node.next);
        }
        if free != self.free {
            return Err("the free queue has another length than counted");
        }
        let mut is_spare = alloc::vec![false; self.nodes.len()];
        self.spare_nodes.iter().for_each(|node| is_spare[*node as usize] = true);
        let mut held = 0;
        let mut carrying = 0;
        for (at, node) in self.nodes.iter().enumerate().filter(|(at, _)| !is_spare[*at]) {
            if node.refs != refs[at] {
                return Err("references differ from the block tables");
            }
            if is_listed[at] != (node.refs == 0) {
                return Err("the free queue is not the set of unreferenced blocks");
            }
            held += u32::from(node.refs > 0);
            carrying += usize::from(node.key != NONE);
        }
        if held + anonymous + free != self.usable {
            return Err("used and free blocks do not sum to all");
        }
        let mut listed = 0;
        for (key, carriers) in self.index.iter().enumerate() {
            let (mut at, mut older) = (carriers.oldest, NONE);
            while at != NONE {
                let node = &self.nodes[at as usize];
                if node.key as usize != key || node.older != older || is_spare[at as usize] {
                    return Err("an index entry points elsewhere");
                }
                listed += 1;
                (older, at) = (at, node.newer);
            }
            if carriers.newest != older {
                return Err("the newest block of a key is another one");
            }
        }
        if listed == carrying { Ok(()) } else { Err("blocks carry a key that does not know them") }
    }
}
