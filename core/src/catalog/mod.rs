//! What is known: models, accelerators, trained coefficients, presets, and where each number comes from.

mod spec;

pub use spec::{AcceleratorSpec, Dtype, ModelSpec, Provenance, RopeScaling};
