//! KV cache sizes that real servers logged at start, against ours.

use super::configs::{config_of, own_tables};
use super::report::{Bars, Options, Row};
use super::table::{Cells, judged, number, read, text};
use plimsoll_anatomy::{BesideConfig, anatomy_from_hf_config, footprint_from_hf_config, quantization_in_name};
use plimsoll_configs::catalog;
use plimsoll_core::catalog::AcceleratorSpec;
use plimsoll_core::diagnostic::Diagnostic;
use plimsoll_core::kv_plan::{KernelBlocks, KvDtype, KvLayout, KvSettings, MemoryQuestion, ModelMemory, SharedBy};
use plimsoll_core::scenario::ServerVersion;
use serde_json::{Value, json};
use std::path::Path;

/// The largest error of a size that a server logged, percent.
const LOGGED: f64 = 15.0;
/// The largest error of one worked out from other lines of a log, percent.
const DERIVED: f64 = 20.0;
/// The longest prompt of a server that took prompts in one go, where the table states none.
const USUAL_LENGTH: u32 = 32_768;

/// Computes every row of a table.
///
/// # Errors
/// A table that cannot be read.
pub fn rows(options: &Options) -> Result<(Vec<Row>, Bars), String> {
    let path = options.path.clone().unwrap_or_else(|| own_tables().join("kv_cache_size.csv"));
    let table = read(&path)?;
    let rows = judged(&table, options.worst.unwrap_or(LOGGED), |cells| row(cells, &path, options.worst));
    let limit = options.limit("15 % (logged) and 20 % (derived)");
    let bars = Bars { median: options.median.unwrap_or(4.0), exact: options.exact, limit };
    Ok((rows, bars))
}

fn row(cells: &Cells, table: &Path, worst: Option<f64>) -> Row {
    let cell = |column| text(cells, column);
    let name = format!(
        "{} on {} x {} at {} {} vLLM {} ({})",
        cell("model"),
        cell("tp"),
        cell("hardware"),
        cell("gpu_memory_utilization"),
        cell("kv_cache_dtype"),
        cell("vllm"),
        cell("kind"),
    );
    let limit = worst.unwrap_or(if cell("kind") == "derived" { DERIVED } else { LOGGED });
    let answer = computed(cells, table).and_then(|tokens| Ok((tokens, number::<f64>(cells, "logged_tokens")?)));
    match answer {
        Ok((Computed { tokens, bytes }, logged)) => {
            // The cache that the logged tokens take, by the bytes that ours do.
            let gib = (1.0 - logged / tokens as f64) * bytes as f64 / 1_073_741_824.0;
            Row {
                name,
                error: Some((tokens as f64 / logged - 1.0) * 100.0),
                limit,
                note: format!("{tokens} tokens, logged {logged}, {gib:+.2} GiB"),
                json: json!({ "tokens": tokens, "logged": logged, "gib": gib }),
            }
        }
        Err(reason) => Row { name, error: None, limit, note: reason, json: json!(null) },
    }
}

fn said(problems: Vec<Diagnostic>) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// What is computed of a row.
struct Computed {
    /// Tokens of the cache, as the release prints them.
    tokens: u64,
    /// Bytes of the cache on a rank.
    bytes: u64,
}

fn computed(cells: &Cells, table: &Path) -> Result<Computed, String> {
    let name = text(cells, "model");
    let config = with_own_quantization(config_of(name, text(cells, "config_folder"), table)?, name)?;
    let beside = BesideConfig { quantization: quantization_in_name(name), ..BesideConfig::default() };
    let anatomy = anatomy_from_hf_config(&config, beside).map_err(said)?.value;
    let footprint = footprint_from_hf_config(&config, beside).map_err(said)?.value;
    let ranks = number(cells, "tp")?;
    let accelerator = accelerator(cells)?;
    let version = text(cells, "vllm");
    let version = ServerVersion::parse(version).ok_or_else(|| format!("vllm is {version}"))?;
    let limits = version.known().limits(Some(&accelerator));
    let dtype = text(cells, "kv_cache_dtype");
    let mut question = MemoryQuestion {
        accelerator: &accelerator,
        utilization: number(cells, "gpu_memory_utilization")?,
        tensor_parallel_size: ranks,
        world_size: ranks,
        version,
        limits,
        max_model_len: 0,
        model: ModelMemory::of(&footprint, SharedBy::ranks(ranks)),
    };
    let settings = KvSettings {
        model_value_bytes: footprint.value_bytes,
        state_value_bytes: footprint.state_bytes,
        kv_cache_dtype: KvDtype::named(dtype).ok_or_else(|| format!("kv_cache_dtype is {dtype}"))?,
        kernel_blocks: KernelBlocks::of(accelerator.generation),
        ..KvSettings::new(ranks, anatomy.max_position_embeddings.unwrap_or(USUAL_LENGTH))
    };
    let layout = KvLayout::new(&footprint.all_caches(), settings).map_err(said)?;
    // A server that takes a prompt in one go is told a length that fits, so its largest batch fits too.
    let mut length = USUAL_LENGTH;
    loop {
        question.max_model_len = length;
        let num_blocks = layout.num_blocks(question.budget().available_bytes());
        let tokens = match version.prints_slots() {
            true => layout.slots(num_blocks),
            false => match layout.plan(num_blocks) {
                Ok(plan) => plan.tokens,
                Err(refusal) => return Err(refusal.diagnostic(settings.max_model_len).to_string()),
            },
        };
        if tokens >= u64::from(length) || length <= 1024 || version >= ServerVersion::new(8, 0) {
            let bytes = num_blocks.saturating_mul(layout.block_bytes);
            let is_any = tokens > 0;
            return is_any.then_some(Computed { tokens, bytes }).ok_or_else(|| "nothing is left for the cache".into());
        }
        length -= 512;
    }
}

/// The accelerator of a row; one that is not built in has the memory that the row states.
fn accelerator(cells: &Cells) -> Result<AcceleratorSpec, String> {
    let name = text(cells, "hardware");
    if let Some(known) = catalog().accelerator(name) {
        return Ok(known.clone());
    }
    let memory_gib = number(cells, "memory_gib_if_not_in_catalogue").map_err(|_| format!("{name} is not known"))?;
    let any = catalog().accelerator("H100").ok_or("H100 is built in")?;
    Ok(AcceleratorSpec { id: name.into(), memory_gib, driver_memory_gib: 0.0, ..any.clone() })
}

/// The config of a model that is published with its experts in 4 bits and all else as it was trained.
fn with_own_quantization(config: String, name: &str) -> Result<String, String> {
    if !name.to_ascii_lowercase().contains("kimi-k2.5") {
        return Ok(config);
    }
    let mut value: Value = serde_json::from_str(&config).map_err(|error| error.to_string())?;
    value["quantization_config"] = json!({
        "quant_method": "compressed-tensors",
        "format": "pack-quantized",
        "config_groups": { "group_0": {
            "targets": ["Linear"],
            "weights": { "num_bits": 4, "group_size": 32, "strategy": "group", "symmetric": true, "type": "int" },
        } },
        "ignore": ["lm_head", "re:.*self_attn.*", "re:.*shared_experts.*", "re:.*mlp\\.(gate|up|gate_up|down)_proj.*"],
    });
    Ok(value.to_string())
}
