//! The embedded catalogue is complete, and what it names resolves.

use super::*;
use plimsoll_core::catalog::{Lookup, weight_bytes_from_name};
use plimsoll_core::diagnostic::Severity;
use plimsoll_core::scenario::{
    AcceleratorChoice, Basis, BlocksSource, LatencyModelChoice, ModelChoice, ResolvedScenario,
};

fn deployment(model: &str, accelerator: Option<&str>, tp: Option<u32>, latency: LatencyModelChoice) -> Scenario {
    let mut scenario = Scenario::default();
    scenario.deployment.model = ModelChoice::Id(model.into());
    scenario.deployment.accelerator = accelerator.map(|id| AcceleratorChoice::Id(id.into()));
    scenario.deployment.tensor_parallel_size = tp;
    scenario.engine.gpu_memory_utilization = None;
    scenario.latency.model = latency;
    scenario
}

fn resolved(scenario: &Scenario) -> ResolvedScenario {
    scenario.resolve(catalog()).unwrap_or_else(|problems| panic!("{problems:?}")).value
}

#[test]
fn the_catalogue_has_every_entry_of_its_sources() {
    let catalog = catalog();
    assert_eq!(catalog.coefficients.len(), 109);
    assert_eq!(catalog.reachable_rows().len(), 85);
    assert_eq!(catalog.shadowed_rows().len(), 24);
    assert_eq!(catalog.model_defaults.len(), 28);
    assert_eq!(catalog.presets.len(), 4);
    assert_eq!(catalog.models.len(), 52 + 18, "52 configurations and 18 variants of them");
    assert_eq!(catalog.accelerators.len(), 15);
    assert_eq!(catalog.coefficients.first().map(|row| row.line), Some(2));
    assert_eq!(catalog.coefficients.last().map(|row| row.line), Some(110));
    assert!(catalog.coefficients.iter().all(|row| !row.provenance.source.is_empty()));
}

#[test]
fn figures_arrive_with_every_digit() {
    let row = catalog()
        .coefficient_row(Lookup {
            model: "Meta-Llama/Llama-3.1-8B-Instruct",
            accelerator: Some("h100"),
            tensor_parallel_size: Some(1),
            engine_version: None,
        })
        .expect("the row exists");
    assert_eq!(row.alpha, [232.46191091038054, 1.752360364195244, 3357.4400353290152]);
    assert_eq!(row.beta, [5752.705191348184, 17.25086436834028, 5.999143920128404]);
    assert_eq!(row.total_kv_blocks, 29205);
    assert_eq!(catalog().trained_physics.beta[2], 1.36252915);
}

#[test]
fn of_rows_with_an_equal_key_the_first_is_used() {
    // Lines 45 and 84 of the source have the same key and other coefficients.
    let mut scenario = deployment("redhatai/phi-4-fp8-dynamic", Some("H100"), Some(1), LatencyModelChoice::Blackbox);
    let first = resolved(&scenario);
    scenario.latency.alpha = Some(vec![6933.519704638618, 2.881848162088737, 6024.521165831988]);
    scenario.latency.beta = Some(vec![4766.019115846135, 39.93059807835496, 14.107587735403516]);
    assert_eq!(first.latency, resolved(&scenario).latency);
}

#[test]
fn every_reachable_row_resolves_to_itself() {
    for row in catalog().reachable_rows() {
        let mut scenario =
            deployment(&row.model, Some(&row.accelerator), Some(row.tensor_parallel_size), LatencyModelChoice::Blackbox);
        scenario.deployment.engine_version = Some(row.engine_version.clone());
        let found = resolved(&scenario);
        assert_eq!(found.basis, Basis::Trained);
        assert_eq!(found.engine.num_blocks, row.total_kv_blocks, "{} line {}", row.model, row.line);
        assert_eq!(found.engine.max_model_len, 0);
        let ledger = found.ledger.expect("every model with coefficients has an architecture");
        assert_eq!(ledger.source, BlocksSource::CoefficientRow);
    }
}

#[test]
fn every_model_default_resolves_from_the_model_alone() {
    for default in &catalog().model_defaults {
        let found = resolved(&deployment(&default.model, None, None, LatencyModelChoice::Auto));
        assert_eq!(found.accelerator, default.accelerator, "{}", default.model);
        assert_eq!(found.tensor_parallel_size, default.tensor_parallel_size);
        assert_eq!(found.basis, Basis::Trained);
        assert_eq!(found.filled_in.len(), 3);
    }
}

#[test]
fn every_model_resolves_on_every_accelerator_or_says_why_not() {
    let mut num_resolved = 0;
    for model in &catalog().models {
        for accelerator in &catalog().accelerators {
            for tp in [1, 2, 3, 4, 8, 16] {
                for latency in [LatencyModelChoice::Auto, LatencyModelChoice::Roofline, LatencyModelChoice::TrainedPhysics] {
                    match deployment(&model.id, Some(&accelerator.id), Some(tp), latency).resolve(catalog()) {
                        Ok(_) => num_resolved += 1,
                        Err(problems) => {
                            let error = problems.iter().find(|problem| problem.severity == Severity::Error);
                            let error = error.expect("an error among the problems");
                            assert!(!error.message.is_empty() && !error.hint.is_empty(), "{error}");
                            assert!(error.path.contains('.'), "{error}");
                        }
                    }
                }
            }
        }
    }
    assert!(num_resolved > 4000, "{num_resolved}");
}

#[test]
fn quantised_names_have_their_weight_width() {
    for model in &catalog().models {
        if let Some(bytes) = weight_bytes_from_name(&model.id) {
            assert_eq!(model.weight_bytes_per_param, Some(bytes), "{}", model.id);
        }
    }
    let quantised = catalog().model("phi-4-quantized.w4a16").expect("found by its last path component");
    assert_eq!(quantised.hidden_size, 5120);
}

#[test]
fn the_ready_scenarios_resolve_and_start_with_the_default() {
    assert_eq!(scenarios()[0].id, "default");
    assert_eq!(scenario("default"), Scenario::base(1));
    assert!(scenarios().len() >= 4);
    for entry in scenarios() {
        assert!(!entry.title.is_empty());
        resolved(&entry.scenario);
    }
    assert_eq!(scenario("no-such-scenario"), None);
}

#[test]
fn the_tiny_tp4_decode_step_of_llama_8b_is_called_implausible() {
    let scenario = deployment("meta-llama/llama-3.1-8b-instruct", Some("H100"), Some(4), LatencyModelChoice::Auto);
    let warned = scenario.resolve(catalog()).expect("resolves");
    let warning = warned.diagnostics.iter().find(|found| found.code == "coefficients-implausible").expect("warned");
    assert!(warning.message.contains("48 µs") && warning.hint.contains("trained-physics"), "{warning}");
    let sound = deployment("meta-llama/llama-3.1-8b-instruct", Some("H100"), Some(1), LatencyModelChoice::Auto);
    let diagnostics = sound.resolve(catalog()).expect("resolves").diagnostics;
    assert!(diagnostics.iter().all(|found| found.code != "coefficients-implausible"));
}
