//! The families of Gemma.

use super::super::builder::{Builder, times};
use super::super::checks::check_heads;
use super::super::family::{
    Attention, Family, GATED, HEADS, Heads, LLAMA, Layers, NORMED_HEADS, NORMS, Network, Norms, ROUTING, When,
};
use super::super::pattern::{Kind, every_fifth, every_second, every_sixth_and_last, stated_period};
use super::Row;
use plimsoll_scenario::anatomy::{Cache, Part};

const GEMMA: Family = Family { network: Network { bias: When::Never, ..GATED }, ..LLAMA };

const GEMMA2: Family = Family { norms: Norms { per_layer: 4, ..NORMS }, pattern: every_second, ..GEMMA };

const GEMMA3: Family = Family { attention: Attention::Heads(NORMED_HEADS), pattern: stated_period, ..GEMMA2 };

const GEMMA4: Family =
    Family { pattern: every_sixth_and_last, layer: Layers::Own(gemma4), finish: Some(per_layer_embeddings), ..GEMMA3 };

pub(super) const FAMILIES: &[Row] = &[
    ("gemma", GEMMA),
    ("gemma2", GEMMA2),
    ("vaultgemma", Family { norms: NORMS, ..GEMMA2 }),
    ("gemma3_text", GEMMA3),
    (
        "gemma3n_text",
        Family { pattern: every_fifth, layer: Layers::Own(gemma3n), finish: Some(gemma3n_outside), ..GEMMA3 },
    ),
    ("gemma4_text gemma4_unified_text diffusion_gemma_text", GEMMA4),
];

/// Whether a layer reads the cache of an earlier one.
fn shares(builder: &mut Builder<'_, '_>) -> bool {
    let shared = builder.config.count_or_0("num_kv_shared_layers");
    builder.index >= builder.layers.saturating_sub(shared) && shared > 0
}

/// Attention whose keys and values may come from an earlier layer.
fn attention(builder: &mut Builder<'_, '_>, kind: Kind, is_shared: bool, is_value_key: bool) {
    let style = Heads { has_norm: When::Never, ..HEADS };
    let part = Part::Attention;
    let heads = builder.num_heads(kind);
    // Full layers may have heads of their own, under one key or the other.
    let is_full = kind == Kind::Full;
    let own = |builder: &mut Builder<'_, '_>, key: &'static str| if is_full { builder.config.count(key) } else { None };
    let is_listed = builder.config.value("per_layer_config").is_some();
    let global = if is_listed { None } else { own(builder, "global_head_dim") };
    let size = global.unwrap_or_else(|| builder.head_size(kind));
    let global = if is_value_key && !is_listed { own(builder, "num_global_key_value_heads") } else { None };
    let kv_heads = global.or_else(|| builder.config.count("num_key_value_heads")).unwrap_or(heads);
    check_heads(builder.config, heads, kv_heads);
    let span = builder.span(kind);
    builder.vector("self_attn.q_norm", part, size);
    builder.layer.heads = heads;
    let bias = builder.has(style.input_bias);
    let [queries, keys] = [times(heads, size), times(kv_heads, size)];
    let hidden = builder.hidden;
    builder.matrices("self_attn.q_proj", part, 1, [queries, hidden], bias);
    builder.matrices("self_attn.o_proj", part, 1, [hidden, queries], bias);
    if is_shared {
        builder.layer.shares_cache = true;
        return;
    }
    builder.vector("self_attn.k_norm", part, size);
    builder.matrices("self_attn.k_proj", part, 1, [keys, hidden], bias);
    if !is_value_key {
        builder.matrices("self_attn.v_proj", part, 1, [keys, hidden], bias);
    }
    builder.layer.caches.push(Cache::Attention { heads: kv_heads, key_size: size, value_size: size, span });
}

/// What a layer adds from an embedding of its own.
fn per_layer_input(builder: &mut Builder<'_, '_>) {
    let size = builder.config.count_or_0("hidden_size_per_layer_input");
    if size > 0 {
        let hidden = builder.hidden;
        builder.matrix("per_layer_input_gate", Part::FeedForward, [size, hidden]);
        builder.matrix("per_layer_projection", Part::FeedForward, [hidden, size]);
        builder.vector("post_per_layer_input_norm", Part::Norm, hidden);
    }
}

/// The embedding that every layer has a part of.
fn per_layer_embeddings(builder: &mut Builder<'_, '_>) {
    let size = builder.config.count_or_0("hidden_size_per_layer_input");
    if size > 0 {
        let rows = builder.config.need("vocab_size_per_layer_input");
        let width = times(builder.layers, size);
        let hidden = builder.hidden;
        builder.outer("model.embed_tokens_per_layer", Part::Embedding, 1, [rows, width]);
        builder.outer("model.per_layer_model_projection", Part::FeedForward, 1, [width, hidden]);
        builder.outer("model.per_layer_projection_norm", Part::Norm, 1, [size, 1]);
    }
}

fn gemma3n(builder: &mut Builder<'_, '_>, family: &Family, kind: Kind) {
    let is_shared = shares(builder);
    attention(builder, kind, is_shared, false);
    builder.network(family);
    builder.norms(family);
    per_layer_input(builder);
    let hidden = builder.hidden;
    let inputs = builder.config.need("altup_num_inputs");
    let rank = builder.config.need("laurel_rank");
    builder.plain("altup.correction_coefs", Part::Norm, [inputs, inputs]);
    builder.plain("altup.prediction_coefs", Part::Norm, [times(inputs, inputs), inputs]);
    builder.plain("altup.modality_router", Part::Norm, [inputs, hidden]);
    builder.vector("altup.router_norm, correct_output_scale", Part::Norm, times(2, hidden));
    builder.matrix("laurel.linear_left", Part::FeedForward, [rank, hidden]);
    builder.matrix("laurel.linear_right", Part::FeedForward, [hidden, rank]);
    builder.vector("laurel.post_laurel_norm", Part::Norm, hidden);
}

fn gemma3n_outside(builder: &mut Builder<'_, '_>) {
    per_layer_embeddings(builder);
    let inputs = builder.config.need("altup_num_inputs");
    let copies = times(2, inputs.saturating_sub(1));
    builder.outer("model.altup_projections", Part::FeedForward, copies, [builder.hidden, builder.hidden]);
}

fn gemma4(builder: &mut Builder<'_, '_>, family: &Family, kind: Kind) {
    let is_shared = shares(builder);
    let is_value_key = builder.config.flag("attention_k_eq_v") && kind == Kind::Full;
    attention(builder, kind, is_shared, is_value_key);
    let size = builder.config.need("intermediate_size");
    let factor = if is_shared && builder.config.flag("use_double_wide_mlp") { 2 } else { 1 };
    builder.network_of(true, When::Never, times(factor, size));
    builder.norms(family);
    per_layer_input(builder);
    if builder.config.flag("enable_moe_block") {
        let hidden = builder.hidden;
        builder.experts(&ROUTING, When::Never);
        let routed = builder.config.need("num_experts");
        builder.vector("router.scale, per_expert_scale", Part::Router, hidden.saturating_add(routed));
        builder.vector("norms of the experts", Part::Norm, times(3, hidden));
    }
}
