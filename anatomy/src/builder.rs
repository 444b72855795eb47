//! Layers and their tensors, put together as a family is described.

use super::checks::{check_experts, check_heads};
use super::config::Config;
use super::family::{
    Attention, Family, Gate, HeadNorm, Heads, Latent, Layers, Routing, Shared, Sinks, Size, State, When,
};
use super::pattern::Kind;
use plimsoll_json::Value;
use plimsoll_scenario::anatomy::{Cache, Experts, FeedForward, Layer, Part, Span, Tensor, WeightBytes};

/// A model that is being put together.
pub(super) struct Builder<'c, 'v> {
    pub config: &'c mut Config<'v>,
    /// The layer that is being put together.
    pub layer: Layer,
    /// Its number.
    pub index: u32,
    /// How many there are.
    pub layers: u32,
    pub hidden: u32,
    /// Layers so far that use a block they share.
    pub hybrids: u32,
    /// Tensors outside the layers.
    pub outside: Vec<Tensor>,
}

impl Builder<'_, '_> {
    /// Whether something of the family is there.
    pub fn has(&mut self, when: When) -> bool {
        when.holds(self.config)
    }

    /// Matrices of one shape, each with a bias or none.
    pub fn matrices(&mut self, name: &'static str, part: Part, copies: u32, [rows, columns]: [u32; 2], bias: bool) {
        self.layer.tensors.push(tensor(name, part, copies, [rows, columns], true));
        if bias {
            self.layer.tensors.push(tensor(name, part, copies, [rows, 1], false));
        }
    }

    /// A matrix without a bias.
    pub fn matrix(&mut self, name: &'static str, part: Part, shape: [u32; 2]) {
        self.matrices(name, part, 1, shape, false);
    }

    /// Values that no quantizer touches, in the shape of a matrix.
    pub fn plain(&mut self, name: &'static str, part: Part, shape: [u32; 2]) {
        self.layer.tensors.push(tensor(name, part, 1, shape, false));
    }

    /// A vector.
    pub fn vector(&mut self, name: &'static str, part: Part, size: u32) {
        self.plain(name, part, [size, 1]);
    }

    /// A layer as its family describes it.
    pub fn describe(&mut self, family: &Family, kind: Kind) {
        match family.layer {
            Layers::Own(own) => return own(self, family, kind),
            Layers::OneOf => match kind {
                Kind::Mlp => self.network(family),
                Kind::Moe => self.experts_or_network(family),
                _ => self.mixer(family, kind),
            },
            Layers::Standard | Layers::And(_) => {
                self.mixer(family, kind);
                self.feed_forward(family);
            }
        }
        self.norms(family);
        if let Layers::And(more) = family.layer {
            more(self, kind);
        }
    }

    pub fn mixer(&mut self, family: &Family, kind: Kind) {
        match kind {
            Kind::Mlp | Kind::Moe => {}
            Kind::Linear => self.state(family.state),
            Kind::Convolution => self.convolution(),
            Kind::Hybrid | Kind::HybridSliding => {
                self.attention(&family.attention, if kind == Kind::Hybrid { Kind::Full } else { Kind::Sliding });
                self.state(family.state);
            }
            _ => self.attention(&family.attention, kind),
        }
    }

    pub fn state(&mut self, state: State) {
        match state {
            State::None => {
                let message = "a layer is linear, and the family has no such layers";
                self.config.error("unknown-layer", "layer_types", message, "name full or sliding attention");
            }
            State::Mamba1 => self.mamba1(),
            State::Mamba2 => self.mamba2(),
            State::GatedDelta => self.gated_delta(),
            State::DeltaAttention => self.delta_attention(),
            State::Lightning => self.lightning(),
        }
    }

    pub fn attention(&mut self, attention: &Attention, kind: Kind) {
        match attention {
            Attention::Heads(heads) => self.heads(heads, kind),
            Attention::Latent(latent) => self.latent(latent, kind),
        }
    }

