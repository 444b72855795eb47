//! Turns what a simulation tells into what a report needs.

use super::anomaly::Finished;
use super::decisions::{Counter, Decision};
use super::slo::{Attainment, ClassLimits};
use super::verdict::Residence;
use crate::numeric::{EXACT_LIMIT, Samples};
use crate::observation::{AdmissionDecision, Fate, Observer, QueueSample, RequestRecord, RoutingDecision};
use crate::scenario::{ClassSlo, PriorityPolicy, ResolvedScenario, Slo};
use crate::time::SimTime;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

/// Queue samples kept for the verdict of a streaming run; beyond, every other one is left out.
const MAX_QUEUE_SAMPLES: usize = 8192;

/// What a report must know about the run beside its observations.
#[derive(Debug, Clone, PartialEq)]
pub struct ReportSettings {
    /// What must hold.
    pub slo: Slo,
    /// Limits of single SLO classes, by name.
    pub slo_classes: BTreeMap<String, ClassSlo>,
    /// Priority policy; inversions are counted only where it is not constant.
    pub priority: PriorityPolicy,
    /// Replicas; each is reported on its own if there are several.
    pub num_replicas: u32,
    /// KV blocks of each replica.
    pub num_blocks: u32,
    /// Names of the latency model's terms.
    pub time_share_names: &'static [&'static str],
    /// Names of the SLO classes by index; empty = only the unnamed one.
    pub classes: Vec<String>,
    /// Names of the tenants by index; empty = only the unnamed one.
    pub tenants: Vec<String>,
}

impl ReportSettings {
    /// The settings of a scenario's runs; names of classes and tenants come with a trace.
    #[must_use]
    pub fn new(scenario: &ResolvedScenario) -> Self {
        Self {
            slo: scenario.slo.clone(),
            slo_classes: scenario.slo_classes.clone(),
            priority: scenario.engine.priority,
            num_replicas: scenario.cluster.num_replicas,
            num_blocks: scenario.engine.num_blocks,
            time_share_names: scenario.latency.time_share_names(),
            classes: Vec::new(),
            tenants: Vec::new(),
        }
    }
}

/// Collects one run.
///
/// Every form counts exactly and keeps each time while there are at most [`crate::numeric::EXACT_LIMIT`] of a kind;
/// beyond, percentiles come from a sketch within [`crate::numeric::RELATIVE_ERROR`]. The *detailed* form also keeps
/// every record, for results files.
///
/// # Cost
/// Streaming: 16 bytes per request up to four million requests, then constant. Detailed: about 150 bytes more.
#[derive(Debug, Clone)]
pub struct Collector {
    pub(super) settings: ReportSettings,
    /// Per SLO class, by index.
    pub(super) classes: Vec<ClassSamples>,
    /// Completed requests and output tokens per tenant, by index.
    pub(super) tenants: Vec<(u64, u64)>,
    pub(super) tpot: Samples,
    pub(super) delay: Samples,
    pub(super) attainment: Attainment,
    pub(super) residence: Residence,
    pub(super) records: Option<Vec<RequestRecord>>,
    /// Per replica, by index; empty with one replica.
    pub(super) replicas: Vec<ReplicaSamples>,
    /// Refused requests per SLO class, by index.
    pub(super) rejected: Vec<u64>,
    pub(super) in_pipeline: u64,
    pub(super) decisions: Counter,
    /// Every decision, if they are kept.
    trace: Option<Vec<Decision>>,
    pub(super) queue: QueueSeries,
    /// Requests told of so far.
    pub(super) offered: u64,
    pub(super) last_arrival: SimTime,
    pub(super) first_arrival: SimTime,
}

/// Samples of one SLO class, microseconds.
#[derive(Debug, Clone, Default)]
pub(super) struct ClassSamples {
    pub(super) ttft: Samples,
    pub(super) e2e: Samples,
    pub(super) finished: Vec<Finished>,
}

/// Samples of one replica, microseconds.
#[derive(Debug, Clone, Default)]
pub(super) struct ReplicaSamples {
    pub(super) ttft: Samples,
    pub(super) e2e: Samples,
    pub(super) delay: Samples,
}

impl Collector {
    /// Keeps what a report needs, in bounded memory.
    #[must_use]
    pub fn streaming(settings: ReportSettings) -> Self {
        let limits = ClassLimits::new(&settings.slo, &settings.slo_classes, &settings.classes, 1.0);
        let num_replicas = if settings.num_replicas > 1 { settings.num_replicas as usize } else { 0 };
        // All replicas together keep as many values as one would.
        let sample = || Samples::with_exact_limit(EXACT_LIMIT / num_replicas.max(1));
        let replica = || ReplicaSamples { ttft: sample(), e2e: sample(), delay: sample() };
        Self {
            settings,
            replicas: core::iter::repeat_with(replica).take(num_replicas).collect(),
            rejected: Vec::new(),
            in_pipeline: 0,
            decisions: Counter::default(),
            trace: None,
            classes: alloc::vec![ClassSamples::default()],
            tenants: alloc::vec![(0, 0)],
            tpot: Samples::default(),
            delay: Samples::default(),
            attainment: Attainment::new(limits),
            residence: Residence::default(),
            records: None,
            queue: QueueSeries::default(),
            offered: 0,
            last_arrival: SimTime(i64::MIN),
            first_arrival: SimTime::MAX,
        }
    }

    /// Keeps every record as well.
    #[must_use]
    pub fn detailed(settings: ReportSettings) -> Self {
        Self { records: Some(Vec::new()), ..Self::streaming(settings) }
    }

