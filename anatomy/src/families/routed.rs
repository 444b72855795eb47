//! Families with experts whose attention keeps keys and values per head.

use super::super::builder::{Builder, times};
use super::super::config::Config;
use super::super::family::{
    Attention, BARE_HEADS, BIASED_HEADS, Extra, Family, GATED, Gate, HEADS, HeadNorm, Heads, LLAMA, Layers,
    NORMED_HEADS, NORMS, Network, Norms, OUTSIDE, Outside, ROUTING, Routing, Shared, Sinks, Size, When,
};
use super::super::pattern::{
    Kind, every_fifth, every_second, every_sixth_and_last, first_of_four, full, last_of, stated_period, upper_window,
    window,
};
use super::Row;
use plimsoll_json::Value;
use plimsoll_scenario::anatomy::{Cache, Part, Span};

const COUNTED: Routing = Routing { shared: Shared::Counted, ..ROUTING };

const SIZED: Routing = Routing { shared: Shared::Sized, ..ROUTING };

const WHOLE_NORM: Heads = Heads { norm: HeadNorm::Whole, ..NORMED_HEADS };

const MIXTRAL: Family =
    Family { attention: Attention::Heads(BARE_HEADS), experts: Some(ROUTING), pattern: window, ..LLAMA };

const QWEN3_MOE: Family =
    Family { attention: Attention::Heads(NORMED_HEADS), experts: Some(ROUTING), pattern: upper_window, ..LLAMA };

const GRANITE_MOE: Family = Family { experts: Some(SIZED), ..LLAMA };

const GLM4_MOE: Family = Family {
    attention: Attention::Heads(Heads { output_bias: When::Never, has_norm: When::If("use_qk_norm"), ..HEADS }),
    experts: Some(COUNTED),
    ..LLAMA
};

const USE_BIAS: Heads = Heads { input_bias: When::If("use_bias"), output_bias: When::If("use_bias"), ..HEADS };

const ERNIE_MOE: Family = Family {
    attention: Attention::Heads(USE_BIAS),
    network: Network { bias: When::If("use_bias"), ..GATED },
    experts: Some(Routing { correction: When::Always, ..COUNTED }),
    outside: Outside { head_bias: When::If("use_bias"), ..OUTSIDE },
    ..LLAMA
};

const GPT_OSS: Family = Family {
    attention: Attention::Heads(Heads { sinks: Sinks::All, ..HEADS }),
    experts: Some(Routing { router_bias: When::Always, expert_bias: When::Always, ..ROUTING }),
    pattern: every_second,
    ..LLAMA
};

pub(super) const FAMILIES: &[Row] = &[
    ("mixtral", MIXTRAL),
    (
        "qwen2_moe",
        Family {
            attention: Attention::Heads(Heads { input_bias: When::If("qkv_bias"), ..BIASED_HEADS }),
            experts: Some(Routing { shared_gate: true, ..SIZED }),
            pattern: upper_window,
            ..LLAMA
        },
    ),
    ("qwen3_moe qwen3_vl_moe_text qwen3_omni_moe_text mellum", QWEN3_MOE),
    ("olmoe", Family { attention: Attention::Heads(WHOLE_NORM), experts: Some(ROUTING), ..LLAMA }),
    ("flex_olmo", Family { attention: Attention::Heads(WHOLE_NORM), experts: Some(ROUTING), ..LLAMA }),
    (
        "phimoe",
        Family {
            experts: Some(ROUTING),
            norms: Norms { bias: When::Always, ..NORMS },
            outside: Outside { head_bias: When::If("lm_head_bias"), ..OUTSIDE },
            pattern: window,
            ..LLAMA
        },
    ),
    ("granitemoe granitemoeshared", GRANITE_MOE),
    (
        "granitemoe_swa",
        Family {
            attention: Attention::Heads(Heads { sinks: Sinks::All, ..HEADS }),
            pattern: first_of_four,
            ..GRANITE_MOE
        },
    ),
    ("dbrx", Family { attention: Attention::Heads(BARE_HEADS), experts: Some(ROUTING), ..LLAMA }),
    ("gpt_oss", GPT_OSS),
    ("glm4_moe glm4v_moe_text solar_open sarvam_moe", GLM4_MOE),
    ("dots1", Family { attention: Attention::Heads(NORMED_HEADS), pattern: upper_window, ..GLM4_MOE }),
    ("ernie4_5_moe", ERNIE_MOE),
    (
        "minimax_m2",
        Family {
            attention: Attention::Heads(Heads { has_norm: When::Always, norm: HeadNorm::Whole, ..BARE_HEADS }),
            experts: Some(ROUTING),
            ..LLAMA
        },
    ),
    (
        "minimax_m3_vl_text",
        Family {
            attention: Attention::Heads(Heads { has_norm: When::Always, ..BARE_HEADS }),
            experts: Some(SIZED),
            ..LLAMA
        },
    ),
    (
        "hunyuan_v1_moe",
        Family {
            attention: Attention::Heads(NORMED_HEADS),
            experts: Some(Routing { shared: Shared::One, ..ROUTING }),
            ..LLAMA
        },
    ),
    (
        "hy_v3",
        Family {
            attention: Attention::Heads(NORMED_HEADS),
            experts: Some(Routing { dense_first: 1, ..COUNTED }),
            ..LLAMA
        },
    ),
    (
        "laguna",
        Family {
            attention: Attention::Heads(NORMED_HEADS),
            experts: Some(Routing { correction: When::Always, dense_first: 1, ..SIZED }),
            pattern: full,
            layer: Layers::And(laguna_gate),
            ..LLAMA
        },
    ),
    (
        "afmoe",
        Family {
            attention: Attention::Heads(Heads { gate: Gate::Wide, ..NORMED_HEADS }),
            experts: Some(Routing { correction: When::Always, ..COUNTED }),
            norms: Norms { per_layer: 4, ..NORMS },
            pattern: stated_period,
            ..LLAMA
        },
    ),
    (
        "exaone_moe",
        Family {
            attention: Attention::Heads(Heads { has_norm: When::Always, ..BARE_HEADS }),
            experts: Some(COUNTED),
            pattern: stated_period,
            ..LLAMA
        },
    ),
    ("aria_text", Family { experts: Some(COUNTED), ..LLAMA }),
    (
        "kolibri1",
        Family {
            attention: Attention::Heads(Heads { has_norm: When::Always, ..BARE_HEADS }),
            experts: Some(SIZED),
            norms: Norms { per_layer: 4, ..NORMS },
            pattern: every_fifth,
            ..LLAMA
        },
    ),
    (
        "flint",
        Family {
            attention: Attention::Heads(Heads { sinks: Sinks::All, ..NORMED_HEADS }),
            experts: Some(SIZED),
            pattern: flint,
            ..LLAMA
        },
    ),
    (
        "beam",
        Family {
            attention: Attention::Heads(Heads { gate: Gate::Wide, ..NORMED_HEADS }),
            experts: Some(Routing { dense_first: 3, ..ROUTING }),
            norms: Norms { per_layer: 4, ..NORMS },
            pattern: every_sixth_and_last,
            extras: &[Extra { name: "self_attn.gate_bias", size: Size::Heads, when: When::Always }],
            ..LLAMA
        },
    ),
    (
        "cohere2_moe",
        Family { experts: Some(COUNTED), norms: Norms { per_layer: 1, ..NORMS }, pattern: cohere2_moe, ..LLAMA },
    ),
    ("llama4_text", Family { experts: Some(Routing { shared: Shared::One, ..ROUTING }), pattern: llama4, ..LLAMA }),
    (
        "mimo_v2_flash",
        Family {
            attention: Attention::Heads(Heads {
                output_bias: When::Never,
                sinks: Sinks::Sliding,
                doubles_when_sliding: true,
                ..HEADS
            }),
            experts: Some(Routing { dense_first: 1, ..ROUTING }),
            pattern: mimo,
            layer: Layers::And(mimo_window),
            ..LLAMA
        },
    ),
];

