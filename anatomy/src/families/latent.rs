//! Families whose attention keeps one latent vector per token.

use super::super::builder::{Builder, times};
use super::super::config::Config;
use super::super::family::{
    Attention, Family, GATED, Gate, HEADS, LATENT, LLAMA, Latent, Layers, Network, ROUTING, Routing, Shared, Sinks,
    When,
};
use super::super::pattern::{Kind, full};
use super::Row;
use plimsoll_scenario::anatomy::{Cache, Part, Span, StateShape};

const COUNTED: Routing = Routing { shared: Shared::Counted, ..ROUTING };

const DEEPSEEK: Family = Family { attention: Attention::Latent(LATENT), experts: Some(COUNTED), ..LLAMA };

pub(super) const FAMILIES: &[Row] = &[
    ("deepseek_v2 deepseek_v3 kimi_k2 mistral4 sarvam_mla", DEEPSEEK),
    ("glm4_moe_lite", Family { experts: Some(Routing { dense_first: 1, ..COUNTED }), ..DEEPSEEK }),
    (
        "axk1",
        Family {
            layer: Layers::And(norm_after_experts),
            experts: Some(Routing { dense_first: 1, ..COUNTED }),
            ..DEEPSEEK
        },
    ),
    (
        "deepseek_v32 glm_moe_dsa",
        Family {
            network: Network { bias: When::Never, ..GATED },
            experts: Some(Routing { dense_first: 3, ..COUNTED }),
            pattern: indexed,
            ..DEEPSEEK
        },
    ),
    ("youtu", Family { experts: None, ..DEEPSEEK }),
    (
        "minicpm3",
        Family { attention: Attention::Latent(Latent { derives_value: true, ..LATENT }), experts: None, ..DEEPSEEK },
    ),
    ("longcat_flash", Family { layer: Layers::Own(longcat), ..DEEPSEEK }),
    ("deepseek deepseek_ocr2_text", Family { attention: Attention::Heads(HEADS), pattern: full, ..DEEPSEEK }),
    (
        "unlimited_ocr_text",
        Family {
            attention: Attention::Heads(HEADS),
            experts: Some(Routing { dense_first: 1, ..COUNTED }),
            pattern: full,
            ..DEEPSEEK
        },
    ),
    (
        "dots3_note_text",
        Family {
            attention: Attention::Latent(Latent { gate: Gate::PerHead, ..LATENT }),
            experts: Some(Routing { dense_first: 1, ..COUNTED }),
            pattern: dots3,
            layer: Layers::And(dots3_norm),
            ..DEEPSEEK
        },
    ),
    (
        "hy_v4 hy_v4_vl_text",
        Family {
            attention: Attention::Latent(Latent { gate: Gate::Wide, sinks: Sinks::All, ..LATENT }),
            experts: Some(Routing { dense_first: 1, ..COUNTED }),
            pattern: indexed,
            layer: Layers::And(hyper_connections_of_two),
            finish: Some(hyper_head),
            ..DEEPSEEK
        },
    ),
    (
        "deepseek_v4",
        Family {
            attention: Attention::Heads(HEADS),
            experts: Some(Routing { shared: Shared::One, ..COUNTED }),
            pattern: compressed,
            layer: Layers::Own(deepseek_v4),
            finish: Some(hyper_head),
            ..DEEPSEEK
        },
    ),
];

pub(super) fn indexed(_: &mut Config<'_>, _: u32, _: u32) -> Kind {
    Kind::Indexed
}

fn dots3(_: &mut Config<'_>, layer: u32, _: u32) -> Kind {
    if layer < 2 || layer % 4 == 1 { Kind::Indexed } else { Kind::Sliding }
}

fn dots3_norm(builder: &mut Builder<'_, '_>, _: Kind) {
    let rope = builder.config.need("qk_rope_head_dim");
    builder.vector("self_attn.k_rope_only_layernorm", Part::Attention, rope);
}

fn norm_after_experts(builder: &mut Builder<'_, '_>, _: Kind) {
    if builder.is_routed(&Routing { dense_first: 1, ..COUNTED }) {
        builder.vector("mlp.post_mlp_layernorm", Part::Norm, builder.hidden);
    }
}

/// Two attentions and two networks in a layer, with experts beside them of which some do nothing.
/// Parameters that a class has and its checkpoints lack.
pub(crate) const NOT_STORED: &str = "(not stored)";

fn longcat(builder: &mut Builder<'_, '_>, family: &Family, kind: Kind) {
    let part = Part::RoutedExperts;
    for _ in 0..2 {
        builder.attention(&family.attention, kind);
        builder.network(family);
        builder.vector("norms", Part::Norm, times(2, builder.hidden));
    }
    let hidden = builder.hidden;
    let routed = builder.config.need("num_experts");
    let idle = builder.config.count_or_0("zero_expert_num");
    let size = builder.config.need("moe_intermediate_size");
    let active = builder.config.need("num_experts_per_tok");
    builder.plain("mlp.router.classifier", Part::Router, [routed.saturating_add(idle), hidden]);
    builder.matrices("mlp.experts.gate_up_proj", part, routed, [times(2, size), hidden], false);
    builder.matrices("mlp.experts.down_proj", part, routed, [hidden, size], false);
    // The class of transformers has gates for the idle experts too, which no checkpoint stores.
    builder.matrices(NOT_STORED, part, idle, [times(2, size), hidden], false);
    builder.routed(routed, active, size);
}

