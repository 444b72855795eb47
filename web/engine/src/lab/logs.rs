//! The logs a worker keeps: read piece by piece, summed up, and made into tasks and reports.

use plimsoll_core::calibrate::{
    Deployment, Fit, FitSettings, FitTask, FittedModel, Interval, RunReport, Space, calibrated_on, prior,
};
use plimsoll_core::diagnostic::Diagnostic;
use plimsoll_core::measurement::{MeasuredDeployment, Measurement, RunFigures, overload_windows};
use plimsoll_formats::{
    FitFile, FittedLatency, OptimizerFile, StudyFile, StudyTrial, TrainedOn, fit_to_yaml, optimizer_from_yaml,
    study_from_json, study_to_json,
};
use plimsoll_logs::{Content, GapRow, LogReader, attach};
use plimsoll_protocol::lab::{
    Fact, FitSpec, LogId, LogSummary, OpenedConfig, OpenedExperiment, OpenedStudy, Origin, PieceSpec, Report, RunId,
    RunSummary, Said, Server, ServerSpec, StudySpec, TaskSpec,
};
use plimsoll_protocol::{Failure, decode, encode};
use std::collections::BTreeMap;

/// The logs, by number.
#[derive(Debug, Default)]
pub struct Logs {
    reading: Option<(LogId, LogReader)>,
    read: BTreeMap<LogId, Content>,
    /// The log of the runs that a study fits, its model and what it searches.
    study: Option<(LogId, FittedModel, Space)>,
}

impl Logs {
    /// Takes the next piece of a log; its summary once it is whole.
    ///
    /// # Errors
    /// `unknown-log` when an earlier piece is not here.
    pub fn take(&mut self, piece: &PieceSpec, bytes: &[u8]) -> Result<Option<LogSummary>, Failure> {
        if piece.offset == 0 {
            self.read.remove(&piece.log);
            self.reading = Some((piece.log, LogReader::new(&piece.name)));
        }
        let Some((_, reader)) =
            self.reading.as_mut().filter(|(log, reader)| *log == piece.log && reader.bytes_read() == piece.offset)
        else {
            return Err(unknown(piece.log));
        };
        reader.push(bytes);
        if !(piece.is_last || reader.is_refused()) {
            return Ok(None);
        }
        let Some((log, reader)) = self.reading.take() else { return Err(unknown(piece.log)) };
        Ok(Some(match reader.finish() {
            Ok(content) => {
                self.read.insert(log, content);
                self.summary(log)
            }
            Err(diagnostics) => LogSummary { log, runs: Vec::new(), server: None, has_gaps: false, diagnostics },
        }))
    }

    /// Forgets a log.
    pub fn forget(&mut self, log: LogId) {
        self.read.remove(&log);
        self.reading.take_if(|(reading, _)| *reading == log);
    }

    /// Keeps runs that come from a study instead of a file; the summary of the log they make up.
    pub fn keep(&mut self, log: LogId, runs: Vec<Measurement>) -> LogSummary {
        let runs = runs.into_iter().map(|measurement| {
            let ids = measurement.requests.iter().map(|_| None).collect();
            plimsoll_logs::Run { measurement, ids }
        });
        self.read.insert(log, Content { runs: runs.collect(), ..Content::default() });
        self.summary(log)
    }

    fn summary(&self, log: LogId) -> LogSummary {
        let Some(content) = self.read.get(&log) else {
            return LogSummary { log, runs: Vec::new(), server: None, has_gaps: false, diagnostics: Vec::new() };
        };
        LogSummary {
            log,
            runs: (0..).zip(&content.runs).map(|(run, read)| summary(RunId { log, run }, &read.measurement)).collect(),
            server: content.deployment.clone().filter(|_| content.runs.is_empty()),
            has_gaps: !content.gaps.is_empty(),
            diagnostics: content.diagnostics.clone(),
        }
    }

