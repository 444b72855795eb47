//! What a calibration minimizes.

use super::Prediction;
use crate::measurement::{ArrivalSource, Measurement, RunFigures};
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// How the difference between measured and simulated runs is summed up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Objective {
    /// Robust sum of weighted log-ratios at run and request level.
    #[default]
    LogRatio,
    /// The 2025 optimizer's mean absolute percentage error over its eight vectors, as a fraction.
    Mape,
    /// Its mean squared error over the same vectors, milliseconds squared.
    Mse,
}

/// Picks a figure of a run.
type Figure = fn(&RunFigures) -> Option<f64>;

/// Weights of the log-ratios of a run: each error is divided by what counts as a good one.
///
/// Means are told apart to about a percent by repeats of a run of a hundred requests, TTFTs to a few percent and their
/// tails to more (accuracy goals, measured repeatability); a good error is of that size.
const GOOD: [(f64, Figure); 6] = [
    (0.01, |figures| figures.tpot_mean),
    (0.01, |figures| figures.e2e_mean),
    (0.03, |figures| figures.ttft_mean),
    (0.06, |figures| figures.ttft_p50),
    (0.25, |figures| figures.ttft_p99),
    (0.04, |figures| figures.e2e_p99),
];
/// The same for single requests, whose errors are larger.
const GOOD_REQUEST_TPOT: f64 = 0.05;
const GOOD_REQUEST_TTFT: f64 = 0.10;
/// Single requests count this many times as much as a figure of the run: they alone tell what a request meets.
const REQUEST_WEIGHT: f64 = 3.0;
/// A good error of the mean TTFT of those who found nobody in flight, and what one of them alone may add to it.
const GOOD_IDLE_TTFT: f64 = 0.03;
const GOOD_ONE_IDLE_TTFT: f64 = 0.08;
/// The first request of a run may have paid for connections and warm-up, so what it took longer counts half.
const SLOW_FIRST_SHARE: f64 = 0.5;

impl Objective {
    /// The loss of one run; infinite if a request that was served in reality is not served in the simulation.
    #[must_use]
    pub(super) fn loss(
        self,
        run: &Measurement,
        measured: &RunFigures,
        found_idle: &[bool],
        prediction: &Prediction,
    ) -> f64 {
        let count = prediction.latencies.len();
        let is_served = prediction.latencies.iter().all(|latency| latency.e2e.is_some());
        if !is_served {
            return f64::INFINITY;
        }
        match self {
            Self::LogRatio => log_ratios(run, measured, found_idle, prediction),
            Self::Mape | Self::Mse => eight_vectors(run, prediction, count, self == Self::Mape),
        }
    }
}

/// Grows as the square of small errors and in proportion to large ones, so that one bad run cannot bend all others.
fn robust(error: f64) -> f64 {
    2.0 * (libm::sqrt(1.0 + error * error) - 1.0)
}

fn log_ratio(predicted: Option<f64>, measured: Option<f64>) -> Option<f64> {
    let (predicted, measured) = (predicted?, measured?);
    (predicted > 0.0 && measured > 0.0).then(|| libm::log(predicted / measured))
}

fn log_ratios(run: &Measurement, measured: &RunFigures, found_idle: &[bool], prediction: &Prediction) -> f64 {
    let predicted = prediction.figures();
    let mut loss: f64 = GOOD
        .iter()
        .filter_map(|(good, figure)| Some(robust(log_ratio(figure(&predicted), figure(measured))? / good)))
        .sum();
    if run.arrivals == ArrivalSource::Assumed {
        return loss;
    }
    let (mut tpots, mut ttfts) = ((0.0, 0u32), (0.0, 0u32));
    for (request, latency) in run.requests.iter().zip(&prediction.latencies) {
        let ttft = log_ratio(latency.ttft, request.ttft.map(|ttft| ttft.0 as f64));
        for (sum, ratio, good) in [
            (&mut tpots, log_ratio(latency.tpot(), request.tpot()), GOOD_REQUEST_TPOT),
            (&mut ttfts, ttft, GOOD_REQUEST_TTFT),
        ] {
            if let Some(ratio) = ratio {
                sum.0 += robust(ratio / good);
                sum.1 += 1;
            }
        }
    }
    for (sum, count) in [tpots, ttfts] {
        if count > 0 {
            loss += REQUEST_WEIGHT * sum / f64::from(count);
        }
    }
    let (mut sum, mut count) = (0.0, 0u32);
    for (at, (request, latency)) in run.requests.iter().zip(&prediction.latencies).enumerate() {
        let ratio = log_ratio(latency.ttft, request.ttft.map(|ttft| ttft.0 as f64));
        let (Some(ratio), true) = (ratio, found_idle.get(at).is_some_and(|is_idle| *is_idle)) else { continue };
        sum += if at == 0 && ratio < 0.0 { ratio * SLOW_FIRST_SHARE } else { ratio };
        count += 1;
    }
    if count > 0 {
        let one = GOOD_ONE_IDLE_TTFT * GOOD_ONE_IDLE_TTFT / f64::from(count);
        loss += robust(sum / f64::from(count) / libm::sqrt(GOOD_IDLE_TTFT * GOOD_IDLE_TTFT + one));
    }
    loss
}

