//! `plimsoll evaluate`: how far a fit, or the model without one, is from logged runs.

use crate::calibrate::{apply, summary, told, usable};
use crate::log_arguments::EvaluateArguments;
use crate::measured;
use crate::output::{Failure, file_failure, tell_line, write_json};
use plimsoll_core::calibrate::{Deployment, Fit, Prediction, RunErrors, ZeroShot};
use plimsoll_core::diagnostic::Diagnostic;
use plimsoll_core::measurement::{MeasuredDeployment, Measurement, RunFigures};
use plimsoll_formats::{FitFile, fit_from_yaml};
use serde_json::{Map, Value, json};
use std::fmt::Display;
use std::fs;
use std::io::{self, BufWriter, Write};

/// Predicts every run and prints the errors.
pub fn evaluate(arguments: &EvaluateArguments) -> Result<(), Failure> {
    let file = arguments.fit.as_deref().map(|path| {
        let name = path.display().to_string();
        let text = fs::read_to_string(path).map_err(|error| file_failure(&name, &error.to_string()))?;
        fit_from_yaml(&text, &name).map_err(|problems| told(&problems))
    });
    let file: Option<FitFile> = file.transpose()?;
    let fit = file.as_ref().map(FitFile::fit);
    let mut runs = usable(measured::read_all(&arguments.logs).map_err(|problems| told(&problems))?)?;
    for run in &mut runs {
        apply(&arguments.server, run);
        if let Some(file) = &file {
            differences(&run.deployment, &file.deployment)
                .iter()
                .for_each(|what| tell_line(different(&run.name, what)));
            run.deployment.fill_from(&file.deployment);
        }
    }
    known_accelerators(&runs)?;
    let mut out = BufWriter::new(io::stdout().lock());
    let mut all = Vec::new();
    for run in &runs {
        let prediction = match &fit {
            Some(fit) => fitted(fit, run)?,
            None => zero_shot(run)?,
        };
        let errors = RunErrors::new(run, &prediction);
        if arguments.json {
            all.push(json!({
                "file": run.name,
                "errors": present(&errors.named()),
                "metrics": metrics(&RunFigures::of_measurement(run), &prediction.figures()),
            }));
        } else {
            writeln!(out, "{}", summary(&run.name, &errors))?;
        }
    }
    if arguments.json {
        write_json(&mut out, &json!({ "runs": all }))?;
    }
    out.flush()?;
    Ok(())
}

/// What a fit predicts of a run.
fn fitted(fit: &Fit, run: &Measurement) -> Result<Prediction, Failure> {
    let deployment = Deployment::guess(plimsoll_configs::catalog(), &run.deployment);
    fit.latency(&deployment).map_err(|problems| told(&problems))?;
    fit.predict(run, &deployment).ok_or(Failure::Invalid)
}

/// What measured kernels predict of a run without a fit; what is taken for granted of its server is told.
fn zero_shot(run: &Measurement) -> Result<Prediction, Failure> {
    let catalog = plimsoll_configs::catalog();
    let guess = Deployment::guess(catalog, &run.deployment);
    let server = ZeroShot::new(catalog, &run.deployment, &guess).map_err(|problems| told(&problems))?;
    let card = guess.accelerator.as_ref().map_or("", |accelerator| accelerator.id.as_str());
    if !server.is_measured {
        let message = format!("kernels were not measured on {card}, so it is predicted from another card");
        tell_line(
            Diagnostic::warning("extrapolated", run.name.clone(), message)
                .with_hint("fit this log for figures to rely on"),
        );
    }
    for assumed in &guess.guesses {
        tell_line(format_args!("{}: assumed: {assumed}", run.name));
    }
    Ok(server.predict(run))
}

/// A log must not be judged by another card's data sheet than the one it names.
///
/// # Errors
/// Every log whose accelerator is not in the catalogue.
pub fn known_accelerators(runs: &[Measurement]) -> Result<(), Failure> {
    let catalog = plimsoll_configs::catalog();
    let unknown = |run: &Measurement| {
        let id = run.deployment.accelerator.as_deref().filter(|id| catalog.accelerator(id).is_none())?;
        let message = format!("accelerator {id} is not in the catalogue");
        let hint = format!("{}; --hardware names the one that served", catalog.meant_accelerator(id));
        Some(Diagnostic::error("unknown-accelerator", run.name.clone(), message).with_hint(hint))
    };
    let problems: Vec<Diagnostic> = runs.iter().filter_map(unknown).collect();
    if problems.is_empty() { Ok(()) } else { Err(told(&problems)) }
}

/// Where a log states another server than a fit was made on: name, the log's, the fit's.
fn differences(log: &MeasuredDeployment, fit: &MeasuredDeployment) -> Vec<[String; 3]> {
    fn pair<T: PartialEq + Display>(name: &str, log: Option<&T>, fit: Option<&T>) -> Option<[String; 3]> {
        let (log, fit) = log.zip(fit).filter(|(log, fit)| log != fit)?;
        Some([name.to_owned(), log.to_string(), fit.to_string()])
    }
    let card = |stated: &MeasuredDeployment| {
        let id = stated.accelerator.clone()?;
        // Two names of one card are no difference.
        Some(plimsoll_configs::catalog().accelerator(&id).map_or(id, |known| known.id.clone()))
    };
    [
        pair("model", log.model.as_ref(), fit.model.as_ref()),
        pair("accelerator", card(log).as_ref(), card(fit).as_ref()),
        pair("tensor_parallel_size", log.tensor_parallel_size.as_ref(), fit.tensor_parallel_size.as_ref()),
        pair("server_version", log.engine_version.as_ref(), fit.engine_version.as_ref()),
        pair("max_num_seqs", log.max_num_seqs.as_ref(), fit.max_num_seqs.as_ref()),
        pair("max_num_batched_tokens", log.max_num_batched_tokens.as_ref(), fit.max_num_batched_tokens.as_ref()),
        pair("max_model_len", log.max_model_len.as_ref(), fit.max_model_len.as_ref()),
        pair("num_gpu_blocks", log.num_gpu_blocks.as_ref(), fit.num_gpu_blocks.as_ref()),
        pair("block_size", log.block_size.as_ref(), fit.block_size.as_ref()),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn different(run: &str, [name, log, fit]: &[String; 3]) -> Diagnostic {
    let message = format!("{name} of the log is {log}, and {fit} of the fit");
    Diagnostic::warning("deployment-differs", run.to_owned(), message)
        .with_hint("the log's is predicted, which the fit has not seen")
}

fn present(named: &[(&'static str, Option<f64>)]) -> Map<String, Value> {
    named.iter().filter_map(|(name, value)| Some(((*name).to_owned(), json!((*value)?)))).collect()
}

/// Predicted and measured figures, milliseconds and tokens per second, with signed errors in percent.
fn metrics(measured: &RunFigures, predicted: &RunFigures) -> Map<String, Value> {
    let both = measured.named().into_iter().zip(predicted.named());
    both.filter_map(|((name, measured), (_, predicted))| {
        let (measured, predicted) = (measured.filter(|value| *value > 0.0)?, predicted?);
        let error = (predicted / measured - 1.0) * 100.0;
        Some((name.to_owned(), json!({ "predicted": predicted, "measured": measured, "error_percent": error })))
    })
    .collect()
}
