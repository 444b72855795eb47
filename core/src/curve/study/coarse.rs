//! What short runs say: the beginning of a search, and all of it where a trace is replayed.

use super::{CurveStudy, EXTENSION, Goal, Kind, Step, run};
use crate::curve::plan::round_to_digits;
use crate::curve::search::Bracket;
use crate::curve::types::{Capacity, CurveTrial, Stage};
use crate::report::Verdict;
use alloc::vec::Vec;

/// Most steps of one search: four below the axis, and seven in a bracket as wide as that.
const MAX_SEARCH_STEPS: u32 = 12;

/// Where nothing on the axis holds, rates are tried each so many times below the last ...
const STEP_BELOW: f64 = 4.0;

/// ... as long as the last is more than the axis's lowest by this divisor.
pub(super) const LOWEST_BELOW: f64 = 100.0;

impl CurveStudy {
    /// Narrows a goal's bracket down as far as outcomes allow, and names what is still missing.
    pub(super) fn search(&self, goal: Goal, rates: &[f64]) -> (Bracket, Vec<CurveTrial>) {
        let mut bracket = Bracket::of(rates.iter().map(|&rate| (rate, self.holds_at(goal, rate))));
        let Some(high) = bracket.high.filter(|_| self.plan.bisects) else { return (bracket, Vec::new()) };
        // The grid's first failing rate bounds what follows, so it must not fail for want of length alone.
        if let Some(trials) = self.extension(goal, high) {
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

    /// Whether a goal is known to hold at a rate.
    fn holds_at(&self, goal: Goal, rate: f64) -> bool {
        self.sample(rate).is_some_and(|sample| self.holds(goal, sample))
    }

    /// Whether a goal holds at a rate.
    fn decide(&self, goal: Goal, rate: f64) -> Step<bool> {
        let missing = self.unknown([self.trial(Stage::Bisection, rate, 0)].into_iter());
        if !missing.is_empty() {
            return Step::Needs(missing);
        }
        match self.extension(goal, rate) {
            Some(longer) => Step::Needs(longer),
            None => Step::Known(self.holds_at(goal, rate)),
        }
    }

    /// The longer run that is missing at a rate of a trace where the ordinary one does not decide a goal, if it does not.
    /// Where requests are drawn, long runs settle everything anyway.
    fn extension(&self, goal: Goal, rate: f64) -> Option<Vec<CurveTrial>> {
        let is_known = self.outcomes.contains_key(&run(Kind::Short, rate, 0))
            && !self.outcomes.contains_key(&run(Kind::Extended, rate, 0));
        let is_undecided = || !self.holds_at(goal, rate) && self.reason(goal, rate) == Verdict::Undecided;
        (self.is_replay && self.plan.settles && is_known && is_undecided()).then(|| {
            let trial = self.trial(Stage::Extension, rate, 0);
            alloc::vec![CurveTrial { num_requests: trial.num_requests.saturating_mul(EXTENSION), ..trial }]
        })
    }

    /// Why a goal does not hold at a rate.
    pub(super) fn reason(&self, goal: Goal, rate: f64) -> Verdict {
        let failing = self.sample(rate).filter(|sample| !self.holds(goal, sample));
        failing.map_or(Verdict::Undecided, |sample| sample.verdict)
    }

    /// The goal's capacity as short runs have it.
    pub(super) fn coarse_capacity(&self, goal: Goal, rates: &[f64]) -> Capacity {
        let (bracket, _) = self.search(goal, rates);
        let reason = bracket.high.map(|high| self.reason(goal, high));
        let high = bracket.high.unwrap_or(bracket.low);
        let is_settled = self.is_replay && self.plan.settles;
        Capacity { is_settled, ..bracket.capacity([bracket.low, high.max(bracket.low)], reason) }
    }
}
