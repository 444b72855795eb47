//! Step time from architecture and data sheet alone (latency specification 3).

use super::blackbox::Overheads;
use super::shape::{self, Rates, Shape};
use super::{StepItem, finite_non_negative};
use super::{TimeShares, WorkSums};
use crate::catalog::{AcceleratorSpec, ModelSpec};
use crate::diagnostic::Diagnostic;
use crate::numeric::larger;
use crate::time::truncate;
use alloc::vec::Vec;

/// Half a unit in the last place of 1, the largest relative error of one operation.
const ROUNDING: f64 = 1.0 / (1u64 << 53) as f64;

/// Step time from architecture and data sheet alone.
///
/// # Model
/// `step = max(compute, memory)`: floating-point work over the reachable peak, or weights, keys and values over the
/// bandwidth; no fixed overheads and no communication.
///
/// # Exactness
/// The specification sums quotients item by item, so an aggregate can differ in the last bits.
/// The aggregate is therefore computed with an error bound; where truncation differs within the bound the caller
/// must go item by item.
#[derive(Debug, Clone, PartialEq)]
pub struct Roofline {
    pub(super) overheads: Overheads,
    shape: Shape,
    tp: f64,
    /// `h = D/H`.
    head_size: f64,
    /// `kv = K·h`.
    kv: f64,
    expert_ffn: f64,
    dense_ffn: f64,
    /// `peak·mfu` in prefill, FLOP/s.
    prefill_flops: f64,
    /// `peak·mfu` in decode, FLOP/s.
    decode_flops: f64,
    /// Bytes per second.
    bandwidth: f64,
    /// Weight bytes outside the experts, before the width; and of one expert over all MoE layers.
    dense_weights: f64,
    per_expert: f64,
    dense_ffn_weights: f64,
    /// `g`, bytes of keys and values per token.
    kv_bytes: f64,
    /// `L·D·P`, activation bytes per token.
    activation_bytes: f64,
    /// Work of one decode item at context 0, and per token of context, FLOP.
    decode_work: [f64; 2],
}

/// A decode-only batch: its duration as the context grows.
#[derive(Debug, Clone)]
pub struct RooflineDecode {
    /// Compute seconds: at context 0, and per token of context.
    compute: [f64; 2],
    /// Memory bytes per rank: at context 0, and per token of context.
    memory: [f64; 2],
    bandwidth: f64,
    /// Relative and absolute (seconds) error bounds of the aggregate.
    relative_error: f64,
    absolute_error: f64,
}

impl RooflineDecode {
    #[inline]
    pub(super) fn step_time(&self, pos_sum: u64) -> Option<i64> {
        let context = pos_sum as f64;
        let compute = self.compute[0] + self.compute[1] * context;
        let memory = (self.memory[0] + self.memory[1] * context) / self.bandwidth;
        bounded(larger(compute, memory), self.relative_error, self.absolute_error)
    }
}

/// The step time if truncation gives the same at both ends of the error bound.
#[inline]
fn bounded(seconds: f64, relative_error: f64, absolute_error: f64) -> Option<i64> {
    let error = seconds * relative_error + absolute_error;
    let low = truncate((seconds - error) * 1e6).max(1);
    let high = truncate((seconds + error) * 1e6).max(1);
    (low == high).then_some(low)
}

