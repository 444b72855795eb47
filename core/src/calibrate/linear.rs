//! Where a search for step coefficients starts: a least-squares fit of what is linear in them.

use super::Space;
use crate::measurement::{MeasuredRequest, Measurement};
use alloc::vec::Vec;

/// Unknowns: per step, per request in a step, per context token in a step, per prompt token, per prompt.
const UNKNOWNS: usize = 5;
/// Relative size of a good error of a request's decoding time.
const GOOD: f64 = 0.03;
/// Least noise, relative to that: the approximation itself is not better.
const LEAST_NOISE: f64 = 0.05;
/// Requests of a run that are looked at; each is compared with all others.
const MAX_REQUESTS: usize = 600;

/// Moves the starts of the coefficients of steps to where the measured decoding times put them.
///
/// # Model
/// Between its first and its last token a request waits for as many steps as it has further tokens. These cost `a` each,
/// `b` for every token that anybody got meanwhile, `c` for every context token read for it, and `e` per token and `f` per
/// prompt of those whose first token fell between. Tokens are taken as evenly spaced within a request.
/// In terms of the calibrated roofline `b = β1`, `c = β4` and `e = β3`; of a step's constant `a = β0 + β2` the weights
/// are left where the data sheet puts them, and `f` is β7 less the weights that a prompt hides, or plus β0 where prompts
/// have steps of their own.
///
/// Each unknown has a row of its own with what is expected, so that runs of a single load do no harm.
/// A space without these coefficients, or runs that do not tell, leave the starts as they are. Each run comes with which
/// of its requests count; the others are there as company.
pub(super) fn start_from_logs<'a>(space: &mut Space, runs: impl Iterator<Item = (&'a Measurement, Vec<bool>)>) {
    let Some(([a, b, c, e, f], weights)) = fit(space, runs) else { return };
    let held_weights = weights.min(0.9 * a);
    let values = [
        ("beta0", a - held_weights),
        ("beta1", b),
        ("beta2", held_weights),
        ("beta3", e),
        ("beta4", c),
        ("beta7", f + held_weights),
    ];
    for (name, value) in values {
        if let Some(parameter) = space.parameters.iter_mut().find(|p| p.name == name)
            && parameter.starts.is_empty()
        {
            parameter.starts.push(value.clamp(parameter.low * parameter.scale, parameter.high * parameter.scale));
        }
    }
}

/// The estimates, and where the weights are expected; none if the space lacks a coefficient.
fn fit<'a>(space: &Space, runs: impl Iterator<Item = (&'a Measurement, Vec<bool>)>) -> Option<([f64; UNKNOWNS], f64)> {
    let center = |name: &str| space.parameters.iter().find(|p| p.name == name).and_then(|p| p.center);
    let [Some(fixed), Some(request), Some(weights), Some(token), Some(context), Some(_)] =
        ["beta0", "beta1", "beta2", "beta3", "beta4", "beta7"].map(center)
    else {
        return None;
    };
    let mut logged = Vec::new();
    for (run, counted) in runs {
        rows(run, &counted, &mut logged);
    }
    // Expected values with standard deviations; the constant of a step and that of a prompt are hardly known.
    let step = fixed.0 + weights.0;
    let expected = [(step, step), (request.0, 4.0 * request.0), (context.0, context.0), (token.0, token.0), (0.0, 1e4)];
    let solve = |noise: f64| {
        let mut system = Normal::default();
        logged.iter().for_each(|(row, value)| system.add(&row.map(|x| x / noise), value / noise));
        for (at, (value, spread)) in expected.into_iter().enumerate() {
            let mut row = [0.0; UNKNOWNS];
            row[at] = 1.0 / spread;
            system.add(&row, value / spread);
        }
        system.solve()
    };
    // How far the rows are from the line tells the noise, which then weighs them against what is expected.
    let first = solve(1.0)?;
    let squares = logged.iter().map(|(row, value)| {
        let error = value - row.iter().zip(first).map(|(x, c)| x * c).sum::<f64>();
        error * error
    });
    let degrees = logged.len().saturating_sub(UNKNOWNS).max(1) as f64;
    let noise = libm::sqrt(squares.sum::<f64>() / degrees).max(LEAST_NOISE);
    Some((solve(noise)?, weights.0))
}

/// One weighted row per request with further tokens that counts.
fn rows(run: &Measurement, counted: &[bool], rows: &mut Vec<([f64; UNKNOWNS], f64)>) {
    let requests = decode_features(run).into_iter().zip(&run.requests).zip(counted);
    for ((features, request), _) in requests.filter(|(_, is_counted)| **is_counted) {
        if let (Some(features), Some((first, last))) = (features, decode_span(request)) {
            let weight = 1.0 / (GOOD * (last - first));
            rows.push((features.map(|x| x * weight), (last - first) * weight));
        }
    }
}

/// First and last token of a request with further tokens.
fn decode_span(request: &MeasuredRequest) -> Option<(f64, f64)> {
    let (first, last) = (request.send.0 + request.ttft?.0, request.send.0 + request.e2e?.0);
    (request.output_tokens > 1 && last > first).then_some((first as f64, last as f64))
}

