//! Reference cases: a folder each, with a trace, the options it ran with, and what the reference reported.
//!
//! A case is exact if every count and every per-request microsecond is equal and every aggregate is equal to
//! 10⁻⁹ relative, in step mode and in fast mode.

use plimsoll_core::engine::{Mode, simulate};
use plimsoll_core::latency::LatencyModel;
use plimsoll_core::observation::{Fate, Observer, RequestRecord};
use plimsoll_core::scenario::{CpuTierConfig, EngineConfig, PriorityPolicy, SchedulerPolicy};
use plimsoll_core::time::SimTime;
use plimsoll_core::workload::{PrefixId, PrefixTree, Request, RequestSource};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    model: String,
    gpu: String,
    tp: u32,
    latency: Latency,
    kv_blocks: u32,
    block_size: Option<u32>,
    max_num_seqs: Option<u32>,
    max_num_batched_tokens: Option<u32>,
    long_prefill_token_threshold: Option<u32>,
    max_model_len: Option<u32>,
    horizon_us: Option<i64>,
    scheduler: Option<SchedulerPolicy>,
    priority: Option<PriorityPolicy>,
    kv_cpu_blocks: Option<u32>,
    kv_transfer_bandwidth: Option<f64>,
    kv_transfer_base_latency: Option<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
enum Latency {
    Blackbox { alpha: Vec<f64>, beta: Vec<f64> },
    Roofline,
    TrainedPhysics,
}
struct Source(std::vec::IntoIter<Request>, PrefixTree);
impl RequestSource for Source {
    fn next_request(&mut self) -> Option<Request> { self.0.next() }
    fn prefixes(&self) -> &PrefixTree { &self.1 }
}
#[derive(Default)]
struct Keep(Vec<RequestRecord>);
impl Observer for Keep { fn settled(&mut self, r: &RequestRecord) { self.0.push(*r); } }

pub fn run_case(dir: &Path, mode: Mode) -> Result<(), String> {
    let text = fs::read_to_string(dir.join("case.json")).map_err(|e| e.to_string())?;
    let case: Case = serde_json::from_str(&text).map_err(|e| e.to_string())?;
    let expected: serde_json::Value = serde_json::from_str(&fs::read_to_string(dir.join("expected.json")).unwrap()).unwrap();
    let mut tree = PrefixTree::new();
    let mut groups: BTreeMap<String, PrefixId> = BTreeMap::new();
    let mut requests = Vec::new();
    for line in fs::read_to_string(dir.join("trace.csv")).unwrap().lines().skip(1) {
        let f: Vec<&str> = line.split(',').collect();
        let own: u32 = f[4].parse().unwrap();
        let n: u32 = f[5].parse().unwrap();
        let plen: u32 = f[3].parse().unwrap();
        let prefix = if f[2].is_empty() || plen == 0 { PrefixId::NONE } else { *groups.entry(f[2].into()).or_insert_with(|| tree.extend(PrefixId::NONE, plen)) };
        requests.push(Request { id: f[0].parse().unwrap(), arrive: SimTime(f[1].parse().unwrap()), input_tokens: tree.tokens(prefix) + own, output_tokens: n, answer_limit: n, deadline: SimTime(f[8].parse().unwrap()), prefix, output_prefix: PrefixId::NONE, slo_class: 0, tenant: 0 });
    }
    requests.sort_by_key(|r| r.arrive);
    let latency = match &case.latency {
        Latency::Blackbox { alpha, beta } => LatencyModel::blackbox(alpha, beta),
        _ => return Err("no catalog yet".into()),
    }.map_err(|d| format!("{d:?}"))?;
    let config = EngineConfig {
        num_blocks: case.kv_blocks, block_size: case.block_size.unwrap_or(16), max_num_seqs: case.max_num_seqs.unwrap_or(256),
        max_num_batched_tokens: case.max_num_batched_tokens.unwrap_or(2048), long_prefill_token_threshold: case.long_prefill_token_threshold.unwrap_or(0),
        max_model_len: case.max_model_len.unwrap_or(0), enable_prefix_caching: true, scheduler: case.scheduler.unwrap_or_default(), priority: case.priority.unwrap_or_default(),
        cpu_tier: case.kv_cpu_blocks.map(|b| CpuTierConfig { num_blocks: b, tokens_per_us: case.kv_transfer_bandwidth.unwrap_or(100.0), base_latency: SimTime(case.kv_transfer_base_latency.unwrap_or(0)) }),
        horizon: SimTime(case.horizon_us.unwrap_or(10_000_000_000_000)),
    };
    let mut keep = Keep::default();
    let totals = simulate(config, latency, Source(requests.into_iter(), tree), mode, &mut keep);
    let m = &expected["metrics"];
    let chk = |name: &str, got: u64| -> Result<(), String> { let want = m[name].as_u64().unwrap_or(0); if want != got { Err(format!("{name}: expected {want}, got {got}")) } else { Ok(()) } };
    let mut by_id: BTreeMap<u64, &RequestRecord> = BTreeMap::new();
    for r in &keep.0 { by_id.insert(r.request.id.into(), r); }
    for want in expected["requests"].as_array().unwrap() {
        let id = want["request_id"].as_u64().unwrap();
        let got = by_id[&id];
        let (t, e) = (want["ttft_us"].as_i64().unwrap(), want["e2e_us"].as_i64().unwrap());
        if got.ttft.map(|t| t.0) != Some(t) || got.e2e.map(|t| t.0) != Some(e) { return Err(format!("request {id}: expected ttft {t} e2e {e}, got {got:?}")); }
    }
    let done = keep.0.iter().filter(|r| matches!(r.fate, Fate::Completed | Fate::LengthCapped)).count();
    chk("completed_requests", done as u64)?;
    chk("completed_requests", totals.completed)?;
    chk("still_queued", totals.still_queued)?;
    chk("still_running", totals.still_running)?;
    chk("preemption_count", totals.preemptions)?;
    chk("dropped_unservable", totals.dropped)?;
    chk("timed_out_requests", totals.timed_out)?;
    chk("length_capped_requests", totals.length_capped)?;
    chk("total_input_tokens", totals.input_tokens)?;
    chk("total_output_tokens", totals.output_tokens)?;
    let end = m["vllm_estimated_duration_s"].as_f64().unwrap();
    if totals.end.0 as f64 / 1e6 != end { return Err(format!("end {end} got {:?}", totals.end)); }
    let sum: i64 = totals.gaps.iter().map(|(v, c)| v * *c as i64).sum(); let n: u64 = totals.gaps.iter().map(|(_, c)| c).sum();
    let mean = if n == 0 { 0.0 } else { (sum as f64 / n as f64) / 1000.0 };
    let want = m["itl_mean_ms"].as_f64().unwrap();
    if (mean - want).abs() > 1e-9 * want { return Err(format!("itl mean {want} got {mean}")); }
    if let Some(p) = expected["kv"]["Cache Hit Rate"].as_f64() { let got = totals.cache_hits as f64 / (totals.cache_hits + totals.cache_misses + totals.tier_misses).max(1) as f64; if (got - p).abs() > 5e-5 { return Err(format!("hit rate {p} got {got}")); } }
    Ok(())
}
