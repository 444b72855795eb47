use super::*;
use crate::curve::types::SamplePercentiles;
use crate::fixtures;
use crate::report::LimiterShares;
use crate::scenario::{ResolvedScenario, WorkloadSettings};

fn scenario() -> ResolvedScenario {
    fixtures::scenario([1.0; 3], [1.0; 3], WorkloadSettings::default())
}

/// A deployment told by formulas: saturates at 20 requests/s (a little more or less by seed), keeps its limits to 15.4,
/// and to 19.5 with twice the sequences.
fn outcome(trial: &CurveTrial) -> PointSample {
    let rate = trial.request_rate;
    let relief = if trial.relaxed == Some(Limiter::MaxNumSeqs) { 19.5 / 15.4 } else { 1.0 };
    let saturation = (20.0 + 0.3 * f64::from(trial.replicate)) * relief;
    let metric = |slo: f64| SamplePercentiles { slo, ..SamplePercentiles::default() };
    PointSample {
        verdict: if rate <= saturation { Verdict::Stable } else { Verdict::Overloaded },
        ttft: metric(100.0),
        tpot: metric(30.0 * rate / (15.4 * relief)),
        itl: metric(10.0),
        e2e: metric(5000.0),
        measured_requests: trial.num_requests * 3 / 4,
        request_throughput: if trial.stage == Stage::Probe { 20.0 } else { rate },
        output_token_throughput: rate * 512.0,
        goodput: rate,
        attainment: 1.0,
        classes: Vec::new(),
        mean_running: 100.0,
        mean_waiting: 1.0,
        kv_usage: 0.5,
        preemptions_per_request: 0.0,
        prefix_hit_ratio: 0.0,
        limiters: LimiterShares { none: 0.9, max_num_seqs: 0.1, ..LimiterShares::default() },
        time_shares: Vec::new(),
        steps: 1,
    }
}

/// The same deployment where runs of fewer than 8,000 requests cannot be decided around the saturation point.
fn hesitant(trial: &CurveTrial) -> PointSample {
    let is_short = trial.num_requests < 8000 && (18.0..22.0).contains(&trial.request_rate);
    let sample = outcome(trial);
    PointSample { verdict: if is_short { Verdict::Undecided } else { sample.verdict }, ..sample }
}

/// Runs a study with up to `workers` trials outstanding, told in an order drawn from `seed`; trials made by the way.
fn run(study: CurveStudy, workers: usize, seed: u32) -> (Curve, Vec<CurveTrial>) {
    run_on(outcome, study, workers, seed)
}

/// The same on another deployment.
fn run_on(
    outcome: fn(&CurveTrial) -> PointSample,
    mut study: CurveStudy,
    workers: usize,
    seed: u32,
) -> (Curve, Vec<CurveTrial>) {
    let mut state = seed;
    let (mut open, mut made): (Vec<CurveTrial>, Vec<CurveTrial>) = (Vec::new(), Vec::new());
    loop {
        match if open.len() < workers { study.ask() } else { Ask::Wait } {
            Ask::Trial(trial) => {
                open.push(trial);
                made.push(trial);
            }
            Ask::Done if open.is_empty() => break,
            _ => {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let trial = open.swap_remove((state >> 8) as usize % open.len());
                study.tell(&trial, outcome(&trial));
                let (told, expected) = study.progress();
                assert!(told <= expected);
            }
        }
    }
    (study.snapshot(), made)
}

fn full() -> CurveStudy {
    let scenario = scenario();
    CurveStudy::new(&scenario, CurvePlan::full(&scenario.curve), None)
}

#[test]
fn the_order_and_number_of_workers_change_nothing() {
    let what = |mut made: Vec<CurveTrial>| {
        made.sort_by_key(|trial| trial.id);
        assert!(made.iter().zip(0..).all(|(trial, id)| trial.id == id), "ids are positions");
        let mut what: Vec<_> =
            made.iter().map(|t| (t.request_rate.to_bits(), t.replicate, t.num_requests, t.relaxed)).collect();
        what.sort_unstable();
        assert!(what.windows(2).all(|pair| pair[0] != pair[1]), "no run is made twice");
        what
    };
    let (reference, made) = run(full(), 1, 0);
    let trials = what(made);
    for (workers, seed) in [(2, 1), (8, 2), (8, 3), (100, 4), (3, 5)] {
        let (curve, made) = run(full(), workers, seed);
        assert_eq!(what(made), trials, "{workers} workers");
        assert_eq!(std::format!("{curve:?}"), std::format!("{reference:?}"), "{workers} workers");
    }
}

