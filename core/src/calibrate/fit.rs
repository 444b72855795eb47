//! The search for coefficients, asked and told.

use super::linear::start_from_logs;
use super::moments::Moments;
use super::objective::{Compared, found_idle};
use super::part::part_of;
use super::{
    ClientEffects, Deployment, FittedModel, Objective, Optimizer, Overload, Prediction, Replay, RunErrors, Space,
    Weights,
};
use crate::diagnostic::Diagnostic;
use crate::latency::LatencyModel;
use crate::measurement::{Measurement, RunFigures};
use crate::scenario::Batching;
use crate::search::{Candidate, Minimizer};
use crate::study::{Ask, Study};
use alloc::sync::Arc;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Requests of a run that a trial replays: enough for stable means, few enough that a trial takes milliseconds.
pub(super) const MAX_REQUESTS: usize = 600;

/// How a calibration searches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FitSettings {
    /// What is fitted.
    pub model: FittedModel,
    /// What is minimized.
    pub objective: Objective,
    /// How much each metric counts in it.
    #[serde(default)]
    pub weights: Weights,
    /// What searches.
    #[serde(default)]
    pub optimizer: Optimizer,
    /// Evaluations, at least 1 and at most [`FitSettings::MAX_BUDGET`].
    pub budget: u64,
    /// Seed of the search.
    pub seed: u64,
    /// Whether requests count that were sent while the server was overloaded.
    #[serde(default)]
    pub overload: Overload,
    /// Share of every run's time, its end, whose requests are kept aside to judge the fit; 0 = none, at most
    /// [`FitSettings::MAX_VALIDATE_LAST`].
    #[serde(default)]
    pub validate_last: f64,
}

impl FitSettings {
    /// Most evaluations of a search.
    pub const MAX_BUDGET: u64 = 10_000_000;
    /// Largest share of a run's time that is kept aside.
    pub const MAX_VALIDATE_LAST: f64 = 0.9;
}

impl Default for FitSettings {
    fn default() -> Self {
        Self {
            model: FittedModel::Calibrated,
            objective: Objective::LogRatio,
            weights: Weights::default(),
            optimizer: Optimizer::MultiStart,
            budget: Optimizer::MultiStart.usual_budget(),
            seed: 42,
            overload: Overload::Flag,
            validate_last: 0.0,
        }
    }
}

/// A run as trials see it.
#[derive(Debug)]
pub(super) struct Observed {
    /// The requests that count.
    run: Measurement,
    counted: Vec<bool>,
    figures: RunFigures,
    found_idle: Vec<bool>,
    pub(super) moments: Moments,
    replay: Replay,
    deployment: Deployment,
}

/// Everything a trial needs; shared, so that trials run anywhere.
#[derive(Debug)]
pub struct Problem {
    pub(super) runs: Vec<Observed>,
    pub(super) space: Space,
    objective: Objective,
    weights: Weights,
    model: FittedModel,
}

impl Problem {
    /// Runs with single requests, each with what is known of its server; runs without a request that counts are left
    /// out.
    #[must_use]
    pub fn new(runs: Vec<(Measurement, Deployment)>, space: Space, settings: &FitSettings) -> Self {
        let runs = runs
            .into_iter()
            .filter(|(run, _)| run.has_requests())
            .filter_map(|(run, deployment)| {
                let replay = Replay::new(&run, MAX_REQUESTS);
                // Trials see the beginning of a long run, so that is what they are compared with.
                let mut seen = run;
                if seen.requests.len() > MAX_REQUESTS {
                    seen.requests.truncate(MAX_REQUESTS);
                    seen.gaps.clear();
                    seen.duration = None;
                }
                let counted = settings.fitted(&seen);
                let found_idle = found_idle(&seen).into_iter().zip(&counted).filter(|(_, is_counted)| **is_counted);
                let found_idle = found_idle.map(|(is_idle, _)| is_idle).collect();
                let moments = Moments::new(&seen, &counted);
                let run = part_of(&seen, &counted);
                let figures = RunFigures::of_measurement(&run);
                run.has_requests().then_some(Observed {
                    run,
                    counted,
                    figures,
                    found_idle,
                    moments,
                    replay,
                    deployment,
                })
            })
            .collect();
        Self { runs, space, objective: settings.objective, weights: settings.weights, model: settings.model }
    }

