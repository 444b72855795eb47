//! Replicas and the policies in front of them: as declared, and resolved (cluster specification 3 to 5).

use super::limits::Bounds;
use crate::diagnostic::Diagnostic;
use crate::time::SimTime;
use alloc::format;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Most replicas of a cluster.
const MAX_REPLICAS: u32 = 4096;
/// Weight of free KV memory in the two-weight form of `weighted`.
const CACHE_WEIGHT: f64 = 0.6;
/// Weight of low load in the two-weight form of `weighted`.
const LOAD_WEIGHT: f64 = 0.4;

/// How many replicas there are, and how requests reach them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClusterSettings {
    /// Replicas of the deployment, all alike; the request rate is offered to all together.
    pub num_replicas: u32,
    /// Who is let in.
    pub admission: AdmissionSettings,
    /// Which replica serves whom.
    pub routing: RoutingSettings,
    /// Age at which what the policies see of queues, batches and KV memory is renewed, microseconds; 0 = always fresh.
    pub snapshot_refresh_interval_us: u32,
    /// Age at which what the scorers see of the prefix caches is renewed, microseconds; 0 = always fresh.
    pub cache_signal_delay_us: u32,
}

/// Who is let in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdmissionSettings {
    /// The policy.
    pub policy: AdmissionPolicy,
    /// Most tokens the bucket holds; it starts full.
    pub token_bucket_capacity: f64,
    /// Tokens that flow into the bucket per second.
    pub token_bucket_refill_rate: f64,
    /// Time a decision takes, microseconds.
    pub latency_us: u32,
}

/// Whether a request is let in (cluster specification 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AdmissionPolicy {
    /// Everybody.
    #[default]
    #[serde(alias = "")]
    AlwaysAdmit,
    /// Whoever finds as many tokens in the bucket as the prompt has.
    TokenBucket,
    /// Nobody; pathological, for comparison.
    RejectAll,
}

/// Which replica serves whom.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RoutingSettings {
    /// The policy.
    pub policy: RoutingPolicy,
    /// Scorers of `weighted`; none = the two weights.
    pub scorers: Option<Vec<ScorerWeight>>,
    /// Weight of free KV memory in `weighted`; none = 0.6.
    pub cache_weight: Option<f64>,
    /// Weight of low load in `weighted`; none = 0.4.
    pub load_weight: Option<f64>,
    /// Time a decision takes, microseconds.
    pub latency_us: u32,
}

/// Which replica serves a request (cluster specification 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RoutingPolicy {
    /// Each in turn.
    #[default]
    #[serde(alias = "")]
    RoundRobin,
    /// The one with the smallest effective load.
    LeastLoaded,
    /// The one with the highest sum of weighted scores.
    Weighted,
    /// The one that served most of the prompt's beginning before.
    PrefixAffinity,
    /// The one with the largest effective load; pathological, for comparison.
    AlwaysBusiest,
}

/// A scorer and what it counts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScorerWeight {
    /// The scorer.
    pub name: ScorerName,
    /// Its weight, above 0; only the ratio to the others matters.
    pub weight: f64,
}

/// What a scorer looks at (cluster specification 5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScorerName {
    /// Short queue, relative to the others.
    QueueDepth,
    /// Small batch, relative to the others.
    RunningRequests,
    /// Four times the queue plus the batch, relative to the others.
    VllmDp,
    /// Few requests in flight, relative to the most.
    ActiveRequests,
    /// Free KV memory.
    KvUtilization,
    /// Low effective load.
    LoadBalance,
    /// Short queue, up to 128.
    LoadAware,
    /// Cached blocks of the prompt, relative to the others.
    PrecisePrefixCache,
    /// Blocks of the prompt that the router remembers.
    PrefixAffinity,
    /// The one not used for longest, where nobody has cached the prompt.
    NoHitLru,
}

/// The cluster in front of the engines, complete and checked.
#[derive(Debug, Clone, PartialEq)]
pub struct ClusterConfig {
    /// Replicas, at least 1.
    pub num_replicas: u32,
    /// Who is let in.
    pub admission: AdmissionConfig,
    /// Time an admission decision takes.
    pub admission_latency: SimTime,
    /// Which replica serves whom.
    pub routing: RoutingConfig,
    /// Time a routing decision takes.
    pub routing_latency: SimTime,
    /// Age at which snapshots are renewed; zero = always fresh.
    pub snapshot_refresh_interval: SimTime,
    /// Age at which the view of the prefix caches is renewed; zero = always fresh.
    pub cache_signal_delay: SimTime,
}

/// An admission policy with its settings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum AdmissionConfig {
    /// Everybody.
    AlwaysAdmit,
    /// Whoever finds enough tokens.
    TokenBucket {
        /// Most tokens, above 0.
        capacity: f64,
        /// Tokens per second, above 0.
        refill_rate: f64,
    },
    /// Nobody.
    RejectAll,
}

