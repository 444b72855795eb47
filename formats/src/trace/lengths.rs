//! Length traces: lengths and prefix groups by column name.

use super::names::Names;
use super::rows::{Problems, Row, Rows};
use plimsoll_core::time::SimTime;
use plimsoll_core::workload::{PrefixId, PrefixTree, Request, Trace};
use std::collections::{HashMap, HashSet};

/// Columns in the order in which they are usually written.
pub(super) const COLUMNS: [&str; 9] = [
    "request_id",
    "arrival_us",
    "prefix_group",
    "prefix_tokens",
    "input_tokens",
    "output_tokens",
    "slo_class",
    "tenant_id",
    "deadline_us",
];

/// Columns that cannot be left out.
const REQUIRED: [&str; 4] = ["request_id", "arrival_us", "input_tokens", "output_tokens"];

/// Whether this is the header of a length trace.
pub(super) fn is_header(row: &Row) -> bool {
    row.has("arrival_us") && (row.has("request_id") || row.has("input_tokens"))
}

/// Reads the rows behind the header; none if the header lacks a column or a row is malformed.
pub(super) fn read(header: &Row, mut rows: Rows<'_>, problems: &mut Problems<'_>) -> Option<Trace> {
    let columns = Columns::new(header, problems)?;
    let mut lines = Vec::new();
    let mut ids = HashSet::new();
    let mut groups = Names::default();
    let mut group_tokens: HashMap<u32, u32> = HashMap::new();
    let (mut classes, mut tenants) = (Names::with_unnamed(), Names::with_unnamed());
    // Rows without tokens of their own: their prompt may be a prefix whose length another row decides.
    let mut bare = Vec::new();
    while let Some(row) = rows.next(problems) {
        let line = columns.line(&row, problems);
        let names = [2, 6, 7].map(|column| columns.text(&row, column, problems));
        let (Some(mut line), [Some(group), Some(class), Some(tenant)]) = (line, names) else { continue };
        if !ids.insert(line.request.id) {
            let message = format!("request {} is there twice", line.request.id);
            problems.row(
                &row,
                columns.at[0].unwrap_or(0),
                "trace-invalid-value",
                message,
                "number the requests, each once",
            );
            continue;
        }
        line.group = (!group.is_empty()).then(|| groups.index(group));
        if let Some(group) = line.group.filter(|_| line.prefix_tokens > 0) {
            let length = *group_tokens.entry(group).or_insert(line.prefix_tokens);
            if length != line.prefix_tokens {
                let message = format!("the prefix of this group has {length} tokens, not {}", line.prefix_tokens);
                let field = columns.at[3].unwrap_or(0);
                problems.row_warning(
                    &row,
                    field,
                    "trace-prefix-length",
                    message,
                    "the group's first row decides; make them agree",
                );
            }
        }
        let indexes = (u16::try_from(classes.index(class)), u16::try_from(tenants.index(tenant)));
        let (Ok(class), Ok(tenant)) = indexes else {
            problems.row(
                &row,
                0,
                "trace-too-large",
                "there are more than 65,535 classes or tenants".into(),
                "merge some of them",
            );
            return None;
        };
        (line.request.slo_class, line.request.tenant) = (class, tenant);
        if line.request.input_tokens == 0 {
            bare.push((line.group, row));
        }
        lines.push(line);
    }
    for (group, row) in bare {
        if group.is_none_or(|group| !group_tokens.contains_key(&group)) {
            let field = columns.at[4].unwrap_or(0);
            problems.row(
                &row,
                field,
                "trace-empty-prompt",
                "the prompt is empty".into(),
                "a request needs at least one input token",
            );
        }
    }
    (!problems.has_errors()).then(|| assemble(lines, &group_tokens, classes.names, tenants.names))
}

/// Requests with the prefixes of their groups in front.
fn assemble(lines: Vec<Line>, group_tokens: &HashMap<u32, u32>, classes: Vec<String>, tenants: Vec<String>) -> Trace {
    let mut prefixes = PrefixTree::new();
    let mut nodes: HashMap<u32, PrefixId> = HashMap::new();
    let mut requests = Vec::new();
    for Line { mut request, group, .. } in lines {
        if let Some((group, &tokens)) = group.and_then(|group| Some((group, group_tokens.get(&group)?))) {
            request.prefix = *nodes.entry(group).or_insert_with(|| prefixes.extend(PrefixId::NONE, tokens));
            request.input_tokens = request.input_tokens.saturating_add(tokens);
        }
        requests.push(request);
    }
    Trace::new(requests, prefixes, classes, tenants)
}

/// A row before its group's prefix is known.
struct Line {
    request: Request,
    group: Option<u32>,
    prefix_tokens: u32,
}

/// Where each of [`COLUMNS`] stands.
struct Columns {
    at: [Option<usize>; COLUMNS.len()],
}

impl Columns {
    fn new(header: &Row, problems: &mut Problems<'_>) -> Option<Self> {
        let at = COLUMNS.map(|name| header.fields.iter().position(|field| field == name.as_bytes()));
        let missing: Vec<&str> = COLUMNS
            .iter()
            .zip(at)
            .filter(|(name, at)| at.is_none() && REQUIRED.contains(name))
            .map(|(&name, _)| name)
            .collect();
        if missing.is_empty() {
            return Some(Self { at });
        }
        let message = format!("the header lacks {}", missing.join(", "));
        problems.row(
            header,
            0,
            "trace-header",
            message,
            "columns of a length trace: request_id, arrival_us, input_tokens, output_tokens",
        );
        None
    }

    /// The numbers of a row, or none if one of them is malformed; all malformed ones are reported.
    fn line(&self, row: &Row, problems: &mut Problems<'_>) -> Option<Line> {
        let id = self.number(row, 0, None, problems);
        let arrive = super::arrival(row, self.at[1].unwrap_or(0), self.number(row, 1, None, problems), problems);
        let prefix_tokens = self.number(row, 3, Some(0), problems);
        let input_tokens = self.number(row, 4, None, problems);
        let output_tokens = self.number(row, 5, None, problems);
        let deadline = self.number(row, 8, Some(0), problems);
        let (id, arrive, prefix_tokens, input_tokens) = (id?, arrive?, prefix_tokens?, input_tokens?);
        let (output_tokens, deadline): (u32, i64) = (output_tokens?, deadline?);
        let request = Request {
            deadline: SimTime(deadline.max(0)),
            ..Request::plain(id, SimTime(arrive), input_tokens, output_tokens)
        };
        Some(Line { request, group: None, prefix_tokens })
    }

    fn number<T: std::str::FromStr>(
        &self,
        row: &Row,
        column: usize,
        absent: Option<T>,
        problems: &mut Problems<'_>,
    ) -> Option<T> {
        let Some(at) = self.at[column] else { return absent };
        if row.field(at).is_empty() && absent.is_some() {
            return absent;
        }
        let number = row.number(at);
        if number.is_none() {
            let message = format!("{} is {}, not a whole number in range", COLUMNS[column], row.shown(at));
            problems.row(row, at, "trace-invalid-value", message, "write plain digits without spaces");
        }
        number
    }

    /// A name, empty where there is none; `None` if the text is not UTF-8.
    fn text<'r>(&self, row: &'r Row, column: usize, problems: &mut Problems<'_>) -> Option<&'r str> {
        let Some(at) = self.at[column] else { return Some("") };
        let text = std::str::from_utf8(row.field(at)).ok();
        if text.is_none() {
            let message = format!("{} is not text in UTF-8", COLUMNS[column]);
            problems.row(row, at, "trace-invalid-value", message, "save the file as UTF-8");
        }
        text
    }
}
