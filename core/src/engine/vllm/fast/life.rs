//! The blocks of requests whose layers keep different parts of a sequence (KV block specification).
//!
//! Groups that are alike have blocks at the same places, so one [`Shape`] stands for all of them; which blocks these are
//! matters only where somebody could ask for their content again. Those have a node of the pool each, all others are
//! counted.
//! While a request decodes, its shapes change only at some ticks: its *touches*, which stand on a timing wheel.

use super::super::groups::{Groups, Hit, Kind, Prompt};
use super::pool::{Identity, NONE, Pool};
use crate::engine::due::Due;
use crate::scenario::GroupKind;
use crate::workload::PrefixTree;
use alloc::vec::Vec;
use core::ops::Range;

/// The blocks of a request in the groups of one kind.
#[derive(Debug, Clone, Default)]
pub(super) struct Shape {
    /// Runs of places that have blocks: the first place, and how many. In order, with gaps between them.
    runs: Vec<(u32, u32)>,
    /// Places of the table.
    len: u32,
    /// How many leading places have been offered a key.
    published: u32,
    /// The places whose blocks are identified, in order.
    named: Vec<u32>,
    /// Their blocks: of each place one for each group.
    nodes: Vec<u32>,
    /// Its private keys, once it has been preempted.
    range: Option<u32>,
}

/// The blocks of a request.
#[derive(Debug, Clone, Default)]
pub(super) struct Life {
    /// By kind of group.
    shapes: Vec<Shape>,
    /// The decode tick at which it is touched next, and one.
    pub touch: u64,
    /// Tokens of the last chunk of its prompt.
    pub last_chunk: u32,
    /// Where others part from it, as its last lookup has seen.
    pub junction: u32,
}

/// The blocks of all requests of a replica with several kinds of groups, or with one that does not keep all tokens.
#[derive(Debug)]
pub(super) struct Lives {
    /// The touches of decoding requests.
    pub touches: Due,
    /// By slot.
    lives: Vec<Life>,
    /// By kind of group: the first key of each node of the prefix tree.
    prefix_keys: Vec<Vec<u32>>,
    /// Keys of states that blocks got in this call.
    fresh: Vec<u32>,
    /// Scratch, by kind: the keys of a request's leading identified places, each that of the first group.
    keys: Vec<Vec<u32>>,
    /// Scratch: those who are touched.
    scratch: Vec<u32>,
    /// What the last lookup has found.
    found: Hit,
    /// Whether the front of the queue was last refused for want of budget alone.
    pub is_budget_short: bool,
    /// Free blocks with which it would not have been refused; 0 where keys may change that, [`u32::MAX`] if none would do.
    pub front_asks: u32,
}

/// A request as the pool sees it.
#[derive(Clone, Copy)]
pub(super) struct Seen<'a> {
    pub slot: u32,
    pub identity: Identity,
    pub prompt: Prompt,
    /// Tokens it may ever have.
    pub most: u32,
    pub tree: &'a PrefixTree,
}

/// What becomes of blocks whose content is a request's own.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It may come back for them, and they are not identified yet.
    Dropped,
    /// It will come back for them; those that have keys are identified.
    Kept,
    /// Nobody will ask for them.
    Forgotten,
}

impl Shape {
    fn has(&self, place: u32) -> bool {
        self.runs.iter().any(|(first, count)| (*first..first + count).contains(&place))
    }

    /// Its private keys, one for each place behind what it shares, and group.
    fn own_keys(&mut self, kind: &Kind, pool: &mut Pool, most: u32, shared: u32) -> u32 {
        *self.range.get_or_insert_with(|| pool.new_range((most / kind.block_size - shared) * kind.count))
    }

    /// Blocks in each group.
    fn blocks(&self) -> u32 {
        self.runs.iter().map(|(_, count)| count).sum()
    }

    /// The table goes on with some empty places and some blocks.
    fn extend(&mut self, empty: u32, blocks: u32) {
        let first = self.len + empty;
        self.len = first + blocks;
        if blocks == 0 {
            return;
        }
        match self.runs.last_mut().filter(|(start, count)| start + *count == first) {
            Some((_, count)) => *count += blocks,
            None => self.runs.push((first, blocks)),
        }
    }
}

