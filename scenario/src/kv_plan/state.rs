//! What a state takes on a rank.

use super::KvSettings;
use crate::catalog::{StateShape, product};

impl StateShape {
    /// Bytes on one rank of a server; none if the sizes cannot be split evenly, or for a state that vLLM does not have.
    ///
    /// # Source
    /// A4. Groups of Mamba2 that the ranks do not divide are copied until there is one per rank.
    #[must_use]
    pub(super) fn rank_bytes(self, settings: &KvSettings) -> Option<u64> {
        let (conv, state) = self.rank_values(settings.tensor_parallel_size)?;
        let conv = conv.saturating_mul(settings.model_value_bytes.into());
        Some(conv.saturating_add(state.saturating_mul(settings.state_value_bytes.into())))
    }

    /// Whether a prompt's state can be exported within a step, which takes one more block.
    pub(super) fn exports_checkpoint(self) -> bool {
        matches!(self, StateShape::Mamba2 { .. })
    }

    /// Values of the convolution's part and of the recurrent part on one of `ranks`.
    ///
    /// Of a convolution's `kernel` tokens the last `kernel − 1` are kept.
    fn rank_values(self, ranks: u32) -> Option<(u64, u64)> {
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
            StateShape::Vectors { .. } => return None,
        })
    }
}

/// The part of one rank; none if it is not whole.
fn share(size: u64, ranks: u32) -> Option<u64> {
    let ranks = u64::from(ranks);
    size.is_multiple_of(ranks).then(|| size.checked_div(ranks)).flatten()
}
