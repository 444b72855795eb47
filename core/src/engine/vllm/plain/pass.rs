//! One call of the scheduler (scheduler specification C).

use super::store::{Need, Store};
use super::{Plain, Step, limits};
use crate::latency::{MAX_STEP, StepItem};
use crate::observation::{Event, Observer, Plan, Scheduled};
use crate::scenario::{Batching, QueueOrder};
use crate::time::SimTime;
use crate::workload::{Outcome, PrefixTree};
use alloc::vec::Vec;

/// Whom a pass over the running list serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pass {
    All,
    Prompts,
    Decodes,
}

/// A step while it is planned.
#[derive(Debug, Default)]
struct Draft {
    budget: u32,
    threshold: u32,
    /// Request and tokens, in batch order.
    batch: Vec<(usize, u32)>,
    preempted: Vec<u32>,
    /// Whether blocks ended the waiting pass.
    is_out_of_blocks: bool,
    plan: Plan,
}

impl Plain {
    /// Plans the next step, which begins when the one that runs for `running_step` from now on has ended; and whether
    /// somebody was preempted.
    pub(super) fn schedule<O: Observer>(
        &mut self,
        now: i64,
        running_step: i64,
        prefixes: &PrefixTree,
        observer: &mut O,
    ) -> (Step, bool) {
        let free_before = self.store.free();
        self.store.begin_call();
        let count = (self.running.len() + self.waiting.len()) as u32;
        let mut draft = Draft {
            budget: self.config.max_num_batched_tokens,
            threshold: limits::threshold(&self.config, &self.rules, count),
            ..Draft::default()
        };
        let is_apart = self.rules.batching == Batching::V0;
        self.running_pass(if is_apart { Pass::Prompts } else { Pass::All }, &mut draft, now, prefixes, observer);
        if draft.preempted.is_empty() {
            self.waiting_pass(&mut draft, now, prefixes, observer);
        }
        if is_apart && draft.batch.is_empty() {
            // A step of decodes alone has room for all of them.
            draft.budget = u32::MAX;
            self.running_pass(Pass::Decodes, &mut draft, now, prefixes, observer);
        }
        if observer.wants_plans() {
            let scheduled = draft.batch.iter().map(|(live, tokens)| {
                let entry = &self.live[*live];
                Scheduled { id: entry.request.id, tokens: *tokens, computed: entry.computed }
            });
            let plan = Plan {
                call: self.calls,
                time: SimTime(now),
                finished_before: core::mem::take(&mut self.finished),
                free_before,
                scheduled: scheduled.collect(),
                preempted: draft.preempted.clone(),
                running: self.running.len() as u32,
                waiting: self.waiting.len() as u32,
                free_blocks: self.store.free(),
                used_blocks: self.store.used(),
                ..core::mem::take(&mut draft.plan)
            };
            observer.planned(&plan);
        }
        let has_preempted = !draft.preempted.is_empty();
        (self.planned(draft, now, running_step, observer), has_preempted)
    }

    /// C2.
    fn running_pass<O: Observer>(
        &mut self,
        pass: Pass,
        draft: &mut Draft,
        now: i64,
        prefixes: &PrefixTree,
        observer: &mut O,
    ) {
        let limit = self.config.max_model_len;
        let mut at = 0;
        while at < self.running.len() && draft.budget > 0 {
            let live = self.running[at];
            let entry = &self.live[live];
            let is_other = match pass {
                Pass::All => false,
                Pass::Prompts => !entry.is_in_prompt(),
                Pass::Decodes => entry.is_in_prompt(),
            };
            let last = entry.request.input_tokens + entry.answer_tokens;
            if is_other || (entry.promised > 0 && entry.computed + 2 - entry.promised >= last) {
                at += 1;
                continue;
            }
            let left = entry.known() + entry.promised - entry.computed;
            let tokens = limits::chunk(left, draft.threshold, draft.budget);
            let room = if limit > 0 { (limit - 1).saturating_sub(entry.computed) } else { u32::MAX };
            let prompt = Store::prompt(&entry.holding, &entry.request, entry.known());
            let tokens = self.store.groups().shaped(prompt, entry.computed, tokens.min(room));
            if tokens == 0 {
                at += 1;
                continue;
            }
            if self.secure(live, tokens, &mut at, draft, now, prefixes, observer) {
                draft.batch.push((live, tokens));
                draft.budget -= tokens;
                at += 1;
            } else if self.rules.order == QueueOrder::Fcfs || !self.rules.does_pass_go_on {
                break;
            }
        }
    }

