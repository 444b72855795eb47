//! Families that share little with others.

use super::super::builder::{Builder, times};
use super::super::config::Config;
use super::super::family::{
    Attention, BARE_HEADS, Extra, Family, GATED, Gate, HEADS, Heads, LLAMA, Layers, NORMED_HEADS, NORMS, Network,
    Norms, PLAIN, ROUTING, Routing, Shared, Size, State, When,
};
use super::super::pattern::{Kind, every_fourth, full, window};
use super::Row;
use plimsoll_scenario::anatomy::{Cache, Part, StateShape};

/// Patches of the largest image that cross attention looks at: four tiles of 1,601.
const IMAGE_TOKENS: u32 = 6404;

const SIZED: Routing = Routing { shared: Shared::Sized, ..ROUTING };

pub(super) const FAMILIES: &[Row] = &[
    ("zamba", Family { state: State::Mamba1, pattern: zamba_kinds, layer: Layers::Own(zamba), ..LLAMA }),
    ("zamba2", Family { state: State::Mamba2, pattern: zamba_kinds, layer: Layers::Own(zamba), ..LLAMA }),
    ("recurrent_gemma", Family { pattern: recurrent_kinds, layer: Layers::Own(recurrent_gemma), ..LLAMA }),
    (
        "doge",
        Family {
            attention: Attention::Heads(NORMED_HEADS),
            extras: &[Extra { name: "residuals", size: Size::Hidden, when: When::Always }; 2],
            layer: Layers::And(doge),
            ..LLAMA
        },
    ),
    (
        "mllama_text_model",
        Family {
            attention: Attention::Heads(BARE_HEADS),
            pattern: full,
            layer: Layers::Own(mllama),
            finish: Some(mllama_rows),
            ..LLAMA
        },
    ),
    (
        "step3p5",
        Family {
            attention: Attention::Heads(Heads { gate: Gate::PerHead, ..NORMED_HEADS }),
            experts: Some(Routing { dense_first: 3, ..SIZED }),
            pattern: full,
            ..LLAMA
        },
    ),
    ("ernie4_5_vl_moe_text", Family { layer: Layers::Own(ernie_vl), ..LLAMA }),
    ("jetmoe", Family { layer: Layers::Own(jetmoe), ..LLAMA }),
    (
        "dory",
        Family {
            norms: Norms { per_layer: 0, last: false, ..NORMS },
            pattern: dory_kinds,
            layer: Layers::Own(dory),
            finish: Some(dory_scale),
            ..LLAMA
        },
    ),
    (
        "hrm_text",
        Family {
            attention: Attention::Heads(Heads { gate: Gate::Wide, gate_bias: When::If("attention_bias"), ..HEADS }),
            norms: Norms { per_layer: 0, last: false, ..NORMS },
            layer: Layers::And(hrm),
            finish: Some(hrm_start),
            ..LLAMA
        },
    ),
    (
        "muse_spark_text",
        Family {
            attention: Attention::Heads(Heads { gate: Gate::Wide, ..HEADS }),
            norms: Norms { per_layer: 3, ..NORMS },
            pattern: every_fourth,
            extras: &[Extra { name: "residual gates", size: Size::Hidden, when: When::Always }; 2],
            layer: Layers::Own(muse_spark),
            ..LLAMA
        },
    ),
    (
        "rwkv",
        Family {
            norms: Norms { per_layer: 2, bias: When::Always, last: true },
            layer: Layers::Own(rwkv),
            finish: Some(rwkv_norm),
            ..LLAMA
        },
    ),
    ("xlstm", Family { layer: Layers::Own(xlstm), ..LLAMA }),
    (
        "moshi kyutai_speech_to_text",
        Family {
            attention: Attention::Heads(BARE_HEADS),
            network: Network { bias: When::Never, ..PLAIN },
            layer: Layers::Own(moshi),
            finish: Some(codebooks),
            pattern: window,
            ..LLAMA
        },
    ),
    (
        "cpmant",
        Family {
            attention: Attention::Heads(BARE_HEADS),
            network: Network { bias: When::Never, ..GATED },
            finish: Some(cpmant),
            ..LLAMA
        },
    ),
];

fn zamba_kinds(config: &mut Config<'_>, layer: u32, _: u32) -> Kind {
    let is_hybrid = match config.lists("hybrid_layer_ids", layer) {
        Some(is_named) => is_named,
        None => {
            let period = config.count("attn_layer_period").unwrap_or(6);
            let offset = config.count("attn_layer_offset").unwrap_or(4);
            layer.checked_rem(period) == Some(offset) || layer == 2
        }
    };
    if is_hybrid { Kind::Hybrid } else { Kind::Linear }
}

