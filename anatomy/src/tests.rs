use super::*;
use plimsoll_scenario::anatomy::{Cache, FeedForward, Span};
use std::fmt::Write as _;
use std::time::{Duration, Instant};

fn read(text: &str) -> Anatomy {
    anatomy_from_hf_config(text, BesideConfig::default())
        .unwrap_or_else(|problems| panic!("{text}: {problems:?}"))
        .value
}

fn refused(text: &str) -> Vec<Diagnostic> {
    anatomy_from_hf_config(text, BesideConfig::default()).expect_err(text)
}

/// Two layers of width 64 with 8 heads, 2 of them for keys, and a vocabulary of 10.
fn llama(more: &str) -> String {
    format!(
        r#"{{"model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 8,
        "num_key_value_heads": 2, "intermediate_size": 100, "vocab_size": 10, "dtype": "bfloat16"{more}}}"#
    )
}

/// Queries and outputs, keys and values, three matrices, two norms.
const LLAMA_LAYER: u64 = 2 * 64 * 64 + 2 * 16 * 64 + 3 * 64 * 100 + 2 * 64;

#[test]
fn a_small_llama_is_counted_by_hand() {
    let anatomy = read(&llama(""));
    assert_eq!(anatomy.parameters(), 2 * LLAMA_LAYER + 2 * 10 * 64 + 64);
    assert_eq!(anatomy.weight_bytes(), 2 * anatomy.parameters());
    assert_eq!(anatomy.kv_bytes_per_token(2), f64::from(2 * 2 * 2 * 8 * 2));
    assert_eq!(anatomy.layers[0].feed_forward, FeedForward::Dense { size: 100, is_gated: true });
    assert_eq!(read(&llama(r#", "tie_word_embeddings": true"#)).parameters(), 2 * LLAMA_LAYER + 10 * 64 + 64);
    let biased = read(&llama(r#", "attention_bias": true"#));
    assert_eq!(biased.parameters() - anatomy.parameters(), 2 * (64 + 16 + 16 + 64));
}

#[test]
fn a_width_that_only_the_class_says_is_told() {
    let told = |text: &str| anatomy_from_hf_config(text, BesideConfig::default()).expect(text).diagnostics;
    assert_eq!(told(&llama("")), []);
    let told = told(r#"{"model_type": "llama", "num_attention_heads": 32}"#);
    let assumed = told.iter().find(|found| found.code == "assumed-by-class").expect("told");
    assert!(assumed.message.contains("hidden_size as 4096 and num_hidden_layers as 32"), "{assumed:?}");
    let problems = refused(&llama("").replace("64,", "64.5,"));
    assert_eq!((problems[0].path.as_str(), &*problems[0].hint), ("config.json:hidden_size", "give a whole number"));
}

#[test]
fn keys_under_other_names_and_in_inner_parts_mean_the_same() {
    let expected = read(&llama("")).parameters();
    let inner = r#"{"architectures": ["LlamaForCausalLM"], "n_embd": 64, "n_layer": 2, "n_head": 8, "num_kv_heads": 2,
        "ffn_hidden_size": 100, "vocab_size": 10}"#;
    assert_eq!(read(inner).parameters(), expected);
    for part in ["text_config", "llm_config", "language_config", "thinker_config"] {
        let text = format!(r#"{{"model_type": "remote", "{part}": {inner}, "vision_config": {{"hidden_size": 7}}}}"#);
        assert_eq!(read(&text).parameters(), expected, "{part}");
    }
    let deep = format!(r#"{{"model_type": "omni", "thinker_config": {{"text_config": {inner}}}}}"#);
    assert_eq!(read(&deep).parameters(), expected);
}

#[test]
fn what_a_config_leaves_out_is_what_its_class_assumes() {
    // The text part of LLaVA-1.5 says little more than its vocabulary.
    let llava = read(
        r#"{"model_type": "llava", "torch_dtype": "float16",
        "text_config": {"model_type": "llama", "max_position_embeddings": 4096, "vocab_size": 32064}}"#,
    );
    assert_eq!((llava.parameters(), llava.dtype), (6_738_939_904, Dtype::Float16));
    assert_eq!(read(r#"{"model_type": "gpt2"}"#).parameters(), 124_439_808);
    // An explicit null is no default: DeepSeek-V2-Lite projects its queries in one step.
    let lite = |rank: &str| {
        format!(
            r#"{{"model_type": "deepseek_v2", "num_hidden_layers": 1, "hidden_size": 2048, "num_attention_heads": 16,
            "first_k_dense_replace": 1, "vocab_size": 10{rank}}}"#
        )
    };
    let one_step = read(&lite(r#", "q_lora_rank": null"#)).parameters();
    let two_steps = read(&lite("")).parameters();
    assert_eq!(one_step - 2048 * 3072, two_steps - (2048 * 1536 + 1536 + 1536 * 3072));
}

#[test]
fn a_head_is_tied_as_the_parts_of_a_config_say() {
    let of = |top: &str, text: &str| {
        let inner = r#""hidden_size": 64, "num_hidden_layers": 1, "num_attention_heads": 8,
            "num_key_value_heads": 8, "intermediate_size": 8"#;
        read(&format!(r#"{{{top}, "text_config": {{{text}, "vocab_size": 1000, {inner}}}}}"#)).is_head_tied
    };
    let qwen = r#""model_type": "qwen3_vl_moe_text", "num_experts": 4"#;
    assert!(!of(
        r#""model_type": "qwen3_vl_moe", "tie_word_embeddings": false"#,
        r#""tie_word_embeddings": true, "model_type": "qwen3_vl_moe_text", "num_experts": 4"#
    ));
    assert!(!of(r#""model_type": "qwen3_vl_moe""#, qwen));
    // Both classes assume it of Gemma, only the outer one of Mistral 3.
    assert!(of(r#""model_type": "gemma3""#, r#""model_type": "gemma3_text""#));
    assert!(!of(r#""model_type": "mistral3""#, r#""model_type": "mistral""#));
    // Older saves of Qwen2.5-VL say it in the text part.
    assert!(of(
        r#""model_type": "qwen2_5_vl", "tie_word_embeddings": false"#,
        r#""model_type": "qwen2_5_vl_text", "tie_word_embeddings": true"#
    ));
}

#[test]
fn every_problem_is_told_by_its_key() {
    let found = refused(r#"{"model_type": "bailing_moe", "hidden_size": "wide", "vocab_size": -1}"#);
    let paths: Vec<&str> = found.iter().map(|problem| problem.path.as_str()).collect();
    assert_eq!(
        paths,
        ["config.json:hidden_size", "config.json:vocab_size", "config.json:num_hidden_layers", "config.json:dtype"]
    );
    for (text, code, path) in [
        ("{", "syntax", "config.json:1:2"),
        ("[]", "invalid-value", "config.json"),
        ("{}", "missing-field", "config.json:model_type"),
        (r#"{"model_type": "no_such_family"}"#, "unknown-model-type", "config.json:model_type"),
        (r#"{"architectures": ["NoSuchForCausalLM"]}"#, "unknown-model-type", "config.json:model_type"),
        (&llama(r#", "layer_types": ["full_attention", "telepathy"]"#), "unknown-layer", "config.json:layer_types"),
        (&llama(r#", "layer_types": ["full_attention", "mamba"]"#), "unknown-layer", "config.json:layer_types"),
        (&llama(r#", "layer_types": ["full_attention"]"#), "invalid-value", "config.json:layer_types"),
        (
            &llama(r#", "quantization_config": {"quant_method": "magic"}"#),
            "unknown-quantization",
            "config.json:quantization_config.quant_method",
        ),
    ] {
        let found = refused(text);
        let found: Vec<_> = found.iter().filter(|problem| problem.severity == Severity::Error).collect();
        assert_eq!((found[0].code.as_str(), found[0].path.as_str()), (code, path), "{text}");
        assert!(!found[0].hint.is_empty(), "{text}");
    }
    let found = refused(&llama(r#", "quantization_config": {"quant_method": "magic"}"#));
    let hint = &found.iter().find(|problem| problem.code == "unknown-quantization").expect("refused").hint;
    assert!(hint.contains("compressed-tensors") && hint.contains("--quantization"), "{hint}");
}

/// Lists have a value for each layer, in the models' own spellings.
#[test]
fn layers_follow_the_lists_of_the_models_own_configs() {
    let mimo = read(
        r#"{"model_type": "mimo_v2_flash", "num_hidden_layers": 3, "num_key_value_heads": 4, "swa_num_key_value_heads": 8,
        "head_dim": 192, "v_head_dim": 128, "hybrid_layer_pattern": [0, 1, 1], "sliding_window": 128,
        "sliding_window_size": 128, "moe_layer_freq": [0, 1, 1]}"#,
    );
    // The layer that keeps all tokens has 4 heads of 192 and 128; the others keep 128 tokens in 8.
    assert_eq!((mimo.kv_bytes_per_token(2), mimo.fixed_state_bytes(2)), (2560.0, 2 * 128 * 8 * 320 * 2));
    assert!(!matches!(mimo.layers[0].feed_forward, FeedForward::Experts(_)));
    let minimax = |list: &str| {
        read(&format!(
            r#"{{"model_type": "minimax_text_01", "num_hidden_layers": 2, "hidden_size": 64, "num_attention_heads": 8,
            "num_key_value_heads": 2, "intermediate_size": 100, "vocab_size": 10, "num_local_experts": 2,
            "num_experts_per_tok": 1, "torch_dtype": "bfloat16", "attn_type_list": {list}}}"#
        ))
        .kv_bytes_per_token(2)
    };
    assert_eq!((minimax("[0, 1]"), minimax("[1, 1]"), minimax("[0, 0]")), (64.0, 128.0, 0.0));
    let exaone = read(
        r#"{"model_type": "exaone4", "num_hidden_layers": 4, "sliding_window": 512, "sliding_window_pattern": "LLLG"}"#,
    );
    let is_full = |layer: &Layer| matches!(layer.caches[0], Cache::Attention { span: Span::Full, .. });
    assert_eq!(exaone.layers.iter().map(is_full).collect::<Vec<_>>(), [false, false, false, true]);
}

/// Sizes that are published for models which bring their own code.
#[test]
fn families_with_code_of_their_own_have_their_published_size() {
    for (config, billions) in [
        (
            r#""model_type": "minicpm", "hidden_size": 2304, "intermediate_size": 5760, "num_attention_heads": 36,
            "num_key_value_heads": 36, "num_hidden_layers": 40, "vocab_size": 122753"#,
            2.72,
        ),
        (
            r#""model_type": "phi3small", "hidden_size": 4096, "ff_intermediate_size": 14336, "num_attention_heads": 32,
            "num_key_value_heads": 8, "num_hidden_layers": 32, "vocab_size": 100352"#,
            7.39,
        ),
        (
            r#""model_type": "jais", "n_embd": 5120, "n_head": 40, "n_layer": 40, "n_inner": 13653, "vocab_size": 84992"#,
            13.0,
        ),
        (
            r#""model_type": "arctic", "hidden_size": 7168, "intermediate_size": 4864, "num_attention_heads": 56,
            "num_key_value_heads": 8, "num_experts_per_tok": 2, "num_hidden_layers": 35, "num_local_experts": 128,
            "use_residual": true, "vocab_size": 32000"#,
            479.0,
        ),
        (
            r#""architectures": ["Grok1ModelForCausalLM"], "model_type": "grok-1", "hidden_size": 6144,
            "intermediate_size": 32768, "num_attention_heads": 48, "num_key_value_heads": 8, "num_experts": 8,
            "num_experts_per_tok": 2, "num_hidden_layers": 64, "vocab_size": 131072"#,
            316.0,
        ),
        (
            r#""model_type": "molmo", "hidden_size": 3584, "intermediate_size": 37888, "num_attention_heads": 28,
            "num_key_value_heads": 4, "num_hidden_layers": 28, "qkv_bias": true, "vocab_size": 152064"#,
            7.6,
        ),
        (
            r#""model_type": "deci", "hidden_size": 4096, "intermediate_size": 14336, "num_attention_heads": 32,
            "num_hidden_layers": 4, "num_key_value_heads_per_layer": [4, 4, 2, 1], "vocab_size": 32000"#,
            1.111,
        ),
    ] {
        let found = read(&format!(r#"{{{config}, "torch_dtype": "bfloat16"}}"#)).parameters() as f64 / 1e9;
        assert!((found / billions - 1.0).abs() < 0.007, "{config}: {found}");
    }
    let version = |version: &str| {
        let text = llama("").replace(r#""llama""#, r#""minicpmv""#);
        anatomy_from_hf_config(&text.replacen('{', &format!(r#"{{"version": {version}, "#), 1), BesideConfig::default())
    };
    // The same sizes with a bias on queries, keys and values in Qwen2.
    let [llama, qwen] = ["2.5", "2.6"].map(|of| version(of).expect("known").value.parameters());
    assert_eq!(qwen - llama, 2 * (64 + 16 + 16));
    assert_eq!(version("1.0").expect_err("unknown")[0].code, "unknown-model-type");
}

#[test]
fn experts_that_do_nothing_are_counted_and_not_stored() {
    let config = r#"{"model_type": "longcat_flash", "num_layers": 1, "vocab_size": 10, "torch_dtype": "bfloat16"}"#;
    let anatomy = read(config);
    // 256 of them have gates in the class of transformers, and no checkpoint stores any.
    assert_eq!(2 * anatomy.parameters() - anatomy.weight_bytes(), 2 * 256 * 2 * 2048 * 6144);
}

#[test]
fn a_family_is_known_by_its_class_alone() {
    let sizes = r#""hidden_size": 64, "num_hidden_layers": 1, "num_attention_heads": 8, "intermediate_size": 100,
        "vocab_size": 10, "torch_dtype": "bfloat16", "num_experts": 2, "moe_topk": 1"#;
    for (class, model_type) in [
        ("LlamaForCausalLM", "llama"),
        ("HunYuanMoEV1ForCausalLM", "hunyuan_v1_moe"),
        ("HunYuanDenseV1ForCausalLM", "hunyuan_v1_dense"),
        ("QWenLMHeadModel", "qwen"),
    ] {
        let found = read(&format!(r#"{{"architectures": ["{class}"], {sizes}}}"#));
        assert_eq!(found.model_type, model_type);
    }
}

#[test]
fn files_that_are_no_config_say_what_they_are() {
    let adapter = refused(r#"{"base_model_name_or_path": "meta-llama/Llama-3.1-8B", "peft_type": "LORA", "r": 16}"#);
    assert!(adapter[0].hint.contains("meta-llama/Llama-3.1-8B"), "{adapter:?}");
    let generation = refused(r#"{"bos_token_id": 1, "temperature": 0.6}"#);
    assert!(generation[0].hint.contains("config.json"), "{generation:?}");
    let pattern = refused(r#"{"model_type": "nemotron_h", "num_hidden_layers": 52}"#);
    assert!(pattern.iter().any(|problem| problem.path == "config.json:hybrid_override_pattern"), "{pattern:?}");
}

#[test]
fn hostile_files_are_refused_in_milliseconds() {
    let many = |value: &str, times: usize| vec![value; times].join(",");
    let mut hostile = vec![
        "[".repeat(1_000_000),
        format!("{}1{}", r#"{"text_config":"#.repeat(100_000), "}".repeat(100_000)),
        llama("").replace(r#""num_hidden_layers": 2"#, r#""num_hidden_layers": 1000000000"#),
        llama("").replace(r#""num_hidden_layers": 2"#, r#""num_hidden_layers": NaN"#),
        llama("").replace(r#""num_hidden_layers": 2"#, r#""num_hidden_layers": 1e300"#),
        llama("").replace(r#""hidden_size": 64"#, r#""hidden_size": -64"#),
        llama("").replace(r#""hidden_size": 64"#, r#""hidden_size": Infinity"#),
        llama("").replace(r#""hidden_size": 64"#, r#""hidden_size": {}"#),
        llama("").replace(r#""num_attention_heads": 8"#, r#""num_attention_heads": 0"#),
        llama("").replace(r#""vocab_size": 10"#, r#""vocab_size": 18446744073709551615"#),
        llama(&format!(r#", "layer_types": [{}]"#, many("7", 1_000_000))),
    ];
    hostile.push(llama(r#", "quantization_config": {"quant_method": "compressed-tensors", "ignore": ["re:((((("], "config_groups": {}}"#));
    let patterns = many(r#""re:(a*)*b""#, 5_000);
    hostile.push(llama(&format!(
        r#", "quantization_config": {{"quant_method": "compressed-tensors", "ignore": [{patterns}]}}"#
    )));
    for text in hostile {
        let start = Instant::now();
        let found = refused(&text);
        let taken = start.elapsed();
        let shown: String = text.chars().take(80).collect();
        // Without optimization a file of a million brackets takes longer than a person's does.
        assert!(taken < Duration::from_millis(if cfg!(debug_assertions) { 1500 } else { 300 }), "{shown}: {taken:?}");
        println!("{taken:?} {shown}");
        assert!(found.iter().all(|problem| problem.message.len() < 300), "{shown}: {found:?}");
    }
    let deep = refused(&format!("{}1{}", r#"{"text_config":"#.repeat(40), "}".repeat(40)));
    assert_eq!(deep[0].message, "values are nested more than 32 deep");
    assert_eq!(refused(r#"{"a": "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", }"#)[0].message, "not valid JSON");
}

#[test]
fn huge_sizes_and_files_are_described_without_overflow() {
    let largest = r#"{"model_type": "llama", "hidden_size": 16777216, "num_hidden_layers": 2048, "vocab_size": 16777216,
        "num_attention_heads": 16777216, "head_dim": 16777216, "intermediate_size": 16777216}"#;
    assert!(read(largest).parameters() > 1 << 60);
    // Some megabytes of modules that are left alone, one by one.
    let mut ignored = String::new();
    for layer in 0..2 {
        for expert in 0..20_000 {
            let _ = write!(ignored, r#""model.layers.{layer}.mlp.experts.{expert}.gate_proj","#);
        }
    }
    let text = llama(&format!(
        r#", "quantization_config": {{"quant_method": "fp8", "modules_to_not_convert": [{ignored} "model.layers.1.self_attn"]}}"#
    ));
    let anatomy = read(&text);
    assert!(anatomy.weight_bytes() < 2 * anatomy.parameters());
}

#[test]
fn windows_chunks_and_shared_caches_are_told_apart() {
    let spans = |text: &str| -> Vec<Option<Span>> {
        let span = |layer: &Layer| match layer.caches.first() {
            Some(Cache::Attention { span, .. }) => Some(*span),
            _ => None,
        };
        read(text).layers.iter().map(span).collect()
    };
    let sliding = Some(Span::Sliding { window: 512 });
    let gemma = r#"{"model_type": "gemma3n_text", "num_hidden_layers": 6, "num_kv_shared_layers": 1}"#;
    assert_eq!(spans(gemma), [sliding, sliding, sliding, sliding, Some(Span::Full), None]);
    assert!(read(gemma).layers[5].shares_cache);
    let llama4 = r#"{"model_type": "llama4_text", "num_hidden_layers": 4}"#;
    let chunk = Some(Span::Chunked { chunk: 8192 });
    assert_eq!(spans(llama4), [chunk, chunk, chunk, Some(Span::Full)]);
    assert_eq!(
        spans(&llama(r#", "layer_types": ["sliding_attention", "full_attention"], "sliding_window": 512"#)),
        [sliding, Some(Span::Full)]
    );
}

#[test]
fn experts_are_found_by_every_key_that_says_where_they_are() {
    let routed = |text: &str| -> Vec<bool> {
        read(text).layers.iter().map(|layer| matches!(layer.feed_forward, FeedForward::Experts(_))).collect()
    };
    for (text, expected) in [
        (r#"{"model_type": "glm4_moe", "num_hidden_layers": 3, "first_k_dense_replace": 2}"#, [false, false, true]),
        (r#"{"model_type": "qwen3_moe", "num_hidden_layers": 3, "mlp_only_layers": [1]}"#, [true, false, true]),
        (r#"{"model_type": "qwen3_moe", "num_hidden_layers": 3, "decoder_sparse_step": 2}"#, [false, true, false]),
        (
            r#"{"model_type": "llama4_text", "num_hidden_layers": 3, "interleave_moe_layer_step": 3, "intermediate_size_mlp": 8}"#,
            [false, false, true],
        ),
        (
            r#"{"model_type": "jamba", "num_hidden_layers": 3, "expert_layer_period": 2, "expert_layer_offset": 0}"#,
            [true, false, true],
        ),
        (
            r#"{"model_type": "hy_v3", "num_hidden_layers": 3, "mlp_layer_types": ["sparse", "dense", "sparse"]}"#,
            [true, false, true],
        ),
        (r#"{"model_type": "step3p5", "num_hidden_layers": 3, "moe_layers_enum": "0, 2"}"#, [true, false, true]),
        (
            r#"{"model_type": "minimax_m3_vl_text", "num_hidden_layers": 3, "moe_layer_freq": [0, 0, 1]}"#,
            [false, false, true],
        ),
    ] {
        assert_eq!(routed(text), expected, "{text}");
    }
}

/// Parameters of small models that were counted on the classes of transformers 5.19.
#[test]
fn biases_and_ties_are_those_of_the_classes() {
    let attention = r#""hidden_size": 64, "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2,
        "head_dim": 16, "intermediate_size": 96, "vocab_size": 32"#;
    let count = |model_type: &str, more: &str| {
        read(&format!(r#"{{"model_type": "{model_type}", {attention}{more}}}"#)).parameters()
    };
    let more = |model_type: &str, key: &str| {
        let with = |value: bool| count(model_type, &format!(r#", "{key}": {value}"#));
        with(true) - with(false)
    };
    // The gate's rows have one too; one layer in four has attention.
    assert_eq!(more("qwen3_5_text", "attention_bias"), 64 + 64 + 32 + 32 + 64);
    // Two stacks of four layers, a key for every query.
    let hrm = |value: bool| {
        count(
            "hrm_text",
            &format!(r#", "attention_bias": {value}"#).replace(r#", ""#, r#", "num_key_value_heads": 4, ""#),
        )
    };
    assert_eq!(hrm(true) - hrm(false), 2 * 4 * 5 * 64);
    // No bias in the networks of these, and none in their experts.
    assert_eq!(more("deepseek_v32", "mlp_bias"), 0);
    assert_eq!(more("glm_moe_dsa", "mlp_bias"), 0);
    assert_eq!(more("zaya", "lm_head_bias"), 32);
    // One shared expert, whatever the number says.
    let shared = |number: u32| count("deepseek_v4", &format!(r#", "n_shared_experts": {number}"#));
    assert_eq!(shared(0), shared(2));
    // A head of its own, whatever the key says.
    for model_type in ["moshi", "xlstm"] {
        assert_eq!(more(model_type, "tie_word_embeddings"), 0, "{model_type}");
    }
}

#[test]
fn quantizers_of_every_known_kind_are_understood() {
    // Each layer's linear weights, and the rest at two bytes.
    let linear = LLAMA_LAYER - 2 * 64;
    let rest = 2 * (2 * 10 * 64 + 64 + 2 * 2 * 64);
    let rows = 2 * (64 + 16 + 16 + 64 + 100 + 100 + 64);
    let groups = |size: u64| -> u64 {
        2 * [(64, 64), (16, 64), (16, 64), (64, 64), (100, 64), (100, 64), (64, 100)]
            .iter()
            .map(|&(rows, columns): &(u64, u64)| rows * columns.div_ceil(size))
            .sum::<u64>()
    };
    for (settings, expected) in [
        (r#""quant_method": "fp8""#, 2 * linear + 2 * 7 * 4),
        (r#""quant_method": "fbgemm_fp8""#, 2 * linear + rows * 4),
        (r#""quant_method": "gptq", "bits": 4, "group_size": 32"#, linear + groups(32) * 5 / 2),
        (r#""quant_method": "awq", "bits": 4, "group_size": 32"#, linear + groups(32) * 5 / 2),
        (r#""quant_method": "awq", "w_bit": 4, "q_group_size": 32"#, linear + groups(32) * 5 / 2),
        (r#""quant_method": "bitsandbytes", "load_in_4bit": true"#, linear + groups(64) * 4),
        (r#""quant_method": "bitsandbytes", "load_in_8bit": true"#, 2 * linear + rows * 4),
        (
            r#""quant_method": "torchao", "quant_type": {"default": {"_type": "Int8WeightOnlyConfig"}}"#,
            2 * linear + rows * 2,
        ),
        (
            r#""quant_method": "torchao", "quant_type": "int4_weight_only", "quant_type_kwargs": {"group_size": 32}"#,
            linear + groups(32) * 4,
        ),
        (
            r#""quant_method": "hqq", "quant_config": {"self_attn.q_proj": {"weight_quant_params": {"nbits": 8, "group_size": 64}}}"#,
            2 * linear + groups(64) * 4,
        ),
        (r#""quant_method": "mxfp8""#, 2 * linear + groups(32)),
        (r#""quant_method": "quanto", "weights": "int8""#, 2 * linear + rows * 2),
        (r#""quant_method": "eetq""#, 2 * linear + rows * 2),
        (r#""quant_method": "bitnet""#, linear / 2 + 2 * 7 * 2),
        (r#""quant_method": "modelopt", "quant_algo": "MXFP8", "ignore": ["lm_head"]"#, 2 * linear + groups(32)),
        (r#""quant_method": "mxfp4""#, 4 * linear),
        (r#""quant_method": "qqq", "bits": 4, "group_size": 32"#, linear + groups(32) * 5 / 2),
        (r#""quant_method": "w8a8_int8""#, 2 * linear + rows * 2),
        (r#""quant_method": "auto-round", "bits": 4, "group_size": 32"#, linear + groups(32) * 5 / 2),
        (r#""quant_method": "inc", "bits": 4, "group_size": 32"#, linear + groups(32) * 5 / 2),
        (
            r#""quant_method": "bitsandbytes", "_load_in_4bit": true, "bnb_4bit_use_double_quant": true"#,
            linear + groups(64) * 127 / 125,
        ),
        (
            r#""quant_method": "modelopt_fp4", "quant_algo": "NVFP4", "exclude_modules": ["lm_head"]"#,
            linear + groups(16),
        ),
        (
            r#""quant_method": "quark", "global_quant_config": {"weight": {"dtype": "fp8_e4m3", "qscheme": "per_tensor"}}, "exclude": ["lm_head"]"#,
            2 * linear + 2 * 7 * 4,
        ),
        (
            r#""quant_method": "fp8", "weight_block_size": [32, 32], "modules_to_not_convert": ["lm_head"]"#,
            2 * linear + 2 * 4 * (2 * 4 + 2 * 2 + 3 * 8),
        ),
    ] {
        let anatomy = read(&llama(&format!(r#", "quantization_config": {{{settings}}}"#)));
        let found = anatomy.weight_bytes();
        // A group's bytes are rounded up once for each matrix.
        assert!(found.abs_diff(rest + expected) <= 14, "{settings}: {found} is not {}", rest + expected);
    }
}

#[test]
fn the_file_beside_the_config_and_a_persons_word_are_heard() {
    let config = llama("");
    let usual = read(&config).weight_bytes();
    let with = |beside: BesideConfig<'_>| anatomy_from_hf_config(&config, beside);
    let file =
        r#"{"producer": {"name": "modelopt"}, "quantization": {"quant_algo": "FP8", "exclude_modules": ["lm_head"]}}"#;
    let beside = BesideConfig { quantization_file: Some(file), ..BesideConfig::default() };
    let fp8 = with(beside).expect("read").value.weight_bytes();
    assert_eq!(usual - fp8, 2 * (LLAMA_LAYER - 2 * 64) - 2 * 7 * 4);
    let word = |quantization| with(BesideConfig { quantization: Some(quantization), ..BesideConfig::default() });
    assert!(word("int4").expect("known").value.weight_bytes() < fp8);
    assert_eq!(word("bf16").expect("known").value.weight_bytes(), usual);
    let problem = word("int5").expect_err("unknown");
    assert!(problem.iter().any(|problem| problem.hint.contains("nvfp4")), "{problem:?}");
}
