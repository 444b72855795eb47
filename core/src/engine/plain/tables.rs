//! What the block tables say, for tests.

use super::Plain;
use super::live::Live;
use crate::engine::BlockTables;
use crate::workload::PrefixTree;

impl Plain {
    /// [`crate::engine::Engine::block_tables`].
    pub(in crate::engine) fn block_tables(&mut self, prefixes: &PrefixTree) -> BlockTables {
        let mut tables = BlockTables::default();
        let is_present = |live: &&Live| live.is_enqueued && !live.is_settled;
        for live in self.live.iter().filter(is_present) {
            tables.held.push((live.request.id, live.holding.len()));
            if !live.is_running {
                tables.found.push((live.request.id, self.store.lookup(&live.request, prefixes).len() as u32));
            }
        }
        [tables.used, tables.free] = self.store.count(self.live.iter().map(|live| &live.holding));
        tables
    }
}
