//! How well the logs determine each coefficient.

use super::moments::Gaps;
use super::{Parameter, Prediction, Problem};
use crate::search::symmetric_eigen;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Times the neighborhood of the best point is looked at, each time around the point that the look before found better.
const ROUNDS: usize = 7;
/// The last looks, whose centers are averaged; how they differ is what the simulation's own moments of steps leave open.
const LAST_ROUNDS: usize = 3;
/// A step in standard deviations of what is expected of a coefficient, and its bounds as a share of the searched range.
const STEP: f64 = 0.4;
const STEP_BOUNDS: (f64, f64) = (0.004, 0.04);
/// Distances of the points of a look, in steps.
const DISTANCES: [f64; 6] = [0.7, 0.9, 1.1, 0.8, 1.0, 1.2];
/// Distance of points that are as good as the center, but start their steps at other moments: how their sums differ is
/// what the server's own sums owe to chance, beside the noise of single requests.
const HARDLY: f64 = 0.05;
/// Furthest move between looks, in steps.
const FURTHEST: f64 = 4.0;
/// What the noise of slopes alone may seem to tell of a direction, in units of what is expected of it: at least this, and
/// twice the standard deviation that the two halves of the points show.
const LEAST_SEEMING: f64 = 4.0;
/// Half the width of a 95 % interval in standard deviations. Student's with 16 degrees of freedom, which is what the sums of
/// three runs leave beside the coefficients they determine, is 2.12; the rest is for what a straight and normal picture of
/// the neighborhood leaves out, and was chosen on simulated servers other than those of docs/calibration.md.
const WIDTH_95: f64 = 2.7;
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

/// A linear picture of the sums around a point.
struct Picture {
    /// Measured less predicted, and the noise of each.
    gaps: Gaps,
    /// How the predictions change along each axis, by sum; twice, from points of their own.
    slopes: [Vec<Vec<f64>>; 2],
}

/// What is known of a coordinate beforehand: where it is expected, and the standard deviation.
fn expected(parameter: &Parameter) -> (f64, f64) {
    let range = libm::log(parameter.high / parameter.low);
    match parameter.center {
        Some((center, spread)) if parameter.is_log && range > 0.0 => (parameter.coordinate(center), spread / range),
        _ => (0.5, EVEN_DEVIATION),
    }
}

impl Problem {
    /// 95 % intervals of the coefficients around the best point of a search, in the order of the space.
    ///
    /// A coefficient of a kind has an interval of no width. A problem without runs has no intervals.
    ///
    /// # Cost
    /// About 1,600 evaluations for eleven coefficients.
    ///
    /// # Source
    /// Sums over requests (`moments`) are linear in the coefficients near the best point. With normal noise of the size
    /// that single requests show, and what is expected of each coefficient as a prior, their posterior is normal
    /// (Gauss–Newton; Gelman et al., *Bayesian Data Analysis*, 4.1). Where the sums are off by more than their noise, no
    /// coefficients of the model explain the server, and all noise counts that much larger (Birge 1932).
    #[must_use]
    pub fn intervals(&self, best: &[f64]) -> Vec<Interval> {
        let parameters = &self.space.parameters;
        if best.len() != parameters.len() || self.runs.is_empty() {
            return Vec::new();
        }
        let free: Vec<usize> = (0..best.len()).filter(|axis| !parameters[*axis].is_choice).collect();
        let beforehand: Vec<(f64, f64)> = free.iter().map(|axis| expected(&parameters[*axis])).collect();
        let scale: Vec<f64> = beforehand.iter().map(|(_, deviation)| *deviation).collect();
        let step = |deviation: &f64| (STEP * deviation).clamp(STEP_BOUNDS.0, STEP_BOUNDS.1);
        let steps: Vec<f64> = scale.iter().map(step).collect();
        let mut center = best.to_vec();
        let mut posterior = Vec::new();
        let mut excess = 1.0;
        let mut last = Vec::new();
        for round in 0..ROUNDS {
            let Some(picture) = self.picture(&center, &free, &steps) else { break };
            let distance =
                |(axis, (expected, deviation)): (&usize, &(f64, f64))| (center[*axis] - expected) / deviation;
            let pull: Vec<f64> = free.iter().zip(&beforehand).map(distance).collect();
            let found = solve(&picture, &pull, &scale, excess);
            for ((axis, by), step) in free.iter().zip(&found.step).zip(&steps) {
                center[*axis] = (center[*axis] + by.clamp(-FURTHEST * step, FURTHEST * step)).clamp(0.0, 1.0);
            }
            excess = found.excess;
            posterior = found.covariance;
            if round + LAST_ROUNDS >= ROUNDS {
                last.push(center.clone());
            }
        }
        let wander: Vec<f64> = (0..center.len()).map(|axis| average(&last, axis, &mut center)).collect();
        let variance = |a: usize, b: usize| posterior.get(a).map_or(0.0, |row| row[b]);
        let interval = |axis: usize, parameter: &Parameter| {
            let at = free.iter().position(|free| *free == axis);
            let own = at.map_or(0.0, |at| variance(at, at) + wander[axis]);
            let half = WIDTH_95 * libm::sqrt(own);
            // The fit itself is as likely as what minimizes another sum of errors.
            let (low, high) = (best[axis].min(center[axis] - half), best[axis].max(center[axis] + half));
            let entangled = free.iter().enumerate().filter(|(other, _)| {
                let scale = at.map_or(0.0, |at| libm::sqrt(variance(at, at) * variance(*other, *other)));
                at.is_some_and(|at| at != *other && scale > 0.0 && (variance(at, *other) / scale).abs() > ENTANGLED)
            });
            Interval {
                name: parameter.name.clone(),
                ends: [low, high].map(|end| parameter.value(end.clamp(0.0, 1.0))),
                is_open: at.is_some_and(|at| own <= 0.0 || own > (1.0 - LEAST_TOLD) * scale[at] * scale[at]),
                entangled_with: entangled.map(|(_, other)| parameters[*other].name.clone()).collect(),
            }
        };
        parameters.iter().enumerate().map(|(axis, parameter)| interval(axis, parameter)).collect()
    }

