//! Samples of times: every value kept while they are few, a sketch beyond.

use super::percentile::{Percentile, select_percentiles};
use super::sketch::Sketch;
use alloc::vec::Vec;

/// Values kept exactly; a larger sample becomes a [`Sketch`]. Four million of four bytes: 16 MiB.
pub const EXACT_LIMIT: usize = 4 << 20;

/// A sample of non-negative times in whole units.
#[derive(Debug, Clone)]
pub struct Samples {
    values: Values,
    /// Of the values in the sketch; those that are kept are counted when somebody asks.
    sketched: Moments,
    exact_limit: usize,
}

#[derive(Debug, Clone, Copy)]
struct Moments {
    count: u64,
    sum: Sum,
    min: u64,
    max: u64,
}

impl Moments {
    const NONE: Self = Self { count: 0, sum: Sum { low: 0, carries: 0 }, min: u64::MAX, max: 0 };

    #[inline]
    fn add(&mut self, value: u64) {
        self.count += 1;
        self.sum.add(value);
        self.min = self.min.min(value);
        self.max = self.max.max(value);
    }

    fn of(values: impl Iterator<Item = u64>) -> Self {
        let mut moments = Self::NONE;
        values.for_each(|value| moments.add(value));
        moments
    }

    fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.sum.add(other.sum.low);
        self.sum.carries += other.sum.carries;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }
}

#[derive(Debug, Clone)]
enum Values {
    /// All values so far are below 2³².
    Narrow(Vec<u32>),
    /// Some value was larger.
    Wide(Vec<u64>),
    /// There were too many to keep.
    Sketch(Sketch),
}

/// An exact sum; wider than 64 bits only where it must be, as wide sums are slow in WebAssembly.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    low: u64,
    carries: u64,
}

impl Sum {
    #[inline]
    fn add(&mut self, value: u64) {
        let (low, overflows) = self.low.overflowing_add(value);
        self.low = low;
        self.carries += u64::from(overflows);
    }

    fn value(self) -> f64 {
        ((u128::from(self.carries) << 64) | u128::from(self.low)) as f64
    }
}

/// What a sample is reported by, in the unit of its values.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SampleSummary {
    /// Values.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
    /// Smallest; 0 if there is none.
    pub min: f64,
    /// Largest; 0 if there is none.
    pub max: f64,
    /// The percentiles asked for, in the order asked.
    pub percentiles: Vec<Percentile>,
    /// Whether the percentiles are exact rather than within [`super::RELATIVE_ERROR`].
    pub is_exact: bool,
}

impl Default for Samples {
    fn default() -> Self {
        Self::with_exact_limit(EXACT_LIMIT)
    }
}

impl Samples {
    /// An empty sample that keeps at most `exact_limit` values.
    #[must_use]
    pub fn with_exact_limit(exact_limit: usize) -> Self {
        Self { values: Values::Narrow(Vec::new()), sketched: Moments::NONE, exact_limit }
    }

    /// Adds a value; a negative one counts as zero.
    #[inline]
    pub fn add(&mut self, value: i64) {
        let value = value.max(0) as u64;
        match &mut self.values {
            Values::Narrow(values) if value <= u64::from(u32::MAX) && values.len() < self.exact_limit => {
                values.push(value as u32)
            }
            _ => self.add_rarely(value),
        }
    }

    /// The value is large, or one too many.
    #[inline(never)]
    fn add_rarely(&mut self, value: u64) {
        if let Values::Narrow(values) = &mut self.values {
            self.values = Values::Wide(values.iter().map(|&v| u64::from(v)).collect());
        }
        if let Values::Wide(values) = &mut self.values {
            if values.len() < self.exact_limit {
                values.push(value);
                return;
            }
            self.spill();
        }
        if let Values::Sketch(sketch) = &mut self.values {
            sketch.add(value);
            self.sketched.add(value);
        }
    }

    /// Adds all values of another sample.
    pub fn merge(&mut self, other: &Samples) {
        match &other.values {
            Values::Narrow(values) => values.iter().for_each(|&v| self.add(i64::from(v))),
            Values::Wide(values) => values.iter().for_each(|&v| self.add(v as i64)),
            Values::Sketch(theirs) => {
                self.spill();
                if let Values::Sketch(ours) = &mut self.values {
                    ours.merge(theirs);
                }
                self.sketched.merge(&other.sketched);
            }
        }
    }

