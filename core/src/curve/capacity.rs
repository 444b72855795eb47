//! The search for the capacity in the steady state: where the next runs go, and what all of them say.
//!
//! Near the capacity the logarithm of the share of requests that miss a limit grows about linearly with that of the
//! rate, by a few percent of it for each thousandth. So every run near it tells where it is, and no run has to be
//! exactly there; and the last and longest ones are made at the rate that will be reported, so that they bear it out.

use super::types::{LimitShare, PointSample};
use crate::numeric::{rounded_down, sort_few};
use crate::report::Verdict;
use alloc::vec::Vec;

/// Requests of a run to which a statement about a capacity refers: such a run is taken for the truth.
pub(super) const TRUTH_REQUESTS: f64 = 300_000.0;

/// Standard deviations that a capacity lies below where the limits are just kept: one in twenty runs of
/// [`TRUTH_REQUESTS`] at it misses a limit.
const HOLDING_Z: f64 = 1.645;

/// Standard deviations to either side of the band: 97 in a hundred.
const BAND_Z: f64 = 2.2;

/// Excess beyond which nothing is distinguished.
const MAX_EXCESS: f64 = 3.0;

/// Excess of a run that says something about where the limits are just kept.
const NEAR_EXCESS: f64 = 2.5;

/// What the log odds of a miss grow by per unit of the logarithm of the rate: the median of what is thought of it before
/// any run, the deviation of its logarithm, and its bounds.
const SLOPE: f64 = 60.0;
const SLOPE_DEVIATION: f64 = 0.7;
const SLOPES: [f64; 2] = [5.0, 600.0];

/// Steps of the fit; it converges in a few.
const FIT_STEPS: usize = 30;

/// A cliff: where the excess goes from nothing to everything within this, in units of the logarithm of the rate.
const CLIFF: f64 = 0.008;

/// How far from the runs that are near others are counted too, in units of the logarithm of the rate.
const WINDOW: f64 = 0.03;

/// Most rounds of a search.
const MAX_ROUNDS: usize = 12;

/// How many of the longest runs a capacity rests on at least, and most rounds of them, of two each.
const MIN_LONG_RUNS: usize = 4;
const MAX_FINALS: usize = 4;

/// How long the runs of a round are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Length {
    /// To find the neighborhood.
    Short,
    /// To place the longest.
    Medium,
    /// At the rate that is going to be reported.
    Long,
}

/// What one run says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Observed {
    /// The rate that was run; what is reported of it is this very number, not one that came back from the logarithm.
    rate: f64,
    /// Logarithm of the rate.
    at: f64,
    /// Measured requests.
    requests: f64,
    /// Share that misses a limit, of the limit for which it is largest in units of what is allowed.
    share: f64,
    /// Log odds of the share that may miss it.
    allowed: f64,
    /// Log odds of `share` less those allowed, within ± [`MAX_EXCESS`].
    excess: f64,
    /// Variance of the share in that of as many independent requests; 0 where the run does not tell.
    dispersion: f64,
    verdict: Verdict,
}

fn log_odds(share: f64) -> f64 {
    libm::log(share / (1.0 - share))
}

impl Observed {
    /// What a run at a rate says.
    pub(super) fn of(rate: f64, sample: &PointSample) -> Self {
        let requests = f64::from(sample.measured_requests).max(1.0);
        let excess = |limit: &LimitShare| {
            if limit.share <= 0.0 {
                -MAX_EXCESS
            } else if limit.allowed <= 0.0 || limit.share >= 1.0 {
                MAX_EXCESS
            } else {
                (log_odds(limit.share) - log_odds(limit.allowed)).clamp(-MAX_EXCESS, MAX_EXCESS)
            }
        };
        let worst =
            sample.limits.iter().map(|limit| (excess(limit), limit)).reduce(|a, b| if b.0 > a.0 { b } else { a });
        let (mut excess, limit) =
            worst.map_or((-MAX_EXCESS, LimitShare::default()), |(excess, limit)| (excess, *limit));
        let binomial = limit.share * (1.0 - limit.share) / requests;
        // What is not sustained misses every limit in the end; a short queue at the end of a run is no such thing.
        if sample.verdict == Verdict::Overloaded && (excess > 0.0 || sample.limits.len() < 2) {
            excess = MAX_EXCESS;
        }
        Self {
            rate,
            at: libm::log(rate),
            requests,
            share: limit.share,
            allowed: log_odds(limit.allowed.clamp(1e-4, 1.0 - 1e-4)),
            excess,
            dispersion: if binomial > 0.0 { (limit.variance / binomial).max(1.0) } else { 0.0 },
            verdict: sample.verdict,
        }
    }

