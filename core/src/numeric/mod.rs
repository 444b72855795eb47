//! Small exact statistics: percentiles by selection, samples that turn into a sketch when they grow large.

mod percentile;
mod samples;
mod sketch;

pub use percentile::{Percentile, percentiles_of_counts, select_percentiles};
pub use samples::{EXACT_LIMIT, SampleSummary, Samples};
pub use sketch::{RELATIVE_ERROR, Sketch};

/// `left · right`, exactly.
///
/// # Cost
/// One machine multiplication where both are below 2³²; a 128-bit one is a function call in WebAssembly.
#[inline]
#[must_use]
pub(crate) fn product(left: u64, right: u64) -> u128 {
    if (left | right) >> 32 == 0 { u128::from(left * right) } else { u128::from(left) * u128::from(right) }
}

/// The larger of two numbers of which neither is NaN.
///
/// # Cost
/// A comparison; `f64::max`, which is about NaN too, is a function call in WebAssembly.
#[inline]
#[must_use]
pub(crate) fn larger(left: f64, right: f64) -> f64 {
    if left > right { left } else { right }
}

/// The smaller of two numbers of which neither is NaN; see [`larger`].
#[inline]
#[must_use]
pub(crate) fn smaller(left: f64, right: f64) -> f64 {
    if left < right { left } else { right }
}
