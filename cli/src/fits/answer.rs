//! The answer for programs; its shape is told in `docs/memory.md`.

use super::Model;
use super::ledger::as_flag;
use plimsoll_core::catalog::Part;
use plimsoll_core::diagnostic::Diagnostic;
use plimsoll_core::kv_plan::{Fit, KvDtype, MEASURED_SERVERS};
use plimsoll_core::time::truncate;
use serde_json::{Map, Value, json};

/// A whole number where it is one: bytes of a token may be none.
fn number(value: f64) -> Value {
    if value.fract() == 0.0 { bytes(value) } else { json!(value) }
}

/// Bytes, which are whole.
fn bytes(value: f64) -> Value {
    json!(u64::try_from(truncate(value.max(0.0))).unwrap_or(0))
}

/// What the model is made of, whatever a server makes of it.
fn of_model(model: &Model, value_bytes: u32) -> Map<String, Value> {
    let anatomy = &model.anatomy;
    let fields = json!({
        "model": model.name,
        "parameters": anatomy.parameters(),
        "active_parameters": anatomy.active_parameters(),
        "weight_bytes": model.checkpoint_bytes.unwrap_or(anatomy.weight_bytes()),
        "vision_bytes": model.footprint.bytes_of(Part::Vision),
        "kv_bytes_per_token": number(anatomy.kv_bytes_per_token(value_bytes)),
        "fixed_state_bytes_per_sequence": anatomy.fixed_state_bytes(value_bytes),
    });
    match fields {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

/// The answer.
pub fn as_json(model: &Model, fit: &Fit) -> Value {
    let settings = &fit.settings;
    let plan = fit.plan.as_ref().ok();
    let groups: Vec<Value> = fit
        .layout
        .groups
        .iter()
        .map(|group| {
            let layers = group.layers.iter().map(|layers| {
                json!({
                    "kind": layers.kind.label(),
                    "num_layers": layers.num_layers,
                    "block_size": layers.block_size,
                    "page_bytes": layers.page_bytes,
                })
            });
            Value::Array(layers.collect())
        })
        .collect();
    let fields = json!({
        "hardware": fit.accelerator,
        "tensor_parallel_size": settings.tensor_parallel_size,
        "pipeline_parallel_size": fit.stage.1,
        "tightest_stage": fit.stage.0,
        "decode_context_parallel_size": settings.decode_context_parallel_size,
        "vllm_version": fit.version.to_string(),
        "max_model_len": settings.max_model_len,
        "max_num_batched_tokens": fit.limits.max_num_batched_tokens,
        "max_num_seqs": fit.limits.max_num_seqs,
        "fits": fit.starts(),
        "refusal": fit.refusal(),
        "advice": fit.advice().into_iter().map(as_flag).collect::<Vec<_>>(),
        "kv_cache_tokens": plan.map(|_| fit.printed_tokens),
        "max_concurrency": plan.map(|plan| plan.max_concurrency),
        "uncertainty": uncertainty(fit),
        "smallest_tensor_parallel_size": fit.smallest_tensor_parallel_size,
        "longest_context": fit.longest,
        "num_gpu_blocks": fit.num_blocks,
        "blocks_per_request": fit.layout.blocks_per_request(settings.max_model_len),
        "bytes_per_block": fit.layout.block_bytes,
        "groups": groups,
        "memory": memory_json(fit),
        "notes": fit.notes(),
    });
    let mut all = of_model(model, settings.kv_cache_dtype.bytes(settings.model_value_bytes));
    if let Value::Object(fields) = fields {
        all.extend(fields);
    }
    Value::Object(all)
}

/// How far off cache and tokens may be; null where the cache is told.
fn uncertainty(fit: &Fit) -> Value {
    let Some(band) = &fit.band else { return Value::Null };
    let [usual, widest] = band.ratios(fit.available_bytes);
    json!({
        "usual_bytes": bytes(band.usual_bytes),
        "widest_bytes": bytes(band.widest_bytes),
        "usual_ratio": usual,
        "widest_ratio": widest,
        "measured_servers": MEASURED_SERVERS,
    })
}

/// What the model is made of is known, whatever a server makes of it.
pub fn unplanned_json(model: &Model, kv_cache_dtype: KvDtype, problems: &[Diagnostic]) -> Value {
    let mut all = of_model(model, kv_cache_dtype.bytes(model.footprint.value_bytes));
    let messages: Vec<&str> = problems.iter().map(|problem| problem.message.as_str()).collect();
    let fields = json!({
        "fits": false,
        "refusal": messages.join("; "),
        "advice": problems.iter().map(|problem| problem.hint.as_str()).collect::<Vec<_>>(),
        "kv_cache_tokens": null,
        "max_concurrency": null,
        "uncertainty": null,
        "smallest_tensor_parallel_size": null,
        "problems": messages,
    });
    if let Value::Object(fields) = fields {
        all.extend(fields);
    }
    Value::Object(all)
}

/// Where the memory of a rank goes, bytes.
pub fn memory_json(fit: &Fit) -> Value {
    let budget = &fit.budget;
    let weights = fit.weights.iter().map(|(part, bytes)| (part.label().replace(' ', "_"), json!(bytes)));
    let [experts, latent, vision] = budget.buffer_bytes.map(bytes);
    json!({
        "driver_bytes": bytes(budget.total_bytes),
        "driver_bytes_source": fit.memory_source,
        "gpu_memory_utilization": fit.utilization,
        "requested_bytes": bytes(budget.requested_bytes),
        "rank_weight_bytes": bytes(budget.weight_bytes),
        "rank_weights": weights.collect::<Map<String, Value>>(),
        "activation_bytes": bytes(budget.activation_bytes),
        "workspace_bytes": bytes(budget.workspace_bytes()),
        "workspace": { "experts": experts, "latent_attention": latent, "vision_tower": vision },
        // No figure of its own: see the notes of `docs/memory.md`.
        "graph_bytes": null,
        "other_bytes": bytes(budget.other_bytes()),
        "kv_cache_bytes": fit.available_bytes,
    })
}
