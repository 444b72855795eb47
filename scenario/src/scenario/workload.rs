//! What arrives, as declared.

use crate::catalog::{LengthSpec, WorkloadPreset};
use crate::diagnostic::Diagnostic;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// What arrives.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WorkloadSettings {
    /// Mean requests per second offered to the cluster; curves override it.
    pub request_rate: f64,
    /// Requests of one run.
    pub num_requests: u32,
    /// How the gaps between arrivals vary.
    pub arrival: ArrivalSettings,
    /// Prompt tokens of one's own, without the shared prefix.
    pub input_tokens: LengthSettings,
    /// Output tokens.
    pub output_tokens: LengthSettings,
    /// Prompt tokens shared with others, in front of one's own.
    pub prefix: PrefixSettings,
    /// Share of the prompt tokens that the prefix cache has whatever it is found to have, 0–1, as vLLM's counters of hits
    /// and queries give it; 0 = not given.
    #[serde(skip_serializing_if = "is_not_given")]
    pub prefix_hit_ratio: f64,
    /// Seconds after which a client gives up; none = never.
    pub timeout_s: Option<f64>,
    /// Replay this recorded trace instead; its lengths and arrivals replace the fields above.
    pub trace: Option<TraceChoice>,
    /// Users who wait for their answers, instead of a rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closed_loop: Option<ClosedLoopSettings>,
    /// Several kinds of clients; `arrival`, `input_tokens`, `output_tokens`, `prefix` and `closed_loop` above are then
    /// not used, and `request_rate` is shared among them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub clients: Vec<ClientSettings>,
}

/// How the gaps between arrivals vary.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "process", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ArrivalSettings {
    /// Equal gaps.
    Constant,
    /// Exponential gaps.
    Poisson,
    /// Gamma gaps with this coefficient of variation (`burstiness` = 1/cv²).
    Gamma {
        /// Coefficient of variation of the gaps; 1 is poisson, larger is burstier.
        cv: f64,
    },
    /// Weibull gaps with this coefficient of variation.
    Weibull {
        /// Coefficient of variation of the gaps; 1 is poisson, larger is burstier.
        cv: f64,
    },
}

/// A length distribution, tokens (workload specification 3).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "distribution", rename_all = "kebab-case", deny_unknown_fields)]
pub enum LengthSettings {
    /// Normal, *clamped* to the bounds and rounded.
    Normal {
        /// Mean before clamping.
        mean: f64,
        /// Standard deviation before clamping.
        std_dev: f64,
        /// Smallest length.
        min: u32,
        /// Largest length.
        max: u32,
    },
    /// Lognormal by the mean and deviation of the value itself, clamped and rounded.
    Lognormal {
        /// Mean before clamping.
        mean: f64,
        /// Standard deviation before clamping.
        std_dev: f64,
        /// Smallest length.
        min: u32,
        /// Largest length.
        max: u32,
    },
    /// Exponential, rounded, at least 1.
    Exponential {
        /// Mean before rounding.
        mean: f64,
    },
    /// A Pareto tail mixed with a lognormal body, rounded, at least 1.
    ParetoLognormal {
        /// Exponent of the tail; smaller is heavier.
        alpha: f64,
        /// Smallest length of the tail, tokens.
        xm: f64,
        /// Mean of the body's logarithm.
        mu: f64,
        /// Standard deviation of the body's logarithm.
        sigma: f64,
        /// Share of the tail, 0–1.
        mix_weight: f64,
    },
    /// Lengths with weights.
    Empirical {
        /// Length and weight; weights that are not positive are never drawn but count in the sum.
        weights: Vec<(u32, f64)>,
    },
    /// Always the same.
    Constant {
        /// The length.
        value: u32,
    },
}

/// Prompt tokens shared between requests.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PrefixSettings {
    /// Length of each shared prefix, tokens; 0 = none.
    pub tokens: u32,
    /// How many different prefixes there are.
    pub groups: u32,
    /// Share of the requests that carry one, 0–1.
    pub share_ratio: f64,
}

/// A recorded trace, named by its content; the bytes themselves are never part of a scenario.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TraceChoice {
    /// File name, for people.
    pub name: String,
    /// Hash of the parsed trace, sixteen hexadecimal digits.
    pub hash: String,
    /// Replay only the requests between these times after the first arrival, seconds; the first stands at 0 then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window_s: Option<[f64; 2]>,
    /// Factor on the recorded request rate in a run at the trace's own pace; none = 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_scale: Option<f64>,
    /// Let each later turn of a recorded conversation wait for the answer before it; none = every turn arrives when it
    /// was recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub think_time: Option<ThinkTime>,
}

