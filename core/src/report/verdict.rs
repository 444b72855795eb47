//! The measured window of a run and whether its load was sustained (definitions 1 and 3).
//!
//! Both are read off the queue as arriving requests find it. How the rules were chosen, and how often they are wrong,
//! is in `docs/curve.md`.

use super::{Verdict, warm_up};
use crate::observation::QueueSample;
use crate::time::SimTime;

/// Measured requests below which nothing is called stable.
pub const MIN_MEASURED_REQUESTS: u64 = 500;

/// Times the window must span the longest time scale.
pub const MIN_TIME_SCALES: f64 = 5.0;

/// Standard deviations of a critical queue's random walk that growth must exceed.
const GROWTH_Z: f64 = 3.0;

/// Share of the offered rate that a server must complete while a queue stands.
const SUSTAINED_SHARE: f64 = 0.98;

/// Arrivals in a row that must find a queue, and requests that the offered rate brings in as long a time, before its
/// service rate is trusted.
const MIN_QUEUE_RUN: f64 = 200.0;

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

/// How long finished requests were in system, arrival to end.
///
/// Whole numbers in units of 1,024 µs, so that sums do not depend on their order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Residence {
    count: u64,
    sum: u64,
    squares: u64,
}

impl Residence {
    /// One more finished request.
    #[inline]
    pub fn add(&mut self, time: SimTime) {
        let time = (time.0.max(0) as u64 >> 10).min(u64::from(u32::MAX));
        self.count += 1;
        self.sum += time;
        self.squares = self.squares.saturating_add(time * time);
    }

    /// The longest time scale of the number in system, in mean residence times, at least 1.
    ///
    /// # Model
    /// Where nobody waits, the number in system forgets its past as fast as those who are in it leave: its
    /// autocorrelation at lag t is the chance that an ongoing residence lasts t longer, and the integral of that is the
    /// mean rest of an ongoing residence, E\[S²\] / 2E\[S\]. For times that vary by less than their mean the mean residence
    /// is longer, and stands in for it; long tails make it count.
    ///
    /// # Source
    /// Autocorrelation of the M/G/∞ queue: J. F. Reynolds, The covariance structure of queues and related processes
    /// (Advances in Applied Probability 7, 1975).
    #[must_use]
    pub fn time_scale(&self) -> f64 {
        let (sum, squares) = (self.sum as f64, self.squares as f64);
        if self.sum == 0 { 1.0 } else { (squares * self.count as f64 / (2.0 * sum * sum)).max(1.0) }
    }
}

/// Assesses a run from its queue samples.
///
/// # Units and shape
/// `samples`: by time, one per `stride` arrivals, of the arrivals before the drain. `offered_rate`: requests per second
/// the run was offered on average. `time_scale`: the longest, in mean residence times ([`Residence::time_scale`]).
///
/// # Model
/// The measured window begins when the number in system first reaches its level, the mean over the second half of the
/// arrivals, but after half of them at the latest: begun while the batch still fills, it would count too few
/// completions. The verdict also looks at what comes before, from one standard deviation below the level on, as growth
/// shows better over a longer stretch; it spans as many mean residence times as it has arrivals per request in system
/// (Little's law). A run is overloaded if the queue or the number in system grew by more than a
/// critically loaded queue would by chance, or if the server, while a queue stood, completed less than 98 % of the
/// offered rate. [`Assessment::without`] adds what never completed.
#[must_use]
pub fn assess(samples: &[QueueSample], stride: u64, offered_rate: f64, time_scale: f64) -> Assessment {
    let (settling, settled) = first_reached(samples);
    judge(samples, stride, offered_rate, time_scale, [settling, settled])
}

/// The same with the measured window from where the number in system has settled by the rule of long runs
/// ([`super::warm_up`]).
#[must_use]
pub fn assess_settled(samples: &[QueueSample], offered_rate: f64, time_scale: f64) -> Assessment {
    let (settling, _) = first_reached(samples);
    let settled = warm_up(samples.iter().map(in_system)).min(samples.len().saturating_sub(1));
    judge(samples, 1, offered_rate, time_scale, [settling, settled])
}

