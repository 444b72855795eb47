//! From logs to coefficients: what the calibration tab asks.
//!
//! One worker keeps the logs it has read. Their files come to it in pieces, so that neither side ever holds a whole one,
//! and their numbers never leave it but as summaries, as a task for those who evaluate, and as what charts show.
//! Evaluations may go to any worker: the minimizer sits in the lab.

use plimsoll_core::calibrate::{Fit, FitSettings, FittedModel, Interval, Objective, Overload, RunReport};
use plimsoll_core::diagnostic::Diagnostic;
use plimsoll_core::measurement::{ArrivalSource, MeasuredDeployment, OfferedLoad, OverloadWindow, RunFigures};
use plimsoll_core::scenario::CalibratedOn;
use serde::{Deserialize, Serialize};

/// What a job of the calibration tab is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum CalibrateSpec {
    /// Take the next piece of a log in; ends in [`CalibrateOutcome::Piece`].
    Piece(PieceSpec),
    /// Forget a log; ends in [`CalibrateOutcome::Done`].
    Forget(LogId),
    /// Take a published experiment in as a log of one run, which is fitted with the quadratic model around its baseline;
    /// ends in [`CalibrateOutcome::Experiment`].
    Experiment {
        /// The experiment, e.g. `experiment-01`.
        id: String,
        /// A number for its log.
        log: LogId,
    },
    /// Say what is known of the server of some runs; ends in [`CalibrateOutcome::Server`].
    Server(ServerSpec),
    /// Describe the fit of some runs, with the attached configuration if one is named; ends in
    /// [`CalibrateOutcome::Text`] with a [`FitTask`](plimsoll_core::calibrate::FitTask).
    Task(TaskSpec),
    /// Open the attached configuration of the 2025 optimizer; ends in [`CalibrateOutcome::Config`].
    OpenConfig {
        /// Name of the file, for messages.
        name: String,
        /// How the search goes without it.
        settings: FitSettings,
        /// The runs there are, of which it chooses.
        runs: Vec<RunId>,
    },
    /// Evaluate points of a task; ends in [`CalibrateOutcome::Losses`].
    Evaluate(EvaluateSpec),
    /// Measure the intervals of the coefficients around the first point; ends in [`CalibrateOutcome::Intervals`].
    Intervals(EvaluateSpec),
    /// Replay runs with a fit; ends in [`CalibrateOutcome::Report`].
    Report(FitSpec),
    /// Write the file of a fit as the command line reads it; ends in [`CalibrateOutcome::Text`].
    FitFile {
        /// The fit.
        fit: FitSpec,
        /// 95 % intervals of its coefficients; none where they are not measured.
        intervals: Vec<Interval>,
    },
    /// Put a fit and its server into a scenario; ends in [`CalibrateOutcome::Text`].
    Apply {
        /// The scenario as JSON; empty for the base.
        scenario: String,
        /// The fit.
        fit: FitSpec,
    },
    /// Open the attached file of a fit; ends in [`CalibrateOutcome::Fit`].
    OpenFit {
        /// Name of the file, for messages.
        name: String,
    },
    /// Put the fit of the attached file and its server into a scenario; ends in [`CalibrateOutcome::Text`].
    ApplyFile {
        /// Name of the file, for messages.
        name: String,
        /// The scenario as JSON; empty for the base.
        scenario: String,
    },
    /// Write a study, with the attached configuration if one is named; ends in [`CalibrateOutcome::Text`].
    StudyFile(Box<StudySpec>),
    /// Open the attached study; ends in [`CalibrateOutcome::Study`].
    OpenStudy {
        /// Name of the file, for messages.
        name: String,
        /// Numbers for the logs of the runs that are fitted and of those kept aside.
        logs: [LogId; 2],
    },
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum CalibrateOutcome {
    /// A piece of a log was taken in; with the summary when that was the last one needed.
    Piece(Option<LogSummary>),
    /// Nothing is to be said.
    Done,
    /// What is known of a server.
    Server(Server),
    /// A text.
    Text(String),
    /// Losses in the order of the points, none for an infinite one; none at all if the worker lacks the task.
    Losses(Option<Vec<Option<f64>>>),
    /// 95 % intervals in the order of the task's space; none at all if the worker lacks the task.
    Intervals(Option<Vec<Interval>>),
    /// What a fit makes of runs.
    Report(Box<Report>),
    /// A configuration that was opened.
    Config(Box<OpenedConfig>),
    /// A study that was opened.
    Study(Box<OpenedStudy>),
    /// An experiment that was opened.
    Experiment(Box<OpenedExperiment>),
    /// A fit that was opened.
    Fit(Box<OpenedFit>),
}

