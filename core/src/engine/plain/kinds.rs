//! Kinds of events and passes.

/// What an event does; its rank at equal times (section 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Arrive(usize),
    Enqueue(usize),
    Step,
    Left,
    Timeout(usize),
}

impl Kind {
    pub(super) fn rank(self) -> u8 {
        match self {
            Kind::Arrive(_) => 0,
            Kind::Enqueue(_) => 1,
            Kind::Step => 2,
            Kind::Left => 4,
            Kind::Timeout(_) => 5,
        }
    }
}

/// Whom a pass over the running list serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pass {
    All,
    Prompts,
    Decodes,
}
