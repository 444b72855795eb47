//! What tests and developer commands share: the golden suite, recorded schedules, the workloads of the benchmark and the
//! tables of truths.

pub mod bench;
pub mod golden;
pub mod scheduler;
#[cfg(not(target_arch = "wasm32"))]
pub mod truth;
