//! The tab's state: logs, their server, the fit under way and what came of it.

use super::fitting::{Fitting, Trial, best_point};
use super::reading::{ConfigFile, FitFile};
use crate::components::problems::placed;
use crate::lab::crew::{Crew, Heard};
use crate::lab::state::{Lab, lab};
use crate::worker::pool::Slot;
use leptos::prelude::*;
use plimsoll_core::calibrate::{Fit, FitSettings, FitTask, Interval};
use plimsoll_core::diagnostic::Diagnostic;
use plimsoll_core::measurement::MeasuredDeployment;
use plimsoll_protocol::lab::{
    CalibrateOutcome, CalibrateSpec, EvaluateSpec, FitSpec, LabOutcome, LabSpec, LogId, LogSummary, OpenedExperiment,
    Report, RunId, Said, Server, ServerSpec, TaskSpec,
};
use plimsoll_protocol::{Failure, decode};
use std::collections::{BTreeMap, BTreeSet};
use web_sys::Blob;

/// Shortest time between two pictures of a fit that goes on, milliseconds.
const PICTURE_EVERY: f64 = 500.0;
/// Requests of a run that charts show.
const MAX_POINTS: u32 = 600;

/// A file the user gave.
#[derive(Clone)]
pub struct LogFile {
    /// Its number with the workers.
    pub log: LogId,
    /// Its name.
    pub name: String,
    /// Its size in bytes.
    pub size: f64,
    /// Where it stands.
    pub stage: FileStage,
    /// Its bytes; none for the runs of a study.
    pub(super) file: Option<Blob>,
    /// Whether it came out of a folder, where not every file is meant as a log.
    pub(super) is_of_folder: bool,
}

/// How far a file has been read.
#[derive(Clone)]
pub enum FileStage {
    /// So many bytes of it.
    Reading(f64),
    /// Whole.
    Read(LogSummary),
    /// Not at all, and why.
    Failed(Vec<Diagnostic>),
}

/// What is done with a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// It is fitted.
    Fit,
    /// It is kept aside, to see how well the fit predicts it.
    KeepAside,
    /// It is left out.
    Ignore,
}

/// Where the fit stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// None has been begun.
    Idle,
    /// It goes on.
    Fitting,
    /// It came to its end.
    Complete,
    /// It was stopped; the best so far is kept.
    Stopped,
}

/// What a fit is made of; two losses compare only where this is the same.
#[derive(Debug, Clone, PartialEq)]
struct Used {
    settings: FitSettings,
    train: Vec<RunId>,
    said: Said,
    config: Option<String>,
}

impl Used {
    /// Whether losses have the same meaning, however they are searched.
    fn has_loss_of(&self, other: &Self) -> bool {
        let FitSettings { budget, seed, optimizer, .. } = other.settings;
        let settings = FitSettings { budget, seed, optimizer, ..self.settings.clone() };
        *other == Self { settings, ..self.clone() }
    }
}

