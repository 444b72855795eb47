//! Architectures from a Hugging Face `config.json` (latency specification 2).

use crate::model_fields::flattened;
use crate::model_files::{ModelFiles, OneText};
use plimsoll_anatomy::{Described, describe_config, quantization_in_name, read_config};
use plimsoll_core::anatomy::{Anatomy, Cache, FeedForward, StateShape};
use plimsoll_core::catalog::{Dtype, ModelSpec, Provenance, RopeScaling, weight_bytes_from_name};
use plimsoll_core::diagnostic::{Checked, Diagnostic, Severity, Warned};
use serde_json::{Map, Value};

/// Reads a model's architecture from the text of its `config.json`, or of its files in one object by their names.
///
/// # Errors
/// Those of [`model_from_files`].
pub fn model_from_hf_config(text: &str, name: &str) -> Checked<ModelSpec> {
    model_and_parameters(text, name).map(|(model, _)| model)
}

/// The same with the parameters of the language model and its head; none where the family is not described.
///
/// # Errors
/// Those of [`model_from_files`].
pub fn model_and_parameters(text: &str, name: &str) -> Result<(Warned<ModelSpec>, Option<u64>), Vec<Diagnostic>> {
    let top = read_config(text)?;
    match OneText::of(&top) {
        Some(files) => model_from_read(files.config, files.files(), name),
        None => model_from_read(&top, ModelFiles::of_config(text), name),
    }
}

/// Reads a model's architecture from its `config.json` and what lies beside it.
///
/// `name` becomes the id; where the files state no quantization, the weight width is read from it (`…-fp8`,
/// `….w4a16`). Empty: the config's own `_name_or_path`, else its architecture class.
///
/// Keys of `text_config` override those at the top, every known alias of a key is understood, and numbers are
/// truncated to integers.
///
/// # Errors
/// Every missing or unusable key at once, and weights whose width nothing says.
pub fn model_from_files(files: ModelFiles<'_>, name: &str) -> Checked<ModelSpec> {
    model_from_read(&read_config(files.config)?, files, name).map(|(model, _)| model)
}

/// The same of a config that was read; the text of `files` is not looked at.
fn model_from_read(
    top: &Config<'_>,
    files: ModelFiles<'_>,
    name: &str,
) -> Result<(Warned<ModelSpec>, Option<u64>), Vec<Diagnostic>> {
    let mut beside = files.beside();
    if beside.quantization.is_none() && beside.quantization_file.is_none() && top.get("quantization_config").is_none() {
        beside.quantization = weight_bytes_from_name(name).and_then(|_| quantization_in_name(name));
    }
    let described = describe_config(top, beside);
    let parameters = described.as_ref().ok().map(|read| read.value.anatomy.parameters());
    Ok((model_of_described(top, &described, files, name)?, parameters))
}

/// The same of a config that was read and described, so that nobody does either twice.
///
/// # Errors
/// Those of [`model_from_files`].
pub fn model_of_described(
    top: &Config<'_>,
    described: &Checked<Described>,
    files: ModelFiles<'_>,
    name: &str,
) -> Checked<ModelSpec> {
    // What stands under other names, or is what the family's class assumes, the anatomy knows.
    let (anatomy, refused) = match described {
        Ok(read) => (Some(&read.value.anatomy), &[][..]),
        Err(problems) if problems.iter().any(is_final) => return Err(problems.clone()),
        Err(problems) => (None, problems.as_slice()),
    };
    let mut config = flattened(top);
    let mut has_states = false;
    if let Some(anatomy) = anatomy {
        complete(&mut config, anatomy);
        has_states = anatomy.caches().any(|cache| matches!(cache, Cache::State(_)));
    }
    let mut reader = Reader { config, diagnostics: Vec::new(), has_states };
    let mut spec = reader.model(name);
    if files.stored_as.is_some() || spec.weight_bytes_per_param.is_none() {
        spec.weight_bytes_per_param = anatomy.and_then(stored_width).or(spec.weight_bytes_per_param);
    }
    let mut diagnostics = reader.diagnostics;
    if let Ok(Warned { value: described, diagnostics: warnings }) = described {
        let mut footprint = described.footprint();
        match files.checkpoint_bytes() {
            Ok(Some(bytes)) => footprint.be_of_checkpoint(bytes),
            Ok(None) => {}
            Err(problem) => diagnostics.push(problem),
        }
        spec.footprint = Some(Box::new(footprint));
        diagnostics.extend(warnings.iter().filter(|found| found.severity == Severity::Warning).cloned());
    }
    for problem in refused {
        // What is wrong with a key is told once.
        if diagnostics.iter().all(|known| known.path != problem.path || known.severity < problem.severity) {
            diagnostics.push(if cannot_be(problem) { problem.clone() } else { not_planned(problem.clone()) });
        }
    }
    let has_errors = |diagnostics: &[Diagnostic]| diagnostics.iter().any(|found| found.severity == Severity::Error);
    if !has_errors(&diagnostics) {
        diagnostics.extend(spec.problems().into_iter().map(|mut problem| {
            problem.path = format!("{FILE}:{}", problem.path);
            problem
        }));
    }
    if has_errors(&diagnostics) { Err(diagnostics) } else { Ok(Warned { value: spec, diagnostics }) }
}

