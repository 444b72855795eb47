//! Rules of the repository that no compiler checks.

mod styles;
mod tree;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use tree::{File, files, read, root};

/// Longer files hide what they are about.
const MAX_LINES: usize = 600;

#[test]
fn a_module_uses_only_those_above_it() {
    let mut wrong = Vec::new();
    for folder in ["scenario", "core"] {
        let order = modules(folder);
        for (index, module) in order.iter().enumerate() {
            let is_part = |file: &File| {
                file.name == format!("{folder}/src/{module}.rs")
                    || file.name.starts_with(&format!("{folder}/src/{module}/"))
            };
            for file in files(&["rs"]).into_iter().filter(is_part) {
                for used in used_modules(code(&file.text)) {
                    if order.iter().position(|other| *other == used).is_some_and(|position| position > index) {
                        wrong.push(format!("{} uses {used}, which stands below {module} in its root", file.name));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What each of our crates may depend on; tests may use any.
const ARROWS: &[(&str, &[&str])] = &[
    ("plimsoll-scenario", &[]),
    ("plimsoll-core", &["plimsoll-scenario"]),
    ("plimsoll-json", &[]),
    ("plimsoll-anatomy", &["plimsoll-json", "plimsoll-scenario"]),
    ("plimsoll-configs", &["plimsoll-anatomy", "plimsoll-core", "plimsoll-json"]),
    ("plimsoll-formats", &["plimsoll-anatomy", "plimsoll-core", "plimsoll-json", "plimsoll-configs"]),
    ("plimsoll-logs", &["plimsoll-core"]),
    ("plimsoll-protocol", &["plimsoll-core", "plimsoll-json"]),
    ("plimsoll-desk", &["plimsoll-core", "plimsoll-configs", "plimsoll-json", "plimsoll-protocol"]),
    (
        "plimsoll-engine",
        &[
            "plimsoll-core",
            "plimsoll-configs",
            "plimsoll-desk",
            "plimsoll-formats",
            "plimsoll-logs",
            "plimsoll-protocol",
        ],
    ),
    ("plimsoll-web", &["plimsoll-core", "plimsoll-json", "plimsoll-protocol"]),
    ("plimsoll", &["plimsoll-anatomy", "plimsoll-core", "plimsoll-configs", "plimsoll-formats", "plimsoll-logs"]),
    (
        "plimsoll-tests",
        &[
            "plimsoll-anatomy",
            "plimsoll-core",
            "plimsoll-configs",
            "plimsoll-formats",
            "plimsoll-logs",
            "plimsoll-protocol",
        ],
    ),
    ("xtask", &[]),
];

#[test]
fn crates_depend_on_each_other_in_one_direction() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root())
        .output()
        .expect("cargo runs this test");
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("cargo prints JSON");
    let packages = metadata["packages"].as_array().expect("there are packages");
    let ours: BTreeSet<&str> = packages.iter().filter_map(|package| package["name"].as_str()).collect();
    let known: BTreeSet<&str> = ARROWS.iter().map(|(name, _)| *name).collect();
    assert_eq!(ours, known, "a crate is missing in the table of this test");
    let mut wrong = Vec::new();
    for package in packages {
        let name = package["name"].as_str().expect("a package has a name");
        let (_, allowed) = ARROWS.iter().find(|(known, _)| *known == name).expect("compared above");
        for dependency in package["dependencies"].as_array().expect("a list") {
            let used = dependency["name"].as_str().expect("a dependency has a name");
            let is_for_tests = dependency["kind"].as_str() == Some("dev");
            if ours.contains(used) && !is_for_tests && !allowed.contains(&used) {
                wrong.push(format!("{name} depends on {used}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_page_and_the_lab_know_each_other_by_the_bridge_alone() {
    let is_lab = |name: &str| name.starts_with("web/src/lab/") || name == "web/src/bin/lab.rs";
    let mut wrong = Vec::new();
    let mut num_lab_files = 0;
    for file in files(&["rs"]).into_iter().filter(|file| file.name.starts_with("web/src/")) {
        let used = used_modules(code(&file.text));
        if is_lab(&file.name) {
            num_lab_files += 1;
            // What needs the page's own state would put a second page into the lab's module.
            let own = ["app", "page", "controller", "panels", "state"].into_iter().filter(|own| used.contains(*own));
            wrong.extend(own.map(|own| format!("{} uses the page's {own}", file.name)));
        } else if used.contains("lab") || file.text.contains("protocol::lab") {
            wrong.push(format!("{} uses the lab, which the first visit must not load", file.name));
        }
    }
    let is_first_engine = |name: &str| {
        name.starts_with("web/engine/src/") && !name.starts_with("web/engine/src/lab/")
            || name.starts_with("web/desk/src/")
    };
    for file in files(&["rs"]).into_iter().filter(|file| is_first_engine(&file.name)) {
        if code(&file.text).any(|line| line.contains("protocol::lab")) {
            wrong.push(format!("{} reads the lab's messages, which the first engine must not know", file.name));
        }
    }
    assert!(num_lab_files > 5, "the lab was not found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_file_is_too_long_to_read() {
    let long: Vec<String> = files(&["rs", "mjs", "css"])
        .into_iter()
        .map(|file| (file.text.lines().count(), file.name))
        .filter(|(lines, _)| *lines >= MAX_LINES)
        .map(|(lines, name)| format!("{name} has {lines} lines; split it by responsibility"))
        .collect();
    assert!(long.is_empty(), "{}", long.join("\n"));
}

/// What the commands make and git ignores.
const GENERATED: &[&str] = &["dist", "target", "node_modules", "tests/browser/output"];

#[test]
fn paths_named_in_the_documents_exist() {
    let mut wrong = Vec::new();
    for document in documents() {
        let folder = Path::new(&document.name).parent().expect("a file lies in a folder");
        for (number, line) in document.text.lines().enumerate() {
            for path in named_paths(line) {
                let is_generated = GENERATED.iter().any(|start| path.starts_with(start));
                let is_there = root().join(&path).exists() || root().join(folder).join(&path).exists();
                if !is_generated && !is_there {
                    wrong.push(format!("{}:{}: there is no {path}", document.name, number + 1));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn colors_are_written_in_the_tokens_alone() {
    let is_checked = |file: &File| file.name.starts_with("web/") && file.name != "web/style/tokens.css";
    let mut wrong = Vec::new();
    for file in files(&["css", "rs", "mjs"]).into_iter().filter(is_checked) {
        for (number, line) in file.text.lines().enumerate() {
            if let Some(literal) = color_literal(line) {
                wrong.push(format!("{}:{}: {literal} belongs into web/style/tokens.css", file.name, number + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_catalog_entry_says_where_its_figures_come_from() {
    // A ready scenario or workload asks; it states no figure.
    let asks = |name: &str| name.starts_with("configs/scenarios/") || name.starts_with("configs/workload-specs/");
    let is_entry = |file: &File| file.name.starts_with("configs/") && !asks(&file.name);
    let entries: Vec<File> = files(&["yaml"]).into_iter().filter(is_entry).collect();
    assert!(entries.len() > 50, "the catalog was not found");
    let without: Vec<String> =
        entries.into_iter().filter(|file| source(&file.text).is_none()).map(|file| file.name).collect();
    assert!(without.is_empty(), "no `provenance.source` in {}", without.join(", "));
}

#[test]
fn no_file_names_a_machine_or_a_registry() {
    // Put together here, so that this file does not name them itself.
    let words = [
        concat!("/wo", "rk/"),
        concat!("/ro", "ot/"),
        concat!("/ho", "me/"),
        concat!("registry.npm", "js"),
        concat!("\"resol", "ved\""),
        concat!("../sha", "red"),
    ];
    let allowed = concat!("../sha", "red/golden");
    let kinds = ["rs", "mjs", "css", "md", "toml", "json", "yaml", "html", "npmrc", "run"];
    let mut wrong = Vec::new();
    for file in files(&kinds) {
        for (number, line) in file.text.lines().enumerate() {
            let line = line.replace(allowed, "");
            if let Some(word) = words.iter().find(|word| line.contains(**word)) {
                wrong.push(format!("{}:{}: names {word}", file.name, number + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_binding_generator_has_one_version() {
    let manifest = read("Cargo.toml");
    let pinned = |name: &str| {
        let line = manifest.lines().find(|line| line.starts_with(&format!("{name} ="))).expect("a dependency");
        let (_, after) = line.split_once("\"=").expect("pinned exactly");
        after.split('"').next().expect("a closing quote").to_owned()
    };
    assert_eq!(pinned("wasm-bindgen"), pinned("wasm-bindgen-cli"));
    let trunk = format!("wasm_bindgen = \"{}\"", pinned("wasm-bindgen"));
    assert!(read("Trunk.toml").contains(&trunk), "Trunk.toml does not say {trunk}");
}

/// The modules of a crate in the order in which its root lists them.
fn modules(folder: &str) -> Vec<String> {
    let order: Vec<String> = read(&format!("{folder}/src/lib.rs"))
        .lines()
        .filter_map(|line| line.trim().strip_prefix("pub mod ")?.strip_suffix(';').map(str::to_owned))
        .collect();
    assert!(order.len() > 5, "the module list of {folder}/src/lib.rs was not understood");
    order
}

/// The part of a source file before its unit tests, without comments.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .take_while(|line| !line.starts_with("#[cfg(test)]"))
        .filter(|line| !line.trim_start().starts_with("//"))
}

/// The first names after `crate::`, those of a group included.
fn used_modules<'a>(lines: impl Iterator<Item = &'a str>) -> BTreeSet<String> {
    let text = lines.collect::<Vec<_>>().join("\n");
    let mut found = BTreeSet::new();
    for after in text.split("crate::").skip(1) {
        match after.strip_prefix('{') {
            None => drop(found.insert(name(after))),
            Some(group) => {
                let mut depth = 0;
                let mut start = true;
                for (at, character) in group.char_indices() {
                    match character {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => start = true,
                        _ if start && character.is_alphabetic() => {
                            found.insert(name(&group[at..]));
                            start = false;
                        }
                        _ => {}
                    }
                }
            }
        }
    }
    found
}

fn name(text: &str) -> String {
    text.chars().take_while(|character| character.is_alphanumeric() || *character == '_').collect()
}

fn documents() -> impl Iterator<Item = File> {
    files(&["md"])
        .into_iter()
        .filter(|file| file.name.starts_with("docs/") || !file.name.contains('/') && file.name != "CHANGELOG.md")
}

/// The paths in a line of Markdown: targets of relative links, and code spans that start at a top-level folder or end like a file.
fn named_paths(line: &str) -> Vec<String> {
    let links = line.split("](").skip(1).filter_map(|after| after.split(')').next());
    let links = links.filter(|link| !link.contains("://") && !link.starts_with('#') && !link.starts_with("mailto:"));
    let is_path = |span: &&str| {
        let plain = |character: char| character.is_ascii_alphanumeric() || "_./-".contains(character);
        let first = span.split('/').next().unwrap_or_default();
        let is_file = ["rs", "md", "mjs", "css", "html", "toml", "yaml"]
            .iter()
            .any(|extension| span.ends_with(&format!(".{extension}")));
        let is_at_top = !first.is_empty() && !first.starts_with('.') && root().join(first).is_dir();
        span.contains('/') && !span.starts_with("..") && span.chars().all(plain) && (is_file || is_at_top)
    };
    let spans = line.split('`').skip(1).step_by(2).filter(is_path);
    links.chain(spans).map(|path| path.split('#').next().unwrap_or_default().trim_end_matches('/').to_owned()).collect()
}

/// The text of `provenance.source` of an entry.
fn source(entry: &str) -> Option<&str> {
    let (_, provenance) = entry.split_once("\nprovenance:\n")?;
    let indented = provenance.lines().take_while(|line| line.starts_with(' '));
    let source = indented.filter_map(|line| line.trim_start().strip_prefix("source:")).next()?.trim();
    (source.len() > 2).then_some(source)
}

/// A color written as a number or a function, if the line has one.
fn color_literal(line: &str) -> Option<&str> {
    for function in ["rgb(", "rgba(", "hsl(", "hsla(", "oklch(", "oklab("] {
        if let Some(at) = line.find(function) {
            return Some(&line[at..at + function.len()]);
        }
    }
    line.match_indices('#').find_map(|(at, _)| {
        let after = &line[at + 1..];
        let length = after.chars().take_while(char::is_ascii_hexdigit).count();
        let is_whole = !after[length..].starts_with(|next: char| next.is_alphanumeric() || "_-".contains(next));
        let is_color = matches!(length, 3 | 4 | 6 | 8) && is_whole;
        is_color.then(|| &line[at..=at + length])
    })
}

#[test]
fn the_rules_recognize_what_they_forbid() {
    let used = used_modules(["use crate::{engine::{Engine, kv}, time};", "let x = crate::report::of();"].into_iter());
    assert_eq!(used.into_iter().collect::<Vec<_>>(), ["engine", "report", "time"]);
    assert_eq!(color_literal("color: #1a2b3c;"), Some("#1a2b3c"));
    assert_eq!(color_literal("background: rgb(1 2 3)"), Some("rgb("));
    assert_eq!(color_literal("#[derive(Clone)] \"#app\" r#\"x\"# #section-abc"), None);
    assert_eq!(source("id: x\nprovenance:\n  source: \"data sheet\"\n"), Some("\"data sheet\""));
    assert_eq!(source("id: x\nprovenance:\n  retrieved: \"2026\"\nrows:\n  source: \"elsewhere\"\n"), None);
    assert_eq!(named_paths("see [x](docs/a.md#b) and `core/src/x.rs`, not `req/s`"), ["docs/a.md", "core/src/x.rs"]);
}
