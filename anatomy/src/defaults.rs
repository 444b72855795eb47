//! What a config class assumes for keys that its config does not state.

use plimsoll_json::Value;

/// A line for each `model_type`: its name, then `key=value` for every key with a default.
///
/// # Source
/// The config classes of transformers 5.24.0, made with their defaults and written down, and what families with code
/// of their own assume of their heads; `T` and `F` are true and
/// false, `-` is null, and a list stands in brackets.
const TABLE: &str = include_str!("defaults.txt");

/// The defaults of one class.
pub(super) struct Defaults {
    values: Vec<(&'static str, Value<'static>)>,
}

impl Defaults {
    /// Those of a `model_type`; none for one that the table lacks.
    pub fn of(model_type: &str) -> Option<Self> {
        let line = TABLE.lines().find(|line| line.split(' ').next() == Some(model_type))?;
        let pairs = line.split(' ').skip(1).filter_map(|pair| pair.split_once('='));
        Some(Self { values: pairs.map(|(key, text)| (key, value_of(text))).collect() })
    }

    /// The names of all lines.
    pub fn names() -> impl Iterator<Item = &'static str> {
        TABLE.lines().filter_map(|line| line.split(' ').next())
    }

    /// No defaults at all.
    pub fn none() -> Self {
        Self { values: Vec::new() }
    }

    pub fn get(&self, key: &str) -> Option<&Value<'static>> {
        self.values.iter().find(|(name, _)| *name == key).map(|(_, value)| value)
    }
}

fn value_of(text: &'static str) -> Value<'static> {
    match text {
        "-" => Value::Null,
        "T" => Value::Bool(true),
        "F" => Value::Bool(false),
        _ => match text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some("") => Value::List(Vec::new()),
            Some(list) => Value::List(list.split(',').map(value_of).collect()),
            None => plimsoll_json::decimal::read(text).map_or_else(|| Value::from(text), Value::Number),
        },
    }
}
