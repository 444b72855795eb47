//! More speed never costs time.

use super::case::{Timing, Told, case, runner, timing};
use plimsoll_core::cluster::Simulation;
use plimsoll_core::engine::Mode;
use plimsoll_core::latency::StepItem;
use plimsoll_core::scenario::ClusterConfig;
use plimsoll_core::time::SimTime;
use proptest::prelude::*;

fn step_items() -> impl Strategy<Value = Vec<StepItem>> {
    let item = (1..3_000u32, 0..3_000u32, 1..3_000u32).prop_map(|(tokens, pos, input_tokens)| {
        let tokens = if pos < input_tokens { tokens.min(input_tokens - pos) } else { 1 };
        StepItem { tokens, pos, input_tokens }
    });
    prop::collection::vec(item, 0..60)
}

#[test]
fn a_faster_accelerator_never_gives_a_longer_step() {
    runner(2_000)
        .run(&(timing(), step_items(), 1.0..4.0f64), |(timing, items, speed)| {
            let (slow, fast) = (timing.build(1.0).step_time(&items), timing.build(speed).step_time(&items));
            prop_assert!(1 <= fast && fast <= slow, "{fast} µs at {speed} times the speed, {slow} µs before");
            Ok(())
        })
        .unwrap_or_else(|failure| panic!("{failure}"));
}

#[test]
fn running_sums_agree_with_item_by_item() {
    runner(2_000)
        .run(&(timing(), step_items()), |(timing, items)| {
            let model = timing.build(1.0);
            let (prefill, decode): (Vec<_>, Vec<_>) = items.iter().copied().partition(|item| item.is_prefill());
            let decodes = u32::try_from(decode.len()).expect("few items");
            let pos_sum = decode.iter().map(|item| u64::from(item.pos)).sum();
            if let Some(sums) = model.mixed_step_time(decodes, pos_sum, &prefill) {
                prop_assert_eq!(sums, model.step_time(&items));
            }
            if let Some(sums) = model.decode_stepper(decodes).step_time(pos_sum)
                && !decode.is_empty()
            {
                prop_assert_eq!(sums, model.step_time(&decode));
            }
            Ok(())
        })
        .unwrap_or_else(|failure| panic!("{failure}"));
}

#[test]
fn a_faster_accelerator_never_finishes_a_given_batch_later() {
    runner(400)
        .run(&(case(), 1.0..4.0f64), |(mut case, speed)| {
            for request in &mut case.requests {
                request.arrive = SimTime::ZERO;
                request.deadline = SimTime::ZERO;
            }
            case.engine.horizon = SimTime::MAX;
            // Everybody is in the queue before the first step only if nobody is delayed by length on the way to it.
            match &mut case.timing {
                Timing::Blackbox { alpha, .. } | Timing::Calibrated { alpha, .. } => *alpha = [0.0; 3],
                Timing::Quadratic { alpha, .. } => *alpha = [0.0; 4],
                Timing::MeasuredRoofline { .. } | Timing::Roofline { .. } | Timing::TrainedPhysics { .. } => {}
            }
            let makespan = |speed: f64| {
                let mut told = Told::default();
                let source = case.source();
                let mut simulation = Simulation::new(
                    &ClusterConfig::single(),
                    case.engine,
                    case.timing.build(speed),
                    source,
                    Mode::Fast,
                );
                while !simulation.run_for(u64::MAX, &mut told) {}
                let end = simulation.finish(&mut told).total.end;
                // A delay that is the same for all is as good as none.
                let first = told.samples.first().map(|sample| sample.time);
                assert!(told.samples.iter().all(|sample| Some(sample.time) == first), "not at one tick");
                end
            };
            prop_assert!(makespan(speed) <= makespan(1.0));
            Ok(())
        })
        .unwrap_or_else(|failure| panic!("{failure}"));
}
