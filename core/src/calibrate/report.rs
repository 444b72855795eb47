//! What a fit makes of a run, beside what was measured.

use super::part::part_of;
use super::{Comparison, Deployment, Fit, RunErrors};
use crate::measurement::{ArrivalSource, Measurement, OverloadWindow, RequestLatency, RunFigures, overload_windows};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// A run, measured and predicted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunReport {
    /// Name of the run.
    pub name: String,
    /// Requests in it.
    pub num_requests: usize,
    /// Measured figures, milliseconds.
    pub measured: RunFigures,
    /// Predicted figures.
    pub predicted: RunFigures,
    /// Absolute errors by name, percent.
    pub errors: Vec<(String, f64)>,
    /// TTFT, TPOT and end-to-end latency compared, milliseconds. Request by request where arrivals are known, else by
    /// rank, so that only distributions are compared.
    pub comparisons: [Option<Comparison>; 3],
    /// Stretches of the whole run in which the server was overloaded.
    #[serde(default)]
    pub overload: Vec<OverloadWindow>,
    /// Whether single requests were compared.
    pub is_by_request: bool,
    /// The requests in the order of sending, thinned evenly to what a chart shows.
    pub points: Vec<RequestPoint>,
}

/// One request, measured and predicted; milliseconds, absent where unknown.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestPoint {
    /// When it was sent, seconds since the first.
    pub send_s: f64,
    /// Prompt length, tokens.
    pub input_tokens: u32,
    /// Output length, tokens.
    pub output_tokens: u32,
    /// Measured TTFT, TPOT and end-to-end latency.
    pub measured: [Option<f64>; 3],
    /// The same as predicted.
    pub predicted: [Option<f64>; 3],
}

impl RunReport {
    /// Replays the whole run with a fit and compares the requests that count, in the order of the run; at most
    /// `max_points` of them are listed. None if no request counts.
    #[must_use]
    pub fn new(
        fit: &Fit,
        run: &Measurement,
        counted: &[bool],
        deployment: &Deployment,
        max_points: usize,
    ) -> Option<Self> {
        let prediction = fit.predict(run, deployment)?.part(counted);
        let overload = overload_windows(run);
        let run = &part_of(run, counted);
        run.has_requests().then_some(())?;
        let errors = RunErrors::new(run, &prediction);
        let all: Vec<RequestPoint> = run
            .requests
            .iter()
            .zip(&prediction.latencies)
            .map(|(request, predicted)| RequestPoint {
                send_s: request.send.as_seconds(),
                input_tokens: request.input_tokens,
                output_tokens: request.output_tokens,
                measured: millis(&RequestLatency {
                    ttft: request.ttft.map(|time| time.0 as f64),
                    e2e: request.e2e.map(|time| time.0 as f64),
                    output_tokens: request.output_tokens,
                }),
                predicted: millis(predicted),
            })
            .collect();
        let is_by_request = run.arrivals != ArrivalSource::Assumed;
        let comparisons = [0, 1, 2].map(|metric| {
            let value = |values: &[Option<f64>; 3]| values.get(metric).copied().flatten();
            let mut pairs: Vec<(f64, f64)> =
                all.iter().filter_map(|point| Some((value(&point.measured)?, value(&point.predicted)?))).collect();
            if !is_by_request {
                let (mut measured, mut predicted): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
                measured.sort_by(f64::total_cmp);
                predicted.sort_by(f64::total_cmp);
                pairs = measured.into_iter().zip(predicted).collect();
            }
            Comparison::new(&pairs)
        });
        let every = all.len().div_ceil(max_points.max(1)).max(1);
        Some(Self {
            name: run.name.clone(),
            num_requests: run.requests.len(),
            measured: RunFigures::of_measurement(run),
            predicted: prediction.figures(),
            errors: errors.named().into_iter().filter_map(|(name, value)| Some((name.to_string(), value?))).collect(),
            comparisons,
            overload,
            is_by_request,
            points: all.into_iter().step_by(every).collect(),
        })
    }
}

fn millis(latency: &RequestLatency) -> [Option<f64>; 3] {
    [latency.ttft, latency.tpot(), latency.e2e].map(|time| time.map(|micros| micros / 1e3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calibrate::tests::catalog;
    use crate::calibrate::{ClientEffects, FitSettings, FittedModel};
    use crate::measurement::{LogFormat, MeasuredDeployment, MeasuredRequest};
    use crate::time::SimTime;
    use alloc::vec;

    #[test]
    fn a_report_pairs_every_request_with_its_prediction() {
        // Steps of 10 ms whatever is in them, so three tokens take 30 ms; the server took 33 and 27.
        let fit = Fit {
            model: FittedModel::Blackbox,
            alpha: vec![0.0; 3],
            beta: vec![10_000.0, 0.0, 0.0],
            client: ClientEffects::default(),
            loss: 0.0,
            evaluations: 1,
        };
        let mut run = Measurement::new("f", LogFormat::VllmBench);
        run.requests = [(0, 33_000), (100_000, 27_000), (200_000, 30_000)]
            .map(|(send, e2e)| MeasuredRequest {
                arrive: SimTime(send),
                send: SimTime(send),
                input_tokens: 100,
                output_tokens: 3,
                ttft: Some(SimTime(10_000)),
                e2e: Some(SimTime(e2e)),
                session: None,
                gaps: 0..0,
            })
            .to_vec();
        let deployment = Deployment::guess(&catalog(), &MeasuredDeployment::default());
        let report = RunReport::new(&fit, &run, &[true; 3], &deployment, 2).unwrap();
        assert_eq!(report.points.len(), 2, "every second one");
        assert_eq!(report.points[0].measured, [Some(10.0), Some(11.5), Some(33.0)]);
        assert_eq!(report.points[0].predicted, [Some(10.0), Some(10.0), Some(30.0)]);
        let e2e = report.comparisons[2].as_ref().unwrap();
        assert!((e2e.mape - (3.0 / 33.0 + 3.0 / 27.0) / 3.0).abs() < 1e-12, "{}", e2e.mape);
        assert!(report.errors.iter().any(|(name, value)| name == "e2e_mean" && value.abs() < 1e-9));
        // The last third of the time holds the last request; the whole run is replayed for it.
        let settings = FitSettings { validate_last: 0.4, ..FitSettings::default() };
        let last = RunReport::new(&fit, &run, &settings.held_out(&run), &deployment, 100).unwrap();
        assert_eq!(
            (last.num_requests, last.points[0].send_s, settings.fitted(&run)),
            (1, 0.2, vec![true, true, false])
        );
        assert!(last.errors.iter().any(|(name, value)| name == "e2e_mean" && value.abs() < 1e-9));
        assert!(last.errors.iter().all(|(name, _)| name != "output_throughput"), "it belongs to the whole run");
        assert_eq!(RunReport::new(&fit, &run, &[false; 3], &deployment, 100), None);
        run.arrivals = ArrivalSource::Assumed;
        let by_rank = RunReport::new(&fit, &run, &[true; 3], &deployment, 100).unwrap();
        assert!(!by_rank.is_by_request && by_rank.errors.iter().all(|(name, _)| !name.contains("request")));
    }
}
