//! The plain data of a curve: what a trial is, what it gives, what is shown.

use crate::report::{LimiterShares, TimeShare, Verdict};
use crate::scenario::{CurveSettings, Loads, ResolvedScenario, Slo};
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// What a study needs of a scenario; small, so that it can run where the scenario itself is not known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CurveScenario {
    /// What must hold.
    pub slo: Slo,
    /// How the curve is sampled.
    pub settings: CurveSettings,
    /// Most requests in one batch.
    pub max_num_seqs: u32,
    /// Replicas of the cluster.
    pub num_replicas: u32,
    /// Whether a trace is replayed, which has no randomness.
    pub is_replay: bool,
}

impl From<&ResolvedScenario> for CurveScenario {
    fn from(scenario: &ResolvedScenario) -> Self {
        Self {
            slo: scenario.slo.clone(),
            settings: scenario.curve.clone(),
            max_num_seqs: scenario.engine.max_num_seqs,
            num_replicas: scenario.cluster.num_replicas,
            is_replay: scenario.workload.trace.is_some(),
        }
    }
}

/// Which part of a study a trial belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// A burst that shows roughly how much the deployment can serve, to choose the axis.
    Probe,
    /// A rate of the grid.
    Grid,
    /// A step of the search for the saturation point or the capacity.
    Bisection,
    /// A longer run at a rate of a replayed trace where a search found runs too short to tell.
    Extension,
    /// A long run at an overload, whose throughput is the highest rate that is sustained.
    Saturation,
    /// A long run near the capacity, to settle it.
    Capacity,
    /// A longer run at a rate of the grid, to settle its point.
    Settling,
    /// The capacity again with one limiter relaxed, to name the lever.
    Ablation,
}

/// One run to be made: the scenario at this rate with this replicate's random streams.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CurveTrial {
    /// Position among the trials asked of this study; never reused. Says nothing about the outcome.
    pub id: u32,
    /// What it is for.
    pub stage: Stage,
    /// Offered requests per second.
    pub request_rate: f64,
    /// Replicate; the same replicate uses the same random numbers at every rate.
    pub replicate: u32,
    /// Requests of the run.
    pub num_requests: u32,
    /// The limiter relaxed in this run, for [`Stage::Ablation`].
    pub relaxed: Option<Limiter>,
}

/// What can bind a deployment (definitions 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Limiter {
    /// `max_num_seqs`.
    MaxNumSeqs,
    /// `max_num_batched_tokens`.
    MaxNumBatchedTokens,
    /// KV blocks.
    KvBlocks,
    /// The time of a step itself: compute and memory bandwidth.
    StepTime,
}

/// Percentiles of one run's measured requests, milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct SamplePercentiles {
    /// Mean.
    pub mean: f64,
    /// 50th percentile.
    pub p50: f64,
    /// 90th percentile.
    pub p90: f64,
    /// 95th percentile.
    pub p95: f64,
    /// 99th percentile.
    pub p99: f64,
    /// The percentile of the SLO.
    pub slo: f64,
}

/// One SLO class in a run of a curve, where classes have limits of their own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassSample {
    /// Its name; the unnamed class is `default`.
    pub name: String,
    /// Attaining share of its measured requests, 0–1.
    pub attainment: f64,
    /// Whether its requests keep each limit in force for it at the percentile of the SLO.
    pub keeps_limits: bool,
}

/// One SLO class in a point, where classes have limits of their own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassPoint {
    /// Its name; the unnamed class is `default`.
    pub name: String,
    /// Attaining share of its requests, 0–1.
    pub attainment: Band,
    /// Whether it keeps its limits and reaches the attainment with every seed, whatever the verdict.
    pub meets_slo: bool,
}

/// How often a limit of the SLO is missed in one run.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct LimitShare {
    /// Share of the measured requests (of gaps, for a limit on ITL) that miss it, 0–1.
    pub share: f64,
    /// Share that may miss it, 0–1: one less the percentile of a limit, or one less the attainment.
    pub allowed: f64,
    /// Variance of `share` as an estimate of that of an endless run.
    pub variance: f64,
}

/// Standard errors of what one run shows, as estimates of what an endless run would.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Precision {
    /// Of the mean number in system, as a part of it.
    pub in_system: f64,
    /// Of the percentile of the SLO of TTFT, milliseconds.
    pub ttft: f64,
    /// Of that of TPOT, milliseconds.
    pub tpot: f64,
    /// Of that of E2E, milliseconds.
    pub e2e: f64,
}

