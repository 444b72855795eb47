//! Several kinds of clients at once: single requests, conversations, users who wait (workload specification 3 to 5).

use super::arrivals::Gaps;
use super::kind::{Kind, Modalities, names};
use super::session::{Session, Turn};
use super::{Outcome, PrefixId, PrefixTree, Request, RequestSource};
use crate::random::{Purpose, Seed, Stream};
use crate::scenario::WorkloadSettings;
use crate::time::SimTime;
use alloc::collections::binary_heap::PeekMut;
use alloc::collections::{BTreeMap, BinaryHeap};
use alloc::string::String;
use alloc::vec::Vec;
use core::cmp::Reverse;

/// Merges the requests of all clients by arrival; at equal ticks the earlier client comes first.
///
/// # Determinism
/// Every client and every session has random numbers of its own, so what one does changes nothing about another, and
/// the lengths of a conversation do not depend on how fast it is served.
///
/// # Cost
/// Logarithmic in the number of clients per request. Memory: the clients, the sessions under way, and eight bytes for
/// every segment of an accumulating conversation.
#[derive(Debug, Clone)]
pub struct Mix {
    kinds: Vec<Kind>,
    clients: Vec<Client>,
    /// The next arrival of each client that has one.
    heads: BinaryHeap<Reverse<(i64, u32)>>,
    /// Turns whose arrival is known, besides those.
    turns: BinaryHeap<Reverse<Turn>>,
    sessions: Vec<Session>,
    free: Vec<u32>,
    /// The session of each request whose outcome decides what comes next.
    in_flight: BTreeMap<u32, u32>,
    prefixes: PrefixTree,
    classes: Vec<String>,
    tenants: Vec<String>,
    seed: Seed,
    next: u32,
    num_requests: u32,
    num_sessions: u32,
    horizon: i64,
    is_closed_loop: bool,
    details: Option<Vec<RequestDetail>>,
}

/// What a request is, beyond what the simulation needs.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct RequestDetail {
    /// Position of its client among the workload's clients.
    pub client: u32,
    /// Which of the client's copies sent it.
    pub copy: u32,
    /// Its session, if it is part of one; numbered over the whole run.
    pub session: Option<u32>,
    /// Its turn in the session, from 0.
    pub round: u32,
    /// Text, image, audio and video tokens of a multimodal prompt.
    pub modalities: Modalities,
    /// Share of the output that is reasoning, 0–1.
    pub reason_ratio: f64,
}

/// One client.
#[derive(Debug, Clone)]
struct Client {
    kind: u32,
    copy: u32,
    gaps: Gaps,
    clock: i64,
    /// Its first window that has not ended.
    window: usize,
    input: Stream,
    output: Stream,
    reasons: Stream,
    num_sessions: u32,
}

/// Where a request comes from.
struct Origin {
    client: u32,
    session: Option<u32>,
    round: u32,
    modalities: Modalities,
}

impl Mix {
    /// The clients of a workload at `request_rate` per second, `num_requests` in all; none arrives at or after
    /// `horizon`, and no turn follows after it.
    ///
    /// A workload without clients is one client of its own.
    #[must_use]
    pub fn new(
        settings: &WorkloadSettings,
        request_rate: f64,
        num_requests: u32,
        seed: u64,
        replicate: u32,
        horizon: SimTime,
    ) -> Self {
        let seed = Seed { seed, replicate };
        let mut prefixes = PrefixTree::new();
        let (classes, tenants) = names(settings);
        let kinds = Kind::all(settings, request_rate, seed, &classes, &tenants, &mut prefixes);
        let mut mix = Self {
            is_closed_loop: kinds.iter().any(Kind::is_closed_loop),
            kinds,
            clients: Vec::new(),
            heads: BinaryHeap::new(),
            turns: BinaryHeap::new(),
            sessions: Vec::new(),
            free: Vec::new(),
            in_flight: BTreeMap::new(),
            prefixes,
            classes,
            tenants,
            seed,
            next: 0,
            num_requests,
            num_sessions: 0,
            horizon: horizon.0,
            details: None,
        };
        for kind in 0..mix.kinds.len() as u32 {
            mix.enroll(kind);
        }
        mix
    }

