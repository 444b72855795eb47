//! Which `config.json` a model of a table has.

use plimsoll_configs::catalog;
use plimsoll_core::catalog::ModelSpec;
use serde_json::{Map, Value, json};
use std::fs;
use std::path::{Path, PathBuf};

/// The project's own copies of tables and configs.
#[must_use]
pub fn own_tables() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("truth")
}

/// The text of the `config.json` of a model, from folders beside the table, else from the project's own.
///
/// `folder` is what the table says; where it says nothing, the folder is found by the model's name: the one called
/// like its last part, else the longest that the name begins with, as `gemma-3-27b` for `google/gemma-3-27b-it`. A model
/// without a folder that is in the catalogue has what the catalogue says of it.
///
/// # Errors
/// A model without a config.
pub fn config_of(model: &str, folder: &str, table: &Path) -> Result<String, String> {
    let beside = table.parent().unwrap_or(Path::new("."));
    let places = [
        beside.to_path_buf(),
        beside.join("hf-configs"),
        beside.join("../data/hf-configs"),
        own_tables().join("hf-configs"),
    ];
    let name = if folder.is_empty() { model.rsplit('/').next().unwrap_or(model).to_lowercase() } else { folder.into() };
    let found = places.iter().find_map(|place| closest(place, &name, !folder.is_empty()));
    match (found, catalog().model(model)) {
        (Some(path), _) => fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display())),
        (None, Some(known)) => Ok(Value::Object(as_config(known)).to_string()),
        (None, None) => Err(format!("there is no config.json of {model}")),
    }
}

/// An entry of the catalogue under the keys of a config; what it leaves out is what the family's class assumes.
fn as_config(model: &ModelSpec) -> Map<String, Value> {
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
    put("sliding_window", model.sliding_window);
    match model.shared_expert_intermediate_size.checked_div(model.moe_intermediate_size) {
        Some(shared) if model.kv_lora_rank > 0 => put("n_shared_experts", shared),
        _ => put("shared_expert_intermediate_size", model.shared_expert_intermediate_size),
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
    config
}

fn closest(place: &Path, name: &str, is_exact: bool) -> Option<PathBuf> {
    let exact = place.join(name).join("config.json");
    if is_exact || exact.exists() {
        return exact.exists().then_some(exact);
    }
    let begins = |folder: &str| {
        name.strip_prefix(folder).is_some_and(|rest| rest.starts_with(['-', '_'])) && place.join(folder).is_dir()
    };
    let folders = fs::read_dir(place).ok()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let folder = folders.filter(|folder| begins(folder)).max_by_key(String::len)?;
    let path = place.join(folder).join("config.json");
    path.exists().then_some(path)
}
