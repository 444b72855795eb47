//! Reference cases: a folder each, with a trace, the options it ran with, and what the reference reported.
//!
//! A case is exact if every count and every per-request microsecond is equal, every aggregate is equal to
//! 10⁻⁹ relative, and the KV rates agree at the printed digits, in step mode and in fast mode.
//! [`check_case`] takes texts, not paths, so that the suite also runs inside a browser.

use plimsoll_core::catalog::Catalog;
use plimsoll_core::cluster::Simulation;
use plimsoll_core::engine::Mode;
use plimsoll_core::latency::LatencyModel;
use plimsoll_core::observation::{Fate, RequestRecord};
use plimsoll_core::report::{Collector, Report, ReportSettings, SummaryJson};
use plimsoll_core::scenario::{
    AdmissionConfig, AdmissionPolicy, ClusterConfig, CpuTierConfig, EngineConfig, PriorityPolicy, RoutingConfig,
    RoutingPolicy, Rules, SchedulerPolicy, ScorerWeight, Slo,
};
use plimsoll_core::time::SimTime;
use plimsoll_core::workload::TraceSource;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Largest relative difference of an aggregate.
const TOLERANCE: f64 = 1e-9;
/// The KV rates are printed with four decimals.
const PRINTED: f64 = 0.5e-4 + 1e-12;

/// The options of a case, under the names of its file; what is absent has the default of the format.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    model: String,
    gpu: String,
    tp: u32,
    latency: Latency,
    kv_blocks: u32,
    #[serde(default = "sixteen")]
    block_size: u32,
    #[serde(default = "many_seqs")]
    max_num_seqs: u32,
    #[serde(default = "token_budget")]
    max_num_batched_tokens: u32,
    #[serde(default)]
    long_prefill_token_threshold: u32,
    #[serde(default)]
    max_model_len: u32,
    #[serde(default = "long_horizon")]
    horizon_us: i64,
    #[serde(default)]
    scheduler: SchedulerPolicy,
    #[serde(default)]
    priority: PriorityPolicy,
    #[serde(default = "one")]
    instances: u32,
    #[serde(default)]
    routing: RoutingPolicy,
    #[serde(default)]
    routing_scorers: String,
    #[serde(default)]
    admission: AdmissionPolicy,
    #[serde(default)]
    token_bucket_capacity: f64,
    #[serde(default)]
    token_bucket_refill_rate: f64,
    #[serde(default)]
    admission_latency_us: i64,
    #[serde(default)]
    routing_latency_us: i64,
    #[serde(default)]
    snapshot_refresh_us: i64,
    #[serde(default)]
    cache_signal_delay_us: i64,
    /// Whether decisions are traced, with two candidates each.
    #[serde(default)]
    trace: bool,
    #[serde(default)]
    kv_cpu_blocks: u32,
    #[serde(default = "transfer_bandwidth")]
    kv_transfer_bandwidth: f64,
    #[serde(default)]
    kv_transfer_base_latency: i64,
}

fn one() -> u32 {
    1
}
fn sixteen() -> u32 {
    16
}
fn many_seqs() -> u32 {
    256
}
fn token_budget() -> u32 {
    2048
}
fn long_horizon() -> i64 {
    10_000_000_000_000
}
fn transfer_bandwidth() -> f64 {
    100.0
}

#[derive(Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
enum Latency {
    Blackbox { alpha: Vec<f64>, beta: Vec<f64> },
    Roofline,
    TrainedPhysics,
}

/// The three texts of a case.
#[derive(Debug, Clone)]
pub struct CaseText {
    /// Name of its folder.
    pub name: String,
    /// `case.json`.
    pub case: String,
    /// `trace.csv`.
    pub trace: String,
    /// `expected.json`.
    pub expected: String,
}

/// What became of a suite.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// Cases that are exact in both modes.
    pub exact: usize,
    /// Cases run.
    pub total: usize,
    /// The first difference of each case that is not.
    pub differences: Vec<String>,
}

impl Outcome {
    /// Whether there was a case and all are exact.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.total > 0 && self.exact == self.total
    }
}

