//! Whose rules the replicas follow, and what these cannot do.
//!
//! A setting that the chosen rules do not have is refused with the way out; nobody is served by other rules than asked for.

use super::deployment::KnownDeployment;
use super::limits::Bounds;
use super::resolve::Resolution;
use super::{
    Batching, Deployment, EngineDefault, EngineSettings, KvGroups, Limits, PerformanceMode, PriorityPolicy, QueueOrder,
    Rules, Scenario, SchedulerPolicy, Scheduling, SchedulingPolicy, ServerVersion, VllmRules, WorkloadSettings,
};
use crate::diagnostic::Diagnostic;
use crate::latency::LatencyModel;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// Multiples of this are what the usual attention kernels take as block size.
const USUAL_BLOCK: u32 = 16;

/// Ways of exchanging tokens between experts by which the ranks of a server put theirs into batches.
const BATCHED_EXCHANGE: [&str; 2] = ["deepep_low_latency", "nixl_ep"];

/// What is in force where the engine's settings leave something out.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct InForce {
    /// The release, within those that are known.
    pub version: ServerVersion,
    /// Token budget and places.
    pub limits: Limits,
    /// The length that the model is made for, tokens; 0 = no limit.
    pub longest_context: u64,
    /// Share of the memory that is used.
    pub gpu_memory_utilization: f64,
    /// What was left out.
    pub defaults: Vec<EngineDefault>,
}

impl EngineSettings {
    /// Whether the replicas follow vLLM's rules.
    pub(super) fn is_vllm(&self) -> bool {
        self.scheduling == Scheduling::VllmV1
    }
}

impl Deployment {
    /// The release it names; none if it names none, or nothing that is a release.
    pub(super) fn named_version(&self) -> Option<ServerVersion> {
        ServerVersion::parse(self.server_version.as_deref()?)
    }
}

impl Scenario {
    /// What is in force on this deployment; `longest` is the length that the model allows, tokens, 0 = no limit.
    pub(super) fn in_force(&self, deployment: &KnownDeployment<'_>, longest_context: u64) -> InForce {
        let engine = &self.engine;
        let version = self.deployment.named_version().unwrap_or(ServerVersion::NEWEST).known();
        let longest = if engine.is_vllm() { engine.max_model_len.map_or(longest_context, u64::from) } else { 0 };
        let usual = self.usual_limits(deployment, version, longest);
        let limits = usual.with_given(engine.max_num_batched_tokens, engine.max_num_seqs, longest);
        let usual_utilization = match engine.scheduling {
            Scheduling::Reference => super::memory::DEFAULT_UTILIZATION,
            Scheduling::VllmV1 => version.gpu_memory_utilization(),
        };
        let of_server = format!("default of vLLM {version}");
        let (of_server, of_both) = match engine.scheduling {
            Scheduling::Reference => ("default of the reference".to_string(), "default of the reference".to_string()),
            Scheduling::VllmV1 if deployment.accelerator_id.is_empty() => (of_server.clone(), of_server),
            Scheduling::VllmV1 => (of_server.clone(), format!("{of_server} on {}", deployment.accelerator_id)),
        };
        let of_both = match engine.performance_mode {
            PerformanceMode::Throughput if engine.is_vllm() && engine.use_v1 => format!("{of_both} for throughput"),
            _ => of_both,
        };
        let mut defaults = Vec::new();
        let mut tell = |is_left_out: bool, path, value: String, source: &str| {
            if is_left_out {
                defaults.push(EngineDefault { path, value, source: source.to_string() });
            }
        };
        let path = "engine.max_num_batched_tokens";
        tell(engine.max_num_seqs.is_none(), "engine.max_num_seqs", limits.max_num_seqs.to_string(), &of_both);
        tell(engine.max_num_batched_tokens.is_none(), path, limits.max_num_batched_tokens.to_string(), &of_both);
        let utilization = engine.gpu_memory_utilization.unwrap_or(usual_utilization);
        let path = "engine.gpu_memory_utilization";
        tell(engine.gpu_memory_utilization.is_none(), path, utilization.to_string(), &of_server);
        if engine.is_vllm() {
            let value = version.scheduler_reserve_full_isl().to_string();
            let path = "engine.scheduler_reserve_full_isl";
            tell(engine.scheduler_reserve_full_isl.is_none(), path, value, &of_server);
        }
        InForce { version, limits, longest_context, gpu_memory_utilization: utilization, defaults }
    }

