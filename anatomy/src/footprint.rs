//! What a model takes of a server's memory, from its config.

use crate::{BesideConfig, anatomy_from_hf_config, hf_config_of_entry, quantization_of_entry};
use plimsoll_json::Value;
use plimsoll_scenario::catalog::{Footprint, ModelSpec};
use plimsoll_scenario::diagnostic::{Checked, Diagnostic, Warned};
use plimsoll_scenario::kv_plan::{CacheHints, Pipeline};

/// Bytes of a parameter of a vision tower, which quantizers leave alone.
const VISION_BYTES: u64 = 2;

/// The largest size that is believed.
const MAX_SIZE: f64 = 16_777_216.0;

/// Parts of a config whose keys do not concern its language model.
const OTHER_PARTS: [&str; 3] = ["vision_config", "audio_config", "quantization_config"];

/// Reads what a model takes of a server's memory from the text of its `config.json`.
///
/// # Errors
/// Those of [`anatomy_from_hf_config`].
pub fn footprint_from_hf_config(text: &str, beside: BesideConfig<'_>) -> Checked<Footprint> {
    let Warned { value: anatomy, diagnostics } = anatomy_from_hf_config(text, beside)?;
    // Whoever has the anatomy has read the text before.
    let top = Value::read_python(text).unwrap_or(Value::Null);
    let vision = vision_bytes(&top);
    Ok(Warned { value: Footprint::of(&anatomy, hints(&top), vision), diagnostics })
}

/// Cuts a model into pipeline stages, from the text of its `config.json`.
///
/// # Errors
/// Those of [`anatomy_from_hf_config`], and a number of stages that the layers do not make.
pub fn pipeline_from_hf_config(text: &str, beside: BesideConfig<'_>, stages: u32) -> Checked<Pipeline> {
    let Warned { value: anatomy, diagnostics } = anatomy_from_hf_config(text, beside)?;
    let top = Value::read_python(text).unwrap_or(Value::Null);
    let vision = vision_bytes(&top);
    Ok(Warned { value: Pipeline::of(&anatomy, hints(&top), vision, stages)?, diagnostics })
}

/// What a model whose architecture is known, but not its config, takes of a server's memory.
///
/// # Errors
/// Those of [`footprint_from_hf_config`].
pub fn footprint_of_entry(model: &ModelSpec) -> Result<Footprint, Vec<Diagnostic>> {
    let beside = BesideConfig { quantization: quantization_of_entry(model), ..BesideConfig::default() };
    Ok(footprint_from_hf_config(&hf_config_of_entry(model), beside)?.value)
}

/// What a config says of caches beside the layers of its language model.
fn hints(top: &Value<'_>) -> CacheHints {
    let ssm_type = ["mamba_ssm_cache_dtype", "mamba_ssm_dtype"].into_iter().find_map(|key| stated(top, key));
    let state_bytes = match ssm_type {
        Some(Value::Text(name)) if **name == *"float32" => Some(4),
        Some(Value::Text(_)) => Some(2),
        _ => None,
    };
    CacheHints { state_bytes, qk_nope_head_dim: stated(top, "qk_nope_head_dim").and_then(number).unwrap_or(0) }
}

/// A value at the top of a config or in one of its parts.
fn stated<'v>(top: &'v Value<'v>, key: &str) -> Option<&'v Value<'v>> {
    let Value::Map(entries) = top else { return None };
    top.get(key).or_else(|| {
        let mut parts = entries.iter().filter(|(name, _)| !OTHER_PARTS.contains(&&**name));
        parts.find_map(|(_, part)| part.get(key))
    })
}

/// Bytes of the vision tower of a config, also of one that lies in the part that thinks; 0 without one.
fn vision_bytes(top: &Value<'_>) -> u64 {
    let tower = top.get("vision_config").or_else(|| top.get("thinker_config")?.get("vision_config"));
    tower.map_or(0, vision_parameters).saturating_mul(VISION_BYTES)
}

/// Parameters of a vision tower: four square matrices of attention and three of a feed-forward layer, as many as the
/// two of most towers and what joins them to the language model.
fn vision_parameters(config: &Value<'_>) -> u64 {
    let first = |keys: &[&str]| keys.iter().find_map(|key| number(config.get(key)?)).map_or(0, u64::from);
    // Where both are there (Qwen2-VL) `hidden_size` is that of the language model.
    let hidden = first(&["embed_dim", "hidden_size", "vt_hidden_size", "width"]);
    let inner = first(&["intermediate_size", "vt_intermediate_size"]);
    let layers = first(&["num_hidden_layers", "depth", "vt_num_hidden_layers", "layers"]);
    let inner = if inner > 0 { inner } else { hidden.saturating_mul(4) };
    let layer = hidden.saturating_mul(hidden.saturating_mul(4).saturating_add(inner.saturating_mul(3)));
    layer.saturating_mul(layers)
}

/// A whole number within reason.
fn number(value: &Value<'_>) -> Option<u32> {
    match value {
        Value::Whole(number) => u32::try_from(*number).ok(),
        Value::Number(number) if number.fract() == 0.0 && (0.0..=MAX_SIZE).contains(number) => Some(*number as u32),
        _ => None,
    }
}
