//! Starting other programs: echoed, without standard input, with an error that names the command.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// Runs a program in a folder with its output passed through.
///
/// # Errors
/// When it cannot be started or ends with a failure; the text is the command line.
pub fn run(folder: &Path, program: impl AsRef<OsStr>, arguments: &[&str]) -> Result<()> {
    run_with(folder, program, arguments, &[])
}

/// Runs a program as [`run`] does, with additional environment variables.
///
/// # Errors
/// As [`run`].
pub fn run_with(
    folder: &Path,
    program: impl AsRef<OsStr>,
    arguments: &[&str],
    environment: &[(&str, &str)],
) -> Result<()> {
    let line = describe(program.as_ref(), arguments);
    println!("  $ {line}");
    let status = Command::new(program)
        .args(arguments)
        .envs(environment.iter().copied())
        .current_dir(folder)
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("could not start `{line}`"))?;
    if !status.success() {
        bail!("`{line}` failed ({status})");
    }
    Ok(())
}

/// Runs a program and returns what it printed; its errors pass through.
///
/// # Errors
/// As [`run`], or when the output is not text.
pub fn read(folder: &Path, program: impl AsRef<OsStr>, arguments: &[&str]) -> Result<String> {
    let line = describe(program.as_ref(), arguments);
    let output = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("could not start `{line}`"))?;
    if !output.status.success() {
        bail!("`{line}` failed ({})", output.status);
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{line}` printed no text"))
}

/// Finds the first of several programs on the search path.
pub fn find(names: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    names.iter().find_map(|name| {
        let file = format!("{name}{}", std::env::consts::EXE_SUFFIX);
        folders.iter().map(|folder| folder.join(&file)).find(|candidate| candidate.is_file())
    })
}

fn describe(program: &OsStr, arguments: &[&str]) -> String {
    let name = Path::new(program).file_stem().unwrap_or(program).to_string_lossy();
    std::iter::once(name.as_ref()).chain(arguments.iter().copied()).collect::<Vec<_>>().join(" ")
}
