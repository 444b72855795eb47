//! What a server leaves of an accelerator's memory for its cache.
//!
//! A server loads its weights, runs the largest batch it may meet, and gives what is left of its share of the memory
//! to the cache. So does this: [`MemoryQuestion::budget`] is that sum, item by item.

use crate::catalog::{AcceleratorSpec, Generation, product};
use crate::server::{Limits, ServerVersion};
use crate::time::truncate;

const GIB: f64 = 1_073_741_824.0;

/// What of a model its memory depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModelMemory {
    /// Bytes of the weights on one rank, those of a vision tower included.
    pub rank_weight_bytes: u64,
    /// Width of the residual stream.
    pub hidden_size: u32,
    /// Rows of the output head.
    pub vocab_size: u32,
    /// Values between the matrices of the widest dense feed-forward layer, all ranks together; 0 without.
    pub feed_forward_size: u32,
    /// Experts per token; 0 in a model without.
    pub active_experts: u32,
    /// Values between the matrices of one expert, all ranks together.
    pub expert_size: u32,
    /// Whether a rank has whole experts, and not its part of each.
    pub has_whole_experts: bool,
    /// Bytes of a value between the layers.
    pub value_bytes: u32,
    /// Whether attention is latent.
    pub has_latent_attention: bool,
    /// Whether it has a tower for images, which runs its largest input once at start.
    pub has_vision: bool,
}

/// A server whose cache is asked for.
#[derive(Debug, Clone, Copy)]
pub struct MemoryQuestion<'a> {
    /// Each rank's accelerator.
    pub accelerator: &'a AcceleratorSpec,
    /// Share of its memory that the server may use, 0–1.
    pub utilization: f64,
    /// Ranks that split each layer.
    pub tensor_parallel_size: u32,
    /// All ranks of the server, those of other pipeline stages and replicas included.
    pub world_size: u32,
    /// Its release.
    pub version: ServerVersion,
    /// The size of its batches.
    pub limits: Limits,
    /// The longest sequence, tokens; it sets the batch of releases before 0.8, which took a prompt in one go.
    pub max_model_len: u32,
    /// What it serves.
    pub model: ModelMemory,
}

/// Where the memory of one rank goes, bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MemoryBudget {
    /// What the driver reports.
    pub total_bytes: f64,
    /// The share that the server may use.
    pub requested_bytes: f64,
    /// Weights.
    pub weight_bytes: f64,
    /// The most that a batch takes beside them.
    pub activation_bytes: f64,
    /// Buffers that experts, latent attention and towers keep.
    pub buffer_bytes: [f64; 3],
    /// What libraries take beside the framework, communication included, and what those of Blackwell take more.
    pub library_bytes: [f64; 2],
}

impl MemoryBudget {
    /// What is left for the cache, bytes; 0 if there is nothing.
    #[must_use]
    pub fn available_bytes(&self) -> u64 {
        u64::try_from(truncate((self.requested_bytes - self.used_bytes()).max(0.0))).unwrap_or(0)
    }

    /// What is taken beside the cache, bytes.
    #[must_use]
    pub fn used_bytes(&self) -> f64 {
        self.weight_bytes + self.activation_bytes + self.workspace_bytes() + self.other_bytes()
    }

    /// Buffers of all kinds, bytes.
    #[must_use]
    pub fn workspace_bytes(&self) -> f64 {
        self.buffer_bytes.iter().sum()
    }

    /// What libraries take, bytes.
    #[must_use]
    pub fn other_bytes(&self) -> f64 {
        self.library_bytes.iter().sum()
    }
}

/// Bytes per logit that sampling with top-k and top-p takes, in releases that sort: 16- and 32-bit logits, sorted
/// values, their 8-byte places, and the second copies of both that the sort works with.
///
/// # Source
/// Fitted to servers that logged the size of their cache: 30 are counted in the code of releases 0.10 to 0.15, the rest
/// is found.
const SORTED_SAMPLING: f64 = 33.0;

/// Bytes per logit where top-k and top-p need no sort: 16- and 32-bit logits, probabilities, random numbers.
///
/// # Source
/// Counted in the code of releases 0.18 and 0.20; servers agree to 0.01 GiB.
const UNSORTED_SAMPLING: f64 = 14.0;

/// GiB that libraries take on one NVIDIA accelerator alone.
///
/// # Source
/// Logged by servers of release 0.11.
const ALONE_GIB: f64 = 0.15;

/// GiB that libraries take on each of several, buffers for communication included.
///
/// # Source
/// Logged by servers of release 0.11; those of 0.13 and 0.20 agree.
const TOGETHER_GIB: f64 = 0.6;

/// GiB more that Blackwell's libraries take.
///
/// # Source
/// Fitted to two servers of release 0.18.
const BLACKWELL_GIB: f64 = 1.9;

