//! Logs from disk: read piece by piece with a progress bar, joined with what lies beside them.

use crate::output::tell_line;
use indicatif::{ProgressBar, ProgressStyle};
use plimsoll_core::diagnostic::Diagnostic;
use plimsoll_core::measurement::Measurement;
use plimsoll_logs::{Content, LogReader, attach};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Bytes that are read at once.
const PIECE: usize = 1 << 20;
/// Smaller files are read before a progress bar could be seen.
const SHOW_PROGRESS: u64 = 50 << 20;

/// Reads one log.
///
/// # Errors
/// The file cannot be read, or everything that is wrong with it.
pub fn read(path: &Path) -> Result<Content, Vec<Diagnostic>> {
    let name = path.display().to_string();
    let unreadable = |error: std::io::Error| {
        vec![Diagnostic::error("log-unreadable", name.clone(), error.to_string()).with_hint("check the path")]
    };
    let mut file = File::open(path).map_err(unreadable)?;
    let size = file.metadata().map_or(0, |metadata| metadata.len());
    let bar = if size > SHOW_PROGRESS { ProgressBar::new(size) } else { ProgressBar::hidden() };
    if let Ok(style) = ProgressStyle::with_template("{prefix} {bar:40} {bytes}/{total_bytes}") {
        bar.set_style(style);
    }
    let mut reader = LogReader::new(&name);
    let mut piece = vec![0; PIECE];
    loop {
        match file.read(&mut piece).map_err(unreadable)? {
            0 => break,
            count => reader.push(piece.get(..count).unwrap_or_default()),
        }
        bar.set_position(reader.bytes_read());
        if reader.is_refused() {
            break;
        }
    }
    bar.finish_and_clear();
    let mut content = reader.finish()?;
    for beside in beside(path) {
        let extra = read_small(&beside)?;
        content.diagnostics.extend(extra.diagnostics);
        attach(&mut content, extra.deployment.as_ref(), &extra.gaps);
        let note = format!("read together with {}", beside.display());
        content.diagnostics.push(Diagnostic::note("log-read-with", name.clone(), note));
    }
    Ok(content)
}

/// The file of a trace's header and of its chunk times, and the settings of an engine's bench, where they lie beside.
fn beside(path: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("csv") => found.extend([path.with_extension("yaml"), path.with_extension("itl.csv")]),
        Some("jsonl") => found.push(path.with_file_name("meta.json")),
        _ => {}
    }
    found.retain(|other| other != path && other.is_file());
    found
}

fn read_small(path: &Path) -> Result<Content, Vec<Diagnostic>> {
    let name = path.display().to_string();
    let bytes = std::fs::read(path)
        .map_err(|error| vec![Diagnostic::error("log-unreadable", name.clone(), error.to_string())])?;
    plimsoll_logs::read_log(&name, &bytes)
}

/// All runs of several logs; files that describe a server fill in what the runs do not state themselves.
///
/// # Errors
/// Every problem of every file.
pub fn read_all(paths: &[PathBuf]) -> Result<Vec<Measurement>, Vec<Diagnostic>> {
    let mut contents = Vec::new();
    let mut problems = Vec::new();
    for path in paths {
        match read(path) {
            Ok(content) => contents.push(content),
            Err(more) => problems.extend(more),
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let mut deployment = None;
    for content in &contents {
        if let (true, Some(stated)) = (content.runs.is_empty(), &content.deployment) {
            deployment.get_or_insert_with(|| stated.clone()).fill_from(stated);
        }
    }
    let mut runs = Vec::new();
    for mut content in contents {
        attach(&mut content, deployment.as_ref(), &[]);
        for diagnostic in &content.diagnostics {
            if diagnostic.severity == plimsoll_core::diagnostic::Severity::Warning {
                tell_line(diagnostic);
            }
        }
        runs.extend(content.runs.into_iter().map(|run| run.measurement));
    }
    Ok(runs)
}
