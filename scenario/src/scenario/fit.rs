//! Coefficients that were fitted to logs, and how far they reach.

use super::deployment::under;
use super::{Basis, LatencyModelChoice, Scheduling, WorkloadSettings};
use crate::catalog::{AcceleratorSpec, ModelSpec};
use crate::diagnostic::Diagnostic;
use crate::latency::{ClientEffects, LatencyModel};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Longest delay of a client, microseconds.
const MAX_DELAY_US: f64 = 1e6;
/// Largest share of a data sheet's figure; above 1 where the sheet is too low.
const MAX_SHARE: f64 = 10.0;
/// Longest name of the logs, characters.
const MAX_NAME: usize = 200;

/// A fitted step-time model, with what it was fitted to.
///
/// It stays in the scenario while another model is chosen, so that the two can be compared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LatencyFit {
    /// What was fitted: any but `auto`.
    pub model: LatencyModelChoice,
    /// α, microseconds ([`fitted_latency`]).
    pub alpha: Vec<f64>,
    /// β, in the units of the model.
    pub beta: Vec<f64>,
    /// What clients and front end add, depending on who is in flight.
    pub client: ClientEffects,
    /// Where it comes from and where it holds.
    pub calibrated_on: CalibratedOn,
}

impl Default for LatencyFit {
    fn default() -> Self {
        Self {
            model: LatencyModelChoice::Calibrated,
            alpha: Vec::new(),
            beta: Vec::new(),
            client: ClientEffects::default(),
            calibrated_on: CalibratedOn::default(),
        }
    }
}

/// The loads of a run or a curve, the lowest and the highest, of all replicas together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Loads {
    /// Requests per second that are offered.
    Rates([f64; 2]),
    /// Users of a closed loop, who wait for their answers.
    Users([u32; 2]),
}

impl Loads {
    /// The least and the greatest of some rates; none without any above 0.
    #[must_use]
    pub fn of_rates(rates: impl Iterator<Item = f64>) -> Option<Self> {
        let ends = |ends: Option<[f64; 2]>, rate: f64| match ends {
            Some([low, high]) => Some([low.min(rate), high.max(rate)]),
            None => Some([rate; 2]),
        };
        rates.filter(|rate| *rate > 0.0 && rate.is_finite()).fold(None, ends).map(Self::Rates)
    }

    /// Whether these loads on this many replicas go beyond the lowest or the highest load of all logs; never if nothing
    /// is known of these. The one judgement of loads, for runs and curves, here and on the page.
    #[must_use]
    pub fn is_beyond(self, logged: [f64; 2], num_replicas: u32) -> bool {
        let [low, high] = self.per_replica(num_replicas);
        logged[1] > 0.0 && (low < logged[0] || high > logged[1])
    }

    fn per_replica(self, num_replicas: u32) -> [f64; 2] {
        let ends = match self {
            Self::Rates(rates) => rates,
            Self::Users(users) => users.map(f64::from),
        };
        ends.map(|end| end / f64::from(num_replicas.max(1)))
    }

    /// The remark that these loads are beyond those of the logs; none if they are not.
    fn remark(self, logged: [f64; 2], num_replicas: u32) -> Option<Diagnostic> {
        if !self.is_beyond(logged, num_replicas) {
            return None;
        }
        let (path, name, unit) = match self {
            Self::Rates(_) => ("workload.request_rate", "a load", "requests/s"),
            Self::Users(_) => ("workload.closed_loop", "a concurrency", "requests"),
        };
        let loads = self.per_replica(num_replicas);
        // Three decimals say all that matters of a load.
        let range = |ends: [f64; 2]| match ends.map(|end| libm::round(end * 1e3) / 1e3) {
            [low, high] if low == high => format!("{low}"),
            [low, high] => format!("{low} to {high}"),
        };
        let each = if num_replicas > 1 { " per replica" } else { "" };
        let message = format!("{name} of {} {unit}{each}; the logs of the fit have {}", range(loads), range(logged));
        let hint = "outside that the fit extrapolates; add a log of such a load and calibrate again";
        Some(Diagnostic::warning("outside-calibration", path, message).with_hint(hint))
    }
}

