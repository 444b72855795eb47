//! The embedded catalogue is complete, and what it names resolves.

use super::*;
use plimsoll_core::catalog::{AcceleratorSpec, Lookup, weight_bytes_from_name};
use plimsoll_core::diagnostic::Severity;
use plimsoll_core::scenario::{
    AcceleratorChoice, Basis, BlocksSource, LatencyModelChoice, Ledger, MemoryLedger, ModelChoice, ResolvedScenario,
    Scheduling,
};

/// Under the rules of the reference: what is tested here is the catalogue.
fn deployment(model: &str, accelerator: Option<&str>, tp: Option<u32>, latency: LatencyModelChoice) -> Scenario {
    let mut scenario = Scenario::base(1).expect("the first base");
    scenario.deployment.model = ModelChoice::Id(model.into());
    scenario.deployment.accelerator = accelerator.map(|id| AcceleratorChoice::Id(id.into()));
    scenario.deployment.tensor_parallel_size = tp;
    scenario.engine.gpu_memory_utilization = None;
    scenario.latency.model = latency;
    scenario
}

fn resolved(scenario: &Scenario) -> ResolvedScenario {
    scenario.resolve(catalog()).unwrap_or_else(|problems| panic!("{problems:?}")).value
}

/// The ledger by the formula of the reference.
fn ledger(resolved: ResolvedScenario) -> MemoryLedger {
    match resolved.ledger {
        Some(Ledger::Reference(ledger)) => ledger,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_catalogue_has_every_entry_of_its_sources() {
    let catalog = catalog();
    assert_eq!(catalog.coefficients.len(), 109);
    assert_eq!(catalog.reachable_rows().len(), 85);
    assert_eq!(catalog.shadowed_rows().len(), 24);
    assert_eq!(catalog.model_defaults.len(), 28);
    assert_eq!(catalog.presets.len(), 4);
    assert_eq!(catalog.models.len(), 52 + 16, "52 configurations and 16 variants of them");
    assert_eq!(catalog.accelerators.len(), 43);
    assert_eq!(catalog.coefficients.first().map(|row| row.line), Some(2));
    assert_eq!(catalog.coefficients.last().map(|row| row.line), Some(110));
    assert!(catalog.coefficients.iter().all(|row| !row.provenance.source.is_empty()));
}

#[test]
fn accelerators_are_found_by_the_names_people_type() {
    for (name, id) in [
        ("h100", "H100"),
        ("NVIDIA H100 80GB HBM3", "H100"),
        ("h100-sxm", "H100"),
        ("H200", "H200-SXM"),
        ("A100", "A100-SXM"),
        ("a100-80gb", "A100-80"),
        ("rtx 4090", "RTX4090"),
        ("NVIDIA GeForce RTX 3090", "RTX3090"),
        ("Tesla T4", "T4"),
        ("AMD Instinct MI300X", "MI300X"),
        ("B200", "B200-SXM"),
        ("h200 sxm 141gb", "H200-SXM"),
        ("a100 40gb", "A100-40"),
        ("NVIDIA A100-PCIE-40GB", "A100-40-PCIe"),
        ("mi300x 192GB", "MI300X"),
        ("Tesla V100-SXM2-16GB", "V100-16"),
        ("NVIDIA A100-SXM4-80GB", "A100-SXM"),
        ("l4 24gb", "L4"),
        ("RTX 4090 24 GB", "RTX4090"),
        ("rtx 6000 ada", "RTX-6000-Ada"),
        // As nvidia-smi, rocm-smi and PyTorch print them.
        ("Tesla V100-PCIE-16GB", "V100-PCIe-16"),
        ("Tesla V100-PCIE-32GB", "V100-PCIe"),
        ("V100-SXM2-32GB", "V100"),
        ("A100-40GB-PCIe", "A100-40-PCIe"),
        ("NVIDIA A100 80GB PCIe", "A100-PCIe"),
        ("NVIDIA A100-SXM4-40GB", "A100-40"),
        ("NVIDIA H200", "H200-SXM"),
        ("NVIDIA H200 NVL", "H200-NVL"),
        ("NVIDIA H100 PCIe", "H100-PCIe"),
        ("NVIDIA H100 NVL", "H100-NVL"),
        ("NVIDIA RTX 6000 Ada Generation", "RTX-6000-Ada"),
        ("NVIDIA RTX A6000", "A6000"),
        ("NVIDIA RTX PRO 6000 Blackwell Server Edition", "RTX-PRO-6000-server"),
        ("NVIDIA L40", "L40"),
        ("NVIDIA L40S", "L40S"),
        ("NVIDIA H800", "H800"),
        ("NVIDIA A800-SXM4-80GB", "A800-SXM"),
        ("A800-SXM4-80GB", "A800-SXM"),
        ("NVIDIA A800 80GB PCIe", "A800-PCIe"),
        ("NVIDIA GH200 480GB", "GH200"),
        ("NVIDIA H20", "H20"),
        ("AMD Instinct MI300X OAM", "MI300X"),
        ("NVIDIA GeForce RTX 4090", "RTX4090"),
        ("NVIDIA A10", "A10"),
        ("NVIDIA A10G", "A10G"),
    ] {
        assert_eq!(catalog().accelerator(name).map(|found| found.id.as_str()), Some(id), "{name}");
    }
    for wrong in ["H1000", "h100 40gb", "rtx 4090 80gb", "80gb", "A10 0", "rtx 40 90", "", "nvidia"] {
        assert!(catalog().accelerator(wrong).is_none(), "{wrong}");
    }
    // No name leads to two cards.
    let names = |spec: &AcceleratorSpec| {
        let all = std::iter::once(&spec.id).chain(&spec.aliases);
        all.map(|name| name.to_ascii_lowercase()).collect::<Vec<_>>()
    };
    let mut all: Vec<String> = catalog().accelerators.iter().flat_map(names).collect();
    let count = all.len();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), count);
}

