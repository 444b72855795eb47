//! How well the logs determine each coefficient.

use super::moments::{Gaps, RequestWeights};
use super::posterior::{Axis, Look, Picture};
use super::{Parameter, Prediction, Problem};
use crate::random::{Purpose, Seed, Stream};
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Times the neighborhood of the best point is looked at, each time where the looks before it leave the coefficients.
const ROUNDS: usize = 7;
/// How many times larger variances count in the first rounds, so that looks go far before they go close.
const WIDER: [f64; 3] = [16.0, 4.0, 2.0];
/// Rounds whose looks make a picture together.
const ROUNDS_OF_PICTURE: usize = 3;
/// Looks of a round for every unknown of a picture.
const LOOKS: usize = 16;
/// Spread of the first looks in standard deviations of what is expected of a coefficient, and its bounds as a share of the
/// searched range.
const SPREAD: f64 = 0.4;
const SPREAD_BOUNDS: (f64, f64) = (0.004, 0.04);
/// Draws of the last picture.
const DRAWS: usize = 1000;
/// Share of the draws beyond each end of a 95 % interval. It would be 0.025 if the picture were the whole truth and every
/// coefficient came from where it is expected; 0.01 was chosen on simulated servers other than those of
/// docs/calibration.md.
const BEYOND: f64 = 0.01;
/// Standard deviation of a coordinate of which nothing is expected: that of evenly spread values, √(1/12).
const EVEN_DEVIATION: f64 = 0.288_675;
/// Share of what was expected of a coefficient that the logs must tell for it to count as determined.
const LEAST_TOLD: f64 = 0.5;
/// Correlation from which two coefficients cannot be told apart.
const ENTANGLED: f64 = 0.95;

/// The interval of a coefficient.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interval {
    /// Name of the coefficient.
    pub name: String,
    /// Ends of the 95 % interval, in the unit of the coefficient; held within the searched range.
    pub ends: [f64; 2],
    /// Whether the logs tell less than half of what was uncertain before, so that the interval is what was expected.
    pub is_open: bool,
    /// Coefficients that can take its place: those whose correlation with it is above 0.95 in size.
    pub entangled_with: Vec<String>,
}

/// What is known of a coordinate beforehand.
fn axis(parameter: &Parameter) -> Axis {
    let range = libm::log(parameter.high / parameter.low);
    let log_range = (parameter.is_log && range > 0.0).then_some(range);
    let (expected, deviation) = match (parameter.center, log_range) {
        (Some((center, spread)), Some(range)) => (parameter.coordinate(center), spread / range),
        _ => (0.5, EVEN_DEVIATION),
    };
    Axis { log_range, expected, deviation }
}

impl Problem {
    /// 95 % intervals of the coefficients around the best point of a search, in the order of the space.
    ///
    /// A coefficient of a kind has an interval of no width. A problem without runs has no intervals.
    ///
    /// # Cost
    /// About 1,350 evaluations for eleven coefficients.
    ///
    /// # Source
    /// Sums over requests (`moments`) are compared with noise of the size that single requests show, and what is expected
    /// of each coefficient is a prior; intervals are quantiles of draws from the posterior (Gelman et al., *Bayesian Data
    /// Analysis*, chapter 10). Where the sums are off by more than their noise, no coefficients of the model explain the
    /// server, and all noise counts that much larger (Birge 1932).
    #[must_use]
    pub fn intervals(&self, best: &[f64]) -> Vec<Interval> {
        let parameters = &self.space.parameters;
        if best.len() != parameters.len() || self.runs.is_empty() {
            return Vec::new();
        }
        let free: Vec<usize> = (0..best.len()).filter(|axis| !parameters[*axis].is_choice).collect();
        let axes: Vec<Axis> = free.iter().map(|at| axis(&parameters[*at])).collect();
        let draws = Neighborhood::new(self, best, &free, &axes).and_then(|near| near.draws()).unwrap_or_default();
        let covariance = covariance(&draws, free.len());
        let interval = |(at, parameter): (usize, &Parameter)| {
            let place = free.iter().position(|free| *free == at);
            let mut drawn: Vec<f64> = draws.iter().filter_map(|draw| Some(draw[place?])).collect();
            drawn.sort_by(f64::total_cmp);
            let beyond = (BEYOND * drawn.len() as f64) as usize;
            let ends = [drawn.get(beyond), drawn.iter().rev().nth(beyond)].map(|end| *end.unwrap_or(&best[at]));
            // The fit itself is as likely as what minimizes another sum of errors.
            let ends = [ends[0].min(best[at]), ends[1].max(best[at])];
            let is_open = place.is_some_and(|at| {
                let before = axes[at].deviation * axes[at].deviation;
                draws.is_empty() || covariance[at][at] > (1.0 - LEAST_TOLD) * before
            });
            let is_entangled = |at: usize, other: usize| {
                let scale = libm::sqrt(covariance[at][at] * covariance[other][other]);
                at != other && scale > 0.0 && covariance[at][other].abs() > ENTANGLED * scale
            };
            let others = (0..free.len()).filter(|other| place.is_some_and(|at| is_entangled(at, *other)));
            Interval {
                name: parameter.name.clone(),
                ends: ends.map(|end| parameter.value(end)),
                is_open,
                entangled_with: others.map(|other| parameters[free[other]].name.clone()).collect(),
            }
        };
        parameters.iter().enumerate().map(interval).collect()
    }
}

