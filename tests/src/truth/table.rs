//! Tables as rows of named cells.

use std::collections::BTreeMap;
use std::path::Path;

/// A row: cells by the names of their columns.
pub type Cells = BTreeMap<String, String>;

/// Reads a table whose first line names the columns.
///
/// # Errors
/// A file that cannot be read, or a row with another number of cells than the first line.
pub fn read(path: &Path) -> Result<Vec<Cells>, String> {
    let mut reader = csv::Reader::from_path(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let columns: Vec<String> =
        reader.headers().map_err(|error| format!("{}: {error}", path.display()))?.iter().map(str::to_owned).collect();
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| format!("{}: {error}", path.display()))?;
        rows.push(columns.iter().cloned().zip(record.iter().map(str::to_owned)).collect());
    }
    Ok(rows)
}

/// A cell as a number.
///
/// # Errors
/// A column that is not there, or a cell that is no such number.
pub fn number<T: std::str::FromStr>(cells: &Cells, column: &str) -> Result<T, String> {
    let text = cells.get(column).ok_or_else(|| format!("there is no column {column}"))?;
    text.trim().parse().map_err(|_| format!("{column} is \"{text}\""))
}

/// A cell as it is written; empty if the column is not there.
#[must_use]
pub fn text<'c>(cells: &'c Cells, column: &str) -> &'c str {
    cells.get(column).map_or("", |text| text.trim())
}