impl Lives {
    pub(super) fn new(groups: &Groups) -> Self {
        Self {
            touches: Due::new(),
            lives: Vec::new(),
            prefix_keys: alloc::vec![Vec::new(); groups.kinds.len()],
            fresh: Vec::new(),
            keys: alloc::vec![Vec::new(); groups.kinds.len()],
            scratch: Vec::new(),
            found: Hit::default(),
            is_budget_short: false,
            front_asks: 0,
        }
    }

    pub(super) fn get(&mut self, slot: u32) -> &mut Life {
        let at = slot as usize;
        if at >= self.lives.len() {
            self.lives.resize(at + 1, Life::default());
        }
        &mut self.lives[at]
    }

    /// What others know of states that are computed in a call is there once the call is made.
    pub(super) fn end_call(&mut self) {
        self.fresh.clear();
    }

    /// Full blocks of a prompt and its output that lie inside what others share.
    fn shared(kind: &Kind, pool: &Pool, identity: Identity, tree: &PrefixTree) -> u32 {
        pool.shared_tokens(identity, tree) / kind.block_size
    }

    /// The keys of a request's leading `count` places, as far as they are identified.
    fn collect_keys(&mut self, at: usize, kind: &Kind, pool: &mut Pool, seen: Seen<'_>, count: u32) {
        let keys = &mut self.keys[at];
        keys.clear();
        let shared = Self::shared(kind, pool, seen.identity, seen.tree).min(count);
        let size = kind.block_size;
        if shared > 0 {
            let first_keys = &mut self.prefix_keys[at];
            while first_keys.len() < seen.tree.len() {
                let node = crate::workload::PrefixId(first_keys.len() as u32);
                let start = seen.tree.tokens(seen.tree.parent(node)) / size;
                first_keys.push(pool.add_keys((seen.tree.tokens(node) / size - start) * kind.count));
            }
            keys.resize(shared as usize, NONE);
            let mut node = seen.identity.deepest();
            let mut end = shared;
            while end > 0 {
                let parent = seen.tree.parent(node);
                let start = seen.tree.tokens(parent) / size;
                let first_key = first_keys[node.0 as usize];
                for place in start..end {
                    keys[place as usize] = first_key + (place - start) * kind.count;
                }
                end = end.min(start);
                node = parent;
            }
        }
        let range = self.lives.get(seen.slot as usize).and_then(|life| life.shapes.get(at)?.range);
        if let Some(range) = range
            && count > shared
        {
            let (first_key, most) = pool.range(range);
            keys.extend((0..(count - shared).min(most / kind.count)).map(|place| first_key + place * kind.count));
        }
    }

    /// Whether anything of a request could be found.
    pub(super) fn is_identified(&self, seen: Seen<'_>) -> bool {
        let own = self.lives.get(seen.slot as usize).map_or(&[][..], |life| &life.shapes);
        seen.identity.is_shared() || own.iter().any(|shape| shape.range.is_some())
    }

    /// What the cache has of the first `known` tokens, the last one left out, where `is_cached` tells it of a key.
    pub(super) fn find(
        &mut self,
        groups: &Groups,
        pool: &mut Pool,
        seen: Seen<'_>,
        known: u32,
        is_cached: impl Fn(&Pool, u32) -> bool,
    ) -> Hit {
        if !pool.is_caching() || !(self.is_identified(seen) || groups.finds_without_blocks()) {
            return Hit::default();
        }
        for (at, kind) in groups.kinds.iter().enumerate() {
            self.collect_keys(at, kind, pool, seen, known.saturating_sub(1) / kind.block_size);
        }
        groups.hit(known, |at, place| {
            let first = self.keys[at].get(place as usize);
            first.is_some_and(|first| (*first..first + groups.kinds[at].count).all(|key| is_cached(pool, key)))
        })
    }

    /// [`Lives::find`] of what is cached now, for [`Lives::admit`]; with how many of the blocks are free. None if it ends
    /// with a state that is computed in this call.
    pub(super) fn lookup(&mut self, groups: &Groups, pool: &mut Pool, seen: Seen<'_>) -> Hit {
        self.found = self.find(groups, pool, seen, seen.prompt.known, |pool, key| pool.oldest(key) != NONE);
        self.found
    }

