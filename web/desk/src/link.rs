//! The scenario and the view as the fragment of the page's address.
//!
//! `#v1;2;model-version=1;view.tab=memory;slo.ttft_ms=300`: format version, frozen base, then `name=value` parts.
//! A part with a scenario path holds the JSON of a value that differs from the base; text needs no quotes.
//! When the parts grow long they are one part `z`: the JSON object of paths and values, deflated, base64url.
//! Bases are never edited, so an old link keeps its meaning when a default changes.
//! What a link says wrongly or this version does not know is a warning; the rest of the link still counts.

use base64ct::{Base64UrlUnpadded, Encoding};
use plimsoll_core::diagnostic::Diagnostic;
use plimsoll_core::scenario::Scenario;
use plimsoll_json::{Owned, Value};
use plimsoll_protocol::view::{Percentile, Tab, View};

/// Longest list of parts that stays readable text, characters.
const MAX_PLAIN: usize = 400;

/// Largest inflated size of a link, bytes; a scenario with a model of one's own takes about 2,000.
const MAX_INFLATED: usize = 256 * 1024;

/// Most parts of a link, and most fields it may change; a scenario has fewer.
const MAX_PARTS: usize = 500;

/// Most warnings about one link; one more counts the rest.
const MAX_WARNINGS: usize = 20;

/// What a link holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Opened {
    /// The scenario.
    pub scenario: Scenario,
    /// The view.
    pub view: View,
    /// Model version it was made with, if it says so.
    pub model_version: Option<u32>,
    /// What was not understood.
    pub warnings: Vec<Diagnostic>,
}

/// The parts of a fragment in which a scenario differs from the base; empty for the base itself.
#[must_use]
pub fn changes(scenario: &Scenario) -> String {
    let mut changes = Vec::new();
    collect_changes(&to_value(&base_scenario()), &to_value(scenario), "", &mut changes);
    let plain: Vec<String> = changes.iter().map(|(path, value)| format!("{path}={}", value_text(value))).collect();
    if plain.iter().map(|part| part.len() + 1).sum::<usize>() > MAX_PLAIN {
        let json = Value::Map(changes.into_iter().map(|(path, value)| (path.into(), value)).collect()).to_string();
        return format!(
            "z={}",
            Base64UrlUnpadded::encode_string(&miniz_oxide::deflate::compress_to_vec(json.as_bytes(), 9))
        );
    }
    plain.join(";")
}