/// Whether a problem leaves nothing to be told beside it: how the weights are stored, without which nothing is known of
/// their size, or a file that is not looked through.
fn is_final(problem: &Diagnostic) -> bool {
    problem.severity == Severity::Error
        && (matches!(problem.code.as_str(), "unknown-quantization" | "file-too-large" | "not-a-decoder")
            || ["quantization", "hf_quant_config.json", "config.json:quantization_config"]
                .iter()
                .any(|place| problem.path.starts_with(place)))
}

/// Whether a problem is a value that no model has, of which nothing is made.
fn cannot_be(problem: &Diagnostic) -> bool {
    problem.code == "invalid-value"
}

/// Bytes of a weight of the layers' largest matrices, where a quantizer stores them; none if they are as wide as the
/// activations.
fn stored_width(anatomy: &Anatomy) -> Option<f64> {
    let matrices = anatomy.layers.iter().flat_map(|layer| &layer.tensors).filter(|tensor| tensor.is_linear);
    let largest = matrices.max_by_key(|tensor| tensor.parameters())?;
    Some(largest.stored.bits / 8.0).filter(|bytes| *bytes > 0.0 && *bytes < anatomy.dtype.bytes())
}

/// A reason for which the memory of a model is not planned; it can be simulated with the blocks that a server logs.
fn not_planned(problem: Diagnostic) -> Diagnostic {
    Diagnostic { severity: Severity::Warning, ..problem }
}

const FILE: &str = "config.json";

/// A config that was read.
type Config<'v> = plimsoll_json::Value<'v>;

/// Adds what a config does not state under the names that are read here.
fn complete(config: &mut Map<String, Value>, anatomy: &Anatomy) {
    let mut add = |key: &str, value: u32| {
        let is_stated = config.get(key).is_some_and(|stated| stated.as_f64().is_some_and(|stated| stated > 0.0));
        if !is_stated && value > 0 {
            config.insert(key.to_owned(), Value::from(value));
        }
    };
    add("num_hidden_layers", u32::try_from(anatomy.layers.len()).unwrap_or(0));
    add("hidden_size", anatomy.hidden_size);
    add("vocab_size", anatomy.vocab_size);
    add("max_position_embeddings", anatomy.max_position_embeddings.unwrap_or(0));
    match anatomy.layers.iter().map(|layer| layer.heads).max() {
        Some(heads) if heads > 0 => add("num_attention_heads", heads),
        _ => {
            // The formulas know no layers without attention; the fewest keys and values come nearest to a state.
            add("num_attention_heads", heads_of_states(anatomy));
            add("num_key_value_heads", 1);
        }
    }
    let attention = anatomy.caches().find_map(|cache| match *cache {
        Cache::Attention { heads, key_size, .. } => Some((heads, key_size)),
        _ => None,
    });
    if let Some((heads, size)) = attention {
        add("num_key_value_heads", heads);
        add("head_dim", size);
    }
    for layer in &anatomy.layers {
        match layer.feed_forward {
            FeedForward::Dense { size, .. } => add("intermediate_size", size),
            FeedForward::Experts(experts) => {
                add("intermediate_size", experts.size);
                add("num_experts", experts.routed);
                add("num_experts_per_tok", experts.active);
                add("moe_intermediate_size", experts.size);
            }
            FeedForward::None => {}
        }
    }
    add("intermediate_size", inner_size(anatomy));
    if !config.contains_key("torch_dtype") && !config.contains_key("dtype") {
        let name = match anatomy.dtype {
            Dtype::Float32 => "float32",
            Dtype::Float16 => "float16",
            _ => "bfloat16",
        };
        config.insert("torch_dtype".to_owned(), Value::from(name));
    }
}

