//! The study of a curve: which runs are needed, and what they show together.

use super::aggregate::{meets_slo, point};
use super::plan::{CurvePlan, axis_top, coarse_to_fine, grid, round_to_digits};
use super::search::Bracket;
use super::types::{Capacity, Curve, CurvePoint, CurveScenario, CurveTrial, Limiter, PointSample, Stage};
use crate::numeric::sort_few;
use crate::report::Verdict;
use crate::scenario::Slo;
use crate::study::{Ask, Study};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

/// Rate of a probe: everything arrives at once.
const BURST_RATE: f64 = 1e9;

/// How much more than the capacity a relaxed limiter may give, as far as it is looked for; ascending. The first is twice
/// as much as a capacity is known to.
const RUNGS: [f64; 4] = [1.05, 1.125, 1.25, 1.5];

/// What a relaxed step time gives in any case: every time shrinks by the same factor.
const STEP_TIME_FLOOR: usize = 3;

/// Requests of a run per request in the batch at saturation: five residence times to measure, two and a half to settle.
const REQUESTS_PER_SLOT: f64 = 7.5;

/// Longest run that is chosen without being asked for, per replica as far as [`MAX_REPLICAS_FOR_LENGTH`].
const MAX_CHOSEN_REQUESTS: u32 = 16_000;

/// A run of a cluster is as many times as long as that of one replica, up to this many times.
const MAX_REPLICAS_FOR_LENGTH: u32 = 8;

/// How many times as long a run is made where a search found the ordinary ones too short to tell.
const EXTENSION: u32 = 4;

/// Requests of a probe at most.
const MAX_PROBE_REQUESTS: u32 = 32_000;

/// Most steps of one search: four below the axis, and seven in a bracket as wide as that.
const MAX_SEARCH_STEPS: u32 = 12;

/// Where nothing on the axis holds, rates are tried each so many times below the last ...
const STEP_BELOW: f64 = 4.0;

/// ... as long as the last is more than the axis's lowest by this divisor.
const LOWEST_BELOW: f64 = 100.0;

