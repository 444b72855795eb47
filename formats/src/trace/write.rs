//! Traces written in the forms that are read.

use super::mooncake::BLOCK_TOKENS;
use super::version2::COLUMNS;
use plimsoll_core::diagnostic::{Diagnostic, Warned};
use plimsoll_core::workload::{PrefixId, PrefixTree, Request, Trace};
use std::collections::HashMap;
use std::fmt::Write;

/// The forms a trace can be written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TraceFormat {
    /// Lengths and prefix groups by column name.
    Lengths,
    /// Trace v2, the data without the header.
    TraceV2,
    /// JSON lines with a hash for every 512 prompt tokens.
    Mooncake,
    /// `TIMESTAMP,ContextTokens,GeneratedTokens`.
    Azure,
    /// Seconds, prompt and answer tokens.
    BurstGpt,
}

/// One row of a trace v2; times in microseconds.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TraceRow<'a> {
    /// Number of the request.
    pub request_id: u32,
    /// Its client.
    pub client_id: &'a str,
    /// Its tenant.
    pub tenant_id: &'a str,
    /// Its SLO class.
    pub slo_class: &'a str,
    /// Its session; empty = none.
    pub session_id: String,
    /// Its turn in the session.
    pub round_index: u32,
    /// Requests of one group share a prefix; empty = none.
    pub prefix_group: String,
    /// Length of that, tokens.
    pub prefix_length: u32,
    /// Whether the answer is streamed.
    pub streaming: bool,
    /// Prompt tokens without the prefix.
    pub input_tokens: u32,
    /// Output tokens.
    pub output_tokens: u32,
    /// Text, image, audio and video tokens.
    pub modalities: [u32; 4],
    /// Share of the output that is reasoning.
    pub reason_ratio: f64,
    /// The model.
    pub model: &'a str,
    /// Absolute tick after which the client has gone; 0 = none.
    pub deadline_us: i64,
    /// Prompt tokens with the prefix.
    pub server_input_tokens: u32,
    /// When it arrived.
    pub arrival_time_us: i64,
    /// First and last piece of the answer; 0 = not known.
    pub chunk_times_us: [i64; 2],
    /// Pieces of the answer.
    pub num_chunks: u32,
    /// `ok`, `timeout` or `incomplete`.
    pub status: &'a str,
    /// Why there is no answer.
    pub error_message: &'a str,
    /// Why the answer ended.
    pub finish_reason: &'a str,
}

/// The data of a trace v2 as CSV with its header row.
#[must_use]
pub fn trace_rows_to_csv<'a>(rows: impl IntoIterator<Item = TraceRow<'a>>) -> String {
    let mut out = csv::Writer::from_writer(Vec::new());
    // Writing to memory has no way to fail.
    let _ = out.write_record(COLUMNS);
    for row in rows {
        let number = |value: i64| value.to_string();
        let [text, image, audio, video] = row.modalities.map(|tokens| tokens.to_string());
        let [first, last] = row.chunk_times_us.map(number);
        let _ = out.write_record([
            row.request_id.to_string().as_str(),
            row.client_id,
            row.tenant_id,
            row.slo_class,
            row.session_id.as_str(),
            row.round_index.to_string().as_str(),
            row.prefix_group.as_str(),
            row.prefix_length.to_string().as_str(),
            if row.streaming { "true" } else { "false" },
            row.input_tokens.to_string().as_str(),
            row.output_tokens.to_string().as_str(),
            &text,
            &image,
            &audio,
            &video,
            row.reason_ratio.to_string().as_str(),
            row.model,
            number(row.deadline_us).as_str(),
            row.server_input_tokens.to_string().as_str(),
            number(row.arrival_time_us).as_str(),
            // Nothing lies between intent and sending in a simulation.
            number(row.arrival_time_us.max(0)).as_str(),
            &first,
            &last,
            row.num_chunks.to_string().as_str(),
            row.status,
            row.error_message,
            row.finish_reason,
        ]);
    }
    text(out)
}

