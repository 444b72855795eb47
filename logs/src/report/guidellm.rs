//! GuideLLM's `benchmarks.json`, both generations (log formats 2).

use super::{Fields, seconds};
use crate::json::Json;
use crate::rows::{Finished, Row, Rows};
use plimsoll_core::diagnostic::Diagnostic;
use plimsoll_core::measurement::{ArrivalSource, LogFormat, MeasuredTotals, Measurement};

/// Reads every load level of a report.
pub(crate) fn guidellm(name: &str, value: &Json) -> Result<Vec<Finished>, Vec<Diagnostic>> {
    let benchmarks = value.get("benchmarks").and_then(Json::list);
    let Some(benchmarks) = benchmarks.filter(|list| !list.is_empty()) else {
        return Err(vec![
            Diagnostic::error("log-no-requests", format!("{name}:benchmarks"), "there is no benchmark in the report")
                .with_hint("let the benchmark run to its end"),
        ]);
    };
    let mut finished = Vec::new();
    let mut problems = Vec::new();
    for (index, benchmark) in benchmarks.iter().enumerate() {
        let run_name = if benchmarks.len() == 1 { name.to_owned() } else { format!("{name}#{}", index + 1) };
        match level(&run_name, benchmark) {
            Ok(level) => finished.push(level),
            Err(more) => problems.extend(more),
        }
    }
    if problems.is_empty() { Ok(finished) } else { Err(problems) }
}

/// One load level.
fn level(name: &str, value: &Json) -> Result<Finished, Vec<Diagnostic>> {
    let mut fields = Fields::new(name, value);
    let mut run = Measurement::new(name, LogFormat::Guidellm);
    run.deployment.model = fields
        .text(&["worker", "backend_model"])
        .or_else(|| fields.text(&["config", "backend", "model"]))
        .or_else(|| fields.text(&["worker", "backend_info", "model"]));
    if run.deployment.model.as_ref().is_some_and(|model| model.to_ascii_lowercase().contains("mock")) {
        fields.error(
            "log-simulated",
            "",
            "the model is a mock, so the times are no measurement",
            "benchmark a real server",
        );
    }
    let strategy = value.at(&["args", "strategy"]).or_else(|| value.at(&["config", "strategy"]));
    let kind = strategy.and_then(|strategy| strategy.get("type_").or_else(|| strategy.get("kind")));
    let kind = kind.and_then(Json::text).unwrap_or_default();
    let setting = |key: &str| strategy.and_then(|strategy| strategy.get(key)).and_then(Json::number);
    match kind {
        "synchronous" => run.load.max_concurrency = Some(1),
        "concurrent" => {
            run.load.max_concurrency = setting("streams").filter(|n| *n >= 1.0).map(|streams| streams as u32);
        }
        "throughput" => run.load.request_rate = Some(f64::INFINITY),
        "constant" | "poisson" => {
            run.load.request_rate = setting("rate").filter(|rate| *rate > 0.0);
            run.load.burstiness = Some(if kind == "poisson" { 1.0 } else { f64::INFINITY });
        }
        _ => {}
    }
    run.totals = totals(&mut fields);
    run.duration = fields.number(&["duration"]).filter(|duration| *duration > 0.0).map(seconds);
    let successful = value.at(&["requests", "successful"]);
    let requests = successful.and_then(Json::list).unwrap_or_default();
    if let Some(other) = successful.filter(|value| value.list().is_none() && **value != Json::Null) {
        let message = format!("requests.successful is {}", other.kind());
        fields.error("log-invalid-value", "requests.successful", message, "write the report again");
    }
    if fields.has_errors() {
        return Err(fields.diagnostics);
    }
    let stated = fields
        .number(&["metrics", "request_totals", "successful"])
        .or_else(|| fields.number(&["run_stats", "requests_made", "successful"]));
    if requests.is_empty() || stated.is_some_and(|stated| stated > requests.len() as f64) {
        return fields.aggregates(run, "the report holds no or only sampled requests: run again without a sample size");
    }
    let errored = value.at(&["requests", "errored"]).and_then(Json::list).map_or(0, <[Json]>::len);
    let mut rows = Rows::new(run, |index| format!("requests.successful[{index}]"));
    rows.diagnostics = std::mem::take(&mut fields.diagnostics);
    rows.measurement.num_failed = errored as u32;
    for (index, request) in requests.iter().enumerate() {
        rows.rows.push(row(index, request));
    }
    let missing = rows.rows.iter().filter(|row| row.send.is_nan()).count();
    if missing > 0 {
        let message = format!("{missing} of {} requests have no start time", rows.rows.len());
        let path = format!("{name}:requests.successful");
        rows.diagnostics.push(
            Diagnostic::warning("log-arrivals-unknown", path, message)
                .with_hint("distributions can be compared, single requests cannot"),
        );
    }
    let mut finished = rows.finish()?;
    if missing > 0 {
        finished.measurement.arrivals = ArrivalSource::Assumed;
    }
    Ok(finished)
}

