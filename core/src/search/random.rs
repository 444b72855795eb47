//! Uniform sampling: what every other minimizer must beat.

use super::Candidate;
use crate::random::{Purpose, Seed, Stream};
use crate::study::Ask;

/// Uniform points of the unit cube, for ever.
#[derive(Debug, Clone)]
pub struct RandomSearch {
    stream: Stream,
    dimension: usize,
    asked: u64,
}

impl RandomSearch {
    /// A search in this many dimensions.
    #[must_use]
    pub fn new(dimension: usize, seed: u64) -> Self {
        Self { stream: Stream::new(Seed { seed, replicate: 0 }, Purpose::Search), dimension, asked: 0 }
    }

    /// The next point; there is always one.
    pub fn ask(&mut self) -> Ask<Candidate> {
        let id = self.asked;
        self.asked += 1;
        Ask::Trial(Candidate { id, point: (0..self.dimension).map(|_| self.stream.open_unit()).collect() })
    }

    /// Values change nothing here.
    pub fn tell(&mut self, _id: u64, _value: f64) {}
}
