//! Fits the rates of the measured roofline; `cargo xtask fit-steps` starts it.

#[cfg(not(target_arch = "wasm32"))]
fn main() -> std::process::ExitCode {
    use plimsoll_core::catalog::Provenance;
    use plimsoll_tests::steps::{data, fit, write};
    use std::path::{Path, PathBuf};
    use std::process::ExitCode;

    const USAGE: &str = "usage: fit-steps --kernels FOLDER --steps FOLDER [--without SERVER]... [--out FILE | --check]";
    /// Where the measurements are from, and when they were read.
    const SOURCE: &str = "ai-dynamo/aiconfigurator, Apache-2.0, NVIDIA Corporation: kernel tables of aiconfigurator-core \
                          0.12.0 (vLLM 0.24.0; A100 0.14.0) and forward passes of vLLM 0.20.1 on B300";
    const NOTE: &str = "Kernels are fitted card by card, servers to every second stretch of steps of the judged files; residuals are \
                        of kernels fitted to, of steps held back, and of servers held back whole.";

    let (mut kernels, mut steps, mut out) = (None, None, None);
    let (mut left_out, mut is_check) = (Vec::new(), false);
    let mut arguments = std::env::args().skip(1);
    while let Some(option) = arguments.next() {
        if option == "--check" {
            is_check = true;
            continue;
        }
        let Some(value) = arguments.next() else {
            eprintln!("{option} needs a value\n{USAGE}");
            return ExitCode::from(2);
        };
        match option.as_str() {
            "--kernels" => kernels = Some(PathBuf::from(value)),
            "--steps" => steps = Some(PathBuf::from(value)),
            "--out" => out = Some(PathBuf::from(value)),
            "--without" => left_out.push(value),
            _ => {
                eprintln!("there is no option {option}\n{USAGE}");
                return ExitCode::from(2);
            }
        }
    }
    let (Some(kernels), Some(steps), false) = (kernels, steps, is_check && out.is_some()) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let out = out.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/step_times.yaml"));
    let fitted = data::servers(&steps)
        .and_then(|found| data::fitted(found, &left_out))
        .and_then(|servers| fit::all(&kernels, &servers, |what| eprintln!("fitting {what}")));
    let mut spec = match fitted {
        Ok(spec) => spec,
        Err(problem) => {
            eprintln!("{problem}");
            return ExitCode::FAILURE;
        }
    };
    spec.provenance = Provenance { source: SOURCE.into(), retrieved: "2026-11-30".into(), note: NOTE.into() };
    for residual in &spec.residuals {
        println!(
            "{:5.1} % {:5.1} %  {} ({} rows)",
            residual.median_percent, residual.p90_percent, residual.of, residual.rows
        );
    }
    if is_check {
        let is_same = std::fs::read_to_string(&out).is_ok_and(|committed| committed == write::yaml(&spec));
        println!("{} {}", out.display(), if is_same { "is what this fit gives" } else { "differs from this fit" });
        return if is_same { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    match std::fs::write(&out, write::yaml(&spec)) {
        Ok(()) => {
            println!("wrote {}", out.display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{}: {error}", out.display());
            ExitCode::FAILURE
        }
    }
}

#[cfg(target_arch = "wasm32")]
fn main() {}
