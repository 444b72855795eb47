//! Problems found with what a file says once it is read, told in the words of the file and with their place.

use crate::fields::shown_path;
use crate::place::{Place, find_key};
use crate::value::{readable_json, readable_yaml};
use plimsoll_core::diagnostic::Diagnostic;
use serde_json::Value;

/// Which words of a file stand for which fields of a scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Words {
    /// Those of the scenario.
    Scenario,
    /// Those of a policy file.
    Policies,
    /// Those of a workload specification.
    WorkloadSpec,
}

/// A diagnostic of `Scenario::resolve` with the place in a file that states its field, and the file's word for it.
///
/// `file` names the text. None if the file does not state that field.
#[must_use]
pub fn located(diagnostic: &Diagnostic, text: &str, file: &str, words: Words) -> Option<Diagnostic> {
    let is_json = text.trim_start().starts_with('{');
    let readable = if is_json { readable_json(text, file) } else { readable_yaml(text, file) };
    let value = readable.ok()?.value;
    located_in(diagnostic, &value, text, file, words).map(|(_, diagnostic)| diagnostic)
}

/// [`located`] in a text that is read already.
pub(crate) fn located_in(
    diagnostic: &Diagnostic,
    value: &Value,
    text: &str,
    file: &str,
    words: Words,
) -> Option<(Place, Diagnostic)> {
    let keys = keys(&diagnostic.path);
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let path = match words {
        Words::Scenario => owned(&keys),
        Words::Policies => in_policies(&keys)?,
        Words::WorkloadSpec => in_specification(&keys, value)?,
    };
    let depth = depth_of(value, &path);
    // Of a client the file states everything, if only by leaving it out.
    let is_of_client = words == Words::WorkloadSpec && depth >= 2;
    if depth < path.len() && !is_of_client {
        return None;
    }
    let there: Vec<&str> = path.iter().take(depth).map(String::as_str).collect();
    let place = find_key(text, &there)?;
    let leaf = diagnostic.path.rsplit('.').next().unwrap_or_default();
    let shown = shown_path(&path);
    let message = match diagnostic.message.strip_prefix(leaf).filter(|rest| rest.starts_with(' ')) {
        Some(rest) => format!("{shown}{rest}"),
        None => format!("{shown}: {}", diagnostic.message),
    };
    Some((place, Diagnostic { path: place.in_file(file), message, ..diagnostic.clone() }))
}

/// The keys of a path: `clients[1].id` is `clients`, `[1]` and `id`.
fn keys(path: &str) -> Vec<String> {
    let mut keys = Vec::new();
    for part in path.split('.') {
        let (name, indices) = part.split_at(part.find('[').unwrap_or(part.len()));
        keys.push(name.to_owned());
        keys.extend(indices.split_inclusive(']').map(str::to_owned));
    }
    keys
}

/// The value that a path of keys leads to.
fn at<'v>(value: &'v Value, key: &str) -> Option<&'v Value> {
    match key.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')?.parse::<usize>().ok()) {
        Some(index) => value.get(index),
        None => value.get(key),
    }
}

/// How many keys of a path lead somewhere.
fn depth_of(value: &Value, path: &[String]) -> usize {
    let mut value = value;
    path.iter()
        .take_while(|key| match at(value, key) {
            Some(below) => {
                value = below;
                true
            }
            None => false,
        })
        .count()
}

fn owned(path: &[&str]) -> Vec<String> {
    path.iter().map(ToString::to_string).collect()
}

fn in_policies(keys: &[&str]) -> Option<Vec<String>> {
    match keys {
        ["cluster", "admission" | "routing", ..] => Some(owned(&keys[1..])),
        ["engine", "priority"] => Some(owned(&["priority", "policy"])),
        ["engine", "scheduler"] => Some(owned(&["scheduler"])),
        _ => None,
    }
}

fn in_specification(keys: &[&str], value: &Value) -> Option<Vec<String>> {
    let top = |key: &str| Some(owned(&[key]));
    match keys {
        ["workload", "request_rate"] => top("aggregate_rate"),
        ["workload", "num_requests"] => top("num_requests"),
        ["horizon_us"] => top("horizon"),
        ["seed"] => top("seed"),
        ["workload", "clients"] => top(if value.get("clients").is_some() { "clients" } else { "cohorts" }),
        ["workload", "clients", index, field @ ..] => {
            let index: usize = index.trim_matches(['[', ']']).parse().ok()?;
            let num_clients = value.get("clients").and_then(Value::as_array).map_or(0, Vec::len);
            // Cohorts come behind the clients.
            let (list, index) = match index.checked_sub(num_clients) {
                None => ("clients", index),
                Some(index) => ("cohorts", index),
            };
            let mut path = vec![list.to_owned(), format!("[{index}]")];
            let client = value.get(list).and_then(|list| list.get(index)).unwrap_or(&Value::Null);
            path.extend(of_client(field, client));
            Some(path)
        }
        _ => None,
    }
}

