use super::*;

fn read(yaml: &str) -> WorkloadSpec {
    workload_spec_from_yaml(yaml, "w.yaml").expect("a good specification").value
}

/// The diagnostics as `place code: message`, one a line.
fn problems(yaml: &str) -> Vec<String> {
    let found = workload_spec_from_yaml(yaml, "w.yaml").expect_err("the text is malformed");
    found.iter().map(|found| format!("{} {}: {}", found.path, found.code, found.message)).collect()
}

const GOOD: &str = r#"version: "2"
seed: 7
num_requests: 500
category: language
aggregate_rate: 12.5
horizon: 60000000
clients:
  - id: chat
    tenant_id: acme
    slo_class: critical
    rate_fraction: 0.7
    streaming: true
    prefix_group: system
    prefix_length: 128
    timeout: 5000000
    arrival: { process: gamma, cv: 2.5 }
    input_distribution:
      type: gaussian
      params: { mean: 256, std_dev: 100, min: 32, max: 2048.9 }
    output_distribution:
      type: exponential
      params:
        mean: 128
    network: { rtt_ms: 20, bandwidth_mbps: 100 }
    lifecycle:
      windows:
        - { start_us: 0, end_us: 30000000 }
  - id: agent
    rate_fraction: 0.3
    closed_loop: false
    arrival:
      process: weibull
      cv: 1.5
    input_distribution: { type: empirical, params: { 100: 0.25, 200 tokens: 0.75 } }
    output_distribution: { type: pareto_lognormal, params: { alpha: 1.5, xm: 50, mu: 4, sigma: 1, mix_weight: 0.1 } }
    multimodal:
      text_distribution: { type: constant, params: { value: 20 } }
      image_distribution: { type: constant, params: { value: 500 } }
      image_count_distribution: { type: gaussian, params: { mean: 1, std_dev: 0, min: 1, max: 1 } }
      audio_distribution: { type: constant, params: { value: 500 } }
    reasoning:
      reason_ratio_distribution: { type: constant, params: { value: 40 } }
      multi_turn: { max_rounds: 4, think_time_us: 1000000, context_growth: accumulate, single_session: true }
  - id: users
    concurrency: 8
    think_time_us: 250000
    input_distribution: { type: constant, params: { value: 0 } }
    output_distribution: { type: lognormal, params: { mean: 50, std_dev: 10, min: 1, max: 100 } }
cohorts:
  - id: crowd
    population: 3
    rate_fraction: 1
    arrival: { process: constant }
    spike: { start_time_us: 10, duration_us: 20 }
    input_distribution: { type: constant, params: { value: 5 } }
    output_distribution: { type: constant, params: { value: 6 } }
"#;

#[test]
fn every_field_of_a_specification_is_read() {
    let spec = read(GOOD);
    assert_eq!((spec.seed, spec.num_requests, spec.horizon_us), (Some(7), Some(500), Some(60_000_000)));
    assert_eq!((spec.aggregate_rate, spec.servegen_data), (Some(12.5), None));
    let [chat, agent, users, crowd] = spec.clients.as_slice() else { panic!("four clients") };
    let constant = |value| LengthSettings::Constant { value };
    assert_eq!(
        *chat,
        ClientSettings {
            id: "chat".into(),
            tenant: "acme".into(),
            slo_class: "critical".into(),
            rate_fraction: 0.7,
            arrival: ArrivalSettings::Gamma { cv: 2.5 },
            input_tokens: LengthSettings::Normal { mean: 256.0, std_dev: 100.0, min: 32, max: 2048 },
            output_tokens: LengthSettings::Exponential { mean: 128.0 },
            prefix_group: "system".into(),
            prefix_tokens: 128,
            streaming: true,
            timeout_us: Some(5_000_000),
            network: Some(NetworkSettings { rtt_ms: 20.0, bandwidth_mbps: 100.0 }),
            active: vec![ActiveWindow { start_us: 0, end_us: 30_000_000 }],
            ..ClientSettings::default()
        }
    );
    assert_eq!(agent.arrival, ArrivalSettings::Weibull { cv: 1.5 });
    assert_eq!(agent.input_tokens, LengthSettings::Empirical { weights: vec![(100, 0.25), (200, 0.75)] });
    let parts = agent.multimodal.clone().expect("several modalities");
    assert_eq!(parts.text, Some(constant(20)));
    assert_eq!(parts.image, Some(ItemSettings { tokens: constant(500), count: constant(1) }));
    // A part without its counts is not used.
    assert_eq!(parts.audio, None);
    assert_eq!(agent.reason_ratio, Some(constant(40)));
    let session = SessionSettings {
        max_rounds: 4,
        think_time_us: 1_000_000,
        accumulates: true,
        is_closed_loop: false,
        is_single: true,
    };
    assert_eq!((agent.session, agent.timeout_us, agent.prefix_tokens), (Some(session), None, 50));
    assert_eq!(users.closed_loop, Some(ClosedLoopSettings { concurrency: 8, think_time_us: 250_000 }));
    assert_eq!(users.input_tokens, constant(1));
    assert_eq!((crowd.population, crowd.active[0].end_us), (3, 30));
}

