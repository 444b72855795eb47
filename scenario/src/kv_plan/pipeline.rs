//! A model cut into pipeline stages.

use super::CacheHints;
use super::of_anatomy::caches_of_server;
use crate::anatomy::Anatomy;
use crate::catalog::{Cache, Footprint, Part};
use crate::diagnostic::Diagnostic;
use alloc::format;
use alloc::vec;
use alloc::vec::Vec;

/// A model cut into pipeline stages: what each rank of a stage loads, and which caches are its.
#[derive(Debug, Clone, PartialEq)]
pub struct Pipeline {
    /// What each stage takes of memory, first to last.
    pub stages: Vec<Footprint>,
    /// Every cache of the model in the order of the layers.
    pub caches: Vec<Cache>,
    /// Places in `caches` at which the stages begin.
    starts: Vec<usize>,
}

impl Pipeline {
    /// Cuts a model into stages as vLLM does: as many layers each, and of those that are left over the last but one
    /// stage gets the first, so that the one with the head gets none.
    ///
    /// The first stage has the embedding and the tower, the last one the head, and where that is the embedding's
    /// matrix both have it.
    ///
    /// # Errors
    /// More stages than layers, or none.
    ///
    /// # Source
    /// `get_pp_indices` of vLLM 0.32.
    pub fn of(anatomy: &Anatomy, hints: CacheHints, vision_bytes: u64, stages: u32) -> Result<Self, Vec<Diagnostic>> {
        let num_stages = usize::try_from(stages).unwrap_or(usize::MAX);
        let num_layers = anatomy.layers.len();
        if num_stages == 0 || num_stages > num_layers {
            let message = format!("pipeline_parallel_size is {stages}, and the model has {num_layers} layers");
            let problem = Diagnostic::error("invalid-value", "pipeline_parallel_size", message);
            return Err(vec![problem.with_hint("give a number from 1 to that of the layers")]);
        }
        let each = num_layers / num_stages;
        let left_over = num_layers % num_stages;
        let (mut own, mut caches, mut starts) = (Vec::new(), Vec::new(), Vec::new());
        let mut layers = anatomy.layers.as_slice();
        for stage in 0..num_stages {
            let (is_first, is_last) = (stage == 0, stage + 1 == num_stages);
            // The last stage is the last to get one of the layers that are left over.
            let gets_one = num_stages - stage >= 2 && num_stages - stage < left_over + 2;
            let (here, rest) = layers.split_at_checked(each + usize::from(gets_one)).unwrap_or((layers, &[]));
            layers = rest;
            let is_tied_copy = |part| part == Part::Embedding && is_last && anatomy.is_head_tied;
            let outside = anatomy.outside.iter().filter(|tensor| match tensor.part {
                Part::Embedding => is_first || is_tied_copy(tensor.part),
                _ => is_last,
            });
            let part = Anatomy {
                model_type: anatomy.model_type.clone(),
                outside: outside.copied().collect(),
                layers: here.to_vec(),
                hidden_size: anatomy.hidden_size,
                vocab_size: anatomy.vocab_size,
                max_position_embeddings: anatomy.max_position_embeddings,
                dtype: anatomy.dtype,
                is_head_tied: anatomy.is_head_tied,
            };
            let mut footprint = Footprint::of(&part, hints, if is_first { vision_bytes } else { 0 });
            if !is_last {
                // Only the last stage samples.
                footprint.vocab_size = 0;
            }
            starts.push(caches.len());
            caches.extend(caches_of_server(&part, hints));
            own.push(footprint);
        }
        Ok(Self { stages: own, caches, starts })
    }

    /// The stage that a cache belongs to.
    #[must_use]
    pub fn stage_of(&self, place: usize) -> usize {
        self.starts.iter().rposition(|start| *start <= place).unwrap_or(0)
    }
}
