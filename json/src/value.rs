//! A value, its text, and the way back.

use crate::{Error, decimal};
use std::borrow::Cow;
use std::fmt::{self, Write};

/// Deepest nesting that is read; messages have seven levels, a scenario with clients ten.
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
    /// A whole number that is no double, such as a seed of 64 bits.
    Whole(u64),
    /// A text.
    Text(Cow<'a, str>),
    /// Values in order.
    List(Vec<Value<'a>>),
    /// Values by name, in order.
    Map(Vec<(Cow<'a, str>, Value<'a>)>),
}

/// A value that borrows nothing.
pub type Owned = Value<'static>;

impl<'a> Value<'a> {
    /// Reads a text that is one value.
    ///
    /// # Errors
    /// When it is none, with the byte where that shows.
    pub fn read(text: &'a str) -> Result<Self, Error> {
        Reader { text, at: 0, is_python: false }
            .whole()
            .map_err(|at| Error::new(format_args!("is not JSON from byte {} on", at + 1)))
    }

    /// Reads what Python's writer makes, where infinities and NaN stand as the bare words that JSON lacks.
    ///
    /// # Errors
    /// When it is none, the offset of the byte where that shows.
    pub fn read_python(text: &'a str) -> Result<Self, usize> {
        // Some editors begin a file with a byte order mark.
        let at = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        Reader { text, at, is_python: true }.whole()
    }

    /// Why [`Value::read_python`] stopped at an offset: the text is no JSON there, or nested deeper than is read.
    #[must_use]
    pub fn refusal(text: &str, offset: usize) -> &'static str {
        let (mut depth, mut is_text, mut is_escaped) = (0_u32, false, false);
        for byte in text.bytes().take(offset) {
            match byte {
                _ if is_escaped => is_escaped = false,
                b'\\' if is_text => is_escaped = true,
                b'"' => is_text = !is_text,
                b'[' | b'{' if !is_text => depth = depth.saturating_add(1),
                b']' | b'}' if !is_text => depth = depth.saturating_sub(1),
                _ => {}
            }
        }
        if depth > MAX_DEPTH { "values are nested more than 32 deep" } else { "not valid JSON" }
    }

    /// The same without borrowing the text.
    #[must_use]
    pub fn into_owned(self) -> Owned {
        match self {
            Value::Null => Value::Null,
            Value::Bool(value) => Value::Bool(value),
            Value::Number(value) => Value::Number(value),
            Value::Whole(value) => Value::Whole(value),
            Value::Text(text) => Value::Text(Cow::Owned(text.into_owned())),
            Value::List(values) => Value::List(values.into_iter().map(Value::into_owned).collect()),
            Value::Map(entries) => Value::Map(
                entries.into_iter().map(|(name, value)| (Cow::Owned(name.into_owned()), value.into_owned())).collect(),
            ),
        }
    }

    /// The value of this name; the last one where it stands twice, as Python's reader takes it.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value<'a>> {
        match self {
            Value::Map(entries) => entries.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value),
            _ => None,
        }
    }

    /// The value of this name, to be changed.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Value<'a>> {
        match self {
            Value::Map(entries) => entries.iter_mut().rev().find(|(key, _)| key == name).map(|(_, value)| value),
            _ => None,
        }
    }

    /// Adds a name with its value, which must be new; on anything but a map this does nothing.
    pub fn insert(&mut self, name: impl Into<Cow<'a, str>>, value: Value<'a>) {
        if let Value::Map(entries) = self {
            entries.push((name.into(), value));
        }
    }
}

impl fmt::Display for Value<'_> {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Bool(value) => write!(to, "{value}"),
            Value::Number(value) => write_number(*value, to),
            Value::Whole(value) => write!(to, "{value}"),
            Value::Null => to.write_str("null"),
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

/// Writes a number: the shortest text that reads back the same.
pub(crate) fn write_number(value: f64, to: &mut dyn Write) -> fmt::Result {
    if value.is_finite() { write!(to, "{value}") } else { to.write_str("null") }
}

/// Writes a text in quotes.
pub(crate) fn write_text(text: &str, to: &mut dyn Write) -> fmt::Result {
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
    is_python: bool,
}

impl<'a> Reader<'a> {
    fn whole(mut self) -> Result<Value<'a>, usize> {
        let value = self.value(0);
        self.skip_space();
        value.filter(|_| self.at == self.text.len()).ok_or(self.at)
    }

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
                let name = self.string()?;
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
            "Infinity" if self.is_python => Some(Value::Number(f64::INFINITY)),
            "-Infinity" if self.is_python => Some(Value::Number(f64::NEG_INFINITY)),
            "NaN" if self.is_python => Some(Value::Number(f64::NAN)),
            number => number_of(number),
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
                let unit = self.utf16_unit()?;
                let is_first_half = (0xD800..0xDC00).contains(&unit);
                let second = if is_first_half && self.text.get(self.at..)?.starts_with("\\u") {
                    self.at += 2;
                    self.utf16_unit()
                } else {
                    None
                };
                char::decode_utf16([Some(unit), second].into_iter().flatten()).next()?.ok()?
            }
            _ => return None,
        })
    }

    fn utf16_unit(&mut self) -> Option<u16> {
        let digits = self.text.get(self.at..self.at + 4)?;
        self.at += 4;
        u16::from_str_radix(digits, 16).ok()
    }
}

/// Largest count up to which every whole number is a double.
const MAX_EXACT: u64 = 1 << 53;

/// A number's text as the double nearest to it; a longer count stays exact.
fn number_of(text: &str) -> Option<Owned> {
    match text.parse::<u64>() {
        Ok(count) if count > MAX_EXACT => Some(Value::Whole(count)),
        _ => decimal::read(text).map(Value::Number),
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
        // Up to the limit this is exact.
        if value > MAX_EXACT { Value::Whole(value) } else { Value::Number(value as f64) }
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
#[macro_export]
macro_rules! json {
    (@map $map:ident) => {};
    (@map $map:ident $name:literal : { $($inner:tt)* } $(, $($rest:tt)*)?) => {
        $map.insert($name, $crate::json!({ $($inner)* }));
        $crate::json!(@map $map $($($rest)*)?);
    };
    (@map $map:ident $name:literal : [ $($value:expr),* $(,)? ] $(, $($rest:tt)*)?) => {
        $map.insert($name, $crate::Value::List(vec![$($value.into()),*]));
        $crate::json!(@map $map $($($rest)*)?);
    };
    (@map $map:ident $name:literal : $value:expr $(, $($rest:tt)*)?) => {
        $map.insert($name, $value.into());
        $crate::json!(@map $map $($($rest)*)?);
    };
    ({}) => { $crate::Value::Map(Vec::new()) };
    ({ $($inner:tt)* }) => {{
        let mut map = $crate::Value::Map(Vec::new());
        $crate::json!(@map map $($inner)*);
        map
    }};
}
