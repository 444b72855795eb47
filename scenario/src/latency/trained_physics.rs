//! Roofline terms weighted by learned corrections (latency specification 4).

use super::shape::{self, Rates, Shape};
use super::{StepItem, finite_non_negative};
use super::{TimeShares, WorkSums};
use crate::catalog::{AcceleratorSpec, ModelSpec};
use crate::diagnostic::Diagnostic;
use crate::numeric::{larger, smaller};
use crate::time::truncate;
use alloc::format;
use alloc::vec::Vec;

/// Roofline terms weighted by learned corrections.
///
/// # Model
/// `step = pre + dec + β3·weights + β4·all-reduce + β5·L + β6·requests + β7 + β8·MoE layers` in µs, truncated, at
/// least 1 µs, where `pre` and `dec` weigh compute and KV traffic of the prefill and the decode part.
/// Every sum is over whole numbers below 2⁵³, so running sums give the same bits as item by item.
///
/// # Source
/// Latency specification 4; coefficients trained by the inference-sim project, 2026-04.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainedPhysics {
    pub(super) queueing: i64,
    pub(super) output_overhead: i64,
    pub(super) final_overhead: i64,
    beta: [f64; 10],
    has_prefill_split: bool,
    has_decode_split: bool,
    tp: f64,
    shape: Shape,
    /// FLOP per microsecond.
    flops: f64,
    /// Bytes per microsecond.
    bytes: f64,
    /// `H/tp`.
    heads_per_rank: f64,
    /// `K/tp·h` in the specified order: `kv/tp`.
    kv: f64,
    /// Integer head size.
    head_size: f64,
    /// `FM` and `FD` with their fallbacks.
    expert_ffn: f64,
    dense_ffn: f64,
    active: f64,
}

/// The part of a decode step that does not change while the batch stays the same.
#[derive(Debug, Clone)]
pub struct PhysicsDecode {
    num_decodes: f64,
    projection: f64,
    ffn: f64,
    attention: f64,
    head_size: f64,
    flops: f64,
    kv: f64,
    bytes: f64,
    compute_weight: f64,
    kv_weight: f64,
    is_split: bool,
    weights: f64,
    all_reduce: f64,
    layers: f64,
    requests: f64,
    fixed: f64,
    moe: f64,
}

impl PhysicsDecode {
    /// Duration of a step whose positions sum to `pos_sum`.
    #[inline]
    pub(super) fn step_time(&self, pos_sum: u64) -> i64 {
        let context = pos_sum as f64;
        let kv_traffic = (self.kv * (context + self.num_decodes)) / self.bytes;
        // A weight of zero adds exactly nothing, so its term need not be computed.
        let decode = if self.compute_weight == 0.0 && self.is_split {
            0.0 + self.kv_weight * kv_traffic
        } else {
            let attention = self.attention * context * self.head_size;
            let compute = (self.projection + attention + self.ffn) / self.flops;
            if self.is_split {
                self.compute_weight * compute + self.kv_weight * kv_traffic
            } else {
                self.compute_weight * larger(compute, kv_traffic)
            }
        };
        let micros =
            0.0 + decode + self.weights + self.all_reduce + self.layers + self.requests + self.fixed + self.moe;
        truncate(micros).max(1)
    }
}

