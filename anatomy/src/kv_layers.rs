//! What a `config.json` says of caches and towers beside the layers of its language model.

use plimsoll_core::anatomy::Anatomy;
use plimsoll_core::diagnostic::Diagnostic;
use plimsoll_core::kv_plan::{CacheHints, KvLayer};
use plimsoll_json::Value;

/// What a server keeps and loads of a model beside the tensors of its anatomy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvModel {
    /// One per cache, in the order of the layers.
    pub layers: Vec<KvLayer>,
    /// Bytes of a value of the model's own type; servers read 32-bit checkpoints as 16-bit values.
    pub value_bytes: u32,
    /// Parameters of a vision tower, about; 0 without one.
    pub vision_parameters: u64,
}

/// The largest size that is believed.
const MAX_SIZE: f64 = 16_777_216.0;

/// Parts of a config whose keys do not concern its language model.
const OTHER_PARTS: [&str; 3] = ["vision_config", "audio_config", "quantization_config"];

/// The caches of a model's layers as vLLM has them, from its anatomy and the text of its `config.json`.
///
/// # Errors
/// Families whose caches are not described.
pub fn kv_layers_from_hf_config(text: &str, anatomy: &Anatomy) -> Result<KvModel, Vec<Diagnostic>> {
    // Whoever has the anatomy has read the text before.
    let top = Value::read_python(text).unwrap_or(Value::Null);
    let ssm_type = ["mamba_ssm_cache_dtype", "mamba_ssm_dtype"].into_iter().find_map(|key| stated(&top, key));
    let state_bytes = match ssm_type {
        Some(Value::Text(name)) if **name == *"float32" => Some(4),
        Some(Value::Text(_)) => Some(2),
        _ => None,
    };
    let qk_nope_head_dim = stated(&top, "qk_nope_head_dim").and_then(number).unwrap_or(0);
    let hints = CacheHints { state_bytes, qk_nope_head_dim };
    let layers = KvLayer::all_of(anatomy, hints)?;
    let vision_parameters = top.get("vision_config").map_or(0, vision_parameters);
    Ok(KvModel { layers, value_bytes: 2, vision_parameters })
}

/// A value at the top of a config or in one of its parts.
fn stated<'v>(top: &'v Value<'v>, key: &str) -> Option<&'v Value<'v>> {
    let Value::Map(entries) = top else { return None };
    top.get(key).or_else(|| {
        let mut parts = entries.iter().filter(|(name, _)| !OTHER_PARTS.contains(&&**name));
        parts.find_map(|(_, part)| part.get(key))
    })
}

/// Parameters of a vision tower: four square matrices of attention and three of a feed-forward layer, as many as the
/// two of most towers and what joins them to the language model.
fn vision_parameters(config: &Value<'_>) -> u64 {
    let first = |keys: &[&str]| keys.iter().find_map(|key| number(config.get(key)?)).map_or(0, u64::from);
    let hidden = first(&["hidden_size", "vt_hidden_size", "embed_dim", "width"]);
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