/// A state space in every layer; before some of them a transformer that they share, on twice the width.
fn zamba(builder: &mut Builder<'_, '_>, family: &Family, kind: Kind) {
    let hidden = builder.hidden;
    // The older of the two has the first form of state space.
    let is_older = family.state == State::Mamba1;
    builder.state(family.state);
    builder.vector("input_layernorm", Part::Norm, hidden);
    if kind != Kind::Hybrid {
        return;
    }
    let part = Part::Attention;
    builder.matrix("linear", part, [hidden, hidden]);
    let heads = builder.num_heads(kind);
    let kv_heads = builder.config.count("num_key_value_heads").unwrap_or(heads);
    let double = times(2, hidden);
    let size = double.checked_div(heads).unwrap_or(1);
    let inner = builder.count_or("intermediate_size", times(4, hidden));
    builder.layer.heads = heads;
    builder.layer.caches.push(Cache::Attention {
        heads: kv_heads,
        key_size: size,
        value_size: size,
        span: plimsoll_scenario::anatomy::Span::Full,
    });
    let rank = builder.config.count_or_0("adapter_rank");
    let bias = builder.config.flag("add_bias_linear");
    if rank > 0 {
        builder.matrix("feed_forward.gate_up_proj_adapter", Part::FeedForward, [rank, hidden]);
        builder.matrix("feed_forward.gate_up_proj_adapter", Part::FeedForward, [times(2, inner), rank]);
        if builder.config.flag("use_shared_attention_adapter") {
            builder.matrices("self_attn.adapter", part, 3, [rank, double], false);
            builder.matrices("self_attn.adapter", part, 3, [double, rank], false);
        }
    }
    let blocks = if is_older { 1 } else { builder.config.count("num_mem_blocks").unwrap_or(1) };
    if builder.hybrids < blocks {
        let [queries, keys] = [times(heads, size), times(kv_heads, size)];
        builder.matrix("self_attn.q_proj", part, [queries, double]);
        builder.matrix("self_attn.k_proj", part, [keys, double]);
        builder.matrix("self_attn.v_proj", part, [keys, double]);
        builder.matrix("self_attn.o_proj", part, [hidden, queries]);
        builder.matrices("feed_forward.gate_up_proj", Part::FeedForward, 1, [times(2, inner), hidden], bias);
        builder.matrices("feed_forward.down_proj", Part::FeedForward, 1, [hidden, inner], bias);
        builder.vector("norms", Part::Norm, double.saturating_add(hidden));
    }
    builder.hybrids = builder.hybrids.saturating_add(1);
}

fn recurrent_kinds(_: &mut Config<'_>, layer: u32, _: u32) -> Kind {
    if layer % 3 == 2 { Kind::Sliding } else { Kind::Linear }
}

/// A gated linear recurrence, or attention on a window.
fn recurrent_gemma(builder: &mut Builder<'_, '_>, family: &Family, kind: Kind) {
    let hidden = builder.hidden;
    if kind == Kind::Linear {
        let part = Part::State;
        let width = builder.count_or("lru_width", hidden);
        let kernel = builder.config.need("conv1d_width");
        let heads = builder.num_heads(kind);
        let block = width.checked_div(heads).unwrap_or(1);
        builder.matrices("temporal_block.linear_y", part, 1, [width, hidden], true);
        builder.matrices("temporal_block.linear_x", part, 1, [width, hidden], true);
        builder.matrices("temporal_block.linear_out", part, 1, [hidden, width], true);
        builder.plain("temporal_block.conv_1d", part, [width, kernel.saturating_add(1)]);
        builder.vector("temporal_block.rg_lru.recurrent_param", part, width);
        builder.plain("temporal_block.rg_lru.gates", part, [times(2, width), block.saturating_add(1)]);
        builder
            .layer
            .caches
            .push(Cache::State(StateShape::Convolution { channels: width, kernel: kernel.saturating_sub(1) }));
        builder.layer.caches.push(Cache::State(StateShape::Vectors { values: width }));
    } else {
        builder.attention(&Attention::Heads(Heads { output_bias: When::Always, ..HEADS }), Kind::Sliding);
    }
    let size = builder.config.need("intermediate_size") / 2;
    builder.network_of(true, When::Always, size);
    builder.norms(family);
}

