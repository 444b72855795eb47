//! Gaps between arrivals (workload specification 3, arrival processes).

use crate::random::Stream;
use crate::scenario::ArrivalSettings;
use crate::time::truncate;

/// A stretch of at most this many average gaps is drawn in full, so that a hundred thousand clients whose windows begin
/// late are ready in a second.
const MAX_DRAWN_GAPS: f64 = 100.0;

/// Even gaps left to be drawn at the end of a longer stretch; those before it end within as many, as a normal draw is
/// below 8.3.
const EVEN_GAPS: f64 = 10.0;

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
        cv: f64,
    },
    /// `scale·E^exponent` with an exponential E: a weibull of shape 1/exponent.
    Weibull {
        exponent: f64,
        scale: f64,
        cv: f64,
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
            ArrivalSettings::Gamma { cv } => Law::Gamma { shape: 1.0 / (cv * cv), cv },
            ArrivalSettings::Weibull { cv } => {
                let exponent = 1.0 / weibull_shape(cv);
                Law::Weibull { exponent, scale: 1.0 / libm::tgamma(1.0 + exponent), cv }
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
            Law::Gamma { shape, .. } => self.stream.gamma(shape) / shape * self.mean,
            Law::Weibull { exponent, scale, .. } => libm::pow(self.stream.exponential(), exponent) * scale * self.mean,
        };
        truncate(gap).max(1)
    }

    /// The next arrival of a process with one at `from`, of which those up to `until` do not matter; it may be one of
    /// these, and is to be gone on from then.
    ///
    /// An exponential gap forgets its past and a constant one repeats it; the others are drawn over a short stretch. Over
    /// a long one they forget too where it began, once their sum is uncertain by a gap: what is left at `until` of the
    /// gap that covers it is then a uniform part of a gap drawn with its length as weight. Gaps so even that their sum is
    /// known better are left out at once, as a normal sum, but for the last few.
    ///
    /// # Source
    /// The stationary renewal process: D. R. Cox, Renewal Theory (1962), 5.3. Weighted with its length a gamma gap is
    /// one of a shape larger by 1, and so is the exponential in a weibull gap, larger by the exponent.
    pub(super) fn next_behind(&mut self, from: i64, until: i64) -> i64 {
        // A gap is at least 1, however short the mean.
        let gap = self.mean.max(1.0);
        let num_gaps = libm::floor((until - from) as f64 / gap);
        let cv = match self.law {
            Law::Poisson => return until.saturating_add(self.next()),
            Law::Constant => {
                let gap = truncate(self.mean).max(1);
                return from.saturating_add((until - from) / gap * gap).saturating_add(gap);
            }
            Law::Gamma { cv, .. } | Law::Weibull { cv, .. } => cv,
        };
        if num_gaps <= MAX_DRAWN_GAPS {
            return from.saturating_add(self.next());
        }
        let spread = cv * libm::sqrt(num_gaps);
        if spread < 1.0 {
            let left_out = num_gaps - EVEN_GAPS + spread * self.stream.normal();
            return from.saturating_add(truncate(left_out * gap)).saturating_add(self.next());
        }
        let covering = match self.law {
            Law::Weibull { exponent, scale, .. } => libm::pow(self.stream.gamma(1.0 + exponent), exponent) * scale,
            Law::Gamma { shape, .. } => self.stream.gamma(shape + 1.0) / shape,
            Law::Constant | Law::Poisson => 1.0,
        };
        let rest = self.stream.open_unit() * covering * self.mean;
        until.saturating_add(truncate(rest).max(1))
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
        assert_eq!(of(ArrivalSettings::Constant).next_behind(10, 100), 130);
        assert_eq!(of(ArrivalSettings::Constant).next_behind(0, 100), 120);
        let poisson = of(ArrivalSettings::Poisson);
        assert_eq!(poisson.clone().next_behind(0, 100), 100 + poisson.clone().next());
        // A hundred gaps are drawn one by one.
        let ragged = of(ArrivalSettings::Gamma { cv: 2.0 });
        assert_eq!(ragged.clone().next_behind(0, 3000), ragged.clone().next());
        assert!(ragged.clone().next_behind(0, 3030) > 3030);
    }

    /// Seed 42, 10,000 processes each; bounds of 4.9 standard errors: false alarm 1e-6 each.
    #[test]
    fn behind_a_long_stretch_a_process_goes_on_as_if_it_had_been_drawn() {
        let n = 10_000u32;
        for (process, cv) in [
            (ArrivalSettings::Gamma { cv: 2.0 }, 2.0),
            (ArrivalSettings::Gamma { cv: 0.5 }, 0.5),
            (ArrivalSettings::Weibull { cv: 2.0 }, 2.0),
            (ArrivalSettings::Weibull { cv: 0.5 }, 0.5),
        ] {
            let mean = 1000.0;
            let rest_after = |stretch: i64, is_drawn: bool| {
                (0..n).map(move |part| {
                    let stream = Stream::of_part(Seed { seed: 42, replicate: 0 }, Purpose::Arrivals, u64::from(part));
                    let mut gaps = Gaps::new(&process, 1.0 / mean, stream);
                    let mut arrive = 0;
                    while arrive <= stretch {
                        arrive = if is_drawn { arrive + gaps.next() } else { gaps.next_behind(arrive, stretch) };
                    }
                    (arrive - stretch) as f64
                })
            };
            // The mean rest of a gap is (1 + cv²)/2 of the mean gap, by inspection of the residual law.
            let moments = |stretch, is_drawn| {
                let sums = rest_after(stretch, is_drawn).fold([0.0, 0.0], |[a, b], rest| [a + rest, b + rest * rest]);
                let [first, second] = sums.map(|sum| sum / f64::from(n));
                (first, libm::sqrt((second - first * first) / f64::from(n)))
            };
            let (skipped, error) = moments(300_000, false);
            let expected = (1.0 + cv * cv) / 2.0 * mean;
            assert!((skipped - expected).abs() < 4.9 * error + 1.0, "{process:?}: {skipped}, not {expected}");
            let (drawn, other) = moments(300_000, true);
            assert!((skipped - drawn).abs() < 4.9 * libm::hypot(error, other) + 1.0, "{process:?}: {skipped}, {drawn}");
        }
    }

    /// Seed 42, 20,000 processes; bounds of 4.9 standard errors: false alarm 1e-6 each.
    #[test]
    fn even_gaps_keep_their_pace_over_a_long_stretch() {
        let n = 20_000u32;
        // 400 gaps of 1,000 us with a coefficient of variation of 0.01 end within 200 us of 400 ms.
        let firsts = (0..n).map(|part| {
            let stream = Stream::of_part(Seed { seed: 42, replicate: 0 }, Purpose::Arrivals, u64::from(part));
            let mut gaps = Gaps::new(&ArrivalSettings::Gamma { cv: 0.01 }, 1.0 / 1000.0, stream);
            let mut arrive = 0;
            while arrive < 399_000 {
                arrive = gaps.next_behind(arrive, 398_999);
            }
            // By chance the 399th comes before the end of the stretch, and this is the 400th.
            (arrive - 399_000) % 1000
        });
        let deviations = firsts.map(|at| if at > 500 { at - 1000 } else { at } as f64);
        let [sum, squares] = deviations.fold([0.0, 0.0], |[a, b], d| [a + d, b + d * d]);
        let count = f64::from(n);
        // Truncation takes half a microsecond of the few that are drawn.
        assert!((sum / count).abs() < 4.9 * 200.0 / libm::sqrt(count) + 6.0, "{}", sum / count);
        let deviation = libm::sqrt(squares / count);
        assert!((deviation / 200.0 - 1.0).abs() < 4.9 / libm::sqrt(2.0 * count) + 0.01, "{deviation}");
    }

    #[test]
    fn a_gap_is_a_tick_however_long_the_stretch() {
        let stream = Stream::new(Seed { seed: 42, replicate: 0 }, Purpose::Arrivals);
        let mut gaps = Gaps::new(&ArrivalSettings::Gamma { cv: 2.0 }, 1.0 / 0.001, stream);
        assert_eq!(gaps.next_behind(0, 1_000_000_000_000_000), 1_000_000_000_000_001);
    }
}
