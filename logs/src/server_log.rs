//! vLLM's standard output: configuration, KV capacity and ten-second means, no single request (log formats 7).

use crate::text::leading_number;
use crate::{Content, Run};
use plimsoll_core::diagnostic::Diagnostic;
use plimsoll_core::measurement::{ArrivalSource, LogFormat, MeasuredDeployment, Measurement};

/// What the lines say.
#[derive(Debug)]
pub(crate) struct ServerLog {
    name: String,
    deployment: MeasuredDeployment,
    num_known: u64,
    num_stats: u64,
    num_requests: u64,
    kv_tokens: Option<f64>,
    running_max: f64,
    waiting_max: f64,
    kv_usage_max: f64,
    generation_max: f64,
    problems: Vec<Diagnostic>,
    /// The last line that tells of a failure.
    failure: Option<(u64, String)>,
}

impl ServerLog {
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            deployment: MeasuredDeployment::default(),
            num_known: 0,
            num_stats: 0,
            num_requests: 0,
            kv_tokens: None,
            running_max: 0.0,
            waiting_max: 0.0,
            kv_usage_max: 0.0,
            generation_max: 0.0,
            problems: Vec::new(),
            failure: None,
        }
    }

    pub fn is_recognized(&self) -> bool {
        self.num_known > 0
    }

    pub fn deployment(&self) -> Option<MeasuredDeployment> {
        (self.deployment != MeasuredDeployment::default()).then(|| self.deployment.clone())
    }

    pub fn line(&mut self, number: u64, line: &str) {
        let known = self.num_known;
        self.num_known += 1;
        if let Some((_, rest)) = line.split_once("non-default args: ") {
            self.arguments(rest);
        } else if line.contains("Initializing a V") && line.contains("engine (v") {
            self.initializing(line);
        } else if let Some((_, rest)) = line.split_once("Chunked prefill is enabled with max_num_batched_tokens=") {
            self.deployment.enable_chunked_prefill = Some(true);
            self.deployment.max_num_batched_tokens = whole(rest).or(self.deployment.max_num_batched_tokens);
        } else if let Some((_, rest)) = line.split_once("KV cache size: ") {
            self.kv_tokens = self.figure(number, "the KV cache size", rest);
        } else if let Some((_, rest)) = line.split_once("# cuda blocks: ").or_else(|| line.split_once("# GPU blocks: "))
        {
            let blocks = self.figure(number, "the number of blocks", rest);
            self.deployment.num_gpu_blocks = blocks.map(|blocks| blocks as u32);
        } else if line.contains("throughput:") && line.contains("Running: ") {
            self.statistics(number, line);
        } else if line.contains("Received request ") || line.contains("Added request ") {
            self.num_requests += 1;
        } else if line.contains("HTTP/1.1\" 200") {
        } else {
            self.num_known = known;
            let is_failure =
                line.contains("torch.OutOfMemoryError") || line.contains("No available memory for the cache");
            if is_failure || line.contains("Engine core initialization failed") {
                let message: String = line.trim().chars().take(120).collect();
                self.failure = Some((number, message));
            }
        }
    }

    /// A number that must stand there.
    fn figure(&mut self, line: u64, what: &str, text: &str) -> Option<f64> {
        let figure = leading_number(text).filter(|figure| *figure >= 0.0);
        if figure.is_none() && self.problems.len() < 20 {
            let shown: String = text.chars().take(20).collect();
            let message = format!("{what} is \"{shown}\"");
            self.problems.push(
                Diagnostic::error("log-invalid-value", format!("{}:{line}", self.name), message)
                    .with_hint("the line is cut: copy the log again"),
            );
        }
        figure
    }

    /// `{'max_num_seqs': 4, …}`.
    fn arguments(&mut self, text: &str) {
        let value = |key: &str| {
            let (_, rest) = text.split_once(&format!("'{key}': "))?;
            Some(rest.split([',', '}']).next()?.trim().trim_matches('\'').to_owned())
        };
        let number = |key: &str| value(key).and_then(|text| whole(&text));
        let flag = |key: &str| value(key).map(|text| text == "True");
        let found = MeasuredDeployment {
            model: value("model"),
            tensor_parallel_size: number("tensor_parallel_size"),
            max_num_seqs: number("max_num_seqs"),
            max_num_batched_tokens: number("max_num_batched_tokens"),
            max_model_len: number("max_model_len"),
            block_size: number("block_size"),
            enable_prefix_caching: flag("enable_prefix_caching"),
            enable_chunked_prefill: flag("enable_chunked_prefill"),
            ..MeasuredDeployment::default()
        };
        self.deployment.fill_from(&found);
    }

    /// `Initializing a V1 LLM engine (v0.9.0.1) with config: model='…', …`.
    fn initializing(&mut self, line: &str) {
        let after = |key: &str| {
            let (_, rest) = line.split_once(key)?;
            Some(rest.split([',', ')', ' ']).next()?.trim_matches('\'').to_owned())
        };
        let generation = if line.contains("a V0") { "V0" } else { "V1" };
        let found = MeasuredDeployment {
            model: after("model="),
            engine_version: after("engine (v").map(|version| format!("vllm/v{version} {generation}")),
            tensor_parallel_size: after("tensor_parallel_size=").and_then(|text| whole(&text)),
            max_model_len: after("max_seq_len=").and_then(|text| whole(&text)),
            enable_prefix_caching: after("enable_prefix_caching=").map(|text| text == "True"),
            enable_chunked_prefill: after("chunked_prefill_enabled=").map(|text| text == "True"),
            ..MeasuredDeployment::default()
        };
        self.deployment.fill_from(&found);
    }

    fn statistics(&mut self, number: u64, line: &str) {
        self.num_stats += 1;
        let after = |key: &str| line.split_once(key).map(|(_, rest)| rest.to_owned());
        if let Some(rest) = after("Running: ") {
            let running = self.figure(number, "Running", &rest).unwrap_or(0.0);
            self.running_max = self.running_max.max(running);
        }
        if let Some(rest) = after("Waiting: ").or_else(|| after("Pending: ")) {
            let waiting = self.figure(number, "the number of waiting requests", &rest).unwrap_or(0.0);
            self.waiting_max = self.waiting_max.max(waiting);
        }
        if let Some(rest) = after("GPU KV cache usage: ") {
            let usage = self.figure(number, "GPU KV cache usage", &rest).unwrap_or(0.0);
            if usage > 100.0 {
                let path = format!("{}:{number}", self.name);
                self.problems.push(
                    Diagnostic::error("log-invalid-value", path, format!("GPU KV cache usage is {usage} %"))
                        .with_hint("it is a share of 100 % at most"),
                );
            }
            self.kv_usage_max = self.kv_usage_max.max(usage / 100.0);
        }
        if let Some(rest) = after("generation throughput: ") {
            let throughput = self.figure(number, "generation throughput", &rest).unwrap_or(0.0);
            self.generation_max = self.generation_max.max(throughput);
        }
    }

    pub fn finish(mut self, num_lines: u64) -> Result<Content, Vec<Diagnostic>> {
        if let Some(tokens) = self.kv_tokens {
            let block_size = *self.deployment.block_size.get_or_insert(16);
            if block_size > 0 {
                self.deployment.num_gpu_blocks.get_or_insert((tokens / f64::from(block_size)) as u32);
            }
        }
        if !self.problems.is_empty() {
            return Err(self.problems);
        }
        let mut content = Content { deployment: self.deployment(), ..Content::default() };
        if let Some((line, message)) = self.failure {
            let path = format!("{}:{line}", self.name);
            content
                .diagnostics
                .push(Diagnostic::warning("log-server-failed", path, message).with_hint("the server failed there"));
        }
        if content.deployment.is_none() && self.num_stats == 0 {
            return Err(vec![
                Diagnostic::error("log-no-requests", self.name, "the log tells neither configuration nor load")
                    .with_hint("give the log from the server's start"),
            ]);
        }
        content.diagnostics.push(Diagnostic::note(
            "log-skipped-lines",
            self.name.clone(),
            format!("{} of {num_lines} lines say nothing of use here", num_lines - self.num_known.min(num_lines)),
        ));
        if self.num_stats > 0 {
            let mut run = Measurement::new(self.name.clone(), LogFormat::ServerLog);
            run.deployment = self.deployment;
            run.arrivals = ArrivalSource::Assumed;
            run.totals.running_max = Some(self.running_max);
            run.totals.waiting_max = Some(self.waiting_max);
            run.totals.kv_cache_usage_max = Some(self.kv_usage_max);
            run.totals.output_throughput_per_s = Some(self.generation_max).filter(|throughput| *throughput > 0.0);
            content.diagnostics.push(
                Diagnostic::warning("log-aggregates-only", self.name, "a server's log has no latencies of requests")
                    .with_hint("give the benchmark client's result too"),
            );
            content.runs.push(Run { measurement: run, ids: Vec::new() });
        }
        Ok(content)
    }
}

fn whole(text: &str) -> Option<u32> {
    leading_number(text).filter(|number| (0.0..4e9).contains(number)).map(|number| number as u32)
}
