//! Laws of lengths (workload specification 3, distributions).

use crate::numeric::{larger, smaller, sort_by_key};
use crate::random::Stream;
use crate::scenario::LengthSettings;
use alloc::vec::Vec;

/// Longest length drawn, tokens; the tails of unbounded laws end there.
const LONGEST: f64 = 16_777_216.0;

/// How one quantity of a request is drawn.
#[derive(Debug, Clone)]
pub(super) enum Law {
    Constant(u32),
    Normal {
        mean: f64,
        std_dev: f64,
        min: f64,
        max: f64,
    },
    /// The logarithm is normal.
    Lognormal {
        mu: f64,
        sigma: f64,
        min: f64,
        max: f64,
    },
    Exponential {
        mean: f64,
    },
    ParetoLognormal {
        /// −1/α.
        exponent: f64,
        xm: f64,
        mu: f64,
        sigma: f64,
        mix_weight: f64,
    },
    Empirical(Table),
}

impl Law {
    /// Settings that `resolve` would refuse do not fail: what cannot be drawn has length 1.
    pub(super) fn new(settings: &LengthSettings) -> Self {
        match settings {
            LengthSettings::Constant { value } => Self::Constant((*value).max(1)),
            LengthSettings::Normal { min, max, .. } | LengthSettings::Lognormal { min, max, .. } if min >= max => {
                Self::Constant((*min).max(1))
            }
            LengthSettings::Normal { mean, std_dev, min, max } => {
                Self::Normal { mean: *mean, std_dev: *std_dev, min: f64::from(*min), max: f64::from(*max) }
            }
            LengthSettings::Lognormal { mean, std_dev, min, max } => {
                let ratio = std_dev / mean;
                let variance = libm::log1p(ratio * ratio);
                Self::Lognormal {
                    mu: libm::log(*mean) - variance / 2.0,
                    sigma: libm::sqrt(variance),
                    min: f64::from(*min),
                    max: f64::from(*max),
                }
            }
            LengthSettings::Exponential { mean } => Self::Exponential { mean: *mean },
            LengthSettings::ParetoLognormal { alpha, xm, mu, sigma, mix_weight } => Self::ParetoLognormal {
                exponent: -1.0 / alpha,
                xm: *xm,
                mu: *mu,
                sigma: *sigma,
                mix_weight: *mix_weight,
            },
            LengthSettings::Empirical { weights } => match Table::new(weights) {
                Ok(table) => Self::Empirical(table),
                Err(value) => Self::Constant(value),
            },
        }
    }

    /// A length; at least 1, except where weights name 0.
    #[inline]
    pub(super) fn draw(&self, stream: &mut Stream) -> u32 {
        match self {
            Self::Constant(value) => *value,
            Self::Normal { mean, std_dev, min, max } => {
                round(smaller(larger(mean + std_dev * stream.normal(), *min), *max))
            }
            Self::Lognormal { mu, sigma, min, max } => {
                round(smaller(larger(libm::exp(mu + sigma * stream.normal()), *min), *max))
            }
            Self::Exponential { mean } => round(smaller(mean * stream.exponential(), LONGEST)),
            Self::ParetoLognormal { exponent, xm, mu, sigma, mix_weight } => {
                // Two draws whichever part it is, so that what follows stays in step.
                let (part, size) = (stream.open_unit(), stream.open_unit());
                let value = if part < *mix_weight {
                    xm * libm::pow(size, *exponent)
                } else {
                    libm::exp(mu + sigma * crate::random::normal_quantile(size))
                };
                round(smaller(value, LONGEST))
            }
            Self::Empirical(table) => table.draw(stream.open_unit()),
        }
    }
}

/// Half away from zero, at least 1; for the values of this module, which are never negative.
#[inline]
fn round(value: f64) -> u32 {
    // Exact for every double but the largest below ½, and a length is at least 1 anyway.
    ((value + 0.5) as u32).max(1)
}

/// Values by their cumulative weight.
#[derive(Debug, Clone)]
pub(super) struct Table {
    /// Cumulative weight up to and with the value; the last is 1.
    entries: Vec<(f64, u32)>,
    /// The first entry that reaches k/256, by k.
    guide: Vec<u32>,
}

impl Table {
    /// # Errors
    /// Fewer than two values have a weight: the one value that is always drawn, 1 without any.
    fn new(weights: &[(u32, f64)]) -> Result<Self, u32> {
        // All weights count in the sum, also those that are not positive.
        let sum: f64 = weights.iter().map(|(_, weight)| weight).sum();
        let mut drawn: Vec<(u32, f64)> = weights.iter().copied().filter(|(_, weight)| *weight > 0.0).collect();
        // By value, so that larger draws give larger lengths.
        sort_by_key(&mut drawn, |(value, _)| [(*value).into(), 0]);
        if drawn.len() < 2 || sum <= 0.0 {
            return Err(drawn.first().map_or(1, |(value, _)| *value));
        }
        let mut cumulative = 0.0;
        let mut entries: Vec<(f64, u32)> = Vec::with_capacity(drawn.len());
        for (value, weight) in drawn {
            cumulative += weight / sum;
            entries.push((cumulative, value));
        }
        if let Some(last) = entries.last_mut() {
            last.0 = 1.0;
        }
        let first = |k: u32| entries.partition_point(|(reach, _)| *reach < f64::from(k) / 256.0) as u32;
        let guide = (0..256).map(first).collect();
        Ok(Self { entries, guide })
    }