/// The tab's state; a handle that is copied freely.
#[derive(Clone, Copy)]
pub struct Calibrate {
    pub(super) lab: Lab,
    /// Files in the order in which they were given.
    pub files: RwSignal<Vec<LogFile>, LocalStorage>,
    /// Names of files of a folder that are no logs.
    pub passed_over: RwSignal<Vec<String>>,
    /// A fit that was opened.
    pub fit_file: RwSignal<Option<FitFile>, LocalStorage>,
    /// A configuration of the 2025 optimizer that was opened.
    pub config: RwSignal<Option<ConfigFile>, LocalStorage>,
    /// A published experiment that was opened.
    pub experiment: RwSignal<Option<OpenedExperiment>>,
    /// What is done with each run.
    pub uses: RwSignal<BTreeMap<RunId, Use>>,
    /// What the user says of the server.
    pub given: RwSignal<MeasuredDeployment>,
    /// What is known of it all together.
    pub server: RwSignal<Option<Server>>,
    /// How the search goes.
    pub settings: RwSignal<FitSettings>,
    /// Where the fit stands.
    pub phase: RwSignal<Phase>,
    /// Evaluations done, and in all.
    pub progress: RwSignal<(u64, u64)>,
    /// After how many evaluations which loss was the best.
    pub best: RwSignal<Vec<(u64, f64)>>,
    /// The best coefficients so far.
    pub fit: RwSignal<Option<Fit>>,
    /// What they make of the runs.
    pub report: RwSignal<Option<Report>>,
    /// How well the logs determine each coefficient; empty until that is measured.
    pub intervals: RwSignal<Vec<Interval>>,
    /// What went wrong.
    pub problems: RwSignal<Vec<Diagnostic>>,
    /// Milliseconds the last fit took.
    pub took: RwSignal<Option<f64>>,
    /// What the last fit was made of.
    used: RwSignal<Option<Used>>,
    /// Runs whose use a configuration has decided.
    pub(super) chosen_by_config: StoredValue<BTreeSet<RunId>>,
    fitting: StoredValue<Option<Fitting>, LocalStorage>,
    /// The task's number and text.
    task: StoredValue<(u64, String)>,
    /// Best fit and trials of what may be gone on with.
    pub(super) earlier: StoredValue<(Option<Fit>, Vec<Trial>)>,
    pub(super) next_log: StoredValue<LogId>,
    /// The log being read; the others wait.
    pub(super) reading: StoredValue<Option<LogId>>,
    pictured: StoredValue<f64>,
    began: StoredValue<f64>,
}

fn now() -> f64 {
    web_sys::window().and_then(|window| window.performance()).map_or(0.0, |performance| performance.now())
}

impl Calibrate {
    /// The state of a tab that was just opened; files of the page come by themselves from now on.
    #[must_use]
    pub fn new() -> Self {
        let calibrate = Self {
            lab: lab(),
            files: RwSignal::new_local(Vec::new()),
            passed_over: RwSignal::new(Vec::new()),
            fit_file: RwSignal::new_local(None),
            config: RwSignal::new_local(None),
            experiment: RwSignal::new(None),
            uses: RwSignal::new(BTreeMap::new()),
            given: RwSignal::new(MeasuredDeployment::default()),
            server: RwSignal::new(None),
            settings: RwSignal::new(FitSettings::default()),
            phase: RwSignal::new(Phase::Idle),
            progress: RwSignal::new((0, 1)),
            best: RwSignal::new(Vec::new()),
            fit: RwSignal::new(None),
            report: RwSignal::new(None),
            intervals: RwSignal::new(Vec::new()),
            problems: RwSignal::new(Vec::new()),
            took: RwSignal::new(None),
            used: RwSignal::new(None),
            chosen_by_config: StoredValue::new(BTreeSet::new()),
            fitting: StoredValue::new_local(None),
            task: StoredValue::new((0, String::new())),
            earlier: StoredValue::new((None, Vec::new())),
            next_log: StoredValue::new(1),
            reading: StoredValue::new(None),
            pictured: StoredValue::new(0.0),
            began: StoredValue::new(0.0),
        };
        // What is known of the server follows the choice of runs and what the user says.
        Effect::new(move |_| {
            let spec = ServerSpec { runs: calibrate.chosen([Use::Fit, Use::KeepAside]), said: calibrate.said() };
            if spec.runs.is_empty() {
                calibrate.server.set(None);
            } else {
                calibrate.ask_logs(CalibrateSpec::Server(spec), move |outcome| {
                    if let CalibrateOutcome::Server(server) = outcome {
                        calibrate.server.set(Some(server));
                    }
                });
            }
        });
        // A configuration chooses among the runs that come after it, too.
        let runs = Memo::new(move |_| calibrate.uses.with(|uses| uses.keys().copied().collect::<Vec<RunId>>()));
        Effect::new(move |before: Option<Vec<RunId>>| {
            let runs = runs.get();
            let config = calibrate.config.get_untracked().filter(|_| before.is_some_and(|before| before != runs));
            if let Some(ConfigFile { name, file, .. }) = config {
                calibrate.open_config(name, file, false);
            }
            runs
        });
        // What is kept aside after a fit is predicted with it.
        let aside = Memo::new(move |_| calibrate.chosen([Use::KeepAside]));
        Effect::new(move |before: Option<Vec<RunId>>| {
            let aside = aside.get();
            let has_fit = calibrate.fit.with_untracked(Option::is_some);
            if has_fit
                && calibrate.phase.get_untracked() != Phase::Fitting
                && before.is_some_and(|before| before != aside)
            {
                calibrate.picture();
            }
            aside
        });
        calibrate
    }