    /// Which tokens a layer of this kind keeps.
    pub fn span(&mut self, kind: Kind) -> Span {
        match kind {
            Kind::Sliding => {
                let stated = match self.config.count("local_attention") {
                    // Tokens on both sides of one.
                    Some(both) if !self.config.states("sliding_window") => (both / 2).max(1),
                    _ => self.config.need("sliding_window"),
                };
                // Where attention looks both ways, half of the window is behind a token.
                let looks_ahead = match self.config.value("use_bidirectional_attention") {
                    Some(Value::Text(what)) => what == "all",
                    Some(Value::Bool(looks)) => *looks,
                    _ => false,
                };
                Span::Sliding { window: if looks_ahead { stated / 2 + 1 } else { stated } }
            }
            Kind::Chunked => Span::Chunked { chunk: self.config.need("attention_chunk_size") },
            _ => Span::Full,
        }
    }

    /// A size of attention, which sliding layers may have of their own.
    fn attention_size(&mut self, key: &'static str, sliding: &'static str, kind: Kind) -> Option<u32> {
        let is_listed = self.config.value("per_layer_config").is_some();
        let own = if kind == Kind::Sliding && !is_listed { self.config.count(sliding) } else { None };
        own.filter(|size| *size > 0).or_else(|| self.config.count(key).filter(|size| *size > 0))
    }

    pub fn num_heads(&mut self, kind: Kind) -> u32 {
        let listed = self.config.count("num_attention_heads_per_layer");
        let own = listed.or_else(|| self.attention_size("num_attention_heads", "swa_num_attention_heads", kind));
        own.unwrap_or_else(|| self.config.need("num_attention_heads"))
    }

    pub fn head_size(&mut self, kind: Kind) -> u32 {
        let stated = self.attention_size("head_dim", "swa_head_dim", kind);
        let heads = self.config.need("num_attention_heads");
        let size = stated.unwrap_or_else(|| self.hidden.checked_div(heads).unwrap_or(1));
        if size == 0 {
            let [key, of] = ["num_attention_heads", "hidden_size"].map(|key| self.config.name_of(key));
            let message =
                format!("{key} is {heads}, more than the {} of {of}, and head_dim is not stated", self.hidden);
            let hint = format!("give a number from 1 to {}, or head_dim", self.hidden);
            self.config.error("invalid-value", key, message, &hint);
        }
        size
    }

    fn heads(&mut self, style: &Heads, kind: Kind) {
        let heads = self.num_heads(kind);
        let stated = self.attention_size("num_key_value_heads", "swa_num_key_value_heads", kind);
        let mut kv_heads = stated.unwrap_or(heads);
        if style.doubles_when_sliding && kind == Kind::Sliding && !self.config.states("swa_num_key_value_heads") {
            kv_heads = times(2, kv_heads);
        }
        let key_size = self.head_size(kind);
        let value_size = self.attention_size("v_head_dim", "swa_v_head_dim", kind).unwrap_or(key_size);
        let span = self.span(kind);
        self.project(style, heads, kv_heads, [key_size, value_size], kind);
        self.layer.caches.push(Cache::Attention { heads: kv_heads, key_size, value_size, span });
    }

    /// Full attention with so many heads.
    pub fn full_attention(&mut self, style: &Heads, heads: u32, kv_heads: u32) {
        let size = self.head_size(Kind::Full);
        self.project(style, heads, kv_heads, [size, size], Kind::Full);
        let span = Span::Full;
        self.layer.caches.push(Cache::Attention { heads: kv_heads, key_size: size, value_size: size, span });
    }

