//! A simulated run as a trace v2 (workload specification 8).

use super::write::{TraceRow, group, group_name, name, session_name, trace_rows_to_csv};
use plimsoll_core::diagnostic::{Diagnostic, Warned};
use plimsoll_core::observation::{Fate, RequestRecord};
use plimsoll_core::scenario::{ClientSettings, WorkloadSettings};
use plimsoll_core::workload::{PrefixId, PrefixTree, RecordedTurn, RequestDetail, RequestSource, Source};
use std::collections::HashMap;

/// What a recording says of a request besides its record.
struct Origin<'a> {
    client: Option<&'a ClientSettings>,
    detail: Option<&'a RequestDetail>,
    turn: Option<RecordedTurn>,
    client_id: String,
}

/// The data of a trace v2: what was offered, in the order of the source, and what became of it.
///
/// `source` is that of the run, after it and with details; `workload` the one it was made from.
#[must_use]
pub fn recorded_run_to_csv(
    records: &[RequestRecord],
    source: &Source,
    workload: &WorkloadSettings,
    model: &str,
) -> Warned<String> {
    let mut records: Vec<&RequestRecord> = records.iter().collect();
    if let Some(trace) = source.trace() {
        let place: HashMap<u32, usize> = trace.requests().iter().map(|request| request.id).zip(0..).collect();
        records.sort_by_key(|record| (record.request.arrive, place.get(&record.request.id)));
    } else {
        records.sort_by_key(|record| record.request.id);
    }
    let origins: Vec<Origin<'_>> = records.iter().map(|record| origin(record, source, workload)).collect();
    let tree = source.prefixes();
    let is_nested = |(record, origin): (&&RequestRecord, &Origin<'_>)| {
        tree.parent(record.request.prefix) != PrefixId::NONE || root(tree, record, origin) != record.request.prefix
    };
    let mut diagnostics = Vec::new();
    if records.iter().zip(&origins).any(is_nested) {
        let message = "a trace v2 holds one shared prefix of a request; what turns share with earlier ones is left out";
        diagnostics.push(
            Diagnostic::warning("trace-loses", "", message).with_hint("expect fewer cache hits when it is replayed"),
        );
    }
    let rows = records.iter().zip(&origins).map(|(record, origin)| row(record, origin, source, model));
    Warned { value: trace_rows_to_csv(rows), diagnostics }
}

fn origin<'a>(record: &RequestRecord, source: &'a Source, workload: &'a WorkloadSettings) -> Origin<'a> {
    let id = record.request.id;
    if let Some(trace) = source.trace() {
        return Origin { client: None, detail: None, turn: trace.turns().get(&id).copied(), client_id: String::new() };
    }
    let detail = source.details().get(id as usize);
    let client = detail.and_then(|detail| workload.clients.get(detail.client as usize));
    let turn = detail.and_then(|detail| Some(RecordedTurn { session: detail.session?, round: detail.round }));
    let client_id = match (client, detail) {
        (Some(client), Some(detail)) if client.population > 1 => format!("{}-{}", client.id, detail.copy),
        (Some(client), _) => client.id.clone(),
        (None, _) => String::new(),
    };
    Origin { client, detail, turn, client_id }
}

/// The node of the prefix that the request shares by its group; conversations share more, which no group names.
fn root(tree: &PrefixTree, record: &RequestRecord, origin: &Origin<'_>) -> PrefixId {
    let has_group = origin.client.is_none_or(|client| !client.prefix_group.is_empty());
    if has_group { group(tree, record.request.prefix) } else { PrefixId::NONE }
}