#[test]
fn a_card_without_data_is_no_other_card_and_the_nearest_is_named() {
    for (name, nearest) in [
        ("Quadro RTX 6000", Some("RTX-6000-Ada")),
        ("H20-3e", Some("H20")),
        ("NVIDIA GeForce RTX 4090 D", Some("RTX4090")),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", Some("RTX4090")),
        ("NVIDIA GeForce RTX 3090 Ti", Some("RTX3090")),
        ("Tesla V100S-PCIE-32GB", Some("V100")),
        ("NVIDIA GH200 144G HBM3e", Some("GH200")),
        ("AMD Instinct MI308X", Some("MI300X")),
        ("NVIDIA A100-SXM-64GB", Some("A100-SXM")),
        ("h10", Some("H100")),
        ("NVIDIA L20", None),
        ("gaudi-2-accelerator", None),
    ] {
        assert!(catalog().accelerator(name).is_none(), "{name}");
        let hint = catalog().meant_accelerator(name);
        match nearest {
            Some(id) => assert!(hint.starts_with(&format!("did you mean {id}? valid are ")), "{name}: {hint}"),
            None => assert!(!hint.contains("RTX3090?"), "{name}: {hint}"),
        }
        assert!(hint.contains("valid are A100-80, "), "{hint}");
    }
}

#[test]
fn what_the_driver_reports_is_less_than_the_card_has_and_has_a_source() {
    for card in &catalog().accelerators {
        let share = card.driver_memory_gib / card.memory_gib;
        assert!((0.91..=1.0).contains(&share), "{}: {share}", card.id);
        assert!(!card.driver_memory_source.is_empty() && !card.generation.is_unknown(), "{}", card.id);
    }
}

