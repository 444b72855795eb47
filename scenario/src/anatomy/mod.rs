//! What a model consists of: its layers, every tensor of its checkpoint, and what each layer keeps of a sequence.
//!
//! An [`Anatomy`] is read from a model's `config.json` and asked for everything that depends on the architecture:
//! parameters, weight bytes, the KV cache of a token and the state of a sequence.
//!
//! # Source
//! Shapes and caches of the model classes of transformers 5.24; `docs/models.md` tells them by family.

mod compute;
mod layer;
mod tensor;

#[cfg(test)]
mod tests;

pub use crate::catalog::{Cache, Part, Span, StateShape};
pub use layer::{Experts, FeedForward, Layer};
pub use tensor::{Tensor, WeightBytes};

use crate::catalog::Dtype;
use alloc::string::String;
use alloc::vec::Vec;

/// A language model: what it is made of, layer by layer.
///
/// Vision and audio towers are not part of it, nor are layers that only predict further tokens.
#[derive(Debug, Clone, PartialEq)]
pub struct Anatomy {
    /// The family under its `model_type` in transformers, e.g. `qwen3_moe`.
    pub model_type: String,
    /// Width of the residual stream.
    pub hidden_size: u32,
    /// Rows of the embedding.
    pub vocab_size: u32,
    /// Longest sequence the positions are made for, tokens; none if the config states none.
    pub max_position_embeddings: Option<u32>,
    /// Type of activations, of cached keys and values unless told otherwise, and of weights that are not quantized.
    pub dtype: Dtype,
    /// Whether the output head is the embedding's matrix, which is then counted once.
    pub is_head_tied: bool,
    /// Tensors outside the layers: embeddings, the last norm, the head.
    pub outside: Vec<Tensor>,
    /// The layers, first to last.
    pub layers: Vec<Layer>,
}

impl Anatomy {
    /// Every tensor of the checkpoint, those outside the layers first.
    pub fn tensors(&self) -> impl Iterator<Item = &Tensor> {
        self.outside.iter().chain(self.layers.iter().flat_map(|layer| &layer.tensors))
    }

    /// Parameters of the language model with its head; a tied head counts once.
    #[must_use]
    pub fn parameters(&self) -> u64 {
        sum(self.tensors().map(Tensor::parameters))
    }

    /// Parameters that take part in computing one token: of routed experts only those chosen for it.
    ///
    /// Embeddings are looked up, so only a head takes part, tied or not.
    #[must_use]
    pub fn active_parameters(&self) -> u64 {
        let head =
            if self.is_head_tied { u64::from(self.vocab_size).saturating_mul(self.hidden_size.into()) } else { 0 };
        let outside = self.outside.iter().filter(|tensor| tensor.part != Part::Embedding).map(Tensor::parameters);
        let layers = self.layers.iter().map(Layer::active_parameters);
        sum(outside.chain(layers)).saturating_add(head)
    }

    /// Bytes of the weights as the checkpoint stores them, scales and zero points included.
    #[must_use]
    pub fn weight_bytes(&self) -> u64 {
        sum(self.tensors().map(Tensor::bytes))
    }

    /// Weight bytes by what the tensors are for, in the order of [`Part`]; parts without bytes are left out.
    #[must_use]
    pub fn weight_bytes_by_part(&self) -> Vec<(Part, u64)> {
        let of = |part| sum(self.tensors().filter(|tensor| tensor.part == part).map(Tensor::bytes));
        Part::ALL.iter().map(|&part| (part, of(part))).filter(|&(_, bytes)| bytes > 0).collect()
    }

    /// Everything the layers keep of a sequence, in order.
    pub fn caches(&self) -> impl Iterator<Item = &Cache> {
        self.layers.iter().flat_map(|layer| &layer.caches)
    }

    /// Bytes that each further token of a long sequence adds to the caches, with values of `value_bytes`.
    ///
    /// Windows and states are full by then and add nothing.
    #[must_use]
    pub fn kv_bytes_per_token(&self, value_bytes: u32) -> f64 {
        // Values per token are ratios of small numbers, so their sum is a double exactly up to the last digits.
        self.caches().map(Cache::values_per_token).sum::<f64>() * f64::from(value_bytes)
    }

    /// Bytes of a sequence that stay the same however long it gets: full windows and states, values of `value_bytes`.
    ///
    /// Counted as transformers keeps them: a window holds one token less than it is wide, because the token that is
    /// being computed is the last one of it, and a convolution all inputs of its kernel.
    #[must_use]
    pub fn fixed_state_bytes(&self, value_bytes: u32) -> u64 {
        sum(self.caches().map(Cache::fixed_values)).saturating_mul(value_bytes.into())
    }
}

fn sum(values: impl Iterator<Item = u64>) -> u64 {
    values.fold(0, u64::saturating_add)
}
