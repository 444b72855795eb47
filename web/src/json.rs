//! JSON as the page needs it: a value, its text, and the way back.
//!
//! A library with derived decoders for the same messages is six times as large, a sixth of the page's first load.
//! The other end of every message is written and read by such a library, and tests hold the two together.

use crate::decimal;
use std::borrow::Cow;
use std::fmt::{self, Write};

/// Deepest nesting that is read; messages have seven levels.
const MAX_DEPTH: u32 = 32;

/// A value; texts are borrowed from what was read.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    /// `null`, and doubles that JSON has no text for.
    Null,
    /// A truth value.
    Bool(bool),
    /// A number.
    Number(f64),
    /// A text.
    Text(Cow<'a, str>),
    /// Values in order.
    List(Vec<Value<'a>>),
    /// Values by name, in order.
    Map(Vec<(&'a str, Value<'a>)>),
}

/// A value that borrows nothing but names.
pub type Owned = Value<'static>;

impl<'a> Value<'a> {
    /// Reads a text that is one value.
    #[must_use]
    pub fn read(text: &'a str) -> Option<Self> {
        let mut reader = Reader { text, at: 0 };
        let value = reader.value(0)?;
        reader.skip_space();
        (reader.at == text.len()).then_some(value)
    }

    /// The value of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value<'a>> {
        match self {
            Value::Map(entries) => entries.iter().find(|(key, _)| *key == name).map(|(_, value)| value),
            _ => None,
        }
    }

    /// Adds a name with its value, which must be new; on anything but a map this does nothing.
    pub fn insert(&mut self, name: &'a str, value: Value<'a>) {
        if let Value::Map(entries) = self {
            entries.push((name, value));
        }
    }
}

impl fmt::Display for Value<'_> {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Bool(value) => write!(to, "{value}"),
            Value::Number(value) if value.is_finite() => write!(to, "{value}"),
            Value::Null | Value::Number(_) => to.write_str("null"),
            Value::Text(text) => write_text(text, to),
            Value::List(values) => {
                to.write_char('[')?;
                for (index, value) in values.iter().enumerate() {
                    if index > 0 {
                        to.write_char(',')?;
                    }
                    value.fmt(to)?;
                }
                to.write_char(']')
            }
            Value::Map(entries) => {
                to.write_char('{')?;
                for (index, (name, value)) in entries.iter().enumerate() {
                    if index > 0 {
                        to.write_char(',')?;
                    }
                    write_text(name, to)?;
                    to.write_char(':')?;
                    value.fmt(to)?;
                }
                to.write_char('}')
            }
        }
    }
}

fn write_text(text: &str, to: &mut fmt::Formatter<'_>) -> fmt::Result {
    to.write_char('"')?;
    let mut written = 0;
    for (at, byte) in text.bytes().enumerate().filter(|(_, byte)| matches!(byte, b'"' | b'\\' | 0..0x20)) {
        to.write_str(&text[written..at])?;
        write!(to, "\\u{byte:04x}")?;
        written = at + 1;
    }
    to.write_str(&text[written..])?;
    to.write_char('"')
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    /// Whether the next sign is this one, which is then passed.
    fn has(&mut self, sign: u8) -> bool {
        self.skip_space();
        let is_there = self.peek() == Some(sign);
        self.at += usize::from(is_there);
        is_there
    }

    fn value(&mut self, depth: u32) -> Option<Value<'a>> {
        if depth > MAX_DEPTH {
            return None;
        }
        if self.has(b'{') {
            let mut entries = Vec::new();
            if self.has(b'}') {
                return Some(Value::Map(entries));
            }
            loop {
                self.skip_space();
                let Cow::Borrowed(name) = self.string()? else { return None };
                self.has(b':').then_some(())?;
                entries.push((name, self.value(depth + 1)?));
                if !self.has(b',') {
                    return self.has(b'}').then_some(Value::Map(entries));
                }
            }
        }
        if self.has(b'[') {
            let mut values = Vec::new();
            if self.has(b']') {
                return Some(Value::List(values));
            }
            loop {
                values.push(self.value(depth + 1)?);
                if !self.has(b',') {
                    return self.has(b']').then_some(Value::List(values));
                }
            }
        }
        if self.peek() == Some(b'"') {
            return self.string().map(Value::Text);
        }
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')) {
            self.at += 1;
        }
        match &self.text[start..self.at] {
            "null" => Some(Value::Null),
            "true" => Some(Value::Bool(true)),
            "false" => Some(Value::Bool(false)),
            number => decimal::read(number).map(Value::Number),
        }
    }

    fn string(&mut self) -> Option<Cow<'a, str>> {
        self.has(b'"').then_some(())?;
        let mut unescaped = String::new();
        let mut start = self.at;
        loop {
            match self.peek()? {
                b'"' => {
                    let rest = &self.text[start..self.at];
                    self.at += 1;
                    if unescaped.is_empty() {
                        return Some(Cow::Borrowed(rest));
                    }
                    unescaped.push_str(rest);
                    return Some(Cow::Owned(unescaped));
                }
                b'\\' => {
                    unescaped.push_str(&self.text[start..self.at]);
                    self.at += 1;
                    unescaped.push(self.escape()?);
                    start = self.at;
                }
                _ => self.at += 1,
            }
        }
    }

    fn escape(&mut self) -> Option<char> {
        let sign = self.peek()?;
        self.at += 1;
        Some(match sign {
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'"' | b'\\' | b'/' => char::from(sign),
            b'u' => {
                let digits = self.text.get(self.at..self.at + 4)?;
                self.at += 4;
                // The writer of our messages escapes control characters alone, never half of a pair.
                char::from_u32(u32::from_str_radix(digits, 16).ok()?)?
            }
            _ => return None,
        })
    }
}

