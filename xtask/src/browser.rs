//! The tests that drive a whole browser over the built site. They are written in JavaScript and run by Node.

use std::fs;

use anyhow::{Context, Result, ensure};

use crate::repository::Repository;
use crate::{command, setup};

/// Runs every journey against the site in `dist/`.
///
/// # Errors
/// When a tool is missing, the site has not been built, or a journey fails.
pub fn journeys(repository: &Repository) -> Result<()> {
    let environment = prepare(repository)?;
    let flags = ["--test", "--test-reporter=spec", "--test-timeout=900000"];
    let mut arguments: Vec<String> = flags.map(str::to_owned).to_vec();
    let folder = repository.browser_tests().join("journeys");
    for entry in fs::read_dir(&folder).with_context(|| format!("could not read {}", folder.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "mjs") {
            arguments.push(path.to_string_lossy().into_owned());
        }
    }
    arguments[flags.len()..].sort();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let environment: Vec<(&str, &str)> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    command::run_with(&repository.root, "node", &arguments, &environment)
}

/// Takes pictures of every tab in every form, or of those whose names have all of the words.
///
/// # Errors
/// As [`journeys`].
pub fn screenshots(repository: &Repository, words: &[String]) -> Result<()> {
    let environment = prepare(repository)?;
    let script = repository.browser_tests().join("screenshots.mjs");
    let script = script.to_string_lossy();
    let mut arguments = vec![script.as_ref()];
    arguments.extend(words.iter().map(String::as_str));
    let environment: Vec<(&str, &str)> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    command::run_with(&repository.root, "node", &arguments, &environment)
}

/// Measures the page and returns what the script printed, a JSON object.
///
/// # Errors
/// As [`journeys`].
pub fn measure(repository: &Repository) -> Result<serde_json::Value> {
    let environment = prepare(repository)?;
    let script = repository.browser_tests().join("bench.mjs");
    let output = std::process::Command::new("node")
        .arg(&script)
        .envs(environment)
        .current_dir(&repository.root)
        .stderr(std::process::Stdio::inherit())
        .output()
        .context("could not start node")?;
    ensure!(output.status.success(), "the page could not be measured ({})", output.status);
    serde_json::from_slice(&output.stdout).context("the page's measurement is not JSON")
}

fn prepare(repository: &Repository) -> Result<[(&'static str, String); 1]> {
    setup::npm_packages(repository)?;
    let chromium = setup::chromium(repository)?;
    ensure!(
        repository.dist().join("index.html").is_file(),
        "the site has not been built; run `cargo xtask build` first"
    );
    Ok([("CHROMIUM", chromium.browser.to_string_lossy().into_owned())])
}
