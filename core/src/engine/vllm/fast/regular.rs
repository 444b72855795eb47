//! Calls in which everybody gets what they should, and what all calls have in common.

use super::slots::{NONE, Phase};
use super::{Fast, Planned, Stop, limits};
use crate::latency::{MAX_STEP, StepItem};
use crate::observation::{Event, Observer};
use crate::time::SimTime;
use crate::workload::PrefixTree;
use alloc::vec::Vec;

/// How a request of the queue would begin.
#[derive(Debug, Clone, Copy)]
pub(super) struct FirstChunk {
    /// Leading blocks that are found in the cache.
    pub(super) found: u32,
    /// Blocks behind them that count as cached because it was given that they are.
    pub(super) given: u32,
    /// Tokens of both.
    pub(super) cached: u32,
    /// Tokens to compute.
    pub(super) tokens: u32,
}

impl Fast {
    /// Plans a step that serves every decoding request and every prompt; none, and nothing done, if the budget or the
    /// blocks run short or the order of the list matters.
    pub(super) fn plan_regular<O: Observer>(
        &mut self,
        now: i64,
        prefixes: &PrefixTree,
        observer: &mut O,
    ) -> Option<Planned> {
        let budget = self.config.max_num_batched_tokens.checked_sub(self.num_decoding)?;
        let grown = if self.num_decoding > 0 { self.grown() } else { 0 };
        let threshold = self.threshold();
        if grown > self.pool.free() {
            return None;
        }
        if !self.prefilling.is_empty() {
            let (tokens, blocks) = self.prompts_ask(threshold);
            let is_ordered = tokens <= u64::from(budget) && self.fills.ticks_until_next(self.growth_at) > 1;
            if !(is_ordered || self.prompts_come_last())
                || !(tokens <= u64::from(budget) && blocks <= u64::from(self.pool.free() - grown)
                    || self.prompts_fit(budget, threshold, self.pool.free() - grown))
            {
                return None;
            }
        }
        let is_late = |slot: &u32| self.slots.get(*slot).is_filling || self.is_touched_late();
        if self.rejoining.iter().any(is_late) {
            return None;
        }
        self.items.clear();
        let budget = if self.lives.is_some() {
            self.run_in_order(budget, threshold, prefixes)
        } else {
            // The running pass: decodes first, then prompts in order.
            self.pool.take_many(grown);
            self.fill_blocks(self.growth_at, self.tick, prefixes);
            self.continue_prompts(budget, threshold, prefixes)
        };
        if observer.wants_plans() {
            self.plans.all(&self.slots, [self.tick, self.calls], &self.items, [true, true]);
        }
        let (decoding, pos_sum) = (self.num_decoding, self.pos_sum);
        let stop = self.waiting_pass(now, budget, threshold, prefixes, observer);
        Some(Planned { stop, has_preempted: false, decoding, pos_sum })
    }

    /// Tokens and blocks that the prompts in progress ask for.
    fn prompts_ask(&mut self, threshold: u32) -> (u64, u64) {
        let (mut tokens, mut blocks) = (0, 0);
        for at in 0..self.prefilling.len() {
            let slot = self.prefilling[at];
            let ask = self.ask(slot, threshold, u32::MAX);
            tokens += u64::from(ask);
            blocks += u64::from(self.blocks_of(slot, self.slots.get(slot).pos, ask));
        }
        (tokens, blocks)
    }

    /// Blocks to be taken for so many tokens from a position on.
    #[inline]
    pub(super) fn blocks_for(&self, pos: u32, tokens: u32) -> u32 {
        let size = self.config.block_size;
        (pos + tokens).div_ceil(size) - pos.div_ceil(size)
    }

    /// Whether the prompts in progress get the blocks for their chunks, in order.
    pub(super) fn prompts_fit(&mut self, mut budget: u32, threshold: u32, mut free: u32) -> bool {
        for at in 0..self.prefilling.len() {
            let slot = self.prefilling[at];
            let tokens = self.ask(slot, threshold, budget);
            budget -= tokens;
            let blocks = self.blocks_of(slot, self.slots.get(slot).pos, tokens);
            if blocks > free {
                return false;
            }
            free -= blocks;
        }
        true
    }

    /// The next chunks of the prompts in progress, which fit; the budget that is left.
    #[inline]
    pub(super) fn continue_prompts(&mut self, mut budget: u32, threshold: u32, prefixes: &PrefixTree) -> u32 {
        for at in 0..self.prefilling.len() {
            let slot = self.prefilling[at];
            let tokens = self.ask(slot, threshold, budget);
            if budget == 0 {
                break;
            }
            if tokens == 0 {
                continue;
            }
            budget -= tokens;
            self.compute_chunk(slot, tokens, prefixes);
        }
        budget
    }

