//! The program as a user calls it: what it prints, and how it ends.

use serde_json::Value;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// A server given by its coefficients; every time below can be computed by hand.
const OWN: [&str; 5] = ["--model", "my/server", "--alpha-coeffs=100,1,10", "--beta-coeffs=1000,10,100", "--log=error"];
/// Twenty prompt tokens, three answer tokens.
const SHORT: [&str; 4] =
    ["--prompt-tokens=20", "--prompt-tokens-stdev=0", "--output-tokens=3", "--output-tokens-stdev=0"];

fn plimsoll(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_plimsoll")).args(arguments).output().expect("the program starts")
}

fn run(arguments: &[&[&str]]) -> Output {
    let all: Vec<&str> = ["run"].into_iter().chain(arguments.iter().flat_map(|part| part.iter().copied())).collect();
    plimsoll(&all)
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("UTF-8")
}

/// The standard output of a command that must succeed.
fn printed(output: &Output) -> &str {
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    text(&output.stdout)
}

/// The summary in the reference's form.
fn summary(output: &Output) -> Value {
    let rest = printed(output).strip_prefix("=== Simulation Metrics ===\n").expect("the block has its title");
    let json = rest.split("\n===").next().expect("there is a first block");
    serde_json::from_str(json).expect("the block is JSON")
}

fn file(name: &str, content: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(path.parent().expect("below the temporary folder")).expect("created");
    fs::write(&path, content).expect("written");
    path
}

#[test]
fn a_single_request_takes_what_it_takes_by_hand() {
    // Queueing 100 + 20, a prefill step of 1000 + 20·10, two decode steps of 1000 + 100; 10 more per token reported.
    let found = summary(&run(&[&OWN, &SHORT, &["--num-requests=1"]]));
    assert_eq!(found["ttft_mean_ms"], 1.33);
    assert_eq!(found["itl_mean_ms"], 1.11);
    assert_eq!(found["e2e_mean_ms"], 3.55);
    // The first request arrives after one interval of a second, and its client has the answer when it is reported.
    assert_eq!(found["vllm_estimated_duration_s"], 1.00355);
    assert_eq!(found["total_output_tokens"], 3);
    let names: Vec<&str> = found.as_object().expect("an object").keys().map(String::as_str).collect();
    assert!(names.contains(&"scheduling_delay_p99_ms") && !names.contains(&"requests"), "{names:?}");
}

#[test]
fn the_summary_has_two_spaces_of_indent_and_the_order_of_the_reference() {
    let output = run(&[&OWN, &SHORT, &["--num-requests=1"]]);
    let lines: Vec<&str> = printed(&output).lines().take(4).collect();
    assert_eq!(
        lines,
        ["=== Simulation Metrics ===", "{", "  \"instance_id\": \"cluster\",", "  \"completed_requests\": 1,"]
    );
}

#[test]
fn every_name_of_a_flag_means_the_same() {
    let base: [&[&str]; 2] = [&OWN, &["--rate=50", "--output-tokens-max=600"]];
    let outputs = |flags: &[&str]| {
        let output = run(&[base[0], base[1], flags]);
        printed(&output).to_owned()
    };
    let users = outputs(&[
        "--max-num-running-reqs=4",
        "--max-num-scheduled-tokens=300",
        "--block-size-in-tokens=32",
        "--max-prompts=50",
        "--total-kv-blocks=400",
    ]);
    let servers = outputs(&[
        "--max-num-seqs=4",
        "--max-num-batched-tokens=300",
        "--block-size=32",
        "--num-requests=50",
        "--num-gpu-blocks=400",
    ]);
    assert_eq!(users, servers);
    assert_ne!(users, outputs(&["--num-requests=50"]));
}

#[test]
fn stepping_gives_the_same_bytes_as_skipping() {
    let flags: [&[&str]; 2] =
        [&["default", "--num-requests=300", "--rate=25", "--total-kv-blocks=2000"], &["--log=error"]];
    let fast = run(&flags);
    let step = run(&[flags[0], flags[1], &["--step"]]);
    assert_eq!(printed(&fast), printed(&step));
    assert!(printed(&fast).contains("=== KV Cache Metrics ===\nPreemption Rate: "), "{}", printed(&fast));
}

