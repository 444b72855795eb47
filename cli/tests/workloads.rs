//! Workloads on the command line: users, specifications, traces, conversions.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// A server given by its coefficients; every time below can be computed by hand.
const OWN: [&str; 5] =
    ["run", "--model=my/server", "--alpha-coeffs=100,1,10", "--beta-coeffs=1000,10,100", "--log=warn"];
/// Twenty prompt tokens, three answer tokens.
const SHORT: [&str; 4] =
    ["--prompt-tokens=20", "--prompt-tokens-stdev=0", "--output-tokens=3", "--output-tokens-stdev=0"];

fn plimsoll(parts: &[&[&str]], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_plimsoll"))
        .args(parts.iter().flat_map(|part| part.iter().copied()))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("written");
    child.wait_with_output().expect("it ends")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("UTF-8")
}

/// A figure of the first block of a run that must succeed.
fn figure(output: &Output, name: &str) -> f64 {
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let rest = text(&output.stdout).strip_prefix("=== Simulation Metrics ===\n").expect("the block has its title");
    let json: serde_json::Value =
        serde_json::from_str(rest.split("\n===").next().expect("a block")).expect("the block is JSON");
    json[name].as_f64().unwrap_or_else(|| panic!("{name} is missing"))
}

fn file(name: &str, content: &str) -> String {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(path.parent().expect("below the temporary folder")).expect("created");
    fs::write(&path, content).expect("written");
    path.display().to_string()
}

#[test]
fn a_user_asks_again_after_thinking() {
    // Queueing 120, a prefill step of 1200, two decode steps of 1100: the answer ends 3520 after its request, and its
    // client sees that 30 later, 10 for each token.
    // The second request arrives at 8550, the third at 17100; its client has the answer at 20650.
    let users = ["--concurrency=1", "--think-time-ms=5", "--num-requests=3"];
    let output = plimsoll(&[&OWN, &SHORT, &users], "");
    assert_eq!(figure(&output, "vllm_estimated_duration_s"), 0.02065);
    assert_eq!(figure(&output, "completed_requests"), 3.0);
    let both = plimsoll(&[&OWN, &["--concurrency=1", "--rate=3"]], "");
    assert_eq!(both.status.code(), Some(1));
    let idle = plimsoll(&[&OWN, &SHORT, &["--think-time-ms=5"]], "");
    assert!(text(&idle.stderr).contains("warning[flag-not-used] --think-time-ms"), "{}", text(&idle.stderr));
}

#[test]
fn a_curve_of_a_specification_in_which_everybody_waits_goes_over_its_users() {
    // Three users of one client and one of another, who think for a second; a response takes 3.49 ms and more.
    let client = |users: u32, tokens: u32| {
        format!(
            "- concurrency: {users}\n  think_time_us: 1000000\n{}",
            CLIENT.replace("value: 3", &format!("value: {tokens}"))
        )
    };
    let spec = file("users/spec.yaml", &format!("clients:\n{}{}", client(3, 3), client(1, 5)));
    let curve = ["curve", OWN[1], OWN[2], OWN[3], "--workload-spec", &spec, "--log=error"];
    let size =
        ["--range=2:8", "--rates=2", "--seeds=1", "--requests-per-run=600", "--slo-ttft-ms=0", "--slo-tpot-ms=0"];
    let output = plimsoll(&[&curve, &size, &["--json"]], "");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let json: serde_json::Value = serde_json::from_str(text(&output.stdout)).expect("JSON");
    let found = &json["users_curve"];
    let points = found["points"].as_array().expect("points");
    // The range and the specification's own number.
    assert_eq!(points.iter().filter_map(|point| point["users"].as_u64()).collect::<Vec<_>>(), [2, 4, 8]);
    for point in points {
        let users = point["users"].as_f64().expect("a number");
        // Of four users one has two steps of 1.1 ms more; nobody waits for others.
        let response = point["e2e"]["mean"]["mid"].as_f64().expect("a mean") / 1000.0;
        assert!((0.003..0.007).contains(&response), "{response}");
        let by_law = point["request_throughput"]["mid"].as_f64().expect("a rate") * (1.0 + response);
        assert!((by_law / users - 1.0).abs() < 0.03, "{users} users, {by_law} by the law");
    }
    assert_eq!(found["capacity"].as_u64(), Some(8));
    let shown = plimsoll(&[&curve, &size], "");
    assert!(text(&shown.stdout).contains("at least 8 users"), "{}", text(&shown.stdout));
    assert_eq!(plimsoll(&[&curve, &size, &["--require-rate=1"]], "").status.code(), Some(1));
}

