//! Every format by a small sample of our own, whole and in pieces, and malformed in many ways.

use plimsoll_core::diagnostic::Diagnostic;
use plimsoll_core::measurement::{ArrivalSource, LogFormat, Measurement, RunFigures};
use plimsoll_core::time::SimTime;
use plimsoll_logs::{Content, LogReader, attach, read_log};

const VLLM: &str = include_str!("samples/vllm_detailed.json");
const AGGREGATE: &str = include_str!("samples/vllm_aggregate.json");
const APPENDED: &str = include_str!("samples/vllm_appended.jsonl");
const CONSOLE: &str = include_str!("samples/console.txt");
const PATCHED: &str = include_str!("samples/patched.txt");
const GUIDELLM: &str = include_str!("samples/guidellm_v02.json");
const GUIDELLM_2: &str = include_str!("samples/guidellm_v2.json");
const TRACE: &str = include_str!("samples/trace.csv");
const TRACE_GAPS: &str = include_str!("samples/trace.itl.csv");
const TRACE_HEADER: &str = include_str!("samples/trace.yaml");
const REQUESTS: &str = include_str!("samples/requests.csv");
const BLIS: &str = include_str!("samples/blis_metrics.json");
const ENGINE: &str = include_str!("samples/engine.jsonl");
const LMBENCH: &str = include_str!("samples/lmbench.csv");
const PERF: &str = include_str!("samples/inference_perf.json");
const PERF_REQUESTS: &str = include_str!("samples/inference_perf_requests.json");
const SERVER: &str = include_str!("samples/server.log.txt");
const METRICS: &str = include_str!("samples/metrics.txt");

/// Reads a text whole and in pieces of seven bytes, which must give the same.
fn read(text: &str) -> Result<Content, Vec<Diagnostic>> {
    let whole = read_log("log", text.as_bytes());
    let mut reader = LogReader::new("log");
    text.as_bytes().chunks(7).for_each(|piece| reader.push(piece));
    assert_eq!(reader.finish(), whole);
    whole
}

fn only_run(text: &str) -> Measurement {
    let mut content = read(text).unwrap_or_else(|problems| panic!("{problems:?}"));
    assert_eq!(content.runs.len(), 1);
    content.runs.remove(0).measurement
}

/// Every sample was made with 24 requests, half a second apart, of TTFT 50 ms and two gaps of 10 and 12 ms.
#[test]
fn every_format_gives_the_requests_it_was_made_of() {
    for (text, format) in [
        (VLLM, LogFormat::VllmBench),
        (GUIDELLM, LogFormat::Guidellm),
        (GUIDELLM_2, LogFormat::Guidellm),
        (TRACE, LogFormat::BlisTrace),
        (REQUESTS, LogFormat::BlisRequests),
        (BLIS, LogFormat::BlisMetrics),
        (ENGINE, LogFormat::EngineJsonl),
        (LMBENCH, LogFormat::Lmbench),
        (PERF_REQUESTS, LogFormat::InferencePerfRequests),
    ] {
        let run = only_run(text);
        assert_eq!(run.format, format);
        assert_eq!(run.arrivals, ArrivalSource::Recorded, "{format:?}");
        assert_eq!(run.requests.len(), 24, "{format:?}");
        for (index, request) in run.requests.iter().enumerate() {
            assert_eq!((request.input_tokens, request.output_tokens), (10, 3), "{format:?}");
            let near = |time: Option<SimTime>, expected: i64| time.is_some_and(|time| (time.0 - expected).abs() <= 1);
            assert!(near(Some(request.send), index as i64 * 500_000), "{format:?} {request:?}");
            assert!(near(request.ttft, 50_000) && near(request.e2e, 72_000), "{format:?} {request:?}");
        }
    }
}