impl TrainedPhysics {
    pub(super) fn new(
        model: &ModelSpec,
        accelerator: &AcceleratorSpec,
        tensor_parallel_size: u32,
        alpha: &[f64],
        beta: &[f64],
    ) -> Result<Self, Vec<Diagnostic>> {
        let mut diagnostics = Vec::new();
        let (shape, rates) = shape::read(model, accelerator, tensor_parallel_size, &mut diagnostics);
        let alpha = super::three("alpha", alpha, &mut diagnostics);
        if beta.len() < 7 {
            diagnostics.push(
                Diagnostic::error(
                    "coefficients-missing",
                    "beta",
                    format!("{} values given, seven are needed", beta.len()),
                )
                .with_hint("give β1 to β7, at most β10"),
            );
        }
        let mut values = [0.0; 10];
        for (index, (slot, value)) in values.iter_mut().zip(beta).enumerate() {
            *slot = finite_non_negative("beta", index, *value, &mut diagnostics);
        }
        if shape.ffn <= 0.0 {
            diagnostics.push(
                Diagnostic::error("architecture-incomplete", "model.intermediate_size", "intermediate_size is 0")
                    .with_hint("take it from the model's config.json, or choose the roofline model"),
            );
        }
        for (heads, name) in [(shape.heads, "attention heads"), (shape.kv_heads, "KV heads")] {
            if tensor_parallel_size > 0 && !(heads as u32).is_multiple_of(tensor_parallel_size) {
                diagnostics.push(
                    Diagnostic::error(
                        "tensor-parallel-mismatch",
                        "tensor_parallel_size",
                        format!("{heads} {name} cannot be split over {tensor_parallel_size} ranks"),
                    )
                    .with_hint("choose a divisor, or the roofline model"),
                );
            }
        }
        if !diagnostics.is_empty() {
            return Err(diagnostics);
        }
        let Rates { peak_tflops, bandwidth_tb_per_s, .. } = rates;
        let tp = f64::from(tensor_parallel_size);
        let head_size = f64::from(model.hidden_size / model.num_attention_heads);
        let or_ffn = |size: f64| if size > 0.0 { size } else { shape.ffn };
        Ok(Self {
            queueing: truncate(alpha[0]),
            final_overhead: truncate(alpha[1]),
            output_overhead: truncate(alpha[2]),
            beta: values,
            has_prefill_split: beta.len() >= 9,
            has_decode_split: beta.len() >= 10,
            tp,
            shape,
            flops: peak_tflops * 1e6,
            bytes: bandwidth_tb_per_s * 1e6,
            heads_per_rank: shape.heads / tp,
            kv: shape.kv_heads * head_size,
            head_size,
            expert_ffn: or_ffn(shape.expert_ffn),
            dense_ffn: or_ffn(shape.dense_ffn),
            active: shape.active_experts.max(1.0),
        })
    }

    #[inline]
    pub(super) fn step_time(&self, items: &[StepItem]) -> i64 {
        if items.is_empty() {
            return 1;
        }
        let mut decodes = 0u32;
        let mut pos_sum = 0u64;
        let mut prefill = Vec::new();
        for item in items {
            if item.is_prefill() {
                prefill.push(*item);
            } else {
                decodes += 1;
                pos_sum += u64::from(item.pos);
            }
        }
        self.mixed_step_time(decodes, pos_sum, &prefill)
    }

    #[inline]
    pub(super) fn mixed_step_time(&self, num_decodes: u32, pos_sum: u64, prefill: &[StepItem]) -> i64 {
        let requests = num_decodes as usize + prefill.len();
        if requests == 0 {
            return 1;
        }
        let prefill_tokens = prefill.iter().map(|item| u64::from(item.tokens)).sum::<u64>() as f64;
        let decodes = f64::from(num_decodes);
        let pre = if prefill_tokens > 0.0 {
            let mut area = 0.0;
            for item in prefill {
                let (tokens, prompt) = (f64::from(item.tokens), f64::from(item.input_tokens));
                area += 4.0 * self.heads_per_rank * tokens * (prompt + tokens / 2.0) * self.head_size;
            }
            let (compute, kv_traffic) = self.prefill_terms(prefill_tokens, area);
            if self.has_prefill_split {
                self.beta[0] * compute + self.beta[8] * kv_traffic
            } else {
                self.beta[0] * larger(compute, kv_traffic)
            }
        } else {
            0.0
        };
        let dec = if num_decodes > 0 {
            let attention = self.shape.layers * 4.0 * self.heads_per_rank * pos_sum as f64 * self.head_size;
            let compute = (self.projection(decodes) + attention + self.ffn(decodes)) / self.flops;
            let kv_traffic = (self.kv_decode() * (pos_sum as f64 + decodes)) / self.bytes;
            if self.has_decode_split {
                self.beta[1] * compute + self.beta[9] * kv_traffic
            } else {
                self.beta[1] * larger(compute, kv_traffic)
            }
        } else {
            0.0
        };
        let tokens = prefill_tokens + decodes;
        let micros = pre
            + dec
            + self.beta[2] * self.weight_time(tokens)
            + self.beta[3] * self.all_reduce_time(tokens)
            + self.beta[4] * self.shape.layers
            + self.beta[5] * requests as f64
            + self.beta[6]
            + self.beta[7] * self.moe_flag() * self.shape.moe_layers;
        truncate(micros).max(1)
    }

