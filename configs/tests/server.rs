//! A server's defaults and rules are those of its version and its accelerator.

use plimsoll_configs::catalog;
use plimsoll_core::diagnostic::{Diagnostic, Severity};
use plimsoll_core::scenario::{
    AcceleratorChoice, Batching, ClientSettings, LatencyFit, LatencyModelChoice, Ledger, ModelChoice, PerformanceMode,
    PriorityPolicy, QueueOrder, ResolvedScenario, Rules, Scenario, Scheduling, SchedulingPolicy, VllmRules,
};

fn on(accelerator: &str, version: &str) -> Scenario {
    let mut scenario = Scenario::default();
    scenario.deployment.accelerator = Some(AcceleratorChoice::Id(accelerator.into()));
    scenario.deployment.server_version = Some(version.into());
    scenario
}

fn resolved(scenario: &Scenario) -> ResolvedScenario {
    scenario.resolve(catalog()).unwrap_or_else(|problems| panic!("{problems:?}")).value
}

fn rules(scenario: &Scenario) -> VllmRules {
    match resolved(scenario).engine.rules {
        Rules::VllmV1(rules) => rules,
        Rules::Reference => panic!("the rules of the reference"),
    }
}

/// Codes and paths of what is said about a scenario.
fn said(scenario: &Scenario, severity: Severity) -> Vec<String> {
    let found = match scenario.resolve(catalog()) {
        Ok(warned) => warned.diagnostics,
        Err(problems) => problems,
    };
    let told = |found: Diagnostic| {
        assert!(!found.hint.is_empty() || found.severity != Severity::Error, "{found}");
        (found.severity == severity).then(|| format!("{} {}", found.code, found.path))
    };
    found.into_iter().filter_map(told).collect()
}

#[test]
fn limits_follow_memory_name_and_version() {
    for (accelerator, version, tokens, places) in [
        ("H100", "0.33", 8192, 1024),
        ("H200-SXM", "0.33", 8192, 1024),
        ("A100-80", "0.33", 2048, 256),
        ("A100-SXM", "0.33", 2048, 256),
        ("L40S", "0.33", 2048, 256),
        ("RTX-PRO-6000-server", "0.33", 8192, 1024),
        ("B200-SXM", "0.33", 16_384, 1024),
        ("B300-SXM", "0.28.0", 16_384, 1024),
        ("B300-SXM", "0.27.1", 8192, 1024),
    ] {
        let engine = resolved(&on(accelerator, version)).engine;
        assert_eq!(
            (engine.max_num_batched_tokens, engine.max_num_seqs),
            (tokens, places),
            "vLLM {version} on {accelerator}"
        );
    }
    let found = resolved(&on("H100", "v0.33.0"));
    let line = "max_num_seqs 1024 (default of vLLM 0.33 on H100)";
    assert!(found.filled_in.iter().any(|filled| filled == line), "{:?}", found.filled_in);
    let mut given = on("H100", "0.33");
    (given.engine.max_num_seqs, given.engine.max_num_batched_tokens) = (Some(64), Some(512));
    let found = resolved(&given);
    assert_eq!((found.engine.max_num_seqs, found.engine.max_num_batched_tokens), (64, 512));
    assert!(found.defaults.iter().all(|default| !default.path.contains("max_num")), "{:?}", found.defaults);
}

