use super::trace_from_bytes;
use plimsoll_core::diagnostic::Severity;
use plimsoll_core::workload::{PrefixId, Trace};

fn read(text: &str) -> Trace {
    trace_from_bytes(text.as_bytes(), "t.csv").expect("a good trace").value
}

/// Codes and places of what is wrong.
fn problems(text: &str) -> Vec<(String, String)> {
    let found = trace_from_bytes(text.as_bytes(), "t.csv").expect_err("a bad trace");
    found.into_iter().map(|diagnostic| (diagnostic.code, diagnostic.path)).collect()
}

fn expect(text: &str, wanted: &[(&str, &str)]) {
    let found = problems(text);
    let found: Vec<(&str, &str)> = found.iter().map(|(code, path)| (code.as_str(), path.as_str())).collect();
    assert_eq!(found, wanted);
}

const TOKENS: &str = "arrival_time,request_id,model,prefill_tokens,decode_tokens\n";
const LENGTHS: &str =
    "request_id,arrival_us,prefix_group,prefix_tokens,input_tokens,output_tokens,slo_class,tenant_id,deadline_us\n";

#[test]
fn token_rows_become_lengths_and_shared_prefixes() {
    let trace = read(&format!(
        "{TOKENS}0.5,a,m,\"[1,2,3,4]\",\"[9,8]\"\r\n\n0.000007,b,m,\"[1,2,7]\",null\n0.5,c,m,\"[5, null]\",\"[]\"\n1,d,m,\"[1,2,3,4,9,7]\",[6]\n"
    ));
    let rows: Vec<_> = trace.requests().iter().map(|r| (r.id, r.arrive.0, r.input_tokens, r.output_tokens)).collect();
    // The order is by arrival, then by row; ticks are the truncated product.
    assert_eq!(
        rows,
        [(1, (0.000_007_f64 * 1e6) as i64, 3, 0), (0, 500_000, 4, 2), (2, 500_000, 2, 0), (3, 1_000_000, 6, 1)]
    );
    let by_id = |id: u32| trace.requests().iter().find(|r| r.id == id).copied().expect("there");
    let tokens = |node: PrefixId| trace.prefixes().tokens(node);
    assert_eq!([0, 1, 2, 3].map(|id| tokens(by_id(id).prefix)), [4, 2, 0, 5]);
    assert_eq!(tokens(by_id(0).output_prefix), 5);
    assert_eq!([1, 2, 3].map(|id| by_id(id).output_prefix), [PrefixId::NONE; 3]);
    assert_eq!(by_id(3).prefix, by_id(0).output_prefix);
    assert!(trace.requests().iter().all(|r| r.answer_limit == r.output_tokens));
}

#[test]
fn a_first_row_that_looks_like_data_is_lost_with_a_warning() {
    let read = trace_from_bytes(b"0.1,a,m,[1],[1]\n0.2,a,m,[1],[1]\n", "t.csv").expect("readable");
    assert_eq!(read.value.requests().len(), 1);
    let warnings: Vec<_> = read.diagnostics.iter().map(|d| (d.severity, d.code.as_str(), d.path.as_str())).collect();
    assert_eq!(warnings, [(Severity::Warning, "trace-header-like-data", "t.csv:1:1")]);
}

#[test]
fn an_arrival_beyond_the_clock_is_malformed() {
    expect(
        &format!("{TOKENS}1e300,a,m,[1],[1]\n-2e11,a,m,[1],[1]\n1e11,a,m,[1],[1]\n"),
        &[("trace-invalid-value", "t.csv:2:1"), ("trace-invalid-value", "t.csv:3:1")],
    );
    expect(
        &format!("{LENGTHS}0,100000000000000001,,0,1,1,,,0\n1,100000000000000000,,0,1,1,,,0\n"),
        &[("trace-invalid-value", "t.csv:2:3")],
    );
}

