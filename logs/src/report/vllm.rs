//! `vllm bench serve`, formerly `benchmark_serving.py` (log formats 1).

use super::{Fields, seconds};
use crate::arrivals;
use crate::json::Json;
use crate::rows::{Finished, Row, Rows};
use plimsoll_core::diagnostic::Diagnostic;
use plimsoll_core::measurement::{ArrivalSource, LogFormat, MeasuredTotals, Measurement};

/// Aggregates that differ by more than this from the lists are worth a warning.
const AGREEMENT: f64 = 0.01;
/// How many single problems of a list are told.
const MAX_TOLD: usize = 10;

/// Reads one result.
pub(crate) fn vllm_bench(name: &str, value: &Json) -> Result<Finished, Vec<Diagnostic>> {
    let mut fields = Fields::new(name, value);
    let mut run = Measurement::new(name, LogFormat::VllmBench);
    header(&mut fields, &mut run);
    let num_prompts = fields.whole(&["num_prompts"]);
    let completed = fields.whole(&["completed"]);
    let failed = fields.whole(&["failed"]).or(num_prompts.zip(completed).map(|(all, done)| all.saturating_sub(done)));
    if value.get("ttfts").is_none() {
        run.num_failed = failed.unwrap_or(0);
        if completed == Some(0) {
            let all = num_prompts.unwrap_or(0);
            fields.error(
                "log-failed-requests",
                "completed",
                format!("{all} of {all} requests failed"),
                "repeat the run on a healthy server",
            );
        }
        return fields.aggregates(run, "run the client again with --save-detailed");
    }
    let lists = Lists::read(&mut fields);
    let Some(lists) = lists.filter(|_| !fields.has_errors()) else { return Err(fields.diagnostics) };
    check_units(&mut fields, &lists, &run.totals);
    if fields.has_errors() {
        return Err(fields.diagnostics);
    }
    let mut rows = Rows::new(run, |index| format!("ttfts[{index}]"));
    rows.diagnostics = fields.diagnostics;
    collect(&lists, &mut rows);
    let has_starts = lists.starts.is_some();
    let mut finished = rows.finish()?;
    if !has_starts {
        send_times(&mut finished);
    }
    check_aggregates(&mut finished);
    Ok(finished)
}

/// What every result says.
fn header(fields: &mut Fields<'_>, run: &mut Measurement) {
    run.deployment.model = fields.text(&["model_id"]);
    // Keys that users add with `--metadata`.
    run.deployment.accelerator = ["gpu", "GPU", "hardware", "accelerator"].iter().find_map(|key| fields.text(&[key]));
    for key in ["tp", "tensor_parallel_size"] {
        if matches!(fields.value.get(key), Some(Json::Number(_))) {
            run.deployment.tensor_parallel_size = fields.whole(&[key]);
        } else if let Some(tp) = fields.text(&[key]).and_then(|text| text.parse().ok()) {
            run.deployment.tensor_parallel_size = Some(tp);
        }
    }
    run.deployment.engine_version = fields.text(&["version"]).or_else(|| fields.text(&["vllm_version"]));
    run.load.request_rate = match fields.value.get("request_rate") {
        Some(Json::Text(text)) if &**text == "inf" => Some(f64::INFINITY),
        Some(Json::Number(rate)) if rate.is_infinite() => Some(f64::INFINITY),
        _ => fields.number(&["request_rate"]).filter(|rate| *rate > 0.0),
    };
    run.load.burstiness = fields.number(&["burstiness"]);
    run.load.max_concurrency = fields.whole(&["max_concurrency"]).filter(|cap| *cap > 0);
    run.duration = fields.number(&["duration"]).filter(|duration| *duration > 0.0).map(seconds);
    let completed = fields.number(&["completed"]).filter(|count| *count > 0.0);
    let mut per_request = |key| Some(fields.number(&[key])? / completed?);
    let input_tokens_mean = per_request("total_input_tokens");
    let output_tokens_mean = per_request("total_output_tokens");
    // A run in which nothing succeeded has zeros everywhere.
    let mut millis = |key| fields.figure(&[key]);
    run.totals = MeasuredTotals {
        ttft_mean_ms: millis("mean_ttft_ms"),
        ttft_p50_ms: millis("median_ttft_ms"),
        ttft_p90_ms: millis("p90_ttft_ms"),
        ttft_p99_ms: millis("p99_ttft_ms"),
        tpot_mean_ms: millis("mean_tpot_ms"),
        itl_mean_ms: millis("mean_itl_ms"),
        e2e_mean_ms: millis("mean_e2el_ms"),
        e2e_p99_ms: millis("p99_e2el_ms"),
        output_throughput_per_s: millis("output_throughput"),
        input_tokens_mean,
        output_tokens_mean,
        ..MeasuredTotals::default()
    };
    if let Some((key, _)) = entries(fields.value).find(|(key, _)| key.starts_with("spec_decode")) {
        let message = format!("{key} says that speculative decoding was on, so chunks are not tokens");
        fields.warning("log-gaps-not-tokens", key, message, "figures of single gaps are not used");
    }
}

