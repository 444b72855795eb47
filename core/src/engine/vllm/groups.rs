//! The life of KV blocks where layers keep different parts of a sequence: arithmetic alone (KV block specification).
//!
//! Both engines ask here which places of a sequence have a block; what a block is they know for themselves. Recorded
//! decisions of vLLM's scheduler hold these rules (`tests/vllm-scheduler`, cases from 51 on).

use crate::scenario::{Batching, EngineConfig, GroupKind, GroupRun, Retention, VllmRules};
use alloc::vec::Vec;
use core::ops::Range;

/// Groups that are alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kind {
    /// What they keep.
    pub kind: GroupKind,
    /// Tokens of a block.
    pub block_size: u32,
    /// How many there are.
    pub count: u32,
    /// Most blocks that a sequence holds in each (B4).
    cap: u32,
}

/// A prompt whose blocks are thought of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Prompt {
    /// Its own tokens.
    pub tokens: u32,
    /// Tokens known, answers included.
    pub known: u32,
    /// Where others part from it, as far as its last lookup has seen; 0 = nowhere (D3).
    pub junction: u32,
}

impl Prompt {
    /// Where its recomputation ends at the latest: the last token but one of a sequence that resumes.
    fn end(self) -> u32 {
        self.tokens.max(self.known.saturating_sub(1))
    }
}

/// What a lookup has found (D1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Hit {
    /// Leading tokens that all groups can do without.
    pub tokens: u32,
    /// Where the groups that keep all tokens would have gone on to; 0 if that is no further.
    pub junction: u32,
}

/// The blocks that an allocation adds to the table of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Growth {
    /// Places from the end of the table on that stay without a block.
    pub empty: u32,
    /// Blocks behind them.
    pub blocks: u32,
}

/// The kinds of groups of a replica.
#[derive(Debug, Clone)]
pub(super) struct Groups {
    pub kinds: Vec<Kind>,
    /// Tokens that a hit is a multiple of.
    pub alignment: u32,
    /// Tokens between the places at which sequences are told apart.
    pub key_size: u32,
    retention: Retention,
    /// Tokens of a block of states, and whether the last step of a prompt exports one; none if no prompt is shaped.
    states: Option<(u32, bool)>,
    /// Most tokens of a chunk whatever else is in the step.
    longest_chunk: u32,
}

fn greatest_common_divisor(mut left: u32, mut right: u32) -> u32 {
    while right > 0 {
        (left, right) = (right, left % right);
    }
    left
}

impl Groups {
    pub(super) fn of(config: &EngineConfig, rules: &VllmRules) -> Self {
        let is_async = u32::from(rules.batching == Batching::Async);
        let in_flight = config.max_num_batched_tokens.saturating_mul(1 + is_async);
        let is_caching = config.enable_prefix_caching;
        let of_run = |GroupRun { kind, block_size, count }: GroupRun| {
            let blocks = |tokens: u32| tokens.div_ceil(block_size);
            let (kind, block_size, cap) = match kind {
                GroupKind::Full => (kind, block_size, u32::MAX),
                GroupKind::Sliding { window } => {
                    (kind, block_size, blocks((window - 1).saturating_add(in_flight)).saturating_add(1))
                }
                GroupKind::Chunked { chunk } => (kind, block_size, blocks(chunk.saturating_add(in_flight))),
                GroupKind::State { exports_checkpoint } if is_caching => {
                    // The server reckons with fewer: what a step in flight reads or exports has blocks too.
                    let exported = u32::from(exports_checkpoint);
                    let of_each_step = if rules.groups.retention == Retention::Every { exported } else { 0 };
                    (kind, block_size, 2 + exported + is_async * (1 + of_each_step))
                }
                // Nobody will continue from it, so that one block does for the whole sequence.
                GroupKind::State { .. } => (GroupKind::Full, u32::MAX, 1),
            };
            Kind { kind, block_size, count, cap }
        };
        let mut kinds: Vec<Kind> = rules.groups.runs().map(of_run).collect();
        if kinds.is_empty() {
            kinds.push(of_run(GroupRun { kind: GroupKind::Full, block_size: config.block_size, count: 1 }));
        }
        let states = kinds.iter().find_map(|kind| match kind.kind {
            GroupKind::State { exports_checkpoint } => Some((kind.block_size, exports_checkpoint)),
            _ => None,
        });
        let threshold = config.long_prefill_token_threshold;
        Self {
            key_size: kinds.iter().map(|kind| kind.block_size).fold(0, greatest_common_divisor),
            alignment: config.block_size,
            retention: rules.groups.retention,
            states,
            longest_chunk: config.max_num_batched_tokens.min(if threshold > 0 { threshold } else { u32::MAX }),
            kinds,
        }
    }

