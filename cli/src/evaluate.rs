//! `plimsoll evaluate`: how far a fit is from logged runs.

use crate::calibrate::{apply, summary, told, usable};
use crate::log_arguments::EvaluateArguments;
use crate::measured;
use crate::output::{Failure, file_failure, write_json};
use plimsoll_core::calibrate::Deployment;
use plimsoll_formats::fit_from_yaml;
use serde_json::{Map, Value, json};
use std::fs;
use std::io::{self, BufWriter, Write};

/// Predicts every run and prints the errors.
pub fn evaluate(arguments: &EvaluateArguments) -> Result<(), Failure> {
    let path = arguments.fit.display().to_string();
    let text = fs::read_to_string(&arguments.fit).map_err(|error| file_failure(&path, &error.to_string()))?;
    let file = fit_from_yaml(&text, &path).map_err(|problems| told(&problems))?;
    let fit = file.fit();
    let runs = usable(measured::read_all(&arguments.logs).map_err(|problems| told(&problems))?)?;
    let mut out = BufWriter::new(io::stdout().lock());
    let mut all = Vec::new();
    for mut run in runs {
        apply(&arguments.server, &mut run.deployment);
        run.deployment.fill_from(&file.deployment);
        let deployment = Deployment::guess(plimsoll_configs::catalog(), &run.deployment);
        fit.latency(&deployment).map_err(|problems| told(&problems))?;
        let Some(errors) = fit.errors(&run, &deployment) else { return Err(Failure::Invalid) };
        if arguments.json {
            let named = errors.named().into_iter().filter_map(|(name, value)| Some((name.to_owned(), json!(value?))));
            let errors: Map<String, Value> = named.collect();
            all.push(json!({ "file": run.name, "errors": errors }));
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
