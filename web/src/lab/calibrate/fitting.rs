//! A fit on the page's side: the study asks, workers evaluate, and what comes back is told.
//!
//! It knows no worker: whoever drives it takes batches away and brings their losses back, in any order.

use plimsoll_core::calibrate::{Calibration, Fit};
use plimsoll_core::search::Candidate;
use plimsoll_core::study::{Ask, Study};
use std::collections::BTreeMap;

/// Most points in a message: an evaluation takes about a millisecond, and a Stop is honoured between two.
const MAX_BATCH: usize = 48;
/// Messages on the way to each worker, so that none waits for the next.
const BATCHES_PER_WORKER: usize = 2;

/// A trial: where, and its loss; none for an infinite one.
pub type Trial = (Vec<f64>, Option<f64>);

/// One fit under way.
#[derive(Debug)]
pub struct Fitting {
    study: Calibration,
    /// The best fit of the study that this one goes on with.
    before: Option<Fit>,
    /// Candidates that were asked for and not handed out yet.
    ready: Vec<Candidate>,
    out: BTreeMap<u64, Vec<Candidate>>,
    next_batch: u64,
    num_workers: usize,
    trials: Vec<Trial>,
    /// After how many evaluations which loss was the best.
    best: Vec<(u64, f64)>,
    is_done: bool,
}

impl Fitting {
    /// A study for so many workers; `earlier` are the best fit and the trials of a study that it goes on with.
    #[must_use]
    pub fn new(study: Calibration, num_workers: usize, earlier: (Option<Fit>, Vec<Trial>)) -> Self {
        let (before, earlier) = earlier;
        let mut fitting = Self {
            study,
            before,
            ready: Vec::new(),
            out: BTreeMap::new(),
            next_batch: 0,
            num_workers: num_workers.max(1),
            trials: Vec::new(),
            best: Vec::new(),
            is_done: false,
        };
        earlier.into_iter().for_each(|trial| fitting.note(trial));
        fitting
    }

    fn note(&mut self, trial: Trial) {
        let count = self.trials.len() as u64 + 1;
        if let Some(loss) = trial.1
            && self.best.last().is_none_or(|(_, best)| loss < *best)
        {
            self.best.push((count, loss));
        }
        self.trials.push(trial);
    }

    /// The next points to evaluate with the number of their batch; none while all are out, or at the end.
    pub fn next_batch(&mut self) -> Option<(u64, Vec<Vec<f64>>)> {
        while !self.is_done {
            match self.study.ask() {
                Ask::Trial(candidate) => self.ready.push(candidate),
                Ask::Wait => break,
                Ask::Done => self.is_done = true,
            }
        }
        if self.ready.is_empty() {
            return None;
        }
        // What can be handed out now is shared evenly.
        let share = self.ready.len().div_ceil(self.num_workers * BATCHES_PER_WORKER).clamp(1, MAX_BATCH);
        let batch: Vec<Candidate> = self.ready.drain(..share.min(self.ready.len())).collect();
        let points = batch.iter().map(|candidate| candidate.point.clone()).collect();
        let number = self.next_batch;
        self.next_batch += 1;
        self.out.insert(number, batch);
        Some((number, points))
    }

    /// The points of a batch that is out.
    #[must_use]
    pub fn points(&self, batch: u64) -> Vec<Vec<f64>> {
        self.out.get(&batch).map_or_else(Vec::new, |batch| batch.iter().map(|found| found.point.clone()).collect())
    }

    /// The losses of a batch in the order of its points; unknown batches are ignored.
    pub fn tell(&mut self, batch: u64, losses: &[Option<f64>]) {
        let Some(candidates) = self.out.remove(&batch) else { return };
        for (candidate, loss) in candidates.iter().zip(losses) {
            self.study.tell(candidate, loss.unwrap_or(f64::INFINITY));
            self.note((candidate.point.clone(), *loss));
        }
    }

    /// Whether every trial has been told.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.is_done && self.out.is_empty() && self.ready.is_empty()
    }

    /// Evaluations told and expected in all, those of earlier studies included.
    #[must_use]
    pub fn progress(&self) -> (u64, u64) {
        let (told, total) = self.study.progress();
        let all = self.trials.len() as u64;
        (all, total + all.saturating_sub(told))
    }

    /// The best coefficients so far; none before the first that serve every request.
    #[must_use]
    pub fn fit(&self) -> Option<Fit> {
        let found = self.study.snapshot().filter(|fit| fit.loss.is_finite());
        let best = match (found, &self.before) {
            (Some(found), Some(before)) if before.loss <= found.loss => before.clone(),
            (Some(found), _) => found,
            (None, before) => before.clone()?,
        };
        Some(Fit { evaluations: self.trials.len() as u64, ..best })
    }

    /// Every trial in the order of telling.
    #[must_use]
    pub fn trials(&self) -> &[Trial] {
        &self.trials
    }

    /// After how many evaluations which loss was the best.
    #[must_use]
    pub fn best(&self) -> &[(u64, f64)] {
        &self.best
    }
}

