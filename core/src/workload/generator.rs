//! Requests drawn from distributions (workload specification 1 and 3).

use super::arrivals::Gaps;
use super::lengths::Law;
use super::{PrefixId, PrefixTree, Request, RequestSource};
use crate::random::{Purpose, Seed, Stream};
use crate::scenario::{ArrivalSettings, PrefixSettings, WorkloadSettings};
use crate::time::{SimTime, truncate};
use alloc::vec::Vec;

/// Draws one request after the other.
///
/// The first arrival comes after one gap. Each quantity has a stream of its own, so a changed output length moves no
/// arrival.
///
/// # Determinism
/// Common random numbers: for the same seed and replicate the i-th request has the same lengths, the same prefix and
/// the same *unit* gap at every rate; its gap is the unit gap divided by the rate.
///
/// # Cost
/// Constant per request and no memory beyond the prefixes.
#[derive(Debug, Clone)]
pub struct Generator {
    gaps: Gaps,
    input: Law,
    output: Law,
    input_stream: Stream,
    output_stream: Stream,
    prefix: PrefixChoice,
    prefixes: PrefixTree,
    /// Deadline after arrival, microseconds; 0 = none.
    timeout: i64,
    clock: i64,
    next: u32,
    num_requests: u32,
}

impl Generator {
    /// A generator of `num_requests` requests at `request_rate` per second.
    ///
    /// Settings that `resolve` would refuse (a rate that is not positive, a deviation that is negative) do not fail:
    /// the gap is then as long as time, the length clamped to its bounds.
    #[must_use]
    pub fn new(settings: &WorkloadSettings, request_rate: f64, num_requests: u32, seed: u64, replicate: u32) -> Self {
        let seed = Seed { seed, replicate };
        Self {
            gaps: Gaps::new(&settings.arrival, request_rate / 1e6, Stream::new(seed, Purpose::Arrivals)),
            input: Law::new(&settings.input_tokens),
            output: Law::new(&settings.output_tokens),
            input_stream: Stream::new(seed, Purpose::InputLengths),
            output_stream: Stream::new(seed, Purpose::OutputLengths),
            prefix: PrefixChoice::new(&settings.prefix, seed),
            prefixes: PrefixTree::new(),
            timeout: settings.timeout_s.map_or(0, |seconds| truncate(seconds * 1e6).max(0)),
            clock: 0,
            next: 0,
            num_requests,
        }
    }
}

/// The mean of the first `num_requests` gaps as a part of the mean they are drawn with; 1 without any.
pub(super) fn mean_unit_gap(arrival: &ArrivalSettings, num_requests: u32, seed: Seed) -> f64 {
    /// Mean gap, microseconds: long, so that rounding to whole ones is nothing.
    const MEAN: f64 = 1e9;
    let mut gaps = Gaps::new(arrival, 1.0 / MEAN, Stream::new(seed, Purpose::Arrivals));
    let sum: f64 = (0..num_requests).map(|_| gaps.next() as f64).sum();
    if num_requests == 0 { 1.0 } else { sum / f64::from(num_requests) / MEAN }
}

impl RequestSource for Generator {
    #[inline]
    fn next_request(&mut self) -> Option<Request> {
        if self.next >= self.num_requests {
            return None;
        }
        let id = self.next;
        self.next += 1;
        self.clock = self.clock.saturating_add(self.gaps.next());
        let (prefix, prefix_tokens) = self.prefix.next(&mut self.prefixes);
        let output_tokens = self.output.draw(&mut self.output_stream);
        let input_tokens = self.input.draw(&mut self.input_stream).saturating_add(prefix_tokens);
        Some(Request {
            id,
            arrive: SimTime(self.clock),
            // Weights may name a length of 0, but nobody sends an empty prompt.
            input_tokens: input_tokens.max(1),
            output_tokens,
            answer_limit: output_tokens,
            front_end_us: 0,
            deadline: SimTime(if self.timeout > 0 { self.clock.saturating_add(self.timeout) } else { 0 }),
            prefix,
            output_prefix: PrefixId::NONE,
            slo_class: 0,
            tenant: 0,
            priority: 0,
        })
    }

    fn prefixes(&self) -> &PrefixTree {
        &self.prefixes
    }
}

/// Which prefix a request carries.
#[derive(Debug, Clone)]
pub(super) struct PrefixChoice {
    stream: Stream,
    /// Threshold of a 32-bit draw below which a request carries a prefix; 2³² = always.
    threshold: u64,
    /// Node of each group, the root until a request carries its prefix: of a million groups a short run sees few, and
    /// replicas keep tables of all nodes.
    nodes: Vec<PrefixId>,
    tokens: u32,
}

