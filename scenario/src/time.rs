//! Simulated time: whole microseconds.
//!
//! The reference counts ticks of one microsecond, and exactness is a promise, so time is an integer
//! everywhere in the simulator.
//! Doubles become time in exactly one way: truncation toward zero (engine specification 1.2).

use serde::{Deserialize, Serialize};

/// A point in, or a span of, simulated time.
///
/// # Units and shape
/// Microseconds since the start of the run (or a difference of such). Traces may start before zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SimTime(pub i64);

impl SimTime {
    /// The start of the run.
    pub const ZERO: SimTime = SimTime(0);
    /// The end of all runs that name no horizon.
    pub const MAX: SimTime = SimTime(i64::MAX);

    /// Truncates a count of microseconds toward zero; NaN and values of 2⁶³ or more become the maximum.
    ///
    /// # Source
    /// Engine specification 1.2.
    #[inline]
    #[must_use]
    pub fn from_micros_f64(micros: f64) -> SimTime {
        SimTime(truncate(micros))
    }

    /// The same span in seconds.
    #[inline]
    #[must_use]
    pub fn as_seconds(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// The same span in milliseconds.
    #[inline]
    #[must_use]
    pub fn as_millis(self) -> f64 {
        self.0 as f64 / 1e3
    }
}

/// Latest tick of a run, 6,000 years: a run without a horizon ends here, so that no time behind the start of a step
/// overflows.
pub const LAST_TICK: i64 = 200_000_000_000_000_000;

/// Truncates a double to ticks: toward zero; NaN and values of 2⁶³ or more become 2⁶³ − 1.
#[inline]
#[must_use]
pub fn truncate(value: f64) -> i64 {
    // `as` saturates and maps NaN to 0, so only NaN differs from the specification.
    if value.is_nan() { i64::MAX } else { value as i64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_truncate_toward_zero_and_saturate() {
        assert_eq!(truncate(1.999_999), 1);
        assert_eq!(truncate(-1.5), -1);
        assert_eq!(truncate(f64::NAN), i64::MAX);
        assert_eq!(truncate(1e300), i64::MAX);
    }
}
