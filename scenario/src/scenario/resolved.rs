//! What a scenario resolves to: complete, checked, ready to run.

use super::{ClassSlo, KvGroups, PriorityPolicy, SchedulerPolicy, Slo, WorkloadSettings};
use crate::latency::{ClientEffects, Joining, LatencyModel};
use crate::time::SimTime;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Limits and policies of one replica's engine.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EngineConfig {
    /// KV blocks, at least 1.
    pub num_blocks: u32,
    /// Tokens per block, at least 1.
    pub block_size: u32,
    /// Most requests in one batch, at least 1.
    pub max_num_seqs: u32,
    /// Token budget of one step, at least 1.
    pub max_num_batched_tokens: u32,
    /// Longest prompt chunk of one request in one step; 0 = no limit.
    pub long_prefill_token_threshold: u32,
    /// Longest prompt plus output; 0 = no limit. If positive, its blocks fit into `num_blocks`.
    pub max_model_len: u32,
    /// Whether cached prompt blocks are looked up.
    pub enable_prefix_caching: bool,
    /// Order of the waiting queue.
    pub scheduler: SchedulerPolicy,
    /// Priority of waiting requests.
    pub priority: PriorityPolicy,
    /// The prefix cache in host memory, if there is one.
    pub cpu_tier: Option<CpuTierConfig>,
    /// Last tick of the run.
    pub horizon: SimTime,
    /// Whose scheduling rules the replica follows.
    pub rules: Rules,
}

/// Whose scheduling rules a replica follows.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Rules {
    /// Those of the reference simulator (engine specification 4 to 6, KV specification 1 to 5).
    #[default]
    Reference,
    /// Those of vLLM's V1 scheduler (scheduler specification).
    VllmV1(VllmRules),
}

/// What vLLM's scheduler can be told, and what its releases differ in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VllmRules {
    /// When a step is planned (scheduler specification E).
    pub batching: Batching,
    /// Order of the waiting queue, and who is preempted.
    pub order: QueueOrder,
    /// Whether a request is admitted only when all its known tokens fit (B3a); releases from 0.19 on.
    pub reserve_full_isl: bool,
    /// Share of the blocks kept free when a request is admitted beside others, 0–1 (B3); 0 before release 0.24.
    pub watermark: f64,
    /// Whether the long-prefill threshold is never below a fair share of the budget (C1).
    pub is_threshold_adaptive: bool,
    /// Whether the long-prefill threshold spares a request that is alone (C1); releases from 0.31 on.
    pub is_lone_prompt_spared: bool,
    /// Share of each prompt that is taken as cached whatever is found, 0–1; 0 = what is found alone counts. Not vLLM's.
    pub prefix_hit_ratio: f64,
    /// Most requests in one batch where that is fewer than `max_num_seqs`; 0 = no such limit.
    pub max_num_active_seqs: u32,
    /// Whether the running pass goes on after a request preempted itself under [`QueueOrder::Priority`] (C2c); releases
    /// from 0.33 on.
    pub does_pass_go_on: bool,
    /// The groups of layers that share the blocks; hits are multiples of their alignment, which then is the block size of
    /// the engine.
    pub groups: KvGroups,
}

/// When a step is planned, and what it may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Batching {
    /// While the step before it runs: asynchronous scheduling.
    #[default]
    Async,
    /// When the step before it has ended.
    Sync,
    /// When the step before it has ended, and it holds prompts or decodes, never both: vLLM's V0 engine.
    V0,
}

impl Batching {
    /// As it is said.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Async => "asynchronous scheduling",
            Self::Sync => "synchronous scheduling",
            Self::V0 => "the V0 engine",
        }
    }

    /// What a fit has found, where its model tells (β6 of the calibrated one).
    #[must_use]
    pub fn of_fit(latency: &LatencyModel) -> Option<Self> {
        match latency {
            LatencyModel::Calibrated(_) => Some(match latency.joining() {
                Joining::NextStep => Self::Sync,
                Joining::StepAfterNext => Self::Async,
                Joining::OwnSteps => Self::V0,
            }),
            _ => None,
        }
    }
}

/// Order of the waiting queue under vLLM's rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum QueueOrder {
    /// First come, first served; preempted requests in front.
    #[default]
    Fcfs,
    /// By the request's own priority (lower first), then arrival.
    Priority,
}

impl Default for VllmRules {
    /// The newest release's own defaults.
    fn default() -> Self {
        Self {
            batching: Batching::Async,
            order: QueueOrder::Fcfs,
            reserve_full_isl: true,
            watermark: 0.0,
            prefix_hit_ratio: 0.0,
            is_threshold_adaptive: false,
            is_lone_prompt_spared: true,
            max_num_active_seqs: 0,
            does_pass_go_on: true,
            groups: KvGroups::default(),
        }
    }
}

impl EngineConfig {
    /// The reference's limits and policies on so many KV blocks: 16 tokens a block, 256 requests and 2,048 tokens a
    /// step, no other limit, first come first served, no host memory, no end.
    #[must_use]
    pub const fn new(num_blocks: u32) -> Self {
        Self {
            num_blocks,
            block_size: 16,
            max_num_seqs: 256,
            max_num_batched_tokens: 2048,
            long_prefill_token_threshold: 0,
            max_model_len: 0,
            enable_prefix_caching: true,
            scheduler: SchedulerPolicy::Fcfs,
            priority: PriorityPolicy::Constant,
            cpu_tier: None,
            horizon: SimTime::MAX,
            rules: Rules::Reference,
        }
    }
}

