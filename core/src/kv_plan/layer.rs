//! What a layer keeps of every sequence.

/// One cache of one layer.
///
/// A layer with two caches, as one whose sparse attention has an indexer, is two of these. A layer that reads another
/// layer's cache, an encoder without a cache and a vision tower are none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KvLayer {
    /// A key and a value per head and token.
    Attention {
        /// KV heads of the whole model; each rank keeps its share, and at least one.
        heads: u32,
        /// Values of a key.
        key_size: u32,
        /// Values of a value.
        value_size: u32,
        /// Which tokens are kept.
        span: Span,
    },
    /// One latent vector per token, the same on every rank.
    Latent {
        /// Values of the compressed part.
        rank: u32,
        /// Values of the part with the position in it.
        rope: u32,
        /// Whether an indexer chooses the tokens that are looked at; quantized vectors are then wider.
        is_sparse: bool,
    },
    /// Keys of an indexer, the same on every rank and of the same width whatever the type of the cache.
    Indexer {
        /// Bytes of a token's key with its scale.
        bytes_per_token: u32,
    },
    /// A state of fixed size.
    State(StateLayer),
    /// Keys and values of what an encoder made, kept in full from the first token on.
    Cross {
        /// KV heads of the whole model.
        heads: u32,
        /// Values of a key.
        key_size: u32,
        /// Values of a value.
        value_size: u32,
        /// The most an encoder gives for one request.
        encoder_tokens: u32,
    },
}

/// Which tokens attention looks at, and so which are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Span {
    /// All.
    Full,
    /// The last ones, this one included.
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

/// A state of fixed size, and how wide its values are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateLayer {
    /// What is kept.
    pub shape: StateShape,
    /// Bytes of a value of the convolution's part.
    pub conv_bytes: u32,
    /// Bytes of a value of the recurrent part.
    pub state_bytes: u32,
}

/// The sizes of a state, for the whole model.
///
/// Where there is a convolution of `kernel` tokens, the last `kernel − 1` of its inputs are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are the sizes that the configs call by these names")]
pub enum StateShape {
    /// Selective state space, first form.
    Mamba1 { inner: u32, state: u32, kernel: u32 },
    /// Selective state space with heads.
    Mamba2 { inner: u32, groups: u32, heads: u32, head_size: u32, state: u32, kernel: u32 },
    /// Gated delta net.
    GatedDelta { key_heads: u32, value_heads: u32, key_size: u32, value_size: u32, kernel: u32 },
    /// Delta attention with a gate per channel (Kimi).
    DeltaAttention { heads: u32, head_size: u32, kernel: u32 },
    /// A short convolution and nothing else.
    Convolution { channels: u32, kernel: u32 },
    /// Linear attention: a matrix per head.
    Linear { heads: u32, key_size: u32, value_size: u32 },
}

impl StateLayer {
    /// Bytes on one of `ranks`; none if the sizes cannot be split evenly.
    ///
    /// # Source
    /// A4. Groups of Mamba2 that the ranks do not divide are copied until there is one per rank.
    #[must_use]
    pub fn bytes(&self, ranks: u32) -> Option<u64> {
        let (conv, state) = self.shape.values(ranks)?;
        let conv = conv.saturating_mul(u64::from(self.conv_bytes));
        Some(conv.saturating_add(state.saturating_mul(u64::from(self.state_bytes))))
    }

    /// Whether a prompt's state can be exported within a step, which takes one more block.
    pub(super) fn exports_checkpoint(&self) -> bool {
        matches!(self.shape, StateShape::Mamba2 { .. })
    }
}

impl StateShape {
    /// Values of the convolution's part and of the recurrent part on one of `ranks`.
    fn values(self, ranks: u32) -> Option<(u64, u64)> {
        let kept = |kernel: u32| u64::from(kernel.saturating_sub(1));
        Some(match self {
            StateShape::Mamba1 { inner, state, kernel } => {
                let inner = share(inner.into(), ranks)?;
                (product(&[kept(kernel), inner]), product(&[inner, state.into()]))
            }
            StateShape::Mamba2 { inner, groups, heads, head_size, state, kernel } => {
                let groups = if groups.is_multiple_of(ranks) { groups } else { ranks.max(groups) };
                let channels = u64::from(inner).saturating_add(product(&[2, groups.into(), state.into()]));
                let state = product(&[share(heads.into(), ranks)?, head_size.into(), state.into()]);
                (product(&[kept(kernel), share(channels, ranks)?]), state)
            }
            StateShape::GatedDelta { key_heads, value_heads, key_size, value_size, kernel } => {
                let keys = product(&[2, key_heads.into(), key_size.into()]);
                let channels = keys.saturating_add(product(&[value_heads.into(), value_size.into()]));
                let state = product(&[share(value_heads.into(), ranks)?, value_size.into(), key_size.into()]);
                (product(&[kept(kernel), share(channels, ranks)?]), state)
            }
            StateShape::DeltaAttention { heads, head_size, kernel } => {
                let channels = product(&[3, heads.into(), head_size.into()]);
                let state = product(&[share(heads.into(), ranks)?, head_size.into(), head_size.into()]);
                (product(&[kept(kernel), share(channels, ranks)?]), state)
            }
            StateShape::Convolution { channels, kernel } => {
                (product(&[kept(kernel), share(channels.into(), ranks)?]), 0)
            }
            StateShape::Linear { heads, key_size, value_size } => {
                (0, product(&[share(heads.into(), ranks)?, key_size.into(), value_size.into()]))
            }
        })
    }
}

/// The part of one rank; none if it is not whole.
fn share(size: u64, ranks: u32) -> Option<u64> {
    let ranks = u64::from(ranks);
    size.is_multiple_of(ranks).then(|| size.checked_div(ranks)).flatten()
}

/// A product that stays at the largest number instead of running over.
pub(super) fn product(factors: &[u64]) -> u64 {
    factors.iter().fold(1, |product, factor| product.saturating_mul(*factor))
}
