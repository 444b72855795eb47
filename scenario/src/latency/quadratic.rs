//! Step time as a polynomial in what a step holds: the regression of the 2025 experiments.

use super::{MAX_COEFFICIENT, MAX_STEP, StepItem, apart, fill};
use super::{TimeShares, WorkSums};
use crate::diagnostic::Diagnostic;
use crate::time::truncate;
use alloc::vec::Vec;

/// Names of the coefficients, as the 2025 experiments wrote them: `s2` = squared, `m` between two names = times.
///
/// Seconds; the first fifteen are β, in the order of the formula.
pub const QUADRATIC_BETA: [&str; 15] = [
    "sum_decode_tokens",
    "sum_prefill_tokens",
    "max_prefill_tokens",
    "num_prefills",
    "sum_decode_tokenss2",
    "sum_decode_tokensmsumprefill_tokens",
    "sum_decode_tokensmmaxprefill_tokens",
    "sum_decode_tokensmnumprefills",
    "sum_prefill_tokenss2",
    "sum_prefill_tokensmmaxprefill_tokens",
    "sum_prefill_tokensmnumprefills",
    "max_prefill_tokenss2",
    "max_prefill_tokensmnumprefills",
    "num_prefillss2",
    "intercept",
];
/// Names of the fixed overheads, microseconds; these are α.
pub const QUADRATIC_ALPHA: [&str; 4] = ["schedule_time", "update_time", "queue_overhead", "vllm_overhead"];

/// Largest coefficient of a feature, seconds.
const MAX_SECONDS: f64 = MAX_COEFFICIENT / 1e6;

/// Most prompts in a step for which a polynomial is examined; far more than servers are set to.
const MAX_PROMPTS: u32 = 1 << 14;

/// A polynomial of degree 2 in four counts of a step, with fixed overheads.
///
/// # Model
/// Of a step with `D` decoding requests, `P` prompt tokens, the largest chunk `M` of them and `N` requests at work on
/// their prompts, all after cached tokens and chunking:
///
/// `c0·D + c1·P + c2·M + c3·N + c4·D² + c5·DP + c6·DM + c7·DN + c8·P² + c9·PM + c10·PN + c11·M² + c12·MN + c13·N² + c14`
///
/// in seconds, times 10⁶, truncated; a step takes that plus queue overhead, schedule time and update time (each
/// truncated microseconds), at least 1 µs. Coefficients may be negative. Neither context length nor cache size plays a
/// part, so decoding at long contexts costs no more than at short ones.
///
/// The vLLM overhead is added to TTFT and end-to-end latency, not to gaps. It is charged on the way into the queue: a
/// delay that all requests share moves the whole run and nothing else.
///
/// # Source
/// The regression of the BLIS experiments of 2025 on instrumented steps of vLLM (the 2025 black-box model, step-time
/// model and timing rules). Its simulator reported TPOT with the vLLM overhead added to the decoding time,
/// which the 2025 objectives of a calibration repeat; TPOT here is that of the definitions.
#[derive(Debug, Clone, PartialEq)]
pub struct Quadratic {
    /// vLLM overhead, microseconds.
    pub(super) queueing: i64,
    /// Of each step, microseconds.
    overhead: i64,
    beta: [f64; 15],
}

impl Quadratic {
    /// From schedule time, update time, queue overhead and vLLM overhead (µs), and `c0` to `c14` (s).
    pub(super) fn new(alpha: &[f64], beta: &[f64]) -> Result<Self, Vec<Diagnostic>> {
        let mut diagnostics = Vec::new();
        let (mut overheads, mut values) = ([0.0; 4], [0.0; 15]);
        fill("alpha", alpha, &mut overheads, 0.0..=MAX_COEFFICIENT, &mut diagnostics);
        fill("beta", beta, &mut values, -MAX_SECONDS..=MAX_SECONDS, &mut diagnostics);
        if diagnostics.is_empty() && overheads.iter().take(3).chain(&values).all(|value| *value == 0.0) {
            diagnostics.push(
                Diagnostic::error(
                    "coefficients-all-zero",
                    "beta",
                    "all coefficients are zero, so a step takes no time",
                )
                .with_hint("leave them out for the published ones"),
            );
        }
        if !diagnostics.is_empty() {
            return Err(diagnostics);
        }
        let [schedule, update, queue, vllm] = overheads.map(truncate);
        Ok(Self { queueing: vllm, overhead: queue + schedule + update, beta: values })
    }

    /// What the experiments' simulator took for the decoding time when it reported TPOT, less what it was, microseconds.
    #[inline]
    pub fn reported_decoding(&self) -> i64 {
        self.queueing
    }

    #[inline]
    pub(super) fn step_time(&self, items: &[StepItem]) -> i64 {
        let (num_decodes, _, prefill) = apart(items);
        self.mixed_step_time(num_decodes, &prefill)
    }

    #[inline]
    pub(super) fn mixed_step_time(&self, num_decodes: u32, prefill: &[StepItem]) -> i64 {
        let (mut sum, mut largest) = (0u64, 0u32);
        for item in prefill {
            sum += u64::from(item.tokens);
            largest = largest.max(item.tokens);
        }
        self.step_of(f64::from(num_decodes), sum as f64, f64::from(largest), prefill.len() as f64)
    }

