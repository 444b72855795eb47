//! Calibration against servers whose coefficients are hidden: simulated step by step, their times disturbed.

use plimsoll_core::calibrate::{
    Calibration, ClientEffects, Deployment, Fit, FitSettings, FitTask, FittedModel, Problem, Progress, Space, prior,
};
use plimsoll_core::cluster::simulate;
use plimsoll_core::engine::Mode;
use plimsoll_core::latency::LatencyModel;
use plimsoll_core::measurement::{ArrivalSource, LogFormat, MeasuredDeployment, MeasuredRequest, Measurement};
use plimsoll_core::observation::{Observer, RequestRecord};
use plimsoll_core::random::{Purpose, Seed, Stream};
use plimsoll_core::scenario::{CalibratedOn, ClusterConfig, EngineConfig, Rules};
use plimsoll_core::study::{Ask, Study};
use plimsoll_core::time::SimTime;
use plimsoll_core::workload::{FrontEnd, Outcome, PrefixTree, Request, RequestSource, Source, Trace};
use plimsoll_tests::base_1;
use std::sync::Arc;

/// Blocks for about thirty of the requests below: a few more in flight and the cache is full.
const NUM_BLOCKS: u32 = 1500;
/// Standard deviations of the disturbance of every time: repeats of real runs differ by about as much.
const TTFT_NOISE: f64 = 0.05;
const DECODE_NOISE: f64 = 0.02;

/// Coefficients of a polynomial that such a server could follow, seconds.
const POLYNOMIAL: [f64; 15] =
    [40e-6, 25e-6, 2e-6, 1.2e-3, 6e-8, 2e-8, 2e-8, 12e-6, 2e-10, 2e-10, 2e-7, 2e-10, 2e-7, 15e-6, 7e-3];

/// A server of an 8B model on an H100 with coefficients near, but not at, what is expected.
fn hidden(seed: u64) -> LatencyModel {
    hidden_with_coefficients(seed).0
}

/// The server, and α0, α1, β0 to β5 and β7.
fn hidden_with_coefficients(seed: u64) -> (LatencyModel, [f64; 9]) {
    let mut stream = Stream::new(Seed { seed, replicate: 0 }, Purpose::Search);
    let mut near = |value: f64, spread: f64| value * (spread * stream.normal()).exp();
    let alpha = [near(9000.0, 0.3), near(2.0, 0.3), 0.0];
    let joining = (seed % 2) as f64;
    let beta = [
        near(3500.0, 0.3),
        near(40.0, 0.3),
        near(6000.0, 0.15),
        near(33.0, 0.2),
        near(0.05, 0.2),
        near(3e-4, 0.3),
        joining,
        near(1500.0, 0.3),
    ];
    let all = [alpha[0], alpha[1], beta[0], beta[1], beta[2], beta[3], beta[4], beta[5], beta[7]];
    (LatencyModel::calibrated(&alpha, &beta).expect("they are positive"), all)
}

/// Requests behind the front end of a server.
struct Plan {
    requests: Vec<Request>,
    next: usize,
    prefixes: PrefixTree,
    front_end: FrontEnd,
}

impl RequestSource for Plan {
    fn next_request(&mut self) -> Option<Request> {
        self.next += 1;
        self.requests.get(self.next - 1).map(|request| self.front_end.passed(*request))
    }

    fn prefixes(&self) -> &PrefixTree {
        &self.prefixes
    }

    fn is_closed_loop(&self) -> bool {
        true
    }

    fn next_arrival(&self) -> Option<SimTime> {
        self.requests.get(self.next).map(|request| request.arrive)
    }

    fn settled(&mut self, outcome: &Outcome) {
        self.front_end.ended(outcome.end);
    }
}

#[derive(Default)]
struct Told(Vec<RequestRecord>);

impl Observer for Told {
    fn settled(&mut self, record: &RequestRecord) {
        self.0.push(*record);
    }
}

