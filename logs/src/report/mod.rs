//! Reports that are one JSON object: what each field means in the terms of a [`Measurement`].

mod blis;
mod guidellm;
mod inference_perf;
mod vllm;

pub(crate) use blis::blis_metrics;
pub(crate) use guidellm::guidellm;
pub(crate) use inference_perf::{inference_perf, inference_perf_requests};
pub(crate) use vllm::vllm_bench;

use crate::json::Json;
use crate::rows::Finished;
use plimsoll_core::diagnostic::{Diagnostic, Severity};
use plimsoll_core::measurement::{ArrivalSource, Measurement};
use plimsoll_core::time::SimTime;

/// Fields of one object, with everything that is wrong with them.
pub(super) struct Fields<'a> {
    pub name: &'a str,
    pub value: &'a Json,
    pub diagnostics: Vec<Diagnostic>,
}

impl<'a> Fields<'a> {
    pub fn new(name: &'a str, value: &'a Json) -> Self {
        Self { name, value, diagnostics: Vec::new() }
    }

    pub fn path(&self, field: &str) -> String {
        format!("{}:{field}", self.name)
    }

    pub fn error(&mut self, code: &str, field: &str, message: impl Into<String>, hint: &str) {
        let path = if field.is_empty() { self.name.to_owned() } else { self.path(field) };
        self.diagnostics.push(Diagnostic::error(code, path, message).with_hint(hint));
    }

    pub fn warning(&mut self, code: &str, field: &str, message: impl Into<String>, hint: &str) {
        let path = if field.is_empty() { self.name.to_owned() } else { self.path(field) };
        self.diagnostics.push(Diagnostic::warning(code, path, message).with_hint(hint));
    }

    /// A finite number at a path of keys; a problem if something else stands there.
    pub fn number(&mut self, path: &[&str]) -> Option<f64> {
        let field = path.join(".");
        match self.value.at(path)? {
            Json::Null => None,
            Json::Number(value) if value.is_finite() => Some(*value),
            Json::Number(value) => {
                let message = format!("{field} is {value}, which is no figure; it is taken as absent");
                self.warning("log-not-finite", &field, message, "nothing");
                None
            }
            other => {
                let message = format!("{field} is {}", other.kind());
                self.error("log-invalid-value", &field, message, "give a number");
                None
            }
        }
    }

    /// A figure at a path of keys: 0 stands for none, and less is a problem.
    pub fn figure(&mut self, path: &[&str]) -> Option<f64> {
        let value = self.number(path)?;
        if value < 0.0 {
            let field = path.join(".");
            self.error("log-invalid-value", &field, format!("{field} is {value}, below zero"), "record the run again");
        }
        (value > 0.0).then_some(value)
    }

    /// A whole number at a path of keys.
    pub fn whole(&mut self, path: &[&str]) -> Option<u32> {
        let value = self.number(path)?;
        if value.fract() == 0.0 && (0.0..4_294_967_296.0).contains(&value) {
            return Some(value as u32);
        }
        let field = path.join(".");
        self.error("log-invalid-value", &field, format!("{field} is {value}"), "give a whole number of 0 or more");
        None
    }

    pub fn text(&self, path: &[&str]) -> Option<String> {
        self.value.at(path)?.text().map(str::to_owned)
    }

    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
    }

    /// A measurement without requests, or what is wrong.
    pub fn aggregates(mut self, mut measurement: Measurement, hint: &str) -> Result<Finished, Vec<Diagnostic>> {
        if self.has_errors() {
            return Err(self.diagnostics);
        }
        let totals = &measurement.totals;
        if totals.ttft_mean_ms.is_none() && totals.e2e_mean_ms.is_none() && totals.tpot_mean_ms.is_none() {
            self.error("log-no-requests", "", "the file holds neither requests nor mean latencies", hint);
            return Err(self.diagnostics);
        }
        measurement.arrivals = ArrivalSource::Assumed;
        self.warning("log-aggregates-only", "", "the file holds figures of the whole run only", hint);
        Ok(Finished { measurement, diagnostics: self.diagnostics, ids: Vec::new() })
    }
}

/// Seconds as time, rounded to the microsecond.
pub(super) fn seconds(value: f64) -> SimTime {
    crate::rows::micros(value * 1e6)
}
