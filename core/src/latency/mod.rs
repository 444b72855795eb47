//! How long things take: step time, queueing delay and output overheads (latency specification 1–4).
//!
//! One enum of models behind one interface; everything that does not change during a run is computed once, in the
//! constructors, without changing a bit of the result.

use alloc::vec::Vec;
use crate::catalog::{AcceleratorSpec, ModelSpec};
use crate::diagnostic::Diagnostic;

/// Trained or calibrated coefficients per deployment (latency specification 1).
#[derive(Debug, Clone, PartialEq)]
pub struct Blackbox {
    /// α0..2, microseconds, microseconds per prompt token, microseconds per output token.
    pub alpha: [f64; 3],
    /// β0..2, microseconds per step, per prefill token, per decode token.
    pub beta: [f64; 3],
}

/// A step-time model, ready to be asked.
#[derive(Debug, Clone, PartialEq)]
pub enum LatencyModel {
    /// Trained or calibrated coefficients.
    Blackbox(Blackbox),
}

impl LatencyModel {
    /// The black-box model; errors where a coefficient is not finite or negative, or all are zero.
    ///
    /// `alpha` and `beta` need at least three values each; further ones are ignored.
    pub fn blackbox(_alpha: &[f64], _beta: &[f64]) -> Result<Self, Vec<Diagnostic>> {
        Err(Vec::new())
    }

    /// The roofline model; `alpha` empty = 0,0,0.
    pub fn roofline(_model: &ModelSpec, _accelerator: &AcceleratorSpec, _tp: u32, _alpha: &[f64]) -> Result<Self, Vec<Diagnostic>> {
        Err(Vec::new())
    }

    /// The trained-physics model with α0..2 and β1..10 (at least seven β; missing ones are 0).
    pub fn trained_physics(_model: &ModelSpec, _accelerator: &AcceleratorSpec, _tp: u32, _alpha: &[f64], _beta: &[f64]) -> Result<Self, Vec<Diagnostic>> {
        Err(Vec::new())
    }
}

/// Names of the terms that busy time is split into, in the order of [`crate::observation::TimeShares`].
///
/// Roofline: `compute`, `weights`, `kv-cache`. Trained-physics: `prefill`, `decode`, `weights`, `all-reduce`, `layers`,
/// `requests`, `fixed`, `moe`. Black-box: `fixed`, `prefill`, `decode`.
#[must_use]
pub fn time_share_names(_model: &LatencyModel) -> &'static [&'static str] {
    &[]
}
