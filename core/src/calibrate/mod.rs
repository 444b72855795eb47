//! Which coefficients make the simulator repeat what was measured.
//!
//! A [`Replay`] offers the requests of a measured run again as its client did, through the very engine that every other
//! figure comes from, with a candidate model. An [`Objective`] compares what came of it with what was measured, and a
//! [`Calibration`] is the study that searches the coefficients of least difference.
//! [`Deployment::guess`] says what is taken for granted of the server where logs do not tell, and [`prior`] what physics
//! expects of each coefficient, so that what a log cannot decide stays plausible.

mod applied;
mod comparison;
mod deployment;
mod errors;
mod experiment;
mod features;
mod fit;
mod intervals;
mod kind;
mod linear;
mod moments;
mod objective;
mod optimizer;
mod part;
mod posterior;
mod prior;
mod replay;
mod report;
mod space;
mod task;
mod zero_shot;

pub use crate::latency::ClientEffects;
pub use applied::{calibrated_on, significant};
pub use comparison::{Bias, Comparison, Quality, Spread};
pub use deployment::Deployment;
pub use errors::RunErrors;
pub use experiment::{Experiment, ExperimentParameter, PublishedObjective};
pub use fit::{Calibration, Fit, FitSettings, Problem, Progress};
pub use intervals::Interval;
pub use kind::FittedModel;
pub use objective::{Objective, Weights};
pub use optimizer::Optimizer;
pub use part::Overload;
pub use prior::prior;
pub use replay::{Prediction, Replay};
pub use report::{RequestPoint, RunReport};
pub use space::{Parameter, Space};
pub use task::FitTask;
pub use zero_shot::ZeroShot;

use fit::MAX_REQUESTS;

#[cfg(test)]
mod tests {
    use crate::catalog::{Catalog, Provenance, QuadraticSpec, TrainedPhysicsSpec};
    use alloc::vec::Vec;

    /// A catalogue that knows nothing.
    pub fn catalog() -> Catalog {
        Catalog {
            models: Vec::new(),
            accelerators: Vec::new(),
            coefficients: Vec::new(),
            model_defaults: Vec::new(),
            presets: Vec::new(),
            step_times: None,
            trained_physics: TrainedPhysicsSpec { alpha: [0.0; 3], beta: [0.0; 10], provenance: Provenance::default() },
            quadratic: QuadraticSpec::default(),
        }
    }
}
