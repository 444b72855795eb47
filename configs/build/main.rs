//! Reads the catalogue's YAML files, checks every entry and embeds them as compact JSON.
//!
//! A bad entry fails the build; every problem is printed with file, line and field.

mod read;

use std::path::{Path, PathBuf};
use std::{env, fs, process};

fn main() {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    for folder in ["build", "models", "accelerators", "coefficients", "workloads", "scenarios", "trained_physics.yaml"]
    {
        println!("cargo::rerun-if-changed={folder}");
    }
    match read::read_all(&root) {
        Ok(embedded) => {
            write(&out.join("catalog.json"), &embedded.catalog);
            write(&out.join("scenarios.json"), &embedded.scenarios);
        }
        Err(problems) => {
            for problem in problems {
                println!("cargo::error=configs/{problem}");
            }
            process::exit(1);
        }
    }
}

fn write(path: &Path, text: &str) {
    if let Err(error) = fs::write(path, text) {
        println!("cargo::error={}: {error}", path.display());
        process::exit(1);
    }
}