/// The points around the best one.
struct Neighborhood<'a> {
    problem: &'a Problem,
    best: &'a [f64],
    /// Places of the axes in a point.
    free: &'a [usize],
    axes: &'a [Axis],
    /// How much each request counts, by run.
    weights: Vec<RequestWeights>,
}

impl<'a> Neighborhood<'a> {
    /// None if the logs' requests are not served at the best point.
    fn new(problem: &'a Problem, best: &'a [f64], free: &'a [usize], axes: &'a [Axis]) -> Option<Self> {
        let found = problem.predictions(best)?;
        let weights = problem.runs.iter().zip(&found).map(|(run, found)| run.moments.weights(found)).collect();
        Some(Self { problem, best, free, axes, weights })
    }

    /// The sums where the axes are at these coordinates; none if a request is not served there.
    fn gaps(&self, point: &[f64]) -> Option<Gaps> {
        let mut whole = self.best.to_vec();
        self.free.iter().zip(point).for_each(|(at, x)| whole[*at] = *x);
        let found = self.problem.predictions(&whole)?;
        let runs = self.problem.runs.iter().zip(&found).zip(&self.weights);
        let of = |((run, found), weights): ((&super::fit::Observed, &Prediction), _)| run.moments.gaps(found, weights);
        Some(runs.flat_map(of).collect())
    }

    /// Draws from the posterior of the axes' coordinates; none if hardly any point around serves the logs' requests.
    fn draws(&self) -> Option<Vec<Vec<f64>>> {
        let mut stream = Stream::new(Seed { seed: 0, replicate: 0 }, Purpose::Search);
        let mut center: Vec<f64> = self.free.iter().map(|at| self.best[*at]).collect();
        let count = LOOKS * (self.axes.len() + 1);
        let beside = |(axis, x): (&Axis, &f64), stream: &mut Stream| {
            let spread = (SPREAD * axis.deviation).clamp(SPREAD_BOUNDS.0, SPREAD_BOUNDS.1);
            (x + spread * stream.normal()).clamp(0.0, 1.0)
        };
        let around = |_| self.axes.iter().zip(&center).map(|pair| beside(pair, &mut stream)).collect();
        let mut points: Vec<Vec<f64>> = (0..count).map(around).collect();
        let mut looks: Vec<Vec<Look>> = Vec::new();
        let mut excess = 1.0;
        for round in 0.. {
            let look = |point: Vec<f64>| {
                let gaps = self.gaps(&point)?.into_iter().map(|(gap, _)| gap).collect();
                Some(Look { point, gaps })
            };
            looks.push(core::mem::take(&mut points).into_iter().filter_map(look).collect());
            let near: Vec<&Look> = looks.iter().rev().take(ROUNDS_OF_PICTURE).flatten().collect();
            let noise: Vec<f64> = self.gaps(&center)?.into_iter().map(|(_, noise)| noise).collect();
            let picture = Picture::new(self.axes, center.clone(), &near, &noise)?;
            let wider = excess * WIDER.get(round).unwrap_or(&1.0);
            center = picture.most_likely(&center, wider);
            points = picture.draws(&center, wider, count, &mut stream);
            // What is told of a coefficient takes up a part of a degree of freedom.
            let variances = covariance(&points, self.axes.len());
            let told = self
                .axes
                .iter()
                .enumerate()
                .map(|(at, axis)| (1.0 - variances[at][at] / (axis.deviation * axis.deviation)).max(0.0));
            let degrees = (noise.len() as f64 - told.sum::<f64>()).max(1.0);
            excess = (picture.squares(&center) / degrees).max(1.0);
            if round + 1 == ROUNDS {
                return Some(picture.draws(&center, excess, DRAWS, &mut stream));
            }
        }
        None
    }
}

/// How so many coordinates of the draws vary together; 0 without draws.
fn covariance(draws: &[Vec<f64>], count: usize) -> Vec<Vec<f64>> {
    let share = 1.0 / draws.len().max(1) as f64;
    let mean = |at: usize| draws.iter().map(|draw| draw[at]).sum::<f64>() * share;
    let means: Vec<f64> = (0..count).map(mean).collect();
    let mut sums = vec![vec![0.0; count]; count];
    for draw in draws {
        for (a, sums) in sums.iter_mut().enumerate() {
            let distance = (draw[a] - means[a]) * share;
            sums.iter_mut().zip(draw.iter().zip(&means)).for_each(|(sum, (x, mean))| *sum += distance * (x - mean));
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coordinates_that_vary_together_do_so_by_hand() {
        // Means of 2 and 1; squares of 1, 1, 0 and 4, 0, 4; products of -2, 0, 0 shared by three.
        let draws = vec![vec![1.0, 3.0], vec![3.0, 1.0], vec![2.0, -1.0]];
        let found = covariance(&draws, 2);
        let expected = [[2.0 / 3.0, -2.0 / 3.0], [-2.0 / 3.0, 8.0 / 3.0]];
        for (found, expected) in found.iter().flatten().zip(expected.iter().flatten()) {
            assert!((found - expected).abs() < 1e-12, "{found} {expected}");
        }
        assert_eq!(covariance(&[], 1), vec![vec![0.0]]);
    }
}