#[test]
fn every_malformed_row_is_reported_in_its_place() {
    expect(
        &format!(
            "{TOKENS} 1,a,m,[1],[1]\n\n1,a,m,\"[1,\n2.0]\",[1]\n1,a,m,[],[1]\n1,a,m,[1]\n1,a\"b,m,[1],[1]\n1,a,m,[1],\"[1\"\n"
        ),
        &[
            ("trace-invalid-value", "t.csv:2:1"),
            ("trace-invalid-value", "t.csv:4:7"),
            ("trace-empty-prompt", "t.csv:6:7"),
            ("trace-field-count", "t.csv:7:1"),
            ("trace-quote", "t.csv:8:3"),
            ("trace-invalid-value", "t.csv:9:11"),
        ],
    );
    expect(
        &format!("{LENGTHS}0,0,,0,5,3,,,0\n1,x,,0,-5,3,,,0\n1,2,,0,0,3,,,0\n1,7,,0,4,3,,,0\n"),
        &[
            ("trace-invalid-value", "t.csv:3:3"),
            ("trace-invalid-value", "t.csv:3:8"),
            ("trace-invalid-value", "t.csv:5:1"),
            ("trace-empty-prompt", "t.csv:4:8"),
        ],
    );
}

#[test]
fn many_malformed_rows_are_counted() {
    let found = problems(&format!("{TOKENS}{}", "x,a,m,[1],[1]\n".repeat(70)));
    assert_eq!(found.len(), 21);
    assert_eq!(found[20].0, "trace-more-rows");
    let more =
        trace_from_bytes(format!("{TOKENS}{}", "x,a,m,[1],[1]\n".repeat(70)).as_bytes(), "t.csv").expect_err("bad");
    assert!(more[20].message.starts_with("50 more"), "{}", more[20].message);
}

#[test]
fn files_that_are_no_trace_say_what_is_missing() {
    expect("", &[("trace-empty", "t.csv")]);
    expect(TOKENS, &[("trace-empty", "t.csv")]);
    expect("a,b\n1,2\n", &[("trace-header", "t.csv:1:1")]);
    expect("request_id,arrival_us\n0,0\n", &[("trace-header", "t.csv:1:1")]);
}

#[test]
fn a_groups_first_length_is_the_length_of_its_prefix() {
    let text = format!(
        "\u{feff}{LENGTHS}7,20,g,0,5,3,gold,acme,900\n8,10,,0,6,4,,,0\n9,30,g,48,1,2,,,0\n10,40,h,0,9,1,gold,,0\n11,50,g,64,1,2,,acme,0\n12,60,g,0,0,2,,,0\n"
    );
    let read = trace_from_bytes(text.as_bytes(), "t.csv").expect("readable");
    let trace = &read.value;
    let rows: Vec<_> = trace
        .requests()
        .iter()
        .map(|r| (r.id, r.input_tokens, trace.prefixes().tokens(r.prefix), r.slo_class, r.tenant, r.deadline.0))
        .collect();
    assert_eq!(
        rows,
        [
            (8, 6, 0, 0, 0, 0),
            (7, 53, 48, 1, 1, 900),
            (9, 49, 48, 0, 0, 0),
            (10, 9, 0, 1, 0, 0),
            (11, 49, 48, 0, 1, 0),
            (12, 48, 48, 0, 0, 0)
        ]
    );
    assert_eq!((trace.classes(), trace.tenants()), (&["".into(), "gold".into()][..], &["".into(), "acme".into()][..]));
    assert_eq!(trace.requests()[1].prefix, trace.requests()[2].prefix);
    let warnings: Vec<_> = read.diagnostics.iter().map(|d| (d.code.as_str(), d.path.as_str())).collect();
    assert_eq!(warnings, [("trace-prefix-length", "t.csv:6:9")]);
}

#[test]
fn a_quote_that_is_never_closed_is_called_that() {
    let text = format!("{TOKENS}1,a,m,[1],[1]\n2,b,m,\"[1,2],[3]\n3,c,m,[1],[1]\n");
    let found = trace_from_bytes(text.as_bytes(), "t.csv").expect_err("bad");
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].code.as_str(), found[0].path.as_str()), ("trace-quote", "t.csv:3:7"));
    assert!(found[0].message.contains("field 4 is never closed"), "{}", found[0].message);
    expect("\"arrival_time,a\n", &[("trace-quote", "t.csv:1:1")]);
    assert_eq!(read(&format!("{TOKENS}1,a,\"m\"\"\",[1],\"[1]\"")).requests().len(), 1);
}

