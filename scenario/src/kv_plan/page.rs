//! Pages: what one block of one layer takes, and the block size that makes those of a hybrid model equal.

use super::{KvSettings, PlanRules};
use crate::catalog::{Cache, Span, StateShape, product};
use crate::diagnostic::Diagnostic;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// The block size of a server that is told nothing and whose kernels ask for nothing (A5).
const DEFAULT_BLOCK_SIZE: u64 = 16;

/// Blocks of a hybrid model with latent attention are a multiple of this (A7).
const HYBRID_LATENT_BLOCK: u64 = 128;

/// Tokens between the checkpoints that vLLM 0.33 can export of a gated delta net (A7).
const DELTA_CHECKPOINT_GRID: u64 = 64;

/// The kind of a cache, as far as it decides who shares a group and how many blocks a sequence needs (A6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CacheKind {
    /// Keys and values of all tokens.
    Full,
    /// Those of a window of so many tokens.
    Sliding(u32),
    /// Those since the last multiple of so many tokens.
    Chunked(u32),
    /// Latent vectors of all tokens.
    Latent,
    /// Keys of an indexer.
    Indexer,
    /// A state.
    State {
        /// Whether a prompt's state can be exported within a step.
        exports_checkpoint: bool,
    },
    /// Keys and values of at most so many tokens of an encoder.
    Cross(u32),
}

impl CacheKind {
    /// Whether all tokens are kept, in one of the ways that can share a group.
    pub(crate) fn keeps_all(self) -> bool {
        matches!(self, CacheKind::Full | CacheKind::Latent | CacheKind::Indexer)
    }
}

/// One layer's cache on one rank, in the planner's terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spec {
    pub kind: CacheKind,
    /// Tokens of a block, at least 1.
    pub block_size: u64,
    /// Bytes of a block, with what it is padded by.
    pub page_bytes: u64,
    /// What the layer stores, which tells apart layers whose pages are equal by chance.
    pub content: Content,
    /// Which of the model's caches it is; no part of what makes layers alike.
    pub place: usize,
}

impl Spec {
    /// Whether two caches are the same in everything.
    pub fn is_like(&self, other: &Self) -> bool {
        *self == Self { place: self.place, ..*other }
    }
}

/// What a layer stores of a token or a sequence, on one rank.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    /// Heads, size of a key, size of a value.
    Heads(u32, u32, u32),
    /// Bytes of a token.
    Vector(u64),
    /// Bytes of the state.
    State(StateShape, u64),
}

