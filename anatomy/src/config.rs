//! A config asked for its values: under every spelling, layer by layer, with the defaults of its class.

use super::defaults::Defaults;
use super::spellings::spellings;
use plimsoll_json::Value;
use plimsoll_scenario::diagnostic::{Diagnostic, Severity};
use plimsoll_scenario::numeric::sort_few;

/// The file that problems are reported in.
pub(super) const FILE: &str = "config.json";

/// The most layers that are described; today's largest models have some hundred.
pub(super) const MAX_LAYERS: u32 = 2048;

/// The largest size, count or width that is believed.
const MAX_SIZE: f64 = 16_777_216.0;

/// The most experts of a layer that are believed.
///
/// Routers choose among some hundred today; the 16,384 single neurons of Doge are the most that a family has.
const MAX_EXPERTS: f64 = 65_536.0;

/// The most keys of the text part that are looked through; models have some hundred.
const MAX_KEYS: usize = 1024;

/// The most values of a list, and signs of a text, that are looked through for every layer.
const MAX_LISTED: usize = 8192;

/// Keys whose values are not looked through for every layer, so that they may be as long as they are.
const LONG_ONES: [&str; 4] = ["quantization_config", "compression_config", "id2label", "label2id"];

/// The largest value of a key that is believed.
fn most(key: &str) -> f64 {
    match key {
        "num_experts" | "num_experts_per_tok" => MAX_EXPERTS,
        "num_hidden_layers" => f64::from(MAX_LAYERS),
        _ => MAX_SIZE,
    }
}

/// The text part of a config, with what is known where it says nothing.
pub(super) struct Config<'v> {
    /// What stands in the text part and in the objects inside it that count as its own, by name.
    stated: Vec<(&'v str, &'v Value<'v>)>,
    defaults: Defaults,
    /// The layer that is being described.
    layer: usize,
    per_layer: Option<&'v Value<'v>>,
    /// What is stated for this layer alone.
    own: Option<&'v Value<'v>>,
    /// What was found to be wrong.
    pub problems: Vec<Diagnostic>,
}