impl Roofline {
    pub(super) fn new(
        model: &ModelSpec,
        accelerator: &AcceleratorSpec,
        tensor_parallel_size: u32,
        alpha: &[f64],
    ) -> Result<Self, Vec<Diagnostic>> {
        let mut diagnostics = Vec::new();
        let (shape, rates) = shape::read(model, accelerator, tensor_parallel_size, &mut diagnostics);
        let mut overheads = [0.0; 3];
        for (index, (slot, value)) in overheads.iter_mut().zip(alpha).enumerate() {
            *slot = finite_non_negative("alpha", index, *value, &mut diagnostics);
        }
        if !diagnostics.is_empty() {
            return Err(diagnostics);
        }
        let Shape { layers, hidden, heads, .. } = shape;
        let Rates { peak_tflops, bandwidth_tb_per_s, mfu_prefill, mfu_decode } = rates;
        let head_size = hidden / heads;
        let kv = shape.kv_heads * head_size;
        let ffn = if shape.ffn > 0.0 { shape.ffn } else { 4.0 * hidden };
        let or_ffn = |size: f64| if size > 0.0 { size } else { ffn };
        let (expert_ffn, dense_ffn) = (or_ffn(shape.expert_ffn), or_ffn(shape.dense_ffn));
        let peak = peak_tflops * 1e12;
        let mut roofline = Self {
            overheads: Overheads::new(overheads),
            shape,
            tp: f64::from(tensor_parallel_size),
            head_size,
            kv,
            expert_ffn,
            dense_ffn,
            prefill_flops: peak * mfu_prefill,
            decode_flops: peak * mfu_decode,
            bandwidth: bandwidth_tb_per_s * 1e12,
            dense_weights: (hidden * (hidden + 2.0 * kv) + hidden * hidden) * layers,
            per_expert: 2.0 * hidden * expert_ffn,
            dense_ffn_weights: (2.0 * hidden * dense_ffn) * shape.dense_layers,
            kv_bytes: 2.0 * layers * shape.kv_heads * head_size * shape.value_bytes,
            activation_bytes: layers * hidden * shape.value_bytes,
            decode_work: [0.0; 2],
        };
        let base = roofline.work(0.0, 1.0);
        // Work is linear in the context; a large context makes the slope exact to the last bits of the bound.
        let slope = (4.0 * heads * head_size + 5.0 * heads) * layers;
        roofline.decode_work = [base, slope];
        Ok(roofline)
    }

    /// Floating-point work of one item with context `s` and `t` new tokens.
    fn work(&self, s: f64, t: f64) -> f64 {
        let Shape { layers, hidden, heads, active_experts, moe_layers, dense_layers, .. } = self.shape;
        let (d, kv, h) = (hidden, self.kv, self.head_size);
        let mut gemm = (2.0 * t * (d * d + 2.0 * d * kv) + 2.0 * t * d * d) * layers;
        let context = if t > 1.0 { s + (t - 1.0) / 2.0 } else { s };
        gemm += (4.0 * heads * t * context * h) * layers;
        let vector = ((5.0 * heads * t * context) + 2.0 * t * d) * layers;
        if moe_layers > 0.0 {
            gemm += (2.0 * t * (2.0 * d * self.expert_ffn) * active_experts) * moe_layers;
        }
        if dense_layers > 0.0 {
            gemm += (2.0 * t * (2.0 * d * self.dense_ffn)) * dense_layers;
        }
        gemm + vector
    }

    /// Weight bytes read when `tokens` tokens are processed.
    fn weights(&self, tokens: u64) -> f64 {
        let Shape { experts, active_experts, moe_layers, weight_bytes, .. } = self.shape;
        let touched =
            if moe_layers > 0.0 { experts * (1.0 - power((experts - active_experts) / experts, tokens)) } else { 0.0 };
        let moe = self.per_expert * touched * moe_layers;
        (self.dense_weights + (moe + self.dense_ffn_weights)) * weight_bytes
    }

    /// Bytes of an item beyond its weights.
    fn item_bytes(&self, s: f64, t: u32) -> f64 {
        let weights = self.weights(u64::from(t));
        let tokens = f64::from(t);
        let memory = ((weights + self.kv_bytes * tokens) + self.kv_bytes * s) + self.activation_bytes * tokens;
        memory - weights
    }

    #[inline]
    pub(super) fn step_time(&self, items: &[StepItem]) -> i64 {
        if items.is_empty() {
            return 1;
        }
        let (mut compute, mut dynamic, mut total) = (0.0, 0.0, 0u64);
        for is_prefill in [true, false] {
            for item in items.iter().filter(|item| item.is_prefill() == is_prefill) {
                let (tokens, flops) =
                    if is_prefill { (item.tokens, self.prefill_flops) } else { (1, self.decode_flops) };
                let context = f64::from(item.pos);
                compute += self.work(context, f64::from(tokens)) / self.tp / flops;
                dynamic += self.item_bytes(context, tokens) / self.tp;
                total += u64::from(tokens);
            }
        }
        let memory = (self.weights(total) / self.tp + dynamic) / self.bandwidth;
        truncate(larger(compute, memory) * 1e6).max(1)
    }

    #[inline]
    pub(super) fn decode_stepper(&self, num_decodes: u32) -> RooflineDecode {
        let decodes = f64::from(num_decodes);
        let [base, slope] = self.decode_work;
        let flops = self.tp * self.decode_flops;
        let weights = self.weights(u64::from(num_decodes));
        let fixed = weights + decodes * (self.kv_bytes + self.activation_bytes);
        RooflineDecode {
            compute: [decodes * base / flops, slope / flops],
            memory: [fixed / self.tp, self.kv_bytes / self.tp],
            bandwidth: self.bandwidth,
            relative_error: relative_error(num_decodes as usize),
            absolute_error: decodes * self.cancellation(self.weights(1)),
        }
    }

