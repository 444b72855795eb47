//! Bracketing and bisection over request rate.

use super::plan::round_to_digits;
use super::types::Capacity;
use crate::report::Verdict;

/// Two bounds are close enough when the upper one is at most this factor above the lower.
pub(super) const TOLERANCE: f64 = 1.025;

/// Where something stops holding: the highest rate known to hold and the lowest above it known not to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Bracket {
    /// 0 if nothing holds.
    pub(super) low: f64,
    /// None if the highest rate holds.
    pub(super) high: Option<f64>,
}

impl Bracket {
    /// The bracket of outcomes by ascending rate.
    ///
    /// A single rate that does not hold between rates that do is chance; two in a row are the end.
    pub(super) fn of(outcomes: impl Iterator<Item = (f64, bool)>) -> Self {
        let mut bracket = Bracket { low: 0.0, high: None };
        let mut failures = 0;
        for (rate, holds) in outcomes {
            if holds {
                bracket = Bracket { low: rate, high: None };
                failures = 0;
                continue;
            }
            bracket.high.get_or_insert(rate);
            failures += 1;
            if failures == 2 {
                break;
            }
        }
        bracket
    }

    /// The rate to try next, or none if the bracket is narrow enough or open at one end.
    pub(super) fn next_rate(&self) -> Option<f64> {
        let high = self.high?;
        if self.low <= 0.0 || high <= self.low * TOLERANCE {
            return None;
        }
        let middle = self.low + (high - self.low) / 2.0;
        // A round rate where one fits between the bounds.
        (3..=6).map(|digits| round_to_digits(middle, digits)).find(|&rate| rate > self.low && rate < high)
    }

    /// The bracket after `rate`, which lies inside, was tried.
    pub(super) fn narrowed(&self, rate: f64, holds: bool) -> Self {
        if holds { Bracket { low: rate, ..*self } } else { Bracket { high: Some(rate), ..*self } }
    }

    /// The same as a capacity with this band over seeds; `reason` is why the upper bound does not hold.
    pub(super) fn capacity(&self, band: [f64; 2], reason: Option<Verdict>) -> Capacity {
        let is_final = self.high.is_some_and(|high| self.low <= 0.0 || high <= self.low * TOLERANCE);
        // Not known to hold nor to fail: no bound.
        let is_unbounded = self.low <= 0.0 && reason == Some(Verdict::Undecided);
        let [low, high] = band;
        Capacity {
            request_rate: self.low,
            next_failing_rate: self.high.filter(|_| !is_unbounded),
            next_failing_verdict: self.high.and(reason),
            band: [low.min(self.low), high.max(self.low)],
            is_final,
            is_settled: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn of(outcomes: &[(f64, bool)]) -> Bracket {
        Bracket::of(outcomes.iter().copied())
    }

    #[test]
    fn one_failure_between_successes_is_chance_and_two_are_the_end() {
        let chance = of(&[(1.0, true), (2.0, false), (3.0, true), (4.0, false), (5.0, false), (6.0, true)]);
        assert_eq!(chance, Bracket { low: 3.0, high: Some(4.0) });
        assert_eq!(of(&[(1.0, false), (2.0, false), (3.0, true)]), Bracket { low: 0.0, high: Some(1.0) });
        assert_eq!(of(&[(1.0, true), (2.0, true)]), Bracket { low: 2.0, high: None });
    }

    #[test]
    fn bisection_finds_a_threshold_within_tolerance() {
        for threshold in [0.013, 1.0, 25.7, 9999.0] {
            let mut bracket = Bracket { low: threshold * 0.6, high: Some(threshold * 1.7) };
            let mut tried = Vec::new();
            while let Some(rate) = bracket.next_rate() {
                tried.push(rate);
                bracket = bracket.narrowed(rate, rate <= threshold);
            }
            assert!(tried.len() <= 7, "{tried:?}");
            let capacity = bracket.capacity([0.0, 0.0], Some(Verdict::Overloaded));
            assert!(capacity.is_final && capacity.request_rate <= threshold);
            assert!(
                capacity
                    .next_failing_rate
                    .is_some_and(|high| high > threshold && high <= capacity.request_rate * TOLERANCE)
            );
        }
    }
}
