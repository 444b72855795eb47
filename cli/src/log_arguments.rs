//! The command line of the commands that read logs of real servers.
#![allow(rustdoc::broken_intra_doc_links, reason = "the comments are the help text, which shows defaults in brackets")]

use clap::{Args, ValueEnum};
use plimsoll_core::calibrate::FittedModel;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct CalibrateArguments {
    /// A log with single requests, or one that describes the server; may be given several times.
    #[arg(long = "log", value_name = "LOG", required_unless_present_any = ["config", "example", "study"])]
    pub logs: Vec<PathBuf>,
    /// Write the fit to this YAML file.
    #[arg(long, value_name = "FILE", required_unless_present = "example")]
    pub out: Option<PathBuf>,
    /// What is fitted [calibrated].
    #[arg(long, value_enum)]
    pub latency_model: Option<FittedModelName>,
    /// What is minimized [log-ratio].
    #[arg(long, value_enum)]
    pub objective: Option<ObjectiveName>,
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
    #[arg(long, value_name = "FILE", conflicts_with_all = ["logs", "config", "latency_model", "objective"])]
    pub study: Option<PathBuf>,
    /// Save the study beside the fit, with every trial, to go on later [with --config].
    #[arg(long, visible_alias = "save_study")]
    pub save_study: bool,
    /// Save no study.
    #[arg(long, visible_aliases = ["no-save_study", "no_save_study"], conflicts_with = "save_study")]
    pub no_save_study: bool,
    /// Simulated evaluations [12000].
    #[arg(
        long,
        value_name = "N",
        visible_aliases = ["n-trials", "n_trials"],
        value_parser = clap::value_parser!(u64).range(1..=10_000_000)
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
    #[arg(long, value_enum)]
    pub overload: Option<OverloadName>,
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
    /// Most requests in a batch [as logged, else 256].
    #[arg(long, value_name = "N", help_heading = "Server")]
    pub max_num_seqs: Option<u32>,
    /// Token budget of a step [as logged, else 8192].
    #[arg(long, value_name = "N", help_heading = "Server")]
    pub max_num_batched_tokens: Option<u32>,
    /// KV blocks [as logged, else no limit].
    #[arg(long, value_name = "N", visible_alias = "num-gpu-blocks", help_heading = "Server")]
    pub total_kv_blocks: Option<u32>,
}

#[derive(Debug, Args)]
pub struct EvaluateArguments {
    /// A fit that `calibrate` wrote.
    #[arg(long, value_name = "FILE")]
    pub fit: PathBuf,
    /// A log with single requests; may be given several times.
    #[arg(long = "log", value_name = "LOG", required = true)]
    pub logs: Vec<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub server: ServerArguments,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FittedModelName {
    Calibrated,
    Blackbox,
    Quadratic,
    Roofline,
    TrainedPhysics,
}

impl From<FittedModelName> for FittedModel {
    fn from(name: FittedModelName) -> Self {
        match name {
            FittedModelName::Calibrated => Self::Calibrated,
            FittedModelName::Blackbox => Self::Blackbox,
            FittedModelName::Quadratic => Self::Quadratic,
            FittedModelName::Roofline => Self::Roofline,
            FittedModelName::TrainedPhysics => Self::TrainedPhysics,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OverloadName {
    /// They count, and the stretches are told.
    Flag,
    /// They load the simulated server and do not count.
    Exclude,
}

/// A share in percent or as a fraction.
fn share(text: &str) -> Result<f64, String> {
    let share = match text.strip_suffix('%') {
        Some(percent) => percent.trim().parse().map(|percent: f64| percent / 100.0),
        None => text.parse(),
    };
    match share {
        Ok(share) if (0.0..=0.9).contains(&share) => Ok(share),
        _ => Err("give a share from 0% to 90%".to_owned()),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ObjectiveName {
    LogRatio,
    Mape,
    Mse,
}
