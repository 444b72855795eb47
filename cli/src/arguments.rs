//! The command line: our names first, the server's and the reference's names as aliases.
//!
//! A flag that is left out leaves the scenario file's value; without a file, what stands in brackets is used.
#![allow(rustdoc::broken_intra_doc_links, reason = "the comments are the help text, which shows defaults in brackets")]

mod fits;
mod names;

pub use fits::{FitsArguments, MaxModelLen};
pub use names::{
    ArrivalName, LatencyModelName, LogLevel, PerformanceName, PriorityName, SchedulerName, SchedulingName, TraceLevel,
};

use crate::log_arguments::{CalibrateArguments, EvaluateArguments};
use crate::policies::ClusterArguments;
use clap::{Args, Parser, Subcommand, ValueEnum};
use plimsoll_formats::trace::TraceFormat;
use std::path::PathBuf;

/// How much load an LLM deployment can carry: simulated, exactly and fast.
#[derive(Debug, Parser)]
#[command(
    name = "plimsoll",
    version,
    after_help = "Exit codes: 0 done, 1 invalid input, 2 unknown arguments, 3 a --require-… is not met, or what `fits` was asked for does not fit."
)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Simulate one run and print its metrics.
    Run(Box<RunArguments>),
    /// Simulate what a recorded trace offered and print the metrics.
    Replay(Box<ReplayArguments>),
    /// Find how latency and throughput change with request rate, or with users, and where the deployment saturates.
    Curve(Box<CurveArguments>),
    /// List what is built in: models, accelerators, coefficients, presets, scenarios.
    Catalog(CatalogArguments),
    /// Say whether a model fits on accelerators, and how much KV cache a vLLM server has left; exit code 3 if it does not.
    Fits(FitsArguments),
    /// Say what logs of a real server hold and what is wrong with them.
    Inspect(InspectArguments),
    /// Fit a step-time model to logs of a deployment.
    Calibrate(CalibrateArguments),
    /// Predict logged runs, with a fitted model or from measured kernels, and say how far off that is.
    Evaluate(EvaluateArguments),
    /// Write a trace in another format.
    Convert(ConvertArguments),
}

