//! Packed logs: gzip members are inflated as they come, so that neither form of a file is ever whole in memory.

use crate::{Content, LogReader};
use miniz_oxide::inflate::stream::{InflateState, inflate};
use miniz_oxide::{DataFormat, MZError, MZFlush, MZStatus};
use plimsoll_core::diagnostic::Diagnostic;
use std::fmt;

/// Bytes that are inflated at once.
const PIECE: usize = 64 * 1024;
/// Longest header of a member: flags allow a name and a comment of any length.
const MAX_HEADER: usize = 64 * 1024;
/// Checksum and length behind each member.
const TRAILER: usize = 8;

/// Unpacks a gzip file (RFC 1952) into a reader.
pub(crate) struct Gunzip {
    name: String,
    /// Bytes of a header or a trailer that is not whole yet.
    pending: Vec<u8>,
    stage: Stage,
    inner: LogReader,
    problem: Option<Diagnostic>,
}

enum Stage {
    Header,
    Data(Box<InflateState>),
    Trailer,
}

impl fmt::Debug for Gunzip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gunzip").field("name", &self.name).field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl Gunzip {
    /// Of a file of this name; what is in it is read under the name without its ending.
    pub fn new(name: &str) -> Self {
        let inner = LogReader::inside(name.strip_suffix(".gz").unwrap_or(name));
        Self { name: name.to_owned(), pending: Vec::new(), stage: Stage::Header, inner, problem: None }
    }

    pub fn push(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && self.problem.is_none() && !self.inner.is_refused() {
            match &mut self.stage {
                Stage::Header => {
                    self.pending.extend_from_slice(bytes);
                    match header_length(&self.pending) {
                        Header::Whole(length) => {
                            let rest = self.pending.len() - length;
                            bytes = bytes.get(bytes.len() - rest.min(bytes.len())..).unwrap_or_default();
                            self.pending.clear();
                            self.stage = Stage::Data(Box::new(InflateState::new(DataFormat::Raw)));
                        }
                        Header::Short if self.pending.len() <= MAX_HEADER => return,
                        Header::Short | Header::Bad => self.damaged("a gzip member has no header"),
                    }
                }
                Stage::Data(state) => {
                    let mut out = [0; PIECE];
                    let result = inflate(state, bytes, &mut out, MZFlush::None);
                    self.inner.push(out.get(..result.bytes_written).unwrap_or_default());
                    bytes = bytes.get(result.bytes_consumed..).unwrap_or_default();
                    match result.status {
                        Ok(MZStatus::StreamEnd) => self.stage = Stage::Trailer,
                        Ok(_) | Err(MZError::Buf) if result.bytes_consumed + result.bytes_written > 0 => {}
                        Ok(_) | Err(_) => self.damaged("the packed data are damaged"),
                    }
                }
                Stage::Trailer => {
                    let missing = TRAILER - self.pending.len();
                    let (own, rest) = bytes.split_at(missing.min(bytes.len()));
                    self.pending.extend_from_slice(own);
                    bytes = rest;
                    if self.pending.len() == TRAILER {
                        // What is cut or changed inside shows when its content is read.
                        self.pending.clear();
                        self.stage = Stage::Header;
                    }
                }
            }
        }
    }

    fn damaged(&mut self, message: &str) {
        self.problem = Some(
            Diagnostic::error("log-compressed", self.name.clone(), message).with_hint("unpack it, or copy it again"),
        );
    }

    pub fn is_refused(&self) -> bool {
        self.problem.is_some() || self.inner.is_refused()
    }

    pub fn finish(self) -> Result<Content, Vec<Diagnostic>> {
        if let Some(problem) = self.problem {
            return Err(vec![problem]);
        }
        let is_whole = matches!(self.stage, Stage::Header) && self.pending.is_empty();
        if !is_whole && !self.inner.is_refused() {
            let message = format!("the file ends after {} unpacked bytes, inside a member", self.inner.bytes_read());
            return Err(vec![
                Diagnostic::error("log-truncated", self.name, message).with_hint("it looks cut off; copy it again"),
            ]);
        }
        self.inner.finish()
    }
}

enum Header {
    Whole(usize),
    Short,
    Bad,
}

