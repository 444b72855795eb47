//! The plain facts a simulation emits; everything reported is computed from these.
//!
//! An engine knows nothing of metrics. It tells an [`Observer`] about each request once, when the request's
//! fate is settled, and hands over its [`ReplicaTotals`] at the end.

mod decision;
mod plan;

pub use decision::{AdmissionDecision, AdmissionReason, Candidate, RoutingDecision, RoutingReason};
pub use plan::{Plan, Scheduled};

use crate::latency::TimeShares;
use crate::time::SimTime;
use crate::workload::Request;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// How a request's life ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fate {
    /// All output tokens were produced.
    Completed,
    /// It reached `max_model_len` before its last output token.
    LengthCapped,
    /// Its deadline passed first.
    TimedOut,
    /// It could never fit and was dropped when it was enqueued.
    Dropped,
    /// Still waiting when the run ended.
    StillQueued,
    /// Still running when the run ended.
    StillRunning,
    /// On its way (not yet enqueued) when the run ended.
    InPipeline,
    /// Refused by the admission policy.
    Rejected,
}

/// Everything known about one request once its fate is settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestRecord {
    /// The request as it was offered.
    pub request: Request,
    /// How it ended.
    pub fate: Fate,
    /// Which replica had it; 0 if it never reached one.
    pub replica: u32,
    /// Arrival to the end of the step that finished the prompt (the last time it did, under vLLM's rules the first), if it
    /// ever did.
    pub ttft: Option<SimTime>,
    /// Arrival to the step of its last admission, if it was ever admitted; under vLLM's rules to the call that admitted
    /// it first.
    pub scheduling_delay: Option<SimTime>,
    /// Arrival to last token as reported; completed and length-capped requests only.
    pub e2e: Option<SimTime>,
    /// Sum of its inter-token gaps; zero unless completed or length-capped.
    pub gap_sum: SimTime,
    /// Number of its inter-token gaps; zero unless completed or length-capped.
    pub num_gaps: u32,
    /// Output tokens counted for it (`n` for a completed request).
    pub produced_tokens: u32,
    /// Start tick of the step that settled its fate (its true end lies one step later), or the tick of the timeout; under
    /// vLLM's rules the end of its last step.
    pub settled_at: SimTime,
}

impl RequestRecord {
    /// A request whose fate is settled before it has been given anything.
    #[inline]
    #[must_use]
    pub fn unserved(request: Request, fate: Fate, settled_at: SimTime) -> Self {
        Self {
            request,
            fate,
            replica: 0,
            ttft: None,
            scheduling_delay: None,
            e2e: None,
            gap_sum: SimTime::ZERO,
            num_gaps: 0,
            produced_tokens: 0,
            settled_at,
        }
    }
}

/// One moment of the queue, taken when a request is enqueued.
///
/// In a cluster the numbers are sums over the replicas, each as it was when a request was last enqueued there, with that
/// request in its batch already unless others waited before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QueueSample {
    /// When.
    pub time: SimTime,
    /// Requests waiting, the new one included.
    pub waiting: u32,
    /// Requests in the running batch.
    pub running: u32,
    /// KV blocks in use.
    pub used_blocks: u32,
    /// Output tokens produced in steps started so far.
    pub output_tokens: u64,
}

/// Listens to a simulation. All methods may be no-ops; none can influence the run.
pub trait Observer {
    /// A request's fate is settled; called exactly once per offered request.
    ///
    /// Requests of one replica come in order of time, those of different replicas in no particular order.
    fn settled(&mut self, record: &RequestRecord);

    /// A request was enqueued (or dropped at the door); in order of time.
    fn enqueued(&mut self, _sample: &QueueSample) {}

    /// The same moment, of the replica alone; only in a cluster of several.
    fn enqueued_at(&mut self, _replica: u32, _sample: &QueueSample) {}

    /// A request was admitted or refused; only told by a simulation that traces its decisions.
    fn admission(&mut self, _decision: &AdmissionDecision) {}

    /// A request was routed; only told by a simulation that traces its decisions.
    fn routing(&mut self, _decision: &RoutingDecision) {}

