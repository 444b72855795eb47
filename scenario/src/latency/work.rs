//! What a run's steps worked on, in whole numbers, and how busy time is split by it.

use super::StepItem;
use crate::numeric::product;

/// Busy time by the terms of the latency model, in microseconds; named by
/// [`super::LatencyModel::time_share_names`].
pub type TimeShares = [f64; 8];

/// Work done over a run, in whole numbers, from which busy time is split into terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WorkSums {
    /// Steps.
    pub steps: u64,
    /// Prefill tokens computed.
    pub prefill_tokens: u64,
    /// Prefill items: requests × steps in which they worked on their prompt.
    pub prefill_items: u64,
    /// Sum over prefill items of `k·(2m + k)`: twice the attention area the trained-physics model charges.
    pub prefill_area: u128,
    /// Decode tokens computed.
    pub decode_tokens: u64,
    /// Sum over decode items of their position.
    pub decode_pos_sum: u128,
    /// Experts touched, summed over steps; mixtures of experts only.
    pub experts_touched: u64,
    /// Time of steps bound by compute, microseconds; roofline only.
    pub compute_bound_us: u64,
    /// Time of steps bound by memory spent on weights, nanoseconds; roofline only.
    pub weights_ns: u64,
    /// Time of steps bound by memory, microseconds; roofline only.
    pub memory_bound_us: u64,
}

impl WorkSums {
    /// What was done after `earlier` was all.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            steps: self.steps - earlier.steps,
            prefill_tokens: self.prefill_tokens - earlier.prefill_tokens,
            prefill_items: self.prefill_items - earlier.prefill_items,
            prefill_area: self.prefill_area - earlier.prefill_area,
            decode_tokens: self.decode_tokens - earlier.decode_tokens,
            decode_pos_sum: self.decode_pos_sum - earlier.decode_pos_sum,
            experts_touched: self.experts_touched - earlier.experts_touched,
            compute_bound_us: self.compute_bound_us - earlier.compute_bound_us,
            weights_ns: self.weights_ns - earlier.weights_ns,
            memory_bound_us: self.memory_bound_us - earlier.memory_bound_us,
        }
    }

    /// One step of `count` decoding requests whose positions sum to `pos_sum`; prefill items are added apart.
    #[inline]
    pub fn add_decodes(&mut self, count: u64, pos_sum: u64) {
        self.steps += 1;
        self.decode_tokens += count;
        self.decode_pos_sum += u128::from(pos_sum);
    }

    /// One prefill item of a step.
    #[inline]
    pub fn add_prefill(&mut self, item: &StepItem) {
        let (tokens, prompt) = (u64::from(item.tokens), u64::from(item.input_tokens));
        self.prefill_items += 1;
        self.prefill_tokens += tokens;
        self.prefill_area += product(tokens, 2 * prompt + tokens);
    }
}