#[test]
fn formats_without_requests_give_the_figures_they_state() {
    for text in [AGGREGATE, CONSOLE, PERF, METRICS] {
        let run = only_run(text);
        assert!(!run.has_requests());
        let figures = RunFigures::of_measurement(&run);
        let ttft = figures.ttft_mean.expect("stated");
        assert!((ttft - 50.0).abs() < 1e-9, "{:?} {ttft}", run.format);
        let tpot = figures.tpot_mean.expect("stated or recomputed");
        assert!((tpot - 11.0).abs() < 1e-9, "{:?} {tpot}", run.format);
    }
    // Half of the requests lie between 40 and 60 ms: 12 of 20 in that bucket.
    let median = only_run(METRICS).totals.ttft_p50_ms.expect("the bucket has an upper bound");
    assert!((median - 52.0).abs() < 1e-9, "{median}");
    let appended = read(APPENDED).unwrap();
    let rates: Vec<Option<f64>> = appended.runs.iter().map(|run| run.measurement.load.request_rate).collect();
    assert_eq!(rates, [Some(2.0), Some(f64::INFINITY)]);
    assert_eq!(appended.runs[1].measurement.name, "log#2");
    let patched = only_run(PATCHED);
    assert_eq!((patched.requests.len(), patched.arrivals), (24, ArrivalSource::Assumed));
}

#[test]
fn gaps_count_where_a_chunk_is_a_token() {
    let run = only_run(VLLM);
    assert_eq!(run.gaps_of(&run.requests[23]), [10_000, 12_000]);
    // Events closer than half a millisecond are one token.
    let run = only_run(PERF_REQUESTS);
    assert_eq!(run.gaps_of(&run.requests[0]), [10_000, 12_000]);
    let gaps = read(TRACE_GAPS).unwrap().gaps;
    let mut trace = read(TRACE).unwrap();
    let header = read(TRACE_HEADER).unwrap().deployment.unwrap();
    assert_eq!((header.tensor_parallel_size, header.max_num_seqs), (Some(2), Some(64)));
    attach(&mut trace, Some(&header), &gaps);
    let run = &trace.runs[0].measurement;
    // From the first token's chunk at 50.02 ms, role and usage chunks dropped.
    assert_eq!(run.gaps_of(&run.requests[5]), [9_980, 12_000]);
    assert_eq!(run.deployment.model.as_deref(), Some("acme/tiny-1b"));
}

#[test]
fn a_server_log_tells_settings_and_load() {
    let content = read(SERVER).unwrap();
    let deployment = content.deployment.unwrap();
    assert_eq!(deployment.model.as_deref(), Some("acme/tiny-1b"));
    assert_eq!(deployment.num_gpu_blocks, Some(191_328 / 16));
    assert_eq!((deployment.max_num_seqs, deployment.max_num_batched_tokens), (Some(64), Some(2048)));
    assert_eq!((deployment.tensor_parallel_size, deployment.enable_prefix_caching), (Some(2), Some(true)));
    let totals = &content.runs[0].measurement.totals;
    assert_eq!((totals.running_max, totals.waiting_max), (Some(18.0), Some(3.0)));
}

#[test]
fn private_texts_are_nowhere_in_what_is_read() {
    for text in [VLLM, GUIDELLM] {
        assert!(text.contains("private"));
        assert!(!format!("{:?}", read(text).unwrap()).contains("private"));
    }
}

/// Replaces the first `old`, which must be there.
fn with(text: &str, old: &str, new: &str) -> String {
    assert!(text.contains(old), "{old} is not in the sample");
    text.replacen(old, new, 1)
}

/// The file is rejected with `code`, and some message holds `part`.
fn rejects(text: &str, code: &str, part: &str) {
    let problems = read(text).expect_err(&format!("expected {code}: {part}"));
    let is_told = problems.iter().any(|problem| problem.code.starts_with(code) && problem.to_string().contains(part));
    assert!(is_told, "expected {code} with {part:?}, got {problems:?}");
    assert!(problems.iter().all(|problem| !problem.hint.is_empty() && !problem.path.is_empty()), "{problems:?}");
}

/// The file is read with a warning of `code`.
fn warns(text: &str, code: &str) {
    let content = read(text).unwrap_or_else(|problems| panic!("{problems:?}"));
    assert!(content.diagnostics.iter().any(|problem| problem.code == code), "{:?}", content.diagnostics);
}

fn cut(text: &str, share: f64) -> &str {
    &text[..(text.len() as f64 * share) as usize]
}

