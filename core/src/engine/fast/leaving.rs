//! How requests leave the batch: finished, preempted, given up.

use super::Fast;
use super::slots::Phase;
use crate::observation::{Event, Fate, Observer, RequestRecord};
use crate::time::SimTime;
use crate::workload::{PrefixTree, Request};
use core::cmp::Reverse;

impl Fast {
    /// Engine specification 5.4 for the finished requests of the step `[now, now + duration)`, and 5.5.
    pub(super) fn complete<O: Observer>(&mut self, now: i64, duration: i64, prefixes: &PrefixTree, observer: &mut O) {
        if !self.finished.is_empty() {
            let mut finished = core::mem::take(&mut self.finished);
            if finished.len() > 1 {
                finished.sort_unstable();
            }
            for (_, slot) in finished.drain(..) {
                self.complete_one(slot, now, duration, prefixes, observer);
            }
            self.finished = finished;
        }
        self.next_step = (self.num_running() > 0 || self.num_waiting() > 0).then_some(now + duration);
        if self.gaps.wants_trim() {
            let starts = self.slots.running().filter(|(_, slot)| slot.phase == Phase::Decode);
            let oldest = starts.map(|(_, slot)| slot.participation.first()).min().unwrap_or(self.gaps.next_index());
            self.gaps.trim(oldest);
        }
    }

    #[inline(never)]
    fn complete_one<O: Observer>(
        &mut self,
        slot: u32,
        now: i64,
        duration: i64,
        prefixes: &PrefixTree,
        observer: &mut O,
    ) {
        let tick = self.tick;
        let entry = self.slots.get_mut(slot);
        let Request { input_tokens, output_tokens, .. } = entry.request;
        let pos = entry.decode_pos(tick);
        let steps = pos - input_tokens;
        let is_done = pos >= input_tokens + output_tokens.max(1) - 1;
        let wants_last = is_done && output_tokens > 0;
        let admission = entry.admission;
        if let Some(tiered) = &mut self.tiered {
            let at = [self.growth_at as u32, pos];
            let fails = wants_last && !tiered.store_last(slot, at, &self.slots, prefixes);
            self.totals.kv_allocation_failures += u64::from(fails);
            tiered.release(slot, admission, &self.slots.get(slot).request, true);
        } else {
            self.release_pooled(slot, pos, wants_last, prefixes);
        }
        let entry = self.slots.get_mut(slot);

        let end = now + duration;
        let gap_sum = end - entry.first_token_end - entry.missed_time + i64::from(steps) * self.output_overhead;
        let gap_sum = if steps == 0 { 0 } else { gap_sum };
        let final_overhead = if output_tokens > 0 { self.final_overhead } else { 0 };
        let fate = if is_done { Fate::Completed } else { Fate::LengthCapped };
        let record = RequestRecord {
            request: entry.request,
            fate,
            replica: 0,
            ttft: entry.ttft.map(SimTime),
            scheduling_delay: entry.scheduling_delay.map(SimTime),
            e2e: entry.ttft.map(|ttft| SimTime(ttft + gap_sum + final_overhead)),
            gap_sum: SimTime(gap_sum),
            num_gaps: steps,
            produced_tokens: steps + u32::from(steps < output_tokens),
            settled_at: SimTime(now),
        };
        self.gaps.completed(entry.request.arrive.0, &entry.participation);
        self.totals.completed += 1;
        self.totals.length_capped += u64::from(!is_done);
        self.totals.output_tokens += u64::from(record.produced_tokens);
        self.tell_outcome(record.request.id, end, Some(steps));
        if end <= self.config.horizon.0 {
            self.clock = self.clock.max(end);
        }
        self.num_decoding -= 1;
        self.pos_sum -= u64::from(pos);
        self.slots.dismiss(slot);
        self.slots.remove(slot);
        if observer.wants_events() {
            observer.event(&Event::Complete { time: SimTime(now), id: record.request.id });
        }
        observer.settled(&record);
    }

    /// Returns the blocks of a request that has finished at `pos`, from the pool.
    fn release_pooled(&mut self, slot: u32, pos: u32, wants_last: bool, prefixes: &PrefixTree) {
        let size = self.config.block_size;
        let entry = self.slots.get_mut(slot);
        let held = pos - entry.base;
        let mut blocks = held.div_ceil(size);
        if wants_last && held.is_multiple_of(size) {
            // Room for the last token, which nobody will read (engine specification 5.4, remark).
            if self.pool.free() > 0 {
                self.pool.take_many(1);
                blocks += 1;
            } else {
                self.totals.kv_allocation_failures += 1;
            }
        }
        entry.holding.set_blocks(blocks);
        if wants_last && (held + 1).is_multiple_of(size) {
            self.fill_last(slot, held + 1, prefixes);
        }
        let entry = self.slots.get_mut(slot);
        let prompt = entry.prompt();
        self.pool.release_for_good(prompt, &mut entry.holding, prefixes);
    }

    /// A request leaves the batch without having finished; its blocks are still held.
    pub(super) fn leave_batch(&mut self, slot: u32) {
        let (tick, size) = (self.tick, self.config.block_size);
        let entry = self.slots.get(slot);
        if entry.phase == Phase::Prefill {
            self.prefilling.retain(|other| *other != slot);
            self.slots.dismiss(slot);
            return;
        }
        let pos = entry.decode_pos(tick);
        self.produced -= u64::from(pos - entry.request.input_tokens) + u64::from(entry.request.output_tokens > 0);
        self.forget_finish(slot);
        let entry = self.slots.get_mut(slot);
        entry.holding.set_blocks((pos - entry.base).div_ceil(size));
        self.num_decoding -= 1;
        self.pos_sum -= u64::from(pos);
        self.gaps.take_back(&mut entry.participation);
        self.joined.retain(|other| *other != slot);
        self.slots.dismiss(slot);
    }

    /// Engine specification 6.
    pub(super) fn time_out<O: Observer>(&mut self, now: i64, prefixes: &PrefixTree, observer: &mut O) {
        let Some(Reverse((_, _, slot, _))) = self.deadlines.pop() else { return };
        self.totals.timed_out += 1;
        let phase = self.slots.get(slot).phase;
        let is_late = self.late.contains(&slot);
        if is_late {
            self.late.retain(|other| *other != slot);
        } else if phase == Phase::Waiting {
            self.queue.bury();
        } else {
            let produced = self.produced;
            self.leave_batch(slot);
            // Unlike a preempted one, its tokens were delivered.
            self.produced = produced;
        }
        let entry = self.slots.get_mut(slot);
        if let Some(tiered) = &mut self.tiered {
            tiered.release(slot, entry.admission, &entry.request, true);
        } else {
            let prompt = entry.prompt();
            self.pool.release_for_good(prompt, &mut entry.holding, prefixes);
        }
        let record = entry.record(Fate::TimedOut, now);
        if phase == Phase::Waiting && !is_late {
            entry.phase = Phase::Gone;
            entry.serial = u32::MAX;
        } else {
            self.slots.remove(slot);
        }
        self.tell_outcome(record.request.id, now, None);
        if observer.wants_events() {
            observer.event(&Event::Timeout { time: SimTime(now), id: record.request.id });
        }
        observer.settled(&record);
        if self.num_running() == 0 && self.next_step.is_none() && !self.queue.is_empty() {
            self.next_step = Some(now);
        }
    }
}
