//! The file that holds a fit.

use crate::place::Place;
use crate::probe::{bad_fields, read};
use crate::scenario::{check_size, good, placed};
use crate::value::{Readable, readable_yaml};
use plimsoll_core::MODEL_VERSION;
use plimsoll_core::calibrate::{ClientEffects, Fit, FittedModel, Interval};
use plimsoll_core::diagnostic::Diagnostic;
use plimsoll_core::measurement::MeasuredDeployment;
use plimsoll_core::scenario::{Batching, CalibratedOn, fitted_latency};
use serde::{Deserialize, Serialize};
use serde_json::Value;
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
    /// Which logs it rests on and in which range it holds.
    #[serde(default)]
    pub calibrated_on: CalibratedOn,
    /// What was guessed of the server.
    #[serde(default)]
    pub guesses: Vec<String>,
    /// The logs, with the errors of the fit on them in percent.
    #[serde(default)]
    pub trained_on: Vec<TrainedOn>,
    /// Logs and ends of logs that were not fitted, with the errors on them.
    #[serde(default)]
    pub held_out: Vec<TrainedOn>,
    /// 95 % intervals of the coefficients; none where they were not measured.
    #[serde(default)]
    pub intervals: Vec<Interval>,
    /// Evaluations of the search.
    #[serde(default)]
    pub evaluations: u64,
    /// Loss at the fit.
    #[serde(default)]
    pub loss: f64,
}

/// Coefficients, in the units of the model ([`fitted_latency`]).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FittedLatency {
    /// Which model.
    pub model: FittedModel,
    /// α0…
    pub alpha: Vec<f64>,
    /// β0…
    pub beta: Vec<f64>,
    /// When steps are planned, where the model tells: β6 of the calibrated one by its name, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batching: Option<Batching>,
    /// What the client sees beside the steps.
    #[serde(default)]
    pub client: ClientEffects,
}

impl FittedLatency {
    /// What a fit is of.
    #[must_use]
    pub fn of(fit: &Fit) -> Self {
        Self {
            model: fit.model,
            alpha: fit.alpha.clone(),
            beta: fit.beta.clone(),
            batching: fit.batching(),
            client: fit.client,
        }
    }
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
    #[must_use]
    pub fn new(
        fit: &Fit,
        deployment: MeasuredDeployment,
        calibrated_on: CalibratedOn,
        guesses: Vec<String>,
        trained_on: Vec<TrainedOn>,
    ) -> Self {
        Self {
            fit_version: FIT_VERSION,
            model_version: MODEL_VERSION,
            latency: FittedLatency::of(fit),
            deployment,
            calibrated_on,
            guesses,
            trained_on,
            held_out: Vec::new(),
            intervals: Vec::new(),
            evaluations: fit.evaluations,
            loss: fit.loss,
        }
    }

