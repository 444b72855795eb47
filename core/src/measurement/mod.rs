//! What was measured on a real server: one run of a benchmark client or a server's own records.
//!
//! File readers give it, calibration takes it. It knows no file format.
//! Times are whole microseconds since the first arrival; what a file does not state is absent, never zero.
//! Prompts and generated texts have no place here: readers discard them while they read.

mod client;
mod figures;
mod overload;

pub use client::ClientLoad;
pub(crate) use figures::percentile;
pub use figures::{RequestLatency, RunFigures};
pub use overload::{OverloadWindow, overload_windows};

use crate::time::SimTime;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;
use serde::{Deserialize, Serialize};

/// One successful request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeasuredRequest {
    /// When the client wanted to send it.
    pub arrive: SimTime,
    /// When the client sent it; later than `arrive` where a cap held it back.
    pub send: SimTime,
    /// Prompt length in tokens, by the server's count where there is one.
    pub input_tokens: u32,
    /// Output length in tokens, at least 1.
    pub output_tokens: u32,
    /// Send to first token.
    pub ttft: Option<SimTime>,
    /// Send to last token; at least the TTFT.
    pub e2e: Option<SimTime>,
    /// Number of the conversation whose turns share a growing prompt, if it has one.
    pub session: Option<u32>,
    /// Where its gaps lie in [`Measurement::gaps`]; empty if gaps are unknown or are not single tokens.
    pub gaps: Range<u32>,
}

impl MeasuredRequest {
    /// Time per output token after the first, microseconds; none below two tokens (definitions of log formats 0).
    #[must_use]
    pub fn tpot(&self) -> Option<f64> {
        let (ttft, e2e) = (self.ttft?, self.e2e?);
        (self.output_tokens >= 2).then(|| (e2e.0 - ttft.0) as f64 / f64::from(self.output_tokens - 1))
    }
}

/// Where arrival times come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ArrivalSource {
    /// Recorded.
    Recorded,
    /// Regenerated from the client's seed and rate; the replayed run ends when the recorded one did.
    Derived,
    /// Made up from the rate; requests cannot be compared one by one.
    Assumed,
}

/// How the client offered load.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct OfferedLoad {
    /// Requests per second; infinity = all at once.
    pub request_rate: Option<f64>,
    /// Shape of the gamma distribution of gaps; 1 = Poisson.
    pub burstiness: Option<f64>,
    /// Most requests in flight.
    pub max_concurrency: Option<u32>,
}

/// What a file tells of the server; mostly little.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct MeasuredDeployment {
    /// Model id or path as written there.
    pub model: Option<String>,
    /// Accelerator as written there.
    pub accelerator: Option<String>,
    /// Accelerators per replica.
    pub tensor_parallel_size: Option<u32>,
    /// Server and its version.
    pub engine_version: Option<String>,
    /// Most requests in a batch.
    pub max_num_seqs: Option<u32>,
    /// Token budget of a step.
    pub max_num_batched_tokens: Option<u32>,
    /// Longest prompt plus output.
    pub max_model_len: Option<u32>,
    /// KV blocks.
    pub num_gpu_blocks: Option<u32>,
    /// Tokens per block.
    pub block_size: Option<u32>,
    /// Whether prompts are looked up in the cache.
    pub enable_prefix_caching: Option<bool>,
    /// Whether prompts are split over steps.
    pub enable_chunked_prefill: Option<bool>,
}

impl MeasuredDeployment {
    /// Fills what is absent from another source, e.g. a configuration file beside the log.
    pub fn fill_from(&mut self, other: &Self) {
        fn fill<T: Clone>(slot: &mut Option<T>, other: &Option<T>) {
            if slot.is_none() {
                slot.clone_from(other);
            }
        }
        fill(&mut self.model, &other.model);
        fill(&mut self.accelerator, &other.accelerator);
        fill(&mut self.tensor_parallel_size, &other.tensor_parallel_size);
        fill(&mut self.engine_version, &other.engine_version);
        fill(&mut self.max_num_seqs, &other.max_num_seqs);
        fill(&mut self.max_num_batched_tokens, &other.max_num_batched_tokens);
        fill(&mut self.max_model_len, &other.max_model_len);
        fill(&mut self.num_gpu_blocks, &other.num_gpu_blocks);
        fill(&mut self.block_size, &other.block_size);
        fill(&mut self.enable_prefix_caching, &other.enable_prefix_caching);
        fill(&mut self.enable_chunked_prefill, &other.enable_chunked_prefill);
    }
}

/// Figures of a whole run as the tool that made the file computed them; milliseconds where not said otherwise.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct MeasuredTotals {
    /// Mean TTFT.
    pub ttft_mean_ms: Option<f64>,
    /// Median TTFT.
    pub ttft_p50_ms: Option<f64>,
    /// 90th percentile of TTFT.
    pub ttft_p90_ms: Option<f64>,
    /// 99th percentile of TTFT.
    pub ttft_p99_ms: Option<f64>,
    /// Mean time per output token.
    pub tpot_mean_ms: Option<f64>,
    /// Mean of all gaps.
    pub itl_mean_ms: Option<f64>,
    /// Mean end-to-end latency.
    pub e2e_mean_ms: Option<f64>,
    /// 99th percentile of end-to-end latency.
    pub e2e_p99_ms: Option<f64>,
    /// Output tokens per second.
    pub output_throughput_per_s: Option<f64>,
    /// Mean prompt length, tokens.
    pub input_tokens_mean: Option<f64>,
    /// Mean output length, tokens.
    pub output_tokens_mean: Option<f64>,
    /// Most requests running at a moment, where a server's log or gauge tells.
    pub running_max: Option<f64>,
    /// Most requests waiting at a moment.
    pub waiting_max: Option<f64>,
    /// Highest share of the KV cache in use, 0–1.
    pub kv_cache_usage_max: Option<f64>,
}

