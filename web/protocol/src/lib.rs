//! The messages between page and worker: two enums, one codec, one version.
//!
//! The page sends [`Request`]s, a worker answers with [`Response`]s, both as JSON text.
//! A worker first answers [`Request::Hello`] with [`Response::Ready`] or [`Response::Refused`]; nothing else is
//! accepted before.
//! Every job that was started ends with exactly one of [`Response::Finished`], [`Response::Failed`] and
//! [`Response::Cancelled`], and that message is its last.
//! Failures are data; nothing is thrown across the boundary.
//!
//! The bytes of a file travel beside the text as an *attachment* (a browser `Blob`), because they are large and
//! the page must not touch them.
//! This crate knows no browser, so both ends are tested natively.

mod codec;
mod desk;
pub mod lab;
pub mod view;

pub use codec::{Decoded, decode, encode};
pub use desk::{
    AcceleratorSheet, Basics, DefaultSetting, DeskState, Edit, EngineLimits, LedgerItem, LedgerView, Resolved, Said,
    ServeLineRead, ServerSetting,
};

use plimsoll_core::curve::{CurveTrial, PointSample};
use plimsoll_core::diagnostic::Diagnostic;
use plimsoll_core::scenario::Choice;
use serde::{Deserialize, Serialize};

/// Version of the messages; the two sides must be equal.
pub const PROTOCOL_VERSION: u32 = 5;

/// Number of a job: grows, is never reused, stays below 2⁵³.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobId(pub u64);

/// From the page to a worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// First message.
    Hello {
        /// The page's [`PROTOCOL_VERSION`].
        protocol: u32,
        /// The page's build, so that a page and a worker of different deployments are told apart.
        build: String,
    },
    /// Begin a job.
    Start {
        /// Its number.
        job: JobId,
        /// What is to be done.
        spec: Spec,
    },
    /// Stop a job at the next slice; unknown and finished jobs are ignored.
    Cancel {
        /// Its number.
        job: JobId,
    },
}

/// What a job is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Spec {
    /// Run trials of one scenario, in order; ends in [`Outcome::Samples`].
    Trials {
        /// The scenario as JSON, complete, so that a worker needs no memory of earlier jobs.
        scenario: String,
        /// What to run; one sample comes back for each, in this order.
        trials: Vec<CurveTrial>,
    },
    /// Parse the attached file; ends in [`Outcome::File`].
    ///
    /// A worker keeps a trace it has read and uses it when a scenario names its hash.
    ReadFile {
        /// File name, for messages and as a hint to the format.
        name: String,
    },
    /// Change a scenario; ends in [`Outcome::Desk`].
    Desk {
        /// The scenario as JSON; empty for the base.
        scenario: String,
        /// The change.
        edit: Edit,
    },
    /// List what the picker of a field offers; ends in [`Outcome::Choices`].
    Choices {
        /// The scenario as JSON.
        scenario: String,
        /// Path of the field.
        path: String,
    },
    /// A job of the lab; ends in [`Outcome::Lab`]. Only the workers' second form knows them.
    Lab {
        /// A [`lab::LabSpec`] as JSON.
        request: String,
    },
}

/// From a worker to the page.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Response {
    /// The worker is ready for jobs.
    Ready {
        /// The worker's [`PROTOCOL_VERSION`].
        protocol: u32,
        /// The worker's build.
        build: String,
    },
    /// The worker will do nothing: versions differ, or a message came before the handshake.
    Refused {
        /// Why, in words.
        reason: String,
    },
    /// How far a job is; at most ten a second and job.
    Progress {
        /// Its number.
        job: JobId,
        /// Units done.
        done: u64,
        /// Units in all, if known.
        total: Option<u64>,
    },
    /// A valid intermediate result: samples that are ready, with the position of the first in the job's trials.
    Partial {
        /// Its number.
        job: JobId,
        /// Position of the first of `samples` in the job's trials.
        first: u32,
        /// Samples ready since the last message of this job.
        samples: Vec<PointSample>,
    },
    /// Something to show of a job of the lab that goes on; at most ten a second and job.
    Update {
        /// Its number.
        job: JobId,
        /// What, as the job's own kind of message in JSON.
        text: String,
    },
    /// Last message of a job that was carried out.
    Finished {
        /// Its number.
        job: JobId,
        /// What came of it.
        outcome: Outcome,
    },
    /// Last message of a job that could not be carried out.
    Failed {
        /// Its number.
        job: JobId,
        /// Why.
        failure: Failure,
    },
    /// Last message of a job that was cancelled.
    Cancelled {
        /// Its number.
        job: JobId,
    },
}

