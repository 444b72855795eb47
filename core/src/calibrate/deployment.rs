//! What is taken for granted of a server where its logs do not tell.

use crate::catalog::{AcceleratorSpec, Catalog, Footprint, ModelSpec, weight_bytes_from_name};
use crate::kv_plan::{CacheMemory, FitQuestion, KvDtype};
use crate::measurement::MeasuredDeployment;
use crate::scenario::{
    Batching, EngineConfig, KvGroups, Limits, PriorityPolicy, Rules, SchedulerPolicy, ServerVersion, SimulatedBlocks,
    VllmRules,
};
use crate::time::SimTime;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// Accelerator of a server whose log names none: the one most published logs come from.
const DEFAULT_ACCELERATOR: &str = "H100";
/// The server's default block.
const DEFAULT_BLOCK_SIZE: u32 = 16;
/// Share of the memory that must be left beside the weights. Servers use nine tenths of it, so with a quarter left an
/// accelerator of 80 GB keeps 12 GiB of keys and values; with less, hardly anybody would run the model so.
const LEAST_CACHE_SHARE: f64 = 0.25;

/// A server as far as it is known, with guesses for the rest.
#[derive(Debug, Clone, PartialEq)]
pub struct Deployment {
    /// Architecture, if the model is in the catalogue or resembles one there.
    pub model: Option<ModelSpec>,
    /// Data sheet.
    pub accelerator: Option<AcceleratorSpec>,
    /// Accelerators per replica.
    pub tensor_parallel_size: u32,
    /// Limits of the engine.
    pub engine: EngineConfig,
    /// What is a guess, in words.
    pub guesses: Vec<String>,
}

impl Deployment {
    /// As many blocks as no run fills, where the model is not known or its memory cannot be told.
    pub const UNLIMITED_BLOCKS: u32 = 1_000_000;

    /// KV blocks, stated or guessed; none where they are taken as more than any run fills.
    #[must_use]
    pub fn known_blocks(&self) -> Option<u32> {
        Some(self.engine.num_blocks).filter(|blocks| *blocks < Self::UNLIMITED_BLOCKS)
    }

    /// The size of blocks that a scenario of this server states, tokens: with groups of layers the simulation's is no
    /// setting.
    pub(super) fn block_size_in_force(&self, stated: &MeasuredDeployment) -> u32 {
        match self.engine.rules {
            Rules::VllmV1(rules) if !rules.groups.is_empty() => stated_block_size(stated),
            Rules::VllmV1(_) | Rules::Reference => self.engine.block_size,
        }
    }

    /// Fills in what `stated` lacks.
    #[must_use]
    pub fn guess(catalog: &Catalog, stated: &MeasuredDeployment) -> Self {
        let mut guesses = Vec::new();
        let model = stated.model.as_deref().and_then(|id| guess_model(catalog, id, &mut guesses));
        let accelerator = match stated.accelerator.as_deref().and_then(|id| catalog.accelerator(id)) {
            Some(known) => Some(known.clone()),
            None => {
                guesses.push(format!("accelerator {DEFAULT_ACCELERATOR}"));
                catalog.accelerator(DEFAULT_ACCELERATOR).cloned()
            }
        };
        let tensor_parallel_size = stated.tensor_parallel_size.unwrap_or_else(|| {
            let size = model.as_ref().zip(accelerator.as_ref()).map_or(1, |(m, a)| least_parallelism(m, a));
            guesses.push(format!("tensor_parallel_size {size}"));
            size
        });
        let limits = likely_limits(model.as_ref(), accelerator.as_ref(), stated);
        let known = model.as_ref().zip(accelerator.as_ref());
        let likely = known.and_then(|(m, a)| likely_blocks(m, a, tensor_parallel_size, limits, stated));
        let groups = likely.map_or_else(KvGroups::default, |likely| likely.groups);
        let block_size = likely.map_or_else(|| stated_block_size(stated), |likely| likely.block_size);
        let likely = likely.and_then(|likely| u32::try_from(likely.blocks).ok());
        let mut or_default = |value: Option<u32>, name: &str, default: u32| {
            value.filter(|value| *value > 0).unwrap_or_else(|| {
                guesses.push(format!("{name} {default}"));
                default
            })
        };
        let engine = EngineConfig {
            num_blocks: or_default(stated.num_gpu_blocks, "num_gpu_blocks", likely.unwrap_or(Self::UNLIMITED_BLOCKS)),
            block_size,
            max_num_seqs: or_default(stated.max_num_seqs, "max_num_seqs", limits.max_num_seqs),
            max_num_batched_tokens: or_default(
                stated.max_num_batched_tokens,
                "max_num_batched_tokens",
                limits.max_num_batched_tokens,
            ),
            long_prefill_token_threshold: 0,
            // Recorded requests were served, whatever the limit.
            max_model_len: 0,
            // Which prompts share a beginning is not recorded.
            enable_prefix_caching: false,
            scheduler: SchedulerPolicy::Fcfs,
            priority: PriorityPolicy::Constant,
            cpu_tier: None,
            horizon: SimTime::MAX,
            // Steps that are planned synchronously, unless the fitted model finds another way.
            rules: Rules::VllmV1(VllmRules { batching: Batching::Sync, groups, ..VllmRules::default() }),
        };
        Self { model, accelerator, tensor_parallel_size, engine, guesses }
    }
}