/// The figures are those of the list of flags; the way experts are reached, and what is raised for whole prompts, were read
/// in the sources beside it.
#[test]
fn limits_follow_what_the_server_is_tuned_for() {
    type Change = fn(&mut Scenario);
    let limits = |card: &str, version: &str, change: Change| {
        let mut scenario = on(card, version);
        change(&mut scenario);
        let engine = resolved(&scenario).engine;
        (engine.max_num_batched_tokens, engine.max_num_seqs)
    };
    let throughput: Change = |s| s.engine.performance_mode = PerformanceMode::Throughput;
    assert_eq!(limits("H100", "0.33", throughput), (16_384, 2048));
    assert_eq!(limits("B200-SXM", "0.33", throughput), (32_768, 2048));
    assert_eq!(limits("B200-SXM", "0.27", throughput), (16_384, 2048));
    assert_eq!(limits("A100-80", "0.17", throughput), (4096, 512));
    assert_eq!(limits("H100", "0.33", |s| s.engine.performance_mode = PerformanceMode::Interactivity), (8192, 1024));
    let given: Change = |s| {
        s.engine.performance_mode = PerformanceMode::Throughput;
        s.engine.max_num_seqs = Some(100);
    };
    assert_eq!(limits("H100", "0.33", given), (16_384, 100));
    let line = "max_num_seqs 2048 (default of vLLM 0.33 on H100 for throughput)";
    let mut scenario = on("H100", "0.33");
    throughput(&mut scenario);
    assert!(resolved(&scenario).filled_in.iter().any(|filled| filled == line));
    scenario.deployment.server_version = Some("0.16".into());
    assert_eq!(said(&scenario, Severity::Error), ["not-in-this-version engine.performance_mode"]);
    // Without chunks a prompt of the longest length fits into a step.
    let whole: Change = |s| (s.engine.enable_chunked_prefill, s.engine.max_model_len) = (false, Some(20_000));
    assert_eq!(limits("H100", "0.33", whole), (20_000, 1024));
    let short: Change = |s| (s.engine.enable_chunked_prefill, s.engine.max_model_len) = (false, Some(2000));
    assert_eq!(limits("H100", "0.33", short), (8192, 1024));
    // Experts whose ranks exchange batches.
    let experts: Change = |s| {
        s.deployment.model = ModelChoice::Id("Qwen/Qwen3-30B-A3B".into());
        s.engine.all2all_backend = Some("deepep_low_latency".into());
        s.engine.enable_expert_parallel = true;
        s.cluster.num_replicas = 2;
    };
    assert_eq!(limits("H100", "0.33", experts), (256, 256));
    let other: Change = |s| {
        s.deployment.model = ModelChoice::Id("Qwen/Qwen3-30B-A3B".into());
        s.engine.all2all_backend = Some("deepep_high_throughput".into());
        s.engine.enable_expert_parallel = true;
        s.cluster.num_replicas = 2;
    };
    assert_eq!(limits("H100", "0.33", other), (8192, 1024));
}

#[test]
fn the_smaller_of_two_budgets_counts_and_the_larger_is_compared_with_the_places() {
    let with = |scheduled: u32, batched: Option<u32>| {
        let mut scenario = on("H100", "0.33");
        scenario.engine.max_num_scheduled_tokens = Some(scheduled);
        scenario.engine.max_num_batched_tokens = batched;
        scenario
    };
    assert_eq!(resolved(&with(16_384, None)).engine.max_num_batched_tokens, 8192);
    assert_eq!(resolved(&with(512, None)).engine.max_num_batched_tokens, 512);
    assert_eq!(resolved(&with(512, None)).engine.max_num_seqs, 1024);
    assert_eq!(resolved(&with(512, Some(2048))).engine.max_num_batched_tokens, 512);
    assert_eq!(said(&with(0, None), Severity::Error), ["invalid-value engine.max_num_scheduled_tokens"]);
    let mut old = with(512, None);
    old.deployment.server_version = Some("0.25".into());
    assert_eq!(said(&old, Severity::Error), ["not-in-this-version engine.max_num_scheduled_tokens"]);
}

/// Llama 3.1 8B is made for 131,072 tokens.
#[test]
fn lengths_that_a_server_does_not_start_with_are_refused() {
    let mut scenario = on("H200-SXM", "0.33");
    scenario.engine.max_model_len = Some(131_073);
    assert_eq!(said(&scenario, Severity::Error), ["server-refuses engine.max_model_len"]);
    scenario.engine.allow_long_max_model_len = true;
    assert_eq!(said(&scenario, Severity::Error), Vec::<String>::new());
    scenario.engine.allow_long_max_model_len = false;
    scenario.engine.max_model_len = Some(131_072);
    assert_eq!(said(&scenario, Severity::Error), Vec::<String>::new());
    scenario.engine.max_num_batched_tokens = Some(2048);
    scenario.engine.enable_chunked_prefill = false;
    assert_eq!(said(&scenario, Severity::Error), ["server-refuses engine.max_num_batched_tokens"]);
    scenario.engine.max_model_len = Some(2048);
    assert_eq!(said(&scenario, Severity::Error), Vec::<String>::new());
}