/// The first two layers are full, every fourth from the second on, and the last.
fn flint(_: &mut Config<'_>, layer: u32, layers: u32) -> Kind {
    let is_full = layer < 2 || layer % 4 == 1 || layer.saturating_add(1) == layers;
    if is_full { Kind::Full } else { Kind::Sliding }
}

/// The leading layers without experts have a period of their own.
fn cohere2_moe(config: &mut Config<'_>, layer: u32, layers: u32) -> Kind {
    let dense = config.count_or_0("first_k_dense_replace");
    match layer.checked_sub(dense) {
        Some(rest) => stated_period(config, rest, layers),
        None => last_of(layer, config.count("prefix_dense_sliding_window_pattern").unwrap_or(1)),
    }
}

/// Layers with rotary positions attend within chunks.
fn llama4(config: &mut Config<'_>, layer: u32, _: u32) -> Kind {
    let period = config.count("no_rope_layer_interval").unwrap_or(4);
    let has_positions = match config.list("no_rope_layers").filter(|list| !list.is_empty()) {
        Some(_) => config.count_or_0("no_rope_layers") > 0,
        None => layer.saturating_add(1).checked_rem(period) != Some(0),
    };
    if has_positions && config.count_or_0("attention_chunk_size") > 0 { Kind::Chunked } else { Kind::Full }
}

/// The first layer is full and the last of every six; the models' own configs list them as zeros and ones.
fn mimo(config: &mut Config<'_>, layer: u32, _: u32) -> Kind {
    let is_full = match config.list("hybrid_layer_pattern") {
        Some(_) => config.count_or_0("hybrid_layer_pattern") == 0,
        None => layer == 0 || layer % 6 == 5,
    };
    if is_full { Kind::Full } else { Kind::Sliding }
}

/// The models' own configs count the tokens before the one being computed.
fn mimo_window(builder: &mut Builder<'_, '_>, _: Kind) {
    let Some(before) = builder.config.count("sliding_window_size") else { return };
    for cache in &mut builder.layer.caches {
        if let Cache::Attention { span: Span::Sliding { window }, .. } = cache {
            *window = before.saturating_add(1);
        }
    }
}

/// A gate for each head, or for each value.
fn laguna_gate(builder: &mut Builder<'_, '_>, kind: Kind) {
    let is_per_head = match builder.config.value("gating") {
        Some(Value::Text(what)) => what == "per-head",
        Some(Value::Bool(is_per_head)) => *is_per_head,
        _ => false,
    };
    let heads = builder.num_heads(kind);
    let gates = if is_per_head { heads } else { times(heads, builder.head_size(kind)) };
    builder.matrix("self_attn.g_proj", Part::Attention, [gates, builder.hidden]);
}
