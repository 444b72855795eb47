//! The header of a trace v2: YAML beside the data.

use crate::fields::{Fields, Problems};
use crate::place::Place;
use crate::value::{Readable, readable_yaml};
use plimsoll_core::diagnostic::{Checked, Diagnostic, Severity, Warned};
use serde::Serialize;
use serde_json::Value;

/// What the header of a trace v2 says about the run that was recorded (workload specification 8).
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TraceHeader {
    /// Always 2.
    pub trace_version: u32,
    /// Always `us`.
    pub time_unit: String,
    /// When it was made, as written.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub created_at: String,
    /// `real`, `generated` or `replayed`.
    pub mode: String,
    /// Requests at the start that are not measured.
    pub warm_up_requests: u32,
    /// Seed of the workload.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workload_seed: Option<u64>,
    /// Name of the workload specification.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub workload_spec: String,
    /// The server.
    #[serde(skip_serializing_if = "TraceServer::is_empty")]
    pub server: TraceServer,
    /// Round trip that was measured, milliseconds.
    #[serde(skip_serializing_if = "Option::is_none", rename = "network", serialize_with = "network")]
    pub measured_rtt_ms: Option<f64>,
}

/// The server of a recorded run; what is not known is none.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct TraceServer {
    /// What serves, e.g. `vllm`.
    #[serde(rename = "type", skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// The model.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub model: String,
    /// Accelerators per replica.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tensor_parallel: Option<u32>,
    /// Most requests in one batch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_num_seqs: Option<u32>,
    /// Tokens per KV block.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_size: Option<u32>,
    /// Share of memory the server may use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu_memory_utilization: Option<f64>,
    /// Longest prompt plus output.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_model_len: Option<u32>,
}

impl TraceServer {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The round trip stands in a section of its own.
fn network<S: serde::Serializer>(rtt: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Network {
        measured_rtt_ms: f64,
    }
    Network { measured_rtt_ms: rtt.unwrap_or(0.0) }.serialize(serializer)
}

impl Default for TraceHeader {
    fn default() -> Self {
        Self {
            trace_version: 2,
            time_unit: "us".into(),
            created_at: String::new(),
            mode: "generated".into(),
            warm_up_requests: 0,
            workload_seed: None,
            workload_spec: String::new(),
            server: TraceServer::default(),
            measured_rtt_ms: None,
        }
    }
}

impl TraceHeader {
    /// The header as YAML.
    #[must_use]
    pub fn to_yaml(&self) -> String {
        serde_yaml::to_string(self).expect("a header has no part that YAML cannot hold")
    }
}

/// Reads the header of a trace v2; `file` names it in diagnostics.
///
/// # Errors
/// Every problem found: syntax, unknown or repeated fields, values of a wrong type, another version or unit.
pub fn trace_header_from_yaml(text: &str, file: &str) -> Checked<TraceHeader> {
    crate::scenario::check_size(text, file)?;
    let Readable { value, problems } = readable_yaml(text, file)?;
    let Value::Object(map) = &value else {
        let diagnostic =
            Diagnostic::error("invalid-value", Place::START.in_file(file), "the file is not a mapping of fields");
        return Err(vec![diagnostic.with_hint("a header begins like `trace_version: 2`")]);
    };
    let mut problems = Problems::new(text, file, problems);
    let value = header(Fields::new(Vec::new(), map), &mut problems);
    let diagnostics = problems.finish();
    if diagnostics.iter().any(|found| found.severity == Severity::Error) {
        return Err(diagnostics);
    }
    Ok(Warned { value, diagnostics })
}

fn header(mut fields: Fields<'_>, problems: &mut Problems<'_>) -> TraceHeader {
    fields.require("trace_version", "write trace_version: 2", problems);
    fields.one_of("trace_version", &["2"], problems);
    fields.one_of("time_unit", &["us", "microseconds"], problems);
    let mode = fields.one_of("mode", &["real", "generated", "replayed"], problems);
    let mut found = TraceHeader {
        created_at: fields.text("created_at", problems).unwrap_or_default(),
        mode: mode.unwrap_or_else(|| "real".into()),
        warm_up_requests: fields.count("warm_up_requests", problems).unwrap_or(0),
        workload_seed: fields.whole("workload_seed", problems),
        workload_spec: fields.text("workload_spec", problems).unwrap_or_default(),
        ..TraceHeader::default()
    };
    if let Some(mut server) = fields.fields("server", problems) {
        found.server = TraceServer {
            kind: server.text("type", problems).unwrap_or_default(),
            model: server.text("model", problems).unwrap_or_default(),
            tensor_parallel: server.count("tensor_parallel", problems),
            max_num_seqs: server.count("max_num_seqs", problems),
            block_size: server.count("block_size", problems),
            gpu_memory_utilization: server.number("gpu_memory_utilization", problems),
            max_model_len: server.count("max_model_len", problems),
        };
        server.finish(problems);
    }
    if let Some(mut network) = fields.fields("network", problems) {
        found.measured_rtt_ms = network.number("measured_rtt_ms", problems);
        network.finish(problems);
    }
    fields.finish(problems);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<(String, String)> {
        let found = trace_header_from_yaml(text, "h.yaml").expect_err("malformed");
        found.into_iter().map(|found| (found.code, found.path)).collect()
    }

    fn expect(text: &str, code: &str, path: &str) {
        assert_eq!(problems(text), [(code.to_owned(), path.to_owned())], "{text}");
    }

    #[test]
    fn a_header_survives_a_round_trip() {
        let server = TraceServer { model: "m".into(), max_num_seqs: Some(8), ..TraceServer::default() };
        let header =
            TraceHeader { server, measured_rtt_ms: Some(1.5), workload_seed: Some(7), ..TraceHeader::default() };
        let read = trace_header_from_yaml(&header.to_yaml(), "h.yaml");
        assert_eq!(read.map(|read| read.value), Ok(header));
    }

    #[test]
    fn malformed_headers_are_refused_in_their_place() {
        expect("trace_version: 3\n", "invalid-value", "h.yaml:1:1");
        expect("mode: real\n", "missing-field", "h.yaml:1:1");
        expect("trace_version: 2\ntime_unit: ms\n", "invalid-value", "h.yaml:2:1");
        expect("trace_version: 2\nserver:\n  modle: x\n", "unknown-field", "h.yaml:3:3");
        expect("trace_version: 2\nserver:\n  block_size: -1\n", "invalid-value", "h.yaml:3:3");
        expect("trace_version: 2\ntrace_version: 2\n", "repeated-field", "h.yaml:2:1");
        expect("trace_version: [2\n", "syntax", "h.yaml:2:1");
        expect("2\n", "invalid-value", "h.yaml:1:1");
    }
}
