//! Long runs where they decide something: the saturation point, the capacity, and the points below it.

use super::{CurveStudy, Goal, Kind, Step, key, run};
use crate::curve::aggregate::point;
use crate::curve::capacity::{self, Found, Length, Next, Observed, Start, rounded};
use crate::curve::search::Bracket;
use crate::curve::types::{Capacity, CurvePoint, CurveTrial, PointSample, Precision, Stage};
use crate::report::Verdict;
use alloc::vec::Vec;

/// How much an overload is above what short runs sustain, and how many runs look at it.
const OVERLOAD: f64 = 1.15;
const OVERLOAD_RUNS: u32 = 2;

/// Standard error of the throughput of the runs at an overload, as a part of it, at least: what 40,000 requests of lengths
/// that vary by half of their mean have, and as much again.
const MIN_THROUGHPUT_ERROR: f64 = 0.003;

/// Requests of a run in those of the plan, by what it is for; and in those of a short run, at least.
const SATURATION_REQUESTS: [u32; 2] = [10, 4];
const CAPACITY_REQUESTS: [[u32; 2]; 3] = [[10, 4], [20, 6], [36, 9]];

/// Requests of all runs of a point, in those of the plan: next to no load, from [`LOADED`] on, and at most. They grow with
/// 1/(1 − ρ), so that what is measured spans as many of the times in which a load near ρ is forgotten, less and less of
/// which a point needs that grows with the load itself. Where little is in system, latencies hardly depend on others.
const POINT_REQUESTS: [f64; 3] = [5.0, 8.0, 45.0];
const LOADED: f64 = 0.4;

/// Load of the last rate of a range that ends below the saturation, at most: what ends below it is no overload.
const MAX_LOAD_OF_RANGE: f64 = 0.98;

/// A point whose first runs are not precise enough gets more of the same length, as many as its errors ask for and
/// [`MARGIN`] times that, if all together are no more than so many times the first.
const MOST_RUNS: f64 = 4.0;
const MARGIN: f64 = 1.2;

/// A point whose first run has more than so many times the error that all runs of the budget could mend gets no others.
const HOPELESS: f64 = 2.0;

/// Where the random numbers of these further runs begin, beyond those of the points and of the capacity.
const FURTHER_REPLICATE: u32 = 1000;

/// Half of the width of the interval that contains the truth 95 times in a hundred, which a settled point's figures have
/// at most: as a part of a TPOT, of an E2E, of the number in system, of a TTFT, and of a short TTFT in milliseconds.
/// Two percent are promised of the first two; of 480 points whose E2E was asked to be as precise as TPOT two were off by
/// 2.1 and 2.2 %.
const TPOT_PRECISION: f64 = 0.018;
const E2E_PRECISION: f64 = 0.015;
const IN_SYSTEM_PRECISION: f64 = 0.05;
const TTFT_PRECISION: f64 = 0.05;
const SHORT_TTFT_MS: f64 = 5.0;

/// What long runs have shown so far.
#[derive(Default)]
pub(super) struct Settled {
    pub(super) points: Option<Vec<CurvePoint>>,
    pub(super) saturation: Option<Capacity>,
    pub(super) capacity: Option<Capacity>,
    pub(super) at_capacity: Option<CurvePoint>,
}

/// The saturation point: what a server completes while a queue stands.
#[derive(Debug, Clone, Copy)]
struct Sustained {
    rate: f64,
    error: f64,
}

impl CurveStudy {
    /// The trials that are missing until everything is settled.
    pub(super) fn settle(&self, capacity: &Bracket, saturation: &Bracket, rates: &[f64]) -> Step<()> {
        let overloads: Vec<CurveTrial> = self.unknown(self.overloads(saturation, rates));
        if !overloads.is_empty() {
            return Step::Needs(overloads);
        }
        let sustained = self.sustained(saturation, rates);
        let mut needed = match self.long_runs(capacity, saturation, sustained) {
            Step::Needs(trials) => trials,
            Step::Known(_) => Vec::new(),
        };
        // The capacity decides which run comes next; points fill the workers while it waits for one.
        needed.extend(self.unknown(self.settling(saturation, sustained, rates)));
        if needed.is_empty() { Step::Known(()) } else { Step::Needs(needed) }
    }