/// A routing policy with its settings.
#[derive(Debug, Clone, PartialEq)]
pub enum RoutingConfig {
    /// Each in turn.
    RoundRobin,
    /// The smallest effective load.
    LeastLoaded,
    /// The highest score; at least one scorer, weights above 0, no name twice.
    Weighted(Vec<ScorerWeight>),
    /// The longest remembered beginning.
    PrefixAffinity,
    /// The largest effective load.
    AlwaysBusiest,
}

impl ClusterConfig {
    /// One replica that takes everything at once.
    #[must_use]
    pub fn single() -> Self {
        Self {
            num_replicas: 1,
            admission: AdmissionConfig::AlwaysAdmit,
            admission_latency: SimTime::ZERO,
            routing: RoutingConfig::RoundRobin,
            routing_latency: SimTime::ZERO,
            snapshot_refresh_interval: SimTime::ZERO,
            cache_signal_delay: SimTime::ZERO,
        }
    }
}

impl ScorerWeight {
    /// What the word `default` stands for in a list of scorers: the reference's profile.
    pub const DEFAULT: [ScorerWeight; 3] = [
        ScorerWeight { name: ScorerName::PrecisePrefixCache, weight: 2.0 },
        ScorerWeight { name: ScorerName::QueueDepth, weight: 1.0 },
        ScorerWeight { name: ScorerName::KvUtilization, weight: 1.0 },
    ];
}

impl Default for ClusterSettings {
    fn default() -> Self {
        Self {
            num_replicas: 1,
            admission: AdmissionSettings::default(),
            routing: RoutingSettings::default(),
            snapshot_refresh_interval_us: 0,
            cache_signal_delay_us: 0,
        }
    }
}

impl Default for AdmissionSettings {
    fn default() -> Self {
        Self {
            policy: AdmissionPolicy::AlwaysAdmit,
            token_bucket_capacity: 10_000.0,
            token_bucket_refill_rate: 1000.0,
            latency_us: 0,
        }
    }
}

impl ClusterSettings {
    /// What is out of bounds or has no effect; paths begin with `cluster`.
    #[must_use]
    pub fn problems(&self) -> Vec<Diagnostic> {
        let mut diagnostics = Vec::new();
        Bounds { diagnostics: &mut diagnostics }.cluster(self);
        diagnostics
    }
}

