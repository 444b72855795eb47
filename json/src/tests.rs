//! Held against `serde_json`, which shares no code with this crate.

use super::*;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Everything {
    flag: bool,
    count: u64,
    small: u8,
    below: i32,
    ratio: f64,
    name: String,
    letter: char,
    maybe: Option<f64>,
    pair: (String, u32),
    list: Vec<Shape>,
    map: BTreeMap<String, Vec<f64>>,
    array: [f64; 2],
    id: Id,
    choice: Option<Choice>,
    law: Option<Law>,
    unit: (),
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
struct Id(u64);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Shape {
    Dot,
    Circle { radius: f64 },
    Named(String),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Choice {
    Id(String),
    Own(Box<Inner>),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Inner {
    layers: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    scale: Option<f64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "process", rename_all = "kebab-case", deny_unknown_fields)]
enum Law {
    Poisson,
    Gamma { shape: f64, cap: Option<u32> },
}

fn everything() -> Everything {
    Everything {
        flag: true,
        count: u64::MAX - 1,
        small: 255,
        below: -7,
        ratio: 0.1 + 0.2,
        name: "a \"b\" \\ \n\u{1} é 🚢".into(),
        letter: 'ß',
        maybe: None,
        pair: ("two".into(), 2),
        list: vec![Shape::Dot, Shape::Circle { radius: 1e-300 }, Shape::Named("x".into())],
        map: [("k\"".to_owned(), vec![-0.0, 1e22, 5e-324]), (String::new(), Vec::new())].into(),
        array: [f64::MAX, -2.5],
        id: Id((1 << 53) + 1),
        choice: Some(Choice::Own(Box::new(Inner { layers: 3, scale: Some(2.0) }))),
        law: Some(Law::Gamma { shape: 1.0, cap: Some(9) }),
        unit: (),
    }
}

#[test]
fn types_cross_to_the_library_and_back() {
    for value in [everything(), Everything::default(), Everything { law: Some(Law::Poisson), ..everything() }] {
        let ours = to_text(&value).expect("writable");
        assert_eq!(serde_json::from_str::<Everything>(&ours).expect(&ours), value);
        let theirs = serde_json::to_string(&value).expect("writable");
        assert_eq!(from_text::<Everything>(&theirs).expect(&theirs), value);
        let pretty = serde_json::to_string_pretty(&value).expect("writable");
        assert_eq!(from_text::<Everything>(&pretty).expect(&pretty), value);
    }
}

#[test]
fn what_python_reads_is_read_as_python_does() {
    let value = Value::read_python("\u{feff}{\"layers\": 32, \"layers\": 16}").expect("a map");
    assert_eq!(value.get("layers"), Some(&Value::Number(16.0)), "the last of a name counts");
}

#[test]
fn what_the_library_turns_away_is_turned_away_here() {
    let texts = [
        "{\"flag\":1}",
        "{\"flag\":null}",
        "{\"count\":-1}",
        "{\"count\":1.5}",
        "{\"count\":18446744073709551616}",
        "{\"small\":256}",
        "{\"ratio\":\"1\"}",
        "{\"ratio\":null}",
        "{\"name\":1}",
        "{\"pair\":[\"a\"]}",
        "{\"list\":[\"square\"]}",
        "{\"list\":[\"circle\"]}",
        "{\"list\":[{\"circle\":{}}]}",
        "{\"list\":[{\"dot\":1}]}",
        "{\"list\":[{\"dot\":null,\"named\":\"x\"}]}",
        "{\"map\":[]}",
        "{\"array\":[1]}",
        "{\"choice\":{\"layers\":1,\"what\":2}}",
        "{\"law\":{\"process\":\"gamma\"}}",
        "{\"law\":{\"process\":\"gamma\",\"shape\":1,\"x\":2}}",
        "{\"law\":{}}",
        "{\"unit\":1}",
        "{\"unknown\":1}",
        "{\"flag\":true,\"flag\":true}",
        "[1,2]",
        "7",
        "{} {}",
        "{\"flag\":tru}",
    ];
    for text in texts {
        assert!(serde_json::from_str::<Everything>(text).is_err(), "the library takes {text}");
        let error = from_text::<Everything>(text).expect_err(text);
        assert!(!error.to_string().is_empty());
    }
    let error = from_text::<Everything>("{\"flagg\":true}").expect_err("no such field");
    assert!(error.to_string().starts_with("unknown field `flagg`, expected one of `flag`"), "{error}");
    assert_eq!(
        from_text::<Everything>("{\"flag\":tru}").expect_err("no word").to_string(),
        "is not JSON from byte 12 on"
    );
}

#[test]
fn doubles_without_a_text_are_null() {
    assert_eq!(to_text(&[f64::NAN, f64::INFINITY, 1.0]).expect("writable"), "[null,null,1]");
    assert_eq!(to_text(&BTreeMap::from([(1, 2)])).expect_err("no text").to_string(), "a key is no text");
}

#[test]
fn values_are_read_back_here_and_elsewhere() {
    let value: Owned = json!({
        "number": 0.1 + 0.2, "whole": 7, "none": None::<f64>, "text": "a \"b\" \\ \n\u{1} é",
        "list": [1, 2.5], "map": { "deep": { "yes": true } }, "empty": {}, "gap": f64::NAN, "seed": u64::MAX,
    });
    let text = value.to_string();
    let elsewhere: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(elsewhere["text"], "a \"b\" \\ \n\u{1} é");
    assert_eq!(elsewhere["number"], 0.1 + 0.2);
    assert_eq!(elsewhere["seed"], u64::MAX);
    let back = Value::read(&text).expect(&text);
    assert_eq!(back.get("gap"), Some(&Value::Null));
    assert_eq!(back.get("seed"), value.get("seed"));
    assert_eq!(back.get("map"), value.get("map"));
    let theirs = elsewhere.to_string();
    assert_eq!(Value::read(&theirs).expect("theirs").get("text"), value.get("text"));
    assert_eq!(back.clone().into_owned(), back);
}

#[test]
fn what_is_no_value_is_an_error() {
    let deep = "[".repeat(100) + &"]".repeat(100);
    let texts = ["", "{", "[1,]", "{\"a\" 1}", "\"open", "tru", "1 2", "{1:2}", "\"\\x\"", "\"\\u12\"", "-", &deep];
    for text in texts {
        assert!(Value::read(text).is_err(), "{text}");
    }
}

#[test]
fn what_python_writes_is_read_with_the_words_it_has_for_infinity() {
    let text = "{\"limit\": [0.0, Infinity, -Infinity], \"none\": NaN, \"face\": \"\\ud83d\\ude00\"}";
    let value = Value::read_python(text).expect("readable");
    let limit = [0.0, f64::INFINITY, f64::NEG_INFINITY].map(Value::Number).to_vec();
    assert_eq!(value.get("limit"), Some(&Value::List(limit)));
    assert!(matches!(value.get("none"), Some(Value::Number(number)) if number.is_nan()));
    assert_eq!(value.get("face"), Some(&Value::from("\u{1f600}")));
    assert!(Value::read(text).is_err());
    assert_eq!(Value::read_python("{\"a\": Infinit}"), Err(13));
    assert_eq!(Value::read_python("\"\\ud83d\""), Err(7));
}
