//! Logs made of lines: console blocks, metrics, trace headers, a server's standard output.

use crate::Content;
use crate::rows::{Row, Rows};
use crate::server_log::ServerLog;
use crate::text::console::Console;
use crate::text::prometheus::Prometheus;
use plimsoll_core::diagnostic::Diagnostic;

mod console;
mod prometheus;
mod trace_header;

use trace_header::TraceHeader;

/// A longer line is a prompt that was logged; its rest is not kept.
const MAX_LINE: usize = 16 * 1024;

/// Reads a file line by line and lets every kind of text look at each.
#[derive(Debug)]
pub(crate) struct TextReader {
    name: String,
    line: Vec<u8>,
    num_lines: u64,
    console: Console,
    prometheus: Prometheus,
    header: TraceHeader,
    server: ServerLog,
}

impl TextReader {
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            line: Vec::new(),
            num_lines: 0,
            console: Console::new(name),
            prometheus: Prometheus::new(name),
            header: TraceHeader::new(name),
            server: ServerLog::new(name),
        }
    }

    pub fn push(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            let text = piece.strip_suffix(b"\n").unwrap_or(piece);
            // A list of a patched client may be long, and it is numbers only.
            let is_list = self.line.starts_with(b"TTFTs") || self.line.starts_with(b"e2els");
            let room = if is_list { usize::MAX } else { MAX_LINE.saturating_sub(self.line.len()) };
            let is_list_start = self.line.is_empty() && (text.starts_with(b"TTFTs") || text.starts_with(b"e2els"));
            let kept = if is_list_start { text } else { &text[..text.len().min(room)] };
            self.line.extend_from_slice(kept);
            if piece.ends_with(b"\n") {
                self.end_line();
            }
        }
    }

    fn end_line(&mut self) {
        self.num_lines += 1;
        let bytes = std::mem::take(&mut self.line);
        let text = String::from_utf8_lossy(&bytes);
        let line = without_colors(text.trim_end_matches('\r'));
        self.prometheus.line(self.num_lines, &line);
        self.console.line(self.num_lines, &line);
        self.header.line(self.num_lines, &line);
        self.server.line(self.num_lines, &line);
    }

    pub fn finish(mut self) -> Result<Content, Vec<Diagnostic>> {
        if !self.line.is_empty() {
            self.end_line();
        }
        if self.prometheus.is_recognized() {
            return self.prometheus.finish();
        }
        if self.header.is_recognized() {
            return self.header.finish();
        }
        if self.console.is_recognized() {
            let mut content = self.console.finish()?;
            content.deployment = self.server.deployment();
            return Ok(content);
        }
        if self.server.is_recognized() {
            return self.server.finish(self.num_lines);
        }
        Err(vec![
            Diagnostic::error("log-not-recognized", self.name, "the format is not known")
                .with_hint("see docs/log-formats.md for the formats that are read"),
        ])
    }
}

/// A line without the terminal's color codes.
fn without_colors(line: &str) -> String {
    let mut clean = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("\u{1b}[") {
        clean.push_str(before);
        let end = after.find(|character: char| character.is_ascii_alphabetic()).map_or(after.len(), |at| at + 1);
        rest = after.get(end..).unwrap_or_default();
    }
    clean.push_str(rest);
    clean
}

/// Rows of a console's lists: in seconds, without lengths.
fn list_row(index: usize, ttft: f64, e2e: f64) -> Row {
    Row {
        place: index as u64,
        id: None,
        arrive: f64::NAN,
        send: f64::NAN,
        // The lists come without lengths.
        input_tokens: 0.0,
        output_tokens: 1.0,
        ttft: ttft * 1e6,
        e2e: e2e * 1e6,
        session: None,
        gaps: 0..0,
        is_failed: false,
    }
}

/// The number a text begins with; thousands may be separated by commas.
pub(crate) fn leading_number(text: &str) -> Option<f64> {
    let text = text.trim_start();
    let end =
        text.find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | ',' | '-' | '+' | 'e'))).unwrap_or(text.len());
    let number = text.get(..end)?.trim_end_matches([',', '.']).replace(',', "");
    number.parse::<f64>().ok().filter(|value| value.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colors_and_thousands_do_not_matter() {
        assert_eq!(without_colors("\u{1b}[1;36m(EngineCore pid=1)\u{1b}[0;0m INFO"), "(EngineCore pid=1) INFO");
        assert_eq!(leading_number(" 191,328 tokens"), Some(191_328.0));
        assert_eq!(leading_number("6.9%, Prefix"), Some(6.9));
        assert_eq!(leading_number("none"), None);
    }
}
