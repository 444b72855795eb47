//! Scenarios as files: YAML and JSON of the same type that the page holds.

use crate::fields::shown_path;
use crate::place::{Place, find_key};
use crate::policy::bad_routing;
use crate::probe::{BadField, bad_fields, explain, read};
use crate::release_field::{explain_release, read_release};
use crate::value::{Readable, readable_json, readable_yaml};
use plimsoll_anatomy::footprint_of_entry;
use plimsoll_core::catalog::{AcceleratorSpec, ModelSpec, Provenance};
use plimsoll_core::diagnostic::Diagnostic;
use plimsoll_core::scenario::{
    AdmissionSettings, ArrivalSettings, ClientSettings, EngineSettings, LengthSettings, ModelChoice, RoutingSettings,
    SCENARIO_VERSION, Scenario,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// No scenario is larger; a larger file is something else, opened by mistake.
const MAX_BYTES: usize = 1 << 20;

/// Reads a scenario from YAML.
///
/// What the text leaves out has its default: in a text of version 1 the rules and limits that were the default then. `file` names the text in the places of diagnostics.
///
/// # Errors
/// Every problem found: syntax, unknown or repeated fields, values of a wrong type. Whether the values make sense
/// together is checked by `Scenario::resolve`.
pub fn scenario_from_yaml(text: &str, file: &str) -> Result<Scenario, Vec<Diagnostic>> {
    check_size(text, file)?;
    readable_yaml(text, file).and_then(|read| scenario_from_value(read, text, file)).map(with_footprint)
}

/// Reads a scenario from JSON; like [`scenario_from_yaml`] in all else.
///
/// # Errors
/// Every problem found.
pub fn scenario_from_json(text: &str, file: &str) -> Result<Scenario, Vec<Diagnostic>> {
    check_size(text, file)?;
    readable_json(text, file).and_then(|read| scenario_from_value(read, text, file)).map(with_footprint)
}

/// Reads out of an architecture that somebody wrote down what it takes of a server's memory, unless that is told too.
fn with_footprint(mut scenario: Scenario) -> Scenario {
    if let ModelChoice::Custom(spec) = &mut scenario.deployment.model
        && spec.footprint.is_none()
        && spec.problems().is_empty()
    {
        // Whoever resolves the scenario says so where nothing is known of the layers.
        spec.footprint = footprint_of_entry(spec).ok().map(Box::new);
    }
    scenario
}

/// What is worth saying about a scenario file that can be read: that it is empty, or states no version.
#[must_use]
pub fn scenario_remarks(text: &str, file: &str) -> Vec<Diagnostic> {
    // JSON is YAML too.
    let Ok(Readable { value, .. }) = readable_yaml(text, file) else { return Vec::new() };
    let fields = value.as_object();
    if fields.is_none_or(Map::is_empty) {
        return vec![
            Diagnostic::warning("scenario-empty", file, "the file has no fields, so every default is used")
                .with_hint(format!("a scenario begins like `version: {SCENARIO_VERSION}`")),
        ];
    }
    if fields.is_some_and(|fields| fields.contains_key("version")) {
        return Vec::new();
    }
    let message = format!("version is missing; the file is read as version {SCENARIO_VERSION}");
    vec![
        Diagnostic::note("missing-field", file, message).with_hint(format!(
            "begin it with `version: {SCENARIO_VERSION}`, so that later programs know what it means"
        )),
    ]
}

/// Writes a scenario as YAML, every field spelled out.
#[must_use]
pub fn scenario_to_yaml(scenario: &Scenario) -> String {
    serde_yaml::to_string(scenario).expect("a scenario has no part that YAML cannot hold")
}

pub(crate) fn check_size(text: &str, file: &str) -> Result<(), Vec<Diagnostic>> {
    if text.len() <= MAX_BYTES {
        return Ok(());
    }
    let message = format!("the file has {} bytes", text.len());
    Err(vec![
        Diagnostic::error("file-too-large", file, message)
            .with_hint(format!("at most {MAX_BYTES} bytes are read here")),
    ])
}

fn scenario_from_value(read_text: Readable, text: &str, file: &str) -> Result<Scenario, Vec<Diagnostic>> {
    let Readable { value, problems: mut found } = read_text;
    let mut fields = match &value {
        Value::Null => Map::new(),
        Value::Object(fields) => fields.clone(),
        _ => {
            return Err(vec![
                Diagnostic::error("invalid-value", Place::START.in_file(file), "the file is not a mapping of fields")
                    .with_hint(format!("a scenario begins like `version: {SCENARIO_VERSION}`")),
            ]);
        }
    };
    let stated = fields.get("version").cloned();
    if stated == Some(Value::from(1)) {
        complete_version_1(&mut fields);
    } else if let Some(version) = &stated
        && version.as_u64() != Some(u64::from(SCENARIO_VERSION))
    {
        let place = find_key(text, &["version"]).unwrap_or(Place::START);
        return Err(vec![
            Diagnostic::error(
                "scenario-version",
                place.in_file(file),
                format!("scenario version {version} is not known"),
            )
            .with_hint(format!("this program reads up to version {SCENARIO_VERSION}; a newer program wrote the file")),
        ]);
    }
    found.extend(read_release(&mut fields, text, file));
    let problems = problems_of(&fields);
    if problems.is_empty() && found.is_empty() {
        return read(fields)
            .map_err(|message| vec![Diagnostic::error("invalid-value", Place::START.in_file(file), message)]);
    }
    let mut problems = placed(problems, found, &value, text, file);
    explain_release(&mut problems);
    Err(problems)
}

/// Spells out what version 1 meant by what it leaves out, where version 2 means something else.
fn complete_version_1(fields: &mut Map<String, Value>) {
    fields.insert("version".into(), SCENARIO_VERSION.into());
    let engine = fields.entry("engine").or_insert_with(|| Value::Object(Map::new()));
    // What is no mapping is refused with its place later.
    let Some(engine) = engine.as_object_mut() else { return };
    let (old, new) = (good(&EngineSettings::of_version_1()), good(&EngineSettings::default()));
    for (name, value) in old {
        if new.get(&name) != Some(&value) {
            engine.entry(name).or_insert(value);
        }
    }
}

/// What is wrong with a file, in the order of places: bad fields of `value`, and what was `found` before.
pub(crate) fn placed(
    problems: Vec<BadField>,
    mut found: Vec<(Place, Diagnostic)>,
    value: &Value,
    text: &str,
    file: &str,
) -> Vec<Diagnostic> {
    found.extend(problems.into_iter().map(|problem| {
        let path: Vec<&str> = problem.path.iter().map(String::as_str).collect();
        let place = find_key(text, &path).unwrap_or(Place::START);
        let value = path.iter().try_fold(value, |value, key| {
            match key.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')?.parse::<usize>().ok()) {
                Some(index) => value.get(index),
                None => value.get(*key),
            }
        });
        (place, explain(place.in_file(file), &shown_path(&problem.path), &problem.message, value))
    }));
    found.sort_by_key(|(place, _)| *place);
    found.into_iter().map(|(_, diagnostic)| diagnostic).collect()
}

