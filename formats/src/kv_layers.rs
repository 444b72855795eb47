//! What the layers of a model keep of every sequence, from its `config.json`.

use crate::place::Place;
use crate::scenario::check_size;
use plimsoll_core::diagnostic::Diagnostic;
use plimsoll_core::kv_plan::{KvLayer, Span, StateLayer, StateShape};
use serde_json::{Map, Value};

/// The caches of a model's layers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvModel {
    /// One per cache, in the order of the layers.
    pub layers: Vec<KvLayer>,
    /// Bytes of a value of the model's own type.
    pub value_bytes: u32,
    /// Parameters of a vision tower, about; 0 without one.
    pub vision_parameters: u64,
}

/// No model has more; a larger number is a slip of the pen.
const MAX_LAYERS: u32 = 10_000;

/// Tokens an indexer's scale stands for.
const INDEXER_SCALE: u32 = 128;

/// Reads what a model's layers keep from the text of its `config.json`, as vLLM's classes do.
///
/// # Errors
/// Every missing or unusable key, and families whose caches are not described.
pub fn kv_layers_from_hf_config(text: &str) -> Result<KvModel, Vec<Diagnostic>> {
    check_size(text, FILE)?;
    let top = match serde_json::from_str::<Value>(&with_quoted_infinity(text)) {
        Ok(Value::Object(top)) => top,
        Ok(_) => return Err(vec![Diagnostic::error("invalid-value", FILE, "the text is not a JSON object")]),
        Err(error) => {
            let place = Place { line: error.line().max(1), column: error.column().max(1) };
            return Err(vec![Diagnostic::error("syntax", place.in_file(FILE), format!("not valid JSON: {error}"))]);
        }
    };
    let part = ["text_config", "llm_config", "language_config", "thinker_config"]
        .into_iter()
        .find_map(|key| top.get(key).and_then(Value::as_object));
    // The thinker of an omni model has a text part of its own.
    let part = part.map(|part| part.get("text_config").and_then(Value::as_object).unwrap_or(part));
    let mut reader = Reader { config: part.unwrap_or(&top), problems: Vec::new() };
    let vision_parameters = top.get("vision_config").and_then(Value::as_object).map_or(0, vision_parameters);
    let (layers, value_bytes) = reader.model();
    match reader.problems.is_empty() {
        true => Ok(KvModel { layers, value_bytes, vision_parameters }),
        false => Err(reader.problems),
    }
}

const FILE: &str = "config.json";

/// The text with bare `Infinity` and `NaN`, which Python writes, as texts.
fn with_quoted_infinity(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len());
    let (mut is_in_text, mut is_escaped) = (false, false);
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let word = ["-Infinity", "Infinity", "NaN"].into_iter().find(|word| !is_in_text && rest.starts_with(word));
        if let Some(word) = word {
            quoted.push('"');
            quoted.push_str(word);
            quoted.push('"');
            rest = rest.strip_prefix(word).unwrap_or_default();
            continue;
        }
        if next == '"' && !is_escaped {
            is_in_text = !is_in_text;
        }
        is_escaped = is_in_text && next == '\\' && !is_escaped;
        quoted.push(next);
        rest = rest.get(next.len_utf8()..).unwrap_or_default();
    }
    quoted
}

/// What stands in a layer, as far as it keeps something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Full,
    Sliding,
    Chunked,
    State,
    /// A state and full attention side by side, or one after the other.
    Both,
    Nothing,
}

struct Reader<'v> {
    config: &'v Map<String, Value>,
    problems: Vec<Diagnostic>,
}

