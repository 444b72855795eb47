//! The page's state as signals, and every way to change it.
//!
//! One [`Scenario`] is the truth; results, links, history and controls follow from it.

use crate::charts::plotly::Redraws;
use crate::controller::{Controller, Shown};
use crate::state::history::History;
use crate::state::view::View;
use crate::state::{link, storage};
use leptos::prelude::*;
use plimsoll_core::diagnostic::{Diagnostic, Severity};
use plimsoll_core::scenario::Scenario;
use std::rc::Rc;

/// What a change means for history and address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Part of a movement: replaces the address, joins the last undo step of the same field.
    Drag,
    /// A deliberate step: a new entry in the browser's history.
    Deliberate,
}

/// A line at the edge of the page that goes away by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Toast {
    /// What happened.
    pub text: String,
    /// Whether it can be undone from the line.
    pub has_undo: bool,
}

/// Which dialog is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialog {
    /// Paste a `config.json`.
    Config,
    /// Define an accelerator.
    Accelerator,
    /// Keyboard shortcuts.
    Shortcuts,
}

/// The page's state; a handle that is copied freely.
#[derive(Clone, Copy)]
pub struct Page {
    /// The scenario.
    pub scenario: RwSignal<Scenario>,
    /// How results are looked at.
    pub view: RwSignal<View>,
    /// The results on the screen.
    pub shown: RwSignal<Option<Rc<Shown>>, LocalStorage>,
    /// Whether the results belong to an older scenario than the editor's.
    pub is_stale: RwSignal<bool>,
    /// Trials done and expected of what runs for a while already.
    pub progress: RwSignal<Option<(u64, u64)>>,
    /// What `resolve` says about the scenario.
    pub diagnostics: RwSignal<Vec<Diagnostic>>,
    /// Why there are no results, if the simulator does not work.
    pub trouble: RwSignal<Option<String>>,
    /// What a link or a file had to say.
    pub notices: RwSignal<Vec<Diagnostic>>,
    /// A passing message.
    pub toast: RwSignal<Option<Toast>>,
    /// The open dialog.
    pub dialog: RwSignal<Option<Dialog>>,
    /// Grows when colours change.
    pub theme: RwSignal<u32>,
    /// Which charts still have to be drawn.
    pub redraws: StoredValue<Redraws, LocalStorage>,
    /// Undo and redo.
    pub history: RwSignal<History>,
    controller: StoredValue<Option<Controller>, LocalStorage>,
}

impl Page {
    /// The page as its address, or the last visit, or the default says.
    #[must_use]
    pub fn open() -> Self {
        let page = Self {
            scenario: RwSignal::new(Scenario::default()),
            view: RwSignal::new(View::default()),
            shown: RwSignal::new_local(None),
            is_stale: RwSignal::new(false),
            progress: RwSignal::new(None),
            diagnostics: RwSignal::new(Vec::new()),
            trouble: RwSignal::new(None),
            notices: RwSignal::new(Vec::new()),
            toast: RwSignal::new(None),
            dialog: RwSignal::new(None),
            theme: RwSignal::new(0),
            redraws: StoredValue::new_local(Redraws::default()),
            history: RwSignal::new(History::default()),
            controller: StoredValue::new_local(None),
        };
        let fragment = storage::fragment();
        if fragment.is_empty() {
            if let Some(kept) = storage::last_session() {
                page.read_link(&kept);
            }
        } else {
            storage::keep_previous_session();
            page.read_link(&fragment);
        }
        page
    }

    /// Gives the page the part that computes.
    pub fn attach(&self, controller: Controller) {
        self.controller.set_value(Some(controller));
        self.recompute();
    }

    /// Changes the scenario by a control of this field.
    pub fn edit(&self, field: &str, step: Step, change: impl FnOnce(&mut Scenario)) {
        crate::charts::plotly::mark("plimsoll:input", self.with_controller(Controller::job));
        let before = self.scenario.get_untracked();
        let mut after = before.clone();
        change(&mut after);
        if after == before {
            return;
        }
        self.history.update(|history| {
            history.record(&before, field);
            if step == Step::Deliberate {
                history.close();
            }
        });
        self.scenario.set(after);
        self.recompute();
        storage::remember(self, step);
    }