    #[inline]
    pub(super) fn decode_stepper(&self, num_decodes: u32) -> PhysicsDecode {
        let decodes = f64::from(num_decodes);
        PhysicsDecode {
            num_decodes: decodes,
            projection: self.projection(decodes),
            ffn: self.ffn(decodes),
            attention: self.shape.layers * 4.0 * self.heads_per_rank,
            head_size: self.head_size,
            flops: self.flops,
            kv: self.kv_decode(),
            bytes: self.bytes,
            compute_weight: self.beta[1],
            kv_weight: self.beta[9],
            is_split: self.has_decode_split,
            weights: self.beta[2] * self.weight_time(decodes),
            all_reduce: self.beta[3] * self.all_reduce_time(decodes),
            layers: self.beta[4] * self.shape.layers,
            requests: self.beta[5] * decodes,
            fixed: self.beta[6],
            moe: self.beta[7] * self.moe_flag() * self.shape.moe_layers,
        }
    }

    /// Busy time by term; where compute and KV traffic are not split, the larger of the two sums stands for the sum
    /// of the larger ones.
    pub(super) fn time_shares(&self, work: &WorkSums) -> TimeShares {
        let steps = work.steps as f64;
        let (prefill_tokens, decode_tokens) = (work.prefill_tokens as f64, work.decode_tokens as f64);
        let area = 2.0 * self.heads_per_rank * work.prefill_area as f64 * self.head_size;
        let (compute, kv_traffic) = self.prefill_terms(prefill_tokens, area);
        let pre = if self.has_prefill_split {
            self.beta[0] * compute + self.beta[8] * kv_traffic
        } else {
            self.beta[0] * larger(compute, kv_traffic)
        };
        let attention = self.shape.layers * 4.0 * self.heads_per_rank * work.decode_pos_sum as f64 * self.head_size;
        let compute = (self.projection(decode_tokens) + attention + self.ffn(decode_tokens)) / self.flops;
        let kv_traffic = (self.kv_decode() * (work.decode_pos_sum as f64 + decode_tokens)) / self.bytes;
        let dec = if self.has_decode_split {
            self.beta[1] * compute + self.beta[9] * kv_traffic
        } else {
            self.beta[1] * larger(compute, kv_traffic)
        };
        // Weights are read once per step; for mixtures of experts the experts touched were summed step by step.
        let attention_weights = self.attention_weight_bytes() * steps;
        let ffn_weights = self.ffn_weight_bytes(1.0) * steps
            + if self.shape.moe_layers > 0.0 {
                self.expert_weight_bytes() * (work.experts_touched as f64 - steps)
            } else {
                0.0
            };
        [
            pre,
            dec,
            self.beta[2] * (attention_weights + ffn_weights) / self.bytes,
            self.beta[3] * self.all_reduce_time(prefill_tokens + decode_tokens),
            self.beta[4] * self.shape.layers * steps,
            self.beta[5] * (work.decode_tokens + work.prefill_items) as f64,
            self.beta[6] * steps,
            self.beta[7] * self.moe_flag() * self.shape.moe_layers * steps,
        ]
    }