    /// Blocks that a sequence of so many tokens needs at most at a time, if it is alone.
    pub(super) fn alone(&self, tokens: u64) -> u64 {
        let of_kind = |kind: &Kind| {
            u64::from(kind.count).saturating_mul(tokens.div_ceil(kind.block_size.into()).min(kind.cap.into()))
        };
        self.kinds.iter().map(of_kind).fold(0, u64::saturating_add)
    }

    /// Blocks that an admission takes for tokens that count as cached without having been found.
    pub(super) fn standing_in(&self, found: u32, cached: u32) -> u32 {
        let of_kind =
            |kind: &Kind| kind.count * (cached / kind.block_size).saturating_sub(kind.begins_at(found, cached));
        self.kinds.iter().filter(|kind| !kind.is_state()).map(of_kind).sum()
    }

    /// How many of the first `tokens` tokens can have keys (D2).
    pub(super) fn cacheable(&self, tokens: u32) -> u32 {
        tokens - tokens % self.alignment
    }

    /// The place of the state at the end of a prompt, if a request stores it with so many tokens cached: as long as it does
    /// so others have to wait for the next call (D4).
    pub(super) fn is_renewed(&self, kind: &Kind, tokens: u32, prompt: Prompt) -> Option<u32> {
        let end = prompt.tokens.saturating_sub(1) / self.key_size * self.key_size;
        let is_end = kind.is_state() && end > 0 && self.cacheable(tokens) == end;
        is_end.then(|| end / kind.block_size - 1)
    }

    /// How many of the full blocks at these places get a key.
    pub(super) fn count_kept(&self, kind: &Kind, prompt: Prompt, places: Range<u32>) -> u32 {
        if kind.keeps_all_keys() {
            return places.len() as u32;
        }
        if self.retention == Retention::Every {
            return places.filter(|place| self.keeps(kind, *place, prompt)).count() as u32;
        }
        let common = |left: &Range<u32>, right: &Range<u32>| left.start.max(right.start)..left.end.min(right.end);
        let [resent, parting] = self.kept(kind, prompt);
        let both = common(&resent, &parting);
        let counted = |kept: &Range<u32>| common(kept, &places).len() as u32;
        counted(&resent) + counted(&parting) - counted(&both)
    }

    /// Whether something counts as found where no block is: of chunks alone, all before the last one.
    pub(super) fn finds_without_blocks(&self) -> bool {
        self.kinds.iter().all(|kind| matches!(kind.kind, GroupKind::Chunked { .. }))
    }

    /// Whether the full block at a place gets a key (D2, D3).
    pub(super) fn keeps(&self, kind: &Kind, place: u32, prompt: Prompt) -> bool {
        let needed = kind.needed_for_hit();
        if kind.keeps_all_keys() {
            return true;
        }
        if self.retention == Retention::Every {
            let of_segment = self.alignment / kind.block_size;
            return kind.is_state() || needed >= of_segment || place % of_segment >= of_segment - needed;
        }
        self.kept(kind, prompt).iter().any(|kept| kept.contains(&place))
    }

