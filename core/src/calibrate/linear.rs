//! Where a search for step coefficients starts: a least-squares fit of what is linear in them.

use super::features::{
    CONTEXTS, Features, PROMPT_TOKENS, PROMPT_TOKENS_SQUARED, PROMPTS, STEPS, TOKENS, TOKENS_BY_PROMPT_TOKENS,
    TOKENS_BY_PROMPTS, TOKENS_SQUARED, decode_features, decode_span,
};
use super::{Parameter, Space};
use crate::latency::{QUADRATIC_ALPHA, QUADRATIC_BETA};
use crate::measurement::Measurement;
use alloc::vec;
use alloc::vec::Vec;

/// Relative size of a good error of a request's decoding time.
const GOOD: f64 = 0.03;
/// Least noise, relative to that: the approximation itself is not better.
const LEAST_NOISE: f64 = 0.05;
/// What each coefficient of the polynomial multiplies where prompts come one at a time and whole, so that the largest
/// chunk is the prompt.
const QUADRATIC_FEATURES: [usize; QUADRATIC_BETA.len()] = [
    TOKENS,
    PROMPT_TOKENS,
    PROMPT_TOKENS,
    PROMPTS,
    TOKENS_SQUARED,
    TOKENS_BY_PROMPT_TOKENS,
    TOKENS_BY_PROMPT_TOKENS,
    TOKENS_BY_PROMPTS,
    PROMPT_TOKENS_SQUARED,
    PROMPT_TOKENS_SQUARED,
    PROMPT_TOKENS,
    PROMPT_TOKENS_SQUARED,
    PROMPT_TOKENS,
    PROMPTS,
    STEPS,
];

/// Moves the starts of the coefficients of steps to where the measured decoding times put them.
///
/// # Model
/// Between its first and its last token a request waits for as many steps as it has further tokens. What these cost is
/// linear in most coefficients of a step, with [`Features`] as factors.
///
/// - Calibrated roofline: `a` a step, `b` a token that anybody got, `c` a context token, and `e` a token and `f` each of
///   the prompts between. So `b = β1`, `c = β4` and `e = β3`; of `a = β0 + β2` the weights are left where the data sheet
///   puts them, and `f` is β7 less the weights that a prompt hides, or plus β0 where prompts have steps of their own.
/// - Black-box: β0 a step, β1 a prompt token, β2 a token that anybody got.
/// - Quadratic: every coefficient. Those with the same factor share what it explains by how sure each was before.
///
/// Each unknown has a row of its own with what is expected, so that runs of a single load do no harm.
/// A space without these coefficients, or runs that do not tell, leave the starts as they are. Each run comes with which
/// of its requests count; the others are there as company.
pub(super) fn start_from_logs<'a>(space: &mut Space, runs: impl Iterator<Item = (&'a Measurement, Vec<bool>)>) {
    let named = |name: &str| space.parameters.iter().find(|parameter| parameter.name == name);
    let found = if QUADRATIC_BETA.iter().all(|name| named(name).is_some()) {
        // What every step costs beside the polynomial.
        let [held @ .., _] = QUADRATIC_ALPHA;
        let fixed = space.fixed.iter().filter(|(name, _)| held.contains(&name.as_str())).map(|(_, us)| us).sum();
        let names = QUADRATIC_BETA.into_iter().zip(QUADRATIC_FEATURES);
        direct(names.map(|(name, feature)| (name, feature, named(name))), 1e6, fixed, runs)
    } else if named("beta3").is_some() {
        calibrated(named, runs)
    } else {
        let names = [("beta0", STEPS), ("beta1", PROMPT_TOKENS), ("beta2", TOKENS)].into_iter();
        direct(names.map(|(name, feature)| (name, feature, named(name))), 1.0, 0.0, runs)
    };
    for (name, value) in found.unwrap_or_default() {
        if let Some(parameter) = space.parameters.iter_mut().find(|p| p.name == name)
            && parameter.starts.is_empty()
        {
            parameter.starts.push(value.clamp(parameter.low * parameter.scale, parameter.high * parameter.scale));
        }
    }
}

