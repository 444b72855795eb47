//! `plimsoll calibrate`: coefficients that repeat what was logged.

use crate::evaluate::known_accelerators;
use crate::experiment::{tell_comparison, tell_limits, tell_records};
use crate::log_arguments::{CalibrateArguments, ExperimentName, ServerArguments};
use crate::measured;
use crate::output::{Failure, file_failure, tell_line};
use indicatif::{ProgressBar, ProgressStyle};
use plimsoll_core::calibrate::{
    Calibration, Deployment, Fit, FitSettings, FitTask, FittedModel, Interval, Objective, Optimizer, Overload, Problem,
    RunErrors, Space, calibrated_on, prior, significant,
};
use plimsoll_core::diagnostic::{Diagnostic, Severity};
use plimsoll_core::measurement::{ClientLoad, MeasuredDeployment, Measurement, overload_windows};
use plimsoll_core::search::Candidate;
use plimsoll_core::study::{Ask, Study};
use plimsoll_formats::{
    FitFile, FittedLatency, OptimizerFile, StudyFile, StudyTrial, TrainedOn, fit_from_yaml, fit_to_yaml,
    optimizer_from_yaml, study_from_json, study_to_json,
};
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

/// Significant digits of the ends of an interval; they are rarely known better.
const INTERVAL_DIGITS: i32 = 3;

/// What is fitted, and from where.
struct Plan {
    /// Whole runs to fit, and to keep aside.
    runs: [Vec<Measurement>; 2],
    task: FitTask,
    server: MeasuredDeployment,
    /// Trials of an earlier search, which goes on at the best of them.
    trials: Vec<StudyTrial>,
    start: Option<Vec<f64>>,
}

/// Reads what is to be fitted, searches, writes the fit.
pub fn calibrate(arguments: &CalibrateArguments) -> Result<(), Failure> {
    let experiment = match arguments.example {
        Some(ExperimentName::Experiment01) => plimsoll_configs::experiment("experiment-01"),
        None => None,
    };
    let config = match &arguments.config {
        Some(path) => Some(read_config(path)?),
        None => None,
    };
    let plan = match (experiment, &arguments.study) {
        (Some(experiment), _) => {
            tell_records(experiment);
            let mut settings = settings(arguments, None);
            settings.model = FittedModel::Quadratic;
            let run = experiment.measurement();
            let task = FitTask::new(vec![run.clone()], experiment.space(), settings);
            let server = MeasuredDeployment::default();
            Plan { runs: [vec![run], Vec::new()], task, server, trials: Vec::new(), start: None }
        }
        (None, Some(path)) => of_study(path, arguments)?,
        (None, None) => of_logs(arguments, config.as_ref())?,
    };
    let problem = plan.task.problem(plimsoll_configs::catalog());
    problem.check().map_err(|problems| told(&problems))?;
    let mut trials = plan.trials.clone();
    let mut study = plan.task.study(plan.start.clone());
    if let Some(point) = plan.start.clone() {
        // No candidate of the search, so it is only remembered: going on never ends worse.
        let loss = problem.loss(&point);
        study.tell(&Candidate { id: u64::MAX, point }, loss);
    }
    let Some((fit, best)) = search(study, &problem, &mut trials) else {
        tell_line("error: no coefficients serve every request of the logs");
        return Err(Failure::Invalid);
    };
    if let Some(experiment) = experiment {
        tell_comparison(experiment, &plan.task, &problem, &fit);
        tell_limits(experiment);
    }
    if let Some(batching) = fit.batching() {
        tell_line(format_args!("the logs show {} (β6)", batching.words()));
    }
    let intervals = problem.intervals(&best);
    tell_intervals(fit.model, &intervals);
    write(arguments, config.is_some(), plan, (&fit, intervals), trials)
}

