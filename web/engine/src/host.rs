//! The worker's side of the protocol: a table of jobs, worked on in slices of time.
//!
//! Messages go in, responses come out through a closure, time comes from a closure, so the host is tested natively.
//! A slice ends after a few milliseconds; between slices the worker looks at its messages, so a cancel is
//! honoured within one.

use plimsoll_core::curve::{CurveTrial, PointSample, TrialRun};
use plimsoll_core::scenario::{ResolvedScenario, Scenario};
use plimsoll_core::workload::Trace;
use plimsoll_desk::Desk;
use plimsoll_protocol::{DeskState, Edit, Failure, JobId, Outcome, PROTOCOL_VERSION, Request, Response, Spec, decode};
use std::collections::VecDeque;
use std::sync::Arc;

/// Length of a slice, milliseconds.
const SLICE_MS: f64 = 4.0;
/// Shortest time between two progress messages of a job, milliseconds.
const REPORT_EVERY_MS: f64 = 100.0;
/// Steps between two looks at the clock aim at this, milliseconds.
const LOOK_EVERY_MS: f64 = 1.0;
/// Fewest and most steps between two looks.
const STEPS: [u64; 2] = [256, 1 << 24];

/// Traces that are kept, the newest ones; undo leads back to an older one.
#[cfg(feature = "files")]
const MAX_TRACES: usize = 8;

/// A scenario with what it resolves to; kept, because trials of one scenario come in many messages.
pub(crate) struct Prepared {
    /// The scenario's text.
    scenario: String,
    pub(crate) resolved: ResolvedScenario,
    pub(crate) trace: Option<Arc<Trace>>,
}

/// Something under way.
struct Job {
    id: JobId,
    work: Work,
    last_report: f64,
}

enum Work {
    Trials(Box<Trials>),
    #[cfg(feature = "files")]
    Lab(Box<crate::lab::LabJob>),
}

/// Trials being run, in order.
struct Trials {
    prepared: Arc<Prepared>,
    trials: Vec<CurveTrial>,
    run: Option<TrialRun>,
    /// Samples not sent yet, and how many were.
    samples: Vec<PointSample>,
    num_sent: usize,
}

/// The worker's state.
pub struct Host {
    build: String,
    is_greeted: bool,
    jobs: VecDeque<Job>,
    prepared: Option<Arc<Prepared>>,
    desk: Desk,
    traces: Vec<(String, Arc<Trace>)>,
    #[cfg(feature = "files")]
    bench: crate::lab::Bench,
    steps_per_look: u64,
}

impl Host {
    /// A host of this build, waiting for the handshake.
    #[must_use]
    pub fn new(build: &str) -> Self {
        Self {
            build: build.to_owned(),
            is_greeted: false,
            jobs: VecDeque::new(),
            prepared: None,
            desk: Desk::default(),
            traces: Vec::new(),
            #[cfg(feature = "files")]
            bench: crate::lab::Bench::default(),
            steps_per_look: 20_000,
        }
    }

