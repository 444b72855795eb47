//! Several workers and one warm spare: who gets a job, what happens when one is lost.
//!
//! The spare answers the desk's questions, which are short.
//!
//! A job belongs to a [`Slot`]; cancelling a slot is how a newer question replaces an older one.
//! A lost worker's jobs fail with a message and the spare takes its place.

use super::client::{Client, Health, Heard, Port};
use plimsoll_protocol::{Failure, JobId, Response, Spec};
use std::collections::{BTreeMap, VecDeque};

/// What a job is for; a newer question of the same slot replaces the older.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    /// The curve on the screen.
    Curve,
    /// A file the user opened.
    File,
    /// An edit of the scenario.
    Desk,
    /// The list of a picker.
    Choices,
    /// What a workload will generate.
    Preview,
    /// One run, watched.
    Run,
    /// Coefficients being evaluated.
    Calibrate,
    /// Logs that one worker keeps.
    Logs,
    /// A folder of files that make up one workload.
    Folder,
}

/// Number of a worker; never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct WorkerId(pub u32);

/// Makes workers.
pub trait Factory {
    /// The way to a worker.
    type Port: Port<Self::Attachment>;
    /// What can travel beside a message.
    type Attachment: Clone;

    /// Creates a worker whose messages will be passed to [`Pool::hear`] under this number.
    ///
    /// # Errors
    /// In words, when the browser forbids it.
    fn spawn(&mut self, id: WorkerId) -> Result<Self::Port, String>;
}

/// Something for the page to act on.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    /// What the job was for.
    pub slot: Slot,
    /// The message.
    pub response: Response,
}

/// Jobs a worker holds at a time: while it works on one, the next is already there, which hides the round trip.
const JOBS_PER_WORKER: usize = 2;

/// Files that a worker coming later is given to read: as many as a worker keeps traces of.
const MAX_FILES: usize = 8;

/// Workers lost in a row without one becoming ready, after which no more are made.
const MAX_LOSSES: u32 = 4;

#[derive(Debug)]
struct Job {
    slot: Slot,
    worker: WorkerId,
    /// Whether its messages concern nobody: the same file read by one more worker.
    is_silent: bool,
    is_cancelled: bool,
}

/// The workers.
pub struct Pool<F: Factory> {
    factory: F,
    build: String,
    clients: Vec<(WorkerId, Client<F::Port>)>,
    /// Workers that take jobs; one more is kept warm behind them.
    num_active: usize,
    jobs: BTreeMap<JobId, Job>,
    next_job: u64,
    next_worker: u32,
    /// The newest files read, for workers that come later.
    files: VecDeque<(String, F::Attachment)>,
    losses: u32,
    last_loss: String,
    num_late: u64,
}

impl<F: Factory> Pool<F> {
    /// A pool of this many workers and one spare; they start loading at once.
    pub fn new(factory: F, num_active: usize, build: &str) -> Self {
        let mut pool = Self {
            factory,
            build: build.to_owned(),
            clients: Vec::new(),
            num_active: num_active.max(1),
            jobs: BTreeMap::new(),
            next_job: 1,
            next_worker: 1,
            files: VecDeque::new(),
            losses: 0,
            last_loss: String::new(),
            num_late: 0,
        };
        pool.refill();
        pool
    }

    /// Starts a job on the least busy worker.
    ///
    /// # Errors
    /// `unavailable` when no worker can be had.
    pub fn start(&mut self, slot: Slot, spec: Spec) -> Result<JobId, Failure> {
        let index = self.least_busy()?;
        self.start_on(index, slot, spec, None, false)
    }

    /// Starts a job on the least busy worker with a file beside it.
    ///
    /// # Errors
    /// `unavailable` when no worker can be had.
    pub fn start_with(&mut self, slot: Slot, spec: Spec, file: &F::Attachment) -> Result<JobId, Failure> {
        let index = self.least_busy()?;
        self.start_on(index, slot, spec, Some(file), false)
    }

    /// Starts a job of the desk: on the spare, so that it is answered at once while the others simulate.
    ///
    /// # Errors
    /// `unavailable` when no worker can be had.
    pub fn start_at_desk(&mut self, slot: Slot, spec: Spec) -> Result<JobId, Failure> {
        self.start_on_spare(slot, spec, None)
    }

