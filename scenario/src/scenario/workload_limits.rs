//! The bounds of a workload.

use super::limits::Bounds;
use super::{
    ArrivalSettings, ClientSettings, ClosedLoopSettings, LengthSettings, SLO_CLASSES, ThinkTime, TraceChoice,
    WorkloadSettings,
};
use crate::diagnostic::Diagnostic;
use crate::numeric::sort_by_key;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::vec::Vec;

/// Longest accepted prompt part or output, tokens; longer than the longest context of any model.
pub const MAX_TOKENS: u32 = 16_777_216;
/// Lowest request rate: one request in eleven days, per second.
pub(super) const MIN_RATE: f64 = 1e-6;
/// Most requests of one run; their records would no longer fit into a browser tab.
pub(super) const MAX_REQUESTS: u32 = 100_000_000;
/// Above this coefficient of variation gamma gaps are too ragged to sample (workload specification 3).
const MAX_GAMMA_CV: f64 = 10.0;
/// Coefficients of variation that the shape of weibull gaps is solved for (workload specification 3).
const WEIBULL_CV: [f64; 2] = [0.01, 10.4];
/// Most copies of one client, most users, and most clients all together.
const MAX_POPULATION: u32 = 100_000;
/// Longest span accepted in microseconds: 31 years.
const MAX_MICROS: u64 = 1_000_000_000_000_000;

impl WorkloadSettings {
    /// What is out of bounds, or will be changed, whatever the deployment; paths begin with `workload`.
    #[must_use]
    pub fn problems(&self) -> Vec<Diagnostic> {
        let mut diagnostics = Vec::new();
        Bounds { diagnostics: &mut diagnostics }.workload(self);
        diagnostics
    }
}