/// The size of blocks that a log states, or the server's default.
fn stated_block_size(stated: &MeasuredDeployment) -> u32 {
    stated.block_size.unwrap_or(DEFAULT_BLOCK_SIZE).max(1)
}

/// The release of a server, the newest where its log states none.
fn likely_version(stated: &MeasuredDeployment) -> ServerVersion {
    stated.engine_version.as_deref().and_then(ServerVersion::parse).unwrap_or(ServerVersion::NEWEST)
}

/// The limits of a server's batch, as far as its log states none those of its release on its accelerator.
fn likely_limits(
    model: Option<&ModelSpec>,
    accelerator: Option<&AcceleratorSpec>,
    stated: &MeasuredDeployment,
) -> Limits {
    let length = stated.max_model_len.filter(|length| *length > 0);
    likely_version(stated).known().limits(accelerator).with_given(
        stated.max_num_batched_tokens.filter(|tokens| *tokens > 0),
        stated.max_num_seqs.filter(|sequences| *sequences > 0),
        length.map_or_else(|| model.map_or(0, ModelSpec::longest_context), u64::from),
    )
}

/// The blocks that a log states, or those that vLLM's planner makes of the memory; none where the model's layers are not
/// known, or leave no memory.
fn likely_blocks(
    model: &ModelSpec,
    accelerator: &AcceleratorSpec,
    tensor_parallel_size: u32,
    limits: Limits,
    stated: &MeasuredDeployment,
) -> Option<SimulatedBlocks> {
    let version = likely_version(stated);
    let stated_blocks = stated.num_gpu_blocks.filter(|blocks| *blocks > 0).map(u64::from);
    let question = FitQuestion {
        footprint: model.footprint.as_deref()?,
        longest_context: model.longest_context(),
        accelerator,
        tensor_parallel_size: tensor_parallel_size.max(1),
        pipeline: None,
        data_parallel_size: 1,
        enable_expert_parallel: false,
        decode_context_parallel_size: 1,
        is_hybrid_manager_disabled: false,
        utilization: version.gpu_memory_utilization(),
        version,
        limits,
        max_model_len: stated.max_model_len.filter(|length| *length > 0),
        kv_cache_dtype: KvDtype::Auto,
        block_size: stated.block_size.filter(|tokens| *tokens > 0),
        enable_prefix_caching: stated.enable_prefix_caching.unwrap_or(true),
        async_scheduling: version.async_scheduling(),
        memory: stated_blocks.map_or(CacheMemory::LeftOver, CacheMemory::Blocks),
    };
    let fit = question.answer().ok()?;
    match stated_blocks {
        // Blocks that a log states are of the size that it states.
        Some(blocks) => Some(SimulatedBlocks::of(&fit).of_stated(blocks, stated_block_size(stated))),
        None => Some(SimulatedBlocks::of(&fit)).filter(|likely| !fit.is_full() && likely.blocks > 0),
    }
}

/// The architecture of that id, or of one that is named alike but for a vendor, a prefix or a quantization.
fn guess_model(catalog: &Catalog, id: &str, guesses: &mut Vec<String>) -> Option<ModelSpec> {
    let bytes = weight_bytes_from_name(id);
    if let Some(model) = catalog.model(id) {
        return Some(model.clone());
    }
    let wanted = stem(id);
    let alike = catalog.models.iter().find(|model| stem(&model.id) == wanted)?;
    let mut model = alike.clone();
    model.weight_bytes_per_param = bytes;
    let width = |model: &ModelSpec| model.weight_bytes_per_param.unwrap_or(model.torch_dtype.bytes());
    let ratio = width(&model) / width(alike);
    if let Some(footprint) = &mut model.footprint {
        footprint.narrow(ratio);
    }
    guesses.push(format!("architecture of {}", alike.id));
    Some(model)
}

/// The last part of a model's name without words that do not change the architecture.
fn stem(id: &str) -> String {
    let name = id.rsplit('/').next().unwrap_or(id).to_ascii_lowercase();
    let words = name.split(['-', '_']).filter(|word| {
        let is_width = weight_bytes_from_name(word).is_some();
        !is_width
            && !matches!(*word, "meta" | "instruct" | "hf" | "dynamic" | "quantized.w8a8" | "quantized.w4a16" | "chat")
    });
    words.map(ToString::to_string).collect::<Vec<_>>().join("-")
}

/// The least power of two of accelerators that leaves room for a KV cache.
fn least_parallelism(model: &ModelSpec, accelerator: &AcceleratorSpec) -> u32 {
    let bytes = model.footprint.as_deref().map_or(0, Footprint::weight_bytes) as f64;
    let memory = accelerator.memory_gib * 1_073_741_824.0;
    [1, 2, 4, 8].into_iter().find(|size| bytes < (1.0 - LEAST_CACHE_SHARE) * memory * f64::from(*size)).unwrap_or(16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calibrate::tests::catalog;

    #[test]
    fn blocks_are_guessed_from_the_memory_and_only_where_the_model_is_known() {
        // No model: as many as no run fills.
        let unknown = Deployment::guess(&catalog(), &MeasuredDeployment::default());
        assert_eq!(unknown.engine.num_blocks, Deployment::UNLIMITED_BLOCKS);
        // What a log states stands.
        let stated = MeasuredDeployment { num_gpu_blocks: Some(77), ..MeasuredDeployment::default() };
        assert_eq!(Deployment::guess(&catalog(), &stated).engine.num_blocks, 77);
    }
}
