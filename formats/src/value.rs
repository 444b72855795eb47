//! Text to a tree of values, with the place of what cannot be read.

use crate::fields::shown_path;
use crate::place::{Place, find_key};
use plimsoll_core::diagnostic::Diagnostic;
use serde::de::{Deserialize, Deserializer, EnumAccess, IgnoredAny, MapAccess, SeqAccess, VariantAccess, Visitor};
use serde_json::{Map, Number, Value};
use std::fmt;

/// What could be read of a text, without the fields in `problems`.
pub(crate) struct Readable {
    pub value: Value,
    /// Repeated keys, and what JSON has not, each where it stands.
    pub problems: Vec<(Place, Diagnostic)>,
}

impl Readable {
    /// The value if nothing is wrong.
    fn whole(self) -> Result<Value, Vec<Diagnostic>> {
        if self.problems.is_empty() {
            return Ok(self.value);
        }
        Err(self.problems.into_iter().map(|(_, diagnostic)| diagnostic).collect())
    }
}

/// Parses YAML into the values JSON has.
///
/// # Errors
/// The text is not valid YAML, repeats a key, or has what JSON has not: tags, keys that are no text, infinities.
pub(crate) fn from_yaml(text: &str, file: &str) -> Result<Value, Vec<Diagnostic>> {
    readable_yaml(text, file)?.whole()
}

/// Parses YAML as far as it can be read.
///
/// # Errors
/// The text is not valid YAML.
pub(crate) fn readable_yaml(text: &str, file: &str) -> Result<Readable, Vec<Diagnostic>> {
    let tree = serde_yaml::from_str::<Tree>(text).map_err(|error| {
        let place = error.location().map_or(Place::START, |at| Place { line: at.line(), column: at.column() });
        vec![syntax_problem(place, file, &error.to_string(), "YAML")]
    })?;
    Ok(tree.placed(text, file))
}

/// Parses JSON, where a repeated key is a problem too, as far as it can be read.
///
/// # Errors
/// The text is not valid JSON.
pub(crate) fn readable_json(text: &str, file: &str) -> Result<Readable, Vec<Diagnostic>> {
    let tree = serde_json::from_str::<Tree>(text).map_err(|error| {
        let place = Place { line: error.line().max(1), column: error.column().max(1) };
        vec![syntax_problem(place, file, &error.to_string(), "JSON")]
    })?;
    Ok(tree.placed(text, file))
}

/// What is wrong with a field that can be read past.
enum Flaw {
    /// Its name is there already.
    Repeated(String),
    /// JSON has nothing like it.
    Foreign(String),
}

/// A value, and the paths of the fields it lacks because of their flaws.
struct Tree {
    value: Value,
    flaws: Vec<(Vec<String>, Flaw)>,
}

impl Tree {
    fn sound(value: impl Into<Value>) -> Self {
        Self { value: value.into(), flaws: Vec::new() }
    }

    fn foreign(message: String) -> Self {
        Self { value: Value::Null, flaws: vec![(Vec::new(), Flaw::Foreign(message))] }
    }

