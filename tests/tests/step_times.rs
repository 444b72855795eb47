//! The measured roofline: what physics allows, and what was measured.

use plimsoll_configs::catalog;
use plimsoll_core::catalog::{AcceleratorSpec, CardRates, ModelSpec, Residual, StepTimesSpec};
use plimsoll_core::latency::{Batch, Card, Inputs, MeasuredRoofline};
use plimsoll_core::scenario::{AcceleratorChoice, LatencyModelChoice, ModelChoice, Scenario};
use plimsoll_tests::steps::sheet::bound_of;
use plimsoll_tests::steps::{data, fit, kernels, write};
use plimsoll_tests::truth::report::{Options, report};
use plimsoll_tests::truth::{steps, throughput};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use std::path::Path;

fn measured(model: &ModelSpec, accelerator: &AcceleratorSpec, ranks: u32, is_apart: bool) -> Option<MeasuredRoofline> {
    let footprint = model.footprint.as_ref()?;
    let spec = catalog().step_times.as_ref()?;
    let card = Card::of(accelerator, &spec.cards, &catalog().accelerators)?;
    let inputs = Inputs {
        compute: &footprint.compute,
        value_bytes: 2.0,
        state_bytes: f64::from(footprint.state_bytes),
        card,
        spec,
        ranks,
        expert_parallel: is_apart,
        captured: 512,
        is_async: true,
    };
    Some(inputs.model())
}

fn batch() -> impl Strategy<Value = Batch> {
    let prompts = prop::collection::vec((1..4096_u64, prop_oneof![Just(0), 0..100_000_u64]), 0..9);
    let decodes = prop_oneof![Just((0, 0)), (1..1024_u32, 1..20_000_u64)];
    (prompts, decodes).prop_map(|(prompts, (decodes, length))| {
        let mut batch = Batch { decodes, context: u64::from(decodes) * length, ..Batch::default() };
        for (tokens, past) in prompts {
            batch.prompts += 1;
            batch.prompt_tokens += tokens;
            batch.past += past;
            batch.pairs += tokens * (2 * past + tokens + 1);
        }
        batch
    })
}

