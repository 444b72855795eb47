//! Every format with at least six classes of defect: each is told once, with its place and what to do, and nothing of
//! the file is kept.

use plimsoll_core::diagnostic::{Diagnostic, Severity};
use plimsoll_logs::{LogReader, read_log};
use std::collections::BTreeSet;

/// A defect: its class, what of the sample is replaced by what, and the code of the problem.
type Defect = (&'static str, fn(&str) -> String, &'static str);

fn once(text: &str, old: &str, new: &str) -> String {
    assert!(text.contains(old), "{old} is not in the sample");
    text.replacen(old, new, 1)
}

fn everywhere(text: &str, old: &str, new: &str) -> String {
    assert!(text.contains(old), "{old} is not in the sample");
    text.replace(old, new)
}

fn cut(text: &str, percent: usize) -> String {
    text.get(..text.len() * percent / 100).expect("samples are ASCII").to_owned()
}

/// Each format with a sample and the defects of its own; those of any file are added by the test.
const FORMATS: [(&str, &str, &[Defect]); 15] = [
    (
        "vllm bench serve, detailed",
        include_str!("samples/vllm_detailed.json"),
        &[
            ("cut off", |text| cut(text, 70), "log-truncated"),
            ("wrong type", |text| once(text, "\"duration\": 11.572", "\"duration\": \"long\""), "log-invalid-value"),
            ("missing field", |text| once(text, "\"input_lens\"", "\"lens\""), "log-missing-field"),
            (
                "lists of different lengths",
                |text| once(text, "\"ttfts\": [0.05, ", "\"ttfts\": ["),
                "log-length-mismatch",
            ),
            ("negative number", |text| once(text, "\"input_lens\": [10", "\"input_lens\": [-10"), "log-invalid-value"),
            ("other unit", |text| everywhere(text, "0.05", "50.0"), "log-unit"),
            ("all failed", |text| everywhere(text, "\"\"", "\"reset\""), "log-failed-requests"),
        ],
    ),
    (
        "vllm bench serve, aggregate",
        include_str!("samples/vllm_aggregate.json"),
        &[
            ("cut off", |text| cut(text, 70), "log-truncated"),
            ("wrong type", |text| once(text, "\"mean_ttft_ms\": 50.0", "\"mean_ttft_ms\": []"), "log-invalid-value"),
            (
                "negative number",
                |text| once(text, "\"mean_ttft_ms\": 50.0", "\"mean_ttft_ms\": -5"),
                "log-invalid-value",
            ),
            ("all failed", |text| once(text, "\"completed\": 24", "\"completed\": 0"), "log-failed-requests"),
            ("syntax", |text| once(text, "\"date\":", "\"date\""), "log-syntax"),
        ],
    ),
    (
        "vllm bench serve, appended results",
        include_str!("samples/vllm_appended.jsonl"),
        &[
            ("cut off", |text| cut(text, 90), "log-truncated"),
            ("wrong type", |text| once(text, "\"mean_ttft_ms\": 50.0", "\"mean_ttft_ms\": []"), "log-invalid-value"),
            (
                "negative number",
                |text| once(text, "\"mean_ttft_ms\": 50.0", "\"mean_ttft_ms\": -5"),
                "log-invalid-value",
            ),
            ("one of them failed", |text| once(text, "\"completed\": 24", "\"completed\": 0"), "log-failed-requests"),
            ("syntax", |text| once(text, "\"date\":", "\"date\""), "log-syntax"),
        ],
    ),
    (
        "vllm bench serve, console",
        include_str!("samples/console.txt"),
        &[
            ("cut off", |text| cut(text, 90), "log-truncated"),
            ("wrong type", |text| once(text, "11.57", "long"), "log-invalid-value"),
            ("negative number", |text| once(text, "50.00", "-50.00"), "log-invalid-value"),
        ],
    ),
    (
        "patched clients' lists",
        include_str!("samples/patched.txt"),
        &[
            ("cut off", |text| cut(text, 90), "log-truncated"),
            ("wrong type", |text| once(text, "TTFTs: [0.05", "TTFTs: [\"a\""), "log-invalid-value"),
            ("lists of different lengths", |text| once(text, "TTFTs: [0.05, ", "TTFTs: ["), "log-length-mismatch"),
            ("impossible time", |text| everywhere(text, "0.072", "0.01"), "log-invalid-value"),
            ("negative number", |text| everywhere(text, "0.05", "-0.05"), "log-invalid-value"),
        ],
    ),
    (
        "GuideLLM, first generation",
        include_str!("samples/guidellm_v02.json"),
        &[
            ("cut off", |text| cut(text, 50), "log-truncated"),
            ("wrong type", |text| once(text, "\"successful\": [", "\"successful\": 5, \"x\": ["), "log-invalid-value"),
            ("missing field", |text| everywhere(text, "\"prompt_tokens\": 10, ", ""), "log-invalid-value"),
            (
                "negative number",
                |text| everywhere(text, "_token_ms\": 50.0", "_token_ms\": -50.0"),
                "log-invalid-value",
            ),
            (
                "fraction of a token",
                |text| everywhere(text, "\"output_tokens\": 3", "\"output_tokens\": 3.5"),
                "log-invalid-value",
            ),
            ("simulated server", |text| once(text, "acme/tiny-1b", "e2e-mock-model"), "log-simulated"),
        ],
    ),
    (
        "GuideLLM, second generation",
        include_str!("samples/guidellm_v2.json"),
        &[
            ("cut off", |text| cut(text, 50), "log-truncated"),
            ("wrong type", |text| once(text, "\"successful\": [", "\"successful\": 5, \"x\": ["), "log-invalid-value"),
            ("missing field", |text| everywhere(text, "\"input_metrics\"", "\"other_metrics\""), "log-invalid-value"),
            (
                "negative number",
                |text| everywhere(text, "_token_ms\": 50.0", "_token_ms\": -50.0"),
                "log-invalid-value",
            ),
            ("simulated server", |text| once(text, "acme/tiny-1b", "e2e-mock-model"), "log-simulated"),
            ("syntax", |text| once(text, "\"metadata\":", "\"metadata\""), "log-syntax"),
        ],
    ),
    (
        "BLIS trace",
        include_str!("samples/trace.csv"),
        &[
            ("cut off", |text| cut(text, 99), "log-field-count"),
            ("wrong type", |text| once(text, "1700000000050000", "soon"), "log-invalid-value"),
            ("missing field", |text| once(text, "send_time_us", "sent"), "log-missing-field"),
            ("fields of a line", |text| once(text, ",a,true,12,3", ",a,true,12"), "log-field-count"),
            ("duplicate request", |text| once(text, "\n1,a", "\n0,a"), "log-duplicate"),
            ("all failed", |text| everywhere(text, ",ok,", ",error,HTTP 500"), "log-failed-requests"),
            ("separator", |text| everywhere(text, ",", ";"), "log-header"),
        ],
    ),
    (
        "BLIS chunk times",
        include_str!("samples/trace.itl.csv"),
        &[
            ("wrong type", |text| once(text, "1,0,17", "1,x,17"), "log-invalid-value"),
            ("missing field", |text| once(text, "chunk_index", "chunk"), "log-not-recognized"),
            ("fields of a line", |text| once(text, "0,1,1700000000050020", "0,1"), "log-field-count"),
            ("separator", |text| everywhere(text, ",", ";"), "log-header"),
        ],
    ),
    (
        "residency requests",
        include_str!("samples/requests.csv"),
        &[
            ("cut off", |text| cut(text, 98), "log-field-count"),
            ("wrong type", |text| once(text, "a,0,50,11", "a,0,x,11"), "log-invalid-value"),
            ("missing field", |text| once(text, "start_time", "started"), "log-missing-field"),
            ("fields of a line", |text| once(text, "\na,1,", "\na,1,1,"), "log-field-count"),
            ("all failed", |text| everywhere(text, ",10,3,", ",10,0,"), "log-failed-requests"),
            ("impossible time", |text| everywhere(text, ",72,10", ",20,10"), "log-invalid-value"),
        ],
    ),
    (
        "BLIS metrics",
        include_str!("samples/blis_metrics.json"),
        &[
            ("cut off", |text| cut(text, 50), "log-truncated"),
            ("wrong type", |text| once(text, "\"e2e_mean_ms\": 72.0", "\"e2e_mean_ms\": []"), "log-invalid-value"),
            (
                "negative number",
                |text| everywhere(text, "\"num_prefill_tokens\": 10", "\"num_prefill_tokens\": -1"),
                "log-invalid-value",
            ),
            ("all failed", |text| everywhere(text, "\"e2e_ms\": 72.0", "\"e2e_ms\": 0"), "log-failed-requests"),
            (
                "list of another type",
                |text| once(text, "\"requests\": [", "\"requests\": 5, \"x\": ["),
                "log-invalid-value",
            ),
            ("syntax", |text| once(text, "\"requestID\":", "\"requestID\""), "log-syntax"),
        ],
    ),
    (
        "engine JSON lines",
        include_str!("samples/engine.jsonl"),
        &[
            ("cut off", |text| cut(text, 99), "log-truncated"),
            ("wrong type", |text| once(text, "\"input_toks\": 10", "\"input_toks\": \"ten\""), "log-invalid-value"),
            ("missing field", |text| once(text, "\"queued_ts\": 50.001, ", ""), "log-invalid-value"),
            (
                "impossible time",
                |text| everywhere(text, "\"last_token_ts\": 5", "\"last_token_ts\": 4"),
                "log-invalid-value",
            ),
            ("all failed", |text| everywhere(text, "\"output_toks\": 3", "\"output_toks\": 0"), "log-failed-requests"),
            ("syntax", |text| once(text, "\n{", "\n{{"), "log-syntax"),
        ],
    ),
    (
        "LMBench",
        include_str!("samples/lmbench.csv"),
        &[
            ("cut off", |text| cut(text, 98), "log-field-count"),
            ("wrong type", |text| once(text, "0.05,", "fast,"), "log-invalid-value"),
            ("missing field", |text| once(text, "ttft", "first"), "log-missing-field"),
            ("fraction of a token", |text| once(text, "10.0,3.0", "10.5,3.0"), "log-invalid-value"),
            ("other unit", |text| everywhere(text, ",0.05,", ",50000,"), "log-unit"),
            ("impossible time", |text| everywhere(text, ",0.022,", ",-0.022,"), "log-invalid-value"),
        ],
    ),
    (
        "inference-perf stage",
        include_str!("samples/inference_perf.json"),
        &[
            ("cut off", |text| cut(text, 50), "log-truncated"),
            ("wrong type", |text| once(text, "\"mean\": 0.072", "\"mean\": \"x\""), "log-invalid-value"),
            ("missing field", |text| once(text, "\"latency\": {", "\"latencies\": {"), "log-no-requests"),
            (
                "all failed",
                |text| once(text, "\"failures\": {\"count\": 0}", "\"failures\": {\"count\": 90}"),
                "log-failed-requests",
            ),
            ("impossible time", |text| everywhere(text, "0.072", "0.01"), "log-invalid-value"),
            ("syntax", |text| once(text, "\"load_summary\":", "\"load_summary\""), "log-syntax"),
        ],
    ),
    (
        "inference-perf per request",
        include_str!("samples/inference_perf_requests.json"),
        &[
            ("cut off", |text| cut(text, 50), "log-truncated"),
            ("wrong type", |text| once(text, "\"input_tokens\": 10", "\"input_tokens\": \"ten\""), "log-invalid-value"),
            (
                "missing field",
                |text| everywhere(text, "\"output_tokens\": 3", "\"output_tokens\": null"),
                "log-invalid-value",
            ),
            ("all failed", |text| everywhere(text, "\"error\": null", "\"error\": \"timeout\""), "log-failed-requests"),
            (
                "negative number",
                |text| once(text, "\"input_tokens\": 10", "\"input_tokens\": -10"),
                "log-invalid-value",
            ),
            ("syntax", |text| once(text, "\"start_time\":", "\"start_time\""), "log-syntax"),
        ],
    ),
];

