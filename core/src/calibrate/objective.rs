//! What a calibration minimizes.

use super::Prediction;
use crate::measurement::{ArrivalSource, Measurement, RunFigures, percentile};
use alloc::vec::Vec;
use core::cmp::Ordering;
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

impl Objective {
    /// All of them, the default first.
    pub const ALL: [Self; 3] = [Self::LogRatio, Self::Mape, Self::Mse];

    /// Its name in files and on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::LogRatio => "log-ratio",
            Self::Mape => "mape",
            Self::Mse => "mse",
        }
    }

    /// What it is, in a few words.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::LogRatio => "robust, of requests and runs",
            Self::Mape => "absolute error (%), as in 2025",
            Self::Mse => "squared error (ms²), as in 2025",
        }
    }

    /// The objective of this name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|objective| objective.name() == name)
    }
}

/// How much each metric counts in [`Objective::LogRatio`], as a multiple of what it usually does; the other objectives
/// have the weights of their source.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Weights {
    /// Time to first token.
    pub ttft: f64,
    /// Time per output token.
    pub tpot: f64,
    /// End-to-end latency.
    pub e2e: f64,
}

impl Weights {
    /// The largest weight.
    pub const MAX: f64 = 100.0;
    /// Names of the weights in the order of [`Weights::values`].
    pub const NAMES: [&'static str; 3] = ["ttft", "tpot", "e2e"];

    /// The weights in the order of their names.
    #[must_use]
    pub fn values(self) -> [f64; 3] {
        [self.ttft, self.tpot, self.e2e]
    }

    /// The weights of these values.
    #[must_use]
    pub fn of_values([ttft, tpot, e2e]: [f64; 3]) -> Self {
        Self { ttft, tpot, e2e }
    }

    /// Whether a search can go by them: each from 0 to [`Weights::MAX`], and not all 0.
    #[must_use]
    pub fn is_usable(self) -> bool {
        let values = self.values();
        values.iter().all(|weight| (0.0..=Self::MAX).contains(weight)) && values.iter().any(|weight| *weight > 0.0)
    }
}

impl Default for Weights {
    fn default() -> Self {
        Self { ttft: 1.0, tpot: 1.0, e2e: 1.0 }
    }
}

/// A run and what a candidate makes of it.
pub(super) struct Compared<'a> {
    pub run: &'a Measurement,
    pub measured: &'a RunFigures,
    /// Which requests found nobody in flight.
    pub found_idle: &'a [bool],
    pub prediction: Prediction,
    /// What the 2025 simulator added to the decoding time when it reported TPOT, microseconds.
    pub reported_decoding: f64,
}

/// Picks a figure of a run.
type Figure = fn(&RunFigures) -> Option<f64>;
/// Picks the weight of its metric.
type Weight = fn(Weights) -> f64;