impl PrefixChoice {
    pub(super) fn new(settings: &PrefixSettings, seed: Seed) -> Self {
        let groups = if settings.tokens == 0 { 0 } else { settings.groups };
        let threshold = (settings.share_ratio.clamp(0.0, 1.0) * 4_294_967_296.0) as u64;
        Self {
            stream: Stream::new(seed, Purpose::PrefixChoice),
            threshold,
            nodes: alloc::vec![PrefixId::NONE; groups as usize],
            tokens: settings.tokens,
        }
    }

    /// The next request's prefix and its tokens.
    #[inline]
    pub(super) fn next(&mut self, prefixes: &mut PrefixTree) -> (PrefixId, u32) {
        if self.nodes.is_empty() {
            return (PrefixId::NONE, 0);
        }
        let bits = self.stream.bits();
        if bits & 0xffff_ffff >= self.threshold {
            return (PrefixId::NONE, 0);
        }
        // The upper half, scaled to 0..groups (Lemire); the bias is below 2⁻³² per group.
        let group = ((bits >> 32) * self.nodes.len() as u64) >> 32;
        let node = &mut self.nodes[group as usize];
        if *node == PrefixId::NONE {
            *node = prefixes.extend(PrefixId::NONE, self.tokens);
        }
        (*node, self.tokens)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::LengthSettings;

    fn draw(settings: &WorkloadSettings, rate: f64, n: u32, replicate: u32) -> Vec<Request> {
        let mut generator = Generator::new(settings, rate, n, 42, replicate);
        core::iter::from_fn(|| generator.next_request()).collect()
    }

    #[test]
    fn constant_gaps_are_those_of_the_specification() {
        let settings = WorkloadSettings { arrival: ArrivalSettings::Constant, ..WorkloadSettings::default() };
        for (rate, gap) in [(10.0, 99_999), (3.0, 333_333), (1.0, 1_000_000), (1e9, 1)] {
            let arrivals: Vec<i64> = draw(&settings, rate, 3, 0).iter().map(|r| r.arrive.0).collect();
            assert_eq!(arrivals, [gap, 2 * gap, 3 * gap]);
        }
    }

    #[test]
    fn a_replicate_is_the_same_requests_at_every_rate() {
        for arrival in [ArrivalSettings::Poisson, ArrivalSettings::Gamma { cv: 2.0 }] {
            let prefix = PrefixSettings { tokens: 64, groups: 3, share_ratio: 0.5 };
            let settings = WorkloadSettings { arrival, prefix, ..WorkloadSettings::default() };
            let slow = draw(&settings, 1.0, 500, 1);
            let fast = draw(&settings, 4.0, 500, 1);
            for (a, b) in slow.iter().zip(&fast) {
                assert_eq!((a.input_tokens, a.output_tokens, a.prefix), (b.input_tokens, b.output_tokens, b.prefix));
            }
            let gap = |requests: &[Request], i: usize| requests[i + 1].arrive.0 - requests[i].arrive.0;
            for i in 0..499 {
                assert!((gap(&slow, i) - 4 * gap(&fast, i)).abs() <= 4, "request {i}");
            }
        }
        let settings = WorkloadSettings::default();
        assert_ne!(draw(&settings, 1.0, 5, 0), draw(&settings, 1.0, 5, 1));
    }

    /// Seed 42, 100,000 requests; bounds of 4.9 standard errors: false alarm 1e-6 each.
    #[test]
    fn arrivals_come_at_the_rate_and_with_the_variation_asked_for() {
        let n = 100_000;
        for (arrival, cv) in [(ArrivalSettings::Poisson, 1.0), (ArrivalSettings::Gamma { cv: 2.0 }, 2.0)] {
            let settings = WorkloadSettings { arrival, ..WorkloadSettings::default() };
            let requests = draw(&settings, 5.0, n, 0);
            let mean = requests[n as usize - 1].arrive.0 as f64 / f64::from(n);
            assert!((mean / 200_000.0 - 1.0).abs() < 4.9 * cv / libm::sqrt(f64::from(n)), "{mean}");
            let variance =
                requests.windows(2).map(|w| (w[1].arrive.0 - w[0].arrive.0) as f64 - mean).map(|d| d * d).sum::<f64>()
                    / f64::from(n - 1);
            // Kurtosis of a gamma: 3 + 6 cv²; so the relative error of a variance is sqrt((2 + 6 cv²)/n).
            let bound = 4.9 * libm::sqrt((2.0 + 6.0 * cv * cv) / f64::from(n));
            assert!((variance / (mean * mean) / (cv * cv) - 1.0).abs() < bound, "{variance}");
        }
    }

    /// Seed 42, 100,000 requests; bounds of 4.9 standard errors: false alarm 1e-6 each.
    #[test]
    fn a_clamped_normal_piles_up_at_its_bounds() {
        let lengths = LengthSettings::Normal { mean: 100.0, std_dev: 50.0, min: 50, max: 7000 };
        let settings = WorkloadSettings { input_tokens: lengths, ..WorkloadSettings::default() };
        let n = 100_000.0;
        let requests = draw(&settings, 1.0, 100_000, 0);
        // P(Z < −1 + ½/50) = 0.161087: everything that rounds to 50.
        let at_bound = requests.iter().filter(|r| r.input_tokens == 50).count() as f64 / n;
        assert!((at_bound - 0.161_087).abs() < 4.9 * libm::sqrt(0.161 * 0.839 / n), "{at_bound}");
        // Mean of max(50, X): 50 + σ(φ(1) + Φ(1)) = 50 + 50·(0.2419707 + 0.8413447) = 104.1658.
        let mean = requests.iter().map(|r| f64::from(r.input_tokens)).sum::<f64>() / n;
        assert!((mean - 104.1658).abs() < 4.9 * 43.4 / libm::sqrt(n), "{mean}");
        assert!(requests.iter().all(|r| r.answer_limit == r.output_tokens && r.output_tokens >= 2));
    }

    /// Seed 42, 100,000 requests; bounds of 4.9 standard errors: false alarm 1e-6 each.
    #[test]
    fn a_lognormal_is_given_by_the_moments_of_the_value() {
        let lengths = LengthSettings::Lognormal { mean: 500.0, std_dev: 400.0, min: 1, max: 1_000_000 };
        let settings = WorkloadSettings { output_tokens: lengths, ..WorkloadSettings::default() };
        let n = 100_000.0;
        let values: Vec<f64> = draw(&settings, 1.0, 100_000, 0).iter().map(|r| f64::from(r.output_tokens)).collect();
        let mean = values.iter().sum::<f64>() / n;
        assert!((mean - 500.0).abs() < 4.9 * 400.0 / libm::sqrt(n), "{mean}");
        // Kurtosis of this lognormal: w⁴ + 2w³ + 3w² − 3 with w = 1 + 0.64.
        let w = 1.64_f64;
        let kurtosis = w * w * w * w + 2.0 * w * w * w + 3.0 * w * w - 3.0;
        let variance = values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / (n - 1.0);
        assert!((variance / 160_000.0 - 1.0).abs() < 4.9 * libm::sqrt((kurtosis - 1.0) / n), "{variance}");
    }

    /// Seed 42, 100,000 requests; bounds of 4.9 standard errors: false alarm 1e-6 each.
    #[test]
    fn prefixes_are_shared_as_often_as_asked_and_evenly() {
        let prefix = PrefixSettings { tokens: 1024, groups: 20, share_ratio: 0.8 };
        let input_tokens = LengthSettings::Constant { value: 10 };
        let settings = WorkloadSettings { prefix, input_tokens, ..WorkloadSettings::default() };
        let n = 100_000.0;
        let requests = draw(&settings, 1.0, 100_000, 0);
        let shared = requests.iter().filter(|r| r.prefix != PrefixId::NONE).count() as f64 / n;
        assert!((shared - 0.8).abs() < 4.9 * libm::sqrt(0.16 / n), "{shared}");
        for group in 1..=20 {
            let share = requests.iter().filter(|r| r.prefix == PrefixId(group)).count() as f64 / n;
            assert!((share - 0.04).abs() < 4.9 * libm::sqrt(0.04 * 0.96 / n), "group {group}: {share}");
        }
        assert!(requests.iter().all(|r| r.prefix <= PrefixId(20)));
        assert!(requests.iter().all(|r| r.input_tokens == if r.prefix == PrefixId::NONE { 10 } else { 1034 }));
    }

    #[test]
    fn a_prefix_that_nobody_carries_costs_nothing() {
        let prefix = PrefixSettings { tokens: 1024, groups: 1_000_000, share_ratio: 1.0 };
        let settings = WorkloadSettings { prefix, ..WorkloadSettings::default() };
        let mut generator = Generator::new(&settings, 1.0, 2000, 42, 0);
        let carried: Vec<PrefixId> = core::iter::from_fn(|| generator.next_request()).map(|r| r.prefix).collect();
        let mut distinct = carried.clone();
        distinct.sort_unstable();
        distinct.dedup();
        // 2,000 draws of a million: two pairs meet, on average.
        assert!(distinct.len() > 1980, "{}", distinct.len());
        assert_eq!(generator.prefixes().len(), 1 + distinct.len());
        assert!(carried.iter().all(|prefix| generator.prefixes().tokens(*prefix) == 1024));
    }

    #[test]
    fn a_timeout_becomes_an_absolute_deadline() {
        let settings = WorkloadSettings { timeout_s: Some(1.5), ..WorkloadSettings::default() };
        assert!(draw(&settings, 3.0, 10, 0).iter().all(|r| r.deadline.0 == r.arrive.0 + 1_500_000));
    }
}