/// Every bad field, section by section.
fn problems_of(fields: &Map<String, Value>) -> Vec<BadField> {
    let none = Map::new();
    let mut problems = Vec::new();
    for problem in bad_fields::<Scenario>(fields, &none) {
        let section = problem.path.first().cloned().unwrap_or_default();
        match fields.get(section.as_str()) {
            Some(Value::Object(inner)) => problems.extend(problems_of_section(&section, inner, problem)),
            _ => problems.push(problem),
        }
    }
    problems
}

/// The bad fields inside a bad section, or the section's own problem if it is no known section.
fn problems_of_section(section: &str, fields: &Map<String, Value>, problem: BadField) -> Vec<BadField> {
    let mut found = Vec::new();
    for (key, value) in fields {
        let Err(message) = section_with(section, key, value.clone()) else { continue };
        let below = match (section, key.as_str(), value) {
            ("deployment", "model", Value::Object(model)) => {
                bad_fields::<ModelSpec>(model, &good(&ModelSpec::smallest("model")))
            }
            ("deployment", "accelerator", Value::Object(sheet)) => {
                bad_fields::<AcceleratorSpec>(sheet, &good(&good_accelerator()))
            }
            ("cluster", "admission", Value::Object(inner)) => bad_fields::<AdmissionSettings>(inner, &Map::new()),
            ("cluster", "routing", Value::Object(inner)) => bad_routing::<RoutingSettings>(inner),
            ("workload", "arrival", Value::Object(inner)) => {
                let known = [
                    ArrivalSettings::Constant,
                    ArrivalSettings::Poisson,
                    ArrivalSettings::Gamma { cv: 1.0 },
                    ArrivalSettings::Weibull { cv: 1.0 },
                ];
                bad_fields_of_variant::<ArrivalSettings>("process", inner, &known, &message)
            }
            ("workload", "input_tokens" | "output_tokens", Value::Object(inner)) => {
                let (mean, std_dev, min, max) = (1.0, 1.0, 1, 1);
                let known = [
                    LengthSettings::Normal { mean, std_dev, min, max },
                    LengthSettings::Lognormal { mean, std_dev, min, max },
                    LengthSettings::Exponential { mean: 1.0 },
                    LengthSettings::ParetoLognormal { alpha: 1.0, xm: 1.0, mu: 1.0, sigma: 1.0, mix_weight: 1.0 },
                    LengthSettings::Empirical { weights: vec![(1, 1.0)] },
                    LengthSettings::Constant { value: 1 },
                ];
                bad_fields_of_variant::<LengthSettings>("distribution", inner, &known, &message)
            }
            ("workload", "clients", Value::Array(clients)) => bad_fields_of_clients(clients),
            ("workload", "prefix" | "trace" | "closed_loop", Value::Object(inner)) => inner
                .iter()
                .filter_map(|(name, value)| {
                    let alone = Map::from_iter([(name.clone(), value.clone())]);
                    let message = section_with(section, key, Value::Object(alone)).err()?;
                    // A trace needs both of its fields; alone each would be called incomplete.
                    (!message.contains("missing field")).then(|| BadField { path: vec![name.clone()], message })
                })
                .collect(),
            _ => Vec::new(),
        };
        let root = [section.to_owned(), key.clone()];
        if below.is_empty() {
            found.push(BadField { path: root.to_vec(), message });
        }
        found.extend(below.into_iter().map(|field| BadField { path: [&root, &*field.path].concat(), ..field }));
    }
    if found.is_empty() { vec![problem] } else { found }
}

