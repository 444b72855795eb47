//! What vLLM keeps of a model's layers, where it differs from what the layers are.

use super::{KvLayer, Span, StateLayer, StateShape};
use crate::anatomy::{Anatomy, Cache, Layer, Span as Reach, StateShape as State};
use crate::diagnostic::Diagnostic;
use alloc::format;
use alloc::vec::Vec;

/// Tokens an indexer's scale stands for, and the bytes of the scale.
const INDEXER_SCALE: (u32, u32) = (128, 4);

/// Patches of the largest image that cross attention looks at: four tiles of 1,601.
const IMAGE_TOKENS: u32 = 6404;

/// What a config says of caches beside the layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CacheHints {
    /// Bytes of a value of the recurrent part of states, where the config states a type for it.
    pub state_bytes: Option<u32>,
    /// Values of a key without the position in it, in models with latent attention.
    pub qk_nope_head_dim: u32,
}

impl KvLayer {
    /// The caches of a model, layer by layer.
    ///
    /// # Errors
    /// Caches that vLLM does not have, or that are not described here.
    ///
    /// # Source
    /// Model classes of vLLM 0.32.
    pub fn all_of(anatomy: &Anatomy, hints: CacheHints) -> Result<Vec<Self>, Vec<Diagnostic>> {
        let family = anatomy.model_type.as_str();
        let mut layers = Vec::with_capacity(anatomy.layers.len());
        for layer in &anatomy.layers {
            for cache in &layer.caches {
                layers.push(kept(cache, layer, family, hints).ok_or_else(|| {
                    let message = format!("the caches of {family} layers are not described");
                    let problem = Diagnostic::error("kv-cache-unknown", "config.json:model_type", message);
                    alloc::vec![problem.with_hint("state the number of KV blocks that the server logs")]
                })?);
            }
        }
        if family == "zamba2" {
            // The blocks that its layers share are built before the layers.
            layers.sort_by_key(|layer| matches!(layer, KvLayer::State(_)));
        }
        Ok(layers)
    }
}

fn kept(cache: &Cache, layer: &Layer, family: &str, hints: CacheHints) -> Option<KvLayer> {
    Some(match *cache {
        Cache::Attention { heads, key_size, value_size, span } => {
            // Keys and values of one head lie side by side in equal parts.
            let value_size = if family == "minicpm3" { key_size } else { value_size };
            KvLayer::Attention { heads, key_size, value_size, span: reach(span, family) }
        }
        // These compute keys and values of every head and keep those.
        Cache::Latent { rope, span, .. } if matches!(family, "minicpm3" | "mistral4") => {
            let size = hints.qk_nope_head_dim.saturating_add(rope);
            KvLayer::Attention { heads: layer.heads, key_size: size, value_size: size, span: reach(span, family) }
        }
        Cache::Latent { rank, rope, is_sparse, span: Reach::Full } => KvLayer::Latent { rank, rope, is_sparse },
        Cache::Indexer { key_size } => {
            let (tokens, bytes) = INDEXER_SCALE;
            let scales = key_size.div_ceil(tokens).saturating_mul(bytes);
            KvLayer::Indexer { bytes_per_token: key_size.saturating_add(scales) }
        }
        Cache::State(shape) => KvLayer::State(state(shape, family, hints)?),
        Cache::Cross { heads, key_size, value_size } => {
            KvLayer::Cross { heads, key_size, value_size, encoder_tokens: IMAGE_TOKENS }
        }
        Cache::Latent { .. } | Cache::Compressed { .. } => return None,
    })
}

fn reach(span: Reach, family: &str) -> Span {
    match span {
        Reach::Full => Span::Full,
        // These look back so many tokens and see themselves too.
        Reach::Sliding { window } if family.starts_with("cohere2") => {
            Span::Sliding { window: window.saturating_add(1) }
        }
        Reach::Sliding { window } => Span::Sliding { window },
        Reach::Chunked { chunk } => Span::Chunked { chunk },
    }
}

/// A state and its widths: servers run in 16 bits, but some keep the recurrent part in 32.
fn state(shape: State, family: &str, hints: CacheHints) -> Option<StateLayer> {
    let shape = match shape {
        State::Mamba1 { inner, state, kernel } => StateShape::Mamba1 { inner, state, kernel },
        State::Mamba2 { inner, groups, heads, head_size, state, kernel } => {
            StateShape::Mamba2 { inner, groups, heads, head_size, state, kernel }
        }
        State::GatedDelta { key_heads, value_heads, key_size, value_size, kernel } => {
            StateShape::GatedDelta { key_heads, value_heads, key_size, value_size, kernel }
        }
        State::DeltaAttention { heads, head_size, kernel } => StateShape::DeltaAttention { heads, head_size, kernel },
        State::Convolution { channels, kernel } => StateShape::Convolution { channels, kernel },
        State::Linear { heads, key_size, value_size } => StateShape::Linear { heads, key_size, value_size },
        State::Vectors { .. } => return None,
    };
    let state_bytes = match shape {
        StateShape::DeltaAttention { .. } => 4,
        _ if family == "nemotron_h" => hints.state_bytes.unwrap_or(4),
        _ if family.starts_with("qwen3_5") => hints.state_bytes.unwrap_or(2),
        _ => 2,
    };
    Some(StateLayer { shape, conv_bytes: 2, state_bytes })
}
