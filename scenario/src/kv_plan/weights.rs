//! What of a model's weights stands on one rank.

use super::CacheHints;
use super::memory::ModelMemory;
use super::of_anatomy::{caches_of_server, state_bytes};
use crate::anatomy::{Anatomy, FeedForward, Layer, Tensor};
use crate::catalog::{Cache, Caches, Compute, Footprint, Part, Spread, Weights};
use alloc::vec::Vec;

impl Footprint {
    /// What a model takes of a server's memory, from its anatomy and what its config says beside the layers.
    ///
    /// A checkpoint of 32-bit values is read as 16-bit ones, as vLLM's `--dtype auto` has it.
    /// `vision_bytes` are those of a tower beside the language model, which is split like it; 0 without one.
    ///
    /// # Model
    /// Matrices are split evenly. Norms, routers, indexers and the projections that make latent vectors stand on every
    /// rank, and so do keys and values of fewer heads than ranks.
    #[must_use]
    pub fn of(anatomy: &Anatomy, hints: CacheHints, vision_bytes: u64) -> Self {
        let outside = anatomy.outside.iter().map(|tensor| (tensor, 0));
        let inside = anatomy.layers.iter().flat_map(|layer| {
            let heads = kv_heads(layer);
            layer.tensors.iter().map(move |tensor| (tensor, heads))
        });
        let is_read_narrower = anatomy.outside.first().is_some_and(|tensor| tensor.stored.bits > 16.0);
        let mut weights: Vec<Weights> = Vec::new();
        let mut add = |part, spread, bytes: u64| {
            let alike = |known: &&mut Weights| (known.part, known.spread) == (part, spread);
            match weights.iter_mut().find(alike) {
                Some(known) => known.bytes = known.bytes.saturating_add(bytes),
                None => weights.push(Weights { part, spread, bytes }),
            }
        };
        for (tensor, heads) in outside.chain(inside) {
            let bytes = if is_read_narrower { tensor.bytes_narrowed_to(16.0) } else { tensor.bytes() };
            add(tensor.part, spread(tensor, heads), bytes);
        }
        if vision_bytes > 0 {
            add(Part::Vision, Spread::Split, vision_bytes);
        }
        let mut footprint = Self {
            weights,
            caches: counted(&caches_of_server(anatomy, hints)),
            is_read_narrower,
            // Servers read 32-bit checkpoints as 16-bit values.
            value_bytes: 2,
            state_bytes: state_bytes(anatomy, hints),
            query_heads: anatomy.layers.iter().fold(0, |common, layer| greatest_divisor(common, layer.heads)),
            hidden_size: anatomy.hidden_size,
            vocab_size: anatomy.vocab_size,
            feed_forward_size: 0,
            active_experts: 0,
            expert_size: 0,
            compute: Compute::of(anatomy),
        };
        for layer in &anatomy.layers {
            match layer.feed_forward {
                FeedForward::None => {}
                FeedForward::Dense { size, .. } => footprint.feed_forward_size = footprint.feed_forward_size.max(size),
                FeedForward::Experts(experts) => {
                    footprint.feed_forward_size = footprint.feed_forward_size.max(experts.shared_size);
                    footprint.active_experts = footprint.active_experts.max(experts.active);
                    footprint.expert_size = footprint.expert_size.max(experts.size);
                }
            }
        }
        footprint
    }
}

/// How often each kind of cache occurs, the first of which is met first. The planner asks for no other order.
fn counted(caches: &[Cache]) -> Vec<Caches> {
    let mut counted: Vec<Caches> = Vec::new();
    for cache in caches {
        match counted.iter_mut().find(|known| known.cache == *cache) {
            Some(known) => known.count = known.count.saturating_add(1),
            None => counted.push(Caches { count: 1, cache: *cache }),
        }
    }
    counted
}

fn greatest_divisor(mut a: u32, mut b: u32) -> u32 {
    while let Some(rest) = a.checked_rem(b) {
        (a, b) = (b, rest);
    }
    a
}

/// KV heads of a layer; 0 without.
fn kv_heads(layer: &Layer) -> u32 {
    let heads = layer.caches.iter().find_map(|cache| match cache {
        Cache::Attention { heads, .. } => Some(*heads),
        _ => None,
    });
    heads.unwrap_or(0)
}

/// How ranks share a tensor of a layer with so many KV heads.
fn spread(tensor: &Tensor, heads: u32) -> Spread {
    match tensor.name {
        _ if tensor.is_whole_on_each_rank() => Spread::EachRank,
        "self_attn.k_proj" | "self_attn.v_proj" if heads > 0 => Spread::Heads { heads },
        _ => Spread::Split,
    }
}

impl ModelMemory {
    /// What a rank of `ranks` holds of a model, and what its batches are made of; `replicas` with experts share these.
    #[must_use]
    pub fn of(footprint: &Footprint, ranks: u32, replicas: u32) -> Self {
        let ranks = ranks.max(1);
        let bytes = |weights: &Weights| match weights.part {
            Part::RoutedExperts => rank_bytes(weights, ranks.saturating_mul(replicas.max(1))),
            _ => rank_bytes(weights, ranks),
        };
        Self {
            rank_weight_bytes: footprint.weights.iter().fold(0, |sum, weights| sum.saturating_add(bytes(weights))),
            hidden_size: footprint.hidden_size,
            vocab_size: footprint.vocab_size,
            feed_forward_size: footprint.feed_forward_size,
            active_experts: footprint.active_experts,
            expert_size: footprint.expert_size,
            has_latent_attention: footprint.caches.iter().any(|alike| matches!(alike.cache, Cache::Latent { .. })),
            has_vision: footprint.bytes_of(Part::Vision) > 0,
        }
    }
}

/// Bytes on one rank.
fn rank_bytes(weights: &Weights, ranks: u32) -> u64 {
    let share = weights.bytes.div_ceil(ranks.into());
    match weights.spread {
        Spread::EachRank => weights.bytes,
        Spread::Split => share,
        Spread::Heads { heads } => share.saturating_mul(ranks.checked_div(heads).unwrap_or(1).max(1).into()),
    }
}
