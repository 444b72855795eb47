//! What is wrong with an input, where, and what to do about it.
//!
//! One shape serves resolve, the file readers, the command line and the page.
//! Functions that read input collect *all* problems and return them together.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use serde::{Deserialize, Serialize};

/// How bad a diagnostic is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Worth knowing; nothing needs to change.
    Note,
    /// Plausible but suspicious; the result stands.
    Warning,
    /// The input cannot be used.
    Error,
}

/// One problem: what, where, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// Stable kebab-case name, documented in `docs/diagnostics.md`, e.g. `kv-cache-too-small`.
    pub code: String,
    /// Field path in the scenario (`engine.max_num_seqs`) or place in a file (`trace.csv:17:3`); empty for the whole.
    pub path: String,
    /// What is wrong, with the value in it; lower case, no final full stop.
    pub message: String,
    /// What to do; empty if nothing can be said.
    pub hint: String,
}

impl Diagnostic {
    /// An error at `path`.
    #[must_use]
    pub fn error(code: &str, path: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, code, path, message)
    }

    /// A warning at `path`.
    #[must_use]
    pub fn warning(code: &str, path: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, code, path, message)
    }

    /// A note at `path`.
    #[must_use]
    pub fn note(code: &str, path: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Severity::Note, code, path, message)
    }

    /// The same diagnostic with a hint.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }

    fn new(severity: Severity, code: &str, path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { severity, code: code.into(), path: path.into(), message: message.into(), hint: String::new() }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.severity {
            Severity::Note => "note",
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        write!(f, "{word}[{}]", self.code)?;
        if !self.path.is_empty() {
            write!(f, " {}", self.path)?;
        }
        write!(f, ": {}", self.message)?;
        if !self.hint.is_empty() {
            write!(f, " ({})", self.hint)?;
        }
        Ok(())
    }
}

/// A value together with the notes and warnings found on the way to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Warned<T> {
    /// The value.
    pub value: T,
    /// Notes and warnings, in the order of the fields they concern; never an error.
    pub diagnostics: Vec<Diagnostic>,
}

/// A value with its warnings, or every problem found (at least one of them an error).
pub type Checked<T> = Result<Warned<T>, Vec<Diagnostic>>;
