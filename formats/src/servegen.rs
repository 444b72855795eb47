//! ServeGen data: one client per chunk of a folder (workload specification 6).

use crate::trace::rows::Rows;
use crate::workload_spec::ServeGenChoice;
use plimsoll_core::diagnostic::{Checked, Diagnostic, Severity, Warned};
use plimsoll_core::scenario::{ArrivalSettings, ClientSettings, LengthSettings};
use serde_json::Value;

/// A file of a ServeGen folder.
#[derive(Debug, Clone, PartialEq)]
pub struct ServeGenFile {
    /// Its name without the folder.
    pub name: String,
    /// What it holds.
    pub bytes: Vec<u8>,
}

/// The clients of the files of a folder: `chunk-<id>-trace.csv` beside `chunk-<id>-dataset.json`.
///
/// Each chunk is a client at its highest rate inside the span, with the lengths of the span's first full window.
/// Other files are not looked at.
///
/// # Errors
/// Every problem of every file; no traces at all, or none with a rate.
pub fn servegen_clients(files: &[ServeGenFile], choice: &ServeGenChoice) -> Checked<Vec<ClientSettings>> {
    let mut diagnostics = Vec::new();
    let mut clients = Vec::new();
    let mut traces: Vec<(&str, &ServeGenFile)> = files
        .iter()
        .filter_map(|file| Some((file.name.strip_prefix("chunk-")?.strip_suffix("-trace.csv")?, file)))
        .collect();
    traces.sort_by_key(|(_, file)| file.name.as_str());
    if traces.is_empty() {
        let diagnostic =
            Diagnostic::error("servegen-no-chunks", &choice.path, "the folder holds no chunk-<id>-trace.csv");
        return Err(vec![diagnostic.with_hint("give the folder of one ServeGen category")]);
    }
    for (id, trace) in traces {
        let Some(row) = busiest(trace, choice, &mut diagnostics) else { continue };
        let name = format!("chunk-{id}-dataset.json");
        let Some(dataset) = files.iter().find(|file| file.name == name) else {
            let message = format!("{name} is missing beside it");
            let hint = "a chunk has a trace and a dataset";
            diagnostics.push(Diagnostic::error("servegen-no-dataset", &trace.name, message).with_hint(hint));
            continue;
        };
        let Some([input_tokens, output_tokens]) = lengths(dataset, choice, &mut diagnostics) else { continue };
        clients.push(ClientSettings {
            id: format!("servegen-chunk-{id}"),
            tenant: format!("chunk-{id}"),
            rate_fraction: row.rate,
            arrival: row.arrival,
            input_tokens,
            output_tokens,
            ..ClientSettings::default()
        });
    }
    let has_errors = diagnostics.iter().any(|found| found.severity == Severity::Error);
    if clients.is_empty() && !has_errors {
        let message = "no chunk has a rate above 0 in the span";
        let hint = "widen span_start and span_end";
        diagnostics.push(Diagnostic::error("servegen-no-chunks", &choice.path, message).with_hint(hint));
        return Err(diagnostics);
    }
    if has_errors { Err(diagnostics) } else { Ok(Warned { value: clients, diagnostics }) }
}

fn is_inside(start: f64, choice: &ServeGenChoice) -> bool {
    (choice.span_start <= 0.0 || start >= choice.span_start) && (choice.span_end <= 0.0 || start < choice.span_end)
}

/// The busiest window of a chunk.
struct Busiest {
    rate: f64,
    arrival: ArrivalSettings,
}

