//! Small exact statistics: percentiles by selection, samples that turn into a sketch when they grow large.

mod percentile;
mod samples;
mod sketch;

pub use percentile::{Percentile, percentiles_of_counts, select_percentiles};
pub use samples::{EXACT_LIMIT, SampleSummary, Samples};
pub use sketch::{RELATIVE_ERROR, Sketch};