/// Heads that stand for those of a model without attention: those of its states, or as many of a usual size.
fn heads_of_states(anatomy: &Anatomy) -> u32 {
    let heads = anatomy.caches().find_map(|cache| match *cache {
        Cache::State(StateShape::Mamba2 { heads, .. } | StateShape::Linear { heads, .. }) => Some(heads),
        _ => None,
    });
    heads.filter(|heads| anatomy.hidden_size.is_multiple_of(*heads)).unwrap_or((anatomy.hidden_size / 64).max(1))
}

/// Values inside the mixers of layers without a network; their three matrices are as wide as those of one.
fn inner_size(anatomy: &Anatomy) -> u32 {
    let inner = anatomy.caches().find_map(|cache| match *cache {
        Cache::State(StateShape::Mamba1 { inner, .. } | StateShape::Mamba2 { inner, .. }) => Some(inner),
        _ => None,
    });
    inner.unwrap_or(0)
}

struct Reader {
    config: Map<String, Value>,
    diagnostics: Vec<Diagnostic>,
    /// Whether the anatomy has layers with a state.
    has_states: bool,
}

impl Reader {
    fn model(&mut self, name: &str) -> ModelSpec {
        let architecture = self
            .config
            .get("architectures")
            .and_then(|list| list.get(0))
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned();
        let own_name = self.text("_name_or_path");
        let id = [name.trim(), own_name.trim(), architecture.as_str(), "custom model"]
            .into_iter()
            .find(|candidate| !candidate.is_empty())
            .unwrap_or_default()
            .to_owned();

        let num_hidden_layers = self.required("num_hidden_layers");
        let hidden_size = self.required("hidden_size");
        let num_attention_heads = self.required("num_attention_heads");
        let kv_heads = self.first(&["num_key_value_heads", "num_kv_heads", "multi_query_group_num"]);
        let intermediate_size = self.first(&["intermediate_size", "ffn_hidden_size"]);
        let moe_intermediate_size = self.first(&["moe_intermediate_size"]);
        let expert_ffn = if moe_intermediate_size > 0 { moe_intermediate_size } else { intermediate_size };
        let shared = match self.first(&["shared_expert_intermediate_size"]) {
            0 => self.first(&["n_shared_experts"]).saturating_mul(expert_ffn),
            stated => stated,
        };
        let vocab_size = self.first(&["vocab_size"]);
        for (value, key, consequence) in [
            (intermediate_size, "intermediate_size", "trained-physics and the memory formula cannot be used"),
            (vocab_size, "vocab_size", "the memory formula cannot be used"),
        ] {
            if value == 0 {
                self.warn("missing-field", key, format!("{key} is missing, so {consequence}"));
            }
        }
        let torch_dtype = self.dtype();
        let weight_bytes_per_param = self.quantized_bytes().or_else(|| weight_bytes_from_name(&id));
        let slides = self.config.get("use_sliding_window") != Some(&Value::Bool(false));
        self.warn_of_other_attention();
        ModelSpec {
            architecture,
            model_type: self.text("model_type").to_lowercase(),
            num_hidden_layers,
            hidden_size,
            num_attention_heads,
            num_key_value_heads: if kv_heads > 0 { kv_heads } else { num_attention_heads },
            head_dim: self.first(&["head_dim"]),
            intermediate_size,
            vocab_size,
            torch_dtype,
            weight_bytes_per_param,
            max_position_embeddings: self.first(&["max_position_embeddings"]),
            rope_scaling: self.rope_scaling(),
            tie_word_embeddings: self.config.get("tie_word_embeddings") == Some(&Value::Bool(true)),
            num_experts: self.num_experts(),
            num_experts_per_tok: self.first(&["num_experts_per_tok"]),
            moe_intermediate_size,
            shared_expert_intermediate_size: shared,
            intermediate_size_mlp: self.first(&["intermediate_size_mlp"]),
            interleave_moe_layer_step: self.first(&["interleave_moe_layer_step"]),
            first_k_dense_replace: self.first(&["first_k_dense_replace"]),
            kv_lora_rank: self.first(&["kv_lora_rank"]),
            qk_rope_head_dim: self.first(&["qk_rope_head_dim"]),
            sliding_window: if slides { self.first(&["sliding_window"]) } else { 0 },
            hidden_act: self.text("hidden_act"),
            aliases: Vec::new(),
            footprint: None,
            provenance: Provenance {
                source: "config.json given by the user".into(),
                retrieved: String::new(),
                note: String::new(),
            },
            id,
        }
    }

