//! Rates of kernels, fitted to tables of measured calls.

use super::search::{Parameter, least, robust};
use crate::truth::steps::quantile;
use crate::truth::table::{Cells, number, read_whole, text};
use plimsoll_core::catalog::{AcceleratorSpec, AllReduceRate, AttentionRate, CardRates, KernelRate, Residual};
use std::path::Path;

/// Names of the files of an accelerator, and its id in the catalogue.
pub const CARDS: [(&str, &str); 6] = [
    ("a100_sxm", "A100-80"),
    ("l40s", "L40S"),
    ("h100_sxm", "H100"),
    ("h200_sxm", "H200-SXM"),
    ("b200_sxm", "B200-SXM"),
    ("b300_sxm", "B300-SXM"),
];

/// Evaluations of a fit.
const BUDGET: u64 = 2500;
/// Errors of logarithms that count half as much as their square says.
const SCALE: f64 = 0.1;
/// Bytes that a card's own cache may hold from one call to the next; a server's other layers take its place.
const CACHED: [f64; 2] = [2e6, 3e8];
/// Head size of the attention tables.
const HEAD: f64 = 128.0;
/// Bytes of a value.
const VALUE: f64 = 2.0;

/// A measured call: what it does in FLOP and bytes, the other counts that its rate needs, and microseconds.
struct Call {
    flops: f64,
    bytes: f64,
    more: f64,
    micros: f64,
}

/// The peaks of a card per microsecond: 16 bits, 8 bits, bytes.
fn peaks(sheet: &AcceleratorSpec) -> [f64; 3] {
    let flops = sheet.peak_tflops * 1e6;
    let of_8_bits = sheet.peak_tflops_fp8 * 1e6;
    let dense = if of_8_bits > 2.1 * flops { of_8_bits / 2.0 } else { of_8_bits };
    [flops, dense.max(flops), sheet.memory_bandwidth_tb_per_s * 1e6]
}

fn fit(calls: &[Call], parameters: &[Parameter], time: impl Fn(&[f64], &Call) -> f64) -> (Vec<f64>, Vec<f64>) {
    let loss = |values: &[f64]| {
        let of_calls = calls.iter().map(|call| robust((time(values, call) / call.micros).ln(), SCALE));
        of_calls.sum::<f64>() / calls.len() as f64
    };
    let found = least(parameters, BUDGET, loss);
    let found: Vec<f64> = found.iter().map(|value| rounded(*value)).collect();
    let errors = calls.iter().map(|call| (time(&found, call) / call.micros - 1.0) * 100.0).collect();
    (found, errors)
}

/// Three significant digits, as they are written down.
#[must_use]
pub fn rounded(value: f64) -> f64 {
    format!("{value:.2e}").parse().unwrap_or(value)
}

/// A table of a card; none where it was not measured.
fn table(folder: &Path, prefix: &str, name: &str) -> Result<Vec<Cells>, String> {
    read_whole(&folder.join(format!("{prefix}_{name}.csv")))
}

fn residual(card: &str, what: &str, errors: &[f64]) -> Residual {
    Residual {
        of: format!("{card}: {what}"),
        rows: errors.len() as u32,
        median_percent: rounded(quantile(errors, 0.5)),
        p90_percent: rounded(quantile(errors, 0.9)),
    }
}

const SHARE: [f64; 2] = [0.05, 1.0];

fn kernel(calls: &[Call], peaks: [f64; 2], tiles: bool) -> (KernelRate, Vec<f64>) {
    let mut parameters = vec![
        Parameter::free(0.7, SHARE),
        Parameter::free(0.8, SHARE),
        Parameter::free(5.0, [0.5, 100.0]),
        Parameter::free(2.0, [1.0, 6.0]),
    ];
    if tiles {
        parameters.push(Parameter::free(5.0, [0.1, 128.0]));
    }
    let rate = |values: &[f64]| KernelRate {
        compute: values[0],
        memory: values[1],
        fixed_us: values[2],
        sharpness: values[3],
        tile_rows: values.get(4).copied().unwrap_or(0.0),
    };
    // Of experts `more` is the work of a row in each of those touched.
    let (found, errors) = fit(calls, &parameters, |values, call| {
        let rate = rate(values);
        rate.time(call.flops + rate.tile_rows * call.more, call.bytes, peaks, [1.0, 1.0])
    });
    (rate(&found), errors)
}

