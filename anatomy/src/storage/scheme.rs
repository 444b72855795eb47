//! How a quantizer stores a matrix.

use plimsoll_scenario::anatomy::{Tensor, WeightBytes};

/// Bits of a value, and what is stored beside the values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Scheme {
    pub bits: f64,
    pub scales: Scales,
}

/// Which values share what is stored beside them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Scales {
    /// So many bytes for a matrix.
    Tensor(u64),
    /// So many bytes for each row.
    Rows(u64),
    /// So many bytes for each group of values of a row.
    Groups { size: u64, bytes: f64 },
    /// So many bytes for each block of rows and columns.
    Blocks { rows: u64, columns: u64, bytes: u64 },
    /// A table of so many bytes for each matrix, and two bytes for each row.
    Table(u64),
}

impl Scheme {
    pub const fn new(bits: f64, scales: Scales) -> Self {
        Self { bits, scales }
    }

    /// Groups of `size` values of a row with `bytes` each; without a size a row is one group.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few bytes")]
    pub fn grouped(bits: f64, size: Option<f64>, bytes: f64) -> Self {
        match size.filter(|size| *size >= 1.0 && *size <= 1e9) {
            Some(size) => Self::new(bits, Scales::Groups { size: size as u64, bytes }),
            None => Self::new(bits, Scales::Rows(rounded_up(bytes))),
        }
    }

    /// 8-bit floats in blocks.
    pub const fn block_fp8(rows: u64, columns: u64) -> Self {
        Self::new(8.0, Scales::Blocks { rows, columns, bytes: 4 })
    }

    /// A matrix stored this way.
    #[expect(clippy::cast_precision_loss, reason = "sizes far below 2⁵³")]
    pub fn store(self, tensor: &Tensor) -> WeightBytes {
        let rows = tensor.rows;
        let columns = tensor.columns;
        let of_one = match self.scales {
            Scales::Tensor(bytes) => bytes,
            Scales::Rows(bytes) => rows.saturating_mul(bytes),
            Scales::Groups { size, bytes } => {
                // Some bytes of a group are shared by packing, so that they are no whole number.
                let groups = rows.saturating_mul(columns.div_ceil(size.max(1)));
                rounded_up(groups as f64 * bytes)
            }
            Scales::Blocks { rows: height, columns: width, bytes } => {
                rows.div_ceil(height.max(1)).saturating_mul(columns.div_ceil(width.max(1))).saturating_mul(bytes)
            }
            Scales::Table(bytes) => rows.saturating_mul(2).saturating_add(bytes),
        };
        WeightBytes { bits: self.bits, scale_bytes: of_one.saturating_mul(tensor.copies) }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the conversion saturates")]
fn rounded_up(value: f64) -> u64 {
    value.ceil() as u64
}