/// Writes the fit, and the study where it is wanted; tells the errors on every run.
fn write(
    arguments: &CalibrateArguments,
    has_config: bool,
    plan: Plan,
    (fit, intervals): (&Fit, Vec<Interval>),
    trials: Vec<StudyTrial>,
) -> Result<(), Failure> {
    let catalog = plimsoll_configs::catalog();
    let settings = &plan.task.settings;
    let errors = |run: &Measurement, counted: Vec<bool>, prefix: &str| {
        let errors = fit.errors_of(run, &counted, &Deployment::guess(catalog, &run.deployment))?;
        tell_line(format_args!("{prefix}{}", summary(&run.name, &errors)));
        Some(trained_on(run, &counted, &errors))
    };
    let [train, held_out] = &plan.runs;
    let train_errors: Vec<TrainedOn> = train.iter().filter_map(|run| errors(run, settings.fitted(run), "")).collect();
    let ends = train.iter().filter_map(|run| errors(run, settings.held_out(run), "kept aside, its end: "));
    let mut test_errors: Vec<TrainedOn> = ends.collect();
    test_errors.extend(held_out.iter().filter_map(|run| errors(run, vec![true; run.requests.len()], "kept aside: ")));
    let Some(out) = &arguments.out else { return Ok(()) };
    let stated = together(train);
    let server = Deployment::guess(catalog, &stated);
    let on = calibrated_on(&train.iter().collect::<Vec<_>>(), &stated, &server);
    let file = FitFile::new(fit, stated, on, server.guesses, train_errors.clone());
    let file = FitFile { held_out: test_errors.clone(), intervals, ..file };
    put(out, &fit_to_yaml(&file))?;
    if arguments.save_study || (has_config && !arguments.no_save_study) {
        let latency = FittedLatency::of(fit);
        let study = StudyFile {
            best: Some(latency),
            train_errors,
            test_errors,
            trials,
            ..StudyFile::new(plan.task, held_out.clone(), plan.server)
        };
        let path = out.with_extension("study.json");
        put(&path, &study_to_json(&study))?;
        tell_line(format_args!("study: {}", path.display()));
    }
    Ok(())
}

fn put(path: &Path, text: &str) -> Result<(), Failure> {
    fs::write(path, text).map_err(|error| file_failure(&path.display().to_string(), &error.to_string()))
}

fn text_of(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|error| file_failure(&path.display().to_string(), &error.to_string()))
}

fn read_config(path: &Path) -> Result<OptimizerFile, Failure> {
    let text = text_of(path)?;
    let config = optimizer_from_yaml(&text, &path.display().to_string()).map_err(|problems| told(&problems))?;
    config.remarks.iter().for_each(tell_line);
    Ok(config)
}

/// A saved study, to be gone on with.
fn of_study(path: &Path, arguments: &CalibrateArguments) -> Result<Plan, Failure> {
    let study = study_from_json(&text_of(path)?, &path.display().to_string()).map_err(|problems| told(&problems))?;
    let start = study.best_point().map(<[f64]>::to_vec);
    let mut task = study.task;
    let budget = arguments.budget.or(arguments.optimizer.map(Optimizer::usual_budget));
    task.settings.optimizer = arguments.optimizer.unwrap_or(task.settings.optimizer);
    task.settings.budget = budget.unwrap_or(task.settings.budget);
    task.settings.seed = arguments.seed.unwrap_or(task.settings.seed);
    let mut runs = [task.runs.clone(), study.held_out];
    let every = runs.iter_mut().flatten().chain(&mut task.runs);
    every.for_each(|run| apply(&arguments.server, run));
    Ok(Plan { runs, task, server: study.server, trials: study.trials, start })
}

