//! `plimsoll inspect`: what logs hold.

use crate::arguments::InspectArguments;
use crate::measured;
use crate::output::{Failure, tell_line, write_json};
use plimsoll_core::measurement::{ArrivalSource, ClientLoad, Measurement, RunFigures, overload_windows};
use plimsoll_core::time::SimTime;
use serde_json::{Map, Value, json};
use std::io::{self, BufWriter, Write};

/// Reads every log and says what it holds; fails if one of them cannot be used.
pub fn inspect(arguments: &InspectArguments) -> Result<(), Failure> {
    let mut out = BufWriter::new(io::stdout().lock());
    let mut files = Vec::new();
    let mut is_sound = true;
    for path in &arguments.logs {
        let file = path.display().to_string();
        let (runs, deployment, diagnostics) = match measured::read(path) {
            Ok(content) => (content.runs, content.deployment, content.diagnostics),
            Err(problems) => {
                is_sound = false;
                (Vec::new(), None, problems)
            }
        };
        if arguments.json {
            let runs: Vec<Value> = runs.iter().map(|run| as_json(&run.measurement)).collect();
            files.push(json!({"file": file, "runs": runs, "deployment": deployment, "diagnostics": diagnostics}));
            continue;
        }
        for run in &runs {
            describe(&mut out, &run.measurement)?;
        }
        if let (true, Some(deployment)) = (runs.is_empty(), &deployment) {
            let stated = serde_json::to_value(deployment).unwrap_or_default();
            writeln!(out, "{file}: settings of a server\n  {}", stated_fields(&stated))?;
        }
        diagnostics.iter().for_each(tell_line);
    }
    if arguments.json {
        write_json(&mut out, &json!({ "logs": files }))?;
    }
    out.flush()?;
    if is_sound { Ok(()) } else { Err(Failure::Invalid) }
}

fn as_json(run: &Measurement) -> Value {
    let figures: Map<String, Value> = RunFigures::of_measurement(run)
        .named()
        .iter()
        .map(|(name, value)| ((*name).to_owned(), json!(value)))
        .collect();
    let rate = run.load.request_rate;
    let client = ClientLoad::of(run);
    json!({
        "name": run.name,
        "format": run.format,
        "num_requests": run.requests.len(),
        "num_failed": run.num_failed,
        "num_gaps": run.gaps.len(),
        "arrivals": run.arrivals,
        "duration_s": run.span().map(|span| span.as_seconds()),
        "load": {
            "request_rate": rate.map(|rate| if rate.is_finite() { json!(rate) } else { json!("inf") }),
            "burstiness": run.load.burstiness.filter(|burstiness| burstiness.is_finite()),
            "max_concurrency": run.load.max_concurrency,
        },
        "client": {
            "most_in_flight": client.most_in_flight,
            "mean_send_lag_ms": client.mean_send_lag.map(millis),
            "longest_send_lag_ms": client.longest_send_lag.map(millis),
            "cap": client.cap,
            "is_cap_found": client.is_found,
        },
        "overload": overload_windows(run).iter().map(|window| json!({
            "from_s": window.from.as_seconds(),
            "until_s": window.until.as_seconds(),
            "arrivals": window.arrivals,
            "completions": window.completions,
        })).collect::<Vec<Value>>(),
        "deployment": run.deployment,
        "figures": figures,
    })
}

/// `key value, key value` of the fields that are stated.
fn stated_fields(value: &Value) -> String {
    let fields = value.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
    fields.map(|(key, value)| format!("{key} {}", value.to_string().trim_matches('"'))).collect::<Vec<_>>().join(", ")
}

fn describe(out: &mut impl Write, run: &Measurement) -> io::Result<()> {
    writeln!(out, "{}: {}", run.name, run.format.label())?;
    let stated = stated_fields(&serde_json::to_value(&run.deployment).unwrap_or_default());
    writeln!(out, "  server   {}", if stated.is_empty() { "nothing is stated" } else { &stated })?;
    let mut load = Vec::new();
    if let Some(rate) = run.load.request_rate {
        load.push(if rate.is_finite() { format!("{rate} requests/s") } else { "all at once".to_owned() });
    }
    if let Some(cap) = run.load.max_concurrency {
        load.push(format!("at most {cap} in flight"));
    }
    let arrivals = match run.arrivals {
        ArrivalSource::Recorded => "times recorded",
        ArrivalSource::Derived => "times derived from the client's seed",
        ArrivalSource::Assumed => "times not known",
    };
    load.push(arrivals.to_owned());
    writeln!(out, "  load     {}", load.join(", "))?;
    let span = run.span().map_or(String::new(), |span| format!(" in {:.1} s", span.as_seconds()));
    writeln!(out, "  requests {} ok, {} failed{span}", run.requests.len(), run.num_failed)?;
    let client = ClientLoad::of(run);
    if client.most_in_flight > 0 {
        writeln!(out, "  client   {}", client_words(&client))?;
    }
    for window in overload_windows(run) {
        writeln!(out, "  {}", window.words())?;
    }
    let figures = RunFigures::of_measurement(run);
    let shown = |name: &str, value: Option<f64>, unit: &str| value.map(|value| format!("{name} {value:.2}{unit}"));
    let line: Vec<String> = [
        shown("TTFT mean", figures.ttft_mean, " ms"),
        shown("p99", figures.ttft_p99, " ms"),
        shown("TPOT mean", figures.tpot_mean, " ms"),
        shown("E2E mean", figures.e2e_mean, " ms"),
        shown("p99", figures.e2e_p99, " ms"),
        shown("output", figures.output_throughput, " tokens/s"),
    ]
    .into_iter()
    .flatten()
    .collect();
    writeln!(out, "  figures  {}", if line.is_empty() { "none".to_owned() } else { line.join(", ") })
}

/// How many requests a client had in flight and how late it sent.
fn client_words(client: &ClientLoad) -> String {
    let mut words = vec![format!("at most {} in flight", client.most_in_flight)];
    if let Some((mean, longest)) = client.mean_send_lag.zip(client.longest_send_lag) {
        words.push(format!("sent {:.1} ms after it was wanted, {:.1} ms at most", millis(mean), millis(longest)));
    }
    if client.is_found {
        words.push(format!("so held back by a cap of {}, which is replayed", client.most_in_flight));
    }
    words.join(", ")
}

fn millis(time: SimTime) -> f64 {
    time.0 as f64 / 1e3
}
