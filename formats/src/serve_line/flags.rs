//! The table of the server's flags.

use plimsoll_core::scenario::ServerVersion;
use serde::Deserialize;
use std::sync::OnceLock;

/// What a flag takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    /// Nothing; `--no-…` turns it off.
    Bool,
    /// A whole number.
    Count,
    /// A whole number, which the server also takes as `16k`, `16K` or `1.5m`.
    Size,
    /// A size, `auto` or `-1`.
    Length,
    /// A finite number.
    Number,
    /// Several whole numbers.
    Counts,
    /// One of the allowed words.
    Choice,
    /// A word; those allowed are known.
    Name,
    /// A JSON object, or its keys one by one.
    Json,
}

/// Bounds of a number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Bounds {
    low: f64,
    has_low: bool,
    high: f64,
    has_high: bool,
}

impl Bounds {
    /// Reads `>=1`, `(0,1]` or `[0,1)`.
    fn parse(text: &str) -> Option<Self> {
        if let Some(low) = text.strip_prefix(">=") {
            return Some(Self { low: low.parse().ok()?, has_low: true, high: f64::INFINITY, has_high: false });
        }
        let has_low = text.starts_with('[');
        let has_high = text.ends_with(']');
        let inner = text.strip_prefix(['[', '('])?.strip_suffix([']', ')'])?;
        let (low, high) = inner.split_once(',')?;
        Some(Self { low: low.parse().ok()?, has_low, high: high.parse().ok()?, has_high })
    }

    pub fn contain(&self, value: f64) -> bool {
        let is_high_enough = if self.has_low { value >= self.low } else { value > self.low };
        let is_low_enough = if self.has_high { value <= self.high } else { value < self.high };
        is_high_enough && is_low_enough
    }

    /// As in `of 1 or more`, `above 0 and up to 1`.
    pub fn words(&self) -> String {
        let low = if self.has_low { format!("of {} or more", self.low) } else { format!("above {}", self.low) };
        match (self.high == f64::INFINITY, self.has_high) {
            (true, _) => low,
            (false, true) => format!("{low} and up to {}", self.high),
            (false, false) => format!("{low} and below {}", self.high),
        }
    }
}

/// One flag.
#[derive(Debug, Clone)]
pub(super) struct Flag {
    /// With its dashes.
    pub name: String,
    pub short: Option<String>,
    pub kind: Kind,
    /// Of a number.
    pub bounds: Option<Bounds>,
    /// Of a word.
    pub words: Vec<String>,
    /// The field of the scenario that it decides; none if the simulation does not know what it changes.
    pub sets: Option<String>,
    /// The first release that has it, of those in the table.
    pub first_seen: ServerVersion,
    /// The first release without it.
    pub gone_in: Option<ServerVersion>,
    /// What it is called since.
    pub successor: Option<String>,
}

impl Flag {
    /// Whether a release has it; what the oldest release of the table has may be older.
    pub fn is_in(&self, release: ServerVersion) -> bool {
        let is_there = self.first_seen <= ServerVersion::OLDEST || release >= self.first_seen;
        is_there && self.gone_in.is_none_or(|gone| release < gone)
    }
}

/// Every flag of the table.
pub(super) fn flags() -> &'static [Flag] {
    static FLAGS: OnceLock<Vec<Flag>> = OnceLock::new();
    FLAGS.get_or_init(|| read(plimsoll_configs::VLLM_FLAGS).expect("a test reads the embedded table"))
}

/// The flag of this name, long or short, with its dashes.
pub(super) fn find(name: &str) -> Option<&'static Flag> {
    flags().iter().find(|flag| flag.name == name || flag.short.as_deref() == Some(name))
}

/// A row of the table.
#[derive(Deserialize)]
struct Row {
    flag: String,
    short: Option<String>,
    kind: Kind,
    allowed: String,
    sets: Option<String>,
    first_seen: String,
    gone_in: Option<String>,
    successor: Option<String>,
}

/// The table; none if a row is wrong.
fn read(table: &str) -> Option<Vec<Flag>> {
    let mut reader = csv::ReaderBuilder::new().comment(Some(b'#')).from_reader(table.as_bytes());
    reader.deserialize::<Row>().map(|row| flag(row.ok()?)).collect()
}

fn flag(row: Row) -> Option<Flag> {
    let is_word = matches!(row.kind, Kind::Choice | Kind::Name);
    let bounds = Some(row.allowed.as_str()).filter(|text| !is_word && !text.is_empty());
    Some(Flag {
        bounds: bounds.map(|text| Bounds::parse(text).ok_or(())).transpose().ok()?,
        words: if is_word { row.allowed.split_whitespace().map(str::to_owned).collect() } else { Vec::new() },
        first_seen: ServerVersion::parse(&row.first_seen)?,
        gone_in: row.gone_in.map(|text| ServerVersion::parse(&text).ok_or(())).transpose().ok()?,
        name: row.flag,
        short: row.short,
        kind: row.kind,
        sets: row.sets,
        successor: row.successor,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn the_table_is_read_and_every_number_has_bounds() {
        assert!(flags().len() > 55, "{}", flags().len());
        for flag in flags() {
            let is_number = matches!(flag.kind, Kind::Count | Kind::Size | Kind::Length | Kind::Number | Kind::Counts);
            assert_eq!(flag.bounds.is_some(), is_number, "{}", flag.name);
            assert!(flag.kind != Kind::Choice || flag.words.len() > 1, "{}", flag.name);
            assert!(flag.gone_in.is_none_or(|gone| gone > flag.first_seen), "{}", flag.name);
            assert!(flag.successor.as_deref().is_none_or(|name| find(name).is_some()), "{}", flag.name);
        }
        let share = find("--gpu-memory-utilization").and_then(|flag| flag.bounds).expect("bounds");
        assert_eq!(share.words(), "above 0 and up to 1");
        assert!(share.contain(1.0) && share.contain(0.01) && !share.contain(0.0) && !share.contain(1.01));
    }

    /// The flags, read from the sources of 27 releases, with the first and the last that has each.
    #[test]
    fn the_table_has_every_flag_of_the_releases() {
        let text = include_bytes!("../../../tests/truth/vllm_flags.csv");
        let mut reader = csv::Reader::from_reader(text.as_slice());
        let ours: BTreeMap<&str, &Flag> = flags().iter().map(|flag| (flag.name.as_str(), flag)).collect();
        let mut num_rows = 0;
        for row in reader.records() {
            let row = row.expect("CSV");
            let name = row.get(0).expect("a name");
            let flag = ours.get(name).unwrap_or_else(|| panic!("{name} is missing"));
            num_rows += 1;
            let seen = row.get(2).and_then(|cell| ServerVersion::parse(cell.trim_start_matches("<=")));
            assert_eq!(seen, Some(flag.first_seen), "{name}");
            assert_eq!(row.get(3).and_then(ServerVersion::parse), flag.gone_in, "{name}");
            if row.get(1).is_some_and(|status| status.starts_with("modelled")) {
                assert!(flag.sets.is_some(), "{name} is modelled");
            }
        }
        assert!(num_rows > 50, "{num_rows}");
    }
}
