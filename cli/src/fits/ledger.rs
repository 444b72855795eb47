//! The answer as text: each equation with its figures filled in.

use super::Model;
use crate::output::Failure;
use plimsoll_core::kv_plan::{Advice, Fit, Item, grouped};
use std::io::Write;

/// Writes the ledger.
pub fn write_ledger(out: &mut impl Write, model: &Model, fit: &Fit) -> Result<(), Failure> {
    let ranks = fit.settings.tensor_parallel_size;
    let stages = if fit.stage.1 > 1 { format!("{} stages of ", fit.stage.1) } else { String::new() };
    writeln!(
        out,
        "{} on {stages}{ranks} × {}, vLLM {}, sequences of up to {} tokens",
        model.name,
        fit.accelerator,
        fit.version,
        grouped(fit.settings.max_model_len.into())
    )?;
    writeln!(
        out,
        "weights           {} parameters, {} for each token",
        grouped(model.anatomy.parameters()),
        grouped(model.anatomy.active_parameters())
    )?;
    write_fit(out, fit)?;
    let advice = fit.advice();
    if !advice.is_empty() {
        writeln!(out, "what to change")?;
    }
    for change in advice {
        writeln!(out, "  {}", as_flag(change))?;
    }
    // What a reader should know of the card's figure stands where the figure comes from.
    let source = if fit.memory_source.is_empty() { "1 % less than stated" } else { &fit.memory_source };
    writeln!(out, "memory of the card: {source}")?;
    for note in fit.notes() {
        writeln!(out, "note: {note}")?;
    }
    Ok(())
}

/// Writes where the memory goes and what the cache holds.
pub fn write_fit(out: &mut impl Write, fit: &Fit) -> Result<(), Failure> {
    writeln!(out, "memory of a rank, {:.2} GiB by its driver", fit.budget.total_bytes / 1_073_741_824.0)?;
    for item in fit.memory_items() {
        write_item(out, &item)?;
    }
    writeln!(out, "KV cache of a rank")?;
    for item in fit.cache_items() {
        write_item(out, &item)?;
    }
    if let Some(refusal) = fit.refusal() {
        writeln!(out, "  does not fit: {refusal}")?;
    }
    Ok(())
}

fn write_item(out: &mut impl Write, item: &Item) -> Result<(), Failure> {
    let line = format!("  {:<22} {:>18}  {}", item.label, item.value, item.equation);
    writeln!(out, "{}", line.trim_end())?;
    Ok(())
}

/// A change as flags of the command line.
pub fn as_flag(change: Advice) -> String {
    match change {
        Advice::Ranks(size) => format!("--tp {size}"),
        Advice::OtherHardware => "narrower weights, or an accelerator with more memory".into(),
        Advice::Length(longest) => format!("--max-model-len {longest}"),
        Advice::Fp8 => "--kv-cache-dtype fp8".into(),
        Advice::Utilization(percent) => format!("--gpu-memory-utilization 0.{percent:02}"),
        Advice::Blocks(blocks) => format!("--num-gpu-blocks-override {blocks}"),
        Advice::Bytes(bytes) => format!("--kv-cache-memory-bytes {bytes}"),
    }
}
