//! JSON for what a browser loads: a value, its text and the way back, and both ways for types that derive serde.
//!
//! `serde_json` reads straight from the text. Every derived type then gets its own copy of the reader's loops, in both
//! forms JSON allows a struct to have, and the tables for decimal numbers come on top: a sixth of each of the site's two
//! modules.
//! Here a text becomes a [`Value`] by one small reader, and a type is taken from that; the browser's own tables read
//! long numbers.
//! Commands, build scripts and the readers of large files use `serde_json`; tests hold the two together.

mod de;
pub mod decimal;
mod place;
mod ser;
mod value;

pub use place::Place;
pub use value::{Owned, Value};

use core::fmt;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// What is wrong with a text, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::box_collection, reason = "one pointer, because it is part of every result on the way")]
pub struct Error(Box<String>);

impl Error {
    fn new(message: impl fmt::Display) -> Self {
        Error(Box::new(message.to_string()))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(&self.0)
    }
}

impl core::error::Error for Error {}

/// Reads a type from a text.
///
/// # Errors
/// When the text is not JSON, with the byte where that shows, or holds something else.
pub fn from_text<T: DeserializeOwned>(text: &str) -> Result<T, Error> {
    from_value(&Value::read(text)?)
}

/// Takes a type from a value.
///
/// # Errors
/// When the value is something else.
pub fn from_value<T: DeserializeOwned>(value: &Value<'_>) -> Result<T, Error> {
    T::deserialize(value)
}

/// Writes a value of a type as text; doubles that JSON has no text for become `null`.
///
/// # Errors
/// When a map has keys that are no texts.
pub fn to_text<T: Serialize>(value: &T) -> Result<String, Error> {
    let mut text = String::new();
    value.serialize(ser::Writer { text: &mut text })?;
    Ok(text)
}

#[cfg(test)]
mod tests;
