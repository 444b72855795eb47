//! Mooncake traces: JSON lines with a hash for every 512 prompt tokens.

use super::rows::Problems;
use crate::probe::plain;
use plimsoll_core::time::{SimTime, truncate};
use plimsoll_core::workload::{PrefixId, PrefixTree, Request, Trace};
use serde::Deserialize;
use std::collections::HashMap;

/// Prompt tokens behind one hash.
pub(super) const BLOCK_TOKENS: u32 = 512;

/// One line; other fields are not read.
#[derive(Deserialize)]
struct Line {
    /// Milliseconds.
    timestamp: f64,
    input_length: u32,
    output_length: u32,
    #[serde(default)]
    hash_ids: Vec<u64>,
}

/// A block in the tree of all prompts.
#[derive(Clone, Copy)]
struct Block {
    parent: usize,
    tokens: u32,
    /// Prompts that go through it.
    prompts: u32,
}

/// Whether the bytes begin like JSON lines.
pub(super) fn is_lines(bytes: &[u8]) -> bool {
    bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{')
}

/// Reads the lines: equal hashes in equal places, behind equal ones, are shared prefixes.
///
/// # Source
/// github.com/kvcache-ai/Mooncake, trace of FAST 2025; the hashes name blocks of 512 tokens in order.
pub(super) fn read(bytes: &[u8], problems: &mut Problems<'_>) -> Option<Trace> {
    let mut read: Vec<(Line, usize)> = Vec::new();
    let mut blocks = vec![Block { parent: 0, tokens: 0, prompts: 0 }];
    let mut known: HashMap<(usize, u64, u32), usize> = HashMap::new();
    for (index, raw) in bytes.split(|byte| *byte == b'\n').enumerate() {
        if raw.trim_ascii().is_empty() {
            continue;
        }
        let number = index + 1;
        let line: Line = match serde_json::from_slice(raw) {
            Ok(line) => line,
            Err(error) => {
                let hint = "a line is {\"timestamp\": 0, \"input_length\": 1, \"output_length\": 1, \"hash_ids\": [0]}";
                problems.line(number, error.column().max(1), "trace-invalid-value", plain(&error.to_string()), hint);
                continue;
            }
        };
        if let Some((message, hint)) = flaw(&line) {
            problems.line(number, 1, "trace-invalid-value", message, hint);
            continue;
        }
        let mut node = 0;
        blocks[0].prompts += 1;
        for (position, hash) in (0u32..).zip(&line.hash_ids) {
            let tokens = (line.input_length - position * BLOCK_TOKENS).min(BLOCK_TOKENS);
            node = *known.entry((node, *hash, tokens)).or_insert_with(|| {
                blocks.push(Block { parent: node, tokens, prompts: 0 });
                blocks.len() - 1
            });
            blocks[node].prompts += 1;
        }
        read.push((line, node));
    }
    if problems.has_errors() {
        return None;
    }
    let (prefixes, places) = shared(&blocks);
    let request = |(id, (line, node)): (u32, &(Line, usize))| {
        let arrive = SimTime(truncate(line.timestamp * 1000.0));
        let mut request = Request::plain(id, arrive, line.input_length, line.output_length);
        request.prefix = places[*node];
        request
    };
    let requests = (0u32..).zip(&read).map(request).collect();
    Some(Trace::new(requests, prefixes, vec![String::new()], vec![String::new()]))
}

/// What is wrong with the numbers of a line, and what to do.
fn flaw(line: &Line) -> Option<(String, &'static str)> {
    if !(0.0..1e13).contains(&line.timestamp) {
        return Some((format!("timestamp is {}", line.timestamp), "give milliseconds from the start, 0 or more"));
    }
    if line.input_length == 0 {
        return Some(("the prompt is empty".into(), "a request needs at least one input token"));
    }
    let expected = line.input_length.div_ceil(BLOCK_TOKENS) as usize;
    let found = line.hash_ids.len();
    if found != 0 && found != expected {
        let message = format!("hash_ids has {found} entries, but {} tokens fill {expected} blocks", line.input_length);
        return Some((message, "give one hash for every 512 prompt tokens, or none"));
    }
    None
}

/// The blocks that several prompts share as prefixes, and the deepest such block at or above each.
fn shared(blocks: &[Block]) -> (PrefixTree, Vec<PrefixId>) {
    let mut prefixes = PrefixTree::new();
    let mut places = vec![PrefixId::NONE; blocks.len()];
    // A parent stands before its children.
    for (index, block) in blocks.iter().enumerate().skip(1) {
        let parent = places[block.parent];
        places[index] = if block.prompts > 1 { prefixes.extend(parent, block.tokens) } else { parent };
    }
    (prefixes, places)
}
