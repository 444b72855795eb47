//! One run of a curve: from a trial to its sample.

mod evidence;

use super::types::{ClassSample, CurveTrial, Limiter, PointSample, SamplePercentiles, Stage};
use super::users::UsersTrial;
use crate::cluster::Simulation;
use crate::engine::Mode;
use crate::numeric::{SampleSummary, select_percentiles, sort_by_key};
use crate::observation::{Fate, Observer, QueueSample, ReplicaTotals, RequestRecord};
use crate::report::{
    Asked, Assessment, ClassLimits, LatencyStats, Residence, Verdict, assess_settled, class_name, gap_summary,
    limiter_shares, time_shares,
};
use crate::scenario::{AdmissionConfig, ResolvedScenario, Slo};
use crate::time::{SimTime, truncate};
use crate::workload::{Outcome, PrefixTree, Request, RequestSource, Source, Trace};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// How much shorter steps are taken to be when [`Limiter::StepTime`] is relaxed: a fifth, i.e. 1.25 times the speed.
pub(super) const STEP_SPEED_UP: f64 = 1.25;

/// One run of a curve, resumable.
pub struct TrialRun {
    simulation: Option<Simulation<TrialSource>>,
    log: RunLog,
    context: Context,
}

/// What is needed to make a sample of a finished run.
struct Context {
    slo: Slo,
    /// Per-request limits, in the times of the run.
    limits: ClassLimits,
    /// Names of the SLO classes by index.
    class_names: Vec<String>,
    /// KV blocks of all replicas.
    num_blocks: f64,
    time_share_names: &'static [&'static str],
    /// Requests per second that the run was offered, in its own times.
    offered_rate: f64,
    /// Factor on all times of the sample: below 1 where a faster deployment is told by a slower one.
    time_scale: f64,
    stage: Stage,
}

impl TrialRun {
    /// A run at its start.
    ///
    /// It ends when everything that arrived has been served; a horizon of the scenario does not cut it. With a trace
    /// its first `num_requests` requests are replayed, the whole scaled to the trial's rate.
    #[must_use]
    pub fn new(scenario: &ResolvedScenario, trace: Option<&Arc<Trace>>, trial: &CurveTrial) -> Self {
        Self::reusing(TrialBuffers::default(), scenario, trace, trial)
    }

    /// [`TrialRun::new`] with the memory of a run that is over.
    #[must_use]
    pub fn reusing(
        buffers: TrialBuffers,
        scenario: &ResolvedScenario,
        trace: Option<&Arc<Trace>>,
        trial: &CurveTrial,
    ) -> Self {
        let mut engine = scenario.engine;
        engine.horizon = SimTime::MAX;
        let mut time_scale = 1.0;
        match trial.relaxed {
            None => {}
            Some(Limiter::MaxNumSeqs) => engine.max_num_seqs = engine.max_num_seqs.saturating_mul(2),
            Some(Limiter::MaxNumBatchedTokens) => {
                engine.max_num_batched_tokens = engine.max_num_batched_tokens.saturating_mul(2)
            }
            Some(Limiter::KvBlocks) => engine.num_blocks = engine.num_blocks.saturating_mul(2),
            // A deployment whose every time is a fifth shorter, at this rate, is this one at the slower rate with all
            // times multiplied: nothing but the unit of time differs.
            Some(Limiter::StepTime) => time_scale = 1.0 / STEP_SPEED_UP,
        }
        let rate = trial.request_rate * time_scale;
        let draw = (scenario.seed, trial.replicate);
        let drawn_rate = match trace {
            // A burst has no rate.
            None if trial.stage != Stage::Probe => {
                Source::drawn_rate(&scenario.workload, rate, trial.num_requests, draw)
            }
            _ => rate,
        };
        let requests = Source::new(&scenario.workload, trace, drawn_rate, trial.num_requests, draw, SimTime::MAX);
        // Nobody gives up in a probe, and nobody is refused: it asks how fast the deployment is, not how patient its
        // clients are nor how many of them it lets in.
        let is_probe = trial.stage == Stage::Probe;
        let mut cluster = scenario.cluster.clone();
        if is_probe {
            cluster.admission = AdmissionConfig::AlwaysAdmit;
        }
        let limits = ClassLimits::new(&scenario.slo, &scenario.slo_classes, requests.classes(), 1.0 / time_scale);
        let class_names = requests.classes().to_vec();
        let patience = if is_probe { f64::INFINITY } else { 1.0 / time_scale };
        let requests = requests.behind(scenario.client, cluster.num_replicas);
        let source = TrialSource { requests, patience };
        Self {
            simulation: Some(
                // The window begins in the first half.
                Simulation::new(&cluster, engine, scenario.latency.clone(), source, Mode::Fast)
                    .measuring(trial.num_requests / 2 + 2),
            ),
            log: buffers.0.emptied(trial.num_requests),
            context: Context {
                slo: scenario.slo.clone(),
                limits,
                class_names,
                num_blocks: f64::from(engine.num_blocks) * f64::from(cluster.num_replicas),
                time_share_names: scenario.latency.time_share_names(),
                offered_rate: trace.map_or(rate, |trace| trace.offered_rate(rate, trial.num_requests)),
                time_scale,
                stage: trial.stage,
            },
        }
    }

