//! From YAML files to the embedded catalogue, with every problem on the way.

use plimsoll_anatomy::footprint_of_entry;
use plimsoll_core::calibrate::Experiment;
use plimsoll_core::catalog::{
    AcceleratorSpec, Catalog, CoefficientRow, ModelDefault, ModelSpec, Provenance, QuadraticSpec, StepTimesSpec,
    TrainedPhysicsSpec, WorkloadPreset, weight_bytes_from_name,
};
use plimsoll_core::diagnostic::Severity;
use plimsoll_core::latency::{LatencyModel, QUADRATIC_ALPHA, QUADRATIC_BETA};
use plimsoll_core::scenario::Scenario;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;

/// The JSON texts to embed.
pub struct Embedded {
    /// A `Catalog`.
    pub catalog: String,
    /// A list of [`ScenarioEntry`].
    pub scenarios: String,
    /// Experiments as JSON.
    pub experiments: String,
}

/// One thing that is wrong with an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// File below `configs/`.
    pub file: String,
    /// 1-based line, 1 if the problem is that of the whole file.
    pub line: usize,
    /// What is wrong, the field first.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.message)
    }
}

/// A ready scenario, as `configs/src/lib.rs` reads it back.
#[derive(Serialize)]
struct ScenarioEntry {
    id: String,
    title: String,
    scenario: Value,
}

/// A model that is another one with different weights.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DerivedModel {
    id: String,
    base: String,
    #[serde(default)]
    weight_bytes_per_param: Option<f64>,
    provenance: Provenance,
}

/// The coefficients of one model.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CoefficientFile {
    model: String,
    #[serde(default)]
    default: Option<DefaultDeployment>,
    rows: Vec<Row>,
    provenance: Provenance,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DefaultDeployment {
    accelerator: String,
    tensor_parallel_size: u32,
    engine_version: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    line: u32,
    accelerator: String,
    tensor_parallel_size: u32,
    engine_version: String,
    total_kv_blocks: u32,
    alpha: [f64; 3],
    beta: [f64; 3],
}

/// One YAML file.
struct Source {
    /// Path below `configs/`.
    file: String,
    /// Path below its folder without the extension: the id.
    id: String,
    text: String,
}

impl Source {
    fn problem(&self, line: usize, message: impl Into<String>) -> Problem {
        Problem { file: self.file.clone(), line, message: message.into() }
    }

    /// A problem with a field, found by its name at or after `from_line`.
    fn field_problem(&self, field: &str, from_line: usize, message: impl fmt::Display) -> Problem {
        let last = field.rsplit('.').next().unwrap_or(field);
        let is_field = |line: &str| {
            line.trim_start().trim_start_matches("- ").strip_prefix(last).is_some_and(|rest| rest.starts_with(':'))
        };
        let found = self.text.lines().enumerate().skip(from_line.saturating_sub(1)).find(|(_, line)| is_field(line));
        self.problem(found.map_or(1, |(index, _)| index + 1), format!("{field}: {message}"))
    }

    fn parse<T: DeserializeOwned>(&self, problems: &mut Vec<Problem>) -> Option<T> {
        match serde_yaml::from_str(&self.text) {
            Ok(value) => Some(value),
            Err(error) => {
                let line = error.location().map_or(1, |location| location.line());
                problems.push(self.problem(line, error.to_string()));
                None
            }
        }
    }

    fn check_id(&self, field: &str, id: &str, problems: &mut Vec<Problem>) {
        if id != self.id {
            problems.push(self.field_problem(field, 1, format!("{id} is not the file's name, {}", self.id)));
        }
    }

    fn check_provenance(&self, provenance: &Provenance, problems: &mut Vec<Problem>) {
        if provenance.source.trim().is_empty() {
            problems.push(self.field_problem("provenance", 1, "source is missing"));
        }
        let date = provenance.retrieved.as_bytes();
        let is_date = date.len() == 10
            && date.iter().enumerate().all(|(index, byte)| match index {
                4 | 7 => *byte == b'-',
                _ => byte.is_ascii_digit(),
            });
        if !is_date {
            let message = format!("retrieved is \"{}\", not a date like 2026-02-17", provenance.retrieved);
            problems.push(self.field_problem("provenance", 1, message));
        }
    }
}

