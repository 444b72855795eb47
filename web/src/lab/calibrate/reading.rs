//! Files that come into the tab: logs are read one behind the other, a study and a fit are opened.

use super::fitting::Trial;
use super::state::{Calibrate, FileStage, LogFile, Phase, Use};
use crate::lab::intake::Given;
use crate::logs;
use leptos::prelude::*;
use plimsoll_core::diagnostic::Diagnostic;
use plimsoll_protocol::Failure;
use plimsoll_protocol::lab::{
    CalibrateOutcome, CalibrateSpec, LogId, LogSummary, OpenedConfig, OpenedFit, PieceSpec, RunId,
};
use std::collections::{BTreeMap, BTreeSet};
use web_sys::Blob;

/// Bytes that a worker gets at once; neither side ever holds more of a file.
const PIECE: f64 = 4_194_304.0;
/// By these a study and a fit are recognized.
const STUDY_START: &str = "\"plimsoll_study\"";
const FIT_START: &str = "fit_version:";
/// How a file is refused that is no log at all.
const NO_LOG: &str = "log-not-recognized";

/// A file that holds a fit.
#[derive(Clone)]
pub struct FitFile {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub opened: OpenedFit,
    /// Its bytes.
    pub file: Blob,
}

/// A configuration of the 2025 optimizer.
#[derive(Clone)]
pub struct ConfigFile {
    /// Its name.
    pub name: String,
    /// What it sets.
    pub opened: OpenedConfig,
    /// How many runs it could choose from.
    pub num_runs: usize,
    /// Its bytes.
    pub file: Blob,
}

impl Calibrate {
    /// Takes files the user gave.
    pub fn take(&self, given: Given) {
        for file in given.files {
            self.open(file.name(), file.into(), given.is_folder);
        }
    }

    /// Takes a file: a log, a study, or a fit. In a folder much may lie that is none of these.
    pub fn open(&self, name: String, file: Blob, is_of_folder: bool) {
        let calibrate = *self;
        // Its place among the others is that of its giving, not of its reading.
        let log = self.number();
        leptos::task::spawn_local(async move {
            let head = logs::head(&file).await;
            let starts_with = |word: &str| head.trim_start_matches(['{', ' ', '\n', '\r']).starts_with(word);
            if head.contains(logs::CONFIG) {
                calibrate.open_config(name, file, true);
            } else if starts_with(STUDY_START) {
                calibrate.open_study(name, &file);
            } else if starts_with(FIT_START) {
                calibrate.open_fit(name, file);
            } else {
                let stage = FileStage::Reading(0.0);
                let entry = LogFile { log, name, size: file.size(), stage, file: Some(file), is_of_folder };
                calibrate.files.update(|files| {
                    files.push(entry);
                    files.sort_by_key(|file| file.log);
                });
                calibrate.read_next();
            }
        });
    }

    /// Begins to read the first file that waits, if none is being read.
    fn read_next(&self) {
        if self.reading.get_value().is_some() {
            return;
        }
        let next = self.files.with_untracked(|files| {
            let waiting = files.iter().find(|file| matches!(file.stage, FileStage::Reading(_)));
            waiting.and_then(|file| Some((file.log, file.file.clone()?)))
        });
        if let Some((log, file)) = next {
            self.reading.set_value(Some(log));
            self.read_piece(log, file, 0.0);
        }
    }

    /// Gives a file's next piece to the worker, and when that is taken the one behind it.
    fn read_piece(&self, log: LogId, file: Blob, offset: f64) {
        let calibrate = *self;
        let Some(name) =
            self.files.with_untracked(|files| files.iter().find(|file| file.log == log).map(|file| file.name.clone()))
        else {
            // It was taken away meanwhile.
            return self.end_reading();
        };
        let end = (offset + PIECE).min(file.size());
        let is_last = end >= file.size();
        let Ok(piece) = file.slice_with_f64_and_f64(offset, end) else {
            let problem = Diagnostic::error("log-unreadable", name, "the browser cannot read the file");
            return self.refuse(log, vec![problem.with_hint("open it again")]);
        };
        let spec = CalibrateSpec::Piece(PieceSpec { log, name, offset: offset as u64, is_last });
        self.ask_logs_with(spec, Some(&piece), move |outcome| match outcome {
            CalibrateOutcome::Piece(Some(summary)) => calibrate.take_log(summary),
            CalibrateOutcome::Piece(None) => {
                calibrate.put_stage(log, FileStage::Reading(end));
                calibrate.read_piece(log, file.clone(), end);
            }
            _ => {}
        });
    }