#[test]
fn figures_arrive_with_every_digit() {
    let row = catalog()
        .coefficient_row(Lookup {
            model: "Meta-Llama/Llama-3.1-8B-Instruct",
            accelerator: Some("h100"),
            tensor_parallel_size: Some(1),
            engine_version: None,
        })
        .expect("the row exists");
    assert_eq!(row.alpha, [232.46191091038054, 1.752360364195244, 3357.4400353290152]);
    assert_eq!(row.beta, [5752.705191348184, 17.25086436834028, 5.999143920128404]);
    assert_eq!(row.total_kv_blocks, 29205);
    assert_eq!(catalog().trained_physics.beta[2], 1.36252915);
    let quadratic = &catalog().quadratic;
    assert_eq!(
        (quadratic.alpha, quadratic.beta[3], quadratic.beta[14]),
        ([544.0, 80.0, 1000.0, 6000.0], 1.5e-3, 5.709e-3)
    );
}

#[test]
fn the_published_polynomial_serves_its_own_model_and_says_where_it_ends() {
    let of = |model: &str| deployment(model, None, None, LatencyModelChoice::Quadratic);
    let mut own = of("Qwen/Qwen2.5-0.5B");
    own.engine.num_gpu_blocks = Some(94_060);
    assert_eq!(resolved(&own).basis, Basis::Trained);
    // Three decodes by hand: 101.4 + 0.3816 + 5709 + 1624 µs.
    let item = plimsoll_core::latency::StepItem { tokens: 1, pos: 99, input_tokens: 9 };
    assert_eq!(resolved(&own).latency.step_time(&[item; 3]), 7434);
    let warnings = own.resolve(catalog()).expect("valid").diagnostics;
    assert!(warnings.iter().any(|found| found.code == "coefficients-implausible"), "{warnings:?}");
    own.engine.max_num_seqs = Some(8);
    assert!(own.resolve(catalog()).expect("valid").diagnostics.iter().all(|d| d.code != "coefficients-implausible"));
    let other = of("qwen/qwen3-8b");
    assert_eq!(resolved(&other).basis, Basis::Extrapolated);
    let mut brought = other;
    brought.latency.beta = Some(catalog().quadratic.beta.to_vec());
    assert_eq!(resolved(&brought).basis, Basis::Calibrated);
    brought.latency.beta = Some(vec![1.0; 14]);
    let problems = brought.resolve(catalog()).expect_err("too few");
    assert!(problems.iter().any(|found| found.path == "latency.beta"), "{problems:?}");
}

#[test]
fn of_rows_with_an_equal_key_the_first_is_used() {
    // Lines 45 and 84 of the source have the same key and other coefficients.
    let mut scenario = deployment("redhatai/phi-4-fp8-dynamic", Some("H100"), Some(1), LatencyModelChoice::Blackbox);
    let first = resolved(&scenario);
    scenario.latency.alpha = Some(vec![6933.519704638618, 2.881848162088737, 6024.521165831988]);
    scenario.latency.beta = Some(vec![4766.019115846135, 39.93059807835496, 14.107587735403516]);
    assert_eq!(first.latency, resolved(&scenario).latency);
    let rows = catalog().coefficient_rows(Lookup { model: "redhatai/phi-4-fp8-dynamic", ..Lookup::default() });
    assert_eq!(rows.map(|row| row.line).collect::<Vec<_>>(), [45, 46]);
}

#[test]
fn every_reachable_row_resolves_to_itself() {
    for row in catalog().reachable_rows() {
        let mut scenario = deployment(
            &row.model,
            Some(&row.accelerator),
            Some(row.tensor_parallel_size),
            LatencyModelChoice::Blackbox,
        );
        scenario.deployment.server_version = Some(row.engine_version.clone());
        let found = resolved(&scenario);
        assert_eq!(found.basis, Basis::Trained);
        assert_eq!(found.engine.num_blocks, row.total_kv_blocks, "{} line {}", row.model, row.line);
        assert_eq!(found.engine.max_model_len, 0);
        assert_eq!(ledger(found).source, BlocksSource::CoefficientRow);
    }
}

#[test]
fn every_model_default_resolves_from_the_model_alone() {
    for default in &catalog().model_defaults {
        let found = resolved(&deployment(&default.model, None, None, LatencyModelChoice::Auto));
        assert_eq!(found.accelerator, default.accelerator, "{}", default.model);
        assert_eq!(found.tensor_parallel_size, default.tensor_parallel_size);
        assert_eq!(found.basis, Basis::Trained);
        assert_eq!(found.filled_in.len(), 3);
    }
}

