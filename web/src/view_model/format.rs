//! Numbers as people read and write them.

use plimsoll_core::numeric::rounded_down;
use plimsoll_json::decimal;

/// What a number counts; decides its suffixes when read and its unit when shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A plain number.
    None,
    /// Whole things: requests, blocks.
    Count,
    /// Tokens.
    Tokens,
    /// Milliseconds; `2 s` is read as 2,000.
    Milliseconds,
    /// Seconds; `200 ms` is read as 0.2.
    Seconds,
    /// A share from 0 to 1, shown and read in percent.
    Percent,
    /// Requests per second.
    PerSecond,
    /// GiB.
    Gib,
    /// TFLOP/s.
    Tflops,
    /// TB/s.
    TerabytesPerSecond,
}

impl Unit {
    /// The unit as shown behind a number; empty where the label says it.
    #[must_use]
    pub fn symbol(self) -> &'static str {
        match self {
            Unit::None | Unit::Count => "",
            Unit::Tokens => "tokens",
            Unit::Milliseconds => "ms",
            Unit::Seconds => "s",
            Unit::Percent => "%",
            Unit::PerSecond => "req/s",
            Unit::Gib => "GiB",
            Unit::Tflops => "TFLOP/s",
            Unit::TerabytesPerSecond => "TB/s",
        }
    }

    /// The factor from the stored value to the shown one.
    fn shown_factor(self) -> f64 {
        if self == Unit::Percent { 100.0 } else { 1.0 }
    }
}

/// Reads a number as engineers write them: `8k`, `1e6`, `2.5 ms`, `1,000`, `95 %`.
///
/// Gives the stored value (a share for percent, milliseconds for `2 s` in a milliseconds field).
///
/// # Errors
/// In words, for the line below the field.
pub fn parse(text: &str, unit: Unit) -> Result<f64, String> {
    let compact: String =
        text.trim().chars().filter(|c| !matches!(c, ' ' | ',' | '_' | '\u{a0}' | '\u{202f}')).collect();
    if compact.is_empty() {
        return Err("a number is needed".into());
    }
    let lower = compact.to_ascii_lowercase();
    let (number, factor) = split_suffix(&lower, unit);
    let value: f64 = decimal::read(number).ok_or_else(|| format!("`{}` is not a number", text.trim()))?;
    Ok(value * factor / unit.shown_factor())
}

/// Splits off unit and magnitude; gives the number's text and what to multiply it by.
fn split_suffix(text: &str, unit: Unit) -> (&str, f64) {
    let names: &[(&str, f64)] = match unit {
        Unit::Milliseconds => &[("ms", 1.0), ("s", 1000.0), ("min", 60_000.0)],
        Unit::Seconds => &[("ms", 0.001), ("s", 1.0), ("min", 60.0)],
        Unit::Tokens => &[("tokens", 1.0), ("token", 1.0), ("tok", 1.0)],
        Unit::Percent => &[("%", 1.0)],
        Unit::PerSecond => &[("req/s", 1.0), ("rps", 1.0), ("/s", 1.0)],
        Unit::Gib => &[("gib", 1.0), ("gb", 1.0)],
        Unit::Tflops => &[("tflop/s", 1.0), ("tflops", 1.0)],
        Unit::TerabytesPerSecond => &[("tb/s", 1.0)],
        Unit::None | Unit::Count => &[],
    };
    for (name, factor) in names {
        if let Some(rest) = text.strip_suffix(name)
            && decimal::read(rest).is_some()
        {
            return (rest, *factor);
        }
    }
    let rest = names.iter().find_map(|(name, _)| text.strip_suffix(name)).unwrap_or(text);
    for (name, factor) in [("k", 1e3), ("m", 1e6), ("g", 1e9)] {
        if let Some(rest) = rest.strip_suffix(name) {
            return (rest, factor);
        }
    }
    (rest, 1.0)
}

/// A stored value as a field shows it, without the unit.
#[must_use]
pub fn field_text(value: f64, unit: Unit) -> String {
    let shown = value * unit.shown_factor();
    // Six digits hide what 0.95 × 100 leaves behind, and nothing a person typed.
    let rounded = significant(shown, 6);
    if rounded.abs() >= 1e4 && rounded.fract() == 0.0 && rounded.abs() < 1e15 {
        grouped(rounded)
    } else {
        format!("{rounded}")
    }
}

/// A value with this many significant digits, thousands grouped.
#[must_use]
pub fn number(value: f64, digits: i32) -> String {
    if !value.is_finite() {
        return "–".into();
    }
    let rounded = significant(value, digits);
    let magnitude = if rounded == 0.0 { 0 } else { floor_log10(rounded.abs()) };
    let decimals = (digits - 1 - magnitude).max(0);
    if decimals == 0 {
        grouped(rounded)
    } else {
        format!("{rounded:.*}", usize::try_from(decimals.min(6)).unwrap_or(0))
    }
}

/// Requests per second, three significant digits, without the unit.
#[must_use]
pub fn rate(per_second: f64) -> String {
    number(per_second, 3)
}

/// The same of a rate that is known to hold: never more than it.
#[must_use]
pub fn rate_held(per_second: f64) -> String {
    rate(rounded_down(per_second, 2 - floor_log10(per_second)))
}

/// A latency in milliseconds with its unit, in seconds from 10 s on.
#[must_use]
pub fn milliseconds(ms: f64) -> String {
    if !ms.is_finite() {
        "–".into()
    } else if ms >= 10_000.0 {
        format!("{} s", number(ms / 1000.0, 3))
    } else {
        format!("{} ms", number(ms, 3))
    }
}

