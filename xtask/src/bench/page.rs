//! `cargo xtask bench --page`: how closely the page's curve follows a slider and how long a fit
//! of logs takes, in Chromium over the built site.

use anyhow::{Context, Result};
use serde_json::Value;

use crate::browser;
use crate::repository::Repository;

/// Measures, prints and returns the figures.
///
/// # Errors
/// When the site has not been built or the page does not draw in time.
pub fn measure(repository: &Repository) -> Result<Value> {
    let figures = browser::measure(repository)?;
    let workers = figures["workers"].as_u64().context("the measurement does not count the workers")?;
    println!("{:<20} {workers}", "workers");
    for name in ["curve_follow_ms", "curve_full_ms", "curve_settled_ms", "curve_follow_far_ms"] {
        let figure =
            |key: &str| figures[name][key].as_f64().with_context(|| format!("the measurement has no {name}.{key}"));
        println!(
            "{name:<20} median {:>7.1}  p95 {:>7.1}  over {} moves",
            figure("median")?,
            figure("p95")?,
            figure("moves")?
        );
    }
    let fit = &figures["fit_five_logs"];
    let figure = |key: &str| fit[key].as_f64().with_context(|| format!("the measurement has no fit_five_logs.{key}"));
    println!(
        "fit_five_logs        {:>7.1} s for {} evaluations on {} cores",
        figure("seconds")?,
        figure("evaluations")?,
        figure("cores")?
    );
    Ok(figures)
}
