//! Fits every deployment of a folder of measured runs on all its runs but one and predicts that one.
//!
//! `validation FOLDER` prints the table of `docs/validation.md`. A deployment is a folder that holds at least three runs,
//! itself or in its subfolders, with one default configuration for all. With `--leave-out TEXT` all runs whose name holds
//! the text are left out together, e.g. those of longer prompts. `--latency-model`, `--budget` and `--seed` are those of
//! `plimsoll calibrate`.

use plimsoll_core::calibrate::{Calibration, Deployment, Fit, FitSettings, FittedModel, RunErrors, prior};
use plimsoll_core::measurement::{Measurement, RunFigures};
use plimsoll_core::study::{Ask, Study};
use plimsoll_tests::deployments::{find, logs_of};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

const USAGE: &str = "usage: validation FOLDER [--leave-out TEXT] [--latency-model NAME] [--budget N] [--seed N]";

fn main() {
    let Some(Options { folder, leave_out, settings }) = options(std::env::args().skip(1)) else {
        eprintln!("{USAGE}");
        std::process::exit(2);
    };
    let mut deployments = Vec::new();
    find(&folder, &mut deployments);
    deployments.sort();
    println!("| deployment | left out | TTFT mean | TPOT | E2E mean | TTFT p99 | output/s | TTFT by request |");
    println!("|---|---|---|---|---|---|---|---|");
    for path in deployments {
        leave_out_of(&path, &folder, leave_out.as_deref(), &settings);
    }
}

struct Options {
    folder: PathBuf,
    leave_out: Option<String>,
    settings: FitSettings,
}

/// What was asked for; none where that is not understood.
fn options(mut arguments: impl Iterator<Item = String>) -> Option<Options> {
    let (mut folder, mut leave_out, mut settings) = (None, None, FitSettings::default());
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--leave-out" => leave_out = Some(arguments.next()?),
            "--latency-model" => settings.model = FittedModel::of_name(&arguments.next()?)?,
            "--budget" => settings.budget = arguments.next()?.parse().ok().filter(|budget| *budget > 0)?,
            "--seed" => settings.seed = arguments.next()?.parse().ok()?,
            _ if folder.is_none() && !argument.starts_with("--") => folder = Some(PathBuf::from(argument)),
            _ => return None,
        }
    }
    Some(Options { folder: folder?, leave_out, settings })
}

fn leave_out_of(path: &Path, root: &Path, together: Option<&str>, settings: &FitSettings) {
    let runs = logs_of(path).runs;
    let name = path.strip_prefix(root).unwrap_or(path).display().to_string();
    let is_out =
        |index: usize| together.is_none_or(|text| runs.get(index).is_some_and(|(name, _)| name.contains(text)));
    let out: Vec<usize> = (0..runs.len()).filter(|index| is_out(*index)).collect();
    if together.is_some() && (out.is_empty() || out.len() == runs.len()) {
        return;
    }
    let work = Mutex::new(out.clone());
    let rows = Mutex::new(vec![None; runs.len()]);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(index) = take(&work) {
                    let trained = |other: usize| if together.is_some() { !is_out(other) } else { other != index };
                    let row = predict(&runs, index, trained, settings);
                    if let Ok(mut rows) = rows.lock() {
                        rows[index] = row;
                    }
                }
            });
        }
    });
    let rows = runs.iter().zip(rows.into_inner().unwrap_or_default()).enumerate();
    for (_, ((left_out, run), row)) in rows.filter(|(index, _)| out.contains(index)) {
        let Some((errors, fit)) = row else {
            println!("| {name} | {left_out} | no fit |");
            continue;
        };
        let signed = |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{value:+.1}"));
        let plain = |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{value:.1}"));
        let [ttft, tpot, e2e] = errors.bias.map(signed);
        println!(
            "| {name} | {left_out} | {ttft} | {tpot} | {e2e} | {} | {} | {} |",
            plain(errors.figures.ttft_p99),
            plain(errors.figures.output_throughput),
            plain(errors.ttft_request_mape),
        );
        if std::env::var_os("VALIDATION_FITS").is_some() {
            let measured = RunFigures::of_measurement(run);
            eprintln!(
                "{left_out}: alpha {:.2?} beta {:.4?} {:.2?} loss {:.2} {measured:?}",
                fit.alpha, fit.beta, fit.client, fit.loss
            );
        }
    }
}

fn take(work: &Mutex<Vec<usize>>) -> Option<usize> {
    work.lock().ok()?.pop()
}

fn predict(
    runs: &[(String, Measurement)],
    left_out: usize,
    is_trained: impl Fn(usize) -> bool,
    settings: &FitSettings,
) -> Option<(RunErrors, Fit)> {
    let catalog = plimsoll_configs::catalog();
    let with_deployment = |run: &Measurement| (run.clone(), Deployment::guess(catalog, &run.deployment));
    let rest: Vec<(Measurement, Deployment)> = runs
        .iter()
        .enumerate()
        .filter(|(index, _)| is_trained(*index))
        .map(|(_, (_, run))| with_deployment(run))
        .collect();
    let space = prior(settings.model, &rest.first()?.1, catalog);
    let mut study = Calibration::new(rest, space, settings.clone());
    let problem = study.problem();
    while let Ask::Trial(candidate) = study.ask() {
        let loss = problem.loss(&candidate.point);
        study.tell(&candidate, loss);
    }
    let fit = study.snapshot()?;
    let (_, run) = runs.get(left_out)?;
    let deployment = Deployment::guess(catalog, &run.deployment);
    Some((fit.errors(run, &deployment)?, fit))
}