/// Reads everything below `root`, the folder `configs/`.
pub fn read_all(root: &Path) -> Result<Embedded, Vec<Problem>> {
    let mut problems = Vec::new();
    let models = read_models(&sources(root, "models", &mut problems), &mut problems);
    let accelerators = read_accelerators(&sources(root, "accelerators", &mut problems), &mut problems);
    let presets = read_presets(&sources(root, "workloads", &mut problems), &mut problems);
    let files = sources(root, "coefficients", &mut problems);
    let (coefficients, model_defaults) = read_coefficients(&files, &models, &accelerators, &mut problems);
    let trained_physics = read_trained_physics(root, &mut problems);
    let quadratic = read_quadratic(root, &mut problems);
    let step_times = read_step_times(root, &accelerators, &mut problems);
    let scenario_files = sources(root, "scenarios", &mut problems);
    let experiment_files = sources(root, "experiments", &mut problems);
    let (Some(trained_physics), Some(quadratic), true) = (trained_physics, quadratic, problems.is_empty()) else {
        return Err(problems);
    };
    let catalog =
        Catalog { models, accelerators, coefficients, model_defaults, presets, trained_physics, quadratic, step_times };
    let scenarios = read_scenarios(&scenario_files, &catalog, &mut problems);
    let experiments = read_experiments(&experiment_files, &mut problems);
    if !problems.is_empty() {
        return Err(problems);
    }
    let catalog = compact(&catalog);
    Ok(Embedded { catalog, scenarios: compact(&scenarios), experiments: compact(&experiments) })
}

/// The YAML files below a folder, by path.
fn sources(root: &Path, folder: &str, problems: &mut Vec<Problem>) -> Vec<Source> {
    let mut files = Vec::new();
    collect(&root.join(folder), folder, "", &mut files, problems);
    files.sort_by(|left, right| left.file.cmp(&right.file));
    files
}

fn collect(path: &Path, file: &str, id: &str, files: &mut Vec<Source>, problems: &mut Vec<Problem>) {
    let broken = |message: String| Problem { file: file.to_owned(), line: 1, message };
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) => return problems.push(broken(error.to_string())),
    };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let (path, file) = (entry.path(), format!("{file}/{name}"));
        let below = |name: &str| if id.is_empty() { name.to_owned() } else { format!("{id}/{name}") };
        if path.is_dir() {
            collect(&path, &file, &below(&name), files, problems);
        } else if let Some(stem) = name.strip_suffix(".yaml") {
            match fs::read_to_string(&path) {
                Ok(text) => files.push(Source { id: below(stem), file, text }),
                Err(error) => problems.push(Problem { file, line: 1, message: error.to_string() }),
            }
        } else {
            problems.push(Problem { file, line: 1, message: "only .yaml files belong here".into() });
        }
    }
}

fn read_models(files: &[Source], problems: &mut Vec<Problem>) -> Vec<ModelSpec> {
    let is_derived = |file: &Source| file.text.lines().any(|line| line.starts_with("base:"));
    let mut models: Vec<(&Source, ModelSpec)> = Vec::new();
    for file in files.iter().filter(|file| !is_derived(file)) {
        models.extend(file.parse(problems).map(|model| (file, model)));
    }
    let bases: BTreeMap<String, ModelSpec> =
        models.iter().map(|(_, model)| (model.id.clone(), model.clone())).collect();
    for file in files.iter().filter(|file| is_derived(file)) {
        let Some(derived) = file.parse::<DerivedModel>(problems) else { continue };
        match bases.get(&derived.base) {
            Some(base) => {
                let mut model = base.clone();
                model.id = derived.id;
                model.weight_bytes_per_param = derived.weight_bytes_per_param.or(base.weight_bytes_per_param);
                model.provenance = derived.provenance;
                model.provenance.source = format!("{} ({})", model.provenance.source, derived.base);
                models.push((file, model));
            }
            None => problems.push(file.field_problem("base", 1, format!("there is no model {}", derived.base))),
        }
    }
    for (file, model) in &models {
        file.check_id("id", &model.id, problems);
        file.check_provenance(&model.provenance, problems);
        problems
            .extend(model.problems().into_iter().map(|problem| file.field_problem(&problem.path, 1, problem.message)));
        let stated = weight_bytes_from_name(&model.id);
        if stated.is_some() && stated != model.weight_bytes_per_param {
            let message = format!("the name states {stated:?}, the entry {:?}", model.weight_bytes_per_param);
            problems.push(file.field_problem("weight_bytes_per_param", 1, message));
        }
    }
    let mut names: BTreeMap<String, &str> = BTreeMap::new();
    for (file, model) in &models {
        for name in std::iter::once(&model.id).chain(&model.aliases) {
            if let Some(other) = names.insert(name.to_lowercase(), &model.id) {
                problems.push(file.field_problem("aliases", 1, format!("{name} is a name of {other} already")));
            }
        }
    }
    for (file, model) in &mut models {
        match footprint_of_entry(model) {
            Ok(footprint) => model.footprint = Some(Box::new(footprint)),
            Err(unread) => problems.extend(unread.into_iter().map(|problem| file.problem(1, problem.message))),
        }
    }
    let mut models: Vec<ModelSpec> = models.into_iter().map(|(_, model)| model).collect();
    models.sort_by_key(|model| model.id.to_lowercase());
    models
}