#[test]
fn flags_give_single_slo_classes_limits_of_their_own() {
    // An answer takes 3.55 ms and a little more where two requests meet.
    let client = |class: &str| format!("- rate_fraction: 1\n  slo_class: {class}\n{CLIENT}");
    let spec =
        file("classes/spec.yaml", &format!("aggregate_rate: 20\nclients:\n{}{}", client("critical"), client("batch")));
    let spec = format!("--workload-spec={spec}");
    let limits = ["--slo-ttft-ms=0", "--slo-tpot-ms=0", "--slo-e2e-ms=1", "--slo-attainment=0.4", "--log=error"];
    let own = ["--slo-class-e2e-ms=batch=100", "--slo-class-ttft-ms", "batch=90"];
    let run = plimsoll(&[&OWN[..4], &[&spec, "--num-requests=200", "--json"], &limits, &own], "");
    assert_eq!(run.status.code(), Some(0), "{}", text(&run.stderr));
    let json: serde_json::Value = serde_json::from_str(text(&run.stdout)).expect("JSON");
    assert_eq!(json["scenario"]["slo_classes"]["batch"], serde_json::json!({ "ttft_ms": 90.0, "e2e_ms": 100.0 }));
    let size = ["--range=10:20", "--rates=2", "--seeds=2", "--requests-per-run=1200"];
    let curve = ["curve", OWN[1], OWN[2], OWN[3], &spec];
    let shown = plimsoll(&[&curve, &size, &limits, &own], "");
    let lines: Vec<Vec<&str>> = text(&shown.stdout).lines().map(|line| line.split_whitespace().collect()).collect();
    assert!(lines.contains(&vec!["batch", "critical"]), "{}", text(&shown.stdout));
    assert!(lines.contains(&vec!["10.0000", "100.0%*", "0.0%"]), "{}", text(&shown.stdout));
    assert!(text(&shown.stdout).contains("capacity under the SLO: below 10"), "half of all do, but no critical one");
    let kept = plimsoll(&[&curve, &size, &limits, &own, &["--slo-class-e2e-ms=critical=50"]], "");
    assert!(text(&kept.stdout).contains("capacity under the SLO: at least 20"), "{}", text(&kept.stdout));
    let wrong = plimsoll(&[&OWN[..4], &[&spec, "--num-requests=9", "--slo-class-tpot-ms=batch=-1"]], "");
    assert_eq!(wrong.status.code(), Some(1));
    assert!(text(&wrong.stderr).contains("slo_classes.batch.tpot_ms (--slo-class-tpot-ms)"), "{}", text(&wrong.stderr));
    let nameless = plimsoll(&[&OWN[..4], &[&spec, "--num-requests=9", "--slo-class-tpot-ms=30"]], "");
    assert!(text(&nameless.stderr).contains("like batch=9000"), "{}", text(&nameless.stderr));
}

