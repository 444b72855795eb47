//! Which rates hold for an accelerator, and what kernels take by them.

use crate::catalog::{AcceleratorSpec, AllReduceRate, CardRates, Generation, KernelRate};
use crate::numeric::larger;

/// Share of the bandwidth that kernels reach which only move values.
const MOVING: f64 = 0.8;

/// Rates of an accelerator: those measured on it, or those of the nearest one that was measured, as shares of its own
/// data sheet.
#[derive(Debug, Clone, Copy)]
pub struct Card<'a> {
    /// What was measured.
    pub rates: &'a CardRates,
    /// Whether it was measured on this very accelerator.
    pub is_measured: bool,
    /// FLOP per microsecond and rank at the data sheet's peak, of 16 bits and of 8.
    pub flops: [f64; 2],
    /// Bytes per microsecond.
    pub bytes: f64,
    /// Whether ranks are linked over PCIe.
    is_pcie: bool,
}

/// Two data sheets whose figures differ by less tell of one accelerator.
const SAME_SHEET: f64 = 0.03;

impl<'a> Card<'a> {
    /// The rates for an accelerator; none if nothing was measured at all.
    ///
    /// # Model
    /// Of another family the nearest in bandwidth and peak is taken: what a kernel reaches depends first on the kind of
    /// memory, which the bandwidth tells.
    #[must_use]
    pub fn of(accelerator: &AcceleratorSpec, known: &'a [CardRates], sheets: &[AcceleratorSpec]) -> Option<Self> {
        let distance = |sheet: &AcceleratorSpec| {
            let apart = |own: f64, other: f64| libm::fabs(libm::log(own / other));
            let apart = larger(
                apart(accelerator.memory_bandwidth_tb_per_s, sheet.memory_bandwidth_tb_per_s),
                apart(accelerator.peak_tflops, sheet.peak_tflops),
            );
            if accelerator.generation == sheet.generation { apart } else { apart + 1.0 }
        };
        let measured = known.iter().filter_map(|rates| {
            let sheet = sheets.iter().find(|sheet| sheet.id.eq_ignore_ascii_case(&rates.accelerator))?;
            Some((distance(sheet), rates))
        });
        let (apart, rates) = measured.min_by(|left, right| left.0.total_cmp(&right.0))?;
        let flops = accelerator.peak_tflops * 1e6;
        // Some tables have the figure with sparsity, which is twice the dense one.
        let twice = 2.0 * flops * (1.0 + SAME_SHEET);
        let of_8_bits = match accelerator.peak_tflops_fp8 * 1e6 {
            stated if stated > twice => stated / 2.0,
            stated => larger(stated, flops),
        };
        Some(Self {
            rates,
            is_measured: apart < SAME_SHEET,
            flops: [flops, of_8_bits],
            bytes: accelerator.memory_bandwidth_tb_per_s * 1e6,
            is_pcie: is_pcie(accelerator),
        })
    }

    /// The rate of matrices of so many hundredths of a bit, and FLOP per microsecond of the units that compute it.
    pub(super) fn gemm(&self, bits: u32) -> (&'a KernelRate, f64) {
        match &self.rates.gemm_8bit {
            Some(rate) if is_8_bits(bits) => (rate, self.flops[1]),
            _ => (&self.rates.gemm, self.flops[0]),
        }
    }

    /// The same of experts.
    pub(super) fn experts(&self, bits: u32) -> (&'a KernelRate, f64) {
        let rates = self.rates;
        match (&rates.experts_8bit, &rates.experts_4bit) {
            (Some(rate), _) if is_8_bits(bits) => (rate, self.flops[1]),
            (_, Some(rate)) if bits <= 600 => (rate, self.flops[0]),
            _ => (&rates.experts, self.flops[0]),
        }
    }

    /// The rate of adding up among ranks.
    ///
    /// For numbers of ranks between the measured ones the next larger is taken.
    pub(super) fn all_reduce(&self, ranks: u32, known: &'a [CardRates]) -> Option<&'a AllReduceRate> {
        let of_link = match self.is_pcie {
            // The links of these were measured on one accelerator without NVLink.
            true => known.iter().find(|card| card.accelerator.eq_ignore_ascii_case("L40S")).unwrap_or(self.rates),
            false => self.rates,
        };
        of_link.all_reduce.iter().find(|rate| rate.ranks >= ranks).or(of_link.all_reduce.last())
    }

    /// Microseconds of moving so many bytes.
    pub(super) fn moving(&self, bytes: f64) -> f64 {
        bytes / (MOVING * self.bytes)
    }
}

/// Whether weights of so many hundredths of a bit are multiplied by units of 8 bits.
fn is_8_bits(bits: u32) -> bool {
    (601..=1200).contains(&bits)
}

/// Whether an accelerator has no links of its own to others.
fn is_pcie(accelerator: &AcceleratorSpec) -> bool {
    let has_slower_memory = accelerator.memory_bandwidth_tb_per_s < 1.0;
    let is_named = accelerator.id.to_ascii_lowercase().contains("pcie");
    let family = accelerator.generation;
    is_named
        || matches!(family, Generation::Ada | Generation::BlackwellRtx | Generation::Turing)
        || (family == Generation::Ampere && has_slower_memory)
}

/// `(a^p + b^p)^(1/p)`, which is never less than the larger of the two.
#[must_use]
pub fn hidden(a: f64, b: f64, sharpness: f64) -> f64 {
    let (long, short) = if a > b { (a, b) } else { (b, a) };
    if short <= 0.0 {
        return long;
    }
    long * libm::pow(1.0 + libm::pow(short / long, sharpness), 1.0 / sharpness)
}

impl KernelRate {
    /// Microseconds of `flops` of work and `bytes` of traffic on units of such peaks (per microsecond), of which a server
    /// reaches `in_server`.
    #[must_use]
    pub fn time(&self, flops: f64, bytes: f64, peaks: [f64; 2], in_server: [f64; 2]) -> f64 {
        let compute = flops / (peaks[0] * self.compute * in_server[0]);
        let memory = bytes / (peaks[1] * self.memory * in_server[1]);
        self.fixed_us + hidden(compute, memory, self.sharpness)
    }
}

impl AllReduceRate {
    /// Microseconds of a message of so many bytes, in a server that takes `in_server` times as long as the kernel alone.
    #[must_use]
    pub fn time(&self, bytes: f64, in_server: f64) -> f64 {
        self.fixed_us + in_server * (bytes / (self.gb_per_s * 1e3) + self.root_ns * libm::sqrt(bytes) / 1e3)
    }
}
