//! `plimsoll convert`: one trace format into another.

use crate::arguments::{ConvertArguments, TraceFormatName};
use crate::output::{Failure, file_failure, tell};
use plimsoll_core::diagnostic::Diagnostic;
use plimsoll_formats::trace::{TraceHeader, trace_to_text};
use std::fs;
use std::io::{Read, Write};

/// Reads a trace of any form and writes it in another.
pub fn convert(arguments: &ConvertArguments) -> Result<(), Failure> {
    let shown = if arguments.input == "-" { "standard input" } else { &arguments.input };
    let failed = |error: std::io::Error| file_failure(shown, &error.to_string());
    let mut bytes = Vec::new();
    if arguments.input == "-" {
        std::io::stdin().read_to_end(&mut bytes).map_err(failed)?;
    } else {
        bytes = fs::read(&arguments.input).map_err(failed)?;
    }
    let text = String::from_utf8_lossy(&bytes);
    let read = plimsoll_formats::trace_from_bytes(&bytes, shown).map_err(|problems| {
        tell(&problems, Some(&text), arguments.log);
        Failure::Invalid
    })?;
    let mut diagnostics: Vec<Diagnostic> = read.diagnostics;
    let mut trace = read.value;
    if let Some(window) = arguments.window {
        trace = trace.window(window);
        if trace.requests().is_empty() {
            return Err(file_failure(shown, "no request arrives in the window"));
        }
    }
    let written = trace_to_text(&trace, arguments.to.into());
    diagnostics.extend(written.diagnostics.into_iter().map(|lost| Diagnostic { path: shown.to_owned(), ..lost }));
    tell(&diagnostics, Some(&text), arguments.log);

    match arguments.output.as_str() {
        "-" => std::io::stdout().lock().write_all(written.value.as_bytes())?,
        path => fs::write(path, &written.value).map_err(|error| file_failure(path, &error.to_string()))?,
    }
    match &arguments.header {
        Some(path) if arguments.to == TraceFormatName::TraceV2 => {
            let header = TraceHeader { mode: "generated".into(), ..TraceHeader::default() };
            fs::write(path, header.to_yaml())
                .map_err(|error| file_failure(&path.display().to_string(), &error.to_string()))
        }
        Some(_) => {
            let message = "the flag has no effect, only trace-v2 has a header";
            tell(&[Diagnostic::warning("flag-not-used", "--header", message)], None, arguments.log);
            Ok(())
        }
        None => Ok(()),
    }
}
