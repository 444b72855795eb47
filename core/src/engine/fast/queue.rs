//! The waiting queue, kept in the scheduler's order.

use super::slots::{Phase, Slots};
use crate::engine::order::{self, QueueKey};
use crate::scenario::{PriorityPolicy, SchedulerPolicy};
use alloc::collections::VecDeque;
use core::cmp::Ordering;

/// Waiting requests in order; requests that timed out leave a gravestone that is skipped when it comes to the front.
#[derive(Debug)]
pub(super) struct Queue {
    scheduler: SchedulerPolicy,
    priority: PriorityPolicy,
    slots: VecDeque<u32>,
    len: usize,
}

impl Queue {
    pub(super) fn new(scheduler: SchedulerPolicy, priority: PriorityPolicy) -> Self {
        Self { scheduler, priority, slots: VecDeque::new(), len: 0 }
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// A new request, or with `is_victim` a preempted one, which `Fcfs` puts in front.
    pub(super) fn push(&mut self, slot: u32, is_victim: bool, slots: &Slots) {
        self.len += 1;
        if self.scheduler == SchedulerPolicy::Fcfs {
            if is_victim {
                self.slots.push_front(slot);
            } else {
                self.slots.push_back(slot);
            }
            return;
        }
        let key = self.key(slot, slots);
        let at = self
            .slots
            .partition_point(|other| order::compare(self.scheduler, &self.key(*other, slots), &key) == Ordering::Less);
        self.slots.insert(at, slot);
    }

    /// The first request, if there is one.
    #[inline]
    pub(super) fn front(&mut self, slots: &mut Slots) -> Option<u32> {
        while let Some(slot) = self.slots.front().copied() {
            if slots.get(slot).phase == Phase::Waiting {
                return Some(slot);
            }
            self.slots.pop_front();
            slots.remove(slot);
        }
        None
    }

    /// Removes the request that [`Queue::front`] named.
    pub(super) fn pop_front(&mut self) {
        self.slots.pop_front();
        self.len -= 1;
    }

    /// A waiting request has become a gravestone.
    pub(super) fn bury(&mut self) {
        self.len -= 1;
    }

    /// Keys that order the queue at any time: while time passes all ages grow equally, so the order of two requests
    /// never changes (engine specification 9.1, condition 5).
    fn key(&self, slot: u32, slots: &Slots) -> QueueKey {
        let request = &slots.get(slot).request;
        QueueKey {
            priority: order::priority(self.priority, request.arrive.0, 0),
            input_tokens: request.input_tokens,
            arrive: request.arrive.0,
            id: request.id,
        }
    }
}
