//! What replicas do otherwise whose layers keep different parts of a sequence.

use super::life::{Lives, Seen};
use super::pool::Holding;
use super::regular::FirstChunk;
use super::slots::Phase;
use super::{Fast, limits};
use crate::engine::BlockTables;
use crate::engine::vllm::groups::Prompt;
use crate::numeric::sort_few;
use crate::workload::{PrefixTree, Request};
use alloc::vec::Vec;

impl Fast {
    /// A request with all its blocks depend on.
    pub(super) fn seen<'a>(&mut self, slot: u32, tree: &'a PrefixTree) -> Seen<'a> {
        let entry = self.slots.get(slot);
        let (tokens, known, identity) = (entry.request.input_tokens, entry.known(), entry.identity(tree));
        let junction = self.lives.as_mut().map_or(0, |lives| lives.get(slot).junction);
        let most = tokens + self.slots.get(slot).answer_tokens;
        Seen { slot, identity, prompt: Prompt { tokens, known, junction }, most, tree }
    }

    /// The tokens that a prompt in progress computes next.
    #[inline]
    pub(super) fn ask(&mut self, slot: u32, threshold: u32, budget: u32) -> u32 {
        let entry = self.slots.get(slot);
        let tokens = limits::chunk(entry.target - entry.pos, threshold, budget);
        let Some(lives) = &mut self.lives else { return tokens };
        let prompt =
            Prompt { tokens: entry.request.input_tokens, known: entry.known(), junction: lives.get(slot).junction };
        self.groups.shaped(prompt, entry.pos, tokens)
    }

    /// Blocks to be taken for so many tokens of a request from a position on.
    #[inline]
    pub(super) fn blocks_of(&self, slot: u32, pos: u32, tokens: u32) -> u32 {
        let Some(lives) = &self.lives else { return self.blocks_for(pos, tokens) };
        let entry = self.slots.get(slot);
        let prompt = Prompt { tokens: entry.request.input_tokens, known: entry.known(), junction: 0 };
        lives.needed(&self.groups, slot, prompt, pos, pos + tokens)
    }

    /// Tokens of a request at a position that were planned by the last call, and so are not settled.
    fn in_flight(&self, slot: u32, pos: u32) -> u32 {
        let entry = self.slots.get(slot);
        if self.lag == 0 || entry.is_rejoining {
            return 0;
        }
        if entry.phase == Phase::Decode && pos > entry.target {
            return 1;
        }
        let last_chunk = self.lives.as_ref().map_or(0, |lives| lives.last_chunk(slot));
        if entry.served + 1 == self.calls { last_chunk } else { 0 }
    }

    /// Tables of a request of the running list lose what they need no more; `pos`: tokens it has computed.
    pub(super) fn drop_skipped(&mut self, slot: u32, pos: u32, tree: &PrefixTree) {
        let done = pos - self.in_flight(slot, pos);
        let entry = self.slots.get(slot);
        // What the call before has given keys to, if that was a decode step.
        let published = if pos > entry.target { pos - self.lag } else { 0 };
        let is_decoding = entry.phase == Phase::Decode;
        let seen = self.seen(slot, tree);
        let Some(lives) = &mut self.lives else { return };
        if is_decoding {
            lives.catch_up(&self.groups, slot, published);
        }
        lives.drop_skipped(&self.groups, &mut self.pool, seen, done);
    }

    /// A prompt in progress gets blocks for its next chunk.
    pub(super) fn grow_chunk(&mut self, slot: u32, tokens: u32, tree: &PrefixTree) {
        let pos = self.slots.get(slot).pos;
        self.drop_skipped(slot, pos, tree);
        let seen = self.seen(slot, tree);
        let Some(lives) = &mut self.lives else { return };
        let end = pos + tokens;
        lives.grow(&self.groups, &mut self.pool, seen, [pos, end, end.min(seen.prompt.known)]);
        lives.get(slot).last_chunk = tokens;
    }

    /// A decoding request takes part in the call of a tick at which its blocks change, or may do so.
    pub(super) fn touch(&mut self, slot: u32, tick: u64, tree: &PrefixTree) {
        let pos = self.slots.get(slot).decode_pos(tick);
        self.drop_skipped(slot, pos, tree);
        let published = self.published_with(slot, pos);
        let seen = self.seen(slot, tree);
        let Some(lives) = &mut self.lives else { return };
        lives.grow(&self.groups, &mut self.pool, seen, [pos, pos + 1, published]);
        let next = lives.next_touch(&self.groups, &self.pool, seen, pos + 1, self.lag);
        let entry = self.slots.get(slot);
        lives.postpone(slot, entry.start + u64::from(next - entry.target) + 1);
    }

    /// Whether the call of the present tick touches a decoding request.
    pub(super) fn is_touched(&mut self, slot: u32) -> bool {
        let is_rejoining = self.slots.get(slot).is_rejoining && self.lag > 0;
        self.lives.as_mut().is_some_and(|lives| is_rejoining || lives.get(slot).touch == self.tick + 1)
    }

    /// Whether those who missed a step are touched before their time: what they had on its way is settled.
    pub(super) fn is_touched_late(&self) -> bool {
        self.lag > 0 && self.lives.is_some()
    }

    /// Those who are touched at a tick, in list order.
    fn touched(&mut self, tick: u64) -> Vec<u32> {
        let Some(lives) = &mut self.lives else { return Vec::new() };
        let mut touched = lives.touched(tick + 1);
        sort_few(&mut touched, |a, b| self.slots.get(*a).admission.cmp(&self.slots.get(*b).admission));
        touched
    }

    /// Blocks that must be free so that all who decode can take theirs at a tick, one after the other: each gives back
    /// before it takes. And how many more may be free then, or fewer if that is negative.
    fn taken_at(&self, touched: &[u32], tick: u64) -> (u32, i64) {
        let Some(lives) = &self.lives else { return (0, 0) };
        let (mut most, mut taken, mut more) = (0, 0, 0);
        for slot in touched {
            let pos = self.slots.get(*slot).decode_pos(tick);
            let [certain, all] = lives.given_back(&self.groups, *slot, pos - self.in_flight(*slot, pos));
            let needed = i64::from(self.blocks_of(*slot, pos, 1));
            taken += needed - i64::from(certain);
            more += i64::from(all) - needed;
            most = most.max(taken);
        }
        // Not negative, and no more than all blocks.
        (most as u32, more)
    }

    /// Blocks that must be free so that those who decode can take theirs with the present call.
    pub(super) fn grown(&mut self) -> u32 {
        if self.lives.is_none() {
            return self.growth[self.growth_at];
        }
        let touched = self.touched(self.tick);
        let (taken, _) = self.taken_at(&touched, self.tick);
        self.give_back(touched);
        taken
    }

    fn give_back(&mut self, touched: Vec<u32>) {
        if let Some(lives) = &mut self.lives {
            lives.keep(touched);
        }
    }

    /// All who decode take part in the call `ahead` ticks from now; false, and nothing done, if blocks may run short, or
    /// `enough` may be free then.
    pub(super) fn touch_all(&mut self, ahead: u64, enough: u32, tree: &PrefixTree) -> bool {
        let tick = self.tick + ahead;
        let touched = self.touched(tick);
        let (taken, more) = self.taken_at(&touched, tick);
        let free = self.pool.free();
        let fits = taken <= free && (enough == u32::MAX || i64::from(free) + more < i64::from(enough));
        if fits {
            touched.iter().for_each(|slot| self.touch(*slot, tick, tree));
        }
        self.give_back(touched);
        fits
    }

    /// The running pass of a call in which all get what they should: blocks change hands in list order. The budget that is
    /// left.
    pub(super) fn run_in_order(&mut self, mut budget: u32, threshold: u32, tree: &PrefixTree) -> u32 {
        let touched = self.touched(self.tick);
        let mut decodes = touched.iter().copied().peekable();
        for at in 0..self.prefilling.len() {
            let slot = self.prefilling[at];
            let place = self.slots.get(slot).admission;
            while let Some(before) = decodes.next_if(|other| self.slots.get(*other).admission < place) {
                self.touch(before, self.tick, tree);
            }
            let tokens = self.ask(slot, threshold, budget);
            if tokens > 0 {
                budget -= tokens;
                self.compute_chunk(slot, tokens, tree);
            }
        }
        decodes.for_each(|slot| self.touch(slot, self.tick, tree));
        self.give_back(touched);
        budget
    }

    /// The first chunk of the front of the queue, if it fits; of no tokens where the budget does not bring it to the end of
    /// a block of states (B4, C2).
    pub(super) fn fitting_grouped(
        &mut self,
        front: u32,
        budget: u32,
        threshold: u32,
        tree: &PrefixTree,
    ) -> Option<FirstChunk> {
        let size = self.config.block_size;
        let mut seen = self.seen(front, tree);
        let known = seen.prompt.known;
        let lives = self.lives.as_mut()?;
        let hit = lives.lookup(&self.groups, &mut self.pool, seen);
        seen.prompt.junction = hit.junction;
        let found = hit.tokens / size;
        let request = &self.slots.get(front).request;
        let given = limits::given_blocks(request, &self.config, &self.rules).saturating_sub(found);
        let cached = (found + given) * size;
        let tokens = limits::chunk(known - cached, threshold, budget);
        let tokens = self.groups.shaped(seen.prompt, cached, tokens);
        let is_identified = lives.is_identified(seen);
        lives.front_asks = if is_identified { 0 } else { u32::MAX };
        if tokens > 0 {
            let limit = if self.config.max_model_len > 0 { self.config.max_model_len } else { u32::MAX };
            let whole = if self.rules.reserve_full_isl { known.min(limit) } else { 0 };
            let free_hits = lives.free_hits(&self.groups, &self.pool, cached)?;
            let ends = [whole, cached + tokens];
            let blocks = Lives::asked(&self.groups, seen.prompt, hit.tokens, cached, ends);
            let reserved = if self.num_running() > 0 { self.reserved_blocks } else { 0 };
            let asked = blocks + u64::from(free_hits) + u64::from(reserved);
            if !is_identified && let Some(lives) = &mut self.lives {
                lives.front_asks = u32::try_from(asked).unwrap_or(u32::MAX);
            }
            if asked > u64::from(self.pool.free()) {
                return None;
            }
        }
        Some(FirstChunk { found, given, cached, tokens })
    }

    /// The front of the queue takes over what the last lookup found, and blocks for its first chunk.
    pub(super) fn admit_grouped(&mut self, slot: u32, chunk: FirstChunk, tree: &PrefixTree) {
        let FirstChunk { found, cached, tokens, .. } = chunk;
        if let Some(lives) = &mut self.lives {
            lives.admit(&self.groups, &mut self.pool, slot, cached);
        }
        let seen = self.seen(slot, tree);
        let Some(lives) = &mut self.lives else { return };
        let end = cached + tokens;
        lives.grow(&self.groups, &mut self.pool, seen, [cached, end, end]);
        lives.get(slot).last_chunk = tokens;
        self.pool.count_as_claimed(self.groups.standing_in(found * self.config.block_size, cached));
    }

    /// The request begins to decode; its blocks are looked at with its first step.
    pub(super) fn expect_touch(&mut self, slot: u32) {
        let start = self.slots.get(slot).start;
        if let Some(lives) = &mut self.lives {
            lives.get(slot).touch = start + 1;
        }
    }

    /// Returns everything a request holds, with keys up to `published` tokens; whether it will come back.
    pub(super) fn release_grouped(&mut self, slot: u32, published: u32, will_return: bool, tree: &PrefixTree) {
        let seen = self.seen(slot, tree);
        let Some(lives) = &mut self.lives else { return };
        if lives.blocks(&self.groups, slot) > 0 {
            lives.publish(&self.groups, &mut self.pool, seen, published);
        }
        if will_return {
            lives.release_for_later(&self.groups, &mut self.pool, seen);
        } else {
            lives.release_for_good(&self.groups, &mut self.pool, seen);
        }
    }

    /// Gives keys to what a request has stored up to its first `tokens` tokens.
    pub(super) fn publish_grouped(&mut self, slot: u32, tokens: u32, tree: &PrefixTree) {
        let seen = self.seen(slot, tree);
        if let Some(lives) = &mut self.lives {
            lives.publish(&self.groups, &mut self.pool, seen, tokens);
        }
    }

    /// Leading blocks of a new prompt that `is_cached`, in units of what hits are multiples of.
    pub(super) fn count_grouped(&mut self, request: &Request, tree: &PrefixTree, copy: Option<&[u32]>) -> u32 {
        let tokens = request.input_tokens;
        let prompt = Prompt { tokens, known: tokens, junction: 0 };
        let seen = Seen { slot: u32::MAX, identity: super::outlook::of_prompt(request), prompt, most: tokens, tree };
        let Some(lives) = &mut self.lives else { return 0 };
        let hit = lives.find(&self.groups, &mut self.pool, seen, tokens, |pool, key| match copy {
            Some(copy) => copy.get(key as usize).is_some_and(|node| *node != super::pool::NONE),
            None => pool.oldest(key) != super::pool::NONE,
        });
        hit.tokens / self.config.block_size
    }

    /// What requests hold, and what those who wait would find.
    pub(super) fn tell_grouped_tables(&mut self, tables: &mut BlockTables, tree: &PrefixTree) {
        for slot in 0..self.slots.all().len() as u32 {
            let seen = self.seen(slot, tree);
            let Some(lives) = &mut self.lives else { return };
            let entry = self.slots.get(slot);
            if !matches!(entry.phase, Phase::Arriving | Phase::Gone) {
                tables.held.push((entry.request.id, lives.blocks(&self.groups, slot)));
            }
            if entry.phase == Phase::Waiting && !entry.was_preempted {
                let hit = lives.lookup(&self.groups, &mut self.pool, seen);
                tables.found.push((entry.request.id, hit.tokens / self.config.block_size));
            }
        }
    }

    /// Ticks to the end of the first at which blocks come back or get keys while all decode, as far as is known.
    pub(super) fn ticks_until_change(&self) -> u64 {
        match &self.lives {
            // A call that is planned ahead may come behind a shorter step.
            Some(lives) => lives.touches.ticks_until_next(self.tick).saturating_sub(self.lag.into()).max(1),
            None => self.fills.ticks_until_next(self.growth_at),
        }
    }

    /// All blocks that are held, as one request would hold them.
    pub(super) fn held_grouped(&self) -> Option<Holding> {
        let (nodes, others) = self.lives.as_ref()?.held(&self.groups);
        Some(Holding::of(nodes, others))
    }
}
