//! The study of a curve: which runs are needed, and what they show together.

mod coarse;
mod levers;
mod settle;

use super::aggregate::{meets_slo, point};
use super::plan::{CurvePlan, axis_top, coarse_to_fine, grid, round_to_digits};
use super::types::{Capacity, Curve, CurvePoint, CurveScenario, CurveTrial, Limiter, PointSample, Stage};
use crate::numeric::sort_few;
use crate::report::Verdict;
use crate::scenario::Slo;
use crate::study::{Ask, Study};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use settle::Settled;

/// Rate of a probe: everything arrives at once.
const BURST_RATE: f64 = 1e9;

/// Requests of a short run per request in the batch at saturation: five residence times to measure, two and a half to
/// settle.
const REQUESTS_PER_SLOT: f64 = 7.5;

/// Longest short run that is chosen without being asked for, per replica as far as [`MAX_REPLICAS_FOR_LENGTH`].
const MAX_CHOSEN_REQUESTS: u32 = 16_000;

/// A run of a cluster is as many times as long as that of one replica, up to this many times.
const MAX_REPLICAS_FOR_LENGTH: u32 = 8;

/// How many times as long a run of a trace is made where a search found the ordinary ones too short to tell.
const EXTENSION: u32 = 4;

/// Requests of a probe at most.
const MAX_PROBE_REQUESTS: u32 = 32_000;

/// A study over request rates.
///
/// First a burst shows which rates are worth looking at (unless the scenario names them), then the grid is filled from
/// coarse to fine by short runs, and saturation point and capacity are narrowed down as far as such runs can tell. A
/// study that settles then makes long runs where they decide something: at an overload, which shows the saturation
/// point, near the capacity, and at the rates of the grid that are sustained. Last, the limiters are relaxed one by one.
///
/// # Determinism
/// Every decision waits for all outcomes it rests on and looks at no others, so the trials and the curve are the same
/// in whatever order, and however many at a time, outcomes are told.
#[derive(Debug, Clone)]
pub struct CurveStudy {
    plan: CurvePlan,
    slo: Slo,
    range: Option<[f64; 2]>,
    probe_requests: u32,
    num_replicas: u32,
    recorded_rate: Option<f64>,
    outcomes: BTreeMap<Key, PointSample>,
    outstanding: BTreeSet<Key>,
    is_replay: bool,
    /// How many of the grid's short runs, in the order they are made, are known or outstanding at least.
    asked_of_grid: usize,
    /// Trials asked so far.
    num_asked: u32,
}

/// What decides a run's outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    kind: Kind,
    /// Bits of the rate, which order like positive rates.
    rate: u64,
    replicate: u32,
}

/// Which kind of run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Probe,
    Short,
    /// [`EXTENSION`] times as long.
    Extended,
    Saturation,
    Capacity,
    Settling,
    Relaxed(Limiter),
}

/// What a search looks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Goal {
    Saturation,
    Capacity,
}

/// A decision, or the trials that are still needed for it.
enum Step<T> {
    Known(T),
    Needs(Vec<CurveTrial>),
}

impl CurveStudy {
    /// A study of this scenario.
    ///
    /// `recorded_rate` is that of a replayed trace ([`crate::workload::Trace::request_rate`]), requests per second. It
    /// is a rate of the grid, and an axis that is chosen here reaches down or up to it; a range that the scenario names
    /// is kept, and without the rate if that is outside. A replay has no randomness, so there is one seed.
    #[must_use]
    pub fn new(scenario: impl Into<CurveScenario>, plan: CurvePlan, recorded_rate: Option<f64>) -> Self {
        let CurveScenario { slo, settings, max_num_seqs, num_replicas, is_replay } = scenario.into();
        let num_seeds = if is_replay { 1 } else { plan.num_seeds };
        Self {
            plan: CurvePlan { num_seeds, ..plan },
            slo,
            range: settings.range_per_s,
            // Enough for the batch to be full through the middle of the burst: four batches, and where these are more than a
            // thousand requests, two.
            probe_requests: (max_num_seqs.saturating_mul(4).clamp(200, 1000))
                .max(max_num_seqs.saturating_mul(2))
                .saturating_mul(num_replicas)
                .min(MAX_PROBE_REQUESTS),
            num_replicas,
            recorded_rate: recorded_rate.filter(|rate| rate.is_finite() && *rate > 0.0),
            outcomes: BTreeMap::new(),
            outstanding: BTreeSet::new(),
            is_replay,
            asked_of_grid: 0,
            num_asked: 0,
        }
    }

