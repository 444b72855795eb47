//! What happens inside one replica: queue, batch, KV cache, steps (engine specification).
//!
//! The engine takes requests and tells an [`Observer`] what became of them.
//! It does not know that other replicas exist, nor routing, prices, metrics or files.
//! There are two of it: `plain` walks every step as the specification words it, and is the oracle; `fast` skips
//! what repeats. They give the same bytes.

mod fast;
mod limits;
mod order;
mod plain;

use crate::latency::LatencyModel;
use crate::observation::{Observer, ReplicaTotals};
use crate::scenario::EngineConfig;
use crate::time::SimTime;
use crate::workload::RequestSource;
use alloc::boxed::Box;
use fast::Fast;
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
    engine: Engine,
}

enum Engine {
    Plain(Box<Plain>),
    Fast(Box<Fast>),
}

impl<S: RequestSource> Simulation<S> {
    /// A simulation at time zero.
    ///
    /// With a CPU tier, or where outputs come back as parts of later prompts, every block has to be followed step
    /// by step, so both modes do.
    pub fn new(config: EngineConfig, latency: LatencyModel, source: S, mode: Mode) -> Self {
        let has_tier = config.cpu_tier.is_some() && config.enable_prefix_caching;
        let engine = if mode == Mode::Step || has_tier || source.shares_output() {
            Engine::Plain(Box::new(Plain::new(config, latency)))
        } else {
            Engine::Fast(Box::new(Fast::new(config, latency)))
        };
        Self { source, engine }
    }

    /// Runs until about `max_steps` engine steps were made or nothing is left to do; whether it is finished.
    pub fn run_for<O: Observer>(&mut self, max_steps: u64, observer: &mut O) -> bool {
        match &mut self.engine {
            Engine::Plain(engine) => engine.run_for(&mut self.source, max_steps, observer),
            Engine::Fast(engine) => engine.run_for(&mut self.source, max_steps, observer),
        }
    }

    /// Settles the requests that are left and gives the totals.
    pub fn finish<O: Observer>(self, observer: &mut O) -> ReplicaTotals {
        match self.engine {
            Engine::Plain(engine) => engine.finish(observer),
            Engine::Fast(engine) => engine.finish(observer),
        }
    }

    /// The current simulated time.
    pub fn clock(&self) -> SimTime {
        match &self.engine {
            Engine::Plain(engine) => engine.clock(),
            Engine::Fast(engine) => engine.clock(),
        }
    }

    /// Recomputes the invariants of the KV cache from its tables (KV specification 5); for tests.
    ///
    /// # Errors
    /// Names the broken invariant.
    pub fn audit(&mut self) -> Result<(), &'static str> {
        match &mut self.engine {
            Engine::Plain(engine) => engine.audit(),
            Engine::Fast(engine) => engine.audit(),
        }
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
