//! Whether a model fits, how much cache is left, and what to change.

use super::band::band;
use super::memory::{MemoryBudget, MemoryQuestion, ModelMemory};
use super::page::kernel_block;
use super::{
    Band, KernelBlocks, KvDtype, KvLayout, KvPlan, KvRefusal, KvSettings, Pipeline, PlanRules, SharedBy,
    max_in_flight_tokens,
};
use crate::catalog::{AcceleratorSpec, Cache, Footprint, Part};
use crate::diagnostic::Diagnostic;
use crate::server::{Limits, ServerVersion};
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

/// Tensor-parallel sizes that servers are started with.
const SIZES: [u32; 7] = [1, 2, 4, 8, 16, 32, 64];

/// The most ranks that are named where another number does not divide the heads.
const LARGEST_SIZE: u32 = 64;

/// The longest sequence that is looked for where neither the question nor the model states one, tokens.
const LONGEST: u32 = 16_777_216;

/// The longest sequence of a server where neither a setting nor the model says one, tokens.
pub const USUAL_LENGTH: u32 = 8192;

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
    pub footprint: &'a Footprint,
    /// The longest sequence it is made for, tokens; 0 if it states none.
    pub longest_context: u64,
    /// Each rank's accelerator.
    pub accelerator: &'a AcceleratorSpec,
    /// Ranks that split each layer.
    pub tensor_parallel_size: u32,
    /// The model cut into pipeline stages; none for a single one.
    pub pipeline: Option<&'a Pipeline>,
    /// Replicas that the server consists of, each with a cache of its own; they share the experts among them.
    pub data_parallel_size: u32,
    /// Whether experts are given to ranks as they are, `--enable-expert-parallel`.
    pub enable_expert_parallel: bool,
    /// Ranks of those that split each layer that split the tokens of a cache too, `--decode-context-parallel-size`.
    pub decode_context_parallel_size: u32,
    /// Whether layers with a window or chunks keep all tokens, `--disable-hybrid-kv-cache-manager`.
    pub is_hybrid_manager_disabled: bool,
    /// Share of an accelerator's memory that the server may use, 0–1.
    pub utilization: f64,
    /// The server's release.
    pub version: ServerVersion,
    /// The size of its batches.
    pub limits: Limits,
    /// The longest sequence it takes, tokens; none = the longest that the model is made for.
    pub max_model_len: Option<u32>,
    /// The type of cached keys and values.
    pub kv_cache_dtype: KvDtype,
    /// `--block-size`; none for what the kernels take.
    pub block_size: Option<u32>,
    /// Whether prefixes are kept for later requests.
    pub enable_prefix_caching: bool,
    /// Whether a step is planned while the one before it runs.
    pub async_scheduling: bool,
    /// Where the blocks come from.
    pub memory: CacheMemory,
}

/// The answer, item by item, with what of the question it tells.
#[derive(Debug, Clone, PartialEq)]
pub struct Fit {
    /// The accelerator's id.
    pub accelerator: String,
    /// Where the figure of its memory is from; empty for a card of one's own.
    pub memory_source: String,
    /// Share of its memory that the server may use, 0–1.
    pub utilization: f64,
    /// The server's release.
    pub version: ServerVersion,
    /// The size of its batches.
    pub limits: Limits,
    /// Length, parallelism, types and blocks.
    pub settings: KvSettings,
    /// Where the blocks come from.
    pub memory: CacheMemory,
    /// The pipeline stage with the fewest blocks, from 1 on, and how many stages there are; the figures are its.
    pub stage: (u32, u32),
    /// The weights of a rank by what they are for, bytes; parts without any are left out.
    pub weights: Vec<(Part, u64)>,
    /// What of the model a rank's memory depends on.
    pub model: ModelMemory,
    /// The forward pass and the sampling of the largest batch, bytes; the larger one counts.
    pub batch_bytes: [f64; 2],
    /// Tokens of the largest batch.
    pub batch_tokens: u32,
    /// Where the memory of a rank goes.
    pub budget: MemoryBudget,
    /// Groups, pages and blocks.
    pub layout: KvLayout,
    /// What the blocks are made of, bytes.
    pub available_bytes: u64,
    /// Blocks there are.
    pub num_blocks: u64,
    /// How far off the memory left for the cache may be; none where the cache is told.
    pub band: Option<Band>,
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

/// A rank of a pipeline stage.
struct Stage<'a> {
    number: usize,
    footprint: &'a Footprint,
    memory: MemoryQuestion<'a>,
    budget: MemoryBudget,
    layout: KvLayout,
    num_blocks: u64,
}