    /// Looks at the points around one, so far away on each axis; none if the logs' requests are not served there.
    ///
    /// # Source
    /// Two-level designs with all signs turned over: each slope comes from all points, and neither other axes nor the
    /// curvature bend it (Box and Wilson 1951).
    fn picture(&self, center: &[f64], free: &[usize], steps: &[f64]) -> Option<Picture> {
        let at_center = self.predictions(center)?;
        let weights: Vec<_> = self.runs.iter().zip(&at_center).map(|(run, found)| run.moments.weights(found)).collect();
        let gaps_of = |predictions: &[Prediction]| -> Gaps {
            let runs = self.runs.iter().zip(predictions).zip(&weights);
            runs.flat_map(|((run, found), weights)| run.moments.gaps(found, weights)).collect()
        };
        let mut gaps = gaps_of(&at_center);
        let rows = (free.len() + 1).next_power_of_two();
        let sign = |row: usize, at: usize| if (row & (at + 1)).count_ones() % 2 == 1 { -1.0 } else { 1.0 };
        let around = |row: usize, distance: f64| {
            let mut point = center.to_vec();
            free.iter().zip(steps).enumerate().for_each(|(at, (axis, step))| {
                point[*axis] += sign(row, at) * distance * step;
            });
            self.predictions(&point).map(|predictions| gaps_of(&predictions))
        };
        let mut slopes = [(); 2].map(|()| vec![vec![0.0; free.len()]; gaps.len()]);
        for (slopes, distances) in slopes.iter_mut().zip(DISTANCES.chunks(DISTANCES.len() / 2)) {
            let mut pairs = 0.0;
            for (distance, row) in distances.iter().flat_map(|distance| (0..rows).map(move |row| (*distance, row))) {
                let (Some(above), Some(below)) = (around(row, distance), around(row, -distance)) else { continue };
                pairs += 1.0;
                for (slopes, (above, below)) in slopes.iter_mut().zip(above.iter().zip(&below)) {
                    for (at, (slope, step)) in slopes.iter_mut().zip(steps).enumerate() {
                        *slope += sign(row, at) * (below.0 - above.0) / (2.0 * distance * step);
                    }
                }
            }
            slopes.iter_mut().flatten().for_each(|slope| *slope /= f64::max(pairs, 1.0));
        }
        // Opposite points, so that what coefficients change cancels and what moments of steps change is left.
        let pairs = (0..rows).filter_map(|row| Some((around(row, HARDLY)?, around(row, -HARDLY)?)));
        let near: Vec<Gaps> =
            pairs.map(|(a, b)| a.iter().zip(&b).map(|(a, b)| (0.5 * (a.0 + b.0), 0.0)).collect()).collect();
        for (at, (gap, noise)) in gaps.iter_mut().enumerate() {
            let sums: Vec<f64> = near.iter().filter_map(|gaps| gaps.get(at)).map(|(sum, _)| *sum).collect();
            let mean = sums.iter().sum::<f64>() / sums.len().max(1) as f64;
            let squares: f64 = sums.iter().map(|sum| (sum - mean) * (sum - mean)).sum();
            // A pair averages two looks, and the server was looked at once.
            let chance = 2.0 * squares / sums.len().saturating_sub(1).max(1) as f64;
            *noise = libm::sqrt(*noise * *noise + chance);
            if !sums.is_empty() {
                *gap = mean;
            }
        }
        Some(Picture { gaps, slopes })
    }
}

