//! Anatomies of models against what was counted on real classes.
//!
//! The tables are those of `cargo xtask truth`, whose own copies are in `tests/truth`.
#![cfg(not(target_arch = "wasm32"))]

use plimsoll_anatomy::{BesideConfig, anatomy_from_hf_config, hf_config_of_entry};
use plimsoll_core::scenario::Scenario;
use plimsoll_desk::Desk;
use plimsoll_protocol::Edit;
use plimsoll_tests::truth::configs::own_tables;
use plimsoll_tests::truth::report::{Options, report};
use plimsoll_tests::truth::{anatomy, quantised};
use std::fs;
use std::path::PathBuf;

#[test]
fn parameters_and_caches_are_those_of_the_real_classes() {
    let (rows, bars) = anatomy::rows(&Options::default()).expect("the own table");
    let (text, is_good) = report(&rows, &bars);
    assert!(is_good && rows.len() == 105, "{text}");
}

#[test]
fn weight_bytes_are_those_of_the_quantized_checkpoints() {
    let (rows, bars) = quantised::rows(&Options::default()).expect("the own table");
    let (text, is_good) = report(&rows, &bars);
    assert!(is_good && rows.len() == 17, "{text}");
}

/// A folder of its own with a table of the own format.
fn folder(name: &str, table: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(folder.join("small")).expect("a folder");
    let config =
        r#"{"model_type": "gpt2", "n_layer": 1, "n_embd": 8, "n_head": 2, "vocab_size": 10, "n_positions": 4}"#;
    fs::write(folder.join("small/config.json"), config).expect("a config");
    let path = folder.join("table.csv");
    fs::write(
        &path,
        format!("model,parameters,kv_bytes_per_token_bf16,fixed_state_bytes_per_sequence,config_folder\n{table}"),
    )
    .expect("a table");
    path
}

/// Embeddings of 10 tokens and 4 places, four matrices with biases and two of the network, two norms and a last one.
const SMALL: u64 = (10 + 4) * 8 + 4 * (8 * 8 + 8) + (8 * 32 + 32) + (32 * 8 + 8) + 3 * 16;

#[test]
fn a_row_that_is_wrong_refused_or_missing_fails_the_table() {
    for (name, table, is_good) in [
        ("right", format!("small,{SMALL},32,0,small\n"), true),
        ("nearly", format!("small,{},32,0,small\n", SMALL + 1), false),
        ("other-growth", format!("small,{SMALL},33,0,small\n"), false),
        ("other-state", format!("small,{SMALL},32,10,small\n"), false),
        ("missing", format!("small,{SMALL},32,0,nowhere\n"), false),
        ("no-number", "small,many,32,0,small\n".to_owned(), false),
        ("empty", String::new(), false),
    ] {
        let path = folder(name, &table);
        let (rows, bars) = anatomy::rows(&Options { path: Some(path), ..Options::default() }).expect("a table");
        let (text, found) = report(&rows, &bars);
        assert_eq!(found, is_good, "{name}: {text}");
    }
}

/// The page's paste dialog gets such files as they are.
#[test]
fn every_config_of_the_collection_is_read_and_quickly() {
    let folders = fs::read_dir(own_tables().join("hf-configs")).expect("the collection");
    let mut count = 0;
    for folder in folders.filter_map(Result::ok) {
        let text = fs::read_to_string(folder.path().join("config.json")).expect("a config");
        let read = anatomy_from_hf_config(&text, BesideConfig::default());
        let anatomy = read.unwrap_or_else(|problems| panic!("{}: {problems:?}", folder.path().display())).value;
        assert!(
            anatomy.active_parameters()
                <= anatomy.parameters() + u64::from(anatomy.vocab_size) * u64::from(anatomy.hidden_size)
        );
        assert!(anatomy.weight_bytes() > anatomy.parameters() / 3, "{}", folder.path().display());
        count += 1;
    }
    assert_eq!(count, 122);
}

/// Billions that a name tells, as `Qwen3-32B`; none for counts of experts and of active parameters.
fn billions(id: &str) -> Option<f64> {
    if id.contains("8x") || id.contains("17B-") {
        return None;
    }
    id.split(['-', '_', '/']).find_map(|part| part.to_ascii_lowercase().strip_suffix('b')?.parse().ok())
}