    /// What is settled, as far as its runs are known.
    pub(super) fn settled(&self, capacity: &Bracket, saturation: &Bracket, rates: &[f64]) -> Settled {
        if self.is_replay || !self.unknown(self.overloads(saturation, rates)).is_empty() {
            return Settled::default();
        }
        let sustained = self.sustained(saturation, rates);
        let mut settled = Settled { saturation: sustained.map(Sustained::capacity), ..Settled::default() };
        if let Step::Known((found, runs)) = self.long_runs(capacity, saturation, sustained) {
            settled.at_capacity = (!runs.is_empty()).then(|| self.settled_point(found.rate, &runs));
            settled.capacity = Some(of_found(&found));
        }
        if self.unknown(self.settling(saturation, sustained, rates)).is_empty() {
            let mut points: Vec<CurvePoint> = self.short_points(rates);
            points.retain(|point| rates.contains(&point.request_rate));
            for point in &mut points {
                let rate = point.request_rate;
                let runs: Vec<&PointSample> = self.settling_runs(rate);
                let is_overload = sustained.is_some_and(|found| rate > found.rate + 2.0 * found.error);
                if !runs.is_empty() {
                    *point = self.settled_point(rate, &runs);
                } else if is_overload {
                    point.verdict = Verdict::Overloaded;
                    point.meets_slo = false;
                } else if point.verdict != Verdict::Overloaded {
                    point.verdict = Verdict::Undecided;
                    point.meets_slo = false;
                }
            }
            if let Some(at_capacity) = settled.at_capacity.clone().filter(|point| point.is_settled) {
                // Of two points of one rate that is kept which rests on more.
                points.retain(|point| point.request_rate.total_cmp(&at_capacity.request_rate).is_ne());
                points.push(at_capacity);
            }
            crate::numeric::sort_few(&mut points, |a, b| a.request_rate.total_cmp(&b.request_rate));
            settled.points = Some(points);
        }
        settled
    }

    fn requests(&self, [of_plan, of_short]: [u32; 2]) -> u32 {
        self.planned_requests().saturating_mul(of_plan).max(self.num_requests().saturating_mul(of_short))
    }

    /// The highest rate that short runs sustain, or else a burst, where they are too short to tell.
    fn coarse_saturation(&self, saturation: &Bracket, rates: &[f64]) -> f64 {
        let highest = rates.last().copied().unwrap_or(1.0);
        let burst = self.burst_throughput();
        saturation.high.map_or(highest, |high| high.max(saturation.low).max(burst))
    }

    /// What a burst completes, requests per second; 0 before it is known.
    fn burst_throughput(&self) -> f64 {
        self.outcomes.get(&key(&self.probe())).map_or(0.0, |sample| sample.request_throughput)
    }

    /// Where the server is thought to saturate while no overload shows it.
    ///
    /// A named range may end before: its last rate is to be settled like the others, and how much that takes is told by
    /// what the burst completes.
    fn presumed_saturation(&self, saturation: &Bracket, rates: &[f64]) -> f64 {
        let coarse = self.coarse_saturation(saturation, rates);
        if saturation.high.is_some() {
            return coarse;
        }
        let burst = self.burst_throughput();
        burst.max(coarse / MAX_LOAD_OF_RANGE)
    }

    /// The runs at an overload; none where nothing on the axis overloads, as a range that is named may end before.
    fn overloads(&self, saturation: &Bracket, rates: &[f64]) -> impl Iterator<Item = CurveTrial> {
        let rate = rounded(self.coarse_saturation(saturation, rates) * OVERLOAD);
        let num_runs = if saturation.high.is_some() { OVERLOAD_RUNS } else { 0 };
        let num_requests = self.requests(SATURATION_REQUESTS);
        (0..num_runs)
            .map(move |replicate| CurveTrial { num_requests, ..self.trial(Stage::Saturation, rate, replicate) })
    }

