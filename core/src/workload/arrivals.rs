//! Gaps between arrivals (workload specification 3, arrival processes).

use crate::random::Stream;
use crate::scenario::ArrivalSettings;
use crate::time::truncate;

/// A stretch of at most this many average gaps is drawn in full.
const MAX_DRAWN_GAPS: f64 = 10_000.0;

/// Gaps drawn at the end of a longer stretch. How far a gap reaches that covers a given tick is known after about cv²
/// gaps, which is at most 108.
const SETTLING_GAPS: f64 = 1000.0;

/// Gaps of one client, microseconds.
#[derive(Debug, Clone)]
pub(super) struct Gaps {
    law: Law,
    stream: Stream,
    /// Mean gap 1/λ, microseconds, evaluated as workload specification 1 words it.
    mean: f64,
}

/// The law of a gap whose mean is 1.
#[derive(Debug, Clone, Copy)]
enum Law {
    Constant,
    Poisson,
    Gamma {
        shape: f64,
    },
    /// `scale·E^exponent` with an exponential E: a weibull of shape 1/exponent.
    Weibull {
        exponent: f64,
        scale: f64,
    },
}

impl Gaps {
    /// Gaps of a process with `lambda` arrivals per microsecond.
    pub(super) fn new(process: &ArrivalSettings, lambda: f64, stream: Stream) -> Self {
        let law = match *process {
            ArrivalSettings::Constant => Law::Constant,
            // Beyond a coefficient of variation of 10 the reference draws exponential gaps.
            ArrivalSettings::Gamma { cv } if 1.0 / (cv * cv) < 0.01 => Law::Poisson,
            ArrivalSettings::Poisson => Law::Poisson,
            ArrivalSettings::Gamma { cv } => Law::Gamma { shape: 1.0 / (cv * cv) },
            ArrivalSettings::Weibull { cv } => {
                let exponent = 1.0 / weibull_shape(cv);
                Law::Weibull { exponent, scale: 1.0 / libm::tgamma(1.0 + exponent) }
            }
        };
        Self { law, stream, mean: 1.0 / lambda }
    }

    /// The next gap, at least 1.
    #[inline]
    pub(super) fn next(&mut self) -> i64 {
        let gap = match self.law {
            Law::Constant => self.mean,
            Law::Poisson => self.stream.exponential() * self.mean,
            Law::Gamma { shape } => self.stream.gamma(shape) / shape * self.mean,
            Law::Weibull { exponent, scale } => libm::pow(self.stream.exponential(), exponent) * scale * self.mean,
        };
        truncate(gap).max(1)
    }

    /// The last tick not after `until` from which the process goes on as if it had run since `from`.
    ///
    /// An exponential gap forgets its past and a constant one repeats it; the others have to be drawn. Over a long
    /// stretch they forget too where it began, so there only the last [`SETTLING_GAPS`] are drawn, after a whole number
    /// of average ones (even gaps keep their pace). What is drawn then is the same with every replay of a seed.
    pub(super) fn skip(&self, from: i64, until: i64) -> i64 {
        match self.law {
            Law::Poisson => until,
            Law::Constant => {
                let gap = truncate(self.mean).max(1);
                from.saturating_add((until - from) / gap * gap)
            }
            Law::Gamma { .. } | Law::Weibull { .. } => {
                // A gap is at least 1, however short the mean.
                let gap = self.mean.max(1.0);
                let num_gaps = libm::floor((until - from) as f64 / gap);
                if num_gaps <= MAX_DRAWN_GAPS {
                    return from;
                }
                from.saturating_add(truncate((num_gaps - SETTLING_GAPS) * gap))
            }
        }
    }
}

