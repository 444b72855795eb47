//! Bayesian optimization with a Gaussian process.

use super::matrix::Cholesky;
use super::tpe::phi;
use super::{Batch, Candidate, mirrored};
use crate::random::{Purpose, Seed, Stream};
use crate::study::Ask;
use alloc::vec::Vec;

/// Points asked together: the later ones rest on what the process believes of the earlier ones.
const BATCH: usize = 2;
/// The process keeps the best so many points and as many of the newest: its cost grows with their cube, and the page asks
/// on its own thread (docs/search.md).
const MOST_POINTS: usize = 60;
/// Uniform points at which the expected improvement is looked at.
const DRAWS: usize = 300;
/// Steps from the best of these, in shrinking ranges.
const LOCAL_STEPS: usize = 200;
/// Length scales of the kernel that are compared, in units of the square root of the dimension.
const LENGTHS: [f64; 6] = [0.1, 0.2, 0.35, 0.6, 1.0, 2.0];
/// Noise relative to the variance of the values.
const NOISES: [f64; 2] = [1e-6, 1e-2];

/// Bayesian optimization: a Gaussian process with a Matérn 5/2 kernel, and the largest expected improvement.
///
/// For functions so dear that a few hundred evaluations are all there is: each candidate costs the cube of
/// the points it keeps.
/// Values are ranked against each other before they are modelled (a log of their distance from the best), so that a few
/// huge ones do not hide the rest.
///
/// # Determinism
/// As [`super::Tpe`].
///
/// # Source
/// Jones, Schonlau and Welch (1998), *Efficient global optimization of expensive black-box functions*; Snoek, Larochelle
/// and Adams (2012), *Practical Bayesian optimization of machine learning algorithms* (kernel); Ginsbourger, Le Riche and
/// Carraro (2010), *Kriging is well-suited to parallelize optimization* (believer for batches).
#[derive(Debug, Clone)]
pub struct GaussianProcess {
    stream: Stream,
    dimension: usize,
    batch: Batch,
}

impl GaussianProcess {
    /// A search in this many dimensions.
    #[must_use]
    pub fn new(dimension: usize, seed: u64) -> Self {
        let stream = Stream::new(Seed { seed, replicate: 3 }, Purpose::Search);
        Self { stream, dimension, batch: Batch::default() }
    }

    /// The same search, which looks at these points first.
    #[must_use]
    pub fn beginning_at(mut self, points: Vec<Vec<f64>>) -> Self {
        self.batch = Batch::of(points);
        self
    }

    /// The next point, once all of the batch before are told.
    pub fn ask(&mut self) -> Ask<Candidate> {
        if !self.batch.is_open() {
            let startup = 2 * self.dimension;
            if self.batch.is_before_sampling(startup) {
                for _ in 0..startup {
                    let point = (0..self.dimension).map(|_| self.stream.open_unit()).collect();
                    self.batch.push(point);
                }
            } else {
                for point in self.suggest() {
                    self.batch.push(point);
                }
            }
        }
        self.batch.ask()
    }

    /// The value of a point.
    pub fn tell(&mut self, id: u64, value: f64) {
        self.batch.tell(id, value);
    }

    fn suggest(&mut self) -> Vec<Vec<f64>> {
        let told = self.batch.told();
        let order = self.batch.order();
        let kept = kept(&order);
        let finite = |value: f64| if value.is_finite() { value } else { HUGE };
        let best = finite(told[order[0]].1);
        let spread = finite(told[order[order.len() / 2]].1) - best;
        let scale = if spread > 0.0 { spread } else { 1.0 };
        let mut points: Vec<Vec<f64>> = kept.iter().map(|at| told[*at].0.clone()).collect();
        let mut values: Vec<f64> =
            kept.iter().map(|at| libm::log1p(((finite(told[*at].1) - best) / scale).min(1e9) * 20.0)).collect();
        let (length, noise) = best_kernel(&points, &values, self.dimension);
        let mut found = Vec::with_capacity(BATCH);
        for _ in 0..BATCH {
            let Some(process) = Process::new(&points, &values, length, noise) else {
                found.push((0..self.dimension).map(|_| self.stream.open_unit()).collect());
                continue;
            };
            let point = self.most_promising(&process, &points);
            let (mean, _) = process.at(&point);
            points.push(point.clone());
            values.push(mean);
            found.push(point);
        }
        found
    }

    /// The largest expected improvement among uniform points and ever closer ones around the best.
    fn most_promising(&mut self, process: &Process<'_>, points: &[Vec<f64>]) -> Vec<f64> {
        let mut best = (f64::NEG_INFINITY, Vec::new());
        let consider = |point: Vec<f64>, best: &mut (f64, Vec<f64>)| {
            let promise = process.expected_improvement(&point);
            if promise > best.0 {
                *best = (promise, point);
            }
        };
        for _ in 0..DRAWS {
            consider((0..self.dimension).map(|_| self.stream.open_unit()).collect(), &mut best);
        }
        // Points come in order of their values, so the first are where improvement is near.
        for point in points.iter().take(5) {
            for scale in [0.1, 0.03, 0.01] {
                for _ in 0..10 {
                    let near = point.iter().map(|x| mirrored(x + scale * self.stream.normal())).collect();
                    consider(near, &mut best);
                }
            }
        }
        let mut range = 0.1;
        for step in 0..LOCAL_STEPS {
            let axis = step % self.dimension.max(1);
            let mut point = best.1.clone();
            if step % 2 == 0 {
                if let Some(x) = point.get_mut(axis) {
                    *x = mirrored(*x + range * self.stream.normal());
                }
            } else {
                point.iter_mut().for_each(|x| *x = mirrored(*x + 0.3 * range * self.stream.normal()));
            }
            consider(point, &mut best);
            range *= 0.98;
        }
        best.1
    }
}

