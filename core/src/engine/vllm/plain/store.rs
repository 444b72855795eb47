//! The KV blocks, one by one, as the scheduler specification words them (A4, A5, B), with a table for each group of layers
//! (KV block specification).
//!
//! Slow and literal on purpose: it is the oracle the fast pool is compared with.

use super::super::groups::{Groups, Hit, Prompt};
use crate::engine::identity::{Identities, Key};
use crate::engine::recency::Recency;
use crate::workload::{PrefixTree, Request};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

/// The table of a request in one group.
#[derive(Debug, Clone, Default)]
struct Table {
    /// By place: its block, if it has one.
    blocks: Vec<Option<u32>>,
    /// How many leading places have been offered a key.
    published: u32,
}

/// A request's blocks.
#[derive(Debug, Clone, Default)]
pub(super) struct Holding {
    /// One of each group, kind by kind; none before it is admitted.
    tables: Vec<Table>,
    /// The keys of its sequence as far as they were asked for, one every [`Groups::key_size`] tokens.
    keys: Vec<Key>,
    /// Where others part from it, as its last lookup has seen.
    junction: u32,
}

impl Holding {
    /// Blocks held.
    pub(super) fn len(&self) -> u32 {
        self.tables.iter().flat_map(|table| &table.blocks).flatten().count() as u32
    }
}

/// What an allocation is for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Need {
    /// Tokens it has computed, those found among them.
    pub computed: u32,
    /// How many of these are not settled yet.
    pub in_flight: u32,
    /// Tokens it is about to compute.
    pub tokens: u32,
    /// Tokens whose content is known.
    pub known: u32,
    /// What was found, for a request that is admitted.
    pub found: Option<u32>,
    /// Blocks that must stay free.
    pub reserved: u32,
    /// Tokens that must fit, now or later.
    pub whole: u32,
}

/// All blocks of a replica.
#[derive(Debug)]
pub(super) struct Store {
    groups: Groups,
    usable: u32,
    is_caching: bool,
    refs: Vec<u32>,
    /// By block: group and key.
    keys: Vec<Option<(u32, Key)>>,
    /// The free queue: those put in front, the last one first; those never taken; those put at the back.
    front: Vec<u32>,
    back: Recency,
    /// Blocks by group and key, in the order they got it.
    index: BTreeMap<(u32, Key), Vec<u32>>,
    /// Keys of states that blocks got in this call: what they stand for is not there yet.
    fresh: BTreeSet<(u32, Key)>,
    identities: Identities,
    pub(super) claimed: u64,
    pub(super) taken: u64,
}

impl Store {
    pub(super) fn new(num_blocks: u32, groups: Groups, is_caching: bool) -> Self {
        Self {
            groups,
            // One block is the server's own.
            usable: num_blocks.saturating_sub(1),
            is_caching,
            refs: Vec::new(),
            keys: Vec::new(),
            front: Vec::new(),
            back: Recency::new(),
            index: BTreeMap::new(),
            fresh: BTreeSet::new(),
            identities: Identities::default(),
            claimed: 0,
            taken: 0,
        }
    }

    pub(super) fn groups(&self) -> &Groups {
        &self.groups
    }

    pub(super) fn free(&self) -> u32 {
        self.usable - self.refs.len() as u32 + self.front.len() as u32 + self.back.len() as u32
    }

    pub(super) fn used(&self) -> u32 {
        self.usable - self.free()
    }

    /// A call begins.
    pub(super) fn begin_call(&mut self) {
        self.fresh.clear();
    }

    /// What a request's allocations depend on.
    pub(super) fn prompt(holding: &Holding, request: &Request, known: u32) -> Prompt {
        Prompt { tokens: request.input_tokens, known, junction: holding.junction }
    }

    /// The groups, one by one: the kind of each.
    fn each_group(&self) -> Vec<usize> {
        let kinds = self.groups.kinds.iter().enumerate();
        kinds.flat_map(|(at, kind)| core::iter::repeat_n(at, kind.count as usize)).collect()
    }