    /// Token budget and places of a server that is told neither, before one limits the other.
    fn usual_limits(&self, deployment: &KnownDeployment<'_>, version: ServerVersion, longest: u64) -> Limits {
        let engine = &self.engine;
        let is_chunked = engine.enable_chunked_prefill;
        if !engine.is_vllm() {
            return Limits::REFERENCE;
        }
        if !engine.use_v1 {
            return Limits::of_v0(longest, is_chunked);
        }
        let mut limits = version.limits(deployment.accelerator);
        let has_experts = deployment.model.is_some_and(|model| model.num_experts > 0);
        let exchanges_batches = engine.all2all_backend.as_deref().is_some_and(|name| BATCHED_EXCHANGE.contains(&name));
        if has_experts && exchanges_batches && engine.enable_expert_parallel && self.cluster.num_replicas > 1 {
            limits = limits.with_batched_experts();
        }
        if engine.performance_mode == PerformanceMode::Throughput {
            limits = limits.doubled();
        }
        limits.for_whole_prompts(longest, is_chunked)
    }
}

impl Bounds<'_> {
    /// Checks the settings that say how requests are scheduled, and whether the chosen rules have them.
    pub(super) fn scheduling(&mut self, scenario: &Scenario) {
        let engine = &scenario.engine;
        if !(0.0..1.0).contains(&engine.watermark) {
            self.reject("engine.watermark", engine.watermark, "give a share from 0 to below 1");
        }
        match engine.scheduling {
            Scheduling::Reference => self.reference_rules(engine),
            Scheduling::VllmV1 => {
                self.vllm_rules(engine);
                self.server_version(&scenario.deployment, engine);
                self.v0(&scenario.deployment, engine);
            }
        }
        self.prefix_hit_ratio(scenario);
        let are_heard = engine.is_vllm() && engine.scheduler == SchedulingPolicy::Priority;
        let first = scenario.workload.clients.iter().position(|client| client.priority != 0);
        if let Some(index) = first.filter(|_| !are_heard) {
            let message = "the priorities of clients are not looked at by this scheduler";
            let diagnostic =
                Diagnostic::warning("setting-not-used", format!("workload.clients[{index}].priority"), message)
                    .with_hint("set engine.scheduler to priority under engine.scheduling vllm-v1, or leave them out");
            self.diagnostics.push(diagnostic);
        }
    }

    /// Refuses a given share of cached tokens where there is no cache to have it.
    fn prefix_hit_ratio(&mut self, Scenario { engine, workload, .. }: &Scenario) {
        const PATH: &str = "workload.prefix_hit_ratio";
        if workload.prefix_hit_ratio == 0.0 {
            return;
        }
        if !engine.is_vllm() {
            let message = "the rules of the reference count what they find, and no share of cached tokens can be given";
            self.diagnostics.push(
                Diagnostic::error("not-under-these-rules", PATH, message)
                    .with_hint("leave it out, or run it by the rules of vLLM: engine.scheduling vllm-v1"),
            );
        }
        if !engine.enable_prefix_caching {
            let message = "a share of cached tokens is given, and prefix caching is off";
            self.diagnostics.push(
                Diagnostic::error("hit-ratio-without-cache", PATH, message)
                    .with_hint("leave it out, or set engine.enable_prefix_caching to true"),
            );
        }
        if shares_prefixes(workload) {
            let message = "a share of cached tokens is given, and prompts share prefixes besides";
            self.diagnostics
                .push(Diagnostic::note("hit-ratio-beside-prefixes", PATH, message).with_hint(
                    "of each prompt counts whichever is more: what is given, or what is found in the cache",
                ));
        }
    }

    fn reference_rules(&mut self, engine: &EngineSettings) {
        if engine.scheduler == SchedulingPolicy::Priority {
            let message = "scheduler priority is vLLM's, and the rules of the reference do not have it";
            self.diagnostics.push(
                Diagnostic::error("not-under-these-rules", "engine.scheduler", message)
                    .with_hint("choose priority-fcfs, or set engine.scheduling to vllm-v1"),
            );
        }
        for (is_given, field) in [
            (engine.async_scheduling.is_some(), "async_scheduling"),
            (engine.scheduler_reserve_full_isl.is_some(), "scheduler_reserve_full_isl"),
            (engine.watermark > 0.0, "watermark"),
            (engine.long_prefill_token_threshold_adaptive, "long_prefill_token_threshold_adaptive"),
            (engine.max_num_active_seqs.is_some(), "max_num_active_seqs"),
            (engine.max_num_scheduled_tokens.is_some(), "max_num_scheduled_tokens"),
            (!engine.performance_mode.is_balanced(), "performance_mode"),
            (!engine.use_v1, "use_v1"),
        ] {
            if is_given {
                let message = format!("the rules of the reference do not know {field}");
                self.diagnostics.push(
                    Diagnostic::warning("setting-not-used", format!("engine.{field}"), message)
                        .with_hint("set engine.scheduling to vllm-v1, or leave it out"),
                );
            }
        }
    }

    /// Refuses what vLLM's rules do not describe.
    fn vllm_rules(&mut self, engine: &EngineSettings) {
        self.diagnostics.extend(engine.obstacles_to_vllm());
        if !engine.block_size.is_multiple_of(USUAL_BLOCK) {
            let message = format!("block_size is {}, which the usual attention kernels do not take", engine.block_size);
            self.diagnostics.push(
                Diagnostic::warning("block-size-of-backend", "engine.block_size", message)
                    .with_hint("on CUDA it is a multiple of 16"),
            );
        }
    }

    /// Says how the V0 engine is simulated, and refuses it where there is none.
    fn v0(&mut self, deployment: &Deployment, engine: &EngineSettings) {
        const PATH: &str = "engine.use_v1";
        if engine.use_v1 {
            return;
        }
        let version = deployment.named_version().unwrap_or(ServerVersion::NEWEST).known();
        if !version.has_v0() {
            let message = format!("vLLM {version} has no V0 engine");
            let hint = "leave it out, or set deployment.server_version to 0.11 or earlier";
            self.diagnostics.push(Diagnostic::error("not-in-this-version", PATH, message).with_hint(hint));
        }
        if engine.async_scheduling == Some(true) {
            let message = "the V0 engine plans no step ahead";
            let hint = "leave engine.async_scheduling out";
            self.diagnostics
                .push(Diagnostic::error("not-in-this-version", "engine.async_scheduling", message).with_hint(hint));
        }
        let steps = match engine.enable_chunked_prefill {
            true => "steps hold prompts and decodes",
            false => "a step holds prompts or decodes",
        };
        let message = format!("the V0 engine is simulated by its limits and by what a step holds: {steps}");
        let hint = "blocks, victims and the order of the queue are by the rules of V1";
        self.diagnostics.push(Diagnostic::note("server-version-v0", PATH, message).with_hint(hint));
    }

    /// Says what is known of the release, and refuses what came later.
    fn server_version(&mut self, deployment: &Deployment, engine: &EngineSettings) {
        const PATH: &str = "deployment.server_version";
        let Some(named) = &deployment.server_version else { return };
        let Some(version) = ServerVersion::parse(named) else {
            self.reject(PATH, named, "give a release of vLLM such as 0.33 or v0.24.0, or leave it out for the newest");
            return;
        };
        let known = version.known();
        if known != version {
            let message = format!("vLLM {version} is not among the releases that are known, {known} stands for it");
            let hint = format!("known are {} to {}", ServerVersion::OLDEST, ServerVersion::NEWEST);
            self.diagnostics.push(Diagnostic::note("server-version-unknown", PATH, message).with_hint(hint));
        }
        if known < ServerVersion::VERIFIED {
            let message = format!(
                "the rules are those verified on vLLM {}, with what is known to be different in {known}",
                ServerVersion::VERIFIED
            );
            let hint = match differences(known).join(", ") {
                none if none.is_empty() => "nothing that is simulated is known to be".into(),
                some => format!("different are: {some}"),
            };
            self.diagnostics.push(Diagnostic::note("server-version-rules", PATH, message).with_hint(hint));
        }
        for (is_used, field, since) in [
            (engine.async_scheduling == Some(true), "async_scheduling", ServerVersion::new(10, 0)),
            (engine.scheduler_reserve_full_isl == Some(true), "scheduler_reserve_full_isl", ServerVersion::new(19, 0)),
            (engine.watermark > 0.0, "watermark", ServerVersion::new(24, 0)),
            (
                engine.long_prefill_token_threshold_adaptive,
                "long_prefill_token_threshold_adaptive",
                ServerVersion::new(31, 0),
            ),
            (engine.max_num_active_seqs.is_some(), "max_num_active_seqs", ServerVersion::new(31, 0)),
            (engine.max_num_scheduled_tokens.is_some(), "max_num_scheduled_tokens", ServerVersion::new(26, 0)),
            (!engine.performance_mode.is_balanced(), "performance_mode", ServerVersion::new(17, 0)),
            (engine.kv_cache_memory_bytes.is_some(), "kv_cache_memory_bytes", ServerVersion::new(10, 2)),
        ] {
            if is_used && known < since {
                let message = format!("{field} came with vLLM {since}, and the server is {known}");
                self.diagnostics.push(
                    Diagnostic::error("not-in-this-version", format!("engine.{field}"), message)
                        .with_hint(format!("leave it out, or set deployment.server_version to {since} or later")),
                );
            }
        }
    }
}

