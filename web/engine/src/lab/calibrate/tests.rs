//! A calibration as the tab asks for it, without a browser.

use super::*;
use plimsoll_core::calibrate::{Calibration, Fit, FitSettings, FittedModel, Objective, Overload};
use plimsoll_core::measurement::MeasuredDeployment;
use plimsoll_core::scenario::{LatencyModelChoice, Scenario};
use plimsoll_core::search::Candidate;
use plimsoll_core::study::{Ask, Study};
use plimsoll_protocol::lab::{
    FitSpec, LogId, LogSummary, OpenedStudy, Origin, PieceSpec, Report, RunId, Said, Server, ServerSpec, StudySpec,
    TaskSpec,
};
use std::fmt::Write;

/// A run of an engine's bench: 40 requests, five a second, steps of 10 ms whatever is in them.
fn log() -> String {
    (0..40).fold(String::new(), |mut text, index| {
        let at = f64::from(index) * 0.2;
        let (input, output) = (100 + 7 * (index % 5), 10 + index % 7);
        let first = 50.0 + at + 0.012;
        let last = first + 0.01 * f64::from(output - 1);
        let _ = writeln!(
            text,
            "{{\"request_id\": \"bench-{index}\", \"input_toks\": {input}, \"output_toks\": {output}, \
             \"arrival_time\": {}, \"queued_ts\": {}, \"scheduled_ts\": {}, \"first_token_ts\": {first}, \
             \"last_token_ts\": {last}}}",
            1000.0 + at,
            50.0 + at,
            50.0 + at
        );
        text
    })
}

fn asked(bench: &mut Bench, spec: CalibrateSpec, file: Option<&[u8]>) -> Result<CalibrateOutcome, Failure> {
    let mut job = bench.start(spec, file)?;
    loop {
        if let Some(outcome) = job.advance() {
            return Ok(outcome);
        }
    }
}

fn piece(log: LogId, offset: usize, is_last: bool) -> CalibrateSpec {
    CalibrateSpec::Piece(PieceSpec { log, name: "requests.jsonl".into(), offset: offset as u64, is_last })
}

fn read(bench: &mut Bench, log: LogId, text: &str) -> LogSummary {
    let (first, second) = text.as_bytes().split_at(text.len() / 3);
    let begun = asked(bench, piece(log, 0, false), Some(first)).expect("the first piece");
    assert_eq!(begun, CalibrateOutcome::Piece(None));
    match asked(bench, piece(log, first.len(), true), Some(second)).expect("the last piece") {
        CalibrateOutcome::Piece(Some(summary)) => summary,
        other => panic!("{other:?}"),
    }
}

const RUN: RunId = RunId { log: 1, run: 0 };

fn settings() -> FitSettings {
    FitSettings { budget: 300, ..FitSettings::default() }
}

fn task(bench: &mut Bench) -> String {
    let spec = TaskSpec { train: vec![RUN], said: Said::default(), settings: settings(), config: None };
    match asked(bench, CalibrateSpec::Task(spec), None).expect("a task") {
        CalibrateOutcome::Text(text) => text,
        other => panic!("{other:?}"),
    }
}

fn study(text: &str) -> Calibration {
    decode::<FitTask>(text).expect("a task").study(None)
}

fn loss(text: &str) -> f64 {
    let task = decode::<FitTask>(text).expect("a task");
    let middle = vec![0.5; task.space.parameters.len()];
    task.problem(plimsoll_configs::catalog()).loss(&middle)
}

/// Points tried with what they gave, in order.
type Tried = Vec<(Vec<f64>, Option<f64>)>;