    /// The saturation point, where the runs at an overload show it: a queue stands in all of them, and nobody leaves it.
    ///
    /// # Model
    /// A queue that stands empties at the rate of the server less that of the arrivals. So a rate is sustained if and only
    /// if it is below what the server completes while a queue stands, and one overload shows that for every rate.
    fn sustained(&self, saturation: &Bracket, rates: &[f64]) -> Option<Sustained> {
        let runs: Option<Vec<&PointSample>> =
            self.overloads(saturation, rates).map(|trial| self.outcomes.get(&key(&trial))).collect();
        let runs = runs.filter(|runs| !runs.is_empty())?;
        let offered = self.coarse_saturation(saturation, rates) * OVERLOAD;
        let served = |sample: &&PointSample| sample.request_throughput;
        let is_plain = |sample: &&PointSample| {
            sample.verdict == Verdict::Overloaded
                && served(sample) < offered
                && sample.mean_waiting > sample.mean_running * 0.1
        };
        if !runs.iter().all(is_plain) {
            return None;
        }
        let mean = runs.iter().map(served).sum::<f64>() / runs.len() as f64;
        let squares = runs.iter().map(|run| (served(run) - mean) * (served(run) - mean)).sum::<f64>();
        let error = libm::sqrt(squares) / runs.len() as f64;
        Some(Sustained { rate: mean, error: error.max(MIN_THROUGHPUT_ERROR * mean) })
    }

    /// How far below the saturation point a rate must stay, as a part of it, for the queue to keep the limit on TTFT.
    ///
    /// Runs that a study can afford do not show it where everything goes from keeping to missing within a percent: there a
    /// queue takes longer to form than they last.
    ///
    /// # Model
    /// In heavy traffic the wait is exponential with mean (c_a² + c_s²)/2(1 − ρ) services (J. F. C. Kingman, The single
    /// server queue in heavy traffic, 1961); here with arrivals and services as irregular as a Poisson process.
    fn queue_margin(&self, rate: f64) -> f64 {
        let Some(limit_ms) = self.slo.ttft_ms else { return 0.0 };
        let above = (1.0 - self.slo.percentile / 100.0).max(1e-6);
        (-libm::log(above) / (rate * limit_ms / 1000.0).max(1e-9)).clamp(0.0, 0.02)
    }

