//! Data sheets of accelerators as files: the catalogue's own form and the reference's hardware table.

use crate::place::{Place, find_key};
use crate::probe::{bad_fields, explain, read};
use crate::scenario::{check_size, good, good_accelerator};
use crate::value::from_yaml;
use plimsoll_core::catalog::{AcceleratorSpec, Provenance, nearest};
use plimsoll_core::diagnostic::{Checked, Diagnostic, Warned};
use serde_json::{Map, Value};

/// Reads the data sheet of one accelerator from YAML or JSON.
///
/// Two forms are understood: the catalogue's (`peak_tflops`, `memory_bandwidth_tb_per_s`, …) and the reference's
/// hardware table, which maps names to `{TFlopsPeak, TFlopsFP8, BwPeakTBs, mfuPrefill, mfuDecode, MemoryGiB, …}`; from
/// a table the entry called `wanted` is taken, or the only one. `file` names the text in the places of diagnostics.
///
/// # Errors
/// Every problem found.
pub fn accelerator_from_text(text: &str, file: &str, wanted: &str) -> Checked<AcceleratorSpec> {
    check_size(text, file)?;
    // JSON is YAML too.
    let Value::Object(fields) = from_yaml(text, file)? else {
        return Err(vec![
            Diagnostic::error("invalid-value", Place::START.in_file(file), "the file is not a mapping of fields")
                .with_hint("give the fields of a data sheet, e.g. `peak_tflops: 989.5`"),
        ]);
    };
    let is_table = !fields.is_empty() && fields.values().all(Value::is_object);
    let (mut spec, diagnostics) = if is_table || fields.contains_key("TFlopsPeak") {
        from_reference(&fields, text, file, wanted)?
    } else {
        (from_catalogue_form(&fields, text, file)?, Vec::new())
    };
    if spec.name.is_empty() {
        spec.name.clone_from(&spec.id);
    }
    let problems = spec.problems();
    if problems.is_empty() {
        return Ok(Warned { value: spec, diagnostics });
    }
    let placed = |mut problem: Diagnostic| {
        problem.path = find_key(text, &[&problem.path]).unwrap_or(Place::START).in_file(file);
        problem
    };
    Err(problems.into_iter().map(placed).collect())
}

fn from_catalogue_form(
    fields: &Map<String, Value>,
    text: &str,
    file: &str,
) -> Result<AcceleratorSpec, Vec<Diagnostic>> {
    let problems = bad_fields::<AcceleratorSpec>(fields, &good(&good_accelerator()));
    if problems.is_empty() {
        return read(fields.clone())
            .map_err(|message| vec![Diagnostic::error("invalid-value", Place::START.in_file(file), message)]);
    }
    let mut placed: Vec<(Place, Diagnostic)> = problems
        .into_iter()
        .map(|problem| {
            let path: Vec<&str> = problem.path.iter().map(String::as_str).collect();
            let place = find_key(text, &path).unwrap_or(Place::START);
            let value = path.first().and_then(|key| fields.get(*key));
            (place, explain(place.in_file(file), &path.join("."), &problem.message, value))
        })
        .collect();
    placed.sort_by_key(|(place, _)| *place);
    Err(placed.into_iter().map(|(_, diagnostic)| diagnostic).collect())
}

