//! Percentiles by linear interpolation between ranks, as metrics specification 2 and 4 word them.

use alloc::vec::Vec;

/// A percentile before its unit is chosen: two neighbouring values of the ordered sample and the place between them.
///
/// Reports in milliseconds and in ticks differ in the order of operations, so the three parts are kept.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Percentile {
    /// Value at the rank rounded down.
    pub low: f64,
    /// Value at the rank rounded up.
    pub high: f64,
    /// Fraction of the rank; 0 if the rank is whole.
    pub fraction: f64,
}

impl Percentile {
    /// In the unit of the sample: `low + fraction·(high − low)`.
    #[must_use]
    pub fn value(self) -> f64 {
        self.low + self.fraction * (self.high - self.low)
    }

    /// Of a sample in microseconds, in milliseconds: `low/1000 + (high − low)·fraction/1000`.
    #[must_use]
    pub fn millis(self) -> f64 {
        if self.fraction == 0.0 {
            return self.low / 1000.0;
        }
        self.low / 1000.0 + (self.high - self.low) * self.fraction / 1000.0
    }
}

/// Lower rank and fraction of percentile `p` (0–100) in a sample of `count` values, `count` ≥ 1.
fn rank(p: f64, count: u64) -> (u64, f64) {
    let last = count - 1;
    let rank = (p.clamp(0.0, 100.0) / 100.0) * last as f64;
    let low = libm::floor(rank);
    ((low as u64).min(last), rank - low)
}

/// Percentiles of `values`, by selection; reorders them.
///
/// # Units and shape
/// `percentiles`: 0–100, ascending; the result has one entry for each, all zero for an empty sample.
///
/// # Cost
/// Linear in the sample for a few percentiles, as each is sought only above the one before.
#[must_use]
pub fn select_percentiles<T: Copy + Ord>(
    values: &mut [T],
    percentiles: &[f64],
    to_f64: impl Fn(T) -> f64,
) -> Vec<Percentile> {
    let count = values.len() as u64;
    // Everything before `start` is known to be no larger than everything behind.
    let mut start = 0;
    let select = |&p: &f64| {
        if count == 0 {
            return Percentile::default();
        }
        let (low, fraction) = rank(p, count);
        let index = (low as usize).max(start);
        let (_, &mut at, above) = values[start..].select_nth_unstable(index - start);
        start = index;
        let next = if fraction > 0.0 { above.iter().copied().min().unwrap_or(at) } else { at };
        Percentile { low: to_f64(at), high: to_f64(next), fraction }
    };
    percentiles.iter().map(select).collect()
}

/// Percentiles of a sample given as ascending values with how often each occurs; the same as over the sorted list.
///
/// `percentiles`: 0–100, ascending.
#[must_use]
pub fn percentiles_of_counts(
    counts: impl Iterator<Item = (f64, u64)>,
    total: u64,
    percentiles: &[f64],
) -> Vec<Percentile> {
    if total == 0 {
        return alloc::vec![Percentile::default(); percentiles.len()];
    }
    let ranks: Vec<(u64, f64)> = percentiles.iter().map(|&p| rank(p, total)).collect();
    let mut found: Vec<Percentile> = Vec::with_capacity(ranks.len());
    // How many of `found` have their upper value too.
    let mut closed = 0;
    let mut seen = 0;
    for (value, count) in counts {
        seen += count;
        for &(low, fraction) in &ranks[found.len()..] {
            if low >= seen {
                break;
            }
            found.push(Percentile { low: value, high: value, fraction });
        }
        while let Some(percentile) = found.get_mut(closed) {
            let (low, fraction) = ranks[closed];
            if fraction > 0.0 && low + 1 >= seen {
                break;
            }
            if fraction > 0.0 {
                percentile.high = value;
            }
            closed += 1;
        }
        if closed == ranks.len() {
            break;
        }
    }
    found.resize(ranks.len(), Percentile::default());
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeMap;
    use alloc::vec;

    const ALL: [f64; 6] = [0.0, 50.0, 90.0, 95.0, 99.0, 100.0];

    /// The formula of the specification over a sorted list.
    fn sorted(values: &[u32], p: f64) -> f64 {
        let mut v = values.to_vec();
        v.sort_unstable();
        let rank = (p / 100.0) * (v.len() - 1) as f64;
        let (lo, hi) = (libm::floor(rank) as usize, libm::ceil(rank) as usize);
        if lo == hi {
            return f64::from(v[lo]) / 1000.0;
        }
        f64::from(v[lo]) / 1000.0 + (f64::from(v[hi]) - f64::from(v[lo])) * (rank - lo as f64) / 1000.0
    }

    #[test]
    fn selection_and_counts_give_the_sorted_lists_percentiles() {
        let mut state = 1u32;
        for n in [1, 2, 3, 7, 20, 101, 1000] {
            for range in [1, 5, 1000] {
                let values: Vec<u32> = (0..n)
                    .map(|_| {
                        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                        (state >> 8) % range
                    })
                    .collect();
                let mut counts = BTreeMap::new();
                for &v in &values {
                    *counts.entry(v).or_insert(0u64) += 1;
                }
                let selected = select_percentiles(&mut values.clone(), &ALL, f64::from);
                let counted = percentiles_of_counts(counts.iter().map(|(&v, &c)| (f64::from(v), c)), n, &ALL);
                for (i, &p) in ALL.iter().enumerate() {
                    assert_eq!(selected[i].millis(), sorted(&values, p), "{n} {range} {p}");
                    assert_eq!(counted[i].millis(), sorted(&values, p), "{n} {range} {p} counted");
                }
            }
        }
    }

    #[test]
    fn an_empty_sample_gives_zeros() {
        assert_eq!(select_percentiles(&mut Vec::<u32>::new(), &ALL, f64::from), vec![Percentile::default(); 6]);
        assert_eq!(percentiles_of_counts(core::iter::empty(), 0, &ALL), vec![Percentile::default(); 6]);
    }
}
