//! The report of a run.

use super::anomaly::count_inversions;
use super::collector::Collector;
use super::json::{RequestJson, SummaryJson};
use super::replicas::{count_blocked, per_step, replica_reports};
use super::{
    AnomalyCounters, ClassAttainment, ClientReport, FitnessReport, LimiterShares, RejectedClass, ReplicaReport,
    SloReport, TimeShare, TraceSummary, Verdict, assess, limiter_shares, time_shares,
};
use crate::cluster::ClusterTotals;
use crate::numeric::{Percentile, SampleSummary, Samples, percentiles_of_counts};
use crate::observation::{PrefixCacheCounts, ReplicaTotals};
use crate::scenario::{Slo, UNNAMED_CLASS};
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// One latency over a run, milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct LatencyStats {
    /// Values (requests, or gaps for ITL).
    pub count: u64,
    /// Mean.
    pub mean: f64,
    /// Smallest.
    pub min: f64,
    /// 50th percentile.
    pub p50: f64,
    /// 90th percentile.
    pub p90: f64,
    /// 95th percentile.
    pub p95: f64,
    /// 99th percentile.
    pub p99: f64,
    /// Largest.
    pub max: f64,
    /// The percentile of the SLO.
    pub slo: f64,
    /// Whether the percentiles are exact rather than from a sketch within 0.1 %.
    pub is_exact: bool,
}

/// A distribution in microseconds (metrics specification 4).
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct RawDistribution {
    /// Mean.
    pub mean: f64,
    /// 50th percentile.
    pub p50: f64,
    /// 95th percentile.
    pub p95: f64,
    /// 99th percentile.
    pub p99: f64,
    /// Smallest.
    pub min: f64,
    /// Largest.
    pub max: f64,
    /// Values.
    pub count: u64,
}

/// KV cache of a run.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct KvReport {
    /// Preemptions per completed request.
    pub preemption_rate: f64,
    /// Blocks claimed through the prefix cache, share of all lookups that ended in a block, 0–1 (KV specification 6).
    pub cache_hit_rate: f64,
    /// Tokens found cached at first admissions, share of all tokens of these requests, 0–1, over all replicas: the rate
    /// that vLLM prints (scheduler specification C6). None under the reference's rules, which count blocks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix_cache_hit_rate: Option<f64>,
    /// CPU-tier entries evicted per entry stored.
    pub thrashing_rate: f64,
    /// Mean usage over busy time, 0–1.
    pub usage_mean: f64,
    /// Highest usage at a step, 0–1.
    pub usage_peak: f64,
}

/// One SLO class of a run.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ClassReport {
    /// Name; the unnamed class is `default`.
    pub name: String,
    /// Time to first token.
    pub ttft: RawDistribution,
    /// End-to-end latency.
    pub e2e: RawDistribution,
    /// Attainment under the limits of the class.
    pub slo: ClassAttainment,
    /// Pairs in which an earlier request took more than twice as long as a later one.
    pub priority_inversions: u64,
}

/// One tenant of a run.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct TenantReport {
    /// Name; empty for the unnamed tenant.
    pub name: String,
    /// Completed requests.
    pub completed_requests: u64,
    /// Output tokens of completed requests.
    pub output_tokens: u64,
}

/// Everything reported about a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The reference's summary.
    pub summary: SummaryJson,
    /// Time to first token.
    pub ttft: LatencyStats,
    /// Time per output token; requests with one output token have none.
    pub tpot: LatencyStats,
    /// Inter-token gaps of completed requests, pooled.
    pub itl: LatencyStats,
    /// End-to-end latency.
    pub e2e: LatencyStats,
    /// Arrival to last admission.
    pub scheduling_delay: LatencyStats,
    /// Time to first token, microseconds.
    pub ttft_raw: RawDistribution,
    /// End-to-end latency, microseconds.
    pub e2e_raw: RawDistribution,
    /// Attainment and goodput.
    pub slo: SloReport,
    /// KV cache.
    pub kv: KvReport,
    /// Anomalies.
    pub anomalies: AnomalyCounters,
    /// Whether the load was sustained.
    pub verdict: Verdict,
    /// Steps executed.
    pub steps: u64,
    /// Mean batch size over steps.
    pub mean_running: f64,
    /// Mean queue length over steps.
    pub mean_waiting: f64,
    /// Why admission stopped.
    pub limiters: LimiterShares,
    /// Where the time went.
    pub time_shares: Vec<TimeShare>,
    /// Requests on their way to a replica when the run was cut.
    pub in_pipeline: u64,
    /// Requests that the end of the run cut off: waiting, being served, or on their way. Means and percentiles are of the
    /// others.
    #[serde(default)]
    pub cut_off_requests: u64,
    /// Each replica; empty if there is only one.
    pub replicas: Vec<ReplicaReport>,
    /// What the decisions came to, if they were traced.
    pub trace_summary: Option<TraceSummary>,
    /// Weighted score, where weights are given ([`super::FitnessWeights::evaluate`]).
    pub fitness: Option<FitnessReport>,
    /// What clients saw behind their networks, where some have one ([`super::ClientReport::new`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_side: Option<ClientReport>,
    /// Per SLO class; empty if there is only the unnamed one.
    pub classes: Vec<ClassReport>,
    /// Per tenant; empty if there is only the unnamed one.
    pub tenants: Vec<TenantReport>,
    /// Jain's fairness index over the tenants' output tokens, 1/n to 1; none with fewer than two tenants.
    pub jain_fairness: Option<f64>,
}