    /// Starts a job on the spare, which keeps what one worker alone has to remember.
    ///
    /// # Errors
    /// `unavailable` when no worker can be had.
    pub fn start_on_spare(&mut self, slot: Slot, spec: Spec, file: Option<&F::Attachment>) -> Result<JobId, Failure> {
        let index = self.clients.len().checked_sub(1).ok_or_else(|| self.unavailable())?;
        self.start_on(index, slot, spec, file, false)
    }

    /// Has every worker read a file; the answer of one is delivered.
    ///
    /// # Errors
    /// `unavailable` when no worker can be had.
    pub fn read_file(&mut self, name: &str, file: &F::Attachment) -> Result<JobId, Failure> {
        if self.clients.is_empty() {
            return Err(self.unavailable());
        }
        if self.files.len() == MAX_FILES {
            self.files.pop_front();
        }
        self.files.push_back((name.to_owned(), file.clone()));
        let spec = Spec::ReadFile { name: name.to_owned() };
        let mut first = None;
        for index in 0..self.clients.len() {
            let job = self.start_on(index, Slot::File, spec.clone(), Some(file), index > 0)?;
            first = first.or(Some(job));
        }
        first.ok_or_else(|| self.unavailable())
    }

    /// The newest files read, oldest first.
    pub fn files(&self) -> impl Iterator<Item = &(String, F::Attachment)> {
        self.files.iter()
    }

    /// Cancels every job of a slot; the jobs' messages are no longer delivered.
    pub fn cancel_slot(&mut self, slot: Slot) {
        for (id, job) in &mut self.jobs {
            if job.slot == slot && !job.is_cancelled && !job.is_silent {
                job.is_cancelled = true;
                if let Some((_, client)) = self.clients.iter().find(|(worker, _)| *worker == job.worker) {
                    client.cancel(*id);
                }
            }
        }
    }

    /// Ends the workers that still hold cancelled jobs and puts fresh ones in their place.
    ///
    /// For a Stop that has not been answered in time; cancelled jobs are then over.
    pub fn replace_stuck(&mut self) -> Vec<Delivery> {
        let mut stuck: Vec<WorkerId> =
            self.jobs.values().filter(|job| job.is_cancelled).map(|job| job.worker).collect();
        stuck.dedup();
        let failure = Failure::new("stopped", "the simulation was stopped");
        stuck.into_iter().flat_map(|worker| self.lose(worker, &failure)).collect()
    }

    /// Replaces every worker by those of another factory; all jobs are over without a word.
    pub fn change_factory(&mut self, factory: F) {
        for (_, client) in &mut self.clients {
            client.poison();
        }
        self.clients.clear();
        self.jobs.clear();
        self.factory = factory;
        self.losses = 0;
        self.refill();
    }

    /// Takes a message of a worker in.
    pub fn hear(&mut self, worker: WorkerId, text: &str) -> Vec<Delivery> {
        let Some((_, client)) = self.clients.iter_mut().find(|(id, _)| *id == worker) else {
            self.num_late += 1;
            return Vec::new();
        };
        match client.hear(text, &self.build) {
            Heard::Nothing { is_late } => {
                self.num_late += u64::from(is_late);
                Vec::new()
            }
            Heard::Ready => {
                self.losses = 0;
                Vec::new()
            }
            Heard::Job(response) => self.deliver(response).into_iter().collect(),
            Heard::Lost(reason) => {
                self.losses += 1;
                self.last_loss.clone_from(&reason);
                self.lose(worker, &Failure::new("crashed", reason))
            }
        }
    }

    /// A worker has stopped working; its jobs fail with this message.
    pub fn crashed(&mut self, worker: WorkerId, message: &str) -> Vec<Delivery> {
        self.losses += 1;
        message.clone_into(&mut self.last_loss);
        self.lose(worker, &Failure::new("crashed", format!("the simulator stopped: {message}")))
    }

