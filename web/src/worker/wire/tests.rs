//! Every message against the worker's end, which derives its form from the types.

use super::*;
use plimsoll_protocol::{decode, encode};

fn goes_out(request: &Request) {
    let text = write(request);
    assert_eq!(&decode::<Request>(&text).expect(&text), request);
}

fn comes_in(response: &Response) {
    let text = encode(response).expect("writable");
    assert_eq!(&read(&text).unwrap_or_else(|failure| panic!("{}: {text}", failure.message)), response);
}

fn finished(outcome: Outcome) -> Response {
    Response::Finished { job: JobId((1 << 53) - 1), outcome }
}

const TEXT: &str = "a \"b\" \\ c\n\t\u{1} é ≤";

fn sample() -> PointSample {
    let of = |mean: f64| SamplePercentiles { mean, p50: 0.1, p90: 1e-9, p95: 1e17, p99: mean / 3.0, slo: 0.0 };
    PointSample {
        verdict: Verdict::Backlogged,
        ttft: of(1.0),
        tpot: of(2.0),
        itl: of(0.1 + 0.2),
        e2e: of(12345.678),
        measured_requests: 7,
        request_throughput: 1.5,
        output_token_throughput: 2.5,
        goodput: 3.5,
        attainment: 0.95,
        classes: vec![ClassSample { name: TEXT.into(), attainment: 0.25, keeps_limits: true }],
        mean_running: 4.5,
        mean_waiting: 5.5,
        kv_usage: 0.5,
        preemptions_per_request: 0.25,
        prefix_hit_ratio: 0.125,
        limiters: LimiterShares { none: 0.1, max_num_seqs: 0.2, max_num_batched_tokens: 0.3, kv_blocks: 0.4 },
        time_shares: vec![TimeShare { name: "weights".into(), ratio: 0.7 }],
        steps: 1 << 40,
        limits: vec![LimitShare { share: 0.1 + 0.2, allowed: 0.05, variance: 1e-9 }, LimitShare::default()],
        precision: Some(Precision { in_system: 0.01, ttft: 1.5, tpot: 0.25, e2e: 1e3 / 3.0 }),
    }
}

#[test]
fn every_request_is_understood() {
    goes_out(&Request::Hello { protocol: 2, build: TEXT.into() });
    goes_out(&Request::Cancel { job: JobId((1 << 53) - 1) });
    let stages = [
        Stage::Probe,
        Stage::Grid,
        Stage::Bisection,
        Stage::Extension,
        Stage::Saturation,
        Stage::Capacity,
        Stage::Settling,
        Stage::Ablation,
    ];
    let limiters = [
        None,
        Some(Limiter::MaxNumSeqs),
        Some(Limiter::MaxNumBatchedTokens),
        Some(Limiter::KvBlocks),
        Some(Limiter::StepTime),
    ];
    let trials = limiters
        .into_iter()
        .enumerate()
        .map(|(index, relaxed)| CurveTrial {
            id: u32::MAX,
            stage: stages[index % 8],
            request_rate: [0.1, 1e9, 1.0 / 3.0, 5e-324, f64::MAX][index],
            replicate: 2,
            num_requests: 1000,
            relaxed,
        })
        .collect();
    let path = String::from("slo.ttft_ms");
    let sheet = AcceleratorSheet { id: TEXT.into(), figures: [989.5, 3.35, 80.0, 0.45, 0.3] };
    let edits = [
        Edit::Base,
        Edit::NewRules,
        Edit::Link { fragment: TEXT.into() },
        Edit::Scenario { text: "{}".into() },
        Edit::Number { path: path.clone(), value: Some(0.1 + 0.2) },
        Edit::Number { path: path.clone(), value: None },
        Edit::Choice { path: path.clone(), id: TEXT.into() },
        Edit::Value { path: path.clone(), text: TEXT.into() },
        Edit::Accelerator { sheet },
        Edit::ServeLine { text: TEXT.into() },
    ];
    let specs = [
        Spec::Trials { scenario: TEXT.into(), trials },
        Spec::ReadFile { name: TEXT.into() },
        Spec::Lab { request: TEXT.into() },
        Spec::Choices { scenario: TEXT.into(), path },
    ];
    let desk = edits.map(|edit| Spec::Desk { scenario: TEXT.into(), edit });
    for spec in specs.into_iter().chain(desk) {
        goes_out(&Request::Start { job: JobId(3), spec });
    }
}

