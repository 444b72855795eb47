//! Workload specifications: YAML in the manner of ServeGen (workload specification 3 to 5).

use crate::fields::{Fields, Problems, shown_path};
use crate::located::{Words, located_in};
use crate::place::Place;
use crate::scenario::check_size;
use crate::value::{Readable, readable_yaml};
use plimsoll_core::diagnostic::{Checked, Diagnostic, Severity, Warned};
use plimsoll_core::scenario::{
    ActiveWindow, ArrivalSettings, ClientSettings, ClosedLoopSettings, ItemSettings, LengthSettings,
    MultimodalSettings, NetworkSettings, SLO_CLASSES, SessionSettings, WorkloadSettings,
};
use serde_json::Value;

/// What a workload specification asks for; what it leaves out is none.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkloadSpec {
    /// The clients, cohorts last; empty if `servegen_data` brings them.
    pub clients: Vec<ClientSettings>,
    /// Requests per second of all clients together.
    pub aggregate_rate: Option<f64>,
    /// Seed of all random streams.
    pub seed: Option<u64>,
    /// Most requests; none = no limit.
    pub num_requests: Option<u32>,
    /// Last tick, microseconds.
    pub horizon_us: Option<u64>,
    /// Where clients are to be read from.
    pub servegen_data: Option<ServeGenChoice>,
}

/// A ServeGen data folder, and the span of it that counts.
#[derive(Debug, Clone, PartialEq)]
pub struct ServeGenChoice {
    /// The folder, as written.
    pub path: String,
    /// First second; 0 = from the start.
    pub span_start: f64,
    /// First second after it; 0 = to the end.
    pub span_end: f64,
}

impl WorkloadSpec {
    /// The workload it describes; arrivals and lengths outside the clients are not used.
    ///
    /// `limit` is the number of requests where the specification states none.
    #[must_use]
    pub fn into_workload(self, limit: u32) -> WorkloadSettings {
        WorkloadSettings {
            request_rate: self.aggregate_rate.unwrap_or(1.0),
            num_requests: self.num_requests.unwrap_or(limit),
            clients: self.clients,
            ..WorkloadSettings::default()
        }
    }
}

/// Reads a workload specification; `file` names it in diagnostics.
///
/// # Errors
/// Every problem found: syntax, unknown, repeated or missing fields, values of a wrong type, names that are not known,
/// numbers out of bounds. Whether the workload fits a deployment is checked by `Scenario::resolve`.
pub fn workload_spec_from_yaml(text: &str, file: &str) -> Checked<WorkloadSpec> {
    check_size(text, file)?;
    let Readable { value, problems } = readable_yaml(text, file)?;
    let Value::Object(map) = &value else {
        let place = Place::START.in_file(file);
        let diagnostic = Diagnostic::error("invalid-value", place, "the file is not a mapping of fields");
        return Err(vec![diagnostic.with_hint("a workload specification begins like `version: \"2\"`")]);
    };
    let mut problems = Problems::new(text, file, problems);
    let spec = spec(Fields::new(Vec::new(), map), &mut problems);
    for found in spec.clone().into_workload(1).problems() {
        // What is only remarked upon will be again, of the whole scenario.
        if found.severity == Severity::Error
            && let Some((place, found)) = located_in(&found, &value, text, file, Words::WorkloadSpec)
        {
            problems.follow_up(place, found);
        }
    }
    let diagnostics = problems.finish();
    if diagnostics.iter().any(|found| found.severity == Severity::Error) {
        return Err(diagnostics);
    }
    Ok(Warned { value: spec, diagnostics })
}

