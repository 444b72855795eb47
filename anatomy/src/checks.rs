//! What cannot be, whatever the family, told before anything is put together.

use super::config::{Config, brief};
use plimsoll_json::Value;

/// Keys whose lists have a value for each layer.
const PER_LAYER: [&str; 12] = [
    "mlp_layer_types",
    "indexer_types",
    "moe_layer_freq",
    "hybrid_layer_pattern",
    "attn_type_list",
    "compress_ratios",
    "ffn_multipliers",
    "block_configs",
    "num_attention_heads",
    "num_key_value_heads",
    "num_attention_heads_per_layer",
    "intermediate_size",
];

/// Why a value stands nowhere in the file.
const ASSUMED: &str = " by the defaults of its class";

/// Tells every size that contradicts another one.
pub(super) fn check(config: &mut Config<'_>, model_type: &str, layers: Option<u32>) {
    if let (Some(heads), true) = (config.count("num_attention_heads"), config.states("num_key_value_heads"))
        && let Some(kv_heads) = config.count("num_key_value_heads")
    {
        check_heads(config, heads, kv_heads);
    }
    if let (Some(experts), Some(active)) = (config.count("num_experts"), config.count("num_experts_per_tok"))
        && experts > 0
    {
        check_experts(config, experts, active);
    }
    let Some(layers) = layers else { return };
    for key in PER_LAYER {
        if let Some(length) = config.list(key).map(<[_]>::len).filter(|length| *length > 0) {
            check_length(config, model_type, key, length, layers);
        }
    }
}

/// Tells KV heads that cannot be shared by the query heads.
pub(super) fn check_heads(config: &mut Config<'_>, heads: u32, kv_heads: u32) {
    if heads == 0 || kv_heads > 0 && heads.is_multiple_of(kv_heads) {
        return;
    }
    let [key, of] = ["num_key_value_heads", "num_attention_heads"].map(|key| config.name_of(key));
    let assumed = if config.states("num_key_value_heads") { "" } else { ASSUMED };
    let message = match kv_heads {
        0 => format!("{key} is 0"),
        _ if kv_heads > heads => format!("{key} is {kv_heads}{assumed}, more than the {heads} of {of}"),
        _ => format!("{key} is {kv_heads}{assumed}, which does not divide the {heads} of {of}"),
    };
    let hint = format!("give a number from 1 to {heads} that divides {heads}");
    config.error("invalid-value", key, message, &hint);
}

/// Tells more experts for a token than there are.
pub(super) fn check_experts(config: &mut Config<'_>, experts: u32, active: u32) {
    if active > experts {
        let [key, of] = ["num_experts_per_tok", "num_experts"].map(|key| config.name_of(key));
        let assumed = if config.states("num_experts_per_tok") { "" } else { ASSUMED };
        let message = format!("{key} is {active}{assumed}, more than the {experts} of {of}");
        config.error("invalid-value", key, message, &format!("give a number from 1 to {experts}"));
    }
}

/// Tells a list that has not a value for each layer; how many of its values count.
///
/// # Source
/// `validate_layer_type` of transformers 5.24 takes no other length. DeepSeek-V4's class cuts what is more, and some
/// checkpoints list the layers that only predict further tokens too.
pub(super) fn check_length(config: &mut Config<'_>, model_type: &str, key: &'static str, length: usize, layers: u32) {
    let name = config.name_of(key);
    let Some(more) = length.checked_sub(layers as usize) else {
        let message = format!("{name} has {length} values for {layers} layers");
        return config.error("invalid-value", name, message, &format!("give {layers}, one for each layer"));
    };
    let predicting = config.count_or_0("num_nextn_predict_layers") as usize;
    if more == 0 || more == predicting || model_type == "deepseek_v4" {
        return;
    }
    let stated = config.name_of("num_hidden_layers");
    let message = format!("{name} has {length} values for {layers} layers");
    config.error("invalid-value", name, message, &format!("give {layers}, one for each layer, or correct {stated}"));
}

/// Tells the towers and voices beside the language model that are not counted.
pub(super) fn warn_of_parts(config: &mut Config<'_>, top: &Value<'_>) {
    let thinker = top.get("thinker_config");
    for (key, what) in [
        ("audio_config", "the tower that hears"),
        ("speech_config", "the tower that hears"),
        ("audio_encoder_config", "the tower that hears"),
        ("sound_config", "the tower that hears"),
        ("talker_config", "the model that speaks"),
        ("token2wav_config", "what makes sound of the model's tokens"),
        ("code2wav_config", "what makes sound of the model's tokens"),
        ("tts_config", "the model that speaks"),
    ] {
        let (path, part) = match (top.get(key), thinker.and_then(|thinker| thinker.get(key))) {
            (Some(part), _) => (key.to_owned(), part),
            (None, Some(part)) => (format!("thinker_config.{key}"), part),
            (None, None) => continue,
        };
        if matches!(part, Value::Map(_)) {
            let message = format!("{path} describes {what}, whose weights are not counted");
            let hint = "what is told is the language model alone; add the weights of this part if the server loads it";
            config.warn("part-not-counted", &path, message, hint);
        }
    }
    // A tower that is no object cannot be counted as one.
    if let Some(tower) = top.get("vision_config").filter(|tower| !matches!(tower, Value::Map(_) | Value::Null)) {
        let message = format!("vision_config is {}, so that no weights of a tower are counted", brief(tower));
        config.warn(
            "part-not-counted",
            "vision_config",
            message,
            "paste the config.json of the model's own repository",
        );
    }
}