/// The same for what has no requests of its own.
const SERVERS: [(&str, &str, &[Defect]); 3] = [
    (
        "BLIS trace header",
        include_str!("samples/trace.yaml"),
        &[
            ("simulated", |text| once(text, "mode: real", "mode: replayed"), "log-simulated"),
            ("other unit", |text| once(text, "time_unit: us", "time_unit: ms"), "log-unit"),
            ("unknown version", |text| once(text, "trace_version: 3", "trace_version: 9"), "log-invalid-value"),
            ("wrong type", |text| once(text, "trace_version: 3", "trace_version: [3]"), "log-invalid-value"),
        ],
    ),
    (
        "vLLM server log",
        include_str!("samples/server.log.txt"),
        &[
            ("wrong type", |text| once(text, "Running: 18", "Running: x"), "log-invalid-value"),
            ("out of range", |text| once(text, "usage: 6.9%", "usage: 690%"), "log-invalid-value"),
            ("settings unreadable", |text| once(text, "191,328", "many"), "log-invalid-value"),
            ("another program's log", |_| "INFO something\nINFO else\n".to_owned(), "log-not-recognized"),
            (
                "nothing of use",
                |_| "INFO: 1.2.3.4 - \"POST /v1/completions HTTP/1.1\" 200 OK\n".to_owned(),
                "log-no-requests",
            ),
        ],
    ),
    (
        "Prometheus text",
        include_str!("samples/metrics.txt"),
        &[
            ("wrong type", |text| once(text, "} 7.0", "} seven"), "log-invalid-value"),
            ("cut off", |text| once(text, "model_name=\"tiny\"} 7.0", "model_name=\"tiny"), "log-syntax"),
            ("negative number", |text| once(text, "} 1.2", "} -1.2"), "log-invalid-value"),
            ("contradiction", |text| once(text, "} 20.0", "} 99.0"), "log-inconsistent"),
            ("bound unreadable", |text| once(text, "le=\"0.06\"", "le=\"x\""), "log-invalid-value"),
            ("nothing served between scrapes", |text| format!("{text}{text}"), "log-no-requests"),
        ],
    ),
];