fn spec(mut fields: Fields<'_>, problems: &mut Problems<'_>) -> WorkloadSpec {
    let version = fields.one_of("version", &["", "1", "2"], problems).unwrap_or_default();
    fields.one_of("category", &["", "language", "multimodal", "reasoning"], problems);
    let aggregate_rate = fields.number("aggregate_rate", problems);
    let seed = fields.whole("seed", problems).filter(|seed| *seed > 0);
    let num_requests = fields.count("num_requests", problems).filter(|count| *count > 0);
    let horizon_us = fields.whole("horizon", problems).filter(|horizon| *horizon > 0);
    let mut reader = Reader { is_old: version != "2", upgraded: Vec::new(), problems };
    let mut clients: Vec<ClientSettings> =
        fields.list("clients", reader.problems).into_iter().map(|client| reader.client(client, false)).collect();
    clients.extend(fields.list("cohorts", reader.problems).into_iter().map(|cohort| reader.client(cohort, true)));
    let Reader { upgraded, problems, .. } = reader;
    if !upgraded.is_empty() {
        let message = format!("SLO classes of version 1 are renamed: {}", upgraded.join(", "));
        problems.note("workload-spec-upgraded", &[], message, "write version: \"2\" with the new names");
    }
    let servegen_data = fields.fields("servegen_data", problems).and_then(|mut data| {
        let path = data.text("path", problems);
        data.require("path", "give the folder of the ServeGen chunks", problems);
        let span_start = data.number("span_start", problems).unwrap_or(0.0);
        let span_end = data.number("span_end", problems).unwrap_or(0.0);
        data.finish(problems);
        Some(ServeGenChoice { path: path?, span_start, span_end })
    });
    if clients.is_empty() && servegen_data.is_none() && fields.get("clients").is_none_or(is_empty_list) {
        let hint = "list clients or cohorts, or give servegen_data";
        problems.error("missing-field", &[], "the specification has no clients", hint);
    }
    let has_rate = clients.is_empty() || clients.iter().any(|client| client.closed_loop.is_none());
    if has_rate && fields.require("aggregate_rate", "give the requests per second of all clients together", problems) {
        let is_positive = aggregate_rate.is_none_or(|rate| rate > 0.0);
        if !is_positive {
            let message = format!("aggregate_rate is {}", aggregate_rate.unwrap_or_default());
            problems.error("invalid-value", &fields.at("aggregate_rate"), message, "give a number above 0");
        }
    }
    fields.finish(problems);
    WorkloadSpec { clients, aggregate_rate, seed, num_requests, horizon_us, servegen_data }
}

fn is_empty_list(value: &Value) -> bool {
    value.as_array().is_some_and(Vec::is_empty)
}

struct Reader<'p, 'a> {
    /// Whether SLO classes have the names of version 1.
    is_old: bool,
    upgraded: Vec<&'static str>,
    problems: &'p mut Problems<'a>,
}

impl Reader<'_, '_> {
    fn client(&mut self, mut fields: Fields<'_>, is_cohort: bool) -> ClientSettings {
        let mut client = ClientSettings {
            id: fields.text("id", self.problems).unwrap_or_default(),
            tenant: fields.text("tenant_id", self.problems).unwrap_or_default(),
            slo_class: self.slo_class(&mut fields),
            streaming: fields.flag("streaming", self.problems).unwrap_or(false),
            prefix_group: fields.text("prefix_group", self.problems).unwrap_or_default(),
            timeout_us: fields.whole("timeout", self.problems),
            ..ClientSettings::default()
        };
        if let Some(tokens) = fields.count("prefix_length", self.problems) {
            client.prefix_tokens = tokens;
        }
        client.closed_loop = self.users(&mut fields);
        match (client.closed_loop, fields.number("rate_fraction", self.problems)) {
            (None, Some(fraction)) => client.rate_fraction = fraction,
            (None, None) => {
                let hint = "give its part of aggregate_rate, or concurrency for users who wait";
                fields.require("rate_fraction", hint, self.problems);
            }
            (Some(_), Some(_)) => {
                let at = fields.at("rate_fraction");
                let message = format!("{} is given beside concurrency", shown_path(&at));
                self.problems.error("invalid-value", &at, message, "users who wait have no rate; give one of the two");
            }
            (Some(_), None) => {}
        }
        if let Some(arrival) = self.arrival(&mut fields, client.closed_loop.is_some()) {
            client.arrival = arrival;
        }
        let mut lengths = |key| self.lengths(&mut fields, key, true);
        if let Some(input) = lengths("input_distribution") {
            client.input_tokens = input;
        }
        if let Some(output) = lengths("output_distribution") {
            client.output_tokens = output;
        }
        client.network = fields.fields("network", self.problems).map(|mut network| {
            let rtt_ms = network.number("rtt_ms", self.problems).unwrap_or(0.0);
            let bandwidth_mbps = network.number("bandwidth_mbps", self.problems).unwrap_or(0.0);
            network.finish(self.problems);
            NetworkSettings { rtt_ms, bandwidth_mbps }
        });
        if let Some(mut lifecycle) = fields.fields("lifecycle", self.problems) {
            for mut window in lifecycle.list("windows", self.problems) {
                let start_us = window.whole("start_us", self.problems).unwrap_or(0);
                let end_us = window.whole("end_us", self.problems);
                window.require("end_us", "give the first microsecond after the window", self.problems);
                window.finish(self.problems);
                client.active.extend(end_us.map(|end_us| ActiveWindow { start_us, end_us }));
            }
            lifecycle.finish(self.problems);
        }
        client.multimodal = fields.fields("multimodal", self.problems).map(|parts| self.multimodal(parts));
        self.reasoning(&mut fields, &mut client);
        if is_cohort {
            self.cohort(&mut fields, &mut client);
        }
        fields.finish(self.problems);
        client
    }

