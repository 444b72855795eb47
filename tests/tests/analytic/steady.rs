//! Settled runs against what queueing theory knows exactly.

use super::blackbox;
use plimsoll_core::curve::{CurvePlan, CurveStudy, CurveTrial, PointSample, Stage, run_trial};
use plimsoll_core::report::Verdict;
use plimsoll_core::scenario::{
    Batching, LengthSettings, ResolvedScenario, Rules, Scenario, Slo, VllmRules, WorkloadSettings,
};
use plimsoll_core::study::{Ask, Study};
use plimsoll_core::workload::{Generator, RequestSource};

/// Every step takes this long, seconds, whatever is in it.
const STEP: f64 = 0.001;

/// By vLLM's rules, with steps that are planned so.
fn batched(scenario: &mut ResolvedScenario, batching: Batching) {
    let Rules::VllmV1(rules) = scenario.engine.rules else { panic!("vLLM's rules are the default") };
    scenario.engine.rules = Rules::VllmV1(VllmRules { batching, ..rules });
}

/// A server with so many places and steps of constant time. Scheduling is synchronous, so that an answer of n tokens holds
/// its place for n steps.
fn server(places: u32, output_tokens: LengthSettings) -> ResolvedScenario {
    let mut scenario =
        Scenario::default().resolve(plimsoll_configs::catalog()).expect("the default scenario resolves").value;
    scenario.latency = blackbox([0.0; 3], [STEP * 1e6, 0.0, 0.0]);
    scenario.engine.max_num_seqs = places;
    scenario.engine.enable_prefix_caching = false;
    scenario.workload = WorkloadSettings {
        input_tokens: LengthSettings::Constant { value: 16 },
        output_tokens,
        ..WorkloadSettings::default()
    };
    batched(&mut scenario, Batching::Sync);
    scenario
}

fn sample(scenario: &ResolvedScenario, stage: Stage, request_rate: f64, num_requests: u32) -> PointSample {
    let trial = CurveTrial { id: 0, stage, request_rate, replicate: 0, num_requests, relaxed: None };
    run_trial(scenario, None, &trial)
}

/// Mean and mean square of the service times of a run, seconds: as many steps as tokens.
fn moments(scenario: &ResolvedScenario, num_requests: u32) -> [f64; 2] {
    let mut generator = Generator::new(&scenario.workload, 1.0, num_requests, scenario.seed, 0);
    let times: Vec<f64> = std::iter::from_fn(|| generator.next_request())
        .map(|request| f64::from(request.output_tokens) * STEP)
        .collect();
    let mean = |power: i32| times.iter().map(|time| time.powi(power)).sum::<f64>() / times.len() as f64;
    [mean(1), mean(2)]
}

/// M/D/1 and M/G/1 with one place: Pollaczek and Khinchine, W = λE[S²]/2(1 − ρ), of the lengths that were drawn.
///
/// The default seed, 200,000 requests a load. Waits of neighbors are alike over some 2/(1 − ρ)² of them, and vary by about
/// their mean and as much again: five standard errors are allowed (false alarm below 1e-6). A request that comes in the
/// last step of an otherwise empty server starts at once, which shortens one service in a hundred steps by at most one; W
/// is lower by at most (2 + ρ/(1 − ρ)) · 1 %. The warm-up left out of so long a run is nothing.
#[test]
fn one_place_waits_as_pollaczek_and_khinchine_say() {
    let num_requests = 200_000;
    let lengths = [
        LengthSettings::Constant { value: 100 },
        LengthSettings::Normal { mean: 100.0, std_dev: 60.0, min: 2, max: 1000 },
    ];
    for output_tokens in lengths {
        let scenario = server(1, output_tokens);
        let [mean, square] = moments(&scenario, num_requests);
        for load in [0.5, 0.8] {
            let rate = load / mean;
            let found = sample(&scenario, Stage::Settling, rate, num_requests);
            let wait = found.e2e.mean / 1e3 - mean;
            let expected = rate * square / (2.0 * (1.0 - load));
            let sampling = 5.0 * 2.0 * (2.0 / (1.0 - load).powi(2) / f64::from(num_requests)).sqrt();
            let overlap = (2.0 + load / (1.0 - load)) / 100.0;
            let ratio = wait / expected;
            assert!(ratio < 1.0 + sampling && ratio > 1.0 - sampling - overlap, "load {load}: {wait} {expected}");
            assert_eq!(found.verdict, Verdict::Stable);
        }
    }
}

/// M/G/∞ far from saturation: the number in system is Poisson with mean λE[S], and its mean over a run of n requests has
/// the standard error √(E[S²]/n)/E[S] of itself. The default seed, 50,000 requests; five standard errors (false alarm
/// below 1e-6), and the run's own estimate of one, of some 15 degrees of freedom, is within a factor of 2.
#[test]
fn nobody_waits_where_there_is_room_for_all() {
    let num_requests = 50_000;
    let scenario = server(10_000, LengthSettings::Normal { mean: 500.0, std_dev: 250.0, min: 2, max: 5000 });
    let [mean, square] = moments(&scenario, num_requests);
    let rate = 100.0;
    let found = sample(&scenario, Stage::Settling, rate, num_requests);
    let error = (square / f64::from(num_requests)).sqrt() / mean;
    let ratio = found.mean_running / (rate * mean);
    // Who starts is counted from the next step on.
    assert!((ratio - 1.0).abs() < 5.0 * error + STEP / mean, "{ratio} ± {error}");
    assert!(found.mean_waiting < 0.2 && found.verdict == Verdict::Stable, "{}", found.mean_waiting);
    let own = found.precision.expect("a settling run tells").in_system;
    assert!(own > error / 2.0 && own < error * 2.0, "{own} {error}");
}