impl Report {
    /// The report of a run that was collected and has these totals.
    #[must_use]
    pub fn new(mut collector: Collector, cluster: &ClusterTotals) -> Self {
        let totals = &cluster.total;
        let trace_summary = core::mem::take(&mut collector.decisions).summary(cluster.replicas.len());
        let (rejected, in_pipeline) = (core::mem::take(&mut collector.rejected), collector.in_pipeline);
        let replica_samples = core::mem::take(&mut collector.replicas);
        let Collector {
            settings,
            mut classes,
            tenants,
            mut tpot,
            mut delay,
            attainment,
            residence,
            records,
            queue,
            ..
        } = collector;
        let asked = Asked::new(&settings.slo);
        let span = collector.last_arrival.0.saturating_sub(collector.first_arrival.0) as f64 / 1e6;
        let offered_rate = if span > 0.0 { collector.offered.saturating_sub(1) as f64 / span } else { 0.0 };
        let admitted = collector.offered.saturating_sub(rejected.iter().sum());
        let lost = totals.dropped + totals.timed_out;
        let time_scale = residence.time_scale();
        let verdict = assess(&queue.samples, queue.stride, offered_rate, time_scale).without(lost, admitted).verdict;

        let class_name = |index: usize| match settings.classes.get(index) {
            Some(name) if !name.is_empty() => name.clone(),
            _ => UNNAMED_CLASS.into(),
        };
        let num_classes = classes.iter().filter(|class| class.ttft.count() + class.e2e.count() > 0).count();
        let mut inversions = 0;
        let mut class_reports = Vec::new();
        for (index, class) in classes.iter_mut().enumerate() {
            let priority_inversions = count_inversions(&mut class.finished);
            inversions += priority_inversions;
            if num_classes > 1 && class.ttft.count() + class.e2e.count() > 0 {
                let ttft = asked.raw(&class.ttft.summarize(&asked.percentiles));
                let e2e = asked.raw(&class.e2e.summarize(&asked.percentiles));
                let slo = ClassAttainment::default();
                class_reports
                    .push((index, ClassReport { name: class_name(index), ttft, e2e, slo, priority_inversions }));
            }
        }
        let (mut ttft, mut e2e) = (Samples::default(), Samples::default());
        for (index, class) in classes.into_iter().enumerate() {
            if index == 0 {
                (ttft, e2e) = (class.ttft, class.e2e);
            } else {
                ttft.merge(&class.ttft);
                e2e.merge(&class.e2e);
            }
        }

        let ttft = ttft.summarize(&asked.percentiles);
        let e2e = e2e.summarize(&asked.percentiles);
        let delay = delay.summarize(&asked.percentiles);
        let (ttft_raw, e2e_raw) = (asked.raw(&ttft), asked.raw(&e2e));
        let (ttft, e2e, delay) = (asked.stats(&ttft, 1.0), asked.stats(&e2e, 1.0), asked.stats(&delay, 1.0));
        let tpot = asked.stats(&tpot.summarize(&asked.percentiles), 1000.0);
        let itl = asked.stats(&gap_summary(totals, &asked.percentiles), 1.0);

        let percentiles_hold = [
            (settings.slo.ttft_ms, &ttft),
            (settings.slo.tpot_ms, &tpot),
            (settings.slo.itl_ms, &itl),
            (settings.slo.e2e_ms, &e2e),
        ]
        .iter()
        .all(|&(limit, stats)| limit.is_none_or(|limit| stats.slo <= limit));
        let (slo, attainments) = attainment.report(totals.duration(), percentiles_hold, settings.slo.attainment);
        let classes = class_reports.into_iter().map(|(index, class): (usize, ClassReport)| ClassReport {
            slo: attainments.get(index).copied().unwrap_or_default(),
            ..class
        });

        let num_tenants = tenants.iter().filter(|&&(completed, _)| completed > 0).count();
        let mut summary = summarize(totals, &ttft, &itl, &e2e, &delay);
        if let Some(records) = records {
            summary.requests = RequestJson::entries(&records, &settings.classes, &settings.tenants);
        }
        Self {
            summary,
            ttft,
            tpot,
            itl,
            e2e,
            scheduling_delay: delay,
            ttft_raw,
            e2e_raw,
            slo,
            kv: kv_report(&cluster.replicas, settings.num_blocks),
            anomalies: AnomalyCounters {
                priority_inversions: inversions,
                hol_blocking_events: count_blocked(&cluster.replicas),
                rejected_requests: rejected.iter().sum(),
                rejected_by_class: rejected_classes(&rejected, &settings.classes),
                dropped_unservable: totals.dropped,
                length_capped_requests: totals.length_capped,
            },
            verdict,
            steps: totals.steps,
            mean_running: per_step(totals.running_sum, totals.steps),
            mean_waiting: per_step(totals.waiting_sum, totals.steps),
            limiters: limiter_shares(&totals.limiters),
            time_shares: time_shares(
                totals,
                totals.end.0 as f64 * f64::from(settings.num_replicas),
                settings.time_share_names,
            ),
            in_pipeline,
            cut_off_requests: totals.still_queued + totals.still_running + in_pipeline,
            replicas: replica_reports(&cluster.replicas, replica_samples, totals.end.0, settings.num_blocks, &asked),
            trace_summary,
            fitness: None,
            client_side: None,
            classes: classes.collect(),
            jain_fairness: (num_tenants > 1).then(|| jain(&tenants)),
            tenants: if num_tenants > 1 { tenant_reports(&tenants, &settings.tenants) } else { Vec::new() },
        }
    }
}