    /// The settled capacity and the runs at it, or what is missing.
    fn long_runs(
        &self,
        coarse: &Bracket,
        saturation: &Bracket,
        sustained: Option<Sustained>,
    ) -> Step<(Found, Vec<&PointSample>)> {
        let Some([low, top]) = self.axis() else { return Step::Needs(Vec::new()) };
        let nothing = Found { rate: 0.0, band: [0.0; 2], failing: coarse.high.map(|high| (high, Verdict::Stable)) };
        if coarse.low <= 0.0 {
            // Even short runs, which are too optimistic, miss it everywhere.
            let reason = coarse.high.map_or(Verdict::Undecided, |high| self.reason(Goal::Capacity, high));
            let failing = coarse.high.map(|high| (high, reason));
            return Step::Known((Found { failing, ..nothing }, Vec::new()));
        }
        let lowest = if self.range.is_some() { low } else { low / super::coarse::LOWEST_BELOW };
        // A range that is named is not left, and an overload is no capacity.
        let saturated = sustained.map(Sustained::capacity);
        let highest = saturated.map_or(top.max(saturation.low), |found| {
            found.request_rate * (1.0 - self.queue_margin(found.request_rate))
        });
        let overloaded = saturated.and_then(|found| found.next_failing_rate);
        let is_cut = self.range.is_some() && top < highest;
        let (highest, overloaded) = if is_cut { (top, None) } else { (highest, overloaded) };
        let length = |length: Length| self.requests(CAPACITY_REQUESTS[length as usize]);
        let start = Start {
            rate: coarse.low.min(highest),
            highest,
            overloaded,
            lowest,
            long_requests: f64::from(length(Length::Long)),
        };
        let mut rounds: Vec<(Length, Vec<Observed>)> = Vec::new();
        let mut samples: Vec<(f64, Length, &PointSample)> = Vec::new();
        // Each run has random numbers of its own, and others than those of the points.
        let mut replicate = self.plan.num_seeds;
        loop {
            match capacity::next(&start, &rounds) {
                Next::Found(found) => {
                    let is_at = |&&(rate, of, _): &&(f64, Length, &PointSample)| {
                        of == Length::Long && rate.total_cmp(&found.rate).is_eq()
                    };
                    let runs = samples.iter().filter(is_at).map(|(_, _, sample)| *sample).collect();
                    return Step::Known((found, runs));
                }
                Next::Runs(of, rates) => {
                    let num_requests = length(of);
                    let trials: Vec<CurveTrial> = rates
                        .iter()
                        .zip(replicate..)
                        .map(|(&rate, replicate)| CurveTrial {
                            num_requests,
                            ..self.trial(Stage::Capacity, rate, replicate)
                        })
                        .collect();
                    replicate += trials.len() as u32;
                    let missing = self.unknown(trials.iter().copied());
                    if !missing.is_empty() {
                        return Step::Needs(missing);
                    }
                    let known = trials.iter().filter_map(|trial| Some((trial, self.outcomes.get(&key(trial))?)));
                    let known: Vec<(&CurveTrial, &PointSample)> = known.collect();
                    rounds.push((
                        of,
                        known.iter().map(|(trial, sample)| Observed::of(trial.request_rate, sample)).collect(),
                    ));
                    samples.extend(known.iter().map(|(trial, sample)| (trial.request_rate, of, *sample)));
                }
            }
        }
    }

    /// The runs that settle the points of the grid that are sustained.
    fn settling(
        &self,
        saturation: &Bracket,
        sustained: Option<Sustained>,
        rates: &[f64],
    ) -> impl Iterator<Item = CurveTrial> {
        let limit = sustained.map_or_else(|| self.presumed_saturation(saturation, rates), |found| found.rate);
        let planned = f64::from(self.planned_requests());
        let num_seeds = self.plan.num_seeds;
        rates.iter().filter(move |rate| **rate < 0.999 * limit).flat_map(move |&rate| {
            let [idle, loaded, most] = POINT_REQUESTS;
            let load = rate / limit;
            let least = idle + (loaded - idle) * (load / LOADED).min(1.0);
            let all = planned * (least / (1.0 - load).max(1e-3)).clamp(least, most);
            let num_requests = (libm::ceil(all / f64::from(num_seeds)) as u32).max(self.planned_requests());
            self.settling_replicates(rate)
                .map(move |replicate| CurveTrial { num_requests, ..self.trial(Stage::Settling, rate, replicate) })
        })
    }

    /// Random numbers of the runs that settle a point, as far as they are known to be needed.
    fn settling_replicates(&self, rate: f64) -> impl Iterator<Item = u32> + use<> {
        let num_first = if self.takes_one_run(rate) { 1 } else { self.plan.num_seeds };
        (0..num_first).chain(FURTHER_REPLICATE..FURTHER_REPLICATE + self.num_further(rate))
    }

    /// Whether the first run of a point is not known, or so uncertain that no number of runs in the budget would settle
    /// it.
    fn takes_one_run(&self, rate: f64) -> bool {
        let Some(first) = self.outcomes.get(&run(Kind::Settling, rate, 0)) else { return true };
        let ratio = imprecision(&point(rate, &[first], &self.slo), &[first]);
        ratio > HOPELESS * libm::sqrt(f64::from(self.plan.num_seeds) * MOST_RUNS)
    }

