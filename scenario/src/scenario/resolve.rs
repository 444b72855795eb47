//! From what was asked to what can be run.
//!
//! Every problem is reported, not the first one; what depends on a broken part is skipped.
//! After this the engine cannot fail.

use super::deployment::{CoefficientsOf, KnownDeployment, look_up, under};
use super::limits::Bounds;
use super::rules::InForce;
use super::{
    Basis, Batching, BlocksSource, CalibratedOn, EngineConfig, EngineDefault, LatencyModelChoice, LatencySettings,
    ResolvedScenario, Rules, Scenario,
};
use crate::catalog::{AcceleratorSpec, Catalog, CoefficientRow, Lookup, ModelSpec};
use crate::diagnostic::{Checked, Diagnostic, Severity, Warned};
use crate::latency::{ClientEffects, LatencyModel};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

impl Scenario {
    /// [`Scenario::resolve`] for a study over the request rate, which a workload of users who wait does not have.
    ///
    /// # Errors
    /// As there, and `closed-loop-without-rate`.
    pub fn resolve_for_curve(&self, catalog: &Catalog) -> Checked<ResolvedScenario> {
        let mut resolved = self.resolve(catalog)?;
        match resolved.value.workload.without_rate() {
            None => Ok(resolved),
            Some(problem) => {
                resolved.diagnostics.push(problem);
                Err(resolved.diagnostics)
            }
        }
    }

    /// Checks the scenario and fills in what it leaves out.
    ///
    /// # Errors
    /// Every problem found, with the warnings; at least one of them is an error.
    ///
    /// # Source
    /// Latency specification 5 and 6; definitions 6 to 9 and 14.
    pub fn resolve(&self, catalog: &Catalog) -> Checked<ResolvedScenario> {
        let mut diagnostics = Vec::new();
        let mut bounds = Bounds { diagnostics: &mut diagnostics };
        bounds.version(self);
        let (horizon, cpu_tier) = bounds.engine(self);
        bounds.scheduling(self);
        let cluster = bounds.cluster(&self.cluster);
        let workload = bounds.workload(&self.workload);
        bounds.slo(&self.slo);
        bounds.slo_classes(&self.slo_classes, &self.workload);
        bounds.curve(&self.curve);

        let brings_coefficients = match self.latency.model {
            LatencyModelChoice::Auto | LatencyModelChoice::Blackbox => {
                self.latency.alpha.is_some() && self.latency.beta.is_some()
            }
            LatencyModelChoice::Calibrated => self.latency.fit.is_some(),
            LatencyModelChoice::Quadratic => true,
            LatencyModelChoice::MeasuredRoofline
            | LatencyModelChoice::Roofline
            | LatencyModelChoice::TrainedPhysics => false,
        };
        let scheduling = self.engine.scheduling;
        let deployment = look_up(&self.deployment, scheduling, catalog, brings_coefficients, &mut diagnostics);
        let parts = deployment.and_then(|deployment| {
            let in_force = self.in_force(&deployment, deployment.model.map_or(0, ModelSpec::longest_context));
            let resolution = Resolution { scenario: self, catalog, in_force };
            let latency = resolution.latency(&deployment, &mut diagnostics);
            let memory = resolution.blocks(&deployment, latency.as_ref(), &mut diagnostics);
            Some((resolution, deployment, latency?, memory?))
        });

        let sizes_are_valid = self.engine.block_size > 0 && self.engine.max_num_seqs != Some(0);
        let Some((resolution, mut deployment, latency, memory)) = parts.filter(|_| sizes_are_valid) else {
            return Err(diagnostics);
        };
        match (&deployment.coefficients_of, latency.row) {
            (CoefficientsOf::Nearest(wanted), Some(row)) => {
                let of = &row.engine_version;
                deployment.filled_in.push(format!("coefficients of {of} (the nearest to vLLM {wanted})"));
            }
            // Under the rules of the reference the server version chooses a coefficient row and nothing else.
            (_, None) => deployment.filled_in.retain(|line| !line.starts_with("server_version")),
            (_, Some(_)) => {}
        }
        let max_model_len = resolution.max_model_len(&deployment, &latency, &memory, &mut diagnostics);
        if !diagnostics.iter().any(|found| found.severity == Severity::Error && found.path.starts_with("workload")) {
            resolution.workload_fits(&workload, &memory, max_model_len, &mut diagnostics);
        }
        let rules = resolution.rules(&latency.model, max_model_len, memory.groups, &mut diagnostics);
        diagnostics.extend(self.newer_rules(&deployment, latency.row.is_some()));
        if diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error) {
            return Err(diagnostics);
        }
        let InForce { limits, mut defaults, version, .. } = resolution.in_force;
        let is_of_row = memory.ledger.as_ref().is_some_and(|ledger| ledger.source() == BlocksSource::CoefficientRow);
        if is_of_row || self.engine.kv_cache_memory_bytes.is_some() {
            // No share of the memory was looked at.
            defaults.retain(|default| default.path != "engine.gpu_memory_utilization");
        }
        if let (Rules::VllmV1(rules), None, true) = (&rules, self.engine.async_scheduling, self.engine.use_v1) {
            defaults.push(EngineDefault {
                path: "engine.async_scheduling",
                value: (rules.batching == Batching::Async).to_string(),
                source: match latency.model {
                    LatencyModel::Calibrated(_) => "as the fit found it".to_string(),
                    _ => format!("default of vLLM {version}"),
                },
            });
        }
        deployment.filled_in.extend(defaults.iter().filter(|default| default.is_told()).map(EngineDefault::line));
        deployment.filled_in.extend(memory.filled_in);
        let engine = EngineConfig {
            num_blocks: memory.blocks,
            block_size: memory.block_size,
            max_num_seqs: limits.max_num_seqs,
            // The smaller of the two counts; the larger one is what the server prepares for.
            max_num_batched_tokens: limits
                .max_num_batched_tokens
                .min(self.engine.max_num_scheduled_tokens.filter(|_| self.engine.is_vllm()).unwrap_or(u32::MAX)),
            long_prefill_token_threshold: self.engine.long_prefill_token_threshold,
            max_model_len,
            enable_prefix_caching: self.engine.enable_prefix_caching,
            scheduler: self.engine.reference_order(),
            priority: self.engine.priority,
            cpu_tier,
            horizon,
            rules,
        };
        let value = ResolvedScenario {
            engine,
            cluster,
            latency: latency.model,
            client: latency.client,
            workload,
            slo: self.slo.clone(),
            slo_classes: self.slo_classes.clone(),
            curve: self.curve.clone(),
            seed: self.seed,
            basis: latency.basis,
            calibrated_on: latency.calibrated_on,
            ledger: memory.ledger,
            model: deployment.model_id,
            accelerator: deployment.accelerator_id,
            tensor_parallel_size: deployment.tensor_parallel_size,
            filled_in: deployment.filled_in,
            server_version: self.engine.is_vllm().then_some(version),
            defaults,
        };
        Ok(Warned { value, diagnostics })
    }
}