/// The percentiles to compute, in ascending order, and where the SLO's own is among them.
pub(crate) struct Asked {
    pub(crate) percentiles: Vec<f64>,
    /// Positions of p50, p90, p95, p99 and the SLO's.
    at: [usize; 5],
}

impl Asked {
    pub(crate) fn new(slo: &Slo) -> Self {
        let wanted = [50.0, 90.0, 95.0, 99.0, slo.percentile];
        let mut percentiles = wanted.to_vec();
        crate::numeric::sort_few(&mut percentiles, f64::total_cmp);
        let at = wanted.map(|p| percentiles.iter().position(|&q| q.total_cmp(&p).is_eq()).unwrap_or(0));
        Self { percentiles, at }
    }

    fn of(&self, summary: &SampleSummary, which: usize) -> Percentile {
        summary.percentiles.get(self.at[which]).copied().unwrap_or_default()
    }

    /// In milliseconds; the sample counts `per_micro` units per microsecond.
    pub(crate) fn stats(&self, summary: &SampleSummary, per_micro: f64) -> LatencyStats {
        let mean = if summary.count == 0 { 0.0 } else { (summary.sum / summary.count as f64) / 1000.0 };
        let millis = |which: usize| self.of(summary, which).millis() / per_micro;
        LatencyStats {
            count: summary.count,
            mean: mean / per_micro,
            min: summary.min / 1000.0 / per_micro,
            p50: millis(0),
            p90: millis(1),
            p95: millis(2),
            p99: millis(3),
            max: summary.max / 1000.0 / per_micro,
            slo: millis(4),
            is_exact: summary.is_exact,
        }
    }

    fn raw(&self, summary: &SampleSummary) -> RawDistribution {
        RawDistribution {
            mean: if summary.count == 0 { 0.0 } else { summary.sum / summary.count as f64 },
            p50: self.of(summary, 0).value(),
            p95: self.of(summary, 2).value(),
            p99: self.of(summary, 3).value(),
            min: summary.min,
            max: summary.max,
            count: summary.count,
        }
    }
}

/// All gaps of completed requests together; exact, as they are counted by value.
pub(crate) fn gap_summary(totals: &ReplicaTotals, percentiles: &[f64]) -> SampleSummary {
    let (mut count, mut sum) = (0u64, 0i128);
    for &(value, times) in &totals.gaps {
        count += times;
        sum += i128::from(value) * i128::from(times);
    }
    let counts = totals.gaps.iter().map(|&(value, times)| (value as f64, times));
    SampleSummary {
        count,
        sum: sum as f64,
        min: totals.gaps.first().map_or(0.0, |&(value, _)| value as f64),
        max: totals.gaps.last().map_or(0.0, |&(value, _)| value as f64),
        percentiles: percentiles_of_counts(counts, count, percentiles),
        is_exact: true,
    }
}

