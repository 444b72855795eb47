//! The jobs of the calibration tab: what is answered at once from the logs, and evaluations, which take time.

use super::fit_file;
use super::logs::Logs;
use plimsoll_core::calibrate::{FitTask, Problem};
use plimsoll_protocol::lab::{CalibrateOutcome, CalibrateSpec, EvaluateSpec};
use plimsoll_protocol::{Failure, decode};
use std::sync::Arc;

/// What a worker keeps for the calibration tab between jobs.
#[derive(Debug, Default)]
pub struct Bench {
    logs: Logs,
    /// The problem whose points were evaluated last.
    problem: Option<(u64, Arc<Problem>)>,
}

/// A job that may take several slices.
#[derive(Debug)]
pub enum CalibrateJob {
    /// It is answered already.
    Answered(Option<CalibrateOutcome>),
    /// Points are being evaluated.
    Evaluation(Evaluation),
}

/// Points being evaluated, one at a time.
#[derive(Debug)]
pub struct Evaluation {
    problem: Arc<Problem>,
    points: Vec<Vec<f64>>,
    losses: Vec<Option<f64>>,
}

impl Bench {
    /// A job at its start; `file` came along with it.
    ///
    /// # Errors
    /// `unknown-log` when a log has to be read again, `undecodable`, or `invalid-input` with every problem of a file.
    pub fn start(&mut self, spec: CalibrateSpec, file: Option<&[u8]>) -> Result<CalibrateJob, Failure> {
        let bytes = file.unwrap_or_default();
        let logs = &mut self.logs;
        let outcome = match spec {
            CalibrateSpec::Piece(piece) => CalibrateOutcome::Piece(logs.take(&piece, bytes)?),
            CalibrateSpec::Forget(log) => {
                logs.forget(log);
                CalibrateOutcome::Done
            }
            CalibrateSpec::Experiment { id, log } => {
                CalibrateOutcome::Experiment(Box::new(logs.open_experiment(&id, log)?))
            }
            CalibrateSpec::Server(spec) => CalibrateOutcome::Server(logs.server(&spec)?),
            CalibrateSpec::Task(spec) => CalibrateOutcome::Text(logs.task(&spec, bytes)?),
            CalibrateSpec::OpenConfig { name, settings, runs } => {
                CalibrateOutcome::Config(Box::new(logs.open_config(&name, settings, &runs, bytes)?))
            }
            CalibrateSpec::Report(spec) => CalibrateOutcome::Report(Box::new(logs.report(&spec)?)),
            CalibrateSpec::FitFile { fit, intervals } => CalibrateOutcome::Text(logs.fit_file(&fit, intervals)?),
            CalibrateSpec::Apply { scenario, fit } => CalibrateOutcome::Text(logs.apply(&scenario, &fit)?),
            CalibrateSpec::OpenFit { name } => CalibrateOutcome::Fit(Box::new(fit_file::open(&name, bytes)?)),
            CalibrateSpec::ApplyFile { name, scenario } => {
                CalibrateOutcome::Text(fit_file::apply(&name, bytes, &scenario)?)
            }
            CalibrateSpec::StudyFile(spec) => CalibrateOutcome::Text(logs.study_file(&spec, bytes)?),
            CalibrateSpec::OpenStudy { name, logs: numbers } => {
                CalibrateOutcome::Study(Box::new(logs.open_study(&name, numbers, bytes)?))
            }
            CalibrateSpec::Evaluate(spec) => return self.evaluation(spec),
            CalibrateSpec::Intervals(spec) => {
                let problem = self.problem(spec.task, spec.text)?;
                let best = spec.points.first();
                CalibrateOutcome::Intervals(problem.zip(best).map(|(problem, best)| problem.intervals(best)))
            }
        };
        Ok(CalibrateJob::Answered(Some(outcome)))
    }

    /// The problem of a task; none if it is not the one at hand and its text did not come along.
    fn problem(&mut self, task: u64, text: Option<String>) -> Result<Option<Arc<Problem>>, Failure> {
        let kept = self.problem.as_ref().filter(|(kept, _)| *kept == task).map(|(_, problem)| Arc::clone(problem));
        if let (None, Some(text)) = (&kept, text) {
            let problem = Arc::new(decode::<FitTask>(&text)?.problem(plimsoll_configs::catalog()));
            self.problem = Some((task, Arc::clone(&problem)));
            return Ok(Some(problem));
        }
        Ok(kept)
    }

    fn evaluation(&mut self, spec: EvaluateSpec) -> Result<CalibrateJob, Failure> {
        let Some(problem) = self.problem(spec.task, spec.text)? else {
            return Ok(CalibrateJob::Answered(Some(CalibrateOutcome::Losses(None))));
        };
        Ok(CalibrateJob::Evaluation(Evaluation { problem, points: spec.points, losses: Vec::new() }))
    }
}

impl CalibrateJob {
    /// Evaluates one point more, which takes a millisecond or a few; the outcome once the job is over.
    pub fn advance(&mut self) -> Option<CalibrateOutcome> {
        match self {
            Self::Answered(outcome) => Some(outcome.take().unwrap_or(CalibrateOutcome::Done)),
            Self::Evaluation(Evaluation { problem, points, losses }) => {
                if let Some(point) = points.get(losses.len()) {
                    let loss = problem.loss(point);
                    losses.push(loss.is_finite().then_some(loss));
                }
                (losses.len() >= points.len()).then(|| CalibrateOutcome::Losses(Some(std::mem::take(losses))))
            }
        }
    }

    /// Points evaluated and points in all.
    #[must_use]
    pub fn progress(&self) -> (u64, Option<u64>) {
        match self {
            Self::Answered(_) => (0, None),
            Self::Evaluation(evaluation) => (evaluation.losses.len() as u64, Some(evaluation.points.len() as u64)),
        }
    }
}

#[cfg(test)]
mod tests;
