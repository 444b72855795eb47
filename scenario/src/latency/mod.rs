//! How long things take: step time, queueing delay and output overheads (latency specification 1–4 and the 2025
//! black-box model).
//!
//! One enum of models behind one interface.
//! Doubles are evaluated in the order the specification writes them, so the same scenario gives the same
//! microseconds everywhere; what does not change during a run is computed once, which changes no bit.
//! The engine asks in two ways that always agree: item by item ([`LatencyModel::step_time`], the plain way) and
//! from running sums ([`DecodeStepper`], [`LatencyModel::mixed_step_time`]), which answer `None` where rounding
//! could make a difference, so that the engine asks item by item instead.

mod blackbox;
mod calibrated;
mod client;
mod measured_roofline;
mod quadratic;
mod roofline;
mod shape;
mod trained_physics;
mod work;

pub use blackbox::Blackbox;
pub use calibrated::{Calibrated, Joining};
pub use client::ClientEffects;
pub use measured_roofline::{Batch, Card, Inputs, MeasuredRoofline, hidden};
pub use quadratic::{QUADRATIC_ALPHA, QUADRATIC_BETA, Quadratic};
pub use roofline::Roofline;
pub use trained_physics::TrainedPhysics;
pub use work::{TimeShares, WorkSums};

use crate::catalog::{AcceleratorSpec, ModelSpec};
use crate::diagnostic::Diagnostic;
use crate::numeric::product;
use alloc::vec::Vec;
use calibrated::CalibratedDecode;
use core::ops::RangeInclusive;
use measured_roofline::MeasuredDecode;
use roofline::RooflineDecode;
use trained_physics::PhysicsDecode;

/// One request's part in a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepItem {
    /// Tokens it gets in this step, at least 1.
    pub tokens: u32,
    /// Tokens computed before this step; 0 in the step of its admission, cached tokens included.
    pub pos: u32,
    /// Length of its prompt; a smaller `pos` makes it a prefill item, otherwise it decodes one token.
    pub input_tokens: u32,
}

impl StepItem {
    /// Whether it still works on its prompt.
    #[inline]
    #[must_use]
    pub fn is_prefill(self) -> bool {
        self.pos < self.input_tokens
    }
}

/// A step-time model, ready to be asked.
#[derive(Debug, Clone, PartialEq)]
pub enum LatencyModel {
    /// Trained or calibrated coefficients.
    Blackbox(Blackbox),
    /// A roofline whose rates and overheads are fitted to a deployment's logs.
    Calibrated(Calibrated),
    /// The anatomy of a model and measured rates of kernels.
    MeasuredRoofline(MeasuredRoofline),
    /// A polynomial in counts of a step, with fixed overheads.
    Quadratic(Quadratic),
    /// Architecture and data sheet alone.
    Roofline(Roofline),
    /// Roofline terms with learned corrections.
    TrainedPhysics(TrainedPhysics),
}

/// The duration of one decode-only batch as its context grows.
#[derive(Debug, Clone)]
pub enum DecodeStepper {
    /// Does not depend on the context.
    Constant(i64),
    /// See [`Calibrated`].
    Calibrated(CalibratedDecode),
    /// See [`MeasuredRoofline`].
    MeasuredRoofline(MeasuredDecode),
    /// See [`Roofline`].
    Roofline(RooflineDecode),
    /// See [`TrainedPhysics`].
    TrainedPhysics(PhysicsDecode),
}

impl LatencyModel {
    /// The black-box model.
    ///
    /// `alpha` (µs, µs per prompt token, µs per output token) and `beta` (µs per step, per prefill token, per
    /// decode token) need at least three values each; further ones are ignored.
    ///
    /// # Errors
    /// A coefficient is missing, not finite or negative, or all of them are zero.
    pub fn blackbox(alpha: &[f64], beta: &[f64]) -> Result<Self, Vec<Diagnostic>> {
        Blackbox::new(alpha, beta).map(Self::Blackbox)
    }

    /// The calibrated roofline with α0..2 as in the black-box model and β0..5 ([`Calibrated`]).
    ///
    /// # Errors
    /// A coefficient is missing, not finite or negative, or all β are zero.
    pub fn calibrated(alpha: &[f64], beta: &[f64]) -> Result<Self, Vec<Diagnostic>> {
        Calibrated::new(alpha, beta).map(Self::Calibrated)
    }