impl Response {
    /// The job this message belongs to, if it belongs to one.
    #[must_use]
    pub fn job(&self) -> Option<JobId> {
        match self {
            Response::Ready { .. } | Response::Refused { .. } => None,
            Response::Progress { job, .. }
            | Response::Partial { job, .. }
            | Response::Update { job, .. }
            | Response::Finished { job, .. }
            | Response::Failed { job, .. }
            | Response::Cancelled { job } => Some(*job),
        }
    }

    /// Whether this is the last message of its job.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self, Response::Finished { .. } | Response::Failed { .. } | Response::Cancelled { .. })
    }
}

/// What came of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Outcome {
    /// One sample for each trial that no [`Response::Partial`] has carried yet, in order.
    Samples {
        /// The samples.
        samples: Vec<PointSample>,
    },
    /// A parsed file.
    File {
        /// What was in it.
        content: FileContent,
        /// Notes and warnings.
        diagnostics: Vec<Diagnostic>,
    },
    /// The scenario after an edit.
    Desk {
        /// It as the page shows it.
        state: Box<DeskState>,
        /// What there is to say.
        said: Said,
    },
    /// What a picker offers.
    Choices {
        /// Path of the field.
        path: String,
        /// The choices.
        choices: Vec<Choice>,
    },
    /// What came of a job of the lab.
    Lab {
        /// A [`lab::LabOutcome`] as JSON.
        answer: String,
    },
}

/// What a file turned out to hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum FileContent {
    /// A scenario.
    Scenario {
        /// The scenario as written, as JSON; it is not resolved yet.
        scenario: String,
    },
    /// A model architecture, from a `config.json`.
    Model {
        /// Its id.
        id: String,
        /// The architecture as JSON.
        model: String,
        /// Parameters of the language model with its head; none where the family is not described.
        parameters: Option<u64>,
    },
    /// A workload specification.
    Workload {
        /// The workload it describes, as JSON.
        workload: String,
    },
    /// A trace of requests; the worker keeps it.
    Trace {
        /// Hash of the parsed trace, as a scenario names it.
        hash: String,
        /// Requests in it.
        num_requests: u64,
        /// First to last arrival, seconds.
        span_s: f64,
        /// Mean input tokens.
        mean_input_tokens: f64,
        /// Mean output tokens.
        mean_output_tokens: f64,
    },
}

/// Why a job failed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// Stable kebab-case name: `invalid-input`, `undecodable`, `unknown-trace`, `crashed`, `unavailable`.
    pub code: String,
    /// What happened, one sentence.
    pub message: String,
    /// Every problem of the input; empty unless `invalid-input`.
    #[serde(default)]
    pub diagnostics: Vec<Diagnostic>,
}

impl Failure {
    /// A failure without diagnostics.
    #[must_use]
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), message: message.into(), diagnostics: Vec::new() }
    }

    /// Its problems, one at least: what happened stands for itself where nothing else is known.
    #[must_use]
    pub fn into_problems(self) -> Vec<Diagnostic> {
        if self.diagnostics.is_empty() {
            return vec![Diagnostic::error(&self.code, "", self.message)];
        }
        self.diagnostics
    }

    /// An input that cannot be used, with every problem found.
    #[must_use]
    pub fn invalid_input(diagnostics: Vec<Diagnostic>) -> Self {
        Self { diagnostics, ..Self::new("invalid-input", "the input cannot be used") }
    }
}

#[cfg(test)]
mod tests {
    /// FNV-1a, 64 bits.
    fn hash(text: &str) -> u64 {
        text.bytes()
            .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
    }

    #[test]
    fn the_document_is_that_of_these_messages() {
        let messages = include_str!("lib.rs").split("#[cfg(test)]").next().unwrap_or_default();
        let expected = format!("{:016x}", hash(messages));
        let document = include_str!("../../../docs/worker-protocol.md");
        assert!(document.contains(&expected), "review docs/worker-protocol.md and state the hash {expected} in it");
    }
}
