//! Plimsoll's simulator: how an LLM deployment behaves under load.
//!
//! The module list is the pipeline.
//! A [`scenario::Scenario`] is resolved against a [`catalog`] into a [`scenario::ResolvedScenario`].
//! Its [`workload`] gives requests, its [`latency`] model gives step times, and the [`engine`] serves the one with
//! the other, telling [`observation`]s.
//! A [`report`] computes metrics from these; a [`study`] asks for many runs, and the [`curve`] is a study over
//! request rates.
//!
//! A module uses those above it in this list and none below.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

/// Version of the model: grows with every change that moves a simulated number.
pub const MODEL_VERSION: u32 = 1;

// Foundation.
pub mod time;

pub mod diagnostic;

pub mod numeric;

pub mod random;

// What is known.
pub mod catalog;

// How long things take.
pub mod latency;

// What is asked, as declared and complete.
pub mod scenario;

// What arrives.
pub mod workload;

// What happens.
pub mod observation;

pub mod engine;

// What it means.
pub mod report;

// What to do about it.
pub mod study;

pub mod curve;
