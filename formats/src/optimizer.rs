//! The YAML file of the 2025 optimizer: bounds, scaling, error function, runs to fit and to keep aside.

use crate::fields::{Fields, Problems, shown_path};
use crate::scenario::check_size;
use crate::value::{Readable, readable_yaml};
use plimsoll_core::calibrate::{FitSettings, FittedModel, Objective, Parameter, Space};
use plimsoll_core::catalog::nearest;
use plimsoll_core::diagnostic::Diagnostic;
use plimsoll_core::measurement::Measurement;
use serde_json::Value;

/// Most runs that one configuration may ask for.
const MAX_RUNS: usize = 10_000;
/// Parameters of the calibrated model's replay, beside its coefficients.
const CLIENT: [&str; 2] = ["idle", "busy"];

/// What the file asks for.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct OptimizerFile {
    /// Where the tokenized data set was: the logs that hold request lengths.
    pub tokens_dir: Option<String>,
    /// Where the reference logs were.
    pub vllm_dir: Option<String>,
    /// KV blocks of the simulated server.
    pub kv_blocks: Option<u32>,
    /// What is minimized.
    pub objective: Option<Objective>,
    /// Seed of the search.
    pub seed: Option<u64>,
    /// Runs to fit; every log where the file has none.
    pub train: Option<RunGrid>,
    /// Runs to keep aside and predict.
    pub test: Option<RunGrid>,
    /// What is accepted without effect, or has another one here.
    pub remarks: Vec<Diagnostic>,
    parameters: Vec<Parameter>,
    fixed: Vec<(String, f64)>,
}

/// Runs as the product of lists of settings; an absent list leaves its setting open.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RunGrid {
    runs: Vec<RunSettings>,
}

/// What a file wants done with runs, by their positions.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RunSplit {
    /// They are fitted.
    pub train: Vec<usize>,
    /// They are kept aside and predicted.
    pub held_out: Vec<usize>,
    /// Runs it asks for that are not there.
    pub unmatched: Vec<Diagnostic>,
}

/// The settings of a run, as far as they are known.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RunSettings {
    /// Requests.
    pub num_prompts: Option<f64>,
    /// Requests per second.
    pub request_rate: Option<f64>,
    /// Temperature of the sampling.
    pub temperature: Option<f64>,
    /// Token budget of a step.
    pub max_num_batched_tokens: Option<f64>,
    /// Largest chunk of a prompt.
    pub long_prefill_token_threshold: Option<f64>,
    /// Name of the data set.
    pub dataset: Option<String>,
}

impl OptimizerFile {
    /// The model its parameters belong to; the default where it has none.
    #[must_use]
    pub fn model(&self) -> FittedModel {
        // Models that share names stand with the fewest coefficients first.
        let order = [
            FittedModel::Blackbox,
            FittedModel::Calibrated,
            FittedModel::TrainedPhysics,
            FittedModel::Roofline,
            FittedModel::Quadratic,
        ];
        if self.names().next().is_none() {
            return FittedModel::default();
        }
        order.into_iter().find(|model| self.unknown_to(*model).is_none()).unwrap_or_default()
    }

    /// Puts what it says of the search into its settings: what is minimized, the seed, the model of its parameters.
    pub fn put_into(&self, settings: &mut FitSettings) {
        settings.objective = self.objective.unwrap_or(settings.objective);
        settings.seed = self.seed.unwrap_or(settings.seed);
        if self.names().next().is_some() {
            settings.model = self.model();
        }
    }

    /// The coefficients that are searched, each with its lowest and highest value.
    pub fn searched(&self) -> impl Iterator<Item = (&str, [f64; 2])> {
        self.parameters.iter().map(|parameter| {
            let ends = [parameter.low, parameter.high].map(|end| end * parameter.scale);
            (parameter.name.as_str(), [ends[0].min(ends[1]), ends[0].max(ends[1])])
        })
    }