    fn slo_class(&mut self, fields: &mut Fields<'_>) -> String {
        const OLD: [(&str, &str, &str); 2] = [
            ("realtime", "critical", "realtime is now critical"),
            ("interactive", "standard", "interactive is now standard"),
        ];
        let mut names = vec![""];
        names.extend(SLO_CLASSES);
        if self.is_old {
            names.extend(OLD.map(|(old, ..)| old));
        }
        let class = fields.one_of("slo_class", &names, self.problems).unwrap_or_default();
        match OLD.iter().find(|(old, ..)| *old == class) {
            Some((_, new, message)) => {
                if !self.upgraded.contains(message) {
                    self.upgraded.push(message);
                }
                (*new).to_owned()
            }
            None => class,
        }
    }

    /// Virtual users, if the client is that.
    fn users(&mut self, fields: &mut Fields<'_>) -> Option<ClosedLoopSettings> {
        let concurrency = fields.count("concurrency", self.problems).filter(|users| *users > 0);
        let think_time_us = fields.whole("think_time_us", self.problems).unwrap_or(0);
        Some(ClosedLoopSettings { concurrency: concurrency?, think_time_us })
    }

    fn arrival(&mut self, fields: &mut Fields<'_>, is_optional: bool) -> Option<ArrivalSettings> {
        const HINT: &str = "give arrival: { process: poisson }";
        if !is_optional && !fields.require("arrival", HINT, self.problems) {
            return None;
        }
        let mut arrival = fields.fields("arrival", self.problems)?;
        let names = ["poisson", "gamma", "weibull", "constant"];
        let process = arrival.one_of("process", &names, self.problems);
        arrival.require("process", HINT, self.problems);
        let cv = arrival.number("cv", self.problems);
        if let Some(cv) = cv.filter(|cv| *cv <= 0.0) {
            let at = arrival.at("cv");
            let message = format!("{} is {cv}", shown_path(&at));
            self.problems.error(
                "invalid-value",
                &at,
                message,
                "give a number above 0; 1 is poisson, larger is burstier",
            );
        }
        arrival.finish(self.problems);
        let cv = cv.unwrap_or(1.0);
        Some(match process?.as_str() {
            "gamma" => ArrivalSettings::Gamma { cv },
            "weibull" => ArrivalSettings::Weibull { cv },
            "constant" => ArrivalSettings::Constant,
            _ => ArrivalSettings::Poisson,
        })
    }

