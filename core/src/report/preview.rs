//! What a workload will offer: lengths, arrivals, clients and shared prefixes of the requests themselves.

use crate::cluster::Simulation;
use crate::engine::Mode;
use crate::numeric::Distribution;
use crate::observation::{Observer, RequestRecord};
use crate::scenario::ResolvedScenario;
use crate::time::SimTime;
use crate::workload::{Outcome, PrefixId, PrefixTree, Request, RequestDetail, RequestSource, Source, Trace};
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::RefCell;
use serde::{Deserialize, Serialize};

/// Bars of the length distributions, and bins of the arrivals.
const NUM_BARS: u64 = 48;
const NUM_BINS: u64 = 60;

/// The requests of one run, summed up.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkloadPreview {
    /// Requests offered.
    pub num_requests: u64,
    /// First to last arrival, seconds.
    pub span_s: f64,
    /// The rate asked for, requests per second to the whole cluster; none at a trace's own pace and where everybody
    /// waits for answers.
    pub asked_rate: Option<f64>,
    /// Whether arrivals depend on answers, so that they are those of a simulated run.
    pub is_closed_loop: bool,
    /// Prompt lengths, tokens, shared prefixes and earlier turns included.
    pub input_tokens: Distribution,
    /// Output lengths, tokens.
    pub output_tokens: Distribution,
    /// When they arrive.
    pub arrivals: ArrivalBins,
    /// What each client sends; empty unless there are several.
    pub clients: Vec<ClientPreview>,
    /// Conversations begun; 0 where requests stand alone.
    pub num_sessions: u64,
    /// What prompts have in common.
    pub prefix: PrefixPreview,
}

/// Arrivals by time, in bins of equal width from the first arrival to the last.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArrivalBins {
    /// Width of a bin, seconds; 0 if all arrive at once.
    pub width_s: f64,
    /// Arrivals in each bin.
    pub counts: Vec<u64>,
    /// Time of the first arrival, seconds of simulated time.
    pub start_s: f64,
}

/// What one client sends.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientPreview {
    /// Its name; empty if it has none.
    pub id: String,
    /// Its tenant; empty if it has none.
    pub tenant: String,
    /// Its SLO class; empty if it has none.
    pub slo_class: String,
    /// Requests it sends.
    pub num_requests: u64,
    /// Mean prompt length, tokens.
    pub mean_input_tokens: f64,
    /// Mean output length, tokens.
    pub mean_output_tokens: f64,
}

/// What prompts have in common with earlier ones.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrefixPreview {
    /// Requests whose prompt begins with a prefix that others may share.
    pub num_requests: u64,
    /// Different prefixes among them.
    pub num_prefixes: u64,
    /// Prompt tokens that an earlier prompt began with too: what a cache that forgets nothing could save.
    pub repeated_tokens: u64,
    /// Prompt tokens in all.
    pub input_tokens: u64,
}

/// Draws a workload's requests, resumable.
///
/// Open workloads are drawn alone; where arrivals depend on answers, the run is simulated.
pub struct PreviewRun {
    walk: Walk,
    noted: Rc<RefCell<Vec<Noted>>>,
    clients: Vec<ClientPreview>,
    asked_rate: Option<f64>,
}

enum Walk {
    Drawing(NotingSource),
    Simulating(Option<Box<Simulation<NotingSource>>>),
}

impl PreviewRun {
    /// A preview at its start: of `num_requests` at `request_rate` per second, or without a rate at the workload's own
    /// pace, which is a trace's as recorded.
    #[must_use]
    pub fn new(
        scenario: &ResolvedScenario,
        trace: Option<&Arc<Trace>>,
        request_rate: Option<f64>,
        num_requests: u32,
    ) -> Self {
        let workload = &scenario.workload;
        let rate = request_rate.unwrap_or(workload.request_rate);
        let source = match (trace, request_rate) {
            (Some(_), None) => Source::of_run(workload, trace, scenario.seed, SimTime::MAX),
            _ => Source::new(workload, trace, rate, num_requests, (scenario.seed, 0), SimTime::MAX),
        };
        let noted = Rc::new(RefCell::new(Vec::new()));
        let source = NotingSource { requests: source.with_details(), noted: Rc::clone(&noted) };
        let is_replay_as_recorded = trace.is_some() && request_rate.is_none();
        let clients = if trace.is_none() && workload.clients.len() > 1 { workload.clients.as_slice() } else { &[] };
        let clients = clients.iter().map(|client| ClientPreview {
            id: client.id.clone(),
            tenant: client.tenant.clone(),
            slo_class: client.slo_class.clone(),
            ..ClientPreview::default()
        });
        let is_without_rate = is_replay_as_recorded || workload.without_rate().is_some();
        Self {
            asked_rate: (!is_without_rate).then_some(rate),
            clients: clients.collect(),
            walk: if source.is_closed_loop() {
                let mut engine = scenario.engine;
                engine.horizon = SimTime::MAX;
                let latency = scenario.latency.clone();
                let simulation = Simulation::new(&scenario.cluster, engine, latency, source, Mode::Fast);
                Walk::Simulating(Some(Box::new(simulation)))
            } else {
                Walk::Drawing(source)
            },
            noted,
        }
    }

