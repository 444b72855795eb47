//! What arrives: requests, their shared prefixes, and the sources they come from.
//!
//! A request is lengths plus a place in a [`PrefixTree`]; its tokens are never materialised.

mod arrivals;
mod front_end;
mod generator;
mod kind;
mod lengths;
mod mix;
mod prefix;
mod replay;
mod session;
mod source;
mod trace;

pub use front_end::{Delayed, FrontEnd};
pub use generator::Generator;
pub use kind::Modalities;
pub use mix::{Mix, RequestDetail};
pub use prefix::{PrefixId, PrefixTree};
pub use replay::ConversationSource;
pub use source::Source;
pub use trace::{RecordedTurn, Trace, TraceSource};

use crate::time::SimTime;
use serde::{Deserialize, Serialize};

/// One prompt and its generated output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Number of the request; its text form is `request_<id>`.
    pub id: u32,
    /// When it reaches the cluster.
    pub arrive: SimTime,
    /// Prompt length in tokens, shared prefix included (`m`).
    pub input_tokens: u32,
    /// Output length in tokens (`n`), known in advance but used only to know when to stop.
    pub output_tokens: u32,
    /// The client's limit on output tokens; 0 = not given.
    pub answer_limit: u32,
    /// What it is held up between its client and the queue by others in flight, microseconds; part of its latencies.
    #[serde(default)]
    pub front_end_us: u32,
    /// Absolute tick after which the client has gone; 0 = none.
    pub deadline: SimTime,
    /// Deepest prefix that its *prompt* shares with other requests; the rest of the prompt is its own.
    pub prefix: PrefixId,
    /// Deepest prefix that prompt *and output* share with other requests' prompts, if it reaches into the output.
    pub output_prefix: PrefixId,
    /// Index of its SLO class in the workload's list; 0 = the unnamed class.
    pub slo_class: u16,
    /// Index of its tenant in the workload's list; 0 = the unnamed tenant.
    pub tenant: u16,
    /// The client's own priority, lower first; heard only under vLLM's rules with its `priority` policy.
    #[serde(default)]
    pub priority: i32,
}

impl Request {
    /// A request with nothing but an arrival and lengths; its client asks for no more than it gets.
    #[must_use]
    pub fn plain(id: u32, arrive: SimTime, input_tokens: u32, output_tokens: u32) -> Self {
        Self {
            id,
            arrive,
            input_tokens,
            output_tokens,
            answer_limit: output_tokens,
            front_end_us: 0,
            deadline: SimTime::ZERO,
            prefix: PrefixId::NONE,
            output_prefix: PrefixId::NONE,
            slo_class: 0,
            tenant: 0,
            priority: 0,
        }
    }
}

/// What a closed-loop source learns about a request when its fate is settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// Which request.
    pub id: u32,
    /// End of the step that finished it, without the overheads of its tokens; under vLLM's rules its end as its client sees
    /// it, overheads included. Otherwise the tick that settled it.
    pub end: SimTime,
    /// Output tokens in the KV cache at the end, if it finished (the last output token is never among them); none if
    /// it was refused, dropped or gave up.
    pub context_tokens: Option<u32>,
}

/// Where requests come from, in order of arrival.
///
/// An *open* source knows every arrival beforehand, and whoever drives it may take requests early.
/// In a *closed loop* arrivals depend on what became of earlier requests. Whoever drives such a source
/// - tells it every [`Outcome`] as soon as it is known, which may be before the simulated time of its end,
/// - asks [`RequestSource::next_arrival`] again after that, and
/// - takes a request only when nothing else happens before its arrival.
pub trait RequestSource {
    /// The next request, or none when the workload is exhausted. Arrival times never decrease.
    fn next_request(&mut self) -> Option<Request>;
    /// The prefixes the requests refer to; requests handed out earlier stay valid.
    fn prefixes(&self) -> &PrefixTree;
    /// Whether arrivals depend on outcomes; constant over a run.
    #[inline]
    fn is_closed_loop(&self) -> bool {
        false
    }
    /// When the next request arrives as far as is known; asked of closed-loop sources only.
    fn next_arrival(&self) -> Option<SimTime> {
        None
    }
    /// Learns what became of a request; told to closed-loop sources only. What it adds arrives after `outcome.end`.
    fn settled(&mut self, _outcome: &Outcome) {}
}