    /// The same study at another size, keeping the runs that both have in common.
    ///
    /// Trials of the old study that are outstanding are forgotten; the curve is the same as without the old one.
    #[must_use]
    pub fn refined(mut self, plan: CurvePlan) -> Self {
        let (before, probe) = ((self.num_requests(), self.plan.bisects), key(&self.probe()));
        self.plan = CurvePlan { num_seeds: if self.is_replay { 1 } else { plan.num_seeds }, ..plan };
        self.outstanding.clear();
        self.asked_of_grid = 0;
        let grid: BTreeSet<u64> = self.grid().into_iter().map(f64::to_bits).collect();
        let is_same_length = self.num_requests() == before.0;
        self.outcomes.retain(|key, _| {
            let is_of_grid = grid.contains(&key.rate);
            *key == probe || (is_same_length && key.kind == Kind::Short && (is_of_grid || before.1))
        });
        self
    }

    fn trial(&self, stage: Stage, request_rate: f64, replicate: u32) -> CurveTrial {
        CurveTrial { id: 0, stage, request_rate, replicate, num_requests: self.num_requests(), relaxed: None }
    }

    fn unknown(&self, trials: impl Iterator<Item = CurveTrial>) -> Vec<CurveTrial> {
        trials.filter(|trial| !self.outcomes.contains_key(&key(trial))).collect()
    }

    fn probe(&self) -> CurveTrial {
        let num_requests = self.probe_requests;
        CurveTrial { id: 0, stage: Stage::Probe, request_rate: BURST_RATE, replicate: 0, num_requests, relaxed: None }
    }

    /// Requests that the plan asks of a run of the whole cluster.
    fn planned_requests(&self) -> u32 {
        self.plan.num_requests.saturating_mul(self.num_replicas.clamp(1, MAX_REPLICAS_FOR_LENGTH))
    }

    /// Requests of one short run: more than planned where the batch at saturation is so large that a run would be over
    /// before the number in system has settled.
    fn num_requests(&self) -> u32 {
        let planned = self.planned_requests();
        if !self.plan.bisects {
            return planned;
        }
        let replicas = self.num_replicas.clamp(1, MAX_REPLICAS_FOR_LENGTH);
        let running = self.outcomes.get(&key(&self.probe())).map_or(0.0, |sample| sample.mean_running);
        let needed = libm::ceil(running * REQUESTS_PER_SLOT / 500.0) * 500.0;
        planned.max((needed as u32).min(MAX_CHOSEN_REQUESTS * replicas))
    }

    /// Lowest and highest rate of the axis, once known.
    fn axis(&self) -> Option<[f64; 2]> {
        let sustained = self.outcomes.get(&key(&self.probe()))?.request_throughput;
        if let Some(range) = self.range {
            return Some(range);
        }
        let recorded = self.recorded_rate;
        let top = axis_top(sustained.max(recorded.unwrap_or(0.0)));
        let low = round_to_digits(top / f64::from(self.plan.num_rates), 6);
        Some([low.min(recorded.unwrap_or(low)), top])
    }

    /// The rate a trace was recorded at, if the axis is known and has it.
    fn recorded_on_axis(&self) -> Option<f64> {
        let [low, high] = self.axis()?;
        self.recorded_rate.filter(|rate| (low..=high).contains(rate))
    }

    /// Rates of the grid, ascending; empty until the axis is known.
    fn grid(&self) -> Vec<f64> {
        let Some([low, top]) = self.axis() else { return Vec::new() };
        let low = if self.range.is_some() { low } else { round_to_digits(top / f64::from(self.plan.num_rates), 6) };
        let mut rates = grid([low, top], self.plan.num_rates);
        rates.extend(self.recorded_on_axis());
        sort_few(&mut rates, f64::total_cmp);
        rates.dedup();
        rates
    }

    /// How many short runs of the grid are not known.
    fn unknown_of_grid(&self, rates: &[f64]) -> usize {
        // No others but the probe are made before all of these are known, so the number of outcomes tells.
        let known = if self.outcomes.len() > rates.len() {
            rates.iter().filter(|rate| self.outcomes.contains_key(&run(Kind::Short, **rate, 0))).count()
        } else {
            self.outcomes.len().saturating_sub(1)
        };
        rates.len() - known.min(rates.len())
    }