    /// Whether every run can be predicted where the search starts.
    ///
    /// # Errors
    /// What the model lacks: an architecture, a data sheet, heads that can be split.
    pub fn check(&self) -> Result<(), Vec<Diagnostic>> {
        let values = self.space.starts().first().map(|start| self.space.values(start)).unwrap_or_default();
        let (alpha, beta) = self.model.coefficients(self.space.named(&values));
        match self.runs.iter().find_map(|run| self.model.latency(&alpha, &beta, &run.deployment).err()) {
            Some(problems) => Err(problems),
            None => Ok(()),
        }
    }

    /// The loss at a point of the unit cube, over all runs, plus how unlikely the coefficients are.
    #[must_use]
    pub fn loss(&self, point: &[f64]) -> f64 {
        let values = self.space.values(point);
        let (alpha, beta) = self.model.coefficients(self.space.named(&values));
        let client = client_effects(self.space.named(&values));
        let mut compared = Vec::with_capacity(self.runs.len());
        for Observed { run, counted, figures, found_idle, replay, deployment, .. } in &self.runs {
            let Ok(model) = self.model.latency(&alpha, &beta, deployment) else { return f64::INFINITY };
            let reported_decoding = match &model {
                LatencyModel::Quadratic(model) => model.reported_decoding() as f64,
                _ => 0.0,
            };
            let prediction = replay.run(deployment.engine, &model, client);
            // Also those that do not count were served.
            if prediction.latencies.iter().any(|latency| latency.e2e.is_none()) {
                return f64::INFINITY;
            }
            let prediction = prediction.part(counted);
            compared.push(Compared { run, measured: figures, found_idle, prediction, reported_decoding });
        }
        let loss = self.objective.loss(self.weights, &compared);
        if self.objective.is_likelihood() { loss + self.space.surprise(&values) } else { loss }
    }

    /// What becomes of every run at a point of the unit cube; none if a request is not served.
    pub(super) fn predictions(&self, point: &[f64]) -> Option<Vec<Prediction>> {
        let values = self.space.values(point);
        let (alpha, beta) = self.model.coefficients(self.space.named(&values));
        let client = client_effects(self.space.named(&values));
        let run = |observed: &Observed| {
            let model = self.model.latency(&alpha, &beta, &observed.deployment).ok()?;
            let prediction = observed.replay.run(observed.deployment.engine, &model, client);
            prediction.latencies.iter().all(|latency| latency.e2e.is_some()).then_some(prediction)
        };
        self.runs.iter().map(run).collect()
    }
}

/// The parameters called `idle` and `busy`, 0 if they are not searched.
fn client_effects<'a>(named: impl Iterator<Item = (&'a str, f64)>) -> ClientEffects {
    named.fold(ClientEffects::default(), |client, (name, value)| match name {
        "idle" => ClientEffects { idle_delay_us: value, ..client },
        "busy" => ClientEffects { busy_delay_us: value, ..client },
        _ => client,
    })
}

/// The best coefficients so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fit {
    /// What was fitted.
    pub model: FittedModel,
    /// α in the units of the model.
    pub alpha: Vec<f64>,
    /// β in the units of the model.
    pub beta: Vec<f64>,
    /// What the client sees beside the steps.
    pub client: ClientEffects,
    /// Loss at these.
    pub loss: f64,
    /// Evaluations so far.
    pub evaluations: u64,
}

impl Fit {
    /// When steps were planned, where the model tells: β6 of the calibrated one.
    #[must_use]
    pub fn batching(&self) -> Option<Batching> {
        (self.model == FittedModel::Calibrated)
            .then(|| LatencyModel::calibrated(&self.alpha, &self.beta).ok())
            .flatten()
            .as_ref()
            .and_then(Batching::of_fit)
    }

    /// The model with these coefficients, for a server.
    ///
    /// # Errors
    /// A coefficient is missing, out of range or not finite, which a search never gives but a file may; or the model needs
    /// an architecture and a data sheet, and the server's are not known.
    pub fn latency(&self, deployment: &Deployment) -> Result<LatencyModel, Vec<Diagnostic>> {
        self.model.latency(&self.alpha, &self.beta, deployment)
    }

    /// Every coefficient by name.
    pub fn named(&self) -> impl Iterator<Item = (&'static str, f64)> {
        let names =
            self.model.alpha_names().iter().zip(&self.alpha).chain(self.model.beta_names().iter().zip(&self.beta));
        let client = [("idle", self.client.idle_delay_us), ("busy", self.client.busy_delay_us)];
        names.map(|(name, value)| (*name, *value)).chain(client)
    }