/// Reads a fragment, with or without the leading `#`.
///
/// # Errors
/// Only when nothing of it can be used: no link of ours, or of a later format.
pub fn read(fragment: &str) -> Result<Opened, Diagnostic> {
    let fragment = fragment.strip_prefix('#').unwrap_or(fragment);
    let mut sections = fragment.split(';');
    let version = sections.next().unwrap_or_default();
    if version != "v1" {
        return Err(Diagnostic::error(
            "link-unknown-version",
            "",
            format!("the link's format `{}` is not known", clip(version)),
        )
        .with_hint("reload the page to get its newest version, or check that the link is complete"));
    }
    let base = sections.next().unwrap_or_default();
    let Some(scenario) = (1..=Scenario::NEWEST_BASE).find(|known| known.to_string() == base).and_then(Scenario::base)
    else {
        return Err(Diagnostic::error(
            "link-unknown-base",
            "",
            format!("the link's base `{}` is not known", clip(base)),
        )
        .with_hint("reload the page to get its newest version"));
    };
    // Through the type, so that fields newer than the base are there with their defaults.
    let mut value = to_value(&scenario);
    let mut opened = Opened { scenario, view: View::default(), model_version: None, warnings: Vec::new() };
    let mut left = MAX_PARTS;
    for part in sections.filter(|part| !part.is_empty()) {
        // Each part costs a reading of the whole scenario.
        if left == 0 {
            opened.warnings.insert(0, too_long(part));
            break;
        }
        left -= 1;
        let Some((name, text)) = part.split_once('=') else {
            opened.warnings.push(warning("link-malformed-part", part, "is not of the form name=value".into()));
            continue;
        };
        match name {
            "model-version" => match text.parse() {
                Ok(version) => opened.model_version = Some(version),
                Err(_) => {
                    opened.warnings.push(warning("link-bad-value", name, format!("is no version: `{}`", clip(text))))
                }
            },
            "view.tab" => match Tab::from_id(text) {
                Some(tab) => opened.view.tab = tab,
                None => {
                    opened.warnings.push(warning("link-unknown-view", name, format!("has no tab `{}`", clip(text))))
                }
            },
            "view.percentile" => match Percentile::from_id(text) {
                Some(percentile) => opened.view.percentile = percentile,
                None => {
                    opened.warnings.push(warning(
                        "link-unknown-view",
                        name,
                        format!("has no percentile `{}`", clip(text)),
                    ));
                }
            },
            "z" => match inflate(text) {
                Ok(changes) => {
                    if changes.len() > MAX_PARTS {
                        opened.warnings.insert(0, too_long(name));
                    }
                    for (path, new) in changes.into_iter().take(MAX_PARTS) {
                        left = left.saturating_sub(1);
                        apply(&mut opened, &mut value, present_name(&path), vec![new]);
                    }
                }
                Err(reason) => opened.warnings.push(warning("link-damaged", name, reason)),
            },
            path => {
                let text = percent_decode(text);
                // Text needs no quotes, so `1` may be a number or a name: the first reading that fits is taken.
                let mut readings: Vec<Owned> = Value::read(&text).into_iter().map(Value::into_owned).collect();
                readings.push(text.into());
                apply(&mut opened, &mut value, present_name(path), readings);
            }
        }
    }
    let more = opened.warnings.len().saturating_sub(MAX_WARNINGS);
    if more > 0 {
        opened.warnings.truncate(MAX_WARNINGS);
        let message = format!("{more} further parts of the link are not understood");
        opened.warnings.push(Diagnostic::warning("link-more-parts", "", message));
    }
    Ok(opened)
}

/// The newest of the frozen bases.
#[must_use]
pub fn base_scenario() -> Scenario {
    Scenario::base(Scenario::NEWEST_BASE).unwrap_or_default()
}

/// The name that a field has now.
fn present_name(path: &str) -> &str {
    if path == "deployment.engine_version" { "deployment.server_version" } else { path }
}

/// Through text: the module has the code for that anyway, and a second way of writing would double it.
pub(crate) fn to_value(scenario: &Scenario) -> Owned {
    let text = plimsoll_json::to_text(scenario).unwrap_or_default();
    Value::read(&text).map_or(Value::Null, Value::into_owned)
}

/// Collects paths whose values differ; objects with other keys than the base's are one value.
///
/// Paths come out in alphabetical order, whatever the order of the fields.
fn collect_changes(base: &Owned, present: &Owned, path: &str, changes: &mut Vec<(String, Owned)>) {
    if base == present {
        return;
    }
    if let (Value::Map(old), Value::Map(new)) = (base, present)
        && old.len() == new.len()
        && old.iter().all(|(key, _)| present.get(key).is_some())
        && !["distribution", "process"].iter().any(|tag| base.get(tag) != present.get(tag))
    {
        for (key, old_value) in old {
            let inner = if path.is_empty() { key.to_string() } else { format!("{path}.{key}") };
            if let Some(new_value) = present.get(key) {
                collect_changes(old_value, new_value, &inner, changes);
            }
        }
        return;
    }
    let place = changes.partition_point(|(other, _)| other.as_str() < path);
    changes.insert(place, (path.to_owned(), present.clone()));
}

/// Sets one path to the first of the readings that gives a scenario.
fn apply(opened: &mut Opened, value: &mut Owned, path: &str, readings: Vec<Owned>) {
    let mut reason = String::new();
    for reading in readings {
        let mut candidate = value.clone();
        if let Some(place) = place(&mut candidate, path) {
            *place = reading;
        } else {
            break;
        }
        match plimsoll_json::from_value(&candidate) {
            Ok(scenario) => {
                opened.scenario = scenario;
                *value = candidate;
                return;
            }
            Err(error) if reason.is_empty() => reason = error.to_string(),
            Err(_) => {}
        }
    }
    let is_known = find(value, path).is_some() || !(reason.is_empty() || reason.contains("unknown field"));
    opened.warnings.push(if is_known {
        warning("link-bad-value", path, format!("cannot be used: {reason}"))
    } else {
        warning("link-unknown-field", path, "is not a field this version knows".into())
    });
}