    /// B1.
    fn take(&mut self) -> Option<u32> {
        let block = if let Some(block) = self.front.pop() {
            block
        } else if (self.refs.len() as u32) < self.usable {
            self.refs.push(0);
            self.keys.push(None);
            self.refs.len() as u32 - 1
        } else {
            self.back.take_oldest()?
        };
        if let Some(key) = self.keys[block as usize].take()
            && let Some(blocks) = self.index.get_mut(&key)
        {
            blocks.retain(|other| *other != block);
            if blocks.is_empty() {
                self.index.remove(&key);
            }
        }
        self.refs[block as usize] = 1;
        self.taken += 1;
        Some(block)
    }

    /// The key of the first `tokens` tokens of the request's sequence (A5).
    fn key(&mut self, holding: &mut Holding, request: &Request, prefixes: &PrefixTree, tokens: u32) -> Key {
        let size = self.groups.key_size;
        while (holding.keys.len() as u32) < tokens / size {
            let from = holding.keys.len() as u32 * size;
            let before = holding.keys.last().copied();
            holding.keys.push(self.identities.of_block(before, request, prefixes, from, size));
        }
        holding.keys[(tokens / size) as usize - 1]
    }

    /// B2, with which blocks of `index` are known.
    fn find(
        &mut self,
        holding: &mut Holding,
        request: &Request,
        prefixes: &PrefixTree,
        known: u32,
        is_known: impl Fn(&Self, u32, Key) -> bool,
    ) -> Hit {
        if !self.is_caching {
            return Hit::default();
        }
        let groups = self.groups.clone();
        let first_of = |at: usize| groups.kinds[..at].iter().map(|kind| kind.count).sum::<u32>();
        groups.hit(known, |at, place| {
            let kind = &groups.kinds[at];
            let key = self.key(holding, request, prefixes, (place + 1) * kind.block_size);
            (first_of(at)..first_of(at) + kind.count).all(|group| is_known(self, group, key))
        })
    }

    /// B2: what the cache has of the first `known` tokens, the last one left out.
    pub(super) fn lookup(
        &mut self,
        holding: &mut Holding,
        request: &Request,
        prefixes: &PrefixTree,
        known: u32,
    ) -> Hit {
        self.find(holding, request, prefixes, known, |store, group, key| store.index.contains_key(&(group, key)))
    }

    /// A waiting request remembers where others part from it.
    pub(super) fn note_junction(holding: &mut Holding, hit: Hit) {
        holding.junction = hit.junction;
    }

    /// B3.
    pub(super) fn allocate(
        &mut self,
        holding: &mut Holding,
        request: &Request,
        prefixes: &PrefixTree,
        need: Need,
    ) -> bool {
        let Need { computed, in_flight, tokens, known, found, reserved, whole } = need;
        let prompt = Self::prompt(holding, request, known);
        let each = self.each_group();
        let kinds = self.groups.kinds.clone();
        // What is taken over, group by group and in the order of places.
        let mut hits: Vec<Vec<u32>> = Vec::new();
        let (mut asked, mut from_free) = (0u64, 0u64);
        if let Some(found) = found {
            let mut is_fresh = false;
            for (group, at) in (0u32..).zip(&each) {
                let kind = &kinds[*at];
                let mut of_group = Vec::new();
                for place in kind.taken_over(found, computed) {
                    let key = (group, self.key(holding, request, prefixes, (place + 1) * kind.block_size));
                    is_fresh |= self.fresh.contains(&key);
                    of_group.extend(self.index.get(&key).and_then(|blocks| blocks.first()));
                }
                from_free += of_group.iter().filter(|block| self.refs[**block as usize] == 0).count() as u64;
                hits.push(of_group);
                asked += u64::from(self.groups.asked(kind, prompt, found, computed, whole));
            }
            if is_fresh || asked + from_free + u64::from(reserved) > u64::from(self.free()) && whole > 0 {
                return false;
            }
        } else {
            // Tables of requests that run lose what they need no more, whatever comes of it.
            self.drop_skipped(holding, computed - in_flight);
        }
        let table_end = |holding: &Holding, group: usize| match found {
            Some(found) => kinds[each[group]].taken_over(found, computed).end,
            None => holding.tables[group].blocks.len() as u32,
        };
        let growths: Vec<_> = (0..each.len())
            .map(|group| {
                let len = table_end(holding, group);
                self.groups.growth(&kinds[each[group]], prompt, len, computed, computed + tokens)
            })
            .collect();
        let blocks: u64 = growths.iter().map(|growth| u64::from(growth.blocks)).sum();
        if blocks + from_free + u64::from(reserved) > u64::from(self.free()) {
            return false;
        }
        if let Some(found) = found {
            holding.tables = alloc::vec![Table::default(); each.len()];
            for (group, of_group) in hits.into_iter().enumerate() {
                let places = kinds[each[group]].taken_over(found, computed);
                let table = &mut holding.tables[group];
                table.blocks.resize(places.start as usize, None);
                for block in of_group {
                    if self.refs[block as usize] == 0 {
                        self.back.remove(block);
                    }
                    self.refs[block as usize] += 1;
                    table.blocks.push(Some(block));
                    self.claimed += 1;
                }
                table.published = places.end;
            }
        }
        for (group, growth) in growths.into_iter().enumerate() {
            let len = holding.tables[group].blocks.len();
            holding.tables[group].blocks.resize(len + growth.empty as usize, None);
            for _ in 0..growth.blocks {
                let block = self.take();
                holding.tables[group].blocks.push(block);
            }
        }
        self.publish(holding, request, prefixes, known, (computed + tokens).min(known));
        true
    }

