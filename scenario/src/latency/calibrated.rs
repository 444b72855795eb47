//! A roofline with fitted rates and overheads: the model that calibration fits by default.

use super::StepItem;
use super::blackbox::Overheads;
use super::{TimeShares, WorkSums, apart, finite_non_negative, three};
use crate::diagnostic::Diagnostic;
use crate::time::truncate;
use alloc::format;
use alloc::vec::Vec;

/// Number of step coefficients, and of those a fit must state.
const NUM_BETA: usize = 8;
const NUM_STATED: usize = 7;

/// A roofline whose rates and overheads are fitted to a deployment's own logs; it needs no architecture.
///
/// # Model
/// Of a step over `n` requests with `P` prompt tokens and `D` decoding requests, whose contexts sum to `C`, and whose
/// prefill items of `k` tokens behind `s` computed ones sum to `A = Σ k·(s + k/2)`:
///
/// `step = β0 + β1·n + max(β2, β3·(P + D)) + β4·C + β5·A + [β7 if P > 0]` in µs, truncated, at least 1 µs.
///
/// - β0: scheduler, launches and everything else that a step costs whatever is in it.
/// - β1: per request: sampling, detokenization, block tables.
/// - β2: reading the weights; β3: multiplying a token with them. Matrices are read once per step, so a step takes the
///   longer of the two (roofline); a prompt of a few hundred tokens hides the reading, which is why a prompt costs less
///   than proportionally when it joins a decode batch.
/// - β4: reading keys and values of one context token in attention.
/// - β5: attention of one prompt token to one before it.
/// - β7: what launching a step with prompts costs more, as it replays no recorded graph; 0 if it is not given.
/// - β6: no time but the kind of [`Joining`]: below 1, below 2, or more.
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
    pub(super) joining: Joining,
    beta: [f64; NUM_BETA],
}

/// How prompts join the requests that decode.
///
/// # Source
/// The scheduler of vLLM's first engine without and with chunked prefill, that of its second (v1), and its option
/// `--async-scheduling`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Joining {
    /// In the next step, together with the decodes (chunked prefill; engine specification 5).
    #[default]
    NextStep,
    /// In the step after the next: the next one is planned while the present one runs (asynchronous scheduling).
    /// A request that finds nobody running is served at once.
    StepAfterNext,
    /// In steps of their own, before the decodes go on.
    OwnSteps,
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
        if beta.len() < NUM_STATED {
            diagnostics.push(
                Diagnostic::error(
                    "coefficients-missing",
                    "beta",
                    format!("{} values given, {NUM_STATED} are needed", beta.len()),
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
        let joining = match values[6] {
            joining if joining < 1.0 => Joining::NextStep,
            joining if joining < 2.0 => Joining::StepAfterNext,
            _ => Joining::OwnSteps,
        };
        Ok(Self { overheads, output_overhead: overheads.output_overhead, joining, beta: values })
    }

    #[inline]
    pub(super) fn queueing(&self, input_tokens: u32) -> i64 {
        self.overheads.queueing(input_tokens)
    }

    #[inline]
    pub(super) fn step_time(&self, items: &[StepItem]) -> i64 {
        let (num_decodes, pos_sum, prefill) = apart(items);
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
        let [mut fixed, per_request, weights, per_token, .., launch] = self.beta;
        if prompt_tokens > 0 {
            fixed += launch;
        }
        fixed + per_request * num_requests as f64 + weights.max(per_token * (prompt_tokens + num_decodes) as f64)
    }

    #[inline]
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
        let joining = |beta6| Calibrated::new(&[0.0; 3], &[1.0, 0.0, 0.0, 0.0, 0.0, 0.0, beta6]).unwrap().joining;
        assert_eq!([0.5, 1.5, 2.0].map(joining), [Joining::NextStep, Joining::StepAfterNext, Joining::OwnSteps]);
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
