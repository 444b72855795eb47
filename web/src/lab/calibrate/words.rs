//! The tab's sentences and table cells.

use crate::view_model::format;
use plimsoll_core::calibrate::{Bias, Comparison, FittedModel, Interval, Quality, RunReport};
use plimsoll_core::measurement::ArrivalSource;
use plimsoll_protocol::lab::{FittedRun, OpenedFit, RunSummary};

/// A kind of step-time model.
#[must_use]
pub fn model(model: FittedModel) -> &'static str {
    match model {
        FittedModel::Calibrated => "calibrated roofline",
        FittedModel::Blackbox => "black box α, β",
        FittedModel::Quadratic => "quadratic, 14 features",
        FittedModel::Roofline => "roofline of the data sheet",
        FittedModel::TrainedPhysics => "trained-physics",
    }
}

/// A coefficient as it is written, e.g. `β0`.
#[must_use]
pub fn symbol(name: &str) -> String {
    match (name.strip_prefix("alpha"), name.strip_prefix("beta")) {
        (Some(index), _) => format!("α{index}"),
        (_, Some(index)) => format!("β{index}"),
        _ => name.into(),
    }
}

/// What a fit of a file is: its model, logs and server in one sentence.
#[must_use]
pub fn fit_of(file: &OpenedFit) -> String {
    let on = &file.calibrated_on;
    let server = match (on.model.is_empty(), on.accelerator.is_empty()) {
        (false, false) => {
            format!(" of {} on {} × {}", on.model, on.tensor_parallel_size.max(1), on.accelerator)
        }
        (false, true) => format!(" of {}", on.model),
        (true, _) => String::new(),
    };
    format!("Step times ({}) fitted to {}{server}.", model(file.fit.model), on.label())
}

/// The errors that the file of a fit states, in one sentence; empty if it states none.
#[must_use]
pub fn errors_of_file(runs: &[FittedRun]) -> String {
    let mean = |name: &str| {
        let found: Vec<f64> = runs
            .iter()
            .filter_map(|(_, _, errors)| errors.iter().find(|(found, _)| found == name).map(|(_, error)| *error))
            .collect();
        (!found.is_empty()).then(|| found.iter().sum::<f64>() / found.len() as f64)
    };
    let parts: Vec<String> = [("ttft_mean", "TTFT"), ("tpot_mean", "TPOT"), ("e2e_mean", "E2E")]
        .into_iter()
        .filter_map(|(name, shown)| Some(format!("{shown} {:.1} %", mean(name)?)))
        .collect();
    if parts.is_empty() { String::new() } else { format!("Mean errors on these logs: {}.", parts.join(", ")) }
}

/// How a run was offered, in words.
#[must_use]
pub fn load(run: &RunSummary) -> String {
    let rate = run.load.request_rate.map(|rate| format!("{} req/s", format::rate(rate)));
    let cap = run.load.max_concurrency.map(|cap| format!("at most {cap} in flight"));
    let flight = run.concurrency.map(|count| format!("{} in flight on average", format::number(count, 2)));
    let parts: Vec<String> = [rate, cap, flight].into_iter().flatten().collect();
    if parts.is_empty() { "load not stated".into() } else { parts.join(", ") }
}

/// The size of a run, in words.
#[must_use]
pub fn size(run: &RunSummary) -> String {
    let mut parts = vec![format!("{} requests", format::grouped(f64::from(run.num_requests)))];
    if run.num_failed > 0 {
        parts.push(format!("{} failed", format::grouped(f64::from(run.num_failed))));
    }
    if let Some(span) = run.span_s {
        parts.push(format!("{} s", format::number(span, 3)));
    }
    parts.join(", ")
}

/// Lengths, in words; empty for a run without single requests.
#[must_use]
pub fn lengths(run: &RunSummary) -> String {
    if run.num_requests == 0 {
        return String::new();
    }
    let spread = |[low, mean, high]: [f64; 3]| {
        if low == high {
            format::grouped(low)
        } else {
            format!("{} ({}–{})", format::grouped(mean.round()), format::grouped(low), format::grouped(high))
        }
    };
    format!("{} in, {} out", spread(run.input_tokens), spread(run.output_tokens))
}

