//! What a workload will generate.

use crate::host::Prepared;
use plimsoll_core::report::PreviewRun;
use plimsoll_core::scenario::{ArrivalSettings, LengthSettings, WorkloadSettings};
use plimsoll_protocol::lab::Previewed;

/// A workload being drawn.
pub struct PreviewJob {
    words: Vec<String>,
    run: PreviewRun,
}

impl PreviewJob {
    /// Of `num_requests` at `request_rate`, or at the workload's own pace.
    pub fn new(prepared: &Prepared, request_rate: Option<f64>, num_requests: u32) -> Self {
        let workload = &prepared.resolved.workload;
        let mut words = words(workload);
        if workload.prefix_hit_ratio > 0.0 {
            words.push(format!("{} % of the prompt tokens cached as given", workload.prefix_hit_ratio * 100.0));
        }
        Self { words, run: PreviewRun::new(&prepared.resolved, prepared.trace.as_ref(), request_rate, num_requests) }
    }

    /// Goes on for about `max_steps`; the preview when all requests are known.
    pub fn advance(&mut self, max_steps: u64) -> Option<Previewed> {
        let preview = self.run.run_for(max_steps)?;
        Some(Previewed { words: core::mem::take(&mut self.words), preview })
    }
}

/// What a workload is made of.
fn words(workload: &WorkloadSettings) -> Vec<String> {
    if let Some(trace) = &workload.trace {
        let mut words = vec![format!("the trace {}", trace.name)];
        words.extend(trace.window_s.map(|[start, end]| format!("seconds {start} to {end} of it")));
        words.extend(trace.rate_scale.map(|scale| format!("{scale} times as fast as recorded")));
        return words;
    }
    if !workload.clients.is_empty() {
        let copies: u64 = workload.clients.iter().map(|client| u64::from(client.population.max(1))).sum();
        let mut words = vec![match workload.clients.len() {
            1 => "one kind of client".to_owned(),
            count => format!("{count} kinds of clients"),
        }];
        if copies > workload.clients.len() as u64 {
            words.push(format!("{copies} clients in all"));
        }
        let sessions = workload.clients.iter().filter(|client| client.session.is_some()).count();
        if sessions > 0 {
            words.push("conversations of several turns".to_owned());
        }
        return words;
    }
    let mut words = vec![match workload.closed_loop {
        Some(users) => format!("{} users who wait for their answers", users.concurrency),
        None => format!("{} arrivals", arrival(workload.arrival)),
    }];
    words.push(format!("{} prompts", lengths(&workload.input_tokens)));
    words.push(format!("{} answers", lengths(&workload.output_tokens)));
    if workload.prefix.tokens > 0 && workload.prefix.share_ratio > 0.0 {
        let groups = match workload.prefix.groups {
            0 | 1 => "one shared prefix".to_owned(),
            groups => format!("{groups} shared prefixes"),
        };
        words.push(format!("{groups} of {} tokens", workload.prefix.tokens));
    }
    words
}

fn arrival(arrival: ArrivalSettings) -> String {
    match arrival {
        ArrivalSettings::Constant => "evenly spaced".into(),
        ArrivalSettings::Poisson => "poisson".into(),
        ArrivalSettings::Gamma { cv } => format!("gamma (coefficient of variation {cv})"),
        ArrivalSettings::Weibull { cv } => format!("weibull (coefficient of variation {cv})"),
    }
}

fn lengths(lengths: &LengthSettings) -> &'static str {
    match lengths {
        LengthSettings::Normal { .. } => "normal",
        LengthSettings::Lognormal { .. } => "lognormal",
        LengthSettings::Exponential { .. } => "exponential",
        LengthSettings::ParetoLognormal { .. } => "heavy-tailed",
        LengthSettings::Empirical { .. } => "empirical",
        LengthSettings::Constant { .. } => "equally long",
    }
}
