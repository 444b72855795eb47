//! The KV blocks of a scenario under vLLM's rules: those that `plimsoll fits` tells.
#![cfg(not(target_arch = "wasm32"))]

use plimsoll_anatomy::footprint_from_hf_config;
use plimsoll_configs::catalog;
use plimsoll_core::diagnostic::{Diagnostic, Severity};
use plimsoll_core::kv_plan::{KvLayout, KvSettings};
use plimsoll_core::scenario::{
    AcceleratorChoice, BlocksSource, GroupKind, LatencyModelChoice, Ledger, ModelChoice, ResolvedScenario, Rules,
    Scenario, Scheduling, ServerLedger,
};
use plimsoll_tests::truth::configs::own_tables;
use std::fs;

/// A deployment whose blocks are planned: no coefficient row is in use.
fn planned(model: &str, accelerator: &str, ranks: u32) -> Scenario {
    let mut scenario = Scenario::default();
    scenario.deployment.model = ModelChoice::Id(model.into());
    scenario.deployment.accelerator = Some(AcceleratorChoice::Id(accelerator.into()));
    scenario.deployment.tensor_parallel_size = Some(ranks);
    scenario.latency.model = LatencyModelChoice::TrainedPhysics;
    scenario
}

fn resolved(scenario: &Scenario) -> ResolvedScenario {
    scenario.resolve(catalog()).unwrap_or_else(|problems| panic!("{problems:?}")).value
}

fn server(resolved: &ResolvedScenario) -> &ServerLedger {
    match &resolved.ledger {
        Some(Ledger::Server(ledger)) => ledger,
        other => panic!("{other:?}"),
    }
}

fn refused(scenario: &Scenario) -> Diagnostic {
    let problems = scenario.resolve(catalog()).expect_err("must not resolve");
    problems.into_iter().find(|problem| problem.severity == Severity::Error).expect("an error")
}

const LLAMA: &str = "meta-llama/Llama-3.1-8B-Instruct";
const GIB: f64 = 1_073_741_824.0;

#[test]
fn the_blocks_of_llama_on_an_h100_are_those_by_hand() {
    // 79.11 GiB by the driver, of which 0.92; 8,030,261,248 weights of 2 bytes; sampling 1,024 sequences of 128,256
    // logits takes 14 bytes for each; 0.15 GiB for libraries. A block has 16 tokens · 131,072 bytes.
    let left = 79.11 * 0.92 * GIB - 16_060_522_496.0 - 1024.0 * 128_256.0 * 14.0 - 0.15 * GIB;
    let expected = (left / (16.0 * 131_072.0)).floor();
    let found = resolved(&planned(LLAMA, "H100", 1));
    assert_eq!((f64::from(found.engine.num_blocks), found.engine.block_size), (expected, 16));
    assert_eq!(server(&found).source, BlocksSource::Server);
    let line = "28,652 KV blocks of 16 tokens (what vLLM 0.33 would allocate on H100, 79.11 GiB by its driver)";
    assert!(found.filled_in.iter().any(|filled| filled == line), "{:?}", found.filled_in);
    // The formula of the reference stays where its rules are asked for.
    let mut reference = planned(LLAMA, "H100", 1);
    reference.engine.scheduling = Scheduling::Reference;
    assert_eq!(resolved(&reference).engine.num_blocks, 26_312);
    // A larger share of the memory, 8-bit keys and values and larger blocks.
    let mut scenario = planned(LLAMA, "H100", 1);
    scenario.engine.gpu_memory_utilization = Some(0.95);
    let more = (expected * 2_097_152.0 + 0.03 * 79.11 * GIB) / 2_097_152.0;
    assert!((f64::from(resolved(&scenario).engine.num_blocks) - more).abs() <= 1.0);
    scenario.engine.gpu_memory_utilization = None;
    scenario.engine.kv_cache_dtype = Some("fp8".into());
    assert!((f64::from(resolved(&scenario).engine.num_blocks) - 2.0 * expected).abs() <= 1.0);
    // vLLM has no cache of integers; the reference's rules know one.
    scenario.engine.kv_cache_dtype = Some("int8".into());
    let problems = scenario.resolve(plimsoll_configs::catalog()).expect_err("no server takes it");
    assert!(problems.iter().any(|found| found.path == "engine.kv_cache_dtype" && found.hint.contains("fp8_ds_mla")));
    scenario.engine.scheduling = Scheduling::Reference;
    assert!(scenario.resolve(plimsoll_configs::catalog()).is_ok());
    scenario.engine.scheduling = Scheduling::VllmV1;
    scenario.engine.kv_cache_dtype = None;
    scenario.engine.block_size = 64;
    let wide = resolved(&scenario);
    assert_eq!((wide.engine.num_blocks, wide.engine.block_size), (28_652 / 4, 64));
}

