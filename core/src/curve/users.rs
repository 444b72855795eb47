//! How latency and throughput change with the number of users who wait for their answers.

use super::aggregate::{meets_slo, point};
use super::types::{CurvePoint, PointSample};
use crate::numeric::sort_few;
use crate::report::Verdict;
use crate::scenario::{Loads, ResolvedScenario, Slo};
use crate::study::{Ask, Study};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Most users of an axis.
const MAX_USERS: u32 = 100_000;

/// Requests of a run per user: five of each are measured even if the first half of the run is warm-up.
const REQUESTS_PER_USER: u32 = 12;

/// Two numbers of users are close enough when the upper one is at most this factor above the lower, or its neighbor.
const TOLERANCE: f64 = 1.025;

/// One run to be made: the scenario with so many users, shared among its clients as they are, and this replicate's random streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct UsersTrial {
    /// Users.
    pub users: u32,
    /// Replicate; the same replicate uses the same random numbers for every number of users.
    pub replicate: u32,
    /// Requests of the run.
    pub num_requests: u32,
}

/// One number of users, all seeds together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UsersPoint {
    /// Users, of the whole cluster.
    pub users: u32,
    /// What they got. The request rate is the one they reached: with users it is an outcome.
    #[serde(flatten)]
    pub point: CurvePoint,
}

/// A curve over users, possibly partial.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct UsersCurve {
    /// Points by ascending number of users, all over the same seeds.
    pub points: Vec<UsersPoint>,
    /// Most users with whom the SLO is kept with every seed; 0 if with none of the axis. None until it is known.
    pub capacity: Option<u32>,
    /// Fewest users above it with whom it is not; none if it is kept with the most of the axis.
    pub next_failing: Option<u32>,
    /// Fewest users who reach 95 % of the highest request throughput of the axis: more of them only wait longer.
    pub saturation: Option<u32>,
    /// Whether every trial has been told.
    pub is_complete: bool,
}

impl UsersCurve {
    /// As [`super::Curve::answered`].
    #[must_use]
    pub fn answered(&self) -> Option<Loads> {
        let found = || self.saturation.into_iter().chain(self.capacity).filter(|users| *users > 0);
        Some(Loads::Users([found().min()?, found().max()?]))
    }
}

/// A study over the number of users, from one to twice as many as the batches have room for or over a range.
///
/// Nobody overloads a closed loop, so there is no rate at which it breaks: latency grows with the users while the
/// throughput comes to rest.
///
/// # Determinism
/// Every decision waits for all outcomes it rests on, so trials and curve are the same in whatever order they are told.
#[derive(Debug, Clone)]
pub struct UsersStudy {
    slo: Slo,
    grid: Vec<u32>,
    num_seeds: u32,
    num_requests: u32,
    outcomes: BTreeMap<(u32, u32), PointSample>,
    outstanding: BTreeSet<(u32, u32)>,
}

impl UsersStudy {
    /// The study of a scenario; its `curve` settings say how many points, seeds and requests, and `range_per_s` is
    /// taken for a range of users. The scenario's own number is among them.
    #[must_use]
    pub fn new(scenario: &ResolvedScenario) -> Self {
        let own = scenario.workload.users().unwrap_or(1);
        let slots = scenario.engine.max_num_seqs.saturating_mul(scenario.cluster.num_replicas);
        let (low, high) = match scenario.curve.range_per_s {
            Some([low, high]) => (low.max(1.0), high.min(f64::from(MAX_USERS)).max(1.0)),
            None => (1.0, f64::from(slots.saturating_mul(2).max(own).clamp(2, MAX_USERS))),
        };
        let num_points = scenario.curve.num_rates.max(2);
        // Equal factors: one user more matters as much among ten as ten among a hundred.
        let users = |at: u32| {
            let share = f64::from(at) / f64::from(num_points - 1);
            libm::round(low * libm::exp(share * libm::log(high / low))) as u32
        };
        let mut grid: Vec<u32> = (0..num_points).map(users).collect();
        grid.push(own.min(MAX_USERS));
        sort_few(&mut grid, |a, b| a.cmp(b));
        grid.dedup();
        let replicas = scenario.cluster.num_replicas.clamp(1, 8);
        Self {
            slo: scenario.slo.clone(),
            grid,
            num_seeds: scenario.curve.num_seeds.max(1),
            num_requests: scenario.curve.num_requests.max(1).saturating_mul(replicas),
            outcomes: BTreeMap::new(),
            outstanding: BTreeSet::new(),
        }
    }

