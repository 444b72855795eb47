//! What a model takes of a server's memory: its weights by how ranks share them, and what its layers keep.

use super::{Cache, Compute};
use crate::diagnostic::Diagnostic;
use alloc::format;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// What a tensor is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// Rows that are looked up by token or position.
    Embedding,
    /// Attention of any kind: projections, their norms, gates and sinks.
    Attention,
    /// Layers with a state instead of a cache: linear attention, state spaces, convolutions.
    State,
    /// Feed-forward layers without experts.
    FeedForward,
    /// Experts of which a router chooses some for each token.
    RoutedExperts,
    /// Experts that every token passes.
    SharedExperts,
    /// Which experts a token goes to.
    Router,
    /// Norms and whatever else is a vector between the blocks.
    Norm,
    /// The matrix from the last hidden state to the vocabulary.
    Head,
    /// A tower for images beside the language model.
    Vision,
}

impl Part {
    /// All parts.
    pub const ALL: [Part; 10] = [
        Part::Embedding,
        Part::Attention,
        Part::State,
        Part::FeedForward,
        Part::RoutedExperts,
        Part::SharedExperts,
        Part::Router,
        Part::Norm,
        Part::Head,
        Part::Vision,
    ];

    /// Its name for people.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Part::Embedding => "embedding",
            Part::Attention => "attention",
            Part::State => "state layers",
            Part::FeedForward => "feed-forward",
            Part::RoutedExperts => "routed experts",
            Part::SharedExperts => "shared experts",
            Part::Router => "routers",
            Part::Norm => "norms",
            Part::Head => "head",
            Part::Vision => "vision tower",
        }
    }
}

/// How ranks share weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "kebab-case")]
pub enum Spread {
    /// Each rank has its part.
    Split,
    /// Each rank has all of it.
    EachRank,
    /// By KV heads; further ranks have copies.
    Heads {
        /// KV heads.
        heads: u32,
    },
}

/// Weights of one purpose that ranks share in one way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Weights {
    /// What they are for.
    pub part: Part,
    /// How ranks share them.
    pub spread: Spread,
    /// Bytes of the whole model.
    pub bytes: u64,
}

/// Caches that are the same in everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Caches {
    /// How many.
    pub count: u32,
    /// Each of them.
    pub cache: Cache,
}

/// What a model takes of a server's memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Footprint {
    /// Its weights as the checkpoint stores them.
    pub weights: Vec<Weights>,
    /// What its layers keep, by the place of the first of each kind.
    pub caches: Vec<Caches>,
    /// Bytes of a cached value unless a server is told otherwise.
    pub value_bytes: u32,
    /// Bytes of a value of the recurrent part of a state.
    #[serde(default = "sixteen_bits", skip_serializing_if = "is_sixteen_bits")]
    pub state_bytes: u32,
    /// Numbers of ranks that divide this divide the query heads of every layer; 0 without attention.
    #[serde(default, skip_serializing_if = "is_none")]
    pub query_heads: u32,
    /// Whether its checkpoint has twice the bytes, 32-bit values that are read as 16-bit ones; known while a config is
    /// read, not kept.
    #[serde(skip)]
    pub is_read_narrower: bool,
    /// Width of the residual stream.
    pub hidden_size: u32,
    /// Rows of the output head.
    pub vocab_size: u32,
    /// Values between the matrices of the widest dense feed-forward layer; 0 without.
    #[serde(default, skip_serializing_if = "is_none")]
    pub feed_forward_size: u32,
    /// Experts per token; 0 in a model without.
    #[serde(default, skip_serializing_if = "is_none")]
    pub active_experts: u32,
    /// Values between the matrices of one expert.
    #[serde(default, skip_serializing_if = "is_none")]
    pub expert_size: u32,
    /// What a step computes of it.
    #[serde(default, skip_serializing_if = "Compute::is_unknown")]
    pub compute: Compute,
}

fn sixteen_bits() -> u32 {
    2
}

fn is_sixteen_bits(bytes: &u32) -> bool {
    *bytes == 2
}

fn is_none(size: &u32) -> bool {
    *size == 0
}

