//! Random scenarios, small enough to run thousands and nasty enough to meet every rule of the engine.

use plimsoll_core::catalog::{AcceleratorSpec, ModelSpec};
use plimsoll_core::cluster::Simulation;
use plimsoll_core::engine::Mode;
use plimsoll_core::latency::{Card, Inputs, LatencyModel};
use plimsoll_core::observation::{Observer, QueueSample, ReplicaTotals, RequestRecord};
use plimsoll_core::scenario::{
    Batching, ClusterConfig, CpuTierConfig, EngineConfig, KvGroups, PriorityPolicy, QueueOrder, Rules, SchedulerPolicy,
    VllmRules,
};
use plimsoll_core::time::SimTime;
use plimsoll_core::workload::{PrefixId, PrefixTree, Request, RequestSource};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};
use std::collections::BTreeMap;

/// A scenario below the level of catalogues: engine, step times, requests.
#[derive(Debug, Clone)]
pub struct Case {
    pub engine: EngineConfig,
    pub timing: Timing,
    pub requests: Vec<Request>,
    pub prefixes: PrefixTree,
}

/// Which latency model, by its inputs, so that a failing case prints them.
#[derive(Debug, Clone)]
pub enum Timing {
    Blackbox { alpha: [f64; 3], beta: [f64; 3] },
    Calibrated { alpha: [f64; 3], beta: [f64; 8] },
    Quadratic { alpha: [f64; 4], beta: [f64; 15] },
    MeasuredRoofline { model: usize, accelerator: usize, tp: u32 },
    Roofline { model: usize, accelerator: usize, tp: u32 },
    TrainedPhysics { model: usize, accelerator: usize, tp: u32, num_betas: usize },
}

/// Models with dense, expert, interleaved and quantised layers.
const MODELS: [&str; 6] = [
    "meta-llama/llama-3.1-8b-instruct",
    "qwen/qwen2.5-7b-instruct",
    "mistralai/mixtral-8x7b-instruct-v0.1",
    "qwen/qwen3-30b-a3b",
    "redhatai/llama-4-scout-17b-16e-instruct-fp8-dynamic",
    "ibm-granite/granite-3.1-8b-instruct",
];
const ACCELERATORS: [&str; 3] = ["H100", "A100-80", "L40S"];

pub fn model(index: usize) -> &'static ModelSpec {
    let id = MODELS[index % MODELS.len()];
    plimsoll_configs::catalog().model(id).unwrap_or_else(|| panic!("{id} is in the catalogue"))
}

pub fn accelerator(index: usize) -> &'static AcceleratorSpec {
    let id = ACCELERATORS[index % ACCELERATORS.len()];
    plimsoll_configs::catalog().accelerator(id).unwrap_or_else(|| panic!("{id} is in the catalogue"))
}

impl Timing {
    /// The model, on an accelerator `speed` times as fast.
    pub fn build(&self, speed: f64) -> LatencyModel {
        let physics = &plimsoll_configs::catalog().trained_physics;
        let faster = |index: usize| {
            let mut spec = accelerator(index).clone();
            spec.peak_tflops *= speed;
            spec.peak_tflops_fp8 *= speed;
            spec.memory_bandwidth_tb_per_s *= speed;
            spec
        };
        let built = match *self {
            Timing::Blackbox { alpha, beta } => LatencyModel::blackbox(&alpha, &beta.map(|value| value / speed)),
            Timing::Calibrated { alpha, mut beta } => {
                // The seventh is a kind, not a time.
                beta.iter_mut().take(8).enumerate().filter(|(at, _)| *at != 6).for_each(|(_, value)| *value /= speed);
                LatencyModel::calibrated(&alpha, &beta)
            }
            Timing::Quadratic { alpha, beta } => {
                LatencyModel::quadratic(&alpha.map(|value| value / speed), &beta.map(|value| value / speed))
            }
            Timing::MeasuredRoofline { model, accelerator, tp } => Ok(measured(model, accelerator, tp, speed)),
            Timing::Roofline { model: at, accelerator, tp } => {
                LatencyModel::roofline(model(at), &faster(accelerator), tp, &[])
            }
            Timing::TrainedPhysics { model: at, accelerator, tp, num_betas } => {
                // Two coefficients are 0 as trained; other values exercise every term.
                let mut beta = physics.beta;
                if num_betas < 10 {
                    beta[1] = 0.4;
                    beta[8] = 0.2;
                }
                let accelerator = faster(accelerator);
                LatencyModel::trained_physics(model(at), &accelerator, tp, &physics.alpha, &beta[..num_betas])
            }
        };
        built.expect("the listed models fit the listed accelerators")
    }
}