#[test]
fn malformed_vllm_results() {
    rejects(cut(VLLM, 0.7), "log-truncated", "inside");
    rejects(&with(VLLM, "\"ttfts\": [0.05, ", "\"ttfts\": ["), "log-length-mismatch", "ttfts has 23 entries");
    rejects(&with(VLLM, "\"input_lens\": [10", "\"input_lens\": [-10"), "log-invalid-value", "input_tokens is -10");
    rejects(&with(VLLM, "\"output_lens\": [3", "\"output_lens\": [\"3\""), "log-invalid-value", "output_lens[0]");
    rejects(&VLLM.replace("0.05", "50.0"), "log-unit", "divide by 1000");
    rejects(&with(VLLM, "\"duration\": 11.572", "\"duration\": \"long\""), "log-invalid-value", "duration is \"long\"");
    rejects(&VLLM.replace("\"\"", "\"Connection reset\""), "log-failed-requests", "24 of 24 requests failed");
    rejects(&with(VLLM, "\"itls\": [[", "\"itls\": 5, \"x\": [["), "log-invalid-value", "itls is 5");
    rejects(&with(VLLM, "\"date\":", "\"date\""), "log-syntax", "unexpected");
    rejects(&with(VLLM, "\"input_lens\"", "\"input_lengths\""), "log-missing-field", "input_lens");
    warns(&with(VLLM, "[0.01, 0.012]", "[0.01]"), "log-gaps-not-tokens");
    warns(&with(VLLM, "\"mean_ttft_ms\": 50.0", "\"mean_ttft_ms\": 55.0"), "log-inconsistent");
    warns(&with(VLLM, "\"mean_ttft_ms\": 50.0", "\"mean_ttft_ms\": NaN"), "log-not-finite");
    warns(&with(VLLM, "start_times", "other_times"), "log-arrivals-unknown");
    rejects(&with(AGGREGATE, "\"completed\": 24", "\"completed\": 0"), "log-failed-requests", "24 of 24");
}

#[test]
fn malformed_console_blocks() {
    rejects(cut(CONSOLE, 0.9), "log-truncated", "does not end");
    rejects(&with(CONSOLE, "11.57", "long"), "log-invalid-value", "Benchmark duration (s) is \"long\"");
    let without: String = CONSOLE
        .lines()
        .filter(|line| !line.contains("TTFT") && !line.contains("TPOT"))
        .map(|line| format!("{line}\n"))
        .collect();
    let without = without.replace("Output token throughput", "Throughput");
    rejects(&without, "log-no-requests", "no latency");
    rejects(cut(PATCHED, 0.9), "log-truncated", "cut off");
    rejects(&with(PATCHED, "TTFTs: [0.05, ", "TTFTs: ["), "log-length-mismatch", "TTFTs has 23");
    rejects(&with(PATCHED, "TTFTs: [0.05", "TTFTs: [\"a\""), "log-invalid-value", "entry 0");
    rejects(
        &with(PATCHED, "e2els: [0.072, 0.072, 0.072", "e2els: [0.01, 0.01, 0.01"),
        "log-invalid-value",
        "before the first",
    );
}

#[test]
fn malformed_guidellm_reports() {
    rejects(cut(GUIDELLM, 0.5), "log-truncated", "benchmarks[0]");
    rejects("{\"benchmarks\": []}", "log-no-requests", "no benchmark");
    rejects(&with(GUIDELLM, "acme/tiny-1b", "e2e-mock-model"), "log-simulated", "mock");
    rejects(
        &with(GUIDELLM, "\"successful\": [", "\"successful\": 5, \"x\": ["),
        "log-invalid-value",
        "successful is 5",
    );
    rejects(
        &GUIDELLM.replace("\"time_to_first_token_ms\": 50.0", "\"time_to_first_token_ms\": -50.0"),
        "log-invalid-value",
        "below zero",
    );
    rejects(
        &GUIDELLM.replace("\"output_tokens\": 3", "\"output_tokens\": 3.5"),
        "log-invalid-value",
        "output_tokens is 3.5",
    );
    rejects(&GUIDELLM.replace("\"prompt_tokens\": 10, ", ""), "log-invalid-value", "number of tokens is missing");
    rejects(&with(GUIDELLM_2, "\"successful\": 24", "\"successful\": 50"), "log-no-requests", "neither requests");
    warns(&with(GUIDELLM, "\"start_time\": 1700000000.0, ", ""), "log-arrivals-unknown");
}

/// A report as YAML: the same document, in the other form that the tool writes.
fn as_yaml(json: &str) -> String {
    let value: serde_json::Value = serde_json::from_str(json).expect("JSON");
    serde_yaml::to_string(&value).expect("YAML")
}

