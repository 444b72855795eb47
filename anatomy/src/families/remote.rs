//! Families that bring code of their own instead of being part of transformers.
//!
//! Their config classes assume nothing here: what their configs do not state is missing.

use super::super::builder::{Builder, times};
use super::super::config::Config;
use super::super::family::{
    Attention, BARE_HEADS, BIASED_HEADS, FULLY_BIASED_HEADS, Family, GATED, HEADS, HeadNorm, Heads, LLAMA, Layers,
    NORMED_HEADS, NORMS, Network, Norms, ROUTING, Routing, Shared, State, When,
};
use super::super::pattern::Kind;
use super::Row;
use plimsoll_json::Value;
use plimsoll_scenario::anatomy::{Cache, Part, Span};

pub(super) const FAMILIES: &[Row] = &[
    (
        "internlm internlm2",
        Family {
            attention: Attention::Heads(Heads { input_bias: When::If("bias"), output_bias: When::If("bias"), ..HEADS }),
            network: Network { bias: When::Never, ..GATED },
            ..LLAMA
        },
    ),
    ("orion", Family { norms: Norms { bias: When::Always, ..NORMS }, ..LLAMA }),
    ("qwen", Family { attention: Attention::Heads(BIASED_HEADS), layer: Layers::Own(qwen), ..LLAMA }),
    ("chatglm", Family { layer: Layers::Own(chatglm), ..LLAMA }),
    (
        "bailing_moe bailing_moe_v2",
        Family {
            attention: Attention::Heads(Heads {
                input_bias: When::If("use_qkv_bias"),
                output_bias: When::If("use_bias"),
                has_norm: When::If("use_qk_norm"),
                ..NORMED_HEADS
            }),
            network: Network { bias: When::If("use_bias"), ..GATED },
            experts: Some(Routing { shared: Shared::Counted, ..ROUTING }),
            ..LLAMA
        },
    ),
    ("minicpm", Family { experts: Some(ROUTING), ..LLAMA }),
    (
        "phi3small",
        Family {
            attention: Attention::Heads(FULLY_BIASED_HEADS),
            network: Network { bias: When::Always, ..GATED },
            norms: LAYER_NORM,
            ..LLAMA
        },
    ),
    (
        "jais",
        Family {
            attention: Attention::Heads(FULLY_BIASED_HEADS),
            network: Network { bias: When::Always, ..GATED },
            norms: LAYER_NORM,
            ..LLAMA
        },
    ),
    (
        "telechat",
        Family {
            attention: Attention::Heads(Heads { output_bias: When::Always, ..BARE_HEADS }),
            layer: Layers::And(bias_of_the_output),
            ..LLAMA
        },
    ),
    (
        "arctic",
        Family {
            attention: Attention::Heads(BARE_HEADS),
            experts: Some(ROUTING),
            layer: Layers::And(arctic_residual),
            ..LLAMA
        },
    ),
    (
        "grok-1",
        Family {
            attention: Attention::Heads(BARE_HEADS),
            experts: Some(ROUTING),
            norms: Norms { per_layer: 4, ..NORMS },
            layer: Layers::And(grok_residual),
            ..LLAMA
        },
    ),
    (
        "step3_text",
        Family { experts: Some(Routing { shared: Shared::Sized, ..ROUTING }), layer: Layers::Own(step3), ..LLAMA },
    ),
    (
        "bailing_moe_linear",
        Family {
            attention: Attention::Heads(Heads { has_norm: When::If("use_qk_norm"), ..BARE_HEADS }),
            state: State::Lightning,
            experts: Some(Routing { shared: Shared::Counted, ..ROUTING }),
            pattern: layer_group,
            layer: Layers::And(norms_of_linear_heads),
            ..LLAMA
        },
    ),
    (
        "molmo",
        Family {
            attention: Attention::Heads(Heads {
                input_bias: When::If("attention_bias"),
                has_norm: When::If("attention_layer_norm"),
                norm: HeadNorm::Whole,
                ..BARE_HEADS
            }),
            layer: Layers::Own(molmo),
            finish: Some(more_tokens),
            ..LLAMA
        },
    ),
    (
        "ouro",
        Family {
            norms: Norms { per_layer: 4, ..NORMS },
            layer: Layers::And(repeated_caches),
            finish: Some(exit_gate),
            ..LLAMA
        },
    ),
    ("nemotron-nas", Family { attention: Attention::Heads(BARE_HEADS), layer: Layers::Own(nemotron_nas), ..LLAMA }),
    (
        "openelm",
        Family {
            attention: Attention::Heads(Heads { has_norm: When::If("normalize_qk_projections"), ..BARE_HEADS }),
            layer: Layers::Own(openelm),
            ..LLAMA
        },
    ),
];

