//! The tab's sentences and table cells.

use crate::view_model::format;
use plimsoll_core::calibrate::{Bias, Comparison, FittedModel, Interval, Overload, Quality, RunReport};
use plimsoll_core::measurement::ArrivalSource;
use plimsoll_protocol::lab::{FittedRun, OpenedConfig, OpenedFit, RunSummary};

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
    format!("Step times ({}) fitted to {}{server}.", file.fit.model.label(), on.label())
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

/// The stretches of runs in which their servers were overloaded, a sentence each, and what became of the requests sent
/// there.
#[must_use]
pub fn overloads(runs: &[Vec<RunReport>; 2], overload: Overload) -> Vec<String> {
    let effect = match overload {
        Overload::Flag => "They count; Options can leave them out.",
        Overload::Exclude => "They load the simulated server and do not count in the fit or its errors.",
    };
    let mut all: Vec<String> = Vec::new();
    for run in runs.iter().flatten() {
        for text in run.overload.iter().map(|window| format!("{}: {}. {effect}", run.name, window.words())) {
            // The end of a run that is kept aside has a report of its own.
            if !all.contains(&text) {
                all.push(text);
            }
        }
    }
    all
}

/// What a configuration sets, a sentence each.
#[must_use]
pub fn config_settings(opened: &OpenedConfig) -> Vec<String> {
    let mut all = Vec::new();
    if let Some(model) = opened.model {
        let count = |count: usize| if count == 1 { "1 coefficient".into() } else { format!("{count} coefficients") };
        let fixed = if opened.fixed.is_empty() { String::new() } else { format!(", {} fixed", opened.fixed.len()) };
        let rest = if model == FittedModel::Quadratic { "0" } else { "searched as usual" };
        let searched = count(opened.searched.len());
        all.push(format!(
            "Step-time model: {}; {searched} searched{fixed}, what is not named is {rest}.",
            model.label()
        ));
    }
    if let Some(objective) = opened.objective {
        all.push(format!("Objective: {}, {}.", objective.name(), objective.label()));
    }
    if let Some(seed) = opened.seed {
        all.push(format!("Seed of the search: {seed}."));
    }
    if let Some(blocks) = opened.kv_blocks {
        all.push(format!("KV blocks, where no log states them: {}.", format::grouped(f64::from(blocks))));
    }
    if let Some(folder) = &opened.vllm_dir {
        all.push(format!("Its logs were in {folder}; open them here."));
    }
    all
}

/// Which of all runs it chooses; none if it chooses none.
#[must_use]
pub fn config_runs(opened: &OpenedConfig, num_runs: usize) -> Option<String> {
    let [train, held_out] = &opened.runs;
    let aside = held_out.iter().filter(|run| !train.contains(run)).count();
    let left_out = num_runs.saturating_sub(train.len() + aside);
    opened.has_runs.then(|| match num_runs {
        0 => "It chooses runs to fit and to keep aside as soon as logs are open.".into(),
        1 => format!("Of 1 run it has {} fitted, {aside} kept aside and {left_out} left out.", train.len()),
        all => format!("Of {all} runs it has {} fitted, {aside} kept aside and {left_out} left out.", train.len()),
    })
}

/// What a run is used for in a report: fitted, kept aside, or the end of a fitted one.
#[must_use]
pub fn kind_of(runs: &[Vec<RunReport>; 2], side: usize, run: &RunReport) -> &'static str {
    match side {
        0 => "fitted",
        _ if runs[0].iter().any(|fitted| fitted.name == run.name) => "its end, kept aside",
        _ => "kept aside",
    }
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

