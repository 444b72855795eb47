//! How requests leave the batch: finished, preempted, given up.

use super::Fast;
use super::slots::Phase;
use crate::numeric::sort_by_key;
use crate::observation::{Event, Fate, Observer, ReplicaTotals, RequestRecord};
use crate::time::SimTime;
use crate::workload::PrefixTree;
use alloc::vec::Vec;
use core::cmp::Reverse;

impl Fast {
    /// Processes the output that is due before the call at `now` (scheduler specification D, E).
    #[inline]
    pub(super) fn process<O: Observer>(&mut self, now: i64, prefixes: &PrefixTree, observer: &mut O) {
        if self.lag > 0 && !self.rejoining.is_empty() {
            self.catch_up_missed(prefixes);
        }
        if !self.leaving[0].is_empty() {
            self.process_finished(now, prefixes, observer);
        }
        if self.lag > 0 && !self.leaving[1].is_empty() {
            self.leaving.swap(0, 1);
        }
    }

    /// What missed the last step has no token on its way any more: all it has computed has a key (D3).
    #[cold]
    fn catch_up_missed(&mut self, prefixes: &PrefixTree) {
        let mut missed = core::mem::take(&mut self.rejoining);
        sort_by_key(&mut missed, |slot| [self.slots.get(*slot).admission as i64, 0]);
        for slot in &missed {
            let pos = self.slots.get(*slot).decode_pos(self.tick);
            self.slots.get_mut(*slot).anchor = pos;
            if self.lives.is_some() {
                self.publish_grouped(*slot, pos, prefixes);
            } else {
                self.publish(*slot, pos, prefixes);
            }
        }
        self.rejoining = missed;
    }

    /// Those who have their last token now leave, in batch order.
    #[inline(never)]
    fn process_finished<O: Observer>(&mut self, now: i64, prefixes: &PrefixTree, observer: &mut O) {
        let mut leaving = core::mem::take(&mut self.leaving[0]);
        if observer.wants_plans() {
            // The names are gone once their slots are free.
            self.plans.finished(leaving.iter().map(|slot| self.slots.get(*slot).request.id));
        }
        leaving.iter().for_each(|slot| self.complete(*slot, now, prefixes, observer));
        leaving.clear();
        self.leaving[0] = leaving;
    }

    fn complete<O: Observer>(&mut self, slot: u32, now: i64, prefixes: &PrefixTree, observer: &mut O) {
        let entry = self.slots.get(slot);
        let identity = entry.identity(prefixes);
        if entry.phase == Phase::Ghost {
            self.num_ghosts -= 1;
        } else {
            self.num_leaving -= 1;
            self.slots.dismiss(slot);
            if self.lives.is_none() {
                let entry = self.slots.get_mut(slot);
                self.pool.publish(identity, &mut entry.holding, prefixes, entry.pos);
            }
        }
        // A ghost holds nothing but perhaps a name.
        self.release_for_good(slot, self.slots.get(slot).pos, prefixes);
        let entry = self.slots.get(slot);
        let request = entry.request;
        let num_gaps = entry.answer_tokens - 1;
        let gap_sum =
            entry.last_end - entry.first_end.unwrap_or(entry.last_end) + i64::from(num_gaps) * self.output_overhead;
        let is_capped = entry.answer_tokens < request.output_tokens.max(1);
        let final_overhead = if request.output_tokens > 0 { self.final_overhead } else { 0 };
        let fate = if is_capped { Fate::LengthCapped } else { Fate::Completed };
        let plain = entry.record(fate, now, self.output_overhead);
        let record = RequestRecord {
            e2e: plain.ttft.map(|ttft| SimTime(ttft.0 + gap_sum + final_overhead)),
            gap_sum: SimTime(gap_sum),
            num_gaps,
            produced_tokens: entry.answer_tokens.min(request.output_tokens),
            ..plain
        };
        self.gaps.completed(request.arrive.0, &entry.participation);
        self.totals.completed += 1;
        let answer = request.arrive.0 + record.e2e.map_or(0, |e2e| e2e.0);
        self.totals.last_answer = self.totals.last_answer.max(SimTime(answer));
        self.totals.length_capped += u64::from(is_capped);
        self.totals.output_tokens += u64::from(record.produced_tokens);
        self.slots.remove(slot);
        if observer.wants_events() {
            observer.event(&Event::Complete { time: SimTime(now), id: request.id });
        }
        observer.settled(&record);
    }

