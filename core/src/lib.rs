//! Plimsoll's simulator: how an LLM deployment behaves under load.
//!
//! The module list is the pipeline.
//! A [`scenario::Scenario`] is resolved against a [`catalog`] into a [`scenario::ResolvedScenario`].
//! Its [`workload`] gives requests, its [`latency`] model gives step times, and an [`engine`] per replica serves the one
//! with the other, telling [`observation`]s; the [`cluster`] decides which replica serves whom.
//! A [`report`] computes metrics from these; a [`study`] asks for many runs, and the [`curve`] is a study over
//! request rates.
//!
//! A module uses those above it in this list and none below.
//!
//! # Example
//! Two requests of equal length, served together: the prompts take one step, each further token another.
//!
//! ```
//! use plimsoll_core::cluster::simulate;
//! use plimsoll_core::engine::Mode;
//! use plimsoll_core::latency::LatencyModel;
//! use plimsoll_core::report::{Collector, Report, ReportSettings};
//! use plimsoll_core::scenario::{ClusterConfig, EngineConfig, Slo};
//! use plimsoll_core::time::SimTime;
//! use plimsoll_core::workload::{PrefixTree, Request, Trace, TraceSource};
//!
//! let request = |id| Request::plain(id, SimTime::ZERO, 100, 3);
//! let trace = Trace::new(vec![request(0), request(1)], PrefixTree::new(), Vec::new(), Vec::new());
//! let engine = EngineConfig::new(1000);
//! // A step takes 5 ms, plus 10 µs per prompt token and 100 µs per decoding request.
//! let latency = LatencyModel::blackbox(&[0.0; 3], &[5000.0, 10.0, 100.0]).expect("valid coefficients");
//! let mut collector = Collector::streaming(ReportSettings {
//!     slo: Slo::default(),
//!     slo_classes: Default::default(),
//!     priority: engine.priority,
//!     num_replicas: 1,
//!     num_blocks: engine.num_blocks,
//!     time_share_names: latency.time_share_names(),
//!     classes: Vec::new(),
//!     tenants: Vec::new(),
//! });
//! let cluster = ClusterConfig::single();
//! let totals = simulate(&cluster, engine, latency, TraceSource::new(trace.into()), Mode::Fast, &mut collector);
//! let report = Report::new(collector, &totals);
//! assert_eq!(report.ttft.mean, 7.0); // 5 ms + 200 × 10 µs
//! assert_eq!(report.itl.mean, 5.2); // 5 ms + 2 × 100 µs
//! assert_eq!(report.e2e.mean, 17.4); // 7.0 ms + 2 × 5.2 ms
//! ```
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

/// What moved simulated numbers, a sentence for each version of the model, the first one first.
pub const MODEL_CHANGES: &[&str] = &[
    "The first version.",
    "New scenarios follow the rules and the defaults of vLLM's own scheduler, users wait for what they see, a capacity is one that holds in long runs, and the KV blocks are those that vLLM makes of the memory; runs by the rules of the reference are as before.",
    "Where not every layer keeps every token (sliding windows, chunks, states), replicas under vLLM's rules have a table of blocks for each group of layers, give back what leaves a window, and find a prefix only where every group still has what it needs; gpt-oss has the 4.25 bits a weight that its checkpoints have, where its entries had 16 and 4.",
    "The memory of servers with expert parallelism counts whole experts on each rank, those that do not divide and what a batch takes in them.",
    "Under vLLM's rules the KV blocks of trained coefficients are used only where a card has room for them; those of several accelerators counted the memory of all, and are now what the server would allocate.",
];

/// Version of the model: grows with every change that moves a simulated number, from the first release on.
pub const MODEL_VERSION: u32 = MODEL_CHANGES.len() as u32;

// What is asked: models, accelerators, memory, step times, and the scenario that they make.
pub use plimsoll_scenario::{anatomy, catalog, diagnostic, kv_plan, latency, numeric, scenario, server, time};

// Foundation.
pub mod random;

// What arrives.
pub mod workload;

// What was measured.
pub mod measurement;

// What happens.
pub mod observation;

pub mod engine;

pub mod cluster;

// What it means.
pub mod report;

// What to do about it.
pub mod study;

pub mod search;

pub mod calibrate;

pub mod curve;

#[cfg(test)]
mod fixtures;
