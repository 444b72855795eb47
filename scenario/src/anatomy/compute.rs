//! What a step computes of a model, from its anatomy.

use super::{Anatomy, Cache, FeedForward, Layer, Part, Tensor};
use crate::catalog::{Compute, ExpertCompute, LayerCompute, Matrix, Share};
use alloc::vec::Vec;

/// How the names of matrices end whose inputs ranks share and whose outputs are added up.
const OUTPUTS: [&str; 7] = ["o_proj", "out_proj", "down_proj", "o_b_proj", "linear_out", "output_linear", "fc2"];

/// Bits of a value that is not quantized: servers read 32-bit checkpoints as 16-bit values.
const PLAIN_BITS: u32 = 1600;

impl Compute {
    /// What a step computes of a model.
    ///
    /// # Model
    /// Projections of one input are one matrix, as vLLM stores them. Vectors, embeddings and what a tower for images
    /// does are left out; the head is counted whether it is tied or not.
    #[must_use]
    pub fn of(anatomy: &Anatomy) -> Self {
        let mut layers: Vec<LayerCompute> = Vec::new();
        let mut last_caches: &[Cache] = &[];
        for layer in &anatomy.layers {
            if !layer.shares_cache {
                last_caches = &layer.caches;
            }
            let found = of_layer(layer, last_caches);
            let alike = |known: &&mut LayerCompute| LayerCompute { count: 1, ..(*known).clone() } == found;
            match layers.iter_mut().find(alike) {
                Some(known) => known.count = known.count.saturating_add(1),
                None => layers.push(found),
            }
        }
        let is_head = |tensor: &&Tensor| tensor.part == Part::Head && tensor.columns > 1;
        let own = anatomy.outside.iter().find(is_head).map(bits);
        let head = Matrix {
            rows: anatomy.vocab_size,
            kv_rows: 0,
            columns: anatomy.hidden_size,
            share: Share::Rows,
            bits: own.unwrap_or(PLAIN_BITS),
        };
        Self { layers, head: Some(head) }
    }
}

fn of_layer(layer: &Layer, caches: &[Cache]) -> LayerCompute {
    let experts = match layer.feed_forward {
        FeedForward::Experts(experts) => {
            let of_experts = layer.tensors.iter().filter(|tensor| tensor.part == Part::RoutedExperts);
            let matrices = of_experts.filter(|tensor| tensor.columns > 1 && tensor.rows > 1);
            Some(ExpertCompute {
                routed: experts.routed,
                active: experts.active,
                size: experts.size,
                matrices: if experts.is_gated { 3 } else { 2 },
                bits: matrices.map(bits).max().unwrap_or(PLAIN_BITS),
            })
        }
        FeedForward::None | FeedForward::Dense { .. } => None,
    };
    let is_latent = caches.iter().any(|cache| matches!(cache, Cache::Latent { .. }));
    let head_sizes = match caches.iter().find(|cache| matches!(cache, Cache::Attention { .. } | Cache::Cross { .. })) {
        Some(Cache::Attention { key_size, value_size, .. } | Cache::Cross { key_size, value_size, .. }) => {
            [*key_size, *value_size]
        }
        _ if is_latent && layer.heads > 0 => latent_head_sizes(layer),
        _ => [0, 0],
    };
    LayerCompute {
        count: 1,
        matrices: matrices(layer),
        heads: layer.heads,
        head_sizes,
        caches: caches.to_vec(),
        experts,
    }
}

/// What keys and values of a head are in a prompt, where they are made from a latent vector.
fn latent_head_sizes(layer: &Layer) -> [u32; 2] {
    let named = |names: [&str; 2]| layer.tensors.iter().find(|tensor| names.contains(&tensor.name));
    let share = |size: Option<u64>| {
        let of_head = size.and_then(|size| size.checked_div(layer.heads.into()));
        of_head.and_then(|size| u32::try_from(size).ok()).unwrap_or(0)
    };
    let key = named(["self_attn.q_b_proj", "self_attn.q_proj"]).map(|tensor| tensor.rows);
    let value = named(["self_attn.o_proj", "self_attn.o_b_proj"]).map(|tensor| tensor.columns);
    [share(key), share(value)]
}

/// The matrices of a layer but those of routed experts; those with one input are one.
fn matrices(layer: &Layer) -> Vec<Matrix> {
    let mut found: Vec<(Part, Matrix)> = Vec::new();
    for tensor in &layer.tensors {
        let is_counted = matches!(
            tensor.part,
            Part::Attention | Part::State | Part::FeedForward | Part::SharedExperts | Part::Router
        );
        if !is_counted || tensor.rows < 2 || tensor.columns < 2 {
            continue;
        }
        let size = |size: u64| u32::try_from(size.saturating_mul(tensor.copies)).unwrap_or(u32::MAX);
        let is_output = OUTPUTS.iter().any(|end| tensor.name.ends_with(end));
        let share = match (tensor.is_whole_on_each_rank(), is_output) {
            (true, _) => Share::Whole,
            (false, true) => Share::Columns,
            (false, false) => Share::Rows,
        };
        let is_kv = matches!(tensor.name, "self_attn.k_proj" | "self_attn.v_proj");
        let (rows, kv_rows) = if is_kv { (0, size(tensor.rows)) } else { (size(tensor.rows), 0) };
        let columns = u32::try_from(tensor.columns).unwrap_or(u32::MAX);
        let matrix = Matrix { rows, kv_rows, columns, share, bits: bits(tensor) };
        let has_its_input = |known: &&mut (Part, Matrix)| {
            let other = &known.1;
            share != Share::Columns
                && known.0 == tensor.part
                && (other.columns, other.share, other.bits) == (columns, share, matrix.bits)
        };
        match found.iter_mut().find(has_its_input) {
            Some((_, known)) => {
                known.rows = known.rows.saturating_add(rows);
                known.kv_rows = known.kv_rows.saturating_add(kv_rows);
            }
            None => found.push((tensor.part, matrix)),
        }
    }
    found.into_iter().map(|(_, matrix)| matrix).collect()
}

/// Hundredths of a bit that a value of a tensor takes.
#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn bits(tensor: &Tensor) -> u32 {
    let parameters = tensor.parameters() as f64;
    // Neither bits nor parameters are negative, and the conversion saturates.
    let bits = if parameters > 0.0 { tensor.bytes() as f64 * 8.0 / parameters } else { 16.0 };
    libm::round(bits.min(16.0) * 100.0) as u32
}
