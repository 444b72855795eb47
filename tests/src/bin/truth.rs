//! Prints how far the simulator is from what is true; `cargo xtask truth` starts it.

use std::process::ExitCode;

const USAGE: &str = "usage: truth TABLE [PATH] [OPTIONS]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.split_first() {
        Some((table, _)) => {
            eprintln!("there is no table {table}\n{USAGE}");
            ExitCode::from(2)
        }
        None => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}
