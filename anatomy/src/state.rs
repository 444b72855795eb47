//! Layers with a state of fixed size.

use super::builder::{Builder, times};
use super::family::When;
use plimsoll_scenario::anatomy::{Cache, Part, StateShape};

const PART: Part = Part::State;

impl Builder<'_, '_> {
    fn keep(&mut self, state: StateShape) {
        self.layer.caches.push(Cache::State(state));
    }

    /// A count that is stated, else worked out.
    pub(super) fn count_or(&mut self, key: &'static str, otherwise: u32) -> u32 {
        self.config.count(key).filter(|count| *count > 0).unwrap_or(otherwise)
    }

    /// The rank of a state space's steps, which may be the word "auto".
    pub(super) fn time_step_rank(&mut self) -> u32 {
        let is_word = self.config.text("time_step_rank").is_some();
        let stated = if is_word { None } else { self.config.count("time_step_rank") };
        stated.unwrap_or_else(|| self.hidden.div_ceil(16))
    }

    /// A selective state space of the first form.
    ///
    /// # Source
    /// Mamba, Falcon-Mamba and Jamba in transformers 5.24.
    pub(super) fn mamba1(&mut self) {
        let hidden = self.hidden;
        let state = self.config.need("state_size");
        let kernel = self.config.need("conv_kernel");
        let expanded = times(self.config.count("expand").unwrap_or(2), hidden);
        // In hybrids the stated size is that of the feed-forward network.
        let is_hybrid = self.config.value("num_attention_heads").is_some();
        let inner = if is_hybrid { expanded } else { self.count_or("intermediate_size", expanded) };
        let rank = self.time_step_rank();
        let bias = self.has(When::If("mamba_proj_bias"));
        let conv_bias = self.has(When::If("use_conv_bias"));
        self.matrices("mixer.in_proj", PART, 1, [times(2, inner), hidden], bias);
        self.plain("mixer.conv1d", PART, [inner, kernel.saturating_add(u32::from(conv_bias))]);
        self.matrix("mixer.x_proj", PART, [rank.saturating_add(times(2, state)), inner]);
        self.matrices("mixer.dt_proj", PART, 1, [inner, rank], true);
        self.plain("mixer.A_log", PART, [inner, state]);
        self.vector("mixer.D", PART, inner);
        self.matrices("mixer.out_proj", PART, 1, [hidden, inner], bias);
        self.keep(StateShape::Mamba1 { inner, state, kernel });
    }

    /// A selective state space with heads.
    ///
    /// # Source
    /// Mamba2, Bamba, Falcon-H1, Nemotron-H and Zamba2 in transformers 5.24.
    pub(super) fn mamba2(&mut self) {
        let hidden = self.hidden;
        let is_own = self.config.value("mamba_num_heads").is_some();
        let heads = self.config.need(if is_own { "mamba_num_heads" } else { "num_attention_heads" });
        let expanded = times(self.config.count("expand").unwrap_or(2), hidden);
        let inner = self.count_or("mamba_d_ssm", expanded);
        // The head size may be the word "auto".
        let size = match self.config.text("mamba_head_dim") {
            Some(_) => None,
            None => self.config.count(if is_own { "mamba_head_dim" } else { "head_dim" }),
        };
        let head_size = size.unwrap_or_else(|| inner.checked_div(heads).unwrap_or(1));
        let inner = times(heads, head_size);
        let groups = self.config.count("mamba_n_groups").unwrap_or(1);
        let state = self.config.need("state_size");
        let kernel = self.config.need("conv_kernel");
        let bias = self.has(When::If("mamba_proj_bias"));
        let conv_bias = self.has(When::If("use_conv_bias"));
        let channels = times(times(2, groups), state).saturating_add(inner);
        let projected = inner.saturating_add(channels).saturating_add(heads);
        self.matrices("mamba.in_proj", PART, 1, [projected, hidden], bias);
        self.plain("mamba.conv1d", PART, [channels, kernel.saturating_add(u32::from(conv_bias))]);
        self.vector("mamba.A_log, D, dt_bias", PART, times(3, heads));
        let has_norm = self.config.value("mamba_rms_norm").is_none() || self.config.flag("mamba_rms_norm");
        if has_norm {
            self.vector("mamba.norm", PART, inner);
        }
        let output_bias = bias || self.has(When::If("projectors_bias"));
        self.matrices("mamba.out_proj", PART, 1, [hidden, inner], output_bias);
        self.keep(StateShape::Mamba2 { inner, groups, heads, head_size, state, kernel });
    }

