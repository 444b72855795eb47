//! From an edit to a drawn curve: which study runs when, and what is shown of it.
//!
//! Each edit starts a *follow* study (few rates, few requests) at once; when it is drawn and nothing newer has come,
//! the *full* study runs, whose capacity is still settling, and when that is drawn what settles it.
//! A newer edit ends what runs, except while a slider moves faster than follow studies end: then the running one may
//! finish, so that the curve keeps moving.

use crate::page::Page;
use crate::state::queue::{Asked, Step};
use crate::view_model::format::model_taken;
use crate::worker::browser::{BUILD, BrowserFactory, Engine, Form, Signal};
use crate::worker::driver::{Driver, Event};
use crate::worker::pool::{Pool, Slot, WorkerId};
use leptos::prelude::{GetUntracked, Set, UpdateValue, WithUntracked, set_timeout};
use plimsoll_core::curve::{Curve, CurvePlan, CurveStudy};
use plimsoll_core::diagnostic::{Diagnostic, Severity};
use plimsoll_json::{Owned, json};
use plimsoll_protocol::{Basics, DeskState, Edit, Failure, FileContent, Outcome, Resolved, Response, Spec};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use web_sys::Blob;

/// Progress is shown for work that takes longer than this, milliseconds.
const SHOW_PROGRESS_AFTER: f64 = 300.0;
/// Shortest time between two updates of progress or of a partial curve, milliseconds; a redraw takes a tenth of it.
const UPDATE_EVERY: f64 = 250.0;
/// A curve older than this, milliseconds, is worth finishing before the next edit's is begun.
const TOO_OLD: f64 = 80.0;
/// A follow study older than this, milliseconds, is no longer worth finishing.
const TOO_LONG: f64 = 400.0;
/// How long after a coarse curve the full study begins: the page draws first, for workers would take its cores.
const DRAW_FIRST: Duration = Duration::from_millis(2);
/// How long an answer may take before what is on the screen is shown as out of date.
const STALE_AFTER: Duration = Duration::from_millis(250);
/// How long a Stop waits for an answer before workers are replaced.
const STOP_PATIENCE: Duration = Duration::from_millis(100);
/// Results kept, so that undo and back answer at once.
const MAX_KEPT: usize = 8;

/// A result as the page shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct Shown {
    /// Number of the study it comes from; grows with each begun.
    pub job: u64,
    /// The curve.
    pub curve: Curve,
    /// How far it has come.
    pub resolution: Resolution,
    /// What it was computed for.
    pub basics: Rc<Basics>,
}

/// How far a result has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolution {
    /// A coherent picture of few rates, or a part of more.
    Coarse,
    /// The whole grid, by short runs; the capacity is settling.
    Full,
    /// The steady state.
    Settled,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Idle,
    Follow,
    /// A study is complete and being drawn; the one of this resolution comes next.
    Drawing(Resolution),
    Full,
    Settling,
}

/// A scenario that is ready to be studied.
#[derive(Clone)]
struct Task {
    state: Arc<DeskState>,
    resolved: Resolved,
    basics: Rc<Basics>,
}

struct Inner {
    pool: Pool<BrowserFactory>,
    driver: Option<Driver<CurveStudy>>,
    task: Option<Task>,
    waiting: Option<Task>,
    phase: Phase,
    phase_began: f64,
    work_began: f64,
    last_drawn: f64,
    last_update: f64,
    /// Whether somebody will look whether the screen is out of date.
    is_watched: bool,
    /// Number of the newest study or repeated result.
    job: u64,
    /// Results by the text of their scenario.
    kept: Vec<(String, Rc<Shown>)>,
    /// The last file given to the workers.
    file: Option<(String, Blob)>,
    /// What becomes of the trace in it, if that is decided: the scenario's choice, and what is said then.
    choice: Option<(String, String)>,
    /// Whether the workers can read files.
    can_read: bool,
    listener: Rc<dyn Fn(WorkerId, Signal)>,
}

/// The part of the page that computes.
#[derive(Clone)]
pub struct Controller(Rc<RefCell<Inner>>);