    #[inline]
    pub(super) fn mixed_step_time(&self, num_decodes: u32, pos_sum: u64, prefill: &[StepItem]) -> Option<i64> {
        let (compute, memory, absolute_error) = self.aggregate(num_decodes, pos_sum, prefill)?;
        bounded(larger(compute, memory), relative_error(num_decodes as usize + prefill.len()), absolute_error)
    }

    /// Compute and memory seconds and the absolute error of the latter; `None` for an empty step.
    fn aggregate(&self, num_decodes: u32, pos_sum: u64, prefill: &[StepItem]) -> Option<(f64, f64, f64)> {
        if num_decodes == 0 && prefill.is_empty() {
            return None;
        }
        let decodes = f64::from(num_decodes);
        let [base, slope] = self.decode_work;
        let context = pos_sum as f64;
        let mut compute = (decodes * base + slope * context) / (self.tp * self.decode_flops);
        let mut dynamic = decodes * (self.kv_bytes + self.activation_bytes) + self.kv_bytes * context;
        let mut total = u64::from(num_decodes);
        let mut absolute_error = decodes * self.cancellation(self.weights(1));
        for item in prefill {
            let (tokens, context) = (f64::from(item.tokens), f64::from(item.pos));
            compute += self.work(context, tokens) / self.tp / self.prefill_flops;
            dynamic += (self.kv_bytes + self.activation_bytes) * tokens + self.kv_bytes * context;
            total += u64::from(item.tokens);
            absolute_error += self.cancellation(self.weights(u64::from(item.tokens)));
        }
        let memory = ((self.weights(total) + dynamic) / self.tp) / self.bandwidth;
        Some((compute, memory, absolute_error))
    }

    /// Seconds lost at most when an item's bytes are computed as a difference of sums as large as the weights.
    fn cancellation(&self, weights: f64) -> f64 {
        8.0 * ROUNDING * weights / self.tp / self.bandwidth
    }

    /// Which side binds a decode-only step.
    pub(super) fn is_compute_bound(&self, num_decodes: u32, pos_sum: u64) -> bool {
        self.aggregate(num_decodes, pos_sum, &[]).is_some_and(|(compute, memory, _)| compute > memory)
    }

    /// Counts which side bound `steps` steps that took `duration` together, and what part of memory-bound ones went
    /// to weights.
    pub(super) fn count_bounds(
        &self,
        work: &mut WorkSums,
        num_decodes: u32,
        pos_sum: u64,
        prefill: &[StepItem],
        steps: u64,
        duration: i64,
    ) {
        let Some((compute, memory, _)) = self.aggregate(num_decodes, pos_sum, prefill) else { return };
        let duration = duration.unsigned_abs();
        if compute > memory {
            work.compute_bound_us += duration;
        } else {
            let tokens = u64::from(num_decodes) + prefill.iter().map(|item| u64::from(item.tokens)).sum::<u64>();
            let weights_ns = truncate(self.weights(tokens) / self.tp / self.bandwidth * 1e9).unsigned_abs();
            work.memory_bound_us += duration;
            work.weights_ns = work.weights_ns.saturating_add(weights_ns.saturating_mul(steps));
        }
    }
}

/// Relative error of an aggregate over `items` items: each specified item takes fewer than 32 roundings, and the
/// ordered sum one more per item.
fn relative_error(items: usize) -> f64 {
    (items as f64 + 64.0) * 2.0 * ROUNDING
}

/// Integer power by repeated squaring, least significant bit first.
fn power(base: f64, exponent: u64) -> f64 {
    let (mut result, mut square, mut bits) = (1.0, base, exponent);
    while bits > 0 {
        if bits & 1 == 1 {
            result *= square;
        }
        square *= square;
        bits >>= 1;
    }
    result
}

/// Busy time by the side that bound each step.
pub(super) fn time_shares(work: &WorkSums) -> TimeShares {
    let mut shares = TimeShares::default();
    let memory = work.memory_bound_us as f64;
    let weights = (work.weights_ns as f64 / 1e3).min(memory);
    shares[0] = work.compute_bound_us as f64;
    shares[1] = weights;
    shares[2] = memory - weights;
    shares
}
