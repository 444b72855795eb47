//! A JSON reader that is pushed bytes and keeps little of them.
//!
//! A report of a load test is mostly numbers and generated text. Lists of numbers become plain vectors and texts are
//! dropped while they are read, so what is kept is a fraction of the file and never holds a prompt.
//! Python's `NaN` and `Infinity`, which JSON has not, become such numbers; the readers of the formats decide.

use std::fmt;

/// Longer texts are no names, so only their beginning is kept.
const MAX_TEXT: usize = 200;
/// Deeper nesting is no report.
const MAX_DEPTH: usize = 64;
/// A longer number or word is none.
const MAX_WORD: usize = 64;

/// Keys whose texts are prompts or answers: never kept.
const PRIVATE: [&str; 12] = [
    "generated_texts",
    "generated_text",
    "prompt",
    "prompts",
    "output",
    "outputs",
    "text",
    "texts",
    "content",
    "messages",
    "request_args",
    "response",
];

/// A value without its long texts.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    Number(f64),
    Text(Box<str>),
    /// A list of numbers only.
    Numbers(Vec<f64>),
    List(Vec<Json>),
    Object(Vec<(Box<str>, Json)>),
}

impl Json {
    /// The value of a key; none for other than objects. The last of equal keys counts, as in Python.
    pub fn get(&self, key: &str) -> Option<&Json> {
        match self {
            Json::Object(entries) => entries.iter().rev().find(|(name, _)| &**name == key).map(|(_, value)| value),
            _ => None,
        }
    }

    /// The value at a path of keys.
    pub fn at(&self, path: &[&str]) -> Option<&Json> {
        path.iter().try_fold(self, |value, key| value.get(key))
    }

    /// A finite number.
    pub fn number(&self) -> Option<f64> {
        match self {
            Json::Number(value) if value.is_finite() => Some(*value),
            _ => None,
        }
    }

    pub fn text(&self) -> Option<&str> {
        match self {
            Json::Text(text) if !text.is_empty() => Some(text),
            _ => None,
        }
    }

    /// The items of a list that is not one of numbers; an empty list is both.
    pub fn list(&self) -> Option<&[Json]> {
        match self {
            Json::List(items) => Some(items),
            Json::Numbers(numbers) if numbers.is_empty() => Some(&[]),
            _ => None,
        }
    }

    pub fn numbers(&self) -> Option<&[f64]> {
        match self {
            Json::Numbers(numbers) => Some(numbers),
            Json::List(items) if items.is_empty() => Some(&[]),
            _ => None,
        }
    }

    /// What it is, for a message.
    pub fn kind(&self) -> String {
        match self {
            Json::Null => "empty".into(),
            Json::Bool(value) => value.to_string(),
            Json::Number(value) => value.to_string(),
            Json::Text(text) => format!("\"{text}\""),
            Json::Numbers(_) | Json::List(_) => "a list".into(),
            Json::Object(_) => "an object".into(),
        }
    }
}

/// Why reading stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JsonError {
    /// Bytes read before it.
    pub offset: u64,
    /// Where in the value, e.g. `itls[3][17]`; empty at the top.
    pub path: String,
    pub reason: Reason,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reason {
    /// The text ends inside a value.
    Truncated,
    /// A character that cannot stand there.
    Unexpected(char),
    /// A word that is no value.
    Word(String),
    TooDeep,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Truncated => write!(f, "the file ends"),
            Reason::Unexpected(character) => write!(f, "there is an unexpected {character:?}"),
            Reason::Word(word) => write!(f, "{word:?} is no value"),
            Reason::TooDeep => write!(f, "values are nested more than {MAX_DEPTH} deep"),
        }
    }
}

#[derive(Debug)]
enum Frame {
    Array { numbers: Vec<f64>, items: Vec<Json>, is_private: bool },
    Object { entries: Vec<(Box<str>, Json)>, key: Option<Box<str>>, is_private: bool },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expect {
    /// A value, or the end of an array that has none yet.
    Value,
    /// A key, or the end of an object.
    Key,
    Colon,
    /// A comma or the end of the surrounding value.
    After,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    None,
    Text,
    Escape,
    /// Hexadecimal digits left.
    Unicode(u8),
    Word,
}

/// Reads values one after the other, as JSON lines have them; a file of one value is the simple case.
#[derive(Debug)]
pub(crate) struct JsonReader {
    stack: Vec<Frame>,
    expect: Expect,
    token: Token,
    word: Vec<u8>,
    offset: u64,
    /// Finished values and where each began.
    done: Vec<(u64, Json)>,
    start: u64,
    error: Option<JsonError>,
    /// Whether a comma was just read, so that the value must go on.
    after_comma: bool,
}

impl JsonReader {
    pub fn new() -> Self {
        Self {
            stack: Vec::new(),
            expect: Expect::Value,
            token: Token::None,
            word: Vec::new(),
            offset: 0,
            done: Vec::new(),
            start: 0,
            error: None,
            after_comma: false,
        }
    }

