//! A pasted text as words, each with its place.

use crate::place::Place;
use plimsoll_core::diagnostic::Diagnostic;
use shlex::Shlex;

/// No command line is longer; a longer text is something else, pasted by mistake.
pub(super) const MAX_BYTES: usize = 1 << 16;

/// A word of a command, without its quotes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Word {
    pub text: String,
    pub place: Place,
    /// Number of the command in the text that it belongs to: a line, together with those that a `\` joins to it.
    pub line: usize,
}

/// Refuses what cannot be a command, before anything looks at it closely.
pub(super) fn check_text(text: &str, file: &str) -> Result<(), Vec<Diagnostic>> {
    if text.len() > MAX_BYTES {
        let message = format!("the text has {} bytes", text.len());
        let hint = format!("paste the command alone; at most {MAX_BYTES} bytes are read");
        return Err(vec![Diagnostic::error("file-too-large", file, message).with_hint(hint)]);
    }
    let is_foreign = |character: char| character.is_control() && !matches!(character, '\n' | '\r' | '\t');
    if let Some(offset) = text.find(is_foreign) {
        let place = Place::of_offset(text, offset).in_file(file);
        let message = "a control character stands here, which no command has";
        return Err(vec![Diagnostic::error("syntax", place, message).with_hint("paste the command as text")]);
    }
    Ok(())
}

/// Splits a command as a POSIX shell does; nothing is expanded.
///
/// # Errors
/// A quote is not closed.
pub(super) fn words(text: &str, file: &str) -> Result<Vec<Word>, Vec<Diagnostic>> {
    let joined = without_continuations(text);
    let mut splitter = Shlex::new(&joined);
    let mut cursor = Cursor { pasted: text.as_bytes(), text: &joined, offset: 0, line: 0, place: Place::START };
    let mut words = Vec::new();
    for word in splitter.by_ref() {
        words.push(cursor.take(word));
    }
    if splitter.had_error {
        cursor.skip_blanks();
        let place = cursor.place.in_file(file);
        let message = "a quote that opens at or behind this place is not closed";
        return Err(vec![Diagnostic::error("syntax", place, message).with_hint("close it, or take it out")]);
    }
    Ok(words)
}

/// The text with blanks in place of each `\` that ends a line, and of that line's end; every offset stays.
///
/// A `\` with blanks behind it is meant to join lines too, though a shell would not do it. So is one at the end of the
/// text.
fn without_continuations(text: &str) -> String {
    let mut joined = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        let (before, from) = rest.split_at(at);
        joined.push_str(before);
        let behind = from.strip_prefix('\\').unwrap_or_default();
        let next = behind.trim_start_matches([' ', '\t', '\r']);
        let after = next.strip_prefix('\n').or(next.is_empty().then_some(next));
        match after {
            Some(after) => {
                joined.extend(core::iter::repeat_n(' ', from.len() - after.len()));
                rest = after;
            }
            None => {
                // What is escaped is no beginning of another escape.
                let length = 1 + behind.chars().next().map_or(0, char::len_utf8);
                let (escape, after) = from.split_at(length);
                joined.push_str(escape);
                rest = after;
            }
        }
    }
    joined.push_str(rest);
    joined.replace('\r', " ")
}

/// Where in the text the next word begins.
///
/// The splitter does not say where its words stand, but a word is what stands there without quotes and backslashes, so
/// walking both side by side finds it.
struct Cursor<'a> {
    /// The text as it was pasted, to the same offsets.
    pasted: &'a [u8],
    text: &'a str,
    offset: usize,
    /// Commands before this place.
    line: usize,
    place: Place,
}

impl Cursor<'_> {
    fn peek(&self) -> Option<char> {
        self.text.get(self.offset..)?.chars().next()
    }

    fn step(&mut self, character: char) {
        self.line += usize::from(character == '\n');
        let Place { line, column } = self.place;
        let is_end = self.pasted.get(self.offset) == Some(&b'\n');
        self.place = if is_end { Place { line: line + 1, column: 1 } } else { Place { line, column: column + 1 } };
        self.offset += character.len_utf8();
    }

    fn skip_blanks(&mut self) {
        while let Some(character) = self.peek() {
            if character == '#' {
                while let Some(character) = self.peek().filter(|character| *character != '\n') {
                    self.step(character);
                }
            } else if character.is_ascii_whitespace() {
                self.step(character);
            } else {
                break;
            }
        }
    }

    fn take(&mut self, text: String) -> Word {
        self.skip_blanks();
        let (place, line) = (self.place, self.line);
        let mut wanted = text.chars();
        let mut next = wanted.next();
        while let Some(character) = self.peek() {
            let is_part = next == Some(character);
            let is_quoting = matches!(character, '"' | '\'' | '\\');
            if is_part {
                next = wanted.next();
            } else if !is_quoting {
                break;
            }
            self.step(character);
        }
        Word { text, place, line }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> Vec<(String, usize, usize, usize)> {
        let words = words(text, "line").expect("quotes are closed");
        words.into_iter().map(|word| (word.text, word.place.line, word.place.column, word.line)).collect()
    }

    #[test]
    fn words_are_those_of_a_shell_with_the_place_of_each() {
        let found = split("vllm serve 'a b' \\\n  --x=\"{\\\"k\\\": 1}\" --y\\ z # gone\nnext");
        let expected = [
            ("vllm", 1, 1, 0),
            ("serve", 1, 6, 0),
            ("a b", 1, 12, 0),
            ("--x={\"k\": 1}", 2, 3, 0),
            ("--y z", 2, 20, 0),
            ("next", 3, 1, 1),
        ];
        assert_eq!(found, expected.map(|(text, row, column, line)| (text.to_owned(), row, column, line)));
    }

    #[test]
    fn a_line_is_continued_with_blanks_behind_the_backslash_and_on_windows() {
        for text in ["a \\\r\n  b", "a \\  \n  b", "a \\\n b \\", "a\\\nb"] {
            let found: Vec<String> = split(text).into_iter().map(|(word, ..)| word).collect();
            assert_eq!(found, ["a", "b"], "{text:?}");
        }
        assert_eq!(split("a\\ b")[0].0, "a b");
        assert_eq!(split("a\\\\\nb").len(), 2);
    }

    #[test]
    fn open_quotes_and_control_characters_have_their_place() {
        let problems = words("vllm serve 'open", "line").expect_err("open");
        assert_eq!((problems[0].code.as_str(), problems[0].path.as_str()), ("syntax", "line:1:12"));
        let problems = check_text("vllm\nser\0ve", "line").expect_err("NUL");
        assert_eq!(problems[0].path, "line:2:4");
        assert_eq!(check_text(&" ".repeat(MAX_BYTES + 1), "line").expect_err("long")[0].code, "file-too-large");
    }
}