fn row<'a>(record: &RequestRecord, origin: &'a Origin<'a>, source: &'a Source, model: &'a str) -> TraceRow<'a> {
    let request = &record.request;
    let tree = source.prefixes();
    let root = root(tree, record, origin);
    let prefix_length = tree.tokens(root).min(request.input_tokens);
    let input_tokens = request.input_tokens - prefix_length;
    let drawn = origin.detail.map(|detail| detail.modalities).filter(|parts| parts.iter().any(|tokens| *tokens > 0));
    let streaming = origin.client.is_some_and(|client| client.streaming);
    let (status, error_message, finish_reason) = match record.fate {
        Fate::Completed => ("ok", "", "stop"),
        Fate::LengthCapped => ("ok", "", "length"),
        Fate::TimedOut => ("timeout", "deadline passed", ""),
        Fate::Dropped => ("incomplete", "can never fit", ""),
        Fate::Rejected => ("incomplete", "refused by admission", ""),
        Fate::StillQueued | Fate::StillRunning | Fate::InPipeline => ("incomplete", "", ""),
    };
    let first = record.ttft.map(|ttft| request.arrive.0.saturating_add(ttft.0));
    let chunks = match (first, streaming) {
        (None, _) => 0,
        (Some(_), true) => record.produced_tokens,
        (Some(_), false) => 1,
    };
    TraceRow {
        request_id: request.id,
        client_id: &origin.client_id,
        tenant_id: name(source.tenants(), request.tenant),
        slo_class: name(source.classes(), request.slo_class),
        session_id: origin.turn.map(|turn| session_name(turn.session)).unwrap_or_default(),
        round_index: origin.turn.map_or(0, |turn| turn.round),
        prefix_group: match origin.client {
            Some(client) => client.prefix_group.clone(),
            None => group_name(root),
        },
        prefix_length,
        streaming,
        input_tokens,
        output_tokens: request.output_tokens,
        modalities: drawn.unwrap_or([input_tokens, 0, 0, 0]),
        reason_ratio: origin.detail.map_or(0.0, |detail| detail.reason_ratio),
        model,
        deadline_us: request.deadline.0,
        server_input_tokens: request.input_tokens,
        arrival_time_us: request.arrive.0,
        chunk_times_us: first.map_or([0, 0], |first| [first, first.saturating_add(record.gap_sum.0)]),
        num_chunks: chunks,
        status,
        error_message,
        finish_reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::trace_from_bytes;
    use plimsoll_core::scenario::{LengthSettings, SessionSettings};
    use plimsoll_core::time::SimTime;

    /// The second turn of a conversation with a group prefix, served, and another client's request, refused.
    #[test]
    fn a_run_is_told_row_by_row() {
        let client = |id: &str| ClientSettings {
            id: id.into(),
            input_tokens: LengthSettings::Constant { value: 100 },
            output_tokens: LengthSettings::Constant { value: 10 },
            ..ClientSettings::default()
        };
        let session = SessionSettings {
            max_rounds: 2,
            accumulates: true,
            is_closed_loop: false,
            is_single: true,
            ..SessionSettings::default()
        };
        let talks = ClientSettings {
            tenant: "acme".into(),
            prefix_group: "system".into(),
            prefix_tokens: 64,
            streaming: true,
            session: Some(session),
            ..client("talks")
        };
        let asks = ClientSettings { population: 2, rate_fraction: 1e-6, slo_class: "batch".into(), ..client("asks") };
        let workload = WorkloadSettings { clients: vec![talks, asks], ..WorkloadSettings::default() };
        let mut source = Source::of_run(&workload, None, 7, SimTime::MAX).with_details();
        let requests: Vec<_> = (0..3).filter_map(|_| source.next_request()).collect();
        let records: Vec<RequestRecord> = requests
            .iter()
            .map(|&request| match request.id {
                2 => RequestRecord::unserved(request, Fate::Rejected, request.arrive),
                _ => RequestRecord {
                    fate: Fate::Completed,
                    ttft: Some(SimTime(500)),
                    e2e: Some(SimTime(900)),
                    gap_sum: SimTime(400),
                    produced_tokens: 10,
                    ..RequestRecord::unserved(request, Fate::Completed, request.arrive)
                },
            })
            .rev()
            .collect();
        let written = recorded_run_to_csv(&records, &source, &workload, "m");
        assert_eq!(written.diagnostics.iter().map(|lost| lost.code.as_str()).collect::<Vec<_>>(), ["trace-loses"]);
        let lines: Vec<&str> = written.value.lines().skip(1).collect();
        let at: Vec<i64> = requests.iter().map(|request| request.arrive.0).collect();
        // The second prompt holds the first prompt's 100 tokens, its answer's 10, and 100 of its own.
        let expected = |id: i64, round: i64, own: i64, at: i64| {
            let (total, first, last, deadline) = (own + 64, at + 500, at + 900, at + 300_000_000);
            format!(
                "{id},talks,acme,,session_0,{round},system,64,true,{own},10,{own},0,0,0,0,m,{deadline},{total},{at},{at},{first},{last},10,ok,,stop"
            )
        };
        assert_eq!(lines[0], expected(0, 0, 100, at[0]));
        assert_eq!(lines[1], expected(1, 1, 210, at[1]));
        let copy = source.details()[2].copy;
        assert_eq!(
            lines[2],
            format!(
                "2,asks-{copy},,batch,,0,,0,false,100,10,100,0,0,0,0,m,0,100,{},{},0,0,0,incomplete,refused by admission,",
                at[2], at[2]
            )
        );
        let read = trace_from_bytes(written.value.as_bytes(), "t.csv").expect("it can be read").value;
        let turns: Vec<(u32, RecordedTurn)> = read.turns().iter().map(|(id, turn)| (*id, *turn)).collect();
        assert_eq!(turns, [(0, RecordedTurn { session: 0, round: 0 }), (1, RecordedTurn { session: 0, round: 1 })]);
        let offered = |requests: &[plimsoll_core::workload::Request]| {
            requests
                .iter()
                .map(|r| (r.id, r.arrive.0, r.input_tokens, r.output_tokens, r.deadline.0))
                .collect::<Vec<_>>()
        };
        assert_eq!(offered(read.requests()), offered(&requests));
    }
}
