//! How well the logs determine each coefficient, from the shape of the loss around the best point.

use super::{FitTask, Space};
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Distances from the best point that are tried along each axis: from a thousandth of the searched range to all of it.
const LADDER: [f64; 11] = [0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.0];
/// Rise of the loss at which the curvature is measured.
const RISE: f64 = 1.0;
/// Rise of twice a negative log-likelihood at the end of a 95 % interval: the square of 1.96.
const RISE_95: f64 = 3.84;
/// Errors that a run adds to the loss: six figures and two sums over requests.
const ERRORS_PER_RUN: f64 = 8.0;
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
    /// Whether the loss hardly changes over the whole searched range, so that the logs say nothing.
    pub is_open: bool,
    /// Coefficients that can take its place: those whose correlation with it is above 0.95 in size.
    pub entangled_with: Vec<String>,
}

/// The measurement of intervals around a point, asked and told in two rounds.
///
/// # Source
/// A loss that counts errors in units of their usual size is twice a negative log-likelihood up to a constant; near its
/// minimum it is a quadratic form, whose inverse gives variances (Press et al., *Numerical Recipes*, 15.6). Where the
/// best loss is above the number of errors in it, the errors are larger than usual and the intervals grow with their
/// root (Birge 1932).
#[derive(Debug, Clone)]
pub struct Intervals {
    space: Space,
    best: Vec<f64>,
    num_errors: f64,
    /// Loss at the best point.
    loss: f64,
    /// Distance on each axis, and the second derivative there.
    axes: Vec<(f64, f64)>,
}

impl Intervals {
    /// Around the best point of a task.
    #[must_use]
    pub fn new(task: &FitTask, best: Vec<f64>) -> Self {
        let num_errors = ERRORS_PER_RUN * task.runs.len() as f64;
        Self { space: task.space.clone(), best, num_errors, loss: f64::INFINITY, axes: Vec::new() }
    }

    /// Whether a coefficient is a kind, which has no neighborhood.
    fn is_choice(&self, axis: usize) -> bool {
        self.space.parameters.get(axis).is_some_and(|parameter| parameter.is_choice)
    }

    fn moved(&self, moves: &[(usize, f64)]) -> Vec<f64> {
        let mut point = self.best.clone();
        for (axis, by) in moves {
            if let Some(x) = point.get_mut(*axis)
                && !self.is_choice(*axis)
            {
                *x = (*x + by).clamp(0.0, 1.0);
            }
        }
        point
    }

    /// The points of the first round: the best one, then steps up and down each axis.
    #[must_use]
    pub fn first(&self) -> Vec<Vec<f64>> {
        let mut points = vec![self.best.clone()];
        for axis in 0..self.best.len() {
            for step in LADDER {
                points.push(self.moved(&[(axis, step)]));
                points.push(self.moved(&[(axis, -step)]));
            }
        }
        points
    }

    /// The points of the second round, two for each pair of axes; `losses` are those of the first.
    #[must_use]
    pub fn second(&mut self, losses: &[f64]) -> Vec<Vec<f64>> {
        let Some((loss, rest)) = losses.split_first() else { return Vec::new() };
        self.loss = *loss;
        self.axes = rest
            .chunks(2 * LADDER.len())
            .zip(&self.best)
            .map(|(steps, x)| {
                let mut chosen = (0.0, 0.0);
                for (pair, step) in steps.chunks(2).zip(LADDER) {
                    let [up, down] = pair else { continue };
                    // A step that leaves the range is as long as the range allows.
                    let (above, below) = (step.min(1.0 - x), step.min(*x));
                    let rise = [(*up - loss, above), (*down - loss, below)];
                    let usable = rise.iter().filter(|(rise, long)| *long > 0.0 && rise.is_finite());
                    let (sum, count) = usable.fold((0.0, 0u32), |(sum, count), (rise, long)| {
                        (sum + 2.0 * rise.max(0.0) / (long * long), count + 1)
                    });
                    if count == 0 {
                        break;
                    }
                    chosen = (above.max(below), sum / f64::from(count));
                    if rise.iter().any(|(rise, _)| *rise >= RISE) {
                        break;
                    }
                }
                chosen
            })
            .collect();
        let mut points = Vec::new();
        for (a, (step_a, _)) in self.axes.iter().enumerate() {
            for (b, (step_b, _)) in self.axes.iter().enumerate().take(a) {
                points.push(self.moved(&[(a, *step_a), (b, *step_b)]));
                points.push(self.moved(&[(a, -step_a), (b, -step_b)]));
            }
        }
        points
    }

