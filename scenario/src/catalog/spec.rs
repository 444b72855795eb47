//! The entries of the catalogue, as they are written in YAML and in a scenario's custom choice.

use super::Footprint;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Where an entry's numbers come from.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Provenance {
    /// Document, repository or data sheet.
    pub source: String,
    /// When it was read, ISO date.
    pub retrieved: String,
    /// What a reader should know about the numbers; may be empty.
    pub note: String,
}

/// The number type of weights or activations, by its width.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    /// 4 bytes.
    Float32,
    /// 2 bytes.
    Float16,
    /// 2 bytes.
    Bfloat16,
    /// 1 byte.
    Int8,
    /// 1 byte.
    Uint8,
    /// 1 byte.
    Fp8,
    /// Taken as 1 byte (latency specification 2).
    Int4,
    /// Taken as 1 byte (latency specification 2).
    Nf4,
}

impl Dtype {
    /// Bytes of one value.
    #[must_use]
    pub fn bytes(self) -> f64 {
        match self {
            Dtype::Float32 => 4.0,
            Dtype::Float16 | Dtype::Bfloat16 => 2.0,
            Dtype::Int8 | Dtype::Uint8 | Dtype::Fp8 | Dtype::Int4 | Dtype::Nf4 => 1.0,
        }
    }
}

/// Stretching of the position embedding, as far as it sets the longest context.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RopeScaling {
    /// `yarn`, `llama3`, …
    pub rope_type: String,
    /// Stretching factor.
    pub factor: f64,
    /// Context length before stretching, if stated.
    #[serde(default)]
    pub original_max_position_embeddings: Option<u32>,
}

/// A model architecture under the keys of its `config.json`.
///
/// Zero means "absent" where the key is optional.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelSpec {
    /// Id, e.g. `meta-llama/Llama-3.1-8B-Instruct`; compared without case.
    pub id: String,
    /// Architecture class, for people.
    #[serde(default)]
    pub architecture: String,
    /// `model_type` of the config, lower case; decides one rule of the context length.
    #[serde(default)]
    pub model_type: String,
    /// Layers (`L`).
    pub num_hidden_layers: u32,
    /// Hidden size (`D`).
    pub hidden_size: u32,
    /// Attention heads (`H`).
    pub num_attention_heads: u32,
    /// KV heads (`K`).
    pub num_key_value_heads: u32,
    /// Head size where the config states one (used for KV capacity only).
    #[serde(default)]
    pub head_dim: u32,
    /// FFN size (`F`).
    pub intermediate_size: u32,
    /// Vocabulary.
    pub vocab_size: u32,
    /// Type of activations and of unquantised weights.
    pub torch_dtype: Dtype,
    /// Bytes per weight where quantised (`Pw`).
    #[serde(default)]
    pub weight_bytes_per_param: Option<f64>,
    /// Longest context before stretching.
    #[serde(default)]
    pub max_position_embeddings: u32,
    /// Stretching of the context.
    #[serde(default)]
    pub rope_scaling: Option<RopeScaling>,
    /// Whether input and output embeddings are one matrix.
    #[serde(default)]
    pub tie_word_embeddings: bool,
    /// Experts (`E`); 0 or 1 = dense.
    #[serde(default)]
    pub num_experts: u32,
    /// Active experts per token (`ka`).
    #[serde(default)]
    pub num_experts_per_tok: u32,
    /// FFN size of an expert (`Fm`); 0 = `intermediate_size`.
    #[serde(default)]
    pub moe_intermediate_size: u32,
    /// FFN size of the shared experts together (`Fs`); KV capacity only.
    #[serde(default)]
    pub shared_expert_intermediate_size: u32,
    /// FFN size of the dense layers of an interleaved model (`Fd`); 0 = `intermediate_size`.
    #[serde(default)]
    pub intermediate_size_mlp: u32,
    /// Every how many layers an MoE layer follows; 0 = not interleaved.
    #[serde(default)]
    pub interleave_moe_layer_step: u32,
    /// Leading dense layers; KV capacity only.
    #[serde(default)]
    pub first_k_dense_replace: u32,
    /// Rank of the latent KV of MLA models; 0 = ordinary attention. KV capacity only.
    #[serde(default)]
    pub kv_lora_rank: u32,
    /// Rotary part beside the latent KV. KV capacity only.
    #[serde(default)]
    pub qk_rope_head_dim: u32,
    /// Sliding window, tokens; shown, not modelled.
    #[serde(default)]
    pub sliding_window: u32,
    /// Activation of the FFN; empty = not stated.
    #[serde(default)]
    pub hidden_act: String,
    /// Other names it is known by; compared like ids.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// What it takes of a server's memory, read from its config; none where nothing has read one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub footprint: Option<Box<Footprint>>,
    /// Where the numbers come from.
    #[serde(default)]
    pub provenance: Provenance,
}

impl ModelSpec {
    /// The smallest dense model, in bfloat16, of which nothing optional is stated.
    #[must_use]
    pub fn smallest(id: &str) -> Self {
        Self {
            id: id.into(),
            architecture: String::new(),
            model_type: String::new(),
            num_hidden_layers: 1,
            hidden_size: 1,
            num_attention_heads: 1,
            num_key_value_heads: 1,
            head_dim: 0,
            intermediate_size: 1,
            vocab_size: 1,
            torch_dtype: Dtype::Bfloat16,
            weight_bytes_per_param: None,
            max_position_embeddings: 0,
            rope_scaling: None,
            tie_word_embeddings: false,
            num_experts: 0,
            num_experts_per_tok: 0,
            moe_intermediate_size: 0,
            shared_expert_intermediate_size: 0,
            intermediate_size_mlp: 0,
            interleave_moe_layer_step: 0,
            first_k_dense_replace: 0,
            kv_lora_rank: 0,
            qk_rope_head_dim: 0,
            sliding_window: 0,
            hidden_act: String::new(),
            aliases: Vec::new(),
            footprint: None,
            provenance: Provenance::default(),
        }
    }
}

