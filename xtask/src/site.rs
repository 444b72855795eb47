//! Builds the site: the engine's module, the page's module, the chart library and the style, assembled into `dist/`.

mod page;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::bindgen::{self, Bound, Glue};
use crate::repository::{Repository, cargo};
use crate::{command, fingerprint, setup};

/// How the page is compiled. The engine is always optimized, because an unoptimized one is six times slower.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// Quick to compile.
    Development,
    /// What a host would publish.
    Release,
}

impl Profile {
    /// Cargo's profile for the page and the folder it compiles into.
    fn cargo(self) -> (&'static str, &'static str) {
        match self {
            Self::Development => ("dev", "debug"),
            Self::Release => ("release-app", "release-app"),
        }
    }
}

/// How `wasm-opt` treats the workers' module. Functions with one caller stay apart: as one function of thousands of
/// lines, the simulator's loop is compiled a third slower by the browser.
const FAST: &[&str] = &["-O3", "--one-caller-inline-max-function-size=20", BY_NAME];
/// How it treats the page's module.
const SMALL: &[&str] = &["-Oz", BY_NAME];
/// Functions of one origin, such as a trait for many types, become neighbours: what compresses them looks back no
/// further than 32 KB, and finds the like of them 4 % more often.
const BY_NAME: &str = "--reorder-functions-by-name";

/// Builds the site into `dist/` and returns that folder.
///
/// # Errors
/// When a tool is missing, a crate does not compile, or `index.html` names a file that is not there.
pub fn build(repository: &Repository, profile: Profile) -> Result<PathBuf> {
    let start = Instant::now();
    setup::wasm_target(repository)?;
    setup::npm_packages(repository)?;
    let workers = [engine(repository, profile, "engine")?, engine(repository, profile, "reader")?];
    let pages = pages(repository, profile)?;
    let dist = repository.dist();
    let num_files = page::assemble(repository, &pages, &workers, &plotly(repository), &dist)?;
    println!("  site of {num_files} files in {} ({:.1} s)", dist.display(), start.elapsed().as_secs_f64());
    Ok(dist)
}

/// Builds what the page loads by itself under the plain names that `index.html` gives, for Trunk to copy.
///
/// # Errors
/// As [`build`].
pub fn build_assets(repository: &Repository) -> Result<()> {
    setup::wasm_target(repository)?;
    setup::npm_packages(repository)?;
    let folder = repository.site().join("assets");
    fs::create_dir_all(&folder)?;
    let engine_module = engine(repository, Profile::Development, "engine")?;
    let reader = engine(repository, Profile::Development, "reader")?;
    let lab = page_module(repository, Profile::Release, "lab")?;
    let plotly = plotly(repository);
    for (file, name) in [
        (&engine_module.glue, "engine.js"),
        (&engine_module.wasm, "engine_bg.wasm"),
        (&reader.glue, "reader.js"),
        (&reader.wasm, "reader_bg.wasm"),
        (&lab.glue, "lab.js"),
        (&lab.wasm, "lab_bg.wasm"),
        (&plotly, "plotly-basic.min.js"),
    ] {
        let bytes = fs::read(file).with_context(|| format!("could not read {}", file.display()))?;
        write_if_changed(&folder.join(name), &bytes)?;
    }
    Ok(())
}

/// Compiles a crate for the browser and returns the module's path.
///
/// `selection` are cargo's arguments that choose the target, `file` is the name of the module it makes.
///
/// # Errors
/// When it does not compile.
fn compile(
    repository: &Repository,
    selection: &[&str],
    (profile, folder): (&str, &str),
    file: &str,
) -> Result<PathBuf> {
    let fixed = ["build", "--locked", "--target", setup::WASM, "--profile", profile];
    let arguments: Vec<&str> = fixed.iter().chain(selection).copied().collect();
    command::run(&repository.root, cargo(), &arguments)?;
    Ok(repository.target.join(setup::WASM).join(folder).join(file))
}

/// Compiles a crate as the workers' modules of the published site are, `wasm-opt` included; for measuring.
///
/// # Errors
/// When a tool is missing or it does not compile.
pub fn compile_for_workers(repository: &Repository, selection: &[&str], name: &str, glue: Glue) -> Result<Bound> {
    setup::wasm_target(repository)?;
    setup::npm_packages(repository)?;
    worker_module(repository, Profile::Release, selection, &format!("{name}.wasm"), name, glue)
}