    fn is_near(&self) -> bool {
        self.excess.abs() < NEAR_EXCESS
    }
}

/// Where a search begins and what bounds it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Start {
    /// A rate near which the capacity is thought to lie.
    pub(super) rate: f64,
    /// The highest rate that is looked at: the end of a range that the scenario names, or the saturation point.
    pub(super) highest: f64,
    /// From where on the server is overloaded, if that is why none above `highest` is looked at.
    pub(super) overloaded: Option<f64>,
    /// The lowest.
    pub(super) lowest: f64,
    /// Requests of one of the longest runs.
    pub(super) long_requests: f64,
}

/// A capacity, or that there is none.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Found {
    /// Highest rate that holds; 0 if none is known to.
    pub(super) rate: f64,
    /// Where it lies, lowest and highest.
    pub(super) band: [f64; 2],
    /// The lowest rate above that misses, and why; none if the highest that is looked at holds.
    pub(super) failing: Option<(f64, Verdict)>,
}

/// What comes next.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Next {
    /// These runs, all of this length, each with random numbers of its own.
    Runs(Length, Vec<f64>),
    /// Nothing more.
    Found(Found),
}

/// Where the limits are just kept, in logarithms.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Fit {
    root: f64,
    /// Growth of the excess with the logarithm of the rate.
    slope: f64,
    /// Standard error of the root.
    error: f64,
    /// Standard deviation of where a run of [`TRUTH_REQUESTS`] would have it, the error included.
    deviation: f64,
}

/// What to do after these rounds.
///
/// A function of its arguments alone, so a study can ask again whenever it has to.
pub(super) fn next(start: &Start, rounds: &[(Length, Vec<Observed>)]) -> Next {
    // The highest rate must be one that can be run, or none would ever reach it.
    let top = rounded(start.highest);
    let [lowest, highest] = [start.lowest, top].map(libm::log);
    let mut runs: Vec<Observed> = rounds.iter().flat_map(|(_, round)| round).copied().collect();
    sort_few(&mut runs, |a, b| a.at.total_cmp(&b.at));
    let go = |length: Length, at: &[f64]| {
        let rate = |at: &f64| if *at < highest { rounded(libm::exp(at.max(lowest))) } else { top };
        Next::Runs(length, at.iter().map(rate).collect())
    };
    if runs.is_empty() {
        let at = libm::log(start.rate);
        return go(Length::Short, &[at - 0.05, at]);
    }
    let longest: Vec<&Vec<Observed>> =
        rounds.iter().filter(|(length, _)| *length == Length::Long).map(|(_, round)| round).collect();
    if rounds.len() >= MAX_ROUNDS {
        return Next::Found(undecided());
    }
    if let Some(fit) = fit(&runs) {
        return match longest.last().and_then(|round| round.first()) {
            None if rounds.iter().all(|(length, _)| *length != Length::Medium) => {
                let offset = 0.8 / fit.slope;
                go(Length::Medium, &[fit.root - offset, fit.root + 0.5 * offset])
            }
            None => {
                let at = holding(&fit, &runs, MIN_LONG_RUNS as f64 * start.long_requests);
                go(Length::Long, &[at; 2])
            }
            Some(tried) => {
                let at = fit.root - HOLDING_Z * fit.deviation;
                let is_borne_out = at >= tried.at - 0.25 * HOLDING_Z * fit.deviation;
                let is_far_above = at > tried.at + HOLDING_Z * fit.deviation && tried.at < highest - 1e-6;
                let is_there = is_borne_out && !is_far_above;
                if is_there && longest.iter().map(|round| round.len()).sum::<usize>() < MIN_LONG_RUNS {
                    Next::Runs(Length::Long, alloc::vec![tried.rate; 2])
                } else if is_there || longest.len() >= MAX_FINALS {
                    let rate = if is_borne_out { tried.rate } else { rounded(libm::exp(at)) };
                    Next::Found(settled(&fit, rate, &runs))
                } else {
                    go(Length::Long, &[at; 2])
                }
            }
        };
    }
    bracketed(&runs, &longest, [lowest, highest], start.overloaded, go)
}

