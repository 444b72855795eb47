//! The tables beside architectures and data sheets: trained coefficients, defaults, presets.

use super::Provenance;
use alloc::string::String;
use serde::{Deserialize, Serialize};

/// Black-box coefficients trained for one deployment (latency specification 1).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CoefficientRow {
    /// Row in the source table; gives the order in which rows are tried.
    pub line: u32,
    /// Model id, lower case.
    pub model: String,
    /// Accelerator id.
    pub accelerator: String,
    /// Accelerators per replica.
    pub tensor_parallel_size: u32,
    /// Server version the row was trained on.
    pub engine_version: String,
    /// KV blocks of that deployment.
    pub total_kv_blocks: u32,
    /// α0 (µs), α1 (µs per prompt token), α2 (µs per output token).
    pub alpha: [f64; 3],
    /// β0 (µs per step), β1 (µs per prefill token), β2 (µs per decode token).
    pub beta: [f64; 3],
    /// Where the numbers come from.
    #[serde(default)]
    pub provenance: Provenance,
}

impl CoefficientRow {
    /// Whether both rows answer to the same model, accelerator, parallelism and server version.
    #[must_use]
    pub fn has_key_of(&self, other: &Self) -> bool {
        self.tensor_parallel_size == other.tensor_parallel_size
            && self.model.eq_ignore_ascii_case(&other.model)
            && self.accelerator.eq_ignore_ascii_case(&other.accelerator)
            && self.engine_version.eq_ignore_ascii_case(&other.engine_version)
    }
}

/// The deployment a model is looked up on when a scenario names none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelDefault {
    /// Model id, lower case.
    pub model: String,
    /// Accelerator id.
    pub accelerator: String,
    /// Accelerators per replica.
    pub tensor_parallel_size: u32,
    /// Server version.
    pub engine_version: String,
}

/// A normal length distribution, clamped to its bounds; tokens.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LengthSpec {
    /// Mean before clamping.
    pub mean: f64,
    /// Standard deviation before clamping.
    pub std_dev: f64,
    /// Smallest length.
    pub min: u32,
    /// Largest length.
    pub max: u32,
}

/// Token lengths of a typical use.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkloadPreset {
    /// Id, e.g. `chatbot`.
    pub id: String,
    /// Length of the shared prefix.
    #[serde(default)]
    pub prefix_tokens: u32,
    /// Prompt tokens without the prefix.
    pub input_tokens: LengthSpec,
    /// Output tokens.
    pub output_tokens: LengthSpec,
    /// Where the numbers come from.
    #[serde(default)]
    pub provenance: Provenance,
}

/// Coefficients of the trained-physics model (latency specification 4).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainedPhysicsSpec {
    /// α0: queueing delay, µs; α1: once per request with output, µs; α2: per output token, µs.
    pub alpha: [f64; 3],
    /// β1..10, in the units of the formula's terms.
    pub beta: [f64; 10],
    /// Where the numbers come from.
    #[serde(default)]
    pub provenance: Provenance,
}

/// Published coefficients of the quadratic model (the 2025 black-box model).
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuadraticSpec {
    /// Id of the model they were fitted to; lower case.
    pub model: String,
    /// Schedule time, update time, queue overhead and vLLM overhead, µs.
    pub alpha: [f64; 4],
    /// `c0` to `c14`, seconds.
    pub beta: [f64; 15],
    /// Where the numbers come from.
    #[serde(default)]
    pub provenance: Provenance,
}
