//! Trace v2: recorded and replayable traces of other simulators, a CSV beside a YAML header.

use super::NamedColumns;
use super::names::Names;
use super::rows::{Problems, Row, Rows};
use plimsoll_core::time::SimTime;
use plimsoll_core::workload::{PrefixId, PrefixTree, RecordedTurn, Request, Trace};
use std::collections::{BTreeMap, HashMap, HashSet};

/// The columns of workload specification 8, in order.
pub(crate) const COLUMNS: [&str; 27] = [
    "request_id",
    "client_id",
    "tenant_id",
    "slo_class",
    "session_id",
    "round_index",
    "prefix_group",
    "prefix_length",
    "streaming",
    "input_tokens",
    "output_tokens",
    "text_tokens",
    "image_tokens",
    "audio_tokens",
    "video_tokens",
    "reason_ratio",
    "model",
    "deadline_us",
    "server_input_tokens",
    "arrival_time_us",
    "send_time_us",
    "first_chunk_time_us",
    "last_chunk_time_us",
    "num_chunks",
    "status",
    "error_message",
    "finish_reason",
];
/// Columns that older files lack (February's 22 columns).
const NEWER: [&str; 5] = ["prefix_length", "model", "deadline_us", "server_input_tokens", "finish_reason"];
/// Columns that hold whole numbers of 0 or more, besides those that a request is made of.
const COUNTS: [usize; 9] = [11, 12, 13, 14, 18, 20, 21, 22, 23];

/// Whether this is the header row of a trace v2.
pub(super) fn is_header(header: &Row) -> bool {
    header.has("arrival_time_us") || header.has("first_chunk_time_us")
}

/// Reads the rows behind the header; all of them, whatever their status.
pub(super) fn read(header: &Row, mut rows: Rows<'_>, problems: &mut Problems<'_>) -> Option<Trace> {
    // Older files lack some columns; newer ones have more in between, so all are found by name.
    let (newer, older): (Vec<&str>, Vec<&str>) = COLUMNS.iter().partition(|name| NEWER.contains(name));
    let missing: Vec<&str> = older.into_iter().filter(|name| !header.has(name)).collect();
    if !missing.is_empty() {
        let message = format!("the header lacks {}", missing.join(", "));
        let hint = format!("a trace v2 has all of {}; older ones may lack {}", COLUMNS.join(", "), newer.join(", "));
        problems.row(header, 0, "trace-header", message, &hint);
        return None;
    }
    let columns = NamedColumns::new(header, &COLUMNS, 0, "a trace v2", problems)?;
    let mut lines: Vec<(Request, Option<u32>)> = Vec::new();
    let mut ids = HashSet::new();
    let mut groups = Names::default();
    let mut group_tokens: HashMap<u32, u32> = HashMap::new();
    let (mut classes, mut tenants) = (Names::with_unnamed(), Names::with_unnamed());
    let mut sessions = Names::default();
    let mut turns = BTreeMap::new();
    while let Some(row) = rows.next(problems) {
        let Some((mut request, prefix_tokens)) = line(&columns, &row, problems) else { continue };
        if !ids.insert(request.id) {
            let message = format!("request {} is there twice", request.id);
            problems.row(&row, columns.at(0), "trace-invalid-value", message, "number the requests, each once");
            continue;
        }
        let name = |column: usize| String::from_utf8_lossy(row.field(columns.at(column))).into_owned();
        let group = name(6);
        let group = (!group.is_empty()).then(|| groups.index(&group));
        if let Some(group) = group.filter(|_| prefix_tokens > 0) {
            // The first record of the group that states a length decides.
            group_tokens.entry(group).or_insert(prefix_tokens);
        }
        let session = name(4);
        if let (false, Some(round)) = (session.is_empty(), row.number(columns.at(5))) {
            turns.insert(request.id, RecordedTurn { session: sessions.index(&session), round });
        }
        let ids = (u16::try_from(classes.index(&name(3))), u16::try_from(tenants.index(&name(2))));
        let (Ok(class), Ok(tenant)) = ids else {
            let message = "there are more than 65,535 classes or tenants".into();
            problems.row(&row, 0, "trace-too-large", message, "merge some of them");
            return None;
        };
        (request.slo_class, request.tenant) = (class, tenant);
        lines.push((request, group));
    }
    if problems.has_errors() {
        return None;
    }
    let mut prefixes = PrefixTree::new();
    let mut nodes: HashMap<u32, PrefixId> = HashMap::new();
    let requests = lines.into_iter().map(|(mut request, group)| {
        if let Some((group, &tokens)) = group.and_then(|group| Some((group, group_tokens.get(&group)?))) {
            request.prefix = *nodes.entry(group).or_insert_with(|| prefixes.extend(PrefixId::NONE, tokens));
            request.input_tokens = request.input_tokens.saturating_add(tokens);
        }
        request.input_tokens = request.input_tokens.max(1);
        request
    });
    let requests = requests.collect();
    Some(Trace::new(requests, prefixes, classes.names, tenants.names).in_sessions(turns))
}

/// The request of a row and the length its group's prefix has by it; all malformed numbers are reported.
fn line(columns: &NamedColumns<'_>, row: &Row, problems: &mut Problems<'_>) -> Option<(Request, u32)> {
    let mut is_good = columns.number::<u32>(row, 5, problems).is_some();
    for column in COUNTS.into_iter().filter(|column| columns.has(*column)) {
        is_good &= columns.number::<u64>(row, column, problems).is_some();
    }
    let ratio = row.number::<f64>(columns.at(15)).filter(|ratio| (0.0..=1.0).contains(ratio));
    if ratio.is_none() {
        let message = format!("reason_ratio is {}, not a number from 0 to 1", row.shown(columns.at(15)));
        problems.row(row, columns.at(15), "trace-invalid-value", message, "write a share such as 0.25");
        is_good = false;
    }
    let streaming = row.field(columns.at(8));
    if !["true", "false", "True", "False", "0", "1"].iter().any(|word| streaming == word.as_bytes()) {
        let message = format!("streaming is {}, not true or false", row.shown(columns.at(8)));
        problems.row(row, columns.at(8), "trace-invalid-value", message, "write true or false");
        is_good = false;
    }
    let id = columns.number::<u32>(row, 0, problems);
    let prefix_tokens = if columns.has(7) { columns.number::<u32>(row, 7, problems) } else { Some(0) };
    let (input, output) = (columns.number::<u32>(row, 9, problems), columns.number::<u32>(row, 10, problems));
    let deadline = if columns.has(17) { columns.number::<u64>(row, 17, problems) } else { Some(0) };
    let arrive = super::arrival(row, columns.at(19), columns.number::<i64>(row, 19, problems), problems);
    let (id, prefix_tokens, input, output) = (id?, prefix_tokens?, input?, output?);
    let (deadline, arrive) = (i64::try_from(deadline?).unwrap_or(i64::MAX), arrive?);
    if deadline > 0 && arrive > 0 && deadline < arrive {
        let message = format!("the deadline {deadline} comes before the arrival {arrive}");
        problems.row(row, columns.at(17), "trace-invalid-value", message, "give microseconds of the same clock, or 0");
        is_good = false;
    }
    let mut request = Request::plain(id, SimTime(arrive), input, output);
    request.deadline = SimTime(deadline);
    is_good.then_some((request, prefix_tokens))
}
