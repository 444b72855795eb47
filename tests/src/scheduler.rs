//! The engines under vLLM's rules against recorded decisions of a scheduler, call by call.
//!
//! A case is a scenario (`scenarios/NAME.json`) and what the scheduler did (`expected/NAME.json`); only figures, no time.
//! Requests arrive before the call that they name, so the driver here hands them over call by call, and lets the fast
//! engine make all calls between two arrivals at once.

mod prompts;

use plimsoll_core::engine::{Engine, Mode};
use plimsoll_core::latency::LatencyModel;
use plimsoll_core::observation::{Observer, Plan, ReplicaTotals, RequestRecord};
use plimsoll_core::scenario::{
    Batching, EngineConfig, GroupKind, GroupRun, KvGroups, QueueOrder, Retention, Rules, VllmRules,
};
use plimsoll_core::time::SimTime;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::Path;

/// Length of every step, microseconds.
const STEP: i64 = 1_000;

/// A scenario as recorded.
#[derive(Debug, Deserialize)]
struct Scenario {
    #[serde(default)]
    engine: EngineSettings,
    requests: Vec<RequestSpec>,
}

/// Settings by their names in vLLM; what is left out is as in the scheduler they were recorded from.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct EngineSettings {
    block_size: u32,
    num_blocks: u32,
    max_num_seqs: u32,
    max_num_batched_tokens: u32,
    max_model_len: u32,
    enable_prefix_caching: bool,
    policy: Policy,
    async_scheduling: bool,
    reserve_full_isl: bool,
    watermark: f64,
    long_prefill_token_threshold: u32,
    long_prefill_token_threshold_adaptive: bool,
    /// In the order of the server; all layers keep all tokens where there are none.
    groups: Vec<GroupSpec>,
    /// Tokens between kept states and windows, `null` for every block's; 0 keeps those that prompts end with.
    prefix_cache_retention_interval: Option<u32>,
}

/// Groups of layers that are alike.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct GroupSpec {
    kind: GroupName,
    block_size: u32,
    count: u32,
    /// Of a window, or of a chunk, tokens.
    #[serde(default)]
    reach: u32,
    /// Tokens between the states that a step can export, 0 for none.
    #[serde(default)]
    checkpoint_grid: u32,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum GroupName {
    Full,
    Sliding,
    Chunked,
    State,
}

impl GroupSpec {
    fn run(self) -> GroupRun {
        let kind = match self.kind {
            GroupName::Full => GroupKind::Full,
            GroupName::Sliding => GroupKind::Sliding { window: self.reach },
            GroupName::Chunked => GroupKind::Chunked { chunk: self.reach },
            GroupName::State => GroupKind::State { exports_checkpoint: self.checkpoint_grid > 0 },
        };
        GroupRun { kind, block_size: self.block_size, count: self.count }
    }
}

impl Default for EngineSettings {
    fn default() -> Self {
        Self {
            block_size: 16,
            num_blocks: 1000,
            max_num_seqs: 128,
            max_num_batched_tokens: 2048,
            max_model_len: 0,
            enable_prefix_caching: true,
            policy: Policy::Fcfs,
            async_scheduling: false,
            reserve_full_isl: true,
            watermark: 0.0,
            long_prefill_token_threshold: 0,
            long_prefill_token_threshold_adaptive: false,
            groups: Vec::new(),
            prefix_cache_retention_interval: Some(0),
        }
    }
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Policy {
    Fcfs,
    Priority,
}

#[derive(Debug, Deserialize)]
struct RequestSpec {
    id: Option<String>,
    #[serde(default)]
    arrival_step: u64,
    prompt: Vec<(Value, u32)>,
    output: u32,
    #[serde(default)]
    priority: i32,
}

/// A recording.
#[derive(Debug, Deserialize)]
struct Expected {
    #[serde(default)]
    vllm: String,
    steps: Vec<Map<String, Value>>,
    #[serde(default)]
    totals: Map<String, Value>,
    #[serde(default)]
    first_token_and_last_step: Map<String, Value>,
}

/// What a folder of cases gave.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Cases equal in both modes.
    pub equal: usize,
    /// All cases.
    pub total: usize,
    /// The first difference of each other case.
    pub differences: Vec<String>,
}

