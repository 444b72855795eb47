//! inference-perf's stage and summary reports, and its report of single requests (log formats 4).

use super::{Fields, seconds};
use crate::json::Json;
use crate::rows::{Finished, Row, Rows};
use plimsoll_core::diagnostic::Diagnostic;
use plimsoll_core::measurement::{LogFormat, MeasuredTotals, Measurement};

/// Events closer than this are one token that was time-stamped twice.
const MERGE_S: f64 = 0.0005;

/// Reads a stage or a summary.
pub(crate) fn inference_perf(name: &str, value: &Json) -> Result<Finished, Vec<Diagnostic>> {
    let mut fields = Fields::new(name, value);
    let mut run = Measurement::new(name, LogFormat::InferencePerf);
    for key in ["load_summary", "successes"] {
        if let Some(other) = value.get(key).filter(|part| !matches!(part, Json::Object(_))) {
            fields.error("log-invalid-value", key, format!("{key} is {}", other.kind()), "write the report again");
        }
    }
    run.load.request_rate = fields
        .number(&["load_summary", "requested_rate"])
        .or_else(|| fields.number(&["load_summary", "achieved_rate"]));
    run.duration = fields.number(&["load_summary", "send_duration"]).filter(|span| *span > 0.0).map(seconds);
    let succeeded = fields.number(&["successes", "count"]).unwrap_or(0.0);
    let failed = fields.whole(&["failures", "count"]).unwrap_or(0);
    run.num_failed = failed;
    if f64::from(failed) > succeeded {
        let total = succeeded + f64::from(failed);
        let message = format!("{failed} of {total} requests failed");
        fields.error("log-failed-requests", "failures.count", message, "repeat the run on a healthy server");
    }
    let mut figure = |group: &[&str], figure: &str| {
        let mut path = vec!["successes"];
        path.extend(group);
        path.push(figure);
        fields.figure(&path)
    };
    let ttft: [&str; 2] = ["latency", "time_to_first_token"];
    let e2e: [&str; 2] = ["latency", "request_latency"];
    let millis = |value: Option<f64>| value.map(|value| value * 1e3);
    run.totals = MeasuredTotals {
        ttft_mean_ms: millis(figure(&ttft, "mean")),
        ttft_p50_ms: millis(figure(&ttft, "median")),
        ttft_p90_ms: millis(figure(&ttft, "p90")),
        ttft_p99_ms: millis(figure(&ttft, "p99")),
        e2e_mean_ms: millis(figure(&e2e, "mean")),
        e2e_p99_ms: millis(figure(&e2e, "p99")),
        input_tokens_mean: figure(&["prompt_len"], "mean"),
        output_tokens_mean: figure(&["output_len"], "mean"),
        ..MeasuredTotals::default()
    };
    // The tool's own gaps count every token about twice, so the mean is recomputed.
    let totals = &mut run.totals;
    if let (Some(ttft), Some(e2e), Some(tokens)) = (totals.ttft_mean_ms, totals.e2e_mean_ms, totals.output_tokens_mean)
        && tokens > 1.0
    {
        let tpot = (e2e - ttft) / (tokens - 1.0);
        (totals.tpot_mean_ms, totals.itl_mean_ms) = (Some(tpot), Some(tpot));
        if e2e < ttft {
            let message = format!("the mean end-to-end latency of {e2e:.1} ms is below the mean TTFT of {ttft:.1} ms");
            fields.error("log-invalid-value", "successes.latency", message, "record the run again");
        }
    }
    fields.aggregates(run, "ask the tool for its per-request report")
}

/// Reads the report of single requests.
pub(crate) fn inference_perf_requests(name: &str, value: &Json) -> Result<Finished, Vec<Diagnostic>> {
    let run = Measurement::new(name, LogFormat::InferencePerfRequests);
    let mut rows = Rows::new(run, |index| format!("[{index}]"));
    for (index, item) in value.list().unwrap_or_default().iter().enumerate() {
        let number = |path: &[&str]| item.at(path).and_then(Json::number).unwrap_or(f64::NAN);
        let (start, end) = (number(&["start_time"]), number(&["end_time"]));
        let events = item.at(&["info", "output_token_times"]).and_then(Json::numbers).unwrap_or_default();
        let mut times: Vec<f64> = Vec::with_capacity(events.len());
        for &event in events {
            if times.last().is_none_or(|last| event - last >= MERGE_S || event < *last) {
                times.push(event);
            }
        }
        let (first, last) = (times.first().copied().unwrap_or(f64::NAN), times.last().copied().unwrap_or(end));
        let output_tokens = number(&["info", "output_tokens"]);
        let gaps_start = rows.measurement.gaps.len() as u32;
        if times.len() as f64 == output_tokens {
            let gaps = times.windows(2).map(|pair| libm::round((pair[1] - pair[0]).clamp(0.0, 4e3) * 1e6) as u32);
            rows.measurement.gaps.extend(gaps);
        }
        let error = item.get("error").filter(|error| !matches!(error, Json::Null));
        if let Some(error) = error
            && rows.first_failure.is_empty()
        {
            rows.first_failure = error.kind();
        }
        rows.rows.push(Row {
            place: index as u64,
            id: None,
            arrive: f64::NAN,
            send: start * 1e6,
            input_tokens: number(&["info", "input_tokens"]),
            output_tokens,
            ttft: (first - start) * 1e6,
            e2e: (last - start) * 1e6,
            session: None,
            gaps: gaps_start..rows.measurement.gaps.len() as u32,
            is_failed: error.is_some(),
        });
    }
    rows.finish()
}
