//! Families with state spaces, linear attention or convolutions in some of their layers.

use super::super::builder::{Builder, times};
use super::super::config::Config;
use super::super::family::{
    Attention, BARE_HEADS, Extra, Family, GATED, Gate, HEADS, HeadNorm, Heads, LATENT, LLAMA, Latent, Layers,
    NORMED_HEADS, NORMS, Network, Norms, PLAIN, ROUTING, Routing, Shared, Size, State, When,
};
use super::super::pattern::Kind;
use super::Row;
use plimsoll_json::Value;
use plimsoll_scenario::anatomy::Part;

const COUNTED: Routing = Routing { shared: Shared::Counted, ..ROUTING };

const SIZED: Routing = Routing { shared: Shared::Sized, ..ROUTING };

const MAMBA: Family = Family {
    state: State::Mamba1,
    norms: Norms { per_layer: 1, ..NORMS },
    pattern: all_linear,
    layer: Layers::OneOf,
    ..LLAMA
};

/// Attention with a gate as wide as its output, beside gated delta nets.
const QWEN3_NEXT: Family = Family {
    attention: Attention::Heads(Heads { gate: Gate::Wide, gate_bias: When::If("attention_bias"), ..NORMED_HEADS }),
    state: State::GatedDelta,
    experts: Some(Routing { shared_gate: true, ..SIZED }),
    pattern: full_attention_interval,
    ..LLAMA
};

const KIMI_LINEAR: Family = Family {
    attention: Attention::Latent(LATENT),
    state: State::DeltaAttention,
    experts: Some(Routing { dense_first: 1, ..COUNTED }),
    pattern: kimi,
    ..LLAMA
};

const LFM2: Family = Family {
    attention: Attention::Heads(Heads { has_norm: When::Always, ..BARE_HEADS }),
    network: Network { bias: When::Never, ..GATED },
    pattern: lfm2,
    layer: Layers::Standard,
    ..LLAMA
};

pub(super) const FAMILIES: &[Row] = &[
    ("mamba falcon_mamba", MAMBA),
    ("mamba2", Family { state: State::Mamba2, ..MAMBA }),
    (
        "jamba",
        Family {
            attention: Attention::Heads(BARE_HEADS),
            network: Network { bias: When::Never, ..GATED },
            state: State::Mamba1,
            experts: Some(ROUTING),
            pattern: attention_period,
            layer: Layers::And(jamba_norms),
            ..LLAMA
        },
    ),
    ("bamba", Family { state: State::Mamba2, pattern: attention_indices, ..LLAMA }),
    ("falcon_h1", Family { state: State::Mamba2, pattern: all_hybrid, ..LLAMA }),
    (
        "granitemoehybrid",
        Family {
            state: State::Mamba2,
            experts: Some(SIZED),
            pattern: all_linear,
            layer: Layers::Own(granite_hybrid),
            ..LLAMA
        },
    ),
    (
        "nemotron_h",
        Family {
            attention: Attention::Heads(BARE_HEADS),
            network: PLAIN,
            state: State::Mamba2,
            experts: Some(Routing { is_gated: false, shared: Shared::Sized, ..ROUTING }),
            norms: Norms { per_layer: 1, ..NORMS },
            pattern: nemotron_kinds,
            layer: Layers::Own(nemotron),
            ..LLAMA
        },
    ),
    ("qwen3_next", QWEN3_NEXT),
    ("qwen3_5_text", Family { experts: None, ..QWEN3_NEXT }),
    ("qwen3_5_moe_text", QWEN3_NEXT),
    (
        "lara_mini",
        Family {
            attention: Attention::Heads(NORMED_HEADS),
            state: State::GatedDelta,
            experts: Some(SIZED),
            pattern: lara,
            ..LLAMA
        },
    ),
    (
        "olmo_hybrid",
        Family {
            attention: Attention::Heads(Heads { norm: HeadNorm::Whole, ..NORMED_HEADS }),
            state: State::GatedDelta,
            pattern: full_attention_interval,
            ..LLAMA
        },
    ),
    ("kimi_linear", KIMI_LINEAR),
    (
        "bailing_hybrid",
        Family {
            attention: Attention::Latent(Latent { gate: Gate::PerHead, ..LATENT }),
            pattern: layer_group,
            ..KIMI_LINEAR
        },
    ),
    (
        "minimax minimax_text_01 minimax_m1",
        Family {
            attention: Attention::Heads(BARE_HEADS),
            state: State::Lightning,
            experts: Some(ROUTING),
            pattern: minimax,
            ..LLAMA
        },
    ),
    ("lfm2", Family { layer: Layers::Own(lfm2_layer), ..LFM2 }),
    ("lfm2_moe", Family { experts: Some(ROUTING), ..LFM2 }),
    (
        "lfm3",
        Family {
            attention: Attention::Heads(Heads {
                has_norm: When::Always,
                gate: Gate::PerHead,
                has_gate: When::If("use_attention_gate"),
                ..HEADS
            }),
            pattern: lfm3,
            extras: &[Extra { name: "sandwich norms", size: Size::Hidden, when: When::If("use_sandwich_norm") }; 2],
            ..LFM2
        },
    ),
];

fn all_linear(_: &mut Config<'_>, _: u32, _: u32) -> Kind {
    Kind::Linear
}

fn all_hybrid(_: &mut Config<'_>, _: u32, _: u32) -> Kind {
    Kind::Hybrid
}

