//! What the commands have in common on the way out: diagnostics, JSON, exit.

use crate::arguments::LogLevel;
use crate::fits::memory_json;
use plimsoll_core::MODEL_VERSION;
use plimsoll_core::diagnostic::{Diagnostic, Severity};
use plimsoll_core::report::Verdict;
use plimsoll_core::scenario::{Basis, BlocksSource, Ledger, ResolvedScenario, Rules, SCENARIO_VERSION, Scenario};
use plimsoll_formats::excerpt_of;
use serde::Serialize;
use serde_json::{Value, json};
use std::fmt::Display;
use std::io::{self, Write};

/// Why a command ends without success; what is wrong has been told already.
#[derive(Debug)]
pub enum Failure {
    /// An input is invalid or a file cannot be used.
    Invalid,
    /// A requirement of the command line is not met.
    NotMet,
    /// The result cannot be written.
    Output(io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

/// Writes a line to standard error.
pub fn tell_line(line: impl Display) {
    // Nobody may be reading there; the result and the exit code do not depend on it.
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Tells diagnostics on standard error, with the place in the text they concern.
pub fn tell(diagnostics: &[Diagnostic], text: Option<&str>, log: LogLevel) {
    for diagnostic in diagnostics {
        let is_told = match diagnostic.severity {
            Severity::Error => true,
            Severity::Warning => log <= LogLevel::Warn,
            // Whose rules and defaults stand for a release that is another has to be known before a run.
            // So has what a file of an older version would do otherwise.
            Severity::Note if diagnostic.code.starts_with("server-version-") || diagnostic.code == "newer-rules" => {
                log <= LogLevel::Warn
            }
            Severity::Note => log <= LogLevel::Info,
        };
        if !is_told {
            continue;
        }
        tell_line(with_flag(diagnostic));
        if let Some(excerpt) = text.and_then(|text| excerpt_of(text, diagnostic)) {
            tell_line(excerpt);
        }
    }
}

/// Tells one problem with a file and ends the command.
pub fn file_failure(path: &str, message: &str) -> Failure {
    tell_line(format_args!("error: {path}: {message}"));
    Failure::Invalid
}

/// The diagnostic as a line, with the flag that sets the field where there is one.
fn with_flag(diagnostic: &Diagnostic) -> String {
    let line = diagnostic.to_string();
    match flag_of(&diagnostic.path) {
        Some(flag) => line.replacen(&diagnostic.path, &format!("{} ({flag})", diagnostic.path), 1),
        None => line,
    }
}

/// The flag that sets a field of the scenario.
fn flag_of(path: &str) -> Option<&'static str> {
    Some(match path {
        "deployment.model" => "--model",
        "deployment.accelerator" => "--hardware",
        "deployment.tensor_parallel_size" => "--tp",
        "latency.model" => "--latency-model",
        "latency.alpha" => "--alpha-coeffs",
        "latency.beta" => "--beta-coeffs",
        "deployment.server_version" => "--vllm-version",
        "engine.scheduling" => "--scheduling",
        "engine.scheduler" => "--scheduler",
        "engine.priority" => "--priority-policy",
        "engine.async_scheduling" => "--async-scheduling",
        "engine.scheduler_reserve_full_isl" => "--scheduler-reserve-full-isl",
        "engine.watermark" => "--watermark",
        "engine.max_num_active_seqs" => "--max-num-active-seqs",
        "engine.long_prefill_token_threshold_adaptive" => "--long-prefill-token-threshold-adaptive",
        "engine.max_num_seqs" => "--max-num-seqs",
        "engine.max_num_batched_tokens" => "--max-num-batched-tokens",
        "engine.long_prefill_token_threshold" => "--long-prefill-token-threshold",
        "engine.max_model_len" => "--max-model-len",
        "engine.block_size" => "--block-size",
        "engine.num_gpu_blocks" => "--num-gpu-blocks-override",
        "engine.performance_mode" => "--performance-mode",
        "engine.kv_cache_memory_bytes" => "--kv-cache-memory-bytes",
        "engine.gpu_memory_utilization" => "--gpu-memory-utilization",
        "engine.kv_cache_dtype" => "--kv-cache-dtype",
        "engine.kv_cpu_blocks" => "--kv-cpu-blocks",
        "engine.kv_transfer_base_latency_us" => "--kv-transfer-base-latency",
        "engine.kv_transfer_bandwidth" => "--kv-transfer-bandwidth",
        "cluster.num_replicas" => "--num-instances",
        "cluster.admission.token_bucket_capacity" => "--token-bucket-capacity",
        "cluster.admission.token_bucket_refill_rate" => "--token-bucket-refill-rate",
        "cluster.routing.cache_weight" => "--routing-cache-weight",
        "cluster.routing.load_weight" => "--routing-load-weight",
        path if path.starts_with("cluster.routing.scorers") => "--routing-scorers",
        "horizon_us" => "--horizon",
        "workload.request_rate" => "--rate",
        "workload.num_requests" => "--num-requests",
        "workload.arrival.cv" => "--arrival-cv",
        "workload.closed_loop.concurrency" => "--concurrency",
        "workload.closed_loop.think_time_us" => "--think-time-ms",
        "workload.trace.window_s" => "--trace-window",
        "workload.trace.rate_scale" => "--rate-scale",
        "workload.timeout_s" => "--timeout",
        "workload.prefix.tokens" => "--prefix-tokens",
        "workload.prefix.groups" => "--prefix-groups",
        "workload.prefix.share_ratio" => "--prefix-share-ratio",
        "workload.prefix_hit_ratio" => "--prefix-hit-ratio",
        "workload.input_tokens.mean" => "--prompt-tokens",
        "workload.input_tokens.std_dev" => "--prompt-tokens-stdev",
        "workload.input_tokens.min" => "--prompt-tokens-min",
        "workload.input_tokens.max" => "--prompt-tokens-max",
        "workload.output_tokens.mean" => "--output-tokens",
        "workload.output_tokens.std_dev" => "--output-tokens-stdev",
        "workload.output_tokens.min" => "--output-tokens-min",
        "workload.output_tokens.max" => "--output-tokens-max",
        "slo.percentile" => "--slo-percentile",
        "slo.ttft_ms" => "--slo-ttft-ms",
        "slo.tpot_ms" => "--slo-tpot-ms",
        "slo.itl_ms" => "--slo-itl-ms",
        "slo.e2e_ms" => "--slo-e2e-ms",
        "slo.attainment" => "--slo-attainment",
        "curve.num_rates" => "--rates",
        "curve.num_seeds" => "--seeds",
        "curve.num_requests" => "--requests-per-run",
        "curve.range_per_s" => "--range",
        path if path.starts_with("slo_classes.") => match path.rsplit('.').next()? {
            "ttft_ms" => "--slo-class-ttft-ms",
            "tpot_ms" => "--slo-class-tpot-ms",
            "e2e_ms" => "--slo-class-e2e-ms",
            _ => return None,
        },
        _ => return None,
    })
}

/// Tells what was filled in and what the figures rest on.
pub fn tell_resolution(resolved: &ResolvedScenario, log: LogLevel) {
    if log > LogLevel::Warn {
        return;
    }
    for line in &resolved.filled_in {
        tell_line(format_args!("note: {line}"));
    }
    for default in &resolved.defaults {
        let line = default.line();
        if !resolved.filled_in.contains(&line) {
            tell_line(format_args!("note: {line}"));
        }
    }
    let blocks = resolved.engine.num_blocks;
    let source = match resolved.ledger.as_ref().map(Ledger::source) {
        Some(BlocksSource::Given) => "given",
        Some(BlocksSource::CoefficientRow) => "of the coefficient row",
        Some(BlocksSource::MemoryFormula) => "by the memory formula",
        Some(BlocksSource::Server) => "as the server plans them",
        Some(BlocksSource::Fallback) | None => "assumed or given",
    };
    let basis = match &resolved.calibrated_on {
        Some(on) if resolved.basis == Basis::Calibrated => format!("calibrated on {}", on.label()),
        _ => basis_name(resolved.basis).to_owned(),
    };
    tell_line(format_args!("note: the prediction is {basis}; {blocks} KV blocks {source}"));
}

/// The basis in a word or two.
pub fn basis_name(basis: Basis) -> &'static str {
    match basis {
        Basis::Calibrated => "from coefficients given by you",
        Basis::Trained => "from coefficients trained for this deployment",
        Basis::Analytical => "analytical",
        Basis::Extrapolated => "analytical and extrapolated",
    }
}

/// The verdict in a word.
pub fn verdict_name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Stable => "stable",
        Verdict::Undecided => "undecided",
        Verdict::Backlogged => "backlogged",
        Verdict::Overloaded => "overloaded",
    }
}

