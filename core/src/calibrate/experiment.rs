//! Published experiments that ship with the program: parameters, recorded results, and latencies to fit again.

use super::{ClientEffects, Fit, FittedModel, Parameter, Prediction, Space};
use crate::catalog::Provenance;
use crate::latency::LatencyModel;
use crate::measurement::{ArrivalSource, LogFormat, MeasuredDeployment, MeasuredRequest, Measurement};
use crate::time::SimTime;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Shortest time between first and last token that more than one token takes, microseconds.
const ONE_TOKEN: i64 = 1000;
/// How far coefficients of the polynomial and overheads are searched around the baseline, and the standard deviations of
/// their logarithms: a regression's coefficients of single features are off by a factor, a measured overhead is not.
const COEFFICIENT_REACH: (f64, f64) = (10.0, 1.0);
const OVERHEAD_REACH: (f64, f64) = (2.0, 0.2);

/// A published experiment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Experiment {
    /// Id, e.g. `experiment-01`.
    pub id: String,
    /// Title for people.
    pub title: String,
    /// The server, as far as it was published.
    pub server: MeasuredDeployment,
    /// Rate of the client, requests per second.
    pub request_rate: f64,
    /// Length taken for every prompt, tokens.
    pub assumed_input_tokens: u32,
    /// What is taken for granted because it was not published, in sentences.
    pub assumptions: Vec<String>,
    /// What cannot be identified whatever the search finds, in sentences.
    pub not_identifiable: Vec<String>,
    /// The parameters of the quadratic model.
    pub parameters: Vec<ExperimentParameter>,
    /// Recorded objectives; they are shown, never recomputed.
    pub published: Vec<PublishedObjective>,
    /// When the requests were sent, microseconds.
    pub arrivals_us: Vec<i64>,
    /// Measured TTFTs in the order of requests, seconds.
    pub ttft_s: Vec<f64>,
    /// Measured end-to-end latencies, seconds.
    pub e2e_s: Vec<f64>,
    /// Where all this comes from.
    pub provenance: Provenance,
}

/// A parameter of an experiment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExperimentParameter {
    /// Name of the coefficient.
    pub name: String,
    /// Lower bound of the published search.
    #[serde(default)]
    pub low: f64,
    /// Upper bound of the published search.
    pub high: f64,
    /// `s` or `us`.
    pub unit: String,
    /// Where regression put it.
    pub baseline: f64,
    /// Where the best published trial put it.
    pub best_found: f64,
}

/// A recorded result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishedObjective {
    /// Of what.
    pub name: String,
    /// Mean of the mean squared errors of TTFT and end-to-end latency, s².
    pub objective: f64,
}

impl Experiment {
    /// The recorded objectives in sentences, and what is to be known about them.
    #[must_use]
    pub fn records(&self) -> Vec<String> {
        let records = self
            .published
            .iter()
            .map(|record| alloc::format!("Recorded in 2025: objective of {} {} s².", record.name, record.objective));
        records.chain(core::iter::once(self.provenance.note.clone())).collect()
    }

    /// The run, with arrivals as regenerated, prompts of the assumed length and outputs as inferred.
    ///
    /// # Model
    /// A request whose last token came with its first has one output token. Of the others only the product of tokens and
    /// step times is known: between its first and last token a request got as many tokens as steps of the baseline fit,
    /// each as long as the requests that were decoding at that moment make it (prompts left aside).
    #[must_use]
    pub fn measurement(&self) -> Measurement {
        let mut run = Measurement::new(self.id.clone(), LogFormat::VllmBench);
        run.deployment = self.server.clone();
        run.load.request_rate = Some(self.request_rate);
        run.arrivals = ArrivalSource::Derived;
        let micros = |seconds: f64| SimTime::from_micros_f64(seconds * 1e6).0;
        let times: Vec<(i64, i64, i64)> = self
            .arrivals_us
            .iter()
            .zip(self.ttft_s.iter().zip(&self.e2e_s))
            .map(|(arrive, (ttft, e2e))| (*arrive, micros(*ttft), micros(*e2e).max(micros(*ttft))))
            .collect();
        let spans: Vec<(i64, i64)> = times.iter().map(|(arrive, ttft, e2e)| (arrive + ttft, arrive + e2e)).collect();
        let outputs = self.inferred_outputs(&spans);
        run.requests = times
            .iter()
            .zip(outputs)
            .map(|((arrive, ttft, e2e), output_tokens)| MeasuredRequest {
                arrive: SimTime(*arrive),
                send: SimTime(*arrive),
                input_tokens: self.assumed_input_tokens,
                output_tokens,
                ttft: Some(SimTime(*ttft)),
                e2e: Some(SimTime(*e2e)),
                session: None,
                gaps: 0..0,
            })
            .collect();
        run
    }

