//! The page's end of the protocol: requests as text, and responses out of it.
//!
//! The worker's end derives the same from the types; tests send every message both ways.

use plimsoll_core::curve::{
    ClassSample, CurveScenario, CurveTrial, LimitShare, Limiter, PointSample, Precision, SamplePercentiles, Stage,
};
use plimsoll_core::diagnostic::{Diagnostic, Severity};
use plimsoll_core::report::{LimiterShares, TimeShare, Verdict};
use plimsoll_core::scenario::{Basis, Choice, CurveSettings, Slo};
use plimsoll_json::{Owned, Value, json};
use plimsoll_protocol::view::{Percentile, Tab, View};
use plimsoll_protocol::{
    AcceleratorSheet, Basics, DefaultSetting, DeskState, Edit, EngineLimits, Failure, FileContent, JobId, LedgerItem,
    LedgerView, Outcome, Request, Resolved, Response, Said, ServeLineRead, ServerSetting, Spec,
};

/// Writes a request.
#[must_use]
pub fn write(request: &Request) -> String {
    let value: Owned = match request {
        Request::Hello { protocol, build } => json!({ "hello": { "protocol": *protocol, "build": build } }),
        Request::Start { job, spec } => json!({ "start": { "job": job.0, "spec": specification(spec) } }),
        Request::Cancel { job } => json!({ "cancel": { "job": job.0 } }),
    };
    value.to_string()
}

fn specification(spec: &Spec) -> Owned {
    match spec {
        Spec::Trials { scenario, trials } => {
            let trials: Vec<Owned> = trials.iter().map(trial).collect();
            json!({ "trials": { "scenario": scenario, "trials": trials } })
        }
        Spec::ReadFile { name } => json!({ "read-file": { "name": name } }),
        Spec::Desk { scenario, edit: change } => json!({ "desk": { "scenario": scenario, "edit": edit(change) } }),
        Spec::Lab { request } => json!({ "lab": { "request": request } }),
        Spec::Choices { scenario, path } => json!({ "choices": { "scenario": scenario, "path": path } }),
    }
}

fn edit(edit: &Edit) -> Owned {
    match edit {
        Edit::Base => "base".into(),
        Edit::NewRules => "new-rules".into(),
        Edit::Link { fragment } => json!({ "link": { "fragment": fragment } }),
        Edit::Scenario { text } => json!({ "scenario": { "text": text } }),
        Edit::Number { path, value } => json!({ "number": { "path": path, "value": *value } }),
        Edit::Choice { path, id } => json!({ "choice": { "path": path, "id": id } }),
        Edit::Value { path, text } => json!({ "value": { "path": path, "text": text } }),
        Edit::Accelerator { sheet: AcceleratorSheet { id, figures } } => {
            json!({ "accelerator": { "sheet": { "id": id, "figures": figures.to_vec() } } })
        }
        Edit::ServeLine { text } => json!({ "serve-line": { "text": text } }),
    }
}

fn trial(trial: &CurveTrial) -> Owned {
    let CurveTrial { id, stage, request_rate, replicate, num_requests, relaxed } = *trial;
    let stage = match stage {
        Stage::Probe => "probe",
        Stage::Grid => "grid",
        Stage::Bisection => "bisection",
        Stage::Extension => "extension",
        Stage::Saturation => "saturation",
        Stage::Capacity => "capacity",
        Stage::Settling => "settling",
        Stage::Ablation => "ablation",
    };
    let relaxed = relaxed.map(|limiter| match limiter {
        Limiter::MaxNumSeqs => "max-num-seqs",
        Limiter::MaxNumBatchedTokens => "max-num-batched-tokens",
        Limiter::KvBlocks => "kv-blocks",
        Limiter::StepTime => "step-time",
    });
    json!({
        "id": id, "stage": stage, "request_rate": request_rate, "replicate": replicate, "num_requests": num_requests,
        "relaxed": relaxed,
    })
}

/// Reads a response.
///
/// # Errors
/// `undecodable` when it is none.
pub fn read(text: &str) -> Result<Response, Failure> {
    let value = Value::read(text).map_err(|error| Failure::new("undecodable", error.to_string()))?;
    Response::read(&value).ok_or_else(|| Failure::new("undecodable", "it has another form than expected"))
}