    /// A line for the debug log; only called if [`Observer::wants_events`] says yes.
    fn event(&mut self, _event: &Event) {}

    /// The events that follow are those of this replica; only called if [`Observer::wants_events`] says yes.
    fn turn_to(&mut self, _replica: u32) {}

    /// What a call of the scheduler decided, under vLLM's rules; only called if [`Observer::wants_plans`] says yes.
    fn planned(&mut self, _plan: &Plan) {}

    /// Whether [`Observer::planned`] should be called; constant over a run.
    #[inline]
    fn wants_plans(&self) -> bool {
        false
    }

    /// Whether [`Observer::event`] should be called; constant over a run.
    #[inline]
    fn wants_events(&self) -> bool {
        false
    }
}

/// One event of a run, as the debug log prints it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A request was refused by the admission policy.
    Reject {
        /// When.
        time: SimTime,
        /// Which request.
        id: u32,
    },
    /// A request was sent to a replica, in a cluster of several.
    Route {
        /// When.
        time: SimTime,
        /// Which request.
        id: u32,
        /// Which replica.
        replica: u32,
    },
    /// A request reached the replica.
    Arrive {
        /// When.
        time: SimTime,
        /// Which request.
        id: u32,
    },
    /// A request joined the queue.
    Enqueue {
        /// When.
        time: SimTime,
        /// Which request.
        id: u32,
    },
    /// A request was dropped at the door.
    Drop {
        /// When.
        time: SimTime,
        /// Which request.
        id: u32,
    },
    /// A request was admitted to the batch.
    Admit {
        /// When.
        time: SimTime,
        /// Which request.
        id: u32,
        /// Prompt tokens found in the prefix cache.
        cached_tokens: u32,
    },
    /// A request lost its place and starts again.
    Preempt {
        /// When.
        time: SimTime,
        /// Which request.
        id: u32,
    },
    /// One or several equal steps were executed.
    Step {
        /// Start of the first; under vLLM's rules the call that planned it.
        time: SimTime,
        /// How many.
        steps: u64,
        /// Start of the first to end of the last.
        duration: SimTime,
        /// Batch size.
        running: u32,
        /// Queue length.
        waiting: u32,
        /// KV blocks in use in the first and in the last of them.
        used_blocks: [u32; 2],
    },
    /// A prompt was finished.
    FirstToken {
        /// End of the step.
        time: SimTime,
        /// Which request.
        id: u32,
    },
    /// A request completed.
    Complete {
        /// Start of its last step.
        time: SimTime,
        /// Which request.
        id: u32,
    },
    /// A deadline passed.
    Timeout {
        /// When.
        time: SimTime,
        /// Which request.
        id: u32,
    },
}

/// Why admission stopped in a step while somebody waited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LimiterCounts {
    /// Steps executed.
    pub steps: u64,
    /// Steps after whose admission nobody waited.
    pub none: u64,
    /// Steps in which `max_num_seqs` stopped admission.
    pub max_num_seqs: u64,
    /// Steps in which `max_num_batched_tokens` stopped admission.
    pub max_num_batched_tokens: u64,
    /// Steps in which KV blocks stopped admission (a preemption in the same step included).
    pub kv_blocks: u64,
}

impl LimiterCounts {
    /// The steps after those of `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            steps: self.steps - earlier.steps,
            none: self.none - earlier.none,
            max_num_seqs: self.max_num_seqs - earlier.max_num_seqs,
            max_num_batched_tokens: self.max_num_batched_tokens - earlier.max_num_batched_tokens,
            kv_blocks: self.kv_blocks - earlier.kv_blocks,
        }
    }
}

/// Use of the prefix cache in tokens, as vLLM counts it (scheduler specification C6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PrefixCacheCounts {
    /// Tokens of requests when they were admitted for the first time.
    pub queried_tokens: u64,
    /// How many of these were cached.
    pub hit_tokens: u64,
    /// Tokens of requests when they came back after a preemption.
    pub resumed_queried_tokens: u64,
    /// How many of these were cached.
    pub resumed_hit_tokens: u64,
}