/// A limit as it was typed: `30 ms`, not `30.0 ms`.
#[must_use]
pub fn limit_milliseconds(ms: f64) -> String {
    format!("{} ms", field_text(ms, Unit::Milliseconds))
}

/// Two latencies with their unit once.
#[must_use]
pub fn milliseconds_range(low: f64, high: f64) -> String {
    if !(low.is_finite() && high.is_finite()) {
        "–".into()
    } else if high >= 10_000.0 {
        format!("{} – {} s", number(low / 1000.0, 3), number(high / 1000.0, 3))
    } else {
        format!("{} – {} ms", number(low, 3), number(high, 3))
    }
}

/// A share from 0 to 1 in percent.
#[must_use]
pub fn percent(ratio: f64) -> String {
    let value = ratio * 100.0;
    if !value.is_finite() {
        "–".into()
    } else if value != 0.0 && value.abs() < 10.0 {
        format!("{value:.1} %")
    } else {
        format!("{value:.0} %")
    }
}

/// Bytes in GiB, or in KiB and MiB where small.
#[must_use]
pub fn bytes(count: f64) -> String {
    const KIB: f64 = 1024.0;
    if count.abs() >= 0.1 * KIB * KIB * KIB {
        format!("{} GiB", number(count / (KIB * KIB * KIB), 3))
    } else if count.abs() >= KIB * KIB {
        format!("{} MiB", number(count / (KIB * KIB), 3))
    } else {
        format!("{} KiB", number(count / KIB, 3))
    }
}

/// A whole number with thousands grouped.
#[must_use]
pub fn grouped(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    if value <= -0.5 { format!("-{text}") } else { text }
}

/// What is said of a model whose `config.json` was read, with the parameters of its language model if they are known.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "models have less than 2⁵³ parameters")]
pub fn model_taken(id: &str, parameters: Option<u64>) -> String {
    match parameters {
        Some(parameters) => format!("The model is now {id}, {} parameters.", grouped(parameters as f64)),
        None => format!("The model is now {id}."),
    }
}

fn significant(value: f64, digits: i32) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    // Through text: rounds correctly in decimal, which scaling by powers of ten does not.
    decimal::read(&format!("{value:.*e}", usize::try_from(digits - 1).unwrap_or(0))).unwrap_or(value)
}

fn floor_log10(value: f64) -> i32 {
    format!("{value:e}").split_once('e').and_then(|(_, exponent)| exponent.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_that_was_read_is_told_to_the_parameter() {
        assert_eq!(model_taken("my/m", Some(8_030_261_248)), "The model is now my/m, 8,030,261,248 parameters.");
        assert_eq!(model_taken("my/m", None), "The model is now my/m.");
    }

    #[test]
    fn engineers_numbers_are_read() {
        let cases = [
            ("8k", Unit::Tokens, 8000.0),
            ("8k tokens", Unit::Tokens, 8000.0),
            ("1e6", Unit::Count, 1e6),
            ("1,000", Unit::Count, 1000.0),
            ("1_000.5", Unit::None, 1000.5),
            ("2.5 ms", Unit::Milliseconds, 2.5),
            ("2 s", Unit::Milliseconds, 2000.0),
            ("200ms", Unit::Seconds, 0.2),
            ("95 %", Unit::Percent, 0.95),
            ("95", Unit::Percent, 0.95),
            ("-3", Unit::Count, -3.0),
            ("12 req/s", Unit::PerSecond, 12.0),
            ("80 GB", Unit::Gib, 80.0),
        ];
        for (text, unit, expected) in cases {
            assert_eq!(parse(text, unit), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_number_is_quoted() {
        for text in ["abc", "1e999", "k", "--1", "NaN"] {
            assert!(parse(text, Unit::Count).is_err_and(|reason| reason.contains(text)), "{text}");
        }
        assert!(parse("  ", Unit::Count).is_err());
    }

    #[test]
    fn fields_show_what_was_typed() {
        assert_eq!(field_text(0.95, Unit::Percent), "95");
        assert_eq!(field_text(0.9, Unit::Percent), "90");
        assert_eq!(field_text(2048.0, Unit::Tokens), "2048");
        assert_eq!(field_text(131_072.0, Unit::Tokens), "131,072");
        assert_eq!(field_text(0.5, Unit::None), "0.5");
    }

    #[test]
    fn three_digits_are_kept_at_every_size() {
        assert_eq!([rate(0.012_34), rate(9.996), rate(12.34), rate(1234.6)], ["0.0123", "10.0", "12.3", "1,230"]);
        assert_eq!(
            [18.75, 18.799, 1.15, 0.012_39, 9.996, 1239.0, 11.0 * 1.2].map(rate_held),
            ["18.7", "18.7", "1.15", "0.0123", "9.99", "1,230", "13.2"],
            "never more than is known to hold"
        );
        assert_eq!([milliseconds(31.26), milliseconds(12_340.0)], ["31.3 ms", "12.3 s"]);
        assert_eq!([limit_milliseconds(30.0), limit_milliseconds(2.5)], ["30 ms", "2.5 ms"]);
        assert_eq!(
            [milliseconds_range(55.9, 77.3), milliseconds_range(9_000.0, 21_100.0)],
            ["55.9 – 77.3 ms", "9.00 – 21.1 s"]
        );
        assert_eq!([percent(0.954), percent(0.0123), percent(0.0)], ["95 %", "1.2 %", "0 %"]);
        assert_eq!(number(f64::NAN, 3), "–");
        assert_eq!(bytes(16.0 * 1024.0 * 1024.0 * 1024.0), "16.0 GiB");
        assert_eq!(bytes(131_072.0), "128 KiB");
    }
}
