//! Identities of full blocks (KV specification 1), without a table of what is in them.
//!
//! A block that stands where it belongs, at its place in the prompt and output of its request, has a key that follows
//! from the place: inside a shared prefix one for all, behind it one of the request's own.
//! Others come about where a reload has let a request skip positions, or where a fully cached prompt holds none of its
//! blocks; they are looked up by what they hold.

use super::{Holding, NONE};
use crate::workload::{PrefixId, PrefixTree, Request};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// What is known of a key.
#[derive(Debug, Clone, Copy)]
pub(super) struct State {
    /// The block that the index names; [`NONE`] if the key is not in it.
    pub block: u32,
    /// Blocks that carry it, free or held.
    pub carriers: u32,
    /// How often running requests held it at the last pass of the mirror.
    pub live: u32,
    /// Whether it is in host memory.
    pub is_mirrored: bool,
    /// Whether requests other than one may have it.
    is_shared: bool,
    /// Whether its request is gone, so that it may stand for something else once nothing carries it.
    is_retired: bool,
}

/// Start and length of adjacent tokens of a request's prompt and output.
pub(super) type Piece = (u32, u32);

/// Request, or [`NONE`] for all; key of the block before; segment ([`NONE`] for the request's own), start and length of
/// each run of tokens.
type Content = (u32, u32, Vec<[u32; 3]>);

/// All keys.
#[derive(Debug, Default)]
pub(super) struct Keys {
    block_size: u32,
    pub(super) states: Vec<State>,
    spare: Vec<u32>,
    /// First key of each node of the prefix tree.
    of_prefix: Vec<u32>,
    odd: BTreeMap<Content, u32>,
}

impl Keys {
    pub(super) fn new(block_size: u32) -> Self {
        Self { block_size, ..Self::default() }
    }

    /// The keys of the prompt's leading blocks as far as there are any, in order.
    pub(super) fn of_prompt(&mut self, request: &Request, holding: &Holding, tree: &PrefixTree, keys: &mut Vec<u32>) {
        keys.clear();
        let full = request.input_tokens / self.block_size;
        let shared = full.min(tree.tokens(request.prefix) / self.block_size);
        keys.extend((0..shared).map(|index| self.in_prefix(request.prefix, index, tree)));
        keys.extend(holding.own.iter().take((full - shared) as usize));
    }

    /// The key of the full block that holds `pieces`, behind one with the key `before`.
    pub(super) fn of_block(
        &mut self,
        request: &Request,
        holding: &mut Holding,
        tree: &PrefixTree,
        before: u32,
        pieces: &[Piece],
    ) -> u32 {
        if let [(start, _)] = *pieces
            && start.is_multiple_of(self.block_size)
        {
            let index = start / self.block_size;
            let expected = match index.checked_sub(1) {
                None => Some(NONE),
                Some(index) => self.in_place(request, holding, tree, index),
            };
            if expected == Some(before) {
                if let Some(key) = self.in_place(request, holding, tree, index) {
                    return key;
                }
                let key = self.new_key(false);
                holding.own.push(key);
                return key;
            }
        }
        self.of_content(request, tree, before, pieces)
    }

    /// The key of the block at its place in prompt and output; none if it is the request's own and not given yet.
    fn in_place(&mut self, request: &Request, holding: &Holding, tree: &PrefixTree, index: u32) -> Option<u32> {
        let prompt = tree.tokens(request.prefix);
        // What follows a shared prompt may be shared as well; behind a token of its own nothing is.
        let goes_on = request.output_prefix != PrefixId::NONE && prompt >= request.input_tokens;
        let (deepest, tokens) = if goes_on {
            (request.output_prefix, tree.tokens(request.output_prefix))
        } else {
            (request.prefix, prompt.min(request.input_tokens))
        };
        let shared = tokens / self.block_size;
        if index < shared {
            return Some(self.in_prefix(deepest, index, tree));
        }
        holding.own.get((index - shared) as usize).copied()
    }