    /// The first of the keys whose value is not zero; 0 if there is none.
    fn first(&mut self, keys: &[&str]) -> u32 {
        for key in keys {
            let Some(value) = self.config.get(*key).filter(|value| !value.is_null()) else { continue };
            match whole_number(value) {
                Some(0) => {}
                Some(number) => return number,
                None => {
                    let message = format!("{key} is {}, not a number of 0 or more", brief(value));
                    self.error("invalid-value", key, message, "give a whole number");
                }
            }
        }
        0
    }

    fn required(&mut self, key: &str) -> u32 {
        let problems = self.diagnostics.len();
        let value = self.first(&[key]);
        if value == 0 && self.diagnostics.len() == problems {
            let (code, what) = match self.config.get(key) {
                None => ("missing-field", "missing"),
                Some(Value::Null) => ("missing-field", "null"),
                Some(_) => ("invalid-value", "0"),
            };
            self.error(code, key, format!("{key} is {what}"), "take it from the model's config.json");
        }
        value
    }

    fn text(&self, key: &str) -> String {
        self.config.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    fn num_experts(&mut self) -> u32 {
        let local = self.first(&["num_local_experts"]);
        if local > 1 {
            return local;
        }
        let keys = ["num_routed_experts", "n_routed_experts", "num_experts"];
        keys.into_iter().map(|key| self.first(&[key])).find(|&experts| experts > 1).unwrap_or(local)
    }

    fn dtype(&mut self) -> Dtype {
        let key = if self.config.get("torch_dtype").is_some_and(Value::is_string) { "torch_dtype" } else { "dtype" };
        let name = self.text(key).to_lowercase();
        match name.strip_prefix("torch.").unwrap_or(&name) {
            "float32" => return Dtype::Float32,
            "float16" => return Dtype::Float16,
            "bfloat16" => return Dtype::Bfloat16,
            "int8" => return Dtype::Int8,
            "uint8" => return Dtype::Uint8,
            "fp8" => return Dtype::Fp8,
            "int4" => return Dtype::Int4,
            "nf4" => return Dtype::Nf4,
            _ => {}
        }
        let message = if name.is_empty() { "torch_dtype is missing".to_owned() } else { format!("{key} is {name}") };
        let code = if name.is_empty() { "missing-field" } else { "invalid-value" };
        self.error(code, "torch_dtype", message, "give one of float32, float16, bfloat16, int8, uint8, fp8, int4, nf4");
        Dtype::Bfloat16
    }

    /// Bytes per weight where the config states a quantization.
    fn quantized_bytes(&self) -> Option<f64> {
        let quantization = self.config.get("quantization_config")?;
        let bits_of = |value: &Value| {
            let bits = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())?;
            (bits > 0.0 && bits.is_finite()).then_some(bits / 8.0)
        };
        if let Some(bytes) = quantization.get("bits").and_then(bits_of) {
            return Some(bytes);
        }
        let method = quantization.get("quant_method").and_then(Value::as_str).unwrap_or_default().to_lowercase();
        match method.as_str() {
            "fp8" => Some(1.0),
            "compressed-tensors" => {
                let groups = quantization.get("config_groups")?.as_object()?;
                let mut names: Vec<&String> = groups.keys().collect();
                names.sort();
                names.into_iter().find_map(|name| bits_of(groups.get(name)?.get("weights")?.get("num_bits")?))
            }
            _ => None,
        }
    }

    fn rope_scaling(&mut self) -> Option<RopeScaling> {
        let rope = ["rope_scaling", "rope_parameters"].into_iter().find_map(|key| self.config.get(key)?.as_object())?;
        let kind = ["rope_type", "type"].into_iter().find_map(|key| rope.get(key)?.as_str()).unwrap_or_default();
        let original = rope.get("original_max_position_embeddings").and_then(whole_number);
        Some(RopeScaling {
            rope_type: kind.to_owned(),
            factor: rope.get("factor").and_then(Value::as_f64)?,
            original_max_position_embeddings: original.filter(|&length| length > 0),
        })
    }

