//! The KV blocks of a server by vLLM's own planner.

use super::blocks::ChosenBlocks;
use super::deployment::KnownDeployment;
use super::limits::NUM_BLOCKS;
use super::resolve::{ChosenLatency, Resolution};
use super::{Batching, BlocksSource, GroupKind, GroupRun, KvGroups, Ledger, ServerLedger};
use crate::catalog::{AcceleratorSpec, Footprint, ModelSpec};
use crate::diagnostic::{Diagnostic, Severity};
use crate::kv_plan::{Advice, CacheKind, CacheMemory, Fit, FitQuestion, GroupLayers, KvDtype, KvRefusal, grouped};
use crate::latency::LatencyModel;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// The size of blocks that stands for none: what a server that is told nothing has, unless its kernels ask for more.
const USUAL_BLOCK_SIZE: u32 = 16;

/// The most tokens that hits may be a multiple of: replicas keep a count for each.
const LONGEST_ALIGNMENT: u32 = 65_536;

/// The longest sequence that is looked for, tokens.
const LONGEST_SEQUENCE: u32 = 16_777_216;

/// What is known of a server whose memory is planned.
#[derive(Clone, Copy)]
pub(super) struct PlannedServer<'a> {
    pub model: &'a ModelSpec,
    pub footprint: &'a Footprint,
    pub accelerator: &'a AcceleratorSpec,
    pub kv_cache_dtype: KvDtype,
    pub latency: Option<&'a ChosenLatency<'a>>,
}

