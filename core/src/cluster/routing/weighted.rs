//! `weighted`: the highest sum of weighted scores (cluster specification 5.1).

use super::recency::Recency;
use super::record::RoutedPrefixes;
use super::{AloneScore, Choice, Needs, View, scorer};
use crate::cluster::snapshot::Ranking;
use crate::observation::RoutingReason;
use crate::scenario::{EngineConfig, ScorerName, ScorerWeight};
use crate::workload::Request;
use alloc::vec::Vec;

#[derive(Debug)]
pub(in crate::cluster) struct Weighted {
    /// Weights sum to 1.
    scorers: Vec<ScorerWeight>,
    block_size: u32,
    num_blocks: u32,
    routed: RoutedPrefixes,
    recency: Recency,
    scores: Vec<f64>,
    /// The score by which the snapshots are kept in order, if nothing but each replica's own counts decides.
    alone: Option<AloneScore>,
    /// Whether scores of all replicas are to be told although the best is known without them.
    tells_scores: bool,
    /// Scratch: cached blocks of the prompt, by replica.
    cached: Vec<u32>,
}

impl Weighted {
    pub(super) fn new(scorers: &[ScorerWeight], num_replicas: usize, engine: &EngineConfig) -> Self {
        let sum: f64 = scorers.iter().map(|scorer| scorer.weight).sum();
        let normalized = |scorer: &ScorerWeight| ScorerWeight { weight: scorer.weight / sum, ..*scorer };
        let scorers: Vec<ScorerWeight> = scorers.iter().map(normalized).collect();
        Self {
            alone: AloneScore::new(&scorers, engine.num_blocks),
            tells_scores: false,
            scorers,
            block_size: engine.block_size,
            num_blocks: engine.num_blocks,
            routed: RoutedPrefixes::new(num_replicas, engine.block_size),
            recency: Recency::new(num_replicas),
            scores: Vec::new(),
            cached: Vec::new(),
        }
    }

    fn has(&self, name: ScorerName) -> bool {
        self.scorers.iter().any(|scorer| scorer.name == name)
    }

    pub(super) fn needs(&self) -> Needs {
        let others = [
            ScorerName::KvUtilization,
            ScorerName::PrecisePrefixCache,
            ScorerName::NoHitLru,
            ScorerName::PrefixAffinity,
        ];
        Needs {
            counts: self.scorers.iter().any(|scorer| !others.contains(&scorer.name)),
            blocks: self.has(ScorerName::KvUtilization),
            caches: self.has(ScorerName::PrecisePrefixCache) || self.has(ScorerName::NoHitLru),
        }
    }

    pub(super) fn ranking(&self) -> Ranking {
        self.alone.clone().map_or(Ranking::Unranked, Ranking::Best)
    }

    pub(super) fn tell_scores(&mut self) {
        self.tells_scores = true;
    }

    pub(super) fn scores(&self) -> &[f64] {
        &self.scores
    }

    pub(super) fn choose(&mut self, request: &Request, view: &mut View<'_>) -> Choice {
        if let (Some(score), false) = (&self.alone, self.tells_scores) {
            let replica = view.snapshots.ranked_first();
            return Choice { replica, reason: RoutingReason::Weighted(score.of(&view.snapshots.all()[replica])) };
        }
        let snapshots = view.snapshots.all();
        self.scores.clear();
        self.scores.resize(snapshots.len(), 0.0);
        if self.needs().caches {
            view.caches.count(view.engines, request, view.prefixes, &mut self.cached);
        }
        let is_cached = self.cached.iter().any(|blocks| *blocks > 0);
        for at in 0..self.scorers.len() {
            let ScorerWeight { name, weight } = self.scorers[at];
            let add = |sum: &mut f64, score: f64| *sum += score.clamp(0.0, 1.0) * weight;
            match name {
                ScorerName::QueueDepth | ScorerName::RunningRequests | ScorerName::VllmDp => {
                    let counted = snapshots.iter().filter_map(|snapshot| scorer::counted(name, snapshot));
                    self.scores.iter_mut().zip(scorer::fewest(counted)).for_each(|(sum, score)| add(sum, score));
                }
                ScorerName::ActiveRequests
                | ScorerName::KvUtilization
                | ScorerName::LoadBalance
                | ScorerName::LoadAware => {
                    let most = snapshots.iter().map(|snapshot| snapshot.in_flight).max().unwrap_or(0);
                    let scores =
                        snapshots.iter().filter_map(|snapshot| scorer::absolute(name, snapshot, most, self.num_blocks));
                    self.scores.iter_mut().zip(scores).for_each(|(sum, score)| add(sum, score));
                }
                ScorerName::PrecisePrefixCache => {
                    let cached = self.cached.iter().map(|blocks| f64::from(*blocks));
                    self.scores.iter_mut().zip(scorer::most(cached)).for_each(|(sum, score)| add(sum, score));
                }
                ScorerName::PrefixAffinity => {
                    let blocks = request.input_tokens / self.block_size;
                    let matched = self.routed.match_prompt(request, view.prefixes);
                    for (sum, matched) in self.scores.iter_mut().zip(matched) {
                        add(sum, if blocks == 0 { 0.0 } else { f64::from(*matched) / f64::from(blocks) });
                    }
                }
                ScorerName::NoHitLru if is_cached => self.scores.iter_mut().for_each(|sum| add(sum, 0.5)),
                ScorerName::NoHitLru => {
                    for (replica, score) in self.recency.scores() {
                        add(&mut self.scores[replica], score);
                    }
                }
            }
        }
        let mut replica = 0;
        for (at, score) in self.scores.iter().enumerate() {
            if *score > self.scores[replica] {
                replica = at;
            }
        }
        if self.has(ScorerName::PrefixAffinity) {
            self.routed.record(replica, request);
        }
        if self.has(ScorerName::NoHitLru) && !is_cached {
            self.recency.touch(replica);
        }
        Choice { replica, reason: RoutingReason::Weighted(self.scores[replica]) }
    }
}
