//! Comma-separated logs: BLIS traces with their side file, LMBench, residency runs (log formats 3 and 6).

use crate::rows::{Finished, Row, Rows};
use crate::{Content, GapRow};
use csv_core::{ReadRecordResult, Reader};
use plimsoll_core::diagnostic::Diagnostic;
use plimsoll_core::measurement::{LogFormat, Measurement};
use std::collections::HashMap;

/// How many malformed lines are told one by one.
const MAX_TOLD: usize = 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Trace,
    Gaps,
    Lmbench,
    Requests,
}

/// The columns a kind of table must have.
fn required(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Trace => &[
            "request_id",
            "input_tokens",
            "output_tokens",
            "send_time_us",
            "first_chunk_time_us",
            "last_chunk_time_us",
            "status",
        ],
        Kind::Gaps => &["request_id", "chunk_index", "timestamp_us"],
        Kind::Lmbench => {
            &["prompt_tokens", "generation_tokens", "ttft", "generation_time", "launch_time", "finish_time"]
        }
        Kind::Requests => &["ttft_ms", "e2e_ms", "num_input_tokens", "num_output_tokens", "start_time"],
    }
}

/// Reads one table, pushed in pieces.
#[derive(Debug)]
pub(crate) struct TableReader {
    reader: Reader,
    fields: Vec<u8>,
    ends: Vec<usize>,
    filled: usize,
    num_ends: usize,
    line: u64,
    header: Option<(Kind, HashMap<String, usize>, usize)>,
    rows: Rows,
    gaps: Vec<GapRow>,
    problems: Vec<Diagnostic>,
    num_problems: usize,
    /// The rest of the file means nothing.
    is_unusable: bool,
}

/// Whether a first line is the header of a table that is known here, whatever separates its fields.
pub(crate) fn is_header(line: &str) -> bool {
    kind_of(&names(line, |character| matches!(character, ',' | ';' | '\t'))).is_some() || is_workload(line)
}

/// Headers of traces that hold lengths and arrivals but no latencies (log formats 9).
fn is_workload(line: &str) -> bool {
    ["TIMESTAMP,ContextTokens", "Request tokens,Response tokens", "arrived_at,num_prefill_tokens"]
        .iter()
        .any(|start| line.contains(start))
}

fn names(line: &str, is_separator: fn(char) -> bool) -> Vec<String> {
    line.split(is_separator).map(|name| name.trim().trim_matches('"').to_owned()).collect()
}

fn kind_of(names: &[String]) -> Option<Kind> {
    let has = |wanted: &str| names.iter().any(|name| name == wanted);
    if has("first_chunk_time_us") || has("last_chunk_time_us") && has("send_time_us") {
        Some(Kind::Trace)
    } else if has("chunk_index") && has("timestamp_us") {
        Some(Kind::Gaps)
    } else if has("launch_time") && has("finish_time") {
        Some(Kind::Lmbench)
    } else if has("ttft_ms") && has("num_output_tokens") {
        Some(Kind::Requests)
    } else {
        None
    }
}

impl TableReader {
    pub fn new(name: &str) -> Self {
        Self {
            reader: Reader::new(),
            fields: vec![0; 4096],
            ends: vec![0; 64],
            filled: 0,
            num_ends: 0,
            line: 1,
            header: None,
            rows: Rows::new(Measurement::new(name, LogFormat::BlisTrace), |line| format!("{line}")),
            gaps: Vec::new(),
            problems: Vec::new(),
            num_problems: 0,
            is_unusable: false,
        }
    }

    pub fn push(&mut self, bytes: &[u8]) {
        // An empty slice would tell the reader that the file ends.
        if !bytes.is_empty() {
            self.read(bytes);
        }
    }

    fn read(&mut self, mut input: &[u8]) {
        loop {
            let (result, used, wrote, ends) =
                self.reader.read_record(input, &mut self.fields[self.filled..], &mut self.ends[self.num_ends..]);
            input = &input[used..];
            self.filled += wrote;
            self.num_ends += ends;
            match result {
                ReadRecordResult::InputEmpty if input.is_empty() => return,
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull => self.fields.resize(self.fields.len() * 2, 0),
                ReadRecordResult::OutputEndsFull => self.ends.resize(self.ends.len() * 2, 0),
                ReadRecordResult::Record => {
                    let line = self.line;
                    self.line = self.reader.line();
                    let text = String::from_utf8_lossy(&self.fields[..self.filled]).into_owned();
                    let ends = self.ends[..self.num_ends].to_vec();
                    (self.filled, self.num_ends) = (0, 0);
                    let mut start = 0;
                    let fields: Vec<&str> = ends
                        .iter()
                        .map(|&end| {
                            let field = text.get(start..end).unwrap_or_default();
                            start = end;
                            field
                        })
                        .collect();
                    self.record(line, &fields);
                    if input.is_empty() {
                        return;
                    }
                }
                ReadRecordResult::End => return,
            }
        }
    }