/// What kind of file a measurement was read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// `vllm bench serve` or `benchmark_serving.py`, JSON.
    VllmBench,
    /// The block that these tools print.
    VllmBenchConsole,
    /// GuideLLM's report.
    Guidellm,
    /// BLIS trace, versions 2 and 3.
    BlisTrace,
    /// BLIS metrics JSON: simulated.
    BlisMetrics,
    /// `requests.csv` of residency runs.
    BlisRequests,
    /// Engine-side JSON lines of the LLMServingSim bench.
    EngineJsonl,
    /// LMBench CSV.
    Lmbench,
    /// inference-perf stage or summary report.
    InferencePerf,
    /// inference-perf, one entry per request.
    InferencePerfRequests,
    /// vLLM's standard output.
    ServerLog,
    /// vLLM's `/metrics`.
    Prometheus,
}

impl LogFormat {
    /// Its name for people.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::VllmBench => "vLLM bench serve JSON",
            Self::VllmBenchConsole => "vLLM bench serve console output",
            Self::Guidellm => "GuideLLM report",
            Self::BlisTrace => "BLIS trace",
            Self::BlisMetrics => "BLIS metrics (simulated)",
            Self::BlisRequests => "residency requests CSV",
            Self::EngineJsonl => "engine JSONL",
            Self::Lmbench => "LMBench CSV",
            Self::InferencePerf => "inference-perf report",
            Self::InferencePerfRequests => "inference-perf per-request report",
            Self::ServerLog => "vLLM server log",
            Self::Prometheus => "Prometheus metrics",
        }
    }

    /// Whether its times start at the server, so that they lack network and HTTP handling.
    #[must_use]
    pub fn is_server_side(self) -> bool {
        matches!(self, Self::EngineJsonl | Self::ServerLog | Self::Prometheus)
    }

    /// Whether its figures are simulated, so that nothing can be calibrated against them.
    #[must_use]
    pub fn is_simulated(self) -> bool {
        self == Self::BlisMetrics
    }
}

/// One run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// Name of the file; with the number of the run where a file holds several (`results.jsonl#2`).
    pub name: String,
    /// What it was read from.
    pub format: LogFormat,
    /// What is known of the server.
    pub deployment: MeasuredDeployment,
    /// How load was offered.
    pub load: OfferedLoad,
    /// Where arrival times come from.
    pub arrivals: ArrivalSource,
    /// Successful requests by send time, equal ones in file order; empty where the file holds aggregates only.
    pub requests: Vec<MeasuredRequest>,
    /// Gaps between tokens, microseconds, of all requests one after the other.
    pub gaps: Vec<u32>,
    /// Requests that failed and are left out.
    pub num_failed: u32,
    /// First send to last completion.
    pub duration: Option<SimTime>,
    /// What the tool itself computed.
    pub totals: MeasuredTotals,
}

impl Measurement {
    /// An empty run.
    #[must_use]
    pub fn new(name: impl Into<String>, format: LogFormat) -> Self {
        Self {
            name: name.into(),
            format,
            deployment: MeasuredDeployment::default(),
            load: OfferedLoad::default(),
            arrivals: ArrivalSource::Recorded,
            requests: Vec::new(),
            gaps: Vec::new(),
            num_failed: 0,
            duration: None,
            totals: MeasuredTotals::default(),
        }
    }

    /// Gaps between tokens of a request, microseconds.
    #[must_use]
    pub fn gaps_of(&self, request: &MeasuredRequest) -> &[u32] {
        self.gaps.get(request.gaps.start as usize..request.gaps.end as usize).unwrap_or_default()
    }

    /// Whether single requests can be compared with simulated ones.
    #[must_use]
    pub fn has_requests(&self) -> bool {
        !self.requests.is_empty()
    }

    /// First send to last completion, as recorded or else from the requests.
    #[must_use]
    pub fn span(&self) -> Option<SimTime> {
        let ends = self.requests.iter().filter_map(|request| Some(request.send.0 + request.e2e?.0));
        let first = self.requests.iter().map(|request| request.send.0).min();
        self.duration.or_else(|| Some(SimTime(ends.max()? - first?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_one_token_answer_has_no_time_per_output_token() {
        let mut request = MeasuredRequest {
            arrive: SimTime(0),
            send: SimTime(0),
            input_tokens: 10,
            output_tokens: 3,
            ttft: Some(SimTime(50_000)),
            e2e: Some(SimTime(72_000)),
            session: None,
            gaps: 0..0,
        };
        assert_eq!(request.tpot(), Some(11_000.0));
        request.output_tokens = 1;
        assert_eq!(request.tpot(), None);
    }

    #[test]
    fn the_span_is_the_recorded_duration_or_follows_from_the_requests() {
        let mut run = Measurement::new("a", LogFormat::Lmbench);
        assert_eq!(run.span(), None);
        let request = |send, e2e| MeasuredRequest {
            arrive: SimTime(send),
            send: SimTime(send),
            input_tokens: 1,
            output_tokens: 1,
            ttft: None,
            e2e: Some(SimTime(e2e)),
            session: None,
            gaps: 0..0,
        };
        run.requests = alloc::vec![request(5, 100), request(50, 20)];
        assert_eq!(run.span(), Some(SimTime(100)));
        run.duration = Some(SimTime(7));
        assert_eq!(run.span(), Some(SimTime(7)));
    }
}