/// A model's caches with their block sizes.
///
/// # Errors
/// Every setting and every cache that cannot be.
pub(super) fn specs(caches: &[Cache], settings: &KvSettings) -> Result<Vec<Spec>, Vec<Diagnostic>> {
    let mut problems = Vec::new();
    for (name, value) in [
        ("tensor_parallel_size", settings.tensor_parallel_size),
        ("decode_context_parallel_size", settings.decode_context_parallel_size),
        ("max_model_len", settings.max_model_len),
        ("model_value_bytes", settings.model_value_bytes),
        ("state_value_bytes", settings.state_value_bytes),
        ("block_size", settings.block_size.unwrap_or(1)),
    ] {
        if value == 0 {
            let message = format!("{name} is 0");
            problems.push(Diagnostic::error("invalid-value", name, message).with_hint("give at least 1"));
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let blocks = BlockSizes::of(caches, settings);
    let mut specs = Vec::with_capacity(caches.len());
    for (index, cache) in caches.iter().enumerate() {
        match spec(cache, caches, settings, blocks) {
            Ok(spec) => specs.push(Spec { place: index, ..spec }),
            // The same problem in each layer is told once.
            Err(problem) if problems.iter().any(|known: &Diagnostic| known.message == problem.message) => {}
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() { Ok(specs) } else { Err(problems) }
}

fn spec(cache: &Cache, all: &[Cache], settings: &KvSettings, blocks: BlockSizes) -> Result<Spec, Diagnostic> {
    let ranks = settings.tensor_parallel_size;
    let tokens = |kind, content, bytes_per_token| Spec {
        kind,
        block_size: blocks.attention,
        page_bytes: blocks.attention.saturating_mul(bytes_per_token),
        content,
        place: 0,
    };
    Ok(match *cache {
        Cache::Attention { heads, key_size, value_size, span } => {
            let kind = match span {
                Span::Full => CacheKind::Full,
                Span::Sliding { window } => CacheKind::Sliding(window),
                Span::Chunked { chunk } => CacheKind::Chunked(chunk),
            };
            let heads = heads_of_rank(heads, ranks)?;
            tokens(kind, Content::Heads(heads, key_size, value_size), bytes_per_token(cache, settings))
        }
        Cache::Cross { heads, key_size, value_size, tokens: most } => {
            let heads = heads_of_rank(heads, ranks)?;
            let content = Content::Heads(heads, key_size, value_size);
            tokens(CacheKind::Cross(most), content, bytes_per_token(cache, settings))
        }
        Cache::Latent { span: Span::Full, .. } => {
            let bytes = bytes_per_token(cache, settings);
            tokens(CacheKind::Latent, Content::Vector(bytes), bytes)
        }
        Cache::Indexer { .. } => {
            let bytes = bytes_per_token(cache, settings);
            tokens(CacheKind::Indexer, Content::Vector(bytes), bytes)
        }
        Cache::Compressed { .. } | Cache::Latent { .. } | Cache::State(StateShape::Vectors { .. }) => {
            return Err(unknown(all));
        }
        Cache::State(shape) => {
            let bytes = shape.rank_bytes(settings);
            let bytes = bytes.ok_or_else(|| indivisible(format!("a state cannot be split over {ranks} ranks")))?;
            Spec {
                kind: CacheKind::State { exports_checkpoint: exports_checkpoint(shape, settings) },
                block_size: blocks.state,
                page_bytes: blocks.padded_state_bytes.unwrap_or(bytes),
                content: Content::State(shape, bytes),
                place: 0,
            }
        }
    })
}

fn indivisible(message: String) -> Diagnostic {
    Diagnostic::error("kv-heads-not-divisible", "tensor_parallel_size", message)
        .with_hint("choose a tensor_parallel_size that divides the heads")
}

/// Caches that no server is known to plan, in the words of whoever knows the model; one reason for all its layers.
fn unknown(all: &[Cache]) -> Diagnostic {
    let is_compressed = all.iter().any(|cache| matches!(cache, Cache::Compressed { .. }));
    let is_latent = all.iter().any(|cache| matches!(cache, Cache::Latent { .. }));
    let layers = if is_compressed {
        "compressed attention, one entry for several tokens, as in DeepSeek-V4"
    } else if is_latent {
        "latent attention within a window"
    } else {
        "a recurrence that is no Mamba, as in RecurrentGemma, RWKV and xLSTM"
    };
    let message = format!(
        "how vLLM keeps the cache of this model is not described: it has layers of {layers}; parameters, weights and \
         bytes of a token are known"
    );
    let hint = "to simulate it, state the KV blocks that a server logs: `--total-kv-blocks` of `plimsoll run`, or \
                engine.num_gpu_blocks of a scenario; no setting makes the memory planned";
    Diagnostic::error("kv-cache-unknown", "layers", message).with_hint(hint)
}

/// KV heads on one rank: its share, or a copy where there are fewer heads than ranks (A2).
fn heads_of_rank(heads: u32, ranks: u32) -> Result<u32, Diagnostic> {
    let divides = if heads >= ranks { heads.is_multiple_of(ranks) } else { heads > 0 && ranks.is_multiple_of(heads) };
    if !divides {
        return Err(indivisible(format!("{heads} KV heads cannot be split over {ranks} ranks")));
    }
    Ok(heads.checked_div(ranks).unwrap_or(0).max(1))
}

/// Bytes a token takes in a layer on one rank; 0 for a state (A2, A3).
pub(super) fn bytes_per_token(cache: &Cache, settings: &KvSettings) -> u64 {
    let value_bytes = u64::from(settings.value_bytes());
    match *cache {
        Cache::Attention { heads, key_size, value_size, .. } | Cache::Cross { heads, key_size, value_size, .. } => {
            let heads = heads.checked_div(settings.tensor_parallel_size).unwrap_or(0).max(1);
            product(&[heads.into(), u64::from(key_size).saturating_add(value_size.into()), value_bytes])
        }
        Cache::Latent { rank, rope, is_sparse, .. } => {
            if is_sparse && value_bytes == 1 {
                // 8-bit values with a float32 scale per 128 of them, and the rotary part as 16-bit values.
                let scales = u64::from(rank).div_ceil(128).saturating_mul(4);
                return u64::from(rank).saturating_add(scales).saturating_add(u64::from(rope).saturating_mul(2));
            }
            u64::from(rank).saturating_add(rope.into()).saturating_mul(value_bytes)
        }
        // 8-bit values with a float32 scale per 128 of them, whatever the type of the cache.
        Cache::Indexer { key_size } => {
            let scales = u64::from(key_size).div_ceil(128).saturating_mul(4);
            u64::from(key_size).saturating_add(scales)
        }
        Cache::State(_) | Cache::Compressed { .. } => 0,
    }
}

/// Whether a prompt's state can be exported within a step, which takes one more block (C2).
fn exports_checkpoint(shape: StateShape, settings: &KvSettings) -> bool {
    shape.exports_checkpoint() || settings.rules == PlanRules::V0_33 && matches!(shape, StateShape::GatedDelta { .. })
}

/// Tokens of a block, before pages of different layers are made equal.
#[derive(Debug, Clone, Copy)]
struct BlockSizes {
    attention: u64,
    state: u64,
    /// What a state's page is padded to; none in a model without attention.
    padded_state_bytes: Option<u64>,
}

impl BlockSizes {
    /// # Source
    /// A5, and A7 where states stand beside attention.
    fn of(caches: &[Cache], settings: &KvSettings) -> Self {
        let kernel_block = kernel_block(caches, settings);
        let asked = settings.block_size.map_or(kernel_block.max(DEFAULT_BLOCK_SIZE), u64::from);
        let state_block = |block: u64| match settings.enable_prefix_caching {
            true => block,
            // A single state stands for the whole sequence.
            false => settings.max_model_len.into(),
        };
        let state_bytes = caches.iter().filter_map(|cache| match cache {
            Cache::State(shape) => shape.rank_bytes(settings),
            _ => None,
        });
        let state_bytes = state_bytes.max().unwrap_or(0);
        let token_bytes =
            caches.iter().map(|cache| bytes_per_token(cache, settings)).find(|bytes| *bytes > 0).unwrap_or(0);
        if state_bytes == 0 || token_bytes == 0 {
            return Self { attention: asked, state: state_block(asked), padded_state_bytes: None };
        }
        let mut step = kernel_block.max(asked);
        if caches.iter().any(|cache| matches!(cache, Cache::Latent { .. })) {
            step = step.max(HYBRID_LATENT_BLOCK);
        }
        let has_delta_net = caches.iter().any(|cache| matches!(cache, Cache::State(StateShape::GatedDelta { .. })));
        if settings.rules == PlanRules::V0_33 && settings.enable_prefix_caching && has_delta_net {
            step = step.next_multiple_of(DELTA_CHECKPOINT_GRID);
        }
        let needed = step.saturating_mul(state_bytes.div_ceil(step.saturating_mul(token_bytes).max(1)));
        // The kernels must be able to cut a block into theirs.
        let needed = needed.checked_next_multiple_of(kernel_block.max(1)).unwrap_or(needed);
        let block = asked.max(needed);
        Self {
            attention: block,
            state: state_block(block),
            padded_state_bytes: Some(block.saturating_mul(token_bytes)),
        }
    }
}

/// The smallest block that all attention kernels take; the default where there is no attention.
pub(super) fn kernel_block(caches: &[Cache], settings: &KvSettings) -> u64 {
    let kernels = settings.kernel_blocks;
    let of_cache = |cache: &Cache| match cache {
        Cache::Attention { key_size: 512, .. } if settings.value_bytes() == 1 => Some(kernels.wide_fp8),
        Cache::Attention { .. } | Cache::Cross { .. } => Some(kernels.attention),
        Cache::Latent { is_sparse: true, .. } | Cache::Indexer { .. } => Some(kernels.sparse),
        Cache::Latent { .. } if settings.value_bytes() == 1 => Some(kernels.latent_fp8),
        Cache::Latent { .. } => Some(kernels.latent),
        Cache::State(_) | Cache::Compressed { .. } => None,
    };
    caches.iter().filter_map(of_cache).max().map_or(DEFAULT_BLOCK_SIZE, u64::from)
}
