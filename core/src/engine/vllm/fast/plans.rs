//! What the calls decided, written down for those who want to know.

use super::slots::{Phase, Slots};
use crate::latency::StepItem;
use crate::observation::{Observer, Plan, Scheduled};
use crate::time::SimTime;

/// The plan of the call that is being made.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    plan: Plan,
}

impl Recorder {
    /// These have finished since the last call.
    pub(super) fn finished(&mut self, ids: impl Iterator<Item = u32>) {
        self.plan.finished_before.extend(ids);
    }

    /// Output is processed, and so many blocks are free.
    pub(super) fn processed(&mut self, free_blocks: u32) {
        self.plan.free_before = free_blocks;
    }

    /// All who decode and all prompts that this call has served, with an item each, are served, as far as wanted.
    pub(super) fn all(
        &mut self,
        slots: &Slots,
        [tick, call]: [u64; 2],
        items: &[StepItem],
        [decodes, prompts]: [bool; 2],
    ) {
        let mut items = items.iter();
        for (_, slot) in slots.running() {
            let id = slot.request.id;
            match slot.phase {
                Phase::Decode if decodes => {
                    self.plan.scheduled.push(Scheduled { id, tokens: 1, computed: slot.decode_pos(tick) });
                }
                Phase::Prefill if prompts && slot.served == call => self
                    .plan
                    .scheduled
                    .extend(items.next().map(|item| Scheduled { id, tokens: item.tokens, computed: item.pos })),
                _ => {}
            }
        }
    }

    /// These are served: slot, tokens, position.
    pub(super) fn served(&mut self, slots: &Slots, served: &[(u32, u32, u32)]) {
        let scheduled = served.iter().map(|(slot, tokens, pos)| Scheduled {
            id: slots.get(*slot).request.id,
            tokens: *tokens,
            computed: *pos,
        });
        self.plan.scheduled.extend(scheduled);
    }

    /// These lose their places.
    pub(super) fn preempted(&mut self, ids: &[u32]) {
        self.plan.preempted.extend_from_slice(ids);
    }

    /// This one gets a place, with so many cached tokens and a chunk behind.
    pub(super) fn admitted(&mut self, id: u32, is_resumed: bool, [cached, tokens]: [u32; 2]) {
        let list = if is_resumed { &mut self.plan.resumed } else { &mut self.plan.admitted };
        list.push((id, cached));
        self.plan.scheduled.push(Scheduled { id, tokens, computed: cached });
    }

    /// The call is made; lengths of the two lists, free and used blocks.
    pub(super) fn tell<O: Observer>(&mut self, call: u64, now: i64, counts: [u32; 4], observer: &mut O) {
        let [running, waiting, free_blocks, used_blocks] = counts;
        let plan = core::mem::take(&mut self.plan);
        observer.planned(&Plan { call, time: SimTime(now), running, waiting, free_blocks, used_blocks, ..plan });
    }
}