fn stated() -> MeasuredDeployment {
    MeasuredDeployment {
        model: Some("meta-llama/llama-3.1-8b-instruct".into()),
        accelerator: Some("H100".into()),
        tensor_parallel_size: Some(1),
        max_num_seqs: Some(256),
        max_num_batched_tokens: Some(8192),
        num_gpu_blocks: Some(NUM_BLOCKS),
        ..MeasuredDeployment::default()
    }
}

/// Input and output tokens of a request.
type Lengths = fn(&mut Stream, &mut Stream) -> [u32; 2];

/// Everybody asks for much the same.
fn alike(inputs: &mut Stream, outputs: &mut Stream) -> [u32; 2] {
    let tokens = |stream: &mut Stream, mean: f64| (mean * (1.0 + 0.35 * stream.normal())).clamp(20.0, 1500.0) as u32;
    [tokens(inputs, 600.0), tokens(outputs, 200.0)]
}

/// Half of the prompts are short and a fifth very long; outputs of 20 to 600 tokens, short ones more often.
fn mixed(inputs: &mut Stream, outputs: &mut Stream) -> [u32; 2] {
    let (kind, within) = (inputs.open_unit(), inputs.open_unit());
    let (least, most) = match kind {
        kind if kind < 0.5 => (50.0, 400.0),
        kind if kind < 0.8 => (600.0, 1500.0),
        _ => (2500.0, 6000.0),
    };
    [(least + within * (most - least)) as u32, (20.0 * (30.0_f64).powf(outputs.open_unit())) as u32]
}

/// A measured run of poisson arrivals, and whether its KV cache was full.
fn measure(server: &LatencyModel, rate: f64, num_requests: u32, seed: u64) -> (Measurement, bool) {
    measure_with(server, ClientEffects::default(), &stated(), alike, rate, num_requests, seed)
}

fn measure_with(
    server: &LatencyModel,
    client: ClientEffects,
    stated: &MeasuredDeployment,
    lengths: Lengths,
    rate: f64,
    num_requests: u32,
    seed: u64,
) -> (Measurement, bool) {
    let stream = |purpose| Stream::new(Seed { seed, replicate: 1 }, purpose);
    let (mut gaps, mut inputs) = (stream(Purpose::Arrivals), stream(Purpose::InputLengths));
    let (mut outputs, mut noise) = (stream(Purpose::OutputLengths), stream(Purpose::ThinkTime));
    let mut at = 0.0;
    let requests = (0..num_requests).map(|id| {
        at += gaps.exponential() / rate * 1e6;
        let [input, output] = lengths(&mut inputs, &mut outputs);
        Request { answer_limit: 0, ..Request::plain(id, SimTime(at as i64), input, output) }
    });
    let front_end = FrontEnd::new(client, 1);
    let plan = Plan { requests: requests.collect(), next: 0, prefixes: PrefixTree::new(), front_end };
    let engine = Deployment::guess(plimsoll_configs::catalog(), stated).engine;
    let mut told = Told::default();
    let totals = simulate(&ClusterConfig::single(), engine, server.clone(), plan, Mode::Step, &mut told);
    told.0.sort_by_key(|record| record.request.id);
    let mut run = Measurement::new(format!("{rate} requests/s"), LogFormat::VllmBench);
    run.deployment = stated.clone();
    run.arrivals = ArrivalSource::Recorded;
    run.load.request_rate = Some(rate);
    run.requests = told
        .0
        .iter()
        .map(|record| {
            let (ttft, e2e) = (record.ttft.expect("served").0 as f64, record.e2e.expect("served").0 as f64);
            let seen = ttft * (TTFT_NOISE * noise.normal()).exp();
            let decode = (e2e - ttft) * (DECODE_NOISE * noise.normal()).exp();
            MeasuredRequest {
                arrive: record.request.arrive,
                send: record.request.arrive,
                input_tokens: record.request.input_tokens,
                output_tokens: record.request.output_tokens,
                ttft: Some(SimTime(seen as i64)),
                e2e: Some(SimTime((seen + decode) as i64)),
                session: None,
                gaps: 0..0,
            }
        })
        .collect();
    (run, totals.total.preemptions > 0 && totals.total.kv_peak >= u64::from(NUM_BLOCKS) * 99 / 100)
}