const LAYER_NORM: Norms = Norms { bias: When::Always, ..NORMS };

/// Networks have a bias on what they give and on nothing else.
fn bias_of_the_output(builder: &mut Builder<'_, '_>, _: Kind) {
    builder.vector("mlp.down_proj", Part::FeedForward, builder.hidden);
}

/// A network beside the experts, as wide as the layer, with a norm of its own.
fn arctic_residual(builder: &mut Builder<'_, '_>, _: Kind) {
    if builder.config.flag("use_residual") || builder.config.flag("parallel_attn_mlp_res") {
        let hidden = builder.hidden;
        builder.beside_experts(hidden);
        builder.vector("residual_layernorm", Part::Norm, hidden);
    }
}

fn grok_residual(builder: &mut Builder<'_, '_>, _: Kind) {
    if builder.config.flag("residual_moe") {
        let size = builder.config.need("intermediate_size");
        builder.beside_experts(size);
    }
}

/// Queries of a low rank that all heads share, and one head of keys and values.
///
/// # Source
/// The model's own code, `Step3Attention`.
fn step3(builder: &mut Builder<'_, '_>, family: &Family, kind: Kind) {
    let (part, hidden) = (Part::Attention, builder.hidden);
    let heads = builder.num_heads(kind);
    let size = builder.head_size(kind);
    let kv_heads = builder.config.need("num_key_value_heads");
    let rank = builder.config.need("share_q_dim");
    builder.layer.heads = heads;
    builder.matrix("self_attn.q_proj", part, [rank, hidden]);
    builder.vector("self_attn.inter_norm", part, rank);
    builder.matrix("self_attn.wq", part, [times(heads, size), rank]);
    builder.matrix("self_attn.k_proj", part, [times(kv_heads, size), hidden]);
    builder.matrix("self_attn.v_proj", part, [times(kv_heads, size), hidden]);
    builder.matrix("self_attn.o_proj", part, [hidden, times(heads, size)]);
    let span = Span::Full;
    builder.layer.caches.push(Cache::Attention { heads: kv_heads, key_size: size, value_size: size, span });
    builder.feed_forward(family);
    builder.norms(family);
}

/// Every last layer of a group attends.
fn layer_group(config: &mut Config<'_>, layer: u32, _: u32) -> Kind {
    let period = config.need("layer_group_size");
    if layer.saturating_add(1).checked_rem(period) == Some(0) { Kind::Full } else { Kind::Linear }
}

fn norms_of_linear_heads(builder: &mut Builder<'_, '_>, kind: Kind) {
    if kind == Kind::Linear && builder.config.flag("use_qk_norm") {
        let size = builder.head_size(Kind::Full);
        builder.vector("self_attn.q_norm, k_norm", Part::State, times(2, size));
    }
}

/// The stated size is that of both halves of the gated network.
fn molmo(builder: &mut Builder<'_, '_>, family: &Family, kind: Kind) {
    builder.attention(&family.attention, kind);
    let size = builder.config.need("intermediate_size") / 2;
    builder.network_of(true, When::Never, size);
    builder.norms(family);
}

/// Tokens for images, which are looked up in a table of their own.
fn more_tokens(builder: &mut Builder<'_, '_>) {
    let rows = builder.config.count("additional_vocab_size").unwrap_or(128);
    builder.outer("model.transformer.wte.new_embedding", Part::Embedding, 1, [rows, builder.hidden]);
}

/// Every layer is passed several times and keeps its tokens each time.
fn repeated_caches(builder: &mut Builder<'_, '_>, _: Kind) {
    // More times than any model has are a slip of the pen.
    let times = builder.config.count("total_ut_steps").unwrap_or(1).clamp(1, 64);
    let once = builder.layer.caches.clone();
    for _ in 1..times {
        builder.layer.caches.extend_from_slice(&once);
    }
}

fn exit_gate(builder: &mut Builder<'_, '_>) {
    builder.outer("model.early_exit_gate", Part::Norm, 1, [builder.hidden.saturating_add(1), 1]);
}