#[test]
fn guidellm_reports_are_read_as_yaml_too() {
    for json in [GUIDELLM, GUIDELLM_2] {
        let text = as_yaml(json);
        assert!(text.contains("benchmarks:\n") && !text.contains('{'), "{text}");
        assert_eq!(only_run(&text).requests, only_run(json).requests);
        assert!(!format!("{:?}", read(&text).unwrap()).contains("private"));
    }
    let yaml = as_yaml(GUIDELLM);
    rejects(&with(&yaml, "benchmarks:\n", "benchmarks:\n\t- x\n"), "log-syntax", "");
    rejects(&with(&yaml, "acme/tiny-1b", "e2e-mock-model"), "log-simulated", "mock");
    rejects(&yaml.replace("output_tokens: 3\n", "output_tokens: 3.5\n"), "log-invalid-value", "output_tokens is 3.5");
    rejects(
        &yaml.replace("time_to_first_token_ms: 50.0", "time_to_first_token_ms: -50.0"),
        "log-invalid-value",
        "below",
    );
    rejects("benchmarks:\n", "log-", "");
    rejects("benchmarks:\n  - &a [*a]\n", "log-", "");
}

#[test]
fn malformed_traces() {
    rejects(&with(TRACE, ",a,true,12,3", ",a,true,12"), "log-field-count", "13 fields, the header has 14");
    rejects(&with(TRACE, "send_time_us", "sent"), "log-missing-field", "send_time_us");
    rejects(&TRACE.replace(',', ";"), "log-header", "separate fields by commas");
    rejects(&with(TRACE, "1700000000050000", "soon"), "log-invalid-value", "first_chunk_time_us is \"soon\"");
    rejects(&with(TRACE, "\n1,a", "\n0,a"), "log-duplicate", "request 0 is there already, on line 2");
    rejects(&TRACE.replace(",ok,", ",error,HTTP 500"), "log-failed-requests", "first error: error HTTP 500");
    rejects(cut(TRACE, 0.99), "log-field-count", "fields");
    rejects(&with(TRACE, "1700000000072000", "1600000000072000"), "log-invalid-value", "below zero");
    rejects(&with(TRACE_HEADER, "mode: real", "mode: replayed"), "log-simulated", "mode is replayed");
    rejects(&with(TRACE_HEADER, "time_unit: us", "time_unit: ms"), "log-unit", "time_unit is ms");
    rejects(&with(TRACE_HEADER, "trace_version: 3", "trace_version: 9"), "log-invalid-value", "trace_version is 9");
    rejects(&with(TRACE_GAPS, "1,0,17", "1,x,17"), "log-invalid-value", "chunk_index is \"x\"");
    // What spreadsheets do to a file does no harm.
    assert_eq!(only_run(&format!("\u{feff}{}", TRACE.replace('\n', "\r\n"))).requests.len(), 24);
}

#[test]
fn malformed_residency_requests_and_simulator_results() {
    rejects(&with(REQUESTS, "start_time", "started"), "log-missing-field", "start_time");
    rejects(&with(REQUESTS, "a,0,50,11", "a,0,x,11"), "log-invalid-value", "ttft_ms is \"x\"");
    rejects(&REQUESTS.replace(",72,10", ",20,10"), "log-invalid-value", "before the first");
    rejects(&REQUESTS.replace(",10,3,", ",10,0,"), "log-failed-requests", "24 of 24");
    rejects(&REQUESTS.replace(",10,3,", ",1e9,3,"), "log-invalid-value", "input_tokens is 1000000000");
    rejects(&with(REQUESTS, "\na,1,", "\na,1,1,"), "log-field-count", "10 fields");
    rejects(cut(BLIS, 0.5), "log-truncated", "requests[");
    rejects(&with(BLIS, "\"requests\": [", "\"requests\": 5, \"x\": ["), "log-invalid-value", "requests is 5");
    rejects(&BLIS.replace("\"e2e_ms\": 72.0", "\"e2e_ms\": 0"), "log-failed-requests", "24 of 24");
    rejects(&BLIS.replace("\"num_prefill_tokens\": 10", "\"num_prefill_tokens\": -1"), "log-invalid-value", "is -1");
    rejects(&with(BLIS, "\"e2e_mean_ms\": 72.0", "\"e2e_mean_ms\": []"), "log-invalid-value", "e2e_mean_ms is a list");
    rejects("[{\"request_id\": 1, \"ttft_us\": 5, \"e2e_us\": 9}]", "log-simulated", "simulated");
    warns(BLIS, "log-simulated");
}