#[test]
fn saturation_and_capacity_are_found_within_tolerance_and_budget() {
    let (curve, made) = run(full(), 2, 9);
    assert!(curve.is_complete);
    let within = |capacity: Option<Capacity>, truth: f64| {
        let capacity = capacity.expect("searched");
        let high = capacity.next_failing_rate.expect("bounded");
        assert!(
            capacity.is_final
                && capacity.request_rate <= truth
                && high > truth
                && high <= capacity.request_rate * 1.025
        );
    };
    within(curve.saturation, 20.0);
    within(curve.capacity, 15.4);
    assert_eq!(curve.range_per_s, [1.25, 30.0]);
    // The second and third seed saturate at 20.3 and 20.6, and all three were run at 20.3 and 20.6.
    assert_eq!(curve.saturation.map(|s| (s.request_rate, s.band)), Some((20.0, [20.0, 20.6])));
    assert_eq!(curve.saturation.and_then(|s| s.next_failing_verdict), Some(Verdict::Overloaded));
    // A missed limit is told from an overload.
    assert_eq!(curve.capacity.and_then(|c| c.next_failing_verdict), Some(Verdict::Stable));
    assert!(curve.points.len() > 24 && curve.points.iter().all(|point| point.num_seeds == 3));
    assert_eq!((curve.num_requests, curve.recorded_rate), (2000, None));
    let of = |stages: &[Stage]| made.iter().filter(|trial| stages.contains(&trial.stage)).count();
    let searched = of(&[Stage::Probe, Stage::Bisection, Stage::Extension]);
    assert!(searched * 4 <= 72, "{searched} trials of the searches");
    // A rung of the step time and one of a setting fail with the first seed, another holds with every seed.
    assert_eq!(of(&[Stage::Ablation]), 5);
    let first = made.iter().position(|trial| trial.stage == Stage::Ablation).expect("there are some");
    assert!(made[first..].iter().all(|trial| trial.stage == Stage::Ablation), "the curve stands first");
    // 15.4 × 1.25 = 19.25 ≤ 19.5 < 15.4 × 1.5.
    assert_eq!(curve.binding, Some(Limiter::MaxNumSeqs));
    assert_eq!(curve.levers[0], (Limiter::MaxNumSeqs, 1.25));
    assert!(!made.iter().any(|trial| trial.relaxed == Some(Limiter::KvBlocks)), "it never stopped admission");
}

#[test]
fn where_runs_are_too_short_to_tell_the_search_makes_longer_ones() {
    let (curve, made) = run_on(hesitant, full(), 2, 9);
    let saturation = curve.saturation.expect("searched");
    // As without the hesitation: with every seed up to 20, within 2.5 %, and a reason that is known.
    assert!(saturation.is_final && saturation.request_rate <= 20.0, "{saturation:?}");
    assert!(saturation.next_failing_rate.is_some_and(|high| high > 20.0 && high <= saturation.request_rate * 1.025));
    assert_eq!(saturation.next_failing_verdict, Some(Verdict::Overloaded));
    let longer: Vec<&CurveTrial> = made.iter().filter(|trial| trial.stage == Stage::Extension).collect();
    assert!(!longer.is_empty() && longer.iter().all(|trial| trial.num_requests == 8000));
    assert!(longer.len() <= 24, "{} longer runs", longer.len());
    // A point is over longer runs with every seed or with none.
    assert!(curve.points.iter().all(|point| point.num_seeds == 3));
    // And it tells which.
    for point in &curve.points {
        let is_longer = longer.iter().any(|trial| trial.request_rate == point.request_rate);
        assert_eq!(point.is_longer, is_longer, "{}", point.request_rate);
    }
    for (workers, seed) in [(1, 0), (8, 3), (100, 4)] {
        let (other, made) = run_on(hesitant, full(), workers, seed);
        assert_eq!(std::format!("{other:?}"), std::format!("{curve:?}"), "{workers} workers");
        assert_eq!(made.iter().filter(|trial| trial.stage == Stage::Extension).count(), longer.len());
    }
}