/// A study over request rates.
///
/// First a burst shows which rates are worth looking at (unless the scenario names them), then the grid is filled from
/// coarse to fine, then saturation point and capacity are narrowed down at the same time, then the limiters are relaxed
/// one by one.
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
    /// How many of the grid's trials, in the order they are made, are known or outstanding at least.
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
    Ordinary,
    /// [`EXTENSION`] times as long.
    Longer,
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
            // Enough for the batch to be full through the middle of the burst.
            probe_requests: (max_num_seqs.saturating_mul(4).clamp(200, 1000))
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
        let (before, probe) = (self.num_requests(), key(&self.probe()));
        self.plan = CurvePlan { num_seeds: if self.is_replay { 1 } else { plan.num_seeds }, ..plan };
        self.outstanding.clear();
        self.asked_of_grid = 0;
        let mut rates: BTreeSet<u64> = BTreeSet::new();
        if self.num_requests() == before {
            rates.extend(self.grid().into_iter().map(f64::to_bits));
        }
        let num_seeds = self.plan.num_seeds;
        self.outcomes.retain(|key, _| {
            *key == probe || (key.kind == Kind::Ordinary && key.replicate < num_seeds && rates.contains(&key.rate))
        });
        self
    }

    fn trial(&self, stage: Stage, request_rate: f64, replicate: u32) -> CurveTrial {
        CurveTrial { id: 0, stage, request_rate, replicate, num_requests: self.num_requests(), relaxed: None }
    }

    /// The runs of a stage at a rate with every seed that are not known.
    fn missing(&self, stage: Stage, rate: f64) -> Vec<CurveTrial> {
        let factor = if stage == Stage::Extension { EXTENSION } else { 1 };
        let trial = |replicate| {
            let trial = self.trial(stage, rate, replicate);
            CurveTrial { num_requests: trial.num_requests.saturating_mul(factor), ..trial }
        };
        self.unknown((0..self.plan.num_seeds).map(trial))
    }

    /// The runs with a limiter relaxed.
    fn relaxed(&self, limiter: Limiter, rate: f64) -> impl Iterator<Item = CurveTrial> {
        let factor = match limiter {
            // These may double the batch, and with it the requests until it has settled.
            Limiter::MaxNumSeqs | Limiter::KvBlocks => 2,
            Limiter::MaxNumBatchedTokens | Limiter::StepTime => 1,
        };
        (0..self.plan.num_seeds).map(move |replicate| {
            let trial = self.trial(Stage::Ablation, rate, replicate);
            let num_requests = trial.num_requests.saturating_mul(factor);
            CurveTrial { num_requests, relaxed: Some(limiter), ..trial }
        })
    }

    fn unknown(&self, trials: impl Iterator<Item = CurveTrial>) -> Vec<CurveTrial> {
        trials.filter(|trial| !self.outcomes.contains_key(&key(trial))).collect()
    }

    fn probe(&self) -> CurveTrial {
        let num_requests = self.probe_requests;
        CurveTrial { id: 0, stage: Stage::Probe, request_rate: BURST_RATE, replicate: 0, num_requests, relaxed: None }
    }

    /// Requests of one run: more than planned where the batch at saturation is so large that a run would be over
    /// before the number in system has settled.
    fn num_requests(&self) -> u32 {
        let replicas = self.num_replicas.clamp(1, MAX_REPLICAS_FOR_LENGTH);
        let planned = self.plan.num_requests.saturating_mul(replicas);
        if !self.plan.bisects {
            return planned;
        }
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

    /// How many trials of the grid are not known.
    ///
    /// No others but the probe are made before all of these are known, so the number of outcomes tells.
    fn unknown_of_grid(&self, rates: &[f64]) -> usize {
        (1 + rates.len() * self.plan.num_seeds as usize).saturating_sub(self.outcomes.len())
    }

    /// The grid's next trial that is neither known nor outstanding.
    fn next_of_grid(&mut self, rates: &[f64]) -> Option<CurveTrial> {
        let order = coarse_to_fine(rates.len());
        loop {
            let replicate = (self.asked_of_grid / rates.len()) as u32;
            if replicate >= self.plan.num_seeds {
                return None;
            }
            let trial = self.trial(Stage::Grid, rates[order[self.asked_of_grid % rates.len()]], replicate);
            if !self.outcomes.contains_key(&key(&trial)) && !self.outstanding.contains(&key(&trial)) {
                return Some(trial);
            }
            self.asked_of_grid += 1;
        }
    }

    /// The trials that are needed next and can be named now, in the order they should be made, once the grid is known.
    ///
    /// Some of them may be outstanding. Empty when the study is complete.
    fn wanted(&self, rates: &[f64]) -> Vec<CurveTrial> {
        if !self.plan.bisects {
            return Vec::new();
        }
        let [(capacity, mut needed), (_, more)] =
            [Goal::Capacity, Goal::Saturation].map(|goal| self.search(goal, rates));
        needed.extend(more);
        // The curve stands first.
        if needed.is_empty()
            && self.plan.ablates
            && let Step::Needs(trials) = self.levers(&capacity)
        {
            needed = trials;
        }
        needed
    }

    /// How many trials are needed next and can be named now; 0 when the study is complete.
    fn num_wanted(&self, rates: &[f64]) -> usize {
        match self.unknown_of_grid(rates) {
            _ if rates.is_empty() => 1,
            0 => self.wanted(rates).len(),
            unknown => unknown,
        }
    }

    /// Narrows a goal's bracket down as far as outcomes allow, and names what is still missing.
    fn search(&self, goal: Goal, rates: &[f64]) -> (Bracket, Vec<CurveTrial>) {
        let holds = |rate: f64| self.holds_with_every_seed(goal, rate);
        let mut bracket = Bracket::of(rates.iter().map(|&rate| (rate, holds(rate))));
        let Some(high) = bracket.high.filter(|_| self.plan.bisects) else { return (bracket, Vec::new()) };
        // The grid's first failing rate bounds what follows, so it must not fail for want of length alone.
        if let Some(trials) = self.extensions(goal, high) {
            return (bracket, trials);
        }
        for _ in 0..MAX_SEARCH_STEPS {
            let Some(rate) = bracket.next_rate().or_else(|| self.rate_below(goal, &bracket)) else { break };
            match self.decide(goal, rate) {
                Step::Known(holds) => bracket = bracket.narrowed(rate, holds),
                Step::Needs(trials) => return (bracket, trials),
            }
        }
        (bracket, Vec::new())
    }

    /// A rate below all of the axis, where nothing on it holds and the scenario does not say where to look.
    fn rate_below(&self, goal: Goal, bracket: &Bracket) -> Option<f64> {
        let [low, _] = self.axis().filter(|_| self.range.is_none())?;
        let high = bracket.high.filter(|high| bracket.low <= 0.0 && *high > low / LOWEST_BELOW)?;
        (self.reason(goal, high) != Verdict::Undecided).then(|| round_to_digits(high / STEP_BELOW, 6))
    }

    /// Whether a goal holds at a rate with every seed; unknown seeds do not.
    fn holds_with_every_seed(&self, goal: Goal, rate: f64) -> bool {
        (0..self.plan.num_seeds)
            .all(|replicate| self.sample(rate, replicate).is_some_and(|sample| self.holds(goal, sample)))
    }

    /// Whether a goal holds at a rate with every seed. All are run even where one fails, so that every point is over
    /// the same seeds and each seed has its own bracket.
    fn decide(&self, goal: Goal, rate: f64) -> Step<bool> {
        let missing = self.missing(Stage::Bisection, rate);
        if !missing.is_empty() {
            return Step::Needs(missing);
        }
        match self.extensions(goal, rate) {
            Some(longer) => Step::Needs(longer),
            None => Step::Known(self.holds_with_every_seed(goal, rate)),
        }
    }

    /// The longer runs that are missing at a rate where the ordinary ones do not decide a goal, if they do not.
    fn extensions(&self, goal: Goal, rate: f64) -> Option<Vec<CurveTrial>> {
        let is_known = self.is_known(Kind::Ordinary, rate) && !self.is_known(Kind::Longer, rate);
        let is_undecided = || !self.holds_with_every_seed(goal, rate) && self.reason(goal, rate) == Verdict::Undecided;
        (is_known && is_undecided()).then(|| self.missing(Stage::Extension, rate))
    }

    /// Whether a rate was run so with every seed.
    fn is_known(&self, kind: Kind, rate: f64) -> bool {
        (0..self.plan.num_seeds).all(|replicate| self.outcomes.contains_key(&run(kind, rate, replicate)))
    }

    /// The outcomes of a rate by seed, as far as they are known.
    fn samples(&self, rate: f64) -> impl Iterator<Item = &PointSample> {
        (0..self.plan.num_seeds).filter_map(move |replicate| self.sample(rate, replicate))
    }

    /// An outcome of a rate; where it was run longer with every seed, those runs count instead of the ordinary ones.
    fn sample(&self, rate: f64, replicate: u32) -> Option<&PointSample> {
        let kind = if self.is_known(Kind::Longer, rate) { Kind::Longer } else { Kind::Ordinary };
        self.outcomes.get(&run(kind, rate, replicate))
    }

    /// Why a goal does not hold at a rate: the worst verdict of the seeds that fail it, undecided if none is known to.
    fn reason(&self, goal: Goal, rate: f64) -> Verdict {
        let failing = self.samples(rate).filter(|sample| !self.holds(goal, sample)).map(|sample| sample.verdict);
        failing.filter(|verdict| *verdict != Verdict::Undecided).max().unwrap_or(Verdict::Undecided)
    }

    fn holds(&self, goal: Goal, sample: &PointSample) -> bool {
        match goal {
            Goal::Saturation => sample.verdict == Verdict::Stable,
            Goal::Capacity => meets_slo(sample, &self.slo),
        }
    }

    /// What each limiter's relaxation gives, as a factor of the capacity: settings that give something, largest first,
    /// then the step time, then settings that give nothing.
    ///
    /// Shorter steps always give their part, so against them a setting would have to win by more than it takes to bind.
    fn levers(&self, capacity: &Bracket) -> Step<Vec<(Limiter, f64)>> {
        let (low, Some(high)) = (capacity.low, capacity.high) else { return Step::Known(Vec::new()) };
        if low <= 0.0 {
            return Step::Known(Vec::new());
        }
        let mut levers = Vec::new();
        let mut needed = Vec::new();
        for limiter in [Limiter::MaxNumSeqs, Limiter::MaxNumBatchedTokens, Limiter::KvBlocks, Limiter::StepTime] {
            match self.rungs(limiter, low, high) {
                Step::Known(0) => levers.push((limiter, 1.0)),
                Step::Known(rungs) => levers.push((limiter, RUNGS[rungs - 1])),
                Step::Needs(trials) => needed.extend(trials),
            }
        }
        if !needed.is_empty() {
            return Step::Needs(needed);
        }
        let place = |&(limiter, factor): &(Limiter, f64)| match limiter {
            Limiter::StepTime => 1,
            _ if factor > 1.0 => 0,
            _ => 2,
        };
        // The ladder ends, so factors may be equal: then what stops admission most is the likelier to bind.
        let stopped = |limiter: Limiter| self.samples(high).map(|sample| stopped_share(sample, limiter)).sum::<f64>();
        sort_few(&mut levers, |a, b| {
            let by_place = place(a).cmp(&place(b));
            let by_factor = by_place.then_with(|| b.1.total_cmp(&a.1));
            by_factor.then_with(|| stopped(b.0).total_cmp(&stopped(a.0)))
        });
        Step::Known(levers)
    }

    /// How many of the rungs above the capacity hold with every seed while this limiter is relaxed.
    fn rungs(&self, limiter: Limiter, capacity: f64, failing: f64) -> Step<usize> {
        let (mut low, mut high) = (0, RUNGS.len());
        if limiter == Limiter::StepTime {
            low = STEP_TIME_FLOOR;
        } else if !self.often_stopped(limiter, failing) {
            return Step::Known(0);
        }
        while low < high {
            let middle = (low + high) / 2;
            let rate = round_to_digits(capacity * RUNGS[middle], 6);
            match self.rung_holds(limiter, rate) {
                Step::Needs(trials) => return Step::Needs(trials),
                Step::Known(true) => low = middle + 1,
                Step::Known(false) => high = middle,
            }
        }
        Step::Known(low)
    }

    /// Whether a rung holds with every seed. Undecided is not known to hold, so it does not count.
    ///
    /// No point shows a rung, so the other seeds are only run where the first one holds.
    fn rung_holds(&self, limiter: Limiter, rate: f64) -> Step<bool> {
        let is_holding = |sample: &PointSample| self.holds(Goal::Capacity, sample);
        match self.outcomes.get(&run(Kind::Relaxed(limiter), rate, 0)) {
            None => return Step::Needs(self.relaxed(limiter, rate).take(1).collect()),
            Some(first) if !is_holding(first) => return Step::Known(false),
            Some(_) => {}
        }
        let trials = || self.relaxed(limiter, rate);
        let missing: Vec<CurveTrial> = self.unknown(trials());
        if !missing.is_empty() {
            return Step::Needs(missing);
        }
        Step::Known(trials().all(|trial| self.outcomes.get(&key(&trial)).is_some_and(is_holding)))
    }

    /// Whether a limiter may matter in the runs that fail first: with some seed it stopped admission in at least a tenth
    /// of the steps in which anything did. One that does so more rarely is not worth trials.
    fn often_stopped(&self, limiter: Limiter, failing: f64) -> bool {
        self.samples(failing).any(|sample| {
            let share = stopped_share(sample, limiter);
            let is_preempting = limiter == Limiter::KvBlocks && sample.preemptions_per_request > 0.0;
            is_preempting || (share > 0.0 && share >= 0.1 * (1.0 - sample.limiters.none))
        })
    }

    /// The goal's capacity as far as it is known, with the band over seeds taken alone.
    fn capacity(&self, goal: Goal, rates: &[f64]) -> Capacity {
        let (bracket, _) = self.search(goal, rates);
        let rates = self.rates_of(self.plan.num_seeds);
        let mut band = [f64::INFINITY, 0.0];
        for replicate in 0..self.plan.num_seeds {
            let of_seed =
                rates.iter().filter_map(|&rate| Some((rate, self.holds(goal, self.sample(rate, replicate)?))));
            let alone = Bracket::of(of_seed).low;
            band = [f64::min(band[0], alone), f64::max(band[1], alone)];
        }
        bracket.capacity(band, bracket.high.map(|high| self.reason(goal, high)))
    }

    /// Rates that were run with at least the first `num_seeds` seeds, ascending.
    fn rates_of(&self, num_seeds: u32) -> Vec<f64> {
        let firsts = self.outcomes.keys().filter(|key| key.kind == Kind::Ordinary && key.replicate == 0);
        let rates = firsts.map(|key| f64::from_bits(key.rate));
        rates.filter(|&rate| (1..num_seeds).all(|replicate| self.sample(rate, replicate).is_some())).collect()
    }
}

