//! `plimsoll fits`: whether a model fits, and how much KV cache is left.

mod answer;
mod ledger;
mod line;

use crate::arguments::{FitsArguments, LogLevel, MaxModelLen};
use crate::input::{ModelTexts, read_text};
use crate::output::{Failure, tell, tell_line, write_json};
pub use answer::memory_json;
use answer::{as_json, unplanned_json};
use ledger::write_ledger;
use plimsoll_anatomy::{describe_config, hf_config_of_entry, quantization_of_entry, read_config};
use plimsoll_configs::catalog;
use plimsoll_core::anatomy::Anatomy;
use plimsoll_core::catalog::{AcceleratorSpec, Footprint};
use plimsoll_core::diagnostic::{Diagnostic, Warned};
use plimsoll_core::kv_plan::{CacheMemory, FitQuestion, KvDtype, Pipeline};
use plimsoll_core::scenario::ServerVersion;
use plimsoll_formats::{ModelFiles, model_of_described};
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// Answers; ends with exit code 3 if the model does not fit.
pub fn fits(arguments: &FitsArguments) -> Result<(), Failure> {
    let arguments = &line::with_line(arguments)?;
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
    let folder = arguments.model_config_folder.as_deref();
    let name = arguments.model.as_deref().or_else(|| folder?.to_str()).unwrap_or_default();
    let path = Path::new(name);
    let known = catalog().model_meant(name).filter(|_| folder.is_none() && !path.exists());
    let name = known.map_or(name, |known| known.id.as_str());
    let (texts, stated) = match (known, folder) {
        (Some(known), _) => (ModelTexts::of_config(hf_config_of_entry(known)), quantization_of_entry(known)),
        (None, Some(folder)) => (ModelTexts::of_folder(folder)?, None),
        (None, None) if !path.exists() => {
            let question = catalog().model_question(name);
            let question = question.unwrap_or_else(|| "`plimsoll catalog models` lists all of the catalogue;".into());
            let problem = Diagnostic::error("unknown-model", "MODEL", format!("there is no model or file {name}"));
            tell_line(problem.with_hint(format!("{question} or give a config.json")));
            return Err(Failure::Invalid);
        }
        (None, None) if path.is_dir() => (ModelTexts::of_folder(path)?, None),
        (None, None) => (ModelTexts::of_config(read_text(path)?), None),
    };
    let mut files = texts.files();
    // A server quantizes while it loads only what is not quantized.
    let is_plain =
        stated.is_none() && files.quantization.is_none() && !files.config.contains("\"quantization_config\"");
    let made = arguments.quantized_while_loading.filter(|_| is_plain);
    files.stored_as = arguments.quantization.as_deref().or(stated).or(made);
    let (text, beside) = (files.config, files.beside());
    let told = |problems: Vec<Diagnostic>| {
        tell(&problems, Some(text), arguments.log);
        Failure::Invalid
    };
    // A config may have some million bytes: it is read once and described once.
    let top = read_config(text).map_err(told)?;
    let described = describe_config(&top, beside);
    let alone = ModelFiles { index: None, ..files };
    let longest_context =
        model_of_described(&top, &described, alone, name).ok().map(|read| read.value.longest_context());
    let Warned { value: described, diagnostics } = described.map_err(told)?;
    tell(&diagnostics, Some(text), arguments.log);
    let mut footprint = described.footprint();
    let mut pipeline = match arguments.pp {
        None | Some(0 | 1) => None,
        Some(stages) => Some(described.pipeline(stages).map_err(told)?),
    };
    let anatomy = described.anatomy;
    let checkpoint_bytes = files.checkpoint_bytes().unwrap_or_else(|problem| {
        tell(&[problem], None, arguments.log);
        None
    });
    if let Some(bytes) = checkpoint_bytes {
        footprint.be_of_checkpoint(bytes);
    }
    let (is_wide, state_bytes) = types(arguments)?;
    let stages = pipeline.iter_mut().flat_map(|pipeline| pipeline.stages.iter_mut());
    for footprint in std::iter::once(&mut footprint).chain(stages) {
        if is_wide {
            footprint.be_read_as_32_bits(&anatomy);
        }
        footprint.state_bytes = state_bytes.unwrap_or(footprint.state_bytes);
    }
    let longest_context = longest_context.unwrap_or_else(|| anatomy.max_position_embeddings.map_or(0, u64::from));
    Ok(Model { name: name.to_owned(), anatomy, footprint, checkpoint_bytes, pipeline, longest_context })
}

