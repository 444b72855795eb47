//! `--trace-output`: a run as a trace v2.

use crate::arguments::RunArguments;
use crate::input::Input;
use crate::output::{Failure, file_failure, tell};
use plimsoll_core::diagnostic::Diagnostic;
use plimsoll_core::observation::RequestRecord;
use plimsoll_core::workload::Source;
use plimsoll_formats::trace::{TraceHeader, TraceServer, recorded_run_to_csv};
use std::fs;
use std::path::{Path, PathBuf};

/// Where a recording goes; both files can be written.
pub struct RecordingFiles {
    data: PathBuf,
    header: PathBuf,
}

impl RecordingFiles {
    /// The files that `--trace-output` names, if it names some.
    pub fn create(arguments: &RunArguments) -> Result<Option<Self>, Failure> {
        let Some(path) = arguments.trace_output.as_deref() else {
            return Ok(None);
        };
        let files = Self { data: path.with_extension("csv"), header: header_beside(path) };
        // A run can take long; that its recording has nowhere to go must be known before it.
        for path in [&files.data, &files.header] {
            write(path, "")?;
        }
        Ok(Some(files))
    }

    /// Writes the run.
    pub fn write(
        &self,
        input: &Input,
        arguments: &RunArguments,
        records: &[RequestRecord],
        source: &Source,
    ) -> Result<(), Failure> {
        let resolved = &input.resolved;
        let data = recorded_run_to_csv(records, source, &resolved.workload, &resolved.model);
        let shown = self.data.display().to_string();
        let lost: Vec<Diagnostic> =
            data.diagnostics.into_iter().map(|lost| Diagnostic { path: shown.clone(), ..lost }).collect();
        tell(&lost, None, arguments.scenario.log);
        let header = TraceHeader {
            mode: if input.trace.is_some() { "replayed" } else { "generated" }.into(),
            workload_seed: Some(resolved.seed),
            workload_spec: arguments.scenario.workload_spec.clone().unwrap_or_default(),
            server: TraceServer {
                kind: "plimsoll".into(),
                model: resolved.model.clone(),
                tensor_parallel: Some(resolved.tensor_parallel_size),
                max_num_seqs: Some(resolved.engine.max_num_seqs),
                block_size: Some(resolved.engine.block_size),
                gpu_memory_utilization: input.scenario.engine.gpu_memory_utilization,
                max_model_len: Some(resolved.engine.max_model_len),
            },
            ..TraceHeader::default()
        };
        write(&self.data, &data.value)?;
        write(&self.header, &header.to_yaml())
    }
}

/// The header that belongs to a recording.
pub fn header_beside(data: &Path) -> PathBuf {
    data.with_extension("yaml")
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    fs::write(path, text).map_err(|error| file_failure(&path.display().to_string(), &error.to_string()))
}