/// A trace as text, with what the form cannot hold.
#[must_use]
pub fn trace_to_text(trace: &Trace, format: TraceFormat) -> Warned<String> {
    let value = match format {
        TraceFormat::Lengths => lengths(trace),
        TraceFormat::TraceV2 => trace_rows_to_csv(trace.requests().iter().map(|request| row(trace, request))),
        TraceFormat::Mooncake => mooncake(trace),
        TraceFormat::Azure => azure(trace),
        TraceFormat::BurstGpt => burst_gpt(trace),
    };
    Warned { value, diagnostics: losses(trace, format) }
}

/// What a form cannot hold of a trace.
fn losses(trace: &Trace, format: TraceFormat) -> Vec<Diagnostic> {
    let any = |is_lost: &dyn Fn(&Request) -> bool| trace.requests().iter().any(is_lost);
    let tree = trace.prefixes();
    let has_groups = matches!(format, TraceFormat::Lengths | TraceFormat::TraceV2);
    let has_blocks = format == TraceFormat::Mooncake;
    // A segment that ends within a block and within the prompt; one that ends with the prompt has a hash for its rest.
    let is_coarse = |request: &Request| {
        let mut node = request.prefix;
        while node != PrefixId::NONE {
            let tokens = tree.tokens(node);
            if tokens < request.input_tokens && !tokens.is_multiple_of(BLOCK_TOKENS) {
                return true;
            }
            node = tree.parent(node);
        }
        false
    };
    let is_nested = |request: &Request| has_groups && tree.parent(request.prefix) != PrefixId::NONE;
    let is_alone = |request: &Request| !has_groups && !has_blocks && request.prefix != PrefixId::NONE;
    let (tables, conversations) = ("choose trace-v2 or lengths to keep them", "choose trace-v2 to keep them");
    [
        (
            has_blocks && any(&is_coarse),
            "prefixes are rounded down to blocks of 512 tokens",
            "choose trace-v2 or lengths to keep the first part of each whole",
        ),
        (
            any(&is_nested),
            "only the first part of a nested prefix is kept",
            "choose mooncake to keep all parts in blocks of 512 tokens",
        ),
        (any(&is_alone), "shared prefixes are left out", tables),
        (
            any(&|request| request.output_prefix != PrefixId::NONE),
            "answers that come back in prompts are not marked",
            "no form that is written holds them; replay the trace itself",
        ),
        (
            !has_groups && any(&|request| request.slo_class > 0 || request.tenant > 0),
            "classes and tenants are left out",
            tables,
        ),
        (!has_groups && any(&|request| request.deadline.0 > 0), "deadlines are left out", tables),
        (
            format != TraceFormat::TraceV2 && any(&|request| trace.turns().contains_key(&request.id)),
            "conversations are left out",
            conversations,
        ),
        (
            matches!(format, TraceFormat::Azure | TraceFormat::BurstGpt) && any(&|request| request.output_tokens == 0),
            "requests without an answer will be taken for failed ones",
            tables,
        ),
        (
            !has_groups && any(&|request| request.arrive.0 < 0),
            "times are moved so that the first request comes at 0",
            tables,
        ),
    ]
    .into_iter()
    .filter(|(is_lost, ..)| *is_lost)
    .map(|(_, message, hint)| Diagnostic::warning("trace-loses", "", message).with_hint(hint))
    .collect()
}

/// The first segment of a request's prefix: its group.
pub(super) fn group(tree: &PrefixTree, mut node: PrefixId) -> PrefixId {
    while tree.parent(node) != PrefixId::NONE {
        node = tree.parent(node);
    }
    node
}

pub(super) fn group_name(node: PrefixId) -> String {
    if node == PrefixId::NONE { String::new() } else { format!("prefix-{}", node.0) }
}

pub(super) fn session_name(session: u32) -> String {
    format!("session_{session}")
}

pub(super) fn name(names: &[String], index: u16) -> &str {
    names.get(usize::from(index)).map_or("", String::as_str)
}

fn row<'a>(trace: &'a Trace, request: &Request) -> TraceRow<'a> {
    let group = group(trace.prefixes(), request.prefix);
    let prefix_length = trace.prefixes().tokens(group);
    let input_tokens = request.input_tokens - prefix_length.min(request.input_tokens);
    let turn = trace.turns().get(&request.id);
    TraceRow {
        request_id: request.id,
        session_id: turn.map(|turn| session_name(turn.session)).unwrap_or_default(),
        round_index: turn.map_or(0, |turn| turn.round),
        tenant_id: name(trace.tenants(), request.tenant),
        slo_class: name(trace.classes(), request.slo_class),
        prefix_group: group_name(group),
        prefix_length,
        input_tokens,
        output_tokens: request.output_tokens,
        modalities: [input_tokens, 0, 0, 0],
        deadline_us: request.deadline.0,
        server_input_tokens: request.input_tokens,
        arrival_time_us: request.arrive.0,
        status: "ok",
        ..TraceRow::default()
    }
}

