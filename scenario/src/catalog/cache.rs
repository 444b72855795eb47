//! What a layer keeps of a sequence.

use serde::{Deserialize, Serialize};

/// One cache of one layer, in values of the whole model; how wide a value is, the reader of it knows.
///
/// A layer with two caches, as one whose sparse attention has an indexer, is two of these. A layer that reads another
/// layer's cache, an encoder without a cache and a vision tower are none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Cache {
    /// A key and a value per KV head and token.
    Attention {
        /// KV heads; each rank of a server keeps its share, and at least one.
        heads: u32,
        /// Values of a key.
        key_size: u32,
        /// Values of a value.
        value_size: u32,
        /// Which tokens are kept.
        span: Span,
    },
    /// One latent vector per token for all heads, the same on every rank.
    Latent {
        /// Values of the compressed part.
        rank: u32,
        /// Values of the part with the position in it.
        #[serde(default)]
        rope: u32,
        /// Which tokens are kept.
        span: Span,
        /// Whether an indexer chooses the tokens that are looked at; quantized vectors are then wider.
        #[serde(default)]
        is_sparse: bool,
    },
    /// One key per token by which an indexer chooses, the same on every rank.
    Indexer {
        /// Values of a key.
        key_size: u32,
    },
    /// One entry for every `rate` tokens, made from them.
    Compressed {
        /// Tokens that become one entry.
        rate: u32,
        /// Values of an entry.
        size: u32,
    },
    /// A state of fixed size.
    State(StateShape),
    /// Keys and values made from another input, as an image, and kept in full from the first token on.
    Cross {
        /// KV heads.
        heads: u32,
        /// Values of a key.
        key_size: u32,
        /// Values of a value.
        value_size: u32,
        /// The most tokens of that input.
        tokens: u32,
    },
}

/// Which tokens attention looks at, and so which are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "keeps", rename_all = "kebab-case")]
pub enum Span {
    /// All.
    Full,
    /// The last ones, the one being computed included.
    Sliding {
        /// Tokens.
        window: u32,
    },
    /// Those from the last multiple of a length on.
    Chunked {
        /// Tokens.
        chunk: u32,
    },
}

/// The sizes of a state, for the whole model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "form", rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the fields are the sizes that the configs call by these names")]
pub enum StateShape {
    /// Selective state space, first form.
    Mamba1 { inner: u32, state: u32, kernel: u32 },
    /// Selective state space with heads.
    Mamba2 { inner: u32, groups: u32, heads: u32, head_size: u32, state: u32, kernel: u32 },
    /// Gated delta net.
    GatedDelta { key_heads: u32, value_heads: u32, key_size: u32, value_size: u32, kernel: u32 },
    /// Delta attention with a gate per channel.
    DeltaAttention { heads: u32, head_size: u32, kernel: u32 },
    /// A short convolution and nothing else.
    Convolution { channels: u32, kernel: u32 },
    /// Linear attention: a matrix per head.
    Linear { heads: u32, key_size: u32, value_size: u32 },
    /// Vectors and nothing else, `values` together.
    Vectors { values: u32 },
}

impl Cache {
    /// Values that a further token adds once windows are full.
    #[must_use]
    pub fn values_per_token(&self) -> f64 {
        match *self {
            Cache::Attention { heads, key_size, value_size, span: Span::Full } => {
                f64::from(heads) * (f64::from(key_size) + f64::from(value_size))
            }
            Cache::Latent { rank, rope, span: Span::Full, .. } => f64::from(rank) + f64::from(rope),
            Cache::Indexer { key_size } => f64::from(key_size),
            Cache::Compressed { rate, size } => f64::from(size) / f64::from(rate.max(1)),
            _ => 0.0,
        }
    }

    /// Values that stay the same however long the sequence gets, once windows are full.
    #[must_use]
    pub fn fixed_values(&self) -> u64 {
        match *self {
            Cache::Attention { heads, key_size, value_size, span } => {
                product(&[span.kept(), heads.into(), u64::from(key_size).saturating_add(value_size.into())])
            }
            Cache::Latent { rank, rope, span, .. } => {
                product(&[span.kept(), u64::from(rank).saturating_add(rope.into())])
            }
            Cache::State(shape) => shape.values(),
            Cache::Indexer { .. } | Cache::Compressed { .. } | Cache::Cross { .. } => 0,
        }
    }
}

impl Span {
    /// Tokens that are kept for ever; 0 if the cache grows.
    fn kept(self) -> u64 {
        match self {
            Span::Full => 0,
            Span::Sliding { window: length } | Span::Chunked { chunk: length } => length.saturating_sub(1).into(),
        }
    }
}

impl StateShape {
    /// Values of the state: the inputs under the convolution's kernel, and the recurrent part.
    #[must_use]
    pub fn values(self) -> u64 {
        let (channels, kernel, state) = match self {
            StateShape::Mamba1 { inner, state, kernel } => {
                (inner.into(), kernel, product(&[inner.into(), state.into()]))
            }
            StateShape::Mamba2 { inner, groups, heads, head_size, state, kernel } => (
                product(&[2, groups.into(), state.into()]).saturating_add(inner.into()),
                kernel,
                product(&[heads.into(), head_size.into(), state.into()]),
            ),
            StateShape::GatedDelta { key_heads, value_heads, key_size, value_size, kernel } => (
                product(&[2, key_heads.into(), key_size.into()])
                    .saturating_add(product(&[value_heads.into(), value_size.into()])),
                kernel,
                product(&[value_heads.into(), key_size.into(), value_size.into()]),
            ),
            StateShape::DeltaAttention { heads, head_size, kernel } => (
                product(&[3, heads.into(), head_size.into()]),
                kernel,
                product(&[heads.into(), head_size.into(), head_size.into()]),
            ),
            StateShape::Convolution { channels, kernel } => (channels.into(), kernel, 0),
            StateShape::Linear { heads, key_size, value_size } => {
                (0, 0, product(&[heads.into(), key_size.into(), value_size.into()]))
            }
            StateShape::Vectors { values } => (0, 0, values.into()),
        };
        product(&[channels, kernel.into()]).saturating_add(state)
    }
}

/// A product that stays at the largest number instead of running over.
pub fn product(factors: &[u64]) -> u64 {
    factors.iter().fold(1, |product, factor| product.saturating_mul(*factor))
}
