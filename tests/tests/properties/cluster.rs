//! Laws of clusters, on random ones: nobody is lost or served twice, and skipping changes no byte.

use super::case::{Case, case, runner, vllm_case};
use plimsoll_core::cluster::{ClusterTotals, Simulation};
use plimsoll_core::engine::Mode;
use plimsoll_core::observation::{AdmissionDecision, Fate, Observer, QueueSample, RequestRecord, RoutingDecision};
use plimsoll_core::scenario::{AdmissionConfig, ClusterConfig, RoutingConfig, ScorerName, ScorerWeight};
use plimsoll_core::time::SimTime;
use proptest::prelude::*;
use std::cell::RefCell;
use std::collections::BTreeMap;

/// Everything a cluster tells.
#[derive(Debug, Default, PartialEq)]
pub struct Heard {
    pub records: Vec<RequestRecord>,
    samples: Vec<QueueSample>,
    by_replica: Vec<(u32, QueueSample)>,
    admissions: Vec<AdmissionDecision>,
    pub routings: Vec<RoutingDecision>,
    pub totals: ClusterTotals,
}

impl Observer for Heard {
    fn settled(&mut self, record: &RequestRecord) {
        self.records.push(*record);
    }

    fn enqueued(&mut self, sample: &QueueSample) {
        self.samples.push(*sample);
    }

    fn enqueued_at(&mut self, replica: u32, sample: &QueueSample) {
        self.by_replica.push((replica, *sample));
    }

    fn admission(&mut self, decision: &AdmissionDecision) {
        self.admissions.push(*decision);
    }

    fn routing(&mut self, decision: &RoutingDecision) {
        self.routings.push(decision.clone());
    }
}

fn scorers() -> impl Strategy<Value = Vec<ScorerWeight>> {
    let all = [
        ScorerName::QueueDepth,
        ScorerName::RunningRequests,
        ScorerName::VllmDp,
        ScorerName::ActiveRequests,
        ScorerName::KvUtilization,
        ScorerName::LoadBalance,
        ScorerName::LoadAware,
        ScorerName::PrecisePrefixCache,
        ScorerName::PrefixAffinity,
        ScorerName::NoHitLru,
    ];
    // Where each replica's own counts decide, the best is kept rather than looked for.
    let alone = [ScorerName::KvUtilization, ScorerName::LoadBalance, ScorerName::LoadAware];
    let subset = |of: &[ScorerName]| prop::sample::subsequence(of.to_vec(), 1..4).prop_shuffle();
    let chosen = prop_oneof![2 => subset(&all), 1 => subset(&alone)];
    (chosen, prop::collection::vec(0.1..3.0f64, 3)).prop_map(|(names, weights)| {
        names.into_iter().zip(weights).map(|(name, weight)| ScorerWeight { name, weight }).collect()
    })
}

pub fn cluster() -> impl Strategy<Value = ClusterConfig> {
    let routing = prop_oneof![
        1 => Just(RoutingConfig::RoundRobin),
        2 => Just(RoutingConfig::LeastLoaded),
        1 => Just(RoutingConfig::AlwaysBusiest),
        1 => Just(RoutingConfig::PrefixAffinity),
        4 => scorers().prop_map(RoutingConfig::Weighted),
    ];
    let admission = prop_oneof![
        4 => Just(AdmissionConfig::AlwaysAdmit),
        2 => (50.0..3_000.0f64, 10.0..100_000.0f64)
            .prop_map(|(capacity, refill_rate)| AdmissionConfig::TokenBucket { capacity, refill_rate }),
    ];
    let latency = || prop_oneof![2 => Just(0i64), 1 => 0..2_000i64, 1 => 0..500_000i64].prop_map(SimTime);
    let age = || prop_oneof![2 => Just(0i64), 1 => 1..100_000i64, 1 => 1..3_000_000i64].prop_map(SimTime);
    (1..6u32, admission, latency(), routing, latency(), age(), age()).prop_map(
        |(num_replicas, admission, admission_latency, routing, routing_latency, interval, delay)| ClusterConfig {
            num_replicas,
            admission,
            admission_latency,
            routing,
            routing_latency,
            snapshot_refresh_interval: interval,
            cache_signal_delay: delay,
        },
    )
}

pub fn run(case: &Case, cluster: &ClusterConfig, mode: Mode, slice: u64, traced: Option<u32>) -> Heard {
    let mut heard = Heard::default();
    let mut simulation = Simulation::new(cluster, case.engine, case.timing.build(1.0), case.source(), mode);
    if let Some(candidates) = traced {
        simulation = simulation.tracing(candidates);
    }
    while !simulation.run_for(slice, &mut heard) {
        assert_eq!(simulation.audit(), Ok(()));
    }
    heard.totals = simulation.finish(&mut heard);
    for totals in heard.totals.replicas.iter_mut().chain([&mut heard.totals.total]) {
        totals.jumps = Default::default();
    }
    // Only the order within a replica is promised; whoever is refused reaches none.
    heard.records.sort_by_key(|record| (record.fate == Fate::Rejected, record.replica));
    heard
}