/// Connections between several residual streams, after attention and after the network.
pub(super) fn hyper_connections(builder: &mut Builder<'_, '_>, mixes: u32, scales: u32) {
    let streams = builder.config.need("hc_mult");
    for name in ["attn_hc", "ffn_hc"] {
        builder.plain(name, Part::Norm, [mixes, times(streams, builder.hidden)]);
        builder.vector(name, Part::Norm, mixes.saturating_add(scales));
    }
}

fn hyper_connections_of_two(builder: &mut Builder<'_, '_>, _: Kind) {
    let streams = builder.config.need("hc_mult");
    hyper_connections(builder, times(2, streams), 2);
}

pub(super) fn hyper_connections_of_three(builder: &mut Builder<'_, '_>, _: Kind) {
    let streams = builder.config.need("hc_mult");
    hyper_connections(builder, times(streams.saturating_add(2), streams), 3);
}

/// What makes one stream of the residual streams at the end.
pub(super) fn hyper_head(builder: &mut Builder<'_, '_>) {
    let streams = builder.config.need("hc_mult");
    let width = times(streams, builder.hidden);
    builder.outer("model.hc_head", Part::Norm, 1, [streams, width]);
    builder.outer("model.hc_head", Part::Norm, 1, [streams.saturating_add(1), 1]);
}

/// The first two layers look at entries that stand for many tokens, then every second one; some configs list rates.
fn compressed(config: &mut Config<'_>, layer: u32, _: u32) -> Kind {
    if config.list("compress_ratios").is_some() {
        return match config.count_or_0("compress_ratios") {
            0 | 1 => Kind::Sliding,
            rate if rate < 64 => Kind::CompressedSparse,
            _ => Kind::HeavilyCompressed,
        };
    }
    if layer >= 2 && layer % 2 == 1 { Kind::CompressedSparse } else { Kind::HeavilyCompressed }
}

/// Tokens that an entry of this kind of layer stands for.
fn compression_rate(config: &mut Config<'_>, kind: Kind) -> u32 {
    let (name, usual) = match kind {
        Kind::CompressedSparse => ("compressed_sparse_attention", 4.0),
        _ => ("heavily_compressed_attention", 128.0),
    };
    let stated = config.value("compress_rates").and_then(|rates| rates.get(name));
    let rate = if let Some(plimsoll_json::Value::Number(rate)) = stated { *rate } else { usual };
    u32::try_from(plimsoll_scenario::time::truncate(rate.clamp(1.0, 1e6))).unwrap_or(1)
}

/// Attention on a window and on compressed entries, with one key that is the value too.
///
/// # Source
/// DeepSeek-V4 in transformers 5.24.
fn deepseek_v4(builder: &mut Builder<'_, '_>, family: &Family, kind: Kind) {
    let part = Part::Attention;
    let hidden = builder.hidden;
    let heads = builder.num_heads(kind);
    let size = builder.head_size(kind);
    let query_rank = builder.config.need("q_lora_rank");
    let groups = builder.config.need("o_groups");
    let output_rank = builder.config.need("o_lora_rank");
    let width = times(heads, size);
    builder.layer.heads = heads;
    builder.vector("self_attn.sinks", part, heads);
    builder.matrix("self_attn.q_a_proj", part, [query_rank, hidden]);
    builder.vector("self_attn.q_a_norm", part, query_rank);
    builder.matrix("self_attn.q_b_proj", part, [width, query_rank]);
    builder.matrix("self_attn.kv_proj", part, [size, hidden]);
    builder.vector("self_attn.kv_norm", part, size);
    builder.matrix("self_attn.o_a_proj", part, [times(groups, output_rank), width.checked_div(groups).unwrap_or(0)]);
    builder.matrix("self_attn.o_b_proj", part, [hidden, times(groups, output_rank)]);
    let window = builder.config.need("sliding_window");
    // The one vector is key and value.
    let span = Span::Sliding { window };
    builder.layer.caches.push(Cache::Attention { heads: 1, key_size: size, value_size: 0, span });
    if matches!(kind, Kind::CompressedSparse | Kind::HeavilyCompressed) {
        let rate = compression_rate(builder.config, kind);
        let overlap = if kind == Kind::CompressedSparse { 2 } else { 1 };
        compressor(builder, "self_attn.compressor", rate, size, overlap);
        if kind == Kind::CompressedSparse {
            let index_heads = builder.config.need("index_n_heads");
            let index_size = builder.config.need("index_head_dim");
            compressor(builder, "self_attn.compressor.indexer", rate, index_size, overlap);
            builder.matrix("self_attn.compressor.indexer.q_b_proj", part, [times(index_heads, index_size), query_rank]);
            builder.plain("self_attn.compressor.indexer.weights_proj", part, [index_heads, hidden]);
        }
    }
    builder.feed_forward(family);
    builder.norms(family);
    hyper_connections_of_three(builder, kind);
}

/// What makes entries of a few tokens each, and the entries.
fn compressor(builder: &mut Builder<'_, '_>, name: &'static str, rate: u32, size: u32, overlap: u32) {
    let part = Part::Attention;
    let width = times(overlap, size);
    builder.plain(name, part, [rate, width]);
    for _ in 0..2 {
        builder.matrix(name, part, [width, builder.hidden]);
    }
    builder.vector(name, part, size);
    builder.layer.caches.push(Cache::Compressed { rate, size });
    if overlap > 1 {
        // An entry is made from the tokens before its own too, which are kept with their gates.
        let values = times(times(2, rate), size);
        builder.layer.caches.push(Cache::State(StateShape::Vectors { values }));
    }
}
