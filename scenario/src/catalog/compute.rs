//! What a step computes of a model, layer kind by layer kind.

use super::Cache;
use crate::diagnostic::Diagnostic;
use alloc::format;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// How ranks share a matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// Each rank has all of it.
    Whole,
    /// Each rank has some of its rows, and so makes some of the outputs.
    Rows,
    /// Each rank has some of its columns, and the outputs are added up.
    Columns,
}

/// A matrix that every token of a step, or every row of its head, is multiplied with.
///
/// Projections with one input are one matrix, as servers store them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "[u32; 5]", into = "[u32; 5]")]
pub struct Matrix {
    /// Outputs that ranks share as `share` says.
    pub rows: u32,
    /// Outputs for keys and values, which ranks share by KV heads; 0 in other matrices.
    pub kv_rows: u32,
    /// Inputs.
    pub columns: u32,
    /// How ranks share it.
    pub share: Share,
    /// Hundredths of a bit that a weight takes, scales included.
    pub bits: u32,
}

impl From<[u32; 5]> for Matrix {
    fn from([rows, kv_rows, columns, share, bits]: [u32; 5]) -> Self {
        let share = match share {
            0 => Share::Whole,
            1 => Share::Rows,
            _ => Share::Columns,
        };
        Self { rows, kv_rows, columns, share, bits }
    }
}

impl From<Matrix> for [u32; 5] {
    fn from(matrix: Matrix) -> Self {
        let share = match matrix.share {
            Share::Whole => 0,
            Share::Rows => 1,
            Share::Columns => 2,
        };
        [matrix.rows, matrix.kv_rows, matrix.columns, share, matrix.bits]
    }
}

/// Experts of a layer, of which a router chooses some for each token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "[u32; 5]", into = "[u32; 5]")]
pub struct ExpertCompute {
    /// Experts to choose from.
    pub routed: u32,
    /// Experts of a token.
    pub active: u32,
    /// Values between the matrices of one.
    pub size: u32,
    /// Matrices of one: three where a projection gates another, else two.
    pub matrices: u32,
    /// Hundredths of a bit that a weight takes, scales included.
    pub bits: u32,
}

impl From<[u32; 5]> for ExpertCompute {
    fn from([routed, active, size, matrices, bits]: [u32; 5]) -> Self {
        Self { routed, active, size, matrices, bits }
    }
}

impl From<ExpertCompute> for [u32; 5] {
    fn from(experts: ExpertCompute) -> Self {
        [experts.routed, experts.active, experts.size, experts.matrices, experts.bits]
    }
}

/// Layers that compute the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerCompute {
    /// How many.
    pub count: u32,
    /// Every matrix but those of routed experts.
    pub matrices: Vec<Matrix>,
    /// Query heads; 0 without attention.
    #[serde(default, skip_serializing_if = "is_none")]
    pub heads: u32,
    /// Values of a key, and of a value, that a query head is multiplied with in a prompt.
    #[serde(default, skip_serializing_if = "is_nothing")]
    pub head_sizes: [u32; 2],
    /// What attention reads and states are: the caches of the layer, or of the layer whose cache it reads.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub caches: Vec<Cache>,
    /// Experts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub experts: Option<ExpertCompute>,
}

/// What a step computes of a model.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Compute {
    /// Kinds of layers, by the place of the first of each.
    pub layers: Vec<LayerCompute>,
    /// The output head, whose rows are the vocabulary.
    pub head: Option<Matrix>,
}

/// The largest size that is believed.
const MAX_SIZE: u32 = 16_777_216;

impl Compute {
    /// Whether nothing is known of it.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        self.layers.is_empty()
    }

    /// All matrices, of each kind of layers once.
    fn matrices(&self) -> impl Iterator<Item = &Matrix> {
        self.layers.iter().flat_map(|layer| &layer.matrices).chain(&self.head)
    }

    /// Makes the weights of its layers narrower by a ratio, as [`super::Footprint::narrow`] does.
    pub(super) fn narrow(&mut self, ratio: f64) {
        let narrowed = |bits: u32| u32::try_from(crate::time::truncate(f64::from(bits) * ratio)).unwrap_or(bits);
        for layer in &mut self.layers {
            for matrix in layer.matrices.iter_mut().filter(|matrix| matrix.share != Share::Whole) {
                matrix.bits = narrowed(matrix.bits);
            }
            if let Some(experts) = &mut layer.experts {
                experts.bits = narrowed(experts.bits);
            }
        }
    }

    /// Every problem with it.
    pub(super) fn problems(&self) -> Vec<Diagnostic> {
        let sizes = self.matrices().flat_map(|matrix| <[u32; 5]>::from(*matrix));
        let experts = self.layers.iter().filter_map(|layer| layer.experts).flat_map(<[u32; 5]>::from);
        let layers =
            self.layers.iter().flat_map(|layer| [layer.count, layer.heads].into_iter().chain(layer.head_sizes));
        let beyond = sizes.chain(experts).chain(layers).find(|size| *size > MAX_SIZE);
        let too_large = beyond.map(|size| {
            let message = format!("a size of compute is {size}");
            let hint = format!("the largest accepted value is {MAX_SIZE}; paste the model's config.json again");
            Diagnostic::error("invalid-value", "footprint.compute", message).with_hint(hint)
        });
        too_large.into_iter().collect()
    }
}

fn is_none(size: &u32) -> bool {
    *size == 0
}

fn is_nothing(sizes: &[u32; 2]) -> bool {
    *sizes == [0, 0]
}
