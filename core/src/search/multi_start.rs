//! Several starts that compete for the evaluations.

use super::{Candidate, Cmaes, NelderMead};
use crate::study::Ask;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// Shares of the budget, in percent: all starts, the best few, the best two, a close look at the best point; a downhill
/// simplex has the rest.
const ALL_SHARE: u64 = 30;
const FEW_SHARE: u64 = 25;
const PAIR_SHARE: u64 = 25;
const CLOSE_SHARE: u64 = 12;
/// How many starts go on after the first round.
const FEW: usize = 5;
/// Steps of the close look, and edges of the simplex.
const CLOSE_STEP: f64 = 0.02;
const SIMPLEX_EDGE: f64 = 0.01;
/// Stands for the number of a start, which its search has not asked for.
const OF_START: u64 = u64::MAX;

/// Covariance adaptation from several starts; the best few go on, the best one is looked at closely and polished.
///
/// A loss whose minima differ in kind (a client's delay modulo a step, one pass or two) has no slope from one to the
/// other, so a single start finds the nearest only.
///
/// # Determinism
/// Starts are told what came of a pass, in which each asks for all it can, when all of it is known, in the order of
/// asking; else those whose values come early would be asked more often. A round ends when all its values are told; starts
/// are compared by value and then by number.
///
/// # Source
/// Karnin, Koren and Somekh (2013), *Almost optimal exploration in multi-armed bandits* (successive halving).
#[derive(Debug, Clone)]
pub struct MultiStart {
    arms: Vec<Arm>,
    round: Round,
    budget: u64,
    asked: u64,
    waiting: BTreeMap<u64, (usize, Candidate)>,
    /// Values that the starts are told at the end of the pass, by number.
    told: BTreeMap<u64, (usize, Candidate, f64)>,
    best: Option<(Vec<f64>, f64)>,
    seed: u64,
    /// Whose turn it is.
    turn: usize,
    /// Coordinates that each start keeps.
    held: Vec<usize>,
}

#[derive(Debug, Clone)]
struct Arm {
    search: Inner,
    start: Vec<f64>,
    best: f64,
    /// Whether the start itself is still to be asked, so that no search ends worse than it began.
    is_fresh: bool,
}

#[derive(Debug, Clone)]
enum Inner {
    Cmaes(Cmaes),
    Simplex(NelderMead),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Round {
    All,
    Few,
    Pair,
    Close,
    Polish,
}

impl MultiStart {
    /// From these points (0–1 each) with first steps of `step`, at most `budget` evaluations in all.
    #[must_use]
    pub fn new(starts: Vec<Vec<f64>>, step: f64, budget: u64, seed: u64) -> Self {
        let arm = |(index, start): (usize, Vec<f64>)| Arm {
            search: Inner::Cmaes(Cmaes::new(start.clone(), step, seed.wrapping_add(index as u64))),
            start,
            best: f64::INFINITY,
            is_fresh: true,
        };
        let arms = starts.into_iter().enumerate().map(arm).collect();
        Self {
            arms,
            round: Round::All,
            budget,
            asked: 0,
            waiting: BTreeMap::new(),
            told: BTreeMap::new(),
            best: None,
            seed,
            turn: 0,
            held: Vec::new(),
        }
    }

    /// The same search, where each start keeps its values of these coordinates.
    #[must_use]
    pub fn holding(mut self, axes: Vec<usize>) -> Self {
        self.held = axes;
        self
    }

    /// The next candidate of whichever start is next.
    pub fn ask(&mut self) -> Ask<Candidate> {
        if self.asked >= self.budget {
            return if self.waiting.is_empty() { Ask::Done } else { Ask::Wait };
        }
        if self.asked >= self.end_of_round() {
            if !self.waiting.is_empty() {
                return Ask::Wait;
            }
            self.pass_on();
            self.next_round();
        }
        if let Some(candidate) = self.next_of_pass() {
            return Ask::Trial(candidate);
        }
        if !self.waiting.is_empty() {
            return Ask::Wait;
        }
        self.pass_on();
        self.next_of_pass().map_or(Ask::Done, Ask::Trial)
    }

