//! The cases worked out by hand: one folder per policy, and a paragraph for each.
#![cfg(not(target_arch = "wasm32"))]

use plimsoll_tests::golden::{read_cases, run_directory};
use std::path::Path;

/// Every policy a scenario can name.
const POLICIES: [&str; 15] = [
    "always-admit",
    "always-busiest",
    "constant",
    "fcfs",
    "inverted-slo",
    "least-loaded",
    "prefix-affinity",
    "priority-fcfs",
    "reject-all",
    "reverse-priority",
    "round-robin",
    "sjf",
    "slo-based",
    "token-bucket",
    "weighted",
];

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/policies"))
}

#[test]
fn every_policy_does_what_was_worked_out_by_hand() {
    let outcome = run_directory(folder(), false, plimsoll_configs::catalog()).expect("the cases can be read");
    assert!(outcome.is_exact(), "{:#?}", outcome.differences);
}

#[test]
fn every_policy_has_a_case_and_a_paragraph() {
    let cases: Vec<String> =
        read_cases(folder(), false).expect("the folder").into_iter().flatten().map(|case| case.name).collect();
    let policies: Vec<&str> = cases.iter().map(String::as_str).filter(|name| *name != "cpu-tier").collect();
    assert_eq!(policies, POLICIES);
    assert_eq!(cases.len(), POLICIES.len() + 1, "the CPU tier has a case too");
    let page = std::fs::read_to_string(folder().join("../../docs/policies.md")).expect("the page");
    for policy in POLICIES {
        assert!(page.contains(&format!("\n**`{policy}`**")), "docs/policies.md has no paragraph on {policy}");
    }
}