    /// The intervals; `losses` are those of the second round.
    #[must_use]
    pub fn intervals(&self, losses: &[f64]) -> Vec<Interval> {
        let count = self.axes.len();
        let curvature = self.curvature(losses);
        let inverse = inverted(&curvature);
        // More errors than coefficients are free; a good fit leaves one unit of loss for each.
        let free = (self.num_errors - count as f64).max(1.0);
        let rise = RISE_95 * (self.loss / free).max(1.0);
        let variance = |a: usize, b: usize| inverse.as_ref().map_or(0.0, |inverse| inverse[a * count + b]);
        let names = || self.space.parameters.iter().map(|parameter| parameter.name.clone());
        names()
            .enumerate()
            .take(count)
            .map(|(axis, name)| {
                let own = variance(axis, axis);
                let is_flat = curvature[axis * count + axis] <= 0.0 || own <= 0.0;
                let half = if self.is_choice(axis) {
                    0.0
                } else if is_flat {
                    1.0
                } else {
                    libm::sqrt(2.0 * rise * own)
                };
                let at = self.best.get(axis).copied().unwrap_or(0.5);
                let end = |x: f64| {
                    self.space.parameters.get(axis).map_or(0.0, |parameter| parameter.value(x.clamp(0.0, 1.0)))
                };
                let entangled = names().enumerate().take(count).filter(|(other, _)| {
                    let scale = libm::sqrt(own.max(0.0) * variance(*other, *other).max(0.0));
                    *other != axis && scale > 0.0 && (variance(axis, *other) / scale).abs() > ENTANGLED
                });
                Interval {
                    name,
                    ends: [end(at - half), end(at + half)],
                    is_open: half > 0.0 && at - half <= 0.0 && at + half >= 1.0,
                    entangled_with: entangled.map(|(_, name)| name).collect(),
                }
            })
            .collect()
    }

    /// Second derivatives of the loss, row by row.
    fn curvature(&self, losses: &[f64]) -> Vec<f64> {
        let count = self.axes.len();
        let mut matrix = vec![0.0; count * count];
        for (axis, (_, second)) in self.axes.iter().enumerate() {
            matrix[axis * count + axis] = *second;
        }
        let mut pairs = losses.chunks(2);
        for a in 0..count {
            for b in 0..a {
                let Some([up, down]) = pairs.next() else { return matrix };
                let ((step_a, own_a), (step_b, own_b)) = (self.axes[a], self.axes[b]);
                let both = step_a * step_b;
                if both <= 0.0 || !up.is_finite() || !down.is_finite() {
                    continue;
                }
                // What the pair adds to the two axes alone.
                let rise = (up - self.loss + down - self.loss) / 2.0;
                let mixed = (rise - 0.5 * own_a * step_a * step_a - 0.5 * own_b * step_b * step_b) / both;
                // Held where the form stays positive: noise of a simulation must not turn it over.
                let most = 0.995 * libm::sqrt((own_a * own_b).max(0.0));
                let mixed = mixed.clamp(-most, most);
                matrix[a * count + b] = mixed;
                matrix[b * count + a] = mixed;
            }
        }
        matrix
    }
}

/// The inverse of a symmetric matrix made positive by as much of its diagonal as it takes; axes without curvature stay
/// apart with an inverse of 0.
fn inverted(matrix: &[f64]) -> Option<Vec<f64>> {
    let count = libm::sqrt(matrix.len() as f64) as usize;
    let scale: Vec<f64> = (0..count)
        .map(|axis| {
            let own = matrix[axis * count + axis];
            if own > 0.0 { 1.0 / libm::sqrt(own) } else { 0.0 }
        })
        .collect();
    // A correlation matrix first, so that one small number serves all axes.
    let mut ridge = 1e-9;
    while ridge < 10.0 {
        let unit = |a: usize, b: usize| {
            if a == b { 1.0 + ridge } else { matrix[a * count + b] * scale[a] * scale[b] }
        };
        if let Some(lower) = cholesky(count, unit) {
            let mut inverse = vec![0.0; count * count];
            for column in 0..count {
                let mut x = vec![0.0; count];
                x[column] = 1.0;
                for row in 0..count {
                    let sum: f64 = (0..row).map(|k| lower[row * count + k] * x[k]).sum();
                    x[row] = (x[row] - sum) / lower[row * count + row];
                }
                for row in (0..count).rev() {
                    let sum: f64 = (row + 1..count).map(|k| lower[k * count + row] * x[k]).sum();
                    x[row] = (x[row] - sum) / lower[row * count + row];
                }
                for row in 0..count {
                    inverse[row * count + column] = x[row] * scale[row] * scale[column];
                }
            }
            return Some(inverse);
        }
        ridge *= 4.0;
    }
    None
}

