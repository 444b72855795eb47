//! Compares the engines under vLLM's rules with a folder of recorded decisions; `cargo xtask scheduler` starts it.

use plimsoll_tests::scheduler::run_directory;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    const USAGE: &str = "usage: cargo xtask scheduler FOLDER (with its folders `scenarios` and `expected`)";
    let folder = match std::env::args().nth(1) {
        Some(word) if ["--help", "-h"].contains(&word.as_str()) => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Some(folder) if !folder.starts_with('-') => folder,
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run_directory(Path::new(&folder)) {
        Ok(outcome) => {
            for difference in &outcome.differences {
                println!("{difference}");
            }
            println!("{}/{} cases equal", outcome.equal, outcome.total);
            if outcome.equal == outcome.total { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::from(2)
        }
    }
}