fn read_accelerators(files: &[Source], problems: &mut Vec<Problem>) -> Vec<AcceleratorSpec> {
    let mut accelerators: Vec<AcceleratorSpec> = Vec::new();
    for file in files {
        let Some(accelerator) = file.parse::<AcceleratorSpec>(problems) else { continue };
        file.check_id("id", &accelerator.id, problems);
        file.check_provenance(&accelerator.provenance, problems);
        problems.extend(
            accelerator.problems().into_iter().map(|problem| file.field_problem(&problem.path, 1, problem.message)),
        );
        accelerators.push(accelerator);
    }
    accelerators.sort_by_key(|accelerator| (accelerator.is_extrapolated, accelerator.id.to_lowercase()));
    accelerators
}

fn read_presets(files: &[Source], problems: &mut Vec<Problem>) -> Vec<WorkloadPreset> {
    let mut presets = Vec::new();
    for file in files {
        let Some(preset) = file.parse::<WorkloadPreset>(problems) else { continue };
        file.check_id("id", &preset.id, problems);
        file.check_provenance(&preset.provenance, problems);
        for (field, lengths) in [("input_tokens", preset.input_tokens), ("output_tokens", preset.output_tokens)] {
            if !(f64::from(lengths.min)..=f64::from(lengths.max)).contains(&lengths.mean) || lengths.std_dev < 0.0 {
                problems.push(file.field_problem(field, 1, "mean is outside min to max, or std_dev is negative"));
            }
        }
        presets.push(preset);
    }
    presets
}

fn read_coefficients(
    files: &[Source],
    models: &[ModelSpec],
    accelerators: &[AcceleratorSpec],
    problems: &mut Vec<Problem>,
) -> (Vec<CoefficientRow>, Vec<ModelDefault>) {
    let (mut rows, mut defaults) = (Vec::new(), Vec::new());
    for source in files {
        let Some(file) = source.parse::<CoefficientFile>(problems) else { continue };
        source.check_id("model", &file.model, problems);
        source.check_provenance(&file.provenance, problems);
        if !models.iter().any(|model| model.id.eq_ignore_ascii_case(&file.model)) {
            problems.push(source.field_problem("model", 1, format!("there is no architecture for {}", file.model)));
        }
        if let Some(default) = file.default {
            let is_trained = file.rows.iter().any(|row| {
                row.accelerator == default.accelerator
                    && row.tensor_parallel_size == default.tensor_parallel_size
                    && row.engine_version == default.engine_version
            });
            if !is_trained {
                problems.push(source.field_problem("default", 1, "no row is trained for this deployment"));
            }
            defaults.push(ModelDefault {
                model: file.model.clone(),
                accelerator: default.accelerator,
                tensor_parallel_size: default.tensor_parallel_size,
                engine_version: default.engine_version,
            });
        }
        for row in file.rows {
            let place = source.text.lines().position(|line| line.trim() == format!("- line: {}", row.line));
            let place = place.map_or(1, |index| index + 1);
            if !accelerators.iter().any(|accelerator| accelerator.id == row.accelerator) {
                problems.push(source.field_problem("accelerator", place, format!("{} is not known", row.accelerator)));
            }
            for (field, value) in
                [("tensor_parallel_size", row.tensor_parallel_size), ("total_kv_blocks", row.total_kv_blocks)]
            {
                if value == 0 {
                    problems.push(source.field_problem(field, place, "is 0"));
                }
            }
            for (field, values) in [("alpha", row.alpha), ("beta", row.beta)] {
                if values.iter().any(|value| !value.is_finite() || *value < 0.0) {
                    problems.push(source.field_problem(field, place, "a coefficient is negative or not finite"));
                }
            }
            rows.push((
                source,
                place,
                CoefficientRow {
                    line: row.line,
                    model: file.model.clone(),
                    accelerator: row.accelerator,
                    tensor_parallel_size: row.tensor_parallel_size,
                    engine_version: row.engine_version,
                    total_kv_blocks: row.total_kv_blocks,
                    alpha: row.alpha,
                    beta: row.beta,
                    provenance: file.provenance.clone(),
                },
            ));
        }
    }
    rows.sort_by_key(|(_, _, row)| row.line);
    for pair in rows.windows(2) {
        if let [(_, _, before), (source, place, row)] = pair
            && row.line == before.line
        {
            problems.push(source.problem(*place, format!("line: {} is used twice", row.line)));
        }
    }
    (rows.into_iter().map(|(_, _, row)| row).collect(), defaults)
}

