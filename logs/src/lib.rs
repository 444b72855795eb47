//! Readers of measured runs: what benchmark clients and servers write, as [`Measurement`]s.
//!
//! [`LogReader`] is pushed the bytes of a file piece by piece and recognizes the format by content, never by name.
//! It keeps numbers and drops texts while it reads, so a file much larger than memory allows is read, and dropping the
//! reader cancels the work. At the end it gives every run of the file or every problem with its place; nothing is
//! half-loaded. Facts that stand in a file of their own (a trace's header, chunk times, a server's log) come as
//! [`Content`] without runs and are joined by [`attach`].
//!
//! The formats and what is read of each are told in `docs/log-formats.md`.

mod arrivals;
mod attach;
mod document;
mod gunzip;
mod json;
mod reader;
mod report;
mod rows;
mod server_log;
mod table;
mod text;
mod yaml;

pub use attach::attach;
pub use reader::{LogReader, read_log};

use plimsoll_core::diagnostic::Diagnostic;
use plimsoll_core::measurement::{MeasuredDeployment, Measurement};

/// What a file holds.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Content {
    /// Measured runs in the order of the file.
    pub runs: Vec<Run>,
    /// Facts about the server that stand apart from any run.
    pub deployment: Option<MeasuredDeployment>,
    /// When each chunk of each request arrived, by request and chunk.
    pub gaps: Vec<GapRow>,
    /// Notes and warnings.
    pub diagnostics: Vec<Diagnostic>,
}

/// A measured run and how the file numbers its requests.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// What was measured.
    pub measurement: Measurement,
    /// The number of each request in the file, in the order of the measurement, where the file numbers them.
    pub ids: Vec<Option<u64>>,
}

/// The arrival of one chunk at the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GapRow {
    /// The request's number in the file.
    pub id: u64,
    /// Number of the chunk, from 0.
    pub chunk: u32,
    /// Unix microseconds.
    pub time_us: i64,
}
