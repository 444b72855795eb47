//! The step-time model of measured kernels for a deployment.

use super::Basis;
use super::Batching;
use super::deployment::KnownDeployment;
use super::resolve::{ChosenLatency, Resolution, rooted};
use crate::catalog::{AcceleratorSpec, ModelSpec};
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
        let unknown = |path: &str, message| {
            let problem = Diagnostic::error("architecture-incomplete", path, message);
            Err(alloc::vec![problem.with_hint("paste the model's config.json, or choose trained-physics")])
        };
        let footprint = match &model.footprint {
            Some(footprint) if !footprint.compute.is_unknown() => footprint,
            _ => return unknown("model", format!("what the layers of {} compute is not known", model.id)),
        };
        let Some(spec) = &self.catalog.step_times else {
            return unknown("accelerator", "no kernels were measured".into());
        };
        let Some(card) = Card::of(accelerator, &spec.cards, &self.catalog.accelerators) else {
            return unknown("accelerator", "no kernels were measured".into());
        };
        let stated = engine.kv_cache_dtype.as_deref().and_then(KvDtype::named).and_then(KvDtype::stated_bytes);
        let inputs = Inputs {
            compute: &footprint.compute,
            value_bytes: f64::from(stated.unwrap_or(footprint.value_bytes)),
            state_bytes: f64::from(footprint.state_bytes),
            card,
            spec,
            ranks: deployment.tensor_parallel_size,
            expert_parallel: engine.enable_expert_parallel,
            captured: self.in_force.limits.max_num_seqs.saturating_mul(2).min(MAX_CAPTURED),
            is_async: self.batching_in_force(None) == Batching::Async,
        };
        Ok((LatencyModel::MeasuredRoofline(inputs.model()), card.is_measured))
    }
}