impl Resolution<'_> {
    /// Chooses the KV blocks as the server would: those it is told, those of the coefficient row in use, or those that
    /// the planner makes of the memory.
    pub(super) fn planned(
        &self,
        deployment: &KnownDeployment<'_>,
        server: PlannedServer<'_>,
        used_row: Option<u64>,
        row_blocks: Option<u64>,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<ChosenBlocks> {
        let engine = &self.scenario.engine;
        let is_free = engine.num_gpu_blocks.is_none();
        let used_row = used_row.filter(|blocks| is_free && self.holds_row(deployment, server, *blocks, diagnostics));
        let (stated, source) = match (engine.num_gpu_blocks, used_row) {
            (Some(given), _) => (Some(u64::from(given)), BlocksSource::Given),
            (None, Some(of_row)) => (Some(of_row), BlocksSource::CoefficientRow),
            (None, None) => (None, BlocksSource::Server),
        };
        let told = engine.kv_cache_memory_bytes.map_or(CacheMemory::LeftOver, CacheMemory::Bytes);
        let memory = stated.map_or(told, CacheMemory::Blocks);
        let fit = match self.fit_question(deployment, server, memory).answer() {
            Ok(fit) => fit,
            Err(problems) => {
                let severity = if stated.is_some() { Severity::Warning } else { Severity::Error };
                diagnostics.extend(problems.into_iter().map(|problem| {
                    let is_unknown = problem.code == "kv-cache-unknown";
                    let path = if is_unknown { "engine.num_gpu_blocks" } else { "deployment.tensor_parallel_size" };
                    Diagnostic { path: path.into(), severity, ..problem }
                }));
                // With the blocks stated the user knows better.
                let blocks = u32::try_from(stated?).unwrap_or(u32::MAX);
                let groups = KvGroups::default();
                let block_size = engine.block_size;
                return Some(ChosenBlocks { blocks, block_size, groups, longest: None, ledger: None, filled_in: None });
            }
        };
        if let Some(problem) = self.refused(&fit, server.model, source) {
            let is_error = problem.severity == Severity::Error;
            diagnostics.push(problem);
            if is_error {
                return None;
            }
        }
        let num_blocks = fit.num_blocks;
        let is_fitted = server.latency.is_some_and(|latency| matches!(latency.model, LatencyModel::Calibrated(_)));
        let simulated = SimulatedBlocks::of(&fit);
        // What is stated beside a fit is the server's that was measured, and so is the size of its blocks.
        let simulated = if source == BlocksSource::Given && is_fitted {
            simulated.of_stated(num_blocks, engine.block_size)
        } else {
            simulated
        };
        let SimulatedBlocks { blocks, block_size, groups, is_stand_in } = simulated;
        let has_groups = !groups.is_empty();
        let blocks = u32::try_from(blocks).unwrap_or(u32::MAX).min(*NUM_BLOCKS.end());
        if is_stand_in {
            diagnostics.push(remark_stand_in(&fit, num_blocks, blocks, block_size));
        } else if block_size != engine.block_size {
            let why = if has_groups { "make the caches of its layers equal" } else { "its kernels ask for" };
            let message = format!("blocks are of {block_size} tokens, which {why}");
            diagnostics.push(Diagnostic::note("block-size-of-server", "engine.block_size", message));
        }
        let filled_in = (source == BlocksSource::Server).then(|| planned_line(&fit, num_blocks));
        let stand_in = is_stand_in.then_some((blocks, block_size));
        let longest = has_groups.then(|| fit.layout.longest(num_blocks, LONGEST_SEQUENCE));
        let ledger = ServerLedger { fit, blocks: num_blocks, source, row_blocks, stand_in };
        let ledger = Some(Ledger::Server(Box::new(ledger)));
        Some(ChosenBlocks { blocks, block_size, groups, longest, ledger, filled_in })
    }

    /// Whether a card has room for a coefficient row's blocks beside the weights: rows of several ranks count the memory
    /// of all of them for the keys and values of one.
    fn holds_row(
        &self,
        deployment: &KnownDeployment<'_>,
        server: PlannedServer<'_>,
        blocks: u64,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> bool {
        let Ok(fit) = self.fit_question(deployment, server, CacheMemory::LeftOver).answer() else { return true };
        let bytes = blocks as f64 * fit.layout.block_bytes as f64;
        let holds = bytes <= fit.budget.total_bytes - fit.budget.weight_bytes;
        if !holds {
            let message = format!(
                "the coefficient row's {} KV blocks are {:.0} GiB of each {}, which does not have them",
                grouped(blocks),
                bytes / 1_073_741_824.0,
                server.accelerator.id
            );
            let problem = Diagnostic::note("row-blocks-beyond-memory", "engine.num_gpu_blocks", message);
            diagnostics.push(problem.with_hint("the blocks that the server would allocate are taken"));
        }
        holds
    }

    fn fit_question<'q>(
        &self,
        deployment: &KnownDeployment<'_>,
        server: PlannedServer<'q>,
        memory: CacheMemory,
    ) -> FitQuestion<'q> {
        let engine = &self.scenario.engine;
        let batching = self.batching_in_force(server.latency.map(|latency| &latency.model));
        FitQuestion {
            footprint: server.footprint,
            longest_context: server.model.longest_context(),
            accelerator: server.accelerator,
            tensor_parallel_size: deployment.tensor_parallel_size,
            pipeline: None,
            // Ranks of one server share the experts; other replicas know nothing of each other.
            data_parallel_size: if engine.enable_expert_parallel { self.scenario.cluster.num_replicas } else { 1 },
            enable_expert_parallel: engine.enable_expert_parallel,
            decode_context_parallel_size: 1,
            is_hybrid_manager_disabled: false,
            utilization: self.in_force.gpu_memory_utilization,
            version: self.in_force.version,
            limits: self.in_force.limits,
            max_model_len: engine.max_model_len.filter(|length| *length > 0),
            kv_cache_dtype: server.kv_cache_dtype,
            block_size: Some(engine.block_size).filter(|size| *size != USUAL_BLOCK_SIZE),
            enable_prefix_caching: engine.enable_prefix_caching,
            async_scheduling: batching == Batching::Async,
            memory,
        }
    }

    /// What stands against such a server; an error only where the blocks come of the memory, since who states them
    /// knows better.
    fn refused(&self, fit: &Fit, model: &ModelSpec, source: BlocksSource) -> Option<Diagnostic> {
        let is_planned = source == BlocksSource::Server;
        let diagnose = |code, path, message| match is_planned {
            true => Diagnostic::error(code, path, message),
            false => Diagnostic::warning(code, path, message),
        };
        let advice = || fit.advice().into_iter().map(Advice::in_settings).collect::<Vec<_>>().join(", or ");
        let budget = &fit.budget;
        // Told bytes are taken beside all else, whatever share of the memory the server may use.
        let (needed, usable) = match fit.memory {
            CacheMemory::Bytes(bytes) => (budget.used_bytes() + bytes as f64, budget.total_bytes),
            CacheMemory::LeftOver | CacheMemory::Blocks(_) => (budget.used_bytes(), budget.requested_bytes),
        };
        let is_full = match fit.memory {
            CacheMemory::Bytes(_) => needed > usable,
            CacheMemory::LeftOver | CacheMemory::Blocks(_) => fit.is_full(),
        };
        if is_full {
            let gib = |bytes: f64| bytes / 1_073_741_824.0;
            let message = format!(
                "{} needs {:.0} GiB of each accelerator ({:.0} GiB of it weights) but the server may use {:.0} GiB",
                model.id,
                gib(needed),
                gib(budget.weight_bytes),
                gib(usable)
            );
            return Some(
                diagnose("model-does-not-fit", "deployment.tensor_parallel_size", message)
                    .with_hint(where_it_fits(fit)),
            );
        }
        // Where the blocks are stated a length that is left out follows them.
        let refusal = fit.plan.err().filter(|_| is_planned)?;
        let message = fit.refusal().unwrap_or_default();
        let path = match refusal {
            KvRefusal::NoMemory => "deployment.tensor_parallel_size",
            KvRefusal::TooLong { .. } => "engine.max_model_len",
        };
        let hint = match self.scenario.engine.max_model_len {
            Some(_) => advice(),
            None => format!("{}; the length is the model's own where max_model_len is left out", advice()),
        };
        Some(diagnose("kv-cache-too-small", path, message).with_hint(hint))
    }
}

