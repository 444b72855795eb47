//! What each limiter's relaxation would give.
//!
//! Short runs are too optimistic near saturation, so a factor is that of two of them: what holds with the limiter relaxed
//! over what holds as it is, in runs of the same length with the same requests.

use super::{CurveStudy, Goal, Kind, Step, key, run};
use crate::curve::plan::round_to_digits;
use crate::curve::search::Bracket;
use crate::curve::types::{CurveTrial, Limiter, PointSample, Stage};
use crate::numeric::sort_few;
use alloc::vec::Vec;

/// How much more than the capacity a relaxed limiter may give, as far as it is looked for; ascending. The first is twice
/// as much as a capacity of short runs is known to.
const RUNGS: [f64; 4] = [1.05, 1.125, 1.25, 1.5];

/// What a relaxed step time gives in any case: every time shrinks by the same factor.
const STEP_TIME_FLOOR: usize = 3;

impl CurveStudy {
    /// What each limiter's relaxation gives, as a factor of the capacity: settings that give something, largest first,
    /// then the step time, then settings that give nothing.
    ///
    /// Shorter steps always give their part, so against them a setting would have to win by more than it takes to bind.
    pub(super) fn levers(&self, capacity: &Bracket) -> Step<Vec<(Limiter, f64)>> {
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
        let stopped = |limiter: Limiter| self.sample(high).map_or(0.0, |sample| stopped_share(sample, limiter));
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

    /// Whether a limiter may matter in the run that fails first: it stopped admission in at least a tenth of the steps in
    /// which anything did. One that does so more rarely is not worth trials.
    fn often_stopped(&self, limiter: Limiter, failing: f64) -> bool {
        self.sample(failing).is_some_and(|sample| {
            let share = stopped_share(sample, limiter);
            let is_preempting = limiter == Limiter::KvBlocks && sample.preemptions_per_request > 0.0;
            is_preempting || (share > 0.0 && share >= 0.1 * (1.0 - sample.limiters.none))
        })
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
