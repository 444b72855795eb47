//! What the clients of one kind have in common.

use super::generator::PrefixChoice;
use super::lengths::Law;
use super::{PrefixId, PrefixTree};
use crate::numeric::sort_by_key;
use crate::random::{Seed, Stream};
use crate::scenario::{
    ArrivalSettings, ClientSettings, ClosedLoopSettings, ItemSettings, LengthSettings, SessionSettings,
    WorkloadSettings,
};
use crate::time::truncate;
use alloc::string::String;
use alloc::vec::Vec;

/// Patience of sessions and users where none is given (workload specification 5).
const SESSION_TIMEOUT: i64 = 300_000_000;
/// Least rate of a client, per microsecond (workload specification 3).
const LEAST_LAMBDA: f64 = 1e-15;
/// Most items of one modality in one prompt.
const MAX_ITEMS: u32 = 65_536;

/// Text, image, audio and video tokens.
pub type Modalities = [u32; 4];

#[derive(Debug, Clone)]
pub(super) struct Kind {
    /// How many clients.
    pub population: u32,
    pub arrival: ArrivalSettings,
    /// Arrivals of each client per microsecond.
    pub lambda: f64,
    pub users: Option<ClosedLoopSettings>,
    pub session: Option<SessionSettings>,
    /// From an answer to the next turn, microseconds.
    pub think_time: i64,
    pub input: Input,
    pub output: Law,
    pub prefix: Prefix,
    pub slo_class: u16,
    pub priority: i32,
    pub tenant: u16,
    /// Deadline after arrival, microseconds; 0 = none.
    pub timeout: i64,
    /// Start and end of the windows by start; empty = always active.
    pub active: Vec<(i64, i64)>,
    pub reason_ratio: Option<Law>,
}

/// Names of the SLO classes and of the tenants by index; entry 0 is the unnamed one.
pub(super) fn names(settings: &WorkloadSettings) -> (Vec<String>, Vec<String>) {
    let by_appearance = |name: fn(&ClientSettings) -> &String| {
        let mut names = alloc::vec![String::new()];
        let mut known = alloc::collections::BTreeSet::new();
        known.insert("");
        for client in &settings.clients {
            if known.insert(name(client)) {
                names.push(name(client).clone());
            }
        }
        names
    };
    (by_appearance(|client| &client.slo_class), by_appearance(|client| &client.tenant))
}

fn index_of(names: &[String], name: &str) -> u16 {
    let index = names.iter().position(|known| known == name).unwrap_or(0);
    u16::try_from(index).unwrap_or(0)
}

impl Kind {
    /// One kind for each of a workload's clients, or one for the workload itself.
    pub(super) fn all(
        settings: &WorkloadSettings,
        request_rate: f64,
        seed: Seed,
        classes: &[String],
        tenants: &[String],
        prefixes: &mut PrefixTree,
    ) -> Vec<Self> {
        if settings.clients.is_empty() {
            let alone = ClientSettings {
                closed_loop: settings.closed_loop,
                arrival: settings.arrival,
                input_tokens: settings.input_tokens.clone(),
                output_tokens: settings.output_tokens.clone(),
                ..ClientSettings::default()
            };
            let prefix = Prefix::Choice(PrefixChoice::new(&settings.prefix, seed));
            let lambda = request_rate / 1e6;
            return alloc::vec![Self { prefix, ..Self::new(&alone, settings, lambda, (0, 0)) }];
        }
        let mut groups: Vec<(&str, PrefixId, u32)> = Vec::new();
        let kind = |client: &'_ ClientSettings| {
            let sum: f64 =
                settings.clients.iter().filter(|other| takes_part(client, other)).map(|c| c.rate_fraction).sum();
            let lambda = (request_rate * client.rate_fraction / sum / 1e6).max(LEAST_LAMBDA);
            let ids = (index_of(classes, &client.slo_class), index_of(tenants, &client.tenant));
            Self::new(client, settings, lambda / f64::from(client.population.max(1)), ids)
        };
        let mut kinds: Vec<Self> = settings.clients.iter().map(kind).collect();
        for (kind, client) in kinds.iter_mut().zip(&settings.clients) {
            if client.prefix_group.is_empty() {
                continue;
            }
            let known = groups.iter().find(|(name, ..)| *name == client.prefix_group).copied();
            let (_, node, tokens) = known.unwrap_or_else(|| {
                let node = prefixes.extend(PrefixId::NONE, client.prefix_tokens);
                let group = (client.prefix_group.as_str(), node, client.prefix_tokens);
                groups.push(group);
                group
            });
            if tokens > 0 {
                kind.prefix = Prefix::Group(node, tokens);
            }
        }
        kinds
    }

    fn new(client: &ClientSettings, workload: &WorkloadSettings, lambda: f64, ids: (u16, u16)) -> Self {
        let micros = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        let waits = client.closed_loop.is_some() || client.session.is_some();
        let timeout = match (client.timeout_us, workload.timeout_s) {
            (Some(timeout), _) => micros(timeout),
            (None, Some(seconds)) => truncate(seconds * 1e6).max(0),
            (None, None) if waits => SESSION_TIMEOUT,
            (None, None) => 0,
        };
        let think_time = match (client.closed_loop, client.session) {
            (Some(users), _) => users.think_time_us,
            (None, Some(session)) => session.think_time_us,
            (None, None) => 0,
        };
        let mut active: Vec<(i64, i64)> =
            client.active.iter().map(|window| (micros(window.start_us), micros(window.end_us))).collect();
        sort_by_key(&mut active, |(start, end)| [*start, *end]);
        Self {
            population: client.population,
            arrival: client.arrival,
            lambda,
            users: client.closed_loop,
            session: client.session,
            think_time: micros(think_time),
            input: Input::new(client),
            output: Law::new(&client.output_tokens),
            prefix: Prefix::None,
            slo_class: ids.0,
            priority: client.priority,
            tenant: ids.1,
            timeout,
            active,
            reason_ratio: client.reason_ratio.as_ref().map(Law::new),
        }
    }

    /// Whether arrivals wait for answers.
    pub(super) fn is_closed_loop(&self) -> bool {
        self.users.is_some() || self.session.is_some_and(|session| session.is_closed_loop && session.max_rounds > 1)
    }

    /// Whether answers come back as parts of prompts.
    pub(super) fn shares_output(&self) -> bool {
        self.session.is_some_and(|session| session.accumulates && session.max_rounds > 1)
    }

    /// Whether a session that has made `rounds` turns makes another.
    pub(super) fn goes_on(&self, rounds: u32) -> bool {
        self.users.is_some() || self.session.is_some_and(|session| rounds < session.max_rounds)
    }

    pub(super) fn is_active(&self, time: i64) -> bool {
        self.active.is_empty() || self.active.iter().any(|(start, end)| *start <= time && time < *end)
    }

    /// The first tick from `time` on at which it is active.
    pub(super) fn next_active(&self, time: i64) -> Option<i64> {
        if self.is_active(time) {
            return Some(time);
        }
        self.active.iter().map(|(start, _)| *start).find(|start| *start > time)
    }
}