    /// Blocks that leave the free queue with what the last lookup found, for a request that computes from `cached` on;
    /// none if a state among them is not computed yet.
    pub(super) fn free_hits(&self, groups: &Groups, pool: &Pool, cached: u32) -> Option<u32> {
        let mut free = 0;
        for (at, kind) in groups.kinds.iter().enumerate() {
            for key in self.hit_keys(at, kind, cached) {
                if self.fresh.contains(&key) {
                    return None;
                }
                free += u32::from(pool.is_free(pool.oldest(key)));
            }
        }
        Some(free)
    }

    /// The keys of what an admitted request takes over in the groups of a kind, group by group.
    fn hit_keys(&self, at: usize, kind: &Kind, cached: u32) -> impl Iterator<Item = u32> + '_ {
        let places = kind.taken_over(self.found.tokens, cached);
        (0..kind.count).flat_map(move |group| places.clone().map(move |place| self.keys[at][place as usize] + group))
    }

    /// A request takes over what the last lookup found and computes from `cached` on; blocks that it took over.
    pub(super) fn admit(&mut self, groups: &Groups, pool: &mut Pool, slot: u32, cached: u32) {
        let Hit { tokens: found, junction } = self.found;
        let mut claimed = 0;
        for (at, kind) in groups.kinds.iter().enumerate() {
            let places = kind.taken_over(found, cached);
            let keys: Vec<u32> = self.hit_keys(at, kind, cached).collect();
            let life = self.get(slot);
            life.junction = junction;
            life.shapes.resize_with(groups.kinds.len(), Shape::default);
            let shape = &mut life.shapes[at];
            shape.len = 0;
            shape.extend(places.start, places.end - places.start);
            shape.published = places.end;
            shape.named.extend(places.clone());
            let count = (places.end - places.start) as usize;
            claimed += keys.len() as u64;
            let nodes: Vec<u32> = keys.iter().map(|key| pool.oldest(*key)).collect();
            nodes.iter().for_each(|node| pool.claim(*node));
            // Claimed group by group, kept place by place.
            for place in 0..count {
                shape.nodes.extend((0..kind.count as usize).map(|group| nodes[group * count + place]));
            }
        }
        pool.claimed += claimed;
    }

    /// Tokens of the last chunk of a prompt.
    pub(super) fn last_chunk(&self, slot: u32) -> u32 {
        self.lives.get(slot as usize).map_or(0, |life| life.last_chunk)
    }

    /// The slots that are touched at a tick, which was one more when they were entered.
    pub(super) fn touched(&mut self, touch: u64) -> Vec<u32> {
        let mut touched = core::mem::take(&mut self.scratch);
        let mut at = self.touches.first(touch);
        while at != NONE {
            if self.lives[at as usize].touch == touch {
                touched.push(at);
            }
            at = self.touches.next(at);
        }
        touched
    }

    /// A list is no longer needed.
    pub(super) fn keep(&mut self, mut touched: Vec<u32>) {
        touched.clear();
        self.scratch = touched;
    }

    /// A request that is touched will be so again at a later tick.
    pub(super) fn postpone(&mut self, slot: u32, touch: u64) {
        let before = core::mem::replace(&mut self.lives[slot as usize].touch, touch);
        self.touches.remove(before, slot);
        self.touches.insert(touch, slot);
    }

    /// The calls since the last touch have given keys up to `tokens` tokens, to blocks that nobody will ask for.
    pub(super) fn catch_up(&mut self, groups: &Groups, slot: u32, tokens: u32) {
        for (kind, shape) in groups.kinds.iter().zip(&mut self.lives[slot as usize].shapes) {
            shape.published = shape.published.max(groups.cacheable(tokens) / kind.block_size);
        }
    }

    /// Blocks to be taken for the tokens up to `end`, of which `start` are computed.
    pub(super) fn needed(&self, groups: &Groups, slot: u32, prompt: Prompt, start: u32, end: u32) -> u32 {
        let shapes = &self.lives[slot as usize].shapes;
        let of_kind =
            |(kind, shape): (&Kind, &Shape)| kind.count * groups.growth(kind, prompt, shape.len, start, end).blocks;
        groups.kinds.iter().zip(shapes).map(of_kind).sum()
    }

    /// Blocks that a request gives back with so many tokens settled: those that nobody else holds for certain, and all.
    pub(super) fn given_back(&self, groups: &Groups, slot: u32, done: u32) -> [u32; 2] {
        let [mut certain, mut all] = [0, 0];
        for (kind, shape) in groups.kinds.iter().zip(&self.lives[slot as usize].shapes) {
            let end = kind.skipped(done).min(shape.len);
            let runs = shape.runs.iter().take_while(|(first, _)| *first < end);
            let blocks = kind.count * runs.map(|(first, count)| end.min(first + count) - first).sum::<u32>();
            all += blocks;
            certain += if shape.named.first().is_some_and(|place| *place < end) { 0 } else { blocks };
        }
        [certain, all]
    }

    /// Blocks that an admission asks for: those that the whole sequence needs, and those of its first chunk.
    pub(super) fn asked(groups: &Groups, prompt: Prompt, found: u32, cached: u32, [whole, end]: [u32; 2]) -> u64 {
        let of_kind = |kind: &Kind, blocks: u32| u64::from(kind.count) * u64::from(blocks);
        let kinds = || groups.kinds.iter();
        let all: u64 = kinds().map(|kind| of_kind(kind, groups.asked(kind, prompt, found, cached, whole))).sum();
        let first = kinds().map(|kind| {
            let len = kind.taken_over(found, cached).end;
            of_kind(kind, groups.growth(kind, prompt, len, cached, end).blocks)
        });
        (if whole > 0 { all } else { 0 }).max(first.sum())
    }

    /// Takes the blocks for the tokens up to `end`, of which `start` are computed, and gives keys up to `published` tokens.
    pub(super) fn grow(&mut self, groups: &Groups, pool: &mut Pool, seen: Seen<'_>, [start, end, published]: [u32; 3]) {
        let mut taken = 0;
        let shapes = &mut self.lives[seen.slot as usize].shapes;
        for (kind, shape) in groups.kinds.iter().zip(shapes) {
            let growth = groups.growth(kind, seen.prompt, shape.len, start, end);
            shape.extend(growth.empty, growth.blocks);
            taken += growth.blocks * kind.count;
        }
        pool.take_many(taken);
        self.publish(groups, pool, seen, published);
    }

    /// Gives keys to the blocks of the first `tokens` tokens, as far as others may ask for them.
    pub(super) fn publish(&mut self, groups: &Groups, pool: &mut Pool, seen: Seen<'_>, tokens: u32) {
        if !pool.is_caching() {
            return;
        }
        for (at, kind) in groups.kinds.iter().enumerate() {
            let end = groups.cacheable(tokens) / kind.block_size;
            let shape = &mut self.lives[seen.slot as usize].shapes[at];
            let first = shape.published;
            shape.published = end.max(first);
            let shared = Self::shared(kind, pool, seen.identity, seen.tree).min(end);
            if first < shared {
                self.name(at, kind, groups, pool, seen, first..shared);
            }
            let shape = &self.lives[seen.slot as usize].shapes[at];
            let renewed = groups.is_renewed(kind, tokens, seen.prompt);
            if let Some(index) = renewed.and_then(|place| shape.named.binary_search(&place).ok()) {
                let count = kind.count as usize;
                let nodes = &shape.nodes[index * count..(index + 1) * count];
                self.fresh.extend(nodes.iter().map(|node| pool.key(*node)));
            }
        }
    }

    /// Identifies blocks at these places, as far as they have keys.
    fn name(&mut self, at: usize, kind: &Kind, groups: &Groups, pool: &mut Pool, seen: Seen<'_>, places: Range<u32>) {
        let shape = &self.lives[seen.slot as usize].shapes[at];
        let is_kept = |place: &u32| shape.has(*place) && groups.keeps(kind, *place, seen.prompt);
        let kept: Vec<u32> = places.clone().filter(is_kept).collect();
        let Some(last) = kept.last() else { return };
        let shared = Self::shared(kind, pool, seen.identity, seen.tree);
        self.collect_keys(at, kind, pool, seen, last + 1);
        let mut nodes = alloc::vec![NONE; kept.len() * kind.count as usize];
        let shape = &mut self.lives[seen.slot as usize].shapes[at];
        for group in 0..kind.count {
            for (index, place) in kept.iter().enumerate() {
                let key = self.keys[at][*place as usize] + group;
                let range = if *place >= shared { shape.range.unwrap_or(NONE) } else { NONE };
                nodes[index * kind.count as usize + group as usize] = pool.identify(key, range);
                if kind.is_state() {
                    self.fresh.push(key);
                }
            }
        }
        shape.named.extend(kept);
        shape.nodes.extend(nodes);
    }

    /// A running request gives back what it needs no more, with so many tokens settled (B1).
    pub(super) fn drop_skipped(&mut self, groups: &Groups, pool: &mut Pool, seen: Seen<'_>, done: u32) {
        for (at, kind) in groups.kinds.iter().enumerate() {
            let shape = &self.lives[seen.slot as usize].shapes[at];
            let end = kind.skipped(done).min(shape.len);
            if shape.runs.first().is_some_and(|(first, _)| *first < end) {
                self.give_up(at, kind, groups, pool, seen, end, Fate::Dropped);
            }
        }
    }

    /// Returns everything that a request holds and that will never come back.
    pub(super) fn release_for_good(&mut self, groups: &Groups, pool: &mut Pool, seen: Seen<'_>) {
        self.release(groups, pool, seen, Fate::Forgotten);
        for shape in &mut self.get(seen.slot).shapes {
            if let Some(range) = shape.range.take() {
                pool.retire(range);
            }
        }
    }

    /// Returns everything that a preempted request holds; what has a key stays findable.
    pub(super) fn release_for_later(&mut self, groups: &Groups, pool: &mut Pool, seen: Seen<'_>) {
        for (at, kind) in groups.kinds.iter().enumerate() {
            let shared = Self::shared(kind, pool, seen.identity, seen.tree);
            let shape = &mut self.lives[seen.slot as usize].shapes[at];
            let published = shape.published;
            if !pool.is_caching() || published <= shared {
                continue;
            }
            shape.own_keys(kind, pool, seen.most, shared);
            // The keys were given when the blocks filled up; only now does it matter.
            let first = shape.named.last().map_or(0, |last| last + 1).max(shared);
            self.name(at, kind, groups, pool, seen, first..published);
        }
        self.release(groups, pool, seen, Fate::Kept);
        self.fresh.clear();
    }

    fn release(&mut self, groups: &Groups, pool: &mut Pool, seen: Seen<'_>, fate: Fate) {
        if self.get(seen.slot).shapes.is_empty() {
            return;
        }
        for (at, kind) in groups.kinds.iter().enumerate() {
            self.give_up(at, kind, groups, pool, seen, u32::MAX, fate);
            let shape = &mut self.lives[seen.slot as usize].shapes[at];
            (shape.len, shape.published) = (0, 0);
        }
    }

    /// Lets go of the blocks before a place, group by group, the last one first.
    #[allow(clippy::too_many_arguments, reason = "one request in one kind of groups of one pool")]
    fn give_up(
        &mut self,
        at: usize,
        kind: &Kind,
        groups: &Groups,
        pool: &mut Pool,
        seen: Seen<'_>,
        end: u32,
        fate: Fate,
    ) {
        let shared = Self::shared(kind, pool, seen.identity, seen.tree);
        let shape = &mut self.lives[seen.slot as usize].shapes[at];
        let is_caching = pool.is_caching();
        let published = if is_caching { shape.published } else { 0 };
        let keyed_in = |first: u32, last: u32| groups.count_kept(kind, seen.prompt, first..last.min(published));
        let num_named = shape.named.partition_point(|place| *place < end);
        let (mut keyed, mut blocks) = (0, 0);
        if num_named == 0 {
            for (first, count) in shape.runs.iter().take_while(|(first, _)| *first < end) {
                let last = end.min(first + count);
                keyed += keyed_in(*first, last);
                blocks += last - first;
            }
        }
        let is_dropped = fate == Fate::Dropped;
        let is_counted = num_named == 0 && !(is_dropped && keyed > 0);
        if is_counted {
            pool.put_front((blocks - keyed) * kind.count);
            pool.put_back(keyed * kind.count);
        }
        // Should it be preempted, it may find them when it comes back.
        let own_keys = if is_dropped && !is_counted && is_caching && published > shared {
            Some(shape.own_keys(kind, pool, seen.most, shared))
        } else {
            None
        };
        for group in 0..if is_counted { 0 } else { kind.count } {
            let mut named = num_named;
            let mut unkeyed = 0;
            for (first, count) in shape.runs.iter().rev().filter(|(first, _)| *first < end) {
                let mut last = end.min(first + count);
                loop {
                    // Blocks that nobody will ask for, behind the next one that somebody may.
                    let next = named.checked_sub(1).map(|at| shape.named[at]).filter(|place| place >= first);
                    let from = next.map_or(*first, |place| place + 1);
                    let keyed = keyed_in(from, last);
                    unkeyed += last - from - keyed;
                    match own_keys {
                        Some(range) if keyed > 0 => {
                            let (first_key, _) = pool.range(range);
                            let is_keyed = |place: &u32| keyed_in(*place, *place + 1) > 0;
                            for place in (from..last).rev().filter(is_keyed) {
                                let node = pool.identify(first_key + (place - shared) * kind.count + group, range);
                                pool.drop_reference(node);
                            }
                        }
                        _ => pool.put_back(keyed),
                    }
                    let Some(place) = next else { break };
                    named -= 1;
                    let node = shape.nodes[named * kind.count as usize + group as usize];
                    if fate == Fate::Forgotten && place >= shared {
                        pool.forget_node(node);
                    } else {
                        pool.drop_reference(node);
                    }
                    last = place;
                }
            }
            pool.put_front(unkeyed);
        }
        shape.named.drain(..num_named);
        shape.nodes.drain(..num_named * kind.count as usize);
        shape.runs.retain_mut(|(first, count)| {
            let last = *first + *count;
            *first = end.min(last).max(*first);
            *count = last - *first;
            *count > 0
        });
    }

    /// The position from `pos` on at which a decoding request is touched next, if steps settle `lag` calls later.
    pub(super) fn next_touch(&self, groups: &Groups, pool: &Pool, seen: Seen<'_>, pos: u32, lag: u32) -> u32 {
        let shapes = &self.lives[seen.slot as usize].shapes;
        let mut next = u32::MAX;
        for (kind, shape) in groups.kinds.iter().zip(shapes) {
            let size = kind.block_size;
            next = next.min((shape.len.saturating_mul(size)).max(pos));
            let first = shape.runs.first().map_or(shape.len, |(first, _)| *first);
            let end = (first + 1).saturating_mul(size);
            let done = match kind.kind {
                GroupKind::Full => u32::MAX,
                GroupKind::Sliding { window } => end.saturating_add(window - 1),
                GroupKind::Chunked { chunk } => end.div_ceil(chunk).saturating_mul(chunk),
                GroupKind::State { .. } => end.saturating_add(1),
            };
            next = next.min(done.saturating_add(lag).max(pos));
        }
        // A block that others may ask for is full when the next tokens are a multiple of the alignment.
        let cached = shapes.iter().zip(&groups.kinds).map(|(shape, kind)| shape.published * kind.block_size).min();
        if pool.is_caching() && pool.shared_tokens(seen.identity, seen.tree) > cached.unwrap_or(0) {
            let full = (pos + 1 - lag).next_multiple_of(groups.alignment);
            next = next.min((full + lag - 1).max(pos));
        }
        next
    }

    /// Blocks that a slot holds.
    pub(super) fn blocks(&self, groups: &Groups, slot: u32) -> u32 {
        let shapes = self.lives.get(slot as usize).map_or(&[][..], |life| &life.shapes);
        groups.kinds.iter().zip(shapes).map(|(kind, shape)| kind.count * shape.blocks()).sum()
    }

    /// The identified blocks of all requests, and how many others they hold.
    pub(super) fn held(&self, groups: &Groups) -> (Vec<u32>, u32) {
        let (mut nodes, mut others) = (Vec::new(), 0);
        for life in &self.lives {
            for (kind, shape) in groups.kinds.iter().zip(&life.shapes) {
                nodes.extend_from_slice(&shape.nodes);
                others += kind.count * shape.blocks() - shape.nodes.len() as u32;
            }
        }
        (nodes, others)
    }
}
