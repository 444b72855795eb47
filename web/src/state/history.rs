//! Undo and redo over the whole scenario.

/// Steps kept; a scenario with all that the page shows of it is a few thousand bytes.
const MAX_STEPS: usize = 200;

/// The scenarios before and after the present one.
#[derive(Debug)]
pub struct History<T> {
    past: Vec<T>,
    future: Vec<T>,
    /// The field whose edits belong to the newest step, while it is still open.
    open_field: Option<String>,
}

impl<T> Default for History<T> {
    fn default() -> Self {
        Self { past: Vec::new(), future: Vec::new(), open_field: None }
    }
}

impl<T: Clone> History<T> {
    /// Notes the scenario as it was before an edit of `field`.
    ///
    /// A run of edits of one field (a drag) is one step until [`History::close`].
    pub fn record(&mut self, before: &T, field: &str) {
        self.future.clear();
        if self.open_field.as_deref() == Some(field) {
            return;
        }
        self.open_field = Some(field.to_owned());
        if self.past.len() == MAX_STEPS {
            self.past.remove(0);
        }
        self.past.push(before.clone());
    }

    /// Ends the present step: the next edit, even of the same field, is a step of its own.
    pub fn close(&mut self) {
        self.open_field = None;
    }

    /// The scenario before the newest step, given the present one.
    pub fn undo(&mut self, present: &T) -> Option<T> {
        self.close();
        let before = self.past.pop()?;
        self.future.push(present.clone());
        Some(before)
    }

    /// The scenario after the newest undone step, given the present one.
    pub fn redo(&mut self, present: &T) -> Option<T> {
        self.close();
        let after = self.future.pop()?;
        self.past.push(present.clone());
        Some(after)
    }

    /// Whether there is a step to undo.
    #[must_use]
    pub fn can_undo(&self) -> bool {
        !self.past.is_empty()
    }

    /// Whether there is a step to redo.
    #[must_use]
    pub fn can_redo(&self) -> bool {
        !self.future.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drag_is_one_step_and_a_second_drag_another() {
        let mut history = History::default();
        history.record(&1, "slo.ttft_ms");
        history.record(&2, "slo.ttft_ms");
        history.close();
        history.record(&3, "slo.ttft_ms");
        assert_eq!(history.undo(&4), Some(3));
        assert_eq!(history.undo(&3), Some(1));
        assert_eq!(history.undo(&1), None);
        assert_eq!(history.redo(&1), Some(3));
    }

    #[test]
    fn an_edit_after_undo_forgets_the_future() {
        let mut history = History::default();
        history.record(&1, "seed");
        assert_eq!(history.undo(&2), Some(1));
        assert!(history.can_redo());
        history.record(&1, "seed");
        assert!(!history.can_redo());
        assert!(history.can_undo());
    }
}
