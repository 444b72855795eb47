//! Scrapes of vLLM's `/metrics` (log formats 8): totals since the start of the server, or what came between the first
//! and the last of several scrapes in one file.

use crate::{Content, Run};
use plimsoll_core::diagnostic::Diagnostic;
use plimsoll_core::measurement::{ArrivalSource, LogFormat, MeasuredDeployment, Measurement};
use std::collections::{BTreeMap, BTreeSet};

/// Samples of the server's own metrics.
#[derive(Debug)]
pub(super) struct Prometheus {
    name: String,
    is_recognized: bool,
    /// Scrapes that ended: a metric was declared again.
    earlier: Vec<Scrape>,
    present: Scrape,
    model: Option<String>,
    blocks: Option<u32>,
    block_size: Option<u32>,
    problems: Vec<Diagnostic>,
}

/// What one scrape holds.
#[derive(Debug, Clone, Default)]
struct Scrape {
    /// Metrics declared in it.
    declared: BTreeSet<String>,
    /// Sums over engines and labels, by metric.
    values: BTreeMap<String, f64>,
    /// Cumulative counts by upper bound, by histogram.
    buckets: BTreeMap<String, Vec<(f64, f64)>>,
}

/// Gauges: they go up and down, and of several scrapes the highest counts.
const GAUGES: [&str; 4] =
    ["num_requests_running", "num_requests_waiting", "kv_cache_usage_perc", "gpu_cache_usage_perc"];

impl Scrape {
    /// What came after `first`; the names of counters that went down, if any did.
    fn since(&self, first: &Self) -> Result<Self, Vec<String>> {
        let mut fallen = Vec::new();
        let mut between = self.clone();
        for (name, value) in &mut between.values {
            let before = first.values.get(name).copied().unwrap_or(0.0);
            if GAUGES.contains(&name.as_str()) {
                *value = value.max(before);
            } else {
                *value -= before;
                if *value < 0.0 {
                    fallen.push(name.clone());
                }
            }
        }
        for (name, buckets) in &mut between.buckets {
            let before = first.buckets.get(name);
            for (bound, count) in buckets.iter_mut() {
                let earlier = before.and_then(|before| before.iter().find(|(known, _)| known == bound));
                *count -= earlier.map_or(0.0, |(_, count)| *count);
                if *count < 0.0 && !fallen.contains(name) {
                    fallen.push(name.clone());
                }
            }
        }
        if fallen.is_empty() { Ok(between) } else { Err(fallen) }
    }
}

impl Prometheus {
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            is_recognized: false,
            earlier: Vec::new(),
            present: Scrape::default(),
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
        if let Some(declared) = line.strip_prefix("# TYPE vllm:") {
            let metric = declared.split_whitespace().next().unwrap_or_default().to_owned();
            if !self.present.declared.insert(metric.clone()) {
                self.earlier.push(std::mem::take(&mut self.present));
                self.present.declared.insert(metric);
            }
        }
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
                let buckets = self.present.buckets.entry(histogram.to_owned()).or_default();
                match buckets.iter_mut().find(|(known, _)| *known == bound) {
                    Some((_, count)) => *count += value,
                    None => buckets.push((bound, value)),
                }
            }
            _ => *self.present.values.entry(metric.to_owned()).or_insert(0.0) += value,
        }
    }

    fn problem(&mut self, code: &str, line: u64, message: &str, hint: &str) {
        if self.problems.len() < 20 {
            self.problems.push(Diagnostic::error(code, format!("{}:{line}", self.name), message).with_hint(hint));
        }
    }

    fn mean(&self, histograms: &[&str]) -> Option<f64> {
        histograms.iter().find_map(|histogram| {
            let sum = self.present.values.get(&format!("{histogram}_sum"))?;
            let count = self.present.values.get(&format!("{histogram}_count")).filter(|count| **count > 0.0)?;
            Some(sum / count)
        })
    }

    /// Linear inside a bucket; none in the last, which has no upper bound.
    fn percentile(&self, histogram: &str, p: f64) -> Option<f64> {
        let buckets = self.present.buckets.get(histogram)?;
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
        let num_scrapes = self.earlier.len() + 1;
        if let Some(first) = self.earlier.first() {
            match self.present.since(first) {
                Ok(between) => self.present = between,
                Err(fallen) => {
                    let message = format!("{} went down from the first to the last scrape", fallen.join(", "));
                    self.problems.push(
                        Diagnostic::error("log-inconsistent", self.name.clone(), message)
                            .with_hint("the server was restarted in between: scrape twice from one start"),
                    );
                }
            }
        }
        for buckets in self.present.buckets.values_mut() {
            buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        }
        let falling: Vec<String> = self
            .present
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
        totals.running_max = self.present.values.get("num_requests_running").copied();
        totals.waiting_max = self.present.values.get("num_requests_waiting").copied();
        let gauge = |name: &str| self.present.values.get(name).copied();
        totals.kv_cache_usage_max = gauge("kv_cache_usage_perc").or_else(|| gauge("gpu_cache_usage_perc"));
        if totals.ttft_mean_ms.is_none() && totals.e2e_mean_ms.is_none() && totals.itl_mean_ms.is_none() {
            let (message, hint) = if num_scrapes > 1 {
                ("no request was served between the scrapes", "scrape before and after a load")
            } else {
                ("no request has been served yet", "scrape again under load")
            };
            return Err(vec![Diagnostic::error("log-no-requests", self.name, message).with_hint(hint)]);
        }
        let (message, hint) = if num_scrapes > 1 {
            (
                "scrapes hold totals of the time between them",
                "times begin at the server, so they are shorter than a client's",
            )
        } else {
            (
                "one scrape holds totals since the server's start",
                "warm-up is in them, which a second scrape in the same file would take away; times begin at the server, so they are shorter than a client's",
            )
        };
        let diagnostics = vec![Diagnostic::warning("log-aggregates-only", self.name, message).with_hint(hint)];
        Ok(Content { runs: vec![Run { measurement: run, ids: Vec::new() }], diagnostics, ..Content::default() })
    }
}