impl Controller {
    /// Loads the simulator and starts its workers.
    ///
    /// # Errors
    /// In words, when the browser or the network refuses.
    pub async fn start(page: Page) -> Result<Self, String> {
        let engine = Engine::load(Form::Simulator).await?;
        let cell: Rc<RefCell<Option<Controller>>> = Rc::default();
        let listener_cell = Rc::clone(&cell);
        let listener: Rc<dyn Fn(WorkerId, Signal)> = Rc::new(move |worker: WorkerId, signal: Signal| {
            let controller = listener_cell.borrow().clone();
            if let Some(controller) = controller {
                controller.hear(page, worker, signal);
            }
        });
        let num_cores = web_sys::window().map_or(2.0, |window| window.navigator().hardware_concurrency());
        // Two at least, so that one long trial does not stop the rest; one core is left to the page.
        let num_workers = ((num_cores as usize).saturating_sub(1)).max(2);
        let pool = Pool::new(BrowserFactory::new(engine, Rc::clone(&listener)), num_workers, BUILD);
        if let Some(failure) = pool.trouble() {
            return Err(failure.message);
        }
        let controller = Self(Rc::new(RefCell::new(Inner {
            pool,
            driver: None,
            task: None,
            waiting: None,
            phase: Phase::Idle,
            phase_began: 0.0,
            work_began: 0.0,
            last_drawn: 0.0,
            last_update: 0.0,
            is_watched: false,
            job: 0,
            kept: Vec::new(),
            file: None,
            choice: None,
            can_read: false,
            listener,
        })));
        *cell.borrow_mut() = Some(controller.clone());
        Ok(controller)
    }

    /// The scenario has changed.
    pub fn changed(&self, page: Page) {
        let state = page.desk.get_untracked();
        let mut inner = self.0.borrow_mut();
        match state.resolved.clone() {
            Some(resolved) => {
                let basics = Rc::new(resolved.basics.clone());
                inner.request(page, Task { state, resolved, basics });
                drop(inner);
                self.watch(page);
            }
            None => {
                inner.end(page);
                page.is_stale.set(true);
            }
        }
    }

    /// Shows what is on the screen as out of date if the answer is long in coming.
    fn watch(&self, page: Page) {
        if core::mem::replace(&mut self.0.borrow_mut().is_watched, true) {
            return;
        }
        let controller = self.clone();
        let look = move || {
            let mut inner = controller.0.borrow_mut();
            inner.is_watched = false;
            let is_awaited = inner.waiting.is_some() || inner.phase == Phase::Follow;
            if is_awaited && inner.last_drawn < inner.work_began {
                page.is_stale.set(true);
            } else if is_awaited {
                drop(inner);
                controller.watch(page);
            }
        };
        set_timeout(look, STALE_AFTER);
    }

    /// Asks the desk to change a scenario; the page hears the answer.
    ///
    /// # Errors
    /// `unavailable` when no worker can be had.
    pub fn ask(&self, scenario: String, edit: Edit) -> Result<(), Failure> {
        self.0.borrow_mut().pool.start_at_desk(Slot::Desk, Spec::Desk { scenario, edit }).map(drop)
    }

    /// Asks the desk what the picker of a field offers; the page hears the answer.
    ///
    /// # Errors
    /// `unavailable` when no worker can be had.
    pub fn list(&self, scenario: String, path: &str) -> Result<(), Failure> {
        self.0
            .borrow_mut()
            .pool
            .start_at_desk(Slot::Choices, Spec::Choices { scenario, path: path.to_owned() })
            .map(drop)
    }

    /// What the desk was asked is not wanted any more.
    pub fn forget_edits(&self) {
        self.0.borrow_mut().pool.cancel_slot(Slot::Desk);
    }

    /// Number of the newest study begun.
    #[must_use]
    pub fn job(&self) -> u64 {
        self.0.borrow().job
    }

    /// Ends what runs; what is on the screen stays.
    pub fn stop(&self, page: Page) {
        let mut inner = self.0.borrow_mut();
        if inner.phase == Phase::Idle {
            return;
        }
        inner.end(page);
        page.say("Stopped. What was computed so far stays on the screen.");
        drop(inner);
        let controller = self.clone();
        set_timeout(
            move || {
                controller.0.borrow_mut().pool.replace_stuck();
            },
            STOP_PATIENCE,
        );
    }