#[test]
fn a_coefficient_row_keeps_its_tokens_when_the_size_of_blocks_changes() {
    let mut scenario = planned(LLAMA, "H100", 1);
    scenario.latency.model = LatencyModelChoice::Auto;
    for (block_size, blocks) in [(16, 29_205), (32, 14_602), (64, 7301), (128, 3650)] {
        scenario.engine.block_size = block_size;
        let found = resolved(&scenario);
        assert_eq!((found.engine.num_blocks, found.engine.block_size), (blocks, block_size));
        assert_eq!(server(&found).source, BlocksSource::CoefficientRow);
    }
    // The reference has as many blocks whatever their size.
    scenario.engine.scheduling = Scheduling::Reference;
    scenario.deployment.server_version = None;
    assert_eq!(resolved(&scenario).engine.num_blocks, 29_205);
    // Blocks that are stated are blocks.
    scenario.engine.scheduling = Scheduling::VllmV1;
    scenario.engine.num_gpu_blocks = Some(29_205);
    let found = resolved(&scenario);
    assert_eq!((found.engine.num_blocks, found.engine.block_size), (29_205, 128));
}

#[test]
fn a_server_that_would_not_start_is_refused_with_what_helps() {
    // 141 GB of weights in 16 bits do not fit into one accelerator, on two 31,168 tokens fit beside them.
    let full = refused(&planned("meta-llama/Llama-3.3-70B-Instruct", "H100", 1));
    assert_eq!((&*full.code, &*full.path), ("model-does-not-fit", "deployment.tensor_parallel_size"));
    assert!(full.hint.starts_with("raise tensor_parallel_size to 4"), "{full}");
    let mut scenario = planned("meta-llama/Llama-3.3-70B-Instruct", "H100", 2);
    let long = refused(&scenario);
    assert_eq!((&*long.code, &*long.path), ("kv-cache-too-small", "engine.max_model_len"));
    assert!(long.message.contains("8,192 blocks but there are 1,948"), "{long}");
    assert!(long.hint.contains("lower max_model_len to 31168"), "{long}");
    scenario.engine.max_model_len = Some(31_168);
    assert_eq!(resolved(&scenario).engine.max_model_len, 31_168);
    scenario.engine.max_model_len = Some(31_169);
    assert_eq!(refused(&scenario).code, "kv-cache-too-small");
    // Whoever states the blocks knows better, and the length that is left out follows them.
    scenario.engine.max_model_len = None;
    scenario.engine.num_gpu_blocks = Some(1001);
    assert_eq!(resolved(&scenario).engine.max_model_len, 16_000);
    let problems = planned(LLAMA, "H100", 3).resolve(catalog()).expect_err("32 heads on 3 ranks");
    let heads = problems.iter().find(|problem| problem.code == "heads-not-divisible").expect("found");
    assert_eq!((&*heads.path, heads.severity), ("deployment.tensor_parallel_size", Severity::Error));
    assert!(heads.hint.ends_with("1, 2, 4, 8, 16 or 32"), "{heads:?}");
}

/// The model of a config of the collection.
fn of_config(folder: &str) -> ModelChoice {
    let text = fs::read_to_string(own_tables().join("hf-configs").join(folder).join("config.json")).expect(folder);
    ModelChoice::Custom(Box::new(plimsoll_formats::model_from_hf_config(&text, folder).expect(folder).value))
}

/// The kinds of groups that a scenario is simulated with: what they keep, the tokens of their blocks, how many there are.
fn groups(resolved: &ResolvedScenario) -> Vec<(GroupKind, u32, u32)> {
    let Rules::VllmV1(rules) = resolved.engine.rules else { panic!("vLLM's rules") };
    rules.groups.runs().map(|run| (run.kind, run.block_size, run.count)).collect()
}