/// What one run of a curve gives, over its measured window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PointSample {
    /// Whether the load was sustained.
    pub verdict: Verdict,
    /// Time to first token.
    pub ttft: SamplePercentiles,
    /// Time per output token.
    pub tpot: SamplePercentiles,
    /// Pooled inter-token gaps of measured requests.
    pub itl: SamplePercentiles,
    /// End-to-end latency.
    pub e2e: SamplePercentiles,
    /// Measured requests.
    pub measured_requests: u32,
    /// Completions inside the window, per second.
    pub request_throughput: f64,
    /// Output tokens inside the window, per second.
    pub output_token_throughput: f64,
    /// Completions inside the window of attaining requests, per second; never more than `request_throughput`.
    pub goodput: f64,
    /// Attaining share of the measured requests, 0–1, whenever they finish, each under the limits of its class.
    pub attainment: f64,
    /// Each SLO class with measured requests; empty unless classes have limits of their own.
    pub classes: Vec<ClassSample>,
    /// Mean requests in the batch, as arrivals of the window find it.
    pub mean_running: f64,
    /// Mean requests waiting, as arrivals of the window find them.
    pub mean_waiting: f64,
    /// Mean KV cache usage, as arrivals of the window find it, 0–1.
    pub kv_usage: f64,
    /// Preemptions in the window per completion in it.
    pub preemptions_per_request: f64,
    /// Blocks found in the prefix cache, share of all taken in the window, 0–1.
    pub prefix_hit_ratio: f64,
    /// Why admission stopped in the steps of the window.
    pub limiters: LimiterShares,
    /// Busy time of the window's steps by the terms of the latency model, plus idle.
    pub time_shares: Vec<TimeShare>,
    /// Steps of the whole run, for progress and benchmarks.
    pub steps: u64,
    /// How often each limit is missed, in an order that depends on the scenario alone; only of runs that settle a
    /// capacity.
    pub limits: Vec<LimitShare>,
    /// How well the run knows; only of runs that settle something.
    pub precision: Option<Precision>,
}

/// A value over seeds.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Band {
    /// Smallest.
    pub low: f64,
    /// Mean.
    pub mid: f64,
    /// Largest.
    pub high: f64,
}

/// One latency metric over seeds, milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct LatencyBands {
    /// Mean.
    pub mean: Band,
    /// 50th percentile.
    pub p50: Band,
    /// 90th percentile.
    pub p90: Band,
    /// 95th percentile.
    pub p95: Band,
    /// 99th percentile.
    pub p99: Band,
    /// The percentile of the SLO.
    pub slo: Band,
}

/// One rate of a curve, all seeds together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// Offered requests per second, the cluster's total.
    pub request_rate: f64,
    /// The worst verdict over seeds.
    pub verdict: Verdict,
    /// Whether every percentile limit and the attainment hold (with verdict stable), for each class by itself where
    /// classes have limits of their own.
    pub meets_slo: bool,
    /// Seeds told so far.
    pub num_seeds: u32,
    /// Whether its figures are those of a steady state, within the precision that `docs/curve.md` states.
    pub is_settled: bool,
    /// Time to first token.
    pub ttft: LatencyBands,
    /// Time per output token.
    pub tpot: LatencyBands,
    /// Inter-token latency.
    pub itl: LatencyBands,
    /// End-to-end latency.
    pub e2e: LatencyBands,
    /// Completions per second.
    pub request_throughput: Band,
    /// Output tokens per second.
    pub output_token_throughput: Band,
    /// Completions of attaining requests per second.
    pub goodput: Band,
    /// Attaining share, 0–1, each request under the limits of its class.
    pub attainment: Band,
    /// Each SLO class; left out unless classes have limits of their own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<ClassPoint>,
    /// Mean requests in the batch.
    pub mean_running: f64,
    /// Mean requests waiting.
    pub mean_waiting: f64,
    /// Mean KV cache usage, 0–1.
    pub kv_usage: f64,
    /// Preemptions per completed request.
    pub preemptions_per_request: f64,
    /// Prefix cache hit ratio, 0–1.
    pub prefix_hit_ratio: f64,
    /// Why admission stopped.
    pub limiters: LimiterShares,
    /// Busy time by term, plus idle.
    pub time_shares: Vec<TimeShare>,
}

/// A rate found by bracketing and bisection.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Capacity {
    /// Highest rate known to hold, requests per second; 0 if none is.
    pub request_rate: f64,
    /// Lowest rate above it that does not hold; none if the highest rate of the axis still holds, or if nothing holds
    /// and the first rate that does not is undecided (then there is no bound).
    pub next_failing_rate: Option<f64>,
    /// Why that rate does not hold: [`Verdict::Overloaded`] or [`Verdict::Backlogged`] with some seed;
    /// [`Verdict::Stable`], but a limit or the attainment is missed; [`Verdict::Undecided`] if runs were too short to
    /// tell, so that it is *not known* to fail. None if the highest rate of the axis still holds.
    pub next_failing_verdict: Option<Verdict>,
    /// Where the highest rate that holds lies, as far as the runs can tell: of a settled capacity 97 times in a hundred.
    pub band: [f64; 2],
    /// Whether the search is over.
    pub is_final: bool,
    /// Whether it is a statement about the steady state; else short runs say so, which are too optimistic where queues
    /// take long to form.
    pub is_settled: bool,
}

