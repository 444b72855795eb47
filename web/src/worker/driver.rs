//! A study on the page side, its trials done by the pool.
//!
//! The study decides what to run; the driver keeps the workers supplied and hands the samples back.

use super::pool::{Factory, Pool, Slot};
use plimsoll_core::curve::{CurveTrial, PointSample};
use plimsoll_core::study::{Ask, Study};
use plimsoll_protocol::{Failure, JobId, Outcome, Response, Spec};
use std::collections::BTreeMap;

/// What a message changed.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Nothing to show.
    Nothing,
    /// The study has more samples than before.
    Advanced,
    /// The study is complete.
    Complete,
    /// The study cannot go on.
    Failed(Failure),
}

/// Trials of one job and how many of their samples have come.
struct Batch {
    trials: Vec<CurveTrial>,
    num_told: usize,
}

/// One study being run.
pub struct Driver<S> {
    scenario: String,
    study: S,
    max_batch: usize,
    batches: BTreeMap<JobId, Batch>,
    is_done: bool,
}

impl<S: Study<Trial = CurveTrial, Outcome = PointSample>> Driver<S> {
    /// Ends what the pool does for the curve and begins this study; trials go out in batches of up to `max_batch`.
    ///
    /// # Errors
    /// `unavailable` when no worker can be had.
    pub fn begin<F: Factory>(
        pool: &mut Pool<F>,
        scenario: String,
        study: S,
        max_batch: usize,
    ) -> Result<Self, Failure> {
        pool.cancel_slot(Slot::Curve);
        let max_batch = max_batch.max(1);
        let mut driver = Self { scenario, study, max_batch, batches: BTreeMap::new(), is_done: false };
        driver.supply(pool)?;
        Ok(driver)
    }

    /// Takes in a message of the curve's slot.
    pub fn hear<F: Factory>(&mut self, pool: &mut Pool<F>, response: Response) -> Event {
        let is_over = response.is_final();
        let Some(job) = response.job() else { return Event::Nothing };
        let Some(batch) = self.batches.get_mut(&job) else { return Event::Nothing };
        let (first, samples) = match response {
            Response::Partial { first, samples, .. } => (usize::try_from(first).unwrap_or(usize::MAX), samples),
            Response::Finished { outcome: Outcome::Samples { samples }, .. } => (batch.num_told, samples),
            Response::Failed { failure, .. } => return Event::Failed(failure),
            Response::Finished { .. } => {
                return Event::Failed(Failure::new("undecodable", "the simulator answered another question"));
            }
            Response::Ready { .. }
            | Response::Refused { .. }
            | Response::Progress { .. }
            | Response::Update { .. }
            | Response::Cancelled { .. } => {
                return Event::Nothing;
            }
        };
        let has_news = !samples.is_empty();
        for (trial, sample) in batch.trials.iter().skip(first).zip(samples) {
            self.study.tell(trial, sample);
            batch.num_told += 1;
        }
        if is_over {
            if batch.num_told < batch.trials.len() {
                return Event::Failed(Failure::new("undecodable", "the simulator left out a part of the answer"));
            }
            self.batches.remove(&job);
        }
        if let Err(failure) = self.supply(pool) {
            return Event::Failed(failure);
        }
        match (self.is_done && self.batches.is_empty(), has_news) {
            (true, _) => Event::Complete,
            (false, true) => Event::Advanced,
            (false, false) => Event::Nothing,
        }
    }

    /// Trials told and trials expected in all.
    #[must_use]
    pub fn progress(&self) -> (u64, u64) {
        self.study.progress()
    }

    /// The result so far.
    #[must_use]
    pub fn snapshot(&self) -> S::Snapshot {
        self.study.snapshot()
    }

    /// The study, to be gone on with at another size.
    #[must_use]
    pub fn into_study(self) -> S {
        self.study
    }

    /// Hands out trials while workers have room.
    ///
    /// # Errors
    /// `unavailable` when no worker can be had.
    pub fn supply<F: Factory>(&mut self, pool: &mut Pool<F>) -> Result<(), Failure> {
        while !self.is_done && pool.has_room() {
            let mut trials = Vec::new();
            while trials.len() < self.max_batch {
                match self.study.ask() {
                    Ask::Trial(trial) => trials.push(trial),
                    Ask::Wait => break,
                    Ask::Done => {
                        self.is_done = true;
                        break;
                    }
                }
            }
            if trials.is_empty() {
                break;
            }
            let spec = Spec::Trials { scenario: self.scenario.clone(), trials: trials.clone() };
            let job = pool.start(Slot::Curve, spec)?;
            self.batches.insert(job, Batch { trials, num_told: 0 });
        }
        if let Some(failure) = pool.trouble() {
            return Err(failure);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
