//! The lever that a study names, pulled in the scenario itself.

use plimsoll_core::curve::{Curve, CurvePlan, CurveStudy, Limiter, run_trial};
use plimsoll_core::study::{Ask, Study};
use plimsoll_tests::base_1;

/// The first base with these limits, over 12 rates of 1,000 requests, two seeds.
fn study(max_num_seqs: u32, batched_tokens_factor: u32) -> Curve {
    let mut scenario = base_1();
    scenario.engine.max_num_seqs = Some(max_num_seqs);
    scenario.engine.max_num_batched_tokens = Some(2048 * batched_tokens_factor);
    (scenario.curve.num_rates, scenario.curve.num_requests, scenario.curve.num_seeds) = (12, 1000, 2);
    let resolved = scenario.resolve(plimsoll_configs::catalog()).expect("limits of the scenario").value;
    let mut study = CurveStudy::new(&resolved, CurvePlan::full(&resolved.curve), None);
    while let Ask::Trial(trial) = study.ask() {
        study.tell(&trial, run_trial(&resolved, None, &trial));
    }
    study.snapshot()
}

/// Of eight sequences at a time the seats run out, long before memory, token budget or speed do.
///
/// Two deployments of eight seats with a queue each carry twice what one does, and sixteen seats with one queue carry
/// more than that, at steps that take a little longer (all weights are read whoever is in the batch): at least 1.9 times
/// within the SLO, and no more than twice what eight seats sustain whatever the latency. The token budget of a step
/// (2,048 for eight sequences) is no lever: twice as much leaves the capacity within the 2.5 % of its bisection.
#[test]
fn the_lever_that_is_named_raises_the_capacity_when_it_is_pulled() {
    let capacity = |curve: &Curve| curve.capacity.expect("found").request_rate;
    let named = study(8, 1);
    assert!(capacity(&named) > 0.0);
    assert_eq!(named.binding, Some(Limiter::MaxNumSeqs), "{:?}", named.levers);
    let factor = named.levers.iter().find(|(limiter, _)| *limiter == Limiter::MaxNumSeqs).expect("tried").1;
    let pulled = capacity(&study(16, 1));
    let gained = pulled / capacity(&named);
    assert!(factor > 1.2 && gained >= factor, "{gained}, where the study says {factor} at least");
    assert!(gained > 1.9, "{gained}");
    assert!(pulled < 2.0 * named.saturation.expect("found").request_rate, "{pulled}");
    let other = capacity(&study(8, 2)) / capacity(&named);
    assert!((other - 1.0).abs() < 0.026, "{other}");
}