macro_rules! from_numbers {
    ($($number:ty),*) => {$(
        impl From<$number> for Value<'_> {
            fn from(value: $number) -> Self {
                Value::Number(f64::from(value))
            }
        }
    )*};
}
from_numbers!(f64, i32, u32);

impl From<u64> for Value<'_> {
    fn from(value: u64) -> Self {
        // Counts and job numbers stay below 2⁵³.
        Value::Number(value as f64)
    }
}

impl From<bool> for Value<'_> {
    fn from(value: bool) -> Self {
        Value::Bool(value)
    }
}

impl From<&str> for Value<'_> {
    fn from(text: &str) -> Self {
        Value::Text(Cow::Owned(text.to_owned()))
    }
}

impl From<&String> for Value<'_> {
    fn from(text: &String) -> Self {
        text.as_str().into()
    }
}

impl From<String> for Value<'_> {
    fn from(text: String) -> Self {
        Value::Text(Cow::Owned(text))
    }
}

impl<'a, T: Into<Value<'a>>> From<Option<T>> for Value<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Value::Null, Into::into)
    }
}

impl<'a, T: Into<Value<'a>>> From<Vec<T>> for Value<'a> {
    fn from(values: Vec<T>) -> Self {
        Value::List(values.into_iter().map(Into::into).collect())
    }
}

/// A value as JSON is written; a name's value is an expression, a list or a map.
macro_rules! json {
    (@map $map:ident) => {};
    (@map $map:ident $name:literal : { $($inner:tt)* } $(, $($rest:tt)*)?) => {
        $map.insert($name, $crate::json::json!({ $($inner)* }));
        $crate::json::json!(@map $map $($($rest)*)?);
    };
    (@map $map:ident $name:literal : [ $($value:expr),* $(,)? ] $(, $($rest:tt)*)?) => {
        $map.insert($name, $crate::json::Value::List(vec![$($value.into()),*]));
        $crate::json::json!(@map $map $($($rest)*)?);
    };
    (@map $map:ident $name:literal : $value:expr $(, $($rest:tt)*)?) => {
        $map.insert($name, $value.into());
        $crate::json::json!(@map $map $($($rest)*)?);
    };
    ({}) => { $crate::json::Value::Map(Vec::new()) };
    ({ $($inner:tt)* }) => {{
        let mut map = $crate::json::Value::Map(Vec::new());
        $crate::json::json!(@map map $($inner)*);
        map
    }};
}
pub(crate) use json;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back_here_and_elsewhere() {
        let value: Owned = json!({
            "number": 0.1 + 0.2, "whole": 7, "none": None::<f64>, "text": "a \"b\" \\ \n\u{1} é",
            "list": [1, 2.5], "map": { "deep": { "yes": true } }, "empty": {}, "gap": f64::NAN,
        });
        let text = value.to_string();
        let elsewhere: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(elsewhere["text"], "a \"b\" \\ \n\u{1} é");
        assert_eq!(elsewhere["number"], 0.1 + 0.2);
        let back = Value::read(&text).expect(&text);
        assert_eq!(back.get("gap"), Some(&Value::Null));
        assert_eq!(back.get("map"), value.get("map"));
        assert_eq!(Value::read(&elsewhere.to_string()).expect("ours").get("text"), value.get("text"));
    }

    #[test]
    fn what_is_no_value_is_none() {
        let deep = "[".repeat(100) + &"]".repeat(100);
        let texts =
            ["", "{", "[1,]", "{\"a\" 1}", "\"open", "tru", "1 2", "{\"a\\n\":1}", "\"\\x\"", "\"\\u12\"", &deep];
        for text in texts {
            assert_eq!(Value::read(text), None, "{text}");
        }
    }
}
