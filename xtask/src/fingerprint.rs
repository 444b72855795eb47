//! Content hashes: for file names that caches can trust, and to skip steps whose input has not changed.

use std::fs;
use std::hash::Hasher;
use std::path::Path;

use anyhow::{Context, Result};

/// Hashes byte strings into 16 hexadecimal digits.
///
/// Names files and notices changes; not meant to resist an attacker.
pub fn of(parts: &[&[u8]]) -> String {
    let mut hasher = std::hash::DefaultHasher::new();
    for part in parts {
        hasher.write_usize(part.len());
        hasher.write(part);
    }
    format!("{:016x}", hasher.finish())
}

/// Runs a step unless the note beside its results says that they come from the same input.
///
/// The note is written last, so that an interrupted step runs again.
///
/// # Errors
/// Those of the step, or when the note cannot be written.
pub fn unless_done(note: &Path, fingerprint: &str, results: &[&Path], step: impl FnOnce() -> Result<()>) -> Result<()> {
    let is_same = fs::read_to_string(note).is_ok_and(|written| written == fingerprint);
    if is_same && results.iter().all(|result| result.exists()) {
        return Ok(());
    }
    step()?;
    fs::write(note, fingerprint).with_context(|| format!("could not write {}", note.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_do_not_run_together() {
        assert_ne!(of(&[b"ab", b"c"]), of(&[b"a", b"bc"]));
        assert_eq!(of(&[b"ab"]).len(), 16);
    }

    #[test]
    fn a_step_runs_once_per_input_and_again_when_its_result_is_gone() {
        let folder = std::env::temp_dir().join(format!("plimsoll-fingerprint-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("the temporary folder is writable");
        let (note, result) = (folder.join("note"), folder.join("result"));
        let runs = std::cell::Cell::new(0);
        let step = || {
            runs.set(runs.get() + 1);
            fs::write(&result, "x").context("write")
        };
        unless_done(&note, "1", &[&result], step).expect("first");
        unless_done(&note, "1", &[&result], step).expect("unchanged");
        assert_eq!(runs.get(), 1);
        unless_done(&note, "2", &[&result], step).expect("other input");
        assert_eq!(runs.get(), 2);
        fs::remove_file(&result).expect("it was written");
        unless_done(&note, "2", &[&result], step).expect("result missing");
        assert_eq!(runs.get(), 3);
        fs::remove_dir_all(&folder).expect("it is ours");
    }
}
