//! Which step-time models are fitted, and what their coefficients are called.

use super::Deployment;
use crate::diagnostic::Diagnostic;
use crate::latency::{LatencyModel, QUADRATIC_ALPHA, QUADRATIC_BETA};
use crate::scenario::{LatencyModelChoice, fitted_latency};
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Which step-time model is fitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FittedModel {
    /// The roofline with fitted rates and overheads.
    #[default]
    Calibrated,
    /// α and β per step, prefill token and decode token.
    Blackbox,
    /// The polynomial in 14 features of a step, with four overheads.
    Quadratic,
    /// The roofline of the data sheet: shares of peak and bandwidth that are reached, and overheads.
    Roofline,
    /// The corrections of the roofline's terms, and overheads.
    TrainedPhysics,
}

const OVERHEADS: [&str; 3] = ["alpha0", "alpha1", "alpha2"];
const BETA_FROM_0: [&str; 8] = ["beta0", "beta1", "beta2", "beta3", "beta4", "beta5", "beta6", "beta7"];
const BETA_FROM_1: [&str; 10] =
    ["beta1", "beta2", "beta3", "beta4", "beta5", "beta6", "beta7", "beta8", "beta9", "beta10"];
const SHARES: [&str; 3] = ["mfu_prefill", "mfu_decode", "bandwidth_share"];
/// What the coefficients of the polynomial are, overheads last.
const QUADRATIC_MEANINGS: [&str; 19] = [
    "a request that decodes",
    "a prompt token",
    "a token of the largest chunk",
    "a prompt",
    "decodes, squared",
    "decodes × prompt tokens",
    "decodes × largest chunk",
    "decodes × prompts",
    "prompt tokens, squared",
    "prompt tokens × largest chunk",
    "prompt tokens × prompts",
    "largest chunk, squared",
    "largest chunk × prompts",
    "prompts, squared",
    "a step, whatever is in it",
    "scheduling a step",
    "updating after a step",
    "queue of a step",
    "client and HTTP of a request",
];
/// What the client sees beside the steps ([`super::ClientEffects`]); no coefficients of a step-time model.
const CLIENT: [&str; 2] = ["idle", "busy"];

impl FittedModel {
    /// All of them, the default first.
    pub const ALL: [Self; 5] =
        [Self::Calibrated, Self::Blackbox, Self::Quadratic, Self::Roofline, Self::TrainedPhysics];