#[test]
fn all_problems_are_told_at_once_with_their_flags() {
    let output = plimsoll(&[
        "run",
        "--model",
        "meta-llama/llama-3.1-8b-instrukt",
        "--hardware",
        "H10",
        "--rate",
        "0",
        "--max-num-seqs",
        "0",
    ]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    let told = text(&output.stderr);
    for expected in [
        "engine.max_num_seqs (--max-num-seqs): max_num_seqs is 0",
        "workload.request_rate (--rate): request_rate is 0",
        "did you mean meta-llama/Llama-3.1-8B-Instruct",
        "did you mean H100? valid are ",
    ] {
        assert!(told.contains(expected), "{expected} is missing in\n{told}");
    }
}

#[test]
fn exit_codes_tell_invalid_input_wrong_usage_and_missed_goals_apart() {
    let code = |arguments: &[&str]| plimsoll(arguments).status.code();
    assert_eq!(code(&["run"]), Some(1));
    assert_eq!(code(&["run", "no-such-file.yaml"]), Some(1));
    assert_eq!(code(&["run", "--no-such-flag"]), Some(2));
    assert_eq!(code(&["fly"]), Some(2));
    assert_eq!(code(&["run", "default", "--horizon=0"]), Some(1));
    assert_eq!(code(&["run", "default", "--timeout=0"]), Some(1));
    assert_eq!(code(&["run", "default", "--timeout=-1", "--num-requests=10"]), Some(0));
    assert_eq!(code(&["run", "default", "--workload=gossip"]), Some(1));
    assert_eq!(code(&["run", "default", "--require-slo", "--num-requests=200"]), Some(0));
    assert_eq!(code(&["run", "default", "--require-slo", "--num-requests=200", "--slo-ttft-ms=1"]), Some(3));
    let curve = ["curve", "default", "--rates=6", "--seeds=1", "--requests-per-run=600", "--log=error"];
    assert_eq!(code(&[&curve[..], &["--require-rate=2"]].concat()), Some(0));
    assert_eq!(code(&[&curve[..], &["--require-rate=1000"]].concat()), Some(3));
}

#[test]
fn a_curve_is_the_same_for_any_number_of_jobs() {
    let curve = |jobs: &str, form: &[&str]| {
        let common =
            ["curve", "default", "--rates=6", "--seeds=2", "--requests-per-run=600", "--log=error", "--jobs", jobs];
        let output = plimsoll(&[&common[..], form].concat());
        printed(&output).to_owned()
    };
    let alone = curve("1", &["--json"]);
    assert_eq!(alone, curve("7", &["--json"]));
    let found: Value = serde_json::from_str(&alone).expect("JSON");
    assert_eq!(found["exporter"], "plimsoll");
    assert_eq!(found["resolution"]["memory"]["source"], "server");
    assert!(found["curve"]["is_complete"].as_bool().expect("a flag"));
    assert!(found["curve"]["capacity"]["request_rate"].as_f64().expect("found") > 5.0);
    let cluster = ["--json", "--num-instances=3", "--routing-policy=weighted", "--admission-latency=50"];
    assert_eq!(curve("1", &cluster), curve("5", &cluster));
    let shown = curve("2", &[]);
    assert!(shown.contains("capacity under the SLO: ") && shown.contains("overloaded"), "{shown}");
    // Latency in overload is not shown as if it were a steady state.
    let overloaded = shown.lines().find(|line| line.ends_with("overloaded")).expect("the axis reaches into overload");
    assert!(overloaded.contains('–'), "{overloaded}");
}

#[test]
fn a_scenario_file_and_the_same_flags_give_the_same_run() {
    let path = file(
        "scenario.yaml",
        "version: 2\ndeployment: { model: my/server, accelerator: null, tensor_parallel_size: null }\nengine: { gpu_memory_utilization: null, max_num_seqs: 3 }\nlatency: { model: auto, alpha: [100, 1, 10], beta: [1000, 10, 100] }\nworkload:\n  num_requests: 40\n  request_rate: 20\n  arrival: { process: constant }\n",
    );
    let from_file = plimsoll(&["run", path.to_str().expect("a path"), "--log=error"]);
    let from_flags = run(&[&OWN, &["--num-requests=40", "--rate=20", "--max-num-seqs=3"]]);
    assert_eq!(printed(&from_file), printed(&from_flags));
    let overridden = plimsoll(&["run", path.to_str().expect("a path"), "--max-num-seqs=1", "--log=error"]);
    assert_ne!(printed(&overridden), printed(&from_flags));
}

#[test]
fn a_malformed_scenario_is_shown_with_line_and_caret() {
    let path = file("malformed.yaml", "version: 1\nengine:\n  max_num_seq: 8\n");
    let output = plimsoll(&["run", path.to_str().expect("a path")]);
    assert_eq!(output.status.code(), Some(1));
    let told = text(&output.stderr);
    assert!(
        told.contains("malformed.yaml:3:3: there is no field engine.max_num_seq (did you mean max_num_seqs?"),
        "{told}"
    );
    assert!(told.contains("3 |   max_num_seq: 8\n  |   ^"), "{told}");
}

#[test]
fn machines_get_scenario_resolution_and_report_in_one_object() {
    let output = plimsoll(&["run", "--model", "meta-llama/llama-3.1-8b-instruct", "--json"]);
    let found: Value = serde_json::from_str(printed(&output)).expect("JSON");
    assert_eq!(found["scenario_version"], 2);
    assert_eq!(found["resolution"]["basis"], "trained");
    assert_eq!(found["resolution"]["tensor_parallel_size"], 2);
    // The row's 132,139 would be 129 GiB of each card.
    let (memory, blocks) = (&found["resolution"]["memory"], &found["resolution"]["num_gpu_blocks"]);
    assert!(*blocks == 64_501 && memory["planned_blocks"] == 64_501 && memory["row_blocks"] == 132_139, "{memory}");
    assert_eq!(found["report"]["summary"]["completed_requests"], 100);
    assert!(found["report"]["tpot"]["p50"].as_f64().expect("a number") > 0.0);
    assert!(text(&output.stderr).contains("note: tensor_parallel_size 2 (default of the model)"));
    assert!(text(&output.stderr).contains("note: max_num_seqs 1024 (default of vLLM 0.33 on H100)"));
}

#[test]
fn the_results_file_has_one_entry_per_request() {
    let path = file("results.json", "");
    let output = run(&[&OWN, &SHORT, &["--num-requests=7", "--results-path", path.to_str().expect("a path")]]);
    printed(&output);
    let found: Value = serde_json::from_str(&fs::read_to_string(&path).expect("written")).expect("JSON");
    let requests = found["requests"].as_array().expect("a list");
    assert_eq!(requests.len(), 7);
    assert_eq!(requests[6]["requestID"], "request_6");
    assert_eq!(requests[6]["arrived_at"], 7.0);
    assert_eq!(requests[6]["e2e_ms"], 3.55);
    assert_eq!(requests[6]["handled_by"], "instance_0");
    assert_eq!(run(&[&OWN, &["--results-path", "/no/such/folder/x.json"]]).status.code(), Some(1));
}

#[test]
fn the_debug_log_tells_every_event_in_order_of_time() {
    let output = run(&[&OWN[..4], &SHORT, &["--num-requests=1", "--log=debug"]]);
    let told: Vec<&str> = text(&output.stderr).lines().filter(|line| line.starts_with(' ')).map(str::trim).collect();
    assert_eq!(
        told,
        [
            "1000000 arrive       request_0",
            "1000120 enqueue      request_0",
            "1000120 admit        request_0 cached_tokens=0",
            // A step stands where it is planned: the second while the first runs, and so on.
            "1000120 step         steps=1 duration_us=1200 running=1 waiting=0",
            "1000120 step         steps=1 duration_us=1100 running=1 waiting=0",
            "1001320 first-token  request_0",
            "1001320 step         steps=1 duration_us=1100 running=1 waiting=0",
            "1003520 complete     request_0",
        ]
    );
    printed(&output);
}

#[test]
fn own_config_data_sheet_and_coefficients_are_read_from_files() {
    let config = file(
        "model/config.json",
        r#"{"num_hidden_layers": 32, "hidden_size": 4096, "num_attention_heads": 32, "num_key_value_heads": 8,
            "intermediate_size": 14336, "vocab_size": 128256, "torch_dtype": "bfloat16", "max_position_embeddings": 131072}"#,
    );
    let hardware = file(
        "hardware.json",
        r#"{"H100": {"TFlopsPeak": 989.5, "TFlopsFP8": 1979, "BwPeakTBs": 3.35, "mfuPrefill": 0.45, "mfuDecode": 0.3, "MemoryGiB": 80}}"#,
    );
    let folder = config.parent().expect("a folder").to_str().expect("a path");
    let own = plimsoll(&[
        "run",
        "--model",
        "mine",
        "--model-config-folder",
        folder,
        "--hardware",
        "H100",
        "--tp",
        "1",
        "--hardware-config",
        hardware.to_str().expect("a path"),
        "--latency-model",
        "roofline",
        "--log=error",
    ]);
    let known = plimsoll(&[
        "run",
        "--model",
        "llama-3.1-8b-instruct",
        "--hardware",
        "H100",
        "--tp",
        "1",
        "--latency-model",
        "roofline",
        "--log=error",
    ]);
    assert_eq!(summary(&own)["e2e_mean_ms"], summary(&known)["e2e_mean_ms"]);

    let defaults = file(
        "defaults.yaml",
        "models:\n- { id: my/server, GPU: H100, tensor_parallelism: 1, vllm_version: v, total_kv_blocks: 5000, alpha_coeffs: [100, 1, 10], beta_coeffs: [1000, 10, 100] }\ndefaults:\n  my/server: { GPU: H100, tensor_parallelism: 1, vllm_version: v }\n",
    );
    let output = run(&[
        &["--model", "my/server", "--defaults-filepath", defaults.to_str().expect("a path"), "--log=error"],
        &SHORT,
        &["--num-requests=1"],
    ]);
    assert_eq!(summary(&output)["e2e_mean_ms"], 3.55);
}