/// Compares the cases of a folder with `scenarios` and `expected`, in step mode and in fast mode.
///
/// # Errors
/// When the folder cannot be read, or holds no scenario.
pub fn run_directory(folder: &Path) -> Result<Outcome, String> {
    let mut names = Vec::new();
    for (inner, is_required) in [("scenarios", true), ("expected", false)] {
        let folder = folder.join(inner);
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(_) if !is_required => continue,
            Err(problem) => return Err(format!("cannot read {}: {problem}", folder.display())),
        };
        for entry in entries {
            let path = entry.map_err(|problem| format!("cannot read {}: {problem}", folder.display()))?.path();
            if path.extension().is_some_and(|extension| extension == "json")
                && let Some(name) = path.file_name().and_then(|name| name.to_str())
            {
                names.push(name.to_owned());
            }
        }
    }
    names.sort_unstable();
    names.dedup();
    if names.is_empty() {
        return Err(format!("there are no scenarios in {}", folder.display()));
    }
    let mut outcome = Outcome { total: names.len(), ..Outcome::default() };
    for name in names {
        match compare(folder, &name) {
            Ok(()) => outcome.equal += 1,
            Err(difference) => outcome.differences.push(format!("{name}: {difference}")),
        }
    }
    Ok(outcome)
}

fn read<T: for<'a> Deserialize<'a>>(path: &Path) -> Result<T, String> {
    let text = std::fs::read_to_string(path).map_err(|problem| format!("cannot read {}: {problem}", path.display()))?;
    serde_json::from_str(&text).map_err(|problem| format!("{}: {problem}", path.display()))
}

/// Whether the engines decide as recorded in a case.
///
/// # Errors
/// The first difference.
fn compare(folder: &Path, name: &str) -> Result<(), String> {
    let mut scenario: Scenario = read(&folder.join("scenarios").join(name))?;
    let expected: Expected = read(&folder.join("expected").join(name))?;
    // A stable order: who arrives with others stands where it is listed.
    for (at, request) in scenario.requests.iter_mut().enumerate() {
        request.id.get_or_insert_with(|| format!("r{at}"));
    }
    for (mode, word) in [(Mode::Step, "step mode"), (Mode::Fast, "fast mode")] {
        let run = run(&scenario, release(&expected.vllm), mode);
        difference(&run, &expected).map_or(Ok(()), |difference| Err(format!("{word}, {difference}")))?;
    }
    Ok(())
}

/// The second number of a release, which counts vLLM's: 32 of `0.32.0 (rules)`.
fn release(text: &str) -> u32 {
    let minor = text.split('.').nth(1).unwrap_or_default();
    let digits = minor.find(|digit: char| !digit.is_ascii_digit()).map_or(minor, |end| &minor[..end]);
    digits.parse().unwrap_or(32)
}

/// What an engine did, in the form of a recording.
struct Run {
    steps: Vec<Map<String, Value>>,
    totals: Map<String, Value>,
    first_and_last: BTreeMap<String, [Option<u64>; 2]>,
}

/// Keeps what the scheduler decides.
#[derive(Default)]
struct Plans {
    plans: Vec<Plan>,
}

impl Observer for Plans {
    fn settled(&mut self, _record: &RequestRecord) {}

    fn planned(&mut self, plan: &Plan) {
        self.plans.push(plan.clone());
    }

    fn wants_plans(&self) -> bool {
        true
    }
}