fn entries(value: &Json) -> impl Iterator<Item = (&str, &Json)> {
    let entries = match value {
        Json::Object(entries) => entries.as_slice(),
        _ => &[],
    };
    entries.iter().map(|(key, value)| (&**key, value))
}

/// The lists of a detailed result, one entry per request in the order of sending.
struct Lists<'a> {
    ttfts: &'a [f64],
    input_lens: &'a [f64],
    output_lens: &'a [f64],
    itls: Vec<&'a [f64]>,
    errors: &'a [Json],
    starts: Option<&'a [f64]>,
    queue_times: Option<&'a [f64]>,
    latencies: Option<&'a [f64]>,
}

impl<'a> Lists<'a> {
    fn read(fields: &mut Fields<'a>) -> Option<Self> {
        let value = fields.value;
        let ttfts = numbers(fields, "ttfts", true)?;
        let count = ttfts.len();
        let input_lens = numbers(fields, "input_lens", true);
        let output_lens = numbers(fields, "output_lens", true);
        let starts = numbers(fields, "start_times", false);
        let queue_times = numbers(fields, "queue_times", false);
        let latencies = numbers(fields, "latencies", false);
        let errors = value.get("errors").and_then(Json::list).unwrap_or_default();
        let itls = gaps(fields);
        let lengths = [
            ("input_lens", input_lens.map(<[f64]>::len)),
            ("output_lens", output_lens.map(<[f64]>::len)),
            ("start_times", starts.map(<[f64]>::len)),
            ("latencies", latencies.map(<[f64]>::len)),
            ("queue_times", queue_times.map(<[f64]>::len)),
            ("itls", itls.as_ref().map(Vec::len).filter(|_| value.get("itls").is_some())),
            ("errors", Some(errors.len()).filter(|length| *length > 0)),
        ];
        for (key, length) in lengths {
            if let Some(length) = length.filter(|length| *length != count) {
                let message = format!("ttfts has {count} entries, {key} has {length}");
                fields.error(
                    "log-length-mismatch",
                    key,
                    message,
                    "the lists belong to different runs: write the file again",
                );
            }
        }
        Some(Self {
            ttfts,
            input_lens: input_lens?,
            output_lens: output_lens?,
            itls: itls?,
            errors,
            starts,
            queue_times,
            latencies,
        })
    }
}