/// The bad fields of a workload's clients, each below its position.
fn bad_fields_of_clients(clients: &[Value]) -> Vec<BadField> {
    let mut found = Vec::new();
    for (index, client) in clients.iter().enumerate() {
        let position = format!("[{index}]");
        match client {
            Value::Object(fields) => {
                let below = bad_fields::<ClientSettings>(fields, &Map::new());
                found.extend(
                    below.into_iter().map(|field| BadField {
                        path: [std::slice::from_ref(&position), &*field.path].concat(),
                        ..field
                    }),
                );
            }
            _ => found.push(BadField { path: vec![position], message: "expected a mapping of fields".into() }),
        }
    }
    found
}

/// The bad fields of a mapping whose field `tag` names the variant; `known` holds a good value of each.
fn bad_fields_of_variant<T: DeserializeOwned + Serialize>(
    tag: &str,
    fields: &Map<String, Value>,
    known: &[T],
    message: &str,
) -> Vec<BadField> {
    // Without its tag the mapping as a whole is incomplete.
    let Some(name) = fields.get(tag) else { return Vec::new() };
    match known.iter().map(good).find(|good| good.get(tag) == Some(name)) {
        Some(good) => bad_fields::<T>(fields, &good),
        None => vec![BadField { path: vec![tag.to_owned()], message: message.to_owned() }],
    }
}

/// Reads a scenario that has nothing but one field of one section.
fn section_with(section: &str, key: &str, value: Value) -> Result<Scenario, String> {
    let inner = Map::from_iter([(key.to_owned(), value)]);
    read(Map::from_iter([(section.to_owned(), Value::Object(inner))]))
}

/// The fields of a good value.
pub(crate) fn good(value: &impl serde::Serialize) -> Map<String, Value> {
    match serde_json::to_value(value) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    }
}

