//! A pasted `vllm serve` line: the scenario it makes, as an edit of the desk, and what was understood of it.

use plimsoll_core::diagnostic::Severity;
use plimsoll_formats::{Decided, Reason, ServerRelease};
use plimsoll_protocol::{Edit, Failure, ServeLineRead, ServerSetting, encode};

/// What places in the line are told by.
const NAME: &str = "line";

/// An edit that the desk understands in place of a line, with what was understood of it; any other edit as it is.
///
/// # Errors
/// `invalid-input` with every problem of the line, each with its place; `undecodable` when the scenario is none.
pub fn replaced(scenario: &str, edit: Edit) -> Result<(Edit, Option<ServeLineRead>), Failure> {
    let Edit::ServeLine { text } = edit else { return Ok((edit, None)) };
    let before = plimsoll_desk::read(scenario)?;
    // A line that names no release is read for the one that the scenario has.
    let release = ServerRelease { stated: None, otherwise: before.deployment.server_version.as_deref() };
    let line = plimsoll_formats::serve_line(&text, NAME, release).map_err(Failure::invalid_input)?;
    let mut remarks = line.diagnostics;
    let line = line.value;
    let mut after = before.clone();
    remarks.extend(line.apply(&mut after, plimsoll_configs::catalog()));
    if remarks.iter().any(|remark| remark.severity == Severity::Error) {
        return Err(Failure::invalid_input(remarks));
    }
    let settings = line.decided(&before, &after).into_iter().map(setting).collect();
    let read = ServeLineRead { settings, remarks };
    Ok((Edit::Scenario { text: encode(&after)? }, Some(read)))
}

fn setting(decided: Decided) -> ServerSetting {
    let flag = match decided.reason {
        Reason::Line => Some(String::new()),
        Reason::Flag(flag) => Some(flag.to_owned()),
        Reason::LeftOut => None,
    };
    ServerSetting { path: decided.path.to_owned(), before: decided.before, after: decided.after, flag }
}

#[cfg(test)]
mod tests {
    use crate::host::Host;
    use plimsoll_protocol::{DeskState, Edit, JobId, Outcome, PROTOCOL_VERSION, Request, Response, Said, Spec, encode};

    /// What the worker makes of a line, with all that it said as text.
    fn pasted(scenario: &str, line: &str) -> (Result<(DeskState, Said), plimsoll_protocol::Failure>, String) {
        let (mut host, mut heard) = (Host::new("test"), Vec::new());
        let edit = Edit::ServeLine { text: line.into() };
        let start = Request::Start { job: JobId(1), spec: Spec::Desk { scenario: scenario.into(), edit } };
        for request in [Request::Hello { protocol: PROTOCOL_VERSION, build: "test".into() }, start] {
            let text = encode(&request).expect("writable");
            host.receive(&text, None, 0.0, &mut |response| heard.push(response.clone()));
        }
        let last = heard.pop().expect("an answer");
        let text = encode(&last).expect("writable");
        match last {
            Response::Finished { outcome: Outcome::Desk { state, said }, .. } => (Ok((*state, said)), text),
            Response::Failed { failure, .. } => (Err(failure), text),
            other => panic!("{other:?}"),
        }
    }

    const LINE: &str = "vllm serve meta-llama/Llama-3.1-8B-Instruct --max-num-seqs 512 --max-num-batched-tokens 16k \
                        --no-enable-prefix-caching --swap-space 4 --enforce-eager --host 0.0.0.0 --api-key s3cret";

    #[test]
    fn a_line_is_one_edit_and_tells_what_was_understood_of_it() {
        let (answer, text) = pasted("", LINE);
        let (state, said) = answer.expect("a line");
        assert_eq!(state.number("engine.max_num_seqs"), Some(512.0));
        assert_eq!(state.number("engine.max_num_batched_tokens"), Some(16_000.0));
        assert_eq!(state.choice("engine.enable_prefix_caching"), "false");
        assert!(state.resolved.is_some(), "{:?}", state.diagnostics);
        let read = said.serve_line.expect("what was understood");
        let settings: Vec<String> = read
            .settings
            .iter()
            .map(|one| format!("{} {:?} {:?} {:?}", one.path, one.before, one.after, one.flag))
            .collect();
        assert!(
            settings.contains(&r#"engine.max_num_seqs None Some("512") Some("--max-num-seqs")"#.to_owned()),
            "{settings:#?}"
        );
        let remarks: Vec<&str> = read.remarks.iter().map(|remark| remark.message.as_str()).collect();
        assert_eq!(
            remarks,
            [
                "--swap-space went in 0.18",
                "not modelled, so predictions are without it: --enforce-eager",
                "not known here, changes nothing: --host, --api-key",
            ]
        );
        assert!(!text.contains("s3cret"), "{text}");
    }

    #[test]
    fn a_line_is_read_for_the_release_that_the_scenario_has() {
        let edit = Edit::Choice { path: "deployment.server_version".into(), id: "0.10.2".into() };
        let (old, _) = plimsoll_desk::Desk::default().edit("", &edit).expect("an edit");
        let (answer, _) = pasted(&old.scenario, LINE);
        let read = answer.expect("a line").1.serve_line.expect("what was understood");
        assert!(read.remarks.iter().all(|remark| remark.code != "flag-removed"), "{read:?}");
        let is_listed = |message: &str| message.starts_with("not modelled") && message.contains("--swap-space");
        assert!(read.remarks.iter().any(|remark| is_listed(&remark.message)), "{read:?}");
    }

    #[test]
    fn what_is_wrong_with_a_line_has_its_place_and_no_secret() {
        let (answer, text) = pasted("", "vllm serve\\\n  --max-num-sqs 512 \\\n --api-key s3cret --watermark 7");
        let failure = answer.expect_err("two problems");
        assert_eq!(failure.code, "invalid-input");
        let places: Vec<(&str, &str)> =
            failure.diagnostics.iter().map(|found| (found.code.as_str(), found.path.as_str())).collect();
        assert_eq!(places[..2], [("unknown-flag", "line:2:3"), ("invalid-value", "line:3:19")], "{failure:?}");
        assert!(failure.diagnostics[0].hint.contains("--max-num-seqs"), "{failure:?}");
        assert!(!text.contains("s3cret"), "{text}");
    }
}