/// A family of accelerators, as far as a server chooses kernels by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Generation {
    /// Nothing is known.
    #[default]
    Unknown,
    /// NVIDIA V100.
    Volta,
    /// NVIDIA T4.
    Turing,
    /// NVIDIA A100, A10, RTX 30.
    Ampere,
    /// NVIDIA L4, L40S, RTX 40.
    Ada,
    /// NVIDIA H100, H200, H20.
    Hopper,
    /// NVIDIA B200, B300.
    Blackwell,
    /// NVIDIA RTX 50, RTX PRO 6000.
    BlackwellRtx,
    /// AMD MI210, MI250X.
    Cdna2,
    /// AMD MI300X, MI325X.
    Cdna3,
    /// AMD MI355X.
    Cdna4,
}

impl Generation {
    /// Whether nothing is known.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        *self == Generation::Unknown
    }

    /// Whether it is AMD's, which has other libraries.
    #[must_use]
    pub fn is_amd(self) -> bool {
        matches!(self, Generation::Cdna2 | Generation::Cdna3 | Generation::Cdna4)
    }
}

fn is_unknown(value: &f64) -> bool {
    *value == 0.0
}

/// An accelerator by its data sheet and efficiencies.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AcceleratorSpec {
    /// Id, e.g. `H100`; compared without case.
    pub id: String,
    /// Name for people, e.g. `NVIDIA H100 SXM 80 GB`.
    #[serde(default)]
    pub name: String,
    /// Dense BF16 peak, TFLOP/s.
    pub peak_tflops: f64,
    /// Dense FP8 peak, TFLOP/s; 0 = no FP8 units.
    #[serde(default)]
    pub peak_tflops_fp8: f64,
    /// Memory bandwidth, TB/s.
    pub memory_bandwidth_tb_per_s: f64,
    /// Share of the peak reached in prefill, 0–1.
    pub mfu_prefill: f64,
    /// Share of the peak reached in decode, 0–1.
    pub mfu_decode: f64,
    /// Memory, GiB as the specification counts it.
    pub memory_gib: f64,
    /// Memory that the driver reports to a server, GiB; 0 = unknown.
    #[serde(default, skip_serializing_if = "is_unknown")]
    pub driver_memory_gib: f64,
    /// Where that figure comes from.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub driver_memory_source: String,
    /// Which kernels a server has for it.
    #[serde(default, skip_serializing_if = "Generation::is_unknown")]
    pub generation: Generation,
    /// Other names of it; compared without case, blanks and punctuation.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// Board power, watts; 0 = unknown.
    #[serde(default)]
    pub power_w: f64,
    /// Price, US dollars per hour; editable, dated by the provenance.
    #[serde(default)]
    pub price_usd_per_hour: Option<f64>,
    /// Whether the efficiencies are borrowed from another accelerator, which makes results extrapolated.
    #[serde(default)]
    pub is_extrapolated: bool,
    /// Where the numbers come from.
    #[serde(default)]
    pub provenance: Provenance,
}

impl AcceleratorSpec {
    /// What the driver reports, GiB; for a card of one's own its stated memory less a hundredth, which drivers keep.
    #[must_use]
    pub fn driver_gib(&self) -> f64 {
        if self.driver_memory_gib > 0.0 { self.driver_memory_gib } else { self.memory_gib * 0.99 }
    }
}

/// Bytes per weight that a model's name states: `w4a16` → 0.5, `fp8` → 1; none if it states nothing.
///
/// The word must stand alone, bounded by the ends or one of `. - _ /`.
///
/// # Source
/// Latency specification 2, the row of `Pw`.
#[must_use]
pub fn weight_bytes_from_name(name: &str) -> Option<f64> {
    let mut is_fp8 = false;
    for word in name.split(['.', '-', '_', '/']) {
        let word = word.to_ascii_lowercase();
        if let Some((weights, activations)) = word.strip_prefix('w').and_then(|rest| rest.split_once('a'))
            && !activations.is_empty()
            && activations.bytes().all(|byte| byte.is_ascii_digit())
            && weights.bytes().all(|byte| byte.is_ascii_digit())
            && let Ok(bits) = weights.parse::<u16>()
            && bits > 0
        {
            return Some(f64::from(bits) / 8.0);
        }
        is_fp8 |= word == "fp8";
    }
    is_fp8.then_some(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_state_the_weight_width_only_as_whole_words() {
        for (name, bytes) in [
            ("redhatai/phi-4-quantized.w4a16", Some(0.5)),
            ("redhatai/phi-4-quantized.W8A8", Some(1.0)),
            ("redhatai/phi-4-fp8-dynamic", Some(1.0)),
            ("qwen3-32b-fp8", Some(1.0)),
            ("fp8/w4a16", Some(0.5)),
            ("wide-awake-7b", None),
            ("model-fp8x", None),
            ("xw4a16", None),
            ("w4a16b", None),
        ] {
            assert_eq!(weight_bytes_from_name(name), bytes, "{name}");
        }
    }
}