/// Weights of the log-ratios of a run: each error is divided by what counts as a good one.
///
/// Means are told apart to about a percent by repeats of a run of a hundred requests, TTFTs to a few percent and their
/// tails to more (accuracy goals, measured repeatability); a good error is of that size.
const GOOD: [(f64, Figure, Weight); 6] = [
    (0.01, |figures| figures.tpot_mean, |weights| weights.tpot),
    (0.01, |figures| figures.e2e_mean, |weights| weights.e2e),
    (0.03, |figures| figures.ttft_mean, |weights| weights.ttft),
    (0.06, |figures| figures.ttft_p50, |weights| weights.ttft),
    (0.25, |figures| figures.ttft_p99, |weights| weights.ttft),
    (0.04, |figures| figures.e2e_p99, |weights| weights.e2e),
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
    /// The loss of all runs; infinite if a request that was served in reality is not served in the simulation.
    #[must_use]
    pub(super) fn loss(self, weights: Weights, runs: &[Compared<'_>]) -> f64 {
        let mut latencies = runs.iter().flat_map(|compared| &compared.prediction.latencies);
        if latencies.any(|latency| latency.e2e.is_none()) {
            return f64::INFINITY;
        }
        match self {
            Self::LogRatio => runs.iter().map(|compared| log_ratios(compared, weights)).sum(),
            Self::Mape | Self::Mse => eight_vectors(runs, self == Self::Mape),
        }
    }

    /// Whether what is expected of coefficients counts: only a loss in units of usual errors is a likelihood, which may be
    /// weighed against it.
    #[must_use]
    pub(super) fn is_likelihood(self) -> bool {
        self == Self::LogRatio
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

fn log_ratios(compared: &Compared<'_>, weights: Weights) -> f64 {
    let Compared { run, measured, found_idle, prediction, .. } = compared;
    let predicted = prediction.figures();
    let mut loss: f64 = GOOD
        .iter()
        .filter_map(|(good, figure, weight)| {
            Some(weight(weights) * robust(log_ratio(figure(&predicted), figure(measured))? / good))
        })
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
    for ((sum, count), weight) in [(tpots, weights.tpot), (ttfts, weights.ttft)] {
        if count > 0 {
            loss += weight * REQUEST_WEIGHT * sum / f64::from(count);
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
        loss += weights.ttft * robust(sum / f64::from(count) / libm::sqrt(GOOD_IDLE_TTFT * GOOD_IDLE_TTFT + one));
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

/// A real and a simulated vector of the 2025 optimizer.
#[derive(Default)]
struct Vectors {
    real: Vec<f64>,
    simulated: Vec<f64>,
}

impl Vectors {
    fn add(&mut self, real: Option<f64>, simulated: Option<f64>) {
        self.real.extend(real);
        self.simulated.extend(simulated);
    }

    /// None where the vector is skipped: reality has fewer values, or none that counts. Infinite where the simulation has
    /// fewer.
    fn error(&self, is_mape: bool) -> Option<f64> {
        match self.real.len().cmp(&self.simulated.len()) {
            Ordering::Less => return None,
            Ordering::Greater => return Some(f64::INFINITY),
            Ordering::Equal => {}
        }
        let pairs = self.real.iter().zip(&self.simulated);
        let errors = pairs
            .filter(|(real, _)| !is_mape || **real > 0.0)
            .map(|(real, sim)| if is_mape { (sim - real).abs() / real } else { (sim - real) * (sim - real) });
        let (sum, count) = errors.fold((0.0, 0u32), |(sum, count), error| (sum + error, count + 1));
        (count > 0).then(|| sum / f64::from(count))
    }
}

/// The form of the 2025 optimizer: over all runs together, the vectors of their medians, means and 99th percentiles of
/// TTFT and of TPOT, and of every single TTFT and TPOT, milliseconds. The mean over the vectors of the mean error.
fn eight_vectors(runs: &[Compared<'_>], is_mape: bool) -> f64 {
    let mut vectors: [Vectors; 8] = core::array::from_fn(|_| Vectors::default());
    for compared in runs {
        let requests = || compared.run.requests.iter().zip(&compared.prediction.latencies);
        let ttfts =
            requests().map(|(real, sim)| (real.ttft.map(|ttft| ttft.as_millis()), sim.ttft.map(|ttft| ttft / 1e3)));
        let decoding = requests().filter(|(real, _)| real.output_tokens >= 2);
        let tpots = decoding.map(|(real, sim)| {
            let extra = compared.reported_decoding / f64::from(real.output_tokens - 1);
            (real.tpot().map(|tpot| tpot / 1e3), sim.tpot().map(|tpot| (tpot + extra) / 1e3))
        });
        let (of_ttft, of_tpot) = vectors.split_at_mut(4);
        add_run(of_ttft, &ttfts.collect::<Vec<Pair>>());
        add_run(of_tpot, &tpots.collect::<Vec<Pair>>());
    }
    let (sum, count) = vectors
        .iter()
        .filter_map(|vector| vector.error(is_mape))
        .fold((0.0, 0u32), |(sum, count), error| (sum + error, count + 1));
    if count > 0 { sum / f64::from(count) } else { 0.0 }
}

/// A real and a simulated value, milliseconds.
type Pair = (Option<f64>, Option<f64>);

/// Adds a run's median, mean, 99th percentile and single values of one metric to its four vectors.
fn add_run(vectors: &mut [Vectors], pairs: &[Pair]) {
    let sorted = |pick: fn(&Pair) -> Option<f64>| {
        let mut values: Vec<f64> = pairs.iter().filter_map(pick).collect();
        values.sort_by(f64::total_cmp);
        values
    };
    let (real, simulated) = (sorted(|pair| pair.0), sorted(|pair| pair.1));
    let mean = |values: &[f64]| (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64);
    if let [median, average, tail, single] = vectors {
        median.add(percentile(&real, 50.0), percentile(&simulated, 50.0));
        average.add(mean(&real), mean(&simulated));
        tail.add(percentile(&real, 99.0), percentile(&simulated, 99.0));
        pairs.iter().for_each(|(real, simulated)| single.add(*real, *simulated));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measurement::{LogFormat, MeasuredRequest, RequestLatency};
    use crate::time::SimTime;

    #[test]
    fn robust_errors_are_square_at_first_and_straight_later() {
        assert!((robust(0.01) - 1e-4).abs() < 1e-8);
        assert!((robust(1000.0) - 1998.0).abs() < 0.01);
    }

    fn vector(real: &[f64], simulated: &[f64]) -> Vectors {
        Vectors { real: real.to_vec(), simulated: simulated.to_vec() }
    }

    #[test]
    fn vectors_by_hand() {
        assert!((vector(&[10.0, 20.0], &[11.0, 16.0]).error(true).unwrap() - 0.15).abs() < 1e-12);
        assert_eq!(vector(&[10.0, 20.0], &[11.0, 16.0]).error(false), Some(8.5));
        assert_eq!(vector(&[0.0], &[11.0]).error(true), None);
        // Fewer real values: skipped; fewer simulated ones: infinitely bad.
        assert_eq!(vector(&[1.0], &[1.0, 2.0]).error(true), None);
        assert_eq!(vector(&[1.0, 2.0], &[1.0]).error(true), Some(f64::INFINITY));
    }

    #[test]
    fn the_eight_vectors_run_over_all_runs_together() {
        // Milliseconds: TTFTs of 10 and 20 against 11 and 22; 100 against 120. TPOTs of 5 and none (one token), against 6
        // and none; 8 against 8. The decoding of 2 tokens after the first is reported 2 ms longer.
        let request = |ttft: i64, decode: i64, output_tokens| MeasuredRequest {
            arrive: SimTime(0),
            send: SimTime(0),
            input_tokens: 1,
            output_tokens,
            ttft: Some(SimTime(ttft * 1000)),
            e2e: Some(SimTime((ttft + decode) * 1000)),
            session: None,
            gaps: 0..0,
        };
        let latency = |ttft: f64, decode: f64, output_tokens| RequestLatency {
            ttft: Some(ttft * 1e3),
            e2e: Some((ttft + decode) * 1e3),
            output_tokens,
        };
        let mut runs = [Measurement::new("a", LogFormat::VllmBench), Measurement::new("b", LogFormat::VllmBench)];
        runs[0].requests = alloc::vec![request(10, 10, 3), request(20, 0, 1)];
        runs[1].requests = alloc::vec![request(100, 16, 3)];
        let predicted =
            [alloc::vec![latency(11.0, 10.0, 3), latency(22.0, 0.0, 1)], alloc::vec![latency(120.0, 14.0, 3)]];
        let figures = RunFigures::default();
        let compared: Vec<Compared<'_>> = runs
            .iter()
            .zip(&predicted)
            .map(|(run, latencies)| Compared {
                run,
                measured: &figures,
                found_idle: &[],
                prediction: Prediction { latencies: latencies.clone(), span_s: 1.0, steps: 1 },
                reported_decoding: 2000.0,
            })
            .collect();
        // TTFT: medians 15, 100 against 16.5, 120; means the same; p99 19.9, 100 against 21.89, 120: each (0.1 + 0.2)/2.
        // Singles (0.1 + 0.1 + 0.2)/3. TPOT: all vectors 5, 8 against 6, 8: (0.2 + 0)/2.
        let expected = (3.0 * 0.15 + 0.4 / 3.0 + 4.0 * 0.1) / 8.0;
        assert!((Objective::Mape.loss(Weights::default(), &compared) - expected).abs() < 1e-12);
        // Squares: medians and means (2.25 + 400)/2, p99 (1.99² + 400)/2, singles (1 + 4 + 400)/3; TPOT (1 + 0)/2.
        let expected = (2.0 * 201.125 + (1.99 * 1.99 + 400.0) / 2.0 + 135.0 + 4.0 * 0.5) / 8.0;
        assert!((Objective::Mse.loss(Weights::default(), &compared) - expected).abs() < 1e-9);
    }

    #[test]
    fn weights_count_a_metric_more_often_or_not_at_all() {
        // Two requests, each after the other: TTFTs of 100 ms against 150, TPOTs of 10 ms against 10.
        let request = |send: i64| MeasuredRequest {
            arrive: SimTime(send),
            send: SimTime(send),
            input_tokens: 1,
            output_tokens: 11,
            ttft: Some(SimTime(100_000)),
            e2e: Some(SimTime(200_000)),
            session: None,
            gaps: 0..0,
        };
        let mut run = Measurement::new("a", LogFormat::VllmBench);
        run.requests = alloc::vec![request(0), request(1_000_000)];
        let measured = RunFigures::of_measurement(&run);
        let latency = RequestLatency { ttft: Some(150e3), e2e: Some(250e3), output_tokens: 11 };
        let prediction = Prediction { latencies: alloc::vec![latency; 2], span_s: 1.25, steps: 1 };
        let loss = |ttft, tpot, e2e| {
            let (run, measured, prediction) = (&run, &measured, prediction.clone());
            let compared = Compared { run, measured, found_idle: &[], prediction, reported_decoding: 0.0 };
            Objective::LogRatio.loss(Weights { ttft, tpot, e2e }, &[compared])
        };
        let error = |measured: f64, predicted: f64, good: f64| robust(libm::log(predicted / measured) / good);
        let of_ttft = [0.03, 0.06, 0.25].iter().map(|good| error(100.0, 150.0, *good)).sum::<f64>()
            + 3.0 * error(100.0, 150.0, 0.10);
        let of_e2e = error(200.0, 250.0, 0.01) + error(200.0, 250.0, 0.04);
        assert!((loss(1.0, 0.0, 0.0) - of_ttft).abs() < 1e-9);
        assert!((loss(0.0, 0.0, 1.0) - of_e2e).abs() < 1e-9);
        assert!((loss(2.0, 5.0, 0.5) - (2.0 * of_ttft + 0.5 * of_e2e)).abs() < 1e-9);
        assert!(loss(0.0, 1.0, 0.0).abs() < 1e-9, "every TPOT is right");
        assert!(!Weights::of_values([0.0; 3]).is_usable() && !Weights::of_values([-1.0, 1.0, 1.0]).is_usable());
        assert!(Weights::default().is_usable() && !Weights::of_values([1.0, 1.0, 101.0]).is_usable());
    }
}