/// Reads a file of the folder itself.
fn single(root: &Path, file: &str, problems: &mut Vec<Problem>) -> Option<Source> {
    match fs::read_to_string(root.join(file)) {
        Ok(text) => Some(Source { file: file.to_owned(), id: String::new(), text }),
        Err(error) => {
            problems.push(Problem { file: file.to_owned(), line: 1, message: error.to_string() });
            None
        }
    }
}

fn read_trained_physics(root: &Path, problems: &mut Vec<Problem>) -> Option<TrainedPhysicsSpec> {
    let source = single(root, "trained_physics.yaml", problems)?;
    let spec: TrainedPhysicsSpec = source.parse(problems)?;
    source.check_provenance(&spec.provenance, problems);
    for (field, values) in [("alpha", spec.alpha.as_slice()), ("beta", spec.beta.as_slice())] {
        if values.iter().any(|value| !value.is_finite() || *value < 0.0) {
            problems.push(source.field_problem(field, 1, "a coefficient is negative or not finite"));
        }
    }
    Some(spec)
}

fn read_quadratic(root: &Path, problems: &mut Vec<Problem>) -> Option<QuadraticSpec> {
    let source = single(root, "quadratic.yaml", problems)?;
    let spec: QuadraticSpec = source.parse(problems)?;
    source.check_provenance(&spec.provenance, problems);
    if let Err(found) = LatencyModel::quadratic(&spec.alpha, &spec.beta) {
        for problem in found {
            let field = problem.path.split('[').next().unwrap_or_default();
            problems.push(source.field_problem(field, 1, problem.message));
        }
    }
    Some(spec)
}

/// Reads the rates of kernels: each is of an accelerator of the catalogue, no share is above one, and nothing that is
/// divided by is zero.
fn read_step_times(
    root: &Path,
    accelerators: &[AcceleratorSpec],
    problems: &mut Vec<Problem>,
) -> Option<StepTimesSpec> {
    let source = single(root, "step_times.yaml", problems)?;
    let spec: StepTimesSpec = source.parse(problems)?;
    source.check_provenance(&spec.provenance, problems);
    if spec.cards.is_empty() {
        problems.push(source.field_problem("cards", 1, "no accelerator was measured"));
    }
    let line_of = |begin: &str| source.text.lines().position(|line| line == begin).map_or(1, |index| index + 1);
    for card in &spec.cards {
        let id = &card.accelerator;
        let line = line_of(&format!("  - accelerator: {id}"));
        if !accelerators.iter().any(|known| known.id == *id) {
            problems.push(source.field_problem("accelerator", line, format!("{id} is not in the catalogue")));
        }
        if !card.all_reduce.is_sorted_by(|left, right| left.ranks < right.ranks) {
            problems.push(source.field_problem("all_reduce", line, "ranks do not grow from line to line"));
        }
        check_rates(&source, line, card, problems);
    }
    check_rates(&source, line_of("server:"), spec.server, problems);
    Some(spec)
}

/// Rates of what a data sheet says: with one above 1, steps would be faster than that.
const SHARES: [&str; 9] = [
    "compute",
    "memory",
    "prompt_compute",
    "decode_memory",
    "decode_in_server",
    "memory_in_server",
    "sustained",
    "experts",
    "expert_spread",
];
/// Rates that are divided by, beside these.
const DIVISORS: [&str; 2] = ["sharpness", "gb_per_s"];

/// Checks every number of a table, told by the line of its field behind `line`.
fn check_rates(source: &Source, line: usize, table: impl Serialize, problems: &mut Vec<Problem>) {
    let table = serde_json::to_value(table).expect("fields have names");
    for (field, value) in table.as_object().into_iter().flatten() {
        check_rate(source, (line, field), field, value, problems);
    }
}