/// What is simulated otherwise for a release than for the one that the rules were verified on.
fn differences(version: ServerVersion) -> Vec<&'static str> {
    let of_releases = [
        (14, "asynchronous scheduling is off unless asked for (on from 0.14)"),
        (19, "a request is admitted when its first chunk fits (all of it from 0.19)"),
        (20, "0.9 of the memory is used (0.92 from 0.20)"),
        (24, "no blocks are kept free by a watermark (there from 0.24)"),
        (28, "cards of 160 GiB have the budget of those of 70 (16384 tokens from 0.28)"),
        (31, "the long-prefill threshold holds for lone prompts too (spared from 0.31)"),
    ];
    of_releases.into_iter().filter(|(minor, _)| !version.is_at_least(*minor)).map(|(_, words)| words).collect()
}

/// Whether prompts have tokens in common, as far as is declared; what a trace holds is not known here.
fn shares_prefixes(workload: &WorkloadSettings) -> bool {
    match (&workload.trace, workload.clients.as_slice()) {
        (Some(_), _) => false,
        (None, []) => workload.prefix.tokens > 0 && workload.prefix.share_ratio > 0.0,
        (None, clients) => clients.iter().any(|client| {
            let is_conversation = client.session.is_some_and(|session| session.accumulates && session.max_rounds > 1);
            is_conversation || (!client.prefix_group.is_empty() && client.prefix_tokens > 0)
        }),
    }
}