/// The blocks that a simulation has of an answer.
#[derive(Debug, Clone, Copy)]
pub struct SimulatedBlocks {
    /// Their number: the server's own, or of those that stand in for blocks of several kinds.
    pub blocks: u64,
    /// Tokens of one, and that hits are a multiple of.
    pub block_size: u32,
    /// The groups of layers that share them; none where all layers keep all tokens.
    pub groups: KvGroups,
    /// Whether they stand in for the server's.
    pub is_stand_in: bool,
}

impl SimulatedBlocks {
    /// The blocks of a planner's answer.
    #[must_use]
    pub fn of(fit: &Fit) -> Self {
        let groups = groups_of(fit);
        let (blocks, block_size, is_stand_in) = match (usual_block_size(fit), groups) {
            (Some(block_size), _) | (None, Some((_, block_size))) => (fit.num_blocks, block_size, false),
            (None, None) => stand_in(fit, fit.num_blocks),
        };
        let groups = groups.map_or_else(KvGroups::default, |(groups, _)| groups);
        Self { blocks, block_size, groups, is_stand_in }
    }

    /// The same of a server of which number and size of the blocks are stated.
    #[must_use]
    pub fn of_stated(self, blocks: u64, block_size: u32) -> Self {
        // With groups the size is no setting of the server.
        let block_size = if self.groups.is_empty() { block_size } else { self.block_size };
        Self { blocks, block_size, is_stand_in: false, ..self }
    }
}

/// What would make room for the weights.
fn where_it_fits(fit: &Fit) -> String {
    match fit.smallest_tensor_parallel_size {
        Some(size) if size > fit.settings.tensor_parallel_size => {
            format!("raise tensor_parallel_size to {size}, or choose narrower weights or a larger accelerator")
        }
        _ => "choose narrower weights or a larger accelerator".into(),
    }
}

/// Tokens of a block where all layers keep all tokens in blocks of one size.
fn usual_block_size(fit: &Fit) -> Option<u32> {
    let [group] = fit.layout.groups.as_slice() else { return None };
    let (first, others) = group.layers.split_first()?;
    let is_usual = group.layers.iter().all(|layers| layers.kind.keeps_all())
        && others.iter().all(|layers| layers.block_size == first.block_size);
    u32::try_from(first.block_size).ok().filter(|_| is_usual)
}

