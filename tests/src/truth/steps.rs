//! Measured steps of real servers against the measured roofline.

use super::report::{Bars, Options, Row};
use crate::steps::data::{Found, Kind, Server, is_held_back, servers};
use plimsoll_configs::catalog;
use plimsoll_core::catalog::StepTimesSpec;
use serde_json::json;

/// Percent that the median and the ninth decile of the errors of a kind of steps may reach: dense models, and those with
/// experts.
const DENSE: [[f64; 2]; 3] = [[2.5, 10.0], [3.5, 15.0], [5.0, 15.0]];
const EXPERTS: [[f64; 2]; 3] = [[6.0, 14.0], [9.0, 20.0], [10.0, 22.0]];

/// Computes every row of a folder of measured steps.
///
/// Models with experts are judged file by file, dense ones together; each file is printed. Only steps that nothing was
/// fitted to are judged: those of every second stretch.
///
/// # Errors
/// A folder that cannot be read.
pub fn rows(options: &Options) -> Result<(Vec<Row>, Bars), String> {
    let folder = options.path.clone().unwrap_or_else(|| super::configs::own_tables().join("step-times"));
    let servers = servers(&folder)?;
    let spec = catalog().step_times.as_ref().ok_or("no kernels were measured")?;
    Ok((rows_of(&servers, spec), Bars { median: f64::INFINITY, exact: None, limit: "its bar".into() }))
}

/// The rows under some rates.
#[must_use]
pub fn rows_of(servers: &[Found], spec: &StepTimesSpec) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut dense: [Vec<f64>; 3] = Default::default();
    let mut impossible = 0;
    for found in servers {
        match found {
            // A server that nobody can read is never met, also one whose steps would be outside the bars.
            Err((name, reason)) => rows.push(Row::refused(name, 0.0, reason.clone())),
            Ok(server) => {
                for (kind, pooled) in Kind::ALL.into_iter().zip(&mut dense) {
                    let errors = errors(server, kind, spec);
                    if errors.is_empty() {
                        continue;
                    }
                    let limits = (server.is_judged() && server.has_experts()).then(|| EXPERTS[kind as usize]);
                    push(&mut rows, &server.name, kind, &errors, limits);
                    if server.is_judged() && !server.has_experts() {
                        pooled.extend(errors);
                    }
                }
                impossible += too_fast(server, spec);
            }
        }
    }
    for (kind, errors) in Kind::ALL.into_iter().zip(&dense) {
        if !errors.is_empty() {
            push(&mut rows, "dense models together", kind, errors, Some(DENSE[kind as usize]));
        }
    }
    rows.push(Row {
        name: "steps faster than the data sheet".into(),
        error: Some(f64::from(impossible)),
        limit: 0.0,
        note: format!("{impossible} steps"),
        json: json!({ "steps": impossible }),
    });
    rows
}

/// Signed errors of the steps of a kind that nothing was fitted to, percent.
#[must_use]
pub fn errors(server: &Server, kind: Kind, spec: &StepTimesSpec) -> Vec<f64> {
    let Some(model) = server.model(spec) else { return Vec::new() };
    let judged = server.steps.iter().enumerate().filter(|(place, step)| {
        is_held_back(*place) && step.kind == kind && (server.uses(step) || !server.is_judged())
    });
    judged.map(|(_, step)| (model.micros(&step.batch) / step.micros - 1.0) * 100.0).collect()
}

/// The value below which a share of the sizes of errors lies, between the nearest two.
#[must_use]
pub fn quantile(errors: &[f64], share: f64) -> f64 {
    let mut sizes: Vec<f64> = errors.iter().map(|error| error.abs()).collect();
    sizes.sort_by(f64::total_cmp);
    let place = share * (sizes.len().saturating_sub(1)) as f64;
    let (low, part) = (place.floor() as usize, place.fract());
    match (sizes.get(low), sizes.get(low + 1)) {
        (Some(low), Some(high)) => low + (high - low) * part,
        (Some(only), None) => *only,
        _ => f64::NAN,
    }
}

fn push(rows: &mut Vec<Row>, name: &str, kind: Kind, errors: &[f64], limits: Option<[f64; 2]>) {
    let mut signed = errors.to_vec();
    signed.sort_by(f64::total_cmp);
    let middle = signed[signed.len() / 2];
    for (place, (share, words)) in [(0.5, "median"), (0.9, "90th percentile")].into_iter().enumerate() {
        let size = quantile(errors, share);
        let outside = if limits.is_none() { ", outside the bar" } else { "" };
        rows.push(Row {
            name: format!("{name}, {}, {words}", kind.name()),
            error: Some(size),
            limit: limits.map_or(f64::INFINITY, |limits| limits[place]),
            note: match limits {
                Some(limits) => format!("of {} steps, bar {} %, middle {middle:+.1} %", errors.len(), limits[place]),
                None => format!("of {} steps, middle {middle:+.1} %{outside}", errors.len()),
            },
            json: json!({ "steps": errors.len(), "percent": size, "middle_percent": middle }),
        });
    }
}

/// How many steps the model says to be faster than the data sheet allows.
fn too_fast(server: &Server, spec: &StepTimesSpec) -> u32 {
    let Some(model) = server.model(spec) else { return 0 };
    let found =
        server.steps.iter().filter(|step| model.micros(&step.batch) < crate::steps::sheet::bound(server, &step.batch));
    u32::try_from(found.count()).unwrap_or(u32::MAX)
}
