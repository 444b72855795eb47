//! Families of 2026 that share little with others.

use super::super::builder::{Builder, times};
use super::super::config::Config;
use super::super::family::{
    Attention, BARE_HEADS, Family, Gate, HEADS, Heads, LATENT, LLAMA, Layers, NORMED_HEADS, NORMS, Norms, OUTSIDE,
    Outside, ROUTING, Routing, Shared, State, When,
};
use super::super::pattern::{Kind, full, window};
use super::Row;
use super::latent::{hyper_connections, indexed};
use plimsoll_scenario::anatomy::{Cache, Part, StateShape};

const COUNTED: Routing = Routing { shared: Shared::Counted, ..ROUTING };

pub(super) const FAMILIES: &[Row] = &[
    (
        "molmo2_text",
        Family {
            attention: Attention::Heads(Heads { output_bias: When::Never, ..NORMED_HEADS }),
            pattern: full,
            finish: Some(molmo_rows),
            ..LLAMA
        },
    ),
    (
        "voxtral_realtime_text",
        Family { attention: Attention::Heads(BARE_HEADS), pattern: window, layer: Layers::And(adaptive_norm), ..LLAMA },
    ),
    (
        "axk2",
        Family {
            experts: Some(Routing { dense_first: 1, ..COUNTED }),
            norms: Norms { per_layer: 2, ..NORMS },
            pattern: indexed,
            layer: Layers::Own(axk2),
            ..LLAMA
        },
    ),
    (
        "glm5_next_text",
        Family {
            attention: Attention::Latent(LATENT),
            state: State::DeltaAttention,
            experts: Some(Routing { dense_first: 3, ..COUNTED }),
            pattern: glm5_kinds,
            layer: Layers::Own(glm5),
            ..LLAMA
        },
    ),
    (
        "mistral_large4_text",
        Family {
            attention: Attention::Latent(LATENT),
            experts: Some(COUNTED),
            pattern: indexed,
            layer: Layers::Own(mistral_large4),
            finish: Some(rope_scales),
            ..LLAMA
        },
    ),
    (
        "inkling_text",
        Family { pattern: inkling_kinds, layer: Layers::Own(inkling), finish: Some(embedding_norm), ..LLAMA },
    ),
    (
        "inkling2_text inkling2_loop_text",
        Family { pattern: inkling_kinds, layer: Layers::Own(inkling2), finish: Some(inkling2_outside), ..LLAMA },
    ),
    (
        "zaya",
        Family {
            outside: Outside { head_bias: When::If("lm_head_bias"), ..OUTSIDE },
            pattern: zaya_kinds,
            layer: Layers::Own(zaya),
            finish: Some(zaya_scales),
            ..LLAMA
        },
    ),
];

/// Rows of the embedding for images.
fn molmo_rows(builder: &mut Builder<'_, '_>) {
    let rows = builder.config.count_or_0("additional_vocab_size");
    builder.outer("model.embed_tokens", Part::Embedding, 1, [rows, builder.hidden]);
}

fn adaptive_norm(builder: &mut Builder<'_, '_>, _: Kind) {
    let hidden = builder.hidden;
    builder.matrix("ada_rms_norm.linear1", Part::Norm, [32, hidden]);
    builder.matrix("ada_rms_norm.linear2", Part::Norm, [hidden, 32]);
}

/// Latent attention whose queries and gates come from one matrix, and norms with gates of low rank.
fn axk2(builder: &mut Builder<'_, '_>, family: &Family, kind: Kind) {
    let part = Part::Attention;
    let hidden = builder.hidden;
    builder.latent(&LATENT, kind);
    let heads = builder.num_heads(kind);
    let rank = builder.config.need("q_lora_rank");
    let nope = builder.config.need("qk_nope_head_dim");
    let rope = builder.config.need("qk_rope_head_dim");
    let value = builder.config.need("v_head_dim");
    let width = times(heads, nope.saturating_add(rope).saturating_add(value));
    builder.layer.tensors.retain(|tensor| tensor.name != "self_attn.q_b_proj");
    builder.matrix("self_attn.q_gate_proj", part, [width, times(2, rank)]);
    let is_routed = family.experts.as_ref().is_some_and(|routing| builder.is_routed(routing));
    builder.feed_forward(family);
    builder.norms(family);
    let low = builder.config.need("gated_norm_rank");
    for _ in 0..if is_routed { 2 } else { 1 } {
        builder.matrix("norm.mlp.fc1", Part::Norm, [low, hidden]);
        builder.matrix("norm.mlp.fc2", Part::Norm, [hidden, low]);
    }
}