impl<'v> Config<'v> {
    /// Asks these objects, the first one first.
    pub fn new(places: &[&'v Value<'v>], defaults: Defaults) -> Self {
        let mut problems = Vec::new();
        let mut stated: Vec<(&str, &Value<'_>)> = Vec::new();
        let entries =
            places.iter().filter_map(|place| if let Value::Map(entries) = place { Some(entries) } else { None });
        let num_keys: usize = entries.clone().map(Vec::len).sum();
        if num_keys > MAX_KEYS {
            let message = format!("the description of the language model has {num_keys} keys");
            let hint = format!("at most {MAX_KEYS} are read; paste the config.json of the model's own repository");
            problems.push(Diagnostic::error("file-too-large", FILE, message).with_hint(hint));
        } else {
            // Of a name that stands twice in one object the last one counts, as in Python; sorting keeps this order.
            stated.extend(entries.flat_map(|entries| entries.iter().rev()).map(|(name, value)| (&**name, value)));
            sort_few(&mut stated, |left, right| left.0.cmp(right.0));
            stated.dedup_by_key(|(name, _)| *name);
        }
        for (name, value) in stated.iter().filter(|(name, _)| !LONG_ONES.contains(name)) {
            if let Some((name, length)) = longest(name, value) {
                let message = format!("{name} has {length} values");
                let hint = format!("at most {MAX_LISTED} are read; no model has so many layers");
                problems.push(Diagnostic::error("file-too-large", format!("{FILE}:{name}"), message).with_hint(hint));
            }
        }
        let mut config = Self { stated, defaults, layer: 0, per_layer: None, own: None, problems };
        config.per_layer = config.find("per_layer_config");
        config.go_to(0);
        config
    }

    /// From now on values are those of this layer, where layers differ.
    pub fn go_to(&mut self, layer: u32) {
        self.layer = layer as usize;
        let own = |layers: &'v Value<'v>| layers.get(&format!("{layer:02}")).or_else(|| layers.get(&layer.to_string()));
        self.own = self.per_layer.and_then(own);
    }

    /// What stands under one name for all layers.
    fn find(&self, name: &str) -> Option<&'v Value<'v>> {
        let at = self.stated.binary_search_by(|(known, _)| (*known).cmp(name)).ok()?;
        self.stated.get(at).map(|(_, value)| *value)
    }

    /// What stands under one spelling, an explicit null included.
    fn stated(&self, name: &str) -> Option<&'v Value<'v>> {
        self.own.and_then(|own| own.get(name)).or_else(|| self.find(name))
    }

    /// The name under which the value of a key stands; the key itself where nothing is said.
    pub fn name_of(&self, key: &'static str) -> &'static str {
        let mut names = std::iter::once(key).chain(spellings(key));
        names.find(|name| self.stated(name).is_some_and(|value| !matches!(value, Value::Null))).unwrap_or(key)
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
            Value::List(values) if !values.is_empty() => match values.get(layer) {
                Some(value) => value,
                None => {
                    let name = self.name_of(key);
                    let message = format!("{name} has {} values, and none for layer {layer}", values.len());
                    self.error("invalid-value", name, message, "give a value for each layer, or one number for all");
                    return None;
                }
            },
            value => value,
        };
        let number = match value {
            Value::Number(number) => *number,
            Value::Whole(number) => *number as f64,
            Value::Null => return None,
            other => {
                let told = brief(other);
                let name = self.name_of(key);
                self.error("invalid-value", name, format!("{name} is {told}, not a number"), "give a whole number");
                return None;
            }
        };
        let most = most(key);
        if number.fract() == 0.0 && (0.0..=most).contains(&number) {
            return u32::try_from(plimsoll_scenario::time::truncate(number)).ok();
        }
        let is_fraction = number > 0.0 && number < most;
        let hint =
            if is_fraction { "give a whole number".to_owned() } else { format!("give a whole number up to {most}") };
        let name = self.name_of(key);
        self.error("invalid-value", name, format!("{name} is {}", brief(&Value::Number(number))), &hint);
        None
    }

    /// A number of 0 or more, 0 where nothing is said.
    pub fn count_or_0(&mut self, key: &'static str) -> u32 {
        self.count(key).unwrap_or(0)
    }

    /// A number that the model cannot be described without; 1 and a problem where nothing is said.
    pub fn need(&mut self, key: &'static str) -> u32 {
        let problems = self.problems.len();
        let found = self.count(key);
        if let Some(number) = found
            && number > 0
        {
            return number;
        }
        // The problem may be known from another layer.
        let is_told = |config: &Self, name: &str| {
            config.problems.len() > problems || config.problems.iter().any(|problem| is_at(problem, name))
        };
        if found.is_some() {
            let name = self.name_of(key);
            let hint = format!("give a whole number from 1 to {}", most(key));
            self.error("invalid-value", name, format!("{name} is 0"), &hint);
        } else if !is_told(self, self.name_of(key)) {
            let mut names = std::iter::once(key).chain(spellings(key));
            let null = names.find(|name| matches!(self.stated(name), Some(Value::Null)));
            let message = match null {
                Some(name) => format!("{name} is null, and nothing else says it"),
                None => format!("{key} is missing, and nothing else says it"),
            };
            let hint = "add it from the model card, or paste the config.json of the model's own repository";
            self.error("missing-field", null.unwrap_or(key), message, hint);
        }
        1
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
                let told = brief(other);
                let name = self.name_of(key);
                let message = format!("{name} is {told}, not true or false");
                self.error("invalid-value", name, message, "give true or false");
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

    /// A problem with a key, which is told once, not for every layer.
    pub fn error(&mut self, code: &str, key: &str, message: impl Into<String>, hint: &str) {
        if !self.problems.iter().any(|problem| is_at(problem, key) && problem.severity == Severity::Error) {
            let path = format!("{FILE}:{key}");
            self.problems.push(Diagnostic::error(code, path, message).with_hint(hint));
        }
    }

    pub fn warn(&mut self, code: &str, key: &str, message: impl Into<String>, hint: &str) {
        let path = format!("{FILE}:{key}");
        self.problems.push(Diagnostic::warning(code, path, message).with_hint(hint));
    }
}

/// Whether a problem is with a key.
fn is_at(problem: &Diagnostic, key: &str) -> bool {
    problem.path.strip_prefix(FILE).and_then(|rest| rest.strip_prefix(':')) == Some(key)
}

/// The list, the object or the text in a value that is longer than is looked through for every layer, with its length.
fn longest<'v>(name: &'v str, value: &'v Value<'v>) -> Option<(&'v str, usize)> {
    let length = match value {
        Value::List(values) => values.len(),
        Value::Map(entries) => entries.len(),
        Value::Text(text) => text.len(),
        _ => 0,
    };
    if length > MAX_LISTED {
        return Some((name, length));
    }
    let Value::Map(entries) = value else { return None };
    entries.iter().filter(|(name, _)| !LONG_ONES.contains(&&**name)).find_map(|(name, value)| longest(name, value))
}

/// The beginning of a value's text.
pub(super) fn brief(value: &Value<'_>) -> String {
    let text = match value {
        Value::List(values) => format!("a list of {}", values.len()),
        Value::Map(entries) => format!("an object of {}", entries.len()),
        // JSON has no text for these.
        Value::Number(number) if number.is_nan() => "NaN".to_owned(),
        Value::Number(number) if number.is_infinite() => {
            if *number > 0.0 {
                "Infinity".to_owned()
            } else {
                "-Infinity".to_owned()
            }
        }
        other => other.to_string(),
    };
    if text.chars().count() > 40 { text.chars().take(40).chain(['…']).collect() } else { text }
}
