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
    /// What a rank of such a server holds of a model, and what its batches are made of.
    #[must_use]
    pub fn of(footprint: &Footprint, shared_by: SharedBy) -> Self {
        let parts = footprint.bytes_on_rank(shared_by);
        Self {
            rank_weight_bytes: parts.iter().fold(0, |sum, (_, bytes)| sum.saturating_add(*bytes)),
            hidden_size: footprint.hidden_size,
            vocab_size: footprint.vocab_size,
            feed_forward_size: footprint.feed_forward_size,
            active_experts: footprint.active_experts,
            expert_size: footprint.expert_size,
            has_whole_experts: shared_by.has_whole_experts,
            value_bytes: footprint.value_bytes,
            has_latent_attention: footprint.caches.iter().any(|alike| matches!(alike.cache, Cache::Latent { .. })),
            has_vision: footprint.bytes_of(Part::Vision) > 0,
        }
    }
}

/// Who shares the weights of a pipeline stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SharedBy {
    /// Ranks that split each layer.
    pub ranks: u32,
    /// Replicas of the server; they share the experts.
    pub replicas: u32,
    /// Whether experts are given to ranks as they are (`--enable-expert-parallel`), and not a part of each to every rank.
    pub has_whole_experts: bool,
}

impl SharedBy {
    /// So many ranks and nobody else.
    #[must_use]
    pub fn ranks(ranks: u32) -> Self {
        Self { ranks, replicas: 1, has_whole_experts: false }
    }
}

impl Footprint {
    /// Bytes on a rank by what they are for; parts without any are left out.
    #[must_use]
    pub fn bytes_on_rank(&self, shared_by: SharedBy) -> Vec<(Part, u64)> {
        let ranks = shared_by.ranks.max(1);
        let of_experts = ranks.saturating_mul(shared_by.replicas.max(1));
        let num_experts = self.compute.layers.iter().filter_map(|layer| layer.experts).map(|experts| experts.routed);
        let num_experts = u64::from(num_experts.max().filter(|_| shared_by.has_whole_experts).unwrap_or(0));
        let bytes = |weights: &Weights| match weights.part {
            // The rank with the most experts has one more where they do not divide.
            Part::RoutedExperts if num_experts > 0 => {
                weights.bytes.div_ceil(num_experts).saturating_mul(num_experts.div_ceil(of_experts.into()))
            }
            Part::RoutedExperts => rank_bytes(weights, of_experts),
            _ => rank_bytes(weights, ranks),
        };
        let of_part = |part: Part| {
            let own = self.weights.iter().filter(|weights| weights.part == part);
            (part, own.fold(0_u64, |sum, weights| sum.saturating_add(bytes(weights))))
        };
        Part::ALL.into_iter().map(of_part).filter(|(_, bytes)| *bytes > 0).collect()
    }

    /// Makes it that of a server with `--dtype float32`: what no quantizer has touched is read as 32-bit values, and
    /// cached values and states are as wide unless the server is told otherwise.
    ///
    /// `anatomy` is that of the whole model; a pipeline stage has its share of what is added.
    pub fn be_read_as_32_bits(&mut self, anatomy: &Anatomy) {
        let inside = anatomy.layers.iter().flat_map(|layer| {
            let heads = kv_heads(layer);
            layer.tensors.iter().map(move |tensor| (tensor, heads))
        });
        let tensors: Vec<(&Tensor, u32)> = anatomy.outside.iter().map(|tensor| (tensor, 0)).chain(inside).collect();
        for weights in &mut self.weights {
            let alike = |(tensor, heads): &&(&Tensor, u32)| {
                (tensor.part, spread(tensor, *heads)) == (weights.part, weights.spread)
            };
            let (mut narrow, mut wide) = (0_u128, 0_u128);
            for (tensor, _) in tensors.iter().filter(alike) {
                let bytes = tensor.bytes_narrowed_to(16.0);
                let is_plain = tensor.stored.bits >= 16.0;
                narrow += u128::from(bytes);
                wide += u128::from(if is_plain { tensor.parameters().saturating_mul(4) } else { bytes });
            }
            let bytes = u128::from(weights.bytes).saturating_mul(wide).checked_div(narrow);
            weights.bytes = bytes.map_or(weights.bytes, |bytes| u64::try_from(bytes).unwrap_or(u64::MAX));
        }
        for tower in self.weights.iter_mut().filter(|weights| weights.part == Part::Vision) {
            tower.bytes = tower.bytes.saturating_mul(2);
        }
        self.value_bytes = 4;
        self.state_bytes = 4;
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