    /// The step-time formulas know full attention only.
    fn warn_of_other_attention(&mut self) {
        let has_linear_layers = self.config.get("layer_types").and_then(Value::as_array).is_some_and(|layers| {
            layers.iter().filter_map(Value::as_str).any(|layer| layer.contains("linear") || layer.contains("mamba"))
        });
        let is_hybrid = self.has_states
            || has_linear_layers
            || self.config.keys().any(|key| key.starts_with("mamba_") || key.starts_with("linear_num_"));
        if is_hybrid {
            let message = "the model has linear or state-space layers, which the formulas treat as full attention";
            self.warn("hybrid-attention-as-full", "layer_types", message.to_owned());
        }
    }

    fn warn(&mut self, code: &str, key: &str, message: String) {
        self.diagnostics.push(Diagnostic::warning(code, format!("{FILE}:{key}"), message));
    }

    fn error(&mut self, code: &str, key: &str, message: String, hint: &str) {
        self.diagnostics.push(Diagnostic::error(code, format!("{FILE}:{key}"), message).with_hint(hint));
    }
}

/// A number of 0 or more, truncated; none for anything else or beyond 32 bits.
fn whole_number(value: &Value) -> Option<u32> {
    let number = value.as_f64()?;
    let in_range = (0.0..=f64::from(u32::MAX)).contains(&number);
    in_range.then(|| plimsoll_core::time::truncate(number)).and_then(|number| u32::try_from(number).ok())
}