/// The time from an answer to the next turn of a recorded conversation (workload specification 8).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "distribution", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ThinkTime {
    /// The gap between the recorded arrivals of the two turns.
    Recorded,
    /// Always the same.
    Constant {
        /// Microseconds.
        value_us: u64,
    },
    /// Lognormal by the mean and deviation of the time itself.
    Lognormal {
        /// Mean, microseconds.
        mean_us: f64,
        /// Standard deviation, microseconds.
        std_dev_us: f64,
    },
}

/// Users who wait for their answers (workload specification 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClosedLoopSettings {
    /// How many; never more requests are in flight.
    pub concurrency: u32,
    /// Time from an answer to the next request, microseconds.
    #[serde(default)]
    pub think_time_us: u64,
}

/// The SLO classes a client can belong to, besides the unnamed one.
pub const SLO_CLASSES: [&str; 5] = ["critical", "standard", "sheddable", "batch", "background"];

/// What the SLO class without a name is called.
pub const UNNAMED_CLASS: &str = "default";

/// One kind of client (workload specification 3).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClientSettings {
    /// Its name, for people.
    pub id: String,
    /// Tenant it belongs to; empty = none.
    pub tenant: String,
    /// One of [`SLO_CLASSES`]; empty = none.
    pub slo_class: String,
    /// Its requests' own priority, lower first; heard by the scheduler `priority` alone.
    #[serde(skip_serializing_if = "is_zero")]
    pub priority: i32,
    /// How many alike there are; each has an equal part of `rate_fraction` and random numbers of its own.
    pub population: u32,
    /// Its part of the request rate, relative to the other clients that are active with it.
    pub rate_fraction: f64,
    /// Users who wait for their answers, instead of a part of the rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closed_loop: Option<ClosedLoopSettings>,
    /// How the gaps between its requests, or its sessions, vary.
    pub arrival: ArrivalSettings,
    /// Prompt tokens of one's own, without prefix and conversation.
    pub input_tokens: LengthSettings,
    /// Output tokens.
    pub output_tokens: LengthSettings,
    /// Clients of one group share a prefix; empty = none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub prefix_group: String,
    /// Length of the group's prefix, tokens; the group's first client decides.
    pub prefix_tokens: u32,
    /// Whether answers are streamed; carried, without effect.
    pub streaming: bool,
    /// Microseconds after which it gives up; 0 = never, none = the workload's, else 300 s for sessions and users.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_us: Option<u64>,
    /// Its network, for client-side figures; without effect on a run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<NetworkSettings>,
    /// When it is active; empty = always.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub active: Vec<ActiveWindow>,
    /// Prompts of several modalities; `input_tokens` is then not used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub multimodal: Option<MultimodalSettings>,
    /// Percentage of the output that is reasoning; carried, without effect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason_ratio: Option<LengthSettings>,
    /// Conversations of several turns instead of single requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionSettings>,
}

/// A network between client and server.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NetworkSettings {
    /// Round trip, milliseconds.
    pub rtt_ms: f64,
    /// Bandwidth in either direction, megabits per second; 0 = unlimited.
    pub bandwidth_mbps: f64,
}

/// A span of simulated time: active if start ≤ t < end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActiveWindow {
    /// First microsecond.
    pub start_us: u64,
    /// First microsecond after it.
    pub end_us: u64,
}

/// Prompts of several modalities (workload specification 4); tokens of all parts add up.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MultimodalSettings {
    /// Text tokens.
    pub text: Option<LengthSettings>,
    /// Images.
    pub image: Option<ItemSettings>,
    /// Pieces of audio.
    pub audio: Option<ItemSettings>,
    /// Videos.
    pub video: Option<ItemSettings>,
}

/// Items of one modality in a prompt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ItemSettings {
    /// Tokens of one item.
    pub tokens: LengthSettings,
    /// Items in a prompt.
    pub count: LengthSettings,
}

/// Conversations of several turns (workload specification 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SessionSettings {
    /// Turns of a session, at least 1.
    pub max_rounds: u32,
    /// Time from an answer to the next turn, microseconds.
    pub think_time_us: u64,
    /// Whether a prompt holds all earlier prompts and answers.
    pub accumulates: bool,
    /// Whether the next turn waits for the answer; otherwise its arrival is fixed beforehand.
    pub is_closed_loop: bool,
    /// Whether there is only one session, at the client's first arrival.
    pub is_single: bool,
}

