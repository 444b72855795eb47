//! What of a server's settings the cache depends on.

use crate::catalog::Generation;
use crate::server::ServerVersion;

/// The type of cached keys and values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KvDtype {
    /// That of the model.
    Auto,
    /// 8-bit floats.
    Fp8,
    /// 16-bit floats, whatever the model has.
    Sixteen,
    /// 32-bit floats.
    ThirtyTwo,
}

impl KvDtype {
    /// The type a server's `--kv-cache-dtype` names; none for others.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Some(match name.trim().to_ascii_lowercase().as_str() {
            "" | "auto" => KvDtype::Auto,
            "fp8" | "fp8_e4m3" | "fp8_e5m2" | "fp8_inc" | "fp8_ds_mla" | "int8" => KvDtype::Fp8,
            "float16" | "half" | "bfloat16" => KvDtype::Sixteen,
            "float32" | "float" => KvDtype::ThirtyTwo,
            _ => return None,
        })
    }

    /// The names that a server knows and whose sizes are modelled.
    pub const SERVED: &str = "auto, fp8, fp8_e4m3, fp8_e5m2, fp8_inc, fp8_ds_mla, float16, bfloat16";

    /// The type that vLLM takes by this name: it has no cache of plain integers or of 32-bit floats.
    #[must_use]
    pub fn of_server(name: &str) -> Option<Self> {
        let lower = name.trim().to_ascii_lowercase();
        let is_served = !matches!(lower.as_str(), "int8" | "float32" | "float" | "half");
        Self::named(&lower).filter(|_| is_served)
    }

    /// Bytes of a value; none where the model decides.
    #[must_use]
    pub fn stated_bytes(self) -> Option<u32> {
        match self {
            KvDtype::Auto => None,
            KvDtype::Fp8 => Some(1),
            KvDtype::Sixteen => Some(2),
            KvDtype::ThirtyTwo => Some(4),
        }
    }

    /// Bytes of a value, where the model's values have `model_bytes`.
    #[must_use]
    pub fn bytes(self, model_bytes: u32) -> u32 {
        self.stated_bytes().unwrap_or(model_bytes)
    }
}

/// Which release's planner is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlanRules {
    /// That of vLLM 0.32.
    V0_32,
    /// That of vLLM 0.33: the block size of gated delta nets is a multiple of 64, and they too export a checkpoint
    /// (A7, C2).
    V0_33,
}

impl PlanRules {
    /// Those of a release; older ones are treated as the oldest that is known.
    #[must_use]
    pub fn of(version: ServerVersion) -> Self {
        if version.is_at_least(33) { PlanRules::V0_33 } else { PlanRules::V0_32 }
    }
}

/// The smallest blocks that the attention kernels of an accelerator take, tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KernelBlocks {
    /// Ordinary attention.
    pub attention: u32,
    /// Ordinary attention with keys of 512 8-bit values.
    pub wide_fp8: u32,
    /// Latent attention on 16-bit values.
    pub latent: u32,
    /// Latent attention on 8-bit values.
    pub latent_fp8: u32,
    /// Latent attention with an indexer.
    pub sparse: u32,
}

impl KernelBlocks {
    /// Those of Hopper (A5).
    pub const HOPPER: Self = Self { attention: 16, wide_fp8: 64, latent: 16, latent_fp8: 64, sparse: 64 };

    /// Those of Blackwell data center accelerators, where latent attention is FlashInfer's.
    ///
    /// # Source
    /// Read in vLLM's sources, not run.
    pub const BLACKWELL: Self = Self { attention: 16, wide_fp8: 16, latent: 32, latent_fp8: 32, sparse: 64 };

    /// Those of the other accelerators, where latent attention is Triton's.
    ///
    /// # Source
    /// Read in vLLM's sources, not run.
    pub const OTHER: Self = Self { attention: 16, wide_fp8: 16, latent: 16, latent_fp8: 16, sparse: 64 };

    /// Those of a family of accelerators.
    #[must_use]
    pub fn of(generation: Generation) -> Self {
        match generation {
            Generation::Hopper => Self::HOPPER,
            Generation::Blackwell => Self::BLACKWELL,
            _ => Self::OTHER,
        }
    }
}

/// What of a server's settings its KV cache depends on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KvSettings {
    /// Ranks the heads are split over, at least 1.
    pub tensor_parallel_size: u32,
    /// Ranks the tokens are split over, at least 1.
    pub decode_context_parallel_size: u32,
    /// Bytes of a value of the model's own type.
    pub model_value_bytes: u32,
    /// Bytes of a value of the recurrent part of a state.
    pub state_value_bytes: u32,
    /// The type of cached keys and values.
    pub kv_cache_dtype: KvDtype,
    /// `--block-size`; none for what the kernels take.
    pub block_size: Option<u32>,
    /// What the kernels take.
    pub kernel_blocks: KernelBlocks,
    /// The longest sequence, tokens, at least 1.
    pub max_model_len: u32,
    /// Whether prefixes are kept for later requests.
    pub enable_prefix_caching: bool,
    /// Tokens scheduled and not settled yet, see [`max_in_flight_tokens`].
    pub max_in_flight_tokens: u64,
    /// Whether layers with a window or chunks keep all tokens, as if they were full (B8).
    pub is_hybrid_manager_disabled: bool,
    /// Which release is followed.
    pub rules: PlanRules,
}

impl KvSettings {
    /// Settings of a server on a Hopper accelerator that is told nothing but its size and length.
    #[must_use]
    pub fn new(tensor_parallel_size: u32, max_model_len: u32) -> Self {
        Self {
            tensor_parallel_size,
            decode_context_parallel_size: 1,
            model_value_bytes: 2,
            state_value_bytes: 2,
            kv_cache_dtype: KvDtype::Auto,
            block_size: None,
            kernel_blocks: KernelBlocks::HOPPER,
            max_model_len,
            enable_prefix_caching: true,
            max_in_flight_tokens: max_in_flight_tokens(8192, true, 1),
            is_hybrid_manager_disabled: false,
            rules: PlanRules::V0_32,
        }
    }

    /// Bytes of a cached value.
    pub(super) fn value_bytes(&self) -> u32 {
        self.kv_cache_dtype.bytes(self.model_value_bytes)
    }
}

/// Tokens that may be scheduled and not settled: those of each batch under way.
///
/// # Source
/// C1: two batches with asynchronous scheduling on one pipeline stage, one without, and one per further stage.
#[must_use]
pub fn max_in_flight_tokens(max_num_batched_tokens: u32, is_async: bool, pipeline_stages: u32) -> u64 {
    let batches = u64::from(pipeline_stages.max(1)).saturating_add(u64::from(is_async));
    u64::from(max_num_batched_tokens).saturating_mul(batches)
}
