//! `cargo xtask test`: every check as a named, timed stage, and a table at the end.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

use crate::repository::{Repository, cargo};
use crate::site::{self, Profile};
use crate::{browser, budget, command, setup};

struct Stage {
    name: &'static str,
    /// Whether it needs neither a browser nor a release build.
    is_quick: bool,
    run: fn(&Repository) -> Result<()>,
}

/// In the order in which a mistake is cheapest to find.
const STAGES: &[Stage] = &[
    Stage { name: "formatting", is_quick: true, run: formatting },
    Stage { name: "lints", is_quick: true, run: lints },
    Stage { name: "native tests", is_quick: true, run: native_tests },
    Stage { name: "golden cases", is_quick: true, run: golden_cases },
    Stage { name: "documentation", is_quick: true, run: documentation },
    Stage { name: "tool tests", is_quick: true, run: tool_tests },
    Stage { name: "lints for the browser", is_quick: false, run: browser_lints },
    Stage { name: "tests in the browser", is_quick: false, run: browser_tests },
    Stage { name: "site", is_quick: false, run: site },
    Stage { name: "size budget", is_quick: false, run: budget::check },
    Stage { name: "journeys", is_quick: false, run: browser::journeys },
];

/// The packages that run in the browser.
const BROWSER_PACKAGES: [&str; 4] = ["-p", "plimsoll-web", "-p", "plimsoll-engine"];

/// Runs the stages, all or those that contain one of the words, and prints what came of each.
///
/// A failing stage does not stop the others.
///
/// # Errors
/// When a stage failed or none has such a name.
pub fn run(repository: &Repository, quick: bool, words: &[String]) -> Result<()> {
    let is_chosen = |stage: &&Stage| {
        (stage.is_quick || !quick) && (words.is_empty() || words.iter().any(|word| stage.name.contains(word.as_str())))
    };
    let mut outcomes = Vec::new();
    for stage in STAGES.iter().filter(is_chosen) {
        println!("\n== {}", stage.name);
        let start = Instant::now();
        let result = (stage.run)(repository);
        if let Err(failure) = &result {
            println!("  FAILED: {failure:#}");
        }
        outcomes.push((stage.name, result, start.elapsed()));
    }
    ensure!(!outcomes.is_empty(), "no stage has a name that contains {words:?}");
    println!("\n{:<24} {:<7} {:>8}", "stage", "result", "seconds");
    for (name, result, elapsed) in &outcomes {
        let word = if result.is_ok() { "passed" } else { "FAILED" };
        println!("{name:<24} {word:<7} {:>8.1}", elapsed.as_secs_f64());
    }
    for (name, failure) in outcomes.iter().filter_map(|(name, result, _)| Some((name, result.as_ref().err()?))) {
        println!("{name}: {failure:#}");
    }
    let num_failed = outcomes.iter().filter(|(_, result, _)| result.is_err()).count();
    println!("{} passed, {num_failed} failed", outcomes.len() - num_failed);
    if num_failed > 0 {
        bail!("{num_failed} of {} stages failed", outcomes.len());
    }
    Ok(())
}

/// Compares the simulator with the cases of a folder.
///
/// # Errors
/// When the folder is missing or a case differs.
pub fn golden(repository: &Repository, folder: &Path, single: bool) -> Result<()> {
    let folder = folder.canonicalize().with_context(|| format!("there is no folder {}", folder.display()))?;
    let folder = folder.to_str().context("the folder's path is not Unicode")?;
    let mut arguments = vec!["run", "--quiet", "--locked", "-p", "plimsoll-tests", "--bin", "golden", "--", folder];
    if single {
        arguments.push("--single");
    }
    command::run(&repository.root, cargo(), &arguments)
}

/// Compares the simulator under vLLM's rules with a folder of recorded decisions.
///
/// # Errors
/// When the folder is missing or a case differs.
pub fn scheduler(repository: &Repository, folder: &Path) -> Result<()> {
    let folder = folder.canonicalize().with_context(|| format!("there is no folder {}", folder.display()))?;
    let folder = folder.to_str().context("the folder's path is not Unicode")?;
    let arguments = ["run", "--quiet", "--locked", "-p", "plimsoll-tests", "--bin", "scheduler", "--", folder];
    command::run(&repository.root, cargo(), &arguments)
}