#[test]
fn a_curve_over_users_obeys_the_law_of_interactive_response_times() {
    let curve = ["curve", OWN[1], OWN[2], OWN[3], "--concurrency=3", "--think-time-ms=20", "--range=1:40", "--rates=4"];
    let size = ["--seeds=1", "--requests-per-run=600", "--max-num-seqs=8", "--slo-ttft-ms=4", "--slo-tpot-ms=0"];
    let output = plimsoll(&[&curve, &SHORT, &size, &["--json", "--log=error", "--jobs=2"]], "");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let alone = plimsoll(&[&curve, &SHORT, &size, &["--json", "--log=error", "--jobs=1"]], "");
    assert_eq!(text(&alone.stdout), text(&output.stdout));
    let json: serde_json::Value = serde_json::from_str(text(&output.stdout)).expect("JSON");
    let found = &json["users_curve"];
    let points = found["points"].as_array().expect("points");
    let users: Vec<u64> = points.iter().filter_map(|point| point["users"].as_u64()).collect();
    // One to forty by equal factors, and the scenario's own number.
    assert!([1, 3, 12, 40].iter().all(|number| users.contains(number)), "{users:?}");
    for point in points {
        // Users = throughput × (response + thinking); what is reported of a response, 10 per token, is not waited for.
        let (number, rate) = (point["users"].as_f64(), point["request_throughput"]["mid"].as_f64());
        let response = point["e2e"]["mean"]["mid"].as_f64().expect("a mean") - 0.03;
        let by_law = rate.expect("a rate") * (response + 20.0) / 1000.0;
        let number = number.expect("a number");
        assert!((by_law / number - 1.0).abs() < 0.03, "{number} users, {by_law} by the law");
    }
    let (capacity, next) = (found["capacity"].as_u64().expect("found"), found["next_failing"].as_u64());
    assert!(capacity >= 8 && next.is_some_and(|next| next > capacity), "{capacity}, {next:?}");
    assert_eq!(plimsoll(&[&curve, &SHORT, &size, &["--require-users=4"]], "").status.code(), Some(0));
    let unmet = plimsoll(&[&curve, &SHORT, &size, &["--require-users=1000"]], "");
    assert_eq!(unmet.status.code(), Some(3));
    assert!(text(&unmet.stdout).contains(&format!("capacity under the SLO: {capacity} users (")));
}

const CLIENT: &str = "  arrival: { process: constant }\n  input_distribution: { type: constant, params: { value: 20 } }\n  output_distribution: { type: constant, params: { value: 3 } }\n";
const SPEC: &str = "aggregate_rate: 1\nclients:\n- rate_fraction: 1\n  arrival: { process: constant }\n  input_distribution: { type: constant, params: { value: 20 } }\n  output_distribution: { type: constant, params: { value: 3 } }\n";

#[test]
fn a_specification_needs_an_end_and_explicit_flags_win() {
    let spec = file("spec/plain.yaml", SPEC);
    let flag = format!("--workload-spec={spec}");
    let endless = plimsoll(&[&OWN, &[&flag]], "");
    assert_eq!(endless.status.code(), Some(1));
    assert!(text(&endless.stderr).contains("never ends"), "{}", text(&endless.stderr));
    let output = plimsoll(&[&OWN, &[&flag, "--num-requests=2", "--rate=7"]], "");
    assert_eq!(figure(&output, "vllm_estimated_duration_s"), 2.00355);
    assert!(text(&output.stderr).contains("warning[flag-not-used] --rate"), "{}", text(&output.stderr));
    // Arrivals at 1 and 2 seconds, none at the third, which is the horizon.
    let cut = plimsoll(&[&OWN, &[&flag, "--horizon=3000000"]], "");
    assert_eq!(figure(&cut, "completed_requests"), 2.0);
    let wrong = file("spec/wrong.yaml", &SPEC.replace("rate_fraction", "rate_fractoin"));
    let refused = plimsoll(&[&OWN, &[&format!("--workload-spec={wrong}"), "--num-requests=2"]], "");
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("did you mean rate_fraction?"), "{}", text(&refused.stderr));
}

