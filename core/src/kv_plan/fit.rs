//! Whether a model fits, how much cache is left, and what to change.

use super::memory::{BatchLimits, MemoryBudget, MemoryQuestion, ModelMemory, Release};
use super::{KvDtype, KvLayer, KvLayout, KvPlan, KvRefusal, KvSettings};
use crate::anatomy::Anatomy;
use crate::catalog::AcceleratorSpec;
use crate::diagnostic::Diagnostic;
use alloc::vec::Vec;

/// Tensor-parallel sizes that servers are started with.
const SIZES: [u32; 7] = [1, 2, 4, 8, 16, 32, 64];

/// The longest sequence that is looked for where neither the question nor the model states one, tokens.
const LONGEST: u32 = 16_777_216;

/// Where the blocks come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheMemory {
    /// What the rest of the server leaves of its share.
    LeftOver,
    /// So many bytes on each rank, as `--kv-cache-memory-bytes` says.
    Bytes(u64),
    /// So many blocks, as `--num-gpu-blocks-override` says.
    Blocks(u64),
}

/// A server that may or may not start.
#[derive(Debug, Clone, Copy)]
pub struct FitQuestion<'a> {
    /// The model.
    pub anatomy: &'a Anatomy,
    /// What its layers keep.
    pub layers: &'a [KvLayer],
    /// Bytes of a vision tower; 0 without one.
    pub vision_bytes: u64,
    /// Each rank's accelerator.
    pub accelerator: &'a AcceleratorSpec,
    /// Share of its memory that the server may use, 0–1.
    pub utilization: f64,
    /// The server's release.
    pub release: Release,
    /// The size of its batches.
    pub limits: BatchLimits,
    /// Length, parallelism, types and blocks.
    pub settings: KvSettings,
    /// Where the blocks come from.
    pub memory: CacheMemory,
}

/// The answer, item by item.
#[derive(Debug, Clone, PartialEq)]
pub struct Fit {
    /// What of the model a rank's memory depends on.
    pub model: ModelMemory,
    /// The forward pass and the sampling of the largest batch, bytes; the larger one counts.
    pub batch_bytes: [f64; 2],
    /// Where the memory of a rank goes.
    pub budget: MemoryBudget,
    /// Groups, pages and blocks.
    pub layout: KvLayout,
    /// What the blocks are made of, bytes.
    pub available_bytes: u64,
    /// Blocks there are.
    pub num_blocks: u64,
    /// What the server prints, or why it does not start.
    pub plan: Result<KvPlan, KvRefusal>,
    /// "KV cache size" as this release prints it, tokens; 0 if it does not start.
    pub printed_tokens: u64,
    /// The longest sequence that fits, at most what the model is made for, tokens.
    pub longest: u32,
    /// The smallest parallelism with which the asked length fits; none of those that are tried.
    pub smallest_tensor_parallel_size: Option<u32>,
    /// Whether it would fit with 8-bit keys and values; none if it fits as it is.
    pub fits_with_fp8: Option<bool>,
}

impl FitQuestion<'_> {
    /// Answers.
    ///
    /// # Errors
    /// Settings out of range, heads that the ranks do not divide, and mixes of layers that are not served.
    pub fn answer(&self) -> Result<Fit, Vec<Diagnostic>> {
        let memory = self.memory_question();
        let budget = memory.budget();
        let layout = KvLayout::new(self.layers, self.settings)?;
        let num_blocks = self.num_blocks(&layout, &budget);
        let plan = layout.plan(num_blocks);
        let limit = self.anatomy.max_position_embeddings.unwrap_or(LONGEST).max(self.settings.max_model_len);
        let printed_tokens = match plan {
            Ok(_) if self.release.prints_slots() => layout.slots(num_blocks),
            Ok(plan) => plan.tokens,
            Err(_) => 0,
        };
        let with_fp8 = Self { settings: KvSettings { kv_cache_dtype: KvDtype::Fp8, ..self.settings }, ..*self };
        Ok(Fit {
            model: memory.model,
            batch_bytes: [memory.forward_bytes(), memory.sampling_bytes()],
            available_bytes: match self.memory {
                CacheMemory::LeftOver => budget.available_bytes(),
                CacheMemory::Bytes(bytes) => bytes,
                CacheMemory::Blocks(blocks) => blocks.saturating_mul(layout.block_bytes),
            },
            longest: layout.longest(num_blocks, limit),
            smallest_tensor_parallel_size: SIZES.into_iter().find(|size| self.with_ranks(*size).fits()),
            fits_with_fp8: plan.is_err().then(|| with_fp8.fits()),
            budget,
            layout,
            num_blocks,
            plan,
            printed_tokens,
        })
    }

    fn memory_question(&self) -> MemoryQuestion<'_> {
        let ranks = self.settings.tensor_parallel_size;
        MemoryQuestion {
            accelerator: self.accelerator,
            utilization: self.utilization,
            tensor_parallel_size: ranks,
            release: self.release,
            limits: self.limits,
            max_model_len: self.settings.max_model_len,
            model: ModelMemory::of(self.anatomy, ranks, self.vision_bytes),
        }
    }

    fn num_blocks(&self, layout: &KvLayout, budget: &MemoryBudget) -> u64 {
        match self.memory {
            CacheMemory::LeftOver => layout.num_blocks(budget.available_bytes()),
            CacheMemory::Bytes(bytes) => layout.num_blocks(bytes),
            CacheMemory::Blocks(blocks) => blocks,
        }
    }

    fn with_ranks(&self, ranks: u32) -> Self {
        Self { settings: KvSettings { tensor_parallel_size: ranks, ..self.settings }, ..*self }
    }

    /// Whether such a server starts: its weights fit, its heads divide, and one sequence of the asked length fits.
    fn fits(&self) -> bool {
        let ranks = self.settings.tensor_parallel_size;
        let divides = self.anatomy.layers.iter().all(|layer| layer.heads.is_multiple_of(ranks));
        let budget = self.memory_question().budget();
        let starts = |layout: KvLayout| layout.plan(self.num_blocks(&layout, &budget)).is_ok();
        divides && budget.available_bytes() > 0 && KvLayout::new(self.layers, self.settings).is_ok_and(starts)
    }
}
