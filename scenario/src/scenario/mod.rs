//! What is asked: a scenario as declared, and what it resolves to.
//!
//! A [`Scenario`] is what a person writes, a link carries and the page holds; it may be incomplete or absurd.
//! `resolve` checks it against the catalog, fills what is left out, and gives a [`ResolvedScenario`] or every
//! problem at once. Engine, report and curve take only the resolved form and cannot fail.

mod blocks;
mod by_name;
mod choices;
mod cluster;
mod defaults;
mod deployment;
mod fit;
mod kv_groups;
mod limits;
mod measured;
mod memory;
mod moved;
mod network;
mod planned;
mod resolve;
mod resolved;
mod rules;
mod users;
mod workload;
mod workload_limits;

pub use crate::server::{Limits, PerformanceMode, ServerVersion};
pub use choices::Choice;
pub use cluster::{
    AdmissionConfig, AdmissionPolicy, AdmissionSettings, ClusterConfig, ClusterSettings, RoutingConfig, RoutingPolicy,
    RoutingSettings, ScorerName, ScorerWeight,
};
pub use defaults::EngineDefault;
pub use fit::{CalibratedOn, LatencyFit, Loads, fitted_latency};
pub use kv_groups::{GroupKind, GroupRun, KvGroups, MAX_GROUP_KINDS, Retention};
pub use measured::MeasuredServer;
pub use moved::NewRules;
pub use planned::SimulatedBlocks;
pub use resolved::{
    Basis, Batching, BlocksSource, CpuTierConfig, EngineConfig, Ledger, MemoryLedger, QueueOrder, ResolvedScenario,
    Rules, ServerLedger, VllmRules,
};

pub use workload::UNNAMED_CLASS;
pub use workload::{
    ActiveWindow, ArrivalSettings, ClientSettings, ClosedLoopSettings, ItemSettings, LengthSettings,
    MultimodalSettings, NetworkSettings, PrefixSettings, SLO_CLASSES, SessionSettings, ThinkTime, TraceChoice,
    WorkloadSettings,
};

use crate::catalog::{AcceleratorSpec, ModelSpec};
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// The schema of [`Scenario`]; grows only when an old file would be misread.
///
/// In version 1 there were the rules of the reference alone, and settings that a file left out had fixed defaults; whoever
/// reads such a file fills in those of [`Scenario::base`] 1.
pub const SCENARIO_VERSION: u32 = 2;

/// A deployment, a workload and a goal, as declared.
///
/// Every field has a default; the default of the whole is the frozen base 2 ([`Scenario::base`]).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scenario {
    /// Schema version, [`SCENARIO_VERSION`].
    pub version: u32,
    /// What is served, and on what.
    pub deployment: Deployment,
    /// Settings of the serving engine.
    pub engine: EngineSettings,
    /// How many replicas there are, and how requests reach them.
    pub cluster: ClusterSettings,
    /// Which step-time model predicts, and with which coefficients.
    pub latency: LatencySettings,
    /// What arrives.
    pub workload: WorkloadSettings,
    /// What must hold.
    pub slo: Slo,
    /// Limits of single SLO classes, by name (`default` = the unnamed class); the requests of a class listed here are
    /// judged by these instead of those of `slo`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub slo_classes: BTreeMap<String, ClassSlo>,
    /// How the curve over request rate is sampled.
    pub curve: CurveSettings,
    /// Seed of all random streams.
    pub seed: u64,
    /// Last tick of a run, microseconds; none = until the workload has drained.
    pub horizon_us: Option<u64>,
}

/// What is served, and on what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Deployment {
    /// The model: an id of the catalogue or an architecture of one's own.
    pub model: ModelChoice,
    /// The accelerator: an id of the catalogue or one's own; none = the catalogue's default for the model.
    pub accelerator: Option<AcceleratorChoice>,
    /// Accelerators per replica; none = the catalogue's default for the model.
    pub tensor_parallel_size: Option<u32>,
    /// Release of the server, e.g. `0.33` or `vllm/vllm-openai:v0.8.4`: its defaults, its rules and the coefficients
    /// nearest to it; none = the newest known. Under the rules of the reference it names the coefficients alone, exactly;
    /// none = the model's default.
    #[serde(alias = "engine_version")]
    pub server_version: Option<String>,
}

