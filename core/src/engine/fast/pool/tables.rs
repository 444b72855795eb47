//! What the tables of the pool say, for tests.

use super::{Holding, NONE, Pool};

impl Holding {
    /// Blocks held.
    pub(in crate::engine::fast) fn blocks(&self) -> u32 {
        self.blocks
    }
}

impl Pool {
    /// Blocks that somebody holds and blocks on the free list, counted in the tables.
    pub(in crate::engine::fast) fn count<'a>(&self, holdings: impl Iterator<Item = &'a Holding>) -> [u32; 2] {
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
}
