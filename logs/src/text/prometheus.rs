//! One scrape of vLLM's `/metrics`: totals since the start of the server (log formats 8).

use crate::{Content, Run};
use plimsoll_core::diagnostic::Diagnostic;
use plimsoll_core::measurement::{ArrivalSource, LogFormat, MeasuredDeployment, Measurement};
use std::collections::BTreeMap;

/// Samples of the server's own metrics.
#[derive(Debug)]
pub(super) struct Prometheus {
    name: String,
    is_recognized: bool,
    /// Sums over engines and labels, by metric.
    values: BTreeMap<String, f64>,
    /// Cumulative counts by upper bound, by histogram.
    buckets: BTreeMap<String, Vec<(f64, f64)>>,
    model: Option<String>,
    blocks: Option<u32>,
    block_size: Option<u32>,
    problems: Vec<Diagnostic>,
}

impl Prometheus {
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            is_recognized: false,
            values: BTreeMap::new(),
            buckets: BTreeMap::new(),
            model: None,
            blocks: None,
            block_size: None,
            problems: Vec::new(),
        }
    }

    pub fn is_recognized(&self) -> bool {
        self.is_recognized
    }

    pub fn line(&mut self, number: u64, line: &str) {
        self.is_recognized |= line.starts_with("# TYPE vllm:") || line.starts_with("# HELP vllm:");
        if !self.is_recognized || !line.starts_with("vllm:") {
            return;
        }
        let (metric, labels, value) = match line.split_once('{') {
            Some((metric, rest)) => match rest.rsplit_once('}') {
                Some((labels, value)) => (metric, labels, value),
                None => return self.problem("log-syntax", number, "the labels are not closed", "copy the whole line"),
            },
            None => match line.split_once(' ') {
                Some((metric, value)) => (metric, "", value),
                None => return self.problem("log-syntax", number, "the line has no value", "copy the whole line"),
            },
        };
        let metric = metric.trim_start_matches("vllm:");
        let word = value.split_whitespace().next().unwrap_or_default();
        let Ok(value) = word.parse::<f64>() else {
            return self.problem("log-invalid-value", number, &format!("{metric} is \"{word}\""), "give a number");
        };
        let label = |key: &str| {
            labels.split(',').find_map(|pair| {
                let (name, value) = pair.split_once('=')?;
                (name.trim() == key).then(|| value.trim().trim_matches('"'))
            })
        };
        if self.model.is_none() {
            self.model = label("model_name").map(str::to_owned);
        }
        if metric == "cache_config_info" {
            self.blocks = label("num_gpu_blocks").and_then(|blocks| blocks.parse().ok());
            self.block_size = label("block_size").and_then(|size| size.parse().ok());
            return;
        }
        if metric.ends_with("_created") {
            return;
        }
        let is_negative = value < 0.0;
        if is_negative {
            return self.problem("log-invalid-value", number, &format!("{metric} is {value}"), "counts are 0 or more");
        }
        match (metric.strip_suffix("_bucket"), label("le")) {
            (Some(histogram), Some(bound)) => {
                let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().unwrap_or(f64::NAN) };
                if bound.is_nan() {
                    return self.problem("log-invalid-value", number, "le is no number", "copy the whole line");
                }
                let buckets = self.buckets.entry(histogram.to_owned()).or_default();
                match buckets.iter_mut().find(|(known, _)| *known == bound) {
                    Some((_, count)) => *count += value,
                    None => buckets.push((bound, value)),
                }
            }
            _ => *self.values.entry(metric.to_owned()).or_insert(0.0) += value,
        }
    }

    fn problem(&mut self, code: &str, line: u64, message: &str, hint: &str) {
        if self.problems.len() < 20 {
            self.problems.push(Diagnostic::error(code, format!("{}:{line}", self.name), message).with_hint(hint));
        }
    }

    fn mean(&self, histograms: &[&str]) -> Option<f64> {
        histograms.iter().find_map(|histogram| {
            let sum = self.values.get(&format!("{histogram}_sum"))?;
            let count = self.values.get(&format!("{histogram}_count")).filter(|count| **count > 0.0)?;
            Some(sum / count)
        })
    }

    /// Linear inside a bucket; none in the last, which has no upper bound.
    fn percentile(&self, histogram: &str, p: f64) -> Option<f64> {
        let buckets = self.buckets.get(histogram)?;
        let (_, total) = buckets.last().filter(|(bound, total)| bound.is_infinite() && *total > 0.0)?;
        let wanted = p / 100.0 * total;
        let mut below = (0.0, 0.0);
        for &(bound, count) in buckets {
            if count >= wanted {
                let share = if count > below.1 { (wanted - below.1) / (count - below.1) } else { 0.0 };
                return bound.is_finite().then_some(below.0 + share * (bound - below.0));
            }
            below = (bound, count);
        }
        None
    }

    pub fn finish(mut self) -> Result<Content, Vec<Diagnostic>> {
        for buckets in self.buckets.values_mut() {
            buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        }
        let falling: Vec<String> = self
            .buckets
            .iter()
            .filter(|(_, buckets)| buckets.windows(2).any(|pair| pair[1].1 < pair[0].1))
            .map(|(name, _)| name.clone())
            .collect();
        for histogram in falling {
            let message = format!("the counts of {histogram} fall from one bucket to the next");
            self.problems.push(
                Diagnostic::error("log-inconsistent", self.name.clone(), message)
                    .with_hint("lines of two scrapes may be mixed: scrape again"),
            );
        }
        if !self.problems.is_empty() {
            return Err(self.problems);
        }
        let millis = |value: Option<f64>| value.map(|value| value * 1e3);
        let mut run = Measurement::new(self.name.clone(), LogFormat::Prometheus);
        run.deployment = MeasuredDeployment {
            model: self.model.clone(),
            num_gpu_blocks: self.blocks,
            block_size: self.block_size,
            ..MeasuredDeployment::default()
        };
        run.arrivals = ArrivalSource::Assumed;
        let totals = &mut run.totals;
        totals.ttft_mean_ms = millis(self.mean(&["time_to_first_token_seconds"]));
        totals.ttft_p50_ms = millis(self.percentile("time_to_first_token_seconds", 50.0));
        totals.ttft_p90_ms = millis(self.percentile("time_to_first_token_seconds", 90.0));
        totals.ttft_p99_ms = millis(self.percentile("time_to_first_token_seconds", 99.0));
        totals.itl_mean_ms = millis(self.mean(&["inter_token_latency_seconds", "time_per_output_token_seconds"]));
        totals.tpot_mean_ms = millis(self.mean(&["request_time_per_output_token_seconds"])).or(totals.itl_mean_ms);
        totals.e2e_mean_ms = millis(self.mean(&["e2e_request_latency_seconds"]));
        totals.e2e_p99_ms = millis(self.percentile("e2e_request_latency_seconds", 99.0));
        totals.input_tokens_mean = self.mean(&["request_prompt_tokens"]);
        totals.output_tokens_mean = self.mean(&["request_generation_tokens"]);
        totals.running_max = self.values.get("num_requests_running").copied();
        totals.waiting_max = self.values.get("num_requests_waiting").copied();
        totals.kv_cache_usage_max =
            self.values.get("kv_cache_usage_perc").or_else(|| self.values.get("gpu_cache_usage_perc")).copied();
        if totals.ttft_mean_ms.is_none() && totals.e2e_mean_ms.is_none() && totals.itl_mean_ms.is_none() {
            return Err(vec![
                Diagnostic::error("log-no-requests", self.name, "no request has been served yet")
                    .with_hint("scrape again under load"),
            ]);
        }
        let diagnostics = vec![
            Diagnostic::warning("log-aggregates-only", self.name, "one scrape holds totals since the server's start")
                .with_hint("warm-up is in them; times begin at the server, so they are shorter than a client's"),
        ];
        Ok(Content { runs: vec![Run { measurement: run, ids: Vec::new() }], diagnostics, ..Content::default() })
    }
}
