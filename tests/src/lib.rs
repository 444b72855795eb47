//! What tests and developer commands share: the golden suite and the workloads of the benchmark.

pub mod bench;
pub mod golden;
pub mod truth;
