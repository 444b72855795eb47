//! Runs one workload of the benchmark once and prints what it took; `cargo xtask bench` starts it.
//!
//! `bench list` prints the names; `bench run NAME REQUESTS` prints a line of JSON.
//! Compiled for WebAssembly it exports the same two, and the script that loads it holds the clock.

#[cfg(not(target_arch = "wasm32"))]
fn main() -> std::process::ExitCode {
    use plimsoll_tests::bench;

    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let printed = match arguments[..] {
        ["list"] => Some(bench::NAMES.join("\n")),
        ["run", name, requests] => requests.parse().ok().and_then(|requests| {
            let start = std::time::Instant::now();
            let counts = bench::run(name, requests)?;
            let sample = serde_json::json!({
                "seconds": start.elapsed().as_secs_f64(),
                "requests": counts.requests,
                "steps": counts.steps,
                "preemptions": counts.preemptions,
                "peak_bytes": peak_bytes(),
            });
            Some(sample.to_string())
        }),
        _ => None,
    };
    match printed {
        Some(text) => {
            println!("{text}");
            std::process::ExitCode::SUCCESS
        }
        None => {
            eprintln!("usage: bench list | bench run NAME REQUESTS");
            std::process::ExitCode::FAILURE
        }
    }
}

/// The largest resident memory of this process so far; only Linux tells it without a library.
#[cfg(not(target_arch = "wasm32"))]
fn peak_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kibibytes| kibibytes * 1024)
}

#[cfg(target_arch = "wasm32")]
fn main() {}

#[cfg(target_arch = "wasm32")]
mod exports {
    use plimsoll_tests::bench;
    use wasm_bindgen::prelude::*;

    /// The names of the workloads, one per line.
    #[wasm_bindgen]
    pub fn workloads() -> String {
        bench::NAMES.join("\n")
    }

    /// Runs a workload once and returns its counts as JSON.
    #[wasm_bindgen]
    pub fn run_workload(name: &str, requests: u32) -> Result<String, JsError> {
        let counts = bench::run(name, requests).ok_or_else(|| JsError::new("there is no such workload"))?;
        Ok(serde_json::to_string(&counts)?)
    }
}