/// The shape k of a weibull with this coefficient of variation: cv² = Γ(1+2/k)/Γ(1+1/k)² − 1, which falls with k.
///
/// Bisected to the last digit, where the reference stops within 0.001 of the coefficient, and up to 1000 instead of
/// 100, so that every accepted coefficient is reached.
fn weibull_shape(cv: f64) -> f64 {
    let (mut low, mut high) = (0.1, 1000.0);
    for _ in 0..100 {
        let k = 0.5 * (low + high);
        let first = libm::tgamma(1.0 + 1.0 / k);
        let is_too_ragged = libm::tgamma(1.0 + 2.0 / k) / (first * first) - 1.0 > cv * cv;
        *(if is_too_ragged { &mut low } else { &mut high }) = k;
    }
    0.5 * (low + high)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Purpose, Seed};
    use std::vec::Vec;

    fn gaps(process: ArrivalSettings, mean: f64, n: usize) -> Vec<f64> {
        let stream = Stream::new(Seed { seed: 42, replicate: 0 }, Purpose::Arrivals);
        let mut gaps = Gaps::new(&process, 1.0 / mean, stream);
        (0..n).map(|_| gaps.next() as f64).collect()
    }

    #[test]
    fn the_weibull_shape_solves_its_equation() {
        // k = 1 is the exponential; k = ½ has Γ(5)/Γ(3)² − 1 = 5; k = 2 has (4−π)/π.
        let pi = core::f64::consts::PI;
        for (cv, k) in [(1.0, 1.0), (libm::sqrt(5.0), 0.5), (libm::sqrt((4.0 - pi) / pi), 2.0)] {
            assert!((weibull_shape(cv) - k).abs() < 1e-9, "{cv}: {}", weibull_shape(cv));
        }
        assert!(weibull_shape(0.01) > 100.0 && weibull_shape(10.4) > 0.2);
    }

    /// Seed 42, 100,000 gaps; bounds of 4.9 standard errors: false alarm 1e-6 each.
    #[test]
    fn gaps_have_the_mean_and_variation_asked_for() {
        let n = 100_000;
        let (mean, root) = (200_000.0, libm::sqrt(n as f64));
        let weibull = |k: f64| {
            let moment = |r: f64| libm::tgamma(1.0 + r / k);
            let (m1, m2) = (moment(1.0), moment(2.0));
            let variance = m2 - m1 * m1;
            let fourth = moment(4.0) - 4.0 * moment(3.0) * m1 + 6.0 * m2 * m1 * m1 - 3.0 * m1 * m1 * m1 * m1;
            (libm::sqrt(variance) / m1, fourth / (variance * variance))
        };
        let (rough, rough_kurtosis) = weibull(0.7);
        let (even, even_kurtosis) = weibull(3.0);
        for (process, cv, kurtosis) in [
            (ArrivalSettings::Poisson, 1.0, 9.0),
            (ArrivalSettings::Gamma { cv: 3.5 }, 3.5, 3.0 + 6.0 * 3.5 * 3.5),
            (ArrivalSettings::Gamma { cv: 0.4 }, 0.4, 3.0 + 6.0 * 0.16),
            (ArrivalSettings::Weibull { cv: rough }, rough, rough_kurtosis),
            (ArrivalSettings::Weibull { cv: even }, even, even_kurtosis),
        ] {
            let drawn = gaps(process, mean, n);
            let average = drawn.iter().sum::<f64>() / n as f64;
            // Truncation takes half a microsecond.
            assert!((average / mean - 1.0).abs() < 4.9 * cv / root + 1e-5, "{process:?}: {average}");
            let variance = drawn.iter().map(|gap| (gap - mean) * (gap - mean)).sum::<f64>() / n as f64;
            let bound = 4.9 * libm::sqrt(kurtosis - 1.0) / root;
            assert!((variance / (mean * mean * cv * cv) - 1.0).abs() < bound + 1e-4, "{process:?}: {variance}");
        }
    }

    #[test]
    fn skipping_keeps_the_pace_of_constant_gaps() {
        let stream = Stream::new(Seed { seed: 42, replicate: 0 }, Purpose::Arrivals);
        let of = |process| Gaps::new(&process, 1.0 / 30.0, stream.clone());
        assert_eq!(of(ArrivalSettings::Constant).skip(10, 100), 100);
        assert_eq!(of(ArrivalSettings::Constant).skip(0, 100), 90);
        assert_eq!(of(ArrivalSettings::Poisson).skip(0, 100), 100);
        assert_eq!(of(ArrivalSettings::Gamma { cv: 2.0 }).skip(0, 100), 0);
    }

    #[test]
    fn skipping_a_long_stretch_draws_its_end_alone() {
        let stream = Stream::new(Seed { seed: 42, replicate: 0 }, Purpose::Arrivals);
        let of = |mean: f64| Gaps::new(&ArrivalSettings::Gamma { cv: 2.0 }, 1.0 / mean, stream.clone());
        // 10,000 gaps of 32 are drawn; of 10,001 gaps 9001 are left out.
        assert_eq!(of(32.0).skip(7, 7 + 320_000), 7);
        assert_eq!(of(32.0).skip(7, 7 + 320_032), 7 + 288_032);
        // No gap is shorter than a tick.
        assert_eq!(of(0.001).skip(0, 1_000_000_000_000_000), 999_999_999_999_000);
    }
}