/// The point of the best trial.
#[must_use]
pub fn best_point(trials: &[Trial]) -> Option<Vec<f64>> {
    let with_loss = trials.iter().filter_map(|(point, loss)| Some((point, (*loss)?)));
    with_loss.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(point, _)| point.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use plimsoll_core::calibrate::{Deployment, FitSettings, FitTask, FittedModel, prior};
    use plimsoll_core::catalog::{Catalog, Provenance, QuadraticSpec, TrainedPhysicsSpec};
    use plimsoll_core::measurement::{LogFormat, MeasuredDeployment, MeasuredRequest, Measurement};
    use plimsoll_core::time::SimTime;

    fn catalog() -> Catalog {
        Catalog {
            models: Vec::new(),
            accelerators: Vec::new(),
            coefficients: Vec::new(),
            model_defaults: Vec::new(),
            presets: Vec::new(),
            step_times: None,
            trained_physics: TrainedPhysicsSpec { alpha: [0.0; 3], beta: [0.0; 10], provenance: Provenance::default() },
            quadratic: QuadraticSpec::default(),
        }
    }

    fn task(budget: u64) -> FitTask {
        let mut run = Measurement::new("a", LogFormat::VllmBench);
        run.requests = vec![MeasuredRequest {
            arrive: SimTime(0),
            send: SimTime(0),
            input_tokens: 10,
            output_tokens: 3,
            ttft: Some(SimTime(20_000)),
            e2e: Some(SimTime(40_000)),
            session: None,
            gaps: 0..0,
        }];
        let deployment = Deployment::guess(&catalog(), &MeasuredDeployment::default());
        let space = prior(FittedModel::Calibrated, &deployment, &catalog());
        FitTask::new(vec![run], space, FitSettings { budget, ..FitSettings::default() })
    }

    /// Runs a fit; batches that are out come back in reverse.
    fn run(num_workers: usize, budget: u64, earlier: (Option<Fit>, Vec<Trial>)) -> Fitting {
        let task = task(budget);
        let best = best_point(&earlier.1);
        let mut fitting = Fitting::new(task.study(best), num_workers, earlier);
        let problem = task.problem(&catalog());
        while !fitting.is_complete() {
            let mut out = Vec::new();
            while let Some((batch, points)) = fitting.next_batch() {
                assert!(points.len() <= MAX_BATCH && points == fitting.points(batch));
                out.push((batch, points));
            }
            assert_eq!(out.is_empty(), fitting.is_complete(), "a fit that is not complete hands something out");
            for (batch, points) in out.into_iter().rev() {
                let losses: Vec<Option<f64>> =
                    points.iter().map(|point| Some(problem.loss(point)).filter(|loss| loss.is_finite())).collect();
                fitting.tell(batch, &losses);
                fitting.tell(batch, &losses);
            }
        }
        fitting
    }

    #[test]
    fn one_worker_and_four_give_the_same_fit_and_every_trial_once() {
        let (one, four) = (run(1, 500, (None, Vec::new())), run(4, 500, (None, Vec::new())));
        assert_eq!(one.fit(), four.fit());
        assert_eq!((one.trials().len(), one.progress()), (500, (500, 500)));
        let losses: Vec<f64> = one.best().iter().map(|(_, loss)| *loss).collect();
        assert!(losses.windows(2).all(|pair| pair[1] < pair[0]), "{losses:?}");
        assert_eq!(one.fit().map(|fit| fit.loss), losses.last().copied());
    }

    #[test]
    fn a_fit_that_goes_on_counts_on_and_never_gets_worse() {
        let first = run(2, 300, (None, Vec::new()));
        let more = run(2, 200, (first.fit(), first.trials().to_vec()));
        assert_eq!(more.fit().map(|fit| fit.loss), more.best().last().map(|(_, loss)| *loss));
        assert_eq!((more.trials().len(), more.progress()), (500, (500, 500)));
        let last = |fitting: &Fitting| fitting.best().last().map(|(_, loss)| *loss);
        assert!(last(&more) <= last(&first));
    }
}
