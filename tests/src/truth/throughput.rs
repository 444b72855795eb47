//! Tokens per second that real servers were measured at under a number of users, against the measured roofline.

use super::capacity::truth;
use super::configs::own_tables;
use super::report::{Bars, Options, Row};
use super::table::{Cells, judged, number, read, text};
use plimsoll_configs::catalog;
use plimsoll_core::scenario::{
    AcceleratorChoice, ClosedLoopSettings, LatencyModelChoice, LengthSettings, ModelChoice, PrefixSettings, Scenario,
};
use serde_json::json;

/// Percent that the median of the rows `consistent` may reach, and each of them.
const MEDIAN: f64 = 12.0;
const WORST: f64 = 35.0;

/// Computes every row of a table; those of servers that contradict others of their kind are outside the bar.
///
/// # Errors
/// A table that cannot be read.
pub fn rows(options: &Options) -> Result<(Vec<Row>, Bars), String> {
    let path = options.path.clone().unwrap_or_else(|| own_tables().join("measured_throughput.csv"));
    let path = if path.is_dir() { path.join("measured_throughput.csv") } else { path };
    let table = read(&path)?;
    let worst = options.worst.unwrap_or(WORST);
    let rows = judged(&table, worst, |cells| row(cells, worst));
    let limit = options.limit("35 %, some rows outside the bar");
    let bars = Bars { median: options.median.unwrap_or(MEDIAN), exact: options.exact, limit };
    Ok((rows, bars))
}

fn row(cells: &Cells, worst: f64) -> Row {
    let cell = |column| text(cells, column);
    let name = format!(
        "{} on {} x {}, {} users, {}/{} ({})",
        cell("model"),
        cell("tp"),
        cell("hardware"),
        cell("users"),
        cell("prompt_tokens"),
        cell("output_tokens"),
        cell("case"),
    );
    let is_judged = cell("consistency") == "consistent";
    let limit = if is_judged { worst } else { f64::INFINITY };
    let found = number::<f64>(cells, "measured_tokens_per_s").and_then(|measured| Ok((predicted(cells)?, measured)));
    match found {
        Ok((predicted, measured)) => Row {
            name,
            error: Some((predicted / measured - 1.0) * 100.0),
            limit,
            note: format!(
                "{predicted:.0} tokens/s, measured {measured}{}",
                if is_judged { "" } else { "; outside the bar: contradicts others of its kind" }
            ),
            json: json!({ "tokens_per_s": predicted, "measured": measured, "is_judged": is_judged }),
        },
        Err(reason) => Row { name, error: None, limit, note: reason, json: json!(null) },
    }
}

/// The deployment and the load of a row.
///
/// # Errors
/// A cell that is no number.
pub fn scenario(cells: &Cells) -> Result<Scenario, String> {
    let mut scenario = Scenario::default();
    let deployment = &mut scenario.deployment;
    deployment.model = ModelChoice::Id(text(cells, "model").into());
    deployment.accelerator = Some(AcceleratorChoice::Id(text(cells, "hardware").into()));
    deployment.tensor_parallel_size = Some(number(cells, "tp")?);
    let version = text(cells, "vllm");
    deployment.server_version = (!version.is_empty()).then(|| version.into());
    scenario.latency.model = LatencyModelChoice::MeasuredRoofline;
    scenario.engine.max_num_seqs = number(cells, "max_num_seqs").ok();
    if let Ok(tokens) = number::<u32>(cells, "kv_tokens_logged") {
        scenario.engine.num_gpu_blocks = Some(tokens / scenario.engine.block_size);
    }
    let [prompt, output] = [number::<u32>(cells, "prompt_tokens")?, number(cells, "output_tokens")?];
    if scenario.engine.num_gpu_blocks.is_none() {
        // Who measures such a load on a card that just holds the model shortens the longest sequence.
        scenario.engine.max_model_len = Some((prompt + output).next_multiple_of(4096));
    }
    let workload = &mut scenario.workload;
    workload.input_tokens = LengthSettings::Constant { value: prompt };
    workload.output_tokens = LengthSettings::Constant { value: output };
    workload.prefix = PrefixSettings { tokens: 0, ..PrefixSettings::default() };
    workload.num_requests = number(cells, "requests")?;
    // All at once are as many users as requests, who ask once each.
    workload.closed_loop = Some(ClosedLoopSettings { concurrency: number(cells, "users")?, think_time_us: 0 });
    Ok(scenario)
}

fn predicted(cells: &Cells) -> Result<f64, String> {
    let scenario = scenario(cells)?;
    let resolved = scenario
        .resolve(catalog())
        .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))?;
    let resolved = resolved.value;
    let requests = resolved.workload.num_requests;
    let report = truth(&resolved, resolved.workload.request_rate, requests, 42);
    let seconds = report.summary.vllm_estimated_duration_s;
    let prompts: f64 = number::<f64>(cells, "prompt_tokens")? * f64::from(requests);
    let output = report.summary.total_output_tokens as f64;
    let tokens = if text(cells, "tokens_counted") == "total" { prompts + output } else { output };
    Ok(tokens / seconds)
}
