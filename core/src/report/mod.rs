//! What a run means: collected observations, metrics, attainment, verdict, bottleneck.

mod types;

pub use types::{LimiterShares, TimeShare, Verdict};