    /// A run with what its own log, the other logs and the user know of its server.
    fn run(&self, id: RunId, said: &Said) -> Result<Measurement, Failure> {
        let content = self.read.get(&id.log).ok_or_else(|| unknown(id.log))?;
        let run = usize::try_from(id.run).ok().and_then(|run| content.runs.get(run)).ok_or_else(|| unknown(id.log))?;
        let mut alone = Content { runs: vec![run.clone()], ..Content::default() };
        for (log, other) in &self.read {
            let gaps: &[GapRow] = if other.runs.is_empty() { &other.gaps } else { &[] };
            let server = other.deployment.as_ref().filter(|_| other.runs.is_empty() || *log == id.log);
            attach(&mut alone, server, gaps);
        }
        let mut measurement = alone.runs.pop().map(|run| run.measurement).ok_or_else(|| unknown(id.log))?;
        let logged = std::mem::replace(&mut measurement.deployment, said.given.clone());
        measurement.deployment.fill_from(&logged);
        measurement.deployment.num_gpu_blocks = measurement.deployment.num_gpu_blocks.or(said.kv_blocks);
        Ok(measurement)
    }

    fn runs(&self, ids: &[RunId], said: &Said) -> Result<Vec<Measurement>, Failure> {
        ids.iter().map(|id| self.run(*id, said)).collect()
    }

    /// What is known of the server of some runs.
    ///
    /// # Errors
    /// `unknown-log`.
    pub fn server(&self, spec: &ServerSpec) -> Result<Server, Failure> {
        let catalog = plimsoll_configs::catalog();
        let runs = self.runs(&spec.runs, &spec.said)?;
        let logged = stated(&self.runs(&spec.runs, &Said::default())?);
        let stated = stated(&runs);
        let guess = Deployment::guess(catalog, &stated);
        let fact = |field: &str, given: Option<String>, logged: Option<String>, guessed: String| {
            let (value, origin) = match (given, logged) {
                (Some(value), _) => (value, Origin::Given),
                (None, Some(value)) => (value, Origin::Logged),
                (None, None) => (guessed, Origin::Guessed),
            };
            Fact { field: field.to_owned(), value, origin }
        };
        let text = |value: Option<u32>| value.map(|value| value.to_string());
        let (given, engine) = (&spec.said.given, &guess.engine);
        let facts = vec![
            fact("model", given.model.clone(), stated.model.clone(), String::new()),
            fact(
                "accelerator",
                given.accelerator.clone(),
                stated.accelerator.clone(),
                guess.accelerator.as_ref().map_or_else(String::new, |spec| spec.id.clone()),
            ),
            fact(
                "tensor_parallel_size",
                text(given.tensor_parallel_size),
                text(stated.tensor_parallel_size),
                guess.tensor_parallel_size.to_string(),
            ),
            fact("max_num_seqs", text(given.max_num_seqs), text(stated.max_num_seqs), engine.max_num_seqs.to_string()),
            fact(
                "max_num_batched_tokens",
                text(given.max_num_batched_tokens),
                text(stated.max_num_batched_tokens),
                engine.max_num_batched_tokens.to_string(),
            ),
            match (given.num_gpu_blocks, logged.num_gpu_blocks, spec.said.kv_blocks) {
                (None, None, Some(count)) => {
                    Fact { field: "num_gpu_blocks".into(), value: count.to_string(), origin: Origin::Configured }
                }
                (given, logged, _) => {
                    // Without a number the server's memory is taken as never full.
                    let guessed = text(guess.known_blocks()).unwrap_or_default();
                    fact("num_gpu_blocks", text(given), text(logged), guessed)
                }
            },
        ];
        Ok(Server {
            facts,
            models: catalog.models.iter().map(|model| model.id.clone()).collect(),
            accelerators: catalog.accelerators.iter().map(|spec| spec.id.clone()).collect(),
            diagnostics: together(&runs, &stated, &guess),
        })
    }

    /// The task of fitting some runs, as text; `config` is the configuration that it names, if it does.
    ///
    /// # Errors
    /// `unknown-log`, or `invalid-input` with what is wrong with the configuration, or what the model lacks.
    pub fn task(&self, spec: &TaskSpec, config: &[u8]) -> Result<String, Failure> {
        let runs = self.runs(&spec.train, &spec.said)?;
        let deployment = Deployment::guess(plimsoll_configs::catalog(), &stated(&runs));
        let catalog = plimsoll_configs::catalog();
        let model = spec.settings.model;
        let of_study = self.study.as_ref().filter(|(log, own, _)| {
            *own == model && !spec.train.is_empty() && spec.train.iter().all(|run| run.log == *log)
        });
        let mut space = match of_study {
            Some((_, _, space)) => space.clone(),
            None => space(&runs, model).unwrap_or_else(|| prior(model, &deployment, catalog)),
        };
        if let Some(name) = &spec.config {
            let of_model = read_config(name, config)?.apply(model, &mut space);
            of_model.map_err(|problem| Failure::invalid_input(vec![problem]))?;
        }
        let task = FitTask::new(runs, space, spec.settings.clone());
        task.problem(catalog).check().map_err(Failure::invalid_input)?;
        encode(&task)
    }