#[test]
fn the_v0_engine_is_refused_where_there_is_none() {
    let mut scenario = on("H100", "0.11");
    scenario.engine.use_v1 = false;
    scenario.engine.enable_chunked_prefill = false;
    scenario.engine.max_model_len = Some(4096);
    let found = resolved(&scenario);
    assert_eq!((found.engine.max_num_batched_tokens, found.engine.max_num_seqs), (4096, 256));
    assert_eq!(rules(&scenario).batching, Batching::V0);
    assert!(said(&scenario, Severity::Note).contains(&"server-version-v0 engine.use_v1".to_owned()));
    assert_eq!(said(&scenario, Severity::Warning), Vec::<String>::new());
    scenario.engine.async_scheduling = Some(true);
    assert_eq!(said(&scenario, Severity::Error), ["not-in-this-version engine.async_scheduling"]);
    scenario.engine.async_scheduling = None;
    scenario.deployment.server_version = Some("0.12".into());
    assert_eq!(said(&scenario, Severity::Error), ["not-in-this-version engine.use_v1"]);
}

/// 20 · 2³⁰ bytes of Llama 3.1 8B, whose token takes 2¹⁷ on one accelerator.
#[test]
fn told_bytes_follow_parallelism_and_blocks_and_told_blocks_win() {
    let blocks = |change: fn(&mut Scenario)| {
        let mut scenario = on("H100", "0.33");
        scenario.engine.kv_cache_memory_bytes = Some(20 << 30);
        change(&mut scenario);
        resolved(&scenario).engine.num_blocks
    };
    assert_eq!(blocks(|_| ()), 10_240);
    assert_eq!(blocks(|s| s.engine.block_size = 64), 2560);
    assert_eq!(blocks(|s| s.deployment.tensor_parallel_size = Some(4)), 40_960);
    assert_eq!(blocks(|s| s.engine.num_gpu_blocks = Some(9000)), 9000);
    assert_eq!(blocks(|s| s.engine.gpu_memory_utilization = Some(0.3)), 10_240);
    assert_eq!(blocks(|s| s.engine.scheduling = Scheduling::Reference), 10_240);
    let mut scenario = on("H100", "0.33");
    scenario.engine.kv_cache_memory_bytes = Some(20 << 30);
    let found = resolved(&scenario);
    assert!(found.filled_in.iter().any(|line| line.contains("10,240 KV blocks of 16 tokens (what vLLM 0.33 makes of")));
    assert!(found.defaults.iter().all(|default| !default.path.ends_with("utilization")), "{:?}", found.defaults);
    // Beside 15 GiB of weights no 70 GiB fit into 79.
    scenario.engine.kv_cache_memory_bytes = Some(70 << 30);
    assert_eq!(said(&scenario, Severity::Error), ["model-does-not-fit deployment.tensor_parallel_size"]);
    scenario.engine.kv_cache_memory_bytes = Some(0);
    assert_eq!(said(&scenario, Severity::Error), ["invalid-value engine.kv_cache_memory_bytes"]);
}

