//! Covariance matrix adaptation.

use super::matrix::{symmetric_eigen, times, transposed_times};
use super::{Candidate, mirrored};
use crate::random::{Purpose, Seed, Stream};
use crate::study::Ask;
use alloc::vec;
use alloc::vec::Vec;

/// The covariance matrix adaptation evolution strategy with restarts.
///
/// Coordinates beyond the bounds are mirrored back for the evaluation while the strategy goes on with the unmirrored
/// ones, so that a minimum at a bound is approached from inside.
/// When a generation no longer tells points apart, or the steps have become tiny, it starts again from a random point
/// with twice the population (IPOP).
///
/// # Determinism
/// A generation is used once all its values are told, by value and then by number, so the order of telling is free.
///
/// # Source
/// Hansen (2016), *The CMA Evolution Strategy: A Tutorial*, arXiv 1604.00772, with the default parameters of its
/// table 1, without negative weights; restarts by Auger and Hansen (2005), *A restart CMA evolution strategy with
/// increasing population size*.
#[derive(Debug, Clone)]
pub struct Cmaes {
    stream: Stream,
    dimension: usize,
    first_step: f64,
    population: usize,
    next_id: u64,
    mean: Vec<f64>,
    step: f64,
    covariance: Vec<Vec<f64>>,
    /// Eigenvectors by column and the roots of the eigenvalues.
    basis: Vec<Vec<f64>>,
    scales: Vec<f64>,
    path_step: Vec<f64>,
    path_covariance: Vec<f64>,
    generation: u64,
    last_decomposition: u64,
    /// Unmirrored points of this generation with their values, once told.
    points: Vec<(u64, Vec<f64>, Option<f64>)>,
    /// Best values of recent generations.
    history: Vec<f64>,
    weights: Vec<f64>,
    mass: f64,
}

impl Cmaes {
    /// Starts at `start` (0–1 each) with steps of `step`.
    #[must_use]
    pub fn new(start: Vec<f64>, step: f64, seed: u64) -> Self {
        let dimension = start.len().max(1);
        let population = 4 + (3.0 * libm::log(dimension as f64)) as usize;
        let mut search = Self {
            stream: Stream::new(Seed { seed, replicate: 1 }, Purpose::Search),
            dimension,
            first_step: step,
            population,
            next_id: 0,
            mean: start,
            step,
            covariance: Vec::new(),
            basis: Vec::new(),
            scales: Vec::new(),
            path_step: Vec::new(),
            path_covariance: Vec::new(),
            generation: 0,
            last_decomposition: 0,
            points: Vec::new(),
            history: Vec::new(),
            weights: Vec::new(),
            mass: 1.0,
        };
        search.restart(population);
        search
    }

    /// The next point of this generation.
    pub fn ask(&mut self) -> Ask<Candidate> {
        if self.points.len() >= self.population {
            return Ask::Wait;
        }
        let draws: Vec<f64> = self.scales.iter().map(|scale| scale * self.stream.normal()).collect();
        let direction = times(&self.basis, &draws);
        let point: Vec<f64> = self.mean.iter().zip(&direction).map(|(mean, d)| mean + self.step * d).collect();
        let id = self.next_id;
        self.next_id += 1;
        let inside = point.iter().map(|x| mirrored(*x)).collect();
        self.points.push((id, point, None));
        Ask::Trial(Candidate { id, point: inside })
    }

    /// The value of a point of this generation.
    pub fn tell(&mut self, id: u64, value: f64) {
        if let Some((.., slot)) = self.points.iter_mut().find(|(known, _, told)| *known == id && told.is_none()) {
            *slot = Some(value);
        }
        if self.points.len() == self.population && self.points.iter().all(|(.., value)| value.is_some()) {
            self.advance();
        }
    }

    fn restart(&mut self, population: usize) {
        let n = self.dimension;
        self.population = population;
        let half = population / 2;
        let raw: Vec<f64> =
            (0..half).map(|i| libm::log((population as f64 + 1.0) / 2.0) - libm::log(i as f64 + 1.0)).collect();
        let sum: f64 = raw.iter().sum();
        self.weights = raw.iter().map(|w| w / sum).collect();
        self.mass = 1.0 / self.weights.iter().map(|w| w * w).sum::<f64>();
        self.step = self.first_step;
        self.covariance = (0..n).map(|i| (0..n).map(|j| if i == j { 1.0 } else { 0.0 }).collect()).collect();
        self.basis = self.covariance.clone();
        self.scales = vec![1.0; n];
        self.path_step = vec![0.0; n];
        self.path_covariance = vec![0.0; n];
        self.generation = 0;
        self.last_decomposition = 0;
        self.points.clear();
        self.history.clear();
    }

