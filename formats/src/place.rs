//! Where in a text something stands, and how to show it.

use plimsoll_core::diagnostic::Diagnostic;

pub(crate) use plimsoll_json::Place;

/// Finds the key that a path of keys leads to, in YAML or JSON.
///
/// Each key is looked for behind the one before it; keys in comments do not count. A key `[2]` is the third item of a
/// list. Gives the place of the longest beginning of the path that is there.
pub(crate) fn find_key(text: &str, path: &[&str]) -> Option<Place> {
    let mut offset = None;
    for (depth, key) in path.iter().enumerate() {
        let from = offset.unwrap_or(0);
        let found = match key.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')?.parse().ok()) {
            Some(index) => item_after(text, from, index),
            None => key_after(text, key, from, depth == 0),
        };
        match found {
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

/// The byte offset of an item of the list that begins behind `from`.
fn item_after(text: &str, from: usize, index: usize) -> Option<usize> {
    let rest = text.get(from..)?;
    let value = rest.get(rest.find(':')? + 1..)?;
    let start = text.len() - value.len();
    if value.trim_start_matches([' ', '\n', '\r', '\t']).starts_with('[') {
        return flow_item(text, start + value.find('[')? + 1, index);
    }
    // A block list: the dashes of its first item's indentation, up to something less indented.
    let mut indent = None;
    let mut seen = 0;
    let mut offset = start + value.find('\n')? + 1;
    for line in text.get(offset..)?.split_inclusive('\n') {
        let bare = line.trim_start();
        let depth = line.len() - bare.len();
        if !bare.is_empty() && !bare.starts_with('#') {
            let is_item = bare.starts_with("- ") || bare.trim_end() == "-";
            let wanted = *indent.get_or_insert(depth);
            if depth < wanted || (depth == wanted && !is_item) {
                return None;
            }
            if depth == wanted {
                if seen == index {
                    let behind_dash = bare.len() - bare.get(1..)?.trim_start_matches(' ').len();
                    return Some(offset + depth + behind_dash);
                }
                seen += 1;
            }
        }
        offset += line.len();
    }
    None
}

/// The byte offset of an item of a list in brackets, whose inside begins at `from`.
fn flow_item(text: &str, from: usize, index: usize) -> Option<usize> {
    let (mut depth, mut seen, mut quote) = (0, 0, None);
    let mut is_at_start = true;
    for (at, character) in text.get(from..)?.char_indices() {
        if let Some(open) = quote {
            if character == open {
                quote = None;
            }
            continue;
        }
        if is_at_start && !character.is_whitespace() {
            is_at_start = false;
            if seen == index {
                return Some(from + at);
            }
        }
        match character {
            '"' | '\'' => quote = Some(character),
            '[' | '{' => depth += 1,
            ']' | '}' if depth == 0 => return None,
            ']' | '}' => depth -= 1,
            ',' if depth == 0 => {
                seen += 1;
                is_at_start = true;
            }
            _ => {}
        }
    }
    None
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
    fn items_of_lists_are_found_by_their_position() {
        let yaml = "a:\n- x: 1\n  y: 2\n\n# none\n- x: 3\n  z:\n    - x: 4\n- x: 5\nb: [{x: 6, y: [1, 2]}, {x: 7}]\n";
        assert_eq!(find_key(yaml, &["a", "[1]", "x"]), Some(Place { line: 6, column: 3 }));
        assert_eq!(find_key(yaml, &["a", "[1]", "z", "[0]", "x"]), Some(Place { line: 8, column: 7 }));
        assert_eq!(find_key(yaml, &["a", "[2]", "x"]), Some(Place { line: 9, column: 3 }));
        assert_eq!(find_key(yaml, &["a", "[3]"]), Some(Place { line: 1, column: 1 }));
        assert_eq!(find_key(yaml, &["b", "[1]", "x"]), Some(Place { line: 10, column: 25 }));
        assert_eq!(find_key("{\"b\": [1, \"],\", 3]}", &["b", "[2]"]), Some(Place { line: 1, column: 17 }));
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
