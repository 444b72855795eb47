//! Whether trained coefficients are in line with the other rows of their model (definitions 8).

use super::{Catalog, CoefficientRow, Lookup};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// How far a row's step time may lie outside what the other rows of its model suggest.
///
/// Four: the rows of one model scatter by factors of two to three among each other, and only the rows that give
/// sub-millisecond steps for many-gigabyte models lie beyond four.
const TOLERANCE: f64 = 4.0;

/// Steps that rows are compared by: name, prefill tokens, decode tokens.
const PROBES: [(&str, f64, f64); 3] =
    [("a lone decode step", 0.0, 1.0), ("a step of 32 decodes", 0.0, 32.0), ("a prefill of 512 tokens", 512.0, 0.0)];

impl Catalog {
    /// Why a row is out of line with the rows of its model at other parallelism, in words; none if it is not.
    ///
    /// # Model
    /// Another row's step time, scaled perfectly (÷ the ratio of accelerators) and not at all, brackets what is
    /// plausible here. The row is implausible if one of three probe steps is more than four times below the median
    /// of the lower ends or above the median of the upper ends. With a single row nothing can be said.
    #[must_use]
    pub fn implausibility(&self, row: &CoefficientRow) -> Option<String> {
        let lookup = Lookup {
            model: &row.model,
            accelerator: Some(&row.accelerator),
            engine_version: Some(&row.engine_version),
            tensor_parallel_size: None,
        };
        let others: Vec<&CoefficientRow> = self
            .coefficient_rows(lookup)
            .filter(|other| other.tensor_parallel_size != row.tensor_parallel_size)
            .collect();
        PROBES.iter().find_map(|&(name, prefill, decode)| {
            let step = |row: &CoefficientRow| row.beta[0] + row.beta[1] * prefill + row.beta[2] * decode;
            let ratio =
                |other: &CoefficientRow| f64::from(other.tensor_parallel_size) / f64::from(row.tensor_parallel_size);
            let lowest = median(others.iter().map(|other| step(other) * ratio(other).min(1.0)).collect())?;
            let highest = median(others.iter().map(|other| step(other) * ratio(other).max(1.0)).collect())?;
            let found = step(row);
            let is_plausible = found * TOLERANCE >= lowest && found <= highest * TOLERANCE;
            (!is_plausible).then(|| {
                format!(
                    "{name} takes {found:.0} µs at tensor_parallel_size {}, where the other rows of the model suggest \
                     {lowest:.0} to {highest:.0} µs",
                    row.tensor_parallel_size
                )
            })
        })
    }
}

/// The middle value, or the mean of the two middle ones; none of nothing.
fn median(mut values: Vec<f64>) -> Option<f64> {
    crate::numeric::sort_few(&mut values, f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    let lower = *values.get((values.len() - 1) / 2)?;
    Some((lower + upper) / 2.0)
}