impl FitQuestion<'_> {
    /// Answers, for the longest sequence that fits where the asked one does not, as `--max-model-len auto` does.
    ///
    /// # Errors
    /// Those of [`FitQuestion::answer`].
    pub fn answer_for_longest(&self) -> Result<Fit, Vec<Diagnostic>> {
        let fit = self.answer()?;
        match fit.plan {
            Err(KvRefusal::TooLong { longest, .. }) if longest > 0 => {
                Self { max_model_len: Some(longest), ..*self }.answer()
            }
            _ => Ok(fit),
        }
    }

    /// Answers.
    ///
    /// # Errors
    /// Settings out of range, heads that the ranks do not divide, and caches and mixes of them that are not served.
    pub fn answer(&self) -> Result<Fit, Vec<Diagnostic>> {
        let settings = self.settings();
        if !self.divides() {
            let heads = self.footprint.query_heads;
            let message = format!("{heads} attention heads cannot be split over {} ranks", self.tensor_parallel_size);
            let hint = format!("choose a tensor_parallel_size of {}", self.sizes());
            return Err(alloc::vec![
                Diagnostic::error("heads-not-divisible", "tensor_parallel_size", message).with_hint(hint)
            ]);
        }
        if let Some(most) = self.most_context_ranks()
            && (self.decode_context_parallel_size > most
                || !self.tensor_parallel_size.is_multiple_of(self.decode_context_parallel_size.max(1)))
        {
            let message = format!(
                "{} of {} ranks cannot split the tokens of the cache, and vLLM does not start with that",
                self.decode_context_parallel_size, self.tensor_parallel_size
            );
            let hint = format!(
                "give a divisor of tensor_parallel_size up to {most}: ranks split tokens where each KV head stands on several"
            );
            return Err(alloc::vec![
                Diagnostic::error("server-refuses", "decode_context_parallel_size", message).with_hint(hint)
            ]);
        }
        let Stage { number, footprint, memory, budget, layout, num_blocks } = self.tightest()?;
        let plan = layout.plan(num_blocks);
        let made_for = u32::try_from(self.longest_context).unwrap_or(LONGEST).min(LONGEST);
        let limit = if made_for > 0 { made_for } else { LONGEST }.max(settings.max_model_len);
        let printed_tokens = match plan {
            Ok(_) if self.version.prints_slots() => layout.slots(num_blocks),
            Ok(plan) => plan.tokens,
            Err(_) => 0,
        };
        let with_fp8 = Self { kv_cache_dtype: KvDtype::Fp8, ..*self };
        Ok(Fit {
            accelerator: self.accelerator.id.clone(),
            memory_source: self.accelerator.driver_memory_source.clone(),
            utilization: self.utilization,
            version: self.version,
            limits: self.limits,
            settings,
            memory: self.memory,
            stage: (u32::try_from(number + 1).unwrap_or(u32::MAX), self.num_stages()),
            weights: footprint.bytes_on_rank(self.shared_by()),
            model: memory.model,
            batch_bytes: [memory.forward_bytes(), memory.sampling_bytes()],
            batch_tokens: memory.batch_tokens(),
            band: (self.memory == CacheMemory::LeftOver).then(|| band(&memory)),
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

    /// What the planner is told.
    fn settings(&self) -> KvSettings {
        let made_for = u32::try_from(self.longest_context).unwrap_or(LONGEST);
        let usual = if made_for > 0 { made_for } else { USUAL_LENGTH };
        KvSettings {
            model_value_bytes: self.footprint.value_bytes,
            state_value_bytes: self.footprint.state_bytes,
            kv_cache_dtype: self.kv_cache_dtype,
            block_size: self.block_size,
            kernel_blocks: KernelBlocks::of(self.accelerator.generation),
            enable_prefix_caching: self.enable_prefix_caching,
            decode_context_parallel_size: self.decode_context_parallel_size,
            is_hybrid_manager_disabled: self.is_hybrid_manager_disabled,
            max_in_flight_tokens: max_in_flight_tokens(
                self.limits.max_num_batched_tokens,
                self.async_scheduling,
                self.num_stages(),
            ),
            rules: PlanRules::of(self.version),
            ..KvSettings::new(self.tensor_parallel_size, self.max_model_len.unwrap_or(usual))
        }
    }

    fn num_stages(&self) -> u32 {
        self.pipeline.map_or(1, |pipeline| u32::try_from(pipeline.stages.len()).unwrap_or(u32::MAX))
    }

    /// The stage with the fewest blocks, which every other one has to do with.
    fn tightest(&self) -> Result<Stage<'_>, Vec<Diagnostic>> {
        let settings = self.settings();
        let stage = |number: usize, footprint, layout: KvLayout| {
            let memory = self.memory_question(footprint);
            let budget = memory.budget();
            // A stage of layers that keep nothing has room for any number of the others' blocks.
            let is_free = self.pipeline.is_some() && layout.block_bytes == 0 && budget.available_bytes() > 0;
            let num_blocks = if is_free { u64::MAX } else { self.num_blocks(&layout, &budget) };
            Stage { number, footprint, memory, budget, layout, num_blocks }
        };
        let own = |pipeline: &Pipeline, number: usize| {
            KvLayout::of_stage(&pipeline.caches, |place| pipeline.stage_of(place) == number, settings)
        };
        let Some((pipeline, (first, further))) = self.pipeline.and_then(|cut| Some((cut, cut.stages.split_first()?)))
        else {
            return Ok(stage(0, self.footprint, KvLayout::new(&self.footprint.all_caches(), settings)?));
        };
        let mut tightest = stage(0, first, own(pipeline, 0)?);
        for (number, footprint) in (1..).zip(further) {
            let next = stage(number, footprint, own(pipeline, number)?);
            // Stages of equal blocks, as told ones are, are told apart by what they leave.
            let key = |stage: &Stage<'_>| (stage.num_blocks, stage.budget.available_bytes());
            if key(&next) < key(&tightest) {
                tightest = next;
            }
        }
        Ok(tightest)
    }

    fn memory_question<'q>(&'q self, footprint: &'q Footprint) -> MemoryQuestion<'q> {
        let world_size = self.tensor_parallel_size.saturating_mul(self.num_stages());
        MemoryQuestion {
            accelerator: self.accelerator,
            utilization: self.utilization,
            tensor_parallel_size: self.tensor_parallel_size,
            world_size: world_size.saturating_mul(self.data_parallel_size.max(1)),
            version: self.version,
            limits: self.limits,
            max_model_len: self.settings().max_model_len,
            model: ModelMemory::of(footprint, self.shared_by()),
        }
    }

    fn shared_by(&self) -> SharedBy {
        SharedBy {
            ranks: self.tensor_parallel_size,
            replicas: self.data_parallel_size,
            has_whole_experts: self.enable_expert_parallel,
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
        Self { tensor_parallel_size: ranks, ..*self }
    }

    /// Whether such a server starts: its weights fit, its heads divide, and one sequence of the asked length fits.
    fn fits(&self) -> bool {
        let starts = |stage: Stage<'_>| {
            let told = match self.memory {
                CacheMemory::LeftOver => 0,
                CacheMemory::Bytes(bytes) => bytes,
                CacheMemory::Blocks(blocks) => blocks.saturating_mul(stage.layout.block_bytes),
            };
            let has_room = stage.budget.weight_bytes + told as f64 <= stage.budget.total_bytes;
            has_room && stage.budget.available_bytes() > 0 && stage.layout.plan(stage.num_blocks).is_ok()
        };
        let splits = self.most_context_ranks().is_none_or(|most| self.decode_context_parallel_size <= most);
        self.divides() && splits && self.tightest().is_ok_and(starts)
    }

    /// Tokens that `--block-size` must be a multiple of: the smallest block that all attention kernels take.
    #[must_use]
    pub fn block_step(&self) -> u64 {
        kernel_block(&self.footprint.all_caches(), &self.settings())
    }

    /// The most ranks that may split the tokens of a cache; none where they do not.
    ///
    /// # Source
    /// Read in vLLM's sources: as many as there are copies of each KV head, and every rank where attention is latent.
    fn most_context_ranks(&self) -> Option<u32> {
        if self.decode_context_parallel_size <= 1 {
            return None;
        }
        let heads = self.footprint.caches.iter().filter_map(|alike| match alike.cache {
            Cache::Attention { heads, .. } => Some(heads),
            _ => None,
        });
        Some(heads.max().map_or(self.tensor_parallel_size, |heads| self.tensor_parallel_size / heads.max(1)).max(1))
    }

    /// Whether each rank has as many attention heads.
    fn divides(&self) -> bool {
        self.footprint.query_heads.is_multiple_of(self.tensor_parallel_size)
    }

    /// The numbers of ranks that the heads can be split over, in words.
    fn sizes(&self) -> String {
        let can_be = |ranks: &u32| {
            let with = self.with_ranks(*ranks);
            with.divides() && KvLayout::new(&self.footprint.all_caches(), with.settings()).is_ok()
        };
        let sizes: Vec<String> = (1..=LARGEST_SIZE).filter(can_be).map(|ranks| ranks.to_string()).collect();
        match sizes.split_last() {
            Some((last, others)) if !others.is_empty() => format!("{} or {last}", others.join(", ")),
            Some((only, _)) => only.clone(),
            None => "1".into(),
        }
    }
}

impl Fit {
    /// Blocks that the memory makes, whatever the server is told.
    #[must_use]
    pub fn planned_blocks(&self) -> u64 {
        self.layout.num_blocks(self.budget.available_bytes())
    }

    /// Whether weights and cache are more than the accelerator has, as they may be where the cache is told.
    #[must_use]
    pub fn exceeds_memory(&self) -> bool {
        self.budget.weight_bytes + self.available_bytes as f64 > self.budget.total_bytes
    }

    /// Whether such a server starts.
    #[must_use]
    pub fn starts(&self) -> bool {
        self.plan.is_ok() && !self.exceeds_memory()
    }

    /// Whether the weights and what is beside them leave nothing for a cache.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.budget.available_bytes() == 0
    }
}