/// Whether values are read as 32-bit ones, and the bytes of a state's, where a flag says so.
fn types(arguments: &FitsArguments) -> Result<(bool, Option<u32>), Failure> {
    let mut problems = Vec::new();
    let mut bytes = |flag: &str, given: Option<&str>| match given.map(str::to_ascii_lowercase).as_deref() {
        None | Some("auto") => None,
        Some("half" | "float16" | "bfloat16") => Some(2),
        Some("float" | "float32") => Some(4),
        Some(other) => {
            let problem = Diagnostic::error("invalid-value", flag, format!("the type is {other}"));
            problems.push(problem.with_hint("valid are auto, half, float16, bfloat16, float, float32"));
            None
        }
    };
    let values = bytes("--dtype", arguments.dtype.as_deref());
    let states = bytes("--mamba-ssm-cache-dtype", arguments.mamba_ssm_cache_dtype.as_deref());
    if problems.is_empty() {
        return Ok((values == Some(4), states));
    }
    problems.iter().for_each(tell_line);
    Err(Failure::Invalid)
}

/// The server that is asked for; every problem is told at once.
fn question<'a>(
    arguments: &FitsArguments,
    model: &'a Model,
    accelerator: Option<&'a AcceleratorSpec>,
) -> Result<FitQuestion<'a>, Failure> {
    let mut problems = Vec::new();
    for (flag, value) in [
        ("--tp", arguments.tp),
        ("--pp", arguments.pp),
        ("--dp", arguments.dp),
        ("--decode-context-parallel-size", arguments.decode_context_parallel_size),
    ] {
        if value == Some(0) {
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
    let given = arguments.kv_cache_dtype.as_deref().unwrap_or("auto");
    let dtype = KvDtype::of_server(given);
    if dtype.is_none() {
        let message = format!("kv_cache_dtype is {given}");
        let problem = Diagnostic::error("invalid-value", "--kv-cache-dtype", message);
        problems.push(problem.with_hint(format!("known are {}", KvDtype::SERVED)));
    }
    if let (Some(MaxModelLen::Tokens(length)), made_for @ 1..) = (arguments.max_model_len, model.longest_context)
        && u64::from(length) > made_for
    {
        let message = format!("max_model_len is {length} and the model is made for {made_for} tokens");
        if arguments.allow_long_max_model_len {
            if arguments.log <= LogLevel::Warn {
                tell_line(Diagnostic::warning("long-max-model-len", "--max-model-len", message));
            }
        } else {
            let message = format!("{message}, and vLLM does not start with that");
            let hint = format!(
                "give at most {made_for}; with VLLM_ALLOW_LONG_MAX_MODEL_LEN=1 vLLM starts, here with --allow-long-max-model-len"
            );
            problems.push(Diagnostic::error("server-refuses", "--max-model-len", message).with_hint(hint));
        }
    }
    if let Some(utilization) = arguments.gpu_memory_utilization
        && !(utilization > 0.0 && utilization <= 1.0)
    {
        let message = format!("gpu_memory_utilization is {utilization}");
        let problem = Diagnostic::error("invalid-value", "--gpu-memory-utilization", message);
        problems.push(problem.with_hint("give a share above 0 and up to 1, e.g. 0.9"));
    }
    let (Some(accelerator), Some(version), Some(kv_cache_dtype)) = (accelerator, version, dtype) else {
        return Err(refused(&problems));
    };
    let max_model_len = match arguments.max_model_len {
        Some(MaxModelLen::Tokens(tokens)) => Some(tokens),
        Some(MaxModelLen::Auto) | None => None,
    };
    let longest = max_model_len.map_or(model.longest_context, u64::from);
    let mut limits = version.known().limits(Some(accelerator));
    if arguments.doubles_limits {
        limits = limits.doubled();
    }
    let question = FitQuestion {
        footprint: &model.footprint,
        longest_context: model.longest_context,
        accelerator,
        tensor_parallel_size: arguments.tp.unwrap_or(1),
        pipeline: model.pipeline.as_ref(),
        data_parallel_size: arguments.dp.unwrap_or(1),
        enable_expert_parallel: arguments.enable_expert_parallel,
        decode_context_parallel_size: arguments.decode_context_parallel_size.unwrap_or(1),
        is_hybrid_manager_disabled: arguments.disable_hybrid_kv_cache_manager,
        utilization: arguments.gpu_memory_utilization.unwrap_or(version.gpu_memory_utilization()),
        version,
        limits: limits.for_whole_prompts(longest, !arguments.takes_whole_prompts).with_given(
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
    };
    if let (Some(size), step) = (arguments.block_size, question.block_step().max(1))
        && !u64::from(size).is_multiple_of(step)
    {
        let message = format!("blocks of {size} tokens suit no attention kernel of this model on {}", accelerator.id);
        let hint = format!("vLLM does not start with that; give a multiple of {step}");
        problems.push(Diagnostic::error("server-refuses", "--block-size", message).with_hint(hint));
    }
    if problems.is_empty() {
        return Ok(question);
    }
    problems.extend(question.answer().err().unwrap_or_default());
    Err(refused(&problems))
}

fn refused(problems: &[Diagnostic]) -> Failure {
    problems.iter().for_each(tell_line);
    Failure::Invalid
}
