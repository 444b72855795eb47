//! One run, watched closely: every request's life, and each replica over simulated time.

use super::series::{Series, SeriesLog};
use super::{Collector, Decision};
use crate::observation::{AdmissionDecision, Event, Fate, Observer, QueueSample, RequestRecord, RoutingDecision};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Bins of all replicas' series together, and fewest and most of one replica.
const ALL_BINS: usize = 8192;
const BINS: [usize; 2] = [64, 256];

/// What a request is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// On its way to a replica: admission and routing take time.
    OnItsWay,
    /// In a replica's queue for the first time.
    Queued,
    /// Its prompt is being computed.
    Prefill,
    /// Its output is being produced.
    Decode,
    /// It lost its place and waits again.
    Preempted,
}

/// A request's life.
#[derive(Debug, Clone, PartialEq)]
pub struct Life {
    /// Everything known about it at the end.
    pub record: RequestRecord,
    /// What it did from when on, microseconds, in order; the first entry is its arrival.
    pub phases: Vec<(i64, Phase)>,
    /// When it was over, microseconds: the end of its last step, or the tick that settled it.
    pub end: i64,
    /// Prompt tokens found in the prefix cache at its last admission.
    pub cached_tokens: u32,
    /// How often it lost its place.
    pub num_preemptions: u32,
}

/// One replica over simulated time.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplicaSeries {
    /// Requests waiting.
    pub waiting: Series,
    /// Requests in the batch.
    pub running: Series,
    /// KV blocks in use.
    pub used_blocks: Series,
}

/// What was seen of a run.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Watched {
    /// Every request, by arrival; equal ones by number.
    pub lives: Vec<Life>,
    /// Width of the series' bins, microseconds; they begin at time zero.
    pub bin_us: i64,
    /// Each replica.
    pub replicas: Vec<ReplicaSeries>,
    /// Every decision in the order made.
    pub decisions: Vec<Decision>,
}

/// Watches a run and collects its report.
///
/// # Cost
/// About 200 bytes for each request and 50 for each decision; the series are of constant size.
#[derive(Debug)]
pub struct RunWatch {
    collector: Collector,
    replica: usize,
    logs: Vec<ReplicaLog>,
    under_way: BTreeMap<u32, Unfinished>,
    records: Vec<RequestRecord>,
}

#[derive(Debug, Clone)]
struct ReplicaLog {
    waiting: SeriesLog,
    running: SeriesLog,
    used_blocks: SeriesLog,
    /// End of what is told so far.
    end: i64,
}

/// What is known of a request from events alone.
#[derive(Debug, Clone, Default)]
struct Unfinished {
    changes: Vec<(i64, Phase)>,
    end: Option<i64>,
    cached_tokens: u32,
    num_preemptions: u32,
}

impl RunWatch {
    /// Watches a run of `num_replicas`; the collector collects as without it.
    #[must_use]
    pub fn new(collector: Collector, num_replicas: u32) -> Self {
        let num_replicas = num_replicas.max(1) as usize;
        let bins = (ALL_BINS / num_replicas).clamp(BINS[0], BINS[1]);
        let log = || SeriesLog::new(bins);
        let replica = || ReplicaLog { waiting: log(), running: log(), used_blocks: log(), end: 0 };
        Self {
            collector,
            replica: 0,
            logs: core::iter::repeat_with(replica).take(num_replicas).collect(),
            under_way: BTreeMap::new(),
            records: Vec::new(),
        }
    }

    /// Requests whose fate is settled.
    #[must_use]
    pub fn num_settled(&self) -> u64 {
        self.records.len() as u64
    }

    /// What was seen, and the collector for the report.
    #[must_use]
    pub fn into_parts(mut self) -> (Watched, Collector) {
        let decisions = self.collector.take_decisions();
        let mut under_way = self.under_way;
        let mut lives: Vec<Life> = core::mem::take(&mut self.records)
            .into_iter()
            .map(|record| life(record, under_way.remove(&record.request.id).unwrap_or_default()))
            .collect();
        lives.sort_by_key(|life| (life.record.request.arrive, life.record.request.id));
        let end = self.logs.iter().map(|log| log.end).max().unwrap_or(0);
        let own = |log: &ReplicaLog| [log.waiting.width(), log.running.width(), log.used_blocks.width()];
        let width = self.logs.iter().flat_map(own).max().unwrap_or(1);
        let num_bins = usize::try_from(end / width).unwrap_or(0) + 1;
        let replicas = self.logs.into_iter().map(|log| ReplicaSeries {
            waiting: log.waiting.series(width, num_bins),
            running: log.running.series(width, num_bins),
            used_blocks: log.used_blocks.series(width, num_bins),
        });
        (Watched { lives, bin_us: width, replicas: replicas.collect(), decisions }, self.collector)
    }