    /// Output tokens of requests by the times of their first and last tokens.
    fn inferred_outputs(&self, spans: &[(i64, i64)]) -> Vec<u32> {
        let is_decoding = |(first, last): &(i64, i64)| last - first >= ONE_TOKEN;
        let (alpha, beta) = FittedModel::Quadratic.coefficients(self.named(|parameter| parameter.baseline));
        let Ok(model) = LatencyModel::quadratic(&alpha, &beta) else { return alloc::vec![1; spans.len()] };
        let mut turns: Vec<i64> = spans.iter().filter(|span| is_decoding(span)).flat_map(|(a, b)| [*a, *b]).collect();
        turns.sort_unstable();
        // Steps between consecutive turns, as a fraction where they end within a step.
        let pieces: Vec<(i64, i64, f64)> = turns
            .windows(2)
            .filter_map(|turn| {
                let &[from, to] = turn else { return None };
                let count = spans.iter().filter(|span| is_decoding(span) && span.0 <= from && to <= span.1).count();
                let step = model.decode_stepper(u32::try_from(count).ok()?).step_time(0)?;
                Some((from, to, (to - from) as f64 / step as f64))
            })
            .collect();
        let tokens = |span: &(i64, i64)| {
            if !is_decoding(span) {
                return 1;
            }
            let within = pieces.iter().filter(|(from, to, _)| span.0 <= *from && *to <= span.1);
            let steps: f64 = within.map(|(_, _, steps)| steps).sum();
            1 + (libm::round(steps) as u32).max(1)
        };
        spans.iter().map(tokens).collect()
    }

    fn named(&self, pick: impl Fn(&ExperimentParameter) -> f64) -> impl Iterator<Item = (&str, f64)> {
        self.parameters.iter().map(move |parameter| (parameter.name.as_str(), pick(parameter)))
    }

    fn fit(&self, pick: impl Fn(&ExperimentParameter) -> f64) -> Fit {
        let (alpha, beta) = FittedModel::Quadratic.coefficients(self.named(pick));
        let client = ClientEffects::default();
        Fit { model: FittedModel::Quadratic, alpha, beta, client, loss: f64::INFINITY, evaluations: 0 }
    }

    /// The coefficients that regression gave, as a fit without a loss: where the search starts.
    #[must_use]
    pub fn baseline(&self) -> Fit {
        self.fit(|parameter| parameter.baseline)
    }

    /// The best published coefficients, as a fit without a loss.
    #[must_use]
    pub fn best_found(&self) -> Fit {
        self.fit(|parameter| parameter.best_found)
    }

    /// Every parameter around the baseline, which is where the search starts and where a coefficient stays that the run
    /// does not tell. The published bounds do not hold the baseline, so they are not used.
    #[must_use]
    pub fn space(&self) -> Space {
        let around = |parameter: &ExperimentParameter| {
            let (reach, spread) = if parameter.unit == "us" { OVERHEAD_REACH } else { COEFFICIENT_REACH };
            let (size, sign) = (parameter.baseline.abs(), parameter.baseline.signum());
            Parameter {
                name: parameter.name.clone(),
                low: size / reach,
                high: size * reach,
                is_log: true,
                scale: sign,
                center: Some((parameter.baseline, spread)),
                starts: alloc::vec![parameter.baseline],
                is_choice: false,
            }
        };
        Space::new(self.parameters.iter().map(around).collect())
    }

