//! The page's state as signals, and every way to change it.
//!
//! One scenario is the truth; results, links, history and controls follow from it.
//! The page holds it as text with all that its controls show ([`DeskState`]); an edit goes to the desk in a worker and
//! comes back as the next state.

use crate::charts::plotly::Redraws;
use crate::controller::{Controller, Shown};
use crate::logs;
use crate::state::fields;
use crate::state::history::History;
use crate::state::queue::{Asked, Origin, Queue};
use crate::state::storage;
use crate::view_model::serve_line::{self, Understood};
use leptos::prelude::*;
use plimsoll_core::diagnostic::{Diagnostic, Severity};
use plimsoll_core::scenario::Choice;
use plimsoll_protocol::view::{self, Tab, View};
use plimsoll_protocol::{DeskState, Edit, Failure, Outcome, Response, Said};
use std::rc::Rc;
use std::sync::Arc;
use wasm_bindgen::{JsCast, JsValue};

pub use crate::state::queue::Step;

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
    /// Paste a `vllm serve` line.
    ServeLine,
    /// Define an accelerator.
    Accelerator,
    /// Keyboard shortcuts.
    Shortcuts,
}

/// What became of a `vllm serve` line in its dialog.
#[derive(Debug, Clone, PartialEq)]
pub enum Pasted {
    /// None was given.
    Nothing,
    /// It is being read.
    Reading,
    /// It cannot be used, for these reasons.
    Refused(Vec<Diagnostic>),
    /// The server is now its.
    Taken(Understood),
}

/// The page's state; a handle that is copied freely.
#[derive(Clone, Copy)]
pub struct Page {
    /// The scenario as the desk has it; empty until the desk has answered for the first time.
    pub desk: RwSignal<Arc<DeskState>>,
    /// A number that is on its way to the desk: its controls show it already.
    pub echo: RwSignal<Option<(&'static str, Option<f64>)>>,
    /// What the open picker offers, by its field.
    pub choices: RwSignal<(String, Vec<Choice>)>,
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
    /// What became of a pasted `vllm serve` line.
    pub pasted: RwSignal<Pasted>,
    /// Files and folders on their way to the lab.
    pub for_lab: RwSignal<Vec<JsValue>, LocalStorage>,
    /// Grows when colours change.
    pub theme: RwSignal<u32>,
    /// Which charts still have to be drawn.
    pub redraws: StoredValue<Redraws, LocalStorage>,
    /// Undo and redo.
    pub history: RwSignal<History<Arc<DeskState>>>,
    queue: StoredValue<Queue>,
    controller: StoredValue<Option<Controller>, LocalStorage>,
}

impl Page {
    /// The page as its address, or the last visit, or the default says.
    #[must_use]
    pub fn open() -> Self {
        let page = Self {
            desk: RwSignal::new(Arc::default()),
            echo: RwSignal::new(None),
            choices: RwSignal::new((String::new(), Vec::new())),
            view: RwSignal::new(View::default()),
            shown: RwSignal::new_local(None),
            is_stale: RwSignal::new(false),
            progress: RwSignal::new(None),
            diagnostics: RwSignal::new(Vec::new()),
            trouble: RwSignal::new(None),
            notices: RwSignal::new(Vec::new()),
            toast: RwSignal::new(None),
            dialog: RwSignal::new(None),
            pasted: RwSignal::new(Pasted::Nothing),
            for_lab: RwSignal::new_local(Vec::new()),
            theme: RwSignal::new(0),
            redraws: StoredValue::new_local(Redraws::default()),
            history: RwSignal::new(History::default()),
            queue: StoredValue::new(Queue::default()),
            controller: StoredValue::new_local(None),
        };
        let fragment = storage::fragment();
        let opened = if fragment.is_empty() {
            storage::last_session().unwrap_or_default()
        } else {
            storage::keep_previous_session();
            fragment
        };
        page.ask(Asked::by_address(opened, Origin::Opening));
        page
    }

    /// Gives the page the part that computes.
    pub fn attach(&self, controller: Controller) {
        self.controller.set_value(Some(controller));
        self.supply();
    }

    /// Changes the scenario by a control of this field.
    pub fn edit(&self, field: &str, step: Step, edit: Edit) {
        self.ask(Asked::by_control(field, step, edit));
    }

    /// Changes a number, which its controls show at once.
    pub fn set_number(&self, field: &'static str, value: Option<f64>) {
        self.echo.set(Some((field, value)));
        self.edit(field, Step::Drag, Edit::Number { path: field.to_owned(), value });
    }

    /// Makes a choice of a picker.
    pub fn choose(&self, field: &str, id: &str) {
        self.edit(field, Step::Deliberate, Edit::Choice { path: field.to_owned(), id: id.to_owned() });
    }

