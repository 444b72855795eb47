//! The lab's workers: its own pool of the second form, and who listens to what.
//!
//! A slot answers one question at a time. A question that is asked while another of its slot is under way waits in one
//! place, the newest taking it, so that a slider may move faster than answers come; or it ends the other.

use crate::worker::browser::{BUILD, BrowserFactory, Engine, Form, Signal};
use crate::worker::pool::{Pool, Slot, WorkerId};
use plimsoll_core::diagnostic::Diagnostic;
use plimsoll_protocol::lab::{LabOutcome, LabSpec};
use plimsoll_protocol::{Failure, FileContent, JobId, Outcome, Response, Spec, decode, encode};
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use web_sys::Blob;

/// What there is to hear of a question.
#[derive(Debug)]
pub enum Heard {
    /// How far it is: units done, and in all if that is known.
    Progress(u64, Option<u64>),
    /// Something to show already, in the job's own kind of message.
    Update(String),
    /// The answer, which is the last word.
    Answer(LabOutcome),
    /// Why there is none, which is the last word.
    Failed(Failure),
}

/// Hears of a question.
type Listener = Rc<dyn Fn(Heard)>;

/// Hears what a file held, with notes and warnings.
type FileListener = Box<dyn FnOnce(Result<(FileContent, Vec<Diagnostic>), Failure>)>;

/// A question with whoever asked it.
struct Question {
    slot: Slot,
    spec: LabSpec,
    file: Option<Blob>,
    listener: Listener,
}

struct Inner {
    pool: Pool<BrowserFactory>,
    /// The questions under way, one a slot.
    asked: Vec<(Slot, Listener)>,
    /// Jobs that go on beside each other in one slot.
    jobs: BTreeMap<JobId, (Slot, Listener)>,
    /// Those that wait for their slot.
    waiting: Vec<Question>,
    /// Who waits for a file, in the order in which they were given.
    files: VecDeque<FileListener>,
    num_workers: usize,
}

/// The lab's workers; a handle.
#[derive(Clone)]
pub struct Crew(Rc<RefCell<Inner>>);

impl Crew {
    /// Loads the second form of the workers' module and starts workers.
    ///
    /// # Errors
    /// In words, when the browser or the network refuses.
    pub async fn load() -> Result<Self, String> {
        let engine = Engine::load(Form::Reader).await?;
        let cell: Rc<RefCell<Option<Crew>>> = Rc::default();
        let own = Rc::clone(&cell);
        let listener: Rc<dyn Fn(WorkerId, Signal)> = Rc::new(move |worker: WorkerId, signal: Signal| {
            let crew = own.borrow().clone();
            if let Some(crew) = crew {
                crew.hear(worker, signal);
            }
        });
        let num_cores = web_sys::window().map_or(2.0, |window| window.navigator().hardware_concurrency());
        // As many as the page has: when both work, they share the cores fairly.
        let num_workers = ((num_cores as usize).saturating_sub(1)).max(2);
        let pool = Pool::new(BrowserFactory::new(engine, listener), num_workers, BUILD);
        if let Some(failure) = pool.trouble() {
            return Err(failure.message);
        }
        let inner = Inner {
            pool,
            asked: Vec::new(),
            jobs: BTreeMap::new(),
            waiting: Vec::new(),
            files: VecDeque::new(),
            num_workers,
        };
        let crew = Self(Rc::new(RefCell::new(inner)));
        *cell.borrow_mut() = Some(crew.clone());
        Ok(crew)
    }

    /// Workers that can compute at a time.
    #[must_use]
    pub fn num_workers(&self) -> usize {
        self.0.borrow().num_workers
    }

    /// Asks a question once the one before it in its slot is answered; of those that wait, only the newest is asked.
    pub fn ask_next(&self, slot: Slot, spec: LabSpec, listener: impl Fn(Heard) + 'static) {
        let question = Question { slot, spec, file: None, listener: Rc::new(listener) };
        let mut inner = self.0.borrow_mut();
        if inner.asked.iter().any(|(other, _)| *other == slot) {
            inner.waiting.retain(|other| other.slot != slot);
            inner.waiting.push(question);
            return;
        }
        drop(inner);
        self.start(question);
    }

    /// Asks a question at once; what its slot was asked before is ended without a word.
    pub fn ask(&self, slot: Slot, spec: LabSpec, file: Option<&Blob>, listener: impl Fn(Heard) + 'static) {
        self.stop(slot);
        self.start(Question { slot, spec, file: file.cloned(), listener: Rc::new(listener) });
    }

    /// Ends what a slot was asked, without a word.
    pub fn stop(&self, slot: Slot) {
        let mut inner = self.0.borrow_mut();
        inner.waiting.retain(|other| other.slot != slot);
        if inner.asked.iter().any(|(other, _)| *other == slot) {
            inner.asked.retain(|(other, _)| *other != slot);
            inner.pool.cancel_slot(slot);
        }
    }