    /// The first value whose cumulative weight is at least `unit`, 0 < `unit` < 1.
    #[inline]
    fn draw(&self, unit: f64) -> u32 {
        let mut at = self.guide[(unit * 256.0) as usize & 255] as usize;
        while at + 1 < self.entries.len() && self.entries[at].0 < unit {
            at += 1;
        }
        self.entries[at].1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Purpose, Seed};
    use std::collections::BTreeMap;
    use std::vec::Vec;

    const N: u32 = 100_000;

    fn draws(settings: &LengthSettings) -> Vec<f64> {
        let mut stream = Stream::new(Seed { seed: 42, replicate: 0 }, Purpose::InputLengths);
        let law = Law::new(settings);
        (0..N).map(|_| f64::from(law.draw(&mut stream))).collect()
    }

    /// Seed 42, 100,000 draws; the bound is 4.9 standard errors: false alarm 1e-6 each.
    fn expect_mean(values: &[f64], mean: f64, variance: f64, slack: f64) {
        let average = values.iter().sum::<f64>() / values.len() as f64;
        let bound = 4.9 * libm::sqrt(variance / values.len() as f64) + slack;
        assert!((average - mean).abs() < bound, "{average}, not {mean} ± {bound}");
    }

    #[test]
    fn exponential_lengths_have_the_moments_of_the_rounded_law() {
        let values = draws(&LengthSettings::Exponential { mean: 200.0 });
        // Rounding a smooth law moves the mean by less than 1/200, the least length of 1 by less than that.
        expect_mean(&values, 200.0, 40_000.0, 0.01);
        let squares: Vec<f64> = values.iter().map(|v| (v - 200.0) * (v - 200.0)).collect();
        expect_mean(&squares, 40_000.0, 8.0 * 1.6e9, 1.0);
        assert!(values.iter().all(|v| *v >= 1.0));
    }

    #[test]
    fn a_pareto_tail_and_a_lognormal_body_mix_by_their_weight() {
        let (alpha, xm, mu, sigma) = (5.0, 1000.0, 4.0, 0.5);
        let values = draws(&LengthSettings::ParetoLognormal { alpha, xm, mu, sigma, mix_weight: 0.3 });
        // The body reaches 1000 with a probability below 1e-8, the tail begins there.
        let tail: Vec<f64> = values.iter().copied().filter(|v| *v >= 1000.0).collect();
        let body: Vec<f64> = values.iter().copied().filter(|v| *v < 1000.0).collect();
        let share: Vec<f64> = values.iter().map(|v| f64::from(u8::from(*v >= 1000.0))).collect();
        expect_mean(&share, 0.3, 0.21, 0.0);
        // Mean αx/(α−1) and variance x²α/((α−1)²(α−2)).
        expect_mean(&tail, 1250.0, 1e6 * 5.0 / 48.0, 0.01);
        let mean = libm::exp(4.125);
        expect_mean(&body, mean, mean * mean * (libm::exp(0.25) - 1.0), 0.01);
    }

    #[test]
    fn weights_are_followed_exactly() {
        // The weight of −1 counts in the sum, 3, and the last value takes what is left.
        let weights = std::vec![(40, 1.0), (7, 2.0), (9, -1.0), (0, 1.0)];
        let settings = LengthSettings::Empirical { weights };
        let mut counts: BTreeMap<u32, u32> = BTreeMap::new();
        for value in draws(&settings) {
            *counts.entry(value as u32).or_default() += 1;
        }
        assert_eq!(counts.keys().copied().collect::<Vec<_>>(), [0, 7]);
        // By value: 0 up to 1/3, 7 up to 1, so that 40 is out of reach.
        let share = f64::from(counts[&0]) / f64::from(N);
        assert!((share - 1.0 / 3.0).abs() < 4.9 * libm::sqrt(2.0 / 9.0 / f64::from(N)), "{share}");
    }

    #[test]
    fn the_guide_finds_what_a_walk_finds() {
        let weights: Vec<(u32, f64)> = (0..900).map(|i| (i, f64::from(i * i % 17) + 0.01)).collect();
        let table = Table::new(&weights).expect("many values");
        for k in 0..10_000 {
            let unit = (f64::from(k) + 0.5) / 10_000.0;
            let walked = table.entries.iter().find(|(reach, _)| *reach >= unit).map(|(_, value)| *value);
            assert_eq!(Some(table.draw(unit)), walked);
        }
        assert!(matches!(
            Law::new(&LengthSettings::Empirical { weights: std::vec![(3, 0.1), (4, 0.0)] }),
            Law::Constant(3)
        ));
    }
}
