//! Where things are: the repository's own folders and cargo's target folder.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

/// The folders the tasks work in.
pub struct Repository {
    /// Folder of the workspace manifest.
    pub root: PathBuf,
    /// Cargo's target folder, which an environment variable may have moved.
    pub target: PathBuf,
    packages: Vec<Package>,
}

impl Repository {
    /// Asks cargo for the workspace around the current folder.
    ///
    /// # Errors
    /// When cargo cannot read the manifests.
    pub fn find() -> Result<Self> {
        let output = Command::new(cargo())
            .args(["metadata", "--no-deps", "--format-version", "1"])
            .output()
            .context("cargo could not be started")?;
        if !output.status.success() {
            bail!("cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        let metadata: Metadata = serde_json::from_slice(&output.stdout).context("cargo metadata is not as expected")?;
        Ok(Self { root: metadata.workspace_root, target: metadata.target_directory, packages: metadata.packages })
    }

    /// The built site.
    pub fn dist(&self) -> PathBuf {
        self.root.join("dist")
    }

    /// Intermediate results of the site build, safe to delete.
    pub fn site(&self) -> PathBuf {
        self.target.join("site")
    }

    /// The tests that drive a browser.
    pub fn browser_tests(&self) -> PathBuf {
        self.root.join("tests").join("browser")
    }

    /// The package and the name of every integration test whose name starts so, in order.
    pub fn integration_tests<'a>(&'a self, start: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.packages.iter().flat_map(move |package| {
            let is_test =
                move |target: &&Target| target.kind.iter().any(|kind| kind == "test") && target.name.starts_with(start);
            package.targets.iter().filter(is_test).map(|target| (package.name.as_str(), target.name.as_str()))
        })
    }

    /// Where `npm ci` puts a package.
    pub fn npm_package(&self, name: &str) -> PathBuf {
        self.root.join("node_modules").join(name)
    }
}

/// The cargo that runs this tool, so that a toolchain override carries over.
pub fn cargo() -> String {
    std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned())
}

#[derive(serde::Deserialize)]
struct Metadata {
    workspace_root: PathBuf,
    target_directory: PathBuf,
    packages: Vec<Package>,
}

#[derive(serde::Deserialize)]
struct Package {
    name: String,
    targets: Vec<Target>,
}

#[derive(serde::Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}