impl Capacity {
    /// Takes back what lies beyond a rate.
    pub(super) fn keep_within(&mut self, rate: f64) {
        self.request_rate = self.request_rate.min(rate);
        self.band = self.band.map(|end| end.min(rate));
    }
}

/// A curve over request rate, possibly partial or still settling.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Curve {
    /// Points by ascending rate: the grid and what bisection added. All are over the same seeds.
    pub points: Vec<CurvePoint>,
    /// Lowest and highest rate of the axis.
    pub range_per_s: [f64; 2],
    /// The rate at which a replayed trace was recorded (×1), if it is on the axis; the grid then has it.
    pub recorded_rate: Option<f64>,
    /// Requests asked of each run, which may be more than the plan's ([`super::CurvePlan::num_requests`]); a replayed
    /// trace may hold fewer. 0 until it is known.
    pub num_requests: u32,
    /// Highest stable offered rate.
    pub saturation: Option<Capacity>,
    /// Highest offered rate that keeps the SLO.
    pub capacity: Option<Capacity>,
    /// What the long runs at the settled capacity show together. Near saturation latencies may vary by more than those of
    /// a settled point do, so this is not one of `points` unless it is as precise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_capacity: Option<CurvePoint>,
    /// What binds at capacity, the first of `levers`: the setting whose relaxation raises capacity most, or the step
    /// time if no setting is known to raise it with every seed. None if there is no capacity.
    pub binding: Option<Limiter>,
    /// Capacity with each limiter relaxed (a setting doubled, steps a fifth shorter): *at least* this factor of the
    /// capacity holds with every seed; 1 where no more is known to. A factor of 1.5 is the largest that is looked for.
    /// Settings that give something come first, largest factor first, and of equal ones that which stopped admission
    /// most; then the step time, which always gives its part; then settings that give nothing.
    pub levers: Vec<(Limiter, f64)>,
    /// Whether every trial has been told.
    pub is_complete: bool,
}

impl Curve {
    /// The loads that its answers are about, saturation point and capacity, as far as they are known: what lies beyond
    /// the logs of a fit is judged by these, because every axis reaches from hardly any load into overload.
    #[must_use]
    pub fn answered(&self) -> Option<Loads> {
        Loads::of_rates(self.saturation.iter().chain(&self.capacity).map(|found| found.request_rate))
    }

    /// The same with every rate and throughput a replica's part of the cluster's; latencies and shares stay.
    #[must_use]
    pub fn per_replica(&self, num_replicas: u32) -> Self {
        let share = 1.0 / f64::from(num_replicas.max(1));
        let part =
            |band: &mut Band| *band = Band { low: band.low * share, mid: band.mid * share, high: band.high * share };
        let mut curve = self.clone();
        for point in curve.points.iter_mut().chain(&mut curve.at_capacity) {
            point.request_rate *= share;
            point.mean_running *= share;
            point.mean_waiting *= share;
            [&mut point.request_throughput, &mut point.output_token_throughput, &mut point.goodput]
                .into_iter()
                .for_each(part);
        }
        let ends = curve.saturation.iter_mut().chain(&mut curve.capacity);
        for found in ends {
            found.request_rate *= share;
            found.next_failing_rate = found.next_failing_rate.map(|rate| rate * share);
            found.band = found.band.map(|rate| rate * share);
        }
        curve.range_per_s = curve.range_per_s.map(|rate| rate * share);
        curve.recorded_rate = curve.recorded_rate.map(|rate| rate * share);
        curve
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replica_s_part_of_a_curve_is_that_of_every_rate() {
        let found = |request_rate: f64| Capacity {
            request_rate,
            next_failing_rate: Some(request_rate + 2.0),
            next_failing_verdict: None,
            band: [request_rate, request_rate + 4.0],
            is_final: true,
            is_settled: true,
        };
        let curve = Curve {
            range_per_s: [2.0, 40.0],
            recorded_rate: Some(8.0),
            saturation: Some(found(30.0)),
            capacity: Some(found(20.0)),
            ..Curve::default()
        };
        let part = curve.per_replica(4);
        assert_eq!((part.range_per_s, part.recorded_rate), ([0.5, 10.0], Some(2.0)));
        let capacity = part.capacity.expect("kept");
        assert_eq!((capacity.request_rate, capacity.next_failing_rate, capacity.band), (5.0, Some(5.5), [5.0, 6.0]));
        assert_eq!(part.saturation.map(|found| found.request_rate), Some(7.5));
        assert_eq!(curve.per_replica(1), curve);
        assert_eq!(curve.per_replica(0), curve);
    }
}
