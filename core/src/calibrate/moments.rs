//! What single requests say of a fit: sums over the requests of a run, measured and predicted.

use super::features::{Features, PROMPTS, STEPS, decode_features};
use super::{Prediction, objective::found_idle};
use crate::measurement::{ArrivalSource, Measurement, RequestLatency};
use alloc::vec;
use alloc::vec::Vec;

/// Residuals beyond this many standard deviations count as much as one of that size (Huber 1964).
const OUTLIER: f64 = 2.5;
/// Median of the size of a standard normal variable.
const NORMAL_MEDIAN: f64 = 0.6745;
/// A direction of which less than this share is left beside the ones before it says nothing of its own.
const LEAST_OWN_SHARE: f64 = 1e-3;
/// Least noise of a logarithm; recorded times are not finer.
const LEAST_NOISE: f64 = 1e-3;

/// The latencies by which single requests are judged, in this order.
const METRICS: [fn(&RequestLatency) -> Option<f64>; 2] = [|latency| latency.ttft, RequestLatency::tpot];

/// Orthonormal directions over the requests of a run in which the logarithms of its latencies are summed: all alike, and
/// those with longer prompts, more company and more prompts beside them against the others.
///
/// # Source
/// A simulation that differs a little from the server soon starts its steps at other moments, which spreads single TTFTs
/// by a step; sums over requests average that out, so they and not requests are compared (method of simulated moments,
/// McFadden 1989).
#[derive(Debug)]
pub(super) struct Moments {
    /// By metric: directions, each with a value for every request.
    directions: [Vec<Vec<f64>>; METRICS.len()],
    /// By metric: logarithms of what was measured.
    measured: [Vec<Option<f64>>; METRICS.len()],
}

/// Measured less predicted sums, each with the standard deviation that the spread of single requests gives it.
pub(super) type Gaps = Vec<(f64, f64)>;

/// How much each request counts, by metric.
pub(super) type RequestWeights = [Vec<f64>; METRICS.len()];

impl Moments {
    /// Of the requests of a run that count.
    pub(super) fn new(run: &Measurement, counted: &[bool]) -> Self {
        let latencies = run.requests.iter().zip(counted).map(|(request, is_counted)| RequestLatency {
            ttft: request.ttft.filter(|_| *is_counted).map(|time| time.0 as f64),
            e2e: request.e2e.map(|time| time.0 as f64),
            output_tokens: request.output_tokens,
        });
        let latencies: Vec<RequestLatency> = latencies.collect();
        let measured = METRICS.map(|metric| latencies.iter().map(|latency| logarithm(metric(latency))).collect());
        let [ttft, tpot] = columns(run);
        let is_by_request = run.arrivals != ArrivalSource::Assumed;
        let of = |columns: Vec<Vec<f64>>, values: &Vec<Option<f64>>| {
            let most = if is_by_request { columns.len() } else { 1 };
            orthonormal(columns.into_iter().take(most), values)
        };
        let directions = [of(ttft, &measured[0]), of(tpot, &measured[1])];
        Self { directions, measured }
    }

    /// How far a prediction is, with requests weighed as [`Moments::weights`] says.
    pub(super) fn gaps(&self, prediction: &Prediction, weights: &RequestWeights) -> Gaps {
        let mut gaps = Vec::new();
        for (at, metric) in METRICS.into_iter().enumerate() {
            let residuals = self.residuals(at, metric, prediction);
            let weighed: Vec<f64> = residuals.iter().zip(&weights[at]).map(|(r, w)| r.unwrap_or(0.0) * w).collect();
            let sums: Vec<f64> = self.directions[at].iter().map(|direction| dot(direction, &weighed)).collect();
            // What the directions leave is noise.
            let count = residuals.iter().flatten().count();
            let explained: f64 = sums.iter().map(|sum| sum * sum).sum();
            let free = count.saturating_sub(sums.len()).max(1) as f64;
            let noise = libm::sqrt(((dot(&weighed, &weighed) - explained) / free).max(0.0)).max(LEAST_NOISE);
            gaps.extend(sums.into_iter().map(|sum| (sum, noise)));
        }
        gaps
    }

    /// By metric and request: 1, less for outliers of this prediction.
    pub(super) fn weights(&self, prediction: &Prediction) -> RequestWeights {
        core::array::from_fn(|at| {
            let residuals = self.residuals(at, METRICS[at], prediction);
            let mut sorted: Vec<f64> = residuals.iter().copied().flatten().collect();
            sorted.sort_by(f64::total_cmp);
            let middle = sorted.get(sorted.len() / 2).copied().unwrap_or(0.0);
            let mut sizes: Vec<f64> = sorted.iter().map(|r| (r - middle).abs()).collect();
            sizes.sort_by(f64::total_cmp);
            let noise = (sizes.get(sizes.len() / 2).copied().unwrap_or(0.0) / NORMAL_MEDIAN).max(LEAST_NOISE);
            let weight = |r: &Option<f64>| r.map_or(0.0, |r| (OUTLIER * noise / (r - middle).abs()).min(1.0));
            residuals.iter().map(weight).collect()
        })
    }

    fn residuals(
        &self,
        at: usize,
        metric: fn(&RequestLatency) -> Option<f64>,
        prediction: &Prediction,
    ) -> Vec<Option<f64>> {
        let pairs = self.measured[at].iter().zip(&prediction.latencies);
        pairs.map(|(measured, latency)| Some((*measured)? - logarithm(metric(latency))?)).collect()
    }
}

fn logarithm(value: Option<f64>) -> Option<f64> {
    value.filter(|value| *value > 0.0).map(libm::log)
}

pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// What requests differ in, by metric; the first column is 1.
fn columns(run: &Measurement) -> [Vec<Vec<f64>>; METRICS.len()] {
    let count = run.requests.len();
    let spans: Vec<(i64, i64)> = run
        .requests
        .iter()
        .map(|request| (request.send.0, request.send.0.saturating_add(request.e2e.map_or(0, |e2e| e2e.0))))
        .collect();
    let company = |at: i64| spans.iter().filter(|(send, end)| *send < at && at < *end).count() as f64;
    let ttft = vec![
        vec![1.0; count],
        run.requests.iter().map(|request| f64::from(request.input_tokens)).collect(),
        run.requests.iter().map(|request| company(request.send.0)).collect(),
        found_idle(run).into_iter().map(|is_idle| f64::from(u8::from(is_idle))).collect(),
    ];
    let features = decode_features(run);
    let per_step = |at: usize| -> Vec<f64> {
        let of = |features: &Option<Features>| features.map_or(0.0, |values| values[at] / values[STEPS].max(1.0));
        features.iter().map(of).collect()
    };
    let tpot = (STEPS..=PROMPTS).map(per_step).collect();
    [ttft, tpot]
}

/// The columns made orthonormal over the requests with a value, without those that add nothing.
fn orthonormal(columns: impl Iterator<Item = Vec<f64>>, values: &[Option<f64>]) -> Vec<Vec<f64>> {
    let mut all: Vec<Vec<f64>> = Vec::new();
    for mut column in columns {
        column.iter_mut().zip(values).for_each(|(x, value)| *x = if value.is_some() { *x } else { 0.0 });
        let before = dot(&column, &column);
        for known in &all {
            let share = dot(known, &column);
            column.iter_mut().zip(known).for_each(|(x, known)| *x -= share * known);
        }
        let own = dot(&column, &column);
        if own > LEAST_OWN_SHARE * LEAST_OWN_SHARE * before && own > 0.0 {
            let scale = 1.0 / libm::sqrt(own);
            column.iter_mut().for_each(|x| *x *= scale);
            all.push(column);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measurement::{LogFormat, MeasuredRequest};
    use crate::time::SimTime;

    /// Requests one after the other with these prompts, TTFTs of as many microseconds and steps of 10 ms.
    fn run(inputs: &[u32]) -> Measurement {
        let mut run = Measurement::new("f", LogFormat::VllmBench);
        let requests = inputs.iter().enumerate().map(|(at, input)| MeasuredRequest {
            arrive: SimTime(at as i64 * 1_000_000),
            send: SimTime(at as i64 * 1_000_000),
            input_tokens: *input,
            output_tokens: 11,
            ttft: Some(SimTime(i64::from(*input))),
            e2e: Some(SimTime(i64::from(*input) + 100_000)),
            session: None,
            gaps: 0..0,
        });
        run.requests = requests.collect();
        run
    }

    /// All TTFTs this much longer, and the TPOTs as measured.
    fn prediction(run: &Measurement, ttft: impl Fn(u32) -> f64) -> Prediction {
        let latencies = run.requests.iter().map(|request| {
            let ttft = ttft(request.input_tokens);
            RequestLatency { ttft: Some(ttft), e2e: Some(ttft + 100_000.0), output_tokens: request.output_tokens }
        });
        Prediction { latencies: latencies.collect(), span_s: 1.0, steps: 1 }
    }

    #[test]
    fn errors_are_told_apart_by_what_requests_differ_in() {
        let run = run(&[1000, 2000, 1000, 2000, 1000, 2000, 1000, 2000]);
        let moments = Moments::new(&run, &[true; 8]);
        // Nobody has company, so that all alike and the length of the prompt are left; decodes differ in the context.
        assert_eq!(moments.directions.each_ref().map(Vec::len), [2, 2]);
        let all = prediction(&run, |input| f64::from(input) / libm::exp(0.1));
        let gaps = moments.gaps(&all, &moments.weights(&all));
        // 0.1 in each of eight: 0.1·√8 along the direction of all.
        assert!((gaps[0].0 - 0.1 * libm::sqrt(8.0)).abs() < 1e-9 && gaps[1].0.abs() < 1e-9, "{gaps:?}");
        assert!(gaps[2..].iter().all(|(gap, noise)| gap.abs() < 1e-9 && *noise == LEAST_NOISE), "{gaps:?}");
        // Long prompts too short by 0.2, short ones by none: half a direction of each.
        let long = prediction(&run, |input| f64::from(input) / if input > 1500 { libm::exp(0.2) } else { 1.0 });
        let gaps = moments.gaps(&long, &[vec![1.0; 8], vec![1.0; 8]]);
        assert!((gaps[0].0 - gaps[1].0).abs() < 1e-9 && (gaps[0].0 - 0.1 * libm::sqrt(8.0)).abs() < 1e-9, "{gaps:?}");
    }

    #[test]
    fn outliers_weigh_less_and_uncounted_requests_nothing() {
        let run = run(&[1000; 9]);
        let moments = Moments::new(&run, &[true, true, true, true, true, true, true, true, false]);
        let mut found = prediction(&run, f64::from);
        for (at, latency) in found.latencies.iter_mut().enumerate() {
            latency.ttft = Some(1000.0 * libm::exp([0.01, -0.01][at % 2]));
        }
        found.latencies[0].ttft = Some(3000.0);
        let [weights, _] = moments.weights(&found);
        assert!(weights[0] < 0.1 && weights[1..8].iter().all(|weight| *weight == 1.0), "{weights:?}");
        assert_eq!(weights[8], 0.0);
    }
}
