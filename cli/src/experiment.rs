//! What is told of a published experiment: its records, what is assumed, the same figures before and after a fit.

use crate::output::tell_line;
use plimsoll_core::calibrate::{Deployment, Experiment, Fit, FitTask, Prediction, Problem, RunErrors};
use plimsoll_core::measurement::Measurement;

/// The records, and what was not published.
pub fn tell_records(experiment: &Experiment) {
    tell_line(&experiment.title);
    experiment.records().iter().for_each(tell_line);
    for assumption in &experiment.assumptions {
        tell_line(format_args!("assumed: {assumption}"));
    }
}

/// The loss and the experiment's own objective of the baseline, of the best published coefficients and of the fit.
pub fn tell_comparison(experiment: &Experiment, task: &FitTask, problem: &Problem, fit: &Fit) {
    let run = experiment.measurement();
    let deployment = Deployment::guess(plimsoll_configs::catalog(), &run.deployment);
    let of = |fit: &Fit| fit.predict(&run, &deployment);
    let told = |name: &str, loss: Option<f64>, prediction: Option<&Prediction>| {
        let objective = prediction.and_then(|prediction| experiment.objective(prediction));
        let shown = |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{value:.6}"));
        tell_line(format_args!(
            "{name}: loss {}, objective {} s²{}",
            shown(loss),
            shown(objective),
            errors(&run, prediction)
        ));
    };
    let start = task.space.starts().first().map(|start| problem.loss(start));
    told("before (the baseline)", start, of(&experiment.baseline()).as_ref());
    told("published best", None, of(&experiment.best_found()).as_ref());
    told("after", Some(fit.loss), of(fit).as_ref());
    tell_line(
        "these objectives pair each request with itself and rest on the assumed lengths; they are not comparable with the recorded ones",
    );
}

fn errors(run: &Measurement, prediction: Option<&Prediction>) -> String {
    let Some(prediction) = prediction else { return String::new() };
    let errors = RunErrors::new(run, prediction);
    let shown = |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{value:+.1} %"));
    let [ttft, tpot, e2e] = errors.bias.map(shown);
    let by_request = errors.ttft_request_mape.map_or("–".to_owned(), |value| format!("{value:.1} %"));
    format!("; mean TTFT {ttft}, TPOT {tpot}, E2E {e2e}, TTFT by request off by {by_request}")
}

/// What cannot be identified by construction.
pub fn tell_limits(experiment: &Experiment) {
    for reason in &experiment.not_identifiable {
        tell_line(format_args!("cannot be identified: {reason}"));
    }
}