/// Of the 627 GiB of weights all but some 20 are experts: an eighth of these fits into the 129 GiB that an H200 gives.
#[test]
fn ranks_of_one_server_share_the_experts_in_memory() {
    let mut scenario = on("H200-SXM", "0.33");
    scenario.deployment.model = ModelChoice::Id("deepseek-ai/DeepSeek-V3".into());
    scenario.cluster.num_replicas = 8;
    assert_eq!(said(&scenario, Severity::Error), ["model-does-not-fit deployment.tensor_parallel_size"]);
    scenario.engine.enable_expert_parallel = true;
    let Some(Ledger::Server(ledger)) = resolved(&scenario).ledger else { panic!("as the server plans it") };
    let weights = ledger.fit.budget.weight_bytes / f64::from(1 << 30);
    assert!((85.0..110.0).contains(&weights), "{weights} GiB");
    assert!(said(&scenario, Severity::Warning).contains(&"not-modelled engine.enable_expert_parallel".to_owned()));
}

/// What the list of flags dates, and nothing that is the same in that release.
#[test]
fn a_version_is_told_with_what_is_different_in_it() {
    let hint = |version: &str| {
        let found = on("H100", version).resolve(catalog()).expect("valid").diagnostics;
        found.into_iter().find(|found| found.code == "server-version-rules").expect("a note").hint
    };
    let words = ["asynchronous", "first chunk", "0.9 of", "watermark", "160 GiB", "lone prompts"];
    let told = |version: &str| words.map(|word| hint(version).contains(word));
    assert_eq!(told("0.13"), [true; 6]);
    assert_eq!(told("0.14"), [false, true, true, true, true, true]);
    assert_eq!(told("0.19"), [false, false, true, true, true, true]);
    assert_eq!(told("0.23"), [false, false, false, true, true, true]);
    assert_eq!(told("0.24"), [false, false, false, false, true, true]);
    assert_eq!(told("0.30"), [false, false, false, false, false, true]);
    assert_eq!(hint("0.31"), "nothing that is simulated is known to be");
}

#[test]
fn versions_switch_the_rules() {
    let newest = rules(&Scenario::default());
    assert_eq!(newest, VllmRules::default());
    for (version, batching, reserve, lone, goes_on) in [
        ("0.33", Batching::Async, true, true, true),
        ("0.32", Batching::Async, true, true, false),
        ("0.31.0", Batching::Async, true, true, false),
        ("0.30.2", Batching::Async, true, false, false),
        ("0.19", Batching::Async, true, false, false),
        ("0.18.9", Batching::Async, false, false, false),
        ("0.14", Batching::Async, false, false, false),
        ("0.13.0", Batching::Sync, false, false, false),
        ("0.8.5", Batching::Sync, false, false, false),
        ("vllm/vllm-openai:v0.8.4", Batching::Sync, false, false, false),
        ("0.40", Batching::Async, true, true, true),
    ] {
        let found = rules(&on("H100", version));
        let seen = (found.batching, found.reserve_full_isl, found.is_lone_prompt_spared, found.does_pass_go_on);
        assert_eq!(seen, (batching, reserve, lone, goes_on), "{version}");
    }
    let utilization = |version: &str| {
        let found = resolved(&on("H100", version));
        found.defaults.iter().find(|default| default.path.ends_with("utilization")).expect("left out").value.clone()
    };
    assert_eq!(["0.19.1", "0.20.0"].map(utilization), ["0.9", "0.92"]);
    assert_eq!(said(&on("H100", "0.33"), Severity::Note), Vec::<String>::new());
    let note = |version| said(&on("H100", version), Severity::Note).join(", ");
    assert_eq!(note("0.20"), "server-version-rules deployment.server_version");
    let old = "server-version-unknown deployment.server_version, server-version-rules deployment.server_version";
    assert_eq!(note("0.8.4"), old);
    assert_eq!(note("0.40"), "server-version-unknown deployment.server_version");
    assert_eq!(said(&on("H100", "new"), Severity::Error), ["invalid-value deployment.server_version"]);
}

