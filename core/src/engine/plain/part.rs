//! A part of a run alone.

use super::Plain;
use crate::engine::marks::Marks;
use crate::observation::ReplicaTotals;
use crate::time::SimTime;
use alloc::vec::Vec;

/// What is kept so that only a part of a run can be told.
#[derive(Debug)]
pub(super) struct Part {
    marks: Marks,
    /// Arrival and gaps of each completed request.
    pub(super) requests: Vec<(i64, Vec<i64>)>,
}

impl Plain {
    /// [`crate::engine::Engine::measure`].
    pub(in crate::engine) fn measure(&mut self, num_starts: usize) {
        self.part = Some(Part { marks: Marks::new(num_starts), requests: Vec::new() });
    }

    /// [`crate::engine::Engine::measure_from`].
    pub(in crate::engine) fn measure_from(&mut self, start: SimTime) {
        if let Some(part) = &mut self.part {
            part.marks.start = start.0;
        }
    }

    /// A request is enqueued.
    #[cold]
    pub(super) fn mark(&mut self, now: i64) {
        // It keeps no list of those that follow.
        if let Some(part) = self.part.as_mut().filter(|part| part.marks.wants(true)) {
            let [.., tier_misses] = self.store.tier_counts();
            let cache = [self.store.hits, self.store.misses, tier_misses];
            part.marks.set(now, &self.totals, cache, &self.work);
        }
    }

    /// Leaves only the part that is to be told.
    #[cold]
    pub(super) fn restrict(&mut self, totals: &mut ReplicaTotals) {
        if let Some(Part { marks, requests }) = &self.part {
            let measured = requests.iter().filter(|(arrive, _)| *arrive >= marks.start);
            measured.flat_map(|(_, gaps)| gaps).for_each(|gap| *self.gaps.entry(*gap).or_default() += 1);
            marks.restrict(totals, &mut self.work);
        }
    }
}