    /// Takes a message in; `now` in milliseconds.
    pub fn receive(&mut self, text: &str, file: Option<&[u8]>, now: f64, send: &mut impl FnMut(&Response)) {
        let request = match decode::<Request>(text) {
            Ok(request) => request,
            Err(failure) => return send(&Response::Refused { reason: failure.message }),
        };
        match request {
            Request::Hello { protocol, build } => {
                if protocol != PROTOCOL_VERSION || build != self.build {
                    let reason = "the page and its simulator are of different versions; reload the page".into();
                    return send(&Response::Refused { reason });
                }
                self.is_greeted = true;
                send(&Response::Ready { protocol: PROTOCOL_VERSION, build: self.build.clone() });
            }
            Request::Start { job, .. } if !self.is_greeted => {
                let failure = Failure::new("undecodable", "a job came before the handshake");
                send(&Response::Failed { job, failure });
            }
            Request::Start { job, spec: Spec::Trials { scenario, trials } } => {
                let prepared = self.prepare(scenario).and_then(|prepared| {
                    let problem = prepared.resolved.workload.without_rate();
                    problem.map_or(Ok(prepared), |problem| Err(Failure::invalid_input(vec![problem])))
                });
                match prepared {
                    Ok(prepared) => {
                        let trials = Trials { prepared, trials, run: None, samples: Vec::new(), num_sent: 0 };
                        self.jobs.push_back(Job { id: job, work: Work::Trials(Box::new(trials)), last_report: now });
                    }
                    Err(failure) => send(&Response::Failed { job, failure }),
                }
            }
            Request::Start { job, spec: Spec::Lab { request } } => match self.lab(&request, file) {
                Ok(work) => self.jobs.push_back(Job { id: job, work, last_report: now }),
                Err(failure) => send(&Response::Failed { job, failure }),
            },
            Request::Start { job, spec: Spec::ReadFile { name } } => {
                send(&match self.read_file(&name, file) {
                    Ok(outcome) => Response::Finished { job, outcome },
                    Err(failure) => Response::Failed { job, failure },
                });
            }
            Request::Start { job, spec: Spec::Desk { scenario, edit } } => {
                send(&match self.edit(&scenario, edit) {
                    Ok(outcome) => Response::Finished { job, outcome },
                    Err(failure) => Response::Failed { job, failure },
                });
            }
            Request::Start { job, spec: Spec::Choices { scenario, path } } => {
                send(&match self.desk.choices(&scenario, &path) {
                    Ok(choices) => Response::Finished { job, outcome: Outcome::Choices { path, choices } },
                    Err(failure) => Response::Failed { job, failure },
                });
            }
            Request::Cancel { job } => {
                if let Some(index) = self.jobs.iter().position(|other| other.id == job) {
                    self.jobs.remove(index);
                    send(&Response::Cancelled { job });
                }
            }
        }
    }

    /// Works for about one slice; whether there is more to do.
    pub fn run_slice(&mut self, clock: &impl Fn() -> f64, send: &mut impl FnMut(&Response)) -> bool {
        let start = clock();
        let mut before = start;
        while let Some(job) = self.jobs.front_mut() {
            let outcome = job.advance(self.steps_per_look);
            let now = clock();
            let took = now - before;
            before = now;
            if let Some(outcome) = outcome {
                send(&match outcome {
                    Ok(outcome) => Response::Finished { job: job.id, outcome },
                    Err(failure) => Response::Failed { job: job.id, failure },
                });
                self.jobs.pop_front();
            } else {
                job.report(now, send);
                self.steps_per_look = match took {
                    short if short < LOOK_EVERY_MS / 2.0 => self.steps_per_look.saturating_mul(2),
                    long if long > LOOK_EVERY_MS * 2.0 => self.steps_per_look / 2,
                    _ => self.steps_per_look,
                }
                .clamp(STEPS[0], STEPS[1]);
            }
            if now - start >= SLICE_MS {
                break;
            }
        }
        !self.jobs.is_empty()
    }

    /// What an edit makes of a scenario.
    fn edit(&mut self, scenario: &str, edit: Edit) -> Result<Outcome, Failure> {
        #[cfg(feature = "files")]
        let (edit, serve_line) = crate::serve_line::replaced(scenario, edit)?;
        #[cfg(not(feature = "files"))]
        let serve_line = None;
        let (mut state, mut said) = self.desk.edit(scenario, &edit)?;
        state.recorded_rate_per_s = self.recorded_rate(&state);
        said.serve_line = serve_line;
        Ok(Outcome::Desk { state: Box::new(state), said })
    }