    /// What is said of the server beside the logs.
    fn said(&self) -> Said {
        let kv_blocks = self.config.with(|config| config.as_ref().and_then(|config| config.opened.kv_blocks));
        Said { given: self.given.get(), kv_blocks }
    }

    /// The configuration's name and bytes, if there is one.
    pub(super) fn config_file(&self) -> (Option<String>, Option<Blob>) {
        self.config.with(|config| config.as_ref().map(|config| (config.name.clone(), config.file.clone()))).unzip()
    }

    /// What a fit would be made of now.
    fn usable(&self) -> Used {
        let (config, _) = self.config_file();
        Used { settings: self.settings.get(), train: self.chosen([Use::Fit]), said: self.said(), config }
    }

    /// Notes what the fit at hand is made of.
    pub(super) fn note_use(&self) {
        self.used.set(Some(untrack(|| self.usable())));
    }

    /// Whether a fit would minimize the loss of the fit at hand, so that it can go on from there.
    #[must_use]
    pub fn has_loss_of_fit(&self) -> bool {
        let now = self.usable();
        self.used.with(|used| used.as_ref().is_some_and(|used| used.has_loss_of(&now)))
    }

    /// How the fit at hand was searched.
    #[must_use]
    pub fn used_settings(&self) -> FitSettings {
        self.used.with(|used| used.as_ref().map(|used| used.settings.clone()).unwrap_or_default())
    }

    /// The runs with one of these uses.
    #[must_use]
    pub fn chosen<const N: usize>(&self, of: [Use; N]) -> Vec<RunId> {
        self.uses.with(|uses| uses.iter().filter(|(_, found)| of.contains(found)).map(|(id, _)| *id).collect())
    }

    fn crew(&self) -> Option<Crew> {
        self.lab.crew.get_untracked()
    }

    /// Asks the worker that keeps the logs; a log that it has lost is read again.
    pub(super) fn ask_logs(&self, spec: CalibrateSpec, hear: impl Fn(CalibrateOutcome) + 'static) {
        self.ask_logs_with(spec, None, hear);
    }

    pub(super) fn ask_logs_with(
        &self,
        spec: CalibrateSpec,
        file: Option<&Blob>,
        hear: impl Fn(CalibrateOutcome) + 'static,
    ) {
        let calibrate = *self;
        let file = file.cloned();
        self.lab.with_crew(move |crew| {
            let asked = crew.begin_with_logs(&LabSpec::Calibrate(spec), file.as_ref(), move |heard| match heard {
                Heard::Answer(LabOutcome::Calibrate(outcome)) => hear(outcome),
                Heard::Failed(failure) if failure.code == "unknown-log" || failure.code == "crashed" => {
                    calibrate.read_again(&failure);
                }
                Heard::Failed(failure) => calibrate.tell(&failure),
                Heard::Answer(_) | Heard::Progress(..) | Heard::Update(_) => {}
            });
            if let Err(failure) = asked {
                calibrate.tell(&failure);
            }
        });
    }

    pub(super) fn tell(&self, failure: &Failure) {
        self.problems.set(placed(failure.clone().into_problems()));
    }

    /// Begins a fit from the start.
    pub fn begin(&self) {
        self.earlier.set_value((None, Vec::new()));
        self.report.set(None);
        self.fit.set(None);
        self.best.set(Vec::new());
        self.go_on();
    }

