//! Request traces: recorded workloads to be replayed.
//!
//! The form is recognized by content.
//! A *token trace* has rows `arrival_time,request_id,model,prefill_tokens,decode_tokens`, the last two JSON arrays of
//! token ids; a *length trace* has columns by name, `request_id,arrival_us,…,input_tokens,output_tokens,…`; a
//! *trace v2* has the columns of workload specification 8; Azure, BurstGPT and Mooncake traces have their own.
//! Whichever it is, the result holds lengths and shared prefixes only; token ids are compared once, while reading.

mod header;
mod lengths;
mod mooncake;
mod names;
mod public;
mod record;
pub(crate) mod rows;
mod segments;
mod tokens;
mod version2;
mod write;

pub use header::{TraceHeader, TraceServer, trace_header_from_yaml};
pub use record::recorded_run_to_csv;
pub use write::{TraceFormat, trace_to_text};

use plimsoll_core::diagnostic::{Checked, Warned};
use plimsoll_core::workload::Trace;
use rows::{Problems, Row, Rows};

/// Reads a trace of any known form; `file` names it in diagnostics.
///
/// # Errors
/// Every malformed row, up to a limit, with 1-based line and column; nothing is half-loaded.
///
/// # Source
/// Workload specification 2 (token traces) and 8 (trace v2), the reference cases' format (length traces), log formats
/// 9 (public traces).
pub fn trace_from_bytes(bytes: &[u8], file: &str) -> Checked<Trace> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut problems = Problems::new(file, bytes);
    let trace =
        if mooncake::is_lines(bytes) { mooncake::read(bytes, &mut problems) } else { from_csv(bytes, &mut problems) };
    if let Some(trace) = &trace
        && trace.requests().is_empty()
        && !problems.has_errors()
    {
        problems.whole_file("trace-empty", "the file holds a header but no requests", "export the trace again");
    }
    match (trace, problems.finish()) {
        (Some(value), Ok(diagnostics)) => Ok(Warned { value, diagnostics }),
        (_, Err(diagnostics) | Ok(diagnostics)) => Err(diagnostics),
    }
}

fn from_csv(bytes: &[u8], problems: &mut Problems<'_>) -> Option<Trace> {
    let mut rows = Rows::new(bytes);
    let Some(header) = rows.next(problems) else {
        if !problems.has_errors() {
            problems.whole_file("trace-empty", "the file holds no rows", "export the trace again, with its header row");
        }
        return None;
    };
    if version2::is_header(&header) {
        version2::read(&header, rows, problems)
    } else if lengths::is_header(&header) {
        lengths::read(&header, rows, problems)
    } else if public::is_azure(&header) {
        public::read_azure(&header, rows, problems)
    } else if public::is_burst_gpt(&header) {
        public::read_burst_gpt(&header, rows, problems)
    } else {
        tokens::read(&header, bytes, rows, problems)
    }
}

/// Farthest arrival from 0, microseconds: 3,000 years, so that clocks since 1970 fit, and runs do not overflow.
const MAX_ARRIVAL: i64 = 100_000_000_000_000_000;

/// An arrival in microseconds, if it is not absurdly far; reported otherwise.
fn arrival(row: &rows::Row, field: usize, arrive: Option<i64>, problems: &mut Problems<'_>) -> Option<i64> {
    let arrive = arrive?;
    if (-MAX_ARRIVAL..=MAX_ARRIVAL).contains(&arrive) {
        return Some(arrive);
    }
    let message = format!("the request arrives at {arrive} µs");
    problems.row(row, field, "trace-invalid-value", message, "give microseconds, at most 10¹⁷");
    None
}

/// Where columns stand that are found by name.
struct NamedColumns<'a> {
    names: &'a [&'a str],
    at: Vec<Option<usize>>,
}

impl<'a> NamedColumns<'a> {
    /// The columns `names`, the first `num_required` of which must be there; otherwise the header is reported.
    fn new(
        header: &Row,
        names: &'a [&'a str],
        num_required: usize,
        what: &str,
        problems: &mut Problems<'_>,
    ) -> Option<Self> {
        let at: Vec<Option<usize>> =
            names.iter().map(|name| header.fields.iter().position(|field| field == name.as_bytes())).collect();
        let lacks = |(name, at): (&&'a str, &Option<usize>)| at.is_none().then_some(*name);
        let missing: Vec<&str> = names.iter().zip(&at).take(num_required).filter_map(lacks).collect();
        if missing.is_empty() {
            return Some(Self { names, at });
        }
        let message = format!("the header lacks {}", missing.join(", "));
        let hint = format!("columns of {what}: {}", names.join(", "));
        problems.row(header, 0, "trace-header", message, &hint);
        None
    }

    fn has(&self, column: usize) -> bool {
        self.at.get(column).is_some_and(Option::is_some)
    }

    /// Position of a column; one that is not there has no fields.
    fn at(&self, column: usize) -> usize {
        self.at.get(column).copied().flatten().unwrap_or(usize::MAX)
    }

    /// A field as a whole number; reported if it is none.
    fn number<T: std::str::FromStr>(&self, row: &Row, column: usize, problems: &mut Problems<'_>) -> Option<T> {
        let number = row.number(self.at(column));
        if number.is_none() {
            let name = self.names.get(column).copied().unwrap_or_default();
            let message = format!("{name} is {}, not a whole number in range", row.shown(self.at(column)));
            problems.row(row, self.at(column), "trace-invalid-value", message, "write plain digits without spaces");
        }
        number
    }
}

#[cfg(test)]
mod tests;
