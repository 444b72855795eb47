//! What a vLLM server makes of its memory: KV cache groups, pages, blocks, and the two figures it prints.
//!
//! Input are plain [`Cache`](crate::catalog::Cache)s, one per cache that a layer keeps, and the [`KvSettings`] of the server.
//! A [`KvLayout`] is what does not depend on the memory: which layers share a block table, with pages made equal.
//! [`KvLayout::plan`] cuts some memory into blocks and tells what the server would print, or why it would not start.
//!
//! All sizes are bytes on one rank, an accelerator of a replica.
//!
//! # Source
//! The specification of vLLM's KV cache, sections A to C, made from the cache planner of vLLM 0.32.0 and what differs
//! in 0.33.0. Paragraphs in the comments (A2, B3, …) are its.

mod band;
mod equations;
mod fit;
mod group;
mod layout;
mod memory;
mod of_anatomy;
mod page;
mod pipeline;
mod settings;
mod state;
mod told;
mod weights;

#[cfg(test)]
mod tests;

pub use band::{Band, MEASURED_GIB, MEASURED_SERVERS};
pub use fit::{CacheMemory, Fit, FitQuestion, USUAL_LENGTH};
pub use group::{GroupLayers, KvGroup};
pub use layout::{KvLayout, KvPlan, KvRefusal};
pub use memory::{MemoryBudget, MemoryQuestion, ModelMemory};
pub use of_anatomy::CacheHints;
pub use page::CacheKind;
pub use pipeline::Pipeline;
pub use settings::{KernelBlocks, KvDtype, KvSettings, PlanRules, max_in_flight_tokens};
pub use told::{Advice, Item, grouped};
pub use weights::SharedBy;