    /// A prompt in progress gets blocks for its next chunk and takes part in the step with it.
    pub(super) fn compute_chunk(&mut self, slot: u32, tokens: u32, prefixes: &PrefixTree) {
        let calls = self.calls;
        if self.lives.is_some() {
            self.grow_chunk(slot, tokens, prefixes);
        }
        let blocks = self.blocks_for(self.slots.get(slot).pos, tokens);
        let entry = self.slots.get_mut(slot);
        let identity = entry.identity(prefixes);
        self.items.push(StepItem { tokens, pos: entry.pos, input_tokens: entry.target });
        entry.pos += tokens;
        entry.served = calls;
        if self.lives.is_some() {
            return;
        }
        self.pool.extend(&mut entry.holding, blocks);
        self.pool.publish(identity, &mut entry.holding, prefixes, entry.pos);
    }

    /// Scheduler specification C4.
    pub(super) fn waiting_pass<O: Observer>(
        &mut self,
        now: i64,
        mut budget: u32,
        threshold: u32,
        prefixes: &PrefixTree,
        observer: &mut O,
    ) -> Stop {
        while budget > 0 && self.num_running() < self.config.max_num_seqs {
            let Some(front) = self.queue.front(&mut self.slots) else { break };
            let Some(chunk) = self.fitting_chunk(front, budget, threshold, prefixes) else {
                return Stop::KvBlocks;
            };
            if chunk.tokens == 0 {
                break;
            }
            budget -= chunk.tokens;
            self.admit(front, chunk, now, prefixes, observer);
        }
        Stop::Other
    }

    /// The first chunk of the front of the queue, if it fits (B3, C4b); the pool knows what was found.
    #[inline]
    pub(super) fn fitting_chunk(
        &mut self,
        front: u32,
        budget: u32,
        threshold: u32,
        prefixes: &PrefixTree,
    ) -> Option<FirstChunk> {
        if self.lives.is_some() {
            return self.fitting_grouped(front, budget, threshold, prefixes);
        }
        let size = self.config.block_size;
        let entry = self.slots.get(front);
        let known = entry.known();
        let hits = self.pool.lookup(entry.identity(prefixes), &entry.holding, prefixes, known);
        let given = limits::given_blocks(&entry.request, &self.config, &self.rules).saturating_sub(hits.blocks);
        let cached = (hits.blocks + given) * size;
        let tokens = limits::chunk(known - cached, threshold, budget);
        let limit = if self.config.max_model_len > 0 { self.config.max_model_len } else { u32::MAX };
        let whole = if self.rules.reserve_full_isl { known.min(limit) } else { 0 };
        let blocks = whole.max(cached + tokens).div_ceil(size).saturating_sub(hits.blocks);
        let reserved = if self.num_running() > 0 { self.reserved_blocks } else { 0 };
        let asked = u64::from(blocks) + u64::from(hits.free) + u64::from(reserved);
        (asked <= u64::from(self.pool.free())).then_some(FirstChunk { found: hits.blocks, given, cached, tokens })
    }

    /// The front of the queue gets into the batch, with what the last lookup found and a chunk behind it.
    #[inline]
    fn admit<O: Observer>(&mut self, slot: u32, chunk: FirstChunk, now: i64, prefixes: &PrefixTree, observer: &mut O) {
        let FirstChunk { found, given, cached, tokens } = chunk;
        self.queue.pop_front();
        let size = self.config.block_size;
        let calls = self.calls;
        let is_grouped = self.lives.is_some();
        if is_grouped {
            self.admit_grouped(slot, chunk, prefixes);
        }
        let entry = self.slots.get_mut(slot);
        let identity = entry.identity(prefixes);
        let known = entry.known();
        if found > 0 && !is_grouped {
            let shared = self.pool.prompt_blocks(identity, prefixes);
            self.pool.claim_found(identity.prefix, shared, &mut entry.holding);
        }
        entry.phase = Phase::Prefill;
        entry.target = known;
        entry.pos = cached + tokens;
        entry.served = calls;
        entry.scheduling_delay = entry.scheduling_delay.or(Some(now - entry.request.arrive.0));
        if !is_grouped {
            self.pool.extend(&mut entry.holding, entry.pos.div_ceil(size) - found);
            self.pool.count_as_claimed(given);
            self.pool.publish(identity, &mut entry.holding, prefixes, entry.pos);
        }
        self.items.push(StepItem { tokens, pos: cached, input_tokens: known });
        let (id, was_preempted) = (entry.request.id, entry.was_preempted);
        if self.config.enable_prefix_caching {
            self.totals.prefix_cache.count(was_preempted, known, cached);
        }
        if observer.wants_plans() {
            self.plans.admitted(id, was_preempted, [cached, tokens]);
        }
        if observer.wants_events() {
            observer.event(&Event::Admit { time: SimTime(now), id, cached_tokens: cached });
        }
        self.slots.admit(slot);
        self.prefilling.push(slot);
    }

