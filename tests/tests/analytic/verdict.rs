//! How often a run of 2,000 requests is judged right, and how near its throughput comes to what is offered.
//!
//! `VERDICT_TRIALS=300 cargo test --release -p plimsoll-tests --test analytic verdict -- --nocapture` prints the tables
//! of `docs/curve.md`.

use plimsoll_core::curve::{CurvePlan, CurveStudy, CurveTrial, PointSample, Stage, run_trial};
use plimsoll_core::report::Verdict;
use plimsoll_core::scenario::{ArrivalSettings, LatencyModelChoice, LengthSettings, ResolvedScenario, Scenario};
use plimsoll_core::study::{Ask, Study};
use plimsoll_tests::base_1;

fn default_scenario() -> Scenario {
    Scenario { seed: 42, ..base_1() }
}

fn resolved(scenario: &Scenario) -> ResolvedScenario {
    scenario.resolve(plimsoll_configs::catalog()).expect("a setting of the default scenario").value
}

fn trial(stage: Stage, request_rate: f64, replicate: u32, num_requests: u32) -> CurveTrial {
    CurveTrial { id: 0, stage, request_rate, replicate, num_requests, relaxed: None }
}

/// What a burst is served at, requests per second.
fn burst_rate(scenario: &ResolvedScenario) -> f64 {
    run_trial(scenario, None, &trial(Stage::Probe, 1e9, 0, 1000)).request_throughput
}

fn num_trials() -> u32 {
    std::env::var("VERDICT_TRIALS").ok().and_then(|number| number.parse().ok()).unwrap_or(10)
}

/// Runs at a load relative to what a burst is served at, seed 42.
fn runs(scenario: &ResolvedScenario, load: f64) -> Vec<PointSample> {
    let rate = load * burst_rate(scenario);
    (0..num_trials()).map(|replicate| run_trial(scenario, None, &trial(Stage::Grid, rate, replicate, 2000))).collect()
}

fn share(runs: &[PointSample], verdict: Verdict) -> f64 {
    runs.iter().filter(|run| run.verdict == verdict).count() as f64 / runs.len() as f64
}

/// A load is relative to a rate that is itself known to 2 %, and 10 runs of a kind are looked at: what is asserted is
/// far from where the verdict turns.
#[test]
fn an_overload_is_told_from_a_load_that_is_carried() {
    let bursty = {
        let mut scenario = default_scenario();
        scenario.workload.arrival = ArrivalSettings::Gamma { cv: 3.0 };
        scenario
    };
    let one_at_a_time = {
        let mut scenario = default_scenario();
        scenario.engine.max_num_seqs = Some(1);
        scenario
    };
    let kinds = [("default", default_scenario()), ("gamma, cv 3", bursty), ("one at a time", one_at_a_time)];
    for (name, scenario) in kinds {
        let scenario = resolved(&scenario);
        for load in [0.7, 0.8, 0.9, 0.95, 0.98, 1.0, 1.02, 1.03, 1.05, 1.1, 1.2] {
            if num_trials() <= 10 && !matches!(load, 0.7 | 0.9 | 1.2) {
                continue;
            }
            let runs = runs(&scenario, load);
            let [stable, undecided, overloaded] =
                [Verdict::Stable, Verdict::Undecided, Verdict::Overloaded].map(|verdict| share(&runs, verdict));
            println!(
                "{name:>14} at {load:.2}: stable {stable:.3}, undecided {undecided:.3}, overloaded {overloaded:.3}"
            );
            if load <= 0.9 {
                assert_eq!(overloaded, 0.0, "{name} at {load}");
            }
            if load == 1.2 {
                assert!(overloaded >= 0.8 && stable <= 0.2, "{name} at {load}");
            }
        }
    }
}

#[test]
fn arrivals_of_a_run_come_at_exactly_its_rate() {
    let scenario = resolved(&default_scenario());
    for load in [0.5, 0.7, 0.8, 0.9, 0.95] {
        let rate = load * burst_rate(&scenario);
        let ratios: Vec<f64> = runs(&scenario, load)
            .iter()
            .filter(|run| run.verdict == Verdict::Stable)
            .map(|run| run.request_throughput / rate)
            .collect();
        let mean = ratios.iter().sum::<f64>() / ratios.len() as f64;
        let variance = ratios.iter().map(|ratio| (ratio - mean).powi(2)).sum::<f64>() / ratios.len() as f64;
        println!("throughput over rate at {load:.2}: {mean:.4} ± {:.4} of {} runs", variance.sqrt(), ratios.len());
        // Free arrivals are off by 1/√1300 = 2.8 % in a window of two thirds of the run; these, whose sum is given, by
        // √(1/1300 − 1/2000) = 1.6 %, and the number in system adds up to 2 %: of ten runs 0.8 %.
        assert!((mean - 1.0).abs() < 0.025, "{load}: {mean}");
    }
}

/// Definitions 1 for neighbors of the default: what a stable point of the grid serves is what is offered, within the
/// band of its seeds and 2.5 %: by so much the number in system still grows where a run of 2,000 requests is a few
/// residence times, and the bisection is no finer.
#[test]
fn stable_points_of_other_scenarios_serve_what_is_offered() {
    let with = |change: fn(&mut Scenario)| {
        let mut scenario = default_scenario();
        change(&mut scenario);
        scenario
    };
    let scenarios = [
        ("roofline", with(|scenario| scenario.latency.model = LatencyModelChoice::Roofline)),
        ("seed 7", with(|scenario| scenario.seed = 7)),
        ("short prompts", with(|scenario| scenario.workload.input_tokens = LengthSettings::Constant { value: 64 })),
        ("long prompts", with(|scenario| scenario.workload.input_tokens = LengthSettings::Constant { value: 4000 })),
    ];
    for (name, scenario) in scenarios {
        let scenario = resolved(&scenario);
        let mut study = CurveStudy::new(&scenario, CurvePlan::full(&scenario.curve), None);
        while let Ask::Trial(trial) = study.ask() {
            study.tell(&trial, run_trial(&scenario, None, &trial));
        }
        let curve = study.snapshot();
        let stable: Vec<_> = curve.points.iter().filter(|point| point.verdict == Verdict::Stable).collect();
        assert!(stable.len() >= 12, "{name}: {}", stable.len());
        for point in stable {
            let (rate, served) = (point.request_rate, point.request_throughput);
            println!("{name} {rate}: {:.4} {:.4} {:.4}", served.low / rate, served.mid / rate, served.high / rate);
            assert!(served.low <= rate * 1.005 && served.high >= rate * 0.975, "{name} at {rate}: {served:?}");
        }
    }
}