    /// What the fitted model predicts of a whole run.
    #[must_use]
    pub fn predict(&self, run: &Measurement, deployment: &Deployment) -> Option<Prediction> {
        let model = self.latency(deployment).ok()?;
        Some(Replay::new(run, usize::MAX).run(deployment.engine, &model, self.client))
    }

    /// How far it is from a run.
    #[must_use]
    pub fn errors(&self, run: &Measurement, deployment: &Deployment) -> Option<RunErrors> {
        Some(RunErrors::new(run, &self.predict(run, deployment)?))
    }

    /// How far it is from some requests of a run, e.g. those of [`FitSettings::held_out`]; none if there are none.
    #[must_use]
    pub fn errors_of(&self, run: &Measurement, counted: &[bool], deployment: &Deployment) -> Option<RunErrors> {
        let part = part_of(run, counted);
        part.has_requests().then_some(())?;
        Some(RunErrors::new(&part, &self.predict(run, deployment)?.part(counted)))
    }
}

/// One entry of the history: after how many evaluations which loss was the best.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    /// Evaluations told.
    pub evaluations: u64,
    /// Best loss.
    pub loss: f64,
}

/// The study: a minimizer and the best it found.
#[derive(Debug)]
pub struct Calibration {
    problem: Arc<Problem>,
    has_runs: bool,
    settings: FitSettings,
    search: Minimizer,
    asked: u64,
    told: u64,
    best: Option<(Vec<f64>, f64)>,
    history: Vec<Progress>,
}

impl Calibration {
    /// A calibration on runs with single requests; each with what is known of its server.
    ///
    /// Runs without requests are left out; none at all gives a study that is done at once without a result.
    #[must_use]
    pub fn new(runs: Vec<(Measurement, Deployment)>, mut space: Space, settings: FitSettings) -> Self {
        start_from_logs(&mut space, runs.iter().map(|(run, _)| (run, settings.fitted(run))));
        let starts = space.starts();
        let problem = Problem::new(runs, space, &settings);
        let has_runs = !problem.runs.is_empty();
        Self::of_problem(problem, has_runs, starts, settings)
    }

    /// A calibration that begins at these points of the unit cube; `has_runs` tells whether there is anything to fit,
    /// also where the problem stands with those who evaluate.
    pub(super) fn of_problem(problem: Problem, has_runs: bool, starts: Vec<Vec<f64>>, settings: FitSettings) -> Self {
        let search = settings.optimizer.search(&problem.space, starts, &settings);
        let problem = Arc::new(problem);
        Self { problem, has_runs, settings, search, asked: 0, told: 0, best: None, history: Vec::new() }
    }

    /// What trials need; share it with whoever evaluates.
    #[must_use]
    pub fn problem(&self) -> Arc<Problem> {
        Arc::clone(&self.problem)
    }

    /// The best point so far, in the unit cube.
    #[must_use]
    pub fn best_point(&self) -> Option<&[f64]> {
        self.best.as_ref().map(|(point, _)| point.as_slice())
    }

    /// Best losses over time.
    #[must_use]
    pub fn history(&self) -> &[Progress] {
        &self.history
    }

    fn fit(&self) -> Option<Fit> {
        let (point, loss) = self.best.as_ref()?;
        let values = self.problem.space.values(point);
        let model = self.settings.model;
        let (alpha, beta) = model.coefficients(self.problem.space.named(&values));
        let client = client_effects(self.problem.space.named(&values));
        Some(Fit { model, alpha, beta, client, loss: *loss, evaluations: self.told })
    }
}

impl Study for Calibration {
    type Trial = Candidate;
    type Outcome = f64;
    type Snapshot = Option<Fit>;

    fn ask(&mut self) -> Ask<Candidate> {
        if !self.has_runs {
            return Ask::Done;
        }
        if self.asked >= self.settings.budget {
            return if self.told < self.asked { Ask::Wait } else { Ask::Done };
        }
        let next = self.search.ask();
        self.asked += u64::from(matches!(next, Ask::Trial(_)));
        next
    }

    fn tell(&mut self, trial: &Candidate, loss: f64) {
        self.told += 1;
        if self.best.as_ref().is_none_or(|(_, best)| loss < *best) {
            self.best = Some((trial.point.clone(), loss));
            self.history.push(Progress { evaluations: self.told, loss });
        }
        self.search.tell(trial.id, loss);
    }

    fn progress(&self) -> (u64, u64) {
        (self.told, self.settings.budget)
    }

    fn snapshot(&self) -> Option<Fit> {
        self.fit()
    }
}