    /// The projections of attention; its cache is left to the caller.
    pub fn project(&mut self, style: &Heads, heads: u32, kv_heads: u32, [key, value]: [u32; 2], kind: Kind) {
        check_heads(self.config, heads, kv_heads);
        let part = Part::Attention;
        let hidden = self.hidden;
        let [queries, keys, values] = [times(heads, key), times(kv_heads, key), times(kv_heads, value)];
        let output = times(heads, value);
        let input_bias = self.has(style.input_bias);
        let output_bias = self.has(style.output_bias);
        self.layer.heads = heads;
        self.matrices("self_attn.q_proj", part, 1, [queries, hidden], input_bias);
        self.matrices("self_attn.k_proj", part, 1, [keys, hidden], input_bias);
        self.matrices("self_attn.v_proj", part, 1, [values, hidden], input_bias);
        self.matrices("self_attn.o_proj", part, 1, [hidden, output], output_bias);
        if self.has(style.has_norm) {
            let (queries, keys) = match style.norm {
                HeadNorm::Shared => (key, key),
                HeadNorm::SharedWithBias => (times(2, key), times(2, key)),
                HeadNorm::Whole => (queries, keys),
            };
            self.vector("self_attn.q_norm", part, queries);
            self.vector("self_attn.k_norm", part, keys);
        }
        if style.gate != Gate::None && self.has(style.has_gate) {
            let gates = if style.gate == Gate::Wide { output } else { heads };
            let gate_bias = self.has(style.gate_bias);
            self.matrices("self_attn.gate_proj", part, 1, [gates, hidden], gate_bias);
        }
        self.sinks(style.sinks, heads, kind);
    }

    pub fn sinks(&mut self, sinks: Sinks, heads: u32, kind: Kind) {
        if sinks == Sinks::All || sinks == Sinks::Sliding && kind == Kind::Sliding {
            self.vector("self_attn.sinks", Part::Attention, heads);
        }
    }

    /// Attention on a latent vector.
    ///
    /// # Source
    /// DeepSeek-V2 and V3.2 in transformers 5.24.
    pub fn latent(&mut self, style: &Latent, kind: Kind) {
        let rope = self.config.need("qk_rope_head_dim");
        let nope = self.config.need("qk_nope_head_dim");
        self.latent_of(style, kind, nope, rope);
    }

    /// Attention on a latent vector with so many values of a key without its position and with it.
    pub fn latent_of(&mut self, style: &Latent, kind: Kind, nope: u32, rope: u32) {
        let part = Part::Attention;
        let hidden = self.hidden;
        let heads = self.num_heads(kind);
        let rank = self.config.need("kv_lora_rank");
        let value = match self.config.count("v_head_dim") {
            None if style.derives_value => self.hidden.checked_div(heads).unwrap_or(1),
            _ => self.config.need("v_head_dim"),
        };
        let query = times(heads, nope.saturating_add(rope));
        let bias = self.has(style.bias);
        self.layer.heads = heads;
        let query_rank = self.config.count("q_lora_rank").filter(|rank| *rank > 0);
        match query_rank {
            Some(query_rank) => {
                self.matrices("self_attn.q_a_proj", part, 1, [query_rank, hidden], bias);
                self.vector("self_attn.q_a_layernorm", part, query_rank);
                self.matrix("self_attn.q_b_proj", part, [query, query_rank]);
            }
            None => self.matrix("self_attn.q_proj", part, [query, hidden]),
        }
        self.matrices("self_attn.kv_a_proj_with_mqa", part, 1, [rank.saturating_add(rope), hidden], bias);
        self.vector("self_attn.kv_a_layernorm", part, rank);
        self.matrix("self_attn.kv_b_proj", part, [times(heads, nope.saturating_add(value)), rank]);
        self.matrices("self_attn.o_proj", part, 1, [hidden, times(heads, value)], bias);
        match style.gate {
            Gate::None => {}
            Gate::Wide => self.matrix("self_attn.g_proj", part, [times(heads, value), hidden]),
            Gate::PerHead => self.matrix("self_attn.g_proj", part, [heads, hidden]),
        }
        self.sinks(style.sinks, heads, kind);
        let span = self.span(kind);
        let is_sparse = kind == Kind::Indexed;
        self.layer.caches.push(Cache::Latent { rank, rope, span, is_sparse });
        if is_sparse {
            self.indexer(query_rank.unwrap_or(hidden));
        }
    }

