//! How a checkpoint stores its weights: widths, scales, and what its quantizer left alone.

mod methods;
mod regex;
mod rules;
mod scheme;
mod settings;

use super::BesideConfig;
use super::config::{Config, FILE};
use super::families::NOT_STORED;
pub(super) use methods::Plan;
use plimsoll_json::Value;
use plimsoll_scenario::anatomy::{Anatomy, Part, Tensor, WeightBytes};
use plimsoll_scenario::diagnostic::Diagnostic;

/// The file some quantizers write beside the config.
const QUANTIZATION_FILE: &str = "hf_quant_config.json";

/// Says of every tensor how it is stored.
pub(super) fn store(anatomy: &mut Anatomy, plan: Option<Plan>, config: &mut Config<'_>) {
    let bits = anatomy.dtype.bytes() * 8.0;
    let usual = WeightBytes { bits, scale_bytes: 0 };
    for tensor in anatomy.outside.iter_mut().chain(anatomy.layers.iter_mut().flat_map(|layer| &mut layer.tensors)) {
        tensor.stored = if tensor.name == NOT_STORED { WeightBytes { bits: 0.0, scale_bytes: 0 } } else { usual };
    }
    let Some(plan) = plan else { return };
    let mut num_converted = 0_u64;
    let mut apply = |layer: &str, tensor: &mut Tensor| {
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
            num_converted += 1;
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
    if plan.rules.is_exhausted() {
        let message = "the names of modules with wildcards take too long to compare";
        let hint = "name the modules as they are, or say how wide the weights are (`--quantization fp8`)";
        config.error("unknown-quantization", "quantization_config", message, hint);
    } else if num_converted == 0 {
        let why = match (plan.only_experts, plan.rules.usual) {
            (true, _) => "it converts routed experts alone, and this model has none",
            (false, Some(_)) => "every layer is left alone by a name",
            (false, None) => "its settings convert no layer",
        };
        let message = format!("the quantization changes nothing: {why}, so all weights are taken as {bits} bits wide");
        let hint = "say how wide the weights are (`--quantization fp8`, or the field quantization) if they are not";
        config.warn("quantization-without-effect", "quantization_config", message, hint);
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

/// What the person, the config or the file beside it says, in this order; none: nothing is quantized, or a problem with
/// it is told.
pub(super) fn plan(top: &Value<'_>, config: &mut Config<'_>, beside: BesideConfig<'_>) -> Option<Plan> {
    match planned(top, config, beside) {
        Ok(plan) => plan,
        Err(problems) => {
            config.problems.extend(problems);
            None
        }
    }
}

fn planned(top: &Value<'_>, config: &Config<'_>, beside: BesideConfig<'_>) -> methods::Read {
    if let Some(word) = beside.quantization {
        return methods::from_word(word);
    }
    // An explicit null or false says that there is none.
    let is_said = |value: &&Value<'_>| !matches!(value, Value::Null | Value::Bool(false));
    let own = ["quantization_config", "compression_config"]
        .into_iter()
        .find_map(|key| Some((key, top.get(key).filter(is_said).or_else(|| config.value(key).filter(is_said))?)));
    if let Some((key, own)) = own {
        return methods::from_config(own, &format!("{FILE}:{key}"));
    }
    match beside.quantization_file {
        Some(text) => {
            let file = Value::read_python(text).map_err(|offset| {
                let path = plimsoll_json::Place::of_offset(text, offset).in_file(QUANTIZATION_FILE);
                vec![
                    Diagnostic::error("syntax", path, Value::refusal(text, offset))
                        .with_hint("give the file as it stands"),
                ]
            })?;
            let inner = file.get("quantization").unwrap_or(&file);
            methods::from_producer_file(inner, &format!("{QUANTIZATION_FILE}:quantization"))
        }
        None => Ok(None),
    }
}
