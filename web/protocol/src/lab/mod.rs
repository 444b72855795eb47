//! What the lab asks of a worker: the work behind the tabs that the first visit does not load.
//!
//! These messages travel as text inside [`crate::Spec::Lab`], [`crate::Response::Update`] and [`crate::Outcome::Lab`],
//! so that neither the page nor the simulator it loads first holds a word of them. The lab and the workers' second form
//! both derive their text from these types.

mod calibrate;
mod run;
mod workload;

pub use calibrate::{
    CalibrateOutcome, CalibrateSpec, EvaluateSpec, Fact, FitSpec, FittedRun, LogId, LogSummary, OpenedConfig,
    OpenedExperiment, OpenedFit, OpenedStudy, Origin, PieceSpec, Report, RunId, RunSummary, Said, Server, ServerSpec,
    StudySpec, TaskSpec,
};
pub use run::{DecisionColumns, FATES, Figure, PHASES, ReplicaSeen, RequestColumns, RunSeen, RunSpec};
pub use workload::{PreviewSpec, Previewed};

use plimsoll_core::diagnostic::Diagnostic;
use serde::{Deserialize, Serialize};

/// What a job of the lab is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum LabSpec {
    /// Draw a workload's requests and sum them up; ends in [`LabOutcome::Preview`].
    Preview(PreviewSpec),
    /// A job of the calibration tab; ends in [`LabOutcome::Calibrate`].
    Calibrate(CalibrateSpec),
    /// Read the attached files of a ServeGen folder, one behind the other; ends in [`LabOutcome::Workload`].
    ServeGen {
        /// Name and length of each, bytes.
        files: Vec<(String, u64)>,
    },
    /// Make one run and watch it; ends in [`LabOutcome::Run`].
    Run(RunSpec),
}

/// What came of a job of the lab.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum LabOutcome {
    /// What a workload will offer.
    Preview(Box<Previewed>),
    /// What came of a job of the calibration tab.
    Calibrate(CalibrateOutcome),
    /// What files describe.
    Workload {
        /// The workload as JSON.
        workload: String,
        /// Notes and warnings.
        diagnostics: Vec<Diagnostic>,
    },
    /// What was seen of a run.
    Run(Box<RunSeen>),
}