    /// A distribution; none if it is left out or malformed.
    fn lengths(&mut self, fields: &mut Fields<'_>, key: &'static str, is_required: bool) -> Option<LengthSettings> {
        const HINT: &str =
            "give type (gaussian, exponential, pareto_lognormal, empirical, lognormal or constant) and params";
        if is_required && !fields.require(key, HINT, self.problems) {
            return None;
        }
        let mut distribution = fields.fields(key, self.problems)?;
        let names = ["gaussian", "exponential", "pareto_lognormal", "empirical", "lognormal", "constant"];
        let kind = distribution.one_of("type", &names, self.problems);
        if is_required || distribution.entries().next().is_some() {
            distribution.require("type", HINT, self.problems);
        }
        if distribution.get("file").is_some() {
            let at = distribution.at("file");
            let hint = "write the values as params of type empirical";
            self.problems.error("invalid-value", &at, format!("{} is not supported", shown_path(&at)), hint);
        }
        let lengths = match (kind, distribution.get("params")) {
            (Some(kind), Some(_)) => match distribution.fields("params", self.problems) {
                Some(params) => self.params(&kind, params),
                None => None,
            },
            (Some(kind), None) => {
                let message = format!("{} is missing", shown_path(&distribution.at("params")));
                let hint = format!("give {}", needs(&kind));
                self.problems.error("missing-field", distribution.path(), message, hint);
                None
            }
            (None, _) => None,
        };
        distribution.finish(self.problems);
        lengths
    }

