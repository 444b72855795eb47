//! `plimsoll calibrate`: coefficients that repeat what was logged.

use crate::log_arguments::{CalibrateArguments, ObjectiveName, ServerArguments};
use crate::measured;
use crate::optimizer_file::{self, OptimizerFile};
use crate::output::{Failure, file_failure, tell_line};
use indicatif::{ProgressBar, ProgressStyle};
use plimsoll_core::calibrate::{
    Calibration, Deployment, Fit, FitSettings, FittedModel, Identifiability, Objective, RunErrors, calibrated_on, prior,
};
use plimsoll_core::diagnostic::{Diagnostic, Severity};
use plimsoll_core::measurement::{MeasuredDeployment, Measurement};
use plimsoll_core::search::Candidate;
use plimsoll_core::study::{Ask, Study};
use plimsoll_formats::{FitFile, TrainedOn, fit_to_yaml};
use std::fs;
use std::thread;

/// Reads the logs, searches, writes the fit.
pub fn calibrate(arguments: &CalibrateArguments) -> Result<(), Failure> {
    let config = match &arguments.config {
        Some(path) => Some(optimizer_file::read(path).map_err(|problems| told(&problems))?),
        None => None,
    };
    let mut runs = measured::read_all(&arguments.logs).map_err(|problems| told(&problems))?;
    runs.iter_mut().for_each(|run| apply(&arguments.server, &mut run.deployment));
    let runs = usable(runs)?;
    let settings = settings(arguments, config.as_ref());
    let catalog = plimsoll_configs::catalog();
    let blocks = config.as_ref().and_then(|config| config.kv_blocks);
    let with_deployments: Vec<(Measurement, Deployment)> = runs
        .into_iter()
        .map(|run| {
            let mut deployment = Deployment::guess(catalog, &run.deployment);
            if let (Some(blocks), None) = (blocks, run.deployment.num_gpu_blocks) {
                deployment.engine.num_blocks = blocks;
            }
            (run, deployment)
        })
        .collect();
    let Some((first, deployment)) = with_deployments.first() else { return Err(Failure::Invalid) };
    let mut stated = first.deployment.clone();
    with_deployments.iter().for_each(|(run, _)| stated.fill_from(&run.deployment));
    let guesses = deployment.guesses.clone();
    for guess in &guesses {
        tell_line(format_args!("guessed: {guess}"));
    }
    let mut space = prior(settings.model, deployment, catalog);
    if let Some(config) = &config {
        config.apply(&mut space);
    }
    let found = Identifiability::of(&space, with_deployments.iter().map(|(run, _)| run));
    found.iter().for_each(tell_identifiability);
    let study = Calibration::new(with_deployments.clone(), space, settings);
    study.problem().check().map_err(|problems| told(&problems))?;
    let Some(fit) = search(study) else {
        tell_line("error: no coefficients serve every request of the logs");
        return Err(Failure::Invalid);
    };
    let trained_on: Vec<TrainedOn> = with_deployments
        .iter()
        .filter_map(|(run, deployment)| {
            let errors = fit.errors(run, deployment)?;
            tell_line(summary(&run.name, &errors));
            let named = errors.named().into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
            Some(TrainedOn { file: run.name.clone(), num_requests: run.requests.len(), errors: named.collect() })
        })
        .collect();
    let used: Vec<&Measurement> = with_deployments.iter().map(|(run, _)| run).collect();
    let on = calibrated_on(&used, &stated, deployment);
    let file = FitFile::new(&fit, stated, on, guesses, trained_on);
    let path = arguments.out.display().to_string();
    fs::write(&arguments.out, fit_to_yaml(&file)).map_err(|error| file_failure(&path, &error.to_string()))
}

/// What the logs tell of the coefficients of steps, and what they cannot tell apart.
fn tell_identifiability(found: &Identifiability) {
    for (at, name) in Identifiability::NAMES.into_iter().enumerate() {
        let (estimate, deviation) = (found.estimates[at], found.deviations[at]);
        let told = found.told[at] * 100.0;
        tell_line(format_args!(
            "linear estimate of {name}: {estimate:.4} ± {deviation:.4} µs, {told:.0} % told by the logs"
        ));
    }
    for (one, other, correlation) in &found.alike {
        let (one, other) = (Identifiability::NAMES[*one], Identifiability::NAMES[*other]);
        tell_line(format_args!("the logs hardly tell {one} from {other} (correlation {correlation:+.2})"));
    }
}

/// Tells problems and gives the failure.
pub fn told(problems: &[Diagnostic]) -> Failure {
    problems.iter().for_each(tell_line);
    Failure::Invalid
}