    /// Keeps every decision as well, if the simulation traces them.
    #[must_use]
    pub fn keeping_decisions(self) -> Self {
        Self { trace: Some(Vec::new()), ..self }
    }

    /// Every decision so far in the order they were made, which are taken out; empty unless they are kept.
    pub fn take_decisions(&mut self) -> Vec<Decision> {
        self.trace.as_mut().map(core::mem::take).unwrap_or_default()
    }

    /// Every record so far in the order of settling; empty unless detailed.
    #[must_use]
    pub fn records(&self) -> &[RequestRecord] {
        self.records.as_deref().unwrap_or_default()
    }

    #[inline]
    fn class(&mut self, index: u16) -> &mut ClassSamples {
        let index = usize::from(index);
        if index >= self.classes.len() {
            self.classes.resize_with(index + 1, ClassSamples::default);
        }
        &mut self.classes[index]
    }

    #[cold]
    fn reject(&mut self, class: u16) {
        let class = usize::from(class);
        if class >= self.rejected.len() {
            self.rejected.resize(class + 1, 0);
        }
        self.rejected[class] += 1;
    }

    /// A request that was not turned away.
    #[inline]
    fn served(&mut self, record: &RequestRecord) {
        self.in_pipeline += u64::from(record.fate == Fate::InPipeline);
        if let Some(ttft) = record.ttft {
            self.class(record.request.slo_class).ttft.add(ttft.0);
            if let Some(replica) = self.replicas.get_mut(record.replica as usize) {
                replica.ttft.add(ttft.0);
            }
            if let (Fate::Completed | Fate::LengthCapped, Some(e2e)) = (record.fate, record.e2e) {
                self.finish(record, ttft, e2e);
            }
        }
        if let Some(delay) = record.scheduling_delay {
            self.delay.add(delay.0);
            if let Some(replica) = self.replicas.get_mut(record.replica as usize) {
                replica.delay.add(delay.0);
            }
        }
    }

    #[inline]
    fn finish(&mut self, record: &RequestRecord, ttft: SimTime, e2e: SimTime) {
        self.residence.add(e2e);
        let gaps = i64::from(record.produced_tokens) - 1;
        if gaps > 0 {
            // Nanoseconds: a quotient of microseconds is not whole.
            self.tpot.add(nanos(e2e.0 - ttft.0) / gaps);
        }
        let counts_inversions = self.settings.priority != PriorityPolicy::Constant;
        if let Some(replica) = self.replicas.get_mut(record.replica as usize) {
            replica.e2e.add(e2e.0);
        }
        let class = self.class(record.request.slo_class);
        class.e2e.add(e2e.0);
        if counts_inversions {
            class.finished.push(Finished {
                replica: record.replica,
                arrive: record.request.arrive,
                id: record.request.id,
                e2e,
            });
        }
        let tenant = usize::from(record.request.tenant);
        if tenant >= self.tenants.len() {
            self.tenants.resize(tenant + 1, (0, 0));
        }
        let (completed, tokens) = &mut self.tenants[tenant];
        *completed += 1;
        *tokens += u64::from(record.produced_tokens);
    }
}

/// Microseconds as nanoseconds; the longest stays the longest. (A saturating multiplication is a call in WebAssembly.)
#[inline]
fn nanos(micros: i64) -> i64 {
    const LONGEST: i64 = i64::MAX / 1000;
    if (-LONGEST..=LONGEST).contains(&micros) { micros * 1000 } else { micros.signum() * i64::MAX }
}

impl Observer for Collector {
    #[inline]
    fn settled(&mut self, record: &RequestRecord) {
        self.offered += 1;
        self.last_arrival = self.last_arrival.max(record.request.arrive);
        self.first_arrival = self.first_arrival.min(record.request.arrive);
        self.attainment.add(record);
        match record.fate {
            Fate::Dropped => {}
            Fate::Rejected => self.reject(record.request.slo_class),
            _ => self.served(record),
        }
        if let Some(records) = &mut self.records {
            records.push(*record);
        }
    }

    #[inline]
    fn enqueued(&mut self, sample: &QueueSample) {
        self.queue.add(sample);
    }

    fn admission(&mut self, decision: &AdmissionDecision) {
        self.decisions.admission(decision);
        if let Some(trace) = &mut self.trace {
            trace.push(Decision::Admission(*decision));
        }
    }

    fn routing(&mut self, decision: &RoutingDecision) {
        self.decisions.routing(decision);
        if let Some(trace) = &mut self.trace {
            trace.push(Decision::Routing(decision.clone()));
        }
    }
}

/// Queue samples at evenly many arrivals apart, never more than a fixed number.
#[derive(Debug, Clone)]
pub(super) struct QueueSeries {
    pub(super) samples: Vec<QueueSample>,
    /// Arrivals per kept sample, a power of two.
    pub(super) stride: u64,
    seen: u64,
}

impl Default for QueueSeries {
    fn default() -> Self {
        Self { samples: Vec::new(), stride: 1, seen: 0 }
    }
}

impl QueueSeries {
    #[inline]
    fn add(&mut self, sample: &QueueSample) {
        if self.seen & (self.stride - 1) == 0 {
            if self.samples.len() == MAX_QUEUE_SAMPLES {
                self.thin_out();
                if self.seen & (self.stride - 1) != 0 {
                    self.seen += 1;
                    return;
                }
            }
            self.samples.push(*sample);
        }
        self.seen += 1;
    }

    #[cold]
    fn thin_out(&mut self) {
        let mut index = 0;
        self.samples.retain(|_| {
            index += 1;
            index % 2 == 1
        });
        self.stride *= 2;
    }
}