/// Reads every case folder in `directory`; with `single` only those of one replica. A case that cannot be read is
/// given as the reason, with the file's path.
///
/// # Errors
/// The directory cannot be read.
pub fn read_cases(directory: &Path, single: bool) -> Result<Vec<Result<CaseText, String>>, String> {
    let entries = fs::read_dir(directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    let mut folders: Vec<PathBuf> =
        entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).filter(|path| path.is_dir()).collect();
    folders.sort();
    let mut cases = Vec::new();
    for folder in folders {
        let read = |name: &str| {
            let path = folder.join(name);
            fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
        };
        let read_case = || {
            Ok(CaseText {
                name: folder.file_name().unwrap_or_default().to_string_lossy().into_owned(),
                case: read("case.json")?,
                trace: read("trace.csv")?,
                expected: read("expected.json")?,
            })
        };
        let text: Result<CaseText, String> = read_case();
        if text.as_ref().map_or(true, |text| !single || num_replicas(&text.case) <= 1) {
            cases.push(text);
        }
    }
    Ok(cases)
}

/// Runs every case folder in `directory`; with `single` only those of one replica. A case that cannot be read is one
/// that is not exact.
///
/// # Errors
/// The directory cannot be read.
pub fn run_directory(directory: &Path, single: bool, catalog: &Catalog) -> Result<Outcome, String> {
    let mut outcome = Outcome::default();
    for case in read_cases(directory, single)? {
        outcome.total += 1;
        let case = match case {
            Ok(case) => case,
            Err(problem) => {
                outcome.differences.push(problem);
                continue;
            }
        };
        let modes = [("step mode", Mode::Step), ("fast mode", Mode::Fast)];
        let difference = modes.into_iter().find_map(|(name, mode)| {
            check_case(&case, mode, catalog).err().map(|difference| format!("{} in {name}: {difference}", case.name))
        });
        match difference {
            None => outcome.exact += 1,
            Some(difference) => outcome.differences.push(difference),
        }
    }
    Ok(outcome)
}

fn num_replicas(case: &str) -> u64 {
    let value: Option<Value> = serde_json::from_str(case).ok();
    value.and_then(|value| value.get("instances").and_then(Value::as_u64)).unwrap_or(1)
}

/// Runs one case in one mode; the report as the bytes a results file would have.
///
/// # Errors
/// Names the first difference from the reference, or what is wrong with the case itself.
pub fn check_case(text: &CaseText, mode: Mode, catalog: &Catalog) -> Result<Vec<u8>, String> {
    let case: Case = serde_json::from_str(&text.case).map_err(|error| format!("case.json: {error}"))?;
    let expected: Value = serde_json::from_str(&text.expected).map_err(|error| format!("expected.json: {error}"))?;
    let trace = plimsoll_formats::trace::trace_from_bytes(text.trace.as_bytes(), "trace.csv").map_err(|problems| {
        problems.iter().fold(String::from("trace.csv:"), |mut all, problem| {
            let _ = write!(all, " {problem};");
            all
        })
    })?;
    let trace = Arc::new(trace.value);
    let settings = ReportSettings {
        slo: Slo::default(),
        slo_classes: Default::default(),
        priority: case.priority,
        num_replicas: case.instances,
        num_blocks: case.kv_blocks,
        time_share_names: &[],
        classes: trace.classes().to_vec(),
        tenants: trace.tenants().to_vec(),
    };
    let mut collector = Collector::detailed(settings);
    let latency = latency_model(&case, catalog)?;
    let cluster = cluster_config(&case)?;
    let mut simulation = Simulation::new(&cluster, engine_config(&case), latency, TraceSource::new(trace), mode);
    if case.trace {
        simulation = simulation.tracing(2);
    }
    while !simulation.run_for(u64::MAX, &mut collector) {}
    let totals = simulation.finish(&mut collector);
    let records = collector.records().to_vec();
    let report = Report::new(collector, &totals);

    check_requests(&expected, &records)?;
    check_metrics(expected.get("metrics"), &report.summary)?;
    let none = Vec::new();
    let instances = expected.get("per_instance").and_then(Value::as_array).unwrap_or(&none);
    for replica in &report.replicas {
        let id = replica.summary.instance_id.as_str();
        if instances.is_empty() {
            break;
        }
        let wanted = instances.iter().find(|instance| instance.get("instance_id").and_then(Value::as_str) == Some(id));
        check_metrics(wanted, &replica.summary).map_err(|difference| format!("{id}: {difference}"))?;
    }
    check_counters(&expected, &report)?;
    check_decisions(&expected, &report)?;
    serde_json::to_vec(&report).map_err(|error| error.to_string())
}

