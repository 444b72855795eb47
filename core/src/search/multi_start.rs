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
/// A round ends when all its values are told; starts are compared by value and then by number.
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
            self.next_round();
        }
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
                return Ask::Trial(Candidate { id, point });
            }
        }
        if self.waiting.is_empty() { Ask::Done } else { Ask::Wait }
    }

    /// The value of a candidate.
    pub fn tell(&mut self, id: u64, value: f64) {
        let Some((at, inner)) = self.waiting.remove(&id) else { return };
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
