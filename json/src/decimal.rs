//! Decimal text as a double, without the tables of the standard library.
//!
//! Those take ten kilobytes of a module, and so do those of every JSON library.
//! Short numbers are read here, which is exact; the browser, which has such tables, reads the rest.

/// Powers of ten that are doubles exactly.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
];

/// Largest count up to which every whole number is a double.
const MAX_EXACT: u64 = 1 << 53;

/// The double nearest to a decimal number such as `-1.5e3`; none for anything else, infinity and NaN included.
#[must_use]
pub fn read(text: &str) -> Option<f64> {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (sign, digits) = match mantissa.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, mantissa.strip_prefix('+').unwrap_or(mantissa)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let is_number =
        whole.len() + fraction.len() > 0 && whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit());
    let exponent: i32 = exponent.parse().ok().filter(|_| is_number)?;
    let count = whole.bytes().chain(fraction.bytes()).try_fold(0_u64, |count, digit| {
        count.checked_mul(10)?.checked_add(u64::from(digit - b'0')).filter(|count| *count <= MAX_EXACT)
    });
    let shift = i32::try_from(fraction.len()).ok().and_then(|length| exponent.checked_sub(length))?;
    let power = usize::try_from(shift.unsigned_abs()).ok().and_then(|shift| POWERS.get(shift));
    match (count, power) {
        // Both are exact, so the one operation gives the nearest double.
        (Some(count), Some(power)) if shift < 0 => Some(sign * (count as f64 / power)),
        (Some(count), Some(power)) => Some(sign * (count as f64 * power)),
        _ => long(text).filter(|value| value.is_finite()),
    }
}

#[cfg(target_arch = "wasm32")]
fn long(text: &str) -> Option<f64> {
    Some(js_sys::parse_float(text))
}

#[cfg(not(target_arch = "wasm32"))]
fn long(text: &str) -> Option<f64> {
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_long_numbers_are_the_nearest_doubles() {
        let texts = [
            "0",
            "-0",
            "1",
            "+1.5",
            ".5",
            "5.",
            "0.1",
            "1e3",
            "-2.5E-7",
            "9007199254740992",
            "9007199254740993",
            "1e22",
            "1e23",
            "123456.789e-22",
            "1.7976931348623157e308",
            "5e-324",
            "0.30000000000000004",
            "1e-400",
        ];
        for text in texts {
            let expected: f64 = text.parse().expect(text);
            assert_eq!(read(text).map(f64::to_bits), Some(expected.to_bits()), "{text}");
        }
        let mut bits = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..20_000 {
            bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let value = f64::from_bits(bits);
            let short = (bits >> 40) as f64 / 1000.0;
            for value in [value, short].into_iter().filter(|value| value.is_finite()) {
                assert_eq!(read(&format!("{value:e}")), Some(value));
                assert_eq!(read(&format!("{value}")), Some(value));
            }
        }
    }

    #[test]
    fn what_is_no_number_is_none() {
        for text in ["", "-", ".", "e5", "1e", "1e+", "inf", "nan", "1.2.3", "0x1", "1 ", "1e999", "12a", "1e1.5"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
