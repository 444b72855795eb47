//! What happens inside one replica: queue, batch, KV cache, steps (engine specification).
//!
//! The engine takes requests and tells an [`Observer`] what became of them.
//! It does not know that other replicas exist, nor routing, prices, metrics or files.
//! There are two of it: `plain` walks every step as the specification words it, and is the oracle; `fast` skips
//! what repeats. They give the same bytes.

mod limits;
mod order;
mod plain;

use crate::latency::LatencyModel;
use crate::observation::{Observer, ReplicaTotals};
use crate::scenario::EngineConfig;
use crate::time::SimTime;
use crate::workload::RequestSource;
use plain::Plain;

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
    engine: Plain,
}

impl<S: RequestSource> Simulation<S> {
    /// A simulation at time zero.
    pub fn new(config: EngineConfig, latency: LatencyModel, source: S, _mode: Mode) -> Self {
        Self { source, engine: Plain::new(config, latency) }
    }

    /// Runs until about `max_steps` engine steps were made or nothing is left to do; whether it is finished.
    pub fn run_for<O: Observer>(&mut self, max_steps: u64, observer: &mut O) -> bool {
        self.engine.run_for(&mut self.source, max_steps, observer)
    }

    /// Settles the requests that are left and gives the totals.
    pub fn finish<O: Observer>(self, observer: &mut O) -> ReplicaTotals {
        self.engine.finish(observer)
    }

    /// The current simulated time.
    pub fn clock(&self) -> SimTime {
        self.engine.clock()
    }

    /// Recomputes the invariants of the KV cache from its tables (KV specification 5); for tests.
    ///
    /// # Errors
    /// Names the broken invariant.
    pub fn audit(&self) -> Result<(), &'static str> {
        self.engine.audit()
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