#[test]
fn every_response_is_read() {
    let job = JobId(7);
    let diagnostics = vec![
        Diagnostic::error("unknown-field", "b", TEXT).with_hint("c"),
        Diagnostic::warning("unknown-field", "b", "c"),
        Diagnostic::note("unknown-field", "b", "c"),
    ];
    comes_in(&Response::Ready { protocol: 2, build: TEXT.into() });
    comes_in(&Response::Refused { reason: TEXT.into() });
    comes_in(&Response::Progress { job, done: 1, total: None });
    comes_in(&Response::Progress { job, done: 1, total: Some(1 << 52) });
    comes_in(&Response::Cancelled { job });
    comes_in(&Response::Update { job, text: TEXT.into() });
    comes_in(&finished(Outcome::Lab { answer: TEXT.into() }));
    comes_in(&Response::Failed { job, failure: Failure::invalid_input(diagnostics.clone()) });
    let verdicts = [Verdict::Stable, Verdict::Undecided, Verdict::Backlogged, Verdict::Overloaded];
    let samples: Vec<PointSample> = verdicts.map(|verdict| PointSample { verdict, ..sample() }).to_vec();
    comes_in(&Response::Partial { job, first: 3, samples: samples.clone() });
    comes_in(&finished(Outcome::Samples { samples }));
    let choices = vec![Choice { id: "1".into(), label: TEXT.into(), is_available: false, reason: String::new() }];
    comes_in(&finished(Outcome::Choices { path: "deployment.model".into(), choices }));
    let trace = FileContent::Trace {
        hash: "0".into(),
        num_requests: 5,
        span_s: 0.5,
        mean_input_tokens: 1.5,
        mean_output_tokens: 2.5,
    };
    let model = FileContent::Model { id: TEXT.into(), model: "{}".into(), parameters: Some(8_030_261_248) };
    for content in [trace, model, FileContent::Scenario { scenario: "{}".into() }] {
        comes_in(&finished(Outcome::File { content, diagnostics: diagnostics.clone() }));
    }
}

#[test]
fn every_state_of_the_desk_is_read() {
    let item = |ratio| LedgerItem { label: TEXT.into(), value: "1 GiB".into(), equation: String::new(), ratio };
    let ledger =
        LedgerView { whole: TEXT.into(), parts: vec![item(Some(0.5))], facts: vec![item(None)], source: TEXT.into() };
    let bases = [Basis::Calibrated, Basis::Trained, Basis::Analytical, Basis::Extrapolated];
    let percentiles = Percentile::ALL.into_iter().zip(Tab::ALL.into_iter().cycle());
    for (index, (percentile, tab)) in percentiles.enumerate() {
        let slo = Slo { itl_ms: None, ..Slo::default() };
        let basics = Basics {
            slo: slo.clone(),
            basis: bases[index % 4],
            calibrated_on: TEXT.into(),
            calibrated_range: TEXT.into(),
            calibrated_rates: [0.5, 4.4],
            ledger: (index > 0).then(|| ledger.clone()),
            settings: EngineLimits { num_blocks: 1, block_size: 2, max_num_seqs: 3, max_num_batched_tokens: 4 },
            filled_in: vec![TEXT.into()],
            defaults: vec![DefaultSetting { path: "engine.x".into(), value: "1".into(), source: TEXT.into() }],
            price_usd_per_hour: Some(4.5),
            deployment: TEXT.into(),
        };
        let settings = CurveSettings { range_per_s: Some([0.1, 2.0]), ..CurveSettings::default() };
        let curve = CurveScenario { slo, settings, max_num_seqs: 256, num_replicas: 4, is_replay: true };
        let state = DeskState {
            scenario: TEXT.into(),
            changes: "slo.ttft_ms=1".into(),
            numbers: vec![("a".into(), Some(0.1)), ("b".into(), None)],
            choices: vec![("a".into(), TEXT.into())],
            offers: vec![("a".into(), Vec::new())],
            accelerator: Some(AcceleratorSheet { id: "H100".into(), figures: [1.0, 2.0, 3.0, 4.0, 5.0] }),
            trace: Some("0".into()),
            recorded_rate_per_s: Some(1.5),
            num_clients: 3,
            diagnostics: vec![Diagnostic::note("unknown-field", "b", "c")],
            resolved: Some(Resolved { curve, basics }),
        };
        let setting = ServerSetting {
            path: "engine.max_num_seqs".into(),
            before: None,
            after: Some("512".into()),
            flag: (index % 2 == 0).then(|| TEXT.into()),
        };
        let read =
            ServeLineRead { settings: vec![setting], remarks: vec![Diagnostic::note("flags-not-known", "", TEXT)] };
        let view = Some(View { tab, percentile });
        let said = Said { view, notices: Vec::new(), remark: TEXT.into(), serve_line: Some(read) };
        comes_in(&finished(Outcome::Desk { state: Box::new(state), said }));
    }
    comes_in(&finished(Outcome::Desk { state: Box::default(), said: Said::default() }));
}

#[test]
fn what_has_another_form_is_a_failure() {
    for text in [
        "",
        "null",
        "{}",
        "{\"explode\":{}}",
        "{\"cancelled\":{}}",
        "{\"cancelled\":{\"job\":-1}}",
        "{\"cancelled\":{\"job\":1.5}}",
    ] {
        assert_eq!(read(text).expect_err(text).code, "undecodable");
    }
}
