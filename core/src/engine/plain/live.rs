//! What the oracle knows of a request.

use super::block_store::Holding;
use crate::observation::{Fate, RequestRecord};
use crate::time::SimTime;
use crate::workload::Request;
use alloc::vec::Vec;

/// A request from its arrival until its fate is settled.
#[derive(Debug)]
pub(super) struct Live {
    pub request: Request,
    pub answer_limit: u32,
    pub pos: u32,
    /// Tokens in the current step (`k`).
    pub tokens: u32,
    /// Position after the step of its admission, while that step lasts.
    pub target: Option<u32>,
    pub is_running: bool,
    pub is_enqueued: bool,
    pub is_settled: bool,
    pub has_first_token: bool,
    pub ttft: Option<i64>,
    pub scheduling_delay: Option<i64>,
    pub gaps: Vec<i64>,
    /// Time of steps of others' prompts alone since its last token.
    pub apart_time: i64,
    pub holding: Holding,
}

impl Live {
    pub fn new(request: Request) -> Self {
        Self {
            request,
            answer_limit: request.answer_limit,
            pos: 0,
            tokens: 0,
            target: None,
            is_running: false,
            is_enqueued: false,
            is_settled: false,
            has_first_token: false,
            ttft: None,
            scheduling_delay: None,
            gaps: Vec::new(),
            apart_time: 0,
            holding: Holding::default(),
        }
    }

    /// Output tokens it holds at the moment.
    pub fn produced(&self) -> u64 {
        self.gaps.len() as u64 + u64::from(self.has_first_token && self.request.output_tokens > 0)
    }

    pub fn record(&self, fate: Fate, now: i64) -> RequestRecord {
        RequestRecord {
            ttft: self.ttft.map(SimTime),
            scheduling_delay: self.scheduling_delay.map(SimTime),
            ..RequestRecord::unserved(self.request, fate, SimTime(now))
        }
    }

    pub fn completed_record(&self, fate: Fate, now: i64, final_overhead: i64) -> RequestRecord {
        let steps = self.pos - self.request.input_tokens;
        let gap_sum: i64 = self.gaps.iter().sum();
        RequestRecord {
            e2e: self.ttft.map(|ttft| SimTime(ttft + gap_sum + final_overhead)),
            gap_sum: SimTime(gap_sum),
            num_gaps: self.gaps.len() as u32,
            produced_tokens: steps + u32::from(steps < self.request.output_tokens),
            ..self.record(fate, now)
        }
    }
}