#[test]
fn old_slo_classes_are_renamed_with_a_notice() {
    let old = GOOD.replace("version: \"2\"", "version: 1").replace("critical", "realtime");
    let read = workload_spec_from_yaml(&old, "w.yaml").expect("an old specification");
    assert_eq!(read.value.clients[0].slo_class, "critical");
    assert_eq!(read.diagnostics.iter().map(|d| d.code.as_str()).collect::<Vec<_>>(), ["workload-spec-upgraded"]);
    assert!(problems(&GOOD.replace("critical", "realtime"))[0].contains("slo_class is \"realtime\""));
}

#[test]
fn unknown_fields_are_named_with_the_one_that_was_meant() {
    let found = workload_spec_from_yaml(&GOOD.replace("    tenant_id: acme", "    tenantid: acme"), "w.yaml");
    let found = found.expect_err("an unknown field");
    assert_eq!((found[0].path.as_str(), found[0].code.as_str()), ("w.yaml:9:5", "unknown-field"));
    assert_eq!(found[0].message, "there is no field clients[0].tenantid");
    assert!(found[0].hint.starts_with("did you mean tenant_id?"), "{}", found[0].hint);
    let nested = problems(&GOOD.replace("      cv: 1.5", "      cw: 1.5"));
    assert_eq!(nested, ["w.yaml:33:7 unknown-field: there is no field clients[1].arrival.cw"]);
    let cohort = problems(&GOOD.replace("population: 3", "population: 3\n    drainn: {}"));
    assert_eq!(cohort, ["w.yaml:52:5 unknown-field: there is no field cohorts[0].drainn"]);
}

#[test]
fn every_defect_is_told_in_its_place() {
    for (from, to, expected) in [
        ("aggregate_rate: 12.5\n", "", "w.yaml:1:1 missing-field: aggregate_rate is missing"),
        ("aggregate_rate: 12.5", "aggregate_rate: 0", "w.yaml:5:1 invalid-value: aggregate_rate is 0"),
        ("version: \"2\"", "version: 3", "w.yaml:1:1 invalid-value: version is \"3\""),
        ("category: language", "category: poetry", "w.yaml:4:1 invalid-value: category is \"poetry\""),
        ("slo_class: critical", "slo_class: urgent", "w.yaml:10:5 invalid-value: clients[0].slo_class is \"urgent\""),
        ("    rate_fraction: 0.7\n", "", "w.yaml:8:5 missing-field: clients[0].rate_fraction is missing"),
        (
            "rate_fraction: 0.7",
            "rate_fraction: most",
            "w.yaml:11:5 invalid-value: clients[0].rate_fraction is \"most\"",
        ),
        ("streaming: true", "streaming: often", "w.yaml:12:5 invalid-value: clients[0].streaming is \"often\""),
        ("process: gamma", "process: gama", "w.yaml:16:16 invalid-value: clients[0].arrival.process is \"gama\""),
        ("cv: 2.5", "cv: -1", "w.yaml:16:32 invalid-value: clients[0].arrival.cv is -1"),
        ("cv: 2.5", "cv: .nan", "w.yaml:16:32 syntax: clients[0].arrival.cv: NaN is not a finite number"),
        ("      type: gaussian\n", "", "w.yaml:17:5 missing-field: clients[0].input_distribution.type is missing"),
        (", max: 2048.9", "", "w.yaml:19:7 missing-field: clients[0].input_distribution.params.max is missing"),
        (
            "type: exponential",
            "type: zipf",
            "w.yaml:21:7 invalid-value: clients[0].output_distribution.type is \"zipf\"",
        ),
        (
            "100: 0.25",
            "100: none",
            "w.yaml:34:54 invalid-value: clients[1].input_distribution.params.100 must be a finite number",
        ),
        (
            "{ 100: 0.25, 200 tokens: 0.75 }",
            "{}",
            "w.yaml:34:44 missing-field: clients[1].input_distribution.params is empty",
        ),
        ("max_rounds: 4, ", "", "w.yaml:43:7 missing-field: clients[1].reasoning.multi_turn.max_rounds is missing"),
        (
            "    concurrency: 8",
            "    concurrency: 8\n    rate_fraction: 1",
            "w.yaml:46:5 invalid-value: clients[2].rate_fraction is given beside concurrency",
        ),
        ("    population: 3\n", "", "w.yaml:50:5 missing-field: cohorts[0].population is missing"),
        ("  - id: chat", "  - id: chat\n    id: chat", "w.yaml:9:5 repeated-field: id is given twice"),
    ] {
        assert!(GOOD.contains(from), "{from}");
        assert_eq!(problems(&GOOD.replacen(from, to, 1)), [expected], "{to}");
    }
    assert!(problems("clients: [")[0].contains("syntax"));
    assert!(problems("- 1")[0].contains("not a mapping"));
    assert_eq!(problems("aggregate_rate: 1\n"), ["w.yaml:1:1 missing-field: the specification has no clients"]);
    let many = GOOD
        .replace("streaming: true", "streaming: 1")
        .replace("population: 3", "population: x")
        .replace("cv: 1.5", "cv: 0");
    assert_eq!(problems(&many).len(), 3);
}

#[test]
fn a_folder_of_servegen_data_takes_the_place_of_clients() {
    let spec = read("aggregate_rate: 3\nnum_requests: 9\nservegen_data: { path: data, span_start: 600 }\n");
    let choice = ServeGenChoice { path: "data".into(), span_start: 600.0, span_end: 0.0 };
    assert_eq!((spec.clients.len(), spec.servegen_data), (0, Some(choice)));
}
