//! Which release of the server is meant.

use std::fmt;

/// A release: major, minor, patch. What stands behind them (`.post1`, `rc2`, `-cu128`) is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version([u32; 3]);

impl Version {
    /// Reads `0.11.0`, `v0.11`, `0.8.5.post1`, or any of them behind the last colon of an image's name.
    pub fn parse(text: &str) -> Option<Self> {
        let tag = text.trim().rsplit(':').next()?;
        let mut parts = tag.strip_prefix(['v', 'V']).unwrap_or(tag).split('.');
        let major = parts.next()?.parse().ok()?;
        let minor = leading_number(parts.next()?)?;
        let patch = parts.next().and_then(leading_number).unwrap_or(0);
        Some(Self([major, minor, patch]))
    }

    /// The release named in the tag of an image that counts its own releases, like `rocm6.4.1_vllm_0.10.1_20250909`.
    pub fn within(tag: &str) -> Option<Self> {
        let (_, behind) = tag.rsplit_once("vllm")?;
        let behind = behind.trim_start_matches(['-', '_']);
        Self::parse(behind.split(['-', '_']).next()?)
    }
}

/// The digits at the beginning of a text as a number.
fn leading_number(text: &str) -> Option<u32> {
    let end = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    text.get(..end)?.parse().ok()
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, patch] = self.0;
        write!(f, "{major}.{minor}.{patch}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_with_and_without_what_surrounds_them() {
        for (text, expected) in [
            ("0.11.0", [0, 11, 0]),
            ("v0.8.5.post1", [0, 8, 5]),
            ("vllm/vllm-openai:v0.10.1rc2", [0, 10, 1]),
            ("0.9", [0, 9, 0]),
            ("v0.11.0-cu128", [0, 11, 0]),
            ("0.6.3+cu12", [0, 6, 3]),
        ] {
            assert_eq!(Version::parse(text), Some(Version(expected)), "{text}");
        }
        for text in ["latest", "nightly", "", "v", "0", "0.x", "99999999999.1"] {
            assert_eq!(Version::parse(text), None, "{text}");
        }
        assert_eq!(Version::within("rocm6.4.1_vllm_0.10.1_20250909"), Some(Version([0, 10, 1])));
        assert_eq!(Version::within("25.09-py3"), None);
        assert!(Version::parse("0.9.2") < Version::parse("0.10.0"));
    }
}
