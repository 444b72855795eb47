//! The files of a ServeGen folder as one workload.

use plimsoll_core::diagnostic::Diagnostic;
use plimsoll_core::scenario::WorkloadSettings;
use plimsoll_formats::{ServeGenChoice, ServeGenFile, servegen_clients};
use plimsoll_protocol::lab::LabOutcome;
use plimsoll_protocol::{Failure, encode};

/// Reads the files of a folder, which came one behind the other with these names and lengths.
///
/// The rate of the workload is the sum of the clients', each at its busiest.
///
/// # Errors
/// `undecodable` when the lengths do not fit the bytes; otherwise every problem of every file.
pub fn read(named: &[(String, u64)], bytes: Option<&[u8]>) -> Result<LabOutcome, Failure> {
    let mut rest = bytes.unwrap_or_default();
    let mut files = Vec::new();
    for (name, length) in named {
        let split = usize::try_from(*length).ok().and_then(|length| rest.split_at_checked(length));
        let Some((bytes, behind)) = split else {
            return Err(Failure::new("undecodable", format!("the bytes of {name} did not come along")));
        };
        files.push(ServeGenFile { name: name.clone(), bytes: bytes.to_vec() });
        rest = behind;
    }
    let choice = ServeGenChoice { path: "the folder".to_owned(), span_start: 0.0, span_end: 0.0 };
    let read = servegen_clients(&files, &choice).map_err(Failure::invalid_input)?;
    let workload = WorkloadSettings {
        request_rate: read.value.iter().map(|client| client.rate_fraction).sum(),
        clients: read.value,
        ..WorkloadSettings::default()
    };
    Ok(LabOutcome::Workload { workload: encode(&workload)?, diagnostics: noted(read.diagnostics) })
}

fn noted(diagnostics: Vec<Diagnostic>) -> Vec<Diagnostic> {
    diagnostics.into_iter().filter(|found| found.severity != plimsoll_core::diagnostic::Severity::Note).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use plimsoll_protocol::decode;

    #[test]
    fn a_folder_becomes_a_client_for_each_chunk() {
        let trace = "0,2.5,1.5,Gamma,0.4,2.0\n600,1.0,1.0,Gamma,1.0,1.0\n";
        let dataset = "{\"0\": {\"input_tokens\": \"{100: 0.5, 300: 0.5}\", \"output_tokens\": \"{20: 1.0}\"}}";
        let named = [
            ("chunk-1-trace.csv".to_owned(), trace.len() as u64),
            ("chunk-1-dataset.json".to_owned(), dataset.len() as u64),
        ];
        let bytes = format!("{trace}{dataset}");
        let outcome = read(&named, Some(bytes.as_bytes())).unwrap_or_else(|failure| panic!("{failure:?}"));
        let LabOutcome::Workload { workload, .. } = outcome else { panic!("{outcome:?}") };
        let workload: WorkloadSettings = decode(&workload).expect("a workload");
        assert_eq!((workload.clients.len(), workload.request_rate), (1, 2.5));
        assert_eq!(workload.clients[0].input_tokens.mean(), 200.0);
    }

    #[test]
    fn bytes_that_are_missing_are_no_panic() {
        let named = [("chunk-1-trace.csv".to_owned(), u64::MAX)];
        assert_eq!(read(&named, Some(b"1")).expect_err("too short").code, "undecodable");
        assert_eq!(read(&[], None).expect_err("no files").code, "invalid-input");
    }
}
