//! Shared prefixes as a tree of segments.
//!
//! Two prompts agree in exactly the tokens of the segments they share from the root, so the identity of a full
//! KV block is (node that holds its last token, block index): equal if and only if all tokens up to there are equal.

use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// A node of a [`PrefixTree`]; [`PrefixId::NONE`] is the root, the empty prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PrefixId(pub u32);

impl PrefixId {
    /// The empty prefix.
    pub const NONE: PrefixId = PrefixId(0);
}

/// A segment of tokens following its parent's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Segment {
    parent: PrefixId,
    /// Tokens from the start of the prompt to the end of this segment.
    end: u32,
}

/// All prefixes of a workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrefixTree {
    /// Index = node id; entry 0 is the root.
    segments: Vec<Segment>,
}

impl Default for PrefixTree {
    fn default() -> Self {
        Self::new()
    }
}

impl PrefixTree {
    /// A tree that holds only the empty prefix.
    #[must_use]
    pub fn new() -> Self {
        Self { segments: alloc::vec![Segment { parent: PrefixId::NONE, end: 0 }] }
    }

    /// Adds a segment of `tokens` new tokens behind `parent`, distinct from every other segment.
    ///
    /// An unknown parent is taken as the root, and a tree of 2³² nodes adds nothing more.
    pub fn extend(&mut self, parent: PrefixId, tokens: u32) -> PrefixId {
        let parent = if (parent.0 as usize) < self.segments.len() { parent } else { PrefixId::NONE };
        let Ok(id) = u32::try_from(self.segments.len()) else { return parent };
        let end = self.tokens(parent).saturating_add(tokens);
        self.segments.push(Segment { parent, end });
        PrefixId(id)
    }

    /// Tokens from the start of the prompt to the end of `node`; 0 for an unknown node.
    #[inline]
    #[must_use]
    pub fn tokens(&self, node: PrefixId) -> u32 {
        self.segments.get(node.0 as usize).map_or(0, |segment| segment.end)
    }

    /// The node before `node`; the root is its own parent.
    #[inline]
    #[must_use]
    pub fn parent(&self, node: PrefixId) -> PrefixId {
        self.segments.get(node.0 as usize).map_or(PrefixId::NONE, |segment| segment.parent)
    }

    /// Number of nodes, the root included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.segments.len()
    }

    /// Whether there is nothing but the empty prefix.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.segments.len() == 1
    }
}
