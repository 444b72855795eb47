//! Worked examples of the specification.

use super::*;
use crate::catalog::{Cache, Span, StateShape};
use alloc::vec;
use alloc::vec::Vec;

const GIB: u64 = 1 << 30;

fn full(heads: u32, size: u32) -> Cache {
    Cache::Attention { heads, key_size: size, value_size: size, span: Span::Full }
}

fn sliding(heads: u32, size: u32, window: u32) -> Cache {
    Cache::Attention { heads, key_size: size, value_size: size, span: Span::Sliding { window } }
}

/// Gemma-3-27B: 62 layers, every sixth of them full.
fn gemma() -> Vec<Cache> {
    (1..=62).map(|at| if at % 6 == 0 { full(16, 128) } else { sliding(16, 128, 1024) }).collect()
}

/// Qwen3-Next: 48 layers, every fourth of them attention.
fn qwen_next() -> Vec<Cache> {
    let shape = StateShape::GatedDelta { key_heads: 16, value_heads: 32, key_size: 128, value_size: 128, kernel: 4 };
    let state = Cache::State(shape);
    (1..=48).map(|at| if at % 4 == 0 { full(2, 256) } else { state }).collect()
}

fn layout(layers: &[Cache], settings: KvSettings) -> KvLayout {
    KvLayout::new(layers, settings).unwrap_or_else(|problems| panic!("{problems:?}"))
}

fn num_groups(layout: &KvLayout) -> Vec<(CacheKind, u64)> {
    layout.groups.iter().map(|group| (group.layers[0].kind, group.layers[0].num_layers)).collect()
}

#[test]
fn alike_layers_are_one_group_and_heads_stop_shrinking_when_each_rank_has_one() {
    let llama = [full(8, 128); 32];
    let of = |ranks| layout(&llama, KvSettings::new(ranks, 8192)).block_bytes;
    assert_eq!((of(1), of(8), of(16)), (2_097_152, 262_144, 262_144));
    assert_eq!(layout(&llama, KvSettings::new(1, 8192)).num_blocks(40 * GIB), 20_480);
    let problems = KvLayout::new(&llama, KvSettings::new(3, 8192)).expect_err("8 heads on 3 ranks");
    assert_eq!((problems.len(), problems[0].code.as_str()), (1, "kv-heads-not-divisible"));
}

#[test]
fn windows_and_full_layers_are_groups_of_about_equal_size() {
    let gemma = layout(&gemma(), KvSettings::new(1, 8192));
    let window = CacheKind::Sliding(1024);
    assert_eq!(
        num_groups(&gemma),
        [(window, 9), (window, 9), (window, 9), (window, 9), (window, 8), (window, 8), (CacheKind::Full, 10)]
    );
    assert_eq!((gemma.block_bytes, gemma.num_blocks(40 * GIB)), (1_310_720, 32_768));
}

#[test]
fn the_printed_size_is_a_rate_at_the_longest_length_and_the_tokens_in_flight() {
    let tokens = |layers: &[Cache], settings: KvSettings| {
        let layout = layout(layers, settings);
        layout.plan(layout.num_blocks(40 * GIB)).unwrap().tokens
    };
    let short = KvSettings::new(1, 8192);
    let long = KvSettings::new(1, 131_072);
    assert_eq!((tokens(&gemma(), short), tokens(&gemma(), long)), (74_773, 291_658));
    let with = |max_in_flight_tokens| KvSettings { max_in_flight_tokens, ..long };
    assert_eq!((tokens(&gemma(), with(4096)), tokens(&gemma(), with(2048))), (424_487, 459_354));
    let mistral = [sliding(8, 128, 4096); 32];
    assert_eq!((tokens(&mistral, short), tokens(&mistral, long)), (327_041, 2_095_514));
    let uncached = |settings| KvSettings { enable_prefix_caching: false, ..settings };
    assert_eq!((tokens(&qwen_next(), short), tokens(&qwen_next(), uncached(short))), (1_196_032, 1_384_879));
    assert_eq!((tokens(&qwen_next(), long), tokens(&qwen_next(), uncached(long))), (1_704_466, 1_725_423));
}

#[test]
fn states_are_padded_to_the_pages_of_attention() {
    let settings = KvSettings::new(1, 8192);
    let of = |settings: KvSettings| {
        let layout = layout(&qwen_next(), settings);
        (layout.groups[0].layers[0].block_size, layout.block_bytes)
    };
    assert_eq!(of(settings), (544, 13_369_344));
    assert_eq!(of(KvSettings { kv_cache_dtype: KvDtype::Fp8, ..settings }).0, 1072);
    // The grid of checkpoints is finer than the block only since 0.33.
    assert_eq!(of(KvSettings { rules: PlanRules::V0_33, ..settings }).0, 576);
}