    /// A run with this many users in place of the scenario's; they are offered no rate that they could fall behind.
    #[must_use]
    fn of_users(scenario: &ResolvedScenario, trial: &UsersTrial) -> Self {
        let UsersTrial { users, replicate, num_requests } = *trial;
        let mut scenario = scenario.clone();
        scenario.workload = scenario.workload.with_users(users);
        let stage = Stage::Grid;
        let trial = CurveTrial { id: 0, stage, request_rate: 1.0, replicate, num_requests, relaxed: None };
        let mut run = Self::new(&scenario, None, &trial);
        run.context.offered_rate = 0.0;
        run
    }

    /// Runs on for about `max_steps` engine steps; the sample when the run is over, and none after it was given.
    pub fn run_for(&mut self, max_steps: u64) -> Option<PointSample> {
        let simulation = self.simulation.as_mut()?;
        if !simulation.run_for(max_steps, &mut self.log) {
            return None;
        }
        let window = self.context.window(&self.log);
        let totals = self.simulation.take()?.finish_from(window.start, &mut self.log);
        Some(self.context.sample(&self.log, &window, &totals.total))
    }

    /// The memory of this run, for another.
    #[must_use]
    pub fn into_buffers(self) -> TrialBuffers {
        TrialBuffers(self.log)
    }
}

/// Memory that runs hand on: a fresh page costs a system more than what a run writes on it.
#[derive(Default)]
pub struct TrialBuffers(RunLog);

/// Does one run of a curve at once.
#[must_use]
pub fn run_trial(scenario: &ResolvedScenario, trace: Option<&Arc<Trace>>, trial: &CurveTrial) -> PointSample {
    run_trial_in(&mut TrialBuffers::default(), scenario, trace, trial)
}

/// [`run_trial`] with the memory of the runs before.
#[must_use]
pub fn run_trial_in(
    buffers: &mut TrialBuffers,
    scenario: &ResolvedScenario,
    trace: Option<&Arc<Trace>>,
    trial: &CurveTrial,
) -> PointSample {
    let mut run = TrialRun::reusing(core::mem::take(buffers), scenario, trace, trial);
    loop {
        if let Some(sample) = run.run_for(u64::MAX) {
            *buffers = run.into_buffers();
            return sample;
        }
    }
}

/// Does one run of a curve over users at once.
#[must_use]
pub fn run_users_trial(scenario: &ResolvedScenario, trial: &UsersTrial) -> PointSample {
    let mut run = TrialRun::of_users(scenario, trial);
    loop {
        if let Some(sample) = run.run_for(u64::MAX) {
            return sample;
        }
    }
}

struct TrialSource {
    requests: Source,
    /// Factor on the time from arrival to deadline; infinite = nobody ever gives up.
    patience: f64,
}

impl RequestSource for TrialSource {
    #[inline]
    fn next_request(&mut self) -> Option<Request> {
        let mut request = self.requests.next_request()?;
        if self.patience != 1.0 && request.deadline > SimTime::ZERO {
            let stretched = (request.deadline.0 - request.arrive.0) as f64 * self.patience;
            let deadline = request.arrive.0.saturating_add(truncate(stretched)).max(1);
            request.deadline = if self.patience.is_finite() { SimTime(deadline) } else { SimTime::ZERO };
        }
        Some(request)
    }