/// A mask that is learned, and experts that are single neurons.
fn doge(builder: &mut Builder<'_, '_>, kind: Kind) {
    let heads = builder.num_heads(kind);
    let kv_heads = builder.config.count("num_key_value_heads").unwrap_or(heads);
    let size = builder.head_size(kind);
    let bias = builder.has(When::If("attention_bias"));
    builder.vector("self_attn.A", Part::Attention, kv_heads);
    builder.matrices("self_attn.dt_proj", Part::Attention, 1, [kv_heads, times(kv_heads, size)], bias);
    if builder.config.flag("is_moe") {
        let routed = builder.config.need("num_experts");
        let active = builder.config.count("num_experts_per_tok").unwrap_or(1);
        let hidden = builder.hidden;
        let keys = routed.isqrt();
        builder.plain("mlp.router_gate", Part::Router, [times(2, keys), hidden]);
        builder.plain("mlp.experts.down_embed", Part::RoutedExperts, [routed, hidden]);
        builder.plain("mlp.experts.up_embed", Part::RoutedExperts, [routed, hidden]);
        builder.routed(routed, active, 1);
    }
}

/// Layers that look at an image, between those that look at the text.
fn mllama(builder: &mut Builder<'_, '_>, family: &Family, kind: Kind) {
    if builder.config.lists("cross_attention_layers", builder.index) == Some(true) {
        let heads = builder.num_heads(kind);
        let kv_heads = builder.config.count("num_key_value_heads").unwrap_or(heads);
        let size = builder.head_size(kind);
        let normed = Heads { has_norm: When::Always, ..BARE_HEADS };
        builder.project(&normed, heads, kv_heads, [size, size], kind);
        builder.vector("cross_attn_gates", Part::Attention, 2);
        builder.layer.caches.push(Cache::Cross {
            heads: kv_heads,
            key_size: size,
            value_size: size,
            tokens: IMAGE_TOKENS,
        });
    } else {
        builder.attention(&family.attention, kind);
    }
    builder.network(family);
    builder.norms(family);
}

/// The embedding has eight rows more than the head.
fn mllama_rows(builder: &mut Builder<'_, '_>) {
    builder.outer("model.embed_tokens", Part::Embedding, 1, [8, builder.hidden]);
}

/// Experts for text and others for images; a list gives the sizes of both.
fn ernie_vl(builder: &mut Builder<'_, '_>, family: &Family, kind: Kind) {
    let style = Heads { input_bias: When::If("use_bias"), output_bias: When::If("use_bias"), ..HEADS };
    builder.attention(&Attention::Heads(style), kind);
    if builder.is_routed(&Routing { dense_first: 1, ..ROUTING }) {
        let layer = builder.index;
        let sizes = [0, 1].map(|place| {
            builder.config.go_to(place);
            builder.config.need("moe_intermediate_size")
        });
        let hidden = builder.hidden;
        builder.config.go_to(0);
        let routed = builder.config.need("num_experts");
        let active = builder.config.count("num_experts_per_tok").unwrap_or(1);
        let shared = times(builder.config.count_or_0("n_shared_experts"), sizes[0]);
        builder.config.go_to(layer);
        for size in sizes {
            builder.plain("mlp.gate", Part::Router, [routed, hidden.saturating_add(1)]);
            builder.matrices("mlp.experts.up_proj", Part::RoutedExperts, routed, [times(2, size), hidden], false);
            builder.matrices("mlp.experts.down_proj", Part::RoutedExperts, routed, [hidden, size], false);
        }
        builder.matrix("mlp.shared_experts.up_proj", Part::SharedExperts, [times(2, shared), hidden]);
        builder.matrix("mlp.shared_experts.down_proj", Part::SharedExperts, [hidden, shared]);
        builder.routed(routed, active, sizes[0]);
    } else {
        let size = builder.config.need("intermediate_size");
        builder.network_of(true, When::If("use_bias"), size);
    }
    builder.norms(family);
}

