//! Uniform sampling: what every other minimizer must beat.

use super::Candidate;
use crate::random::{Purpose, Seed, Stream};
use crate::study::Ask;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// Uniform points of the unit cube, for ever.
#[derive(Debug, Clone)]
pub struct RandomSearch {
    stream: Stream,
    dimension: usize,
    asked: u64,
    first: VecDeque<Vec<f64>>,
}

impl RandomSearch {
    /// A search in this many dimensions.
    #[must_use]
    pub fn new(dimension: usize, seed: u64) -> Self {
        let stream = Stream::new(Seed { seed, replicate: 0 }, Purpose::Search);
        Self { stream, dimension, asked: 0, first: VecDeque::new() }
    }

    /// The same search, which looks at these points first.
    #[must_use]
    pub fn beginning_at(mut self, points: Vec<Vec<f64>>) -> Self {
        self.first = points.into();
        self
    }

    /// The next point; there is always one.
    pub fn ask(&mut self) -> Ask<Candidate> {
        let id = self.asked;
        self.asked += 1;
        let given = self.first.pop_front();
        let point = given.unwrap_or_else(|| (0..self.dimension).map(|_| self.stream.open_unit()).collect());
        Ask::Trial(Candidate { id, point })
    }

    /// Values change nothing here.
    pub fn tell(&mut self, _id: u64, _value: f64) {}
}
