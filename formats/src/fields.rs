//! Reading a mapping field by field into types of one's own, with every problem in its place.

use crate::place::{Place, find_key};
use plimsoll_core::catalog::meant;
use plimsoll_core::diagnostic::Diagnostic;
use serde_json::{Map, Value};

/// What is wrong with a file, each problem with its place.
pub(crate) struct Problems<'a> {
    text: &'a str,
    file: &'a str,
    found: Vec<(Place, Diagnostic)>,
}

/// A mapping of a file, and which of its fields were asked for.
pub(crate) struct Fields<'v> {
    /// Keys from the root; an item of a list is `[3]`.
    path: Vec<String>,
    map: &'v Map<String, Value>,
    asked: Vec<&'static str>,
}

impl<'a> Problems<'a> {
    pub fn new(text: &'a str, file: &'a str, found: Vec<(Place, Diagnostic)>) -> Self {
        Self { text, file, found }
    }

    fn place(&self, path: &[String]) -> Place {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        find_key(self.text, &path).unwrap_or(Place::START)
    }

    /// An error at a path of keys.
    pub fn error(&mut self, code: &str, path: &[String], message: impl Into<String>, hint: impl Into<String>) {
        let place = self.place(path);
        self.found.push((place, Diagnostic::error(code, place.in_file(self.file), message).with_hint(hint)));
    }

    /// A note about the file as a whole.
    pub fn note(&mut self, code: &str, path: &[String], message: impl Into<String>, hint: impl Into<String>) {
        let place = self.place(path);
        self.found.push((place, Diagnostic::note(code, place.in_file(self.file), message).with_hint(hint)));
    }

    /// A problem that was found with what the file says, unless something is wrong at its place already.
    pub fn follow_up(&mut self, place: Place, diagnostic: Diagnostic) {
        if self.found.iter().all(|(other, _)| *other != place) {
            self.found.push((place, diagnostic));
        }
    }

    /// Everything found, by place.
    pub fn finish(mut self) -> Vec<Diagnostic> {
        self.found.sort_by_key(|(place, _)| *place);
        self.found.into_iter().map(|(_, diagnostic)| diagnostic).collect()
    }
}

/// A path in words: `clients[1].arrival.cv`.
pub(crate) fn shown_path(path: &[String]) -> String {
    let mut shown = String::new();
    for key in path {
        if !shown.is_empty() && !key.starts_with('[') {
            shown.push('.');
        }
        shown.push_str(key);
    }
    shown
}

fn shown(value: &Value) -> String {
    match value {
        Value::Array(_) => "a list".into(),
        Value::Object(_) => "a mapping".into(),
        other => other.to_string(),
    }
}

impl<'v> Fields<'v> {
    pub fn new(path: Vec<String>, map: &'v Map<String, Value>) -> Self {
        Self { path, map, asked: Vec::new() }
    }

    pub fn path(&self) -> &[String] {
        &self.path
    }

    /// The path of a field.
    pub fn at(&self, key: &str) -> Vec<String> {
        let mut path = self.path.clone();
        path.push(key.to_owned());
        path
    }

    /// A field that is there and not empty.
    pub fn get(&mut self, key: &'static str) -> Option<&'v Value> {
        self.asked.push(key);
        self.map.get(key).filter(|value| !value.is_null())
    }

    fn wrong(&self, key: &str, value: &Value, wanted: &str, problems: &mut Problems<'_>) {
        let at = self.at(key);
        problems.error(
            "invalid-value",
            &at,
            format!("{} is {}", shown_path(&at), shown(value)),
            format!("give {wanted}"),
        );
    }

    /// Reports a field that cannot be left out; whether it is there.
    pub fn require(&mut self, key: &'static str, hint: &str, problems: &mut Problems<'_>) -> bool {
        let is_there = self.get(key).is_some();
        if !is_there {
            let message = format!("{} is missing", shown_path(&self.at(key)));
            problems.error("missing-field", &self.path, message, hint);
        }
        is_there
    }

    pub fn number(&mut self, key: &'static str, problems: &mut Problems<'_>) -> Option<f64> {
        let value = self.get(key)?;
        let number = value.as_f64().filter(|number| number.is_finite());
        if number.is_none() {
            self.wrong(key, value, "a finite number", problems);
        }
        number
    }

    pub fn whole(&mut self, key: &'static str, problems: &mut Problems<'_>) -> Option<u64> {
        let value = self.get(key)?;
        let number = value.as_u64();
        if number.is_none() {
            self.wrong(key, value, "a whole number of 0 or more", problems);
        }
        number
    }

    /// A whole number that fits 32 bits.
    pub fn count(&mut self, key: &'static str, problems: &mut Problems<'_>) -> Option<u32> {
        let value = self.get(key)?;
        let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
        if number.is_none() {
            self.wrong(key, value, "a whole number from 0 to 4294967295", problems);
        }
        number
    }

    pub fn flag(&mut self, key: &'static str, problems: &mut Problems<'_>) -> Option<bool> {
        let value = self.get(key)?;
        if !value.is_boolean() {
            self.wrong(key, value, "true or false", problems);
        }
        value.as_bool()
    }

    /// A text; a number stands for its digits.
    pub fn text(&mut self, key: &'static str, problems: &mut Problems<'_>) -> Option<String> {
        let value = self.get(key)?;
        match value {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => {
                self.wrong(key, value, "a text", problems);
                None
            }
        }
    }

    /// One of several names.
    pub fn one_of(&mut self, key: &'static str, names: &[&str], problems: &mut Problems<'_>) -> Option<String> {
        let text = self.text(key, problems)?;
        if names.contains(&text.as_str()) {
            return Some(text);
        }
        let at = self.at(key);
        problems.error(
            "invalid-value",
            &at,
            format!("{} is \"{text}\"", shown_path(&at)),
            meant(&text, names.iter().copied()),
        );
        None
    }

    pub fn fields(&mut self, key: &'static str, problems: &mut Problems<'_>) -> Option<Fields<'v>> {
        let value = self.get(key)?;
        match value {
            Value::Object(map) => Some(Fields::new(self.at(key), map)),
            _ => {
                self.wrong(key, value, "a mapping of fields", problems);
                None
            }
        }
    }

    /// The mappings of a list; items that are none are reported.
    pub fn list(&mut self, key: &'static str, problems: &mut Problems<'_>) -> Vec<Fields<'v>> {
        let Some(value) = self.get(key) else { return Vec::new() };
        let Value::Array(items) = value else {
            self.wrong(key, value, "a list", problems);
            return Vec::new();
        };
        let mut found = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let mut path = self.at(key);
            path.push(format!("[{index}]"));
            match item {
                Value::Object(map) => found.push(Fields::new(path, map)),
                other => {
                    let message = format!("{} is {}", shown_path(&path), shown(other));
                    problems.error("invalid-value", &path, message, "give a mapping of fields");
                }
            }
        }
        found
    }

    /// The entries of a mapping whose keys are data.
    pub fn entries(&self) -> impl Iterator<Item = (&'v String, &'v Value)> {
        self.map.iter()
    }

    /// Reports the fields nobody asked for.
    pub fn finish(self, problems: &mut Problems<'_>) {
        for key in self.map.keys().filter(|key| !self.asked.contains(&key.as_str())) {
            let at = self.at(key);
            let message = format!("there is no field {}", shown_path(&at));
            problems.error("unknown-field", &at, message, meant(key, self.asked.iter().copied()));
        }
    }
}