/// One request; seconds become microseconds, milliseconds too.
fn row(index: usize, request: &Json) -> Row {
    let first_of = |paths: &[&[&str]]| paths.iter().find_map(|path| request.at(path)?.number()).unwrap_or(f64::NAN);
    let send = first_of(&[
        &["scheduler_info", "request_start"],
        &["info", "timings", "request_start"],
        &["request_start_time"],
        &["start_time"],
    ]);
    let first = first_of(&[&["first_token_time"], &["info", "timings", "first_token_iteration"]]);
    let last = first_of(&[&["last_token_time"], &["info", "timings", "last_token_iteration"]]);
    let ttft_ms = first_of(&[&["time_to_first_token_ms"]]);
    let latency = first_of(&[&["request_latency"]]);
    let ttft = if ttft_ms.is_nan() { first - send } else { ttft_ms / 1e3 };
    // The request ends a little after its last token; ours ends with the token.
    let e2e = if last.is_nan() || send.is_nan() { latency } else { last - send };
    Row {
        place: index as u64,
        id: None,
        arrive: f64::NAN,
        send: send * 1e6,
        input_tokens: first_of(&[
            &["prompt_tokens"],
            &["input_metrics", "text_tokens"],
            &["input_metrics", "total_tokens"],
        ]),
        output_tokens: first_of(&[
            &["output_tokens"],
            &["output_metrics", "text_tokens"],
            &["output_metrics", "total_tokens"],
        ]),
        ttft: ttft * 1e6,
        e2e: e2e * 1e6,
        session: None,
        gaps: 0..0,
        is_failed: false,
    }
}

fn totals(fields: &mut Fields<'_>) -> MeasuredTotals {
    let mut figure = |metric: &str, figure: &str, scale: f64| {
        let path = ["metrics", metric, "successful", figure];
        fields.figure(&path).map(|value| value * scale)
    };
    let mut totals = MeasuredTotals {
        ttft_mean_ms: figure("time_to_first_token_ms", "mean", 1.0),
        ttft_p50_ms: figure("time_to_first_token_ms", "median", 1.0),
        // Neither of the tool's own times per token is a time per output token after the first.
        tpot_mean_ms: figure("inter_token_latency_ms", "mean", 1.0),
        itl_mean_ms: figure("inter_token_latency_ms", "mean", 1.0),
        e2e_mean_ms: figure("request_latency", "mean", 1e3),
        output_throughput_per_s: figure("output_tokens_per_second", "mean", 1.0),
        input_tokens_mean: figure("prompt_token_count", "mean", 1.0),
        output_tokens_mean: figure("output_token_count", "mean", 1.0),
        ..MeasuredTotals::default()
    };
    let mut percentile = |metric: &str, percentile: &str, scale: f64| {
        let path = ["metrics", metric, "successful", "percentiles", percentile];
        fields.figure(&path).map(|value| value * scale)
    };
    totals.ttft_p90_ms = percentile("time_to_first_token_ms", "p90", 1.0);
    totals.ttft_p99_ms = percentile("time_to_first_token_ms", "p99", 1.0);
    totals.e2e_p99_ms = percentile("request_latency", "p99", 1e3);
    totals
}