#[test]
fn a_servegen_folder_beside_the_specification_is_found() {
    file("servegen/data/chunk-3-trace.csv", "0,0,0,,0,0\n600,2.5,0,Constant,0,0\n");
    let dataset = r#"{"600": {"input_tokens": "{20: 1.0}", "output_tokens": "{3: 1.0}"}}"#;
    file("servegen/data/chunk-3-dataset.json", dataset);
    let spec = file("servegen/spec.yaml", "aggregate_rate: 4\nnum_requests: 9\nservegen_data: { path: data }\n");
    let output = plimsoll(&[&OWN, &[&format!("--workload-spec={spec}")]], "");
    assert_eq!(figure(&output, "total_output_tokens"), 27.0);
    let spec = file("servegen/none.yaml", "aggregate_rate: 4\nnum_requests: 9\nservegen_data: { path: nowhere }\n");
    assert_eq!(plimsoll(&[&OWN, &[&format!("--workload-spec={spec}")]], "").status.code(), Some(1));
}

const AZURE: &str = "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03.5000000,20,3\n2023-11-16 18:17:04.5000000,20,3\n2023-11-16 18:17:07.5000000,20,3\n";

#[test]
fn a_public_trace_is_replayed_in_part_and_faster() {
    let trace = format!("--trace={}", file("azure.csv", AZURE));
    let end = |flags: &[&str]| figure(&plimsoll(&[&OWN, &[&trace], flags], ""), "vllm_estimated_duration_s");
    assert_eq!(end(&[]), 4.00355);
    assert_eq!(end(&["--rate-scale=2"]), 2.00355);
    assert_eq!(end(&["--trace-window=0.5:2"]), 0.50355);
    assert_eq!(plimsoll(&[&OWN, &[&trace, "--trace-window=5:6"]], "").status.code(), Some(1));
}

#[test]
fn traces_are_converted_through_the_standard_streams() {
    let lengths = plimsoll(&[&["convert", "-", "--to=lengths"]], AZURE);
    assert_eq!(lengths.status.code(), Some(0), "{}", text(&lengths.stderr));
    let header =
        "request_id,arrival_us,prefix_group,prefix_tokens,input_tokens,output_tokens,slo_class,tenant_id,deadline_us";
    let rows = "0,0,,0,20,3,,,0\n1,1000000,,0,20,3,,,0\n2,4000000,,0,20,3,,,0\n";
    assert_eq!(text(&lengths.stdout), format!("{header}\n{rows}"));
    let again = plimsoll(&[&["convert", "-", "-", "--to=burst-gpt", "--window=1:9"]], text(&lengths.stdout));
    let expected = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n0.000000,,20,3,23,\n3.000000,,20,3,23,\n";
    assert_eq!(text(&again.stdout), expected);
    let header = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("header.yaml");
    let flag = format!("--header={}", header.display());
    let v2 = plimsoll(&[&["convert", "-", "--to=trace-v2", &flag]], AZURE);
    assert!(text(&v2.stdout).contains("\n1,,,,,0,,0,false,20,3,20,0,0,0,0,,0,20,1000000,1000000,0,0,0,ok,,\n"));
    assert!(
        fs::read_to_string(header).expect("written").starts_with("trace_version: 2\ntime_unit: us\nmode: generated\n")
    );
    let broken = plimsoll(&[&["convert", "-", "--to=lengths"]], "TIMESTAMP,ContextTokens,GeneratedTokens\nnow,1,1\n");
    assert_eq!(broken.status.code(), Some(1));
    assert!(
        broken.stdout.is_empty() && text(&broken.stderr).contains("standard input:2:1"),
        "{}",
        text(&broken.stderr)
    );
}