#[test]
fn an_empty_prompt_is_named_by_its_request() {
    let text = format!("{TOKENS}x,a,m,[1],[1]\n1,b,m,[],[1]\n");
    let found = trace_from_bytes(text.as_bytes(), "t.csv").expect_err("bad");
    assert_eq!(found[1].message, "the prompt of request `b` is empty");
}

/// Codes and places of what is wrong, as one text.
fn wrong(text: &str) -> String {
    problems(text).into_iter().map(|(code, path)| format!("{code} {path}")).collect::<Vec<_>>().join(", ")
}

fn rows_of(trace: &Trace) -> Vec<(i64, u32, u32)> {
    trace.requests().iter().map(|r| (r.arrive.0, r.input_tokens, r.output_tokens)).collect()
}

const AZURE: &str = "TIMESTAMP,ContextTokens,GeneratedTokens\n";

#[test]
fn an_azure_trace_counts_from_its_first_request() {
    let rows = "2023-11-16 18:17:04.0319600,3180,8\r\n2023-11-16 18:17:03.9799600,4808,10\r\n2023-11-16 18:17:05.0000000,5,0\r\n";
    let read = trace_from_bytes(format!("{AZURE}{rows}").as_bytes(), "a.csv").expect("an Azure trace");
    assert_eq!(rows_of(&read.value), [(0, 4808, 10), (52_000, 3180, 8)]);
    assert_eq!(read.diagnostics[0].code, "trace-failed-requests");
    assert!(read.diagnostics[0].message.starts_with("1 requests"));
}

#[test]
fn malformed_azure_traces_are_refused() {
    let of = |row: &str| wrong(&format!("{AZURE}2023-11-16 18:17:03,1,1\n{row}\n"));
    assert_eq!(of("yesterday,1,1"), "trace-invalid-value t.csv:3:1");
    assert_eq!(of("2023-11-16 18:17:03,-4,1"), "trace-invalid-value t.csv:3:21");
    assert_eq!(of("2023-11-16 18:17:03,0,1"), "trace-empty-prompt t.csv:3:21");
    assert_eq!(of("2023-11-16 18:17:03,4"), "trace-field-count t.csv:3:1");
    assert_eq!(of("2023-11-16 18:17:03,4,\"1"), "trace-quote t.csv:3:23");
    assert_eq!(wrong("ContextTokens,GeneratedTokens\n1,1\n"), "trace-header t.csv:1:1");
    assert_eq!(wrong(AZURE), "trace-empty t.csv");
}

const BURST: &str = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n";

#[test]
fn a_burst_gpt_trace_leaves_failed_requests_out() {
    let rows =
        "5.25,ChatGPT,472,18,490,Conversation log\n45,GPT-4,10,0,10,API log\n118.5,GPT-4,1087,230,1317,API log\n";
    let trace = read(&format!("{BURST}{rows}"));
    assert_eq!(rows_of(&trace), [(0, 472, 18), (113_250_000, 1087, 230)]);
    let newer = "Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Log Type\n1,7,0.5,m,3,4,x\n";
    assert_eq!(rows_of(&read(newer)), [(0, 3, 4)]);
}

#[test]
fn malformed_burst_gpt_traces_are_refused() {
    let of = |row: &str| wrong(&format!("{BURST}1,m,1,1,2,x\n{row}\n"));
    assert_eq!(of("soon,m,1,1,2,x"), "trace-invalid-value t.csv:3:1");
    assert_eq!(of("2,m,1.5,1,2,x"), "trace-invalid-value t.csv:3:5");
    assert_eq!(of("2,m,1,1,3,x"), "trace-invalid-value t.csv:3:9");
    assert_eq!(of("2,m,0,1,1,x"), "trace-empty-prompt t.csv:3:5");
    assert_eq!(of("2,m,1,1,2"), "trace-field-count t.csv:3:1");
    assert_eq!(wrong("Timestamp,Model,Response tokens\n1,m,1\n"), "trace-header t.csv:1:1");
}