    /// How many runs a point needs beyond its first; none before those are known, or where the budget does not reach.
    fn num_further(&self, rate: f64) -> u32 {
        let first: Option<Vec<&PointSample>> = (0..self.plan.num_seeds)
            .map(|replicate| self.outcomes.get(&run(Kind::Settling, rate, replicate)))
            .collect();
        let Some(first) = first.filter(|first| !first.is_empty()) else { return 0 };
        let point = point(rate, &first, &self.slo);
        let ratio = imprecision(&point, &first);
        let times = ratio * ratio * MARGIN;
        if point.verdict != Verdict::Stable || ratio <= 1.0 || times > MOST_RUNS {
            return 0;
        }
        // Errors fall with the root of the number of runs.
        let num_first = first.len() as f64;
        libm::ceil(num_first * times - num_first) as u32
    }

    /// The outcomes of those runs.
    fn settling_runs(&self, rate: f64) -> Vec<&PointSample> {
        let of = |replicate| self.outcomes.get(&run(Kind::Settling, rate, replicate));
        self.settling_replicates(rate).filter_map(of).collect()
    }

    /// The point of these runs, undecided if they do not know it well enough.
    fn settled_point(&self, rate: f64, runs: &[&PointSample]) -> CurvePoint {
        let mut point = point(rate, runs, &self.slo);
        point.is_settled = point.verdict == Verdict::Stable && imprecision(&point, runs) <= 1.0;
        if point.verdict == Verdict::Stable && !point.is_settled {
            point.verdict = Verdict::Undecided;
            point.meets_slo = false;
        }
        point
    }
}

/// The largest error of a point's figures, in units of what a settled one's may be; infinite if a run does not tell.
///
/// The error of a mean over runs is the middle one of theirs over the root of their number: a single run in which a
/// percentile falls next to an excursion has an error many times that of the others, which says little about the mean.
/// Not so of TTFT, which such a run draws along.
fn imprecision(point: &CurvePoint, runs: &[&PointSample]) -> f64 {
    let found: Vec<&Precision> = runs.iter().filter_map(|run| run.precision.as_ref()).collect();
    if found.is_empty() || found.len() < runs.len() {
        return f64::INFINITY;
    }
    let count = found.len() as f64;
    let middle = |of: fn(&Precision) -> f64| {
        let mut errors: Vec<f64> = found.iter().map(|found| of(found)).collect();
        crate::numeric::sort_few(&mut errors, f64::total_cmp);
        errors.get(errors.len() / 2).copied().unwrap_or(f64::INFINITY) / libm::sqrt(count)
    };
    let ttft = libm::sqrt(found.iter().map(|found| found.ttft * found.ttft).sum::<f64>()) / count;
    let ratios = [
        (middle(|found| found.in_system), IN_SYSTEM_PRECISION),
        (middle(|found| found.tpot), TPOT_PRECISION * point.tpot.slo.mid),
        (middle(|found| found.e2e), E2E_PRECISION * point.e2e.slo.mid),
        (ttft, (TTFT_PRECISION * point.ttft.slo.mid).max(SHORT_TTFT_MS)),
    ];
    // An answer of one token has no TPOT, and no error of it.
    let ratios = ratios.iter().filter(|(error, _)| *error > 0.0).map(|(error, allowed)| 1.96 * error / allowed);
    ratios.fold(0.0, f64::max)
}

impl Sustained {
    fn capacity(self) -> Capacity {
        let [low, high] = [-2.0, 2.0].map(|errors| self.rate + errors * self.error);
        Capacity {
            request_rate: rounded(low),
            next_failing_rate: Some(high),
            next_failing_verdict: Some(Verdict::Overloaded),
            band: [rounded(low), high],
            is_final: true,
            is_settled: true,
        }
    }
}

fn of_found(found: &Found) -> Capacity {
    let is_unbounded = found.rate <= 0.0 && matches!(found.failing, Some((_, Verdict::Undecided)));
    Capacity {
        request_rate: found.rate,
        next_failing_rate: found.failing.map(|(rate, _)| rate).filter(|_| !is_unbounded),
        next_failing_verdict: found.failing.map(|(_, verdict)| verdict),
        band: found.band,
        is_final: found.failing.is_some(),
        is_settled: true,
    }
}