/// A list of numbers, or a problem.
fn numbers<'a>(fields: &mut Fields<'a>, key: &str, is_required: bool) -> Option<&'a [f64]> {
    match fields.value.get(key) {
        None | Some(Json::Null) => {
            if is_required {
                fields.error(
                    "log-missing-field",
                    key,
                    format!("there is no {key}"),
                    "run the client again with --save-detailed",
                );
            }
            None
        }
        Some(value) => match (value.numbers(), value.list()) {
            (Some(numbers), _) => Some(numbers),
            (None, Some(items)) => {
                let bad = items.iter().enumerate().filter(|(_, item)| !matches!(item, Json::Number(_)));
                for (index, item) in bad.take(MAX_TOLD) {
                    let field = format!("{key}[{index}]");
                    fields.error("log-invalid-value", &field, format!("{field} is {}", item.kind()), "give a number");
                }
                None
            }
            (None, None) => {
                fields.error("log-invalid-value", key, format!("{key} is {}", value.kind()), "give a list of numbers");
                None
            }
        },
    }
}

/// The gaps of each request; empty if the file has none.
fn gaps<'a>(fields: &mut Fields<'a>) -> Option<Vec<&'a [f64]>> {
    let Some(value) = fields.value.get("itls") else { return Some(Vec::new()) };
    let Some(items) = value.list() else {
        fields.error(
            "log-invalid-value",
            "itls",
            format!("itls is {}", value.kind()),
            "give a list of lists of numbers",
        );
        return None;
    };
    let mut told = 0;
    let lists: Vec<&[f64]> = items
        .iter()
        .enumerate()
        .map(|(index, item)| {
            item.numbers().unwrap_or_else(|| {
                told += 1;
                if told <= MAX_TOLD {
                    let field = format!("itls[{index}]");
                    let message = format!("{field} is {}", item.kind());
                    fields.error("log-invalid-value", &field, message, "give a list of numbers");
                }
                &[]
            })
        })
        .collect();
    (told == 0).then_some(lists)
}

/// Times that are a thousand times too long or short (log formats 10).
fn check_units(fields: &mut Fields<'_>, lists: &Lists<'_>, totals: &MeasuredTotals) {
    let median = |values: &mut Vec<f64>| {
        values.retain(|value| value.is_finite() && *value > 0.0);
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied()
    };
    let ttft = median(&mut lists.ttfts.to_vec());
    let gap = median(&mut lists.itls.iter().flat_map(|gaps| gaps.iter().copied()).take(100_000).collect());
    let aggregates = [("ttfts", ttft, totals.ttft_p50_ms, 600.0), ("itls", gap, totals.itl_mean_ms, 10.0)];
    for (key, found, stored_ms, longest_s) in aggregates {
        let Some(found) = found else { continue };
        let ratio = stored_ms.map(|stored| found * 1e3 / stored);
        let is_off = found > longest_s || ratio.is_some_and(|ratio| !(0.02..50.0).contains(&ratio));
        if is_off {
            let beside = stored_ms.map_or(String::new(), |stored| format!(" while the file says {stored:.1} ms"));
            let hint = if found * 1e3 > stored_ms.unwrap_or(0.0) {
                "the list is in seconds: divide by 1000?"
            } else {
                "the list is in seconds: multiply by 1000?"
            };
            fields.error("log-unit", key, format!("the median of {key} is {found:.6} s{beside}"), hint);
        }
    }
}