    /// The quadratic model with schedule time, update time, queue overhead and vLLM overhead (µs) as `alpha`, and `c0` to
    /// `c14` (s) as `beta` ([`Quadratic`]).
    ///
    /// # Errors
    /// A coefficient is missing or not finite, an overhead is negative, or no step would take any time.
    pub fn quadratic(alpha: &[f64], beta: &[f64]) -> Result<Self, Vec<Diagnostic>> {
        Quadratic::new(alpha, beta).map(Self::Quadratic)
    }

    /// The roofline model; `alpha` empty = 0,0,0.
    ///
    /// # Errors
    /// The architecture or the data sheet lacks something the formulas need.
    pub fn roofline(
        model: &ModelSpec,
        accelerator: &AcceleratorSpec,
        tensor_parallel_size: u32,
        alpha: &[f64],
    ) -> Result<Self, Vec<Diagnostic>> {
        Roofline::new(model, accelerator, tensor_parallel_size, alpha).map(Self::Roofline)
    }

    /// The trained-physics model with α0..2 and β1..10 (at least seven β; missing ones are 0).
    ///
    /// # Errors
    /// As for the roofline; also where heads or KV heads are not divisible by `tensor_parallel_size`.
    pub fn trained_physics(
        model: &ModelSpec,
        accelerator: &AcceleratorSpec,
        tensor_parallel_size: u32,
        alpha: &[f64],
        beta: &[f64],
    ) -> Result<Self, Vec<Diagnostic>> {
        TrainedPhysics::new(model, accelerator, tensor_parallel_size, alpha, beta).map(Self::TrainedPhysics)
    }

    /// Delay between a request's arrival at the replica and its place in the queue, microseconds.
    #[inline]
    #[must_use]
    pub fn queueing(&self, input_tokens: u32) -> i64 {
        match self {
            Self::Blackbox(model) => model.queueing(input_tokens),
            Self::Calibrated(model) => model.queueing(input_tokens),
            Self::MeasuredRoofline(model) => model.queueing,
            Self::Quadratic(model) => model.queueing,
            Self::Roofline(model) => model.overheads.queueing(input_tokens),
            Self::TrainedPhysics(model) => model.queueing,
        }
    }

    /// Overhead added to every reported output token, microseconds; never delays a step (`A2`).
    #[inline]
    #[must_use]
    pub fn output_overhead(&self) -> i64 {
        match self {
            Self::Blackbox(model) => model.output_overhead,
            Self::Calibrated(model) => model.output_overhead,
            Self::MeasuredRoofline(_) | Self::Quadratic(_) => 0,
            Self::Roofline(model) => model.overheads.output_overhead,
            Self::TrainedPhysics(model) => model.output_overhead,
        }
    }

    /// Overhead added once to the reported end-to-end latency of a request with output, microseconds (`P`).
    #[inline]
    #[must_use]
    pub fn final_overhead(&self) -> i64 {
        match self {
            Self::TrainedPhysics(model) => model.final_overhead,
            Self::Blackbox(_)
            | Self::Calibrated(_)
            | Self::MeasuredRoofline(_)
            | Self::Quadratic(_)
            | Self::Roofline(_) => 0,
        }
    }

    /// How prompts join the requests that decode; only a calibrated server may differ from the engine specification.
    #[inline]
    #[must_use]
    pub fn joining(&self) -> Joining {
        match self {
            Self::Calibrated(model) => model.joining,
            Self::Blackbox(_)
            | Self::MeasuredRoofline(_)
            | Self::Quadratic(_)
            | Self::Roofline(_)
            | Self::TrainedPhysics(_) => Joining::NextStep,
        }
    }

    /// Duration of a step over these items, in batch order; at least 1 µs, at most [`MAX_STEP`].
    ///
    /// The plain way: item by item, in the specified order.
    #[must_use]
    #[inline]
    pub fn step_time(&self, items: &[StepItem]) -> i64 {
        let duration = match self {
            Self::Blackbox(model) => model.step_time(items),
            Self::Calibrated(model) => model.step_time(items),
            Self::MeasuredRoofline(model) => model.step_time(items),
            Self::Quadratic(model) => model.step_time(items),
            Self::Roofline(model) => model.step_time(items),
            Self::TrainedPhysics(model) => model.step_time(items),
        };
        duration.min(MAX_STEP)
    }