    /// Goes on for about `max_steps` requests or engine steps; the preview when all requests are known.
    pub fn run_for(&mut self, max_steps: u64) -> Option<WorkloadPreview> {
        let (is_closed_loop, prefixes) = match &mut self.walk {
            Walk::Drawing(source) => {
                for _ in 0..max_steps {
                    if source.next_request().is_none() {
                        let prefixes = source.prefixes().clone();
                        return Some(self.sum_up(false, &prefixes));
                    }
                }
                return None;
            }
            Walk::Simulating(simulation) => {
                if !simulation.as_mut()?.run_for(max_steps, &mut Unheard) {
                    return None;
                }
                let simulation = simulation.take()?;
                let prefixes = simulation.source().prefixes().clone();
                simulation.finish(&mut Unheard);
                (true, prefixes)
            }
        };
        Some(self.sum_up(is_closed_loop, &prefixes))
    }

    fn sum_up(&mut self, is_closed_loop: bool, prefixes: &PrefixTree) -> WorkloadPreview {
        let noted = self.noted.take();
        let times = || noted.iter().map(|noted| noted.request.arrive.0);
        let (first, last) = (times().min().unwrap_or(0), times().max().unwrap_or(0));
        let mut clients = core::mem::take(&mut self.clients);
        let mut num_sessions = 0;
        for noted in &noted {
            num_sessions = num_sessions.max(noted.detail.session.map_or(0, |session| u64::from(session) + 1));
            if let Some(client) = clients.get_mut(noted.detail.client as usize) {
                client.num_requests += 1;
                client.mean_input_tokens += f64::from(noted.request.input_tokens);
                client.mean_output_tokens += f64::from(noted.request.output_tokens);
            }
        }
        for client in &mut clients {
            let count = client.num_requests.max(1) as f64;
            client.mean_input_tokens /= count;
            client.mean_output_tokens /= count;
        }
        let distribution = |of: fn(&Request) -> u32| {
            let mut values: Vec<u64> = noted.iter().map(|noted| u64::from(of(&noted.request))).collect();
            Distribution::of(&mut values, NUM_BARS)
        };
        WorkloadPreview {
            num_requests: noted.len() as u64,
            span_s: SimTime(last - first).as_seconds(),
            asked_rate: self.asked_rate,
            is_closed_loop,
            input_tokens: distribution(|request| request.input_tokens),
            output_tokens: distribution(|request| request.output_tokens),
            arrivals: bins(times(), first, last),
            clients,
            num_sessions,
            prefix: shared(noted.iter().map(|noted| &noted.request), prefixes),
        }
    }
}

/// Arrivals from `first` to `last`, microseconds.
fn bins(times: impl Iterator<Item = i64>, first: i64, last: i64) -> ArrivalBins {
    let span = last.saturating_sub(first).max(0) as u64;
    let num_bins = if span == 0 { 1 } else { NUM_BINS };
    let mut counts = alloc::vec![0; num_bins as usize];
    for time in times {
        let since = time.saturating_sub(first).max(0) as u64;
        // The last arrival belongs to the last bin, not to one of its own.
        let bin = (u128::from(since) * u128::from(num_bins) / u128::from(span.max(1))).min(u128::from(num_bins - 1));
        counts[bin as usize] += 1;
    }
    let seconds = |micros: i64| SimTime(micros).as_seconds();
    ArrivalBins { width_s: seconds(last - first) / num_bins as f64, counts, start_s: seconds(first) }
}

/// How much of the prompts an earlier prompt began with.
fn shared<'a>(requests: impl Iterator<Item = &'a Request>, prefixes: &PrefixTree) -> PrefixPreview {
    let mut has_come = alloc::vec![false; prefixes.len()];
    let mut found = PrefixPreview::default();
    for request in requests {
        found.input_tokens += u64::from(request.input_tokens);
        if request.prefix == PrefixId::NONE {
            continue;
        }
        found.num_requests += 1;
        let mut node = request.prefix;
        while node != PrefixId::NONE {
            match has_come.get_mut(node.0 as usize) {
                Some(known) if !*known => *known = true,
                _ => break,
            }
            found.num_prefixes += u64::from(node == request.prefix);
            node = prefixes.parent(node);
        }
        found.repeated_tokens += u64::from(prefixes.tokens(node).min(request.input_tokens));
    }
    found
}

/// A request with what is known of its client.
#[derive(Clone, Copy)]
struct Noted {
    request: Request,
    detail: RequestDetail,
}