impl Reader<'_> {
    fn model(&mut self) -> (Vec<KvLayer>, u32) {
        // Servers read 32-bit checkpoints as 16-bit values.
        let value_bytes = 2;
        let family = self.family();
        if matches!(family.as_str(), "deepseek_v4" | "deepseek_v41") {
            self.problem("layer_types", "the compressed caches of this family are not described".into());
            return (Vec::new(), value_bytes);
        }
        let kinds = self.kinds(&family);
        let shared = usize::try_from(self.number(&["num_kv_shared_layers"]).unwrap_or(0)).unwrap_or(usize::MAX);
        // The last layers read what earlier ones keep.
        let own = kinds.len().saturating_sub(shared);
        let mut layers = Vec::new();
        for (index, kind) in kinds.into_iter().take(own).enumerate() {
            match kind {
                Kind::Nothing => {}
                Kind::State => layers.extend(self.state(&family, value_bytes)),
                Kind::Both => {
                    layers.extend(self.attention(&family, Kind::Full, index));
                    layers.extend(self.state(&family, value_bytes));
                }
                kind => layers.extend(self.attention(&family, kind, index)),
            }
            if !self.problems.is_empty() {
                break;
            }
        }
        if family == "zamba2" {
            // The blocks that its layers share are built before the layers.
            layers.sort_by_key(|layer| matches!(layer, KvLayer::State(_)));
        }
        (layers, value_bytes)
    }

    fn family(&self) -> String {
        self.config.get("model_type").and_then(Value::as_str).unwrap_or_default().to_lowercase()
    }

    /// What stands in each layer.
    fn kinds(&mut self, family: &str) -> Vec<Kind> {
        if let Some(kinds) = self.listed_kinds() {
            return kinds;
        }
        let names: &[&str] = match family {
            "longcat_flash" => &["num_layers", "num_hidden_layers"],
            _ => &["num_hidden_layers", "n_layer", "n_layers", "num_layers"],
        };
        let Some(num_layers) = self.number(names) else {
            self.problem("num_hidden_layers", "num_hidden_layers is missing".into());
            return Vec::new();
        };
        if num_layers > MAX_LAYERS {
            self.problem("num_hidden_layers", format!("num_hidden_layers is {num_layers}"));
            return Vec::new();
        }
        let every = |period: u32, offset: u32, hit: Kind, miss: Kind| {
            (0..num_layers)
                .map(|index| if period > 0 && index % period == offset { hit } else { miss })
                .collect::<Vec<Kind>>()
        };
        let pattern = |reader: &Self, default: u32| {
            let period = reader.number(&["sliding_window_pattern", "_sliding_window_pattern"]).unwrap_or(default);
            every(period, period.saturating_sub(1), Kind::Full, Kind::Sliding)
        };
        match family {
            "mamba" | "mamba2" | "falcon_mamba" => every(1, 0, Kind::State, Kind::State),
            "falcon_h1" => every(1, 0, Kind::Both, Kind::Both),
            "longcat_flash" => (0..num_layers.saturating_mul(2)).map(|_| Kind::Full).collect(),
            "jamba" => {
                let period = self.number(&["attn_layer_period"]).unwrap_or(8);
                let offset = self.number(&["attn_layer_offset"]).unwrap_or(4);
                every(period, offset, Kind::Full, Kind::State)
            }
            "qwen3_next" | "qwen3_5_text" | "qwen3_5_moe_text" => {
                let period = self.number(&["full_attention_interval"]).unwrap_or(4);
                every(period, period.saturating_sub(1), Kind::Full, Kind::State)
            }
            "llama4_text" | "llama4" => {
                let rope = self.numbers("no_rope_layers");
                let period = self.number(&["no_rope_layer_interval"]).unwrap_or(4).max(1);
                let has_rope = |index: u32| match usize::try_from(index).ok().and_then(|at| rope.get(at)) {
                    Some(flag) => *flag != 0,
                    None => !(index + 1).is_multiple_of(period),
                };
                (0..num_layers).map(|index| if has_rope(index) { Kind::Chunked } else { Kind::Full }).collect()
            }
            "gemma2" | "gpt_oss" => every(2, 0, Kind::Sliding, Kind::Full),
            "gemma3" | "gemma3_text" | "gemma3n_text" => pattern(self, 6),
            "cohere2" => pattern(self, 4),
            "kimi_linear" => {
                let full: Vec<u32> = self
                    .part("linear_attn_config")
                    .map_or(Vec::new(), |part| part.get("full_attn_layers").map_or(Vec::new(), numbers));
                // Counted from 1 on.
                (1..=num_layers).map(|at| if full.contains(&at) { Kind::Full } else { Kind::State }).collect()
            }
            "bamba" => {
                let full = self.numbers("attn_layer_indices");
                (0..num_layers).map(|at| if full.contains(&at) { Kind::Full } else { Kind::State }).collect()
            }
            _ => {
                let kind = if self.window(family).is_some() { Kind::Sliding } else { Kind::Full };
                every(1, 0, kind, kind)
            }
        }
    }

    /// The kinds that a list names, if there is one.
    fn listed_kinds(&mut self) -> Option<Vec<Kind>> {
        if let Some(Value::String(pattern)) = self.config.get("hybrid_override_pattern") {
            let kind = |letter| match letter {
                'M' => Kind::State,
                '*' => Kind::Full,
                _ => Kind::Nothing,
            };
            return Some(pattern.chars().map(kind).collect());
        }
        if let Some(Value::Array(list)) = self.config.get("attn_type_list") {
            return Some(
                list.iter().map(|item| if item.as_u64() == Some(0) { Kind::State } else { Kind::Full }).collect(),
            );
        }
        let (key, list) = ["layer_types", "layers_block_type"]
            .into_iter()
            .find_map(|key| Some((key, self.config.get(key)?.as_array()?)))?;
        let mut kinds = Vec::with_capacity(list.len());
        for item in list {
            let name = item.as_str().unwrap_or_default();
            kinds.push(match name {
                "full_attention" | "attention" | "indexed_attention" | "global" => Kind::Full,
                "sliding_attention" | "local" => Kind::Sliding,
                "chunked_attention" => Kind::Chunked,
                "linear_attention" | "mamba" | "mamba2" | "conv" | "recurrent" => Kind::State,
                "hybrid" => Kind::Both,
                "moe" | "mlp" => Kind::Nothing,
                _ => {
                    self.problem(key, format!("a layer is of the unknown kind {item}"));
                    return Some(Vec::new());
                }
            });
        }
        Some(kinds)
    }

    /// The window of sliding layers, tokens.
    fn window(&self, family: &str) -> Option<u32> {
        if self.config.get("use_sliding_window") == Some(&Value::Bool(false)) {
            return None;
        }
        let window = self.number(&["sliding_window", "attention_window_size"]).filter(|window| *window > 0)?;
        // These look back so many tokens and see themselves too.
        Some(if family == "cohere2" || family == "cohere2_moe" { window.saturating_add(1) } else { window })
    }

    fn attention(&mut self, family: &str, kind: Kind, index: usize) -> Vec<KvLayer> {
        if let Some(layers) = self.latent(family) {
            return layers;
        }
        let span = match kind {
            Kind::Sliding => match self.window(family) {
                Some(window) => Span::Sliding { window },
                None => Span::Full,
            },
            Kind::Chunked => match self.number(&["attention_chunk_size"]).filter(|chunk| *chunk > 0) {
                Some(chunk) => Span::Chunked { chunk },
                None => Span::Full,
            },
            _ => Span::Full,
        };
        let Some(query_heads) = self.number(&["num_attention_heads", "n_head", "n_heads"]) else {
            self.problem("num_attention_heads", "num_attention_heads is missing".into());
            return Vec::new();
        };
        let names =
            ["n_head_kv", "num_kv_heads", "num_key_value_heads", "multi_query_group_num", "num_attention_groups"];
        let mut heads = self.number(&names).unwrap_or(query_heads);
        let is_true = |reader: &Self, key: &str| reader.config.get(key) == Some(&Value::Bool(true));
        match family {
            "falcon" if !is_true(self, "new_decoder_architecture") && is_true(self, "multi_query") => heads = 1,
            "gpt_bigcode" if is_true(self, "multi_query") => heads = 1,
            "dbrx" | "mpt" => {
                let stated = self.part("attn_config").and_then(|part| number(part.get("kv_n_heads")?));
                heads = stated.unwrap_or(heads);
            }
            // Keys and values are kept as they are computed, for every head.
            "minicpm3" => heads = query_heads,
            _ => {}
        }
        let mut size = match family {
            "minicpm3" | "mistral4" => self.number(&["qk_head_dim"]).or_else(|| {
                Some(self.number(&["qk_nope_head_dim"])?.saturating_add(self.number(&["qk_rope_head_dim"])?))
            }),
            "zamba2" => self.number(&["attention_head_dim"]),
            _ => self.number(&["head_dim", "hidden_size_per_head", "kv_channels"]).filter(|size| *size > 0),
        };
        if size.is_none() {
            size = self
                .number(&["hidden_size", "n_embd", "d_model"])
                .and_then(|hidden| hidden.checked_div(query_heads))
                .filter(|size| *size > 0);
        }
        let Some(mut size) = size else {
            self.problem("head_dim", "neither head_dim nor hidden_size is given".into());
            return Vec::new();
        };
        if span == Span::Full && family.starts_with("gemma4") {
            size = self.number(&["global_head_dim"]).unwrap_or(size);
            if is_true(self, "attention_k_eq_v") {
                heads = self.number(&["num_global_key_value_heads"]).unwrap_or(heads);
            }
        }
        if let Some(own) = self.own_of(index) {
            size = own.get("head_dim").and_then(number).unwrap_or(size);
            heads = own.get("num_key_value_heads").and_then(number).unwrap_or(heads);
        }
        vec![KvLayer::Attention { heads, key_size: size, value_size: size, span }]
    }

    /// What a config says about one layer alone.
    fn own_of(&self, index: usize) -> Option<&Map<String, Value>> {
        let layers = self.part("per_layer_config")?;
        layers.iter().find(|(key, _)| key.parse() == Ok(index)).and_then(|(_, own)| own.as_object())
    }

    /// The caches of a layer with latent attention.
    fn latent(&self, family: &str) -> Option<Vec<KvLayer>> {
        // These compute keys and values of every head and keep those.
        if matches!(family, "minicpm3" | "mistral4") {
            return None;
        }
        let rank = self.number(&["kv_lora_rank"]).filter(|rank| *rank > 0)?;
        let rope = self.number(&["qk_rope_head_dim"]).unwrap_or(0);
        let is_sparse = self.number(&["index_topk"]).is_some();
        let mut layers = Vec::new();
        if is_sparse {
            let size = self.number(&["index_head_dim"]).unwrap_or(128);
            let scales = size.div_ceil(INDEXER_SCALE).saturating_mul(4);
            layers.push(KvLayer::Indexer { bytes_per_token: size.saturating_add(scales) });
        }
        layers.push(KvLayer::Latent { rank, rope, is_sparse });
        Some(layers)
    }

    fn state(&mut self, family: &str, value_bytes: u32) -> Option<KvLayer> {
        let hidden = self.number(&["hidden_size", "d_model"]);
        let expanded = || hidden?.checked_mul(self.number(&["mamba_expand", "expand"]).unwrap_or(2));
        let kernel = || self.number(&["mamba_d_conv", "conv_kernel", "conv_kernel_size", "d_conv"]);
        let shape = match family {
            "jamba" | "mamba" | "falcon_mamba" => (|| {
                Some(StateShape::Mamba1 {
                    inner: self.number(&["intermediate_size"]).filter(|_| family != "jamba").or_else(expanded)?,
                    state: self.number(&["mamba_d_state", "state_size"])?,
                    kernel: kernel()?,
                })
            })(),
            "qwen3_next" | "qwen3_5_text" | "qwen3_5_moe_text" | "qwen3_5" | "qwen3_5_moe" | "olmo_hybrid" => (|| {
                Some(StateShape::GatedDelta {
                    key_heads: self.number(&["linear_num_key_heads"])?,
                    value_heads: self.number(&["linear_num_value_heads"])?,
                    key_size: self.number(&["linear_key_head_dim"])?,
                    value_size: self.number(&["linear_value_head_dim"])?,
                    kernel: self.number(&["linear_conv_kernel_dim"])?,
                })
            })(
            ),
            "kimi_linear" => (|| {
                let part = self.part("linear_attn_config");
                let stated = |key: &str| part.and_then(|part| part.get(key)).and_then(number);
                Some(StateShape::DeltaAttention {
                    heads: stated("num_heads").or_else(|| self.number(&["linear_num_heads"]))?,
                    head_size: stated("head_dim").or_else(|| self.number(&["linear_head_dim"]))?,
                    kernel: stated("short_conv_kernel_size").or_else(|| self.number(&["linear_conv_kernel_dim"]))?,
                })
            })(),
            "lfm2" | "lfm2_moe" => (|| {
                Some(StateShape::Convolution {
                    channels: self.number(&["conv_dim"]).or(hidden)?,
                    kernel: self.number(&["conv_L_cache"])?,
                })
            })(),
            "minimax" | "minimax_text_01" => (|| {
                Some(StateShape::Linear {
                    heads: self.number(&["num_attention_heads"])?,
                    head_size: self.number(&["head_dim"])?,
                })
            })(),
            _ => (|| {
                let heads = self.number(&["mamba_n_heads", "mamba_num_heads", "n_mamba_heads", "num_heads"])?;
                let head_size = self.number(&["mamba_d_head", "mamba_head_dim", "mamba_headdim", "head_dim"])?;
                let inner = match family {
                    "nemotron_h" => heads.checked_mul(head_size),
                    _ => self.number(&["mamba_d_ssm"]).or_else(expanded),
                };
                Some(StateShape::Mamba2 {
                    inner: inner?,
                    groups: self.number(&["mamba_n_groups", "mamba_ngroups", "n_groups"])?,
                    heads,
                    head_size,
                    state: self.number(&["mamba_d_state", "ssm_state_size", "state_size"])?,
                    kernel: kernel()?,
                })
            })(),
        };
        let Some(shape) = shape else {
            self.problem("layer_types", "the sizes of the state layers are not given".into());
            return None;
        };
        let stated = self.config.get("mamba_ssm_cache_dtype").or_else(|| self.config.get("mamba_ssm_dtype"));
        let state_bytes = match (stated.and_then(Value::as_str), shape) {
            (Some("float32"), _) => 4,
            (Some(_), _) => 2,
            (None, StateShape::DeltaAttention { .. }) => 4,
            (None, _) if family == "nemotron_h" => 4,
            (None, _) => value_bytes,
        };
        Some(KvLayer::State(StateLayer { shape, conv_bytes: value_bytes, state_bytes }))
    }

    fn part(&self, key: &str) -> Option<&Map<String, Value>> {
        self.config.get(key).and_then(Value::as_object)
    }

    /// The first of these keys that has a number.
    fn number(&self, keys: &[&str]) -> Option<u32> {
        keys.iter().find_map(|key| number(self.config.get(*key)?))
    }

    fn numbers(&self, key: &str) -> Vec<u32> {
        self.config.get(key).map_or(Vec::new(), numbers)
    }

    fn problem(&mut self, key: &str, message: String) {
        let code = if message.contains("missing") { "missing-field" } else { "invalid-value" };
        self.problems.push(
            Diagnostic::error(code, format!("{FILE}:{key}"), message)
                .with_hint("give the whole config.json of the model"),
        );
    }
}

/// Parameters of a vision tower: four square matrices of attention and three of a feed-forward layer, as many as the
/// two of most towers and what joins them to the language model.
fn vision_parameters(config: &Map<String, Value>) -> u64 {
    let first = |keys: &[&str]| keys.iter().find_map(|key| number(config.get(*key)?)).map_or(0, u64::from);
    let hidden = first(&["hidden_size", "vt_hidden_size", "embed_dim", "width"]);
    let inner = first(&["intermediate_size", "vt_intermediate_size"]);
    let layers = first(&["num_hidden_layers", "depth", "vt_num_hidden_layers", "layers"]);
    let inner = if inner > 0 { inner } else { hidden.saturating_mul(4) };
    let layer = hidden.saturating_mul(hidden.saturating_mul(4).saturating_add(inner.saturating_mul(3)));
    layer.saturating_mul(layers)
}

fn number(value: &Value) -> Option<u32> {
    value.as_u64().and_then(|number| u32::try_from(number).ok())
}

fn numbers(value: &Value) -> Vec<u32> {
    value.as_array().map_or(Vec::new(), |list| list.iter().filter_map(number).collect())
}