    /// The published objective of a prediction of [`Experiment::measurement`], request by request, s²; none where a
    /// request was not served.
    ///
    /// With inferred lengths, and with pairs that belong together, so it is no figure to compare with the recorded ones.
    #[must_use]
    pub fn objective(&self, prediction: &Prediction) -> Option<f64> {
        let mut sum = 0.0;
        for (at, latency) in prediction.latencies.iter().enumerate() {
            let ttft = latency.ttft? / 1e6 - self.ttft_s.get(at)?;
            let e2e = latency.e2e? / 1e6 - self.e2e_s.get(at)?;
            sum += ttft * ttft + e2e * e2e;
        }
        Some(sum / (2.0 * prediction.latencies.len().max(1) as f64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::{QUADRATIC_ALPHA, QUADRATIC_BETA};
    use alloc::vec;

    /// A step of 10 ms whatever is in it, and 1 ms more for each request that decodes.
    fn experiment() -> Experiment {
        let parameter = |name: &&str| {
            let (unit, baseline) = match *name {
                "intercept" => ("s", 0.009),
                "sum_decode_tokens" => ("s", 0.001),
                "queue_overhead" => ("us", 1000.0),
                name if QUADRATIC_ALPHA.contains(&name) => ("us", 0.0),
                _ => ("s", 0.0),
            };
            ExperimentParameter {
                name: (*name).into(),
                low: 0.0,
                high: 1.0,
                unit: unit.into(),
                baseline,
                best_found: 0.0,
            }
        };
        Experiment {
            id: "e".into(),
            title: String::new(),
            server: MeasuredDeployment::default(),
            request_rate: 1.0,
            assumed_input_tokens: 100,
            assumptions: Vec::new(),
            not_identifiable: Vec::new(),
            parameters: QUADRATIC_BETA.iter().chain(&QUADRATIC_ALPHA).map(parameter).collect(),
            published: Vec::new(),
            arrivals_us: vec![0, 100_000, 200_000],
            ttft_s: vec![0.02, 0.031, 0.02],
            e2e_s: vec![0.35, 0.030_999, 0.24],
            provenance: Provenance::default(),
        }
    }

    #[test]
    fn outputs_follow_from_the_steps_that_fit_between_first_and_last_token() {
        let run = experiment().measurement();
        // The second answered with one token. The first decodes alone from 20 to 220 ms and from there to 350 ms beside
        // the third, which is alone until 440 ms: 200/11 + 130/12 = 29.02 steps, and 130/12 + 90/11 = 19.02.
        let outputs: Vec<u32> = run.requests.iter().map(|request| request.output_tokens).collect();
        assert_eq!(outputs, [30, 1, 20]);
        assert_eq!(run.requests[1].e2e, run.requests[1].ttft);
        assert_eq!(run.requests[2].input_tokens, 100);
    }

    #[test]
    fn the_objective_is_the_mean_of_two_mean_squares() {
        let experiment = experiment();
        let latency = |ttft: f64, e2e: f64| crate::measurement::RequestLatency {
            ttft: Some(ttft * 1e6),
            e2e: Some(e2e * 1e6),
            output_tokens: 2,
        };
        // TTFTs off by 0.01 twice, one end-to-end latency by 0.3: (2·0.0001 + 0.09)/3/2.
        let latencies = vec![latency(0.03, 0.35), latency(0.021, 0.030_999), latency(0.02, 0.54)];
        let prediction = Prediction { latencies, span_s: 1.0, steps: 1 };
        let found = experiment.objective(&prediction).unwrap();
        assert!((found - 0.0902 / 6.0).abs() < 1e-12, "{found}");
    }

    #[test]
    fn coefficients_below_zero_are_searched_below_zero() {
        let mut experiment = experiment();
        experiment.parameters[2].baseline = -2e-6;
        let space = experiment.space();
        let parameter = &space.parameters[2];
        assert!((parameter.value(0.0) + 2e-7).abs() < 1e-18 && (parameter.value(1.0) + 2e-5).abs() < 1e-16);
        assert!((parameter.coordinate(-2e-6) - 0.5).abs() < 1e-12 && parameter.surprise(-2e-6) == 0.0);
        assert!(parameter.surprise(-4e-6) > 0.0);
    }
}