    /// Counts the experts touched by `steps` equal steps.
    #[inline]
    pub(super) fn count_experts(&self, work: &mut WorkSums, num_decodes: u32, prefill: &[StepItem], steps: u64) {
        if self.shape.moe_layers > 0.0 {
            let tokens = u64::from(num_decodes) + prefill.iter().map(|item| u64::from(item.tokens)).sum::<u64>();
            work.experts_touched += self.num_experts_touched(tokens as f64) as u64 * steps;
        }
    }

    fn moe_flag(&self) -> f64 {
        if self.shape.is_interleaved { 1.0 } else { 0.0 }
    }

    /// Compute and KV-write time of a prefill, microseconds; both 0 without tokens.
    fn prefill_terms(&self, tokens: f64, area: f64) -> (f64, f64) {
        let attention = self.shape.layers * area;
        let compute = (self.projection(tokens) + attention + self.ffn(tokens)) / self.flops;
        let kv_traffic = (self.shape.layers * 2.0 * (self.kv / self.tp) * tokens * 2.0) / self.bytes;
        (compute, kv_traffic)
    }

    fn projection(&self, tokens: f64) -> f64 {
        let Shape { layers, hidden, .. } = self.shape;
        layers * 2.0 * tokens * hidden * (2.0 * hidden + 2.0 * self.kv) / self.tp
    }

    fn ffn(&self, tokens: f64) -> f64 {
        let Shape { hidden, moe_layers, dense_layers, .. } = self.shape;
        let mut ffn = 0.0;
        if moe_layers > 0.0 {
            ffn += moe_layers * tokens * self.active * 6.0 * hidden * self.expert_ffn / self.tp;
        }
        if dense_layers > 0.0 {
            ffn += dense_layers * tokens * 1.0 * 6.0 * hidden * self.dense_ffn / self.tp;
        }
        ffn
    }

    /// Bytes of KV traffic per context token of a decode step.
    fn kv_decode(&self) -> f64 {
        self.shape.layers * 2.0 * (self.kv / self.tp) * 2.0
    }

    fn num_experts_touched(&self, tokens: f64) -> f64 {
        if self.shape.experts > 1.0 {
            smaller(self.shape.experts, larger(self.active, tokens * self.active))
        } else {
            1.0
        }
    }

    fn attention_weight_bytes(&self) -> f64 {
        let Shape { layers, hidden, weight_bytes, .. } = self.shape;
        layers * hidden * (2.0 * hidden + 2.0 * self.kv) * weight_bytes / self.tp
    }

    fn expert_weight_bytes(&self) -> f64 {
        let Shape { hidden, moe_layers, weight_bytes, .. } = self.shape;
        moe_layers * 3.0 * hidden * self.expert_ffn * weight_bytes / self.tp
    }

    fn ffn_weight_bytes(&self, num_experts: f64) -> f64 {
        let Shape { hidden, moe_layers, dense_layers, weight_bytes, .. } = self.shape;
        let mut bytes = 0.0;
        if moe_layers > 0.0 {
            bytes += moe_layers * num_experts * 3.0 * hidden * self.expert_ffn * weight_bytes / self.tp;
        }
        if dense_layers > 0.0 {
            bytes += dense_layers * 1.0 * 3.0 * hidden * self.dense_ffn * weight_bytes / self.tp;
        }
        bytes
    }

    fn weight_time(&self, tokens: f64) -> f64 {
        (self.attention_weight_bytes() + self.ffn_weight_bytes(self.num_experts_touched(tokens))) / self.bytes
    }

    fn all_reduce_time(&self, tokens: f64) -> f64 {
        if self.tp <= 1.0 {
            return 0.0;
        }
        let Shape { hidden, moe_layers, dense_layers, .. } = self.shape;
        (2.0 * dense_layers + moe_layers) * tokens * hidden * 2.0 * 2.0 * ((self.tp - 1.0) / self.tp) / self.bytes
    }
}