    /// How long steps of `num_decodes` decoding requests take as their context grows.
    #[inline]
    #[must_use]
    pub fn decode_stepper(&self, num_decodes: u32) -> DecodeStepper {
        match self {
            Self::Blackbox(model) => DecodeStepper::Constant(model.mixed_step_time(0, num_decodes).min(MAX_STEP)),
            Self::Calibrated(model) => DecodeStepper::Calibrated(model.decode_stepper(num_decodes)),
            Self::MeasuredRoofline(model) => DecodeStepper::MeasuredRoofline(model.decode_stepper(num_decodes)),
            Self::Quadratic(model) => DecodeStepper::Constant(model.mixed_step_time(num_decodes, &[]).min(MAX_STEP)),
            Self::Roofline(model) => DecodeStepper::Roofline(model.decode_stepper(num_decodes)),
            Self::TrainedPhysics(model) => DecodeStepper::TrainedPhysics(model.decode_stepper(num_decodes)),
        }
    }

    /// Duration of a step of `num_decodes` decoding requests, whose positions sum to `pos_sum`, together with the
    /// prefill items; `None` where rounding could matter.
    #[must_use]
    #[inline]
    pub fn mixed_step_time(&self, num_decodes: u32, pos_sum: u64, prefill: &[StepItem]) -> Option<i64> {
        let duration = match self {
            Self::Blackbox(model) => {
                let tokens = prefill.iter().map(|item| u64::from(item.tokens)).sum();
                model.mixed_step_time(tokens, num_decodes)
            }
            Self::Calibrated(model) => model.mixed_step_time(num_decodes, pos_sum, prefill),
            Self::MeasuredRoofline(model) => model.mixed_step_time(num_decodes, pos_sum, prefill),
            Self::Quadratic(model) => model.mixed_step_time(num_decodes, prefill),
            Self::Roofline(model) => model.mixed_step_time(num_decodes, pos_sum, prefill)?,
            Self::TrainedPhysics(model) => model.mixed_step_time(num_decodes, pos_sum, prefill),
        };
        Some(duration.min(MAX_STEP))
    }

    /// Names of the terms that busy time is split into, in the order of [`TimeShares`].
    #[must_use]
    pub fn time_share_names(&self) -> &'static [&'static str] {
        match self {
            Self::Blackbox(_) => &["fixed", "prefill", "decode"],
            Self::Calibrated(_) | Self::MeasuredRoofline(_) => &["fixed", "requests", "kv-cache", "matrices"],
            Self::Quadratic(_) => &["fixed", "prefill", "decode", "products"],
            Self::Roofline(_) => &["compute", "weights", "kv-cache"],
            Self::TrainedPhysics(_) => {
                &["prefill", "decode", "weights", "all-reduce", "layers", "requests", "fixed", "moe"]
            }
        }
    }

    /// Busy time by term, microseconds, scaled so that the terms sum to `busy`.
    #[must_use]
    pub fn time_shares(&self, work: &WorkSums, busy: u64) -> TimeShares {
        let mut shares = match self {
            Self::Blackbox(model) => model.time_shares(work),
            Self::Calibrated(model) => model.time_shares(work, busy),
            Self::MeasuredRoofline(model) => model.time_shares(work, busy),
            Self::Quadratic(model) => model.time_shares(work, busy),
            Self::Roofline(_) => roofline::time_shares(work),
            Self::TrainedPhysics(model) => model.time_shares(work),
        };
        let sum: f64 = shares.iter().sum();
        if sum > 0.0 {
            for share in &mut shares {
                *share *= busy as f64 / sum;
            }
        }
        shares
    }

    /// Counts the work of one step, for [`LatencyModel::time_shares`].
    #[inline]
    pub fn count_work(&self, work: &mut WorkSums, num_decodes: u32, pos_sum: u64, prefill: &[StepItem], duration: i64) {
        work.add_decodes(u64::from(num_decodes), pos_sum);
        for item in prefill {
            work.add_prefill(item);
        }
        match self {
            Self::Roofline(model) => model.count_bounds(work, num_decodes, pos_sum, prefill, 1, duration),
            Self::TrainedPhysics(model) => model.count_experts(work, num_decodes, prefill, 1),
            Self::Blackbox(_) | Self::Calibrated(_) | Self::MeasuredRoofline(_) | Self::Quadratic(_) => {}
        }
    }

    /// Whether all steps of a decode-only batch between these position sums count alike, so that
    /// [`LatencyModel::count_window`] may count them at once.
    #[inline]
    #[must_use]
    pub fn is_window_uniform(&self, num_decodes: u32, first_pos_sum: u64, last_pos_sum: u64) -> bool {
        match self {
            Self::Roofline(model) => {
                model.is_compute_bound(num_decodes, first_pos_sum) == model.is_compute_bound(num_decodes, last_pos_sum)
            }
            Self::Blackbox(_)
            | Self::Calibrated(_)
            | Self::MeasuredRoofline(_)
            | Self::Quadratic(_)
            | Self::TrainedPhysics(_) => true,
        }
    }

    /// Counts `steps` decode-only steps at once that took `duration` together; the first one's positions sum to
    /// `first_pos_sum`, and each further step adds one per request.
    #[inline]
    pub fn count_window(&self, work: &mut WorkSums, num_decodes: u32, first_pos_sum: u64, steps: u64, duration: i64) {
        // Runs are shorter than 2³² steps, so half of steps·(steps − 1) is a whole number below 2⁶³.
        let growth = product(u64::from(num_decodes), steps * steps.saturating_sub(1) / 2);
        work.steps += steps;
        work.decode_tokens += u64::from(num_decodes) * steps;
        work.decode_pos_sum += product(first_pos_sum, steps) + growth;
        match self {
            Self::Roofline(model) => model.count_bounds(work, num_decodes, first_pos_sum, &[], steps, duration),
            Self::TrainedPhysics(model) => model.count_experts(work, num_decodes, &[], steps),
            Self::Blackbox(_) | Self::Calibrated(_) | Self::MeasuredRoofline(_) | Self::Quadratic(_) => {}
        }
    }
}