/// Work and traffic are counted apart from the model, over all ranks at the full speed of the data sheet.
#[test]
fn no_step_is_faster_than_the_data_sheet() {
    let known = catalog();
    let config = Config { cases: 3000, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let ranks = prop_oneof![Just(1_u32), Just(2), Just(4), Just(8)];
    let strategy = (0..known.models.len(), 0..known.accelerators.len(), ranks, any::<bool>(), batch());
    runner
        .run(&strategy, |(model, accelerator, ranks, is_apart, batch)| {
            let (model, accelerator) = (&known.models[model], &known.accelerators[accelerator]);
            let (Some(measured), Some(footprint)) =
                (measured(model, accelerator, ranks, is_apart), model.footprint.as_ref())
            else {
                return Ok(());
            };
            if batch.prompts == 0 && batch.decodes == 0 {
                return Ok(());
            }
            let least = bound_of(footprint, accelerator, ranks, 2.0, &batch);
            let found = measured.micros(&batch);
            prop_assert!(
                found.is_finite() && found >= least,
                "{} on {}: {found} µs, least {least}",
                model.id,
                accelerator.id
            );
            Ok(())
        })
        .unwrap_or_else(|failure| panic!("{failure}"));
}

/// The bound by hand, so that the law above is not held to nothing: Llama 3.1 8B on an H100.
#[test]
fn what_a_data_sheet_allows_by_hand() {
    let (model, accelerator) = (catalog().model("llama-3.1-8b-instruct"), catalog().accelerator("H100"));
    let (model, accelerator) = (model.expect("built in"), accelerator.expect("built in"));
    let footprint = model.footprint.as_ref().expect("built in");
    // 32 layers of 4096·(4096 + 2·1024 + 4096) + 3·4096·14336 weights and a head of 128256·4096, 2 bytes each.
    let weights = 2.0 * (32.0 * (4096.0 * 10_240.0 + 3.0 * 4096.0 * 14_336.0) + 128_256.0 * 4096.0);
    let keys_and_values = 32.0 * 2.0 * 8.0 * 128.0 * 2.0 * 5000.0;
    let decode = Batch { decodes: 5, context: 5000, ..Batch::default() };
    let by_hand = (weights + keys_and_values) / (accelerator.memory_bandwidth_tb_per_s * 1e6);
    let found = bound_of(footprint, accelerator, 1, 2.0, &decode);
    // Norms are read too.
    assert!((found / by_hand - 1.0).abs() < 1e-3, "{found} for {by_hand}");
    let step = measured(model, accelerator, 1, false).expect("built in").micros(&decode);
    assert!(step > by_hand * 1.05 && step < by_hand * 1.5, "{step} for {by_hand}");
}

/// A lone prompt of 8,192 tokens of an 8B model on an H100 needs no more than the card can do.
#[test]
fn a_long_prompt_keeps_within_the_peak() {
    let (model, accelerator) = (catalog().model("llama-3.1-8b-instruct"), catalog().accelerator("H100"));
    let measured = measured(model.expect("built in"), accelerator.expect("built in"), 1, false).expect("built in");
    let prompt = Batch { prompts: 1, prompt_tokens: 8192, pairs: 8192 * 8193, ..Batch::default() };
    let work = 2.0 * 8192.0 * 32.0 * (4096.0 * 10_240.0 + 3.0 * 4096.0 * 14_336.0);
    let share = work / (989.4e6 * measured.micros(&prompt));
    assert!((0.4..0.85).contains(&share), "{share} of the peak");
}

/// All but one: with experts apart, a few prompts of this server took up to 20 ms longer than others that were the same.
#[test]
fn measured_steps_are_met() {
    let (rows, bars) = steps::rows(&Options::default()).expect("the folder is readable");
    let text = report(&rows, &bars).0;
    let missed: Vec<&str> = rows.iter().filter(|row| !row.is_within()).map(|row| row.name.as_str()).collect();
    assert_eq!(missed, ["qwen3.6-35b-a3b_bf16_b300_tp4-ep4, prompt, 90th percentile"], "{text}");
    assert!(rows.len() > 60, "{text}");
}

/// What cannot be read fails, whether it would be judged or not.
#[test]
fn a_server_that_cannot_be_read_is_not_met() {
    let broken = || Err(("some-server".to_owned(), "there is no config.json".to_owned()));
    let spec = catalog().step_times.as_ref().expect("built in");
    let rows = steps::rows_of(&[broken()], spec);
    let found = rows.iter().find(|row| row.name == "some-server").expect("it is told");
    assert!(!found.is_within() && found.note == "there is no config.json", "{found:?}");
    let refused = data::fitted(vec![broken()], &["other".into()]).expect_err("one is broken and one not there");
    let wanted = "there is no server other to leave out\nsome-server: there is no config.json; --without some-server leaves it out";
    assert_eq!(refused, wanted);
    assert!(data::fitted(vec![broken()], &["some-server".into()]).expect("it is named").is_empty());
}

/// The same of a row of throughputs that is outside the bar.
#[test]
fn a_throughput_that_cannot_be_predicted_is_not_met() {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("truth/measured_throughput.csv");
    let text = std::fs::read_to_string(own).expect("it is readable");
    let column = |name: &str| text.lines().next().expect("columns").split(',').position(|column| column == name);
    let (model, consistency) = (column("model").expect("there is one"), column("consistency").expect("there is one"));
    let row = text.lines().nth(1).expect("a row");
    let mut cells: Vec<&str> = row.split(',').collect();
    (cells[model], cells[consistency]) = ("no/such-model", "contradicts");
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("one_throughput.csv");
    std::fs::write(&path, format!("{}\n{}\n", text.lines().next().expect("columns"), cells.join(",")))
        .expect("written");
    let (rows, bars) = throughput::rows(&Options { path: Some(path), ..Options::default() }).expect("readable");
    let (told, is_good) = report(&rows, &bars);
    assert!(rows.len() == 1 && !is_good && told.contains("FAIL") && told.contains("no/such-model"), "{told}");
}

/// The committed rates are what the committed steps say of them: the file as it is written, and its residuals of steps
/// that were held back. `cargo xtask fit-steps --check` fits everything again, which takes minutes.
#[test]
fn committed_rates_are_written_as_fitted_and_as_far_off_as_they_say() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join("../configs/step_times.yaml")).expect("it is readable");
    let spec: StepTimesSpec = serde_yaml::from_str(&text).expect("it is valid");
    assert_eq!(write::yaml(&spec), text);
    let found = data::servers(&root.join("truth/step-times")).expect("it is readable");
    let servers = data::fitted(found, &[]).expect("each is readable");
    let judged = servers.iter().filter(|server| server.is_judged());
    let again: Vec<Residual> = judged.flat_map(|server| fit::residuals(server, &spec, "steps held back")).collect();
    let told = spec.residuals.iter().filter(|residual| residual.of.ends_with("steps held back"));
    assert!(again.len() > 15 && told.eq(&again), "{again:?}");
}

/// A search is the same on every run: of a server's steps, and of a card's kernels as when the rates were committed.
#[test]
fn fits_are_the_same_twice() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let found = data::servers(&root.join("truth/step-times")).expect("it is readable");
    let mut servers = data::fitted(found, &[]).expect("each is readable");
    servers.retain(|server| server.name == "qwen3-32b_bf16_b300_tp8");
    servers.iter_mut().for_each(|server| server.steps.truncate(200));
    let spec = catalog().step_times.as_ref().expect("built in");
    let fit = || write::yaml(&fit::server(spec.cards.clone(), &servers.iter().collect::<Vec<_>>(), 60));
    let once = fit();
    assert_eq!(once, fit());
    assert_ne!(once, write::yaml(spec));
    let kernels = root.join("truth/kernels");
    let sheet = catalog().accelerator("A100-80").expect("built in");
    let card = kernels::card(&kernels, "a100_sxm", sheet, [1.0; 3], &mut Vec::new()).expect("it is readable");
    let committed = spec.cards.iter().find(|card| card.accelerator == "A100-80").expect("it was measured");
    // Its experts of 4 bits are those of another card.
    assert_eq!(CardRates { experts_4bit: committed.experts_4bit, ..card }, *committed);
}

#[test]
fn it_is_chosen_by_name_and_says_what_was_not_measured() {
    let resolve = |accelerator: &str| {
        let mut scenario = Scenario::default();
        scenario.deployment.model = ModelChoice::Id("qwen/qwen3-14b".into());
        scenario.deployment.accelerator = Some(AcceleratorChoice::Id(accelerator.into()));
        scenario.latency.model = LatencyModelChoice::MeasuredRoofline;
        scenario.resolve(catalog()).expect("it fits")
    };
    let told = |accelerator: &str| resolve(accelerator).diagnostics.iter().any(|found| found.code == "extrapolated");
    assert!(!told("H100") && told("GH200"));
}