    /// Its name in files and on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Calibrated => "calibrated",
            Self::Blackbox => "blackbox",
            Self::Quadratic => "quadratic",
            Self::Roofline => "roofline",
            Self::TrainedPhysics => "trained-physics",
        }
    }

    /// What it is, in a few words.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Calibrated => "calibrated roofline",
            Self::Blackbox => "black box α, β",
            Self::Quadratic => "quadratic, 14 features",
            Self::Roofline => "roofline of the data sheet",
            Self::TrainedPhysics => "trained-physics",
        }
    }

    /// The model of this name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|model| model.name() == name)
    }

    /// The same model in a scenario.
    #[must_use]
    pub fn choice(self) -> LatencyModelChoice {
        match self {
            Self::Calibrated => LatencyModelChoice::Calibrated,
            Self::Blackbox => LatencyModelChoice::Blackbox,
            Self::Quadratic => LatencyModelChoice::Quadratic,
            Self::Roofline => LatencyModelChoice::Roofline,
            Self::TrainedPhysics => LatencyModelChoice::TrainedPhysics,
        }
    }

    /// Names of α in their order.
    #[must_use]
    pub fn alpha_names(self) -> &'static [&'static str] {
        if self == Self::Quadratic { &QUADRATIC_ALPHA } else { &OVERHEADS }
    }

    /// Names of β in their order.
    #[must_use]
    pub fn beta_names(self) -> &'static [&'static str] {
        match self {
            Self::Calibrated => &BETA_FROM_0,
            Self::Blackbox => BETA_FROM_0.split_at(3).0,
            Self::Quadratic => &QUADRATIC_BETA,
            Self::Roofline => &SHARES,
            Self::TrainedPhysics => &BETA_FROM_1,
        }
    }

    /// Whether a parameter of this name changes anything.
    #[must_use]
    pub fn knows(self, name: &str) -> bool {
        self.alpha_names().contains(&name) || self.beta_names().contains(&name) || CLIENT.contains(&name)
    }

    /// What a coefficient is, in a few words.
    #[must_use]
    pub fn meaning(self, name: &str) -> &'static str {
        match (self, name) {
            (_, "idle") => "what a request waits that finds nobody in flight",
            (_, "busy") => "what a request waits for each other one in flight",
            (Self::Quadratic, _) => QUADRATIC_MEANINGS
                .iter()
                .zip(QUADRATIC_BETA.iter().chain(&QUADRATIC_ALPHA))
                .find(|(_, known)| **known == name)
                .map_or("", |(meaning, _)| meaning),
            (Self::TrainedPhysics, "alpha0") => "waiting before the queue",
            (Self::TrainedPhysics, "alpha1") => "handling of a whole answer",
            (_, "alpha0") => "client, network and tokenization of a request",
            (_, "alpha1") => "the same per prompt token",
            (_, "alpha2") => "handling of an output token",
            (Self::Roofline, "mfu_prefill") => "share of the peak reached by prompts",
            (Self::Roofline, "mfu_decode") => "share of the peak reached by decoding",
            (Self::Roofline, "bandwidth_share") => "share of the memory bandwidth reached",
            (Self::TrainedPhysics, "beta1") => "computing prompts",
            (Self::TrainedPhysics, "beta2") => "computing decodes",
            (Self::TrainedPhysics, "beta3") => "reading the weights",
            (Self::TrainedPhysics, "beta4") => "all-reduce",
            (Self::TrainedPhysics, "beta5") => "a layer",
            (Self::TrainedPhysics, "beta6") => "a request in a step",
            (Self::TrainedPhysics, "beta7") => "a step, whatever is in it",
            (Self::TrainedPhysics, "beta8") => "an interleaved layer of experts",
            (Self::TrainedPhysics, "beta9") => "writing keys and values of prompts",
            (Self::TrainedPhysics, "beta10") => "reading keys and values in decodes",
            (_, "beta0") => "a step, whatever is in it",
            (Self::Blackbox, "beta1") => "a prompt token",
            (Self::Blackbox, "beta2") => "a request that decodes",
            (Self::Calibrated, "beta1") => "a request in a step",
            (Self::Calibrated, "beta2") => "reading the weights",
            (Self::Calibrated, "beta3") => "multiplying a token with them",
            (Self::Calibrated, "beta4") => "reading a context token in attention",
            (Self::Calibrated, "beta5") => "attention of a prompt token to one before it",
            (Self::Calibrated, "beta6") => {
                "how prompts join: 0 synchronous scheduling, 1 asynchronous scheduling, 2 the V0 engine"
            }
            (Self::Calibrated, "beta7") => "launching a step with prompts",
            _ => "",
        }
    }

    /// The unit a coefficient is shown in, and by what it is multiplied for that.
    #[must_use]
    pub fn unit(self, name: &str) -> (f64, &'static str) {
        match (self, name) {
            (Self::Quadratic, name) if QUADRATIC_BETA.contains(&name) => (1e6, "µs"),
            (Self::Roofline, name) if SHARES.contains(&name) => (1.0, ""),
            (Self::TrainedPhysics, "beta1" | "beta2" | "beta3" | "beta4" | "beta9" | "beta10") => (1.0, "×"),
            (Self::Calibrated, "beta6") => (1.0, ""),
            _ => (1.0, "µs"),
        }
    }

    /// α and β from coefficients by name; those that are not named are 0.
    #[must_use]
    pub fn coefficients<'a>(self, named: impl Iterator<Item = (&'a str, f64)>) -> (Vec<f64>, Vec<f64>) {
        let (alpha_names, beta_names) = (self.alpha_names(), self.beta_names());
        let (mut alpha, mut beta) = (alloc::vec![0.0; alpha_names.len()], alloc::vec![0.0; beta_names.len()]);
        for (name, value) in named {
            let at = |names: &[&str]| names.iter().position(|known| *known == name);
            let slot = match (at(alpha_names), at(beta_names)) {
                (Some(index), _) => alpha.get_mut(index),
                (_, Some(index)) => beta.get_mut(index),
                _ => None,
            };
            if let Some(slot) = slot {
                *slot = value;
            }
        }
        (alpha, beta)
    }

    /// The model with these coefficients, on the architecture and the data sheet of a server where it needs them.
    ///
    /// # Errors
    /// A coefficient is missing, out of range or not finite, or the model needs what is not known of the server.
    pub fn latency(
        self,
        alpha: &[f64],
        beta: &[f64],
        deployment: &Deployment,
    ) -> Result<LatencyModel, Vec<Diagnostic>> {
        let inputs = deployment.model.as_ref().zip(deployment.accelerator.as_ref());
        fitted_latency(self.choice(), alpha, beta, inputs, deployment.tensor_parallel_size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calibrate::tests::catalog;
    use crate::measurement::MeasuredDeployment;

    #[test]
    fn coefficients_find_their_places_by_name() {
        let of = |model: FittedModel, named: &[(&'static str, f64)]| model.coefficients(named.iter().copied());
        let (alpha, beta) = of(FittedModel::Quadratic, &[("vllm_overhead", 6.0), ("intercept", 2.0), ("beta0", 9.0)]);
        assert_eq!((alpha, beta.iter().sum::<f64>(), beta[14]), (alloc::vec![0.0, 0.0, 0.0, 6.0], 2.0, 2.0));
        // The corrections of trained-physics are counted from one.
        let (_, beta) = of(FittedModel::TrainedPhysics, &[("beta1", 1.0), ("beta10", 10.0), ("idle", 5.0)]);
        assert_eq!((beta[0], beta[9], beta.len()), (1.0, 10.0, 10));
        let (_, beta) = of(FittedModel::Blackbox, &[("beta2", 3.0), ("beta3", 4.0)]);
        assert_eq!(beta, [0.0, 0.0, 3.0]);
    }

    #[test]
    fn every_kind_has_a_name_of_its_own_that_leads_back() {
        for model in FittedModel::ALL {
            assert_eq!(FittedModel::of_name(model.name()), Some(model));
            for name in model.alpha_names().iter().chain(model.beta_names()) {
                assert!(!model.meaning(name).is_empty(), "{model:?} {name}");
            }
        }
        assert_eq!(FittedModel::of_name("auto"), None);
    }

    #[test]
    fn kinds_on_a_data_sheet_say_that_they_need_one() {
        let unknown = Deployment::guess(&catalog(), &MeasuredDeployment::default());
        for model in [FittedModel::Roofline, FittedModel::TrainedPhysics] {
            let problems = model.latency(&[0.0; 3], &[0.5; 10], &unknown).unwrap_err();
            assert_eq!(problems[0].code, "unknown-architecture");
        }
        assert!(FittedModel::Quadratic.latency(&[1.0; 4], &[1e-3; 15], &unknown).is_ok());
    }
}
