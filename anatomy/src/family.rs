//! How a family of models is built: the words its description is made of.

use super::builder::Builder;
use super::config::Config;
use super::pattern::{Kind, Pattern, full};

/// Whether something is there.
#[derive(Clone, Copy)]
pub(super) enum When {
    Never,
    Always,
    /// Where this key is true.
    If(&'static str),
    /// Where this key is false or absent.
    Unless(&'static str),
}

impl When {
    pub fn holds(self, config: &mut Config<'_>) -> bool {
        match self {
            When::Never => false,
            When::Always => true,
            When::If(key) => config.flag(key),
            When::Unless(key) => !config.flag(key),
        }
    }
}

/// A family: how one of its layers and what surrounds them is built.
#[derive(Clone, Copy)]
pub(super) struct Family {
    pub attention: Attention,
    pub state: State,
    pub network: Network,
    pub experts: Option<Routing>,
    pub norms: Norms,
    pub outside: Outside,
    pub pattern: Pattern,
    /// Vectors of every layer beyond norms.
    pub extras: &'static [Extra],
    /// Adds to a layer what the words here have no name for, or does without the rest.
    pub layer: Layers,
    /// Adds to what surrounds the layers.
    pub finish: Option<fn(&mut Builder<'_, '_>)>,
}

/// Who describes a layer.
#[derive(Clone, Copy)]
pub(super) enum Layers {
    /// The words of the family.
    Standard,
    /// The words of the family; then this adds to it.
    And(fn(&mut Builder<'_, '_>, Kind)),
    /// A layer is either a mixer or a network, never both.
    OneOf,
    /// This alone.
    Own(fn(&mut Builder<'_, '_>, &Family, Kind)),
}

#[derive(Clone, Copy)]
pub(super) enum Attention {
    Heads(Heads),
    Latent(Latent),
}

/// Attention with keys and values per head.
#[derive(Clone, Copy)]
pub(super) struct Heads {
    pub input_bias: When,
    pub output_bias: When,
    pub norm: HeadNorm,
    pub has_norm: When,
    pub gate: Gate,
    pub has_gate: When,
    /// Whether the gate has a bias.
    pub gate_bias: When,
    pub sinks: Sinks,
    /// Whether sliding layers have twice the KV heads where nothing says how many.
    pub doubles_when_sliding: bool,
}

/// Norms of queries and keys.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum HeadNorm {
    /// One vector for all heads.
    Shared,
    /// The same with a bias.
    SharedWithBias,
    /// A vector as wide as all heads together.
    Whole,
}

/// A gate on what attention gives.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Gate {
    None,
    /// A value for each one.
    Wide,
    /// A value for each head.
    PerHead,
}

/// A learned weight per head that takes part in the softmax.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Sinks {
    None,
    All,
    /// In layers with a window alone.
    Sliding,
}

/// Attention on a latent vector.
#[derive(Clone, Copy)]
pub(super) struct Latent {
    pub bias: When,
    pub gate: Gate,
    pub sinks: Sinks,
    /// Whether the hidden size over the heads is the size of a value where nothing says it.
    pub derives_value: bool,
}

/// What a linear layer is.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum State {
    None,
    Mamba1,
    Mamba2,
    GatedDelta,
    DeltaAttention,
    Lightning,
}

/// A feed-forward network.
#[derive(Clone, Copy)]
pub(super) struct Network {
    pub is_gated: bool,
    pub bias: When,
    /// How many times the hidden size it is wide where nothing says its size; 0 where that must be said.
    pub width: u32,
}

/// A network of experts.
#[derive(Clone, Copy)]
pub(super) struct Routing {
    pub is_gated: bool,
    pub router_bias: When,
    /// A value per expert that is a parameter of the checkpoint.
    pub correction: When,
    pub expert_bias: When,
    pub shared: Shared,
    /// Whether a gate weighs what the shared experts give.
    pub shared_gate: bool,
    /// Leading layers without experts where no key says how many.
    pub dense_first: u32,
}

/// Experts that every token passes.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Shared {
    None,
    /// One, as large as a routed one.
    One,
    /// So many, each as large as a routed one.
    Counted,
    /// Of a size of their own.
    Sized,
}

#[derive(Clone, Copy)]
pub(super) struct Norms {
    /// Vectors per layer.
    pub per_layer: u64,
    pub bias: When,
    /// Whether a norm follows the last layer.
    pub last: bool,
}

#[derive(Clone, Copy)]
pub(super) struct Outside {
    pub head_bias: When,
    pub embedding_norm: bool,
    /// Learned positions: how many rows more than the longest context.
    pub positions: Option<u32>,
}

/// A vector of a layer.
#[derive(Clone, Copy)]
pub(super) struct Extra {
    pub name: &'static str,
    pub size: Size,
    pub when: When,
}

#[derive(Clone, Copy)]
pub(super) enum Size {
    Values(u32),
    Hidden,
    Heads,
    /// So many times the size of a head.
    HeadSizes(u32),
    Intermediate,
}

pub(super) const HEADS: Heads = Heads {
    input_bias: When::If("attention_bias"),
    output_bias: When::If("attention_bias"),
    norm: HeadNorm::Shared,
    has_norm: When::Never,
    gate: Gate::None,
    has_gate: When::Always,
    gate_bias: When::Never,
    sinks: Sinks::None,
    doubles_when_sliding: false,
};

/// Heads without any bias.
pub(super) const BARE_HEADS: Heads = Heads { input_bias: When::Never, output_bias: When::Never, ..HEADS };

/// Heads with a bias on queries, keys and values.
pub(super) const BIASED_HEADS: Heads = Heads { input_bias: When::Always, output_bias: When::Never, ..HEADS };

/// Heads with a bias on every projection.
pub(super) const FULLY_BIASED_HEADS: Heads = Heads { output_bias: When::Always, ..BIASED_HEADS };

pub(super) const NORMED_HEADS: Heads = Heads { has_norm: When::Always, ..HEADS };

pub(super) const LATENT: Latent =
    Latent { bias: When::If("attention_bias"), gate: Gate::None, sinks: Sinks::None, derives_value: false };

pub(super) const GATED: Network = Network { is_gated: true, bias: When::If("mlp_bias"), width: 0 };

pub(super) const PLAIN: Network = Network { is_gated: false, bias: When::If("mlp_bias"), width: 0 };

pub(super) const ROUTING: Routing = Routing {
    is_gated: true,
    router_bias: When::Never,
    correction: When::Never,
    expert_bias: When::Never,
    shared: Shared::None,
    shared_gate: false,
    dense_first: 0,
};

pub(super) const NORMS: Norms = Norms { per_layer: 2, bias: When::Never, last: true };

pub(super) const OUTSIDE: Outside = Outside { head_bias: When::Never, embedding_norm: false, positions: None };

/// Llama, which most families are variations of.
pub(super) const LLAMA: Family = Family {
    attention: Attention::Heads(HEADS),
    state: State::None,
    network: GATED,
    experts: None,
    norms: NORMS,
    outside: OUTSIDE,
    pattern: full,
    extras: &[],
    layer: Layers::Standard,
    finish: None,
};
