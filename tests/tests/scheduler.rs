//! Recorded decisions of vLLM's own scheduler.

use plimsoll_tests::scheduler::run_directory;
use std::path::Path;

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/vllm-scheduler"))
}

#[test]
fn every_recorded_case_is_equal_in_both_modes() {
    let outcome = run_directory(folder()).expect("the cases can be read");
    assert_eq!(outcome.differences, Vec::<String>::new());
    assert_eq!((outcome.equal, outcome.total), (80, 80));
}

#[test]
fn a_changed_recording_a_lost_one_and_a_lost_scenario_are_reported() {
    let copy = std::env::temp_dir().join(format!("plimsoll-scheduler-{}", std::process::id()));
    for inner in ["scenarios", "expected"] {
        std::fs::create_dir_all(copy.join(inner)).expect("a temporary folder can be made");
    }
    let file = |inner: &str, name: &str| folder().join(inner).join(name);
    let put = |inner: &str, name: &str, text: String| {
        std::fs::write(copy.join(inner).join(name), text).expect("a temporary file can be written");
    };
    let read = |inner: &str, name: &str| std::fs::read_to_string(file(inner, name)).expect("the case is there");
    let (changed, alone, lost) = ("01_steady.json", "02_burst.json", "03_chunked_small_budget.json");
    put("scenarios", changed, read("scenarios", changed));
    put("expected", changed, read("expected", changed).replacen("\"waiting\": 0", "\"waiting\": 7", 1));
    put("scenarios", alone, read("scenarios", alone));
    put("expected", lost, read("expected", lost));
    let outcome = run_directory(&copy);
    std::fs::remove_dir_all(&copy).expect("the temporary folder can be removed");
    let outcome = outcome.expect("the folder can be read");
    assert_eq!((outcome.equal, outcome.total), (0, 3), "{outcome:?}");
    assert!(outcome.differences[0].contains("step mode, step 0, waiting: expected 7, got 0"), "{outcome:?}");
    assert!(outcome.differences[1].contains("cannot read"), "{outcome:?}");
    assert!(outcome.differences[2].contains("cannot read"), "{outcome:?}");
}
