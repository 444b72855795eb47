use super::trace_from_csv;
use plimsoll_core::diagnostic::Severity;
use plimsoll_core::workload::{PrefixId, Trace};

fn read(text: &str) -> Trace {
    trace_from_csv(text.as_bytes(), "t.csv").expect("a good trace").value
}

/// Codes and places of what is wrong.
fn problems(text: &str) -> Vec<(String, String)> {
    let found = trace_from_csv(text.as_bytes(), "t.csv").expect_err("a bad trace");
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
    let read = trace_from_csv(b"0.1,a,m,[1],[1]\n0.2,a,m,[1],[1]\n", "t.csv").expect("readable");
    assert_eq!(read.value.requests().len(), 1);
    let warnings: Vec<_> = read.diagnostics.iter().map(|d| (d.severity, d.code.as_str(), d.path.as_str())).collect();
    assert_eq!(warnings, [(Severity::Warning, "trace-header-like-data", "t.csv:1:1")]);
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
        trace_from_csv(format!("{TOKENS}{}", "x,a,m,[1],[1]\n".repeat(70)).as_bytes(), "t.csv").expect_err("bad");
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
    let read = trace_from_csv(text.as_bytes(), "t.csv").expect("readable");
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
    let found = trace_from_csv(text.as_bytes(), "t.csv").expect_err("bad");
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].code.as_str(), found[0].path.as_str()), ("trace-quote", "t.csv:3:7"));
    assert!(found[0].message.contains("field 4 is never closed"), "{}", found[0].message);
    expect("\"arrival_time,a\n", &[("trace-quote", "t.csv:1:1")]);
    assert_eq!(read(&format!("{TOKENS}1,a,\"m\"\"\",[1],\"[1]\"")).requests().len(), 1);
}

#[test]
fn an_empty_prompt_is_named_by_its_request() {
    let text = format!("{TOKENS}x,a,m,[1],[1]\n1,b,m,[],[1]\n");
    let found = trace_from_csv(text.as_bytes(), "t.csv").expect_err("bad");
    assert_eq!(found[1].message, "the prompt of request `b` is empty");
}