/// Compiles a crate as the page's own modules are, `wasm-opt` included; for measuring.
///
/// # Errors
/// As [`compile_for_workers`].
pub fn compile_for_page(repository: &Repository, selection: &[&str], name: &str, glue: Glue) -> Result<Bound> {
    setup::wasm_target(repository)?;
    setup::npm_packages(repository)?;
    let compiled = compile(repository, selection, Profile::Release.cargo(), &format!("{name}.wasm"))?;
    let bound = bindgen::bind(&compiled, &repository.site().join(format!("{name}-page")), name, glue)?;
    shrink_for(repository, Profile::Release, bound, SMALL)
}

/// Builds the workers' module: `engine` simulates and is loaded with the page, `reader` also reads files and is loaded
/// when the first one is opened.
fn engine(repository: &Repository, profile: Profile, name: &str) -> Result<Bound> {
    let features: &[&str] = if name == "reader" { &[] } else { &["--no-default-features"] };
    let selection = [&["-p", "plimsoll-engine", "--lib"], features].concat();
    worker_module(repository, profile, &selection, "plimsoll_engine.wasm", name, Glue::NoModules)
}

fn worker_module(
    repository: &Repository,
    profile: Profile,
    selection: &[&str],
    file: &str,
    name: &str,
    glue: Glue,
) -> Result<Bound> {
    let compiled = compile(repository, selection, ("release-engine", "release-engine"), file)?;
    let bound = bindgen::bind(&compiled, &repository.site().join(name), name, glue)?;
    shrink_for(repository, profile, bound, FAST)
}

/// Builds the page's modules: `app` is loaded first, `lab` when the first of its tabs is opened.
fn pages(repository: &Repository, profile: Profile) -> Result<[Bound; 2]> {
    Ok([page_module(repository, profile, "app")?, page_module(repository, profile, "lab")?])
}

fn page_module(repository: &Repository, profile: Profile, module: &str) -> Result<Bound> {
    let (name, folder) = profile.cargo();
    // Both are compiled together: the second call finds its module ready.
    let file = format!("{module}.wasm");
    let compiled = compile(repository, &["-p", "plimsoll-web", "--bins"], (name, folder), &file)?;
    let bound = bindgen::bind(&compiled, &repository.site().join(format!("{module}-{folder}")), module, Glue::Web)?;
    let has_snippets = bound.glue.with_file_name("snippets").exists();
    ensure!(!has_snippets, "the glue of {module} imports inline JavaScript, which the site does not serve");
    shrink_for(repository, profile, bound, SMALL)
}

fn plotly(repository: &Repository) -> PathBuf {
    repository.npm_package("plotly.js-basic-dist-min").join("plotly-basic.min.js")
}

/// Passes a release module through `wasm-opt`, which saves a third of its size; another profile is left alone.
fn shrink_for(repository: &Repository, profile: Profile, bound: Bound, passes: &[&str]) -> Result<Bound> {
    if profile == Profile::Development {
        return Ok(bound);
    }
    let tool = repository.npm_package("binaryen").join("bin").join("wasm-opt");
    let small = bound.wasm.with_extension("small.wasm");
    let note = bound.wasm.with_extension("small.fingerprint");
    let fingerprint = fingerprint::of(&[&fs::read(&bound.wasm)?, passes.join(" ").as_bytes()]);
    fingerprint::unless_done(&note, &fingerprint, &[&small], || {
        let (tool, from, to) = (text(&tool)?, text(&bound.wasm)?, text(&small)?);
        let arguments = [&[tool], passes, &[from, "-o", to]].concat();
        command::run(&repository.root, "node", &arguments)
    })?;
    Ok(Bound { glue: bound.glue, wasm: small })
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("the path {} is not Unicode", path.display()))
}

/// Writes a file only where its content differs, so that servers and watchers see real changes alone.
fn write_if_changed(file: &Path, bytes: &[u8]) -> Result<()> {
    if fs::read(file).is_ok_and(|present| present == bytes) {
        return Ok(());
    }
    fs::write(file, bytes).with_context(|| format!("could not write {}", file.display()))
}
