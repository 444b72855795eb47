//! What is known: models, accelerators, trained coefficients, presets, and where each number comes from.
//!
//! A [`Catalog`] is plain data, read once and never changed; ids are compared without case.
//! It answers "what is there under this name" and nothing else: which of it a scenario uses is decided by
//! [`crate::scenario`].

mod cache;
mod card_names;
mod check;
mod compute;
mod context;
mod flat;
mod footprint;
mod lookup;
mod plausibility;
mod spec;
mod step_times;
mod table;

pub use cache::product;
pub use cache::{Cache, Span, StateShape};
pub use compute::{Compute, ExpertCompute, LayerCompute, Matrix, Share};
pub use footprint::{Caches, Footprint, Part, Spread, Weights};
pub use lookup::{Lookup, did_you_mean, edit_distance, meant, nearest};
pub use spec::{AcceleratorSpec, Dtype, Generation, ModelSpec, Provenance, RopeScaling, weight_bytes_from_name};
pub use step_times::{AllReduceRate, AttentionRate, CardRates, KernelRate, Residual, ServerRates, StepTimesSpec};
pub use table::{CoefficientRow, LengthSpec, ModelDefault, QuadraticSpec, TrainedPhysicsSpec, WorkloadPreset};

use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Everything the product knows by name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalog {
    /// Architectures, sorted by id.
    pub models: Vec<ModelSpec>,
    /// Data sheets; those with measured efficiencies first.
    pub accelerators: Vec<AcceleratorSpec>,
    /// Trained black-box coefficients in the order of their source: of rows with an equal key the first is used.
    pub coefficients: Vec<CoefficientRow>,
    /// The deployment each model is measured on by default.
    pub model_defaults: Vec<ModelDefault>,
    /// Workloads by name.
    pub presets: Vec<WorkloadPreset>,
    /// Coefficients of the trained-physics model.
    pub trained_physics: TrainedPhysicsSpec,
    /// Coefficients of the quadratic model.
    pub quadratic: QuadraticSpec,
    /// Rates of kernels and what a server adds, for the measured roofline.
    #[serde(default, with = "flat")]
    pub step_times: Option<StepTimesSpec>,
}
