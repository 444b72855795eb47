//! Problems with flags and files, as the program tells them.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

fn run(arguments: &[&[&str]]) -> Output {
    let arguments = arguments.iter().flat_map(|part| part.iter().copied());
    Command::new(env!("CARGO_BIN_EXE_plimsoll")).arg("run").args(arguments).output().expect("the program starts")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("UTF-8")
}

fn file(name: &str, content: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&path, content).expect("written");
    path
}

const SPEC: &str = "aggregate_rate: 1\nclients:\n- rate_fraction: 1\n  arrival: { process: constant }\n  input_distribution: { type: constant, params: { value: 20 } }\n  output_distribution: { type: constant, params: { value: 3 } }\n";

#[test]
fn every_value_that_a_flag_does_not_take_is_told() {
    let flags = ["--num-replicas=2.5", "--admission-latency", "-3", "--rate", "0", "--scheduler=fcf", "--seed=x"];
    let scorers = ["--routing-scorers", "queue-dept:1,load,load-balance:much"];
    let output = run(&[&["default"], &flags, &scorers]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    let told = text(&output.stderr);
    for expected in [
        "--num-instances: the value is 2.5",
        "--admission-latency: the value is -3",
        "--scheduler: the value is fcf (did you mean fcfs?",
        "--seed: the value is x",
        "scorer queue-dept is not known; did you mean queue-depth?",
        "\"load\" is not a name and a weight; the weight \"much\" is not a number",
    ] {
        assert_eq!(told.matches(expected).count(), 1, "{expected} in\n{told}");
    }
    assert_eq!(told.lines().count(), 5, "{told}");
}

#[test]
fn a_number_out_of_bounds_is_shown_where_the_file_states_it() {
    let scenario = file("bounds.yaml", "engine: { max_num_seqs: 0 }\nworkload:\n  request_rate: 0\n");
    let scenario = scenario.to_str().expect("a path");
    let output = run(&[&[scenario]]);
    assert_eq!(output.status.code(), Some(1));
    let told = text(&output.stderr);
    for expected in [
        "bounds.yaml:1:11: engine.max_num_seqs is 0 (give a whole number from 1 to 1000000)\n1 | engine",
        "bounds.yaml:3:3: workload.request_rate is 0",
    ] {
        assert!(told.contains(expected), "{expected} is missing in\n{told}");
    }
    // What a flag says instead is not the file's.
    let output = run(&[&[scenario, "--rate=2e6", "--max-num-seqs=4"]]);
    let told = text(&output.stderr);
    assert_eq!(told.lines().count(), 1, "{told}");
    assert!(told.contains("workload.request_rate (--rate): request_rate is 2000000"), "{told}");
}

#[test]
fn a_policy_file_is_told_all_that_is_wrong_with_it_in_its_own_words() {
    let policies = |text: &str| format!("--policy-config={}", file("policies.yaml", text).display());
    let scorers = "routing: { policy: weighted, scorers: [{ name: queue, weight: 1 }, { name: vllm-dp, weight: -1 }] }";
    let wrong = policies(&format!("admission: {{ token_bucket_capacity: -5 }}\n{scorers}\nscheduler: fifo\n"));
    let told = run(&[&["default", &wrong]]);
    let told = text(&told.stderr);
    for expected in [
        "policies.yaml:1:14: admission.token_bucket_capacity is -5",
        "policies.yaml:2:42: routing.scorers[0].name is queue (did you mean queue-depth?",
        "policies.yaml:2:85: routing.scorers[1].weight is -1",
        "policies.yaml:3:1: scheduler is fifo",
    ] {
        assert!(told.contains(expected), "{expected} is missing in\n{told}");
    }
    let twice = policies(
        "routing:\n  policy: weighted\n  load_weight: 1\n  scorers:\n    - { name: vllm-dp, weight: 1 }\n    - { name: vllm-dp, weight: 0 }\n",
    );
    let told = run(&[&["default", &twice]]);
    let told = text(&told.stderr);
    for expected in [
        "policies.yaml:3:3: routing.load_weight: scorers and weights are both given",
        "policies.yaml:6:9: routing.scorers[1].name is given twice",
        "policies.yaml:6:24: routing.scorers[1].weight is 0",
    ] {
        assert!(told.contains(expected), "{expected} is missing in\n{told}");
    }
}

#[test]
fn a_specification_is_told_all_that_is_wrong_with_it_in_its_own_words() {
    let wrong = SPEC.replace("rate_fraction", "rate_fractoin: 2\n  network: { rtt_ms: -1 }\n  rate_fraction");
    let flag = format!("--workload-spec={}", file("all-wrong.yaml", &wrong).display());
    let output = run(&[&["default", &flag, "--num-requests=2"]]);
    assert_eq!(output.status.code(), Some(1));
    let told = text(&output.stderr);
    assert!(told.contains("did you mean rate_fraction?"), "{told}");
    assert!(told.contains(": clients[0].network.rtt_ms is -1 (give a number from 0 to 1000000000)"), "{told}");
    // What is only remarked upon is shown there too.
    let ragged = SPEC.replace("process: constant", "process: gamma, cv: 11");
    assert_ne!(ragged, SPEC);
    let flag = format!("--workload-spec={}", file("ragged.yaml", &ragged).display());
    let output = run(&[&["default", &flag, "--num-requests=2"]]);
    let told = text(&output.stderr);
    assert!(
        told.contains("ragged.yaml:") && told.contains(": clients[0].arrival.cv: gamma arrivals with cv 11"),
        "{told}"
    );
}

#[test]
fn a_class_that_nobody_has_and_types_in_traces_are_told_in_words() {
    let output = run(&[&["default", "--num-requests=5", "--slo-class-e2e-ms", "crit=5"]]);
    let told = text(&output.stderr);
    assert!(told.contains("slo_classes.crit: no request is of the class crit (valid are default)"), "{told}");
    let tokens = "arrival_time,request_id,model,prefill_tokens,decode_tokens\n1,0,m,\"[1, 2.5]\",\"[3]\"\n";
    let lines = "{\"timestamp\": \"now\", \"input_length\": 1, \"output_length\": 1}\n";
    for (trace, expected) in [
        (tokens, "not a JSON array of whole numbers (invalid type: floating point `2.5`, expected a whole number)"),
        (lines, "invalid type: string \"now\", expected a number (a line is"),
    ] {
        let trace = format!("--trace={}", file("types.csv", trace).display());
        let output = run(&[&["default", &trace]]);
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output.stderr).contains(expected), "{}", text(&output.stderr));
    }
}

