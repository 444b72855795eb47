//! Reading the command line, with values out of bounds told like those of files.

use crate::arguments::Arguments;
use crate::output::tell_line;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, CommandFactory, Error, FromArgMatches};
use plimsoll_core::catalog::meant;
use plimsoll_core::diagnostic::Diagnostic;
use std::error::Error as _;
use std::ffi::OsString;
use std::process::ExitCode;

/// The command line, or the exit code after telling what is wrong with it.
///
/// Every value that its flag does not take is told: what was told is taken out, and the rest is read again.
pub fn parse() -> Result<Arguments, ExitCode> {
    let mut arguments = given(std::env::args_os());
    let mut is_invalid = false;
    loop {
        let error = match parsed(&arguments) {
            Ok(parsed) if !is_invalid => return Ok(parsed),
            Ok(_) => return Err(ExitCode::from(1)),
            Err(error) => error,
        };
        let Some((value, diagnostic)) = invalid_value(&error) else {
            if is_invalid {
                return Err(ExitCode::from(1));
            }
            // Help and version end here too.
            error.exit()
        };
        tell_line(&diagnostic);
        is_invalid = true;
        if !take_out(&mut arguments, &diagnostic.path, &value) {
            return Err(ExitCode::from(1));
        }
    }
}

/// Takes a flag, by any of its names, and its value out of the arguments; whether it was there.
fn take_out(arguments: &mut Vec<OsString>, flag: &str, value: &str) -> bool {
    let command = Arguments::command();
    let all = command.get_subcommands().flat_map(clap::Command::get_arguments);
    let called = all.filter(|arg| arg.get_long().is_some_and(|name| flag.strip_prefix("--") == Some(name)));
    let names: Vec<String> = called
        .flat_map(|arg| arg.get_all_aliases().unwrap_or_default().into_iter().chain(arg.get_long()))
        .map(|name| format!("--{name}"))
        .collect();
    let is_name = |text: &str| names.iter().any(|name| name == text);
    let text = |at: usize| arguments.get(at).and_then(|argument: &OsString| argument.to_str()).unwrap_or_default();
    let found = (0..arguments.len()).find_map(|at| match text(at).split_once('=') {
        Some((name, given)) if is_name(name) && given.contains(value) => Some(at..at + 1),
        _ if is_name(text(at)) && text(at + 1).contains(value) => Some(at..at + 2),
        _ => None,
    });
    found.map(|range| arguments.drain(range)).is_some()
}

/// Files and policies that are left out by an empty value, as in scripts that fill in every flag.
const LEFT_OUT_IF_EMPTY: [&str; 12] = [
    "--model-config-folder",
    "--hardware-config",
    "--defaults-filepath",
    "--workload-traces-filepath",
    "--policy-config",
    "--results-path",
    "--decisions-path",
    "--trace-output",
    "--admission-policy",
    "--routing-policy",
    "--priority-policy",
    "--scheduler",
];

/// The arguments without the flags that an empty value leaves out.
fn given(arguments: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let is_flag = |argument: &OsString| LEFT_OUT_IF_EMPTY.iter().any(|flag| argument == flag);
    let mut given: Vec<OsString> = Vec::new();
    for argument in arguments {
        if argument.is_empty() && given.last().is_some_and(is_flag) {
            given.pop();
        } else if !argument.to_str().and_then(|text| text.strip_suffix('=')).is_some_and(|flag| is_flag(&flag.into())) {
            given.push(argument);
        }
    }
    given
}

fn parsed(arguments: &[OsString]) -> Result<Arguments, Error> {
    // A negative number is a value out of bounds, not an unknown flag.
    let takes_negative = |arg: Arg| {
        let is_valued = arg.get_action().takes_values() && !arg.is_positional();
        if is_valued { arg.allow_negative_numbers(true) } else { arg }
    };
    let command = Arguments::command().mut_subcommands(|command| command.mut_args(takes_negative));
    Arguments::from_arg_matches(&command.try_get_matches_from(arguments)?)
}

/// A value that a known flag does not take, and what is wrong with it; none if something else is wrong.
fn invalid_value(error: &Error) -> Option<(String, Diagnostic)> {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let value = text(ContextKind::InvalidValue)?;
    let hint = match (error.kind(), error.get(ContextKind::ValidValue)) {
        // Without a value the command line is not understood.
        (ErrorKind::InvalidValue, Some(ContextValue::Strings(valid))) if !value.is_empty() => {
            meant(value, valid.iter().map(String::as_str))
        }
        (ErrorKind::ValueValidation, _) => in_words(&error.source()?.to_string()),
        _ => return None,
    };
    let flag = text(ContextKind::InvalidArg)?.split(' ').next()?;
    Some((value.to_owned(), Diagnostic::error("invalid-value", flag, format!("the value is {value}")).with_hint(hint)))
}

/// The parser's reason in the words of the other diagnostics.
fn in_words(reason: &str) -> String {
    if let Some((low, high)) = reason.split_once(" is not in ").and_then(|(_, range)| range.split_once("..=")) {
        return format!("give a whole number from {low} to {high}");
    }
    match reason {
        "invalid digit found in string" => "give a whole number of 0 or more".to_owned(),
        "invalid float literal" | "cannot parse float from empty string" => "give a number".to_owned(),
        "cannot parse integer from empty string" => "give a whole number".to_owned(),
        other => other.to_owned(),
    }
}
