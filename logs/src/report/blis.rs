//! BLIS metrics JSON (log formats 3c): simulated, so it can be looked at but not calibrated against.

use super::Fields;
use crate::document::simulated;
use crate::json::Json;
use crate::rows::{Finished, Row, Rows};
use plimsoll_core::diagnostic::{Diagnostic, Severity};
use plimsoll_core::measurement::{LogFormat, MeasuredTotals, Measurement};

/// Reads a results file of the simulator.
pub(crate) fn blis_metrics(name: &str, value: &Json) -> Result<Finished, Vec<Diagnostic>> {
    let mut fields = Fields::new(name, value);
    let mut run = Measurement::new(name, LogFormat::BlisMetrics);
    let mut figure = |key| fields.figure(&[key]);
    run.totals = MeasuredTotals {
        ttft_mean_ms: figure("ttft_mean_ms"),
        ttft_p90_ms: figure("ttft_p90_ms"),
        ttft_p99_ms: figure("ttft_p99_ms"),
        itl_mean_ms: figure("itl_mean_ms"),
        e2e_mean_ms: figure("e2e_mean_ms"),
        e2e_p99_ms: figure("e2e_p99_ms"),
        output_throughput_per_s: figure("tokens_per_sec"),
        ..MeasuredTotals::default()
    };
    let note = Diagnostic { severity: Severity::Warning, ..simulated(name) };
    fields.diagnostics.push(note);
    let requests = match value.get("requests") {
        None | Some(Json::Null) => &[],
        Some(list) => match list.list() {
            Some(items) => items,
            None => {
                let message = format!("requests is {}", list.kind());
                fields.error("log-invalid-value", "requests", message, "write the results again");
                return Err(fields.diagnostics);
            }
        },
    };
    if requests.is_empty() {
        return fields.aggregates(run, "write the results with single requests");
    }
    if fields.has_errors() {
        return Err(fields.diagnostics);
    }
    let mut rows = Rows::new(run, |index| format!("requests[{index}]"));
    rows.diagnostics = fields.diagnostics;
    for (index, request) in requests.iter().enumerate() {
        let number = |key: &str| request.get(key).and_then(Json::number).unwrap_or(f64::NAN);
        let (ttft, e2e) = (number("ttft_ms") * 1e3, number("e2e_ms") * 1e3);
        rows.rows.push(Row {
            place: index as u64,
            id: Some(index as u64),
            arrive: f64::NAN,
            send: number("arrived_at") * 1e6,
            input_tokens: number("num_prefill_tokens"),
            output_tokens: number("num_decode_tokens"),
            ttft,
            e2e,
            session: None,
            gaps: 0..0,
            // The simulator writes zeros for requests that did not finish.
            is_failed: e2e == 0.0,
        });
    }
    rows.finish()
}