    /// What a configuration sets, and which of these runs it chooses.
    ///
    /// # Errors
    /// `unknown-log`, or `invalid-input` with what is wrong with it.
    pub fn open_config(
        &self,
        name: &str,
        mut settings: FitSettings,
        runs: &[RunId],
        bytes: &[u8],
    ) -> Result<OpenedConfig, Failure> {
        let config = read_config(name, bytes)?;
        config.put_into(&mut settings);
        let split = config.split(&self.runs(runs, &Said::default())?);
        let pick = |chosen: &[usize]| chosen.iter().filter_map(|at| runs.get(*at).copied()).collect();
        let searched: Vec<(String, [f64; 2])> = config.searched().map(|(name, ends)| (name.to_owned(), ends)).collect();
        let fixed: Vec<(String, f64)> = config.fixed().map(|(name, value)| (name.to_owned(), value)).collect();
        let model = (!(searched.is_empty() && fixed.is_empty())).then_some(settings.model);
        // Without a log there is nothing to be missed yet.
        let unmatched = if runs.is_empty() { Vec::new() } else { split.unmatched };
        Ok(OpenedConfig {
            model,
            searched,
            fixed,
            settings,
            objective: config.objective,
            seed: config.seed,
            kv_blocks: config.kv_blocks,
            vllm_dir: config.vllm_dir,
            has_runs: config.train.is_some() || config.test.is_some(),
            runs: [pick(&split.train), pick(&split.held_out)],
            remarks: config.remarks.into_iter().chain(unmatched).collect(),
        })
    }

    /// What a fit makes of runs.
    ///
    /// # Errors
    /// `unknown-log`, or `invalid-input` with what is wrong with the coefficients.
    pub fn report(&self, spec: &FitSpec) -> Result<Report, Failure> {
        let catalog = plimsoll_configs::catalog();
        let max_points = usize::try_from(spec.max_points).unwrap_or(usize::MAX);
        let [train, held_out] = &spec.runs;
        let (train, held_out) = (self.runs(train, &spec.said)?, self.runs(held_out, &spec.said)?);
        let settings =
            FitSettings { validate_last: spec.validate_last, overload: spec.overload, ..FitSettings::default() };
        let whole = FitSettings { validate_last: 0.0, ..settings.clone() };
        let of = |run: &Measurement, counted: Vec<bool>| {
            RunReport::new(&spec.fit, run, &counted, &Deployment::guess(catalog, &run.deployment), max_points)
        };
        let ends = train.iter().filter_map(|run| of(run, settings.held_out(run)));
        let aside = held_out.iter().filter_map(|run| of(run, whole.fitted(run)));
        let stated = stated(&train);
        let server = Deployment::guess(catalog, &stated);
        spec.fit.latency(&server).map_err(Failure::invalid_input)?;
        let on = calibrated_on(&train.iter().collect::<Vec<_>>(), &stated, &server);
        Ok(Report {
            runs: [train.iter().filter_map(|run| of(run, settings.fitted(run))).collect(), ends.chain(aside).collect()],
            calibrated_on: on,
        })
    }

    /// The file of a fit as the command line reads it, with what is known of how well the logs determine it.
    ///
    /// # Errors
    /// As [`Logs::report`].
    pub fn fit_file(&self, spec: &FitSpec, intervals: Vec<Interval>) -> Result<String, Failure> {
        let report = self.report(spec)?;
        let [train, _] = &spec.runs;
        let stated = stated(&self.runs(train, &spec.said)?);
        let guesses = Deployment::guess(plimsoll_configs::catalog(), &stated).guesses;
        let [train, held_out] = report.runs.map(|runs| runs.into_iter().map(errors_of).collect::<Vec<TrainedOn>>());
        let file = FitFile::new(&spec.fit, stated, report.calibrated_on, guesses, train);
        Ok(fit_to_yaml(&FitFile { held_out, intervals, ..file }))
    }