/// The row with the highest rate inside the span, the first of equals; none if no rate is above 0.
fn busiest(file: &ServeGenFile, choice: &ServeGenChoice, diagnostics: &mut Vec<Diagnostic>) -> Option<Busiest> {
    let mut problems = crate::trace::rows::Problems::new(&file.name, &file.bytes);
    let mut rows = Rows::new(&file.bytes);
    let mut best: Option<Busiest> = None;
    let mut skipped = 0u64;
    while let Some(row) = rows.next(&mut problems) {
        let numbers = [0, 1].map(|at| row.number::<f64>(at).filter(|number| number.is_finite()));
        // Idle windows have neither pattern nor variation.
        let cv = if row.field(2).is_empty() { Some(0.0) } else { row.number::<f64>(2).filter(|cv| cv.is_finite()) };
        let ([Some(start), Some(rate)], Some(cv), true) = (numbers, cv, row.fields.len() >= 4) else {
            skipped += 1;
            continue;
        };
        if rate > 0.0 && is_inside(start, choice) && best.as_ref().is_none_or(|best| rate > best.rate) {
            let pattern = String::from_utf8_lossy(row.field(3)).trim().to_ascii_lowercase();
            let arrival = match pattern.as_str() {
                "gamma" => ArrivalSettings::Gamma { cv },
                "weibull" => ArrivalSettings::Weibull { cv },
                _ => ArrivalSettings::Poisson,
            };
            best = Some(Busiest { rate, arrival });
        }
    }
    if skipped > 0 {
        let message = format!("{skipped} rows hold no window start, rate and variation, and are skipped");
        problems.note("servegen-skipped-rows", message, "nothing, unless it is most of the file");
    }
    match problems.finish() {
        Ok(found) => {
            diagnostics.extend(found);
            if best.is_none() {
                let message = "the chunk has no rate above 0 in the span and is left out";
                diagnostics.push(Diagnostic::note("servegen-idle-chunk", &file.name, message).with_hint("nothing"));
            }
            best
        }
        Err(found) => {
            diagnostics.extend(found);
            None
        }
    }
}

