//! `--serve`: the arguments as the line states them that a server is started by.

use crate::arguments::{FitsArguments, LogLevel, MaxModelLen};
use crate::output::{Failure, tell, tell_line};
use crate::serve;
use plimsoll_core::diagnostic::Diagnostic;
use plimsoll_formats::{ServeLine, ServerRelease, serve_line};
use serde_json::Value;

/// What places in the line are told by.
const NAME: &str = "--serve";

/// Flags that move memory in a way that is not planned here.
const NOT_PLANNED: [&str; 9] = [
    "--cpu-offload-gb",
    "--enforce-eager",
    "--cudagraph-capture-sizes",
    "--max-cudagraph-capture-size",
    "--compilation-config",
    "--speculative-config",
    "--spec-model",
    "--enable-lora",
    "--mamba-cache-dtype",
];

/// The arguments with those of the line where no flag says otherwise; tells what was understood of it.
///
/// No part of the line itself is shown: it may hold secrets.
pub fn with_line(arguments: &FitsArguments) -> Result<FitsArguments, Failure> {
    let mut merged = arguments.clone();
    let Some(given) = arguments.serve.as_deref() else { return Ok(merged) };
    let text = serve::text(given)?;
    let release = ServerRelease { stated: arguments.vllm_version.as_deref(), otherwise: None };
    let read = serve_line(&text, NAME, release).map_err(|problems| {
        tell(&problems, None, arguments.log);
        Failure::Invalid
    })?;
    let line = read.value;
    // What is not modelled of speed does not concern memory, and what concerns it is told below.
    let concerns = |found: &&Diagnostic| {
        !(found.code == "data-parallel-as-replicas"
            || matches!(found.code.as_str(), "flags-not-modelled" | "flags-not-known")
                && found.severity == plimsoll_core::diagnostic::Severity::Note)
    };
    let told: Vec<Diagnostic> = read.diagnostics.iter().filter(concerns).cloned().collect();
    tell(&told, None, arguments.log);
    take(&mut merged, &line);
    if merged.model.is_none() && merged.model_config_folder.is_none() {
        let problem = Diagnostic::error("missing-value", NAME, "the line names no model");
        tell_line(problem.with_hint("give MODEL, or --model-config-folder"));
        return Err(Failure::Invalid);
    }
    if arguments.log <= LogLevel::Warn {
        tell_line(format_args!("note: {NAME} says {}", serve::understood(&line)));
        let left: Vec<&str> =
            line.not_modelled.iter().map(String::as_str).filter(|name| NOT_PLANNED.contains(name)).collect();
        if !left.is_empty() {
            tell_line(format_args!("note: the memory is planned without {}", left.join(", ")));
        }
        if line.changes.iter().any(|change| change.path == "engine.use_v1" && change.value == false) {
            tell_line("note: the line asks for the V0 engine, and the memory is that of V1");
        }
    }
    Ok(merged)
}

/// Takes what no flag says.
fn take(merged: &mut FitsArguments, line: &ServeLine) {
    for change in &line.changes {
        let value = &change.value;
        let text = || value.as_str().map(str::to_owned);
        match change.path {
            "deployment.model" => fill(&mut merged.model, text()),
            "deployment.server_version" => fill(&mut merged.vllm_version, text()),
            "deployment.tensor_parallel_size" => fill(&mut merged.tp, count(value)),
            "cluster.num_replicas" => fill(&mut merged.dp, count(value)),
            "engine.pipeline_parallel_size" => fill(&mut merged.pp, count(value)),
            "engine.enable_expert_parallel" => merged.enable_expert_parallel |= *value == true,
            "engine.max_model_len" => {
                let length =
                    if value.is_null() { Some(MaxModelLen::Auto) } else { count(value).map(MaxModelLen::Tokens) };
                fill(&mut merged.max_model_len, length);
            }
            "engine.allow_long_max_model_len" => merged.allow_long_max_model_len |= *value == true,
            "engine.kv_cache_dtype" => fill(&mut merged.kv_cache_dtype, text()),
            "engine.gpu_memory_utilization" => fill(&mut merged.gpu_memory_utilization, value.as_f64()),
            "engine.block_size" => fill(&mut merged.block_size, count(value)),
            "engine.max_num_batched_tokens" => fill(&mut merged.max_num_batched_tokens, count(value)),
            "engine.max_num_seqs" => fill(&mut merged.max_num_seqs, count(value)),
            // Whoever tells one of them by a flag does not mean the other of the line.
            "engine.num_gpu_blocks" if merged.kv_cache_memory_bytes.is_none() => {
                fill(&mut merged.num_gpu_blocks_override, value.as_u64());
            }
            "engine.kv_cache_memory_bytes" if merged.num_gpu_blocks_override.is_none() => {
                fill(&mut merged.kv_cache_memory_bytes, value.as_u64());
            }
            "engine.enable_prefix_caching" => merged.no_enable_prefix_caching |= *value == false,
            "engine.async_scheduling" => merged.no_async_scheduling |= *value == false,
            "engine.enable_chunked_prefill" => merged.takes_whole_prompts |= *value == false,
            "engine.performance_mode" => merged.doubles_limits |= *value == "throughput",
            _ => {}
        }
    }
    for (flag, value) in &line.of_memory {
        let text = || value.as_str().map(str::to_owned);
        match flag.as_str() {
            "--decode-context-parallel-size" => fill(&mut merged.decode_context_parallel_size, count(value)),
            "--disable-hybrid-kv-cache-manager" => merged.disable_hybrid_kv_cache_manager |= *value == true,
            "--dtype" => fill(&mut merged.dtype, text()),
            "--mamba-ssm-cache-dtype" => fill(&mut merged.mamba_ssm_cache_dtype, text()),
            _ => {}
        }
    }
    merged.quantized_while_loading = match line.quantization() {
        Some("fp8" | "ptpc_fp8") => Some("fp8"),
        Some("bitsandbytes") => Some("int4"),
        _ => None,
    };
}

fn fill<T>(field: &mut Option<T>, value: Option<T>) {
    if field.is_none() {
        *field = value;
    }
}

fn count(value: &Value) -> Option<u32> {
    value.as_u64().and_then(|count| u32::try_from(count).ok())
}