    /// Begins a job beside others of its slot, on any worker.
    ///
    /// # Errors
    /// `unavailable` when no worker can be had.
    pub fn begin(&self, slot: Slot, spec: &LabSpec, listener: impl Fn(Heard) + 'static) -> Result<(), Failure> {
        let request = encode(spec)?;
        let mut inner = self.0.borrow_mut();
        let job = inner.pool.start(slot, Spec::Lab { request })?;
        inner.jobs.insert(job, (slot, Rc::new(listener)));
        Ok(())
    }

    /// Begins a job on the one worker that remembers logs; its jobs are done in order.
    ///
    /// # Errors
    /// `unavailable` when no worker can be had.
    pub fn begin_with_logs(
        &self,
        spec: &LabSpec,
        file: Option<&Blob>,
        listener: impl Fn(Heard) + 'static,
    ) -> Result<(), Failure> {
        let request = encode(spec)?;
        let mut inner = self.0.borrow_mut();
        let job = inner.pool.start_on_spare(Slot::Logs, Spec::Lab { request }, file)?;
        inner.jobs.insert(job, (Slot::Logs, Rc::new(listener)));
        Ok(())
    }

    /// Whether a further job would be worked on soon.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.0.borrow().pool.has_room()
    }

    /// Ends every job of a slot without a word.
    pub fn end(&self, slot: Slot) {
        let mut inner = self.0.borrow_mut();
        inner.jobs.retain(|_, (other, _)| *other != slot);
        inner.pool.cancel_slot(slot);
    }

    /// Has every worker read a file; a trace stays with them under its hash.
    pub fn read_file(
        &self,
        name: &str,
        file: &Blob,
        listener: impl FnOnce(Result<(FileContent, Vec<Diagnostic>), Failure>) + 'static,
    ) {
        let outcome = self.0.borrow_mut().pool.read_file(name, file);
        match outcome {
            Ok(_) => self.0.borrow_mut().files.push_back(Box::new(listener)),
            Err(failure) => listener(Err(failure)),
        }
    }

    fn start(&self, question: Question) {
        let Question { slot, spec, file, listener } = question;
        let started = encode(&spec).and_then(|request| {
            let mut inner = self.0.borrow_mut();
            let spec = Spec::Lab { request };
            match &file {
                Some(file) => inner.pool.start_with(slot, spec, file),
                None => inner.pool.start(slot, spec),
            }
        });
        match started {
            Ok(_) => self.0.borrow_mut().asked.push((slot, listener)),
            Err(failure) => listener(Heard::Failed(failure)),
        }
    }

    fn hear(&self, worker: WorkerId, signal: Signal) {
        let deliveries = match signal {
            Signal::Message(text) => self.0.borrow_mut().pool.hear(worker, &text),
            Signal::Crash(message) => self.0.borrow_mut().pool.crashed(worker, &message),
        };
        for delivery in deliveries {
            match delivery.slot {
                Slot::File => self.hear_file(delivery.response),
                slot => self.hear_answer(slot, delivery.response),
            }
        }
    }

    fn hear_file(&self, response: Response) {
        let result = match response {
            Response::Finished { outcome: Outcome::File { content, diagnostics }, .. } => Ok((content, diagnostics)),
            Response::Failed { failure, .. } => Err(failure),
            _ => return,
        };
        let listener = self.0.borrow_mut().files.pop_front();
        if let Some(listener) = listener {
            listener(result);
        }
    }

    fn hear_answer(&self, slot: Slot, response: Response) {
        let is_final = response.is_final();
        let job = response.job();
        let heard = match response {
            Response::Progress { done, total, .. } => Heard::Progress(done, total),
            Response::Update { text, .. } => Heard::Update(text),
            Response::Finished { outcome: Outcome::Lab { answer }, .. } => match decode::<LabOutcome>(&answer) {
                Ok(outcome) => Heard::Answer(outcome),
                Err(failure) => Heard::Failed(failure),
            },
            Response::Failed { failure, .. } => Heard::Failed(failure),
            _ => return,
        };
        let mut inner = self.0.borrow_mut();
        if let Some((job, listener)) =
            job.and_then(|job| inner.jobs.get(&job).map(|(_, listener)| (job, Rc::clone(listener))))
        {
            if is_final {
                inner.jobs.remove(&job);
            }
            drop(inner);
            return listener(heard);
        }
        let listener = inner.asked.iter().find(|(other, _)| *other == slot).map(|(_, listener)| Rc::clone(listener));
        let mut next = None;
        if is_final {
            inner.asked.retain(|(other, _)| *other != slot);
            next = inner.waiting.iter().position(|other| other.slot == slot).map(|index| inner.waiting.remove(index));
        }
        // Whoever hears may ask again.
        drop(inner);
        if let Some(next) = next {
            self.start(next);
        }
        if let Some(listener) = listener {
            listener(heard);
        }
    }
}