    fn prefixes(&self) -> &PrefixTree {
        self.requests.prefixes()
    }

    #[inline]
    fn is_closed_loop(&self) -> bool {
        self.requests.is_closed_loop()
    }

    fn next_arrival(&self) -> Option<SimTime> {
        self.requests.next_arrival()
    }

    fn settled(&mut self, outcome: &Outcome) {
        self.requests.settled(outcome);
    }
}

/// What a sample needs of each request.
#[derive(Clone, Copy)]
struct Settled {
    arrive: SimTime,
    settled_at: SimTime,
    /// TTFT and end-to-end latency of a finished request.
    latency: Option<(SimTime, SimTime)>,
    /// Whether the admission policy refused it.
    is_refused: bool,
    /// Arrival to last admission.
    delay: SimTime,
    output_tokens: u32,
    slo_class: u16,
}

/// A run's requests and queue.
#[derive(Default)]
struct RunLog {
    settled: Vec<Settled>,
    queue: Vec<QueueSample>,
    last_arrival: SimTime,
    /// Requests the admission policy refused.
    refused: u32,
}

impl RunLog {
    /// A log of no request, with room for so many.
    fn emptied(mut self, num_requests: u32) -> Self {
        self.settled.clear();
        self.queue.clear();
        // A trace may be shorter than asked for, so the capacity is a hint only.
        let capacity = num_requests.min(1 << 16) as usize;
        self.settled.reserve(capacity);
        self.queue.reserve(capacity);
        Self { last_arrival: SimTime(i64::MIN), refused: 0, ..self }
    }
}

impl Observer for RunLog {
    #[inline]
    fn settled(&mut self, record: &RequestRecord) {
        let latency = match record.fate {
            Fate::Completed | Fate::LengthCapped => record.ttft.zip(record.e2e),
            _ => None,
        };
        let is_refused = record.fate == Fate::Rejected;
        self.refused += u32::from(is_refused);
        self.last_arrival = self.last_arrival.max(record.request.arrive);
        let (arrive, settled_at) = (record.request.arrive, record.settled_at);
        let delay = record.scheduling_delay.unwrap_or(SimTime::ZERO);
        let (output_tokens, slo_class) = (record.produced_tokens, record.request.slo_class);
        self.settled.push(Settled { arrive, settled_at, latency, is_refused, delay, output_tokens, slo_class });
    }

    #[inline]
    fn enqueued(&mut self, sample: &QueueSample) {
        self.queue.push(*sample);
    }
}

impl Context {
    /// The measured window of a run in which everything that arrived is settled.
    fn window(&self, log: &RunLog) -> Assessment {
        // Whoever is refused is no load.
        let admitted = 1.0 - f64::from(log.refused) / log.settled.len().max(1) as f64;
        let mut residence = Residence::default();
        log.settled.iter().filter_map(|request| request.latency).for_each(|(_, e2e)| residence.add(e2e));
        let window = assess_settled(&log.queue, self.offered_rate * admitted, residence.time_scale());
        Assessment { end: window.end.max(log.last_arrival), ..window }
    }

    fn sample(&self, log: &RunLog, window: &Assessment, totals: &ReplicaTotals) -> PointSample {
        let sample = self.measured_sample(log, window, totals);
        if self.stage != Stage::Probe {
            return sample;
        }
        let request_throughput = burst_rate(log);
        let mean_running = request_throughput * residence_seconds(log);
        PointSample { verdict: Verdict::Undecided, request_throughput, mean_running, ..sample }
    }

