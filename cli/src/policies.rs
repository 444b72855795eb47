//! Flags of replicas and policies, and the policy file under them.

use crate::arguments::ScenarioArguments;
use crate::origin::Origin;
use crate::output::{Failure, tell};
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use plimsoll_core::catalog::meant;
use plimsoll_core::scenario::{AdmissionPolicy, RoutingPolicy, Scenario, ScorerWeight};
use plimsoll_formats::{Words, policies_from_yaml};
use serde::de::DeserializeOwned;
use serde::de::value::{Error, StrDeserializer};
use std::path::PathBuf;

const ADMISSION: [&str; 3] = ["always-admit", "reject-all", "token-bucket"];
const ROUTING: [&str; 5] = ["always-busiest", "least-loaded", "prefix-affinity", "round-robin", "weighted"];

const SCORERS: [&str; 10] = [
    "active-requests",
    "kv-utilization",
    "load-aware",
    "load-balance",
    "no-hit-lru",
    "precise-prefix-cache",
    "prefix-affinity",
    "queue-depth",
    "running-requests",
    "vllm-dp",
];

/// How many replicas there are, and how requests reach them.
#[derive(Debug, Args)]
#[command(next_help_heading = "Cluster")]
pub struct ClusterArguments {
    /// Replicas; the request rate is offered to all together [default: 1].
    #[arg(long, visible_alias = "num-replicas", value_name = "N")]
    pub num_instances: Option<u32>,
    /// always-admit, token-bucket or reject-all [default: always-admit].
    #[arg(long, value_name = "NAME", value_parser = names(&ADMISSION).try_map(|name| by_name::<AdmissionPolicy>(&name)))]
    pub admission_policy: Option<AdmissionPolicy>,
    /// Microseconds an admission decision takes [default: 0].
    #[arg(long, value_name = "MICROSECONDS")]
    pub admission_latency: Option<u32>,
    /// Most tokens in the bucket [default: 10000].
    #[arg(long, value_name = "TOKENS")]
    pub token_bucket_capacity: Option<f64>,
    /// Tokens per second into the bucket [default: 1000].
    #[arg(long, value_name = "TOKENS")]
    pub token_bucket_refill_rate: Option<f64>,
    /// round-robin, least-loaded, weighted, prefix-affinity or always-busiest [default: round-robin].
    #[arg(long, value_name = "NAME", value_parser = names(&ROUTING).try_map(|name| by_name::<RoutingPolicy>(&name)))]
    pub routing_policy: Option<RoutingPolicy>,
    /// Microseconds a routing decision takes [default: 0].
    #[arg(long, value_name = "MICROSECONDS")]
    pub routing_latency: Option<u32>,
    /// Scorers of weighted routing, or `default` for precise-prefix-cache:2,queue-depth:1,kv-utilization:1.
    #[arg(long, value_name = "NAME:WEIGHT,…", value_parser = scorers)]
    pub routing_scorers: Option<Scorers>,
    /// Weight of free KV memory in weighted routing [default: 0.6].
    #[arg(long, value_name = "WEIGHT")]
    pub routing_cache_weight: Option<f64>,
    /// Weight of low load in weighted routing [default: 0.4].
    #[arg(long, value_name = "WEIGHT")]
    pub routing_load_weight: Option<f64>,
    /// Age in microseconds at which what policies see of loads is renewed; 0 = always fresh [default: 0].
    #[arg(long, value_name = "MICROSECONDS")]
    pub snapshot_refresh_interval: Option<u32>,
    /// Age in microseconds at which what scorers see of prefix caches is renewed; 0 = always fresh [default: 0].
    #[arg(long, value_name = "MICROSECONDS")]
    pub cache_signal_delay: Option<u32>,
    /// Policy file (YAML); flags win over it.
    #[arg(long, value_name = "FILE")]
    pub policy_config: Option<PathBuf>,
}

/// A list of scorers; none = the two weights.
#[derive(Debug, Clone)]
pub struct Scorers(Option<Vec<ScorerWeight>>);

/// Puts the policy file and then the flags into a scenario.
pub fn apply(arguments: &ScenarioArguments, scenario: &mut Scenario, origins: &mut Vec<Origin>) -> Result<(), Failure> {
    let flags = &arguments.cluster;
    if let Some(path) = flags.policy_config.as_deref() {
        let text = crate::input::read_text(path)?;
        let file = path.display().to_string();
        match policies_from_yaml(&text, &file) {
            Ok(bundle) => {
                bundle.apply(scenario);
                origins.push(Origin::new(&file, text, Words::Policies, scenario));
            }
            Err(problems) => {
                tell(&problems, Some(&text), arguments.log);
                return Err(Failure::Invalid);
            }
        }
    }
    fn set<T: Copy>(field: &mut T, flag: Option<T>) {
        if let Some(value) = flag {
            *field = value;
        }
    }
    let cluster = &mut scenario.cluster;
    set(&mut cluster.num_replicas, flags.num_instances);
    set(&mut cluster.admission.policy, flags.admission_policy);
    set(&mut cluster.admission.latency_us, flags.admission_latency);
    set(&mut cluster.admission.token_bucket_capacity, flags.token_bucket_capacity);
    set(&mut cluster.admission.token_bucket_refill_rate, flags.token_bucket_refill_rate);
    set(&mut cluster.routing.policy, flags.routing_policy);
    set(&mut cluster.routing.latency_us, flags.routing_latency);
    if let Some(Scorers(scorers)) = &flags.routing_scorers {
        cluster.routing.scorers.clone_from(scorers);
    }
    cluster.routing.cache_weight = flags.routing_cache_weight.or(cluster.routing.cache_weight);
    cluster.routing.load_weight = flags.routing_load_weight.or(cluster.routing.load_weight);
    set(&mut cluster.snapshot_refresh_interval_us, flags.snapshot_refresh_interval);
    set(&mut cluster.cache_signal_delay_us, flags.cache_signal_delay);
    Ok(())
}

fn names(names: &'static [&'static str]) -> PossibleValuesParser {
    PossibleValuesParser::new(names)
}

/// A value by the name it has in files.
fn by_name<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    T::deserialize(StrDeserializer::<Error>::new(text)).map_err(|error| error.to_string())
}

/// `name:weight,…`, `default`, or nothing.
fn scorers(text: &str) -> Result<Scorers, String> {
    match text.trim() {
        "" => return Ok(Scorers(None)),
        "default" => return Ok(Scorers(Some(ScorerWeight::DEFAULT.to_vec()))),
        _ => {}
    }
    let scorer = |pair: &str| {
        let (name, weight) = pair.split_once(':').ok_or_else(|| format!("\"{pair}\" is not a name and a weight"))?;
        let (name, weight) = (name.trim(), weight.trim());
        let known = by_name(name).map_err(|_| format!("scorer {name} is not known; {}", meant(name, SCORERS)))?;
        let weight = weight.parse().map_err(|_| format!("the weight \"{weight}\" is not a number"))?;
        Ok(ScorerWeight { name: known, weight })
    };
    let (mut list, mut problems): (Vec<ScorerWeight>, Vec<String>) = (Vec::new(), Vec::new());
    for pair in text.split(',') {
        match scorer(pair.trim()) {
            Ok(scorer) => list.push(scorer),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() { Ok(Scorers(Some(list))) } else { Err(problems.join("; ")) }
}