/// Logs, with what a configuration says of them.
fn of_logs(arguments: &CalibrateArguments, config: Option<&OptimizerFile>) -> Result<Plan, Failure> {
    let paths = match (arguments.logs.as_slice(), config.and_then(|config| config.vllm_dir.as_deref())) {
        ([], Some(folder)) => files_of(Path::new(folder))?,
        (logs, _) => logs.to_vec(),
    };
    let mut runs = measured::read_all(&paths).map_err(|problems| told(&problems))?;
    for run in &mut runs {
        apply(&arguments.server, run);
        let blocks = config.and_then(|config| config.kv_blocks);
        run.deployment.num_gpu_blocks = run.deployment.num_gpu_blocks.or(blocks);
    }
    let runs = usable(runs)?;
    known_accelerators(&runs)?;
    let [train, mut held_out] = match config {
        Some(config) => chosen(&runs, config)?,
        None => [runs, Vec::new()],
    };
    if !arguments.held_out.is_empty() {
        let mut aside = usable(measured::read_all(&arguments.held_out).map_err(|problems| told(&problems))?)?;
        aside.iter_mut().for_each(|run| apply(&arguments.server, run));
        known_accelerators(&aside)?;
        held_out.extend(aside);
    }
    let stated = together(&train);
    held_out.iter_mut().for_each(|run| run.deployment.fill_from(&stated));
    let mut settings = settings(arguments, config);
    let start = arguments.start.as_deref().map(|path| start_of(path, arguments, &mut settings)).transpose()?;
    let catalog = plimsoll_configs::catalog();
    let deployment = Deployment::guess(catalog, &train.first().map(|run| run.deployment.clone()).unwrap_or_default());
    for guess in &deployment.guesses {
        tell_line(format_args!("guessed: {guess}"));
    }
    let mut space: Space = prior(settings.model, &deployment, catalog);
    if let Some(config) = config {
        config.apply(settings.model, &mut space).map_err(|problem| told(&[problem]))?;
    }
    if let Some(fit) = &start {
        space = space.starting_at(fit.named());
    }
    tell_overloads(&train, settings.overload);
    let task = FitTask::new(train.clone(), space, settings);
    let mut server = MeasuredDeployment::default();
    apply_to(&arguments.server, &mut server);
    Ok(Plan { runs: [train, held_out], task, server, trials: Vec::new(), start: None })
}

/// The fit to begin at; it decides the model unless that is given.
fn start_of(path: &Path, arguments: &CalibrateArguments, settings: &mut FitSettings) -> Result<Fit, Failure> {
    let file = path.display().to_string();
    let fit = fit_from_yaml(&text_of(path)?, &file).map_err(|problems| told(&problems))?.fit();
    if arguments.latency_model.is_none() && arguments.config.is_none() {
        settings.model = fit.model;
    }
    if settings.model != fit.model {
        let message = format!("the fit is of {}, and {} is to be fitted", fit.model.name(), settings.model.name());
        let problem = Diagnostic::error("parameters-mixed", file, message);
        return Err(told(&[problem.with_hint("begin at a fit of the same model")]));
    }
    Ok(fit)
}

