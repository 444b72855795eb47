//! What happens inside one replica: queue, batch, KV cache, steps (engine specification).
//!
//! An [`Engine`] takes requests and tells an [`Observer`] what became of them.
//! It does not know that other replicas exist, nor routing, prices, metrics or files; whoever drives it says how far it
//! may go.
//! Its rules are those of the reference simulator, or in `vllm` those of vLLM's own scheduler.
//! There are two for each: `plain` walks every step as the specification words it, and is the oracle; `fast` skips
//! what repeats. They give the same bytes, so the page does without the first (feature `oracle`).

mod due;
mod fast;
mod gaps;
#[cfg(feature = "oracle")]
mod identity;
mod limits;
mod marks;
mod order;
#[cfg(feature = "oracle")]
mod plain;
mod recency;
mod vllm;

use crate::latency::LatencyModel;
use crate::observation::{Observer, ReplicaTotals};
use crate::scenario::{EngineConfig, Rules};
use crate::time::SimTime;
use crate::workload::{Outcome, PrefixId, PrefixTree, Request};
use alloc::boxed::Box;
use alloc::vec::Vec;
use fast::Fast;
pub(crate) use order::compare_as_text;
#[cfg(feature = "oracle")]
use plain::Plain;

/// How steps are executed; the results are the same to the byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// One step at a time, exactly as the specification words it: the oracle.
    #[cfg(feature = "oracle")]
    Step,
    /// Runs of equal steps at once.
    #[default]
    Fast,
}

/// What others can see of a replica at a moment (cluster specification 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Load {
    /// Requests waiting.
    pub waiting: u32,
    /// Requests in the running batch.
    pub running: u32,
    /// KV blocks in use.
    pub used_blocks: u32,
}

/// The prefixes a replica had cached at some moment.
#[derive(Debug, Clone, Default)]
pub struct CachedPrefixes(Vec<u32>);

/// What the block tables of a replica say, recomputed from them; for tests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BlockTables {
    /// Of each request in the queue or in the batch, by id: the blocks it holds.
    pub held: Vec<(u32, u32)>,
    /// Of each request in the queue, by id: the leading blocks of its prompt that are cached.
    pub found: Vec<(u32, u32)>,
    /// Of each shared prefix in order: its leading full blocks that are cached.
    pub cached: Vec<u32>,
    /// Blocks that somebody holds, each counted once.
    pub used: u32,
    /// Blocks on the free list.
    pub free: u32,
}

/// KV blocks that a sequence of so many tokens needs when it is alone in a replica.
pub(crate) fn blocks_alone(config: &EngineConfig, tokens: u64) -> u64 {
    match &config.rules {
        Rules::Reference => tokens.div_ceil(u64::from(config.block_size.max(1))),
        Rules::VllmV1(rules) => vllm::blocks_alone(config, rules, tokens),
    }
}

/// One replica.
///
/// Times are microseconds; [`i64::MAX`] is never.
pub struct Engine(Variant);

enum Variant {
    #[cfg(feature = "oracle")]
    Plain(Box<Plain>),
    Fast(Box<Fast>),
    #[cfg(feature = "oracle")]
    VllmPlain(Box<vllm::Plain>),
    VllmFast(Box<vllm::Fast>),
}

/// Does the same with either engine.
macro_rules! with {
    ($variant:expr, $engine:ident => $call:expr) => {
        match $variant {
            #[cfg(feature = "oracle")]
            Variant::Plain($engine) => $call,
            Variant::Fast($engine) => $call,
            #[cfg(feature = "oracle")]
            Variant::VllmPlain($engine) => $call,
            Variant::VllmFast($engine) => $call,
        }
    };
}

impl Engine {
    /// An idle replica at time zero.
    pub fn new(config: EngineConfig, latency: LatencyModel, mode: Mode) -> Self {
        let config = match config.rules {
            Rules::Reference => config,
            Rules::VllmV1(rules) => vllm::limited(config, &rules),
        };
        Self(match (mode, config.rules) {
            #[cfg(feature = "oracle")]
            (Mode::Step, Rules::Reference) => Variant::Plain(Box::new(Plain::new(config, latency))),
            (Mode::Fast, Rules::Reference) => Variant::Fast(Box::new(Fast::new(config, latency))),
            #[cfg(feature = "oracle")]
            (Mode::Step, Rules::VllmV1(rules)) => {
                Variant::VllmPlain(Box::new(vllm::Plain::new(config, rules, latency)))
            }
            (Mode::Fast, Rules::VllmV1(rules)) => Variant::VllmFast(Box::new(vllm::Fast::new(config, rules, latency))),
        })
    }

    /// A request reaches the replica at `time`, which is not before that of any request submitted earlier, nor before
    /// the limit of any [`Engine::advance`]; nothing happens to it before the time that is given back.
    #[inline]
    pub fn submit(&mut self, request: Request, time: i64) -> i64 {
        with!(&mut self.0, engine => engine.submit(request, time))
    }