/// A data sheet in which every field is good, to probe others with.
pub(crate) fn good_accelerator() -> AcceleratorSpec {
    AcceleratorSpec {
        id: "accelerator".into(),
        name: String::new(),
        peak_tflops: 1.0,
        peak_tflops_fp8: 0.0,
        memory_bandwidth_tb_per_s: 1.0,
        mfu_prefill: 1.0,
        mfu_decode: 1.0,
        memory_gib: 1.0,
        driver_memory_gib: 0.0,
        driver_memory_source: String::new(),
        generation: Default::default(),
        aliases: Vec::new(),
        power_w: 0.0,
        price_usd_per_hour: None,
        is_extrapolated: false,
        provenance: Provenance::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::excerpt_of;
    use plimsoll_core::scenario::{ModelChoice, Scheduling};

    /// The diagnostics as `place: message (hint)`, one a line.
    fn problems(yaml: &str) -> String {
        let found = scenario_from_yaml(yaml, "s.yaml").expect_err("the text is malformed");
        let line = |found: &Diagnostic| format!("{} {}: {} ({})", found.path, found.code, found.message, found.hint);
        found.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn every_field_survives_a_round_trip() {
        let mut scenario = Scenario::default();
        scenario.deployment.model = ModelChoice::Custom(Box::new(ModelSpec::smallest("model")));
        scenario.deployment.tensor_parallel_size = None;
        scenario.latency.alpha = Some(vec![0.1 + 0.2, 1e-300, 3.0]);
        scenario.workload.prefix_hit_ratio = 0.35;
        scenario.seed = u64::MAX;
        let yaml = scenario_to_yaml(&scenario);
        assert_eq!(scenario_from_yaml(&yaml, "s.yaml"), Ok(scenario.clone()), "{yaml}");
        let json = serde_json::to_string(&scenario).expect("serializes");
        assert_eq!(scenario_from_json(&json, "s.json"), Ok(scenario));
        assert_eq!(scenario_from_yaml("", "s.yaml"), Ok(Scenario::default()));
    }

    #[test]
    fn an_unknown_field_names_the_field_that_was_meant() {
        let found = problems("version: 1\nengine:\n  max_num_seq: 8\n");
        assert!(
            found.starts_with(
                "s.yaml:3:3 unknown-field: there is no field engine.max_num_seq (did you mean max_num_seqs? valid are "
            ),
            "{found}"
        );
        assert!(problems("engin: {}\n").contains("did you mean engine?"));
        let nested = problems("workload:\n  prefix:\n    token: 4\n");
        assert!(
            nested
                .starts_with("s.yaml:3:5 unknown-field: there is no field workload.prefix.token (did you mean tokens?"),
            "{nested}"
        );
        let variant = problems("workload:\n  arrival: { process: gamma, cf: 2 }\n");
        assert!(variant.contains("workload.arrival"), "{variant}");
    }

    #[test]
    fn clients_are_read_and_their_problems_placed() {
        let good = "workload:\n  clients:\n  - id: a\n    arrival: { process: weibull, cv: 2 }\n    input_tokens: { distribution: empirical, weights: [[5, 0.5], [9, 1]] }\n  - closed_loop: { concurrency: 3 }\n";
        let scenario = scenario_from_yaml(good, "s.yaml").expect("clients");
        assert_eq!(scenario.workload.clients[0].arrival, ArrivalSettings::Weibull { cv: 2.0 });
        assert_eq!(
            scenario.workload.clients[1].closed_loop.map(|users| (users.concurrency, users.think_time_us)),
            Some((3, 0))
        );
        assert_eq!(scenario_from_yaml(&scenario_to_yaml(&scenario), "s.yaml"), Ok(scenario));
        let found =
            problems(&good.replace("  - closed_loop:", "  - tenent: x\n    population: many\n    closed_loop:"));
        let lines: Vec<&str> = found.lines().collect();
        assert_eq!(lines.len(), 2, "{found}");
        assert!(
            lines[0].starts_with(
                "s.yaml:6:5 unknown-field: there is no field workload.clients[1].tenent (did you mean tenant?"
            ),
            "{found}"
        );
        assert_eq!(
            lines[1],
            "s.yaml:7:5 invalid-value: workload.clients[1].population is \"many\" (give a whole number of 0 or more)"
        );
        let tail = problems("workload:\n  input_tokens: { distribution: exponential, men: 3 }\n");
        assert!(tail.contains("workload.input_tokens.men"), "{tail}");
    }

    #[test]
    fn a_wrong_type_says_what_is_there_and_what_is_wanted() {
        let found = problems("engine:\n  max_num_seqs: many\n");
        assert_eq!(
            found,
            "s.yaml:2:3 invalid-value: engine.max_num_seqs is \"many\" (give a whole number of 0 or more)"
        );
        let found = problems("engine: { block_size: -1 }\n");
        assert_eq!(found, "s.yaml:1:11 invalid-value: engine.block_size is -1 (give a whole number of 0 or more)");
        let found = problems("engine:\n  scheduler: fcf\n");
        assert_eq!(
            found,
            "s.yaml:2:3 invalid-value: engine.scheduler is fcf (did you mean fcfs? valid are fcfs, priority, priority-fcfs, reverse-priority, sjf)"
        );
        let found = problems("slo: 5\n");
        assert_eq!(found, "s.yaml:1:1 invalid-value: slo is 5 (give a mapping of fields)");
    }

    #[test]
    fn all_problems_are_reported_at_once() {
        let found = problems("engine:\n  max_num_seqs: x\n  block_sise: 1\nslo: { ttft_ms: fast }\nsed: 1\n");
        assert_eq!(found.lines().count(), 4, "{found}");
    }

    #[test]
    fn syntax_errors_and_repeated_fields_have_their_place() {
        let found = problems("engine:\n  max_num_seqs: [1\nseed: 2\n");
        assert!(found.contains("syntax: not valid YAML") && found.starts_with("s.yaml:"), "{found}");
        let found = problems("engine:\n  block_size: 16\n  max_num_seqs: 1\n  block_size: 32\n");
        assert_eq!(found, "s.yaml:4:3 repeated-field: block_size is given twice (keep one of them)");
        let found = problems("- 1\n- 2\n");
        assert!(found.contains("not a mapping"), "{found}");
        let json = scenario_from_json("{\"seed\": 1,}", "s.json").expect_err("malformed");
        assert!(json[0].path.starts_with("s.json:1:12") && json[0].code == "syntax", "{json:?}");
    }

    #[test]
    fn what_cannot_be_read_is_placed_and_hides_nothing_else() {
        let found = problems(
            "seed: many\nslo:\n  percentile: .nan\n  ttft_ms: 5\n  ttft_ms: 6\nengine:\n  block_size: 1\n  block_size: 2\n  scheduler: fcf\n  ? [1]\n  : 2\n",
        );
        let places: Vec<&str> = found.lines().collect();
        let expected = [
            "s.yaml:1:1 invalid-value: seed is \"many\"",
            "s.yaml:3:3 syntax: slo.percentile: NaN is not a finite number",
            "s.yaml:5:3 repeated-field: ttft_ms is given twice",
            "s.yaml:6:1 syntax: engine: the name [1] is not a text",
            "s.yaml:8:3 repeated-field: block_size is given twice",
            "s.yaml:9:3 invalid-value: engine.scheduler is fcf",
        ];
        assert_eq!(places.len(), expected.len(), "{found}");
        for (line, expected) in places.iter().zip(expected) {
            assert!(line.starts_with(expected), "{line}");
        }
        assert!(problems("seed: !t 3\n").contains("s.yaml:1:1 syntax: seed: the tag !t is not known"));
        let json = scenario_from_json("{\"seed\": 1, \"seed\": 2, \"sed\": 3}", "s.json").expect_err("malformed");
        assert_eq!(
            json.iter().map(|found| found.code.as_str()).collect::<Vec<_>>(),
            ["repeated-field", "unknown-field"]
        );
    }

    #[test]
    fn choices_are_explained_in_the_words_of_the_file() {
        let found = problems("deployment:\n  model: 5\n");
        assert_eq!(
            found,
            "s.yaml:2:3 invalid-value: deployment.model is 5 (give a name of the catalogue or a mapping of fields)"
        );
        let found = problems("workload:\n  input_tokens:\n    distribution: norml\n    mean: 5\n");
        assert!(
            found.starts_with(
                "s.yaml:3:5 invalid-value: workload.input_tokens.distribution is norml (did you mean normal?"
            ),
            "{found}"
        );
        let found = problems("workload:\n  output_tokens: { distribution: constant, value: x }\n");
        assert!(found.contains("workload.output_tokens.value is \"x\" (give a whole number"), "{found}");
        let found = problems("workload:\n  arrival: { process: gamma }\n");
        assert!(found.contains("missing-field: workload.arrival.cv is missing"), "{found}");
        let found = problems("workload:\n  arrival: { cv: 2 }\n");
        assert!(found.contains("missing-field: workload.arrival.process is missing"), "{found}");
    }

    #[test]
    fn an_empty_file_and_a_missing_version_are_remarked() {
        let codes =
            |text: &str| scenario_remarks(text, "s.yaml").into_iter().map(|found| found.code).collect::<Vec<_>>();
        for empty in ["", "# nothing\n", "{}", "---\n"] {
            assert_eq!(codes(empty), ["scenario-empty"], "{empty:?}");
        }
        assert_eq!(codes("seed: 1\n"), ["missing-field"]);
        assert!(codes("version: 1\n").is_empty() && codes("{\"version\": 1}").is_empty());
    }

    #[test]
    fn a_custom_model_is_read_field_by_field() {
        let found = problems(
            "deployment:\n  model:\n    id: mine\n    num_hidden_layers: 32\n    hidden_size: big\n    num_heads: 32\n    num_key_value_heads: 8\n    intermediate_size: 1\n    vocab_size: 1\n    torch_dtype: bfloat16\n",
        );
        assert!(found.contains("s.yaml:5:5 invalid-value: deployment.model.hidden_size is \"big\""), "{found}");
        assert!(found.contains("s.yaml:6:5 unknown-field: there is no field deployment.model.num_heads"), "{found}");
        assert!(found.contains("deployment.model.num_attention_heads is missing"), "{found}");
        assert_eq!(found.lines().count(), 3, "{found}");
    }

    #[test]
    fn another_schema_version_is_refused_before_its_fields() {
        let found = problems("version: 3\nnew_section: {}\n");
        assert!(found.starts_with("s.yaml:1:1 scenario-version: scenario version 3 is not known"), "{found}");
        assert_eq!(found.lines().count(), 1);
    }

    #[test]
    fn a_file_of_version_1_means_what_it_meant() {
        let read = |text: &str| scenario_from_yaml(text, "s.yaml").expect("a scenario");
        assert_eq!(read("version: 1\n"), Scenario::base(1).expect("the first base"));
        assert_eq!(read("version: 2\n"), Scenario::default());
        let old =
            read("version: 1\ndeployment: { engine_version: v0.8.4 }\nengine: { gpu_memory_utilization: null }\n");
        assert_eq!(old.deployment.server_version.as_deref(), Some("v0.8.4"));
        assert_eq!((old.engine.gpu_memory_utilization, old.engine.max_num_seqs), (None, Some(256)));
        assert_eq!(old.engine.scheduling, Scheduling::Reference);
        let chosen = read("version: 1\nengine: { scheduling: vllm-v1, max_num_seqs: 8 }\n");
        assert_eq!((chosen.engine.scheduling, chosen.engine.max_num_seqs), (Scheduling::VllmV1, Some(8)));
        let json = scenario_from_json("{\"version\": 1}", "s.json").expect("a scenario");
        assert_eq!(json, read("version: 1\n"));
        // What is no mapping is refused where it stands, and nothing is made of it.
        assert_eq!(problems("version: 1\nengine: 5\n").lines().count(), 1);
        assert!(problems("version: 1\nengine:\n  max_num_seq: 8\n").starts_with("s.yaml:3:3 unknown-field"));
        let both = problems("deployment:\n  server_version: '0.33'\n  engine_version: '0.8.4'\n");
        assert!(both.contains("server_version") && both.lines().count() == 1, "{both}");
    }

    #[test]
    fn the_excerpt_points_at_the_field() {
        let yaml = "engine:\n  max_num_seq: 8\n";
        let found = scenario_from_yaml(yaml, "s.yaml").expect_err("malformed");
        assert_eq!(excerpt_of(yaml, &found[0]).as_deref(), Some("2 |   max_num_seq: 8\n  |   ^"));
    }

    #[test]
    fn no_text_makes_the_reader_panic() {
        for text in [
            "\u{feff}",
            "\0",
            "a: &a [*a]",
            "? {}\n: 1",
            "? [1]\n: 2\n",
            "1: 2",
            "version: .nan",
            "!x {y: 1}",
            "{",
            "seed: 99999999999999999999999",
            "deployment: { model: { ? {} : 1 } }",
            "slo: { percentile: !t 3 }",
            "ä: ö",
        ] {
            let _ = scenario_from_yaml(text, "s.yaml");
            let _ = scenario_from_json(text, "s.json");
        }
        assert!(problems(&format!("# {}", "x".repeat(MAX_BYTES))).contains("file-too-large"));
    }
}