    fn prepare(&mut self, text: String) -> Result<Arc<Prepared>, Failure> {
        if let Some(prepared) = self.prepared.as_ref().filter(|prepared| prepared.scenario == text) {
            return Ok(Arc::clone(prepared));
        }
        let scenario: Scenario = decode(&text)?;
        let trace = match &scenario.workload.trace {
            None => None,
            Some(choice) => {
                let found = self.traces.iter().find(|(hash, _)| *hash == choice.hash);
                Some(found.map(|(_, trace)| trace.chosen(choice)).ok_or_else(|| {
                    let message =
                        format!("the trace {} is not open in this tab; open the file again to replay it", choice.name);
                    Failure::new("unknown-trace", message)
                })?)
            }
        };
        let resolved = scenario.resolve(plimsoll_configs::catalog()).map_err(Failure::invalid_input)?.value;
        let prepared = Arc::new(Prepared { scenario: text, resolved, trace });
        self.prepared = Some(Arc::clone(&prepared));
        Ok(prepared)
    }

    /// Requests per second at which the part of a trace was recorded that a scenario replays; none if it is not open.
    #[cfg(not(feature = "files"))]
    fn recorded_rate(&self, _state: &DeskState) -> Option<f64> {
        None
    }

    #[cfg(feature = "files")]
    fn recorded_rate(&self, state: &DeskState) -> Option<f64> {
        let (_, trace) = self.traces.iter().find(|(hash, _)| state.trace.as_ref() == Some(hash))?;
        trace.chosen_rate(decode::<Scenario>(&state.scenario).ok()?.workload.trace.as_ref()?)
    }

    #[cfg(not(feature = "files"))]
    fn lab(&mut self, _request: &str, _file: Option<&[u8]>) -> Result<Work, Failure> {
        Err(Failure::new("undecodable", "the lab's work was given to a simulator that does not know it"))
    }

    #[cfg(feature = "files")]
    fn lab(&mut self, request: &str, file: Option<&[u8]>) -> Result<Work, Failure> {
        // Apart from the host while the job is made, which may prepare a scenario.
        let mut bench = core::mem::take(&mut self.bench);
        let job = crate::lab::LabJob::new(request, file, &mut bench, |scenario| self.prepare(scenario));
        self.bench = bench;
        job.map(|job| Work::Lab(Box::new(job)))
    }

    #[cfg(not(feature = "files"))]
    fn read_file(&mut self, name: &str, _file: Option<&[u8]>) -> Result<Outcome, Failure> {
        Err(Failure::new("undecodable", format!("{name} was given to a simulator that reads no files")))
    }

    #[cfg(feature = "files")]
    fn read_file(&mut self, name: &str, file: Option<&[u8]>) -> Result<Outcome, Failure> {
        let bytes = file.ok_or_else(|| Failure::new("undecodable", "the file itself did not come along"))?;
        let read = crate::files::read(name, bytes).map_err(Failure::invalid_input)?;
        if let Some((hash, trace)) = read.trace {
            self.traces.retain(|(other, _)| *other != hash);
            if self.traces.len() == MAX_TRACES {
                self.traces.remove(0);
            }
            self.traces.push((hash, trace));
        }
        Ok(Outcome::File { content: read.content, diagnostics: read.diagnostics })
    }
}

impl Job {
    /// Runs about `max_steps` steps; what came of the job if it is over.
    fn advance(&mut self, max_steps: u64) -> Option<Result<Outcome, Failure>> {
        match &mut self.work {
            Work::Trials(trials) => trials.advance(max_steps).map(|samples| Ok(Outcome::Samples { samples })),
            #[cfg(feature = "files")]
            Work::Lab(lab) => lab.advance(max_steps).map(|answer| answer.map(|answer| Outcome::Lab { answer })),
        }
    }

    /// Sends what is ready, or a sign of life, not too often.
    fn report(&mut self, now: f64, send: &mut impl FnMut(&Response)) {
        if now - self.last_report < REPORT_EVERY_MS {
            return;
        }
        self.last_report = now;
        match &mut self.work {
            Work::Trials(trials) => send(&trials.report(self.id)),
            #[cfg(feature = "files")]
            Work::Lab(lab) => send(&lab.report(self.id)),
        }
    }
}

