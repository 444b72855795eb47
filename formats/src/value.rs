//! Text to a tree of values, with the place of what cannot be read.

use crate::place::Place;
use plimsoll_core::diagnostic::Diagnostic;
use serde_json::{Map, Number, Value};

/// Parses YAML into the values JSON has.
///
/// # Errors
/// The text is not valid YAML, repeats a key, or has what JSON has not: tags, keys that are no text, infinities.
pub(crate) fn from_yaml(text: &str, file: &str) -> Result<Value, Vec<Diagnostic>> {
    let value = serde_yaml::from_str::<serde_yaml::Value>(text).map_err(|error| {
        let place = error.location().map_or(Place::START, |at| Place { line: at.line(), column: at.column() });
        vec![syntax_problem(text, place, file, &error.to_string(), "YAML")]
    })?;
    plain(value).map_err(|message| {
        vec![
            Diagnostic::error("syntax", Place::START.in_file(file), message)
                .with_hint("use plain fields, numbers, texts and lists"),
        ]
    })
}

/// Parses JSON, where a repeated key is an error too.
///
/// # Errors
/// The text is not valid JSON or repeats a key.
pub(crate) fn from_json(text: &str, file: &str) -> Result<Value, Vec<Diagnostic>> {
    // The YAML values refuse repeated keys, the JSON values take the last.
    let value = serde_json::from_str::<serde_yaml::Value>(text).map_err(|error| {
        let place = Place { line: error.line().max(1), column: error.column().max(1) };
        vec![syntax_problem(text, place, file, &error.to_string(), "JSON")]
    })?;
    plain(value).map_err(|message| vec![Diagnostic::error("syntax", Place::START.in_file(file), message)])
}

fn plain(value: serde_yaml::Value) -> Result<Value, String> {
    Ok(match value {
        serde_yaml::Value::Null => Value::Null,
        serde_yaml::Value::Bool(value) => Value::Bool(value),
        serde_yaml::Value::String(text) => Value::String(text),
        serde_yaml::Value::Number(number) => Value::Number(plain_number(&number)?),
        serde_yaml::Value::Sequence(items) => Value::Array(items.into_iter().map(plain).collect::<Result<_, _>>()?),
        serde_yaml::Value::Mapping(fields) => {
            let mut plain_fields = Map::new();
            for (key, value) in fields {
                let serde_yaml::Value::String(key) = key else { return Err("a field's name is not a text".into()) };
                plain_fields.insert(key, plain(value)?);
            }
            Value::Object(plain_fields)
        }
        serde_yaml::Value::Tagged(tagged) => return Err(format!("the tag {} is not known", tagged.tag)),
    })
}

fn plain_number(number: &serde_yaml::Number) -> Result<Number, String> {
    let whole = number.as_u64().map(Number::from).or_else(|| number.as_i64().map(Number::from));
    let found = whole.or_else(|| number.as_f64().and_then(Number::from_f64));
    found.ok_or_else(|| format!("{number} is not a finite number"))
}

/// The parser's message without its own statement of the place; a repeated key is looked up, because the parser
/// does not say where it stands.
fn syntax_problem(text: &str, place: Place, file: &str, message: &str, format: &str) -> Diagnostic {
    let bare = message.split(" at line ").next().unwrap_or(message);
    if let Some((_, rest)) = bare.split_once("duplicate entry with key ") {
        let key = rest.trim_matches(['"', '\'']);
        let place = repeated_key(text, key).unwrap_or(place);
        return Diagnostic::error("repeated-field", place.in_file(file), format!("{key} is given twice"))
            .with_hint("keep one of them");
    }
    Diagnostic::error("syntax", place.in_file(file), format!("not valid {format}: {bare}"))
        .with_hint("indentation, quotes and brackets must match")
}

/// The second place of a key, roughly: of the lines that begin with it, the first whose indentation repeats.
fn repeated_key(text: &str, key: &str) -> Option<Place> {
    let mut indents = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let bare = line.trim_start();
        let indent = line.chars().count() - bare.chars().count();
        let is_key = bare
            .trim_start_matches(['"', '\''])
            .strip_prefix(key)
            .is_some_and(|rest| rest.trim_start_matches(['"', '\'']).trim_start().starts_with(':'));
        if is_key && indents.contains(&indent) {
            return Some(Place { line: index + 1, column: indent + 1 });
        }
        if is_key {
            indents.push(indent);
        } else if !bare.is_empty() {
            // A shallower line ends the mappings below it.
            indents.retain(|&seen| seen <= indent);
        }
    }
    None
}