    /// The fit of the file.
    #[must_use]
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

/// Writes a fit as YAML.
#[must_use]
pub fn fit_to_yaml(file: &FitFile) -> String {
    serde_yaml::to_string(file).expect("a fit has no part that YAML cannot hold")
}

/// Reads a fit from YAML; the coefficients give a step-time model.
///
/// # Errors
/// Every problem found: syntax, unknown or missing fields, values of a wrong type, coefficients that no model takes.
pub fn fit_from_yaml(text: &str, file: &str) -> Result<FitFile, Vec<Diagnostic>> {
    check_size(text, file)?;
    let Readable { value, problems: found } = readable_yaml(text, file)?;
    let Value::Object(fields) = &value else {
        return Err(vec![
            Diagnostic::error("invalid-value", Place::START.in_file(file), "the file is not a mapping of fields")
                .with_hint("a fit begins like `fit_version: 1`; `plimsoll calibrate` writes one"),
        ]);
    };
    if let Some(version) = fields.get("fit_version")
        && version.as_u64() != Some(u64::from(FIT_VERSION))
    {
        let message = format!("fit version {version} is not known");
        return Err(vec![
            Diagnostic::error("fit-version", Place::START.in_file(file), message)
                .with_hint(format!("this program reads version {FIT_VERSION}; a newer program wrote the file")),
        ]);
    }
    let problems = bad_fields::<FitFile>(fields, &good(&empty()));
    if !(problems.is_empty() && found.is_empty()) {
        return Err(placed(problems, found, &value, text, file));
    }
    let invalid = |message: String| vec![Diagnostic::error("invalid-value", Place::START.in_file(file), message)];
    let read: FitFile = read(fields.clone()).map_err(invalid)?;
    let FittedLatency { model, alpha, beta, batching: said, .. } = &read.latency;
    let found = read.fit().batching();
    if let Some(said) = said
        && found != Some(*said)
    {
        let place = Place::START.in_file(file);
        let message = format!(
            "batching is {}, {}",
            said.words(),
            found.map_or("which no coefficient of this model says".into(), |found| format!(
                "and β6 says {}",
                found.words()
            ))
        );
        return Err(vec![
            Diagnostic::error("invalid-value", format!("{place}: latency.batching"), message)
                .with_hint("β6 counts: 0 is synchronous scheduling, 1 asynchronous scheduling, 2 the V0 engine; leave batching out to follow it"),
        ]);
    }
    match fitted_latency(model.choice(), alpha, beta, None, 1) {
        Ok(_) => Ok(read),
        // What it was fitted for is known where it is used.
        Err(problems) if problems.iter().all(|problem| problem.code == "unknown-architecture") => Ok(read),
        Err(mut problems) => {
            for problem in &mut problems {
                problem.path = format!("{}: latency.{}", Place::START.in_file(file), problem.path);
            }
            Err(problems)
        }
    }
}

/// A file in which every field is good, to probe others with.
fn empty() -> FitFile {
    FitFile {
        fit_version: FIT_VERSION,
        model_version: MODEL_VERSION,
        latency: FittedLatency {
            model: FittedModel::default(),
            alpha: Vec::new(),
            beta: Vec::new(),
            batching: None,
            client: ClientEffects::default(),
        },
        deployment: MeasuredDeployment::default(),
        calibrated_on: CalibratedOn::default(),
        guesses: Vec::new(),
        trained_on: Vec::new(),
        held_out: Vec::new(),
        intervals: Vec::new(),
        evaluations: 0,
        loss: 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> FitFile {
        let latency = FittedLatency { alpha: vec![1.5, 0.1 + 0.2, 0.0], beta: vec![1.0; 7], ..empty().latency };
        let calibrated_on = CalibratedOn { logs: "a: b".into(), input_tokens: [1, 2], ..CalibratedOn::default() };
        FitFile { latency, calibrated_on, guesses: vec!["tensor_parallel_size 2".into()], ..empty() }
    }

    fn problems(text: &str) -> Vec<String> {
        let found = fit_from_yaml(text, "f.yaml").expect_err("malformed");
        found.into_iter().map(|found| format!("{} {}", found.path, found.code)).collect()
    }

    #[test]
    fn a_fit_returns_from_its_file() {
        assert_eq!(fit_from_yaml(&fit_to_yaml(&file()), "f.yaml"), Ok(file()));
    }

    #[test]
    fn what_is_wrong_with_a_file_is_told_with_its_place() {
        let text = fit_to_yaml(&file());
        assert_eq!(problems("- 1\n"), ["f.yaml:1:1 invalid-value"]);
        assert_eq!(problems(&text.replace("fit_version: 1", "fit_version: 9")), ["f.yaml:1:1 fit-version"]);
        let bad = text.replace("evaluations: 0", "evaluations: many\ncolour: red");
        let found = problems(&bad);
        assert!(found.iter().any(|found| found.ends_with("invalid-value")), "{found:?}");
        assert!(found.iter().any(|found| found.ends_with("unknown-field")), "{found:?}");
        let negative = text.replacen("1.5", "-1.5", 1);
        assert_eq!(problems(&negative), ["f.yaml:1:1: latency.alpha[0] coefficient-out-of-range"]);
        let _ = fit_from_yaml(&"[".repeat(5000), "f.yaml");
        let sheet = text.replace("model: calibrated", "model: roofline");
        assert!(fit_from_yaml(&sheet, "f.yaml").is_ok());
        assert_eq!(
            problems(&sheet.replacen("- 1.0", "- 11.0", 1)),
            ["f.yaml:1:1: latency.beta coefficient-out-of-range"]
        );
        let polynomial = text.replace("model: calibrated", "model: quadratic");
        assert_eq!(problems(&polynomial)[0], "f.yaml:1:1: latency.alpha coefficients-missing");
    }
}