    /// Duration, progress and what follows, of a call whose step is planned.
    pub(super) fn end_call<O: Observer>(
        &mut self,
        now: i64,
        planned: Planned,
        prefixes: &PrefixTree,
        observer: &mut O,
    ) {
        if observer.wants_plans() {
            let counts = [self.num_running(), self.num_waiting(), self.pool.free(), self.pool.used()];
            self.plans.tell(self.calls, now, counts, observer);
        }
        self.calls += 1;
        self.end_fresh();
        let Planned { stop, has_preempted, decoding, pos_sum } = planned;
        if decoding == 0 && self.items.is_empty() {
            self.end_empty(now, has_preempted);
            return;
        }
        self.count_step(1, stop);
        let duration = self
            .latency
            .mixed_step_time(decoding, pos_sum, &self.items)
            .unwrap_or_else(|| self.strict_step(decoding == self.num_decoding))
            .clamp(1, MAX_STEP);
        self.latency.count_work(&mut self.work, decoding, pos_sum, &self.items, duration);
        self.count_usage(duration);
        let end = self.end_of_last_step(now) + duration;
        if observer.wants_events() {
            observer.event(&Event::Step {
                time: SimTime(now),
                steps: 1,
                duration: SimTime(duration),
                running: self.num_running(),
                waiting: self.num_waiting(),
                used_blocks: [self.pool.used(); 2],
            });
        }
        // Progress: those who decode, then those who finish their prompt.
        self.produced += u64::from(decoding);
        self.advance_decodes(now, duration, decoding, end);
        self.finish_prompts(end, prefixes, observer);
        self.settle_finished(end);
        self.schedule_next(now, duration);
    }

    /// The next call comes when the step has ended that runs from now on.
    #[inline]
    pub(super) fn schedule_next(&mut self, now: i64, duration: i64) {
        if self.lag > 0 {
            self.next_call = Some(now + self.queued);
            self.queued = duration;
        } else {
            self.next_call = Some(now + duration);
        }
    }

    /// A call that plans nothing is repeated when the running step has ended, or at once where it has preempted; where
    /// nothing runs, the engine rests.
    #[cold]
    fn end_empty(&mut self, now: i64, has_preempted: bool) {
        if self.lag > 0 {
            self.miss_all(now);
        }
        let is_idle = self.queued == 0 && !has_preempted;
        self.next_call = (!is_idle).then_some(now + self.queued);
        self.queued = 0;
    }

    /// Those who decode get their tokens with the step of this duration; the first `decoding` of them, or where a call was
    /// walked those it has served.
    fn advance_decodes(&mut self, now: i64, duration: i64, decoding: u32, end: i64) {
        if self.num_decoding == 0 {
            return;
        }
        if decoding == self.num_decoding {
            let before = decoding - self.rejoining.len() as u32;
            if before > 0 {
                self.gaps.add(self.apart_time + duration + self.output_overhead, 1, before);
            }
            self.apart_time = 0;
            if !self.rejoining.is_empty() {
                self.rejoin_all(end);
            }
        } else if self.is_apart && decoding == 0 {
            self.apart_time += duration;
            return;
        } else {
            self.advance_partly(now, duration, decoding, end);
        }
        self.advance_tick();
        self.pos_sum += u64::from(decoding);
        self.collect_due();
    }

    /// Those who missed steps have a gap of their own behind them now, and go on with the others.
    #[cold]
    fn rejoin_all(&mut self, end: i64) {
        let mut rejoining = core::mem::take(&mut self.rejoining);
        for slot in rejoining.drain(..) {
            self.rejoin(slot, end);
        }
        self.rejoining = rejoining;
    }