    /// The coefficients that are not searched, with their values.
    pub fn fixed(&self) -> impl Iterator<Item = (&str, f64)> {
        self.fixed.iter().map(|(name, value)| (name.as_str(), *value))
    }

    /// Which of these runs it wants fitted and kept aside, and a warning for each that none of them is.
    #[must_use]
    pub fn split(&self, runs: &[Measurement]) -> RunSplit {
        let mut unmatched = Vec::new();
        let mut pick = |grid: &RunGrid, field: &str| {
            unmatched.extend(grid.unmatched(runs).into_iter().map(|missing| {
                Diagnostic::warning("run-not-matched", field, format!("no log is a run of {missing}"))
                    .with_hint("open its log, or leave the run out")
            }));
            grid.chosen(runs)
        };
        let held_out = self.test.as_ref().map(|grid| pick(grid, "test_config")).unwrap_or_default();
        let train = match &self.train {
            Some(grid) => pick(grid, "train_config"),
            None => (0..runs.len()).filter(|at| !held_out.contains(at)).collect(),
        };
        RunSplit { train, held_out, unmatched }
    }

    /// The first parameter that a model does not have.
    #[must_use]
    pub fn unknown_to(&self, model: FittedModel) -> Option<&str> {
        self.names().find(|name| {
            let is_coefficient = model.alpha_names().contains(name) || model.beta_names().contains(name);
            !(is_coefficient || model == FittedModel::Calibrated && CLIENT.contains(name))
        })
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        let searched = self.parameters.iter().map(|parameter| parameter.name.as_str());
        searched.chain(self.fixed.iter().map(|(name, _)| name.as_str()))
    }

    /// Puts its parameters in the place of the usual ones.
    ///
    /// For the quadratic model the file is all there is, as for the optimizer it was written for: what it does not name
    /// is 0. For other models what it does not name is searched as usual.
    ///
    /// # Errors
    /// One of its parameters is none of this model's.
    pub fn apply(&self, model: FittedModel, space: &mut Space) -> Result<(), Diagnostic> {
        if let Some(name) = self.unknown_to(model) {
            let message = format!("{} has no parameter {name}", model.name());
            let hint = format!("fit {}, or give bounds of {}", self.model().name(), model.name());
            return Err(Diagnostic::error("parameters-mixed", "pbounds", message).with_hint(hint));
        }
        if self.names().next().is_none() {
            return Ok(());
        }
        if model == FittedModel::Quadratic {
            *space = Space::default();
        }
        space.parameters.retain(|usual| !self.fixed.iter().any(|(name, _)| *name == usual.name));
        space.fixed.retain(|(usual, _)| !self.names().any(|name| name == usual));
        space.fixed.extend(self.fixed.iter().cloned());
        for given in &self.parameters {
            match space.parameters.iter_mut().find(|parameter| parameter.name == given.name) {
                Some(parameter) => *parameter = given.clone(),
                None => space.parameters.push(given.clone()),
            }
        }
        Ok(())
    }
}

impl RunGrid {
    /// Which of these runs it asks for, by position; settings that a log does not tell match anything.
    #[must_use]
    pub fn chosen(&self, logs: &[Measurement]) -> Vec<usize> {
        let known: Vec<RunSettings> = logs.iter().map(RunSettings::of).collect();
        (0..logs.len())
            .filter(|at| known.get(*at).is_some_and(|known| self.runs.iter().any(|run| run.matches(known))))
            .collect()
    }

    /// The runs that no log matches, in words.
    #[must_use]
    pub fn unmatched(&self, logs: &[Measurement]) -> Vec<String> {
        let known: Vec<RunSettings> = logs.iter().map(RunSettings::of).collect();
        let missing = self.runs.iter().filter(|run| !known.iter().any(|known| run.matches(known)));
        missing.map(RunSettings::words).collect()
    }
}

