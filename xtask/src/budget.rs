//! The size budget: what a first visit downloads, compressed as a host would.

use std::fs;

use anyhow::{Context, Result, ensure};
use miniz_oxide::deflate::compress_to_vec;

use crate::repository::Repository;

/// Compressed bytes of everything a first visit loads for the page itself.
const APP_BYTES: usize = 330_000;
/// Compressed bytes of the module that the workers run.
const ENGINE_BYTES: usize = 400_000;
/// Header and trailer of the gzip format around deflated data.
const GZIP_FRAME_BYTES: usize = 18;

/// Prints the compressed sizes of the files in `dist/`.
///
/// The chart library, the module that reads files and the lab are listed and not counted: they load when first wanted.
///
/// # Errors
/// When the site has not been built or is over budget.
pub fn check(repository: &Repository) -> Result<()> {
    let dist = repository.dist();
    let (mut app, mut engine) = (0, 0);
    let mut files: Vec<_> = fs::read_dir(&dist)
        .with_context(|| format!("could not read {}; run `cargo xtask build` first", dist.display()))?
        .collect::<Result<_, _>>()?;
    files.sort_by_key(fs::DirEntry::file_name);
    for file in files {
        let name = file.file_name().to_string_lossy().into_owned();
        let bytes = fs::read(file.path())?;
        let compressed = compress_to_vec(&bytes, 9).len() + GZIP_FRAME_BYTES;
        println!("  {name:<44} {:>10} B {compressed:>9} B gzip", bytes.len());
        match name.split(['-', '_']).next() {
            Some("engine") => engine += compressed,
            Some("plotly" | "reader" | "lab") => {}
            _ => app += compressed,
        }
    }
    println!("  app {app} of {APP_BYTES} B, engine {engine} of {ENGINE_BYTES} B");
    ensure!(
        app <= APP_BYTES && engine <= ENGINE_BYTES,
        "over the size budget: app {app} of {APP_BYTES} B, engine {engine} of {ENGINE_BYTES} B (gzip)"
    );
    Ok(())
}
