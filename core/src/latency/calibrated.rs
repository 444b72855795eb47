//! A roofline with fitted rates and overheads: the model that calibration fits by default.

use super::StepItem;
use super::blackbox::Overheads;
use super::{TimeShares, WorkSums, finite_non_negative, three};
use crate::diagnostic::Diagnostic;
use crate::time::truncate;
use alloc::format;
use alloc::vec::Vec;

/// Number of step coefficients.
pub(super) const NUM_BETA: usize = 7;

/// A roofline whose rates and overheads are fitted to a deployment's own logs; it needs no architecture.
///
/// # Model
/// Of a step over `n` requests with `P` prompt tokens and `D` decoding requests, whose contexts sum to `C`, and whose
/// prefill items of `k` tokens behind `s` computed ones sum to `A = Σ k·(s + k/2)`:
///
/// `step = β0 + β1·n + M + β4·C + β5·A` in µs, truncated, at least 1 µs, with the matrices' time
/// `M = max(β2, β3·(P + D))` if `P` or `D` is 0, else `(1 − β6)·max(β2, β3·(P + D)) + β6·(β0 + max(β2, β3·P) + max(β2, β3·D))`.
///
/// - β0: scheduler, launches and everything else that a step costs whatever is in it.
/// - β1: per request: sampling, detokenization, block tables.
/// - β2: reading the weights; β3: multiplying a token with them. Matrices are read once per step, so a step takes the
///   longer of the two (roofline); a prompt of a few hundred tokens hides the reading, which is why a prompt costs less
///   than proportionally when it joins a decode batch.
/// - β4: reading keys and values of one context token in attention.
/// - β5: attention of one prompt token to one before it.
/// - β6, 0–1: how far prompts and decodes are separate passes. 0 is a server that mixes them in one (chunked prefill);
///   1 is one that runs prompts in a pass of their own and gives out their first tokens with the decode pass behind it,
///   as the server's first engine does, so that both passes pay overhead and weights.
///
/// Overheads as in the black-box model: `α0 + α1·m` before the queue (client, network, HTTP, tokenization), `α2` per
/// output token.
///
/// # Source
/// Williams, Waterman and Patterson (2009), *Roofline*; the split into weights, KV traffic and prompt attention is that
/// of latency specification 3 and 4.
#[derive(Debug, Clone, PartialEq)]
pub struct Calibrated {
    overheads: Overheads,
    pub(super) output_overhead: i64,
    beta: [f64; NUM_BETA],
}

/// The part of a decode step that does not change while the batch stays the same.
#[derive(Debug, Clone)]
pub struct CalibratedDecode {
    fixed: f64,
    per_context_token: f64,
}

impl CalibratedDecode {
    #[inline]
    pub(super) fn step_time(&self, pos_sum: u64) -> i64 {
        truncate(self.fixed + self.per_context_token * pos_sum as f64).max(1)
    }
}

impl Calibrated {
    pub(super) fn new(alpha: &[f64], beta: &[f64]) -> Result<Self, Vec<Diagnostic>> {
        let mut diagnostics = Vec::new();
        let alpha = three("alpha", alpha, &mut diagnostics);
        if beta.len() < NUM_BETA {
            diagnostics.push(
                Diagnostic::error(
                    "coefficients-missing",
                    "beta",
                    format!("{} values given, {NUM_BETA} are needed", beta.len()),
                )
                .with_hint("take the seven values of the fit"),
            );
        }
        let mut values = [0.0; NUM_BETA];
        for (index, (slot, value)) in values.iter_mut().zip(beta).enumerate() {
            *slot = finite_non_negative("beta", index, *value, &mut diagnostics);
        }
        if diagnostics.is_empty() && values.iter().all(|value| *value == 0.0) {
            diagnostics.push(
                Diagnostic::error(
                    "coefficients-all-zero",
                    "beta",
                    "all coefficients are zero, so a step takes no time",
                )
                .with_hint("take the values of the fit"),
            );
        }
        if !diagnostics.is_empty() {
            return Err(diagnostics);
        }
        let overheads = Overheads::new(alpha);
        Ok(Self { overheads, output_overhead: overheads.output_overhead, beta: values })
    }

    #[inline]
    pub(super) fn queueing(&self, input_tokens: u32) -> i64 {
        self.overheads.queueing(input_tokens)
    }

