//! `--serve`: the server as the line states it that it is started by.

use crate::arguments::{LogLevel, ScenarioArguments};
use crate::input::{read_standard_input, read_text};
use crate::output::{Failure, tell, tell_line};
use plimsoll_core::catalog::Catalog;
use plimsoll_core::diagnostic::{Diagnostic, Severity};
use plimsoll_core::scenario::Scenario;
use plimsoll_formats::{ServeLine, ServerRelease, serve_line};
use std::path::Path;

/// What places in the line are told by.
const NAME: &str = "--serve";

/// Puts the line into the scenario and tells what was understood of it and what was not.
///
/// No part of the line itself is shown: it may hold secrets.
pub fn apply(
    arguments: &ScenarioArguments,
    catalog: &Catalog,
    scenario: &mut Scenario,
    diagnostics: &mut Vec<Diagnostic>,
) -> Result<(), Failure> {
    let Some(given) = arguments.serve.as_deref() else { return Ok(()) };
    let text = text(given)?;
    let release = ServerRelease {
        stated: arguments.vllm_version.as_deref(),
        otherwise: scenario.deployment.server_version.as_deref(),
    };
    let read = serve_line(&text, NAME, release).map_err(|problems| invalid(&problems, arguments.log))?;
    let mut told = read.diagnostics;
    told.extend(read.value.apply(scenario, catalog));
    if told.iter().any(|found| found.severity == Severity::Error) {
        return Err(invalid(&told, arguments.log));
    }
    if arguments.log <= LogLevel::Warn {
        tell_line(format_args!("note: {NAME} says {}", understood(&read.value)));
    }
    if arguments.log == LogLevel::Warn {
        // Who pastes a line wants to know what became of it; at lower levels notes are told with all others.
        for note in told.iter().filter(|found| found.severity == Severity::Note) {
            tell_line(note);
        }
    }
    diagnostics.extend(told);
    Ok(())
}

/// The line itself, or what the file or standard input holds that it names.
pub fn text(given: &str) -> Result<String, Failure> {
    match (given, given.strip_prefix('@')) {
        ("-", _) => read_standard_input(),
        (_, Some(path)) => read_text(Path::new(path)),
        (_, None) => Ok(given.to_owned()),
    }
}

fn invalid(problems: &[Diagnostic], log: LogLevel) -> Failure {
    tell(problems, None, log);
    Failure::Invalid
}

/// What a line decides, as `field value (flag)`.
pub fn understood(line: &ServeLine) -> String {
    let shown: Vec<String> = line
        .changes
        .iter()
        .map(|change| {
            let value = match &change.value {
                value if value.is_null() => "its own choice".to_owned(),
                value => value.as_str().map_or_else(|| value.to_string(), str::to_owned),
            };
            let flag = if change.flag.is_empty() { String::new() } else { format!(" ({})", change.flag) };
            format!("{} {value}{flag}", change.path)
        })
        .collect();
    if shown.is_empty() { "nothing that is modelled".to_owned() } else { shown.join(", ") }
}
