//! Values of flags, by the rules the server reads them by.

use super::flags::{Flag, Kind};
use plimsoll_core::catalog::meant;
use serde_json::Value;

/// A value that its flag takes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Given {
    pub value: Value,
    /// What is worth saying about how it is written; empty if nothing.
    pub remark: &'static str,
}

/// Reads the value of a flag that takes one; the error is what is allowed, for a hint.
///
/// `null` stands for `None`, for `auto` and for the `-1` that means it: the flag leaves the choice to the server.
pub(super) fn value(flag: &Flag, text: &str) -> Result<Given, String> {
    let text = text.trim();
    if text.starts_with('$') {
        return Err("it is a variable of the shell, whose value is not in the line; write the value itself".into());
    }
    if text == "None" && !matches!(flag.kind, Kind::Bool | Kind::Json) {
        return Ok(plain(Value::Null));
    }
    match flag.kind {
        Kind::Bool => match text.to_ascii_lowercase().as_str() {
            "true" => Ok(plain(true)),
            "false" => Ok(plain(false)),
            _ => Err("the flag takes no value; the form with --no- turns it off".into()),
        },
        Kind::Count => match (integer(text), size(text)) {
            (Some(count), _) => whole(flag, count).map(plain),
            (None, Some(count)) => {
                let remark = "the server takes no suffix here and would not start";
                whole(flag, count).map(|value| Given { value, remark })
            }
            (None, None) => Err(format!("give a whole number {}", bounds(flag))),
        },
        Kind::Size => match size(text) {
            Some(size) => whole(flag, size).map(plain),
            None => Err(size_hint(flag, text)),
        },
        Kind::Length if text == "-1" || text.eq_ignore_ascii_case("auto") => Ok(plain(Value::Null)),
        Kind::Length => match size(text) {
            Some(size) => whole(flag, size).map(plain),
            None => Err(format!("{}, auto or -1", size_hint(flag, text))),
        },
        Kind::Number => match text.parse::<f64>() {
            Ok(number) if number.is_finite() && flag.bounds.is_none_or(|bounds| bounds.contain(number)) => {
                Ok(plain(number))
            }
            _ => Err(format!("give a number {}", bounds(flag))),
        },
        Kind::Counts => {
            let counts: Option<Vec<u64>> = text.split(',').map(integer).collect();
            let counts = counts.ok_or_else(|| "give whole numbers, like 1 2 4 8".to_owned())?;
            counts.into_iter().map(|count| whole(flag, count)).collect::<Result<Vec<_>, _>>().map(plain)
        }
        Kind::Choice if flag.words.iter().any(|word| word == text) => Ok(plain(text)),
        Kind::Choice => Err(meant(text, flag.words.iter().map(String::as_str))),
        Kind::Name if text.is_empty() => Err("give a name".into()),
        Kind::Name => Ok(plain(text)),
        Kind::Json => json(text).map(plain),
    }
}

fn plain(value: impl Into<Value>) -> Given {
    Given { value: value.into(), remark: "" }
}

fn bounds(flag: &Flag) -> String {
    flag.bounds.map(|bounds| bounds.words()).unwrap_or_default()
}

/// The number if it is within its flag's bounds.
fn whole(flag: &Flag, number: u64) -> Result<Value, String> {
    // Bounds are far below 2⁵³.
    if flag.bounds.is_none_or(|bounds| bounds.contain(number as f64)) {
        return Ok(number.into());
    }
    Err(format!("give a whole number {}", bounds(flag)))
}

fn size_hint(flag: &Flag, text: &str) -> String {
    let number = format!("give a whole number {}, also like 16k (16,000), 16K (16,384) or 1.5m", bounds(flag));
    match text.strip_suffix(['K', 'M', 'G', 'T']) {
        Some(decimal) if decimal.contains('.') => {
            format!("{number}; {text} has decimals, which capital suffixes do not take")
        }
        _ => number,
    }
}

/// A whole number in digits, which may be grouped as in `16_384`.
fn integer(text: &str) -> Option<u64> {
    let digits = text.strip_prefix('+').unwrap_or(text);
    let is_grouped = digits.split('_').all(|group| !group.is_empty() && group.bytes().all(|b| b.is_ascii_digit()));
    if is_grouped { digits.replace('_', "").parse().ok() } else { None }
}

