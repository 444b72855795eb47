//! One number for a run, as a weighted sum of what it should be good at (metrics specification 4).

use super::Report;
use crate::catalog::meant;
use crate::diagnostic::Diagnostic;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Requests per second at which the component `throughput` is one half.
const HALF_REQUESTS: f64 = 100.0;
/// Output tokens per second at which the component `tokens_per_sec` is one half.
const HALF_TOKENS: f64 = 10_000.0;
/// Latency in microseconds at which a latency component is one half.
const HALF_LATENCY: f64 = 1000.0;

/// The keys, sorted.
const KEYS: [&str; 8] =
    ["mean_e2e", "mean_ttft", "p50_e2e", "p50_ttft", "p99_e2e", "p99_ttft", "throughput", "tokens_per_sec"];

/// What counts how much; sorted by key.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FitnessWeights(BTreeMap<&'static str, f64>);

/// The fitness of a run.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct FitnessReport {
    /// Sum over the weighted keys of component times weight.
    pub score: f64,
    /// The components of the weighted keys, 0–1, sorted by key.
    pub components: Vec<FitnessComponent>,
}

/// One component of a fitness.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct FitnessComponent {
    /// Key, e.g. `p99_ttft`.
    pub key: String,
    /// 0 to 1; latencies 1/(1 + t/1 ms), rates r/(r + 100), tokens k/(k + 10,000); 0 where nothing was measured.
    pub value: f64,
}

impl FitnessWeights {
    /// Reads `key:value,key:value`; spaces around keys and values do not count, of a repeated key the last weight does,
    /// and an empty text gives no weights.
    ///
    /// # Errors
    /// Every pair that is no pair, has an unknown key, or a weight that is not a finite number of at least 0; `path` is
    /// the place named.
    pub fn parse(text: &str, path: &str) -> Result<Self, Vec<Diagnostic>> {
        let mut weights = BTreeMap::new();
        let mut problems = Vec::new();
        for pair in text.split(',').filter(|_| !text.trim().is_empty()) {
            let (key, value) = match pair.split_once(':') {
                Some((key, value)) => (key.trim(), value.trim()),
                None => {
                    let message = format!("\"{}\" is not a key and a weight", pair.trim());
                    problems.push(
                        Diagnostic::error("invalid-value", path, message)
                            .with_hint("give pairs like throughput:0.5,p99_ttft:0.5"),
                    );
                    continue;
                }
            };
            let Some(known) = KEYS.iter().find(|known| **known == key) else {
                let message = format!("there is no key \"{key}\"");
                problems.push(
                    Diagnostic::error("invalid-value", path, message).with_hint(meant(key, KEYS.iter().copied())),
                );
                continue;
            };
            match value.parse::<f64>() {
                Ok(weight) if weight.is_finite() && weight >= 0.0 => drop(weights.insert(*known, weight)),
                _ => {
                    let message = format!("the weight of {key} is \"{value}\"");
                    let diagnostic = Diagnostic::error("invalid-value", path, message);
                    problems.push(diagnostic.with_hint("give a finite number of at least 0"));
                }
            }
        }
        if problems.is_empty() { Ok(Self(weights)) } else { Err(problems) }
    }

    /// The fitness of a run; none without weights.
    #[must_use]
    pub fn evaluate(&self, report: &Report) -> Option<FitnessReport> {
        if self.0.is_empty() {
            return None;
        }
        let mut fitness = FitnessReport::default();
        for (key, weight) in &self.0 {
            let value = component(key, report);
            fitness.score += value * weight;
            fitness.components.push(FitnessComponent { key: String::from(*key), value });
        }
        Some(fitness)
    }
}

fn component(key: &str, report: &Report) -> f64 {
    let share = |rate: f64, half: f64| rate / (rate + half);
    let latency = |value: f64, count: u64| if count == 0 { 0.0 } else { 1.0 / (1.0 + value / HALF_LATENCY) };
    let (ttft, e2e) = (&report.ttft_raw, &report.e2e_raw);
    match key {
        "throughput" => share(report.summary.responses_per_sec, HALF_REQUESTS),
        "tokens_per_sec" => share(report.summary.tokens_per_sec, HALF_TOKENS),
        "p99_ttft" => latency(ttft.p99, ttft.count),
        "p50_ttft" => latency(ttft.p50, ttft.count),
        "mean_ttft" => latency(ttft.mean, ttft.count),
        "p99_e2e" => latency(e2e.p99, e2e.count),
        "p50_e2e" => latency(e2e.p50, e2e.count),
        _ => latency(e2e.mean, e2e.count),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::ClusterTotals;
    use crate::report::{Collector, ReportSettings};
    use crate::scenario::{PriorityPolicy, Slo};

    fn report() -> Report {
        let settings = ReportSettings {
            slo: Slo::default(),
            slo_classes: Default::default(),
            priority: PriorityPolicy::Constant,
            num_replicas: 1,
            num_blocks: 10,
            time_share_names: &[],
            classes: Vec::new(),
            tenants: Vec::new(),
        };
        let mut report = Report::new(Collector::streaming(settings), &ClusterTotals::default());
        report.summary.responses_per_sec = 300.0;
        report.summary.tokens_per_sec = 10_000.0;
        (report.ttft_raw.p99, report.ttft_raw.count) = (3000.0, 5);
        report
    }

    #[test]
    fn the_score_is_the_weighted_sum_of_the_components() {
        let weights =
            FitnessWeights::parse(" throughput : 2, p99_ttft:9,tokens_per_sec:1,p99_ttft: 4 ,mean_e2e:8", "x");
        let fitness = weights.expect("all known").evaluate(&report()).expect("there are weights");
        // 300/400 × 2 + 1/(1 + 3) × 4 + 1/2; nothing ended, so its latency counts 0.
        assert_eq!(fitness.score, 1.5 + 1.0 + 0.5);
        let keys: Vec<&str> = fitness.components.iter().map(|component| component.key.as_str()).collect();
        assert_eq!(keys, ["mean_e2e", "p99_ttft", "throughput", "tokens_per_sec"]);
        assert_eq!(fitness.components[0].value, 0.0);
    }

    #[test]
    fn bad_pairs_are_all_named_and_no_text_is_no_weights() {
        assert_eq!(FitnessWeights::parse("  ", "x"), Ok(FitnessWeights::default()));
        assert_eq!(FitnessWeights::default().evaluate(&report()), None);
        let problems = FitnessWeights::parse("throughput,p99_tft:1,mean_ttft:-1,p50_e2e:inf,mean_e2e:x", "x");
        let problems = problems.expect_err("every pair is bad");
        assert_eq!(problems.len(), 5);
        assert!(problems[1].hint.starts_with("did you mean p99_ttft?"));
    }
}
