//! Fits the rates of the measured roofline; `cargo xtask fit-steps` starts it.

#[cfg(not(target_arch = "wasm32"))]
fn main() -> std::process::ExitCode {
    use plimsoll_core::catalog::Provenance;
    use plimsoll_tests::steps::{data, fit, write};
    use std::path::{Path, PathBuf};
    use std::process::ExitCode;

    const USAGE: &str = "usage: fit-steps --kernels FOLDER --steps FOLDER [--out FILE]";
    /// Where the measurements are from, and when they were read.
    const SOURCE: &str = "ai-dynamo/aiconfigurator, Apache-2.0, NVIDIA Corporation: kernel tables of aiconfigurator-core \
                          0.12.0 (vLLM 0.24.0; A100 0.14.0) and forward passes of vLLM 0.20.1 on B300";
    const NOTE: &str = "Kernels are fitted card by card, servers to every second stretch of steps of the judged files; residuals are \
                        of kernels fitted to, of steps held back, and of servers held back whole.";

    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let option = |name: &str| {
        let place = arguments.iter().position(|argument| argument == name)?;
        arguments.get(place + 1).map(PathBuf::from)
    };
    let (Some(kernels), Some(steps)) = (option("--kernels"), option("--steps")) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let out =
        option("--out").unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/step_times.yaml"));
    let fitted = data::servers(&steps).and_then(|servers| {
        let servers: Vec<data::Server> = servers
            .into_iter()
            .filter_map(|found| found.map_err(|(name, reason)| eprintln!("{name} is left out: {reason}")).ok())
            .collect();
        fit::all(&kernels, &servers, |what| eprintln!("fitting {what}"))
    });
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
