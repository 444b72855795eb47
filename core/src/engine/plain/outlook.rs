//! What others may look at.

use super::Plain;
use crate::engine::Load;
use crate::workload::{PrefixTree, Request};
use alloc::vec::Vec;

impl Plain {
    /// [`crate::engine::Engine::ignore_gaps`]: the oracle keeps them all the same.
    pub(in crate::engine) fn ignore_gaps(&mut self) {}

    /// [`crate::engine::Engine::quiet_until`].
    pub(in crate::engine) fn quiet_until(&self, _prefixes: &PrefixTree) -> i64 {
        self.next_event()
    }

    /// [`crate::engine::Engine::load`].
    pub(in crate::engine) fn load(&self) -> Load {
        Load {
            waiting: self.num_waiting() as u32,
            running: self.running.len() as u32,
            used_blocks: self.store.used() as u32,
        }
    }

    /// [`crate::engine::Engine::cached_blocks`].
    pub(in crate::engine) fn cached_blocks(&mut self, request: &Request, prefixes: &PrefixTree) -> u32 {
        self.store.lookup(request, prefixes).len() as u32
    }

    /// [`crate::engine::Engine::copy_cached_prefixes`].
    pub(in crate::engine) fn copy_cached_prefixes(&self, copy: &mut Vec<u32>) {
        self.store.copy_index(copy);
    }

    /// [`crate::engine::Engine::cached_blocks_in`].
    pub(in crate::engine) fn cached_blocks_in(&mut self, copy: &[u32], request: &Request, tree: &PrefixTree) -> u32 {
        self.store.count_leading(request, tree, |key| copy.binary_search(&key).is_ok())
    }
}
