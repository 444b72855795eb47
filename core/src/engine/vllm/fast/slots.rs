//! The requests alive in a replica and the order of the running list.
//!
//! Slots are reused; the running list is a linked list through them.
//! It is always in order of admission, because requests join at its end and leave from anywhere.

use super::pool::{Holding, Identity};
pub(super) use crate::engine::due::NONE;
use crate::engine::gaps::Participation;
use crate::observation::{Fate, RequestRecord};
use crate::time::SimTime;
use crate::workload::{PrefixId, PrefixTree, Request};
use alloc::vec::Vec;

/// Where a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// On its way into the queue.
    Arriving,
    /// In the queue.
    Waiting,
    /// In the batch, with tokens to compute that were known at its admission.
    Prefill,
    /// In the batch, a token a step.
    Decode,
    /// In the running list until the output of the step with its last token is processed.
    Leaving,
    /// Preempted while its last token was on its way: it stands in the waiting list until that is processed.
    Ghost,
    /// Timed out while waiting; its place in the queue is a gravestone.
    Gone,
}

/// One request from its enqueueing until its fate is settled.
#[derive(Debug, Clone)]
pub(super) struct Slot {
    pub request: Request,
    pub phase: Phase,
    /// Tells this request from others that used the slot.
    pub serial: u32,
    /// Answer tokens it will get.
    pub answer_tokens: u32,
    /// Order of arrival in the queue.
    pub order: u64,
    /// Order of admission, the order of the running list.
    pub admission: u64,
    pub previous: u32,
    pub next: u32,
    /// Answer tokens it had at its last admission.
    pub answers_before: u32,
    /// Tokens known at its last admission: until these are computed it works on a prompt.
    pub target: u32,
    /// Tokens computed; meaningful while in [`Phase::Prefill`], and of the last position once it leaves.
    pub pos: u32,
    /// Position at which all computed tokens were known when its last step was planned: behind it, asynchronously, the
    /// block of the last token has no key yet.
    pub anchor: u32,
    /// Decode tick at which its first decode step begins, moved on by each step it misses.
    pub start: u64,
    /// Decode tick at which it has produced everything.
    pub finish: u64,
    /// Residue, modulo the block size, of the decode ticks at which it takes a block.
    pub growth: u32,
    /// End of the step of its first token, if it has one.
    pub first_end: Option<i64>,
    /// End of the step of its latest token; meaningful once it has missed a step since, or was preempted.
    pub last_end: i64,
    pub scheduling_delay: Option<i64>,
    pub was_preempted: bool,
    /// It decodes, but took no part in the last step.
    pub is_rejoining: bool,
    /// Call that served it last, where a call is walked.
    pub served: u64,
    /// The decode steps it took part in.
    pub participation: Participation,
    pub holding: Holding,
    /// Whether decode steps fill blocks for it that may be asked for.
    pub is_filling: bool,
}

impl Slot {
    fn new(request: Request, serial: u32) -> Self {
        Self {
            request,
            phase: Phase::Arriving,
            serial,
            answer_tokens: 0,
            order: 0,
            admission: 0,
            previous: NONE,
            next: NONE,
            answers_before: 0,
            target: 0,
            pos: 0,
            anchor: 0,
            start: 0,
            finish: 0,
            growth: 0,
            first_end: None,
            last_end: 0,
            scheduling_delay: None,
            was_preempted: false,
            is_rejoining: false,
            served: 0,
            participation: Participation::new(),
            holding: Holding::default(),
            is_filling: false,
        }
    }

    /// Which of its blocks others may ask for.
    #[inline]
    pub(super) fn identity(&self, tree: &PrefixTree) -> Identity {
        let Request { prefix, output_prefix, input_tokens, .. } = self.request;
        // Behind a token of the prompt that is its own, everything is.
        let goes_on = output_prefix != PrefixId::NONE && tree.tokens(prefix) >= input_tokens;
        Identity {
            prefix,
            output_prefix: if goes_on { output_prefix } else { PrefixId::NONE },
            prompt_tokens: input_tokens,
        }
    }

