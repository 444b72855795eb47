//! One run, watched.

use crate::host::Prepared;
use plimsoll_core::cluster::Simulation;
use plimsoll_core::engine::Mode;
use plimsoll_core::observation::{AdmissionDecision, Fate, RoutingDecision};
use plimsoll_core::report::{Collector, Decision, Life, Phase, Report, ReportSettings, RunWatch};
use plimsoll_core::scenario::ResolvedScenario;
use plimsoll_core::time::SimTime;
use plimsoll_core::workload::Source;
use plimsoll_protocol::lab::{DecisionColumns, Figure, ReplicaSeen, RequestColumns, RunSeen, RunSpec};

/// More requests make a run that no screen shows and no message should carry.
const MAX_REQUESTS: u32 = 50_000;

/// A run under way.
pub struct RunJob {
    parts: Option<(Simulation<Source>, RunWatch)>,
    num_requests: u64,
    num_settled: u64,
    num_blocks: u32,
    classes: Vec<String>,
    seed: u64,
}

impl RunJob {
    /// A run at its start.
    pub fn new(prepared: &Prepared, spec: &RunSpec) -> Self {
        let ResolvedScenario { engine, cluster, latency, workload, .. } = &prepared.resolved;
        let num_requests = spec.num_requests.min(MAX_REQUESTS);
        let seed = spec.seed.unwrap_or(prepared.resolved.seed);
        let trace = prepared.trace.as_ref();
        let source = Source::new(workload, trace, spec.request_rate, num_requests, (seed, 0), engine.horizon);
        let mut settings = ReportSettings::new(&prepared.resolved);
        settings.classes = source.classes().to_vec();
        settings.tenants = source.tenants().to_vec();
        let classes = settings.classes.clone();
        let collector = Collector::streaming(settings).keeping_decisions();
        let watch = RunWatch::new(collector, cluster.num_replicas);
        let source = source.behind(prepared.resolved.client, cluster.num_replicas);
        let simulation = Simulation::new(cluster, *engine, latency.clone(), source, Mode::Fast);
        let available = trace.map_or(u64::MAX, |trace| trace.requests().len() as u64);
        Self {
            parts: Some((simulation.tracing(spec.num_candidates), watch)),
            num_requests: u64::from(num_requests).min(available),
            num_settled: 0,
            num_blocks: engine.num_blocks,
            classes,
            seed,
        }
    }

    /// Requests settled, and offered in all.
    pub fn progress(&self) -> (u64, u64) {
        (self.num_settled, self.num_requests)
    }

    /// Goes on for about `max_steps`; what was seen when the run is over.
    pub fn advance(&mut self, max_steps: u64) -> Option<RunSeen> {
        let (simulation, watch) = self.parts.as_mut()?;
        let is_over = simulation.run_for(max_steps, watch);
        self.num_settled = watch.num_settled();
        if !is_over {
            return None;
        }
        let (simulation, mut watch) = self.parts.take()?;
        let totals = simulation.finish(&mut watch);
        let (watched, collector) = watch.into_parts();
        let report = Report::new(collector, &totals);
        let routed = routed(&watched.lives, totals.replicas.len());
        let whole = (totals.total.end.0.max(1)) as f64;
        let ratio = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
        let replicas = totals.replicas.iter().zip(watched.replicas).zip(routed);
        Some(RunSeen {
            figures: figures(&report, &watched.lives),
            verdict: Some(report.verdict),
            cut_off: report.cut_off_requests,
            seed: self.seed,
            end_us: watched.lives.iter().map(|life| life.end).max().unwrap_or(0),
            num_blocks: self.num_blocks,
            replicas: replicas
                .map(|((totals, series), routed)| ReplicaSeen {
                    routed,
                    completed: totals.completed,
                    preemptions: totals.preemptions,
                    busy_ratio: totals.busy as f64 / whole.max(totals.busy as f64),
                    kv_peak: ratio(totals.kv_peak as f64, f64::from(self.num_blocks)),
                    hit_ratio: totals.prefix_hit_ratio(),
                    series,
                })
                .collect(),
            bin_us: watched.bin_us,
            requests: request_columns(&watched.lives),
            decisions: decision_columns(&watched.decisions),
            summary: report.trace_summary,
            classes: core::mem::take(&mut self.classes),
        })
    }
}

