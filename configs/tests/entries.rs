//! A bad entry is refused with file, line and field.

#[path = "../build/read.rs"]
mod read;

use plimsoll_core::catalog::{Catalog, StepTimesSpec};
use read::Embedded;
use std::fs;
use std::path::{Path, PathBuf};

/// A copy of the catalogue in which `file` has `from` replaced by `to`; its problems.
fn problems_after(name: &str, file: &str, from: &str, to: &str) -> Vec<String> {
    let root = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&root);
    let source = Path::new(env!("CARGO_MANIFEST_DIR"));
    for folder in ["models", "accelerators", "coefficients", "workloads", "scenarios", "experiments"] {
        copy(&source.join(folder), &root.join(folder));
    }
    for file in ["trained_physics.yaml", "quadratic.yaml", "step_times.yaml"] {
        fs::copy(source.join(file), root.join(file)).expect("copied");
    }
    let path = root.join(file);
    let text = fs::read_to_string(&path).expect("the entry exists");
    assert!(text.contains(from), "{file} has no {from}");
    fs::write(&path, text.replacen(from, to, 1)).expect("written");
    match read::read_all(&root) {
        Ok(embedded) => {
            let Embedded { catalog, scenarios, experiments } = embedded;
            assert!([catalog, scenarios, experiments].iter().all(|text| text.len() > 2));
            Vec::new()
        }
        Err(problems) => problems.iter().map(ToString::to_string).collect(),
    }
}

/// Built in are the rates of the file, read here by their names, without the residuals.
#[test]
fn rates_are_embedded_as_a_list_and_come_back() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("step_times.yaml")).expect("the file exists");
    let mut named: StepTimesSpec = serde_yaml::from_str(&text).expect("it is valid");
    assert!(!named.residuals.is_empty() && named.cards.iter().any(|card| card.gemm_8bit.is_none()));
    named.residuals.clear();
    let embedded = read::read_all(root).expect("every entry is valid").catalog;
    assert!(!embedded.contains("prompt_compute"));
    let catalog: Catalog = serde_json::from_str(&embedded).expect("it was just written");
    assert_eq!(catalog.step_times, Some(named));
    for (from, to) in [("\"numbers\":[", "\"numbers\":[1,"), ("\"accelerators\":[\"A100-80\",", "\"accelerators\":[")] {
        assert!(embedded.contains(from), "{from}");
        let refused =
            serde_json::from_str::<Catalog>(&embedded.replacen(from, to, 1)).expect_err("a list of another size");
        assert!(refused.to_string().contains("rates are not as many"), "{refused}");
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("created");
    for entry in fs::read_dir(from).expect("listed").flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("copied");
        }
    }
}

#[test]
fn each_kind_of_mistake_is_refused_with_its_place() {
    let model = "models/microsoft/phi-4.yaml";
    let variant = "models/RedHatAI/phi-4-FP8-dynamic.yaml";
    let gpu = "accelerators/L40S.yaml";
    let rows = "coefficients/microsoft/phi-4.yaml";
    let cases = [
        (model, "hidden_size: 5120", "hidden_size: 0", "models/microsoft/phi-4.yaml:4: hidden_size: hidden_size is 0"),
        (model, "hidden_size: 5120", "hidden_sise: 5120", "models/microsoft/phi-4.yaml:4: unknown field `hidden_sise`"),
        (model, "hidden_size: 5120", "hidden_size: wide", "models/microsoft/phi-4.yaml:4: hidden_size: invalid type"),
        (
            model,
            "id: microsoft/phi-4",
            "id: microsoft/phi-5",
            "models/microsoft/phi-4.yaml:1: id: microsoft/phi-5 is not the file's name",
        ),
        (
            "experiments/experiment-01.yaml",
            "name: num_prefills,",
            "name: num_prefill,",
            "experiments/experiment-01.yaml:24: parameters: give sum_decode_tokens, sum_prefill_tokens",
        ),
        (
            "experiments/experiment-01.yaml",
            "arrivals_us: [0, ",
            "arrivals_us: [",
            "arrivals_us: arrivals, TTFTs and latencies are not as many",
        ),
        ("quadratic.yaml", "alpha: [544", "alpha: [-544", "quadratic.yaml:3: alpha: -544 is not a number from 0"),
        (model, "retrieved: \"2026-11-21\"", "retrieved: \"soon\"", "provenance: retrieved is \"soon\""),
        (
            variant,
            "base: microsoft/phi-4",
            "base: microsoft/phi-3",
            "models/RedHatAI/phi-4-FP8-dynamic.yaml:2: base: there is no model",
        ),
        (
            variant,
            "weight_bytes_per_param: 1.0",
            "weight_bytes_per_param: 2.0",
            "FP8-dynamic.yaml:3: weight_bytes_per_param: the name states",
        ),
        (gpu, "mfu_prefill: 0.32", "mfu_prefill: 32", "accelerators/L40S.yaml:6: mfu_prefill: mfu_prefill is 32"),
        (rows, "- line: 16", "- line: 17", "line: 17 is used twice"),
        (
            rows,
            "total_kv_blocks: 14645",
            "total_kv_blocks: 0",
            "coefficients/microsoft/phi-4.yaml:11: total_kv_blocks: is 0",
        ),
        (
            rows,
            "accelerator: H100\n  tensor",
            "accelerator: L4\n  tensor",
            "coefficients/microsoft/phi-4.yaml:2: default: no row is trained",
        ),
        ("trained_physics.yaml", "0.152128", "-0.152128", "trained_physics.yaml:2: beta: a coefficient is negative"),
        // The first two are of A100-80; an error in the table of the server is told in that.
        ("step_times.yaml", "gemm: { compute: 0.", "gemm: { compute: 3.", "step_times.yaml:5: gemm: compute is 3."),
        ("step_times.yaml", "gb_per_s: ", "gb_per_s: -", "step_times.yaml:9: all_reduce: gb_per_s is -"),
        ("step_times.yaml", "\n  compute: ", "\n  compute: .nan # ", "step_times.yaml:89: compute: compute is NaN"),
        ("step_times.yaml", "\n  sync_us: [", "\n  sync_us: [-", "sync_us is -1200, not a number from 0"),
        ("step_times.yaml", "\n  step_us: ", "\n  # step_us: ", "missing field `step_us`"),
        ("step_times.yaml", "accelerator: L40S", "accelerator: L41", "step_times.yaml:16: accelerator: L41 is not in"),
        ("workloads/chatbot.yaml", "mean: 256", "mean: 1", "workloads/chatbot.yaml:3: input_tokens: mean is outside"),
        (
            "scenarios/chat-qwen3-moe.yaml",
            "tensor_parallel_size: 1",
            "tensor_parallel_size: 0",
            "scenarios/chat-qwen3-moe.yaml:6: deployment.tensor_parallel_size: ",
        ),
        (
            "scenarios/default.yaml",
            "version: 2",
            "version: 2\nseed: 43",
            "scenarios/default.yaml:1: the default scenario differs",
        ),
    ];
    for (index, (file, from, to, expected)) in cases.into_iter().enumerate() {
        let found = problems_after(&format!("case_{index}"), file, from, to);
        assert!(found.iter().any(|problem| problem.contains(expected)), "{expected}\nfound {found:#?}");
    }
}

#[test]
fn the_catalogue_as_it_stands_has_no_problem() {
    assert_eq!(problems_after("untouched", "scenarios/default.yaml", "version: 2", "version: 2"), Vec::<String>::new());
}
