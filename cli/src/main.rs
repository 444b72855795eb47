//! Plimsoll on the command line: the same engine, the same scenarios, the same figures as the page.
//!
//! Results go to standard output, everything about them (warnings, progress, the event log) to standard error.
//! Exit codes: 0 done, 1 an input is invalid or a file cannot be used, 2 the command line is not understood,
//! 3 a requirement given with `--require-…` is not met, or what `fits` was asked for does not fit.

mod arguments;
mod calibrate;
mod catalog;
mod convert;
mod curve;
mod decisions;
mod evaluate;
mod experiment;
mod fits;
mod input;
mod inspect;
mod log;
mod log_arguments;
mod measured;
mod origin;
mod output;
mod policies;
mod recording;
mod replay;
mod run;
mod serve;
mod usage;
mod users;
mod workload;

use arguments::Command;
use output::{Failure, tell_line};
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = match usage::parse() {
        Ok(arguments) => arguments,
        Err(code) => return code,
    };
    let outcome = match arguments.command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Replay(arguments) => replay::replay(*arguments),
        Command::Curve(arguments) => curve::curve(&arguments),
        Command::Catalog(arguments) => catalog::catalog(&arguments),
        Command::Calibrate(arguments) => calibrate::calibrate(&arguments),
        Command::Evaluate(arguments) => evaluate::evaluate(&arguments),
        Command::Fits(arguments) => fits::fits(&arguments),
        Command::Inspect(arguments) => inspect::inspect(&arguments),
        Command::Convert(arguments) => convert::convert(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Invalid) => ExitCode::from(1),
        Err(Failure::NotMet) => ExitCode::from(3),
        // Whoever reads our output has read enough, as `head` does.
        Err(Failure::Output(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(Failure::Output(error)) => {
            tell_line(format_args!("error: cannot write the result: {error}"));
            ExitCode::from(1)
        }
    }
}