/// In an overload the batch is the largest that fits, so the throughput is batch ÷ step time, and the backlog grows by
/// the arrival rate less that. Where steps are planned one ahead (`docs/scheduling.md`) a place is free a step after the
/// answer, so a request of n tokens holds it for n + 1 steps. The default seed, 20,000 requests at 1.25 times what is
/// served; arrivals come at exactly the rate and all answers have one length, so that 0.5 % is allowed for the two ends of
/// the window, half of what the extra step takes, and 3 % for the backlog, which is a fifth of the arrivals: they wander
/// about their rate as a bridge does, of which the mean over the second half of 20,000 has a deviation of 46.
#[test]
fn an_overload_is_served_at_batch_over_step_time_and_its_backlog_drifts() {
    let (places, tokens, num_requests) = (8u32, 100u32, 20_000u32);
    for (batching, steps) in [(Batching::Sync, tokens), (Batching::Async, tokens + 1)] {
        let mut scenario = server(places, LengthSettings::Constant { value: tokens });
        batched(&mut scenario, batching);
        let served = f64::from(places) / (f64::from(steps) * STEP);
        let rate = 1.25 * served;
        let found = sample(&scenario, Stage::Saturation, rate, num_requests);
        assert_eq!(found.verdict, Verdict::Overloaded);
        assert!((found.request_throughput / served - 1.0).abs() < 0.005, "{} {served}", found.request_throughput);
        assert!((found.output_token_throughput / (served * f64::from(tokens)) - 1.0).abs() < 0.005);
        // The middle of the window, in seconds after the first arrival.
        let middle = (f64::from(num_requests) - f64::from(found.measured_requests) / 2.0) / rate;
        let expected = (rate - served) * middle;
        assert!((found.mean_waiting / expected - 1.0).abs() < 0.03, "{} {expected}", found.mean_waiting);
    }
}

/// A study of that server finds the same saturation point, and a capacity below it at which the exact wait is kept.
///
/// One place, constant service of 0.1 s: M/D/1. The SLO is kept to the load at which one in twenty waits longer than 0.3 s:
/// for M/D/1 P(W > 3S) = 0.05 at ρ = 0.6686 (Crommelin's series, A. K. Erlang 1909: with x = W/S and k from 0 to ⌊x⌋,
/// P(W ≤ x) = (1 − ρ) Σ (ρ(k − x))^k / k! · exp(−ρ(k − x))).
#[test]
fn the_capacity_of_a_single_place_is_the_exact_one() {
    let at_most = |load: f64, x: f64| {
        let mut factorial = 1.0;
        let mut sum = 0.0;
        for k in 0..=x.floor() as i32 {
            factorial *= f64::from(k.max(1));
            let offset = load * (f64::from(k) - x);
            sum += offset.powi(k) / factorial * (-offset).exp();
        }
        (1.0 - load) * sum
    };
    let (mut low, mut high) = (0.1, 0.99);
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        if at_most(middle, 3.0) >= 0.95 {
            low = middle;
        } else {
            high = middle;
        }
    }
    let mut scenario = server(1, LengthSettings::Constant { value: 100 });
    // TTFT is the wait and one step.
    scenario.slo = Slo { ttft_ms: Some(301.0), tpot_ms: None, ..Slo::default() };
    let mut study = CurveStudy::new(&scenario, CurvePlan::settled(&scenario.curve), None);
    while let Ask::Trial(trial) = study.ask() {
        study.tell(&trial, run_trial(&scenario, None, &trial));
    }
    let curve = study.snapshot();
    let capacity = curve.capacity.expect("searched");
    let exact = low / 0.1;
    // Services overlap by up to a step in a hundred, which adds at most 1 % to the rate.
    assert!(capacity.is_settled && capacity.request_rate <= exact * 1.01, "{capacity:?} {exact}");
    assert!(capacity.request_rate >= exact * 0.97, "{capacity:?} {exact}");
    let saturation = curve.saturation.expect("searched").request_rate;
    assert!((saturation / 10.0 - 1.0).abs() < 0.02, "{saturation}");
}

/// A range that ends below the saturation: what holds up to its end rests on a point that is settled there.
///
/// The default server carries some 20 requests/s.
#[test]
fn a_capacity_at_the_end_of_a_named_range_rests_on_a_settled_point() {
    for range in [[1.0, 15.0], [0.5, 4.0]] {
        let mut scenario = Scenario::default();
        (scenario.curve.num_rates, scenario.curve.range_per_s) = (6, Some(range));
        let resolved = scenario.resolve(plimsoll_configs::catalog()).expect("the default scenario resolves").value;
        let mut study = CurveStudy::new(&resolved, CurvePlan::settled(&resolved.curve), None);
        while let Ask::Trial(trial) = study.ask() {
            study.tell(&trial, run_trial(&resolved, None, &trial));
        }
        let curve = study.snapshot();
        let capacity = curve.capacity.expect("the end of the range holds");
        assert_eq!((capacity.request_rate, capacity.next_failing_rate), (range[1], None));
        let last = curve.points.last().expect("six rates");
        assert_eq!((last.request_rate, last.verdict), (range[1], Verdict::Stable));
        for point in &curve.points {
            assert!(point.is_settled && point.meets_slo, "{range:?}: {} {:?}", point.request_rate, point.verdict);
        }
    }
}
