//! Pure functions from results to labels, series and tables; no Leptos and no browser types.

pub mod axis;
pub mod bottleneck;
pub mod chart;
pub mod format;
pub mod headline;
pub mod serve_line;
pub mod table;
