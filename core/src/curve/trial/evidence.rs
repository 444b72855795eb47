//! How well a run knows what it shows: limits missed, and standard errors, by batch means.

use super::{Context, RunLog, double};
use crate::curve::types::{LimitShare, Precision};
use crate::numeric::select_percentiles;
use crate::observation::{QueueSample, ReplicaTotals};
use crate::report::{Assessment, BinnedMean, NUM_BINS, RequestLimits};
use alloc::vec::Vec;

/// The shares of requests, all or those of a class, that miss each of their limits.
struct Missed<'a> {
    class: Option<u16>,
    limits: &'a RequestLimits,
    /// Which limits a percentile is held to.
    given: [bool; 3],
    shares: [BinnedMean; 3],
    /// Share of those that do not attain.
    lost: BinnedMean,
}

/// Equal stretches of the measured window.
struct Stretches {
    start: i64,
    per_micro: f64,
}

impl Stretches {
    fn of(window: &Assessment) -> Self {
        let span = (window.end.0.saturating_sub(window.start.0)).saturating_add(1);
        Self { start: window.start.0, per_micro: NUM_BINS as f64 / span as f64 }
    }

    /// The stretch of an arrival in the window.
    #[inline]
    fn of_arrival(&self, arrive: i64) -> usize {
        ((arrive - self.start) as f64 * self.per_micro) as usize
    }
}

fn indicator(is_so: bool) -> f64 {
    f64::from(u8::from(is_so))
}

impl Context {
    /// How often each limit is missed; every limit of the scenario, in the same order in every run.
    #[inline(never)]
    pub(super) fn limit_shares(&self, log: &RunLog, window: &Assessment, totals: &ReplicaTotals) -> Vec<LimitShare> {
        let missed = |class: Option<u16>, is_held: bool| {
            let limits = self.limits.of(class.unwrap_or(0));
            let given = limits.given().map(|given| given && is_held);
            Missed { class, limits, given, shares: Default::default(), lost: BinnedMean::default() }
        };
        // Where classes have limits of their own each is judged by itself, and all together attain.
        let differ = self.limits.differ();
        let mut all: Vec<Missed<'_>> = alloc::vec![missed(None, !differ)];
        if differ {
            all.extend((0..self.class_names.len() as u16).map(|class| missed(Some(class), true)));
        }
        let stretches = Stretches::of(window);
        for request in &log.settled {
            if request.arrive < window.start || request.arrive > window.end {
                continue;
            }
            let bin = stretches.of_arrival(request.arrive.0);
            let own = self.limits.of(request.slo_class);
            let attains = request.latency.is_some_and(|(ttft, e2e)| own.hold(ttft, e2e, request.output_tokens));
            for of in all.iter_mut().filter(|of| of.class.is_none_or(|class| class == request.slo_class)) {
                of.lost.add(bin, indicator(!attains));
                let Some((ttft, e2e)) = request.latency else { continue };
                let exceeded = of.limits.exceeded(ttft, e2e, request.output_tokens);
                for (at, share) in of.shares.iter_mut().enumerate().filter(|(at, _)| of.given[*at]) {
                    // An answer of one token has no time per output token.
                    if at != 1 || request.output_tokens > 1 {
                        share.add(bin, indicator(exceeded[at]));
                    }
                }
            }
        }
        let above_percentile = 1.0 - self.slo.percentile / 100.0;
        let share =
            |mean: &BinnedMean, allowed: f64| LimitShare { share: mean.mean(), allowed, variance: mean.variance() };
        let mut shares = Vec::new();
        for of in &all {
            let held = of.shares.iter().zip(of.given).filter(|(_, given)| *given);
            shares.extend(held.map(|(mean, _)| share(mean, above_percentile)));
            shares.push(share(&of.lost, 1.0 - self.slo.attainment));
        }
        shares.extend(self.slo.itl_ms.map(|limit| self.gap_share(log, limit, above_percentile, totals)));
        shares
    }

    /// The share of gaps above a limit. Requests that are in system together share their gaps, so a run has as many
    /// independent ones as it has requests per request in system.
    fn gap_share(&self, log: &RunLog, limit_ms: f64, allowed: f64, totals: &ReplicaTotals) -> LimitShare {
        let limit = limit_ms * 1000.0 / self.time_scale;
        let count = |above: bool| -> f64 {
            let counted = totals.gaps.iter().filter(|(gap, _)| !above || *gap as f64 > limit);
            counted.map(|(_, times)| *times as f64).sum()
        };
        let share = if count(false) > 0.0 { count(true) / count(false) } else { 0.0 };
        let requests = log.queue.len().max(1) as f64;
        let in_system = log.queue.iter().map(in_system).sum::<f64>() / requests;
        LimitShare { share, allowed, variance: share * (1.0 - share) * (in_system / requests).min(1.0) }
    }

    /// Standard errors; `percentiles` are those of the SLO of TTFT, TPOT and E2E in the units of the values, `values` of
    /// the same three.
    ///
    /// # Model
    /// A percentile is known as well as the share of requests above it: what lies a standard error of that share to
    /// either side of it is a standard error of the percentile to either side (P. Heidelberger and P. A. W. Lewis,
    /// Quantile estimation in dependent sequences, Operations Research 32, 1984).
    #[inline(never)]
    pub(super) fn precision(&self, log: &RunLog, window: &Assessment, values: [&mut Vec<u64>; 3]) -> Precision {
        let percentile = self.slo.percentile;
        let [ttft, tpot, e2e] = values;
        let at = |values: &mut Vec<u64>, percentiles: &[f64]| {
            let found = select_percentiles(values, percentiles, double);
            [found.first(), found.last()].map(|value| value.copied().unwrap_or_default().value())
        };
        let levels = [at(ttft, &[percentile])[0], at(tpot, &[percentile])[0], at(e2e, &[percentile])[0]];
        let stretches = Stretches::of(window);
        let mut above: [BinnedMean; 3] = Default::default();
        for request in &log.settled {
            let Some((ttft, e2e)) = request.latency else { continue };
            if request.arrive < window.start || request.arrive > window.end {
                continue;
            }
            let bin = stretches.of_arrival(request.arrive.0);
            above[0].add(bin, indicator(ttft.0 as f64 > levels[0]));
            above[2].add(bin, indicator(e2e.0 as f64 > levels[2]));
            let gaps = f64::from(request.output_tokens) - 1.0;
            if gaps > 0.0 {
                above[1].add(bin, indicator((e2e.0 - ttft.0) as f64 * 1000.0 > levels[1] * gaps));
            }
        }
        let error = |values: &mut Vec<u64>, above: &BinnedMean| {
            let share = libm::sqrt(above.variance()) * 100.0;
            let [low, high] = at(values, &[(percentile - share).max(0.0), (percentile + share).min(100.0)]);
            (high - low) / 2.0
        };
        let mut number = BinnedMean::default();
        let inside = log.queue.iter().filter(|sample| sample.time >= window.start && sample.time <= window.end);
        inside.for_each(|sample| number.add(stretches.of_arrival(sample.time.0), in_system(sample)));
        let mean = number.mean();
        let milli = self.time_scale / 1000.0;
        Precision {
            in_system: if mean > 0.0 { libm::sqrt(number.variance()) / mean } else { 0.0 },
            ttft: error(ttft, &above[0]) * milli,
            tpot: error(tpot, &above[1]) * milli / 1000.0,
            e2e: error(e2e, &above[2]) * milli,
        }
    }
}

/// Requests in system but for the one that looks.
fn in_system(sample: &QueueSample) -> f64 {
    f64::from(sample.waiting.saturating_sub(1)) + f64::from(sample.running)
}