/// More layers than any model has; a larger number is a slip of the pen.
const MAX_LAYERS: u32 = 4096;

/// The largest size that is believed.
const MAX_SIZE: u32 = 16_777_216;

impl Footprint {
    /// Every cache of every layer.
    #[must_use]
    pub fn all_caches(&self) -> Vec<Cache> {
        self.caches.iter().flat_map(|alike| (0..alike.count).map(|_| alike.cache)).collect()
    }

    /// Bytes of all weights.
    #[must_use]
    pub fn weight_bytes(&self) -> u64 {
        self.weights.iter().fold(0, |sum, weights| sum.saturating_add(weights.bytes))
    }

    /// Bytes of a part.
    #[must_use]
    pub fn bytes_of(&self, part: Part) -> u64 {
        let of_part = self.weights.iter().filter(|weights| weights.part == part);
        of_part.fold(0, |sum, weights| sum.saturating_add(weights.bytes))
    }

    /// Makes the weights of its layers as narrow as a server does that converts them while it loads: `ratio` is the new
    /// width by the old one. Embeddings, head, routers, norms and towers keep theirs.
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    pub fn narrow(&mut self, ratio: f64) {
        self.compute.narrow(ratio);
        for weights in &mut self.weights {
            if let Part::Attention | Part::State | Part::FeedForward | Part::RoutedExperts | Part::SharedExperts =
                weights.part
            {
                // Weights have less than 2^53 bytes, and the conversion back saturates.
                weights.bytes = libm::ceil(weights.bytes as f64 * ratio) as u64;
            }
        }
    }

    /// Makes its weights those of a checkpoint of so many bytes: a tower is what the language model leaves of them, and
    /// without one each part has its share.
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    pub fn be_of_checkpoint(&mut self, bytes: u64) {
        let bytes = if self.is_read_narrower { bytes / 2 } else { bytes };
        let described = self.weight_bytes();
        let tower = self.bytes_of(Part::Vision);
        let language = described.saturating_sub(tower);
        let mut left = bytes;
        // A tower is only estimated, so that it takes the difference; it has its share where there is none.
        let takes_rest = tower > 0 && language < bytes;
        let ratio = bytes as f64 / described.max(1) as f64;
        for weights in self.weights.iter_mut().filter(|weights| weights.part != Part::Vision || !takes_rest) {
            if !takes_rest {
                // Weights have less than 2^53 bytes.
                weights.bytes = ((weights.bytes as f64 * ratio) as u64).min(left);
            }
            left = left.saturating_sub(weights.bytes);
        }
        // What rounding has left, or all of the tower, so that the sum is that of the checkpoint.
        let is_rest =
            |weights: &&mut Weights| if takes_rest { weights.part == Part::Vision } else { weights.bytes > 0 };
        if let Some(rest) = self.weights.iter_mut().find(is_rest) {
            rest.bytes = if takes_rest { left } else { rest.bytes.saturating_add(left) };
        }
    }

    /// Every problem with it; paths are its own field names.
    #[must_use]
    pub fn problems(&self) -> Vec<Diagnostic> {
        let mut problems = Vec::new();
        let mut refuse = |path: &str, value: u64, most: u32| {
            let message = format!("{path} is {value}");
            let hint = format!("the largest accepted value is {most}; paste the model's config.json again");
            problems.push(Diagnostic::error("invalid-value", format!("footprint.{path}"), message).with_hint(hint));
        };
        let layers = self.caches.iter().fold(0_u64, |sum, alike| sum.saturating_add(alike.count.into()));
        if layers > MAX_LAYERS.into() {
            refuse("caches", layers, MAX_LAYERS);
        }
        for (path, value) in [
            ("value_bytes", self.value_bytes),
            ("state_bytes", self.state_bytes),
            ("hidden_size", self.hidden_size),
            ("vocab_size", self.vocab_size),
            ("feed_forward_size", self.feed_forward_size),
            ("active_experts", self.active_experts),
            ("expert_size", self.expert_size),
        ] {
            if value > MAX_SIZE {
                refuse(path, value.into(), MAX_SIZE);
            }
        }
        problems.extend(self.compute.problems());
        problems
    }
}