/// Experts for queries and outputs of attention too.
fn jetmoe(builder: &mut Builder<'_, '_>, family: &Family, kind: Kind) {
    let part = Part::Attention;
    let hidden = builder.hidden;
    let kv_heads = builder.config.need("num_key_value_heads");
    let size = builder.head_size(kind);
    let routed = builder.config.need("num_experts");
    let active = builder.config.count("num_experts_per_tok").unwrap_or(1);
    let inner = builder.config.need("intermediate_size");
    let width = times(kv_heads, size);
    builder.layer.heads = times(kv_heads, active);
    builder.vector("self_attention.experts.bias", part, hidden);
    builder.matrices("self_attention.experts.input_linear", Part::RoutedExperts, routed, [width, hidden], false);
    builder.matrices("self_attention.experts.output_linear", Part::RoutedExperts, routed, [hidden, width], false);
    builder.plain("self_attention.experts.router", Part::Router, [routed, hidden]);
    builder.matrix("self_attention.kv_proj", part, [times(2, width), hidden]);
    let span = plimsoll_scenario::anatomy::Span::Full;
    // Keys and values are repeated for each chosen expert when they are used, not when they are kept.
    builder.layer.caches.push(Cache::Attention { heads: kv_heads, key_size: size, value_size: size, span });
    builder.vector("mlp.bias", Part::FeedForward, hidden);
    builder.matrices("mlp.input_linear", Part::RoutedExperts, routed, [times(2, inner), hidden], false);
    builder.matrices("mlp.output_linear", Part::RoutedExperts, routed, [hidden, inner], false);
    builder.plain("mlp.router", Part::Router, [routed, hidden]);
    builder.routed(routed, active, inner);
    builder.norms(family);
}

fn dory_kinds(_: &mut Config<'_>, layer: u32, _: u32) -> Kind {
    if layer % 4 == 3 { Kind::Full } else { Kind::Sliding }
}

/// Layers of which some run more than once, with a cache for every run.
fn dory(builder: &mut Builder<'_, '_>, family: &Family, kind: Kind) {
    let hidden = builder.hidden;
    builder.vector("lambda", Part::Norm, hidden);
    if kind == Kind::Mlp {
        builder.network(family);
        let size = builder.config.need("intermediate_size");
        builder.vector("mlp.suv", Part::FeedForward, times(2, size));
        return;
    }
    let heads = builder.num_heads(kind);
    let width = times(heads, builder.head_size(kind));
    builder.attention(&Attention::Heads(Heads { gate: Gate::Wide, ..HEADS }), kind);
    builder.vector("self_attn.sqk, s_gate", Part::Attention, times(2, width));
    let first = builder.config.count_or_0("n_input_layers");
    let recurrent = builder.config.count_or_0("n_recurrent_layers");
    let loops = builder.config.count("n_recurrent_loops").unwrap_or(1).min(64);
    if (first..first.saturating_add(recurrent)).contains(&builder.index) {
        let own = builder.layer.caches.clone();
        builder.layer.caches.extend((1..loops).flat_map(|_| own.iter().copied()));
    }
}

fn dory_scale(builder: &mut Builder<'_, '_>) {
    let rows = builder.config.need("vocab_size");
    builder.outer("lm_head.logit_scale", Part::Head, 1, [rows, 1]);
}

/// Two stacks of layers: one runs in an inner loop, the other once for each of these.
fn hrm(builder: &mut Builder<'_, '_>, _: Kind) {
    let stack = builder.layers / 2;
    let outer = builder.config.count("H_cycles").unwrap_or(1).min(64);
    let inner = builder.config.count("L_cycles").unwrap_or(1).min(64);
    let runs = if builder.index < stack { times(outer, inner) } else { outer };
    let own = builder.layer.caches.clone();
    builder.layer.caches.extend((1..runs).flat_map(|_| own.iter().copied()));
}

fn hrm_start(builder: &mut Builder<'_, '_>) {
    builder.outer("model.z_L_init", Part::Norm, 1, [builder.hidden, 1]);
}

/// Experts on vectors of half the width.
fn muse_spark(builder: &mut Builder<'_, '_>, family: &Family, kind: Kind) {
    builder.attention(&family.attention, kind);
    let hidden = builder.hidden;
    if builder.is_routed(&ROUTING) {
        let width = builder.count_or("moe_hidden_size", hidden / 2);
        builder.experts(&ROUTING, When::Never);
        builder.narrow_experts(width);
        builder.matrix("mlp.pre_expert_proj", Part::RoutedExperts, [width, hidden]);
        builder.matrix("mlp.post_expert_proj", Part::RoutedExperts, [hidden, width]);
        builder.vector("mlp.expert_norms", Part::Norm, times(2, width));
    } else {
        builder.network(family);
    }
    builder.norms(family);
}

fn rwkv(builder: &mut Builder<'_, '_>, family: &Family, _: Kind) {
    let part = Part::State;
    let hidden = builder.hidden;
    let width = builder.count_or("attention_hidden_size", hidden);
    let size = builder.count_or("intermediate_size", times(4, hidden));
    builder.vector("attention.time", part, times(2, width).saturating_add(times(3, hidden)));
    for name in ["attention.key", "attention.value", "attention.receptance"] {
        builder.matrix(name, part, [width, hidden]);
    }
    builder.matrix("attention.output", part, [hidden, width]);
    builder.vector("feed_forward.time", Part::FeedForward, times(2, hidden));
    builder.matrix("feed_forward.key", Part::FeedForward, [size, hidden]);
    builder.matrix("feed_forward.receptance", Part::FeedForward, [hidden, hidden]);
    builder.matrix("feed_forward.value", Part::FeedForward, [hidden, size]);
    builder.layer.feed_forward = plimsoll_scenario::anatomy::FeedForward::Dense { size, is_gated: false };
    // Three of the five vectors have the width of attention.
    let values = times(2, hidden).saturating_add(times(3, width));
    builder.layer.caches.push(Cache::State(StateShape::Vectors { values }));
    builder.norms(family);
}

