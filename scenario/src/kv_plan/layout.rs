//! From groups to blocks, and what a server says about them.

use super::group::groups;
use super::page::{CacheKind, specs};
use super::{GroupLayers, KvGroup, KvSettings};
use crate::catalog::Cache;
use crate::diagnostic::Diagnostic;
use alloc::format;
use alloc::vec::Vec;

/// How a model's caches are laid out, whatever the memory.
#[derive(Debug, Clone, PartialEq)]
pub struct KvLayout {
    /// Groups of layers, in the order in which their kinds first occur; none for a model without a cache.
    pub groups: Vec<KvGroup>,
    /// Bytes of a block: a block id stands for this much, whichever group has it.
    pub block_bytes: u64,
    settings: KvSettings,
}

/// The blocks of some memory, and what a server prints of them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KvPlan {
    /// Blocks; one of them is never given out.
    pub num_blocks: u64,
    /// Blocks that one sequence of the longest length may hold.
    pub blocks_per_request: u64,
    /// "KV cache size", tokens: a rate, not a number of slots, with anything but full attention.
    pub tokens: u64,
    /// "Maximum concurrency", sequences of the longest length.
    pub max_concurrency: f64,
}

/// Why a server does not start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KvRefusal {
    /// There is no memory for more than the block that is never given out.
    NoMemory,
    /// One sequence of the longest length does not fit.
    TooLong {
        /// Blocks it may hold.
        blocks_per_request: u64,
        /// Blocks there are to give out.
        usable_blocks: u64,
        /// "Estimated maximum model length", tokens; 0 if not even one token fits.
        longest: u32,
    },
}

impl KvLayout {
    /// Lays out the caches of a model's layers.
    ///
    /// # Errors
    /// Every setting out of range, sizes that the ranks do not divide, and caches and mixes of them that are not served.
    pub fn new(caches: &[Cache], settings: KvSettings) -> Result<Self, Vec<Diagnostic>> {
        Self::of_stage(caches, |_| true, settings)
    }

    /// Lays out what one pipeline stage keeps: groups are those of the whole model, and of each the stage has the
    /// caches whose places `is_here` names.
    ///
    /// # Errors
    /// Those of [`KvLayout::new`].
    pub fn of_stage(
        caches: &[Cache],
        is_here: impl Fn(usize) -> bool,
        settings: KvSettings,
    ) -> Result<Self, Vec<Diagnostic>> {
        let specs = specs(caches, &settings)?;
        let has_window = specs.iter().any(|spec| matches!(spec.kind, CacheKind::Sliding(_)));
        if has_window && settings.decode_context_parallel_size > 1 {
            return Err(alloc::vec![
                Diagnostic::error(
                    "window-not-split",
                    "decode_context_parallel_size",
                    "a sliding window cannot be split over ranks",
                )
                .with_hint("leave decode_context_parallel_size at 1"),
            ]);
        }
        let groups = groups(specs, settings.is_hybrid_manager_disabled)?;
        let groups: Vec<KvGroup> = groups.iter().map(|specs| KvGroup::of(specs, &is_here)).collect();
        let block_bytes = groups.iter().map(KvGroup::block_bytes).max().unwrap_or(0);
        Ok(Self { groups, block_bytes, settings })
    }

    /// Blocks that one sequence of `length` tokens may hold at the same time, all groups together (C2).
    #[must_use]
    pub fn blocks_per_request(&self, length: u32) -> u64 {
        let of_group = |group: &KvGroup| group.layers.iter().map(|layers| self.blocks_of(layers, length)).max();
        self.groups.iter().filter_map(of_group).fold(0, u64::saturating_add)
    }

    fn blocks_of(&self, layers: &GroupLayers, length: u32) -> u64 {
        let length = u64::from(length);
        let in_flight = self.settings.max_in_flight_tokens;
        let blocks = |tokens: u64| tokens.div_ceil(layers.block_size.max(1));
        match layers.kind {
            CacheKind::Full | CacheKind::Latent | CacheKind::Indexer => {
                blocks(length.div_ceil(self.settings.decode_context_parallel_size.max(1).into()))
            }
            // The window need not begin with a block.
            CacheKind::Sliding(window) => {
                let kept = u64::from(window.saturating_sub(1)).saturating_add(in_flight);
                blocks(kept.min(length)).saturating_add(1)
            }
            CacheKind::Chunked(chunk) => blocks(u64::from(chunk).saturating_add(in_flight).min(length)),
            CacheKind::State { exports_checkpoint } => match self.settings.enable_prefix_caching {
                true => 2 + u64::from(exports_checkpoint),
                false => 1,
            },
            CacheKind::Cross(encoder_tokens) => blocks(encoder_tokens.into()),
        }
    }

