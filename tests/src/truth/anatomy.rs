//! Parameters, KV growth and fixed state of models, counted on the classes of transformers, against ours.

use super::configs::{own_tables, path_of};
use super::report::{Bars, Options, Row};
use super::table::{Cells, judged, number, read, text};
use plimsoll_anatomy::{BesideConfig, anatomy_from_hf_config};
use plimsoll_core::anatomy::Anatomy;
use plimsoll_core::diagnostic::Diagnostic;
use serde_json::json;
use std::path::Path;

/// Percent by which parameters and KV growth may differ.
const LIMIT: f64 = 0.1;
/// Percent by which the fixed state may differ.
const STATE_LIMIT: f64 = 1.0;
/// Of 105 rows, how many must be exact.
const EXACT: (usize, usize) = (98, 105);
/// Bytes of a cached value in the table.
const VALUE_BYTES: u32 = 2;

/// Computes every row of a table.
///
/// # Errors
/// A table that cannot be read.
pub fn rows(options: &Options) -> Result<(Vec<Row>, Bars), String> {
    let path = options.path.clone().unwrap_or_else(|| own_tables().join("model_truth.csv"));
    let path = if path.is_dir() { path.join("model_truth.csv") } else { path };
    let table = read(&path)?;
    let limit = options.worst.unwrap_or(LIMIT);
    let rows = judged(&table, limit, |cells| row(cells, &path, limit));
    let exact = (rows.len() * EXACT.0).div_ceil(EXACT.1);
    let bars = Bars {
        median: options.median.unwrap_or(0.0),
        exact: Some(options.exact.unwrap_or(exact)),
        limit: options.limit("0.1 % (fixed state 1 %)"),
    };
    Ok((rows, bars))
}

fn row(cells: &Cells, table: &Path, limit: f64) -> Row {
    let name = text(cells, "model").to_owned();
    let found =
        anatomy_of(&name, text(cells, "config_folder"), table).and_then(|anatomy| judge(cells, &anatomy, limit));
    found.map(|row| Row { name: name.clone(), ..row }).unwrap_or_else(|reason| Row::refused(&name, limit, reason))
}

/// The anatomy of a model of a table.
///
/// # Errors
/// No config, or why it is refused.
pub(super) fn anatomy_of(model: &str, folder: &str, table: &Path) -> Result<Anatomy, String> {
    let path = path_of(model, folder, table)?;
    let config = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let quantization_file = std::fs::read_to_string(path.with_file_name("hf_quant_config.json")).ok();
    let beside = BesideConfig { quantization_file: quantization_file.as_deref(), ..BesideConfig::default() };
    let read = anatomy_from_hf_config(&config, beside);
    let words = |problems: Vec<Diagnostic>| {
        problems.iter().map(|problem| format!("{}: {}", problem.path, problem.message)).collect::<Vec<_>>().join("; ")
    };
    Ok(read.map_err(words)?.value)
}

fn judge(cells: &Cells, anatomy: &Anatomy, limit: f64) -> Result<Row, String> {
    let parameters = anatomy.parameters();
    let growth = anatomy.kv_bytes_per_token(VALUE_BYTES);
    let state = anatomy.fixed_state_bytes(VALUE_BYTES);
    let error = percent(parameters as f64, number(cells, "parameters")?);
    let mut row = Row {
        name: String::new(),
        error: Some(error),
        limit,
        note: format!("{parameters} parameters, {growth} bytes per token, {state} fixed"),
        json: json!({
            "parameters": parameters,
            "kv_bytes_per_token": growth,
            "fixed_state_bytes_per_sequence": state,
            "weight_bytes": anatomy.weight_bytes(),
        }),
    };
    // Some classes keep no cache that could be counted.
    for (column, found, limit) in
        [("kv_bytes_per_token_bf16", growth, limit), ("fixed_state_bytes_per_sequence", state as f64, STATE_LIMIT)]
    {
        if text(cells, column).is_empty() {
            continue;
        }
        let expected: f64 = number(cells, column)?;
        let own = percent(found, expected);
        let is_worse = own.abs() / limit > row.error.unwrap_or(0.0).abs() / row.limit;
        if own != 0.0 && is_worse {
            row.error = Some(own);
            row.limit = limit;
        }
        if own != 0.0 {
            row.note = format!("{}; {column} is {expected}", row.note);
        }
    }
    if error != 0.0 {
        row.note = format!("{}; parameters are {}", row.note, text(cells, "parameters"));
    }
    Ok(row)
}

/// By how much a figure differs from the true one, percent; without a bound where the true one is 0.
pub(super) fn percent(found: f64, expected: f64) -> f64 {
    if found == expected { 0.0 } else { (found - expected) / expected * 100.0 }
}
