//! `plimsoll catalog`: what is built in, with provenance.

use crate::arguments::{CatalogArguments, CatalogSection};
use crate::output::{Failure, write_json};
use plimsoll_configs::{catalog as built_in, scenarios};
use plimsoll_core::catalog::{Catalog, CoefficientRow};
use serde_json::{Value, json};
use std::io::{self, BufWriter, Write};

/// Lists.
pub fn catalog(arguments: &CatalogArguments) -> Result<(), Failure> {
    let mut out = BufWriter::new(io::stdout().lock());
    let catalog = built_in();
    if arguments.shadowed {
        return shadowed(&mut out, catalog, arguments.json);
    }
    if arguments.json {
        return write_json(&mut out, &as_json(catalog, arguments.section));
    }
    match arguments.section {
        None => overview(&mut out, catalog)?,
        Some(CatalogSection::Models) => models(&mut out, catalog)?,
        Some(CatalogSection::Accelerators) => accelerators(&mut out, catalog)?,
        Some(CatalogSection::Coefficients) => coefficients(&mut out, catalog)?,
        Some(CatalogSection::Defaults) => defaults(&mut out, catalog)?,
        Some(CatalogSection::Presets) => presets(&mut out, catalog)?,
        Some(CatalogSection::Scenarios) => {
            for entry in scenarios() {
                writeln!(out, "{:<28} {}", entry.id, entry.title)?;
            }
        }
    }
    out.flush()?;
    Ok(())
}

fn as_json(catalog: &Catalog, section: Option<CatalogSection>) -> Value {
    let ready: Vec<Value> = scenarios()
        .iter()
        .map(|entry| json!({ "id": entry.id, "title": entry.title, "scenario": entry.scenario }))
        .collect();
    match section {
        None => json!({
            "models": catalog.models,
            "accelerators": catalog.accelerators,
            "coefficients": catalog.coefficients,
            "model_defaults": catalog.model_defaults,
            "presets": catalog.presets,
            "trained_physics": catalog.trained_physics,
            "scenarios": ready,
        }),
        Some(CatalogSection::Models) => json!(catalog.models),
        Some(CatalogSection::Accelerators) => json!(catalog.accelerators),
        Some(CatalogSection::Coefficients) => json!(catalog.coefficients),
        Some(CatalogSection::Defaults) => json!(catalog.model_defaults),
        Some(CatalogSection::Presets) => json!(catalog.presets),
        Some(CatalogSection::Scenarios) => json!(ready),
    }
}

fn overview(out: &mut impl Write, catalog: &Catalog) -> Result<(), Failure> {
    let (reachable, shadowed) = (catalog.reachable_rows().len(), catalog.shadowed_rows().len());
    for (name, count, detail) in [
        ("models", catalog.models.len(), String::new()),
        ("accelerators", catalog.accelerators.len(), String::new()),
        ("coefficients", catalog.coefficients.len(), format!("{reachable} used, {shadowed} hidden by an earlier row")),
        ("defaults", catalog.model_defaults.len(), String::new()),
        ("presets", catalog.presets.len(), String::new()),
        ("scenarios", scenarios().len(), String::new()),
    ] {
        writeln!(out, "{name:<14} {count:>4}  {detail}")?;
    }
    writeln!(out, "list one of them with `plimsoll catalog NAME`, the hidden rows with --shadowed")?;
    Ok(())
}

fn models(out: &mut impl Write, catalog: &Catalog) -> Result<(), Failure> {
    for model in &catalog.models {
        let weights = model.weight_bytes_per_param.unwrap_or(model.torch_dtype.bytes()) * 8.0;
        let experts = match model.num_experts {
            0 | 1 => "dense".to_owned(),
            experts => format!("{} of {experts} experts", model.num_experts_per_tok),
        };
        writeln!(
            out,
            "{:<62} {:>3} layers, {:>5} hidden, {weights}-bit weights, {experts}",
            model.id, model.num_hidden_layers, model.hidden_size
        )?;
        if !model.aliases.is_empty() {
            writeln!(out, "    also known as {}", model.aliases.join(", "))?;
        }
        origin(out, &model.provenance.source, &model.provenance.retrieved, &model.provenance.note)?;
    }
    Ok(())
}

