//! Pages: what one block of one layer takes, and the block size that makes those of a hybrid model equal.

use super::layer::product;
use super::{KvLayer, KvSettings, PlanRules, Span, StateShape};
use crate::diagnostic::Diagnostic;
use alloc::format;
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

/// The caches of a model's layers with their block sizes.
///
/// # Errors
/// Every setting and every layer that cannot be.
pub(super) fn specs(layers: &[KvLayer], settings: &KvSettings) -> Result<Vec<Spec>, Vec<Diagnostic>> {
    let mut problems = Vec::new();
    for (name, value) in [
        ("tensor_parallel_size", settings.tensor_parallel_size),
        ("decode_context_parallel_size", settings.decode_context_parallel_size),
        ("max_model_len", settings.max_model_len),
        ("model_value_bytes", settings.model_value_bytes),
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
    let blocks = BlockSizes::of(layers, settings);
    let mut specs = Vec::with_capacity(layers.len());
    for (index, layer) in layers.iter().enumerate() {
        match spec(layer, settings, blocks) {
            Ok(spec) => specs.push(spec),
            Err(message) => {
                // The same problem in each layer is told once.
                if !problems.iter().any(|known: &Diagnostic| known.message == message) {
                    problems.push(
                        Diagnostic::error("kv-heads-not-divisible", format!("layers[{index}]"), message)
                            .with_hint("choose a tensor_parallel_size that divides the heads"),
                    );
                }
            }
        }
    }
    if problems.is_empty() { Ok(specs) } else { Err(problems) }
}

fn spec(layer: &KvLayer, settings: &KvSettings, blocks: BlockSizes) -> Result<Spec, alloc::string::String> {
    let ranks = settings.tensor_parallel_size;
    let tokens = |kind, content, bytes_per_token| Spec {
        kind,
        block_size: blocks.attention,
        page_bytes: blocks.attention.saturating_mul(bytes_per_token),
        content,
    };
    Ok(match *layer {
        KvLayer::Attention { heads, key_size, value_size, span } => {
            let kind = match span {
                Span::Full => CacheKind::Full,
                Span::Sliding { window } => CacheKind::Sliding(window),
                Span::Chunked { chunk } => CacheKind::Chunked(chunk),
            };
            let heads = heads_of_rank(heads, ranks)?;
            tokens(kind, Content::Heads(heads, key_size, value_size), bytes_per_token(layer, settings))
        }
        KvLayer::Cross { heads, key_size, value_size, encoder_tokens } => {
            let heads = heads_of_rank(heads, ranks)?;
            let content = Content::Heads(heads, key_size, value_size);
            tokens(CacheKind::Cross(encoder_tokens), content, bytes_per_token(layer, settings))
        }
        KvLayer::Latent { .. } => {
            let bytes = bytes_per_token(layer, settings);
            tokens(CacheKind::Latent, Content::Vector(bytes), bytes)
        }
        KvLayer::Indexer { .. } => {
            let bytes = bytes_per_token(layer, settings);
            tokens(CacheKind::Indexer, Content::Vector(bytes), bytes)
        }
        KvLayer::State(state) => {
            let bytes = state.bytes(ranks).ok_or_else(|| format!("a state cannot be split over {ranks} ranks"))?;
            Spec {
                kind: CacheKind::State { exports_checkpoint: exports_checkpoint(layer, settings) },
                block_size: blocks.state,
                page_bytes: blocks.padded_state_bytes.unwrap_or(bytes),
                content: Content::State(state.shape, bytes),
            }
        }
    })
}

/// KV heads on one rank: its share, or a copy where there are fewer heads than ranks (A2).
fn heads_of_rank(heads: u32, ranks: u32) -> Result<u32, alloc::string::String> {
    let divides = if heads >= ranks { heads.is_multiple_of(ranks) } else { heads > 0 && ranks.is_multiple_of(heads) };
    if !divides {
        return Err(format!("{heads} KV heads cannot be split over {ranks} ranks"));
    }
    Ok(heads.checked_div(ranks).unwrap_or(0).max(1))
}

/// Bytes a token takes in a layer on one rank; 0 for a state (A2, A3).
pub(super) fn bytes_per_token(layer: &KvLayer, settings: &KvSettings) -> u64 {
    let value_bytes = u64::from(settings.value_bytes());
    match *layer {
        KvLayer::Attention { heads, key_size, value_size, .. } | KvLayer::Cross { heads, key_size, value_size, .. } => {
            let heads = heads.checked_div(settings.tensor_parallel_size).unwrap_or(0).max(1);
            product(&[heads.into(), u64::from(key_size).saturating_add(value_size.into()), value_bytes])
        }
        KvLayer::Latent { rank, rope, is_sparse } => {
            if is_sparse && value_bytes == 1 {
                // 8-bit values with a float32 scale per 128 of them, and the rotary part as 16-bit values.
                let scales = u64::from(rank).div_ceil(128).saturating_mul(4);
                return u64::from(rank).saturating_add(scales).saturating_add(u64::from(rope).saturating_mul(2));
            }
            u64::from(rank).saturating_add(rope.into()).saturating_mul(value_bytes)
        }
        KvLayer::Indexer { bytes_per_token } => bytes_per_token.into(),
        KvLayer::State(_) => 0,
    }
}

/// Whether a prompt's state can be exported within a step, which takes one more block (C2).
fn exports_checkpoint(layer: &KvLayer, settings: &KvSettings) -> bool {
    let KvLayer::State(state) = layer else { return false };
    state.exports_checkpoint()
        || settings.rules == PlanRules::V0_33 && matches!(state.shape, StateShape::GatedDelta { .. })
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
    fn of(layers: &[KvLayer], settings: &KvSettings) -> Self {
        let kernel_block = kernel_block(layers, settings);
        let asked = settings.block_size.map_or(kernel_block.max(DEFAULT_BLOCK_SIZE), u64::from);
        let state_block = |block: u64| match settings.enable_prefix_caching {
            true => block,
            // A single state stands for the whole sequence.
            false => settings.max_model_len.into(),
        };
        let state_bytes = layers.iter().filter_map(|layer| match layer {
            KvLayer::State(state) => state.bytes(settings.tensor_parallel_size),
            _ => None,
        });
        let state_bytes = state_bytes.max().unwrap_or(0);
        let token_bytes =
            layers.iter().map(|layer| bytes_per_token(layer, settings)).find(|bytes| *bytes > 0).unwrap_or(0);
        if state_bytes == 0 || token_bytes == 0 {
            return Self { attention: asked, state: state_block(asked), padded_state_bytes: None };
        }
        let mut step = kernel_block.max(asked);
        if layers.iter().any(|layer| matches!(layer, KvLayer::Latent { .. })) {
            step = step.max(HYBRID_LATENT_BLOCK);
        }
        let has_delta_net = layers.iter().any(
            |layer| matches!(layer, KvLayer::State(state) if matches!(state.shape, StateShape::GatedDelta { .. })),
        );
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
fn kernel_block(layers: &[KvLayer], settings: &KvSettings) -> u64 {
    let kernels = settings.kernel_blocks;
    let of_layer = |layer: &KvLayer| match layer {
        KvLayer::Attention { key_size: 512, .. } if settings.value_bytes() == 1 => Some(kernels.wide_fp8),
        KvLayer::Attention { .. } | KvLayer::Cross { .. } => Some(kernels.attention),
        KvLayer::Latent { is_sparse: true, .. } | KvLayer::Indexer { .. } => Some(kernels.sparse),
        KvLayer::Latent { .. } if settings.value_bytes() == 1 => Some(kernels.latent_fp8),
        KvLayer::Latent { .. } => Some(kernels.latent),
        KvLayer::State(_) => None,
    };
    layers.iter().filter_map(of_layer).max().map_or(DEFAULT_BLOCK_SIZE, u64::from)
}