/// A model by id or by architecture.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum ModelChoice {
    /// Id in the catalogue, any case.
    Id(String),
    /// An architecture, e.g. read from a `config.json`.
    Custom(alloc::boxed::Box<ModelSpec>),
}

/// An accelerator by id or by data sheet.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum AcceleratorChoice {
    /// Id in the catalogue, any case.
    Id(String),
    /// A data sheet of one's own.
    Custom(alloc::boxed::Box<AcceleratorSpec>),
}

/// Settings of the serving engine, under the server's own names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EngineSettings {
    /// Whose rules a replica follows.
    pub scheduling: Scheduling,
    /// Most requests in one batch; none = by server version and accelerator.
    pub max_num_seqs: Option<u32>,
    /// Most requests in one batch where that is fewer than there are places; none = `max_num_seqs`.
    pub max_num_active_seqs: Option<u32>,
    /// Token budget of one step; none = by server version and accelerator.
    pub max_num_batched_tokens: Option<u32>,
    /// Most tokens that the scheduler gives out in one step where these are fewer than the budget; none = the budget.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_num_scheduled_tokens: Option<u32>,
    /// What the server is tuned for: the limits above that are left out follow it.
    #[serde(skip_serializing_if = "PerformanceMode::is_balanced")]
    pub performance_mode: PerformanceMode,
    /// Longest prompt chunk of one request in one step; 0 = no limit of its own.
    pub long_prefill_token_threshold: u32,
    /// Whether that limit is never below a fair share of the budget.
    pub long_prefill_token_threshold_adaptive: bool,
    /// Longest prompt plus output, tokens; none = derived, 0 = no limit.
    pub max_model_len: Option<u32>,
    /// Whether the server takes a length beyond what the model is made for, as with `VLLM_ALLOW_LONG_MAX_MODEL_LEN=1`.
    #[serde(skip_serializing_if = "is_off")]
    pub allow_long_max_model_len: bool,
    /// Tokens per KV block; under vLLM's rules 16 stands for what the kernels take.
    pub block_size: u32,
    /// KV blocks per replica, whatever else says how many; none = from the catalogue or the memory.
    pub num_gpu_blocks: Option<u32>,
    /// Memory of the KV cache on each accelerator, bytes; wins over the share of the memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kv_cache_memory_bytes: Option<u64>,
    /// Share of accelerator memory the server may use, 0–1; naming it takes the blocks from the memory. None = by server
    /// version.
    pub gpu_memory_utilization: Option<f64>,
    /// Type of cached keys and values (`auto`, `fp8`, …); naming it takes the blocks from the memory.
    pub kv_cache_dtype: Option<String>,
    /// Whether finished prompts are kept for reuse.
    pub enable_prefix_caching: bool,
    /// Order of the waiting queue.
    pub scheduler: SchedulingPolicy,
    /// Whether a step is planned while the one before it runs; none = by server version, or as a fit says.
    pub async_scheduling: Option<bool>,
    /// Whether a request is admitted only when all its tokens fit; none = by server version.
    pub scheduler_reserve_full_isl: Option<bool>,
    /// Share of the KV blocks that is kept free when a request is admitted beside others, from 0 to below 1.
    pub watermark: f64,
    /// How waiting requests get their priority.
    pub priority: PriorityPolicy,
    /// Blocks of the prefix cache in host memory; 0 = none.
    pub kv_cpu_blocks: u32,
    /// Tokens per microsecond between host and accelerator.
    pub kv_transfer_bandwidth: f64,
    /// Fixed cost of one reloaded block, microseconds.
    pub kv_transfer_base_latency_us: u32,
    /// Accepted for compatibility; not modelled, see the diagnostic `not-modelled`.
    pub pipeline_parallel_size: u32,
    /// Accepted for compatibility; not modelled, see the diagnostic `not-modelled`.
    pub enable_expert_parallel: bool,
    /// How experts on several ranks exchange tokens; only the default budget that it brings is modelled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub all2all_backend: Option<String>,
    /// Whether prompts may be computed in chunks. vLLM's V1 engine is always simulated with chunks of the token budget,
    /// which holds a whole prompt where it is off.
    pub enable_chunked_prefill: bool,
    /// Whether the server has its V1 engine; releases before 0.12 have another one too, as with `VLLM_USE_V1=0`.
    #[serde(skip_serializing_if = "is_on")]
    pub use_v1: bool,
}