/// The stated size is that of both halves of the gated network.
fn qwen(builder: &mut Builder<'_, '_>, family: &Family, kind: Kind) {
    builder.attention(&family.attention, kind);
    let size = builder.config.need("intermediate_size") / 2;
    builder.network_of(true, When::Unless("no_bias"), size);
    builder.norms(family);
}

fn chatglm(builder: &mut Builder<'_, '_>, family: &Family, kind: Kind) {
    let heads = builder.num_heads(kind);
    let kv_heads =
        if builder.config.flag("multi_query_attention") { builder.config.need("num_key_value_heads") } else { heads };
    let has_bias = builder.config.flag("add_bias_linear");
    let output_bias = if has_bias { When::Always } else { When::Never };
    let input_bias = if builder.config.flag("add_qkv_bias") { When::Always } else { output_bias };
    builder.full_attention(&Heads { input_bias, output_bias, ..HEADS }, heads, kv_heads);
    let size = builder.config.need("intermediate_size");
    builder.network_of(true, output_bias, size);
    builder.norms(family);
}

/// A size that is a share of the width, rounded up to a multiple.
fn multiple_of(size: f64, multiple: u32) -> u32 {
    let size = u32::try_from(plimsoll_scenario::time::truncate(size.clamp(0.0, 1e7))).unwrap_or(0);
    times(size.div_ceil(multiple), multiple)
}

/// Every layer was searched for: some lack attention, and networks differ in size.
///
/// # Source
/// The models' own code, `block_configs` of Llama-Nemotron.
fn nemotron_nas(builder: &mut Builder<'_, '_>, _: &Family, _: Kind) {
    let hidden = builder.hidden;
    let heads = builder.num_heads(Kind::Full);
    let block = builder.config.list("block_configs").and_then(|blocks| blocks.get(builder.index as usize));
    let Some(block) = block else {
        let message = format!("block_configs describes no layer {}", builder.index);
        return builder.config.error("missing-field", "block_configs", message, "paste the model's whole config.json");
    };
    let number = |part: &str, key: &str| match block.get(part).and_then(|part| part.get(key)) {
        Some(Value::Number(number)) => Some(*number),
        _ => None,
    };
    let is_set = |part: &str, key: &str| block.get(part).and_then(|part| part.get(key)) == Some(&Value::Bool(true));
    let group = number("attention", "n_heads_in_group").filter(|group| *group >= 1.0);
    let factor = number("ffn", "ffn_mult");
    let stated = number("ffn", "intermediate_size");
    let has_no_network = is_set("ffn", "no_op");
    let is_linear = [is_set("attention", "replace_with_linear"), is_set("ffn", "replace_with_linear")];
    if is_linear[0] {
        builder.matrix("self_attn.linear_attn", Part::Attention, [hidden, hidden]);
        builder.vector("input_layernorm", Part::Norm, hidden);
    } else if let Some(group) = group {
        let kv_heads = multiple_of(f64::from(heads) / group, 1);
        builder.full_attention(&BARE_HEADS, heads, kv_heads);
        builder.vector("input_layernorm", Part::Norm, hidden);
    }
    if is_linear[1] {
        builder.matrix("mlp.linear_mlp", Part::FeedForward, [hidden, hidden]);
        builder.vector("post_attention_layernorm", Part::Norm, hidden);
    } else if !has_no_network && let Some(factor) = factor.or(stated) {
        let size = match stated {
            Some(size) => multiple_of(size, 1),
            None => multiple_of(2.0 * factor * f64::from(hidden) / 3.0, 256),
        };
        builder.network_of(true, When::Never, size);
        builder.vector("post_attention_layernorm", Part::Norm, hidden);
    }
}

/// Heads and networks grow from layer to layer.
fn openelm(builder: &mut Builder<'_, '_>, family: &Family, kind: Kind) {
    builder.attention(&family.attention, kind);
    let factor = match builder.config.list("ffn_multipliers").and_then(|list| list.get(builder.index as usize)) {
        Some(Value::Number(factor)) => *factor,
        _ => 4.0,
    };
    let divisor = builder.config.count("ffn_dim_divisor").unwrap_or(8).max(1);
    // Rounded to the nearest multiple, but not to less than nine tenths.
    let wanted = factor * f64::from(builder.hidden);
    let halves = multiple_of(wanted, 1).saturating_add(divisor / 2) / divisor;
    let nearest = times(halves.max(1), divisor);
    let size = if f64::from(nearest) < 0.9 * wanted { nearest.saturating_add(divisor) } else { nearest };
    builder.network_of(true, When::Never, size);
    builder.norms(family);
}