fn gemm(rows: &[Cells], dtype: &str, weight: f64) -> Result<Vec<Call>, String> {
    let of_type = rows.iter().filter(|cells| text(cells, "dtype") == dtype);
    of_type
        .map(|cells| {
            let [n, k, m] = [number::<f64>(cells, "n")?, number(cells, "k")?, number(cells, "m")?];
            let bytes = weight * n * k + VALUE * m * (n + k);
            Ok(Call { flops: 2.0 * m * n * k, bytes, more: 0.0, micros: number(cells, "us")? })
        })
        .collect()
}

fn experts(rows: &[Cells], dtype: &str, weight: f64) -> Result<Vec<Call>, String> {
    let is_balanced = |cells: &&Cells| text(cells, "routing") == "balanced";
    // Where only skewed routing was measured that is what there is.
    let any_balanced = rows.iter().any(|cells| is_balanced(&cells));
    let of_type = rows
        .iter()
        .filter(|cells| text(cells, "dtype") == dtype && (!any_balanced || is_balanced(cells)))
        .filter(|cells| number::<f64>(cells, "tokens").is_ok_and(|tokens| tokens <= 16_384.0));
    of_type
        .map(|cells| {
            let of = |column: &str| number::<f64>(cells, column);
            let [hidden, inner, active, routed] = [of("hidden")?, of("inter")?, of("topk")?, of("experts")?];
            let [shared, apart, tokens] = [of("tp")?, of("ep")?, of("tokens")?];
            let size = inner / shared;
            let rows = tokens * active / apart;
            // Balanced routing touches as many experts as it can.
            let touched = (routed / apart).min(rows.max(1.0));
            let weights = 3.0 * hidden * size;
            Ok(Call {
                flops: 2.0 * weights * rows,
                bytes: weights * touched * weight + VALUE * rows * (2.0 * hidden + 3.0 * size),
                more: 2.0 * weights * touched,
                micros: of("us")?,
            })
        })
        .collect()
}

fn attention(
    card: &str,
    prompts: &[Cells],
    decodes: &[Cells],
    [flops, _, bytes]: [f64; 3],
    residuals: &mut Vec<Residual>,
) -> Result<AttentionRate, String> {
    let of_type = |cells: &&Cells| text(cells, "kv_dtype") == "bfloat16";
    let calls = prompts.iter().filter(of_type).map(|cells| {
        let of = |column: &str| number::<f64>(cells, column);
        let [heads, kv_heads, batch, new] = [of("heads")?, of("kv_heads")?, of("batch")?, of("new_tokens")?];
        let pairs = batch * new * (new + 1.0) / 2.0;
        let moved = VALUE * HEAD * batch * new * (2.0 * heads + 2.0 * kv_heads);
        Ok(Call { flops: 4.0 * heads * HEAD * pairs, bytes: moved, more: 0.0, micros: of("us")? })
    });
    let calls: Vec<Call> = calls.collect::<Result<_, String>>()?;
    let parameters =
        [Parameter::free(0.6, SHARE), Parameter::free(2.0, [0.5, 6.0]), Parameter::free(12.0, [2.0, 40.0])];
    let (prompt, errors) = fit(&calls, &parameters, |values, call| {
        values[2] + call.flops / (flops * values[0]) + values[1] * call.bytes / (0.8 * bytes)
    });
    residuals.push(residual(card, "attention of prompts", &errors));
    let calls = decodes.iter().filter(of_type).map(|cells| {
        let of = |column: &str| number::<f64>(cells, column);
        let [kv_heads, batch, past] = [of("kv_heads")?, of("batch")?, of("past")?];
        let read = 2.0 * kv_heads * HEAD * VALUE * batch * (past + 1.0);
        Ok(Call { flops: 0.0, bytes: read, more: 0.0, micros: of("us")? })
    });
    let calls: Vec<Call> = calls.collect::<Result<_, String>>()?;
    let calls: Vec<Call> = calls.into_iter().filter(|call| call.bytes < CACHED[0] || call.bytes > CACHED[1]).collect();
    let parameters = [Parameter::free(0.8, SHARE), Parameter::free(10.0, [2.0, 40.0])];
    let (decode, errors) = fit(&calls, &parameters, |values, call| values[1] + call.bytes / (bytes * values[0]));
    residuals.push(residual(card, "attention of decodes", &errors));
    Ok(AttentionRate {
        prompt_compute: prompt[0],
        prompt_moves: prompt[1],
        prompt_us: prompt[2],
        decode_memory: decode[0],
        decode_us: decode[1],
    })
}