    /// So many of the blocks taken last stand for blocks that would have been found.
    pub(super) fn count_as_claimed(&mut self, blocks: u32) {
        self.taken -= u64::from(blocks);
        self.claimed += u64::from(blocks);
    }

    /// B4.
    pub(super) fn publish(
        &mut self,
        holding: &mut Holding,
        request: &Request,
        prefixes: &PrefixTree,
        known: u32,
        tokens: u32,
    ) {
        if !self.is_caching {
            return;
        }
        let prompt = Self::prompt(holding, request, known);
        for (group, at) in (0u32..).zip(self.each_group()) {
            let kind = self.groups.kinds[at];
            let end = self.groups.cacheable(tokens) / kind.block_size;
            for place in holding.tables[group as usize].published..end {
                let Some(block) = holding.tables[group as usize].blocks[place as usize] else { continue };
                if !self.groups.keeps(&kind, place, prompt) {
                    continue;
                }
                let key = (group, self.key(holding, request, prefixes, (place + 1) * kind.block_size));
                self.keys[block as usize] = Some(key);
                self.index.entry(key).or_default().push(block);
                if kind.is_state() {
                    self.fresh.insert(key);
                }
            }
            if let Some(place) = self.groups.is_renewed(&kind, tokens, prompt)
                && let Some(Some(block)) = holding.tables[group as usize].blocks.get(place as usize)
            {
                self.fresh.extend(self.keys[*block as usize]);
            }
            let published = &mut holding.tables[group as usize].published;
            *published = (*published).max(end);
        }
    }

    /// A running request gives back what it needs no more, with so many tokens settled (KV block specification B1).
    fn drop_skipped(&mut self, holding: &mut Holding, done: u32) {
        for (group, at) in self.each_group().into_iter().enumerate() {
            let kind = self.groups.kinds[at];
            let table = &mut holding.tables[group];
            let end = (kind.skipped(done) as usize).min(table.blocks.len());
            let dropped: Vec<u32> = table.blocks[..end].iter_mut().rev().filter_map(Option::take).collect();
            self.put_back(dropped);
        }
    }

    /// B5.
    pub(super) fn release(&mut self, holding: &mut Holding) {
        for table in core::mem::take(&mut holding.tables) {
            self.put_back(table.blocks.into_iter().rev().flatten().collect());
        }
    }

