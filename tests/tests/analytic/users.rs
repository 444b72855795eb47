//! Users who wait, against Little's law: what a report says of them cannot need more of them than there are.

use plimsoll_configs::catalog;
use plimsoll_core::cluster::simulate;
use plimsoll_core::engine::Mode;
use plimsoll_core::report::{Collector, Report, ReportSettings};
use plimsoll_core::scenario::{AcceleratorChoice, ClosedLoopSettings, LatencyModelChoice, ModelChoice, Scenario};
use plimsoll_core::workload::Source;

/// Rate times mean E2E of a run of `num_requests`, as the report says them.
fn seen_in_flight(scenario: &Scenario, num_requests: u32) -> f64 {
    let mut scenario = scenario.clone();
    scenario.workload.num_requests = num_requests;
    let resolved = scenario.resolve(catalog()).unwrap_or_else(|problems| panic!("{problems:?}")).value;
    let source = Source::of_run(&resolved.workload, None, resolved.seed, resolved.engine.horizon);
    let mut collector = Collector::streaming(ReportSettings::new(&resolved));
    let (cluster, engine) = (&resolved.cluster, resolved.engine);
    let totals = simulate(cluster, engine, resolved.latency, source, Mode::Fast, &mut collector);
    let summary = Report::new(collector, &totals).summary;
    assert_eq!(summary.completed_requests, u64::from(num_requests));
    summary.responses_per_sec * summary.e2e_mean_ms / 1000.0
}

/// Deployments whose clients add much to what the server takes: once up to 112 of 8 users seemed to wait.
#[test]
fn no_report_needs_more_users_than_there_are() {
    let table = include_str!("../../truth/users_who_wait.csv");
    let mut num_rows = 0;
    let mut closest = f64::INFINITY;
    for row in table.lines().skip(1) {
        let cells: Vec<&str> = row.split(',').collect();
        let [model, accelerator, tensor_parallel_size, users, _] = cells[..] else { panic!("{row}") };
        let users: u32 = users.parse().expect(row);
        let mut scenario = Scenario::default();
        scenario.deployment.model = ModelChoice::Id(model.into());
        scenario.deployment.accelerator = Some(AcceleratorChoice::Id(accelerator.into()));
        scenario.deployment.tensor_parallel_size = Some(tensor_parallel_size.parse().expect(row));
        scenario.latency.model = LatencyModelChoice::Blackbox;
        scenario.workload.closed_loop = Some(ClosedLoopSettings { concurrency: users, think_time_us: 0 });
        for num_requests in [20, 100, 800] {
            let in_flight = seen_in_flight(&scenario, num_requests);
            let users = f64::from(users);
            assert!(in_flight <= users * (1.0 + 1e-9), "{row}: {in_flight} of {users}, {num_requests} requests");
            closest = closest.min(users - in_flight);
        }
        num_rows += 1;
    }
    assert_eq!(num_rows, 43);
    assert!(closest < 0.1, "with no time to think nearly all wait at any time, but {closest} never do");
}