/// A source that keeps what it gives out.
struct NotingSource {
    requests: Source,
    noted: Rc<RefCell<Vec<Noted>>>,
}

impl RequestSource for NotingSource {
    fn next_request(&mut self) -> Option<Request> {
        let request = self.requests.next_request()?;
        let detail = self.requests.details().get(request.id as usize).copied().unwrap_or_default();
        self.noted.borrow_mut().push(Noted { request, detail });
        Some(request)
    }

    fn prefixes(&self) -> &PrefixTree {
        self.requests.prefixes()
    }

    fn is_closed_loop(&self) -> bool {
        self.requests.is_closed_loop()
    }

    fn next_arrival(&self) -> Option<SimTime> {
        self.requests.next_arrival()
    }

    fn settled(&mut self, outcome: &Outcome) {
        self.requests.settled(outcome);
    }
}

/// Nobody listens: only what was offered counts.
struct Unheard;

impl Observer for Unheard {
    fn settled(&mut self, _record: &RequestRecord) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;
    use crate::scenario::{
        ArrivalSettings, ClientSettings, ClosedLoopSettings, LengthSettings, PrefixSettings, WorkloadSettings,
    };

    fn scenario(change: impl FnOnce(&mut WorkloadSettings)) -> ResolvedScenario {
        let mut workload = WorkloadSettings {
            arrival: ArrivalSettings::Constant,
            input_tokens: LengthSettings::Constant { value: 100 },
            output_tokens: LengthSettings::Constant { value: 20 },
            ..WorkloadSettings::default()
        };
        change(&mut workload);
        fixtures::scenario([1000.0, 10.0, 5.0], [100.0, 1.0, 100.0], workload)
    }

    fn preview(scenario: &ResolvedScenario, rate: Option<f64>, num_requests: u32) -> WorkloadPreview {
        let mut run = PreviewRun::new(scenario, None, rate, num_requests);
        loop {
            if let Some(preview) = run.run_for(7) {
                return preview;
            }
        }
    }

    #[test]
    fn constant_arrivals_fill_every_bin_alike() {
        let found = preview(&scenario(|_| {}), Some(10.0), 601);
        assert_eq!((found.num_requests, found.asked_rate, found.is_closed_loop), (601, Some(10.0), false));
        // 600 gaps of 0.1 s in 60 bins of a second; the last arrival falls into the last bin.
        assert!((found.span_s - 60.0).abs() < 0.01 && (found.arrivals.width_s - 1.0).abs() < 0.001);
        assert_eq!(found.arrivals.counts.len(), 60);
        assert_eq!(found.arrivals.counts.iter().sum::<u64>(), 601);
        assert!(found.arrivals.counts.iter().all(|count| (9..=11).contains(count)), "{:?}", found.arrivals.counts);
        assert_eq!((found.input_tokens.mean, found.output_tokens.percentiles), (100.0, [20.0; 3]));
        assert!(found.clients.is_empty());
    }

    #[test]
    fn a_prefix_saves_its_tokens_from_the_second_prompt_on() {
        let scenario = scenario(|workload| {
            workload.prefix = PrefixSettings { tokens: 60, groups: 1, ..PrefixSettings::default() }
        });
        let found = preview(&scenario, Some(1.0), 5).prefix;
        let expected =
            PrefixPreview { num_requests: 5, num_prefixes: 1, repeated_tokens: 4 * 60, input_tokens: 5 * 160 };
        assert_eq!(found, expected);
    }

    #[test]
    fn clients_are_told_apart_by_name() {
        let scenario = scenario(|workload| {
            let client = |id: &str, rate_fraction: f64, value: u32| ClientSettings {
                id: id.into(),
                rate_fraction,
                arrival: ArrivalSettings::Constant,
                input_tokens: LengthSettings::Constant { value },
                ..ClientSettings::default()
            };
            workload.clients = alloc::vec![client("many", 0.75, 10), client("few", 0.25, 1000)];
        });
        let found = preview(&scenario, Some(4.0), 400);
        let counts: Vec<u64> = found.clients.iter().map(|client| client.num_requests).collect();
        assert!((299..=301).contains(&counts[0]) && counts[0] + counts[1] == 400, "{counts:?}");
        assert_eq!((found.clients[0].id.as_str(), found.clients[1].mean_input_tokens), ("many", 1000.0));
    }

    #[test]
    fn users_who_wait_are_simulated_and_ask_no_rate() {
        let users = ClosedLoopSettings { concurrency: 3, think_time_us: 0 };
        let found = preview(&scenario(|workload| workload.closed_loop = Some(users)), None, 30);
        assert_eq!((found.num_requests, found.asked_rate, found.is_closed_loop), (30, None, true));
        assert!(found.span_s > 0.0);
    }
}
