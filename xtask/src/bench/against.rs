//! `cargo xtask bench --against REV`: the command line of another revision beside this one's, in turn.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::command;
use crate::repository::{Repository, cargo};

/// Pairs of runs; odd, so that the median is one of them.
const NUM_PAIRS: usize = 11;
/// What is timed, on one core.
const TIMED: [&str; 4] = ["curve", "default", "--jobs", "1"];

/// Builds both revisions, runs them in turn and prints the ratio of the medians and the load of the machine.
///
/// # Errors
/// When there is no such revision, or a program does not build or run.
pub fn run(repository: &Repository, revision: &str) -> Result<()> {
    let folder = repository.target.join("against");
    let tree = folder.join("tree");
    fs::create_dir_all(&folder).with_context(|| format!("could not create {}", folder.display()))?;
    let tree_text = tree.to_string_lossy().into_owned();
    if tree.exists() {
        command::run(&tree, "git", &["checkout", "--quiet", "--detach", revision])?;
    } else {
        command::run(&repository.root, "git", &["worktree", "add", "--quiet", "--detach", &tree_text, revision])?;
    }
    let target = folder.join("target").to_string_lossy().into_owned();
    let build = ["build", "--quiet", "--release", "--locked", "-p", "plimsoll"];
    command::run(&repository.root, cargo(), &build)?;
    command::run_with(&tree, cargo(), &build, &[("CARGO_TARGET_DIR", &target)])?;
    let program = |target: &Path| target.join("release").join(format!("plimsoll{}", std::env::consts::EXE_SUFFIX));
    let programs = [program(Path::new(&target)), program(&repository.target)];
    // Once each without the clock: the files are in memory then.
    for program in &programs {
        seconds(program)?;
    }
    let mut times: [Vec<f64>; 2] = [Vec::new(), Vec::new()];
    for pair in 0..NUM_PAIRS {
        // Which comes first alternates, so that a slow drift of the machine's speed cancels.
        for at in if pair % 2 == 0 { [0, 1] } else { [1, 0] } {
            times[at].push(seconds(&programs[at])?);
        }
    }
    let [before, now] = times.map(super::median);
    println!("`plimsoll {}`, medians of {NUM_PAIRS} runs in turn:", TIMED.join(" "));
    println!("  {revision}: {:.0} ms, here: {:.0} ms, {:.2} times as long", before * 1e3, now * 1e3, now / before);
    println!("  load of the machine: {}", load());
    Ok(())
}

/// Wall time of one run.
fn seconds(program: &PathBuf) -> Result<f64> {
    let begin = Instant::now();
    let status = Command::new(program)
        .args(TIMED)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .with_context(|| format!("could not start {}", program.display()))?;
    if !status.success() {
        bail!("{} failed ({status})", program.display());
    }
    Ok(begin.elapsed().as_secs_f64())
}

/// Mean processes that wanted to run over 1, 5 and 15 minutes, where the system tells.
fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let words: Vec<&str> = text.split(' ').take(3).collect();
    if words.len() == 3 { words.join(" ") } else { "not known".into() }
}
