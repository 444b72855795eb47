//! What kind of server is asked for on the command line.

use serde_json::Value;
use std::process::{Command, Output};

fn plimsoll(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_plimsoll")).args(arguments).output().expect("it starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_server_is_described_by_its_own_flags() {
    let engine = |flags: &[&str]| {
        let output = plimsoll(&[&["run", "default", "--num-requests=3", "--json"], flags].concat());
        let found: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        (found["scenario"]["engine"].clone(), text(&output.stderr))
    };
    let (found, told) = engine(&["--vllm-version=v0.24.0", "--no-async-scheduling", "--scheduling-policy=priority"]);
    assert_eq!((&found["async_scheduling"], &found["scheduler"]), (&Value::Bool(false), &"priority".into()));
    assert!(told.contains("max_num_batched_tokens 8192 (default of vLLM 0.24 on H100)"), "{told}");
    let flags = ["--watermark=0.02", "--max-num-active-seqs=7", "--scheduler-reserve-full-isl"];
    let (found, _) = engine(&[&flags[..], &["--long-prefill-token-threshold-adaptive", "--async-scheduling"]].concat());
    assert_eq!((&found["watermark"], &found["max_num_active_seqs"]), (&0.02.into(), &7.into()));
    for field in ["scheduler_reserve_full_isl", "long_prefill_token_threshold_adaptive", "async_scheduling"] {
        assert_eq!(found[field], Value::Bool(true), "{field}");
    }
    // The last of two that contradict each other counts, as with the server.
    assert_eq!(engine(&["--async-scheduling", "--no-async-scheduling"]).0["async_scheduling"], Value::Bool(false));
    let refused = plimsoll(&["run", "default", "--vllm-version=0.20", "--watermark=0.1", "--scheduler=sjf"]);
    let told = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1));
    assert!(told.contains("engine.watermark (--watermark): watermark came with vLLM 0.24"), "{told}");
    assert!(told.contains("engine.scheduler (--scheduler): vLLM has no scheduler sjf"), "{told}");
}

/// A run of a few requests with these arguments: what it resolves to, and what it tells.
fn told(arguments: &[&str]) -> (Value, String) {
    let output = plimsoll(&[&["run", "--num-requests=3", "--json"], arguments].concat());
    let found = serde_json::from_slice(&output.stdout).unwrap_or_default();
    (found, text(&output.stderr))
}

#[test]
fn every_default_of_the_server_is_told_and_is_in_the_json() {
    let (found, errors) = told(&["default", "--vllm-version=0.8.4"]);
    for expected in [
        "note: max_num_seqs 1024 (default of vLLM 0.8.5 on H100)",
        "note: max_num_batched_tokens 8192 (default of vLLM 0.8.5 on H100)",
        "note: gpu_memory_utilization 0.9 (default of vLLM 0.8.5)",
        "note: async_scheduling false (default of vLLM 0.8.5)",
        "note: scheduler_reserve_full_isl false (default of vLLM 0.8.5)",
        "vLLM 0.8.4 is not among the releases that are known, 0.8.5 stands for it",
        "the rules are those verified on vLLM 0.32",
    ] {
        assert!(errors.contains(expected), "{expected} is missing in\n{errors}");
    }
    let resolution = &found["resolution"];
    assert_eq!(resolution["server_version"], "0.8.5");
    assert_eq!(resolution["rules"]["scheduling"], "vllm-v1");
    assert_eq!(resolution["rules"]["batching"], "sync");
    assert_eq!(resolution["rules"]["scheduler_reserve_full_isl"], false);
    assert_eq!(resolution["max_num_batched_tokens"], 8192);
    let defaults = resolution["defaults"].as_array().expect("a list");
    assert_eq!(defaults.len(), 5, "{defaults:?}");
    assert_eq!(defaults[2]["path"], "engine.gpu_memory_utilization");
    let (_, quiet) = told(&["default", "--vllm-version=0.8.4", "--log=error"]);
    assert_eq!(quiet, "");
}

#[test]
fn flags_win_over_a_line_and_follow_the_card() {
    let of = |line: &str, flags: &[&str]| told(&[&["--serve", line], flags].concat()).0["resolution"].clone();
    let throughput = "vllm serve meta-llama/Llama-3.1-8B-Instruct --performance-mode throughput";
    for (flags, seqs, tokens) in [
        (&[][..], 2048, 16_384),
        (&["--hardware=H100"], 2048, 16_384),
        (&["--hardware=B200-SXM"], 2048, 32_768),
        (&["--hardware=H100", "--performance-mode=balanced"], 1024, 8192),
    ] {
        let found = of(throughput, flags);
        assert_eq!((&found["max_num_seqs"], &found["max_num_batched_tokens"]), (&seqs.into(), &tokens.into()));
    }
    let bytes = "vllm serve meta-llama/Llama-3.1-8B-Instruct --kv-cache-memory-bytes 20G --max-model-len 8k";
    assert_eq!(of(bytes, &["--block-size=32"])["num_gpu_blocks"], 5120);
    assert_eq!(of(bytes, &["--kv-cache-memory-bytes=10G"])["num_gpu_blocks"], 5120);
    assert_eq!(of(bytes, &["--num-gpu-blocks-override=600"])["num_gpu_blocks"], 600);
    assert_eq!(of("vllm serve meta-llama/Llama-3.1-8B-Instruct --quantization fp8", &[])["accelerator"], "H100");
}

#[test]
fn fields_are_told_with_the_flags_of_the_server_and_older_names_work() {
    let refused = |flags: &[&str]| told(&[&["default"], flags].concat()).1;
    let errors =
        refused(&["--max-num-seqs=0", "--max-num-batched-tokens=0", "--num-gpu-blocks-override=0", "--block-size=0"]);
    let older = refused(&[
        "--max-num-running-reqs=0",
        "--max-num-scheduled-tokens=0",
        "--total-kv-blocks=0",
        "--block-size-in-tokens=0",
    ]);
    assert_eq!(errors, older);
    for expected in [
        "engine.max_num_seqs (--max-num-seqs)",
        "engine.max_num_batched_tokens (--max-num-batched-tokens)",
        "engine.num_gpu_blocks (--num-gpu-blocks-override)",
        "engine.block_size (--block-size)",
    ] {
        assert!(errors.contains(expected), "{expected} is missing in\n{errors}");
    }
}
