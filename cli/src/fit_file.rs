//! The file that holds a fit.

use plimsoll_core::MODEL_VERSION;
use plimsoll_core::calibrate::{ClientEffects, Fit, FittedModel};
use plimsoll_core::measurement::MeasuredDeployment;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Version of the file.
pub const FIT_VERSION: u32 = 1;

/// A fit and everything that makes it reproducible.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FitFile {
    /// [`FIT_VERSION`].
    pub fit_version: u32,
    /// Model version of the program that made it.
    pub model_version: u32,
    /// The step-time model.
    pub latency: FittedLatency,
    /// The server it was fitted for, as logged or given.
    pub deployment: MeasuredDeployment,
    /// What was guessed of the server.
    #[serde(default)]
    pub guesses: Vec<String>,
    /// The logs, with the errors of the fit on them in percent.
    #[serde(default)]
    pub trained_on: Vec<TrainedOn>,
    /// Evaluations of the search.
    #[serde(default)]
    pub evaluations: u64,
    /// Loss at the fit.
    #[serde(default)]
    pub loss: f64,
}

/// Coefficients, in microseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FittedLatency {
    /// Which model.
    pub model: FittedModel,
    /// α0…
    pub alpha: Vec<f64>,
    /// β0…
    pub beta: Vec<f64>,
    /// What the client sees beside the steps.
    #[serde(default)]
    pub client: ClientEffects,
}

/// One log of the training set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainedOn {
    /// Name of the run.
    pub file: String,
    /// Its requests.
    pub num_requests: usize,
    /// Errors, percent.
    pub errors: BTreeMap<String, f64>,
}

impl FitFile {
    /// The file of a fit.
    pub fn new(fit: &Fit, deployment: MeasuredDeployment, guesses: Vec<String>, trained_on: Vec<TrainedOn>) -> Self {
        Self {
            fit_version: FIT_VERSION,
            model_version: MODEL_VERSION,
            latency: FittedLatency {
                model: fit.model,
                alpha: fit.alpha.clone(),
                beta: fit.beta.clone(),
                client: fit.client,
            },
            deployment,
            guesses,
            trained_on,
            evaluations: fit.evaluations,
            loss: fit.loss,
        }
    }

    /// The fit of the file.
    pub fn fit(&self) -> Fit {
        Fit {
            model: self.latency.model,
            alpha: self.latency.alpha.clone(),
            beta: self.latency.beta.clone(),
            client: self.latency.client,
            loss: self.loss,
            evaluations: self.evaluations,
        }
    }
}
