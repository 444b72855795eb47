//! `plimsoll fits`: whether a model fits, and how much KV cache is left.

mod ledger;

use crate::arguments::FitsArguments;
use crate::input::read_text;
use crate::output::{Failure, tell, tell_line, write_json};
use ledger::write_ledger;
use plimsoll_configs::catalog;
use plimsoll_core::anatomy::Anatomy;
use plimsoll_core::catalog::{AcceleratorSpec, ModelSpec, meant};
use plimsoll_core::diagnostic::{Diagnostic, Warned};
use plimsoll_core::kv_plan::{
    BatchLimits, CacheMemory, Fit, FitQuestion, KernelBlocks, KvDtype, KvSettings, PlanRules, Release,
    max_in_flight_tokens,
};
use plimsoll_formats::{
    BesideConfig, KvModel, anatomy_from_hf_config, hf_config_of_entry, kv_layers_from_hf_config, quantization_in_name,
};
use serde_json::{Value, json};
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// The release that is followed unless told otherwise.
const RELEASE: Release = Release { major: 0, minor: 32 };

/// The longest sequence where neither the flag nor the model says one, tokens.
const LENGTH: u32 = 8192;

/// Bytes of a parameter of a vision tower, which quantizers leave alone.
const VISION_BYTES: u64 = 2;

/// Answers; ends with exit code 3 if the model does not fit.
pub fn fits(arguments: &FitsArguments) -> Result<(), Failure> {
    let model = model(arguments)?;
    let server = server(arguments, &model)?;
    let question = server.question(&model);
    let fit = question.answer().map_err(|problems| {
        problems.iter().for_each(tell_line);
        Failure::Invalid
    })?;
    let mut out = BufWriter::new(io::stdout().lock());
    match arguments.json {
        true => write_json(&mut out, &as_json(&model, &question, &fit))?,
        false => write_ledger(&mut out, &model.name, &question, &fit)?,
    }
    out.flush()?;
    if fit.plan.is_ok() { Ok(()) } else { Err(Failure::NotMet) }
}

/// A model by its parts.
pub struct Model {
    /// What it is called.
    pub name: String,
    /// Its tensors and layers.
    pub anatomy: Anatomy,
    /// What its layers keep.
    pub kv: KvModel,
}

/// The model of the catalogue, or of a `config.json` or its folder.
fn model(arguments: &FitsArguments) -> Result<Model, Failure> {
    let name = arguments.model.as_str();
    let path = Path::new(name);
    let (text, quantizer_file, stated) = match catalog().model(name) {
        Some(known) if !path.exists() => (hf_config_of_entry(known), None, quantization_of(known)),
        None if !path.exists() => {
            let hint = meant(name, catalog().models.iter().map(|model| model.id.as_str()));
            let problem = Diagnostic::error("unknown-model", "MODEL", format!("there is no model or file {name}"));
            tell_line(problem.with_hint(format!("{hint}; or give a config.json")));
            return Err(Failure::Invalid);
        }
        _ if path.is_dir() => {
            let beside = path.join("hf_quant_config.json");
            let quantizer_file = if beside.exists() { Some(read_text(&beside)?) } else { None };
            (read_text(&path.join("config.json"))?, quantizer_file, None)
        }
        _ => (read_text(path)?, None, None),
    };
    let beside = BesideConfig {
        quantization_file: quantizer_file.as_deref(),
        quantization: arguments.quantization.as_deref().or(stated),
    };
    let told = |problems: Vec<Diagnostic>| {
        tell(&problems, Some(&text), arguments.log);
        Failure::Invalid
    };
    let Warned { value: anatomy, diagnostics } = anatomy_from_hf_config(&text, beside).map_err(told)?;
    tell(&diagnostics, Some(&text), arguments.log);
    let kv = kv_layers_from_hf_config(&text, &anatomy).map_err(told)?;
    Ok(Model { name: name.to_owned(), anatomy, kv })
}

/// How the weights of an entry are stored, in the words of the readers; none if as its type says.
fn quantization_of(model: &ModelSpec) -> Option<&'static str> {
    quantization_in_name(&model.id).or(match model.weight_bytes_per_param {
        Some(bytes) if bytes <= 0.625 => Some("int4"),
        Some(bytes) if bytes <= 1.0 => Some("fp8"),
        _ => None,
    })
}

/// A server by its settings.
struct Server {
    accelerator: AcceleratorSpec,
    utilization: f64,
    release: Release,
    limits: BatchLimits,
    settings: KvSettings,
    memory: CacheMemory,
}