#[test]
fn layers_of_several_kinds_are_simulated_with_the_groups_and_the_blocks_of_the_server() {
    let state = GroupKind::State { exports_checkpoint: true };
    let window = |window| GroupKind::Sliding { window };
    // 52 layers of 62 have the window, in groups of nine or eight; of 48 layers 36 have a state.
    for (folder, card, length, expected, block_size) in [
        ("gemma-3-27b", "H100", 131_072, vec![(window(1024), 16, 6), (GroupKind::Full, 16, 1)], 16),
        ("qwen3-next-80b-a3b", "H200-SXM", 32_768, vec![(state, 576, 3), (GroupKind::Full, 576, 1)], 576),
        ("mistral-7b-v0.1", "H100", 32_768, vec![(window(4096), 16, 1)], 16),
    ] {
        let mut scenario = planned(LLAMA, card, 2);
        scenario.deployment.model = of_config(folder);
        scenario.engine.max_model_len = Some(length);
        let found = scenario.resolve(catalog()).expect("resolves");
        let ledger = server(&found.value);
        assert_eq!(groups(&found.value), expected, "{folder}");
        let engine = &found.value.engine;
        assert_eq!((u64::from(engine.num_blocks), engine.block_size), (ledger.fit.num_blocks, block_size), "{folder}");
        assert_eq!(ledger.stand_in, None, "{folder}");
        assert!(found.diagnostics.iter().all(|remark| remark.code != "kv-blocks-stand-in"), "{folder}");
        let is_told = found.diagnostics.iter().any(|remark| remark.code == "block-size-of-server");
        assert_eq!(is_told, block_size != 16, "{folder}");
    }
    // Where every layer keeps every token there is nothing to tell apart.
    let llama = resolved(&planned(LLAMA, "H100", 1));
    assert_eq!((groups(&llama), server(&llama).stand_in), (Vec::new(), None));
}

#[test]
fn layers_with_a_window_in_turns_share_the_blocks_with_the_others() {
    let found = resolved(&planned("openai/gpt-oss-120b", "H100", 4));
    let window = GroupKind::Sliding { window: 128 };
    assert_eq!(groups(&found), [(window, 16, 1), (GroupKind::Full, 16, 1)]);
    assert_eq!(u64::from(found.engine.num_blocks), server(&found).blocks);
}

#[test]
fn blocks_of_cross_attention_are_stood_for_by_blocks_of_one_kind() {
    let mut scenario = planned(LLAMA, "H100", 1);
    scenario.deployment.model = of_config("llama-3.2-11b-vision");
    scenario.engine.max_model_len = Some(32_768);
    let found = scenario.resolve(catalog()).expect("resolves");
    let (engine, ledger) = (&found.value.engine, server(&found.value));
    let plan = ledger.fit.plan.expect("it starts");
    assert_eq!((groups(&found.value), ledger.stand_in), (Vec::new(), Some((engine.num_blocks, engine.block_size))));
    let simulated = f64::from(engine.num_blocks) / f64::from(32_768_u32.div_ceil(engine.block_size));
    assert!((simulated - plan.max_concurrency).abs() < 0.02, "{simulated} of {plan:?}");
    assert!(found.diagnostics.iter().any(|remark| remark.code == "kv-blocks-stand-in"));
}

#[test]
fn the_catalogue_resolves_on_every_accelerator_or_says_why_not() {
    let mut num_resolved = 0;
    for model in &catalog().models {
        for accelerator in &catalog().accelerators {
            for ranks in [1, 3, 8] {
                match planned(&model.id, &accelerator.id, ranks).resolve(catalog()) {
                    Ok(found) => {
                        num_resolved += 1;
                        let ledger = server(&found.value);
                        assert!(ledger.fit.plan.is_ok() && ledger.blocks > 1, "{} on {}", model.id, accelerator.id);
                    }
                    Err(problems) => {
                        let error = problems.iter().find(|problem| problem.severity == Severity::Error);
                        let error = error.expect("an error among the problems");
                        assert!(!error.message.is_empty() && !error.hint.is_empty(), "{error}");
                        assert!(error.path.contains('.'), "{error}");
                    }
                }
            }
        }
    }
    assert!(num_resolved > 1000, "{num_resolved}");
}

#[test]
fn what_a_model_takes_is_told_in_a_scenario_and_read_back() {
    let mut scenario = planned(LLAMA, "H100", 2);
    scenario.deployment.model = of_config("gemma-3-27b");
    let yaml = plimsoll_formats::scenario_to_yaml(&scenario);
    assert_eq!(plimsoll_formats::scenario_from_yaml(&yaml, "s.yaml").expect(&yaml), scenario);
    // One that somebody wrote by hand gets it from what is there; one that is absurd is refused.
    let ModelChoice::Custom(spec) = &mut scenario.deployment.model else { panic!("custom") };
    let read = spec.footprint.take().expect("read from the config");
    let by_hand = plimsoll_formats::scenario_from_yaml(&plimsoll_formats::scenario_to_yaml(&scenario), "s.yaml");
    let ModelChoice::Custom(by_hand) = by_hand.expect("readable").deployment.model else { panic!("custom") };
    assert!(by_hand.footprint.expect("derived").weight_bytes() > 0);
    let ModelChoice::Custom(spec) = &mut scenario.deployment.model else { panic!("custom") };
    let mut absurd = read;
    for alike in &mut absurd.caches {
        alike.count = u32::MAX;
    }
    spec.footprint = Some(absurd);
    assert_eq!(refused(&scenario).path, "deployment.model.footprint.caches");
}