    /// [`Fast::rejoin_all`] for one request, before the tick moves on.
    pub(super) fn rejoin(&mut self, slot: u32, end: i64) {
        let (index, tick) = (self.gaps.next_index(), self.tick);
        let entry = self.slots.get_mut(slot);
        entry.is_rejoining = false;
        entry.anchor = entry.decode_pos(tick) + 1;
        entry.participation.join(index);
        let gap = end - entry.last_end + self.output_overhead;
        self.gaps.add_own(&mut entry.participation, gap);
    }

    /// Prompts that are finished become decodes; the step ends at `end`.
    fn finish_prompts<O: Observer>(&mut self, end: i64, prefixes: &PrefixTree, observer: &mut O) {
        let mut kept = 0;
        for at in 0..self.prefilling.len() {
            let slot = self.prefilling[at];
            let entry = self.slots.get(slot);
            if entry.pos == entry.target {
                self.begin_decoding(slot, end, prefixes, observer);
            } else {
                self.prefilling[kept] = slot;
                kept += 1;
            }
        }
        self.prefilling.truncate(kept);
    }

    /// A request has a token with the step that ends at `end`, for all that was known of it is computed then.
    fn begin_decoding<O: Observer>(&mut self, slot: u32, end: i64, prefixes: &PrefixTree, observer: &mut O) {
        let (now, size, tick, index) =
            (self.growth_at as u32, self.config.block_size, self.tick, self.gaps.next_index());
        let entry = self.slots.get_mut(slot);
        let id = entry.request.id;
        self.produced += u64::from(entry.request.output_tokens > 0);
        if entry.first_end.is_none() {
            entry.first_end = Some(end);
            if observer.wants_events() {
                observer.event(&Event::FirstToken { time: SimTime(end), id });
            }
        } else {
            let gap = end - entry.last_end + self.output_overhead;
            self.gaps.add_own(&mut entry.participation, gap);
        }
        let growth = now + size - entry.target % size;
        entry.growth = if growth >= size { growth - size } else { growth };
        let left = entry.answer_tokens - entry.answers_before - 1;
        entry.phase = Phase::Decode;
        entry.anchor = entry.target;
        entry.start = tick;
        entry.finish = tick + u64::from(left);
        entry.is_rejoining = false;
        entry.participation.join(index);
        let (target, admission) = (entry.target, entry.admission);
        self.num_decoding += 1;
        self.pos_sum += u64::from(target);
        if left == 0 {
            self.finished.push((admission, slot));
            return;
        }
        self.expect_touch(slot);
        self.expect_finish(slot);
        if self.lives.is_none() {
            self.watch_fills(slot, prefixes);
        }
        if self.is_apart {
            // The next step may be one of other prompts alone.
            self.miss(slot, end);
        }
    }

    /// A decoding request will have its next gap for itself, since its last token came at `last_end`.
    pub(super) fn miss(&mut self, slot: u32, last_end: i64) {
        let index = self.gaps.next_index();
        let entry = self.slots.get_mut(slot);
        if !core::mem::replace(&mut entry.is_rejoining, true) {
            entry.last_end = last_end;
            entry.participation.leave(index);
            self.rejoining.push(slot);
        }
    }

    /// Nobody is served by this call, so what is on its way to those who decode will be known before the next one.
    #[cold]
    fn miss_all(&mut self, now: i64) {
        let last_end = self.end_of_last_step(now);
        let mut at = self.slots.first;
        while at != NONE {
            if self.slots.get(at).phase == Phase::Decode {
                self.miss(at, last_end);
            }
            at = self.slots.get(at).next;
        }
    }

    /// Whether all prompts in progress stand behind all decoding requests in the running list.
    pub(super) fn prompts_come_last(&self) -> bool {
        let mut at = self.slots.last;
        for slot in self.prefilling.iter().rev() {
            while at != NONE && self.slots.get(at).phase == Phase::Leaving {
                at = self.slots.get(at).previous;
            }
            if *slot != at {
                return false;
            }
            at = self.slots.get(at).previous;
        }
        true
    }

    /// The plain step time, where the aggregate leaves doubt.
    #[cold]
    fn strict_step(&self, is_everybody: bool) -> i64 {
        let calls = self.calls - 1;
        let mut items: Vec<StepItem> = self.items.clone();
        let decodes = self.slots.running().filter(|(_, slot)| slot.phase == Phase::Decode);
        items.extend(decodes.filter(|(_, slot)| is_everybody || slot.served == calls).map(|(_, slot)| StepItem {
            tokens: 1,
            pos: slot.decode_pos(self.tick),
            input_tokens: slot.request.input_tokens,
        }));
        self.latency.step_time(&items)
    }
}
