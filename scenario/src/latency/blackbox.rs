//! Step time as a line in prefill and decode tokens (latency specification 1).

use super::{StepItem, three};
use super::{TimeShares, WorkSums};
use crate::diagnostic::Diagnostic;
use crate::time::truncate;
use alloc::vec::Vec;

/// Overheads outside the steps: `trunc(α0 + α1·m)` before the queue, `trunc(α2)` per output token.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Overheads {
    fixed: f64,
    per_input_token: f64,
    pub(super) output_overhead: i64,
}

impl Overheads {
    /// From α0, α1, α2 (µs).
    pub(super) fn new(alpha: [f64; 3]) -> Self {
        Self { fixed: 0.0 + alpha[0], per_input_token: alpha[1], output_overhead: truncate(alpha[2]) }
    }

    /// Queueing delay of a prompt, microseconds.
    #[inline]
    pub(super) fn queueing(&self, input_tokens: u32) -> i64 {
        truncate(self.fixed + self.per_input_token * f64::from(input_tokens))
    }
}

/// Trained or calibrated coefficients per deployment.
///
/// # Model
/// `step = β0 + β1·(prefill tokens) + β2·(decode tokens)`, truncated, at least 1 µs.
/// Cached tokens cost nothing; the context length plays no part.
#[derive(Debug, Clone, PartialEq)]
pub struct Blackbox {
    overheads: Overheads,
    beta: [f64; 3],
    pub(super) output_overhead: i64,
}

impl Blackbox {
    pub(super) fn new(alpha: &[f64], beta: &[f64]) -> Result<Self, Vec<Diagnostic>> {
        let mut diagnostics = Vec::new();
        let alpha = three("alpha", alpha, &mut diagnostics);
        let beta = three("beta", beta, &mut diagnostics);
        if diagnostics.is_empty() && alpha.iter().chain(&beta).all(|value| *value == 0.0) {
            diagnostics.push(
                Diagnostic::error(
                    "coefficients-all-zero",
                    "beta",
                    "all coefficients are zero, so a step takes no time",
                )
                .with_hint("give measured coefficients or choose trained-physics"),
            );
        }
        if !diagnostics.is_empty() {
            return Err(diagnostics);
        }
        let overheads = Overheads::new(alpha);
        Ok(Self { overheads, beta, output_overhead: overheads.output_overhead })
    }

    #[inline]
    pub(super) fn queueing(&self, input_tokens: u32) -> i64 {
        self.overheads.queueing(input_tokens)
    }

    #[inline]
    pub(super) fn step_time(&self, items: &[StepItem]) -> i64 {
        let mut prefill_tokens = 0u64;
        let mut decode_tokens = 0u32;
        for item in items {
            if item.is_prefill() {
                prefill_tokens += u64::from(item.tokens);
            } else {
                decode_tokens += item.tokens;
            }
        }
        self.mixed_step_time(prefill_tokens, decode_tokens)
    }

    #[inline]
    pub(super) fn mixed_step_time(&self, prefill_tokens: u64, decode_tokens: u32) -> i64 {
        let [fixed, per_prefill, per_decode] = self.beta;
        let micros = ((0.0 + fixed) + per_prefill * prefill_tokens as f64) + per_decode * f64::from(decode_tokens);
        truncate(micros).max(1)
    }

    pub(super) fn time_shares(&self, work: &WorkSums) -> TimeShares {
        let mut shares = TimeShares::default();
        shares[0] = self.beta[0] * work.steps as f64;
        shares[1] = self.beta[1] * work.prefill_tokens as f64;
        shares[2] = self.beta[2] * work.decode_tokens as f64;
        shares
    }
}