#[derive(Debug, Args)]
pub struct ConvertArguments {
    /// Trace of any form that is read, recognized by content; `-` = standard input.
    #[arg(value_name = "TRACE")]
    pub input: String,
    /// Where it goes; `-` = standard output.
    #[arg(value_name = "OUTPUT", default_value = "-")]
    pub output: String,
    /// The form it gets.
    #[arg(long, value_enum)]
    pub to: TraceFormatName,
    /// Write the header of a trace v2 to this YAML file.
    #[arg(long, value_name = "FILE")]
    pub header: Option<PathBuf>,
    /// Only these seconds, from the first request on.
    #[arg(long, value_name = "START:END", value_parser = range)]
    pub window: Option<[f64; 2]>,
    /// What is told on standard error.
    #[arg(long, value_enum, default_value_t = LogLevel::Warn)]
    pub log: LogLevel,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TraceFormatName {
    /// Lengths and prefix groups by column name.
    Lengths,
    /// The data of a trace v2.
    TraceV2,
    /// JSON lines with a hash for every 512 prompt tokens.
    Mooncake,
    /// TIMESTAMP,ContextTokens,GeneratedTokens.
    Azure,
    /// Seconds, prompt and answer tokens.
    BurstGpt,
}

impl From<TraceFormatName> for TraceFormat {
    fn from(name: TraceFormatName) -> Self {
        match name {
            TraceFormatName::Lengths => Self::Lengths,
            TraceFormatName::TraceV2 => Self::TraceV2,
            TraceFormatName::Mooncake => Self::Mooncake,
            TraceFormatName::Azure => Self::Azure,
            TraceFormatName::BurstGpt => Self::BurstGpt,
        }
    }
}

#[derive(Debug, Args)]
pub struct InspectArguments {
    /// Results of a benchmark client, traces, server logs; recognized by content.
    #[arg(value_name = "LOG", required = true)]
    pub logs: Vec<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct RunArguments {
    #[command(flatten)]
    pub scenario: ScenarioArguments,
    /// Print one JSON object with scenario, resolution, warnings and every metric.
    #[arg(long)]
    pub json: bool,
    /// Write the metrics and one entry per request to this JSON file.
    #[arg(long, value_name = "FILE")]
    pub results_path: Option<PathBuf>,
    /// Write what was offered and what became of it as a trace v2: FILE.csv, and its header FILE.yaml.
    #[arg(long, value_name = "FILE")]
    pub trace_output: Option<PathBuf>,
    /// Walk every step instead of skipping repeated ones; slower, same result.
    #[arg(long)]
    pub step: bool,
    /// none, or decisions: keep what admission and routing decided [none].
    #[arg(long, value_enum, default_value_t = TraceLevel::None)]
    pub trace_level: TraceLevel,
    /// Replicas compared with the chosen one in each routing decision [0].
    #[arg(long, value_name = "K", default_value_t = 0)]
    pub counterfactual_k: u32,
    /// Print what the decisions came to.
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true")]
    pub summarize_trace: bool,
    /// Write the decisions to this file, a JSON object per line.
    #[arg(long, value_name = "FILE")]
    pub decisions_path: Option<PathBuf>,
    /// What counts how much in the fitness score, e.g. throughput:0.5,p99_ttft:0.5 [none].
    #[arg(long, value_name = "KEY:WEIGHT,…")]
    pub fitness_weights: Option<String>,
    /// Exit with code 3 unless the SLO is met.
    #[arg(long)]
    pub require_slo: bool,
}

#[derive(Debug, Args)]
pub struct ReplayArguments {
    /// The data of a trace v2, or a trace of any other form; recognized by content.
    #[arg(value_name = "TRACE")]
    pub trace: PathBuf,
    /// Header of a trace v2: the server that was recorded, where neither flags nor SCENARIO say another
    /// [the YAML file beside TRACE with its name].
    #[arg(long, visible_alias = "trace-header", value_name = "FILE")]
    pub header: Option<PathBuf>,
    /// Whether the later turns of recorded conversations arrive when they were recorded, or wait for the answers.
    #[arg(long, value_enum, default_value_t = SessionMode::OpenLoop)]
    pub session_mode: SessionMode,
    /// Standard deviation of the think time in milliseconds, which is then lognormal with the mean `--think-time-ms`;
    /// without both it is the recorded gap between arrivals.
    #[arg(long, value_name = "MS", requires = "think_time_ms")]
    pub think_time_stdev_ms: Option<f64>,
    #[command(flatten)]
    pub run: RunArguments,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SessionMode {
    /// Every turn when it was recorded.
    OpenLoop,
    /// The first turn when it was recorded, later ones a think time after the answer.
    ClosedLoop,
}

#[derive(Debug, Args)]
pub struct CurveArguments {
    #[command(flatten)]
    pub scenario: ScenarioArguments,
    /// Print one JSON object with scenario, resolution, warnings and the curve.
    #[arg(long)]
    pub json: bool,
    /// Rates of the grid [24].
    #[arg(long, value_name = "N")]
    pub rates: Option<u32>,
    /// Seeds per rate [3].
    #[arg(long, value_name = "N")]
    pub seeds: Option<u32>,
    /// Requests of each run [2000].
    #[arg(long, value_name = "N")]
    pub requests_per_run: Option<u32>,
    /// Lowest and highest rate, requests per second, or numbers of users [chosen from the deployment].
    #[arg(long, value_name = "LOW:HIGH", value_parser = range)]
    pub range: Option<[f64; 2]>,
    /// Threads [one per core]; the result does not depend on it.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub jobs: Option<u16>,
    /// Exit with code 3 unless the capacity under the SLO is at least this many requests per second.
    #[arg(long, value_name = "RATE")]
    pub require_rate: Option<f64>,
    /// Exit with code 3 unless at least this many users who wait are served under the SLO.
    #[arg(long, value_name = "USERS")]
    pub require_users: Option<u32>,
}

#[derive(Debug, Args)]
pub struct CatalogArguments {
    /// What to list [everything, in short].
    #[arg(value_enum)]
    pub section: Option<CatalogSection>,
    /// List the coefficient rows that an earlier row with the same key hides; takes no section.
    #[arg(long, conflicts_with = "section")]
    pub shadowed: bool,
    /// Print JSON, with provenance.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CatalogSection {
    Models,
    Accelerators,
    Coefficients,
    Defaults,
    Presets,
    Scenarios,
}

/// Everything that makes a scenario; shared by `run` and `curve`.
#[derive(Debug, Args)]
pub struct ScenarioArguments {
    /// Scenario file (YAML or JSON), `-` for standard input, or the id of a ready scenario.
    #[arg(value_name = "SCENARIO")]
    pub file: Option<String>,