/// The lower factor of a positive definite matrix.
fn cholesky(count: usize, matrix: impl Fn(usize, usize) -> f64) -> Option<Vec<f64>> {
    let mut lower = vec![0.0; count * count];
    for row in 0..count {
        for column in 0..=row {
            let sum: f64 = (0..column).map(|k| lower[row * count + k] * lower[column * count + k]).sum();
            let rest = matrix(row, column) - sum;
            if row == column {
                if rest <= 1e-12 {
                    return None;
                }
                lower[row * count + row] = libm::sqrt(rest);
            } else {
                lower[row * count + column] = rest / lower[column * count + column];
            }
        }
    }
    Some(lower)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calibrate::{FitSettings, Parameter};
    use crate::measurement::{LogFormat, Measurement};

    fn task(names: &[&str]) -> FitTask {
        let parameter = |name: &&str| Parameter {
            name: (*name).into(),
            low: 0.0,
            high: 100.0,
            is_log: false,
            scale: 1.0,
            center: None,
            starts: Vec::new(),
            is_choice: *name == "kind",
        };
        let runs = vec![Measurement::new("a", LogFormat::VllmBench); 4];
        FitTask { runs, space: Space::new(names.iter().map(parameter).collect()), settings: FitSettings::default() }
    }

    fn intervals(names: &[&str], best: &[f64], loss: impl Fn(&[f64]) -> f64) -> Vec<Interval> {
        let mut intervals = Intervals::new(&task(names), best.to_vec());
        let losses: Vec<f64> = intervals.first().iter().map(|point| loss(point)).collect();
        let losses: Vec<f64> = intervals.second(&losses).iter().map(|point| loss(point)).collect();
        intervals.intervals(&losses)
    }

    #[test]
    fn independent_coefficients_have_the_intervals_of_their_own_errors() {
        // Standard deviations of 2 and 5 in units of a coefficient: 1.96 times that on both sides.
        let found = intervals(&["a", "b"], &[0.5, 0.4], |p| {
            let (a, b) = ((p[0] - 0.5) * 100.0 / 2.0, (p[1] - 0.4) * 100.0 / 5.0);
            a * a + b * b
        });
        let near = |ends: [f64; 2], low: f64, high: f64| (ends[0] - low).abs() < 0.2 && (ends[1] - high).abs() < 0.2;
        assert!(near(found[0].ends, 50.0 - 3.92, 50.0 + 3.92), "{found:?}");
        assert!(near(found[1].ends, 40.0 - 9.8, 40.0 + 9.8), "{found:?}");
        assert!(found.iter().all(|found| found.entangled_with.is_empty() && !found.is_open));
    }

    #[test]
    fn a_sum_that_is_known_leaves_its_parts_wide_and_entangled() {
        // Their sum to 1, their difference to 40.
        let found = intervals(&["a", "b"], &[0.5, 0.5], |p| {
            let (a, b) = ((p[0] - 0.5) * 100.0, (p[1] - 0.5) * 100.0);
            (a + b) * (a + b) + (a - b) * (a - b) / 1600.0
        });
        assert_eq!(found[0].entangled_with, ["b"]);
        // The variance of a part is a quarter of both: about 20.
        let half = (found[0].ends[1] - found[0].ends[0]) / 2.0;
        assert!(half > 15.0, "{found:?}");
    }

    #[test]
    fn what_changes_nothing_is_open_and_large_errors_widen() {
        let wide = |best_loss: f64| {
            let found = intervals(&["a", "b"], &[0.5, 0.5], |p| best_loss + (p[0] - 0.5) * (p[0] - 0.5) * 1e4);
            assert!(found[1].is_open && !found[0].is_open, "{found:?}");
            found[0].ends[1] - found[0].ends[0]
        };
        // 32 errors and two coefficients: a loss of 30 is what good errors leave, 120 is four times that.
        assert!((wide(120.0) / wide(30.0) - 2.0).abs() < 0.05, "{} {}", wide(120.0), wide(30.0));
    }

    #[test]
    fn a_kind_has_no_interval() {
        let found = intervals(&["a", "kind"], &[0.5, 0.5], |p| {
            assert_eq!(p[1], 0.5, "it is not moved");
            (p[0] - 0.5) * (p[0] - 0.5) * 1e4
        });
        assert!(!found[1].is_open && found[1].ends == [50.0; 2] && !found[0].is_open, "{found:?}");
    }

    #[test]
    fn infinite_losses_and_bounds_are_survived() {
        let found = intervals(&["a", "b"], &[0.0, 1.0], |p| if p[0] > 0.3 { f64::INFINITY } else { p[0] * 100.0 });
        assert_eq!(found.len(), 2);
        assert!(found.iter().all(|found| found.ends.iter().all(|end| end.is_finite())), "{found:?}");
        assert!(Intervals::new(&task(&[]), Vec::new()).intervals(&[]).is_empty());
    }
}
