//! The figures by which a run is judged, measured or simulated.

use super::Measurement;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Latencies and throughput of one run; absent where they cannot be measured.
///
/// # Units and shape
/// Milliseconds; output tokens per second. Percentiles by linear interpolation between order statistics, as the
/// benchmark clients compute them.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RunFigures {
    /// Mean TTFT.
    pub ttft_mean: Option<f64>,
    /// Median TTFT.
    pub ttft_p50: Option<f64>,
    /// 90th percentile of TTFT.
    pub ttft_p90: Option<f64>,
    /// 99th percentile of TTFT.
    pub ttft_p99: Option<f64>,
    /// Mean over requests of the time per output token after the first.
    pub tpot_mean: Option<f64>,
    /// Mean over all gaps.
    pub itl_mean: Option<f64>,
    /// Mean end-to-end latency.
    pub e2e_mean: Option<f64>,
    /// 99th percentile of end-to-end latency.
    pub e2e_p99: Option<f64>,
    /// Output tokens per second from the first send to the last completion.
    pub output_throughput: Option<f64>,
}

/// One request's latencies, microseconds; what is unknown is absent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RequestLatency {
    /// Send to first token.
    pub ttft: Option<f64>,
    /// Send to last token.
    pub e2e: Option<f64>,
    /// Output tokens.
    pub output_tokens: u32,
}

impl RequestLatency {
    /// Time per output token after the first.
    #[must_use]
    pub fn tpot(&self) -> Option<f64> {
        (self.output_tokens >= 2).then_some((self.e2e? - self.ttft?) / f64::from(self.output_tokens.max(2) - 1))
    }
}

impl RunFigures {
    /// Names and values in the order of the fields.
    #[must_use]
    pub fn named(&self) -> [(&'static str, Option<f64>); 9] {
        [
            ("ttft_mean", self.ttft_mean),
            ("ttft_p50", self.ttft_p50),
            ("ttft_p90", self.ttft_p90),
            ("ttft_p99", self.ttft_p99),
            ("tpot_mean", self.tpot_mean),
            ("itl_mean", self.itl_mean),
            ("e2e_mean", self.e2e_mean),
            ("e2e_p99", self.e2e_p99),
            ("output_throughput", self.output_throughput),
        ]
    }

    /// Of a measured run: from its requests where it has them, else the figures of the tool that made the file.
    #[must_use]
    pub fn of_measurement(run: &Measurement) -> Self {
        if !run.has_requests() {
            let totals = &run.totals;
            return Self {
                ttft_mean: totals.ttft_mean_ms,
                ttft_p50: totals.ttft_p50_ms,
                ttft_p90: totals.ttft_p90_ms,
                ttft_p99: totals.ttft_p99_ms,
                tpot_mean: totals.tpot_mean_ms,
                itl_mean: totals.itl_mean_ms,
                e2e_mean: totals.e2e_mean_ms,
                e2e_p99: totals.e2e_p99_ms,
                output_throughput: totals.output_throughput_per_s,
            };
        }
        let latencies = run.requests.iter().map(|request| RequestLatency {
            ttft: request.ttft.map(|time| time.0 as f64),
            e2e: request.e2e.map(|time| time.0 as f64),
            output_tokens: request.output_tokens,
        });
        let span = run.span().map_or(0.0, |span| span.as_seconds());
        let mut figures = Self::of_requests(latencies, span);
        if !run.gaps.is_empty() {
            let sum: u64 = run.gaps.iter().map(|gap| u64::from(*gap)).sum();
            figures.itl_mean = Some(sum as f64 / run.gaps.len() as f64 / 1e3);
        }
        figures
    }

    /// Of single requests over a run of `span_s` seconds; the mean gap weighs requests by their gaps.
    #[must_use]
    pub fn of_requests(requests: impl Iterator<Item = RequestLatency>, span_s: f64) -> Self {
        let (mut ttfts, mut e2es, mut tpots) = (Vec::new(), Vec::new(), Vec::new());
        let (mut gap_sum, mut num_gaps, mut tokens) = (0.0, 0u64, 0u64);
        for request in requests {
            ttfts.extend(request.ttft);
            e2es.extend(request.e2e);
            tokens += u64::from(request.output_tokens);
            if let Some(tpot) = request.tpot() {
                tpots.push(tpot);
                let gaps = request.output_tokens - 1;
                gap_sum += tpot * f64::from(gaps);
                num_gaps += u64::from(gaps);
            }
        }
        ttfts.sort_by(f64::total_cmp);
        e2es.sort_by(f64::total_cmp);
        let millis = |value: Option<f64>| value.map(|micros| micros / 1e3);
        Self {
            ttft_mean: millis(mean(&ttfts)),
            ttft_p50: millis(percentile(&ttfts, 50.0)),
            ttft_p90: millis(percentile(&ttfts, 90.0)),
            ttft_p99: millis(percentile(&ttfts, 99.0)),
            tpot_mean: millis(mean(&tpots)),
            itl_mean: (num_gaps > 0).then(|| gap_sum / num_gaps as f64 / 1e3),
            e2e_mean: millis(mean(&e2es)),
            e2e_p99: millis(percentile(&e2es, 99.0)),
            output_throughput: (span_s > 0.0 && tokens > 0).then(|| tokens as f64 / span_s),
        }
    }
}

/// The mean; none of nothing.
fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Percentile `p` (0–100) of ascending values by linear interpolation; none of nothing.
pub(crate) fn percentile(sorted: &[f64], p: f64) -> Option<f64> {
    let rank = p / 100.0 * (sorted.len().checked_sub(1)? as f64);
    let low = libm::floor(rank);
    let at = *sorted.get(low as usize)?;
    let next = sorted.get(low as usize + 1).copied().unwrap_or(at);
    Some(at + (rank - low) * (next - at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_three_requests_by_hand() {
        let request = |ttft: f64, e2e: f64, output_tokens| RequestLatency {
            ttft: Some(ttft * 1e3),
            e2e: Some(e2e * 1e3),
            output_tokens,
        };
        // TPOT 10 and 20 ms; the one-token answer has none.
        let all = [request(50.0, 70.0, 3), request(100.0, 200.0, 6), request(60.0, 60.0, 1)];
        let figures = RunFigures::of_requests(all.into_iter(), 2.0);
        assert_eq!(figures.ttft_mean, Some(70.0));
        assert_eq!(figures.ttft_p50, Some(60.0));
        assert_eq!(figures.ttft_p90, Some(60.0 + 0.8 * 40.0));
        assert_eq!(figures.tpot_mean, Some(15.0));
        // Seven gaps: two of 10 ms, five of 20 ms.
        assert_eq!(figures.itl_mean, Some(120.0 / 7.0));
        assert_eq!(figures.e2e_mean, Some(110.0));
        assert_eq!(figures.output_throughput, Some(5.0));
        assert_eq!(RunFigures::of_requests(core::iter::empty(), 1.0), RunFigures::default());
    }
}
