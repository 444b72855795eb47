//! What others may look at.

use super::Plain;
use super::live::Live;
use crate::engine::marks::Marks;
use crate::engine::{BlockTables, Load};
use crate::time::SimTime;
use crate::workload::{PrefixTree, Request};
use alloc::vec::Vec;

impl Plain {
    /// [`crate::engine::Engine::ignore_gaps`]: the oracle keeps them all the same.
    pub(in crate::engine) fn ignore_gaps(&mut self) {}

    /// [`crate::engine::Engine::measure`].
    pub(in crate::engine) fn measure(&mut self, num_starts: usize) {
        self.marks = Some(Marks::new(num_starts));
    }

    /// [`crate::engine::Engine::measure_from`].
    pub(in crate::engine) fn measure_from(&mut self, start: SimTime) {
        if let Some(marks) = &mut self.marks {
            marks.start = start.0;
        }
    }

    /// A request is enqueued.
    #[cold]
    pub(super) fn mark(&mut self, now: i64) {
        // It keeps no list of those that follow.
        if let Some(marks) = self.marks.as_mut().filter(|marks| marks.wants(true)) {
            marks.set(now, &self.totals, [self.store.claimed, self.store.taken, 0], &self.work);
        }
    }

    /// [`crate::engine::Engine::quiet_until`].
    pub(in crate::engine) fn quiet_until(&self, _prefixes: &PrefixTree) -> i64 {
        self.next_event()
    }

    /// [`crate::engine::Engine::load`].
    pub(in crate::engine) fn load(&self) -> Load {
        Load { waiting: self.waiting.len() as u32, running: self.running.len() as u32, used_blocks: self.store.used() }
    }

    /// [`crate::engine::Engine::cached_blocks`].
    pub(in crate::engine) fn cached_blocks(&mut self, request: &Request, prefixes: &PrefixTree) -> u32 {
        self.store.count_cached(request, prefixes)
    }

    /// [`crate::engine::Engine::copy_cached_prefixes`].
    pub(in crate::engine) fn copy_cached_prefixes(&self, copy: &mut Vec<u32>) {
        self.store.copy_index(copy);
    }

    /// [`crate::engine::Engine::cached_blocks_in`].
    pub(in crate::engine) fn cached_blocks_in(&mut self, copy: &[u32], request: &Request, tree: &PrefixTree) -> u32 {
        self.store.count_in(copy, request, tree)
    }

    pub(in crate::engine) fn clock(&self) -> SimTime {
        SimTime(self.clock)
    }

    /// [`crate::engine::Engine::audit`].
    pub(in crate::engine) fn audit(&self) -> Result<(), &'static str> {
        self.store.audit(self.live.iter().map(|live| &live.holding))
    }

    /// [`crate::engine::Engine::block_tables`].
    pub(in crate::engine) fn block_tables(&mut self, prefixes: &PrefixTree) -> BlockTables {
        let mut tables = BlockTables::default();
        let is_present = |live: &&mut Live| live.is_enqueued && !live.is_settled;
        for live in self.live.iter_mut().filter(is_present) {
            tables.held.push((live.request.id, live.holding.len()));
            if !live.is_running && !live.was_preempted {
                let known = live.known();
                let found = self.store.lookup(&mut live.holding, &live.request, prefixes, known);
                tables.found.push((live.request.id, found.tokens / self.config.block_size));
            }
        }
        [tables.used, tables.free] = self.store.count(self.live.iter().map(|live| &live.holding));
        tables
    }
}
