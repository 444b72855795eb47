//! Messages as JSON text. What cannot be decoded is an error with a reason, never a panic.

use crate::Failure;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A decoded message or the reason why it is none.
pub type Decoded<T> = Result<T, Failure>;

/// Writes a message as text.
///
/// # Errors
/// `undecodable` if the message cannot be written, which no message of this crate is.
pub fn encode<T: Serialize>(message: &T) -> Decoded<String> {
    plimsoll_json::to_text(message).map_err(|error| Failure::new("undecodable", error.to_string()))
}

/// Reads a message from text.
///
/// # Errors
/// `undecodable` with the reason.
pub fn decode<T: DeserializeOwned>(text: &str) -> Decoded<T> {
    plimsoll_json::from_text(text).map_err(|error| Failure::new("undecodable", error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::{LabSpec, PreviewSpec};
    use crate::{DeskState, Edit, JobId, Outcome, Request, Response, Said, Spec};
    use plimsoll_core::curve::{CurveTrial, Stage};

    fn round_trip<T: Serialize + DeserializeOwned + PartialEq + core::fmt::Debug>(message: &T) {
        let text = encode(message).expect("writable");
        assert_eq!(&decode::<T>(&text).expect(&text), message);
    }

    #[test]
    fn every_request_survives_the_crossing() {
        let trial = CurveTrial {
            id: 3,
            stage: Stage::Grid,
            request_rate: 0.1,
            replicate: 2,
            num_requests: 1000,
            relaxed: None,
        };
        round_trip(&Request::Hello { protocol: 1, build: "b".into() });
        let spec = Spec::Trials { scenario: "{}".into(), trials: vec![trial] };
        round_trip(&Request::Start { job: JobId((1 << 53) - 1), spec });
        round_trip(&Request::Start { job: JobId(1), spec: Spec::ReadFile { name: "trace.csv".into() } });
        let edit = Edit::Number { path: "slo.ttft_ms".into(), value: None };
        round_trip(&Request::Start { job: JobId(1), spec: Spec::Desk { scenario: String::new(), edit } });
        let request = encode(&LabSpec::Preview(PreviewSpec {
            scenario: "{}".into(),
            workload: None,
            trace: None,
            request_rate: Some(0.1 + 0.2),
            num_requests: 3,
        }));
        round_trip(&Request::Start { job: JobId(1), spec: Spec::Lab { request: request.expect("writable") } });
        round_trip(&Request::Cancel { job: JobId(1) });
    }

    #[test]
    fn every_final_response_says_so_and_names_its_job() {
        let state = DeskState {
            numbers: vec![("slo.ttft_ms".into(), Some(0.1 + 0.2)), ("slo.itl_ms".into(), None)],
            ..DeskState::default()
        };
        let said = Said { view: Some(crate::view::View::default()), ..Said::default() };
        let finals = [
            Response::Finished { job: JobId(7), outcome: Outcome::Desk { state: Box::new(state), said } },
            Response::Finished { job: JobId(7), outcome: Outcome::Samples { samples: Vec::new() } },
            Response::Finished { job: JobId(7), outcome: Outcome::Lab { answer: "{\"a\":\"\\n\"}".into() } },
            Response::Failed { job: JobId(7), failure: Failure::new("crashed", "why") },
            Response::Cancelled { job: JobId(7) },
        ];
        for response in finals {
            round_trip(&response);
            assert!(response.is_final() && response.job() == Some(JobId(7)));
        }
        let progress = Response::Progress { job: JobId(7), done: 1, total: None };
        round_trip(&progress);
        assert!(!progress.is_final());
        let update = Response::Update { job: JobId(7), text: "[1]".into() };
        round_trip(&update);
        assert!(!update.is_final() && update.job() == Some(JobId(7)));
    }

    #[test]
    fn garbage_is_a_failure_with_a_reason() {
        for text in ["", "null", "{\"explode\":{}}", "{\"cancel\":{\"job\":1,\"x\":2}}"] {
            let failure = decode::<Request>(text).expect_err(text);
            assert_eq!(failure.code, "undecodable");
            assert!(!failure.message.is_empty());
        }
    }
}