/// Estimates by name.
type Found = Vec<(&'static str, f64)>;

/// The coefficients of the calibrated roofline; none if the space lacks one.
fn calibrated<'s, 'r>(
    named: impl Fn(&str) -> Option<&'s Parameter>,
    runs: impl Iterator<Item = (&'r Measurement, Vec<bool>)>,
) -> Option<Found> {
    let center = |name: &str| named(name).and_then(|parameter| parameter.center);
    let [Some(fixed), Some(request), Some(weights), Some(token), Some(context), Some(_)] =
        ["beta0", "beta1", "beta2", "beta3", "beta4", "beta7"].map(center)
    else {
        return None;
    };
    // The constants of a step, of a request and of a prompt are hardly known.
    let step = fixed.0 + weights.0;
    let wide = |feature, expected, spread| Unknown { feature, expected, spread, least: f64::NEG_INFINITY };
    let unknowns = [
        wide(STEPS, step, step),
        wide(TOKENS, request.0, 4.0 * request.0),
        Unknown::near(CONTEXTS, context.0, context.1),
        Unknown::near(PROMPT_TOKENS, token.0, token.1),
        wide(PROMPTS, 0.0, 1e4),
    ];
    let &[a, b, c, e, f] = fit(&unknowns, 0.0, runs)?.as_slice() else { return None };
    let held_weights = weights.0.min(0.9 * a);
    Some(vec![
        ("beta0", a - held_weights),
        ("beta1", b),
        ("beta2", held_weights),
        ("beta3", e),
        ("beta4", c),
        ("beta7", f + held_weights),
    ])
}

/// Coefficients that are factors themselves, `unit` microseconds each; none if the space lacks one, or does not say what
/// is expected of it.
fn direct<'s, 'r>(
    names: impl Iterator<Item = (&'static str, usize, Option<&'s Parameter>)>,
    unit: f64,
    fixed: f64,
    runs: impl Iterator<Item = (&'r Measurement, Vec<bool>)>,
) -> Option<Found> {
    let mut all = Vec::new();
    let mut unknowns = Vec::new();
    for (name, feature, parameter) in names {
        let parameter = parameter.filter(|parameter| parameter.is_log && parameter.scale > 0.0)?;
        let (center, spread) = parameter.center?;
        all.push(name);
        unknowns.push(Unknown::near(feature, center * unit, spread));
    }
    let found = fit(&unknowns, fixed, runs)?;
    Some(all.into_iter().zip(found).map(|(name, value)| (name, value / unit)).collect())
}

/// A coefficient in microseconds.
struct Unknown {
    /// What it multiplies.
    feature: usize,
    /// Where it is expected, and the standard deviation.
    expected: f64,
    spread: f64,
    /// The least it can be.
    least: f64,
}

impl Unknown {
    /// Of which this is expected with a spread of its logarithm. It does not fall lower than a standard deviation below,
    /// because a line often has the better of a parameter by taking it to 0, which is infinitely far on the logarithmic
    /// scale of the search.
    fn near(feature: usize, expected: f64, spread: f64) -> Self {
        let factor = libm::exp(spread);
        Self { feature, expected, spread: expected * (factor - 1.0), least: expected / factor }
    }
}

/// The estimates where a step costs `fixed` microseconds beside the unknowns.
fn fit<'a>(
    unknowns: &[Unknown],
    fixed: f64,
    runs: impl Iterator<Item = (&'a Measurement, Vec<bool>)>,
) -> Option<Vec<f64>> {
    let mut logged = Vec::new();
    for (run, counted) in runs {
        rows(run, &counted, &mut logged);
    }
    let mut logged: Vec<(Vec<f64>, f64)> = logged
        .into_iter()
        .map(|(met, time)| (unknowns.iter().map(|unknown| met[unknown.feature]).collect(), time - fixed * met[STEPS]))
        .collect();
    // How far the rows are from the line tells the noise, which then weighs them against what is expected.
    let first = solve(unknowns, &logged, 1.0)?;
    let squares = logged.iter().map(|(row, value)| {
        let error = value - row.iter().zip(&first).map(|(x, c)| x * c).sum::<f64>();
        error * error
    });
    let degrees = logged.len().saturating_sub(unknowns.len()).max(1) as f64;
    let noise = libm::sqrt(squares.sum::<f64>() / degrees).max(LEAST_NOISE);
    let mut found = solve(unknowns, &logged, noise)?;
    // One that falls too low stays where it may, and the others make up for it (an active set).
    let mut held: Vec<Option<f64>> = vec![None; unknowns.len()];
    loop {
        let below = |at: &usize| held[*at].is_none() && found[*at] < unknowns[*at].least;
        let depth = |at: &usize| (unknowns[*at].least - found[*at]) / unknowns[*at].spread;
        let Some(worst) = (0..unknowns.len()).filter(below).max_by(|a, b| depth(a).total_cmp(&depth(b))) else {
            break;
        };
        held[worst] = Some(unknowns[worst].least);
        for (row, value) in &mut logged {
            *value -= row[worst] * unknowns[worst].least;
            row[worst] = 0.0;
        }
        found = solve(unknowns, &logged, noise)?;
        found.iter_mut().zip(&held).for_each(|(value, held)| *value = held.unwrap_or(*value));
    }
    Some(found)
}

fn solve(unknowns: &[Unknown], logged: &[(Vec<f64>, f64)], noise: f64) -> Option<Vec<f64>> {
    let mut system = Normal::new(unknowns.len());
    for (row, value) in logged {
        let row: Vec<f64> = row.iter().map(|x| x / noise).collect();
        system.add(&row, value / noise);
    }
    for (at, unknown) in unknowns.iter().enumerate() {
        let mut row = vec![0.0; unknowns.len()];
        row[at] = 1.0 / unknown.spread;
        system.add(&row, unknown.expected / unknown.spread);
    }
    system.solve()
}

/// One weighted row per request with further tokens that counts: what it met, and how long it took.
fn rows(run: &Measurement, counted: &[bool], rows: &mut Vec<(Features, f64)>) {
    let requests = decode_features(run).into_iter().zip(&run.requests).zip(counted);
    for ((features, request), _) in requests.filter(|(_, is_counted)| **is_counted) {
        if let (Some(features), Some((first, last))) = (features, decode_span(request)) {
            let weight = 1.0 / (GOOD * (last - first));
            rows.push((features.map(|x| x * weight), (last - first) * weight));
        }
    }
}

/// Normal equations.
struct Normal {
    matrix: Vec<Vec<f64>>,
    right: Vec<f64>,
}

impl Normal {
    fn new(unknowns: usize) -> Self {
        Self { matrix: vec![vec![0.0; unknowns]; unknowns], right: vec![0.0; unknowns] }
    }

    fn add(&mut self, row: &[f64], value: f64) {
        for (i, x) in row.iter().enumerate() {
            for (j, y) in row.iter().enumerate() {
                self.matrix[i][j] += x * y;
            }
            self.right[i] += x * value;
        }
    }

    /// By elimination with pivots; the matrix is positive definite once every unknown has a row of its own.
    fn solve(self) -> Option<Vec<f64>> {
        let Self { mut matrix, mut right } = self;
        let unknowns = right.len();
        for at in 0..unknowns {
            let pivot = (at..unknowns).max_by(|i, j| matrix[*i][at].abs().total_cmp(&matrix[*j][at].abs()))?;
            matrix.swap(at, pivot);
            right.swap(at, pivot);
            let (pivot_row, pivot_right) = (matrix[at].clone(), right[at]);
            if pivot_row[at].abs() <= f64::MIN_POSITIVE {
                return None;
            }
            for row in at + 1..unknowns {
                let factor = matrix[row][at] / pivot_row[at];
                for (slot, value) in matrix[row].iter_mut().zip(&pivot_row) {
                    *slot -= factor * value;
                }
                right[row] -= factor * pivot_right;
            }
        }
        let mut solution = vec![0.0; unknowns];
        for at in (0..unknowns).rev() {
            let known: f64 = (at + 1..unknowns).map(|j| matrix[at][j] * solution[j]).sum();
            solution[at] = (right[at] - known) / matrix[at][at];
        }
        solution.iter().all(|value| value.is_finite()).then_some(solution)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measurement::{LogFormat, MeasuredRequest};
    use crate::time::SimTime;
    use alloc::string::ToString;

    /// By hand: a step costs 5 ms, 100 µs per request and this many per context token; alone or in pairs, at two lengths.
    fn run(per_context_token: f64) -> Measurement {
        let mut run = Measurement::new("f", LogFormat::VllmBench);
        for (at, (input, pair)) in
            [(100u32, 1), (100, 2), (2000, 1), (2000, 2), (500, 1), (500, 2)].into_iter().enumerate()
        {
            let output = 101u32;
            let mean = f64::from(input) + 50.0;
            let gap = 5000.0 + 100.0 * f64::from(pair) + per_context_token * mean * f64::from(pair);
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
        run
    }

    fn parameter(name: &str, center: f64) -> Parameter {
        Parameter {
            name: name.to_string(),
            low: center / 100.0,
            high: center * 100.0,
            is_log: true,
            scale: 1.0,
            center: Some((center, 1.0)),
            starts: Vec::new(),
            is_choice: false,
        }
    }

    /// The starts for a space of these coefficients and what is expected of them.
    fn starts(run: &Measurement, space: &mut Space) -> Vec<f64> {
        start_from_logs(space, core::iter::once((run, vec![true; run.requests.len()])));
        space.parameters.iter().filter_map(|p| p.starts.first().copied()).collect()
    }

    #[test]
    fn overlapping_requests_tell_constants_from_slopes() {
        let all =
            [("beta0", 3000.0), ("beta1", 90.0), ("beta2", 1000.0), ("beta3", 30.0), ("beta4", 0.45), ("beta7", 1e3)];
        let mut space = Space::new(all.map(|(name, center)| parameter(name, center)).to_vec());
        let found = starts(&run(0.5), &mut space);
        assert_eq!(found.len(), 6);
        for (value, expected) in [(found[0], 4000.0), (found[1], 100.0), (found[4], 0.5)] {
            assert!((value / expected - 1.0).abs() < 0.03, "{found:?}");
        }
        assert_eq!(found[2], 1000.0);
        // Nothing tells of prompts.
        assert!((found[3] / 30.0 - 1.0).abs() < 1e-6, "{found:?}");
    }

    #[test]
    fn a_black_box_starts_at_constant_and_slope() {
        let all = [("alpha0", 1e4), ("beta0", 2000.0), ("beta1", 30.0), ("beta2", 200.0)];
        let mut space = Space::new(all.map(|(name, center)| parameter(name, center)).to_vec());
        let found = starts(&run(0.0), &mut space);
        // Not the delay, and what nothing tells of stays.
        assert_eq!(space.parameters[0].starts, []);
        for (value, expected) in found.iter().zip([5000.0, 30.0, 100.0]) {
            assert!((value / expected - 1.0).abs() < 0.01, "{found:?}");
        }
    }

    #[test]
    fn a_polynomial_starts_beside_what_is_held_and_keeps_to_its_scale() {
        let all = QUADRATIC_BETA.map(|name| {
            let center = match name {
                "intercept" => 2e-3,
                "sum_decode_tokens" => 2e-4,
                _ => 1e-6,
            };
            parameter(name, center)
        });
        let held = vec![("schedule_time".to_string(), 500.0), ("queue_overhead".to_string(), 500.0)];
        let mut space = Space::new(all.to_vec()).with_fixed(held);
        let found = starts(&run(0.0), &mut space);
        let of = |name: &str| found[QUADRATIC_BETA.iter().position(|known| *known == name).unwrap()];
        assert!((of("intercept") / 4e-3 - 1.0).abs() < 0.02, "{found:?}");
        assert!((of("sum_decode_tokens") / 1e-4 - 1.0).abs() < 0.1, "{found:?}");
        // A step that hardly costs anything takes the intercept as low as it may go.
        let mut fast = run(0.0);
        for request in &mut fast.requests {
            request.e2e = Some(SimTime(1000 + 100 * 1010));
        }
        let mut space = Space::new(all.to_vec()).with_fixed(vec![("schedule_time".to_string(), 1000.0)]);
        let found = starts(&fast, &mut space);
        let is_sane = |(value, parameter): (&f64, &Parameter)| *value * 2.72 > parameter.center.unwrap().0;
        assert!(found.iter().zip(&space.parameters).all(is_sane), "{found:?}");
        assert!((found[14] / 2e-3 - libm::exp(-1.0)).abs() < 1e-9, "{found:?}");
    }
}