/// Reads bytes whole and in small pieces, which must give the same problems.
fn problems(bytes: &[u8], what: &str) -> Vec<Diagnostic> {
    let whole = read_log("log", bytes).map(|content| content.diagnostics);
    let mut reader = LogReader::new("log");
    bytes.chunks(11).for_each(|piece| reader.push(piece));
    assert_eq!(reader.finish().map(|content| content.diagnostics), whole, "{what}");
    whole.err().unwrap_or_default()
}

#[test]
fn every_format_has_six_classes_of_defect_that_are_told_once_with_place_and_hint() {
    let mut wrong = Vec::new();
    for (format, sample, defects) in FORMATS.iter().chain(&SERVERS) {
        assert!(read_log("log", sample.as_bytes()).is_ok(), "{format}");
        let mut classes = BTreeSet::new();
        let mut expect = |class: &'static str, bytes: &[u8], code: &str| {
            assert!(classes.insert(class), "{class} is there twice");
            let what = format!("{format}: {class}");
            let found = problems(bytes, &what);
            // One problem may have several places, e.g. each of the lists that do not agree.
            let errors: Vec<_> = found.iter().filter(|problem| problem.severity == Severity::Error).collect();
            let is_told = errors.iter().any(|problem| problem.code == code);
            let told: BTreeSet<_> = errors.iter().map(|problem| (&problem.path, &problem.code)).collect();
            let is_placed = errors.iter().all(|problem| problem.path.starts_with("log") && !problem.hint.is_empty());
            if !is_told || !is_placed || told.len() != errors.len() {
                wrong.push(format!("{what}: {found:?}"));
            }
        };
        for (class, defect, code) in *defects {
            expect(class, defect(sample).as_bytes(), code);
        }
        // Those of any file: the first two in the middle of what was already read.
        let (before, after) = sample.as_bytes().split_at(sample.len() * 2 / 3);
        expect("zero bytes", &[before, b"\0\0", after].concat(), "log-not-text");
        expect("not UTF-8", &[before, b"\xff\xfe\xfd", after].concat(), "log-not-text");
        let wide: Vec<u8> = sample.bytes().flat_map(|byte| [byte, 0]).collect();
        expect("UTF-16", &[b"\xff\xfe", wide.as_slice()].concat(), "log-not-text");
        assert!(classes.len() >= 6, "{format}: {classes:?}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