/// The machine-readable result of `run` and `curve`, with the versions that make it reproducible.
#[derive(Serialize)]
pub struct Document<'a, T> {
    pub exporter: &'static str,
    pub package_version: &'static str,
    pub scenario_version: u32,
    pub model_version: u32,
    pub scenario: &'a Scenario,
    pub resolution: ResolutionJson<'a>,
    pub diagnostics: &'a [Diagnostic],
    #[serde(flatten)]
    pub result: T,
}

/// What the scenario resolved to.
#[derive(Serialize)]
pub struct ResolutionJson<'a> {
    model: &'a str,
    accelerator: &'a str,
    tensor_parallel_size: u32,
    basis: Basis,
    num_gpu_blocks: u32,
    max_model_len: u32,
    memory: Option<Value>,
    /// Whose rules the replicas follow, with what they are told.
    rules: Value,
    /// The release whose defaults and rules are in force; null under the rules of the reference.
    server_version: Option<String>,
    max_num_seqs: u32,
    max_num_batched_tokens: u32,
    filled_in: &'a [String],
    /// The engine settings that were left out, with what is in force in their place and whose default it is.
    defaults: Vec<Value>,
}

impl<'a, T: Serialize> Document<'a, T> {
    pub fn new(
        scenario: &'a Scenario,
        resolved: &'a ResolvedScenario,
        diagnostics: &'a [Diagnostic],
        result: T,
    ) -> Self {
        Self {
            exporter: "plimsoll",
            package_version: env!("CARGO_PKG_VERSION"),
            scenario_version: SCENARIO_VERSION,
            model_version: MODEL_VERSION,
            scenario,
            resolution: ResolutionJson {
                model: &resolved.model,
                accelerator: &resolved.accelerator,
                tensor_parallel_size: resolved.tensor_parallel_size,
                basis: resolved.basis,
                num_gpu_blocks: resolved.engine.num_blocks,
                max_model_len: resolved.engine.max_model_len,
                memory: resolved.ledger.as_ref().map(ledger_json),
                rules: rules_json(&resolved.engine.rules),
                server_version: resolved.server_version.map(|version| version.to_string()),
                max_num_seqs: resolved.engine.max_num_seqs,
                max_num_batched_tokens: resolved.engine.max_num_batched_tokens,
                filled_in: &resolved.filled_in,
                defaults: resolved
                    .defaults
                    .iter()
                    .map(|default| json!({"path": default.path, "value": default.value, "source": default.source}))
                    .collect(),
            },
            diagnostics,
            result,
        }
    }
}