    fn end_reading(&self) {
        self.reading.set_value(None);
        self.read_next();
    }

    fn refuse(&self, log: LogId, problems: Vec<Diagnostic>) {
        self.put_stage(log, FileStage::Failed(problems));
        self.end_reading();
    }

    fn take_log(&self, summary: LogSummary) {
        let log = summary.log;
        let is_none = summary.diagnostics.iter().any(|found| found.code == NO_LOG);
        let is_of_folder =
            self.files.with_untracked(|files| files.iter().any(|file| file.log == log && file.is_of_folder));
        if is_none && is_of_folder {
            let mut name = String::new();
            self.files.update(|files| {
                if let Some(at) = files.iter().position(|file| file.log == log) {
                    name = files.remove(at).name;
                }
            });
            self.passed_over.update(|names| names.push(name));
        } else {
            self.uses.update(|uses| {
                for run in summary.runs.iter().filter(|run| run.obstacle.is_empty()) {
                    uses.entry(run.id).or_insert(Use::Fit);
                }
            });
            self.put_stage(log, FileStage::Read(summary));
        }
        self.end_reading();
    }

    /// The worker that kept the logs is gone: another one reads them, except the one it was lost with.
    pub(super) fn read_again(&self, failure: &Failure) {
        let culprit = self.reading.get_value().filter(|_| failure.code == "crashed");
        let mut is_any_lost = false;
        self.files.update(|files| {
            for file in files.iter_mut().filter(|file| file.file.is_some()) {
                if Some(file.log) == culprit {
                    file.stage = FileStage::Failed(vec![Diagnostic::error(&failure.code, "", failure.message.clone())]);
                } else if matches!(file.stage, FileStage::Read(_) | FileStage::Reading(_)) {
                    file.stage = FileStage::Reading(0.0);
                    is_any_lost = true;
                }
            }
        });
        if !is_any_lost {
            self.tell(failure);
        }
        self.end_reading();
    }

    fn put_stage(&self, log: LogId, stage: FileStage) {
        self.files.update(|files| {
            if let Some(file) = files.iter_mut().find(|file| file.log == log) {
                file.stage = stage;
            }
        });
    }

    fn number(&self) -> LogId {
        let log = self.next_log.get_value();
        self.next_log.set_value(log + 1);
        log
    }

    /// Takes a log away.
    pub fn remove(&self, log: LogId) {
        self.experiment.update(|opened| drop(opened.take_if(|opened| opened.log.log == log)));
        self.files.update(|files| files.retain(|file| file.log != log));
        self.uses.update(|uses| uses.retain(|run, _| run.log != log));
        self.ask_logs(CalibrateSpec::Forget(log), |_| {});
    }

    fn open_study(&self, name: String, file: &Blob) {
        let calibrate = *self;
        let logs = [self.number(), self.number()];
        let title = name.clone();
        self.ask_logs_with(CalibrateSpec::OpenStudy { name, logs }, Some(file), move |outcome| {
            let CalibrateOutcome::Study(study) = outcome else { return };
            calibrate.stop();
            let sides = [Use::Fit, Use::KeepAside];
            calibrate.uses.set(BTreeMap::new());
            let mut files = Vec::new();
            for (summary, side) in study.logs.into_iter().zip(sides) {
                calibrate.uses.update(|uses| uses.extend(summary.runs.iter().map(|run| (run.id, side))));
                if !summary.runs.is_empty() {
                    let (log, name, stage) = (summary.log, title.clone(), FileStage::Read(summary));
                    files.push(LogFile { log, name, size: 0.0, stage, file: None, is_of_folder: false });
                }
            }
            calibrate.files.set(files);
            calibrate.config.set(None);
            calibrate.given.set(study.given);
            calibrate.settings.set(study.settings);
            calibrate.note_use();
            let count = study.trials.len() as u64;
            calibrate.progress.set((count, count.max(1)));
            calibrate.best.set(staircase(&study.trials));
            calibrate.fit.set(study.best.clone());
            calibrate.earlier.set_value((study.best, study.trials));
            calibrate.problems.set(Vec::new());
            calibrate.forget_intervals();
            calibrate.phase.set(Phase::Stopped);
            calibrate.lab.page(|page| page.say("The study is open; go on with it or apply it."));
            calibrate.picture();
        });
    }

