//! What the benchmark client prints, and the lists of its patched variants (log formats 1d).

use super::{Rows, leading_number, list_row};
use crate::json::{Json, JsonReader};
use crate::rows::Finished;
use crate::{Content, Run};
use plimsoll_core::diagnostic::Diagnostic;
use plimsoll_core::measurement::{ArrivalSource, LogFormat, Measurement};
use plimsoll_core::time::SimTime;

/// Blocks of `Label: value` lines and what they say.
#[derive(Debug)]
pub(super) struct Console {
    name: String,
    /// Finished blocks.
    runs: Vec<Measurement>,
    /// The block that is being read.
    open: Option<(u64, Measurement, f64)>,
    ttfts: Option<(u64, Vec<f64>)>,
    e2els: Option<(u64, Vec<f64>)>,
    problems: Vec<Diagnostic>,
}

impl Console {
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), runs: Vec::new(), open: None, ttfts: None, e2els: None, problems: Vec::new() }
    }

    pub fn is_recognized(&self) -> bool {
        self.open.is_some() || !self.runs.is_empty() || self.ttfts.is_some() || self.e2els.is_some()
    }

    pub fn line(&mut self, number: u64, line: &str) {
        let trimmed = line.trim();
        if let Some(list) = trimmed.strip_prefix("TTFTs:") {
            self.ttfts = self.list(number, list);
        } else if let Some(list) = trimmed.strip_prefix("e2els:") {
            self.e2els = self.list(number, list);
        } else if trimmed.contains("Serving Benchmark Result") {
            if let Some((at, ..)) = self.open.take() {
                self.cut_off(at);
            }
            let name = match self.runs.len() {
                0 => self.name.clone(),
                more => format!("{}#{}", self.name, more + 1),
            };
            self.open = Some((number, Measurement::new(name, LogFormat::VllmBenchConsole), f64::NAN));
        } else if trimmed.len() > 8 && trimmed.bytes().all(|byte| byte == b'=') {
            if let Some((_, run, _)) = self.open.take() {
                self.runs.push(run);
            }
        } else {
            self.label(number, trimmed);
        }
    }

    fn cut_off(&mut self, line: u64) {
        self.problems.push(
            Diagnostic::error("log-truncated", format!("{}:{line}", self.name), "the block does not end")
                .with_hint("copy it up to the closing line of ="),
        );
    }

    fn list(&mut self, number: u64, text: &str) -> Option<(u64, Vec<f64>)> {
        let mut reader = JsonReader::new();
        reader.push(text.as_bytes());
        let read = reader.finish();
        let path = format!("{}:{number}", self.name);
        match read.as_deref() {
            Ok([(_, value)]) => {
                if let Some(numbers) = value.numbers() {
                    return Some((number, numbers.to_vec()));
                }
                let items = value.list().unwrap_or_default().iter().enumerate();
                let bad = items.filter(|(_, item)| !matches!(item, Json::Number(_)));
                for (index, item) in bad.take(5) {
                    let message = format!("entry {index} of the list is {}", item.kind());
                    self.problems
                        .push(Diagnostic::error("log-invalid-value", path.clone(), message).with_hint("give seconds"));
                }
                if value.list().is_none() {
                    self.problems.push(
                        Diagnostic::error("log-invalid-value", path, "there is no list").with_hint("give [0.05, …]"),
                    );
                }
            }
            _ => self.problems.push(
                Diagnostic::error("log-truncated", path, "the list is cut off or malformed")
                    .with_hint("copy the whole line"),
            ),
        }
        Some((number, Vec::new()))
    }

    fn label(&mut self, number: u64, line: &str) {
        let Some((_, run, count)) = self.open.as_mut() else { return };
        let Some((label, value)) = line.split_once(':') else { return };
        let label = label.trim();
        let totals = &mut run.totals;
        let mut slot = match label {
            "Mean TTFT (ms)" => Some(&mut totals.ttft_mean_ms),
            "Median TTFT (ms)" => Some(&mut totals.ttft_p50_ms),
            "P90 TTFT (ms)" => Some(&mut totals.ttft_p90_ms),
            "P99 TTFT (ms)" => Some(&mut totals.ttft_p99_ms),
            "Mean TPOT (ms)" => Some(&mut totals.tpot_mean_ms),
            "Mean ITL (ms)" => Some(&mut totals.itl_mean_ms),
            "Mean E2EL (ms)" => Some(&mut totals.e2e_mean_ms),
            "P99 E2EL (ms)" => Some(&mut totals.e2e_p99_ms),
            "Output token throughput (tok/s)" => Some(&mut totals.output_throughput_per_s),
            _ => None,
        };
        let is_known = slot.is_some()
            || matches!(
                label,
                "Successful requests"
                    | "Failed requests"
                    | "Benchmark duration (s)"
                    | "Total input tokens"
                    | "Total generated tokens"
                    | "Maximum request concurrency"
                    | "Request rate configured (RPS)"
            );
        if !is_known {
            return;
        }
        let Some(figure) = leading_number(value) else {
            let path = format!("{}:{number}", self.name);
            let message = format!("{label} is \"{}\"", value.trim());
            // An unlimited rate is a word.
            if label != "Request rate configured (RPS)" {
                self.problems.push(Diagnostic::error("log-invalid-value", path, message).with_hint("give a number"));
            }
            return;
        };
        if figure < 0.0 {
            let path = format!("{}:{number}", self.name);
            let message = format!("{label} is {figure}, below zero");
            self.problems.push(Diagnostic::error("log-invalid-value", path, message).with_hint("record the run again"));
            return;
        }
        if let Some(slot) = slot.as_mut() {
            **slot = Some(figure).filter(|figure| *figure > 0.0);
            return;
        }
        match label {
            "Successful requests" => *count = figure,
            "Failed requests" => run.num_failed = figure as u32,
            "Benchmark duration (s)" => run.duration = Some(SimTime::from_micros_f64(figure * 1e6)),
            "Total input tokens" => totals.input_tokens_mean = Some(figure / *count).filter(|mean| mean.is_finite()),
            "Total generated tokens" => {
                totals.output_tokens_mean = Some(figure / *count).filter(|mean| mean.is_finite());
            }
            "Maximum request concurrency" => run.load.max_concurrency = Some(figure as u32),
            _ => run.load.request_rate = Some(figure),
        }
    }

    pub fn finish(mut self) -> Result<Content, Vec<Diagnostic>> {
        if let Some((at, ..)) = self.open.take() {
            self.cut_off(at);
        }
        if let (Some((_, ttfts)), Some((line, e2els))) = (&self.ttfts, &self.e2els)
            && ttfts.len() != e2els.len()
        {
            let message = format!("TTFTs has {} entries, e2els has {}", ttfts.len(), e2els.len());
            self.problems.push(
                Diagnostic::error("log-length-mismatch", format!("{}:{line}", self.name), message)
                    .with_hint("the lists belong to different runs"),
            );
        }
        if !self.problems.is_empty() {
            return Err(self.problems);
        }
        let hint = "single requests need --save-result --save-detailed";
        let mut content = Content::default();
        if self.ttfts.is_some() || self.e2els.is_some() {
            let run =
                self.runs.pop().unwrap_or_else(|| Measurement::new(self.name.clone(), LogFormat::VllmBenchConsole));
            let mut rows = Rows::new(run, |index| format!("TTFTs[{index}]"));
            let (ttfts, e2els) = (self.ttfts.unwrap_or_default().1, self.e2els.unwrap_or_default().1);
            let at = |list: &[f64], index: usize| list.get(index).copied().unwrap_or(f64::NAN);
            rows.rows = (0..ttfts.len().max(e2els.len()))
                .map(|index| list_row(index, at(&ttfts, index), at(&e2els, index)))
                .collect();
            let Finished { mut measurement, diagnostics, ids } = rows.finish()?;
            measurement.arrivals = ArrivalSource::Assumed;
            content.diagnostics.extend(diagnostics);
            content.diagnostics.push(
                Diagnostic::warning(
                    "log-lengths-unknown",
                    self.name.clone(),
                    "the lists come without lengths or times",
                )
                .with_hint(hint),
            );
            content.runs.push(Run { measurement, ids });
        }
        for mut run in self.runs {
            let totals = &run.totals;
            if totals.ttft_mean_ms.is_none() && totals.tpot_mean_ms.is_none() && totals.e2e_mean_ms.is_none() {
                return Err(vec![
                    Diagnostic::error("log-no-requests", run.name, "the block holds no latency").with_hint(hint),
                ]);
            }
            run.arrivals = ArrivalSource::Assumed;
            content.diagnostics.push(
                Diagnostic::warning(
                    "log-aggregates-only",
                    run.name.clone(),
                    "the file holds figures of the whole run only",
                )
                .with_hint(hint),
            );
            content.runs.push(Run { measurement: run, ids: Vec::new() });
        }
        Ok(content)
    }
}