fn glm5_kinds(_: &mut Config<'_>, layer: u32, _: u32) -> Kind {
    if layer % 4 == 3 { Kind::Indexed } else { Kind::Linear }
}

/// Delta attention, and latent attention without positions whose indexer keeps a key for several tokens.
fn glm5(builder: &mut Builder<'_, '_>, family: &Family, kind: Kind) {
    if kind == Kind::Linear {
        builder.mixer(family, kind);
    } else {
        let nope = builder.config.need("qk_nope_head_dim");
        let rope = builder.config.count_or_0("qk_rope_head_dim");
        builder.latent_of(&LATENT, Kind::Indexed, nope, rope);
        let pool = builder.config.need("index_kpool");
        let size = builder.config.need("index_head_dim");
        builder.plain("self_attn.indexer.index_kpool", Part::Attention, [pool, size]);
        builder.plain("self_attn.indexer.index_kpool", Part::Attention, [size, builder.hidden]);
    }
    builder.feed_forward(family);
    builder.norms(family);
    let streams = builder.config.need("hc_mult");
    hyper_connections(builder, times(streams.saturating_add(2), streams), 3);
}

/// Latent attention with scales for its softmax; every fourth layer has no positions.
fn mistral_large4(builder: &mut Builder<'_, '_>, family: &Family, kind: Kind) {
    let part = Part::Attention;
    let nope = builder.config.need("qk_nope_head_dim");
    let rope = builder.config.need("qk_rope_head_dim");
    let has_positions = match builder.config.list("no_rope_layers").filter(|list| !list.is_empty()) {
        Some(_) => builder.config.count_or_0("no_rope_layers") > 0,
        None => {
            let period = builder.config.count("no_rope_layer_interval").unwrap_or(4);
            builder.index.saturating_add(1).checked_rem(period) != Some(0)
        }
    };
    let (nope, rope) = if has_positions { (nope, rope) } else { (nope.saturating_add(rope), 0) };
    builder.latent_of(&LATENT, kind, nope, rope);
    let heads = builder.num_heads(kind);
    let index_heads = builder.config.need("index_n_heads");
    builder.vector("self_attn.softmax_scaling", part, times(2, heads.saturating_add(index_heads)));
    builder.vector("self_attn.indexer.q_input_norm", part, times(2, builder.hidden));
    builder.feed_forward(family);
    builder.norms(family);
}

fn rope_scales(builder: &mut Builder<'_, '_>) {
    let rope = builder.config.need("qk_rope_head_dim");
    builder.outer("model.rotary_emb.alpha", Part::Norm, 1, [rope / 2, 1]);
}

fn inkling_kinds(config: &mut Config<'_>, layer: u32, _: u32) -> Kind {
    let is_local = config.lists("local_layer_ids", layer).unwrap_or(layer % 6 != 5);
    if is_local { Kind::HybridSliding } else { Kind::Hybrid }
}

/// Heads, KV heads and head size of a layer of either kind.
fn inkling_sizes(builder: &mut Builder<'_, '_>, kind: Kind) -> (Kind, u32, u32, u32) {
    let kind = if kind == Kind::HybridSliding { Kind::Sliding } else { Kind::Full };
    let heads = builder.num_heads(kind);
    let key = if kind == Kind::Sliding { "swa_num_key_value_heads" } else { "num_key_value_heads" };
    let kv_heads = builder.config.need(key);
    (kind, heads, kv_heads, builder.head_size(kind))
}

