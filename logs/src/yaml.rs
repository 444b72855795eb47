//! Reports as YAML: GuideLLM writes its report in either form.

use crate::Content;
use crate::document::DocumentReader;
use plimsoll_core::diagnostic::Diagnostic;

/// A longer text is refused: unlike JSON, YAML is understood only as a whole.
const MAX_BYTES: usize = 64 << 20;

/// Collects a report and reads it at its end.
#[derive(Debug)]
pub(crate) struct YamlReader {
    name: String,
    bytes: Vec<u8>,
    is_too_long: bool,
}

/// Whether a text begins like a report in YAML.
pub(crate) fn is_report(start: &str) -> bool {
    start.lines().any(|line| line.trim_end() == "benchmarks:")
}

impl YamlReader {
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), bytes: Vec::new(), is_too_long: false }
    }

    pub fn push(&mut self, bytes: &[u8]) {
        self.is_too_long |= self.bytes.len() + bytes.len() > MAX_BYTES;
        if self.is_too_long {
            self.bytes = Vec::new();
        } else {
            self.bytes.extend_from_slice(bytes);
        }
    }

    pub fn is_refused(&self) -> bool {
        self.is_too_long
    }

    pub fn finish(self) -> Result<Content, Vec<Diagnostic>> {
        if self.is_too_long {
            let message = format!("the YAML is longer than {} MiB", MAX_BYTES >> 20);
            return Err(vec![
                Diagnostic::error("file-too-large", self.name, message).with_hint("save the report as JSON"),
            ]);
        }
        let value: serde_json::Value = serde_yaml::from_slice(&self.bytes).map_err(|error| {
            let place = error.location().map_or_else(
                || self.name.clone(),
                |place| format!("{}:{}:{}", self.name, place.line(), place.column()),
            );
            vec![
                Diagnostic::error("log-syntax", place, error.to_string()).with_hint("it may be cut off; copy it again"),
            ]
        })?;
        drop(self.bytes);
        let mut reader = DocumentReader::new(&self.name);
        reader.push(value.to_string().as_bytes());
        reader.finish()
    }
}