#[test]
fn above_a_known_overload_nothing_is_undecided() {
    // Ordinary runs are too short at some higher rates, which the search does not look at.
    let curve = run_changed(full(), |trial, sample| {
        if (24.0..28.0).contains(&trial.request_rate) {
            sample.verdict = Verdict::Undecided;
        }
    });
    assert_eq!(curve.saturation.and_then(|found| found.next_failing_verdict), Some(Verdict::Overloaded));
    let above: Vec<_> = curve.points.iter().filter(|point| point.request_rate > 21.0).collect();
    assert!(above.len() > 4 && above.iter().all(|point| point.verdict == Verdict::Overloaded));
}

#[test]
fn what_longer_runs_do_not_decide_either_stays_undecided() {
    let never = |trial: &CurveTrial| {
        let is_near = (18.0..22.0).contains(&trial.request_rate);
        let sample = outcome(trial);
        PointSample { verdict: if is_near { Verdict::Undecided } else { sample.verdict }, ..sample }
    };
    let (curve, made) = run_on(never, full(), 2, 9);
    assert!(curve.is_complete);
    let saturation = curve.saturation.expect("searched");
    assert!(saturation.request_rate < 18.0, "{saturation:?}");
    assert_eq!(saturation.next_failing_verdict, Some(Verdict::Undecided));
    let mut longer: Vec<_> = made.iter().filter(|trial| trial.stage == Stage::Extension).map(key).collect();
    assert!(!longer.is_empty());
    longer.sort_unstable();
    assert!(longer.windows(2).all(|pair| pair[0] != pair[1]), "a longer run is made once");
    assert!(curve.points.iter().any(|point| point.is_longer));
    // A trace of 900 requests has no more for a longer run.
    let exhausted = run_changed(full(), |trial, sample| {
        *sample = PointSample { measured_requests: 900, ..never(trial) };
    });
    assert!(exhausted.points.iter().all(|point| !point.is_longer));
}

#[test]
fn a_coarse_study_goes_on_into_the_full_one() {
    let scenario = scenario();
    let mut follow = CurveStudy::new(&scenario, CurvePlan::follow(), None);
    while let Ask::Trial(trial) = follow.ask() {
        follow.tell(&trial, outcome(&trial));
    }
    let coarse = follow.snapshot();
    assert!(coarse.is_complete && coarse.points.len() == 12 && coarse.levers.is_empty());
    assert_eq!(coarse.capacity.map(|c| (c.request_rate, c.next_failing_rate)), Some((15.0, Some(17.5))));
    let (refined, made) = run(follow.refined(CurvePlan::full(&scenario.curve)), 2, 1);
    let (fresh, all) = run(full(), 2, 1);
    assert_eq!(refined, fresh);
    assert_eq!(made.len() + 13, all.len());
}

#[test]
fn a_large_batch_makes_longer_runs() {
    let mut study = full();
    let Ask::Trial(probe) = study.ask() else { panic!("a probe comes first") };
    study.tell(&probe, PointSample { mean_running: 512.0, ..outcome(&probe) });
    let Ask::Trial(trial) = study.ask() else { panic!("then the grid") };
    assert_eq!(trial.num_requests, 4000);
    assert_eq!(study.snapshot().num_requests, 4000);
}

#[test]
fn outcomes_nobody_asked_for_are_ignored() {
    let mut study = full();
    let Ask::Trial(probe) = study.ask() else { panic!("a probe comes first") };
    let stranger = CurveTrial { stage: Stage::Grid, request_rate: 5.0, ..probe };
    study.tell(&stranger, outcome(&stranger));
    assert!(study.snapshot().points.is_empty());
    study.tell(&probe, outcome(&probe));
    study.tell(&probe, PointSample { request_throughput: 900.0, ..outcome(&probe) });
    assert_eq!(study.snapshot().range_per_s, [1.25, 30.0]);
}