    /// Goes on with the best fit so far, or begins.
    pub fn go_on(&self) {
        let calibrate = *self;
        self.stop();
        self.problems.set(Vec::new());
        self.forget_intervals();
        self.note_use();
        let Used { settings, train, said, config } = untrack(|| self.usable());
        let budget = settings.budget;
        let spec = TaskSpec { train, said, settings, config };
        let (_, file) = untrack(|| self.config_file());
        self.phase.set(Phase::Fitting);
        self.progress.set((0, budget));
        self.began.set_value(now());
        self.took.set(None);
        self.ask_logs_with(CalibrateSpec::Task(spec), file.as_ref(), move |outcome| {
            if let (CalibrateOutcome::Text(text), Phase::Fitting) = (outcome, calibrate.phase.get_untracked()) {
                calibrate.take_task(text);
            }
        });
    }

    fn take_task(&self, text: String) {
        let Some(crew) = self.crew() else { return };
        let task: FitTask = match decode(&text) {
            Ok(task) => task,
            Err(failure) => return self.fail(&failure),
        };
        let earlier = self.earlier.get_value();
        // Only where a study has the same parameters can it be gone on with.
        let best = best_point(&earlier.1).filter(|best| best.len() == task.space.parameters.len());
        let earlier = if best.is_some() { earlier } else { (None, Vec::new()) };
        let study = task.study(best);
        self.fitting.set_value(Some(Fitting::new(study, crew.num_workers(), earlier)));
        self.task.update_value(|(number, kept)| {
            *number += 1;
            *kept = text;
        });
        self.supply();
    }

    /// Keeps the workers busy.
    fn supply(&self) {
        let Some(crew) = self.crew() else { return };
        while crew.has_room() && self.phase.get_untracked() == Phase::Fitting {
            let next =
                self.fitting.try_update_value(|fitting| fitting.as_mut().and_then(Fitting::next_batch)).flatten();
            let Some((batch, points)) = next else { break };
            self.evaluate(batch, points, None);
        }
    }

    fn evaluate(&self, batch: u64, points: Vec<Vec<f64>>, text: Option<String>) {
        let calibrate = *self;
        let Some(crew) = self.crew() else { return };
        let (number, _) = self.task.with_value(|(number, _)| (*number, ()));
        let spec = CalibrateSpec::Evaluate(EvaluateSpec { task: number, text, points });
        let begun = crew.begin(Slot::Calibrate, &LabSpec::Calibrate(spec), move |heard| {
            if calibrate.task.with_value(|(present, _)| *present != number) {
                return;
            }
            match heard {
                Heard::Answer(LabOutcome::Calibrate(CalibrateOutcome::Losses(Some(losses)))) => {
                    calibrate.take_losses(batch, &losses);
                }
                // This worker has not seen the task yet.
                Heard::Answer(LabOutcome::Calibrate(CalibrateOutcome::Losses(None))) => {
                    calibrate.evaluate_with_task(batch)
                }
                // A worker that broke down leaves its points to the others.
                Heard::Failed(failure) if failure.code == "crashed" => calibrate.evaluate_with_task(batch),
                Heard::Failed(failure) => calibrate.fail(&failure),
                Heard::Answer(_) | Heard::Progress(..) | Heard::Update(_) => {}
            }
        });
        if let Err(failure) = begun {
            self.fail(&failure);
        }
    }

    fn evaluate_with_task(&self, batch: u64) {
        let points = self.fitting.with_value(|fitting| fitting.as_ref().map(|fitting| fitting.points(batch)));
        if let Some(points) = points.filter(|points| !points.is_empty()) {
            self.evaluate(batch, points, Some(self.task.with_value(|(_, text)| text.clone())));
        }
    }