/// Number of a log; the lab counts them, none is used twice.
pub type LogId = u32;

/// A run of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunId {
    /// The log.
    pub log: LogId,
    /// Position of the run in it.
    pub run: u32,
}

/// The next piece of a log's file, attached; the first piece begins the log anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PieceSpec {
    /// The log.
    pub log: LogId,
    /// Name of the file, for messages.
    pub name: String,
    /// Where the piece begins in the file, bytes.
    pub offset: u64,
    /// Whether nothing comes after it.
    pub is_last: bool,
}

/// What a log holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogSummary {
    /// The log.
    pub log: LogId,
    /// Its runs.
    pub runs: Vec<RunSummary>,
    /// Facts about the server that stand apart from any run.
    pub server: Option<MeasuredDeployment>,
    /// Whether it holds chunk times of another log's requests.
    pub has_gaps: bool,
    /// What is wrong with it or worth knowing; an error means that nothing of it is used.
    pub diagnostics: Vec<Diagnostic>,
}

/// A measured run in numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunSummary {
    /// Which.
    pub id: RunId,
    /// Name of the file, with the number of the run where it holds several.
    pub name: String,
    /// The format in words.
    pub format: String,
    /// Served requests with their own times.
    pub num_requests: u32,
    /// Failed ones.
    pub num_failed: u32,
    /// First send to last completion, seconds.
    pub span_s: Option<f64>,
    /// Where arrival times come from.
    pub arrivals: ArrivalSource,
    /// How load was offered; a rate beyond all numbers is left out.
    pub load: OfferedLoad,
    /// Shortest, mean and longest prompt, tokens.
    pub input_tokens: [f64; 3],
    /// The same of outputs.
    pub output_tokens: [f64; 3],
    /// Requests in flight on average.
    pub concurrency: Option<f64>,
    /// Latencies and throughput.
    pub figures: RunFigures,
    /// What the log says of the server.
    pub server: MeasuredDeployment,
    /// Stretches in which the server was overloaded.
    pub overload: Vec<OverloadWindow>,
    /// Why it cannot be fitted; empty if it can.
    pub obstacle: String,
}

/// What is said of a server beside its logs.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Said {
    /// By the user; wins over the logs.
    pub given: MeasuredDeployment,
    /// KV blocks by a configuration; the logs win over it.
    pub kv_blocks: Option<u32>,
}

/// What is known of the server of some runs, and what would be guessed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerSpec {
    /// The runs.
    pub runs: Vec<RunId>,
    /// What is said of it.
    pub said: Said,
}

/// The server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// Its facts in the order of asking.
    pub facts: Vec<Fact>,
    /// Models of the catalogue.
    pub models: Vec<String>,
    /// Accelerators of the catalogue.
    pub accelerators: Vec<String>,
    /// What speaks against fitting these runs together.
    pub diagnostics: Vec<Diagnostic>,
}

/// One fact about a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fact {
    /// Field of [`MeasuredDeployment`].
    pub field: String,
    /// What is taken for it; empty if nothing is.
    pub value: String,
    /// Where it comes from.
    pub origin: Origin,
}

/// Where a fact comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// The user said so.
    Given,
    /// A log says so.
    Logged,
    /// A configuration says so.
    Configured,
    /// Nobody says so.
    Guessed,
}

/// Which runs are fitted, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskSpec {
    /// Runs to fit.
    pub train: Vec<RunId>,
    /// What is said of the server.
    pub said: Said,
    /// How the search goes.
    pub settings: FitSettings,
    /// Name of the attached configuration that bounds the coefficients.
    pub config: Option<String>,
}