    fn params(&mut self, kind: &str, mut params: Fields<'_>) -> Option<LengthSettings> {
        if kind == "empirical" {
            return self.weights(&params);
        }
        let mut number = |key: &'static str| {
            let number = params.number(key, self.problems);
            params.require(key, &format!("give {}", needs(kind)), self.problems);
            number
        };
        // Bounds are truncated to whole numbers, and what they cannot be is refused by the bounds of lengths.
        let whole = |value: f64| value.max(0.0) as u32;
        let lengths = match kind {
            "gaussian" | "lognormal" => {
                let values = [number("mean"), number("std_dev"), number("min"), number("max")];
                let [Some(mean), Some(std_dev), Some(min), Some(max)] = values else {
                    params.finish(self.problems);
                    return None;
                };
                let (min, max) = (whole(min), whole(max));
                Some(if min == max && kind == "gaussian" {
                    LengthSettings::Constant { value: min.max(1) }
                } else if kind == "gaussian" {
                    LengthSettings::Normal { mean, std_dev, min, max }
                } else {
                    LengthSettings::Lognormal { mean, std_dev, min, max }
                })
            }
            "exponential" => number("mean").map(|mean| LengthSettings::Exponential { mean }),
            "pareto_lognormal" => {
                let values = [number("alpha"), number("xm"), number("mu"), number("sigma"), number("mix_weight")];
                match values {
                    [Some(alpha), Some(xm), Some(mu), Some(sigma), Some(mix_weight)] => {
                        Some(LengthSettings::ParetoLognormal { alpha, xm, mu, sigma, mix_weight })
                    }
                    _ => None,
                }
            }
            _ => number("value").map(|value| LengthSettings::Constant { value: whole(value).max(1) }),
        };
        params.finish(self.problems);
        lengths
    }

    /// Token counts with their weights; a key is read as its leading whole number.
    fn weights(&mut self, params: &Fields<'_>) -> Option<LengthSettings> {
        let mut weights = Vec::new();
        let mut is_good = true;
        for (key, value) in params.entries() {
            let digits: String = key.trim().chars().take_while(char::is_ascii_digit).collect();
            let weight = value.as_f64().filter(|weight| weight.is_finite());
            match (digits.parse::<u32>().ok(), weight) {
                (Some(length), Some(weight)) => weights.push((length, weight)),
                (None, _) => {
                    is_good = false;
                    let at = params.at(key);
                    let message = format!("{} begins with no number of tokens", shown_path(&at));
                    self.problems.error(
                        "invalid-value",
                        &at,
                        message,
                        "write token counts with weights, like 100: 0.5",
                    );
                }
                (_, None) => {
                    is_good = false;
                    let at = params.at(key);
                    let message = format!("{} must be a finite number", shown_path(&at));
                    self.problems.error(
                        "invalid-value",
                        &at,
                        message,
                        "write token counts with weights, like 100: 0.5",
                    );
                }
            }
        }
        if weights.is_empty() && is_good {
            let message = format!("{} is empty", shown_path(params.path()));
            let hint = "write token counts with weights, like 100: 0.5";
            self.problems.error("missing-field", params.path(), message, hint);
        }
        // In order of length, so that the order of writing changes nothing.
        weights.sort_by_key(|(length, _)| *length);
        (is_good && !weights.is_empty()).then_some(LengthSettings::Empirical { weights })
    }

    fn multimodal(&mut self, mut fields: Fields<'_>) -> MultimodalSettings {
        let text = self.lengths(&mut fields, "text_distribution", false);
        let mut item = |tokens, count| {
            let (tokens, count) = (self.lengths(&mut fields, tokens, false), self.lengths(&mut fields, count, false));
            Some(ItemSettings { tokens: tokens?, count: count? })
        };
        let image = item("image_distribution", "image_count_distribution");
        let audio = item("audio_distribution", "audio_count_distribution");
        let video = item("video_distribution", "video_count_distribution");
        fields.finish(self.problems);
        MultimodalSettings { text, image, audio, video }
    }

    fn reasoning(&mut self, fields: &mut Fields<'_>, client: &mut ClientSettings) {
        let is_closed_loop = fields.flag("closed_loop", self.problems).unwrap_or(true);
        let Some(mut reasoning) = fields.fields("reasoning", self.problems) else { return };
        client.reason_ratio = self.lengths(&mut reasoning, "reason_ratio_distribution", false);
        if let Some(mut turns) = reasoning.fields("multi_turn", self.problems) {
            let max_rounds = turns.count("max_rounds", self.problems);
            turns.require("max_rounds", "give the turns of a session, at least 1", self.problems);
            let think_time_us = turns.whole("think_time_us", self.problems).unwrap_or(0);
            let growth = turns.one_of("context_growth", &["", "accumulate"], self.problems).unwrap_or_default();
            let is_single = turns.flag("single_session", self.problems).unwrap_or(false);
            turns.finish(self.problems);
            client.session = max_rounds.map(|max_rounds| SessionSettings {
                max_rounds,
                think_time_us,
                accumulates: growth == "accumulate",
                is_closed_loop,
                is_single,
            });
        }
        reasoning.finish(self.problems);
    }

    fn cohort(&mut self, fields: &mut Fields<'_>, client: &mut ClientSettings) {
        if fields.require("population", "give how many clients the cohort has, 1 to 100000", self.problems) {
            client.population = fields.count("population", self.problems).unwrap_or(1);
        }
        if let Some(mut diurnal) = fields.fields("diurnal", self.problems) {
            let peak = diurnal.number("peak_hour", self.problems).unwrap_or(0.0);
            let ratio = diurnal.number("peak_to_trough_ratio", self.problems).unwrap_or(1.0);
            if ratio < 1.0 {
                let at = diurnal.at("peak_to_trough_ratio");
                self.problems.error("invalid-value", &at, format!("{} is {ratio}", shown_path(&at)), "give 1 or more");
            } else {
                client.active.extend(ActiveWindow::diurnal(peak, ratio));
            }
            diurnal.finish(self.problems);
        }
        if let Some(mut spike) = fields.fields("spike", self.problems) {
            let start = spike.whole("start_time_us", self.problems).unwrap_or(0);
            let duration = spike.whole("duration_us", self.problems);
            spike.require("duration_us", "give how long the spike lasts", self.problems);
            spike.finish(self.problems);
            client.active.extend(duration.into_iter().flat_map(|duration| ActiveWindow::spike(start, duration)));
        }
        if let Some(mut drain) = fields.fields("drain", self.problems) {
            let start = drain.whole("start_time_us", self.problems).unwrap_or(0);
            let ramp = drain.whole("ramp_duration_us", self.problems).unwrap_or(0);
            drain.finish(self.problems);
            client.active.extend(ActiveWindow::drain(start, ramp));
        }
    }
}

/// The parameters of a distribution, in words.
fn needs(kind: &str) -> &'static str {
    match kind {
        "gaussian" | "lognormal" => "mean, std_dev, min and max",
        "exponential" => "mean",
        "pareto_lognormal" => "alpha, xm, mu, sigma and mix_weight",
        "empirical" => "token counts with weights, like 100: 0.5",
        _ => "value",
    }
}

#[cfg(test)]
mod tests;
