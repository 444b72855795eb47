//! Every code that a diagnostic can carry is documented.
#![cfg(not(target_arch = "wasm32"))]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

#[test]
fn every_diagnostic_code_is_documented() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut codes = BTreeSet::new();
    for folder in [
        "scenario/src",
        "core/src",
        "anatomy/src",
        "formats/src",
        "logs/src",
        "configs/src",
        "cli/src",
        "web/src",
        "web/desk/src",
        "web/engine/src",
        "web/protocol/src",
    ] {
        collect(&root.join(folder), &mut codes);
    }
    assert!(codes.len() > 30, "{codes:?}");
    let documented = fs::read_to_string(root.join("docs/diagnostics.md")).expect("the page exists");
    let missing: Vec<&String> = codes.iter().filter(|code| !documented.contains(&format!("`{code}`"))).collect();
    assert!(missing.is_empty(), "docs/diagnostics.md lacks {missing:?}");
}

/// The literal codes of `Diagnostic::error("code", …)` and its sisters.
fn collect(folder: &Path, codes: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, codes);
            continue;
        }
        let text = fs::read_to_string(&path).unwrap_or_default();
        for call in ["Diagnostic::error(", "Diagnostic::warning(", "Diagnostic::note("] {
            for (_, rest) in text.match_indices(call).map(|(at, _)| text.split_at(at + call.len())) {
                if let Some(code) = rest.trim_start().strip_prefix('"').and_then(|rest| rest.split('"').next()) {
                    codes.insert(code.to_owned());
                }
            }
        }
    }
}