    fn problem(&mut self, code: &str, line: u64, message: String, hint: &str) {
        self.num_problems += 1;
        if self.problems.len() < MAX_TOLD {
            let path = format!("{}:{line}", self.rows.measurement.name);
            self.problems.push(Diagnostic::error(code, path, message).with_hint(hint));
        }
    }

    fn record(&mut self, line: u64, fields: &[&str]) {
        if self.is_unusable || fields.iter().all(|field| field.trim().is_empty()) {
            return;
        }
        let Some((kind, columns, width)) = self.header.take() else {
            self.header(line, fields);
            return;
        };
        if fields.len() == width {
            let row = Fields { fields, columns: &columns };
            match kind {
                Kind::Trace => self.trace(line, &row),
                Kind::Gaps => self.gap(line, &row),
                Kind::Lmbench => self.lmbench(line, &row),
                Kind::Requests => self.request(line, &row),
            }
        } else {
            let message = format!("the line has {} fields, the header has {width}", fields.len());
            self.problem("log-field-count", line, message, "quote fields that hold commas");
        }
        self.header = Some((kind, columns, width));
    }

    fn header(&mut self, line: u64, fields: &[&str]) {
        let all = fields.join(",");
        let names: Vec<String> = fields.iter().map(|name| name.trim().to_owned()).collect();
        let Some(kind) = kind_of(&names) else {
            self.is_unusable = true;
            if is_workload(&all) {
                let message = "this trace holds lengths and arrivals but no latencies";
                self.problem("log-no-latencies", line, message.into(), "simulate it with run --workload traces");
            } else {
                let message = format!("the header is {all}");
                self.problem("log-header", line, message, "separate fields by commas and begin with a header");
            }
            return;
        };
        let columns: HashMap<String, usize> = names.into_iter().enumerate().map(|(at, name)| (name, at)).collect();
        for name in required(kind).iter().filter(|name| !columns.contains_key(**name)) {
            self.is_unusable = true;
            self.problem("log-missing-field", line, format!("there is no column {name}"), "export the log again");
        }
        self.rows.measurement.format = match kind {
            Kind::Trace | Kind::Gaps => LogFormat::BlisTrace,
            Kind::Lmbench => LogFormat::Lmbench,
            Kind::Requests => LogFormat::BlisRequests,
        };
        self.header = Some((kind, columns, fields.len()));
    }

    /// A number of a column, or a problem; an empty field is NaN.
    fn number(&mut self, line: u64, row: &Fields<'_>, name: &str) -> f64 {
        let text = row.get(name);
        if text.is_empty() {
            return f64::NAN;
        }
        text.parse().unwrap_or_else(|_| {
            let hint = "give a number; export the log again if the line is cut";
            self.problem("log-invalid-value", line, format!("{name} is \"{text}\""), hint);
            f64::NAN
        })
    }

    fn trace(&mut self, line: u64, row: &Fields<'_>) {
        let status = row.get("status");
        let is_failed = status != "ok";
        if is_failed && self.rows.first_failure.is_empty() {
            self.rows.first_failure = format!("{status} {}", row.get("error_message")).trim().to_owned();
        }
        let mut number = |name| self.number(line, row, name);
        let send = number("send_time_us");
        let counted = number("server_input_tokens");
        let planned = number("input_tokens");
        let first = number("first_chunk_time_us");
        let last = number("last_chunk_time_us");
        let id = number("request_id");
        let output_tokens = number("output_tokens");
        let arrive = number("arrival_time_us");
        // Without streaming the first chunk is the whole answer.
        let is_streamed = !row.get("streaming").eq_ignore_ascii_case("false");
        if self.rows.measurement.deployment.model.is_none() && !row.get("model").is_empty() {
            self.rows.measurement.deployment.model = Some(row.get("model").to_owned());
        }
        self.rows.rows.push(Row {
            place: line,
            id: (id >= 0.0).then_some(id as u64),
            arrive,
            send,
            input_tokens: if counted > 0.0 { counted } else { planned },
            output_tokens,
            ttft: if is_streamed { first - send } else { f64::NAN },
            e2e: last - send,
            session: row.get("session_id").parse().ok(),
            gaps: 0..0,
            is_failed,
        });
    }

    fn gap(&mut self, line: u64, row: &Fields<'_>) {
        let mut number = |name| self.number(line, row, name);
        let (id, chunk, time) = (number("request_id"), number("chunk_index"), number("timestamp_us"));
        if id >= 0.0 && chunk >= 0.0 && time.is_finite() {
            self.gaps.push(GapRow { id: id as u64, chunk: chunk as u32, time_us: time as i64 });
        }
    }

