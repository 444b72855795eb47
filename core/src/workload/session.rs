//! Conversations and users under way.

use super::PrefixId;
use crate::random::Stream;

/// A conversation, or a user who waits for answers.
#[derive(Debug, Clone)]
pub(super) struct Session {
    /// The client it belongs to.
    pub client: u32,
    /// Position among the client's sessions.
    pub number: u32,
    /// Position among the sessions of the run.
    pub id: u32,
    /// Turns so far.
    pub round: u32,
    /// When the next turn arrives.
    pub arrive: i64,
    /// What the next prompt begins with.
    pub context: PrefixId,
    /// Length of that, tokens.
    pub context_tokens: u32,
    /// The last prompt, of an accumulating conversation.
    pub prompt: PrefixId,
    /// Tokens of its answer that the next prompt is planned to hold.
    pub planned: u32,
    pub input: Stream,
    pub output: Stream,
}

/// A turn whose arrival is known, ordered by arrival, then as the clients are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Turn {
    pub time: i64,
    pub client: u32,
    /// Position among the client's sessions.
    pub session: u32,
    pub slot: u32,
}
