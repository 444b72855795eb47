//! The command line of the commands that read logs of real servers.
#![allow(rustdoc::broken_intra_doc_links, reason = "the comments are the help text, which shows defaults in brackets")]

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
use plimsoll_core::calibrate::{FitSettings, FittedModel, Objective, Optimizer, Overload, Weights};
use plimsoll_core::scenario::ServerVersion;
use std::path::PathBuf;

/// What a study holds, so that nobody gives it beside one: with any of it changed, losses would not compare.
const STUDY_HOLDS: [&str; 7] = ["logs", "config", "latency_model", "objective", "weights", "validate_last", "overload"];

#[derive(Debug, Args)]
pub struct CalibrateArguments {
    /// A log with single requests, or one that describes the server; may be given several times.
    #[arg(long = "log", value_name = "LOG", required_unless_present_any = ["config", "example", "study"])]
    pub logs: Vec<PathBuf>,
    /// Write the fit to this YAML file.
    #[arg(long, value_name = "FILE", required_unless_present = "example")]
    pub out: Option<PathBuf>,
    /// What is fitted [calibrated].
    #[arg(long, value_name = "NAME", value_parser = named(FittedModel::ALL, FittedModel::name, FittedModel::label))]
    pub latency_model: Option<FittedModel>,
    /// What is minimized [log-ratio].
    #[arg(long, value_name = "NAME", value_parser = named(Objective::ALL, Objective::name, Objective::label))]
    pub objective: Option<Objective>,
    /// How much each metric counts in log-ratio [ttft=1,tpot=1,e2e=1].
    #[arg(long, value_name = "NAME=WEIGHT,…", value_parser = weights)]
    pub weights: Option<Weights>,
    /// What searches [multi-start].
    #[arg(long, value_name = "NAME", value_parser = named(Optimizer::ALL, Optimizer::name, Optimizer::label))]
    pub optimizer: Option<Optimizer>,
    /// Settings of the 2025 optimizer: bounds, scaling, error function, seed, runs to fit and to keep aside.
    #[arg(long, value_name = "FILE", visible_alias = "config_file")]
    pub config: Option<PathBuf>,
    /// Fit a published experiment again.
    #[arg(long, value_enum, value_name = "NAME", conflicts_with_all = ["logs", "config", "study", "latency_model"])]
    pub example: Option<ExperimentName>,
    /// Begin at a fit that `calibrate` wrote, of the same model.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["example", "study"])]
    pub start: Option<PathBuf>,
    /// Go on with a saved study.
    #[arg(long, value_name = "FILE", conflicts_with_all = STUDY_HOLDS)]
    pub study: Option<PathBuf>,
    /// Save the study beside the fit, with every trial, to go on later [with --config].
    #[arg(long, visible_alias = "save_study")]
    pub save_study: bool,
    /// Save no study.
    #[arg(long, visible_aliases = ["no-save_study", "no_save_study"], conflicts_with = "save_study")]
    pub no_save_study: bool,
    /// Simulated evaluations [16000; fewer for optimizers that are slow themselves].
    #[arg(
        long,
        value_name = "N",
        visible_aliases = ["n-trials", "n_trials"],
        value_parser = clap::value_parser!(u64).range(1..=FitSettings::MAX_BUDGET)
    )]
    pub budget: Option<u64>,
    /// Seed of the search [42].
    #[arg(long)]
    pub seed: Option<u64>,
    /// A log that is not fitted but predicted, to judge the fit; may be given several times.
    #[arg(long = "hold-out", value_name = "LOG")]
    pub held_out: Vec<PathBuf>,
    /// Share of the time of every run, its end, that is not fitted but predicted, e.g. 20%.
    #[arg(long, value_name = "SHARE", value_parser = share)]
    pub validate_last: Option<f64>,
    /// What becomes of requests sent while the server was overloaded [flag].
    #[arg(long, value_name = "NAME", value_parser = named(Overload::ALL, Overload::name, Overload::label))]
    pub overload: Option<Overload>,
    #[command(flatten)]
    pub server: ServerArguments,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExperimentName {
    #[value(name = "experiment-01")]
    Experiment01,
}