fn lengths(trace: &Trace) -> String {
    let mut out = csv::Writer::from_writer(Vec::new());
    let _ = out.write_record(super::lengths::COLUMNS);
    for request in trace.requests() {
        let row = row(trace, request);
        let _ = out.write_record([
            &row.request_id.to_string(),
            &row.arrival_time_us.to_string(),
            &row.prefix_group,
            &row.prefix_length.to_string(),
            &row.input_tokens.to_string(),
            &row.output_tokens.to_string(),
            row.slo_class,
            row.tenant_id,
            &row.deadline_us.to_string(),
        ]);
    }
    text(out)
}

fn text(out: csv::Writer<Vec<u8>>) -> String {
    String::from_utf8(out.into_inner().unwrap_or_default()).unwrap_or_default()
}

/// Microseconds from the first arrival if that is before zero, otherwise from zero.
fn times(trace: &Trace) -> impl Iterator<Item = (i64, &Request)> {
    let zero = trace.requests().first().map_or(0, |request| request.arrive.0).min(0);
    trace.requests().iter().map(move |request| (request.arrive.0 - zero, request))
}

fn mooncake(trace: &Trace) -> String {
    let tree = trace.prefixes();
    let mut known: HashMap<(PrefixId, u32), u64> = HashMap::new();
    let mut next = 0u64;
    let mut fresh = || {
        next += 1;
        next - 1
    };
    let mut out = String::new();
    for (time, request) in times(trace) {
        let mut hashes: Vec<String> = Vec::new();
        for block in 0..request.input_tokens.div_ceil(BLOCK_TOKENS) {
            let end = (block + 1).saturating_mul(BLOCK_TOKENS).min(request.input_tokens);
            let hash = match holder(tree, request.prefix, end) {
                Some(node) => *known.entry((node, end)).or_insert_with(&mut fresh),
                None => fresh(),
            };
            hashes.push(hash.to_string());
        }
        // Whole milliseconds as everybody writes them; the rest as a fraction.
        let timestamp =
            if time % 1000 == 0 { (time / 1000).to_string() } else { format!("{}.{:03}", time / 1000, time % 1000) };
        let (input, output) = (request.input_tokens, request.output_tokens);
        let _ = writeln!(
            out,
            "{{\"timestamp\": {timestamp}, \"input_length\": {input}, \"output_length\": {output}, \"hash_ids\": [{}]}}",
            hashes.join(", ")
        );
    }
    out
}

/// The segment that holds the token before `end`, if the prefix reaches that far.
fn holder(tree: &PrefixTree, prefix: PrefixId, end: u32) -> Option<PrefixId> {
    if tree.tokens(prefix) < end {
        return None;
    }
    let mut node = prefix;
    while tree.tokens(tree.parent(node)) >= end {
        node = tree.parent(node);
    }
    Some(node)
}

fn azure(trace: &Trace) -> String {
    let mut out = String::from("TIMESTAMP,ContextTokens,GeneratedTokens\n");
    for (time, request) in times(trace) {
        let (seconds, micros) = (time / 1_000_000, time % 1_000_000);
        let (year, month, day) = date(seconds / 86_400);
        let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
        let _ = writeln!(
            out,
            "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{micros:06}0,{},{}",
            request.input_tokens, request.output_tokens
        );
    }
    out
}

/// The date that many days after 1970-01-01, counted in eras of 400 years that begin in March.
fn date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

fn burst_gpt(trace: &Trace) -> String {
    let mut out = String::from("Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n");
    for (time, request) in times(trace) {
        let (input, output) = (request.input_tokens, request.output_tokens);
        let total = u64::from(input) + u64::from(output);
        let (seconds, micros) = (time / 1_000_000, time % 1_000_000);
        let _ = writeln!(out, "{seconds}.{micros:06},,{input},{output},{total},");
    }
    out
}