#[test]
fn a_servers_own_line_is_the_server_and_flags_win_over_it() {
    let line = "vllm serve Qwen/Qwen3-14B -tp 2 --max-num-seqs 48 --enforce-eager --port 8000 --api-key topsecret";
    let told = |more: &[&str]| {
        let output = run(&[&["--serve", line, "--hardware", "H100", "--rate=5", "--num-requests=20", "--json"], more]);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        for stream in [&output.stdout, &output.stderr] {
            assert!(!text(stream).contains("topsecret"), "{}", text(stream));
        }
        (text(&output.stdout).to_owned(), text(&output.stderr).to_owned())
    };
    let (json, errors) = told(&[]);
    for expected in ["\"model\": \"Qwen/Qwen3-14B\"", "\"tensor_parallel_size\": 2,", "\"max_num_seqs\": 48,"] {
        assert!(json.contains(expected), "{expected} is missing in\n{json}");
    }
    for expected in [
        "--serve says deployment.model Qwen/Qwen3-14B, deployment.tensor_parallel_size 2 (--tensor-parallel-size)",
        "not modelled, so predictions are without it: --enforce-eager",
        "not known here, changes nothing: --port, --api-key",
    ] {
        assert!(errors.contains(expected), "{expected} is missing in\n{errors}");
    }
    let (json, _) = told(&["--max-num-seqs", "7", "--tp", "1"]);
    assert!(json.contains("\"max_num_seqs\": 7,") && json.contains("\"tensor_parallel_size\": 1,"), "{json}");
    // A line from a file, and its problems, none of which shows the line.
    let path = file(
        "serve-line.txt",
        "vllm serve Qwen/Qwen3-14B \\\n  --max-num-seqs none \\\n  --max-num-batched-token 8k --hf-token topsecret\n",
    );
    let output = run(&[&["--serve", &format!("@{}", path.display()), "--hardware", "H100"]]);
    assert_eq!(output.status.code(), Some(1));
    let told = text(&output.stderr);
    for expected in [
        "error[invalid-value] --serve:2:3: --max-num-seqs is \"none\" (give a whole number of 1 or more)",
        "error[unknown-flag] --serve:3:3: there is no flag \"--max-num-batched-token\" (did you mean --max-num-batched-tokens?)",
    ] {
        assert!(told.contains(expected), "{expected} is missing in\n{told}");
    }
    assert!(!told.contains("topsecret"), "{told}");
}
