//! What the oracle knows of a request.

use super::store::Holding;
use crate::observation::{Fate, RequestRecord};
use crate::time::SimTime;
use crate::workload::Request;
use alloc::vec::Vec;

/// A request from its arrival until its fate is settled (scheduler specification A2).
#[derive(Debug)]
pub(super) struct Live {
    pub request: Request,
    /// Answer tokens it will get (`n`).
    pub answer_tokens: u32,
    /// Order of arrival in the queue.
    pub order: u64,
    pub answers: u32,
    pub computed: u32,
    pub promised: u32,
    pub in_flight: u32,
    pub stale: u32,
    /// Tokens known at its last admission: until these are computed it works on a prompt.
    pub target: u32,
    pub holding: Holding,
    pub is_enqueued: bool,
    pub is_running: bool,
    pub was_preempted: bool,
    /// Its last token is on its way.
    pub is_finishing: bool,
    pub is_settled: bool,
    /// End of the steps of its first and of its latest token so far.
    pub first_end: Option<i64>,
    pub last_end: i64,
    pub scheduling_delay: Option<i64>,
    pub gaps: Vec<i64>,
}

impl Live {
    pub fn new(request: Request) -> Self {
        Self {
            request,
            answer_tokens: 0,
            order: 0,
            answers: 0,
            computed: 0,
            promised: 0,
            in_flight: 0,
            stale: 0,
            target: 0,
            holding: Holding::default(),
            is_enqueued: false,
            is_running: false,
            was_preempted: false,
            is_finishing: false,
            is_settled: false,
            first_end: None,
            last_end: 0,
            scheduling_delay: None,
            gaps: Vec::new(),
        }
    }

    /// Tokens whose content is known.
    pub fn known(&self) -> u32 {
        self.request.input_tokens + self.answers
    }

    /// Whether it works on tokens that were known at its admission.
    pub fn is_in_prompt(&self) -> bool {
        self.computed < self.target
    }

    pub fn ttft(&self, output_overhead: i64) -> Option<SimTime> {
        self.first_end.map(|end| SimTime(end + output_overhead - self.request.arrive.0))
    }

    pub fn record(&self, fate: Fate, now: i64, output_overhead: i64) -> RequestRecord {
        RequestRecord {
            ttft: self.ttft(output_overhead),
            scheduling_delay: self.scheduling_delay.map(SimTime),
            ..RequestRecord::unserved(self.request, fate, SimTime(now))
        }
    }

    /// Of a request whose last token came with the step that ended now.
    pub fn completed_record(&self, now: i64, output_overhead: i64, final_overhead: i64) -> RequestRecord {
        let wanted = self.request.output_tokens.max(1);
        let fate = if self.answer_tokens < wanted { Fate::LengthCapped } else { Fate::Completed };
        let gap_sum: i64 = self.gaps.iter().sum();
        RequestRecord {
            e2e: self.ttft(output_overhead).map(|ttft| SimTime(ttft.0 + gap_sum + final_overhead)),
            gap_sum: SimTime(gap_sum),
            num_gaps: self.gaps.len() as u32,
            produced_tokens: self.answers.min(self.request.output_tokens),
            ..self.record(fate, now, output_overhead)
        }
    }
}