    /// Of `d` decodes and `n` prompts with `p` tokens, `m` of them in the largest chunk.
    fn step_of(&self, d: f64, p: f64, m: f64, n: f64) -> i64 {
        let features = [d, p, m, n, d * d, d * p, d * m, d * n, p * p, p * m, p * n, m * m, m * n, n * n, 1.0];
        let mut seconds = 0.0;
        for (coefficient, feature) in self.beta.iter().zip(features) {
            seconds += coefficient * feature;
        }
        let micros = (seconds * 1e6).clamp(-(MAX_STEP as f64), MAX_STEP as f64);
        (truncate(micros) + self.overhead).max(1)
    }

    /// The least number of prompts that fill a budget evenly and for which the polynomial is negative.
    ///
    /// Numbers beyond 2¹⁴ are not looked at.
    pub fn negative_from(&self, max_prompts: u32, budget: u32) -> Option<u32> {
        (1..=max_prompts.min(budget).min(MAX_PROMPTS)).find(|count| {
            let (tokens, count) = (f64::from(budget / count), f64::from(*count));
            self.step_of(0.0, tokens * count, tokens, count) < self.overhead
        })
    }

    /// Busy time by term; products of counts are what the terms of single counts leave.
    pub(super) fn time_shares(&self, work: &WorkSums, busy: u64) -> TimeShares {
        let [decode, prefill, _, prompts, ..] = self.beta;
        let terms = [
            self.beta[14] * work.steps as f64 + self.overhead as f64 * 1e-6 * work.steps as f64,
            prefill * work.prefill_tokens as f64 + prompts * work.prefill_items as f64,
            decode * work.decode_tokens as f64,
        ];
        let mut shares = TimeShares::default();
        let mut rest = busy as f64;
        for (share, term) in shares.iter_mut().zip(terms) {
            *share = (term * 1e6).clamp(0.0, rest);
            rest -= *share;
        }
        shares[3] = rest;
        shares
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::LatencyModel;

    /// The published coefficients, digits as in the source.
    const PUBLISHED: [f64; 15] = [
        3.38e-05, 9.82e-06, -3.11e-06, 1.50e-03, 4.24e-08, -1.07e-07, 1.93e-07, 2.60e-05, -7.72e-09, 2.67e-08,
        7.20e-06, -1.07e-08, -1.05e-05, -9.20e-04, 5.709e-03,
    ];
    const OVERHEADS: [f64; 4] = [544.0, 80.0, 1000.0, 6000.0];

    fn decode(pos: u32) -> StepItem {
        StepItem { tokens: 1, pos, input_tokens: 10 }
    }

    fn prefill(tokens: u32, pos: u32) -> StepItem {
        StepItem { tokens, pos, input_tokens: 4000 }
    }

    #[test]
    fn steps_by_hand() {
        let model = Quadratic::new(&OVERHEADS, &PUBLISHED).unwrap();
        // Three decodes: 101.4 + 0.3816 + 5709 µs = 5810.7816; context plays no part.
        assert_eq!(model.step_time(&[decode(10), decode(5000), decode(40)]), 5810 + 1624);
        // D = 2, P = 700, M = 500, N = 2, in µs: 67.6 + 6874 - 1555 + 3000 + 0.1696 - 149.8 + 193 + 104
        // - 3782.8 + 9345 + 10080 - 2675 - 10500 - 3680 + 5709 = 13030.1696.
        let mixed = [decode(10), prefill(500, 0), prefill(200, 300), decode(11)];
        assert_eq!(model.step_time(&mixed), 13_030 + 1624);
        assert_eq!(model.queueing, 6000);
    }

    #[test]
    fn negative_polynomials_are_found_and_steps_never_end_before_they_begin() {
        let model = Quadratic::new(&OVERHEADS, &PUBLISHED).unwrap();
        let many = [prefill(1, 0); 100];
        // 100 prompts: 1.5e-3·100 − 9.2e-4·100² and small terms are about −9 s.
        assert_eq!(model.step_time(&many), 1);
        // 16 prompts of 128 tokens: +2.8 ms; 17 of 120: −12.5 ms.
        assert_eq!(model.negative_from(256, 2048), Some(17));
        assert_eq!(model.negative_from(16, 2048), None);
        // A server without sensible limits is answered at once.
        assert_eq!(Quadratic::new(&OVERHEADS, &[1e-6; 15]).unwrap().negative_from(u32::MAX, u32::MAX), None);
        assert_eq!(Quadratic::new(&OVERHEADS, &[1e-3; 15]).unwrap().negative_from(256, 2048), None);
    }

    #[test]
    fn a_window_agrees_with_single_steps_and_shares_fill_the_busy_time() {
        let model = LatencyModel::quadratic(&OVERHEADS, &PUBLISHED).unwrap();
        let single = model.step_time(&[decode(10), decode(20)]);
        assert_eq!(model.decode_stepper(2).step_time(30), Some(single));
        let mut work = WorkSums::default();
        model.count_work(&mut work, 2, 30, &[], single);
        let shares = model.time_shares(&work, 7400);
        assert!((shares.iter().sum::<f64>() - 7400.0).abs() < 1e-6, "{shares:?}");
        assert!((shares[0] - 7333.0).abs() < 1e-6 && (shares[2] - 67.0).abs() < 0.7, "{shares:?}");
    }

    #[test]
    fn missing_and_senseless_coefficients_are_told() {
        let problems = Quadratic::new(&[1.0, -1.0], &[f64::NAN; 14]).unwrap_err();
        let count = |code: &str| problems.iter().filter(|problem| problem.code == code).count();
        assert_eq!((count("coefficients-missing"), count("coefficient-out-of-range")), (2, 15), "{problems:?}");
        let zero = Quadratic::new(&[0.0, 0.0, 0.0, 9.0], &[0.0; 15]).unwrap_err();
        assert_eq!(zero[0].code, "coefficients-all-zero");
    }
}