/// Fits the rates of the measured roofline to folders of measurements.
///
/// # Errors
/// When a folder is missing or cannot be read, a server that is not left out included, or when a check finds other rates.
pub fn fit_steps(
    repository: &Repository,
    [kernels, steps]: [&Path; 2],
    without: &[String],
    is_check: bool,
) -> Result<()> {
    let mut arguments: Vec<String> =
        ["run", "--quiet", "--locked", "--release", "-p", "plimsoll-tests", "--bin", "fit-steps", "--"]
            .map(Into::into)
            .into();
    for (option, folder) in [("--kernels", kernels), ("--steps", steps)] {
        let folder = folder.canonicalize().with_context(|| format!("there is no folder {}", folder.display()))?;
        let folder = folder.to_str().context("the folder's path is not Unicode")?;
        arguments.extend([option.to_owned(), folder.to_owned()]);
    }
    for server in without {
        arguments.extend(["--without".to_owned(), server.clone()]);
    }
    if is_check {
        arguments.push("--check".to_owned());
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    command::run(&repository.root, cargo(), &arguments)
}

/// Prints a table of truths and what the simulator makes of it.
///
/// # Errors
/// When a row is beyond the limits.
pub fn truth(repository: &Repository, arguments: &[String]) -> Result<()> {
    let mut all = vec!["run", "--quiet", "--locked", "--release", "-p", "plimsoll-tests", "--bin", "truth", "--"];
    all.extend(arguments.iter().map(String::as_str));
    command::run(&repository.root, cargo(), &all)
}

fn formatting(repository: &Repository) -> Result<()> {
    setup::component(repository, "rustfmt")?;
    run_cargo(repository, &["fmt", "--all", "--check"])
}

fn lints(repository: &Repository) -> Result<()> {
    setup::component(repository, "clippy")?;
    let start = ["clippy", "--workspace", "--exclude", "xtask", "--all-targets", "--locked", "--", "-D", "warnings"];
    run_cargo(repository, &start)
}

fn native_tests(repository: &Repository) -> Result<()> {
    run_cargo(repository, &["test", "--workspace", "--exclude", "xtask", "--locked", "--no-fail-fast"])
}

fn golden_cases(repository: &Repository) -> Result<()> {
    golden(repository, &repository.root.join("tests/golden"), false)
}

fn documentation(repository: &Repository) -> Result<()> {
    let arguments = ["doc", "--workspace", "--exclude", "xtask", "--no-deps", "--locked"];
    command::run_with(&repository.root, cargo(), &arguments, &[("RUSTDOCFLAGS", "-D warnings")])
}

fn tool_tests(repository: &Repository) -> Result<()> {
    setup::component(repository, "clippy")?;
    // The profile the tool itself was built with, so that its dependencies are there already.
    let tool = ["-p", "xtask", "--profile", "xtask", "--locked"];
    let lints: Vec<&str> =
        ["clippy", "--all-targets"].into_iter().chain(tool).chain(["--", "-D", "warnings"]).collect();
    run_cargo(repository, &lints)?;
    let tests: Vec<&str> = ["test"].into_iter().chain(tool).collect();
    run_cargo(repository, &tests)
}

fn browser_lints(repository: &Repository) -> Result<()> {
    setup::wasm_target(repository)?;
    setup::component(repository, "clippy")?;
    let start = ["clippy", "--target", setup::WASM, "--all-targets", "--locked"];
    let arguments: Vec<&str> = start.into_iter().chain(BROWSER_PACKAGES).chain(["--", "-D", "warnings"]).collect();
    run_cargo(repository, &arguments)
}

/// Integration tests whose name starts with `wasm` run in the browser, in whichever package they lie.
fn browser_tests(repository: &Repository) -> Result<()> {
    setup::wasm_target(repository)?;
    let chromium = setup::chromium(repository)?;
    let tests: Vec<_> = repository.integration_tests("wasm").collect();
    ensure!(!tests.is_empty(), "no integration test has a name that starts with `wasm`");
    let tool = std::env::current_exe().context("the path of this program is unknown")?;
    let runner = serde_json::to_string(&[tool.to_string_lossy().as_ref(), "wasm-test-runner"])?;
    let runner = format!("target.{}.runner={runner}", setup::WASM);
    let flags = repository.browser_tests().join("webdriver.json");
    let environment = [
        ("CHROMEDRIVER", chromium.driver.to_string_lossy().into_owned()),
        ("WASM_BINDGEN_TEST_WEBDRIVER_JSON", flags.to_string_lossy().into_owned()),
    ];
    let environment: Vec<(&str, &str)> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    for (package, test) in tests {
        let arguments =
            ["test", "--config", &runner, "--target", setup::WASM, "--locked", "-p", package, "--test", test];
        command::run_with(&repository.root, cargo(), &arguments, &environment)?;
    }
    Ok(())
}

fn site(repository: &Repository) -> Result<()> {
    site::build(repository, Profile::Release).map(drop)
}

fn run_cargo(repository: &Repository, arguments: &[&str]) -> Result<()> {
    command::run(&repository.root, cargo(), arguments)
}