/// What logs do not tell of the server.
#[derive(Debug, Args)]
pub struct ServerArguments {
    /// Model id [as logged].
    #[arg(long, help_heading = "Server")]
    pub model: Option<String>,
    /// Accelerator id [as logged, else H100].
    #[arg(long, visible_aliases = ["accelerator", "gpu"], help_heading = "Server")]
    pub hardware: Option<String>,
    /// Accelerators per replica [as logged, else what the model needs].
    #[arg(long, visible_alias = "tensor-parallel-size", help_heading = "Server")]
    pub tp: Option<u32>,
    /// Release of vLLM [as logged, else the newest].
    #[arg(long, value_name = "VERSION", value_parser = release, help_heading = "Server")]
    pub vllm_version: Option<String>,
    /// Most requests in a batch [as logged, else the release's default].
    #[arg(long, value_name = "N", help_heading = "Server")]
    pub max_num_seqs: Option<u32>,
    /// Token budget of a step [as logged, else the release's default].
    #[arg(long, value_name = "N", help_heading = "Server")]
    pub max_num_batched_tokens: Option<u32>,
    /// Most requests that the client had in flight [as logged, or as found in the log].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Server")]
    pub client_cap: Option<u32>,
    /// KV blocks [as logged, else what the memory leaves beside the weights].
    #[arg(long, value_name = "N", visible_alias = "num-gpu-blocks", help_heading = "Server")]
    pub total_kv_blocks: Option<u32>,
}

#[derive(Debug, Args)]
pub struct EvaluateArguments {
    /// A fit that `calibrate` wrote [none: what measured kernels predict].
    #[arg(long, value_name = "FILE")]
    pub fit: Option<PathBuf>,
    /// A log with single requests; may be given several times.
    #[arg(long = "log", value_name = "LOG", required = true)]
    pub logs: Vec<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub server: ServerArguments,
}

/// Values by the names they have in files, each with what it is.
fn named<T: Copy + Send + Sync + 'static, const N: usize>(
    all: [T; N],
    name: fn(T) -> &'static str,
    label: fn(T) -> &'static str,
) -> impl TypedValueParser<Value = T> {
    let values = all.map(|value| PossibleValue::new(name(value)).help(label(value)));
    PossibleValuesParser::new(values).try_map(move |text| {
        // The names have been checked, so one is found.
        all.into_iter().find(|value| name(*value) == text).ok_or("not a known name")
    })
}

/// Weights of the metrics as `ttft=2,e2e=0`; what is not named keeps 1.
fn weights(text: &str) -> Result<Weights, String> {
    let mut values = Weights::default().values();
    for part in text.split(',') {
        let (name, weight) = part.split_once('=').ok_or_else(|| format!("\"{part}\" is not a name and a weight"))?;
        let known = Weights::NAMES.iter().zip(&mut values).find(|(known, _)| **known == name.trim());
        let (_, value) = known.ok_or_else(|| format!("\"{name}\" is not one of {}", Weights::NAMES.join(", ")))?;
        *value = weight.trim().parse().map_err(|_| format!("the weight \"{weight}\" is not a number"))?;
    }
    let weights = Weights::of_values(values);
    let range = || format!("give weights from 0 to {}, not all of them 0", Weights::MAX);
    weights.is_usable().then_some(weights).ok_or_else(range)
}

/// A release of vLLM, as `run` takes it.
fn release(text: &str) -> Result<String, String> {
    let known = ServerVersion::parse(text).map(|_| text.to_owned());
    known.ok_or_else(|| "give a release like 0.33 or v0.24.0".to_owned())
}

/// A share in percent or as a fraction.
fn share(text: &str) -> Result<f64, String> {
    let share = match text.strip_suffix('%') {
        Some(percent) => percent.trim().parse().map(|percent: f64| percent / 100.0),
        None => text.parse(),
    };
    match share {
        Ok(share) if (0.0..=FitSettings::MAX_VALIDATE_LAST).contains(&share) => Ok(share),
        _ => Err(format!("give a share from 0% to {}%", FitSettings::MAX_VALIDATE_LAST * 100.0)),
    }
}