/// The releases of the constants are those that the sources of 27 releases were read for.
#[test]
fn releases_are_those_of_the_list_of_flags() {
    let text = include_str!("../../tests/truth/vllm_flags.csv");
    let row = |flag: &str| text.lines().find(|line| line.starts_with(&format!("{flag},"))).expect(flag);
    for (flag, words) in [
        ("--gpu-memory-utilization", "0.8.5: 0.9; 0.20.0: 0.92"),
        ("--async-scheduling", "0.10.0: False; 0.14.0: None"),
        ("--scheduler-reserve-full-isl", ",0.19.0,"),
        ("--watermark", ",0.24.0,"),
        ("--max-num-active-seqs", ",0.31.0,"),
        ("--max-num-scheduled-tokens", ",0.26.0,"),
        ("--performance-mode", ",0.17.0,"),
        ("--kv-cache-memory-bytes", ",0.10.2,"),
        ("--max-num-partial-prefills", ",<=0.8.5,0.27.0,"),
        ("--long-prefill-token-threshold-adaptive", ",0.31.0,"),
    ] {
        assert!(row(flag).contains(words), "{}", row(flag));
    }
}

#[test]
fn what_the_rules_do_not_have_is_refused_with_the_way_out() {
    type Change = fn(&mut Scenario);
    let cases: [(Change, &str); 9] = [
        (|s| s.engine.kv_cpu_blocks = 100, "not-under-these-rules engine.kv_cpu_blocks"),
        (|s| s.engine.scheduler = SchedulingPolicy::Sjf, "not-under-these-rules engine.scheduler"),
        (|s| s.engine.scheduler = SchedulingPolicy::PriorityFcfs, "not-under-these-rules engine.scheduler"),
        (|s| s.engine.scheduler = SchedulingPolicy::ReversePriority, "not-under-these-rules engine.scheduler"),
        (|s| s.engine.priority = PriorityPolicy::SloBased, "not-under-these-rules engine.priority"),
        (|s| s.engine.watermark = 1.0, "invalid-value engine.watermark"),
        (|s| s.engine.max_num_active_seqs = Some(0), "server-refuses engine.max_num_active_seqs"),
        (
            |s| (s.engine.max_num_seqs, s.engine.max_num_batched_tokens) = (Some(9), Some(8)),
            "server-refuses engine.max_num_batched_tokens",
        ),
        (
            |s| (s.engine.max_model_len, s.engine.long_prefill_token_threshold) = (Some(1000), 1001),
            "server-refuses engine.long_prefill_token_threshold",
        ),
    ];
    for (change, expected) in cases {
        let mut scenario = Scenario::default();
        change(&mut scenario);
        assert_eq!(said(&scenario, Severity::Error), [expected]);
        scenario.engine.scheduling = Scheduling::Reference;
        let is_reference_too = expected.starts_with("invalid-value");
        assert_eq!(said(&scenario, Severity::Error).is_empty(), !is_reference_too, "{expected}");
    }
    let mut scenario = Scenario::base(1).expect("the first base");
    scenario.engine.scheduler = SchedulingPolicy::Priority;
    assert_eq!(said(&scenario, Severity::Error), ["not-under-these-rules engine.scheduler"]);
    scenario.engine.scheduling = Scheduling::VllmV1;
    assert_eq!(rules(&scenario).order, QueueOrder::Priority);
    scenario.engine.block_size = 8;
    assert_eq!(said(&scenario, Severity::Warning), ["block-size-of-backend engine.block_size"]);
    scenario.engine.block_size = 16;
    // A request alone must fit into one block less than there are.
    scenario.engine.num_gpu_blocks = Some(101);
    scenario.engine.max_model_len = Some(1600);
    assert_eq!(said(&scenario, Severity::Error), Vec::<String>::new());
    scenario.engine.max_model_len = Some(1601);
    assert_eq!(said(&scenario, Severity::Error), ["kv-cache-too-small engine.max_model_len"]);
}