    fn change(&mut self, id: u32, time: i64, phase: Phase) {
        self.under_way.entry(id).or_default().changes.push((time, phase));
    }
}

/// Puts a life together; what was told out of order is put in order.
fn life(record: RequestRecord, mut known: Unfinished) -> Life {
    let arrive = record.request.arrive.0;
    known.changes.sort_by_key(|(time, _)| *time);
    let end = match record.fate {
        Fate::Completed | Fate::LengthCapped => known.end.unwrap_or(record.settled_at.0),
        _ => record.settled_at.0,
    };
    let end = end.max(arrive).max(known.changes.last().map_or(arrive, |(time, _)| *time));
    let mut phases = alloc::vec![(arrive, Phase::OnItsWay)];
    let mut was_admitted = false;
    for (time, phase) in known.changes {
        was_admitted |= phase == Phase::Prefill;
        phases.push((time.max(arrive), if phase == Phase::Queued && was_admitted { Phase::Preempted } else { phase }));
    }
    Life { record, phases, end, cached_tokens: known.cached_tokens, num_preemptions: known.num_preemptions }
}

impl Observer for RunWatch {
    fn settled(&mut self, record: &RequestRecord) {
        self.collector.settled(record);
        self.records.push(*record);
    }

    fn enqueued(&mut self, sample: &QueueSample) {
        self.collector.enqueued(sample);
    }

    fn enqueued_at(&mut self, replica: u32, sample: &QueueSample) {
        self.collector.enqueued_at(replica, sample);
    }

    fn admission(&mut self, decision: &AdmissionDecision) {
        self.collector.admission(decision);
    }

    fn routing(&mut self, decision: &RoutingDecision) {
        self.collector.routing(decision);
    }

    fn event(&mut self, event: &Event) {
        match *event {
            Event::Enqueue { time, id } => self.change(id, time.0, Phase::Queued),
            Event::Admit { time, id, cached_tokens } => {
                self.change(id, time.0, Phase::Prefill);
                self.under_way.entry(id).or_default().cached_tokens = cached_tokens;
            }
            Event::FirstToken { time, id } => self.change(id, time.0, Phase::Decode),
            Event::Preempt { time, id } => {
                self.change(id, time.0, Phase::Preempted);
                self.under_way.entry(id).or_default().num_preemptions += 1;
            }
            Event::Step { time, duration, running, waiting, used_blocks: [first, last], .. } => {
                let Some(log) = self.logs.get_mut(self.replica) else { return };
                let (start, end) = (time.0, time.0.saturating_add(duration.0));
                // Idle in between: nothing runs, nothing is held.
                if start > log.end {
                    log.waiting.add(log.end, start, 0, 0);
                    log.running.add(log.end, start, 0, 0);
                    log.used_blocks.add(log.end, start, 0, 0);
                }
                log.waiting.add(start, end, waiting, waiting);
                log.running.add(start, end, running, running);
                log.used_blocks.add(start, end, first, last);
                log.end = log.end.max(end);
            }
            // Told after the step that was its last, so that the replica's time is the end of that step.
            Event::Complete { id, .. } => {
                let end = self.logs.get(self.replica).map(|log| log.end);
                self.under_way.entry(id).or_default().end = end;
            }
            Event::Timeout { .. }
            | Event::Reject { .. }
            | Event::Route { .. }
            | Event::Arrive { .. }
            | Event::Drop { .. } => {}
        }
    }

    fn turn_to(&mut self, replica: u32) {
        self.replica = replica as usize;
    }

