//! Prints how far the simulator is from what is true; `cargo xtask truth` starts it.

#[cfg(not(target_arch = "wasm32"))]
fn main() -> std::process::ExitCode {
    use plimsoll_tests::truth::capacity;
    use plimsoll_tests::truth::report::{Options, report, rows_json};
    use plimsoll_tests::truth::{anatomy, calibration, kv_cache, memory, quantised, steps, throughput};
    use std::process::ExitCode;

    const USAGE: &str = "usage: truth anatomy|calibration|kv-cache|memory|quantised|steps|throughput [PATH] [--json FILE] [--median PERCENT] \
                         [--worst PERCENT] [--exact ROWS]\n       truth capacity [--seed S] [-n N]";

    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((table, rest)) = arguments.split_first() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    if table == "--help" {
        println!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    if table == "capacity" {
        return match capacity::Options::parse(rest) {
            Ok(options) if capacity::print(options) => ExitCode::SUCCESS,
            Ok(_) => ExitCode::FAILURE,
            Err(problem) => {
                eprintln!("{problem}\n{USAGE}");
                ExitCode::from(2)
            }
        };
    }
    let options = match Options::parse(rest) {
        Ok(options) => options,
        Err(problem) => {
            eprintln!("{problem}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let rows = match table.as_str() {
        "anatomy" => anatomy::rows(&options),
        "calibration" => calibration::rows(&options),
        "quantised" => quantised::rows(&options),
        "kv-cache" => kv_cache::rows(&options),
        "memory" => memory::rows(&options),
        "steps" => steps::rows(&options),
        "throughput" => throughput::rows(&options),
        _ => {
            eprintln!("there is no table {table}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let (rows, bars) = match rows {
        Ok(found) => found,
        Err(problem) => {
            eprintln!("{problem}");
            return ExitCode::FAILURE;
        }
    };
    let (text, is_good) = report(&rows, &bars);
    print!("{text}");
    if let Some(path) = &options.json
        && let Err(error) = std::fs::write(path, format!("{:#}\n", rows_json(&rows)))
    {
        eprintln!("{}: {error}", path.display());
        return ExitCode::FAILURE;
    }
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[cfg(target_arch = "wasm32")]
fn main() {}