#[test]
fn a_share_of_cached_tokens_needs_vllm_s_rules_and_a_cache() {
    const PATH: &str = "workload.prefix_hit_ratio";
    let refused = |code: &str| format!("{code} {PATH}");
    let mut scenario = Scenario::default();
    assert_eq!(rules(&scenario).prefix_hit_ratio, 0.0);
    scenario.workload.prefix_hit_ratio = 0.4;
    assert_eq!(rules(&scenario).prefix_hit_ratio, 0.4);
    assert_eq!(said(&scenario, Severity::Note), Vec::<String>::new());
    scenario.workload.prefix.tokens = 100;
    assert_eq!(said(&scenario, Severity::Note), [refused("hit-ratio-beside-prefixes")]);
    scenario.workload.prefix.share_ratio = 0.0;
    assert_eq!(said(&scenario, Severity::Note), Vec::<String>::new());
    scenario.engine.enable_prefix_caching = false;
    assert_eq!(said(&scenario, Severity::Error), [refused("hit-ratio-without-cache")]);
    scenario.engine.scheduling = Scheduling::Reference;
    let both = [refused("not-under-these-rules"), refused("hit-ratio-without-cache")];
    assert_eq!(said(&scenario, Severity::Error), both);
    scenario.workload.prefix_hit_ratio = 0.0;
    assert_eq!(said(&scenario, Severity::Error), Vec::<String>::new());
    for wrong in [-0.1, 1.5, f64::NAN] {
        let mut scenario = Scenario::default();
        scenario.workload.prefix_hit_ratio = wrong;
        assert_eq!(said(&scenario, Severity::Error), [refused("invalid-value")]);
    }
}

#[test]
fn what_came_later_than_the_server_is_refused() {
    let mut scenario = on("H100", "0.9.2");
    scenario.engine.async_scheduling = Some(true);
    scenario.engine.scheduler_reserve_full_isl = Some(true);
    scenario.engine.watermark = 0.01;
    scenario.engine.max_num_active_seqs = Some(8);
    scenario.engine.long_prefill_token_threshold_adaptive = true;
    let fields = |version: &str| -> Vec<String> {
        let scenario = Scenario { deployment: on("H100", version).deployment, ..scenario.clone() };
        said(&scenario, Severity::Error)
            .iter()
            .map(|error| error.replace("not-in-this-version engine.", ""))
            .collect::<Vec<_>>()
    };
    let none: Vec<String> = Vec::new();
    assert_eq!(fields("0.33"), none);
    assert_eq!(fields("0.30"), ["long_prefill_token_threshold_adaptive", "max_num_active_seqs"].map(String::from));
    assert_eq!(fields("0.23").len(), 3);
    assert_eq!(fields("0.18").len(), 4);
    assert_eq!(fields("0.9").len(), 5);
    let found = rules(&scenario_at("0.33", &scenario));
    assert_eq!((found.watermark, found.max_num_active_seqs, found.is_threshold_adaptive), (0.01, 8, true));
}

fn scenario_at(version: &str, scenario: &Scenario) -> Scenario {
    Scenario { deployment: on("H100", version).deployment, ..scenario.clone() }
}

#[test]
fn coefficients_are_those_of_the_nearest_version() {
    // Of this deployment there are rows of 0.8.4 and of 0.10.1.1.
    let row = catalog().coefficients.iter().find(|row| row.engine_version.ends_with("v0.10.1.1")).expect("a later row");
    let mut scenario = Scenario::default();
    scenario.deployment.model = ModelChoice::Id(row.model.clone());
    scenario.deployment.accelerator = Some(AcceleratorChoice::Id(row.accelerator.clone()));
    scenario.deployment.tensor_parallel_size = Some(row.tensor_parallel_size);
    scenario.latency.model = LatencyModelChoice::Blackbox;
    let found = resolved(&scenario);
    let Some(Ledger::Server(ledger)) = &found.ledger else { panic!("{:?}", found.ledger) };
    assert_eq!((ledger.blocks, row.total_kv_blocks), (32_414, 32_414));
    // Half of its layers have a window, and the blocks of both kinds are the server's own.
    assert_eq!(found.engine.num_blocks, 32_414);
    let line = "coefficients of vllm/vllm-openai:v0.10.1.1 (the nearest to vLLM 0.33)";
    assert!(found.filled_in.iter().any(|filled| filled == line), "{:?}", found.filled_in);
    // A model with rows of 0.8.4 alone takes these whatever the version; the reference's rules want the very one.
    let mut old = on("H100", "0.33");
    old.latency.model = LatencyModelChoice::Blackbox;
    assert_eq!(resolved(&old).engine.num_blocks, 29_205);
    old.engine.scheduling = Scheduling::Reference;
    assert_eq!(said(&old, Severity::Error), ["no-coefficients latency.model"]);
}

