//! Compares the simulator with a folder of reference cases; `cargo xtask golden` starts it.

use plimsoll_tests::golden::run_directory;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let single = arguments.iter().any(|argument| argument == "--single");
    let Some(folder) = arguments.iter().find(|argument| !argument.starts_with("--")) else {
        eprintln!("usage: golden FOLDER [--single]");
        return ExitCode::from(2);
    };
    match run_directory(Path::new(folder), single, plimsoll_configs::catalog()) {
        Ok(outcome) => {
            for difference in &outcome.differences {
                println!("{difference}");
            }
            println!("{}/{} cases exact", outcome.exact, outcome.total);
            if outcome.is_exact() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::from(2)
        }
    }
}