    /// Takes the next bytes; after an error further ones are ignored.
    pub fn push(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if self.error.is_some() {
                return;
            }
            self.byte(byte);
            self.offset += 1;
        }
    }

    /// Finished values and where each began, in bytes.
    pub fn take(&mut self) -> Vec<(u64, Json)> {
        std::mem::take(&mut self.done)
    }

    /// Ends the text: values that are left, or what is wrong.
    pub fn finish(mut self) -> Result<Vec<(u64, Json)>, JsonError> {
        if self.error.is_none() && self.token == Token::Word {
            self.end_word();
        }
        if self.error.is_none() && (!self.stack.is_empty() || self.token != Token::None) {
            self.fail(Reason::Truncated);
        }
        match self.error {
            Some(error) => Err(error),
            None => Ok(self.done),
        }
    }

    fn fail(&mut self, reason: Reason) {
        let mut path = String::new();
        for frame in &self.stack {
            match frame {
                Frame::Array { numbers, items, .. } => path.push_str(&format!("[{}]", numbers.len().max(items.len()))),
                Frame::Object { key: Some(key), .. } => {
                    if !path.is_empty() {
                        path.push('.');
                    }
                    path.push_str(key);
                }
                Frame::Object { key: None, .. } => {}
            }
        }
        self.error = Some(JsonError { offset: self.offset, path, reason });
    }

