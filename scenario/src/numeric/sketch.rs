//! A histogram with buckets of constant relative width, for samples too large to keep.

use super::percentile::{Percentile, percentiles_of_counts};
use alloc::vec::Vec;

/// Bits of the value that are kept below its leading one.
const PRECISION: u32 = 9;

/// Largest relative error of a value read back: half a bucket, 2⁻¹⁰, just under 0.1 %.
pub const RELATIVE_ERROR: f64 = 1.0 / (1 << (PRECISION + 1)) as f64;

/// Counts of non-negative integers in buckets whose width is 2⁻⁹ of their value.
///
/// Values below 2¹⁰ have buckets of their own and are exact; a larger one is read back as the middle of its bucket.
///
/// # Cost
/// Constant per value; at most 28,672 counters (224 KiB), whatever the sample.
#[derive(Debug, Clone, Default)]
pub struct Sketch {
    counts: Vec<u64>,
    total: u64,
}

impl Sketch {
    /// Counts one value.
    #[inline]
    pub fn add(&mut self, value: u64) {
        let bucket = bucket(value);
        if bucket >= self.counts.len() {
            self.counts.resize(bucket + 1, 0);
        }
        self.counts[bucket] += 1;
        self.total += 1;
    }

    /// Adds another sketch's counts.
    pub fn merge(&mut self, other: &Sketch) {
        if self.counts.len() < other.counts.len() {
            self.counts.resize(other.counts.len(), 0);
        }
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.total += other.total;
    }

    /// Values counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.total
    }

    /// Percentiles within [`RELATIVE_ERROR`]; `percentiles`: 0–100, ascending.
    #[must_use]
    pub fn percentiles(&self, percentiles: &[f64]) -> Vec<Percentile> {
        let counts =
            self.counts.iter().enumerate().filter(|&(_, &count)| count > 0).map(|(b, &count)| (middle(b), count));
        percentiles_of_counts(counts, self.total, percentiles)
    }
}

/// Bucket of a value: its position of the leading one and the nine bits below it.
#[inline]
fn bucket(value: u64) -> usize {
    let exponent = (63 - (value | 1).leading_zeros()).saturating_sub(PRECISION);
    ((exponent as usize) << PRECISION) + (value >> exponent) as usize
}

/// Middle of a bucket's values.
fn middle(bucket: usize) -> f64 {
    if bucket < 2 << PRECISION {
        return bucket as f64;
    }
    let exponent = (bucket >> PRECISION) - 1;
    let mantissa = (bucket - (exponent << PRECISION)) as u64;
    // The last value of the bucket is one below the next bucket's first.
    ((mantissa << exponent) as f64 + (((mantissa + 1) << exponent) - 1) as f64) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_read_back_within_the_stated_error() {
        let mut value = 1u64;
        while value < 1 << 50 {
            for v in [value - 1, value, value + 1, value + value / 3] {
                let error = (middle(bucket(v)) - v as f64).abs();
                assert!(error <= v as f64 * RELATIVE_ERROR, "{v}: {error}");
                assert!(v >= 1024 || error == 0.0);
            }
            value *= 2;
        }
        const { assert!(RELATIVE_ERROR <= 0.001) };
        assert!(bucket(u64::MAX) < 28_672);
    }

    #[test]
    fn buckets_ascend_with_values() {
        for v in 0..100_000u64 {
            assert!(bucket(v) <= bucket(v + 1) && bucket(v + 1) - bucket(v) <= 1);
        }
    }
}
