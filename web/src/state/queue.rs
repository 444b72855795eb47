//! Edits on their way to the desk: one is asked at a time, the rest wait, and a movement keeps its newest position only.

use plimsoll_protocol::Edit;
use std::collections::VecDeque;

/// What a change means for history and address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Part of a movement: replaces the address, joins the last undo step of the same field.
    Drag,
    /// A deliberate step: a new entry in the browser's history.
    Deliberate,
}

/// Where a change comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The page is being opened: nothing was before.
    Opening,
    /// The address: back, forward, or an edited fragment.
    Address,
    /// A control or a file.
    Control,
}

/// A change that the desk is asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// The change.
    pub edit: Edit,
    /// Path of its field, which names the undo step; empty for the whole.
    pub field: String,
    /// What it means for history and address.
    pub step: Step,
    /// Where it comes from.
    pub origin: Origin,
    /// What to say when it is done; empty for nothing.
    pub text: String,
    /// Whether the movement ends with it.
    pub is_last: bool,
    /// Whether a worker was lost over it.
    pub is_retried: bool,
}

impl Asked {
    /// A change by a control of this field.
    #[must_use]
    pub fn by_control(field: &str, step: Step, edit: Edit) -> Self {
        Self {
            edit,
            field: field.to_owned(),
            step,
            origin: Origin::Control,
            text: String::new(),
            is_last: step == Step::Deliberate,
            is_retried: false,
        }
    }

    /// What an address says: its fragment, or the base where there is none.
    #[must_use]
    pub fn by_address(fragment: String, origin: Origin) -> Self {
        let edit = if fragment.is_empty() { Edit::Base } else { Edit::Link { fragment } };
        Self { origin, is_last: true, ..Self::by_control("", Step::Drag, edit) }
    }

    /// The same with something to say when it is done.
    #[must_use]
    pub fn saying(self, text: String) -> Self {
        Self { text, ..self }
    }
}

/// The edits on their way.
#[derive(Debug, Default)]
pub struct Queue {
    asked: Option<Asked>,
    waiting: VecDeque<Asked>,
}

impl Queue {
    /// Puts a change in line; it replaces the last one that waits if both belong to one movement.
    pub fn push(&mut self, asked: Asked) {
        let is_same = |last: &Asked| {
            last.step == Step::Drag && asked.step == Step::Drag && !last.is_last && last.field == asked.field
        };
        if self.waiting.back().is_some_and(is_same) {
            self.waiting.pop_back();
        }
        self.waiting.push_back(asked);
    }

    /// The next change, if none is being asked; it then is.
    pub fn ask(&mut self) -> Option<&Asked> {
        if self.asked.is_some() {
            return None;
        }
        self.asked = self.waiting.pop_front();
        self.asked.as_ref()
    }

    /// The change that was asked is over.
    pub fn take(&mut self) -> Option<Asked> {
        self.asked.take()
    }

    /// The worker that was asked is lost: the change is the next one again, once.
    ///
    /// Gives back what was lost before.
    pub fn retry(&mut self) -> Option<Asked> {
        let asked = self.asked.take()?;
        if asked.is_retried {
            return Some(asked);
        }
        self.waiting.push_front(Asked { is_retried: true, ..asked });
        None
    }

    /// Ends the movement with the newest change; whether there is one on its way.
    pub fn settle(&mut self) -> bool {
        let newest = self.waiting.back_mut().or(self.asked.as_mut());
        newest.map(|asked| asked.is_last = true).is_some()
    }

    /// Forgets what is on its way; an answer that still comes is not wanted.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Whether nothing is on its way.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.asked.is_none() && self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moved(field: &str, value: f64) -> Asked {
        Asked::by_control(field, Step::Drag, Edit::Number { path: field.into(), value: Some(value) })
    }

    fn next(queue: &mut Queue) -> Option<Edit> {
        let edit = queue.ask().map(|asked| asked.edit.clone());
        queue.take();
        edit
    }

    #[test]
    fn a_movement_keeps_its_newest_position_and_other_edits_their_order() {
        let mut queue = Queue::default();
        for asked in [moved("a", 1.0), moved("a", 2.0), moved("b", 3.0), moved("a", 4.0)] {
            queue.push(asked);
        }
        let edits: Vec<Edit> = core::iter::from_fn(|| next(&mut queue)).collect();
        assert_eq!(edits, [moved("a", 2.0).edit, moved("b", 3.0).edit, moved("a", 4.0).edit]);
        assert!(queue.is_empty());
    }

    #[test]
    fn one_is_asked_at_a_time_and_is_not_replaced() {
        let mut queue = Queue::default();
        queue.push(moved("a", 1.0));
        assert!(queue.ask().is_some());
        queue.push(moved("a", 2.0));
        assert!(queue.ask().is_none());
        assert_eq!(queue.take(), Some(moved("a", 1.0)));
        assert_eq!(next(&mut queue), Some(moved("a", 2.0).edit));
    }

    #[test]
    fn a_settled_movement_is_not_continued_by_the_next() {
        let mut queue = Queue::default();
        assert!(!queue.settle());
        queue.push(moved("a", 1.0));
        assert!(queue.settle());
        queue.push(moved("a", 2.0));
        assert!(queue.ask().is_some_and(|asked| asked.is_last));
        queue.take();
        assert!(queue.ask().is_some_and(|asked| !asked.is_last));
    }

    #[test]
    fn what_a_lost_worker_was_asked_is_asked_again_once() {
        let mut queue = Queue::default();
        queue.push(moved("a", 1.0));
        queue.push(moved("b", 2.0));
        assert!(queue.ask().is_some());
        assert_eq!(queue.retry(), None);
        assert!(queue.ask().is_some_and(|asked| asked.field == "a"));
        assert!(queue.retry().is_some_and(|asked| asked.field == "a"));
        assert_eq!(next(&mut queue), Some(moved("b", 2.0).edit));
    }

    #[test]
    fn the_address_without_a_fragment_means_the_base() {
        assert_eq!(Asked::by_address(String::new(), Origin::Opening).edit, Edit::Base);
        let asked = Asked::by_address("v1;1".into(), Origin::Address);
        assert_eq!(asked.edit, Edit::Link { fragment: "v1;1".into() });
    }
}