    fn byte(&mut self, byte: u8) {
        match self.token {
            Token::None => self.structure(byte),
            Token::Text => match byte {
                b'"' => self.end_text(),
                b'\\' => self.token = Token::Escape,
                _ => self.keep(byte),
            },
            Token::Escape => {
                self.token = Token::Text;
                match byte {
                    b'u' => self.token = Token::Unicode(4),
                    // The letter stands for itself; no name that matters has an escape.
                    _ => self.keep(byte),
                }
            }
            Token::Unicode(left) => self.token = if left > 1 { Token::Unicode(left - 1) } else { Token::Text },
            Token::Word => {
                if byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.') {
                    self.keep_word(byte);
                } else {
                    self.end_word();
                    if self.error.is_none() {
                        self.structure(byte);
                    }
                }
            }
        }
    }

    fn keep(&mut self, byte: u8) {
        let is_dropped = self.expect == Expect::Value && self.is_private();
        if !is_dropped && self.word.len() < MAX_TEXT {
            self.word.push(byte);
        }
    }

    fn keep_word(&mut self, byte: u8) {
        self.word.push(byte);
        if self.word.len() > MAX_WORD {
            let word = String::from_utf8_lossy(&self.word).into_owned();
            self.fail(Reason::Word(word));
        }
    }

    fn is_private(&self) -> bool {
        match self.stack.last() {
            Some(Frame::Array { is_private, .. }) => *is_private,
            Some(Frame::Object { key, is_private, .. }) => {
                *is_private || key.as_ref().is_some_and(|key| PRIVATE.contains(&&**key))
            }
            None => false,
        }
    }

    fn structure(&mut self, byte: u8) {
        if byte.is_ascii_whitespace() {
            return;
        }
        match (self.expect, byte) {
            (Expect::Value, b'{') => {
                let is_private = self.is_private();
                self.open(Frame::Object { entries: Vec::new(), key: None, is_private }, Expect::Key);
            }
            (Expect::Value, b'[') => {
                let is_private = self.is_private();
                self.open(Frame::Array { numbers: Vec::new(), items: Vec::new(), is_private }, Expect::Value);
            }
            (Expect::Value, b'"') | (Expect::Key, b'"') => {
                self.begin();
                self.token = Token::Text;
            }
            (Expect::Value, b']') if !self.after_comma => self.close(false),
            (Expect::Key, b'}') if !self.after_comma => self.close(true),
            (Expect::Value, b'-' | b'+' | b'.') => self.begin_word(byte),
            (Expect::Value, _) if byte.is_ascii_alphanumeric() => self.begin_word(byte),
            (Expect::Colon, b':') => self.expect = Expect::Value,
            (Expect::After, b',') => {
                self.expect =
                    if matches!(self.stack.last(), Some(Frame::Object { .. })) { Expect::Key } else { Expect::Value };
                self.after_comma = true;
            }
            (Expect::After, b']') => self.close(false),
            (Expect::After, b'}') => self.close(true),
            _ => self.fail(Reason::Unexpected(char::from(byte))),
        }
    }

    fn begin(&mut self) {
        if self.stack.is_empty() {
            self.start = self.offset;
        }
        self.after_comma = false;
        self.word.clear();
    }

    fn begin_word(&mut self, byte: u8) {
        self.begin();
        self.token = Token::Word;
        self.word.push(byte);
    }

    fn open(&mut self, frame: Frame, expect: Expect) {
        self.begin();
        if self.stack.len() >= MAX_DEPTH {
            self.fail(Reason::TooDeep);
            return;
        }
        self.stack.push(frame);
        self.expect = expect;
    }

    fn close(&mut self, is_object: bool) {
        let character = if is_object { '}' } else { ']' };
        let value = match self.stack.pop() {
            Some(Frame::Object { entries, .. }) if is_object => Json::Object(entries),
            Some(Frame::Array { numbers, items, .. }) if !is_object => {
                if items.is_empty() {
                    Json::Numbers(numbers)
                } else {
                    Json::List(items)
                }
            }
            other => {
                self.stack.extend(other);
                self.fail(Reason::Unexpected(character));
                return;
            }
        };
        self.value(value);
    }

    fn end_text(&mut self) {
        self.token = Token::None;
        let text: Box<str> = String::from_utf8_lossy(&self.word).into();
        if self.expect == Expect::Key {
            if let Some(Frame::Object { key, .. }) = self.stack.last_mut() {
                *key = Some(text);
            }
            self.expect = Expect::Colon;
        } else {
            self.value(Json::Text(text));
        }
    }

    fn end_word(&mut self) {
        self.token = Token::None;
        let word = String::from_utf8_lossy(&self.word).into_owned();
        let value = match word.as_str() {
            "null" | "None" => Json::Null,
            "true" | "True" => Json::Bool(true),
            "false" | "False" => Json::Bool(false),
            "NaN" | "nan" => Json::Number(f64::NAN),
            "Infinity" | "inf" => Json::Number(f64::INFINITY),
            "-Infinity" | "-inf" => Json::Number(f64::NEG_INFINITY),
            number if number.starts_with(|first: char| first.is_ascii_digit() || matches!(first, '-' | '+' | '.')) => {
                match number.parse::<f64>() {
                    Ok(value) => Json::Number(value),
                    Err(_) => return self.fail(Reason::Word(word)),
                }
            }
            _ => return self.fail(Reason::Word(word)),
        };
        self.value(value);
    }

    fn value(&mut self, value: Json) {
        self.after_comma = false;
        match self.stack.last_mut() {
            None => {
                self.done.push((self.start, value));
                self.expect = Expect::Value;
            }
            Some(Frame::Object { entries, key, .. }) => {
                entries.push((key.take().unwrap_or_default(), value));
                self.expect = Expect::After;
            }
            Some(Frame::Array { numbers, items, .. }) => {
                match value {
                    Json::Number(number) if items.is_empty() => numbers.push(number),
                    other => {
                        // The list turns out to be mixed.
                        items.extend(std::mem::take(numbers).into_iter().map(Json::Number));
                        items.push(other);
                    }
                }
                self.expect = Expect::After;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Json>, JsonError> {
        let mut reader = JsonReader::new();
        // Byte by byte: every token is cut somewhere.
        for byte in text.bytes() {
            reader.push(&[byte]);
        }
        Ok(reader.finish()?.into_iter().map(|(_, value)| value).collect())
    }

    #[test]
    fn values_are_read_and_texts_of_people_are_not_kept() {
        let text = r#"{"a": [1, -2.5e-3, NaN], "b": [[0.5], []], "generated_texts": ["a \"secret\"", "x"], "c": null,
            "d": {"prompt": "secret", "n": true}, "e": "x"} {"k": "inf"}"#;
        let values = read(text).unwrap();
        assert_eq!(values.len(), 2);
        let first = &values[0];
        let numbers = first.get("a").unwrap().numbers().unwrap();
        assert_eq!(numbers[..2], [1.0, -2.5e-3]);
        assert!(numbers[2].is_nan());
        assert_eq!(first.get("b").unwrap().list().unwrap()[0].numbers(), Some(&[0.5][..]));
        assert_eq!(first.at(&["d", "n"]), Some(&Json::Bool(true)));
        assert!(!format!("{values:?}").contains("secret"));
        assert_eq!(values[1].get("k").unwrap().text(), Some("inf"));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        for (text, path, reason) in [
            (r#"{"itls": [[1, 2], [3, 0.0"#, "itls[1][2]", Reason::Truncated),
            (r#"{"a": 1,}"#, "", Reason::Unexpected('}')),
            ("[1, 2,]", "[2]", Reason::Unexpected(']')),
            (r#"{"a": [1, 2}"#, "a[2]", Reason::Unexpected('}')),
            (r#"{"a": 1 2}"#, "", Reason::Unexpected('2')),
            (r#"{"a": nope}"#, "a", Reason::Word("nope".into())),
            (r#"{"a": 1.2.3}"#, "a", Reason::Word("1.2.3".into())),
        ] {
            let error = read(text).unwrap_err();
            assert_eq!((error.path.as_str(), &error.reason), (path, &reason), "{text}");
        }
        assert_eq!(read(&"[".repeat(100)).unwrap_err().reason, Reason::TooDeep);
    }
}