pub(super) fn summarize(
    totals: &ReplicaTotals,
    ttft: &LatencyStats,
    itl: &LatencyStats,
    e2e: &LatencyStats,
    delay: &LatencyStats,
) -> SummaryJson {
    let duration = totals.duration().as_seconds();
    let mut summary = SummaryJson {
        instance_id: "cluster".into(),
        completed_requests: totals.completed,
        still_queued: totals.still_queued,
        still_running: totals.still_running,
        injected_requests: totals.completed
            + totals.still_queued
            + totals.still_running
            + totals.dropped
            + totals.timed_out,
        total_input_tokens: totals.input_tokens,
        total_output_tokens: totals.output_tokens,
        vllm_estimated_duration_s: duration,
        kv_allocation_failures: totals.kv_allocation_failures,
        preemption_count: totals.preemptions,
        dropped_unservable: totals.dropped,
        length_capped_requests: totals.length_capped,
        timed_out_requests: totals.timed_out,
        ..SummaryJson::default()
    };
    if totals.completed == 0 {
        return summary;
    }
    if duration > 0.0 {
        summary.responses_per_sec = totals.completed as f64 / duration;
        summary.tokens_per_sec = totals.output_tokens as f64 / duration;
    }
    (summary.e2e_mean_ms, summary.e2e_p90_ms, summary.e2e_p95_ms, summary.e2e_p99_ms) =
        (e2e.mean, e2e.p90, e2e.p95, e2e.p99);
    (summary.ttft_mean_ms, summary.ttft_p90_ms, summary.ttft_p95_ms, summary.ttft_p99_ms) =
        (ttft.mean, ttft.p90, ttft.p95, ttft.p99);
    (summary.itl_mean_ms, summary.itl_p90_ms, summary.itl_p95_ms, summary.itl_p99_ms) =
        (itl.mean, itl.p90, itl.p95, itl.p99);
    summary.scheduling_delay_p99_ms = delay.p99;
    summary
}

/// KV cache of the replicas: rates and mean usage averaged over them, idle ones included (metrics specification 1).
pub(super) fn kv_report(replicas: &[ReplicaTotals], num_blocks: u32) -> KvReport {
    let ratio = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
    let sum = |of: &dyn Fn(&ReplicaTotals) -> f64| replicas.iter().map(of).sum::<f64>();
    let mean = |of: &dyn Fn(&ReplicaTotals) -> f64| ratio(sum(of), replicas.len() as f64);
    let blocks = f64::from(num_blocks);
    KvReport {
        preemption_rate: ratio(sum(&|replica| replica.preemptions as f64), sum(&|replica| replica.completed as f64)),
        cache_hit_rate: mean(&|replica| {
            let lookups = replica.cache_hits + replica.cache_misses + replica.tier_misses;
            ratio(replica.cache_hits as f64, lookups as f64)
        }),
        prefix_cache_hit_rate: {
            let count =
                |of: fn(&PrefixCacheCounts) -> u64| replicas.iter().map(|replica| of(&replica.prefix_cache)).sum();
            let (hits, queried): (u64, u64) = (count(|cache| cache.hit_tokens), count(|cache| cache.queried_tokens));
            (queried > 0).then(|| hits as f64 / queried as f64)
        },
        thrashing_rate: mean(&|replica| ratio(replica.tier_evicted as f64, replica.tier_mirrored as f64)),
        usage_mean: ratio(
            ratio(sum(&|replica| replica.kv_integral as f64), sum(&|replica| replica.busy as f64)),
            blocks,
        ),
        usage_peak: ratio(replicas.iter().map(|replica| replica.kv_peak).max().unwrap_or(0) as f64, blocks),
    }
}

/// Refused requests by the name of their class.
fn rejected_classes(rejected: &[u64], names: &[String]) -> Vec<RejectedClass> {
    let class = |(index, &requests): (usize, &u64)| RejectedClass {
        name: names.get(index).filter(|name| !name.is_empty()).cloned().unwrap_or_else(|| "standard".into()),
        requests,
    };
    rejected.iter().enumerate().filter(|(_, count)| **count > 0).map(class).collect()
}

fn tenant_reports(tenants: &[(u64, u64)], names: &[String]) -> Vec<TenantReport> {
    let report = |(index, &(completed_requests, output_tokens)): (usize, &(u64, u64))| TenantReport {
        name: names.get(index).cloned().unwrap_or_default(),
        completed_requests,
        output_tokens,
    };
    tenants.iter().enumerate().filter(|(_, tenant)| tenant.0 > 0).map(report).collect()
}

/// `(Σx)² / (n·Σx²)` over the output tokens of tenants that completed anything; 1 if all are 0.
fn jain(tenants: &[(u64, u64)]) -> f64 {
    let tokens = || tenants.iter().filter(|&&(completed, _)| completed > 0).map(|&(_, tokens)| tokens as f64);
    let (sum, squares) = (tokens().sum::<f64>(), tokens().map(|x| x * x).sum::<f64>());
    if squares == 0.0 { 1.0 } else { sum * sum / (tokens().count() as f64 * squares) }
}
