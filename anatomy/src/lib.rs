//! The anatomy of a model from its `config.json`, and what it takes of a server's memory.
//!
//! Text comes in, and an anatomy or every problem goes out; no input makes a reader panic.
//! The catalogue is read with it when it is built, and whatever a user gives when it is opened.
//!
//! A family is a row of words in one of the tables of `families`; the few that are built otherwise have functions of
//! their own. What a config leaves out is what the config class of its family assumes, which `defaults` has.

mod builder;
mod catalog_entry;
mod checks;
mod config;
mod defaults;
mod described;
mod families;
mod family;
mod not_decoders;
mod pattern;
mod routing;
mod sections;
mod spellings;
mod state;
mod storage;

#[cfg(test)]
mod tests;

pub use catalog_entry::{hf_config_of_entry, quantization_in_name, quantization_of_entry};
pub use described::{Described, describe_config, footprint_from_hf_config, footprint_of_entry, read_config};

use builder::{Builder, tensor};
use config::{Config, FILE, MAX_LAYERS};
use family::Family;
use plimsoll_json::Value;
use plimsoll_scenario::anatomy::{Anatomy, Layer, Part};
use plimsoll_scenario::catalog::Dtype;
use plimsoll_scenario::diagnostic::{Checked, Diagnostic, Severity, Warned};
use sections::Sections;

/// What is known of a model's weights beside its `config.json`.
#[derive(Debug, Clone, Copy, Default)]
pub struct BesideConfig<'a> {
    /// The text of `hf_quant_config.json`, which some quantizers write beside the config.
    pub quantization_file: Option<&'a str>,
    /// How the weights are stored, as a person says it, e.g. `fp8` or `int4`; goes before what the files say.
    pub quantization: Option<&'a str>,
}

/// Reads a model's anatomy from the text of its `config.json`.
///
/// # Errors
/// Every key that is missing and said by nothing else, every value that cannot be, and every part of the model that is
/// not known here, each with the key it concerns.
pub fn anatomy_from_hf_config(text: &str, beside: BesideConfig<'_>) -> Checked<Anatomy> {
    anatomy_of(&read_config(text)?, beside)
}

/// The anatomy of a config that was read.
fn anatomy_of(top: &Value<'_>, beside: BesideConfig<'_>) -> Checked<Anatomy> {
    let sections = Sections::of(top)?;
    let mut config = sections.config();
    let is_readable = config.problems.is_empty();
    let anatomy = if is_readable { describe(&sections, &mut config, beside) } else { None };
    let problems = config.problems;
    match anatomy {
        Some(anatomy) if problems.iter().all(|problem| problem.severity != Severity::Error) => {
            Ok(Warned { value: anatomy, diagnostics: problems })
        }
        _ => Err(problems),
    }
}

/// Puts the model together; none once there is a problem that would repeat in every layer.
fn describe(sections: &Sections<'_>, config: &mut Config<'_>, beside: BesideConfig<'_>) -> Option<Anatomy> {
    let family = sections.family;
    let has_error = |config: &Config<'_>| config.problems.iter().any(|problem| problem.severity == Severity::Error);
    let hidden = config.need("hidden_size");
    let vocab = config.need("vocab_size");
    let layers = num_layers(sections, config);
    config.warn_of_assumed(sections.model_type, &["hidden_size", "num_hidden_layers"]);
    let dtype = dtype(sections, config);
    let max_position_embeddings = config.count("max_position_embeddings").filter(|length| *length > 0);
    checks::check(config, sections.model_type, layers);
    checks::warn_of_parts(config, sections.top);
    let plan = storage::plan(sections.top, config, beside);
    let layers = layers?;
    let kinds = pattern::kinds(config, sections.model_type, family.pattern, layers);
    if has_error(config) {
        return None;
    }
    let mut builder =
        Builder { config, layer: Layer::default(), index: 0, layers, hidden, hybrids: 0, outside: Vec::new() };
    let mut described = Vec::with_capacity(kinds.len());
    for (index, kind) in (0..layers).zip(kinds) {
        builder.index = index;
        builder.config.go_to(index);
        builder.describe(family, kind);
        if has_error(builder.config) {
            return None;
        }
        described.push(std::mem::take(&mut builder.layer));
    }
    builder.config.go_to(0);
    let is_head_tied = sections.is_head_tied(builder.config);
    surround(&mut builder, family, vocab, is_head_tied);
    let mut anatomy = Anatomy {
        model_type: sections.model_type.to_owned(),
        hidden_size: hidden,
        vocab_size: vocab,
        max_position_embeddings,
        dtype,
        is_head_tied,
        outside: builder.outside,
        layers: described,
    };
    storage::store(&mut anatomy, plan, config);
    Some(anatomy)
}

