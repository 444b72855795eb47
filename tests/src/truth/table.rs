//! Tables as rows of named cells.

use std::collections::BTreeMap;
use std::path::Path;

/// A row: cells by the names of their columns.
pub type Cells = BTreeMap<String, String>;

/// A row that cannot be read: where it stands and why.
pub type Unreadable = String;

/// Reads a table whose first line names the columns; a row that is no row of it is told instead.
///
/// # Errors
/// A file that cannot be read.
pub fn read(path: &Path) -> Result<Vec<Result<Cells, Unreadable>>, String> {
    let mut reader = csv::ReaderBuilder::new()
        .flexible(true)
        .from_path(path)
        .map_err(|error| format!("{}: {error}", path.display()))?;
    let columns: Vec<String> =
        reader.headers().map_err(|error| format!("{}: {error}", path.display()))?.iter().map(str::to_owned).collect();
    let mut rows = Vec::new();
    for record in reader.records() {
        rows.push(match record {
            Ok(record) if record.len() == columns.len() => {
                Ok(columns.iter().cloned().zip(record.iter().map(str::to_owned)).collect())
            }
            Ok(record) => {
                let line = record.position().map_or(0, csv::Position::line);
                let start: String = record.iter().collect::<Vec<_>>().join(",").chars().take(60).collect();
                Err(format!("line {line} has {} cells of {}: {start}", record.len(), columns.len()))
            }
            // A file that breaks off would give the same error for ever.
            Err(error) if error.is_io_error() => return Err(format!("{}: {error}", path.display())),
            Err(error) => Err(error.to_string()),
        });
    }
    Ok(rows)
}

/// Reads a table in which every row counts.
///
/// # Errors
/// A file or a row that cannot be read.
pub fn read_whole(path: &Path) -> Result<Vec<Cells>, String> {
    let rows = read(path)?.into_iter().collect::<Result<_, _>>();
    rows.map_err(|reason| format!("{}: {reason}", path.display()))
}

/// What becomes of each row, read or not.
pub(super) fn judged(
    table: &[Result<Cells, Unreadable>],
    limit: f64,
    row: impl Fn(&Cells) -> super::report::Row,
) -> Vec<super::report::Row> {
    let unreadable = |reason: &Unreadable| super::report::Row::refused("unreadable row", limit, reason.clone());
    table.iter().map(|read| read.as_ref().map_or_else(unreadable, &row)).collect()
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