/// Whose rules the replicas follow, with what they are told.
fn rules_json(rules: &Rules) -> Value {
    match rules {
        Rules::Reference => json!({"scheduling": "reference"}),
        Rules::VllmV1(rules) => json!({
            "scheduling": "vllm-v1",
            "batching": rules.batching,
            "scheduler_reserve_full_isl": rules.reserve_full_isl,
            "watermark": rules.watermark,
        }),
    }
}

/// Where the memory goes and where the blocks come from.
fn ledger_json(ledger: &Ledger) -> Value {
    match ledger {
        Ledger::Reference(ledger) => json!(ledger),
        Ledger::Server(ledger) => {
            let mut value = memory_json(&ledger.fit);
            let plan = ledger.fit.plan.as_ref().ok();
            for (name, figure) in [
                ("bytes_per_block", json!(ledger.fit.layout.block_bytes)),
                ("planned_blocks", json!(ledger.fit.planned_blocks())),
                ("kv_cache_tokens", json!(plan.map(|_| ledger.fit.printed_tokens))),
                ("max_concurrency", json!(plan.map(|plan| plan.max_concurrency))),
                ("row_blocks", json!(ledger.row_blocks)),
                ("blocks", json!(ledger.blocks)),
                ("source", json!(ledger.source)),
            ] {
                value[name] = figure;
            }
            value
        }
    }
}

/// Writes a value as JSON with a two-space indent and a final line break.
pub fn write_json(out: &mut impl Write, value: &impl Serialize) -> Result<(), Failure> {
    serde_json::to_writer_pretty(&mut *out, value).map_err(io::Error::from)?;
    writeln!(out)?;
    out.flush()?;
    Ok(())
}