/// The best points, best first, and behind them the newest of the others; `order` has all of them, best first.
fn kept(order: &[usize]) -> Vec<usize> {
    let (best, others) = order.split_at(order.len().min(MOST_POINTS));
    let newest = order.len().saturating_sub(MOST_POINTS);
    let mut newest: Vec<usize> = others.iter().copied().filter(|at| *at >= newest).collect();
    newest.sort_unstable();
    [best, &newest].concat()
}

/// Length scale and noise of the greatest marginal likelihood.
fn best_kernel(points: &[Vec<f64>], values: &[f64], dimension: usize) -> (f64, f64) {
    let unit = libm::sqrt(dimension as f64);
    let mut best = (f64::NEG_INFINITY, (unit, NOISES[1]));
    let distances = distances(points);
    for length in LENGTHS {
        let covariance = covariance(&distances, length * unit);
        for noise in NOISES {
            let Some(process) = Process::of(&covariance, points, values, length * unit, noise) else { continue };
            if process.likelihood > best.0 {
                best = (process.likelihood, (length * unit, noise));
            }
        }
    }
    best.1
}

/// Stands for infinity, so that differences stay numbers.
const HUGE: f64 = 1e150;

/// A fitted process.
struct Process<'a> {
    points: &'a [Vec<f64>],
    factor: Cholesky,
    weights: Vec<f64>,
    length: f64,
    mean: f64,
    variance: f64,
    least: f64,
    likelihood: f64,
}

impl<'a> Process<'a> {
    fn new(points: &'a [Vec<f64>], values: &[f64], length: f64, noise: f64) -> Option<Self> {
        Self::of(&covariance(&distances(points), length), points, values, length, noise)
    }

    /// With the covariance of the points at hand, the noise not in it.
    fn of(covariance: &[Vec<f64>], points: &'a [Vec<f64>], values: &[f64], length: f64, noise: f64) -> Option<Self> {
        let count = points.len();
        let mut rows = covariance.to_vec();
        rows.iter_mut().filter_map(|row| row.last_mut()).for_each(|diagonal| *diagonal += noise);
        let factor = Cholesky::new(rows)?;
        let mean = values.iter().sum::<f64>() / count as f64;
        let centered: Vec<f64> = values.iter().map(|value| value - mean).collect();
        let weights = factor.solve(&centered);
        let variance = weights.iter().zip(&centered).map(|(w, c)| w * c).sum::<f64>() / count as f64;
        let variance = variance.max(1e-12);
        let likelihood = -0.5 * count as f64 * libm::log(variance) - factor.log_diagonal();
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        Some(Self { points, factor, weights, length, mean, variance, least, likelihood })
    }

    /// Mean and variance at a point.
    fn at(&self, point: &[f64]) -> (f64, f64) {
        let near: Vec<f64> = self.points.iter().map(|other| matern(distance(other, point), self.length)).collect();
        let mean = self.mean + near.iter().zip(&self.weights).map(|(k, w)| k * w).sum::<f64>();
        let known: f64 = self.factor.forward(&near).iter().map(|x| x * x).sum();
        (mean, self.variance * (1.0 - known).max(1e-12))
    }

    fn expected_improvement(&self, point: &[f64]) -> f64 {
        let (mean, variance) = self.at(point);
        let deviation = libm::sqrt(variance);
        let z = (self.least - mean) / deviation;
        let density = libm::exp(-0.5 * z * z) / libm::sqrt(2.0 * core::f64::consts::PI);
        deviation * (z * phi(z) + density)
    }
}

/// The lower triangle of the distances between points.
fn distances(points: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let rows = points.iter().enumerate();
    rows.map(|(i, point)| points[..=i].iter().map(|other| distance(point, other)).collect()).collect()
}

/// The lower triangle of the covariances between points so far apart.
fn covariance(distances: &[Vec<f64>], length: f64) -> Vec<Vec<f64>> {
    distances.iter().map(|row| row.iter().map(|distance| matern(*distance, length)).collect()).collect()
}

/// The distance of two points, times √5 as the kernel takes it.
fn distance(a: &[f64], b: &[f64]) -> f64 {
    libm::sqrt(5.0 * a.iter().zip(b).map(|(x, y)| (x - y) * (x - y)).sum::<f64>())
}

fn matern(distance: f64, length: f64) -> f64 {
    let r = distance / length;
    (1.0 + r + r * r / 3.0) * libm::exp(-r)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_keeps_the_best_and_the_newest_however_many_there_are() {
        // 0 is the worst and the oldest: the newest are the best, and nothing else is kept.
        let falling: Vec<usize> = (0..5000).rev().collect();
        assert_eq!(kept(&falling), (4940..5000).rev().collect::<Vec<usize>>());
        let rising: Vec<usize> = (0..5000).collect();
        assert_eq!(kept(&rising), (0..60).chain(4940..5000).collect::<Vec<usize>>());
        assert_eq!(kept(&[2, 0, 1]), [2, 0, 1]);
    }
}
