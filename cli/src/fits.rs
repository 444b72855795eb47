//! `plimsoll fits`: whether a model fits, and how much KV cache is left.

mod ledger;

use crate::arguments::{FitsArguments, MaxModelLen};
use crate::input::{ModelTexts, read_text};
use crate::output::{Failure, tell, tell_line, write_json};
use ledger::write_ledger;
use plimsoll_anatomy::{
    anatomy_from_hf_config, footprint_from_hf_config, hf_config_of_entry, pipeline_from_hf_config,
    quantization_of_entry,
};
use plimsoll_configs::catalog;
use plimsoll_core::anatomy::Anatomy;
use plimsoll_core::catalog::{AcceleratorSpec, Footprint, meant};
use plimsoll_core::diagnostic::{Diagnostic, Warned};
use plimsoll_core::kv_plan::{CacheMemory, Fit, FitQuestion, KvDtype, Pipeline};
use plimsoll_core::scenario::ServerVersion;
use plimsoll_formats::{ModelFiles, model_from_files};
use serde_json::{Value, json};
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// Answers; ends with exit code 3 if the model does not fit.
pub fn fits(arguments: &FitsArguments) -> Result<(), Failure> {
    let model = model(arguments)?;
    let accelerator = catalog().accelerator(&arguments.hardware);
    let question = question(arguments, &model, accelerator)?;
    let answer = match arguments.max_model_len {
        Some(MaxModelLen::Auto) => question.answer_for_longest(),
        _ => question.answer(),
    };
    let mut out = BufWriter::new(io::stdout().lock());
    let fit = match answer {
        Ok(fit) => fit,
        Err(problems) => {
            problems.iter().for_each(tell_line);
            if arguments.json {
                write_json(&mut out, &unplanned_json(&model, question.kv_cache_dtype, &problems))?;
                out.flush()?;
            }
            return Err(Failure::Invalid);
        }
    };
    match arguments.json {
        true => write_json(&mut out, &as_json(&model, &fit))?,
        false => write_ledger(&mut out, &model, &fit)?,
    }
    out.flush()?;
    if fit.starts() { Ok(()) } else { Err(Failure::NotMet) }
}

/// A model by its parts.
pub struct Model {
    /// What it is called.
    pub name: String,
    /// Its tensors and layers.
    pub anatomy: Anatomy,
    /// What it takes of a server's memory.
    pub footprint: Footprint,
    /// Bytes of its checkpoint, where the index of its files states them.
    pub checkpoint_bytes: Option<u64>,
    /// Its pipeline stages, where there are several.
    pub pipeline: Option<Pipeline>,
    /// The longest sequence it is made for, tokens; 0 if it states none.
    pub longest_context: u64,
}

/// The model of the catalogue, or of a `config.json` or its folder.
fn model(arguments: &FitsArguments) -> Result<Model, Failure> {
    let name = arguments.model.as_str();
    let path = Path::new(name);
    let known = catalog().model(name).filter(|_| !path.exists());
    let name = known.map_or(name, |known| known.id.as_str());
    let (texts, stated) = match known {
        Some(known) => (ModelTexts::of_config(hf_config_of_entry(known)), quantization_of_entry(known)),
        None if !path.exists() => {
            let hint = meant(name, catalog().models.iter().map(|model| model.id.as_str()));
            let problem = Diagnostic::error("unknown-model", "MODEL", format!("there is no model or file {name}"));
            tell_line(problem.with_hint(format!("{hint}; or give a config.json")));
            return Err(Failure::Invalid);
        }
        _ if path.is_dir() => (ModelTexts::of_folder(path)?, None),
        _ => (ModelTexts::of_config(read_text(path)?), None),
    };
    let files = ModelFiles { stored_as: arguments.quantization.as_deref().or(stated), ..texts.files() };
    let (text, beside) = (files.config, files.beside());
    let told = |problems: Vec<Diagnostic>| {
        tell(&problems, Some(text), arguments.log);
        Failure::Invalid
    };
    let Warned { value: anatomy, diagnostics } = anatomy_from_hf_config(text, beside).map_err(told)?;
    tell(&diagnostics, Some(text), arguments.log);
    let mut footprint = footprint_from_hf_config(text, beside).map_err(told)?.value;
    let pipeline = match arguments.pp {
        1 => None,
        stages => Some(pipeline_from_hf_config(text, beside, stages).map_err(told)?.value),
    };
    let checkpoint_bytes = files.checkpoint_bytes().unwrap_or_else(|problem| {
        tell(&[problem], None, arguments.log);
        None
    });
    if let Some(bytes) = checkpoint_bytes {
        footprint.be_of_checkpoint(bytes);
    }
    let longest_context = match model_from_files(files, name) {
        Ok(read) => read.value.longest_context(),
        Err(_) => anatomy.max_position_embeddings.map_or(0, u64::from),
    };
    Ok(Model { name: name.to_owned(), anatomy, footprint, checkpoint_bytes, pipeline, longest_context })
}

