//! What a deployment's time goes to and what stops admission.

use super::format;
use super::headline::{point_at_capacity, relaxation};
use plimsoll_core::curve::{Curve, CurvePoint};
use plimsoll_core::numeric::sort_few;
use plimsoll_protocol::EngineLimits;

/// A share with its name.
#[derive(Debug, Clone, PartialEq)]
pub struct Share {
    /// Name.
    pub label: String,
    /// Share, 0–1.
    pub ratio: f64,
    /// The share in words.
    pub text: String,
}

/// The two tables of definitions 5 at one rate, and the levers.
#[derive(Debug, Clone, PartialEq)]
pub struct Bottleneck {
    /// The rate they are for, requests per second.
    pub request_rate: f64,
    /// The run's time by the terms of the latency model, plus idle; largest first.
    pub time_shares: Vec<Share>,
    /// Steps by what stopped admission.
    pub limiters: Vec<Share>,
    /// What each lever would give, in words.
    pub levers: Vec<(String, String)>,
}

/// The bottleneck at capacity, or at the highest rate where there is no capacity.
#[must_use]
pub fn bottleneck(curve: &Curve, engine: &EngineLimits) -> Option<Bottleneck> {
    let point = point_at_capacity(curve).or_else(|| curve.points.iter().rev().find(|point| point.num_seeds > 0))?;
    let capacity = curve.capacity.map_or(0.0, |capacity| capacity.request_rate);
    let levers = curve
        .levers
        .iter()
        .map(|(limiter, factor)| {
            let effect = if *factor > 1.000_1 && capacity > 0.0 {
                format!("{} req/s (+{})", format::rate_held(capacity * factor), format::percent(factor - 1.0))
            } else {
                "less than 5 % more".into()
            };
            (relaxation(*limiter, engine), effect)
        })
        .collect();
    Some(Bottleneck {
        request_rate: point.request_rate,
        time_shares: time_shares(point),
        limiters: limiters(point),
        levers,
    })
}

fn time_shares(point: &CurvePoint) -> Vec<Share> {
    let mut shares: Vec<Share> = point
        .time_shares
        .iter()
        .filter(|share| share.ratio > 0.0005)
        .map(|share| Share {
            label: share.name.replace('-', " "),
            ratio: share.ratio,
            text: format::percent(share.ratio),
        })
        .collect();
    sort_few(&mut shares, |a, b| b.ratio.total_cmp(&a.ratio));
    shares
}

fn limiters(point: &CurvePoint) -> Vec<Share> {
    let shares = [
        ("nobody waited", point.limiters.none),
        ("max_num_seqs", point.limiters.max_num_seqs),
        ("max_num_batched_tokens", point.limiters.max_num_batched_tokens),
        ("KV blocks", point.limiters.kv_blocks),
    ];
    shares
        .into_iter()
        .map(|(label, ratio)| Share { label: label.into(), ratio, text: format::percent(ratio) })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view_model::chart::tests::{curve, engine};
    use plimsoll_core::curve::Limiter;
    use plimsoll_core::report::TimeShare;

    #[test]
    fn shares_are_those_at_capacity_largest_first() {
        let mut curve = curve();
        let share = |name: &str, ratio| TimeShare { name: name.into(), ratio };
        curve.points[1].time_shares = vec![share("all-reduce", 0.0), share("weights", 0.3), share("idle", 0.7)];
        curve.levers = vec![(Limiter::KvBlocks, 1.5), (Limiter::MaxNumSeqs, 1.0)];
        let found = bottleneck(&curve, &engine()).expect("a point");
        assert_eq!(found.request_rate, 10.0);
        assert_eq!(found.time_shares.iter().map(|share| share.label.as_str()).collect::<Vec<_>>(), ["idle", "weights"]);
        assert_eq!(found.levers[0], ("twice the KV cache (52,224 blocks)".into(), "16.5 req/s (+50 %)".into()));
        assert_eq!(found.levers[1].1, "less than 5 % more");
    }
}