/// A coefficient with its unit; zero needs no digits.
#[must_use]
pub fn coefficient(value: f64, unit: &str) -> String {
    let number = if value == 0.0 { "0".into() } else { format::number(value, 4) };
    format!("{number} {unit}").trim_end().to_owned()
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
    use plimsoll_core::calibrate::{ClientEffects, Fit, FitSettings, Objective};
    use plimsoll_core::measurement::{MeasuredDeployment, OfferedLoad, OverloadWindow, RunFigures};
    use plimsoll_core::scenario::CalibratedOn;
    use plimsoll_core::time::SimTime;
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
            overload: Vec::new(),
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

    fn report(name: &str, tpot: f64) -> RunReport {
        RunReport {
            name: name.into(),
            num_requests: 1,
            measured: RunFigures::default(),
            predicted: RunFigures::default(),
            errors: vec![("tpot_mean".into(), tpot)],
            comparisons: [None, None, None],
            overload: Vec::new(),
            is_by_request: true,
            points: Vec::new(),
        }
    }

    #[test]
    fn overloads_are_told_once_with_their_times_and_what_becomes_of_them() {
        let window =
            OverloadWindow { from: SimTime(2_000_000), until: SimTime(61_040_000), arrivals: 1200, completions: 700 };
        let run = RunReport { overload: vec![window], ..report("a.json", 1.0) };
        let runs = [vec![run.clone(), report("b.json", 1.0)], vec![run.clone()]];
        let what = "a.json: overloaded from 2.0 to 61.0 s: 1200 requests were sent while 700 ended.";
        assert_eq!(overloads(&runs, Overload::Flag), [format!("{what} They count; Options can leave them out.")]);
        let excluded = [format!("{what} They load the simulated server and do not count in the fit or its errors.")];
        assert_eq!(overloads(&runs, Overload::Exclude), excluded);
        let kinds = [kind_of(&runs, 0, &run), kind_of(&runs, 1, &run), kind_of(&runs, 1, &report("c", 1.0))];
        assert_eq!(kinds, ["fitted", "its end, kept aside", "kept aside"]);
    }

    #[test]
    fn a_configuration_says_what_it_sets() {
        let opened = OpenedConfig {
            settings: FitSettings::default(),
            model: Some(FittedModel::Quadratic),
            objective: Some(Objective::Mape),
            seed: Some(42),
            searched: vec![("intercept".into(), [0.0, 0.02])],
            fixed: vec![("vllm_overhead".into(), 3000.0)],
            kv_blocks: Some(94_060),
            vllm_dir: Some("results/vllm".into()),
            has_runs: true,
            runs: [Vec::new(), Vec::new()],
            remarks: Vec::new(),
        };
        assert_eq!(
            config_settings(&opened),
            [
                "Step-time model: quadratic, 14 features; 1 coefficient searched, 1 fixed, what is not named is 0.",
                "Objective: mape, absolute error (%), as in 2025.",
                "Seed of the search: 42.",
                "KV blocks, where no log states them: 94,060.",
                "Its logs were in results/vllm; open them here.",
            ]
        );
        let runs = |logs: &[u32]| logs.iter().map(|log| RunId { log: *log, run: 0 }).collect::<Vec<RunId>>();
        let opened = OpenedConfig { runs: [runs(&[1, 2, 3]), runs(&[3, 4])], ..opened };
        let text = config_runs(&opened, 6).expect("it chooses");
        assert_eq!(text, "Of 6 runs it has 3 fitted, 1 kept aside and 2 left out.");
        assert!(config_runs(&opened, 0).is_some_and(|text| text.contains("as soon as logs are open")));
        let silent =
            OpenedConfig { model: None, objective: None, seed: None, kv_blocks: None, has_runs: false, ..opened };
        assert_eq!((config_settings(&silent).len(), config_runs(&silent, 1)), (1, None));
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
        let shown = [coefficient(0.0, "µs"), coefficient(2.0, ""), coefficient(35.234, "µs")];
        assert_eq!(shown, ["0 µs", "2.000", "35.23 µs"]);
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
        let file = OpenedFit { fit, calibrated_on, guesses: Vec::new(), trained_on, intervals: Vec::new() };
        assert_eq!(
            fit_of(&file),
            "Step times (black box α, β) fitted to a.json (400 requests) of acme/Tiny on 2 × H100."
        );
        assert_eq!(errors_of_file(&file.trained_on), "Mean errors on these logs: TTFT 2.5 %.");
        assert_eq!(errors_of_file(&[]), "");
    }

    #[test]
    fn a_headline_names_both_kinds_of_runs() {
        let report = |tpot| report("a", tpot);
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
