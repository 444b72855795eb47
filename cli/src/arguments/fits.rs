//! `plimsoll fits`.

use super::{LogLevel, bytes};
use clap::Args;
use std::path::PathBuf;

/// The longest sequence of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MaxModelLen {
    /// The longest that fits.
    Auto,
    /// So many tokens.
    Tokens(u32),
}

/// A length as vLLM reads it: `8192`, `128k` (thousands), `128K` (of 1,024), `-1` and `auto`.
fn max_model_len(text: &str) -> Result<MaxModelLen, String> {
    if matches!(text, "-1" | "auto") {
        return Ok(MaxModelLen::Auto);
    }
    let (digits, unit) = match text.strip_suffix(['k', 'K', 'm', 'M']) {
        Some(digits) => match text.as_bytes().last() {
            Some(b'k') => (digits, 1e3),
            Some(b'K') => (digits, 1024.0),
            Some(b'm') => (digits, 1e6),
            _ => (digits, 1_048_576.0),
        },
        None => (text, 1.0),
    };
    let number = digits.parse::<f64>().ok().map(|number| number * unit).filter(|number| (1.0..=1e9).contains(number));
    let tokens = number.filter(|number| number.fract() == 0.0);
    let tokens = tokens.and_then(|tokens| u32::try_from(plimsoll_core::time::truncate(tokens)).ok());
    tokens.map(MaxModelLen::Tokens).ok_or_else(|| "give a number of tokens, e.g. 8192 or 128k, or auto".to_owned())
}

#[derive(Debug, Clone, Args)]
pub struct FitsArguments {
    /// Id of a model of the catalogue, or a config.json, or a folder with one [the one that --serve names].
    #[arg(value_name = "MODEL", required_unless_present_any = ["serve", "model_config_folder"])]
    pub model: Option<String>,
    /// Accelerator of each rank, under any name that people type or tools print.
    #[arg(long, alias = "accelerator", value_name = "ID")]
    pub hardware: String,
    /// The server as it is started: a `vllm serve …` line, a docker command or a container's args; `@FILE` or `-` reads it
    /// from a file or standard input. Other flags win over it.
    #[arg(long, value_name = "LINE", allow_hyphen_values = true)]
    pub serve: Option<String>,
    /// Folder with the model's config.json; MODEL is then its name.
    #[arg(long, value_name = "FOLDER")]
    pub model_config_folder: Option<PathBuf>,
    /// Accelerators that the model is split over [1].
    #[arg(long, alias = "tensor-parallel-size", value_name = "N")]
    pub tp: Option<u32>,
    /// Pipeline stages that the layers are cut into [1].
    #[arg(long, alias = "pipeline-parallel-size", value_name = "N")]
    pub pp: Option<u32>,
    /// Replicas with a cache each, which share the experts [1].
    #[arg(long, alias = "data-parallel-size", value_name = "N")]
    pub dp: Option<u32>,
    /// Ranks have whole experts, not their part of each.
    #[arg(long)]
    pub enable_expert_parallel: bool,
    /// Ranks that split the tokens of the cache [1].
    #[arg(long, alias = "dcp", value_name = "N")]
    pub decode_context_parallel_size: Option<u32>,
    /// Longest sequence, tokens; -1 or auto for the longest that fits [what the model is made for].
    #[arg(long, value_name = "N", value_parser = max_model_len, allow_hyphen_values = true)]
    pub max_model_len: Option<MaxModelLen>,
    /// Take a longer sequence than the model is made for, as VLLM_ALLOW_LONG_MAX_MODEL_LEN=1 does.
    #[arg(long)]
    pub allow_long_max_model_len: bool,
    /// Release of vLLM [the newest that is known].
    #[arg(long, value_name = "V")]
    pub vllm_version: Option<String>,
    /// How the weights are stored, e.g. fp8, int4, mxfp4 [what the config says].
    #[arg(long, value_name = "SCHEME")]
    pub quantization: Option<String>,
    /// Type of values that no quantizer has touched: auto, half, float16, bfloat16, float, float32 [auto, 16 bits].
    #[arg(long, value_name = "TYPE")]
    pub dtype: Option<String>,
    /// Type of cached keys and values [auto].
    #[arg(long, value_name = "TYPE")]
    pub kv_cache_dtype: Option<String>,
    /// Type of the recurrent part of states: auto, float16, bfloat16, float32 [what the model says].
    #[arg(long, value_name = "TYPE")]
    pub mamba_ssm_cache_dtype: Option<String>,
    /// Share of the memory that the server may use [0.92, before release 0.20 0.9].
    #[arg(long, value_name = "SHARE")]
    pub gpu_memory_utilization: Option<f64>,
    /// Tokens of a block [what the kernels take].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub block_size: Option<u32>,
    /// Tokens of the largest batch [by accelerator and release].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=16_777_216))]
    pub max_num_batched_tokens: Option<u32>,
    /// Sequences of the largest batch [by accelerator and release].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=16_777_216))]
    pub max_num_seqs: Option<u32>,
    /// Blocks, whatever the memory.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub num_gpu_blocks_override: Option<u64>,
    /// Bytes of the cache on each rank, whatever is left; also like 20G (20 · 2³⁰).
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    pub kv_cache_memory_bytes: Option<u64>,
    /// Prefixes are not kept for later requests.
    #[arg(long)]
    pub no_enable_prefix_caching: bool,
    /// The next batch is not scheduled before the last one is done.
    #[arg(long)]
    pub no_async_scheduling: bool,
    /// Layers with a window or chunks keep all tokens.
    #[arg(long)]
    pub disable_hybrid_kv_cache_manager: bool,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
    /// What is told on standard error.
    #[arg(long, value_enum, default_value_t = LogLevel::Warn)]
    pub log: LogLevel,
    /// Whether a line asks for twice the default limits.
    #[arg(skip)]
    pub doubles_limits: bool,
    /// Whether a line asks for prompts in one go.
    #[arg(skip)]
    pub takes_whole_prompts: bool,
    /// What a line makes of the weights while it loads them.
    #[arg(skip)]
    pub quantized_while_loading: Option<&'static str>,
}