impl WorkloadSettings {
    /// Takes the token lengths of a preset and what its prompts share; arrivals, rate and count stay.
    pub fn apply_preset(&mut self, preset: &WorkloadPreset) {
        self.input_tokens = preset.input_tokens.into();
        self.output_tokens = preset.output_tokens.into();
        self.prefix = PrefixSettings { tokens: preset.prefix_tokens, ..PrefixSettings::default() };
        self.prefix_hit_ratio = 0.0;
        self.trace = None;
        self.clients.clear();
        self.closed_loop = None;
    }

    /// Why there is no curve over the request rate: everybody waits for answers.
    #[must_use]
    pub fn without_rate(&self) -> Option<Diagnostic> {
        let is_closed = match (&self.trace, self.users()) {
            (Some(trace), _) => trace.think_time.is_some(),
            (None, users) => users.is_some(),
        };
        let message = "users who wait for their answers have no request rate, so there is no curve over it";
        let (path, hint) = match (&self.trace, self.clients.is_empty()) {
            (Some(_), _) => (
                "workload.trace.think_time",
                "replay the trace without a think time to have a curve over its rate, or run it once: plimsoll run, or the tab Run",
            ),
            (None, true) => ("workload.closed_loop", USERS_HINT),
            (None, false) => ("workload.clients", USERS_HINT),
        };
        is_closed.then(|| Diagnostic::error("closed-loop-without-rate", path, message).with_hint(hint))
    }
}

/// What to do about users who wait where a rate is needed.
const USERS_HINT: &str = "run them once (plimsoll run, or the tab Run), let plimsoll curve go over their number, or give a request rate instead";

impl LengthSettings {
    /// Mean before clamping and rounding, tokens; infinite where a Pareto tail has none.
    #[must_use]
    pub fn mean(&self) -> f64 {
        match self {
            Self::Normal { mean, .. } | Self::Lognormal { mean, .. } | Self::Exponential { mean } => *mean,
            Self::ParetoLognormal { alpha, xm, mu, sigma, mix_weight } => {
                let body = (1.0 - mix_weight) * libm::exp(mu + sigma * sigma / 2.0);
                let tail = if *alpha > 1.0 { alpha * xm / (alpha - 1.0) } else { f64::INFINITY };
                if *mix_weight > 0.0 { body + mix_weight * tail } else { body }
            }
            Self::Empirical { weights } => {
                let drawn = || weights.iter().filter(|(_, weight)| *weight > 0.0);
                let sum: f64 = drawn().map(|(_, weight)| weight).sum();
                drawn().map(|(value, weight)| f64::from(*value) * weight).sum::<f64>() / sum
            }
            Self::Constant { value } => f64::from(*value),
        }
    }

    /// Standard deviation before clamping and rounding, tokens; infinite where a Pareto tail has none.
    #[must_use]
    pub fn std_dev(&self) -> f64 {
        let mean = self.mean();
        let square = match self {
            Self::Normal { std_dev, .. } | Self::Lognormal { std_dev, .. } => return *std_dev,
            Self::Exponential { mean } => return *mean,
            Self::Constant { .. } => return 0.0,
            Self::ParetoLognormal { alpha, xm, mu, sigma, mix_weight } => {
                let body = (1.0 - mix_weight) * libm::exp(2.0 * mu + 2.0 * sigma * sigma);
                let tail = if *alpha > 2.0 { alpha * xm * xm / (alpha - 2.0) } else { f64::INFINITY };
                if *mix_weight > 0.0 { body + mix_weight * tail } else { body }
            }
            Self::Empirical { weights } => {
                let drawn = || weights.iter().filter(|(_, weight)| *weight > 0.0);
                let sum: f64 = drawn().map(|(_, weight)| weight).sum();
                drawn().map(|(value, weight)| f64::from(*value) * f64::from(*value) * weight).sum::<f64>() / sum
            }
        };
        if square.is_finite() { libm::sqrt((square - mean * mean).max(0.0)) } else { f64::INFINITY }
    }

    /// A length that about one request in a thousand exceeds, within the bounds.
    #[must_use]
    pub fn usual_maximum(&self) -> f64 {
        match self {
            Self::Normal { max, .. } | Self::Lognormal { max, .. } => self.unbounded_maximum().min(f64::from(*max)),
            _ => self.unbounded_maximum(),
        }
    }

    /// Whether no length goes beyond the usual maximum.
    #[must_use]
    pub fn is_bounded(&self) -> bool {
        match self {
            Self::Normal { std_dev, max, .. } | Self::Lognormal { std_dev, max, .. } => {
                *std_dev == 0.0 || self.unbounded_maximum() >= f64::from(*max)
            }
            Self::Exponential { .. } | Self::ParetoLognormal { .. } => false,
            Self::Empirical { .. } | Self::Constant { .. } => true,
        }
    }