#[test]
fn every_model_of_the_catalogue_has_an_anatomy_of_the_size_its_name_tells() {
    let catalog = plimsoll_configs::catalog();
    assert!(catalog.models.len() >= 60);
    for model in &catalog.models {
        let read = anatomy_from_hf_config(&hf_config_of_entry(model), BesideConfig::default());
        let anatomy = read.unwrap_or_else(|problems| panic!("{}: {problems:?}", model.id)).value;
        assert!(anatomy.kv_bytes_per_token(2) > 0.0, "{}", model.id);
        if let Some(told) = billions(&model.id) {
            let found = anatomy.parameters() as f64 / 1e9;
            assert!((found / told - 1.0).abs() < 0.2, "{}: {found} billion", model.id);
        }
    }
    for (id, parameters) in [
        ("meta-llama/Llama-3.1-8B-Instruct", 8_030_261_248),
        ("meta-llama/Llama-4-Scout-17B-16E-Instruct", 107_769_861_120),
        ("deepseek-ai/DeepSeek-V2-Lite", 15_706_484_224),
        ("mistralai/Mixtral-8x7B-v0.1", 46_702_792_704),
        ("Qwen/Qwen3-VL-30B-A3B-Instruct", 30_532_122_624),
        ("openai/gpt-oss-120b", 116_829_156_672),
        ("moonshotai/Kimi-K2-Instruct", 1_026_408_209_408),
    ] {
        let model = catalog.model(id).expect(id);
        let read = anatomy_from_hf_config(&hf_config_of_entry(model), BesideConfig::default());
        assert_eq!(read.expect(id).value.parameters(), parameters, "{id}");
    }
}

/// What the page's paste dialog makes of the collection: every model can be simulated.
#[test]
fn every_config_of_the_collection_becomes_a_model() {
    let folders = fs::read_dir(own_tables().join("hf-configs")).expect("the collection");
    let mut num_read = 0;
    for folder in folders.filter_map(Result::ok) {
        let text = fs::read_to_string(folder.path().join("config.json")).expect("a config");
        let read = plimsoll_formats::model_from_hf_config(&text, "own model");
        let model = read.unwrap_or_else(|problems| panic!("{:?}: {problems:?}", folder.file_name())).value;
        assert!(model.footprint.is_some(), "{:?}", folder.file_name());
        num_read += 1;
    }
    assert_eq!(num_read, 122);
}

/// Entries that were one model twice were merged, and what names the old ones means the same for ever.
#[test]
fn merged_names_mean_their_model_in_links_and_files() {
    for (old, id) in [
        ("openai/gpt-oss-120b-mxfp4", "openai/gpt-oss-120b"),
        ("openai/gpt-oss-20b-mxfp4", "openai/gpt-oss-20b"),
        ("GPT-OSS-20B-mxfp4", "openai/gpt-oss-20b"),
    ] {
        let catalog = plimsoll_configs::catalog();
        assert_eq!(catalog.model(old).map(|model| model.id.as_str()), Some(id));
        let of_link = |name: &str| {
            let fragment = format!("v1;2;deployment.model={name};deployment.accelerator=H100");
            let (state, said) = Desk::default().edit("", &Edit::Link { fragment }).expect("it opens");
            assert!(said.notices.iter().all(|notice| notice.code == "link-other-model-version"), "{:?}", said.notices);
            plimsoll_protocol::decode::<Scenario>(&state.scenario).expect("a scenario")
        };
        let of_file = |name: &str| {
            let yaml = format!("version: 2\ndeployment: {{model: {name}, accelerator: H100, tensor_parallel_size: 1}}");
            plimsoll_formats::scenario_from_yaml(&yaml, "scenario.yaml").expect("a scenario")
        };
        for (written, expected) in [(of_link(old), of_link(id)), (of_file(old), of_file(id))] {
            let resolved = |scenario: &Scenario| scenario.resolve(catalog).map(|found| found.value);
            let found = resolved(&written).unwrap_or_else(|problems| panic!("{old}: {problems:?}"));
            assert_eq!(found.model, id);
            assert_eq!(Ok(found), resolved(&expected), "{old}");
        }
    }
}