/// The prefix cache in host memory (KV specification 6).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CpuTierConfig {
    /// Most entries, at least 1.
    pub num_blocks: u32,
    /// Tokens per microsecond, positive.
    pub tokens_per_us: f64,
    /// Fixed cost of one reloaded block.
    pub base_latency: SimTime,
}

/// What a prediction rests on, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Basis {
    /// Fitted to logs of this very deployment.
    Calibrated,
    /// Coefficients trained on measurements of this model, accelerator and parallelism.
    Trained,
    /// Formulas on architecture and data sheet.
    Analytical,
    /// Formulas outside the range they were trained or checked for.
    Extrapolated,
}

/// Where the number of KV blocks comes from (definitions 7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BlocksSource {
    /// Given in the scenario.
    Given,
    /// The coefficient row in use.
    CoefficientRow,
    /// The memory formula.
    MemoryFormula,
    /// What the server makes of its memory, by vLLM's own planner.
    Server,
    /// Neither a row nor enough data for the formula: one million.
    Fallback,
}

/// Where the accelerators' memory goes.
#[derive(Debug, Clone, PartialEq)]
pub enum Ledger {
    /// By the formula of the reference.
    Reference(MemoryLedger),
    /// As a vLLM server counts it.
    Server(alloc::boxed::Box<ServerLedger>),
}

/// Where the memory of a vLLM server goes, and which blocks are in force.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerLedger {
    /// What the server makes of the memory, or of the blocks that it is told.
    pub fit: crate::kv_plan::Fit,
    /// Blocks of the server in force.
    pub blocks: u64,
    /// Where they come from.
    pub source: BlocksSource,
    /// Blocks of the coefficient row, if there is one.
    pub row_blocks: Option<u64>,
    /// What is simulated in their place where they are of several kinds: blocks, and tokens of each.
    pub stand_in: Option<(u32, u32)>,
}

impl Ledger {
    /// Where the blocks in force come from.
    #[must_use]
    pub fn source(&self) -> BlocksSource {
        match self {
            Ledger::Reference(ledger) => ledger.source,
            Ledger::Server(ledger) => ledger.source,
        }
    }

    /// Bytes that a block takes on one accelerator, where the scenario's blocks have `block_size` tokens.
    #[must_use]
    pub fn block_bytes(&self, block_size: u32) -> f64 {
        match self {
            Ledger::Reference(ledger) => ledger.kv_bytes_per_token * f64::from(block_size),
            Ledger::Server(ledger) => ledger.fit.layout.block_bytes as f64,
        }
    }
}

/// Where the accelerators' memory goes by the formula of the reference, per replica.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MemoryLedger {
    /// Memory of all accelerators of a replica, bytes.
    pub total_bytes: f64,
    /// What the server may use of it, bytes.
    pub usable_bytes: f64,
    /// Weights, bytes.
    pub weight_bytes: f64,
    /// Activations and workspace, bytes.
    pub activation_bytes: f64,
    /// Non-torch overhead, bytes.
    pub overhead_bytes: f64,
    /// Keys and values of one token on one accelerator, bytes.
    pub kv_bytes_per_token: f64,
    /// Blocks by the memory formula, if it has a result.
    pub formula_blocks: Option<u64>,
    /// Blocks of the coefficient row, if there is one.
    pub row_blocks: Option<u64>,
    /// Blocks in force.
    pub blocks: u64,
    /// Which of them is in force.
    pub source: BlocksSource,
}

/// A scenario that can be run: complete and checked.
#[derive(Debug, Clone, PartialEq)]
pub struct ResolvedScenario {
    /// The engine of each replica.
    pub engine: EngineConfig,
    /// How many replicas there are, and how requests reach them.
    pub cluster: super::ClusterConfig,
    /// How long its steps take.
    pub latency: LatencyModel,
    /// What clients and front end add to the way of a request into the queue.
    pub client: ClientEffects,
    /// What arrives; bounds checked.
    pub workload: WorkloadSettings,
    /// What must hold.
    pub slo: Slo,
    /// Limits of single SLO classes, by name.
    pub slo_classes: BTreeMap<String, ClassSlo>,
    /// How the curve is sampled; bounds checked.
    pub curve: super::CurveSettings,
    /// Seed of all random streams.
    pub seed: u64,
    /// What the prediction rests on.
    pub basis: Basis,
    /// The fit behind it.
    pub calibrated_on: Option<super::CalibratedOn>,
    /// Where the memory goes, if model and accelerator are known well enough to say.
    pub ledger: Option<Ledger>,
    /// Model id in force.
    pub model: String,
    /// Accelerator id in force.
    pub accelerator: String,
    /// Accelerators per replica.
    pub tensor_parallel_size: u32,
    /// What was filled in from the catalogue, in words, e.g. `tensor_parallel_size 2 (default of the model)`.
    pub filled_in: Vec<String>,
    /// The release whose defaults and rules are in force; none under the rules of the reference.
    pub server_version: Option<super::ServerVersion>,
    /// The engine settings that were left out, with what is in force in their place.
    pub defaults: Vec<super::EngineDefault>,
}