fn config(settings: &EngineSettings, release: u32) -> EngineConfig {
    let runs: Vec<GroupRun> = settings.groups.iter().map(|group| group.run()).collect();
    let mut groups = KvGroups::new(&runs).expect("few kinds of groups with sizes");
    groups.retention = match settings.prefix_cache_retention_interval {
        Some(0) => Retention::Boundaries,
        None => Retention::Every,
        Some(other) => panic!("an interval of {other} tokens is not simulated"),
    };
    let alignment = groups.alignment().filter(|tokens| *tokens > 0).unwrap_or(settings.block_size);
    EngineConfig {
        block_size: alignment,
        max_num_seqs: settings.max_num_seqs,
        max_num_batched_tokens: settings.max_num_batched_tokens,
        long_prefill_token_threshold: settings.long_prefill_token_threshold,
        max_model_len: settings.max_model_len,
        enable_prefix_caching: settings.enable_prefix_caching,
        rules: Rules::VllmV1(VllmRules {
            batching: if settings.async_scheduling { Batching::Async } else { Batching::Sync },
            order: match settings.policy {
                Policy::Fcfs => QueueOrder::Fcfs,
                Policy::Priority => QueueOrder::Priority,
            },
            reserve_full_isl: settings.reserve_full_isl,
            watermark: settings.watermark,
            // Recordings found what they found.
            prefix_hit_ratio: 0.0,
            is_threshold_adaptive: settings.long_prefill_token_threshold_adaptive,
            is_lone_prompt_spared: release >= 31,
            does_pass_go_on: release >= 33,
            max_num_active_seqs: 0,
            groups,
        }),
        ..EngineConfig::new(settings.num_blocks)
    }
}

/// Lets an engine serve the requests of a scenario.
fn run(scenario: &Scenario, release: u32, mode: Mode) -> Run {
    let config = config(&scenario.engine, release);
    let (requests, prefixes) = prompts::requests(&scenario.requests);
    let latency = LatencyModel::blackbox(&[0.0; 3], &[STEP as f64, 0.0, 0.0]).expect("a constant step time");
    let mut engine = Engine::new(config, latency, mode);
    let mut arriving: Vec<usize> = (0..requests.len()).collect();
    arriving.sort_by_key(|at| scenario.requests[*at].arrival_step);
    let mut arriving = arriving.into_iter().peekable();
    let mut plans = Plans::default();
    // Number of the recording's calls that an idle engine did not make.
    let mut skipped = Vec::new();
    let (mut idle_calls, mut time) = (0, 0);
    loop {
        let mut call = engine.steps() + idle_calls;
        let event = engine.next_event();
        if event == i64::MAX {
            let Some(next) = arriving.peek() else { break };
            idle_calls += scenario.requests[*next].arrival_step.saturating_sub(call);
            call = engine.steps() + idle_calls;
            time += STEP;
        } else {
            time = event;
        }
        skipped.push((engine.steps(), idle_calls));
        while let Some(at) = arriving.next_if(|at| scenario.requests[*at].arrival_step <= call) {
            let mut request = requests[at];
            request.arrive = SimTime(time);
            engine.submit(request, time);
        }
        let calls = arriving.peek().map_or(u64::MAX, |at| scenario.requests[*at].arrival_step - call);
        engine.advance(i64::MAX, calls, &prefixes, &mut plans);
        time = time.max(plans.plans.last().map_or(0, |plan| plan.time.0));
    }
    let totals = engine.finish(&mut plans);
    let number = |call: u64| {
        let at = skipped.partition_point(|(from, _)| *from <= call);
        call + skipped[at - 1].1
    };
    record(scenario, &config, &plans.plans, &totals, number)
}