    /// Has the workers read a trace and then puts this choice of it into the scenario.
    pub fn keep_trace(&self, page: Page, name: &str, file: &Blob, choice: String, message: String) {
        self.read_file(page, name, file);
        self.0.borrow_mut().choice = Some((choice, message));
    }

    /// The newest files the workers have read, oldest first.
    #[must_use]
    pub fn files(&self) -> Vec<(String, Blob)> {
        self.0.borrow().pool.files().cloned().collect()
    }

    /// Has the workers read a file the user gave; at the first one, workers that can read replace those that cannot.
    pub fn read_file(&self, page: Page, name: &str, file: &Blob) {
        self.0.borrow_mut().choice = None;
        let (controller, name, file) = (self.clone(), name.to_owned(), file.clone());
        leptos::task::spawn_local(async move {
            if let Err(reason) = controller.become_reader(page).await {
                page.notices.set(vec![Diagnostic::error("unavailable", &name, reason)]);
                return;
            }
            let mut inner = controller.0.borrow_mut();
            inner.file = Some((name.clone(), file.clone()));
            if let Err(failure) = inner.pool.read_file(&name, &file) {
                page.notices.set(vec![Diagnostic::error(&failure.code, name, failure.message)]);
            }
        });
    }

    /// Has workers that read files and lines take over, if they have not.
    ///
    /// # Errors
    /// In words, when their module cannot be had.
    pub async fn become_reader(&self, page: Page) -> Result<(), String> {
        if self.0.borrow().can_read {
            return Ok(());
        }
        let engine = Engine::load(Form::Reader).await?;
        let mut inner = self.0.borrow_mut();
        if inner.can_read {
            return Ok(());
        }
        inner.can_read = true;
        let factory = BrowserFactory::new(engine, Rc::clone(&inner.listener));
        inner.pool.change_factory(factory);
        let is_working = inner.phase != Phase::Idle;
        inner.end(page);
        drop(inner);
        if is_working {
            self.changed(page);
        }
        page.ask_again();
        Ok(())
    }

    fn hear(&self, page: Page, worker: WorkerId, signal: Signal) {
        let mut inner = self.0.borrow_mut();
        let deliveries = match signal {
            Signal::Message(text) => inner.pool.hear(worker, &text),
            Signal::Crash(message) => inner.pool.crashed(worker, &message),
        };
        let was_drawing = matches!(inner.phase, Phase::Drawing(_));
        let (mut files, mut edits) = (Vec::new(), Vec::new());
        for delivery in deliveries {
            match delivery.slot {
                Slot::Curve => inner.hear_curve(page, delivery.response),
                Slot::File => files.push(delivery.response),
                Slot::Desk | Slot::Choices => edits.push(delivery),
                Slot::Preview | Slot::Run | Slot::Calibrate | Slot::Logs | Slot::Folder => {}
            }
        }
        inner.supply(page);
        if matches!(inner.phase, Phase::Drawing(_)) && !was_drawing {
            let controller = self.clone();
            set_timeout(move || controller.0.borrow_mut().refine(page), DRAW_FIRST);
        }
        let name = inner.file.as_ref().map(|(name, _)| name.clone()).unwrap_or_default();
        let choice = if files.is_empty() { None } else { inner.choice.take() };
        // What the page makes of these comes back here.
        drop(inner);
        for delivery in edits {
            match delivery.slot {
                Slot::Choices => page.hear_choices(delivery.response),
                _ => page.hear_desk(delivery.response),
            }
        }
        for response in files {
            take_file(page, &name, choice.clone(), response);
        }
    }
}

impl Inner {
    /// Starts on a scenario, or puts it in line behind a follow study that is worth finishing.
    fn request(&mut self, page: Page, task: Task) {
        if let Some((_, shown)) = self.kept.iter().find(|(scenario, _)| *scenario == task.state.scenario) {
            let shown = Rc::clone(shown);
            self.end(page);
            self.job += 1;
            self.draw(page, Rc::new(Shown { job: self.job, ..(*shown).clone() }));
            return;
        }
        let now = now();
        if self.phase == Phase::Idle {
            self.work_began = now;
        }
        let is_worth_finishing =
            self.phase == Phase::Follow && now - self.last_drawn > TOO_OLD && now - self.phase_began < TOO_LONG;
        if is_worth_finishing {
            self.waiting = Some(task);
        } else {
            self.work_began = now;
            self.begin(page, task, Phase::Follow);
        }
    }

