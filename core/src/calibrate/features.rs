//! What a request met between its first and its last token, as far as a log tells.

use crate::measurement::{MeasuredRequest, Measurement};
use alloc::vec::Vec;

/// Sums over the steps between first and last token.
///
/// In this order: the steps; tokens that anybody got; context tokens read for them; tokens and number of the prompts that
/// came between; squares of how many decoded; how many decoded times tokens and times number of those prompts; squares of
/// the tokens of each prompt.
pub(super) type Features = [f64; 9];

/// Places in [`Features`].
pub(super) const STEPS: usize = 0;
pub(super) const TOKENS: usize = 1;
pub(super) const CONTEXTS: usize = 2;
pub(super) const PROMPT_TOKENS: usize = 3;
pub(super) const PROMPTS: usize = 4;
pub(super) const TOKENS_SQUARED: usize = 5;
pub(super) const TOKENS_BY_PROMPT_TOKENS: usize = 6;
pub(super) const TOKENS_BY_PROMPTS: usize = 7;
pub(super) const PROMPT_TOKENS_SQUARED: usize = 8;

/// Requests of a run that are looked at; each is compared with all others.
const MAX_REQUESTS: usize = 600;

/// First and last token of a request with further tokens.
pub(super) fn decode_span(request: &MeasuredRequest) -> Option<(f64, f64)> {
    let (first, last) = (request.send.0 + request.ttft?.0, request.send.0 + request.e2e?.0);
    (request.output_tokens > 1 && last > first).then_some((first as f64, last as f64))
}

/// By request; none for answers of one token and beyond the first 600 requests. Tokens are taken as evenly spaced within
/// a request.
pub(super) fn decode_features(run: &Measurement) -> Vec<Option<Features>> {
    let spans: Vec<_> = run.requests.iter().map(decode_span).collect();
    let decoding = Decoding::new(spans.iter().copied().flatten());
    let of = |(first, last): (f64, f64), steps: f64| {
        let mut met: Features = [0.0; 9];
        met[STEPS] = steps;
        for (other, span) in run.requests.iter().zip(&spans) {
            let Some((other_first, other_last)) = *span else { continue };
            let input = f64::from(other.input_tokens);
            let (from, to) = (first.max(other_first), last.min(other_last));
            if to > from {
                let pace = f64::from(other.output_tokens - 1) / (other_last - other_first);
                let got = pace * (to - from);
                met[TOKENS] += got;
                met[CONTEXTS] += got * (input + pace * (0.5 * (from + to) - other_first));
            }
            if first < other_first && other_first < last {
                let company = decoding.at(other_first);
                met[PROMPT_TOKENS] += input;
                met[PROMPTS] += 1.0;
                met[TOKENS_BY_PROMPT_TOKENS] += company * input;
                met[TOKENS_BY_PROMPTS] += company;
                met[PROMPT_TOKENS_SQUARED] += input * input;
            }
        }
        met[TOKENS_SQUARED] = steps / (last - first) * (decoding.squares_until(last) - decoding.squares_until(first));
        met
    };
    let requests = run.requests.iter().zip(&spans).enumerate();
    requests
        .map(|(at, (request, span))| {
            let span = span.filter(|_| at < MAX_REQUESTS)?;
            Some(of(span, f64::from(request.output_tokens - 1)))
        })
        .collect()
}

/// How many requests decode, over time.
struct Decoding {
    /// Times of change: from when, how many, and the integral of the squares until then.
    turns: Vec<(f64, f64, f64)>,
}

impl Decoding {
    fn new(spans: impl Iterator<Item = (f64, f64)>) -> Self {
        let mut changes: Vec<(f64, f64)> = spans.flat_map(|(first, last)| [(first, 1.0), (last, -1.0)]).collect();
        changes.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (mut last, mut count, mut squares) = (0.0, 0.0, 0.0);
        let turn = |(time, change): (f64, f64)| {
            squares += count * count * (time - last);
            (last, count) = (time, count + change);
            (time, count, squares)
        };
        Self { turns: changes.into_iter().map(turn).collect() }
    }

    fn last_turn(&self, time: f64) -> Option<(f64, f64, f64)> {
        self.turns.partition_point(|(turn, ..)| *turn < time).checked_sub(1).map(|at| self.turns[at])
    }

    /// How many just before this time.
    fn at(&self, time: f64) -> f64 {
        self.last_turn(time).map_or(0.0, |(_, count, _)| count)
    }

    fn squares_until(&self, time: f64) -> f64 {
        self.last_turn(time).map_or(0.0, |(turn, count, squares)| squares + count * count * (time - turn))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measurement::LogFormat;
    use crate::time::SimTime;

    #[test]
    fn sums_of_overlapping_requests_by_hand() {
        let request = |first_ms: i64, last_ms: i64, input_tokens, output_tokens| MeasuredRequest {
            arrive: SimTime(0),
            send: SimTime(0),
            input_tokens,
            output_tokens,
            ttft: Some(SimTime(first_ms * 1000)),
            e2e: Some(SimTime(last_ms * 1000)),
            session: None,
            gaps: 0..0,
        };
        let mut run = Measurement::new("f", LogFormat::VllmBench);
        // A token each millisecond: the first decodes from 0 to 100, a second from 40 to 60, a third (one token) never.
        run.requests = alloc::vec![request(0, 100, 500, 101), request(40, 60, 30, 21), request(50, 50, 9, 1)];
        let found = decode_features(&run);
        // The first: 100 steps, 80 of them alone; 20 tokens of the second; its prompt of 30 tokens came beside one.
        let [steps, tokens, contexts, rest @ ..] = found[0].unwrap();
        assert_eq!([steps, tokens], [100.0, 120.0]);
        // Mean contexts of 550 and 40.
        assert!((contexts - (100.0 * 550.0 + 20.0 * 40.0)).abs() < 1e-6, "{contexts}");
        assert_eq!(rest[..2], [30.0, 1.0]);
        assert!((rest[2] - (80.0 + 20.0 * 4.0)).abs() < 1e-9, "{rest:?}");
        assert_eq!(rest[3..], [30.0, 1.0, 900.0]);
        // The second: two decode all the time, and no prompt comes.
        let [steps, tokens, _, rest @ ..] = found[1].unwrap();
        assert_eq!([steps, tokens], [20.0, 40.0]);
        assert!((rest[2] - 80.0).abs() < 1e-9 && rest[3..] == [0.0; 3], "{rest:?}");
        assert!(found[2].is_none());
    }
}
