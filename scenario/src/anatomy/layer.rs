//! A layer of a model.

use super::{Cache, Part, Tensor, sum};
use alloc::vec::Vec;

/// A layer: what mixes the tokens, what follows, and every tensor of it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Layer {
    /// Query heads of its attention; 0 without attention.
    pub heads: u32,
    /// What it keeps of a sequence; empty if it mixes no tokens or reads another layer's cache.
    pub caches: Vec<Cache>,
    /// Whether its attention reads the cache of an earlier layer and keeps none.
    pub shares_cache: bool,
    /// What follows the attention.
    pub feed_forward: FeedForward,
    /// All tensors.
    pub tensors: Vec<Tensor>,
}

/// What a layer does to each token alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FeedForward {
    /// Nothing.
    #[default]
    None,
    /// One network for all tokens.
    Dense {
        /// Values between its matrices.
        size: u32,
        /// Whether a second projection gates the first: three matrices instead of two.
        is_gated: bool,
    },
    /// A network of experts.
    Experts(Experts),
}

/// Experts of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Experts {
    /// Experts to choose from.
    pub routed: u32,
    /// Experts chosen for each token.
    pub active: u32,
    /// Values between the matrices of one expert.
    pub size: u32,
    /// Values between the matrices of the experts that every token passes, together; 0 without.
    pub shared_size: u32,
    /// Whether a second projection gates the first.
    pub is_gated: bool,
}

impl Layer {
    /// Parameters of all tensors.
    #[must_use]
    pub fn parameters(&self) -> u64 {
        sum(self.tensors.iter().map(Tensor::parameters))
    }

    /// Parameters that take part in computing one token.
    #[must_use]
    pub fn active_parameters(&self) -> u64 {
        let (active, routed) = match self.feed_forward {
            FeedForward::Experts(experts) => (u64::from(experts.active), u64::from(experts.routed)),
            _ => (1, 1),
        };
        let of = |tensor: &Tensor| match tensor.part {
            // What no checkpoint stores takes part in nothing.
            _ if tensor.stored.bits == 0.0 => 0,
            Part::RoutedExperts => tensor.parameters().saturating_mul(active).checked_div(routed).unwrap_or(0),
            _ => tensor.parameters(),
        };
        sum(self.tensors.iter().map(of))
    }
}
