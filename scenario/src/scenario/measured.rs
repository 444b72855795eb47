//! The step-time model of measured kernels for a deployment.

use super::Basis;
use super::Batching;
use super::deployment::KnownDeployment;
use super::resolve::{ChosenLatency, Resolution, rooted};
use crate::catalog::{AcceleratorSpec, Catalog, ModelSpec};
use crate::diagnostic::Diagnostic;
use crate::kv_plan::KvDtype;
use crate::latency::{Card, ClientEffects, Inputs, LatencyModel};
use alloc::format;
use alloc::vec::Vec;

/// The most tokens whose launches a server captures unless told otherwise.
///
/// # Source
/// vLLM: `max_cudagraph_capture_size` is the smaller of twice `max_num_seqs` and 512.
const MAX_CAPTURED: u32 = 512;

impl<'a> Resolution<'a> {
    /// The measured roofline, or why there is none.
    pub(super) fn measured_roofline(
        &self,
        deployment: &KnownDeployment<'_>,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<ChosenLatency<'a>> {
        for (field, values) in [("alpha", &self.scenario.latency.alpha), ("beta", &self.scenario.latency.beta)] {
            if values.is_some() {
                let message = "the measured roofline takes no coefficients";
                diagnostics.push(
                    Diagnostic::error("coefficients-not-used", format!("latency.{field}"), message)
                        .with_hint("leave them out, or choose blackbox or trained-physics"),
                );
                return None;
            }
        }
        let (model, accelerator) = self.analytical_inputs(deployment, diagnostics)?;
        let built = self.measured_of(deployment, model, accelerator);
        let (latency, is_measured) = rooted(built, diagnostics)?;
        let basis = if is_measured { Basis::Analytical } else { Basis::Extrapolated };
        if !is_measured {
            let message = format!("kernels were not measured on {}, so latencies are extrapolated", accelerator.id);
            diagnostics.push(
                Diagnostic::warning("extrapolated", "deployment.accelerator", message)
                    .with_hint("calibrate with a log of your own server for figures to rely on"),
            );
        }
        Some(ChosenLatency { model: latency, basis, client: ClientEffects::default(), calibrated_on: None, row: None })
    }

    fn measured_of(
        &self,
        deployment: &KnownDeployment<'_>,
        model: &ModelSpec,
        accelerator: &AcceleratorSpec,
    ) -> Result<(LatencyModel, bool), Vec<Diagnostic>> {
        let engine = &self.scenario.engine;
        let server = MeasuredServer {
            model,
            accelerator,
            tensor_parallel_size: deployment.tensor_parallel_size,
            enable_expert_parallel: engine.enable_expert_parallel,
            kv_cache_dtype: engine.kv_cache_dtype.as_deref().and_then(KvDtype::named).unwrap_or(KvDtype::Auto),
            max_num_seqs: self.in_force.limits.max_num_seqs,
            async_scheduling: self.batching_in_force(None) == Batching::Async,
        };
        server.latency(self.catalog)
    }
}

/// A server whose step times are predicted from measured kernels.
#[derive(Debug, Clone, Copy)]
pub struct MeasuredServer<'a> {
    /// What it serves.
    pub model: &'a ModelSpec,
    /// Each rank's accelerator.
    pub accelerator: &'a AcceleratorSpec,
    /// Ranks that split each layer.
    pub tensor_parallel_size: u32,
    /// Whether ranks have whole experts.
    pub enable_expert_parallel: bool,
    /// The type of cached keys and values.
    pub kv_cache_dtype: KvDtype,
    /// Most sequences of a step.
    pub max_num_seqs: u32,
    /// Whether the next step is planned before the last one is done.
    pub async_scheduling: bool,
}

impl MeasuredServer<'_> {
    /// Its step times, and whether kernels were measured on its accelerator itself.
    ///
    /// # Errors
    /// What the layers compute is not known, or nothing was measured.
    pub fn latency(&self, catalog: &Catalog) -> Result<(LatencyModel, bool), Vec<Diagnostic>> {
        let unknown = |path: &str, message| {
            let problem = Diagnostic::error("architecture-incomplete", path, message);
            Err(alloc::vec![problem.with_hint("paste the model's config.json, or choose trained-physics")])
        };
        let footprint = match &self.model.footprint {
            Some(footprint) if !footprint.compute.is_unknown() => footprint,
            _ => return unknown("model", format!("what the layers of {} compute is not known", self.model.id)),
        };
        let Some(spec) = &catalog.step_times else {
            return unknown("accelerator", "no kernels were measured".into());
        };
        let Some(card) = Card::of(self.accelerator, &spec.cards, &catalog.accelerators) else {
            return unknown("accelerator", "no kernels were measured".into());
        };
        let inputs = Inputs {
            compute: &footprint.compute,
            value_bytes: f64::from(self.kv_cache_dtype.bytes(footprint.value_bytes)),
            state_bytes: f64::from(footprint.state_bytes),
            card,
            spec,
            ranks: self.tensor_parallel_size,
            expert_parallel: self.enable_expert_parallel,
            captured: self.max_num_seqs.saturating_mul(2).min(MAX_CAPTURED),
            is_async: self.async_scheduling,
        };
        Ok((LatencyModel::MeasuredRoofline(inputs.model()), card.is_measured))
    }
}