    /// Tokens known while it waits or works on its prompt.
    #[inline]
    pub(super) fn known(&self) -> u32 {
        self.request.input_tokens + self.answers_before
    }

    /// Order under priorities: lower ones first, then by arrival.
    #[inline]
    pub(super) fn rank(&self) -> (i32, u64) {
        (self.request.priority, self.order)
    }

    /// Position of a decoding request at decode tick `tick`.
    #[inline]
    pub(super) fn decode_pos(&self, tick: u64) -> u32 {
        self.target + (tick - self.start) as u32
    }

    /// What is known of it when its fate is settled at `now`.
    pub(super) fn record(&self, fate: Fate, now: i64, output_overhead: i64) -> RequestRecord {
        let ttft = self.first_end.map(|end| SimTime(end + output_overhead - self.request.arrive.0));
        RequestRecord {
            ttft,
            scheduling_delay: self.scheduling_delay.map(SimTime),
            ..RequestRecord::unserved(self.request, fate, SimTime(now))
        }
    }
}

/// All slots and the running list.
#[derive(Debug)]
pub(super) struct Slots {
    slots: Vec<Slot>,
    spare: Vec<u32>,
    next_serial: u32,
    next_admission: u64,
    pub first: u32,
    pub last: u32,
}

impl Slots {
    pub(super) fn new() -> Self {
        Self { slots: Vec::new(), spare: Vec::new(), next_serial: 0, next_admission: 0, first: NONE, last: NONE }
    }

    /// A slot for a request on its way into the queue.
    pub(super) fn insert(&mut self, request: Request) -> u32 {
        let serial = self.next_serial;
        self.next_serial = serial.wrapping_add(1);
        if let Some(slot) = self.spare.pop() {
            // Only what is read before it is set: copying a whole slot costs more than all the rest. What the last user
            // held was released, and the lists keep their memory.
            let entry = &mut self.slots[slot as usize];
            entry.request = request;
            entry.phase = Phase::Arriving;
            entry.serial = serial;
            entry.answers_before = 0;
            entry.first_end = None;
            entry.scheduling_delay = None;
            entry.was_preempted = false;
            entry.participation.clear();
            return slot;
        }
        self.slots.push(Slot::new(request, serial));
        self.slots.len() as u32 - 1
    }

    /// The slot may be used again.
    pub(super) fn remove(&mut self, slot: u32) {
        self.slots[slot as usize].phase = Phase::Gone;
        self.slots[slot as usize].serial = u32::MAX;
        self.spare.push(slot);
    }

    #[inline]
    pub(super) fn get(&self, slot: u32) -> &Slot {
        &self.slots[slot as usize]
    }

    #[inline]
    pub(super) fn get_mut(&mut self, slot: u32) -> &mut Slot {
        &mut self.slots[slot as usize]
    }

    /// All slots, used or not.
    pub(super) fn all(&self) -> &[Slot] {
        &self.slots
    }

    /// Appends to the running list.
    pub(super) fn admit(&mut self, slot: u32) {
        let last = self.last;
        let admission = self.next_admission;
        self.next_admission += 1;
        let entry = self.get_mut(slot);
        entry.admission = admission;
        entry.previous = last;
        entry.next = NONE;
        if last == NONE {
            self.first = slot;
        } else {
            self.get_mut(last).next = slot;
        }
        self.last = slot;
    }

    /// Removes from the running list.
    pub(super) fn dismiss(&mut self, slot: u32) {
        let Slot { previous, next, .. } = *self.get(slot);
        if previous == NONE {
            self.first = next;
        } else {
            self.get_mut(previous).next = next;
        }
        if next == NONE {
            self.last = previous;
        } else {
            self.get_mut(next).previous = previous;
        }
    }

    /// The running list, front to back.
    pub(super) fn running(&self) -> impl Iterator<Item = (u32, &Slot)> {
        let mut at = self.first;
        core::iter::from_fn(move || {
            if at == NONE {
                return None;
            }
            let slot = self.get(at);
            let found = (at, slot);
            at = slot.next;
            Some(found)
        })
    }
}
