//! Rates of measured kernels and what a server adds to them, as `cargo xtask fit-steps` writes them.

use super::Provenance;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// The rate of a kernel that multiplies matrices: `fixed + (compute^p + memory^p)^(1/p)`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KernelRate {
    /// Share of the data sheet's peak, 0–1.
    pub compute: f64,
    /// Share of the data sheet's bandwidth, 0–1.
    pub memory: f64,
    /// Microseconds of a call that does next to nothing.
    #[serde(default)]
    pub fixed_us: f64,
    /// `p`: how sharply the longer of the two hides the other; 1 adds them up.
    pub sharpness: f64,
    /// Rows that each expert's work is filled up by; only experts have such.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub tile_rows: f64,
}

/// The rate of an attention kernel.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttentionRate {
    /// Share of the peak in prompts, 0–1.
    pub prompt_compute: f64,
    /// How often keys, values, queries and outputs of a prompt are moved.
    pub prompt_moves: f64,
    /// Microseconds of a call for prompts that does next to nothing.
    pub prompt_us: f64,
    /// Share of the bandwidth while decoding, 0–1.
    pub decode_memory: f64,
    /// Microseconds of a call for decodes that does next to nothing.
    pub decode_us: f64,
}

/// The rate of adding up a message among some ranks: `fixed + bytes/rate + root·√bytes`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AllReduceRate {
    /// Ranks.
    pub ranks: u32,
    /// Microseconds of an empty message.
    #[serde(default)]
    pub fixed_us: f64,
    /// GB/s of a long one.
    pub gb_per_s: f64,
    /// Nanoseconds per square root of a byte.
    #[serde(default)]
    pub root_ns: f64,
}

/// What was measured of an accelerator.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CardRates {
    /// Its id in the catalogue.
    pub accelerator: String,
    /// Matrices of 16 bits.
    pub gemm: KernelRate,
    /// Matrices of 8 bits; none where it has no units for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gemm_8bit: Option<KernelRate>,
    /// Experts of 16 bits.
    pub experts: KernelRate,
    /// Experts of 8 bits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub experts_8bit: Option<KernelRate>,
    /// Experts of 4 bits that are computed in 16.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub experts_4bit: Option<KernelRate>,
    /// Attention.
    pub attention: AttentionRate,
    /// Adding up among ranks, fewest first.
    pub all_reduce: Vec<AllReduceRate>,
    /// What a decode kernel reaches in a server, where contexts differ, of what it reaches alone.
    pub decode_in_server: f64,
    /// The same of matrices' reading of memory.
    pub memory_in_server: f64,
    /// Share of the peak that long prompts keep up, 0–1: its power limits the rest.
    pub sustained: f64,
}

/// What a server adds to its kernels.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerRates {
    /// What kernels that compute reach in a server of what they reach alone.
    pub compute: f64,
    /// How much longer than alone adding up takes.
    pub all_reduce: f64,
    /// Microseconds of norms, rotations and the like in a layer.
    pub layer_us: f64,
    /// How often what they read and write is moved.
    pub layer_moves: f64,
    /// Nanoseconds in which attention passes a token of the context one after another.
    pub pass_ns: f64,
    /// Microseconds of work above the sustained share that are made up for by rest.
    pub burst_us: f64,
    /// Microseconds of launching a layer in a step without decodes, within the captured sizes.
    pub launch_prompt_us: f64,
    /// The same with decodes.
    pub launch_mixed_us: f64,
    /// The same beyond the captured sizes.
    pub launch_eager_us: f64,
    /// What experts add to launching a layer: within and beyond the captured sizes.
    pub launch_experts_us: [f64; 2],
    /// What a state adds to that, and beyond them in a step without decodes.
    pub launch_state_us: [f64; 3],
    /// Microseconds of a step.
    pub step_us: f64,
    /// Microseconds of each request of it.
    pub request_us: f64,
    /// Microseconds of a step, and of each request of it, in which the card waits for a server that plans a step only
    /// after the one before.
    pub sync_us: [f64; 2],
    /// Microseconds of updating the state of a layer.
    pub state_us: f64,
    /// How often a state is read and written.
    pub state_moves: f64,
    /// How often what a prompt's tokens give a state is moved.
    pub state_token_moves: f64,
    /// What share of experts, as a power of the tokens, a batch touches: 1 if each token chose by itself.
    pub expert_spread: f64,
    /// What experts reach in a server of what they reach alone.
    pub experts: f64,
    /// Microseconds before a request is in the queue.
    pub front_us: f64,
}

/// How far a fit is from what it was fitted to, or from what was held back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Residual {
    /// Of what.
    pub of: String,
    /// How many measured values.
    pub rows: u32,
    /// Half of the errors are smaller, percent.
    pub median_percent: f64,
    /// Nine tenths of the errors are smaller, percent.
    pub p90_percent: f64,
}

/// Rates of kernels and servers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepTimesSpec {
    /// Measured accelerators.
    pub cards: Vec<CardRates>,
    /// What a server adds.
    pub server: ServerRates,
    /// How far they are from what was measured; in the file alone, a built catalogue has none.
    #[serde(default)]
    pub residuals: Vec<Residual>,
    /// Where the numbers come from.
    #[serde(default)]
    pub provenance: Provenance,
}

fn is_zero(value: &f64) -> bool {
    *value == 0.0
}