#[test]
fn latent_vectors_stand_on_every_rank() {
    let latent = Cache::Latent { rank: 512, rope: 64, span: Span::Full, is_sparse: true };
    let layers: Vec<Cache> = core::iter::repeat_n([Cache::Indexer { key_size: 128 }, latent], 61).flatten().collect();
    let layout = layout(&layers, KvSettings::new(8, 8192));
    assert_eq!((layout.groups.len(), layout.block_bytes, layout.num_blocks(40 * GIB)), (1, 5_012_736, 8568));
    let plain = vec![Cache::Latent { rank: 512, rope: 64, span: Span::Full, is_sparse: false }; 61];
    let fp8 = KvSettings { kv_cache_dtype: KvDtype::Fp8, ..KvSettings::new(8, 8192) };
    let groups = super::layout::KvLayout::new(&plain, fp8).unwrap().groups;
    assert_eq!((groups[0].layers[0].block_size, groups[0].layers[0].page_bytes), (64, 576 * 64));
}

#[test]
fn a_sequence_that_needs_every_block_but_the_one_kept_back_starts() {
    let gemma = layout(&gemma(), KvSettings::new(1, 131_072));
    assert_eq!(gemma.plan(14_727).map(|plan| plan.blocks_per_request), Ok(14_726));
    let refused = gemma.plan(14_726).expect_err("one block too few");
    assert!(matches!(refused, KvRefusal::TooLong { blocks_per_request: 14_726, usable_blocks: 14_725, .. }));
    let small = gemma.plan(gemma.num_blocks(10 * GIB)).expect_err("10 GiB");
    assert!(matches!(small, KvRefusal::TooLong { longest: 26_512, .. }), "{small:?}");
    assert_eq!(gemma.plan(1), Err(KvRefusal::NoMemory));
}

#[test]
fn without_the_hybrid_manager_windows_are_kept_in_full() {
    let settings = KvSettings { is_hybrid_manager_disabled: true, ..KvSettings::new(1, 8192) };
    let layout = layout(&gemma(), settings);
    assert_eq!((layout.groups.len(), layout.num_blocks(40 * GIB)), (1, 5285));
    assert!(KvLayout::new(&qwen_next(), settings).is_err(), "states cannot be full");
}

#[test]
fn ranks_that_share_the_tokens_need_fewer_blocks() {
    let settings = KvSettings { decode_context_parallel_size: 2, ..KvSettings::new(16, 131_072) };
    let llama = layout(&[full(8, 128); 32], settings);
    assert_eq!(llama.plan(llama.num_blocks(40 * GIB)).unwrap().tokens, 5_242_880);
    assert_eq!(KvLayout::new(&gemma(), settings).expect_err("windows")[0].code, "window-not-split");
}

#[test]
fn hostile_sizes_neither_overflow_nor_hang() {
    let huge = full(u32::MAX, u32::MAX);
    let layout = layout(&[huge, sliding(u32::MAX, 1, u32::MAX)], KvSettings::new(1, u32::MAX));
    assert!(layout.plan(layout.num_blocks(u64::MAX)).is_err());
    let problems = KvLayout::new(&[], KvSettings { block_size: Some(0), ..KvSettings::new(0, 0) }).unwrap_err();
    assert_eq!(problems.len(), 3);
    assert!(KvLayout::new(&[], KvSettings::new(1, 1)).unwrap().plan(7).is_ok(), "a model without a cache");
}

#[test]
fn a_stage_has_its_layers_of_the_groups_of_the_whole_model() {
    let settings = KvSettings::new(1, 8192);
    let first = KvLayout::of_stage(&gemma(), |place| place < 31, settings).expect("laid out");
    // Of 31 layers 5 are full and 26 have a window, in six groups of which every sixth is one's.
    let counts: Vec<u64> = first.groups.iter().map(|group| group.layers[0].num_layers).collect();
    assert_eq!(counts, [5, 5, 4, 4, 4, 4, 5]);
    assert_eq!(first.block_bytes, 5 * 16 * 16 * 128 * 2 * 2);
    // What a sequence holds is told in blocks, which are those of all stages.
    assert_eq!(first.blocks_per_request(8192), layout(&gemma(), settings).blocks_per_request(8192));
}