/// Latencies, in words.
#[must_use]
pub fn latencies(run: &RunSummary) -> String {
    let figures = &run.figures;
    let named = [("TTFT", figures.ttft_mean), ("TPOT", figures.tpot_mean), ("E2E", figures.e2e_mean)];
    let parts: Vec<String> = named
        .into_iter()
        .filter_map(|(name, value)| Some(format!("{name} {}", format::milliseconds(value?))))
        .collect();
    parts.join(", ")
}

/// What is uncertain of a run's arrivals; empty if they are known.
#[must_use]
pub fn arrivals(run: &RunSummary) -> &'static str {
    match run.arrivals {
        // How times are derived, the reader itself notes beside the log.
        ArrivalSource::Recorded | ArrivalSource::Derived => "",
        ArrivalSource::Assumed => "Send times are not known, so only distributions are compared.",
    }
}

/// Which files of a folder are no logs.
#[must_use]
pub fn passed_over(names: &[String]) -> String {
    const MAX_NAMES: usize = 5;
    let shown = names.iter().take(MAX_NAMES).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(MAX_NAMES) {
        0 => format!("No logs, so passed over: {shown}."),
        more => format!("No logs, so passed over: {shown} and {more} more."),
    }
}

/// The grade of a comparison.
#[must_use]
pub fn grade(comparison: &Comparison) -> &'static str {
    match comparison.quality {
        Some(Quality::Excellent) => "excellent",
        Some(Quality::Good) => "good",
        Some(Quality::Fair) => "fair",
        Some(Quality::Poor) => "poor",
        None => "not enough data",
    }
}

/// Which way predictions err.
#[must_use]
pub fn bias(comparison: &Comparison) -> &'static str {
    match comparison.bias {
        Bias::OverPredict => "too long",
        Bias::UnderPredict => "too short",
        Bias::Neutral => "neither",
    }
}

/// Columns of the table of errors: the name of an error and its head.
pub const ERRORS: [(&str, &str); 9] = [
    ("ttft_mean", "TTFT mean"),
    ("ttft_p50", "p50"),
    ("ttft_p90", "p90"),
    ("ttft_p99", "p99"),
    ("tpot_mean", "TPOT mean"),
    ("itl_mean", "ITL mean"),
    ("e2e_mean", "E2E mean"),
    ("e2e_p99", "E2E p99"),
    ("output_throughput", "throughput"),
];

/// An error of a run in percent; a dash where it could not be measured.
#[must_use]
pub fn error(run: &RunReport, name: &str) -> String {
    let found = run.errors.iter().find(|(found, _)| found == name);
    found.map_or_else(|| "–".into(), |(_, error)| format!("{error:.1}"))
}

/// The mean of an error over runs, percent.
#[must_use]
pub fn mean_error(runs: &[RunReport], name: &str) -> Option<f64> {
    let found: Vec<f64> = runs
        .iter()
        .filter_map(|run| run.errors.iter().find(|(found, _)| found == name).map(|(_, error)| *error))
        .collect();
    (!found.is_empty()).then(|| found.iter().sum::<f64>() / found.len() as f64)
}

/// The interval of a coefficient, times `scale`; a dash for one that is not searched or not measured yet.
#[must_use]
pub fn interval(intervals: &[Interval], name: &str, scale: f64) -> String {
    let Some(found) = intervals.iter().find(|found| found.name == name) else { return "–".into() };
    let [low, high] = found.ends.map(|end| end * scale);
    if low == high {
        return "–".into();
    }
    if found.is_open {
        "not determined".into()
    } else {
        format!("{} – {}", format::number(low, 3), format::number(high, 3))
    }
}

/// Coefficients that a sentence names; of more it gives the number.
const MAX_NAMED: usize = 6;