/// A digest of the reports of all cases, in order and in both modes: equal digests on two platforms mean equal bytes.
///
/// # Errors
/// The first difference from the reference.
pub fn digest<'a>(cases: impl Iterator<Item = &'a CaseText>, catalog: &Catalog) -> Result<u64, String> {
    let mut digest = 0xcbf2_9ce4_8422_2325u64;
    for case in cases {
        let step =
            check_case(case, Mode::Step, catalog).map_err(|difference| format!("{}: {difference}", case.name))?;
        let fast =
            check_case(case, Mode::Fast, catalog).map_err(|difference| format!("{}: {difference}", case.name))?;
        if step != fast {
            return Err(format!("{}: the reports of the two modes differ", case.name));
        }
        // FNV-1a: short, and the same everywhere.
        for byte in step {
            digest = (digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    Ok(digest)
}

fn latency_model(case: &Case, catalog: &Catalog) -> Result<LatencyModel, String> {
    let known = || {
        let model = catalog.model(&case.model).ok_or_else(|| format!("no architecture for {}", case.model))?;
        let accelerator = catalog.accelerator(&case.gpu).ok_or_else(|| format!("no data sheet for {}", case.gpu))?;
        Ok::<_, String>((model, accelerator))
    };
    let physics = &catalog.trained_physics;
    match &case.latency {
        Latency::Blackbox { alpha, beta } => LatencyModel::blackbox(alpha, beta),
        Latency::Roofline => known().map(|(model, gpu)| LatencyModel::roofline(model, gpu, case.tp, &[]))?,
        Latency::TrainedPhysics => known()
            .map(|(model, gpu)| LatencyModel::trained_physics(model, gpu, case.tp, &physics.alpha, &physics.beta))?,
    }
    .map_err(|problems| format!("{problems:?}"))
}

fn cluster_config(case: &Case) -> Result<ClusterConfig, String> {
    Ok(ClusterConfig {
        num_replicas: case.instances,
        admission: match case.admission {
            AdmissionPolicy::AlwaysAdmit => AdmissionConfig::AlwaysAdmit,
            AdmissionPolicy::RejectAll => AdmissionConfig::RejectAll,
            AdmissionPolicy::TokenBucket => AdmissionConfig::TokenBucket {
                capacity: case.token_bucket_capacity,
                refill_rate: case.token_bucket_refill_rate,
            },
        },
        admission_latency: SimTime(case.admission_latency_us),
        routing: match case.routing {
            RoutingPolicy::RoundRobin => RoutingConfig::RoundRobin,
            RoutingPolicy::LeastLoaded => RoutingConfig::LeastLoaded,
            RoutingPolicy::AlwaysBusiest => RoutingConfig::AlwaysBusiest,
            RoutingPolicy::PrefixAffinity => RoutingConfig::PrefixAffinity,
            RoutingPolicy::Weighted => RoutingConfig::Weighted(scorers(&case.routing_scorers)?),
        },
        routing_latency: SimTime(case.routing_latency_us),
        snapshot_refresh_interval: SimTime(case.snapshot_refresh_us),
        cache_signal_delay: SimTime(case.cache_signal_delay_us),
    })
}

/// Scorers as `name:weight,…`.
fn scorers(text: &str) -> Result<Vec<ScorerWeight>, String> {
    let scorer = |pair: &str| {
        let (name, weight) = pair.split_once(':').ok_or_else(|| format!("{pair} is not a name and a weight"))?;
        let name = serde_json::from_value(Value::from(name)).map_err(|error| error.to_string())?;
        Ok(ScorerWeight { name, weight: weight.parse().map_err(|_| format!("{weight} is not a number"))? })
    };
    text.split(',').map(scorer).collect()
}

fn engine_config(case: &Case) -> EngineConfig {
    EngineConfig {
        num_blocks: case.kv_blocks,
        block_size: case.block_size,
        max_num_seqs: case.max_num_seqs,
        max_num_batched_tokens: case.max_num_batched_tokens,
        long_prefill_token_threshold: case.long_prefill_token_threshold,
        max_model_len: case.max_model_len,
        enable_prefix_caching: true,
        scheduler: case.scheduler,
        priority: case.priority,
        cpu_tier: (case.kv_cpu_blocks > 0).then_some(CpuTierConfig {
            num_blocks: case.kv_cpu_blocks,
            tokens_per_us: case.kv_transfer_bandwidth,
            base_latency: SimTime(case.kv_transfer_base_latency),
        }),
        horizon: SimTime(case.horizon_us),
        rules: Rules::Reference,
    }
}

/// Every completed request: microseconds and lengths.
fn check_requests(expected: &Value, records: &[RequestRecord]) -> Result<(), String> {
    let empty = Vec::new();
    let wanted = expected.get("requests").and_then(Value::as_array).unwrap_or(&empty);
    let is_completed = |record: &&RequestRecord| matches!(record.fate, Fate::Completed | Fate::LengthCapped);
    let completed: BTreeMap<u64, &RequestRecord> =
        records.iter().filter(is_completed).map(|record| (u64::from(record.request.id), record)).collect();
    if completed.len() != wanted.len() {
        return Err(format!("completed requests: expected {}, got {}", wanted.len(), completed.len()));
    }
    for want in wanted {
        let field = |name: &str| want.get(name).and_then(Value::as_i64).unwrap_or(-1);
        let id = field("request_id");
        let Some(record) = u64::try_from(id).ok().and_then(|id| completed.get(&id)) else {
            return Err(format!("request {id} did not complete"));
        };
        let pairs = [
            ("ttft_us", record.ttft.map_or(-1, |time| time.0)),
            ("e2e_us", record.e2e.map_or(-1, |time| time.0)),
            ("input_tokens", i64::from(record.request.input_tokens)),
            ("output_tokens", i64::from(record.produced_tokens)),
        ];
        for (name, got) in pairs {
            if field(name) != got {
                return Err(format!("request {id}, {name}: expected {}, got {got}", field(name)));
            }
        }
    }
    Ok(())
}

/// A summary, by the reference's own field names.
fn check_metrics(wanted: Option<&Value>, summary: &SummaryJson) -> Result<(), String> {
    let got = serde_json::to_value(summary).map_err(|error| error.to_string())?;
    let Some(wanted) = wanted.and_then(Value::as_object) else {
        return Err("expected.json has no such metrics".into());
    };
    for (name, want) in wanted {
        let Some(want) = want.as_f64() else { continue };
        let got = got.get(name).and_then(Value::as_f64);
        if !got.is_some_and(|got| is_close(got, want)) {
            return Err(format!("{name}: expected {want}, got {got:?}"));
        }
    }
    Ok(())
}

/// The trace summary; regrets at the printed digits.
fn check_decisions(expected: &Value, report: &Report) -> Result<(), String> {
    let Some(wanted) = expected.get("trace_summary") else { return Ok(()) };
    let Some(got) = &report.trace_summary else { return Err("no decisions were traced".into()) };
    let number = |name: &str| wanted.get(name).and_then(Value::as_f64).unwrap_or(f64::NAN);
    let counts = [("total", got.total_decisions), ("admitted", got.admitted), ("rejected", got.rejected)];
    for (name, got) in counts {
        if number(name) != got as f64 {
            return Err(format!("{name} decisions: expected {}, got {got}", number(name)));
        }
    }
    for (index, got) in got.targets.iter().enumerate() {
        let name = format!("instance_{index}");
        let want = wanted.get("targets").and_then(|targets| targets.get(&name)).and_then(Value::as_u64).unwrap_or(0);
        if want != *got {
            return Err(format!("routed to {name}: expected {want}, got {got}"));
        }
    }
    for (name, got) in [("mean_regret", got.mean_regret), ("max_regret", got.max_regret)] {
        // Printed with six decimals.
        if (number(name) - got).abs() > 0.5e-6 + 1e-12 {
            return Err(format!("{name}: expected {}, got {got}", number(name)));
        }
    }
    Ok(())
}

/// Anomaly counters and KV rates; what the reference does not print is 0.
fn check_counters(expected: &Value, report: &Report) -> Result<(), String> {
    let printed = |part: &str, name: &str| {
        expected.get(part).and_then(|part| part.get(name)).and_then(Value::as_f64).unwrap_or(0.0)
    };
    let counters = [
        ("Priority Inversions", report.anomalies.priority_inversions),
        ("HOL Blocking Events", report.anomalies.hol_blocking_events),
        ("Rejected Requests (Admission)", report.anomalies.rejected_requests),
        ("Dropped Unservable", report.anomalies.dropped_unservable),
        ("Length-Capped Requests", report.anomalies.length_capped_requests),
    ];
    for (name, got) in counters {
        let want = printed("counters", name);
        if want != got as f64 {
            return Err(format!("{name}: expected {want}, got {got}"));
        }
    }
    let rates = [
        ("Preemption Rate", report.kv.preemption_rate),
        ("Cache Hit Rate", report.kv.cache_hit_rate),
        ("KV Thrashing Rate", report.kv.thrashing_rate),
    ];
    for (name, got) in rates {
        let want = printed("kv", name);
        if (want - got).abs() > PRINTED {
            return Err(format!("{name}: expected {want}, got {got}"));
        }
    }
    Ok(())
}

fn is_close(got: f64, want: f64) -> bool {
    (got - want).abs() <= TOLERANCE * want.abs().max(got.abs())
}