    /// Asks what the picker of a field offers.
    pub fn list(&self, field: &str) {
        let scenario = self.desk.with_untracked(|desk| desk.scenario.clone());
        let outcome = self.with_controller(|controller| controller.list(scenario, field));
        if let Some(Err(failure)) = outcome {
            self.fail(&failure);
        }
    }

    /// Ends a movement, so that the next edit is an undo step of its own.
    pub fn settle(&self) {
        if !self.queue.try_update_value(Queue::settle).unwrap_or_default() {
            self.history.update_untracked(History::close);
        }
    }

    /// Replaces the whole scenario in one step that can be undone.
    pub fn replace(&self, edit: Edit, text: &str) {
        self.ask(Asked::by_control("", Step::Deliberate, edit).saying(text.to_owned()));
    }

    /// Makes the server that of a `vllm serve` line, in one step that can be undone; its dialog hears what became of it.
    pub fn paste_serve_line(&self, text: String) {
        let page = *self;
        self.pasted.set(Pasted::Reading);
        leptos::task::spawn_local(async move {
            let controller = page.with_controller(Controller::clone);
            let readiness = match controller {
                Some(controller) => controller.become_reader(page).await,
                None => Err("the simulator is not loaded yet; try again in a moment".to_owned()),
            };
            let edit = Edit::ServeLine { text };
            match readiness {
                Ok(()) => page.replace(edit, "The server is that of the pasted line."),
                Err(reason) => page.refuse(&edit, Failure::new("unavailable", reason)),
            }
        });
    }

    /// Puts a change in line for the desk.
    pub fn ask(&self, asked: Asked) {
        crate::charts::plotly::mark("plimsoll:input", self.with_controller(Controller::job));
        self.queue.update_value(|queue| queue.push(asked));
        self.supply();
    }

    /// Takes files and folders the user gave: several at once, logs, and whatever comes while a tab is open that looks at
    /// files, to the lab, which knows them apart; one alone as a scenario or a part of one.
    pub fn open_files(&self, given: Vec<JsValue>) {
        let page = *self;
        leptos::task::spawn_local(async move {
            let alone = if given.len() == 1 { given[0].dyn_ref::<web_sys::File>() } else { None };
            let looks_at_files = matches!(page.view.get_untracked().tab, Tab::Workload | Tab::Calibrate);
            match alone {
                Some(file) if !looks_at_files && !logs::is_log(&logs::head(file).await) => {
                    page.with_controller(|controller| controller.read_file(page, &file.name(), file));
                }
                _ => page.for_lab.set(given),
            }
        });
    }

    /// Takes the last step back.
    pub fn undo(&self) {
        let present = self.desk.get_untracked();
        if let Some(before) = self.history.try_update(|history| history.undo(&present)).flatten() {
            self.go_to(before);
        }
    }

    /// Takes an undone step again.
    pub fn redo(&self) {
        let present = self.desk.get_untracked();
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
        self.ask(Asked::by_address(fragment, Origin::Address));
    }

    /// The fragment of this very scenario and view.
    #[must_use]
    pub fn link(&self) -> String {
        self.desk.with_untracked(|desk| view::fragment(&desk.changes, self.view.get_untracked()))
    }

    /// The same to pass on.
    #[must_use]
    pub fn copied_link(&self) -> String {
        self.desk.with_untracked(|desk| view::link(&desk.changes, self.view.get_untracked()))
    }

