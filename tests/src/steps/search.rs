//! Least errors over positive parameters, the same on every run.

use plimsoll_core::search::{Cmaes, Minimizer, NelderMead};

/// A parameter of a fit: where it starts, by which factor it may differ, and how surely it is known.
#[derive(Debug, Clone, Copy)]
pub struct Parameter {
    /// Its value before anything is fitted.
    pub start: f64,
    /// Smallest and largest value.
    pub bounds: [f64; 2],
    /// Standard deviation of its logarithm before anything is fitted; without a bound for one that only data tell.
    pub spread: f64,
}

impl Parameter {
    /// A parameter within bounds that only data tell.
    #[must_use]
    pub fn free(start: f64, bounds: [f64; 2]) -> Self {
        Self { start, bounds, spread: f64::INFINITY }
    }

    fn at(&self, x: f64) -> f64 {
        let [low, high] = self.bounds;
        low * (high / low).powf(x)
    }

    fn place(&self) -> f64 {
        let [low, high] = self.bounds;
        ((self.start / low).ln() / (high / low).ln()).clamp(0.02, 0.98)
    }

    /// Half the square of how many deviations a value is away from the start.
    #[must_use]
    pub fn surprise(&self, value: f64) -> f64 {
        let away = (value / self.start).ln() / self.spread;
        0.5 * away * away
    }
}

/// Finds the parameters of the least loss.
///
/// Covariance matrix adaptation with a fixed seed, then a simplex.
#[must_use]
pub fn least(parameters: &[Parameter], budget: u64, loss: impl Fn(&[f64]) -> f64) -> Vec<f64> {
    let values = |point: &[f64]| -> Vec<f64> { parameters.iter().zip(point).map(|(known, x)| known.at(*x)).collect() };
    let start: Vec<f64> = parameters.iter().map(Parameter::place).collect();
    let at = |point: &[f64]| loss(&values(point));
    let (point, found) = Minimizer::Cmaes(Cmaes::new(start.clone(), 0.12, 1)).minimize(budget, at);
    let begun = at(&start);
    let point = if begun < found { start } else { point };
    let (polished, _) = Minimizer::NelderMead(NelderMead::new(point, 0.02)).minimize(budget / 2, at);
    values(&polished)
}

/// The loss of an error in logarithms: square for small ones, linear for those far beyond `scale`.
#[must_use]
pub fn robust(error: f64, scale: f64) -> f64 {
    let relative = error / scale;
    (1.0 + relative * relative).sqrt() - 1.0
}