impl Server {
    fn question<'a>(&'a self, model: &'a Model) -> FitQuestion<'a> {
        FitQuestion {
            anatomy: &model.anatomy,
            layers: &model.kv.layers,
            vision_bytes: model.kv.vision_parameters.saturating_mul(VISION_BYTES),
            accelerator: &self.accelerator,
            utilization: self.utilization,
            release: self.release,
            limits: self.limits,
            settings: self.settings,
            memory: self.memory,
        }
    }
}

/// The server that is asked for; every problem is told at once.
fn server(arguments: &FitsArguments, model: &Model) -> Result<Server, Failure> {
    let mut problems = Vec::new();
    let accelerator = catalog().accelerator(&arguments.hardware);
    if accelerator.is_none() {
        let message = format!("there is no accelerator {}", arguments.hardware);
        let hint = meant(&arguments.hardware, catalog().accelerators.iter().map(|known| known.id.as_str()));
        problems.push(Diagnostic::error("unknown-accelerator", "--hardware", message).with_hint(hint));
    }
    let release = match &arguments.vllm_version {
        None => Some(RELEASE),
        Some(version) => Release::named(version),
    };
    if release.is_none() {
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
    let (Some(accelerator), Some(release), Some(kv_cache_dtype), []) =
        (accelerator.cloned(), release, dtype, problems.as_slice())
    else {
        problems.iter().for_each(tell_line);
        return Err(Failure::Invalid);
    };
    let usual = BatchLimits::usual(&accelerator, release);
    let limits = BatchLimits {
        max_num_batched_tokens: arguments.max_num_batched_tokens.unwrap_or(usual.max_num_batched_tokens),
        max_num_seqs: arguments.max_num_seqs.unwrap_or(usual.max_num_seqs),
    };
    let length = arguments.max_model_len.or(model.anatomy.max_position_embeddings).unwrap_or(LENGTH);
    let settings = KvSettings {
        model_value_bytes: model.kv.value_bytes,
        kv_cache_dtype,
        block_size: arguments.block_size,
        kernel_blocks: KernelBlocks::of(accelerator.generation),
        enable_prefix_caching: !arguments.no_enable_prefix_caching,
        max_in_flight_tokens: max_in_flight_tokens(limits.max_num_batched_tokens, !arguments.no_async_scheduling, 1),
        rules: if release >= Release::NEWEST { PlanRules::V0_33 } else { PlanRules::V0_32 },
        ..KvSettings::new(arguments.tp, length)
    };
    let memory = match (arguments.num_gpu_blocks_override, arguments.kv_cache_memory_bytes) {
        (Some(blocks), _) => CacheMemory::Blocks(blocks),
        (None, Some(bytes)) => CacheMemory::Bytes(bytes),
        (None, None) => CacheMemory::LeftOver,
    };
    let utilization = arguments.gpu_memory_utilization.unwrap_or(release.default_utilization());
    Ok(Server { accelerator, utilization, release, limits, settings, memory })
}

fn as_json(model: &Model, question: &FitQuestion<'_>, fit: &Fit) -> Value {
    let anatomy = &model.anatomy;
    let settings = &question.settings;
    let value_bytes = settings.kv_cache_dtype.bytes(settings.model_value_bytes);
    let plan = fit.plan.as_ref().ok();
    let groups: Vec<Value> = fit
        .layout
        .groups
        .iter()
        .map(|group| {
            let layers = group.layers.iter().map(|layers| {
                json!({
                    "kind": ledger::kind(layers.kind),
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
        "hardware": question.accelerator.id,
        "tensor_parallel_size": settings.tensor_parallel_size,
        "vllm_version": format!("{}.{}", question.release.major, question.release.minor),
        "max_model_len": settings.max_model_len,
        "fits": fit.plan.is_ok(),
        "parameters": anatomy.parameters(),
        "active_parameters": anatomy.active_parameters(),
        "weight_bytes": anatomy.weight_bytes(),
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
        "memory": {
            "driver_bytes": fit.budget.total_bytes,
            "gpu_memory_utilization": question.utilization,
            "requested_bytes": fit.budget.requested_bytes,
            "rank_weight_bytes": fit.budget.weight_bytes,
            "activation_bytes": fit.budget.activation_bytes,
            "workspace_bytes": fit.budget.workspace_bytes,
            "graph_bytes": fit.budget.graph_bytes,
            "other_bytes": fit.budget.other_bytes,
            "kv_cache_bytes": fit.available_bytes,
        },
    })
}
