use super::super::aggregate::meets_slo;
use super::*;
use crate::fixtures;
use crate::scenario::{ArrivalSettings, ClassSlo, ClientSettings, LengthSettings, WorkloadSettings};

/// Constant lengths, and steps that take `beta`.
fn scenario(arrival: ArrivalSettings, output_tokens: u32, beta: [f64; 3]) -> ResolvedScenario {
    let workload = WorkloadSettings {
        arrival,
        input_tokens: LengthSettings::Constant { value: 20 },
        output_tokens: LengthSettings::Constant { value: output_tokens },
        ..WorkloadSettings::default()
    };
    fixtures::scenario([0.0; 3], beta, workload)
}

fn sample(scenario: &ResolvedScenario, request_rate: f64) -> PointSample {
    let stage = Stage::Grid;
    run_trial(
        scenario,
        None,
        &CurveTrial { id: 0, stage, request_rate, replicate: 0, num_requests: 2000, relaxed: None },
    )
}

fn idle(sample: &PointSample) -> f64 {
    sample.time_shares.iter().find(|share| share.name == "idle").map_or(f64::NAN, |share| share.ratio)
}

#[test]
fn gaps_are_those_of_the_measured_requests() {
    // Every request has 49 gaps, so their mean is the mean time per output token of the same requests, which is taken
    // from each request's own times (in whole nanoseconds). Steps are shorter while the batch fills.
    let sample = sample(&scenario(ArrivalSettings::Poisson, 50, [2000.0, 0.0, 500.0]), 30.0);
    assert!(sample.measured_requests < 2000, "there is a warm-up");
    assert!((sample.itl.mean - sample.tpot.mean).abs() < 2e-6, "{} {}", sample.itl.mean, sample.tpot.mean);
}

#[test]
fn limiters_and_time_are_those_of_the_steps_in_the_window() {
    // Ten steps of 1 ms each, one request at a time, at twice the rate that is served: but for the first request and
    // the last one, which are outside, somebody waits at every step.
    let mut overloaded = scenario(ArrivalSettings::Constant, 10, [1000.0, 0.0, 0.0]);
    overloaded.engine.max_num_seqs = 1;
    let found = sample(&overloaded, 200.0);
    assert_eq!((found.verdict, found.limiters.max_num_seqs, found.limiters.none), (Verdict::Overloaded, 1.0, 0.0));
    assert_eq!(idle(&found), 0.0);
    // At a quarter of that rate 10 ms of every 40 are busy between the first arrival of the window and the last.
    let found = sample(&overloaded, 25.0);
    assert_eq!(found.verdict, Verdict::Stable);
    assert!((idle(&found) - 0.75).abs() < 1e-12, "{}", idle(&found));
    assert_eq!(found.limiters.none, 1.0);
}

#[test]
fn each_class_is_judged_by_its_own_limits() {
    // Every request takes ten steps of 1 ms.
    let mut mixed = scenario(ArrivalSettings::Poisson, 10, [1000.0, 0.0, 0.0]);
    let client = |class: &str| ClientSettings {
        slo_class: class.into(),
        rate_fraction: 1.0,
        input_tokens: mixed.workload.input_tokens.clone(),
        output_tokens: mixed.workload.output_tokens.clone(),
        ..ClientSettings::default()
    };
    mixed.workload.clients = alloc::vec![client("critical"), client("batch")];
    mixed.slo = Slo { ttft_ms: None, tpot_ms: None, e2e_ms: Some(5.0), attainment: 0.4, ..Slo::default() };
    let own = |e2e_ms: f64| ClassSlo { e2e_ms: Some(e2e_ms), ..ClassSlo::default() };
    assert_eq!(sample(&mixed, 20.0).classes, []);
    mixed.slo_classes.insert("batch".into(), own(50.0));
    let found = sample(&mixed, 20.0);
    let classes: Vec<(&str, f64, bool)> =
        found.classes.iter().map(|class| (class.name.as_str(), class.attainment, class.keeps_limits)).collect();
    assert_eq!(classes, [("critical", 0.0, false), ("batch", 1.0, true)]);
    assert_eq!(found.verdict, Verdict::Stable);
    // Half of all requests attain, which would do, but no critical one.
    assert!(found.attainment > 0.4 && !meets_slo(&found, &mixed.slo));
    // The limit for all, which all miss, binds nobody once both have their own.
    mixed.slo_classes.insert("critical".into(), own(20.0));
    let found = sample(&mixed, 20.0);
    assert!(found.e2e.slo > 5.0 && meets_slo(&found, &mixed.slo));
    // Of a class nobody belongs to, nothing is said.
    mixed.slo_classes.insert("background".into(), own(0.001));
    assert_eq!(sample(&mixed, 20.0), found);
}