/// One layer of each kind, which is what the class makes of a config that lists none.
fn nemotron_kinds(config: &mut Config<'_>, layer: u32, layers: u32) -> Kind {
    match (layer, layers) {
        (0, 4) => Kind::Linear,
        (1, 4) => Kind::Moe,
        (2, 4) => Kind::Full,
        (3, 4) => Kind::Mlp,
        _ => {
            let key = "hybrid_override_pattern";
            let message = "nothing says which layers attend and which have a state";
            config.error("missing-field", key, message, "paste the config.json of the model's own repository");
            Kind::Full
        }
    }
}

/// The last layer of every `full_attention_interval` attends.
fn full_attention_interval(config: &mut Config<'_>, layer: u32, _: u32) -> Kind {
    last_of(layer, config.count("full_attention_interval").unwrap_or(4))
}

fn layer_group(config: &mut Config<'_>, layer: u32, _: u32) -> Kind {
    last_of(layer, config.need("layer_group_size"))
}

fn last_of(layer: u32, period: u32) -> Kind {
    if layer.saturating_add(1).checked_rem(period) == Some(0) { Kind::Full } else { Kind::Linear }
}

fn attention_period(config: &mut Config<'_>, layer: u32, _: u32) -> Kind {
    let period = config.need("attn_layer_period");
    if layer.checked_rem(period) == Some(config.count_or_0("attn_layer_offset")) { Kind::Full } else { Kind::Linear }
}

fn attention_indices(config: &mut Config<'_>, layer: u32, _: u32) -> Kind {
    if config.lists("attn_layer_indices", layer) == Some(true) { Kind::Full } else { Kind::Linear }
}

/// Lists of layers that count from 1, or one layer of four.
fn kimi(config: &mut Config<'_>, layer: u32, _: u32) -> Kind {
    let number = f64::from(layer.saturating_add(1));
    let is_full = match config.inner("linear_attn_config", "full_attn_layers") {
        Some(Value::List(listed)) => listed.contains(&Value::Number(number)),
        _ => layer > 0 && layer.is_multiple_of(4),
    };
    if is_full { Kind::Full } else { Kind::Linear }
}

/// Ones and zeros in the models' own configs; transformers alternates.
fn minimax(config: &mut Config<'_>, layer: u32, _: u32) -> Kind {
    let is_full = match config.list("attn_type_list") {
        Some(_) => config.count_or_0("attn_type_list") > 0,
        None => layer.is_multiple_of(2),
    };
    if is_full { Kind::Full } else { Kind::Linear }
}

fn lfm2(config: &mut Config<'_>, layer: u32, _: u32) -> Kind {
    if config.lists("full_attn_idxs", layer).unwrap_or(true) { Kind::Full } else { Kind::Convolution }
}

fn lfm3(_: &mut Config<'_>, layer: u32, _: u32) -> Kind {
    match layer % 4 {
        2 => Kind::Full,
        0 if layer > 0 => Kind::Sliding,
        _ => Kind::Convolution,
    }
}

fn lara(_: &mut Config<'_>, layer: u32, _: u32) -> Kind {
    match layer % 5 {
        1 | 4 => Kind::Sliding,
        3 => Kind::Full,
        _ => Kind::Linear,
    }
}

/// Norms of what the state space is steered by.
fn jamba_norms(builder: &mut Builder<'_, '_>, kind: Kind) {
    if kind == Kind::Linear {
        let state = builder.config.need("state_size");
        let rank = builder.time_step_rank();
        builder.vector(
            "mamba.dt_layernorm, b_layernorm, c_layernorm",
            Part::State,
            rank.saturating_add(times(2, state)),
        );
    }
}

/// Shared experts are a network of their own where there are no routed ones.
fn granite_hybrid(builder: &mut Builder<'_, '_>, family: &Family, kind: Kind) {
    builder.mixer(family, kind);
    if builder.config.count_or_0("num_experts") > 0 {
        builder.feed_forward(family);
    } else {
        let size = builder.config.need("shared_expert_intermediate_size");
        builder.network_of(true, When::Never, size);
    }
    builder.norms(family);
}

/// One network or mixer per layer; experts may work on a narrower vector than the layers.
fn nemotron(builder: &mut Builder<'_, '_>, family: &Family, kind: Kind) {
    let latent = builder.config.count("moe_latent_size").filter(|size| *size > 0);
    match (kind, latent) {
        (Kind::Mlp, _) => builder.network(family),
        (Kind::Moe, None) => builder.feed_forward(family),
        (Kind::Moe, Some(latent)) => {
            let hidden = builder.hidden;
            builder.matrix("mixer.fc1_latent_proj", Part::RoutedExperts, [latent, hidden]);
            builder.matrix("mixer.fc2_latent_proj", Part::RoutedExperts, [hidden, latent]);
            builder.feed_forward(family);
            builder.narrow_experts(latent);
        }
        _ => builder.mixer(family, kind),
    }
    builder.norms(family);
}

/// The size of the network is rounded by rules of its own.
fn lfm2_layer(builder: &mut Builder<'_, '_>, family: &Family, kind: Kind) {
    builder.mixer(family, kind);
    let stated = builder.config.need("intermediate_size");
    let mut size = stated;
    if builder.config.flag("block_auto_adjust_ff_dim") {
        size = times(2, stated) / 3;
        if let Some(factor) = builder.config.number("block_ffn_dim_multiplier") {
            let scaled = plimsoll_scenario::time::truncate(f64::from(size) * factor.clamp(0.0, 1e3));
            let multiple = builder.config.count("block_multiple_of").unwrap_or(256).max(1);
            size = times(u32::try_from(scaled).unwrap_or(size).div_ceil(multiple), multiple);
        }
    }
    builder.network_of(true, When::Never, size);
    builder.norms(family);
}