#[test]
fn malformed_engine_lines() {
    rejects(cut(ENGINE, 0.99), "log-truncated", "log:24");
    rejects(&with(ENGINE, "\"queued_ts\": 50.001, ", ""), "log-invalid-value", "there is no queued_ts");
    rejects(
        &with(ENGINE, "\"input_toks\": 10", "\"input_toks\": \"ten\""),
        "log-invalid-value",
        "input_toks is \"ten\"",
    );
    rejects(
        &ENGINE.replace("\"last_token_ts\": 5", "\"last_token_ts\": 4"),
        "log-invalid-value",
        "the end-to-end latency",
    );
    rejects(&ENGINE.replace("\"output_toks\": 3", "\"output_toks\": 0"), "log-failed-requests", "24 of 24");
    rejects(&with(ENGINE, "{\"request_id\"", "{request_id"), "log-not-recognized", "format");
    rejects(&with(ENGINE, "\n{", "\n{{"), "log-syntax", "log:2");
}

#[test]
fn malformed_lmbench_tables() {
    rejects(&with(LMBENCH, "finish_time", "finish"), "log-not-recognized", "format");
    rejects(&with(LMBENCH, "ttft", "first"), "log-missing-field", "ttft");
    rejects(&with(LMBENCH, "0.05,", "fast,"), "log-invalid-value", "ttft is \"fast\"");
    rejects(&with(LMBENCH, "10.0,3.0", "10.5,3.0"), "log-invalid-value", "input_tokens is 10.5");
    rejects(&LMBENCH.replace(",0.05,", ",50000,"), "log-unit", "median TTFT is 50000 s");
    rejects(&LMBENCH.replace(",0.022,", ",-0.022,"), "log-invalid-value", "before the first");
    rejects(LMBENCH.lines().next().unwrap(), "log-no-requests", "no successful request");
    let mut lines = LMBENCH.lines();
    let mut same = format!("{}\n", lines.next().unwrap());
    lines.for_each(|_| same.push_str("10.0,3.0,0.05,0.022,1,1,1700000000.0,1700000000.072\n"));
    warns(&same, "log-arrivals-unknown");
}

#[test]
fn malformed_inference_perf_reports() {
    rejects(cut(PERF, 0.5), "log-truncated", "successes");
    rejects(&with(PERF, "\"successes\": {", "\"successes\": 5, \"x\": {"), "log-invalid-value", "successes is 5");
    rejects(
        &with(PERF, "\"failures\": {\"count\": 0}", "\"failures\": {\"count\": 90}"),
        "log-failed-requests",
        "90 of 114",
    );
    rejects(&PERF.replace("0.072", "0.01"), "log-invalid-value", "below the mean TTFT");
    rejects(&with(PERF, "\"mean\": 0.072", "\"mean\": \"x\""), "log-invalid-value", "request_latency.mean is \"x\"");
    rejects(&with(PERF, "\"latency\": {", "\"latencies\": {"), "log-no-requests", "neither requests");
    rejects(&PERF_REQUESTS.replace("\"error\": null", "\"error\": \"timeout\""), "log-failed-requests", "timeout");
    rejects(
        &PERF_REQUESTS.replace("\"output_tokens\": 3", "\"output_tokens\": null"),
        "log-invalid-value",
        "tokens is missing",
    );
}

#[test]
fn malformed_server_logs() {
    rejects(&with(SERVER, "191,328", "many"), "log-invalid-value", "KV cache size");
    rejects(&with(SERVER, "Running: 18", "Running: x"), "log-invalid-value", "Running");
    rejects(&with(SERVER, "usage: 6.9%", "usage: 690%"), "log-invalid-value", "690 %");
    rejects(
        cut(SERVER, 0.95)
            .split_once("GPU KV cache usage")
            .map_or(SERVER, |(before, _)| before)
            .replace("Waiting: 3", "Waiting: ")
            .as_str(),
        "log-invalid-value",
        "waiting",
    );
    rejects("INFO something\nINFO else\n", "log-not-recognized", "format");
    rejects("INFO: 1.2.3.4 - \"POST /v1/completions HTTP/1.1\" 200 OK\n", "log-no-requests", "neither configuration");
    warns(&format!("{SERVER}torch.OutOfMemoryError: CUDA out of memory\n"), "log-server-failed");
}

