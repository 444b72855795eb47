//! Reading a mapping field by field, so that every bad field is reported and not only the first.
//!
//! Serde stops at the first problem. A field is therefore read alone, together with fields known to be good, and
//! what fails then is the field's own fault.
//! Reading goes through JSON text whatever the file's format was: that is how messages between page and worker are
//! read too, so a module that does both holds one reader instead of two.

use plimsoll_core::catalog::meant;
use plimsoll_core::diagnostic::Diagnostic;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// One bad field: its path below the value, and serde's message.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct BadField {
    pub path: Vec<String>,
    pub message: String,
}

/// The bad fields of `fields` as a `T`; `good` holds a good value for every required field.
pub(crate) fn bad_fields<T: DeserializeOwned>(fields: &Map<String, Value>, good: &Map<String, Value>) -> Vec<BadField> {
    let mut found = Vec::new();
    let mut whole = fields.clone();
    for (key, value) in fields {
        let mut alone = good.clone();
        alone.insert(key.clone(), value.clone());
        if let Err(message) = read::<T>(alone) {
            found.push(BadField { path: vec![key.clone()], message });
            match good.get(key) {
                Some(good) => whole.insert(key.clone(), good.clone()),
                None => whole.remove(key),
            };
        }
    }
    // What is left can only lack something; each lacking field is put in to see the next one.
    while let Err(message) = read::<T>(whole.clone()) {
        let missing = quoted(&message).first().and_then(|name| Some((*name, good.get(*name)?)));
        let Some((name, value)) = missing.filter(|(name, _)| !whole.contains_key(*name)) else {
            found.push(BadField { path: Vec::new(), message });
            break;
        };
        whole.insert(name.to_owned(), value.clone());
        found.push(BadField { path: Vec::new(), message });
    }
    found
}

/// The fields as a `T`, or serde's message.
pub(crate) fn read<T: DeserializeOwned>(fields: Map<String, Value>) -> Result<T, String> {
    plimsoll_json::from_text(&Value::Object(fields).to_string()).map_err(|error| error.to_string())
}

/// Turns serde's message about a field into a diagnostic: what is wrong, what is allowed, what was meant.
pub(crate) fn explain(place: String, path: &str, message: &str, value: Option<&Value>) -> Diagnostic {
    let names = quoted(message);
    let shown = value.map(shown).unwrap_or_default();
    let whole = if path.is_empty() { "the file" } else { path };
    if let (true, Some((name, valid))) = (message.contains("unknown field"), names.split_first()) {
        let at = if path.rsplit('.').next() == Some(name) { path.to_owned() } else { joined(path, name) };
        return Diagnostic::error("unknown-field", place, format!("there is no field {at}"))
            .with_hint(meant(name, valid.iter().copied()));
    }
    if let (true, Some((name, valid))) = (message.contains("unknown variant"), names.split_first()) {
        let mut valid = valid.to_vec();
        valid.sort_unstable();
        return Diagnostic::error("invalid-value", place, format!("{whole} is {name}"))
            .with_hint(meant(name, valid.iter().copied()));
    }
    if let (true, Some(name)) = (message.contains("missing field"), names.first()) {
        return Diagnostic::error("missing-field", place, format!("{} is missing", joined(path, name)))
            .with_hint(format!("give {name}"));
    }
    if let Some((_, expected)) = message.rsplit_once("expected ") {
        return Diagnostic::error("invalid-value", place, format!("{whole} is {shown}"))
            .with_hint(format!("give {}", in_words(expected)));
    }
    Diagnostic::error("invalid-value", place, format!("{whole}: {message}"))
        .with_hint("see the documentation of this file")
}

fn joined(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// A parser's message about one line, without the line, and with types in the words of a user.
pub(crate) fn plain(message: &str) -> String {
    let bare = message.split(" at line ").next().unwrap_or(message);
    match bare.rsplit_once("expected ") {
        Some((before, expected)) => format!("{before}expected {}", in_words(expected)),
        None => bare.to_owned(),
    }
}

/// What serde calls a type, in the words of a user.
fn in_words(expected: &str) -> String {
    match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number of 0 or more".into(),
        "i32" | "i64" => "a whole number".into(),
        "f32" | "f64" => "a number".into(),
        "a boolean" => "true or false".into(),
        "a string" => "a text".into(),
        "a sequence" => "a list".into(),
        other if other.starts_with("struct ") || other.contains("enum ") || other == "map" => {
            "a mapping of fields".into()
        }
        other => other.into(),
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "empty".into(),
        Value::Bool(value) => value.to_string(),
        Value::Number(value) => value.to_string(),
        Value::String(text) if text.chars().count() > 40 => {
            format!("\"{}…\"", text.chars().take(40).collect::<String>())
        }
        Value::String(text) => format!("\"{text}\""),
        Value::Array(_) => "a list".into(),
        Value::Object(_) => "a mapping".into(),
    }
}

/// The parts of a message between backticks.
fn quoted(message: &str) -> Vec<&str> {
    message.split('`').skip(1).step_by(2).collect()
}
