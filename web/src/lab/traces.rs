//! The traces the lab's workers know, and how they come to know those the page's workers have read.

use super::state::Lab;
use leptos::prelude::*;
use plimsoll_core::diagnostic::Diagnostic;
use plimsoll_protocol::{Failure, FileContent};
use web_sys::Blob;

/// As many traces as a worker keeps, the newest ones.
const MAX_KEPT: usize = 8;

/// A trace the lab's workers have read.
#[derive(Debug, Clone, PartialEq)]
pub struct Known {
    /// Its hash, as a scenario names it.
    pub hash: String,
    /// Requests in it.
    pub num_requests: u64,
    /// First to last arrival, seconds.
    pub span_s: f64,
}

/// A file given to the workers, and what it turned out to be once that is known.
#[derive(Clone)]
struct Entry {
    file: Blob,
    known: Option<Known>,
    is_read: bool,
}

/// The files given to the workers; a handle that is copied freely.
#[derive(Clone, Copy)]
pub struct Traces(RwSignal<Vec<Entry>, LocalStorage>);

impl Traces {
    /// No file was given yet.
    #[must_use]
    pub fn new() -> Self {
        Self(RwSignal::new_local(Vec::new()))
    }

    /// A trace by its hash, if the workers know it.
    #[must_use]
    pub fn get(&self, hash: &str) -> Option<Known> {
        self.0.with(|entries| {
            entries.iter().filter_map(|entry| entry.known.as_ref()).find(|known| known.hash == hash).cloned()
        })
    }

    /// Has the workers read a file; a trace is known from then on.
    pub fn read(
        self,
        lab: Lab,
        name: &str,
        file: &Blob,
        hear: impl FnOnce(Result<(FileContent, Vec<Diagnostic>), Failure>) + 'static,
    ) {
        self.0.update(|entries| {
            entries.retain(|entry| entry.file != *file);
            if entries.len() == MAX_KEPT {
                entries.remove(0);
            }
            entries.push(Entry { file: file.clone(), known: None, is_read: false });
        });
        let own = file.clone();
        let hear = move |result: Result<(FileContent, Vec<Diagnostic>), Failure>| {
            let known = match &result {
                Ok((FileContent::Trace { hash, num_requests, span_s, .. }, _)) => {
                    Some(Known { hash: hash.clone(), num_requests: *num_requests, span_s: *span_s })
                }
                _ => None,
            };
            self.0.update(|entries| {
                if let Some(entry) = entries.iter_mut().find(|entry| entry.file == own) {
                    entry.known = known;
                    entry.is_read = true;
                }
            });
            hear(result);
        };
        let (name, file) = (name.to_owned(), file.clone());
        lab.with_crew(move |crew| crew.read_file(&name, &file, hear));
    }

    /// Whether the trace of the page's scenario is not known yet but may be among files that are on their way.
    #[must_use]
    pub fn is_coming(&self, lab: Lab) -> bool {
        let hash = lab.scene.with(|scene| scene.trace.clone());
        if hash.is_empty() || self.get(&hash).is_some() {
            return false;
        }
        self.0.with(|entries| entries.iter().any(|entry| !entry.is_read)) || !self.unread(lab).is_empty()
    }

    /// Has the workers read what the page's have read whenever the scenario replays a trace they do not know.
    pub fn follow(self, lab: Lab) {
        Effect::new(move |_| {
            let is_unknown = lab.scene.with(|scene| !scene.trace.is_empty() && self.get(&scene.trace).is_none());
            if is_unknown && lab.crew.with(Option::is_some) {
                for (name, file) in self.unread(lab) {
                    // A file that is no trace was spoken about when the page read it.
                    self.read(lab, &name, &file, drop);
                }
            }
        });
    }

    /// The page's files that the lab's workers were not given.
    fn unread(&self, lab: Lab) -> Vec<(String, Blob)> {
        let files = lab.page(|page| page.files());
        let all = files.iter().map(|found| (found.name(), found.file()));
        self.0.with(|entries| all.filter(|(_, file)| !entries.iter().any(|entry| entry.file == *file)).collect())
    }
}

impl Default for Traces {
    fn default() -> Self {
        Self::new()
    }
}