impl Bounds<'_> {
    /// Checks replicas and policies and gives them in the form the simulation takes.
    pub(super) fn cluster(&mut self, cluster: &ClusterSettings) -> ClusterConfig {
        let ClusterSettings { num_replicas, admission, routing, .. } = cluster;
        self.integer("cluster.num_replicas", *num_replicas, 1..=MAX_REPLICAS);
        let config = ClusterConfig {
            num_replicas: (*num_replicas).clamp(1, MAX_REPLICAS),
            admission: match admission.policy {
                AdmissionPolicy::AlwaysAdmit => AdmissionConfig::AlwaysAdmit,
                AdmissionPolicy::RejectAll => AdmissionConfig::RejectAll,
                AdmissionPolicy::TokenBucket => {
                    let (capacity, refill_rate) = (admission.token_bucket_capacity, admission.token_bucket_refill_rate);
                    self.positive("cluster.admission.token_bucket_capacity", capacity, 1e15);
                    self.positive("cluster.admission.token_bucket_refill_rate", refill_rate, 1e15);
                    AdmissionConfig::TokenBucket { capacity, refill_rate }
                }
            },
            admission_latency: SimTime(i64::from(admission.latency_us)),
            routing: match routing.policy {
                RoutingPolicy::RoundRobin => RoutingConfig::RoundRobin,
                RoutingPolicy::LeastLoaded => RoutingConfig::LeastLoaded,
                RoutingPolicy::AlwaysBusiest => RoutingConfig::AlwaysBusiest,
                RoutingPolicy::PrefixAffinity => RoutingConfig::PrefixAffinity,
                RoutingPolicy::Weighted => RoutingConfig::Weighted(self.scorers(routing)),
            },
            routing_latency: SimTime(i64::from(routing.latency_us)),
            snapshot_refresh_interval: SimTime(i64::from(cluster.snapshot_refresh_interval_us)),
            cache_signal_delay: SimTime(i64::from(cluster.cache_signal_delay_us)),
        };
        if routing.policy != RoutingPolicy::Weighted {
            self.not_weighted(routing);
        }
        config
    }

    fn scorers(&mut self, routing: &RoutingSettings) -> Vec<ScorerWeight> {
        let path = "cluster.routing.scorers";
        let weights = [
            ("cluster.routing.cache_weight", ScorerName::KvUtilization, routing.cache_weight, CACHE_WEIGHT),
            ("cluster.routing.load_weight", ScorerName::LoadBalance, routing.load_weight, LOAD_WEIGHT),
        ];
        let Some(scorers) = &routing.scorers else {
            for (path, _, weight, _) in weights {
                self.within(path, weight.unwrap_or_default(), 0.0..=1e9);
            }
            let given =
                weights.map(|(_, name, weight, standard)| ScorerWeight { name, weight: weight.unwrap_or(standard) });
            let used: Vec<ScorerWeight> = given.into_iter().filter(|scorer| scorer.weight > 0.0).collect();
            if used.is_empty() {
                self.reject(
                    "cluster.routing.cache_weight",
                    "0 and so is load_weight",
                    "give one of them a weight above 0",
                );
            }
            return used;
        };
        for (weight_path, _, weight, _) in weights {
            if weight.is_some() {
                let message = "scorers and weights are both given";
                self.diagnostics.push(
                    Diagnostic::error("invalid-value", weight_path, message)
                        .with_hint("leave out the weight; it is short for a scorer"),
                );
            }
        }
        if scorers.is_empty() {
            self.reject(path, "empty", "give at least one scorer, or leave it out for the two weights");
        }
        for (index, scorer) in scorers.iter().enumerate() {
            self.positive(&format!("{path}[{index}].weight"), scorer.weight, 1e9);
            if scorers.iter().take(index).any(|other| other.name == scorer.name) {
                let hint = "name each scorer once, with the sum of its weights";
                self.reject(&format!("{path}[{index}].name"), "given twice", hint);
            }
        }
        scorers.clone()
    }

    /// Warns of settings that only `weighted` looks at.
    fn not_weighted(&mut self, routing: &RoutingSettings) {
        for (path, is_given) in [
            ("cluster.routing.scorers", routing.scorers.is_some()),
            ("cluster.routing.cache_weight", routing.cache_weight.is_some()),
            ("cluster.routing.load_weight", routing.load_weight.is_some()),
        ] {
            if is_given {
                let message = "only the routing policy weighted looks at this";
                let hint = "choose weighted, or leave it out";
                self.diagnostics.push(Diagnostic::warning("setting-not-used", path, message).with_hint(hint));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::{String, ToString};
    use alloc::vec;

    fn check(change: impl FnOnce(&mut ClusterSettings)) -> (ClusterConfig, Vec<(String, String)>) {
        let mut settings = ClusterSettings::default();
        change(&mut settings);
        let mut diagnostics = Vec::new();
        let config = Bounds { diagnostics: &mut diagnostics }.cluster(&settings);
        (config, diagnostics.iter().map(|found| (found.code.to_string(), found.path.clone())).collect())
    }

    #[test]
    fn the_default_is_one_replica_that_takes_everything() {
        assert_eq!(check(|_| {}), (ClusterConfig::single(), vec![]));
    }

    #[test]
    fn one_weight_alone_combines_with_the_default_of_the_other_and_zero_leaves_a_scorer_out() {
        let weighted = |cache: Option<f64>, load: Option<f64>| {
            check(|cluster| {
                cluster.routing.policy = RoutingPolicy::Weighted;
                (cluster.routing.cache_weight, cluster.routing.load_weight) = (cache, load);
            })
        };
        let scorer = |name, weight| ScorerWeight { name, weight };
        for (cache, load, expected) in [
            (None, None, vec![scorer(ScorerName::KvUtilization, 0.6), scorer(ScorerName::LoadBalance, 0.4)]),
            (Some(3.0), None, vec![scorer(ScorerName::KvUtilization, 3.0), scorer(ScorerName::LoadBalance, 0.4)]),
            (Some(0.0), Some(2.0), vec![scorer(ScorerName::LoadBalance, 2.0)]),
        ] {
            let (config, found) = weighted(cache, load);
            assert_eq!((config.routing, found), (RoutingConfig::Weighted(expected), vec![]));
        }
        let paths = |found: Vec<(String, String)>| found.into_iter().map(|(_, path)| path).collect::<Vec<_>>();
        assert_eq!(paths(weighted(Some(0.0), Some(0.0)).1), ["cluster.routing.cache_weight"]);
        assert_eq!(paths(weighted(Some(-1.0), Some(f64::NAN)).1).len(), 3);
    }

    #[test]
    fn every_problem_is_named() {
        let (_, found) = check(|cluster| {
            cluster.num_replicas = 0;
            cluster.admission.policy = AdmissionPolicy::TokenBucket;
            cluster.admission.token_bucket_capacity = 0.0;
            cluster.admission.token_bucket_refill_rate = f64::INFINITY;
            cluster.routing.policy = RoutingPolicy::Weighted;
            cluster.routing.cache_weight = Some(0.5);
            let twice = ScorerWeight { name: ScorerName::QueueDepth, weight: 1.0 };
            cluster.routing.scorers = Some(vec![twice, ScorerWeight { weight: -1.0, ..twice }]);
        });
        let paths: Vec<&str> = found.iter().map(|(_, path)| path.as_str()).collect();
        assert_eq!(
            paths,
            [
                "cluster.num_replicas",
                "cluster.admission.token_bucket_capacity",
                "cluster.admission.token_bucket_refill_rate",
                "cluster.routing.cache_weight",
                "cluster.routing.scorers[1].weight",
                "cluster.routing.scorers[1].name",
            ]
        );
        let (_, found) = check(|cluster| cluster.routing.load_weight = Some(1.0));
        assert_eq!(found, [("setting-not-used".to_string(), "cluster.routing.load_weight".to_string())]);
    }
}