    /// Returns everything a request holds, with keys up to `published` tokens, for good.
    fn release_for_good(&mut self, slot: u32, published: u32, prefixes: &PrefixTree) {
        if self.lives.is_some() {
            self.release_grouped(slot, published, false, prefixes);
            return;
        }
        let entry = self.slots.get_mut(slot);
        let identity = entry.identity(prefixes);
        self.pool.release_for_good(identity, &mut entry.holding, prefixes, published);
    }

    /// Whoever gets its last token with the step that ends at `end` stops decoding; its client will see it then.
    #[inline]
    pub(super) fn settle_finished(&mut self, end: i64) {
        if self.finished.is_empty() {
            return;
        }
        let mut finished = core::mem::take(&mut self.finished);
        if finished.len() > 1 {
            finished.sort_unstable();
        }
        let (tick, size, index) = (self.tick, self.config.block_size, self.gaps.next_index());
        for (_, slot) in finished.drain(..) {
            let entry = self.slots.get_mut(slot);
            let pos = entry.decode_pos(tick);
            entry.phase = Phase::Leaving;
            entry.pos = pos;
            entry.last_end = end;
            entry.participation.leave(index);
            entry.holding.set_blocks(pos.div_ceil(size));
            self.num_decoding -= 1;
            self.num_leaving += 1;
            self.pos_sum -= u64::from(pos);
            let (id, tokens, has_output) = (entry.request.id, entry.answer_tokens, entry.request.output_tokens > 0);
            // The client waits for what it sees, overheads included.
            let final_overhead = if has_output { self.final_overhead } else { 0 };
            let seen = end + i64::from(tokens) * self.output_overhead + final_overhead;
            self.tell_outcome(id, seen, Some(tokens - 1));
            self.leaving[self.lag as usize].push(slot);
        }
        self.finished = finished;
        if self.gaps.wants_trim() {
            let live = self.slots.all().iter().filter(|slot| !matches!(slot.phase, Phase::Gone));
            let oldest = live.map(|slot| slot.participation.first()).min().unwrap_or(u64::MAX);
            self.gaps.trim(oldest.min(self.gaps.next_index()));
        }
    }

    /// A request leaves the batch without having finished; its blocks are still held, and so many of its tokens have a
    /// key.
    fn leave_batch(&mut self, slot: u32, now: i64) -> u32 {
        let (tick, size) = (self.tick, self.config.block_size);
        let entry = self.slots.get(slot);
        match entry.phase {
            Phase::Prefill => {
                self.prefilling.retain(|other| *other != slot);
                self.slots.dismiss(slot);
                self.slots.get(slot).pos
            }
            Phase::Leaving => {
                self.num_leaving -= 1;
                self.slots.dismiss(slot);
                self.published(slot, self.slots.get(slot).pos)
            }
            _ => {
                let pos = entry.decode_pos(tick);
                // Where the call that is being made has served it, it has a block for its next token too.
                let is_served = entry.served == self.calls;
                let (held, published) = if is_served {
                    (pos + 1, self.published_with(slot, pos))
                } else {
                    (pos, self.published(slot, pos))
                };
                self.forget_finish(slot);
                let last_end = self.end_of_last_step(now) - self.apart_time;
                let index = self.gaps.next_index();
                let entry = self.slots.get_mut(slot);
                entry.holding.set_blocks(held.div_ceil(size));
                if !core::mem::take(&mut entry.is_rejoining) {
                    entry.last_end = last_end;
                    entry.participation.leave(index);
                }
                entry.pos = pos;
                self.num_decoding -= 1;
                self.pos_sum -= u64::from(pos);
                self.rejoining.retain(|other| *other != slot);
                self.slots.dismiss(slot);
                published
            }
        }
    }