/// Fills in what the command line says of the server; it wins over the log.
pub fn apply(server: &ServerArguments, deployment: &mut MeasuredDeployment) {
    let given = MeasuredDeployment {
        model: server.model.clone(),
        accelerator: server.hardware.clone(),
        tensor_parallel_size: server.tp,
        max_num_seqs: server.max_num_seqs,
        max_num_batched_tokens: server.max_num_batched_tokens,
        num_gpu_blocks: server.total_kv_blocks,
        ..MeasuredDeployment::default()
    };
    let logged = std::mem::replace(deployment, given);
    deployment.fill_from(&logged);
}

/// Runs with single requests of one deployment, or what is wrong.
pub fn usable(runs: Vec<Measurement>) -> Result<Vec<Measurement>, Failure> {
    let mut problems = Vec::new();
    let (with, without): (Vec<_>, Vec<_>) = runs.into_iter().partition(|run| run.has_requests());
    for run in &without {
        problems.push(
            Diagnostic::warning("log-not-used", run.name.clone(), "the log has no single requests")
                .with_hint("it is left out"),
        );
    }
    for run in with.iter().filter(|run| run.format.is_simulated()) {
        problems.push(
            Diagnostic::error("log-simulated", run.name.clone(), "these are simulated times")
                .with_hint("calibrate against measurements of a real server"),
        );
    }
    if with.is_empty() {
        problems.push(
            Diagnostic::error("log-no-requests", "--log", "no log has single requests")
                .with_hint("record with --save-detailed, or see docs/log-formats.md"),
        );
    }
    let mut models: Vec<&str> = with.iter().filter_map(|run| run.deployment.model.as_deref()).collect();
    models.sort_unstable();
    models.dedup();
    if models.len() > 1 {
        let message = format!("the logs are of several models: {}", models.join(", "));
        problems.push(
            Diagnostic::error("log-mixed", "--log", message)
                .with_hint("calibrate each deployment alone, or give --model"),
        );
    }
    problems.iter().for_each(tell_line);
    if problems.iter().any(|problem| problem.severity == Severity::Error) {
        return Err(Failure::Invalid);
    }
    Ok(with)
}

fn settings(arguments: &CalibrateArguments, config: Option<&OptimizerFile>) -> FitSettings {
    let mut settings = FitSettings::default();
    if let Some(config) = config {
        settings.objective = config.objective.unwrap_or(settings.objective);
        settings.seed = config.seed.unwrap_or(settings.seed);
        settings.model = config.model();
    }
    settings.model = arguments.latency_model.map_or(settings.model, FittedModel::from);
    settings.objective = match arguments.objective {
        Some(ObjectiveName::LogRatio) => Objective::LogRatio,
        Some(ObjectiveName::Mape) => Objective::Mape,
        Some(ObjectiveName::Mse) => Objective::Mse,
        None => settings.objective,
    };
    settings.budget = arguments.budget.unwrap_or(settings.budget);
    settings.seed = arguments.seed.unwrap_or(settings.seed);
    settings
}

/// Runs a study to its end; the trials that can be handed out together run on all cores.
fn search(mut study: Calibration) -> Option<Fit> {
    let problem = study.problem();
    let threads = thread::available_parallelism().map_or(1, |count| count.get());
    let bar = ProgressBar::new(study.progress().1);
    if let Ok(style) = ProgressStyle::with_template("fitting {bar:40} {pos}/{len} {msg}") {
        bar.set_style(style);
    }
    loop {
        let mut trials: Vec<Candidate> = Vec::new();
        while let Ask::Trial(candidate) = study.ask() {
            trials.push(candidate);
        }
        if trials.is_empty() {
            break;
        }
        let share = trials.len().div_ceil(threads);
        let losses: Vec<f64> = thread::scope(|scope| {
            let parts = trials.chunks(share).map(|part| {
                let problem = &problem;
                scope.spawn(move || part.iter().map(|trial| problem.loss(&trial.point)).collect::<Vec<f64>>())
            });
            let parts: Vec<_> = parts.collect();
            // A panic in a trial is a bug and ends the program with its message.
            parts.into_iter().flat_map(|part| part.join().unwrap_or_default()).collect()
        });
        for (trial, loss) in trials.iter().zip(losses) {
            study.tell(trial, loss);
        }
        bar.set_position(study.progress().0);
        if let Some(best) = study.history().last() {
            bar.set_message(format!("loss {:.3}", best.loss));
        }
    }
    bar.finish_and_clear();
    study.snapshot()
}

/// One line about a run.
pub fn summary(name: &str, errors: &RunErrors) -> String {
    let shown = |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{value:+.1} %"));
    let [ttft, tpot, e2e] = errors.bias.map(shown);
    format!("{name}: mean TTFT {ttft}, TPOT {tpot}, E2E {e2e}")
}