/// Something that a value may hold.
trait Read: Sized {
    fn read(value: &Value<'_>) -> Option<Self>;
}

/// What a field of a map holds.
fn field<T: Read>(value: &Value<'_>, name: &str) -> Option<T> {
    T::read(value.get(name)?)
}

macro_rules! read_fields {
    ($($name:ident { $($field:ident),* })*) => {$(
        impl Read for $name {
            fn read(value: &Value<'_>) -> Option<Self> {
                Some($name { $($field: field(value, stringify!($field))?),* })
            }
        }
    )*};
}

macro_rules! read_words {
    ($($name:ident { $($word:literal => $variant:ident),* })*) => {$(
        impl Read for $name {
            fn read(value: &Value<'_>) -> Option<Self> {
                let Value::Text(text) = value else { return None };
                match &**text {
                    $($word => Some($name::$variant),)*
                    _ => None,
                }
            }
        }
    )*};
}

/// A message with its name in front: the variant of that name.
macro_rules! read_variants {
    ($($name:ident { $($word:literal => $variant:ident { $($field:ident),* }),* })*) => {$(
        impl Read for $name {
            fn read(value: &Value<'_>) -> Option<Self> {
                let Value::Map(entries) = value else { return None };
                let [(word, value)] = entries.as_slice() else { return None };
                match &**word {
                    $($word => Some($name::$variant { $($field: field(value, stringify!($field))?),* }),)*
                    _ => None,
                }
            }
        }
    )*};
}

read_variants! {
    Response {
        "ready" => Ready { protocol, build },
        "refused" => Refused { reason },
        "progress" => Progress { job, done, total },
        "partial" => Partial { job, first, samples },
        "update" => Update { job, text },
        "finished" => Finished { job, outcome },
        "failed" => Failed { job, failure },
        "cancelled" => Cancelled { job }
    }
    Outcome {
        "samples" => Samples { samples },
        "file" => File { content, diagnostics },
        "desk" => Desk { state, said },
        "choices" => Choices { path, choices },
        "lab" => Lab { answer }
    }
    FileContent {
        "scenario" => Scenario { scenario },
        "model" => Model { id, model, parameters },
        "workload" => Workload { workload },
        "trace" => Trace { hash, num_requests, span_s, mean_input_tokens, mean_output_tokens }
    }
}

read_fields! {
    Failure { code, message, diagnostics }
    Diagnostic { severity, code, path, message, hint }
    PointSample {
        verdict, ttft, tpot, itl, e2e, measured_requests, request_throughput, output_token_throughput, goodput,
        attainment, classes, mean_running, mean_waiting, kv_usage, preemptions_per_request, prefix_hit_ratio, limiters,
        time_shares, steps, limits, precision
    }
    LimitShare { share, allowed, variance }
    Precision { in_system, ttft, tpot, e2e }
    SamplePercentiles { mean, p50, p90, p95, p99, slo }
    ClassSample { name, attainment, keeps_limits }
    LimiterShares { none, max_num_seqs, max_num_batched_tokens, kv_blocks }
    TimeShare { name, ratio }
    DeskState {
        scenario, changes, numbers, choices, offers, accelerator, trace, recorded_rate_per_s, num_clients, diagnostics,
        resolved
    }
    Choice { id, label, is_available, reason }
    AcceleratorSheet { id, figures }
    Resolved { curve, basics }
    CurveScenario { slo, settings, max_num_seqs, num_replicas, is_replay }
    CurveSettings { num_rates, num_requests, num_seeds, range_per_s }
    Slo { percentile, ttft_ms, tpot_ms, itl_ms, e2e_ms, attainment }
    Basics {
        slo, basis, calibrated_on, calibrated_range, calibrated_rates, ledger, settings, filled_in,
        defaults, price_usd_per_hour, deployment
    }
    DefaultSetting { path, value, source }
    EngineLimits { num_blocks, block_size, max_num_seqs, max_num_batched_tokens }
    LedgerView { whole, parts, facts, source }
    LedgerItem { label, value, equation, ratio }
    Said { view, notices, remark, serve_line }
    ServeLineRead { settings, remarks }
    ServerSetting { path, before, after, flag }
    View { tab, percentile }
}

read_words! {
    Severity { "note" => Note, "warning" => Warning, "error" => Error }
    Verdict {
        "stable" => Stable, "undecided" => Undecided, "backlogged" => Backlogged, "overloaded" => Overloaded
    }
    Basis {
        "calibrated" => Calibrated, "trained" => Trained, "analytical" => Analytical, "extrapolated" => Extrapolated
    }
    Tab {
        "curves" => Curves, "bottleneck" => Bottleneck, "memory" => Memory, "workload" => Workload, "run" => Run,
        "calibrate" => Calibrate
    }
    Percentile { "mean" => Mean, "p50" => P50, "p90" => P90, "p95" => P95, "p99" => P99, "slo" => Slo }
}

impl Read for f64 {
    fn read(value: &Value<'_>) -> Option<Self> {
        match value {
            Value::Number(number) => Some(*number),
            // The nearest double is what was meant: a double without a fraction is written like a count.
            Value::Whole(count) => Some(*count as f64),
            _ => None,
        }
    }
}

impl Read for u64 {
    fn read(value: &Value<'_>) -> Option<Self> {
        // Counts and job numbers stay below 2⁵³.
        f64::read(value)
            .filter(|number| number.fract() == 0.0 && (0.0..9_007_199_254_740_992.0).contains(number))
            .map(|number| number as u64)
    }
}

impl Read for u32 {
    fn read(value: &Value<'_>) -> Option<Self> {
        u64::read(value)?.try_into().ok()
    }
}

impl Read for bool {
    fn read(value: &Value<'_>) -> Option<Self> {
        match value {
            Value::Bool(value) => Some(*value),
            _ => None,
        }
    }
}

impl Read for String {
    fn read(value: &Value<'_>) -> Option<Self> {
        match value {
            Value::Text(text) => Some(text.clone().into_owned()),
            _ => None,
        }
    }
}

impl Read for JobId {
    fn read(value: &Value<'_>) -> Option<Self> {
        u64::read(value).map(JobId)
    }
}

impl<T: Read> Read for Box<T> {
    fn read(value: &Value<'_>) -> Option<Self> {
        T::read(value).map(Box::new)
    }
}

impl<T: Read> Read for Option<T> {
    fn read(value: &Value<'_>) -> Option<Self> {
        match value {
            Value::Null => Some(None),
            value => T::read(value).map(Some),
        }
    }
}

impl<T: Read> Read for Vec<T> {
    fn read(value: &Value<'_>) -> Option<Self> {
        match value {
            Value::List(values) => values.iter().map(T::read).collect(),
            _ => None,
        }
    }
}

impl<T: Read, const N: usize> Read for [T; N] {
    fn read(value: &Value<'_>) -> Option<Self> {
        Vec::read(value)?.try_into().ok()
    }
}

impl<T: Read> Read for (String, T) {
    fn read(value: &Value<'_>) -> Option<Self> {
        let Value::List(values) = value else { return None };
        let [name, value] = values.as_slice() else { return None };
        Some((String::read(name)?, T::read(value)?))
    }
}

#[cfg(test)]
mod tests;
