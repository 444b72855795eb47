//! Settings that are left out, and what is in force in their place.

use alloc::format;
use alloc::string::String;

/// A setting that is left out, and what is in force in its place.
#[derive(Debug, Clone, PartialEq)]
pub struct EngineDefault {
    /// Field path, e.g. `engine.max_num_seqs`.
    pub path: &'static str,
    /// What is in force, as it would be given.
    pub value: String,
    /// Whose default it is, e.g. `default of vLLM 0.33 on H100`.
    pub source: String,
}

impl EngineDefault {
    /// It in words, e.g. `max_num_seqs 1024 (default of vLLM 0.33 on H100)`.
    #[must_use]
    pub fn line(&self) -> String {
        let name = self.path.rsplit('.').next().unwrap_or(self.path);
        format!("{name} {} ({})", self.value, self.source)
    }

    /// Whether it is worth a line where nobody asked: the limits of a batch are, switches that hardly anybody touches
    /// are not.
    pub(super) fn is_told(&self) -> bool {
        ["engine.max_num_seqs", "engine.max_num_batched_tokens"].contains(&self.path)
    }
}