    fn wants_events(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Simulation;
    use crate::engine::Mode;
    use crate::fixtures;
    use crate::latency::LatencyModel;
    use crate::report::ReportSettings;
    use crate::scenario::{
        ClusterConfig, EngineConfig, LengthSettings, PriorityPolicy, RoutingConfig, Slo, WorkloadSettings,
    };
    use crate::time::SimTime;
    use crate::workload::Source;

    /// A run with hardly enough blocks, so that some requests lose their place.
    fn watched(mode: Mode, num_replicas: u32, num_blocks: u32) -> (Watched, crate::cluster::ClusterTotals) {
        let engine = EngineConfig { num_blocks, max_num_seqs: 16, max_num_batched_tokens: 256, ..fixtures::engine() };
        let workload = WorkloadSettings {
            input_tokens: LengthSettings::Normal { mean: 100.0, std_dev: 40.0, min: 2, max: 400 },
            output_tokens: LengthSettings::Normal { mean: 60.0, std_dev: 30.0, min: 2, max: 200 },
            ..WorkloadSettings::default()
        };
        // No overheads, so that reported times are those of the steps.
        let latency = LatencyModel::blackbox(&[0.0, 0.0, 0.0], &[1000.0, 10.0, 5.0]).expect("plain coefficients");
        let cluster = ClusterConfig { num_replicas, routing: RoutingConfig::LeastLoaded, ..ClusterConfig::single() };
        let settings = ReportSettings {
            slo: Slo::default(),
            slo_classes: Default::default(),
            priority: PriorityPolicy::Constant,
            num_replicas,
            num_blocks,
            time_share_names: &[],
            classes: Vec::new(),
            tenants: Vec::new(),
        };
        let source = Source::new(&workload, None, 400.0, 300, (7, 0), SimTime::MAX);
        let mut watch = RunWatch::new(Collector::streaming(settings).keeping_decisions(), num_replicas);
        let mut simulation = Simulation::new(&cluster, engine, latency, source, mode).tracing(2);
        while !simulation.run_for(1000, &mut watch) {}
        let totals = simulation.finish(&mut watch);
        (watch.into_parts().0, totals)
    }

    #[test]
    fn a_life_agrees_with_what_the_engine_reports() {
        let (watched, totals) = watched(Mode::Fast, 1, 60);
        assert_eq!(watched.lives.len(), 300);
        let preemptions: u64 = watched.lives.iter().map(|life| u64::from(life.num_preemptions)).sum();
        assert!(preemptions > 0, "the case has none");
        assert_eq!(preemptions, totals.total.preemptions);
        for life in &watched.lives {
            let arrive = life.record.request.arrive.0;
            assert!(life.phases.windows(2).all(|pair| pair[0].0 <= pair[1].0), "{life:?}");
            assert_eq!(life.phases[0], (arrive, Phase::OnItsWay));
            let last =
                |phase: Phase| life.phases.iter().rev().find(|(_, found)| *found == phase).map(|(time, _)| *time);
            let since = |time: Option<i64>| time.map(|time| SimTime(time - arrive));
            assert_eq!(since(last(Phase::Prefill)), life.record.scheduling_delay, "{life:?}");
            assert_eq!(since(last(Phase::Decode)), life.record.ttft, "{life:?}");
            assert_eq!(Some(SimTime(life.end - arrive)), life.record.e2e, "{life:?}");
            let num_preempted = life.phases.iter().filter(|(_, phase)| *phase == Phase::Preempted).count();
            assert_eq!(num_preempted, life.num_preemptions as usize);
        }
    }

    #[test]
    fn both_modes_are_seen_alike() {
        for (num_replicas, num_blocks) in [(1, 60), (3, 50)] {
            let (fast, _) = watched(Mode::Fast, num_replicas, num_blocks);
            let (step, totals) = watched(Mode::Step, num_replicas, num_blocks);
            assert_eq!(fast.lives, step.lives);
            assert_eq!(fast.decisions, step.decisions);
            assert_eq!(fast.bin_us, step.bin_us);
            for ((fast, step), totals) in fast.replicas.iter().zip(&step.replicas).zip(&totals.replicas) {
                assert_eq!((&fast.running.max, &fast.waiting.max), (&step.running.max, &step.waiting.max));
                let peak = |series: &Series| u64::from(series.max.iter().copied().max().unwrap_or(0));
                assert_eq!(peak(&step.used_blocks), totals.kv_peak);
                assert_eq!(peak(&fast.used_blocks), totals.kv_peak);
            }
        }
    }

    #[test]
    fn a_replica_s_batch_adds_up_to_its_running_sum() {
        let (watched, totals) = watched(Mode::Fast, 1, 10_000);
        let [replica] = watched.replicas.as_slice() else { panic!("one replica") };
        // Mean batch over busy time, against the requests' own residence from admission to end.
        let area: f64 = replica.running.mean.iter().map(|mean| f64::from(*mean) * watched.bin_us as f64).sum();
        let residence: i64 = watched
            .lives
            .iter()
            .map(|life| {
                life.end - life.record.request.arrive.0 - life.record.scheduling_delay.map_or(0, |delay| delay.0)
            })
            .sum();
        let end = totals.total.end.0;
        // The last bin's mean is over the part of it that the run reaches.
        let slack = f64::from(*replica.running.max.iter().max().expect("bins")) * watched.bin_us as f64;
        assert!((area - residence as f64).abs() <= slack, "{area} {residence} {end}");
    }
}