/// The inputs of the convolutions in a layer, and its keys and values.
fn inkling_caches(builder: &mut Builder<'_, '_>, kind: Kind, kv_heads: u32, size: u32, kernel: u32) {
    let span = builder.span(kind);
    builder.layer.caches.push(Cache::Attention { heads: kv_heads, key_size: size, value_size: size, span });
    let channels = times(2, times(kv_heads, size)).saturating_add(times(2, builder.hidden));
    builder.layer.caches.push(Cache::State(StateShape::Convolution { channels, kernel }));
}

fn embedding_norm(builder: &mut Builder<'_, '_>) {
    builder.outer("model.embed_tokens.embed_norm", Part::Norm, 1, [builder.hidden, 1]);
}

/// Attention with learned distances, and convolutions behind keys, values, attention and experts.
fn inkling(builder: &mut Builder<'_, '_>, family: &Family, kind: Kind) {
    let part = Part::Attention;
    let hidden = builder.hidden;
    let (kind, heads, kv_heads, size) = inkling_sizes(builder, kind);
    let kernel = builder.config.need("conv_kernel");
    let width = builder.config.need("d_rel");
    let extent = if kind == Kind::Sliding { "sliding_window" } else { "rel_extent" };
    let extent = builder.config.need(extent);
    builder.project(&Heads { has_norm: When::Always, ..BARE_HEADS }, heads, kv_heads, [size, size], kind);
    builder.matrix("self_attn.r_proj", part, [times(heads, width), hidden]);
    builder.plain("self_attn.rel_logits_proj", part, [width, extent]);
    builder.plain("self_attn.sconv", part, [times(2, times(kv_heads, size)), kernel]);
    builder.plain("sconv", Part::State, [times(2, hidden), kernel]);
    inkling_caches(builder, kind, kv_heads, size, kernel);
    if builder.is_routed(&ROUTING) {
        let shared = builder.config.count_or_0("n_shared_experts");
        builder.experts(&COUNTED, When::Never);
        // The router chooses among the shared experts too.
        builder.plain("mlp.gate", Part::Router, [shared, hidden]);
        builder.vector("mlp.gate.global_scale", Part::Router, 1);
    } else {
        builder.network(family);
        builder.vector("mlp.global_scale", Part::FeedForward, 1);
    }
    builder.norms(family);
}

/// Attention over earlier blocks of layers instead of a residual stream.
fn inkling2(builder: &mut Builder<'_, '_>, _: &Family, kind: Kind) {
    let part = Part::Attention;
    let hidden = builder.hidden;
    let (kind, heads, kv_heads, size) = inkling_sizes(builder, kind);
    let is_full = kind == Kind::Full;
    let kernel = builder.config.need("conv_kernel");
    let width = builder.config.need("d_rel");
    let extent = builder.config.need("rel_extent");
    let keys = times(kv_heads, size);
    builder.project(&Heads { gate: Gate::Wide, ..BARE_HEADS }, heads, kv_heads, [size, size], kind);
    builder.plain("self_attn.q_proj.norm", part, [heads, size]);
    builder.matrix("self_attn.sink_proj", part, [heads, hidden]);
    builder.plain("self_attn.relative_position_bias.proj", part, [width, extent]);
    builder.matrix("self_attn.relative_position_bias.linear", part, [times(heads, width), hidden]);
    builder.plain("self_attn.relative_position_bias.norm", part, [heads, width]);
    builder.plain("self_attn.sconv", part, [times(2, keys), kernel]);
    if is_full {
        // The kernels of full layers depend on the token, by groups of channels.
        builder.matrices("self_attn.sconv.w_proj", part, 2, [times(kv_heads, kernel), hidden], false);
    }
    builder.plain("convolutions", Part::State, [times(2, hidden), kernel]);
    builder.experts(&ROUTING, When::Never);
    let inputs: u32 = if is_full { 3 } else { 1 };
    let queries = if builder.index == 0 { 0 } else { inputs };
    // A norm of each input and one before the experts, whose query follows.
    builder.vector("inputs", Part::Norm, times(inputs.saturating_add(queries).saturating_add(2), hidden));
    inkling_caches(builder, kind, kv_heads, size, kernel);
    let first = builder.config.count_or_0("loop_layer_index_start");
    let end = builder.config.count_or_0("loop_layer_index_end");
    if (first..end).contains(&builder.index) {
        let rank = builder.config.need("loop_gate_rank");
        let passes = builder.config.count("loop_num_passes").unwrap_or(1).min(64);
        builder.matrices("message_gate.down_proj", Part::FeedForward, 4, [rank, times(2, hidden)], false);
        builder.matrices("message_gate.gate_proj", Part::FeedForward, 8, [hidden, rank], false);
        builder.vector("message_input.query", Part::Norm, times(4, hidden));
        let own = builder.layer.caches.clone();
        builder.layer.caches.extend((1..passes).flat_map(|_| own.iter().copied()));
    }
}