    /// Lets go of blocks, in this order.
    fn put_back(&mut self, blocks: Vec<u32>) {
        let (mut without, mut with) = (Vec::new(), Vec::new());
        for block in blocks {
            let refs = &mut self.refs[block as usize];
            *refs -= 1;
            if *refs == 0 {
                let is_keyed = self.keys[block as usize].is_some();
                if is_keyed { &mut with } else { &mut without }.push(block);
            }
        }
        self.front.extend(without.into_iter().rev());
        for block in with {
            self.back.touch(block);
        }
    }

    /// A number for a key in a group.
    fn name(&self, group: u32, key: Key) -> u32 {
        let groups: u32 = self.groups.kinds.iter().map(|kind| kind.count).sum();
        key.wrapping_mul(groups).wrapping_add(group)
    }

    /// The keys that some block has, ascending.
    pub(super) fn copy_index(&self, copy: &mut Vec<u32>) {
        copy.clear();
        copy.extend(self.index.keys().map(|(group, key)| self.name(*group, *key)));
        copy.sort_unstable();
    }

    /// Leading blocks of a new prompt that a copy of the index has, in units of what hits are multiples of.
    pub(super) fn count_in(&mut self, copy: &[u32], request: &Request, prefixes: &PrefixTree) -> u32 {
        let mut holding = Holding::default();
        let is_known = |store: &Self, group, key| copy.binary_search(&store.name(group, key)).is_ok();
        self.find(&mut holding, request, prefixes, request.input_tokens, is_known).tokens / self.groups.alignment
    }

    /// [`Store::count_in`] of what is cached now.
    pub(super) fn count_cached(&mut self, request: &Request, prefixes: &PrefixTree) -> u32 {
        let hit = self.lookup(&mut Holding::default(), request, prefixes, request.input_tokens);
        hit.tokens / self.groups.alignment
    }

    /// Blocks that somebody holds and blocks in the free queue, counted in the tables.
    pub(super) fn count<'a>(&self, holdings: impl Iterator<Item = &'a Holding>) -> [u32; 2] {
        let mut is_held = alloc::vec![false; self.refs.len()];
        for block in holdings.flat_map(|holding| &holding.tables).flat_map(|table| &table.blocks).flatten() {
            is_held[*block as usize] = true;
        }
        [is_held.iter().filter(|is_held| **is_held).count() as u32, self.free()]
    }

    /// Recomputes what must always hold from the tables.
    pub(super) fn audit<'a>(&self, holdings: impl Iterator<Item = &'a Holding>) -> Result<(), &'static str> {
        let mut refs = alloc::vec![0u32; self.refs.len()];
        let each = self.each_group();
        for holding in holdings {
            for (group, table) in holding.tables.iter().enumerate() {
                let keeps_all = self.groups.kinds[each[group]].keeps_all_keys();
                for (at, block) in table.blocks.iter().enumerate() {
                    let Some(block) = block else { continue };
                    refs[*block as usize] += 1;
                    let (has_key, is_due) = (self.keys[*block as usize].is_some(), (at as u32) < table.published);
                    if (has_key && !is_due) || (keeps_all && has_key != is_due) {
                        return Err("a block has a key that is not published, or none that is");
                    }
                }
            }
        }
        if refs != self.refs {
            return Err("references differ from the block tables");
        }
        let mut is_free = alloc::vec![false; self.refs.len()];
        self.front.iter().for_each(|block| is_free[*block as usize] = true);
        (0..refs.len()).filter(|block| self.back.contains(*block as u32)).for_each(|block| is_free[block] = true);
        if is_free.iter().zip(&refs).any(|(is_free, refs)| *is_free != (*refs == 0)) {
            return Err("the free queue is not the set of unreferenced blocks");
        }
        let keyed = self.keys.iter().filter(|key| key.is_some()).count();
        let listed: usize = self.index.values().map(Vec::len).sum();
        let is_sound = |(key, blocks): (&(u32, Key), &Vec<u32>)| {
            !blocks.is_empty() && blocks.iter().all(|block| self.keys[*block as usize] == Some(*key))
        };
        if keyed != listed || !self.index.iter().all(is_sound) {
            return Err("an index entry points elsewhere");
        }
        Ok(())
    }
}
