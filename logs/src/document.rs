//! JSON documents and JSON lines: recognized value by value (log formats, how to recognize a file).

use crate::json::{Json, JsonError, JsonReader, Reason};
use crate::report;
use crate::rows::{Finished, Row, Rows};
use crate::{Content, Run};
use plimsoll_core::diagnostic::Diagnostic;
use plimsoll_core::measurement::{LogFormat, MeasuredDeployment, Measurement};

/// Reads the values of a JSON file as they end.
#[derive(Debug)]
pub(crate) struct DocumentReader {
    name: String,
    json: JsonReader,
    content: Content,
    problems: Vec<Diagnostic>,
    /// Rows of an engine's JSON lines.
    lines: Option<Rows>,
    /// Least distance between the clocks of an engine's JSON lines, microseconds.
    clock_offset: f64,
    num_values: u64,
    /// Line breaks seen, so that a problem can name a line.
    num_lines: u64,
}

impl DocumentReader {
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            json: JsonReader::new(),
            content: Content::default(),
            problems: Vec::new(),
            lines: None,
            clock_offset: f64::INFINITY,
            num_values: 0,
            num_lines: 0,
        }
    }

    pub fn push(&mut self, bytes: &[u8]) {
        // Line by line, so that values of JSON lines are turned into rows before many of them are held.
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            self.json.push(piece);
            for (_, value) in self.json.take() {
                self.value(&value);
            }
            self.num_lines += u64::from(piece.ends_with(b"\n"));
        }
    }

    fn value(&mut self, value: &Json) {
        self.num_values += 1;
        let place = self.num_lines + 1;
        let has = |key: &str| value.get(key).is_some();
        // A single run is named as the file; further ones carry their number.
        let run_name = match self.num_values {
            1 => self.name.clone(),
            number => format!("{}#{number}", self.name),
        };
        let read = if has("benchmarks") {
            report::guidellm(&self.name, value)
        } else if has("load_summary") && has("successes") {
            report::inference_perf(&run_name, value).map(|finished| vec![finished])
        } else if has("queued_ts") || has("first_token_ts") {
            self.engine_line(place, value);
            return;
        } else if has("completed_requests") && has("requests") || has("e2e_mean_ms") && has("ttft_mean_ms") {
            report::blis_metrics(&run_name, value).map(|finished| vec![finished])
        } else if has("mean_ttft_ms") || has("ttfts") || has("model_id") && has("num_prompts") {
            report::vllm_bench(&run_name, value).map(|finished| vec![finished])
        } else if let Some(deployment) = deployment_of(value) {
            self.content.deployment.get_or_insert_default().fill_from(&deployment);
            return;
        } else if let Some(first) = value.list().and_then(|items| items.first()) {
            if first.at(&["info", "output_token_times"]).is_some() || first.get("start_time").is_some() {
                report::inference_perf_requests(&run_name, value).map(|finished| vec![finished])
            } else if first.get("ttft_us").is_some() && first.get("e2e_us").is_some() {
                Err(vec![simulated(&self.name)])
            } else {
                Err(vec![self.unknown()])
            }
        } else if has("timestamp") && has("input_length") {
            Err(vec![
                Diagnostic::error(
                    "log-no-latencies",
                    self.name.clone(),
                    "this trace holds lengths and arrivals but no latencies",
                )
                .with_hint("simulate it as a workload"),
            ])
        } else {
            Err(vec![self.unknown()])
        };
        match read {
            Ok(all) => {
                for Finished { measurement, diagnostics, ids } in all {
                    self.content.diagnostics.extend(diagnostics);
                    self.content.runs.push(Run { measurement, ids });
                }
            }
            Err(problems) if self.problems.len() < 20 => {
                // A file of many lines of one kind has one problem.
                let fresh = problems.into_iter().filter(|problem| !self.problems.contains(problem)).collect::<Vec<_>>();
                self.problems.extend(fresh);
            }
            Err(_) => {}
        }
    }

    fn unknown(&self) -> Diagnostic {
        unknown(&self.name)
    }

    /// Log formats 5.
    fn engine_line(&mut self, line: u64, value: &Json) {
        let rows = self.lines.get_or_insert_with(|| {
            Rows::new(Measurement::new(self.name.clone(), LogFormat::EngineJsonl), |line| format!("{line}"))
        });
        let mut number = |key: &str| match value.get(key) {
            Some(Json::Number(number)) => *number,
            other => {
                let message = match other {
                    None => format!("there is no {key}"),
                    Some(other) => format!("{key} is {}", other.kind()),
                };
                if self.problems.len() < 20 {
                    self.problems.push(
                        Diagnostic::error("log-invalid-value", format!("{}:{line}", self.name), message)
                            .with_hint("give a number; every line has the same fields"),
                    );
                }
                f64::NAN
            }
        };
        let (arrival, queued) = (number("arrival_time"), number("queued_ts"));
        let (first, last) = (number("first_token_ts"), number("last_token_ts"));
        number("scheduled_ts");
        rows.rows.push(Row {
            place: line,
            id: None,
            arrive: f64::NAN,
            send: arrival * 1e6,
            input_tokens: number("input_toks"),
            output_tokens: number("output_toks"),
            // On the server's clock until the offset between the clocks is known.
            ttft: first * 1e6,
            e2e: last * 1e6,
            session: None,
            gaps: 0..0,
            is_failed: false,
        });
        self.clock_offset = self.clock_offset.min((queued - arrival) * 1e6);
    }

    pub fn finish(mut self) -> Result<Content, Vec<Diagnostic>> {
        let offset_of_end = match std::mem::replace(&mut self.json, JsonReader::new()).finish() {
            Ok(values) => {
                for (_, value) in values {
                    self.value(&value);
                }
                None
            }
            Err(error) => Some(error),
        };
        if let Some(error) = offset_of_end {
            let problem = self.syntax(&error);
            self.problems.push(problem);
        }
        if !self.problems.is_empty() {
            return Err(self.problems);
        }
        if let Some(mut rows) = self.lines.take() {
            for row in &mut rows.rows {
                row.ttft -= row.send + self.clock_offset;
                row.e2e -= row.send + self.clock_offset;
            }
            let Finished { measurement, diagnostics, ids } = rows.finish()?;
            self.content.diagnostics.extend(diagnostics);
            self.content.runs.push(Run { measurement, ids });
        }
        if let ([only], Some(deployment)) = (self.content.runs.as_mut_slice(), self.content.deployment.as_ref()) {
            only.measurement.deployment.fill_from(deployment);
        }
        if self.num_values > 1 && self.content.runs.len() > 1 {
            let message = format!("{} results in this file; all are used", self.content.runs.len());
            self.content.diagnostics.push(Diagnostic::note("log-several-runs", self.name, message));
        }
        Ok(self.content)
    }

    fn syntax(&self, error: &JsonError) -> Diagnostic {
        let line = self.num_lines + 1;
        let inside = if error.path.is_empty() { String::new() } else { format!(" inside {}", error.path) };
        let path = format!("{}:{line}", self.name);
        let message = format!("{}{inside} after {} bytes", error.reason, error.offset);
        if error.reason == Reason::Truncated {
            Diagnostic::error("log-truncated", path, message).with_hint("it looks cut off: copy it again")
        } else {
            Diagnostic::error("log-syntax", path, message).with_hint("mend it there, or write the file again")
        }
    }
}