    /// The server as it is started: a `vllm serve …` line, a docker command or a container's args; `@FILE` or `-` reads it
    /// from a file or standard input. What it leaves out is the server's default; other flags win over it.
    #[arg(long, value_name = "LINE", allow_hyphen_values = true, help_heading = "Deployment")]
    pub serve: Option<String>,
    /// Model id; required without a scenario and a line that names one.
    #[arg(long, help_heading = "Deployment")]
    pub model: Option<String>,
    /// Accelerator id [default of the model].
    #[arg(long, visible_aliases = ["accelerator", "gpu"], help_heading = "Deployment")]
    pub hardware: Option<String>,
    /// Accelerators per replica; 0 = default of the model [0].
    #[arg(long, visible_alias = "tensor-parallel-size", help_heading = "Deployment")]
    pub tp: Option<u32>,
    /// Release of the server: its defaults, its rules, the coefficients nearest to it [the newest known].
    #[arg(long, visible_aliases = ["server-version", "engine-version"], value_name = "VERSION", help_heading = "Deployment")]
    pub vllm_version: Option<String>,
    /// Folder with the model's config.json.
    #[arg(long, value_name = "FOLDER", help_heading = "Deployment")]
    pub model_config_folder: Option<PathBuf>,
    /// Data sheet of the accelerator, or a hardware table with an entry for it.
    #[arg(long, value_name = "FILE", help_heading = "Deployment")]
    pub hardware_config: Option<PathBuf>,
    /// Coefficients, default deployments and presets in place of the built-in ones.
    #[arg(long, value_name = "FILE", help_heading = "Deployment")]
    pub defaults_filepath: Option<PathBuf>,

    /// A fit that `calibrate` wrote: its model, and the server it was fitted to.
    #[arg(long, value_name = "FILE", help_heading = "Step time")]
    pub fit: Option<PathBuf>,
    /// Step-time model [auto; calibrated with --fit].
    #[arg(long, value_enum, help_heading = "Step time")]
    pub latency_model: Option<LatencyModelName>,
    /// Overheads α0,α1,α2 in microseconds; for quadratic schedule, update, queue and vLLM overhead.
    #[arg(long, value_delimiter = ',', value_name = "A0,A1,A2", help_heading = "Step time")]
    pub alpha_coeffs: Option<Vec<f64>>,
    /// Step coefficients β0,β1,β2 in microseconds; β1,…,β10 for trained-physics; c0,…,c14 in seconds for quadratic.
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "B0,B1,…",
        allow_negative_numbers = true,
        help_heading = "Step time"
    )]
    pub beta_coeffs: Option<Vec<f64>>,

