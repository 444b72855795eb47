//! Settings of a quantizer, asked for values that are within bounds.

use super::rules::Rules;
use crate::config::brief;
use plimsoll_json::Value;
use plimsoll_scenario::diagnostic::Diagnostic;
use std::cell::RefCell;
use std::ops::RangeInclusive;

/// The narrowest and the widest value that a quantizer makes, bits.
pub(super) const BITS: RangeInclusive<f64> = 1.0..=32.0;

/// Values that may share a scale.
const GROUP: RangeInclusive<f64> = 1.0..=16_777_216.0;

/// The most modules that are named; one by one, the experts of the largest models are some 70,000.
const MAX_NAMES: usize = 262_144;

/// Keys under which methods name modules that they leave alone.
const LEFT_ALONE: [&str; 8] = [
    "ignore",
    "modules_to_not_convert",
    "exclude",
    "exclude_modules",
    "ignored_layers",
    "llm_int8_skip_modules",
    "skip_modules",
    "linear_weights_not_to_quantize",
];

/// Settings of a quantizer.
pub(super) struct Settings<'s, 'v> {
    pub settings: &'s Value<'v>,
    /// Where they stand.
    pub path: String,
    /// What was found to be wrong with values, each of which is told.
    pub problems: &'s RefCell<Vec<Diagnostic>>,
}

impl<'s, 'v> Settings<'s, 'v> {
    pub fn get(&self, key: &str) -> Option<&'s Value<'v>> {
        self.settings.get(key).filter(|value| !matches!(value, Value::Null))
    }

    /// Settings inside these, under a name.
    pub fn of(&self, name: &str, settings: &'s Value<'v>) -> Self {
        Settings { settings, path: self.at(name), problems: self.problems }
    }

    /// Where a key stands.
    pub fn at(&self, key: &str) -> String {
        format!("{}.{key}", self.path)
    }

    pub fn text(&self, key: &str) -> Option<&'s str> {
        match self.get(key)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A number within bounds; none where nothing is said. One that is out of them is told.
    pub fn number(&self, key: &str, bounds: RangeInclusive<f64>) -> Option<f64> {
        let value = self.get(key)?;
        let number = match value {
            Value::Number(number) => Some(*number),
            Value::Text(text) => plimsoll_json::decimal::read(text.trim()),
            _ => None,
        };
        let found = number.filter(|number| bounds.contains(number));
        if found.is_none() {
            self.out_of_bounds(key, value, &format!("a number from {} to {}", bounds.start(), bounds.end()));
        }
        found
    }

    pub fn out_of_bounds(&self, key: &str, value: &Value<'_>, valid: &str) {
        let path = self.at(key);
        let mut problems = self.problems.borrow_mut();
        if problems.iter().all(|problem| problem.path != path) {
            let problem = Diagnostic::error("invalid-value", path, format!("{key} is {}", brief(value)));
            problems.push(problem.with_hint(format!("give {valid}")));
        }
    }

    pub fn flag(&self, key: &str) -> bool {
        matches!(self.get(key), Some(Value::Bool(true)))
    }

    /// Whether so many names are looked at; more are told.
    fn is_bounded(&self, key: &str, length: usize) -> bool {
        if length > MAX_NAMES {
            let problem = Diagnostic::error("file-too-large", self.at(key), format!("{key} names {length} modules"));
            let hint = format!("at most {MAX_NAMES} are read; leave whole layers alone, or use expressions (`re:…`)");
            self.problems.borrow_mut().push(problem.with_hint(hint));
        }
        length <= MAX_NAMES
    }

    pub fn entries(&self, key: &str) -> impl Iterator<Item = (&'s str, &'s Value<'v>)> + use<'s, 'v> {
        let entries = match self.get(key) {
            Some(Value::Map(entries)) if self.is_bounded(key, entries.len()) => entries.as_slice(),
            _ => &[],
        };
        entries.iter().map(|(name, value)| (&**name, value))
    }

    pub fn problem(&self, message: impl Into<String>) -> Diagnostic {
        Diagnostic::error("unknown-quantization", &*self.path, message)
            .with_hint("say how wide the weights are (`--quantization fp8`, or the field quantization)")
    }

    pub fn unreadable(&self) -> impl Fn(String) -> Diagnostic + '_ {
        |message| self.problem(message)
    }

    /// Bits of a value, under one name or the other, which must be said.
    pub fn bits(&self, keys: [&str; 2]) -> Result<f64, Diagnostic> {
        let [key, other] = keys;
        let found = self.number(key, BITS).or_else(|| self.number(other, BITS));
        // What is out of bounds is told already, so that any width will do.
        let is_told = || keys.iter().any(|key| self.get(key).is_some());
        found
            .or_else(|| is_told().then_some(4.0))
            .ok_or_else(|| self.problem(format!("{key} of the weights is missing")))
    }

    /// Modules that stay as they are.
    pub fn leave_alone(&self, rules: &mut Rules) -> Result<(), Diagnostic> {
        for key in LEFT_ALONE {
            match self.get(key) {
                None => {}
                Some(Value::List(names)) if self.is_bounded(key, names.len()) => {
                    for name in names {
                        match name {
                            Value::Text(name) => rules.add(name, None).map_err(self.unreadable())?,
                            other => self.out_of_bounds(key, other, "names of modules"),
                        }
                    }
                }
                Some(Value::List(_)) => {}
                Some(other) => self.out_of_bounds(key, other, "a list of modules"),
            }
        }
        Ok(())
    }

    /// Rows and columns of a block that share a scale; 128 where nothing is said.
    pub fn block(&self, key: &str) -> [u64; 2] {
        let Some(value) = self.get(key) else { return [128; 2] };
        let side = |side: &Value<'_>| match side {
            Value::Number(side) if side.fract() == 0.0 && GROUP.contains(side) => Some(whole(*side)),
            _ => None,
        };
        let sides = match value {
            Value::List(sides) => sides.as_slice(),
            _ => &[],
        };
        match sides {
            [rows, columns] => {
                if let (Some(rows), Some(columns)) = (side(rows), side(columns)) {
                    return [rows, columns];
                }
                let worse = if side(rows).is_none() { rows } else { columns };
                self.out_of_bounds(key, worse, "two whole numbers from 1 to 16777216");
            }
            _ => self.out_of_bounds(key, value, "two whole numbers from 1 to 16777216"),
        }
        [128; 2]
    }

    pub fn group_size(&self) -> Option<f64> {
        self.group_under("group_size")
    }

    /// Values of a row that share a scale; none where all of them do, which -1 says too.
    pub fn group_under(&self, key: &str) -> Option<f64> {
        let value = self.get(key)?;
        let number = match value {
            Value::Number(number) => Some(*number),
            Value::Text(text) => plimsoll_json::decimal::read(text.trim()),
            _ => None,
        };
        match number {
            Some(-1.0) => None,
            Some(size) if size.fract() == 0.0 && GROUP.contains(&size) => Some(size),
            _ => {
                self.out_of_bounds(key, value, "a whole number from 1 to 16777216, or -1 for one group in each row");
                None
            }
        }
    }
}

/// A number of 0 or more without its fraction.
pub(super) fn whole(number: f64) -> u64 {
    u64::try_from(plimsoll_scenario::time::truncate(number)).unwrap_or(0)
}
