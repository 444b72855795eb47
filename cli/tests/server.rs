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