/// The measured runs behind a fit: their server, and the range of lengths and loads in them.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CalibratedOn {
    /// Names of the logs for people, e.g. `rate4.json and 3 more`.
    pub logs: String,
    /// Requests in them.
    pub num_requests: u32,
    /// Model id.
    pub model: String,
    /// Accelerator id.
    pub accelerator: String,
    /// Accelerators per replica.
    pub tensor_parallel_size: u32,
    /// Shortest and longest prompt, tokens.
    pub input_tokens: [u32; 2],
    /// Shortest and longest output, tokens.
    pub output_tokens: [u32; 2],
    /// Lowest and highest rate at which a run was served, requests per second.
    pub request_rate: [f64; 2],
    /// Whose rules the logs were replayed by.
    #[serde(skip_serializing_if = "Scheduling::is_reference")]
    pub scheduling: Scheduling,
    /// Most requests in flight at once, in the run where these were fewest and in the one where they were most.
    pub concurrency: [u32; 2],
}

impl CalibratedOn {
    /// What a badge says, e.g. `rate4.json and 3 more (400 requests)`.
    #[must_use]
    pub fn label(&self) -> String {
        let logs = if self.logs.is_empty() { "logs" } else { &self.logs };
        match self.num_requests {
            0 => String::from(logs),
            1 => format!("{logs} (1 request)"),
            count => format!("{logs} ({count} requests)"),
        }
    }

    /// The remark that loads on this many replicas are beyond those of the logs ([`Loads::is_beyond`]); none if they are
    /// not.
    #[must_use]
    pub fn load_remark(&self, loads: Loads, num_replicas: u32) -> Option<Diagnostic> {
        loads.remark(
            match loads {
                Loads::Rates(_) => self.request_rate,
                Loads::Users(_) => self.concurrency.map(f64::from),
            },
            num_replicas,
        )
    }

    /// The range for which the fit stands, in words; empty if it is not known.
    #[must_use]
    pub fn range(&self) -> String {
        let mut parts = Vec::new();
        for (name, [low, high]) in [("prompts", self.input_tokens), ("outputs", self.output_tokens)] {
            if high > 0 {
                let range = if low == high { format!("{low}") } else { format!("{low} to {high}") };
                parts.push(format!("{name} of {range} tokens"));
            }
        }
        if self.request_rate[1] > 0.0 {
            let [low, high] = self.request_rate;
            let range = if low == high { format!("{low}") } else { format!("{low} to {high}") };
            parts.push(format!("{range} requests/s"));
        }
        if self.concurrency[1] > 0 {
            let [low, high] = self.concurrency;
            let range = if low == high { format!("{low}") } else { format!("{low} to {high}") };
            parts.push(format!("at most {range} in flight"));
        }
        parts.join(", ")
    }
}