    /// Blocks that `available_bytes` make (B6).
    #[must_use]
    pub fn num_blocks(&self, available_bytes: u64) -> u64 {
        // A model without a cache has the block that is never given out, and no other.
        available_bytes.checked_div(self.block_bytes).unwrap_or(1)
    }

    /// "KV cache size" as releases up to 0.20 print it, tokens: the blocks of one group, each of the smallest size.
    #[must_use]
    pub fn slots(&self, num_blocks: u64) -> u64 {
        let sizes = self.groups.iter().flat_map(|group| group.layers.iter().map(|layers| layers.block_size));
        let groups = u64::try_from(self.groups.len()).unwrap_or(u64::MAX);
        let slots = num_blocks.checked_div(groups).unwrap_or(0).saturating_mul(sizes.min().unwrap_or(0));
        slots.saturating_mul(self.settings.decode_context_parallel_size.into())
    }

    /// The longest sequence that fits into `num_blocks`, at most `limit` tokens; 0 if not even one token does (C3).
    #[must_use]
    pub fn longest(&self, num_blocks: u64, limit: u32) -> u32 {
        let usable = num_blocks.saturating_sub(1);
        let fits = |length: u32| self.blocks_per_request(length) <= usable;
        let (mut longest, mut too_long) = (0, limit.saturating_add(1));
        while too_long - longest > 1 {
            let middle = longest + (too_long - longest) / 2;
            if fits(middle) {
                longest = middle;
            } else {
                too_long = middle;
            }
        }
        longest
    }

    /// What a server prints when `num_blocks` are there (C3, C4).
    ///
    /// # Errors
    /// What it says instead of starting.
    pub fn plan(&self, num_blocks: u64) -> Result<KvPlan, KvRefusal> {
        let length = self.settings.max_model_len;
        let blocks_per_request = self.blocks_per_request(length);
        if self.groups.is_empty() {
            return Ok(KvPlan { num_blocks, blocks_per_request: 0, tokens: 0, max_concurrency: f64::INFINITY });
        }
        let usable_blocks = num_blocks.saturating_sub(1);
        if usable_blocks == 0 {
            return Err(KvRefusal::NoMemory);
        }
        if blocks_per_request > usable_blocks {
            let longest = self.longest(num_blocks, length);
            return Err(KvRefusal::TooLong { blocks_per_request, usable_blocks, longest });
        }
        let max_concurrency = num_blocks as f64 / blocks_per_request as f64;
        let tokens = u64::try_from(crate::time::truncate(max_concurrency * f64::from(length))).unwrap_or(0);
        Ok(KvPlan { num_blocks, blocks_per_request, tokens, max_concurrency })
    }
}

impl KvRefusal {
    /// The refusal as a diagnostic at `max_model_len`.
    #[must_use]
    pub fn diagnostic(&self, max_model_len: u32) -> Diagnostic {
        let code = "kv-cache-too-small";
        match self {
            KvRefusal::NoMemory => {
                Diagnostic::error(code, "gpu_memory_utilization", "there is no memory for the KV cache")
                    .with_hint("raise gpu_memory_utilization or tensor_parallel_size, or choose narrower weights")
            }
            KvRefusal::TooLong { blocks_per_request, usable_blocks, longest } => {
                let message = format!(
                    "one sequence of {max_model_len} tokens may hold {blocks_per_request} blocks but there are {usable_blocks}"
                );
                let hint = match longest {
                    0 => "give the cache more memory".into(),
                    longest => format!("lower max_model_len to {longest}, or give the cache more memory"),
                };
                Diagnostic::error(code, "max_model_len", message).with_hint(hint)
            }
        }
    }
}
