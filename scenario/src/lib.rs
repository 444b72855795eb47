//! What Plimsoll is asked, complete and checked.
//!
//! A [`scenario::Scenario`] is resolved against a [`catalog`] into a [`scenario::ResolvedScenario`]: the [`server`]'s
//! release gives defaults, the [`anatomy`] of a model and the memory of its accelerators give what a server keeps of
//! sequences ([`kv_plan`]), and a [`latency`] model says how long steps take.
//! What then happens is simulated in `plimsoll-core`, which has the modules of this crate as its own.
//!
//! It is a crate of its own because it runs once for each edit: the page compiles it as small as it gets, and the
//! simulator fast.
//!
//! A module uses those above it in this list and none below.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

// Foundation.
pub mod time;

pub mod diagnostic;

pub mod numeric;

// What is known.
pub mod catalog;

pub mod server;

// What models consist of, and what a server keeps of sequences.
pub mod anatomy;

pub mod kv_plan;

// How long things take.
pub mod latency;

// What is asked, as declared and complete.
pub mod scenario;
