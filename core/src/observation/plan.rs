//! What the scheduler of a replica decides, call by call, under vLLM's rules.

use crate::time::SimTime;
use alloc::vec::Vec;

/// One call of the scheduler (scheduler specification C), which may plan nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// Number of the call, from 0; calls of an idle engine are not made.
    pub call: u64,
    /// When it was made.
    pub time: SimTime,
    /// Who had the last token in the output that was processed before, in order.
    pub finished_before: Vec<u32>,
    /// Free blocks after that.
    pub free_before: u32,
    /// Who takes part in the step, in batch order.
    pub scheduled: Vec<Scheduled>,
    /// Who gets into the batch for the first time: the request and how many tokens were cached.
    pub admitted: Vec<(u32, u32)>,
    /// Who comes back after a preemption: the request and how many tokens were cached.
    pub resumed: Vec<(u32, u32)>,
    /// Who loses its place, in order.
    pub preempted: Vec<u32>,
    /// Length of the running list afterwards.
    pub running: u32,
    /// Length of the waiting list afterwards.
    pub waiting: u32,
    /// Free blocks afterwards.
    pub free_blocks: u32,
    /// Used blocks afterwards.
    pub used_blocks: u32,
}

/// One request's part in a planned step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scheduled {
    /// Which request.
    pub id: u32,
    /// Tokens it gets.
    pub tokens: u32,
    /// Tokens computed before.
    pub computed: u32,
}