#[test]
fn blocks_of_hashes_are_written_again_without_loss() {
    // Two prompts that are the same to the last token, one that shares their first block, and one of its own.
    let lines = "{\"timestamp\": 0, \"input_length\": 700, \"output_length\": 3, \"hash_ids\": [0, 1]}\n\
                 {\"timestamp\": 10, \"input_length\": 700, \"output_length\": 4, \"hash_ids\": [0, 1]}\n\
                 {\"timestamp\": 20, \"input_length\": 1024, \"output_length\": 5, \"hash_ids\": [0, 2]}\n\
                 {\"timestamp\": 30, \"input_length\": 512, \"output_length\": 6, \"hash_ids\": [3]}\n";
    let again = plimsoll(&[&["convert", "-", "--to=mooncake"]], lines);
    assert_eq!((text(&again.stdout), text(&again.stderr)), (lines, ""));
    let lengths = plimsoll(&[&["convert", "-", "--to=lengths"]], lines);
    let told = "only the first part of a nested prefix is kept (choose mooncake";
    assert!(text(&lengths.stderr).contains(told), "{}", text(&lengths.stderr));
    // A group's prefix ends within a block, which has no hash.
    let groups = "request_id,arrival_us,prefix_group,prefix_tokens,input_tokens,output_tokens\n0,0,g,600,500,1\n1,5,g,600,400,1\n";
    let coarse = plimsoll(&[&["convert", "-", "--to=mooncake"]], groups);
    assert!(text(&coarse.stderr).contains("rounded down to blocks of 512"), "{}", text(&coarse.stderr));
}

#[test]
fn a_refused_request_is_in_no_results_and_the_others_say_who_served_them() {
    // A bucket of two prompts that never fills: of four requests the last two are refused.
    let path = file("handled.json", "");
    let bucket = ["--admission-policy=token-bucket", "--token-bucket-capacity=40", "--token-bucket-refill-rate=1e-9"];
    let flag = format!("--results-path={path}");
    let output = plimsoll(&[&OWN, &SHORT, &bucket, &["--num-requests=4", "--num-instances=2", &flag]], "");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let served: Vec<_> = requests(&path)
        .as_array()
        .expect("a list")
        .iter()
        .map(|request| format!("{} {}", request["requestID"], request["handled_by"]))
        .collect();
    assert_eq!(served, ["\"request_0\" \"instance_0\"", "\"request_1\" \"instance_1\""]);
}

#[test]
fn tenants_of_one_class_and_latencies_of_nobody_are_told() {
    let spec = "version: \"2\"\nnum_requests: 3\nclients:\n\
                \x20 - { id: a, tenant_id: acme, concurrency: 1, input_distribution: { type: constant, params: { value: 20 } }, output_distribution: { type: constant, params: { value: 3 } } }\n\
                \x20 - { id: b, concurrency: 1, input_distribution: { type: constant, params: { value: 20 } }, output_distribution: { type: constant, params: { value: 3 } } }\n";
    let flag = format!("--workload-spec={}", file("spec/tenants.yaml", spec));
    let output = plimsoll(&[&OWN, &[&flag]], "");
    let told = text(&output.stdout);
    assert!(told.contains("=== Per-Tenant Metrics ===\ntenant (unnamed): "), "{told}");
    assert!(told.contains("\ntenant acme: ") && told.contains("\nJain Fairness Index: "), "{told}");
    assert!(!told.contains("Per-SLO"), "{told}");
    let nobody = plimsoll(&[&OWN, &SHORT, &["--admission-policy=reject-all"]], "");
    assert!(text(&nobody.stdout).contains("\nTTFT ms: none\nTPOT ms: none\n"), "{}", text(&nobody.stdout));
}

/// The requests of a results file.
fn requests(path: &str) -> serde_json::Value {
    let text = fs::read_to_string(path).expect("written");
    serde_json::from_str::<serde_json::Value>(&text).expect("JSON")["requests"].clone()
}