fn brief(value: &Value) -> String {
    let text = match value.as_str() {
        Some(word @ ("NaN" | "Infinity" | "-Infinity")) => word.to_owned(),
        _ => value.to_string(),
    };
    if text.chars().count() > 40 { text.chars().take(40).chain(['…']).collect() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, name: &str) -> ModelSpec {
        model_from_hf_config(text, name).unwrap_or_else(|problems| panic!("{problems:?}")).value
    }

    #[test]
    fn llama_keys_are_read_as_they_stand() {
        let config = r#"{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 4096, "num_hidden_layers": 32,
            "num_attention_heads": 32, "num_key_value_heads": 8, "intermediate_size": 14336, "vocab_size": 128256,
            "torch_dtype": "bfloat16", "max_position_embeddings": 131072, "hidden_act": "silu", "tie_word_embeddings": false,
            "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "original_max_position_embeddings": 8192}}"#;
        let spec = read(config, "meta-llama/Llama-3.1-8B-Instruct");
        assert_eq!((spec.num_key_value_heads, spec.intermediate_size, spec.vocab_size), (8, 14336, 128_256));
        assert_eq!(spec.rope_scaling.as_ref().map(|rope| rope.rope_type.as_str()), Some("llama3"));
        assert_eq!(spec.weight_bytes_per_param, None);
    }

    #[test]
    fn the_text_part_overrides_the_top_and_numbers_are_truncated() {
        let config = r#"{"hidden_size": 1, "dtype": "bfloat16", "text_config": {"hidden_size": 5120.7, "num_hidden_layers": 40,
            "num_attention_heads": 32, "intermediate_size": 32768, "vocab_size": 131072, "head_dim": 128}}"#;
        let spec = read(config, "m");
        assert_eq!((spec.hidden_size, spec.head_dim, spec.num_key_value_heads), (5120, 128, 32));
    }

    #[test]
    fn falcon_and_chatglm_names_of_kv_heads_and_ffn_are_known() {
        let base = |extra: &str| {
            format!(
                r#"{{"num_hidden_layers": 2, "hidden_size": 64, "num_attention_heads": 8, "vocab_size": 10, "dtype": "float16", {extra}}}"#
            )
        };
        assert_eq!(read(&base(r#""num_kv_heads": 2, "ffn_hidden_size": 77"#), "m").num_key_value_heads, 2);
        assert_eq!(read(&base(r#""num_kv_heads": 2, "ffn_hidden_size": 77"#), "m").intermediate_size, 77);
        assert_eq!(
            read(&base(r#""num_key_value_heads": 0, "multi_query_group_num": 4, "intermediate_size": 3"#), "m")
                .num_key_value_heads,
            4
        );
    }

    #[test]
    fn experts_are_read_from_every_known_key() {
        let base = |extra: &str| {
            format!(
                r#"{{"num_hidden_layers": 27, "hidden_size": 2048, "num_attention_heads": 16, "intermediate_size": 10944,
                "vocab_size": 102400, "torch_dtype": "bfloat16", {extra}}}"#
            )
        };
        let mixtral = read(&base(r#""num_local_experts": 8, "num_experts_per_tok": 2"#), "m");
        assert_eq!((mixtral.num_experts, mixtral.num_experts_per_tok), (8, 2));
        let deepseek = read(
            &base(
                r#""n_routed_experts": 64, "num_experts_per_tok": 6, "n_shared_experts": 2, "moe_intermediate_size": 1408,
                "first_k_dense_replace": 1, "kv_lora_rank": 512, "qk_rope_head_dim": 64"#,
            ),
            "m",
        );
        assert_eq!(
            (deepseek.num_experts, deepseek.shared_expert_intermediate_size, deepseek.kv_lora_rank),
            (64, 2816, 512)
        );
        let qwen = read(
            &base(
                r#""num_experts": 60, "num_local_experts": 1, "num_experts_per_tok": 4, "shared_expert_intermediate_size": 5632"#,
            ),
            "m",
        );
        assert_eq!((qwen.num_experts, qwen.shared_expert_intermediate_size), (60, 5632));
        let llama4 = read(
            &base(
                r#""num_routed_experts": 16, "num_experts_per_tok": 1, "interleave_moe_layer_step": 1, "intermediate_size_mlp": 16384"#,
            ),
            "m",
        );
        assert_eq!(
            (llama4.num_experts, llama4.intermediate_size_mlp, llama4.interleave_moe_layer_step),
            (16, 16384, 1)
        );
    }

    #[test]
    fn the_weight_width_comes_from_the_config_then_from_the_name() {
        let base = |quantization: &str| {
            format!(
                r#"{{"num_hidden_layers": 2, "hidden_size": 64, "num_attention_heads": 8, "intermediate_size": 3, "vocab_size": 9,
                "torch_dtype": "bfloat16" {quantization}}}"#
            )
        };
        for (quantization, name, bytes) in [
            (r#", "quantization_config": {"bits": 4, "quant_method": "gptq"}"#, "m", Some(0.5)),
            (r#", "quantization_config": {"bits": "8"}"#, "m", Some(1.0)),
            (r#", "quantization_config": {"quant_method": "FP8"}"#, "m", Some(1.0)),
            (
                r#", "quantization_config": {"quant_method": "compressed-tensors",
                    "config_groups": {"group_1": {"weights": {"num_bits": 8}}, "group_0": {"weights": {"num_bits": 4}}}}"#,
                "m-fp8",
                Some(0.5),
            ),
            (r#", "quantization_config": {"quant_method": "mxfp4"}"#, "m", None),
            ("", "org/m-quantized.w8a8", Some(1.0)),
            ("", "org/m", None),
        ] {
            assert_eq!(read(&base(quantization), name).weight_bytes_per_param, bytes, "{quantization} {name}");
        }
    }

    #[test]
    fn all_missing_keys_are_reported_at_once() {
        let found =
            model_from_hf_config(r#"{"hidden_size": "wide", "torch_dtype": "complex64"}"#, "m").expect_err("unusable");
        let errors: Vec<&str> =
            found.iter().filter(|found| found.severity == Severity::Error).map(|found| found.path.as_str()).collect();
        assert_eq!(
            errors,
            [
                "config.json:num_hidden_layers",
                "config.json:hidden_size",
                "config.json:num_attention_heads",
                "config.json:torch_dtype"
            ]
        );
        assert!(model_from_hf_config("[]", "m").is_err());
        assert!(model_from_hf_config("{", "m").expect_err("malformed")[0].path.starts_with("config.json:1:"));
    }

    #[test]
    fn hybrid_models_are_accepted_with_a_warning() {
        let config = r#"{"num_hidden_layers": 2, "hidden_size": 64, "num_attention_heads": 8, "intermediate_size": 3, "vocab_size": 9,
            "dtype": "bfloat16", "layer_types": ["linear_attention", "full_attention"], "use_sliding_window": false, "sliding_window": 4096}"#;
        let found = model_from_hf_config(config, "m").expect("usable");
        assert_eq!(found.value.sliding_window, 0);
        assert_eq!(found.diagnostics[0].code, "hybrid-attention-as-full");
    }
}
