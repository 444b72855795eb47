//! How good each replica looks to one scorer, 0 to 1 (cluster specification 5.1).

use crate::cluster::snapshot::Snapshot;
use crate::scenario::{ScorerName, ScorerWeight};
use alloc::vec::Vec;

/// Queue length at which `load-aware` gives nothing.
const LONG_QUEUE: u32 = 128;

/// Whether a scorer looks at each replica alone, at nothing of the others nor of the prompt.
pub(super) fn is_alone(scorer: ScorerName) -> bool {
    matches!(scorer, ScorerName::KvUtilization | ScorerName::LoadBalance | ScorerName::LoadAware)
}

/// The weighted sum of scorers that look at each replica alone.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::cluster) struct AloneScore {
    /// Weights sum to 1.
    scorers: Vec<ScorerWeight>,
    num_blocks: u32,
}

impl AloneScore {
    /// The sum of these scorers; none if one of them looks at others or at the prompt.
    pub(super) fn new(scorers: &[ScorerWeight], num_blocks: u32) -> Option<Self> {
        let all_are = scorers.iter().all(|scorer| is_alone(scorer.name));
        all_are.then(|| Self { scorers: scorers.to_vec(), num_blocks })
    }

    #[inline]
    pub(in crate::cluster) fn of(&self, snapshot: &Snapshot) -> f64 {
        self.scorers.iter().fold(0.0, |sum, scorer| {
            let score = absolute(scorer.name, snapshot, 0, self.num_blocks).unwrap_or(0.0);
            sum + score.clamp(0.0, 1.0) * scorer.weight
        })
    }
}

/// How many of `values` above the least each has, turned round: 1 for the least, 0 for the most; 1 if all are equal.
pub(super) fn fewest(values: impl Iterator<Item = f64> + Clone) -> impl Iterator<Item = f64> {
    let (least, most) = range(values.clone());
    values.map(move |value| if most == least { 1.0 } else { (most - value) / (most - least) })
}

/// 0 for the least, 1 for the most; 1 if all are equal.
pub(super) fn most(values: impl Iterator<Item = f64> + Clone) -> impl Iterator<Item = f64> {
    let (least, most) = range(values.clone());
    values.map(move |value| if most == least { 1.0 } else { (value - least) / (most - least) })
}

fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), value| (least.min(value), most.max(value)))
}

/// What a relative scorer counts; none for others.
pub(super) fn counted(scorer: ScorerName, snapshot: &Snapshot) -> Option<f64> {
    let (waiting, running) = (f64::from(snapshot.load.waiting), f64::from(snapshot.load.running));
    match scorer {
        ScorerName::QueueDepth => Some(waiting),
        ScorerName::RunningRequests => Some(running),
        ScorerName::VllmDp => Some(4.0 * waiting + running),
        _ => None,
    }
}

/// The score of a scorer that looks at each replica alone; `most_in_flight` over all of them. None for others.
pub(super) fn absolute(scorer: ScorerName, snapshot: &Snapshot, most_in_flight: u32, num_blocks: u32) -> Option<f64> {
    match scorer {
        ScorerName::ActiveRequests if snapshot.in_flight == 0 => Some(1.0),
        ScorerName::ActiveRequests => Some(f64::from(most_in_flight - snapshot.in_flight) / f64::from(most_in_flight)),
        ScorerName::KvUtilization => Some(1.0 - f64::from(snapshot.load.used_blocks) / f64::from(num_blocks)),
        ScorerName::LoadBalance => Some(1.0 / (1.0 + snapshot.effective_load() as f64)),
        ScorerName::LoadAware if snapshot.load.waiting == 0 => Some(0.5),
        ScorerName::LoadAware => {
            let queue = f64::from(snapshot.load.waiting.min(LONG_QUEUE));
            Some(0.5 * (1.0 - queue / f64::from(LONG_QUEUE)))
        }
        _ => None,
    }
}