/// Input and output lengths of the first window, by the text of its start, that has both.
fn lengths(
    file: &ServeGenFile,
    choice: &ServeGenChoice,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<[LengthSettings; 2]> {
    let mut reject = |code: &str, place: String, message: String, hint: &str| {
        diagnostics.push(Diagnostic::error(code, place, message).with_hint(hint));
    };
    let value: Value = match serde_json::from_slice(&file.bytes) {
        Ok(value) => value,
        Err(error) => {
            let place = format!("{}:{}:{}", file.name, error.line().max(1), error.column().max(1));
            let message = error.to_string();
            let bare = message.split(" at line ").next().unwrap_or(&message);
            reject("syntax", place, format!("not valid JSON: {bare}"), "download the file again");
            return None;
        }
    };
    let Value::Object(windows) = &value else {
        reject(
            "invalid-value",
            file.name.clone(),
            "the file is no mapping of windows".into(),
            "download the file again",
        );
        return None;
    };
    let mut keys: Vec<&String> = windows.keys().collect();
    keys.sort();
    let mut is_any = false;
    for key in keys {
        let Some(start) = key.trim().parse::<f64>().ok().filter(|start| start.is_finite()) else {
            let message = format!("the window \"{key}\" is no number of seconds");
            reject("invalid-value", file.name.clone(), message, "download the file again");
            return None;
        };
        if !is_inside(start, choice) {
            continue;
        }
        is_any = true;
        let mut parts = Vec::new();
        for part in ["input_tokens", "output_tokens"] {
            let text = windows.get(key).and_then(|window| window.get(part)).and_then(Value::as_str).unwrap_or_default();
            match python_dict(text) {
                Ok(weights) if weights.is_empty() => {}
                Ok(weights) => parts.push(LengthSettings::Empirical { weights }),
                Err(what) => {
                    let message = format!("window {key}: {part} holds {what}");
                    reject("invalid-value", file.name.clone(), message, "a part is the text {length: weight, …}");
                    return None;
                }
            }
        }
        if let Ok(both) = <[LengthSettings; 2]>::try_from(parts) {
            return Some(both);
        }
    }
    let message =
        if is_any { "no window in the span has both input and output lengths" } else { "no window lies in the span" };
    reject("servegen-no-lengths", file.name.clone(), message.into(), "widen span_start and span_end");
    None
}

/// Reads `{63: 0.18, 64.0: 1e-3,}` as lengths with weights, by length; what is wrong if it is none.
fn python_dict(text: &str) -> Result<Vec<(u32, f64)>, String> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let inside = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    let inside = inside.ok_or_else(|| "text without braces".to_owned())?.trim();
    let inside = inside.strip_suffix(',').unwrap_or(inside);
    if inside.trim().is_empty() {
        return Ok(Vec::new());
    }
    let mut weights = Vec::new();
    for entry in inside.split(',') {
        let wrong = || format!("the entry `{}`", entry.trim().chars().take(40).collect::<String>());
        let (length, weight) = entry.split_once(':').ok_or_else(wrong)?;
        let length =
            length.trim().parse::<f64>().ok().filter(|length| (0.0..4e9).contains(length)).ok_or_else(wrong)?;
        let weight = weight.trim().parse::<f64>().ok().filter(|weight| weight.is_finite()).ok_or_else(wrong)?;
        // A length such as 6.0 is truncated; the bounds were checked.
        weights.push((length as u32, weight));
    }
    weights.sort_by_key(|(length, _)| *length);
    Ok(weights)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHOICE: ServeGenChoice = ServeGenChoice { path: String::new(), span_start: 0.0, span_end: 0.0 };

    fn file(name: &str, text: &str) -> ServeGenFile {
        ServeGenFile { name: name.into(), bytes: text.as_bytes().to_vec() }
    }

    fn codes(files: &[ServeGenFile]) -> Vec<(String, String)> {
        let found = servegen_clients(files, &CHOICE).expect_err("malformed");
        found.into_iter().map(|found| (found.code, found.path)).collect()
    }

    const TRACE: &str =
        "0,0,0,,0,0\n600,1.5,2.0,Gamma,1,1\n1200,3.0,0.7,weibull,1,1\n1800,3.0,9.0,Gamma,1,1\nx,9,1,Gamma,0,0\n";
    const DATASET: &str = r#"{
        "600": {"input_tokens": "{5: 1.0}", "output_tokens": "{}"},
        "1200": {"input_tokens": "{20: 1e-1, 6.0: 0.9,}", "output_tokens": "{7: 1}"}
    }"#;

    #[test]
    fn a_chunk_is_a_client_at_its_busiest() {
        let files = [file("chunk-7-trace.csv", TRACE), file("chunk-7-dataset.json", DATASET), file("notes.txt", "?")];
        let read = servegen_clients(&files, &CHOICE).expect("readable");
        let [client] = read.value.as_slice() else { panic!("one client") };
        assert_eq!((client.id.as_str(), client.tenant.as_str()), ("servegen-chunk-7", "chunk-7"));
        assert_eq!((client.rate_fraction, client.arrival), (3.0, ArrivalSettings::Weibull { cv: 0.7 }));
        assert_eq!(client.input_tokens, LengthSettings::Empirical { weights: vec![(6, 0.9), (20, 0.1)] });
        assert_eq!(client.output_tokens, LengthSettings::Empirical { weights: vec![(7, 1.0)] });
        assert_eq!(read.diagnostics.iter().map(|d| d.code.as_str()).collect::<Vec<_>>(), ["servegen-skipped-rows"]);
        let early = ServeGenChoice { span_end: 1200.0, ..CHOICE };
        let found = servegen_clients(&files, &early).expect_err("no window with both parts");
        assert_eq!(found.last().map(|d| d.code.as_str()), Some("servegen-no-lengths"));
        let late = ServeGenChoice { span_start: 1800.0, ..CHOICE };
        assert_eq!(servegen_clients(&files, &late).expect_err("no lengths")[1].code, "servegen-no-lengths");
    }

    #[test]
    fn malformed_chunks_are_refused() {
        let trace = || file("chunk-7-trace.csv", TRACE);
        let dataset = |text| file("chunk-7-dataset.json", text);
        let of = |files: &[ServeGenFile]| codes(files).pop().expect("a problem").0;
        assert_eq!(of(&[file("notes.txt", "")]), "servegen-no-chunks");
        assert_eq!(of(&[trace()]), "servegen-no-dataset");
        assert_eq!(of(&[file("chunk-1-trace.csv", "0,0,0,,0,0\n"), dataset(DATASET)]), "servegen-no-chunks");
        assert_eq!(of(&[trace(), dataset("{\"600\": ")]), "syntax");
        assert_eq!(of(&[trace(), dataset("[1]")]), "invalid-value");
        assert_eq!(of(&[trace(), dataset("{\"noon\": {}}")]), "invalid-value");
        assert_eq!(of(&[trace(), dataset("{\"1\": {\"input_tokens\": \"{5 1}\"}}")]), "invalid-value");
        assert_eq!(of(&[trace(), dataset("{\"1\": {\"input_tokens\": \"5: 1\"}}")]), "invalid-value");
        assert_eq!(of(&[trace(), dataset("{\"1\": {\"input_tokens\": \"{5: 1}\"}}")]), "servegen-no-lengths");
        let ragged = file("chunk-7-trace.csv", "0,1,1,Gamma\n600,1,1\n");
        assert_eq!(codes(&[ragged, dataset(DATASET)]), [("trace-field-count".into(), "chunk-7-trace.csv:2:1".into())]);
    }
}