    fn placed(self, text: &str, file: &str) -> Readable {
        let mut seen: Vec<String> = Vec::new();
        let problems = self.flaws.into_iter().map(|(keys, flaw)| {
            let path: Vec<&str> = keys.iter().map(String::as_str).collect();
            let place = find_key(text, &path).unwrap_or(Place::START);
            match flaw {
                Flaw::Repeated(key) => {
                    let earlier = seen.iter().filter(|other| **other == key).count();
                    let place = repeated_keys(text, &key).get(earlier).copied().unwrap_or(place);
                    let message = format!("{key} is given twice");
                    seen.push(key);
                    let diagnostic = Diagnostic::error("repeated-field", place.in_file(file), message);
                    (place, diagnostic.with_hint("keep one of them"))
                }
                Flaw::Foreign(message) => {
                    let message = if path.is_empty() { message } else { format!("{}: {message}", shown_path(&keys)) };
                    let diagnostic = Diagnostic::error("syntax", place.in_file(file), message);
                    (place, diagnostic.with_hint("use plain fields, numbers, texts and lists"))
                }
            }
        });
        let problems = problems.collect();
        Readable { value: self.value, problems }
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TreeVisitor)
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::sound(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Tree, E> {
        Ok(Tree::sound(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tree, D::Error> {
        Tree::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::sound(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree::sound(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
        Ok(Tree::sound(value))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Tree, E> {
        Ok(Tree::foreign(format!("{value} is too large a number")))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Tree, E> {
        Ok(Tree::foreign(format!("{value} is too large a number")))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Tree, E> {
        Ok(match Number::from_f64(value) {
            Some(number) => Tree::sound(Value::Number(number)),
            None => Tree::foreign(format!("{value} is not a finite number")),
        })
    }

    fn visit_str<E>(self, text: &str) -> Result<Tree, E> {
        Ok(Tree::sound(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Tree, A::Error> {
        let mut tree = Tree::sound(Vec::<Value>::new());
        let mut values = Vec::new();
        while let Some(item) = items.next_element::<Tree>()? {
            let key = format!("[{}]", values.len());
            values.push(item.value);
            tree.flaws.extend(item.flaws.into_iter().map(|(mut path, flaw)| {
                path.insert(0, key.clone());
                (path, flaw)
            }));
        }
        tree.value = Value::Array(values);
        Ok(tree)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Tree, A::Error> {
        let mut fields = Map::new();
        let mut flaws = Vec::new();
        while let Some((key, item)) = entries.next_entry::<Tree, Tree>()? {
            let key = match key.value {
                Value::String(key) => key,
                // A number is a name like any other, e.g. a length with its weight.
                Value::Number(key) => key.to_string(),
                other => {
                    flaws.push((Vec::new(), Flaw::Foreign(format!("the name {other} is not a text"))));
                    continue;
                }
            };
            let is_flawed = item.flaws.iter().any(|(path, _)| path.is_empty());
            flaws.extend(item.flaws.into_iter().map(|(mut path, flaw)| {
                path.insert(0, key.clone());
                (path, flaw)
            }));
            if fields.contains_key(&key) {
                flaws.push((vec![key.clone()], Flaw::Repeated(key)));
            } else if !is_flawed || item.value.is_object() {
                fields.insert(key, item.value);
            }
        }
        Ok(Tree { value: Value::Object(fields), flaws })
    }

    fn visit_enum<A: EnumAccess<'de>>(self, tagged: A) -> Result<Tree, A::Error> {
        let (tag, content) = tagged.variant::<String>()?;
        content.newtype_variant::<IgnoredAny>()?;
        Ok(Tree::foreign(format!("the tag !{tag} is not known")))
    }
}

/// The parser's message without its own statement of the place.
fn syntax_problem(place: Place, file: &str, message: &str, format: &str) -> Diagnostic {
    let bare = message.split(" at line ").next().unwrap_or(message);
    Diagnostic::error("syntax", place.in_file(file), format!("not valid {format}: {bare}"))
        .with_hint("indentation, quotes and brackets must match")
}

/// The places where a key is given again, roughly: of the lines that begin with it, those whose indentation repeats.
///
/// The parsers do not say where a key stands.
fn repeated_keys(text: &str, key: &str) -> Vec<Place> {
    let mut places = Vec::new();
    let mut indents = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let mut bare = line.trim_start();
        if let Some(item) = bare.strip_prefix("- ") {
            // A new item of a list begins a new mapping.
            bare = item.trim_start();
            let indent = line.chars().count() - bare.chars().count();
            indents.retain(|&seen| seen < indent);
        }
        let indent = line.chars().count() - bare.chars().count();
        let is_key = bare
            .trim_start_matches(['"', '\''])
            .strip_prefix(key)
            .is_some_and(|rest| rest.trim_start_matches(['"', '\'']).trim_start().starts_with(':'));
        if !is_key && !bare.is_empty() {
            // A shallower line ends the mappings below it.
            indents.retain(|&seen| seen <= indent);
        }
        if is_key && indents.contains(&indent) {
            places.push(Place { line: index + 1, column: indent + 1 });
        } else if is_key {
            indents.push(indent);
        }
    }
    places
}
