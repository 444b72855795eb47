//! A tensor of a checkpoint, or many of one shape.

use crate::catalog::Part;

/// Projections that every rank has in full: what they make is shared by all heads.
const SHARED_BY_HEADS: [&str; 4] =
    ["self_attn.q_a_proj", "self_attn.kv_a_proj_with_mqa", "self_attn.kv_a_proj", "self_attn.wkv_a"];

/// Tensors of one shape and one purpose.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tensor {
    /// Path of the module inside its layer, e.g. `self_attn.q_proj`; outside the layers the whole path.
    pub name: &'static str,
    /// What it is for.
    pub part: Part,
    /// How many there are, e.g. one for each expert.
    pub copies: u64,
    /// Values that come out of the matrix, or that the vector has.
    pub rows: u64,
    /// Values that go into the matrix; 1 for a vector.
    pub columns: u64,
    /// Whether a quantizer may convert it: it is the weight of a linear layer.
    pub is_linear: bool,
    /// How it is stored.
    pub stored: WeightBytes,
}

/// How the values of a tensor are stored in a checkpoint and read by a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WeightBytes {
    /// Bits of a value.
    pub bits: f64,
    /// Bytes of scales, zero points and padding, of all copies together.
    pub scale_bytes: u64,
}

impl Tensor {
    /// Parameters of all copies.
    #[must_use]
    pub fn parameters(&self) -> u64 {
        self.copies.saturating_mul(self.rows).saturating_mul(self.columns)
    }

    /// Whether every rank has all of it: norms, routers, indexers and what makes the vectors that heads share.
    #[must_use]
    pub fn is_whole_on_each_rank(&self) -> bool {
        matches!(self.part, Part::Norm | Part::Router)
            || SHARED_BY_HEADS.contains(&self.name)
            || self.name.contains("indexer.")
    }

    /// Bytes of all copies as they are stored.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes_narrowed_to(f64::INFINITY)
    }

    /// Bytes where no value takes more than so many bits.
    #[must_use]
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    pub fn bytes_narrowed_to(&self, bits: f64) -> u64 {
        // Parameters stay far below 2^53, and the conversion back saturates.
        let values = libm::ceil(self.parameters() as f64 * self.stored.bits.min(bits) / 8.0) as u64;
        values.saturating_add(self.stored.scale_bytes)
    }
}
