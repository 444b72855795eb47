//! `plimsoll fits`: what it prints, and how it ends.

use serde_json::Value;
use std::process::{Command, Output};

fn fits(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_plimsoll")).arg("fits").args(arguments).output().expect("the program starts")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("UTF-8")
}

fn json(arguments: &[&str]) -> Value {
    let all: Vec<&str> = arguments.iter().copied().chain(["--json"]).collect();
    serde_json::from_slice(&fits(&all).stdout).expect("JSON")
}

const LLAMA: &str = "meta-llama/Llama-3.1-8B-Instruct";

#[test]
fn the_fields_of_a_model_are_those_of_its_config() {
    let answer = json(&[LLAMA, "--hardware", "H100"]);
    assert_eq!(answer["parameters"], 8_030_261_248_u64);
    assert_eq!(answer["weight_bytes"], 16_060_522_496_u64);
    assert_eq!(answer["kv_bytes_per_token"], 131_072.0);
    assert_eq!(answer["fixed_state_bytes_per_sequence"], 0);
    assert_eq!((&answer["smallest_tensor_parallel_size"], &answer["fits"]), (&Value::from(1), &Value::from(true)));
    let tokens = answer["kv_cache_tokens"].as_f64().expect("a number");
    assert!((380_000.0..460_000.0).contains(&tokens), "{tokens}");
    assert_eq!(answer["max_concurrency"].as_f64().expect("a number"), tokens / 131_072.0);
}

#[test]
fn blocks_and_bytes_are_taken_as_vllm_takes_them() {
    let overridden = json(&[LLAMA, "--hardware", "H100", "--num-gpu-blocks-override", "29205"]);
    assert_eq!(overridden["kv_cache_tokens"], 29_205 * 16);
    let wide = json(&[LLAMA, "--hardware", "H100", "--num-gpu-blocks-override", "29205", "--block-size", "32"]);
    assert_eq!(wide["kv_cache_tokens"], 29_205 * 32);
    let stated = json(&[LLAMA, "--hardware", "H100", "--kv-cache-memory-bytes", "42949672960"]);
    assert_eq!(stated["num_gpu_blocks"], 20_480);
    let fp8 = json(&[LLAMA, "--hardware", "H100", "--kv-cache-memory-bytes", "42949672960", "--kv-cache-dtype=fp8"]);
    assert_eq!(fp8["num_gpu_blocks"], 40_960);
}

#[test]
fn what_does_not_fit_says_what_to_change() {
    let output = fits(&["meta-llama/Llama-3.3-70B-Instruct", "--hardware", "H100", "--tp", "2"]);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(3), "{said}");
    for expected in ["does not fit", "--tp 4", "--max-model-len "] {
        assert!(said.contains(expected), "{expected}\n{said}");
    }
    let shorter = fits(&["meta-llama/Llama-3.3-70B-Instruct", "--hardware", "H100", "--tp", "4"]);
    assert_eq!(shorter.status.code(), Some(0), "{}", text(&shorter.stdout));
}

#[test]
fn every_problem_is_told_at_once() {
    let output = fits(&[LLAMA, "--hardware", "H10", "--vllm-version", "new", "--gpu-memory-utilization", "1.5"]);
    let said = text(&output.stderr);
    assert_eq!((output.status.code(), said.lines().count()), (Some(1), 3), "{said}");
    assert!(said.contains("did you mean"), "{said}");
    let heads = fits(&[LLAMA, "--hardware", "H100", "--tp", "3"]);
    assert!(text(&heads.stderr).contains("8 KV heads cannot be split over 3 ranks"), "{}", text(&heads.stderr));
    let unknown = fits(&["no/such-model", "--hardware", "H100"]);
    assert_eq!(unknown.status.code(), Some(1));
}