    fn begin(&mut self, page: Page, task: Task, phase: Phase) {
        self.waiting = None;
        let (plan, max_batch) = match phase {
            Phase::Full => (CurvePlan::full(&task.resolved.curve.settings), 3),
            // Long runs, of which the last must not wait behind others.
            Phase::Settling => (CurvePlan::settled(&task.resolved.curve.settings), 1),
            Phase::Follow | Phase::Drawing(_) | Phase::Idle => (CurvePlan::follow(), 1),
        };
        let study = match self.driver.take() {
            // Each study's runs are part of the next.
            Some(driver) if matches!(phase, Phase::Full | Phase::Settling) => driver.into_study().refined(plan),
            _ => CurveStudy::new(task.resolved.curve.clone(), plan, task.state.recorded_rate_per_s),
        };
        match Driver::begin(&mut self.pool, task.state.scenario.clone(), study, max_batch) {
            Ok(driver) => {
                self.job += 1;
                self.driver = Some(driver);
                self.task = Some(task);
                self.phase = phase;
                self.phase_began = now();
            }
            Err(failure) => self.fail(page, &failure),
        }
    }

    /// Ends what runs.
    fn end(&mut self, page: Page) {
        self.pool.cancel_slot(Slot::Curve);
        self.driver = None;
        self.waiting = None;
        self.phase = Phase::Idle;
        if page.progress.get_untracked().is_some() {
            page.progress.set(None);
        }
    }

    fn fail(&mut self, page: Page, failure: &Failure) {
        self.end(page);
        let mut message = failure.message.clone();
        for diagnostic in &failure.diagnostics {
            message = format!("{message}; {diagnostic}");
        }
        page.trouble.set(Some(message));
    }

    fn hear_curve(&mut self, page: Page, response: Response) {
        let Some(driver) = &mut self.driver else { return };
        match driver.hear(&mut self.pool, response) {
            Event::Nothing => {}
            Event::Failed(failure) => self.fail(page, &failure),
            Event::Advanced => self.show_progress(page),
            Event::Complete => self.complete(page),
        }
    }

    /// Hands out trials where other work than the study's has ended.
    fn supply(&mut self, page: Page) {
        if let Some(driver) = &mut self.driver
            && let Err(failure) = driver.supply(&mut self.pool)
        {
            self.fail(page, &failure);
        }
    }

    fn complete(&mut self, page: Page) {
        let (Some(curve), Some(task)) = (self.driver.as_ref().map(Driver::snapshot), self.task.clone()) else { return };
        let resolution = match self.phase {
            Phase::Settling => Resolution::Settled,
            Phase::Full => Resolution::Full,
            Phase::Idle | Phase::Follow | Phase::Drawing(_) => Resolution::Coarse,
        };
        let shown = Rc::new(Shown { job: self.job, curve, resolution, basics: Rc::clone(&task.basics) });
        let next = self.waiting.take();
        match next {
            // Workers first: they compute while the page draws.
            Some(newer) => self.begin(page, newer, Phase::Follow),
            None if resolution == Resolution::Coarse => self.phase = Phase::Drawing(Resolution::Full),
            None if resolution == Resolution::Full => self.phase = Phase::Drawing(Resolution::Settled),
            None => {
                self.kept.retain(|(scenario, _)| *scenario != task.state.scenario);
                self.kept.truncate(MAX_KEPT - 1);
                self.kept.insert(0, (task.state.scenario.clone(), Rc::clone(&shown)));
                self.end(page);
            }
        }
        self.draw(page, shown);
    }

    /// Goes on from the study that was drawn to the next, unless something newer has come.
    fn refine(&mut self, page: Page) {
        if let Phase::Drawing(next) = self.phase
            && let Some(task) = self.task.clone()
        {
            let phase = if next == Resolution::Settled { Phase::Settling } else { Phase::Full };
            self.begin(page, task, phase);
        }
    }

    fn draw(&mut self, page: Page, shown: Rc<Shown>) {
        let name = match shown.resolution {
            Resolution::Coarse => "plimsoll:follow-drawn",
            Resolution::Full => "plimsoll:full-drawn",
            Resolution::Settled => "plimsoll:settled-drawn",
        };
        page.redraws.update_value(|redraws| redraws.begin(shown.job, name));
        self.last_drawn = now();
        if self.waiting.is_none() && self.phase != Phase::Follow {
            page.is_stale.set(false);
        }
        if page.trouble.with_untracked(Option::is_some) {
            page.trouble.set(None);
        }
        page.shown.set(Some(shown));
    }

