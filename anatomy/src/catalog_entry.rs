//! What the catalogue says of a model, as a config and in words that the readers of configs understand.

use plimsoll_scenario::catalog::ModelSpec;
use serde_json::{Map, Value, json};

/// An entry of the catalogue under the keys of a config; what it leaves out is what the family's class assumes.
#[must_use]
pub fn hf_config_of_entry(model: &ModelSpec) -> String {
    let mut config = Map::new();
    let mut put = |key: &str, value: u32| {
        if value > 0 {
            config.insert(key.to_owned(), json!(value));
        }
    };
    put("num_hidden_layers", model.num_hidden_layers);
    put("hidden_size", model.hidden_size);
    put("num_attention_heads", model.num_attention_heads);
    put("num_key_value_heads", model.num_key_value_heads);
    put("head_dim", model.head_dim);
    put("intermediate_size", model.intermediate_size);
    put("vocab_size", model.vocab_size);
    put("max_position_embeddings", model.max_position_embeddings);
    put("num_experts", model.num_experts);
    put("num_experts_per_tok", model.num_experts_per_tok);
    put("moe_intermediate_size", model.moe_intermediate_size);
    put("intermediate_size_mlp", model.intermediate_size_mlp);
    put("interleave_moe_layer_step", model.interleave_moe_layer_step);
    put("first_k_dense_replace", model.first_k_dense_replace);
    put("kv_lora_rank", model.kv_lora_rank);
    put("qk_rope_head_dim", model.qk_rope_head_dim);
    match model.shared_expert_intermediate_size.checked_div(model.moe_intermediate_size) {
        Some(shared) if model.kv_lora_rank > 0 => put("n_shared_experts", shared),
        _ => put("shared_expert_intermediate_size", model.shared_expert_intermediate_size),
    }
    // Null says that there is none; a class may assume a window.
    let window = if model.sliding_window > 0 { json!(model.sliding_window) } else { Value::Null };
    config.insert("sliding_window".into(), window);
    // The smaller DeepSeek-V2 projects its queries in one step.
    if model.id.contains("V2-Lite") {
        config.insert("q_lora_rank".into(), Value::Null);
    }
    config.insert("tie_word_embeddings".into(), json!(model.tie_word_embeddings));
    config.insert("torch_dtype".into(), json!("bfloat16"));
    config.insert("architectures".into(), json!([model.architecture]));
    let family = match model.architecture.as_str() {
        "GptOssForCausalLM" => "gpt_oss",
        "DeepseekV3ForCausalLM" => "deepseek_v3",
        _ => model.model_type.as_str(),
    };
    if !family.is_empty() {
        config.insert("model_type".into(), json!(family));
    }
    Value::Object(config).to_string()
}

/// How a model's name says that its weights are stored; none if it says nothing.
#[must_use]
pub fn quantization_in_name(name: &str) -> Option<&'static str> {
    let name = name.to_ascii_lowercase();
    let stated = [
        ("w8a8", "w8a8"),
        ("w4a16", "w4a16"),
        ("nvfp4", "nvfp4"),
        ("mxfp4", "mxfp4"),
        ("gpt-oss", "mxfp4"),
        ("awq", "awq"),
        ("gptq", "gptq"),
        ("fp8", "fp8"),
        ("deepseek-r1", "fp8-block"),
        ("deepseek-v3", "fp8-block"),
    ];
    stated.into_iter().find(|(word, _)| name.contains(word)).map(|(_, scheme)| scheme)
}

/// How the weights of an entry are stored, in the words of the readers; none if as its type says.
#[must_use]
pub fn quantization_of_entry(model: &ModelSpec) -> Option<&'static str> {
    quantization_in_name(&model.id).or(match model.weight_bytes_per_param {
        Some(bytes) if bytes <= 0.625 => Some("int4"),
        Some(bytes) if bytes <= 1.0 => Some("fp8"),
        _ => None,
    })
}