    /// `totals` are of the window where they can be.
    fn measured_sample(&self, log: &RunLog, window: &Assessment, totals: &ReplicaTotals) -> PointSample {
        let measured = self.measure(log, window, None);
        let verdict = window.without(measured.lost.into(), (measured.requests - measured.refused).into()).verdict;
        let asked = Asked::new(&self.slo);
        let stats = |values: &mut Vec<u64>, per_micro: f64| {
            // Whole numbers, and far below 2⁵³ together: the order of addition does not matter.
            let sum = values.iter().map(|&v| v as f64).sum::<f64>();
            let percentiles = select_percentiles(values, &asked.percentiles, double);
            let summary = SampleSummary {
                count: values.len() as u64,
                sum,
                percentiles,
                is_exact: true,
                ..SampleSummary::default()
            };
            self.scaled(&asked.stats(&summary, per_micro))
        };
        let Measured { mut ttft, mut tpot, mut e2e, requests, attaining, completions, good_completions, .. } = measured;
        let seconds = SimTime(window.end.0.saturating_sub(window.start.0)).as_seconds() * self.time_scale;
        let per_second = |count: f64| if seconds > 0.0 { count / seconds } else { 0.0 };
        let inside = log.queue.partition_point(|sample| sample.time < window.start);
        let inside = &log.queue[inside..];
        let mean = |of: fn(&QueueSample) -> f64| {
            if inside.is_empty() { 0.0 } else { inside.iter().map(of).sum::<f64>() / inside.len() as f64 }
        };
        let tokens = match (inside.first(), inside.last()) {
            (Some(first), Some(last)) => last.output_tokens.saturating_sub(first.output_tokens) as f64,
            _ => 0.0,
        };
        let ratio = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
        let [ttft_stats, tpot_stats, e2e_stats] =
            [stats(&mut ttft, 1.0), stats(&mut tpot, 1000.0), stats(&mut e2e, 1.0)];
        let is_settling = matches!(self.stage, Stage::Capacity | Stage::Settling);
        PointSample {
            verdict,
            ttft: ttft_stats,
            tpot: tpot_stats,
            itl: self.scaled(&asked.stats(&gap_summary(totals, &asked.percentiles), 1.0)),
            e2e: e2e_stats,
            measured_requests: requests,
            request_throughput: per_second(f64::from(completions)),
            output_token_throughput: per_second(tokens),
            goodput: per_second(f64::from(good_completions)),
            attainment: ratio(f64::from(attaining), f64::from(requests)),
            classes: self.class_samples(log, window),
            mean_running: mean(|sample| f64::from(sample.running)),
            // The arrival that looks is counted as waiting itself.
            mean_waiting: mean(|sample| f64::from(sample.waiting.saturating_sub(1))),
            kv_usage: ratio(mean(|sample| f64::from(sample.used_blocks)), self.num_blocks),
            preemptions_per_request: ratio(totals.preemptions as f64, f64::from(completions)),
            prefix_hit_ratio: totals.prefix_hit_ratio(),
            limiters: limiter_shares(&totals.limiters),
            time_shares: time_shares(totals, totals.span as f64, self.time_share_names),
            steps: totals.steps,
            limits: match self.stage {
                Stage::Capacity => self.limit_shares(log, window, totals),
                _ => Vec::new(),
            },
            precision: is_settling.then(|| self.precision(log, window, [&mut ttft, &mut tpot, &mut e2e])),
        }
    }

    /// Latencies, attainment and completions of the measured window, of all requests or of one class.
    #[inline(never)]
    fn measure(&self, log: &RunLog, window: &Assessment, class: Option<u16>) -> Measured {
        let mut measured = Measured::with_capacity(log.settled.len());
        for request in &log.settled {
            if class.is_some_and(|class| class != request.slo_class) {
                continue;
            }
            let is_inside = |time: SimTime| time >= window.start && time <= window.end;
            let attains = request
                .latency
                .is_some_and(|(ttft, e2e)| self.limits.of(request.slo_class).hold(ttft, e2e, request.output_tokens));
            if request.latency.is_some() && is_inside(request.settled_at) {
                measured.completions += 1;
                measured.good_completions += u32::from(attains);
            }
            if !is_inside(request.arrive) {
                continue;
            }
            measured.requests += 1;
            measured.attaining += u32::from(attains);
            let Some((ttft, e2e)) = request.latency else {
                measured.refused += u32::from(request.is_refused);
                measured.lost += u32::from(!request.is_refused);
                continue;
            };
            measured.ttft.push(ttft.0.max(0) as u64);
            measured.e2e.push(e2e.0.max(0) as u64);
            let gaps = i64::from(request.output_tokens) - 1;
            if gaps > 0 {
                // Nanoseconds: a quotient of microseconds is not whole.
                measured.tpot.push(((e2e.0 - ttft.0).saturating_mul(1000) / gaps).max(0) as u64);
            }
        }
        measured
    }