/// GiB that AMD's libraries take on one accelerator, and on each of several.
///
/// # Source
/// Fitted to three servers of release 0.11.
const AMD_GIB: (f64, f64) = (2.0, 4.0);

/// GiB that experts keep as buffers.
///
/// # Source
/// Fitted to nine servers of releases 0.10 to 0.20.
const EXPERTS_GIB: f64 = 0.8;

/// GiB that latent attention keeps to unpack earlier parts of long prompts.
///
/// # Source
/// Fitted to three servers of releases 0.18 and 0.20.
const LATENT_GIB: f64 = 2.5;

/// GiB that a vision tower takes at start, and what it takes where it has no flash attention, on AMD.
///
/// # Source
/// Fitted to two servers of release 0.13 with the same model, one of each maker. No law of the tower's sizes is fitted to
/// one figure: a table of attention over a whole image would be 32 GiB.
pub(super) const VISION_GIB: (f64, f64) = (0.3, 22.5);

/// GiB that releases before 0.8 take beside activations.
///
/// # Source
/// Fitted to one server of release 0.6.
const FIRST_ENGINE_GIB: f64 = 0.5;

impl MemoryQuestion<'_> {
    /// Where the memory of a rank goes.
    ///
    /// # Model
    /// The peak of a batch is the larger of two moments: the widest layer of the forward pass, and sampling with
    /// top-k and top-p for `max_num_seqs` sequences, which the servers run at start with the whole vocabulary.
    #[must_use]
    pub fn budget(&self) -> MemoryBudget {
        let model = &self.model;
        let generation = self.accelerator.generation;
        let total_bytes = self.accelerator.driver_gib() * GIB;
        let is_first_engine = !self.version.is_at_least(8);
        let is_alone = self.world_size <= 1;
        let other_gib = match (is_first_engine, generation.is_amd()) {
            (true, _) => FIRST_ENGINE_GIB,
            (false, true) if is_alone => AMD_GIB.0,
            (false, true) => AMD_GIB.1,
            (false, false) if is_alone => ALONE_GIB,
            (false, false) => TOGETHER_GIB,
        };
        let blackwell_gib = if generation == Generation::Blackwell { BLACKWELL_GIB } else { 0.0 };
        let experts_gib = if model.active_experts > 0 { EXPERTS_GIB } else { 0.0 };
        let latent_gib = if model.has_latent_attention { LATENT_GIB } else { 0.0 };
        let vision_gib = match (model.has_vision, generation.is_amd()) {
            (false, _) => 0.0,
            (true, false) => VISION_GIB.0,
            (true, true) => VISION_GIB.1,
        };
        MemoryBudget {
            total_bytes,
            requested_bytes: total_bytes * self.utilization,
            weight_bytes: model.rank_weight_bytes as f64,
            activation_bytes: self.forward_bytes().max(self.sampling_bytes()),
            buffer_bytes: [experts_gib, latent_gib, vision_gib].map(|gib| gib * GIB),
            library_bytes: [other_gib, blackwell_gib].map(|gib| gib * GIB),
        }
    }

    /// The widest layer of a forward pass with the largest batch: the residual stream, what goes in and comes out,
    /// and between the matrices gate, value and product.
    #[must_use]
    pub fn forward_bytes(&self) -> f64 {
        let model = &self.model;
        let ranks = f64::from(self.tensor_parallel_size.max(1));
        let dense = 4.0 * f64::from(model.hidden_size) + 3.0 * f64::from(model.feed_forward_size) / ranks;
        // Whole experts are as wide as they are, and a token may go to all of its own on one rank.
        let ranks = if model.has_whole_experts { 1.0 } else { ranks };
        let expert = 2.0 * f64::from(model.hidden_size) + 3.0 * f64::from(model.expert_size) / ranks;
        let values = dense + f64::from(model.active_experts) * expert;
        f64::from(model.value_bytes) * f64::from(self.batch_tokens()) * values
    }

    /// Tokens of the largest batch.
    #[must_use]
    pub fn batch_tokens(&self) -> u32 {
        match self.version.is_at_least(8) {
            true => self.limits.max_num_batched_tokens,
            false => self.max_model_len.max(self.limits.max_num_batched_tokens),
        }
    }

    /// Sampling for as many sequences as there may be.
    #[must_use]
    pub fn sampling_bytes(&self) -> f64 {
        let sequences = self.limits.max_num_seqs.min(self.limits.max_num_batched_tokens);
        product(&[sequences.into(), self.model.vocab_size.into()]) as f64 * sampling_bytes_per_logit(self.version)
    }
}

/// Bytes per logit that sampling takes.
pub(super) fn sampling_bytes_per_logit(version: ServerVersion) -> f64 {
    match () {
        () if !version.is_at_least(8) => 0.0,
        () if !version.is_at_least(16) => SORTED_SAMPLING,
        () => UNSORTED_SAMPLING,
    }
}