fn is_on(is_on: &bool) -> bool {
    *is_on
}

fn is_off(is_on: &bool) -> bool {
    !is_on
}

/// Whose rules a replica follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scheduling {
    /// Those of the reference simulator, the only ones there were in version 1.
    #[default]
    Reference,
    /// Those of vLLM's scheduler.
    VllmV1,
}

impl Scheduling {
    /// Whether it is that of the reference; such a fit says nothing about it.
    #[must_use]
    pub fn is_reference(&self) -> bool {
        *self == Self::Reference
    }
}

/// Order of the waiting queue, as declared: vLLM has the first two, the reference all but the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SchedulingPolicy {
    /// First come, first served; preempted requests in front.
    #[default]
    #[serde(alias = "")]
    Fcfs,
    /// Lowest number of the client's own priority first, then oldest.
    Priority,
    /// Highest priority by [`PriorityPolicy`] first, then oldest.
    PriorityFcfs,
    /// Shortest prompt first.
    Sjf,
    /// Lowest priority by [`PriorityPolicy`] first; pathological, for comparison.
    ReversePriority,
}

/// Order of the waiting queue under the rules of the reference (cluster specification 7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SchedulerPolicy {
    /// First come, first served; preempted requests in front.
    #[default]
    #[serde(alias = "")]
    Fcfs,
    /// Highest priority first, then oldest.
    PriorityFcfs,
    /// Shortest prompt first.
    Sjf,
    /// Lowest priority first; pathological, for comparison.
    ReversePriority,
}

/// Priority of a waiting request (cluster specification 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PriorityPolicy {
    /// All equal.
    #[default]
    #[serde(alias = "")]
    Constant,
    /// Grows with age.
    SloBased,
    /// Falls with age; pathological, for comparison.
    InvertedSlo,
}

/// Which step-time model predicts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LatencySettings {
    /// The model, or `auto` for the rule of latency specification 5.
    pub model: LatencyModelChoice,
    /// Overhead coefficients of one's own, microseconds (black-box and trained-physics α0..2; quadratic: schedule time,
    /// update time, queue overhead, vLLM overhead).
    pub alpha: Option<Vec<f64>>,
    /// Step coefficients of one's own (black-box β0..2, microseconds; trained-physics β1..10; quadratic c0..14, seconds).
    pub beta: Option<Vec<f64>>,
    /// A model that was fitted to logs; it predicts where `model` is `calibrated`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fit: Option<LatencyFit>,
}

/// A step-time model by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LatencyModelChoice {
    /// Coefficients where they exist, else trained-physics, else roofline.
    Auto,
    /// Trained or calibrated coefficients per deployment.
    Blackbox,
    /// What was fitted to logs, as in [`LatencySettings::fit`].
    Calibrated,
    /// The anatomy of the model and measured rates of kernels.
    MeasuredRoofline,
    /// A polynomial in counts of a step, with fixed overheads; published or own coefficients.
    Quadratic,
    /// Architecture and data sheet alone.
    Roofline,
    /// Roofline terms with learned corrections.
    #[default]
    TrainedPhysics,
}

/// Limits a deployment must keep (definitions 2).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Slo {
    /// The percentile the limits are stated for, e.g. 95.
    pub percentile: f64,
    /// Limit on time to first token, milliseconds.
    pub ttft_ms: Option<f64>,
    /// Limit on time per output token, milliseconds.
    pub tpot_ms: Option<f64>,
    /// Limit on the pooled inter-token gaps, milliseconds; holds for the percentile only, never per request.
    pub itl_ms: Option<f64>,
    /// Limit on end-to-end latency, milliseconds.
    pub e2e_ms: Option<f64>,
    /// Least share of requests that must keep every per-request limit, 0–1.
    pub attainment: f64,
}