/// Fits with several workers, each of which gets the next batch in turn.
fn fit(text: &str, workers: &mut [Bench], batch: usize) -> (Fit, Tried) {
    let mut study = study(text);
    let mut trials = Vec::new();
    let mut turn = 0;
    loop {
        let mut asked_for: Vec<Candidate> = Vec::new();
        while let Ask::Trial(trial) = study.ask() {
            asked_for.push(trial);
        }
        if asked_for.is_empty() {
            return (study.snapshot().expect("a fit"), trials);
        }
        for part in asked_for.chunks(batch) {
            let bench = &mut workers[turn % 2 % workers.len()];
            turn += 1;
            let points: Vec<Vec<f64>> = part.iter().map(|trial| trial.point.clone()).collect();
            let spec = |text| CalibrateSpec::Evaluate(EvaluateSpec { task: 7, text, points: points.clone() });
            let mut outcome = asked(bench, spec(None), None).expect("losses");
            if outcome == CalibrateOutcome::Losses(None) {
                outcome = asked(bench, spec(Some(text.to_owned())), None).expect("losses");
            }
            let CalibrateOutcome::Losses(Some(losses)) = outcome else { panic!("{outcome:?}") };
            for (trial, loss) in part.iter().zip(losses) {
                study.tell(trial, loss.unwrap_or(f64::INFINITY));
                trials.push((trial.point.clone(), loss));
            }
        }
    }
}

fn of(fit: &Fit) -> FitSpec {
    let given = MeasuredDeployment { model: Some("acme/tiny".into()), ..MeasuredDeployment::default() };
    let (validate_last, overload, said) = (0.0, Overload::Flag, Said { given, kv_blocks: None });
    FitSpec { fit: fit.clone(), runs: [vec![RUN], Vec::new()], said, max_points: 1000, validate_last, overload }
}

#[test]
fn a_log_comes_in_pieces_and_is_summed_up() {
    let mut bench = Bench::default();
    let summary = read(&mut bench, 1, &log());
    let [run] = &summary.runs[..] else { panic!("{summary:?}") };
    assert_eq!((run.id, run.num_requests, run.obstacle.as_str()), (RUN, 40, ""));
    assert_eq!((run.input_tokens, run.output_tokens[0], run.output_tokens[2]), ([100.0, 114.0, 128.0], 10.0, 16.0));
    let spec = ServerSpec {
        runs: vec![RUN],
        said: Said {
            given: MeasuredDeployment { max_num_seqs: Some(12), ..MeasuredDeployment::default() },
            kv_blocks: None,
        },
    };
    let Ok(CalibrateOutcome::Server(Server { facts, models, diagnostics, .. })) =
        asked(&mut bench, CalibrateSpec::Server(spec), None)
    else {
        panic!("no server")
    };
    let fact =
        |field: &str| facts.iter().find(|fact| fact.field == field).map(|fact| (fact.value.as_str(), fact.origin));
    assert_eq!(fact("max_num_seqs"), Some(("12", Origin::Given)));
    assert_eq!(fact("accelerator"), Some(("H100", Origin::Guessed)));
    assert_eq!(fact("model"), Some(("", Origin::Guessed)));
    assert!(models.len() > 10 && diagnostics.is_empty());
}

#[test]
fn a_lost_or_forgotten_log_is_named_and_a_bad_one_tells_all_its_problems() {
    let mut bench = Bench::default();
    let refused = |bench: &mut Bench, spec| asked(bench, spec, Some(b"x")).expect_err("refused").code;
    assert_eq!(refused(&mut bench, piece(1, 5, false)), "unknown-log");
    read(&mut bench, 1, &log());
    assert_eq!(asked(&mut bench, CalibrateSpec::Forget(1), None), Ok(CalibrateOutcome::Done));
    let spec = TaskSpec { train: vec![RUN], said: Said::default(), settings: settings(), config: None };
    assert_eq!(refused(&mut bench, CalibrateSpec::Task(spec)), "unknown-log");
    let bad = log().replacen("\"output_toks\": 12", "\"output_toks\": -12", 1);
    let summary = read(&mut bench, 2, &bad);
    assert!(summary.runs.is_empty() && !summary.diagnostics.is_empty(), "{summary:?}");
    let summary = read(&mut bench, 3, "\u{1f}\u{0}not a log\n");
    assert!(summary.runs.is_empty() && !summary.diagnostics.is_empty(), "{summary:?}");
}