pub(crate) fn find<'a>(value: &'a mut Owned, path: &str) -> Option<&'a mut Owned> {
    path.split('.').try_fold(value, |place, key| place.get_mut(key))
}

/// The place of a path, which is made where the object it belongs to leaves the field out.
fn place<'a>(value: &'a mut Owned, path: &str) -> Option<&'a mut Owned> {
    let (parent, name) = match path.rsplit_once('.') {
        Some((parent, name)) => (find(value, parent)?, name),
        None => (value, path),
    };
    if parent.get_mut(name).is_none() {
        parent.insert(name.to_owned(), Value::Null);
    }
    parent.get_mut(name)
}

/// Paths and values of a packed part.
fn inflate(text: &str) -> Result<Vec<(String, Owned)>, String> {
    let packed =
        Base64UrlUnpadded::decode_vec(text).map_err(|_| "is not base64url text; the link may be cut off".to_owned())?;
    let bytes = miniz_oxide::inflate::decompress_to_vec_with_limit(&packed, MAX_INFLATED)
        .map_err(|_| "cannot be unpacked; the link may be cut off".to_owned())?;
    let text = String::from_utf8(bytes).map_err(|_| "holds no text; the link may be damaged".to_owned())?;
    match Value::read(&text) {
        Ok(Value::Map(entries)) => {
            Ok(entries.into_iter().map(|(path, value)| (path.into_owned(), value.into_owned())).collect())
        }
        Ok(_) => Err("holds no list of fields".to_owned()),
        Err(error) => Err(format!("holds no list of fields: its text {error}")),
    }
}

/// A value in a readable part: JSON, but text without quotes where that reads back the same.
fn value_text(value: &Owned) -> String {
    match value {
        Value::Text(text) if Value::read(text).is_err() => percent_encode(text),
        other => percent_encode(&other.to_string()),
    }
}

