//! Where in a text something stands, and how to show it.

use plimsoll_core::diagnostic::Diagnostic;

/// A place in a text, both numbers from 1; columns count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub line: usize,
    pub column: usize,
}

impl Place {
    /// The beginning of a text.
    pub const START: Self = Self { line: 1, column: 1 };

    /// The place of a byte offset.
    pub fn of_offset(text: &str, offset: usize) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
        Self { line: before.matches('\n').count() + 1, column }
    }

    /// The path of a diagnostic: `file:line:column`.
    pub fn in_file(self, file: &str) -> String {
        format!("{file}:{}:{}", self.line, self.column)
    }
}

/// Finds the key that a path of keys leads to, in YAML or JSON.
///
/// Each key is looked for behind the one before it; keys in comments do not count. Gives the place of the longest
/// beginning of the path that is there.
pub(crate) fn find_key(text: &str, path: &[&str]) -> Option<Place> {
    let mut offset = None;
    for (depth, key) in path.iter().enumerate() {
        match key_after(text, key, offset.unwrap_or(0), depth == 0) {
            Some(found) => offset = Some(found),
            None => break,
        }
    }
    offset.map(|offset| Place::of_offset(text, offset))
}

/// The byte offset of `key` followed by a colon, at or behind `from`.
fn key_after(text: &str, key: &str, from: usize, is_top_level: bool) -> Option<usize> {
    let is_word = |character: char| character.is_alphanumeric() || matches!(character, '_' | '-' | '.');
    let rest = text.get(from..)?;
    rest.match_indices(key).map(|(index, _)| from + index).find(|&start| {
        let before = text.get(..start).unwrap_or_default();
        let after = text.get(start + key.len()..).unwrap_or_default();
        let line = before.rsplit('\n').next().unwrap_or_default();
        let in_comment = line.trim_start().starts_with('#') || line.contains(" #");
        // In a block mapping only top-level keys stand at the margin.
        let at_depth =
            !is_top_level || line.is_empty() || line.contains(['{', '"', ',']) || text.trim_start().starts_with('{');
        let after = after.strip_prefix(['"', '\'']).unwrap_or(after);
        !in_comment && at_depth && !before.ends_with(is_word) && after.trim_start_matches(' ').starts_with(':')
    })
}

/// A line of a text with a caret under a column, and the line number in the margin.
///
/// # Example
/// ```
/// let text = "engine:\n  max_num_seq: 8\n";
/// assert_eq!(plimsoll_formats::excerpt(text, 2, 3), "2 |   max_num_seq: 8\n  |   ^");
/// ```
#[must_use]
pub fn excerpt(text: &str, line: usize, column: usize) -> String {
    /// More of a long line helps nobody; the window keeps the caret in sight.
    const WIDTH: usize = 100;
    let source = text.lines().nth(line.saturating_sub(1)).unwrap_or_default();
    let column = column.max(1) - 1;
    let from = column.saturating_sub(WIDTH - 20);
    let shown: String = source.chars().skip(from).take(WIDTH).map(|c| if c == '\t' { ' ' } else { c }).collect();
    let number = line.to_string();
    let margin = " ".repeat(number.len());
    format!("{number} | {shown}\n{margin} | {}^", " ".repeat(column - from))
}

/// The excerpt for a diagnostic whose path ends in `:line:column`; none for another path.
#[must_use]
pub fn excerpt_of(text: &str, diagnostic: &Diagnostic) -> Option<String> {
    let mut parts = diagnostic.path.rsplit(':');
    let column = parts.next()?.parse().ok()?;
    let line = parts.next()?.parse().ok()?;
    Some(excerpt(text, line, column))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_by_path_in_blocks_flows_and_json() {
        let yaml = "# engine: no\nengine_version: x\nengine:\n  a: 1\nworkload:\n  a: 2 # b: 3\n  b: 4\n";
        assert_eq!(find_key(yaml, &["engine"]), Some(Place { line: 3, column: 1 }));
        assert_eq!(find_key(yaml, &["workload", "a"]), Some(Place { line: 6, column: 3 }));
        assert_eq!(find_key(yaml, &["workload", "b"]), Some(Place { line: 7, column: 3 }));
        assert_eq!(find_key(yaml, &["workload", "missing"]), Some(Place { line: 5, column: 1 }));
        assert_eq!(find_key(yaml, &["nothing"]), None);
        assert_eq!(find_key("{\"engine\": {\"a\" : 1}}", &["engine", "a"]), Some(Place { line: 1, column: 14 }));
        assert_eq!(find_key("engine: { a: 1 }", &["engine", "a"]), Some(Place { line: 1, column: 11 }));
    }

    #[test]
    fn the_caret_stands_under_the_column_also_of_long_lines() {
        let text = format!("{}x", "ä".repeat(500));
        let shown = excerpt(&text, 1, 501);
        let mut lines = shown.lines();
        let (source, caret) = (lines.next().unwrap(), lines.next().unwrap());
        assert_eq!(source.chars().position(|c| c == 'x'), caret.chars().position(|c| c == '^'));
    }
}
