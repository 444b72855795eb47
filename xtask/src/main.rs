//! Developer commands: `cargo xtask serve`, `cargo xtask test`, `cargo xtask --help`.
//!
//! One entry point that needs Rust, a package registry and, for some stages, Node.
//! The binding generator and the browser test runner are libraries linked in here, pinned by `Cargo.lock` to the version of
//! `wasm-bindgen` that the crates use, so no tool has to be installed and none can be of another version.
//! Simulations run in programs of `tests/`, built with the settings they are about; this crate only starts them.

mod bench;
mod bindgen;
mod browser;
mod budget;
mod command;
mod fingerprint;
mod repository;
mod serve;
mod setup;
mod site;
mod stages;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};

use crate::repository::Repository;
use crate::site::Profile;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Builds, serves, tests and measures Plimsoll", version)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Set everything up, build the site and serve it on this machine.
    Serve {
        /// Port to listen on; the next free one is taken where it is in use.
        #[arg(long, default_value_t = 8080)]
        port: u16,
        #[command(flatten)]
        profile: ProfileFlags,
    },
    /// Build the site into `dist/`.
    Build {
        #[command(flatten)]
        profile: ProfileFlags,
    },
    /// Set everything up and run every test.
    Test {
        /// Only what needs no browser and no release build.
        #[arg(long)]
        quick: bool,
        /// Run only the stages whose name contains one of these words.
        stages: Vec<String>,
    },
    /// Take pictures of every tab in `dist/`, at a desk, on a phone and in the dark.
    Screenshots {
        /// Only pictures whose names have all of these words, as `phone` or `run desktop`.
        words: Vec<String>,
        /// Renew the picture of the README instead.
        #[arg(long, conflicts_with = "words")]
        readme: bool,
    },
    /// Compare the simulator with the reference cases in a folder, in step mode and in fast mode.
    Golden {
        /// Folder of case folders.
        folder: PathBuf,
        /// Leave out the cases of more than one replica.
        #[arg(long)]
        single: bool,
    },
    /// Compare the simulator under vLLM's rules with recorded decisions, in step mode and in fast mode.
    Scheduler {
        /// Folder with `scenarios` and `expected`.
        folder: PathBuf,
    },
    /// Print how far the simulator is from what is true, a row an entry: `cargo xtask truth TABLE [PATH] [OPTIONS]`.
    Truth {
        /// The table and its options; `cargo xtask truth --help` lists the tables.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Fit the rates of the measured roofline and write them into `configs/step_times.yaml`.
    FitSteps {
        /// Folder of tables of measured kernels.
        #[arg(long)]
        kernels: PathBuf,
        /// Folder of measured steps, with an `index.csv`.
        #[arg(long)]
        steps: PathBuf,
        /// A server of that folder to leave out; may be given more than once.
        #[arg(long)]
        without: Vec<String>,
        /// Write nothing, and fail unless the committed rates are what the fit gives.
        #[arg(long)]
        check: bool,
    },
    /// Measure speed and memory on the named workloads, natively and in WebAssembly.
    Bench(bench::Options),
    /// Check the size of the files in `dist/` against the budget.
    Budget,
    /// Build only the files that the page loads by itself, for Trunk.
    Assets,
    /// Used by cargo as the runner of WebAssembly tests.
    #[command(hide = true, disable_help_flag = true)]
    WasmTestRunner {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

/// How the page is compiled; both take as long from nothing, so the published form is the default.
#[derive(Args)]
struct ProfileFlags {
    /// Compile the page for quick rebuilds: seconds after an edit instead of half a minute, but larger and slower.
    #[arg(long, conflicts_with = "release")]
    dev: bool,
    /// Compile the page as a host would publish it (default).
    #[arg(long)]
    release: bool,
}

impl ProfileFlags {
    fn profile(&self) -> Profile {
        if self.dev { Profile::Development } else { Profile::Release }
    }
}

fn main() -> ExitCode {
    match run(Arguments::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("xtask: {failure:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<()> {
    // Runs inside cargo, in the folder of the crate under test, once per test binary: nothing else may be looked up.
    if let Task::WasmTestRunner { arguments } = task {
        return bindgen::run_tests(arguments);
    }
    let repository = Repository::find()?;
    match task {
        Task::Serve { port, profile } => serve::run(&repository, profile.profile(), port),
        Task::Build { profile } => site::build(&repository, profile.profile()).map(drop),
        Task::Test { quick, stages } => stages::run(&repository, quick, &stages),
        Task::Screenshots { readme: true, .. } => browser::screenshots(&repository, &["--readme".to_owned()]),
        Task::Screenshots { words, .. } => browser::screenshots(&repository, &words),
        Task::Golden { folder, single } => stages::golden(&repository, &folder, single),
        Task::Scheduler { folder } => stages::scheduler(&repository, &folder),
        Task::FitSteps { kernels, steps, without, check } => {
            stages::fit_steps(&repository, [&kernels, &steps], &without, check)
        }
        Task::Truth { arguments } => stages::truth(&repository, &arguments),
        Task::Bench(options) => bench::run(&repository, &options),
        Task::Budget => budget::check(&repository),
        Task::Assets => site::build_assets(&repository),
        Task::WasmTestRunner { .. } => unreachable!("handled above"),
    }
}