    /// Whether a further job would be worked on soon.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.clients.iter().take(self.active()).any(|(worker, _)| self.load(*worker) < JOBS_PER_WORKER)
    }

    /// Why no worker can be had, if none can.
    #[must_use]
    pub fn trouble(&self) -> Option<Failure> {
        self.clients.is_empty().then(|| self.unavailable())
    }

    /// Workers that take jobs.
    #[must_use]
    pub fn num_workers(&self) -> usize {
        self.active()
    }

    /// Messages that came for jobs that were over.
    #[must_use]
    pub fn num_late(&self) -> u64 {
        self.num_late
    }

    /// Jobs a worker still has to do; cancelled ones end before it comes to a later one.
    fn load(&self, worker: WorkerId) -> usize {
        self.jobs.values().filter(|job| job.worker == worker && !job.is_cancelled).count()
    }

    fn least_busy(&self) -> Result<usize, Failure> {
        (0..self.active())
            .min_by_key(|index| self.clients.get(*index).map_or(usize::MAX, |(worker, _)| self.load(*worker)))
            .ok_or_else(|| self.unavailable())
    }

    fn active(&self) -> usize {
        self.clients.len().min(self.num_active)
    }

    fn unavailable(&self) -> Failure {
        let reason = if self.last_loss.is_empty() { "no worker could be started" } else { &self.last_loss };
        Failure::new("unavailable", format!("the simulator could not be started: {reason}"))
    }

    fn start_on(
        &mut self,
        index: usize,
        slot: Slot,
        spec: Spec,
        file: Option<&F::Attachment>,
        is_silent: bool,
    ) -> Result<JobId, Failure> {
        let Some((worker, client)) = self.clients.get_mut(index) else {
            return Err(Failure::new("unavailable", "the worker is gone"));
        };
        let id = JobId(self.next_job);
        self.next_job += 1;
        client.start(id, spec, file);
        self.jobs.insert(id, Job { slot, worker: *worker, is_silent, is_cancelled: false });
        Ok(id)
    }

    fn deliver(&mut self, response: Response) -> Option<Delivery> {
        let id = response.job()?;
        let job = self.jobs.get(&id)?;
        let delivery = (!job.is_silent && !job.is_cancelled).then_some(Delivery { slot: job.slot, response });
        if delivery.as_ref().is_none_or(|delivery| delivery.response.is_final()) {
            let is_over = !self.clients.iter().any(|(_, client)| client.outstanding().contains(&id));
            if is_over {
                self.jobs.remove(&id);
            }
        }
        delivery
    }

    /// Ends a worker, fails its jobs and refills the pool; the spare moves up by its place in the list.
    fn lose(&mut self, worker: WorkerId, failure: &Failure) -> Vec<Delivery> {
        let Some(index) = self.clients.iter().position(|(id, _)| *id == worker) else { return Vec::new() };
        let (_, mut client) = self.clients.remove(index);
        let deliveries = client
            .poison()
            .into_iter()
            .filter_map(|id| {
                let job = self.jobs.remove(&id)?;
                let response = Response::Failed { job: id, failure: failure.clone() };
                (!job.is_silent && !job.is_cancelled).then_some(Delivery { slot: job.slot, response })
            })
            .collect();
        self.refill();
        deliveries
    }

    fn refill(&mut self) {
        while self.clients.len() < self.num_active + 1 && self.losses < MAX_LOSSES {
            let id = WorkerId(self.next_worker);
            self.next_worker += 1;
            match self.factory.spawn(id) {
                Ok(port) => {
                    let client = Client::greet(port, &self.build);
                    debug_assert_eq!(client.health(), Health::Greeting);
                    self.clients.push((id, client));
                    for (name, file) in self.files.clone() {
                        let index = self.clients.len() - 1;
                        let spec = Spec::ReadFile { name };
                        // It is there: it was just put in.
                        let _ = self.start_on(index, Slot::File, spec, Some(&file), true);
                    }
                }
                Err(reason) => {
                    self.losses = MAX_LOSSES;
                    self.last_loss = reason;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plimsoll_protocol::{Outcome, PROTOCOL_VERSION, Request, decode, encode};
    use std::cell::RefCell;
    use std::rc::Rc;

    #[derive(Default)]
    struct Wire {
        sent: RefCell<Vec<(WorkerId, String, Option<String>)>>,
        terminated: RefCell<Vec<WorkerId>>,
        forbidden: RefCell<bool>,
    }

    struct FakePort(WorkerId, Rc<Wire>);

    impl Port<String> for FakePort {
        fn send(&self, text: &str, attachment: Option<&String>) {
            self.1.sent.borrow_mut().push((self.0, text.to_owned(), attachment.cloned()));
        }
        fn terminate(&self) {
            self.1.terminated.borrow_mut().push(self.0);
        }
    }

    struct FakeFactory(Rc<Wire>);

    impl Factory for FakeFactory {
        type Port = FakePort;
        type Attachment = String;
        fn spawn(&mut self, id: WorkerId) -> Result<FakePort, String> {
            if *self.0.forbidden.borrow() {
                return Err("the content security policy forbids workers".into());
            }
            Ok(FakePort(id, Rc::clone(&self.0)))
        }
    }

    fn pool(num_active: usize) -> (Pool<FakeFactory>, Rc<Wire>) {
        let wire = Rc::new(Wire::default());
        (Pool::new(FakeFactory(Rc::clone(&wire)), num_active, "build"), wire)
    }

    fn say(response: &Response) -> String {
        encode(response).expect("writable")
    }

    fn trials() -> Spec {
        Spec::Trials { scenario: String::new(), trials: Vec::new() }
    }

    fn finished(job: JobId) -> String {
        say(&Response::Finished { job, outcome: Outcome::Samples { samples: Vec::new() } })
    }

    fn worker_of(wire: &Wire, job: JobId) -> WorkerId {
        let sent = wire.sent.borrow();
        let found = sent.iter().find(
            |(_, text, _)| matches!(decode::<Request>(text), Ok(Request::Start { job: started, .. }) if started == job),
        );
        found.expect("the job was started").0
    }

    #[test]
    fn jobs_spread_over_workers_and_the_spare_stays_idle() {
        let (mut pool, wire) = pool(2);
        let jobs: Vec<JobId> = (0..4).map(|_| pool.start(Slot::Curve, trials()).expect("a worker")).collect();
        let workers: Vec<u32> = jobs.iter().map(|job| worker_of(&wire, *job).0).collect();
        assert_eq!(workers, [1, 2, 1, 2]);
        assert!(!pool.has_room());
        assert_eq!(pool.hear(WorkerId(1), &finished(jobs[0])).len(), 1);
        assert!(pool.has_room());
    }

    #[test]
    fn the_desk_is_the_spare_and_its_jobs_take_no_room() {
        let (mut pool, wire) = pool(1);
        let spec = Spec::Choices { scenario: String::new(), path: "deployment.model".into() };
        let job = pool.start_at_desk(Slot::Desk, spec.clone()).expect("a worker");
        assert_eq!(worker_of(&wire, job), WorkerId(2));
        pool.start(Slot::Curve, trials()).expect("a worker");
        assert!(pool.has_room());
        pool.cancel_slot(Slot::Curve);
        let deliveries = pool.hear(WorkerId(2), &finished(job));
        assert!(matches!(deliveries[..], [Delivery { slot: Slot::Desk, .. }]), "{deliveries:?}");
        let lost = pool.start_at_desk(Slot::Desk, spec).expect("a worker");
        let deliveries = pool.crashed(WorkerId(2), "gone");
        assert!(matches!(&deliveries[..], [Delivery { slot: Slot::Desk, response }] if response.job() == Some(lost)));
    }

    #[test]
    fn a_cancelled_slot_delivers_nothing_more_and_frees_its_room() {
        let (mut pool, wire) = pool(1);
        let old = pool.start(Slot::Curve, trials()).expect("a worker");
        let file = pool.start(Slot::File, trials()).expect("a worker");
        pool.cancel_slot(Slot::Curve);
        assert!(pool.has_room(), "what is cancelled takes no room, even before the worker has said so");
        let cancels = wire.sent.borrow().iter().filter(|(_, text, _)| text.contains("\"cancel\"")).count();
        assert_eq!(cancels, 1);
        assert!(pool.hear(WorkerId(1), &finished(old)).is_empty(), "the end of a cancelled job concerns nobody");
        assert_eq!(pool.hear(WorkerId(1), &finished(file)).len(), 1);
        assert!(pool.hear(WorkerId(1), &finished(file)).is_empty(), "a job ends once");
        assert_eq!(pool.num_late(), 1);
    }

    #[test]
    fn a_crash_fails_the_worker_s_jobs_and_the_spare_takes_over() {
        let (mut pool, wire) = pool(1);
        let lost = pool.start(Slot::Curve, trials()).expect("a worker");
        let deliveries = pool.crashed(WorkerId(1), "index out of bounds");
        assert_eq!(deliveries.len(), 1);
        let Response::Failed { job, failure } = &deliveries[0].response else { panic!("{deliveries:?}") };
        assert_eq!(*job, lost);
        assert!(failure.message.contains("index out of bounds"));
        assert_eq!(*wire.terminated.borrow(), [WorkerId(1)]);
        let next = pool.start(Slot::Curve, trials()).expect("the spare");
        assert_eq!(worker_of(&wire, next), WorkerId(2));
        assert!(pool.hear(WorkerId(1), &finished(lost)).is_empty(), "a dead worker's words are dropped");
    }

    #[test]
    fn another_version_is_refused_with_the_remedy() {
        let (mut pool, _wire) = pool(1);
        let job = pool.start(Slot::Curve, trials()).expect("a worker");
        let other = say(&Response::Ready { protocol: PROTOCOL_VERSION + 1, build: "build".into() });
        let deliveries = pool.hear(WorkerId(1), &other);
        let Response::Failed { job: failed, failure } = &deliveries[0].response else { panic!("{deliveries:?}") };
        assert_eq!(*failed, job);
        assert!(failure.message.contains("reload"), "{}", failure.message);
    }

    #[test]
    fn workers_that_never_start_are_given_up_with_the_reason() {
        let (mut pool, _wire) = pool(1);
        for worker in 1..=MAX_LOSSES + 1 {
            pool.crashed(WorkerId(worker), "no wasm here");
        }
        let failure = pool.start(Slot::Curve, trials()).expect_err("no worker is left");
        assert_eq!(failure.code, "unavailable");
        assert!(failure.message.contains("no wasm here"), "{}", failure.message);
        assert_eq!(pool.trouble(), Some(failure));
    }

    #[test]
    fn a_browser_that_forbids_workers_is_quoted() {
        let wire = Rc::new(Wire::default());
        *wire.forbidden.borrow_mut() = true;
        let mut pool = Pool::new(FakeFactory(Rc::clone(&wire)), 2, "build");
        let failure = pool.start(Slot::Curve, trials()).expect_err("forbidden");
        assert!(failure.message.contains("content security policy"), "{}", failure.message);
    }

    #[test]
    fn every_worker_reads_a_file_one_answers_and_a_newcomer_reads_it_too() {
        let (mut pool, wire) = pool(1);
        let job = pool.read_file("trace.csv", &"a,b".to_owned()).expect("a worker");
        let carried = |wire: &Wire| wire.sent.borrow().iter().filter(|(_, _, file)| file.is_some()).count();
        assert_eq!(carried(&wire), 2, "the worker and the spare");
        assert_eq!(pool.hear(WorkerId(2), &finished(JobId(job.0 + 1))), [], "the second reader is silent");
        assert_eq!(pool.hear(WorkerId(1), &finished(job)).len(), 1);
        pool.crashed(WorkerId(1), "gone");
        assert_eq!(carried(&wire), 3, "the replacement");
        for number in 0..MAX_FILES {
            pool.read_file(&format!("{number}.csv"), &"a,b".to_owned()).expect("a worker");
        }
        let before = carried(&wire);
        pool.crashed(WorkerId(3), "gone");
        assert_eq!(carried(&wire), before + MAX_FILES, "a newcomer reads every file but the ninth last");
    }

    #[test]
    fn another_factory_s_workers_take_over_and_the_old_ones_are_not_heard() {
        let (mut pool, wire) = pool(1);
        let old = pool.start(Slot::Curve, trials()).expect("a worker");
        pool.change_factory(FakeFactory(Rc::clone(&wire)));
        assert_eq!(*wire.terminated.borrow(), [WorkerId(1), WorkerId(2)]);
        assert!(pool.hear(WorkerId(1), &finished(old)).is_empty());
        let job = pool.start(Slot::Curve, trials()).expect("a worker");
        assert_eq!(worker_of(&wire, job), WorkerId(3));
    }

    #[test]
    fn a_stop_that_is_not_answered_replaces_the_worker() {
        let (mut pool, wire) = pool(1);
        pool.start(Slot::Curve, trials()).expect("a worker");
        pool.cancel_slot(Slot::Curve);
        assert_eq!(pool.replace_stuck(), []);
        assert_eq!(*wire.terminated.borrow(), [WorkerId(1)]);
        assert!(pool.has_room());
    }
}