    fn in_prefix(&mut self, deepest: PrefixId, index: u32, tree: &PrefixTree) -> u32 {
        while self.of_prefix.len() < tree.len() {
            let node = PrefixId(self.of_prefix.len() as u32);
            let count = tree.tokens(node) / self.block_size - tree.tokens(tree.parent(node)) / self.block_size;
            self.of_prefix.push(self.states.len() as u32);
            let fresh = State { is_shared: true, ..FRESH };
            self.states.resize(self.states.len() + count as usize, fresh);
        }
        let mut node = deepest;
        loop {
            let start = tree.tokens(tree.parent(node)) / self.block_size;
            if index >= start {
                return self.of_prefix[node.0 as usize] + (index - start);
            }
            node = tree.parent(node);
        }
    }

    fn of_content(&mut self, request: &Request, tree: &PrefixTree, before: u32, pieces: &[Piece]) -> u32 {
        let mut runs: Vec<[u32; 3]> = Vec::new();
        for (start, count) in pieces {
            let (mut at, end) = (*start, start + count);
            while at < end {
                let (segment, until) = segment_at(request, tree, at);
                let until = until.min(end);
                match runs.last_mut() {
                    Some([last, start, count]) if *last == segment && *start + *count == at => *count += until - at,
                    _ => runs.push([segment, at, until - at]),
                }
                at = until;
            }
        }
        let is_shared = (before == NONE || self.states[before as usize].is_shared)
            && runs.iter().all(|[segment, ..]| *segment != NONE);
        let content = (if is_shared { NONE } else { request.id }, before, runs);
        if let Some(key) = self.odd.get(&content) {
            return *key;
        }
        let key = self.new_key(is_shared);
        self.odd.insert(content, key);
        key
    }

    fn new_key(&mut self, is_shared: bool) -> u32 {
        let fresh = State { is_shared, ..FRESH };
        if let Some(key) = self.spare.pop() {
            self.states[key as usize] = fresh;
            return key;
        }
        self.states.push(fresh);
        self.states.len() as u32 - 1
    }

    /// The keys of a request that will never come back stand for nothing from now on.
    pub(super) fn retire(&mut self, request: &Request, own: &mut Vec<u32>) {
        while let Some((content, key)) = self.odd.range((request.id, 0, Vec::new())..).next()
            && content.0 == request.id
        {
            own.push(*key);
            let content = content.clone();
            self.odd.remove(&content);
        }
        for key in own.drain(..) {
            self.states[key as usize].is_retired = true;
            self.reuse_if_unused(key);
        }
    }

    /// To be called where a block, a request or host memory has let go of a key.
    #[inline]
    pub(super) fn reuse_if_unused(&mut self, key: u32) {
        let State { carriers, live, is_mirrored, is_retired, .. } = self.states[key as usize];
        if is_retired && carriers == 0 && live == 0 && !is_mirrored {
            self.states[key as usize].is_retired = false;
            self.spare.push(key);
        }
    }
}

/// A key that nothing carries.
const FRESH: State =
    State { block: NONE, carriers: 0, live: 0, is_mirrored: false, is_shared: false, is_retired: false };

/// The segment of the token at a position, [`NONE`] if it is the request's own, and where that may change.
fn segment_at(request: &Request, tree: &PrefixTree, at: u32) -> (u32, u32) {
    let is_prompt = at < request.input_tokens;
    let mut node = if is_prompt { request.prefix } else { request.output_prefix };
    let end = if is_prompt { request.input_tokens } else { u32::MAX };
    while node != PrefixId::NONE && at < tree.tokens(tree.parent(node)) {
        node = tree.parent(node);
    }
    if node != PrefixId::NONE && at < tree.tokens(node) { (node.0, end.min(tree.tokens(node))) } else { (NONE, end) }
}