#[test]
fn a_fit_says_when_steps_are_planned() {
    let fitted = |joining: f64| {
        let mut scenario = Scenario::default();
        scenario.latency.model = LatencyModelChoice::Calibrated;
        scenario.latency.fit = Some(LatencyFit {
            alpha: vec![9000.0, 2.0, 0.0],
            beta: vec![3500.0, 40.0, 6000.0, 33.0, 0.05, 3e-4, joining],
            ..LatencyFit::default()
        });
        scenario
    };
    for (joining, batching) in [(0.0, Batching::Sync), (1.0, Batching::Async), (2.0, Batching::V0)] {
        assert_eq!(rules(&fitted(joining)).batching, batching);
    }
    let mut other = fitted(2.0);
    other.engine.async_scheduling = Some(true);
    assert_eq!(rules(&other).batching, Batching::Async);
    assert_eq!(said(&other, Severity::Warning), ["fit-of-another-scheduling engine.async_scheduling"]);
}

#[test]
fn the_first_base_moves_to_the_new_rules_and_says_what_changes() {
    let mut scenario = Scenario::base(1).expect("the first base");
    let moved = scenario.under_new_rules(catalog()).expect("it has the old rules");
    assert_eq!(moved.scenario, Scenario::default());
    let changes = [
        "scheduling: reference becomes vllm-v1",
        "max_num_seqs: 256 becomes 1024 (default of vLLM 0.33 on H100)",
        "max_num_batched_tokens: 2048 becomes 8192 (default of vLLM 0.33 on H100)",
        "gpu_memory_utilization: 0.9 becomes 0.92 (default of vLLM 0.33)",
    ];
    assert_eq!(moved.changes, changes);
    assert_eq!(moved.scenario.under_new_rules(catalog()), None);
    let notes = |scenario: &Scenario| scenario.resolve(catalog()).expect("valid").diagnostics;
    let note = notes(&scenario).into_iter().find(|found| found.code == "newer-rules").expect("a note");
    assert_eq!(note.hint, format!("moving over changes {}", changes.join("; ")));
    // What nobody has set was the reference's, and is told like what somebody has.
    let mut unset = scenario.clone();
    (unset.engine.max_num_seqs, unset.engine.max_num_batched_tokens) = (None, None);
    assert_eq!(unset.under_new_rules(catalog()).expect("it has the old rules").changes, changes);
    // What somebody chose stays.
    scenario.engine.max_num_seqs = Some(128);
    scenario.deployment.accelerator = Some(AcceleratorChoice::Id("A100-80".into()));
    let moved = scenario.under_new_rules(catalog()).expect("it has the old rules");
    assert_eq!((moved.scenario.engine.max_num_seqs, moved.changes.len()), (Some(128), 2), "{:?}", moved.changes);
    scenario.engine.scheduler = SchedulingPolicy::Sjf;
    let note = notes(&scenario).into_iter().find(|found| found.code == "newer-rules").expect("a note");
    assert!(note.hint.contains("vLLM has no scheduler sjf"), "{note}");
}

#[test]
fn priorities_that_nobody_hears_are_remarked() {
    let mut scenario = Scenario::default();
    let client = |priority| ClientSettings { priority, ..ClientSettings::default() };
    scenario.workload.clients = vec![client(0), client(-3)];
    assert_eq!(said(&scenario, Severity::Warning), ["setting-not-used workload.clients[1].priority"]);
    scenario.engine.scheduler = SchedulingPolicy::Priority;
    assert_eq!(said(&scenario, Severity::Warning), Vec::<String>::new());
}
