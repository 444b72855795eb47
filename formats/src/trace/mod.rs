//! Request traces: recorded workloads to be replayed.
//!
//! Two forms are recognized by their first line.
//! A *token trace* has rows `arrival_time,request_id,model,prefill_tokens,decode_tokens`, the last two JSON arrays of
//! token ids; a *length trace* has columns by name, `request_id,arrival_us,…,input_tokens,output_tokens,…`.
//! Either way the result holds lengths and shared prefixes only; token ids are compared once, while reading.

mod lengths;
mod rows;
mod segments;
mod tokens;

use plimsoll_core::diagnostic::{Checked, Warned};
use plimsoll_core::workload::Trace;
use rows::{Problems, Rows};

/// Reads a CSV trace; `file` names it in diagnostics.
///
/// # Errors
/// Every malformed row, up to a limit, with 1-based line and column; nothing is half-loaded.
///
/// # Source
/// Workload specification 2 (token traces) and the reference cases' format (length traces).
pub fn trace_from_csv(bytes: &[u8], file: &str) -> Checked<Trace> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut problems = Problems::new(file, bytes);
    let mut rows = Rows::new(bytes);
    let trace = match rows.next(&mut problems) {
        None if problems.has_errors() => None,
        None => {
            problems.whole_file("trace-empty", "the file holds no rows", "export the trace again, with its header row");
            None
        }
        Some(header) if lengths::is_header(&header) => lengths::read(&header, rows, &mut problems),
        Some(header) => tokens::read(&header, bytes, rows, &mut problems),
    };
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

#[cfg(test)]
mod tests;
