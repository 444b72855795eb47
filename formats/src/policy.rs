//! Policy files: admission, routing, priority and scheduler in one place (cluster specification 8).

use crate::located::{Words, located_in};
use crate::place::Place;
use crate::probe::{BadField, bad_fields, read};
use crate::scenario::{check_size, good, placed};
use crate::value::{Readable, readable_yaml};
use plimsoll_core::diagnostic::{Diagnostic, Severity};
use plimsoll_core::scenario::{
    AdmissionPolicy, PriorityPolicy, RoutingPolicy, Scenario, SchedulingPolicy, ScorerName, ScorerWeight,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The policies a file names; what it leaves out stays as it is.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct PolicyBundle {
    admission: AdmissionPart,
    routing: RoutingPart,
    priority: PriorityPart,
    scheduler: Option<SchedulingPolicy>,
}

#[derive(Debug, Clone, PartialEq, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
struct AdmissionPart {
    policy: Option<AdmissionPolicy>,
    token_bucket_capacity: Option<f64>,
    token_bucket_refill_rate: Option<f64>,
}

#[derive(Debug, Clone, PartialEq, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
struct RoutingPart {
    policy: Option<RoutingPolicy>,
    scorers: Option<Vec<ScorerWeight>>,
    cache_weight: Option<f64>,
    load_weight: Option<f64>,
}

#[derive(Debug, Clone, PartialEq, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
struct PriorityPart {
    policy: Option<PriorityPolicy>,
}

impl PolicyBundle {
    /// Puts the file's policies into a scenario.
    pub fn apply(&self, scenario: &mut Scenario) {
        fn set<T: Copy>(field: &mut T, value: Option<T>) {
            if let Some(value) = value {
                *field = value;
            }
        }
        let (admission, routing) = (&mut scenario.cluster.admission, &mut scenario.cluster.routing);
        set(&mut admission.policy, self.admission.policy);
        set(&mut admission.token_bucket_capacity, self.admission.token_bucket_capacity);
        set(&mut admission.token_bucket_refill_rate, self.admission.token_bucket_refill_rate);
        set(&mut routing.policy, self.routing.policy);
        if self.routing.scorers.is_some() {
            routing.scorers.clone_from(&self.routing.scorers);
        }
        routing.cache_weight = self.routing.cache_weight.or(routing.cache_weight);
        routing.load_weight = self.routing.load_weight.or(routing.load_weight);
        set(&mut scenario.engine.priority, self.priority.policy);
        set(&mut scenario.engine.scheduler, self.scheduler);
    }
}

/// Reads a policy file.
///
/// `file` names the text in the places of diagnostics.
///
/// # Errors
/// Every problem found: syntax, an empty file, unknown or repeated fields, unknown names, values of a wrong type or
/// negative; if there is none of these, policies that do not fit together. With flags or a scenario beside them that is
/// checked again by `Scenario::resolve`.
pub fn policies_from_yaml(text: &str, file: &str) -> Result<PolicyBundle, Vec<Diagnostic>> {
    check_size(text, file)?;
    let Readable { value, problems } = readable_yaml(text, file)?;
    let Some(fields) = value.as_object().filter(|fields| !fields.is_empty()) else {
        return Err(vec![
            Diagnostic::error("invalid-value", Place::START.in_file(file), "the file has no fields")
                .with_hint("a policy file has admission, routing, priority or scheduler"),
        ]);
    };
    let mut bad = bad_parts(fields);
    bad.extend(bad_numbers(&value));
    if !bad.is_empty() || !problems.is_empty() {
        return Err(placed(bad, problems, &value, text, file));
    }
    let bundle: PolicyBundle = read(fields.clone())
        .map_err(|message| vec![Diagnostic::error("invalid-value", Place::START.in_file(file), message)])?;
    let mut scenario = Scenario::default();
    bundle.apply(&mut scenario);
    let found = scenario.cluster.problems().into_iter().filter(|found| found.severity == Severity::Error);
    let mut found: Vec<_> = found.filter_map(|found| located_in(&found, &value, text, file, Words::Policies)).collect();
    if found.is_empty() {
        return Ok(bundle);
    }
    found.sort_by_key(|(place, _)| *place);
    Err(found.into_iter().map(|(_, found)| found).collect())
}

/// Numbers that are negative, which no policy takes.
fn bad_numbers(value: &Value) -> Vec<BadField> {
    let mut found = Vec::new();
    let mut check = |path: &[&str], value: Option<&Value>| {
        if let Some(number) = value.and_then(Value::as_f64).filter(|number| *number < 0.0) {
            let path = path.iter().map(ToString::to_string).collect();
            found.push(BadField { path, message: format!("{number}, expected a finite number of 0 or more") });
        }
    };
    for path in [
        ["admission", "token_bucket_capacity"],
        ["admission", "token_bucket_refill_rate"],
        ["routing", "cache_weight"],
        ["routing", "load_weight"],
    ] {
        check(&path, value.get(path[0]).and_then(|part| part.get(path[1])));
    }
    let scorers = value.get("routing").and_then(|routing| routing.get("scorers")?.as_array());
    for (index, scorer) in scorers.into_iter().flatten().enumerate() {
        check(&["routing", "scorers", &format!("[{index}]"), "weight"], scorer.get("weight"));
    }
    found
}

fn bad_parts(fields: &Map<String, Value>) -> Vec<BadField> {
    let none = Map::new();
    let mut found = Vec::new();
    for problem in bad_fields::<PolicyBundle>(fields, &none) {
        let part = problem.path.first().cloned().unwrap_or_default();
        let inner = fields.get(part.as_str()).and_then(Value::as_object);
        let below = match (part.as_str(), inner) {
            ("admission", Some(inner)) => bad_fields::<AdmissionPart>(inner, &none),
            ("routing", Some(inner)) => bad_routing::<RoutingPart>(inner),
            ("priority", Some(inner)) => bad_fields::<PriorityPart>(inner, &none),
            _ => Vec::new(),
        };
        if below.is_empty() {
            found.push(problem);
        }
        let under = |field: BadField| BadField { path: [core::slice::from_ref(&part), &*field.path].concat(), ..field };
        found.extend(below.into_iter().map(under));
    }
    found
}

/// As [`bad_fields`], with the scorers one by one.
pub(crate) fn bad_routing<T: DeserializeOwned>(fields: &Map<String, Value>) -> Vec<BadField> {
    let good = good(&ScorerWeight { name: ScorerName::QueueDepth, weight: 1.0 });
    let mut found = Vec::new();
    for problem in bad_fields::<T>(fields, &Map::new()) {
        let is_list = problem.path == ["scorers"] && fields.get("scorers").is_some_and(Value::is_array);
        let items = fields.get("scorers").and_then(Value::as_array).filter(|_| is_list);
        let mut below = Vec::new();
        for (index, item) in items.into_iter().flatten().enumerate() {
            let under = |field: BadField| BadField {
                path: [&["scorers".to_owned(), format!("[{index}]")], &*field.path].concat(),
                ..field
            };
            match item {
                Value::Object(item) => below.extend(bad_fields::<ScorerWeight>(item, &good).into_iter().map(under)),
                _ => below.push(under(BadField { path: Vec::new(), message: "expected a name and a weight".into() })),
            }
        }
        if below.is_empty() {
            found.push(problem);
        }
        found.extend(below);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The diagnostics as `place code: message (hint)`.
    fn told(text: &str) -> Vec<String> {
        let found = policies_from_yaml(text, "p.yaml").err().unwrap_or_default();
        found.iter().map(|found| format!("{} {}: {} ({})", found.path, found.code, found.message, found.hint)).collect()
    }

    #[test]
    fn a_bundle_sets_what_it_names_and_leaves_the_rest() {
        let text = "admission:\n  policy: token-bucket\n  token_bucket_capacity: 500\nrouting:\n  policy: weighted\n  \
                    scorers:\n    - name: queue-depth\n      weight: 2\npriority:\n  policy: slo-based\nscheduler: sjf\n";
        let bundle = policies_from_yaml(text, "p.yaml").expect("all is valid");
        let mut scenario = Scenario::default();
        scenario.cluster.num_replicas = 3;
        scenario.cluster.admission.token_bucket_refill_rate = 7.0;
        bundle.apply(&mut scenario);
        let admission = &scenario.cluster.admission;
        assert_eq!(admission.policy, AdmissionPolicy::TokenBucket);
        assert_eq!((admission.token_bucket_capacity, admission.token_bucket_refill_rate), (500.0, 7.0));
        assert_eq!(scenario.cluster.routing.policy, RoutingPolicy::Weighted);
        let scorer = ScorerWeight { name: ScorerName::QueueDepth, weight: 2.0 };
        assert_eq!(scenario.cluster.routing.scorers, Some(vec![scorer]));
        assert_eq!(scenario.engine.priority, PriorityPolicy::SloBased);
        assert_eq!(scenario.engine.scheduler, SchedulingPolicy::Sjf);
        assert_eq!(scenario.cluster.num_replicas, 3);
    }

    #[test]
    fn an_empty_name_is_the_default_policy() {
        let text =
            "admission: { policy: \"\" }\nrouting: { policy: \"\" }\npriority: { policy: \"\" }\nscheduler: \"\"\n";
        let bundle = policies_from_yaml(text, "p.yaml").expect("the names may be empty");
        let mut scenario = Scenario::default();
        scenario.cluster.admission.policy = AdmissionPolicy::RejectAll;
        scenario.cluster.routing.policy = RoutingPolicy::Weighted;
        scenario.engine.priority = PriorityPolicy::SloBased;
        scenario.engine.scheduler = SchedulingPolicy::Sjf;
        bundle.apply(&mut scenario);
        let (cluster, engine) = (&scenario.cluster, &scenario.engine);
        assert_eq!((cluster.admission.policy, cluster.routing.policy), Default::default());
        assert_eq!((engine.priority, engine.scheduler), Default::default());
    }

    #[test]
    fn problems_have_their_places_and_a_suggestion() {
        let found = told("routing:\n  polcy: weighted\nadmission:\n  policy: token-buket\nscheduler: fifo\n");
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(
            found[0].starts_with("p.yaml:2:3 unknown-field: there is no field routing.polcy (did you mean policy?")
        );
        assert!(found[1].contains("p.yaml:4:3 invalid-value: admission.policy is token-buket"), "{}", found[1]);
        assert!(found[1].contains("valid are always-admit, reject-all, token-bucket"), "{}", found[1]);
        assert!(found[2].contains("p.yaml:5:1"), "{}", found[2]);
    }

    #[test]
    fn empty_files_repeated_keys_and_negative_numbers_are_refused() {
        assert_eq!(told("").len(), 1);
        assert_eq!(told("{}").len(), 1);
        assert_eq!(told("- a\n").len(), 1);
        assert!(told("scheduler: sjf\nscheduler: fcfs\n")[0].contains("repeated-field"));
        assert!(told("routing:\n  cache_weight: -1\n")[0].contains("p.yaml:2:3"));
        assert!(told("admission:\n  token_bucket_capacity: .inf\n")[0].contains("token_bucket_capacity"));
    }
}
