//! What no model has is refused with its key, its value, the reason and what is valid, all at once.

use plimsoll_anatomy::{BesideConfig, anatomy_from_hf_config};
use plimsoll_scenario::anatomy::Anatomy;
use plimsoll_scenario::diagnostic::{Diagnostic, Severity, Warned};
use std::time::{Duration, Instant};

fn config(model_type: &str, more: &str) -> String {
    format!(
        r#"{{"model_type": "{model_type}", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 8,
        "intermediate_size": 100, "vocab_size": 10, "dtype": "bfloat16"{more}}}"#
    )
}

fn read(text: &str) -> Warned<Anatomy> {
    anatomy_from_hf_config(text, BesideConfig::default()).unwrap_or_else(|problems| panic!("{text}: {problems:?}"))
}

fn refused(text: &str) -> Vec<Diagnostic> {
    let problems = anatomy_from_hf_config(text, BesideConfig::default()).expect_err(text);
    problems.into_iter().filter(|problem| problem.severity == Severity::Error).collect()
}

/// One problem, at a key, whose message and hint have these words.
fn assert_refused(text: &str, key: &str, message: &str, hint: &str) {
    let problems = refused(text);
    let [problem] = problems.as_slice() else { panic!("{text}: {problems:?}") };
    assert_eq!(problem.path, format!("config.json:{key}"), "{text}: {problem:?}");
    assert!(problem.message.contains(message), "{text}: {problem:?}");
    assert!(problem.hint.contains(hint), "{text}: {problem:?}");
}

