//! Numbers of a replica over simulated time, as few points as a screen needs without losing a peak.

use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// A number over time in bins of equal width from time zero.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Series {
    /// Smallest value in each bin.
    pub min: Vec<u32>,
    /// Largest value in each bin.
    pub max: Vec<u32>,
    /// Mean over the bin's time.
    pub mean: Vec<f32>,
}

/// Fills a [`Series`] of unknown length: whenever time outgrows the bins, two become one.
#[derive(Debug, Clone)]
pub(super) struct SeriesLog {
    /// At most this many bins, even.
    max_bins: usize,
    /// Width of a bin, microseconds; a power of two.
    width: i64,
    bins: Vec<Bin>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Bin {
    min: u32,
    max: u32,
    /// Sum of value × microseconds, and of microseconds.
    area: f64,
    time: i64,
}

impl Bin {
    const EMPTY: Self = Self { min: u32::MAX, max: 0, area: 0.0, time: 0 };

    fn merged(self, other: Self) -> Self {
        Self {
            min: self.min.min(other.min),
            max: self.max.max(other.max),
            area: self.area + other.area,
            time: self.time + other.time,
        }
    }
}

impl SeriesLog {
    /// An empty log of at most `max_bins` bins, at least two.
    pub(super) fn new(max_bins: usize) -> Self {
        Self { max_bins: max_bins.max(2).next_multiple_of(2), width: 1, bins: Vec::new() }
    }

    /// The number went from `first` to `last` evenly between these times, microseconds; times never decrease.
    pub(super) fn add(&mut self, start: i64, end: i64, first: u32, last: u32) {
        if start < 0 || end < start {
            return;
        }
        while end / self.width >= self.max_bins as i64 {
            self.halve();
        }
        let (span, rise) = ((end - start).max(1) as f64, f64::from(last) - f64::from(first));
        let mut from = start;
        loop {
            let bin = from / self.width;
            let to = ((bin + 1) * self.width).min(end);
            let at = |time: i64| f64::from(first) + rise * (time - start) as f64 / span;
            // Peaks count whole: a ramp's ends are never rounded inwards.
            let (low, high) = (at(from).min(at(to)), at(from).max(at(to)));
            let index = bin as usize;
            if index >= self.bins.len() {
                self.bins.resize(index + 1, Bin::EMPTY);
            }
            if let Some(slot) = self.bins.get_mut(index) {
                let part = Bin {
                    min: libm::floor(low + 1e-6) as u32,
                    max: libm::ceil(high - 1e-6) as u32,
                    area: (low + high) / 2.0 * (to - from) as f64,
                    time: to - from,
                };
                *slot = slot.merged(part);
            }
            if to >= end {
                break;
            }
            from = to;
        }
    }

    fn halve(&mut self) {
        self.width *= 2;
        let merged = self.bins.chunks(2).map(|pair| pair.iter().fold(Bin::EMPTY, |sum, bin| sum.merged(*bin)));
        self.bins = merged.collect();
    }

    /// Width of a bin, microseconds.
    pub(super) fn width(&self) -> i64 {
        self.width
    }

    /// The series in bins of `width` microseconds, a power of two no smaller than its own; what nobody told of is 0.
    pub(super) fn series(mut self, width: i64, num_bins: usize) -> Series {
        while self.width < width {
            self.halve();
        }
        self.bins.resize(num_bins, Bin::EMPTY);
        let is_empty = |bin: &Bin| bin.min > bin.max;
        Series {
            min: self.bins.iter().map(|bin| if is_empty(bin) { 0 } else { bin.min }).collect(),
            max: self.bins.iter().map(|bin| bin.max).collect(),
            mean: self
                .bins
                .iter()
                .map(|bin| if bin.time > 0 { (bin.area / bin.time as f64) as f32 } else { bin.max as f32 })
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peak_of_one_microsecond_survives_a_thousandfold_thinning() {
        let mut log = SeriesLog::new(16);
        for time in 0..10_000 {
            let value = if time == 5_000 { 77 } else { 3 };
            log.add(time, time + 1, value, value);
        }
        let width = log.width();
        assert!(width.count_ones() == 1 && 10_000 / width < 16);
        let series = log.series(width, 16);
        assert_eq!(series.max.iter().filter(|max| **max == 77).count(), 1);
        assert_eq!(series.max[(5_000 / width) as usize], 77);
        assert_eq!(series.min[0], 3);
        // The mean of its bin: one microsecond of `width` at 77.
        let expected = 3.0 + 74.0 / width as f32;
        assert!((series.mean[(5_000 / width) as usize] - expected).abs() < 1e-3);
    }

    #[test]
    fn a_ramp_over_several_bins_keeps_its_ends_and_its_mean() {
        let mut log = SeriesLog::new(8);
        log.add(0, 800, 10, 90);
        let width = log.width();
        let series = log.series(width, (800 / width) as usize + 1);
        assert_eq!((series.min[0], *series.max.last().expect("bins")), (10, 90));
        let total: f32 =
            series.mean.iter().zip(0..).map(|(mean, bin)| mean * (800 - bin * width).clamp(0, width) as f32).sum();
        assert!((total / 800.0 - 50.0).abs() < 0.01, "{total}");
    }

    #[test]
    fn an_instant_counts_and_gaps_are_nothing() {
        let mut log = SeriesLog::new(4);
        log.add(3, 3, 9, 9);
        let series = log.series(1, 4);
        assert_eq!((series.max, series.mean), (alloc::vec![0, 0, 0, 9], alloc::vec![0.0, 0.0, 0.0, 9.0]));
    }
}
