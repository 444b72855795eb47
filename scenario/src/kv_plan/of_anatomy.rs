//! What vLLM keeps of a model's layers, where it differs from what the layers are.

use crate::anatomy::{Anatomy, Layer};
use crate::catalog::{Cache, Span, StateShape};
use alloc::vec::Vec;

/// What a config says of caches beside the layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CacheHints {
    /// Bytes of a value of the recurrent part of states, where the config states a type for it.
    pub state_bytes: Option<u32>,
    /// Values of a key without the position in it, in models with latent attention.
    pub qk_nope_head_dim: u32,
}

/// The caches that a server has of a model, layer by layer.
///
/// # Source
/// Model classes of vLLM 0.32.
pub(super) fn caches_of_server(anatomy: &Anatomy, hints: CacheHints) -> Vec<Cache> {
    let family = anatomy.model_type.as_str();
    let of_layer = |layer: &'_ Layer| {
        let heads = layer.heads;
        layer.caches.clone().into_iter().map(move |cache| kept(cache, heads, family, hints))
    };
    let mut caches: Vec<Cache> = anatomy.layers.iter().flat_map(of_layer).collect();
    if family == "zamba2" {
        // The blocks that its layers share are built before the layers.
        caches.sort_by_key(|cache| matches!(cache, Cache::State(_)));
    }
    caches
}

/// Bytes of a value of the recurrent part of a model's states: servers run in 16 bits, but some keep it in 32.
pub(super) fn state_bytes(anatomy: &Anatomy, hints: CacheHints) -> u32 {
    let is_delta = |cache: &Cache| matches!(cache, Cache::State(StateShape::DeltaAttention { .. }));
    match anatomy.model_type.as_str() {
        _ if anatomy.caches().any(is_delta) => 4,
        "nemotron_h" => hints.state_bytes.unwrap_or(4),
        family if family.starts_with("qwen3_5") => hints.state_bytes.unwrap_or(2),
        _ => 2,
    }
}

fn kept(cache: Cache, query_heads: u32, family: &str, hints: CacheHints) -> Cache {
    match cache {
        // Keys and values of one head lie side by side in equal parts.
        Cache::Attention { heads, key_size, span, .. } if family == "minicpm3" => {
            Cache::Attention { heads, key_size, value_size: key_size, span }
        }
        // These look back so many tokens and see themselves too.
        Cache::Attention { heads, key_size, value_size, span: Span::Sliding { window } }
            if family.starts_with("cohere2") =>
        {
            let span = Span::Sliding { window: window.saturating_add(1) };
            Cache::Attention { heads, key_size, value_size, span }
        }
        // These compute keys and values of every head and keep those.
        Cache::Latent { rope, span, .. } if matches!(family, "minicpm3" | "mistral4") => {
            let size = hints.qk_nope_head_dim.saturating_add(rope);
            Cache::Attention { heads: query_heads, key_size: size, value_size: size, span }
        }
        other => other,
    }
}
