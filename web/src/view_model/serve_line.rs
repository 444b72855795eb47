//! What became of a pasted `vllm serve` line, in words.

use plimsoll_core::diagnostic::{Diagnostic, Severity};
use plimsoll_protocol::{DeskState, ServeLineRead, ServerSetting};

/// A line that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Understood {
    /// One sentence on how much of it moves the scenario.
    pub summary: String,
    /// Every setting it decides.
    pub settings: Vec<Setting>,
    /// What to look at: flags that are gone or do not do here what they say, and why the scenario cannot be simulated.
    pub warnings: Vec<Diagnostic>,
    /// What else is worth knowing, such as flags that are not modelled.
    pub notes: Vec<Diagnostic>,
}

/// A setting that a line decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Its name as the server has it.
    pub name: String,
    /// What it was; empty if it is still that.
    pub before: String,
    /// What it is.
    pub after: String,
    /// The flag that says so, or in words what does.
    pub reason: String,
}

/// A line between the state before it and the one after.
#[must_use]
pub fn understood(read: ServeLineRead, before: &DeskState, after: &DeskState) -> Understood {
    let settings: Vec<Setting> = read.settings.into_iter().map(|one| setting(one, before, after)).collect();
    let num_changed = settings.iter().filter(|setting| !setting.before.is_empty()).count();
    let summary = match num_changed {
        0 => "The server was that of this line already.".to_owned(),
        1 => "One setting has changed.".to_owned(),
        count => format!("{count} settings have changed."),
    };
    let errors = after.diagnostics.iter().filter(|found| found.severity == Severity::Error).cloned();
    let (notes, mut warnings): (Vec<_>, Vec<_>) =
        read.remarks.into_iter().partition(|remark| remark.severity == Severity::Note);
    warnings.extend(errors);
    Understood { summary, settings, warnings, notes }
}

fn setting(one: ServerSetting, before: &DeskState, after: &DeskState) -> Setting {
    let is_changed = one.before != one.after;
    let words = |value: Option<String>, state: &DeskState| match (value, state.default_of(&one.path)) {
        (Some(value), _) => value,
        (None, Some(default)) => format!("default ({})", default.value),
        (None, None) => "default".to_owned(),
    };
    Setting {
        before: if is_changed { words(one.before, before) } else { String::new() },
        reason: match (one.flag, one.after.as_deref()) {
            (Some(flag), Some("false")) => flag.replacen("--", "--no-", 1),
            (Some(flag), _) => flag,
            (None, _) => "left out".to_owned(),
        },
        after: words(one.after, after),
        name: one.path.rsplit('.').next().unwrap_or_default().to_owned(),
    }
}

/// Where in a line a problem is, in words; empty for the whole, and for a field of the scenario its path.
#[must_use]
pub fn place(problem: &Diagnostic) -> String {
    let mut parts = problem.path.split(':');
    match (parts.next(), parts.next(), parts.next()) {
        (Some("line"), Some(line), Some(column)) => format!("Line {line}, column {column}: "),
        (Some("line" | ""), None, None) => String::new(),
        _ => format!("{}: ", problem.path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(path: &str, values: [Option<&str>; 2], flag: Option<&str>) -> ServerSetting {
        let [before, after] = values.map(|value| value.map(str::to_owned));
        ServerSetting { path: path.into(), before, after, flag: flag.map(str::to_owned) }
    }

    #[test]
    fn changes_have_both_sides_and_what_stays_only_one() {
        let read = ServeLineRead {
            settings: vec![
                one("deployment.model", [Some("a/b"), Some("a/b")], Some("")),
                one("engine.max_num_seqs", [None, Some("512")], Some("--max-num-seqs")),
                one("engine.enable_prefix_caching", [Some("true"), Some("false")], Some("--enable-prefix-caching")),
                one("engine.max_model_len", [Some("4096"), None], None),
            ],
            remarks: vec![
                Diagnostic::note("flags-not-known", "line", "not known"),
                Diagnostic::warning("flag-removed", "line:1:9", "--swap-space went in 0.18.0"),
            ],
        };
        let words = understood(read, &DeskState::default(), &state_with_error());
        assert_eq!(words.summary, "3 settings have changed.");
        let rows: Vec<[&str; 4]> = words
            .settings
            .iter()
            .map(|row| [row.name.as_str(), row.before.as_str(), row.after.as_str(), row.reason.as_str()])
            .collect();
        assert_eq!(
            rows,
            [
                ["model", "", "a/b", ""],
                ["max_num_seqs", "default", "512", "--max-num-seqs"],
                ["enable_prefix_caching", "true", "false", "--no-enable-prefix-caching"],
                ["max_model_len", "4096", "default", "left out"],
            ]
        );
        let codes = |found: &[Diagnostic]| found.iter().map(|one| one.code.clone()).collect::<Vec<_>>();
        assert_eq!(codes(&words.warnings), ["flag-removed", "unknown-model"]);
        assert_eq!(codes(&words.notes), ["flags-not-known"]);
    }

    fn state_with_error() -> DeskState {
        let diagnostics = vec![
            Diagnostic::note("newer-rules", "engine.scheduling", "there are newer rules"),
            Diagnostic::error("unknown-model", "deployment.model", "not in the catalogue"),
        ];
        DeskState { diagnostics, ..DeskState::default() }
    }

    #[test]
    fn places_are_those_of_the_line_or_of_a_field() {
        let at = |path: &str| place(&Diagnostic::error("invalid-value", path, "x"));
        assert_eq!(at("line:3:14"), "Line 3, column 14: ");
        assert_eq!(at("line"), "");
        assert_eq!(at(""), "");
        assert_eq!(at("deployment.model"), "deployment.model: ");
    }
}