/// The search while no run is near the capacity: between one that keeps the limits and one that misses them.
fn bracketed(
    runs: &[Observed],
    longest: &[&Vec<Observed>],
    [lowest, highest]: [f64; 2],
    overloaded: Option<f64>,
    go: impl Fn(Length, &[f64]) -> Next,
) -> Next {
    let high = runs.iter().find(|run| run.excess > 0.0);
    let low = runs.iter().rev().find(|run| run.excess <= 0.0 && high.is_none_or(|high| run.at < high.at));
    match (low, high) {
        (None, Some(high)) if high.at <= lowest + 1e-6 => {
            let verdict = if high.verdict == Verdict::Overloaded { Verdict::Overloaded } else { Verdict::Stable };
            Next::Found(Found { rate: 0.0, band: [0.0; 2], failing: Some((high.rate, verdict)) })
        }
        (None, Some(high)) => {
            let last = runs.last().map_or(0.0, |last| last.at);
            // Ever wider, as the beginning was a bad guess.
            let step = 0.08_f64.max(last - high.at);
            go(Length::Short, &[high.at - 2.0 * step, high.at - step])
        }
        (Some(low), None) if low.at >= highest - 1e-6 => {
            let is_long = longest.last().is_some_and(|round| round.iter().all(|run| run.at >= highest - 1e-6));
            if is_long {
                let band = [low.rate, overloaded.unwrap_or(low.rate)];
                Next::Found(Found { rate: low.rate, band, failing: overloaded.map(|rate| (rate, Verdict::Overloaded)) })
            } else {
                go(Length::Long, &[highest; 2])
            }
        }
        (Some(low), None) => {
            let step = 0.05_f64.max(low.at - runs.first().map_or(low.at, |first| first.at));
            go(Length::Short, &[low.at + 0.5 * step, low.at + step])
        }
        (Some(low), Some(high)) => {
            let width = high.at - low.at;
            if width > CLIFF {
                let share = (-low.excess / (high.excess - low.excess)).clamp(0.2, 0.8);
                let at = low.at + width * share;
                return go(Length::Short, &[at - 0.15 * width, at + 0.15 * width]);
            }
            let tried = longest.last().and_then(|round| Some((round.first()?.rate, round)));
            match tried {
                Some((rate, round)) if round.iter().all(|run| run.excess < 0.0) => {
                    let failing = high.rate;
                    let verdict =
                        if high.verdict == Verdict::Overloaded { Verdict::Overloaded } else { Verdict::Stable };
                    Next::Found(Found {
                        rate,
                        band: [rate * (1.0 - CLIFF), failing],
                        failing: Some((failing, verdict)),
                    })
                }
                _ if longest.len() >= MAX_FINALS => Next::Found(undecided()),
                _ => go(Length::Long, &[low.at - 0.25 * CLIFF; 2]),
            }
        }
        (None, None) => Next::Found(undecided()),
    }
}

fn undecided() -> Found {
    Found { rate: 0.0, band: [0.0; 2], failing: Some((0.0, Verdict::Undecided)) }
}

/// Where the longest runs go that are going to have so many requests together.
fn holding(fit: &Fit, runs: &[Observed], planned: f64) -> f64 {
    let known: f64 = runs.iter().filter(|run| run.is_near()).map(|run| run.requests).sum();
    let error = fit.error * libm::sqrt(known / (known + planned));
    let beyond = fit.deviation * fit.deviation - fit.error * fit.error;
    fit.root - HOLDING_Z * libm::sqrt(beyond + error * error)
}