#[test]
fn one_worker_and_two_find_the_same_fit() {
    let mut keeper = Bench::default();
    read(&mut keeper, 1, &log());
    let text = task(&mut keeper);
    let (one, _) = fit(&text, &mut [Bench::default()], 1000);
    let (two, trials) = fit(&text, &mut [Bench::default(), Bench::default()], 5);
    assert_eq!(one, two);
    assert_eq!(trials.len(), 300);
    // Gaps of 10 ms, and first tokens after 12 ms: what such a server does is within reach of 300 evaluations.
    let Ok(CalibrateOutcome::Report(report)) = asked(&mut keeper, CalibrateSpec::Report(of(&two)), None) else {
        panic!("no report")
    };
    let Report { runs: [train, held_out], calibrated_on } = *report;
    assert!(held_out.is_empty());
    let error =
        |name: &str| train[0].errors.iter().find(|(found, _)| found == name).map_or(f64::NAN, |(_, error)| *error);
    assert!(error("tpot_mean") < 5.0 && error("e2e_mean") < 5.0, "{:?}", train[0].errors);
    assert_eq!((calibrated_on.num_requests, calibrated_on.model.as_str()), (40, "acme/tiny"));
}

#[test]
fn a_fit_is_applied_written_and_gone_on_with() {
    let mut bench = Bench::default();
    read(&mut bench, 1, &log());
    let text = task(&mut bench);
    let (fit, trials) = fit(&text, &mut [Bench::default()], 50);
    let spec = CalibrateSpec::Apply { scenario: String::new(), fit: of(&fit) };
    let Ok(CalibrateOutcome::Text(scenario)) = asked(&mut bench, spec, None) else { panic!("no scenario") };
    let scenario: Scenario = decode(&scenario).expect("a scenario");
    assert_eq!(scenario.latency.model, LatencyModelChoice::Calibrated);
    let resolved = scenario.resolve(plimsoll_configs::catalog()).expect("it can be run");
    assert_eq!(resolved.value.calibrated_on.map(|on| on.label()).as_deref(), Some("requests.jsonl (40 requests)"));

    let best = trials.iter().min_by(|a, b| a.1.unwrap_or(f64::MAX).total_cmp(&b.1.unwrap_or(f64::MAX)));
    let points = best.map(|(point, _)| point.clone()).into_iter().collect();
    let spec = CalibrateSpec::Intervals(EvaluateSpec { task: 7, text: Some(text.clone()), points });
    let Ok(CalibrateOutcome::Intervals(Some(intervals))) = asked(&mut bench, spec, None) else {
        panic!("no intervals")
    };
    let spec = CalibrateSpec::FitFile { fit: of(&fit), intervals: intervals.clone() };
    let Ok(CalibrateOutcome::Text(yaml)) = asked(&mut bench, spec, None) else { panic!("no file") };
    let file = plimsoll_formats::fit_from_yaml(&yaml, "fit.yaml").expect("the command line reads it");
    assert_eq!((file.fit().beta, file.trained_on[0].num_requests), (fit.beta.clone(), 40));
    assert!(!intervals.is_empty() && file.intervals == intervals, "{:?}", file.intervals);

    // The file alone gives the same scenario, where no log is at hand.
    let mut elsewhere = Bench::default();
    let spec = CalibrateSpec::OpenFit { name: "fit.yaml".into() };
    let Ok(CalibrateOutcome::Fit(opened)) = asked(&mut elsewhere, spec.clone(), Some(yaml.as_bytes())) else {
        panic!("no fit")
    };
    assert_eq!((&opened.fit.beta, opened.calibrated_on.num_requests), (&fit.beta, 40));
    assert_eq!((opened.trained_on[0].1, &opened.intervals), (40, &intervals));
    let apply = CalibrateSpec::ApplyFile { name: "fit.yaml".into(), scenario: String::new() };
    let Ok(CalibrateOutcome::Text(other)) = asked(&mut elsewhere, apply, Some(yaml.as_bytes())) else {
        panic!("no scenario")
    };
    assert_eq!(decode::<Scenario>(&other).expect("a scenario"), scenario);
    let wrong = yaml.replace("beta:", "bata:");
    let failure = asked(&mut elsewhere, spec, Some(wrong.as_bytes())).expect_err("misspelled");
    assert!(failure.diagnostics.iter().any(|found| found.path.starts_with("fit.yaml:")), "{failure:?}");

    let spec = StudySpec { fit: of(&fit), settings: settings(), config: None, trials: trials.clone() };
    let Ok(CalibrateOutcome::Text(json)) = asked(&mut bench, CalibrateSpec::StudyFile(Box::new(spec)), None) else {
        panic!("no study")
    };
    let mut later = Bench::default();
    let spec = CalibrateSpec::OpenStudy { name: "study.json".into(), logs: [1, 2] };
    let Ok(CalibrateOutcome::Study(opened)) = asked(&mut later, spec.clone(), Some(json.as_bytes())) else {
        panic!("it does not open")
    };
    let OpenedStudy { logs, best, trials: read, .. } = *opened;
    assert_eq!((read, logs[0].runs[0].num_requests, logs[1].runs.len()), (trials, 40, 0));
    assert_eq!(best.map(|best| (best.beta, best.loss)), Some((fit.beta.clone(), fit.loss)));
    let again = task(&mut later);
    assert_eq!(loss(&again), loss(&text));
    let cut = &json.as_bytes()[..json.len() / 2];
    let failure = asked(&mut later, spec, Some(cut)).expect_err("cut off");
    assert_eq!((failure.code.as_str(), failure.diagnostics.len()), ("invalid-input", 1));
}

