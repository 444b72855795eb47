//! The answer as text: each equation with its figures filled in.

use crate::output::Failure;
use plimsoll_core::anatomy::Part;
use plimsoll_core::kv_plan::{CacheKind, CacheMemory, Fit, FitQuestion, GroupLayers, KvRefusal, driver_memory_gib};
use std::io::Write;

const GIB: f64 = 1_073_741_824.0;

/// Writes the ledger.
pub fn write_ledger(out: &mut impl Write, name: &str, question: &FitQuestion<'_>, fit: &Fit) -> Result<(), Failure> {
    let settings = &question.settings;
    let (ranks, length) = (settings.tensor_parallel_size, settings.max_model_len);
    let accelerator = question.accelerator;
    writeln!(
        out,
        "{name} on {ranks} x {}, vLLM {}.{}, sequences of up to {} tokens",
        accelerator.id,
        question.release.major,
        question.release.minor,
        count(length.into())
    )?;
    weights(out, question)?;
    if question.memory == CacheMemory::LeftOver {
        budget(out, question, fit)?;
    }
    cache(out, fit, length)?;
    match &fit.plan {
        Ok(plan) => {
            writeln!(
                out,
                "  sequences       {} blocks / {} = {:.2} of {} tokens at the same time",
                count(fit.num_blocks),
                count(plan.blocks_per_request),
                plan.max_concurrency,
                count(length.into())
            )?;
            writeln!(out, "  tokens          {} (\"KV cache size\")", count(fit.printed_tokens))?;
        }
        Err(refusal) => writeln!(out, "  does not fit: {}", refused(refusal))?,
    }
    let smallest = fit.smallest_tensor_parallel_size.map_or("none up to 64".into(), |size| size.to_string());
    writeln!(out, "smallest tensor-parallel size for this length: {smallest}")?;
    writeln!(out, "longest sequence at this size: {} tokens", count(fit.longest.into()))?;
    if fit.plan.is_err() {
        advice(out, question, fit)?;
    }
    // What a reader should know of the card's figure stands where the figure comes from.
    if accelerator.driver_memory_source.is_empty() {
        writeln!(out, "memory of the card: {:.2} GiB, 1 % less than stated", driver_memory_gib(accelerator))?;
    } else {
        writeln!(out, "memory of the card: {}", accelerator.driver_memory_source)?;
    }
    Ok(())
}

/// The weights of the whole model by what they are for.
fn weights(out: &mut impl Write, question: &FitQuestion<'_>) -> Result<(), Failure> {
    let anatomy = question.anatomy;
    writeln!(
        out,
        "weights           {} parameters, {} for each token, {:.2} GiB",
        count(anatomy.parameters()),
        count(anatomy.active_parameters()),
        gib(anatomy.weight_bytes())
    )?;
    for (part, bytes) in anatomy.weight_bytes_by_part() {
        writeln!(out, "  {:<15} {:>9.2} GiB", part_name(part), gib(bytes))?;
    }
    if question.vision_bytes > 0 {
        writeln!(out, "  {:<15} {:>9.2} GiB, about", "vision tower", gib(question.vision_bytes))?;
    }
    Ok(())
}

/// The memory of a rank, from what the driver reports to what is left.
fn budget(out: &mut impl Write, question: &FitQuestion<'_>, fit: &Fit) -> Result<(), Failure> {
    let budget = &fit.budget;
    let [forward, sampling] = fit.batch_bytes;
    let batch = match sampling > forward {
        true => format!(
            "sampling {} sequences x {} logits",
            count(question.limits.max_num_seqs.min(question.limits.max_num_batched_tokens).into()),
            count(fit.model.vocab_size.into())
        ),
        false => format!("{} tokens through the widest layer", count(question.limits.max_num_batched_tokens.into())),
    };
    writeln!(out, "memory of a rank")?;
    let mut line = |sign: &str, bytes: f64, what: &str| writeln!(out, "  {sign} {:>9.2} GiB  {what}", bytes / GIB);
    let share = format!(
        "{:.2} GiB that the driver reports x gpu_memory_utilization {}",
        budget.total_bytes / GIB,
        question.utilization
    );
    line(" ", budget.requested_bytes, &share)?;
    line("-", budget.weight_bytes, "weights")?;
    line("-", budget.activation_bytes, &format!("the largest batch: {batch}"))?;
    if budget.workspace_bytes > 0.0 {
        line("-", budget.workspace_bytes, "buffers of experts, latent attention or towers")?;
    }
    if budget.graph_bytes > 0.0 {
        line("-", budget.graph_bytes, "CUDA graphs")?;
    }
    line("-", budget.other_bytes, "libraries, communication between ranks included")?;
    line("=", fit.available_bytes as f64, "KV cache")?;
    Ok(())
}

