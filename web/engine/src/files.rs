//! Files the user opens: recognised by content, read here because the readers live in this module alone.

use plimsoll_core::diagnostic::Diagnostic;
use plimsoll_core::workload::Trace;
use plimsoll_protocol::FileContent;
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
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let message = format!("byte {} is not UTF-8 text", error.valid_up_to() + 1);
        vec![Diagnostic::error("file-not-text", name, message).with_hint("open a CSV trace, a scenario or a config.json")]
    })?;
    match kind(text) {
        Kind::Model => {
            let id = name.rsplit(['/', '\\']).next().unwrap_or(name);
            let id = if id.is_empty() || id == "config.json" { "own model" } else { id.strip_suffix(".json").unwrap_or(id) };
            let read = plimsoll_formats::model_from_hf_config(text, id)?;
            let content = FileContent::Model { model: Box::new(read.value) };
            Ok(Read { content, trace: None, diagnostics: read.diagnostics })
        }
        Kind::ScenarioJson => plimsoll_formats::scenario_from_json(text, name).map(scenario),
        Kind::ScenarioYaml => plimsoll_formats::scenario_from_yaml(text, name).map(scenario),
    }
}

enum Kind {
    Model,
    ScenarioJson,
    ScenarioYaml,
}

/// The kind of a text by its first signs.
fn kind(text: &str) -> Kind {
    if text.trim_start().starts_with('{') {
        // Every model configuration names its layers or, nested, its text part's.
        let is_model = text.contains("\"num_hidden_layers\"") || text.contains("\"model_type\"") || text.contains("\"architectures\"");
        return if is_model && !text.contains("\"deployment\"") { Kind::Model } else { Kind::ScenarioJson };
    }
    Kind::ScenarioYaml
}

fn scenario(scenario: plimsoll_core::scenario::Scenario) -> Read {
    Read { content: FileContent::Scenario { scenario: Box::new(scenario) }, trace: None, diagnostics: Vec::new() }
}
