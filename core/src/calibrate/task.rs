//! All that decides a fit, as data: what is sent to those who evaluate, and kept to go on later.

use super::linear::start_from_logs;
use super::{Calibration, Deployment, FitSettings, MAX_REQUESTS, Problem, Space};
use crate::catalog::Catalog;
use crate::measurement::{Measurement, RunFigures};
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Measured runs, the space of coefficients and how it is searched.
///
/// The same task gives the same losses wherever it is evaluated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FitTask {
    /// The runs, each with what is known of its server.
    pub runs: Vec<Measurement>,
    /// What is searched.
    pub space: Space,
    /// How.
    pub settings: FitSettings,
}

impl FitTask {
    /// A task on these runs, without what no trial looks at: gaps, and requests beyond those that are replayed. The
    /// search starts from what a least-squares fit makes of the whole logs.
    #[must_use]
    pub fn new(mut runs: Vec<Measurement>, mut space: Space, settings: FitSettings) -> Self {
        start_from_logs(&mut space, runs.iter().map(|run| (run, settings.fitted(run))));
        for run in &mut runs {
            let figures = RunFigures::of_measurement(run);
            if run.requests.len() > MAX_REQUESTS {
                run.requests.truncate(MAX_REQUESTS);
                run.duration = None;
            }
            run.gaps = Vec::new();
            run.requests.iter_mut().for_each(|request| request.gaps = 0..0);
            run.totals.itl_mean_ms = run.totals.itl_mean_ms.or(figures.itl_mean);
        }
        Self { runs, space, settings }
    }

    /// What trials need.
    #[must_use]
    pub fn problem(&self, catalog: &Catalog) -> Problem {
        let with_deployment = |run: &Measurement| (run.clone(), Deployment::guess(catalog, &run.deployment));
        let runs = self.runs.iter().map(with_deployment).collect();
        Problem::new(runs, self.space.clone(), &self.settings)
    }

    /// The study for whoever asks and tells without evaluating; it goes on from `best` where there is one, else it
    /// begins where the space says.
    ///
    /// Losses come from [`FitTask::problem`], which needs the catalogue; the study's own problem has no runs.
    #[must_use]
    pub fn study(&self, best: Option<Vec<f64>>) -> Calibration {
        let starts = best.map_or_else(|| self.space.starts(), |best| alloc::vec![best]);
        let problem = Problem::new(Vec::new(), self.space.clone(), &self.settings);
        let has_runs = self.runs.iter().any(|run| self.settings.fitted(run).contains(&true));
        Calibration::of_problem(problem, has_runs, starts, self.settings.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calibrate::tests::catalog;
    use crate::calibrate::{FittedModel, Optimizer, prior};
    use crate::measurement::{LogFormat, MeasuredRequest};
    use crate::study::{Ask, Study};
    use crate::time::SimTime;

    fn run() -> Measurement {
        let mut run = Measurement::new("f", LogFormat::VllmBench);
        run.requests = (0..20i64)
            .map(|index| MeasuredRequest {
                arrive: SimTime(index * 100_000),
                send: SimTime(index * 100_000),
                input_tokens: 100,
                output_tokens: 10,
                ttft: Some(SimTime(20_000)),
                e2e: Some(SimTime(20_000 + 9 * 8_000)),
                session: None,
                gaps: 0..9,
            })
            .collect();
        run.gaps = alloc::vec![8_000; 180];
        run
    }

    fn losses(
        problem: &Problem,
        study: &mut Calibration,
        order: impl Fn(&mut Vec<crate::search::Candidate>),
    ) -> Vec<(u64, u64)> {
        loop {
            let mut batch = Vec::new();
            while let Ask::Trial(trial) = study.ask() {
                batch.push(trial);
            }
            if batch.is_empty() {
                break;
            }
            order(&mut batch);
            for trial in &batch {
                study.tell(trial, problem.loss(&trial.point));
            }
        }
        let fit = study.snapshot().unwrap();
        alloc::vec![(fit.loss.to_bits(), fit.evaluations), (fit.beta[0].to_bits(), 0)]
    }

    #[test]
    fn a_task_keeps_what_trials_need_and_gives_the_same_fit_in_any_order() {
        let catalog = catalog();
        let settings = FitSettings { budget: 600, ..FitSettings::default() };
        let deployment = Deployment::guess(&catalog, &run().deployment);
        let task = FitTask::new(alloc::vec![run()], prior(FittedModel::Calibrated, &deployment, &catalog), settings);
        assert!(task.runs[0].gaps.is_empty());
        let problem = task.problem(&catalog);
        let mut study = task.study(None);
        let forward = losses(&problem, &mut study, |_| {});
        assert_eq!(forward, losses(&problem, &mut task.study(None), |batch| batch.reverse()));
        // Going on from the best point cannot end worse.
        let best = study.best_point().unwrap().to_vec();
        let again = losses(&problem, &mut task.study(Some(best)), |_| {});
        assert!(f64::from_bits(again[0].0) <= f64::from_bits(forward[0].0), "{again:?} {forward:?}");
    }

    #[test]
    fn every_optimizer_keeps_to_its_budget_and_beats_where_it_began_in_any_order() {
        let catalog = catalog();
        let deployment = Deployment::guess(&catalog, &run().deployment);
        for optimizer in Optimizer::ALL {
            let settings = FitSettings { optimizer, budget: 90, ..FitSettings::default() };
            let space = prior(FittedModel::Calibrated, &deployment, &catalog);
            let task = FitTask::new(alloc::vec![run()], space, settings);
            let problem = task.problem(&catalog);
            let middle = alloc::vec![0.5; task.space.parameters.len()];
            let begun = problem.loss(&middle);
            let study = || task.study(Some(middle.clone()));
            let reversed = losses(&problem, &mut study(), |batch| batch.reverse());
            let mut study = study();
            let forward = losses(&problem, &mut study, |_| {});
            assert_eq!((study.progress(), study.ask()), ((90, 90), Ask::Done), "{optimizer:?}");
            assert!(f64::from_bits(forward[0].0) < begun, "{optimizer:?}: {forward:?} after {begun}");
            assert_eq!(forward, reversed, "{optimizer:?}");
            // How prompts join is a kind, whatever the search asks for.
            let joining = study.snapshot().unwrap().beta[6];
            assert!([0.0, 1.0, 2.0].contains(&joining), "{optimizer:?}: {joining}");
        }
    }
}