    /// Each class by itself, where classes have limits of their own.
    #[cold]
    fn class_samples(&self, log: &RunLog, window: &Assessment) -> Vec<ClassSample> {
        if !self.limits.differ() {
            return Vec::new();
        }
        let sample = |(class, name): (usize, &String)| {
            let class = u16::try_from(class).ok()?;
            let Measured { ttft, tpot, e2e, requests, attaining, .. } = self.measure(log, window, Some(class));
            let percentile = |mut values: Vec<u64>| {
                let found = select_percentiles(&mut values, &[self.slo.percentile], double);
                found.first().copied().unwrap_or_default().value()
            };
            (requests > 0).then(|| ClassSample {
                name: class_name(name).into(),
                attainment: f64::from(attaining) / f64::from(requests),
                keeps_limits: self.limits.of(class).cover(percentile(ttft), percentile(tpot) / 1000.0, percentile(e2e)),
            })
        };
        self.class_names.iter().enumerate().filter_map(sample).collect()
    }

    fn scaled(&self, stats: &LatencyStats) -> SamplePercentiles {
        let scale = self.time_scale;
        SamplePercentiles {
            mean: stats.mean * scale,
            p50: stats.p50 * scale,
            p90: stats.p90 * scale,
            p95: stats.p95 * scale,
            p99: stats.p99 * scale,
            slo: stats.slo * scale,
        }
    }
}

/// What the measured window gave; latencies in microseconds, time per output token in nanoseconds.
struct Measured {
    ttft: Vec<u64>,
    tpot: Vec<u64>,
    e2e: Vec<u64>,
    /// Requests that arrived in the window.
    requests: u32,
    /// Those of them that the admission policy refused.
    refused: u32,
    /// Those of them that it did not, and that never finished.
    lost: u32,
    /// Those of them that attain, whenever they finish.
    attaining: u32,
    /// Requests that finished in the window.
    completions: u32,
    /// Those of them that attain, whenever they arrived.
    good_completions: u32,
}

impl Measured {
    fn with_capacity(capacity: usize) -> Self {
        let vec = || Vec::with_capacity(capacity);
        Self {
            ttft: vec(),
            tpot: vec(),
            e2e: vec(),
            requests: 0,
            refused: 0,
            lost: 0,
            attaining: 0,
            completions: 0,
            good_completions: 0,
        }
    }
}

/// The nearest double; one function, so that what it is given to is compiled once.
fn double(value: u64) -> f64 {
    value as f64
}

/// Requests per second that a burst was served at: over its middle half, where the batch is full.
fn burst_rate(log: &RunLog) -> f64 {
    let mut ends: Vec<i64> = log.settled.iter().map(|request| request.settled_at.0).collect();
    sort_by_key(&mut ends, |end| [*end, 0]);
    let (Some(&first), Some(&last)) = (log.queue.first().map(|sample| &sample.time.0), ends.last()) else { return 0.0 };
    let quarter = ends.len() / 4;
    let (low, high) = (ends[quarter], ends[ends.len() - 1 - quarter]);
    let rate = |count: usize, span: i64| if span > 0 { count as f64 * 1e6 / span as f64 } else { f64::INFINITY };
    let overall = rate(ends.len(), last - first);
    // Equal lengths end together, which says nothing about the rate: never more than twice the whole burst's.
    let middle = rate(ends.len() - 1 - 2 * quarter, high - low).min(2.0 * overall);
    if middle.is_finite() { middle } else { 0.0 }
}

/// Time from admission to the end; with the rate it gives the mean batch (Little's law). The mean, or the mean rest of it
/// where that is longer: a run is to be long enough for either.
fn residence_seconds(log: &RunLog) -> f64 {
    let inside = |request: &Settled| SimTime((request.settled_at.0 - request.arrive.0 - request.delay.0).max(0));
    let mut residence = Residence::default();
    log.settled.iter().for_each(|request| residence.add(inside(request)));
    let count = log.settled.len().max(1) as f64;
    let mean = log.settled.iter().map(|request| inside(request).0 as f64).sum::<f64>() / count / 1e6;
    mean * residence.time_scale()
}

#[cfg(test)]
mod tests;
