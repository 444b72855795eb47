//! The file of a fit, as the command line and the page write it.

use plimsoll_core::diagnostic::Diagnostic;
use plimsoll_formats::{FitFile, fit_from_yaml};
use plimsoll_protocol::lab::OpenedFit;
use plimsoll_protocol::{Failure, decode, encode};

/// Opens the file of a fit.
///
/// # Errors
/// `invalid-input` with everything that is wrong with it.
pub fn open(name: &str, bytes: &[u8]) -> Result<OpenedFit, Failure> {
    let file = read(name, bytes)?;
    let run = |run: plimsoll_formats::TrainedOn| (run.file, run.num_requests as u64, run.errors.into_iter().collect());
    Ok(OpenedFit {
        fit: file.fit(),
        calibrated_on: file.calibrated_on,
        guesses: file.guesses,
        trained_on: file.trained_on.into_iter().map(run).collect(),
        intervals: file.intervals,
    })
}

/// Puts the fit of a file and its server into a scenario.
///
/// # Errors
/// As [`open`], and `undecodable` for the scenario.
pub fn apply(name: &str, bytes: &[u8], scenario: &str) -> Result<String, Failure> {
    let file = read(name, bytes)?;
    let mut scenario = if scenario.is_empty() { Default::default() } else { decode(scenario)? };
    file.fit().apply(&mut scenario, plimsoll_configs::catalog(), &file.deployment, file.calibrated_on.clone());
    encode(&scenario)
}

fn read(name: &str, bytes: &[u8]) -> Result<FitFile, Failure> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let message = format!("byte {} is no UTF-8", error.valid_up_to());
        let problem = Diagnostic::error("file-not-text", name, message).with_hint("open the right file");
        Failure::invalid_input(vec![problem])
    })?;
    fit_from_yaml(text, name).map_err(Failure::invalid_input)
}