    /// The grid's next short run that is neither known nor outstanding.
    fn next_of_grid(&mut self, rates: &[f64]) -> Option<CurveTrial> {
        let order = coarse_to_fine(rates.len());
        while self.asked_of_grid < rates.len() {
            let trial = self.trial(Stage::Grid, rates[order[self.asked_of_grid]], 0);
            if !self.outcomes.contains_key(&key(&trial)) && !self.outstanding.contains(&key(&trial)) {
                return Some(trial);
            }
            self.asked_of_grid += 1;
        }
        None
    }

    /// The trials that are needed next and can be named now, in the order they should be made, once the grid is known.
    ///
    /// Some of them may be outstanding. Empty when the study is complete.
    fn wanted(&self, rates: &[f64]) -> Vec<CurveTrial> {
        if !self.plan.bisects {
            return Vec::new();
        }
        let [(capacity, mut needed), (saturation, more)] =
            [Goal::Capacity, Goal::Saturation].map(|goal| self.search(goal, rates));
        needed.extend(more);
        if !needed.is_empty() {
            return needed;
        }
        if self.plan.settles
            && !self.is_replay
            && let Step::Needs(trials) = self.settle(&capacity, &saturation, rates)
        {
            return trials;
        }
        // The curve stands first.
        if self.plan.ablates
            && let Step::Needs(trials) = self.levers(&capacity)
        {
            return trials;
        }
        Vec::new()
    }

    /// How many trials are needed next and can be named now; 0 when the study is complete.
    fn num_wanted(&self, rates: &[f64]) -> usize {
        match self.unknown_of_grid(rates) {
            _ if rates.is_empty() => 1,
            0 => self.wanted(rates).len(),
            unknown => unknown,
        }
    }

    /// The capacity, as soon as long runs have settled it; points may be missing still.
    #[must_use]
    pub fn settled_capacity(&self) -> Option<Capacity> {
        let rates = self.grid();
        if !self.plan.settles || rates.is_empty() || self.unknown_of_grid(&rates) > 0 {
            return None;
        }
        let [(capacity, missing), (saturation, more)] =
            [Goal::Capacity, Goal::Saturation].map(|goal| self.search(goal, &rates));
        let is_bracketed = missing.is_empty() && more.is_empty();
        self.settled(&capacity, &saturation, &rates).capacity.filter(|_| is_bracketed)
    }

    /// A short run of a rate; where one was extended, that counts instead.
    fn sample(&self, rate: f64) -> Option<&PointSample> {
        let extended = self.outcomes.get(&run(Kind::Extended, rate, 0));
        extended.or_else(|| self.outcomes.get(&run(Kind::Short, rate, 0)))
    }

    fn holds(&self, goal: Goal, sample: &PointSample) -> bool {
        match goal {
            Goal::Saturation => sample.verdict == Verdict::Stable,
            Goal::Capacity => meets_slo(sample, &self.slo),
        }
    }

    /// Rates that were run short, ascending.
    fn short_rates(&self) -> impl Iterator<Item = f64> {
        let keys = self.outcomes.keys().filter(|key| key.kind == Kind::Short && key.replicate == 0);
        keys.map(|key| f64::from_bits(key.rate))
    }

    /// The points that short runs give, with what a known overload says about those above it.
    fn short_points(&self, rates: &[f64]) -> Vec<CurvePoint> {
        let points = self.short_rates().filter_map(|rate| {
            let found = point(rate, &[self.sample(rate)?], &self.slo);
            // A trace has no other state than that of its replay.
            let is_settled = self.is_replay && self.plan.settles && found.verdict == Verdict::Stable;
            Some(CurvePoint { is_settled, ..found })
        });
        let mut points: Vec<CurvePoint> = points.collect();
        let saturation = self.coarse_capacity(Goal::Saturation, rates);
        if let (Some(failing), Some(Verdict::Overloaded)) =
            (saturation.next_failing_rate, saturation.next_failing_verdict)
        {
            // What cannot carry a load cannot carry more, though runs at the higher rate were too short to show it.
            let above = points.iter_mut().filter(|point| point.request_rate > failing);
            above
                .filter(|point| point.verdict == Verdict::Undecided)
                .for_each(|point| point.verdict = Verdict::Overloaded);
        }
        points
    }
}

/// A run at this rate.
fn run(kind: Kind, rate: f64, replicate: u32) -> Key {
    Key { kind, rate: rate.to_bits(), replicate }
}