#[test]
fn equal_hashes_in_equal_places_are_shared_prefixes() {
    let text = concat!(
        "{\"timestamp\": 0, \"input_length\": 1200, \"output_length\": 5, \"hash_ids\": [1, 2, 3]}\n",
        "\n",
        "{\"timestamp\": 27, \"input_length\": 1100, \"output_length\": 6, \"hash_ids\": [1, 2, 4]}\n",
        "{\"timestamp\": 27.5, \"input_length\": 1024, \"output_length\": 0, \"hash_ids\": [1, 5]}\n",
        "{\"timestamp\": 30, \"input_length\": 600, \"output_length\": 1, \"hash_ids\": [5, 2]}\n",
        "{\"timestamp\": 31, \"input_length\": 600, \"output_length\": 1}\n",
        "{\"timestamp\": 32, \"input_length\": 600, \"output_length\": 1, \"hash_ids\": [5, 2], \"extra\": 1}\n",
    );
    let trace = read(text);
    assert_eq!(rows_of(&trace)[..3], [(0, 1200, 5), (27_000, 1100, 6), (27_500, 1024, 0)]);
    let shared: Vec<u32> = trace.requests().iter().map(|r| trace.prefixes().tokens(r.prefix)).collect();
    // The second block of the fourth and the sixth has 88 tokens, and both of them have it.
    assert_eq!(shared, [1024, 1024, 512, 600, 0, 600]);
    assert_eq!(trace.requests()[0].prefix, trace.requests()[1].prefix);
    assert_eq!(trace.prefixes().parent(trace.requests()[1].prefix), trace.requests()[2].prefix);
    assert_ne!(trace.prefixes().parent(trace.requests()[3].prefix), trace.requests()[2].prefix);
}

#[test]
fn malformed_mooncake_traces_are_refused() {
    let good = "{\"timestamp\": 0, \"input_length\": 600, \"output_length\": 5, \"hash_ids\": [1, 2]}\n";
    let of = |line: &str| wrong(&format!("{good}{line}\n"));
    assert_eq!(of("{\"timestamp\": 0, \"input_length\": 600, \"hash_ids\": [1, 2]}"), "trace-invalid-value t.csv:2:57");
    assert_eq!(
        of("{\"timestamp\": -1, \"input_length\": 600, \"output_length\": 5, \"hash_ids\": [1, 2]}"),
        "trace-invalid-value t.csv:2:1"
    );
    assert_eq!(of("{\"timestamp\": 0, \"input_length\": 0, \"output_length\": 5}"), "trace-invalid-value t.csv:2:1");
    assert_eq!(
        of("{\"timestamp\": 0, \"input_length\": 600, \"output_length\": 5, \"hash_ids\": [1]}"),
        "trace-invalid-value t.csv:2:1"
    );
    assert_eq!(
        of("{\"timestamp\": 0, \"input_length\": \"600\", \"output_length\": 5}"),
        "trace-invalid-value t.csv:2:38"
    );
    assert!(of("{\"timestamp\": 0, \"input_le").starts_with("trace-invalid-value t.csv:2:"));
}

const V2: &str = "request_id,client_id,tenant_id,slo_class,session_id,round_index,prefix_group,prefix_length,streaming,input_tokens,output_tokens,text_tokens,image_tokens,audio_tokens,video_tokens,reason_ratio,model,deadline_us,server_input_tokens,arrival_time_us,send_time_us,first_chunk_time_us,last_chunk_time_us,num_chunks,status,error_message,finish_reason\n";

/// A row of a trace v2 with some fields of one's own.
fn v2(id: &str, group: &str, tokens: &str, deadline: &str, arrive: &str) -> String {
    format!("{id},c,acme,batch,,0,{group},true,{tokens},0,0,0,0,0,m,{deadline},0,{arrive},0,0,0,0,ok,,\n")
}