    /// The 0.999 quantile of the law behind the lengths, roughly: three standard deviations above the center where
    /// it is a normal one.
    fn unbounded_maximum(&self) -> f64 {
        match self {
            Self::Normal { mean, std_dev, .. } => mean + 3.0 * std_dev,
            Self::Lognormal { mean, std_dev, .. } => {
                let variance = libm::log1p((std_dev / mean) * (std_dev / mean));
                mean * libm::exp(3.0 * libm::sqrt(variance) - 0.5 * variance)
            }
            // −ln 0.001.
            Self::Exponential { mean } => mean * 6.907_755,
            Self::ParetoLognormal { alpha, xm, mu, sigma, mix_weight } => {
                let body = libm::exp(mu + 3.0 * sigma);
                // Where the tail's share of what lies above is a thousandth of all.
                let tail = xm * libm::pow((1000.0 * mix_weight).max(1.0), 1.0 / alpha);
                if *mix_weight > 0.0 { body.max(tail) } else { body }
            }
            Self::Empirical { weights } => {
                let drawn = weights.iter().filter(|(_, weight)| *weight > 0.0);
                drawn.map(|(value, _)| f64::from(*value)).fold(0.0, f64::max)
            }
            Self::Constant { value } => f64::from(*value),
        }
    }
}

impl ActiveWindow {
    /// The windows of a day's rhythm: one per hour, the longer the nearer to the peak.
    ///
    /// Hour h begins at h hours and lasts (1+cos(2π(h−peak)/24))/2·(1−1/R)+1/R of it, R being the ratio of peak to
    /// trough, at least 1.
    ///
    /// # Source
    /// Workload specification 3, cohort windows.
    #[must_use]
    pub fn diurnal(peak_hour: f64, peak_to_trough_ratio: f64) -> Vec<Self> {
        const HOUR: u64 = 3_600_000_000;
        let least = 1.0 / peak_to_trough_ratio;
        let window = |hour: u32| {
            let angle = core::f64::consts::TAU * (f64::from(hour) - peak_hour) / 24.0;
            let share = (1.0 + libm::cos(angle)) / 2.0 * (1.0 - least) + least;
            let start_us = u64::from(hour) * HOUR;
            Self { start_us, end_us: start_us + (HOUR as f64 * share) as u64 }
        };
        (0..24).map(window).collect()
    }

    /// The window of a spike.
    #[must_use]
    pub fn spike(start_us: u64, duration_us: u64) -> Vec<Self> {
        alloc::vec![Self { start_us, end_us: start_us.saturating_add(duration_us) }]
    }

    /// The windows of a cohort that fades away: all of the time before `start_us`, then ten parts of `ramp_us`, each
    /// active for a tenth less of it.
    #[must_use]
    pub fn drain(start_us: u64, ramp_us: u64) -> Vec<Self> {
        let before = (start_us > 0).then_some(Self { start_us: 0, end_us: start_us });
        let part = ramp_us / 10;
        let ramp = (0..10).map(|index| {
            let from = start_us.saturating_add(index * part);
            Self { start_us: from, end_us: from.saturating_add(part.saturating_mul(10 - index) / 10) }
        });
        before.into_iter().chain(ramp.filter(|window| window.end_us > window.start_us)).collect()
    }
}

impl From<LengthSpec> for LengthSettings {
    fn from(LengthSpec { mean, std_dev, min, max }: LengthSpec) -> Self {
        Self::Normal { mean, std_dev, min, max }
    }
}

impl Default for WorkloadSettings {
    fn default() -> Self {
        let lengths = LengthSettings::Normal { mean: 512.0, std_dev: 256.0, min: 2, max: 7000 };
        Self {
            request_rate: 1.0,
            num_requests: 2000,
            arrival: ArrivalSettings::Poisson,
            input_tokens: lengths.clone(),
            output_tokens: lengths,
            prefix: PrefixSettings::default(),
            prefix_hit_ratio: 0.0,
            timeout_s: None,
            trace: None,
            closed_loop: None,
            clients: Vec::new(),
        }
    }
}

fn is_zero(priority: &i32) -> bool {
    *priority == 0
}

fn is_not_given(ratio: &f64) -> bool {
    *ratio == 0.0
}

