//! The measured window of a run and whether its load was sustained (definitions 1 and 3).
//!
//! Both are read off the queue as arriving requests find it. How the rules were chosen, and how often they are wrong,
//! is in `docs/curve.md`.

use super::Verdict;
use crate::observation::QueueSample;
use crate::time::SimTime;

/// Measured requests below which nothing is called stable.
pub const MIN_MEASURED_REQUESTS: u64 = 500;

/// Arrivals the window must hold per request in system, i.e. residence times it must span (Little's law).
pub const MIN_TIME_SCALES: f64 = 5.0;

/// Standard deviations of a critical queue's random walk that growth must exceed.
const GROWTH_Z: f64 = 3.0;

/// Share of the offered rate that a server must complete while a queue stands.
const SUSTAINED_SHARE: f64 = 0.98;

/// Arrivals in a row that must find a queue before its service rate is trusted.
const MIN_QUEUE_RUN: usize = 200;

/// Variance of the work per request in units of its squared mean, as the bound of a random walk takes it.
const SERVICE_VARIANCE: f64 = 0.25;

/// Warm-up, measured window and verdict of one run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Assessment {
    /// First tick of the measured window: the number in system has reached its level.
    pub start: SimTime,
    /// Last tick of the measured window: the last arrival.
    pub end: SimTime,
    /// Whether the load was sustained.
    pub verdict: Verdict,
    /// Mean requests in system that arrivals of the window found.
    pub mean_in_system: f64,
}

/// Assesses a run from its queue samples.
///
/// # Units and shape
/// `samples`: by time, one per `stride` arrivals, of the arrivals before the drain. `offered_rate`: requests per second
/// the run was offered on average.
///
/// # Model
/// The measured window begins when the number in system first reaches its level, the mean over the second half of the
/// arrivals, but after half of them at the latest: begun while the batch still fills, it would count too few
/// completions. The verdict also looks at what comes before, from one standard deviation below the level on, as growth
/// shows better over a longer stretch. A run is overloaded if the queue or the number in system grew by more than a
/// critically loaded queue would by chance, or if the server, while a queue stood, completed less than 98 % of the
/// offered rate. [`Assessment::without`] adds what never completed.
#[must_use]
pub fn assess(samples: &[QueueSample], stride: u64, offered_rate: f64) -> Assessment {
    let (Some(first), Some(last)) = (samples.first(), samples.last()) else {
        return Assessment {
            start: SimTime::ZERO,
            end: SimTime::ZERO,
            verdict: Verdict::Undecided,
            mean_in_system: 0.0,
        };
    };
    let (settling, settled) = warm_up(samples);
    let start = if settled == 0 { SimTime(first.time.0.min(0)) } else { samples[settled].time };
    let measured = (samples.len() - settled) as u64 * stride;
    let window = &samples[settling..];
    let arrivals = window.len() as u64 * stride;
    let mean_in_system = mean(window, in_system);
    let long_enough = arrivals as f64 >= MIN_TIME_SCALES * mean_in_system;
    // A queue at critical load is a reflected random walk: after n arrivals its deviation is at most c·√n.
    let bound = GROWTH_Z * libm::sqrt((gap_variance(window) * stride as f64 + SERVICE_VARIANCE) * arrivals as f64);
    let grown = growth(window, waiting) >= bound || (long_enough && growth(window, in_system) >= bound);
    let verdict = if grown || starved(window, stride, offered_rate) {
        Verdict::Overloaded
    } else if measured < MIN_MEASURED_REQUESTS || !long_enough {
        Verdict::Undecided
    } else if peak(window) >= bound {
        Verdict::Backlogged
    } else {
        Verdict::Stable
    };
    Assessment { start, end: last.time, verdict, mean_in_system: mean(&samples[settled..], in_system) }
}

impl Assessment {
    /// The same where `lost` of `admitted` requests that arrived in the window were never completed: given up by their
    /// clients, or dropped.
    ///
    /// A queue that is left in time never grows, so its length alone would call such a load sustained.
    #[must_use]
    pub fn without(self, lost: u64, admitted: u64) -> Self {
        let is_sustained = (admitted - lost.min(admitted)) as f64 >= SUSTAINED_SHARE * admitted as f64;
        if is_sustained { self } else { Self { verdict: Verdict::Overloaded, ..self } }
    }
}

#[inline]
fn in_system(sample: &QueueSample) -> f64 {
    f64::from(sample.waiting) + f64::from(sample.running)
}

#[inline]
fn waiting(sample: &QueueSample) -> f64 {
    f64::from(sample.waiting)
}

fn mean(samples: &[QueueSample], of: impl Fn(&QueueSample) -> f64) -> f64 {
    if samples.is_empty() { 0.0 } else { samples.iter().map(of).sum::<f64>() / samples.len() as f64 }
}

/// Indices of the first sample within one standard deviation of the level, and of the first that reaches it.
fn warm_up(samples: &[QueueSample]) -> (usize, usize) {
    let half = samples.len() / 2;
    let level = mean(&samples[half..], in_system);
    let variance = mean(&samples[half..], |sample| (in_system(sample) - level) * (in_system(sample) - level));
    let first_reaching =
        |number: f64| samples[..half].iter().position(|sample| in_system(sample) >= number).unwrap_or(half);
    (first_reaching(level - libm::sqrt(variance)), first_reaching(level))
}

/// Mean over the last tenth minus mean over the first tenth.
fn growth(window: &[QueueSample], of: impl Fn(&QueueSample) -> f64) -> f64 {
    let tenth = (window.len() / 10).max(1);
    mean(&window[window.len() - tenth..], &of) - mean(&window[..tenth], &of)
}

/// Largest mean queue over a tenth of the window.
fn peak(window: &[QueueSample]) -> f64 {
    window.chunks((window.len() / 10).max(1)).map(|tenth| mean(tenth, waiting)).fold(0.0, f64::max)
}

/// Variance of the gaps between samples in units of their squared mean; 1 for a Poisson process.
fn gap_variance(window: &[QueueSample]) -> f64 {
    let gaps = || window.windows(2).map(|pair| (pair[1].time.0 - pair[0].time.0) as f64);
    let count = window.len().saturating_sub(1) as f64;
    let mean = gaps().sum::<f64>() / count;
    if count < 2.0 || mean <= 0.0 {
        return 1.0;
    }
    gaps().map(|gap| (gap - mean) * (gap - mean)).sum::<f64>() / (count - 1.0) / (mean * mean)
}

/// Whether a queue stood to the end of the window and was served slower than requests are offered.
///
/// While somebody waits the server works at its capacity, so what it completes there does not depend on the luck of
/// the arrivals, and shows an overload of a few percent long before the queue's length does.
fn starved(window: &[QueueSample], stride: u64, offered_rate: f64) -> bool {
    // The newest arrival itself is counted as waiting.
    let run = window.iter().rev().take_while(|sample| sample.waiting > 1).count();
    if (run as u64 * stride) < MIN_QUEUE_RUN as u64 || run < 2 {
        return false;
    }
    let (first, last) = (&window[window.len() - run], &window[window.len() - 1]);
    let seconds = SimTime(last.time.0 - first.time.0).as_seconds();
    let served = ((run - 1) as u64 * stride) as f64 - (waiting(last) - waiting(first));
    served < SUSTAINED_SHARE * offered_rate * seconds
}
