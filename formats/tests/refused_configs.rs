//! What the page and the command line make of configs that no model has.

use plimsoll_core::diagnostic::{Diagnostic, Severity};
use plimsoll_formats::{model_and_parameters, model_from_hf_config};

fn llama(more: &str) -> String {
    format!(
        r#"{{"model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 8, "intermediate_size": 128, "vocab_size": 1000, "torch_dtype": "bfloat16"{more}}}"#
    )
}

fn refused(text: &str) -> Vec<Diagnostic> {
    let problems = model_from_hf_config(text, "m").expect_err(text);
    problems.into_iter().filter(|problem| problem.severity == Severity::Error).collect()
}

#[test]
fn a_value_that_no_model_has_is_an_error_and_not_a_model_without_memory() {
    for (text, key, message) in [
        (llama(r#", "num_key_value_heads": 16"#), "num_key_value_heads", "more than the 8"),
        (llama(r#", "layer_types": ["full_attention"]"#), "layer_types", "1 values for 2 layers"),
        (llama("").replace(r#""hidden_size": 64"#, r#""hidden_size": NaN"#), "hidden_size", "hidden_size is NaN"),
        (llama("").replace(r#""hidden_size": 64"#, r#""hidden_size": 0"#), "hidden_size", "hidden_size is 0"),
        (llama("").replace(r#""llama""#, r#""bert""#), "model_type", "reads text and writes none"),
        (llama(r#", "quantization_config": "fp8""#), "quantization_config", "quantization_config is \"fp8\""),
        (
            llama(r#", "quantization_config": {"quant_method": "gptq", "bits": 0}"#),
            "quantization_config.bits",
            "bits is 0",
        ),
        // Of a family that is not described the sizes are still looked at.
        (
            llama("")
                .replace(r#""llama""#, r#""nobodys""#)
                .replace(r#""hidden_size": 64"#, r#""hidden_size": Infinity"#),
            "hidden_size",
            "hidden_size is Infinity",
        ),
        (
            llama("").replace(r#""llama""#, r#""nobodys""#).replace(r#""hidden_size": 64"#, r#""hidden_size": 0"#),
            "hidden_size",
            "hidden_size is 0",
        ),
    ] {
        let text = text.replace("LlamaForCausalLM", "NobodysForCausalLM");
        let problems = refused(&text);
        assert_eq!(problems[0].path, format!("config.json:{key}"), "{text}: {problems:?}");
        assert!(problems[0].message.contains(message) && !problems[0].hint.is_empty(), "{text}: {problems:?}");
        assert_eq!(problems.iter().filter(|problem| problem.path == problems[0].path).count(), 1, "{problems:?}");
    }
}

#[test]
fn what_is_told_of_the_anatomy_is_told_of_the_model() {
    let (read, parameters) = model_and_parameters(&llama(r#", "quantization_config": {"quant_method": "mxfp4"}"#), "m")
        .unwrap_or_else(|problems| panic!("{problems:?}"));
    assert!(read.diagnostics.iter().any(|found| found.code == "quantization-without-effect"), "{:?}", read.diagnostics);
    // Two layers of four square matrices and three of the network with two norms, embedding and head, the last norm.
    assert_eq!(parameters, Some(2 * (4 * 64 * 64 + 3 * 64 * 128 + 2 * 64) + 2 * 1000 * 64 + 64));
    let (_, parameters) = model_and_parameters(&llama("").replace("lama", "ama"), "m").expect("sizes are enough");
    assert_eq!(parameters, None);
}