/// What a folder holds, by name.
fn files_of(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let unreadable = |error: std::io::Error| file_failure(&folder.display().to_string(), &error.to_string());
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Runs to fit and to keep aside, as a configuration wants them; what no log matches is told.
fn chosen(runs: &[Measurement], config: &OptimizerFile) -> Result<[Vec<Measurement>; 2], Failure> {
    let split = config.split(runs);
    split.unmatched.iter().for_each(tell_line);
    let pick = |chosen: &[usize]| chosen.iter().filter_map(|at| runs.get(*at).cloned()).collect();
    let [train, held_out]: [Vec<Measurement>; 2] = [pick(&split.train), pick(&split.held_out)];
    if train.is_empty() {
        let problem = Diagnostic::error("run-not-matched", "train_config", "no log is left to fit");
        return Err(told(&[problem.with_hint("give logs of the runs that are named there")]));
    }
    Ok([train, held_out])
}

/// A log and the errors of the fit on those of its requests that count.
fn trained_on(run: &Measurement, counted: &[bool], errors: &RunErrors) -> TrainedOn {
    let named = errors.named().into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    let num_requests = counted.iter().filter(|is_counted| **is_counted).count();
    TrainedOn { file: run.name.clone(), num_requests, errors: named.collect() }
}

/// What the logs tell of the coefficients, each in its own unit, and what they cannot tell apart.
fn tell_intervals(model: FittedModel, intervals: &[Interval]) {
    for interval in intervals.iter().filter(|interval| interval.ends[0] < interval.ends[1]) {
        let ([low, high], name) = (interval.ends, &interval.name);
        let entangled: Vec<&str> = interval.entangled_with.iter().map(String::as_str).collect();
        let note = match (interval.is_open, entangled.as_slice()) {
            (true, _) => ", mostly as expected beforehand: the logs do not determine it".to_owned(),
            (false, []) => String::new(),
            (false, others) => format!(", not told apart from {}", others.join(", ")),
        };
        let (factor, unit) = model.unit(name);
        let [low, high] = [low, high].map(|end| significant(end * factor, INTERVAL_DIGITS));
        let shown = format!("{low} to {high} {unit}");
        tell_line(format_args!("{name}: {} (95 %){note}", shown.trim_end()));
    }
}

/// Says in which stretches of the logs the server was overloaded.
fn tell_overloads(runs: &[Measurement], overload: Overload) {
    for run in runs {
        for window in overload_windows(run) {
            let hint = match overload {
                Overload::Flag => "they count; --overload exclude leaves them out",
                Overload::Exclude => "they are replayed and do not count",
            };
            tell_line(Diagnostic::warning("log-overload", run.name.clone(), window.words()).with_hint(hint));
        }
    }
}

/// Tells problems and gives the failure.
pub fn told(problems: &[Diagnostic]) -> Failure {
    problems.iter().for_each(tell_line);
    Failure::Invalid
}

/// What the runs of one server say of it.
fn together(runs: &[Measurement]) -> MeasuredDeployment {
    let mut stated = MeasuredDeployment::default();
    runs.iter().for_each(|run| stated.fill_from(&run.deployment));
    stated
}

/// Fills in what the command line says of a run's server and client; it wins over the log. A cap that was found is told.
pub fn apply(server: &ServerArguments, run: &mut Measurement) {
    run.load.max_concurrency = server.client_cap.or(run.load.max_concurrency);
    let client = ClientLoad::of(run);
    if client.is_found {
        let message =
            format!("{} requests were in flight at most, while others waited to be sent", client.most_in_flight);
        let hint = "it is replayed as a client's cap; --client-cap states another";
        tell_line(Diagnostic::note("client-cap-found", run.name.clone(), message).with_hint(hint));
    }
    apply_to(server, &mut run.deployment);
}

/// Fills in what the command line says of a server; it wins over what was logged.
fn apply_to(server: &ServerArguments, deployment: &mut MeasuredDeployment) {
    let given = MeasuredDeployment {
        model: server.model.clone(),
        accelerator: server.hardware.clone(),
        tensor_parallel_size: server.tp,
        engine_version: server.vllm_version.clone(),
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
        config.put_into(&mut settings);
    }
    settings.model = arguments.latency_model.unwrap_or(settings.model);
    settings.objective = arguments.objective.unwrap_or(settings.objective);
    settings.weights = arguments.weights.unwrap_or(settings.weights);
    if arguments.weights.is_some() && settings.objective != Objective::LogRatio {
        let message = format!("{} has the weights of its source", settings.objective.name());
        tell_line(
            Diagnostic::warning("flag-not-used", "--weights", message)
                .with_hint("leave it out, or leave --objective out"),
        );
    }
    settings.optimizer = arguments.optimizer.unwrap_or(settings.optimizer);
    settings.budget = arguments.budget.unwrap_or_else(|| settings.optimizer.usual_budget());
    settings.seed = arguments.seed.unwrap_or(settings.seed);
    settings.validate_last = arguments.validate_last.unwrap_or(settings.validate_last);
    settings.overload = arguments.overload.unwrap_or(settings.overload);
    settings
}

/// Runs a study to its end and gives the best coefficients with their point; the trials that can be handed out together
/// run on all cores.
fn search(mut study: Calibration, problem: &Problem, told: &mut Vec<StudyTrial>) -> Option<(Fit, Vec<f64>)> {
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
                scope.spawn(move || part.iter().map(|trial| problem.loss(&trial.point)).collect::<Vec<f64>>())
            });
            let parts: Vec<_> = parts.collect();
            // A panic in a trial is a bug and ends the program with its message.
            parts.into_iter().flat_map(|part| part.join().unwrap_or_default()).collect()
        });
        for (trial, loss) in trials.into_iter().zip(losses) {
            study.tell(&trial, loss);
            told.push(StudyTrial(trial.point, loss.is_finite().then_some(loss)));
        }
        bar.set_position(study.progress().0);
        if let Some(best) = study.history().last() {
            bar.set_message(format!("loss {:.3}", best.loss));
        }
    }
    bar.finish_and_clear();
    let best = study.best_point()?.to_vec();
    study.snapshot().map(|fit| (fit, best)).filter(|(fit, _)| fit.loss.is_finite())
}

/// One line about a run.
pub fn summary(name: &str, errors: &RunErrors) -> String {
    let shown = |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{value:+.1} %"));
    let [ttft, tpot, e2e] = errors.bias.map(shown);
    format!("{name}: mean TTFT {ttft}, TPOT {tpot}, E2E {e2e}")
}