/// Which coefficients the logs do not determine, and which they cannot tell apart.
#[must_use]
pub fn identifiability(intervals: &[Interval]) -> String {
    if intervals.is_empty() {
        return String::new();
    }
    let open: Vec<String> = intervals.iter().filter(|found| found.is_open).map(|found| symbol(&found.name)).collect();
    let mut pairs: Vec<String> = Vec::new();
    for found in intervals {
        for other in found.entangled_with.iter().filter(|other| **other > found.name) {
            pairs.push(format!("{} and {}", symbol(&found.name), symbol(other)));
        }
    }
    let mut parts = Vec::new();
    if open.len() > MAX_NAMED {
        let (count, all) = (open.len(), intervals.len());
        parts.push(format!(
            "These logs do not determine {count} of the {all} coefficients that are searched; the table says which."
        ));
    } else if !open.is_empty() {
        parts.push(format!("These logs do not determine {}.", open.join(", ")));
    }
    if !pairs.is_empty() {
        parts.push(format!("They cannot tell apart {}.", pairs.join("; ")));
    }
    if parts.is_empty() {
        parts.push("These logs determine every coefficient that is searched.".into());
    }
    parts.push("Intervals hold for errors of the usual size around the best point.".into());
    parts.join(" ")
}

/// One sentence about a fit.
#[must_use]
pub fn headline(runs: &[Vec<RunReport>; 2]) -> String {
    let [train, held_out] = runs;
    let errors = |runs: &[RunReport]| {
        let parts: Vec<String> = [("ttft_mean", "TTFT"), ("tpot_mean", "TPOT"), ("e2e_mean", "E2E")]
            .into_iter()
            .filter_map(|(name, shown)| Some(format!("{shown} {:.1} %", mean_error(runs, name)?)))
            .collect();
        parts.join(", ")
    };
    let fitted = errors(train);
    if fitted.is_empty() {
        return String::new();
    }
    let count = |runs: &[RunReport]| if runs.len() == 1 { "run".to_owned() } else { format!("{} runs", runs.len()) };
    let first = format!("Mean errors on the fitted {}: {fitted}.", count(train));
    if held_out.is_empty() {
        return format!("{first} Keep a run aside to see how well the fit predicts what it has not seen.");
    }
    format!("{first} On the {} kept aside: {}.", count(held_out), errors(held_out))
}

#[cfg(test)]
mod tests {
    use super::*;
    use plimsoll_core::calibrate::{ClientEffects, Fit};
    use plimsoll_core::measurement::{MeasuredDeployment, OfferedLoad, RunFigures};
    use plimsoll_core::scenario::CalibratedOn;
    use plimsoll_protocol::lab::RunId;

    fn run() -> RunSummary {
        RunSummary {
            id: RunId { log: 1, run: 0 },
            name: "a.json".into(),
            format: "vLLM bench serve JSON".into(),
            num_requests: 1000,
            num_failed: 3,
            span_s: Some(12.5),
            arrivals: ArrivalSource::Derived,
            load: OfferedLoad { request_rate: Some(10.0), burstiness: None, max_concurrency: Some(16) },
            input_tokens: [446.0, 460.4, 487.0],
            output_tokens: [256.0; 3],
            concurrency: Some(15.26),
            figures: RunFigures { ttft_mean: Some(49.9), e2e_mean: Some(12_400.0), ..RunFigures::default() },
            server: MeasuredDeployment::default(),
            obstacle: String::new(),
        }
    }

    #[test]
    fn a_run_in_words() {
        let run = run();
        assert_eq!(size(&run), "1,000 requests, 3 failed, 12.5 s");
        assert_eq!(lengths(&run), "460 (446–487) in, 256 out");
        assert_eq!(load(&run), "10.0 req/s, at most 16 in flight, 15 in flight on average");
        assert_eq!(latencies(&run), "TTFT 49.9 ms, E2E 12.4 s");
        assert_eq!(arrivals(&run), "");
        assert!(!arrivals(&RunSummary { arrivals: ArrivalSource::Assumed, ..run }).is_empty());
    }