    fn advance(&mut self) {
        let n = self.dimension as f64;
        let mut points = core::mem::take(&mut self.points);
        points.sort_by(|a, b| {
            let value = |told: &Option<f64>| told.unwrap_or(f64::INFINITY);
            value(&a.2).total_cmp(&value(&b.2)).then(a.0.cmp(&b.0))
        });
        self.generation += 1;
        let mass = self.mass;
        let c_sigma = (mass + 2.0) / (n + mass + 5.0);
        let excess = libm::sqrt((mass - 1.0) / (n + 1.0)) - 1.0;
        let d_sigma = 1.0 + 2.0 * excess.max(0.0) + c_sigma;
        let c_c = (4.0 + mass / n) / (n + 4.0 + 2.0 * mass / n);
        let c_1 = 2.0 / ((n + 1.3) * (n + 1.3) + mass);
        let c_mu = (2.0 * (mass - 2.0 + 1.0 / mass) / ((n + 2.0) * (n + 2.0) + mass)).min(1.0 - c_1);
        let expected = libm::sqrt(n) * (1.0 - 1.0 / (4.0 * n) + 1.0 / (21.0 * n * n));

        let steps: Vec<Vec<f64>> = points
            .iter()
            .take(self.weights.len())
            .map(|(_, x, _)| x.iter().zip(&self.mean).map(|(x, m)| (x - m) / self.step).collect())
            .collect();
        let mut mean_step = vec![0.0; self.dimension];
        for (weight, step) in self.weights.iter().zip(&steps) {
            for (slot, s) in mean_step.iter_mut().zip(step) {
                *slot += weight * s;
            }
        }
        for (mean, s) in self.mean.iter_mut().zip(&mean_step) {
            *mean += self.step * s;
        }
        // C^(-1/2) · mean step.
        let mut rotated = transposed_times(&self.basis, &mean_step);
        for (value, scale) in rotated.iter_mut().zip(&self.scales) {
            *value /= *scale;
        }
        let whitened = times(&self.basis, &rotated);
        let gain = libm::sqrt(c_sigma * (2.0 - c_sigma) * mass);
        for (slot, w) in self.path_step.iter_mut().zip(&whitened) {
            *slot = (1.0 - c_sigma) * *slot + gain * w;
        }
        let norm = libm::sqrt(self.path_step.iter().map(|p| p * p).sum());
        let age = 1.0 - libm::pow(1.0 - c_sigma, 2.0 * self.generation as f64);
        let is_steady = norm / libm::sqrt(age) < (1.4 + 2.0 / (n + 1.0)) * expected;
        let gain = if is_steady { libm::sqrt(c_c * (2.0 - c_c) * mass) } else { 0.0 };
        for (slot, s) in self.path_covariance.iter_mut().zip(&mean_step) {
            *slot = (1.0 - c_c) * *slot + gain * s;
        }
        let lost = if is_steady { 0.0 } else { c_1 * c_c * (2.0 - c_c) };
        for i in 0..self.dimension {
            for j in 0..=i {
                let ranks: f64 = self.weights.iter().zip(&steps).map(|(w, s)| w * s[i] * s[j]).sum();
                let value = (1.0 - c_1 - c_mu + lost) * self.covariance[i][j]
                    + c_1 * self.path_covariance[i] * self.path_covariance[j]
                    + c_mu * ranks;
                self.covariance[i][j] = value;
                self.covariance[j][i] = value;
            }
        }
        self.step *= libm::exp((c_sigma / d_sigma * (norm / expected - 1.0)).min(1.0));
        let interval = (0.1 / ((c_1 + c_mu) * n)) as u64;
        if self.generation - self.last_decomposition >= interval.max(1) {
            self.decompose();
        }
        self.end_generation(&points);
    }

    fn decompose(&mut self) {
        self.last_decomposition = self.generation;
        let (values, vectors) = symmetric_eigen(&self.covariance);
        self.basis = vectors;
        self.scales = values.iter().map(|value| libm::sqrt(value.max(1e-20))).collect();
    }

    /// Starts again where this run has nothing left to find.
    fn end_generation(&mut self, points: &[(u64, Vec<f64>, Option<f64>)]) {
        let value = |at: Option<&(u64, Vec<f64>, Option<f64>)>| at.and_then(|p| p.2).unwrap_or(f64::INFINITY);
        let (best, worst) = (value(points.first()), value(points.last()));
        self.history.push(best);
        let window = 10 + 30 * self.dimension / self.population;
        let recent = self.history.iter().rev().take(window);
        let (low, high) =
            recent.clone().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(*v), high.max(*v)));
        let is_flat = self.history.len() >= window
            && high - low <= 1e-12 * (1.0 + low.abs())
            && worst - best <= 1e-12 * (1.0 + best.abs());
        let widest = self.scales.iter().fold(0.0, |a: f64, b| a.max(*b));
        let narrowest = self.scales.iter().fold(f64::INFINITY, |a: f64, b| a.min(*b));
        let is_tiny = self.step * widest < 1e-12;
        let is_ill = widest > 1e7 * narrowest || !self.step.is_finite() || !best.is_finite() && self.history.len() > 50;
        if is_flat || is_tiny || is_ill {
            self.mean = (0..self.dimension).map(|_| self.stream.open_unit()).collect();
            self.restart(self.population * 2);
        }
    }
}