/// Which requests were sent when no other was in flight.
pub(super) fn found_idle(run: &Measurement) -> Vec<bool> {
    let mut last_end = i64::MIN;
    let sent = run.requests.iter().map(|request| {
        let is_idle = last_end <= request.send.0;
        last_end = last_end.max(request.e2e.map_or(i64::MAX, |e2e| request.send.0.saturating_add(e2e.0)));
        is_idle
    });
    sent.collect()
}

/// The form of the 2025 optimizer: medians, means and 99th percentiles of TTFT and TPOT of the run, and every single one.
fn eight_vectors(run: &Measurement, prediction: &Prediction, count: usize, is_mape: bool) -> f64 {
    let measured: Vec<(Option<f64>, Option<f64>)> = run
        .requests
        .iter()
        .take(count)
        .map(|request| (request.ttft.map(|ttft| ttft.as_millis()), request.tpot().map(|tpot| tpot / 1e3)))
        .collect();
    let simulated: Vec<(Option<f64>, Option<f64>)> = prediction
        .latencies
        .iter()
        .map(|latency| (latency.ttft.map(|ttft| ttft / 1e3), latency.tpot().map(|tpot| tpot / 1e3)))
        .collect();
    let mut errors = Vec::new();
    for pick in [|pair: &(Option<f64>, Option<f64>)| pair.0, |pair: &(Option<f64>, Option<f64>)| pair.1] {
        let pairs: Vec<(f64, f64)> =
            measured.iter().zip(&simulated).filter_map(|(m, s)| Some((pick(m)?, pick(s)?))).collect();
        let (mut real, mut sim): (Vec<f64>, Vec<f64>) = pairs.iter().copied().unzip();
        errors.push(vector_error(&pairs, is_mape));
        real.sort_by(f64::total_cmp);
        sim.sort_by(f64::total_cmp);
        for p in [50.0, 99.0] {
            let both = crate::measurement::percentile(&real, p).zip(crate::measurement::percentile(&sim, p));
            errors.push(vector_error(both.as_slice(), is_mape));
        }
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
        errors.push(vector_error(&[(mean(&real), mean(&sim))], is_mape));
    }
    errors.iter().sum::<f64>() / errors.len() as f64
}

fn vector_error(pairs: &[(f64, f64)], is_mape: bool) -> f64 {
    let errors = pairs
        .iter()
        .filter(|(real, _)| !is_mape || *real > 0.0)
        .map(|(real, sim)| if is_mape { (sim - real).abs() / real } else { (sim - real) * (sim - real) });
    let (sum, count) = errors.fold((0.0, 0u32), |(sum, count), error| (sum + error, count + 1));
    if count > 0 { sum / f64::from(count) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn robust_errors_are_square_at_first_and_straight_later() {
        assert!((robust(0.01) - 1e-4).abs() < 1e-8);
        assert!((robust(1000.0) - 1998.0).abs() < 0.01);
    }

    #[test]
    fn vectors_by_hand() {
        assert!((vector_error(&[(10.0, 11.0), (20.0, 16.0)], true) - 0.15).abs() < 1e-12);
        assert_eq!(vector_error(&[(10.0, 11.0), (20.0, 16.0)], false), 8.5);
        assert_eq!(vector_error(&[(0.0, 11.0)], true), 0.0);
    }
}
