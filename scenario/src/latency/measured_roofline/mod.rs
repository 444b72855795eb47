//! Step time from a model's anatomy and the measured rates of kernels: what a deployment takes that nobody calibrated.

mod model;
mod parts;
mod per_token;
mod rates;

pub use model::Inputs;
pub use rates::{Card, hidden};

use super::{StepItem, TimeShares, WorkSums, apart};
use crate::numeric::larger;
use crate::time::truncate;
use parts::{Attentions, Launch, State};
use per_token::PerToken;

/// What a step holds, as sums over its requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Batch {
    /// Prompt tokens computed in this step.
    pub prompt_tokens: u64,
    /// Requests they are of.
    pub prompts: u32,
    /// Tokens computed before, of those requests.
    pub past: u64,
    /// Twice the pairs of tokens that attention of prompts looks at: `Σ k·(2s + k + 1)` of `k` tokens behind `s`.
    pub pairs: u64,
    /// Requests that decode a token each.
    pub decodes: u32,
    /// Sum of their positions.
    pub context: u64,
}

/// Step time from a model's anatomy and the measured rates of kernels.
///
/// # Model
/// A step is the sum over layers of matrices, attention, experts, states and adding up among ranks, each a roofline whose
/// shares of peak and bandwidth were measured, and the head. Launching kernels goes on beside it, for steps with prompts
/// and those larger than the server captured; the two hide each other as `(g⁴ + l⁴)^¼`. What long prompts need of the
/// power of a card bounds them. A server adds a time per step and per request.
///
/// Never faster than work ÷ peak or bytes ÷ bandwidth of the data sheet, since no share is above one.
///
/// # Source
/// Rates: `configs/step_times.yaml`, written by `cargo xtask fit-steps` from published measurements.
#[derive(Debug, Clone, PartialEq)]
pub struct MeasuredRoofline {
    pub(super) queueing: i64,
    /// Largest size that is captured.
    captured: u32,
    /// Microseconds that depend on the tokens of a step, and on the rows of its head.
    of_tokens: PerToken,
    of_rows: PerToken,
    attention: Attentions,
    state: State,
    launch: Launch,
    /// Microseconds at peak of a token, a row of the head and a pair of attention; and the share that is kept up.
    work: [f64; 3],
    sustained: f64,
    burst: f64,
    step: f64,
    per_request: f64,
}

/// A decode-only batch: its duration as the context grows.
#[derive(Debug, Clone)]
pub struct MeasuredDecode {
    fixed: f64,
    decodes: f64,
    attention: Attentions,
    eager: Option<f64>,
    after: f64,
}

impl MeasuredDecode {
    #[inline]
    pub(super) fn step_time(&self, pos_sum: u64) -> i64 {
        truncate(self.micros(pos_sum)).max(1)
    }

    #[inline]
    fn micros(&self, pos_sum: u64) -> f64 {
        let gpu = self.fixed + self.attention.decode(self.decodes, pos_sum as f64);
        let busy = match self.eager {
            Some(launch) => parts::beside(gpu, launch),
            None => gpu,
        };
        busy + self.after
    }
}

impl MeasuredRoofline {
    /// Microseconds of a step.
    #[must_use]
    #[inline]
    pub fn micros(&self, batch: &Batch) -> f64 {
        if batch.prompts == 0 {
            return if batch.decodes == 0 { 1.0 } else { self.decode_stepper(batch.decodes).micros(batch.context) };
        }
        let (prompt, decodes) = (batch.prompt_tokens as f64, f64::from(batch.decodes));
        let tokens = count(batch.prompt_tokens).saturating_add(batch.decodes);
        let requests = batch.prompts.saturating_add(batch.decodes);
        let is_captured = tokens <= self.captured;
        let of_tokens = if is_captured { self.of_tokens.padded(tokens) } else { self.of_tokens.at(tokens) };
        let mut gpu = of_tokens + self.of_rows.at(requests) + self.state.time(f64::from(requests), prompt);
        let pairs = batch.pairs as f64 * 0.5;
        gpu += self.attention.prompt(f64::from(batch.prompts), prompt, batch.past as f64, pairs);
        if batch.decodes > 0 {
            gpu += self.attention.decode(decodes, batch.context as f64);
        }
        let work = self.work[0] * f64::from(tokens) + self.work[1] * f64::from(requests) + self.work[2] * pairs;
        let gpu = larger(gpu, work / self.sustained - self.burst);
        let launch = match (is_captured, batch.decodes > 0) {
            (true, false) => self.launch.prompt,
            (true, true) => self.launch.mixed,
            (false, true) => self.launch.eager,
            (false, false) => self.launch.eager_prompt,
        };
        parts::beside(gpu, launch) + self.step + self.per_request * f64::from(requests)
    }

    #[inline]
    pub(super) fn step_time(&self, items: &[StepItem]) -> i64 {
        let (num_decodes, pos_sum, prefill) = apart(items);
        self.mixed_step_time(num_decodes, pos_sum, &prefill)
    }

    /// All sums are over whole numbers below 2⁵³, so their order does not matter.
    #[inline]
    pub(super) fn mixed_step_time(&self, num_decodes: u32, pos_sum: u64, prefill: &[StepItem]) -> i64 {
        let mut batch = Batch { decodes: num_decodes, context: pos_sum, ..Batch::default() };
        for item in prefill {
            let (tokens, past) = (u64::from(item.tokens), u64::from(item.pos));
            batch.prompts += 1;
            batch.prompt_tokens += tokens;
            batch.past += past;
            batch.pairs += tokens * (2 * past + tokens + 1);
        }
        truncate(self.micros(&batch)).max(1)
    }

    #[inline]
    pub(super) fn decode_stepper(&self, num_decodes: u32) -> MeasuredDecode {
        let is_captured = num_decodes <= self.captured;
        let of_tokens = if is_captured { self.of_tokens.padded(num_decodes) } else { self.of_tokens.at(num_decodes) };
        let decodes = f64::from(num_decodes);
        MeasuredDecode {
            fixed: of_tokens + self.of_rows.at(num_decodes) + self.state.time(decodes, 0.0),
            decodes,
            attention: self.attention,
            eager: (!is_captured).then_some(self.launch.eager),
            after: self.step + self.per_request * decodes,
        }
    }

    /// Everything but keys, values and what a server adds is what is left of the busy time.
    pub(super) fn time_shares(&self, work: &WorkSums, busy: u64) -> TimeShares {
        let mut shares = TimeShares::default();
        shares[0] = self.step * work.steps as f64;
        shares[1] = self.per_request * (work.decode_tokens + work.prefill_items) as f64;
        shares[2] = self.attention.per_context_token() * (work.decode_pos_sum as f64 + work.decode_tokens as f64);
        let rest = busy as f64 - shares[0] - shares[1] - shares[2];
        shares[3] = if rest > 0.0 { rest } else { 0.0 };
        shares
    }
}

/// A count of tokens of one step, which are far fewer than 2³².
fn count(tokens: u64) -> u32 {
    u32::try_from(tokens).unwrap_or(u32::MAX)
}