/// The measured roofline with every peak so many times as high.
fn measured(at: usize, on: usize, ranks: u32, speed: f64) -> LatencyModel {
    let catalog = plimsoll_configs::catalog();
    let spec = catalog.step_times.as_ref().expect("kernels were measured");
    let footprint = model(at).footprint.as_ref().expect("models of the catalogue have a footprint");
    let mut card = Card::of(accelerator(on), &spec.cards, &catalog.accelerators).expect("some card is nearest");
    card.flops = card.flops.map(|peak| peak * speed);
    card.bytes *= speed;
    let inputs = Inputs {
        compute: &footprint.compute,
        value_bytes: 2.0,
        state_bytes: 2.0,
        card,
        spec,
        ranks,
        expert_parallel: at.is_multiple_of(2),
        captured: 64,
        is_async: true,
    };
    LatencyModel::MeasuredRoofline(inputs.model())
}

/// Coefficients of each kind of joining.
fn calibrated_beta() -> impl Strategy<Value = [f64; 8]> {
    let per_step = (1.0..5_000.0f64, 0.0..200.0f64, 0.0..10_000.0f64);
    let per_token = (0.0..60.0f64, 0.0..1.0f64, 0.0..0.01f64);
    (per_step, per_token, 0..3u8)
        .prop_map(|((b0, b1, b2), (b3, b4, b5), joining)| [b0, b1, b2, b3, b4, b5, f64::from(joining), b0])
}

/// Polynomials of both signs, some of them negative for many steps; the published ones among them.
fn quadratic() -> impl Strategy<Value = Timing> {
    let published = &plimsoll_configs::catalog().quadratic;
    let alpha = (0.0..1_000.0f64, 0.0..200.0f64, prop_oneof![Just(0.0), 0.0..2_000.0f64], 0.0..8_000.0f64);
    let near = prop::collection::vec(-3.0..5.0f64, 15);
    prop_oneof![
        1 => Just(Timing::Quadratic { alpha: published.alpha, beta: published.beta }),
        2 => (alpha, near).prop_map(|((a0, a1, a2, a3), factors)| {
            let mut beta = published.beta;
            beta.iter_mut().zip(factors).for_each(|(value, factor)| *value *= factor);
            Timing::Quadratic { alpha: [a0, a1, a2, a3], beta }
        }),
    ]
}

pub fn timing() -> impl Strategy<Value = Timing> {
    let overhead = || prop_oneof![Just(0.0), 0.0..3_000.0f64];
    let tp = || prop_oneof![Just(1u32), Just(2), Just(4)];
    prop_oneof![
        2 => (overhead(), 0.0..3.0f64, overhead(), 1.0..20_000.0f64, 0.0..60.0f64, 0.0..60.0f64).prop_map(
            |(a0, a1, a2, b0, b1, b2)| Timing::Blackbox { alpha: [a0, a1, a2], beta: [b0, b1, b2] }
        ),
        1 => (0..MODELS.len(), 0..ACCELERATORS.len(), tp())
            .prop_map(|(model, accelerator, tp)| Timing::Roofline { model, accelerator, tp }),
        2 => (0..MODELS.len(), 0..ACCELERATORS.len(), tp())
            .prop_map(|(model, accelerator, tp)| Timing::MeasuredRoofline { model, accelerator, tp }),
        1 => (0..MODELS.len(), 0..ACCELERATORS.len(), tp(), 7..=10usize).prop_map(
            |(model, accelerator, tp, num_betas)| Timing::TrainedPhysics { model, accelerator, tp, num_betas }
        ),
        2 => (overhead(), 0.0..3.0f64, overhead(), calibrated_beta())
            .prop_map(|(a0, a1, a2, beta)| Timing::Calibrated { alpha: [a0, a1, a2], beta }),
        1 => quadratic(),
    ]
}