#[test]
fn a_transfer_without_host_memory_is_remarked_upon() {
    let told = |more: &[&str]| {
        let output = run(&[&["default", "--num-requests=3", "--scheduling=reference"], more]);
        assert_eq!(output.status.code(), Some(0));
        text(&output.stderr).lines().filter(|line| line.contains("setting-not-used")).map(str::to_owned).collect()
    };
    let flags = ["--kv-transfer-bandwidth=100", "--kv-transfer-base-latency=0"];
    let [latency, bandwidth]: [String; 2] = <Vec<String>>::try_into(told(&flags)).expect("two remarks");
    assert!(
        latency
            .starts_with("warning[setting-not-used] engine.kv_transfer_base_latency_us (--kv-transfer-base-latency): ")
    );
    assert!(
        bandwidth.starts_with("warning[setting-not-used] engine.kv_transfer_bandwidth (--kv-transfer-bandwidth): ")
    );
    assert_eq!(told(&[flags[0], flags[1], "--kv-cpu-blocks=10"]), Vec::<String>::new());
    let scenario = file("slow-host.yaml", "engine: {kv_transfer_bandwidth: 0.5}\n");
    let output = run(&[&[scenario.to_str().expect("a path in UTF-8"), "--num-requests=3"]]);
    assert!(
        text(&output.stderr).contains("slow-host.yaml:1:10: engine.kv_transfer_bandwidth"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn presets_set_the_lengths_and_say_which_flags_they_ignore() {
    let output = run(&[&OWN[..4], &["--workload=chatbot", "--prompt-tokens=5000", "--num-requests=200"]]);
    let found = summary(&output);
    let mean = found["total_input_tokens"].as_f64().expect("a number") / 200.0;
    assert!((230.0..285.0).contains(&mean), "256 ± 100 clamped to 2..800 gives {mean}");
    assert!(text(&output.stderr).contains("warning[flag-not-used] --prompt-tokens"), "{}", text(&output.stderr));
}

#[test]
fn the_catalogue_lists_what_is_used_and_what_is_hidden() {
    let listed = plimsoll(&["catalog", "--shadowed"]);
    let lines: Vec<&str> = printed(&listed).lines().collect();
    assert_eq!(lines.iter().filter(|line| line.starts_with("line ")).count(), 24);
    assert_eq!(lines.iter().filter(|line| line.ends_with("which differs")).count(), 5);
    let rows = plimsoll(&["catalog", "coefficients"]);
    assert_eq!(printed(&rows).lines().filter(|line| line.starts_with("line ")).count(), 85);
    let all: Value = serde_json::from_str(printed(&plimsoll(&["catalog", "--json"]))).expect("JSON");
    assert_eq!(all["coefficients"].as_array().expect("a list").len(), 109);
    assert_eq!(all["model_defaults"].as_array().expect("a list").len(), 28);
    for section in ["models", "accelerators", "defaults", "presets", "scenarios"] {
        assert!(!printed(&plimsoll(&["catalog", section])).is_empty());
    }
}

#[test]
fn every_ready_scenario_runs() {
    let listed = plimsoll(&["catalog", "scenarios"]);
    let mut count = 0;
    for id in printed(&listed).lines().filter_map(|line| line.split_whitespace().next()) {
        printed(&plimsoll(&["run", id, "--num-requests=50", "--log=error"]));
        count += 1;
    }
    assert!(count >= 4);
}

#[test]
fn a_token_trace_is_replayed_at_its_own_pace() {
    let trace = file(
        "tokens.csv",
        "arrival_time,request_id,model,prefill_tokens,decode_tokens\n0.5,a,m,\"[1, 2, 3, 4, 5]\",\"[6, 7]\"\n2.0,b,m,\"[1, 2]\",\"[9]\"\n",
    );
    let path = trace.to_str().expect("a path");
    let flags = ["--workload=traces", "--workload-traces-filepath", path];
    // Queueing 105 and 102, prefill steps of 1050 and 1020, one decode step of 1100; 10 more per token reported.
    let found = summary(&run(&[&OWN, &flags]));
    assert_eq!((&found["completed_requests"], &found["total_input_tokens"]), (&Value::from(2), &Value::from(7)));
    assert_eq!(found["vllm_estimated_duration_s"], 2.001132);
    assert_eq!(found["itl_mean_ms"], 1.11);
    let cut = run(&[&OWN[..4], &flags, &["--horizon=1000000"]]);
    assert_eq!(summary(&cut)["injected_requests"], 1);
    assert!(text(&cut.stderr).contains("1 requests arrive after the horizon"), "{}", text(&cut.stderr));

    let json = run(&[&OWN, &flags, &["--json"]]);
    let named: Value = serde_json::from_str(printed(&json)).expect("JSON");
    let scenario = file("replay.json", &named["scenario"].to_string());
    let replay =
        |extra: &[&str]| plimsoll(&[&["run", scenario.to_str().expect("a path"), "--log=error"], extra].concat());
    assert_eq!(summary(&replay(&["--trace", path])), found);
    assert_eq!(replay(&[]).status.code(), Some(1), "the scenario names the trace but does not hold it");
    let other = file("other.csv", "arrival_time,request_id,model,prefill_tokens,decode_tokens\n1,a,m,[1],[2]\n");
    assert_eq!(replay(&["--trace", other.to_str().expect("a path")]).status.code(), Some(1));

    let broken = file("broken.csv", "arrival_time,request_id,model,prefill_tokens,decode_tokens\nsoon,a,m,[1],[2]\n");
    let output = run(&[&OWN, &["--workload=traces", "--workload-traces-filepath", broken.to_str().expect("a path")]]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("broken.csv:2:1"), "{}", text(&output.stderr));
    assert_eq!(run(&[&OWN, &["--workload=traces"]]).status.code(), Some(1));
}

#[test]
fn overload_is_not_shown_as_a_steady_state() {
    let output = plimsoll(&["run", "default", "--rate=200", "--num-requests=3000"]);
    let shown = printed(&output);
    let own = shown.split("=== Load, SLO and Bottlenecks ===\n").nth(1).expect("the block is there");
    assert!(own.starts_with("Verdict: overloaded (the backlog grows"), "{own}");
    for expected in ["TPOT ms: mean=", "SLO Attainment: ", "(not met)", "Goodput: ", "KV Cache Usage: ", "  idle  "] {
        assert!(own.contains(expected), "{expected} is missing in\n{own}");
    }
    let told = text(&output.stderr);
    assert!(told.contains("warning[not-steady] workload.request_rate (--rate)"), "{told}");
    let calm = plimsoll(&["run", "default", "--rate=2", "--num-requests=3000"]);
    assert!(printed(&calm).contains("\nVerdict: stable\n"), "{}", printed(&calm));
    assert!(!text(&calm.stderr).contains("not-steady"));
}

#[test]
fn a_closed_standard_error_does_not_end_the_program() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_plimsoll"))
        .args(["run", "default", "--num-requests=20"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    drop(child.stderr.take());
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
}

#[test]
fn the_results_file_is_made_before_the_run() {
    let output = run(&[&OWN[..4], &["--results-path", "/no/such/folder/x.json"]]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty(), "the run was made all the same");
}

#[test]
fn flags_without_effect_are_named() {
    let trace = file("short.csv", "arrival_time,request_id,model,prefill_tokens,decode_tokens\n0.5,a,m,[1],[2]\n");
    let path = trace.to_str().expect("a path");
    let told = |arguments: &[&str]| {
        let output = plimsoll(arguments);
        printed(&output);
        text(&output.stderr).to_owned()
    };
    let replay = told(
        &[
            &["run"],
            &OWN[..4],
            &["--trace", path, "--rate=3", "--num-requests=5", "--prompt-tokens=9", "--arrival=poisson"],
        ]
        .concat(),
    );
    for flag in ["--rate", "--num-requests", "--prompt-tokens", "--arrival"] {
        assert!(replay.contains(&format!("warning[flag-not-used] {flag}: ")), "{flag} is missing in\n{replay}");
    }
    let curve = told(&[
        "curve",
        "default",
        "--rates=4",
        "--seeds=1",
        "--requests-per-run=300",
        "--rate=3",
        "--num-requests=5",
        "--horizon=100",
    ]);
    for flag in ["--rate", "--num-requests", "--horizon"] {
        assert!(curve.contains(&format!("warning[flag-not-used] {flag}: ")), "{flag} is missing in\n{curve}");
    }
    assert!(
        !told(&["run", "default", "--rate=3", "--num-requests=5", "--horizon=100000000"]).contains("flag-not-used")
    );
}

#[test]
fn features_of_later_versions_are_refused_by_name_and_their_neutral_values_accepted() {
    let neutral = run(&[
        &OWN,
        &SHORT,
        &["--num-instances=1", "--admission-policy=always-admit", "--routing-policy", "round-robin"],
        &[
            "--trace-level=none",
            "--counterfactual-k",
            "0",
            "--summarize-trace=false",
            "--workload-spec=",
            "--concurrency=0",
            "--trace-output=",
            "--policy-config",
            "",
            "--results-path=",
            "--workload-traces-filepath=",
            "--scheduler",
            "",
            "--routing-policy=",
        ],
        &["--routing-latency=0", "--token-bucket-capacity=10000.0", "--fitness-weights", ""],
    ]);
    assert_eq!(printed(&neutral), printed(&run(&[&OWN, &SHORT])));
    assert!(neutral.stderr.is_empty(), "{}", text(&neutral.stderr));
    let idle = plimsoll(&["run", "default", "--num-requests=10", "--summarize-trace"]);
    assert!(text(&idle.stderr).contains("warning[flag-not-used] --summarize-trace"), "{}", text(&idle.stderr));
}

#[test]
fn values_that_a_flag_does_not_take_are_invalid_input() {
    for (arguments, expected) in [
        (
            &["--scheduler=fcf"][..],
            "error[invalid-value] --scheduler: the value is fcf (did you mean fcfs? valid are fcfs, priority, priority-fcfs, sjf",
        ),
        (&["--num-requests", "-1"], "error[invalid-value] --num-requests: the value is -1 (give a whole number"),
        (&["--rate=fast"], "error[invalid-value] --rate: the value is fast (give a number)"),
        (&["--slo-ttft-ms", "-1"], "slo.ttft_ms (--slo-ttft-ms): ttft_ms is -1"),
        (&["--gpu-memory-utilization", "-0.5"], "gpu_memory_utilization is -0.5"),
    ] {
        let output = plimsoll(&[&["run", "default"], arguments].concat());
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(told.contains(expected), "{expected} is missing in\n{told}");
    }
    assert_eq!(plimsoll(&["run", "default", "--rate"]).status.code(), Some(2));
    assert_eq!(plimsoll(&["catalog", "models", "--shadowed"]).status.code(), Some(2));
}

#[test]
fn what_is_out_of_bounds_has_no_follow_up_problems() {
    for (arguments, field) in [
        (&["default", "--gpu-memory-utilization=1.5"][..], "engine.gpu_memory_utilization"),
        (&["default", "--total-kv-blocks=0"], "engine.num_gpu_blocks"),
        (&["default", "--total-kv-blocks=0", "--max-model-len=4096"], "engine.num_gpu_blocks"),
        (&["default", "--block-size=0"], "engine.block_size"),
        (&["default", "--prompt-tokens-max=0", "--total-kv-blocks=10"], "workload.input_tokens"),
    ] {
        let output = plimsoll(&[&["run"], arguments].concat());
        assert_eq!(output.status.code(), Some(1));
        let told = text(&output.stderr);
        assert!(told.lines().all(|line| line.starts_with(&format!("error[invalid-value] {field}"))), "{told}");
        assert!(!told.is_empty());
    }
}

#[test]
fn long_requests_are_described_as_what_they_are() {
    let warned = |arguments: &[&str]| {
        let output = plimsoll(&[&["run", "default", "--num-requests=10", "--max-model-len=600"], arguments].concat());
        text(&output.stderr).to_owned()
    };
    let spread =
        warned(&["--prompt-tokens=400", "--prompt-tokens-stdev=100", "--output-tokens=10", "--output-tokens-stdev=0"]);
    assert!(spread.contains("(about one prompt and one answer in a thousand are longer still)"), "{spread}");
    let constant =
        warned(&["--prompt-tokens=900", "--prompt-tokens-stdev=0", "--output-tokens=9", "--output-tokens-stdev=0"]);
    assert!(constant.contains("requests of up to 909 tokens arrive, but max_model_len allows 600"), "{constant}");
}

#[test]
fn an_empty_scenario_file_is_used_with_a_warning() {
    let path = file("empty.yaml", "# nothing here\n");
    let output = plimsoll(&["run", path.to_str().expect("a path"), "--num-requests=20"]);
    printed(&output);
    assert!(text(&output.stderr).contains("warning[scenario-empty] "), "{}", text(&output.stderr));
}

#[test]
fn a_fit_brings_its_server_and_flags_may_change_it() {
    // A step takes 4000 µs and 100 µs per request, whatever is in it.
    let fit = file(
        "fit.yaml",
        "fit_version: 1\nmodel_version: 1\nlatency:\n  model: calibrated\n  alpha: [100, 0, 0]\n  beta: [4000, 100, 0, 0, 0, 0, 0]\ndeployment: { model: my/server, max_num_seqs: 1, tensor_parallel_size: 2 }\ncalibrated_on: { logs: a.json, num_requests: 9, model: my/server, tensor_parallel_size: 2, input_tokens: [30, 40] }\n",
    );
    let fit = format!("--fit={}", fit.display());
    let output = run(&[&[&fit, "--rate=1", "--num-requests=1"], &SHORT]);
    // One request of three tokens: three steps of 4100 µs after 100 µs.
    assert_eq!(summary(&output)["e2e_mean_ms"], 12.4);
    let told = text(&output.stderr);
    assert!(told.contains("the prediction is calibrated on a.json (9 requests)"), "{told}");
    assert!(told.contains("outside-calibration"), "{told}");
    let output = run(&[&[&fit, "--rate=1", "--num-requests=1", "--tp=1"], &SHORT]);
    assert!(text(&output.stderr).contains("fit-of-another-deployment"));
    // A curve over users is judged by the numbers of users that its answers are about.
    let logged = |most: u32| {
        let on = format!(
            "deployment: {{ model: my/server, max_num_seqs: 1 }}\ncalibrated_on: {{ logs: a.json, model: my/server, num_requests: 9, concurrency: [1, {most}] }}\n"
        );
        let head = "fit_version: 1\nmodel_version: 1\nlatency:\n  model: calibrated\n  alpha: [100, 0, 0]\n  beta: [4000, 100, 0, 0, 0, 0, 0]\n";
        let fit = file(&format!("users-{most}.yaml"), &format!("{head}{on}"));
        let fit = format!("--fit={}", fit.display());
        let curve =
            ["curve", &fit, "--concurrency=3", "--range=1:16", "--rates=3", "--seeds=1", "--requests-per-run=2000"];
        let output = plimsoll(&[&curve[..], &SHORT].concat());
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        text(&output.stderr).contains("a concurrency of ")
    };
    assert_eq!([logged(1), logged(100)], [true, false]);
    let bad = file("bad-fit.yaml", "fit_version: 1\n");
    let output = run(&[&[&format!("--fit={}", bad.display())]]);
    assert!(text(&output.stderr).contains("latency is missing"), "{}", text(&output.stderr));
}