    /// The next candidate of whichever start can go on without further values.
    fn next_of_pass(&mut self) -> Option<Candidate> {
        for _ in 0..self.arms.len() {
            let at = self.turn % self.arms.len();
            self.turn = at + 1;
            let asked = match self.arms.get_mut(at) {
                Some(arm) if arm.is_fresh => {
                    arm.is_fresh = false;
                    Ask::Trial(Candidate { id: OF_START, point: arm.start.clone() })
                }
                Some(Arm { search: Inner::Cmaes(search), .. }) => search.ask(),
                Some(Arm { search: Inner::Simplex(search), .. }) => search.ask(),
                None => Ask::Wait,
            };
            if let Ask::Trial(mut inner) = asked {
                let start = self.arms.get(at).map_or(&[][..], |arm| &arm.start);
                for axis in &self.held {
                    if let (Some(x), Some(kept)) = (inner.point.get_mut(*axis), start.get(*axis)) {
                        *x = *kept;
                    }
                }
                let id = self.asked;
                self.asked += 1;
                let point = inner.point.clone();
                self.waiting.insert(id, (at, inner));
                return Some(Candidate { id, point });
            }
        }
        None
    }

    /// The value of a candidate.
    pub fn tell(&mut self, id: u64, value: f64) {
        if let Some((at, inner)) = self.waiting.remove(&id) {
            self.told.insert(id, (at, inner, value));
        }
    }

    /// Tells the starts what came of the pass.
    fn pass_on(&mut self) {
        for (at, inner, value) in core::mem::take(&mut self.told).into_values() {
            self.tell_start(at, inner, value);
        }
    }

    fn tell_start(&mut self, at: usize, inner: Candidate, value: f64) {
        if self.best.as_ref().is_none_or(|(_, best)| value < *best) {
            self.best = Some((inner.point, value));
        }
        let Some(arm) = self.arms.get_mut(at) else { return };
        arm.best = arm.best.min(value);
        match &mut arm.search {
            _ if inner.id == OF_START => {}
            Inner::Cmaes(search) => search.tell(inner.id, value),
            Inner::Simplex(search) => search.tell(inner.id, value),
        }
    }

    fn end_of_round(&self) -> u64 {
        let percent = match self.round {
            Round::All => ALL_SHARE,
            Round::Few => ALL_SHARE + FEW_SHARE,
            Round::Pair => ALL_SHARE + FEW_SHARE + PAIR_SHARE,
            Round::Close => ALL_SHARE + FEW_SHARE + PAIR_SHARE + CLOSE_SHARE,
            Round::Polish => return self.budget,
        };
        self.budget.saturating_mul(percent) / 100
    }

    fn next_round(&mut self) {
        let best = self.best.as_ref().map(|(point, _)| point.clone());
        self.turn = 0;
        match (self.round, best) {
            (Round::All | Round::Few, _) => {
                let (next, left) = if self.round == Round::All { (Round::Few, FEW) } else { (Round::Pair, 2) };
                self.round = next;
                self.arms.sort_by(|a, b| a.best.total_cmp(&b.best));
                self.arms.truncate(left);
            }
            (Round::Pair, Some(point)) => {
                self.round = Round::Close;
                let search = Cmaes::new(point.clone(), CLOSE_STEP, self.seed.wrapping_add(1000));
                self.arms = alloc::vec![Arm {
                    search: Inner::Cmaes(search),
                    start: point,
                    best: f64::INFINITY,
                    is_fresh: false
                }];
            }
            (_, Some(point)) => {
                self.round = Round::Polish;
                let search = Inner::Simplex(NelderMead::new(point.clone(), SIMPLEX_EDGE));
                self.arms = alloc::vec![Arm { search, start: point, best: f64::INFINITY, is_fresh: false }];
            }
            (_, None) => self.round = Round::Polish,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All points asked for by a host that keeps at most so many under way and hears of the newest first.
    fn asked(most: usize) -> Vec<Vec<f64>> {
        let starts = alloc::vec![alloc::vec![0.2; 4], alloc::vec![0.5; 4], alloc::vec![0.9; 4]];
        let mut search = MultiStart::new(starts, 0.1, 900, 5);
        let (mut under_way, mut all): (Vec<Candidate>, Vec<Vec<f64>>) = (Vec::new(), Vec::new());
        loop {
            while under_way.len() < most
                && let Ask::Trial(candidate) = search.ask()
            {
                all.push(candidate.point.clone());
                under_way.push(candidate);
            }
            let Some(candidate) = under_way.pop() else { return all };
            let value = candidate.point.iter().map(|x| (x - 0.3) * (x - 0.3)).sum::<f64>();
            search.tell(candidate.id, libm::floor(value * 50.0) + value);
        }
    }

    #[test]
    fn what_is_asked_does_not_depend_on_how_many_are_under_way() {
        let all = asked(usize::MAX);
        assert_eq!(all.len(), 900);
        for most in [1, 3, 17] {
            assert!(asked(most) == all, "{most} under way");
        }
    }
}