fn accelerators(out: &mut impl Write, catalog: &Catalog) -> Result<(), Failure> {
    for entry in &catalog.accelerators {
        let price = entry.price_usd_per_hour.map(|price| format!(", {price:.2} USD/h")).unwrap_or_default();
        writeln!(
            out,
            "{:<20} {}: {} TFLOP/s BF16, {} FP8, {} TB/s, {} GiB{price}{}",
            entry.id,
            entry.name,
            entry.peak_tflops,
            entry.peak_tflops_fp8,
            entry.memory_bandwidth_tb_per_s,
            entry.memory_gib,
            if entry.is_extrapolated { ", extrapolated" } else { "" }
        )?;
        origin(out, &entry.provenance.source, &entry.provenance.retrieved, &entry.provenance.note)?;
    }
    Ok(())
}

fn origin(out: &mut impl Write, source: &str, retrieved: &str, note: &str) -> Result<(), Failure> {
    writeln!(out, "    from {source}, {retrieved}")?;
    if !note.is_empty() {
        writeln!(out, "    {note}")?;
    }
    Ok(())
}

fn coefficients(out: &mut impl Write, catalog: &Catalog) -> Result<(), Failure> {
    for row in catalog.reachable_rows() {
        row_line(out, row)?;
        if let Some(reason) = catalog.implausibility(row) {
            writeln!(out, "    implausible: {reason}")?;
        }
    }
    Ok(())
}

fn row_line(out: &mut impl Write, row: &CoefficientRow) -> Result<(), Failure> {
    writeln!(
        out,
        "line {:>3}  {:<58} {} x {:<8} {:<28} {:>9} blocks  alpha {:?}  beta {:?}",
        row.line,
        row.model,
        row.tensor_parallel_size,
        row.accelerator,
        row.engine_version,
        row.total_kv_blocks,
        row.alpha,
        row.beta
    )?;
    Ok(())
}

/// The rows that are never used, each with the row that hides it and whether the two differ.
fn shadowed(out: &mut impl Write, catalog: &Catalog, is_json: bool) -> Result<(), Failure> {
    let hidden: Vec<(&CoefficientRow, &CoefficientRow)> = catalog
        .shadowed_rows()
        .into_iter()
        .filter_map(|row| Some((row, catalog.coefficients.iter().find(|first| first.has_key_of(row))?)))
        .collect();
    let differs = |row: &CoefficientRow, first: &CoefficientRow| {
        (row.alpha, row.beta, row.total_kv_blocks) != (first.alpha, first.beta, first.total_kv_blocks)
    };
    if is_json {
        let rows: Vec<Value> = hidden
            .iter()
            .map(|(row, first)| json!({ "row": row, "hidden_by_line": first.line, "differs": differs(row, first) }))
            .collect();
        return write_json(out, &rows);
    }
    for (row, first) in &hidden {
        row_line(out, row)?;
        let word = if differs(row, first) { "which differs" } else { "which is equal" };
        writeln!(out, "    hidden by line {}, {word}", first.line)?;
    }
    let num_different = hidden.iter().filter(|(row, first)| differs(row, first)).count();
    writeln!(out, "{} rows are hidden, {num_different} of them differ from the row in use", hidden.len())?;
    out.flush()?;
    Ok(())
}

fn defaults(out: &mut impl Write, catalog: &Catalog) -> Result<(), Failure> {
    for entry in &catalog.model_defaults {
        writeln!(
            out,
            "{:<58} {} x {:<8} {}",
            entry.model, entry.tensor_parallel_size, entry.accelerator, entry.engine_version
        )?;
    }
    Ok(())
}

fn presets(out: &mut impl Write, catalog: &Catalog) -> Result<(), Failure> {
    for preset in &catalog.presets {
        let (input, output) = (preset.input_tokens, preset.output_tokens);
        writeln!(
            out,
            "{:<14} prefix {}, prompt {} ± {} ({} to {}), answer {} ± {} ({} to {}) tokens",
            preset.id,
            preset.prefix_tokens,
            input.mean,
            input.std_dev,
            input.min,
            input.max,
            output.mean,
            output.std_dev,
            output.min,
            output.max
        )?;
        origin(out, &preset.provenance.source, &preset.provenance.retrieved, &preset.provenance.note)?;
    }
    Ok(())
}
