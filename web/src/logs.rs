//! Which files are logs, or what was made of logs, by their first words, so that the part of the page that fits them is
//! loaded for no other.

/// What a file of each kind has near its beginning.
const WORDS: [&str; 15] = [
    CONFIG,
    "\"plimsoll_study\"",
    "fit_version:",
    "\"num_prompts\"",
    "\"benchmarks\"",
    "benchmarks:",
    "\"queued_ts\"",
    "launch_time",
    "_ttft_ms",
    ",ttft_ms",
    "\"load_summary\"",
    "\"output_token_times\"",
    "# TYPE vllm:",
    "# HELP vllm:",
    "Serving Benchmark Result",
];

/// What a configuration of the optimizer of 2025 has: the bounds of its parameters.
pub const CONFIG: &str = "pbounds:";

/// Bytes of a file that are looked at.
#[cfg(any(target_arch = "wasm32", test))]
const HEAD: f64 = 16_384.0;

/// The beginning of a file as text; empty if it cannot be read.
#[cfg(target_arch = "wasm32")]
pub async fn head(file: &web_sys::Blob) -> String {
    match file.slice_with_f64_and_f64(0.0, HEAD) {
        Ok(head) => wasm_bindgen_futures::JsFuture::from(head.text())
            .await
            .ok()
            .and_then(|text| text.as_string())
            .unwrap_or_default(),
        Err(_) => String::new(),
    }
}

/// Whether a file that begins like this is to be calibrated with.
#[must_use]
pub fn is_log(head: &str) -> bool {
    // A packed file holds a log; nothing else is packed.
    let is_packed = head.starts_with('\u{1f}');
    // A server's lines carry their level in front, behind the name of a process at most.
    let is_server_log = head.lines().take(5).any(|line| line.contains("INFO "));
    is_packed || is_server_log || WORDS.iter().any(|word| head.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The start of a file as the page looks at it.
    fn head(path: &std::path::Path) -> String {
        let bytes = std::fs::read(path).expect("a sample");
        String::from_utf8_lossy(&bytes[..bytes.len().min(HEAD as usize)]).into_owned()
    }

    #[test]
    fn every_sample_of_a_log_is_one_and_nothing_else_is() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        // A trace may be replayed as well, its header and chunk times alone say nothing: they are taken where logs are.
        let others = ["trace.csv", "trace.itl.csv", "trace.yaml", "patched.txt", "blis_metrics.json"];
        for entry in std::fs::read_dir(root.join("logs/tests/samples")).expect("samples") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
            if !others.contains(&name.as_str()) {
                assert!(is_log(&head(&path)), "{name}");
            }
        }
        assert!(is_log("\u{1f}\u{fffd}\u{8}") && is_log("fit_version: 1\nmodel_version: 3\n"));
        for text in ["request_id,arrival_us,input_tokens,output_tokens\n", "version: 1\nslo:\n  ttft_ms: 250\n"] {
            assert!(!is_log(text), "{text}");
        }
    }
}