impl PrefixCacheCounts {
    /// An admission of so many tokens, of which so many were cached.
    #[inline]
    pub(crate) fn count(&mut self, is_resumed: bool, queried: u32, hit: u32) {
        let (queried_sum, hit_sum) = if is_resumed {
            (&mut self.resumed_queried_tokens, &mut self.resumed_hit_tokens)
        } else {
            (&mut self.queried_tokens, &mut self.hit_tokens)
        };
        *queried_sum += u64::from(queried);
        *hit_sum += u64::from(hit);
    }

    /// The counts after those of `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            queried_tokens: self.queried_tokens - earlier.queried_tokens,
            hit_tokens: self.hit_tokens - earlier.hit_tokens,
            resumed_queried_tokens: self.resumed_queried_tokens - earlier.resumed_queried_tokens,
            resumed_hit_tokens: self.resumed_hit_tokens - earlier.resumed_hit_tokens,
        }
    }
}

/// What one replica counted over a run, or some of it over a part ([`crate::cluster::Simulation::finish_from`]).
///
/// Integers unless a definition needs doubles, so that sums do not depend on the order of addition.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ReplicaTotals {
    /// Requests that completed, length-capped ones included.
    pub completed: u64,
    /// Requests dropped at the door.
    pub dropped: u64,
    /// Requests whose deadline passed.
    pub timed_out: u64,
    /// Requests cut by `max_model_len`.
    pub length_capped: u64,
    /// Waiting at the end.
    pub still_queued: u64,
    /// Running at the end.
    pub still_running: u64,
    /// Preemptions (one request may count several times).
    pub preemptions: u64,
    /// Last-token allocations that failed (engine specification 5.4).
    pub kv_allocation_failures: u64,
    /// Input tokens, counted at enqueue.
    pub input_tokens: u64,
    /// Output tokens of completed requests.
    pub output_tokens: u64,
    /// Gaps of completed requests: value in microseconds and how many, by ascending value.
    pub gaps: Vec<(i64, u64)>,
    /// Steps executed.
    pub steps: u64,
    /// Sum over steps of the queue length.
    pub waiting_sum: u64,
    /// Sum over steps of the batch size.
    pub running_sum: u64,
    /// Sum over steps of used blocks × duration, block-microseconds.
    pub kv_integral: u128,
    /// Highest number of used blocks at a step.
    pub kv_peak: u64,
    /// Blocks claimed through the prefix cache.
    pub cache_hits: u64,
    /// Blocks taken from the free list.
    pub cache_misses: u64,
    /// The prefix cache as vLLM counts it; zero under the reference's rules.
    pub prefix_cache: PrefixCacheCounts,
    /// CPU-tier entries stored.
    pub tier_mirrored: u64,
    /// CPU-tier entries evicted.
    pub tier_evicted: u64,
    /// Failed reloads from the CPU tier.
    pub tier_misses: u64,
    /// Sum of step durations, microseconds.
    pub busy: u64,
    /// Tick of the last executed event, not beyond the horizon.
    pub end: SimTime,
    /// When the last client had its answer, under vLLM's rules; zero under those of the reference, whose runs end with
    /// the server's last event.
    pub last_answer: SimTime,
    /// Length of the part of a run that steps are counted in, microseconds; 0 where that is the whole run.
    pub span: u64,
    /// Why admission stopped, per step.
    pub limiters: LimiterCounts,
    /// Busy time by the terms of the latency model.
    pub time_shares: TimeShares,
    /// Runs of steps executed at once, by length: windows of at least eight steps, and evictions inside a window.
    /// Zero in step mode; not part of any report.
    pub jumps: JumpCounts,
}

impl ReplicaTotals {
    /// How long the run took, as rates are told of it: until the server was done and, under vLLM's rules, every client had
    /// its answer.
    ///
    /// Overheads that only clients see come behind the server's last event; a rate that left them out would break
    /// Little's law where users wait.
    #[must_use]
    pub fn duration(&self) -> SimTime {
        self.end.max(self.last_answer)
    }