/// The groups of the layers and what hits are multiples of; none where all layers keep all tokens in one group, and for
/// layers whose blocks are not simulated one by one: cross attention, more kinds than are told apart, and chunks beside
/// blocks of other sizes, which vLLM does not serve with prefix caching.
fn groups_of(fit: &Fit) -> Option<(KvGroups, u32)> {
    if usual_block_size(fit).is_some() {
        return None;
    }
    let mut runs = Vec::with_capacity(fit.layout.groups.len());
    for group in &fit.layout.groups {
        let first = group.layers.first()?;
        let keeps_all = group.layers.iter().all(|layers| layers.kind.keeps_all());
        let is_one = |layers: &GroupLayers| layers.kind == first.kind || keeps_all;
        if !group.layers.iter().all(|layers| is_one(layers) && layers.block_size == first.block_size) {
            return None;
        }
        let kind = match first.kind {
            CacheKind::Full | CacheKind::Latent | CacheKind::Indexer => GroupKind::Full,
            CacheKind::Sliding(window) => GroupKind::Sliding { window },
            CacheKind::Chunked(chunk) => GroupKind::Chunked { chunk },
            CacheKind::State { exports_checkpoint } => GroupKind::State { exports_checkpoint },
            CacheKind::Cross(_) => return None,
        };
        runs.push(GroupRun { kind, block_size: u32::try_from(first.block_size).ok()?, count: 1 });
    }
    let groups = KvGroups::new(&runs)?;
    let alignment = groups.alignment().filter(|tokens| *tokens <= LONGEST_ALIGNMENT)?;
    let is_chunked = |run: GroupRun| matches!(run.kind, GroupKind::Chunked { .. }) && run.block_size != alignment;
    (!groups.runs().any(is_chunked)).then_some((groups, alignment))
}

/// Blocks of one kind that stand for those of several: as many as hold the number of sequences of the longest length
/// that the server prints. The last value is true.
fn stand_in(fit: &Fit, num_blocks: u64) -> (u64, u32, bool) {
    let length = fit.settings.max_model_len;
    let sizes = || fit.layout.groups.iter().flat_map(|group| &group.layers);
    let of_all = sizes().filter(|layers| layers.kind.keeps_all()).map(|layers| layers.block_size).min();
    let block_size = of_all.or_else(|| sizes().map(|layers| layers.block_size).min()).unwrap_or(1);
    let block_size = u32::try_from(block_size).unwrap_or(u32::MAX).clamp(1, length.max(1));
    let of_sequence = u64::from(length.div_ceil(block_size));
    let per_request = fit.layout.blocks_per_request(length).max(1);
    let blocks = u128::from(num_blocks) * u128::from(of_sequence) / u128::from(per_request);
    let least = if num_blocks > per_request { of_sequence.saturating_add(1) } else { 1 };
    (u64::try_from(blocks).unwrap_or(u64::MAX).max(least), block_size, true)
}

fn remark_stand_in(fit: &Fit, num_blocks: u64, blocks: u32, block_size: u32) -> Diagnostic {
    let length = fit.settings.max_model_len;
    let message = format!(
        "the blocks of these layers are not simulated one by one: the server shares {} blocks among {} groups of layers, and the simulation has {} blocks of {} tokens, which hold as many sequences of {} tokens",
        grouped(num_blocks),
        fit.layout.groups.len(),
        grouped(blocks.into()),
        grouped(block_size.into()),
        grouped(length.into())
    );
    let hint = "shorter sequences hold more of the server's blocks for each token than simulated; set engine.max_model_len near to the length of your requests";
    Diagnostic::note("kv-blocks-stand-in", "engine.num_gpu_blocks", message).with_hint(hint)
}

/// Where planned blocks come from, in a line.
fn planned_line(fit: &Fit, num_blocks: u64) -> String {
    let sizes: Vec<u64> =
        fit.layout.groups.iter().flat_map(|group| &group.layers).map(|alike| alike.block_size).collect();
    let tokens = match sizes.iter().min().zip(sizes.iter().max()) {
        Some((least, most)) if least == most => format!(" of {least} tokens"),
        _ => String::new(),
    };
    let ranks = fit.settings.tensor_parallel_size;
    let cards = if ranks > 1 { format!("{ranks} × {}", fit.accelerator) } else { fit.accelerator.clone() };
    if let CacheMemory::Bytes(bytes) = fit.memory {
        return format!(
            "{} KV blocks{tokens} (what vLLM {} makes of {} bytes)",
            grouped(num_blocks),
            fit.version,
            grouped(bytes)
        );
    }
    format!(
        "{} KV blocks{tokens} (what vLLM {} would allocate on {cards}, {:.2} GiB by its driver)",
        grouped(num_blocks),
        fit.version,
        fit.budget.total_bytes / 1_073_741_824.0
    )
}