/// Points to evaluate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvaluateSpec {
    /// Number of the task; the lab counts them.
    pub task: u64,
    /// The task's text, for a worker that has none of this number yet.
    pub text: Option<String>,
    /// Points of the unit cube.
    pub points: Vec<Vec<f64>>,
}

/// A fit and the runs it is compared with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FitSpec {
    /// The fit.
    pub fit: Fit,
    /// Runs that were fitted, and runs that were kept aside.
    pub runs: [Vec<RunId>; 2],
    /// What is said of the server.
    pub said: Said,
    /// Most requests listed of each run.
    pub max_points: u32,
    /// Share of the time of the fitted runs, their end, that was kept aside; reported among the runs kept aside.
    #[serde(default)]
    pub validate_last: f64,
    /// Whether requests count that were sent while the server was overloaded.
    #[serde(default)]
    pub overload: Overload,
}

/// The report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// Runs that were fitted, and runs that were kept aside.
    pub runs: [Vec<RunReport>; 2],
    /// What the fit rests on.
    pub calibrated_on: CalibratedOn,
}

/// A study to be written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StudySpec {
    /// The best fit and its runs.
    pub fit: FitSpec,
    /// How the search went.
    pub settings: FitSettings,
    /// Name of the attached configuration that bounded the coefficients.
    pub config: Option<String>,
    /// Every trial in the order of telling: its point and its loss, none for an infinite one.
    pub trials: Vec<(Vec<f64>, Option<f64>)>,
}

/// A configuration of the 2025 optimizer that was opened: what it sets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenedConfig {
    /// How the search goes with it.
    pub settings: FitSettings,
    /// The model of its parameters; none if it has none.
    pub model: Option<FittedModel>,
    /// What it says is minimized.
    pub objective: Option<Objective>,
    /// The seed it gives.
    pub seed: Option<u64>,
    /// Coefficients that it has searched, from the lowest to the highest value, in the units of the model.
    pub searched: Vec<(String, [f64; 2])>,
    /// Coefficients that it fixes.
    pub fixed: Vec<(String, f64)>,
    /// KV blocks where no log states them.
    pub kv_blocks: Option<u32>,
    /// The folder in which its author had the logs.
    pub vllm_dir: Option<String>,
    /// Whether it chooses among runs at all.
    pub has_runs: bool,
    /// Runs to fit and runs to keep aside.
    pub runs: [Vec<RunId>; 2],
    /// What has no effect here, and runs it asks for that no log is.
    pub remarks: Vec<Diagnostic>,
}

/// A fit that was opened: what its file says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenedFit {
    /// The fit.
    pub fit: Fit,
    /// What it rests on.
    pub calibrated_on: CalibratedOn,
    /// What was guessed of its server.
    pub guesses: Vec<String>,
    /// The fitted runs.
    pub trained_on: Vec<FittedRun>,
    /// 95 % intervals of its coefficients; none where nobody measured them.
    pub intervals: Vec<Interval>,
}

/// A fitted run: name, requests, and errors in percent by name.
pub type FittedRun = (String, u64, Vec<(String, f64)>);

/// A study that was opened; its runs are logs again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenedStudy {
    /// The runs that are fitted, and those kept aside.
    pub logs: [LogSummary; 2],
    /// What the user said of the server.
    pub given: MeasuredDeployment,
    /// How the search went.
    pub settings: FitSettings,
    /// The best fit.
    pub best: Option<Fit>,
    /// Every trial in the order of telling.
    pub trials: Vec<(Vec<f64>, Option<f64>)>,
}

/// A published experiment that was opened; its run is a log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenedExperiment {
    /// Its run.
    pub log: LogSummary,
    /// Title for people.
    pub title: String,
    /// The model it is fitted with.
    pub settings: FitSettings,
    /// The published start, with its loss here.
    pub baseline: Fit,
    /// Recorded results, which are not comparable with losses, in sentences.
    pub records: Vec<String>,
    /// What is taken for granted, in sentences.
    pub assumptions: Vec<String>,
    /// What no search can find, in sentences.
    pub not_identifiable: Vec<String>,
}
