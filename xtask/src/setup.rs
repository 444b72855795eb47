//! What a fresh machine lacks: installed where that can be done, otherwise named with the command that installs it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::repository::Repository;
use crate::{command, fingerprint};

/// The target that browsers run.
pub const WASM: &str = "wasm32-unknown-unknown";

/// A browser and the driver of the same version.
pub struct Chromium {
    /// The browser.
    pub browser: PathBuf,
    /// The program that drives it for `wasm-bindgen-test`.
    pub driver: PathBuf,
}

/// Makes sure that Rust can compile for browsers.
///
/// # Errors
/// When the target is missing and rustup cannot add it.
pub fn wasm_target(repository: &Repository) -> Result<()> {
    let root = &repository.root;
    let sysroot = command::read(root, "rustc", &["--print", "sysroot"])?;
    if Path::new(sysroot.trim()).join("lib/rustlib").join(WASM).is_dir() {
        return Ok(());
    }
    if command::find(&["rustup"]).is_some() {
        return command::run(root, "rustup", &["target", "add", WASM]);
    }
    bail!(
        "this Rust cannot compile for {WASM}; install Rust from https://rustup.rs and run `rustup target add {WASM}`, \
         or install your distribution's package of the target's standard library"
    );
}

/// Makes sure that a component of Rust is there: `rustfmt` or `clippy`, which the smallest installation leaves out.
///
/// # Errors
/// When it is missing and rustup cannot add it.
pub fn component(repository: &Repository, name: &str) -> Result<()> {
    let root = &repository.root;
    // Not by the program's existence: rustup puts a stand-in where a component is missing.
    let tool = if name == "rustfmt" { "rustfmt" } else { "clippy-driver" };
    if command::read(root, tool, &["--version"]).is_ok() {
        return Ok(());
    }
    if command::find(&["rustup"]).is_some() {
        return command::run(root, "rustup", &["component", "add", name]);
    }
    bail!(
        "this Rust has no {name}; install Rust from https://rustup.rs and run `rustup component add {name}`, or install \
         your distribution's package of it"
    );
}

/// Makes sure that the npm packages of the lock file are there.
///
/// # Errors
/// When Node is missing or npm fails.
pub fn npm_packages(repository: &Repository) -> Result<()> {
    if command::find(&["node"]).is_none() || command::find(&["npm"]).is_none() {
        bail!(
            "Node is missing: it brings the chart library and runs the browser tests; install version 20 or newer \
             from https://nodejs.org or with your package manager (Debian: `apt-get install nodejs npm`)"
        );
    }
    let lock = fs::read(repository.root.join("package-lock.json"))?;
    let installed = repository.npm_package(".package-lock.json");
    let note = repository.root.join("node_modules").join(".plimsoll-fingerprint");
    fingerprint::unless_done(&note, &fingerprint::of(&[&lock]), &[&installed], || {
        let npm = command::find(&["npm", "npm.cmd"]).unwrap_or_else(|| "npm".into());
        command::run(&repository.root, npm, &["ci", "--no-audit", "--no-fund"])
    })
}

/// Finds Chromium and its driver, and installs Debian's where it may.
///
/// `CHROMIUM` and `CHROMEDRIVER` name others.
///
/// # Errors
/// When one is missing and cannot be installed.
pub fn chromium(repository: &Repository) -> Result<Chromium> {
    if let Some(found) = find_chromium() {
        return Ok(found);
    }
    let is_debian = Path::new("/etc/debian_version").exists();
    if is_debian && is_root(repository) {
        println!("  Chromium and its driver are missing: installing Debian's");
        command::run(&repository.root, "apt-get", &["update", "-q"])?;
        let install = ["install", "-y", "-q", "--no-install-recommends", "chromium", "chromium-driver"];
        command::run_with(&repository.root, "apt-get", &install, &[("DEBIAN_FRONTEND", "noninteractive")])?;
    }
    match find_chromium() {
        Some(found) => Ok(found),
        None => bail!(
            "Chromium or its driver is missing; install both in the same version (Debian: `sudo apt-get install chromium \
             chromium-driver`), or name them in the variables CHROMIUM and CHROMEDRIVER"
        ),
    }
}

fn find_chromium() -> Option<Chromium> {
    let named = |variable: &str| std::env::var_os(variable).map(PathBuf::from).filter(|file| file.is_file());
    let browser = named("CHROMIUM")
        .or_else(|| command::find(&["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]))?;
    let driver = named("CHROMEDRIVER").or_else(|| command::find(&["chromedriver"]))?;
    Some(Chromium { browser, driver })
}

fn is_root(repository: &Repository) -> bool {
    command::read(&repository.root, "id", &["-u"]).is_ok_and(|id| id.trim() == "0")
}