/// Requests that reached each replica.
fn routed(lives: &[Life], num_replicas: usize) -> Vec<u64> {
    let mut routed = vec![0; num_replicas];
    for life in lives.iter().filter(|life| !matches!(life.record.fate, Fate::Rejected | Fate::InPipeline)) {
        if let Some(count) = routed.get_mut(life.record.replica as usize) {
            *count += 1;
        }
    }
    routed
}

fn figures(report: &Report, lives: &[Life]) -> Vec<Figure> {
    let figure = |name: &str, value: f64, unit: &str| Figure {
        name: name.into(),
        value,
        unit: unit.into(),
        is_of_survivors: false,
    };
    // Who was cut off is in no percentile; towards the SLO and in what the replicas held it counts.
    let is_of_survivors = report.cut_off_requests > 0;
    let latency = |name: &str, value: f64| Figure { is_of_survivors, ..figure(name, value, "ms") };
    let count = |fate: Fate| lives.iter().filter(|life| life.record.fate == fate).count() as f64;
    let preemptions: u64 = lives.iter().map(|life| u64::from(life.num_preemptions)).sum();
    let mut figures = vec![
        latency("TTFT p50", report.ttft.p50),
        latency("TTFT p99", report.ttft.p99),
        latency("TPOT p50", report.tpot.p50),
        latency("TPOT p99", report.tpot.p99),
        latency("E2E p50", report.e2e.p50),
        latency("E2E p99", report.e2e.p99),
        figure("SLO attainment", report.slo.slo_attainment, "%"),
        figure("KV usage, mean", report.kv.usage_mean, "%"),
        figure("Prefix hits", report.kv.prefix_cache_hit_rate.unwrap_or(report.kv.cache_hit_rate), "%"),
        figure("Preemptions", preemptions as f64, ""),
    ];
    let others = [
        ("Refused", Fate::Rejected),
        ("Timed out", Fate::TimedOut),
        ("Dropped", Fate::Dropped),
        ("Cut by length", Fate::LengthCapped),
    ];
    figures.extend(
        others
            .into_iter()
            .map(|(name, fate)| (name, count(fate)))
            .filter(|(_, count)| *count > 0.0)
            .map(|(name, count)| figure(name, count, "")),
    );
    if let Some(summary) = &report.trace_summary {
        figures.push(figure("Regret, mean", summary.mean_regret, ""));
        figures.push(figure("Regret, max", summary.max_regret, ""));
    }
    figures
}

fn request_columns(lives: &[Life]) -> RequestColumns {
    let micros = |time: Option<SimTime>| time.map_or(-1, |time| time.0);
    let mut columns = RequestColumns { first_change: vec![0], ..RequestColumns::default() };
    for life in lives {
        let record = &life.record;
        columns.id.push(record.request.id);
        columns.replica.push(record.replica);
        columns.input_tokens.push(record.request.input_tokens);
        columns.output_tokens.push(record.produced_tokens);
        columns.cached_tokens.push(life.cached_tokens);
        columns.preemptions.push(life.num_preemptions);
        columns.class.push(record.request.slo_class);
        columns.fate.push(fate(record.fate));
        columns.ttft.push(micros(record.ttft));
        columns.e2e.push(micros(record.e2e));
        columns.end.push(life.end);
        for (since, phase) in &life.phases {
            columns.since.push(*since);
            columns.phase.push(phase_index(*phase));
        }
        columns.first_change.push(u32::try_from(columns.since.len()).unwrap_or(u32::MAX));
    }
    columns
}