    /// The places whose blocks a hit needs at the end of a prompt, and where others part from it.
    fn kept(&self, kind: &Kind, prompt: Prompt) -> [Range<u32>; 2] {
        [prompt.tokens.saturating_sub(1), prompt.junction].map(|boundary| {
            let end = self.cacheable(boundary) / kind.block_size;
            end.saturating_sub(kind.needed_for_hit())..end
        })
    }

    /// The longest hit among the first `known` tokens, the last one left out; `is_cached` tells of all groups of a kind
    /// whether the block at a place is found (D1).
    pub(super) fn hit(&self, known: u32, mut is_cached: impl FnMut(usize, u32) -> bool) -> Hit {
        let is_full = |kind: &Kind| kind.kind == GroupKind::Full;
        let is_simple = self.kinds.len() == 2 && self.kinds.iter().filter(|kind| is_full(kind)).count() == 1;
        let (mut hit, mut longest, mut first_pass) = (known.saturating_sub(1), 0, true);
        loop {
            let mut candidate = hit;
            // Groups that keep everything know at once how far they go; whatever is shorter they have too.
            for pass in [true, false] {
                for (at, kind) in self.kinds.iter().enumerate().filter(|(_, kind)| is_full(kind) == pass) {
                    if pass && !first_pass {
                        continue;
                    }
                    candidate = self.shortened(kind, candidate, |place| is_cached(at, place));
                    longest = longest.max(candidate);
                }
            }
            first_pass = false;
            let is_settled = candidate >= hit;
            hit = candidate;
            if is_settled || is_simple {
                break;
            }
        }
        Hit { tokens: hit, junction: if longest > hit { longest } else { 0 } }
    }

    /// The longest hit of one kind within a candidate.
    fn shortened(&self, kind: &Kind, candidate: u32, mut is_cached: impl FnMut(u32) -> bool) -> u32 {
        let size = kind.block_size;
        let most = candidate / size;
        match kind.kind {
            GroupKind::Full | GroupKind::Chunked { .. } => {
                let first = match kind.kind {
                    GroupKind::Chunked { chunk } => candidate / chunk * chunk / size,
                    _ => 0,
                };
                let end = (first..most).find(|place| !is_cached(*place)).unwrap_or(most.max(first));
                self.cacheable(end * size)
            }
            GroupKind::Sliding { .. } => {
                let needed = kind.needed_for_hit();
                let mut run = 0;
                for place in (0..most).rev() {
                    if !is_cached(place) {
                        run = 0;
                    } else if run > 0 || self.cacheable((place + 1) * size) == (place + 1) * size {
                        run += 1;
                        if run >= needed {
                            return (place + run) * size;
                        }
                    }
                }
                // All from the start is enough where the window begins before it.
                self.cacheable(run * size)
            }
            GroupKind::State { .. } => {
                let is_end = |end: &u32| self.cacheable(end * size) == end * size && is_cached(end - 1);
                (1..=most).rev().find(is_end).unwrap_or(0) * size
            }
        }
    }

    /// Where a chunk of a prompt ends that would go from `start` to `start + tokens`, in tokens from `start` on: states
    /// can be found again only where a step ends (C2).
    pub(super) fn shaped(&self, prompt: Prompt, start: u32, tokens: u32) -> u32 {
        let Some((size, exports)) = self.states else { return tokens };
        if start >= prompt.end() {
            return tokens;
        }
        let mut end = start + tokens;
        let is_exported =
            exports && end >= prompt.end() && self.checkpoint(size, start, end, self.below(prompt.end())).is_some();
        let last = if is_exported { 0 } else { prompt.known.saturating_sub(1) / size * size };
        if end < prompt.end() {
            let aligned = end / size * size;
            if aligned > start || size <= self.longest_chunk {
                end = aligned;
            }
        }
        let next = if start.is_multiple_of(size) || is_exported { 0 } else { (start / size + 1) * size };
        let parting = if start < prompt.junction && prompt.junction < end {
            start + (prompt.junction - start) / size * size
        } else {
            0
        };
        let is_inside = |stop: &u32| start < *stop && *stop < end;
        [next, last, parting].into_iter().filter(is_inside).min().unwrap_or(end).saturating_sub(start)
    }