fn all_reduce(card: &str, rows: &[Cells], residuals: &mut Vec<Residual>) -> Result<Vec<AllReduceRate>, String> {
    let mut rates = Vec::new();
    for ranks in [2_u32, 4, 8] {
        let mut calls: Vec<Call> = Vec::new();
        for cells in rows.iter().filter(|cells| text(cells, "num_gpus") == ranks.to_string()) {
            // A server takes the faster of its own kernel, which is part of the captured steps, and the library's.
            if text(cells, "backend") == "vllm_eager" {
                continue;
            }
            let (bytes, micros): (f64, f64) = (number(cells, "bytes")?, number(cells, "us")?);
            match calls.iter_mut().find(|call| call.bytes == bytes) {
                Some(known) => known.micros = known.micros.min(micros),
                None => calls.push(Call { flops: 0.0, bytes, more: 0.0, micros }),
            }
        }
        let parameters = [
            Parameter::free(5.0, [1.0, 60.0]),
            Parameter::free(100.0, [0.3, 1500.0]),
            Parameter::free(2.0, [0.01, 60.0]),
        ];
        let rate =
            |values: &[f64]| AllReduceRate { ranks, fixed_us: values[0], gb_per_s: values[1], root_ns: values[2] };
        let (found, errors) = fit(&calls, &parameters, |values, call| rate(values).time(call.bytes, 1.0));
        residuals.push(residual(card, &format!("adding up among {ranks}"), &errors));
        rates.push(rate(&found));
    }
    Ok(rates)
}

/// Fits the rates of a card to its tables; what a server adds is left at its start.
///
/// # Errors
/// A table that cannot be read.
pub fn card(
    folder: &Path,
    prefix: &str,
    sheet: &AcceleratorSpec,
    in_server: [f64; 3],
    residuals: &mut Vec<Residual>,
) -> Result<CardRates, String> {
    let peaks = peaks(sheet);
    let id = sheet.id.as_str();
    let [flops, flops_8, bytes] = peaks;
    let matrices = table(folder, prefix, "gemm")?;
    let moe = table(folder, prefix, "moe")?;
    let mut fitted = |what: &str, calls: &[Call], peak: f64, tiles: bool| {
        (!calls.is_empty()).then(|| {
            let (rate, errors) = kernel(calls, [peak, bytes], tiles);
            residuals.push(residual(id, what, &errors));
            rate
        })
    };
    let needed = |rate: Option<KernelRate>, what: &str| rate.ok_or_else(|| format!("no {what} of {id} was measured"));
    let gemm_16 = needed(fitted("matrices of 16 bits", &gemm(&matrices, "bfloat16", 2.0)?, flops, false), "matrix")?;
    let gemm_8 = fitted("matrices of 8 bits", &gemm(&matrices, "fp8", 1.0)?, flops_8, false);
    let experts_16 = needed(fitted("experts of 16 bits", &experts(&moe, "bfloat16", 2.0)?, flops, true), "expert")?;
    let experts_8 = fitted("experts of 8 bits in blocks", &experts(&moe, "fp8_block", 1.0)?, flops_8, true);
    let experts_4 = fitted("experts of 4 bits", &experts(&moe, "w4a16_mxfp4", 0.53)?, flops, true);
    let attention = attention(
        id,
        &table(folder, prefix, "prefill_attention")?,
        &table(folder, prefix, "decode_attention")?,
        peaks,
        residuals,
    )?;
    Ok(CardRates {
        accelerator: id.to_owned(),
        gemm: gemm_16,
        gemm_8bit: gemm_8,
        experts: experts_16,
        experts_8bit: experts_8,
        experts_4bit: experts_4,
        attention,
        all_reduce: all_reduce(id, &table(folder, prefix, "allreduce")?, residuals)?,
        decode_in_server: in_server[0],
        memory_in_server: in_server[1],
        sustained: in_server[2],
    })
}