/// A request before its prefix is known.
#[derive(Debug, Clone)]
struct RawRequest {
    gap: i64,
    own_tokens: u32,
    output_tokens: u32,
    prefix: usize,
    patience: Option<i64>,
    has_limit: bool,
}

fn raw_request() -> impl Strategy<Value = RawRequest> {
    let gap = prop_oneof![3 => Just(0i64), 3 => 0..3_000i64, 3 => 0..200_000i64, 1 => 0..3_000_000i64];
    let own = prop_oneof![2 => Just(0u32), 6 => 1..120u32, 2 => 1..600u32];
    let output = prop_oneof![1 => 0..3u32, 4 => 1..60u32, 5 => 20..400u32];
    let patience = prop_oneof![30 => Just(None), 1 => (0..8_000_000i64).prop_map(Some)];
    (gap, own, output, 0..12usize, patience, prop::bool::weighted(0.8)).prop_map(
        |(gap, own_tokens, output_tokens, prefix, patience, has_limit)| RawRequest {
            gap,
            own_tokens,
            output_tokens,
            prefix,
            patience,
            has_limit,
        },
    )
}

/// A forest of up to a dozen prefixes; most requests share few of them.
fn prefixes() -> impl Strategy<Value = (PrefixTree, Vec<PrefixId>)> {
    let node = (0..4usize, prop_oneof![1..40u32, Just(16u32), Just(64), 1..200u32]);
    prop_oneof![1 => Just(Vec::new()), 2 => prop::collection::vec(node, 1..6)].prop_map(|nodes| {
        let mut tree = PrefixTree::new();
        let mut ids = vec![PrefixId::NONE];
        for (parent, tokens) in nodes {
            let parent = ids[parent % ids.len()];
            ids.push(tree.extend(parent, tokens));
        }
        (tree, ids)
    })
}

/// Host memory of a few entries, of some requests' worth, or of more than ever is stored.
fn tier() -> impl Strategy<Value = (u32, f64, i64)> {
    (prop_oneof![2 => 1..30u32, 3 => 10..300u32, 1 => Just(100_000u32)], 0.5..50.0f64, 0..40i64)
}

