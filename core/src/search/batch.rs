//! Points that are asked together.

use super::Candidate;
use crate::study::Ask;
use alloc::vec::Vec;

/// Points in the order of asking, with their values once told; a batch is complete when all of it are told.
#[derive(Debug, Clone, Default)]
pub(super) struct Batch {
    told: Vec<(Vec<f64>, f64)>,
    open: Vec<(Vec<f64>, Option<f64>)>,
    asked: usize,
    /// Points that were given, beside those of the first sampling.
    num_given: usize,
}

impl Batch {
    /// A batch of points that are given, ahead of the first sampling.
    pub fn of(points: Vec<Vec<f64>>) -> Self {
        let num_given = points.len();
        Self { open: points.into_iter().map(|point| (point, None)).collect(), num_given, ..Self::default() }
    }

    /// Whether a first sampling of so many points is still to come.
    pub fn is_before_sampling(&self, startup: usize) -> bool {
        self.told.len() < startup + self.num_given
    }

    /// All points of complete batches.
    pub fn told(&self) -> &[(Vec<f64>, f64)] {
        &self.told
    }

    /// Their positions, best value first; among equals the older.
    pub fn order(&self) -> Vec<usize> {
        let value = |at: &usize| self.told.get(*at).map_or(f64::INFINITY, |(_, value)| *value);
        let mut order: Vec<usize> = (0..self.told.len()).collect();
        order.sort_by(|a, b| value(a).total_cmp(&value(b)).then(a.cmp(b)));
        order
    }

    /// Whether a batch is under way.
    pub fn is_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// Adds a point to the batch.
    pub fn push(&mut self, point: Vec<f64>) {
        self.open.push((point, None));
    }

    /// The next point of the batch.
    pub fn ask(&mut self) -> Ask<Candidate> {
        let Some((point, _)) = self.open.get(self.asked) else { return Ask::Wait };
        let id = (self.told.len() + self.asked) as u64;
        self.asked += 1;
        Ask::Trial(Candidate { id, point: point.clone() })
    }

    /// The value of a point of the batch.
    pub fn tell(&mut self, id: u64, value: f64) {
        let at = usize::try_from(id).ok().and_then(|id| id.checked_sub(self.told.len()));
        let Some((_, slot)) = at.filter(|at| *at < self.asked).and_then(|at| self.open.get_mut(at)) else { return };
        slot.get_or_insert(value);
        if self.open.iter().all(|(_, value)| value.is_some()) {
            self.told.extend(self.open.drain(..).filter_map(|(point, value)| Some((point, value?))));
            self.asked = 0;
        }
    }
}