fn collect(lists: &Lists<'_>, rows: &mut Rows) {
    let at = |list: Option<&[f64]>, index: usize| list.and_then(|list| list.get(index)).copied();
    let is_speculative = rows.diagnostics.iter().any(|diagnostic| diagnostic.code == "log-gaps-not-tokens");
    let mut mismatched = 0u32;
    for (index, &ttft) in lists.ttfts.iter().enumerate() {
        let output_tokens = at(Some(lists.output_lens), index).unwrap_or(f64::NAN);
        let own = lists.itls.get(index).copied().unwrap_or_default();
        let is_failed = match lists.errors.get(index) {
            Some(Json::Text(text)) if !text.is_empty() => {
                if rows.first_failure.is_empty() {
                    rows.first_failure = text.to_string();
                }
                true
            }
            _ => ttft == 0.0,
        };
        let sum: f64 = own.iter().sum();
        let has_gaps = !own.is_empty() || output_tokens == 1.0;
        let e2e = if has_gaps { ttft + sum } else { at(lists.latencies, index).unwrap_or(f64::NAN) };
        let start = rows.measurement.gaps.len() as u32;
        let is_each_a_token = own.len() as f64 == output_tokens - 1.0;
        if !is_failed && !own.is_empty() && !is_each_a_token {
            mismatched += 1;
        }
        if is_each_a_token && !is_failed && !is_speculative && own.iter().all(|gap| (0.0..4e3).contains(gap)) {
            rows.measurement.gaps.extend(own.iter().map(|gap| libm::round(gap * 1e6) as u32));
        }
        let send = at(lists.starts, index).map_or(f64::NAN, |start| start * 1e6);
        rows.rows.push(Row {
            place: index as u64,
            id: Some(index as u64),
            arrive: at(lists.queue_times, index).map_or(f64::NAN, |queued| send - queued * 1e6),
            send,
            input_tokens: at(Some(lists.input_lens), index).unwrap_or(f64::NAN),
            output_tokens,
            ttft: ttft * 1e6,
            e2e: e2e * 1e6,
            session: None,
            gaps: start..rows.measurement.gaps.len() as u32,
            is_failed,
        });
    }
    if mismatched > 0 {
        let count = lists.ttfts.len();
        let message = format!("chunks and tokens differ in {mismatched} of {count} requests");
        let hint = "their single gaps are not used; speculative decoding or merged chunks?";
        let path = format!("{}:itls", rows.measurement.name);
        rows.diagnostics.push(Diagnostic::warning("log-gaps-not-tokens", path, message).with_hint(hint));
    }
    // Arrivals from queue times share the clock of the sends, so the common origin stays.
    if let Some(first) = rows.rows.iter().map(|row| row.send).reduce(f64::min).filter(|first| first.is_finite()) {
        rows.rows.iter_mut().for_each(|row| row.arrive -= first);
    }
}

/// Regenerates send times and says what they are worth.
fn send_times(finished: &mut Finished) {
    let run = &mut finished.measurement;
    run.arrivals = arrivals::regenerate(run);
    let name = run.name.clone();
    finished.diagnostics.push(match run.arrivals {
        ArrivalSource::Derived => Diagnostic::note(
            "log-arrivals-derived",
            name,
            "send times are derived from the client's seed 0, its rate and its cap; the replay ends when the run did",
        ),
        _ => Diagnostic::warning("log-arrivals-unknown", name, "send times are not recorded and cannot be derived")
            .with_hint("distributions can be compared, single requests cannot; record with a newer client"),
    });
}

fn check_aggregates(finished: &mut Finished) {
    let run = &finished.measurement;
    let mean = |values: &mut dyn Iterator<Item = f64>| {
        let (sum, count) = values.fold((0.0, 0u32), |(sum, count), value| (sum + value, count + 1));
        (count > 0).then(|| sum / f64::from(count))
    };
    let ttft = mean(&mut run.requests.iter().filter_map(|request| Some(request.ttft?.as_millis())));
    let tpot = mean(&mut run.requests.iter().filter_map(|request| Some(request.tpot()? / 1e3)));
    let pairs = [("mean_ttft_ms", ttft, run.totals.ttft_mean_ms), ("mean_tpot_ms", tpot, run.totals.tpot_mean_ms)];
    for (key, found, stored) in pairs {
        let Some((found, stored)) = found.zip(stored) else { continue };
        if (found / stored - 1.0).abs() > AGREEMENT {
            let message = format!("{key} is {stored:.3}, but the lists give {found:.3}");
            let path = format!("{}:{key}", run.name);
            finished
                .diagnostics
                .push(Diagnostic::warning("log-inconsistent", path, message).with_hint("the lists are used"));
        }
    }
}
