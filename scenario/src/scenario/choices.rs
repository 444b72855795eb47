//! What a picker offers: everything the catalogue knows, with the reason where it does not resolve.
//!
//! A choice is available exactly if the scenario with it resolves, so a picker can never offer what then fails.

use super::{AcceleratorChoice, LatencyModelChoice, ModelChoice, Scenario};
use crate::catalog::Catalog;
use crate::diagnostic::{Diagnostic, Severity};
use crate::numeric::sort_few;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// The parallelism a picker offers; what is in the scenario already is added to it.
const TENSOR_PARALLEL_SIZES: [u32; 5] = [1, 2, 4, 8, 16];

/// One line of a picker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    /// The value to put into the scenario.
    pub id: String,
    /// Text for people.
    pub label: String,
    /// Whether the scenario resolves with it, for accelerators and models at some parallelism.
    pub is_available: bool,
    /// Why it is not available, or at which parallelism it is if not at the present one; may be empty.
    pub reason: String,
}

impl Scenario {
    /// Every model of the catalogue, on the accelerator of this scenario.
    #[must_use]
    pub fn model_choices(&self, catalog: &Catalog) -> Vec<Choice> {
        let with_model = |id: &str| {
            let mut scenario = self.clone();
            scenario.deployment.model = ModelChoice::Id(id.to_string());
            scenario.forget_coefficients_version();
            scenario
        };
        catalog
            .models
            .iter()
            .map(|model| with_model(&model.id).at_some_parallelism(catalog, &model.id, &model.id))
            .collect()
    }

    /// Every accelerator of the catalogue, for the model of this scenario.
    #[must_use]
    pub fn accelerator_choices(&self, catalog: &Catalog) -> Vec<Choice> {
        let with_accelerator = |id: &str| {
            let mut scenario = self.clone();
            scenario.deployment.accelerator = Some(AcceleratorChoice::Id(id.to_string()));
            scenario
        };
        catalog
            .accelerators
            .iter()
            .map(|accelerator| {
                let name = if accelerator.name.is_empty() { &accelerator.id } else { &accelerator.name };
                with_accelerator(&accelerator.id).at_some_parallelism(catalog, &accelerator.id, name)
            })
            .collect()
    }

    /// Parallelism 1 to 16 in powers of two, and the present one, for model and accelerator of this scenario.
    #[must_use]
    pub fn tensor_parallel_choices(&self, catalog: &Catalog) -> Vec<Choice> {
        let mut sizes = TENSOR_PARALLEL_SIZES.to_vec();
        if let Some(present) = self.deployment.tensor_parallel_size
            && !sizes.contains(&present)
        {
            sizes.push(present);
            sort_few(&mut sizes, Ord::cmp);
        }
        sizes
            .into_iter()
            .map(|size| {
                let reason = self.at_parallelism(size).obstacle(catalog);
                Choice {
                    id: size.to_string(),
                    label: size.to_string(),
                    is_available: reason.is_none(),
                    reason: reason.unwrap_or_default(),
                }
            })
            .collect()
    }

    /// The step-time models, for the deployment of this scenario; the calibrated one where there is a fit, and the
    /// quadratic one where there are coefficients for it.
    #[must_use]
    pub fn latency_model_choices(&self, catalog: &Catalog) -> Vec<Choice> {
        [
            (LatencyModelChoice::Auto, "auto"),
            (LatencyModelChoice::MeasuredRoofline, "measured-roofline"),
            (LatencyModelChoice::TrainedPhysics, "trained-physics"),
            (LatencyModelChoice::Blackbox, "blackbox"),
            (LatencyModelChoice::Roofline, "roofline"),
            (LatencyModelChoice::Quadratic, "quadratic"),
            (LatencyModelChoice::Calibrated, "calibrated"),
        ]
        .into_iter()
        .filter(|(choice, _)| {
            let latency = &self.latency;
            latency.model == *choice
                || match choice {
                    LatencyModelChoice::Calibrated => latency.fit.is_some(),
                    // Its published coefficients are for one model; others bring their own.
                    LatencyModelChoice::Quadratic => latency.beta.as_ref().is_some_and(|beta| beta.len() >= 15),
                    _ => true,
                }
        })
        .map(|(choice, name)| {
            let mut scenario = self.clone();
            scenario.latency.model = choice;
            let reason = scenario.obstacle(catalog);
            Choice {
                id: name.to_string(),
                label: name.to_string(),
                is_available: reason.is_none(),
                reason: reason.unwrap_or_default(),
            }
        })
        .collect()
    }

    fn at_some_parallelism(&self, catalog: &Catalog, id: &str, label: &str) -> Choice {
        let choice =
            |is_available, reason| Choice { id: id.to_string(), label: label.to_string(), is_available, reason };
        let Some(obstacle) = self.obstacle(catalog) else { return choice(true, String::new()) };
        let other =
            TENSOR_PARALLEL_SIZES.into_iter().find(|&size| self.at_parallelism(size).obstacle(catalog).is_none());
        match other {
            Some(size) => choice(true, format!("with tensor_parallel_size {size}")),
            None => choice(false, obstacle),
        }
    }

    fn at_parallelism(&self, size: u32) -> Self {
        let mut scenario = self.clone();
        scenario.deployment.tensor_parallel_size = Some(size);
        scenario
    }

    /// The first error about deployment, memory or latency model; problems elsewhere are not the picker's.
    fn obstacle(&self, catalog: &Catalog) -> Option<String> {
        let probe = Self {
            deployment: self.deployment.clone(),
            engine: self.engine.clone(),
            latency: self.latency.clone(),
            ..Self::default()
        };
        let concerns_choice = |diagnostic: &Diagnostic| {
            diagnostic.severity == Severity::Error
                && (diagnostic.path.starts_with("deployment")
                    || diagnostic.path.starts_with("latency")
                    || diagnostic.code == "kv-cache-too-small")
        };
        let diagnostics = probe.resolve(catalog).err()?;
        diagnostics.into_iter().find(concerns_choice).map(|diagnostic| diagnostic.message)
    }
}
