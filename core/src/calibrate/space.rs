//! What the coordinates of a search mean.

use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// One searched value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Parameter {
    /// Name of the coefficient, e.g. `beta0`.
    pub name: String,
    /// Lowest value before scaling; above 0 on a logarithmic scale.
    pub low: f64,
    /// Highest value before scaling.
    pub high: f64,
    /// Whether equal steps are equal ratios.
    pub is_log: bool,
    /// The searched value times this is the coefficient; below 0 for coefficients below 0.
    pub scale: f64,
    /// Where the coefficient is expected, and the standard deviation of its logarithm; none = anywhere alike.
    pub center: Option<(f64, f64)>,
    /// Coefficients from which the search starts, where one start could miss another valley.
    pub starts: Vec<f64>,
    /// Whether the starts are all it can be: a kind, not an amount. A search keeps the one it started with.
    #[serde(default)]
    pub is_choice: bool,
}

impl Parameter {
    /// The coefficient at a coordinate of 0–1.
    #[must_use]
    pub fn value(&self, x: f64) -> f64 {
        let raw = if self.is_log {
            self.low * libm::exp(x * libm::log(self.high / self.low))
        } else {
            self.low + x * (self.high - self.low)
        };
        let value = raw * self.scale;
        // Searches that know no choices still give one of them.
        let nearest = self.starts.iter().filter(|_| self.is_choice).copied();
        nearest.min_by(|a, b| (a - value).abs().total_cmp(&(b - value).abs())).unwrap_or(value)
    }

    /// The coordinate of a coefficient, held within 0–1.
    #[must_use]
    pub fn coordinate(&self, value: f64) -> f64 {
        let raw = value / self.scale;
        let x = if self.is_log {
            libm::log(raw / self.low) / libm::log(self.high / self.low)
        } else {
            (raw - self.low) / (self.high - self.low)
        };
        if x.is_nan() { 0.5 } else { x.clamp(0.0, 1.0) }
    }

    /// How unlikely a coefficient is before any log is read: half the square of its distance in standard deviations.
    #[must_use]
    pub fn surprise(&self, value: f64) -> f64 {
        self.center.map_or(0.0, |(center, spread)| {
            let distance = libm::log(value / center) / spread;
            0.5 * distance * distance
        })
    }
}

/// Every searched value.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Space {
    /// In the order of coordinates.
    pub parameters: Vec<Parameter>,
    /// Values that are not searched, by name; what is named nowhere is 0.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fixed: Vec<(String, f64)>,
}

impl Space {
    /// A space of these parameters.
    #[must_use]
    pub fn new(parameters: Vec<Parameter>) -> Self {
        Self { parameters, fixed: Vec::new() }
    }

    /// The same space with values that are not searched.
    #[must_use]
    pub fn with_fixed(mut self, fixed: Vec<(String, f64)>) -> Self {
        self.fixed = fixed;
        self
    }

    /// The same space, searched from these coefficients alone as far as it has them: a warm start.
    #[must_use]
    pub fn starting_at<'a>(mut self, named: impl Iterator<Item = (&'a str, f64)>) -> Self {
        for (name, value) in named {
            if let Some(parameter) = self.parameters.iter_mut().find(|parameter| parameter.name == name) {
                parameter.starts = alloc::vec![value];
            }
        }
        self
    }

    /// Every value by name: the fixed ones, then those of the parameters.
    pub fn named<'a>(&'a self, values: &'a [f64]) -> impl Iterator<Item = (&'a str, f64)> {
        let searched = self.parameters.iter().zip(values).map(|(parameter, value)| (parameter.name.as_str(), *value));
        self.fixed.iter().map(|(name, value)| (name.as_str(), *value)).chain(searched)
    }

    /// The searched coefficients at a point of the unit cube.
    #[must_use]
    pub fn values(&self, point: &[f64]) -> Vec<f64> {
        self.parameters.iter().zip(point).map(|(parameter, x)| parameter.value(*x)).collect()
    }

    /// Where the search starts: every combination of the parameters' own starts, the expected values for the others.
    #[must_use]
    pub fn starts(&self) -> Vec<Vec<f64>> {
        let middle = |p: &Parameter| p.center.map_or(0.5, |(center, _)| p.coordinate(center));
        let mut all: Vec<Vec<f64>> = alloc::vec![self.parameters.iter().map(middle).collect()];
        for (axis, parameter) in self.parameters.iter().enumerate().filter(|(_, p)| !p.starts.is_empty()) {
            let mut more = Vec::with_capacity(all.len() * parameter.starts.len());
            for start in &parameter.starts {
                for point in &all {
                    let mut point = point.clone();
                    if let Some(x) = point.get_mut(axis) {
                        *x = parameter.coordinate(*start);
                    }
                    more.push(point);
                }
            }
            all = more;
        }
        all
    }

    /// Which coordinates are choices.
    #[must_use]
    pub fn choices(&self) -> Vec<usize> {
        let axes = self.parameters.iter().enumerate().filter(|(_, parameter)| parameter.is_choice);
        axes.map(|(axis, _)| axis).collect()
    }

    /// How unlikely coefficients are before any log is read.
    #[must_use]
    pub fn surprise(&self, values: &[f64]) -> f64 {
        self.parameters.iter().zip(values).map(|(parameter, value)| parameter.surprise(*value)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coordinates_and_values_belong_together() {
        let mut parameter = Parameter {
            name: "beta0".into(),
            low: 1.0,
            high: 100.0,
            is_log: true,
            scale: 1000.0,
            center: None,
            starts: Vec::new(),
            is_choice: false,
        };
        assert!((parameter.value(0.5) - 10_000.0).abs() < 1e-9);
        assert!((parameter.coordinate(10_000.0) - 0.5).abs() < 1e-12);
        assert_eq!(parameter.coordinate(1e9), 1.0);
        parameter.is_log = false;
        assert_eq!(parameter.value(0.5), 50_500.0);
        assert_eq!(parameter.surprise(3.0), 0.0);
        parameter.center = Some((50.0, 0.5));
        // One standard deviation away.
        parameter.starts = alloc::vec![1000.0, 100_000.0];
        let other = Parameter { center: None, starts: Vec::new(), ..parameter.clone() };
        assert_eq!(Space::new(alloc::vec![parameter.clone(), other]).starts(), [[0.0, 0.5], [1.0, 0.5]]);
        assert!((parameter.surprise(50.0 * libm::exp(0.5)) - 0.5).abs() < 1e-12);
        // A warm start takes the place of all others; beyond the range it is held at its end.
        let warm =
            Space::new(alloc::vec![parameter.clone()]).starting_at([("beta0", 50_500.0), ("x", 1.0)].into_iter());
        assert_eq!(warm.starts(), [[0.5]]);
        assert_eq!(warm.starting_at([("beta0", 1e9)].into_iter()).starts(), [[1.0]]);
    }
}