impl RunSettings {
    /// What a log tells of its settings: what it holds, and what its name says in the optimizer's form
    /// `exp_100p_30r_0t_2048mbt_256lpt_sharegpt`.
    #[must_use]
    pub fn of(run: &Measurement) -> Self {
        let mut settings = Self::from_name(&run.name);
        let requests = run.requests.len() + run.num_failed as usize;
        if requests > 0 {
            settings.num_prompts = Some(requests as f64);
        }
        settings.request_rate = run.load.request_rate.or(settings.request_rate);
        let budget = run.deployment.max_num_batched_tokens.map(f64::from);
        settings.max_num_batched_tokens = budget.or(settings.max_num_batched_tokens);
        settings
    }

    fn from_name(name: &str) -> Self {
        let file = name.rsplit(['/', '\\']).next().unwrap_or(name);
        let words: Vec<&str> = file.split('_').collect();
        let mut settings = Self::default();
        for (at, window) in words.windows(5).enumerate() {
            let number = |at: usize, unit: &str| window.get(at)?.strip_suffix(unit)?.parse::<f64>().ok();
            let numbers = [number(0, "p"), number(1, "r"), number(2, "t"), number(3, "mbt"), number(4, "lpt")];
            if let [Some(prompts), Some(rate), Some(temperature), Some(budget), Some(chunk)] = numbers {
                let rest = words.get(at + 5).map(|word| word.split(['.', '#']).next().unwrap_or(word));
                return Self {
                    num_prompts: Some(prompts),
                    request_rate: Some(rate),
                    temperature: Some(temperature),
                    max_num_batched_tokens: Some(budget),
                    long_prefill_token_threshold: Some(chunk),
                    dataset: rest.filter(|word| !word.is_empty()).map(str::to_owned),
                };
            }
            settings = Self::default();
        }
        settings
    }

    /// Whether a log of these known settings may be this run.
    fn matches(&self, known: &Self) -> bool {
        let agree = |wanted: Option<f64>, known: Option<f64>| {
            wanted.zip(known).is_none_or(|(wanted, known)| (wanted - known).abs() <= 1e-9 * wanted.abs().max(1.0))
        };
        let is_same_data = |wanted: &str, known: &str| {
            let (wanted, known) = (wanted.to_ascii_lowercase(), known.to_ascii_lowercase());
            wanted.starts_with(&known) || known.starts_with(&wanted)
        };
        agree(self.num_prompts, known.num_prompts)
            && agree(self.request_rate, known.request_rate)
            && agree(self.temperature, known.temperature)
            && agree(self.max_num_batched_tokens, known.max_num_batched_tokens)
            && agree(self.long_prefill_token_threshold, known.long_prefill_token_threshold)
            && self.dataset.as_deref().zip(known.dataset.as_deref()).is_none_or(|(a, b)| is_same_data(a, b))
    }

    fn words(&self) -> String {
        let numbers = [
            ("num_prompts", self.num_prompts),
            ("request_rate", self.request_rate),
            ("temperature", self.temperature),
            ("max_num_batched_tokens", self.max_num_batched_tokens),
            ("long_prefill_token_threshold", self.long_prefill_token_threshold),
        ];
        let numbers = numbers.into_iter().filter_map(|(name, value)| Some(format!("{name} {}", value?)));
        numbers.chain(self.dataset.iter().map(|name| format!("dataset {name}"))).collect::<Vec<_>>().join(", ")
    }
}