    /// The indexer of sparse attention, in the layers that have their own.
    fn indexer(&mut self, query_rank: u32) {
        let part = Part::Attention;
        let shared = self.config.list("indexer_types").and_then(|types| types.get(self.index as usize));
        if matches!(shared, Some(Value::Text(text)) if text == "shared") {
            return;
        }
        let heads = self.config.need("index_n_heads");
        let size = self.config.need("index_head_dim");
        self.matrix("self_attn.indexer.wq_b", part, [times(heads, size), query_rank]);
        self.matrix("self_attn.indexer.wk", part, [size, self.hidden]);
        self.vector("self_attn.indexer.k_norm", part, times(2, size));
        self.plain("self_attn.indexer.weights_proj", part, [heads, self.hidden]);
        self.layer.caches.push(Cache::Indexer { key_size: size });
    }

    pub fn feed_forward(&mut self, family: &Family) {
        match &family.experts {
            Some(routing) if self.is_routed(routing) => self.experts(routing, family.network.bias),
            _ => self.network(family),
        }
    }

    fn experts_or_network(&mut self, family: &Family) {
        match &family.experts {
            Some(routing) => self.experts(routing, family.network.bias),
            None => self.network(family),
        }
    }

    /// A network without experts.
    pub fn network(&mut self, family: &Family) {
        let dense = ["intermediate_size_mlp", "dense_intermediate_size", "prefix_dense_intermediate_size"];
        let mut size = dense.into_iter().find_map(|key| self.config.count(key).filter(|size| *size > 0));
        if family.network.width > 0 {
            let stated = self.config.count("intermediate_size");
            let width =
                ["expansion_ratio", "intermediate_multiple_size"].into_iter().find_map(|key| self.config.count(key));
            size = stated.or_else(|| Some(times(width.unwrap_or(family.network.width), self.hidden)));
        }
        let size = size.unwrap_or_else(|| self.config.need("intermediate_size"));
        self.network_of(family.network.is_gated, family.network.bias, size);
    }

    pub fn network_of(&mut self, is_gated: bool, bias: When, size: u32) {
        let bias = self.has(bias);
        self.mlp(["mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"], Part::FeedForward, 1, size, is_gated, bias);
        self.layer.feed_forward = FeedForward::Dense { size, is_gated };
    }