    /// The same, keeping what each request is.
    #[must_use]
    pub fn with_details(mut self) -> Self {
        self.details = Some(Vec::new());
        self
    }

    /// What each request given out so far is, by id; empty unless asked for.
    #[must_use]
    pub fn details(&self) -> &[RequestDetail] {
        self.details.as_deref().unwrap_or_default()
    }

    /// Names of the SLO classes by index; entry 0 is the unnamed class.
    #[must_use]
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// Names of the tenants by index; entry 0 is the unnamed tenant.
    #[must_use]
    pub fn tenants(&self) -> &[String] {
        &self.tenants
    }

    /// Adds the clients of a kind.
    fn enroll(&mut self, kind: u32) {
        let Kind { population, arrival, lambda, users, .. } = self.kinds[kind as usize];
        for copy in 0..population {
            let at = self.clients.len() as u32;
            let stream = |purpose| Stream::of_part(self.seed, purpose, u64::from(at));
            self.clients.push(Client {
                kind,
                copy,
                gaps: Gaps::new(&arrival, lambda, stream(Purpose::Arrivals)),
                clock: 0,
                window: 0,
                input: stream(Purpose::InputLengths),
                output: stream(Purpose::OutputLengths),
                reasons: stream(Purpose::ReasonRatio),
                num_sessions: 0,
            });
            let Some(users) = users else {
                if let Some(arrive) = self.advance(at) {
                    self.heads.push(Reverse((arrive, at)));
                }
                continue;
            };
            for user in 0..users.concurrency {
                let spread = u128::from(users.think_time_us) * u128::from(user) / u128::from(users.concurrency);
                let start = i64::try_from(spread).unwrap_or(i64::MAX);
                if let Some(start) = self.kinds[kind as usize].next_active(start).filter(|start| *start < self.horizon)
                {
                    let slot = self.open_session(at);
                    self.schedule(slot, start);
                }
            }
        }
    }

    /// The next arrival of a client, if there is one.
    #[inline]
    fn advance(&mut self, at: u32) -> Option<i64> {
        let client = &mut self.clients[at as usize];
        let windows = &self.kinds[client.kind as usize].active;
        let mut arrive = client.clock.saturating_add(client.gaps.next());
        while arrive < self.horizon {
            while windows.get(client.window).is_some_and(|(_, end)| *end <= arrive) {
                client.window += 1;
            }
            match windows.get(client.window) {
                None if !windows.is_empty() => return None,
                Some((start, _)) if *start > arrive => arrive = client.gaps.next_behind(arrive, start - 1),
                _ => {
                    client.clock = arrive;
                    return Some(arrive);
                }
            }
        }
        None
    }

    /// Begins a session of a client; gives its slot.
    fn open_session(&mut self, client: u32) -> u32 {
        let owner = &mut self.clients[client as usize];
        let number = owner.num_sessions;
        owner.num_sessions += 1;
        // Parts of clients are below 2³²; those of their sessions are above.
        let part = (u64::from(client) + 1) << 32 | u64::from(number);
        let (prefix, prefix_tokens) = self.kinds[owner.kind as usize].prefix.next(&mut self.prefixes);
        let id = self.num_sessions;
        self.num_sessions += 1;
        let session = Session {
            client,
            number,
            id,
            round: 0,
            arrive: 0,
            context: prefix,
            context_tokens: prefix_tokens,
            prompt: prefix,
            planned: 0,
            input: Stream::of_part(self.seed, Purpose::InputLengths, part),
            output: Stream::of_part(self.seed, Purpose::OutputLengths, part),
        };
        match self.free.pop() {
            Some(slot) => {
                self.sessions[slot as usize] = session;
                slot
            }
            None => {
                self.sessions.push(session);
                self.sessions.len() as u32 - 1
            }
        }
    }