/// Reads the file.
///
/// # Errors
/// Every problem found: syntax, unknown or repeated fields, unknown parameters, bounds that are none, values of a wrong
/// type, and parameters that no one model has together.
pub fn optimizer_from_yaml(text: &str, file: &str) -> Result<OptimizerFile, Vec<Diagnostic>> {
    check_size(text, file)?;
    let Readable { value, problems: found } = readable_yaml(text, file)?;
    let mut problems = Problems::new(text, file, found);
    let Value::Object(map) = &value else {
        problems.error("invalid-value", &[], "the file is not a mapping of fields", "it has pbounds, scaling, seed");
        return Err(problems.finish());
    };
    let mut fields = Fields::new(Vec::new(), map);
    let mut read = OptimizerFile {
        tokens_dir: fields.text("tokens_dir", &mut problems),
        vllm_dir: fields.text("vllm_dir", &mut problems),
        seed: fields.whole("seed", &mut problems),
        ..OptimizerFile::default()
    };
    read.kv_blocks = fields.count("kv_blocks", &mut problems);
    if read.kv_blocks == Some(0) {
        problems.error("invalid-value", &fields.at("kv_blocks"), "kv_blocks is 0", "give 1 or more");
    }
    read.objective = match fields.one_of("error_function", &["mape", "mse"], &mut problems).as_deref() {
        Some("mape") => Some(Objective::Mape),
        Some(_) => Some(Objective::Mse),
        None => None,
    };
    if fields.text("sim_dir", &mut problems).is_some() {
        read.remarks.push(
            Diagnostic::note("flag-not-used", format!("{file}: sim_dir"), "sim_dir has no effect")
                .with_hint("simulated runs are kept in memory"),
        );
    }
    let scaling = fields.fields("scaling", &mut problems);
    parameters(&mut read, fields.fields("pbounds", &mut problems), scaling, &mut problems);
    read.train = fields.fields("train_config", &mut problems).map(|grid| run_grid(grid, &mut problems));
    read.test = fields.fields("test_config", &mut problems).map(|grid| run_grid(grid, &mut problems));
    fields.finish(&mut problems);
    if let Some(name) = read.unknown_to(read.model()) {
        let message = format!("no model has {name} and all the other parameters");
        problems.error("parameters-mixed", &["pbounds".to_owned()], message, "give those of one model");
    }
    let problems = problems.finish();
    if problems.is_empty() { Ok(read) } else { Err(problems) }
}

/// Names of all models, each once.
fn known_names() -> Vec<&'static str> {
    let mut names: Vec<&str> = Vec::new();
    for model in FittedModel::ALL {
        for name in model.alpha_names().iter().chain(model.beta_names()).chain(&CLIENT) {
            if !names.contains(name) {
                names.push(name);
            }
        }
    }
    names
}

fn parameters(
    read: &mut OptimizerFile,
    bounds: Option<Fields<'_>>,
    scaling: Option<Fields<'_>>,
    problems: &mut Problems<'_>,
) {
    let mut scales: Vec<(&str, f64)> = Vec::new();
    for (name, value) in scaling.iter().flat_map(Fields::entries) {
        let path = ["scaling".to_owned(), name.clone()];
        let is_bounded = bounds.as_ref().is_some_and(|bounds| bounds.entries().any(|(other, _)| other == name));
        if !is_bounded {
            let message = format!("{name} is scaled but has no bounds");
            let named = bounds.iter().flat_map(Fields::entries).map(|(other, _)| other.as_str());
            let hint = match nearest(name, named).first() {
                Some(close) => format!("did you mean {close}?"),
                None => "give its bounds in pbounds, or leave it out".to_owned(),
            };
            problems.error("unknown-field", &path, message, hint);
        }
        match value.as_f64().filter(|scale| scale.is_finite() && *scale != 0.0) {
            Some(scale) => scales.push((name.as_str(), scale)),
            None => {
                let message = format!("{} is {value}", shown_path(&path));
                problems.error("invalid-value", &path, message, "give a number other than 0");
            }
        }
    }
    let known = known_names();
    for (name, value) in bounds.iter().flat_map(Fields::entries) {
        let path = ["pbounds".to_owned(), name.clone()];
        if !known.contains(&name.as_str()) {
            let hint = match nearest(name, known.iter().copied()).first() {
                Some(close) => format!("did you mean {close}?"),
                None => "names are those of docs/calibration.md".to_owned(),
            };
            problems.error("unknown-field", &path, format!("there is no parameter {name}"), hint);
            continue;
        }
        let numbers: Option<Vec<f64>> = value.as_array().map(|list| list.iter().filter_map(Value::as_f64).collect());
        let is_pair = value.as_array().is_some_and(|list| list.len() == 2);
        let scale = scales.iter().find(|(other, _)| *other == name.as_str()).map_or(1.0, |(_, scale)| *scale);
        match numbers.as_deref() {
            Some(&[low, high]) if is_pair && low == high => read.fixed.push((name.clone(), low * scale)),
            Some(&[low, high]) if is_pair && low < high => read.parameters.push(Parameter {
                name: name.clone(),
                low,
                high,
                is_log: false,
                scale,
                center: None,
                starts: Vec::new(),
                is_choice: name == "beta6",
            }),
            _ => {
                let message = format!("{} is {value}", shown_path(&path));
                problems.error("invalid-value", &path, message, "give [low, high] with low <= high");
            }
        }
    }
}