#[test]
fn malformed_metrics() {
    rejects(&with(METRICS, "} 7.0", "} seven"), "log-invalid-value", "num_requests_running is \"seven\"");
    rejects(&with(METRICS, "model_name=\"tiny\"} 7.0", "model_name=\"tiny"), "log-syntax", "labels are not closed");
    rejects(&with(METRICS, "le=\"0.06\"", "le=\"x\""), "log-invalid-value", "le is no number");
    rejects(&with(METRICS, "} 20.0", "} 99.0"), "log-inconsistent", "fall from one bucket");
    rejects(&with(METRICS, "} 1.2", "} -1.2"), "log-invalid-value", "is -1.2");
    rejects(
        &METRICS.replace("} 24.0", "} 0.0").replace("} 20.0", "} 0.0").replace("} 48.0", "} 0.0"),
        "log-no-requests",
        "served yet",
    );
    rejects(
        &with(METRICS, "vllm:num_requests_running{engine=\"0\",model_name=\"tiny\"} 7.0", "vllm:num_requests_running"),
        "log-syntax",
        "no value",
    );
}

/// Both scrapes hold 24 requests of 50 ms more than a warm-up of ten requests of a second each.
#[test]
fn of_two_scrapes_what_came_between_them_counts() {
    let numbers = |text: &str, change: &dyn Fn(&str, f64) -> f64| -> String {
        let lines = text.lines().map(|line| match line.rsplit_once(' ') {
            Some((metric, value)) if !line.starts_with('#') => {
                let value: f64 = value.parse().expect("a number");
                format!("{metric} {}\n", change(metric, value))
            }
            _ => format!("{line}\n"),
        });
        lines.collect()
    };
    // The warm-up: every request slower than all bounds but the last, so only `+Inf`, counts and sums grow.
    let warm = |metric: &str| {
        let is_total = metric.contains("+Inf") || metric.contains("_count");
        if metric.contains("_sum") || is_total { 10.0 } else { 0.0 }
    };
    let first = numbers(METRICS, &|metric, value| {
        let is_gauge = metric.contains("num_requests") || metric.contains("cache");
        if is_gauge { value } else { warm(metric) }
    });
    let second = numbers(METRICS, &|metric, value| {
        let is_gauge = metric.contains("num_requests") || metric.contains("cache");
        if is_gauge { value } else { value + warm(metric) }
    });
    let one = only_run(METRICS).totals;
    let between = only_run(&format!("{first}{second}")).totals;
    let near = |a: Option<f64>, b: Option<f64>| match (a, b) {
        (Some(a), Some(b)) => (a - b).abs() < 1e-9,
        (a, b) => a == b,
    };
    assert!(near(between.ttft_mean_ms, one.ttft_mean_ms), "{between:?} {one:?}");
    assert!(near(between.tpot_mean_ms, one.tpot_mean_ms) && near(between.ttft_p50_ms, one.ttft_p50_ms), "{between:?}");
    assert_eq!(between.running_max, one.running_max);
    rejects(&format!("{second}{first}"), "log-inconsistent", "went down");
    rejects(&format!("{METRICS}{METRICS}"), "log-no-requests", "between the scrapes");
}

#[test]
fn what_is_no_text_is_refused_at_sight() {
    for (bytes, code) in [
        (&b"\x1f\x8b\x08\x00abc"[..], "log-truncated"),
        (b"PK\x03\x04abc", "log-compressed"),
        (b"\x28\xb5\x2f\xfdabc", "log-compressed"),
        (b"\xff\xfea\x00b\x00", "log-not-text"),
        (b"abc\xff\xfe\xfdabc", "log-not-text"),
        (b"ab\x00c", "log-not-text"),
        (b" \n ", "log-empty"),
        (b"hello\n", "log-not-recognized"),
        (b"{\"a\": 1}", "log-not-recognized"),
        (b"TIMESTAMP,ContextTokens,GeneratedTokens\n", "log-no-latencies"),
        (b"{\"timestamp\": 0, \"input_length\": 5}", "log-no-latencies"),
    ] {
        assert_eq!(read_log("log", bytes).unwrap_err()[0].code, code, "{bytes:?}");
    }
}
