//! What a model takes of a server's memory, from its config.

use crate::{
    BesideConfig, anatomy_from_hf_config, hf_config_of_entry, kv_layers_from_hf_config, quantization_of_entry,
};
use plimsoll_core::catalog::{Footprint, ModelSpec};
use plimsoll_core::diagnostic::{Checked, Diagnostic, Warned};

/// Bytes of a parameter of a vision tower, which quantizers leave alone.
const VISION_BYTES: u64 = 2;

/// Reads what a model takes of a server's memory from the text of its `config.json`.
///
/// # Errors
/// Those of [`anatomy_from_hf_config`] and [`kv_layers_from_hf_config`].
pub fn footprint_from_hf_config(text: &str, beside: BesideConfig<'_>) -> Checked<Footprint> {
    let Warned { value: anatomy, diagnostics } = anatomy_from_hf_config(text, beside)?;
    let kv = kv_layers_from_hf_config(text, &anatomy)?;
    let vision = kv.vision_parameters.saturating_mul(VISION_BYTES);
    Ok(Warned { value: Footprint::of(&anatomy, &kv.layers, vision, kv.value_bytes), diagnostics })
}

/// What a model whose architecture is known, but not its config, takes of a server's memory.
///
/// # Errors
/// Those of [`footprint_from_hf_config`].
pub fn footprint_of_entry(model: &ModelSpec) -> Result<Footprint, Vec<Diagnostic>> {
    let beside = BesideConfig { quantization: quantization_of_entry(model), ..BesideConfig::default() };
    Ok(footprint_from_hf_config(&hf_config_of_entry(model), beside)?.value)
}