    /// Share of the prefix cache's lookups that hit, 0–1: of tokens at first admissions, as vLLM counts them; under the
    /// reference's rules of blocks.
    #[must_use]
    pub fn prefix_hit_ratio(&self) -> f64 {
        let PrefixCacheCounts { queried_tokens, hit_tokens, .. } = self.prefix_cache;
        let (hits, lookups) = if queried_tokens > 0 {
            (hit_tokens, queried_tokens)
        } else {
            (self.cache_hits, self.cache_hits + self.cache_misses + self.tier_misses)
        };
        if lookups > 0 { hits as f64 / lookups as f64 } else { 0.0 }
    }

    /// Adds another replica's counts: sums, and the larger peak and end.
    ///
    /// The counts of replicas can be added in any order but for `time_shares`, which are doubles.
    pub fn add(&mut self, other: &Self) {
        for (ours, theirs) in [
            (&mut self.completed, other.completed),
            (&mut self.dropped, other.dropped),
            (&mut self.timed_out, other.timed_out),
            (&mut self.length_capped, other.length_capped),
            (&mut self.still_queued, other.still_queued),
            (&mut self.still_running, other.still_running),
            (&mut self.preemptions, other.preemptions),
            (&mut self.kv_allocation_failures, other.kv_allocation_failures),
            (&mut self.input_tokens, other.input_tokens),
            (&mut self.output_tokens, other.output_tokens),
            (&mut self.steps, other.steps),
            (&mut self.waiting_sum, other.waiting_sum),
            (&mut self.running_sum, other.running_sum),
            (&mut self.cache_hits, other.cache_hits),
            (&mut self.cache_misses, other.cache_misses),
            (&mut self.prefix_cache.queried_tokens, other.prefix_cache.queried_tokens),
            (&mut self.prefix_cache.hit_tokens, other.prefix_cache.hit_tokens),
            (&mut self.prefix_cache.resumed_queried_tokens, other.prefix_cache.resumed_queried_tokens),
            (&mut self.prefix_cache.resumed_hit_tokens, other.prefix_cache.resumed_hit_tokens),
            (&mut self.tier_mirrored, other.tier_mirrored),
            (&mut self.tier_evicted, other.tier_evicted),
            (&mut self.tier_misses, other.tier_misses),
            (&mut self.busy, other.busy),
            (&mut self.span, other.span),
            (&mut self.limiters.steps, other.limiters.steps),
            (&mut self.limiters.none, other.limiters.none),
            (&mut self.limiters.max_num_seqs, other.limiters.max_num_seqs),
            (&mut self.limiters.max_num_batched_tokens, other.limiters.max_num_batched_tokens),
            (&mut self.limiters.kv_blocks, other.limiters.kv_blocks),
            (&mut self.jumps.windows, other.jumps.windows),
            (&mut self.jumps.long_windows, other.jumps.long_windows),
            (&mut self.jumps.evicting_windows, other.jumps.evicting_windows),
            (&mut self.jumps.filling_windows, other.jumps.filling_windows),
            (&mut self.jumps.doubtful_fills, other.jumps.doubtful_fills),
        ] {
            *ours += theirs;
        }
        self.kv_integral += other.kv_integral;
        self.kv_peak = self.kv_peak.max(other.kv_peak);
        self.end = self.end.max(other.end);
        self.last_answer = self.last_answer.max(other.last_answer);
        for (ours, theirs) in self.time_shares.iter_mut().zip(&other.time_shares) {
            *ours += theirs;
        }
        self.gaps.extend_from_slice(&other.gaps);
        crate::numeric::sort_by_key(&mut self.gaps, |(value, _)| [*value, 0]);
        self.gaps.dedup_by(|next, kept| {
            let is_same = next.0 == kept.0;
            kept.1 += if is_same { next.1 } else { 0 };
            is_same
        });
    }
}

/// How much of a run was fast-forwarded; for coverage checks only, never reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct JumpCounts {
    /// Windows of at least two steps.
    pub windows: u64,
    /// Windows of at least eight steps.
    pub long_windows: u64,
    /// Windows in which a cached block was evicted.
    pub evicting_windows: u64,
    /// Windows of at least two steps whose last one filled a block that may come back in a prompt.
    pub filling_windows: u64,
    /// Steps that were walked because such a block has a key that another one carries.
    pub doubtful_fills: u64,
}