    /// A study as a file.
    ///
    /// # Errors
    /// As [`Logs::report`].
    pub fn study_file(&self, spec: &StudySpec, config: &[u8]) -> Result<String, Failure> {
        let of = &spec.fit;
        let [train, held_out] = &of.runs;
        let task: FitTask = decode(&self.task(
            &TaskSpec {
                train: train.clone(),
                said: of.said.clone(),
                settings: spec.settings.clone(),
                config: spec.config.clone(),
            },
            config,
        )?)?;
        let held_out = self.runs(held_out, &of.said)?;
        let mut study = StudyFile::new(task, held_out, of.said.given.clone());
        study.best = Some(FittedLatency::of(&of.fit));
        let [train, held_out] = self.report(of)?.runs;
        study.train_errors = train.into_iter().map(errors_of).collect();
        study.test_errors = held_out.into_iter().map(errors_of).collect();
        study.trials = spec.trials.iter().map(|(point, loss)| StudyTrial(point.clone(), *loss)).collect();
        Ok(study_to_json(&study))
    }

    /// Opens a study; its runs become logs of these numbers.
    ///
    /// # Errors
    /// `invalid-input` with what is wrong with it.
    pub fn open_study(&mut self, name: &str, logs: [LogId; 2], bytes: &[u8]) -> Result<OpenedStudy, Failure> {
        let study = study_from_json(text_of(name, bytes)?, name).map_err(Failure::invalid_input)?;
        let best = best_of(&study);
        let [train, held_out] = logs;
        self.study = Some((train, study.task.settings.model, study.task.space));
        Ok(OpenedStudy {
            logs: [self.keep(train, study.task.runs), self.keep(held_out, study.held_out)],
            given: study.server,
            settings: study.task.settings,
            best,
            trials: study.trials.into_iter().map(|StudyTrial(point, loss)| (point, loss)).collect(),
        })
    }

    /// A published experiment as a log.
    ///
    /// # Errors
    /// `unknown-experiment`.
    pub fn open_experiment(&mut self, id: &str, log: LogId) -> Result<OpenedExperiment, Failure> {
        let experiment = plimsoll_configs::experiment(id)
            .ok_or_else(|| Failure::new("unknown-experiment", format!("there is no experiment {id}")))?;
        let settings = FitSettings { model: FittedModel::Quadratic, ..FitSettings::default() };
        let run = experiment.measurement();
        let task = FitTask::new(vec![run.clone()], experiment.space(), settings.clone());
        let problem = task.problem(plimsoll_configs::catalog());
        let loss = task.space.starts().first().map_or(0.0, |start| problem.loss(start));
        Ok(OpenedExperiment {
            log: self.keep(log, vec![run]),
            title: experiment.title.clone(),
            settings,
            baseline: Fit { loss, ..experiment.baseline() },
            records: experiment.records(),
            assumptions: experiment.assumptions.clone(),
            not_identifiable: experiment.not_identifiable.clone(),
        })
    }

    /// A scenario with a fit and its server.
    ///
    /// # Errors
    /// As [`Logs::report`], and `undecodable` for the scenario.
    pub fn apply(&self, scenario: &str, spec: &FitSpec) -> Result<String, Failure> {
        let mut scenario = if scenario.is_empty() { Default::default() } else { decode(scenario)? };
        let [train, _] = &spec.runs;
        let runs = self.runs(train, &spec.said)?;
        let catalog = plimsoll_configs::catalog();
        let stated = stated(&runs);
        let on = calibrated_on(&runs.iter().collect::<Vec<_>>(), &stated, &Deployment::guess(catalog, &stated));
        spec.fit.apply(&mut scenario, catalog, &stated, on);
        encode(&scenario)
    }
}

fn errors_of(run: RunReport) -> TrainedOn {
    TrainedOn { num_requests: run.num_requests, errors: run.errors.into_iter().collect(), file: run.name }
}

/// A file as text.
fn text_of<'a>(name: &str, bytes: &'a [u8]) -> Result<&'a str, Failure> {
    std::str::from_utf8(bytes).map_err(|error| {
        let message = format!("byte {} is no UTF-8", error.valid_up_to());
        Failure::invalid_input(vec![Diagnostic::error("file-not-text", name, message).with_hint("open the right file")])
    })
}

fn read_config(name: &str, bytes: &[u8]) -> Result<OptimizerFile, Failure> {
    optimizer_from_yaml(text_of(name, bytes)?, name).map_err(Failure::invalid_input)
}

