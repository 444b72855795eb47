//! Who is equal to whom among tokens, and among blocks of them, as the oracles see it.

use crate::workload::{PrefixId, PrefixTree, Request};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// Equal tokens have equal identity: the segment (or request) they belong to and their place in the sequence.
pub(super) type TokenRun = (Source, u32, u32);

/// What a token belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    /// A shared segment.
    Segment(PrefixId),
    /// Nobody but this request.
    Request(u32),
}

/// Identity of a full block and of all before it: an interned chain of token runs.
pub(super) type Key = u32;

/// All identities so far.
#[derive(Debug, Default)]
pub(super) struct Identities {
    interned: BTreeMap<(Option<Key>, Vec<TokenRun>), Key>,
}

impl Identities {
    /// The identity of a block with these tokens behind the block `before`.
    pub(super) fn chain(&mut self, before: Option<Key>, runs: Vec<TokenRun>) -> Key {
        let next = self.interned.len() as Key;
        *self.interned.entry((before, runs)).or_insert(next)
    }

    /// The identity of a request's block of `count` tokens from `from` on, behind the block `before`.
    pub(super) fn of_block(
        &mut self,
        before: Option<Key>,
        request: &Request,
        prefixes: &PrefixTree,
        from: u32,
        count: u32,
    ) -> Key {
        self.chain(before, runs(request, prefixes, from, count))
    }
}

/// The tokens of a request's prompt-then-output sequence at `[from, from + count)`.
pub(super) fn runs(request: &Request, prefixes: &PrefixTree, from: u32, count: u32) -> Vec<TokenRun> {
    let mut runs = Vec::new();
    for at in from..from + count {
        let shared = if at < request.input_tokens { request.prefix } else { request.output_prefix };
        let mut node = shared;
        while node != PrefixId::NONE && at < prefixes.tokens(prefixes.parent(node)) {
            node = prefixes.parent(node);
        }
        let source = if node != PrefixId::NONE && at < prefixes.tokens(node) {
            Source::Segment(node)
        } else {
            Source::Request(request.id)
        };
        push_run(&mut runs, (source, at, 1));
    }
    runs
}

/// Adds tokens at the end, to the last run where they continue it.
pub(super) fn push_run(runs: &mut Vec<TokenRun>, (source, from, count): TokenRun) {
    match runs.last_mut() {
        Some((last, start, length)) if *last == source && *start + *length == from => *length += count,
        _ => runs.push((source, from, count)),
    }
}
