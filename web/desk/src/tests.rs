//! Edits as the page sends them.

use super::*;
use plimsoll_core::scenario::ModelChoice;

fn edited(scenario: &str, edit: &Edit) -> (DeskState, Said) {
    Desk::default().edit(scenario, edit).expect("an edit")
}

fn base() -> DeskState {
    edited("", &Edit::Base).0
}

fn number(path: &str, value: Option<f64>) -> Edit {
    Edit::Number { path: path.into(), value }
}

fn choice(path: &str, id: &str) -> Edit {
    Edit::Choice { path: path.into(), id: id.into() }
}

fn scenario_of(state: &DeskState) -> Scenario {
    decode(&state.scenario).expect("a scenario")
}

#[test]
fn the_base_is_complete_and_its_own_link() {
    let state = base();
    assert_eq!(scenario_of(&state), Scenario::default());
    assert_eq!((state.changes.as_str(), state.diagnostics.len()), ("", 0));
    assert_eq!(state.choice("deployment.tensor_parallel_size"), "1");
    assert_eq!(state.number("slo.percentile"), Some(95.0));
    let resolved = state.resolved.expect("it can be run");
    assert_eq!(resolved.curve.settings, Scenario::default().curve);
    assert_eq!(resolved.basics.settings.max_num_seqs, 1024, "a card of 80 GiB");
}

#[test]
fn a_number_changes_its_field_and_the_link() {
    let (state, said) = edited(&base().scenario, &number("slo.ttft_ms", Some(250.0)));
    assert_eq!(said, Said::default());
    assert_eq!((state.number("slo.ttft_ms"), state.changes.as_str()), (Some(250.0), "slo.ttft_ms=250"));
    let (state, _) = edited(&state.scenario, &number("slo.ttft_ms", None));
    assert_eq!(scenario_of(&state).slo.ttft_ms, None);
    let (same, _) = edited(&state.scenario, &number("slo.from_the_future", Some(1.0)));
    assert_eq!(same, state);
}

#[test]
fn users_who_wait_have_no_curve_and_a_preset_ends_them() {
    let mut scenario = Scenario::default();
    scenario.workload.closed_loop =
        Some(plimsoll_core::scenario::ClosedLoopSettings { concurrency: 8, think_time_us: 0 });
    let text = encode(&scenario).expect("writable");
    let (state, _) = edited(&text, &number("slo.ttft_ms", Some(250.0)));
    assert!(state.resolved.is_none());
    assert!(state.diagnostics.iter().any(|found| found.path == "workload.closed_loop"), "{:?}", state.diagnostics);
    let (state, _) = edited(&state.scenario, &choice("workload", "chatbot"));
    assert!(state.resolved.is_some(), "{:?}", state.diagnostics);
}

#[test]
fn replicas_are_named_and_paid_for() {
    let price = |state: &DeskState| {
        let resolved = state.resolved.as_ref().expect("it can be run");
        (resolved.basics.price_usd_per_hour.expect("a price"), resolved.basics.deployment.clone())
    };
    let (one, _) = price(&base());
    let (state, _) = edited(&base().scenario, &number("cluster.num_replicas", Some(4.0)));
    let (four, deployment) = price(&state);
    assert!((four - 4.0 * one).abs() < 1e-9, "{one} {four}");
    assert!(deployment.starts_with("4 replicas of meta-llama/"), "{deployment}");
    assert_eq!(state.changes, "cluster.num_replicas=4");
}

#[test]
fn what_cannot_be_run_says_why_and_has_no_basics() {
    let (state, _) = edited(&base().scenario, &number("engine.max_num_seqs", Some(0.0)));
    assert!(state.resolved.is_none());
    assert!(state.diagnostics.iter().any(|found| found.path == "engine.max_num_seqs"), "{:?}", state.diagnostics);
}

#[test]
fn every_picker_gives_back_what_it_was_given() {
    let pairs = [
        ("deployment.model", "Qwen/Qwen3-8B"),
        ("deployment.accelerator", "A100-80"),
        ("deployment.tensor_parallel_size", "2"),
        ("latency.model", "roofline"),
        ("engine.kv_cache_dtype", "fp8"),
        ("engine.scheduler", "reverse-priority"),
        ("cluster.routing.policy", "least-loaded"),
        ("cluster.admission.policy", "token-bucket"),
        ("engine.enable_prefix_caching", "false"),
        ("engine.scheduling", "reference"),
        ("engine.async_scheduling", "false"),
        ("engine.scheduler_reserve_full_isl", "true"),
        ("deployment.server_version", "0.24"),
        ("workload", "summarization"),
    ];
    for (path, id) in pairs {
        let before = base();
        assert_ne!(before.choice(path), id, "{path}");
        let (state, _) = edited(&before.scenario, &choice(path, id));
        assert_eq!(state.choice(path), id, "{path}");
    }
}

#[test]
fn a_model_that_needs_more_accelerators_gets_them_and_it_is_said() {
    let (state, said) = edited(&base().scenario, &choice("deployment.model", "meta-llama/Llama-3.1-70B-Instruct"));
    assert!(said.remark.contains("does not fit at tensor_parallel_size 1"), "{said:?}");
    let size = state.choice("deployment.tensor_parallel_size").to_owned();
    assert_ne!(size, "1");
    assert!(state.resolved.is_some(), "{:?}", state.diagnostics);
    let offered = state.offers("deployment.tensor_parallel_size").iter().find(|choice| choice.id == size);
    assert!(offered.is_some_and(|choice| choice.is_available));
}