/// Brings plans into the form of a recording.
fn record(
    scenario: &Scenario,
    config: &EngineConfig,
    plans: &[Plan],
    totals: &ReplicaTotals,
    number: impl Fn(u64) -> u64,
) -> Run {
    let name = |id: &u32| scenario.requests[*id as usize].id.clone().unwrap_or_default();
    let names = |ids: &[u32]| -> Vec<String> { ids.iter().map(name).collect() };
    let pairs =
        |pairs: &[(u32, u32)]| -> Vec<Value> { pairs.iter().map(|(id, tokens)| json!([name(id), tokens])).collect() };
    let mut steps = Vec::new();
    let mut answers = vec![0; scenario.requests.len()];
    let mut first_and_last: BTreeMap<String, [Option<u64>; 2]> =
        (0..scenario.requests.len() as u32).map(|id| (name(&id), [None, None])).collect();
    let (mut scheduled_tokens, mut recomputed_tokens) = (0u64, 0u64);
    let mut most_computed = vec![0; scenario.requests.len()];
    for (at, plan) in plans.iter().enumerate() {
        let after = plans.get(at + 1);
        let step = number(plan.call);
        for part in &plan.scheduled {
            let spec = &scenario.requests[part.id as usize];
            let prompt: u32 = spec.prompt.iter().map(|(_, length)| length).sum();
            let id = part.id as usize;
            let end = part.computed + part.tokens;
            scheduled_tokens += u64::from(part.tokens);
            recomputed_tokens += u64::from(end.min(most_computed[id]).saturating_sub(part.computed));
            most_computed[id] = most_computed[id].max(end);
            if end >= prompt + answers[id] {
                answers[id] += 1;
                let first_and_last = first_and_last.entry(name(&part.id)).or_default();
                first_and_last[0].get_or_insert(step);
                let is_capped = config.max_model_len > 0 && prompt + answers[id] >= config.max_model_len;
                if answers[id] >= spec.output || is_capped {
                    first_and_last[1] = Some(step);
                }
            }
        }
        let finished = after.map(|after| names(&after.finished_before)).unwrap_or_default();
        if plan.scheduled.is_empty() && finished.is_empty() && plan.preempted.is_empty() {
            continue;
        }
        let scheduled: Vec<Value> =
            plan.scheduled.iter().map(|part| json!([name(&part.id), part.tokens, part.computed])).collect();
        let entry = json!({
            "step": step,
            "scheduled": scheduled,
            "admitted": pairs(&plan.admitted),
            "resumed": pairs(&plan.resumed),
            "preempted": names(&plan.preempted),
            "running": plan.running,
            "waiting": plan.waiting,
            "free": plan.free_blocks,
            "used": plan.used_blocks,
            "finished": finished,
            "free_after": after.map_or(plan.free_blocks, |after| after.free_before),
        });
        steps.extend(entry.as_object().cloned());
    }
    let hits = |list: fn(&Plan) -> &[(u32, u32)]| -> u64 {
        plans.iter().flat_map(list).map(|(_, tokens)| u64::from(*tokens)).sum()
    };
    let cache = &totals.prefix_cache;
    let totals = json!({
        "steps": totals.steps,
        "scheduled_tokens": scheduled_tokens,
        "preemptions": totals.preemptions,
        "hit_tokens": hits(|plan| &plan.admitted),
        "hit_tokens_after_preemption": hits(|plan| &plan.resumed),
        "recomputed_tokens": recomputed_tokens,
        "cache_queries": cache.queried_tokens,
        "cache_hits": cache.hit_tokens,
        "cache_preempted_queries": cache.resumed_queried_tokens,
        "cache_preempted_hits": cache.resumed_hit_tokens,
    });
    Run { steps, totals: totals.as_object().cloned().unwrap_or_default(), first_and_last }
}

/// The first difference between a run and a recording, if there is one.
fn difference(run: &Run, expected: &Expected) -> Option<String> {
    for (at, wanted) in expected.steps.iter().enumerate() {
        let number = wanted.get("step").cloned().unwrap_or_default();
        let Some(got) = run.steps.get(at) else {
            return Some(format!("step {number}: it is missing"));
        };
        // The number first: all else of another step differs too.
        let step = wanted.get_key_value("step");
        for (field, value) in step.into_iter().chain(wanted) {
            if got.get(field) != Some(value) {
                let got = got.get(field).map_or_else(|| String::from("nothing"), Value::to_string);
                return Some(format!("step {number}, {field}: expected {value}, got {got}"));
            }
        }
    }
    if let Some(more) = run.steps.get(expected.steps.len()) {
        return Some(format!("step {}: it is one too many", more.get("step").cloned().unwrap_or_default()));
    }
    for (field, value) in &expected.totals {
        if let Some(got) = run.totals.get(field)
            && got != value
        {
            return Some(format!("totals, {field}: expected {value}, got {got}"));
        }
    }
    for (id, value) in &expected.first_token_and_last_step {
        let got = run.first_and_last.get(id).map(|steps| json!(steps)).unwrap_or_default();
        if got != *value {
            return Some(format!("first token and last step of {id}: expected {value}, got {got}"));
        }
    }
    None
}