/// What decides the outcome of `trial` within a study.
fn key(trial: &CurveTrial) -> Key {
    let kind = match (trial.stage, trial.relaxed) {
        (_, Some(limiter)) => Kind::Relaxed(limiter),
        (Stage::Probe, None) => Kind::Probe,
        (Stage::Extension, None) => Kind::Extended,
        (Stage::Saturation, None) => Kind::Saturation,
        (Stage::Capacity, None) => Kind::Capacity,
        (Stage::Settling, None) => Kind::Settling,
        (Stage::Grid | Stage::Bisection | Stage::Ablation, None) => Kind::Short,
    };
    run(kind, trial.request_rate, trial.replicate)
}

impl Study for CurveStudy {
    type Trial = CurveTrial;
    type Outcome = PointSample;
    type Snapshot = Curve;

    fn ask(&mut self) -> Ask<CurveTrial> {
        let rates = self.grid();
        let next = if rates.is_empty() {
            Some(self.probe()).filter(|trial| !self.outstanding.contains(&key(trial)))
        } else if self.unknown_of_grid(&rates) > 0 {
            self.next_of_grid(&rates)
        } else {
            let wanted = self.wanted(&rates);
            if wanted.is_empty() {
                return Ask::Done;
            }
            wanted.into_iter().find(|trial| !self.outstanding.contains(&key(trial)))
        };
        let Some(trial) = next else { return Ask::Wait };
        self.outstanding.insert(key(&trial));
        let id = self.num_asked;
        self.num_asked = self.num_asked.wrapping_add(1);
        Ask::Trial(CurveTrial { id, ..trial })
    }

    fn tell(&mut self, trial: &CurveTrial, outcome: PointSample) {
        if self.outstanding.remove(&key(trial)) {
            self.outcomes.insert(key(trial), outcome);
        }
    }

    fn progress(&self) -> (u64, u64) {
        let told = self.outcomes.len() as u64;
        let rates = self.grid();
        let wanted = match self.num_wanted(&rates) as u64 {
            0 => return (told, told),
            wanted => wanted,
        };
        let num_rates = u64::from(self.plan.num_rates) + u64::from(self.recorded_rate.is_some());
        // Half a dozen steps of the searches, and as many of the levers; two thirds of the grid are settled.
        let searched = if self.plan.bisects { 6 } else { 0 };
        let settled = if self.plan.settles { 14 + num_rates * 2 / 3 * u64::from(self.plan.num_seeds) } else { 0 };
        (told, (1 + num_rates + searched + settled).max(told + wanted))
    }

    fn snapshot(&self) -> Curve {
        let Some(range_per_s) = self.axis() else { return Curve::default() };
        let rates = self.grid();
        let mut curve = Curve {
            range_per_s,
            recorded_rate: self.recorded_on_axis(),
            num_requests: self.num_requests(),
            ..Curve::default()
        };
        if self.unknown_of_grid(&rates) > 0 {
            let known = self.short_rates().filter_map(|rate| Some((rate, self.sample(rate)?)));
            curve.points = known.map(|(rate, sample)| point(rate, &[sample], &self.slo)).collect();
            return curve;
        }
        let [(capacity, _), (saturation, missing)] =
            [Goal::Capacity, Goal::Saturation].map(|goal| self.search(goal, &rates));
        curve.points = self.short_points(&rates);
        curve.saturation = Some(self.coarse_capacity(Goal::Saturation, &rates));
        curve.capacity = Some(self.coarse_capacity(Goal::Capacity, &rates));
        if self.plan.settles && missing.is_empty() {
            let Settled { points, saturation, capacity, at_capacity } = self.settled(&capacity, &saturation, &rates);
            curve.points = points.unwrap_or(curve.points);
            curve.saturation = saturation.or(curve.saturation);
            curve.capacity = capacity.or(curve.capacity);
            curve.at_capacity = at_capacity;
            if let (Some(capacity), Some(saturation)) = (&mut curve.capacity, &curve.saturation)
                && saturation.is_settled
                && !capacity.is_settled
            {
                // What is beyond a saturation point that is known, short runs carry because they are short.
                capacity.keep_within(saturation.request_rate);
            }
        }
        curve.is_complete = self.num_wanted(&rates) == 0;
        if self.plan.ablates
            && curve.is_complete
            && let Step::Known(levers) = self.levers(&capacity)
        {
            curve.binding = levers.first().filter(|&&(_, factor)| factor > 1.0).map(|&(limiter, _)| limiter);
            curve.levers = levers;
        }
        curve
    }
}

#[cfg(test)]
mod tests;
