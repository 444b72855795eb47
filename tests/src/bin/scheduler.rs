//! Compares the engines under vLLM's rules with a folder of recorded decisions; `cargo xtask scheduler` starts it.

use plimsoll_tests::scheduler::run_directory;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(folder) = std::env::args().nth(1) else {
        eprintln!("usage: scheduler FOLDER");
        return ExitCode::from(2);
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
