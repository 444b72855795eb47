//! Several seeds of one rate as one point.

use super::types::{Band, ClassPoint, ClassSample, CurvePoint, LatencyBands, PointSample, SamplePercentiles};
use crate::numeric::sort_few;
use crate::report::{LimiterShares, TimeShare, Verdict};
use crate::scenario::Slo;
use alloc::vec::Vec;

/// Whether a run keeps the SLO: stable, every percentile limit met, and the attainment reached.
pub(super) fn meets_slo(sample: &PointSample, slo: &Slo) -> bool {
    sample.verdict == Verdict::Stable && keeps_limits(sample, slo)
}

/// Whether every percentile limit is met and the attainment reached, whatever the verdict.
///
/// Where classes have limits of their own, each is judged by itself; gaps between tokens are those of all requests.
fn keeps_limits(sample: &PointSample, slo: &Slo) -> bool {
    let within = |limit: Option<f64>, metric: &SamplePercentiles| limit.is_none_or(|limit| metric.slo <= limit);
    let is_within = if sample.classes.is_empty() {
        within(slo.ttft_ms, &sample.ttft) && within(slo.tpot_ms, &sample.tpot) && within(slo.e2e_ms, &sample.e2e)
    } else {
        sample.classes.iter().all(|class| class_meets(class, slo))
    };
    is_within && within(slo.itl_ms, &sample.itl) && sample.attainment >= slo.attainment
}

fn class_meets(class: &ClassSample, slo: &Slo) -> bool {
    class.keeps_limits && class.attainment >= slo.attainment
}

/// Each class that has requests with some seed.
fn classes(samples: &[&PointSample], slo: &Slo) -> Vec<ClassPoint> {
    let mut names: Vec<&str> =
        samples.iter().flat_map(|sample| &sample.classes).map(|class| class.name.as_str()).collect();
    sort_few(&mut names, |a, b| a.cmp(b));
    names.dedup();
    let point = |name: &str| {
        let of_name = |sample: &&PointSample| sample.classes.iter().find(|class| class.name == name).cloned();
        let found: Vec<ClassSample> = samples.iter().filter_map(of_name).collect();
        ClassPoint {
            name: name.into(),
            attainment: band(&found, |class| class.attainment),
            meets_slo: found.iter().all(|class| class_meets(class, slo)),
        }
    };
    names.into_iter().map(point).collect()
}

/// A value over seeds; there is one at least.
fn band<T>(samples: &[T], of: impl Fn(&T) -> f64) -> Band {
    let mut band = Band { low: f64::INFINITY, mid: 0.0, high: f64::NEG_INFINITY };
    for sample in samples {
        let value = of(sample);
        band = Band { low: band.low.min(value), mid: band.mid + value, high: band.high.max(value) };
    }
    Band { mid: band.mid / samples.len() as f64, ..band }
}

/// The point of a rate; `samples` is not empty and in the order of replicates, and all of runs of one length.
pub(super) fn point(request_rate: f64, samples: &[&PointSample], slo: &Slo) -> CurvePoint {
    let band = |of: &dyn Fn(&PointSample) -> f64| band(samples, |sample| of(sample));
    let latency = |of: fn(&PointSample) -> &SamplePercentiles| LatencyBands {
        mean: band(&|s| of(s).mean),
        p50: band(&|s| of(s).p50),
        p90: band(&|s| of(s).p90),
        p95: band(&|s| of(s).p95),
        p99: band(&|s| of(s).p99),
        slo: band(&|s| of(s).slo),
    };
    let mean = |of: &dyn Fn(&PointSample) -> f64| band(of).mid;
    CurvePoint {
        request_rate,
        verdict: samples.iter().map(|sample| sample.verdict).max().unwrap_or(Verdict::Undecided),
        meets_slo: samples.iter().all(|sample| meets_slo(sample, slo)),
        num_seeds: samples.len() as u32,
        is_settled: false,
        ttft: latency(|s| &s.ttft),
        tpot: latency(|s| &s.tpot),
        itl: latency(|s| &s.itl),
        e2e: latency(|s| &s.e2e),
        request_throughput: band(&|s| s.request_throughput),
        output_token_throughput: band(&|s| s.output_token_throughput),
        goodput: band(&|s| s.goodput),
        attainment: band(&|s| s.attainment),
        classes: classes(samples, slo),
        mean_running: mean(&|s| s.mean_running),
        mean_waiting: mean(&|s| s.mean_waiting),
        kv_usage: mean(&|s| s.kv_usage),
        preemptions_per_request: mean(&|s| s.preemptions_per_request),
        prefix_hit_ratio: mean(&|s| s.prefix_hit_ratio),
        limiters: LimiterShares {
            none: mean(&|s| s.limiters.none),
            max_num_seqs: mean(&|s| s.limiters.max_num_seqs),
            max_num_batched_tokens: mean(&|s| s.limiters.max_num_batched_tokens),
            kv_blocks: mean(&|s| s.limiters.kv_blocks),
        },
        time_shares: time_shares(samples),
    }
}

/// Mean share of each term; all samples of a curve have the same terms in the same order.
fn time_shares(samples: &[&PointSample]) -> Vec<TimeShare> {
    let Some((first, others)) = samples.split_first() else { return Vec::new() };
    let mut shares = first.time_shares.clone();
    for sample in others {
        for (share, more) in shares.iter_mut().zip(&sample.time_shares) {
            share.ratio += more.ratio;
        }
    }
    for share in &mut shares {
        share.ratio /= samples.len() as f64;
    }
    shares
}
