//! A replica that decides as vLLM's V1 scheduler decides (scheduler specification).
//!
//! The specification numbers the calls of the scheduler, and so do both engines here.
//! Call `i` happens at `T(i)` and plans step `i`.
//! Synchronously a step runs from its call on, and its output is processed before the next call: `T(i+1) = T(i) + D(i)`.
//! Asynchronously it runs from the next call on, while that plans its successor, and its output is processed before the
//! call after: `T(i+1) = T(i) + D(i−1)`.
//! A call that plans nothing plans a step of length 0; with it both rules also say when an idle engine goes on.
//! With `lag` 0 or 1 they are one: step `i` runs from `T(i+lag)` to `T(i+1+lag)`, and `T(i+1) = T(i) + D(i−lag)`.

mod fast;
mod groups;
mod limits;
#[cfg(feature = "oracle")]
mod plain;

use crate::scenario::{EngineConfig, VllmRules};
pub(super) use fast::Fast;
pub(super) use limits::limited;
#[cfg(feature = "oracle")]
pub(super) use plain::Plain;

/// Blocks that a sequence of so many tokens needs at most at a time, if it is alone; the server's own is not among them.
pub(super) fn blocks_alone(config: &EngineConfig, rules: &VllmRules, tokens: u64) -> u64 {
    groups::Groups::of(config, rules).alone(tokens)
}
