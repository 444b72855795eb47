//! Links and fits of the time before vLLM's own rules, with what each gave then: they give it for ever.
#![cfg(not(target_arch = "wasm32"))]

use plimsoll_core::cluster::simulate;
use plimsoll_core::engine::Mode;
use plimsoll_core::report::{Collector, Report, ReportSettings};
use plimsoll_core::scenario::{ResolvedScenario, Scenario};
use plimsoll_core::workload::Source;
use plimsoll_desk::Desk;
use plimsoll_protocol::{Edit, decode};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The load that a fit meets here; it holds none itself.
const FIT_RATE: f64 = 9.0;
const FIT_REQUESTS: u32 = 300;

/// Lists longer than this stand in a file as their number of items and a hash.
const LONGEST_LIST: usize = 4;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name)
}

/// The files of a folder with this extension, in the order of their names.
fn files(name: &str, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder(name)).expect("the folder");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|found| found == extension));
    paths.sort();
    paths
}

fn of_link(path: &Path) -> Scenario {
    let fragment = fs::read_to_string(path).expect("a link").trim().to_owned();
    let (state, said) = Desk::default().edit("", &Edit::Link { fragment }).expect("it opens");
    let unknown: Vec<_> = said.notices.iter().filter(|notice| notice.code != "link-other-model-version").collect();
    assert!(unknown.is_empty(), "{}: {unknown:?}", path.display());
    decode(&state.scenario).expect("a scenario")
}

fn of_fit(path: &Path) -> Scenario {
    let mut scenario = Scenario::base(1).expect("the first base");
    let text = fs::read_to_string(path).expect("a fit");
    let file = plimsoll_formats::fit_from_yaml(&text, "fit.yaml").unwrap_or_else(|found| panic!("{found:?}"));
    file.fit().apply(&mut scenario, plimsoll_configs::catalog(), &file.deployment, file.calibrated_on);
    scenario.workload.request_rate = FIT_RATE;
    scenario.workload.num_requests = FIT_REQUESTS;
    scenario
}

/// One run of the scenario, with every request.
fn run(resolved: &ResolvedScenario) -> Report {
    let source = Source::of_run(&resolved.workload, None, resolved.seed, resolved.engine.horizon);
    let mut settings = ReportSettings::new(resolved);
    settings.classes = source.classes().to_vec();
    settings.tenants = source.tenants().to_vec();
    let source = source.behind(resolved.client, resolved.cluster.num_replicas);
    let mut collector = Collector::detailed(settings);
    let totals =
        simulate(&resolved.cluster, resolved.engine, resolved.latency.clone(), source, Mode::Fast, &mut collector);
    Report::new(collector, &totals)
}

/// What a scenario resolves to and what its run came to: every single figure by its path, and a hash of each long list.
fn figures(scenario: &Scenario) -> BTreeMap<String, String> {
    let resolved = scenario.resolve(plimsoll_configs::catalog()).unwrap_or_else(|found| panic!("{found:?}")).value;
    let mut found = BTreeMap::new();
    let engine = &resolved.engine;
    for (name, value) in [
        ("model", resolved.model.clone()),
        ("accelerator", resolved.accelerator.clone()),
        ("tensor_parallel_size", resolved.tensor_parallel_size.to_string()),
        ("basis", format!("{:?}", resolved.basis)),
        ("num_blocks", engine.num_blocks.to_string()),
        ("max_model_len", engine.max_model_len.to_string()),
        ("max_num_seqs", engine.max_num_seqs.to_string()),
        ("max_num_batched_tokens", engine.max_num_batched_tokens.to_string()),
    ] {
        found.insert(format!("resolved.{name}"), value);
    }
    collect("report", &serde_json::to_value(run(&resolved)).expect("a report is JSON"), &mut found);
    found
}

fn collect(path: &str, value: &Value, found: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                collect(&format!("{path}.{name}"), value, found);
            }
        }
        Value::Array(items) if items.len() <= LONGEST_LIST => {
            for (index, item) in items.iter().enumerate() {
                collect(&format!("{path}.{index}"), item, found);
            }
        }
        Value::Array(items) => {
            found.insert(path.to_owned(), format!("{} items {:016x}", items.len(), hash(&value.to_string())));
        }
        single => {
            found.insert(path.to_owned(), single.to_string());
        }
    }
}

/// FNV-1a of a text.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// What differs from the figures that stand beside the file. Figures that reports got later do not count.
fn differences(path: &Path, scenario: &Scenario) -> Vec<String> {
    let present = figures(scenario);
    let frozen = fs::read_to_string(path.with_extension("txt")).expect("what it gave");
    assert!(frozen.lines().count() > 50, "{} has its figures", path.display());
    let differing = frozen.lines().filter_map(|line| {
        let (name, was) = line.split_once(' ').expect("a path and a value");
        let is = present.get(name).map_or("missing", String::as_str);
        (was != is).then(|| format!("  {name} was {was}, is {is}"))
    });
    let found: Vec<String> = differing.collect();
    if found.is_empty() { found } else { [vec![path.display().to_string()], found].concat() }
}

#[test]
fn links_of_the_first_base_give_what_they_gave() {
    let links = files("links", "link");
    assert_eq!(links.len(), 50);
    let found: Vec<String> = links.iter().flat_map(|path| differences(path, &of_link(path))).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn fits_of_the_first_base_predict_what_they_predicted() {
    let (files, links) = (files("fits", "yaml"), files("fits", "link"));
    assert_eq!(files.len() + links.len(), 10);
    let of_files = files.iter().flat_map(|path| differences(path, &of_fit(path)));
    let found: Vec<String> = of_files.chain(links.iter().flat_map(|path| differences(path, &of_link(path)))).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}
