//! The driver against a small study and workers that answer by themselves.

use super::*;
use crate::worker::client::Port;
use crate::worker::pool::{Delivery, WorkerId};
use plimsoll_core::curve::Stage;
use plimsoll_protocol::{Request, decode, encode};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

type Wire = Rc<RefCell<VecDeque<(WorkerId, String)>>>;

struct FakePort(WorkerId, Wire);

impl Port<()> for FakePort {
    fn send(&self, text: &str, _attachment: Option<&()>) {
        self.1.borrow_mut().push_back((self.0, text.to_owned()));
    }
    fn terminate(&self) {}
}

struct FakeFactory(Wire);

impl Factory for FakeFactory {
    type Port = FakePort;
    type Attachment = ();
    fn spawn(&mut self, id: WorkerId) -> Result<FakePort, String> {
        Ok(FakePort(id, Rc::clone(&self.0)))
    }
}

/// One probe, then five trials that wait for it.
struct SmallStudy {
    asked: u32,
    told: Vec<u32>,
}

impl Study for SmallStudy {
    type Trial = CurveTrial;
    type Outcome = PointSample;
    type Snapshot = Vec<u32>;

    fn ask(&mut self) -> Ask<CurveTrial> {
        if self.asked == 1 && self.told.is_empty() {
            return Ask::Wait;
        }
        if self.asked == 6 {
            return if self.told.len() == 6 { Ask::Done } else { Ask::Wait };
        }
        self.asked += 1;
        Ask::Trial(trial(self.asked - 1))
    }

    fn tell(&mut self, trial: &CurveTrial, outcome: PointSample) {
        assert_eq!(outcome.measured_requests, trial.id + 100, "the sample is that of the trial");
        self.told.push(trial.id);
    }

    fn progress(&self) -> (u64, u64) {
        (self.told.len() as u64, 6)
    }

    fn snapshot(&self) -> Vec<u32> {
        let mut told = self.told.clone();
        told.sort_unstable();
        told
    }
}

fn trial(id: u32) -> CurveTrial {
    let stage = if id == 0 { Stage::Probe } else { Stage::Grid };
    CurveTrial { id, stage, request_rate: f64::from(id), replicate: 0, num_requests: 10, relaxed: None }
}

fn sample(trial: &CurveTrial) -> PointSample {
    let text = r#"{"verdict":"stable","ttft":Z,"tpot":Z,"itl":Z,"e2e":Z,"measured_requests":N,"request_throughput":1.0,
        "output_token_throughput":1.0,"goodput":1.0,"attainment":1.0,"classes":[],"mean_running":1.0,"mean_waiting":0.0,"kv_usage":0.0,
        "preemptions_per_request":0.0,"prefix_hit_ratio":0.0,"limiters":{"none":1.0,"max_num_seqs":0.0,
        "max_num_batched_tokens":0.0,"kv_blocks":0.0},"time_shares":[],"steps":1,"limits":[],"precision":null}"#;
    let zeros = r#"{"mean":0.0,"p50":0.0,"p90":0.0,"p95":0.0,"p99":0.0,"slo":0.0}"#;
    let text = text.replace('Z', zeros).replace('N', &(trial.id + 100).to_string());
    serde_json::from_str(&text).expect("a sample")
}

/// Answers the oldest open job, in one message or trial by trial.
fn answer(wire: &Wire, pool: &mut Pool<FakeFactory>, in_parts: bool) -> Vec<Delivery> {
    while let Some((worker, text)) = wire.borrow_mut().pop_front() {
        let Ok(Request::Start { job, spec: Spec::Trials { trials, .. } }) = decode(&text) else { continue };
        let mut samples: Vec<PointSample> = trials.iter().map(sample).collect();
        let mut deliveries = Vec::new();
        let mut first = 0;
        while in_parts && samples.len() > 1 {
            let part = vec![samples.remove(0)];
            let response = Response::Partial { job, first, samples: part };
            deliveries.extend(pool.hear(worker, &encode(&response).expect("writable")));
            first += 1;
        }
        let response = Response::Finished { job, outcome: Outcome::Samples { samples } };
        deliveries.extend(pool.hear(worker, &encode(&response).expect("writable")));
        return deliveries;
    }
    Vec::new()
}

fn run(max_batch: usize, in_parts: bool) -> (Driver<SmallStudy>, usize) {
    let wire = Wire::default();
    let mut pool = Pool::new(FakeFactory(Rc::clone(&wire)), 2, "b");
    let study = SmallStudy { asked: 0, told: Vec::new() };
    let mut driver = Driver::begin(&mut pool, String::new(), study, max_batch).expect("workers");
    let mut num_answers = 0;
    loop {
        let deliveries = answer(&wire, &mut pool, in_parts);
        assert!(!deliveries.is_empty(), "the study stands still");
        num_answers += 1;
        for delivery in deliveries {
            match driver.hear(&mut pool, delivery.response) {
                Event::Complete => return (driver, num_answers),
                Event::Failed(failure) => panic!("{failure:?}"),
                Event::Nothing | Event::Advanced => {}
            }
        }
    }
}

#[test]
fn a_study_is_completed_whatever_the_batches() {
    for max_batch in [1, 2, 4] {
        for in_parts in [false, true] {
            let (driver, num_answers) = run(max_batch, in_parts);
            assert_eq!(driver.snapshot(), [0, 1, 2, 3, 4, 5]);
            assert!(num_answers > 5_usize.div_ceil(max_batch));
        }
    }
}

#[test]
fn an_answer_with_holes_is_a_failure() {
    let wire = Wire::default();
    let mut pool = Pool::new(FakeFactory(Rc::clone(&wire)), 1, "b");
    let study = SmallStudy { asked: 0, told: Vec::new() };
    let mut driver = Driver::begin(&mut pool, String::new(), study, 1).expect("workers");
    let job = *driver.batches.keys().next().expect("a job");
    let response = Response::Finished { job, outcome: Outcome::Samples { samples: Vec::new() } };
    let deliveries = pool.hear(WorkerId(1), &encode(&response).expect("writable"));
    let event = driver.hear(&mut pool, deliveries[0].response.clone());
    assert!(matches!(event, Event::Failed(_)), "{event:?}");
}