/// The last two are the indices from which growth is looked at, and from which is measured.
fn judge(
    samples: &[QueueSample],
    stride: u64,
    offered_rate: f64,
    time_scale: f64,
    [settling, settled]: [usize; 2],
) -> Assessment {
    let (Some(first), Some(last)) = (samples.first(), samples.last()) else {
        return Assessment {
            start: SimTime::ZERO,
            end: SimTime::ZERO,
            verdict: Verdict::Undecided,
            mean_in_system: 0.0,
        };
    };
    let start = if settled == 0 { SimTime(first.time.0.min(0)) } else { samples[settled].time };
    let measured = (samples.len() - settled) as u64 * stride;
    let window = &samples[settling..];
    let arrivals = window.len() as u64 * stride;
    let mean_in_system = mean(window, in_system);
    let long_enough = arrivals as f64 >= MIN_TIME_SCALES * time_scale * mean_in_system;
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
fn first_reached(samples: &[QueueSample]) -> (usize, usize) {
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
/// the arrivals, and shows an overload of a few percent long before the queue's length does. Two hundred arrivals alone
/// do not make a long time: clients of a large coefficient of variation send as many within a step.
fn starved(window: &[QueueSample], stride: u64, offered_rate: f64) -> bool {
    // The newest arrival itself is counted as waiting.
    let run = window.iter().rev().take_while(|sample| sample.waiting > 1).count();
    if run < 2 {
        return false;
    }
    let (first, last) = (&window[window.len() - run], &window[window.len() - 1]);
    let offered = offered_rate * SimTime(last.time.0 - first.time.0).as_seconds();
    if ((run as u64 * stride) as f64).min(offered) < MIN_QUEUE_RUN {
        return false;
    }
    let served = ((run - 1) as u64 * stride) as f64 - (waiting(last) - waiting(first));
    served < SUSTAINED_SHARE * offered
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn residence(seconds: impl Iterator<Item = f64>) -> Residence {
        let mut residence = Residence::default();
        seconds.for_each(|time| residence.add(SimTime((time * 1_024_000.0) as i64)));
        residence
    }

    #[test]
    fn the_time_scale_is_the_mean_rest_of_a_residence_where_that_is_longer() {
        assert_eq!(Residence::default().time_scale(), 1.0);
        assert_eq!(residence([3.0; 10].into_iter()).time_scale(), 1.0, "half a residence is left, the whole counts");
        // 99 of 1 s and one of 101 s: mean 2, mean square (99 + 10201) / 100 = 103, so 103 / (2 · 2) s, or 12.875 means.
        let tail = residence((0..100).map(|at| if at == 0 { 101.0 } else { 1.0 }));
        assert_eq!(tail.time_scale(), 103.0 / 8.0);
    }

    #[test]
    fn a_burst_is_no_starved_queue() {
        // 20 ms between arrivals, each of which finds an empty queue; at the end 300 come within 300 us, of whom nobody is
        // served yet. The queue stands for a third of a millisecond: that says nothing about the server.
        let mut samples: Vec<QueueSample> = (0..2000)
            .map(|at| QueueSample { time: SimTime(at * 20_000), waiting: 1, running: 3, ..QueueSample::default() })
            .collect();
        let end = samples[1999].time.0;
        let burst = |at: u32| QueueSample {
            time: SimTime(end + i64::from(at)),
            waiting: at + 1,
            running: 3,
            ..QueueSample::default()
        };
        samples.extend((1..=300).map(burst));
        assert!(!starved(&samples, 1, 50.0));
        // The same burst over 6 s, in which 50 requests per second are offered and none is served.
        for (at, sample) in (1..).zip(&mut samples[2000..]) {
            sample.time = SimTime(end + at * 20_000);
        }
        assert!(starved(&samples, 1, 50.0));
    }

    #[test]
    fn a_window_must_span_five_of_the_longest_time_scale() {
        // 2,000 arrivals, one every 10 ms, each of which finds 100 in system: the window spans 20 mean residence times.
        let samples: Vec<QueueSample> = (0..2000)
            .map(|at| QueueSample { time: SimTime(at * 10_000), waiting: 1, running: 99, ..QueueSample::default() })
            .collect();
        assert_eq!(assess(&samples, 1, 100.0, 1.0).verdict, Verdict::Stable);
        assert_eq!(assess(&samples, 1, 100.0, 4.0).verdict, Verdict::Stable);
        assert_eq!(assess(&samples, 1, 100.0, 4.01).verdict, Verdict::Undecided);
    }
}