fn unknown(name: &str) -> Diagnostic {
    Diagnostic::error("log-not-recognized", name, "the format is not known")
        .with_hint("see docs/log-formats.md for the formats that are read")
}

pub(crate) fn simulated(name: &str) -> Diagnostic {
    Diagnostic::error("log-simulated", name, "these are simulated times")
        .with_hint("calibrate against measurements of a real server")
}

/// Facts about a server from its configuration: LLMServingSim's `meta.json`, residency runs' `server_config.json`.
fn deployment_of(value: &Json) -> Option<MeasuredDeployment> {
    let settings = value.get("engine_kwargs").unwrap_or(value);
    let whole = |keys: &[&str]| {
        let number = keys.iter().find_map(|key| settings.get(key)?.number())?;
        (number.fract() == 0.0 && (0.0..4e9).contains(&number)).then_some(number as u32)
    };
    let is_config = value.get("engine_kwargs").is_some()
        || value.get("max_num_batched_tokens").is_some()
        || value.get("num_gpu_blocks").is_some()
        || value.get("max_num_seqs").is_some();
    if !is_config {
        return None;
    }
    let text = |key: &str| value.get(key).or_else(|| settings.get(key)).and_then(Json::text).map(str::to_owned);
    let flag = |key: &str| match settings.get(key) {
        Some(Json::Bool(value)) => Some(*value),
        _ => None,
    };
    Some(MeasuredDeployment {
        model: text("model"),
        accelerator: text("hardware"),
        tensor_parallel_size: whole(&["tensor_parallel_size"]),
        engine_version: text("vllm_version"),
        max_num_seqs: whole(&["max_num_seqs"]),
        max_num_batched_tokens: whole(&["max_num_batched_tokens"]),
        max_model_len: whole(&["max_model_len", "max_seq_len"]),
        num_gpu_blocks: value
            .at(&["kv_cache", "num_gpu_blocks"])
            .and_then(Json::number)
            .map(|blocks| blocks as u32)
            .or_else(|| whole(&["num_gpu_blocks"])),
        block_size: whole(&["block_size"]),
        enable_prefix_caching: flag("enable_prefix_caching"),
        enable_chunked_prefill: flag("enable_chunked_prefill"),
    })
}