impl Bounds<'_> {
    /// Checks the workload and gives it in the form that generators take.
    pub fn workload(&mut self, workload: &WorkloadSettings) -> WorkloadSettings {
        let mut checked = workload.clone();
        self.within("workload.request_rate", workload.request_rate, MIN_RATE..=1e6);
        self.integer("workload.num_requests", workload.num_requests, 1..=MAX_REQUESTS);
        checked.arrival = self.arrival("workload.arrival", workload.arrival);
        self.lengths("workload.input_tokens", &mut checked.input_tokens);
        self.lengths("workload.output_tokens", &mut checked.output_tokens);
        self.integer("workload.prefix.tokens", workload.prefix.tokens, 0..=MAX_TOKENS);
        self.integer("workload.prefix.groups", workload.prefix.groups, 1..=1_000_000);
        self.within("workload.prefix.share_ratio", workload.prefix.share_ratio, 0.0..=1.0);
        self.within("workload.prefix_hit_ratio", workload.prefix_hit_ratio, 0.0..=1.0);
        if let Some(seconds) = workload.timeout_s {
            self.positive("workload.timeout_s", seconds, 1e9);
        }
        if let Some(trace) = &workload.trace {
            self.trace(trace);
        }
        if let Some(users) = &workload.closed_loop {
            self.users("workload.closed_loop", users);
        }
        for (index, client) in checked.clients.iter_mut().enumerate() {
            self.client(&format!("workload.clients[{index}]"), client);
        }
        self.together(&checked);
        checked
    }

    fn trace(&mut self, trace: &TraceChoice) {
        let is_hash = trace.hash.len() == 16 && trace.hash.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_hash {
            self.reject(
                "workload.trace.hash",
                format!("\"{}\"", trace.hash),
                "sixteen hexadecimal digits name a trace",
            );
        }
        if let Some([start, end]) = trace.window_s
            && !(start >= 0.0 && end > start && end <= 1e9)
        {
            let hint = "give two numbers of seconds, the first at least 0 and the second above it";
            self.reject("workload.trace.window_s", format!("{start} to {end}"), hint);
        }
        if let Some(scale) = trace.rate_scale {
            self.positive("workload.trace.rate_scale", scale, 1e6);
        }
        match trace.think_time {
            None | Some(ThinkTime::Recorded) => {}
            Some(ThinkTime::Constant { value_us }) => self.micros("workload.trace.think_time.value_us", value_us),
            Some(ThinkTime::Lognormal { mean_us, std_dev_us }) => {
                self.positive("workload.trace.think_time.mean_us", mean_us, MAX_MICROS as f64);
                self.within("workload.trace.think_time.std_dev_us", std_dev_us, 0.0..=MAX_MICROS as f64);
            }
        }
    }

    fn users(&mut self, path: &str, users: &ClosedLoopSettings) {
        self.integer(&format!("{path}.concurrency"), users.concurrency, 1..=MAX_POPULATION);
        self.micros(&format!("{path}.think_time_us"), users.think_time_us);
    }

    fn micros(&mut self, path: &str, value: u64) {
        if value > MAX_MICROS {
            self.reject(path, value, format!("give microseconds, at most {MAX_MICROS}"));
        }
    }

    fn client(&mut self, path: &str, client: &mut ClientSettings) {
        let at = |field: &str| format!("{path}.{field}");
        if !client.slo_class.is_empty() && !SLO_CLASSES.contains(&client.slo_class.as_str()) {
            let hint = format!("give one of {}, or leave it out", SLO_CLASSES.join(", "));
            self.reject(&at("slo_class"), format!("\"{}\"", client.slo_class), hint);
        }
        self.integer(&at("population"), client.population, 1..=MAX_POPULATION);
        self.positive(&at("rate_fraction"), client.rate_fraction, 1e9);
        if let Some(users) = &client.closed_loop {
            self.users(&at("closed_loop"), users);
            if client.session.is_some() {
                self.reject(&at("session"), "given", "users ask single requests; leave out session or closed_loop");
            }
        }
        client.arrival = self.arrival(&at("arrival"), client.arrival);
        self.lengths(&at("input_tokens"), &mut client.input_tokens);
        self.lengths(&at("output_tokens"), &mut client.output_tokens);
        self.integer(&at("prefix_tokens"), client.prefix_tokens, 0..=MAX_TOKENS);
        self.micros(&at("timeout_us"), client.timeout_us.unwrap_or(0));
        if let Some(network) = &client.network {
            self.within(&at("network.rtt_ms"), network.rtt_ms, 0.0..=1e9);
            self.within(&at("network.bandwidth_mbps"), network.bandwidth_mbps, 0.0..=1e12);
        }
        for (index, window) in client.active.iter().enumerate() {
            if window.end_us <= window.start_us || window.end_us > MAX_MICROS {
                let hint = format!("give a start, and an end above it of at most {MAX_MICROS}");
                self.reject(
                    &at(&format!("active[{index}]")),
                    format!("{} to {}", window.start_us, window.end_us),
                    hint,
                );
            }
        }
        // Windows are looked at in order of time.
        sort_by_key(&mut client.active, |window| [i64::try_from(window.start_us).unwrap_or(i64::MAX), 0]);
        if let Some(parts) = &mut client.multimodal {
            if let Some(text) = &mut parts.text {
                self.lengths(&at("multimodal.text"), text);
            }
            for (name, item) in [("image", &mut parts.image), ("audio", &mut parts.audio), ("video", &mut parts.video)]
            {
                if let Some(item) = item {
                    self.lengths(&at(&format!("multimodal.{name}.tokens")), &mut item.tokens);
                    self.lengths(&at(&format!("multimodal.{name}.count")), &mut item.count);
                }
            }
        }
        if let Some(ratio) = &mut client.reason_ratio {
            self.lengths(&at("reason_ratio"), ratio);
        }
        if let Some(session) = &client.session {
            self.integer(&at("session.max_rounds"), session.max_rounds, 1..=100_000);
            self.micros(&at("session.think_time_us"), session.think_time_us);
        }
    }

    /// Checks what clients must keep all together.
    fn together(&mut self, workload: &WorkloadSettings) {
        let clients = &workload.clients;
        // What is out of bounds is reported on its own, but is in this sum too.
        let sum = clients.iter().fold(0u64, |sum, client| {
            let users = client.closed_loop.map_or(1, |users| users.concurrency);
            sum.saturating_add(u64::from(client.population) * u64::from(users))
        });
        if sum > u64::from(MAX_POPULATION) {
            let hint = format!("give at most {MAX_POPULATION} clients and users, populations included");
            self.reject("workload.clients", format!("{sum} clients and users"), hint);
        }
        let mut tenants: BTreeSet<&str> = BTreeSet::new();
        tenants.extend(clients.iter().map(|client| client.tenant.as_str()));
        if tenants.len() > usize::from(u16::MAX) {
            self.reject("workload.clients", format!("of {} tenants", tenants.len()), "give at most 65534 tenants");
        }
    }

    /// Checks an arrival process; gamma gaps that cannot be sampled become exponential ones.
    fn arrival(&mut self, path: &str, arrival: ArrivalSettings) -> ArrivalSettings {
        let path = format!("{path}.cv");
        match arrival {
            ArrivalSettings::Constant | ArrivalSettings::Poisson => arrival,
            ArrivalSettings::Gamma { cv } if cv > MAX_GAMMA_CV && cv.is_finite() => {
                let message = format!("gamma arrivals with cv {cv} cannot be sampled; poisson arrivals are used");
                self.diagnostics.push(
                    Diagnostic::warning("gamma-as-poisson", path, message)
                        .with_hint(format!("give a cv of at most {MAX_GAMMA_CV}")),
                );
                ArrivalSettings::Poisson
            }
            ArrivalSettings::Gamma { cv } => {
                if !(cv > 0.0 && cv.is_finite()) {
                    self.reject(&path, cv, "give a number above 0; 1 is poisson, larger is burstier");
                }
                arrival
            }
            ArrivalSettings::Weibull { cv } => {
                let [least, most] = WEIBULL_CV;
                self.within(&path, cv, least..=most);
                arrival
            }
        }
    }

    /// Checks a length distribution; a lower bound of 0 is raised to 1, the least a draw gives.
    fn lengths(&mut self, path: &str, lengths: &mut LengthSettings) {
        let at = |field: &str| format!("{path}.{field}");
        match lengths {
            LengthSettings::Constant { value } => self.integer(&at("value"), *value, 1..=MAX_TOKENS),
            LengthSettings::Normal { mean, std_dev, min, max }
            | LengthSettings::Lognormal { mean, std_dev, min, max } => {
                self.spread(path, *mean, *std_dev, *min, *max);
                *min = (*min).max(1);
            }
            LengthSettings::Exponential { mean } => self.positive(&at("mean"), *mean, f64::from(MAX_TOKENS)),
            LengthSettings::ParetoLognormal { alpha, xm, mu, sigma, mix_weight } => {
                self.positive(&at("alpha"), *alpha, 1e6);
                self.positive(&at("xm"), *xm, f64::from(MAX_TOKENS));
                self.within(&at("mu"), *mu, -100.0..=17.0);
                self.within(&at("sigma"), *sigma, 0.0..=100.0);
                self.within(&at("mix_weight"), *mix_weight, 0.0..=1.0);
            }
            LengthSettings::Empirical { weights } => {
                let is_usable = |(value, weight): &(u32, f64)| *value <= MAX_TOKENS && weight.is_finite();
                if let Some((value, weight)) = weights.iter().find(|entry| !is_usable(entry)) {
                    let hint = format!("give lengths of at most {MAX_TOKENS} with finite weights");
                    self.reject(&at("weights"), format!("{value} with weight {weight}"), hint);
                } else if weights.iter().map(|(_, weight)| weight).sum::<f64>() <= 0.0 {
                    self.reject(&at("weights"), "without any weight", "give at least one length with a weight above 0");
                }
            }
        }
    }

    fn spread(&mut self, path: &str, mean: f64, std_dev: f64, min: u32, max: u32) {
        self.integer(&format!("{path}.max"), max, 1..=MAX_TOKENS);
        if min > max {
            self.reject(&format!("{path}.min"), min, format!("give a number of at most max, {max}"));
        } else if !(f64::from(min)..=f64::from(max)).contains(&mean) || mean == 0.0 {
            self.reject(&format!("{path}.mean"), mean, format!("give a number from min {} to max {max}", min.max(1)));
        }
        self.within(&format!("{path}.std_dev"), std_dev, 0.0..=f64::from(MAX_TOKENS));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    /// Each of them multiplies to 2⁶⁴ − 2³³ + 1.
    #[test]
    fn absurdly_many_users_are_reported_and_do_not_overflow() {
        let users = ClosedLoopSettings { concurrency: u32::MAX, think_time_us: 0 };
        let client = ClientSettings { population: u32::MAX, closed_loop: Some(users), ..ClientSettings::default() };
        let workload = WorkloadSettings { clients: vec![client.clone(), client], ..WorkloadSettings::default() };
        let diagnostics = workload.problems();
        let paths: Vec<&str> = diagnostics.iter().map(|diagnostic| diagnostic.path.as_str()).collect();
        assert!(paths.contains(&"workload.clients") && paths.contains(&"workload.clients[1].population"), "{paths:?}");
    }
}
