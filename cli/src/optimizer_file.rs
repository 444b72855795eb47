//! The YAML file of the 2025 optimizer: bounds, scaling, error function, seed.

use plimsoll_core::calibrate::{FittedModel, Objective, Parameter, Space};
use plimsoll_core::catalog::nearest;
use plimsoll_core::diagnostic::Diagnostic;
use serde_yaml::{Mapping, Value};
use std::fs;
use std::path::Path;

use crate::output::tell_line;

/// The keys it knows.
const KEYS: [&str; 10] = [
    "tokens_dir",
    "sim_dir",
    "vllm_dir",
    "kv_blocks",
    "error_function",
    "seed",
    "pbounds",
    "scaling",
    "train_config",
    "test_config",
];

/// What the file asks for.
#[derive(Debug, Default)]
pub struct OptimizerFile {
    pub objective: Option<Objective>,
    pub seed: Option<u64>,
    pub kv_blocks: Option<u32>,
    parameters: Vec<Parameter>,
}

impl OptimizerFile {
    /// Which model its parameters belong to.
    pub fn model(&self) -> FittedModel {
        let is_blackbox = !self.parameters.is_empty()
            && self.parameters.iter().all(|p| !matches!(p.name.as_str(), "beta3" | "beta4" | "beta5" | "beta6"));
        if is_blackbox { FittedModel::Blackbox } else { FittedModel::Calibrated }
    }

    /// Puts its parameters in the place of the default ones.
    pub fn apply(&self, space: &mut Space) {
        for given in &self.parameters {
            match space.parameters.iter_mut().find(|parameter| parameter.name == given.name) {
                Some(parameter) => *parameter = given.clone(),
                None => space.parameters.push(given.clone()),
            }
        }
    }
}

/// Reads the file.
///
/// # Errors
/// Everything that is wrong with it.
pub fn read(path: &Path) -> Result<OptimizerFile, Vec<Diagnostic>> {
    let name = path.display().to_string();
    let problem = |code: &str, key: &str, message: String, hint: &str| {
        Diagnostic::error(code, format!("{name}:{key}"), message).with_hint(hint)
    };
    let text = fs::read_to_string(path)
        .map_err(|error| vec![Diagnostic::error("log-unreadable", name.clone(), error.to_string())])?;
    let fields: Mapping = serde_yaml::from_str(&text)
        .map_err(|error| vec![Diagnostic::error("syntax", name.clone(), error.to_string())])?;
    let mut file = OptimizerFile::default();
    let mut problems = Vec::new();
    for key in fields.keys().filter_map(Value::as_str).filter(|key| !KEYS.contains(key)) {
        let hint = match nearest(key, KEYS).first() {
            Some(close) => format!("did you mean {close}?"),
            None => format!("valid are {}", KEYS.join(", ")),
        };
        problems.push(problem("unknown-field", key, format!("there is no field {key}"), &hint));
    }
    match fields.get("error_function").map(|value| value.as_str().unwrap_or_default()) {
        None => {}
        Some("mape") => file.objective = Some(Objective::Mape),
        Some("mse") => file.objective = Some(Objective::Mse),
        Some(other) => {
            let message = format!("error_function is {other}");
            problems.push(problem("invalid-value", "error_function", message, "valid are mape, mse"));
        }
    }
    let mut whole = |key: &str| {
        let value = fields.get(key)?;
        let number = value.as_u64();
        if number.is_none() {
            problems.push(problem("invalid-value", key, format!("{key} is no whole number"), "give 0 or more"));
        }
        number
    };
    file.seed = whole("seed");
    file.kv_blocks = whole("kv_blocks").and_then(|blocks| u32::try_from(blocks).ok()).filter(|blocks| *blocks > 0);
    let scaling = fields.get("scaling").and_then(Value::as_mapping);
    for (key, bounds) in fields.get("pbounds").and_then(Value::as_mapping).into_iter().flatten() {
        let parameter = key.as_str().unwrap_or_default();
        let numbers: Option<Vec<f64>> =
            bounds.as_sequence().map(|list| list.iter().filter_map(Value::as_f64).collect());
        let place = format!("pbounds.{parameter}");
        let is_known = parameter.strip_prefix("alpha").or_else(|| parameter.strip_prefix("beta")).is_some();
        if !is_known {
            let hint = "give alpha0 to alpha2 and beta0 to beta6";
            problems.push(problem("unknown-field", &place, format!("there is no coefficient {parameter}"), hint));
            continue;
        }
        match numbers.as_deref() {
            Some(&[low, high]) if low.is_finite() && high.is_finite() && 0.0 <= low && low < high => {
                let scale = scaling.and_then(|scaling| scaling.get(parameter)).and_then(Value::as_f64).unwrap_or(1.0);
                file.parameters.push(Parameter {
                    name: parameter.to_owned(),
                    low,
                    high,
                    is_log: false,
                    scale,
                    center: None,
                    starts: Vec::new(),
                    is_choice: false,
                });
            }
            _ => {
                let message = format!("{place} is no pair of bounds");
                problems.push(problem("invalid-value", &place, message, "give [low, high] with 0 <= low < high"));
            }
        }
    }
    for key in ["tokens_dir", "sim_dir", "vllm_dir", "train_config", "test_config"] {
        if fields.contains_key(key) {
            let message = format!("{key} has no effect here");
            tell_line(
                Diagnostic::warning("flag-not-used", format!("{name}:{key}"), message)
                    .with_hint("the logs given with --log are fitted, and evaluate predicts others"),
            );
        }
    }
    if problems.is_empty() { Ok(file) } else { Err(problems) }
}