/// The step-time model of fitted coefficients.
///
/// | model | α | β |
/// |---|---|---|
/// | black-box | α0..2, µs | β0..2, µs |
/// | calibrated | α0..2, µs | β0..7 ([`crate::latency::Calibrated`]) |
/// | quadratic | four overheads, µs | c0..14, s |
/// | roofline | α0..2, µs | shares of the peak reached in prefill and in decode, and of the bandwidth |
/// | trained-physics | α0..2, µs | β1..10 |
///
/// Roofline and trained-physics need `inputs`, the architecture and the data sheet whose peak and bandwidth are shared.
///
/// # Errors
/// `auto`, coefficients the model does not take, or missing inputs.
pub fn fitted_latency(
    model: LatencyModelChoice,
    alpha: &[f64],
    beta: &[f64],
    inputs: Option<(&ModelSpec, &AcceleratorSpec)>,
    tensor_parallel_size: u32,
) -> Result<LatencyModel, Vec<Diagnostic>> {
    let one = |code: &str, path: &str, message: &str, hint: &str| {
        Err(alloc::vec![Diagnostic::error(code, path, message).with_hint(hint)])
    };
    match (model, inputs) {
        (LatencyModelChoice::Calibrated, _) => LatencyModel::calibrated(alpha, beta),
        (LatencyModelChoice::Blackbox, _) => LatencyModel::blackbox(alpha, beta),
        (LatencyModelChoice::Quadratic, _) => LatencyModel::quadratic(alpha, beta),
        (LatencyModelChoice::Auto | LatencyModelChoice::MeasuredRoofline, _) => {
            let message = "auto and measured-roofline are not fitted to logs";
            one("invalid-value", "model", message, "give the model that was fitted")
        }
        (LatencyModelChoice::Roofline, _)
            if beta.len() < 3 || beta.iter().any(|share| !(0.0..=MAX_SHARE).contains(share)) =>
        {
            one(
                "coefficient-out-of-range",
                "beta",
                "these are not three shares from 0 to 10",
                "take the shares of the fit",
            )
        }
        (_, None) => one(
            "unknown-architecture",
            "model",
            "the model that was fitted needs an architecture and a data sheet",
            "choose a model and an accelerator of the catalogue, or give a config.json",
        ),
        (LatencyModelChoice::TrainedPhysics, Some((spec, accelerator))) => {
            LatencyModel::trained_physics(spec, accelerator, tensor_parallel_size, alpha, beta)
        }
        (LatencyModelChoice::Roofline, Some((spec, accelerator))) => {
            let mut accelerator = accelerator.clone();
            if let &[prefill, decode, bandwidth, ..] = beta {
                accelerator.mfu_prefill = prefill;
                accelerator.mfu_decode = decode;
                accelerator.memory_bandwidth_tb_per_s *= bandwidth;
            }
            LatencyModel::roofline(spec, &accelerator, tensor_parallel_size, alpha)
        }
    }
}

