//! The reference cases, natively.

mod golden_cases;

use plimsoll_tests::golden::{digest, read_cases, run_directory};
use std::path::Path;

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/golden"))
}

#[test]
fn every_case_is_exact_in_both_modes() {
    let outcome = run_directory(folder(), false, plimsoll_configs::catalog()).expect("the cases can be read");
    assert!(outcome.is_exact(), "{:#?}", outcome.differences);
    assert_eq!(outcome.total, 39);
}

#[test]
fn the_compiled_in_cases_are_those_of_the_folder() {
    let names = |cases: &[plimsoll_tests::golden::CaseText]| -> Vec<String> {
        cases.iter().map(|case| case.name.clone()).collect()
    };
    let read: Vec<_> = read_cases(folder(), false)
        .expect("the folder can be read")
        .into_iter()
        .map(|case| case.unwrap_or_else(|reason| panic!("{reason}")))
        .collect();
    assert_eq!(names(&golden_cases::cases()), names(&read));
}

#[test]
fn the_reports_have_the_recorded_bytes() {
    let cases = golden_cases::cases();
    let digest = digest(cases.iter(), plimsoll_configs::catalog());
    assert_eq!(digest, Ok(golden_cases::DIGEST), "the digest is recorded in golden_cases/mod.rs");
}

#[test]
fn a_changed_expectation_is_noticed() {
    let mut case = golden_cases::cases().swap_remove(0);
    for (from, to) in [("\"ttft_us\": 13729", "\"ttft_us\": 13730"), ("\"ttft_us\": 13730", "\"ttft_us\": 13729")] {
        case.expected = case.expected.replacen(from, to, 1);
        let is_exact = digest([&case].into_iter(), plimsoll_configs::catalog()).is_ok();
        assert_eq!(is_exact, to.ends_with("29"));
    }
}