/// The server that is asked for; every problem is told at once.
fn question<'a>(
    arguments: &FitsArguments,
    model: &'a Model,
    accelerator: Option<&'a AcceleratorSpec>,
) -> Result<FitQuestion<'a>, Failure> {
    let mut problems = Vec::new();
    for (flag, value) in [("--tp", arguments.tp), ("--pp", arguments.pp), ("--dp", arguments.dp)] {
        if value == 0 {
            let problem = Diagnostic::error("invalid-value", flag, format!("{flag} is 0"));
            problems.push(problem.with_hint("give at least 1"));
        }
    }
    if accelerator.is_none() {
        let message = format!("there is no accelerator {}", arguments.hardware);
        let hint = catalog().meant_accelerator(&arguments.hardware);
        problems.push(Diagnostic::error("unknown-accelerator", "--hardware", message).with_hint(hint));
    }
    let version = match &arguments.vllm_version {
        None => Some(ServerVersion::NEWEST),
        Some(version) => ServerVersion::parse(version),
    };
    if version.is_none() {
        let message = format!("vllm_version is {}", arguments.vllm_version.as_deref().unwrap_or_default());
        let problem = Diagnostic::error("invalid-value", "--vllm-version", message);
        problems.push(problem.with_hint("give a release of vLLM, e.g. 0.32.0"));
    }
    let dtype = KvDtype::named(&arguments.kv_cache_dtype);
    if dtype.is_none() {
        let message = format!("kv_cache_dtype is {}", arguments.kv_cache_dtype);
        let problem = Diagnostic::error("invalid-value", "--kv-cache-dtype", message);
        problems.push(problem.with_hint("valid are auto, fp8, fp8_e4m3, fp8_e5m2, float16, bfloat16, float32"));
    }
    if let Some(utilization) = arguments.gpu_memory_utilization
        && !(utilization > 0.0 && utilization <= 1.0)
    {
        let message = format!("gpu_memory_utilization is {utilization}");
        let problem = Diagnostic::error("invalid-value", "--gpu-memory-utilization", message);
        problems.push(problem.with_hint("give a share above 0 and up to 1, e.g. 0.9"));
    }
    let (Some(accelerator), Some(version), Some(kv_cache_dtype), []) =
        (accelerator, version, dtype, problems.as_slice())
    else {
        problems.iter().for_each(tell_line);
        return Err(Failure::Invalid);
    };
    let max_model_len = match arguments.max_model_len {
        Some(MaxModelLen::Tokens(tokens)) => Some(tokens),
        Some(MaxModelLen::Auto) | None => None,
    };
    let longest = max_model_len.map_or(model.longest_context, u64::from);
    Ok(FitQuestion {
        footprint: &model.footprint,
        longest_context: model.longest_context,
        accelerator,
        tensor_parallel_size: arguments.tp,
        pipeline: model.pipeline.as_ref(),
        data_parallel_size: arguments.dp,
        utilization: arguments.gpu_memory_utilization.unwrap_or(version.gpu_memory_utilization()),
        version,
        limits: version.known().limits(Some(accelerator)).with_given(
            arguments.max_num_batched_tokens,
            arguments.max_num_seqs,
            longest,
        ),
        max_model_len,
        kv_cache_dtype,
        block_size: arguments.block_size,
        enable_prefix_caching: !arguments.no_enable_prefix_caching,
        async_scheduling: !arguments.no_async_scheduling && version.async_scheduling(),
        memory: match (arguments.num_gpu_blocks_override, arguments.kv_cache_memory_bytes) {
            (Some(blocks), _) => CacheMemory::Blocks(blocks),
            (None, Some(bytes)) => CacheMemory::Bytes(bytes),
            (None, None) => CacheMemory::LeftOver,
        },
    })
}

