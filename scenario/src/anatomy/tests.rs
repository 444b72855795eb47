use super::{Anatomy, Cache, Experts, FeedForward, Layer, Part, Span, StateShape, Tensor, WeightBytes};
use crate::catalog::Dtype;
use alloc::string::String;
use alloc::vec;
use std::prelude::rust_2024::*;

fn tensor(part: Part, copies: u64, rows: u64, columns: u64) -> Tensor {
    let stored = WeightBytes { bits: 16.0, scale_bytes: 0 };
    Tensor { name: "", part, copies, rows, columns, is_linear: true, stored }
}

/// Two layers of width 4 and a vocabulary of 10: a window of 3 with a network, and a state with 8 experts.
fn small() -> Anatomy {
    let attention = Cache::Attention { heads: 1, key_size: 4, value_size: 2, span: Span::Sliding { window: 3 } };
    let first = Layer {
        heads: 1,
        caches: vec![attention],
        feed_forward: FeedForward::Dense { size: 8, is_gated: false },
        tensors: vec![tensor(Part::Attention, 1, 4, 4), tensor(Part::FeedForward, 1, 8, 4)],
        ..Layer::default()
    };
    let experts = Experts { routed: 8, active: 2, size: 3, shared_size: 0, is_gated: true };
    let second = Layer {
        caches: vec![Cache::Attention { heads: 2, key_size: 4, value_size: 4, span: Span::Full }],
        feed_forward: FeedForward::Experts(experts),
        tensors: vec![tensor(Part::RoutedExperts, 8, 3, 4), tensor(Part::Router, 1, 8, 4)],
        ..Layer::default()
    };
    Anatomy {
        model_type: String::from("small"),
        hidden_size: 4,
        vocab_size: 10,
        max_position_embeddings: None,
        dtype: Dtype::Bfloat16,
        is_head_tied: true,
        outside: vec![tensor(Part::Embedding, 1, 10, 4), tensor(Part::Norm, 1, 4, 1)],
        layers: vec![first, second],
    }
}

#[test]
fn parameters_are_counted_once_and_active_ones_with_the_head_and_the_chosen_experts() {
    let anatomy = small();
    assert_eq!(anatomy.parameters(), 40 + 4 + 16 + 32 + 96 + 32);
    // The head is the embedding's matrix, and 2 of 8 experts work.
    assert_eq!(anatomy.active_parameters(), 40 + 4 + 16 + 32 + 24 + 32);
    assert_eq!(anatomy.weight_bytes(), 2 * anatomy.parameters());
    assert_eq!(anatomy.weight_bytes_by_part().len(), 6);
    assert_eq!(anatomy.weight_bytes_by_part()[0], (Part::Embedding, 80));
}

#[test]
fn a_full_layer_grows_and_a_window_keeps_one_token_less() {
    let anatomy = small();
    assert_eq!(anatomy.kv_bytes_per_token(2), 32.0);
    assert_eq!(anatomy.fixed_state_bytes(2), 2 * 6 * 2);
}

#[test]
fn states_are_counted_with_the_inputs_under_the_kernel() {
    for (shape, values) in [
        (StateShape::Mamba1 { inner: 10, state: 4, kernel: 3 }, 70),
        (StateShape::Mamba2 { inner: 12, groups: 2, heads: 3, head_size: 4, state: 5, kernel: 2 }, 124),
        (StateShape::GatedDelta { key_heads: 2, value_heads: 4, key_size: 3, value_size: 5, kernel: 2 }, 124),
        (StateShape::DeltaAttention { heads: 2, head_size: 3, kernel: 4 }, 90),
        (StateShape::Convolution { channels: 7, kernel: 3 }, 21),
        (StateShape::Linear { heads: 2, key_size: 3, value_size: 4 }, 24),
        (StateShape::Vectors { values: 9 }, 9),
    ] {
        assert_eq!(shape.values(), values, "{shape:?}");
    }
}

#[test]
fn compressed_and_latent_caches_grow_by_their_share() {
    assert_eq!(Cache::Compressed { rate: 4, size: 512 }.values_per_token(), 128.0);
    let latent = Cache::Latent { rank: 512, rope: 64, span: Span::Full, is_sparse: true };
    assert_eq!((latent.values_per_token(), latent.fixed_values()), (576.0, 0));
    let window = Cache::Latent { rank: 512, rope: 64, span: Span::Sliding { window: 5 }, is_sparse: false };
    assert_eq!((window.values_per_token(), window.fixed_values()), (0.0, 4 * 576));
    let chunk = Cache::Attention { heads: 1, key_size: 1, value_size: 1, span: Span::Chunked { chunk: 8 } };
    assert_eq!(chunk.fixed_values(), 14);
    assert_eq!(Cache::Cross { heads: 1, key_size: 1, value_size: 1, tokens: 1 }.fixed_values(), 0);
}

#[test]
fn huge_sizes_saturate() {
    let huge = tensor(Part::Head, u64::MAX, u64::MAX, 2);
    assert_eq!((huge.parameters(), huge.bytes()), (u64::MAX, u64::MAX));
}
