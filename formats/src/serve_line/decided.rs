//! What a line has made of a scenario's server, setting by setting.

use super::ServeLine;
use super::apply::{MODEL, OF_VARIABLES, field};
use super::flags::flags;
use plimsoll_core::scenario::Scenario;
use serde_json::Value;

/// The flag behind a model that a line names and quantizes.
const QUANTIZATION: &str = "--quantization";

/// One setting of the server that a line says something about, or leaves out although it was set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// Path of the field in the scenario, e.g. `engine.max_num_seqs`.
    pub path: &'static str,
    /// What it was, as one would write it; none for the server's own choice.
    pub before: Option<String>,
    /// What it is.
    pub after: Option<String>,
    /// What decided it.
    pub reason: Reason,
}

/// What decides a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The line itself: its model, or the release of its image.
    Line,
    /// A flag, with its dashes, or a variable.
    Flag(&'static str),
    /// No flag of the line does, so that it is the server's own choice again.
    LeftOut,
}

impl ServeLine {
    /// What the line has decided between a scenario and the one that [`ServeLine::apply`] made of it: what the line
    /// says, in its order, whether or not it was so before; then what changed besides.
    #[must_use]
    pub fn decided(&self, before: &Scenario, after: &Scenario) -> Vec<Decided> {
        let (Ok(was), Ok(is)) = (serde_json::to_value(before), serde_json::to_value(after)) else {
            return Vec::new();
        };
        let setting = |path: &'static str, reason| Decided {
            path,
            before: field(&was, path).and_then(words),
            after: field(&is, path).and_then(words),
            reason,
        };
        let said = self.changes.iter().map(|change| {
            let reason = if change.flag.is_empty() { Reason::Line } else { Reason::Flag(change.flag) };
            setting(change.path, reason)
        });
        let mut decided: Vec<Decided> = said.collect();
        let fields = flags().iter().filter_map(|flag| flag.sets.as_deref()).filter(|path| path.contains('.'));
        for path in fields.chain(OF_VARIABLES).chain([MODEL]) {
            let is_new = decided.iter().all(|other| other.path != path) && field(&was, path) != field(&is, path);
            if is_new {
                decided.push(setting(path, self.reason(path)));
            }
        }
        decided
    }

    /// What changes a field that the line does not name.
    fn reason(&self, path: &str) -> Reason {
        match path {
            MODEL if self.quantization.is_some() => Reason::Flag(QUANTIZATION),
            "engine.enable_prefix_caching" | "engine.enable_chunked_prefill" => self
                .changes
                .iter()
                .find(|change| change.path == "engine.use_v1")
                .map_or(Reason::LeftOut, |change| Reason::Flag(change.flag)),
            _ => Reason::LeftOut,
        }
    }
}

/// A value as one would write it: text without quotes, and of a whole model or policy its name.
fn words(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        Value::Object(fields) => {
            let name = ["id", "policy"].into_iter().find_map(|key| fields.get(key)?.as_str());
            Some(name.map_or_else(|| value.to_string(), str::to_owned))
        }
        other => Some(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::flags::find;
    use super::super::{ServerRelease, serve_line};
    use super::*;

    /// What a line decides, as `path before > after (reason)`.
    fn decided(line: &str, before: &Scenario) -> Vec<String> {
        let read = serve_line(line, "line", ServerRelease::default()).expect("a line").value;
        let mut after = before.clone();
        read.apply(&mut after, plimsoll_configs::catalog());
        let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".into());
        read.decided(before, &after)
            .iter()
            .map(|one| {
                let reason = match one.reason {
                    Reason::Line => "line",
                    Reason::Flag(flag) => flag,
                    Reason::LeftOut => "left out",
                };
                format!("{} {} > {} ({reason})", one.path, text(&one.before), text(&one.after))
            })
            .collect()
    }

    #[test]
    fn what_a_line_says_comes_in_its_order_and_what_it_leaves_out_behind() {
        let mut before = Scenario::default();
        before.engine.max_num_seqs = Some(64);
        before.engine.watermark = 0.25;
        before.engine.max_model_len = Some(4096);
        let line = "vllm serve Qwen/Qwen3-14B --no-enable-prefix-caching --max-num-seqs 64 -tp 2";
        assert_eq!(
            decided(line, &before),
            [
                "deployment.model meta-llama/llama-3.1-8b-instruct > Qwen/Qwen3-14B (line)",
                "engine.enable_prefix_caching true > false (--enable-prefix-caching)",
                "engine.max_num_seqs 64 > 64 (--max-num-seqs)",
                "deployment.tensor_parallel_size 1 > 2 (--tensor-parallel-size)",
                "engine.watermark 0.25 > 0.0 (left out)",
                "engine.max_model_len 4096 > - (left out)",
            ]
        );
    }

    #[test]
    fn what_flags_change_elsewhere_is_theirs() {
        let line = "vllm serve --quantization fp8 --kv-cache-memory-bytes 20G --performance-mode throughput";
        let decided = decided(line, &Scenario::default());
        for expected in [
            "deployment.model meta-llama/llama-3.1-8b-instruct > meta-llama/Llama-3.1-8B-Instruct-fp8 (--quantization)",
            "engine.kv_cache_memory_bytes - > 21474836480 (--kv-cache-memory-bytes)",
            "engine.performance_mode - > throughput (--performance-mode)",
        ] {
            assert!(decided.iter().any(|one| one == expected), "{expected} is not among {decided:#?}");
        }
        assert!(find(QUANTIZATION).is_some(), "it is in the table");
    }
}