/// A whole number, or one with a suffix, as vLLM reads both: small letters are powers of 1,000 and take decimals, capitals
/// are powers of 1,024 and take none.
#[must_use]
pub fn size(text: &str) -> Option<u64> {
    let suffix = text.chars().last()?;
    let (base, power) = match suffix {
        'k' => (1000u64, 1),
        'm' => (1000, 2),
        'g' => (1000, 3),
        't' => (1000, 4),
        'K' => (1024, 1),
        'M' => (1024, 2),
        'G' => (1024, 3),
        'T' => (1024, 4),
        _ => return integer(text),
    };
    let number = text.strip_suffix(suffix)?;
    let factor = base.pow(power);
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match number.split_once('.') {
        None if is_number(number) => number.parse::<u64>().ok()?.checked_mul(factor),
        Some((whole, decimals)) if base == 1000 && is_number(whole) && is_number(decimals) => {
            let product = number.parse::<f64>().ok()? * factor as f64;
            // As the server does: cut off, and exact below 2⁵³.
            (product < 9.0e15).then_some(product as u64)
        }
        _ => None,
    }
}

fn json(text: &str) -> Result<Value, String> {
    let what = "give a JSON object in single quotes, like '{\"key\": 1}', or its keys one by one, like .key 1";
    match serde_json::from_str::<Value>(text) {
        Ok(value) if value.is_object() || value.is_null() => Ok(value),
        // A level of compilation was a bare number.
        Ok(Value::Number(level)) => Ok(Value::Number(level)),
        Ok(_) => Err(what.to_owned()),
        Err(error) => Err(format!("{what}; it ends to be JSON at its character {}", error.column())),
    }
}

#[cfg(test)]
mod tests {
    use super::super::flags::find;
    use super::*;

    fn read(flag: &str, text: &str) -> Result<Value, String> {
        value(find(flag).expect("in the table"), text).map(|given| given.value)
    }

    /// By the server's own parser of such numbers: `16k` is 16,000, `16K` 16,384, `25.6k` 25,600, `1.5K` an error.
    #[test]
    fn sizes_have_decimal_and_binary_suffixes() {
        for (text, expected) in [
            ("16k", 16_000u64),
            ("16K", 16_384),
            ("25.6k", 25_600),
            ("1M", 1 << 20),
            ("1m", 1_000_000),
            ("1.5m", 1_500_000),
            ("20G", 20 << 30),
            ("2g", 2_000_000_000),
            ("1t", 1_000_000_000_000),
            ("8192", 8192),
            ("16_384", 16_384),
        ] {
            assert_eq!(read("--kv-cache-memory-bytes", text), Ok(expected.into()), "{text}");
        }
        for text in ["1.5K", "k", "16kb", "-5", "1e4", "0", "", "..k", "99999999999999999999", "9999999999999T", "1.k"]
        {
            assert!(read("--kv-cache-memory-bytes", text).is_err(), "{text}");
        }
        assert!(read("--max-num-batched-tokens", "1.5K").expect_err("decimals").contains("1.5K has decimals"));
    }

    #[test]
    fn each_kind_takes_its_own_and_says_what_else_is_allowed() {
        assert_eq!(read("--max-model-len", "auto"), Ok(Value::Null));
        assert_eq!(read("--max-model-len", "-1"), Ok(Value::Null));
        assert_eq!(read("--max-model-len", "128k"), Ok(128_000.into()));
        assert!(read("--max-model-len", "-2").expect_err("negative").contains("auto or -1"));
        assert_eq!(read("--gpu-memory-utilization", "1"), Ok(1.0.into()));
        for text in ["0", "1.1", "nan", "inf", "90%", "-0.5"] {
            let hint = read("--gpu-memory-utilization", text).expect_err("out of bounds");
            assert_eq!(hint, "give a number above 0 and up to 1", "{text}");
        }
        assert_eq!(read("--watermark", "0"), Ok(0.0.into()));
        assert!(read("--watermark", "1").is_err());
        assert_eq!(read("--max-num-seqs", "0").expect_err("zero"), "give a whole number of 1 or more");
        assert_eq!(read("--max-num-seqs", "None"), Ok(Value::Null));
        assert!(read("--scheduling-policy", "fcf").expect_err("a typing error").contains("did you mean fcfs?"));
        assert_eq!(read("--cudagraph-capture-sizes", "1,2,4"), Ok(vec![1u64, 2, 4].into()));
        assert!(read("--tensor-parallel-size", "$TP").expect_err("a variable").contains("variable of the shell"));
    }

    #[test]
    fn json_is_an_object_or_a_level() {
        assert!(read("--compilation-config", r#"{"level": 3}"#).is_ok());
        assert_eq!(read("--compilation-config", "3"), Ok(3.into()));
        for text in ["[1]", "{level: 3}", "{'level': 3}", "", "\"x\""] {
            assert!(read("--compilation-config", text).is_err(), "{text}");
        }
        let deep = "[".repeat(60_000);
        assert!(read("--compilation-config", &deep).is_err());
        assert!(read("--speculative-config", &format!("{}1{}", "{\"a\":".repeat(500), "}".repeat(500))).is_err());
    }
}
