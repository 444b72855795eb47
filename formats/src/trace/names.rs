//! Names by number.

use std::collections::HashMap;

/// Names by order of first appearance.
#[derive(Default)]
pub(super) struct Names {
    pub(super) names: Vec<String>,
    known: HashMap<String, u32>,
}

impl Names {
    pub(super) fn with_unnamed() -> Self {
        let mut names = Self::default();
        names.index("");
        names
    }

    pub(super) fn index(&mut self, name: &str) -> u32 {
        if let Some(&index) = self.known.get(name) {
            return index;
        }
        let index = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        self.names.push(name.to_owned());
        self.known.insert(name.to_owned(), index);
        index
    }
}
