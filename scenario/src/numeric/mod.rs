//! Small exact statistics: percentiles by selection, samples that turn into a sketch when they grow large.

mod histogram;
mod percentile;
mod samples;
mod sketch;

pub use histogram::{Distribution, Histogram};
pub use percentile::{Percentile, percentiles_of_counts, select_percentiles};
pub use samples::{EXACT_LIMIT, SampleSummary, Samples};
pub use sketch::{RELATIVE_ERROR, Sketch};

use alloc::collections::BinaryHeap;
use alloc::vec::Vec;
use core::cmp::Ordering;

/// Sorts a few values; equal ones keep their order.
///
/// # Cost
/// Quadratic. The library's sort is several kilobytes of code for each type and order, and first loads count those.
pub fn sort_few<T>(values: &mut [T], mut compare: impl FnMut(&T, &T) -> Ordering) {
    for end in 1..values.len() {
        let mut at = end;
        while at > 0 && compare(&values[at], &values[at - 1]).is_lt() {
            values.swap(at, at - 1);
            at -= 1;
        }
    }
}

/// The greatest number with this many decimals that is not above `value`, at least zero; below zero decimals it ends in
/// zeros.
///
/// For what is shown of a rate that is known to hold: rounded to the nearest, the figure could be one that fails. A value
/// that has no more decimals stays as it is.
#[must_use]
pub fn rounded_down(value: f64, decimals: i32) -> f64 {
    // Powers of ten that doubles hold exactly.
    let decimals = decimals.clamp(-22, 22);
    let scale = (0..decimals.abs()).fold(1.0, |scale, _| scale * 10.0);
    let scaled = if decimals < 0 { value / scale } else { value * scale };
    // 1.15 × 100 is a little less than 115.
    let whole = libm::floor(scaled * (1.0 + 4.0 * f64::EPSILON));
    if decimals < 0 { whole * scale } else { whole / scale }
}

/// Sorts by a key of two numbers; equal ones keep their order.
///
/// # Cost
/// `n log n`, with two lists of that length beside it. The sorting itself is one function for every type, and a heap's:
/// the library's sorts are five to ten kilobytes of code for each type, and first loads count those.
pub fn sort_by_key<T>(values: &mut Vec<T>, key: impl Fn(&T) -> [i64; 2]) {
    if values.len() < 2 {
        return;
    }
    let order: BinaryHeap<([i64; 2], usize)> = values.iter().enumerate().map(|(at, value)| (key(value), at)).collect();
    let mut slots: Vec<Option<T>> = values.drain(..).map(Some).collect();
    values.extend(order.into_sorted_vec().into_iter().filter_map(|(_, at)| slots.get_mut(at)?.take()));
}

/// `left · right`, exactly.
///
/// # Cost
/// One machine multiplication where both are below 2³²; a 128-bit one is a function call in WebAssembly.
#[inline]
#[must_use]
pub fn product(left: u64, right: u64) -> u128 {
    if (left | right) >> 32 == 0 { u128::from(left * right) } else { u128::from(left) * u128::from(right) }
}

/// The larger of two numbers of which neither is NaN.
///
/// # Cost
/// A comparison; `f64::max`, which is about NaN too, is a function call in WebAssembly.
#[inline]
#[must_use]
pub fn larger(left: f64, right: f64) -> f64 {
    if left > right { left } else { right }
}

/// The smaller of two numbers of which neither is NaN; see [`larger`].
#[inline]
#[must_use]
pub fn smaller(left: f64, right: f64) -> f64 {
    if left < right { left } else { right }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_are_sorted_and_equals_keep_their_order() {
        let mut values = [(2, 'a'), (1, 'b'), (2, 'c'), (0, 'd'), (1, 'e')];
        sort_few(&mut values, |left, right| left.0.cmp(&right.0));
        assert_eq!(values, [(0, 'd'), (1, 'b'), (1, 'e'), (2, 'a'), (2, 'c')]);
        sort_few(&mut values[..0], |left, right| left.cmp(right));
    }

    #[test]
    fn what_is_rounded_down_is_never_more_and_short_decimals_stay() {
        for (value, decimals, expected) in
            [(18.75, 1, 18.7), (18.799_999, 1, 18.7), (1239.0, -1, 1230.0), (0.012_39, 4, 0.0123), (7.0, 0, 7.0)]
        {
            assert_eq!(rounded_down(value, decimals), expected, "{value}");
        }
        for hundredths in 0..10_000 {
            let value = f64::from(hundredths) / 100.0;
            assert_eq!(rounded_down(value, 2), value);
            assert_eq!(rounded_down(value + 0.004, 2), value);
        }
        assert_eq!(rounded_down(0.0, 300), 0.0);
    }
}
