//! Runs one workload once in a fresh process: the native program, or Node with the module.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::bindgen::{Bound, Glue};
use crate::repository::{Repository, cargo};
use crate::{command, site};

/// What one run took and counted. Printed by the programs as a line of JSON.
#[derive(Deserialize)]
pub struct Sample {
    /// Wall time from the generator to the finished report.
    pub seconds: f64,
    /// Simulated requests.
    pub requests: u64,
    /// Simulated engine steps, skipped ones included.
    pub steps: u64,
    /// Simulated preemptions.
    pub preemptions: u64,
    /// Largest resident memory of the process, where the system tells it.
    pub peak_bytes: Option<u64>,
}

impl Sample {
    /// Whether both simulated the same thing.
    pub fn has_counts_of(&self, other: &Self) -> bool {
        (self.requests, self.steps, self.preemptions) == (other.requests, other.steps, other.preemptions)
    }
}

/// Cargo's arguments that choose the program.
const SELECTION: [&str; 4] = ["-p", "plimsoll-tests", "--bin", "bench"];

/// A program that measures.
pub struct Runner {
    folder: PathBuf,
    program: PathBuf,
    first: Vec<String>,
}

impl Runner {
    /// The program with the settings of the published command line.
    ///
    /// # Errors
    /// When it does not build.
    pub fn native(repository: &Repository) -> Result<Self> {
        command::run(&repository.root, cargo(), &[&["build", "--release", "--locked"], &SELECTION[..]].concat())?;
        let program = repository.target.join("release").join(format!("bench{}", std::env::consts::EXE_SUFFIX));
        Ok(Self { folder: repository.root.clone(), program, first: Vec::new() })
    }

    /// The same program compiled and optimized as the published workers' module is, run by Node.
    ///
    /// # Errors
    /// When Node is missing or it does not build.
    pub fn wasm(repository: &Repository) -> Result<Self> {
        Self::node(repository, "bench", &site::compile_for_workers(repository, &SELECTION, "bench", Glue::Node)?)
    }

    /// The same program compiled and optimized as the page's own modules are: as small as it gets. Run by Node.
    ///
    /// # Errors
    /// As [`Runner::wasm`].
    pub fn page(repository: &Repository) -> Result<Self> {
        Self::node(repository, "bench-page", &site::compile_for_page(repository, &SELECTION, "bench", Glue::Node)?)
    }

    fn node(repository: &Repository, folder: &str, bound: &Bound) -> Result<Self> {
        // For Node the glue finds its module by name beside itself.
        let folder = repository.site().join(folder).join("optimized");
        fs::create_dir_all(&folder).with_context(|| format!("could not create {}", folder.display()))?;
        let (glue, module) = (folder.join("bench.js"), folder.join("bench_bg.wasm"));
        for (from, to) in [(&bound.glue, &glue), (&bound.wasm, &module)] {
            fs::copy(from, to).with_context(|| format!("could not copy {}", from.display()))?;
        }
        let script = repository.root.join("tests/browser/bench-workload.mjs");
        let first = [&script, &glue].map(|file: &PathBuf| text(file)).into_iter().collect();
        Ok(Self { folder: repository.root.clone(), program: PathBuf::from("node"), first })
    }

    /// The names of the workloads.
    ///
    /// # Errors
    /// When the program fails.
    pub fn workloads(&self) -> Result<Vec<String>> {
        Ok(self.ask(&["list"])?.lines().map(str::to_owned).collect())
    }

    /// Runs a workload once.
    ///
    /// # Errors
    /// When the program fails or prints something else than a sample.
    pub fn measure(&self, name: &str, requests: u64) -> Result<Sample> {
        let printed = self.ask(&["run", name, &requests.to_string()])?;
        serde_json::from_str(&printed).with_context(|| format!("{name}: not a sample: {printed}"))
    }

    fn ask(&self, arguments: &[&str]) -> Result<String> {
        let arguments: Vec<&str> = self.first.iter().map(String::as_str).chain(arguments.iter().copied()).collect();
        command::read(&self.folder, &self.program, &arguments)
    }
}

fn text(file: &Path) -> String {
    file.to_string_lossy().into_owned()
}
