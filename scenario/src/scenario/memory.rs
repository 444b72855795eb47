//! How many KV blocks fit beside the weights (latency specification 6).

use super::{BlocksSource, MemoryLedger};
use crate::catalog::{AcceleratorSpec, ModelSpec};
use alloc::format;
use alloc::string::{String, ToString};

const GIB: f64 = 1_073_741_824.0;

/// Share of the memory a server uses unless told otherwise; the server's own default.
pub(super) const DEFAULT_UTILIZATION: f64 = 0.9;

/// What the formula is computed for.
#[derive(Debug, Clone, Copy)]
pub(super) struct MemoryQuestion<'a> {
    pub model: &'a ModelSpec,
    pub accelerator: &'a AcceleratorSpec,
    /// At least 1.
    pub tensor_parallel_size: u32,
    /// At least 1.
    pub block_size: u32,
    /// 0–1.
    pub utilization: f64,
    /// Bytes of one cached value, if it differs from the activations' type.
    pub kv_value_bytes: Option<f64>,
}

/// Why the formula has no result.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum NoBlocks {
    /// The architecture lacks something the formula needs; which field of it, and why.
    Unknown { field: &'static str, message: String },
    /// Weights and workspace leave no room; all in bytes.
    DoesNotFit { needed: f64, usable: f64 },
}