#[test]
fn a_recorded_run_is_replayed_to_the_microsecond() {
    let base = file("recorded/run", "");
    let output = |name: &str| format!("--results-path={base}-{name}.json");
    let load = ["--rate=400", "--num-requests=60", "--arrival=poisson", "--prefix-tokens=32", "--max-num-seqs=4"];
    let recorded = plimsoll(&[&OWN, &load, &[&output("run"), &format!("--trace-output={base}.csv")]], "");
    assert_eq!(recorded.status.code(), Some(0), "{}", text(&recorded.stderr));
    let header = fs::read_to_string(format!("{base}.yaml")).expect("written");
    assert!(header.contains("workload_seed: 42") && header.contains("max_num_seqs: 4"), "{header}");
    // The header brings model and batch size; nothing but the trace says what arrives.
    let data = format!("{base}.csv");
    let server = [OWN[2], OWN[3], "--horizon=9223372036854775807"];
    let replayed = plimsoll(&[&["replay", &data], &server, &[&output("replay")]], "");
    assert_eq!(replayed.status.code(), Some(0), "{}", text(&replayed.stderr));
    let (run, replay) = (requests(&format!("{base}-run.json")), requests(&format!("{base}-replay.json")));
    assert_eq!(run.as_array().map(Vec::len), Some(60));
    assert_eq!(run, replay);
    // Another batch size is another server, so the header was heard.
    let other = plimsoll(&[&["replay", &data, "--max-num-seqs=1"], &server, &[&output("other")]], "");
    assert_eq!(other.status.code(), Some(0), "{}", text(&other.stderr));
    assert_ne!(requests(&format!("{base}-other.json")), run);
    // A replay of its own recording is the same recording.
    let again = plimsoll(&[&["replay", &data], &server, &[&format!("--trace-output={base}2")]], "");
    assert_eq!(again.status.code(), Some(0), "{}", text(&again.stderr));
    assert_eq!(fs::read_to_string(format!("{base}2.csv")).ok(), fs::read_to_string(&data).ok());
    assert!(fs::read_to_string(format!("{base}2.yaml")).is_ok_and(|text| text.contains("mode: replayed")));
}

const V2: &str = "request_id,client_id,tenant_id,slo_class,session_id,round_index,prefix_group,prefix_length,streaming,input_tokens,output_tokens,text_tokens,image_tokens,audio_tokens,video_tokens,reason_ratio,model,deadline_us,server_input_tokens,arrival_time_us,send_time_us,first_chunk_time_us,last_chunk_time_us,num_chunks,status,error_message,finish_reason
";

#[test]
fn recorded_conversations_wait_for_their_answers_if_asked_to() {
    let turn =
        |id: u32, round: u32, at: u32| format!("{id},,,,s,{round},,0,false,20,3,0,0,0,0,0,,0,0,{at},0,0,0,0,ok,,\n");
    let trace = file("sessions/turns.csv", &format!("{V2}{}{}", turn(0, 0, 1000), turn(1, 1, 3000)));
    let replay = ["replay", &trace, OWN[1], OWN[2], OWN[3]];
    let closed = ["--session-mode=closed-loop"];
    let end = |flags: &[&str]| figure(&plimsoll(&[&replay, &closed, flags], ""), "vllm_estimated_duration_s");
    // An answer takes 3520: 120 of queueing, 1200, twice 1100; its client sees it 30 later. The second turn is recorded
    // 2000 after the first.
    assert_eq!(end(&[]), 0.0101);
    assert_eq!(end(&["--think-time-ms=10"]), 0.0181);
    // Without a horizon everybody is served; with one a run says whom it cut off, and marks what it says of the others.
    let all = plimsoll(&[&replay], "");
    assert_eq!(figure(&all, "completed_requests"), 2.0);
    assert!(!text(&all.stdout).contains("Cut Off") && !text(&all.stderr).contains("requests-cut-off"));
    // The first answer is there at 4520, the second is not by 5000.
    let cut = plimsoll(&[&replay, &["--horizon=5000"]], "");
    let told = text(&cut.stderr);
    assert!(
        told.contains("warning[requests-cut-off] horizon_us (--horizon): the end of the run cut off 1 request"),
        "{told}"
    );
    let shown = text(&cut.stdout);
    assert!(!shown.contains(" (met)"), "{shown}");
    assert!(shown.lines().any(|line| line.starts_with("Goodput") && line.ends_with(" (without those cut off)")));
    assert!(shown.contains("\nCut Off: 1 request was not done when the run ended"), "{shown}");
    for line in shown.lines().filter(|line| line.contains(" ms: mean=")) {
        assert!(line.ends_with(" (without those cut off)"), "{line}");
    }
    let json = plimsoll(&[&replay, &["--horizon=5000", "--json"]], "");
    assert!(text(&json.stdout).contains("\"cut_off_requests\": 1"), "{}", text(&json.stdout));
    let header = file("sessions/wrong.yaml", "trace_version: 2\nserver: { max_num_seq: 4 }\n");
    let refused = plimsoll(&[&replay, &[&format!("--header={header}")]], "");
    assert_eq!(refused.status.code(), Some(1));
    let told = text(&refused.stderr);
    assert!(told.contains("wrong.yaml:2:11") && told.contains("did you mean max_num_seqs?"), "{told}");
}

