//! The keys of a config in the form that serde has.

use plimsoll_json::Value as Config;
use serde_json::{Map, Value};

/// Objects of a config that hold its text part.
const TEXT_PARTS: [&str; 4] = ["thinker_config", "text_config", "llm_config", "language_config"];

/// What is asked of a quantizer's settings; the others may name every module of a model.
const OF_QUANTIZERS: [&str; 3] = ["bits", "quant_method", "config_groups"];

/// The config with the keys of its text part at the top.
pub(crate) fn flattened(top: &Config<'_>) -> Map<String, Value> {
    let mut fields = Map::new();
    let mut of_text = Vec::new();
    let Config::Map(entries) = top else { return fields };
    for (name, value) in entries {
        match &**name {
            part if TEXT_PARTS.contains(&part) && matches!(value, Config::Map(_)) => of_text.push((part, value)),
            "quantization_config" => {
                let asked = OF_QUANTIZERS.iter().filter_map(|key| Some(((*key).to_owned(), owned(value.get(key)?))));
                fields.insert(name.to_string(), Value::Object(asked.collect()));
            }
            _ => {
                fields.insert(name.to_string(), owned(value));
            }
        }
    }
    // The inner ones override the outer ones.
    of_text.sort_by_key(|(part, _)| TEXT_PARTS.iter().position(|known| known == part));
    for (_, part) in of_text {
        fields.extend(flattened(part));
    }
    fields
}

/// The same value in the library's form; infinities, which it lacks, become the words that stand for them.
fn owned(value: &Config<'_>) -> Value {
    match value {
        Config::Null => Value::Null,
        Config::Bool(value) => Value::Bool(*value),
        Config::Number(number) if number.is_nan() => Value::from("NaN"),
        Config::Number(number) if number.is_infinite() => {
            Value::from(if *number > 0.0 { "Infinity" } else { "-Infinity" })
        }
        Config::Number(number) => Value::from(*number),
        Config::Whole(number) => Value::from(*number),
        Config::Text(text) => Value::from(&**text),
        Config::List(values) => Value::Array(values.iter().map(owned).collect()),
        Config::Map(entries) => {
            Value::Object(entries.iter().map(|(name, value)| (name.to_string(), owned(value))).collect())
        }
    }
}