/// What a client's field is called in a specification.
fn of_client(field: &[&str], client: &Value) -> Vec<String> {
    let distribution = |name: &[&str], parameter: &[&str]| {
        let mut path = owned(name);
        if let Some(parameter) = parameter.first() {
            path.push("params".to_owned());
            // Weights are the parameters themselves.
            path.extend((*parameter != "weights").then(|| (*parameter).to_owned()));
        }
        path
    };
    match field {
        ["input_tokens", rest @ ..] => distribution(&["input_distribution"], rest),
        ["output_tokens", rest @ ..] => distribution(&["output_distribution"], rest),
        ["reason_ratio", rest @ ..] => distribution(&["reasoning", "reason_ratio_distribution"], rest),
        ["multimodal", "text", rest @ ..] => distribution(&["multimodal", "text_distribution"], rest),
        ["multimodal", item, "tokens", rest @ ..] => {
            distribution(&["multimodal", &format!("{item}_distribution")], rest)
        }
        ["multimodal", item, "count", rest @ ..] => {
            distribution(&["multimodal", &format!("{item}_count_distribution")], rest)
        }
        ["tenant"] => owned(&["tenant_id"]),
        ["timeout_us"] => owned(&["timeout"]),
        ["prefix_tokens"] => owned(&["prefix_length"]),
        ["closed_loop"] => owned(&["concurrency"]),
        ["closed_loop", rest @ ..] => owned(rest),
        ["session", rest @ ..] => [owned(&["reasoning", "multi_turn"]), owned(rest)].concat(),
        ["active", index] => {
            let listed = client.get("lifecycle").and_then(|lifecycle| lifecycle.get("windows")?.as_array());
            let mut before = listed.map_or(0, Vec::len);
            let at = index.trim_matches(['[', ']']).parse().unwrap_or(0);
            if at < before {
                return owned(&["lifecycle", "windows", index]);
            }
            // Behind those of the list come the windows of the shapes, in this order.
            let shapes = [("diurnal", 24), ("spike", 1), ("drain", 11)];
            let given = shapes.into_iter().filter(|(shape, _)| client.get(shape).is_some());
            let shape = given.into_iter().find(|(_, num_windows)| {
                before += num_windows;
                at < before
            });
            owned(&[shape.map_or("lifecycle", |(shape, _)| shape)])
        }
        same => owned(same),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPEC: &str = "version: \"2\"\naggregate_rate: 0\nclients:\n  - id: a\n    rate_fraction: 1\n    input_distribution:\n      type: empirical\n      params: { 5: 1 }\n    lifecycle: { windows: [{ start_us: 1, end_us: 1 }] }\n  - id: b\n    rate_fraction: 0\n    input_distribution: { type: exponential, params: { mean: 3 } }\ncohorts:\n  - id: c\n    population: 0\n    diurnal: { peak_hour: 3 }\n    spike: { start_time_us: 2, duration_us: 0 }\n";

    /// The place and the message of a diagnostic whose message begins with the field's last name.
    fn told(path: &str, text: &str, words: Words) -> Option<String> {
        let leaf = path.rsplit('.').next().unwrap();
        let found = located(&Diagnostic::error("invalid-value", path, format!("{leaf} is bad")), text, "f", words)?;
        Some(format!("{}: {}", found.path, found.message))
    }

    #[test]
    fn fields_of_a_specification_are_told_in_its_words() {
        for (path, expected) in [
            ("workload.request_rate", "f:2:1: aggregate_rate is bad"),
            ("workload.clients", "f:3:1: clients is bad"),
            ("workload.clients[0].input_tokens.weights", "f:8:7: clients[0].input_distribution.params is bad"),
            ("workload.clients[0].active[0]", "f:9:28: clients[0].lifecycle.windows[0] is bad"),
            ("workload.clients[1].rate_fraction", "f:11:5: clients[1].rate_fraction is bad"),
            ("workload.clients[1].input_tokens.mean", "f:12:56: clients[1].input_distribution.params.mean is bad"),
            ("workload.clients[2].population", "f:15:5: cohorts[0].population is bad"),
            ("workload.clients[2].active[23]", "f:16:5: cohorts[0].diurnal is bad"),
            ("workload.clients[2].active[24]", "f:17:5: cohorts[0].spike is bad"),
            // What is not there is shown at the client that lacks it, not at another that has it.
            ("workload.clients[0].timeout_us", "f:4:5: clients[0].timeout is bad"),
            ("workload.clients[2].rate_fraction", "f:14:5: cohorts[0].rate_fraction is bad"),
        ] {
            assert_eq!(told(path, SPEC, Words::WorkloadSpec).as_deref(), Some(expected), "{path}");
        }
        for path in ["engine.block_size", "workload.num_requests", "workload.input_tokens.mean"] {
            assert_eq!(told(path, SPEC, Words::WorkloadSpec), None, "{path}");
        }
    }

    #[test]
    fn a_field_that_the_file_does_not_state_has_no_place_in_it() {
        let scenario = "engine:\n  block_size: 0\ncluster: { routing: { scorers: [{ name: x, weight: 0 }] } }\n";
        let at = |path| told(path, scenario, Words::Scenario);
        assert_eq!(at("engine.block_size").as_deref(), Some("f:2:3: engine.block_size is bad"));
        let weight = at("cluster.routing.scorers[0].weight");
        assert_eq!(weight.as_deref(), Some("f:3:44: cluster.routing.scorers[0].weight is bad"));
        assert_eq!(at("engine.num_gpu_blocks"), None);
        assert_eq!(at("cluster.num_replicas"), None);

        let policies = "routing: { cache_weight: 0 }\npriority:\n  policy: constant\n";
        let at = |path| told(path, policies, Words::Policies);
        assert_eq!(at("cluster.routing.cache_weight").as_deref(), Some("f:1:12: routing.cache_weight is bad"));
        assert_eq!(at("engine.priority").as_deref(), Some("f:3:3: priority.policy is bad"));
        assert_eq!(at("cluster.num_replicas"), None);
    }

    #[test]
    fn a_message_about_something_else_is_kept_behind_the_field() {
        let warning = Diagnostic::warning("gamma-as-poisson", "workload.clients[1].rate_fraction", "gamma cannot be");
        let found = located(&warning, SPEC, "f", Words::WorkloadSpec).unwrap();
        assert_eq!(found.message, "clients[1].rate_fraction: gamma cannot be");
    }
}
