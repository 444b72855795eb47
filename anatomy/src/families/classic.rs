//! Families from before Llama.

use super::super::builder::{Builder, times};
use super::super::config::Config;
use super::super::family::{
    Attention, BARE_HEADS, FULLY_BIASED_HEADS, Family, GATED, HEADS, Heads, LLAMA, Layers, NORMS, Network, Norms,
    OUTSIDE, Outside, PLAIN, When,
};
use super::super::pattern::Kind;
use super::Row;
use plimsoll_scenario::anatomy::Part;

const LAYER_NORM: Norms = Norms { bias: When::Always, ..NORMS };

const FOURFOLD: Network = Network { bias: When::Always, width: 4, ..PLAIN };

/// A bias on everything, layer norms, a network four times as wide.
const GPT: Family =
    Family { attention: Attention::Heads(FULLY_BIASED_HEADS), network: FOURFOLD, norms: LAYER_NORM, ..LLAMA };

const GPTJ: Family = Family {
    attention: Attention::Heads(BARE_HEADS),
    norms: Norms { per_layer: 1, ..LAYER_NORM },
    outside: Outside { head_bias: When::Always, ..OUTSIDE },
    ..GPT
};

const LEARNED: Outside = Outside { positions: Some(0), ..OUTSIDE };

const LEARNED_FROM_2: Outside = Outside { positions: Some(2), ..OUTSIDE };

pub(super) const FAMILIES: &[Row] = &[
    ("gpt2 gpt-sw3", Family { outside: LEARNED, ..GPT }),
    ("openai-gpt", Family { outside: LEARNED, norms: Norms { last: false, ..LAYER_NORM }, ..GPT }),
    ("gpt_bigcode", Family { outside: LEARNED, layer: Layers::Own(gpt_bigcode), ..GPT }),
    (
        "gpt_neo",
        Family {
            attention: Attention::Heads(Heads { output_bias: When::Always, ..BARE_HEADS }),
            outside: LEARNED,
            ..GPT
        },
    ),
    ("gpt_neox", Family { attention: Attention::Heads(HEADS), ..GPT }),
    (
        "gpt_neox_japanese",
        Family {
            attention: Attention::Heads(BARE_HEADS),
            network: Network { bias: When::Never, ..FOURFOLD },
            layer: Layers::And(bias_of_the_last),
            ..GPT
        },
    ),
    ("gptj codegen", GPTJ),
    (
        "bloom",
        Family { outside: Outside { embedding_norm: true, ..OUTSIDE }, finish: Some(embedding_norm_bias), ..GPT },
    ),
    ("xglm", GPT),
    ("biogpt", Family { outside: LEARNED_FROM_2, ..GPT }),
    ("ctrl", Family { outside: Outside { head_bias: When::Always, ..OUTSIDE }, ..GPT }),
    (
        "opt",
        Family {
            outside: LEARNED_FROM_2,
            norms: Norms { last: false, ..LAYER_NORM },
            layer: Layers::Own(opt),
            finish: Some(opt_outside),
            ..GPT
        },
    ),
    (
        "mpt",
        Family {
            attention: Attention::Heads(BARE_HEADS),
            network: Network { bias: When::Never, ..FOURFOLD },
            norms: NORMS,
            ..GPT
        },
    ),
    (
        "falcon refinedweb refinedwebmodel",
        Family { norms: Norms { per_layer: 0, ..LAYER_NORM }, layer: Layers::Own(falcon), ..GPT },
    ),
    (
        "modernbert-decoder",
        Family {
            network: GATED,
            norms: Norms { per_layer: 0, ..NORMS },
            outside: Outside { embedding_norm: true, ..OUTSIDE },
            pattern: modernbert,
            layer: Layers::And(modernbert_norms),
            finish: Some(modernbert_head),
            ..LLAMA
        },
    ),
];

fn gpt_bigcode(builder: &mut Builder<'_, '_>, family: &Family, kind: Kind) {
    let heads = builder.num_heads(kind);
    let kv_heads = if builder.config.flag("multi_query") { 1 } else { heads };
    builder.full_attention(&FULLY_BIASED_HEADS, heads, kv_heads);
    builder.network(family);
    builder.norms(family);
}

