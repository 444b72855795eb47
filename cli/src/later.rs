//! The flag of the reference whose feature this version has not: read, so that scripts that leave it empty go on working
//! and all others learn what is missing.

use clap::Args;
use plimsoll_core::diagnostic::Diagnostic;

/// What the command line knows of features of later work.
#[derive(Debug, Default, Args)]
pub struct LaterFlags {
    /// Where a recorded trace would go; empty for none.
    #[arg(long, hide = true, allow_hyphen_values = true)]
    trace_output: Option<String>,
}

impl LaterFlags {
    /// Errors for what is asked for and not there.
    pub fn diagnostics(&self) -> Vec<Diagnostic> {
        let asked = self.trace_output.as_deref().filter(|value| !value.is_empty());
        let problem = asked.map(|value| {
            let message = format!("the value is {value}, but recorded traces are not available yet");
            Diagnostic::error("not-available-yet", "--trace-output", message).with_hint("leave it out")
        });
        problem.into_iter().collect()
    }
}
