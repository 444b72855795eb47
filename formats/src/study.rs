//! The file that holds a calibration: what was measured, every trial, the best coefficients and their errors.

use crate::fit::{FittedLatency, TrainedOn};
use plimsoll_core::MODEL_VERSION;
use plimsoll_core::calibrate::{FitSettings, FitTask, Parameter, Weights};
use plimsoll_core::diagnostic::Diagnostic;
use plimsoll_core::measurement::{MeasuredDeployment, MeasuredRequest, Measurement};
use plimsoll_core::time::SimTime;
use serde::{Deserialize, Serialize};

/// Version of the file.
pub const STUDY_VERSION: u32 = 1;
/// Longest prompt or output, tokens.
const MAX_TOKENS: u32 = 10_000_000;
/// Longest run, microseconds: a year.
const MAX_TIME: i64 = 31_536_000_000_000;
/// Most parameters, starts, runs and evaluations.
const MAX_PARAMETERS: usize = 64;
const MAX_STARTS: usize = 256;
const MAX_RUNS: usize = 1000;

/// A calibration that can be gone on with.
///
/// It holds the times and lengths of the measured requests, so that the logs need not be read again; prompts and
/// answers were dropped when these were read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StudyFile {
    /// [`STUDY_VERSION`]; by its name the file is recognized.
    pub plimsoll_study: u32,
    /// Model version of the program that made it.
    pub model_version: u32,
    /// Runs that are fitted, what is searched and how.
    pub task: FitTask,
    /// Runs kept aside.
    pub held_out: Vec<Measurement>,
    /// What the user said of the server.
    pub server: MeasuredDeployment,
    /// The best coefficients; none before the first trial.
    pub best: Option<FittedLatency>,
    /// Errors on the runs that are fitted, percent.
    pub train_errors: Vec<TrainedOn>,
    /// Errors on those kept aside.
    pub test_errors: Vec<TrainedOn>,
    /// Every trial in the order of telling.
    pub trials: Vec<StudyTrial>,
}

/// A trial: where, and how good.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StudyTrial(
    /// Coordinates, 0–1.
    pub Vec<f64>,
    /// Loss; none where a request was not served.
    pub Option<f64>,
);

impl StudyFile {
    /// The file of a calibration without trials.
    #[must_use]
    pub fn new(task: FitTask, held_out: Vec<Measurement>, server: MeasuredDeployment) -> Self {
        Self {
            plimsoll_study: STUDY_VERSION,
            model_version: MODEL_VERSION,
            task,
            held_out,
            server,
            best: None,
            train_errors: Vec::new(),
            test_errors: Vec::new(),
            trials: Vec::new(),
        }
    }

    /// The point of the best trial.
    #[must_use]
    pub fn best_point(&self) -> Option<&[f64]> {
        let with_loss = self.trials.iter().filter_map(|StudyTrial(point, loss)| Some((point, (*loss)?)));
        with_loss.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(point, _)| point.as_slice())
    }
}

/// Writes a study as JSON.
#[must_use]
pub fn study_to_json(study: &StudyFile) -> String {
    serde_json::to_string(study).expect("a study has no part that JSON cannot hold")
}

/// Whether a text begins like a study.
#[must_use]
pub fn is_study(start: &[u8]) -> bool {
    let start = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start);
    let mut rest = start.iter().copied().filter(|byte| !byte.is_ascii_whitespace());
    b"{\"plimsoll_study\":".iter().all(|byte| rest.next() == Some(*byte))
}

/// Reads a study.
///
/// # Errors
/// Every problem found; what is read can be gone on with.
pub fn study_from_json(text: &str, file: &str) -> Result<StudyFile, Vec<Diagnostic>> {
    let study: StudyFile = serde_json::from_str(text).map_err(|error| {
        let place = format!("{file}:{}:{}", error.line(), error.column());
        let (message, hint) = (error.to_string(), "open a study that the calibration tab has written");
        let code = if error.is_data() { "invalid-value" } else { "syntax" };
        vec![Diagnostic::error(code, place, message).with_hint(hint)]
    })?;
    if study.plimsoll_study != STUDY_VERSION {
        let message = format!("study version {} is not known", study.plimsoll_study);
        return Err(vec![
            Diagnostic::error("study-version", file, message)
                .with_hint(format!("this program reads version {STUDY_VERSION}; a newer program wrote the file")),
        ]);
    }
    let problems = problems(&study, file);
    if problems.is_empty() { Ok(study) } else { Err(problems) }
}