    /// Scheduler specification C3.
    pub(super) fn preempt<O: Observer>(&mut self, victim: u32, now: i64, prefixes: &PrefixTree, observer: &mut O) {
        let published = self.leave_batch(victim, now);
        let entry = self.slots.get_mut(victim);
        self.totals.preemptions += 1;
        if observer.wants_events() {
            observer.event(&Event::Preempt { time: SimTime(now), id: entry.request.id });
        }
        if entry.phase == Phase::Leaving {
            self.release_for_good(victim, published, prefixes);
            // What it held is back; nothing is left to be returned when its last token comes.
            let entry = self.slots.get_mut(victim);
            (entry.phase, entry.pos) = (Phase::Ghost, 0);
            self.num_ghosts += 1;
            return;
        }
        if entry.phase == Phase::Decode {
            // The token after the last position is known, or is once the running step has ended.
            entry.answers_before = entry.pos + 1 - entry.request.input_tokens;
        }
        let most = entry.request.input_tokens + entry.answer_tokens;
        if self.lives.is_some() {
            self.release_grouped(victim, published, true, prefixes);
        } else {
            let identity = entry.identity(prefixes);
            self.pool.release_for_later(identity, &mut entry.holding, prefixes, [published, most]);
        }
        let entry = self.slots.get_mut(victim);
        entry.phase = Phase::Waiting;
        entry.was_preempted = true;
        self.queue.push(victim, true, &self.slots);
    }

    /// A deadline passes (engine specification 6).
    pub(super) fn time_out<O: Observer>(&mut self, now: i64, prefixes: &PrefixTree, observer: &mut O) {
        let Some(Reverse((_, _, slot, _))) = self.deadlines.pop() else { return };
        self.totals.timed_out += 1;
        let is_waiting = self.slots.get(slot).phase == Phase::Waiting;
        // Between calls the last planned step is under way, and tokens of it are not known yet.
        let published = if is_waiting { 0 } else { self.leave_batch(slot, now) };
        if is_waiting {
            self.queue.bury();
        }
        self.release_for_good(slot, published, prefixes);
        let entry = self.slots.get_mut(slot);
        self.gaps.take_back(&mut entry.participation);
        let record = entry.record(Fate::TimedOut, now, self.output_overhead);
        if is_waiting {
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
    }

    /// Settles the requests that are left and gives the totals.
    pub(in crate::engine) fn finish<O: Observer>(mut self, observer: &mut O) -> ReplicaTotals {
        // Whoever sent these knows that they did not get here before the end.
        for (slot, _) in core::mem::take(&mut self.inbox) {
            self.slots.get_mut(slot).phase = Phase::Gone;
        }
        let mut left: Vec<RequestRecord> = Vec::new();
        for at in 0..self.slots.all().len() {
            let slot = self.slots.get_mut(at as u32);
            let fate = match slot.phase {
                Phase::Arriving => Fate::InPipeline,
                Phase::Waiting | Phase::Ghost => Fate::StillQueued,
                Phase::Prefill | Phase::Decode | Phase::Leaving => Fate::StillRunning,
                Phase::Gone => continue,
            };
            left.push(slot.record(fate, self.clock, self.output_overhead));
            self.gaps.take_back(&mut slot.participation);
        }
        self.totals.still_queued = u64::from(self.num_waiting());
        self.totals.still_running = u64::from(self.num_running());
        sort_by_key(&mut left, |record| [record.request.id.into(), 0]);
        // Arrivals are events too: the last one counts for the end of a run that the horizon cuts.
        let end = self.clock.max(self.last_arrival);
        for record in &mut left {
            record.settled_at = SimTime(end);
            observer.settled(record);
        }
        let mut totals = self.totals;
        [totals.cache_hits, totals.cache_misses] = [self.pool.claimed, self.pool.taken];
        totals.end = SimTime(end).min(self.config.horizon);
        if let Some(marks) = &self.marks {
            self.gaps.take_back_before(marks.start);
            marks.restrict(&mut totals, &mut self.work);
        }
        totals.gaps = self.gaps.into_counts();
        totals.time_shares = self.latency.time_shares(&self.work, totals.busy);
        totals
    }
}
