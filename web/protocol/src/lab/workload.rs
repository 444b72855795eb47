//! What a workload will generate.

use plimsoll_core::report::WorkloadPreview;
use plimsoll_core::scenario::TraceChoice;
use serde::{Deserialize, Serialize};

/// Which workload is drawn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PreviewSpec {
    /// The scenario as JSON; a trace it names must have been read by this worker.
    pub scenario: String,
    /// A workload as JSON in place of the scenario's.
    pub workload: Option<String>,
    /// A trace in place of the scenario's.
    pub trace: Option<TraceChoice>,
    /// Requests per second to the whole cluster; none for the workload's own pace, a trace's as it was recorded.
    pub request_rate: Option<f64>,
    /// Requests to draw; a trace at its own pace is drawn whole.
    pub num_requests: u32,
}

/// What a workload will offer, with what it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Previewed {
    /// What it is made of, in a few words each.
    pub words: Vec<String>,
    /// Its requests, summed up.
    pub preview: WorkloadPreview,
}