impl DecodeStepper {
    /// Duration of a step whose positions sum to `pos_sum`; `None` where rounding could matter.
    #[inline]
    #[must_use]
    pub fn step_time(&self, pos_sum: u64) -> Option<i64> {
        let duration = match self {
            Self::Constant(duration) => *duration,
            Self::Calibrated(stepper) => stepper.step_time(pos_sum),
            Self::MeasuredRoofline(stepper) => stepper.step_time(pos_sum),
            Self::Roofline(stepper) => stepper.step_time(pos_sum)?,
            Self::TrainedPhysics(stepper) => stepper.step_time(pos_sum),
        };
        Some(duration.min(MAX_STEP))
    }
}

/// The decoding requests of a step, the sum of their positions, and what works on prompts.
fn apart(items: &[StepItem]) -> (u32, u64, Vec<StepItem>) {
    let prefill = items.iter().copied().filter(|item| item.is_prefill()).collect();
    let decodes = items.iter().filter(|item| !item.is_prefill());
    let (num_decodes, pos_sum) = decodes.fold((0, 0), |(count, sum), item| (count + 1, sum + u64::from(item.pos)));
    (num_decodes, pos_sum, prefill)
}

/// Reads three overhead coefficients; further ones are ignored.
fn three(name: &str, values: &[f64], diagnostics: &mut Vec<Diagnostic>) -> [f64; 3] {
    let mut three = [0.0; 3];
    fill(name, values, &mut three, 0.0..=MAX_COEFFICIENT, diagnostics);
    three
}

/// Reads as many coefficients as there are slots; further ones are ignored.
fn fill(name: &str, values: &[f64], slots: &mut [f64], range: RangeInclusive<f64>, diagnostics: &mut Vec<Diagnostic>) {
    if values.len() < slots.len() {
        diagnostics.push(
            Diagnostic::error(
                "coefficients-missing",
                name,
                alloc::format!("{} values given, {} are needed", values.len(), slots.len()),
            )
            .with_hint("give them all, e.g. 100, 1, 10"),
        );
    }
    for (index, (slot, value)) in slots.iter_mut().zip(values).enumerate() {
        *slot = within(name, index, *value, range.clone(), diagnostics);
    }
}

/// Longest step, microseconds: eleven days. A model that asks for more is absurd; the engines go on.
pub const MAX_STEP: i64 = 1_000_000_000_000;

/// Largest coefficient, microseconds per request, token or step: a thousand seconds.
const MAX_COEFFICIENT: f64 = 1e9;

/// A coefficient that is finite, not negative and not absurdly large, or a diagnostic and 0.
fn finite_non_negative(name: &str, index: usize, value: f64, diagnostics: &mut Vec<Diagnostic>) -> f64 {
    within(name, index, value, 0.0..=MAX_COEFFICIENT, diagnostics)
}

/// A coefficient within a range, or a diagnostic and 0.
fn within(name: &str, index: usize, value: f64, range: RangeInclusive<f64>, diagnostics: &mut Vec<Diagnostic>) -> f64 {
    if range.contains(&value) {
        return value;
    }
    diagnostics.push(
        Diagnostic::error(
            "coefficient-out-of-range",
            alloc::format!("{name}[{index}]"),
            alloc::format!("{value} is not a number from {} to {}", range.start(), range.end()),
        )
        .with_hint(
            "step times do not shrink with work, and are microseconds; those of the quadratic model are seconds",
        ),
    );
    0.0
}