    fn trial(&self, users: u32, replicate: u32) -> UsersTrial {
        UsersTrial { users, replicate, num_requests: self.num_requests.max(users.saturating_mul(REQUESTS_PER_USER)) }
    }

    /// The outcomes of a number of users by seed, if all are known.
    fn samples(&self, users: u32) -> Option<Vec<&PointSample>> {
        (0..self.num_seeds).map(|replicate| self.outcomes.get(&(users, replicate))).collect()
    }

    fn holds(&self, users: u32) -> Option<bool> {
        self.samples(users).map(|samples| samples.iter().all(|sample| meets_slo(sample, &self.slo)))
    }

    /// Most users known to keep the SLO and fewest above them known not to, as far as outcomes allow; and the number to
    /// try next. None while the grid is not known.
    fn bracket(&self) -> Option<(u32, Option<u32>, Option<u32>)> {
        let holding: Option<Vec<(u32, bool)>> =
            self.grid.iter().map(|&users| self.holds(users).map(|holds| (users, holds))).collect();
        let holding = holding?;
        let mut low = holding.iter().filter(|(_, holds)| *holds).map(|(users, _)| *users).max().unwrap_or(0);
        let mut high = holding.iter().map(|(users, _)| *users).find(|users| *users > low);
        while let Some(above) = high {
            let is_close = low == 0 || above - low <= 1 || f64::from(above) <= f64::from(low) * TOLERANCE;
            if is_close {
                break;
            }
            let middle = low + (above - low) / 2;
            match self.holds(middle) {
                Some(true) => low = middle,
                Some(false) => high = Some(middle),
                None => return Some((low, high, Some(middle))),
            }
        }
        Some((low, high, None))
    }

    /// The trials that are needed next and can be named now.
    fn wanted(&self) -> Vec<UsersTrial> {
        let missing = |users: u32| {
            let trials = (0..self.num_seeds).map(move |replicate| self.trial(users, replicate));
            trials.filter(|trial| !self.outcomes.contains_key(&(trial.users, trial.replicate)))
        };
        let grid: Vec<UsersTrial> = self.grid.iter().flat_map(|&users| missing(users)).collect();
        match self.bracket() {
            Some((_, _, Some(next))) => missing(next).collect(),
            _ => grid,
        }
    }
}

impl Study for UsersStudy {
    type Trial = UsersTrial;
    type Outcome = PointSample;
    type Snapshot = UsersCurve;

    fn ask(&mut self) -> Ask<UsersTrial> {
        let wanted = self.wanted();
        if wanted.is_empty() {
            return Ask::Done;
        }
        let is_free = |trial: &UsersTrial| !self.outstanding.contains(&(trial.users, trial.replicate));
        let Some(trial) = wanted.into_iter().find(is_free) else { return Ask::Wait };
        self.outstanding.insert((trial.users, trial.replicate));
        Ask::Trial(trial)
    }

    fn tell(&mut self, trial: &UsersTrial, outcome: PointSample) {
        let key = (trial.users, trial.replicate);
        if self.outstanding.remove(&key) {
            self.outcomes.insert(key, outcome);
        }
    }

    fn progress(&self) -> (u64, u64) {
        let told = self.outcomes.len() as u64;
        let wanted = self.wanted().len() as u64;
        if wanted == 0 {
            return (told, told);
        }
        // The search between two points of the grid halves their distance a few times.
        let expected = (self.grid.len() as u64 + 4) * u64::from(self.num_seeds);
        (told, expected.max(told + wanted))
    }