/// Reads the reference's table, or one entry of it.
fn from_reference(
    fields: &Map<String, Value>,
    text: &str,
    file: &str,
    wanted: &str,
) -> Result<(AcceleratorSpec, Vec<Diagnostic>), Vec<Diagnostic>> {
    let (id, entry) = if fields.contains_key("TFlopsPeak") {
        (wanted.to_owned(), fields)
    } else {
        let entries: Vec<(&str, &Map<String, Value>)> =
            fields.iter().filter_map(|(key, value)| Some((key.as_str(), value.as_object()?))).collect();
        let found = match entries.as_slice() {
            [(name, entry)] if wanted.is_empty() => Some((*name, *entry)),
            entries => entries.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).copied(),
        };
        let Some((name, entry)) = found else {
            let names: Vec<&str> = entries.iter().map(|(name, _)| *name).collect();
            let close = nearest(wanted, names.iter().copied());
            let hint = match close.first() {
                Some(close) => format!("did you mean {close}? the file has {}", names.join(", ")),
                None => format!("the file has {}", names.join(", ")),
            };
            return Err(vec![
                Diagnostic::error("unknown-accelerator", file, format!("the file has no accelerator \"{wanted}\""))
                    .with_hint(hint),
            ]);
        };
        (name.to_owned(), entry)
    };
    let mut diagnostics = Vec::new();
    let mut number = |key: &str, is_required: bool| match entry.get(key) {
        Some(Value::Number(number)) => number.as_f64().unwrap_or(0.0),
        None if !is_required => 0.0,
        found => {
            let place = find_key(text, &[&id, key]).unwrap_or(Place::START);
            let message = if found.is_some() { format!("{key} is not a number") } else { format!("{key} is missing") };
            diagnostics
                .push(Diagnostic::error("invalid-value", place.in_file(file), message).with_hint("give a number"));
            0.0
        }
    };
    let mut spec = AcceleratorSpec {
        id: if id.trim().is_empty() { "custom".into() } else { id.clone() },
        name: String::new(),
        peak_tflops: number("TFlopsPeak", true),
        peak_tflops_fp8: number("TFlopsFP8", false),
        memory_bandwidth_tb_per_s: number("BwPeakTBs", true),
        mfu_prefill: number("mfuPrefill", true),
        mfu_decode: number("mfuDecode", true),
        memory_gib: number("MemoryGiB", false),
        driver_memory_gib: 0.0,
        driver_memory_source: String::new(),
        generation: Default::default(),
        aliases: Vec::new(),
        power_w: 0.0,
        price_usd_per_hour: None,
        is_extrapolated: false,
        provenance: Provenance { source: file.to_owned(), ..Provenance::default() },
    };
    if !diagnostics.is_empty() {
        return Err(diagnostics);
    }
    if spec.memory_gib == 0.0 {
        // The table of early 2026 has no memory; 80 GB is what both of its accelerators have.
        spec.memory_gib = 80.0;
        diagnostics.push(
            Diagnostic::warning(
                "memory-assumed",
                file,
                format!("the file gives no memory for {}; 80 GiB are assumed", spec.id),
            )
            .with_hint("add MemoryGiB, or set the KV blocks"),
        );
    }
    let used = ["TFlopsPeak", "TFlopsFP8", "BwPeakTBs", "mfuPrefill", "mfuDecode", "MemoryGiB"];
    let ignored: Vec<&str> = entry.keys().map(String::as_str).filter(|key| !used.contains(key)).collect();
    if !ignored.is_empty() {
        diagnostics.push(Diagnostic::note(
            "fields-not-used",
            file,
            format!("the step-time formulas do not use {}", ignored.join(", ")),
        ));
    }
    Ok((spec, diagnostics))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_give_the_same_data_sheet() {
        let ours = "id: H100\npeak_tflops: 989.5\npeak_tflops_fp8: 1979\nmemory_bandwidth_tb_per_s: 3.35\nmfu_prefill: 0.45\nmfu_decode: 0.3\nmemory_gib: 80\n";
        let table = r#"{"H100": {"TFlopsPeak": 989.5, "TFlopsFP8": 1979, "BwPeakTBs": 3.35, "mfuPrefill": 0.45, "mfuDecode": 0.3, "MemoryGiB": 80},
            "A100-SXM": {"TFlopsPeak": 312, "BwPeakTBs": 2.039, "mfuPrefill": 0.38, "mfuDecode": 0.18}}"#;
        let ours = accelerator_from_text(ours, "gpu.yaml", "").expect("valid").value;
        let mut theirs = accelerator_from_text(table, "hardware.json", "h100").expect("valid").value;
        theirs.provenance = ours.provenance.clone();
        assert_eq!(ours, theirs);
        let assumed = accelerator_from_text(table, "hardware.json", "A100-SXM").expect("valid");
        assert_eq!(assumed.diagnostics[0].code, "memory-assumed");
        let unknown = accelerator_from_text(table, "hardware.json", "H10").expect_err("not there");
        assert!(unknown[0].hint.contains("did you mean H100?"), "{unknown:?}");
    }

    #[test]
    fn every_bad_field_is_reported_with_its_place() {
        let text = "id: mine\npeak_tflop: 1\nmemory_bandwidth_tb_per_s: fast\nmfu_prefill: 0.4\nmfu_decode: 0.3\nmemory_gib: 80\n";
        let found = accelerator_from_text(text, "gpu.yaml", "").expect_err("malformed");
        let codes: Vec<(&str, &str)> = found.iter().map(|found| (found.code.as_str(), found.path.as_str())).collect();
        assert_eq!(
            codes,
            [("missing-field", "gpu.yaml:1:1"), ("unknown-field", "gpu.yaml:2:1"), ("invalid-value", "gpu.yaml:3:1")]
        );
        let absurd = text.replace("peak_tflop:", "peak_tflops:").replace("fast", "-3");
        let found = accelerator_from_text(&absurd, "gpu.yaml", "").expect_err("out of range");
        assert_eq!((found.len(), found[0].path.as_str()), (1, "gpu.yaml:3:1"));
    }
}