/// Adds what is outside the layers.
fn surround(builder: &mut Builder<'_, '_>, family: &Family, vocab: u32, is_head_tied: bool) {
    let hidden = builder.hidden;
    // OPT's embedding may be narrower than its layers.
    let width = builder.config.count("word_embed_proj_dim").unwrap_or(hidden);
    let outside = family.outside;
    let mut own = vec![tensor("model.embed_tokens", Part::Embedding, 1, [vocab, width], false)];
    if let Some(more) = outside.positions {
        let rows = builder.config.need("max_position_embeddings").saturating_add(more);
        own.push(tensor("model.embed_positions", Part::Embedding, 1, [rows, hidden], false));
    }
    if outside.embedding_norm {
        own.push(tensor("model.embed_norm", Part::Norm, 1, [hidden, 1], false));
    }
    if family.norms.last {
        let vectors = 1 + u32::from(builder.has(family.norms.bias));
        own.push(tensor("model.norm", Part::Norm, 1, [hidden, vectors], false));
    }
    if !is_head_tied {
        // A padded embedding may have more rows than the head.
        let rows = builder.config.count("unpadded_vocab_size").unwrap_or(vocab);
        own.push(tensor("lm_head", Part::Head, 1, [rows, width], true));
    }
    if builder.has(outside.head_bias) {
        own.push(tensor("lm_head", Part::Head, 1, [vocab, 1], false));
    }
    builder.outside = own;
    if let Some(finish) = family.finish {
        finish(builder);
    }
}

fn num_layers(sections: &Sections<'_>, config: &mut Config<'_>) -> Option<u32> {
    let listed = pattern::listed_layers(config);
    let stated = if config.states("num_hidden_layers") { config.count("num_hidden_layers") } else { None };
    // Nemotron-H goes by its list alone.
    let layers = match (listed, stated) {
        // Two stacks that run in loops; the stated number counts every run.
        _ if sections.model_type == "hrm_text" => {
            let stack = config.count("num_layers_per_stack").unwrap_or_else(|| config.need("num_hidden_layers"));
            stack.saturating_mul(2)
        }
        (Some(listed), _) if sections.model_type == "nemotron_h" => listed,
        (_, Some(stated)) => stated,
        (Some(listed), None) if config.states("layer_types") || config.states("hybrid_override_pattern") => listed,
        _ => config.need("num_hidden_layers"),
    };
    if layers == 0 || layers > MAX_LAYERS {
        let is_stated = stated.is_some() || listed.is_none();
        let key = if is_stated { "num_hidden_layers" } else { "layer_types" };
        let key = config.name_of(key);
        let what = if is_stated { "is" } else { "makes a number of layers of" };
        let hint = format!("models of 1 to {MAX_LAYERS} layers are described");
        config.error("invalid-value", key, format!("{key} {what} {layers}"), &hint);
        return None;
    }
    Some(layers)
}

/// The type of weights that are not quantized: as stated, else 16 bits, which is said.
fn dtype(sections: &Sections<'_>, config: &mut Config<'_>) -> Dtype {
    let stated = [config.text("dtype"), sections.top_text("dtype"), sections.top_text("torch_dtype")];
    let name = stated.into_iter().flatten().next().unwrap_or_default().to_ascii_lowercase();
    match name.trim_start_matches("torch.") {
        "float32" | "float" | "fp32" => Dtype::Float32,
        "float16" | "half" | "fp16" => Dtype::Float16,
        "bfloat16" | "bf16" => Dtype::Bfloat16,
        "" | "auto" => {
            config.problems.push(Diagnostic::note(
                "assumed-dtype",
                format!("{FILE}:dtype"),
                "dtype is not stated, so weights and cache are taken as bfloat16",
            ));
            Dtype::Bfloat16
        }
        _ => {
            let message = format!("dtype is {name}, so what is not quantized is taken as bfloat16");
            config.warn("assumed-dtype", "dtype", message, "known are float32, float16 and bfloat16");
            Dtype::Bfloat16
        }
    }
}
