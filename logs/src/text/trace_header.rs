//! The header of a BLIS trace, a small YAML file beside its table (log formats 3a).

use crate::Content;
use plimsoll_core::diagnostic::Diagnostic;
use plimsoll_core::measurement::MeasuredDeployment;

/// `key: value` lines, two levels deep; that is all the header has.
#[derive(Debug)]
pub(super) struct TraceHeader {
    name: String,
    version: Option<(u64, String)>,
    section: String,
    deployment: MeasuredDeployment,
    problems: Vec<Diagnostic>,
}

impl TraceHeader {
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            version: None,
            section: String::new(),
            deployment: MeasuredDeployment::default(),
            problems: Vec::new(),
        }
    }

    pub fn is_recognized(&self) -> bool {
        self.version.is_some()
    }

    pub fn line(&mut self, number: u64, line: &str) {
        let Some((key, value)) = line.split_once(':') else { return };
        let is_nested = key.starts_with([' ', '\t']);
        let (key, value) = (key.trim(), value.trim().trim_matches(['"', '\'']));
        if key == "trace_version" && !is_nested {
            self.version = Some((number, value.to_owned()));
        }
        if self.version.is_none() {
            return;
        }
        if !is_nested {
            self.section = key.to_owned();
        }
        let mut reject = |code: &str, message: String, hint: &str| {
            self.problems.push(Diagnostic::error(code, format!("{}:{number}", self.name), message).with_hint(hint));
        };
        match (is_nested, self.section.as_str(), key) {
            (false, _, "trace_version") if !matches!(value, "2" | "3") => {
                reject("log-invalid-value", format!("trace_version is {value}"), "versions 2 and 3 are read");
            }
            (false, _, "time_unit") if value != "us" => {
                reject("log-unit", format!("time_unit is {value}"), "times must be microseconds");
            }
            (false, _, "mode") if value != "real" => {
                let message = format!("mode is {value}: these are simulated times");
                reject("log-simulated", message, "calibrate against measurements of a real server");
            }
            (true, "server", field) if !value.is_empty() => {
                let mut whole = || match value.parse::<u32>() {
                    Ok(number) => Some(number),
                    Err(_) => {
                        reject("log-invalid-value", format!("{field} is {value}"), "give a whole number");
                        None
                    }
                };
                match field {
                    "model" => self.deployment.model = Some(value.to_owned()),
                    "tensor_parallel" => self.deployment.tensor_parallel_size = whole().filter(|tp| *tp > 0),
                    "max_num_seqs" => self.deployment.max_num_seqs = whole().filter(|seqs| *seqs > 0),
                    "block_size" => self.deployment.block_size = whole().filter(|size| *size > 0),
                    "max_model_len" => self.deployment.max_model_len = whole().filter(|length| *length > 0),
                    _ => {}
                }
            }
            _ => {}
        }
    }

    pub fn finish(self) -> Result<Content, Vec<Diagnostic>> {
        if !self.problems.is_empty() {
            return Err(self.problems);
        }
        Ok(Content { deployment: Some(self.deployment), ..Content::default() })
    }
}