/// Position in `plimsoll_protocol::lab::PHASES`.
fn phase_index(phase: Phase) -> u8 {
    match phase {
        Phase::OnItsWay => 0,
        Phase::Queued => 1,
        Phase::Prefill => 2,
        Phase::Decode => 3,
        Phase::Preempted => 4,
    }
}

/// Position in `plimsoll_protocol::lab::FATES`.
fn fate(fate: Fate) -> u8 {
    match fate {
        Fate::Completed => 0,
        Fate::LengthCapped => 1,
        Fate::TimedOut => 2,
        Fate::Dropped => 3,
        Fate::StillQueued => 4,
        Fate::StillRunning => 5,
        Fate::InPipeline => 6,
        Fate::Rejected => 7,
    }
}

fn decision_columns(decisions: &[Decision]) -> DecisionColumns {
    let mut columns = DecisionColumns { first_candidate: vec![0], ..DecisionColumns::default() };
    for decision in decisions {
        match decision {
            Decision::Admission(decision) => admission(&mut columns, decision),
            Decision::Routing(decision) => routing(&mut columns, decision),
        }
        columns.first_candidate.push(u32::try_from(columns.candidate.len()).unwrap_or(u32::MAX));
    }
    columns
}

fn admission(columns: &mut DecisionColumns, decision: &AdmissionDecision) {
    columns.time.push(decision.time.0);
    columns.id.push(decision.id);
    columns.target.push(if decision.refused.is_some() { -2 } else { -1 });
    columns.reason.push(decision.refused.map_or_else(String::new, |reason| reason.to_string()));
    columns.regret.push(0.0);
}

