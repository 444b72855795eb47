//! The repository's files as text.

use std::fs;
use std::path::{Path, PathBuf};

/// A text file and its path from the repository's root, with forward slashes.
pub struct File {
    /// Path from the root.
    pub name: String,
    /// Content.
    pub text: String,
}

/// Folders that hold nothing written by hand.
const SKIPPED: &[&str] = &[".git", "dist", "node_modules", "output", "target"];

/// The repository's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this crate lies in the repository").to_owned()
}

/// Reads one file.
pub fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Every file with one of these endings, in order.
pub fn files(endings: &[&str]) -> Vec<File> {
    let mut found = Vec::new();
    walk(&root(), endings, &mut found);
    assert!(!found.is_empty(), "no file ends in {endings:?}");
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

fn walk(folder: &Path, endings: &[&str], found: &mut Vec<File>) {
    for entry in fs::read_dir(folder).expect("the repository is readable") {
        let entry = entry.expect("the repository is readable");
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_folder = entry.file_type().expect("a file has a type").is_dir();
        let is_skipped = SKIPPED.contains(&name.as_str()) || name.starts_with("target-");
        if is_folder && !is_skipped {
            walk(&entry.path(), endings, found);
        } else if !is_folder && endings.contains(&name.rsplit(['.', '/']).next().unwrap_or_default()) {
            let path = entry.path();
            let relative = path.strip_prefix(root()).expect("walked from the root");
            let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            found.push(File { name: relative.to_string_lossy().replace('\\', "/"), text });
        }
    }
}