fn problems(study: &StudyFile, file: &str) -> Vec<Diagnostic> {
    let mut problems = Vec::new();
    let mut reject = |path: String, message: String| {
        problems.push(
            Diagnostic::error("invalid-value", format!("{file}: {path}"), message)
                .with_hint("the file was changed by hand, or is damaged"),
        );
    };
    let parameters = &study.task.space.parameters;
    if parameters.is_empty() || parameters.len() > MAX_PARAMETERS {
        let message = format!("{} parameters, where 1 to {MAX_PARAMETERS} can be searched", parameters.len());
        reject("task.space.parameters".to_owned(), message);
    }
    for parameter in parameters.iter().filter(|parameter| !is_usable(parameter)) {
        let message = format!("{} has no range that can be searched", parameter.name);
        reject("task.space.parameters".to_owned(), message);
    }
    let fixed = &study.task.space.fixed;
    if fixed.len() > MAX_PARAMETERS || fixed.iter().any(|(_, value)| !value.is_finite()) {
        reject("task.space.fixed".to_owned(), "a fixed value is no number, or there are too many".to_owned());
    }
    let num_starts =
        parameters.iter().fold(1usize, |product, parameter| product.saturating_mul(parameter.starts.len().max(1)));
    if num_starts > MAX_STARTS {
        reject(
            "task.space.parameters".to_owned(),
            format!("{num_starts} starts, where at most {MAX_STARTS} can be searched"),
        );
    }
    let FitSettings { budget, weights, validate_last, .. } = study.task.settings;
    if !(1..=FitSettings::MAX_BUDGET).contains(&budget) {
        reject("task.settings.budget".to_owned(), format!("{budget} is not from 1 to {}", FitSettings::MAX_BUDGET));
    }
    if !weights.is_usable() {
        let message = format!("weights are from 0 to {}, and not all 0", Weights::MAX);
        reject("task.settings.weights".to_owned(), message);
    }
    if !(0.0..=FitSettings::MAX_VALIDATE_LAST).contains(&validate_last) {
        let message = format!("{validate_last} is not from 0 to {}", FitSettings::MAX_VALIDATE_LAST);
        reject("task.settings.validate_last".to_owned(), message);
    }
    let (num_train, num_runs) = (study.task.runs.len(), study.task.runs.len() + study.held_out.len());
    if num_train == 0 || num_runs > MAX_RUNS {
        reject("task.runs".to_owned(), format!("{num_train} runs to fit and {num_runs} in all"));
    }
    for (name, runs) in [("task.runs", &study.task.runs), ("held_out", &study.held_out)] {
        for (index, run) in runs.iter().enumerate() {
            let num_gaps = run.gaps.len();
            if let Some(bad) = run.requests.iter().position(|request| !is_plausible(request, num_gaps)) {
                reject(format!("{name}[{index}].requests[{bad}]"), "times or lengths are out of range".to_owned());
            }
        }
    }
    let num_parameters = parameters.len();
    let is_bad = |StudyTrial(point, loss): &StudyTrial| {
        point.len() != num_parameters
            || point.iter().any(|x| !(0.0..=1.0).contains(x))
            || loss.is_some_and(|loss| !loss.is_finite())
    };
    if let Some(bad) = study.trials.iter().position(is_bad) {
        let message = format!("not a point of {num_parameters} numbers from 0 to 1");
        reject(format!("trials[{bad}]"), message);
    }
    problems
}

fn is_usable(parameter: &Parameter) -> bool {
    let Parameter { low, high, scale, is_log, center, starts, .. } = parameter;
    let is_positive = |value: f64| value > 0.0 && value.is_finite();
    let is_scale = |value: f64| value != 0.0 && value.is_finite();
    low.is_finite()
        && high.is_finite()
        && low < high
        && (!is_log || *low > 0.0)
        && is_scale(*scale)
        // A distance from the center is the logarithm of a ratio, so both have the sign of the scale.
        && center.is_none_or(|(center, spread)| is_positive(center / scale) && is_positive(spread))
        && starts.len() <= 8
        && starts.iter().all(|start| start.is_finite())
}

fn is_plausible(request: &MeasuredRequest, num_gaps: usize) -> bool {
    let is_time = |time: SimTime| (0..=MAX_TIME).contains(&time.0);
    let is_ordered = match (request.ttft, request.e2e) {
        (Some(ttft), Some(e2e)) => ttft <= e2e,
        _ => true,
    };
    is_time(request.arrive)
        && is_time(request.send)
        && request.ttft.is_none_or(is_time)
        && request.e2e.is_none_or(is_time)
        && is_ordered
        && request.input_tokens <= MAX_TOKENS
        && (1..=MAX_TOKENS).contains(&request.output_tokens)
        && request.gaps.start <= request.gaps.end
        && usize::try_from(request.gaps.end).is_ok_and(|end| end <= num_gaps)
}

