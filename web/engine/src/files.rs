//! Files the user opens: recognised by content, read here because the readers live in this module alone.

use plimsoll_core::diagnostic::Diagnostic;
use plimsoll_core::scenario::Scenario;
use plimsoll_core::workload::Trace;
use plimsoll_protocol::{FileContent, encode};
use serde::Serialize;
use std::sync::Arc;

/// What a file held.
pub struct Read {
    /// For the page.
    pub content: FileContent,
    /// A trace stays here, under its hash.
    pub trace: Option<(String, Arc<Trace>)>,
    /// Notes and warnings.
    pub diagnostics: Vec<Diagnostic>,
}

/// Reads a file of any kind the page accepts.
///
/// # Errors
/// Every problem found, each with its line and column.
pub fn read(name: &str, bytes: &[u8]) -> Result<Read, Vec<Diagnostic>> {
    if is_trace(name, bytes) {
        return plimsoll_formats::trace_from_bytes(bytes, name).map(|read| trace(read.value, read.diagnostics));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let message = format!("byte {} is not UTF-8 text", error.valid_up_to() + 1);
        vec![
            Diagnostic::error("file-not-text", name, message)
                .with_hint("open a CSV trace, a scenario or a config.json"),
        ]
    })?;
    match kind(text) {
        Kind::Model => {
            let id = name.rsplit(['/', '\\']).next().unwrap_or(name);
            let id =
                if id.is_empty() || id == "config.json" { "own model" } else { id.strip_suffix(".json").unwrap_or(id) };
            let (read, parameters) = plimsoll_formats::model_and_parameters(text, id)?;
            let content = FileContent::Model { id: read.value.id.clone(), model: text_of(&read.value)?, parameters };
            Ok(Read { content, trace: None, diagnostics: read.diagnostics })
        }
        Kind::ScenarioJson => scenario(&plimsoll_formats::scenario_from_json(text, name)?),
        Kind::WorkloadYaml => {
            let read = plimsoll_formats::workload_spec_from_yaml(text, name)?;
            if read.value.clients.is_empty() && read.value.servegen_data.is_some() {
                let message = "the specification names a ServeGen folder, whose files did not come along";
                let hint = "drop the files of the folder themselves on the workload's tab";
                return Err(vec![Diagnostic::error("servegen-no-chunks", name, message).with_hint(hint)]);
            }
            let workload = text_of(&read.value.into_workload(NUM_REQUESTS))?;
            Ok(Read { content: FileContent::Workload { workload }, trace: None, diagnostics: read.diagnostics })
        }
        Kind::ScenarioYaml => scenario(&plimsoll_formats::scenario_from_yaml(text, name)?),
    }
}

enum Kind {
    Model,
    ScenarioJson,
    ScenarioYaml,
    WorkloadYaml,
}

/// Requests of a run of a specification that states no number.
const NUM_REQUESTS: u32 = 10_000;

/// What only the top level of a workload specification has.
const SPECIFICATION_FIELDS: [&str; 7] =
    ["aggregate_rate:", "clients:", "cohorts:", "servegen_data:", "inference_perf:", "num_requests:", "category:"];

/// The kind of a text by its first signs.
fn kind(text: &str) -> Kind {
    if text.trim_start().starts_with('{') {
        // Every model configuration names its layers or, nested, its text part's.
        let is_model = text.contains("\"num_hidden_layers\"")
            || text.contains("\"model_type\"")
            || text.contains("\"architectures\"");
        return if is_model && !text.contains("\"deployment\"") { Kind::Model } else { Kind::ScenarioJson };
    }
    let is_specification = |line: &str| SPECIFICATION_FIELDS.iter().any(|field| line.starts_with(field));
    if text.lines().any(is_specification) { Kind::WorkloadYaml } else { Kind::ScenarioYaml }
}

/// Whether the bytes are a trace: by name, or because the first line has the columns or the fields of one.
fn is_trace(name: &str, bytes: &[u8]) -> bool {
    let first = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let has = |word: &[u8]| first.windows(word.len()).any(|window| window == word);
    let names: [&[u8]; 3] = [b"request_id", b"ContextTokens", b"Response tokens"];
    let is_table = first.contains(&b',') && names.iter().any(|word| has(word));
    is_table || has(b"\"input_length\"") || name.to_ascii_lowercase().ends_with(".csv")
}

