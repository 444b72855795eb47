//! Reads the catalogue's YAML files, checks every entry and embeds them as compact JSON.
//!
//! A bad entry fails the build; every problem is printed with file, line and field.

mod read;

use std::path::{Path, PathBuf};
use std::{env, fs, process};

fn main() {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    for folder in [
        "build",
        "models",
        "accelerators",
        "coefficients",
        "workloads",
        "scenarios",
        "experiments",
        "trained_physics.yaml",
        "quadratic.yaml",
        "step_times.yaml",
    ] {
        println!("cargo::rerun-if-changed={folder}");
    }
    match read::read_all(&root) {
        Ok(embedded) => {
            // The page shows no sources and its first load counts every byte; the command line shows them.
            let is_for_the_page = env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|target| target == "wasm32");
            let catalog = if is_for_the_page { without_provenance(&embedded.catalog) } else { embedded.catalog };
            write(&out.join("catalog.json"), &catalog);
            write(&out.join("scenarios.json"), &embedded.scenarios);
            write(&out.join("experiments.json"), &embedded.experiments);
        }
        Err(problems) => {
            for problem in problems {
                println!("cargo::error=configs/{problem}");
            }
            process::exit(1);
        }
    }
}

/// The same JSON without the `provenance` of its entries.
fn without_provenance(text: &str) -> String {
    let mut catalog: serde_json::Value = serde_json::from_str(text).expect("it was just written");
    let lists = catalog.as_object_mut().into_iter().flat_map(|lists| lists.values_mut());
    for entry in lists.filter_map(serde_json::Value::as_array_mut).flatten() {
        if let Some(entry) = entry.as_object_mut() {
            entry.remove("provenance");
        }
    }
    if let Some(rates) = catalog.get_mut("step_times").and_then(serde_json::Value::as_object_mut) {
        rates.remove("provenance");
    }
    catalog.to_string()
}

fn write(path: &Path, text: &str) {
    if let Err(error) = fs::write(path, text) {
        println!("cargo::error={}: {error}", path.display());
        process::exit(1);
    }
}