impl EngineSettings {
    /// What of these settings vLLM's rules do not have.
    pub(super) fn obstacles_to_vllm(&self) -> Vec<Diagnostic> {
        let mut found = Vec::new();
        let mut refuse = |path: &str, message: String, instead: &str| {
            let hint = format!("{instead}, or run it by the rules of the reference: engine.scheduling reference");
            found.push(Diagnostic::error("not-under-these-rules", path, message).with_hint(hint));
        };
        if self.kv_cpu_blocks > 0 {
            let message = "vLLM's rules say nothing about a prefix cache in host memory";
            refuse("engine.kv_cpu_blocks", message.into(), "set engine.kv_cpu_blocks to 0");
        }
        let scheduler = match self.scheduler {
            SchedulingPolicy::Fcfs | SchedulingPolicy::Priority => None,
            SchedulingPolicy::PriorityFcfs => Some("priority-fcfs"),
            SchedulingPolicy::Sjf => Some("sjf"),
            SchedulingPolicy::ReversePriority => Some("reverse-priority"),
        };
        if let Some(name) = scheduler {
            let message = format!("vLLM has no scheduler {name}");
            refuse("engine.scheduler", message, "choose fcfs or priority");
        }
        if self.priority != PriorityPolicy::Constant {
            let message = "vLLM has no priorities that change with a request's age";
            refuse("engine.priority", message.into(), "set engine.priority to constant");
        }
        found
    }

    /// The order of the waiting queue under the rules of the reference; vLLM's own stands for none of these.
    pub(super) fn reference_order(&self) -> SchedulerPolicy {
        match self.scheduler {
            SchedulingPolicy::Fcfs | SchedulingPolicy::Priority => SchedulerPolicy::Fcfs,
            SchedulingPolicy::PriorityFcfs => SchedulerPolicy::PriorityFcfs,
            SchedulingPolicy::Sjf => SchedulerPolicy::Sjf,
            SchedulingPolicy::ReversePriority => SchedulerPolicy::ReversePriority,
        }
    }
}

