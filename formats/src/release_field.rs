//! The release of the server in a scenario file, which people write as a number and under other names.

use crate::place::{Place, find_key};
use plimsoll_core::diagnostic::Diagnostic;
use serde_json::{Map, Value};

const SECTION: &str = "deployment";
/// The field, and what it was called.
const NAMES: [&str; 2] = ["server_version", "engine_version"];

/// Takes a release that is written as a number for the text that it is: `0.30` is not `0.3`.
///
/// Gives what is wrong with a release under two names; of these the newer name is kept.
pub(crate) fn read_release(fields: &mut Map<String, Value>, text: &str, file: &str) -> Vec<(Place, Diagnostic)> {
    let Some(deployment) = fields.get_mut(SECTION).and_then(Value::as_object_mut) else { return Vec::new() };
    for name in NAMES {
        if let Some(value @ Value::Number(_)) = deployment.get_mut(name)
            && let Some(written) = written(text, name)
            && serde_json::from_str(written).is_ok_and(|number: Value| number.as_f64() == value.as_f64())
        {
            *value = written.into();
        }
    }
    let [name, older] = NAMES;
    if !deployment.contains_key(name) || deployment.remove(older).is_none() {
        return Vec::new();
    }
    let place = find_key(text, &[SECTION, older]).unwrap_or(Place::START);
    let message = format!("{SECTION}.{older} is what {name} was called, and both are given");
    Vec::from([(
        place,
        Diagnostic::error("repeated-field", place.in_file(file), message).with_hint(format!("keep {name}")),
    )])
}

/// The number behind the key as it is written; none for what is no number of digits and a point.
fn written<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let Place { line, column } = find_key(text, &[SECTION, name])?;
    let line = text.lines().nth(line.checked_sub(1)?)?;
    let (start, _) = line.char_indices().nth(column.checked_sub(1)?)?;
    let behind = line.get(start..)?.trim_start_matches(['"', '\'']).strip_prefix(name)?;
    let value = behind.trim_start_matches(['"', '\'']).trim_start().strip_prefix(':')?.trim_start();
    let end = value.find(|character: char| !character.is_ascii_digit() && character != '.').unwrap_or(value.len());
    value.get(..end).filter(|number| !number.is_empty())
}

/// Says what a field was meant for whose name is far from the right one, and how a number becomes a text.
pub(crate) fn explain_release(diagnostics: &mut [Diagnostic]) {
    for found in diagnostics {
        if ["vllm_version", "version"].iter().any(|name| found.message == format!("there is no field {SECTION}.{name}"))
        {
            found.hint = format!("did you mean {}? {}", NAMES[0], found.hint);
        } else if found.message.starts_with("deployment.server_version is ") && found.hint == "give a text" {
            found.hint = "give a text: put it in quotes".into();
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{scenario_from_json, scenario_from_yaml};

    fn release(text: &str) -> Option<String> {
        let read = if text.starts_with('{') { scenario_from_json(text, "s") } else { scenario_from_yaml(text, "s") };
        read.unwrap_or_else(|problems| panic!("{problems:?}")).deployment.server_version
    }

    fn problems(text: &str) -> Vec<String> {
        scenario_from_yaml(text, "s.yaml").expect_err("wrong").iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_release_may_be_written_as_a_number() {
        for (text, expected) in [
            ("version: 2\ndeployment:\n  server_version: 0.33\n", "0.33"),
            ("version: 2\ndeployment:\n  server_version:  0.30 # the newest but three\n", "0.30"),
            ("version: 2\ndeployment: { server_version: 0.10, tensor_parallel_size: 2 }\n", "0.10"),
            ("version: 2\ndeployment:\n  engine_version: 0.20\n", "0.20"),
            ("{\"version\": 2, \"deployment\": {\"server_version\": 0.30}}", "0.30"),
            ("version: 2\ndeployment:\n  server_version: \"0.30\"\n", "0.30"),
            ("version: 2\ndeployment:\n  server_version: 0.10.2\n", "0.10.2"),
        ] {
            assert_eq!(release(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn other_names_and_other_values_are_told_with_the_way_out() {
        let told = problems("version: 2\ndeployment:\n  server_version: true\n  vllm_version: \"0.33\"\n");
        assert!(
            told[0].contains("deployment.server_version is true") && told[0].contains("put it in quotes"),
            "{told:?}"
        );
        assert!(told[1].contains("did you mean server_version?"), "{told:?}");
        let told = problems("version: 2\ndeployment:\n  server_version: 0.33\n  engine_version: 0.32\n");
        assert_eq!(told.len(), 1);
        assert!(told[0].contains("s.yaml:4:3") && told[0].contains("what server_version was called"), "{told:?}");
    }
}
