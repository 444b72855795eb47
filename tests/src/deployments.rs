//! Measured servers in a folder: each a folder of logs of its own.

use plimsoll_core::measurement::{MeasuredDeployment, Measurement};
use plimsoll_logs::{attach, read_log};
use std::path::{Path, PathBuf};

/// Folders that are deployments: those that hold at least three runs, themselves or in their subfolders.
pub fn find(folder: &Path, found: &mut Vec<PathBuf>) {
    let below = entries(folder);
    if logs_of(folder).runs.len() >= 3 {
        found.push(folder.to_owned());
        return;
    }
    below.iter().filter(|path| path.is_dir()).for_each(|path| find(path, found));
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> =
        std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    all.sort();
    all
}

/// What a folder of a deployment holds.
#[derive(Debug, Default)]
pub struct Logs {
    /// Runs with single requests, by name, with what files beside them say of the server.
    pub runs: Vec<(String, Measurement)>,
    /// Logs that could not be read, with the reasons.
    pub unreadable: Vec<(String, String)>,
}

/// Logs of a folder: results of the benchmark client, or traces one folder below.
#[must_use]
pub fn logs_of(folder: &Path) -> Logs {
    let mut settings: Option<MeasuredDeployment> = None;
    let mut logs = Logs::default();
    for path in entries(folder) {
        let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let log = if path.is_dir() { path.join("trace.csv") } else { path };
        if !log.is_file() || !log.extension().is_some_and(|extension| extension == "json" || extension == "csv") {
            continue;
        }
        let bytes = match std::fs::read(&log) {
            Ok(bytes) => bytes,
            Err(error) => {
                logs.unreadable.push((stem, error.to_string()));
                continue;
            }
        };
        let mut content = match read_log(&stem, &bytes) {
            Ok(content) => content,
            // Tables beside the logs are no logs.
            Err(problems) if problems.iter().all(|problem| problem.code == "log-not-recognized") => continue,
            Err(problems) => {
                let reasons: Vec<String> = problems.iter().map(ToString::to_string).collect();
                logs.unreadable.push((stem, reasons.join("; ")));
                continue;
            }
        };
        if let Ok(header) = std::fs::read(log.with_extension("yaml"))
            && let Ok(header) = read_log("header", &header)
        {
            attach(&mut content, header.deployment.as_ref(), &[]);
        }
        if content.runs.is_empty() {
            settings = settings.or(content.deployment);
        }
        logs.runs.extend(content.runs.into_iter().map(|run| (stem.clone(), run.measurement)));
    }
    logs.runs.retain(|(_, run)| run.has_requests());
    if let Some(settings) = &settings {
        logs.runs.iter_mut().for_each(|(_, run)| run.deployment.fill_from(settings));
    }
    logs
}