impl Resolution<'_> {
    /// The rules of the replicas, after what only the whole of the settings shows: whether such a server starts.
    pub(super) fn rules(
        &self,
        latency: &LatencyModel,
        max_model_len: u32,
        groups: KvGroups,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Rules {
        let engine = &self.scenario.engine;
        if !engine.is_vllm() {
            return Rules::Reference;
        }
        self.does_start(max_model_len, diagnostics);
        let version = self.in_force.version;
        Rules::VllmV1(VllmRules {
            batching: self.batching(latency, diagnostics),
            order: match engine.scheduler {
                SchedulingPolicy::Priority => QueueOrder::Priority,
                _ => QueueOrder::Fcfs,
            },
            reserve_full_isl: engine.scheduler_reserve_full_isl.unwrap_or(version.scheduler_reserve_full_isl()),
            watermark: engine.watermark,
            prefix_hit_ratio: self.scenario.workload.prefix_hit_ratio,
            is_threshold_adaptive: engine.long_prefill_token_threshold_adaptive,
            is_lone_prompt_spared: version.spares_lone_prompts(),
            max_num_active_seqs: engine.max_num_active_seqs.unwrap_or(0),
            does_pass_go_on: version.goes_on_behind_victims(),
            groups,
        })
    }

    /// Refuses what `vllm serve` refuses.
    fn does_start(&self, max_model_len: u32, diagnostics: &mut Vec<Diagnostic>) {
        let engine = &self.scenario.engine;
        let InForce { limits: Limits { max_num_batched_tokens, max_num_seqs }, longest_context, .. } = self.in_force;
        let mut refuse = |field: &str, message: String, hint: String| {
            diagnostics.push(Diagnostic::error("server-refuses", format!("engine.{field}"), message).with_hint(hint));
        };
        if max_num_batched_tokens < max_num_seqs {
            refuse(
                "max_num_batched_tokens",
                format!(
                    "max_num_batched_tokens {max_num_batched_tokens} is less than max_num_seqs {max_num_seqs}, and vLLM does not start with that"
                ),
                format!("raise it to {max_num_seqs}, or lower max_num_seqs to {max_num_batched_tokens}"),
            );
        }
        if !engine.enable_chunked_prefill && max_num_batched_tokens < max_model_len {
            refuse(
                "max_num_batched_tokens",
                format!(
                    "max_num_batched_tokens {max_num_batched_tokens} is less than max_model_len {max_model_len}, and without chunked prefill vLLM does not start with that"
                ),
                format!("raise it to {max_model_len}, lower max_model_len, or let prompts be computed in chunks"),
            );
        }
        if let Some(length) = engine.max_model_len
            && longest_context > 0
            && u64::from(length) > longest_context
            && !engine.allow_long_max_model_len
        {
            refuse(
                "max_model_len",
                format!(
                    "max_model_len is {length} and the model is made for {longest_context} tokens, and vLLM does not start with that"
                ),
                format!(
                    "give at most {longest_context}; with VLLM_ALLOW_LONG_MAX_MODEL_LEN=1 vLLM starts, here with engine.allow_long_max_model_len: true"
                ),
            );
        }
        let threshold = engine.long_prefill_token_threshold;
        if max_model_len > 0 && threshold > max_model_len {
            refuse(
                "long_prefill_token_threshold",
                format!(
                    "long_prefill_token_threshold {threshold} is more than max_model_len {max_model_len}, and vLLM does not start with that"
                ),
                format!("give at most {max_model_len}, or 0 for no limit"),
            );
        }
        if let Some(active) = engine.max_num_active_seqs
            && !(1..=max_num_seqs).contains(&active)
        {
            refuse(
                "max_num_active_seqs",
                format!("max_num_active_seqs is {active}, and vLLM does not start with that"),
                format!("give a number from 1 to max_num_seqs {max_num_seqs}, or leave it out"),
            );
        }
    }

    /// When a step is planned: as the scenario says, else as the fit does, else as the release does.
    fn batching(&self, latency: &LatencyModel, diagnostics: &mut Vec<Diagnostic>) -> Batching {
        let of_fit = Batching::of_fit(latency);
        if let (Some(given), Some(of_fit)) = (self.given_batching(), of_fit)
            && given != of_fit
        {
            let field = if self.scenario.engine.use_v1 { "engine.async_scheduling" } else { "engine.use_v1" };
            let message = format!("the fit found {}, and the scenario asks for {}", of_fit.words(), given.words());
            diagnostics.push(
                Diagnostic::warning("fit-of-another-scheduling", field, message)
                    .with_hint(format!("leave {field} out to follow the fit")),
            );
        }
        self.batching_in_force(Some(latency))
    }

    /// When a step is planned, as the scenario says; V0 mixes prompts with decodes where prompts come in chunks, and is
    /// then like V1 that waits for each step.
    fn given_batching(&self) -> Option<Batching> {
        let engine = &self.scenario.engine;
        let of = |is_async| if is_async { Batching::Async } else { Batching::Sync };
        match (engine.use_v1, engine.enable_chunked_prefill) {
            (true, _) => engine.async_scheduling.map(of),
            (false, true) => Some(Batching::Sync),
            (false, false) => Some(Batching::V0),
        }
    }

    /// When a step is planned, without a word about it.
    pub(super) fn batching_in_force(&self, latency: Option<&LatencyModel>) -> Batching {
        let of_version = if self.in_force.version.async_scheduling() { Batching::Async } else { Batching::Sync };
        self.given_batching().or_else(|| Batching::of_fit(latency?)).unwrap_or(of_version)
    }
}