    /// The last multiple of the alignment before the end of a sequence.
    fn below(&self, tokens: u32) -> u32 {
        self.cacheable(tokens.saturating_sub(1))
    }

    /// The place of the state that a step from `start` to `end` exports, if it can export that at `position` (C3).
    fn checkpoint(&self, size: u32, start: u32, end: u32, position: u32) -> Option<u32> {
        let is_apart = end.div_ceil(size) >= start.div_ceil(size) + 2;
        let is_valid = start.is_multiple_of(self.key_size)
            && is_apart
            && start + self.key_size <= position
            && start < position
            && position < end;
        is_valid.then(|| end.div_ceil(size) - 2)
    }

    /// What an allocation for the tokens up to `end`, of which `start` are computed, adds to a table of `len` places (B2).
    pub(super) fn growth(&self, kind: &Kind, prompt: Prompt, len: u32, start: u32, end: u32) -> Growth {
        let places = kind.places(end);
        let GroupKind::State { exports_checkpoint } = kind.kind else {
            return Growth { empty: 0, blocks: places.saturating_sub(len) };
        };
        // With all states kept, every step exports one.
        let is_last = end >= prompt.end() || self.retention == Retention::Every;
        let place = self.checkpoint(kind.block_size, start, end, self.below(end)).filter(|place| *place >= len);
        let exported = u32::from(exports_checkpoint && is_last && place.is_some());
        if places <= len {
            return Growth { empty: 0, blocks: 0 };
        }
        let first = len.max(places - 1 - exported);
        Growth { empty: first - len, blocks: places - first }
    }

    /// Blocks of a kind that an admission asks for in each group, of a sequence of `whole` tokens that has `found` tokens
    /// and computes from `cached` on (B4).
    pub(super) fn asked(&self, kind: &Kind, prompt: Prompt, found: u32, cached: u32, whole: u32) -> u32 {
        if kind.is_state() {
            return self.growth(kind, prompt, kind.begins_at(found, cached), cached, whole).blocks;
        }
        kind.places(whole).min(kind.cap).saturating_sub(kind.begins_at(found, cached))
    }
}

impl Kind {
    /// Places of so many tokens.
    #[inline]
    pub(super) fn places(&self, tokens: u32) -> u32 {
        tokens.div_ceil(self.block_size)
    }

    /// Places before which nothing is needed any more once so many tokens are computed and settled (B1).
    #[inline]
    pub(super) fn skipped(&self, done: u32) -> u32 {
        let tokens = match self.kind {
            GroupKind::Full => 0,
            GroupKind::Sliding { window } => done.saturating_sub(window - 1),
            GroupKind::Chunked { chunk } => done / chunk * chunk,
            GroupKind::State { .. } => done.saturating_sub(1),
        };
        tokens / self.block_size
    }

    /// The places whose blocks a request takes over that has found so many tokens and computes from `cached` on (D1).
    #[inline]
    pub(super) fn taken_over(&self, found: u32, cached: u32) -> Range<u32> {
        let first = self.skipped(cached);
        first..first.max(found / self.block_size)
    }

    /// The places that the table of an admitted request has before it grows.
    #[inline]
    fn begins_at(&self, found: u32, cached: u32) -> u32 {
        self.taken_over(found, cached).end
    }

    /// Blocks before the end of a hit that must be there.
    fn needed_for_hit(&self) -> u32 {
        match self.kind {
            GroupKind::Sliding { window } => (window - 1).div_ceil(self.block_size),
            _ => 1,
        }
    }

    /// Whether it keeps a state.
    #[inline]
    pub(super) fn is_state(&self) -> bool {
        matches!(self.kind, GroupKind::State { .. })
    }

    /// Whether every full block gets a key.
    #[inline]
    pub(super) fn keeps_all_keys(&self) -> bool {
        matches!(self.kind, GroupKind::Full | GroupKind::Chunked { .. })
    }
}