/// The per-request limits of one SLO class.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClassSlo {
    /// Limit on time to first token, milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttft_ms: Option<f64>,
    /// Limit on time per output token, milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tpot_ms: Option<f64>,
    /// Limit on end-to-end latency, milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub e2e_ms: Option<f64>,
}

/// How the curve over request rate is sampled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CurveSettings {
    /// Rates on the grid.
    pub num_rates: u32,
    /// Requests of one run of one replica; a cluster's has as many times more as it has replicas, up to eight.
    pub num_requests: u32,
    /// Seeds per rate; rates times seeds are at most 10,000.
    pub num_seeds: u32,
    /// Lowest and highest rate of the axis, requests per second; none = chosen from the deployment.
    pub range_per_s: Option<[f64; 2]>,
}

impl Scenario {
    /// The newest of the frozen scenarios that links are differences from.
    pub const NEWEST_BASE: u32 = 2;

    /// The frozen scenario that links of this revision are differences from; none for a revision yet to come.
    ///
    /// A base never changes, whatever becomes of the defaults: old links are differences from it.
    #[must_use]
    pub fn base(revision: u32) -> Option<Self> {
        match revision {
            1 => Some(Self { engine: EngineSettings::of_version_1(), ..Self::default() }),
            2 => Some(Self::default()),
            _ => None,
        }
    }
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            version: SCENARIO_VERSION,
            deployment: Deployment::default(),
            engine: EngineSettings::default(),
            cluster: ClusterSettings::default(),
            latency: LatencySettings::default(),
            workload: WorkloadSettings::default(),
            slo: Slo::default(),
            slo_classes: BTreeMap::new(),
            curve: CurveSettings::default(),
            seed: 42,
            horizon_us: None,
        }
    }
}

impl Default for Deployment {
    fn default() -> Self {
        Self {
            model: ModelChoice::Id("meta-llama/llama-3.1-8b-instruct".into()),
            accelerator: Some(AcceleratorChoice::Id("H100".into())),
            tensor_parallel_size: Some(1),
            server_version: None,
        }
    }
}

impl EngineSettings {
    /// What version 1 of the schema meant by leaving everything out: the rules and the limits of the reference.
    #[must_use]
    pub fn of_version_1() -> Self {
        Self {
            scheduling: Scheduling::Reference,
            max_num_seqs: Some(256),
            max_num_batched_tokens: Some(2048),
            gpu_memory_utilization: Some(0.9),
            ..Self::default()
        }
    }
}

impl Default for EngineSettings {
    fn default() -> Self {
        Self {
            scheduling: Scheduling::VllmV1,
            max_num_seqs: None,
            max_num_active_seqs: None,
            max_num_batched_tokens: None,
            max_num_scheduled_tokens: None,
            performance_mode: PerformanceMode::Balanced,
            long_prefill_token_threshold: 0,
            long_prefill_token_threshold_adaptive: false,
            max_model_len: None,
            allow_long_max_model_len: false,
            block_size: 16,
            num_gpu_blocks: None,
            kv_cache_memory_bytes: None,
            gpu_memory_utilization: None,
            kv_cache_dtype: None,
            enable_prefix_caching: true,
            scheduler: SchedulingPolicy::Fcfs,
            async_scheduling: None,
            scheduler_reserve_full_isl: None,
            watermark: 0.0,
            priority: PriorityPolicy::Constant,
            kv_cpu_blocks: 0,
            kv_transfer_bandwidth: 100.0,
            kv_transfer_base_latency_us: 0,
            pipeline_parallel_size: 1,
            enable_expert_parallel: false,
            all2all_backend: None,
            enable_chunked_prefill: true,
            use_v1: true,
        }
    }
}

impl Default for LatencySettings {
    fn default() -> Self {
        Self { model: LatencyModelChoice::TrainedPhysics, alpha: None, beta: None, fit: None }
    }
}

impl Default for Slo {
    fn default() -> Self {
        Self {
            percentile: 95.0,
            ttft_ms: Some(500.0),
            tpot_ms: Some(30.0),
            itl_ms: None,
            e2e_ms: None,
            attainment: 0.95,
        }
    }
}

impl Default for CurveSettings {
    fn default() -> Self {
        Self { num_rates: 24, num_requests: 2000, num_seeds: 3, range_per_s: None }
    }
}