#[test]
fn a_published_experiment_is_opened_fitted_around_its_baseline_and_reported() {
    let mut bench = Bench::default();
    let spec = |id: &str| CalibrateSpec::Experiment { id: id.into(), log: 1 };
    assert_eq!(asked(&mut bench, spec("experiment-99"), None).expect_err("unknown").code, "unknown-experiment");
    let opened = match asked(&mut bench, spec("experiment-01"), None).expect("it is there") {
        CalibrateOutcome::Experiment(opened) => opened,
        other => panic!("{other:?}"),
    };
    assert_eq!((opened.log.runs[0].num_requests, opened.log.runs[0].id), (100, RUN));
    assert!(
        opened.records[0].contains("3.4914") && !opened.assumptions.is_empty() && !opened.not_identifiable.is_empty()
    );
    assert!(opened.log.runs[0].obstacle.is_empty(), "{}", opened.log.runs[0].obstacle);
    let settings = FitSettings { budget: 300, ..opened.settings.clone() };
    let task = CalibrateSpec::Task(TaskSpec { train: vec![RUN], said: Said::default(), settings, config: None });
    let task: FitTask = match asked(&mut bench, task, None).expect("a task") {
        CalibrateOutcome::Text(text) => decode(&text).expect("a task"),
        other => panic!("{other:?}"),
    };
    let start = task.space.starts().remove(0);
    assert_eq!(task.problem(plimsoll_configs::catalog()).loss(&start), opened.baseline.loss);
    let fit = FitSpec {
        fit: opened.baseline.clone(),
        runs: [vec![RUN], Vec::new()],
        said: Said::default(),
        max_points: 10,
        validate_last: 0.0,
        overload: Overload::Flag,
    };
    match asked(&mut bench, CalibrateSpec::Report(fit), None).expect("a report") {
        CalibrateOutcome::Report(report) => assert_eq!(report.runs[0].len(), 1),
        other => panic!("{other:?}"),
    }
}

/// A configuration for the black box: a step of 5 to 20 ms, a fixed overhead, and runs by their sizes.
const CONFIG: &str = "\
seed: 7
kv_blocks: 94060
error_function: mse
pbounds: { beta0: [5, 20], alpha0: [3, 3] }
scaling: { beta0: 1000 }
train_config: { num_prompts: [40, 7] }
test_config: { num_prompts: [20] }
";

