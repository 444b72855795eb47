//! A config asked for its values: under every spelling, layer by layer, with the defaults of its class.

use super::defaults::Defaults;
use super::spellings::spellings;
use plimsoll_json::Value;
use plimsoll_scenario::diagnostic::Diagnostic;

/// The file that problems are reported in.
pub(super) const FILE: &str = "config.json";

/// The most layers that are described; today's largest models have some hundred.
pub(super) const MAX_LAYERS: u32 = 2048;

/// The largest size, count or width that is believed.
const MAX_SIZE: f64 = 16_777_216.0;

/// The text part of a config, with what is known where it says nothing.
pub(super) struct Config<'v> {
    /// Where keys are looked for, the first one first.
    places: Vec<&'v Value<'v>>,
    defaults: Defaults,
    /// The layer that is being described.
    layer: usize,
    per_layer: Option<&'v Value<'v>>,
    /// What was found to be wrong.
    pub problems: Vec<Diagnostic>,
}

impl<'v> Config<'v> {
    pub fn new(places: Vec<&'v Value<'v>>, defaults: Defaults) -> Self {
        let per_layer = places.iter().find_map(|place| place.get("per_layer_config"));
        Self { places, defaults, layer: 0, per_layer, problems: Vec::new() }
    }

    /// From now on values are those of this layer, where layers differ.
    pub fn go_to(&mut self, layer: u32) {
        self.layer = layer as usize;
    }

    /// What stands under one spelling, an explicit null included.
    fn stated(&self, name: &str) -> Option<&'v Value<'v>> {
        let own = self.per_layer.and_then(|layers| {
            let layer = self.layer;
            layers.get(&format!("{layer:02}")).or_else(|| layers.get(&layer.to_string()))?.get(name)
        });
        own.or_else(|| self.places.iter().find_map(|place| place.get(name)))
    }

    /// The value of a key under any of its spellings, else that of the class; none for null and where nothing is said.
    pub fn value(&self, key: &'static str) -> Option<&Value<'v>> {
        let mut is_null = false;
        for name in std::iter::once(key).chain(spellings(key)) {
            match self.stated(name) {
                Some(Value::Null) => is_null = true,
                Some(value) => return Some(value),
                None => {}
            }
        }
        if is_null {
            return None;
        }
        self.defaults.get(key).filter(|value| !matches!(value, Value::Null))
    }

    /// Whether a key is stated in the config itself, under any spelling and not as null.
    pub fn states(&self, key: &'static str) -> bool {
        std::iter::once(key)
            .chain(spellings(key))
            .any(|name| self.stated(name).is_some_and(|value| !matches!(value, Value::Null)))
    }

    /// A number of 0 or more, of this layer where there is a list; none where nothing is said.
    pub fn count(&mut self, key: &'static str) -> Option<u32> {
        let layer = self.layer;
        let value = match self.value(key)? {
            Value::List(values) => values.get(layer)?,
            value => value,
        };
        let number = match value {
            Value::Number(number) => *number,
            Value::Whole(number) => *number as f64,
            Value::Null => return None,
            other => {
                let message = format!("{key} is {}, not a number", brief(other));
                self.error("invalid-value", key, message, "give a whole number");
                return None;
            }
        };
        if !(0.0..=MAX_SIZE).contains(&number) {
            let message = format!("{key} is {}", brief(&Value::Number(number)));
            self.error("invalid-value", key, message, "no model has such a size; give a whole number up to 16777216");
            return None;
        }
        if number.fract() != 0.0 {
            let message = format!("{key} is {}", brief(&Value::Number(number)));
            self.error("invalid-value", key, message, "give a whole number");
            return None;
        }
        u32::try_from(plimsoll_scenario::time::truncate(number)).ok()
    }

    /// A number of 0 or more, 0 where nothing is said.
    pub fn count_or_0(&mut self, key: &'static str) -> u32 {
        self.count(key).unwrap_or(0)
    }

    /// A number that the model cannot be described without; 1 and a problem where nothing is said.
    pub fn need(&mut self, key: &'static str) -> u32 {
        let problems = self.problems.len();
        match self.count(key) {
            Some(number) if number > 0 => number,
            _ => {
                if self.problems.len() == problems {
                    let hint = "add it from the model card, or paste the config.json of the model's own repository";
                    self.error("missing-field", key, format!("{key} is missing, and nothing else says it"), hint);
                }
                1
            }
        }
    }

    /// Warns of sizes that nobody would leave out and that the class of the config has to say.
    pub fn warn_of_assumed(&mut self, model_type: &str, keys: &[&'static str]) {
        let left_out = keys.iter().filter(|key| !self.states(key)).copied().collect::<Vec<_>>();
        let assumed = left_out.into_iter().filter_map(|key| Some(format!("{key} as {}", self.count(key)?)));
        let assumed: Vec<String> = assumed.collect();
        if assumed.is_empty() {
            return;
        }
        let message = format!("{} is taken from the defaults of {model_type}", assumed.join(" and "));
        let problem = Diagnostic::warning("assumed-by-class", FILE, message)
            .with_hint("paste the config.json of the model's own repository if this is another model");
        self.problems.push(problem);
    }

    /// A number with a fraction; none where nothing is said.
    pub fn number(&self, key: &'static str) -> Option<f64> {
        match self.value(key)? {
            Value::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// A truth value; false where nothing is said.
    pub fn flag(&mut self, key: &'static str) -> bool {
        match self.value(key) {
            None => false,
            Some(Value::Bool(value)) => *value,
            Some(Value::Number(number)) => *number != 0.0,
            Some(other) => {
                let message = format!("{key} is {}, not true or false", brief(other));
                self.error("invalid-value", key, message, "give true or false");
                false
            }
        }
    }

    /// A text; none where nothing is said.
    pub fn text(&self, key: &'static str) -> Option<&str> {
        match self.value(key)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A list; none where nothing is said.
    pub fn list(&self, key: &'static str) -> Option<&[Value<'v>]> {
        match self.value(key)? {
            Value::List(values) => Some(values),
            _ => None,
        }
    }

    /// A value inside the object of a key; none where nothing is said.
    pub fn inner(&self, key: &'static str, name: &str) -> Option<&Value<'v>> {
        self.value(key)?.get(name)
    }

    /// Whether a list of layers names this one.
    pub fn lists(&self, key: &'static str, layer: u32) -> Option<bool> {
        let number = f64::from(layer);
        Some(self.list(key)?.iter().any(|value| matches!(value, Value::Number(listed) if *listed == number)))
    }

    pub fn error(&mut self, code: &str, key: &str, message: impl Into<String>, hint: &str) {
        let path = format!("{FILE}:{key}");
        if self.problems.iter().all(|problem| problem.path != path) {
            self.problems.push(Diagnostic::error(code, path, message).with_hint(hint));
        }
    }

    pub fn warn(&mut self, code: &str, key: &str, message: impl Into<String>, hint: &str) {
        let path = format!("{FILE}:{key}");
        self.problems.push(Diagnostic::warning(code, path, message).with_hint(hint));
    }
}

/// The beginning of a value's text.
pub(super) fn brief(value: &Value<'_>) -> String {
    let text = match value {
        Value::List(values) => format!("a list of {}", values.len()),
        Value::Map(entries) => format!("an object of {}", entries.len()),
        other => other.to_string(),
    };
    if text.chars().count() > 40 { text.chars().take(40).chain(['…']).collect() } else { text }
}