    /// A gated delta net.
    ///
    /// # Source
    /// Qwen3-Next, Qwen3.5 and Olmo-Hybrid in transformers 5.24.
    pub(super) fn gated_delta(&mut self) {
        let hidden = self.hidden;
        let key_heads = self.config.need("linear_num_key_heads");
        let value_heads = self.config.need("linear_num_value_heads");
        let key_size = self.config.need("linear_key_head_dim");
        let value_size = self.config.need("linear_value_head_dim");
        let kernel = self.config.need("conv_kernel");
        let keys = times(key_heads, key_size);
        let values = times(value_heads, value_size);
        let mixed = times(2, keys).saturating_add(values);
        self.matrix("linear_attn.in_proj_qkvz", PART, [mixed.saturating_add(values), hidden]);
        self.matrix("linear_attn.in_proj_ba", PART, [times(2, value_heads), hidden]);
        self.plain("linear_attn.conv1d", PART, [mixed, kernel]);
        self.vector("linear_attn.A_log, dt_bias", PART, times(2, value_heads));
        self.vector("linear_attn.norm", PART, value_size);
        self.matrix("linear_attn.out_proj", PART, [hidden, values]);
        self.keep(StateShape::GatedDelta { key_heads, value_heads, key_size, value_size, kernel });
    }

    /// Delta attention with a gate per channel.
    ///
    /// # Source
    /// Kimi-Linear in transformers 5.24; the hybrid of Bailing has gates of full rank.
    pub(super) fn delta_attention(&mut self) {
        let hidden = self.hidden;
        // The models' own configs have these in an object of their own.
        let mut size =
            |name: &str, key: &'static str, usual: &'static str| match self.config.inner("linear_attn_config", name) {
                Some(plimsoll_json::Value::Number(number)) if (1.0..65_536.0).contains(number) => {
                    u32::try_from(plimsoll_scenario::time::truncate(*number)).unwrap_or(1)
                }
                _ => self.config.count(key).unwrap_or_else(|| self.config.need(usual)),
            };
        let heads = size("num_heads", "linear_num_heads", "num_attention_heads");
        let head_size = size("head_dim", "linear_head_dim", "head_dim");
        let kernel = size("short_conv_kernel_size", "conv_kernel", "conv_kernel");
        let width = times(heads, head_size);
        for name in ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"] {
            self.matrix(name, PART, [width, hidden]);
        }
        self.plain("self_attn.conv1d", PART, [times(3, width), kernel]);
        self.vector("self_attn.A_log", PART, heads);
        self.vector("self_attn.dt_bias", PART, width);
        self.matrix("self_attn.b_proj", PART, [heads, hidden]);
        if self.config.value("layer_group_size").is_some() {
            self.matrix("self_attn.f_proj", PART, [width, hidden]);
            self.matrix("self_attn.g_proj", PART, [width, hidden]);
        } else {
            for (down, up) in
                [("self_attn.f_a_proj", "self_attn.f_b_proj"), ("self_attn.g_a_proj", "self_attn.g_b_proj")]
            {
                self.matrix(down, PART, [head_size, hidden]);
                self.matrix(up, PART, [width, head_size]);
            }
        }
        self.vector("self_attn.o_norm", PART, head_size);
        self.matrix("self_attn.o_proj", PART, [hidden, width]);
        self.keep(StateShape::DeltaAttention { heads, head_size, kernel });
    }

    /// Linear attention with a decay per head.
    ///
    /// # Source
    /// MiniMax-Text-01 in transformers 5.24.
    pub(super) fn lightning(&mut self) {
        let hidden = self.hidden;
        let heads = self.config.need("num_attention_heads");
        let size = self.head_size(super::pattern::Kind::Full);
        let width = times(heads, size);
        self.matrix("self_attn.qkv_proj", PART, [times(3, width), hidden]);
        self.vector("self_attn.norm", PART, width);
        self.matrix("self_attn.output_gate", PART, [width, hidden]);
        self.matrix("self_attn.out_proj", PART, [hidden, width]);
        self.keep(StateShape::Linear { heads, key_size: size, value_size: size });
    }

    /// A short gated convolution.
    ///
    /// # Source
    /// LFM2 in transformers 5.24.
    pub(super) fn convolution(&mut self) {
        let hidden = self.hidden;
        let kernel = self.config.need("conv_kernel");
        let bias = self.has(When::If("conv_bias"));
        self.plain("conv.conv", PART, [hidden, kernel.saturating_add(u32::from(bias))]);
        self.matrices("conv.in_proj", PART, 1, [times(3, hidden), hidden], bias);
        self.matrices("conv.out_proj", PART, 1, [hidden, hidden], bias);
        self.keep(StateShape::Convolution { channels: hidden, kernel });
    }
}
