//! What an architecture and a data sheet must satisfy before anything is computed from them.

use super::{AcceleratorSpec, ModelSpec};
use crate::diagnostic::Diagnostic;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// No model is a million times larger than today's; a larger number is a slip of the pen.
const MAX_DIMENSION: u32 = 16_777_216;

impl ModelSpec {
    /// Every problem with the architecture; paths are its own field names.
    ///
    /// What only one of the formulas needs (FFN size, activation, divisibility) is checked where it is used.
    #[must_use]
    pub fn problems(&self) -> Vec<Diagnostic> {
        let mut problems = Vec::new();
        if self.id.trim().is_empty() {
            problems.push(invalid("id", "the id is empty".into()).with_hint("give the model a name"));
        }
        for (name, value) in [
            ("num_hidden_layers", self.num_hidden_layers),
            ("hidden_size", self.hidden_size),
            ("num_attention_heads", self.num_attention_heads),
            ("num_key_value_heads", self.num_key_value_heads),
        ] {
            if value == 0 {
                problems.push(
                    invalid(name, format!("{name} is 0")).with_hint("take the value from the model's config.json"),
                );
            }
        }
        for (name, value) in [
            ("num_hidden_layers", self.num_hidden_layers),
            ("hidden_size", self.hidden_size),
            ("num_attention_heads", self.num_attention_heads),
            ("num_key_value_heads", self.num_key_value_heads),
            ("head_dim", self.head_dim),
            ("intermediate_size", self.intermediate_size),
            ("vocab_size", self.vocab_size),
            ("num_experts", self.num_experts),
            ("moe_intermediate_size", self.moe_intermediate_size),
            ("shared_expert_intermediate_size", self.shared_expert_intermediate_size),
            ("intermediate_size_mlp", self.intermediate_size_mlp),
            ("interleave_moe_layer_step", self.interleave_moe_layer_step),
            ("kv_lora_rank", self.kv_lora_rank),
            ("qk_rope_head_dim", self.qk_rope_head_dim),
        ] {
            if value > MAX_DIMENSION {
                problems.push(
                    invalid(name, format!("{name} is {value}"))
                        .with_hint(format!("the largest accepted value is {MAX_DIMENSION}")),
                );
            }
        }
        if self.num_experts > 1 && !(1..=self.num_experts).contains(&self.num_experts_per_tok) {
            let message =
                format!("num_experts_per_tok is {} with {} experts", self.num_experts_per_tok, self.num_experts);
            problems.push(
                invalid("num_experts_per_tok", message)
                    .with_hint(format!("give a number from 1 to {}", self.num_experts)),
            );
        }
        if self.num_experts == 0 && self.num_experts_per_tok > 0 {
            let message = format!("num_experts_per_tok is {} but there are no experts", self.num_experts_per_tok);
            problems.push(
                invalid("num_experts", message).with_hint("give num_experts, or leave both out for a dense model"),
            );
        }
        if let Some(bytes) = self.weight_bytes_per_param
            && !(bytes > 0.0 && bytes <= 16.0)
        {
            let message = format!("weight_bytes_per_param is {bytes}");
            problems.push(
                invalid("weight_bytes_per_param", message)
                    .with_hint("2 for 16-bit, 1 for 8-bit, 0.5 for 4-bit weights"),
            );
        }
        if let Some(rope) = &self.rope_scaling
            && !(rope.factor > 0.0 && rope.factor <= 1e6)
        {
            problems.push(
                invalid("rope_scaling.factor", format!("factor is {}", rope.factor))
                    .with_hint("give a positive number, e.g. 4"),
            );
        }
        problems.extend(self.footprint.iter().flat_map(|footprint| footprint.problems()));
        problems
    }
}

impl AcceleratorSpec {
    /// Every problem with the data sheet; paths are its own field names.
    #[must_use]
    pub fn problems(&self) -> Vec<Diagnostic> {
        let mut problems = Vec::new();
        if self.id.trim().is_empty() {
            problems.push(invalid("id", "the id is empty".into()).with_hint("give the accelerator a name"));
        }
        for (name, value, min, max, unit) in [
            ("peak_tflops", self.peak_tflops, 1e-3, 1e6, "TFLOP/s"),
            ("memory_bandwidth_tb_per_s", self.memory_bandwidth_tb_per_s, 1e-3, 1e5, "TB/s"),
            ("mfu_prefill", self.mfu_prefill, 1e-3, 1.0, "of the peak"),
            ("mfu_decode", self.mfu_decode, 1e-3, 1.0, "of the peak"),
            ("memory_gib", self.memory_gib, 1e-3, 1e5, "GiB"),
        ] {
            if !(min..=max).contains(&value) {
                problems.push(
                    invalid(name, format!("{name} is {value}"))
                        .with_hint(format!("give a number from {min} to {max} {unit}")),
                );
            }
        }
        for (name, value, max) in [
            ("peak_tflops_fp8", self.peak_tflops_fp8, 1e6),
            ("driver_memory_gib", self.driver_memory_gib, 1e5),
            ("power_w", self.power_w, 1e6),
            ("price_usd_per_hour", self.price_usd_per_hour.unwrap_or(0.0), 1e6),
        ] {
            if !(0.0..=max).contains(&value) {
                problems.push(
                    invalid(name, format!("{name} is {value}"))
                        .with_hint(format!("give a number from 0 to {max}, or leave it out if unknown")),
                );
            }
        }
        problems
    }
}

fn invalid(path: &str, message: String) -> Diagnostic {
    Diagnostic::error("invalid-value", path, message)
}