/// Queueing 100 + 160, a step of 1,000 and 10 for each of the tokens to compute, 10 for the first token.
#[test]
fn a_share_of_the_prompt_can_be_given_as_cached() {
    let prompts = ["--prompt-tokens=160", "--prompt-tokens-stdev=0", "--output-tokens=3", "--output-tokens-stdev=0"];
    for (ratio, computed) in [("0", 160.0), ("0.5", 80.0), ("1", 16.0)] {
        let output = plimsoll(&[&OWN, &prompts, &["--prefix-hit-ratio", ratio]], "");
        let millis = (260.0 + 1000.0 + 10.0 * computed + 10.0) / 1000.0;
        assert!((figure(&output, "ttft_mean_ms") - millis).abs() < 1e-9, "{ratio}: {}", text(&output.stdout));
        if ratio == "0.5" {
            let told = text(&output.stdout);
            assert!(told.contains("Prefix Cache Hit Rate (tokens, as vLLM): 0.5000"), "{told}");
        }
    }
    for (flag, words) in [
        ("--scheduling=reference", "no share of cached tokens can be given"),
        ("--no-enable-prefix-caching", "prefix caching is off"),
        ("--prefix-hit-ratio=1.2", "1.2"),
    ] {
        let given: &[&str] = if flag.starts_with("--prefix") { &[] } else { &["--prefix-hit-ratio=0.5"] };
        let refused = plimsoll(&[&OWN, given, &[flag]], "");
        assert_eq!(refused.status.code(), Some(1), "{flag}");
        let told = text(&refused.stderr);
        assert!(told.contains("workload.prefix_hit_ratio (--prefix-hit-ratio)") && told.contains(words), "{told}");
    }
}

/// A replayed trace and a specification say what arrives, and nothing of what a server has cached.
#[test]
fn the_share_holds_for_traces_and_specifications_too() {
    let rate = |output: &Output| {
        let told = text(&output.stdout);
        let (_, rest) =
            told.split_once("Prefix Cache Hit Rate (tokens, as vLLM): ").unwrap_or_else(|| panic!("{told}"));
        rest.lines().next().and_then(|rate| rate.parse::<f64>().ok()).expect("a rate")
    };
    let trace = file("share.csv", "request_id,arrival_us,input_tokens,output_tokens\n0,0,160,3\n1,500000,320,3\n");
    let path = format!("--workload-traces-filepath={trace}");
    let output = plimsoll(&[&OWN, &[&path, "--workload=traces", "--prefix-hit-ratio=0.5"]], "");
    assert_eq!(rate(&output), 0.5, "{}", text(&output.stderr));
    let spec = file(
        "share.yaml",
        "version: \"2\"\naggregate_rate: 1\nnum_requests: 4\nclients:\n  - id: a\n    rate_fraction: 1\n    \
         arrival: { process: constant }\n    input_distribution: { type: constant, params: { value: 160 } }\n    \
         output_distribution: { type: constant, params: { value: 3 } }\n",
    );
    let path = format!("--workload-spec={spec}");
    let output = plimsoll(&[&OWN, &[&path, "--prefix-hit-ratio=0.5"]], "");
    assert_eq!(rate(&output), 0.5, "{}", text(&output.stderr));
}
