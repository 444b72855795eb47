//! The project's own tables of what is true, as `cargo xtask truth` reads them.

use plimsoll_core::kv_plan::{MEASURED_GIB, MEASURED_SERVERS};
use plimsoll_tests::truth::configs::own_tables;
use plimsoll_tests::truth::report::{Bars, Options, Row, report};
use plimsoll_tests::truth::{anatomy, calibration, kv_cache, memory};

fn options(path: Option<&str>) -> Options {
    Options { path: path.map(|path| own_tables().join(path)), ..Options::default() }
}

#[test]
fn the_planner_makes_every_figure_that_vllms_own_does() {
    for (path, expected) in [(None, 400), (Some("vllm_kv_cache_more.csv"), 113)] {
        let (rows, bars) = kv_cache::rows(&options(path)).expect("the table is readable");
        let (text, is_good) = report(&rows, &bars);
        assert!(is_good && rows.len() == expected, "{text}");
    }
}

#[test]
fn logged_cache_sizes_are_met() {
    let (rows, bars) = memory::rows(&options(None)).expect("the table is readable");
    let (text, is_good) = report(&rows, &bars);
    assert!(is_good && rows.len() == 28, "{text}");
}

#[test]
fn the_band_of_an_estimate_is_what_measured_servers_are_off() {
    let (rows, _) = memory::rows(&options(None)).expect("the table is readable");
    let off = |row: &Row| row.json["gib"].as_f64().expect("computed").abs();
    let mut off: Vec<f64> = rows.iter().map(off).collect();
    off.sort_by(f64::total_cmp);
    let (half, all) = (off[off.len() / 2], off[off.len() - 1]);
    assert_eq!(off.len(), MEASURED_SERVERS as usize);
    // Stated to a tenth of a GiB, and not wider than it is.
    assert!((0.0..0.1).contains(&(MEASURED_GIB.0 - half)), "half within {half:.3} GiB");
    assert!((0.0..0.15).contains(&(MEASURED_GIB.1 - all)), "all within {all:.3} GiB");
}

#[test]
fn a_table_fails_for_a_refused_row_a_bad_row_a_bad_median_and_no_row() {
    let row = |error: Option<f64>| Row {
        name: "a".into(),
        error,
        limit: 5.0,
        note: String::new(),
        json: serde_json::Value::Null,
    };
    let bars = Bars { median: 2.0, exact: None, limit: "5 %".into() };
    let verdict = |rows: &[Row], bars: &Bars| report(rows, bars).1;
    let good = [row(Some(0.0)), row(Some(-2.0)), row(Some(5.0))];
    let (text, is_good) = report(&good, &bars);
    assert!(is_good && text.ends_with("3/3 within 5 %, median 2.00 %, worst 5.00 %\n"), "{text}");
    assert!(!verdict(&[], &bars));
    assert!(!verdict(&[row(Some(0.0)), row(None)], &bars));
    assert!(!verdict(&[row(Some(0.0)), row(Some(-5.1))], &bars));
    assert!(!verdict(&[row(Some(3.0)), row(Some(3.0))], &bars));
    assert!(!verdict(&good, &Bars { exact: Some(2), ..bars.clone() }));
    assert!(verdict(&good, &Bars { exact: Some(1), ..bars }));
}

#[test]
fn options_are_read_or_named() {
    let parse = |text: &str| Options::parse(&text.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
    let given = parse("a.csv --json b.json --median 3 --worst 9.5 --exact 7").expect("valid");
    assert_eq!((given.median, given.worst, given.exact), (Some(3.0), Some(9.5), Some(7)));
    assert!(given.path.is_some() && given.json.is_some());
    for (text, expected) in [
        ("--median", "--median needs a value"),
        ("--worst wide", "--worst wide is not a number of 0 or more"),
        ("--median NaN", "--median NaN is not a number of 0 or more"),
        ("--exact 1.5", "--exact 1.5 is not a count"),
        ("--most 1", "there is no option --most"),
        ("a b", "one table at a time; b is a second"),
    ] {
        assert_eq!(parse(text), Err(expected.to_owned()));
    }
}

#[test]
fn rows_that_are_no_rows_are_shown_and_fail_the_table() {
    let folder = std::path::PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("truth-tables");
    std::fs::create_dir_all(&folder).expect("a folder");
    let table = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        std::fs::write(&path, bytes).expect("a file");
        let options = Options { path: Some(path), ..Options::default() };
        anatomy::rows(&options).map(|(rows, bars)| report(&rows, &bars))
    };
    let header = "model,parameters,kv_bytes_per_token_bf16,fixed_state_bytes_per_sequence,config_folder\n";
    let own = plimsoll_tests::truth::configs::own_tables().join("hf-configs");
    std::fs::create_dir_all(folder.join("gpt2")).expect("a folder");
    std::fs::copy(own.join("gpt2-xl/config.json"), folder.join("gpt2/config.json")).expect("a copy");
    let good = "gpt2-xl,1557611200,307200,0,gpt2\n";
    let (text, is_good) = table("good.csv", format!("{header}{good}").as_bytes()).expect("a table");
    assert!(is_good, "{text}");
    for bad in ["cut off,12,", "no number,many,0,0,gpt2", "no folder,1,0,0,nowhere", "\u{0},,,,"] {
        let (text, is_good) = table("bad.csv", format!("{header}{good}{bad}\n").as_bytes()).expect("a table");
        let shown = text.lines().filter(|line| line.starts_with("FAIL")).count();
        assert!(!is_good && shown == 1 && text.lines().count() == 3, "{bad}: {text}");
    }
    let mut broken = format!("{header}{good}").into_bytes();
    broken.extend_from_slice(b"\xff\xfe,1,1,1,gpt2\n");
    let (text, is_good) = table("bytes.csv", &broken).expect("a table");
    assert!(!is_good && text.contains("unreadable row"), "{text}");
    let (text, is_good) = table("empty.csv", header.as_bytes()).expect("a table");
    assert!(!is_good && text.starts_with("0/0"), "{text}");
}

/// The measurements are read in place; without them there is nothing to hold.
#[test]
fn logs_of_a_measured_card_are_met_without_a_fit() {
    let folder = calibration::measurements().join("blis-trace");
    if !folder.is_dir() {
        eprintln!("{} is absent, so nothing was compared", folder.display());
        return;
    }
    let found = calibration::rows(&Options { path: Some(folder), ..Options::default() });
    let (rows, bars) = found.expect("the folder has logs");
    let (text, is_good) = report(&rows, &bars);
    // Three runs and the medians of three means.
    assert!(is_good && rows.len() == 6, "{text}");
    assert!(rows.iter().take(3).all(|row| row.error.is_some_and(|error| error.abs() < 6.0)), "{text}");
}
