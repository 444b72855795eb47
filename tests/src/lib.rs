//! What tests and developer commands share: the golden suite, recorded schedules, the workloads of the benchmark and the
//! tables of truths.

use plimsoll_core::scenario::Scenario;

pub mod bench;
pub mod deployments;
pub mod golden;
pub mod scheduler;
#[cfg(not(target_arch = "wasm32"))]
pub mod steps;
#[cfg(not(target_arch = "wasm32"))]
pub mod truth;

/// The scenario that was the default while the rules of the reference were the only ones: the first base of links.
///
/// # Panics
/// Never: there is a first base.
#[must_use]
pub fn base_1() -> Scenario {
    Scenario::base(1).expect("there is a first base")
}