/// The space of an experiment, where its run alone is fitted with its model.
fn space(runs: &[Measurement], model: FittedModel) -> Option<Space> {
    let [run] = runs else { return None };
    let experiment = plimsoll_configs::experiment(&run.name)?;
    (model == FittedModel::Quadratic).then(|| experiment.space())
}

/// The best fit of a study, from its best trial.
fn best_of(study: &StudyFile) -> Option<Fit> {
    let latency = study.best.as_ref()?;
    let losses = study.trials.iter().filter_map(|StudyTrial(_, loss)| *loss);
    let fit = Fit {
        model: latency.model,
        alpha: latency.alpha.clone(),
        beta: latency.beta.clone(),
        client: latency.client,
        loss: losses.fold(f64::INFINITY, f64::min),
        evaluations: study.trials.len() as u64,
    };
    let server = Deployment::guess(plimsoll_configs::catalog(), &stated(&study.task.runs));
    fit.latency(&server).is_ok().then_some(fit).filter(|fit| fit.loss.is_finite())
}

fn unknown(log: LogId) -> Failure {
    Failure::new("unknown-log", format!("log {log} has to be read again"))
}

/// What the runs say of their server together; the first that says something wins.
fn stated(runs: &[Measurement]) -> MeasuredDeployment {
    let mut stated = MeasuredDeployment::default();
    runs.iter().for_each(|run| stated.fill_from(&run.deployment));
    stated
}

/// What speaks against fitting these runs together.
fn together(runs: &[Measurement], stated: &MeasuredDeployment, guess: &Deployment) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let mut models: Vec<&str> = runs.iter().filter_map(|run| run.deployment.model.as_deref()).collect();
    models.sort_unstable();
    models.dedup();
    if models.len() > 1 {
        let message = format!("the logs are of several models: {}", models.join(", "));
        found.push(
            Diagnostic::error("log-mixed", "server.model", message)
                .with_hint("choose the runs of one deployment, or say which model it is"),
        );
    }
    if let (Some(name), None) = (&stated.model, &guess.model) {
        let message = format!("the architecture of {name} is not in the catalogue");
        found.push(
            Diagnostic::note("unknown-architecture", "server.model", message)
                .with_hint("the fit has only the logs to go by; choose a model of the catalogue that is built alike"),
        );
    }
    if let Some(name) = stated.accelerator.as_deref()
        && plimsoll_configs::catalog().accelerator(name).is_none()
    {
        let message = format!("there is no data sheet for {name}");
        found.push(
            Diagnostic::warning("unknown-accelerator", "server.accelerator", message)
                .with_hint("an H100 is assumed; choose one of the catalogue"),
        );
    }
    found
}

fn summary(id: RunId, run: &Measurement) -> RunSummary {
    let spread = |tokens: fn(&plimsoll_core::measurement::MeasuredRequest) -> u32| {
        let values = || run.requests.iter().map(tokens);
        let sum: f64 = values().map(f64::from).sum();
        let count = run.requests.len().max(1) as f64;
        [values().min().map_or(0.0, f64::from), sum / count, values().max().map_or(0.0, f64::from)]
    };
    let span = run.span().map(|span| span.as_seconds()).filter(|span| *span > 0.0);
    let in_flight: f64 = run.requests.iter().filter_map(|request| Some(request.e2e?.as_seconds())).sum();
    let mut load = run.load.clone();
    // JSON has no word for infinity; all at once is what is left when neither rate nor cap is there.
    load.request_rate = load.request_rate.filter(|rate| rate.is_finite());
    load.burstiness = load.burstiness.filter(|shape| shape.is_finite());
    let obstacle = if run.format.is_simulated() {
        "these are simulated times"
    } else if !run.has_requests() {
        "it has no single requests; record with --save-detailed"
    } else {
        ""
    };
    RunSummary {
        id,
        name: run.name.clone(),
        format: run.format.label().to_owned(),
        num_requests: run.requests.len() as u32,
        num_failed: run.num_failed,
        span_s: span,
        arrivals: run.arrivals,
        load,
        input_tokens: spread(|request| request.input_tokens),
        output_tokens: spread(|request| request.output_tokens),
        concurrency: span.filter(|_| in_flight > 0.0).map(|span| in_flight / span),
        figures: RunFigures::of_measurement(run),
        server: run.deployment.clone(),
        overload: overload_windows(run),
        obstacle: obstacle.to_owned(),
    }
}