fn percent_encode(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/:,@".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

fn percent_decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let digit = |at: usize| tail.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        match (first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                bytes.push(u8::try_from(high * 16 + low).unwrap_or_default());
                rest = tail.get(2..).unwrap_or_default();
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn warning(code: &str, path: &str, message: String) -> Diagnostic {
    Diagnostic::warning(code, clip(path), format!("the link's part `{}` {message}", clip(path)))
}

/// What is behind the part is not read.
fn too_long(part: &str) -> Diagnostic {
    warning("link-too-long", part, format!("is where reading ends: a link has at most {MAX_PARTS} parts"))
}

fn clip(text: &str) -> String {
    text.chars().take(60).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use plimsoll_protocol::view::fragment;

    fn write(scenario: &Scenario, view: View) -> String {
        fragment(&changes(scenario), view)
    }

    use plimsoll_core::catalog::{AcceleratorSpec, Provenance};
    use plimsoll_core::scenario::{
        AcceleratorChoice, ArrivalSettings, CalibratedOn, LatencyFit, LatencyModelChoice, LengthSettings, ModelChoice,
        Scheduling,
    };

    #[test]
    fn the_base_is_the_default_scenario_and_an_empty_link() {
        assert_eq!(base_scenario(), Scenario::default());
        assert_eq!(write(&Scenario::default(), View::default()), "");
        let copied = plimsoll_protocol::view::link(&changes(&base_scenario()), View::default());
        let opened = read(&copied).expect(&copied);
        assert_eq!((opened.scenario, opened.model_version), (base_scenario(), Some(plimsoll_core::MODEL_VERSION)));
    }

    fn round_trip(scenario: &Scenario, view: View) -> String {
        let fragment = write(scenario, view);
        let opened = read(&fragment).expect(&fragment);
        assert_eq!(opened.warnings, [], "{fragment}");
        assert_eq!((&opened.scenario, opened.view), (scenario, view), "{fragment}");
        fragment
    }

    #[test]
    fn a_small_change_is_readable() {
        let mut scenario = Scenario::default();
        scenario.slo.ttft_ms = Some(300.0);
        scenario.deployment.tensor_parallel_size = None;
        let view = View { tab: Tab::Memory, percentile: Percentile::P99 };
        let fragment = round_trip(&scenario, view);
        let version = plimsoll_core::MODEL_VERSION;
        assert_eq!(
            fragment,
            format!(
                "v1;2;model-version={version};view.tab=memory;view.percentile=p99;deployment.tensor_parallel_size=null;slo.ttft_ms=300"
            )
        );
    }

    #[test]
    fn each_base_has_its_own_rules_and_old_names_are_read() {
        let scenario = |link: &str| {
            let opened = read(link).expect(link);
            assert_eq!(opened.warnings, [], "{link}");
            opened.scenario
        };
        assert_eq!(scenario("v1;1"), Scenario::base(1).expect("the first base"));
        assert_eq!(scenario("v1;2"), Scenario::default());
        let old = scenario("v1;1;deployment.engine_version=v0.8.4;seed=7");
        assert_eq!(
            (old.deployment.server_version.as_deref(), old.engine.scheduling),
            (Some("v0.8.4"), Scheduling::Reference)
        );
        // What was opened from an old base is written as a difference from the newest, and means the same.
        let written = round_trip(&old, View::default());
        assert!(written.starts_with("v1;2;") && written.contains("engine.scheduling=reference"), "{written}");
        assert_eq!(read("v1;02").expect_err("no base").code, "link-unknown-base");
    }

    #[test]
    fn a_link_that_is_too_long_is_read_in_part() {
        let parts = |n: usize| format!("v1;1;seed=7;{}", "slo.nothing=1;".repeat(n));
        let opened = read(&format!("{}seed=8", parts(498))).expect("a link");
        assert_eq!(opened.scenario.seed, 8);
        let opened = read(&format!("{}seed=8", parts(499))).expect("a link");
        assert_eq!(opened.scenario.seed, 7);
        let codes: Vec<&str> = opened.warnings.iter().map(|warning| warning.code.as_str()).collect();
        assert_eq!(
            (codes[0], codes[1], codes[20], codes.len()),
            ("link-too-long", "link-unknown-field", "link-more-parts", 21)
        );
        // 499 unknown fields and where reading ends, of which 20 are told.
        assert!(opened.warnings[20].message.starts_with("480 "), "{:?}", opened.warnings[20]);
        // A packed part has as many fields.
        let fields: Vec<String> = (0..600).map(|at| format!("\"slo.x{at}\":1")).collect();
        let json = format!("{{{}}}", fields.join(","));
        let packed = Base64UrlUnpadded::encode_string(&miniz_oxide::deflate::compress_to_vec(json.as_bytes(), 9));
        let opened = read(&format!("v1;1;z={packed}")).expect("a link");
        assert_eq!((opened.warnings[0].code.as_str(), opened.warnings.len()), ("link-too-long", 21));
        assert!(opened.warnings[20].message.starts_with("481 "), "{:?}", opened.warnings[20]);
    }

    #[test]
    fn every_kind_of_change_returns() {
        let mut scenario = Scenario::default();
        scenario.deployment.model = ModelChoice::Id("1".into());
        scenario.workload.arrival = ArrivalSettings::Gamma { cv: 2.5 };
        scenario.workload.output_tokens = LengthSettings::Constant { value: 7 };
        scenario.engine.kv_cache_dtype = Some("fp8; or = not %41".into());
        scenario.latency.beta = Some(vec![1.5, 1e-9, 0.1 + 0.2]);
        round_trip(&scenario, View::default());
        scenario.latency.model = LatencyModelChoice::Quadratic;
        scenario.latency.alpha = Some(vec![544.0, 80.0, 1000.0, 6000.0]);
        scenario.latency.beta = Some(vec![3.38e-5, -3.11e-6, -9.2e-4, 5.709e-3]);
        round_trip(&scenario, View::default());
        for model in [LatencyModelChoice::Quadratic, LatencyModelChoice::Roofline, LatencyModelChoice::TrainedPhysics] {
            scenario.latency.fit = Some(LatencyFit { model, beta: vec![-1e-6, 0.5], ..LatencyFit::default() });
            round_trip(&scenario, View::default());
        }
    }

    #[test]
    fn a_fit_travels_and_a_damaged_one_is_refused_by_resolve() {
        let mut scenario = Scenario::default();
        scenario.latency.model = LatencyModelChoice::Calibrated;
        let calibrated_on = CalibratedOn {
            logs: "rate 4; (é).json and 3 more".into(),
            num_requests: 400,
            model: "meta-llama/llama-3.1-8b-instruct".into(),
            accelerator: "H100".into(),
            tensor_parallel_size: 1,
            input_tokens: [12, 1024],
            output_tokens: [1, 512],
            request_rate: [0.5, 12.25],
            concurrency: [4, 64],
            ..CalibratedOn::default()
        };
        let beta = vec![3211.402, 51.23456, 6123.001, 30.12345, 0.1034567, 0.001234567, 0.1];
        scenario.latency.fit =
            Some(LatencyFit { alpha: vec![9_123.456, 1.5, 0.0], beta, calibrated_on, ..LatencyFit::default() });
        let fragment = round_trip(&scenario, View::default());
        assert!(fragment.len() < 520, "{} characters: {fragment}", fragment.len());
        let bad = fragment_of(&scenario).replace("51.23456", "-1").replace("9123.456", "1e999");
        let opened = read(&bad).expect("a link");
        let codes: Vec<&str> = opened.warnings.iter().map(|warning| warning.code.as_str()).collect();
        assert_eq!(codes, ["link-bad-value"], "a number beyond all numbers is no JSON");
        let bad = fragment_of(&scenario).replace("51.23456", "-1").replace("12,1024", "1024,12");
        let opened = read(&bad).expect("a link");
        let problems = opened.scenario.resolve(plimsoll_configs::catalog()).expect_err("not usable");
        let codes: Vec<&str> = problems.iter().map(|problem| problem.code.as_str()).collect();
        assert_eq!(codes, ["invalid-value", "coefficient-out-of-range"]);
    }

    /// The changes as one readable part each, however long.
    fn fragment_of(scenario: &Scenario) -> String {
        let mut changes = Vec::new();
        collect_changes(&to_value(&base_scenario()), &to_value(scenario), "", &mut changes);
        changes.iter().fold("v1;2".to_owned(), |text, (path, value)| format!("{text};{path}={}", value_text(value)))
    }

    #[test]
    fn a_given_share_of_cached_tokens_is_kept_and_none_is_no_part() {
        let mut scenario = base_scenario();
        scenario.workload.prefix_hit_ratio = 0.35;
        round_trip(&scenario, View::default());
        let named = read("v1;2;workload.prefix_hit_ratio=0.35").expect("a link");
        assert_eq!((named.scenario, named.warnings), (scenario.clone(), Vec::new()));
        scenario.workload.prefix_hit_ratio = 0.0;
        assert_eq!(changes(&scenario), "");
    }

    #[test]
    fn a_long_one_is_packed() {
        let mut scenario = Scenario::default();
        scenario.deployment.accelerator = Some(AcceleratorChoice::Custom(Box::new(AcceleratorSpec {
            id: "mine".into(),
            name: "A card of one's own with a rather long name, to make the link long".into(),
            peak_tflops: 500.0,
            peak_tflops_fp8: 0.0,
            memory_bandwidth_tb_per_s: 2.0,
            mfu_prefill: 0.5,
            mfu_decode: 0.3,
            memory_gib: 64.0,
            driver_memory_gib: 0.0,
            driver_memory_source: String::new(),
            generation: Default::default(),
            aliases: Vec::new(),
            power_w: 0.0,
            price_usd_per_hour: None,
            is_extrapolated: true,
            provenance: Provenance::default(),
        })));
        scenario.slo.e2e_ms = Some(9.5);
        let fragment = round_trip(&scenario, View::default());
        assert!(fragment.contains(";z="), "{fragment}");
        assert!(fragment.len() < 420, "{} characters: {fragment}", fragment.len());
        let cut = &fragment[..fragment.len() - 20];
        let opened = read(cut).expect("the head is whole");
        assert_eq!(opened.warnings[0].code, "link-damaged");
    }

    #[test]
    fn what_is_not_known_warns_and_the_rest_counts() {
        let opened =
            read("#v1;1;model-version=abc;slo.colour=red;seed=x;nonsense;view.tab=moon;seed=7;slo.ttft_ms=250")
                .expect("a link");
        let codes: Vec<&str> = opened.warnings.iter().map(|warning| warning.code.as_str()).collect();
        assert_eq!(
            codes,
            ["link-bad-value", "link-unknown-field", "link-bad-value", "link-malformed-part", "link-unknown-view"]
        );
        assert!(opened.warnings[0].message.contains("model-version") && opened.warnings[0].message.contains("abc"));
        assert_eq!(opened.model_version, None);
        assert_eq!((opened.scenario.seed, opened.scenario.slo.ttft_ms), (7, Some(250.0)));
    }

    #[test]
    fn fields_that_the_base_leaves_out_can_be_named() {
        let client = "%5B%7B%22id%22%3A%22a%22%2C%22rate_fraction%22%3A2%7D%5D";
        let users = "%7B%22concurrency%22%3A3%7D";
        let opened = read(&format!("v1;1;workload.clients={client};workload.closed_loop={users}")).expect("a link");
        assert_eq!(opened.warnings, []);
        let workload = &opened.scenario.workload;
        assert_eq!((workload.clients.len(), workload.clients[0].rate_fraction), (1, 2.0));
        assert_eq!(workload.closed_loop.map(|users| users.concurrency), Some(3));
        let wrong = read("v1;1;workload.clients=7;workload.client=7;seed.x=1;workload.closed_loop.concurrency=2");
        let codes: Vec<String> = wrong.expect("a link").warnings.into_iter().map(|warning| warning.code).collect();
        assert_eq!(codes, ["link-bad-value", "link-unknown-field", "link-unknown-field", "link-unknown-field"]);
    }

    #[test]
    fn a_later_format_is_refused_in_words() {
        for fragment in ["", "v2;1", "v1;9;seed=1", "#hello"] {
            let refusal = read(fragment).expect_err(fragment);
            assert!(refusal.message.contains("not known") && !refusal.hint.is_empty());
        }
    }

    #[test]
    fn a_bomb_is_not_inflated() {
        let packed = miniz_oxide::deflate::compress_to_vec(&vec![b' '; 4 * MAX_INFLATED], 9);
        let opened = read(&format!("v1;1;z={}", Base64UrlUnpadded::encode_string(&packed))).expect("a link");
        assert_eq!(opened.warnings[0].code, "link-damaged");
    }

    /// Links that are out in the world; pairs are only ever added.
    #[test]
    fn old_links_keep_their_meaning() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/links/v1");
        let mut num_links = 0;
        for entry in std::fs::read_dir(&folder).expect("the corpus") {
            let path = entry.expect("an entry").path();
            if path.extension().is_none_or(|extension| extension != "link") {
                continue;
            }
            num_links += 1;
            let link = std::fs::read_to_string(&path).expect("a link");
            let expected = std::fs::read_to_string(path.with_extension("json")).expect("what it means");
            let expected: serde_json::Value = serde_json::from_str(&expected).expect("JSON");
            let opened = read(link.trim()).expect("it opens");
            // Scenarios of the first base have the first version, whether they say so or not.
            let mut scenario = expected["scenario"].clone();
            if link.starts_with("v1;1") {
                scenario["version"] = 1.into();
            }
            let text = scenario.to_string();
            let scenario = plimsoll_formats::scenario_from_json(&text, "scenario.json").expect("a scenario");
            assert_eq!(opened.scenario, scenario, "{}", path.display());
            assert_eq!(opened.view.tab.id(), expected["view"]["tab"], "{}", path.display());
            assert_eq!(opened.view.percentile.id(), expected["view"]["percentile"], "{}", path.display());
            let codes: Vec<serde_json::Value> =
                opened.warnings.iter().map(|warning| warning.code.clone().into()).collect();
            assert_eq!(serde_json::Value::Array(codes), expected["warnings"], "{}", path.display());
        }
        assert!(num_links >= 5);
    }
}