    /// Problems at a field or inside it, but for those of a field with a control of its own.
    #[must_use]
    pub fn problems(&self, path: &str) -> Vec<Diagnostic> {
        self.diagnostics.with(|all| {
            all.iter()
                .filter(|diagnostic| {
                    diagnostic.severity != Severity::Note && fields::belongs_to(&diagnostic.path, path)
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

    /// Whether the desk has not answered yet, so that there is nothing to keep.
    #[must_use]
    pub fn is_blank(&self) -> bool {
        self.desk.with_untracked(|desk| desk.scenario.is_empty())
    }

    /// Takes in what the desk has to say.
    pub fn hear_desk(&self, response: Response) {
        match response {
            Response::Finished { outcome: Outcome::Desk { state, said }, .. } => {
                if let Some(asked) = self.queue.try_update_value(Queue::take).flatten() {
                    self.take_state(Arc::from(state), said, &asked);
                }
                self.supply();
            }
            Response::Failed { failure, .. } => {
                let is_asked_again = failure.code == "crashed"
                    && self.queue.try_update_value(Queue::retry).is_some_and(|given_up| given_up.is_none());
                if !is_asked_again {
                    let asked = self.queue.try_update_value(Queue::take).flatten();
                    self.end_echo();
                    match asked {
                        Some(asked) => self.refuse(&asked.edit, failure),
                        None => self.fail(&failure),
                    }
                }
                self.supply();
            }
            _ => {}
        }
    }

    /// Takes in what a picker offers; a list that could not be had concerns no edit.
    pub fn hear_choices(&self, response: Response) {
        match response {
            Response::Finished { outcome: Outcome::Choices { path, choices }, .. } => self.choices.set((path, choices)),
            Response::Failed { failure, .. } => self.say(format!("The list could not be made: {}", failure.message)),
            _ => {}
        }
    }

    /// Asks again what was asked of workers that are gone.
    pub fn ask_again(&self) {
        self.queue.update_value(|queue| drop(queue.retry()));
        self.supply();
    }

    fn take_state(&self, state: Arc<DeskState>, said: Said, asked: &Asked) {
        let before = self.desk.get_untracked();
        let is_other = before.scenario != state.scenario;
        if asked.origin != Origin::Opening && is_other {
            self.history.update(|history| {
                history.record(&before, &asked.field);
                if asked.is_last {
                    history.close();
                }
            });
        } else if asked.is_last {
            self.history.update_untracked(History::close);
        }
        if asked.origin != Origin::Control {
            // Whoever chose a tab before the page's first answer has chosen it.
            let is_chosen = asked.origin == Origin::Opening && self.view.get_untracked() != View::default();
            let view = if asked.edit == Edit::Base { Some(View::default()) } else { said.view };
            if let Some(view) = view.filter(|_| !is_chosen) {
                self.view.set(view);
            }
            if asked.edit != Edit::Base {
                self.notices.set(said.notices);
            }
        }
        if is_other {
            self.show(state);
        } else {
            self.end_echo();
        }
        if asked.origin == Origin::Address || (asked.origin == Origin::Control && is_other) {
            storage::remember(self, asked.step);
        }
        // Beside its own dialog nothing else need say so.
        let is_told = match said.serve_line {
            Some(read) if self.dialog.get_untracked() == Some(Dialog::ServeLine) => {
                let after = self.desk.get_untracked();
                self.pasted.set(Pasted::Taken(serve_line::understood(read, &before, &after)));
                true
            }
            _ => false,
        };
        if !asked.text.is_empty() && !is_told {
            self.toast.set(Some(Toast { text: asked.text.clone(), has_undo: true }));
        }
        if !said.remark.is_empty() {
            let has_undo = !asked.text.is_empty();
            self.toast.set(Some(Toast { text: said.remark, has_undo }));
        }
    }

    /// Makes a state the page's.
    fn show(&self, state: Arc<DeskState>) {
        if self.diagnostics.with_untracked(|present| *present != state.diagnostics) {
            self.diagnostics.set(state.diagnostics.clone());
        }
        self.desk.set(state);
        self.end_echo();
        self.with_controller(|controller| controller.changed(*self));
    }

    /// Controls show the desk's number again, unless it is of before the last movement.
    fn end_echo(&self) {
        if self.queue.with_value(Queue::is_empty) && self.echo.with_untracked(Option::is_some) {
            self.echo.set(None);
        }
    }

    /// Goes to a state of the history; edits that are still on their way are forgotten.
    fn go_to(&self, state: Arc<DeskState>) {
        self.with_controller(Controller::forget_edits);
        self.queue.update_value(Queue::clear);
        self.show(state);
        storage::remember(self, Step::Drag);
    }

    /// Asks the desk for the next change, if it is free.
    fn supply(&self) {
        let outcome = self.with_controller(|controller| {
            let scenario = self.desk.with_untracked(|desk| desk.scenario.clone());
            let edit = self.queue.try_update_value(|queue| queue.ask().map(|asked| asked.edit.clone())).flatten();
            edit.map_or(Ok(()), |edit| controller.ask(scenario, edit))
        });
        if let Some(Err(failure)) = outcome {
            // Nobody was asked, so nobody will answer: what comes next must not wait for it.
            match self.queue.try_update_value(Queue::take).flatten() {
                Some(asked) => self.refuse(&asked.edit, failure),
                None => self.fail(&failure),
            }
        }
    }

    /// Tells why an edit was not carried out: where a line was pasted if it was one.
    fn refuse(&self, edit: &Edit, failure: Failure) {
        match edit {
            Edit::ServeLine { .. } if self.dialog.get_untracked() == Some(Dialog::ServeLine) => {
                self.pasted.set(Pasted::Refused(failure.into_problems()));
            }
            Edit::ServeLine { .. } => self.notices.set(failure.into_problems()),
            _ => self.fail(&failure),
        }
    }

    fn fail(&self, failure: &Failure) {
        self.trouble.set(Some(failure.message.clone()));
    }
}

/// The page of the component that asks.
#[must_use]
pub fn page() -> Page {
    expect_context()
}
