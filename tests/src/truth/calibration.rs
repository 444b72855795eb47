//! Logs of real servers, predicted without any calibration.

use super::report::{Bars, Options, Row};
use crate::deployments::{find, logs_of};
use plimsoll_configs::catalog;
use plimsoll_core::calibrate::{Deployment, RunErrors, ZeroShot};
use plimsoll_core::measurement::Measurement;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// The means that are judged, by their place among the signed errors, with the largest allowed median of their
/// absolute errors, percent.
const JUDGED: [(&str, usize, f64); 3] = [("E2E", 2, 9.0), ("TPOT", 1, 9.0), ("TTFT", 0, 20.0)];

/// Where the measurements lie that are no part of the repository: in a folder beside it.
#[must_use]
pub fn measurements() -> PathBuf {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap_or_else(|| Path::new(""));
    beside.join("shared/data")
}

/// Predicts every run of every deployment below a folder.
///
/// # Errors
/// There is no folder, or no run in it.
pub fn rows(options: &Options) -> Result<(Vec<Row>, Bars), String> {
    let folder = options.path.clone().unwrap_or_else(measurements);
    let mut deployments = Vec::new();
    find(&folder, &mut deployments);
    deployments.sort();
    if deployments.is_empty() {
        return Err(format!("{} has no folder with at least three logs of one server", folder.display()));
    }
    let mut rows = Vec::new();
    let mut biases: Vec<[Option<f64>; 3]> = Vec::new();
    for path in deployments {
        let name = path.strip_prefix(&folder).unwrap_or(&path).display().to_string();
        let logs = logs_of(&path);
        let refused = logs.unreadable.into_iter().map(|(log, why)| Row::refused(&format!("{name}/{log}"), 0.0, why));
        rows.extend(refused);
        for (log, run) in logs.runs {
            let name = format!("{name}/{log}");
            match errors(&run) {
                Ok((errors, is_measured)) => {
                    rows.push(row(&name, &errors, is_measured));
                    biases.push(errors.bias);
                }
                Err(why) => rows.push(Row::refused(&name, 0.0, why)),
            }
        }
    }
    for (metric, at, bar) in JUDGED {
        let mut found: Vec<f64> = biases.iter().filter_map(|bias| bias[at]).map(f64::abs).collect();
        let limit = options.worst.unwrap_or(bar);
        rows.push(Row {
            name: format!("mean {metric}, median of the absolute errors"),
            error: median(&mut found),
            limit,
            note: format!("of {} runs, bar {limit} %", found.len()),
            json: json!({ "metric": metric, "runs": found.len() }),
        });
    }
    let limit = options.limit("its bar");
    Ok((rows, Bars { median: options.median.unwrap_or(f64::INFINITY), exact: options.exact, limit }))
}

fn errors(run: &Measurement) -> Result<(RunErrors, bool), String> {
    let guess = Deployment::guess(catalog(), &run.deployment);
    let server = ZeroShot::new(catalog(), &run.deployment, &guess)
        .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))?;
    Ok((server.errors(run), server.is_measured))
}

/// A run is shown and not judged: the medians are.
fn row(name: &str, errors: &RunErrors, is_measured: bool) -> Row {
    let shown = |value: Option<f64>| value.map_or_else(|| "none".to_owned(), |value| format!("{value:+.1} %"));
    let [ttft, tpot, e2e] = errors.bias;
    let note = format!("mean E2E {}, TPOT {}, TTFT {}", shown(e2e), shown(tpot), shown(ttft));
    let figures: Vec<(String, Value)> =
        errors.figures.named().into_iter().map(|(name, value)| (name.to_owned(), json!(value))).collect();
    let json = json!({
        "signed": { "ttft_mean": ttft, "tpot_mean": tpot, "e2e_mean": e2e },
        "absolute": Value::Object(figures.into_iter().collect()),
        "card_is_measured": is_measured,
    });
    Row { name: name.to_owned(), error: e2e, limit: f64::INFINITY, note, json }
}

fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        length if length % 2 == 1 => values.get(middle).copied(),
        _ => Some((values.get(middle - 1)? + values.get(middle)?) / 2.0),
    }
}
