//! How far a prediction is from what was measured.

use super::Prediction;
use crate::measurement::{ArrivalSource, Measurement, RunFigures};
use alloc::vec::Vec;

/// Absolute errors of one run, percent; absent where something was not measured.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RunErrors {
    /// Of each figure.
    pub figures: RunFigures,
    /// Mean over requests of the absolute error of the TTFT; only where arrivals are known.
    pub ttft_request_mape: Option<f64>,
    /// The same of the time per output token.
    pub tpot_request_mape: Option<f64>,
    /// The same of the end-to-end latency.
    pub e2e_request_mape: Option<f64>,
    /// Signed errors of mean TTFT, mean TPOT and mean end-to-end latency, percent; above 0 = predicted too long.
    pub bias: [Option<f64>; 3],
}

impl RunErrors {
    /// Compares a prediction of the whole run with the run.
    #[must_use]
    pub fn new(run: &Measurement, prediction: &Prediction) -> Self {
        let measured = RunFigures::of_measurement(run);
        let predicted = prediction.figures();
        let signed = |a: Option<f64>, b: Option<f64>| Some((a? / b.filter(|b| *b > 0.0)? - 1.0) * 100.0);
        let off = |a: Option<f64>, b: Option<f64>| signed(a, b).map(f64::abs);
        let mut errors = Self {
            figures: RunFigures {
                ttft_mean: off(predicted.ttft_mean, measured.ttft_mean),
                ttft_p50: off(predicted.ttft_p50, measured.ttft_p50),
                ttft_p90: off(predicted.ttft_p90, measured.ttft_p90),
                ttft_p99: off(predicted.ttft_p99, measured.ttft_p99),
                tpot_mean: off(predicted.tpot_mean, measured.tpot_mean),
                itl_mean: off(predicted.itl_mean, measured.itl_mean),
                e2e_mean: off(predicted.e2e_mean, measured.e2e_mean),
                e2e_p99: off(predicted.e2e_p99, measured.e2e_p99),
                output_throughput: off(predicted.output_throughput, measured.output_throughput),
            },
            bias: [
                signed(predicted.ttft_mean, measured.ttft_mean),
                signed(predicted.tpot_mean, measured.tpot_mean),
                signed(predicted.e2e_mean, measured.e2e_mean),
            ],
            ..Self::default()
        };
        if run.arrivals != ArrivalSource::Assumed {
            let pairs: Vec<_> = run.requests.iter().zip(&prediction.latencies).collect();
            let mape = |pick: &dyn Fn(usize) -> Option<(f64, f64)>| {
                let all: Vec<f64> = (0..pairs.len())
                    .filter_map(pick)
                    .filter(|(measured, _)| *measured > 0.0)
                    .map(|(measured, predicted)| (predicted / measured - 1.0).abs() * 100.0)
                    .collect();
                (!all.is_empty()).then(|| all.iter().sum::<f64>() / all.len() as f64)
            };
            errors.ttft_request_mape = mape(&|i| Some((pairs[i].0.ttft?.0 as f64, pairs[i].1.ttft?)));
            errors.tpot_request_mape = mape(&|i| Some((pairs[i].0.tpot()?, pairs[i].1.tpot()?)));
            errors.e2e_request_mape = mape(&|i| Some((pairs[i].0.e2e?.0 as f64, pairs[i].1.e2e?)));
        }
        errors
    }

    /// Names and values in the order of the fields.
    #[must_use]
    pub fn named(&self) -> Vec<(&'static str, Option<f64>)> {
        let mut all = self.figures.named().to_vec();
        all.extend([
            ("ttft_request_mape", self.ttft_request_mape),
            ("tpot_request_mape", self.tpot_request_mape),
            ("e2e_request_mape", self.e2e_request_mape),
        ]);
        all
    }
}