#[test]
fn heads_and_experts_that_cannot_be_are_refused() {
    let llama = |more: &str| config("llama", more);
    let mixtral = |more: &str| config("mixtral", more);
    for (text, key, message, hint) in [
        (llama(r#", "num_key_value_heads": 0"#), "num_key_value_heads", "is 0", "from 1 to 8"),
        (
            llama(r#", "num_key_value_heads": 16"#),
            "num_key_value_heads",
            "16, more than the 8 of num_att",
            "from 1 to 8",
        ),
        (llama(r#", "num_key_value_heads": 3"#), "num_key_value_heads", "3, which does not divide the 8", "divides 8"),
        (llama(r#", "num_kv_heads": 3"#), "num_kv_heads", "num_kv_heads is 3", "divides 8"),
        (llama(r#", "num_key_value_heads": [8, 5]"#), "num_key_value_heads", "is 5", "divides 8"),
        (llama(r#", "num_key_value_heads": [8]"#), "num_key_value_heads", "1 values for 2 layers", "give 2"),
        (llama(r#", "num_key_value_heads": [8, 8, 8]"#), "num_key_value_heads", "3 values for 2 layers", "give 2"),
        (
            llama("").replace(r#""num_attention_heads": 8"#, r#""num_attention_heads": 128"#),
            "num_attention_heads",
            "128, more than the 64 of hidden_size",
            "head_dim",
        ),
        (
            mixtral(r#", "num_local_experts": 10000000, "num_experts_per_tok": 2"#),
            "num_local_experts",
            "num_local_experts is 10000000",
            "up to 65536",
        ),
        (
            mixtral(r#", "num_local_experts": 8, "num_experts_per_tok": 9"#),
            "num_experts_per_tok",
            "9, more than the 8 of num_local_experts",
            "from 1 to 8",
        ),
        (
            config("gemma3_text", r#", "num_key_value_heads": 3, "head_dim": 8"#),
            "num_key_value_heads",
            "which does not divide",
            "divides 8",
        ),
    ] {
        assert_refused(&text, key, message, hint);
    }
    // Latent attention has a key for each head as well.
    let latent =
        config("deepseek_v3", r#", "num_key_value_heads": 9, "n_routed_experts": 4, "num_experts_per_tok": 5"#);
    let found: Vec<String> = refused(&latent).into_iter().map(|problem| problem.path).collect();
    assert_eq!(found, ["config.json:num_key_value_heads", "config.json:num_experts_per_tok"]);
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    let text = r#"{"model_type": "mixtral", "hidden_size": 0, "num_hidden_layers": 1000000000, "num_attention_heads": 8,
        "num_key_value_heads": 3, "num_local_experts": 4, "num_experts_per_tok": 5, "vocab_size": null,
        "intermediate_size": 9, "layer_types": ["full_attention"],
        "quantization_config": {"quant_method": "gptq", "bits": 0, "group_size": 0}}"#;
    let paths: Vec<String> = refused(text).into_iter().map(|problem| problem.path).collect();
    assert_eq!(
        paths,
        [
            "config.json:hidden_size",
            "config.json:vocab_size",
            "config.json:num_hidden_layers",
            "config.json:num_key_value_heads",
            "config.json:num_experts_per_tok",
            "config.json:quantization_config.bits",
            "config.json:quantization_config.group_size"
        ]
    );
}

#[test]
fn lists_have_a_value_for_each_layer() {
    let kinds = |count: usize| format!(r#", "layer_types": [{}]"#, vec![r#""full_attention""#; count].join(","));
    assert_refused(&config("llama", &kinds(3)), "layer_types", "3 values for 2 layers", "correct num_hidden_layers");
    assert_refused(&config("llama", &kinds(1)), "layer_types", "1 values for 2 layers", "one for each layer");
    // Layers that only predict further tokens may be listed too; DeepSeek-V4's class cuts what is more.
    assert_eq!(
        read(&config("llama", &format!(r#"{}, "num_nextn_predict_layers": 1"#, kinds(3)))).value.layers.len(),
        2
    );
    let more = r#", "q_lora_rank": 8, "o_groups": 2, "layer_types": ["sliding_attention", "sliding_attention",
        "sliding_attention", "sliding_attention"]"#;
    assert_eq!(read(&config("deepseek_v4", more)).value.layers.len(), 2);
    let sparse = r#", "mlp_layer_types": ["dense"], "num_experts": 8"#;
    assert_refused(&config("hy_v3", sparse), "mlp_layer_types", "1 values for 2 layers", "give 2");
}

#[test]
fn widths_and_groups_that_no_quantizer_makes_are_refused() {
    let of = |settings: &str| config("llama", &format!(r#", "quantization_config": {settings}"#));
    for (settings, key, message, hint) in [
        (r#"{"quant_method": "gptq", "group_size": 128}"#, "", "bits of the weights is missing", "--quantization"),
        (r#"{"quant_method": "gptq", "bits": 0, "group_size": 128}"#, ".bits", "bits is 0", "from 1 to 32"),
        (r#"{"quant_method": "awq", "bits": 64}"#, ".bits", "bits is 64", "from 1 to 32"),
        (r#"{"quant_method": "awq", "bits": NaN}"#, ".bits", "bits is NaN", "from 1 to 32"),
        (r#"{"quant_method": "gptq", "bits": "four"}"#, ".bits", "\"four\"", "from 1 to 32"),
        (r#"{"quant_method": "gptq", "bits": 4, "group_size": 0}"#, ".group_size", "is 0", "or -1"),
        (r#"{"quant_method": "awq", "w_bit": 4, "q_group_size": 0}"#, ".q_group_size", "is 0", "or -1"),
        (r#"{"quant_method": "gptq", "bits": 4, "group_size": -7}"#, ".group_size", "is -7", "or -1"),
        (r#"{"quant_method": "gptq", "bits": 4, "group_size": 0.5}"#, ".group_size", "is 0.5", "whole number"),
        (r#"{"quant_method": "fp8", "weight_block_size": [128, 0]}"#, ".weight_block_size", "is 0", "two whole"),
        (r#"{"quant_method": "fp8", "weight_block_size": 128}"#, ".weight_block_size", "is 128", "two whole"),
        (r#"{"quant_method": "hqq", "nbits": 100}"#, ".nbits", "is 100", "from 1 to 32"),
        (
            r#"{"quant_method": "compressed-tensors", "config_groups": {"group_0": {"weights": {"num_bits": 0}}}}"#,
            ".config_groups.group_0.weights.num_bits",
            "is 0",
            "from 1 to 32",
        ),
        (r#"{"quant_method": "fp8", "ignored_layers": "lm_head"}"#, ".ignored_layers", "lm_head", "a list"),
        (r#""fp8""#, "", "quantization_config is \"fp8\"", "known are fp8"),
        (r#"["fp8"]"#, "", "a list of 1", "--quantization"),
        (r#"{"bits": 4}"#, ".quant_method", "names no quant_method", "known are fp8"),
        (r#"{"bits": 4}"#, ".quant_method", "names no quant_method", "--quantization"),
        (r#"{"quant_method": 8}"#, ".quant_method", "quant_method is 8", "known are fp8"),
    ] {
        assert_refused(&of(settings), &format!("quantization_config{key}"), message, hint);
    }
    // Somebody who says the width is believed.
    let beside = BesideConfig { quantization: Some("int4"), ..BesideConfig::default() };
    assert!(anatomy_from_hf_config(&of(r#"{"bits": 4}"#), beside).is_ok());
    for settings in ["null", "false", r#"{"quant_method": "gptq", "bits": 4, "group_size": -1}"#] {
        read(&of(settings));
    }
}

#[test]
fn a_quantizer_that_changes_nothing_is_told() {
    let warned = |text: &str| -> Vec<String> {
        let found = read(text).diagnostics.into_iter();
        found.filter(|found| found.code == "quantization-without-effect").map(|found| found.message).collect()
    };
    let mxfp4 = r#", "quantization_config": {"quant_method": "mxfp4"}"#;
    let [dense] = &warned(&config("llama", mxfp4))[..] else { panic!("not told") };
    assert!(dense.contains("routed experts alone") && dense.contains("16 bits"), "{dense}");
    let experts = format!(r#"{mxfp4}, "num_local_experts": 4, "num_experts_per_tok": 2"#);
    assert!(warned(&config("mixtral", &experts)).is_empty());
    let all = r#", "quantization_config": {"quant_method": "fp8", "modules_to_not_convert": ["self_attn", "mlp"]}"#;
    assert!(warned(&config("llama", all))[0].contains("left alone"));
    let nothing = r#", "quantization_config": {"quant_method": "bitsandbytes"}"#;
    assert!(warned(&config("llama", nothing))[0].contains("convert no layer"));
}

#[test]
fn what_stands_there_is_what_is_told() {
    for (stands, told) in [
        ("NaN", "hidden_size is NaN"),
        ("Infinity", "hidden_size is Infinity"),
        ("-Infinity", "hidden_size is -Infinity"),
        ("0", "hidden_size is 0"),
        ("null", "hidden_size is null"),
        ("\"wide\"", "hidden_size is \"wide\""),
        ("64.5", "hidden_size is 64.5"),
    ] {
        // The class of this family assumes nothing.
        let text = config("bailing_moe", r#", "num_experts": 2, "num_experts_per_tok": 1"#);
        let text = text.replace(r#""hidden_size": 64"#, &format!(r#""hidden_size": {stands}"#));
        assert_refused(&text, "hidden_size", told, "");
    }
}

#[test]
fn models_that_are_no_decoders_are_told_to_be_none() {
    for (model_type, what) in [
        ("bert", "reads text and writes none"),
        ("xlm-roberta", "reads text and writes none"),
        ("modernbert", "reads text and writes none"),
        ("t5", "encoder-decoder"),
        ("bart", "encoder-decoder"),
        ("whisper", "encoder-decoder"),
        ("vit", "encoder of images"),
        ("clip", "images and text"),
        ("wav2vec2", "encoder of sound"),
        ("patchtst", "forecasts numbers"),
    ] {
        let text = config(model_type, "");
        assert_refused(&text, "model_type", what, "nothing is misspelt");
        assert_eq!(refused(&text)[0].code, "not-a-decoder");
    }
    // The decoder inside may be of a family that is known.
    let pair = r#"{"model_type": "vision-encoder-decoder", "decoder": {"model_type": "gpt2"}, "encoder": {"model_type": "vit"}}"#;
    assert_refused(pair, "model_type", "encoder-decoder", "decoders that generate text");
    let tagged = r#"{"architectures": ["NobodysForMaskedLM"], "model_type": "nobodys", "hidden_size": 8}"#;
    assert_refused(tagged, "architectures", "NobodysForMaskedLM", "decoders that generate text");
    let pair = r#"{"model_type": "nobodys", "is_encoder_decoder": true}"#;
    assert_refused(pair, "is_encoder_decoder", "what an encoder made", "decoders that generate text");
    assert_eq!(refused(&config("lama", ""))[0].code, "unknown-model-type");
}

#[test]
fn parts_that_are_not_counted_are_told_by_their_key() {
    let inner = config("qwen2", r#", "num_key_value_heads": 2"#);
    for (top, text, key) in [
        ("qwen2_audio", "text_config", "audio_config"),
        ("nobodys_omni", "text_config", "talker_config"),
        ("nobodys_omni", "text_config", "token2wav_config"),
    ] {
        let text = format!(r#"{{"model_type": "{top}", "{text}": {inner}, "{key}": {{"d_model": 8}}}}"#);
        let told = read(&text).diagnostics;
        let told = told.iter().find(|found| found.code == "part-not-counted").expect("told");
        assert_eq!((told.path.clone(), told.severity), (format!("config.json:{key}"), Severity::Warning));
        assert!(told.message.contains("not counted"), "{told:?}");
    }
    let omni = format!(
        r#"{{"model_type": "qwen2_5_omni", "thinker_config": {{"text_config": {inner}, "audio_config": {{"d_model": 8}}}}}}"#
    );
    let told = read(&omni).diagnostics;
    assert!(told.iter().any(|found| found.path == "config.json:thinker_config.audio_config"), "{told:?}");
    assert_eq!(read(&omni).value.parameters(), read(&inner).value.parameters());
    assert!(read(&inner).diagnostics.iter().all(|found| found.code != "part-not-counted"));
}

/// Each of these took seconds, or was read, without the bound that it breaks.
#[test]
fn files_that_would_take_long_are_refused_in_milliseconds() {
    let many = |value: &str, times: usize| vec![value; times].join(",");
    let keys: Vec<String> = (0..300_000).map(|number| format!(r#""k{number}": 1"#)).collect();
    let deep = |layers: &str, more: &str| {
        config("llama", more).replace(r#""num_hidden_layers": 2"#, &format!(r#""num_hidden_layers": {layers}"#))
    };
    let numbered: Vec<String> = (0..9000).map(|number| format!(r#""{number}": {{"head_dim": 8}}"#)).collect();
    let names: Vec<String> = (0..300_000).map(|number| format!(r#""model.layers.{number}.mlp""#)).collect();
    let slow: Vec<String> = (0..500).map(|number| format!(r#""re:(a|[a-z._0-9])*(a|[a-z._0-9])*z{number}""#)).collect();
    for (text, key) in [
        (deep("2048", &format!(", {}", keys.join(","))), ""),
        (deep("2048", &format!(r#", "moe_layers": [{}]"#, many("7", 1_000_000))), ":moe_layers"),
        (deep("2048", &format!(r#", "moe_layers_enum": "{}""#, many("7", 1_000_000))), ":moe_layers_enum"),
        (deep("2048", &format!(r#", "per_layer_config": {{{}}}"#, numbered.join(","))), ":per_layer_config"),
        (
            deep("2048", &format!(r#", "linear_attn_config": {{"full_attn_layers": [{}]}}"#, many("1", 1_000_000))),
            ":full_attn_layers",
        ),
        (deep("1000000000", ""), ":num_hidden_layers"),
        (deep("null", &format!(r#", "layer_types": [{}]"#, many(r#""full_attention""#, 8000))), ":layer_types"),
        (
            deep(
                "2048",
                &format!(
                    r#", "quantization_config": {{"quant_method": "fp8", "ignored_layers": [{}]}}"#,
                    names.join(",")
                ),
            ),
            ":quantization_config.ignored_layers",
        ),
        (
            deep(
                "2048",
                &format!(
                    r#", "quantization_config": {{"quant_method": "compressed-tensors", "ignore": [{}]}}"#,
                    slow.join(",")
                ),
            ),
            ":quantization_config",
        ),
    ] {
        let start = Instant::now();
        let problems = refused(&text);
        let taken = start.elapsed();
        let shown: String = text.chars().skip(160).take(80).collect();
        assert_eq!(problems[0].path, format!("config.json{key}"), "{shown}: {problems:?}");
        println!("{taken:?} {shown}");
        // Without optimization everything takes ten times as long.
        assert!(taken < Duration::from_millis(if cfg!(debug_assertions) { 3000 } else { 300 }), "{shown}: {taken:?}");
    }
}

/// A large model of mixed precision names every expert.
#[test]
fn experts_that_are_named_one_by_one_are_counted() {
    let mut names: Vec<String> = Vec::new();
    for expert in 0..4 {
        for projection in ["gate_proj", "up_proj", "down_proj"] {
            names.push(format!(r#""model.layers.1.mlp.experts.{expert}.{projection}""#));
        }
    }
    let of = |names: &str| {
        let more = format!(
            r#", "num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 32,
            "quantization_config": {{"quant_method": "fp8", "modules_to_not_convert": [{names}]}}"#
        );
        read(&config("qwen3_moe", &more)).value.weight_bytes()
    };
    // Three matrices of 4 of 8 experts keep two bytes a value and have no scale.
    let left_alone = 4 * 3 * 64 * 32;
    let scales = 4 * 3 * 4;
    assert_eq!(of(&names.join(",")), of("") + left_alone - scales);
}
