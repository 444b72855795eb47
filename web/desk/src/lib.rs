//! What the page's editor knows of the scenario: fields, pickers, links, and what it resolves to.
//!
//! The page itself holds the scenario as text it does not read; here it is the type.
//! An edit comes in with that text and goes out as all that the page shows, so nothing is remembered in between except
//! what is dear to compute again.

mod choices;
mod ledger;
mod link;
mod numbers;

use plimsoll_core::catalog::{AcceleratorSpec, Catalog, Provenance};
use plimsoll_core::curve::CurveScenario;
use plimsoll_core::diagnostic::Diagnostic;
use plimsoll_core::scenario::{AcceleratorChoice, CalibratedOn, Choice, EngineDefault, ResolvedScenario, Scenario};
use plimsoll_json::Value;
use plimsoll_protocol::{
    AcceleratorSheet, Basics, DefaultSetting, DeskState, Edit, EngineLimits, Failure, Resolved, Said, decode, encode,
};

/// What pickers offer, by field.
type Offers = Vec<(String, Vec<Choice>)>;

/// The desk.
#[derive(Debug, Default)]
pub struct Desk {
    /// The deployment for which the short lists were asked of the catalogue last, and what it said; a moved slider
    /// changes neither.
    offers: Option<(Scenario, Offers)>,
}

impl Desk {
    /// The scenario after an edit. An edit of a field that this version does not know changes nothing.
    ///
    /// # Errors
    /// `undecodable` when the scenario or the edit's value is none.
    pub fn edit(&mut self, scenario: &str, edit: &Edit) -> Result<(DeskState, Said), Failure> {
        let mut scenario = read(scenario)?;
        let said = apply(&mut scenario, edit)?;
        Ok((self.state(&scenario)?, said))
    }

    /// What the picker of a field offers, for those with long lists.
    ///
    /// # Errors
    /// `undecodable` when the scenario is none.
    pub fn choices(&self, scenario: &str, path: &str) -> Result<Vec<Choice>, Failure> {
        Ok(choices::choices(&read(scenario)?, path))
    }

    fn state(&mut self, scenario: &Scenario) -> Result<DeskState, Failure> {
        let (diagnostics, resolved) = match scenario.resolve_for_curve(plimsoll_configs::catalog()) {
            Ok(warned) => {
                let curve = CurveScenario::from(&warned.value);
                let basics = basics(scenario, &warned.value);
                (warned.diagnostics, Some(Resolved { curve, basics }))
            }
            Err(diagnostics) => (diagnostics, None),
        };
        Ok(DeskState {
            scenario: encode(scenario)?,
            changes: link::changes(scenario),
            numbers: numbers::NUMBERS.iter().map(|number| (number.path.to_owned(), (number.get)(scenario))).collect(),
            choices: choices::PICKERS.iter().map(|picker| (picker.path.to_owned(), (picker.get)(scenario))).collect(),
            offers: self.offers(scenario),
            accelerator: accelerator(scenario).map(sheet),
            trace: scenario.workload.trace.as_ref().map(|trace| trace.hash.clone()),
            // The worker that holds the trace knows.
            recorded_rate_per_s: None,
            num_clients: u32::try_from(scenario.workload.clients.len()).unwrap_or(u32::MAX),
            diagnostics,
            resolved,
        })
    }

    /// What is on offer depends on the deployment alone.
    fn offers(&mut self, scenario: &Scenario) -> Offers {
        let probe = Scenario {
            deployment: scenario.deployment.clone(),
            engine: scenario.engine.clone(),
            latency: scenario.latency.clone(),
            ..Scenario::default()
        };
        match &self.offers {
            Some((present, offers)) if *present == probe => offers.clone(),
            _ => {
                let offers = choices::offers(&probe);
                self.offers = Some((probe, offers.clone()));
                offers
            }
        }
    }
}

/// The scenario in a text; the base if it is empty.
///
/// # Errors
/// `undecodable` when it is none.
pub fn read(scenario: &str) -> Result<Scenario, Failure> {
    if scenario.is_empty() { Ok(link::base_scenario()) } else { decode(scenario) }
}

fn apply(scenario: &mut Scenario, edit: &Edit) -> Result<Said, Failure> {
    let mut said = Said::default();
    match edit {
        Edit::NewRules => {
            if let Some(moved) = scenario.under_new_rules(plimsoll_configs::catalog()) {
                said.remark = format!("Moved to vLLM's rules. {}.", moved.changes.join("; "));
                *scenario = moved.scenario;
            }
        }
        Edit::Base => *scenario = link::base_scenario(),
        Edit::Link { fragment } => match link::read(fragment) {
            Ok(opened) => {
                said.notices = opened.warnings;
                said.notices.extend(opened.model_version.and_then(other_version));
                said.view = Some(opened.view);
                *scenario = opened.scenario;
            }
            Err(refusal) => said.notices.push(refusal),
        },
        Edit::Scenario { text } => *scenario = decode(text)?,
        Edit::Number { path, value } => {
            if let Some(number) = numbers::Number::of(path) {
                (number.set)(scenario, *value);
            }
        }
        Edit::Choice { path, id } => {
            if let Some(picker) = choices::Picker::of(path) {
                (picker.set)(scenario, id);
            }
            if ["deployment.model", "deployment.accelerator"].contains(&path.as_str()) {
                let remark = choices::take_other_parallelism(scenario, plimsoll_configs::catalog());
                said.remark = remark.unwrap_or_default();
            }
        }
        Edit::Value { path, text } => {
            let mut value = link::to_value(scenario);
            if let Some(place) = link::find(&mut value, path) {
                let undecodable = |error: plimsoll_json::Error| Failure::new("undecodable", error.to_string());
                *place = Value::read(text).map_err(undecodable)?.into_owned();
                *scenario = plimsoll_json::from_value(&value).map_err(undecodable)?;
            }
            if path == "deployment.model" {
                scenario.forget_coefficients_version();
            }
        }
        Edit::Accelerator { sheet } => {
            scenario.deployment.accelerator = Some(AcceleratorChoice::Custom(Box::new(spec(sheet))));
        }
        // Whoever reads such lines gives the scenario that comes of one.
        Edit::ServeLine { .. } => {
            return Err(Failure::new("undecodable", "a line was given to a simulator that reads none"));
        }
    }
    Ok(said)
}