#[test]
fn nothing_holding_and_everything_holding_are_told_apart() {
    let mut strict = scenario();
    strict.slo.ttft_ms = Some(1.0);
    let study = CurveStudy::new(&strict, CurvePlan::full(&strict.curve), None);
    let (curve, _) = run(study, 2, 1);
    let capacity = curve.capacity.expect("searched");
    assert!(capacity.is_final && capacity.request_rate == 0.0);
    // The axis begins at 1.25, and four steps of a quarter below it.
    assert_eq!(capacity.next_failing_rate.map(|rate| (rate * 1e5) as u32), Some(488));
    assert_eq!((curve.binding, curve.levers.len()), (None, 0));
    // A limit that is kept to 30 · 0.4 / 15.4 ms, i.e. to 0.4 requests/s.
    strict.slo.ttft_ms = None;
    strict.slo.tpot_ms = Some(30.0 * 0.4 / 15.4 + 1e-9);
    let below = |range| {
        let mut scenario = strict.clone();
        scenario.curve.range_per_s = range;
        run(CurveStudy::new(&scenario, CurvePlan::full(&scenario.curve), None), 2, 1).0.capacity.expect("searched")
    };
    let found = below(None);
    assert!(found.is_final && found.request_rate <= 0.4 && found.request_rate > 0.39, "{found:?}");
    // Where the scenario says where to look, nowhere else.
    let found = below(Some([1.0, 10.0]));
    assert!(found.is_final && found.request_rate == 0.0 && found.next_failing_rate == Some(1.0), "{found:?}");
    let mut narrow = scenario();
    narrow.curve.range_per_s = Some([1.0, 10.0]);
    let (curve, _) = run(CurveStudy::new(&narrow, CurvePlan::full(&narrow.curve), None), 2, 1);
    let capacity = curve.capacity.expect("searched");
    assert!(!capacity.is_final && capacity.request_rate == 10.0 && capacity.next_failing_rate.is_none());
}

/// Runs a study with outcomes changed by `change`.
fn run_changed(mut study: CurveStudy, change: impl Fn(&CurveTrial, &mut PointSample)) -> Curve {
    while let Ask::Trial(trial) = study.ask() {
        let mut sample = outcome(&trial);
        change(&trial, &mut sample);
        study.tell(&trial, sample);
    }
    study.snapshot()
}

#[test]
fn undecided_is_not_told_as_failing() {
    let curve = run_changed(full(), |_, sample| sample.verdict = Verdict::Undecided);
    for found in [curve.saturation, curve.capacity].map(|found| found.expect("searched")) {
        assert_eq!((found.request_rate, found.next_failing_rate), (0.0, None));
        assert_eq!(found.next_failing_verdict, Some(Verdict::Undecided));
    }
    // Above 10 nothing is decided, but where the second seed is.
    let undecided = |trial: &CurveTrial, sample: &mut PointSample| {
        if trial.request_rate > 10.0 {
            let is_decided = trial.request_rate > 11.0 && trial.replicate == 1;
            sample.verdict = if is_decided { Verdict::Overloaded } else { Verdict::Undecided };
        }
    };
    let capacity = run_changed(full(), undecided).capacity.expect("searched");
    assert_eq!((capacity.request_rate, capacity.next_failing_verdict), (10.0, Some(Verdict::Undecided)));
    assert!(capacity.next_failing_rate.is_some_and(|rate| rate > 10.0 && rate <= 10.25));
    let mut narrow = scenario();
    narrow.curve.range_per_s = Some([10.0, 56.0]);
    narrow.curve.num_rates = 24;
    let study = CurveStudy::new(&narrow, CurvePlan { bisects: false, ..CurvePlan::full(&narrow.curve) }, None);
    let capacity = run_changed(study, undecided).capacity.expect("searched");
    assert_eq!((capacity.next_failing_rate, capacity.next_failing_verdict), (Some(12.0), Some(Verdict::Overloaded)));
}

#[test]
fn points_are_over_the_same_seeds_at_all_times() {
    let mut study = full();
    let mut most = 0;
    while let Ask::Trial(trial) = study.ask() {
        study.tell(&trial, outcome(&trial));
        let points = study.snapshot().points;
        assert!(points.windows(2).all(|pair| pair[0].num_seeds == pair[1].num_seeds));
        assert!(points.len() >= most, "no point goes away");
        most = points.len();
    }
}