fn routing(columns: &mut DecisionColumns, decision: &RoutingDecision) {
    columns.time.push(decision.time.0);
    columns.id.push(decision.id);
    columns.target.push(i32::try_from(decision.replica).unwrap_or(i32::MAX));
    columns.reason.push(decision.reason.to_string());
    columns.regret.push(decision.regret.unwrap_or(0.0));
    for candidate in &decision.candidates {
        let blocks = u64::from(candidate.used_blocks) + u64::from(candidate.free_blocks);
        columns.candidate.push(candidate.replica);
        columns.score.push(candidate.score);
        columns.waiting.push(candidate.waiting);
        columns.running.push(candidate.running);
        columns.in_flight.push(candidate.in_flight);
        columns.kv_percent.push((f64::from(candidate.used_blocks) * 100.0 / blocks.max(1) as f64) as f32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Host;
    use plimsoll_core::scenario::Scenario;
    use plimsoll_protocol::lab::{LabOutcome, LabSpec};
    use plimsoll_protocol::{JobId, Outcome, PROTOCOL_VERSION, Request, Response, Spec, decode, encode};

    fn seen(change: impl FnOnce(&mut Scenario), spec: RunSpec) -> RunSeen {
        let mut scenario = Scenario::default();
        change(&mut scenario);
        let spec = RunSpec { scenario: encode(&scenario).expect("writable"), ..spec };
        let request = encode(&LabSpec::Run(spec)).expect("writable");
        let (mut host, mut heard) = (Host::new("test"), Vec::new());
        let start = Request::Start { job: JobId(1), spec: Spec::Lab { request } };
        for request in [Request::Hello { protocol: PROTOCOL_VERSION, build: "test".into() }, start] {
            let text = encode(&request).expect("writable");
            host.receive(&text, None, 0.0, &mut |response| heard.push(response.clone()));
        }
        while host.run_slice(&|| 0.0, &mut |response| heard.push(response.clone())) {}
        let Some(Response::Finished { outcome: Outcome::Lab { answer }, .. }) = heard.pop() else {
            panic!("{heard:?}")
        };
        let LabOutcome::Run(seen) = decode(&answer).expect("an outcome") else { panic!("another outcome") };
        *seen
    }

    fn spec(num_requests: u32) -> RunSpec {
        RunSpec { scenario: String::new(), request_rate: 20.0, num_requests, seed: None, num_candidates: 2 }
    }

    #[test]
    fn every_request_is_at_one_replica_and_every_column_is_whole() {
        let seen = seen(|scenario| scenario.cluster.num_replicas = 3, spec(200));
        assert_eq!(seen.replicas.iter().map(|replica| replica.routed).collect::<Vec<_>>(), [67, 67, 66]);
        let requests = &seen.requests;
        let lengths =
            [requests.replica.len(), requests.class.len(), requests.fate.len(), requests.e2e.len(), requests.end.len()];
        assert_eq!((requests.id.len(), lengths), (200, [200; 5]));
        assert_eq!((requests.first_change.len(), requests.since.len()), (201, requests.phase.len()));
        assert_eq!(requests.first_change.last().map(|last| *last as usize), Some(requests.since.len()));
        // An admission and a routing decision for each, the latter with the two best candidates.
        let decisions = &seen.decisions;
        assert_eq!((decisions.time.len(), decisions.candidate.len()), (400, 400));
        assert_eq!(decisions.first_candidate.last(), Some(&400));
        assert_eq!(decisions.target.iter().filter(|target| **target == -1).count(), 200);
        assert_eq!(seen.summary.map(|summary| summary.admitted), Some(200));
        assert_eq!(seen.seed, Scenario::default().seed);
        let bins = seen.replicas[0].series.running.max.len();
        assert!((64..=257).contains(&bins) && bins as i64 * seen.bin_us >= seen.end_us, "{bins}");
    }

    #[test]
    fn whoever_is_refused_is_at_no_replica() {
        let seen = seen(
            |scenario| scenario.cluster.admission.policy = plimsoll_core::scenario::AdmissionPolicy::RejectAll,
            RunSpec { seed: Some(7), ..spec(50) },
        );
        assert_eq!((seen.replicas[0].routed, seen.seed), (0, 7));
        assert!(
            seen.requests
                .fate
                .iter()
                .all(|fate| plimsoll_protocol::lab::FATES[usize::from(*fate)] == "refused by admission")
        );
        assert!(seen.decisions.target.iter().all(|target| *target == -2));
    }

    #[test]
    fn what_leaves_out_requests_that_the_end_cut_off_is_marked() {
        // At 20 requests a second some 40 arrive in two seconds, and the last of them have no time to end.
        let cut = seen(|scenario| scenario.horizon_us = Some(2_000_000), spec(200));
        let has_ended =
            |fate: &u8| ["completed", "cut by length"].contains(&plimsoll_protocol::lab::FATES[usize::from(*fate)]);
        let unfinished = cut.requests.fate.iter().filter(|fate| !has_ended(fate)).count() as u64;
        assert!(unfinished > 0 && cut.cut_off == unfinished, "{} of {unfinished}", cut.cut_off);
        let marked: Vec<&str> =
            cut.figures.iter().filter(|figure| figure.is_of_survivors).map(|figure| figure.name.as_str()).collect();
        assert_eq!(marked, ["TTFT p50", "TTFT p99", "TPOT p50", "TPOT p99", "E2E p50", "E2E p99"]);
        let whole = seen(|_| {}, spec(200));
        assert!(whole.cut_off == 0 && whole.figures.iter().all(|figure| !figure.is_of_survivors));
    }

    #[test]
    fn users_who_wait_are_watched_without_a_rate() {
        let users = plimsoll_core::scenario::ClosedLoopSettings { concurrency: 4, think_time_us: 0 };
        let seen = seen(|scenario| scenario.workload.closed_loop = Some(users), spec(40));
        assert_eq!(seen.requests.id.len(), 40);
        let running = &seen.replicas[0].series.running;
        assert_eq!(running.max.iter().max(), Some(&4));
    }
}