/// What to say of a link that was made with another model version, and what changed since (definitions 13).
fn other_version(version: u32) -> Option<Diagnostic> {
    let ours = plimsoll_core::MODEL_VERSION;
    (version != ours).then(|| {
        let message = format!("this link was made with model version {version}; numbers are those of version {ours}");
        let changes = plimsoll_core::MODEL_CHANGES.get(usize::try_from(version).unwrap_or(usize::MAX)..);
        let hint = changes.map_or_else(|| "reload the page to get its newest version".into(), |all| all.join(" "));
        Diagnostic::warning("link-other-model-version", "", message).with_hint(hint)
    })
}

fn basics(scenario: &Scenario, resolved: &ResolvedScenario) -> Basics {
    let catalog = plimsoll_configs::catalog();
    let size = resolved.tensor_parallel_size;
    let num_replicas = resolved.cluster.num_replicas;
    let replicas = if num_replicas > 1 { format!("{num_replicas} replicas of ") } else { String::new() };
    let price = named_accelerator(scenario, catalog, &resolved.accelerator).and_then(|spec| spec.price_usd_per_hour);
    Basics {
        slo: resolved.slo.clone(),
        basis: resolved.basis,
        calibrated_on: resolved.calibrated_on.as_ref().map(CalibratedOn::label).unwrap_or_default(),
        calibrated_range: resolved.calibrated_on.as_ref().map(CalibratedOn::range).unwrap_or_default(),
        calibrated_rates: resolved
            .calibrated_on
            .as_ref()
            .map(|on| on.request_rate.map(|rate| rate * f64::from(num_replicas)))
            .unwrap_or_default(),
        ledger: resolved.ledger.as_ref().map(|ledger| ledger::view(ledger, resolved.engine.block_size)),
        settings: EngineLimits {
            num_blocks: resolved.engine.num_blocks,
            block_size: resolved.engine.block_size,
            max_num_seqs: resolved.engine.max_num_seqs,
            max_num_batched_tokens: resolved.engine.max_num_batched_tokens,
        },
        filled_in: resolved.filled_in.clone(),
        defaults: resolved.defaults.iter().map(setting).collect(),
        price_usd_per_hour: price.map(|price| price * f64::from(size) * f64::from(num_replicas)),
        deployment: format!("{replicas}{} on {size} × {}", resolved.model, resolved.accelerator),
    }
}

/// A default as the page's control of that setting shows it.
fn setting(default: &EngineDefault) -> DefaultSetting {
    DefaultSetting { path: default.path.into(), value: default.value.clone(), source: default.source.clone() }
}

/// The accelerator of one's own, or else the catalogue's of this id.
fn named_accelerator<'a>(scenario: &'a Scenario, catalog: &'a Catalog, id: &str) -> Option<&'a AcceleratorSpec> {
    match &scenario.deployment.accelerator {
        Some(AcceleratorChoice::Custom(custom)) => Some(custom),
        _ => catalog.accelerator(id),
    }
}

/// The accelerator the scenario names, if it names one.
fn accelerator(scenario: &Scenario) -> Option<&AcceleratorSpec> {
    let id = match scenario.deployment.accelerator.as_ref()? {
        AcceleratorChoice::Id(id) => id.as_str(),
        AcceleratorChoice::Custom(_) => "",
    };
    named_accelerator(scenario, plimsoll_configs::catalog(), id)
}

fn sheet(spec: &AcceleratorSpec) -> AcceleratorSheet {
    let figures =
        [spec.peak_tflops, spec.memory_bandwidth_tb_per_s, spec.memory_gib, spec.mfu_prefill, spec.mfu_decode];
    AcceleratorSheet { id: spec.id.clone(), figures }
}

/// A data sheet of one's own: nobody has measured it, so predictions for it are extrapolated.
fn spec(sheet: &AcceleratorSheet) -> AcceleratorSpec {
    let [peak_tflops, memory_bandwidth_tb_per_s, memory_gib, mfu_prefill, mfu_decode] = sheet.figures;
    AcceleratorSpec {
        id: sheet.id.clone(),
        name: String::new(),
        peak_tflops,
        peak_tflops_fp8: 0.0,
        memory_bandwidth_tb_per_s,
        mfu_prefill,
        mfu_decode,
        memory_gib,
        driver_memory_gib: 0.0,
        driver_memory_source: String::new(),
        generation: Default::default(),
        aliases: Vec::new(),
        power_w: 0.0,
        price_usd_per_hour: None,
        is_extrapolated: true,
        provenance: Provenance::default(),
    }
}

#[cfg(test)]
mod tests;
