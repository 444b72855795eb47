//! What unit tests build on, in one place.

use crate::latency::LatencyModel;
use crate::scenario::{Basis, ClusterConfig, CurveSettings, EngineConfig, ResolvedScenario, Slo, WorkloadSettings};
use crate::time::SimTime;
use crate::workload::Request;
use alloc::string::String;
use alloc::vec::Vec;

/// An engine with room for everything.
pub(crate) fn engine() -> EngineConfig {
    EngineConfig::new(1000)
}

/// One replica with the black-box model of these coefficients.
pub(crate) fn scenario(alpha: [f64; 3], beta: [f64; 3], workload: WorkloadSettings) -> ResolvedScenario {
    ResolvedScenario {
        engine: engine(),
        cluster: ClusterConfig::single(),
        latency: LatencyModel::blackbox(&alpha, &beta).expect("plain coefficients"),
        client: crate::latency::ClientEffects::default(),
        workload,
        slo: Slo::default(),
        slo_classes: Default::default(),
        curve: CurveSettings::default(),
        seed: 1,
        basis: Basis::Trained,
        calibrated_on: None,
        ledger: None,
        model: String::new(),
        accelerator: String::new(),
        tensor_parallel_size: 1,
        filled_in: Vec::new(),
        server_version: None,
        defaults: Vec::new(),
    }
}

/// A small request without class, tenant and prefix; no deadline if that is 0.
pub(crate) fn request(id: u32, arrive: i64, deadline: i64) -> Request {
    Request { deadline: SimTime(deadline), ..Request::plain(id, SimTime(arrive), 5, 3) }
}
