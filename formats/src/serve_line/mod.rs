//! A `vllm serve …` line, as people publish and keep it: what it changes in a scenario, and what it does not.
//!
//! The line may stand behind assignments of variables, in `python -m vllm.entrypoints.openai.api_server`, in
//! `docker run`, or as the args of a container in YAML; nothing is expanded or run.
//! Values of flags that the table does not have are dropped while reading, but for known types of two of them, and of
//! variables all but those of two switches, so no secret goes on.

mod apply;
mod command;
mod decided;
mod environment;
mod flags;
mod names;
mod settings;
mod value;
mod words;

pub use decided::{Decided, Reason};
pub use value::size;

use plimsoll_core::diagnostic::{Checked, Severity, Warned};
use plimsoll_core::scenario::ServerVersion;
use serde_json::Value;

/// A server as a line states it.
#[derive(Debug, Clone, PartialEq)]
pub struct ServeLine {
    /// What the line decides: the model, the release, then what the flags say in their order.
    pub changes: Vec<Change>,
    /// Flags that the simulation knows nothing of, by name.
    pub not_modelled: Vec<String>,
    /// Flags that are not in the table, by name.
    pub not_known: Vec<String>,
    /// What concerns the server's memory alone and no field of a scenario knows: flags of the table without a field, and
    /// `--dtype` and `--mamba-ssm-cache-dtype`, which are outside it, if their value is a known one.
    pub of_memory: Vec<(String, Value)>,
    /// Type that the weights are to have.
    quantization: Option<String>,
}

/// Flags outside the table whose values are kept, since a server's memory depends on them.
pub const OF_MEMORY: [&str; 2] = ["--dtype", "--mamba-ssm-cache-dtype"];

/// Values of [`OF_MEMORY`].
const TYPES: [&str; 6] = ["auto", "half", "float16", "bfloat16", "float", "float32"];

impl ServeLine {
    /// The type that `--quantization` gives the weights.
    #[must_use]
    pub fn quantization(&self) -> Option<&str> {
        self.quantization.as_deref()
    }
}

/// One field that a line decides.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// Path of the field in the scenario, e.g. `engine.max_num_seqs`.
    pub path: &'static str,
    /// Its value; null for the server's own choice.
    pub value: Value,
    /// The flag that says so, with its dashes, or the variable; empty for the model and what an image says.
    pub flag: &'static str,
}

/// Which release of the server a line is read for.
#[derive(Debug, Clone, Copy, Default)]
pub struct ServerRelease<'a> {
    /// One that wins over what the line says.
    pub stated: Option<&'a str>,
    /// One for a line that says none; without it the newest is meant.
    pub otherwise: Option<&'a str>,
}

/// Reads a line. `file` names it in the places of diagnostics.
///
/// # Errors
/// Every problem found: no server is started in the text, an unclosed quote, a flag that is within two letters of one
/// in the table, a value that its flag does not take. Values of flags that are not in the table stand in no diagnostic.
pub fn serve_line(text: &str, file: &str, release: ServerRelease<'_>) -> Checked<ServeLine> {
    words::check_text(text, file)?;
    let command = command::command(text, file)?;
    let releases = [release.stated, release.otherwise].map(|text| text.and_then(ServerVersion::parse));
    let (line, diagnostics) = settings::read(command, file, releases);
    match line {
        Some(value) if diagnostics.iter().all(|found| found.severity < Severity::Error) => {
            Ok(Warned { value, diagnostics })
        }
        _ => Err(diagnostics),
    }
}

#[cfg(test)]
mod tests;