    /// Whose rules a replica follows [vllm-v1].
    #[arg(long, value_enum, help_heading = "Engine")]
    pub scheduling: Option<SchedulingName>,
    /// Most requests in a batch [by server version and accelerator].
    #[arg(long = "max-num-seqs", visible_alias = "max-num-running-reqs", value_name = "N", help_heading = "Engine")]
    pub max_num_running_reqs: Option<u32>,
    /// Most requests in a batch where that is fewer than there are places [max-num-seqs].
    #[arg(long, value_name = "N", help_heading = "Engine")]
    pub max_num_active_seqs: Option<u32>,
    /// Token budget of a step [by server version and accelerator].
    #[arg(
        long = "max-num-batched-tokens",
        visible_alias = "max-num-scheduled-tokens",
        value_name = "TOKENS",
        help_heading = "Engine"
    )]
    pub max_num_scheduled_tokens: Option<u32>,
    /// What the server is tuned for; throughput doubles the two limits above where they are left out [balanced].
    #[arg(long, value_enum, help_heading = "Engine")]
    pub performance_mode: Option<PerformanceName>,
    /// Longest prompt chunk of one request in a step; 0 = no limit [0].
    #[arg(long, value_name = "TOKENS", help_heading = "Engine")]
    pub long_prefill_token_threshold: Option<u32>,
    /// Never let that chunk be shorter than a fair share of the budget.
    #[arg(long, help_heading = "Engine")]
    pub long_prefill_token_threshold_adaptive: bool,
    /// Longest prompt plus answer; 0 = no limit [what the model is made for, as far as the cache holds it; with coefficients
    /// under the rules of the reference 0].
    #[arg(long, value_name = "TOKENS", help_heading = "Engine")]
    pub max_model_len: Option<u32>,
    /// Tokens per KV block [16].
    #[arg(long = "block-size", visible_alias = "block-size-in-tokens", value_name = "TOKENS", help_heading = "Engine")]
    pub block_size_in_tokens: Option<u32>,
    /// KV blocks, whatever else says how many [from the coefficient row, else from the memory].
    #[arg(
        long = "num-gpu-blocks-override",
        visible_aliases = ["num-gpu-blocks", "total-kv-blocks"],
        value_name = "N",
        help_heading = "Engine"
    )]
    pub total_kv_blocks: Option<u32>,
    /// Bytes of the KV cache on each accelerator, also like 20G (20 · 2³⁰); wins over the share of the memory [what is left].
    #[arg(long, value_name = "BYTES", value_parser = bytes, help_heading = "Engine")]
    pub kv_cache_memory_bytes: Option<u64>,
    /// Share of the memory the server may use; takes the blocks from the memory [by server version].
    #[arg(long, value_name = "RATIO", help_heading = "Engine")]
    pub gpu_memory_utilization: Option<f64>,
    /// Type of cached keys and values; takes the blocks from the memory [auto].
    #[arg(long, value_name = "TYPE", help_heading = "Engine")]
    pub kv_cache_dtype: Option<String>,
    /// Do not reuse cached prefixes.
    #[arg(long, help_heading = "Engine")]
    pub no_enable_prefix_caching: bool,
    /// Order of the waiting queue: fcfs or priority, or those of the reference [fcfs].
    #[arg(long, visible_alias = "scheduling-policy", value_enum, help_heading = "Engine")]
    pub scheduler: Option<SchedulerName>,
    /// Plan a step while the one before it runs [by server version].
    #[arg(long, overrides_with = "no_async_scheduling", help_heading = "Engine")]
    pub async_scheduling: bool,
    /// Plan a step when the one before it has ended.
    #[arg(long, overrides_with = "async_scheduling", help_heading = "Engine")]
    pub no_async_scheduling: bool,
    /// Admit a request only when all of it fits [by server version].
    #[arg(long, overrides_with = "no_scheduler_reserve_full_isl", help_heading = "Engine")]
    pub scheduler_reserve_full_isl: bool,
    /// Admit a request when its first chunk fits.
    #[arg(long, overrides_with = "scheduler_reserve_full_isl", help_heading = "Engine")]
    pub no_scheduler_reserve_full_isl: bool,
    /// Share of the KV blocks kept free when a request is admitted beside others [0].
    #[arg(long, value_name = "RATIO", help_heading = "Engine")]
    pub watermark: Option<f64>,
    /// Priority of waiting requests [constant].
    #[arg(long, value_enum, help_heading = "Engine")]
    pub priority_policy: Option<PriorityName>,
    /// Blocks of the prefix cache in host memory; 0 = none [0].
    #[arg(long, value_name = "N", help_heading = "Engine")]
    pub kv_cpu_blocks: Option<u32>,
    /// Accepted for compatibility, without effect [0.9].
    #[arg(long, value_name = "RATIO", help_heading = "Engine")]
    pub kv_offload_threshold: Option<f64>,
    /// Microseconds per reloaded block [0].
    #[arg(long, value_name = "MICROSECONDS", help_heading = "Engine")]
    pub kv_transfer_base_latency: Option<u32>,
    /// Tokens per microsecond between host and accelerator [100].
    #[arg(long, value_name = "RATE", help_heading = "Engine")]
    pub kv_transfer_bandwidth: Option<f64>,
    /// Last microsecond of the run [none].
    #[arg(long, value_name = "MICROSECONDS", help_heading = "Engine")]
    pub horizon: Option<i64>,

    /// chatbot, summarization, contentgen, multidoc, distribution or traces [distribution].
    #[arg(long, value_name = "NAME", help_heading = "Workload")]
    pub workload: Option<String>,
    /// Workload specification in YAML, instead of `--workload`; says lengths, rates and clients.
    #[arg(long, value_name = "FILE", help_heading = "Workload")]
    pub workload_spec: Option<String>,
    /// Trace for `--workload traces`: token or length CSV, trace v2, Azure, BurstGPT, Mooncake; by content.
    #[arg(long, visible_alias = "trace", value_name = "FILE", help_heading = "Workload")]
    pub workload_traces_filepath: Option<PathBuf>,
    /// Replay only these seconds of the trace, from its first request on [all].
    #[arg(long, value_name = "START:END", value_parser = range, help_heading = "Workload")]
    pub trace_window: Option<[f64; 2]>,
    /// Replay the trace at this many times its own rate [1].
    #[arg(long, value_name = "FACTOR", help_heading = "Workload")]
    pub rate_scale: Option<f64>,
    /// Users who wait for their answers, instead of a rate; 0 = none [0].
    #[arg(long, value_name = "USERS", help_heading = "Workload")]
    pub concurrency: Option<u32>,
    /// Milliseconds from an answer to the user's next request [0].
    #[arg(long, value_name = "MS", help_heading = "Workload")]
    pub think_time_ms: Option<f64>,
    /// Requests per second [1].
    #[arg(long, visible_alias = "request-rate", value_name = "RATE", help_heading = "Workload")]
    pub rate: Option<f64>,
    /// Number of requests [100].
    #[arg(long, visible_aliases = ["max-prompts", "num-prompts"], value_name = "N", help_heading = "Workload")]
    pub num_requests: Option<u32>,
    /// Gaps between arrivals [constant for run, poisson for curve].
    #[arg(long, value_enum, help_heading = "Workload")]
    pub arrival: Option<ArrivalName>,
    /// Coefficient of variation of gamma or weibull gaps [1].
    #[arg(long, value_name = "CV", help_heading = "Workload")]
    pub arrival_cv: Option<f64>,
    /// Seconds until a client gives up; negative = never [never; 300 for sessions and users].
    #[arg(long, value_name = "SECONDS", help_heading = "Workload")]
    pub timeout: Option<f64>,
    /// Length of the shared prefix [0].
    #[arg(long, value_name = "TOKENS", help_heading = "Workload")]
    pub prefix_tokens: Option<u32>,
    /// How many different prefixes there are [1].
    #[arg(long, value_name = "N", help_heading = "Workload")]
    pub prefix_groups: Option<u32>,
    /// Share of the requests that carry a prefix [1].
    #[arg(long, value_name = "RATIO", help_heading = "Workload")]
    pub prefix_share_ratio: Option<f64>,
    /// Share of the prompt tokens that are cached, 0 to 1, as a server's counters of hits and queries give it [0, what is
    /// found in the cache alone].
    #[arg(long, value_name = "RATIO", help_heading = "Workload")]
    pub prefix_hit_ratio: Option<f64>,
    /// Mean prompt length [512].
    #[arg(long, value_name = "TOKENS", help_heading = "Workload")]
    pub prompt_tokens: Option<f64>,
    /// Its standard deviation [256].
    #[arg(long, value_name = "TOKENS", help_heading = "Workload")]
    pub prompt_tokens_stdev: Option<f64>,
    /// Shortest prompt [2].
    #[arg(long, value_name = "TOKENS", help_heading = "Workload")]
    pub prompt_tokens_min: Option<u32>,
    /// Longest prompt [7000].
    #[arg(long, value_name = "TOKENS", help_heading = "Workload")]
    pub prompt_tokens_max: Option<u32>,
    /// Mean answer length [512].
    #[arg(long, value_name = "TOKENS", help_heading = "Workload")]
    pub output_tokens: Option<f64>,
    /// Its standard deviation [256].
    #[arg(long, value_name = "TOKENS", help_heading = "Workload")]
    pub output_tokens_stdev: Option<f64>,
    /// Shortest answer [2].
    #[arg(long, value_name = "TOKENS", help_heading = "Workload")]
    pub output_tokens_min: Option<u32>,
    /// Longest answer [7000].
    #[arg(long, value_name = "TOKENS", help_heading = "Workload")]
    pub output_tokens_max: Option<u32>,
    /// Seed of all random streams [42].
    #[arg(long, help_heading = "Workload")]
    pub seed: Option<u64>,

    /// Percentile of the limits [95].
    #[arg(long, value_name = "P", help_heading = "SLO")]
    pub slo_percentile: Option<f64>,
    /// Limit on time to first token; 0 = none [500].
    #[arg(long, value_name = "MS", help_heading = "SLO")]
    pub slo_ttft_ms: Option<f64>,
    /// Limit on time per output token; 0 = none [30].
    #[arg(long, value_name = "MS", help_heading = "SLO")]
    pub slo_tpot_ms: Option<f64>,
    /// Limit on inter-token latency; 0 = none [none].
    #[arg(long, value_name = "MS", help_heading = "SLO")]
    pub slo_itl_ms: Option<f64>,
    /// Limit on end-to-end latency; 0 = none [none].
    #[arg(long, value_name = "MS", help_heading = "SLO")]
    pub slo_e2e_ms: Option<f64>,
    /// Least share of requests within every limit [0.95].
    #[arg(long, value_name = "RATIO", help_heading = "SLO")]
    pub slo_attainment: Option<f64>,
    /// Limit of one SLO class on time to first token, in place of those above; may be repeated; 0 = none.
    #[arg(long, value_name = "CLASS=MS", value_parser = class_limit, help_heading = "SLO")]
    pub slo_class_ttft_ms: Vec<(String, f64)>,
    /// The same on time per output token.
    #[arg(long, value_name = "CLASS=MS", value_parser = class_limit, help_heading = "SLO")]
    pub slo_class_tpot_ms: Vec<(String, f64)>,
    /// The same on end-to-end latency.
    #[arg(long, value_name = "CLASS=MS", value_parser = class_limit, help_heading = "SLO")]
    pub slo_class_e2e_ms: Vec<(String, f64)>,

    #[command(flatten)]
    pub cluster: ClusterArguments,

    /// What is told on standard error; debug prints every event of a run.
    #[arg(long, value_enum, default_value_t = LogLevel::Warn)]
    pub log: LogLevel,
}

/// `CLASS=MS` as a class and its limit.
fn class_limit(text: &str) -> Result<(String, f64), String> {
    let parts = text.split_once('=').and_then(|(class, limit)| Some((class.trim(), limit.trim().parse().ok()?)));
    let (class, limit) =
        parts.filter(|(class, _)| !class.is_empty()).ok_or("give a class and its limit, like batch=9000")?;
    Ok((class.to_owned(), limit))
}

/// Bytes as vLLM reads them.
fn bytes(text: &str) -> Result<u64, String> {
    plimsoll_formats::size(text)
        .ok_or_else(|| "give a whole number, also like 20G (20 · 2³⁰) or 20g (20 · 10⁹)".to_owned())
}

/// `LOW:HIGH` as two rates.
fn range(text: &str) -> Result<[f64; 2], String> {
    let parts = text.split_once(':').and_then(|(low, high)| Some([low.parse().ok()?, high.parse().ok()?]));
    parts.ok_or_else(|| "give two numbers like 0.5:12".to_owned())
}