impl MemoryQuestion<'_> {
    /// Where the memory goes, and the blocks or why there are none.
    ///
    /// # Model
    /// The pool is what the weights, the activations (5.5 GiB, 8 for MoE) and the overhead outside the framework
    /// (0.15 GiB, 0.6 per accelerator of several) leave of `memory · utilization · tp`. It is divided by the bytes of
    /// a block on *one* accelerator, as in the reference and in line with its table of deployments; a server that
    /// splits each block over its accelerators has about 1/tp of that.
    ///
    /// The head size of the config is used where it has one, latent attention counts its latent vector once, and
    /// leading dense layers of an MoE model count as dense.
    ///
    /// # Source
    /// Latency specification 6, its recommended rules included.
    pub(super) fn answer(&self) -> (MemoryLedger, Result<u64, NoBlocks>) {
        let Self { model, accelerator, .. } = self;
        let tp = f64::from(self.tensor_parallel_size);
        let is_moe = model.num_experts > 1;
        let available_gib = accelerator.memory_gib * self.utilization * tp;
        let weight_bytes = self.weight_bytes();
        let activation_gib = if is_moe { 8.0 } else { 5.5 };
        let overhead_gib = (if self.tensor_parallel_size == 1 { 0.15 } else { 0.6 }) * tp;
        let kv_bytes_per_token = self.kv_bytes_per_token();
        let mut ledger = MemoryLedger {
            total_bytes: accelerator.memory_gib * tp * GIB,
            usable_bytes: available_gib * GIB,
            weight_bytes,
            activation_bytes: activation_gib * GIB,
            overhead_bytes: overhead_gib * GIB,
            kv_bytes_per_token,
            formula_blocks: None,
            row_blocks: None,
            blocks: 0,
            source: BlocksSource::Fallback,
        };
        if let Some(unknown) = self.missing() {
            return (ledger, Err(unknown));
        }
        let used_gib = weight_bytes / GIB + activation_gib + overhead_gib;
        let does_not_fit = NoBlocks::DoesNotFit { needed: used_gib * GIB, usable: available_gib * GIB };
        if used_gib >= available_gib {
            return (ledger, Err(does_not_fit));
        }
        let block_bytes = crate::time::truncate(kv_bytes_per_token * f64::from(self.block_size)).max(1);
        let pool_bytes = crate::time::truncate((available_gib - used_gib) * GIB);
        match u64::try_from(pool_bytes / block_bytes) {
            Ok(blocks) if blocks > 0 => {
                ledger.formula_blocks = Some(blocks);
                (ledger, Ok(blocks))
            }
            _ => (ledger, Err(does_not_fit)),
        }
    }

    /// Keys and values of one token on one accelerator, bytes.
    fn kv_bytes_per_token(&self) -> f64 {
        let model = self.model;
        let value_bytes = self.kv_value_bytes.unwrap_or(model.torch_dtype.bytes());
        let layers = f64::from(model.num_hidden_layers);
        if model.kv_lora_rank > 0 {
            return layers * f64::from(model.kv_lora_rank + model.qk_rope_head_dim) * value_bytes;
        }
        let heads = f64::from(model.num_key_value_heads);
        layers * 2.0 * self.head_size() as f64 * heads * value_bytes / f64::from(self.tensor_parallel_size)
    }

    fn weight_bytes(&self) -> f64 {
        let model = self.model;
        let wide = u128::from;
        let (layers, hidden) = (wide(model.num_hidden_layers), wide(model.hidden_size));
        let kv_size = wide(model.num_key_value_heads) * u128::from(self.head_size());
        let ffn = wide(model.intermediate_size);
        let dense_mlp = 3 * hidden * ffn;
        let (dense_layers, moe_layers) = if model.num_experts > 1 {
            let dense = model.first_k_dense_replace.min(model.num_hidden_layers);
            (wide(dense), wide(model.num_hidden_layers - dense))
        } else {
            (layers, 0)
        };
        let experts = wide(model.num_experts);
        let expert_ffn = if model.moe_intermediate_size > 0 { wide(model.moe_intermediate_size) } else { ffn };
        let shared_ffn = wide(model.shared_expert_intermediate_size);
        let moe_mlp = 3 * hidden * expert_ffn * experts + 3 * hidden * shared_ffn + experts * hidden;
        let embedding = wide(model.vocab_size) * hidden;
        let head = if model.tie_word_embeddings { 0 } else { embedding };
        let attention = hidden * (hidden + 2 * kv_size) + hidden * hidden;
        let parameters = embedding
            + layers * (attention + 2 * hidden)
            + dense_layers * dense_mlp
            + moe_layers * moe_mlp
            + head
            + hidden;
        let bytes_per_weight = model.weight_bytes_per_param.unwrap_or(model.torch_dtype.bytes());
        libm::trunc(parameters as f64 * bytes_per_weight)
    }

    fn head_size(&self) -> u32 {
        let model = self.model;
        if model.head_dim > 0 { model.head_dim } else { model.hidden_size / model.num_attention_heads.max(1) }
    }

    /// What the formula needs and the architecture does not say.
    fn missing(&self) -> Option<NoBlocks> {
        let model = self.model;
        let unknown = |field, message: String| Some(NoBlocks::Unknown { field, message });
        let activation = model.hidden_act.to_ascii_lowercase();
        if !matches!(activation.as_str(), "" | "silu" | "swiglu" | "geglu") {
            return unknown("hidden_act", format!("the weights of an FFN with activation {activation} are not known"));
        }
        if model.intermediate_size == 0 {
            return unknown("intermediate_size", "intermediate_size is not given".to_string());
        }
        if model.vocab_size == 0 {
            return unknown("vocab_size", "vocab_size is not given".to_string());
        }
        if model.head_dim == 0 && !model.hidden_size.is_multiple_of(model.num_attention_heads.max(1)) {
            let message =
                format!("{} heads do not divide hidden_size {}", model.num_attention_heads, model.hidden_size);
            return unknown("num_attention_heads", message);
        }
        let (heads, tp) = (model.num_key_value_heads, self.tensor_parallel_size);
        if model.kv_lora_rank == 0 && heads >= tp && !heads.is_multiple_of(tp) {
            let message = format!("{heads} KV heads cannot be split over {tp} accelerators");
            return unknown("num_key_value_heads", message);
        }
        if model.num_experts == 0 && (model.shared_expert_intermediate_size > 0 || model.num_experts_per_tok > 0) {
            return unknown("num_experts", "the config speaks of experts but does not say how many".to_string());
        }
        None
    }
}