    #[test]
    fn what_is_passed_over_is_named_up_to_five() {
        let names: Vec<String> = (1..=7).map(|index| format!("{index}.md")).collect();
        assert_eq!(passed_over(&names[..1]), "No logs, so passed over: 1.md.");
        assert_eq!(passed_over(&names), "No logs, so passed over: 1.md, 2.md, 3.md, 4.md, 5.md and 2 more.");
    }

    #[test]
    fn what_is_not_determined_is_said() {
        let found = |name: &str, is_open, with: &[&str]| Interval {
            name: name.into(),
            ends: [1.0, 2000.0],
            is_open,
            entangled_with: with.iter().map(|name| (*name).to_owned()).collect(),
        };
        let all = [found("alpha0", false, &["beta0"]), found("beta0", false, &["alpha0"]), found("lead", true, &[])];
        let text = identifiability(&all);
        assert!(text.starts_with("These logs do not determine lead. They cannot tell apart α0 and β0."), "{text}");
        let many: Vec<Interval> = (0..8).map(|index| found(&format!("beta{index}"), index > 0, &[])).collect();
        let text = identifiability(&many);
        assert!(text.starts_with("These logs do not determine 7 of the 8 coefficients that are searched"), "{text}");
        assert_eq!(
            (interval(&all, "beta0", 1.0).as_str(), interval(&all, "lead", 1.0).as_str()),
            ("1.00 – 2,000", "not determined")
        );
        assert_eq!((interval(&all, "beta9", 1.0).as_str(), identifiability(&[]).as_str()), ("–", ""));
        assert!(
            identifiability(&all[..0]).is_empty() && identifiability(&[found("beta1", false, &[])]).contains("every")
        );
    }

    #[test]
    fn a_fit_of_a_file_says_what_it_is() {
        let calibrated_on = CalibratedOn {
            logs: "a.json".into(),
            num_requests: 400,
            model: "acme/Tiny".into(),
            accelerator: "H100".into(),
            tensor_parallel_size: 2,
            ..CalibratedOn::default()
        };
        let fit = Fit {
            model: FittedModel::Blackbox,
            alpha: vec![1.0, 2.0, 3.0],
            beta: vec![4.0, 5.0, 6.0],
            client: ClientEffects::default(),
            loss: 0.1,
            evaluations: 9,
        };
        let error = |ttft| vec![("ttft_mean".to_owned(), ttft), ("e2e_p99".to_owned(), 50.0)];
        let trained_on = vec![("a".to_owned(), 200, error(1.0)), ("b".to_owned(), 200, error(4.0))];
        let file = OpenedFit { fit, calibrated_on, guesses: Vec::new(), trained_on };
        assert_eq!(
            fit_of(&file),
            "Step times (black box α, β) fitted to a.json (400 requests) of acme/Tiny on 2 × H100."
        );
        assert_eq!(errors_of_file(&file.trained_on), "Mean errors on these logs: TTFT 2.5 %.");
        assert_eq!(errors_of_file(&[]), "");
    }

    #[test]
    fn a_headline_names_both_kinds_of_runs() {
        let report = |tpot| RunReport {
            name: "a".into(),
            num_requests: 1,
            measured: RunFigures::default(),
            predicted: RunFigures::default(),
            errors: vec![("tpot_mean".into(), tpot)],
            comparisons: [None, None, None],
            overload: Vec::new(),
            is_by_request: true,
            points: Vec::new(),
        };
        let text = headline(&[vec![report(1.0), report(2.0)], vec![report(3.0)]]);
        assert_eq!(text, "Mean errors on the fitted 2 runs: TPOT 1.5 %. On the run kept aside: TPOT 3.0 %.");
        assert!(headline(&[vec![report(1.0)], Vec::new()]).contains("Keep a run aside"));
        assert_eq!(headline(&[Vec::new(), Vec::new()]), "");
        assert_eq!(
            (error(&report(1.24), "tpot_mean").as_str(), error(&report(1.0), "e2e_mean").as_str()),
            ("1.2", "–")
        );
    }
}