/// The capacity at this rate.
fn settled(fit: &Fit, rate: f64, runs: &[Observed]) -> Found {
    let failing = libm::exp(fit.root + HOLDING_Z * fit.deviation);
    let above = runs.iter().find(|run| run.at >= fit.root && run.excess > 0.0);
    let is_overload = above.is_some_and(|run| run.verdict == Verdict::Overloaded);
    let verdict = if is_overload { Verdict::Overloaded } else { Verdict::Stable };
    let band = [-BAND_Z, BAND_Z].map(|z| libm::exp(fit.root + z * fit.deviation));
    Found { rate, band: [band[0].min(rate), band[1]], failing: Some((failing, verdict)) }
}

/// Where the share of requests that miss a limit crosses what is allowed.
///
/// # Model
/// The log odds of a miss are `slope · (ln rate − root)` above those allowed. Runs count by their requests over the
/// dispersion: how much more a share varies than that of as many independent requests, as batch means have it; it hardly
/// depends on the rate. Before any run the logarithm of the slope is normal. What a run of [`TRUTH_REQUESTS`] adds to the
/// error of the root is its own dispersion, and the luck of its rate, 1/√n of a Poisson process, which runs of a study do
/// not have.
///
/// # Source
/// Quasi-likelihood: P. McCullagh and J. A. Nelder, Generalized Linear Models, chapters 4 and 9.
fn fit(runs: &[Observed]) -> Option<Fit> {
    let near: Vec<&Observed> = runs.iter().filter(|run| run.is_near()).collect();
    let [first, last] = [near.first()?.at, near.last()?.at];
    let weight: f64 = near.iter().map(|run| run.requests).sum();
    let dispersion = near.iter().map(|run| run.requests * run.dispersion).sum::<f64>() / weight;
    // Runs next to those near count too: that they have no miss, or nothing but misses, says something.
    let counted = || runs.iter().filter(|run| run.at >= first - WINDOW && run.at <= last + WINDOW);
    let mut root = near.iter().map(|run| run.requests * (run.at - run.excess / SLOPE)).sum::<f64>() / weight;
    let mut slope = libm::log(SLOPE);
    let mut information = [0.0; 3];
    for _ in 0..FIT_STEPS {
        let steep = libm::exp(slope);
        // Derivatives of the log likelihood with respect to the root and the logarithm of the slope.
        let prior = SLOPE_DEVIATION * SLOPE_DEVIATION;
        let mut score = [0.0, (libm::log(SLOPE) - slope) / prior];
        information = [0.0, 0.0, 1.0 / prior];
        for run in counted() {
            let offset = steep * (run.at - root);
            let expected = 1.0 / (1.0 + libm::exp(-(run.allowed + offset)));
            let weight = run.requests / dispersion;
            let residual = weight * (run.share - expected);
            score = [score[0] - steep * residual, score[1] + offset * residual];
            let curvature = weight * expected * (1.0 - expected);
            information[0] += curvature * steep * steep;
            information[1] -= curvature * steep * offset;
            information[2] += curvature * offset * offset;
        }
        let [a, b, c] = information;
        let determinant = a * c - b * b;
        if determinant <= 0.0 {
            return None;
        }
        root += ((c * score[0] - b * score[1]) / determinant).clamp(-0.02, 0.02);
        let step = ((a * score[1] - b * score[0]) / determinant).clamp(-0.5, 0.5);
        slope = (slope + step).clamp(libm::log(SLOPES[0]), libm::log(SLOPES[1]));
    }
    let [a, b, c] = information;
    let determinant = a * c - b * b;
    let error = libm::sqrt(c / determinant);
    let share = 1.0 / (1.0 + libm::exp(-near.first()?.allowed));
    let steep = libm::exp(slope);
    let own = dispersion / (TRUTH_REQUESTS * share * (1.0 - share) * steep * steep) + 1.0 / TRUTH_REQUESTS;
    Some(Fit { root, slope: steep, error, deviation: libm::sqrt(error * error + own) })
        .filter(|fit| fit.error.is_finite() && fit.root > first - WINDOW && fit.root < last + WINDOW)
}

/// Four significant digits, which are below a thousandth, rounded down.
pub(super) fn rounded(rate: f64) -> f64 {
    let digits = 3 - libm::floor(libm::log10(rate)) as i32;
    rounded_down(rate, digits)
}
