//! Shared prefixes of token sequences.
//!
//! Prompts are put into a radix tree, whose edges end where sequences diverge. What more than one sequence passes
//! becomes a segment of the workload's [`PrefixTree`]; the rest of each prompt is its own and is forgotten. The split
//! knows nothing of a block size (definitions 11).

use plimsoll_core::workload::{PrefixId, PrefixTree};
use std::collections::HashMap;

/// Where a sequence ends in a [`PromptTree`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sequence {
    /// Node at the end of the prompt.
    prompt: usize,
    /// Node at the end of what prompt and output share with another prompt, if that reaches into the output.
    output: Option<usize>,
}

/// A radix tree of prompts.
pub(super) struct PromptTree {
    nodes: Vec<Node>,
    /// Child of a node by the first token of its edge; looked up only, never walked.
    children: HashMap<(usize, u32), usize>,
    /// Tokens of all edges.
    tokens: Vec<u32>,
}

/// A node with the edge that leads to it.
struct Node {
    parent: usize,
    /// The edge's tokens in [`PromptTree::tokens`].
    start: usize,
    len: usize,
    num_children: usize,
    /// Whether more than one sequence passes the edge.
    is_shared: bool,
}

const ROOT: usize = 0;

impl PromptTree {
    pub(super) fn new() -> Self {
        let root = Node { parent: ROOT, start: 0, len: 0, num_children: 0, is_shared: true };
        Self { nodes: vec![root], children: HashMap::new(), tokens: Vec::new() }
    }

    /// Adds a prompt.
    pub(super) fn insert(&mut self, prompt: &[u32]) -> Sequence {
        let (mut node, used) = self.walk(ROOT, prompt);
        let rest = &prompt[used..];
        if !rest.is_empty() {
            let start = self.tokens.len();
            self.tokens.extend_from_slice(rest);
            node = self.add(node, start, rest.len(), false);
        }
        Sequence { prompt: node, output: None }
    }

    /// Whether some prompt goes on where this one ends, so that the output may be part of it.
    pub(super) fn goes_on(&self, sequence: Sequence) -> bool {
        self.nodes[sequence.prompt].num_children > 0
    }

    /// Adds an output behind a prompt, as far as it agrees with other prompts. All prompts must be there.
    pub(super) fn follow(&mut self, sequence: Sequence, output: &[u32]) -> Sequence {
        let (node, used) = self.walk(sequence.prompt, output);
        Sequence { output: (used > 0).then_some(node), ..sequence }
    }

    /// Follows `sequence` from `node` as far as there are equal tokens, splitting the last edge where they end; marks
    /// every edge on the way as shared.
    fn walk(&mut self, mut node: usize, sequence: &[u32]) -> (usize, usize) {
        let mut used = 0;
        while let Some(child) = sequence.get(used).and_then(|&token| self.children.get(&(node, token)).copied()) {
            let Node { start, len, .. } = self.nodes[child];
            let edge = &self.tokens[start..start + len];
            let common = edge.iter().zip(&sequence[used..]).take_while(|(a, b)| a == b).count();
            node = if common < len { self.split(child, common) } else { child };
            self.nodes[node].is_shared = true;
            used += common;
            if common < len {
                break;
            }
        }
        (node, used)
    }

    /// Cuts the edge of `node` after `len` tokens; the new node is the upper part, so that `node` still ends where it did.
    fn split(&mut self, node: usize, len: usize) -> usize {
        let Node { parent, start, is_shared, .. } = self.nodes[node];
        self.nodes[parent].num_children -= 1;
        let upper = self.add(parent, start, len, is_shared);
        let lower = &mut self.nodes[node];
        lower.parent = upper;
        lower.start += len;
        lower.len -= len;
        let first = self.tokens[lower.start];
        self.nodes[upper].num_children = 1;
        self.children.insert((upper, first), node);
        upper
    }

    fn add(&mut self, parent: usize, start: usize, len: usize, is_shared: bool) -> usize {
        let node = self.nodes.len();
        self.nodes.push(Node { parent, start, len, num_children: 0, is_shared });
        self.nodes[parent].num_children += 1;
        self.children.insert((parent, self.tokens[start]), node);
        node
    }

    /// The shared part as a workload's prefixes.
    pub(super) fn into_prefixes(self) -> (PrefixTree, Places) {
        let mut prefixes = PrefixTree::new();
        let mut places: Vec<Option<PrefixId>> = vec![None; self.nodes.len()];
        places[ROOT] = Some(PrefixId::NONE);
        let mut path = Vec::new();
        for node in 0..self.nodes.len() {
            // A split puts a parent behind its child, so parents are settled first.
            let mut ancestor = node;
            while places[ancestor].is_none() {
                path.push(ancestor);
                ancestor = self.nodes[ancestor].parent;
            }
            let mut place = places[ancestor].unwrap_or(PrefixId::NONE);
            while let Some(next) = path.pop() {
                let Node { len, is_shared, .. } = self.nodes[next];
                if is_shared {
                    // Lengths of prompts were checked to fit.
                    place = prefixes.extend(place, u32::try_from(len).unwrap_or(u32::MAX));
                }
                places[next] = Some(place);
            }
        }
        let places = places.into_iter().map(|place| place.unwrap_or(PrefixId::NONE)).collect();
        (prefixes, Places { places })
    }
}

/// Where the nodes of a [`PromptTree`] went: the deepest shared prefix at or above each.
pub(super) struct Places {
    places: Vec<PrefixId>,
}

impl Places {
    /// Prefix of the prompt, and of prompt and output if that is longer.
    pub(super) fn of(&self, sequence: Sequence) -> (PrefixId, PrefixId) {
        let at = |node: usize| self.places.get(node).copied().unwrap_or(PrefixId::NONE);
        (at(sequence.prompt), sequence.output.map_or(PrefixId::NONE, at))
    }
}

#[cfg(test)]
mod tests;