fn inkling2_outside(builder: &mut Builder<'_, '_>) {
    embedding_norm(builder);
    builder.outer("model.final_input.query", Part::Norm, 1, [builder.hidden, 1]);
}

fn zaya_kinds(_: &mut Config<'_>, _: u32, _: u32) -> Kind {
    Kind::Hybrid
}

/// Attention on convolved queries and keys, half of whose values are those of the token before.
fn zaya(builder: &mut Builder<'_, '_>, family: &Family, kind: Kind) {
    let part = Part::Attention;
    let hidden = builder.hidden;
    let heads = builder.num_heads(kind);
    let kv_heads = builder.config.need("num_key_value_heads");
    let size = builder.head_size(Kind::Full);
    let bias = builder.has(HEADS.output_bias);
    let [queries, keys] = [times(heads, size), times(kv_heads, size)];
    let mixed = queries.saturating_add(keys);
    let first = builder.config.need("cca_time0");
    let second = builder.config.need("cca_time1");
    builder.layer.heads = heads;
    builder.matrices("self_attn.q_proj", part, 1, [queries, hidden], bias);
    builder.matrices("self_attn.k_proj", part, 1, [keys, hidden], bias);
    builder.matrices("self_attn.v_proj", part, 2, [keys / 2, hidden], bias);
    builder.matrices("self_attn.o_proj", part, 1, [hidden, queries], bias);
    builder.plain("self_attn.conv_qk_depthwise", part, [mixed, first.saturating_add(1)]);
    builder.plain("self_attn.conv_qk_grouped", part, [mixed, times(size, second).saturating_add(1)]);
    builder.vector("self_attn.qk_norm.temp", part, kv_heads);
    let kernel = first.saturating_add(second).saturating_sub(2);
    let kind = if kind == Kind::HybridSliding { Kind::Sliding } else { Kind::Full };
    let span = builder.span(kind);
    builder.layer.caches.push(Cache::Attention { heads: kv_heads, key_size: size, value_size: size, span });
    builder.layer.caches.push(Cache::State(StateShape::Convolution { channels: mixed, kernel }));
    builder.layer.caches.push(Cache::State(StateShape::Vectors { values: keys / 2 }));
    let router = builder.config.need("router_hidden_size");
    builder.experts(&ROUTING, When::Never);
    let routed = builder.config.need("num_experts");
    // The router is a network of its own, with a class for no expert.
    builder.layer.tensors.retain(|tensor| tensor.part != Part::Router);
    builder.plain("mlp.gate.down_proj", Part::Router, [router, hidden.saturating_add(1)]);
    builder.plain("mlp.gate.router_mlp", Part::Router, [times(2, router), router.saturating_add(1)]);
    builder.plain("mlp.gate.router_mlp", Part::Router, [routed.saturating_add(2), router]);
    if builder.index > 0 {
        builder.vector("mlp.gate.router_states_scale", Part::Router, router);
    }
    builder.norms(family);
    builder.vector("residual_scales", Part::Norm, times(8, hidden));
}

fn zaya_scales(builder: &mut Builder<'_, '_>) {
    builder.outer("model.input_hidden_states", Part::Norm, 1, [builder.hidden, 2]);
}