    fn lmbench(&mut self, line: u64, row: &Fields<'_>) {
        let mut number = |name| self.number(line, row, name);
        let (launch, finish) = (number("launch_time"), number("finish_time"));
        let (ttft, generation) = (number("ttft"), number("generation_time"));
        let (input_tokens, output_tokens) = (number("prompt_tokens"), number("generation_tokens"));
        let session = number("user_id");
        if finish < launch {
            self.problem(
                "log-invalid-value",
                line,
                "finish_time lies before launch_time".into(),
                "the columns hold Unix seconds; export the log again",
            );
        }
        self.rows.rows.push(Row {
            place: line,
            id: None,
            arrive: f64::NAN,
            send: launch * 1e6,
            input_tokens,
            output_tokens,
            ttft: ttft * 1e6,
            e2e: (ttft + generation) * 1e6,
            session: (session >= 0.0).then_some(session as u32),
            gaps: 0..0,
            is_failed: false,
        });
    }

    fn request(&mut self, line: u64, row: &Fields<'_>) {
        let mut number = |name| self.number(line, row, name);
        let (ttft, e2e, start) = (number("ttft_ms"), number("e2e_ms"), number("start_time"));
        let (input_tokens, output_tokens) = (number("num_input_tokens"), number("num_output_tokens"));
        let id = number("request_idx");
        self.rows.rows.push(Row {
            place: line,
            id: (id >= 0.0).then_some(id as u64),
            arrive: f64::NAN,
            send: start * 1e6,
            input_tokens,
            output_tokens,
            ttft: ttft * 1e3,
            e2e: e2e * 1e3,
            session: None,
            gaps: 0..0,
            is_failed: false,
        });
    }

    pub fn finish(mut self) -> Result<Content, Vec<Diagnostic>> {
        self.read(&[]);
        if self.num_problems > self.problems.len() {
            let message = format!("{} further lines are malformed", self.num_problems - self.problems.len());
            let name = self.rows.measurement.name.clone();
            self.problems.push(Diagnostic::error("log-more-rows", name, message).with_hint("mend the first ones"));
        }
        if !self.problems.is_empty() {
            return Err(self.problems);
        }
        if let Some((Kind::Gaps, ..)) = self.header {
            self.gaps.sort_by_key(|gap| (gap.id, gap.chunk));
            return Ok(Content { gaps: self.gaps, ..Content::default() });
        }
        self.check_duplicates()?;
        self.check_units()?;
        if let Some((Kind::Lmbench, ..)) = self.header {
            self.check_launches();
        }
        let Finished { measurement, diagnostics, ids } = self.rows.finish()?;
        Ok(Content { runs: vec![crate::Run { measurement, ids }], diagnostics, ..Content::default() })
    }

    fn check_duplicates(&mut self) -> Result<(), Vec<Diagnostic>> {
        let mut seen: HashMap<u64, u64> = HashMap::new();
        let mut problems = Vec::new();
        // Residency runs number the requests of each tenant.
        let is_numbered = self.rows.measurement.format == LogFormat::BlisTrace;
        for row in self.rows.rows.iter().filter(|_| is_numbered) {
            let Some(id) = row.id else { continue };
            if let Some(first) = seen.insert(id, row.place)
                && problems.len() < MAX_TOLD
            {
                let path = format!("{}:{}", self.rows.measurement.name, row.place);
                let message = format!("request {id} is there already, on line {first}");
                problems.push(
                    Diagnostic::error("log-duplicate", path, message)
                        .with_hint("two runs may have been written to one file"),
                );
            }
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    /// Seconds that are milliseconds make answers of minutes.
    fn check_units(&mut self) -> Result<(), Vec<Diagnostic>> {
        let mut ttfts: Vec<f64> = self.rows.rows.iter().map(|row| row.ttft).filter(|ttft| ttft.is_finite()).collect();
        ttfts.sort_by(f64::total_cmp);
        match ttfts.get(ttfts.len() / 2) {
            Some(&median) if median > 600e6 => Err(vec![
                Diagnostic::error(
                    "log-unit",
                    self.rows.measurement.name.clone(),
                    format!("the median TTFT is {:.0} s", median / 1e6),
                )
                .with_hint("the times look like another unit: divide by 1000"),
            ]),
            _ => Ok(()),
        }
    }

    /// Some variants of LMBench write one launch time for all.
    fn check_launches(&mut self) {
        let Some(first) = self.rows.rows.first().map(|row| row.send) else { return };
        if self.rows.rows.len() > 1 && self.rows.rows.iter().all(|row| row.send == first) {
            self.rows.rows.iter_mut().for_each(|row| row.send = f64::NAN);
            let name = self.rows.measurement.name.clone();
            self.rows.diagnostics.push(
                Diagnostic::warning("log-arrivals-unknown", name, "all launch times are equal")
                    .with_hint("distributions can be compared, single requests cannot"),
            );
        }
    }
}

struct Fields<'a> {
    fields: &'a [&'a str],
    columns: &'a HashMap<String, usize>,
}

impl Fields<'_> {
    fn get(&self, name: &str) -> &str {
        self.columns.get(name).and_then(|&at| self.fields.get(at)).map_or("", |field| field.trim())
    }
}