#[test]
fn a_recorded_rate_is_on_the_grid_and_on_a_chosen_axis() {
    let of = |scenario: &ResolvedScenario, rate: f64| {
        let mut study = CurveStudy::new(scenario, CurvePlan::full(&scenario.curve), Some(rate));
        while let Ask::Trial(trial) = study.ask() {
            study.tell(&trial, outcome(&trial));
            let (told, expected) = study.progress();
            assert!(told <= expected);
        }
        study.snapshot()
    };
    for (rate, range) in [(0.3, [0.3, 30.0]), (7.7, [1.25, 30.0]), (33.3, [2.0, 48.0])] {
        let curve = of(&scenario(), rate);
        assert_eq!((curve.recorded_rate, curve.range_per_s), (Some(rate), range));
        assert!(curve.points.iter().any(|point| point.request_rate == rate));
        // The other rates stay round.
        assert!(curve.points.iter().any(|point| point.request_rate == range[1] / 4.0));
    }
    let mut narrow = scenario();
    narrow.curve.range_per_s = Some([1.0, 10.0]);
    assert_eq!(of(&narrow, 3.7).recorded_rate, Some(3.7));
    let curve = of(&narrow, 30.0);
    assert_eq!((curve.recorded_rate, curve.range_per_s), (None, [1.0, 10.0]));
    assert_eq!(of(&scenario(), f64::NAN).recorded_rate, None);
}

#[test]
fn a_lever_holds_with_every_seed_and_undecided_does_not_count() {
    let factor = |curve: &Curve| {
        curve.levers.iter().find(|(limiter, _)| *limiter == Limiter::MaxNumSeqs).map_or(f64::NAN, |(_, factor)| *factor)
    };
    let is_relaxed = |trial: &CurveTrial| trial.relaxed == Some(Limiter::MaxNumSeqs);
    // The third seed gains nothing.
    let unlucky = |trial: &CurveTrial, sample: &mut PointSample| {
        if is_relaxed(trial) && trial.replicate == 2 {
            sample.attainment = 0.0;
        }
    };
    let curve = run_changed(full(), unlucky);
    assert_eq!((factor(&curve), curve.binding), (1.0, Some(Limiter::StepTime)));
    // Undecided whatever the length: not known, and no lever is named on it.
    let undecided = |trial: &CurveTrial, sample: &mut PointSample| {
        if trial.relaxed.is_some() {
            sample.verdict = Verdict::Undecided;
        }
    };
    assert_eq!(factor(&run_changed(full(), undecided)), 1.0);
    // A larger batch takes longer to settle, and its runs are longer.
    let hesitant = |trial: &CurveTrial, sample: &mut PointSample| {
        if is_relaxed(trial) && trial.num_requests < 4000 {
            sample.verdict = Verdict::Undecided;
        }
    };
    let curve = run_changed(full(), hesitant);
    assert_eq!((factor(&curve), curve.binding), (1.25, Some(Limiter::MaxNumSeqs)));
}

#[test]
fn a_setting_that_gives_something_comes_before_shorter_steps() {
    // Twice the sequences hold one rung above the capacity, shorter steps every rung.
    let curve = run_changed(full(), |trial, sample| match trial.relaxed {
        Some(Limiter::MaxNumSeqs) if trial.request_rate > 15.4 * 1.2 => sample.verdict = Verdict::Overloaded,
        Some(_) => (sample.verdict, sample.tpot) = (Verdict::Stable, SamplePercentiles::default()),
        None => {}
    });
    assert_eq!(curve.levers[..2], [(Limiter::MaxNumSeqs, 1.125), (Limiter::StepTime, 1.5)]);
    assert_eq!(curve.binding, Some(Limiter::MaxNumSeqs));
    assert!(curve.levers[2..].iter().all(|(_, factor)| *factor == 1.0));
}

#[test]
fn equal_levers_are_ordered_by_what_stops_admission() {
    // Everything holds with anything relaxed, so all factors are those of the top of the ladder.
    let with = |kv_blocks: f64, max_num_seqs: f64| {
        run_changed(full(), |trial, sample| {
            sample.limiters = LimiterShares { none: 0.0, kv_blocks, max_num_seqs, ..LimiterShares::default() };
            sample.preemptions_per_request = 0.1;
            if trial.relaxed.is_some() {
                (sample.verdict, sample.tpot) = (Verdict::Stable, SamplePercentiles::default());
            }
        })
    };
    let curve = with(0.7, 0.3);
    assert_eq!(
        curve.levers,
        [Limiter::KvBlocks, Limiter::MaxNumSeqs, Limiter::StepTime]
            .map(|l| (l, 1.5))
            .to_vec()
            .into_iter()
            .chain([(Limiter::MaxNumBatchedTokens, 1.0)])
            .collect::<Vec<_>>()
    );
    assert_eq!(with(0.3, 0.7).binding, Some(Limiter::MaxNumSeqs));
    // Preempting stops nobody, but memory that gives something binds.
    assert_eq!(with(0.0, 0.0).binding, Some(Limiter::KvBlocks));
}