/// The step-time model in force.
pub(super) struct ChosenLatency<'a> {
    pub model: LatencyModel,
    pub basis: Basis,
    /// What clients and front end add.
    pub client: ClientEffects,
    /// The fit in use.
    pub calibrated_on: Option<CalibratedOn>,
    /// The coefficient row in use.
    pub row: Option<&'a CoefficientRow>,
}

pub(super) struct Resolution<'a> {
    pub scenario: &'a Scenario,
    pub catalog: &'a Catalog,
    pub in_force: InForce,
}

impl<'a> Resolution<'a> {
    /// Chooses the step-time model by latency specification 5.2 to 5.4.
    fn latency(
        &self,
        deployment: &KnownDeployment<'_>,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<ChosenLatency<'a>> {
        let LatencySettings { model: choice, alpha, beta, .. } = &self.scenario.latency;
        let row = deployment.row(self.catalog);
        match (choice, alpha, beta) {
            (LatencyModelChoice::Auto | LatencyModelChoice::Blackbox, Some(alpha), Some(beta)) => {
                let model = rooted(LatencyModel::blackbox(alpha, beta), diagnostics)?;
                Some(ChosenLatency {
                    model,
                    basis: Basis::Calibrated,
                    client: ClientEffects::default(),
                    calibrated_on: None,
                    row: None,
                })
            }
            (LatencyModelChoice::Auto | LatencyModelChoice::Blackbox, Some(_), None) => {
                diagnostics.push(half_given("alpha", "beta"));
                None
            }
            (LatencyModelChoice::Auto | LatencyModelChoice::Blackbox, None, Some(_)) => {
                diagnostics.push(half_given("beta", "alpha"));
                None
            }
            (LatencyModelChoice::Auto, None, None) => match row {
                Some(row) => self.coefficients_of(row, diagnostics),
                None => self.automatic(deployment, diagnostics),
            },
            (LatencyModelChoice::Blackbox, None, None) => match row {
                Some(row) => self.coefficients_of(row, diagnostics),
                None => {
                    diagnostics.push(self.no_coefficients(deployment));
                    None
                }
            },
            (LatencyModelChoice::Calibrated, ..) => self.fitted(deployment, diagnostics),
            (LatencyModelChoice::MeasuredRoofline, ..) => self.measured_roofline(deployment, diagnostics),
            (LatencyModelChoice::Quadratic, ..) => self.quadratic(deployment, diagnostics),
            (LatencyModelChoice::Roofline, None, None) => self.roofline(deployment, diagnostics),
            (LatencyModelChoice::Roofline, ..) => {
                let path = if beta.is_some() { "latency.beta" } else { "latency.alpha" };
                diagnostics.push(
                    Diagnostic::error("coefficients-not-used", path, "the roofline model takes no coefficients")
                        .with_hint("leave them out, or choose blackbox or trained-physics"),
                );
                None
            }
            (LatencyModelChoice::TrainedPhysics, ..) => self.trained_physics(deployment, diagnostics),
        }
    }

    /// What was fitted to logs.
    fn fitted(&self, deployment: &KnownDeployment<'_>, diagnostics: &mut Vec<Diagnostic>) -> Option<ChosenLatency<'a>> {
        let LatencySettings { alpha, beta, fit, .. } = &self.scenario.latency;
        for (field, values) in [("alpha", alpha), ("beta", beta)] {
            if values.is_some() {
                diagnostics.push(
                    Diagnostic::error(
                        "coefficients-not-used",
                        format!("latency.{field}"),
                        "the calibrated model takes its coefficients from latency.fit",
                    )
                    .with_hint("leave them out, or choose blackbox or trained-physics"),
                );
            }
        }
        let Some(fit) = fit else {
            diagnostics.push(
                Diagnostic::error("fit-missing", "latency.fit", "no fit is given for the calibrated model")
                    .with_hint("calibrate with logs of your server, or choose trained-physics"),
            );
            return None;
        };
        let place = (deployment.model_id.as_str(), deployment.accelerator_id.as_str(), deployment.tensor_parallel_size);
        let inputs = deployment.model.zip(deployment.accelerator);
        let (model, basis) = fit.resolve(place, inputs, &self.scenario.workload, diagnostics)?;
        self.remark_negative(&model, diagnostics);
        Some(ChosenLatency {
            model,
            basis,
            client: fit.client,
            calibrated_on: Some(fit.calibrated_on.clone()),
            row: None,
        })
    }

    /// The polynomial with coefficients of one's own, or the published ones.
    fn quadratic(
        &self,
        deployment: &KnownDeployment<'_>,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<ChosenLatency<'a>> {
        let LatencySettings { alpha, beta, .. } = &self.scenario.latency;
        let published = &self.catalog.quadratic;
        let alpha = alpha.as_deref().unwrap_or(&published.alpha);
        let model = LatencyModel::quadratic(alpha, beta.as_deref().unwrap_or(&published.beta));
        let model = rooted(model, diagnostics)?;
        self.remark_negative(&model, diagnostics);
        let basis = if beta.is_some() {
            Basis::Calibrated
        } else if deployment.model_id.eq_ignore_ascii_case(&published.model) {
            Basis::Trained
        } else {
            let message = format!("the published coefficients of the quadratic model are for {}", published.model);
            diagnostics.push(
                Diagnostic::warning("extrapolated", "latency.model", message)
                    .with_hint("give latency.beta, calibrate with logs of your own server, or choose trained-physics"),
            );
            Basis::Extrapolated
        };
        Some(ChosenLatency { model, basis, client: ClientEffects::default(), calibrated_on: None, row: None })
    }

    /// Says where a fitted polynomial has left the steps it was fitted to so far that it is negative.
    fn remark_negative(&self, model: &LatencyModel, diagnostics: &mut Vec<Diagnostic>) {
        let limits = self.in_force.limits;
        if let LatencyModel::Quadratic(model) = model
            && let Some(count) = model.negative_from(limits.max_num_seqs, limits.max_num_batched_tokens)
        {
            let message = format!("the polynomial is negative for steps of {count} prompts that fill the token budget");
            diagnostics.push(Diagnostic::warning("coefficients-implausible", "latency.model", message).with_hint(
                "such steps are predicted far too short; lower engine.max_num_seqs, or choose another model",
            ));
        }
    }

    fn coefficients_of(&self, row: &'a CoefficientRow, diagnostics: &mut Vec<Diagnostic>) -> Option<ChosenLatency<'a>> {
        if let Some(reason) = self.catalog.implausibility(row) {
            diagnostics.push(
                Diagnostic::warning("coefficients-implausible", "latency.model", reason)
                    .with_hint("choose trained-physics for this deployment"),
            );
        }
        let model = rooted(LatencyModel::blackbox(&row.alpha, &row.beta), diagnostics)?;
        Some(ChosenLatency {
            model,
            basis: Basis::Trained,
            client: ClientEffects::default(),
            calibrated_on: None,
            row: Some(row),
        })
    }

    /// `auto` without coefficients: trained-physics where the heads can be split, otherwise the roofline.
    fn automatic(
        &self,
        deployment: &KnownDeployment<'_>,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<ChosenLatency<'a>> {
        let Some((model, _)) = deployment.model.zip(deployment.accelerator) else {
            diagnostics.push(self.no_coefficients(deployment));
            return None;
        };
        let tp = deployment.tensor_parallel_size;
        let splits = model.num_attention_heads.is_multiple_of(tp) && model.num_key_value_heads.is_multiple_of(tp);
        let is_physics = splits && model.intermediate_size > 0;
        let name = if is_physics { "trained-physics" } else { "roofline" };
        diagnostics.push(
            Diagnostic::note(
                "no-coefficients",
                "latency.model",
                format!("no coefficients were trained for {}; {name} predicts", described(deployment)),
            )
            .with_hint(self.trained_deployments(deployment)),
        );
        if is_physics { self.trained_physics(deployment, diagnostics) } else { self.roofline(deployment, diagnostics) }
    }

    fn roofline(
        &self,
        deployment: &KnownDeployment<'_>,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<ChosenLatency<'a>> {
        let (model, accelerator) = self.analytical_inputs(deployment, diagnostics)?;
        let tp = deployment.tensor_parallel_size;
        let latency = rooted(LatencyModel::roofline(model, accelerator, tp, &[]), diagnostics)?;
        Some(self.analytical(deployment, latency, model, accelerator, diagnostics))
    }

    fn trained_physics(
        &self,
        deployment: &KnownDeployment<'_>,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<ChosenLatency<'a>> {
        let (model, accelerator) = self.analytical_inputs(deployment, diagnostics)?;
        let settings = &self.scenario.latency;
        let alpha = settings.alpha.as_deref().unwrap_or(&self.catalog.trained_physics.alpha);
        let beta = settings.beta.as_deref().unwrap_or(&self.catalog.trained_physics.beta);
        let tp = deployment.tensor_parallel_size;
        let latency = rooted(LatencyModel::trained_physics(model, accelerator, tp, alpha, beta), diagnostics)?;
        let mut chosen = self.analytical(deployment, latency, model, accelerator, diagnostics);
        if settings.beta.is_some() {
            chosen.basis = Basis::Calibrated;
        }
        Some(chosen)
    }

    /// What roofline and trained-physics need, or errors that say where to get it.
    pub(super) fn analytical_inputs<'d>(
        &self,
        deployment: &KnownDeployment<'d>,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<(&'d ModelSpec, &'d AcceleratorSpec)> {
        if deployment.model.is_none() {
            diagnostics.push(
                Diagnostic::error(
                    "unknown-architecture",
                    "deployment.model",
                    format!("the architecture of {} is not in the catalogue", deployment.model_id),
                )
                .with_hint(format!(
                    "give its config.json, or choose blackbox: {}",
                    self.trained_deployments(deployment)
                )),
            );
        }
        if deployment.accelerator.is_none() {
            let (message, hint) = (
                format!("there is no data sheet for accelerator \"{}\"", deployment.accelerator_id),
                "give its data sheet or choose one of the catalogue",
            );
            diagnostics
                .push(Diagnostic::error("unknown-accelerator", "deployment.accelerator", message).with_hint(hint));
        }
        deployment.model.zip(deployment.accelerator)
    }

    /// Says what an analytical prediction rests on, and where the formulas are coarser than the deployment.
    fn analytical(
        &self,
        deployment: &KnownDeployment<'_>,
        latency: LatencyModel,
        model: &ModelSpec,
        accelerator: &AcceleratorSpec,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> ChosenLatency<'a> {
        let is_known_sheet =
            !deployment.has_custom_accelerator || self.catalog.accelerators.iter().any(|known| known == accelerator);
        let mut is_extrapolated = accelerator.is_extrapolated || !is_known_sheet;
        if is_extrapolated {
            let message =
                format!("the efficiencies of {} were not measured, so latencies are extrapolated", accelerator.id);
            diagnostics.push(
                Diagnostic::warning("extrapolated", "deployment.accelerator", message)
                    .with_hint("calibrate with a log of your own server for figures to rely on"),
            );
        }
        if model.kv_lora_rank > 0 {
            is_extrapolated = true;
            diagnostics.push(Diagnostic::warning(
                "latent-attention-as-full",
                "deployment.model",
                "the step-time formulas charge full keys and values where the model caches a latent vector, so decode is predicted too slow",
            ));
        }
        if model.sliding_window > 0 {
            diagnostics.push(Diagnostic::warning(
                "sliding-window-as-full",
                "deployment.model",
                format!(
                    "layers with a sliding window of {} tokens are treated as full attention",
                    model.sliding_window
                ),
            ));
        }
        let derived = model.hidden_size / model.num_attention_heads.max(1);
        if model.head_dim > 0 && model.head_dim != derived {
            is_extrapolated = true;
            diagnostics.push(Diagnostic::note(
                "head-size-derived",
                "deployment.model",
                format!("the step-time formulas use a head size of {derived} where the model has {}", model.head_dim),
            ));
        }
        let basis = if is_extrapolated { Basis::Extrapolated } else { Basis::Analytical };
        ChosenLatency { model: latency, basis, client: ClientEffects::default(), calibrated_on: None, row: None }
    }

    fn no_coefficients(&self, deployment: &KnownDeployment<'_>) -> Diagnostic {
        Diagnostic::error(
            "no-coefficients",
            "latency.model",
            format!("no coefficients were trained for {}", described(deployment)),
        )
        .with_hint(format!("{}; or choose trained-physics", self.trained_deployments(deployment)))
    }

    /// The deployments of this model that have coefficients, in words.
    fn trained_deployments(&self, deployment: &KnownDeployment<'_>) -> String {
        let lookup = Lookup { model: &deployment.model_id, ..Lookup::default() };
        let mut known: Vec<String> = Vec::new();
        for row in self.catalog.coefficient_rows(lookup) {
            let word = format!("{} × {} ({})", row.tensor_parallel_size, row.accelerator, row.engine_version);
            if !known.contains(&word) {
                known.push(word);
            }
        }
        if known.is_empty() {
            String::from("none exist for this model")
        } else {
            format!("they exist for {}", known.join(", "))
        }
    }
}

/// The latency model, or its problems with their paths as in the scenario.
pub(super) fn rooted<T>(model: Result<T, Vec<Diagnostic>>, diagnostics: &mut Vec<Diagnostic>) -> Option<T> {
    match model {
        Ok(model) => Some(model),
        Err(problems) => {
            for problem in problems {
                let field = problem.path.split(['.', '[']).next().unwrap_or_default();
                let root = if matches!(field, "alpha" | "beta") { "latency" } else { "deployment" };
                diagnostics.extend(under(root, alloc::vec![problem]));
            }
            None
        }
    }
}

fn half_given(given: &str, missing: &str) -> Diagnostic {
    Diagnostic::error(
        "coefficients-incomplete",
        format!("latency.{missing}"),
        format!("{given} is given but {missing} is not"),
    )
    .with_hint("give both, or neither to use the catalogue")
}

fn described(deployment: &KnownDeployment<'_>) -> String {
    let version = match &deployment.coefficients_of {
        CoefficientsOf::Named(name) => format!(" with {name}"),
        CoefficientsOf::Any | CoefficientsOf::Nearest(_) => String::new(),
    };
    format!("{} on {} × {}{version}", deployment.model_id, deployment.tensor_parallel_size, deployment.accelerator_id)
}