#[test]
fn a_configuration_sets_the_search_bounds_the_coefficients_and_chooses_runs() {
    let mut bench = Bench::default();
    read(&mut bench, 1, &log());
    let short: Vec<String> = log().lines().take(20).map(str::to_owned).collect();
    read(&mut bench, 2, &short.join("\n"));
    let other = RunId { log: 2, run: 0 };
    let open = |settings| CalibrateSpec::OpenConfig { name: "o.yaml".into(), settings, runs: vec![RUN, other] };
    let Ok(CalibrateOutcome::Config(opened)) = asked(&mut bench, open(settings()), Some(CONFIG.as_bytes())) else {
        panic!("it does not open")
    };
    let wanted = FitSettings { model: FittedModel::Blackbox, objective: Objective::Mse, seed: 7, ..settings() };
    assert_eq!((&opened.settings, opened.model), (&wanted, Some(FittedModel::Blackbox)));
    assert_eq!(opened.searched, [("beta0".to_owned(), [5000.0, 20_000.0])]);
    assert_eq!((opened.fixed, opened.kv_blocks), (vec![("alpha0".to_owned(), 3.0)], Some(94_060)));
    assert_eq!(opened.runs, [vec![RUN], vec![other]]);
    assert!(opened.remarks.len() == 1 && opened.remarks[0].message.contains("num_prompts 7"), "{:?}", opened.remarks);
    let wrong = CONFIG.replace("beta0: [5, 20]", "beta0: [20, 5]");
    let failure = asked(&mut bench, open(settings()), Some(wrong.as_bytes())).expect_err("no interval");
    assert!(failure.diagnostics[0].path.starts_with("o.yaml:4:"), "{failure:?}");

    // Blocks that no log states come from it, and are said to.
    let said = Said { given: MeasuredDeployment::default(), kv_blocks: Some(94_060) };
    let server = CalibrateSpec::Server(ServerSpec { runs: vec![RUN], said: said.clone() });
    let Ok(CalibrateOutcome::Server(server)) = asked(&mut bench, server, None) else { panic!("no server") };
    let blocks = server.facts.iter().find(|fact| fact.field == "num_gpu_blocks").expect("a fact");
    assert_eq!((blocks.value.as_str(), blocks.origin), ("94060", Origin::Configured));
    let spec = |settings| TaskSpec { train: vec![RUN], said: said.clone(), settings, config: Some("o.yaml".into()) };
    let mut task = |settings| asked(&mut bench, CalibrateSpec::Task(spec(settings)), Some(CONFIG.as_bytes()));
    let unknown = task(FitSettings { model: FittedModel::Roofline, ..settings() }).expect_err("no beta0");
    assert_eq!(unknown.diagnostics[0].code, "parameters-mixed");
    let Ok(CalibrateOutcome::Text(text)) = task(wanted.clone()) else { panic!("no task") };
    let bounded = decode::<FitTask>(&text).expect("a task");
    let step = bounded.space.parameters.iter().find(|found| found.name == "beta0").expect("it is searched");
    assert_eq!((step.value(0.0), step.value(1.0)), (5000.0, 20_000.0));
    assert!(bounded.space.fixed.contains(&("alpha0".to_owned(), 3.0)));
    assert_eq!(bounded.runs[0].deployment.num_gpu_blocks, Some(94_060));

    // A study keeps the bounds, and whoever goes on with it searches within them.
    let (best, trials) = fit(&text, &mut [Bench::default()], 50);
    let study = StudySpec { fit: of(&best), settings: wanted.clone(), config: Some("o.yaml".into()), trials };
    let written = asked(&mut bench, CalibrateSpec::StudyFile(Box::new(study)), Some(CONFIG.as_bytes()));
    let Ok(CalibrateOutcome::Text(json)) = written else { panic!("no study") };
    let mut later = Bench::default();
    let spec = CalibrateSpec::OpenStudy { name: "study.json".into(), logs: [1, 2] };
    asked(&mut later, spec, Some(json.as_bytes())).expect("it opens");
    let spec = TaskSpec { train: vec![RUN], said: Said::default(), settings: wanted, config: None };
    let Ok(CalibrateOutcome::Text(again)) = asked(&mut later, CalibrateSpec::Task(spec), None) else {
        panic!("no task")
    };
    assert_eq!(decode::<FitTask>(&again).expect("a task").space, bounded.space);
}