    fn snapshot(&self) -> UsersCurve {
        let mut numbers: Vec<u32> = self.outcomes.keys().map(|(users, _)| *users).collect();
        numbers.dedup();
        let mut curve = UsersCurve::default();
        for users in numbers {
            let Some(samples) = self.samples(users) else { continue };
            let reached = samples.iter().map(|sample| sample.request_throughput).sum::<f64>() / samples.len() as f64;
            curve.points.push(UsersPoint { users, point: point(reached, &samples, &self.slo) });
        }
        if let Some((low, high, next)) = self.bracket() {
            (curve.capacity, curve.next_failing) = (Some(low), high);
            curve.is_complete = next.is_none();
            let settled = || curve.points.iter().filter(|at| at.point.verdict != Verdict::Overloaded);
            let most = settled().map(|at| at.point.request_throughput.mid).fold(0.0, f64::max);
            curve.saturation = settled().find(|at| at.point.request_throughput.mid >= 0.95 * most).map(|at| at.users);
        }
        curve
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::LimiterShares;
    use alloc::vec;

    fn sample(users: u32, is_kept: bool) -> PointSample {
        let none = super::super::types::SamplePercentiles::default();
        PointSample {
            verdict: Verdict::Stable,
            ttft: none,
            tpot: none,
            itl: none,
            e2e: none,
            measured_requests: 1000,
            request_throughput: f64::from(users.min(20)),
            output_token_throughput: 0.0,
            goodput: 0.0,
            attainment: f64::from(u8::from(is_kept)),
            classes: vec![],
            mean_running: 0.0,
            mean_waiting: 0.0,
            kv_usage: 0.0,
            preemptions_per_request: 0.0,
            prefix_hit_ratio: 0.0,
            limiters: LimiterShares::default(),
            time_shares: vec![],
            steps: 1,
            limits: Vec::new(),
            precision: None,
        }
    }

    fn study(low: f64, high: f64) -> UsersStudy {
        let mut study = UsersStudy {
            slo: Slo::default(),
            grid: vec![1, 4, 16, 64],
            num_seeds: 2,
            num_requests: 500,
            outcomes: BTreeMap::new(),
            outstanding: BTreeSet::new(),
        };
        study.grid.retain(|users| (low..=high).contains(&f64::from(*users)));
        study
    }

    /// Makes all trials, the newest of those asked for first if `is_reversed`; the SLO is kept up to `kept` users.
    fn finished(mut study: UsersStudy, kept: u32, is_reversed: bool) -> UsersCurve {
        let mut open: Vec<UsersTrial> = Vec::new();
        loop {
            while let Ask::Trial(trial) = study.ask() {
                open.push(trial);
                if !is_reversed {
                    break;
                }
            }
            let Some(trial) = open.pop() else { return study.snapshot() };
            assert_eq!(trial.num_requests, trial.users.max(42) * 12, "500 requests, or twelve per user");
            study.tell(&trial, sample(trial.users, trial.users <= kept));
        }
    }

    #[test]
    fn most_users_are_found_in_whatever_order_outcomes_come() {
        for kept in [1, 3, 4, 40, 41, 63] {
            let mut study = study(1.0, 64.0);
            study.num_requests = 504;
            let curve = finished(study.clone(), kept, false);
            assert_eq!(curve, finished(study, kept, true));
            assert!(curve.is_complete);
            let (found, next) = (curve.capacity.expect("known"), curve.next_failing.expect("one fails"));
            assert!(found <= kept && kept < next, "{found} to {next} for {kept}");
            assert!(next == found + 1 || f64::from(next) <= f64::from(found) * TOLERANCE);
            // 20 users reach all there is, 16 four fifths; a search between 16 and 64 may have met some in between.
            assert!(curve.saturation.is_some_and(|users| (19..=64).contains(&users)), "{:?}", curve.saturation);
        }
    }

    #[test]
    fn an_axis_may_end_before_the_slo_does() {
        let mut short = study(1.0, 16.0);
        short.num_requests = 504;
        let curve = finished(short, 99, false);
        assert_eq!((curve.capacity, curve.next_failing), (Some(16), None));
        let mut bad = study(4.0, 16.0);
        bad.num_requests = 504;
        let curve = finished(bad, 2, false);
        assert_eq!((curve.capacity, curve.next_failing), (Some(0), Some(4)));
    }
}
