//! Workloads from their files to their reports: the ready specifications, closed loops, conversations.
#![cfg(not(target_arch = "wasm32"))]

use plimsoll_core::cluster::Simulation;
use plimsoll_core::engine::Mode;
use plimsoll_core::observation::{Fate, Observer, RequestRecord};
use plimsoll_core::scenario::{
    ArrivalSettings, ClientSettings, ClosedLoopSettings, LatencyModelChoice, LatencySettings, LengthSettings,
    ResolvedScenario, Scenario, SessionSettings, WorkloadSettings,
};
use plimsoll_core::workload::Source;
use plimsoll_tests::base_1;
use std::fs;
use std::path::Path;

/// Records in the order in which they were settled.
#[derive(Default)]
struct Records(Vec<RequestRecord>);

impl Observer for Records {
    fn settled(&mut self, record: &RequestRecord) {
        self.0.push(*record);
    }
}

fn resolved(scenario: &Scenario) -> ResolvedScenario {
    scenario.resolve(plimsoll_configs::catalog()).expect("the scenario resolves").value
}

/// The records and the end of a run, in seconds.
fn run(scenario: &ResolvedScenario, mode: Mode, slice: u64) -> (Vec<RequestRecord>, f64) {
    let source = Source::of_run(&scenario.workload, None, scenario.seed, scenario.engine.horizon);
    let mut records = Records::default();
    let mut simulation = Simulation::new(&scenario.cluster, scenario.engine, scenario.latency.clone(), source, mode);
    while !simulation.run_for(slice, &mut records) {}
    let totals = simulation.finish(&mut records);
    (records.0, totals.total.end.as_seconds())
}

/// The default deployment under a workload.
fn under(workload: WorkloadSettings) -> Scenario {
    Scenario { workload, ..base_1() }
}

#[test]
fn every_ready_specification_runs_alike_in_both_modes() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/workload-specs");
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).expect("the folder exists").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let text = fs::read_to_string(entry.path()).expect("readable");
        let read = plimsoll_formats::workload_spec_from_yaml(&text, &name).unwrap_or_else(|found| panic!("{found:?}"));
        assert_eq!(read.diagnostics, [], "{name}");
        assert!(text.starts_with("# "), "{name} says what it is");
        let mut scenario = Scenario { horizon_us: read.value.horizon_us, ..base_1() };
        scenario.workload = read.value.into_workload(100_000);
        // In a debug build the oracle takes its time.
        scenario.workload.num_requests = scenario.workload.num_requests.min(150);
        let resolved = resolved(&scenario);
        let (step, _) = run(&resolved, Mode::Step, u64::MAX);
        let (fast, _) = run(&resolved, Mode::Fast, 40);
        assert_eq!(step, fast, "{name}");
        assert!(step.iter().filter(|record| record.fate == Fate::Completed).count() > 100, "{name}");
        names.push(name);
    }
    names.sort();
    let expected = ["bursty-traffic", "closed-loop", "cohorts", "mixed-slo", "multi-turn-chat", "prefix-heavy"];
    let expected = expected.into_iter().chain(["unfair-tenants"]).map(|name| format!("{name}.yaml"));
    assert_eq!(names, expected.collect::<Vec<_>>());
}

/// Requests between arrival and the end of the step that finished them, all along a run.
fn most_in_flight(records: &[RequestRecord]) -> i32 {
    let mut changes: Vec<(i64, i32)> = Vec::new();
    for record in records {
        changes.push((record.request.arrive.0, 1));
        changes.push((record.settled_at.0, -1));
    }
    changes.sort_unstable();
    let mut now = 0;
    changes
        .into_iter()
        .map(|(_, change)| {
            now += change;
            now
        })
        .max()
        .unwrap_or(0)
}