/// Whether `other` shares the rate with `client`: it has a rate, and is active at some time when `client` is.
fn takes_part(client: &ClientSettings, other: &ClientSettings) -> bool {
    if other.closed_loop.is_some() {
        return false;
    }
    client.active.is_empty()
        || other.active.is_empty()
        || client.active.iter().any(|a| other.active.iter().any(|b| a.start_us < b.end_us && b.start_us < a.end_us))
}

/// What prompts begin with.
#[derive(Debug, Clone)]
pub(super) enum Prefix {
    None,
    Group(PrefixId, u32),
    Choice(PrefixChoice),
}

impl Prefix {
    #[inline]
    pub(super) fn next(&mut self, prefixes: &mut PrefixTree) -> (PrefixId, u32) {
        match self {
            Self::None => (PrefixId::NONE, 0),
            Self::Group(node, tokens) => (*node, *tokens),
            Self::Choice(choice) => choice.next(prefixes),
        }
    }
}

/// How prompts are drawn.
#[derive(Debug, Clone)]
pub(super) enum Input {
    Text(Law),
    Parts {
        text: Option<Law>,
        /// Tokens and count of images, pieces of audio, videos.
        items: alloc::boxed::Box<[Option<(Law, Law)>; 3]>,
    },
}

impl Input {
    fn new(client: &ClientSettings) -> Self {
        let Some(parts) = &client.multimodal else { return Self::Text(Law::new(&client.input_tokens)) };
        let law = |lengths: &LengthSettings| Law::new(lengths);
        let item = |item: &Option<ItemSettings>| item.as_ref().map(|item| (law(&item.tokens), law(&item.count)));
        Self::Parts {
            text: parts.text.as_ref().map(law),
            items: alloc::boxed::Box::new([item(&parts.image), item(&parts.audio), item(&parts.video)]),
        }
    }

    /// Tokens of a prompt, and of its modalities if it has several.
    #[inline]
    pub(super) fn draw(&self, stream: &mut Stream) -> (u32, Modalities) {
        let (text, items) = match self {
            Self::Text(law) => return (law.draw(stream), Modalities::default()),
            Self::Parts { text, items } => (text, items),
        };
        let mut drawn = Modalities::default();
        drawn[0] = text.as_ref().map_or(0, |law| law.draw(stream));
        for (tokens, item) in drawn[1..].iter_mut().zip(items.iter()) {
            let Some((law, count)) = item else { continue };
            for _ in 0..count.draw(stream).min(MAX_ITEMS) {
                *tokens = tokens.saturating_add(law.draw(stream));
            }
        }
        let sum = drawn.iter().fold(0u32, |sum, tokens| sum.saturating_add(*tokens));
        (sum.max(1), drawn)
    }
}
