//! A time that depends on one count, tabulated.

use alloc::vec::Vec;

/// Parts of an octave between two points of the table beyond the captured sizes.
const PARTS: u32 = 8;
/// Octaves beyond 512 of the table.
const OCTAVES: u32 = 6;
/// The first count beyond the captured sizes that the table has.
const FIRST: u32 = 512;

/// Times by a count: at every size a server captures, and between these and beyond them on chords.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct PerToken {
    captured: Vec<f64>,
    beyond: Vec<f64>,
}

/// The place of the captured size that holds so many tokens: 1, 2, 4, multiples of 8 up to 256 and of 16 beyond.
///
/// # Source
/// vLLM's defaults for `cudagraph_capture_sizes`.
fn place(count: u32) -> usize {
    let place = match count {
        0..=2 => count,
        3..=4 => 3,
        5..=256 => 3 + count.div_ceil(8),
        _ => 35 + (count.saturating_sub(256)).div_ceil(16),
    };
    place as usize
}

/// The captured size that holds so many tokens.
pub(super) fn captured(count: u32) -> u32 {
    match count {
        0..=2 => count,
        3..=4 => 4,
        5..=256 => count.next_multiple_of(8),
        _ => count.next_multiple_of(16),
    }
}

/// The count at a point of the table beyond the captured sizes.
fn point(index: u32) -> u32 {
    (FIRST + FIRST / PARTS * (index % PARTS)) << (index / PARTS)
}

impl PerToken {
    /// Tabulates a time.
    pub fn new(time: impl Fn(u32) -> f64) -> Self {
        let mut captured_times = alloc::vec![0.0];
        let mut size = 0;
        while size < FIRST {
            size = captured(size + 1);
            captured_times.push(time(size));
        }
        Self { captured: captured_times, beyond: (0..=PARTS * OCTAVES).map(|index| time(point(index))).collect() }
    }

    /// The time at the captured size that holds so many, at most 512.
    #[inline]
    pub fn padded(&self, count: u32) -> f64 {
        self.captured.get(place(count)).copied().unwrap_or(0.0)
    }

    /// The time of so many: exact at the points of the table, in between on the chord, beyond its end on the last one.
    #[inline]
    pub fn at(&self, count: u32) -> f64 {
        if count < FIRST {
            return self.between(captured_before(count), captured(count), count);
        }
        let octave = (count / FIRST).ilog2().min(OCTAVES - 1);
        let width = (FIRST / PARTS) << octave;
        let index = octave * PARTS + ((count - (FIRST << octave)) / width).min(PARTS - 1);
        let (low, part) = (point(index), f64::from(width));
        let at = |index: u32| self.beyond.get(index as usize).copied().unwrap_or(0.0);
        at(index) + (at(index + 1) - at(index)) * (f64::from(count - low) / part)
    }

    fn between(&self, low: u32, high: u32, count: u32) -> f64 {
        let (from, to) = (self.padded(low), self.padded(high));
        if high <= low { to } else { from + (to - from) * (f64::from(count - low) / f64::from(high - low)) }
    }
}

/// The largest captured size that is not larger.
fn captured_before(count: u32) -> u32 {
    match count {
        0..=2 => count,
        3 => 2,
        4..=7 => 4,
        8..=256 => count - count % 8,
        _ => count - count % 16,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_exact_where_servers_capture_and_near_in_between() {
        let time = |count: u32| 3.0 + libm::hypot(f64::from(count), 500.0);
        let table = PerToken::new(time);
        for (count, holds) in [(1, 1), (2, 2), (3, 4), (5, 8), (8, 8), (33, 40), (256, 256), (257, 272), (512, 512)] {
            assert_eq!(captured(count), holds);
            assert_eq!(table.padded(count), time(holds), "{count}");
        }
        for count in [1, 2, 4, 256, 511, 512, 513, 1000, 1024, 5000, 8192, 32_768] {
            let (found, wanted) = (table.at(count), time(count));
            assert!(found >= wanted - 1e-9 && found < wanted * 1.003, "{count}: {found} for {wanted}");
        }
        // Beyond the table on the last chord.
        assert!((table.at(80_000) / time(80_000) - 1.0).abs() < 0.01);
    }
}
