//! The bounds of everything that needs no catalogue: engine limits, workload, SLO, curve.

use super::workload_limits::{MAX_REQUESTS, MAX_TOKENS, MIN_RATE};
use super::{
    ClassSlo, CpuTierConfig, CurveSettings, EngineSettings, SCENARIO_VERSION, Scenario, Slo, UNNAMED_CLASS,
    WorkloadSettings,
};
use crate::catalog::meant;
use crate::diagnostic::Diagnostic;
use crate::time::SimTime;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Display;
use core::ops::RangeInclusive;

/// Tokens of a KV block.
pub(super) const BLOCK_SIZES: RangeInclusive<u32> = 1..=65_536;
/// KV blocks of a replica.
pub(super) const NUM_BLOCKS: RangeInclusive<u32> = 1..=1_000_000_000;

/// Bytes of the KV cache on an accelerator.
pub(super) const KV_BYTES: RangeInclusive<u64> = 1..=1_000_000_000_000_000;

/// Most runs of a curve's grid.
const MAX_CURVE_RUNS: u64 = 10_000;

/// Collects what is out of bounds.
pub(super) struct Bounds<'a> {
    pub diagnostics: &'a mut Vec<Diagnostic>,
}

impl Bounds<'_> {
    pub(super) fn reject(&mut self, path: &str, value: impl Display, hint: impl Into<String>) {
        let field = path.rsplit('.').next().unwrap_or(path);
        let diagnostic = Diagnostic::error("invalid-value", path, format!("{field} is {value}")).with_hint(hint);
        self.diagnostics.push(diagnostic);
    }

    pub(super) fn integer(&mut self, path: &str, value: u32, range: RangeInclusive<u32>) {
        if !range.contains(&value) {
            self.reject(path, value, format!("give a whole number from {} to {}", range.start(), range.end()));
        }
    }

    /// A finite number above zero, at most `max`.
    pub(super) fn positive(&mut self, path: &str, value: f64, max: f64) {
        if !(value > 0.0 && value <= max) {
            self.reject(path, value, format!("give a number above 0 and at most {max}"));
        }
    }

    pub(super) fn within(&mut self, path: &str, value: f64, range: RangeInclusive<f64>) {
        if !range.contains(&value) {
            self.reject(path, value, format!("give a number from {} to {}", range.start(), range.end()));
        }
    }

    pub fn version(&mut self, scenario: &Scenario) {
        if scenario.version != SCENARIO_VERSION {
            self.diagnostics.push(
                Diagnostic::error(
                    "scenario-version",
                    "version",
                    format!("scenario version {} is not known", scenario.version),
                )
                .with_hint(format!(
                    "this program reads up to version {SCENARIO_VERSION}; a newer program wrote the file"
                )),
            );
        }
    }

    /// Checks limits and names what is accepted but not modelled; gives the last tick and the host-memory tier.
    pub fn engine(&mut self, scenario: &Scenario) -> (SimTime, Option<CpuTierConfig>) {
        let engine = &scenario.engine;
        if let Some(places) = engine.max_num_seqs {
            self.integer("engine.max_num_seqs", places, 1..=1_000_000);
        }
        if let Some(tokens) = engine.max_num_batched_tokens {
            self.integer("engine.max_num_batched_tokens", tokens, 1..=MAX_TOKENS);
        }
        if let Some(tokens) = engine.max_num_scheduled_tokens {
            self.integer("engine.max_num_scheduled_tokens", tokens, 1..=MAX_TOKENS);
        }
        if let Some(bytes) = engine.kv_cache_memory_bytes
            && !KV_BYTES.contains(&bytes)
        {
            let hint = format!("give the bytes on each accelerator, from {} to {}", KV_BYTES.start(), KV_BYTES.end());
            self.reject("engine.kv_cache_memory_bytes", bytes, hint);
        }
        self.integer("engine.long_prefill_token_threshold", engine.long_prefill_token_threshold, 0..=MAX_TOKENS);
        self.integer("engine.max_model_len", engine.max_model_len.unwrap_or(0), 0..=2 * MAX_TOKENS);
        self.integer("engine.block_size", engine.block_size, BLOCK_SIZES);
        if let Some(blocks) = engine.num_gpu_blocks {
            self.integer("engine.num_gpu_blocks", blocks, NUM_BLOCKS);
        }
        if let Some(utilization) = engine.gpu_memory_utilization {
            self.positive("engine.gpu_memory_utilization", utilization, 1.0);
        }
        self.integer("engine.kv_cpu_blocks", engine.kv_cpu_blocks, 0..=1_000_000_000);
        if engine.kv_cpu_blocks > 0 {
            self.within("engine.kv_transfer_bandwidth", engine.kv_transfer_bandwidth, 1e-6..=1e12);
        }
        self.integer("engine.pipeline_parallel_size", engine.pipeline_parallel_size, 1..=1024);
        self.not_modelled(engine);

        let horizon = match scenario.horizon_us {
            None => SimTime::MAX,
            Some(0) => {
                self.reject("horizon_us", 0, "give the last microsecond of the run, or leave it out to run to the end");
                SimTime::MAX
            }
            Some(micros) => SimTime(i64::try_from(micros).unwrap_or(i64::MAX)),
        };
        let tier = (engine.kv_cpu_blocks > 0).then_some(CpuTierConfig {
            num_blocks: engine.kv_cpu_blocks,
            tokens_per_us: engine.kv_transfer_bandwidth,
            base_latency: SimTime(i64::from(engine.kv_transfer_base_latency_us)),
        });
        (horizon, tier)
    }

    fn not_modelled(&mut self, engine: &EngineSettings) {
        for (is_set, path, message, hint) in [
            (
                engine.pipeline_parallel_size > 1,
                "engine.pipeline_parallel_size",
                format!("pipeline_parallel_size {} is not modelled", engine.pipeline_parallel_size),
                "the figures are those of pipeline_parallel_size 1",
            ),
            (
                engine.enable_expert_parallel,
                "engine.enable_expert_parallel",
                "step times of expert parallelism are not modelled".into(),
                "they are those of experts split by tensor parallelism; in memory the replicas share the experts",
            ),
            (
                !engine.enable_chunked_prefill && engine.use_v1,
                "engine.enable_chunked_prefill",
                "prefill without chunking is not modelled".into(),
                "the figures are those of prompts chunked by max_num_batched_tokens",
            ),
        ] {
            if is_set {
                self.diagnostics.push(Diagnostic::warning("not-modelled", path, message).with_hint(hint));
            }
        }
    }

    pub fn slo(&mut self, slo: &Slo) {
        if !(slo.percentile > 0.0 && slo.percentile < 100.0) {
            self.reject("slo.percentile", slo.percentile, "give a number between 0 and 100, e.g. 95");
        }
        for (path, limit) in [
            ("slo.ttft_ms", slo.ttft_ms),
            ("slo.tpot_ms", slo.tpot_ms),
            ("slo.itl_ms", slo.itl_ms),
            ("slo.e2e_ms", slo.e2e_ms),
        ] {
            if let Some(limit) = limit {
                self.positive(path, limit, 1e12);
            }
        }
        self.within("slo.attainment", slo.attainment, 0.0..=1.0);
    }

    /// Checks the limits of SLO classes, and that somebody is of these.
    pub fn slo_classes(&mut self, classes: &BTreeMap<String, ClassSlo>, workload: &WorkloadSettings) {
        for (name, class) in classes {
            self.is_somebodys(name, workload);
            let limits = [("ttft_ms", class.ttft_ms), ("tpot_ms", class.tpot_ms), ("e2e_ms", class.e2e_ms)];
            for (field, limit) in limits {
                if let Some(limit) = limit {
                    self.positive(&format!("slo_classes.{name}.{field}"), limit, 1e12);
                }
            }
        }
    }

    /// Warns of a class that no client has; which are those of a trace, only the trace tells.
    fn is_somebodys(&mut self, name: &str, workload: &WorkloadSettings) {
        let of_clients = workload.clients.iter().map(|client| client.slo_class.as_str());
        let unnamed = workload.clients.is_empty().then_some("");
        let classes: Vec<&str> =
            of_clients.chain(unnamed).map(|class| if class.is_empty() { UNNAMED_CLASS } else { class }).collect();
        if workload.trace.is_none() && !classes.contains(&name) {
            let diagnostic = Diagnostic::warning(
                "setting-not-used",
                format!("slo_classes.{name}"),
                format!("no request is of the class {name}"),
            );
            self.diagnostics.push(diagnostic.with_hint(meant(name, classes)));
        }
    }

    pub fn curve(&mut self, curve: &CurveSettings) {
        self.integer("curve.num_rates", curve.num_rates, 2..=1000);
        self.integer("curve.num_requests", curve.num_requests, 1..=MAX_REQUESTS);
        self.integer("curve.num_seeds", curve.num_seeds, 1..=1000);
        let runs = u64::from(curve.num_rates) * u64::from(curve.num_seeds);
        if runs > MAX_CURVE_RUNS {
            self.reject(
                "curve.num_seeds",
                format!("{runs} runs of {} rates and {} seeds", curve.num_rates, curve.num_seeds),
                format!("num_rates times num_seeds is at most {MAX_CURVE_RUNS}"),
            );
        }
        if let Some([low, high]) = curve.range_per_s
            && !(low >= MIN_RATE && high > low && high <= 1e6)
        {
            self.reject(
                "curve.range_per_s",
                format!("{low} to {high}"),
                "give a lowest rate of at least 0.000001 and a highest rate above it, at most 1000000",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{ClientSettings, TraceChoice};

    #[test]
    fn limits_of_a_class_that_nobody_has_are_remarked_upon() {
        let classes = |workload: &WorkloadSettings| {
            let limits = ["critical", "batch", "default"].map(|name| (name.into(), ClassSlo::default()));
            let mut diagnostics = Vec::new();
            Bounds { diagnostics: &mut diagnostics }.slo_classes(&BTreeMap::from(limits), workload);
            diagnostics.into_iter().map(|found| found.path).collect::<Vec<_>>()
        };
        let client = |class: &str| ClientSettings { slo_class: class.into(), ..ClientSettings::default() };
        let mut workload = WorkloadSettings::default();
        assert_eq!(classes(&workload), ["slo_classes.batch", "slo_classes.critical"]);
        workload.clients = alloc::vec![client("critical"), client("batch")];
        assert_eq!(classes(&workload), ["slo_classes.default"]);
        workload.clients.push(client(""));
        assert_eq!(classes(&workload).len(), 0);
        let trace = TraceChoice { name: "t".into(), hash: "0".repeat(16), ..TraceChoice::default() };
        assert_eq!(classes(&WorkloadSettings { trace: Some(trace), ..WorkloadSettings::default() }).len(), 0);
    }

    #[test]
    fn a_curve_has_a_bounded_number_of_runs() {
        for (num_rates, num_seeds, problems) in [(1000, 10, 0), (10, 1000, 0), (10, 1001, 2), (1000, 11, 1)] {
            let mut diagnostics = Vec::new();
            let curve = CurveSettings { num_rates, num_seeds, ..CurveSettings::default() };
            Bounds { diagnostics: &mut diagnostics }.curve(&curve);
            assert_eq!(diagnostics.len(), problems, "{num_rates} rates and {num_seeds} seeds: {diagnostics:?}");
            assert!(diagnostics.iter().all(|diagnostic| diagnostic.path == "curve.num_seeds"));
        }
    }
}
