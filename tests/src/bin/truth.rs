//! Prints how far the simulator is from what is true; `cargo xtask truth` starts it.

#[cfg(not(target_arch = "wasm32"))]
fn main() -> std::process::ExitCode {
    use plimsoll_tests::truth::capacity;
    use std::process::ExitCode;

    const USAGE: &str = "usage: truth TABLE [PATH] [OPTIONS]\n\ntables:\n  capacity [--seed S] [-n N]  whether reported capacities hold in long runs";

    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.split_first() {
        Some((&"--help", _)) => {
            println!("{USAGE}");
            ExitCode::SUCCESS
        }
        Some((&"capacity", _)) => match capacity::Options::parse(&arguments[1..]) {
            Ok(options) if capacity::print(options) => ExitCode::SUCCESS,
            Ok(_) => ExitCode::FAILURE,
            Err(problem) => {
                eprintln!("{problem}\n{USAGE}");
                ExitCode::from(2)
            }
        },
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

#[cfg(target_arch = "wasm32")]
fn main() {}