    fn mlp(&mut self, names: [&'static str; 3], part: Part, copies: u32, size: u32, is_gated: bool, bias: bool) {
        let hidden = self.hidden;
        let [gate, up, down] = names;
        if is_gated {
            self.matrices(gate, part, copies, [size, hidden], bias);
        }
        self.matrices(up, part, copies, [size, hidden], bias);
        self.matrices(down, part, copies, [hidden, size], bias);
    }

    /// Experts with their router, and those that every token passes, which have a bias where networks have one.
    pub fn experts(&mut self, routing: &Routing, shared_bias: When) {
        let hidden = self.hidden;
        let routed = self.config.need("num_experts");
        let active = self.config.need("num_experts_per_tok");
        check_experts(self.config, routed, active);
        let active = active.clamp(1, routed);
        let own_size = self.config.count("moe_intermediate_size").filter(|size| *size > 0);
        let size = own_size.unwrap_or_else(|| self.config.need("intermediate_size"));
        let router_bias = self.has(routing.router_bias);
        self.plain("mlp.gate", Part::Router, [routed, hidden]);
        if router_bias {
            self.vector("mlp.gate", Part::Router, routed);
        }
        if self.has(routing.correction) {
            self.vector("mlp.gate.e_score_correction_bias", Part::Router, routed);
        }
        let bias = self.has(routing.expert_bias);
        let names = ["mlp.experts.gate_proj", "mlp.experts.up_proj", "mlp.experts.down_proj"];
        self.mlp(names, Part::RoutedExperts, routed, size, routing.is_gated, bias);
        let shared_size = match routing.shared {
            Shared::None => 0,
            Shared::One => size,
            Shared::Counted => times(self.config.count_or_0("n_shared_experts"), size),
            Shared::Sized => self.config.count_or_0("shared_expert_intermediate_size"),
        };
        if shared_size > 0 {
            let names = ["mlp.shared_experts.gate_proj", "mlp.shared_experts.up_proj", "mlp.shared_experts.down_proj"];
            let shared_bias = self.has(shared_bias);
            self.mlp(names, Part::SharedExperts, 1, shared_size, routing.is_gated, shared_bias);
            if routing.shared_gate {
                self.plain("mlp.shared_expert_gate", Part::SharedExperts, [1, hidden]);
            }
        }
        self.layer.feed_forward =
            FeedForward::Experts(Experts { routed, active, size, shared_size, is_gated: routing.is_gated });
    }

    /// A gated network that every token passes beside the experts.
    pub fn beside_experts(&mut self, size: u32) {
        let names = ["residual_mlp.gate_proj", "residual_mlp.up_proj", "residual_mlp.down_proj"];
        self.mlp(names, Part::SharedExperts, 1, size, true, false);
        if let FeedForward::Experts(experts) = &mut self.layer.feed_forward {
            experts.shared_size = experts.shared_size.saturating_add(size);
        }
    }

    /// States what experts a layer has whose tensors were added one by one.
    pub fn routed(&mut self, routed: u32, active: u32, size: u32) {
        check_experts(self.config, routed, active);
        let active = active.clamp(1, routed.max(1));
        self.layer.feed_forward =
            FeedForward::Experts(Experts { routed, active, size, shared_size: 0, is_gated: true });
    }

    /// Makes the routed experts of the layer work on vectors of another width.
    pub fn narrow_experts(&mut self, width: u32) {
        let hidden = u64::from(self.hidden);
        for tensor in self.layer.tensors.iter_mut().filter(|tensor| tensor.name.starts_with("mlp.experts.")) {
            for side in [&mut tensor.rows, &mut tensor.columns] {
                if *side == hidden {
                    *side = width.into();
                }
            }
        }
    }

    /// Norms and other vectors of the layer.
    pub fn norms(&mut self, family: &Family) {
        let bias = u32::from(self.has(family.norms.bias));
        let vectors = u32::try_from(family.norms.per_layer).unwrap_or(0);
        if vectors > 0 {
            self.vector("norms", Part::Norm, times(times(vectors, bias.saturating_add(1)), self.hidden));
        }
        for extra in family.extras {
            if self.has(extra.when) {
                let size = match extra.size {
                    Size::Values(values) => values,
                    Size::Hidden => self.hidden,
                    Size::Heads => self.num_heads(Kind::Full),
                    Size::HeadSizes(count) => times(count, self.head_size(Kind::Full)),
                    Size::Intermediate => self.config.need("intermediate_size"),
                };
                self.vector(extra.name, Part::Norm, size);
            }
        }
    }

    /// Tensors of one shape outside the layers.
    pub fn outer(&mut self, name: &'static str, part: Part, copies: u32, shape: [u32; 2]) {
        self.outside.push(tensor(name, part, copies, shape, false));
    }
}

/// A product that stays at the largest number instead of running over.
pub(super) fn times(left: u32, right: u32) -> u32 {
    left.saturating_mul(right)
}

pub(super) fn tensor(
    name: &'static str,
    part: Part,
    copies: u32,
    [rows, columns]: [u32; 2],
    is_linear: bool,
) -> Tensor {
    let stored = WeightBytes { bits: 16.0, scale_bytes: 0 };
    Tensor { name, part, copies: copies.into(), rows: rows.into(), columns: columns.into(), is_linear, stored }
}
