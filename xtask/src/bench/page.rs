//! `cargo xtask bench --page`: how closely the page's curve follows a slider and how long a fit
//! of logs takes, in Chromium over the built site.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::browser;
use crate::repository::Repository;

/// What is measured and the longest median allowed, milliseconds; a way to the eye that has no limit has none.
const MOVES: [(&str, Option<f64>); 5] = [
    ("curve_follow_ms", Some(60.0)),
    ("curve_full_ms", Some(200.0)),
    ("curve_capacity_ms", Some(1000.0)),
    ("curve_settled_ms", None),
    ("curve_follow_far_ms", None),
];

/// Measures, prints and returns the figures.
///
/// # Errors
/// When the site has not been built or the page does not draw in time.
pub fn measure(repository: &Repository) -> Result<Value> {
    let figures = browser::measure(repository)?;
    let workers = figures["workers"].as_u64().context("the measurement does not count the workers")?;
    println!("{:<20} {workers}", "workers");
    for (name, limit) in MOVES {
        let figure =
            |key: &str| figures[name][key].as_f64().with_context(|| format!("the measurement has no {name}.{key}"));
        let median = figure("median")?;
        println!(
            "{name:<20} median {median:>7.1}  p95 {:>7.1}  over {} moves{}",
            figure("p95")?,
            figure("moves")?,
            limit.map(|limit| format!("  (at most {limit})")).unwrap_or_default()
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

/// Compares the medians with their limits.
///
/// # Errors
/// Names each that is beyond its own or missing.
pub fn hold(figures: &Value) -> Result<()> {
    let is_missed = |&(name, limit): &(&str, Option<f64>)| {
        limit.is_some_and(|limit| !figures[name]["median"].as_f64().is_some_and(|median| median <= limit))
    };
    let missed: Vec<&str> = MOVES.iter().filter(|move_| is_missed(move_)).map(|&(name, _)| name).collect();
    ensure!(missed.is_empty(), "beyond the limit: {}", missed.join(", "));
    Ok(())
}
