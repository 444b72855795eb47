//! Pieces of a file in, its content out: which format it is, and whose turn it is to read.

use crate::Content;
use crate::document::DocumentReader;
use crate::gunzip::Gunzip;
use crate::table::{self, TableReader};
use crate::text::TextReader;
use crate::yaml::{self, YamlReader};
use plimsoll_core::diagnostic::Diagnostic;

/// How much of a file is looked at to recognize it.
const HEAD: usize = 64 * 1024;
/// What a gzip file begins with.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Reads one log that is pushed piece by piece; dropping it cancels the work.
///
/// # Example
/// ```
/// use plimsoll_logs::LogReader;
///
/// let mut reader = LogReader::new("run.csv");
/// reader.push(b"prompt_tokens,generation_tokens,ttft,generation_time,user_id,question_id,");
/// reader.push(b"launch_time,finish_time\n76.0,20.0,0.054,0.559,1,1,1700000000.00,1700000000.613\n");
/// assert_eq!(reader.bytes_read(), 152);
/// let content = reader.finish().unwrap();
/// assert_eq!(content.runs[0].measurement.requests[0].input_tokens, 76);
/// ```
#[derive(Debug)]
pub struct LogReader {
    name: String,
    bytes_read: u64,
    /// Whether it stands inside a packed file, where another one is not unpacked: some unpack to themselves.
    is_inside: bool,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Not recognized yet; what was pushed so far.
    Head(Vec<u8>),
    Document(Box<DocumentReader>),
    Table(Box<TableReader>),
    Text(Box<TextReader>),
    Packed(Box<Gunzip>),
    Yaml(Box<YamlReader>),
    Refused(Diagnostic),
}

impl LogReader {
    /// A reader for a file of this name; the name is used in messages only.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), bytes_read: 0, is_inside: false, state: State::Head(Vec::new()) }
    }

    /// A reader for what a packed file holds.
    pub(crate) fn inside(name: &str) -> Self {
        Self { is_inside: true, ..Self::new(name) }
    }

    /// Takes the next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes_read += bytes.len() as u64;
        match &mut self.state {
            State::Head(head) => {
                head.extend_from_slice(bytes);
                if head.len() >= HEAD || head.starts_with(&GZIP) {
                    self.decide();
                }
            }
            State::Document(reader) => reader.push(bytes),
            State::Table(reader) => reader.push(bytes),
            State::Text(reader) => reader.push(bytes),
            State::Packed(reader) => reader.push(bytes),
            State::Yaml(reader) => reader.push(bytes),
            State::Refused(_) => {}
        }
    }

    /// Bytes taken so far, for a progress bar.
    #[must_use]
    pub fn bytes_read(&self) -> u64 {
        self.bytes_read
    }

    /// Whether nothing further can come of the file, so that reading on is idle.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        match &self.state {
            State::Refused(_) => true,
            State::Packed(reader) => reader.is_refused(),
            State::Yaml(reader) => reader.is_refused(),
            _ => false,
        }
    }

    /// Ends the file.
    ///
    /// # Errors
    /// Every problem that keeps the file from being used, each with its place.
    pub fn finish(mut self) -> Result<Content, Vec<Diagnostic>> {
        if matches!(self.state, State::Head(_)) {
            self.decide();
        }
        match self.state {
            State::Document(reader) => reader.finish(),
            State::Table(reader) => reader.finish(),
            State::Text(reader) => reader.finish(),
            State::Packed(reader) => reader.finish(),
            State::Yaml(reader) => reader.finish(),
            State::Refused(problem) => Err(vec![problem]),
            State::Head(_) => Ok(Content::default()),
        }
    }

    fn decide(&mut self) {
        let State::Head(head) = std::mem::replace(&mut self.state, State::Head(Vec::new())) else { return };
        let bytes = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&head);
        if bytes.starts_with(&GZIP) && !self.is_inside {
            let mut reader = Gunzip::new(&self.name);
            reader.push(bytes);
            self.state = State::Packed(Box::new(reader));
            return;
        }
        self.state = match refusal(&self.name, bytes) {
            Some(problem) => State::Refused(problem),
            None => {
                let text = String::from_utf8_lossy(bytes);
                let start = text.trim_start();
                let first_line = start.lines().next().unwrap_or_default();
                if is_json(start) {
                    State::Document(Box::new(DocumentReader::new(&self.name)))
                } else if table::is_header(first_line) {
                    State::Table(Box::new(TableReader::new(&self.name)))
                } else if yaml::is_report(start) {
                    State::Yaml(Box::new(YamlReader::new(&self.name)))
                } else {
                    State::Text(Box::new(TextReader::new(&self.name)))
                }
            }
        };
        match &mut self.state {
            State::Document(reader) => reader.push(bytes),
            State::Table(reader) => reader.push(bytes),
            State::Text(reader) => reader.push(bytes),
            State::Yaml(reader) => reader.push(bytes),
            State::Head(_) | State::Packed(_) | State::Refused(_) => {}
        }
    }
}

/// Reads a log that is in memory.
///
/// # Errors
/// As [`LogReader::finish`].
pub fn read_log(name: &str, bytes: &[u8]) -> Result<Content, Vec<Diagnostic>> {
    let mut reader = LogReader::new(name);
    reader.push(bytes);
    reader.finish()
}

/// Whether a text begins as a JSON object or list does; log lines may begin with a bracket too.
fn is_json(start: &str) -> bool {
    let mut rest = start.chars();
    let first = rest.next();
    let next = rest.find(|character| !character.is_whitespace());
    match first {
        Some('{') => matches!(next, Some('"' | '}') | None),
        Some('[') => matches!(next, Some('{' | '[' | ']') | None),
        _ => false,
    }
}

/// What makes a file unreadable at first sight.
fn refusal(name: &str, bytes: &[u8]) -> Option<Diagnostic> {
    let compressed = |kind: &str| {
        Diagnostic::error("log-compressed", name, format!("this is a {kind} file")).with_hint("unpack it first")
    };
    if bytes.is_empty() || bytes.iter().all(u8::is_ascii_whitespace) {
        return Some(Diagnostic::error("log-empty", name, "the file is empty").with_hint("copy it again"));
    }
    if bytes.starts_with(&GZIP) {
        return Some(compressed("gzip"));
    }
    if bytes.starts_with(b"PK\x03\x04") {
        return Some(compressed("zip"));
    }
    if bytes.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        return Some(compressed("zstd"));
    }
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Some(Diagnostic::error("log-not-text", name, "the file is UTF-16").with_hint("save it as UTF-8"));
    }
    let is_cut = |error: &std::str::Utf8Error| error.error_len().is_none() && bytes.len() >= HEAD;
    if let Err(error) = std::str::from_utf8(bytes)
        && !is_cut(&error)
    {
        let message = format!("byte {} is no UTF-8", error.valid_up_to());
        return Some(
            Diagnostic::error("log-not-text", name, message).with_hint("open the right file, or save it as UTF-8"),
        );
    }
    bytes
        .contains(&0)
        .then(|| Diagnostic::error("log-not-text", name, "the file holds zero bytes").with_hint("open the right file"))
}