#[cfg(test)]
mod tests {
    use super::*;
    use plimsoll_core::calibrate::Space;
    use plimsoll_core::measurement::LogFormat;

    fn study() -> StudyFile {
        let mut run = Measurement::new("a.json", LogFormat::VllmBench);
        run.requests = vec![MeasuredRequest {
            arrive: SimTime(0),
            send: SimTime(5),
            input_tokens: 10,
            output_tokens: 3,
            ttft: Some(SimTime(50)),
            e2e: Some(SimTime(90)),
            session: None,
            gaps: 0..0,
        }];
        let parameter = Parameter {
            name: "beta0".into(),
            low: 1.0,
            high: 100.0,
            is_log: true,
            scale: 1.0,
            center: Some((10.0, 0.5)),
            starts: Vec::new(),
            is_choice: false,
        };
        let settings = FitSettings { budget: 8000, ..FitSettings::default() };
        let task = FitTask::new(vec![run], Space::new(vec![parameter]), settings);
        let trials =
            vec![StudyTrial(vec![0.25], Some(3.5)), StudyTrial(vec![0.5], None), StudyTrial(vec![1.0], Some(2.0))];
        StudyFile { trials, ..StudyFile::new(task, Vec::new(), MeasuredDeployment::default()) }
    }

    fn problems(text: &str) -> Vec<String> {
        let found = study_from_json(text, "s.json").expect_err("malformed");
        found.into_iter().map(|found| format!("{} {}", found.code, found.path)).collect()
    }

    #[test]
    fn a_study_returns_from_its_file_and_knows_its_best_point() {
        let text = study_to_json(&study());
        assert!(is_study(text.as_bytes()) && is_study(b" {\n  \"plimsoll_study\" : 1"));
        assert!(!is_study(b"{\"model_id\": 1") && !is_study(b"") && !is_study(b"{\"plimsoll_study\""));
        let read = study_from_json(&text, "s.json").unwrap();
        assert_eq!(read, study());
        assert_eq!(read.best_point(), Some(&[1.0][..]));
        // Studies from before there were weights and optimizers are read with those they were made with.
        let older =
            text.replace("\"weights\":{\"ttft\":1.0,\"tpot\":1.0,\"e2e\":1.0},\"optimizer\":\"multi-start\",", "");
        assert!(older.len() < text.len(), "{text}");
        assert_eq!(study_from_json(&older, "s.json").unwrap(), study());
    }

    #[test]
    fn what_cannot_be_gone_on_with_is_told() {
        let text = study_to_json(&study());
        let with = |from: &str, to: &str| {
            assert!(text.contains(from), "{from} in {text}");
            problems(&text.replacen(from, to, 1))
        };
        assert_eq!(with("\"plimsoll_study\":1", "\"plimsoll_study\":2"), ["study-version s.json"]);
        assert_eq!(with("\"low\":1.0", "\"low\":0.0"), ["invalid-value s.json: task.space.parameters"]);
        assert_eq!(with("[[0.25],3.5]", "[[0.25,0.5],3.5]"), ["invalid-value s.json: trials[0]"]);
        assert_eq!(with("[[0.25],3.5]", "[[-0.25],3.5]"), ["invalid-value s.json: trials[0]"]);
        assert_eq!(with("\"budget\":8000", "\"budget\":0"), ["invalid-value s.json: task.settings.budget"]);
        assert_eq!(with("\"ttft\":1.0", "\"ttft\":-1.0"), ["invalid-value s.json: task.settings.weights"]);
        let share = ["invalid-value s.json: task.settings.validate_last"];
        assert_eq!(with("\"validate_last\":0.0", "\"validate_last\":0.95"), share);
        let requests = ["invalid-value s.json: task.runs[0].requests[0]"];
        assert_eq!(with("\"output_tokens\":3", "\"output_tokens\":4000000000"), requests);
        assert_eq!(with("\"send\":5", "\"send\":-5"), requests);
        assert_eq!(with("\"e2e\":90", "\"e2e\":9"), requests);
        assert_eq!(with("\"gaps\":{\"start\":0,\"end\":0}", "\"gaps\":{\"start\":0,\"end\":9}"), requests);
        assert_eq!(with("\"model_version\"", "\"colour\":1,\"model_version\"").len(), 1);
        assert!(with("\"trials\"", "trials")[0].starts_with("syntax s.json:1:"));
    }
}