impl Default for ClientSettings {
    fn default() -> Self {
        let WorkloadSettings { arrival, input_tokens, output_tokens, .. } = WorkloadSettings::default();
        Self {
            id: String::new(),
            tenant: String::new(),
            slo_class: String::new(),
            priority: 0,
            population: 1,
            rate_fraction: 1.0,
            closed_loop: None,
            arrival,
            input_tokens,
            output_tokens,
            prefix_group: String::new(),
            // The length that groups without one have (workload specification 3).
            prefix_tokens: 50,
            streaming: false,
            timeout_us: None,
            network: None,
            active: Vec::new(),
            multimodal: None,
            reason_ratio: None,
            session: None,
        }
    }
}

impl Default for SessionSettings {
    fn default() -> Self {
        Self { max_rounds: 1, think_time_us: 0, accumulates: true, is_closed_loop: true, is_single: false }
    }
}

impl Default for PrefixSettings {
    fn default() -> Self {
        Self { tokens: 0, groups: 1, share_ratio: 1.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_maximum_is_exceeded_by_one_in_a_thousand() {
        let of = |lengths: &LengthSettings| (lengths.usual_maximum(), lengths.is_bounded());
        assert_eq!(of(&LengthSettings::Normal { mean: 500.0, std_dev: 100.0, min: 1, max: 7000 }), (800.0, false));
        assert_eq!(of(&LengthSettings::Normal { mean: 500.0, std_dev: 100.0, min: 1, max: 700 }), (700.0, true));
        assert_eq!(of(&LengthSettings::Constant { value: 9 }), (9.0, true));
        assert_eq!(of(&LengthSettings::Empirical { weights: alloc::vec![(4, 1.0), (9, 0.0), (7, 0.1)] }), (7.0, true));
        // e^(3σ - σ²/2) with σ² = ln 2.
        let (longest, is_bounded) = of(&LengthSettings::Lognormal { mean: 500.0, std_dev: 500.0, min: 1, max: 70_000 });
        assert!((longest - 500.0 * 8.594_2).abs() < 1.0 && !is_bounded, "{longest}");
        // A tail of a tenth: P(X > x) = 0.1·(100/x)², a thousandth at x = 1000.
        let tail = LengthSettings::ParetoLognormal { alpha: 2.0, xm: 100.0, mu: 0.0, sigma: 1.0, mix_weight: 0.1 };
        assert!((tail.usual_maximum() - 1000.0).abs() < 1e-6 && !tail.is_bounded());
    }

    #[test]
    fn means_are_those_of_the_closed_forms() {
        let mixed = LengthSettings::ParetoLognormal { alpha: 3.0, xm: 100.0, mu: 4.0, sigma: 0.5, mix_weight: 0.25 };
        // ¼·150 + ¾·e^(4.125).
        assert!((mixed.mean() - (37.5 + 0.75 * 61.867_5)).abs() < 1e-3, "{}", mixed.mean());
        // ¼·αx²/(α−2) + ¾·e^8.5 − mean².
        let variance = 0.25 * 30_000.0 + 0.75 * 4_914.768_8 - 83.900_6 * 83.900_6;
        assert!((mixed.std_dev() * mixed.std_dev() - variance).abs() < 0.1, "{}", mixed.std_dev());
        let weights = LengthSettings::Empirical { weights: alloc::vec![(10, 1.0), (40, 2.0)] };
        // 20²·⅓ + 10²·⅔ = 200.
        assert_eq!((weights.mean(), weights.std_dev()), (30.0, libm::sqrt(200.0)));
    }

    #[test]
    fn cohort_windows_are_those_of_the_specification() {
        let day = ActiveWindow::diurnal(14.0, 4.0);
        assert_eq!(day.len(), 24);
        // Full at the peak, a quarter opposite to it, (½·¾+¼) six hours away.
        let lasts = |hour: usize| day[hour].end_us - day[hour].start_us;
        assert_eq!([lasts(14), lasts(2), lasts(20)], [3_600_000_000, 900_000_000, 2_250_000_000]);
        assert_eq!(day[5].start_us, 5 * 3_600_000_000);
        assert_eq!(ActiveWindow::spike(5, 7), [ActiveWindow { start_us: 5, end_us: 12 }]);
        let ebb = ActiveWindow::drain(1000, 1000);
        assert_eq!(ebb[0], ActiveWindow { start_us: 0, end_us: 1000 });
        assert_eq!(ebb[1], ActiveWindow { start_us: 1000, end_us: 1100 });
        assert_eq!(ebb[4], ActiveWindow { start_us: 1300, end_us: 1370 });
        assert_eq!(ebb[10], ActiveWindow { start_us: 1900, end_us: 1910 });
        assert_eq!(ActiveWindow::drain(0, 1000).len(), 10);
    }
}
