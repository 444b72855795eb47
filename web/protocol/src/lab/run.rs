//! One run, watched.

use plimsoll_core::report::{ReplicaSeries, TraceSummary, Verdict};
use serde::{Deserialize, Serialize};

/// Which run is made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunSpec {
    /// The scenario as JSON; a trace it names must have been read by this worker.
    pub scenario: String,
    /// Requests per second to the whole cluster; users who wait for answers have none.
    pub request_rate: f64,
    /// Requests offered; a trace may hold fewer.
    pub num_requests: u32,
    /// Seed of the run; none for the scenario's.
    pub seed: Option<u64>,
    /// Candidates told of each routing decision.
    pub num_candidates: u32,
}

/// What was seen of a run. Times are microseconds of simulated time.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunSeen {
    /// Figures of the whole run: name, value, unit.
    pub figures: Vec<Figure>,
    /// Whether the load was sustained.
    pub verdict: Option<Verdict>,
    /// Requests that the end of the run cut off: waiting, being served, or on their way.
    pub cut_off: u64,
    /// Seed it was made with.
    pub seed: u64,
    /// End of the run.
    pub end_us: i64,
    /// KV blocks of one replica.
    pub num_blocks: u32,
    /// Each replica.
    pub replicas: Vec<ReplicaSeen>,
    /// Width of the bins of the replicas' series.
    pub bin_us: i64,
    /// Every request, by arrival.
    pub requests: RequestColumns,
    /// Every decision, in the order made.
    pub decisions: DecisionColumns,
    /// What the decisions came to; none if none were told.
    pub summary: Option<TraceSummary>,
    /// Names of the SLO classes by index; entry 0 is the unnamed class.
    pub classes: Vec<String>,
}

/// A figure with its unit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Figure {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: f64,
    /// Its unit; empty for a plain number, `%` for a share from 0 to 1.
    pub unit: String,
    /// Whether it is of the requests alone that came to an end, where the end of the run cut off others.
    pub is_of_survivors: bool,
}

/// One replica of a run.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplicaSeen {
    /// Requests sent to it.
    pub routed: u64,
    /// Requests it finished.
    pub completed: u64,
    /// Times a request lost its place.
    pub preemptions: u64,
    /// Share of the run's time it was busy, 0–1.
    pub busy_ratio: f64,
    /// Highest KV usage at a step, 0–1.
    pub kv_peak: f64,
    /// Share of looked-up blocks found in the prefix cache, 0–1.
    pub hit_ratio: f64,
    /// Queue, batch and blocks over time.
    pub series: ReplicaSeries,
}

/// Requests as columns, which are a third of rows as text and are read in one go.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestColumns {
    /// Number of the request.
    pub id: Vec<u32>,
    /// Its replica; 0 if it never reached one.
    pub replica: Vec<u32>,
    /// Prompt tokens.
    pub input_tokens: Vec<u32>,
    /// Output tokens produced.
    pub output_tokens: Vec<u32>,
    /// Prompt tokens found in the prefix cache.
    pub cached_tokens: Vec<u32>,
    /// Times it lost its place.
    pub preemptions: Vec<u32>,
    /// Index of its SLO class.
    pub class: Vec<u16>,
    /// How it ended: position in [`FATES`].
    pub fate: Vec<u8>,
    /// Time to first token; −1 if there was none.
    pub ttft: Vec<i64>,
    /// End-to-end latency as reported; −1 if it did not finish.
    pub e2e: Vec<i64>,
    /// When it was over.
    pub end: Vec<i64>,
    /// Where its changes begin in the two columns below; one more than there are requests.
    pub first_change: Vec<u32>,
    /// Since when it did what [`RequestColumns::phase`] says; the first of a request is its arrival.
    pub since: Vec<i64>,
    /// What it did: position in [`PHASES`].
    pub phase: Vec<u8>,
}

/// What a request can be doing, as `RequestColumns::phase` counts.
pub const PHASES: [&str; 5] = ["on its way", "queued", "prefill", "decode", "preempted"];

/// How a request can end, as `RequestColumns::fate` counts.
pub const FATES: [&str; 8] = [
    "completed",
    "cut at the longest length",
    "timed out",
    "dropped, it could never fit",
    "still queued at the end",
    "still running at the end",
    "on its way at the end",
    "refused by admission",
];

/// Decisions as columns.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecisionColumns {
    /// When.
    pub time: Vec<i64>,
    /// Which request.
    pub id: Vec<u32>,
    /// The replica it was sent to; −1 admitted, −2 refused by admission.
    pub target: Vec<i32>,
    /// Why, in words.
    pub reason: Vec<String>,
    /// Score of the best candidate less that of the chosen one; 0 where that is not known.
    pub regret: Vec<f64>,
    /// Where its candidates begin in the columns below; one more than there are decisions.
    pub first_candidate: Vec<u32>,
    /// Replica of each candidate, best first.
    pub candidate: Vec<u32>,
    /// Its score.
    pub score: Vec<f64>,
    /// Requests that waited there, ran there, were on their way or there, as the router saw it.
    pub waiting: Vec<u32>,
    /// Requests that ran there.
    pub running: Vec<u32>,
    /// Requests routed there and not finished.
    pub in_flight: Vec<u32>,
    /// Share of its KV blocks in use, percent.
    pub kv_percent: Vec<f32>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{decode, encode};

    #[test]
    fn what_was_seen_survives_the_crossing() {
        let seen = RunSeen {
            figures: vec![Figure {
                name: "TTFT p50".into(),
                value: 0.1 + 0.2,
                unit: "ms".into(),
                is_of_survivors: true,
            }],
            cut_off: 3,
            verdict: Some(Verdict::Stable),
            end_us: (1 << 53) - 1,
            requests: RequestColumns {
                id: vec![7],
                ttft: vec![-1],
                first_change: vec![0, 0],
                ..RequestColumns::default()
            },
            decisions: DecisionColumns { target: vec![-2], kv_percent: vec![0.3], ..DecisionColumns::default() },
            ..RunSeen::default()
        };
        let text = encode(&seen).expect("writable");
        assert_eq!(decode::<RunSeen>(&text).expect("readable"), seen);
        let wrong = text.replace("\"figures\"", "\"figure\"");
        assert!(decode::<RunSeen>(&wrong).is_err(), "unknown fields are none");
    }
}
