//! Flags of the reference whose features this version has not: read, so that scripts that spell out their neutral
//! values go on working and all others learn what is missing.

use clap::error::Error;
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};
use plimsoll_core::diagnostic::Diagnostic;

/// A flag that takes its neutral value only.
struct LaterFlag {
    name: &'static str,
    neutral: &'static str,
    /// What another value would ask for; none where it would have no effect beside the neutral values of the others.
    feature: Option<&'static str>,
}

const fn needs(name: &'static str, neutral: &'static str, feature: &'static str) -> LaterFlag {
    LaterFlag { name, neutral, feature: Some(feature) }
}

const fn idle(name: &'static str, neutral: &'static str) -> LaterFlag {
    LaterFlag { name, neutral, feature: None }
}

const FLAGS: [LaterFlag; 18] = [
    needs("num-instances", "1", "several replicas are not"),
    needs("admission-policy", "always-admit", "other admission policies are not"),
    needs("admission-latency", "0", "admission latency is not"),
    idle("token-bucket-capacity", "10000"),
    idle("token-bucket-refill-rate", "1000"),
    needs("routing-policy", "round-robin", "other routing policies are not"),
    needs("routing-latency", "0", "routing latency is not"),
    idle("routing-scorers", ""),
    idle("routing-cache-weight", "0.6"),
    idle("routing-load-weight", "0.4"),
    idle("snapshot-refresh-interval", "0"),
    idle("cache-signal-delay", "0"),
    needs("policy-config", "", "policy files are not"),
    needs("trace-output", "", "recorded traces are not"),
    needs("trace-level", "none", "recorded traces are not"),
    needs("counterfactual-k", "0", "counterfactual routing is not"),
    needs("summarize-trace", "false", "recorded traces are not"),
    needs("fitness-weights", "", "fitness scores are not"),
];

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
        let diagnostic = match self.feature {
            Some(feature) => {
                let message = format!("the value is {value}, but {feature} available yet");
                Diagnostic::error("not-available-yet", flag, message)
            }
            None => Diagnostic::warning(
                "flag-not-used",
                flag,
                "the flag has no effect on one replica that admits everything",
            ),
        };
        Some(diagnostic.with_hint(hint))
    }
}

/// What the command line says about features of later work.
#[derive(Debug, Default)]
pub struct LaterFlags(Vec<Diagnostic>);

impl LaterFlags {
    /// Errors for what is asked for and not there, warnings for what has no effect.
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
        command.args(FLAGS.iter().map(|flag| {
            let arg = Arg::new(flag.name).long(flag.name).hide(true).allow_hyphen_values(true);
            // A switch may stand alone.
            let is_switch = flag.neutral == "false";
            if is_switch { arg.num_args(0..=1).require_equals(true).default_missing_value("true") } else { arg }
        }))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}
