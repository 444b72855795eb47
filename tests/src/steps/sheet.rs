//! What a data sheet allows, counted apart from the model: all weights once and all work once, at full speed.

use super::data::Server;
use plimsoll_core::catalog::{AcceleratorSpec, Cache, Footprint, Part, Span};
use plimsoll_core::latency::Batch;

/// Microseconds that no step of a server can be faster than.
#[must_use]
pub fn bound(server: &Server, batch: &Batch) -> f64 {
    bound_of(&server.footprint, &server.accelerator, server.ranks, server.value_bytes, batch)
}

/// The same from parts.
///
/// # Model
/// The longer of work and traffic. Of experts those of one token are read; windows are not read at all, nor is what each
/// rank has a copy of counted twice.
#[must_use]
pub fn bound_of(
    footprint: &Footprint,
    accelerator: &AcceleratorSpec,
    ranks: u32,
    value_bytes: f64,
    batch: &Batch,
) -> f64 {
    let ranks = f64::from(ranks);
    let tokens = (batch.prompt_tokens + u64::from(batch.decodes)) as f64;
    let rows = f64::from(batch.prompts + batch.decodes);
    let peak = accelerator.peak_tflops.max(accelerator.peak_tflops_fp8) * 1e6 * ranks;
    let bandwidth = accelerator.memory_bandwidth_tb_per_s * 1e6 * ranks;
    let (mut work, mut bytes) = (0.0, 0.0);
    for layer in &footprint.compute.layers {
        let layers = f64::from(layer.count);
        for matrix in &layer.matrices {
            let size = (f64::from(matrix.rows) + f64::from(matrix.kv_rows)) * f64::from(matrix.columns);
            work += layers * 2.0 * tokens * size;
        }
        if let Some(experts) = &layer.experts {
            let size = f64::from(experts.matrices) * f64::from(experts.size) * f64::from(footprint.hidden_size);
            work += layers * 2.0 * tokens * f64::from(experts.active) * size;
            let share = f64::from(experts.active) / f64::from(experts.routed);
            bytes += layers * share * f64::from(experts.routed) * size * f64::from(experts.bits) / 800.0;
        }
        let heads = f64::from(layer.heads);
        let [key, value] = layer.head_sizes.map(f64::from);
        for cache in &layer.caches {
            match cache {
                Cache::Attention { heads: kv_heads, key_size, value_size, span: Span::Full } => {
                    work += layers * 2.0 * heads * (key + value) * batch.pairs as f64 / 2.0;
                    let kept = f64::from(*kv_heads) * (f64::from(*key_size) + f64::from(*value_size));
                    bytes += layers * kept * value_bytes * batch.context as f64;
                }
                Cache::Latent { rank, rope, span: Span::Full, is_sparse: false } => {
                    bytes += layers * (f64::from(*rank) + f64::from(*rope)) * value_bytes * batch.context as f64;
                }
                _ => {}
            }
        }
    }
    if let Some(head) = footprint.compute.head {
        work += 2.0 * rows * f64::from(head.rows) * f64::from(head.columns);
    }
    let read = [Part::Attention, Part::State, Part::FeedForward, Part::SharedExperts, Part::Head];
    bytes += read.iter().map(|part| footprint.bytes_of(*part) as f64).sum::<f64>();
    (work / peak).max(bytes / bandwidth)
}
