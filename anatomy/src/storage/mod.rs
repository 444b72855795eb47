//! How a checkpoint stores its weights: widths, scales, and what its quantizer left alone.

mod methods;
mod regex;
mod rules;
mod scheme;

use super::BesideConfig;
use super::config::{Config, FILE};
use super::families::NOT_STORED;
use methods::Plan;
use plimsoll_json::Value;
use plimsoll_scenario::anatomy::{Anatomy, Part, Tensor, WeightBytes};
use plimsoll_scenario::diagnostic::Diagnostic;

/// The file some quantizers write beside the config.
const QUANTIZATION_FILE: &str = "hf_quant_config.json";

/// Says of every tensor how it is stored.
pub(super) fn store(anatomy: &mut Anatomy, top: &Value<'_>, config: &mut Config<'_>, beside: BesideConfig<'_>) {
    let bits = anatomy.dtype.bytes() * 8.0;
    let usual = WeightBytes { bits, scale_bytes: 0 };
    for tensor in anatomy.outside.iter_mut().chain(anatomy.layers.iter_mut().flat_map(|layer| &mut layer.tensors)) {
        tensor.stored = if tensor.name == NOT_STORED { WeightBytes { bits: 0.0, scale_bytes: 0 } } else { usual };
    }
    let plan = match plan(top, config, beside) {
        Ok(Some(plan)) => plan,
        Ok(None) => return,
        Err(problem) => return config.problems.push(problem),
    };
    let apply = |layer: &str, tensor: &mut Tensor| {
        if !tensor.is_linear || tensor.name == NOT_STORED || plan.only_experts && tensor.part != Part::RoutedExperts {
            return;
        }
        if tensor.part == Part::Head && !plan.converts_head {
            return;
        }
        let (scheme, left_out) = plan.rules.of(layer, tensor);
        if let Some(scheme) = scheme {
            tensor.stored = scheme.store(tensor);
            if left_out > 0 {
                tensor.stored = mixed(tensor, left_out, bits);
            }
        }
    };
    for tensor in &mut anatomy.outside {
        apply("", tensor);
    }
    for (number, layer) in anatomy.layers.iter_mut().enumerate() {
        let before = format!("layers.{number}.");
        for tensor in &mut layer.tensors {
            apply(&before, tensor);
        }
    }
}

/// A tensor of which some copies stay as they are: the average width.
#[expect(clippy::cast_precision_loss, reason = "counts of experts")]
fn mixed(tensor: &Tensor, left_out: u64, bits: f64) -> WeightBytes {
    let share = left_out as f64 / tensor.copies.max(1) as f64;
    let per_copy = tensor.stored.scale_bytes.checked_div(tensor.copies).unwrap_or(0);
    WeightBytes {
        bits: share * bits + (1.0 - share) * tensor.stored.bits,
        scale_bytes: per_copy.saturating_mul(tensor.copies.saturating_sub(left_out)),
    }
}

/// What the person, the config or the file beside it says, in this order; none: nothing is quantized.
fn plan(top: &Value<'_>, config: &Config<'_>, beside: BesideConfig<'_>) -> Result<Option<Plan>, Diagnostic> {
    if let Some(word) = beside.quantization {
        return methods::from_word(word);
    }
    let is_map = |value: &&Value<'_>| matches!(value, Value::Map(_));
    let own = ["quantization_config", "compression_config"]
        .into_iter()
        .find_map(|key| top.get(key).filter(is_map).or_else(|| config.value(key).filter(is_map)));
    if let Some(own) = own {
        return methods::from_config(own, &format!("{FILE}:quantization_config"));
    }
    match beside.quantization_file {
        Some(text) => {
            let file = Value::read_python(text).map_err(|offset| {
                let path = plimsoll_json::Place::of_offset(text, offset).in_file(QUANTIZATION_FILE);
                Diagnostic::error("syntax", path, "not valid JSON").with_hint("give the file as it stands")
            })?;
            let inner = file.get("quantization").unwrap_or(&file);
            methods::from_producer_file(inner, &format!("{QUANTIZATION_FILE}:quantization"))
        }
        None => Ok(None),
    }
}