fn rwkv_norm(builder: &mut Builder<'_, '_>) {
    builder.outer("rwkv.blocks.0.pre_ln", Part::Norm, 1, [builder.hidden, 2]);
}

/// A matrix memory per head.
fn xlstm(builder: &mut Builder<'_, '_>, family: &Family, _: Kind) {
    let part = Part::State;
    let hidden = builder.hidden;
    let heads = builder.config.need("num_attention_heads");
    let share = |builder: &mut Builder<'_, '_>, key: &'static str, usual: f64| {
        let factor = builder.config.number(key).unwrap_or(usual).clamp(0.0, 64.0);
        plimsoll_scenario::time::truncate(f64::from(hidden) * factor)
    };
    let narrow = |size: i64| u32::try_from(size).unwrap_or(u32::MAX);
    let keys = narrow(share(builder, "qk_dim_factor", 0.5));
    let values = narrow(share(builder, "v_dim_factor", 1.0));
    let multiple = builder.config.count("ffn_round_up_to_multiple_of").unwrap_or(64).max(1);
    let size = times(narrow(share(builder, "ffn_proj_factor", 2.667)).div_ceil(multiple), multiple);
    let bias = builder.config.flag("use_bias");
    builder.matrices("mlstm_layer.q", part, 1, [keys, hidden], bias);
    builder.matrices("mlstm_layer.k", part, 1, [keys, hidden], bias);
    builder.matrices("mlstm_layer.v", part, 1, [values, hidden], bias);
    builder.matrices("mlstm_layer.ogate_preact", part, 1, [values, hidden], bias);
    builder.matrices("mlstm_layer.igate_preact", part, 1, [heads, hidden], true);
    builder.matrices("mlstm_layer.fgate_preact", part, 1, [heads, hidden], true);
    builder.vector("mlstm_layer.multihead_norm", part, values);
    builder.matrices("mlstm_layer.out_proj", part, 1, [hidden, values], bias);
    builder.network_of(true, When::If("use_bias"), size);
    let key_size = keys.checked_div(heads).unwrap_or(1);
    let value_size = values.checked_div(heads).unwrap_or(1);
    builder.layer.caches.push(Cache::State(StateShape::Linear { heads, key_size, value_size }));
    builder.layer.caches.push(Cache::State(StateShape::Vectors { values: times(heads, key_size.saturating_add(1)) }));
    builder.norms(family);
}

/// The stated size is that of both halves of the gated network.
fn moshi(builder: &mut Builder<'_, '_>, family: &Family, kind: Kind) {
    builder.attention(&family.attention, kind);
    let size = builder.config.need("intermediate_size") / 2;
    builder.network_of(true, When::Never, size);
    builder.norms(family);
}

/// Rows of the embedding for sounds, and one for nothing.
fn codebooks(builder: &mut Builder<'_, '_>) {
    let books = builder.config.count_or_0("num_codebooks");
    let rows = times(builder.config.count_or_0("codebook_vocab_size"), books).saturating_add(1);
    builder.outer("model.embed_tokens", Part::Embedding, 1, [rows, builder.hidden]);
}

/// Embeddings of prompts, segments and distances.
fn cpmant(builder: &mut Builder<'_, '_>) {
    let hidden = builder.hidden;
    let heads = builder.config.need("num_attention_heads");
    let segments = builder.config.count_or_0("segment_types");
    let prompts = times(builder.config.count_or_0("prompt_types"), builder.config.count_or_0("prompt_length"));
    let rows = builder.config.need("vocab_size");
    let buckets = builder.config.count_or_0("position_bias_num_buckets");
    let distances = times(segments, segments).saturating_add(buckets);
    builder.outer("cpmant.segment_embedding", Part::Embedding, 1, [segments, hidden]);
    builder.outer("cpmant.input_embedding", Part::Embedding, 1, [rows.saturating_add(prompts), hidden]);
    builder.outer("cpmant.position_bias", Part::Embedding, 1, [distances, heads]);
}