/// Share of steps in which `limiter` stopped admission; the step time never does.
fn stopped_share(sample: &PointSample, limiter: Limiter) -> f64 {
    match limiter {
        Limiter::MaxNumSeqs => sample.limiters.max_num_seqs,
        Limiter::MaxNumBatchedTokens => sample.limiters.max_num_batched_tokens,
        Limiter::KvBlocks => sample.limiters.kv_blocks,
        Limiter::StepTime => 0.0,
    }
}

/// A run at this rate.
fn run(kind: Kind, rate: f64, replicate: u32) -> Key {
    Key { kind, rate: rate.to_bits(), replicate }
}

/// What decides the outcome of `trial` within a study.
fn key(trial: &CurveTrial) -> Key {
    let kind = match (trial.stage, trial.relaxed) {
        (Stage::Probe, _) => Kind::Probe,
        (_, Some(limiter)) => Kind::Relaxed(limiter),
        (Stage::Extension, None) => Kind::Longer,
        (_, None) => Kind::Ordinary,
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
        let wanted = match self.num_wanted(&self.grid()) as u64 {
            0 => return (told, told),
            wanted => wanted,
        };
        let num_rates = u64::from(self.plan.num_rates) + u64::from(self.recorded_rate.is_some());
        let grid = num_rates * u64::from(self.plan.num_seeds);
        // About a third of the grid is searched and relaxed on top.
        let extra = if self.plan.bisects { grid / 3 } else { 0 };
        (told, (1 + grid + extra).max(told + wanted))
    }

    fn snapshot(&self) -> Curve {
        let Some(range_per_s) = self.axis() else { return Curve::default() };
        let mut curve = Curve {
            range_per_s,
            recorded_rate: self.recorded_on_axis(),
            num_requests: self.num_requests(),
            ..Curve::default()
        };
        let rates = self.grid();
        let is_known = |replicate: &u32| rates.iter().all(|&rate| self.sample(rate, *replicate).is_some());
        let num_known = (0..self.plan.num_seeds).take_while(is_known).count() as u32;
        // A point over two seeds beside one over three would make a zigzag, so a seed counts once the grid has it.
        let num_shown = num_known.max(1);
        for rate in self.rates_of(num_shown) {
            let samples: Vec<&PointSample> = self.samples(rate).take(num_shown as usize).collect();
            // A replayed trace may have no more requests than the ordinary run took.
            let ordinary = self.outcomes.get(&run(Kind::Ordinary, rate, 0));
            let is_longer = self.is_known(Kind::Longer, rate)
                && ordinary
                    .zip(samples.first())
                    .is_some_and(|(short, long)| long.measured_requests > short.measured_requests);
            curve.points.push(CurvePoint { is_longer, ..point(rate, &samples, &self.slo) });
        }
        if num_known < self.plan.num_seeds {
            return curve;
        }
        let saturation = self.capacity(Goal::Saturation, &rates);
        if let (Some(failing), Some(Verdict::Overloaded)) =
            (saturation.next_failing_rate, saturation.next_failing_verdict)
        {
            // What cannot carry a load cannot carry more, though runs at the higher rate were too short to show it.
            let above = curve.points.iter_mut().filter(|point| point.request_rate > failing);
            above
                .filter(|point| point.verdict == Verdict::Undecided)
                .for_each(|point| point.verdict = Verdict::Overloaded);
        }
        curve.saturation = Some(saturation);
        curve.capacity = Some(self.capacity(Goal::Capacity, &rates));
        if self.plan.ablates
            && let (bracket, missing) = self.search(Goal::Capacity, &rates)
            && missing.is_empty()
            && let Step::Known(levers) = self.levers(&bracket)
        {
            curve.binding = levers.first().filter(|&&(_, factor)| factor > 1.0).map(|&(limiter, _)| limiter);
            curve.levers = levers;
        }
        curve.is_complete = self.num_wanted(&rates) == 0;
        curve
    }
}

#[cfg(test)]
mod tests;