/// Groups, pages and blocks.
fn cache(out: &mut impl Write, fit: &Fit, length: u32) -> Result<(), Failure> {
    writeln!(out, "KV cache of a rank")?;
    let mut runs: Vec<(String, usize)> = Vec::new();
    for group in &fit.layout.groups {
        let text = group.layers.iter().map(layers_text).collect::<Vec<_>>().join(" and ");
        match runs.last_mut() {
            Some((last, times)) if *last == text => *times += 1,
            _ => runs.push((text, 1)),
        }
    }
    for (text, times) in runs {
        writeln!(out, "  {:<15} {text}", format!("{times} x group"))?;
    }
    let largest = fit.layout.groups.iter().max_by_key(|group| group.block_bytes());
    let terms = largest.map_or(String::new(), |group| {
        let term = |layers: &GroupLayers| format!("{} layers x {}", layers.num_layers, count(layers.page_bytes));
        group.layers.iter().map(term).collect::<Vec<_>>().join(" + ")
    });
    writeln!(out, "  block           {terms} = {} bytes", count(fit.layout.block_bytes))?;
    writeln!(
        out,
        "  blocks          {} / {} = {}",
        count(fit.available_bytes),
        count(fit.layout.block_bytes),
        count(fit.num_blocks)
    )?;
    writeln!(
        out,
        "  per sequence    {} blocks for {} tokens",
        count(fit.layout.blocks_per_request(length)),
        count(length.into())
    )?;
    Ok(())
}

fn layers_text(layers: &GroupLayers) -> String {
    format!("{} layers, {}, blocks of {} tokens", layers.num_layers, kind(layers.kind), count(layers.block_size))
}

/// A kind of cache in words.
pub fn kind(kind: CacheKind) -> String {
    match kind {
        CacheKind::Full => "full attention".into(),
        CacheKind::Sliding(window) => format!("sliding window of {window}"),
        CacheKind::Chunked(chunk) => format!("chunks of {chunk}"),
        CacheKind::Latent => "latent attention".into(),
        CacheKind::Indexer => "indexer".into(),
        CacheKind::State { .. } => "state".into(),
        CacheKind::Cross(tokens) => format!("cross attention to {tokens}"),
    }
}

fn refused(refusal: &KvRefusal) -> String {
    match refusal {
        KvRefusal::NoMemory => "nothing is left for the cache".into(),
        KvRefusal::TooLong { blocks_per_request, usable_blocks, .. } => format!(
            "one sequence may hold {} blocks but there are {} to give out",
            count(*blocks_per_request),
            count(*usable_blocks)
        ),
    }
}

/// What would help.
fn advice(out: &mut impl Write, question: &FitQuestion<'_>, fit: &Fit) -> Result<(), Failure> {
    writeln!(out, "what to change")?;
    let ranks = question.settings.tensor_parallel_size;
    match fit.smallest_tensor_parallel_size {
        Some(size) if size > ranks => writeln!(out, "  --tp {size}")?,
        _ => writeln!(out, "  narrower weights, or an accelerator with more memory")?,
    }
    if fit.longest > 0 {
        writeln!(out, "  --max-model-len {}", fit.longest)?;
    }
    if fit.fits_with_fp8 == Some(true) {
        writeln!(out, "  --kv-cache-dtype fp8")?;
    }
    Ok(())
}

fn part_name(part: Part) -> &'static str {
    match part {
        Part::Embedding => "embedding",
        Part::Attention => "attention",
        Part::State => "state layers",
        Part::FeedForward => "feed-forward",
        Part::RoutedExperts => "routed experts",
        Part::SharedExperts => "shared experts",
        Part::Router => "routers",
        Part::Norm => "norms",
        Part::Head => "head",
    }
}

fn gib(bytes: u64) -> f64 {
    bytes as f64 / GIB
}

/// A count with its thousands apart.
fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