    /// Lets a session's next turn arrive at `time`.
    fn schedule(&mut self, slot: u32, time: i64) {
        let session = &mut self.sessions[slot as usize];
        session.arrive = time;
        self.turns.push(Reverse(Turn { time, client: session.client, session: session.number, slot }));
    }

    /// The request of a session's turn; plans the turn after it.
    fn turn(&mut self, slot: u32) -> Request {
        let session = &mut self.sessions[slot as usize];
        let owner = &mut self.clients[session.client as usize];
        let kind = &self.kinds[owner.kind as usize];
        let (fresh, modalities) = kind.input.draw(&mut session.input);
        let output_tokens = kind.output.draw(&mut session.output);
        let input_tokens = session.context_tokens.saturating_add(fresh).max(1);
        let goes_on = kind.goes_on(session.round + 1);
        let (mut prefix, mut output_prefix) = (session.context, PrefixId::NONE);
        if goes_on && kind.shares_output() {
            // The prompt, and the answer as far as the next prompt will hold it, are shared with that prompt.
            let answer = if kind.is_closed_loop() { output_tokens.saturating_sub(1) } else { output_tokens };
            prefix = self.prefixes.extend(session.context, input_tokens - session.context_tokens);
            session.prompt = prefix;
            session.context = prefix;
            if answer > 0 {
                output_prefix = self.prefixes.extend(prefix, answer);
                session.context = output_prefix;
            }
            session.planned = answer;
            session.context_tokens = input_tokens.saturating_add(answer);
        }
        let origin = Origin {
            client: session.client,
            session: kind.users.is_none().then_some(session.id),
            round: session.round,
            modalities,
        };
        let arrive = session.arrive;
        session.round += 1;
        let is_closed_loop = kind.is_closed_loop();
        let request = self.request(&origin, arrive, [input_tokens, output_tokens], [prefix, output_prefix]);
        if !goes_on {
            self.free.push(slot);
        } else if is_closed_loop {
            self.in_flight.insert(request.id, slot);
        } else {
            self.plan(slot, arrive, output_tokens);
        }
        request
    }

    /// Lets the next turn of an open-loop session arrive that is neither too late nor outside the client's windows.
    fn plan(&mut self, slot: u32, mut arrive: i64, mut output_tokens: u32) {
        loop {
            let session = &mut self.sessions[slot as usize];
            let kind = &self.kinds[self.clients[session.client as usize].kind as usize];
            // The answer takes as many microseconds as it has tokens (workload specification 5).
            arrive = arrive.saturating_add(kind.think_time).saturating_add(i64::from(output_tokens));
            if arrive >= self.horizon || !kind.goes_on(session.round) {
                self.free.push(slot);
                return;
            }
            if kind.is_active(arrive) {
                self.schedule(slot, arrive);
                return;
            }
            // A turn that is left out is part of the conversation all the same.
            let (fresh, _) = kind.input.draw(&mut session.input);
            output_tokens = kind.output.draw(&mut session.output);
            session.round += 1;
            if kind.shares_output() {
                let said = fresh.saturating_add(output_tokens);
                session.context = self.prefixes.extend(session.context, said);
                session.context_tokens = session.context_tokens.saturating_add(said);
            }
        }
    }

    #[inline]
    fn request(
        &mut self,
        origin: &Origin,
        arrive: i64,
        [input_tokens, output_tokens]: [u32; 2],
        [prefix, output_prefix]: [PrefixId; 2],
    ) -> Request {
        let client = &mut self.clients[origin.client as usize];
        let kind = &self.kinds[client.kind as usize];
        let id = self.next;
        self.next += 1;
        if let Some(details) = &mut self.details {
            let percentage = kind.reason_ratio.as_ref().map_or(0, |law| law.draw(&mut client.reasons));
            details.push(RequestDetail {
                client: client.kind,
                copy: client.copy,
                session: origin.session,
                round: origin.round,
                modalities: origin.modalities,
                reason_ratio: f64::from(percentage.min(100)) / 100.0,
            });
        }
        Request {
            id,
            arrive: SimTime(arrive),
            input_tokens,
            output_tokens,
            answer_limit: output_tokens,
            front_end_us: 0,
            deadline: SimTime(if kind.timeout > 0 { arrive.saturating_add(kind.timeout) } else { 0 }),
            prefix,
            output_prefix,
            slo_class: kind.slo_class,
            tenant: kind.tenant,
            priority: kind.priority,
        }
    }