/// Moves a coordinate of the center to the mean of the last ones, and gives their variance.
fn average(last: &[Vec<f64>], axis: usize, center: &mut [f64]) -> f64 {
    let count = last.len().max(1) as f64;
    let mean = last.iter().map(|center| center[axis]).sum::<f64>() / count;
    if !last.is_empty() {
        center[axis] = mean;
    }
    let squares: f64 = last.iter().map(|center| (center[axis] - mean) * (center[axis] - mean)).sum();
    squares / (count - 1.0).max(1.0)
}

struct Solution {
    /// Where the most likely point lies, from the center.
    step: Vec<f64>,
    /// Of the free coordinates, row by row.
    covariance: Vec<Vec<f64>>,
    /// How many times larger than the noise of single requests the squares of the errors are, at least 1.
    excess: f64,
}

/// The most likely point of a linear picture and how sure it is; `pull` is how far each coordinate is from where it is
/// expected, in the standard deviations `scale`.
fn solve(picture: &Picture, pull: &[f64], scale: &[f64], excess: f64) -> Solution {
    let count = scale.len();
    let [first, second] = &picture.slopes;
    let mut data = vec![vec![0.0; count]; count];
    let mut right = vec![0.0; count];
    for (((gap, noise), one), other) in picture.gaps.iter().zip(first).zip(second) {
        let weight = 1.0 / (noise * noise);
        for a in 0..count {
            right[a] += 0.5 * (one[a] + other[a]) * gap * weight * scale[a];
            for b in 0..count {
                // Slopes from different points: what is noise in them is not taken for knowledge.
                let product = 0.5 * (one[a] * other[b] + other[a] * one[b]);
                data[a][b] += product * weight * scale[a] * scale[b];
            }
        }
    }
    // Along the axes of the data, in units of what was expected; of each what is more than noise.
    let (values, vectors) = symmetric_eigen(&data);
    let along = |k: usize, vector: &[f64]| -> f64 { (0..count).map(|a| vectors[a][k] * vector[a]).sum() };
    let seeming: Vec<f64> = (0..count)
        .map(|k| {
            // Under noise alone each product of two slopes is off by the square of its deviation.
            let rows = picture.gaps.iter().zip(first).zip(second);
            let squares = rows.map(|(((_, noise), one), other)| {
                let differences: Vec<f64> =
                    one.iter().zip(other).zip(scale).map(|((one, other), scale)| (one - other) * scale).collect();
                let apart = along(k, &differences) / noise;
                0.5 * apart * apart
            });
            (2.0 * libm::sqrt(squares.map(|square| square * square).sum())).max(LEAST_SEEMING)
        })
        .collect();
    let told: Vec<f64> = values.iter().zip(&seeming).map(|(value, seeming)| (value - seeming).max(0.0)).collect();
    let posterior = |excess: f64| -> Vec<Vec<f64>> {
        let entry = |a: usize, b: usize| -> f64 {
            (0..count).map(|k| vectors[a][k] * vectors[b][k] / (1.0 + told[k] / excess)).sum()
        };
        (0..count).map(|a| (0..count).map(|b| entry(a, b)).collect()).collect()
    };
    let moves: Vec<f64> = (0..count)
        .map(|k| {
            let force = along(k, &right) * told[k] / values[k].max(seeming[k]) / excess - along(k, pull);
            force / (1.0 + told[k] / excess)
        })
        .collect();
    let step: Vec<f64> =
        (0..count).map(|a| scale[a] * (0..count).map(|k| vectors[a][k] * moves[k]).sum::<f64>()).collect();
    let rows = picture.gaps.iter().zip(first).zip(second);
    let squares = rows.map(|(((gap, noise), one), other)| {
        let explained: f64 = one.iter().zip(other).zip(&step).map(|((one, other), by)| 0.5 * (one + other) * by).sum();
        (gap - explained) * (gap - explained) / (noise * noise)
    });
    // Directions that the logs tell take up a degree of freedom each, the others less.
    let used: f64 = told.iter().map(|value| value / (value + excess)).sum();
    let excess = (squares.sum::<f64>() / (picture.gaps.len() as f64 - used).max(1.0)).max(1.0);
    let mut covariance = posterior(excess);
    for (row, a) in covariance.iter_mut().zip(scale) {
        row.iter_mut().zip(scale).for_each(|(entry, b)| *entry *= a * b);
    }
    Solution { step, covariance, excess }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two coordinates expected at 0 with standard deviations of 1, seen through sums with these slopes and gaps.
    fn solved(rows: &[([f64; 2], f64)], noise: f64) -> Solution {
        let slopes: Vec<Vec<f64>> = rows.iter().map(|(slopes, _)| slopes.to_vec()).collect();
        let gaps = rows.iter().map(|(_, gap)| (*gap, noise)).collect();
        solve(&Picture { gaps, slopes: [slopes.clone(), slopes] }, &[0.0, 0.0], &[1.0, 1.0], 1.0)
    }

    #[test]
    fn what_is_measured_is_as_sure_as_its_noise_and_the_rest_as_before() {
        // The first coordinate is 0.3 ± 0.01, of which a ten-thousandth is left to what was expected.
        let found = solved(&[([1.0, 0.0], 0.3)], 0.01);
        assert!((found.step[0] - 0.3).abs() < 1e-3 && found.step[1].abs() < 1e-12, "{:?}", found.step);
        assert!((libm::sqrt(found.covariance[0][0]) - 0.01).abs() < 1e-4);
        assert!((found.covariance[1][1] - 1.0).abs() < 1e-9 && found.excess == 1.0);
    }

    #[test]
    fn a_sum_that_is_known_leaves_its_parts_as_they_were_but_bound() {
        let found = solved(&[([1.0, 1.0], 0.0)], 0.01);
        // Of two unit variances the known sum takes away half of each.
        assert!((found.covariance[0][0] - 0.5).abs() < 1e-3 && (found.covariance[0][1] + 0.5).abs() < 1e-3);
    }

    #[test]
    fn errors_beyond_the_noise_widen_everything() {
        // Four sums of one coordinate that contradict each other by ten times their noise.
        let rows = [0.2, 0.4, 0.2, 0.4].map(|gap| ([1.0, 0.0], gap));
        let found = solved(&rows, 0.01);
        assert!((found.step[0] - 0.3).abs() < 1e-3);
        // Squares of 400 over three degrees of freedom.
        assert!((found.excess - 400.0 / 3.0).abs() < 1.0, "{}", found.excess);
        let deviation = libm::sqrt(found.covariance[0][0]);
        assert!((deviation / (0.005 * libm::sqrt(400.0 / 3.0)) - 1.0).abs() < 0.02, "{deviation}");
    }

    #[test]
    fn the_last_centers_are_averaged_and_their_differences_count() {
        let mut center = vec![0.0, 0.7];
        let last = [vec![0.1, 0.7], vec![0.3, 0.7], vec![0.2, 0.7]];
        // Squares of 0.01, 0.01 and 0 over two degrees of freedom.
        assert!((average(&last, 0, &mut center) - 0.01).abs() < 1e-12);
        assert!((center[0] - 0.2).abs() < 1e-12);
        assert!(average(&last, 1, &mut center).abs() < 1e-12);
        // Where nothing could be looked at the center stays.
        assert_eq!(average(&[], 0, &mut center), 0.0);
        assert!((center[0] - 0.2).abs() < 1e-12);
    }

    #[test]
    fn slopes_that_are_noise_tell_nothing() {
        // As large as anything, but of other signs in the second look.
        let one: Vec<Vec<f64>> = [1.0, -1.0, 1.0, -1.0].map(|slope| vec![slope]).to_vec();
        let other: Vec<Vec<f64>> = [1.0, 1.0, -1.0, -1.0].map(|slope| vec![slope]).to_vec();
        let gaps = vec![(0.5, 0.01); 4];
        let found = solve(&Picture { gaps, slopes: [one, other] }, &[0.0], &[1.0], 1.0);
        assert_eq!((found.step[0], found.covariance[0][0]), (0.0, 1.0));
    }
}