    /// Opens a published experiment in place of what was there, at its published start.
    pub fn open_experiment(&self, id: &str) {
        let calibrate = *self;
        let spec = CalibrateSpec::Experiment { id: id.to_owned(), log: self.number() };
        self.ask_logs(spec, move |outcome| {
            let CalibrateOutcome::Experiment(opened) = outcome else { return };
            calibrate.stop();
            let summary = opened.log.clone();
            let uses = summary.runs.iter().map(|run| (run.id, Use::Fit)).collect();
            let (log, name, stage) = (summary.log, opened.title.clone(), FileStage::Read(summary));
            calibrate.uses.set(uses);
            calibrate.files.set(vec![LogFile { log, name, size: 0.0, stage, file: None, is_of_folder: false }]);
            calibrate.config.set(None);
            calibrate.settings.set(opened.settings.clone());
            calibrate.note_use();
            calibrate.best.set(Vec::new());
            calibrate.fit.set(Some(opened.baseline.clone()));
            calibrate.earlier.set_value((None, Vec::new()));
            calibrate.forget_intervals();
            calibrate.problems.set(Vec::new());
            calibrate.phase.set(Phase::Idle);
            calibrate.experiment.set(Some(*opened));
            calibrate.picture();
        });
    }

    /// Opens a configuration, or asks it again about runs that came since; a new one is put into the options.
    pub(super) fn open_config(&self, name: String, file: Blob, is_new: bool) {
        let calibrate = *self;
        let runs: Vec<RunId> = self.uses.with_untracked(|uses| uses.keys().copied().collect());
        let settings = self.settings.get_untracked();
        let spec = CalibrateSpec::OpenConfig { name: name.clone(), settings, runs: runs.clone() };
        let own = file.clone();
        self.ask_logs_with(spec, Some(&file), move |outcome| {
            let CalibrateOutcome::Config(opened) = outcome else { return };
            if is_new {
                calibrate.settings.set(opened.settings.clone());
                calibrate.chosen_by_config.set_value(BTreeSet::new());
                calibrate.problems.set(Vec::new());
            }
            if opened.has_runs {
                // Each run once, so that the user can choose otherwise.
                let new =
                    runs.iter().filter(|run| calibrate.chosen_by_config.with_value(|chosen| !chosen.contains(run)));
                let [train, held_out] = &opened.runs;
                let of = |run: &RunId| match (train.contains(run), held_out.contains(run)) {
                    (true, _) => Use::Fit,
                    (false, true) => Use::KeepAside,
                    (false, false) => Use::Ignore,
                };
                let new: Vec<(RunId, Use)> = new.map(|run| (*run, of(run))).collect();
                calibrate.chosen_by_config.update_value(|chosen| chosen.extend(new.iter().map(|(run, _)| *run)));
                calibrate.uses.update(|uses| uses.extend(new));
            }
            let (name, file, num_runs) = (name.clone(), own.clone(), runs.len());
            calibrate.config.set(Some(ConfigFile { name, opened: *opened, num_runs, file }));
        });
    }

    fn open_fit(&self, name: String, file: Blob) {
        let calibrate = *self;
        let own = file.clone();
        self.ask_logs_with(CalibrateSpec::OpenFit { name: name.clone() }, Some(&file), move |outcome| {
            if let CalibrateOutcome::Fit(opened) = outcome {
                let (name, file) = (name.clone(), own.clone());
                calibrate.problems.set(Vec::new());
                calibrate.fit_file.set(Some(FitFile { name, opened: *opened, file }));
            }
        });
    }
}

/// After how many trials which loss was the best.
fn staircase(trials: &[Trial]) -> Vec<(u64, f64)> {
    let mut best: Vec<(u64, f64)> = Vec::new();
    for (count, (_, loss)) in (1..).zip(trials) {
        if let Some(loss) = loss
            && best.last().is_none_or(|(_, best)| loss < best)
        {
            best.push((count, *loss));
        }
    }
    best
}