    /// Shows how far work is that takes long and what there is of it, and a capacity as soon as it has settled.
    fn show_progress(&mut self, page: Page) {
        let now = now();
        let (Some(driver), Some(task)) = (&self.driver, &self.task) else { return };
        let is_due = now - self.work_began >= SHOW_PROGRESS_AFTER && now - self.last_update >= UPDATE_EVERY;
        let is_capacity_open = self.phase == Phase::Settling
            && !page.shown.with_untracked(|shown| shown.as_deref().is_some_and(tells_capacity));
        if !is_due && !is_capacity_open {
            return;
        }
        let curve = driver.snapshot();
        let shown =
            Rc::new(Shown { job: self.job, curve, resolution: Resolution::Coarse, basics: Rc::clone(&task.basics) });
        let is_capacity_new = is_capacity_open && tells_capacity(&shown);
        if !is_due && !is_capacity_new {
            return;
        }
        self.last_update = now;
        page.progress.set(Some(driver.progress()));
        let num_points = |curve: &Curve| curve.points.iter().filter(|point| point.num_seeds > 0).count();
        let is_richer = page.shown.with_untracked(|before| {
            before.as_ref().is_none_or(|before| {
                before.basics != task.basics || num_points(&shown.curve) >= num_points(&before.curve)
            })
        });
        // A partial curve never takes the place of a better one of the same scenario.
        if is_richer && num_points(&shown.curve) >= 3 {
            let name = if is_capacity_new { "plimsoll:capacity-drawn" } else { "plimsoll:partial-drawn" };
            page.redraws.update_value(|redraws| redraws.begin(shown.job, name));
            page.shown.set(Some(shown));
        }
    }
}

/// Whether the capacity of a result is one that holds.
fn tells_capacity(shown: &Shown) -> bool {
    shown.curve.capacity.as_ref().is_some_and(|capacity| capacity.is_settled)
}

fn take_file(page: Page, name: &str, choice: Option<(String, String)>, response: Response) {
    match response {
        Response::Finished { outcome: Outcome::File { content, diagnostics }, .. } => {
            page.notices.set(diagnostics.into_iter().filter(|found| found.severity != Severity::Note).collect());
            match content {
                FileContent::Scenario { scenario } => {
                    page.replace(Edit::Scenario { text: scenario }, &format!("Opened the scenario {name}."));
                }
                FileContent::Model { id, model, parameters } => {
                    take_value(page, "deployment.model", model, model_taken(&id, parameters));
                }
                FileContent::Workload { workload } => {
                    take_value(page, "workload", workload, format!("The workload is now that of {name}."));
                }
                FileContent::Trace { hash, num_requests, span_s, mean_input_tokens, mean_output_tokens } => {
                    let text = format!(
                        "Replaying {name}: {num_requests} requests over {} s, {} input and {} output tokens on average.",
                        crate::view_model::format::number(span_s, 3),
                        crate::view_model::format::number(mean_input_tokens, 3),
                        crate::view_model::format::number(mean_output_tokens, 3),
                    );
                    let whole: Owned = json!({ "name": name, "hash": hash });
                    let (choice, text) = choice.unwrap_or_else(|| (whole.to_string(), text));
                    take_value(page, "workload.trace", choice, text);
                }
            }
        }
        Response::Failed { failure, .. } => {
            let mut notices = failure.diagnostics;
            if notices.is_empty() {
                notices.push(Diagnostic::error(&failure.code, name, failure.message));
            }
            page.notices.set(notices);
        }
        _ => {}
    }
}

/// Puts what a file held into its field.
fn take_value(page: Page, path: &str, value: String, text: String) {
    let edit = Edit::Value { path: path.to_owned(), text: value };
    page.ask(Asked::by_control(path, Step::Deliberate, edit).saying(text));
}

/// Milliseconds since the page was opened.
fn now() -> f64 {
    web_sys::window().and_then(|window| window.performance()).map_or(0.0, |performance| performance.now())
}
