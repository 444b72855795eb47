//! Whole prefixes claimed and returned at once, however long they are.
//!
//! While somebody holds all blocks of a shared prefix, the next one to find them there takes part in that reference
//! instead of one per block. The blocks return to the free queue when the last one lets go, as they would one by one.
//! A block that was the oldest of its key when it was claimed stays the oldest while it is held, so a chain that somebody
//! holds is what a lookup would find.

use super::{Holding, NONE, Pool};
use crate::workload::PrefixId;
use alloc::vec::Vec;

/// All full blocks of a shared prefix, held by one reference for everybody who holds all of them.
#[derive(Debug, Clone)]
pub(super) struct Chain {
    prefix: PrefixId,
    /// Its blocks in order; none while it is not in use.
    pub(super) nodes: Vec<u32>,
    /// Requests that hold it.
    pub(super) holders: u32,
}

impl Pool {
    /// The chain of a prefix, if it has `shared` blocks.
    #[inline]
    pub(super) fn whole_chain(&self, prefix: PrefixId, shared: u32) -> Option<u32> {
        let at = self.chain_of.get(prefix.0 as usize).copied().unwrap_or(NONE);
        let chain = self.chains.get(at as usize)?;
        (chain.nodes.len() as u32 == shared).then_some(at)
    }

    /// Claims what the last lookup found, whose leading `shared` blocks are all of the request's shared prefix; these
    /// become a chain for those who come later.
    pub(in crate::engine::vllm::fast) fn claim_found(&mut self, prefix: PrefixId, shared: u32, holding: &mut Holding) {
        let mut at = 0;
        if self.found_chain.is_none() && shared > 0 && self.found.len() as u32 >= shared {
            at = shared as usize;
            self.found_chain = Some(self.new_chain(prefix, shared));
        }
        if let Some(chain) = self.found_chain {
            self.chains[chain as usize].holders += 1;
            holding.chain = Some(chain);
            holding.blocks += shared;
            self.claimed += u64::from(shared);
        }
        self.claimed += (self.found.len() - at) as u64;
        holding.blocks += (self.found.len() - at) as u32;
        for at in at..self.found.len() {
            let node = self.found[at];
            self.claim(node);
            holding.nodes.push(node);
        }
    }

    /// A chain of the first `shared` blocks found, which it claims.
    fn new_chain(&mut self, prefix: PrefixId, shared: u32) -> u32 {
        let at = self.spare_chains.pop().unwrap_or_else(|| {
            self.chains.push(Chain { prefix, nodes: Vec::new(), holders: 0 });
            self.chains.len() as u32 - 1
        });
        for at in 0..shared as usize {
            self.claim(self.found[at]);
        }
        let chain = &mut self.chains[at as usize];
        chain.prefix = prefix;
        chain.nodes.extend_from_slice(&self.found[..shared as usize]);
        self.chain_of[prefix.0 as usize] = at;
        self.changes += 1;
        at
    }

    /// How many of a request's blocks are in a chain.
    #[inline]
    pub(super) fn chained(&self, holding: &Holding) -> u32 {
        holding.chain.map_or(0, |chain| self.chains[chain as usize].nodes.len() as u32)
    }

    /// A request lets go of its chain; the last one returns the blocks, last block first.
    #[inline]
    pub(super) fn release_chain(&mut self, holding: &mut Holding) {
        let Some(at) = holding.chain.take() else { return };
        let chain = &mut self.chains[at as usize];
        chain.holders -= 1;
        if chain.holders > 0 {
            return;
        }
        self.changes += 1;
        let latest = &mut self.chain_of[chain.prefix.0 as usize];
        if *latest == at {
            *latest = NONE;
        }
        while let Some(node) = self.chains[at as usize].nodes.pop() {
            self.drop_reference(node);
        }
        self.spare_chains.push(at);
    }
}