    /// Preempts until the request of the running list at `at` gets blocks for `tokens` more; false if that took the
    /// request itself (C2c).
    #[allow(clippy::too_many_arguments, reason = "the state of one call between two of its lines")]
    fn secure<O: Observer>(
        &mut self,
        live: usize,
        tokens: u32,
        at: &mut usize,
        draft: &mut Draft,
        now: i64,
        prefixes: &PrefixTree,
        observer: &mut O,
    ) -> bool {
        loop {
            let entry = &mut self.live[live];
            let need = Need {
                computed: entry.computed,
                in_flight: entry.in_flight,
                tokens,
                known: entry.known(),
                found: None,
                reserved: 0,
                whole: 0,
            };
            if self.store.allocate(&mut entry.holding, &entry.request, prefixes, need) {
                return true;
            }
            let Some(place) = self.victim() else { return false };
            let victim = self.running.remove(place);
            if place < *at {
                *at -= 1;
            }
            if let Some(part) = draft.batch.iter().position(|(other, _)| *other == victim) {
                draft.budget += draft.batch.remove(part).1;
            }
            self.preempt(victim, now, observer);
            draft.preempted.push(self.live[victim].request.id);
            if victim == live {
                return false;
            }
        }
    }

    /// The place in the running list of who is preempted next.
    fn victim(&self) -> Option<usize> {
        let last = self.running.len().checked_sub(1)?;
        if self.rules.order == QueueOrder::Fcfs {
            return Some(last);
        }
        let key = |place: &usize| {
            let entry = &self.live[self.running[*place]];
            (entry.request.priority, entry.order)
        };
        // The first such in list order; orders differ, so there is one.
        (0..=last).max_by_key(key)
    }

    /// C3.
    fn preempt<O: Observer>(&mut self, victim: usize, now: i64, observer: &mut O) {
        let entry = &mut self.live[victim];
        self.store.release(&mut entry.holding);
        entry.computed = 0;
        entry.promised = 0;
        entry.stale = entry.in_flight;
        entry.is_running = false;
        entry.was_preempted = true;
        self.totals.preemptions += 1;
        if observer.wants_events() {
            observer.event(&Event::Preempt { time: SimTime(now), id: entry.request.id });
        }
        self.waiting.push_front(victim);
    }

    /// The place in the waiting list of who is next, of those from `from` on.
    fn front(&self, from: usize) -> Option<usize> {
        if self.rules.order == QueueOrder::Fcfs {
            return (from < self.waiting.len()).then_some(from);
        }
        let key = |place: &usize| {
            let entry = &self.live[self.waiting[*place]];
            (entry.request.priority, entry.order)
        };
        (0..self.waiting.len()).filter(|place| self.live[self.waiting[*place]].stale == 0).min_by_key(key)
    }

    /// C4.
    fn waiting_pass<O: Observer>(&mut self, draft: &mut Draft, now: i64, prefixes: &PrefixTree, observer: &mut O) {
        let block_size = self.config.block_size;
        // Those put aside stand before this place, and stay in their order.
        let mut from = 0;
        while draft.budget > 0 && self.running.len() < self.config.max_num_seqs as usize {
            let Some(place) = self.front(from) else { break };
            let live = self.waiting[place];
            let entry = &mut self.live[live];
            if entry.stale > 0 {
                from += 1;
                continue;
            }
            let known = entry.known();
            let hit = self.store.lookup(&mut entry.holding, &entry.request, prefixes, known);
            Store::note_junction(&mut entry.holding, hit);
            let found = hit.tokens / block_size;
            let given = limits::given_blocks(&entry.request, &self.config, &self.rules).saturating_sub(found);
            let cached = (found + given) * block_size;
            let tokens = limits::chunk(known - cached, draft.threshold, draft.budget);
            let prompt = Store::prompt(&entry.holding, &entry.request, known);
            let tokens = self.store.groups().shaped(prompt, cached, tokens);
            if tokens == 0 {
                // What is left of the budget does not bring a prompt to where a state can be kept.
                break;
            }
            let limit = if self.config.max_model_len > 0 { self.config.max_model_len } else { u32::MAX };
            let is_alone = self.running.is_empty();
            let reserved = if is_alone { 0 } else { limits::reserved_blocks(&self.config, &self.rules) };
            let whole = if self.rules.reserve_full_isl { known.min(limit) } else { 0 };
            // What is given has no block that could be found: it gets one of its own, with nothing to compute in it.
            let need = Need { computed: cached, in_flight: 0, tokens, known, found: Some(hit.tokens), reserved, whole };
            if !self.store.allocate(&mut entry.holding, &entry.request, prefixes, need) {
                draft.is_out_of_blocks = true;
                break;
            }
            self.store.count_as_claimed(self.store.groups().standing_in(hit.tokens, cached));
            self.waiting.remove(place);
            self.running.push(live);
            entry.is_running = true;
            entry.computed = cached;
            entry.target = known;
            entry.scheduling_delay = entry.scheduling_delay.or(Some(now - entry.request.arrive.0));
            draft.batch.push((live, tokens));
            draft.budget -= tokens;
            if self.config.enable_prefix_caching {
                self.totals.prefix_cache.count(entry.was_preempted, known, cached);
            }
            let started = if entry.was_preempted { &mut draft.plan.resumed } else { &mut draft.plan.admitted };
            started.push((entry.request.id, cached));
            if observer.wants_events() {
                observer.event(&Event::Admit { time: SimTime(now), id: entry.request.id, cached_tokens: cached });
            }
        }
    }