pub fn case() -> impl Strategy<Value = Case> {
    let limits = (
        prop_oneof![Just(1u32), Just(2), Just(4), Just(8), Just(16), Just(32)],
        prop_oneof![2 => 1..6u32, 2 => 4..40u32, 1 => Just(256u32)],
        prop_oneof![1 => 4..40u32, 2 => 30..600u32, 2 => Just(2048u32)],
        prop_oneof![3 => Just(0u32), 1 => 8..200u32],
        prop_oneof![4 => Just(None), 1 => (0.3..1.4f64).prop_map(Some)],
        prop_oneof![2 => 1.0..1.5f64, 2 => 1.0..4.0f64, 2 => Just(60.0f64)],
        prop_oneof![5 => Just(i64::MAX), 1 => 1_000..8_000_000i64],
    );
    let policies = (
        prop_oneof![
            5 => Just(SchedulerPolicy::Fcfs),
            1 => Just(SchedulerPolicy::PriorityFcfs),
            1 => Just(SchedulerPolicy::Sjf),
            1 => Just(SchedulerPolicy::ReversePriority)
        ],
        prop_oneof![Just(PriorityPolicy::Constant), Just(PriorityPolicy::SloBased), Just(PriorityPolicy::InvertedSlo)],
        prop::bool::weighted(0.9),
        prop_oneof![4 => Just(None), 1 => tier().prop_map(Some)],
        prop::bool::weighted(0.4),
    );
    let requests = prop::collection::vec(raw_request(), 1..40);
    (timing(), limits, policies, prefixes(), requests).prop_map(|(timing, limits, policies, (prefixes, ids), raw)| {
        let (scheduler, priority, enable_prefix_caching, tier, returns_output) = policies;
        let (block_size, max_num_seqs, max_num_batched_tokens, threshold, cap, room, horizon) = limits;
        let mut arrive = 0;
        let mut requests = Vec::with_capacity(raw.len());
        for (id, raw) in (0u32..).zip(&raw) {
            arrive += raw.gap;
            let prefix = ids[raw.prefix % ids.len()];
            // Only where a prompt has nothing of its own can its output be part of another one.
            let own_tokens = if returns_output && id % 2 == 0 { 0 } else { raw.own_tokens };
            let input_tokens = (prefixes.tokens(prefix) + own_tokens).max(1);
            requests.push(Request {
                id,
                arrive: SimTime(arrive),
                input_tokens,
                output_tokens: raw.output_tokens,
                answer_limit: if raw.has_limit { raw.output_tokens } else { 0 },
                front_end_us: 0,
                deadline: raw.patience.map_or(SimTime::ZERO, |patience| SimTime(arrive + patience)),
                prefix,
                output_prefix: if returns_output && own_tokens == 0 {
                    continuation(&prefixes, &ids, prefix, raw.output_tokens)
                } else {
                    PrefixId::NONE
                },
                slo_class: 0,
                tenant: 0,
                priority: 0,
            });
        }
        let longest = requests.iter().map(|request| request.input_tokens + request.output_tokens).max().unwrap_or(1);
        // From "the longest request barely fits" to "memory never matters".
        let num_blocks = (f64::from(longest.div_ceil(block_size)) * room).min(4e6) as u32;
        let max_model_len = cap.map_or(0, |share| ((f64::from(longest) * share) as u32).max(2));
        let max_model_len = max_model_len.min(num_blocks * block_size);
        let engine = EngineConfig {
            num_blocks,
            block_size,
            max_num_seqs,
            max_num_batched_tokens,
            long_prefill_token_threshold: threshold,
            max_model_len,
            enable_prefix_caching,
            scheduler,
            priority,
            cpu_tier: tier.map(|(num_blocks, tokens_per_us, base)| CpuTierConfig {
                num_blocks,
                tokens_per_us,
                base_latency: SimTime(base),
            }),
            horizon: SimTime(horizon),
            rules: Rules::Reference,
        };
        Case { engine, timing, requests, prefixes }
    })
}

/// How vLLM's scheduler may be set, in all the ways that the scheduler specification was checked in.
fn vllm_rules() -> impl Strategy<Value = VllmRules> {
    let batching = prop_oneof![3 => Just(Batching::Async), 2 => Just(Batching::Sync), 1 => Just(Batching::V0)];
    let order = prop_oneof![2 => Just(QueueOrder::Fcfs), 1 => Just(QueueOrder::Priority)];
    let watermark = prop_oneof![2 => Just(0.0), 1 => Just(0.1), 1 => Just(0.3)];
    let bools =
        (prop::bool::weighted(0.7), prop::bool::weighted(0.4), prop::bool::weighted(0.7), prop::bool::weighted(0.5));
    let most_active = prop_oneof![4 => Just(0u32), 1 => 1..40u32];
    let hit_ratio = prop_oneof![5 => Just(0.0), 2 => 0.0..1.0f64, 1 => Just(1.0)];
    (batching, order, watermark, bools, most_active, hit_ratio).prop_map(
        |(batching, order, watermark, bools, max_num_active_seqs, prefix_hit_ratio)| {
            let (reserve_full_isl, is_threshold_adaptive, is_lone_prompt_spared, does_pass_go_on) = bools;
            VllmRules {
                batching,
                order,
                reserve_full_isl,
                watermark,
                prefix_hit_ratio,
                is_threshold_adaptive,
                is_lone_prompt_spared,
                does_pass_go_on,
                max_num_active_seqs,
                groups: KvGroups::default(),
            }
        },
    )
}

/// The same scenarios under vLLM's rules, their requests with priorities of their own; four in ten of them crowded.
pub fn vllm_case() -> impl Strategy<Value = Case> {
    let priorities = prop::collection::vec(0..3i32, 40);
    (case(), vllm_rules(), priorities, prop::bool::weighted(0.4)).prop_map(
        |(mut case, rules, priorities, is_crowded)| {
            case.engine.rules = Rules::VllmV1(rules);
            case.engine.scheduler = SchedulerPolicy::Fcfs;
            case.engine.priority = PriorityPolicy::Constant;
            case.engine.cpu_tier = None;
            if is_crowded {
                crowd(&mut case);
            }
            // One block is the server's own.
            case.engine.num_blocks += 1;
            for (request, priority) in case.requests.iter_mut().zip(priorities) {
                request.priority = priority;
            }
            case
        },
    )
}