fn check_rate(source: &Source, at: (usize, &str), name: &str, value: &Value, problems: &mut Vec<Problem>) {
    match value {
        Value::Object(fields) => {
            for (inner, value) in fields {
                check_rate(source, at, inner, value, problems);
            }
        }
        Value::Array(list) => {
            for value in list {
                check_rate(source, at, name, value, problems);
            }
        }
        Value::String(_) => {}
        number => {
            let number = number.as_f64().unwrap_or(f64::NAN);
            let (is_good, wanted) = match name {
                share if SHARES.contains(&share) => (number > 0.0 && number <= 1.0, "not above 0 and at most 1"),
                divisor if DIVISORS.contains(&divisor) => (number > 0.0, "not a number above 0"),
                _ => (number >= 0.0, "not a number from 0"),
            };
            if !is_good {
                problems.push(source.field_problem(at.1, at.0, format!("{name} is {number}, {wanted}")));
            }
        }
    }
}

/// Reads the experiments: each has every parameter of the model once, and one time of each kind per request.
fn read_experiments(files: &[Source], problems: &mut Vec<Problem>) -> Vec<Experiment> {
    let mut experiments = Vec::new();
    for file in files {
        let Some(experiment) = file.parse::<Experiment>(problems) else { continue };
        file.check_id("id", &experiment.id, problems);
        file.check_provenance(&experiment.provenance, problems);
        let wanted: Vec<&str> = QUADRATIC_BETA.iter().chain(&QUADRATIC_ALPHA).copied().collect();
        let given: Vec<&str> = experiment.parameters.iter().map(|parameter| parameter.name.as_str()).collect();
        if given != wanted {
            problems.push(file.field_problem("parameters", 1, format!("give {}", wanted.join(", "))));
        }
        for parameter in &experiment.parameters {
            if !(parameter.low < parameter.high && parameter.baseline != 0.0 && parameter.baseline.is_finite()) {
                problems.push(file.field_problem("parameters", 1, format!("{} has no range", parameter.name)));
            }
        }
        let count = experiment.arrivals_us.len();
        if count == 0 || experiment.ttft_s.len() != count || experiment.e2e_s.len() != count {
            problems.push(file.field_problem("arrivals_us", 1, "arrivals, TTFTs and latencies are not as many"));
        }
        experiments.push(experiment);
    }
    experiments
}

/// Reads the ready scenarios: each must resolve, and names itself in a comment on its first line.
fn read_scenarios(files: &[Source], catalog: &Catalog, problems: &mut Vec<Problem>) -> Vec<ScenarioEntry> {
    let mut entries = Vec::new();
    for file in files {
        let title = file.text.lines().next().and_then(|line| line.strip_prefix("# ")).unwrap_or_default();
        if title.is_empty() {
            problems.push(file.problem(1, "the first line must be a comment with the title"));
        }
        let Some(scenario) = file.parse::<Scenario>(problems) else { continue };
        if file.id == "default" && scenario != Scenario::default() {
            problems.push(file.problem(1, "the default scenario differs from the one the program starts with"));
        }
        if let Err(diagnostics) = scenario.resolve(catalog) {
            let errors = diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error);
            problems.extend(errors.map(|error| file.field_problem(&error.path, 1, &error.message)));
        }
        let Ok(value) = serde_yaml::from_str::<Value>(&file.text) else { continue };
        entries.push(ScenarioEntry { id: file.id.clone(), title: title.to_owned(), scenario: value });
    }
    entries.sort_by_key(|entry| (entry.id != "default", entry.id.clone()));
    entries
}

/// JSON without what `#[serde(default)]` restores: nulls, zeros, empty texts and false.
fn compact(value: &impl Serialize) -> String {
    let mut value = serde_json::to_value(value).expect("catalogue types have no unserializable part");
    strip(&mut value, false);
    value.to_string()
}

fn strip(value: &mut Value, is_scenario: bool) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| strip(item, is_scenario)),
        Value::Object(fields) => {
            for (name, field) in fields.iter_mut() {
                strip(field, is_scenario || name == "scenario");
            }
            // The defaults of a scenario are not zero, so nothing of it may be left out.
            if !is_scenario {
                fields.retain(|_, field| match field {
                    Value::Null | Value::Bool(false) => false,
                    Value::Number(number) => number.as_f64() != Some(0.0),
                    Value::String(text) => !text.is_empty(),
                    _ => true,
                });
            }
        }
        _ => {}
    }
}
