//! A sample of whole numbers in a few figures and as bars.

use super::select_percentiles;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Beyond this ratio of the largest value to the median, bars of equal width would put most values into one or two.
const MAX_LINEAR_RATIO: f64 = 20.0;

/// How many values lie in each of adjacent ranges.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Histogram {
    /// Ascending; bar i holds the values from edge i to before edge i + 1. One more than there are bars, or none.
    pub edges: Vec<u64>,
    /// Values in each bar.
    pub counts: Vec<u64>,
    /// Whether the bars' widths grow by a factor, for samples with a long tail.
    pub is_logarithmic: bool,
}

/// A sample of whole numbers in a few figures and as bars.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Distribution {
    /// How many values.
    pub count: u64,
    /// Arithmetic mean; 0 without values, as all that follow.
    pub mean: f64,
    /// Smallest value.
    pub min: u64,
    /// Largest value.
    pub max: u64,
    /// 50th, 90th and 99th percentile by linear interpolation between ranks, as in reports.
    pub percentiles: [f64; 3],
    /// All values by size.
    pub histogram: Histogram,
}

impl Distribution {
    /// The figures of a sample, which is reordered, with at most `max_bars` + 1 bars.
    #[must_use]
    pub fn of(values: &mut [u64], max_bars: u64) -> Self {
        let (Some(&min), Some(&max)) = (values.iter().min(), values.iter().max()) else { return Self::default() };
        let mut percentiles = [0.0; 3];
        for (slot, found) in
            percentiles.iter_mut().zip(select_percentiles(values, &[50.0, 90.0, 99.0], |value| value as f64))
        {
            *slot = found.value();
        }
        // Sums of up to 2⁵³ tokens are exact, so the order of addition does not matter.
        let sum = values.iter().map(|&value| value as f64).sum::<f64>();
        let is_logarithmic = max as f64 > percentiles[0].max(1.0) * MAX_LINEAR_RATIO;
        let edges = if is_logarithmic { growing(min, max, max_bars.max(1)) } else { equal(min, max, max_bars.max(1)) };
        let mut counts = alloc::vec![0; edges.len().saturating_sub(1)];
        for value in values.iter() {
            let bar = edges.partition_point(|edge| edge <= value).saturating_sub(1).min(counts.len().saturating_sub(1));
            if let Some(count) = counts.get_mut(bar) {
                *count += 1;
            }
        }
        Self {
            count: values.len() as u64,
            mean: sum / values.len() as f64,
            min,
            max,
            percentiles,
            histogram: Histogram { edges, counts, is_logarithmic },
        }
    }
}

/// Edges at multiples of a width of 1, 2 or 5 times a power of ten.
fn equal(min: u64, max: u64, max_bars: u64) -> Vec<u64> {
    let needed = (max - min) / max_bars + 1;
    let mut width: u64 = 1;
    let mut factors = [2, 5, 10].iter().cycle();
    let mut decade = 1;
    while width < needed {
        let factor = factors.next().copied().unwrap_or(10);
        width = decade * factor;
        if factor == 10 {
            decade = width;
        }
    }
    let first = min / width;
    (first..=max / width + 1).map(|index| index.saturating_mul(width)).collect()
}

/// Edges that grow by a factor, rounded to whole numbers; narrow ones fall together.
fn growing(min: u64, max: u64, max_bars: u64) -> Vec<u64> {
    let first = min.max(1) as f64;
    let factor = libm::pow((max as f64 + 1.0) / first, 1.0 / max_bars as f64);
    let mut edges = alloc::vec![min];
    for index in 1..max_bars {
        let edge = libm::ceil(first * libm::pow(factor, index as f64)) as u64;
        if edges.last().is_some_and(|last| edge > *last) && edge <= max {
            edges.push(edge);
        }
    }
    edges.push(max.saturating_add(1));
    edges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_in_the_bar_between_its_edges() {
        let mut values = [10, 11, 19, 20, 39, 40, 55];
        let found = Distribution::of(&mut values, 5);
        // 45 / 5 + 1 = 10 wide, beginning at a multiple of it.
        assert_eq!(found.histogram.edges, [10, 20, 30, 40, 50, 60]);
        assert_eq!(found.histogram.counts, [3, 1, 1, 1, 1]);
        assert!(!found.histogram.is_logarithmic);
        assert_eq!((found.count, found.min, found.max), (7, 10, 55));
        // 194 / 7; ranks 3, 5.4 and 5.94 of the ordered sample.
        assert!((found.mean - 194.0 / 7.0).abs() < 1e-12);
        let expected = [20.0, 40.0 + 0.4 * 15.0, 40.0 + 0.94 * 15.0];
        assert!(found.percentiles.iter().zip(expected).all(|(got, wanted)| (got - wanted).abs() < 1e-9));
    }

    #[test]
    fn a_long_tail_gets_growing_bars_that_hold_everything() {
        let mut values: Vec<u64> = (1..=1000).map(|index| 1_000_000 / index).collect();
        let found = Distribution::of(&mut values, 40);
        let Histogram { edges, counts, is_logarithmic } = found.histogram;
        assert!(is_logarithmic && counts.len() > 20 && counts.len() <= 41);
        assert!(edges.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(counts.iter().sum::<u64>(), 1000);
        assert_eq!((edges.first(), edges.last()), (Some(&1000), Some(&1_000_001)));
    }

    #[test]
    fn one_value_many_times_is_one_bar_and_none_is_nothing() {
        let found = Distribution::of(&mut [7; 30], 40);
        assert_eq!((found.histogram.edges, found.histogram.counts), (alloc::vec![7, 8], alloc::vec![30]));
        assert_eq!(Distribution::of(&mut [], 40), Distribution::default());
    }

    #[test]
    fn the_largest_numbers_do_not_overflow() {
        let found = Distribution::of(&mut [0, u64::MAX], 10);
        assert_eq!(found.histogram.counts.iter().sum::<u64>(), 2);
    }
}