/// How long the header is that the bytes begin with.
fn header_length(bytes: &[u8]) -> Header {
    const EXTRA: u8 = 4;
    const NAME: u8 = 8;
    const COMMENT: u8 = 16;
    const CHECKSUM: u8 = 2;
    let Some(fixed) = bytes.get(..10) else {
        let is_start = bytes.iter().zip([0x1f, 0x8b, 8]).all(|(found, wanted)| *found == wanted);
        return if is_start { Header::Short } else { Header::Bad };
    };
    let [0x1f, 0x8b, 8, flags, ..] = *fixed else { return Header::Bad };
    let mut length = fixed.len();
    if flags & EXTRA != 0 {
        let Some(&[low, high]) = bytes.get(length..length + 2) else { return Header::Short };
        length += 2 + usize::from(u16::from_le_bytes([low, high]));
    }
    for flag in [NAME, COMMENT] {
        if flags & flag != 0 {
            let Some(end) = bytes.get(length..).and_then(|rest| rest.iter().position(|byte| *byte == 0)) else {
                return Header::Short;
            };
            length += end + 1;
        }
    }
    if flags & CHECKSUM != 0 {
        length += 2;
    }
    if bytes.len() >= length { Header::Whole(length) } else { Header::Short }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A member as `gzip` writes one, its checksum left out.
    fn member(text: &str, flags: u8, extra: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x1f, 0x8b, 8, flags, 0, 0, 0, 0, 0, 3];
        bytes.extend_from_slice(extra);
        bytes.extend(miniz_oxide::deflate::compress_to_vec(text.as_bytes(), 6));
        bytes.extend([0; TRAILER]);
        bytes
    }

    fn requests(bytes: &[u8], piece: usize) -> Result<usize, Vec<Diagnostic>> {
        let mut reader = LogReader::new("run.csv.gz");
        bytes.chunks(piece).for_each(|piece| reader.push(piece));
        reader.finish().map(|content| content.runs.iter().map(|run| run.measurement.requests.len()).sum())
    }

    const HEAD: &str =
        "prompt_tokens,generation_tokens,ttft,generation_time,user_id,question_id,launch_time,finish_time\n";

    fn rows(from: u32, count: u32) -> String {
        (from..from + count)
            .map(|at| format!("76.0,20.0,0.05,0.55,1,1,17000000{at:02}.0,17000000{at:02}.6\n"))
            .collect()
    }

    #[test]
    fn packed_logs_are_read_in_any_pieces_and_of_several_members() {
        let text = format!("{HEAD}{}", rows(0, 30));
        let (first, second) = text.split_at(1000);
        let two: Vec<u8> = [member(first, 8, b"run.csv\0"), member(second, 4 | 16, b"\x03\0abcnote\0")].concat();
        for (bytes, piece) in [(member(&text, 0, b""), 1), (two.clone(), 1), (two, 100_000)] {
            assert_eq!(requests(&bytes, piece), Ok(30));
        }
    }

    #[test]
    fn what_is_cut_or_damaged_is_said() {
        let whole = member(&format!("{HEAD}{}", rows(0, 30)), 0, b"");
        let code = |bytes: &[u8]| requests(bytes, 50).expect_err("malformed")[0].code.clone();
        assert_eq!(code(&whole[..whole.len() - 30]), "log-truncated");
        assert_eq!(code(&whole[..whole.len() - 3]), "log-truncated");
        let mut wrong = whole.clone();
        wrong[10] = 0xff;
        assert_eq!(code(&wrong), "log-compressed");
        assert_eq!(code(&[&whole[..], b"rubbish behind it"].concat()), "log-compressed");
        assert_eq!(code(&member("just words\n", 0, b"")), "log-not-recognized");
        assert_eq!(code(&member("", 0, b"")), "log-empty");
        let twice = miniz_oxide::deflate::compress_to_vec(&whole, 6);
        let twice = [&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3], &twice[..], &[0; TRAILER]].concat();
        assert_eq!(code(&twice), "log-compressed");
    }

    #[test]
    fn a_bomb_takes_no_memory() {
        // A gigabyte of zeros would be refused at its first pieces; here 64 MB of spaces in 64 kB.
        let spaces = " ".repeat(64 << 20);
        assert_eq!(requests(&member(&spaces, 0, b""), 4096).expect_err("nothing in it").len(), 1);
    }
}
