//! Groups of layers that share a pool of KV blocks.

/// Most kinds of groups that a replica tells apart.
pub const MAX_GROUP_KINDS: usize = 4;

/// What the layers of a group keep of a sequence (KV block specification A1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupKind {
    /// All tokens.
    Full,
    /// The tokens that the next one looks back to, itself included.
    Sliding {
        /// How many these are, at least 1.
        window: u32,
    },
    /// The tokens since the last multiple of a number.
    Chunked {
        /// The number, a multiple of the block size.
        chunk: u32,
    },
    /// One state, whatever the length.
    State {
        /// Whether the step that ends a prompt also stores the state at an earlier token.
        exports_checkpoint: bool,
    },
}

/// Groups that are alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupRun {
    /// What they keep.
    pub kind: GroupKind,
    /// Tokens of a block, at least 1.
    pub block_size: u32,
    /// How many there are, at least 1.
    pub count: u32,
}

/// Which blocks of windows and states can be found again (KV block specification D2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Retention {
    /// Those a hit needs at the end of a prompt, or where the prompts of several requests part: vLLM's default.
    #[default]
    Boundaries,
    /// All.
    Every,
}

/// The groups of a model's layers, in their order.
///
/// Without any, all layers keep all tokens in one group, in blocks of the engine's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KvGroups {
    runs: [Option<GroupRun>; MAX_GROUP_KINDS],
    /// Which blocks of windows and states can be found again.
    pub retention: Retention,
}

impl KvGroups {
    /// Groups in their order, those alike counted together; none if there are more kinds than are told apart, a number is 0,
    /// or chunks do not begin with blocks.
    #[must_use]
    pub fn new(groups: &[GroupRun]) -> Option<Self> {
        let mut found = Self::default();
        let mut len = 0_usize;
        for group in groups {
            let is_whole = match group.kind {
                GroupKind::Sliding { window } => window > 0,
                GroupKind::Chunked { chunk } => chunk > 0 && chunk.checked_rem(group.block_size) == Some(0),
                GroupKind::Full | GroupKind::State { .. } => true,
            };
            if !is_whole || group.block_size == 0 || group.count == 0 {
                return None;
            }
            let last = len.checked_sub(1).and_then(|last| found.runs.get_mut(last)?.as_mut());
            match last.filter(|last| (last.kind, last.block_size) == (group.kind, group.block_size)) {
                Some(last) => last.count = last.count.saturating_add(group.count),
                None => {
                    *found.runs.get_mut(len)? = Some(*group);
                    len = len.saturating_add(1);
                }
            }
        }
        Some(found)
    }

    /// The kinds of groups, in order.
    pub fn runs(&self) -> impl Iterator<Item = GroupRun> + '_ {
        self.runs.iter().copied().flatten()
    }

    /// Whether nothing is said of groups.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.runs().next().is_none()
    }

    /// Tokens that a hit is a multiple of: the least common multiple of the block sizes, 0 without groups, none if it is
    /// too large to be counted.
    #[must_use]
    pub fn alignment(&self) -> Option<u32> {
        let mut sizes = self.runs().map(|run| run.block_size);
        let Some(first) = sizes.next() else { return Some(0) };
        sizes.try_fold(first, |multiple, size| {
            let (mut left, mut right) = (multiple, size);
            while right > 0 {
                (left, right) = (right, left.checked_rem(right)?);
            }
            multiple.checked_div(left)?.checked_mul(size)
        })
    }
}
