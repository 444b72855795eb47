//! The waiting list, with its front where it can be reached.

use super::slots::{Phase, Slots};
use crate::scenario::QueueOrder;
use alloc::collections::VecDeque;

/// Waiting requests in order; requests that timed out leave a gravestone that is skipped when it comes to the front.
#[derive(Debug)]
pub(super) struct Queue {
    order: QueueOrder,
    slots: VecDeque<u32>,
    len: u32,
}

impl Queue {
    pub(super) fn new(order: QueueOrder) -> Self {
        Self { order, slots: VecDeque::new(), len: 0 }
    }

    #[inline]
    pub(super) fn len(&self) -> u32 {
        self.len
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// A new request, or with `is_victim` a preempted one.
    pub(super) fn push(&mut self, slot: u32, is_victim: bool, slots: &Slots) {
        self.len += 1;
        if self.order == QueueOrder::Priority {
            let key = slots.get(slot).rank();
            let at = self.slots.partition_point(|other| slots.get(*other).rank() < key);
            self.slots.insert(at, slot);
        } else if is_victim {
            self.slots.push_front(slot);
        } else {
            self.slots.push_back(slot);
        }
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
}
