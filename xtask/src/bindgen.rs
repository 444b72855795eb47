//! The two libraries of the wasm-bindgen family that other projects install as programs.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::fingerprint;

/// The form of the JavaScript that goes with a module.
#[derive(Clone, Copy)]
pub enum Glue {
    /// A script without imports or exports, for workers started from text.
    NoModules,
    /// An ES module, for the page.
    Web,
    /// A CommonJS module, for Node.
    Node,
}

/// A module ready to be loaded: the glue and the WebAssembly file beside it.
pub struct Bound {
    /// The JavaScript that loads it.
    pub glue: PathBuf,
    /// The module.
    pub wasm: PathBuf,
}

/// Generates the bindings of a compiled module into a folder, unless they are there already.
///
/// # Errors
/// When the input is missing or does not come from the same version of `wasm-bindgen`.
pub fn bind(compiled: &Path, folder: &Path, name: &str, glue: Glue) -> Result<Bound> {
    let target = match glue {
        Glue::NoModules => "no-modules",
        Glue::Web => "web",
        Glue::Node => "nodejs",
    };
    let bytes = fs::read(compiled).with_context(|| format!("could not read {}", compiled.display()))?;
    let fingerprint = fingerprint::of(&[&bytes, name.as_bytes(), target.as_bytes()]);
    fs::create_dir_all(folder).with_context(|| format!("could not create {}", folder.display()))?;
    let bound = Bound { glue: folder.join(format!("{name}.js")), wasm: folder.join(format!("{name}_bg.wasm")) };
    let note = folder.join(format!("{name}.fingerprint"));
    fingerprint::unless_done(&note, &fingerprint, &[&bound.glue, &bound.wasm], || {
        println!("  bindings of {name} ({target})");
        let arguments = [
            "wasm-bindgen".as_ref(),
            compiled.as_os_str(),
            "--target".as_ref(),
            target.as_ref(),
            "--no-typescript".as_ref(),
            "--out-dir".as_ref(),
            folder.as_os_str(),
            "--out-name".as_ref(),
            name.as_ref(),
        ];
        wasm_bindgen_cli::wasm_bindgen::run_cli_with_args(arguments)
            .with_context(|| format!("could not generate the bindings of {name}"))
    })?;
    Ok(bound)
}

/// Runs a compiled test binary in a headless browser or in Node, as its configuration says.
///
/// # Errors
/// When a test fails or the browser cannot be driven.
pub fn run_tests(arguments: Vec<String>) -> Result<()> {
    let name = "wasm-bindgen-test-runner".to_owned();
    wasm_bindgen_cli::wasm_bindgen_test_runner::run_cli_with_args(std::iter::once(name).chain(arguments))
}
