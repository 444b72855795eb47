//! How much a curve is worth: rates, requests, seeds, and what is searched.

use crate::numeric::sort_few;
use crate::scenario::CurveSettings;

/// Size of a study.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CurvePlan {
    /// Rates of the grid, at least 2.
    pub num_rates: u32,
    /// Requests of one run of one replica, at least, and as many times more as a cluster has replicas, up to eight; a study that bisects makes all its runs longer where a large batch needs it
    /// ([`crate::curve::Curve::num_requests`]).
    pub num_requests: u32,
    /// Seeds per rate, at least 1.
    pub num_seeds: u32,
    /// Whether saturation point and capacity are narrowed down beyond the grid.
    pub bisects: bool,
    /// Whether points and capacity are made statements about the steady state, by runs that are long enough.
    pub settles: bool,
    /// Whether the lever is looked for.
    pub ablates: bool,
}

impl CurvePlan {
    /// A coherent picture at once, while a control moves: 12 rates × 2,000 requests × 1 seed, saturation point and
    /// capacity as close as the grid has them.
    ///
    /// The runs are those of the full study at its default size, which can go on from them
    /// ([`crate::curve::CurveStudy::refined`]) and then shows the same verdicts; 1,000 requests would leave everything
    /// near the saturation point of a large batch undecided.
    #[must_use]
    pub fn follow() -> Self {
        Self { num_rates: 12, num_requests: 2000, num_seeds: 1, bisects: false, settles: false, ablates: false }
    }

    /// The whole grid of the scenario and a capacity that is still settling: short runs of one seed.
    #[must_use]
    pub fn full(settings: &CurveSettings) -> Self {
        Self { settles: false, ablates: false, ..Self::settled(settings) }
    }

    /// Everything, in the steady state and at the scenario's resolution.
    #[must_use]
    pub fn settled(settings: &CurveSettings) -> Self {
        Self {
            num_rates: settings.num_rates.max(2),
            num_requests: settings.num_requests.max(1),
            num_seeds: settings.num_seeds.max(1),
            bisects: true,
            settles: true,
            ablates: true,
        }
    }
}

/// The highest rate of an axis that shows a deployment which serves about `sustained` requests per second.
///
/// A little more than what saturates it, so that both sides are seen; a multiple of 24 round steps, so that the axis
/// stays put while a control moves a little, its grid has round rates, and a grid of twelve is every other rate of one
/// of twenty-four.
pub(super) fn axis_top(sustained: f64) -> f64 {
    const STEPS: [f64; 13] = [1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0, 7.0, 8.0];
    let wanted = (sustained * 1.3 / 24.0).clamp(1e-6, 1e9);
    let mut decade = 1e-6;
    loop {
        for step in STEPS {
            let step = round_to_digits(step * decade, 3);
            if step >= wanted {
                return round_to_digits(step * 24.0, 4);
            }
        }
        decade *= 10.0;
    }
}

/// The value with so many significant digits.
pub(super) fn round_to_digits(value: f64, digits: i32) -> f64 {
    if value <= 0.0 || !value.is_finite() {
        return value;
    }
    let exponent = digits - 1 - libm::floor(libm::log10(value)) as i32;
    // Powers of ten up to 10²² are exact; dividing by one keeps 0.1 the double nearest to it.
    if exponent >= 0 {
        let scale = libm::pow(10.0, f64::from(exponent));
        libm::round(value * scale) / scale
    } else {
        let scale = libm::pow(10.0, f64::from(-exponent));
        libm::round(value / scale) * scale
    }
}

/// Rates of a grid by ascending rate: evenly spaced, `low` and `high` included.
pub(super) fn grid(range: [f64; 2], num_rates: u32) -> alloc::vec::Vec<f64> {
    let [low, high] = range;
    let last = f64::from(num_rates.max(2) - 1);
    let rate = |index: u32| round_to_digits(low + (high - low) * f64::from(index) / last, 6);
    let mut rates: alloc::vec::Vec<f64> = (0..num_rates.max(2)).map(rate).collect();
    rates.dedup();
    rates
}

/// Positions 0..`count` in an order that fills the range from coarse to fine, the highest first.
pub(super) fn coarse_to_fine(count: usize) -> alloc::vec::Vec<usize> {
    let bits = usize::BITS - count.leading_zeros();
    let mut order: alloc::vec::Vec<usize> = (1..=count).collect();
    let rank = |position: usize| if position == count { 0 } else { position.reverse_bits() >> (usize::BITS - bits) };
    sort_few(&mut order, |left, right| rank(*left).cmp(&rank(*right)));
    order.iter().map(|position| position - 1).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn the_axis_is_round_and_follows() {
        assert_eq!(axis_top(27.0), 36.0);
        assert_eq!(axis_top(27.5), 36.0);
        assert_eq!(axis_top(28.0), 42.0);
        assert_eq!(axis_top(0.01), 0.0144);
        assert!(axis_top(0.0) > 0.0 && axis_top(1e300).is_finite());
        for sustained in [0.003, 0.7, 5.0, 111.0, 9000.0] {
            let top = axis_top(sustained);
            assert!(top >= 1.29 * sustained && top <= 1.7 * sustained, "{sustained}: {top}");
        }
    }

    #[test]
    fn a_coarse_grid_is_part_of_the_fine_one() {
        let top = axis_top(27.0);
        let (coarse, fine) = (grid([top / 12.0, top], 12), grid([top / 24.0, top], 24));
        assert_eq!(fine.len(), 24);
        assert!(coarse.iter().all(|rate| fine.contains(rate)), "{coarse:?} {fine:?}");
        assert_eq!(fine[..3], [1.5, 3.0, 4.5]);
    }

    #[test]
    fn the_order_covers_everything_once_and_spreads() {
        let order = coarse_to_fine(24);
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..24).collect::<alloc::vec::Vec<_>>());
        assert_eq!(order[..4], [23, 15, 7, 3]);
        assert_eq!(coarse_to_fine(1), vec![0]);
    }
}