/// The product of the lists of a configuration.
fn run_grid(mut fields: Fields<'_>, problems: &mut Problems<'_>) -> RunGrid {
    const NUMBERS: [&str; 5] =
        ["num_prompts", "request_rate", "temperature", "max_num_batched_tokens", "long_prefill_token_threshold"];
    let mut runs = vec![RunSettings::default()];
    for (at, name) in NUMBERS.into_iter().enumerate() {
        let Some(values) = list(&mut fields, name, problems) else { continue };
        let numbers: Vec<f64> = values.iter().filter_map(Value::as_f64).collect();
        if numbers.len() < values.len() {
            let path = fields.at(name);
            problems.error(
                "invalid-value",
                &path,
                format!("{} has what is no number", shown_path(&path)),
                "give numbers",
            );
        }
        let set = |run: &RunSettings, value: f64| {
            let mut run = run.clone();
            let slot = match at {
                0 => &mut run.num_prompts,
                1 => &mut run.request_rate,
                2 => &mut run.temperature,
                3 => &mut run.max_num_batched_tokens,
                _ => &mut run.long_prefill_token_threshold,
            };
            *slot = Some(value);
            run
        };
        runs = product(&runs, &numbers, set, &fields, problems);
    }
    if let Some(values) = list(&mut fields, "datasets", problems) {
        let names: Vec<String> = values.iter().filter_map(Value::as_str).map(str::to_owned).collect();
        if names.len() < values.len() {
            problems.error("invalid-value", &fields.at("datasets"), "a data set is no text", "give names");
        }
        let set = |run: &RunSettings, name: String| RunSettings { dataset: Some(name), ..run.clone() };
        runs = product(&runs, &names, set, &fields, problems);
    }
    fields.finish(problems);
    RunGrid { runs }
}

/// A list that is not empty; what is none is reported.
fn list<'v>(fields: &mut Fields<'v>, key: &'static str, problems: &mut Problems<'_>) -> Option<&'v [Value]> {
    let value = fields.get(key)?;
    let values = value.as_array().filter(|values| !values.is_empty());
    if values.is_none() {
        let path = fields.at(key);
        problems.error("invalid-value", &path, format!("{} is no list", shown_path(&path)), "give a list, e.g. [100]");
    }
    values.map(Vec::as_slice)
}

fn product<T: Clone>(
    runs: &[RunSettings],
    values: &[T],
    set: impl Fn(&RunSettings, T) -> RunSettings,
    fields: &Fields<'_>,
    problems: &mut Problems<'_>,
) -> Vec<RunSettings> {
    if runs.len().saturating_mul(values.len()) > MAX_RUNS {
        let message = format!("{} asks for more than {MAX_RUNS} runs", shown_path(fields.path()));
        problems.error("invalid-value", fields.path(), message, "shorten the lists");
        return runs.to_vec();
    }
    runs.iter().flat_map(|run| values.iter().map(|value| set(run, value.clone()))).collect()
}

#[cfg(test)]
mod tests;