#[test]
fn users_obey_the_law_of_interactive_response_times() {
    let lengths = |mean: f64| LengthSettings::Normal { mean, std_dev: mean / 3.0, min: 2, max: 4000 };
    for (concurrency, think_time_us) in [(1, 0), (24, 0), (24, 4_000_000), (300, 1_000_000)] {
        let workload = WorkloadSettings {
            num_requests: 6000,
            input_tokens: lengths(200.0),
            output_tokens: lengths(60.0),
            closed_loop: Some(ClosedLoopSettings { concurrency, think_time_us }),
            ..WorkloadSettings::default()
        };
        let mut scenario = under(workload);
        // Without overheads an answer is reported when its last step ends, which is when its user begins to think.
        scenario.latency = LatencySettings {
            model: LatencyModelChoice::Blackbox,
            fit: None,
            alpha: Some(vec![0.0; 3]),
            beta: Some(vec![6000.0, 20.0, 40.0]),
        };
        let resolved = resolved(&scenario);
        let (records, end) = run(&resolved, Mode::Fast, u64::MAX);
        assert_eq!(records.len(), 6000);
        assert!(records.iter().all(|record| record.fate == Fate::Completed));
        assert!(most_in_flight(&records) <= concurrency as i32, "{concurrency}");
        // X = U/(R + Z).
        let mean = records.iter().filter_map(|record| record.e2e).map(|e2e| e2e.as_seconds()).sum::<f64>() / 6000.0;
        let throughput = 6000.0 / end;
        let law = f64::from(concurrency) / (mean + think_time_us as f64 / 1e6);
        // Each user is cut once at the start and once at the end of its 6000/U cycles.
        let slack = 0.01 + 2.0 * f64::from(concurrency) / 6000.0;
        assert!((throughput / law - 1.0).abs() < slack, "{concurrency} users: {throughput} of {law}");
    }
}

#[test]
fn conversations_grow_by_what_was_said_and_find_it_in_the_cache() {
    let session = SessionSettings {
        max_rounds: 5,
        think_time_us: 500_000,
        accumulates: true,
        is_closed_loop: true,
        is_single: false,
    };
    let client = |session| ClientSettings {
        arrival: ArrivalSettings::Constant,
        input_tokens: LengthSettings::Constant { value: 160 },
        output_tokens: LengthSettings::Constant { value: 33 },
        session: Some(session),
        ..ClientSettings::default()
    };
    let workload = |session| WorkloadSettings {
        request_rate: 0.5,
        num_requests: 100,
        clients: vec![client(session)],
        ..WorkloadSettings::default()
    };
    let resolved = resolved(&under(workload(session)));
    let (records, _) = run(&resolved, Mode::Step, u64::MAX);
    assert_eq!((&records, records.len()), (&run(&resolved, Mode::Fast, 7).0, 100));
    // Each turn adds 160 tokens and the 32 of the answer that are in the cache.
    let mut prompts: Vec<u32> = records.iter().map(|record| record.request.input_tokens).collect();
    prompts.sort_unstable();
    prompts.dedup();
    assert_eq!(prompts, [160, 352, 544, 736, 928]);
    // A prompt of 160 takes as long in the fifth turn, 768 of whose 928 tokens are cached, as in the first, but for
    // attention over the longer context; a prompt of 928 new tokens takes several times as long.
    let ttft = |prompt: u32| {
        let of = records.iter().filter(|record| record.request.input_tokens == prompt).filter_map(|record| record.ttft);
        of.map(|ttft| ttft.0).min().expect("somebody was alone")
    };
    let mut fresh = under(workload(SessionSettings { max_rounds: 1, ..session }));
    fresh.workload.clients[0].input_tokens = LengthSettings::Constant { value: 928 };
    let (cold, _) = run(&self::resolved(&fresh), Mode::Fast, u64::MAX);
    let cold = cold.iter().filter_map(|record| record.ttft).map(|ttft| ttft.0).min().expect("served");
    assert!(ttft(928) < ttft(160) + (cold - ttft(160)) / 4, "{} of {} and {cold}", ttft(928), ttft(160));
}
