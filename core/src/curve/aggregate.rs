//! Several seeds of one rate as one point.

use super::types::{Band, CurvePoint, LatencyBands, PointSample, SamplePercentiles};
use crate::report::{LimiterShares, TimeShare, Verdict};
use crate::scenario::Slo;
use alloc::vec::Vec;

/// Whether a run keeps the SLO: stable, every percentile limit met, and the attainment reached.
pub(super) fn meets_slo(sample: &PointSample, slo: &Slo) -> bool {
    sample.verdict == Verdict::Stable && keeps_limits(sample, slo)
}

/// Whether every percentile limit is met and the attainment reached, whatever the verdict.
pub(super) fn keeps_limits(sample: &PointSample, slo: &Slo) -> bool {
    let within = |limit: Option<f64>, metric: &SamplePercentiles| limit.is_none_or(|limit| metric.slo <= limit);
    within(slo.ttft_ms, &sample.ttft)
        && within(slo.tpot_ms, &sample.tpot)
        && within(slo.itl_ms, &sample.itl)
        && within(slo.e2e_ms, &sample.e2e)
        && sample.attainment >= slo.attainment
}

/// The point of a rate; `samples` is not empty and in the order of replicates.
pub(super) fn point(request_rate: f64, samples: &[&PointSample], slo: &Slo) -> CurvePoint {
    let band = |of: &dyn Fn(&PointSample) -> f64| {
        let mut band = Band { low: f64::INFINITY, mid: 0.0, high: f64::NEG_INFINITY };
        for sample in samples {
            let value = of(sample);
            band = Band { low: band.low.min(value), mid: band.mid + value, high: band.high.max(value) };
        }
        Band { mid: band.mid / samples.len() as f64, ..band }
    };
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
        ttft: latency(|s| &s.ttft),
        tpot: latency(|s| &s.tpot),
        itl: latency(|s| &s.itl),
        e2e: latency(|s| &s.e2e),
        request_throughput: band(&|s| s.request_throughput),
        output_token_throughput: band(&|s| s.output_token_throughput),
        goodput: band(&|s| s.goodput),
        attainment: band(&|s| s.attainment),
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