#[test]
fn every_model_resolves_on_every_accelerator_or_says_why_not() {
    let mut num_resolved = 0;
    for model in &catalog().models {
        for accelerator in &catalog().accelerators {
            for tp in [1, 2, 3, 4, 8, 16] {
                for latency in
                    [LatencyModelChoice::Auto, LatencyModelChoice::Roofline, LatencyModelChoice::TrainedPhysics]
                {
                    match deployment(&model.id, Some(&accelerator.id), Some(tp), latency).resolve(catalog()) {
                        Ok(_) => num_resolved += 1,
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
    }
    assert!(num_resolved > 4000, "{num_resolved}");
}

#[test]
fn quantised_names_have_their_weight_width() {
    for model in &catalog().models {
        if let Some(bytes) = weight_bytes_from_name(&model.id) {
            assert_eq!(model.weight_bytes_per_param, Some(bytes), "{}", model.id);
        }
    }
    let quantised = catalog().model("phi-4-quantized.w4a16").expect("found by its last path component");
    assert_eq!(quantised.hidden_size, 5120);
}

#[test]
fn the_ready_scenarios_resolve_and_start_with_the_default() {
    assert_eq!(scenarios()[0].id, "default");
    assert_eq!(scenario("default"), Scenario::base(2));
    assert!(scenarios().len() >= 4);
    for entry in scenarios() {
        assert!(!entry.title.is_empty());
        resolved(&entry.scenario);
    }
    assert_eq!(scenario("no-such-scenario"), None);
}

#[test]
fn the_tiny_tp4_decode_step_of_llama_8b_is_called_implausible() {
    let scenario = deployment("meta-llama/llama-3.1-8b-instruct", Some("H100"), Some(4), LatencyModelChoice::Auto);
    let warned = scenario.resolve(catalog()).expect("resolves");
    let warning = warned.diagnostics.iter().find(|found| found.code == "coefficients-implausible").expect("warned");
    assert!(warning.message.contains("48 µs") && warning.hint.contains("trained-physics"), "{warning}");
    let sound = deployment("meta-llama/llama-3.1-8b-instruct", Some("H100"), Some(1), LatencyModelChoice::Auto);
    let diagnostics = sound.resolve(catalog()).expect("resolves").diagnostics;
    assert!(diagnostics.iter().all(|found| found.code != "coefficients-implausible"));
}

/// Blocks and bytes per token of the memory formula.
fn formula(model: &str, accelerator: &str, tp: u32) -> (u32, f64, f64) {
    let mut scenario = deployment(model, Some(accelerator), Some(tp), LatencyModelChoice::TrainedPhysics);
    scenario.engine.gpu_memory_utilization = Some(0.9);
    let found = resolved(&scenario);
    let num_blocks = found.engine.num_blocks;
    let ledger = ledger(found);
    assert_eq!(ledger.source, BlocksSource::MemoryFormula);
    assert_eq!(ledger.formula_blocks, Some(u64::from(num_blocks)));
    (num_blocks, ledger.kv_bytes_per_token, ledger.weight_bytes)
}

#[test]
fn the_memory_formula_gives_what_it_gives_by_hand() {
    // Llama 3.1 8B on one H100. Keys and values: 32 layers · 2 · 128 · 8 heads · 2 bytes = 131072 per token, 2 MiB per block.
    // Weights: a layer has 4096·(4096 + 2·8·128) + 4096² + 3·4096·14336 + 2·4096 = 218112000; 32 of them and twice
    // 128256·4096 and 4096 more are 8030261248, of 2 bytes.
    // Blocks: (72 − 14.9575 − 5.5 − 0.15) GiB / 2 MiB = 26312.9.
    assert_eq!(formula("meta-llama/llama-3.1-8b-instruct", "H100", 1), (26_312, 131_072.0, 16_060_522_496.0));

    // Mixtral 8x7B on two: 32·2·128·8·2 / 2 = 65536 per token and accelerator.
    // A layer has 25165824 + 16777216 + 3·4096·14336·8 + 8·4096 + 2·4096 = 1451270144.
    // 32 of them, twice 32000·4096 and 4096 are 46702792704 weights.
    // (144 − 86.99 − 8 − 2·0.6) GiB / 1 MiB = 48956.7.
    assert_eq!(formula("mixtral-8x7b-v0.1", "H100", 2), (48_956, 65_536.0, 93_405_585_408.0));

    // DeepSeek-V2-Lite caches a latent vector: 27·(512 + 64)·2 = 31104 per token, whatever the parallelism.
    // One dense layer (3·2048·10944) and 26 of 64 experts (3·2048·1408·64 + 3·2048·2816 + 64·2048), attention
    // 2048·(2048 + 2·16·128) + 2048² + 2·2048 in all 27; twice 102400·2048 and 2048: 15787866112 weights.
    // (72 − 29.407 − 8 − 0.15) GiB / (16·31104) bytes = 74312.5.
    assert_eq!(formula("deepseek-ai/deepseek-v2-lite", "H100", 1), (74_312, 31_104.0, 31_575_732_224.0));

    // Qwen3 30B-A3B has heads of 128, not 2048/32 = 64: 48·2·128·4·2 = 98304 per token.
    assert_eq!(formula("Qwen/Qwen3-30B-A3B", "H100", 1).1, 98_304.0);
}

fn errors(scenario: &Scenario) -> Vec<(String, String)> {
    let problems = scenario.resolve(catalog()).expect_err("must not resolve");
    let errors = problems.into_iter().filter(|problem| problem.severity == Severity::Error);
    errors.map(|problem| (problem.code, problem.path)).collect()
}

fn warnings(scenario: &Scenario) -> Vec<String> {
    let warned = scenario.resolve(catalog()).unwrap_or_else(|problems| panic!("{problems:?}"));
    warned.diagnostics.into_iter().map(|found| found.code).collect()
}

#[test]
fn a_model_that_does_not_fit_says_how_much_is_missing_and_what_helps() {
    let mut scenario = Scenario::base(1).expect("the first base");
    scenario.deployment.model = ModelChoice::Id("meta-llama/llama-3.3-70b-instruct".into());
    let problems = scenario.resolve(catalog()).expect_err("141 GB do not fit into 80");
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].code, "model-does-not-fit");
    assert_eq!(
        problems[0].message,
        "meta-llama/Llama-3.3-70B-Instruct needs 147 GB (141 GB of it weights) but each replica has 77 GB"
    );
    assert!(problems[0].hint.starts_with("raise tensor_parallel_size to 2,"), "{}", problems[0].hint);
    // With the blocks given the user knows better.
    scenario.engine.num_gpu_blocks = Some(5000);
    assert_eq!(warnings(&scenario).first().map(String::as_str), Some("model-does-not-fit"));
}

#[test]
fn every_problem_is_found_at_once_with_its_path() {
    let mut scenario = Scenario { version: 7, ..Scenario::default() };
    scenario.deployment.model = ModelChoice::Id("meta-llama/llama-3.1-9b-instruct".into());
    scenario.deployment.accelerator = Some(AcceleratorChoice::Id("H10".into()));
    scenario.deployment.tensor_parallel_size = Some(0);
    scenario.engine.max_num_seqs = Some(0);
    scenario.engine.block_size = 0;
    scenario.engine.gpu_memory_utilization = Some(1.5);
    scenario.workload.request_rate = f64::NAN;
    scenario.workload.prefix.share_ratio = 2.0;
    scenario.slo.ttft_ms = Some(-1.0);
    scenario.curve.range_per_s = Some([3.0, 1.0]);
    scenario.horizon_us = Some(0);
    let problems = scenario.resolve(catalog()).expect_err("nothing of it is valid");
    let paths: Vec<&str> = problems.iter().map(|problem| problem.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "version",
            "engine.max_num_seqs",
            "engine.block_size",
            "engine.gpu_memory_utilization",
            "horizon_us",
            "workload.request_rate",
            "workload.prefix.share_ratio",
            "slo.ttft_ms",
            "curve.range_per_s",
            "deployment.model",
            "deployment.accelerator",
            "deployment.tensor_parallel_size",
        ]
    );
    assert!(problems.iter().all(|problem| !problem.hint.is_empty()));
    assert!(problems[9].hint.contains("did you mean meta-llama/Llama-3.1-8B-Instruct"), "{}", problems[9].hint);
    assert!(problems[10].hint.contains("did you mean H100? valid are "), "{}", problems[10].hint);
}

#[test]
fn kv_blocks_come_from_the_first_source_that_applies() {
    let mut scenario = deployment("meta-llama/llama-3.1-8b-instruct", Some("H100"), Some(1), LatencyModelChoice::Auto);
    let source = |scenario: &Scenario| {
        let ledger = ledger(resolved(scenario));
        (ledger.source, ledger.blocks, ledger.row_blocks, ledger.formula_blocks)
    };
    assert_eq!(source(&scenario), (BlocksSource::CoefficientRow, 29_205, Some(29_205), Some(26_312)));
    scenario.engine.gpu_memory_utilization = Some(0.9);
    assert_eq!(source(&scenario), (BlocksSource::MemoryFormula, 26_312, Some(29_205), Some(26_312)));
    scenario.engine.num_gpu_blocks = Some(77);
    assert_eq!(source(&scenario), (BlocksSource::Given, 77, Some(29_205), Some(26_312)));
    scenario.engine.num_gpu_blocks = None;
    scenario.engine.gpu_memory_utilization = None;
    scenario.engine.kv_cache_dtype = Some("fp8".into());
    // Twice as many as with 2 bytes, half a block more or less.
    assert_eq!(source(&scenario), (BlocksSource::MemoryFormula, 52_625, Some(29_205), Some(52_625)));
    scenario.engine.kv_cache_dtype = Some("auto".into());
    assert_eq!(source(&scenario).0, BlocksSource::CoefficientRow);
    scenario.engine.kv_cache_dtype = Some("fp7".into());
    assert_eq!(errors(&scenario), [("invalid-value".into(), "engine.kv_cache_dtype".into())]);
}

#[test]
fn own_coefficients_need_no_catalogue_entry_but_each_other() {
    let mut scenario = deployment("my/server", None, None, LatencyModelChoice::Auto);
    assert_eq!(errors(&scenario), [("unknown-model".into(), "deployment.model".into())]);
    scenario.latency.beta = Some(vec![7000.0, 17.0, 6.0]);
    scenario.latency.alpha = Some(vec![200.0, 1.0, 30.0]);
    let found = resolved(&scenario);
    assert_eq!((found.basis, found.engine.num_blocks, found.tensor_parallel_size), (Basis::Calibrated, 1_000_000, 1));
    assert_eq!(warnings(&scenario), ["memory-formula-unavailable", "newer-rules"]);
    scenario.deployment.model = ModelChoice::Id("qwen/qwen3-8b".into());
    scenario.deployment.accelerator = Some(AcceleratorChoice::Id("H100".into()));
    scenario.deployment.tensor_parallel_size = Some(1);
    scenario.latency.alpha = None;
    assert_eq!(errors(&scenario), [("coefficients-incomplete".into(), "latency.alpha".into())]);
    scenario.latency.model = LatencyModelChoice::Roofline;
    assert_eq!(errors(&scenario), [("coefficients-not-used".into(), "latency.beta".into())]);
    scenario.latency.model = LatencyModelChoice::TrainedPhysics;
    assert_eq!(errors(&scenario), [("coefficients-missing".into(), "latency.beta".into())]);
    scenario.latency.model = LatencyModelChoice::Blackbox;
    scenario.latency.alpha = Some(vec![0.0; 3]);
    scenario.latency.beta = Some(vec![0.0; 3]);
    assert_eq!(errors(&scenario)[0].1, "latency.beta");
    scenario.latency.alpha = None;
    scenario.latency.beta = None;
    assert_eq!(errors(&scenario), [("no-coefficients".into(), "latency.model".into())]);
}

#[test]
fn auto_falls_back_to_trained_physics_and_then_to_the_roofline() {
    let names = |tp| {
        let scenario = deployment("qwen/qwen3-8b", Some("H100"), Some(tp), LatencyModelChoice::Auto);
        let warned = scenario.resolve(catalog()).unwrap_or_else(|problems| panic!("{problems:?}"));
        warned.diagnostics[0].message.clone()
    };
    assert!(names(1).ends_with("trained-physics predicts"), "{}", names(1));
    // 32 heads and 8 KV heads: 16 accelerators split the heads but not the KV heads.
    assert!(names(16).ends_with("roofline predicts"), "{}", names(16));
    let explicit = deployment("qwen/qwen3-8b", Some("H100"), Some(16), LatencyModelChoice::TrainedPhysics);
    assert_eq!(errors(&explicit)[0].1, "deployment.tensor_parallel_size");
}

#[test]
fn the_longest_request_is_the_flag_then_the_context_then_the_cache() {
    let mut scenario = Scenario::base(1).expect("the first base");
    assert_eq!(resolved(&scenario).engine.max_model_len, 131_072);
    scenario.engine.num_gpu_blocks = Some(100);
    assert_eq!(resolved(&scenario).engine.max_model_len, 1600);
    scenario.engine.max_model_len = Some(0);
    assert_eq!(resolved(&scenario).engine.max_model_len, 0);
    scenario.engine.max_model_len = Some(1600);
    assert_eq!(resolved(&scenario).engine.max_model_len, 1600);
    scenario.engine.max_model_len = Some(1601);
    assert_eq!(errors(&scenario), [("kv-cache-too-small".into(), "engine.max_model_len".into())]);
}

#[test]
fn what_is_not_modelled_or_suspicious_is_said() {
    assert_eq!(warnings(&Scenario::default()), Vec::<String>::new());
    let mut scenario = Scenario::default();
    scenario.engine.pipeline_parallel_size = 2;
    scenario.engine.enable_expert_parallel = true;
    scenario.engine.enable_chunked_prefill = false;
    scenario.workload.arrival = plimsoll_core::scenario::ArrivalSettings::Gamma { cv: 11.0 };
    scenario.engine.num_gpu_blocks = Some(300);
    scenario.engine.max_num_seqs = Some(256);
    assert_eq!(
        warnings(&scenario),
        [
            "not-modelled",
            "not-modelled",
            "not-modelled",
            "gamma-as-poisson",
            "length-limited-by-cache",
            "kv-cache-limits-batch",
        ]
    );
    let on = |model: &str, accelerator: &str| {
        warnings(&deployment(model, Some(accelerator), Some(1), LatencyModelChoice::TrainedPhysics))
    };
    assert!(on("openai/gpt-oss-20b", "H100").contains(&"sliding-window-as-full".into()));
    assert!(on("deepseek-ai/deepseek-v2-lite", "H100").contains(&"latent-attention-as-full".into()));
    assert!(on("qwen/qwen3-8b", "B200-SXM").contains(&"extrapolated".into()));
    assert!(on("qwen/qwen3-30b-a3b", "H100").contains(&"head-size-derived".into()));
}

#[test]
fn pickers_offer_exactly_what_resolves() {
    let scenario = Scenario::default();
    let tp = scenario.tensor_parallel_choices(catalog());
    let offered: Vec<(&str, bool)> = tp.iter().map(|choice| (choice.id.as_str(), choice.is_available)).collect();
    assert_eq!(offered, [("1", true), ("2", true), ("4", true), ("8", true), ("16", false)]);
    assert!(!tp[4].reason.is_empty());
    let models = scenario.model_choices(catalog());
    assert_eq!(models.len(), catalog().models.len());
    let find = |id: &str| models.iter().find(|choice| choice.id == id).expect("listed");
    assert!(find("meta-llama/Llama-3.1-8B-Instruct").is_available);
    // On two accelerators its weights fit, but not one sequence of the 131,072 tokens it is made for.
    assert_eq!(find("meta-llama/Llama-3.3-70B-Instruct").reason, "with tensor_parallel_size 4");
    assert!(!find("moonshotai/Kimi-K2.5").is_available, "two terabytes do not fit into sixteen accelerators");
    let accelerators = scenario.accelerator_choices(catalog());
    assert!(accelerators.iter().all(|choice| choice.is_available), "{accelerators:?}");
    assert_eq!(accelerators[0].id, "A100-80");
}

/// The base in the words of its file: of the sections that were there, with the names of that time.
fn in_words_of(frozen: &serde_json::Value, base: &Scenario) -> serde_json::Value {
    let mut present = serde_json::to_value(base).expect("serializes");
    for (name, section) in frozen.as_object().expect("an object") {
        let (Some(old), Some(new)) = (section.as_object(), present[name].as_object_mut()) else { continue };
        if let Some(version) = new.remove("server_version") {
            let name = if old.contains_key("engine_version") { "engine_version" } else { "server_version" };
            new.insert(name.into(), version);
        }
        new.retain(|field, _| old.contains_key(field));
    }
    present.as_object_mut().expect("an object").retain(|name, _| frozen.get(name).is_some());
    present
}

#[test]
fn base_1_is_frozen() {
    let frozen: serde_json::Value = serde_json::from_str(BASE_1).expect("is JSON");
    let base = Scenario::base(1).expect("there is one");
    let mut present = in_words_of(&frozen, &base);
    assert_eq!(present["version"], 2, "in memory it has the present schema");
    present["version"] = 1.into();
    assert_eq!(present, frozen, "what base 1 says it must say for ever, and in the same words");
    assert_eq!(base.engine.scheduling, Scheduling::Reference, "there were no other rules");
    // What the file does not say is as it is without saying.
    let mut unsaid: Scenario = serde_json::from_value(frozen).expect("reads");
    (unsaid.version, unsaid.engine.scheduling) = (2, Scheduling::Reference);
    assert_eq!(unsaid, base, "links are differences from base 1: it must never change");
}

#[test]
fn base_2_is_frozen() {
    let frozen: serde_json::Value = serde_json::from_str(BASE_2).expect("is JSON");
    let base = Scenario::base(2).expect("there is one");
    assert_eq!(in_words_of(&frozen, &base), frozen, "what base 2 says it must say for ever, and in the same words");
    let read: Scenario = serde_json::from_value(frozen).expect("reads");
    assert_eq!(read, base, "links are differences from base 2: it must never change");
    assert_eq!(Scenario::base(3), None);
    assert_eq!(Scenario::base(Scenario::NEWEST_BASE), Some(base));
}

#[test]
fn the_first_experiment_is_complete() {
    let experiment = experiment("experiment-01").expect("it ships");
    assert_eq!(experiment.parameters.len(), 19);
    assert_eq!(experiment.published.iter().map(|record| record.objective).sum::<f64>(), 3.4914 + 2.374 + 204_321.9);
    let run = experiment.measurement();
    // 35 answers of one token, as the data's description counts them.
    assert_eq!(run.requests.iter().filter(|request| request.output_tokens == 1).count(), 35);
    assert_eq!(run.requests.len(), 100);
    assert_eq!(run.requests[1].ttft.map(|time| time.0), Some(9395));
    // The second gap and the sum of all, of MT19937 seeded with 42 as NumPy does it, computed apart.
    assert_eq!((run.requests[1].send.0, run.requests[99].send.0), (15_642, 3_045_306));
    assert!(run.requests.windows(2).all(|pair| pair[0].send <= pair[1].send));
    // The published bounds of several parameters do not hold the baseline, so the search has its own.
    let space = experiment.space();
    assert!(space.parameters.iter().all(|parameter| (parameter.coordinate(parameter.starts[0]) - 0.5).abs() < 1e-9));
}