    pub(super) fn step_time(&self, items: &[StepItem]) -> i64 {
        let prefill: Vec<StepItem> = items.iter().copied().filter(|item| item.is_prefill()).collect();
        let decodes = items.iter().filter(|item| !item.is_prefill());
        let (num_decodes, pos_sum) = decodes.fold((0, 0), |(count, sum), item| (count + 1, sum + u64::from(item.pos)));
        self.mixed_step_time(num_decodes, pos_sum, &prefill)
    }

    /// All sums are over whole numbers below 2⁵³, so their order does not matter.
    #[inline]
    pub(super) fn mixed_step_time(&self, num_decodes: u32, pos_sum: u64, prefill: &[StepItem]) -> i64 {
        if num_decodes == 0 && prefill.is_empty() {
            return 1;
        }
        let (mut tokens, mut area) = (0u64, 0u64);
        for item in prefill {
            let (count, before) = (u64::from(item.tokens), u64::from(item.pos));
            tokens += count;
            area += count * (2 * before + count);
        }
        let requests = num_decodes as usize + prefill.len();
        let batch = self.batch_time(requests, tokens, u64::from(num_decodes)) + self.beta[5] * (area as f64 * 0.5);
        truncate(batch + self.beta[4] * pos_sum as f64).max(1)
    }

    #[inline]
    fn batch_time(&self, num_requests: usize, prompt_tokens: u64, num_decodes: u64) -> f64 {
        let [fixed, per_request, weights, per_token, _, _, separate] = self.beta;
        let pass = |tokens: u64| weights.max(per_token * tokens as f64);
        let mut matrices = pass(prompt_tokens + num_decodes);
        if separate > 0.0 && prompt_tokens > 0 && num_decodes > 0 {
            let apart = fixed + pass(prompt_tokens) + pass(num_decodes);
            matrices += separate * (apart - matrices);
        }
        fixed + per_request * num_requests as f64 + matrices
    }

    pub(super) fn decode_stepper(&self, num_decodes: u32) -> CalibratedDecode {
        // Adding the area's zero changes no bit, so a window agrees with single steps.
        let fixed = self.batch_time(num_decodes as usize, 0, u64::from(num_decodes));
        CalibratedDecode { fixed, per_context_token: self.beta[4] }
    }

    /// The matrices are what the other terms leave of the busy time.
    pub(super) fn time_shares(&self, work: &WorkSums, busy: u64) -> TimeShares {
        let mut shares = TimeShares::default();
        shares[0] = self.beta[0] * work.steps as f64;
        shares[1] = self.beta[1] * (work.decode_tokens + work.prefill_items) as f64;
        shares[2] = self.beta[4] * work.decode_pos_sum as f64;
        let rest = busy as f64 - shares[0] - shares[1] - shares[2];
        shares[3] = if rest > 0.0 { rest } else { 0.0 };
        shares
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model() -> Calibrated {
        Calibrated::new(&[1000.0, 2.0, 0.0], &[4000.0, 50.0, 6000.0, 30.0, 0.1, 0.001, 0.0]).unwrap()
    }

    #[test]
    fn steps_by_hand() {
        let model = model();
        let decode = |pos| StepItem { tokens: 1, pos, input_tokens: 100 };
        let prefill = |tokens, pos| StepItem { tokens, pos, input_tokens: 5000 };
        // Weights hide two tokens: 4000 + 2·50 + 6000 + 0.1·1000.
        assert_eq!(model.step_time(&[decode(400), decode(600)]), 10_200);
        // 502 tokens cost 15060 µs and hide the weights; area 500·(100 + 250).
        let mixed = [decode(400), prefill(500, 100), decode(600)];
        assert_eq!(model.step_time(&mixed), 4000 + 150 + 15_060 + 100 + 175);
        assert_eq!(model.decode_stepper(2).step_time(1000), 10_200);
        let mut apart = model.clone();
        apart.beta[6] = 0.5;
        // Halfway to two passes: 15000 for the prompt, 6000 for the decodes and 4000 of overhead.
        assert_eq!(apart.step_time(&mixed), 4000 + 150 + (15_060 + 25_000) / 2 + 100 + 175);
        assert_eq!(apart.step_time(&[decode(400), decode(600)]), 10_200);
        assert_eq!(model.queueing(100), 1200);
        assert_eq!(model.step_time(&[]), 1);
    }

    #[test]
    fn missing_and_senseless_coefficients_are_told() {
        let problems = Calibrated::new(&[1.0, 0.0, 0.0], &[1.0, -1.0, f64::NAN]).unwrap_err();
        assert_eq!(problems.len(), 3, "{problems:?}");
        assert_eq!(Calibrated::new(&[0.0; 3], &[0.0; 7]).unwrap_err()[0].code, "coefficients-all-zero");
    }
}