impl Trials {
    /// Runs about `max_steps` steps, or to the end of the present trial; the samples not sent yet if that was the last.
    fn advance(&mut self, max_steps: u64) -> Option<Vec<PointSample>> {
        let position = self.num_sent + self.samples.len();
        let Some(trial) = self.trials.get(position) else { return Some(core::mem::take(&mut self.samples)) };
        let prepared = &self.prepared;
        let run = self.run.get_or_insert_with(|| TrialRun::new(&prepared.resolved, prepared.trace.as_ref(), trial));
        if let Some(sample) = run.run_for(max_steps) {
            self.samples.push(sample);
            self.run = None;
        }
        let is_over = position + 1 == self.trials.len() && self.run.is_none();
        is_over.then(|| core::mem::take(&mut self.samples))
    }

    fn report(&mut self, job: JobId) -> Response {
        if self.samples.is_empty() {
            return Response::Progress { job, done: self.num_sent as u64, total: Some(self.trials.len() as u64) };
        }
        let first = u32::try_from(self.num_sent).unwrap_or(u32::MAX);
        let samples = core::mem::take(&mut self.samples);
        self.num_sent += samples.len();
        Response::Partial { job, first, samples }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plimsoll_core::curve::Stage;
    use plimsoll_protocol::encode;
    use std::cell::Cell;

    const BUILD: &str = "test";

    fn trial(id: u32, num_requests: u32) -> CurveTrial {
        CurveTrial { id, stage: Stage::Grid, request_rate: 5.0, replicate: 0, num_requests, relaxed: None }
    }

    fn start(job: u64, scenario: &Scenario, trials: Vec<CurveTrial>) -> Request {
        Request::Start { job: JobId(job), spec: Spec::Trials { scenario: encode(scenario).expect("writable"), trials } }
    }

    struct Bench {
        host: Host,
        heard: Vec<Response>,
        time: Cell<f64>,
        /// Milliseconds that pass between two looks at the clock.
        pace: f64,
    }

    impl Bench {
        fn new(pace: f64) -> Self {
            let mut bench = Self { host: Host::new(BUILD), heard: Vec::new(), time: Cell::new(0.0), pace };
            bench.say(&Request::Hello { protocol: PROTOCOL_VERSION, build: BUILD.into() });
            bench
        }

        fn say(&mut self, request: &Request) {
            let heard = &mut self.heard;
            let text = encode(request).expect("writable");
            self.host.receive(&text, None, self.time.get(), &mut |response| heard.push(response.clone()));
        }

        fn slice(&mut self) -> bool {
            let (heard, time, pace) = (&mut self.heard, &self.time, self.pace);
            let clock = || {
                time.set(time.get() + pace);
                time.get()
            };
            self.host.run_slice(&clock, &mut |response| heard.push(response.clone()))
        }

        fn finals(&self, job: u64) -> Vec<&Response> {
            self.heard.iter().filter(|response| response.job() == Some(JobId(job)) && response.is_final()).collect()
        }
    }

    #[test]
    fn a_job_ends_once_with_a_sample_for_each_trial() {
        let mut bench = Bench::new(1.0);
        bench.say(&start(1, &Scenario::default(), vec![trial(0, 50), trial(1, 60)]));
        while bench.slice() {}
        let finals = bench.finals(1);
        let [Response::Finished { outcome: Outcome::Samples { samples }, .. }] = finals[..] else {
            panic!("{finals:?}")
        };
        assert_eq!(samples.len(), 2);
        assert!(samples.iter().all(|sample| sample.steps > 0));
    }

    #[test]
    fn slices_change_nothing_and_parts_add_up() {
        let whole = {
            let mut bench = Bench::new(0.001);
            bench.say(&start(1, &Scenario::default(), vec![trial(0, 400), trial(1, 400)]));
            while bench.slice() {}
            let Some(Response::Finished { outcome: Outcome::Samples { samples }, .. }) = bench.heard.pop() else {
                panic!()
            };
            samples
        };
        // A slow clock: every look ends the slice and reports.
        let mut bench = Bench::new(1000.0);
        bench.host.steps_per_look = 64;
        bench.say(&start(1, &Scenario::default(), vec![trial(0, 400), trial(1, 400)]));
        while bench.slice() {}
        let mut parts = Vec::new();
        for response in &bench.heard {
            match response {
                Response::Partial { first, samples, .. } => {
                    assert_eq!(*first as usize, parts.len());
                    parts.extend(samples.clone());
                }
                Response::Finished { outcome: Outcome::Samples { samples }, .. } => parts.extend(samples.clone()),
                _ => {}
            }
        }
        assert_eq!(parts, whole);
        assert!(bench.heard.iter().any(|response| matches!(response, Response::Progress { .. })));
    }

    #[test]
    fn a_cancel_is_heard_between_slices_and_is_the_last_word() {
        let mut bench = Bench::new(1000.0);
        bench.say(&start(1, &Scenario::default(), vec![trial(0, 2000)]));
        assert!(bench.slice());
        bench.say(&Request::Cancel { job: JobId(1) });
        bench.say(&Request::Cancel { job: JobId(1) });
        assert!(!bench.slice());
        assert_eq!(bench.finals(1), [&Response::Cancelled { job: JobId(1) }]);
    }

    #[test]
    fn a_cancel_before_the_first_slice_counts_too() {
        let mut bench = Bench::new(1.0);
        bench.say(&start(1, &Scenario::default(), vec![trial(0, 20)]));
        bench.say(&Request::Cancel { job: JobId(1) });
        assert!(!bench.slice());
        assert_eq!(bench.finals(1).len(), 1);
    }

    #[test]
    fn versions_are_compared_before_any_work() {
        let mut bench = Bench::new(1.0);
        bench.host = Host::new("other");
        bench.heard.clear();
        bench.say(&Request::Hello { protocol: PROTOCOL_VERSION, build: BUILD.into() });
        assert!(matches!(bench.heard[..], [Response::Refused { .. }]));
        bench.say(&start(1, &Scenario::default(), vec![trial(0, 20)]));
        assert!(matches!(bench.finals(1)[..], [Response::Failed { .. }]));
    }

    #[test]
    fn what_cannot_be_used_is_a_failure_with_its_reasons() {
        let mut bench = Bench::new(1.0);
        let mut scenario = Scenario::default();
        scenario.engine.max_num_seqs = Some(0);
        bench.say(&start(1, &scenario, vec![trial(0, 20)]));
        scenario = Scenario::default();
        scenario.workload.trace =
            Some(plimsoll_core::scenario::TraceChoice { name: "t.csv".into(), hash: "0".into(), ..Default::default() });
        bench.say(&start(2, &scenario, vec![trial(0, 20)]));
        let codes: Vec<&str> = bench
            .heard
            .iter()
            .filter_map(|response| match response {
                Response::Failed { failure, .. } => Some(failure.code.as_str()),
                _ => None,
            })
            .collect();
        assert_eq!(codes, ["invalid-input", "unknown-trace"]);
    }

    #[test]
    fn the_desk_answers_at_once_while_trials_run() {
        let mut bench = Bench::new(1000.0);
        bench.say(&start(1, &Scenario::default(), vec![trial(0, 2000)]));
        assert!(bench.slice());
        let edit = Edit::Number { path: "slo.ttft_ms".into(), value: Some(250.0) };
        bench.say(&Request::Start { job: JobId(2), spec: Spec::Desk { scenario: String::new(), edit } });
        let finals = bench.finals(2);
        let [Response::Finished { outcome: Outcome::Desk { state, .. }, .. }] = finals[..] else {
            panic!("{finals:?}")
        };
        let scenario: Scenario = decode(&state.scenario).expect("a scenario");
        assert_eq!(scenario.slo.ttft_ms, Some(250.0));
        let spec = Spec::Choices { scenario: "{".into(), path: "deployment.model".into() };
        bench.say(&Request::Start { job: JobId(3), spec });
        assert!(matches!(bench.finals(3)[..], [Response::Failed { .. }]));
    }

    #[cfg(feature = "files")]
    #[test]
    fn the_desk_tells_the_rate_of_the_part_of_a_trace_that_is_replayed() {
        use plimsoll_core::scenario::TraceChoice;
        let mut bench = Bench::new(1.0);
        // Four gaps in one second, then four in four.
        let arrivals = [0, 250, 500, 750, 1000, 2000, 3000, 4000, 5000];
        let rows = arrivals.iter().enumerate().map(|(id, ms)| format!("{id},{ms}000,100,10\n"));
        let csv = format!("request_id,arrival_us,input_tokens,output_tokens\n{}", rows.collect::<String>());
        let read = Request::Start { job: JobId(1), spec: Spec::ReadFile { name: "t.csv".into() } };
        let heard = &mut bench.heard;
        let text = encode(&read).expect("writable");
        bench.host.receive(&text, Some(csv.as_bytes()), 0.0, &mut |response| heard.push(response.clone()));
        let hash = bench.host.traces[0].0.clone();
        let mut recorded = |job, hash: &str, window_s| {
            let choice = TraceChoice { name: "t.csv".into(), hash: hash.into(), window_s, ..Default::default() };
            let text = encode(&choice).expect("writable");
            let edit = Edit::Value { path: "workload.trace".into(), text };
            bench.say(&Request::Start { job: JobId(job), spec: Spec::Desk { scenario: String::new(), edit } });
            let finals = bench.finals(job);
            let [Response::Finished { outcome: Outcome::Desk { state, .. }, .. }] = finals[..] else {
                panic!("{finals:?}")
            };
            state.recorded_rate_per_s
        };
        assert_eq!(recorded(2, &hash, None), Some(8.0 / 5.0));
        assert_eq!(recorded(3, &hash, Some([0.0, 1.1])), Some(4.0));
        assert_eq!(recorded(4, &hash, Some([1.0, 9.0])), Some(1.0));
        assert_eq!(recorded(5, "0", None), None, "not open here");
    }

    #[cfg(feature = "files")]
    #[test]
    fn a_job_of_the_lab_is_worked_on_in_slices_and_ends_with_its_answer() {
        use plimsoll_protocol::lab::{LabOutcome, LabSpec, PreviewSpec};
        let mut bench = Bench::new(1000.0);
        bench.host.steps_per_look = 300;
        let scenario = encode(&Scenario::default()).expect("writable");
        let spec = LabSpec::Preview(PreviewSpec {
            scenario,
            workload: None,
            trace: None,
            request_rate: Some(10.0),
            num_requests: 1000,
        });
        let request = encode(&spec).expect("writable");
        bench.say(&Request::Start { job: JobId(1), spec: Spec::Lab { request } });
        while bench.slice() {}
        assert!(matches!(bench.heard[1], Response::Progress { job: JobId(1), .. }), "{:?}", bench.heard);
        let finals = bench.finals(1);
        let [Response::Finished { outcome: Outcome::Lab { answer }, .. }] = finals[..] else { panic!("{finals:?}") };
        let LabOutcome::Preview(previewed) = decode(answer).expect("an outcome") else { panic!("{answer}") };
        assert_eq!((previewed.preview.num_requests, previewed.preview.asked_rate), (1000, Some(10.0)));
        assert_eq!(previewed.words[0], "poisson arrivals");
        bench.say(&Request::Start { job: JobId(2), spec: Spec::Lab { request: "{}".into() } });
        assert!(matches!(bench.finals(2)[..], [Response::Failed { .. }]));
    }

    #[test]
    fn garbage_is_refused_not_a_panic() {
        let mut heard = Vec::new();
        Host::new(BUILD).receive("{", None, 0.0, &mut |response| heard.push(response.clone()));
        assert!(matches!(heard[..], [Response::Refused { .. }]));
    }
}
