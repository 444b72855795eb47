//! `cargo xtask bench --against REV`: command line and workloads of another revision beside this one's, in turn.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::command;
use crate::repository::{Repository, cargo};

/// Pairs of runs; odd, so that the median is one of them.
const NUM_PAIRS: usize = 15;
/// What is timed, on one core.
const TIMED: [&str; 6] = ["curve", "default", "--jobs", "1", "--log", "info"];
/// What a curve is timed until: the beginning of a line on standard error, or its end; and how many times as long as all
/// of the other revision's it may take.
const UNTIL: [(&str, Option<&str>, f64); 3] = [
    ("curve with a capacity that is settling", Some("settling:"), 1.1),
    ("settled capacity", Some("settled:"), 4.0),
    ("every point settled, and the levers", None, f64::INFINITY),
];
/// Workloads of the benchmark that are timed: of the other revision, of this one, and how many times as fast this one has
/// to be at least.
const WORKLOADS: [(&str, &str, f64); 4] = [
    ("blackbox", "blackbox-vllm", 0.9),
    ("trained-physics", "trained-physics-vllm", 0.9),
    ("prefix", "prefix-vllm", 0.9),
    ("kv-pressure", "kv-pressure-vllm", 0.8),
];
/// Requests of one run of a workload.
const REQUESTS: &str = "200000";

/// Builds both revisions, runs them in turn and prints the ratios of the medians and the load of the machine.
///
/// # Errors
/// When there is no such revision, a program does not build or run, or a limit is missed.
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
    let build = ["build", "--quiet", "--release", "--locked", "-p", "plimsoll", "-p", "plimsoll-tests"];
    command::run(&repository.root, cargo(), &build)?;
    command::run_with(&tree, cargo(), &build, &[("CARGO_TARGET_DIR", &target)])?;
    let folders = [PathBuf::from(&target).join("release"), repository.target.join("release")];
    let mut is_within = true;
    let mut verdict = |is_right: bool| {
        is_within &= is_right;
        if is_right { "" } else { " MISSED" }
    };

    let [before, now] = in_turn(|at| curve(&folders[at].join(format!("plimsoll{}", std::env::consts::EXE_SUFFIX))))?;
    // The other revision may print nothing of these.
    let whole = before[UNTIL.len() - 1];
    println!("`plimsoll {}`, medians of {NUM_PAIRS} runs in turn; {revision}: {:.0} ms", TIMED.join(" "), whole * 1e3);
    for ((name, _, most), seconds) in UNTIL.iter().zip(now) {
        let ratio = seconds / whole;
        let limit = if most.is_finite() { format!(" (at most {most})") } else { String::new() };
        println!("  {name}: {:.0} ms, {ratio:.2} times as long{limit}{}", seconds * 1e3, verdict(ratio <= *most));
    }
    println!("  load of the machine: {}", load());

    println!("simulated requests/s of {REQUESTS}, medians of {NUM_PAIRS} runs in turn:");
    // One round runs every workload, so that a busy second of the machine spoils a run or two of each and no median.
    let [before, now] =
        in_turn(|at| workloads(&folders[at].join(format!("bench{}", std::env::consts::EXE_SUFFIX)), at))?;
    for (((theirs, ours, least), before), now) in WORKLOADS.iter().zip(before).zip(now) {
        let ratio = before / now;
        println!(
            "  {ours} here over {theirs} of {revision}: {ratio:.3} (at least {least}){}",
            verdict(ratio >= *least)
        );
    }
    println!("  load of the machine: {}", load());
    if !is_within {
        bail!("a limit is missed");
    }
    Ok(())
}

/// Medians of what two programs take, run in turn, the other revision's first.
fn in_turn<const N: usize>(mut run: impl FnMut(usize) -> Result<[f64; N]>) -> Result<[[f64; N]; 2]> {
    // Once each without counting it: the files are in memory then.
    run(0)?;
    run(1)?;
    let mut times: [Vec<[f64; N]>; 2] = [Vec::new(), Vec::new()];
    for pair in 0..NUM_PAIRS {
        // Which comes first alternates, so that a slow drift of the machine's speed cancels.
        for at in if pair % 2 == 0 { [0, 1] } else { [1, 0] } {
            times[at].push(run(at)?);
        }
    }
    Ok(times.map(|times| std::array::from_fn(|part| super::median(times.iter().map(|run| run[part]).collect()))))
}

/// Seconds of one curve until each of [`UNTIL`]; what it does not say is taken to come with its end.
fn curve(program: &Path) -> Result<[f64; UNTIL.len()]> {
    let begin = Instant::now();
    let mut child = Command::new(program)
        .args(TIMED)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("could not start {}", program.display()))?;
    let mut said = [None; UNTIL.len()];
    for line in child.stderr.take().into_iter().flat_map(|lines| BufReader::new(lines).lines()) {
        let line = line?;
        for ((_, beginning, _), said) in UNTIL.iter().zip(&mut said) {
            if beginning.is_some_and(|beginning| line.starts_with(beginning)) {
                *said = Some(begin.elapsed().as_secs_f64());
            }
        }
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("{} failed ({status})", program.display());
    }
    let whole = begin.elapsed().as_secs_f64();
    Ok(said.map(|seconds| seconds.unwrap_or(whole)))
}

/// Seconds of one run of every one of [`WORKLOADS`], the other revision's with 0, this one's with 1.
fn workloads(program: &Path, at: usize) -> Result<[f64; WORKLOADS.len()]> {
    let mut seconds = [0.0; WORKLOADS.len()];
    for (seconds, (theirs, ours, _)) in seconds.iter_mut().zip(WORKLOADS) {
        *seconds = workload(program, [theirs, ours][at])?;
    }
    Ok(seconds)
}

/// Seconds of one run of a workload, as it measures them.
fn workload(program: &Path, name: &str) -> Result<f64> {
    let output = Command::new(program)
        .args(["run", name, REQUESTS])
        .output()
        .with_context(|| format!("could not start {}", program.display()))?;
    if !output.status.success() {
        bail!("{} failed on {name} ({})", program.display(), output.status);
    }
    let sample: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let seconds = sample["seconds"].as_f64().with_context(|| format!("{name} prints no seconds"))?;
    Ok(seconds)
}

/// Mean processes that wanted to run over 1, 5 and 15 minutes, where the system tells.
fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let words: Vec<&str> = text.split(' ').take(3).collect();
    if words.len() == 3 { words.join(" ") } else { "not known".into() }
}