    /// Ends a movement, so that the next edit is an undo step of its own.
    pub fn settle(&self) {
        self.history.update_untracked(History::close);
    }

    /// Replaces the whole scenario in one step that can be undone.
    pub fn replace(&self, scenario: Scenario, text: &str) {
        self.edit("", Step::Deliberate, |present| *present = scenario);
        self.toast.set(Some(Toast { text: text.to_owned(), has_undo: true }));
    }

    /// Takes the last step back.
    pub fn undo(&self) {
        let present = self.scenario.get_untracked();
        if let Some(before) = self.history.try_update(|history| history.undo(&present)).flatten() {
            self.go_to(before);
        }
    }

    /// Takes an undone step again.
    pub fn redo(&self) {
        let present = self.scenario.get_untracked();
        if let Some(after) = self.history.try_update(|history| history.redo(&present)).flatten() {
            self.go_to(after);
        }
    }

    /// Changes how results are looked at.
    pub fn look(&self, change: impl FnOnce(&mut View)) {
        self.view.update(change);
        storage::remember(self, Step::Drag);
    }

    /// Follows the address after back, forward or an edited fragment.
    pub fn follow_address(&self) {
        let fragment = storage::fragment();
        if fragment == self.link() {
            return;
        }
        let before = self.scenario.get_untracked();
        self.history.update(|history| {
            history.record(&before, "");
            history.close();
        });
        if fragment.is_empty() {
            self.scenario.set(link::base_scenario());
            self.view.set(View::default());
        } else {
            self.read_link(&fragment);
        }
        self.recompute();
        storage::remember(self, Step::Drag);
    }

    /// The fragment of this very scenario and view.
    #[must_use]
    pub fn link(&self) -> String {
        link::write(&self.scenario.get_untracked(), self.view.get_untracked())
    }

    /// Problems at a field or inside it.
    #[must_use]
    pub fn problems(&self, path: &str) -> Vec<Diagnostic> {
        self.diagnostics.with(|all| {
            all.iter()
                .filter(|diagnostic| {
                    diagnostic.severity != Severity::Note
                        && (diagnostic.path == path
                            || diagnostic.path.strip_prefix(path).is_some_and(|rest| rest.starts_with(['.', '['])))
                })
                .cloned()
                .collect()
        })
    }

    /// Calls the part that computes, if it is there yet.
    pub fn with_controller<T>(&self, call: impl FnOnce(&Controller) -> T) -> Option<T> {
        self.controller.with_value(|controller| controller.as_ref().map(call))
    }

    /// Shows a passing message.
    pub fn say(&self, text: impl Into<String>) {
        self.toast.set(Some(Toast { text: text.into(), has_undo: false }));
    }

    fn go_to(&self, scenario: Scenario) {
        self.scenario.set(scenario);
        self.recompute();
        storage::remember(self, Step::Drag);
    }

    fn recompute(&self) {
        self.with_controller(|controller| controller.changed(*self));
    }

    fn read_link(&self, fragment: &str) {
        match link::read(fragment) {
            Ok(opened) => {
                let mut notices = opened.warnings;
                if let Some(version) = opened.model_version.filter(|version| *version != plimsoll_core::MODEL_VERSION) {
                    let message = format!(
                        "this link was made with model version {version}; numbers are those of version {}",
                        plimsoll_core::MODEL_VERSION
                    );
                    notices.push(Diagnostic::warning("link-other-model-version", "", message));
                }
                self.notices.set(notices);
                self.scenario.set(opened.scenario);
                self.view.set(opened.view);
            }
            Err(refusal) => self.notices.set(vec![refusal]),
        }
    }
}

/// The page of the component that asks.
#[must_use]
pub fn page() -> Page {
    expect_context()
}
