//! What happens inside one replica: queue, batch, KV cache, steps (engine specification).
//!
//! The engine takes requests and tells an [`Observer`] what became of them.
//! It does not know that other replicas exist, nor routing, prices, metrics or files.

use crate::latency::LatencyModel;
use crate::observation::{Observer, ReplicaTotals};
use crate::scenario::EngineConfig;
use crate::workload::RequestSource;

/// How steps are executed; the results are the same to the byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// One step at a time, exactly as the specification words it: the oracle.
    Step,
    /// Runs of equal steps at once.
    #[default]
    Fast,
}

/// One replica serving one source of requests, resumable.
pub struct Simulation<S> {
    source: S,
}

impl<S: RequestSource> Simulation<S> {
    /// A simulation at time zero.
    pub fn new(_config: EngineConfig, _latency: LatencyModel, source: S, _mode: Mode) -> Self {
        Self { source }
    }

    /// Runs until about `max_steps` engine steps were made or nothing is left to do; whether it is finished.
    pub fn run_for<O: Observer>(&mut self, _max_steps: u64, _observer: &mut O) -> bool {
        self.source.next_request().is_none()
    }

    /// Settles the requests that are left and gives the totals.
    pub fn finish<O: Observer>(self, _observer: &mut O) -> ReplicaTotals {
        ReplicaTotals::default()
    }
}

/// Runs a whole simulation at once.
pub fn simulate<S: RequestSource, O: Observer>(
    config: EngineConfig,
    latency: LatencyModel,
    source: S,
    mode: Mode,
    observer: &mut O,
) -> ReplicaTotals {
    let mut simulation = Simulation::new(config, latency, source, mode);
    while !simulation.run_for(u64::MAX, observer) {}
    simulation.finish(observer)
}
