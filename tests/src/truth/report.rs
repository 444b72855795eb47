//! What is printed of a table, and whether it is good enough.

use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::PathBuf;

/// What the command line asks of a table.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Options {
    /// Another table of the same format, instead of the project's own copy.
    pub path: Option<PathBuf>,
    /// Where to write the rows as JSON.
    pub json: Option<PathBuf>,
    /// The largest allowed median error, percent.
    pub median: Option<f64>,
    /// The largest allowed error of a row, percent.
    pub worst: Option<f64>,
    /// How many rows must be exact.
    pub exact: Option<usize>,
}

impl Options {
    /// How the limit of a row is told: as asked, or the usual one.
    #[must_use]
    pub fn limit(&self, usual: &str) -> String {
        self.worst.map_or_else(|| usual.to_owned(), |worst| format!("{worst} %"))
    }

    /// Reads the arguments behind the name of a table.
    ///
    /// # Errors
    /// What is not understood.
    pub fn parse(arguments: &[String]) -> Result<Self, String> {
        let mut options = Self::default();
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let mut value = || rest.next().ok_or_else(|| format!("{argument} needs a value"));
            let number = |text: &String| match text.parse::<f64>() {
                Ok(number) if number >= 0.0 => Ok(number),
                _ => Err(format!("{argument} {text} is not a number of 0 or more")),
            };
            match argument.as_str() {
                "--json" => options.json = Some(value()?.into()),
                "--median" => options.median = Some(number(value()?)?),
                "--worst" => options.worst = Some(number(value()?)?),
                "--exact" => {
                    let text = value()?;
                    options.exact = Some(text.parse().map_err(|_| format!("--exact {text} is not a count"))?);
                }
                option if option.starts_with('-') => return Err(format!("there is no option {option}")),
                path if options.path.is_none() => options.path = Some(path.into()),
                path => return Err(format!("one table at a time; {path} is a second")),
            }
        }
        Ok(options)
    }
}

/// What became of an entry of a table.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Which entry.
    pub name: String,
    /// By how much the computed figure differs, percent, with its sign; none if there is no figure.
    pub error: Option<f64>,
    /// The largest error allowed for this row, percent; without a bound for a row outside the bar.
    pub limit: f64,
    /// The figures, or why there are none.
    pub note: String,
    /// The same for machines.
    pub json: Value,
}

impl Row {
    /// A row without figures.
    #[must_use]
    pub fn refused(name: &str, limit: f64, note: String) -> Self {
        Self { name: name.to_owned(), error: None, limit, note, json: Value::Null }
    }

    /// Whether the row is within its limit.
    #[must_use]
    pub fn is_within(&self) -> bool {
        self.error.is_some_and(|error| error.abs() <= self.limit)
    }
}

/// The bars of a table.
#[derive(Debug, Clone, PartialEq)]
pub struct Bars {
    /// The largest allowed median error, percent.
    pub median: f64,
    /// How many rows must be exact; none for no such bar.
    pub exact: Option<usize>,
    /// How the limit of a row is told in the last line.
    pub limit: String,
}

/// The report of a table, and whether every bar is met.
///
/// A table without rows meets none.
#[must_use]
pub fn report(rows: &[Row], bars: &Bars) -> (String, bool) {
    let mut text = String::new();
    for row in rows {
        let mark = match (row.is_within(), row.limit.is_finite()) {
            (true, true) => "ok  ",
            (true, false) => "info",
            (false, _) => "FAIL",
        };
        let error = row.error.map_or_else(|| "     none".to_owned(), |error| format!("{error:+8.2}%"));
        let _ = writeln!(text, "{mark} {error}  {}  {}", row.name, row.note);
    }
    // Rows without a limit are shown and not judged.
    let judged = rows.iter().filter(|row| row.limit.is_finite());
    let mut errors: Vec<f64> = judged.filter_map(|row| row.error).map(f64::abs).collect();
    errors.sort_by(f64::total_cmp);
    let middle = errors.len() / 2;
    let median = match errors.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => errors[middle],
        _ => (errors[middle - 1] + errors[middle]) / 2.0,
    };
    let worst = errors.last().copied().unwrap_or(f64::NAN);
    let within = rows.iter().filter(|row| row.is_within()).count();
    let exact = rows.iter().filter(|row| row.error == Some(0.0)).count();
    let _ = writeln!(text, "{within}/{} within {}, median {median:.2} %, worst {worst:.2} %", rows.len(), bars.limit);
    let is_good = !rows.is_empty()
        && within == rows.len()
        && median <= bars.median
        && bars.exact.is_none_or(|wanted| exact >= wanted);
    (text, is_good)
}

/// The rows for machines.
#[must_use]
pub fn rows_json(rows: &[Row]) -> Value {
    let row = |row: &Row| {
        json!({
            "name": row.name,
            "error_percent": row.error,
            "limit_percent": row.limit,
            "is_within": row.is_within(),
            "note": row.note,
            "figures": row.json,
        })
    };
    Value::Array(rows.iter().map(row).collect())
}