#[test]
fn weights_that_a_server_narrows_while_it_loads_are_narrower_on_every_rank() {
    let llama = catalog().model(LLAMA).expect("there");
    let mut footprint = llama.footprint.as_deref().expect("every entry has one").clone();
    let before = footprint.weight_bytes();
    footprint.narrow(0.5);
    // Embedding and head of 128,256 · 4,096 values stay, and so do the norms of 65 vectors.
    let wide = 2 * (2 * 128_256 * 4096 + 65 * 4096);
    assert_eq!(footprint.weight_bytes(), wide + (before - wide) / 2);
}

#[test]
fn the_bytes_of_a_checkpoint_are_met_exactly_and_a_tower_takes_what_is_left() {
    let mut llama = catalog().model(LLAMA).and_then(|model| model.footprint.as_deref().cloned()).expect("there");
    let [head, all] = [llama.bytes_of(plimsoll_core::catalog::Part::Head), llama.weight_bytes()];
    llama.be_of_checkpoint(all / 2 + 1);
    assert_eq!(llama.weight_bytes(), all / 2 + 1);
    assert!(llama.bytes_of(plimsoll_core::catalog::Part::Head).abs_diff(head / 2) <= 1);
    let ModelChoice::Custom(seeing) = of_config("gemma-3-27b") else { panic!("custom") };
    let mut seeing = *seeing.footprint.expect("described");
    let tower = seeing.bytes_of(plimsoll_core::catalog::Part::Vision);
    assert!(tower > 0);
    let [head, all] = [seeing.bytes_of(plimsoll_core::catalog::Part::Attention), seeing.weight_bytes()];
    seeing.be_of_checkpoint(all + 5000);
    assert_eq!(seeing.bytes_of(plimsoll_core::catalog::Part::Vision), tower + 5000);
    assert_eq!(seeing.bytes_of(plimsoll_core::catalog::Part::Attention), head);
}

#[test]
fn checkpoints_of_32_bits_stand_on_a_card_in_16() {
    let of_type = |dtype: &str| {
        let config = format!(
            r#"{{"model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 8,
            "num_key_value_heads": 2, "intermediate_size": 128, "vocab_size": 1000, "torch_dtype": "{dtype}"}}"#
        );
        footprint_from_hf_config(&config, plimsoll_anatomy::BesideConfig::default()).expect("a model").value
    };
    let (mut wide, narrow) = (of_type("float32"), of_type("bfloat16"));
    assert_eq!(wide.weight_bytes(), narrow.weight_bytes());
    // Its index tells what is stored.
    wide.be_of_checkpoint(2 * narrow.weight_bytes());
    assert_eq!(wide.weight_bytes(), narrow.weight_bytes());
}

#[test]
fn a_tower_has_its_own_width() {
    // Qwen2-VL: 32 layers of width 1,280, joined to a language model of width 3,584.
    let config = r#"{"model_type": "qwen2_vl", "hidden_size": 3584, "num_hidden_layers": 28, "num_attention_heads": 28,
        "num_key_value_heads": 4, "intermediate_size": 18944, "vocab_size": 152064, "torch_dtype": "bfloat16",
        "vision_config": {"depth": 32, "embed_dim": 1280, "hidden_size": 3584, "num_heads": 16, "mlp_ratio": 4}}"#;
    let footprint = footprint_from_hf_config(config, plimsoll_anatomy::BesideConfig::default()).expect("a model").value;
    // About 0.7·10⁹ parameters of two bytes.
    let tower = footprint.bytes_of(plimsoll_core::catalog::Part::Vision);
    assert!((1_200_000_000..1_800_000_000).contains(&tower), "{tower}");
}

#[test]
fn every_config_of_the_collection_has_a_footprint_and_a_server_or_says_why_not() {
    let mut unknown = Vec::new();
    for folder in fs::read_dir(own_tables().join("hf-configs")).expect("the collection").filter_map(Result::ok) {
        let name = folder.file_name().into_string().expect("a name");
        let text = fs::read_to_string(folder.path().join("config.json")).expect("a config");
        let read = footprint_from_hf_config(&text, plimsoll_anatomy::BesideConfig::default());
        let footprint = read.unwrap_or_else(|problems| panic!("{name}: {problems:?}")).value;
        assert!(footprint.weight_bytes() > 0 && footprint.problems().is_empty(), "{name}");
        let settings = KvSettings { state_value_bytes: footprint.state_bytes, ..KvSettings::new(1, 8192) };
        if let Err(problems) = KvLayout::new(&footprint.all_caches(), settings) {
            assert_eq!((problems.len(), problems[0].code.as_str()), (1, "kv-cache-unknown"), "{name}");
            unknown.push(name);
        }
    }
    unknown.sort();
    assert_eq!(unknown, ["deepseek-v4-flash", "recurrentgemma-default"]);
}
