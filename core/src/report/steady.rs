//! Where a run has settled, and how well it knows its averages.
//!
//! What these are for, and how they were checked, is in `docs/curve.md`.

use alloc::vec::Vec;

/// Values of one mean of the truncation rule.
const MSER_BATCH: usize = 5;

/// Equal stretches of the measured window that are counted apart.
pub const NUM_BINS: usize = 100;

/// Stretches in one of the overlapping batches.
const BATCH_BINS: usize = 10;

/// How many values at the beginning of a series are warm-up: MSER-5, on the whole series.
///
/// The rule leaves out so much that the mean of the rest has the smallest standard error, were the rest independent: a
/// transient adds more to the sum of squares than its values are worth. It looks at means of five values, and leaves out
/// half of the series at most.
///
/// # Cost
/// One pass, and a fifth of the series in memory.
///
/// # Source
/// K. P. White, An effective truncation heuristic for bias reduction in simulation output (Simulation 69, 1997); in
/// batches of five: K. P. White, M. J. Cobb and S. C. Spratt, A comparison of five steady-state truncation heuristics for
/// simulation (Winter Simulation Conference, 2000).
#[must_use]
pub fn warm_up(values: impl Iterator<Item = f64>) -> usize {
    let mut means: Vec<f64> = Vec::new();
    let (mut sum, mut count) = (0.0, 0);
    for value in values {
        sum += value;
        count += 1;
        if count == MSER_BATCH {
            means.push(sum / MSER_BATCH as f64);
            (sum, count) = (0.0, 0);
        }
    }
    let first = means.first().copied().unwrap_or(0.0);
    let (mut sum, mut squares, mut best) = (0.0, 0.0, (f64::INFINITY, 0));
    for (at, mean) in means.iter().enumerate().rev() {
        // Around the first value, so that squares of large numbers do not cancel.
        let value = mean - first;
        sum += value;
        squares += value * value;
        let kept = (means.len() - at) as f64;
        let score = (squares - sum * sum / kept).max(0.0) / (kept * kept);
        // Of equal ones the earliest, so that a constant series is kept whole.
        if at <= means.len() / 2 && score <= best.0 {
            best = (score, at);
        }
    }
    best.1 * MSER_BATCH
}

/// A mean over requests, summed apart over equal stretches of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct BinnedMean {
    /// Requests of each stretch, and the sum of their values.
    bins: Vec<[f64; 2]>,
}

impl Default for BinnedMean {
    fn default() -> Self {
        Self { bins: alloc::vec![[0.0; 2]; NUM_BINS] }
    }
}

impl BinnedMean {
    /// One more request of the stretch with this number; one of no stretch is left out.
    #[inline]
    pub fn add(&mut self, bin: usize, value: f64) {
        if let Some([count, sum]) = self.bins.get_mut(bin) {
            *count += 1.0;
            *sum += value;
        }
    }

    /// Requests.
    #[must_use]
    pub fn count(&self) -> f64 {
        sums(&self.bins)[0]
    }

    /// The mean; 0 without any request.
    #[must_use]
    pub fn mean(&self) -> f64 {
        let [count, sum] = sums(&self.bins);
        if count > 0.0 { sum / count } else { 0.0 }
    }

    /// The variance of the mean as an estimate of that of an endless run.
    ///
    /// # Model
    /// Overlapping batch means of a ratio: a batch is a tenth of the window, and begins a hundredth after the last. What
    /// happens within a batch may depend on itself as it likes, if batches far apart do not.
    ///
    /// # Source
    /// M. S. Meketon and B. Schmeiser, Overlapping batch means: something for nothing? (Winter Simulation Conference,
    /// 1984); A. M. Law, Simulation Modeling and Analysis, chapter 9.
    #[must_use]
    pub fn variance(&self) -> f64 {
        let (count, mean) = (self.count(), self.mean());
        if count <= 0.0 {
            return 0.0;
        }
        let expected = count * BATCH_BINS as f64 / NUM_BINS as f64;
        let square = |batch: &[[f64; 2]]| {
            let [count, sum] = sums(batch);
            let difference = (sum - mean * count) / expected;
            difference * difference
        };
        let batches = self.bins.windows(BATCH_BINS);
        let num_batches = batches.len() as f64;
        batches.map(square).sum::<f64>() / num_batches * BATCH_BINS as f64 / (NUM_BINS - BATCH_BINS) as f64
    }
}

fn sums(bins: &[[f64; 2]]) -> [f64; 2] {
    bins.iter().fold([0.0; 2], |[count, sum], bin| [count + bin[0], sum + bin[1]])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Purpose, Seed, Stream};

    #[test]
    fn a_ramp_is_left_out_and_a_level_kept() {
        assert_eq!(warm_up([7.0; 200].into_iter()), 0);
        assert_eq!(warm_up(core::iter::empty()), 0);
        // Fifty values on the way up, then a level that swings by one.
        let ramp = (0..50).map(|at| f64::from(at) * 2.0);
        let level = (0..450).map(|at| 100.0 + f64::from(at % 2));
        let left_out = warm_up(ramp.chain(level));
        assert!((45..=55).contains(&left_out), "{left_out}");
        // What never settles gives half.
        assert_eq!(warm_up((0..1000).map(f64::from)), 500);
    }

    #[test]
    fn the_truncation_is_that_of_its_formula() {
        // Means 10, 1, 2, 1; with 0, 1 and 2 of them left out 57/16, 0.667/9 and 0.5/4.
        let values = [10.0, 1.0, 2.0, 1.0].into_iter().flat_map(|mean| [mean; 5]);
        assert_eq!(warm_up(values), 5);
    }

    #[test]
    fn a_mean_is_of_what_is_inside() {
        let mut share = BinnedMean::default();
        for bin in 0..NUM_BINS {
            share.add(bin, if bin % 4 == 0 { 1.0 } else { 0.0 });
        }
        share.add(NUM_BINS, 1.0);
        assert_eq!((share.count(), share.mean()), (100.0, 0.25));
        assert_eq!((BinnedMean::default().mean(), BinnedMean::default().variance()), (0.0, 0.0));
    }

    /// Seed 42, 400 series of 5,000 independent draws of probability 0.1, and as many of 5,000 in runs of 20 equal ones.
    ///
    /// The mean of the variances has a deviation of about a fourth of it (some 15 degrees of freedom each) over √400, so
    /// 1.8 %; five of these and the bias of a tenth of the window as a batch are allowed (false alarm below 1e-6).
    #[test]
    fn the_variance_is_that_of_a_mean_also_where_neighbors_are_alike() {
        for run in [1usize, 20] {
            let mut sum = 0.0;
            for replicate in 0..400 {
                let mut stream = Stream::new(Seed { seed: 42, replicate }, Purpose::Arrivals);
                let mut share = BinnedMean::default();
                let mut value = 0.0;
                for at in 0..5000usize {
                    if at % run == 0 {
                        value = if stream.open_unit() < 0.1 { 1.0 } else { 0.0 };
                    }
                    share.add(at * NUM_BINS / 5000, value);
                }
                sum += share.variance();
            }
            let expected = 0.1 * 0.9 / 5000.0 * run as f64;
            assert!((sum / 400.0 / expected - 1.0).abs() < 0.1, "{run}: {} {expected}", sum / 400.0);
        }
    }

    #[test]
    fn equal_stretches_have_no_variance() {
        let mut share = BinnedMean::default();
        (0..1000usize).for_each(|at| share.add(at / 10, (at % 2) as f64));
        assert!(share.variance() < 1e-20);
    }
}