#[test]
fn an_old_link_moves_to_the_new_rules_and_says_what_changes() {
    let fragment = String::from("v1;1;slo.ttft_ms=300");
    let (old, _) = edited("", &Edit::Link { fragment });
    assert!(old.diagnostics.iter().any(|found| found.code == "newer-rules"), "{:?}", old.diagnostics);
    assert_eq!((old.choice("engine.scheduling"), old.number("engine.max_num_seqs")), ("reference", Some(256.0)));
    let (new, said) = edited(&old.scenario, &Edit::NewRules);
    assert!(said.remark.contains("max_num_seqs: 256 becomes 1024"), "{said:?}");
    assert_eq!((new.changes.as_str(), new.diagnostics.len()), ("slo.ttft_ms=300", 0));
    assert_eq!(new.number("engine.max_num_seqs"), None);
    let default = new.default_of("engine.max_num_seqs").expect("it is left out");
    assert_eq!((default.value.as_str(), default.source.as_str()), ("1024", "default of vLLM 0.33 on H100"));
    // Another card, another default; the same again changes nothing.
    let (other, _) = edited(&new.scenario, &choice("deployment.accelerator", "A100-80"));
    assert_eq!(other.default_of("engine.max_num_seqs").map(|default| default.value.as_str()), Some("256"));
    let (same, said) = edited(&new.scenario, &Edit::NewRules);
    assert_eq!((same, said), (new, Said::default()));
}

#[test]
fn a_link_brings_its_view_and_what_was_not_understood() {
    let fragment = "v1;1;model-version=1000;view.tab=memory;slo.ttft_ms=300;slo.colour=red".to_owned();
    let (state, said) = edited("", &Edit::Link { fragment });
    assert_eq!(said.view.map(|view| view.tab.id()), Some("memory"));
    let codes: Vec<&str> = said.notices.iter().map(|notice| notice.code.as_str()).collect();
    assert_eq!(codes, ["link-unknown-field", "link-other-model-version"]);
    assert!(said.notices[1].hint.contains("reload"), "{:?}", said.notices[1]);
    let (_, older) = edited("", &Edit::Link { fragment: "v1;1;model-version=0".into() });
    assert_eq!(older.notices.len(), 1);
    assert_eq!(older.notices[0].hint, plimsoll_core::MODEL_CHANGES.join(" "), "all that changed since is told");
    assert_eq!(state.number("slo.ttft_ms"), Some(300.0));
    let (kept, said) = edited(&state.scenario, &Edit::Link { fragment: "v9".into() });
    assert_eq!((kept, said.notices.len(), said.view), (state, 1, None));
}

#[test]
fn values_of_one_s_own_take_their_place() {
    let sheet = AcceleratorSheet { id: "mine".into(), figures: [500.0, 2.0, 64.0, 0.5, 0.3] };
    let (state, _) = edited(&base().scenario, &Edit::Accelerator { sheet: sheet.clone() });
    assert_eq!((state.choice("deployment.accelerator"), &state.accelerator), ("mine (own)", &Some(sheet)));
    let catalog = plimsoll_configs::catalog();
    let text = encode(&ModelChoice::Custom(Box::new(catalog.models[0].clone()))).expect("writable");
    let (state, _) = edited(&base().scenario, &Edit::Value { path: "deployment.model".into(), text });
    assert!(matches!(scenario_of(&state).deployment.model, ModelChoice::Custom(_)));
    let trace = r#"{"name":"t.csv","hash":"0123456789abcdef"}"#.to_owned();
    let (state, _) = edited(&base().scenario, &Edit::Value { path: "workload.trace".into(), text: trace });
    assert_eq!((state.choice("workload.trace"), state.trace.as_deref()), ("t.csv", Some("0123456789abcdef")));
    let (state, _) = edited(&state.scenario, &choice("workload.trace", ""));
    assert_eq!(state.trace, None);
}

#[test]
fn long_lists_are_told_when_asked_for() {
    let desk = Desk::default();
    let models = desk.choices("", "deployment.model").expect("a list");
    assert_eq!(models.len(), plimsoll_configs::catalog().models.len());
    assert!(desk.choices("", "slo.ttft_ms").expect("no list").is_empty());
}

#[test]
fn what_is_kept_of_the_offers_is_that_of_the_deployment() {
    let mut desk = Desk::default();
    let (first, _) = desk.edit("", &Edit::Base).expect("the base");
    let (other, _) = desk.edit(&first.scenario, &choice("deployment.accelerator", "L40S")).expect("an edit");
    assert_eq!(other.offers, edited(&other.scenario, &number("seed", None)).0.offers);
    assert_ne!(other.offers, first.offers);
}

#[test]
fn garbage_is_a_failure_not_a_panic() {
    let mut desk = Desk::default();
    for (scenario, edit) in [
        ("{", Edit::Base),
        ("", Edit::Scenario { text: "7".into() }),
        ("", Edit::Value { path: "workload.trace".into(), text: "7".into() }),
        ("", Edit::ServeLine { text: "vllm serve".into() }),
    ] {
        assert_eq!(desk.edit(scenario, &edit).expect_err("none").code, "undecodable");
    }
}