    fn take_losses(&self, batch: u64, losses: &[Option<f64>]) {
        self.fitting.update_value(|fitting| fitting.iter_mut().for_each(|fitting| fitting.tell(batch, losses)));
        self.supply();
        let is_complete = self.fitting.with_value(|fitting| fitting.as_ref().is_some_and(Fitting::is_complete));
        if is_complete {
            self.end(Phase::Complete);
        } else if now() - self.pictured.get_value() >= PICTURE_EVERY {
            self.show();
            self.picture();
        }
    }

    /// Shows how far the fit is.
    fn show(&self) {
        self.fitting.with_value(|fitting| {
            if let Some(fitting) = fitting {
                self.progress.set(fitting.progress());
                self.best.set(fitting.best().to_vec());
                self.fit.set(fitting.fit());
            }
        });
    }

    /// Has the best fit so far compared with the runs.
    pub(super) fn picture(&self) {
        let calibrate = *self;
        self.pictured.set_value(now());
        let Some(spec) = self.fit_spec() else { return };
        self.ask_logs(CalibrateSpec::Report(spec), move |outcome| {
            if let CalibrateOutcome::Report(report) = outcome {
                calibrate.report.set(Some(*report));
            }
        });
    }

    pub(super) fn fit_spec(&self) -> Option<FitSpec> {
        let Used { settings, train, .. } = self.used.get_untracked()?;
        // A log may have been taken away since, and others kept aside.
        let (fitted, aside) = untrack(|| {
            let present = self.chosen([Use::Fit, Use::KeepAside, Use::Ignore]);
            let aside = self.chosen([Use::KeepAside]).into_iter().filter(|run| !train.contains(run)).collect();
            (train.iter().copied().filter(|run| present.contains(run)).collect(), aside)
        });
        Some(FitSpec {
            fit: self.fit.get_untracked()?,
            runs: [fitted, aside],
            said: untrack(|| self.said()),
            max_points: MAX_POINTS,
            validate_last: settings.validate_last,
            overload: settings.overload,
        })
    }

    /// Ends the fit; the best so far is kept.
    pub fn stop(&self) {
        if self.phase.get_untracked() == Phase::Fitting {
            self.end(Phase::Stopped);
        }
    }

    fn fail(&self, failure: &Failure) {
        self.tell(failure);
        self.stop();
    }

    fn end(&self, phase: Phase) {
        self.show();
        if let Some(crew) = self.crew() {
            crew.end(Slot::Calibrate);
        }
        let fitting = self.fitting.try_update_value(Option::take).flatten();
        if let Some(fitting) = fitting {
            self.earlier.set_value((fitting.fit(), fitting.trials().to_vec()));
        }
        // What still comes belongs to no task.
        self.task.update_value(|(number, _)| *number += 1);
        self.took.set(Some(now() - self.began.get_value()));
        self.phase.set(if self.fit.with_untracked(Option::is_some) { phase } else { Phase::Idle });
        self.picture();
        self.measure_intervals();
    }

    /// Drops the intervals of the coefficients, and those being measured: they belong to another fit.
    pub(super) fn forget_intervals(&self) {
        self.task.update_value(|(number, _)| *number += 1);
        self.intervals.set(Vec::new());
    }

    /// Has the intervals of the coefficients measured around the best point; nothing comes of it when another task
    /// begins meanwhile.
    fn measure_intervals(&self) {
        let calibrate = *self;
        let best = self.earlier.with_value(|(_, trials)| best_point(trials));
        let (number, text) = self.task.get_value();
        let (Some(best), Some(crew)) = (best, self.crew()) else { return };
        let spec = EvaluateSpec { task: number, text: Some(text), points: vec![best] };
        let spec = LabSpec::Calibrate(CalibrateSpec::Intervals(spec));
        // Without an answer there are no intervals, which the table says.
        let _ = crew.begin(Slot::Calibrate, &spec, move |heard| {
            let Heard::Answer(LabOutcome::Calibrate(CalibrateOutcome::Intervals(Some(found)))) = heard else { return };
            if calibrate.task.with_value(|(present, _)| *present == number) {
                calibrate.intervals.set(found);
            }
        });
    }
}