    /// The earliest turn if it comes before every head, otherwise the client whose head comes first.
    #[inline]
    fn first(&self) -> Option<First> {
        let head = self.heads.peek().map(|Reverse(head)| *head);
        if let Some(Reverse(turn)) = self.turns.peek()
            && head.is_none_or(|head| (turn.time, turn.client) <= head)
        {
            return Some(First::Turn(*turn));
        }
        head.map(|(time, client)| First::Head(time, client))
    }
}

/// What arrives next.
enum First {
    Turn(Turn),
    Head(i64, u32),
}

impl RequestSource for Mix {
    #[inline]
    fn next_request(&mut self) -> Option<Request> {
        if self.next >= self.num_requests {
            return None;
        }
        let (arrive, at) = match self.first()? {
            First::Turn(turn) => {
                self.turns.pop();
                return Some(self.turn(turn.slot));
            }
            First::Head(arrive, at) => (arrive, at),
        };
        let session = self.kinds[self.clients[at as usize].kind as usize].session;
        let next = if session.is_some_and(|session| session.is_single) { None } else { self.advance(at) };
        match (next, self.heads.peek_mut()) {
            (Some(next), Some(mut head)) => *head = Reverse((next, at)),
            (None, Some(head)) => {
                PeekMut::pop(head);
            }
            (_, None) => {}
        }
        if session.is_some() {
            let slot = self.open_session(at);
            self.sessions[slot as usize].arrive = arrive;
            return Some(self.turn(slot));
        }
        let client = &mut self.clients[at as usize];
        let kind = &mut self.kinds[client.kind as usize];
        let (prefix, prefix_tokens) = kind.prefix.next(&mut self.prefixes);
        let (fresh, modalities) = kind.input.draw(&mut client.input);
        let output_tokens = kind.output.draw(&mut client.output);
        // Weights may name a length of 0, but nobody sends an empty prompt.
        let input_tokens = fresh.saturating_add(prefix_tokens).max(1);
        let origin = Origin { client: at, session: None, round: 0, modalities };
        Some(self.request(&origin, arrive, [input_tokens, output_tokens], [prefix, PrefixId::NONE]))
    }

    fn prefixes(&self) -> &PrefixTree {
        &self.prefixes
    }

    #[inline]
    fn is_closed_loop(&self) -> bool {
        self.is_closed_loop
    }

    fn next_arrival(&self) -> Option<SimTime> {
        if self.next >= self.num_requests {
            return None;
        }
        self.first().map(|first| match first {
            First::Turn(turn) => SimTime(turn.time),
            First::Head(time, _) => SimTime(time),
        })
    }

    fn settled(&mut self, outcome: &Outcome) {
        let Some(slot) = self.in_flight.remove(&outcome.id) else { return };
        let session = &mut self.sessions[slot as usize];
        let kind = &self.kinds[self.clients[session.client as usize].kind as usize];
        let Some(produced) = outcome.context_tokens else {
            // Whoever gave up or was turned away does not come back (workload specification 5).
            self.free.push(slot);
            return;
        };
        if kind.shares_output() && produced != session.planned {
            // An answer cut short: what the next prompt holds of it ends elsewhere.
            session.context_tokens = self.prefixes.tokens(session.prompt).saturating_add(produced);
            session.context =
                if produced > 0 { self.prefixes.extend(session.prompt, produced) } else { session.prompt };
        }
        let time = outcome.end.0.saturating_add(kind.think_time);
        let time = if kind.users.is_some() { kind.next_active(time) } else { Some(time) };
        match time.filter(|time| *time <= self.horizon) {
            Some(time) => self.schedule(slot, time),
            None => self.free.push(slot),
        }
    }
}

#[cfg(test)]
mod tests;