    /// Processes the events before `limit` until about `max_steps` steps were made or a closed-loop source has
    /// something to learn; whether it got there.
    ///
    /// A `limit` beyond the horizon stands for the horizon's last microsecond.
    #[inline]
    pub fn advance<O: Observer>(
        &mut self,
        limit: i64,
        max_steps: u64,
        prefixes: &PrefixTree,
        observer: &mut O,
    ) -> bool {
        with!(&mut self.0, engine => engine.advance(limit, max_steps, prefixes, observer))
    }

    /// Processes exactly one event, if there is one within the horizon; skipping engines may take more.
    #[cfg(feature = "oracle")]
    pub fn process_next<O: Observer>(&mut self, prefixes: &PrefixTree, observer: &mut O) {
        match &mut self.0 {
            Variant::Plain(engine) => engine.process_next(prefixes, observer),
            Variant::VllmPlain(engine) => engine.process_next(prefixes, observer),
            Variant::Fast(_) | Variant::VllmFast(_) => {
                let next = self.next_event();
                self.advance(next.saturating_add(1), 1, prefixes, observer);
            }
        }
    }

    /// No event happens before this time.
    #[inline]
    pub fn next_event(&mut self) -> i64 {
        with!(&mut self.0, engine => engine.next_event())
    }

    /// Before this time, unless a request is submitted, nobody joins, leaves or moves between queue and batch.
    #[inline]
    pub fn quiet_until(&mut self, prefixes: &PrefixTree) -> i64 {
        with!(&mut self.0, engine => engine.quiet_until(prefixes))
    }

    /// Queue, batch and KV blocks as they are after the last processed event.
    #[inline]
    pub fn load(&self) -> Load {
        with!(&self.0, engine => engine.load())
    }

    /// Steps made so far.
    #[inline]
    pub fn steps(&self) -> u64 {
        with!(&self.0, engine => engine.steps())
    }

    /// Leading blocks of a new request's prompt that are cached (KV specification 3).
    pub fn cached_blocks(&mut self, request: &Request, prefixes: &PrefixTree) -> u32 {
        with!(&mut self.0, engine => engine.cached_blocks(request, prefixes))
    }

    /// Copies what [`Engine::cached_blocks`] rests on, for [`Engine::cached_blocks_in`].
    pub fn copy_cached_prefixes(&self, copy: &mut CachedPrefixes) {
        with!(&self.0, engine => engine.copy_cached_prefixes(&mut copy.0))
    }

    /// [`Engine::cached_blocks`] as it was when the copy was made.
    pub fn cached_blocks_in(&mut self, copy: &CachedPrefixes, request: &Request, prefixes: &PrefixTree) -> u32 {
        with!(&mut self.0, engine => engine.cached_blocks_in(&copy.0, request, prefixes))
    }

    /// What a closed-loop source has not been told yet; kept only once there is a list.
    #[inline]
    pub fn outcomes(&mut self) -> &mut Option<Vec<Outcome>> {
        with!(&mut self.0, engine => engine.outcomes())
    }

    /// Counts no gaps between tokens, for those who do not read them; to be called before the first event.
    pub fn ignore_gaps(&mut self) {
        with!(&mut self.0, engine => engine.ignore_gaps());
    }

    /// Keeps what [`Engine::measure_from`] needs for a start at one of the first `num_starts` requests; to be called
    /// before the first event.
    pub fn measure(&mut self, num_starts: usize) {
        with!(&mut self.0, engine => engine.measure(num_starts))
    }

    /// Restricts the totals to a part of the run ([`crate::cluster::Simulation::finish_from`]).
    pub fn measure_from(&mut self, start: SimTime) {
        with!(&mut self.0, engine => engine.measure_from(start))
    }

    /// Settles the requests that are left and gives the totals.
    pub fn finish<O: Observer>(self, observer: &mut O) -> ReplicaTotals {
        with!(self.0, engine => engine.finish(observer))
    }

    /// The current simulated time.
    pub fn clock(&self) -> SimTime {
        with!(&self.0, engine => engine.clock())
    }

    /// Recomputes the invariants of the KV cache from its tables (KV specification 5); for tests.
    ///
    /// # Errors
    /// Names the broken invariant.
    pub fn audit(&mut self) -> Result<(), &'static str> {
        with!(&mut self.0, engine => engine.audit())
    }

    /// What the block tables say at the moment; for tests.
    pub fn block_tables(&mut self, prefixes: &PrefixTree) -> BlockTables {
        let mut tables = with!(&mut self.0, engine => engine.block_tables(prefixes));
        tables.held.sort_unstable();
        tables.found.sort_unstable();
        let alone = |prefix: PrefixId| Request {
            prefix,
            ..Request::plain(u32::MAX, SimTime::ZERO, prefixes.tokens(prefix), 0)
        };
        tables.cached =
            (0..prefixes.len() as u32).map(|node| self.cached_blocks(&alone(PrefixId(node)), prefixes)).collect();
        tables
    }
}