    /// C5, with what the step costs and what its clients will see.
    fn planned<O: Observer>(&mut self, draft: Draft, now: i64, running_step: i64, observer: &mut O) -> Step {
        if draft.batch.is_empty() {
            return Step::default();
        }
        let items: Vec<StepItem> = draft
            .batch
            .iter()
            .map(|(live, tokens)| {
                let entry = &self.live[*live];
                let input_tokens = if entry.is_in_prompt() { entry.target } else { entry.request.input_tokens };
                StepItem { tokens: *tokens, pos: entry.computed, input_tokens }
            })
            .collect();
        let duration = self.latency.step_time(&items).clamp(1, MAX_STEP);
        self.count_step(&items, duration, !draft.preempted.is_empty() || draft.is_out_of_blocks);
        if observer.wants_events() {
            observer.event(&Event::Step {
                time: SimTime(now),
                steps: 1,
                duration: SimTime(duration),
                running: self.running.len() as u32,
                waiting: self.waiting.len() as u32,
                used_blocks: [self.store.used(); 2],
            });
        }
        let end = now + running_step + duration;
        let mut parts = Vec::with_capacity(draft.batch.len());
        for (live, tokens) in draft.batch {
            let entry = &mut self.live[live];
            entry.computed += tokens;
            entry.in_flight += tokens;
            let samples = entry.computed >= entry.known() + entry.promised;
            entry.promised += u32::from(self.lag > 0 && samples);
            if samples {
                self.produced += u64::from(entry.request.output_tokens > 0);
                self.sample(live, end, observer);
            }
            parts.push((live, tokens, samples));
        }
        Step { duration, parts }
    }

    /// A request gets a token with the step that ends at `end`.
    fn sample<O: Observer>(&mut self, live: usize, end: i64, observer: &mut O) {
        let overhead = self.latency.output_overhead();
        let entry = &mut self.live[live];
        if entry.first_end.is_none() {
            entry.first_end = Some(end);
            if observer.wants_events() {
                observer.event(&Event::FirstToken { time: SimTime(end), id: entry.request.id });
            }
        } else {
            entry.gaps.push(end - entry.last_end + overhead);
        }
        entry.last_end = end;
        let tokens = entry.gaps.len() as u32 + 1;
        if tokens >= entry.answer_tokens {
            entry.is_finishing = true;
            if let Some(outcomes) = &mut self.outcomes {
                // The client waits for what it sees, overheads included.
                let final_overhead = if entry.request.output_tokens > 0 { self.latency.final_overhead() } else { 0 };
                let seen = end + i64::from(tokens) * overhead + final_overhead;
                outcomes.push(Outcome { id: entry.request.id, end: SimTime(seen), context_tokens: Some(tokens - 1) });
            }
        }
    }

    /// Counts of a step that is not empty.
    fn count_step(&mut self, items: &[StepItem], duration: i64, is_out_of_blocks: bool) {
        self.totals.steps += 1;
        self.totals.waiting_sum += self.waiting.len() as u64;
        self.totals.running_sum += self.running.len() as u64;
        let limiters = &mut self.totals.limiters;
        limiters.steps += 1;
        *if self.waiting.is_empty() {
            &mut limiters.none
        } else if is_out_of_blocks {
            &mut limiters.kv_blocks
        } else if self.running.len() >= self.config.max_num_seqs as usize {
            &mut limiters.max_num_seqs
        } else {
            &mut limiters.max_num_batched_tokens
        } += 1;
        let prefill: Vec<StepItem> = items.iter().copied().filter(|item| item.is_prefill()).collect();
        let decodes = (items.len() - prefill.len()) as u32;
        let pos_sum = items.iter().filter(|item| !item.is_prefill()).map(|item| u64::from(item.pos)).sum();
        self.latency.count_work(&mut self.work, decodes, pos_sum, &prefill, duration);
        let used = u64::from(self.store.used());
        self.totals.kv_peak = self.totals.kv_peak.max(used);
        self.totals.kv_integral += u128::from(used) * u128::from(duration.unsigned_abs());
        self.totals.busy += duration.unsigned_abs();
    }
}