#[test]
fn a_trace_v2_is_replayed_with_its_prefixes_and_deadlines() {
    let text = format!(
        "{V2}{}{}{}",
        v2("4", "g,0", "30,7", "0", "2000"),
        v2("3", "g,64", "20,5", "9000", "1000"),
        v2("5", ",9", "10,1", "0", "3000")
    );
    let trace = read(&text);
    let rows: Vec<_> = trace
        .requests()
        .iter()
        .map(|r| (r.id, r.arrive.0, r.input_tokens, trace.prefixes().tokens(r.prefix), r.output_tokens, r.deadline.0))
        .collect();
    assert_eq!(rows, [(3, 1000, 84, 64, 5, 9000), (4, 2000, 94, 64, 7, 0), (5, 3000, 10, 0, 1, 0)]);
    assert_eq!((trace.classes()[1].as_str(), trace.tenants()[1].as_str()), ("batch", "acme"));
    // February's files lack five of the columns.
    let february = "request_id,client_id,tenant_id,slo_class,session_id,round_index,prefix_group,streaming,input_tokens,output_tokens,text_tokens,image_tokens,audio_tokens,video_tokens,reason_ratio,arrival_time_us,send_time_us,first_chunk_time_us,last_chunk_time_us,num_chunks,status,error_message\n0,,,,,0,g,false,12,3,12,0,0,0,0,5,5,6,7,3,ok,\n";
    assert_eq!(rows_of(&read(february)), [(5, 12, 3)]);
}

#[test]
fn malformed_traces_v2_are_refused() {
    let of = |row: String| wrong(&format!("{V2}{}{row}", v2("0", ",0", "1,1", "0", "0")));
    assert_eq!(of(v2("0", ",0", "1,1", "0", "0")), "trace-invalid-value t.csv:3:1");
    assert_eq!(of(v2("1", ",0", "-1,1", "0", "0")), "trace-invalid-value t.csv:3:27");
    assert_eq!(of(v2("1", ",0", "1,1", "5", "9")), "trace-invalid-value t.csv:3:43");
    assert_eq!(of(v2("1", ",0", "1,1", "0", "9").replace(",0,m,", ",1.5,m,")), "trace-invalid-value t.csv:3:39");
    assert_eq!(of(v2("1", ",0", "1,1", "0", "9").replace(",true,", ",maybe,")), "trace-invalid-value t.csv:3:22");
    assert_eq!(of("1,c,acme\n".into()), "trace-field-count t.csv:3:1");
    assert_eq!(wrong(&V2.replace(",status", "")), "trace-header t.csv:1:1");
}

#[test]
fn what_is_written_is_read_again() {
    use super::{TraceFormat, trace_to_text};
    let text = format!(
        "{LENGTHS}7,20,g,512,5,3,gold,acme,900\n8,10,,0,6,4,,,0\n9,30,g,512,600,2,,,0\n10,40,h,1024,9,1,gold,,0\n"
    );
    let trace = read(&text);
    for format in [TraceFormat::Lengths, TraceFormat::TraceV2] {
        let written = trace_to_text(&trace, format);
        assert_eq!(written.diagnostics, [], "{format:?}");
        assert_eq!(read(&written.value).content_hash(), trace.content_hash(), "{format:?}");
    }
    for format in [TraceFormat::Mooncake, TraceFormat::Azure, TraceFormat::BurstGpt] {
        let written = trace_to_text(&trace, format);
        let again = read(&written.value);
        // Azure and BurstGPT count from the first request.
        let zero = if format == TraceFormat::Mooncake { 0 } else { 10 };
        let expected: Vec<_> = rows_of(&trace).iter().map(|(time, i, o)| (time - zero, *i, *o)).collect();
        assert_eq!(rows_of(&again), expected, "{format:?}");
        assert!(!written.diagnostics.is_empty(), "{format:?} has no classes");
        if format == TraceFormat::Mooncake {
            let shared: Vec<u32> = again.requests().iter().map(|r| again.prefixes().tokens(r.prefix)).collect();
            // Of the two that share, both name the block; the third shares with nobody.
            assert_eq!(shared, [0, 512, 512, 0]);
        }
    }
}
