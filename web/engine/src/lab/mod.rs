//! The lab's jobs: one file for each kind, resumed in slices as trials are.

mod calibrate;
mod fit_file;
mod logs;
mod preview;
mod run;
mod servegen;

pub use calibrate::Bench;

use crate::host::Prepared;
use calibrate::CalibrateJob;
use plimsoll_core::scenario::{Scenario, TraceChoice};
use plimsoll_protocol::lab::{LabOutcome, LabSpec};
use plimsoll_protocol::{Failure, JobId, Response, decode, encode};
use preview::PreviewJob;
use run::RunJob;
use std::sync::Arc;

/// A job of the lab.
pub enum LabJob {
    /// A workload's requests are drawn.
    Preview(PreviewJob),
    /// Logs are read, or coefficients evaluated.
    Calibrate(CalibrateJob),
    /// Files were read, which takes one turn.
    Read(Option<LabOutcome>),
    /// A run is watched.
    Run(Box<RunJob>),
}

impl LabJob {
    /// A job at its start; `file` came along with it, `bench` is what earlier ones left, and `prepare` resolves a
    /// scenario.
    ///
    /// # Errors
    /// `undecodable`, or what the scenario is refused for.
    pub fn new(
        request: &str,
        file: Option<&[u8]>,
        bench: &mut Bench,
        mut prepare: impl FnMut(String) -> Result<Arc<Prepared>, Failure>,
    ) -> Result<Self, Failure> {
        match decode::<LabSpec>(request)? {
            LabSpec::Preview(spec) => {
                let prepared = prepare(with_workload(spec.scenario, spec.workload, spec.trace)?)?;
                Ok(Self::Preview(PreviewJob::new(&prepared, spec.request_rate, spec.num_requests)))
            }
            LabSpec::Calibrate(spec) => bench.start(spec, file).map(Self::Calibrate),
            LabSpec::ServeGen { files } => servegen::read(&files, file).map(|outcome| Self::Read(Some(outcome))),
            LabSpec::Run(mut spec) => {
                let prepared = prepare(core::mem::take(&mut spec.scenario))?;
                Ok(Self::Run(Box::new(RunJob::new(&prepared, &spec))))
            }
        }
    }

    /// Goes on for about `max_steps`; a [`LabOutcome`] as text, or why there is none, once the job is over.
    pub fn advance(&mut self, max_steps: u64) -> Option<Result<String, Failure>> {
        let outcome = match self {
            Self::Preview(job) => job.advance(max_steps).map(|preview| LabOutcome::Preview(Box::new(preview))),
            Self::Calibrate(job) => job.advance().map(LabOutcome::Calibrate),
            Self::Read(outcome) => outcome.take(),
            Self::Run(job) => job.advance(max_steps).map(|seen| LabOutcome::Run(Box::new(seen))),
        };
        outcome.map(|outcome| encode(&outcome))
    }

    /// How far it is, or what there is to show already.
    pub fn report(&mut self, job: JobId) -> Response {
        match self {
            Self::Calibrate(work) => {
                let (done, total) = work.progress();
                Response::Progress { job, done, total }
            }
            Self::Preview(_) | Self::Read(_) => Response::Progress { job, done: 0, total: None },
            Self::Run(run) => {
                let (done, total) = run.progress();
                Response::Progress { job, done, total: Some(total) }
            }
        }
    }
}

/// A scenario's text with another workload or trace, if one is given.
fn with_workload(scenario: String, workload: Option<String>, trace: Option<TraceChoice>) -> Result<String, Failure> {
    if workload.is_none() && trace.is_none() {
        return Ok(scenario);
    }
    let mut scenario: Scenario = decode(&scenario)?;
    if let Some(workload) = workload {
        scenario.workload = decode(&workload)?;
    }
    scenario.workload.trace = trace.or(scenario.workload.trace);
    encode(&scenario)
}
