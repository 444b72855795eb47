//! Weight bytes of quantized checkpoints, every matrix with its scales, against ours.

use super::anatomy::{anatomy_of, percent};
use super::configs::own_tables;
use super::report::{Bars, Options, Row};
use super::table::{Cells, judged, number, read, text};
use serde_json::json;
use std::path::Path;

/// Percent by which weight bytes may differ.
const LIMIT: f64 = 1.0;

/// Computes every row of a table.
///
/// # Errors
/// A table that cannot be read.
pub fn rows(options: &Options) -> Result<(Vec<Row>, Bars), String> {
    let path = options.path.clone().unwrap_or_else(|| own_tables().join("quantised_truth.csv"));
    let path = if path.is_dir() { path.join("quantised_truth.csv") } else { path };
    let table = read(&path)?;
    let limit = options.worst.unwrap_or(LIMIT);
    let rows = judged(&table, limit, |cells| row(cells, &path, limit));
    let told = options.limit("1 %");
    Ok((rows, Bars { median: options.median.unwrap_or(LIMIT), exact: options.exact, limit: told }))
}

fn row(cells: &Cells, table: &Path, limit: f64) -> Row {
    let scheme = text(cells, "scheme");
    let name = format!("{scheme} of {}", text(cells, "base_model"));
    let stated = text(cells, "config_folder");
    let folder = if stated.is_empty() { format!("quantised-{scheme}") } else { stated.to_owned() };
    let found = anatomy_of(scheme, &folder, table).and_then(|anatomy| {
        let found = anatomy.weight_bytes();
        let expected: f64 = number(cells, "weight_bytes")?;
        Ok(Row {
            name: name.clone(),
            error: Some(percent(found as f64, expected)),
            limit,
            note: format!("{found} bytes"),
            json: json!({ "parameters": anatomy.parameters(), "weight_bytes": found }),
        })
    });
    found.unwrap_or_else(|reason| Row::refused(&name, limit, reason))
}