fn fit(runs: &[Measurement], model: FittedModel, budget: u64) -> Fit {
    search(runs, model, budget).0.snapshot().expect("every request is served")
}

fn search(runs: &[Measurement], model: FittedModel, budget: u64) -> (Calibration, Arc<Problem>) {
    let catalog = plimsoll_configs::catalog();
    let deployment = |run: &Measurement| Deployment::guess(catalog, &run.deployment);
    let runs: Vec<_> = runs.iter().map(|run| (run.clone(), deployment(run))).collect();
    let settings = FitSettings { model, budget, ..FitSettings::default() };
    let space = prior(settings.model, &runs[0].1, catalog);
    let mut study = Calibration::new(runs, space, settings);
    let problem = study.problem();
    problem.check().expect("the server is known");
    while let Ask::Trial(candidate) = study.ask() {
        let loss = problem.loss(&candidate.point);
        study.tell(&candidate, loss);
    }
    (study, problem)
}

/// KV blocks that a log does not state are guessed from the memory: near what a server reported, and, with memory, never
/// less than what the log shows it held.
#[test]
fn guessed_blocks_are_those_of_servers() {
    let catalog = plimsoll_configs::catalog();
    let blocks = |model: &str, tensor_parallel_size: u32| {
        let stated = MeasuredDeployment {
            model: Some(model.into()),
            accelerator: Some("H100".into()),
            tensor_parallel_size: Some(tensor_parallel_size),
            ..MeasuredDeployment::default()
        };
        f64::from(Deployment::guess(catalog, &stated).engine.num_blocks)
    };
    // vLLM 0.23 at utilization 0.9 reported this many.
    assert!((blocks("Qwen/Qwen3-14B", 1) / 18_038.0 - 1.0).abs() < 0.03, "{}", blocks("Qwen/Qwen3-14B", 1));
    // 8.03·10⁹ weights of two bytes, 65,536 bytes a token and rank: of 79.11 GiB 0.92 less 7.48 GiB of weights, 1.71 GiB
    // of sampling and 0.6 GiB of libraries, in blocks of 1 MiB.
    let split = blocks("meta-llama/llama-3.1-8b-instruct", 2);
    assert!((split / 64_500.0 - 1.0).abs() < 0.01, "{split}");
    // The curve of an applied fit has the memory that the fit had.
    let (alpha, beta) = (vec![9000.0, 2.0, 0.0], vec![3500.0, 40.0, 6000.0, 33.0, 0.05, 3e-4, 1.0, 1500.0]);
    let client = ClientEffects::default();
    let fit = Fit { model: FittedModel::Calibrated, alpha, beta, client, loss: 0.0, evaluations: 1 };
    let without_blocks = MeasuredDeployment { num_gpu_blocks: None, ..stated() };
    let mut scenario = base_1();
    fit.apply(&mut scenario, catalog, &without_blocks, CalibratedOn::default());
    let guessed = Deployment::guess(catalog, &without_blocks).engine.num_blocks;
    assert_eq!(scenario.engine.num_gpu_blocks, Some(guessed));
    // 79.11 GiB · 0.92 − 14.96 GiB of weights − what 256 sequences sample and 8,192 tokens take − 0.15 GiB, by 2 MiB.
    assert!((f64::from(guessed) / 29_000.0 - 1.0).abs() < 0.01, "{guessed}");
}