fn as_json(model: &Model, fit: &Fit) -> Value {
    let anatomy = &model.anatomy;
    let settings = &fit.settings;
    let value_bytes = settings.kv_cache_dtype.bytes(settings.model_value_bytes);
    let plan = fit.plan.as_ref().ok();
    let groups: Vec<Value> = fit
        .layout
        .groups
        .iter()
        .map(|group| {
            let layers = group.layers.iter().map(|layers| {
                json!({
                    "kind": layers.kind.label(),
                    "num_layers": layers.num_layers,
                    "block_size": layers.block_size,
                    "page_bytes": layers.page_bytes,
                })
            });
            Value::Array(layers.collect())
        })
        .collect();
    json!({
        "model": model.name,
        "hardware": fit.accelerator,
        "tensor_parallel_size": settings.tensor_parallel_size,
        "pipeline_parallel_size": fit.stage.1,
        "tightest_stage": fit.stage.0,
        "vllm_version": fit.version.to_string(),
        "max_model_len": settings.max_model_len,
        "fits": fit.starts(),
        "parameters": anatomy.parameters(),
        "active_parameters": anatomy.active_parameters(),
        "weight_bytes": model.checkpoint_bytes.unwrap_or(anatomy.weight_bytes()),
        "kv_bytes_per_token": anatomy.kv_bytes_per_token(value_bytes),
        "fixed_state_bytes_per_sequence": anatomy.fixed_state_bytes(value_bytes),
        "kv_cache_tokens": plan.map(|_| fit.printed_tokens),
        "max_concurrency": plan.map(|plan| plan.max_concurrency),
        "smallest_tensor_parallel_size": fit.smallest_tensor_parallel_size,
        "longest_context": fit.longest,
        "num_gpu_blocks": fit.num_blocks,
        "blocks_per_request": fit.layout.blocks_per_request(settings.max_model_len),
        "bytes_per_block": fit.layout.block_bytes,
        "groups": groups,
        "memory": memory_json(fit),
    })
}

/// What the model is made of is known, whatever a server makes of it.
fn unplanned_json(model: &Model, kv_cache_dtype: KvDtype, problems: &[Diagnostic]) -> Value {
    let anatomy = &model.anatomy;
    let value_bytes = kv_cache_dtype.bytes(model.footprint.value_bytes);
    json!({
        "model": model.name,
        "fits": false,
        "parameters": anatomy.parameters(),
        "active_parameters": anatomy.active_parameters(),
        "weight_bytes": model.checkpoint_bytes.unwrap_or(anatomy.weight_bytes()),
        "kv_bytes_per_token": anatomy.kv_bytes_per_token(value_bytes),
        "fixed_state_bytes_per_sequence": anatomy.fixed_state_bytes(value_bytes),
        "kv_cache_tokens": null,
        "max_concurrency": null,
        "smallest_tensor_parallel_size": null,
        "problems": problems.iter().map(|problem| problem.message.as_str()).collect::<Vec<_>>(),
    })
}

/// Where the memory of a rank goes, bytes.
pub fn memory_json(fit: &Fit) -> Value {
    json!({
        "driver_bytes": fit.budget.total_bytes,
        "gpu_memory_utilization": fit.utilization,
        "requested_bytes": fit.budget.requested_bytes,
        "rank_weight_bytes": fit.budget.weight_bytes,
        "activation_bytes": fit.budget.activation_bytes,
        "workspace_bytes": fit.budget.workspace_bytes,
        "graph_bytes": fit.budget.graph_bytes,
        "other_bytes": fit.budget.other_bytes,
        "kv_cache_bytes": fit.available_bytes,
    })
}