fn bias_of_the_last(builder: &mut Builder<'_, '_>, _: Kind) {
    if builder.index.saturating_add(1) == builder.layers {
        builder.vector("attention.dense_bias", Part::Attention, builder.hidden);
    }
}

fn embedding_norm_bias(builder: &mut Builder<'_, '_>) {
    builder.outer("word_embeddings_layernorm.bias", Part::Norm, 1, [builder.hidden, 1]);
}

fn opt(builder: &mut Builder<'_, '_>, family: &Family, kind: Kind) {
    let bias = When::If("attention_bias");
    builder.attention(&Attention::Heads(Heads { input_bias: bias, output_bias: bias, ..HEADS }), kind);
    let size = builder.config.need("intermediate_size");
    builder.network_of(false, bias, size);
    if builder.config.flag("layer_norm_elementwise_affine") {
        builder.norms(family);
    }
}

fn opt_outside(builder: &mut Builder<'_, '_>) {
    let has_norm = builder.config.flag("do_layer_norm_before")
        && !builder.config.flag("_remove_final_layer_norm")
        && builder.config.flag("layer_norm_elementwise_affine");
    let hidden = builder.hidden;
    if has_norm {
        builder.outer("model.decoder.final_layer_norm", Part::Norm, 1, [hidden, 2]);
    }
    // The embedding may be narrower than the layers.
    let width = builder.config.count("word_embed_proj_dim").unwrap_or(hidden);
    if width != hidden {
        builder.outer("model.decoder.project_in", Part::Embedding, 1, [hidden, width]);
        builder.outer("model.decoder.project_out", Part::Head, 1, [width, hidden]);
    }
}

/// One vector of keys for all heads, or some; one norm or two.
fn falcon(builder: &mut Builder<'_, '_>, family: &Family, kind: Kind) {
    let heads = builder.num_heads(kind);
    let is_new = builder.config.flag("new_decoder_architecture");
    let kv_heads = if is_new {
        builder.config.count("num_key_value_heads").unwrap_or(heads)
    } else if builder.config.flag("multi_query") {
        1
    } else {
        heads
    };
    let bias = When::If("bias");
    builder.full_attention(&Heads { input_bias: bias, output_bias: bias, ..HEADS }, heads, kv_heads);
    let size = builder.config.count("intermediate_size").unwrap_or_else(|| times(4, builder.hidden));
    builder.network_of(false, bias, size);
    let norms = match (is_new, builder.config.flag("parallel_attn")) {
        (true, _) => builder.config.count("num_ln_in_parallel_attn").unwrap_or(2),
        (false, true) => 1,
        (false, false) => 2,
    };
    builder.vector("norms", Part::Norm, times(times(2, norms), builder.hidden));
    builder.norms(family);
}

fn modernbert(config: &mut Config<'_>, layer: u32, _: u32) -> Kind {
    let every = config.count("global_attn_every_n_layers").unwrap_or(3);
    if layer.checked_rem(every) == Some(0) { Kind::Full } else { Kind::Sliding }
}

/// The first layer has no norm before its attention.
fn modernbert_norms(builder: &mut Builder<'_, '_>, _: Kind) {
    let norms = if builder.index == 0 { 1 } else { 2 };
    let bias = u32::from(builder.config.flag("norm_bias"));
    builder.vector("norms", Part::Norm, times(times(norms, bias.saturating_add(1)), builder.hidden));
}

fn modernbert_head(builder: &mut Builder<'_, '_>) {
    let hidden = builder.hidden;
    builder.outer("lm_head.dense", Part::Head, 1, [hidden, hidden]);
    builder.outer("lm_head.norm", Part::Norm, 1, [hidden, 1]);
    if builder.config.flag("norm_bias") {
        builder.outer("embeddings.norm, final_norm, lm_head.norm", Part::Norm, 1, [hidden, 3]);
    }
    if builder.config.flag("classifier_bias") {
        builder.outer("lm_head.dense", Part::Head, 1, [hidden, 1]);
    }
    if builder.config.flag("decoder_bias") {
        let rows = builder.config.need("vocab_size");
        builder.outer("decoder.bias", Part::Head, 1, [rows, 1]);
    }
}
