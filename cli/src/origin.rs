//! The files a scenario is put together from, and telling problems with their place in them.

use crate::arguments::LogLevel;
use crate::output::tell;
use plimsoll_core::diagnostic::Diagnostic;
use plimsoll_core::scenario::Scenario;
use plimsoll_formats::{Words, located};
use serde_json::Value;

/// A file that said some of the scenario.
pub struct Origin {
    file: String,
    text: String,
    words: Words,
    /// The scenario with what the file says.
    scenario: Value,
}

impl Origin {
    pub fn new(file: &str, text: String, words: Words, scenario: &Scenario) -> Self {
        Self { file: file.to_owned(), text, words, scenario: plain(scenario) }
    }
}

/// Tells what was found with a scenario; a field that a file states is shown there.
///
/// `origins` are in the order in which they were read. A field that something behind a file has changed is not the
/// file's any more.
pub fn tell_found(diagnostics: &[Diagnostic], origins: &[Origin], scenario: &Scenario, log: LogLevel) {
    let scenario = plain(scenario);
    for diagnostic in diagnostics {
        let found = origins.iter().rev().find_map(|origin| {
            let is_same = field(&origin.scenario, &diagnostic.path) == field(&scenario, &diagnostic.path);
            let located = located(diagnostic, &origin.text, &origin.file, origin.words).filter(|_| is_same)?;
            Some((located, &origin.text))
        });
        match found {
            Some((located, text)) => tell(&[located], Some(text), log),
            None => tell(std::slice::from_ref(diagnostic), None, log),
        }
    }
}

fn plain(scenario: &Scenario) -> Value {
    serde_json::to_value(scenario).unwrap_or_default()
}

/// The value of a field by its path, as `workload.clients[1].id`.
fn field<'v>(scenario: &'v Value, path: &str) -> Option<&'v Value> {
    path.split(['.', '[']).try_fold(scenario, |value, key| match key.strip_suffix(']') {
        Some(index) => value.get(index.parse::<usize>().ok()?),
        None => value.get(key),
    })
}
