//! Flags of the reference whose features this version has not: read, so that scripts that spell out their neutral
//! values go on working and all others learn what is missing.

use clap::error::Error;
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};
use plimsoll_core::diagnostic::Diagnostic;

/// A flag that takes its neutral value only.
struct LaterFlag {
    name: &'static str,
    neutral: &'static str,
    /// What another value would ask for.
    feature: &'static str,
}

const fn needs(name: &'static str, neutral: &'static str, feature: &'static str) -> LaterFlag {
    LaterFlag { name, neutral, feature }
}

const FLAGS: [LaterFlag; 1] = [needs("trace-output", "", "recorded traces are not")];

impl LaterFlag {
    fn is_neutral(&self, value: &str) -> bool {
        let numbers = value.trim().parse::<f64>().ok().zip(self.neutral.parse::<f64>().ok());
        value == self.neutral || numbers.is_some_and(|(given, neutral)| given == neutral)
    }

    /// What is to be said about a value; nothing if it is the neutral one.
    fn diagnostic(&self, value: &str) -> Option<Diagnostic> {
        if self.is_neutral(value) {
            return None;
        }
        let flag = format!("--{}", self.name);
        let hint = match self.neutral {
            "" => "leave it out".to_owned(),
            neutral => format!("leave it out, or give {neutral}"),
        };
        let message = format!("the value is {value}, but {} available yet", self.feature);
        let diagnostic = Diagnostic::error("not-available-yet", flag, message);
        Some(diagnostic.with_hint(hint))
    }
}

/// What the command line says about features of later work.
#[derive(Debug, Default)]
pub struct LaterFlags(Vec<Diagnostic>);

impl LaterFlags {
    /// Errors for what is asked for and not there.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.0
    }
}

impl FromArgMatches for LaterFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let mut found = Self::default();
        found.update_from_arg_matches(matches)?;
        Ok(found)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        self.0 = FLAGS.iter().filter_map(|flag| flag.diagnostic(matches.get_one::<String>(flag.name)?)).collect();
        Ok(())
    }
}

impl Args for LaterFlags {
    fn augment_args(command: Command) -> Command {
        command.args(FLAGS.iter().map(|flag| Arg::new(flag.name).long(flag.name).hide(true).allow_hyphen_values(true)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}