/// What a log does not state of the limits follows the card and what else it states (`facts/vllm_flags.csv`).
#[test]
fn guessed_limits_are_those_of_the_release_on_the_card() {
    let limits = |accelerator: &str, change: fn(&mut MeasuredDeployment)| {
        let mut stated = MeasuredDeployment {
            model: Some("meta-llama/llama-3.1-8b-instruct".into()),
            accelerator: Some(accelerator.into()),
            ..MeasuredDeployment::default()
        };
        change(&mut stated);
        let engine = Deployment::guess(plimsoll_configs::catalog(), &stated).engine;
        (engine.max_num_seqs, engine.max_num_batched_tokens)
    };
    assert_eq!(limits("H100", |_| ()), (1024, 8192));
    assert_eq!(limits("L40S", |_| ()), (256, 2048));
    assert_eq!(limits("A100-80", |_| ()), (256, 2048), "the table's exception");
    assert_eq!(limits("H100", |stated| stated.max_num_seqs = Some(64)), (64, 8192));
    assert_eq!(limits("H100", |stated| stated.max_num_batched_tokens = Some(512)), (512, 512));
}

/// A fit to a model with windows is replayed with the blocks that a scenario of its server has, and applies to one.
#[test]
fn blocks_of_windows_live_in_a_fit_as_in_a_scenario() {
    let catalog = plimsoll_configs::catalog();
    let stated = MeasuredDeployment {
        model: Some("openai/gpt-oss-20b".into()),
        accelerator: Some("H100".into()),
        tensor_parallel_size: Some(1),
        ..MeasuredDeployment::default()
    };
    let fitted = Deployment::guess(catalog, &stated).engine;
    let text = "version: 2\ndeployment: {model: openai/gpt-oss-20b, accelerator: H100, tensor_parallel_size: 1}\n";
    let scenario = plimsoll_formats::scenario_from_yaml(text, "server.yaml").expect("a scenario");
    let resolved = scenario.resolve(catalog).expect("it fits").value.engine;
    let groups = |engine: &EngineConfig| match engine.rules {
        Rules::VllmV1(rules) => rules.groups.runs().collect::<Vec<_>>(),
        Rules::Reference => Vec::new(),
    };
    assert!(groups(&fitted).len() > 1, "{fitted:?}");
    assert_eq!(groups(&fitted), groups(&resolved));
    assert_eq!((fitted.num_blocks, fitted.block_size), (resolved.num_blocks, resolved.block_size));
    // Stated blocks are shared by the same groups.
    let told = MeasuredDeployment { num_gpu_blocks: Some(3000), ..stated };
    let told = Deployment::guess(catalog, &told).engine;
    assert_eq!((told.num_blocks, groups(&told)), (3000, groups(&resolved)));
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The aims of saturated runs: median errors of mean E2E, TPOT and mean TTFT of 5, 5 and 10 percent.
/// `cargo test -p plimsoll-tests --test calibration -- --nocapture` prints the table.
#[test]
fn saturated_runs_are_predicted_from_others() {
    let catalog = plimsoll_configs::catalog();
    let mut errors = [const { Vec::new() }; 3];
    println!("| server | left out | E2E mean | TPOT | TTFT mean |\n|---|---|---|---|---|");
    for server in 0..3u64 {
        let model = hidden(server);
        // Below the limit, and a little beyond it.
        let trained: Vec<Measurement> = [4.0, 8.0, 13.0]
            .into_iter()
            .enumerate()
            .map(|(at, rate)| measure(&model, rate, 120, 10 * server + at as u64).0)
            .collect();
        let fit = fit(&trained, FittedModel::Calibrated, 3000);
        for (at, rate) in [16.0, 24.0].into_iter().enumerate() {
            let (run, is_full) = measure(&model, rate, 250, 100 + 10 * server + at as u64);
            assert!(is_full, "the cache is not full at {rate} requests/s");
            let found = fit.errors(&run, &Deployment::guess(catalog, &run.deployment)).expect("it can be predicted");
            let [ttft, tpot, e2e] = found.bias.map(|bias| bias.expect("it was measured"));
            println!("| {server} | {rate} requests/s | {e2e:+.1} | {tpot:+.1} | {ttft:+.1} |");
            for (list, error) in errors.iter_mut().zip([e2e, tpot, ttft]) {
                list.push(error.abs());
            }
        }
    }
    let [e2e, tpot, ttft] = errors.map(median);
    println!("median {e2e:.1} / {tpot:.1} / {ttft:.1}");
    assert!(e2e <= 5.0 && tpot <= 5.0 && ttft <= 10.0, "{e2e} / {tpot} / {ttft}");
}

/// Servers that follow the other models, their coefficients a third away from what is expected: what was fitted at three
/// loads predicts a fourth between them, for which the true coefficients are off by the disturbance alone.
#[test]
fn every_kind_is_recovered_well_enough_to_predict_another_load() {
    let catalog = plimsoll_configs::catalog();
    let server = Deployment::guess(catalog, &stated());
    let mut stream = Stream::new(Seed { seed: 5, replicate: 0 }, Purpose::Search);
    let mut near = |value: f64| value * (0.3 * stream.normal()).exp();
    let physics = &catalog.trained_physics;
    let hidden: [(FittedModel, Vec<f64>, Vec<f64>); 4] = [
        (FittedModel::Blackbox, vec![near(9e3), near(2.0), 0.0], vec![near(9e3), near(30.0), near(80.0)]),
        (FittedModel::Quadratic, vec![544.0, 80.0, 1000.0, near(8e3)], POLYNOMIAL.map(&mut near).to_vec()),
        (FittedModel::Roofline, vec![near(9e3), near(2.0), near(900.0)], vec![near(0.45), near(0.3), near(0.7)]),
        (FittedModel::TrainedPhysics, physics.alpha.map(&mut near).to_vec(), physics.beta.map(&mut near).to_vec()),
    ];
    println!("| model | TTFT mean | TPOT | E2E mean |\n|---|---|---|---|");
    for (at, (kind, alpha, beta)) in (0u64..).zip(hidden) {
        let latency = kind.latency(&alpha, &beta, &server).expect("they are valid");
        let measured = |rate: f64, seed: u64| measure(&latency, rate, 100, 1000 * (at + 1) + seed).0;
        let trained: Vec<Measurement> =
            [2.0, 6.0, 12.0].into_iter().enumerate().map(|(at, rate)| measured(rate, at as u64)).collect();
        let fit = fit(&trained, kind, 2500);
        let run = measured(9.0, 9);
        let [ttft, tpot, e2e] = fit.errors(&run, &server).expect("it can be predicted").bias.map(|bias| bias.unwrap());
        println!("| {} | {ttft:+.1} | {tpot:+.1} | {e2e:+.1} |", kind.name());
        assert!(ttft.abs() <= 5.0 && tpot.abs() <= 3.0 && e2e.abs() <= 3.0, "{kind:?} {ttft} {tpot} {e2e}");
    }
}

/// Runs in which hidden coefficients are looked for.
struct Design {
    name: &'static str,
    lengths: Lengths,
    /// Whether clients see idle and busy servers, and KV blocks are guessed, more than any run fills.
    is_whole: bool,
    /// Requests per second, and how many.
    runs: &'static [(f64, u32)],
    /// Servers and disturbances are drawn from seeds of their own from here on. What an interval leaves out was
    /// chosen on others, from 20,000 on.
    first_seed: u64,
}

const ALIKE: Design = Design {
    name: "alike",
    lengths: alike,
    is_whole: false,
    runs: &[(1.0, 120), (3.0, 120), (6.0, 120)],
    first_seed: 0,
};
/// From hardly any company to some forty requests in flight.
const MIXED: Design = Design {
    name: "mixed",
    lengths: mixed,
    is_whole: true,
    runs: &[(0.3, 40), (2.0, 100), (5.0, 120), (9.0, 120)],
    first_seed: 50_000,
};

/// A server of this kind near, but not at, what is expected, and its coefficients by name.
fn hidden_kind(
    kind: FittedModel,
    seed: u64,
    is_whole: bool,
) -> (LatencyModel, ClientEffects, Vec<(&'static str, f64)>) {
    let mut stream = Stream::new(Seed { seed, replicate: 7 }, Purpose::Search);
    let mut near = |value: f64, spread: f64| value * (spread * stream.normal()).exp();
    let effects = ClientEffects { idle_delay_us: near(2000.0, 0.5), busy_delay_us: near(80.0, 0.3) };
    let (latency, mut named) = match kind {
        FittedModel::Calibrated => {
            let (latency, [alpha0, alpha1, beta @ ..]) = hidden_with_coefficients(seed);
            let names = ["beta0", "beta1", "beta2", "beta3", "beta4", "beta5", "beta7"];
            let named = [("alpha0", alpha0), ("alpha1", alpha1)].into_iter().chain(names.into_iter().zip(beta));
            (latency, named.collect::<Vec<_>>())
        }
        FittedModel::Quadratic => {
            let alpha = vec![544.0, 80.0, 1000.0, near(9000.0, 0.3)];
            let beta: Vec<f64> = POLYNOMIAL.map(|value| near(value, 0.3)).to_vec();
            let latency = LatencyModel::quadratic(&alpha, &beta).expect("they are positive");
            let named = kind.beta_names().iter().copied().zip(beta).chain([("vllm_overhead", alpha[3])]);
            (latency, named.collect())
        }
        _ => {
            let alpha = vec![near(9000.0, 0.3), near(2.0, 0.3), 0.0];
            let beta = vec![near(9000.0, 0.2), near(30.0, 0.2), near(80.0, 0.3)];
            let latency = LatencyModel::blackbox(&alpha, &beta).expect("they are positive");
            let named =
                ["alpha0", "alpha1"].into_iter().zip(alpha).chain(["beta0", "beta1", "beta2"].into_iter().zip(beta));
            (latency, named.collect())
        }
    };
    if !is_whole {
        return (latency, ClientEffects::default(), named);
    }
    named.extend([("idle", effects.idle_delay_us), ("busy", effects.busy_delay_us)]);
    (latency, effects, named)
}

/// Where step times are linear in the coefficients, a search that starts at a least-squares fit of the logs is ahead of
/// one that starts where physics expects them. The table of `docs/calibration.md` is printed with `--nocapture`.
#[test]
fn a_start_from_the_logs_is_worth_evaluations() {
    const SOON: u64 = 300;
    let catalog = plimsoll_configs::catalog();
    let deployment = Deployment::guess(catalog, &stated());
    println!(
        "| model | server | start from logs | expected | to catch up | logs, after {SOON} | expected, after {SOON} |"
    );
    for kind in [FittedModel::Blackbox, FittedModel::Quadratic] {
        for server in 0..3u64 {
            let (model, client, _) = hidden_kind(kind, 70_000 + server, true);
            let runs = (0u64..).zip([(0.5, 40), (3.0, 100), (8.0, 120)]).map(|(at, (rate, count))| {
                measure_with(&model, client, &stated(), alike, rate, count, 70_000 + 10 * server + at).0
            });
            let runs: Vec<Measurement> = runs.collect();
            let expected = prior(kind, &deployment, catalog);
            let centers: Vec<(String, f64)> =
                expected.parameters.iter().filter_map(|p| Some((p.name.clone(), p.center?.0))).collect();
            let is_step = |name: &str| kind.beta_names().contains(&name);
            let held = centers.iter().map(|(name, value)| (name.as_str(), *value)).filter(|(name, _)| is_step(name));
            let searched = |space: Space| {
                let settings = FitSettings { model: kind, budget: 3000, ..FitSettings::default() };
                let task = FitTask::new(runs.clone(), space, settings);
                let problem = task.problem(catalog);
                let at_start =
                    task.space.starts().iter().map(|start| problem.loss(start)).fold(f64::INFINITY, f64::min);
                let mut study = task.study(None);
                while let Ask::Trial(candidate) = study.ask() {
                    study.tell(&candidate, problem.loss(&candidate.point));
                }
                (at_start, study.history().to_vec())
            };
            let (from_logs, ahead) = searched(expected.clone());
            let (from_expected, behind) = searched(expected.clone().starting_at(held));
            let reached =
                behind.iter().find(|progress| progress.loss <= from_logs).map(|progress| progress.evaluations);
            let soon = |history: &[Progress]| {
                history
                    .iter()
                    .filter(|progress| progress.evaluations <= SOON)
                    .map(|p| p.loss)
                    .fold(f64::INFINITY, f64::min)
            };
            println!(
                "| {} | {server} | {from_logs:.0} | {from_expected:.0} | {reached:?} | {:.1} | {:.1} |",
                kind.name(),
                soon(&ahead),
                soon(&behind)
            );
            assert!(from_logs < from_expected, "{kind:?} {server}: {from_logs} {from_expected}");
        }
    }
}

/// How the intervals of one coefficient fared.
#[derive(Clone)]
struct Fared {
    name: &'static str,
    covered: u64,
    open: u64,
    log_width: f64,
}

/// Fits so many servers and prints how often each coefficient was covered.
fn coverage(kind: FittedModel, design: &Design, trials: u64) -> Vec<Fared> {
    let first_seed =
        std::env::var("COVERAGE_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(design.first_seed);
    let stated =
        MeasuredDeployment { num_gpu_blocks: if design.is_whole { None } else { Some(NUM_BLOCKS) }, ..stated() };
    let one = |trial: u64| {
        let (model, client, truth) = hidden_kind(kind, first_seed + 1000 + trial, design.is_whole);
        let runs = (0u64..).zip(design.runs).map(|(at, (rate, count))| {
            measure_with(&model, client, &stated, design.lengths, *rate, *count, first_seed + 10 * trial + at).0
        });
        let (study, problem) = search(&runs.collect::<Vec<_>>(), kind, 3000);
        let intervals = problem.intervals(study.best_point().expect("every request is served"));
        let fared = truth.into_iter().map(|(name, truth)| {
            let found = intervals.iter().find(|interval| interval.name == name).expect("it is searched");
            let [low, high] = found.ends;
            let is_covered = (low..=high).contains(&truth);
            if !is_covered {
                println!("{} {trial} {name} {low} {high} truth {truth} open {}", kind.name(), found.is_open);
            }
            let (covered, open) = (u64::from(is_covered), u64::from(found.is_open));
            Fared { name, covered, open, log_width: (high / low).ln() / trials as f64 }
        });
        fared.collect::<Vec<Fared>>()
    };
    let halves = std::thread::scope(|scope| {
        let threads = [0, 1].map(|half| scope.spawn(move || (half..trials).step_by(2).map(one).collect::<Vec<_>>()));
        threads.map(|thread| thread.join().expect("no trial panics"))
    });
    let mut all: Vec<Fared> = Vec::new();
    for trial in halves.into_iter().flatten() {
        if all.is_empty() {
            all = trial;
            continue;
        }
        for (sum, one) in all.iter_mut().zip(trial) {
            sum.covered += one.covered;
            sum.open += one.open;
            sum.log_width += one.log_width;
        }
    }
    println!(
        "{}, {} lengths\n| coefficient | covered | not determined | typical width |\n|---|---|---|---|",
        kind.name(),
        design.name
    );
    for Fared { name, covered, open, log_width } in &all {
        println!("| {name} | {covered} of {trials} | {open} | ×/÷ {:.2} |", (log_width / 2.0).exp());
    }
    for Fared { name, covered, .. } in &all {
        let is_enough = covered * 10 >= trials * 9 || trials < 20 && covered + 1 >= trials;
        assert!(is_enough, "{kind:?} {name}: {covered}");
    }
    // All coefficients together, which few trials tell, too.
    let covered: u64 = all.iter().map(|fared| fared.covered).sum();
    assert!(covered * 10 >= trials * all.len() as u64 * 9, "{kind:?}: {covered}");
    all
}

fn coverage_trials(usual: u64) -> u64 {
    std::env::var("COVERAGE_TRIALS").ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// 95 % intervals cover the hidden coefficients in nine of ten trials; those of which the logs tell little say so.
///
/// `COVERAGE_TRIALS=50 cargo test -p plimsoll-tests --test calibration intervals -- --nocapture` makes the tables of
/// `docs/calibration.md`; as many trials run as take a few seconds otherwise.
#[test]
fn intervals_cover_hidden_coefficients() {
    let trials = coverage_trials(4);
    let fared = coverage(FittedModel::Calibrated, &ALIKE, trials);
    // Steps of decodes are told by every log, so their coefficients must not hide behind wide intervals.
    let request = fared.iter().find(|fared| fared.name == "beta1").expect("it is searched");
    assert!(request.open * 5 <= trials, "{}", request.open);
}

/// Prompts of many lengths from idle to busy servers tell more of the coefficients apart.
#[test]
fn intervals_of_mixed_lengths_cover_hidden_coefficients() {
    let trials = coverage_trials(3);
    coverage(FittedModel::Calibrated, &MIXED, trials);
}

#[test]
fn intervals_of_other_kinds_cover_hidden_coefficients() {
    coverage(FittedModel::Blackbox, &MIXED, coverage_trials(1));
    coverage(FittedModel::Quadratic, &MIXED, coverage_trials(1));
}

/// The requests of a training log, simulated as a run of a scenario with the fit, have the very latencies that
/// `evaluate` predicts for them: idle servers and busy front ends delay them in both.
#[test]
fn a_run_with_a_fit_shows_what_evaluate_predicts_of_its_log() {
    let catalog = plimsoll_configs::catalog();
    let run = measure(&hidden(1), 3.0, 80, 3).0;
    let client = ClientEffects { idle_delay_us: 9000.0, busy_delay_us: 400.0 };
    let (alpha, beta) = (vec![9000.0, 2.0, 0.0], vec![3500.0, 40.0, 6000.0, 33.0, 0.05, 3e-4, 1.0, 1500.0]);
    let fit = Fit { model: FittedModel::Calibrated, alpha, beta, client, loss: 0.0, evaluations: 1 };
    let predicted = fit.predict(&run, &Deployment::guess(catalog, &run.deployment)).expect("it can be predicted");
    let latencies = |fit: &Fit| {
        let mut scenario = base_1();
        fit.apply(&mut scenario, catalog, &run.deployment, CalibratedOn::default());
        let resolved = scenario.resolve(catalog).expect("a whole scenario").value;
        let requests = (0u32..)
            .zip(&run.requests)
            .map(|(id, request)| Request::plain(id, request.send, request.input_tokens, request.output_tokens));
        let trace = Trace::new(requests.collect(), PrefixTree::new(), vec![String::new()], vec![String::new()]);
        let source = Source::of_run(&resolved.workload, Some(&Arc::new(trace)), 1, SimTime::MAX);
        let source = source.behind(resolved.client, resolved.cluster.num_replicas);
        let mut told = Told::default();
        simulate(&resolved.cluster, resolved.engine, resolved.latency.clone(), source, Mode::Step, &mut told);
        told.0.sort_by_key(|record| record.request.id);
        let of = |record: &RequestRecord| [record.ttft, record.e2e].map(|time| time.map(|time| time.0 as f64));
        told.0.iter().map(of).collect::<Vec<_>>()
    };
    let expected: Vec<_> = predicted.latencies.iter().map(|latency| [latency.ttft, latency.e2e]).collect();
    assert_eq!(latencies(&fit), expected);
    assert_ne!(latencies(&Fit { client: ClientEffects::default(), ..fit }), expected);
}
