//! A conversation with the worker's host, message by message, and the digest of its answers.

use plimsoll_core::curve::{CurveTrial, Limiter, Stage};
use plimsoll_engine::JobHost;
use plimsoll_protocol::{Edit, Failure, JobId, Outcome, PROTOCOL_VERSION, Request, Response, Spec, decode, encode};
use std::cell::Cell;

/// Digest of all answers; it moves only with the model version, the form of messages or samples, or the base scenario.
pub const DIGEST: u64 = 10_155_068_543_554_608_404;

const BUILD: &str = "talk";

/// A host and what it said.
struct Talk {
    host: JobHost,
    time: Cell<f64>,
    said: Vec<Response>,
}

impl Talk {
    fn say(&mut self, text: &str) {
        let said = &mut self.said;
        self.host.receive(text, None, self.time.get(), &mut |response| said.push(response.clone()));
    }

    fn ask(&mut self, request: &Request) {
        self.say(&encode(request).expect("a request is plain data"));
    }

    /// One slice; a millisecond passes at every look at the clock.
    fn slice(&mut self) -> bool {
        let (said, time) = (&mut self.said, &self.time);
        let clock = || {
            time.set(time.get() + 1.0);
            time.get()
        };
        self.host.run_slice(&clock, &mut |response| said.push(response.clone()))
    }

    /// An edit, and the scenario that came of it.
    fn edit(&mut self, job: u64, scenario: &str, edit: Edit) -> String {
        self.ask(&Request::Start { job: JobId(job), spec: Spec::Desk { scenario: scenario.into(), edit } });
        match self.said.pop() {
            Some(Response::Finished { outcome: Outcome::Desk { state, .. }, .. }) => {
                assert!(state.resolved.is_some(), "it resolves: {:?}", state.diagnostics);
                // What the desk says of the catalogue moves with it, so only what was edited is kept.
                self.said.push(Response::Update { job: JobId(job), text: state.scenario.clone() });
                state.scenario
            }
            other => panic!("{other:?}"),
        }
    }

    fn trials(&mut self, job: u64, scenario: &str, trials: Vec<CurveTrial>) {
        self.ask(&Request::Start { job: JobId(job), spec: Spec::Trials { scenario: scenario.into(), trials } });
    }
}

fn trial(id: u32, stage: Stage, request_rate: f64, num_requests: u32, relaxed: Option<Limiter>) -> CurveTrial {
    CurveTrial { id, stage, request_rate, replicate: id, num_requests, relaxed }
}

/// Everything the host said, in order, as text; its last word on every job is checked.
pub fn conversation() -> Vec<String> {
    let mut talk = Talk { host: JobHost::new(BUILD), time: Cell::new(0.0), said: Vec::new() };
    talk.say("{");
    talk.trials(1, "{}", Vec::new());
    talk.ask(&Request::Hello { protocol: PROTOCOL_VERSION + 1, build: BUILD.into() });
    talk.ask(&Request::Hello { protocol: PROTOCOL_VERSION, build: BUILD.into() });
    let base = talk.edit(2, "", Edit::Base);
    let short = talk.edit(3, &base, Edit::Number { path: "workload.output_tokens".into(), value: Some(64.0) });
    let all = vec![
        trial(0, Stage::Probe, 1e9, 200, None),
        trial(1, Stage::Grid, 12.5, 900, None),
        trial(2, Stage::Ablation, 40.0, 700, Some(Limiter::StepTime)),
    ];
    talk.trials(4, &short, all.clone());
    while talk.slice() {}
    talk.trials(5, &base, [all.clone(), all].concat());
    assert!(talk.slice(), "it takes longer than a slice");
    talk.ask(&Request::Cancel { job: JobId(5) });
    talk.trials(6, "{\"version\": 1, \"seed\": \"odd\"}", Vec::new());
    while talk.slice() {}
    let last_words: Vec<(u64, &str)> = talk
        .said
        .iter()
        .filter_map(|response| {
            let word = match response {
                Response::Finished { .. } => "finished",
                Response::Failed { failure: Failure { code, .. }, .. } => code,
                Response::Cancelled { .. } => "cancelled",
                _ => return None,
            };
            Some((response.job()?.0, word))
        })
        .collect();
    assert_eq!(last_words, [(1, "undecodable"), (4, "finished"), (5, "cancelled"), (6, "undecodable")]);
    let texts: Vec<String> = talk.said.iter().map(|said| encode(said).expect("a response is plain data")).collect();
    for (text, said) in texts.iter().zip(&talk.said) {
        assert_eq!(decode::<Response>(text).as_ref(), Ok(said), "what is written is read back: {text}");
    }
    texts
}

/// FNV-1a, 64 bits, of all texts.
pub fn digest(texts: &[String]) -> u64 {
    let bytes = texts.iter().flat_map(|text| text.bytes().chain([b'\n']));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}