fn trace(trace: Trace, diagnostics: Vec<Diagnostic>) -> Read {
    let requests = trace.requests();
    let num_requests = requests.len() as u64;
    let mean = |tokens: fn(&plimsoll_core::workload::Request) -> u32| {
        // Sums of up to 2⁵³ tokens are exact.
        requests.iter().map(|request| f64::from(tokens(request))).sum::<f64>() / (num_requests.max(1) as f64)
    };
    let span = requests
        .first()
        .zip(requests.last())
        .map_or(0.0, |(first, last)| last.arrive.as_seconds() - first.arrive.as_seconds());
    let hash = trace.content_hash();
    let content = FileContent::Trace {
        hash: hash.clone(),
        num_requests,
        span_s: span,
        mean_input_tokens: mean(|request| request.input_tokens),
        mean_output_tokens: mean(|request| request.output_tokens),
    };
    Read { content, trace: Some((hash, Arc::new(trace))), diagnostics }
}

fn scenario(scenario: &Scenario) -> Result<Read, Vec<Diagnostic>> {
    let content = FileContent::Scenario { scenario: text_of(scenario)? };
    Ok(Read { content, trace: None, diagnostics: Vec::new() })
}

/// A value as the page passes it on.
fn text_of<T: Serialize>(value: &T) -> Result<String, Vec<Diagnostic>> {
    encode(value).map_err(|failure| vec![Diagnostic::error(&failure.code, "", failure.message)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use plimsoll_core::catalog::ModelSpec;

    #[test]
    fn files_are_known_by_their_content() {
        let config = br#"{"architectures":["LlamaForCausalLM"],"model_type":"llama","num_hidden_layers":2,"hidden_size":64,
            "num_attention_heads":4,"num_key_value_heads":4,"intermediate_size":128,"vocab_size":1000,"torch_dtype":"bfloat16"}"#;
        let read = read("config.json", config).expect("a model");
        assert!(matches!(read.content, FileContent::Model { .. }));
        let read = super::read("mine.yaml", b"slo:\n  ttft_ms: 250\n").expect("a scenario");
        let FileContent::Scenario { scenario } = read.content else { panic!("{:?}", read.content) };
        let scenario: Scenario = plimsoll_protocol::decode(&scenario).expect("a scenario");
        assert_eq!(scenario.slo.ttft_ms, Some(250.0));
    }

    /// What is pasted or dropped comes in here as it is.
    #[test]
    fn every_config_of_the_collection_is_a_model_with_its_memory_and_the_parameters_of_the_real_class() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/truth/hf-configs");
        let counted = include_str!("../../../tests/truth/model_truth.csv");
        let counted: Vec<Vec<&str>> = counted.lines().map(|line| line.split(',').collect()).collect();
        let (mut num_read, mut num_compared) = (0, 0);
        for entry in std::fs::read_dir(folder).expect("the collection").filter_map(Result::ok) {
            let name = entry.file_name().into_string().expect("a name");
            let text = std::fs::read(entry.path().join("config.json")).expect("a config");
            let read = read("config.json", &text).unwrap_or_else(|problems| panic!("{name}: {problems:?}"));
            let FileContent::Model { model, parameters, .. } = read.content else {
                panic!("{name}: {:?}", read.content)
            };
            let model: ModelSpec = plimsoll_protocol::decode(&model).expect("a model");
            assert!(model.footprint.is_some(), "{name}");
            for row in counted.iter().filter(|row| row.last() == Some(&name.as_str())) {
                assert_eq!(parameters.map(|count| count.to_string()).as_deref(), Some(row[1]), "{name}");
                num_compared += 1;
            }
            num_read += 1;
        }
        assert_eq!((num_read, num_compared), (122, 105));
    }

    /// The page joins what lies in a model's folder, and what a person says of the weights, into one text.
    #[test]
    fn a_config_with_what_lies_beside_it_comes_as_one_text() {
        let config = r#"{"model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 8,
            "num_key_value_heads": 2, "intermediate_size": 128, "vocab_size": 1000, "torch_dtype": "bfloat16",
            "quantization_config": {"quant_method": "magic"}}"#;
        let model = |text: &str| -> ModelSpec {
            let read = read("my/model", text.as_bytes()).unwrap_or_else(|problems| panic!("{text}: {problems:?}"));
            let FileContent::Model { model, .. } = read.content else { panic!("{text}") };
            plimsoll_protocol::decode(&model).expect("a model")
        };
        let problems = read("my/model", config.as_bytes()).err().expect("an unknown quantizer");
        assert!(problems.iter().any(|problem| problem.hint.contains("compressed-tensors")), "{problems:?}");
        let told = model(&format!(r#"{{"quantization": "fp8", "config.json": {config}}}"#));
        assert_eq!((told.id.as_str(), told.weight_bytes_per_param), ("model", Some(1.0)));
        let plain = config.replace(r#""magic""#, r#""fp8""#);
        let index = r#"{"metadata": {"total_size": 123456}, "weight_map": {}}"#;
        let folder = model(&format!(r#"{{"config.json": {plain}, "model.safetensors.index.json": {index}}}"#));
        assert_eq!(folder.footprint.expect("described").weight_bytes(), 123_456);
    }

    #[test]
    fn a_trace_is_summed_up_and_kept() {
        let csv = b"request_id,arrival_us,input_tokens,output_tokens\n0,0,100,10\n1,2000000,300,30\n";
        let read = read("requests.txt", csv).unwrap_or_else(|problems| panic!("{problems:?}"));
        let FileContent::Trace { hash, num_requests, span_s, mean_input_tokens, .. } = read.content else {
            panic!("{:?}", read.content)
        };
        assert_eq!((num_requests, span_s, mean_input_tokens), (2, 2.0, 200.0));
        assert_eq!(read.trace.map(|(kept, _)| kept), Some(hash));
    }

    #[test]
    fn public_traces_are_recognized_whatever_they_are_called() {
        let azure = "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03.9799600,4808,10\n";
        let mooncake = "{\"timestamp\": 0, \"input_length\": 600, \"output_length\": 5, \"hash_ids\": [1, 2]}\n";
        for text in [azure, mooncake] {
            let read = read("trace.txt", text.as_bytes()).unwrap_or_else(|problems| panic!("{problems:?}"));
            assert!(matches!(read.content, FileContent::Trace { num_requests: 1, .. }), "{:?}", read.content);
        }
    }

    #[test]
    fn a_workload_specification_becomes_a_workload_and_its_problems_have_a_place() {
        let text = "version: \"2\"\naggregate_rate: 4.0\nclients:\n  - id: a\n    rate_fraction: 1.0\n    \
                    arrival:\n      process: poisson\n    input_distribution:\n      type: constant\n      params:\n        \
                    value: 10\n    output_distribution:\n      type: constant\n      params:\n        value: 5\n";
        let read = read("mine.yaml", text.as_bytes()).unwrap_or_else(|problems| panic!("{problems:?}"));
        let FileContent::Workload { workload } = read.content else { panic!("{:?}", read.content) };
        let workload: plimsoll_core::scenario::WorkloadSettings =
            plimsoll_protocol::decode(&workload).expect("a workload");
        assert_eq!((workload.clients.len(), workload.request_rate, workload.num_requests), (1, 4.0, NUM_REQUESTS));
        let wrong = text.replace("rate_fraction", "rate_fractoin");
        let Err(problems) = super::read("mine.yaml", wrong.as_bytes()) else { panic!("misspelled") };
        assert!(problems.iter().any(|problem| problem.path.starts_with("mine.yaml:5")), "{problems:?}");
    }

    #[test]
    fn what_is_no_text_is_said_with_its_place() {
        let Err(problems) = read("picture.png", &[0x89, 0x50, 0xff]) else { panic!("not text") };
        assert_eq!(problems[0].code, "file-not-text");
    }
}
