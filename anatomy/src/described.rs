//! A model that was described: its anatomy, and what it takes of a server's memory.

use crate::config::FILE;
use crate::{BesideConfig, anatomy_of, hf_config_of_entry, quantization_of_entry};
use plimsoll_json::{Place, Value};
use plimsoll_scenario::anatomy::Anatomy;
use plimsoll_scenario::catalog::{Footprint, ModelSpec};
use plimsoll_scenario::diagnostic::{Checked, Diagnostic, Warned};
use plimsoll_scenario::kv_plan::{CacheHints, Pipeline};

/// The longest file that is read; configs of mixed precision have some million bytes.
const MAX_BYTES: usize = 64 << 20;

/// Bytes of a parameter of a vision tower, which quantizers leave alone.
const VISION_BYTES: u64 = 2;

/// The largest size that is believed.
const MAX_SIZE: f64 = 16_777_216.0;

/// Parts of a config whose keys do not concern its language model.
const OTHER_PARTS: [&str; 3] = ["vision_config", "audio_config", "quantization_config"];

/// A model whose config was read once, for every question about its memory.
#[derive(Debug, Clone, PartialEq)]
pub struct Described {
    /// Its layers and tensors.
    pub anatomy: Anatomy,
    hints: CacheHints,
    vision_bytes: u64,
}

impl Described {
    /// What it takes of a server's memory.
    #[must_use]
    pub fn footprint(&self) -> Footprint {
        Footprint::of(&self.anatomy, self.hints, self.vision_bytes)
    }

    /// The same, cut into pipeline stages.
    ///
    /// # Errors
    /// A number of stages that the layers do not make.
    pub fn pipeline(&self, stages: u32) -> Result<Pipeline, Vec<Diagnostic>> {
        Pipeline::of(&self.anatomy, self.hints, self.vision_bytes, stages)
    }
}

/// Reads the text of a `config.json` for [`describe_config`].
///
/// # Errors
/// A text that is no JSON object, with the place where that shows, or that is too long.
pub fn read_config(text: &str) -> Result<Value<'_>, Vec<Diagnostic>> {
    if text.len() > MAX_BYTES {
        let message = format!("the file has {} bytes", text.len());
        let hint = format!("at most {MAX_BYTES} bytes are read; a config.json has some thousand");
        return Err(vec![Diagnostic::error("file-too-large", FILE, message).with_hint(hint)]);
    }
    let hint = "paste the whole config.json of the model";
    let top = Value::read_python(text).map_err(|offset| {
        let path = Place::of_offset(text, offset).in_file(FILE);
        vec![Diagnostic::error("syntax", path, Value::refusal(text, offset)).with_hint(hint)]
    })?;
    if !matches!(top, Value::Map(_)) {
        return Err(vec![Diagnostic::error("invalid-value", FILE, "the text is not a JSON object").with_hint(hint)]);
    }
    Ok(top)
}

/// Describes the model of a config that was read.
///
/// # Errors
/// Those of [`anatomy_from_hf_config`](crate::anatomy_from_hf_config).
pub fn describe_config(top: &Value<'_>, beside: BesideConfig<'_>) -> Checked<Described> {
    let Warned { value: anatomy, diagnostics } = anatomy_of(top, beside)?;
    Ok(Warned { value: Described { anatomy, hints: hints(top), vision_bytes: vision_bytes(top) }, diagnostics })
}

/// Reads what a model takes of a server's memory from the text of its `config.json`.
///
/// # Errors
/// Those of [`anatomy_from_hf_config`](crate::anatomy_from_hf_config).
pub fn footprint_from_hf_config(text: &str, beside: BesideConfig<'_>) -> Checked<Footprint> {
    let Warned { value: described, diagnostics } = describe_config(&read_config(text)?, beside)?;
    Ok(Warned { value: described.footprint(), diagnostics })
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