#[test]
fn a_cluster_is_the_same_in_both_modes_and_loses_nobody() {
    check_cluster(case(), 800);
}

#[test]
fn a_cluster_under_vllm_s_rules_is_the_same_in_both_modes_and_loses_nobody() {
    check_cluster(vllm_case(), 1_200);
}

fn check_cluster(cases: impl Strategy<Value = Case>, least: u32) {
    let met = RefCell::new(BTreeMap::<&str, u32>::new());
    let slices = prop_oneof![Just(u64::MAX), 1..50u64];
    let traced = prop_oneof![Just(None), Just(Some(0u32)), Just(Some(3u32))];
    runner(least)
        .run(&(cases, cluster(), slices, traced), |(case, cluster, slice, traced)| {
            let step = run(&case, &cluster, Mode::Step, u64::MAX, traced);
            let fast = run(&case, &cluster, Mode::Fast, slice, traced);
            prop_assert_eq!(&step.records, &fast.records);
            prop_assert_eq!(&step.samples, &fast.samples);
            prop_assert_eq!(&step.by_replica, &fast.by_replica);
            prop_assert_eq!(&step.admissions, &fast.admissions);
            prop_assert_eq!(&step.routings, &fast.routings);
            prop_assert_eq!(&step.totals, &fast.totals);

            let offered: Vec<u32> = case
                .requests
                .iter()
                .filter(|request| request.arrive <= case.engine.horizon)
                .map(|request| request.id)
                .collect();
            let mut settled: Vec<u32> = step.records.iter().map(|record| record.request.id).collect();
            settled.sort_unstable();
            prop_assert_eq!(&settled, &offered, "everybody is settled once");
            prop_assert!(step.samples.is_sorted_by_key(|sample| sample.time), "the shared clock never goes back");
            let total = &step.totals.total;
            let count = |of: fn(&plimsoll_core::observation::ReplicaTotals) -> u64| {
                step.totals.replicas.iter().map(of).sum::<u64>()
            };
            prop_assert_eq!(step.totals.replicas.len(), cluster.num_replicas as usize);
            prop_assert_eq!(total.completed, count(|replica| replica.completed));
            prop_assert_eq!(total.steps, count(|replica| replica.steps));

            let rejected = step.records.iter().filter(|record| record.fate == Fate::Rejected).count();
            let mut seen = met.borrow_mut();
            let mut meet = |what: &'static str, is_met: bool| *seen.entry(what).or_default() += u32::from(is_met);
            meet("rejection", rejected > 0);
            meet("several replicas", step.records.iter().any(|record| record.replica > 1));
            meet("preemption", total.preemptions > 0);
            meet("pipeline cut", step.records.iter().any(|record| record.fate == Fate::InPipeline));
            if traced.is_none() {
                // Whoever asks for scores gets them by looking at all replicas, and the same choices.
                let scanned = run(&case, &cluster, Mode::Fast, slice, Some(0));
                prop_assert_eq!(&scanned.records, &fast.records);
                let is_alone = |scorer: &ScorerWeight| {
                    [ScorerName::KvUtilization, ScorerName::LoadBalance, ScorerName::LoadAware].contains(&scorer.name)
                };
                let is_kept = matches!(&cluster.routing, RoutingConfig::Weighted(all) if all.iter().all(is_alone));
                meet("kept order", is_kept && step.records.iter().any(|record| record.replica > 1));
            }
            if traced.is_some() {
                let refused = step.admissions.iter().filter(|decision| decision.refused.is_some()).count();
                prop_assert_eq!(refused, rejected);
                let admitted = step.admissions.len() - refused;
                prop_assert!(admitted + rejected <= offered.len() && step.routings.len() <= admitted);
                if case.engine.horizon == SimTime::MAX {
                    prop_assert_eq!(admitted + rejected, offered.len());
                    prop_assert_eq!(step.routings.len(), admitted);
                }
                let routed: BTreeMap<u32, u32> =
                    step.routings.iter().map(|decision| (decision.id, decision.replica)).collect();
                prop_assert_eq!(routed.len(), step.routings.len(), "nobody is routed twice");
                for record in &step.records {
                    if let Some(replica) = routed.get(&record.request.id) {
                        prop_assert_eq!(*replica, record.replica);
                    }
                }
                let regrets = || step.routings.iter().filter_map(|decision| decision.regret);
                meet("regret", regrets().any(|regret| regret > 0.0));
                let never_regrets = matches!(cluster.routing, RoutingConfig::LeastLoaded | RoutingConfig::Weighted(_));
                prop_assert!(!never_regrets || regrets().all(|regret| regret == 0.0));
            }
            Ok(())
        })
        .unwrap_or_else(|failure| panic!("{failure}"));
    let met = met.into_inner();
    println!("{met:?}");
    assert_eq!(met.len(), 6, "{met:?}");
    // Few horizons fall into the few microseconds between two decisions.
    let least = |what: &str| if what == "pipeline cut" { 5 } else { 20 };
    assert!(met.iter().all(|(what, count)| *count >= least(what)), "{met:?}");
}
