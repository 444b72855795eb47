//! Token traces: prompts and outputs as JSON arrays of token ids.

use super::MAX_ARRIVAL;
use super::rows::{Problems, Row, Rows};
use super::segments::{PromptTree, Sequence};
use crate::probe::plain;
use plimsoll_core::time::{SimTime, truncate};
use plimsoll_core::workload::{Request, Trace};
use std::collections::HashMap;

/// Fields a row must have; more are ignored.
const MIN_FIELDS: usize = 5;
const PROMPT: usize = 3;
const OUTPUT: usize = 4;
const HINT: &str = "columns of a token trace: arrival_time,request_id,model,prefill_tokens,decode_tokens";

/// Token ids of 2³¹ and above, and negative ones, by order of appearance behind the others: only equality matters.
#[derive(Default)]
struct Alphabet {
    unusual: HashMap<i64, u32>,
}

impl Alphabet {
    fn token(&mut self, id: i64) -> u32 {
        match u32::try_from(id) {
            Ok(id) if id < 1 << 31 => id,
            _ => {
                let next = (1 << 31) + self.unusual.len() as u32;
                *self.unusual.entry(id).or_insert(next)
            }
        }
    }
}

/// Reads the rows behind the first, which is a header whatever it says; none if a row is malformed.
///
/// # Cost
/// While reading, four bytes of memory per prompt token that no earlier prompt has in the same place. Outputs are kept
/// nowhere, and read again only where a prompt goes on where another ends.
pub(super) fn read(header: &Row, bytes: &[u8], mut rows: Rows<'_>, problems: &mut Problems<'_>) -> Option<Trace> {
    if header.fields.len() < MIN_FIELDS {
        let message =
            format!("the first row has {} fields; a token trace has at least {MIN_FIELDS}", header.fields.len());
        problems.row(header, 0, "trace-header", message, HINT);
        return None;
    }
    if header.number::<f64>(0).is_some() {
        let message = format!("the first row is taken as the header, but begins with the number {}", header.shown(0));
        problems.row_warning(
            header,
            0,
            "trace-header-like-data",
            message,
            "put a header row in front, or this request is lost",
        );
    }
    let mut alphabet = Alphabet::default();
    let mut tree = PromptTree::new();
    let mut read: Vec<(Request, Sequence)> = Vec::new();
    while let Some(row) = rows.next(problems) {
        let arrive = arrival(&row, problems);
        let prompt = tokens(&row, PROMPT, &mut alphabet, problems);
        let output_tokens = count(&row, OUTPUT, problems);
        let (Some(arrive), Some(prompt), Some(output_tokens)) = (arrive, prompt, output_tokens) else { continue };
        if prompt.is_empty() {
            let message = format!("the prompt of request {} is empty", row.shown(1));
            problems.row(&row, PROMPT, "trace-empty-prompt", message, "a request needs at least one input token");
            continue;
        }
        let (Ok(id), Ok(input_tokens)) = (u32::try_from(read.len()), u32::try_from(prompt.len())) else {
            problems.row(
                &row,
                0,
                "trace-too-large",
                "there are more than 4 billion rows or tokens".into(),
                "split the trace",
            );
            return None;
        };
        if problems.has_errors() {
            // The rest is read for its problems alone.
            continue;
        }
        let request = Request::plain(id, arrive, input_tokens, output_tokens);
        read.push((request, tree.insert(&prompt)));
    }
    if problems.has_errors() {
        return None;
    }
    if read.iter().any(|(_, sequence)| tree.goes_on(*sequence)) {
        // Numbered as before: unusual ids of outputs that no prompt has cannot match anything.
        let mut again = Rows::new(bytes);
        again.next(problems);
        for (_, sequence) in &mut read {
            let row = again.next(problems)?;
            if tree.goes_on(*sequence) {
                *sequence = tree.follow(*sequence, &tokens(&row, OUTPUT, &mut alphabet, problems)?);
            }
        }
    }
    let (prefixes, places) = tree.into_prefixes();
    let requests = read.into_iter().map(|(request, sequence)| {
        let (prefix, output_prefix) = places.of(sequence);
        Request { prefix, output_prefix, ..request }
    });
    Some(Trace::new(requests.collect(), prefixes, vec![String::new()], vec![String::new()]))
}

/// `trunc(seconds · 10⁶)`, exactly this product.
fn arrival(row: &Row, problems: &mut Problems<'_>) -> Option<SimTime> {
    let seconds = row.number::<f64>(0).filter(|seconds| seconds.abs() <= MAX_ARRIVAL as f64 / 1e6);
    if seconds.is_none() {
        let message = format!("the arrival time is {}, not a number of seconds up to 10¹¹", row.shown(0));
        problems.row(row, 0, "trace-invalid-value", message, "write seconds such as 12.5, without spaces or units");
    }
    seconds.map(|seconds| SimTime(truncate(seconds * 1e6)))
}

/// The ids of a field; `null` is an empty list, and a `null` inside it the id 0.
fn tokens(row: &Row, field: usize, alphabet: &mut Alphabet, problems: &mut Problems<'_>) -> Option<Vec<u32>> {
    let ids: Option<Vec<Option<i64>>> = parse(row, field, problems)?;
    Some(ids.unwrap_or_default().into_iter().map(|id| alphabet.token(id.unwrap_or(0))).collect())
}

/// How many ids a field holds.
fn count(row: &Row, field: usize, problems: &mut Problems<'_>) -> Option<u32> {
    let ids: Option<Vec<Option<i64>>> = parse(row, field, problems)?;
    u32::try_from(ids.unwrap_or_default().len()).ok()
}

fn parse<T: serde::de::DeserializeOwned>(row: &Row, field: usize, problems: &mut Problems<'_>) -> Option<T> {
    match serde_json::from_slice(row.field(field)) {
        Ok(value) => Some(value),
        Err(error) => {
            let name = if field == PROMPT { "prefill_tokens" } else { "decode_tokens" };
            let why = plain(&error.to_string());
            let message = format!("{name} is {}, not a JSON array of whole numbers ({why})", row.shown(field));
            problems.row(row, field, "trace-invalid-value", message, "write token ids as \"[1, 2, 3]\"");
            None
        }
    }
}