impl LatencyFit {
    /// The step-time model, its basis, and what is outside the range it was fitted in.
    ///
    /// `inputs` is the architecture and data sheet of the scenario's deployment.
    pub(super) fn resolve(
        &self,
        deployment: (&str, &str, u32),
        inputs: Option<(&ModelSpec, &AcceleratorSpec)>,
        workload: &WorkloadSettings,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<(LatencyModel, Basis)> {
        self.check(diagnostics);
        self.check_client(diagnostics);
        match fitted_latency(self.model, &self.alpha, &self.beta, inputs, deployment.2) {
            Err(problems) => {
                diagnostics.extend(under("latency.fit", problems));
                None
            }
            Ok(model) => {
                let is_elsewhere = self.is_of_another(deployment, diagnostics);
                self.remark_range(workload, diagnostics);
                Some((model, if is_elsewhere { Basis::Extrapolated } else { Basis::Calibrated }))
            }
        }
    }

    fn check(&self, diagnostics: &mut Vec<Diagnostic>) {
        let on = &self.calibrated_on;
        let mut reject = |field: &str, message: String, hint: &str| {
            let path = format!("latency.fit.calibrated_on.{field}");
            diagnostics.push(Diagnostic::error("invalid-value", path, message).with_hint(hint));
        };
        for (field, text) in [("logs", &on.logs), ("model", &on.model), ("accelerator", &on.accelerator)] {
            if text.chars().count() > MAX_NAME {
                reject(field, format!("{field} is longer than {MAX_NAME} characters"), "shorten it");
            }
        }
        for (field, [low, high]) in [("input_tokens", on.input_tokens), ("output_tokens", on.output_tokens)] {
            if low > high {
                reject(field, format!("{field} is {low} to {high}"), "give the lower number first");
            }
        }
        if on.concurrency[0] > on.concurrency[1] {
            let [low, high] = on.concurrency;
            reject("concurrency", format!("concurrency is {low} to {high}"), "give the lower number first");
        }
        let [low, high] = on.request_rate;
        if !(0.0 <= low && low <= high && high <= 1e6) {
            reject("request_rate", format!("request_rate is {low} to {high}"), "give two rates, the lower one first");
        }
    }

    fn check_client(&self, diagnostics: &mut Vec<Diagnostic>) {
        let ClientEffects { idle_delay_us, busy_delay_us } = self.client;
        for (field, value) in [("idle_delay_us", idle_delay_us), ("busy_delay_us", busy_delay_us)] {
            if !(0.0..=MAX_DELAY_US).contains(&value) {
                let path = format!("latency.fit.client.{field}");
                diagnostics.push(
                    Diagnostic::error("invalid-value", path, format!("{field} is {value}"))
                        .with_hint("give microseconds from 0 to a million"),
                );
            }
        }
    }

    fn is_of_another(&self, deployment: (&str, &str, u32), diagnostics: &mut Vec<Diagnostic>) -> bool {
        let on = &self.calibrated_on;
        let (model, accelerator, size) = deployment;
        let differs = |of: &str, present: &str| !of.is_empty() && !of.eq_ignore_ascii_case(present);
        let is_other = differs(&on.model, model)
            || differs(&on.accelerator, accelerator)
            || (on.tensor_parallel_size > 0 && on.tensor_parallel_size != size);
        if is_other {
            let unknown = |text: &str| if text.is_empty() { String::from("an unknown one") } else { text.into() };
            let size = on.tensor_parallel_size.max(1);
            let of = format!("{} on {size} × {}", unknown(&on.model), unknown(&on.accelerator));
            let message = format!("the coefficients were fitted to another deployment: {of}");
            diagnostics.push(
                Diagnostic::warning("fit-of-another-deployment", "latency.fit", message)
                    .with_hint("choose that deployment, calibrate with logs of this one, or choose trained-physics"),
            );
        }
        is_other
    }

    /// One remark for each quantity whose typical value no log of the fit has.
    fn remark_range(&self, workload: &WorkloadSettings, diagnostics: &mut Vec<Diagnostic>) {
        if !workload.clients.is_empty() || workload.trace.is_some() {
            return;
        }
        let on = &self.calibrated_on;
        let mut remark = |path: &str, message: String| {
            diagnostics.push(
                Diagnostic::warning("outside-calibration", path, message)
                    .with_hint("add a log with such requests and calibrate again"),
            );
        };
        for (field, name, settings, [low, high]) in [
            ("workload.input_tokens", "prompts", &workload.input_tokens, on.input_tokens),
            ("workload.output_tokens", "outputs", &workload.output_tokens, on.output_tokens),
        ] {
            let mean = settings.mean();
            if high > 0 && (mean < f64::from(low) || mean > f64::from(high)) {
                let message =
                    format!("{name} of {mean:.0} tokens on average; the logs of the fit have {low} to {high}");
                remark(field, message);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::LengthSettings;

    fn fit() -> LatencyFit {
        LatencyFit {
            alpha: alloc::vec![1.0; 3],
            beta: alloc::vec![1.0; 7],
            calibrated_on: CalibratedOn {
                logs: "a.json".into(),
                num_requests: 400,
                model: "acme/Tiny".into(),
                accelerator: "H100".into(),
                tensor_parallel_size: 2,
                input_tokens: [100, 200],
                output_tokens: [1, 20],
                request_rate: [0.5, 4.0],
                scheduling: Scheduling::Reference,
                concurrency: [0; 2],
            },
            ..LatencyFit::default()
        }
    }

    fn codes(fit: &LatencyFit, deployment: (&str, &str, u32), tokens: u32) -> (Option<Basis>, Vec<String>) {
        let mut diagnostics = Vec::new();
        let value = LengthSettings::Constant { value: tokens };
        let workload =
            WorkloadSettings { input_tokens: value.clone(), output_tokens: value, ..WorkloadSettings::default() };
        let basis = fit.resolve(deployment, None, &workload, &mut diagnostics).map(|(_, basis)| basis);
        (basis, diagnostics.into_iter().map(|found| format!("{} {}", found.code, found.path)).collect())
    }

    #[test]
    fn its_own_deployment_is_calibrated_and_another_extrapolated() {
        let mut fit = fit();
        fit.calibrated_on.output_tokens = [1, 150];
        assert_eq!(codes(&fit, ("acme/tiny", "H100", 2), 150), (Some(Basis::Calibrated), Vec::new()));
        let other = [String::from("fit-of-another-deployment latency.fit")];
        for deployment in [("acme/big", "H100", 2), ("acme/tiny", "A100-80", 2), ("acme/tiny", "H100", 1)] {
            assert_eq!(codes(&fit, deployment, 150), (Some(Basis::Extrapolated), other.to_vec()), "{deployment:?}");
        }
    }

    #[test]
    fn lengths_that_no_log_has_are_remarked() {
        let own = ("acme/tiny", "H100", 2);
        let (basis, found) = codes(&fit(), own, 20);
        assert_eq!(
            (basis, found),
            (Some(Basis::Calibrated), alloc::vec!["outside-calibration workload.input_tokens".into()])
        );
        let (_, found) = codes(&fit(), own, 201);
        assert_eq!(found, ["outside-calibration workload.input_tokens", "outside-calibration workload.output_tokens"]);
    }

    #[test]
    fn loads_that_no_log_has_are_remarked() {
        let mut on = fit().calibrated_on;
        let message = |on: &CalibratedOn, loads, replicas| on.load_remark(loads, replicas).map(|told| told.message);
        assert_eq!(message(&on, Loads::Rates([0.5, 4.0]), 1), None);
        let text = "a load of 1 to 6 requests/s; the logs of the fit have 0.5 to 4";
        assert_eq!(message(&on, Loads::Rates([1.0, 6.0]), 1).as_deref(), Some(text));
        assert_eq!(message(&on, Loads::Rates([1.0, 6.0]), 2), None, "three for each replica");
        let text = "a load of 0.333 requests/s; the logs of the fit have 0.5 to 4";
        assert_eq!(message(&on, Loads::Rates([1.0 / 3.0; 2]), 1).as_deref(), Some(text));
        assert_eq!(message(&on, Loads::Users([40, 40]), 1), None, "nothing is known of it");
        on.concurrency = [4, 32];
        assert_eq!(message(&on, Loads::Users([4, 32]), 1), None);
        let text = "a concurrency of 2 to 33 requests per replica; the logs of the fit have 4 to 32";
        assert_eq!(message(&on, Loads::Users([4, 66]), 2).as_deref(), Some(text));
        assert_eq!(CalibratedOn::default().load_remark(Loads::Rates([1.0, 6.0]), 1), None);
    }

    #[test]
    fn every_bad_value_is_told_with_its_path() {
        let mut bad = fit();
        bad.beta[1] = f64::NAN;
        bad.calibrated_on.input_tokens = [9, 1];
        bad.calibrated_on.request_rate = [f64::NAN, 1.0];
        bad.calibrated_on.concurrency = [2, 1];
        bad.client.busy_delay_us = -1.0;
        bad.calibrated_on.logs = "x".repeat(201);
        let (basis, found) = codes(&bad, ("acme/tiny", "H100", 2), 20);
        assert_eq!(basis, None);
        assert_eq!(
            found,
            [
                "invalid-value latency.fit.calibrated_on.logs",
                "invalid-value latency.fit.calibrated_on.input_tokens",
                "invalid-value latency.fit.calibrated_on.concurrency",
                "invalid-value latency.fit.calibrated_on.request_rate",
                "invalid-value latency.fit.client.busy_delay_us",
                "coefficient-out-of-range latency.fit.beta[1]",
            ]
        );
        for (model, expected) in [
            (LatencyModelChoice::Auto, "invalid-value latency.fit.model"),
            (LatencyModelChoice::Roofline, "unknown-architecture latency.fit.model"),
            (LatencyModelChoice::TrainedPhysics, "unknown-architecture latency.fit.model"),
            (LatencyModelChoice::Quadratic, "coefficients-missing latency.fit.alpha"),
        ] {
            let other = LatencyFit { model, ..fit() };
            assert_eq!(codes(&other, ("acme/tiny", "H100", 2), 150).1[0], expected);
        }
    }

    #[test]
    fn a_badge_and_a_range_in_words() {
        let on = fit().calibrated_on;
        assert_eq!(on.label(), "a.json (400 requests)");
        assert_eq!(on.range(), "prompts of 100 to 200 tokens, outputs of 1 to 20 tokens, 0.5 to 4 requests/s");
        let one = CalibratedOn { output_tokens: [20; 2], request_rate: [4.5; 2], ..CalibratedOn::default() };
        assert_eq!(one.range(), "outputs of 20 tokens, 4.5 requests/s");
        assert_eq!((CalibratedOn::default().label().as_str(), CalibratedOn::default().range().as_str()), ("logs", ""));
    }
}