    /// Number of values.
    #[must_use]
    pub fn count(&self) -> u64 {
        match &self.values {
            Values::Narrow(values) => values.len() as u64,
            Values::Wide(values) => values.len() as u64,
            Values::Sketch(_) => self.sketched.count,
        }
    }

    fn moments(&self) -> Moments {
        match &self.values {
            Values::Narrow(values) => Moments::of(values.iter().map(|&v| u64::from(v))),
            Values::Wide(values) => Moments::of(values.iter().copied()),
            Values::Sketch(_) => self.sketched,
        }
    }

    /// Sum of the values.
    #[must_use]
    pub fn sum(&self) -> f64 {
        self.moments().sum.value()
    }

    /// Summary with these percentiles (0–100, ascending); reorders the values.
    #[must_use]
    pub fn summarize(&mut self, percentiles: &[f64]) -> SampleSummary {
        let Moments { count, sum, min, max } = self.moments();
        let (found, is_exact) = match &mut self.values {
            Values::Narrow(values) => (select_percentiles(values, percentiles, f64::from), true),
            Values::Wide(values) => (select_percentiles(values, percentiles, |v| v as f64), true),
            Values::Sketch(sketch) => (sketch.percentiles(percentiles), false),
        };
        SampleSummary {
            count,
            sum: sum.value(),
            min: if count == 0 { 0.0 } else { min as f64 },
            max: max as f64,
            percentiles: found,
            is_exact,
        }
    }

    /// Turns kept values into a sketch.
    fn spill(&mut self) {
        let mut sketch = Sketch::default();
        let moments = self.moments();
        match &self.values {
            Values::Narrow(values) => values.iter().for_each(|&v| sketch.add(u64::from(v))),
            Values::Wide(values) => values.iter().for_each(|&v| sketch.add(v)),
            Values::Sketch(_) => return,
        }
        self.values = Values::Sketch(sketch);
        self.sketched = moments;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numeric::RELATIVE_ERROR;

    const ASKED: [f64; 3] = [50.0, 95.0, 99.0];

    fn filled(limit: usize, values: impl Iterator<Item = i64>) -> SampleSummary {
        let mut samples = Samples::with_exact_limit(limit);
        values.for_each(|v| samples.add(v));
        samples.summarize(&ASKED)
    }

    #[test]
    fn a_large_value_widens_and_many_values_spill() {
        let values = || (0..10_000i64).map(|i| (i * 7919) % 10_007 * 1_000);
        let exact = filled(1 << 20, values());
        let wide = filled(1 << 20, values().chain([1 << 40]));
        let spilled = filled(1000, values());
        assert!(exact.is_exact && wide.is_exact && !spilled.is_exact);
        assert_eq!((wide.count, wide.max), (10_001, (1u64 << 40) as f64));
        assert_eq!(
            (spilled.count, spilled.sum, spilled.min, spilled.max),
            (exact.count, exact.sum, exact.min, exact.max)
        );
        for (a, b) in exact.percentiles.iter().zip(&spilled.percentiles) {
            assert!((a.value() - b.value()).abs() <= a.value() * RELATIVE_ERROR + 1.0, "{a:?} {b:?}");
        }
    }

    #[test]
    fn merging_is_adding() {
        let (mut a, mut b, mut both) = (Samples::default(), Samples::with_exact_limit(10), Samples::default());
        for v in 0..500 {
            a.add(v * 3);
            both.add(v * 3);
        }
        for v in 0..200 {
            b.add(v);
            both.add(v);
        }
        let mut merged = a.clone();
        merged.merge(&b);
        let (merged, both) = (merged.summarize(&ASKED), both.summarize(&ASKED));
        assert_eq!((merged.count, merged.sum, merged.min, merged.max), (both.count, both.sum, both.min, both.max));
        for (x, y) in merged.percentiles.iter().zip(&both.percentiles) {
            assert!((x.value() - y.value()).abs() <= y.value() * RELATIVE_ERROR + 1.0);
        }
    }
}
