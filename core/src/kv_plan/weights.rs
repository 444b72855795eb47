//! What of a model's weights stands on one rank.

use super::memory::ModelMemory;
use crate::anatomy::{Anatomy, Cache, FeedForward, Layer, Part, Tensor};

/// Projections that every rank has in full: what they make is shared by all heads.
const SHARED_BY_HEADS: [&str; 4] =
    ["self_attn.q_a_proj", "self_attn.kv_a_proj_with_mqa", "self_attn.kv_a_proj", "self_attn.wkv_a"];

impl ModelMemory {
    /// What a rank of `ranks` holds of a model, and what its batches are made of.
    ///
    /// `vision_bytes` are those of a tower beside the language model, which is split like it; 0 without one.
    ///
    /// # Model
    /// Matrices are split evenly. Norms, routers, indexers and the projections that make latent vectors stand on every
    /// rank, and so do keys and values of fewer heads than ranks.
    #[must_use]
    pub fn of(anatomy: &Anatomy, ranks: u32, vision_bytes: u64) -> Self {
        let ranks = ranks.max(1);
        let outside = anatomy.outside.iter().map(|tensor| rank_bytes(tensor, ranks, 1));
        let layers = anatomy.layers.iter().flat_map(|layer| {
            let copies = copies_of_heads(layer, ranks);
            layer.tensors.iter().map(move |tensor| rank_bytes(tensor, ranks, copies))
        });
        let share = vision_bytes.div_ceil(ranks.into());
        let mut memory = Self {
            rank_weight_bytes: outside.chain(layers).fold(share, u64::saturating_add),
            hidden_size: anatomy.hidden_size,
            vocab_size: anatomy.vocab_size,
            feed_forward_size: 0,
            active_experts: 0,
            expert_size: 0,
            has_latent_attention: anatomy.caches().any(|cache| matches!(cache, Cache::Latent { .. })),
            has_vision: vision_bytes > 0,
        };
        for layer in &anatomy.layers {
            match layer.feed_forward {
                FeedForward::None => {}
                FeedForward::Dense { size, .. } => memory.feed_forward_size = memory.feed_forward_size.max(size),
                FeedForward::Experts(experts) => {
                    memory.feed_forward_size = memory.feed_forward_size.max(experts.shared_size);
                    memory.active_experts = memory.active_experts.max(experts.active);
                    memory.expert_size = memory.expert_size.max(experts.size);
                }
            }
        }
        memory
    }
}

/// How many ranks have the same keys and values of a layer.
fn copies_of_heads(layer: &Layer, ranks: u32) -> u32 {
    let heads = layer.caches.iter().find_map(|cache| match cache {
        Cache::Attention { heads, .. } => Some(*heads),
        _ => None,
    });
    heads.and_then(|heads| ranks.checked_div(heads)).unwrap_or(1).max(1)
}

/// Bytes of a tensor on one rank.
fn rank_bytes(tensor: &Tensor, ranks: u32, copies: u32) -> u64 {
    let bytes = tensor.bytes();
    let is_whole = matches!(tensor.part, Part::Norm | Part::Router)
        || SHARED_BY_HEADS.contains(&tensor.name)
        || tensor.name.contains("indexer.");
    if is_whole {
        return bytes;
    }
    let share = bytes.div_ceil(ranks.into());
    match tensor.name {
        "self_attn.k_proj" | "self_attn.v_proj" => share.saturating_mul(copies.into()),
        _ => share,
    }
}