/// By request, between its first and its last token: steps, tokens that anybody got, context tokens read for them, and
/// tokens and number of the prompts that came between; none for answers of one token and beyond the first 600 requests.
pub(super) fn decode_features(run: &Measurement) -> Vec<Option<[f64; UNKNOWNS]>> {
    let spans: Vec<_> = run.requests.iter().map(decode_span).collect();
    let of = |(first, last): (f64, f64), steps: f64| {
        let (mut tokens, mut contexts, mut prompt_tokens, mut prompts) = (0.0, 0.0, 0.0, 0.0);
        for (other, span) in run.requests.iter().zip(&spans) {
            let Some((other_first, other_last)) = *span else { continue };
            let input = f64::from(other.input_tokens);
            let (from, to) = (first.max(other_first), last.min(other_last));
            if to > from {
                let pace = f64::from(other.output_tokens - 1) / (other_last - other_first);
                let got = pace * (to - from);
                tokens += got;
                contexts += got * (input + pace * (0.5 * (from + to) - other_first));
            }
            if first < other_first && other_first < last {
                prompt_tokens += input;
                prompts += 1.0;
            }
        }
        [steps, tokens, contexts, prompt_tokens, prompts]
    };
    let requests = run.requests.iter().zip(&spans).enumerate();
    requests
        .map(|(at, (request, span))| {
            let span = span.filter(|_| at < MAX_REQUESTS)?;
            Some(of(span, f64::from(request.output_tokens - 1)))
        })
        .collect()
}

/// Normal equations.
#[derive(Clone, Copy, Default)]
struct Normal {
    matrix: [[f64; UNKNOWNS]; UNKNOWNS],
    right: [f64; UNKNOWNS],
}

impl Normal {
    fn add(&mut self, row: &[f64; UNKNOWNS], value: f64) {
        for (i, x) in row.iter().enumerate() {
            for (j, y) in row.iter().enumerate() {
                self.matrix[i][j] += x * y;
            }
            self.right[i] += x * value;
        }
    }

    /// By elimination with pivots; the matrix is positive definite once every unknown has a row of its own.
    fn solve(&self) -> Option<[f64; UNKNOWNS]> {
        let Self { mut matrix, mut right } = *self;
        for at in 0..UNKNOWNS {
            let pivot = (at..UNKNOWNS).max_by(|i, j| matrix[*i][at].abs().total_cmp(&matrix[*j][at].abs()))?;
            matrix.swap(at, pivot);
            right.swap(at, pivot);
            let (pivot_row, pivot_right) = (matrix[at], right[at]);
            if pivot_row[at].abs() <= f64::MIN_POSITIVE {
                return None;
            }
            for row in at + 1..UNKNOWNS {
                let factor = matrix[row][at] / pivot_row[at];
                for (slot, value) in matrix[row].iter_mut().zip(pivot_row) {
                    *slot -= factor * value;
                }
                right[row] -= factor * pivot_right;
            }
        }
        let mut solution = [0.0; UNKNOWNS];
        for at in (0..UNKNOWNS).rev() {
            let known: f64 = (at + 1..UNKNOWNS).map(|j| matrix[at][j] * solution[j]).sum();
            solution[at] = (right[at] - known) / matrix[at][at];
        }
        solution.iter().all(|value| value.is_finite()).then_some(solution)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calibrate::Parameter;
    use crate::measurement::LogFormat;
    use crate::time::SimTime;
    use alloc::string::ToString;

    #[test]
    fn overlapping_requests_tell_constants_from_slopes() {
        // By hand: a step costs 5 ms, 100 µs per request and 0.5 µs per context token; alone or in pairs, at two lengths.
        let mut run = Measurement::new("f", LogFormat::VllmBench);
        for (at, (input, pair)) in
            [(100u32, 1), (100, 2), (2000, 1), (2000, 2), (500, 1), (500, 2)].into_iter().enumerate()
        {
            let output = 101u32;
            let mean = f64::from(input) + 50.0;
            let gap = 5000.0 + 100.0 * f64::from(pair) + 0.5 * mean * f64::from(pair);
            for _ in 0..pair {
                run.requests.push(MeasuredRequest {
                    arrive: SimTime(0),
                    send: SimTime(at as i64 * 10_000_000),
                    input_tokens: input,
                    output_tokens: output,
                    ttft: Some(SimTime(1000)),
                    e2e: Some(SimTime(1000 + (100.0 * gap) as i64)),
                    session: None,
                    gaps: 0..0,
                });
            }
        }
        let parameter = |name: &str, center: f64| Parameter {
            name: name.to_string(),
            low: center / 100.0,
            high: center * 100.0,
            is_log: true,
            scale: 1.0,
            center: Some((center, 1.0)),
            starts: Vec::new(),
            is_choice: false,
        };
        let all =
            [("beta0", 3000.0), ("beta1", 90.0), ("beta2", 1000.0), ("beta3", 30.0), ("beta4", 0.45), ("beta7", 1e3)];
        let mut space = Space::new(all.map(|(name, center)| parameter(name, center)).to_vec());
        start_from_logs(&mut space, core::iter::once((&run, alloc::vec![true; 9])));
        let found: Vec<f64> = space.parameters.iter().filter_map(|p| p.starts.first().copied()).collect();
        assert_eq!(found.len(), 6);
        for (value, expected) in [(found[0], 4000.0), (found[1], 100.0), (found[4], 0.5)] {
            assert!((value / expected - 1.0).abs() < 0.03, "{found:?}");
        }
        assert_eq!(found[2], 1000.0);
        // Nothing tells of prompts.
        assert!((found[3] / 30.0 - 1.0).abs() < 1e-6, "{found:?}");
    }
}