/// Short requests that arrive together and decode together in a memory that holds little more than the longest: one is
/// preempted with its last token on its way, or the only one that a call would have served.
fn crowd(case: &mut Case) {
    let first = case.requests.first().map_or(SimTime::ZERO, |request| request.arrive);
    let size = case.engine.block_size;
    for request in &mut case.requests {
        let patience = request.deadline.0 - request.arrive.0;
        request.arrive = SimTime(first.0 + (request.arrive.0 - first.0) / 16);
        if request.deadline > SimTime::ZERO {
            request.deadline = SimTime(request.arrive.0 + patience);
        }
        request.output_tokens = 1 + request.output_tokens % (3 * size.min(8));
        request.answer_limit = request.answer_limit.min(request.output_tokens);
        request.output_prefix = PrefixId::NONE;
    }
    let tokens = case.requests.iter().map(|request| request.input_tokens + request.output_tokens);
    let longest = tokens.max().unwrap_or(1).div_ceil(size);
    case.engine.num_blocks = case.engine.num_blocks.min(longest + 2);
    case.engine.max_num_seqs = case.engine.max_num_seqs.max(8);
    case.engine.max_model_len = case.engine.max_model_len.min(case.engine.num_blocks * size);
}

/// A prefix that goes on where `prompt` ends and is no longer than the output: the output that comes back.
fn continuation(tree: &PrefixTree, ids: &[PrefixId], prompt: PrefixId, output_tokens: u32) -> PrefixId {
    let goes_on = |id: &&PrefixId| {
        **id != prompt && tree.parent(**id) == prompt && tree.tokens(**id) - tree.tokens(prompt) <= output_tokens
    };
    ids.iter().find(goes_on).copied().unwrap_or(PrefixId::NONE)
}

/// A source over a case's requests.
pub struct Replay {
    requests: std::vec::IntoIter<Request>,
    prefixes: PrefixTree,
}

impl RequestSource for Replay {
    fn next_request(&mut self) -> Option<Request> {
        self.requests.next()
    }

    fn prefixes(&self) -> &PrefixTree {
        &self.prefixes
    }
}

/// Everything a run tells.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Told {
    pub records: Vec<RequestRecord>,
    pub samples: Vec<QueueSample>,
    pub totals: ReplicaTotals,
}

impl Observer for Told {
    fn settled(&mut self, record: &RequestRecord) {
        self.records.push(*record);
    }

    fn enqueued(&mut self, sample: &QueueSample) {
        self.samples.push(*sample);
    }
}

impl Case {
    pub fn source(&self) -> Replay {
        Replay { requests: self.requests.clone().into_iter(), prefixes: self.prefixes.clone() }
    }

    pub fn simulation(&self, mode: Mode) -> Simulation<Replay> {
        Simulation::new(&ClusterConfig::single(), self.engine, self.timing.build(1.0), self.source(), mode)
    }

    /// Runs to the end in slices of `slice` steps.
    pub fn run(&self, mode: Mode, slice: u64) -> Told {
        let mut told = Told::default();
        let mut simulation = self.simulation(mode);
        while !simulation.run_for(slice, &mut told) {}
        told.totals = simulation.finish(&mut told).total;
        told
    }
}

/// A runner with a fixed seed, so that a red run is red again; `PLIMSOLL_CASES` asks for more cases, never for fewer.
pub fn runner(least_cases: u32) -> TestRunner {
    let asked = std::env::var("PLIMSOLL_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    TestRunner::new(Config {
        cases: least_cases.max(asked),
        rng_seed: RngSeed::Fixed(20_260_218),
        failure_persistence: None,
        ..Config::default()
    })
}

/// That at least so many cases have met each turn of the rules that a property is about.
pub fn assert_met(met: &BTreeMap<&str, u32>, least: &[(&str, u32)]) {
    println!("{met:?}");
    for (what, least) in least {
        let count = met.get(what).copied().unwrap_or(0);
        assert!(count >= *least, "only {count} cases have met: {what}");
    }
}
